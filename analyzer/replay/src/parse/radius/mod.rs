//! RADIUS (RFC 2865, 2866, 5176): access and accounting by identifier. Passwords are never read.

#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::text::clean_to;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "radius",
    ports: &[1812, 1813, 1645, 1646, 3799],
    timeout: 15_000_000_000,
    detect,
    start: |_| Box::new(Radius),
};

fn detect(first: First<'_>) -> Detection {
    match Packet::parse(first.bytes) {
        Some(packet) if first.transport == Transport::Udp && (packet.whole || first.bytes.len() > 40) => {
            let from = if packet.asks() { Side::Client } else { Side::Server };
            // Attributes that fill the packet to the last byte are hardly chance.
            let sure = packet.whole && packet.attributes > 2;
            Detection::Yes { confidence: if sure { 75 } else { 35 }, from: Some(from) }
        }
        _ => Detection::No,
    }
}

/// What of a packet matters.
#[derive(Clone, Copy, Debug)]
struct Packet<'a> {
    code: u8,
    id: u8,
    user: &'a [u8],
    reply: &'a [u8],
    attributes: u32,
    /// The attributes fill it.
    whole: bool,
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (code, id, length) = (cursor.u8()?, cursor.u8()?, usize::from(cursor.u16()?));
        if !matches!(code, 1..=5 | 11 | 12 | 40..=45) || !(20..=4096).contains(&length) || bytes.len() > length {
            return None;
        }
        cursor.take(16)?;
        let mut packet = Self { code, id, user: &[], reply: &[], attributes: 0, whole: false };
        while let (Some(kind), Some(size)) = (cursor.u8(), cursor.u8()) {
            let size = usize::from(size).checked_sub(2)?;
            let Some(value) = cursor.take(size) else {
                return (bytes.len() < length).then_some(packet);
            };
            packet.attributes += 1;
            match kind {
                0 => return None,
                1 => packet.user = value,
                18 => packet.reply = value,
                _ => {}
            }
        }
        packet.whole = bytes.len() == length;
        Some(packet)
    }

    fn asks(&self) -> bool {
        matches!(self.code, 1 | 4 | 12 | 40 | 43)
    }

    /// Which exchange it belongs to: identifiers are counted for each.
    fn exchange(&self) -> u64 {
        match self.code {
            1..=3 | 11 => 1,
            4 | 5 => 4,
            40..=42 => 40,
            43..=45 => 43,
            _ => 12,
        }
    }
}

#[derive(Debug)]
struct Radius;

impl Parser for Radius {
    fn parse(&mut self, _side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let Some(packet) = Packet::parse(input.bytes) else {
            return Step::Reject("not a packet of RADIUS");
        };
        let name = match packet.code {
            1 => "Access-Request",
            2 => "Access-Accept",
            3 => "Access-Reject",
            4 => "Accounting-Request",
            5 => "Accounting-Response",
            11 => "Access-Challenge",
            12 => "Status-Server",
            40 => "Disconnect-Request",
            41 => "Disconnect-ACK",
            42 => "Disconnect-NAK",
            43 => "CoA-Request",
            44 => "CoA-ACK",
            _ => "CoA-NAK",
        };
        let mut fields =
            RequestFields { l7_protocol: "radius", session_id: Some(u64::from(packet.id)), ..RequestFields::default() };
        // An answer repeats it.
        if !packet.user.is_empty() && packet.asks() {
            fields.attributes.push(("user", clean_to(packet.user, 253)));
        }
        let kind = if packet.asks() {
            fields.request_type = name.into();
            fields.endpoint = name.into();
            Kind::Request
        } else {
            fields.result = name.into();
            fields.status = Status::Ok;
            if matches!(packet.code, 3 | 42 | 45) {
                fields.status = Status::ClientError;
                fields.exception = clean_to(packet.reply, 253);
            }
            Kind::Response
        };
        let key = packet.exchange() << 8 | u64::from(packet.id);
        let cut = out.uncaptured > 0;
        out.emit(Message::new(kind, fields).keyed(key).truncated(cut));
        Step::Consume(input.bytes.len() as u64)
    }

    fn resumes(&self, _side: Side, _bytes: &[u8]) -> bool {
        true
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
