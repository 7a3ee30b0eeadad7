//! What our programs cost, as the kernel counts it (`BPF_ENABLE_STATS`).
//!
//! Counting is dear itself: two looks at the clock, some 50 ns per run, and for every program of the node. So it is
//! on for one second in ten, and what was counted stands for the rest.

use anyhow::{Context as _, Result};
use std::{
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

/// How long the kernel counts, and how long it then does not.
const ON: Duration = Duration::from_secs(1);
const OFF: Duration = Duration::from_secs(9);

/// Counting now and then.
pub(super) struct Stats {
    /// While this is open, the kernel counts.
    fd: Option<OwnedFd>,
    started: Instant,
    switched: Instant,
    counted: Duration,
}

impl Stats {
    /// Starts to count.
    pub(super) fn start() -> Result<Self> {
        let now = Instant::now();
        Ok(Self { fd: Some(open()?), started: now, switched: now, counted: Duration::ZERO })
    }

    /// To be called often: goes on or pauses.
    pub(super) fn tick(&mut self) {
        let elapsed = self.switched.elapsed();
        if self.fd.is_some() && elapsed >= ON {
            self.fd = None;
            self.counted += elapsed;
        } else if self.fd.is_none() && elapsed >= OFF {
            // It worked before; if not now, what was counted so far stands for more.
            self.fd = open().ok();
        } else {
            return;
        }
        self.switched = Instant::now();
    }

    /// How often what was counted is contained in the time since the start; at least 1.
    #[must_use]
    pub(super) fn scale(&self) -> f64 {
        let now = if self.fd.is_some() { self.switched.elapsed() } else { Duration::ZERO };
        scale(self.started.elapsed(), self.counted + now)
    }
}

fn scale(all: Duration, counted: Duration) -> f64 {
    if counted.is_zero() { 1.0 } else { (all.as_secs_f64() / counted.as_secs_f64()).max(1.0) }
}

/// `BPF_OBJ_GET_INFO_BY_FD`, and where `struct bpf_prog_info` (include/uapi/linux/bpf.h) has `recursion_misses`.
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const MISSES_AT: usize = 208;

/// Runs of a program that the kernel left out because of recursion (since 5.12).
#[must_use]
pub(super) fn misses(program: BorrowedFd<'_>) -> u64 {
    #[repr(C)]
    struct Attr {
        fd: u32,
        len: u32,
        info: u64,
    }
    // Zeroes: no room for lists is offered.
    let mut info = [0u8; 256];
    let attr = Attr { fd: program.as_raw_fd().cast_unsigned(), len: 256, info: info.as_mut_ptr() as u64 };
    // SAFETY: the kernel reads `attr` and writes at most 256 bytes to `info`.
    let failed = unsafe { libc::syscall(libc::SYS_bpf, OBJ_GET_INFO_BY_FD, &raw const attr, size_of::<Attr>()) } != 0;
    match info.get(MISSES_AT..).and_then(|rest| rest.first_chunk()) {
        Some(bytes) if !failed => u64::from_ne_bytes(*bytes),
        _ => 0,
    }
}

fn open() -> Result<OwnedFd> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime).context("cannot enable BPF statistics")
}

#[cfg(test)]
mod tests {
    use super::scale;
    use std::time::Duration;

    #[test]
    fn what_was_counted_stands_for_the_rest() {
        let s = Duration::from_secs;
        assert_eq!(scale(s(10), s(1)), 10.0);
        assert_eq!(scale(s(1), s(1)), 1.0);
        assert_eq!(scale(s(1), s(0)), 1.0, "nothing was counted");
        assert_eq!(scale(s(1), s(2)), 1.0);
    }
}
