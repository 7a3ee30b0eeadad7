//! IMAP (RFC 9051, 3501): commands by their tags, also pipelined; literals are passed over by their length; STARTTLS, IDLE.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::mask::Secret;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{Side, Transport};
use ahash::AHashMap;
use message::{Command, Reply};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "imap",
    ports: &[143, 993],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Imap::default()),
};

/// Longest line looked at in full; longer ones are passed over piece by piece.
const LINE_LIMIT: usize = 8192;
/// Commands that wait for their result.
const OUTSTANDING: usize = 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let window = first.bytes.get(..1024).unwrap_or(first.bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        let greeting = b"* OK ".get(..window.len().min(5)) == window.get(..5.min(window.len()));
        let command = Command::parse(window).is_some();
        return if !first.whole && (greeting || command) && window.len() < 1024 {
            Detection::More
        } else {
            Detection::No
        };
    };
    let line = window.get(..end).unwrap_or_default().trim_ascii_end();
    if let Some(confidence) = message::sure_of_greeting(line) {
        return Detection::Yes { confidence, from: Some(Side::Server) };
    }
    match Command::parse(line) {
        Some(command) => Detection::Yes { confidence: command.sure(), from: Some(Side::Client) },
        None => Detection::No,
    }
}

#[derive(Debug, Default)]
struct Imap {
    /// A side's line goes on behind a literal, or behind bytes that were passed over.
    inside: [bool; 2],
    /// Commands without result, by the hash of their tag.
    waiting: AHashMap<u64, &'static str>,
    greeted: bool,
    /// AUTHENTICATE or LOGIN by literals: the client's lines are secrets.
    secret: bool,
    /// IDLE: the client says DONE.
    idle: bool,
    mailbox: Box<str>,
    /// First untagged line since the last tagged one.
    since: Option<Mark>,
}

impl Parser for Imap {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let window = input.bytes.get(..LINE_LIMIT).unwrap_or(input.bytes);
        let Some(end) = memchr::memchr(b'\n', window) else {
            if window.len() < LINE_LIMIT {
                return Step::More(window.len() + 1);
            }
            let inside = std::mem::replace(&mut self.inside[side.index()], true);
            if !inside && side == Side::Client {
                return Step::Reject("line too long");
            }
            self.since.get_or_insert(out.mark);
            // Half of it stays: the length of a literal may stand at its end.
            return Step::Consume(LINE_LIMIT as u64 / 2);
        };
        let line = window.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (literal, goes_on) = match message::literal(line) {
            Some(length) => (length, true),
            None => (0, false),
        };
        let begins = !std::mem::replace(&mut self.inside[side.index()], goes_on);
        let step = Step::Consume((end as u64 + 1).saturating_add(literal));
        if !begins {
            if side == Side::Client {
                out.hold = goes_on;
            }
            return step;
        }
        match side {
            Side::Client => self.says(line, goes_on, out).map_or(step, Step::Reject),
            Side::Server => self.answers(line, out).map_or(step, Step::Reject),
        }
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        match side {
            Side::Client => Command::parse(line).is_some(),
            Side::Server => line.starts_with(b"* ") || matches!(Reply::parse(line), Some(Reply::Tagged { .. })),
        }
    }

    fn lost(&mut self, side: Side, _out: &mut Output<'_>) {
        self.inside[side.index()] = false;
        self.secret = false;
        if side == Side::Server {
            self.since = None;
        }
    }
}

impl Imap {
    /// A line of the client. `Some`: it is none.
    fn says(&mut self, line: &[u8], goes_on: bool, out: &mut Output<'_>) -> Option<&'static str> {
        if self.idle && line.eq_ignore_ascii_case(b"DONE") {
            self.idle = false;
            return None;
        }
        if self.secret {
            if !out.mask.shows() {
                out.mask.hid(Secret::Login, 1);
            }
            return None;
        }
        let Some(command) = Command::parse(line) else {
            return Some("not a command");
        };
        let key = message::hash(command.tag);
        if let Some(mailbox) = command.mailbox() {
            self.mailbox = mailbox;
        }
        self.secret = command.name == "AUTHENTICATE" && !goes_on;
        self.idle = command.name == "IDLE";
        let mut fields = command.fields(out.mask);
        fields.request_domain = self.mailbox.clone();
        if self.waiting.len() < OUTSTANDING {
            self.waiting.insert(key, command.name);
        }
        out.hold = goes_on;
        out.emit(Message::new(Kind::Request, fields).keyed(key));
        None
    }

    fn answers(&mut self, line: &[u8], out: &mut Output<'_>) -> Option<&'static str> {
        match Reply::parse(line) {
            Some(Reply::Untagged(text)) => {
                if !std::mem::replace(&mut self.greeted, true) && self.waiting.is_empty() {
                    if let Some(fields) = message::greeting(text) {
                        out.emit(Message::new(Kind::OneWay, fields));
                    }
                    return None;
                }
                if self.waiting.is_empty() {
                    // News that nobody asked for.
                    return None;
                }
                self.since.get_or_insert(out.mark);
                None
            }
            Some(Reply::Continue) => {
                self.since.get_or_insert(out.mark);
                None
            }
            Some(Reply::Tagged { tag, result, text }) => {
                let key = message::hash(tag);
                let asked = self.waiting.remove(&key);
                self.greeted = true;
                self.secret = false;
                let mut message = Message::new(Kind::Response, message::response(result, text)).keyed(key);
                if let Some(since) = self.since.take() {
                    message = message.since(since);
                }
                out.emit(message);
                if result == "OK" && asked == Some("STARTTLS") {
                    out.switch = Some(Switch::Detect);
                }
                None
            }
            None => Some("not a reply"),
        }
    }
}
