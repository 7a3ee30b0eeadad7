//! Flows and the segments of their lives.

use super::{Completeness, DelayStats, Endpoints, Nanos, ObservedAt, ProcessRef, Side, Transport};
use crate::decode::icmp_error;
use std::net::IpAddr;
use std::sync::Arc;

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
    /// Bytes in them.
    pub retransmitted_bytes: u64,
    /// Segments in them, as the sender's kernel counts: a packet larger than the MSS (segmentation offload) is several.
    pub retransmitted_segments: u32,
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
    /// Packets with ECE, SYNs left out: their receiver was told of congestion and says so.
    pub ecn_ece: u32,
    /// Packets with CWR, SYNs left out: their sender has slowed down.
    pub ecn_cwr: u32,
    /// Payload sent before any of it was acknowledged, in flows whose SYN was seen.
    pub initial_flight: u32,
    /// First window announced after the handshake, bytes.
    pub initial_window: u32,
    /// Packets whose checksum is wrong, where that was looked at ([`crate::engine::Options::checksums`]): they count as packets and bytes, and
    /// for nothing else.
    pub bad_checksums: u64,
    /// IP bytes in them.
    pub bad_checksum_ip_bytes: u64,
}

/// Round trips in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RttStretch {
    /// Start.
    pub start: Nanos,
    /// Acknowledgements that gave one.
    pub samples: u32,
    /// Shortest.
    pub min_ns: u64,
    /// Longest.
    pub max_ns: u64,
    /// Sum.
    pub sum_ns: u64,
}

impl RttStretch {
    /// One more sample.
    pub(crate) fn add(&mut self, ns: u64) {
        self.join(&Self { samples: 1, min_ns: ns, max_ns: ns, sum_ns: ns, ..*self });
    }

    /// Those of `other`, too.
    pub(crate) fn join(&mut self, other: &Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }
}

/// Round trips of a flow over time, by the side whose data they are of: the length of the stretches in ns, and those with samples in the
/// order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundTrips {
    /// The client's.
    pub client: (u64, Vec<RttStretch>),
    /// The server's.
    pub server: (u64, Vec<RttStretch>),
}

/// What ICMP errors said of a flow's packets (RFC 792, RFC 4443).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpErrors {
    /// How many there were.
    pub count: u32,
    /// When the first, of those that say that a packet was not delivered if there is one.
    pub ts: Nanos,
    /// Who sent it.
    pub from: IpAddr,
    /// Whose packet it quotes.
    pub side: Side,
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The smallest MTU that one of them told, bytes.
    pub mtu: Option<u32>,
}

impl IcmpErrors {
    /// What the first one says: `port unreachable`, ...
    #[must_use]
    pub fn name(&self) -> &'static str {
        icmp_error::name(self.from.is_ipv6(), self.kind, self.code)
    }

    /// Whether it says that the packet was not delivered.
    #[must_use]
    pub fn is_undelivered(&self) -> bool {
        icmp_error::is_undelivered(self.from.is_ipv6(), self.kind)
    }

    /// What it says, as the error of a request.
    pub(crate) fn exception(&self) -> &'static str {
        icmp_error::exception(self.from.is_ipv6(), self.kind, self.code)
    }
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
    /// Last one before both ends had closed the connection: what ends it for Zeek.
    pub active_until: Nanos,
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
    /// The first few UDP conversations that carried it, the side with the smaller address first.
    pub carriers: Vec<Endpoints>,
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
    /// Round trips over time, if asked for and if there are any.
    pub round_trips: Option<Box<RoundTrips>>,
    /// What ICMP errors said of its packets, where they were seen at the same place.
    pub icmp_errors: Option<Box<IcmpErrors>>,
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
