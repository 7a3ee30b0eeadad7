//! The kernel's own events at the hop where they happened: drops at the packet that was lost, retransmissions and resets at whoever sent them.

use super::clock::Clocks;
use super::row::{Hop, Way};
use super::subject::{End, client, server};
use crate::model::{Nanos, ObservedAt, Replayed, SocketEvent};
use ahash::AHashMap;
use std::collections::BTreeMap;

/// A packet is dropped soon after it was seen.
const BEFORE_NS: Nanos = 1_000_000;
const AFTER_NS: Nanos = 1_000_000_000;

/// A packet that did not get over a hop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    /// Of the conversation's rows.
    pub(super) row: usize,
    pub(super) ts: Nanos,
    pub(super) seq: u32,
}

/// Events by conversation.
pub(super) struct EventsOf<'a> {
    replayed: &'a Replayed,
    /// (event, when by the reference clock), by time.
    by_conversation: AHashMap<u64, Vec<(&'a SocketEvent, Nanos)>>,
}

impl<'a> EventsOf<'a> {
    pub(super) fn new(replayed: &'a Replayed, conversations: &[(u64, bool)], clocks: &Clocks) -> Self {
        let mut by_conversation: AHashMap<u64, Vec<(&SocketEvent, Nanos)>> = AHashMap::new();
        for event in replayed.socket_events.iter().filter(|e| e.is_trouble()) {
            let flow = event.flow_id.and_then(|id| conversations.get(usize::try_from(id).ok()?));
            if let Some((conversation, _)) = flow {
                let ts = clocks.corrected(event.node, event.ts);
                by_conversation.entry(*conversation).or_default().push((event, ts));
            }
        }
        Self { replayed, by_conversation }
    }

    /// Puts each event of a conversation to one of its rows.
    pub(super) fn attach(&self, conversation: u64, rows: &mut [Hop], lost: &[Lost]) {
        let Some(events) = self.by_conversation.get(&conversation) else { return };
        let mut left: Vec<Lost> = lost.to_vec();
        let mut counts: BTreeMap<(usize, String), u64> = BTreeMap::new();
        for &(event, ts) in events {
            let Some(way) = way(event, rows) else { continue };
            let row = match event.event {
                "drop" => self.dropped(event, ts, way, rows, &mut left),
                "reset_received" => end_of(rows, way, true),
                _ => end_of(rows, way, false),
            };
            if let Some(row) = row {
                *counts.entry((row, name(event))).or_default() += 1;
            }
        }
        for ((row, name), count) in counts {
            if let Some(row) = rows.get_mut(row) {
                row.events.push((name, count));
            }
        }
        for row in rows {
            row.events.sort_by(|a, b| (std::cmp::Reverse(a.1), &a.0).cmp(&(std::cmp::Reverse(b.1), &b.0)));
        }
    }

    /// The hop on which the dropped packet was; without such a one, that behind the last place in the namespace of the drop.
    fn dropped(&self, event: &SocketEvent, ts: Nanos, way: Way, rows: &[Hop], left: &mut Vec<Lost>) -> Option<usize> {
        let fits = |l: &Lost| {
            let same = event.seq.is_none_or(|seq| seq == l.seq);
            same && rows.get(l.row).is_some_and(|r| r.way == way) && l.ts - BEFORE_NS <= ts && ts <= l.ts + AFTER_NS
        };
        let nearest = left.iter().enumerate().filter(|(_, l)| fits(l)).min_by_key(|(i, l)| ((ts - l.ts).abs(), *i));
        if let Some(found) = nearest.map(|(i, _)| i) {
            return Some(left.swap_remove(found).row);
        }
        let there = |flow_id: u64| {
            let flow = usize::try_from(flow_id).ok().and_then(|i| self.replayed.flows.get(i));
            flow.is_some_and(|f| (f.node, f.netns) == (event.node, event.netns))
        };
        let of_way = || rows.iter().enumerate().filter(|(_, r)| r.way == way);
        let behind = of_way().filter(|(_, r)| there(r.from.flow_id)).max_by_key(|(_, r)| along(r));
        behind.or_else(|| of_way().filter(|(_, r)| there(r.to.flow_id)).max_by_key(|(_, r)| along(r))).map(|(i, _)| i)
    }
}

/// Number of a hop from the sender on.
fn along(row: &Hop) -> i64 {
    if row.way == Way::ToServer { i64::from(row.hop) } else { -i64::from(row.hop) }
}

fn end_of(rows: &[Hop], way: Way, last: bool) -> Option<usize> {
    let of_way = rows.iter().enumerate().filter(|(_, r)| r.way == way);
    let key = |(_, r): &(usize, &Hop)| if last { along(r) } else { -along(r) };
    of_way.max_by_key(key).map(|(i, _)| i)
}

/// Which way the packet of an event went: by the address of its sender at any of the places.
fn way(event: &SocketEvent, rows: &[Hop]) -> Option<Way> {
    let (local, remote): (End, End) = ((event.local_ip, event.local_port), (event.remote_ip, event.remote_port));
    let sender = if event.outbound || matches!(event.event, "retransmit" | "reset_sent") { local } else { remote };
    let ends = || rows.iter().flat_map(|r| [&r.from.endpoints, &r.to.endpoints]);
    if ends().any(|e| client(e) == sender) {
        Some(Way::ToServer)
    } else if ends().any(|e| server(e) == sender) {
        Some(Way::ToClient)
    } else {
        None
    }
}

fn name(event: &SocketEvent) -> String {
    let mut name = event.event.to_owned();
    if !event.reason.is_empty() {
        name.push(' ');
        name.push_str(&event.reason);
    }
    if !event.location.is_empty() {
        name.push_str(" in ");
        name.push_str(&event.location);
    }
    name
}

/// Whether a place is a process.
pub(super) fn is_process(at: &ObservedAt) -> bool {
    matches!(at, ObservedAt::Process(_))
}
