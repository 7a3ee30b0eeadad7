//! Packets of one place found again at the next one.
//!
//! First whole packets: equal in everything that stays the same, copies of the same by their IP identifications or in their order. Then, for
//! TCP, what is left by its bytes, as segments are cut (segmentation offload) and put together (receive offload, reads) on the way.

use super::log::Seen;
use super::place::exact;
use crate::model::Nanos;

/// Packets with overlapping sequence numbers that are looked at for one.
const MAX_OVERLAPS: usize = 256;
/// Of packets without bytes so many must be found again for those that are not to count as lost.
const FOUND_PERCENT: usize = 50;

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) tcp: bool,
    /// By how much a packet may seem to arrive before it left.
    pub(super) tolerance: Nanos,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Matching {
    /// Of the packets at the first place: whether they were found again.
    pub(super) found: Vec<bool>,
    /// Of those found: bytes that were not.
    pub(super) missing_bytes: u64,
    /// And how many segments these would have been.
    pub(super) missing_segments: u32,
    /// By packet of the first place.
    pub(super) delays: Vec<Nanos>,
    /// Packets without bytes are found again, so that one that is not was lost.
    pub(super) bare_count: bool,
    /// Packets found as they were; the others were found by their bytes.
    pub(super) whole: u64,
    /// IP identifications told copies of the same packet apart.
    pub(super) identified: bool,
}

/// Finds the packets of `from` at `to`; both are sorted by time.
pub(super) fn matching(from: &[Seen], to: &[Seen], rules: Rules) -> Matching {
    let mut m = Matching { found: vec![false; from.len()], ..Matching::default() };
    let mut taken = vec![false; to.len()];
    whole(from, to, rules, &mut m, &mut taken);
    let bare = || from.iter().zip(&m.found).filter(|(seen, _)| seen.span() == 0);
    let found = bare().filter(|(_, found)| **found).count();
    m.bare_count = found * 100 >= bare().count() * FOUND_PERCENT;
    if rules.tcp {
        bytes(from, to, rules, &mut m, &taken);
    }
    m
}

/// Whether a packet can be told from others at all.
fn is_known(seen: &Seen, tcp: bool) -> bool {
    tcp || seen.payload != 0
}

fn whole(from: &[Seen], to: &[Seen], rules: Rules, m: &mut Matching, taken: &mut [bool]) {
    // (hash, IP identification, which place, number): equal ones side by side, each place's by time.
    let mut all: Vec<(u64, u16, bool, u32)> = Vec::with_capacity(from.len() + to.len());
    for (second, seen) in [(false, from), (true, to)] {
        let known = (0u32..).zip(seen).filter(|(_, s)| is_known(s, rules.tcp));
        all.extend(known.map(|(i, s)| (exact(s), s.ip_id, second, i)));
    }
    all.sort_unstable();
    let trusted = identifications_stay(&all);
    m.identified = trusted;
    if !trusted {
        all.iter_mut().for_each(|one| one.1 = 0);
        all.sort_unstable();
    }
    for equal in all.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let split = equal.partition_point(|one| !one.2);
        let (mine, theirs) = equal.split_at(split);
        let mut pair = |a: u32, b: u32| {
            let (Some(x), Some(y)) = (from.get(a as usize), to.get(b as usize)) else { return };
            if let (Some(found), Some(taken)) = (m.found.get_mut(a as usize), taken.get_mut(b as usize)) {
                *found = true;
                *taken = true;
                m.whole += 1;
                m.delays.push(y.ts - x.ts);
            }
        };
        if mine.len() == theirs.len() {
            mine.iter().zip(theirs).for_each(|(a, b)| pair(a.3, b.3));
            continue;
        }
        // Some are missing: what arrived is the latest of those sent before.
        let mut left = mine;
        for b in theirs.iter().rev() {
            let Some(arrived) = to.get(b.3 as usize).map(|b| b.ts + rules.tolerance) else { continue };
            let before = left.partition_point(|a| from.get(a.3 as usize).is_some_and(|a| a.ts <= arrived));
            let Some((latest, rest)) = left.get(..before).and_then(|l| l.split_last()) else { break };
            pair(latest.3, b.3);
            left = rest;
        }
    }
}

/// Whether packets that are there once at both places have the same identification at both, and not all the same one.
fn identifications_stay(all: &[(u64, u16, bool, u32)]) -> bool {
    let (mut same, mut other, mut first, mut differ) = (0u32, 0u32, None, false);
    for equal in all.chunk_by(|a, b| a.0 == b.0) {
        if let [a, b] = equal
            && a.2 != b.2
        {
            if a.1 == b.1 {
                same += u32::from(a.1 != 0);
            } else {
                other += 1;
            }
            differ |= *first.get_or_insert(a.1) != a.1;
        }
    }
    same > other * 9 && (differ || same == 1)
}

/// Sequence numbers without their wrapping round, counted from `base`.
fn unwrapped(seen: &[Seen], base: u32) -> Vec<i64> {
    let (mut last, mut at) = (base, 0i64);
    seen.iter()
        .map(|s| {
            at += i64::from(s.seq.wrapping_sub(last).cast_signed());
            last = s.seq;
            at
        })
        .collect()
}

/// A packet of the first place whose bytes are looked for.
struct Wanted {
    start: i64,
    end: i64,
    ts: Nanos,
    place: u32,
    /// Bytes found.
    taken: i64,
}

fn bytes(from: &[Seen], to: &[Seen], rules: Rules, m: &mut Matching, taken: &[bool]) {
    let Some(base) = from.first().map(|s| s.seq) else { return };
    let starts = unwrapped(from, base);
    let mut wanted: Vec<Wanted> = (0u32..)
        .zip(from.iter().zip(&starts))
        .filter(|(i, (s, _))| s.len > 0 && m.found.get(*i as usize) == Some(&false))
        .map(|(place, (s, &start))| Wanted { start, end: start + i64::from(s.len), ts: s.ts, place, taken: 0 })
        .collect();
    if wanted.is_empty() {
        return;
    }
    wanted.sort_unstable_by_key(|w| (w.start, w.ts));
    let longest = wanted.iter().map(|w| w.end - w.start).max().unwrap_or(0);
    let there = unwrapped(to, base);
    let mut segment = 0;
    let mut overlaps: Vec<usize> = Vec::new();
    // From the last one back, so that each takes the latest copy that was sent before it.
    for ((b, &start), _) in to.iter().zip(&there).zip(taken).rev().filter(|((b, _), taken)| b.len > 0 && !**taken) {
        let end = start + i64::from(b.len);
        let arrived = b.ts;
        segment = segment.max(b.len);
        let first = wanted.partition_point(|w| w.start <= start - longest);
        overlaps.clear();
        overlaps.extend(
            (first..wanted.len())
                .take_while(|&i| wanted.get(i).is_some_and(|w| w.start < end))
                .filter(|&i| wanted.get(i).is_some_and(|w| w.end > start && w.ts <= arrived + rules.tolerance))
                .take(MAX_OVERLAPS),
        );
        overlaps.sort_unstable_by_key(|&i| wanted.get(i).map(|w| std::cmp::Reverse((w.ts, w.place))));
        let mut covered: Vec<(i64, i64)> = Vec::new();
        for &i in &overlaps {
            let Some(w) = wanted.get_mut(i) else { continue };
            let (x, y) = (w.start.max(start), w.end.min(end));
            let free = w.taken + (y - x) <= w.end - w.start;
            if !free || covered.iter().any(|c| c.0 < y && x < c.1) {
                continue;
            }
            w.taken += y - x;
            covered.push((x, y));
            // One delay each: of the first byte where it was cut, of the last where it was put together with others.
            let longer = w.end - w.start >= end - start;
            if longer && x == w.start || !longer && y == end {
                m.delays.push(arrived - w.ts);
            }
        }
    }
    for w in &wanted {
        let missing = w.end - w.start - w.taken;
        if w.taken > 0 {
            if let Some(found) = m.found.get_mut(w.place as usize) {
                *found = true;
            }
            m.missing_bytes += missing.unsigned_abs();
            m.missing_segments += (missing as u64).div_ceil(u64::from(segment.max(1))) as u32;
        }
    }
}
