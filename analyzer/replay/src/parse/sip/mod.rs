//! SIP (RFC 3261), RTSP (RFC 2326, 7826) and SSDP (UPnP Device Architecture 2.0): messages in the manner of HTTP with other versions.
//!
//! Answers bear the number of their request (`CSeq`), so that they are paired by it; those of SSDP come from other addresses than were
//! asked, so that each of its messages is a row.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
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
}

impl Lines {
    fn start(family: Family, transport: Transport) -> Box<dyn Parser> {
        Box::new(Self { family, datagrams: transport == Transport::Udp, interim: VecDeque::new() })
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
        if let Some(code) = head.code.filter(|code| *code < 200)
            && let Some(key) = head.key(side)
        {
            if self.interim.len() == INTERIM {
                self.interim.pop_front();
            }
            self.interim.push_back((key, code));
        }
        if let Some((kind, key, mut fields)) = head.row(side, out.mask) {
            if kind == Kind::Response && !self.interim.is_empty() {
                let codes = self.before(key);
                if !codes.is_empty() {
                    fields.attributes.push(("interim", codes.into()));
                }
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
}
