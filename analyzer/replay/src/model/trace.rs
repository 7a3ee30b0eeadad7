//! Spans and traces.

use super::{Completeness, Nanos, SpanId, TraceId};
use std::fmt;
use std::sync::Arc;

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
    /// The events the link rests on.
    pub link_evidence: LinkEvidence,
    /// Completeness.
    pub completeness: Completeness,
}

/// What a link rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// Same bytes: where they start (TCP sequence number, offset in a UNIX stream, or id of a datagram), and how much
    /// later they were seen.
    Bytes {
        /// Where they start.
        at: u64,
        /// How much later they were seen, ns.
        delay_ns: i64,
    },
    /// A thread read something of the parent and then wrote (or connected).
    Thread {
        /// Process.
        pid: u32,
        /// Thread.
        tid: u32,
        /// When it read.
        read_ts: Nanos,
        /// When it wrote.
        write_ts: Nanos,
        /// Requests that its process had in work.
        in_flight: u32,
    },
    /// The same id in both.
    Id,
}

/// A link that was possible, too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alternative {
    /// How a request would have been tied to this parent.
    pub method: &'static str,
    /// The parent, an index into [`super::Replayed::requests`].
    pub request_id: u32,
    /// 0..=1.
    pub confidence: f32,
}

/// Why a span has the parent that it has, and which others it could have. As text: JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkEvidence {
    /// Of the link that was taken; roots have none.
    pub taken: Option<Evidence>,
    /// Links that were not taken, the surest first.
    pub alternatives: Box<[Alternative]>,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { at, delay_ns } => write!(f, "\"at\":{at},\"delay_ns\":{delay_ns}"),
            Self::Thread { pid, tid, read_ts, write_ts, in_flight } => write!(
                f,
                "\"pid\":{pid},\"tid\":{tid},\"read_ts\":{read_ts},\"write_ts\":{write_ts},\"in_flight\":{in_flight}"
            ),
            Self::Id => f.write_str("\"id\":\"equal\""),
        }
    }
}

impl fmt::Display for LinkEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        if let Some(taken) = &self.taken {
            taken.fmt(f)?;
        }
        if !self.alternatives.is_empty() {
            let comma = if self.taken.is_some() { "," } else { "" };
            write!(f, "{comma}\"alternatives\":[")?;
            for (n, Alternative { method, request_id, confidence }) in self.alternatives.iter().enumerate() {
                let comma = if n == 0 { "" } else { "," };
                write!(
                    f,
                    "{comma}{{\"method\":\"{method}\",\"request_id\":{request_id},\"confidence\":{confidence:.2}}}"
                )?;
            }
            f.write_str("]")?;
        }
        f.write_str("}")
    }
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
