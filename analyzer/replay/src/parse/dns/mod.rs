//! DNS over UDP and TCP, multicast DNS included (RFC 1035, 6762, 6891). One request per question of a packet.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::Packet;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "dns",
    ports: &[53, 5353, 5355],
    timeout: 15_000_000_000,
    detect,
    start: |transport| Box::new(Dns { framed: transport == Transport::Tcp }),
};

fn detect(first: First<'_>) -> Detection {
    let framed = match first.transport {
        Transport::Udp => false,
        Transport::Tcp => true,
        _ => return Detection::No,
    };
    let mut partial = false;
    let bytes = if framed {
        let Some((length, rest)) = first.bytes.split_first_chunk::<2>() else {
            return Detection::More;
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length < 17 {
            return Detection::No;
        }
        partial = rest.len() < length && !first.whole;
        rest.get(..length).unwrap_or(rest)
    } else {
        first.bytes
    };
    if partial {
        return if message::plausible_start(bytes) { Detection::More } else { Detection::No };
    }
    match Packet::parse(bytes) {
        Some(packet) if packet.is_netbios() => Detection::No,
        Some(packet) if packet.sound && !packet.questions.is_empty() => {
            // Both kinds carry questions, so the flag decides who asks.
            let from = if packet.response { Side::Server } else { Side::Client };
            Detection::Yes { confidence: if packet.plain() { 80 } else { 60 }, from: Some(from) }
        }
        // Multicast announcements are answers without a question.
        Some(packet) if packet.sound && packet.response && packet.answers > 0 => {
            Detection::Yes { confidence: 30, from: None }
        }
        _ => Detection::No,
    }
}

#[derive(Debug)]
struct Dns {
    /// Length-prefixed, as over TCP.
    framed: bool,
}

impl Parser for Dns {
    fn parse(&mut self, _side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let (body, total) = if self.framed {
            let Some((length, rest)) = input.bytes.split_first_chunk::<2>() else {
                return Step::More(2);
            };
            let length = usize::from(u16::from_be_bytes(*length));
            if rest.len() < length && !input.cut {
                return Step::More(length + 2);
            }
            (rest.get(..length).unwrap_or(rest), length + 2)
        } else {
            (input.bytes, input.bytes.len())
        };
        let Some(packet) = Packet::parse(body) else {
            return Step::Reject("not a DNS message");
        };
        for (place, question) in packet.questions.iter().enumerate() {
            let kind = if packet.response { Kind::Response } else { Kind::Request };
            let key = u64::from(packet.id) | (place as u64) << 16 | message::hash(question) << 24;
            let fields = match packet.response {
                true if out.is_awaited(key) => packet.answer(None),
                true => packet.answer(Some(question)),
                false => packet.ask(question),
            };
            out.emit(Message::new(kind, fields).keyed(key).truncated(!packet.sound));
        }
        if packet.questions.is_empty() && packet.response {
            out.emit(Message::new(Kind::OneWay, packet.announcement()).truncated(!packet.sound));
        }
        Step::Consume(total as u64)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        if self.framed {
            bytes.split_first_chunk::<2>().is_some_and(|(length, rest)| {
                usize::from(u16::from_be_bytes(*length)) >= rest.len() && Packet::parse(rest).is_some()
            })
        } else {
            true
        }
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
