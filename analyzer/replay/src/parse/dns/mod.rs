//! DNS over UDP and TCP, multicast DNS and LLMNR included (RFC 1035, 6762, 4795, 6891), and NetBIOS names (RFC 1002), whose messages
//! have the same shape. One request per question of a packet.

mod message;
mod name;
mod record;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};
use message::Packet;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "dns",
    ports: &[53, 5353, 5355],
    timeout: 15_000_000_000,
    detect,
    start: |transport| Box::new(Dns { framed: transport == Transport::Tcp, ..Dns::default() }),
};

/// NetBIOS name service.
pub(super) static NETBIOS: Protocol = Protocol {
    name: "nbns",
    ports: &[137],
    timeout: 15_000_000_000,
    detect: |first| match Packet::parse(first.bytes) {
        Some(packet) if first.transport == Transport::Udp && packet.sound && packet.netbios_name().is_some() => {
            Detection::Yes { confidence: 85, from: Some(if packet.response { Side::Server } else { Side::Client }) }
        }
        _ => Detection::No,
    },
    start: |_| Box::new(Dns { netbios: true, ..Dns::default() }),
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
    let Some(packet) = Packet::parse(bytes) else {
        return Detection::No;
    };
    // Both kinds carry questions, so the flag decides who asks.
    let from = if packet.response { Side::Server } else { Side::Client };
    if !packet.is_dns() || packet.netbios_name().is_some() {
        Detection::No
    } else if packet.sound && packet.questions().next().is_some() {
        Detection::Yes { confidence: if packet.plain() { 80 } else { 60 }, from: Some(from) }
    } else if packet.sound && packet.response && packet.answers > 0 {
        // Multicast announcements are answers without a question.
        Detection::Yes { confidence: 30, from: None }
    } else if !framed && message::plausible_start(bytes) && (packet.response || packet.questions().next().is_some()) {
        // Malformed, or cut: the usual port makes it one.
        Detection::Yes { confidence: 25, from: Some(from) }
    } else {
        Detection::No
    }
}

/// Questions whose answers may not repeat them, being malformed.
const RECENT: usize = 8;

#[derive(Debug, Default)]
struct Dns {
    /// Length-prefixed, as over TCP.
    framed: bool,
    /// Names are those of NetBIOS.
    netbios: bool,
    /// Ids of the last questions, with their keys.
    recent: [(u16, u64); RECENT],
    next: usize,
}

impl Parser for Dns {
    fn parse(&mut self, _side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let mut short = out.uncaptured > 0;
        let (body, total) = if self.framed {
            let Some((length, rest)) = input.bytes.split_first_chunk::<2>() else {
                return Step::More(2);
            };
            let length = usize::from(u16::from_be_bytes(*length));
            if rest.len() < length && !input.cut {
                return Step::More(length + 2);
            }
            short |= rest.len() < length;
            (rest.get(..length).unwrap_or(rest), length + 2)
        } else {
            (input.bytes, input.bytes.len())
        };
        let Some(mut packet) = Packet::parse(body) else {
            return Step::Reject("not a DNS message");
        };
        packet.netbios = self.netbios;
        let failed = !packet.sound && !short;
        if !packet.begun() {
            if !failed || !message::plausible_start(body) || !packet.response {
                return Step::Reject("not a DNS message");
            }
            let fields = packet.failed();
            let known = self.awaited(packet.id, out);
            Self::by_id(known, fields, out);
            return Step::Consume(total as u64);
        }
        let kind = if packet.response { Kind::Response } else { Kind::Request };
        let (first, further) = packet.asked();
        for (place, question) in first.iter().chain(&further).enumerate() {
            let key = u64::from(packet.id) | (place as u64) << 16 | question.hash << 24;
            let mut fields = match packet.response {
                true if out.is_awaited(key) => packet.answer(None),
                true => packet.answer(Some(*question)),
                false => packet.ask(question),
            };
            if failed && (fields.status == Status::Ok || !packet.response) {
                fields.status = Status::ParseFailed;
                fields.exception = message::MALFORMED.into();
            }
            if !packet.response
                && let Some(recent) = self.recent.get_mut(self.next % RECENT)
            {
                *recent = (packet.id, key);
                self.next = (self.next + 1) % RECENT;
            }
            out.emit(Message::of(kind, fields).keyed(key).truncated(short && !packet.sound));
        }
        if first.is_none() && packet.response {
            if self.netbios {
                // Its answers never repeat the question.
                let known = self.awaited(packet.id, out);
                let fields = if known.is_some() { packet.answer(None) } else { packet.answer_of_owner() };
                Self::by_id(known, fields, out);
            } else {
                let fields = packet.announcement();
                out.emit(Message::of(Kind::OneWay, fields).truncated(short && !packet.sound));
            }
        }
        Step::Consume(total as u64)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        if self.framed {
            bytes.split_first_chunk::<2>().is_some_and(|(length, rest)| {
                usize::from(u16::from_be_bytes(*length)) >= rest.len()
                    && Packet::parse(rest).is_some_and(|packet| packet.is_dns() && packet.begun())
            })
        } else {
            true
        }
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}

impl Dns {
    /// The question with this id that is not answered yet.
    fn awaited(&self, id: u16, out: &Output<'_>) -> Option<u64> {
        self.recent.iter().find(|(other, key)| *other == id && out.is_awaited(*key)).map(|(_, key)| *key)
    }

    /// An answer without a question: its id alone tells what was asked.
    fn by_id(known: Option<u64>, fields: Box<RequestFields>, out: &mut Output<'_>) {
        let kind = if known.is_some() { Kind::Response } else { Kind::OneWay };
        let mut message = Message::of(kind, fields);
        message.key = known;
        out.emit(message);
    }
}
