//! The places of one conversation, in the order in which its packets passed them.

use super::clock::Clocks;
use super::group::Group;
use super::log::{Logs, Seen};
use super::subject::Subject;
use crate::model::{Nanos, Side};
use ahash::AHashMap;
use std::collections::BTreeMap;

/// Copies of each packet that one interface may show, told apart by their link layers.
const MAX_COPIES: usize = 8;

/// One place, with what was seen there.
#[derive(Debug)]
pub(super) struct Place {
    /// Place of its flow among the subjects.
    pub(super) subject: u32,
    /// The flow's row has client and server the other way round.
    pub(super) turned: bool,
    /// Which copy, from 1 on the way to the server, where the interface shows each packet more than once; else 0.
    pub(super) copy: u8,
    pub(super) clock: u32,
    /// System calls: the side of the process.
    pub(super) side: Option<Side>,
    /// To the server, to the client; by time.
    pub(super) ways: [Vec<Seen>; 2],
    /// Packets that its log had no room for.
    pub(super) left_out: u32,
}

/// To the server.
pub(super) const THERE: usize = 0;
/// To the client.
pub(super) const BACK: usize = 1;

impl Place {
    fn packets(&self) -> usize {
        self.ways.iter().map(Vec::len).sum()
    }

    fn rank(&self) -> u8 {
        match self.side {
            Some(Side::Client) => 0,
            None => 1,
            Some(Side::Server) => 2,
        }
    }
}

/// Reads the logs of a conversation and puts its places in order, the client's first.
pub(super) fn places(group: &Group, subjects: &[Subject<'_>], logs: Logs<'_>, clocks: &Clocks) -> Vec<Place> {
    let subject = |place: u32| subjects.get(place as usize);
    // Whoever knows best which side is the client decides for all.
    let surest = group
        .members
        .iter()
        .filter_map(|&(place, turned)| Some((subject(place)?.row.direction_score, turned)))
        .max_by_key(|&(score, turned)| (score, !turned));
    let turned_round = surest.is_some_and(|(_, turned)| turned);
    let mut places = Vec::with_capacity(group.members.len());
    for &(place, turned) in &group.members {
        let Some(s) = subject(place) else { continue };
        let Some(log) = logs.of(s.flow).filter(|l| !l.is_empty()) else { continue };
        let turned = turned ^ turned_round;
        let mut ways = [Vec::new(), Vec::new()];
        for mut seen in log.iter() {
            seen.ts = clocks.corrected(s.clock, seen.ts);
            ways[usize::from(s.by_client(&seen) == turned)].push(seen);
        }
        ways.iter_mut().for_each(|w| w.sort_by_key(|seen| seen.ts));
        let side = s.side.map(|side| if turned { side.other() } else { side });
        let whole = Place { subject: place, turned, copy: 0, clock: s.clock, side, ways, left_out: log.left_out() };
        if log.shows_copies() {
            places.extend(copies(whole));
        } else {
            places.push(whole);
        }
    }
    order(places)
}

/// An interface that shows each packet several times (a mirror of two ports, all interfaces of a machine in one) is as many places.
fn copies(place: Place) -> Vec<Place> {
    let mut marks = [marks_in_order(&place.ways[THERE]), marks_in_order(&place.ways[BACK])];
    let count = marks.iter().map(Vec::len).max().unwrap_or(0);
    if count < 2 {
        return vec![place];
    }
    // What is passed first on the way there is passed last on the way back.
    marks[BACK].reverse();
    let shift = count - marks[BACK].len();
    let mut out: Vec<Place> = (0..count)
        .map(|n| Place { copy: (n + 1) as u8, ways: [Vec::new(), Vec::new()], ..place_like(&place) })
        .collect();
    for (way, (marks, seen)) in marks.iter().zip(place.ways).enumerate() {
        for one in seen {
            let n = marks.iter().position(|&m| m == one.mark).unwrap_or(0) + if way == BACK { shift } else { 0 };
            if let Some(place) = out.get_mut(n.min(count - 1)) {
                place.ways[way].push(one);
            }
        }
    }
    out
}

/// The marks of one way, that which is passed first in front; without those that are rare, which are another route and no copies.
fn marks_in_order(way: &[Seen]) -> Vec<u16> {
    /// Of the packets of the most frequent one.
    const RARE: u64 = 4;
    let mut first: AHashMap<u64, Nanos> = AHashMap::new();
    let mut sums: BTreeMap<u16, (u64, i128)> = BTreeMap::new();
    for seen in way {
        let since = *first.entry(exact(seen)).or_insert(seen.ts);
        let sum = sums.entry(seen.mark).or_default();
        sum.0 += 1;
        sum.1 += i128::from(seen.ts - since);
    }
    let most = sums.values().map(|s| s.0).max().unwrap_or(0);
    let mut marks: Vec<(i128, u16)> = sums
        .into_iter()
        .filter(|(_, (count, _))| count * RARE >= most)
        .map(|(mark, (count, late))| (late / i128::from(count.max(1)), mark))
        .collect();
    marks.sort_unstable();
    marks.truncate(MAX_COPIES);
    marks.into_iter().map(|(_, mark)| mark).collect()
}

fn place_like(place: &Place) -> Place {
    Place { ways: [Vec::new(), Vec::new()], ..*place }
}

/// What a packet is known by while places are put in order: (hash, when, passed more than once).
type Known = AHashMap<(usize, u64), (Nanos, bool)>;

fn known(place: &Place) -> Known {
    let mut known = Known::new();
    for (way, seen) in place.ways.iter().enumerate() {
        for one in seen {
            for key in keys(one, place.side.is_some()) {
                known.entry((way, key)).and_modify(|(_, twice)| *twice = true).or_insert((one.ts, false));
            }
        }
    }
    known
}

/// The packet itself, and the byte that it begins with, which is the same wherever segments are cut or put together.
fn keys(seen: &Seen, is_call: bool) -> impl Iterator<Item = u64> {
    let whole = (!is_call).then(|| exact(seen));
    let begin = (seen.span() > 0 && seen.payload == 0).then_some(u64::from(seen.seq) | 1 << 63);
    let datagram = (seen.payload != 0 && seen.ident == 0).then_some(u64::from(seen.payload) | 1 << 62);
    whole.into_iter().chain(begin).chain(datagram)
}

/// Hash of what stays the same of a packet; not of its IP identification, which some translators change.
pub(super) fn exact(seen: &Seen) -> u64 {
    use super::log::fold;
    let a = fold(u64::from(seen.seq) << 32 | u64::from(seen.ident), u64::from(seen.payload));
    let b = fold(u64::from(seen.len) << 8 | u64::from(seen.flags), u64::from(a) ^ u64::from(seen.seq) << 32);
    (u64::from(a) << 32 | u64::from(b)) >> 2
}

/// Packets by which two places are compared, about.
const COMPARED: usize = 4096;

/// Median delay from one place to another, there and back.
fn medians(from: &Known, to: &Known) -> [Option<Nanos>; 2] {
    let mut delays = [Vec::new(), Vec::new()];
    let (few, many, sign) = if from.len() <= to.len() { (from, to, 1) } else { (to, from, -1) };
    // Always the same ones of many.
    let one_in = (few.len() / COMPARED + 1) as u64;
    let chosen = |key: u64| (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(one_in);
    for (key, (ts, twice)) in few.iter().filter(|(key, _)| chosen(key.1)) {
        if let Some((other, again)) = many.get(key)
            && !twice
            && !again
        {
            delays[key.0].push(sign * (other - ts));
        }
    }
    delays.map(|mut d| {
        d.sort_unstable();
        d.get(d.len() / 2).copied()
    })
}

/// Where a place lies on the way to the server, in ns from the first one that was placed: half of the way there minus the way
/// back, in which differences between clocks cancel out.
fn position(medians: [Option<Nanos>; 2]) -> Option<Nanos> {
    match medians {
        [Some(there), Some(back)] => Some((there - back) / 2),
        [Some(there), None] => Some(there),
        [None, Some(back)] => Some(-back),
        [None, None] => None,
    }
}

/// How many of the places lie before each, on the way to the server. Each two are compared by the packets that both saw: neighbours are
/// microseconds apart, and their distances from a third place, with a slow or uneven way between, are not known that well. What was seen by
/// two clocks in one direction only says nothing; then those between which both lie decide.
fn passed_before(known: &[Known], clocks: &[u32], at: &[Option<Nanos>]) -> Vec<usize> {
    let count = known.len();
    // By row and column: -1 where the row's place lies before the column's, 1 behind it, 0 at the same point.
    let mut order: Vec<Option<i8>> = vec![None; count * count];
    let mut set = |i: usize, j: usize, sign: i8| {
        for (at, sign) in [(i * count + j, sign), (j * count + i, -sign)] {
            if let Some(slot) = order.get_mut(at) {
                *slot = Some(sign);
            }
        }
    };
    for (i, near) in known.iter().enumerate() {
        for (j, far) in known.iter().enumerate().skip(i + 1) {
            let medians = medians(near, far);
            let told = clocks.get(i) == clocks.get(j) || medians.iter().all(Option::is_some);
            if let Some(gap) = position(medians).filter(|_| told) {
                set(i, j, -(gap.signum() as i8));
            }
        }
    }
    let pairs = || (0..count).flat_map(|i| (i + 1..count).map(move |j| (i, j)));
    for _ in 0..2 {
        let told = order.clone();
        let of = |i: usize, j: usize| told.get(i * count + j).copied().flatten().map_or(0, i32::from);
        for (i, j) in pairs().filter(|&(i, j)| told.get(i * count + j) == Some(&None)) {
            let votes: i32 = (0..count).filter(|&k| of(i, k) == of(k, j)).map(|k| of(i, k)).sum();
            if votes != 0
                && let Some(slots) = order.get_disjoint_mut([i * count + j, j * count + i]).ok()
            {
                let [there, back] = slots;
                (*there, *back) = (Some(votes.signum() as i8), Some(-votes.signum() as i8));
            }
        }
    }
    let mut before = vec![0; count];
    for (i, j) in pairs() {
        let far_apart = || Some((at.get(i).copied()?? - at.get(j).copied()??).signum() as i8);
        let behind = match order.get(i * count + j).copied().flatten().or_else(far_apart) {
            Some(1) => i,
            Some(-1) => j,
            _ => continue,
        };
        if let Some(count) = before.get_mut(behind) {
            *count += 1;
        }
    }
    before
}

fn order(mut places: Vec<Place>) -> Vec<Place> {
    if places.len() < 2 {
        return places;
    }
    let known: Vec<Known> = places.iter().map(known).collect();
    let mut at: Vec<Option<Nanos>> = vec![None; places.len()];
    let largest = (0..places.len()).max_by_key(|&i| (places.get(i).map(Place::packets), std::cmp::Reverse(i)));
    let mut placed: Vec<usize> = largest.into_iter().collect();
    if let Some(slot) = largest.and_then(|l| at.get_mut(l)) {
        *slot = Some(0);
    }
    let mut next = 0;
    while let Some(&from) = placed.get(next) {
        next += 1;
        for to in 0..places.len() {
            let (Some(known_from), Some(known_to), Some(base)) =
                (known.get(from), known.get(to), at.get(from).copied().flatten())
            else {
                continue;
            };
            if let Some(slot) = at.get_mut(to).filter(|slot| slot.is_none()) {
                *slot = position(medians(known_from, known_to)).map(|p| p + base);
                if slot.is_some() {
                    placed.push(to);
                }
            }
        }
    }
    let clocks: Vec<u32> = places.iter().map(|p| p.clock).collect();
    let before = passed_before(&known, &clocks, &at);
    let mut ordered: Vec<(u8, usize, Nanos, u32, u8, usize)> = places
        .iter()
        .zip(before.iter().zip(&at))
        .enumerate()
        .filter_map(|(i, (p, (&before, at)))| Some((p.rank(), before, (*at)?, p.subject, p.copy, i)))
        .collect();
    ordered.sort_unstable();
    // One process at each end: others that held the socket saw the rest of its bytes.
    let mut out: Vec<Place> = Vec::with_capacity(ordered.len());
    for (rank, .., i) in ordered {
        let Some(place) = places.get_mut(i) else { continue };
        let place = Place { ways: std::mem::take(&mut place.ways), ..place_like(place) };
        match out.last_mut().filter(|last| rank != 1 && last.rank() == rank) {
            Some(last) => {
                for (mine, theirs) in last.ways.iter_mut().zip(place.ways) {
                    mine.extend(theirs);
                    mine.sort_by_key(|seen| seen.ts);
                }
            }
            None => out.push(place),
        }
    }
    out
}
