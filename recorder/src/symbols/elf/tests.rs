use super::super::maps;
use super::*;

/// A function whose address is known to the test.
#[unsafe(no_mangle)]
extern "C" fn recorder_symbol_under_test() -> u64 {
    std::hint::black_box(42)
}

#[test]
fn finds_a_function_of_this_program_by_file_offset() {
    let address = recorder_symbol_under_test as *const () as u64;
    let exe = std::env::current_exe().unwrap();
    let mappings = maps::read(std::process::id());
    let mapping = mappings.iter().find(|m| address >= m.start && address < m.end).unwrap();
    assert_eq!(mapping.path, exe.to_string_lossy());
    let symbols = Symbols::open(&exe, None);
    let offset = address - mapping.start + mapping.file_offset;
    assert_eq!(symbols.lookup(offset), Some(("recorder_symbol_under_test".to_owned(), 0)));
    assert_eq!(symbols.lookup(offset + 1), Some(("recorder_symbol_under_test".to_owned(), 1)));
    assert_eq!(symbols.lookup(u64::MAX), None);
}

#[test]
fn vdso() {
    let symbols = Symbols::of_image(maps::own_vdso().unwrap());
    assert!(!symbols.is_empty());
    let first = symbols.entries[0];
    assert!(symbols.name(&first).unwrap().contains("vdso") || symbols.len() > 1);
}

#[test]
fn build_ids_equal_those_of_readelf() {
    let path = Path::new("/bin/ls");
    let Ok(out) = std::process::Command::new("readelf").args(["-n", "/bin/ls"]).output() else { return };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let Some(expected) = text.lines().find_map(|l| l.trim().strip_prefix("Build ID: ")) else { return };
    let mut ids = BuildIds::default();
    assert_eq!(ids.of(path), expected);
    assert_eq!(ids.of(path), expected);
    assert_eq!(ids.of(Path::new("/etc/passwd")), "");
    assert_eq!(ids.of(Path::new("/not/there")), "");
}

#[test]
fn damaged_files_have_no_symbols() {
    let image = std::fs::read("/proc/self/exe").unwrap();
    for cut in [0, 1, 16, 63, 64, 200, 5000] {
        let symbols = Symbols::of_image(image[..cut].to_vec());
        assert_eq!(symbols.lookup(100), None);
    }
    let mut image = image[..65_536.min(image.len())].to_vec();
    for i in 0..64 {
        image[i] ^= 0xff;
        let _ = Symbols::of_image(image.clone()).lookup(100);
        image[i] ^= 0xff;
    }
}
