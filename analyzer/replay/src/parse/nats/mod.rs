//! NATS client protocol: lines of text, payloads counted. A publication with a reply subject is answered by the message
//! on that subject.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::mask::Secret;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{RequestFields, Side, Status, Transport};
use ahash::{AHashMap, AHashSet};
use message::Line;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "nats",
    ports: &[4222, 6222],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Nats::default()),
};

/// Longest control line; INFO and CONNECT are JSON.
const LINE_LIMIT: usize = 32 * 1024;
/// Headers of a message looked at.
const HEADER_WINDOW: usize = 1024;
/// Bytes of an answer looked at for what JetStream says of errors.
const ANSWER_WINDOW: usize = 512;
/// Reply subjects remembered.
const REMEMBERED: usize = 8192;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    let yes = |confidence, side| Detection::Yes { confidence, from: side };
    if bytes.starts_with(b"INFO {") {
        return yes(92, Some(Side::Server));
    }
    if bytes.starts_with(b"CONNECT {") {
        return yes(92, Some(Side::Client));
    }
    if b"INFO {".starts_with(bytes) || b"CONNECT {".starts_with(bytes) {
        return Detection::More;
    }
    let window = bytes.get(..1024).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return Detection::No;
    };
    let line = window.get(..end).unwrap_or_default().trim_ascii_end();
    match Line::parse(line) {
        Some(line) if line.sized => yes(85, Some(line.side)),
        Some(line) if line.verb == "SUB" => yes(70, Some(line.side)),
        Some(line) if line.verb == "-ERR" || line.verb == "UNSUB" => yes(45, Some(line.side)),
        // Redis has a `PING` too: at the port of either it is that one's.
        Some(_) => yes(35, None),
        None => Detection::No,
    }
}

#[derive(Debug, Default)]
struct Nats {
    /// Hashes of reply subjects that an answer is awaited on.
    awaited: AHashSet<u64>,
    /// Of JetStream's consumers (by hash): reply subjects that messages were asked for on.
    pulls: AHashMap<u64, u64>,
    connecting: bool,
    verbose: bool,
}

impl Parser for Nats {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if side == Side::Client && matches!(input.bytes, [0x16, 3, ..]) {
            // INFO said that TLS is wanted.
            out.switch = Some(Switch::To("tls"));
            return Step::Consume(0);
        }
        let window = input.bytes.get(..LINE_LIMIT).unwrap_or(input.bytes);
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() >= LINE_LIMIT { Step::Reject("line too long") } else { Step::More(0) };
        };
        let text = window.get(..end).unwrap_or_default().trim_ascii_end();
        if text.is_empty() {
            return Step::Consume(end as u64 + 1);
        }
        let Some(line) = Line::parse(text) else {
            return Step::Reject("unknown operation");
        };
        let payload = if line.sized { line.total.saturating_add(2) } else { 0 };
        let body = input.bytes.get(end + 1..).unwrap_or_default();
        let mut wanted = usize::try_from(line.headers).unwrap_or_default().min(HEADER_WINDOW);
        let answers = line.verb == "MSG" && line.total > 0 && self.awaited.contains(&message::hash(line.subject));
        if answers {
            wanted = usize::try_from(line.total).unwrap_or(ANSWER_WINDOW).min(ANSWER_WINDOW);
        }
        if body.len() < wanted && !input.cut {
            return Step::More(end + 1 + wanted);
        }
        let mut fields = line.fields();
        let body = body.get(..wanted).unwrap_or(body);
        if answers {
            message::answer(body, &mut fields);
        } else {
            message::headers(body, &mut fields);
        }
        self.emit(side, &line, fields, out);
        Step::Consume(end as u64 + 1 + payload)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        bytes.contains(&b'\r') && Line::parse(line).is_some()
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}

/// Of a stream and a consumer.
fn consumer_key((stream, consumer): (&[u8], &[u8])) -> u64 {
    message::hash(stream).rotate_left(1) ^ message::hash(consumer)
}

impl Nats {
    /// A message that JetStream delivers under its own subject answers the pull of its consumer, the first one of several.
    fn delivers(&mut self, line: &Line<'_>, out: &mut Output<'_>) {
        let consumer = message::acknowledged(line.reply).map(consumer_key);
        if let Some(key) = consumer.and_then(|consumer| self.pulls.remove(&consumer))
            && self.awaited.remove(&key)
        {
            let answer = RequestFields { status: Status::Ok, ..RequestFields::default() };
            out.emit(Message::new(Kind::Response, answer).keyed(key));
        }
    }

    fn emit(&mut self, side: Side, line: &Line<'_>, fields: RequestFields, out: &mut Output<'_>) {
        let message = match line.verb {
            "PUB" | "HPUB" if !line.reply.is_empty() && self.awaited.len() < REMEMBERED => {
                let key = message::hash(line.reply);
                self.awaited.insert(key);
                if let Some(consumer) = message::pulled(line.subject).filter(|_| self.pulls.len() < REMEMBERED) {
                    self.pulls.insert(consumer_key(consumer), key);
                }
                Message::new(Kind::Request, fields).keyed(key)
            }
            "MSG" | "HMSG" => {
                let key = message::hash(line.subject);
                if self.awaited.remove(&key) {
                    let mut answer = RequestFields {
                        status: if fields.status == Status::Unknown { Status::Ok } else { fields.status },
                        code: fields.code,
                        exception: fields.exception,
                        ..RequestFields::default()
                    };
                    answer.trace_id = fields.trace_id;
                    Message::new(Kind::Response, answer).keyed(key)
                } else {
                    self.delivers(line, out);
                    Message::new(Kind::OneWay, fields)
                }
            }
            // Either side may ask whether the other lives: its own answers are keyed by who asked.
            "PING" => Message::new(Kind::Request, fields).keyed(1 + side.index() as u64),
            "PONG" => {
                let answer = RequestFields { status: Status::Ok, ..RequestFields::default() };
                Message::new(Kind::Response, answer).keyed(1 + side.other().index() as u64)
            }
            "CONNECT" => {
                self.connecting = true;
                self.verbose = memchr::memmem::find(line.subject, b"\"verbose\":true").is_some();
                if !out.mask.shows() {
                    out.mask.hid(Secret::Login, 1);
                }
                Message::new(if self.verbose { Kind::Request } else { Kind::OneWay }, fields).keyed(3)
            }
            "+OK" if self.connecting && self.verbose => {
                self.connecting = false;
                let answer = RequestFields { status: Status::Ok, ..RequestFields::default() };
                Message::new(Kind::Response, answer).keyed(3)
            }
            "+OK" => return,
            _ => Message::new(Kind::OneWay, fields),
        };
        out.emit(message);
    }
}
