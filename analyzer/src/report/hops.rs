//! The page's tables of hops: each pair of neighbouring places with all its conversations, and what is worth saying of single ones.

use super::columns::{Builder, Kind, MOST_ROWS, Strings, Table};
use crate::analysis::Analysis;
use replay::hops::{Hop, HopPlace, Way, place_name};
use replay::model::{Flow, ObservedAt};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What a place's name is made of.
type Named = (u32, ObservedAt, u8, Arc<str>, Option<u64>);

/// From, to, direction, translation.
type Pair = (Arc<str>, Arc<str>, Way, &'static str);

/// Names of places, each composed once.
struct Names<'a> {
    analysis: &'a Analysis,
    known: HashMap<Named, Arc<str>>,
}

impl Names<'_> {
    fn of(&mut self, place: &HopPlace) -> Arc<str> {
        let r = &self.analysis.replayed;
        let flow = usize::try_from(place.flow_id).ok().and_then(|i| r.flows.get(i));
        let tunnel = |f: &Flow| (f.node, f.tunnel.clone(), f.tunnel_id);
        let (node, tunnel, id) = flow.map(tunnel).unwrap_or_default();
        let key = (node, place.observed_at.clone(), place.copy, tunnel, id);
        self.known.entry(key).or_insert_with(|| place_name(r, place).into()).clone()
    }
}

#[derive(Default)]
struct Sum {
    conversations: u64,
    packets: u64,
    lost: u64,
    resent: u64,
    /// Of delays: how many, their sum, the largest.
    count: u64,
    sum_ns: i128,
    max_ns: i64,
}

fn direction(way: Way) -> &'static str {
    match way {
        Way::ToServer => "to server",
        Way::ToClient => "to client",
    }
}

/// From place to place, all conversations together; those that take longest first.
pub(super) fn places(analysis: &Analysis, strings: &mut Strings) -> Table {
    let mut names = Names { analysis, known: HashMap::new() };
    let mut sums: BTreeMap<Pair, Sum> = BTreeMap::new();
    for h in &analysis.replayed.hops {
        let sum = sums.entry((names.of(&h.from), names.of(&h.to), h.way, h.nat)).or_default();
        sum.conversations += 1;
        sum.packets += h.packets;
        sum.lost += h.lost.unwrap_or(0);
        sum.resent += h.resent;
        if let Some(d) = h.delay {
            sum.count += h.matched;
            sum.sum_ns += i128::from(d.mean_ns) * i128::from(h.matched);
            sum.max_ns = sum.max_ns.max(d.max_ns);
        }
    }
    let mean = |s: &Sum| i64::try_from(s.sum_ns.checked_div(i128::from(s.count)).unwrap_or(0)).unwrap_or(0);
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by_key(|(_, s)| std::cmp::Reverse(mean(s)));
    let total = rows.len();
    rows.truncate(MOST_ROWS);
    let known = |s: &Sum, ns: i64| Some(ns).filter(|_| s.count > 0);
    Builder::new(strings, &rows, total)
        .file("tables/hops.parquet", "the slowest, conversations added up")
        .text("from", "From", Kind::Code, |(k, _)| &*k.0)
        .text("to", "To", Kind::Code, |(k, _)| &*k.1)
        .text("direction", "Direction", Kind::Text, |(k, _)| direction(k.2))
        .whole("mean_ns", "Mean delay", Kind::Duration, |(_, s)| known(s, mean(s)))
        .whole("max_ns", "Max", Kind::Duration, |(_, s)| known(s, s.max_ns))
        .count("packets", "Packets", Kind::Count, |(_, s)| Some(s.packets))
        .count("lost", "Lost", Kind::Count, |(_, s)| Some(s.lost))
        .count("resent", "Resent", Kind::Count, |(_, s)| Some(s.resent))
        .text("nat", "Translation", Kind::Text, |(k, _)| k.3)
        .count("conversations", "Conversations", Kind::Count, |(_, s)| Some(s.conversations))
        .done()
}

/// Single conversations of which there is something to say: losses first, then the longest delays.
pub(super) fn statements(analysis: &Analysis, strings: &mut Strings) -> Table {
    let mut rows: Vec<&Hop> = analysis.replayed.hops.iter().filter(|h| !h.statement.is_empty()).collect();
    let delay = |h: &Hop| h.delay.map_or(0, |d| d.p50_ns);
    rows.sort_by_key(|h| (std::cmp::Reverse((h.lost.unwrap_or(0), delay(h))), h.conversation, h.hop));
    let total = rows.len();
    rows.truncate(MOST_ROWS);
    Builder::new(strings, &rows, total)
        .file("tables/hops.parquet", "losses first, then the longest delays")
        .text("statement", "What was found", Kind::Text, |h| &*h.statement)
        .text("direction", "Direction", Kind::Text, |h| direction(h.way))
        .count("lost", "Lost", Kind::Count, |h| h.lost)
        .whole("p50_ns", "p50", Kind::Duration, |h| h.delay.map(|d| d.p50_ns))
        .whole("p95_ns", "p95", Kind::Duration, |h| h.delay.map(|d| d.p95_ns))
        .count("flow_id", "Flow", Kind::Flow, |h| Some(h.conversation))
        .done()
}
