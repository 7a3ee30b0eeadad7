//! The four clocks, read together.

use formats::facts::ClockSnapshot;
use std::sync::OnceLock;

fn read(clock: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid place for the result; an unknown clock leaves it zero.
    unsafe { libc::clock_gettime(clock, &raw mut ts) };
    u64::try_from(ts.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(ts.tv_nsec).unwrap_or(0)
}

/// What this process' time namespace adds to the kernel's monotonic and boot time, ns. Programs in the kernel know of no namespace.
fn namespace() -> [i64; 2] {
    static OFFSETS: OnceLock<[i64; 2]> = OnceLock::new();
    *OFFSETS.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
        ["monotonic", "boottime"].map(|clock| offset_of(&text, clock))
    })
}

/// A line of `/proc/PID/timens_offsets` (time_namespaces(7)): clock, seconds, nanoseconds; 0 without one.
fn offset_of(text: &str, clock: &str) -> i64 {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(clock));
    let mut numbers = line.into_iter().flat_map(str::split_whitespace).map_while(|n| n.parse::<i64>().ok());
    let (seconds, nanos) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

fn outside(clock: libc::clockid_t, offset: i64) -> u64 {
    read(clock).saturating_add_signed(offset.saturating_neg())
}

/// `CLOCK_MONOTONIC` now, ns, as the kernel itself has it: the clock of all event records.
#[must_use]
pub fn monotonic() -> u64 {
    outside(libc::CLOCK_MONOTONIC, namespace()[0])
}

/// Reads all clocks as close together as this thread is let: of five tries the one that took least.
///
/// `monotonic_ns` is the middle of two readings around the others.
#[must_use]
pub fn snapshot() -> ClockSnapshot {
    let mut best = ClockSnapshot { spread_ns: u64::MAX, ..ClockSnapshot::default() };
    for _ in 0..5 {
        let before = monotonic();
        let boottime_ns = outside(libc::CLOCK_BOOTTIME, namespace()[1]);
        let realtime_ns = read(libc::CLOCK_REALTIME);
        let tai_ns = read(libc::CLOCK_TAI);
        let spread_ns = monotonic().saturating_sub(before);
        if spread_ns < best.spread_ns {
            best = ClockSnapshot { monotonic_ns: before + spread_ns / 2, boottime_ns, realtime_ns, tai_ns, spread_ns };
        }
    }
    best
}

/// What to add to a monotonic time for UTC.
#[must_use]
pub fn realtime_offset(clocks: &ClockSnapshot) -> i64 {
    clocks.realtime_ns.wrapping_sub(clocks.monotonic_ns).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::offset_of;

    #[test]
    fn offsets_of_a_time_namespace() {
        let text = "monotonic      172800         5\nboottime      -86400 999999999\n";
        assert_eq!(offset_of(text, "monotonic"), 172_800_000_000_005);
        assert_eq!(offset_of(text, "boottime"), -86_399_000_000_001);
        assert_eq!([offset_of("", "monotonic"), offset_of("monotonic x", "monotonic")], [0, 0]);
    }
}
