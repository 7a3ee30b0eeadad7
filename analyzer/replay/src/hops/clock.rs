//! How far the clocks of several nodes and captures are apart.
//!
//! A packet on its way takes no negative time, so each one that was seen by two clocks bounds their difference from one side, and one in the
//! other direction from the other side (as NTP does, RFC 5905, section 8; the smallest delays count). The truth lies between the bounds,
//! wherever that is; half of their distance is the uncertainty.

use super::offset::{Bounds, Edge, between};
use super::place::{BACK, Place, THERE, exact};
use crate::model::Nanos;
use ahash::AHashMap;
use std::collections::BTreeMap;

/// Of each of these times the tightest bounds are kept.
const BUCKET_NS: Nanos = 100_000_000;

/// Differences seen, by (smaller clock, larger clock, part of time).
type ByPart = BTreeMap<(u32, u32, i64), Bounds>;

/// What packets say of the differences of clocks.
#[derive(Clone, Debug, Default)]
pub(super) struct Differences {
    /// Of conversations whose packets both clocks saw in both directions: which place is nearer to the client does not hang on the clocks then.
    both_ways: ByPart,
    /// Of those seen in one direction only, whose places may be in the wrong order: for clocks that nothing else compares.
    one_way: ByPart,
}

impl Differences {
    /// Takes in what two neighbouring places, the client's side first, saw of the same packets by clocks of their own.
    pub(super) fn learn(&mut self, near: &Place, far: &Place) {
        if near.clock == far.clock || near.side.is_some() || far.side.is_some() {
            return;
        }
        let seen = [THERE, BACK].map(|way| same(near, far, way));
        let one_way = seen.iter().any(Vec::is_empty);
        let to = if one_way { &mut self.one_way } else { &mut self.both_ways };
        for (way, seen) in seen.into_iter().enumerate() {
            for times in seen {
                one(to, (near.clock, far.clock), way, times);
            }
        }
    }

    /// Adds what was learnt elsewhere.
    pub(super) fn add(mut self, other: Self) -> Self {
        for (to, from) in [(&mut self.both_ways, other.both_ways), (&mut self.one_way, other.one_way)] {
            for (key, bounds) in from {
                to.entry(key).or_default().add(&bounds);
            }
        }
        self
    }

    /// What is known of each pair of clocks.
    fn edges(&self) -> Vec<Edge> {
        let mut pairs: BTreeMap<(u32, u32), Vec<Bounds>> = BTreeMap::new();
        for (&(a, b, _), bounds) in &self.both_ways {
            pairs.entry((a, b)).or_default().push(*bounds);
        }
        let mut edges: Vec<Edge> = pairs.iter().map(|(&(a, b), parts)| Edge::new(a, b, parts)).collect();
        let mut guessed: BTreeMap<(u32, u32), Vec<Bounds>> = BTreeMap::new();
        for (&(a, b, _), bounds) in self.one_way.iter().filter(|((a, b, _), _)| !pairs.contains_key(&(*a, *b))) {
            guessed.entry((a, b)).or_default().push(*bounds);
        }
        edges.extend(guessed.iter().filter_map(|(&(a, b), parts)| Edge::guessed(a, b, parts)));
        edges
    }

    /// All clocks against the first of each set of clocks that saw the same packets.
    pub(super) fn solve(&self, clocks: u32) -> Clocks {
        let mut edges = self.edges();
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

/// When each packet of one way that is there once at both places was seen at them.
fn same(near: &Place, far: &Place, way: usize) -> Vec<(Nanos, Nanos)> {
    let mut known: AHashMap<u64, Option<Nanos>> = AHashMap::new();
    for seen in &near.ways[way] {
        known.entry(exact(seen)).and_modify(|ts| *ts = None).or_insert(Some(seen.ts));
    }
    let mut again: AHashMap<u64, u32> = AHashMap::new();
    for seen in &far.ways[way] {
        *again.entry(exact(seen)).or_default() += 1;
    }
    let once = far.ways[way].iter().map(|seen| (exact(seen), seen.ts)).filter(|(key, _)| again.get(key) == Some(&1));
    once.filter_map(|(key, ts)| Some((known.get(&key).copied()??, ts))).collect()
}

fn one(to: &mut ByPart, (near, far): (u32, u32), way: usize, (near_ts, far_ts): (Nanos, Nanos)) {
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
    to.entry((near.min(far), near.max(far), ts.div_euclid(BUCKET_NS))).or_default().add(&bounds);
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
        // Each clock's points have its own times; the edge's have those of its first clock.
        let of_edge = edge.points.iter().map(|&(ts, d)| if forward { (ts + d, ts, d) } else { (ts, ts + d, -d) });
        // Where the base's own difference changes, so does this one.
        let of_base = base.points.iter().map(|&(of_base, _)| {
            let d = edge.ahead(of_base, forward);
            (of_base + d, of_base, d)
        });
        let mut points: Vec<(Nanos, Nanos)> =
            of_edge.chain(of_base).map(|(own, of_base, d)| (own, base.ahead(of_base) + d)).collect();
        points.sort_unstable();
        points.dedup_by_key(|p| p.0);
        let uncertainty = base.uncertainty.zip(edge.uncertainty).map(|(a, b)| a + b);
        Self { reference: root, points, uncertainty, packets: edge.packets }
    }

    /// By how much the clock is ahead of its reference at one of its times.
    pub(super) fn ahead(&self, ts: Nanos) -> Nanos {
        between(&self.points, ts)
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
