//! From logs to rows.

use super::clock::{Clocks, Differences};
use super::events::{EventsOf, Lost};
use super::group::{Group, groups};
use super::log::{Logs, PlaceLog, Seen};
use super::pair::{Matching, Rules, lost, matching};
use super::place::{BACK, Place, THERE, places};
use super::row::{Clock, Hop, HopDelay, HopPlace, Way};
use super::statement;
use super::subject::{Subject, client, server};
use crate::model::{Completeness, Endpoints, Nanos, Node, Replayed, Side, Transport};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What packets of one clock may seem to arrive before they left: hooks note times a little before or after.
const JITTER_NS: Nanos = 50_000;
/// Near the end of what a place has seen packets may be under way still.
const MARGIN_NS: Nanos = 5_000_000;

/// What joining needs beside the rows.
#[derive(Clone, Copy, Debug)]
pub struct HopInput<'a> {
    /// By flow: what it saw.
    pub logs: Logs<'a>,
    /// By flow: the side of the process, where it was seen at one.
    pub sides: &'a [Option<Side>],
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Joined {
    /// Rows, sorted by conversation, hop and direction.
    pub hops: Vec<Hop>,
    /// Clocks compared.
    pub clocks: Vec<Clock>,
    /// By flow: the smallest id of its conversation's flows, and whether client and server are the other way round there.
    pub conversations: Vec<(u64, bool)>,
    compared: Clocks,
}

impl Joined {
    /// A time of a node by a clock that is the same for all nodes that saw the same packets.
    #[must_use]
    pub fn corrected(&self, node: u32, ts: Nanos) -> Nanos {
        self.compared.corrected(node, ts)
    }
}

/// Joins flows that are one conversation, and compares their packets from place to place.
#[must_use]
pub fn hops(replayed: &Replayed, input: HopInput<'_>) -> Joined {
    let subjects: Vec<Subject<'_>> = (0u32..)
        .zip(&replayed.flows)
        .filter(|(i, _)| input.logs.of(*i).is_some_and(|l| !l.is_empty()))
        .map(|(flow, row)| {
            let side = input.sides.get(flow as usize).copied().flatten();
            Subject { flow, row, side, clock: row.node }
        })
        .collect();
    let groups = groups(&subjects, input.logs);
    let mut conversations: Vec<(u64, bool)> = (0..replayed.flows.len() as u64).map(|i| (i, false)).collect();
    for group in &groups {
        let flow = |place: u32| subjects.get(place as usize).map(|s| s.flow);
        let first = group.members.iter().filter_map(|m| flow(m.0)).min();
        for &(place, turned) in &group.members {
            if let (Some(flow), Some(first)) = (flow(place), first)
                && let Some(slot) = conversations.get_mut(flow as usize)
            {
                *slot = (u64::from(first), turned);
            }
        }
    }
    let several: Vec<&Group> = groups.iter().filter(|g| is_several(g, &subjects, input.logs)).collect();
    let clocks = compare_clocks(&several, &subjects, input.logs, replayed.nodes.len() as u32);
    let events = EventsOf::new(replayed, &conversations, &clocks);
    let builder =
        Builder { replayed, subjects: &subjects, input, clocks: &clocks, events, windows: windows(replayed, &clocks) };
    let mut hops: Vec<Hop> = several.par_iter().flat_map_iter(|group| builder.conversation(group)).collect();
    hops.par_sort_by_key(|h| (h.conversation, h.hop, h.way));
    Joined { hops, clocks: clock_rows(replayed, &clocks), conversations, compared: clocks }
}

/// Whether a conversation was seen at several places, or several times at one.
fn is_several(group: &Group, subjects: &[Subject<'_>], logs: Logs<'_>) -> bool {
    group.members.len() > 1
        || group.members.iter().filter_map(|m| logs.of(subjects.get(m.0 as usize)?.flow)).any(PlaceLog::shows_copies)
}

fn compare_clocks(groups: &[&Group], subjects: &[Subject<'_>], logs: Logs<'_>, nodes: u32) -> Clocks {
    let none = Clocks::default();
    groups
        .par_iter()
        .filter(|group| {
            let clocks: BTreeSet<u32> =
                group.members.iter().filter_map(|m| Some(subjects.get(m.0 as usize)?.clock)).collect();
            clocks.len() > 1
        })
        .map(|group| {
            let mut differences = Differences::default();
            let places = places(group, subjects, logs, &none);
            for pair in places.windows(2) {
                if let [near, far] = pair {
                    differences.learn(near, far);
                }
            }
            differences
        })
        .reduce(Differences::default, Differences::add)
        .solve(nodes.max(1))
}

/// From when to when anything was seen by each clock, by their references.
fn windows(replayed: &Replayed, clocks: &Clocks) -> Vec<(Nanos, Nanos)> {
    let mut windows = vec![(Nanos::MAX, Nanos::MIN); replayed.nodes.len().max(1)];
    for flow in &replayed.flows {
        if let Some(w) = windows.get_mut(flow.node as usize) {
            w.0 = w.0.min(clocks.corrected(flow.node, flow.start));
            w.1 = w.1.max(clocks.corrected(flow.node, flow.end));
        }
    }
    windows
}

fn clock_rows(replayed: &Replayed, clocks: &Clocks) -> Vec<Clock> {
    let name = |clock: u32| {
        let node = replayed.nodes.get(clock as usize);
        node.map_or_else(String::new, |n: &Node| if n.name.is_empty() { n.input.clone() } else { n.name.clone() })
    };
    (0u32..)
        .zip(&clocks.of)
        .filter(|(clock, c)| c.reference != *clock)
        .map(|(clock, c)| {
            let (offset_ns, drift_ns) = c.summary();
            Clock {
                name: name(clock),
                reference: name(c.reference),
                offset_ns,
                uncertainty_ns: c.uncertainty.map(Nanos::unsigned_abs),
                drift_ns,
                packets: c.packets,
            }
        })
        .collect()
}

struct Builder<'a> {
    replayed: &'a Replayed,
    subjects: &'a [Subject<'a>],
    input: HopInput<'a>,
    clocks: &'a Clocks,
    events: EventsOf<'a>,
    windows: Vec<(Nanos, Nanos)>,
}

impl Builder<'_> {
    fn conversation(&self, group: &Group) -> Vec<Hop> {
        let places = places(group, self.subjects, self.input.logs, self.clocks);
        let first = group.members.iter().filter_map(|m| self.subjects.get(m.0 as usize)).map(|s| s.flow).min();
        let conversation = u64::from(first.unwrap_or(0));
        let mut rows: Vec<Hop> = Vec::with_capacity(places.len() * 2);
        let mut lost: Vec<Lost> = Vec::new();
        for way in [THERE, BACK] {
            // An interface may show the two directions under different addresses: then each of its flows is a place in one of them.
            let elsewhere = |p: &Place| places.iter().any(|o| !o.ways[way].is_empty() && self.is_same(p, o));
            let of_way: Vec<(usize, &Place)> =
                places.iter().enumerate().filter(|(_, p)| !p.ways[way].is_empty() || !elsewhere(p)).collect();
            for (n, pair) in of_way.windows(2).enumerate() {
                let [(hop, near), (_, far)] = pair else { continue };
                let (from, to, beyond) = match way {
                    THERE => (near, far, of_way.get(n + 2..).unwrap_or(&[])),
                    _ => (far, near, of_way.get(..n).unwrap_or(&[])),
                };
                if from.ways[way].is_empty() {
                    continue;
                }
                let row = rows.len();
                let measured = self.measure(way, from, to, beyond);
                lost.extend(measured.lost.iter().map(|seen| Lost { row, ts: seen.ts, seq: seen.seq }));
                rows.extend(self.row(conversation, *hop, way, (from, to), measured));
            }
        }
        self.events.attach(conversation, &mut rows, &lost);
        shares(&mut rows);
        statement::write(self.replayed, &mut rows);
        rows
    }

    /// Whether two flows were seen at the same point.
    fn is_same(&self, a: &Place, b: &Place) -> bool {
        let at = |p: &Place| {
            let row = self.subjects.get(p.subject as usize)?.row;
            Some((row.node, &row.observed_at, &row.tunnel, row.tunnel_id))
        };
        a.subject != b.subject && at(a) == at(b)
    }

    /// Follows the packets of one way from a place to its neighbour, and those not found there to the places behind.
    fn measure(&self, way: usize, from: &Place, to: &Place, beyond: &[(usize, &Place)]) -> Measured {
        let (sent, seen) = (&from.ways[way], &to.ways[way]);
        let tcp = self.subjects.get(from.subject as usize).is_some_and(Subject::is_tcp);
        let rules = Rules { tcp, tolerance: self.tolerance(from, to) };
        let mut matching = matching(sent, seen, rules);
        matching.delays.sort_unstable();
        let delay = delay(&matching.delays);
        let (lost, missed) = self.missing(way, from, to, beyond, (&matching, rules, delay));
        // Bytes that a process has not read are not lost, nor are those that it wrote and that were not sent yet.
        let at_process = from.side.is_some() || to.side.is_some();
        let told = !(tcp && at_process) && from.left_out == 0 && to.left_out == 0 && (tcp || seen_all(sent));
        Measured {
            resent: if from.side.is_none() && tcp { resent(sent) } else { 0 },
            matching,
            delay,
            lost,
            missed,
            told,
        }
    }

    /// By how much packets may seem to be at the second place before they were at the first.
    fn tolerance(&self, from: &Place, to: &Place) -> Nanos {
        JITTER_NS + self.clocks.between(from.clock, to.clock).unwrap_or(MARGIN_NS)
    }

    /// Packets that were not found at the next place: lost, or missed by the capture there.
    fn missing(
        &self,
        way: usize,
        from: &Place,
        to: &Place,
        beyond: &[(usize, &Place)],
        (matching, rules, delay): (&Matching, Rules, Option<HopDelay>),
    ) -> (Vec<Seen>, u64) {
        let sent = &from.ways[way];
        let (first, last) = self.windows.get(to.clock as usize).copied().unwrap_or((Nanos::MIN, Nanos::MAX));
        let margin = delay.map_or(MARGIN_NS, |d| MARGIN_NS.max(d.p95_ns.saturating_mul(3)));
        let same_clock = from.clock == to.clock;
        let counts = |seen: &Seen| {
            let told = if rules.tcp { seen.span() > 0 || matching.bare_count } else { seen.payload != 0 };
            told && (same_clock || seen.ts >= first.saturating_add(margin)) && seen.ts <= last.saturating_sub(margin)
        };
        let missing: Vec<usize> = (0..sent.len())
            .filter(|&i| matching.found.get(i) == Some(&false) && sent.get(i).is_some_and(counts))
            .collect();
        let all = missing.len();
        let behind: Vec<(&[Seen], Nanos)> = match way {
            THERE => beyond.iter().map(|(_, p)| (&*p.ways[way], self.tolerance(from, p))).collect(),
            // Places are in the order of the way to the server: on the way back the next one is the last of them.
            _ => beyond.iter().rev().map(|(_, p)| (&*p.ways[way], self.tolerance(from, p))).collect(),
        };
        let missing = lost(sent, missing, &to.ways[way], &behind, rules.tcp);
        let missed = (all - missing.len()) as u64;
        (missing.into_iter().filter_map(|i| sent.get(i).copied()).collect(), missed)
    }

    fn row(&self, conversation: u64, hop: usize, way: usize, (from, to): (&Place, &Place), m: Measured) -> Option<Hop> {
        let (x, y) = (self.subjects.get(from.subject as usize)?, self.subjects.get(to.subject as usize)?);
        let sent = &from.ways[way];
        let matched = m.matching.found.iter().filter(|f| **f).count() as u64;
        let lost_bytes = m.lost.iter().map(|s| u64::from(s.len)).sum::<u64>() + m.matching.missing_bytes;
        let lost = m.lost.len() as u64 + u64::from(m.matching.missing_segments);
        let place = |p: &Place, s: &Subject<'_>| HopPlace {
            flow_id: u64::from(s.flow),
            observed_at: s.row.observed_at.clone(),
            copy: p.copy,
            endpoints: turned(s.row.endpoints, p.turned),
        };
        let (a, b) = (place(from, x), place(to, y));
        let mut completeness = x.row.completeness;
        completeness.add(y.row.completeness);
        completeness.0 &= !Completeness::TRUNCATED_PAYLOAD.0;
        Some(Hop {
            conversation,
            transport: x.row.transport,
            hop: hop as u32,
            way: if way == THERE { Way::ToServer } else { Way::ToClient },
            nat: nat(&a.endpoints, &b.endpoints),
            from: a,
            to: b,
            packets: sent.len() as u64,
            matched,
            lost: m.told.then_some(lost),
            lost_bytes: m.told.then_some(lost_bytes),
            missed: m.missed,
            resent: m.resent,
            delay: m.delay.filter(|_| self.clocks.between(from.clock, to.clock).is_some()),
            share: None,
            start: sent.first().map_or(0, |s| s.ts),
            end: sent.last().map_or(0, |s| s.ts),
            clock_uncertainty_ns: self.clocks.between(from.clock, to.clock).map(Nanos::unsigned_abs),
            events: Vec::new(),
            evidence: evidence(x.row.transport, &m.matching, matched),
            statement: String::new(),
            completeness,
        })
    }
}

/// What was found out about one way between two places.
struct Measured {
    matching: Matching,
    delay: Option<HopDelay>,
    lost: Vec<Seen>,
    missed: u64,
    resent: u64,
    /// Losses can be told.
    told: bool,
}

/// Datagrams are known by their payload only.
fn seen_all(sent: &[Seen]) -> bool {
    sent.iter().any(|s| s.payload != 0)
}

fn turned(e: Endpoints, turned: bool) -> Endpoints {
    if !turned {
        return e;
    }
    let (client, server) = (server(&e), client(&e));
    Endpoints { client_ip: client.0, client_port: client.1, server_ip: server.0, server_port: server.1 }
}

/// Which addresses change.
fn nat(from: &Endpoints, to: &Endpoints) -> &'static str {
    let open = |e: super::subject::End| e.0.is_none_or(|ip| ip.is_unspecified());
    let other = |a: super::subject::End, b: super::subject::End| a != b && !(open(a) || open(b));
    match (other(client(from), client(to)), other(server(from), server(to))) {
        (true, true) => "snat+dnat",
        (true, false) => "snat",
        (false, true) => "dnat",
        (false, false) => "",
    }
}

/// Of sorted delays, by nearest rank.
fn delay(sorted: &[Nanos]) -> Option<HopDelay> {
    let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    let sum: i128 = sorted.iter().map(|&d| i128::from(d)).sum();
    Some(HopDelay {
        min_ns: *sorted.first()?,
        p50_ns: rank(50)?,
        p95_ns: rank(95)?,
        max_ns: *sorted.last()?,
        mean_ns: i64::try_from(sum / sorted.len() as i128).unwrap_or(0),
    })
}

/// Segments that carry nothing new: all of their bytes were there before.
fn resent(sent: &[Seen]) -> u64 {
    // Ranges of sequence numbers seen, apart from each other, from `base` on; mostly one.
    let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
    let (mut last, mut at, mut count) = (None, 0i64, 0);
    for s in sent {
        at += i64::from(s.seq.wrapping_sub(last.unwrap_or(s.seq)).cast_signed());
        last = Some(s.seq);
        if s.span() == 0 {
            continue;
        }
        let (mut from, mut to) = (at, at + i64::from(s.span()));
        let before = seen.range(..=from).next_back().map(|(a, b)| (*a, *b));
        if before.is_some_and(|(_, end)| end >= to) {
            count += 1;
            continue;
        }
        if let Some((start, end)) = before.filter(|(_, end)| *end >= from) {
            seen.remove(&start);
            (from, to) = (start, to.max(end));
        }
        while let Some((start, end)) = seen.range(from..=to).next().map(|(a, b)| (*a, *b)) {
            seen.remove(&start);
            to = to.max(end);
        }
        seen.insert(from, to);
    }
    count
}

/// Each hop's part of its way.
fn shares(rows: &mut [Hop]) {
    for way in [Way::ToServer, Way::ToClient] {
        let median = |h: &Hop| h.delay.map_or(0, |d| d.p50_ns.max(0));
        let whole: i64 = rows.iter().filter(|h| h.way == way).map(median).sum();
        for h in rows.iter_mut().filter(|h| h.way == way && h.delay.is_some() && whole > 0) {
            h.share = Some(median(h) as f64 / whole as f64);
        }
    }
}

fn evidence(transport: Transport, m: &Matching, matched: u64) -> String {
    let by_bytes = matched.saturating_sub(m.whole);
    let same = match transport {
        Transport::Tcp => "sequence number, length, acknowledgement, timestamps",
        _ => "payload and length",
    };
    let id = if m.identified { ", IP identification" } else { "" };
    match (m.whole, by_bytes) {
        (0, 0) => String::new(),
        (0, n) => format!("{n} by the sequence numbers of their bytes"),
        (n, 0) => format!("{n} equal in {same}{id}"),
        (n, rest) => format!("{n} equal in {same}{id}; {rest} by the sequence numbers of their bytes"),
    }
}
