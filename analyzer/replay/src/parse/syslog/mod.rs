//! Syslog (RFC 5424, 3164) over UDP and TCP (RFC 6587, both framings): one row a message. What it says may be anything, so only facility and
//! severity are told.

#[cfg(test)]
pub(super) mod tests;

use super::text::decimal;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Transport};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "syslog", ports: &[514, 601], timeout: 15_000_000_000, detect, start };

fn start(transport: Transport) -> Box<dyn Parser> {
    Box::new(Syslog { datagrams: transport == Transport::Udp })
}

const SEVERITIES: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Longest length in front of a message, digits.
const DIGITS: usize = 7;
/// Priority, version, and a time's beginning.
const HEAD: usize = 16;

fn detect(first: First<'_>) -> Detection {
    let bytes = first.bytes;
    let (bytes, counted) = match first.transport {
        Transport::Udp => (bytes, false),
        Transport::Tcp => match counted(bytes) {
            Some((head, _)) => (bytes.get(head..).unwrap_or_default(), true),
            None => (bytes, false),
        },
        _ => return Detection::No,
    };
    match priority(bytes) {
        Some((_, rest)) => {
            // The version, or the name of a month.
            let modern = rest.starts_with(b"1 ");
            let month = b"JanFebMarAprMayJunJulAugSepOctNovDec".chunks(3).any(|month| rest.starts_with(month));
            if rest.len() < 3 && first.transport == Transport::Tcp && !first.whole {
                return Detection::More;
            }
            let confidence = match modern || month {
                true if counted => 90,
                true => 80,
                false => 35,
            };
            Detection::Yes { confidence, from: Some(Side::Client) }
        }
        None if first.transport == Transport::Tcp && !first.whole && may_begin(first.bytes) => Detection::More,
        None => Detection::No,
    }
}

/// Digits and a space in front of a message: how many bytes that is, and how long they say the message is.
fn counted(bytes: &[u8]) -> Option<(usize, u64)> {
    let space = memchr::memchr(b' ', bytes.get(..=DIGITS).unwrap_or(bytes))?;
    let length = decimal(bytes.get(..space)?).filter(|length| *length > 0)?;
    bytes.first().filter(|digit| **digit != b'0')?;
    Some((space + 1, length))
}

/// Whether a priority goes on behind these few bytes.
fn may_begin(bytes: &[u8]) -> bool {
    let rest = counted(bytes).map_or(bytes, |(head, _)| bytes.get(head..).unwrap_or_default());
    rest.len() < 5 && rest.strip_prefix(b"<").is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
}

/// `<PRI>`, and what follows.
fn priority(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let rest = bytes.strip_prefix(b"<")?;
    let end = memchr::memchr(b'>', rest.get(..4).unwrap_or(rest))?;
    let number = decimal(rest.get(..end)?).filter(|number| *number < 192)?;
    Some((u8::try_from(number).ok()?, rest.get(end + 1..)?))
}

#[derive(Debug)]
struct Syslog {
    datagrams: bool,
}

impl Parser for Syslog {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let bytes = input.bytes;
        if self.datagrams {
            return message(bytes, bytes.len() as u64, out);
        }
        if side == Side::Server {
            return Step::Reject("nobody answers");
        }
        // A length, or a line (RFC 6587 section 3.4).
        if bytes.first().is_some_and(u8::is_ascii_digit) {
            let Some((head, length)) = counted(bytes) else {
                let more = bytes.len() <= DIGITS && bytes.iter().all(u8::is_ascii_digit);
                return if more { Step::More(bytes.len() + 1) } else { Step::Reject("no length") };
            };
            let wanted = head + usize::try_from(length).unwrap_or(HEAD).min(HEAD);
            if bytes.len() < wanted && !input.cut {
                return Step::More(wanted);
            }
            return message(bytes.get(head..).unwrap_or_default(), (head as u64).saturating_add(length), out);
        }
        match memchr::memchr2(b'\n', 0, bytes) {
            // An empty line is none.
            Some(0) => Step::Consume(1),
            Some(end) => message(bytes.get(..end).unwrap_or_default(), end as u64 + 1, out),
            None if input.cut => {
                let step = message(bytes, bytes.len() as u64, out);
                if matches!(step, Step::Reject(_)) { step } else { Step::Lose }
            }
            None => Step::More(bytes.len() + 1),
        }
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        let counted = || counted(bytes).and_then(|(head, _)| priority(bytes.get(head..)?));
        self.datagrams || priority(bytes).is_some() || counted().is_some()
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}

/// A row for one that begins with `bytes` and ends with `total` bytes.
fn message(bytes: &[u8], total: u64, out: &mut Output<'_>) -> Step {
    let Some((priority, rest)) = priority(bytes) else {
        return Step::Reject("no priority");
    };
    let severity = SEVERITIES.get(usize::from(priority & 7)).copied().unwrap_or_default();
    let facility = FACILITIES.get(usize::from(priority >> 3)).copied().unwrap_or_default();
    let fields = RequestFields {
        l7_protocol: "syslog",
        version: if rest.starts_with(b"1 ") { "5424" } else { "3164" },
        request_type: severity.into(),
        request_resource: facility.into(),
        endpoint: facility.into(),
        ..RequestFields::default()
    };
    out.emit(Message::new(Kind::OneWay, fields));
    Step::Consume(total)
}
