//! MongoDB wire protocol: OP_MSG, and OP_QUERY/OP_REPLY and the like of old clients. Paired by request id.

mod bson;
mod message;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use ahash::AHashMap;
use message::Head;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "mongodb",
    ports: &[27017, 27018, 27019],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(MongoDb::default()),
};

/// Bytes of a message looked at.
const WINDOW: usize = 4096;
/// The same of a compressed one, as Zstandard says nothing before its block is whole.
const PACKED_WINDOW: usize = 48 * 1024;
/// Requests remembered that may have several replies.
const REMEMBERED: usize = 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    if first.bytes.len() < 16 {
        let code = first.bytes.get(12..).is_none_or(|code| code.is_empty() || message::is_opcode(code[0], code.get(1)));
        let length = first.bytes.get(3).is_none_or(|high| *high <= 3);
        return if !first.whole && code && length { Detection::More } else { Detection::No };
    }
    let Some(head) = Head::parse(first.bytes) else {
        return Detection::No;
    };
    let from = if head.response_to != 0 { Side::Server } else { Side::Client };
    Detection::Yes { confidence: 85, from: Some(from) }
}

/// Requests that allow several replies (`exhaustAllowed`), by the id that the next reply answers: their own, then that of the reply before.
#[derive(Debug, Default)]
struct MongoDb {
    streams: AHashMap<u32, Asked>,
}

/// What replies behind the first one repeat of their request.
#[derive(Clone, Debug)]
struct Asked {
    command: Box<str>,
    database: Box<str>,
    collection: Box<str>,
    /// One of the replies was seen.
    answered: bool,
}

impl Parser for MongoDb {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < 16 {
            return Step::More(16);
        }
        let Some(head) = Head::parse(input.bytes) else {
            return Step::Reject("not a message of MongoDB");
        };
        let window = if head.is_compressed() { PACKED_WINDOW } else { WINDOW };
        let wanted = (head.length as usize).min(window);
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let body = input.bytes.get(16..).unwrap_or_default();
        let body = body.get(..(head.length as usize).saturating_sub(16)).unwrap_or(body);
        let cut = input.bytes.len() < wanted;
        let length = u64::from(head.length);
        let plain;
        let (head, body, packing) = match head.unpacked(body, WINDOW) {
            Some((inner, bytes, packing)) => {
                plain = bytes;
                (inner, plain.as_slice(), packing)
            }
            None => (head, body, ""),
        };
        let mut message = match side {
            Side::Client => self.request(&head, body, out),
            Side::Server => self.response(&head, body),
        };
        if !packing.is_empty() && side == Side::Client {
            message.fields.attributes.push(("compressed", packing.into()));
        }
        out.emit(message.truncated(cut));
        Step::Consume(length)
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_some_and(|head| (head.response_to == 0) == (side == Side::Client))
    }

    fn lost(&mut self, side: Side, _out: &mut Output<'_>) {
        if side == Side::Server {
            self.streams.clear();
        }
    }
}

impl MongoDb {
    fn request(&mut self, head: &Head, body: &[u8], out: &mut Output<'_>) -> Message {
        let (fields, flags) = message::request(head, body, out.mask);
        if flags & message::EXHAUST_ALLOWED != 0 && self.streams.len() < REMEMBERED {
            let asked = Asked {
                command: fields.request_type.clone(),
                database: fields.request_domain.clone(),
                collection: fields.endpoint.clone(),
                answered: false,
            };
            self.streams.insert(head.id, asked);
        }
        let kind = if flags & message::MORE_TO_COME != 0 { Kind::OneWay } else { Kind::Request };
        Message::new(kind, fields).keyed(u64::from(head.id))
    }

    /// The first reply answers; those that follow unasked are rows of their own.
    fn response(&mut self, head: &Head, body: &[u8]) -> Message {
        let (mut fields, flags) = message::response(head, body);
        let asked = self.streams.remove(&head.response_to);
        if let Some(asked) = &asked
            && flags & message::MORE_TO_COME != 0
        {
            self.streams.insert(head.id, Asked { answered: true, ..asked.clone() });
        }
        match asked.filter(|asked| asked.answered) {
            Some(Asked { command, database, collection, .. }) => {
                (fields.request_type, fields.request_domain, fields.endpoint) = (command, database, collection);
                fields.session_id = Some(u64::from(head.id));
                fields.attributes.push(("exhaust", "true".into()));
                Message::new(Kind::OneWay, fields)
            }
            None => Message::new(Kind::Response, fields).keyed(u64::from(head.response_to)),
        }
    }
}
