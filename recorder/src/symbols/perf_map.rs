//! JIT symbols: `/tmp/perf-PID.map` as perf defines it (tools/perf/Documentation/jit-interface.txt):
//! lines of `START SIZE NAME`, numbers in hex.

use crate::facts::processes::read_bytes;
use std::path::{Path, PathBuf};

/// Most bytes read of a map.
const BYTES_LIMIT: u64 = 64 << 20;

/// Functions of a JIT compiler.
#[derive(Debug, Default)]
pub struct PerfMap {
    /// Start, size, name; ordered by start.
    entries: Vec<(u64, u64, String)>,
    /// Length of the file when it was read.
    len: u64,
}

/// Where the map of a process is: named by the process id inside its own namespace, in its own /tmp.
#[must_use]
pub fn path(pid: u32, ns_pid: u32) -> PathBuf {
    format!("/proc/{pid}/root/tmp/perf-{ns_pid}.map").into()
}

impl PerfMap {
    /// Reads the map again if the file has grown. Returns whether it did.
    pub fn refresh(&mut self, path: &Path) -> bool {
        let len = std::fs::metadata(path).map_or(0, |m| if m.is_file() { m.len() } else { 0 });
        if len == self.len {
            return false;
        }
        let bytes = read_bytes(path, BYTES_LIMIT).unwrap_or_default();
        self.entries = String::from_utf8_lossy(&bytes).lines().filter_map(parse).collect();
        // A later line for the same place replaces an earlier one: code memory is used again. Stable sort, last wins.
        self.entries.sort_by_key(|e| e.0);
        self.len = len;
        true
    }

    /// Name and bytes from the start of the function at an address.
    #[must_use]
    pub fn lookup(&self, address: u64) -> Option<(&str, u64)> {
        let end = self.entries.partition_point(|e| e.0 <= address);
        let (start, size, name) = self.entries.get(end.checked_sub(1)?)?;
        (address - start < *size).then_some((name.as_str(), address - start))
    }
}

fn parse(line: &str) -> Option<(u64, u64, String)> {
    let mut fields = line.splitn(3, ' ');
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let (start, size, name) = (number(fields.next()?)?, number(fields.next()?)?, fields.next()?.trim_end());
    (!name.is_empty()).then(|| (start, size, name.chars().take(1024).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("perf-1.map");
        let mut map = PerfMap::default();
        assert!(!map.refresh(&path));
        std::fs::write(&path, "7f00 10 LazyCompile:*a b /x.js:1\n7f20 10 old\n0x7f20 10 new\nbroken\n1 2\n").unwrap();
        assert!(map.refresh(&path) && !map.refresh(&path));
        assert_eq!(map.lookup(0x7f05), Some(("LazyCompile:*a b /x.js:1", 5)));
        assert_eq!(map.lookup(0x7f20), Some(("new", 0)));
        assert_eq!(map.lookup(0x7f10), None);
        assert_eq!(map.lookup(0), None);
    }
}
