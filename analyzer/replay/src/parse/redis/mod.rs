//! Redis: RESP2 and RESP3, arrays and inline commands, pipelining, pushes, MULTI.
//!
//! Commands and replies are read element by element, so that a reply of any size needs no buffer, and a value of any
//! length is passed over by counting.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};
use message::{Command, Push, Replies, Reply};
use std::collections::VecDeque;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "redis",
    ports: &[6379, 6380, 26379, 16379],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Redis::default()),
};

/// Longest line that is waited for.
const LINE_LIMIT: usize = 16 * 1024;
/// Nesting of aggregates in a reply.
const DEPTH_LIMIT: usize = 32;
/// Elements of an aggregate whose number is not told in advance (RESP3's streamed types): a point ends it.
const STREAMED: u64 = u64::MAX >> 1;
/// Marks the number of elements of attributes, which are no part of the reply that they precede.
const ATTRIBUTES: u64 = 1 << 63;
/// Bytes of a bulk string that are kept of a command, if they come.
const KEEP: usize = 256;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    let line = memchr::memchr(b'\n', bytes.get(..64).unwrap_or(bytes));
    let yes = |confidence, from| Detection::Yes { confidence, from };
    let Some((kind, rest)) = bytes.split_first() else {
        return Detection::More;
    };
    let Some(end) = line else {
        let fits = match kind {
            b'*' | b'$' | b':' => {
                bytes.len() < 16 && rest.iter().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'\r'))
            }
            b'+' | b'-' => bytes.len() < 64 && rest.iter().all(|b| (0x20..0x7f).contains(b) || *b == b'\r'),
            b'P' | b'p' => b"PING\r".starts_with(&bytes.to_ascii_uppercase()),
            _ => false,
        };
        return if fits && !first.whole {
            Detection::More
        } else if fits && rest.len() > 3 {
            yes(30, None)
        } else {
            Detection::No
        };
    };
    if bytes.get(end.wrapping_sub(1)) != Some(&b'\r') {
        return Detection::No;
    }
    let body = rest.get(..end.saturating_sub(2)).unwrap_or_default();
    let number = message::integer(body);
    let after = bytes.get(end + 1..).unwrap_or_default();
    match kind {
        // A command is an array of bulk strings, as replies may be; a word in front tells commands.
        b'*' => match (number, after) {
            (Some(-1), []) => yes(70, Some(Side::Server)),
            (Some(0), []) => yes(60, None),
            (Some(1..=1_048_576), [b'$', ..]) => match message::first_word(after) {
                Some(Some(true)) => yes(92, Some(Side::Client)),
                Some(Some(false)) => yes(80, None),
                Some(None) => Detection::No,
                None if first.whole => yes(60, None),
                None => Detection::More,
            },
            (Some(1..=1_048_576), [b'*' | b':' | b'+' | b'-' | b'_' | b'%', ..]) => yes(75, Some(Side::Server)),
            (Some(1..=1_048_576), []) if first.whole => yes(55, None),
            (Some(1..=1_048_576), []) => Detection::More,
            _ => Detection::No,
        },
        b'$' => match number {
            Some(-1) if after.is_empty() => yes(75, Some(Side::Server)),
            Some(0..=536_870_912) => yes(70, Some(Side::Server)),
            _ => Detection::No,
        },
        b'%' | b'~' | b'>' if number.is_some_and(|n| n >= 0) && matches!(after, [] | [b'+' | b'$' | b':', ..]) => {
            yes(75, Some(Side::Server))
        }
        b':' if number.is_some() && after.is_empty() => yes(70, Some(Side::Server)),
        b'_' if body.is_empty() && after.is_empty() => yes(60, Some(Side::Server)),
        b'+' => match body {
            b"OK" if after.is_empty() => yes(45, Some(Side::Server)),
            b"PONG" | b"QUEUED" | b"FULLRESYNC" => yes(85, Some(Side::Server)),
            _ => yes(25, Some(Side::Server)),
        },
        b'-' if message::is_error(body) => yes(75, Some(Side::Server)),
        b'P' | b'p' if bytes.eq_ignore_ascii_case(b"PING\r\n") => yes(60, Some(Side::Client)),
        _ => message::inline_guess(bytes, end),
    }
}

/// A command or reply that is being read.
#[derive(Debug, Default)]
struct Reading {
    /// Elements still to come, per level.
    levels: Vec<u64>,
    start: Option<Mark>,
    /// Length of a bulk string whose bytes come next.
    bulk: Option<u64>,
    /// They are a part of a string in parts.
    in_parts: bool,
}

impl Reading {
    /// Whether what comes is the reply itself, not its attributes.
    fn is_noted(&self) -> bool {
        self.levels.iter().all(|count| count & ATTRIBUTES == 0)
    }
}

#[derive(Debug, Default)]
struct Redis {
    reading: [Reading; 2],
    command: Command,
    reply: Reply,
    /// What was asked, oldest first, as far as it matters for the replies.
    asked: VecDeque<message::Asked>,
    resp3: bool,
    subscribed: bool,
    /// MONITOR: the server tells what all clients ask.
    monitoring: bool,
    /// CLIENT REPLY OFF: the server does not answer.
    mute: bool,
    /// CLIENT REPLY SKIP: it does not answer the next command.
    skip: bool,
    /// After PSYNC the connection carries a snapshot and then commands from the server.
    replicating: bool,
}

impl Parser for Redis {
    /// All elements in view of one command or reply are one step.
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let mut used = 0;
        loop {
            let rest = input.bytes.get(used..).unwrap_or_default();
            let step = self.step(side, Input { bytes: rest, cut: input.cut }, out);
            match step {
                Step::Consume(n) if out.hold && out.messages.is_empty() && n < rest.len() as u64 => used += n as usize,
                Step::Consume(n) => return Step::Consume(n.saturating_add(used as u64)),
                _ if used > 0 => {
                    // The driver asks again, for the rest.
                    out.hold = true;
                    return Step::Consume(used as u64);
                }
                step => return step,
            }
        }
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        match side {
            Side::Client => matches!(bytes, [b'*', b'1'..=b'9', ..]),
            Side::Server => {
                matches!(bytes, [b'+' | b'-' | b':' | b'$' | b'*' | b'%' | b'~' | b'_' | b'#' | b',' | b'>', ..])
                    && memchr::memmem::find(bytes.get(..LINE_LIMIT).unwrap_or(bytes), b"\r\n").is_some()
            }
        }
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        let reading = std::mem::take(&mut self.reading[side.index()]);
        match side {
            Side::Client => self.command.clear(),
            Side::Server => {
                let reply = std::mem::take(&mut self.reply);
                if let Some(start) = reading.start
                    && reply.has_begun()
                    && !self.asked.is_empty()
                {
                    self.answered(reply, start, true, out);
                }
            }
        }
        self.asked.clear();
    }
}

impl Redis {
    fn step(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if self.replicating {
            return Step::Consume(u64::MAX);
        }
        if let Some(len) = self.reading[side.index()].bulk {
            return self.bulk(side, len, input, out);
        }
        let window = input.bytes.get(..LINE_LIMIT).unwrap_or(input.bytes);
        let Some(end) = memchr::memchr(b'\n', window) else {
            if window.len() == LINE_LIMIT {
                return Step::Reject("line too long");
            }
            if input.cut && side == Side::Client && self.reading[0].levels.is_empty() && !window.is_empty() {
                return Step::Lose;
            }
            return Step::More(0);
        };
        let line = window.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let used = end as u64 + 1;
        self.line(side, line, used, out)
    }

    /// A line: a type byte and a value, or an inline command.
    fn line(&mut self, side: Side, line: &[u8], used: u64, out: &mut Output<'_>) -> Step {
        let reading = &mut self.reading[side.index()];
        let begins = reading.levels.is_empty();
        if begins {
            // A reply begins with its attributes.
            reading.start.get_or_insert(out.mark);
        }
        let noted = reading.is_noted();
        let Some((kind, value)) = line.split_first() else {
            // Empty lines between commands are ignored by the server.
            return if begins && side == Side::Client { Step::Consume(used) } else { Step::Reject("empty line") };
        };
        let number = message::integer(value);
        out.hold = true;
        if side == Side::Server && matches!((kind, value), (b';' | b'.', _) | (_, b"?")) {
            return self.streamed(begins, *kind, value, used, out);
        }
        match kind {
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let Some(count) = number.filter(|n| (-1..=1 << 32).contains(n)) else {
                    return Step::Reject("length of an aggregate");
                };
                let doubled = matches!(kind, b'%' | b'|');
                let count = u64::try_from(count).unwrap_or(0) * if doubled { 2 } else { 1 };
                self.resp3 |= *kind != b'*';
                if reading.levels.len() >= DEPTH_LIMIT {
                    return Step::Reject("nested too deeply");
                }
                if side == Side::Client && (*kind != b'*' || !begins) {
                    return Step::Reject("a command is an array of strings");
                }
                if *kind == b'|' {
                    if count > 0 {
                        reading.levels.push(count | ATTRIBUTES);
                    }
                    return Step::Consume(used);
                }
                if side == Side::Server && noted {
                    self.reply.aggregate(begins, *kind, count, number == Some(-1));
                }
                if count > 0 {
                    reading.levels.push(count);
                    return Step::Consume(used);
                }
                if side == Side::Client {
                    out.hold = false;
                    return Step::Consume(used);
                }
            }
            b'$' | b'=' | b'!' => {
                self.resp3 |= *kind != b'$';
                match number {
                    Some(-1) if side == Side::Server && !noted => {}
                    Some(-1) if side == Side::Server => self.reply.scalar(begins, b'_', b""),
                    Some(len @ 0..=0x4000_0000) => {
                        if side == Side::Client && begins {
                            return Step::Reject("a command is an array");
                        }
                        if side == Side::Server {
                            self.reply.bulk_kind = *kind;
                        }
                        reading.bulk = u64::try_from(len).ok();
                        return Step::Consume(used);
                    }
                    _ => return Step::Reject("length of a string"),
                }
            }
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' if side == Side::Server => {
                self.resp3 |= matches!(kind, b'_' | b'#' | b',' | b'(');
                if matches!(kind, b':') && number.is_none() {
                    return Step::Reject("not a number");
                }
                if noted {
                    self.reply.scalar(begins, *kind, value);
                }
            }
            _ if side == Side::Client && begins => {
                let Some(command) = Command::inline(line) else {
                    return Step::Reject("not a command");
                };
                self.command = command;
            }
            _ => return Step::Reject("unknown type"),
        }
        self.element(side, out);
        Step::Consume(used)
    }

    /// RESP3's streamed types: `$?` and parts that each tell their length, `;0` the last; `*?` and others with elements up to `.`.
    fn streamed(&mut self, begins: bool, kind: u8, value: &[u8], used: u64, out: &mut Output<'_>) -> Step {
        let reading = &mut self.reading[Side::Server.index()];
        let is_open = reading.levels.last() == Some(&STREAMED);
        match (kind, message::integer(value)) {
            (b'*' | b'~' | b'%', None) if reading.levels.len() < DEPTH_LIMIT => {
                if reading.is_noted() {
                    self.reply.aggregate(begins, kind, 0, false);
                }
                reading.levels.push(STREAMED);
            }
            (b'$', None) => reading.in_parts = true,
            (b';', Some(len @ 1..=0x4000_0000)) if reading.in_parts => reading.bulk = u64::try_from(len).ok(),
            (b';', Some(0)) if reading.in_parts => {
                reading.in_parts = false;
                let begins = reading.levels.is_empty();
                if reading.is_noted() {
                    self.reply.scalar(begins, b'$', b"");
                }
                self.element(Side::Server, out);
            }
            (b'.', None) if is_open && value.is_empty() => {
                reading.levels.pop();
                self.element(Side::Server, out);
            }
            _ => return Step::Reject("not a streamed type"),
        }
        self.resp3 = true;
        Step::Consume(used)
    }

    /// The bytes of a bulk string, with the line end behind them.
    fn bulk(&mut self, side: Side, len: u64, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let have = usize::try_from(len).unwrap_or(usize::MAX).min(input.bytes.len());
        let wanted = usize::try_from(len).unwrap_or(usize::MAX).min(KEEP);
        if have < wanted && !input.cut {
            return Step::More(wanted);
        }
        let begins = self.reading[side.index()].levels.is_empty();
        let kept = input.bytes.get(..have.min(KEEP)).unwrap_or_default();
        match side {
            Side::Client => self.command.word(kept, len, have < wanted),
            Side::Server if self.reading[side.index()].in_parts => {
                out.hold = true;
                self.reading[side.index()].bulk = None;
                return Step::Consume(len + 2);
            }
            Side::Server if self.reading[side.index()].is_noted() => {
                let kind = self.reply.bulk_kind;
                self.reply.scalar(begins, kind, kept);
            }
            Side::Server => {}
        }
        out.hold = true;
        self.reading[side.index()].bulk = None;
        self.element(side, out);
        Step::Consume(len + 2)
    }

    /// An element is whole; perhaps the command or reply is.
    fn element(&mut self, side: Side, out: &mut Output<'_>) {
        let reading = &mut self.reading[side.index()];
        while let Some(count) = reading.levels.last_mut() {
            if *count == STREAMED {
                return;
            }
            *count -= 1;
            match *count {
                0 => drop(reading.levels.pop()),
                ATTRIBUTES => {
                    // What they belong to follows.
                    reading.levels.pop();
                    return;
                }
                _ => return,
            }
        }
        out.hold = false;
        let start = reading.start.take().unwrap_or(out.mark);
        match side {
            Side::Client => {
                self.asked_for(start, out);
            }
            Side::Server => {
                let reply = std::mem::take(&mut self.reply);
                self.answered(reply, start, false, out);
            }
        }
    }

    fn asked_for(&mut self, start: Mark, out: &mut Output<'_>) {
        let mut asked = self.command.asked();
        asked.one_way |= self.is_mute(asked.replies);
        let truncated = self.command.cut;
        let fields = self.command.fields(out.mask);
        self.command.clear();
        let kind = if asked.one_way { Kind::OneWay } else { Kind::Request };
        out.emit(Message::new(kind, fields).since(start).truncated(truncated));
        if kind == Kind::Request && self.asked.len() < 64 * 1024 {
            self.asked.push_back(asked);
        }
    }

    /// Whether the command that says `replies` gets no reply.
    fn is_mute(&mut self, replies: Option<Replies>) -> bool {
        match replies {
            Some(Replies::On) => (self.mute, self.skip) = (false, false),
            Some(Replies::Off) => self.mute = true,
            Some(Replies::Skip) if !self.mute => {
                self.skip = true;
                return true;
            }
            Some(Replies::Skip) => {}
            None => return std::mem::take(&mut self.skip) || self.mute,
        }
        self.mute
    }

    fn answered(&mut self, reply: Reply, start: Mark, truncated: bool, out: &mut Output<'_>) {
        let version = if self.resp3 { "RESP3" } else { "RESP2" };
        let asked = self.asked.front().copied();
        if self.monitoring && reply.is_monitored() {
            // What others ask is theirs to tell.
            let fields = RequestFields {
                l7_protocol: "redis",
                version,
                request_type: "MONITORED".into(),
                status: Status::Ok,
                ..RequestFields::default()
            };
            out.emit(Message::new(Kind::OneWay, fields).since(start).truncated(truncated));
            return;
        }
        match reply.push(self.subscribed) {
            Some(Push::Confirmation) if !asked.is_some_and(|asked| asked.subscribes) => {
                // SUBSCRIBE of several channels is confirmed once for each.
                return;
            }
            Some(Push::Message) => {
                out.emit(Message::new(Kind::OneWay, reply.pushed(version)).since(start).truncated(truncated));
                return;
            }
            _ => {}
        }
        self.asked.pop_front();
        if let Some(asked) = asked {
            self.subscribed |= asked.subscribes;
            self.monitoring |= asked.monitors && !reply.is_failure();
            self.resp3 |= asked.hello3 && !reply.is_failure();
            self.replicating |= asked.replicates && !reply.is_failure();
        }
        out.emit(Message::new(Kind::Response, reply.fields(version)).since(start).truncated(truncated));
    }
}
