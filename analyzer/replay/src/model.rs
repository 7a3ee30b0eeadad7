//! What replay yields: plain rows, not yet tables. docs/tables.md defines every column.
//!
//! Times are UTC nanoseconds since the epoch (`i64`); 0-or-`None` rules are per field. Rows refer to each other by
//! dense ids, assigned after a stable sort, so that any number of threads gives the same bytes.

pub use crate::digits::{Digits, SpanId, TraceId};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// UTC nanoseconds since the epoch.
pub type Nanos = i64;

/// Completeness of a row, a set of reasons; empty is `complete`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Completeness(pub u8);

impl Completeness {
    /// A payload was cut by snaplen or by the prefix limit, where it mattered.
    pub const TRUNCATED_PAYLOAD: Self = Self(1);
    /// Events or bytes in between are missing (ring loss, damaged frame, packet loss).
    pub const GAP: Self = Self(2);
    /// It began before the recording.
    pub const STARTED_BEFORE: Self = Self(4);
    /// It went on after the recording.
    pub const ENDED_AFTER: Self = Self(8);

    /// Adds the reasons of `other`.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether all reasons of `other` are in.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::fmt::Display for Completeness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [(1, "truncated_payload"), (2, "gap"), (4, "started_before"), (8, "ended_after")];
        let mut first = true;
        for (bit, name) in names {
            if self.0 & bit != 0 {
                f.write_str(if first { "" } else { "+" })?;
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("complete") } else { Ok(()) }
    }
}

/// Transport of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the variants are the protocols' names")]
pub enum Transport {
    Tcp,
    Udp,
    Icmp,
    Icmp6,
    Sctp,
    Unix,
    /// Another IP protocol.
    Other(u8),
}

impl Transport {
    /// Lower-case name as in the tables: `tcp`, `udp`, ..., `ip-47`.
    #[must_use]
    pub fn name(self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::Tcp => "tcp".into(),
            Self::Udp => "udp".into(),
            Self::Icmp => "icmp".into(),
            Self::Icmp6 => "icmp6".into(),
            Self::Sctp => "sctp".into(),
            Self::Unix => "unix".into(),
            Self::Other(p) => format!("ip-{p}").into(),
        }
    }
}

/// Side of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The side that opened the conversation or, where that is unknown, is decided to have (ports, protocol).
    Client,
    /// The other.
    Server,
}

impl Side {
    /// The other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
    /// 0 for client, 1 for server: index of per-side pairs.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// Where something was observed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObservedAt {
    /// On an interface: (index into [`Replayed::interfaces`]).
    Interface(u32),
    /// At a process's system calls: pid.
    Process(u32),
}

/// Both ends of a conversation. UNIX sockets: addresses are `None`, ports 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoints {
    /// Client address.
    pub client_ip: Option<IpAddr>,
    /// Client port (ICMP: type).
    pub client_port: u16,
    /// Server address.
    pub server_ip: Option<IpAddr>,
    /// Server port (ICMP: code).
    pub server_port: u16,
}

/// Process at one end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessRef {
    /// Process id.
    pub pid: u32,
    /// Name.
    pub name: Arc<str>,
    /// Container id (12 hex digits) or empty.
    pub container: Arc<str>,
}

/// Count, sum, maximum and percentiles of a delay, all ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names say it")]
pub struct DelayStats {
    pub count: u32,
    pub sum_ns: u64,
    pub max_ns: u64,
    pub p50_ns: u64,
    pub p95_ns: u64,
    pub p99_ns: u64,
}

/// Counters of one side of a flow: what that side sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideCounters {
    /// Packets.
    pub packets: u64,
    /// Frame bytes as on the wire (link-layer header included, from the original length).
    pub bytes: u64,
    /// IP bytes.
    pub ip_bytes: u64,
    /// L4 payload bytes as on the wire, retransmissions counted.
    pub payload_bytes: u64,
    /// Payload in the stream, each byte once, those in gaps included: what Zeek calls `orig_bytes` and `resp_bytes`.
    pub stream_bytes: u64,
    /// Bytes in gaps: acknowledged or passed over but never seen.
    pub missed_bytes: u64,
    /// TCP flags seen, or-ed.
    pub flags: u8,
    /// Data (and FIN) retransmissions.
    pub retransmits: u32,
    /// By kind: retransmission time-out.
    pub retransmits_rto: u32,
    /// By kind: fast retransmit.
    pub retransmits_fast: u32,
    /// By kind: spurious (the data had arrived).
    pub retransmits_spurious: u32,
    /// By kind: the very same packet (its IP identification says so), captured twice or copied by the network.
    pub duplicates: u32,
    /// Segments that came before an earlier one.
    pub out_of_order: u32,
    /// Packets announcing a zero receive window.
    pub zero_window: u32,
    /// Duplicate acknowledgements.
    pub duplicate_acks: u32,
    /// Keep-alive probes.
    pub keep_alives: u32,
    /// Window scale option, if seen.
    pub window_scale: Option<u8>,
    /// MSS option, 0 if not seen.
    pub mss: u16,
    /// Whether SACK was permitted.
    pub sack_permitted: bool,
    /// Largest number of unacknowledged bytes.
    pub max_in_flight: u32,
    /// Round trip of this side's data: sent -> acknowledged, one sample per acknowledgement of new data.
    pub ack_rtt: DelayStats,
    /// Segments that filled the peer's receive window.
    pub window_full: u32,
    /// Probes of a zero window.
    pub zero_window_probes: u32,
    /// Congestion experienced: packets marked CE by the network.
    pub ecn_ce: u32,
    /// First window announced after the handshake, bytes.
    pub initial_window: u32,
}

/// One L4 flow at one observation point.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Dense id, place in [`Replayed::flows`].
    pub flow_id: u64,
    /// community_id v1, empty where it does not apply.
    pub community_id: String,
    /// Where.
    pub observed_at: ObservedAt,
    /// The node, or the capture, that it was seen by: a place in [`Replayed::nodes`].
    pub node: u32,
    /// Network namespace inode, 0 if unknown.
    pub netns: u32,
    /// First packet or event.
    pub start: Nanos,
    /// Last one.
    pub end: Nanos,
    /// Transport.
    pub transport: Transport,
    /// Who.
    pub endpoints: Endpoints,
    /// Client's link-layer address, if any.
    pub client_mac: Option<[u8; 6]>,
    /// Server's.
    pub server_mac: Option<[u8; 6]>,
    /// Outermost VLAN id.
    pub vlan: Option<u16>,
    /// Tunnel names from outside in, joined by `/`: `vxlan`, `gre`, ...; empty if none.
    pub tunnel: Arc<str>,
    /// Id of the innermost tunnel (VNI, key, TEID).
    pub tunnel_id: Option<u64>,
    /// Outer addresses of the innermost tunnel.
    pub tunnel_outer: Option<(IpAddr, IpAddr)>,
    /// Client process, where known.
    pub client_process: Option<ProcessRef>,
    /// Server process, where known.
    pub server_process: Option<ProcessRef>,
    /// What the client sent.
    pub client: SideCounters,
    /// What the server sent.
    pub server: SideCounters,
    /// TCP: SYNs without ACK, both sides.
    pub syn_count: u32,
    /// SYN-ACKs.
    pub syn_ack_count: u32,
    /// FINs.
    pub fin_count: u32,
    /// RSTs.
    pub rst_count: u32,
    /// SYNs sent again.
    pub syn_retransmits: u32,
    /// SYN-ACKs sent again.
    pub syn_ack_retransmits: u32,
    /// Handshake ACK - first SYN.
    pub rtt_ns: Option<u64>,
    /// Handshake ACK - first SYN-ACK.
    pub rtt_client_ns: Option<u64>,
    /// SYN-ACK - first SYN.
    pub rtt_server_ns: Option<u64>,
    /// ClientHello to the client's first byte after the server's handshake.
    pub tls_rtt_ns: Option<u64>,
    /// System response time.
    pub srt: DelayStats,
    /// Application response time.
    pub art: DelayStats,
    /// Client idle time.
    pub cit: DelayStats,
    /// DeepFlow's close types: `finish`, `server_rst`, ... (see docs/tables.md).
    pub close_type: &'static str,
    /// Zeek's conn_state.
    pub conn_state: &'static str,
    /// Zeek's history.
    pub history: String,
    /// Recognised application protocol, empty if none.
    pub l7_protocol: &'static str,
    /// Requests in it.
    pub requests: u32,
    /// Of these, with client or server error.
    pub request_errors: u32,
    /// How sure it is which side is the client, 0..=100.
    pub direction_score: u8,
    /// Completeness.
    pub completeness: Completeness,
}

/// Result class of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "names as in the tables")]
pub enum Status {
    Ok,
    ClientError,
    ServerError,
    Timeout,
    #[default]
    Unknown,
    ParseFailed,
}

impl Status {
    /// As in the tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Timeout => "timeout",
            Self::Unknown => "unknown",
            Self::ParseFailed => "parse_failed",
        }
    }
    /// Whether it counts as an error in RED metrics.
    #[must_use]
    pub fn is_error(self) -> bool {
        matches!(self, Self::ClientError | Self::ServerError | Self::Timeout)
    }
}

/// What a protocol's parser knows of a request and its response; no times, no places.
/// Strings are text cleaned of control characters, at most a few KB each.
#[derive(Clone, Debug, Default)]
pub struct RequestFields {
    /// `http`, `dns`, `redis`, `postgresql`, `mysql`, ...
    pub l7_protocol: &'static str,
    /// `1.1`, `RESP3`, ...
    pub version: &'static str,
    /// Method, command, query type.
    pub request_type: Box<str>,
    /// Host, database, ...
    pub request_domain: Box<str>,
    /// Path with query, SQL, command line, ...
    pub request_resource: Box<str>,
    /// What requests are grouped by: path cut to two segments, `VERB table`, ...
    pub endpoint: Box<str>,
    /// Protocol's own id of the request, if it has one.
    pub session_id: Option<u64>,
    /// Result class.
    pub status: Status,
    /// Protocol's own code.
    pub code: Option<i32>,
    /// Error text.
    pub exception: Box<str>,
    /// Short result: DNS answers, affected rows text, ...
    pub result: Box<str>,
    /// Trace id found in headers.
    pub trace_id: Box<str>,
    /// Span id found in headers.
    pub span_id: Box<str>,
    /// Parent span id found in headers.
    pub parent_span_id: Box<str>,
    /// X-Request-ID or its like, of the request or else of the response.
    pub x_request_id: Box<str>,
    /// User agent.
    pub user_agent: Box<str>,
    /// SQL: rows affected or returned.
    pub affected_rows: Option<u64>,
    /// No response is expected, or it is not paired with one.
    pub is_async: bool,
    /// Protocol specific, (name, value), in a fixed order.
    pub attributes: Vec<(&'static str, Box<str>)>,
}

/// Where a message was sent or received by a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadPoint {
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// When the first system call that carried it was entered.
    pub enter: Nanos,
    /// When the last one returned.
    pub exit: Nanos,
}

/// A request and its response (either may be missing) with their times.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// What was asked and answered; in a place of its own, as rows are moved more often than read.
    pub fields: Box<RequestFields>,
    /// First byte of the request.
    pub request_ts: Option<Nanos>,
    /// Last byte of the request.
    pub request_end_ts: Option<Nanos>,
    /// First byte of the response.
    pub first_byte_ts: Option<Nanos>,
    /// Last byte of the response.
    pub response_ts: Option<Nanos>,
    /// Bytes of the request on the stream, framing included.
    pub request_bytes: u64,
    /// Bytes of the response on the stream, framing included.
    pub response_bytes: u64,
    /// TCP sequence number of the request's first byte.
    pub request_tcp_seq: Option<u32>,
    /// TCP sequence number of the response's first byte.
    pub response_tcp_seq: Option<u32>,
    /// System calls: who read or wrote the request.
    pub request_point: Option<ThreadPoint>,
    /// System calls: who wrote or read the response.
    pub response_point: Option<ThreadPoint>,
    /// Inside TLS.
    pub is_tls: bool,
    /// Completeness.
    pub completeness: Completeness,
}

/// One request/response session at one observation point.
#[derive(Clone, Debug)]
pub struct Request {
    /// Dense id, place in [`Replayed::requests`].
    pub request_id: u64,
    /// Its flow, an index into [`Replayed::flows`].
    pub flow_id: u64,
    /// Where.
    pub observed_at: ObservedAt,
    /// System calls: on which side the observing process is. Packets: `None`.
    pub side: Option<Side>,
    /// Transport.
    pub transport: Transport,
    /// Both ends.
    pub endpoints: Endpoints,
    /// Network namespace inode, 0 if unknown.
    pub netns: u32,
    /// What was asked and answered, when, and how large.
    pub session: Session,
    /// Identity of the socket (system calls) or 0.
    pub sock: u64,
    /// Process that observed it (system calls), or the process at the known end.
    pub process: Option<ProcessRef>,
}

/// A request is its session, seen somewhere.
impl std::ops::Deref for Request {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl std::ops::DerefMut for Request {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

impl Session {
    /// Last byte of the response - first byte of the request, where both are known.
    #[must_use]
    pub fn duration_ns(&self) -> Option<u64> {
        u64::try_from(self.response_ts?.saturating_sub(self.request_ts?)).ok()
    }
}

/// Place of an observation on the way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "DeepFlow's names, in the order of the way")]
pub enum TapSide {
    ClientProcess,
    ClientInterface,
    ClientNode,
    ServerNode,
    ServerInterface,
    ServerProcess,
    App,
}

impl TapSide {
    /// As in the tables: `c-p`, `c`, `c-nd`, `s-nd`, `s`, `s-p`, `app`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientProcess => "c-p",
            Self::ClientInterface => "c",
            Self::ClientNode => "c-nd",
            Self::ServerNode => "s-nd",
            Self::ServerInterface => "s",
            Self::ServerProcess => "s-p",
            Self::App => "app",
        }
    }
}

/// One request at one observation point, placed in a trace.
#[derive(Clone, Debug)]
pub struct Span {
    /// 32 hex digits, derived from the root's facts: the same input gives the same id.
    pub trace_id: TraceId,
    /// 16 hex digits.
    pub span_id: SpanId,
    /// Empty for the root.
    pub parent_span_id: SpanId,
    /// Place on the way.
    pub tap_side: TapSide,
    /// Service: process name, or address:port where it is unknown.
    pub service: Arc<str>,
    /// Process, where known.
    pub process: Option<ProcessRef>,
    /// Thread, 0 if unknown.
    pub tid: u32,
    /// The request, an index into [`Replayed::requests`].
    pub request_id: u64,
    /// `type endpoint`.
    pub name: Arc<str>,
    /// First byte of the request.
    pub start: Nanos,
    /// Last byte of the response (or of the request, if there is none).
    pub end: Nanos,
    /// Time not covered by children.
    pub self_ns: u64,
    /// How it was tied to its parent: `tcp_seq`, `thread`, `connect`, `trace_context`, `x_request_id`, `root`.
    pub link_method: &'static str,
    /// 0..=1.
    pub link_confidence: f32,
    /// JSON: the events the link rests on.
    pub link_evidence: Cow<'static, str>,
    /// Completeness.
    pub completeness: Completeness,
}

/// One trace.
#[derive(Clone, Debug)]
pub struct Trace {
    /// As in its spans.
    pub trace_id: TraceId,
    /// Span id of the root.
    pub root_span_id: SpanId,
    /// Name of the root: `GET /api/orders`.
    pub root: Arc<str>,
    /// Service of the root.
    pub service: Arc<str>,
    /// First byte.
    pub start: Nanos,
    /// Length of the root span.
    pub duration_ns: u64,
    /// Spans.
    pub spans: u32,
    /// Processes in it.
    pub processes: u32,
    /// Nodes in it.
    pub nodes: u32,
    /// Requests with errors.
    pub errors: u32,
    /// Smallest link confidence in it.
    pub weakest_link: f32,
}

/// One segment of a TCP flow's life. The segments of a flow sum up to its duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileSegment {
    /// Index into [`Replayed::flows`].
    pub flow_id: u64,
    /// Index into [`Replayed::requests`], where one covers it.
    pub request_id: Option<u64>,
    /// `connect`, `tls`, `client_wait`, `request_transfer`, `server_ack`, `server_response`, `response_transfer`, `close`.
    pub segment: &'static str,
    /// Number of the exchange within the flow, from 0.
    pub exchange: u32,
    /// Start.
    pub start: Nanos,
    /// Length.
    pub duration_ns: u64,
    /// Payload bytes moved in it.
    pub bytes: u64,
    /// Retransmissions in it.
    pub retransmissions: u32,
}

/// One distinct stack of one thread state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Process name.
    pub process: Arc<str>,
    /// Process id.
    pub pid: u32,
    /// Thread name.
    pub thread: Arc<str>,
    /// Thread id.
    pub tid: u32,
    /// `on_cpu`.
    pub kind: &'static str,
    /// Why off CPU; empty on CPU.
    pub reason: Arc<str>,
    /// Root first, joined by `;`. Kernel frames end in `_[k]`.
    pub frames: Arc<str>,
    /// Samples.
    pub samples: u64,
    /// Time they stand for, ns.
    pub value_ns: u64,
    /// The request that the thread was serving in all of these samples, where that is one; a place in [`Replayed::requests`].
    pub request_id: Option<u64>,
    /// What the requests that it served in these samples are grouped by; empty if unknown.
    pub endpoint: Arc<str>,
}

/// A process seen in the recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its node, a place in [`Replayed::nodes`].
    pub node: u32,
    /// Process id.
    pub pid: u32,
    /// Parent, 0 if unknown.
    pub ppid: u32,
    /// Name.
    pub name: Arc<str>,
    /// Command line, joined by spaces.
    pub command_line: String,
    /// Executable.
    pub exe: String,
    /// Build id of the executable.
    pub build_id: String,
    /// cgroup path.
    pub cgroup: String,
    /// Container id.
    pub container: Arc<str>,
    /// User id.
    pub uid: Option<u32>,
    /// Network namespace inode.
    pub netns: u32,
    /// Start, where known.
    pub start: Option<Nanos>,
    /// End, if it ended while recorded.
    pub end: Option<Nanos>,
    /// Exit code as wait(2) gives it.
    pub exit_code: Option<i32>,
    /// Stack samples of it.
    pub cpu_samples: u64,
    /// Bytes it read from and wrote to sockets.
    pub socket_read_bytes: u64,
    /// See above.
    pub socket_write_bytes: u64,
}

/// An interface of the capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Place in [`Replayed::interfaces`].
    pub id: u32,
    /// Name, or `if0`.
    pub name: Arc<str>,
    /// Its node or capture, a place in [`Replayed::nodes`].
    pub node: u32,
    /// `lo`, `veth`, `bridge`, ...; empty if unknown.
    pub kind: String,
    /// Network namespace inode, 0 if unknown.
    pub netns: u32,
    /// Index on its node.
    pub ifindex: u32,
    /// Hardware address.
    pub mac: String,
    /// MTU.
    pub mtu: u32,
    /// Addresses.
    pub addresses: Vec<String>,
    /// pcap link type (LINKTYPE_*).
    pub link_type: u16,
    /// Packets in the capture.
    pub packets: u64,
    /// Frame bytes of these.
    pub bytes: u64,
    /// Packets of it that could not be decoded, by reason.
    pub undecoded: BTreeMap<&'static str, u64>,
}

/// What happened to a socket inside the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketEvent {
    /// Its node, a place in [`Replayed::nodes`].
    pub node: u32,
    /// When.
    pub ts: Nanos,
    /// `state`, `retransmit`, `reset_sent`, `reset_received`, `drop`.
    pub event: &'static str,
    /// Transport.
    pub transport: Transport,
    /// Local end.
    pub local_ip: Option<IpAddr>,
    /// Local port.
    pub local_port: u16,
    /// Remote end.
    pub remote_ip: Option<IpAddr>,
    /// Remote port.
    pub remote_port: u16,
    /// State before, by name; empty if not a state change.
    pub old_state: &'static str,
    /// State after.
    pub new_state: &'static str,
    /// Drop reason name, or reset reason.
    pub reason: Arc<str>,
    /// Kernel function of a drop.
    pub location: Arc<str>,
    /// Bytes of the packet.
    pub len: u32,
    /// Retransmissions and drops of TCP: sequence number of the segment, where known.
    pub seq: Option<u32>,
    /// The packet was on its way to the remote end.
    pub outbound: bool,
    /// Running process, a hint.
    pub pid: u32,
    /// Network namespace inode.
    pub netns: u32,
    /// Flow it belongs to, where found.
    pub flow_id: Option<u64>,
}

impl SocketEvent {
    /// Whether it tells of trouble: no state change, and not the purge of what a closing socket leaves unread, which the
    /// kernel reports as a drop (`sk_stream_kill_queues` in net/core/stream.c).
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        self.event != "state" && !(self.event == "drop" && &*self.reason == "QUEUE_PURGE")
    }
}

/// One source of loss or of damage.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Health {
    /// What was lost: an event kind, `frame`, `packet`, `flow`, ...
    pub kind: String,
    /// CPU, where it applies.
    pub cpu: Option<u32>,
    /// Not before.
    pub first: Option<Nanos>,
    /// Not after.
    pub last: Option<Nanos>,
    /// How many.
    pub lost: u64,
    /// Why, in words; places in the file where there are any.
    pub cause: String,
}

/// What a filter left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filtered {
    /// The filter.
    pub expression: String,
    /// Packets in the input that are not in the replay.
    pub packets: u64,
    /// Calls on sockets and events of the kernel's sockets that are not in the replay.
    pub records: u64,
}

/// A node that was recorded, or a capture that says nothing of where it was made: what one clock gave its times to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Host name; empty for captures.
    pub name: String,
    /// What identifies the node beyond its name, if anything does.
    pub node_id: String,
    /// Name of the first file of it, without folders.
    pub input: String,
}

/// Everything that replay found.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Nodes and captures, in the order of their first packets.
    pub nodes: Vec<Node>,
    /// Manifest of the (first) bundle; `None` for plain captures.
    pub manifest: Option<formats::manifest::Manifest>,
    /// How the recording ended, if the bundle is whole.
    pub summary: Option<formats::manifest::Summary>,
    /// Last cost statement of the recorder.
    pub cost: Option<formats::facts::RecorderCost>,
    /// First time in the capture.
    pub start: Nanos,
    /// Last time in the capture.
    pub end: Nanos,
    /// Packets read; with a filter, those that passed.
    pub packets: u64,
    /// What a filter left out, if there was one.
    pub filtered: Option<Filtered>,
    /// What was replaced by pseudonyms, if that was asked for.
    pub disguised: Option<crate::pseudonyms::Disguised>,
    /// Event records read, per kind.
    pub events: BTreeMap<u16, u64>,
    /// Flows, sorted by (start, endpoints, place).
    pub flows: Vec<Flow>,
    /// Requests, sorted by (request time, flow, place in it).
    pub requests: Vec<Request>,
    /// Spans, sorted by (trace, start, span id).
    pub spans: Vec<Span>,
    /// Traces, sorted by start.
    pub traces: Vec<Trace>,
    /// Conversations seen at several places, sorted by conversation, hop and direction.
    pub hops: Vec<crate::hops::Hop>,
    /// Clocks of nodes and captures, compared with each other where they saw the same packets.
    pub clocks: Vec<crate::hops::Clock>,
    /// By flow: the first flow of its conversation; itself for one seen at one place.
    pub conversations: Vec<u64>,
    /// By request: the first of the observations of the same request at several places; itself for one seen once.
    pub exchanges: Vec<u64>,
    /// Network profile, sorted by flow, then start.
    pub profile: Vec<ProfileSegment>,
    /// Stacks, sorted by process, thread, frames.
    pub stacks: Vec<Stack>,
    /// Processes by pid (and start).
    pub processes: Vec<Process>,
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Socket events by time.
    pub socket_events: Vec<SocketEvent>,
    /// Losses and damages.
    pub health: Vec<Health>,
}
