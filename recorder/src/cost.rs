//! What the recorder itself costs.

use crate::facts::clocks;
use crate::source::Source;
use formats::facts::RecorderCost;

/// CPU time of this process so far, user and system, ns; and its peak resident memory, bytes.
#[must_use]
pub fn own_usage() -> (u64, u64) {
    // SAFETY: zero is a valid rusage; the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let ns = |t: libc::timeval| {
        u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_usec).unwrap_or(0) * 1000
    };
    // ru_maxrss is in KiB on Linux.
    (ns(usage.ru_utime) + ns(usage.ru_stime), u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024)
}

/// The cost up to now. `cpu_before` is what this process had used when recording began.
#[must_use]
pub fn measure(source: &Source, cpu_before: u64, written_bytes: u64, content_bytes: u64) -> RecorderCost {
    let (cpu, max_rss_bytes) = own_usage();
    RecorderCost {
        at_ns: clocks::monotonic(),
        cpu_ns: cpu.saturating_sub(cpu_before),
        max_rss_bytes,
        map_bytes: source.map_bytes(),
        written_bytes,
        content_bytes,
        programs: source.program_costs(),
    }
}
