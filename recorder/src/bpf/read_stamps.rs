//! When reads begin: the programs at their entries, attached while that is cheap enough.
//!
//! A hook at the entry of `read` costs some 150 ns per call, for files too, and a node may make a million such calls a
//! second. So the entries are counted; above [`LIMIT`] the hooks are taken off, and tried again later. Meanwhile a program at
//! the scheduler notes when a read begins to wait. Reads that need not wait, which take a microsecond, then have no entry time
//! and say so (`NO_ENTRY`).

use super::Link;
use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, MapData, PerCpuArray};
use std::{
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

/// Entries per second and CPU above which they are not noted: 0.4 % of a CPU.
const LIMIT: f64 = 25_000.0;
/// The rate is looked at this often.
const EVERY: Duration = Duration::from_millis(100);
/// How long the hooks stay off at first, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// A hook that can be attached again: tracefs, where its number stands, may be seen by the loading thread only.
struct Hook {
    /// Number of the tracepoint.
    id: u64,
    /// The program.
    program: OwnedFd,
}

/// The hooks at the entries of reads.
#[derive(Default)]
pub(super) struct ReadStamps {
    hooks: Vec<Hook>,
    /// Attached ones.
    links: Vec<Link>,
    /// What notes when reads begin to wait, and whether it is attached.
    waits: Option<OwnedFd>,
    waiting: Option<OwnedFd>,
    count: Option<PerCpuArray<MapData, u64>>,
    from: Option<Array<MapData, [u64; 8]>>,
    counted: u64,
    looked: Option<Instant>,
    /// Off until then.
    again: Option<Instant>,
    rest: Duration,
}

impl ReadStamps {
    /// Attaches `program` to the tracepoint `syscalls/NAME`.
    pub(super) fn attach(&mut self, program: BorrowedFd<'_>, name: &str) -> Result<()> {
        let folders = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
        let id = folders.iter().find_map(|folder| {
            std::fs::read_to_string(format!("{folder}/events/syscalls/{name}/id")).ok()?.trim().parse().ok()
        });
        let hook =
            Hook { id: id.context("the kernel has no such tracepoint")?, program: program.try_clone_to_owned()? };
        self.links.push(attach(&hook)?);
        self.hooks.push(hook);
        Ok(())
    }

    /// `program` is put on while the others are off.
    pub(super) fn instead(&mut self, program: BorrowedFd<'_>) -> Result<()> {
        self.waits = Some(program.try_clone_to_owned()?);
        Ok(())
    }

    /// The maps by which programs and recorder speak. Without them nothing is ever taken off.
    pub(super) fn connect(&mut self, count: PerCpuArray<MapData, u64>, words: Array<MapData, [u64; 8]>) {
        self.count = Some(count);
        self.from = Some(words);
        self.rest = REST.0;
    }

    /// To be called often: takes the hooks off, or puts them on again.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        let since = self.looked.map_or(Duration::ZERO, |looked| now.saturating_duration_since(looked));
        if self.hooks.is_empty() || (self.looked.is_some() && since < EVERY) {
            return;
        }
        self.looked = Some(now);
        if let Some(again) = self.again {
            if now >= again {
                self.on();
            }
            return;
        }
        let Some(values) = self.count.as_ref().and_then(|count| count.get(&0, 0).ok()) else { return };
        let count: u64 = values.iter().sum();
        let new = count.saturating_sub(std::mem::replace(&mut self.counted, count));
        if !since.is_zero() && is_too_much(new, since, values.len()) {
            self.off(now);
        }
    }

    fn off(&mut self, now: Instant) {
        // Without it reads have no entry time, and say so.
        self.waiting = self.waits.as_ref().and_then(|program| attach_typed(program).ok());
        // First nothing that was noted is believed any more, then nothing more is noted.
        self.believe_from(u64::MAX);
        let links = std::mem::take(&mut self.links);
        // The kernel waits until no CPU can be inside of them, too long for a thread that drains rings.
        let _ = std::thread::Builder::new().name("record-detach".into()).spawn(move || drop(links));
        self.again = Some(now + self.rest);
        self.rest = (self.rest * 2).min(REST.1);
    }

    fn on(&mut self) {
        self.again = None;
        // What cannot be attached again stays off: its reads say so.
        self.links.extend(self.hooks.iter().filter_map(|hook| attach(hook).ok()));
        self.believe_from(crate::facts::clocks::monotonic());
        if let Some(link) = self.waiting.take() {
            let _ = std::thread::Builder::new().name("record-detach".into()).spawn(move || drop(link));
        }
    }

    fn believe_from(&mut self, ts: u64) {
        if let Some(words) = &mut self.from {
            let _ = words.set(super::layout::READS_FROM, [ts, 0, 0, 0, 0, 0, 0, 0], 0);
        }
    }
}

fn is_too_much(entries: u64, time: Duration, cpus: usize) -> bool {
    entries as f64 / time.as_secs_f64() / cpus.max(1) as f64 > LIMIT
}

/// `bpf(BPF_RAW_TRACEPOINT_OPEN)` for a program that knows its tracepoint by the kernel's types.
fn attach_typed(program: &OwnedFd) -> Result<OwnedFd> {
    /// The part of `union bpf_attr` in include/uapi/linux/bpf.h.
    #[repr(C)]
    struct Attr {
        name: u64,
        program: u32,
        unused: u32,
    }
    const RAW_TRACEPOINT_OPEN: libc::c_ulong = 17;
    let attr = Attr { name: 0, program: u32::try_from(program.as_raw_fd())?, unused: 0 };
    // SAFETY: the kernel reads `attr`.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, RAW_TRACEPOINT_OPEN, &raw const attr, size_of::<Attr>()) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    ensure!(fd >= 0, "raw tracepoint: {}", std::io::Error::last_os_error());
    // SAFETY: a file descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `perf_event_open(2)` for a tracepoint, and the program to it.
fn attach(hook: &Hook) -> Result<Link> {
    /// `struct perf_event_attr` as of PERF_ATTR_SIZE_VER0, include/uapi/linux/perf_event.h.
    #[repr(C)]
    struct Attr {
        kind: u32,
        size: u32,
        config: u64,
        rest: [u64; 6],
    }
    const TRACEPOINT: u32 = 2;
    const CLOEXEC: libc::c_ulong = 8;
    const SET_BPF: libc::c_ulong = 0x4004_2408;
    const ENABLE: libc::c_ulong = 0x2400;
    let attr = Attr { kind: TRACEPOINT, size: 64, config: hook.id, rest: [0; 6] };
    const _: () = assert!(size_of::<Attr>() == 64);
    // SAFETY: the kernel reads `attr`. A program on a tracepoint runs on all CPUs, whichever the event is opened for.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, 0, -1, CLOEXEC) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    ensure!(fd >= 0, "perf_event_open: {}", std::io::Error::last_os_error());
    // SAFETY: a file descriptor that nobody else has.
    let event = unsafe { OwnedFd::from_raw_fd(fd) };
    for (request, argument) in [(SET_BPF, hook.program.as_raw_fd()), (ENABLE, 0)] {
        // SAFETY: both requests take a number.
        let failed = unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } != 0;
        ensure!(!failed, "perf event: {}", std::io::Error::last_os_error());
    }
    Ok(Box::new(event))
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, is_too_much};
    use std::time::Duration;

    #[test]
    fn the_rate_counts_per_cpu() {
        let second = Duration::from_secs(1);
        let limit = LIMIT as u64;
        assert!(!is_too_much(limit, second, 1));
        assert!(is_too_much(limit + 1, second, 1));
        assert!(!is_too_much(2 * limit, second, 2));
        assert!(is_too_much(limit / 5, Duration::from_millis(100), 1));
    }
}
