//! SMTP: commands in order, also pipelined; mails as the row of the DATA that carries them; STARTTLS.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::mask::Secret;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{Completeness, Side, Transport};
use std::collections::VecDeque;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "smtp",
    ports: &[25, 465, 587, 2525],
    // Servers may take minutes to accept a mail.
    timeout: 300_000_000_000,
    detect,
    start: |_| Box::new(Smtp::default()),
};

/// Longest line of commands and replies.
const LINE_LIMIT: usize = 4096;
/// Commands that wait for a reply.
const OUTSTANDING: usize = 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let window = first.bytes.get(..512).unwrap_or(first.bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        let text = window.iter().all(|byte| (0x20..0x7f).contains(byte) || *byte == b'\r');
        let word = window.get(..4).unwrap_or(window);
        let starts = [&b"EHLO"[..], b"HELO", b"LHLO", b"MAIL", b"RCPT", b"220 ", b"220-"]
            .iter()
            .any(|start| start.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
        let wait = text && starts && !first.whole && !window.is_empty() && window.len() < 512;
        return if wait { Detection::More } else { Detection::No };
    };
    let line = window.get(..end).unwrap_or_default().trim_ascii_end();
    if let Some(confidence) = message::sure_of_command(line) {
        return Detection::Yes { confidence, from: Some(Side::Client) };
    }
    match message::sure_of_reply(line) {
        Some(confidence) => Detection::Yes { confidence, from: Some(Side::Server) },
        None => Detection::No,
    }
}

/// What the client's next bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expect {
    #[default]
    Command,
    /// DATA was said: a mail follows if the server says 354, else a command.
    Answer,
    /// Lines up to a dot.
    Mail,
    /// AUTH goes on: lines that are secrets.
    Secret,
}

#[derive(Debug, Default)]
struct Smtp {
    expect: Expect,
    /// Commands without reply.
    waiting: VecDeque<&'static str>,
    greeted: bool,
    /// First line of a reply of several lines.
    since: Option<Mark>,
    mail: Option<Mark>,
    /// Some of the mail is missing.
    torn: bool,
}

impl Parser for Smtp {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if side == Side::Client && self.expect == Expect::Answer {
            // What this is depends on a reply that may be on its way.
            if self.waiting.contains(&"DATA") && !input.cut {
                return Step::More(input.bytes.len() + 1);
            }
            // The reply is lost: what comes tells which it was.
            let line = input.bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let refused = message::sure_of_command(line).is_some();
            self.expect = if refused { Expect::Command } else { Expect::Mail };
        }
        if side == Side::Client && self.expect == Expect::Mail {
            return self.mail(input, out);
        }
        let window = input.bytes.get(..LINE_LIMIT).unwrap_or(input.bytes);
        let Some(end) = memchr::memchr(b'\n', window) else {
            return if window.len() >= LINE_LIMIT {
                Step::Reject("line too long")
            } else {
                Step::More(input.bytes.len() + 1)
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
            Side::Client => self.expect == Expect::Mail || message::command(line).is_some(),
            Side::Server => message::reply(line).is_some(),
        }
    }

    fn lost(&mut self, side: Side, _out: &mut Output<'_>) {
        self.waiting.clear();
        self.since = None;
        match (side, self.expect) {
            // A mail goes on behind what is missing of it, and whether one comes is seen without the server's word.
            (Side::Client, Expect::Mail) => self.torn = true,
            (Side::Server, Expect::Answer | Expect::Mail) => {}
            _ => (self.expect, self.mail) = (Expect::Command, None),
        }
    }
}

impl Smtp {
    fn command(&mut self, line: &[u8], used: u64, out: &mut Output<'_>) -> Step {
        if self.expect == Expect::Secret {
            // An answer to the server's question: part of AUTH.
            self.expect = Expect::Command;
            if !out.mask.shows() {
                out.mask.hid(Secret::Login, 1);
            }
            return Step::Consume(used);
        }
        let Some((name, rest)) = message::command(line) else {
            return Step::Reject("unknown command");
        };
        let body = if name == "BDAT" { message::chunk(rest).unwrap_or_default() } else { 0 };
        if self.waiting.len() < OUTSTANDING {
            self.waiting.push_back(name);
        }
        if name == "DATA" {
            self.expect = Expect::Answer;
        }
        let fields = message::request(name, rest, out.mask);
        out.emit(Message::new(Kind::Request, fields));
        Step::Consume(used.saturating_add(body))
    }

    /// The mail is a row of its own: its answer says whether it was accepted.
    fn mail(&mut self, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let start = *self.mail.get_or_insert(out.mark);
        let bytes = input.bytes;
        // The dot that ends it stands alone on a line, which may be the first.
        let first = start.offset == out.mark.offset && bytes.starts_with(b".\r\n");
        let end = if first { Some(3) } else { memchr::memmem::find(bytes, b"\r\n.\r\n").map(|at| at + 5) };
        let Some(end) = end else {
            // The end may have begun: its first four bytes at most.
            let keep = (1..5.min(bytes.len() + 1))
                .rev()
                .find(|n| bytes.get(bytes.len() - n..).is_some_and(|tail| b"\r\n.\r\n".starts_with(tail)))
                .unwrap_or(0);
            let keep = if start.offset == out.mark.offset && bytes.len() < 3 { bytes.len() } else { keep };
            let passed = bytes.len() - keep;
            return if passed == 0 { Step::More(bytes.len() + 1) } else { Step::Consume(passed as u64) };
        };
        self.mail = None;
        self.expect = Expect::Command;
        if self.waiting.len() < OUTSTANDING {
            self.waiting.push_back("");
        }
        let mut message = Message::new(Kind::Request, message::mail()).since(start);
        if std::mem::take(&mut self.torn) {
            message.completeness.add(Completeness::GAP);
        }
        out.emit(message);
        Step::Consume(end as u64)
    }

    fn reply(&mut self, line: &[u8], used: u64, out: &mut Output<'_>) -> Step {
        let Some((code, last, text)) = message::reply(line) else {
            return Step::Reject("not a reply");
        };
        let start = *self.since.get_or_insert(out.mark);
        if !last {
            out.hold = true;
            return Step::Consume(used);
        }
        self.since = None;
        let early = code == 220 && self.waiting.front().is_some_and(|name| matches!(*name, "HELO" | "EHLO" | "LHLO"));
        if !self.greeted && (early || self.waiting.is_empty()) {
            // The greeting answers the connection; some clients do not wait for it.
            self.greeted = true;
            let mut fields = message::response(code, text);
            fields.request_type = "GREETING".into();
            out.emit(Message::new(Kind::OneWay, fields).since(start));
            return Step::Consume(used);
        }
        if code == 334 && self.waiting.front() == Some(&"AUTH") {
            self.expect = Expect::Secret;
            out.kick = true;
            return Step::Consume(used);
        }
        self.greeted = true;
        if self.torn && self.waiting.is_empty() && self.expect == Expect::Mail {
            // The server answers a mail whose end is missing.
            if let Some(start) = self.mail {
                let mut mail = Message::new(Kind::Request, message::mail()).since(start);
                mail.completeness.add(Completeness::GAP);
                mail.ends_elsewhere = true;
                out.emit(mail);
            }
            (self.expect, self.mail, self.torn) = (Expect::Command, None, false);
        }
        let name = self.waiting.pop_front();
        if name == Some("DATA") {
            self.expect = if code == 354 { Expect::Mail } else { Expect::Command };
            out.kick = true;
        }
        if name == Some("STARTTLS") && code == 220 {
            out.switch = Some(Switch::Detect);
        }
        out.emit(Message::new(Kind::Response, message::response(code, text)).since(start));
        Step::Consume(used)
    }
}
