//! Cassandra's CQL binary protocol, versions 1 to 4 and the first frames of 5 (which then wraps frames in others that are
//! not read). Paired by stream id.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::mask::Secret;
use super::sql::{self, Dialect};
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};
use ahash::AHashMap;
use message::Head;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "cassandra",
    ports: &[9042],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Cassandra::default()),
};

/// Bytes of a frame looked at.
const WINDOW: usize = sql::STATEMENT_LIMIT + 16;
/// Prepared statements remembered, and those being prepared.
const REMEMBERED: usize = 4096;
/// Longest id of a prepared statement.
const ID_LIMIT: usize = 64;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let Some(version) = first.bytes.first() else {
        return Detection::No;
    };
    if !(1..=5).contains(&(version & 0x7f)) {
        return Detection::No;
    }
    let size = Head::size(*version);
    if first.bytes.len() < size {
        let flags = first.bytes.get(1).is_none_or(|flags| flags & 0xe0 == 0);
        return if flags && !first.whole { Detection::More } else { Detection::No };
    }
    let Some(head) = Head::parse(first.bytes) else {
        return Detection::No;
    };
    let body = first.bytes.get(size..).unwrap_or_default();
    let mut cursor = Cursor::new(body);
    let exact = head.total() == first.bytes.len() as u64;
    let printable = |text: &[u8]| text.iter().take(16).all(|byte| (0x20..0x7f).contains(byte) || *byte >= 0x80);
    let confidence = match head.name() {
        "STARTUP" if body.windows(11).take(64).any(|window| window == b"CQL_VERSION") => 92,
        "STARTUP" if !first.whole && !exact => return Detection::More,
        "OPTIONS" if head.total() == size as u64 => 70,
        "QUERY" | "PREPARE" => match message::long(&mut cursor) {
            Some(text) if text.len() >= 6 && printable(text) => 80,
            _ if !first.whole && body.len() < 10 => return Detection::More,
            _ => return Detection::No,
        },
        // Empty, or with a kind of small numbers.
        "READY" if head.total() == size as u64 => 55,
        "RESULT" if matches!(body.get(..4), Some([0, 0, 0, 1..=5])) => 60,
        "SUPPORTED" | "AUTHENTICATE" | "EXECUTE" | "REGISTER" | "BATCH" if exact => 40,
        _ => return Detection::No,
    };
    let side = if head.is_response { Side::Server } else { Side::Client };
    Detection::Yes { confidence, from: Some(side) }
}

#[derive(Debug, Clone, Default)]
struct Prepared {
    text: Box<str>,
    endpoint: Box<str>,
}

#[derive(Debug, Default)]
struct Cassandra {
    /// By stream: what is being prepared.
    preparing: AHashMap<u16, Prepared>,
    /// By id.
    prepared: AHashMap<Box<[u8]>, Prepared>,
}

impl Parser for Cassandra {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let size = input.bytes.first().map_or(9, |first| Head::size(*first));
        if input.bytes.len() < size {
            return Step::More(size);
        }
        let Some(head) = Head::parse(input.bytes).filter(|head| head.is_response == (side == Side::Server)) else {
            return Step::Reject("not a frame of CQL");
        };
        let wanted = usize::try_from(head.total()).map_or(WINDOW, |total| total.min(WINDOW));
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let body = head.body(input.bytes.get(size..wanted.min(input.bytes.len())).unwrap_or_default());
        let message = match side {
            Side::Client => Message::new(Kind::Request, self.request(head, body, out)),
            Side::Server if head.opcode == message::EVENT => Message::new(Kind::OneWay, head.fields()),
            Side::Server => Message::new(Kind::Response, self.response(head, body, out)),
        };
        out.emit(message.keyed(u64::from(head.stream)).truncated(input.bytes.len() < wanted));
        Step::Consume(head.total())
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_some_and(|head| head.is_response == (side == Side::Server))
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {
        self.preparing.clear();
    }
}

impl Cassandra {
    fn request(&mut self, head: Head, body: &[u8], out: &mut Output<'_>) -> RequestFields {
        let mut fields = head.fields();
        if head.is_compressed() {
            fields.attributes.push(("compressed", "true".into()));
        }
        let mut cursor = Cursor::new(body);
        match head.opcode {
            message::QUERY | message::PREPARE => {
                let text = message::long(&mut cursor).unwrap_or_default();
                statement(text, &mut fields, out);
                if head.opcode == message::PREPARE && self.preparing.len() < REMEMBERED {
                    let (text, endpoint) = (fields.request_resource.clone(), fields.endpoint.clone());
                    self.preparing.insert(head.stream, Prepared { text, endpoint });
                }
            }
            message::EXECUTE => self.known(message::short(&mut cursor).unwrap_or_default(), &mut fields),
            message::BATCH => {
                if let Some((first, count)) = message::batch(body) {
                    match first {
                        message::First::Text(text) => statement(text, &mut fields, out),
                        message::First::Prepared(id) => self.known(id, &mut fields),
                    }
                    fields.attributes.push(("statements", count.to_string().into()));
                }
            }
            message::AUTH_RESPONSE if !out.mask.shows() => out.mask.hid(Secret::Login, 1),
            _ => {}
        }
        fields
    }

    fn known(&self, id: &[u8], fields: &mut RequestFields) {
        if let Some(prepared) = self.prepared.get(id) {
            fields.request_resource = prepared.text.clone();
            fields.endpoint = prepared.endpoint.clone();
        }
    }

    fn response(&mut self, head: Head, body: &[u8], out: &mut Output<'_>) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "cassandra", status: Status::Ok, ..RequestFields::default() };
        let preparing = self.preparing.remove(&head.stream);
        match head.opcode {
            message::ERROR => {
                message::error(body, &mut fields);
                fields.exception = out.mask.quoted(std::mem::take(&mut fields.exception), '\'');
            }
            message::RESULT => {
                if let (Some(statement), Some(id)) = (preparing, message::prepared(body))
                    && id.len() <= ID_LIMIT
                    && self.prepared.len() < REMEMBERED
                {
                    self.prepared.insert(id.into(), statement);
                }
            }
            _ => fields.result = head.name().into(),
        }
        fields
    }
}

fn statement(text: &[u8], fields: &mut RequestFields, out: &mut Output<'_>) {
    let text = text.get(..sql::STATEMENT_LIMIT).unwrap_or(text);
    sql::statement(text, Dialect::PostgreSql, out.mask).fill(fields);
}
