//! DHCP (RFC 2131, 2132). Most of it goes to everyone and comes from another address than was asked, so each message is a row; the
//! transaction's number, `x_request_id`, ties them together.

#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::text::clean_to;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "dhcp", ports: &[67, 68], timeout: 15_000_000_000, detect, start: |_| Box::new(Dhcp) };

/// What options begin with (RFC 2131 section 3).
const COOKIE: u32 = 0x6382_5363;

fn detect(first: First<'_>) -> Detection {
    match Packet::parse(first.bytes) {
        // An answer that goes to everyone begins a flow of its own, in which nobody asked.
        Some(packet) if first.transport == Transport::Udp => {
            Detection::Yes { confidence: 96, from: (!packet.reply).then_some(Side::Client) }
        }
        _ => Detection::No,
    }
}

/// A message, as far as it matters and goes.
#[derive(Clone, Copy, Debug, Default)]
struct Packet<'a> {
    reply: bool,
    transaction: u32,
    yours: u32,
    kind: u8,
    requested: u32,
    host: &'a [u8],
    text: &'a [u8],
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (operation, hardware, length, _hops) = (cursor.u8()?, cursor.u8()?, cursor.u8()?, cursor.u8()?);
        if !matches!(operation, 1 | 2) || hardware == 0 || length > 16 {
            return None;
        }
        let mut packet = Self { reply: operation == 2, transaction: cursor.u32()?, ..Self::default() };
        cursor.take(8)?;
        packet.yours = cursor.u32()?;
        cursor.take(216)?;
        if cursor.u32()? != COOKIE {
            return None;
        }
        for _ in 0..128 {
            match cursor.u8() {
                None | Some(255) => break,
                Some(0) => {}
                Some(option) => {
                    let length = usize::from(cursor.u8().unwrap_or_default());
                    let value = cursor.up_to(length);
                    match (option, value) {
                        (12, _) => packet.host = value,
                        (50, [a, b, c, d]) => packet.requested = u32::from_be_bytes([*a, *b, *c, *d]),
                        (53, [kind]) => packet.kind = *kind,
                        (56, _) => packet.text = value,
                        _ => {}
                    }
                }
            }
        }
        Some(packet)
    }

    fn row(&self) -> RequestFields {
        let kinds = ["BOOTP", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"];
        let kind = kinds.get(usize::from(self.kind)).copied().unwrap_or("BOOTP");
        let address = [self.yours, self.requested].into_iter().find(|address| *address != 0);
        RequestFields {
            l7_protocol: "dhcp",
            request_type: kind.into(),
            request_domain: clean_to(self.host, 255),
            request_resource: address.map_or_else(Box::default, |a| std::net::Ipv4Addr::from(a).to_string().into()),
            endpoint: kind.into(),
            x_request_id: format!("{:08x}", self.transaction).into(),
            status: match self.kind {
                6 => Status::ServerError,
                4 => Status::ClientError,
                2 | 5 => Status::Ok,
                _ => Status::Unknown,
            },
            exception: clean_to(self.text, 255),
            ..RequestFields::default()
        }
    }
}

#[derive(Debug)]
struct Dhcp;

impl Parser for Dhcp {
    fn parse(&mut self, _side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let Some(packet) = Packet::parse(input.bytes) else {
            return Step::Reject("not a message of DHCP");
        };
        let cut = out.uncaptured > 0;
        out.emit(Message::new(Kind::OneWay, packet.row()).truncated(cut));
        Step::Consume(input.bytes.len() as u64)
    }

    fn resumes(&self, _side: Side, _bytes: &[u8]) -> bool {
        true
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
