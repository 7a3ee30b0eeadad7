//! Delays of a flow: count, sum, maximum, percentiles.
//!
//! Up to [`EXACT`] samples are kept as they are; beyond, they go into buckets 1/32 wide (relative), so that a
//! connection with millions of exchanges takes 8 KB and its percentiles are within 3.2 %.

use crate::model::DelayStats;

/// Samples kept exactly.
const EXACT: usize = 128;
/// Buckets per power of two, as a power of two.
const BITS: u32 = 5;
const BUCKETS: usize = 64 << BITS;

/// Delays being collected. Most flows have a few, and there may be a million flows: this is no larger than a vector.
#[derive(Clone, Debug)]
pub struct Delays(Samples);

#[derive(Clone, Debug)]
enum Samples {
    Exact(Vec<u64>),
    Buckets(Box<Buckets>),
}

#[derive(Clone, Debug)]
struct Buckets {
    count: u32,
    sum: u64,
    max: u64,
    counts: [u32; BUCKETS],
}

impl Buckets {
    fn add(&mut self, ns: u64) {
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(ns);
        self.max = self.max.max(ns);
        if let Some(n) = self.counts.get_mut(bucket(ns)) {
            *n = n.saturating_add(1);
        }
    }
}

impl Default for Delays {
    fn default() -> Self {
        Self(Samples::Exact(Vec::new()))
    }
}

fn bucket(ns: u64) -> usize {
    if ns < 1 << BITS {
        return ns as usize;
    }
    let exponent = 63 - ns.leading_zeros();
    let within = (ns >> (exponent - BITS)) & ((1 << BITS) - 1);
    (((exponent - BITS + 1) << BITS) as usize + within as usize).min(BUCKETS - 1)
}

/// Middle of a bucket.
fn value(bucket: usize) -> u64 {
    if bucket < 1 << BITS {
        return bucket as u64;
    }
    let exponent = (bucket >> BITS) as u32 - 1;
    let within = (bucket & ((1 << BITS) - 1)) as u64;
    (((1 << BITS) + within) << exponent) + ((1u64 << exponent) >> 1)
}

impl Delays {
    /// Adds one; negative ones (clocks set back) count as 0.
    pub fn add(&mut self, ns: i64) {
        let ns = u64::try_from(ns).unwrap_or(0);
        match &mut self.0 {
            Samples::Exact(v) if v.len() < EXACT => v.push(ns),
            Samples::Exact(v) => {
                let mut buckets = Box::new(Buckets { count: 0, sum: 0, max: 0, counts: [0; BUCKETS] });
                v.iter().chain([&ns]).for_each(|&ns| buckets.add(ns));
                self.0 = Samples::Buckets(buckets);
            }
            Samples::Buckets(buckets) => buckets.add(ns),
        }
    }

    /// Gives back memory that is not in use.
    pub(crate) fn shrink(&mut self) {
        if let Samples::Exact(v) = &mut self.0 {
            v.shrink_to_fit();
        }
    }

    /// The numbers; percentiles by nearest rank.
    #[must_use]
    pub fn stats(self) -> DelayStats {
        let (count, sum_ns, max_ns, at): (u32, u64, u64, Box<dyn Fn(u64) -> u64>) = match self.0 {
            Samples::Exact(v) if v.is_empty() => return DelayStats::default(),
            Samples::Exact(mut v) => {
                v.sort_unstable();
                let (count, max) = (v.len() as u32, v.last().copied().unwrap_or(0));
                let sum = v.iter().fold(0u64, |sum, ns| sum.saturating_add(*ns));
                (count, sum, max, Box::new(move |rank| v.get(rank as usize - 1).copied().unwrap_or(max)))
            }
            Samples::Buckets(b) => (
                b.count,
                b.sum,
                b.max,
                Box::new(move |rank| {
                    let mut seen = 0;
                    let found = b.counts.iter().position(|&n| {
                        seen += u64::from(n);
                        seen >= rank
                    });
                    found.map_or(b.max, value).min(b.max)
                }),
            ),
        };
        let at = |percent: u64| at((u64::from(count) * percent).div_ceil(100).max(1));
        DelayStats { count, sum_ns, max_ns, p50_ns: at(50), p95_ns: at(95), p99_ns: at(99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_samples_are_exact() {
        let mut d = Delays::default();
        for ns in 1..=100 {
            d.add(ns * 1000);
        }
        let s = d.stats();
        assert_eq!((s.count, s.sum_ns, s.max_ns), (100, 5_050_000, 100_000));
        assert_eq!((s.p50_ns, s.p95_ns, s.p99_ns), (50_000, 95_000, 99_000));
    }

    #[test]
    fn many_samples_are_within_a_bucket() {
        let mut d = Delays::default();
        for ns in 1..=10_000i64 {
            d.add(ns * 1000);
        }
        let s = d.stats();
        assert_eq!((s.count, s.sum_ns, s.max_ns), (10_000, 50_005_000_000, 10_000_000));
        for (got, want) in [(s.p50_ns, 5_000_000.0), (s.p95_ns, 9_500_000.0), (s.p99_ns, 9_900_000.0)] {
            let off = (got as f64 - want).abs() / want;
            assert!(off < 0.032, "{got} {want}");
        }
    }

    #[test]
    fn a_bucket_holds_its_own_middle() {
        for ns in [0u64, 1, 31, 32, 33, 1000, 123_456_789, u64::MAX / 3] {
            assert_eq!(bucket(value(bucket(ns))), bucket(ns), "{ns}");
        }
    }
}
