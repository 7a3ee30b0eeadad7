//! Requests with their responses.

use super::{Completeness, Endpoints, Nanos, ObservedAt, ProcessRef, SharedFields, Side, Transport};

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
/// Strings are text cleaned of control characters, at most a few KB each. `T` is how texts are kept, `A` how attributes are: by themselves, or
/// where they lie in a packed row.
#[derive(Clone, Debug, Default)]
pub struct Fields<T, A> {
    /// `http`, `dns`, `redis`, `postgresql`, `mysql`, ...
    pub l7_protocol: &'static str,
    /// `1.1`, `RESP3`, ...
    pub version: &'static str,
    /// Method, command, query type.
    pub request_type: T,
    /// Host, database, ...
    pub request_domain: T,
    /// Path with query, SQL, command line, ...
    pub request_resource: T,
    /// What requests are grouped by: path cut to two segments, `VERB table`, ...
    pub endpoint: T,
    /// Protocol's own id of the request, if it has one.
    pub session_id: Option<u64>,
    /// Result class.
    pub status: Status,
    /// Protocol's own code.
    pub code: Option<i32>,
    /// Error text.
    pub exception: T,
    /// Short result: DNS answers, affected rows text, ...
    pub result: T,
    /// Trace id found in headers.
    pub trace_id: T,
    /// Span id found in headers.
    pub span_id: T,
    /// Parent span id found in headers.
    pub parent_span_id: T,
    /// X-Request-ID or its like, of the request or else of the response.
    pub x_request_id: T,
    /// User agent.
    pub user_agent: T,
    /// SQL: rows affected or returned.
    pub affected_rows: Option<u64>,
    /// No response is expected, or it is not paired with one.
    pub is_async: bool,
    /// Protocol specific, (name, value), in a fixed order.
    pub attributes: A,
}

/// The same with texts of its own.
pub type RequestFields = Fields<Box<str>, Vec<(&'static str, Box<str>)>>;

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
pub struct Session<F = Box<RequestFields>> {
    /// What was asked and answered; in a place of its own, as rows are moved more often than read.
    pub fields: F,
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
pub struct Request<F = SharedFields> {
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
    pub session: Session<F>,
    /// Identity of the socket (system calls) or 0.
    pub sock: u64,
    /// Process that observed it (system calls), or the process at the known end.
    pub process: Option<ProcessRef>,
}

/// A request is its session, seen somewhere.
impl<F> std::ops::Deref for Request<F> {
    type Target = Session<F>;

    fn deref(&self) -> &Session<F> {
        &self.session
    }
}

impl<F> std::ops::DerefMut for Request<F> {
    fn deref_mut(&mut self) -> &mut Session<F> {
        &mut self.session
    }
}

impl<F> Request<F> {
    /// The same, with what was asked and answered kept in another way.
    pub fn map<G>(self, keep: impl FnOnce(F) -> G) -> Request<G> {
        let Self { request_id, flow_id, observed_at, side, transport, endpoints, netns, session, sock, process } = self;
        let session = session.map(keep);
        Request { request_id, flow_id, observed_at, side, transport, endpoints, netns, session, sock, process }
    }
}

impl<F> Session<F> {
    fn map<G>(self, keep: impl FnOnce(F) -> G) -> Session<G> {
        Session {
            fields: keep(self.fields),
            request_ts: self.request_ts,
            request_end_ts: self.request_end_ts,
            first_byte_ts: self.first_byte_ts,
            response_ts: self.response_ts,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            request_tcp_seq: self.request_tcp_seq,
            response_tcp_seq: self.response_tcp_seq,
            request_point: self.request_point,
            response_point: self.response_point,
            is_tls: self.is_tls,
            completeness: self.completeness,
        }
    }

    /// Last byte of the response - first byte of the request, where both are known.
    #[must_use]
    pub fn duration_ns(&self) -> Option<u64> {
        u64::try_from(self.response_ts?.saturating_sub(self.request_ts?)).ok()
    }
}

/// Attributes of a request, however they are kept.
pub trait Attributes {
    /// (name, value), in a fixed order.
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)>;
}

impl Attributes for Vec<(&'static str, Box<str>)> {
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.iter().map(|(name, value)| (*name, &**value))
    }
}
