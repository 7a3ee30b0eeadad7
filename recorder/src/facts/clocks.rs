//! The four clocks, read together.

use formats::facts::ClockSnapshot;

fn read(clock: libc::clockid_t) -> u64 {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid place for the result; an unknown clock leaves it zero.
    unsafe { libc::clock_gettime(clock, &raw mut ts) };
    u64::try_from(ts.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(ts.tv_nsec).unwrap_or(0)
}

/// `CLOCK_MONOTONIC` now, ns: the clock of all event records.
#[must_use]
pub fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Reads all clocks as close together as this thread is let: of five tries the one that took least.
///
/// `monotonic_ns` is the middle of two readings around the others.
#[must_use]
pub fn snapshot() -> ClockSnapshot {
    let mut best = ClockSnapshot { spread_ns: u64::MAX, ..ClockSnapshot::default() };
    for _ in 0..5 {
        let before = monotonic();
        let boottime_ns = read(libc::CLOCK_BOOTTIME);
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
