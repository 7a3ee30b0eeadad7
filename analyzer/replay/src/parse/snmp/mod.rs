//! SNMP (RFC 1157, 3416, 3412): questions and answers by request id; of version 3, whose operation may be encrypted, by message id.

#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::mask::Secret;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};
use std::fmt::Write as _;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "snmp", ports: &[161, 162], timeout: 15_000_000_000, detect, start: |_| Box::new(Snmp) };

/// Flags of version 3 (RFC 3412 section 6.4): the rest is encrypted; a report is wanted.
const PRIVATE: u8 = 2;
const REPORTABLE: u8 = 4;
/// Tag of a sequence.
const SEQUENCE: u8 = 0x30;

fn detect(first: First<'_>) -> Detection {
    match Packet::parse(first.bytes) {
        Some(packet) if first.transport == Transport::Udp => {
            let from = match packet.kind() {
                Kind::Response => Some(Side::Server),
                _ => Some(Side::Client),
            };
            Detection::Yes { confidence: 92, from }
        }
        _ => Detection::No,
    }
}

/// An element's tag and contents, which may be cut.
fn element<'a>(cursor: &mut Cursor<'a>) -> Option<(u8, &'a [u8])> {
    let tag = cursor.u8()?;
    let length = match cursor.u8()? {
        0x81 => usize::from(cursor.u8()?),
        0x82 => usize::from(cursor.u16()?),
        short @ 0..=0x7f => usize::from(short),
        _ => return None,
    };
    Some((tag, cursor.up_to(length)))
}

fn integer(cursor: &mut Cursor<'_>) -> Option<u64> {
    match element(cursor)? {
        (2, bytes @ [_, ..]) if bytes.len() <= 5 => {
            Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
        }
        _ => None,
    }
}

/// What of a message matters.
#[derive(Clone, Debug)]
struct Packet<'a> {
    version: u64,
    /// Tag of the operation; 0 where version 3 encrypts it.
    operation: u8,
    /// Flags of a message of version 3.
    flags: u8,
    id: u64,
    error: u64,
    object: &'a [u8],
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (SEQUENCE, body) = element(&mut Cursor::new(bytes))? else { return None };
        let mut body = Cursor::new(body);
        let version = integer(&mut body).filter(|version| matches!(version, 0 | 1 | 3))?;
        let mut packet = Self { version, operation: 0, flags: 0, id: 0, error: 0, object: &[] };
        if version == 3 {
            let (SEQUENCE, head) = element(&mut body)? else { return None };
            let mut head = Cursor::new(head);
            packet.id = integer(&mut head)?;
            integer(&mut head)?;
            match element(&mut head)? {
                (4, [flags]) => packet.flags = *flags,
                _ => return None,
            }
            if packet.flags & PRIVATE == 0 {
                packet.scoped(&mut body);
            }
            return Some(packet);
        }
        // The community, which is a password.
        let (4, _) = element(&mut body)? else { return None };
        packet.operation(&mut body)?;
        Some(packet)
    }

    /// Version 3 that is not encrypted: security, then engine, context and operation (RFC 3412 section 6).
    fn scoped(&mut self, body: &mut Cursor<'a>) -> Option<()> {
        let id = self.id;
        element(body).filter(|(tag, _)| *tag == 4)?;
        let (SEQUENCE, scoped) = element(body)? else { return None };
        let mut scoped = Cursor::new(scoped);
        element(&mut scoped)?;
        element(&mut scoped)?;
        self.operation(&mut scoped);
        // Reports have the message's id, not always the request's.
        self.id = id;
        Some(())
    }

    fn operation(&mut self, body: &mut Cursor<'a>) -> Option<()> {
        let packet = self;
        let (tag @ 0xa0..=0xa8, operation) = element(body)? else { return None };
        packet.operation = tag;
        let mut operation = Cursor::new(operation);
        if tag == 0xa4 {
            // A trap of version 1: the enterprise comes first.
            if let Some((6, object)) = element(&mut operation) {
                packet.object = object;
            }
            return Some(());
        }
        packet.id = integer(&mut operation)?;
        packet.error = integer(&mut operation)?;
        integer(&mut operation)?;
        let first = || {
            let (_, list) = element(&mut operation)?;
            let (_, binding) = element(&mut Cursor::new(list))?;
            element(&mut Cursor::new(binding)).filter(|(tag, _)| *tag == 6).map(|(_, object)| object)
        };
        packet.object = { first }().unwrap_or_default();
        Some(())
    }

    fn kind(&self) -> Kind {
        match (self.version, self.operation) {
            // Who wants a report asks.
            (3, 0) if self.flags & REPORTABLE != 0 => Kind::Request,
            (3, 0) | (_, 0xa2 | 0xa8) => Kind::Response,
            (_, 0xa4 | 0xa7) => Kind::OneWay,
            _ => Kind::Request,
        }
    }

    fn row(&self) -> RequestFields {
        let names = ["Get", "GetNext", "Response", "Set", "Trap", "GetBulk", "Inform", "Trap", "Report"];
        let name = match self.version {
            3 if self.operation == 0 => "Message",
            _ => names.get(usize::from(self.operation & 0xf)).copied().unwrap_or_default(),
        };
        let answers = self.kind() == Kind::Response;
        let mut fields = RequestFields {
            l7_protocol: "snmp",
            version: match self.version {
                0 => "1",
                1 => "2c",
                _ => "3",
            },
            session_id: Some(self.id),
            ..RequestFields::default()
        };
        if answers {
            fields.status = Status::Ok;
            if self.operation == 0xa2 && self.error != 0 {
                // tooBig, genErr, resourceUnavailable and the like are the agent's; the others say what was asked wrongly.
                let server = matches!(self.error, 1 | 5 | 13..=15);
                fields.status = if server { Status::ServerError } else { Status::ClientError };
                fields.code = i32::try_from(self.error).ok();
            }
            return fields;
        }
        fields.request_type = name.into();
        fields.endpoint = name.into();
        fields.request_resource = object(self.object).into();
        fields
    }
}

/// An object identifier with dots (X.690 section 8.19).
fn object(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut number, mut first) = (0_u64, true);
    for byte in bytes.iter().take(128) {
        number = (number & (u64::MAX >> 7)) << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if std::mem::take(&mut first) {
            let top = (number / 40).min(2);
            let _ = write!(text, "{top}.{}", number - top * 40);
        } else {
            let _ = write!(text, ".{number}");
        }
        number = 0;
    }
    text
}

#[derive(Debug)]
struct Snmp;

impl Parser for Snmp {
    fn parse(&mut self, _side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let Some(packet) = Packet::parse(input.bytes) else {
            return Step::Reject("not a message of SNMP");
        };
        if packet.version != 3 && !out.mask.shows() {
            out.mask.hid(Secret::Login, 1);
        }
        let cut = out.uncaptured > 0;
        let mut message = Message::new(packet.kind(), packet.row()).truncated(cut);
        if packet.kind() != Kind::OneWay {
            message = message.keyed(packet.id);
        }
        out.emit(message);
        Step::Consume(input.bytes.len() as u64)
    }

    fn resumes(&self, _side: Side, _bytes: &[u8]) -> bool {
        true
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
