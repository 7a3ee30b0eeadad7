//! The profile of datagrams that are answered: UDP, and ICMP's echo and its like.
//!
//! Client and server take turns, as in DNS, NTP, SNMP, RADIUS, SIP or TFTP: `request_transfer` from the first to the last datagram of the
//! client, `server_response` to the server's first, `response_transfer` to its last, `client_wait` to the client's next. The same datagram
//! again while no answer came is a retransmission, and `server_response` goes on. Where the client asks something else after a second without
//! an answer (of ICMP: with another identifier or sequence number), the exchange before stays unanswered and ends there in `server_response`. A
//! flow that is never answered is one `request_transfer`, with a `server_response` behind it if the same was sent again.

use super::{Cut, Name, Profile};
use crate::model::Nanos;
use std::hash::{BuildHasher, Hasher};

/// After so long without an answer, what the client sends next is another request.
const UNANSWERED: Nanos = 1_000_000_000;
/// Datagrams of one request that are known again.
const MOST_KNOWN: usize = 4;
/// Bytes of a datagram that are compared.
const COMPARED: usize = 1500;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing asked yet.
    #[default]
    Wait,
    Request,
    Response,
}

/// Cuts the life of a flow of datagrams.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    cut: Cut,
    phase: Phase,
    /// Last datagram of the current transfer.
    last: Nanos,
    bytes: u64,
    asked: bool,
    answered: bool,
    /// Everything that the client sent.
    sent: u64,
    sent_again: u32,
    /// The client's last datagram that was none sent again.
    last_new: Nanos,
    known: [u64; MOST_KNOWN],
    known_len: usize,
    /// ICMP: what the request is known by.
    key: u32,
}

fn hash(data: &[u8], len: u32) -> u64 {
    let mut hasher = ahash::RandomState::with_seeds(1, 2, 3, 4).build_hasher();
    hasher.write_u32(len);
    hasher.write(data.get(..COMPARED).unwrap_or(data));
    hasher.finish()
}

impl Turns {
    /// Starts at the flow's first datagram.
    #[must_use]
    pub fn new(ts: Nanos) -> Self {
        let mut turns = Self { last: ts, last_new: ts, ..Self::default() };
        turns.cut.begin(ts);
        turns
    }

    /// A datagram of the client; `data` is as much of its `len` bytes as was captured.
    pub fn client(&mut self, ts: Nanos, len: u32, data: &[u8]) {
        let ts = self.cut.at(ts);
        let hash = hash(data, len);
        let known = self.known.get(..self.known_len).unwrap_or_default();
        if self.phase == Phase::Request && known.contains(&hash) {
            self.again(len);
            return;
        }
        if self.phase == Phase::Request && ts - self.last <= UNANSWERED {
            self.bytes += u64::from(len);
            (self.last, self.last_new) = (ts, ts);
        } else {
            self.request(ts, len);
        }
        self.sent += u64::from(len);
        if let Some(slot) = self.known.get_mut(self.known_len) {
            *slot = hash;
            self.known_len += 1;
        }
    }

    /// A request of ICMP, known by its identifier and sequence number.
    pub fn echo(&mut self, ts: Nanos, key: u32, len: u32) {
        let ts = self.cut.at(ts);
        if self.phase == Phase::Request && self.key == key {
            self.again(len);
            return;
        }
        self.request(ts, len);
        self.key = key;
        // Each stands for itself, answered or not.
        self.answered = true;
    }

    /// The answer to one. One that comes after the next request was sent says nothing of that.
    pub fn echoed(&mut self, ts: Nanos, key: u32, len: u32) {
        if self.asked && self.key == key {
            self.server(ts, len);
        }
    }

    /// A datagram of the server.
    pub fn server(&mut self, ts: Nanos, len: u32) {
        let ts = self.cut.at(ts);
        self.answered = true;
        match self.phase {
            Phase::Response => self.bytes += u64::from(len),
            Phase::Wait | Phase::Request => {
                self.end_request(ts);
                self.phase = Phase::Response;
                self.bytes = u64::from(len);
            }
        }
        self.last = ts;
    }

    fn again(&mut self, len: u32) {
        self.sent += u64::from(len);
        self.sent_again = self.sent_again.saturating_add(1);
        self.cut.retransmissions = self.cut.retransmissions.saturating_add(1);
    }

    fn request(&mut self, ts: Nanos, len: u32) {
        match self.phase {
            Phase::Wait => self.cut.push(Name::ClientWait, ts, 0),
            Phase::Request => {
                self.end_request(ts);
                self.cut.next_exchange();
            }
            Phase::Response => {
                self.end_response();
                self.cut.next_exchange();
                self.cut.push(Name::ClientWait, ts, 0);
            }
        }
        self.phase = Phase::Request;
        self.asked = true;
        self.cut.request = Some(0);
        self.bytes = u64::from(len);
        (self.last, self.last_new) = (ts, ts);
        self.known_len = 0;
    }

    /// The request's turn is over: what was sent again belongs to the wait for the answer.
    fn end_request(&mut self, ts: Nanos) {
        if self.phase == Phase::Request {
            let again = std::mem::take(&mut self.cut.retransmissions);
            let bytes = std::mem::take(&mut self.bytes);
            self.cut.push(Name::RequestTransfer, self.last, bytes);
            self.cut.retransmissions = again;
        }
        self.cut.push(Name::ServerResponse, ts, 0);
    }

    fn end_response(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.cut.push(Name::ResponseTransfer, self.last, bytes);
    }

    /// The flow's last datagram was at `end`. `request_of` finds the request that started at a time. A flow without requests (other ICMP
    /// messages) has no segments.
    #[must_use]
    pub fn finish(mut self, end: Nanos, request_of: impl Fn(Nanos) -> Option<u32>) -> Profile {
        let end = self.cut.at(end);
        if !self.asked && !self.answered {
            return Profile::default();
        }
        if self.answered {
            match self.phase {
                Phase::Wait => self.cut.push(Name::ClientWait, end, 0),
                Phase::Request => self.end_request(end),
                Phase::Response => {
                    self.end_response();
                    self.cut.push(Name::ClientWait, end, 0);
                }
            }
        } else {
            // Nobody ever answered: where one request ends and the next begins cannot be told.
            let begun = self.cut.begun;
            self.cut = Cut { begun, since: begun, now: end, request: Some(0), ..Cut::default() };
            self.cut.push(Name::RequestTransfer, self.last_new, self.sent);
            self.cut.retransmissions = self.sent_again;
            self.cut.push(Name::ServerResponse, end, 0);
        }
        let mut start = self.cut.begun;
        let mut of: Option<(u32, Option<u32>)> = None;
        for s in &mut self.cut.segments {
            if s.has_request {
                // The first segment of a request starts where that does.
                let request = match of {
                    Some((exchange, request)) if exchange == s.exchange => request,
                    _ => request_of(start),
                };
                of = Some((s.exchange, request));
                (s.request, s.has_request) = (request.unwrap_or(0), request.is_some());
            }
            start = s.end;
        }
        Profile { start: self.cut.begun, segments: self.cut.segments }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Nanos = 1_000_000;

    type Row = (&'static str, u32, i64, u64, u64, u32, Option<u64>);

    fn rows(profile: &Profile) -> Vec<Row> {
        let row = |r: crate::model::ProfileSegment| {
            let (start, length) = (r.start / MS, r.duration_ns / MS as u64);
            (r.segment, r.exchange, start, length, r.bytes, r.retransmissions, r.request_id)
        };
        profile.rows(0, |r| Some(u64::from(r))).map(row).collect()
    }

    /// A resolver's port: two names asked at once, answered in 20 ms; then one asked twice, as its first datagram was lost.
    #[test]
    fn names_asked_for() {
        let mut t = Turns::new(0);
        t.client(0, 30, b"a? A");
        t.client(MS, 30, b"a? AAAA");
        t.server(20 * MS, 46);
        t.server(21 * MS, 58);
        t.client(500 * MS, 33, b"b? A");
        t.client(5_500 * MS, 33, b"b? A");
        t.server(5_520 * MS, 49);
        let profile = t.finish(5_520 * MS, |ts| match ts / MS {
            0 => Some(7),
            500 => Some(9),
            other => panic!("no request starts at {other} ms"),
        });
        assert_eq!(
            rows(&profile),
            [
                ("request_transfer", 0, 0, 1, 60, 0, Some(7)),
                ("server_response", 0, 1, 19, 0, 0, Some(7)),
                ("response_transfer", 0, 20, 1, 104, 0, Some(7)),
                ("client_wait", 1, 21, 479, 0, 0, None),
                ("request_transfer", 1, 500, 0, 33, 0, Some(9)),
                ("server_response", 1, 500, 5_020, 0, 1, Some(9)),
                ("response_transfer", 1, 5_520, 0, 49, 0, Some(9)),
            ]
        );
    }

    #[test]
    fn what_was_not_answered_ends_with_the_next_request() {
        let mut t = Turns::new(0);
        t.client(0, 10, b"one");
        t.client(3_000 * MS, 10, b"two");
        t.server(3_005 * MS, 20);
        assert_eq!(
            rows(&t.finish(3_005 * MS, |_| None)),
            [
                ("request_transfer", 0, 0, 0, 10, 0, None),
                ("server_response", 0, 0, 3_000, 0, 0, None),
                ("request_transfer", 1, 3_000, 0, 10, 0, None),
                ("server_response", 1, 3_000, 5, 0, 0, None),
                ("response_transfer", 1, 3_005, 0, 20, 0, None),
            ]
        );
    }

    /// Pings at 0, 1 and 2 s; the second has no answer, the first one's is doubled.
    #[test]
    fn each_echo_stands_for_itself() {
        let mut t = Turns::new(0);
        t.echo(0, 1, 64);
        t.echoed(30 * MS, 1, 64);
        t.echoed(31 * MS, 1, 64);
        t.echo(1_000 * MS, 2, 64);
        t.echo(2_000 * MS, 3, 64);
        t.echoed(2_001 * MS, 2, 64);
        t.echoed(2_040 * MS, 3, 64);
        assert_eq!(
            rows(&t.finish(2_040 * MS, |_| None)),
            [
                ("request_transfer", 0, 0, 0, 64, 0, None),
                ("server_response", 0, 0, 30, 0, 0, None),
                ("response_transfer", 0, 30, 1, 128, 0, None),
                ("client_wait", 1, 31, 969, 0, 0, None),
                ("request_transfer", 1, 1_000, 0, 64, 0, None),
                ("server_response", 1, 1_000, 1_000, 0, 0, None),
                ("request_transfer", 2, 2_000, 0, 64, 0, None),
                ("server_response", 2, 2_000, 40, 0, 0, None),
                ("response_transfer", 2, 2_040, 0, 64, 0, None),
            ]
        );
    }

    #[test]
    fn never_answered() {
        let mut t = Turns::new(0);
        for n in 0..5i64 {
            t.client(n * 2_000 * MS, 100, format!("message {n}").as_bytes());
        }
        assert_eq!(rows(&t.finish(8_000 * MS, |_| Some(3))), [("request_transfer", 0, 0, 8_000, 500, 0, Some(3))]);
        let mut t = Turns::new(0);
        for n in 0..3i64 {
            t.client(n * 5_000 * MS, 30, b"a? A");
        }
        assert_eq!(
            rows(&t.finish(10_000 * MS, |_| None)),
            [("request_transfer", 0, 0, 0, 90, 0, None), ("server_response", 0, 0, 10_000, 0, 2, None)]
        );
        // A message of ICMP that asks for nothing.
        assert!(Turns::new(0).finish(5, |_| None).is_empty());
    }

    proptest! {
        #[test]
        fn segments_always_sum_up(events in prop::collection::vec((0u8..5, 0i64..2_000, 0u8..4), 1..60)) {
            let mut now = 0;
            let mut t = Turns::new(now);
            let mut last = now;
            for (event, wait, what) in events {
                // Clocks may be set back a little.
                now += (wait - 3) * MS;
                match event {
                    0 => t.client(now, 5, &[what]),
                    1 => t.server(now, 4),
                    2 => t.echo(now, what.into(), 8),
                    3 => t.echoed(now, what.into(), 8),
                    _ => {}
                }
                last = last.max(now);
            }
            let asked = t.asked || t.answered;
            let profile = t.finish(last, |_| None);
            let rows: Vec<_> = profile.rows(0, |_| None).collect();
            prop_assert_eq!(rows.iter().map(|r| r.duration_ns).sum::<u64>(), if asked { last as u64 } else { 0 });
            let mut at = 0;
            for r in rows {
                prop_assert_eq!(r.start, at);
                at += r.duration_ns as i64;
            }
        }
    }
}
