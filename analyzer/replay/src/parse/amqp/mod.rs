//! AMQP 0-9-1 (specification of 2008): methods paired per channel; publications and deliveries stand alone, with
//! their content.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Transport};
use ahash::AHashMap;
use message::{Method, Role};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "amqp",
    ports: &[5672, 5671],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Amqp::default()),
};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// Bytes of a frame looked at.
const WINDOW: usize = 2048;
/// Channels whose content or open requests are told apart.
const CHANNELS: usize = 4096;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.starts_with(b"AMQP\0\0\x09\x01") {
        return Detection::Yes { confidence: 97, from: Some(Side::Client) };
    }
    if b"AMQP\0\0\x09\x01".starts_with(bytes) {
        return Detection::More;
    }
    let mut cursor = Cursor::new(bytes);
    let (Some(kind), Some(channel), Some(length)) = (cursor.u8(), cursor.u16(), cursor.u32()) else {
        return if bytes.len() < 7 && !first.whole && matches!(bytes, [METHOD..=BODY | HEARTBEAT, 0, ..]) {
            Detection::More
        } else {
            Detection::No
        };
    };
    let length = length as usize;
    let ended = cursor.rest().get(length).is_none_or(|end| *end == 0xce);
    let method = Method::parse(cursor.rest());
    match kind {
        METHOD if (4..0x10_0000).contains(&length) && ended => match method {
            Some(method) => Detection::Yes { confidence: 82, from: method.sender() },
            None if cursor.rest().len() < 4 && !first.whole => Detection::More,
            None => Detection::No,
        },
        HEARTBEAT if channel == 0 && length == 0 && ended => Detection::Yes { confidence: 55, from: None },
        _ => Detection::No,
    }
}

/// A publication or delivery whose content is still coming.
#[derive(Debug)]
struct Content {
    start: Mark,
    fields: RequestFields,
    kind: Kind,
    key: u64,
    bytes: u64,
    left: Option<u64>,
}

#[derive(Debug, Default)]
struct Amqp {
    contents: [AHashMap<u16, Content>; 2],
    /// Requests open per channel, by who asked.
    open: AHashMap<(u16, Side), u32>,
    vhost: Box<str>,
}

impl Parser for Amqp {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.first() == Some(&b'A') {
            return match input.bytes.get(..8) {
                Some(b"AMQP\0\0\x09\x01") => Step::Consume(8),
                Some(_) => Step::Reject("another version"),
                None => Step::More(8),
            };
        }
        let mut cursor = Cursor::new(input.bytes);
        let (Some(kind), Some(channel), Some(length)) = (cursor.u8(), cursor.u16(), cursor.u32()) else {
            return Step::More(7);
        };
        if !matches!(kind, METHOD | HEADER | BODY | HEARTBEAT) || length > 0x1000_0000 {
            return Step::Reject("not a frame");
        }
        let length = length as usize;
        let wanted = if kind == BODY { 0 } else { length.min(WINDOW) };
        if cursor.rest().len() < wanted && !input.cut {
            return Step::More(wanted + 7);
        }
        let body = cursor.up_to(length);
        let total = length as u64 + 8;
        match kind {
            METHOD => match Method::parse(body) {
                Some(method) => self.method(side, channel, &method, total, out),
                None => return Step::Reject("unknown method"),
            },
            HEADER => self.header(side, channel, body, total, out),
            BODY => self.body(side, channel, length as u64, total, out),
            _ => {}
        }
        Step::Consume(total)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        let mut cursor = Cursor::new(bytes);
        let (Some(kind), Some(_), Some(length)) = (cursor.u8(), cursor.u16(), cursor.u32()) else {
            return false;
        };
        kind == METHOD && length < 0x10_0000 && Method::parse(cursor.rest()).is_some()
    }

    /// Contents whose other frames are missing go on until the next one that is found.
    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        let mut contents: Vec<(u16, Content)> = self.contents[side.index()].drain().collect();
        contents.sort_by_key(|(channel, content)| (content.start.offset, *channel));
        for (_, content) in contents {
            let mut message = Message::new(content.kind, content.fields).since(content.start).truncated(true);
            if content.kind == Kind::Response {
                message.key = Some(content.key);
            }
            out.emit(message);
        }
    }
}

fn key(channel: u16, asker: Side) -> u64 {
    u64::from(channel) | (asker.index() as u64) << 16
}

impl Amqp {
    fn method(&mut self, side: Side, channel: u16, method: &Method<'_>, total: u64, out: &mut Output<'_>) {
        if let Some(vhost) = method.vhost() {
            self.vhost = vhost;
        }
        let mut fields = method.fields(&self.vhost, out.mask);
        fields.session_id = Some(u64::from(channel));
        match method.role() {
            Role::Asks => {
                // Close in place of an answer: what was asked has failed.
                if method.closes() && method.failed() {
                    let open = self.open.remove(&(channel, side.other())).unwrap_or_default();
                    for _ in 0..open.min(64) {
                        let answer = RequestFields {
                            status: fields.status,
                            code: fields.code,
                            exception: fields.exception.clone(),
                            ..RequestFields::default()
                        };
                        out.emit(Message::new(Kind::Response, answer).keyed(key(channel, side.other())));
                    }
                    fields.is_async = false;
                }
                if self.open.len() < CHANNELS {
                    *self.open.entry((channel, side)).or_default() += 1;
                }
                out.emit(Message::new(Kind::Request, fields).keyed(key(channel, side)));
            }
            Role::Answers | Role::AnswersWithContent => {
                if let Some(open) = self.open.get_mut(&(channel, side.other())) {
                    *open = open.saturating_sub(1);
                }
                let answer = method.answer();
                if matches!(method.role(), Role::Answers) {
                    out.emit(Message::new(Kind::Response, answer).keyed(key(channel, side.other())));
                } else {
                    self.content(side, channel, answer, Kind::Response, total, out.mark);
                }
            }
            Role::Content => self.content(side, channel, fields, Kind::OneWay, total, out.mark),
            Role::Alone => out.emit(Message::new(Kind::OneWay, fields)),
        }
    }

    fn content(&mut self, side: Side, channel: u16, fields: RequestFields, kind: Kind, bytes: u64, start: Mark) {
        if self.contents[side.index()].len() < CHANNELS {
            let content = Content { start, fields, kind, key: key(channel, side.other()), bytes, left: None };
            self.contents[side.index()].insert(channel, content);
        }
    }

    fn header(&mut self, side: Side, channel: u16, body: &[u8], total: u64, out: &mut Output<'_>) {
        let Some(content) = self.contents[side.index()].get_mut(&channel) else {
            return;
        };
        content.bytes += total;
        let size = message::content_header(body, &mut content.fields);
        content.left = Some(size);
        if size == 0 {
            self.done(side, channel, out);
        }
    }

    fn body(&mut self, side: Side, channel: u16, len: u64, total: u64, out: &mut Output<'_>) {
        let Some(content) = self.contents[side.index()].get_mut(&channel) else {
            return;
        };
        content.bytes += total;
        let left = content.left.unwrap_or_default().saturating_sub(len);
        content.left = Some(left);
        if left == 0 {
            self.done(side, channel, out);
        }
    }

    fn done(&mut self, side: Side, channel: u16, out: &mut Output<'_>) {
        if let Some(content) = self.contents[side.index()].remove(&channel) {
            let mut message = Message::new(content.kind, content.fields).since(content.start);
            if content.kind == Kind::Response {
                message.key = Some(content.key);
            }
            message.bytes = Some(content.bytes);
            out.emit(message);
        }
    }
}
