//! Memcached: the text protocol (protocol.txt of memcached) in order, the binary one by opaque.

mod message;
mod quiet;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Transport};
use ahash::AHashMap;
use message::{Binary, Verb};
use quiet::Quiet;
use std::collections::VecDeque;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "memcached",
    ports: &[11211],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Memcached::default()),
};

/// Longest command line (a get of 250-byte keys may be long).
const LINE_LIMIT: usize = 8192;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if let [magic @ (0x80 | 0x81), rest @ ..] = bytes {
        if rest.len() < 23 {
            return if first.whole || *magic == 0x80 && rest.len() > 5 && rest[4] != 0 {
                Detection::No
            } else {
                Detection::More
            };
        }
        return match Binary::parse(bytes) {
            Some(_) => {
                Detection::Yes { confidence: 80, from: Some(if *magic == 0x80 { Side::Client } else { Side::Server }) }
            }
            None => Detection::No,
        };
    }
    let window = bytes.get(..512).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        let word = window.split(|byte| *byte == b' ').next().unwrap_or_default();
        let fits = Verb::may_start(word) && window.iter().all(|byte| (0x20..0x7f).contains(byte) || *byte == b'\r');
        return match (fits, first.whole) {
            (true, false) if window.len() < 512 => Detection::More,
            (true, true) if Verb::of(word).is_some() && window.len() > word.len() => {
                Detection::Yes { confidence: 40, from: Some(Side::Client) }
            }
            _ => Detection::No,
        };
    };
    let line = window.get(..end).unwrap_or_default();
    let Some(line) = line.strip_suffix(b"\r") else {
        return Detection::No;
    };
    if let Some(confidence) = message::sure_of_command(line) {
        return Detection::Yes { confidence, from: Some(Side::Client) };
    }
    match message::sure_of_reply(line) {
        Some(confidence) => Detection::Yes { confidence, from: Some(Side::Server) },
        None => Detection::No,
    }
}

/// What an answer is to be read as.
#[derive(Clone, Copy, Debug)]
struct Asked {
    verb: Verb,
    /// Which command of the connection it is.
    place: u64,
}

/// Commands of the binary protocol whose places are remembered.
const PLACES: usize = 4096;

#[derive(Debug, Default)]
struct Memcached {
    asked: VecDeque<Asked>,
    commands: u64,
    quiet: Quiet,
    /// Binary: places of commands, by their key.
    places: AHashMap<u64, u64>,
    since: Option<Mark>,
    values: u64,
}

impl Parser for Memcached {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if let Some(0x80 | 0x81) = input.bytes.first() {
            return self.binary(side, input, out);
        }
        let window = input.bytes.get(..LINE_LIMIT).unwrap_or(input.bytes);
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() >= LINE_LIMIT { Step::Reject("line too long") } else { Step::More(0) };
        };
        let line = window.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let used = end as u64 + 1;
        match side {
            Side::Client => self.command(line, used, out),
            Side::Server => self.reply(line, used, out),
        }
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        if bytes.first() == Some(&if side == Side::Client { 0x80 } else { 0x81 }) {
            return Binary::parse(bytes).is_some();
        }
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        match side {
            Side::Client => message::sure_of_command(line).is_some(),
            // The answer to `incr` and `decr` is a bare number.
            Side::Server => message::sure_of_reply(line).is_some() || message::is_number(line),
        }
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        if side == Side::Server && self.since.is_some() {
            // How many values there were is not known.
            let fields = RequestFields { affected_rows: None, ..message::values(self.values) };
            self.respond(fields, out);
        }
        self.asked.clear();
        self.places.clear();
        self.quiet.close(out);
    }

    fn close(&mut self, out: &mut Output<'_>) {
        self.quiet.close(out);
    }
}

impl Memcached {
    fn command(&mut self, line: &[u8], used: u64, out: &mut Output<'_>) -> Step {
        let word = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let Some(verb) = Verb::of(word) else {
            return Step::Reject("unknown command");
        };
        let Some(body) = message::body_length(verb, line) else {
            return Step::Reject("length of a value");
        };
        self.commands += 1;
        let place = self.commands;
        if message::is_quiet_meta(line) {
            self.quiet.hold(place, message::token(line), used + body, message::request(line), out);
            return Step::Consume(used + body);
        }
        let kind = if message::is_quiet(verb, line) { Kind::OneWay } else { Kind::Request };
        out.emit(Message::new(kind, message::request(line)));
        if kind == Kind::Request && self.asked.len() < 32 * 1024 {
            self.asked.push_back(Asked { verb, place });
        }
        Step::Consume(used + body)
    }

    fn reply(&mut self, line: &[u8], used: u64, out: &mut Output<'_>) -> Step {
        self.since.get_or_insert(out.mark);
        out.hold = true;
        let verb = self.asked.front().map(|asked| asked.verb);
        if message::is_meta_reply(line)
            && let Some(key) = self.quiet_reply(line, out)
        {
            out.hold = false;
            let start = self.since.take().unwrap_or(out.mark);
            let length = message::value_length(line);
            let fields = if length.is_some() { message::values(1) } else { message::reply(line) };
            out.emit(Message::new(Kind::Response, fields).keyed(key).since(start));
            return Step::Consume(used + length.map_or(0, |length| length + 2));
        }
        if let Some(length) = message::value_length(line) {
            self.values += 1;
            if line.starts_with(b"VA ") {
                // A meta command's value is the whole answer.
                let fields = message::values(1);
                self.respond(fields, out);
            }
            return Step::Consume(used + length + 2);
        }
        let many = matches!(verb, Some(Verb::Get | Verb::Stats) | None);
        if many && (line.starts_with(b"STAT ") || line.starts_with(b"ITEM ")) {
            self.values += 1;
            return Step::Consume(used);
        }
        let fields = if line == b"END" { message::values(self.values) } else { message::reply(line) };
        self.respond(fields, out);
        Step::Consume(used)
    }

    /// The quiet command that a reply of a meta command answers: that of its token, else the oldest, if it was asked before all others.
    fn quiet_reply(&mut self, line: &[u8], out: &mut Output<'_>) -> Option<u64> {
        let oldest = self.quiet.oldest()?;
        match message::token(line) {
            0 if self.asked.front().is_none_or(|asked| oldest < asked.place) && line != b"MN" => {
                self.quiet.oldest_answered(out)
            }
            0 => None,
            token => self.quiet.answered(token, out),
        }
    }

    fn respond(&mut self, fields: RequestFields, out: &mut Output<'_>) {
        if let Some(asked) = self.asked.pop_front() {
            self.quiet.passed(asked.place, out);
        }
        self.values = 0;
        out.hold = false;
        let start = self.since.take().unwrap_or(out.mark);
        out.emit(Message::new(Kind::Response, fields).since(start));
    }

    fn binary(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < 24 {
            return Step::More(24);
        }
        let Some(packet) = Binary::parse(input.bytes) else {
            return Step::Reject("not a packet of the binary protocol");
        };
        let wanted = (packet.total as usize).min(24 + 512);
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let total = u64::from(packet.total);
        let key = u64::from(packet.opaque) << 8 | u64::from(packet.opcode);
        let body = input.bytes.get(24..).unwrap_or_default();
        match side {
            Side::Client => {
                self.commands += 1;
                let fields = packet.request(body, out.mask);
                if packet.leaves() {
                    out.emit(Message::new(Kind::OneWay, fields));
                } else if packet.is_quiet() {
                    self.quiet.hold(self.commands, key, total, fields, out);
                } else {
                    if self.places.len() < PLACES {
                        self.places.insert(key, self.commands);
                    }
                    out.emit(Message::new(Kind::Request, fields).keyed(key));
                }
            }
            Side::Server if packet.is_statistic() => {
                // One of many, up to an empty one.
                self.since.get_or_insert(out.mark);
                self.values += 1;
                out.hold = true;
            }
            Side::Server => {
                let mut fields = packet.response(body);
                if let Some(place) = self.places.remove(&key) {
                    self.quiet.passed(place, out);
                }
                let key = if packet.is_quiet() { self.quiet.answered(key, out).unwrap_or(key) } else { key };
                let start = self.since.take().unwrap_or(out.mark);
                if self.values > 0 {
                    fields.affected_rows = Some(std::mem::take(&mut self.values));
                }
                out.emit(Message::new(Kind::Response, fields).keyed(key).since(start));
            }
        }
        Step::Consume(total)
    }
}
