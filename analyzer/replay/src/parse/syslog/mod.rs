//! Syslog over UDP (RFC 5424, 3164): one row a message. What it says may be anything, so only facility and severity are told.

#[cfg(test)]
pub(super) mod tests;

use super::text::decimal;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Transport};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "syslog", ports: &[514], timeout: 15_000_000_000, detect, start: |_| Box::new(Syslog) };

const SEVERITIES: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

fn detect(first: First<'_>) -> Detection {
    match (first.transport, priority(first.bytes)) {
        (Transport::Udp, Some((_, rest))) => {
            // The version, or the name of a month.
            let modern = rest.starts_with(b"1 ");
            let month = b"JanFebMarAprMayJunJulAugSepOctNovDec".chunks(3).any(|month| rest.starts_with(month));
            Detection::Yes { confidence: if modern || month { 80 } else { 35 }, from: Some(Side::Client) }
        }
        _ => Detection::No,
    }
}

/// `<PRI>`, and what follows.
fn priority(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let rest = bytes.strip_prefix(b"<")?;
    let end = memchr::memchr(b'>', rest.get(..4).unwrap_or(rest))?;
    let number = decimal(rest.get(..end)?).filter(|number| *number < 192)?;
    Some((u8::try_from(number).ok()?, rest.get(end + 1..)?))
}

#[derive(Debug)]
struct Syslog;

impl Parser for Syslog {
    fn parse(&mut self, _side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let Some((priority, rest)) = priority(input.bytes) else {
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
        Step::Consume(input.bytes.len() as u64)
    }

    fn resumes(&self, _side: Side, _bytes: &[u8]) -> bool {
        true
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
