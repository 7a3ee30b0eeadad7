//! The network profile: a flow's life cut into segments, each with an owner.
//!
//! Of TCP: `connect` (first packet to handshake), `tls` (ClientHello to the end of the handshake), then per exchange `request_transfer`
//! (first to last byte of the request), `server_ack` (to the server kernel's bare acknowledgement, if it came before the response),
//! `server_response` (to the first byte of the response: the application), `response_transfer` (to its last byte), `client_wait`
//! (to the next request, or to the end of the connection), and `close` (first FIN or RST to the last packet). The segments are
//! cut at times of packets, each starts where the one before ends, so they sum up to the flow's duration exactly.
//! [`Turns`] does the same for datagrams that are answered (UDP, ICMP echo).

mod packed;
#[cfg(test)]
mod tests;
mod turns;

pub(crate) use packed::Packed;
pub use packed::Profiles;
pub use turns::Turns;

use crate::model::{Nanos, ProfileSegment};
use crate::store::{coded, coded_enum};

/// Segments of one flow at most; what comes after is added to the last one.
pub(crate) const MAX_SEGMENTS: usize = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Connect,
    Tls,
    ClientWait,
    RequestTransfer,
    ServerAck,
    ServerResponse,
    ResponseTransfer,
    Close,
}

impl Name {
    const ALL: [Self; 8] = [
        Self::Connect,
        Self::Tls,
        Self::ClientWait,
        Self::RequestTransfer,
        Self::ServerAck,
        Self::ServerResponse,
        Self::ResponseTransfer,
        Self::Close,
    ];

    fn text(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::ClientWait => "client_wait",
            Self::RequestTransfer => "request_transfer",
            Self::ServerAck => "server_ack",
            Self::ServerResponse => "server_response",
            Self::ResponseTransfer => "response_transfer",
            Self::Close => "close",
        }
    }
}

/// A segment; it starts where the one before ends. There are many: half as large as a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    end: Nanos,
    bytes: u64,
    exchange: u32,
    retransmissions: u32,
    /// Sequence number at which its request starts; of a finished flow: the request's place in the flow's shard.
    request: u32,
    has_request: bool,
    name: Name,
}

/// The segments of a finished flow.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    start: Nanos,
    segments: Vec<Segment>,
}

coded_enum!(Name {
    Connect = 0,
    Tls = 1,
    ClientWait = 2,
    RequestTransfer = 3,
    ServerAck = 4,
    ServerResponse = 5,
    ResponseTransfer = 6,
    Close = 7,
});
coded!(Segment { end, bytes, exchange, retransmissions, request, has_request, name });
coded!(Profile { start, segments });

impl Profile {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// As rows. `request_id` makes the final id of what [`Profiler::finish`] was given.
    pub fn rows(&self, flow_id: u64, request_id: impl Fn(u32) -> Option<u64>) -> impl Iterator<Item = ProfileSegment> {
        let mut start = self.start;
        self.segments.iter().map(move |s| {
            let row = s.row(flow_id, start, &request_id);
            start = s.end;
            row
        })
    }
}

impl Segment {
    fn row(&self, flow_id: u64, start: Nanos, request_id: impl Fn(u32) -> Option<u64>) -> ProfileSegment {
        ProfileSegment {
            flow_id,
            request_id: if self.has_request { request_id(self.request) } else { None },
            segment: self.name.text(),
            exchange: self.exchange,
            start,
            duration_ns: u64::try_from(self.end.saturating_sub(start)).unwrap_or(0),
            bytes: self.bytes,
            retransmissions: self.retransmissions,
        }
    }
}

/// Segments being cut, of whatever transport.
#[derive(Clone, Debug, Default)]
struct Cut {
    segments: Vec<Segment>,
    /// Where the first segment starts.
    begun: Nanos,
    now: Nanos,
    /// Where the current segment started.
    since: Nanos,
    exchange: u32,
    retransmissions: u32,
    /// What its request is known by.
    request: Option<u32>,
    /// Only the delays are wanted.
    without_segments: bool,
}

impl Cut {
    fn begin(&mut self, ts: Nanos) {
        (self.now, self.begun, self.since) = (ts, ts, ts);
    }

    /// Times never go back.
    fn at(&mut self, ts: Nanos) -> Nanos {
        self.now = self.now.max(ts);
        self.now
    }

    fn push(&mut self, name: Name, end: Nanos, bytes: u64) {
        let (start, retransmissions) = (self.since, std::mem::take(&mut self.retransmissions));
        self.since = end;
        if self.without_segments || start == end && bytes == 0 && retransmissions == 0 {
            return;
        }
        if self.segments.len() >= MAX_SEGMENTS
            && let Some(last) = self.segments.last_mut()
        {
            last.end = end;
            last.bytes += bytes;
            last.retransmissions += retransmissions;
            return;
        }
        self.segments.push(Segment {
            end,
            bytes,
            exchange: self.exchange,
            retransmissions,
            request: self.request.unwrap_or(0),
            has_request: self.request.is_some(),
            name,
        });
    }

    /// The next exchange begins.
    fn next_exchange(&mut self) {
        self.exchange += 1;
        self.request = None;
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Connect,
    Tls,
    /// Nothing asked yet, or everything answered.
    Wait,
    Request,
    Response,
}

/// Delays that fall out of the exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Request's last packet to the response's first.
    ApplicationResponse(i64),
    /// Response's last packet (or the handshake) to the next request's first.
    ClientIdle(i64),
    /// ClientHello to the client's first data after the server's handshake.
    TlsRoundTrip(i64),
}

/// Cuts the life of a TCP flow.
#[derive(Clone, Debug, Default)]
pub struct Profiler {
    cut: Cut,
    phase: Phase,
    /// Last data in the current transfer.
    last_data: Nanos,
    acked: Option<Nanos>,
    /// First FIN or RST after the last data.
    ending: Option<Nanos>,
    bytes: u64,
    response_bytes: u64,
    tls_server_spoke: bool,
    tls_timed: bool,
}

impl Profiler {
    /// Starts at the flow's first packet; `handshake` says whether that is part of a handshake.
    pub fn begin(&mut self, ts: Nanos, handshake: bool) {
        self.cut.begin(ts);
        self.last_data = ts;
        self.phase = if handshake { Phase::Connect } else { Phase::Wait };
    }

    /// Only delays come of it; segments are not kept.
    pub fn leave_out_segments(&mut self) {
        self.cut.without_segments = true;
    }

    /// Gives back memory that is not in use.
    pub fn shrink(&mut self) {
        self.cut.segments.shrink_to_fit();
    }

    /// Starts anew at the flow's first packet.
    pub fn begin_again(&mut self, ts: Nanos) {
        let without_segments = self.cut.without_segments;
        *self = Self::default();
        self.cut.without_segments = without_segments;
        self.begin(ts, false);
    }

    /// The handshake is complete.
    pub fn established(&mut self, ts: Nanos) {
        if self.phase == Phase::Connect {
            let ts = self.cut.at(ts);
            self.cut.push(Name::Connect, ts, 0);
            self.phase = Phase::Wait;
            self.last_data = ts;
        }
    }

    /// Data was sent again.
    pub fn retransmission(&mut self) {
        self.cut.retransmissions = self.cut.retransmissions.saturating_add(1);
    }

    /// A FIN or RST.
    pub fn ending(&mut self, ts: Nanos) {
        let ts = self.cut.at(ts);
        self.ending.get_or_insert(ts);
    }

    /// The server's kernel acknowledged all that the client sent.
    #[inline]
    pub fn server_ack(&mut self, ts: Nanos) {
        if self.phase == Phase::Request && self.acked.is_none() {
            self.acked = Some(self.cut.at(ts));
        }
    }

    /// New data of the client; `data` is as much of it as was captured.
    #[inline]
    pub fn client_data(&mut self, ts: Nanos, seq: u32, len: u32, data: &[u8]) -> Option<Sample> {
        let ts = self.cut.at(ts);
        self.ending = None;
        let mut sample = None;
        match self.phase {
            Phase::Tls => return self.client_tls(ts, seq, len, data),
            Phase::Request => {
                self.last_data = ts;
                self.acked = None;
                self.bytes += u64::from(len);
                return None;
            }
            Phase::Connect => self.cut.push(Name::Connect, ts, 0),
            Phase::Wait => {
                sample = Some(Sample::ClientIdle(ts - self.cut.since));
                self.cut.push(Name::ClientWait, ts, 0);
            }
            Phase::Response => {
                let bytes = std::mem::take(&mut self.response_bytes);
                self.cut.push(Name::ResponseTransfer, self.last_data, bytes);
                self.cut.next_exchange();
                sample = Some(Sample::ClientIdle(ts - self.cut.since));
                self.cut.push(Name::ClientWait, ts, 0);
            }
        }
        if self.cut.exchange == 0 && matches!(data, [0x16, 3, _, _, _, 1, ..]) {
            self.phase = Phase::Tls;
            self.bytes = u64::from(len);
            self.last_data = ts;
            return sample;
        }
        self.request(ts, seq, len);
        sample
    }

    fn request(&mut self, ts: Nanos, seq: u32, len: u32) {
        self.phase = Phase::Request;
        self.cut.request = Some(seq);
        self.last_data = ts;
        self.acked = None;
        self.bytes = u64::from(len);
    }

    fn client_tls(&mut self, ts: Nanos, seq: u32, len: u32, data: &[u8]) -> Option<Sample> {
        let mut sample = None;
        if self.tls_server_spoke && !self.tls_timed {
            self.tls_timed = true;
            sample = Some(Sample::TlsRoundTrip(ts - self.cut.since));
        }
        if carries_application_data(data) {
            let bytes = std::mem::take(&mut self.bytes);
            if data.first() == Some(&0x17) {
                self.cut.push(Name::Tls, self.last_data, bytes);
                self.cut.push(Name::ClientWait, ts, 0);
            } else {
                self.cut.push(Name::Tls, ts, bytes);
            }
            self.request(ts, seq, len);
        } else {
            self.bytes += u64::from(len);
            self.last_data = ts;
        }
        sample
    }

    /// New data of the server.
    #[inline]
    pub fn server_data(&mut self, ts: Nanos, len: u32) -> Option<Sample> {
        let ts = self.cut.at(ts);
        self.ending = None;
        match self.phase {
            Phase::Tls => {
                self.tls_server_spoke = true;
                self.bytes += u64::from(len);
                self.last_data = ts;
                None
            }
            Phase::Response => {
                self.last_data = ts;
                self.response_bytes += u64::from(len);
                None
            }
            Phase::Connect | Phase::Wait => {
                let name = if self.phase == Phase::Connect { Name::Connect } else { Name::ServerResponse };
                self.cut.push(name, ts, 0);
                self.response(ts, len);
                None
            }
            Phase::Request => {
                let asked = self.last_data;
                self.end_request();
                self.cut.push(Name::ServerResponse, ts, 0);
                self.response(ts, len);
                Some(Sample::ApplicationResponse(ts - asked))
            }
        }
    }

    fn response(&mut self, ts: Nanos, len: u32) {
        self.phase = Phase::Response;
        self.last_data = ts;
        self.response_bytes = u64::from(len);
    }

    fn end_request(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.cut.push(Name::RequestTransfer, self.last_data, bytes);
        if let Some(acked) = self.acked.take() {
            self.cut.push(Name::ServerAck, acked, 0);
        }
    }

    /// The flow's last packet was at `end`. `request_of` finds the first request that starts at a sequence number or within so many bytes
    /// from there.
    #[must_use]
    pub fn finish(mut self, end: Nanos, request_of: impl Fn(u32, u32) -> Option<u32>) -> Profile {
        let end = self.cut.at(end);
        // A reset may be sent before the handshake's last packet: what was established since then is over at once.
        let until = self.ending.unwrap_or(end).max(self.cut.since);
        match self.phase {
            Phase::Connect => self.cut.push(Name::Connect, until, 0),
            Phase::Wait => self.cut.push(Name::ClientWait, until, 0),
            Phase::Request => {
                self.end_request();
                self.cut.push(Name::ServerResponse, until.max(self.cut.since), 0);
            }
            Phase::Response => {
                let bytes = std::mem::take(&mut self.response_bytes);
                self.cut.push(Name::ResponseTransfer, self.last_data, bytes);
                self.cut.push(Name::ClientWait, until.max(self.cut.since), 0);
            }
            Phase::Tls => {
                let bytes = std::mem::take(&mut self.bytes);
                self.cut.push(Name::Tls, self.last_data, bytes);
                self.cut.push(Name::ClientWait, until.max(self.cut.since), 0);
            }
        }
        self.cut.push(Name::Close, end, 0);
        let mut of: Option<(u32, Option<u32>)> = None;
        for s in self.cut.segments.iter_mut().filter(|s| s.has_request) {
            // The first segment of a request has its bytes.
            let request = match of {
                Some((exchange, request)) if exchange == s.exchange => request,
                _ => request_of(s.request, u32::try_from(s.bytes).unwrap_or(u32::MAX)),
            };
            of = Some((s.exchange, request));
            (s.request, s.has_request) = (request.unwrap_or(0), request.is_some());
        }
        Profile { start: self.cut.begun, segments: self.cut.segments }
    }
}

/// Whether TLS records that start at `data` are past the handshake: application data by itself, or a second such record
/// after the ChangeCipherSpec of TLS 1.3 (the first is the client's Finished).
fn carries_application_data(data: &[u8]) -> bool {
    let mut rest = data;
    let mut application = 0;
    let after_change = data.first() == Some(&0x14);
    for _ in 0..16 {
        let [kind, 3, _, hi, lo, ..] = rest else { break };
        if *kind == 0x17 {
            application += 1;
        }
        rest = rest.get(5 + usize::from(u16::from_be_bytes([*hi, *lo]))..).unwrap_or(&[]);
    }
    application > usize::from(after_change)
}
