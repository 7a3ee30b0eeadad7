//! MQTT 3.1, 3.1.1 and 5 (OASIS standards). Either side may ask; answers are paired by packet id.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use ahash::AHashMap;
use message::Packet;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "mqtt",
    ports: &[1883, 8883],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Mqtt::default()),
};

/// Numbers of topics remembered.
const ALIASES: usize = 1024;
/// Bytes of a packet looked at.
const WINDOW: usize = 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    let Some(kind) = bytes.first() else {
        return Detection::More;
    };
    let (length, head) = match message::remaining_length(bytes.get(1..).unwrap_or_default()) {
        Ok((length, used)) => (length as usize, used + 1),
        Err(true) if !first.whole && *kind == 0x10 => return Detection::More,
        Err(_) => return Detection::No,
    };
    let body = bytes.get(head..).unwrap_or_default();
    let yes = |confidence, side| Detection::Yes { confidence, from: side };
    match (*kind, length) {
        (0x10, 12..) => {
            let names: [&[u8]; 2] = [b"\0\x04MQTT", b"\0\x06MQIsdp"];
            if names.iter().any(|name| body.starts_with(name)) {
                yes(96, Some(Side::Client))
            } else if !first.whole && names.iter().any(|name| name.starts_with(body)) {
                Detection::More
            } else {
                Detection::No
            }
        }
        (0x20, 2) if matches!(body, [0 | 1, 0..=5]) => yes(70, Some(Side::Server)),
        (0xc0 | 0xe0, 0) if body.is_empty() => yes(40, Some(Side::Client)),
        (0xd0, 0) if body.is_empty() => yes(40, Some(Side::Server)),
        (0x40 | 0x50 | 0x62 | 0x70, 2) if body.len() == 2 => yes(30, None),
        (0x82, 5..) => yes(if message::topic(body, 2).is_some() { 60 } else { 10 }, Some(Side::Client)),
        (0x30..=0x3d, 3..) if body.len() <= length || first.bytes.len() > 16 => {
            yes(if message::topic(body, 0).is_some() { 40 } else { 0 }, None)
        }
        _ => Detection::No,
    }
}

#[derive(Debug, Default)]
struct Mqtt {
    version: u8,
    client: Box<str>,
    /// Version 5: topics by the number that each side has given them.
    aliases: [AHashMap<u16, Box<str>>; 2],
}

impl Parser for Mqtt {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let mut cursor = Cursor::new(input.bytes);
        let Some(first) = cursor.u8() else {
            return Step::More(2);
        };
        let (length, used) = match message::remaining_length(cursor.rest()) {
            Ok(found) => found,
            Err(true) => return Step::More(0),
            Err(false) => return Step::Reject("remaining length"),
        };
        if !message::flags_fit(first) {
            return Step::Reject("flags of a packet");
        }
        cursor.take(used);
        let length = length as usize;
        let wanted = length.min(WINDOW);
        if cursor.rest().len() < wanted && !input.cut {
            return Step::More(1 + used + wanted);
        }
        let body = cursor.up_to(length);
        let cut = body.len() < wanted;
        let packet = Packet { first, body, version: self.version };
        if let Some((version, client)) = packet.connect() {
            self.version = version;
            self.client = client;
        }
        // Answers carry the id that the other side has given: the one who asked is part of the key.
        let asker = |side: Side| (side.index() as u64) << 40;
        let message = match packet.role() {
            message::Role::Asks(key) => {
                Message::new(Kind::Request, packet.request(&self.client, side, out.mask)).keyed(key | asker(side))
            }
            message::Role::Answers(key) => {
                Message::new(Kind::Response, packet.response()).keyed(key | asker(side.other()))
            }
            message::Role::Alone => Message::new(Kind::OneWay, packet.request(&self.client, side, out.mask)),
        };
        let mut message = message;
        if let Some(alias) = packet.alias() {
            let topics = &mut self.aliases[side.index()];
            let fields = &mut message.fields;
            if fields.request_resource.is_empty() {
                fields.request_resource = topics.get(&alias).cloned().unwrap_or_default();
                fields.endpoint = fields.request_resource.clone();
            } else if topics.len() < ALIASES || topics.contains_key(&alias) {
                topics.insert(alias, fields.request_resource.clone());
            }
        }
        out.emit(message.truncated(cut));
        Step::Consume((1 + used + length) as u64)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        let Some((first, rest)) = bytes.split_first() else {
            return false;
        };
        message::flags_fit(*first)
            && message::remaining_length(rest).is_ok_and(|(length, used)| length as usize + used >= rest.len())
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
