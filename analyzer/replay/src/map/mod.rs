//! The service map: who talks to whom, at what rate, with what delay and trouble.

mod service;
#[cfg(test)]
mod tests;

pub use service::Services;

use crate::model::{DelayStats, Flow, Nanos, ObservedAt, Replayed, Side, TapSide, Transport};
use crate::red::{Counts, Sum, View, delay_stats};
use ahash::AHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One edge of the map at one observation point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who asks: process name, else address.
    pub client: Arc<str>,
    /// Who answers: process name, else `address:port`.
    pub server: Arc<str>,
    /// Transport.
    pub transport: Transport,
    /// Application protocol, empty if not recognised.
    pub l7_protocol: &'static str,
    /// Whose view it is.
    pub view: View,
    /// Packets: the interface, a place in [`Replayed::interfaces`].
    pub interface: Option<u32>,
    /// Where on the way of its requests the observation point lies, where they are in traces.
    pub tap_side: Option<TapSide>,
    /// Requests, errors, delays.
    pub counts: Counts,
    /// Time of requests that was spent beyond this point and before the next one towards the server; at the server's process the
    /// time that it did not wait for requests of its own. Of requests in traces.
    pub beyond: DelayStats,
    /// Flows.
    pub connections: u64,
    /// TCP: of these, never established: no answer to the SYN, or a reset.
    pub connection_failures: u64,
    /// Bytes the clients sent: frames in packets' views, payload in processes' views.
    pub client_bytes: u64,
    /// Bytes the servers sent.
    pub server_bytes: u64,
    /// TCP segments sent again, both sides, SYN and SYN-ACK included.
    pub retransmissions: u64,
    /// TCP resets.
    pub resets: u64,
    /// Mean of the handshakes' round trips, ns, where there were any.
    pub rtt_mean_ns: Option<u64>,
    /// First packet or event.
    pub start: Nanos,
    /// Last one.
    pub end: Nanos,
}

/// The edges, sorted by client, server, transport, protocol, view and interface.
pub type Edges = Vec<Edge>;

#[derive(Debug, Default)]
struct Parts {
    sum: Sum,
    beyond: Vec<u64>,
    /// Spans by tap side.
    sides: BTreeMap<TapSide, u64>,
    rtt_sum_ns: u64,
    rtt_count: u64,
}

/// Zeek's states of TCP connections that were tried and never came to be.
const FAILED: [&str; 6] = ["S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR"];

/// Whether a TCP connection was tried in vain. Where a place sees one direction only (asymmetric routes, a bridge behind which addresses are
/// translated), Zeek's state is one of those, too: a client that acknowledges, a server that sends data, has its connection.
#[must_use]
pub fn is_failed(flow: &Flow) -> bool {
    let proof: &[char] = match flow.conn_state {
        "S0" | "SH" => &['A'],
        "SHR" => &['a', 'd'],
        _ => &[],
    };
    // Of a call that failed, the history has the error's name.
    let has_proof = !flow.history.starts_with("connect:") && flow.history.contains(proof);
    flow.transport == Transport::Tcp && FAILED.contains(&flow.conn_state) && !has_proof
}

/// Segments of a flow that were sent again.
#[must_use]
pub fn retransmissions(flow: &Flow) -> u64 {
    [flow.client.retransmits, flow.server.retransmits, flow.syn_retransmits, flow.syn_ack_retransmits]
        .into_iter()
        .map(u64::from)
        .sum()
}

/// The view that a flow's observation belongs to. A process at both ends of its own flow is taken as the client.
fn view_of(flow: &Flow) -> View {
    let is = |p: &Option<crate::model::ProcessRef>, pid| p.as_ref().is_some_and(|p| p.pid == pid);
    match flow.observed_at {
        ObservedAt::Interface(_) => View::Packets,
        ObservedAt::Process(pid) if is(&flow.client_process, pid) => View::Client,
        ObservedAt::Process(pid) if is(&flow.server_process, pid) => View::Server,
        ObservedAt::Process(_) => View::Client,
    }
}

/// Computes the service map of a recording.
#[must_use]
pub fn edges(replayed: &Replayed, services: &Services) -> Edges {
    // A flow's side is best known by its requests.
    let mut sides: Vec<Option<Side>> = vec![None; replayed.flows.len()];
    for request in &replayed.requests {
        if let Some(side) = usize::try_from(request.flow_id).ok().and_then(|i| sides.get_mut(i)) {
            *side = side.or(request.side);
        }
    }
    // System calls do not show segments: there the kernel's own events count.
    let mut events: AHashMap<u64, (u64, u64)> = AHashMap::new();
    for event in &replayed.socket_events {
        if let Some(id) = event.flow_id {
            let (retransmits, resets) = events.entry(id).or_default();
            match event.event {
                "retransmit" => *retransmits += 1,
                "reset_sent" | "reset_received" => *resets += 1,
                _ => {}
            }
        }
    }

    let mut places: AHashMap<_, usize> = AHashMap::new();
    let mut edges: Vec<(Edge, Parts)> = Vec::new();
    let mut edge_of_flow: Vec<Option<usize>> = Vec::with_capacity(replayed.flows.len());
    for (flow, side) in replayed.flows.iter().zip(sides) {
        let Some((client, server)) = services.of_flow(flow.flow_id) else {
            edge_of_flow.push(None);
            continue;
        };
        let (view, interface) = match (&flow.observed_at, side) {
            (ObservedAt::Interface(i), _) => (View::Packets, Some(*i)),
            (ObservedAt::Process(_), Some(Side::Client)) => (View::Client, None),
            (ObservedAt::Process(_), Some(Side::Server)) => (View::Server, None),
            (ObservedAt::Process(_), None) => (view_of(flow), None),
        };
        let key = (client, server, flow.transport, flow.l7_protocol, view, interface);
        let place = *places.entry(key).or_insert_with(|| {
            let edge = Edge {
                client: services.name(client),
                server: services.name(server),
                transport: flow.transport,
                l7_protocol: flow.l7_protocol,
                view,
                interface,
                tap_side: None,
                counts: Counts::default(),
                beyond: DelayStats::default(),
                connections: 0,
                connection_failures: 0,
                client_bytes: 0,
                server_bytes: 0,
                retransmissions: 0,
                resets: 0,
                rtt_mean_ns: None,
                start: flow.start,
                end: flow.end,
            };
            edges.push((edge, Parts::default()));
            edges.len() - 1
        });
        edge_of_flow.push(Some(place));
        let Some((edge, parts)) = edges.get_mut(place) else {
            continue;
        };
        edge.connections += 1;
        edge.connection_failures += u64::from(is_failed(flow));
        let bytes = |c: &crate::model::SideCounters| match view {
            View::Packets => c.bytes,
            View::Client | View::Server => c.payload_bytes,
        };
        edge.client_bytes += bytes(&flow.client);
        edge.server_bytes += bytes(&flow.server);
        let (retransmits, resets) = match view {
            View::Packets => (retransmissions(flow), u64::from(flow.rst_count)),
            View::Client | View::Server => events.get(&flow.flow_id).copied().unwrap_or_default(),
        };
        edge.retransmissions += retransmits;
        edge.resets += resets;
        edge.start = edge.start.min(flow.start);
        edge.end = edge.end.max(flow.end);
        if let Some(rtt) = flow.rtt_ns {
            parts.rtt_sum_ns = parts.rtt_sum_ns.saturating_add(rtt);
            parts.rtt_count += 1;
        }
    }
    for (id, request) in replayed.requests.iter().enumerate() {
        // An answer alone, known to be that of a request which others saw, is no request of its own.
        let of = replayed.exchanges.get(id).and_then(|&first| replayed.requests.get(first as usize));
        if request.request_ts.is_none() && of.is_some_and(|of| of.request_ts.is_some()) {
            continue;
        }
        let place = usize::try_from(request.flow_id).ok().and_then(|i| edge_of_flow.get(i).copied().flatten());
        if let Some((_, parts)) = place.and_then(|p| edges.get_mut(p)) {
            parts.sum.add(request);
        }
    }

    for span in &replayed.spans {
        let request = usize::try_from(span.request_id).ok().and_then(|i| replayed.requests.get(i));
        let flow = request.and_then(|r| usize::try_from(r.flow_id).ok());
        let place = flow.and_then(|i| edge_of_flow.get(i).copied().flatten());
        if let Some((_, parts)) = place.and_then(|p| edges.get_mut(p)) {
            *parts.sides.entry(span.tap_side).or_default() += 1;
            // Of a request without an answer nobody knows where it stayed.
            if request.is_some_and(|r| r.duration_ns().is_some()) {
                parts.beyond.push(span.self_ns);
            }
        }
    }

    let mut out: Edges = edges
        .into_iter()
        .map(|(mut edge, mut parts)| {
            edge.counts = parts.sum.finish();
            edge.beyond = delay_stats(&mut parts.beyond);
            // Of equals the one nearest to the client.
            edge.tap_side = parts.sides.iter().rev().max_by_key(|(_, n)| **n).map(|(side, _)| *side);
            edge.rtt_mean_ns = parts.rtt_sum_ns.checked_div(parts.rtt_count);
            edge
        })
        .collect();
    out.sort_by(|a, b| {
        let key = |e: &Edge| (e.transport, e.l7_protocol, e.view, e.interface);
        (&a.client, &a.server).cmp(&(&b.client, &b.server)).then_with(|| key(a).cmp(&key(b)))
    });
    out
}
