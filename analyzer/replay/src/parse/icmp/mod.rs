//! ICMP and ICMPv6 echo and timestamp (RFC 792, 4443): each request with its reply, by identifier and sequence number.

#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::text::number;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "icmp",
    ports: &[],
    timeout: 10_000_000_000,
    detect,
    start: |transport| Box::new(Icmp { six: transport == Transport::Icmp6 }),
};

/// What a message is: its name, and whether it asks.
fn kind(six: bool, kind: u8) -> Option<(&'static str, bool)> {
    match (six, kind) {
        (false, 8) | (true, 128) => Some(("echo", true)),
        (false, 0) | (true, 129) => Some(("echo", false)),
        (false, 13) => Some(("timestamp", true)),
        (false, 14) => Some(("timestamp", false)),
        _ => None,
    }
}

fn detect(first: First<'_>) -> Detection {
    let six = match first.transport {
        Transport::Icmp => false,
        Transport::Icmp6 => true,
        _ => return Detection::No,
    };
    match first.bytes.first().and_then(|byte| kind(six, *byte)) {
        Some((_, asks)) => {
            Detection::Yes { confidence: 100, from: Some(if asks { Side::Client } else { Side::Server }) }
        }
        None => Detection::No,
    }
}

#[derive(Debug)]
struct Icmp {
    six: bool,
}

impl Parser for Icmp {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let mut cursor = Cursor::new(input.bytes);
        let (Some((name, asks)), Some(_), Some(_)) =
            (cursor.u8().and_then(|byte| kind(self.six, byte)), cursor.u8(), cursor.u16())
        else {
            return Step::Reject("not an echo");
        };
        let (Some(identifier), Some(sequence)) = (cursor.u16(), cursor.u16()) else {
            return Step::Reject("a cut header");
        };
        // Both ends may ask each other with the same numbers.
        let asker = if asks { side } else { side.other() };
        let key = (asker.index() as u64) << 32 | u64::from(identifier) << 16 | u64::from(sequence);
        let mut fields = RequestFields {
            l7_protocol: "icmp",
            version: if self.six { "6" } else { "4" },
            request_type: name.into(),
            request_resource: number(u64::from(identifier)),
            endpoint: name.into(),
            session_id: Some(u64::from(sequence)),
            ..RequestFields::default()
        };
        let kind = if asks {
            Kind::Request
        } else {
            fields.status = Status::Ok;
            Kind::Response
        };
        out.emit(Message::new(kind, fields).keyed(key));
        Step::Consume(input.bytes.len() as u64)
    }

    fn resumes(&self, _side: Side, _bytes: &[u8]) -> bool {
        true
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
