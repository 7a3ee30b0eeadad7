//! Spans and traces.

use super::{Completeness, Nanos, ProcessRef, SpanId, TraceId};
use std::borrow::Cow;
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
