//! How far the clocks of several nodes and captures are apart.
//!
//! A packet on its way takes no negative time, so each one that was seen by two clocks bounds their difference from one side, and one in the
//! other direction from the other side (as NTP does, RFC 5905, section 8; the smallest delays count). The truth lies between the bounds,
//! wherever that is; half of their distance is the uncertainty.

use super::place::{BACK, Place, THERE, exact};
use crate::model::Nanos;
use ahash::AHashMap;
use std::collections::BTreeMap;

/// Of each of these times the tightest bounds are kept.
const BUCKET_NS: Nanos = 100_000_000;
/// Where no line fits, each of these times has a difference of its own.
const PART_NS: Nanos = 10_000_000_000;
/// Times are noted so much before or after the packet passed.
const UNSURE_NS: Nanos = 50_000;
/// Clocks run at rates that differ by less, in billionths: a kernel slews by 500 ppm at most.
const MAX_DRIFT_PPB: i64 = 1_000_000;

/// What is known of the difference of two clocks within a while (second minus first): (when, not more than), (when, not less than).
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    upper: Option<(Nanos, Nanos)>,
    lower: Option<(Nanos, Nanos)>,
    packets: [u64; 2],
}

impl Bounds {
    fn add(&mut self, other: &Self) {
        // Of equal ones the earlier, so that the order of adding makes no difference.
        let better = |a: Option<(Nanos, Nanos)>, b: Option<(Nanos, Nanos)>, sign: i64| {
            [a, b].into_iter().flatten().min_by_key(|&(ts, bound)| (sign * bound, ts))
        };
        self.upper = better(self.upper, other.upper, 1);
        self.lower = better(self.lower, other.lower, -1);
        self.packets[0] += other.packets[0];
        self.packets[1] += other.packets[1];
    }
}

/// A line: the difference at a time, and its change in billionths.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: Nanos,
    ppb: i64,
}

impl Line {
    fn change(self, ts: Nanos) -> Nanos {
        let change = i128::from(ts - self.at) * i128::from(self.ppb) / 1_000_000_000;
        i64::try_from(change).unwrap_or(0)
    }

    /// (not less, not more) of the difference at the line's time, where it changes at the line's rate.
    fn range(self, parts: &[Bounds]) -> (Option<Nanos>, Option<Nanos>) {
        let level = |(ts, bound): (Nanos, Nanos)| bound.saturating_sub(self.change(ts));
        let upper = parts.iter().filter_map(|p| p.upper.map(level)).min();
        let lower = parts.iter().filter_map(|p| p.lower.map(level)).max();
        (lower, upper)
    }

    /// The rate that leaves the widest range: what is between the bounds is concave in it.
    fn widest(parts: &[Bounds], at: Nanos) -> Self {
        let width = |ppb: i64| {
            let (lower, upper) = Self { at, ppb }.range(parts);
            upper.unwrap_or(0).saturating_sub(lower.unwrap_or(0))
        };
        let (mut from, mut to) = (-MAX_DRIFT_PPB, MAX_DRIFT_PPB);
        while to - from > 2 {
            let third = (to - from) / 3;
            let (a, b) = (from + third, to - third);
            if width(a) < width(b) {
                from = a;
            } else {
                to = b;
            }
        }
        let ppb = (from..=to).max_by_key(|&ppb| (width(ppb), -ppb.abs())).unwrap_or(0);
        Self { at, ppb }
    }
}

/// Differences seen, by (smaller clock, larger clock, part of time).
#[derive(Clone, Debug, Default)]
pub(super) struct Differences(BTreeMap<(u32, u32, i64), Bounds>);

impl Differences {
    /// Takes in what two neighbouring places, the client's side first, saw of the same packets by clocks of their own.
    pub(super) fn learn(&mut self, near: &Place, far: &Place) {
        if near.clock == far.clock || near.side.is_some() || far.side.is_some() {
            return;
        }
        for way in [THERE, BACK] {
            let mut known: AHashMap<u64, Option<Nanos>> = AHashMap::new();
            for seen in &near.ways[way] {
                known.entry(exact(seen)).and_modify(|ts| *ts = None).or_insert(Some(seen.ts));
            }
            let mut again: AHashMap<u64, u32> = AHashMap::new();
            for seen in &far.ways[way] {
                *again.entry(exact(seen)).or_default() += 1;
            }
            for seen in &far.ways[way] {
                let key = exact(seen);
                let (Some(Some(ts)), Some(1)) = (known.get(&key), again.get(&key)) else { continue };
                self.one(near.clock, far.clock, way, (*ts, seen.ts));
            }
        }
    }

    fn one(&mut self, near: u32, far: u32, way: usize, (near_ts, far_ts): (Nanos, Nanos)) {
        let difference = far_ts - near_ts;
        // Times are those of the clock with the smaller number.
        let ts = if near < far { near_ts } else { far_ts };
        let mut bounds = Bounds::default();
        bounds.packets[way] = 1;
        // There: difference = delay + offset. Back: difference = offset - delay.
        let straight = near < far;
        let bound = Some((ts, if straight { difference } else { -difference }));
        if (way == THERE) == straight {
            bounds.upper = bound;
        } else {
            bounds.lower = bound;
        }
        let key = (near.min(far), near.max(far), ts.div_euclid(BUCKET_NS));
        self.0.entry(key).or_default().add(&bounds);
    }

    /// Adds what was learnt elsewhere.
    pub(super) fn add(mut self, other: Self) -> Self {
        for (key, bounds) in other.0 {
            self.0.entry(key).or_default().add(&bounds);
        }
        self
    }

    /// All clocks against the first of each set of clocks that saw the same packets.
    pub(super) fn solve(&self, clocks: u32) -> Clocks {
        let mut pairs: BTreeMap<(u32, u32), Vec<Bounds>> = BTreeMap::new();
        for (&(a, b, _), bounds) in &self.0 {
            pairs.entry((a, b)).or_default().push(*bounds);
        }
        let mut edges: Vec<Edge> = pairs.into_iter().map(|((a, b), parts)| Edge::new(a, b, &parts)).collect();
        edges.sort_by_key(|e| (e.uncertainty.unwrap_or(Nanos::MAX), e.a, e.b));
        let mut clocks = Clocks { of: (0..clocks).map(Clock::own).collect() };
        // Like Prim's: from the first clock on, always over the surest pair.
        for root in 0..clocks.of.len() as u32 {
            if clocks.of.get(root as usize).is_some_and(|c| c.reference != root) {
                continue;
            }
            let mut reached = vec![root];
            loop {
                let next = edges.iter().find_map(|e| {
                    let (from, to) = match (reached.contains(&e.a), reached.contains(&e.b)) {
                        (true, false) => (e.a, e.b),
                        (false, true) => (e.b, e.a),
                        _ => return None,
                    };
                    clocks.of.get(to as usize).filter(|c| c.reference == to).map(|_| (from, to, e))
                });
                let Some((from, to, edge)) = next else { break };
                reached.push(to);
                let base = clocks.of.get(from as usize).cloned().unwrap_or_else(|| Clock::own(from));
                if let Some(slot) = clocks.of.get_mut(to as usize) {
                    *slot = Clock::through(&base, root, edge, to == edge.b);
                }
            }
        }
        clocks
    }
}

/// What is known of one pair of clocks.
struct Edge {
    a: u32,
    b: u32,
    /// (time, difference), by time; one if one fits all.
    points: Vec<(Nanos, Nanos)>,
    uncertainty: Option<Nanos>,
    packets: [u64; 2],
}

impl Edge {
    fn new(a: u32, b: u32, parts: &[Bounds]) -> Self {
        let time = |p: &Bounds| p.upper.or(p.lower).map(|(ts, _)| ts);
        let first = parts.iter().find_map(time).unwrap_or(0);
        let last = parts.iter().rev().find_map(time).unwrap_or(first);
        let packets = parts.iter().fold([0; 2], |sum, p| [sum[0] + p.packets[0], sum[1] + p.packets[1]]);
        let mut edge = Self { a, b, points: Vec::new(), uncertainty: None, packets };
        let constant = Line { at: first, ppb: 0 };
        match constant.range(parts) {
            (None, None) => return edge,
            // One direction only: the smallest delay is taken for none.
            (Some(only), None) | (None, Some(only)) => edge.points.push((first, only)),
            // Hooks note times a little before or after: that alone is no drift.
            (Some(lower), Some(upper)) if lower <= upper + UNSURE_NS => edge.take(constant, lower, upper, last),
            _ => {
                let line = Line::widest(parts, first);
                match line.range(parts) {
                    (Some(lower), Some(upper)) if lower <= upper => edge.take(line, lower, upper, last),
                    _ => edge.piecewise(parts, first),
                }
            }
        }
        edge
    }

    /// One line fits all.
    fn take(&mut self, line: Line, lower: Nanos, upper: Nanos, last: Nanos) {
        let middle = lower + (upper - lower) / 2;
        self.points.push((line.at, middle));
        if line.ppb != 0 && last > line.at {
            self.points.push((last, middle + line.change(last)));
        }
        self.uncertainty = Some(((upper - lower).abs() + 1) / 2);
    }

    /// A clock was set, or runs unevenly: a difference for each part of the time.
    fn piecewise(&mut self, parts: &[Bounds], first: Nanos) {
        let time = |p: &Bounds| p.upper.or(p.lower).map_or(first, |(ts, _)| ts);
        let mut worst = 0;
        for part in parts.chunk_by(|a, b| time(a).div_euclid(PART_NS) == time(b).div_euclid(PART_NS)) {
            let middle = part.first().map_or(first, time).div_euclid(PART_NS) * PART_NS + PART_NS / 2;
            if let (Some(lower), Some(upper)) = (Line { at: middle, ppb: 0 }).range(part) {
                self.points.push((middle, lower + (upper - lower) / 2));
                worst = worst.max((upper - lower).abs() / 2 + 1);
            }
        }
        self.uncertainty = (!self.points.is_empty()).then_some(worst);
    }
}

/// One clock against its reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clock {
    /// The clock that it is compared with; itself where there is none.
    pub(super) reference: u32,
    /// (time, by how much it is ahead), by time.
    points: Vec<(Nanos, Nanos)>,
    /// Half of the range in which the truth lies; unknown where packets were seen in one direction only.
    pub(super) uncertainty: Option<Nanos>,
    /// Packets that it rests on: in one direction, in the other.
    pub(super) packets: [u64; 2],
}

impl Clock {
    fn own(clock: u32) -> Self {
        Self { reference: clock, points: Vec::new(), uncertainty: Some(0), packets: [0; 2] }
    }

    fn through(base: &Self, root: u32, edge: &Edge, forward: bool) -> Self {
        let sign = if forward { 1 } else { -1 };
        // Each clock's points have its own times; the edge's have those of its first clock.
        let point = |&(ts, d): &(Nanos, Nanos)| {
            let (own, of_base) = if forward { (ts + d, ts) } else { (ts, ts + d) };
            (own, base.ahead(of_base) + sign * d)
        };
        let points = edge.points.iter().map(point).collect();
        let uncertainty = base.uncertainty.zip(edge.uncertainty).map(|(a, b)| a + b);
        Self { reference: root, points, uncertainty, packets: edge.packets }
    }

    /// By how much the clock is ahead of its reference at one of its times.
    pub(super) fn ahead(&self, ts: Nanos) -> Nanos {
        let after = self.points.partition_point(|p| p.0 <= ts);
        let before = after.checked_sub(1).and_then(|i| self.points.get(i));
        match (before, self.points.get(after)) {
            (None, None) => 0,
            (Some(one), None) | (None, Some(one)) => one.1,
            (Some(a), Some(b)) => {
                let part = i128::from(ts - a.0) * i128::from(b.1 - a.1) / i128::from((b.0 - a.0).max(1));
                a.1 + i64::try_from(part).unwrap_or(0)
            }
        }
    }

    /// By how much it was ahead at first, and how much that changed.
    pub(super) fn summary(&self) -> (Nanos, Nanos) {
        let first = self.points.first().map_or(0, |p| p.1);
        (first, self.points.last().map_or(0, |p| p.1 - first))
    }
}

/// All clocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Clocks {
    pub(super) of: Vec<Clock>,
}

impl Clocks {
    /// A time by the reference of its clock.
    pub(super) fn corrected(&self, clock: u32, ts: Nanos) -> Nanos {
        self.of.get(clock as usize).map_or(ts, |c| ts.saturating_sub(c.ahead(ts)))
    }

    /// How sure the difference of two clocks is: `None` where it is not known.
    pub(super) fn between(&self, a: u32, b: u32) -> Option<Nanos> {
        let (x, y) = (self.of.get(a as usize)?, self.of.get(b as usize)?);
        if a == b {
            return Some(0);
        }
        if x.reference != y.reference {
            return None;
        }
        Some(x.uncertainty? + y.uncertainty?)
    }
}
