//! What replay yields: plain rows, not yet tables. docs/tables.md defines every column.
//!
//! Times are UTC nanoseconds since the epoch (`i64`); 0-or-`None` rules are per field. Rows refer to each other by
//! dense ids, assigned after a stable sort, so that any number of threads gives the same bytes.

mod flow;
mod node;
mod request;
mod shared;
mod trace;

pub use crate::digits::{Digits, SpanId, TraceId};
pub use crate::store::{PackedFields, PackedPairs, PackedText};
pub use flow::{Flow, IcmpErrors, ProfileSegment, RoundTrips, RttStretch, SideCounters};
pub use node::{Interface, Process, SocketEvent, Stack};
pub use request::{Attributes, Fields, Request, RequestFields, Session, Status, ThreadPoint};
pub use shared::SharedFields;
pub(crate) use shared::Sharing;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
pub use trace::{Alternative, Evidence, LinkEvidence, Span, TapSide, Trace};

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

    /// Takes the reasons of `other` out.
    pub(crate) fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
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

/// One source of loss or of damage.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Health {
    /// What was lost: an event kind, `frame`, `packet`, `flow`, ...; `not_run`: packets that no program ran for.
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
    /// The filter's words.
    pub expression: String,
    /// Only what happened from here on.
    pub from: Option<Nanos>,
    /// Only what happened up to here.
    pub to: Option<Nanos>,
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
    /// Start of the recording; of a capture that does not say, its first packet. Of a stretch of time chosen, no earlier than that.
    pub start: Nanos,
    /// End of the recording; of a capture that does not say, its last packet. Of a stretch of time chosen, no later than that.
    pub end: Nanos,
    /// Packets read; with a filter, those that passed.
    pub packets: u64,
    /// What a filter left out, if there was one.
    pub filtered: Option<Filtered>,
    /// What was replaced by pseudonyms, if that was asked for.
    pub disguised: Option<crate::pseudonyms::Disguised>,
    /// Secrets that the protocols' parsers left out of requests.
    pub masked: crate::parse::mask::Masked,
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
    /// Network profile, by flow, then start.
    pub profile: crate::netprofile::Profiles,
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

impl Replayed {
    /// The request that a span stands for.
    #[must_use]
    pub fn request_of(&self, span: &Span) -> Option<&Request> {
        self.requests.get(usize::try_from(span.request_id).ok()?)
    }

    /// The process of a span, where known.
    #[must_use]
    pub fn process_of(&self, span: &Span) -> Option<&ProcessRef> {
        self.request_of(span)?.process.as_ref()
    }
}
