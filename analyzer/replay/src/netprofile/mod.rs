//! The network profile: a TCP flow's life cut into segments, each with an owner.
//!
//! `connect` (first packet to handshake), `tls` (ClientHello to the end of the handshake), then per exchange `request_transfer`
//! (first to last byte of the request), `server_ack` (to the server kernel's bare acknowledgement, if it came before the response),
//! `server_response` (to the first byte of the response: the application), `response_transfer` (to its last byte), `client_wait`
//! (to the next request, or to the end of the connection), and `close` (first FIN or RST to the last packet). The segments are
//! cut at times of packets, each starts where the one before ends, so they sum up to the flow's duration exactly.

#[cfg(test)]
mod tests;

use crate::model::{Nanos, ProfileSegment};

/// Segments of one flow at most; what comes after is added to the last one.
const MAX_SEGMENTS: usize = 1 << 16;

/// A segment before it knows its flow's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    name: &'static str,
    exchange: u32,
    start: Nanos,
    end: Nanos,
    bytes: u64,
    retransmissions: u32,
    request_seq: Option<u32>,
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

/// Cuts a flow's life.
#[derive(Clone, Debug, Default)]
pub struct Profiler {
    segments: Vec<Segment>,
    phase: Phase,
    now: Nanos,
    /// Where the current segment started.
    since: Nanos,
    /// Last data in the current transfer.
    last_data: Nanos,
    acked: Option<Nanos>,
    /// First FIN or RST after the last data.
    ending: Option<Nanos>,
    exchange: u32,
    bytes: u64,
    response_bytes: u64,
    retransmissions: u32,
    request_seq: Option<u32>,
    tls_server_spoke: bool,
    tls_timed: bool,
}

impl Profiler {
    /// Starts at the flow's first packet; `handshake` says whether that is part of a handshake.
    pub fn begin(&mut self, ts: Nanos, handshake: bool) {
        self.now = ts;
        self.since = ts;
        self.last_data = ts;
        self.phase = if handshake { Phase::Connect } else { Phase::Wait };
    }

    fn at(&mut self, ts: Nanos) -> Nanos {
        self.now = self.now.max(ts);
        self.now
    }

    fn push(&mut self, name: &'static str, end: Nanos, bytes: u64) {
        let (start, retransmissions) = (self.since, std::mem::take(&mut self.retransmissions));
        self.since = end;
        if start == end && bytes == 0 && retransmissions == 0 {
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
        let request_seq = self.request_seq;
        self.segments.push(Segment { name, exchange: self.exchange, start, end, bytes, retransmissions, request_seq });
    }

    /// The handshake is complete.
    pub fn established(&mut self, ts: Nanos) {
        if self.phase == Phase::Connect {
            let ts = self.at(ts);
            self.push("connect", ts, 0);
            self.phase = Phase::Wait;
            self.last_data = ts;
        }
    }

    /// Data was sent again.
    pub fn retransmission(&mut self) {
        self.retransmissions = self.retransmissions.saturating_add(1);
    }

    /// A FIN or RST.
    pub fn ending(&mut self, ts: Nanos) {
        let ts = self.at(ts);
        self.ending.get_or_insert(ts);
    }

    /// The server's kernel acknowledged all that the client sent.
    #[inline]
    pub fn server_ack(&mut self, ts: Nanos) {
        if self.phase == Phase::Request && self.acked.is_none() {
            self.acked = Some(self.at(ts));
        }
    }

    /// New data of the client; `data` is as much of it as was captured.
    #[inline]
    pub fn client_data(&mut self, ts: Nanos, seq: u32, len: u32, data: &[u8]) -> Option<Sample> {
        let ts = self.at(ts);
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
            Phase::Connect => self.push("connect", ts, 0),
            Phase::Wait => {
                sample = Some(Sample::ClientIdle(ts - self.since));
                self.push("client_wait", ts, 0);
            }
            Phase::Response => {
                let bytes = std::mem::take(&mut self.response_bytes);
                self.push("response_transfer", self.last_data, bytes);
                self.exchange += 1;
                self.request_seq = None;
                sample = Some(Sample::ClientIdle(ts - self.since));
                self.push("client_wait", ts, 0);
            }
        }
        if self.exchange == 0 && matches!(data, [0x16, 3, _, _, _, 1, ..]) {
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
        self.request_seq = Some(seq);
        self.last_data = ts;
        self.acked = None;
        self.bytes = u64::from(len);
    }

    fn client_tls(&mut self, ts: Nanos, seq: u32, len: u32, data: &[u8]) -> Option<Sample> {
        let mut sample = None;
        if self.tls_server_spoke && !self.tls_timed {
            self.tls_timed = true;
            sample = Some(Sample::TlsRoundTrip(ts - self.since));
        }
        if carries_application_data(data) {
            let bytes = std::mem::take(&mut self.bytes);
            if data.first() == Some(&0x17) {
                self.push("tls", self.last_data, bytes);
                self.push("client_wait", ts, 0);
            } else {
                self.push("tls", ts, bytes);
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
        let ts = self.at(ts);
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
                let name = if self.phase == Phase::Connect { "connect" } else { "server_response" };
                self.push(name, ts, 0);
                self.response(ts, len);
                None
            }
            Phase::Request => {
                let asked = self.last_data;
                self.end_request();
                self.push("server_response", ts, 0);
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
        self.push("request_transfer", self.last_data, bytes);
        if let Some(acked) = self.acked.take() {
            self.push("server_ack", acked, 0);
        }
    }

    /// The flow's last packet was at `end`; yields the rows. `request_of` finds the request that starts at a sequence number.
    pub fn finish(mut self, end: Nanos, flow_id: u64, request_of: impl Fn(u32) -> Option<u64>) -> Vec<ProfileSegment> {
        let end = self.at(end);
        // A reset may be sent before the handshake's last packet: what was established since then is over at once.
        let until = self.ending.unwrap_or(end).max(self.since);
        match self.phase {
            Phase::Connect => self.push("connect", until, 0),
            Phase::Wait => self.push("client_wait", until, 0),
            Phase::Request => {
                self.end_request();
                self.push("server_response", until.max(self.since), 0);
            }
            Phase::Response => {
                let bytes = std::mem::take(&mut self.response_bytes);
                self.push("response_transfer", self.last_data, bytes);
                self.push("client_wait", until.max(self.since), 0);
            }
            Phase::Tls => {
                let bytes = std::mem::take(&mut self.bytes);
                self.push("tls", self.last_data, bytes);
                self.push("client_wait", until.max(self.since), 0);
            }
        }
        self.push("close", end, 0);
        self.segments
            .iter()
            .map(|s| ProfileSegment {
                flow_id,
                request_id: s.request_seq.and_then(&request_of),
                segment: s.name,
                exchange: s.exchange,
                start: s.start,
                duration_ns: u64::try_from(s.end - s.start).unwrap_or(0),
                bytes: s.bytes,
                retransmissions: s.retransmissions,
            })
            .collect()
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
