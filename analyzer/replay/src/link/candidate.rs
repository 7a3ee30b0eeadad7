//! Possible links between requests.

use crate::model::Evidence;

/// How a child was tied to a parent, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Method {
    /// The same bytes of the same TCP connection, at two places.
    TcpSeq,
    /// The same bytes of the same UNIX socket pair.
    UnixOffset,
    /// The same datagram: ports, protocol id and contents.
    Datagram,
    /// The thread that wrote the child had the parent as the latest thing that it read.
    Thread,
    /// The thread opened the child's connection while it had the parent.
    Connect,
    /// The thread that answered the parent had asked the child before, or had just read its response.
    Answer,
    /// The child asks for the same as the one request in work that it can come from.
    Forwarded,
    /// A W3C, B3, Jaeger, ... trace id in both.
    TraceContext,
    /// An X-Request-ID in both.
    RequestId,
    /// Of the requests in work, the one that has an id, key or value in common with the child.
    Content,
    /// Of the requests in work, the one that the child fits best by what such requests ask for, when, and on which thread.
    Pattern,
    /// The only request that the process had in work when the child was asked for.
    Containment,
}

impl Method {
    /// As in the tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TcpSeq => "tcp_seq",
            Self::UnixOffset => "unix_offset",
            Self::Datagram => "datagram",
            Self::Thread => "thread",
            Self::Connect => "connect",
            Self::Answer => "answer",
            Self::Forwarded => "forwarded",
            Self::TraceContext => "trace_context",
            Self::RequestId => "x_request_id",
            Self::Content => "content",
            Self::Pattern => "pattern",
            Self::Containment => "containment",
        }
    }

    /// Whether it rests on the order of calls alone, which must be clear to be believed.
    pub(super) fn is_order(self) -> bool {
        matches!(self, Self::Thread | Self::Connect | Self::Answer | Self::Forwarded | Self::Content | Self::Pattern)
    }

    /// Whether parent and child are one request at two places.
    pub(super) fn is_same_request(self) -> bool {
        matches!(self, Self::TcpSeq | Self::UnixOffset | Self::Datagram)
    }
}

/// A possible parent of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// The request, by its place.
    pub(super) child: u32,
    /// The other.
    pub(super) parent: u32,
    /// How.
    pub(super) method: Method,
    /// 0..=1: of links at 0.9, nine in ten should be right.
    pub(super) confidence: f32,
    /// Why.
    pub(super) evidence: Evidence,
}
