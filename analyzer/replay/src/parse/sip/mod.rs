//! SIP (RFC 3261), RTSP (RFC 2326, 7826) and SSDP (UPnP Device Architecture 2.0): messages in the manner of HTTP with other versions.
//!
//! Answers bear the number of their request (`CSeq`), so that they are paired by it; those of SSDP come from other addresses than were
//! asked, so that each of its messages is a row.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::text::number;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Transport};
use message::{Family, Head};
use std::collections::VecDeque;

/// Session initiation: telephony.
pub(super) static SIP: Protocol = Protocol {
    name: "sip",
    ports: &[5060, 5080],
    timeout: 32_000_000_000,
    detect: |first| detect(first, Family::Sip),
    start: |transport| Lines::start(Family::Sip, transport),
};

/// Streaming.
pub(super) static RTSP: Protocol = Protocol {
    name: "rtsp",
    ports: &[554, 8554],
    timeout: 120_000_000_000,
    detect: |first| detect(first, Family::Rtsp),
    start: |transport| Lines::start(Family::Rtsp, transport),
};

/// Discovery of devices.
pub(super) static SSDP: Protocol = Protocol {
    name: "ssdp",
    ports: &[1900],
    timeout: 15_000_000_000,
    detect: |first| detect(first, Family::Ssdp),
    start: |transport| Lines::start(Family::Ssdp, transport),
};

/// Interim answers that are kept.
const INTERIM: usize = 64;
/// Messages that are remembered so that their copies are known.
const REMEMBERED: usize = 256;
/// Longest head that is waited for.
const HEAD_LIMIT: usize = 16 * 1024;

fn detect(first: First<'_>, family: Family) -> Detection {
    let fits = match family {
        Family::Ssdp => first.transport == Transport::Udp,
        Family::Sip => matches!(first.transport, Transport::Udp | Transport::Tcp),
        Family::Rtsp => first.transport == Transport::Tcp,
    };
    if !fits {
        return Detection::No;
    }
    match Head::parse(first.bytes, family) {
        Some(head) => {
            Detection::Yes { confidence: 96, from: Some(if head.code.is_some() { Side::Server } else { Side::Client }) }
        }
        None if !first.whole && message::may_begin(first.bytes, family) => Detection::More,
        None => Detection::No,
    }
}

#[derive(Debug)]
struct Lines {
    family: Family,
    datagrams: bool,
    /// Codes of interim answers, by what ties them to their request.
    interim: VecDeque<(u64, u16)>,
    /// What came last, and how many copies of it: over UDP everything is sent again until it is answered (RFC 3261 section 17).
    seen: VecDeque<Seen>,
}

/// A message that has come.
#[derive(Debug)]
struct Seen {
    /// Tells it from all others.
    identity: u64,
    key: Option<u64>,
    copies: u64,
}

impl Lines {
    fn start(family: Family, transport: Transport) -> Box<dyn Parser> {
        Box::new(Self {
            family,
            datagrams: transport == Transport::Udp,
            interim: VecDeque::new(),
            seen: VecDeque::new(),
        })
    }

    /// The interim answers before this one, each once.
    fn before(&mut self, key: Option<u64>) -> String {
        let mut codes = Vec::new();
        self.interim.retain(|(other, code)| {
            let mine = Some(*other) == key;
            if mine && !codes.contains(code) {
                codes.push(*code);
            }
            !mine
        });
        codes.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
    }

    /// Whether the same message has come before.
    fn is_copy(&mut self, identity: u64, key: Option<u64>) -> bool {
        if let Some(seen) = self.seen.iter_mut().rev().find(|seen| seen.identity == identity) {
            seen.copies += 1;
            return true;
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(Seen { identity, key, copies: 0 });
        false
    }

    /// What came while a request waited: interim answers, and itself again.
    fn meanwhile(&mut self, key: Option<u64>, fields: &mut RequestFields) {
        if !self.interim.is_empty() {
            let codes = self.before(key);
            if !codes.is_empty() {
                fields.attributes.push(("interim", codes.into()));
            }
        }
        let copies: u64 =
            self.seen.iter_mut().filter(|seen| seen.key == key).map(|seen| std::mem::take(&mut seen.copies)).sum();
        if copies > 0 {
            fields.attributes.push(("retransmissions", number(copies)));
        }
    }
}

impl Parser for Lines {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        match input.bytes {
            // Keep-alives of SIP (RFC 5626 section 4.4.1).
            [b'\r' | b'\n', ..] => return Step::Consume(1),
            // RTSP: media between the messages, a channel and a length in front.
            [b'$', rest @ ..] if self.family == Family::Rtsp => {
                return match rest {
                    [_, high, low, ..] => Step::Consume(4 + u64::from(u16::from_be_bytes([*high, *low]))),
                    _ => Step::More(4),
                };
            }
            _ => {}
        }
        let window = input.bytes.get(..HEAD_LIMIT).unwrap_or(input.bytes);
        let end = memchr::memmem::find(window, b"\r\n\r\n").map(|at| at + 4);
        if end.is_none() && !input.cut && window.len() < HEAD_LIMIT {
            let begins = Head::parse(window, self.family).is_some() || message::may_begin(window, self.family);
            return if begins { Step::More(window.len() + 1) } else { Step::Reject("not a start line") };
        }
        let Some(head) = Head::parse(window.get(..end.unwrap_or(window.len())).unwrap_or(window), self.family) else {
            return Step::Reject("not a start line");
        };
        let cut = end.is_none();
        if self.datagrams
            && let Some(identity) = head.identity(side)
            && self.is_copy(identity, head.key(side).filter(|_| head.code.is_none()))
        {
            return Step::Consume(input.bytes.len() as u64);
        }
        if let Some(code) = head.code.filter(|code| *code < 200)
            && let Some(key) = head.key(side)
        {
            if self.interim.len() == INTERIM {
                self.interim.pop_front();
            }
            self.interim.push_back((key, code));
        }
        if let Some((kind, key, mut fields)) = head.row(side, out.mask) {
            if kind == Kind::Response {
                self.meanwhile(key, &mut fields);
            }
            let mut message = Message::new(kind, fields).truncated(cut && (out.uncaptured > 0 || !self.datagrams));
            message.key = key.filter(|_| kind != Kind::OneWay);
            out.emit(message);
        }
        match end {
            _ if self.datagrams => Step::Consume(input.bytes.len() as u64),
            Some(end) => Step::Consume((end as u64).saturating_add(head.body)),
            None => Step::Lose,
        }
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        self.datagrams || Head::parse(bytes, self.family).is_some()
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}

    fn close(&mut self, out: &mut Output<'_>) {
        // Requests that have no answer, but interim ones or copies.
        let mut keys: Vec<u64> = self.interim.iter().map(|(key, _)| *key).collect();
        keys.extend(self.seen.iter().filter(|seen| seen.copies > 0).filter_map(|seen| seen.key));
        while let Some(key) = keys.first().copied() {
            keys.retain(|other| *other != key);
            let mut fields = RequestFields { l7_protocol: self.family.name(), ..RequestFields::default() };
            if !out.is_awaited(key) {
                if self.seen.iter().any(|seen| seen.key == Some(key)) {
                    continue;
                }
                // The request was not seen, nor was the end of it.
                let Some(last) = self.interim.iter().rposition(|(other, _)| *other == key) else { continue };
                fields.code = self.interim.remove(last).map(|(_, code)| i32::from(code));
            }
            self.meanwhile(Some(key), &mut fields);
            out.emit(Message::new(Kind::Note, fields).keyed(key));
        }
    }
}
