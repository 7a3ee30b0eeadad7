//! Which flows are one conversation: those of the same addresses that carried the same packets, and, through address translation, those
//! of different addresses that did.
//!
//! Equal addresses alone prove nothing (every network namespace has a 127.0.0.1, private networks repeat), nor do equal sequence numbers alone
//! (generated traffic starts at 0). What is asked for where addresses differ: packets equal in sequence number, acknowledgement and
//! timestamps or payload, seen at no third flow of the same place, in both directions with delays of opposite sign.

use super::log::Logs;
use super::sketch::{Print, sketch};
use super::subject::{End, Subject, client, server};
use crate::model::{Nanos, ObservedAt, Transport};
use ahash::AHashMap;
use rayon::prelude::*;

/// Packets are not under way for longer.
const UNDER_WAY_NS: Nanos = 10_000_000_000;
/// Calls may come long before or after the packets' flow is seen to begin or end.
const SLACK_NS: Nanos = 5_000_000_000;
/// Flows that share a packet and are looked at; more of them are made-up traffic.
const MAX_SHARED: usize = 24;
/// Proof needed where addresses differ; at one and the same place, or where both ends are other ones.
const PROOF: u32 = 4;
const PROOF_SAME_PLACE: u32 = 8;
/// Two readings of one clock may be out of order by so much.
const JITTER_NS: Nanos = 20_000;
/// Flows of one conversation at most.
const MAX_PLACES: u32 = 64;

/// Flows that are one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// (place in the subjects, the row has client and server the other way round than the first one).
    pub(super) members: Vec<(u32, bool)>,
}

/// Sets that know of each member whether it is turned round with respect to the set's root.
struct Sets {
    parent: Vec<(u32, bool)>,
    size: Vec<u32>,
}

impl Sets {
    fn new(len: usize) -> Self {
        Self { parent: (0..len as u32).map(|i| (i, false)).collect(), size: vec![1; len] }
    }

    fn find(&mut self, i: u32) -> (u32, bool) {
        let (mut root, mut turned) = (i, false);
        while let Some(&(parent, t)) = self.parent.get(root as usize).filter(|(p, _)| *p != root) {
            (root, turned) = (parent, turned ^ t);
        }
        if let Some(slot) = self.parent.get_mut(i as usize) {
            *slot = (root, turned);
        }
        (root, turned)
    }

    fn join(&mut self, a: u32, b: u32, turned: bool) {
        let ((a, ta), (b, tb)) = (self.find(a), self.find(b));
        let size = |i: u32| self.size.get(i as usize).copied().unwrap_or(0);
        let together = size(a) + size(b);
        if a == b || together > MAX_PLACES {
            return;
        }
        // The smaller number stays the root, so that the result does not depend on the order of joins.
        let (root, child) = (a.min(b), a.max(b));
        if let Some(slot) = self.parent.get_mut(child as usize) {
            *slot = (root, ta ^ tb ^ turned);
        }
        if let Some(slot) = self.size.get_mut(root as usize) {
            *slot = together;
        }
    }
}

/// What speaks for two flows of different addresses being one conversation.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    weight: u32,
    /// Smallest and largest delay from the first to the second flow, by who sent it (the first's client, its server).
    delays: [Option<(Nanos, Nanos)>; 2],
    turned: u32,
    straight: u32,
}

/// Finds the conversations that were seen at several places; sorted by their first flow.
pub(super) fn groups(subjects: &[Subject<'_>], logs: Logs<'_>) -> Vec<Group> {
    let log = |s: &Subject<'_>| logs.of(s.flow);
    let mut prints: Vec<Print> = subjects
        .par_iter()
        .enumerate()
        .filter(|(_, s)| !s.is_process())
        .fold(Vec::new, |mut out, (place, s)| {
            if let Some(log) = log(s) {
                // From here on flows are known by their places among the subjects.
                sketch(&Subject { flow: place as u32, ..*s }, log, &mut out);
            }
            out
        })
        .reduce(Vec::new, |mut a, mut b| {
            a.append(&mut b);
            a
        });
    prints.par_sort_unstable();
    let mut sets = Sets::new(subjects.len());
    let mut links: AHashMap<(u32, u32), Link> = AHashMap::new();
    let mut at_place: Vec<(ObservedAt, u32, Nanos)> = Vec::new();
    for equal in prints.chunk_by(|a, b| a.print == b.print) {
        if !(2..=MAX_SHARED).contains(&equal.len()) {
            continue;
        }
        at_place.clear();
        at_place.extend(equal.iter().filter_map(|p| {
            let s = subjects.get(p.flow as usize)?;
            Some((s.row.observed_at.clone(), tunnel(s), p.ts))
        }));
        at_place.sort_unstable();
        let places = || at_place.chunk_by(|a, b| (&a.0, a.1) == (&b.0, b.1));
        let crowded = places().any(|same| same.len() > 2);
        // Messages that are the same every time: those of other times do not count, by one clock.
        let crowded_at =
            |ts: Nanos| places().any(|same| same.iter().filter(|p| (p.2 - ts).abs() <= UNDER_WAY_NS).count() > 2);
        for (n, a) in equal.iter().enumerate() {
            for b in equal.iter().skip(n + 1) {
                let (Some(x), Some(y)) = (subjects.get(a.flow as usize), subjects.get(b.flow as usize)) else {
                    continue;
                };
                if x.clock == y.clock && (a.ts - b.ts).abs() > UNDER_WAY_NS || x.row.transport != y.row.transport {
                    continue;
                }
                match same_ends(x, y) {
                    Some(turned) if turned == (a.from_client != b.from_client) => sets.join(a.flow, b.flow, turned),
                    Some(_) => {}
                    None if a.weight == 0 || crowded && (x.clock != y.clock || crowded_at(a.ts)) => {}
                    None => note(links.entry((a.flow, b.flow)).or_default(), a, b),
                }
            }
        }
    }
    drop(prints);
    let mut links: Vec<((u32, u32), Link)> = links.into_iter().collect();
    links.sort_unstable_by_key(|(pair, link)| (std::cmp::Reverse(link.weight), *pair));
    // The surest first: a flow has one counterpart among the flows of a place.
    let mut taken: AHashMap<(u32, ObservedAt, u32), u32> = AHashMap::new();
    for ((a, b), link) in links {
        let (Some(x), Some(y)) = (subjects.get(a as usize), subjects.get(b as usize)) else { continue };
        if !proves(&link, x, y) {
            continue;
        }
        let at = |s: &Subject<'_>| (s.row.observed_at.clone(), tunnel(s));
        let (there, here) = (at(y), at(x));
        let free = |from: u32, place: &(ObservedAt, u32), to: u32| {
            taken.get(&(from, place.0.clone(), place.1)).is_none_or(|&t| t == to)
        };
        if free(a, &there, b) && free(b, &here, a) {
            taken.insert((a, there.0, there.1), b);
            taken.insert((b, here.0, here.1), a);
            sets.join(a, b, link.turned > link.straight);
        }
    }
    join_processes(subjects, logs, &mut sets);
    collect(subjects, &mut sets)
}

/// What tells tunnels of one interface apart.
fn tunnel(s: &Subject<'_>) -> u32 {
    let id = s.row.tunnel_id.unwrap_or(0) as u32;
    if s.row.tunnel.is_empty() { 0 } else { id ^ (s.row.tunnel.len() as u32) << 24 | 1 << 31 }
}

/// Whether two rows have the same addresses, and which way round.
fn same_ends(a: &Subject<'_>, b: &Subject<'_>) -> Option<bool> {
    let (x, y) = (&a.row.endpoints, &b.row.endpoints);
    if (client(x), server(x)) == (client(y), server(y)) {
        Some(false)
    } else if (client(x), server(x)) == (server(y), client(y)) {
        Some(true)
    } else {
        None
    }
}

fn note(link: &mut Link, a: &Print, b: &Print) {
    link.weight += u32::from(a.weight.min(b.weight));
    if a.from_client == b.from_client {
        link.straight += 1;
    } else {
        link.turned += 1;
    }
    let delay = b.ts.saturating_sub(a.ts);
    let range = &mut link.delays[usize::from(!a.from_client)];
    *range = Some(range.map_or((delay, delay), |(min, max)| (min.min(delay), max.max(delay))));
}

fn proves(link: &Link, a: &Subject<'_>, b: &Subject<'_>) -> bool {
    let same_place = a.row.observed_at == b.row.observed_at && tunnel(a) == tunnel(b);
    let (x, y) = (&a.row.endpoints, &b.row.endpoints);
    let (x, y) = ([client(x), server(x)], [client(y), server(y)]);
    let one_end_stays = x.iter().any(|end| y.contains(end));
    let needed = if same_place || !one_end_stays { PROOF_SAME_PLACE } else { PROOF };
    if link.weight < needed || (link.turned > 0 && link.straight > 0) {
        return false;
    }
    if a.clock != b.clock {
        return true;
    }
    // What goes there comes back: one is nearer to the client than the other.
    // At one place, where one hook reads one clock, it takes some time; copies made by hand have the times of the original.
    let jitter = if same_place { -1 } else { JITTER_NS };
    let later = |(min, _): (Nanos, Nanos)| min >= -jitter;
    let earlier = |(_, max): (Nanos, Nanos)| max <= jitter;
    match link.delays {
        [Some(there), Some(back)] => later(there) && earlier(back) || earlier(there) && later(back),
        [Some(only), None] | [None, Some(only)] => !same_place && (later(only) || earlier(only)),
        [None, None] => false,
    }
}

type Key = (Transport, End, End);

/// A flow's ends in an order of their own; a socket that is bound to no address has none.
fn key(transport: Transport, a: End, b: End) -> Key {
    let bound = |(ip, port): End| (ip.filter(|ip| !ip.is_unspecified()), port);
    let (a, b) = (bound(a), bound(b));
    (transport, a.min(b), a.max(b))
}

/// Sockets' flows: to the packets' flows of the same ends, and to each other's.
fn join_processes(subjects: &[Subject<'_>], logs: Logs<'_>, sets: &mut Sets) {
    let is_inet = |s: &Subject<'_>| matches!(s.row.transport, Transport::Tcp | Transport::Udp);
    if !subjects.iter().any(|s| s.is_process() && is_inet(s)) {
        return;
    }
    let mut by_ends: AHashMap<Key, Vec<u32>> = AHashMap::new();
    for (place, s) in (0u32..).zip(subjects).filter(|(_, s)| is_inet(s)) {
        let e = &s.row.endpoints;
        by_ends.entry(key(s.row.transport, client(e), server(e))).or_default().push(place);
        if !s.is_process() {
            // Sockets bound to no address look for these.
            for (mine, theirs) in [(client(e), server(e)), (server(e), client(e))] {
                if s.row.transport == Transport::Udp {
                    by_ends.entry(key(Transport::Udp, (None, mine.1), theirs)).or_default().push(place);
                }
            }
        }
    }
    let pairs: Vec<(u32, u32, bool)> = (0u32..)
        .zip(subjects)
        .collect::<Vec<_>>()
        .par_iter()
        .filter(|(_, s)| s.is_process() && is_inet(s))
        .flat_map_iter(|&(place, s)| {
            let e = &s.row.endpoints;
            let others = by_ends.get(&key(s.row.transport, client(e), server(e))).map_or(&[][..], Vec::as_slice);
            let started = others.iter().filter_map(|&o| Some((o, subjects.get(o as usize)?)));
            let mine = Bytes::of(s, logs);
            started
                .filter(move |(o, other)| *o != place && other.overlaps(s, SLACK_NS) && near(s, other))
                .take(MAX_SHARED * 4)
                .filter_map(move |(o, other)| {
                    let turned = turned(s, other)?;
                    mine.meets(&Bytes::of(other, logs), turned).then_some((place, o, turned))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    for (a, b, turned) in pairs {
        sets.join(a, b, turned);
    }
}

/// Loopback addresses mean something only within their namespace.
fn near(a: &Subject<'_>, b: &Subject<'_>) -> bool {
    let confined = a.row.endpoints.server_ip.is_some_and(|ip| ip.is_loopback());
    !confined || a.clock == b.clock && (a.row.netns == b.row.netns || a.row.netns == 0 || b.row.netns == 0)
}

/// Which way round `b` has the ends of `a`, one of which may be bound to no address.
fn turned(a: &Subject<'_>, b: &Subject<'_>) -> Option<bool> {
    let same = |x: End, y: End| {
        x.1 == y.1 && (x.0 == y.0 || [x.0, y.0].iter().any(|ip| ip.is_none_or(|ip| ip.is_unspecified())))
    };
    let (x, y) = (&a.row.endpoints, &b.row.endpoints);
    if same(client(x), client(y)) && same(server(x), server(y)) {
        Some(false)
    } else if same(client(x), server(y)) && same(server(x), client(y)) {
        Some(true)
    } else {
        None
    }
}

/// What bytes or datagrams went which way.
struct Bytes {
    tcp: bool,
    /// By who sent it (client, server): TCP (start, end); others (payload hash, length); sorted.
    ways: [Vec<(u32, u32)>; 2],
}

impl Bytes {
    /// Of the first packets: enough to see whether two are the same.
    const LOOKED_AT: usize = 512;

    fn of(s: &Subject<'_>, logs: Logs<'_>) -> Self {
        let mut ways = [Vec::new(), Vec::new()];
        let log = logs.of(s.flow);
        for seen in log.into_iter().flat_map(|l| l.iter()).filter(|s| s.len > 0).take(Self::LOOKED_AT) {
            let both = if s.is_tcp() { (seen.seq, seen.seq.wrapping_add(seen.len)) } else { (seen.payload, seen.len) };
            ways[usize::from(!s.by_client(&seen))].push(both);
        }
        ways.iter_mut().for_each(|w| w.sort_unstable());
        Self { tcp: s.is_tcp(), ways }
    }

    /// Whether some of these are in `other`: the same datagram; bytes that begin or end at the same number.
    fn meets(&self, other: &Self, turned: bool) -> bool {
        (0..2).any(|way| {
            let (mine, theirs) = (&self.ways[way], &other.ways[way ^ usize::from(turned)]);
            let meets = |m: &(u32, u32)| match self.tcp {
                false => m.0 != 0 && theirs.binary_search(m).is_ok(),
                true => {
                    let at = theirs.partition_point(|t| t.0 < m.0);
                    theirs.get(at).is_some_and(|t| t.0 == m.0)
                        || theirs.get(at.saturating_sub(4)..).unwrap_or(&[]).iter().take(8).any(|t| t.1 == m.1)
                }
            };
            mine.iter().any(meets)
        })
    }
}

/// Sets of two and more flows, or of one that shows copies of its packets.
fn collect(subjects: &[Subject<'_>], sets: &mut Sets) -> Vec<Group> {
    let mut by_root: AHashMap<u32, Vec<(u32, bool)>> = AHashMap::new();
    for place in 0..subjects.len() as u32 {
        let (root, turned) = sets.find(place);
        by_root.entry(root).or_default().push((place, turned));
    }
    let mut groups: Vec<Group> = by_root.into_values().map(|members| Group { members }).collect();
    groups.sort_unstable_by_key(|g| g.members.first().map(|m| m.0));
    groups
}
