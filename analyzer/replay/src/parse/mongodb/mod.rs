//! MongoDB wire protocol: OP_MSG, and OP_QUERY/OP_REPLY and the like of old clients. Paired by request id.

mod bson;
mod message;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::Head;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "mongodb",
    ports: &[27017, 27018, 27019],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(MongoDb),
};

/// Bytes of a message looked at.
const WINDOW: usize = 4096;

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

#[derive(Debug)]
struct MongoDb;

impl Parser for MongoDb {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < 16 {
            return Step::More(16);
        }
        let Some(head) = Head::parse(input.bytes) else {
            return Step::Reject("not a message of MongoDB");
        };
        let wanted = (head.length as usize).min(WINDOW);
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let body = input.bytes.get(16..).unwrap_or_default();
        let body = body.get(..(head.length as usize).saturating_sub(16)).unwrap_or(body);
        let cut = input.bytes.len() < wanted;
        match side {
            Side::Client => {
                let (fields, one_way) = message::request(&head, body, out.mask);
                let kind = if one_way { Kind::OneWay } else { Kind::Request };
                out.emit(Message::new(kind, fields).keyed(u64::from(head.id)).truncated(cut));
            }
            Side::Server => {
                let fields = message::response(&head, body);
                out.emit(Message::new(Kind::Response, fields).keyed(u64::from(head.response_to)).truncated(cut));
            }
        }
        Step::Consume(u64::from(head.length))
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_some_and(|head| (head.response_to == 0) == (side == Side::Client))
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
