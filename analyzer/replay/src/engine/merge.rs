//! What the parts have given, put together: sorted, with dense ids.

use super::Engine;
use super::batch::lock;
use super::ordered::at_home;
use super::part::Part;
use super::stored::Stored;
use crate::flow::Tally;
use crate::hops::PlaceLog;
use crate::host::Host;
use crate::model::{Flow, Health, Process, Replayed};
use crate::store::{Entry, Rows, Spill};
use rayon::prelude::*;

/// Flows of one shard that are finished before they are packed.
const AT_ONCE: usize = 256;
/// So many flows of one start have what orders them unpacked at once; more are unpacked as they are compared.
const SAME_START: usize = 1 << 16;

impl Engine {
    /// The end of all inputs.
    pub(super) fn finish(mut self, pool: rayon::ThreadPool) -> Stored {
        self.end_of_fragments();
        self.clip();
        let end = self.out.end;
        let (settings, nodes, spill) = (&self.settings, &self.events.nodes, &self.spill);
        let shards: Vec<(Vec<Part>, [Tally; 2], u64)> = pool.install(|| {
            let finish = |shard: &std::sync::Mutex<super::Shard>| {
                let mut shard = lock(shard);
                let shard = &mut *shard;
                let mut more = true;
                while more {
                    more = shard.flows.finish_some(end, settings, AT_ONCE);
                    shard.part.take(&mut shard.flows.finished, spill);
                }
                let tallies = [shard.flows.finished.evicted, shard.flows.finished.damaged];
                let mut parts = vec![std::mem::take(&mut shard.part)];
                for (node, sockets) in std::mem::take(&mut shard.ended) {
                    let Some(of) = nodes.get(node as usize) else { continue };
                    parts.push(Part::of_sockets(node, sockets.finish(end, &of.host), spill));
                }
                (parts, tallies, shard.flows.room.left_out)
            };
            at_home(&self.shards, finish)
        });
        let mut out = self.out;
        if out.start > out.end {
            (out.start, out.end) = (0, 0);
        }
        out.interfaces = self.interfaces.rows;
        out.nodes = self.interfaces.nodes;
        let mut parts = Vec::new();
        let [mut evicted, mut damaged] = [Tally::default(); 2];
        let mut not_compared = 0;
        for (of_shard, tallies, left_out) in shards {
            of_shard.iter().for_each(|part| out.masked.add(part.masked));
            parts.extend(of_shard);
            not_compared += left_out;
            evicted.join(tallies[0]);
            damaged.join(tallies[1]);
        }
        let causes = [
            (
                evicted,
                "flow",
                "too many flows open at once: those silent for longest were finished early (completeness ended_after)",
            ),
            (
                damaged,
                "checksum",
                "packets with a wrong checksum: counted, and left out of the analysis of their flows",
            ),
        ];
        for (Tally(lost, range), kind, cause) in causes {
            if let Some((first, last)) = range {
                let (first, last) = (Some(first), Some(last));
                out.health.push(Health { kind: kind.into(), cpu: None, first, last, lost, cause: cause.into() });
            }
        }
        if not_compared > 0 {
            out.health.push(Health {
                kind: "hop".into(),
                lost: not_compared,
                cause: "packets that were not compared from place to place: more than the analyzer keeps (table hops)"
                    .into(),
                ..Health::default()
            });
        }
        self.events.health(&mut out.health);
        for (node, of) in (0u32..).zip(&mut self.events.nodes) {
            interface_facts(node, &of.host, &mut out);
            let states = std::mem::take(&mut of.states);
            out.socket_events.extend(states.finish(node, of.manifest.as_ref(), &of.host));
            out.processes.extend(of.host.processes().into_iter().map(|p| Process { node, ..p }));
        }
        // Stable: each node's are in their order.
        out.socket_events.sort_by_key(|e| e.ts);
        if let (Some(filter), Some(filtered)) = (&self.filter, &mut out.filtered) {
            let all = out.socket_events.len();
            out.socket_events.retain(|e| filter.event(e));
            let left_out = (all - out.socket_events.len()) as u64;
            filtered.records += left_out;
            if let Some(n) = out.events.get_mut(&formats::event::kind::SOCKET_STATE) {
                *n = n.saturating_sub(left_out);
            }
        }
        let Ids { flows, requests, first_request, request_ids, seen } = pool.install(|| order(&mut parts, &self.spill));
        Stored {
            pool: Some(pool),
            out,
            parts,
            spill: self.spill,
            flows,
            requests,
            first_request,
            request_ids,
            events: self.events,
            link: self.link,
            spans: self.spans,
            // Flows seen at several places explain each other.
            is_plain: self.is_plain
                && !self.settings.several_places
                && !seen.iter().flatten().any(|log| log.shows_copies()),
            seen,
            filter: self.filter,
        }
    }
}

/// What the node said of its interfaces.
fn interface_facts(node: u32, host: &Host, out: &mut Replayed) {
    for row in out.interfaces.iter_mut().filter(|row| row.node == node) {
        let same =
            |f: &&formats::facts::Interface| f.netns == row.netns && f.ifindex == row.ifindex && row.ifindex != 0;
        // The last word counts: addresses may have come later.
        let Some(fact) = host.interfaces().iter().rev().find(same) else { continue };
        if row.kind.is_empty() {
            row.kind.clone_from(&fact.kind);
        }
        row.mac.clone_from(&fact.mac);
        row.mtu = fact.mtu;
        row.addresses.clone_from(&fact.addresses);
    }
}

/// What flows of one start are sorted by.
fn flow_order(f: &Flow) -> impl Ord + '_ {
    (f.transport, f.endpoints, &f.observed_at, f.end, &f.tunnel, f.tunnel_id)
}

/// Rows in the order of the tables.
struct Ids {
    flows: Vec<Entry>,
    requests: Vec<Entry>,
    first_request: Vec<usize>,
    request_ids: Vec<u32>,
    seen: Vec<Option<Box<PlaceLog>>>,
}

/// Entries of all parts, each with the number of its part.
fn entries(parts: &mut [Part], take: impl Fn(&mut Part) -> Vec<Entry>) -> Vec<Entry> {
    let all: Vec<Vec<Entry>> = parts.iter_mut().map(take).collect();
    let mut out = Vec::with_capacity(all.iter().map(Vec::len).sum());
    for (part, of_part) in (0u32..).zip(all) {
        out.extend(of_part.into_iter().map(|e| Entry { part, ..e }));
    }
    out
}

/// Sorts, gives dense ids, and puts them into the parts' logs.
fn order(parts: &mut [Part], spill: &Spill) -> Ids {
    let mut flows = entries(parts, |p| p.flows.take_entries());
    flows.par_sort_unstable_by_key(|e| (e.key, e.part, e.row));
    sort_same_starts(&mut flows, parts, spill);
    // By part: final id of every flow, by its number.
    let mut flow_ids: Vec<Vec<u32>> = parts.iter().map(|p| Vec::with_capacity(p.flows.len())).collect();
    for (id, e) in (0u32..).zip(&flows) {
        let Some(ids) = flow_ids.get_mut(e.part as usize) else { continue };
        let number = e.flow as usize;
        if ids.len() <= number {
            ids.resize(number + 1, 0);
        }
        if let Some(slot) = ids.get_mut(number) {
            *slot = id;
        }
    }
    let mut seen = Vec::new();
    for (part, ids) in parts.iter_mut().zip(&flow_ids) {
        for (number, log) in std::mem::take(&mut part.seen) {
            seen.resize_with(flows.len(), || None);
            let id = ids.get(number as usize).copied().unwrap_or(u32::MAX);
            if let Some(slot) = seen.get_mut(id as usize) {
                *slot = Some(log);
            }
        }
    }
    let mut requests = entries(parts, |p| p.requests.take_entries());
    requests.par_iter_mut().for_each(|e| {
        e.flow = flow_ids.get(e.part as usize).and_then(|ids| ids.get(e.flow as usize)).copied().unwrap_or(0);
    });
    // Requests of one flow are in their order, and no flow's requests are in two parts.
    requests.par_sort_unstable_by_key(|e| (e.key, e.flow, e.part, e.row));
    let mut first_request = Vec::with_capacity(parts.len());
    let mut sum = 0;
    for p in parts.iter() {
        first_request.push(sum);
        sum += p.requests.len();
    }
    let mut request_ids = vec![0u32; sum];
    for (id, e) in (0u32..).zip(&requests) {
        let place = first_request.get(e.part as usize).map_or(0, |first| first + e.row as usize);
        if let Some(slot) = request_ids.get_mut(place) {
            *slot = id;
        }
    }
    for ((part, flows), first) in parts.iter_mut().zip(&flow_ids).zip(&first_request) {
        let requests = request_ids.get(*first..first + part.requests.len()).unwrap_or(&[]);
        part.log.renumber(flows, requests);
    }
    Ids { flows, requests, first_request, request_ids, seen }
}

/// Flows that began at the same time are ordered by their other facts.
fn sort_same_starts(flows: &mut [Entry], parts: &[Part], spill: &Spill) {
    let compare = |a: &Option<Flow>, b: &Option<Flow>| a.as_ref().map(flow_order).cmp(&b.as_ref().map(flow_order));
    let mut rows = Rows::new(spill);
    for run in flows.chunk_by_mut(|a, b| a.key == b.key).filter(|run| run.len() > 1) {
        let mut flow = |e: &Entry| parts.get(e.part as usize).and_then(|p| p.bare_flow_at(&mut rows, e));
        if run.len() > SAME_START {
            run.sort_by(|a, b| compare(&flow(a), &flow(b)));
            continue;
        }
        let mut unpacked: Vec<(Option<Flow>, Entry)> = run.iter().map(|e| (flow(e), *e)).collect();
        unpacked.sort_by(|(a, _), (b, _)| compare(a, b));
        for (slot, (_, e)) in run.iter_mut().zip(unpacked) {
            *slot = e;
        }
    }
}
