//! A socket's life as rows: a flow, its requests, and the log of who moved their bytes.

use super::log::{Io, NO_REQUEST, SocketEnd, SocketLog, What};
use super::rows::{Asked, Facts, SocketRows, Times};
use super::sides::Decided;
use super::stream::{End, Opening, errno};
use crate::flow::community::community_id;
use crate::hops::PlaceLog;
use crate::host::Host;
use crate::model::{Completeness, DelayStats, Endpoints, Flow, Nanos, ObservedAt, Side, SideCounters, Transport};
use std::sync::Arc;

/// What a shard's socket records gave.
#[derive(Debug, Default)]
pub struct SocketOutput {
    /// One per socket life and observing process, in the order in which they ended; `flow_id` is a number of its own.
    pub flows: Vec<Flow>,
    /// By number of the flow: what it moved, for [`crate::hops`].
    pub(crate) places: Vec<(u32, Box<PlaceLog>)>,
    /// For [`crate::link`].
    pub log: SocketLog,
    /// Records that could not be read as what they said they are.
    pub bad_records: u64,
    /// Secrets that were left out of the requests.
    pub masked: crate::parse::mask::Masked,
}

/// A life that ended, before it is made into rows.
pub(super) struct Finished {
    pub(super) swapped: bool,
    pub(super) l7_protocol: &'static str,
    pub(super) masked: crate::parse::mask::Masked,
    pub(super) asked: Asked,
    pub(super) io: Vec<Io>,
    pub(super) decided: Decided,
    pub(super) opening: Option<Opening>,
    pub(super) failed: i64,
    pub(super) broken: Option<i64>,
    pub(super) transport: Transport,
    pub(super) netns: u32,
    pub(super) sock: u64,
    pub(super) peer: u64,
    pub(super) local: End,
    pub(super) remote: End,
    pub(super) pid: u32,
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    pub(super) closed: bool,
    /// Out, in.
    pub(super) bytes: [u64; 2],
    pub(super) missed: [u64; 2],
    pub(super) completeness: Completeness,
    pub(super) log: Option<Box<PlaceLog>>,
}

impl Finished {
    /// Whether there is anything to tell of it. Connecting a datagram socket sends nothing: resolvers do it to learn
    /// which address they would send from.
    pub(super) fn is_empty(&self) -> bool {
        (self.opening.is_none() || self.transport == Transport::Udp)
            && self.bytes == [0; 2]
            && self.broken.is_none()
            && self.asked.flow.is_none()
    }

    /// Side of the observing process: what the protocol says counts unless the opening was seen.
    fn side(&self) -> Side {
        if self.swapped && self.decided.score < 100 { self.decided.this.other() } else { self.decided.this }
    }

    /// (close_type, conn_state, history) in the words that packets' flows have, as far as system calls can tell.
    fn ending(&self, side: Side) -> (&'static str, &'static str, String) {
        if self.failed != 0 {
            let (close, state) = match self.failed {
                errno::ECONNREFUSED => ("server_direct_rst", "REJ"),
                errno::ETIMEDOUT => ("server_syn_miss", "S0"),
                _ => ("connect_error", "S0"),
            };
            return (close, state, format!("connect:{}", errno_name(self.failed)));
        }
        if let Some(broken) = self.broken {
            // EPIPE and ECONNRESET are the other side's doing.
            let (close, state) = match (broken, side) {
                (errno::ETIMEDOUT, _) => ("timeout", "S1"),
                (_, Side::Client) => ("server_rst", "RSTR"),
                (_, Side::Server) => ("client_rst", "RSTO"),
            };
            return (close, state, errno_name(broken).to_owned());
        }
        let close = if self.closed { "finish" } else { "forced_report" };
        let state = match (self.opening, self.closed) {
            _ if self.transport == Transport::Unix => "",
            (Some(_), true) => "SF",
            (Some(_), false) => "S1",
            (None, _) if self.transport == Transport::Udp => match self.bytes {
                [0, _] | [_, 0] => "S0",
                _ => "SF",
            },
            (None, _) => "OTH",
        };
        (close, state, String::new())
    }

    /// Adds the rows.
    pub(super) fn emit(mut self, out: &mut SocketOutput, rows: &mut SocketRows) {
        out.masked.add(self.masked);
        let side = self.side();
        let flow = rows.number(&mut self.asked);
        let (client, server) = match side {
            Side::Client => (self.local, self.remote),
            Side::Server => (self.remote, self.local),
        };
        let endpoints =
            Endpoints { client_ip: client.0, client_port: client.1, server_ip: server.0, server_port: server.1 };
        let sent = SideCounters {
            payload_bytes: self.bytes[0],
            stream_bytes: self.bytes[0] + self.missed[0],
            missed_bytes: self.missed[0],
            ..SideCounters::default()
        };
        let received = SideCounters {
            payload_bytes: self.bytes[1],
            stream_bytes: self.bytes[1] + self.missed[1],
            missed_bytes: self.missed[1],
            ..SideCounters::default()
        };
        let (client_counters, server_counters) = match side {
            Side::Client => (sent, received),
            Side::Server => (received, sent),
        };
        let (close_type, conn_state, history) = self.ending(side);
        let Asked { times, errors, l7_protocol, .. } = &self.asked;
        let delays = Delays::of(times);
        let l7_protocol = if l7_protocol.is_empty() { self.l7_protocol } else { l7_protocol };
        // The parser's idea of the sides is what its sessions are in.
        let request_side = if self.swapped { self.decided.this.other() } else { self.decided.this };
        let requests = u32::try_from(times.len()).unwrap_or(u32::MAX);
        if requests > 0 {
            let (pid, side, transport) = (self.pid, request_side, self.transport);
            rows.flows.add(flow, Facts { pid, side, transport, endpoints, netns: self.netns, sock: self.sock });
        }
        assign(&mut self.io, times, flow, request_side);
        out.log.io.append(&mut self.io);
        out.log.ends.push(SocketEnd { flow, side, sock: self.sock, peer: self.peer });
        if let Some(mut log) = self.log.take() {
            log.finish();
            out.places.push((flow, log));
        }
        out.flows.push(Flow {
            flow_id: u64::from(flow),
            community_id: String::new(),
            observed_at: ObservedAt::Process(self.pid),
            node: 0,
            netns: self.netns,
            start: self.start,
            end: self.end,
            active_until: self.end,
            transport: self.transport,
            endpoints,
            client_mac: None,
            server_mac: None,
            vlan: None,
            tunnel: Arc::default(),
            tunnel_id: None,
            tunnel_outer: None,
            carriers: Vec::new(),
            client_process: None,
            server_process: None,
            client: client_counters,
            server: server_counters,
            syn_count: 0,
            syn_ack_count: 0,
            fin_count: 0,
            rst_count: 0,
            syn_retransmits: 0,
            syn_ack_retransmits: 0,
            rtt_ns: None,
            rtt_client_ns: None,
            rtt_server_ns: None,
            tls_rtt_ns: None,
            srt: DelayStats::default(),
            art: delays.application,
            cit: delays.idle,
            close_type,
            conn_state,
            history,
            round_trips: None,
            icmp_errors: None,
            l7_protocol,
            requests,
            request_errors: *errors,
            direction_score: if self.swapped && self.decided.score < 100 { 80 } else { self.decided.score },
            completeness: self.completeness,
        });
    }
}

/// Says of every read and write which request it belongs to.
fn assign(io: &mut [Io], requests: &[Times], flow: u32, side: Side) {
    let spans = |from_to: fn(&Times) -> [Option<Nanos>; 2]| {
        let mut spans: Vec<(Nanos, Nanos, u32)> = requests
            .iter()
            .filter_map(|r| {
                let [start, end] = from_to(r);
                start.map(|start| (start, end.unwrap_or(start), r.row))
            })
            .collect();
        spans.sort_unstable();
        spans
    };
    let (read, written) = match side {
        Side::Client => (spans(Times::response), spans(Times::request)),
        Side::Server => (spans(Times::request), spans(Times::response)),
    };
    for one in io {
        one.flow = flow;
        one.request = match one.what {
            What::Read => covering(&read, one.ts),
            What::Write => covering(&written, one.ts),
            What::Connect | What::Accept => NO_REQUEST,
        };
    }
}

/// The first request whose bytes were on the move at `ts`.
fn covering(spans: &[(Nanos, Nanos, u32)], ts: Nanos) -> u32 {
    /// Requests of one connection that are on the move at once and are looked at, back from the one that started last.
    const BACK: usize = 8;
    let at = spans.partition_point(|s| s.0 < ts);
    let before = spans.get(at.saturating_sub(BACK)..at).unwrap_or(&[]);
    let inside = before.iter().find(|s| s.1 >= ts);
    let starting = spans.get(at).filter(|s| s.0 == ts);
    inside.or(starting).map_or(NO_REQUEST, |s| s.2)
}

/// Delays between the messages of a connection.
struct Delays {
    application: DelayStats,
    idle: DelayStats,
}

impl Delays {
    fn of(requests: &[Times]) -> Self {
        let positive = |from: Option<Nanos>, to: Option<Nanos>| u64::try_from(to?.checked_sub(from?)?).ok();
        let waited = |r: &Times| {
            let ([asked, all_asked], [answered, _]) = (r.request(), r.response());
            positive(all_asked.or(asked), answered)
        };
        let mut application: Vec<u64> = requests.iter().filter_map(waited).collect();
        let mut idle: Vec<u64> = requests
            .windows(2)
            .filter_map(|w| match w {
                [a, b] => positive(a.response()[1], b.request()[0]),
                _ => None,
            })
            .collect();
        Self { application: stats(&mut application), idle: stats(&mut idle) }
    }
}

/// Nearest-rank percentiles.
fn stats(values: &mut [u64]) -> DelayStats {
    values.sort_unstable();
    let rank = |percent: usize| {
        let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
        values.get(at).copied().unwrap_or(0)
    };
    DelayStats {
        count: u32::try_from(values.len()).unwrap_or(u32::MAX),
        sum_ns: values.iter().fold(0, |sum, v| sum.saturating_add(*v)),
        max_ns: values.last().copied().unwrap_or(0),
        p50_ns: rank(50),
        p95_ns: rank(95),
        p99_ns: rank(99),
    }
}

fn errno_name(error: i64) -> &'static str {
    match error {
        errno::EPIPE => "EPIPE",
        errno::ECONNRESET => "ECONNRESET",
        errno::ETIMEDOUT => "ETIMEDOUT",
        errno::ECONNREFUSED => "ECONNREFUSED",
        -2 => "ENOENT",
        -11 => "EAGAIN",
        -13 => "EACCES",
        -99 => "EADDRNOTAVAIL",
        -101 => "ENETUNREACH",
        -113 => "EHOSTUNREACH",
        _ => "error",
    }
}

/// Notes that a flow ended within the recording after all.
pub(crate) fn closed(flow: &mut Flow) {
    flow.completeness.0 &= !Completeness::ENDED_AFTER.0;
    if flow.close_type == "forced_report" {
        flow.close_type = "finish";
    }
    if flow.conn_state == "S1" {
        flow.conn_state = "SF";
    }
}

impl SocketOutput {
    /// Names the processes and sorts the log.
    pub(super) fn complete(&mut self, host: &Host) {
        for (flow, end) in self.flows.iter_mut().zip(&self.log.ends) {
            let ObservedAt::Process(pid) = flow.observed_at else { continue };
            let process = host.process_at(pid, flow.end);
            // A process that ends closes its sockets without calling close.
            if flow.completeness.has(Completeness::ENDED_AFTER) && host.ended(pid, flow.end).is_some() {
                closed(flow);
            }
            let e = &flow.endpoints;
            // A socket bound to no address does not know its own.
            if ![e.client_ip, e.server_ip].into_iter().flatten().any(|ip| ip.is_unspecified()) {
                flow.community_id = community_id(flow.transport, e);
            }
            match end.side {
                Side::Client => flow.client_process = process,
                Side::Server => flow.server_process = process,
            }
        }
        self.log.io.sort_by_key(|io| io.ts);
    }
}
