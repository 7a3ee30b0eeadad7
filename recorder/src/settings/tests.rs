use super::*;
use clap::Parser;

fn settings(words: &[&str]) -> Result<Settings> {
    Settings::new(Args::try_parse_from([&["record"], words].concat())?, 2)
}

#[test]
fn names_are_utc_and_safe() {
    // `date -u -d @1795408200` and, for the leap day, `date -u -d @1709251199`.
    assert_eq!(default_name("web1", 1_795_408_200_000_000_000), PathBuf::from("web1-20261123T043000Z.zst"));
    assert_eq!(default_name("a/b", 1_709_251_199_999_999_999), PathBuf::from("a_b-20240229T235959Z.zst"));
    assert_eq!(civil(0), [1970, 1, 1, 0, 0, 0]);
    assert_eq!(civil(951_782_400), [2000, 2, 29, 0, 0, 0]);
}

#[test]
fn contradictions_are_refused() {
    assert!(settings(&["--no-packets", "--no-syscalls", "--no-stacks"]).is_err());
    assert!(settings(&["--no-packets", "-i", "lo"]).is_err());
    assert!(settings(&["--comm", "a-name-of-more-than-15"]).is_err());
    assert!(settings(&["--cgroup", "/definitely/not/there"]).is_err());
    assert!(settings(&["--ring", "1KiB"]).is_err());
    // Larger than any number that Linux gives to a process (PID_MAX_LIMIT, 2^22).
    let said = settings(&["--pid", "4194305", "--pid", "4194306"]).unwrap_err().to_string();
    assert_eq!(said, "--pid 4194305, --pid 4194306: no such process");
    let here = std::process::id().to_string();
    assert!(settings(&["--pid", &here, "--pid", "4194305"]).is_ok());
    let absent = crate::opening::absent_processes(&[4_194_305], &["no such name".to_owned()]);
    assert_eq!(absent.len(), 2, "{absent:?}");
}

#[test]
fn defaults() {
    let s = settings(&["-o", "-"]).unwrap();
    assert_eq!(s.output, Output::Stdout);
    assert_eq!(s.ring, 16 << 20);
    assert!(s.packets && s.syscalls && s.stacks);
    assert_eq!(settings(&["-s", "0"]).unwrap().snaplen, MAX_SNAPLEN);
    assert_eq!(settings(&["--ring", "3MiB"]).unwrap().ring, 4 << 20);
}
