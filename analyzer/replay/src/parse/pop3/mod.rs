//! POP3 (RFC 1939, 2449, 2595, 5034): commands in order, also pipelined; listings and mails are passed over; STLS.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::mask::Secret;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{Side, Transport};
use message::Command;
use std::collections::VecDeque;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "pop3",
    ports: &[110, 995],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Pop3::default()),
};

/// Longest line of commands and of the first lines of replies.
const LINE_LIMIT: usize = 4096;
/// Commands that wait for a reply.
const OUTSTANDING: usize = 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let window = first.bytes.get(..512).unwrap_or(first.bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        let wait = !first.whole && (message::may_start(window) || window.starts_with(b"+OK ") && window.len() < 512);
        return if wait { Detection::More } else { Detection::No };
    };
    let line = window.get(..end).unwrap_or_default().trim_ascii_end();
    if let Some(confidence) = message::sure_of_greeting(line) {
        return Detection::Yes { confidence, from: Some(Side::Server) };
    }
    match message::sure_of_command(line) {
        Some(confidence) => Detection::Yes { confidence, from: Some(Side::Client) },
        None => Detection::No,
    }
}

#[derive(Debug, Default)]
struct Pop3 {
    /// Commands without reply: name, and whether lines follow a positive one.
    waiting: VecDeque<(&'static str, bool)>,
    greeted: bool,
    /// AUTH goes on: the client's next line is a secret.
    secret: bool,
    user: Box<str>,
    /// Lines up to a dot follow: where the reply began.
    lines: Option<Mark>,
}

impl Parser for Pop3 {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if side == Side::Server && self.lines.is_some() {
            return self.listing(input, out);
        }
        let window = input.bytes.get(..LINE_LIMIT).unwrap_or(input.bytes);
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() >= LINE_LIMIT {
                Step::Reject("line too long")
            } else {
                Step::More(window.len() + 1)
            };
        };
        let line = window.get(..end).unwrap_or_default().trim_ascii_end();
        let used = end as u64 + 1;
        match side {
            Side::Client => self.command(line, used, out),
            Side::Server => self.reply(line, used, out),
        }
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        match side {
            Side::Client => Command::parse(line).is_some(),
            Side::Server => message::reply(line).is_some(),
        }
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {
        self.waiting.clear();
        self.secret = false;
        self.lines = None;
    }
}

impl Pop3 {
    fn command(&mut self, line: &[u8], used: u64, out: &mut Output<'_>) -> Step {
        if std::mem::take(&mut self.secret) {
            if !out.mask.shows() {
                out.mask.hid(Secret::Login, 1);
            }
            return Step::Consume(used);
        }
        let Some(command) = Command::parse(line) else {
            return Step::Reject("unknown command");
        };
        if let Some(user) = command.user() {
            self.user = user;
        }
        if self.waiting.len() < OUTSTANDING {
            self.waiting.push_back((command.name, command.lists()));
        }
        let mut fields = command.fields(out.mask);
        fields.request_domain = self.user.clone();
        out.emit(Message::new(Kind::Request, fields));
        Step::Consume(used)
    }

    fn reply(&mut self, line: &[u8], used: u64, out: &mut Output<'_>) -> Step {
        let Some((ok, text)) = message::reply(line) else {
            // `+ challenge`: AUTH goes on.
            if line.starts_with(b"+") && self.waiting.front().is_some_and(|(name, _)| *name == "AUTH") {
                self.secret = true;
                return Step::Consume(used);
            }
            return Step::Reject("not a reply");
        };
        if !std::mem::replace(&mut self.greeted, true) && self.waiting.is_empty() {
            let mut fields = message::response(ok, text);
            fields.request_type = "GREETING".into();
            out.emit(Message::new(Kind::OneWay, fields));
            return Step::Consume(used);
        }
        let (name, lists) = self.waiting.pop_front().unwrap_or_default();
        out.emit(Message::new(Kind::Response, message::response(ok, text)));
        if ok && lists {
            self.lines = Some(out.mark);
            out.hold = true;
        }
        if ok && name == "STLS" {
            out.switch = Some(Switch::Detect);
        }
        Step::Consume(used)
    }

    /// Lines up to one with nothing but a dot; lines of the text that start with a dot have another one in front.
    fn listing(&mut self, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let bytes = input.bytes;
        out.hold = true;
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            // A long line without its end: that it is no dot is told by three bytes.
            return if bytes.len() > 3 && !bytes.ends_with(b"\r") {
                Step::Consume(bytes.len() as u64)
            } else {
                Step::More(bytes.len() + 1)
            };
        };
        let line = bytes.get(..end).unwrap_or_default();
        if matches!(line, b"." | b".\r") {
            self.lines = None;
            out.hold = false;
        }
        Step::Consume(end as u64 + 1)
    }
}
