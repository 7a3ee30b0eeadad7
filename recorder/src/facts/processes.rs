//! The process table, out of /proc.

use super::{clocks, container, node};
use crate::masking;
use crate::symbols::elf::BuildIds;
use formats::facts::Process;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Longest command line that is kept, bytes.
const COMMAND_LINE_LIMIT: u64 = 4096;
/// Most thread names kept of one process.
const THREADS_LIMIT: usize = 256;

/// Reads processes out of /proc and remembers what it takes to do that often.
#[derive(Debug)]
pub struct Processes {
    build_ids: BuildIds,
    /// What to subtract from a boot time for a monotonic time, ns.
    suspended_ns: u64,
    ticks_per_second: u64,
    /// Secrets masked so far.
    masked: u64,
}

impl Default for Processes {
    fn default() -> Self {
        let now = clocks::snapshot();
        Self {
            build_ids: BuildIds::default(),
            suspended_ns: now.boottime_ns.saturating_sub(now.monotonic_ns),
            ticks_per_second: node::ticks_per_second(),
            masked: 0,
        }
    }
}

impl Processes {
    /// How many command-line words were masked so far.
    #[must_use]
    pub fn masked(&self) -> u64 {
        self.masked
    }

    /// What /proc says about a process; `None` if it is gone or a kernel thread's entry cannot be read.
    /// `seen_ns` is stored as it is: 0 for the table at the start, else the monotonic time of reading.
    pub fn read(&mut self, pid: u32, seen_ns: u64) -> Option<Process> {
        let root = format!("/proc/{pid}");
        let root = Path::new(&root);
        let stat = parse_stat(&read_bytes(&root.join("stat"), 4096)?)?;
        let status = String::from_utf8_lossy(&read_bytes(&root.join("status"), 8192).unwrap_or_default()).into_owned();
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
        let uid = field("Uid:").split_whitespace().next().and_then(|v| v.parse().ok()).unwrap_or(0);
        let ns_pid = field("NSpid:").split_whitespace().last().and_then(|v| v.parse().ok()).unwrap_or(pid);
        let cgroups = read_bytes(&root.join("cgroup"), 65_536).unwrap_or_default();
        let cgroups = String::from_utf8_lossy(&cgroups);
        let cgroup = container::path(&cgroups);
        let container_id = cgroups.lines().map(container::id).find(|id| !id.is_empty()).unwrap_or_default();
        let mut command_line =
            split_arguments(&read_bytes(&root.join("cmdline"), COMMAND_LINE_LIMIT).unwrap_or_default());
        self.masked += masking::mask_arguments(&mut command_line);
        let exe = fs::read_link(root.join("exe")).map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
        let build_id = if exe.is_empty() { String::new() } else { self.build_ids.of(&root.join("exe")) };
        let start_ns = u128::from(stat.start_ticks) * 1_000_000_000 / u128::from(self.ticks_per_second);
        let threads = if stat.threads > 1 { threads(root, pid, &stat.comm) } else { BTreeMap::new() };
        Some(Process {
            pid,
            ppid: stat.ppid,
            comm: stat.comm,
            command_line,
            exe,
            build_id,
            cgroup: cgroup.to_owned(),
            container: container_id.to_owned(),
            ns_pid,
            netns: netns_of(pid).unwrap_or(0),
            uid,
            start_ns: u64::try_from(start_ns).unwrap_or(u64::MAX).saturating_sub(self.suspended_ns),
            seen_ns,
            threads,
        })
    }
}

/// The numbers in /proc, ascending: the processes there are.
#[must_use]
pub fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut pids: Vec<u32> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// Inode number of the network namespace of a process.
#[must_use]
pub fn netns_of(pid: u32) -> Option<u32> {
    u32::try_from(fs::metadata(format!("/proc/{pid}/ns/net")).ok()?.ino()).ok()
}

/// At most `limit` bytes of a file.
pub fn read_bytes(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn split_arguments(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|&b| b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

struct Stat {
    comm: String,
    ppid: u32,
    threads: u32,
    start_ticks: u64,
}

/// /proc/PID/stat, proc_pid_stat(5). The name is framed by the first `(` and the last `)`, whatever is inside.
fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let text = String::from_utf8_lossy(bytes);
    let (_, rest) = text.split_once('(')?;
    let (comm, rest) = rest.rsplit_once(')')?;
    // Field 3, the state, is the first of `rest`; 4 is ppid, 20 num_threads, 22 starttime.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Stat {
        comm: comm.to_owned(),
        ppid: fields.get(1)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

fn threads(root: &Path, pid: u32, comm: &str) -> BTreeMap<u32, String> {
    let Ok(entries) = fs::read_dir(root.join("task")) else { return BTreeMap::new() };
    entries
        .flatten()
        .take(THREADS_LIMIT)
        .filter_map(|entry| {
            let tid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let name = read_bytes(&entry.path().join("comm"), 64)?;
            let name = String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned();
            (tid != pid && name != comm).then_some((tid, name))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses() {
        let line = b"17 (a) (b) S 3 17 17 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 123456 1 2 3\n";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.comm.as_str(), stat.ppid, stat.threads, stat.start_ticks), ("a) (b", 3, 9, 123_456));
        assert!(parse_stat(b"17 (x").is_none());
        assert!(parse_stat(b"17 (x) S 1").is_none());
    }

    #[test]
    fn this_process() {
        let mut processes = Processes::default();
        let me = std::process::id();
        let p = processes.read(me, 5).unwrap();
        assert_eq!((p.pid, p.seen_ns), (me, 5));
        assert_eq!(p.exe, std::env::current_exe().unwrap().to_string_lossy());
        assert!(p.command_line[0].contains("recorder"));
        // SAFETY: getppid and getuid only return numbers.
        let (ppid, uid) = unsafe { (libc::getppid(), libc::getuid()) };
        assert_eq!((i64::from(p.ppid), p.uid), (i64::from(ppid), uid));
        let now = clocks::monotonic();
        assert!(p.start_ns <= now && now - p.start_ns < 600_000_000_000, "{} {now}", p.start_ns);
        assert!(pids().contains(&me));
        assert!(processes.read(u32::MAX, 0).is_none());
    }

    #[test]
    fn arguments() {
        assert_eq!(split_arguments(b"a\0\0b\0"), ["a", "", "b"]);
        assert!(split_arguments(b"").is_empty());
        assert_eq!(split_arguments(b"nginx: worker process"), ["nginx: worker process"]);
    }
}
