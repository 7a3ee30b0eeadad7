//! Executable mappings of processes, out of /proc/PID/maps.

use crate::facts::networks::TABLE_LIMIT;
use crate::facts::processes::read_bytes;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Most executable mappings kept of one process.
const MAPPINGS_LIMIT: usize = 20_000;

/// An executable mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// First address.
    pub start: u64,
    /// End, exclusive.
    pub end: u64,
    /// Offset of `start` in the file.
    pub file_offset: u64,
    /// Whether a file lies behind it.
    pub has_file: bool,
    /// Path as the process sees it; `[vdso]`; empty for anonymous memory.
    pub path: String,
}

impl Map {
    /// Paths through which the mapped file can be opened while the process lives, best first.
    #[must_use]
    pub fn ways(&self, pid: u32) -> [PathBuf; 2] {
        let relative = self.path.trim_end_matches(" (deleted)").trim_start_matches('/');
        [
            format!("/proc/{pid}/map_files/{:x}-{:x}", self.start, self.end).into(),
            Path::new(&format!("/proc/{pid}/root")).join(relative),
        ]
    }
}

/// The executable mappings of a process, ordered by address; empty if it is gone.
#[must_use]
pub fn read(pid: u32) -> Vec<Map> {
    let bytes = read_bytes(Path::new(&format!("/proc/{pid}/maps")), TABLE_LIMIT).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().filter_map(parse).take(MAPPINGS_LIMIT).collect()
}

/// A line of /proc/PID/maps, if it is executable: `start-end perms offset dev inode path`.
fn parse(line: &str) -> Option<Map> {
    let mut rest = line;
    let mut next = || {
        rest = rest.trim_start_matches(' ');
        let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = tail;
        word
    };
    let (start, end) = next().split_once('-')?;
    if next().as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let file_offset = u64::from_str_radix(next(), 16).ok()?;
    next();
    let has_file = next() != "0";
    let path = rest.trim_start_matches(' ');
    // What the kernel shows for anonymous memory with a name: still anonymous.
    let anonymous = path.starts_with("[anon") || path.starts_with("//anon") || path == "[heap]" || path == "[stack]";
    Some(Map {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        file_offset,
        has_file,
        path: if anonymous { String::new() } else { path.to_owned() },
    })
}

/// The vDSO as the kernel maps it into this process: an ELF image, the same for all processes of this word size.
#[must_use]
pub fn own_vdso() -> Option<Vec<u8>> {
    let map = read(std::process::id()).into_iter().find(|m| m.path == "[vdso]")?;
    let mut image = vec![0; usize::try_from(map.end - map.start).ok()?.min(1 << 20)];
    File::open("/proc/self/mem").ok()?.read_exact_at(&mut image, map.start).ok()?;
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let map = parse("7f01-7f02 r-xp 0001a000 fe:00 1234       /usr/lib/a b.so").unwrap();
        assert_eq!(
            map,
            Map { start: 0x7f01, end: 0x7f02, file_offset: 0x1a000, has_file: true, path: "/usr/lib/a b.so".into() }
        );
        assert_eq!(map.ways(9)[0], PathBuf::from("/proc/9/map_files/7f01-7f02"));
        assert_eq!(map.ways(9)[1], PathBuf::from("/proc/9/root/usr/lib/a b.so"));
        assert!(parse("7f01-7f02 rw-p 00000000 00:00 0 ").is_none());
        let jit = parse("7f01-7f02 rwxp 00000000 00:00 0 ").unwrap();
        assert_eq!((jit.path.as_str(), jit.has_file), ("", false));
        assert_eq!(parse("7f01-7f02 r-xp 00000000 00:00 0 [anon:v8]").unwrap().path, "");
        assert!(parse("").is_none() && parse("x").is_none() && parse("1-2 r-xp").is_none());
    }
}
