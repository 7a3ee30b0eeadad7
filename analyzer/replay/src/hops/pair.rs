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

/// Packets that are looked for, by time.
#[derive(Clone, Copy)]
struct Sent<'a> {
    seen: &'a [Seen],
    /// By packet, or none: of packets that could both be meant, the younger one is.
    ages: &'a [u8],
}

impl Sent<'_> {
    fn age(&self, i: u32) -> u8 {
        self.ages.get(i as usize).copied().unwrap_or(0)
    }
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
    /// TCP timestamps are the same at both places.
    stamps_stay: bool,
}

/// Finds the packets of `from` at `to`; both are sorted by time.
pub(super) fn matching(from: &[Seen], to: &[Seen], rules: Rules) -> Matching {
    pair_up(Sent { seen: from, ages: &[] }, to, rules)
}

/// Of the packets of `from` that are not at the next place (`missing`), those that are at none of the places behind it either, which come with
/// by how much a packet may seem to arrive there before it left.
///
/// What a place shows says as often what the one behind it shows: only copies beyond those are of packets that it did not show. (A
/// segment that waited while its copy was sent and lost is not the copy.)
pub(super) fn lost(
    from: &[Seen],
    mut missing: Vec<usize>,
    next: &[Seen],
    beyond: &[(&[Seen], Nanos)],
    tcp: bool,
) -> Vec<usize> {
    /// More places than a conversation has, and the packets that are looked for behind all of those that were seen.
    const MISSING: u8 = u8::MAX;
    let mut shown: Vec<(Seen, u8)> = next.iter().map(|s| (*s, 0)).collect();
    for &(place, tolerance) in beyond {
        if missing.is_empty() {
            break;
        }
        let wanted = missing.iter().filter_map(|&i| from.get(i)).map(|s| (*s, MISSING));
        let mut all: Vec<(Seen, u8)> = shown.into_iter().chain(wanted).collect();
        // Stable: the missing ones stay in their order.
        all.sort_by_key(|(s, _)| s.ts);
        let (packets, ages): (Vec<Seen>, Vec<u8>) = all.into_iter().unzip();
        let m = pair_up(Sent { seen: &packets, ages: &ages }, place, Rules { tcp, tolerance });
        let was_found = |i: usize| m.found.get(i) == Some(&true);
        let mut of_missing = (0..).zip(&ages).filter(|(_, age)| **age == MISSING).map(|(i, _)| was_found(i));
        missing.retain(|_| of_missing.next() == Some(false));
        shown = packets
            .into_iter()
            .zip(ages)
            .enumerate()
            .filter(|(i, (_, age))| *age != MISSING && !was_found(*i))
            .map(|(_, (s, age))| (s, (age + 1).min(MISSING - 1)))
            .chain(place.iter().map(|s| (*s, 0)))
            .collect();
    }
    missing
}

fn pair_up(from: Sent<'_>, to: &[Seen], rules: Rules) -> Matching {
    let mut m = Matching { found: vec![false; from.seen.len()], ..Matching::default() };
    let mut taken = vec![false; to.len()];
    whole(from, to, rules, &mut m, &mut taken);
    let bare = || from.seen.iter().zip(&m.found).filter(|(seen, _)| seen.span() == 0);
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

/// What packets are sorted by, so that equal ones are side by side, each place's by age and time: hash, IP identification, whether it is the
/// second place's, age, number.
type Key = (u64, u16, bool, u8, u32);

fn whole(from: Sent<'_>, to: &[Seen], rules: Rules, m: &mut Matching, taken: &mut [bool]) {
    let mut all: Vec<Key> = Vec::with_capacity(from.seen.len() + to.len());
    for (second, sent) in [(false, from), (true, Sent { seen: to, ages: &[] })] {
        let known = (0u32..).zip(sent.seen).filter(|(_, s)| is_known(s, rules.tcp));
        all.extend(known.map(|(i, s)| (exact(s), s.ip_id, second, sent.age(i), i)));
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
            let (Some(x), Some(y)) = (from.seen.get(a as usize), to.get(b as usize)) else { return };
            if let (Some(found), Some(taken)) = (m.found.get_mut(a as usize), taken.get_mut(b as usize)) {
                *found = true;
                *taken = true;
                m.whole += 1;
                m.delays.push(y.ts - x.ts);
                m.stamps_stay |= x.stamped;
            }
        };
        if mine.is_empty() || theirs.is_empty() {
            continue;
        }
        if mine.len() == theirs.len() {
            mine.iter().zip(theirs).for_each(|(a, b)| pair(a.4, b.4));
            continue;
        }
        // Some are missing: what arrived is the latest of those sent before.
        let mut free: Vec<u32> = theirs.iter().map(|b| b.4).collect();
        for mine in mine.chunk_by(|a, b| a.3 == b.3) {
            let mut left = mine;
            let mut still = Vec::new();
            for &b in free.iter().rev() {
                let arrived = to.get(b as usize).map_or(Nanos::MIN, |b| b.ts.saturating_add(rules.tolerance));
                let before = left.partition_point(|a| from.seen.get(a.4 as usize).is_some_and(|a| a.ts <= arrived));
                match left.get(..before).and_then(|l| l.split_last()) {
                    Some((latest, rest)) => {
                        pair(latest.4, b);
                        left = rest;
                    }
                    None => still.push(b),
                }
            }
            still.reverse();
            free = still;
        }
        // What there is more of is a copy that the network made, and no piece of another segment: that has other timestamps, another identification.
        for b in free {
            let tells = trusted || to.get(b as usize).is_some_and(|b| b.stamped);
            if let Some(taken) = taken.get_mut(b as usize).filter(|_| tells) {
                *taken = true;
            }
        }
    }
}

/// Whether packets that are there once at both places have the same identification at both, and not all the same one.
fn identifications_stay(all: &[Key]) -> bool {
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
    age: u8,
    place: u32,
    /// Bytes not found yet.
    left: Vec<(i64, i64)>,
}

/// Takes what is in both lists of ranges out of both; returns it.
fn take(a: &mut Vec<(i64, i64)>, b: &mut Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    let mut both = Vec::new();
    for x in a.iter() {
        both.extend(b.iter().map(|y| (x.0.max(y.0), x.1.min(y.1))).filter(|r| r.0 < r.1));
    }
    for &(start, end) in &both {
        for list in [&mut *a, &mut *b] {
            // A range of both lies within one of each.
            if let Some(at) = list.iter().position(|r| r.0 <= start && end <= r.1)
                && let Some(&(x, y)) = list.get(at)
            {
                list.swap_remove(at);
                list.extend([(x, start), (end, y)].into_iter().filter(|r| r.0 < r.1));
            }
        }
    }
    both
}

fn bytes(from: Sent<'_>, to: &[Seen], rules: Rules, m: &mut Matching, taken: &[bool]) {
    let Some(base) = from.seen.first().map(|s| s.seq) else { return };
    let starts = unwrapped(from.seen, base);
    let mut wanted: Vec<Wanted> = (0u32..)
        .zip(from.seen.iter().zip(&starts))
        .filter(|(i, (s, _))| s.len > 0 && m.found.get(*i as usize) == Some(&false))
        .map(|(place, (s, &start))| {
            let end = start + i64::from(s.len);
            Wanted { start, end, ts: s.ts, age: from.age(place), place, left: vec![(start, end)] }
        })
        .collect();
    if wanted.is_empty() {
        return;
    }
    wanted.sort_unstable_by_key(|w| (w.start, w.ts, w.place));
    let longest = wanted.iter().map(|w| w.end - w.start).max().unwrap_or(0);
    let there = unwrapped(to, base);
    let mut segment = 0;
    let mut overlaps: Vec<usize> = Vec::new();
    let sent = |w: &Wanted| from.seen.get(w.place as usize);
    // From the last one back, so that each takes the latest copy that was sent before it.
    for ((b, &start), _) in to.iter().zip(&there).zip(taken).rev().filter(|((b, _), taken)| b.len > 0 && !**taken) {
        let end = start + i64::from(b.len);
        let arrived = b.ts;
        segment = segment.max(b.len);
        let is_other = |w: &Wanted| sent(w).is_some_and(|s| s.stamped && b.stamped && s.ident != b.ident);
        let first = wanted.partition_point(|w| w.start <= start - longest);
        overlaps.clear();
        overlaps.extend(
            (first..wanted.len())
                .take_while(|&i| wanted.get(i).is_some_and(|w| w.start < end))
                .filter(|&i| {
                    wanted.get(i).is_some_and(|w| {
                        // The same bytes with other timestamps are another copy of them; a longer or shorter segment may have others.
                        let another = m.stamps_stay && (w.start, w.end) == (start, end) && is_other(w);
                        w.end > start && w.ts <= arrived + rules.tolerance && !another
                    })
                })
                .take(MAX_OVERLAPS),
        );
        overlaps
            .sort_unstable_by_key(|&i| wanted.get(i).map(|w| (is_other(w), w.age, std::cmp::Reverse((w.ts, w.place)))));
        let mut free = vec![(start, end)];
        for &i in &overlaps {
            let Some(w) = wanted.get_mut(i) else { continue };
            let both = take(&mut w.left, &mut free);
            // One delay each: of the first byte where it was cut, of the last where it was put together with others.
            let longer = w.end - w.start >= end - start;
            if both.iter().any(|&(x, y)| longer && x == w.start || !longer && y == end) {
                m.delays.push(arrived - w.ts);
            }
        }
    }
    for w in &wanted {
        let missing: i64 = w.left.iter().map(|r| r.1 - r.0).sum();
        if missing < w.end - w.start {
            if let Some(found) = m.found.get_mut(w.place as usize) {
                *found = true;
            }
            m.missing_bytes += missing.unsigned_abs();
            m.missing_segments += (missing as u64).div_ceil(u64::from(segment.max(1))) as u32;
        }
    }
}
