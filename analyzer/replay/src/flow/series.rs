//! Round trips over time: what tcptrace draws as its round-trip graph, in bounded memory.
//!
//! Every sample goes into a stretch of time; stretches without samples do not exist. They are a millisecond long at first. When there
//! would be more than [`MOST`] of them, they become twice as long, as often as it takes. Their borders are multiples of their length since
//! 1970, so those of different flows fall together.

use crate::model::{Nanos, RttStretch};

/// Stretches of one direction at most.
pub(super) const MOST: usize = 64;
/// Their length at first.
const FIRST: Nanos = 1_000_000;

/// Round trips of one direction's data.
#[derive(Clone, Debug)]
pub(super) struct Series {
    width: Nanos,
    stretches: Vec<RttStretch>,
}

impl Default for Series {
    fn default() -> Self {
        Self { width: FIRST, stretches: Vec::new() }
    }
}

impl Series {
    /// A sample of `rtt`, complete at `now`. One from before the last stretch (clocks are set back) counts in that.
    pub(super) fn add(&mut self, now: Nanos, rtt: Nanos) {
        let ns = u64::try_from(rtt).unwrap_or(0);
        if let Some(last) = self.stretches.last_mut()
            && now.saturating_sub(last.start) < self.width
        {
            last.add(ns);
            return;
        }
        self.stretches.push(RttStretch {
            start: now - now.rem_euclid(self.width),
            samples: 1,
            min_ns: ns,
            max_ns: ns,
            sum_ns: ns,
        });
        while self.stretches.len() > MOST {
            self.double();
        }
    }

    #[cold]
    fn double(&mut self) {
        let Some(width) = self.width.checked_mul(2) else {
            // Longer than any time there is.
            self.stretches.truncate(MOST);
            return;
        };
        self.width = width;
        for s in &mut self.stretches {
            s.start -= s.start.rem_euclid(width);
        }
        self.stretches.dedup_by(|later, earlier| {
            let same = later.start == earlier.start;
            if same {
                earlier.join(later);
            }
            same
        });
    }

    /// Gives back memory that is not in use.
    pub(super) fn shrink(&mut self) {
        self.stretches.shrink_to_fit();
    }

    /// The stretches in the order of time, and how long each is.
    pub(super) fn finish(self) -> (u64, Vec<RttStretch>) {
        (self.width.unsigned_abs(), self.stretches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Nanos = 1_000_000;

    #[test]
    fn samples_of_one_millisecond_are_one_stretch() {
        let mut s = Series::default();
        for (at, rtt) in [(10 * MS + 1, 300), (10 * MS + 999_999, 100), (11 * MS, 50), (500 * MS, 7)] {
            s.add(at, rtt);
        }
        let stretch = |start, samples, min_ns, max_ns, sum_ns| RttStretch { start, samples, min_ns, max_ns, sum_ns };
        let want =
            vec![stretch(10 * MS, 2, 100, 300, 400), stretch(11 * MS, 1, 50, 50, 50), stretch(500 * MS, 1, 7, 7, 7)];
        assert_eq!(s.finish(), (MS as u64, want));
    }

    #[test]
    fn a_long_flow_has_longer_stretches() {
        let mut s = Series::default();
        // One sample a millisecond for 1000 ms: 64 stretches hold 1024 ms when they are 16 ms long.
        for n in 0..1000 {
            s.add(n * MS, n);
        }
        let (width, stretches) = s.finish();
        assert_eq!(width, 16 * MS as u64);
        assert_eq!(stretches.len(), 63);
        assert_eq!(stretches[1], RttStretch { start: 16 * MS, samples: 16, min_ns: 16, max_ns: 31, sum_ns: 376 });
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_grows(
            steps in prop::collection::vec((-5_000_000i64..40_000_000_000, 0i64..1_000_000_000), 1..400),
            start in prop_oneof![Just(0i64), Just(1_700_000_000_000_000_000), -1_000_000_000i64..0],
        ) {
            let mut s = Series::default();
            let mut now = start;
            for (step, rtt) in &steps {
                now += step;
                s.add(now, *rtt);
            }
            let (width, stretches) = s.finish();
            prop_assert!(stretches.len() <= MOST);
            prop_assert_eq!(stretches.iter().map(|s| s.samples as usize).sum::<usize>(), steps.len());
            prop_assert_eq!(stretches.iter().map(|s| s.sum_ns).sum::<u64>(), steps.iter().map(|(_, rtt)| *rtt as u64).sum::<u64>());
            prop_assert_eq!(stretches.iter().map(|s| s.max_ns).max(), steps.iter().map(|(_, rtt)| *rtt as u64).max());
            for pair in stretches.windows(2) {
                prop_assert!(pair[1].start - pair[0].start >= width as i64);
            }
            for s in stretches {
                prop_assert_eq!(s.start.rem_euclid(width as i64), 0);
                prop_assert!(s.min_ns <= s.max_ns && s.min_ns * u64::from(s.samples) <= s.sum_ns);
            }
        }
    }
}
