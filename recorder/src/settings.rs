//! The command line as working objects: checked against each other and against this node.

use crate::args::Args;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All rings together, unless `--ring` says otherwise.
const RINGS_TOTAL: u64 = 128 << 20;
/// Smallest and largest ring of one CPU by default.
const RING_RANGE: (u64, u64) = (1 << 20, 16 << 20);
/// Most bytes of a packet that are kept: the largest an IP packet with its link-layer header can be.
pub const MAX_SNAPLEN: u32 = 65_535;

/// Where the bundle goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A new file.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// What is to be recorded, where to, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the bundle goes.
    pub output: Output,
    /// Stop after this time.
    pub duration: Option<Duration>,
    /// Stop before the file is larger than this, bytes; 0 = no limit.
    pub max_size: u64,
    /// Names of the interfaces whose packets are wanted; empty = all.
    pub interfaces: Vec<String>,
    /// Processes wanted; empty = all.
    pub pids: Vec<u32>,
    /// Thread names wanted; empty = all.
    pub comms: Vec<String>,
    /// cgroups wanted with their cgroup v2 ids; empty = all.
    pub cgroups: Vec<(PathBuf, u64)>,
    /// Ports wanted; empty = all.
    pub ports: Vec<u16>,
    /// Payload prefix per system call, bytes.
    pub payload: u32,
    /// Bytes kept of every packet.
    pub snaplen: u32,
    /// Samples per second and CPU.
    pub frequency: u32,
    /// Ring of one CPU, bytes, a power of two.
    pub ring: u64,
    /// Packets wanted.
    pub packets: bool,
    /// System calls wanted.
    pub syscalls: bool,
    /// Stack samples wanted.
    pub stacks: bool,
    /// Program to run while recording; empty = none.
    pub command: Vec<OsString>,
}

impl Settings {
    /// Checks what was typed and resolves what depends on the node.
    pub fn new(args: Args, cpus: u32) -> Result<Self> {
        if args.no_packets && args.no_syscalls && args.no_stacks {
            bail!("nothing is left to record: drop one of --no-packets, --no-syscalls, --no-stacks");
        }
        if args.no_packets && !args.interfaces.is_empty() {
            bail!("-i chooses packets, but --no-packets leaves them out: drop one of them");
        }
        for comm in &args.comms {
            if comm.is_empty() || comm.len() > 15 {
                bail!("--comm {comm:?}: the kernel keeps 1 to 15 bytes of a thread's name (see /proc/PID/comm)");
            }
        }
        // `--pid` alone, and nobody there: it would record nothing.
        let gone = crate::opening::gone(&args.pids);
        if !gone.is_empty() && gone.len() == args.pids.len() && args.comms.is_empty() && args.cgroups.is_empty() {
            let pids: Vec<String> = gone.iter().map(|pid| format!("--pid {pid}")).collect();
            bail!("{}: no such process", pids.join(", "));
        }
        let cgroups = args.cgroups.iter().map(|path| cgroup(path)).collect::<Result<_>>()?;
        let output = match args.output {
            Some(path) if path.as_os_str() == "-" => Output::Stdout,
            Some(path) => Output::File(path),
            None => Output::File(default_name(&crate::facts::hostname(), crate::facts::clocks::snapshot().realtime_ns)),
        };
        let ring =
            args.ring.unwrap_or_else(|| (RINGS_TOTAL / u64::from(cpus.max(1))).clamp(RING_RANGE.0, RING_RANGE.1));
        if !(4096..=1 << 30).contains(&ring) {
            bail!("--ring {ring}: a ring takes 4KiB to 1GiB per CPU");
        }
        Ok(Self {
            output,
            duration: args.duration,
            max_size: args.max_size,
            interfaces: args.interfaces.into_iter().filter(|name| name != "any").collect(),
            pids: args.pids,
            comms: args.comms,
            cgroups,
            ports: args.ports,
            payload: args.payload,
            snaplen: if args.snaplen == 0 { MAX_SNAPLEN } else { args.snaplen.min(MAX_SNAPLEN) },
            frequency: args.frequency,
            ring: ring.next_power_of_two(),
            packets: !args.no_packets,
            syscalls: !args.no_syscalls,
            stacks: !args.no_stacks,
            command: args.command,
        })
    }
}

/// The cgroup v2 id of a directory: its inode number.
fn cgroup(path: &Path) -> Result<(PathBuf, u64)> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let candidates = [
        path.to_path_buf(),
        Path::new("/sys/fs/cgroup").join(relative),
        Path::new("/sys/fs/cgroup/unified").join(relative),
    ];
    for candidate in candidates {
        if candidate.join("cgroup.procs").exists()
            && candidate.join("cgroup.controllers").exists()
            && let Ok(meta) = candidate.metadata()
        {
            return Ok((candidate, meta.ino()));
        }
    }
    Err(anyhow::anyhow!("no cgroup v2 directory")).with_context(|| {
        format!(
            "--cgroup {}: give a directory below /sys/fs/cgroup, as in /proc/PID/cgroup after `0::`",
            path.display()
        )
    })
}

/// `web1-20261123T043000Z.zst`.
fn default_name(host: &str, realtime_ns: u64) -> PathBuf {
    let host: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') { c } else { '_' }).collect();
    let host = if host.is_empty() { "node" } else { host.as_str() };
    let [year, month, day, hour, minute, second] = civil(realtime_ns / 1_000_000_000);
    PathBuf::from(format!("{host}-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z.zst"))
}

/// Seconds since the epoch as year, month, day, hour, minute, second (UTC, proleptic Gregorian calendar).
///
/// Days are counted from 1 March of year 0, so that the leap day ends a year (H. Hinnant, "chrono-compatible
/// low-level date algorithms").
fn civil(seconds: u64) -> [u64; 6] {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let of_day = seconds % 86_400;
    [year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60]
}

#[cfg(test)]
mod tests;
