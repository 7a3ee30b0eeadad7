//! What `record` says without recording anything.

use std::process::{Command, Output};

fn record(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_record")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn usage_errors_end_with_1_and_say_what_to_do() {
    for (arguments, words) in [
        (&["--duration", "soon"][..], "write it like 30s, 5m or 1h30m"),
        (&["--no-packets", "--no-syscalls", "--no-stacks"], "nothing is left to record"),
        (&["--no-packets", "-i", "lo"], "drop one of them"),
        (&["--cgroup", "/nowhere/at/all"], "give a directory below /sys/fs/cgroup"),
        (&["--max-size", "lots"], "write it like 200MB"),
        (&["stray"], "unexpected argument"),
    ] {
        let output = record(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = record(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for option in [
        "--duration",
        "--pid",
        "--comm",
        "--cgroup",
        "--port",
        "--payload",
        "--max-size",
        "--check",
        "--ring",
        "COMMAND",
    ] {
        assert!(text.contains(option), "{option}");
    }
    assert_eq!(String::from_utf8(record(&["--version"]).stdout).unwrap().split(' ').next(), Some("record"));
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kept.zst");
    std::fs::write(&path, "precious").unwrap();
    let output = record(&["--duration", "1s", "-o", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("never overwrite"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}
