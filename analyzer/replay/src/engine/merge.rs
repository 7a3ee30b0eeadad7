//! What the shards found, put together: sorted, with dense ids.

use super::Engine;
use super::batch::lock;
use crate::host::Host;
use crate::link::{LinkInput, link};
use crate::model::{Completeness, Flow, Health, Nanos, ObservedAt, Process, ProfileSegment, Replayed, Request};
use crate::netprofile::Profile;
use crate::socket::{Losses, SocketLog};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// What one shard's flows, or one input's sockets in it, gave.
#[derive(Default)]
struct Part {
    /// Sockets: their node.
    node: u32,
    flows: Vec<Flow>,
    requests: Vec<Request>,
    profile: Vec<Profile>,
    log: SocketLog,
}

impl Engine {
    /// The end of all inputs.
    pub(super) fn finish(mut self) -> Replayed {
        self.end_of_fragments();
        let end = self.out.end;
        let (settings, nodes) = (&self.settings, &self.events.nodes);
        let shards: Vec<(Vec<Part>, Evicted)> = self
            .shards
            .par_iter()
            .map(|shard| {
                let mut shard = lock(shard);
                shard.flows.finish(end, settings);
                let f = std::mem::take(&mut shard.flows.finished);
                let evicted = f.evicted;
                let mut parts =
                    vec![Part { flows: f.flows, requests: f.requests, profile: f.profile, ..Part::default() }];
                for (node, sockets) in std::mem::take(&mut shard.ended) {
                    let Some(of) = nodes.get(node as usize) else { continue };
                    let s = sockets.finish(end, &of.host);
                    parts.push(Part { node, flows: s.flows, requests: s.requests, log: s.log, ..Part::default() });
                }
                (parts, evicted)
            })
            .collect();
        let mut out = self.out;
        if out.start > out.end {
            (out.start, out.end) = (0, 0);
        }
        out.interfaces = self.interfaces.rows;
        out.nodes = self.interfaces.nodes;
        let mut parts = Vec::new();
        let mut evicted: Evicted = (0, None);
        for (of_shard, (count, range)) in shards {
            parts.extend(of_shard);
            evicted.0 += count;
            if let Some((a, b)) = range {
                evicted.1 = Some(evicted.1.map_or((a, b), |(x, y)| (a.min(x), b.max(y))));
            }
        }
        let logs = merge(&mut out, parts);
        if let (n @ 1.., Some((first, last))) = evicted {
            out.health.push(Health {
                kind: "flow".into(),
                cpu: None,
                first: Some(first),
                last: Some(last),
                lost: n,
                cause: "too many flows open at once: those silent for longest were finished early (completeness ended_after)".into(),
            });
        }
        self.events.health(&mut out.health);
        let mut hosts = Vec::with_capacity(self.events.nodes.len());
        let mut stacks = Vec::with_capacity(hosts.capacity());
        let mut samples = BTreeMap::new();
        for (node, of) in (0u32..).zip(self.events.nodes) {
            Losses::new(of.lost_data).mark(node, &mut out.flows, &mut out.requests);
            mark_packets(node, &Losses::new(of.lost_packets), &mut out);
            interface_facts(node, &of.host, &mut out);
            out.socket_events.extend(of.states.finish(node, of.manifest.as_ref(), &of.host));
            out.processes.extend(of.host.processes().into_iter().map(|p| Process { node, ..p }));
            samples.extend(of.stacks.samples_by_pid().into_iter().map(|(pid, n)| ((node, pid), n)));
            stacks.push(of.stacks);
            hosts.push(of.host);
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
        link(&mut out, LinkInput { logs, hosts: &hosts, samples, options: self.link });
        out.stacks = stacks.into_iter().zip(&hosts).flat_map(|(stacks, host)| stacks.finish(host)).collect();
        out
    }
}

/// How many, and from when to when.
type Evicted = (u64, Option<(Nanos, Nanos)>);

/// Marks what was seen at interfaces of a node while packets were lost.
fn mark_packets(node: u32, lost: &Losses, out: &mut Replayed) {
    if lost.is_empty() {
        return;
    }
    for f in out.flows.iter_mut().filter(|f| f.node == node && matches!(f.observed_at, ObservedAt::Interface(_))) {
        if lost.touch(f.start, f.end) {
            f.completeness.add(Completeness::GAP);
        }
    }
    let flows = &out.flows;
    let of_node = |r: &Request| flows.get(r.flow_id as usize).is_some_and(|f| f.node == node);
    for r in out.requests.iter_mut().filter(|r| matches!(r.observed_at, ObservedAt::Interface(_)) && of_node(r)) {
        let start = r.request_ts.or(r.response_ts);
        let end = r.response_ts.or(r.request_end_ts).or(start);
        if let (Some(start), Some(end)) = (start, end)
            && lost.touch(start, end)
        {
            r.completeness.add(Completeness::GAP);
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

/// What flows are sorted by.
fn flow_order(f: &Flow) -> impl Ord + '_ {
    (f.start, f.transport, f.endpoints, &f.observed_at, f.end, &f.tunnel, f.tunnel_id)
}

/// Takes a row out of its part.
fn take<T>(parts: &mut [Vec<Option<T>>], part: u32, place: u32) -> Option<T> {
    parts.get_mut(part as usize)?.get_mut(place as usize)?.take()
}

/// Sorts, gives dense ids, and puts them into the logs, which are returned.
fn merge(out: &mut Replayed, finished: Vec<Part>) -> Vec<SocketLog> {
    // (part, place) of every flow, in the order of the table.
    let mut places: Vec<(u32, u32)> = Vec::with_capacity(finished.iter().map(|f| f.flows.len()).sum());
    for (s, f) in finished.iter().enumerate() {
        places.extend((0..f.flows.len() as u32).map(|n| (s as u32, n)));
    }
    let flow_at = |&(s, n): &(u32, u32)| finished.get(s as usize).and_then(|f| f.flows.get(n as usize));
    places.par_sort_by(|a, b| flow_at(a).map(flow_order).cmp(&flow_at(b).map(flow_order)));
    let mut flow_ids: Vec<Vec<u64>> = finished.iter().map(|f| vec![0; f.flows.len()]).collect();
    for (id, &(s, n)) in places.iter().enumerate() {
        if let Some(slot) = flow_ids.get_mut(s as usize).and_then(|ids| ids.get_mut(n as usize)) {
            *slot = id as u64;
        }
    }
    let (mut flows, mut requests, mut logs, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut profiles, mut requested) = (Vec::with_capacity(finished.len()), 0);
    for (f, ids) in finished.into_iter().zip(&flow_ids) {
        let new_id = |old: u64| ids.get(old as usize).copied().unwrap_or(0);
        let base = requested;
        counts.push(f.requests.len());
        logs.push(SocketLog { node: f.node, ..f.log });
        profiles.push((f.profile, base));
        let of_sockets = |flow: &Flow| matches!(flow.observed_at, ObservedAt::Process(_));
        let with_node = |flow: Flow| Flow { node: if of_sockets(&flow) { f.node } else { 0 }, ..flow };
        flows.push(f.flows.into_iter().map(with_node).map(Some).collect::<Vec<_>>());
        requested += f.requests.len() as u64;
        requests.push(
            f.requests
                .into_iter()
                .map(|mut r| {
                    r.flow_id = new_id(r.flow_id);
                    Some(r)
                })
                .collect::<Vec<_>>(),
        );
    }
    // Stable: requests of one flow are in their order, and no flow's requests are in two parts.
    let mut order: Vec<(Option<Nanos>, u64, u32, u32)> = Vec::with_capacity(requested as usize);
    for (part, rows) in requests.iter().enumerate() {
        let key = |(place, r): (usize, &Option<Request>)| {
            let r = r.as_ref()?;
            Some((r.request_ts.or(r.response_ts), r.flow_id, part as u32, place as u32))
        };
        order.extend(rows.iter().enumerate().filter_map(key));
    }
    order.par_sort_unstable();
    let mut request_ids = vec![0u64; requested as usize];
    for (id, &(_, _, part, place)) in order.iter().enumerate() {
        let old = profiles.get(part as usize).map_or(0, |(_, base)| *base) + u64::from(place);
        if let Some(slot) = request_ids.get_mut(old as usize) {
            *slot = id as u64;
        }
    }
    // Large rows are moved once, to their places.
    let mut requests: Vec<Request> =
        order.iter().filter_map(|&(_, _, part, place)| take(&mut requests, part, place)).collect();
    for (id, r) in requests.iter_mut().enumerate() {
        r.request_id = id as u64;
    }
    let segments = profiles.iter().flat_map(|(p, _)| p).map(Profile::len).sum();
    let mut profile: Vec<ProfileSegment> = Vec::with_capacity(segments);
    for (id, &(part, place)) in places.iter().enumerate() {
        let Some((of_part, base)) = profiles.get_mut(part as usize) else { continue };
        let Some(of_flow) = of_part.get_mut(place as usize).map(std::mem::take) else { continue };
        let request_id = |old: u32| request_ids.get((u64::from(old) + *base) as usize).copied();
        profile.extend(of_flow.rows(id as u64, request_id));
    }
    drop(profiles);
    let mut flows: Vec<Flow> = places.iter().filter_map(|&(part, place)| take(&mut flows, part, place)).collect();
    for (id, f) in flows.iter_mut().enumerate() {
        f.flow_id = id as u64;
    }
    let interface = |at: &ObservedAt| match at {
        ObservedAt::Interface(id) => out.interfaces.get(*id as usize),
        ObservedAt::Process(_) => None,
    };
    for f in &mut flows {
        if let Some(interface) = interface(&f.observed_at) {
            (f.netns, f.node) = (interface.netns, interface.node);
        }
    }
    for r in &mut requests {
        if let Some(interface) = interface(&r.observed_at) {
            r.netns = interface.netns;
        }
    }
    let mut from = 0;
    for ((log, ids), count) in logs.iter_mut().zip(&flow_ids).zip(counts) {
        let flows: Vec<u32> = ids.iter().map(|&id| id as u32).collect();
        let requests: Vec<u32> =
            request_ids.get(from..from + count).unwrap_or(&[]).iter().map(|&id| id as u32).collect();
        log.renumber(&flows, &requests);
        from += count;
    }
    out.flows = flows;
    out.requests = requests;
    out.profile = profile;
    logs
}
