//! One request seen at several places: at the client process, on interfaces, at the server process.

use super::candidate::{Candidate, Method};
use super::identity::Mix;
use crate::hops::Joined;
use crate::model::{Endpoints, Evidence, Nanos, ObservedAt, Replayed, Request, Side, TapSide, Transport};
use crate::order::ip_number;
use crate::socket::SocketLog;
use ahash::AHashMap;
use std::net::IpAddr;

/// Sequence numbers come round again; the same bytes are not on their way for longer than this.
const SAME_BYTES_NS: Nanos = 120_000_000_000;
/// Ids of datagrams come round sooner.
const SAME_DATAGRAM_NS: Nanos = 5_000_000_000;

/// What is known of the sockets of flows seen at processes, by flow.
pub(super) struct Ends {
    sides: Vec<Option<Side>>,
    /// UNIX sockets: both identities, the smaller first.
    pairs: AHashMap<u32, (u64, u64)>,
    /// First and last time of every flow.
    lives: Vec<(Nanos, Nanos)>,
    /// Node of every flow.
    nodes: Vec<u32>,
    /// Nodes and namespaces of interfaces.
    interfaces: Vec<(u32, u32)>,
    /// Flows of conversations that were seen at several places: the ends that the conversation has at the first of them.
    ends: AHashMap<u64, Endpoints>,
    /// Clocks of several nodes.
    joined: Joined,
}

impl Ends {
    pub(super) fn new(replayed: &Replayed, logs: &[SocketLog]) -> Self {
        let mut sides = vec![None; replayed.flows.len()];
        let mut pairs = AHashMap::new();
        let unix = |flow: u32| replayed.flows.get(flow as usize).is_some_and(|f| f.transport == Transport::Unix);
        for end in logs.iter().flat_map(|l| &l.ends) {
            if let Some(side) = sides.get_mut(end.flow as usize) {
                *side = Some(end.side);
            }
            if end.peer != 0 && unix(end.flow) {
                pairs.insert(end.flow, (end.sock.min(end.peer), end.sock.max(end.peer)));
            }
        }
        let lives = replayed.flows.iter().map(|f| (f.start, f.end)).collect();
        let nodes = replayed.flows.iter().map(|f| f.node).collect();
        let interfaces = replayed.interfaces.iter().map(|i| (i.node, i.netns)).collect();
        Self { sides, pairs, lives, nodes, interfaces, ends: AHashMap::new(), joined: Joined::default() }
    }

    /// Takes in which flows are one conversation, perhaps under other addresses.
    pub(super) fn join(&mut self, replayed: &Replayed, joined: Joined) {
        for (flow, &(first, _)) in (0u64..).zip(&joined.conversations) {
            let of_first = usize::try_from(first).ok().and_then(|i| replayed.flows.get(i));
            if let Some(of_first) = of_first.filter(|_| first != flow) {
                self.ends.insert(flow, of_first.endpoints);
            }
        }
        self.joined = joined;
    }

    /// The conversation that a request belongs to: its first flow.
    fn conversation(&self, request: &Request) -> u64 {
        let of_flow = usize::try_from(request.flow_id).ok().and_then(|i| self.joined.conversations.get(i));
        of_flow.map_or(request.flow_id, |c| c.0)
    }

    /// A request's ends, the same at all places of its conversation; either may be the client.
    fn endpoints<'a>(&'a self, request: &'a Request) -> &'a Endpoints {
        self.ends.get(&request.flow_id).unwrap_or(&request.endpoints)
    }

    /// When a request was first seen, by a clock that all nodes share.
    fn first_seen(&self, request: &Request) -> Nanos {
        self.joined.corrected(self.node(request.flow_id as u32), first_seen(request))
    }

    /// [`Self::side`] of all flows.
    pub(super) fn sides(&self) -> &[Option<Side>] {
        &self.sides
    }

    /// Side of the process that a flow was seen at; `None` for flows seen on interfaces.
    pub(super) fn side(&self, flow: u32) -> Option<Side> {
        self.sides.get(flow as usize).copied().flatten()
    }

    fn pair(&self, flow: u64) -> Option<(u64, u64)> {
        self.pairs.get(&u32::try_from(flow).ok()?).copied()
    }

    /// Whether two flows existed at the same time.
    fn overlap(&self, a: u64, b: u64) -> bool {
        let life = |flow: u64| usize::try_from(flow).ok().and_then(|i| self.lives.get(i));
        life(a).zip(life(b)).is_some_and(|(a, b)| a.0 <= b.1 && b.0 <= a.1)
    }

    /// The node that a flow was seen on.
    pub(super) fn node(&self, flow: u32) -> u32 {
        self.nodes.get(flow as usize).copied().unwrap_or(0)
    }

    /// The network namespace that a request was seen in, with its node: numbers of namespaces are alike on all nodes.
    fn netns(&self, request: &Request) -> (u32, u32) {
        match request.observed_at {
            ObservedAt::Interface(i) => self.interfaces.get(i as usize).copied().filter(|n| n.1 != 0),
            ObservedAt::Process(_) => None,
        }
        .unwrap_or((self.node(request.flow_id as u32), request.netns))
    }
}

/// Where on its way every request was seen.
pub(super) struct Ways {
    /// By request.
    pub(super) tap_sides: Vec<TapSide>,
}

/// When a request was first seen at its place.
pub(super) fn first_seen(request: &Request) -> Nanos {
    request.request_ts.or(request.first_byte_ts).or(request.response_ts).unwrap_or(0)
}

/// Numbers of requests by their conversation and the number of their response, as places that saw both know them: where only the answer
/// was seen (a place that packets pass in one direction only, a request that was not captured) they tell what it answers.
type Answered = AHashMap<(u64, u32), u32>;

fn answered(requests: &[Request], ends: &Ends) -> Answered {
    let is_alone = |r: &Request| r.request_tcp_seq.is_none() && r.response_tcp_seq.is_some();
    if !requests.iter().any(is_alone) {
        return Answered::default();
    }
    let both = |r: &Request| Some(((ends.conversation(r), r.response_tcp_seq?), r.request_tcp_seq?));
    requests.iter().filter(|r| r.transport == Transport::Tcp).rev().filter_map(both).collect()
}

/// What tells a request from all others that pass within a while, and how long that while is. `None` if there is
/// nothing that does.
fn key(request: &Request, ends: &Ends, answered: &Answered) -> Option<(u64, Nanos)> {
    let e = ends.endpoints(request);
    let mut mix = Mix::new();
    match request.transport {
        Transport::Tcp => {
            let a = (ip_number(e.client_ip?), e.client_port);
            let b = (ip_number(e.server_ip?), e.server_port);
            let known = |response: u32| answered.get(&(ends.conversation(request), response)).copied();
            let seq = match (request.request_tcp_seq, request.response_tcp_seq) {
                (Some(seq), _) => seq,
                (None, response) => known(response?).unwrap_or_else(|| {
                    mix.bytes(b"answer");
                    response.unwrap_or_default()
                }),
            };
            for (ip, port) in [a.min(b), a.max(b)] {
                mix.add(ip as u64);
                mix.add((ip >> 64) as u64);
                mix.add(u64::from(port));
            }
            mix.add(u64::from(seq));
            Some((mix.finish(), SAME_BYTES_NS))
        }
        Transport::Unix => {
            let (a, b) = ends.pair(request.flow_id)?;
            mix.add(a);
            mix.add(b);
            mix.add(u64::from(request.request_tcp_seq?));
            Some((mix.finish(), SAME_BYTES_NS))
        }
        Transport::Udp => {
            // Which end is the client may be seen differently at each place.
            let (a, b) = (e.client_port.min(e.server_port), e.client_port.max(e.server_port));
            mix.add(u64::from(b) << 16 | u64::from(a));
            mix.add(request.fields.session_id?);
            mix.bytes(request.fields.l7_protocol.as_bytes());
            mix.bytes(request.fields.request_type.as_bytes());
            mix.bytes(request.fields.request_resource.as_bytes());
            Some((mix.finish(), SAME_DATAGRAM_NS))
        }
        _ => None,
    }
}

/// Whether two requests with equal keys can be the same: addresses agree as far as both know theirs.
fn agree(a: &Request, b: &Request, ends: &Ends) -> bool {
    // The kernel gives the memory of a closed UNIX socket, its identity, to the next one.
    if a.transport == Transport::Unix && !ends.overlap(a.flow_id, b.flow_id) {
        return false;
    }
    // One process writes a request, and one reads it.
    if rank(a) == rank(b) && rank(a) != INTERFACE {
        return false;
    }
    let same = |x: Option<IpAddr>, y: Option<IpAddr>| match (x, y) {
        (Some(x), Some(y)) => x == y || x.is_unspecified() || y.is_unspecified(),
        _ => true,
    };
    let (x, y) = (ends.endpoints(a), ends.endpoints(b));
    a.transport == b.transport
        && (same(x.client_ip, y.client_ip) && same(x.server_ip, y.server_ip)
            || same(x.client_ip, y.server_ip) && same(x.server_ip, y.client_ip))
}

/// Places on the way, in order.
const CLIENT: u8 = 0;
const INTERFACE: u8 = 1;
const SERVER: u8 = 2;

fn rank(request: &Request) -> u8 {
    match (&request.observed_at, request.side) {
        (ObservedAt::Process(_), Some(Side::Server)) => SERVER,
        (ObservedAt::Process(_), _) => CLIENT,
        (ObservedAt::Interface(_), _) => INTERFACE,
    }
}

/// Finds the places of every request, and ties each place to the one before.
pub(super) fn observe(requests: &[Request], ends: &Ends, candidates: &mut Vec<Candidate>) -> Ways {
    let mut tap_sides: Vec<TapSide> = requests.iter().map(alone).collect();
    let answered = answered(requests, ends);
    let mut keyed: Vec<(u64, Nanos, u32, Nanos)> = Vec::with_capacity(requests.len());
    for (i, request) in (0u32..).zip(requests) {
        if let Some((key, within)) = key(request, ends, &answered) {
            keyed.push((key, ends.first_seen(request), i, within));
        }
    }
    keyed.sort_unstable();
    let mut way: Vec<u32> = Vec::new();
    for group in keyed.chunk_by(|a, b| a.0 == b.0) {
        if group.len() == 1 {
            continue;
        }
        let mut since = Nanos::MIN;
        for &(_, ts, i, within) in group {
            let Some(request) = requests.get(i as usize) else { continue };
            let is_new = ts.saturating_sub(since) > within
                || way.iter().any(|&w| {
                    requests.get(w as usize).is_none_or(|w| w.flow_id == request.flow_id || !agree(w, request, ends))
                });
            if is_new {
                tie(&mut way, requests, ends, &mut tap_sides, candidates);
                since = ts;
            }
            way.push(i);
        }
        tie(&mut way, requests, ends, &mut tap_sides, candidates);
    }
    Ways { tap_sides }
}

/// By request: the first of the observations of the same request; itself for one seen once.
pub(super) fn exchanges(requests: usize, candidates: &[Candidate]) -> Vec<u64> {
    let mut first: Vec<u64> = (0..requests as u64).collect();
    // Each way's candidates lead from its first place to its last.
    for c in candidates.iter().filter(|c| c.method.is_same_request()) {
        let of_parent = first.get(c.parent as usize).copied();
        if let (Some(slot), Some(of_parent)) = (first.get_mut(c.child as usize), of_parent) {
            *slot = of_parent;
        }
    }
    first
}

/// The tap side of a request that was seen nowhere else.
fn alone(request: &Request) -> TapSide {
    match rank(request) {
        CLIENT => TapSide::ClientProcess,
        SERVER => TapSide::ServerProcess,
        _ => TapSide::ClientInterface,
    }
}

/// Orders the places of one request and ties each to the one before.
fn tie(
    way: &mut Vec<u32>,
    requests: &[Request],
    ends: &Ends,
    tap_sides: &mut [TapSide],
    candidates: &mut Vec<Candidate>,
) {
    if way.len() > 1 {
        way.sort_by_key(|&i| requests.get(i as usize).map(|r| (rank(r), ends.first_seen(r), i)));
        name_places(way, requests, ends, tap_sides);
        // Where some saw the request, who saw the answer only is on no step of its way: it hangs on the place before, and nothing hangs on it.
        let any = way.iter().any(|&i| requests.get(i as usize).is_some_and(|r| r.request_tcp_seq.is_some()));
        let mut before: Option<u32> = None;
        for &child in way.iter() {
            let Some(c) = requests.get(child as usize) else { continue };
            let parent = before;
            if before.is_none() || !any || c.request_tcp_seq.is_some() {
                before = Some(child);
            }
            let Some((parent, p)) = parent.and_then(|p| Some((p, requests.get(p as usize)?))) else { continue };
            let (method, at) = match c.transport {
                Transport::Tcp => (Method::TcpSeq, u64::from(c.request_tcp_seq.or(c.response_tcp_seq).unwrap_or(0))),
                Transport::Unix => (Method::UnixOffset, u64::from(c.request_tcp_seq.unwrap_or(0))),
                _ => (Method::Datagram, c.fields.session_id.unwrap_or(0)),
            };
            let delay_ns = ends.first_seen(c).saturating_sub(ends.first_seen(p));
            candidates.push(Candidate {
                child,
                parent,
                method,
                confidence: 1.0,
                evidence: Evidence::Bytes { at, delay_ns },
            });
        }
    }
    way.clear();
}

/// Interfaces in the client's namespace are `c`, in the server's `s`; those between belong to nodes on the way, the
/// first half to the client's.
fn name_places(way: &[u32], requests: &[Request], ends: &Ends, tap_sides: &mut [TapSide]) {
    let of = |i: u32| requests.get(i as usize);
    if !way.iter().any(|&i| of(i).is_some_and(|r| rank(r) == INTERFACE)) {
        return;
    }
    let netns_of =
        |rank_wanted: u8| way.iter().filter_map(|&i| of(i)).find(|r| rank(r) == rank_wanted).map(|r| ends.netns(r));
    let (client, server) = (netns_of(CLIENT), netns_of(SERVER));
    let interfaces: Vec<u32> = way.iter().copied().filter(|&i| of(i).is_some_and(|r| rank(r) == INTERFACE)).collect();
    let last = interfaces.len().saturating_sub(1);
    for (n, &i) in interfaces.iter().enumerate() {
        let Some(request) = of(i) else { continue };
        let netns = ends.netns(request);
        let (at_client, at_server) = (client == Some(netns), server == Some(netns));
        let side = match (at_client, at_server) {
            (true, false) => TapSide::ClientInterface,
            (false, true) => TapSide::ServerInterface,
            // One namespace for all: the first is the client's, the last the server's.
            _ if n == 0 && (client.is_some() || server.is_none() || last > 0) => TapSide::ClientInterface,
            _ if n == last => TapSide::ServerInterface,
            _ if n * 2 <= last => TapSide::ClientNode,
            _ => TapSide::ServerNode,
        };
        if let Some(slot) = tap_sides.get_mut(i as usize) {
            *slot = side;
        }
    }
}
