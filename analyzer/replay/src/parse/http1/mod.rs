//! HTTP/1.0 and 1.1 (RFC 9112): heads in full, bodies skipped by length, chunks or the end of the connection.
//!
//! Pipelining, informational responses, HEAD/204/304, CONNECT and Upgrade; heads cut by a prefix limit keep what is there.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{Side, Transport};
use message::{Body, Head};
use std::collections::VecDeque;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "http",
    ports: &[80, 8080, 8000, 8081, 3128],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Http1::default()),
};

const METHODS: [&[u8]; 31] = [
    b"GET",
    b"POST",
    b"PUT",
    b"DELETE",
    b"HEAD",
    b"OPTIONS",
    b"PATCH",
    b"CONNECT",
    b"TRACE",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"REPORT",
    b"SEARCH",
    b"PURGE",
    b"NOTIFY",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"M-SEARCH",
    b"MERGE",
    b"CHECKOUT",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"BIND",
    b"LINK",
    b"UNLINK",
    b"REBIND",
];

/// Most requests whose method is remembered for their response.
const REMEMBERED: usize = 64 * 1024;
/// Longest request target looked at when a start line is recognised.
const LINE_LIMIT: usize = 16 * 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    // Empty lines may stand before a request (RFC 9112 section 2.2).
    let empty = first.bytes.iter().take(4).take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let bytes = first.bytes.get(empty..).unwrap_or_default();
    if let Some(rest) = prefix(bytes, b"HTTP/1.").filter(|_| empty == 0) {
        return match rest {
            [b'0' | b'1', b' ', b'1'..=b'5', ..] => Detection::Yes { confidence: 95, from: Some(Side::Server) },
            [] | [b'0' | b'1'] | [b'0' | b'1', b' '] => Detection::More,
            _ => Detection::No,
        };
    }
    if b"HTTP/1.".starts_with(bytes) {
        return Detection::More;
    }
    match request_line(bytes) {
        Some(Line::Whole) => Detection::Yes { confidence: 95, from: Some(Side::Client) },
        Some(Line::Start) if first.whole => Detection::Yes { confidence: 80, from: Some(Side::Client) },
        Some(Line::Simple) => Detection::Yes { confidence: 50, from: Some(Side::Client) },
        Some(_) => Detection::More,
        None => Detection::No,
    }
}

fn prefix<'a>(bytes: &'a [u8], start: &[u8]) -> Option<&'a [u8]> {
    bytes.strip_prefix(start)
}

/// How far bytes look like a request line.
#[derive(PartialEq)]
enum Line {
    /// Up to the version.
    Whole,
    /// GET and a path, and no version, as before HTTP/1.0 (RFC 1945 section 4.1).
    Simple,
    /// Method and the start of a target.
    Start,
    /// Part of a method.
    Maybe,
}

fn request_line(bytes: &[u8]) -> Option<Line> {
    let head = bytes.get(..16).unwrap_or(bytes);
    let Some(space) = memchr::memchr(b' ', head) else {
        return METHODS.iter().any(|method| method.starts_with(bytes)).then_some(Line::Maybe);
    };
    let (method, rest) = bytes.split_at_checked(space)?;
    let known = METHODS.contains(&method);
    if !known
        && (method.len() < 2 || !method.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-')))
    {
        return None;
    }
    let rest = rest.get(1..)?;
    let line = rest.get(..LINE_LIMIT).unwrap_or(rest);
    let Some(end) = memchr::memchr(b'\n', line) else {
        let plausible = match line.first() {
            None | Some(b'/' | b'*') => true,
            Some(byte) => byte.is_ascii_alphanumeric() || *byte == b'[',
        };
        // Methods that nobody knows are told by the version behind the target.
        return (known && plausible && line.len() < LINE_LIMIT).then_some(Line::Start);
    };
    let line = line.get(..end)?.trim_ascii_end();
    if method == b"GET" && is_simple(line) {
        return Some(Line::Simple);
    }
    let version = line.get(line.len().checked_sub(9)?..)?;
    matches!(version, [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1']).then_some(Line::Whole)
}

/// A target without a version behind it.
fn is_simple(target: &[u8]) -> bool {
    matches!(target.first(), Some(b'/')) && target.iter().all(u8::is_ascii_graphic)
}

/// What is expected next on one side.
#[derive(Debug, Default)]
enum Expect {
    #[default]
    Head,
    /// A chunk's size line.
    Chunk,
    /// A request of HTTP/0.9 whose line has no end, once it is answered.
    Simple,
    /// Lines up to an empty one.
    Trailers,
    /// Nothing before the answer to CONNECT or Upgrade.
    Answer,
}

/// What of a request matters for its response.
#[derive(Clone, Copy, Debug)]
struct Asked {
    head: bool,
    connect: bool,
    upgrade: bool,
    /// Of HTTP/0.9: what comes back is all body.
    simple: bool,
}

#[derive(Debug, Default)]
struct Http1 {
    expect: [Expect; 2],
    asked: VecDeque<Asked>,
    /// What the client has said last may be a request of HTTP/0.9 that lacks only the end of its line.
    maybe_simple: bool,
    /// Codes of the answers before the answer (RFC 9110 section 15.2).
    interim: Vec<u16>,
}

impl Parser for Http1 {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        match self.expect[side.index()] {
            Expect::Head | Expect::Simple => match side {
                Side::Client => self.request(input, out),
                Side::Server => self.response(input, out),
            },
            Expect::Chunk => self.chunk(side, input, out),
            Expect::Trailers => self.trailers(side, input, out),
            Expect::Answer => Step::More(0),
        }
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        match side {
            Side::Client => matches!(request_line(bytes), Some(Line::Whole | Line::Start)),
            Side::Server => bytes.starts_with(b"HTTP/1."),
        }
    }

    fn restarts(&mut self, side: Side, bytes: &[u8]) -> bool {
        let starts = match side {
            Side::Client => matches!(request_line(bytes), Some(Line::Whole)),
            Side::Server => {
                matches!(bytes, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', b'1'..=b'5', ..])
            }
        };
        if starts {
            self.expect[side.index()] = Expect::Head;
        }
        starts
    }

    fn lost(&mut self, side: Side, _out: &mut Output<'_>) {
        self.expect[side.index()] = Expect::Head;
        // Methods are matched to responses in order: after a loss the order is not known.
        self.asked.clear();
        self.interim.clear();
    }
}

impl Http1 {
    fn request(&mut self, input: Input<'_>, out: &mut Output<'_>) -> Step {
        // Some clients send an empty line before a request (RFC 9112 section 2.2).
        match input.bytes {
            [b'\r', b'\n', ..] => return Step::Consume(2),
            [b'\n', ..] => return Step::Consume(1),
            [b'\r'] => return Step::More(2),
            _ => {}
        }
        if let Some(step) = self.simple_request(input, out) {
            return step;
        }
        let Some(mut head) = Head::of_request(input.bytes, out.brief) else {
            return if request_line(input.bytes).is_none() {
                Step::Reject("not a request line")
            } else {
                Step::More(0)
            };
        };
        if head.len.is_none() && !input.cut {
            return if request_line(input.bytes).is_none() {
                Step::Reject("not a request line")
            } else {
                Step::More(0)
            };
        }
        if !METHODS.contains(&head.first) && request_line(input.bytes).is_none() && !head.is_http() {
            return Step::Reject("not a request line");
        }
        let asked = Asked {
            head: head.first == b"HEAD",
            connect: head.first == b"CONNECT",
            upgrade: head.upgrade.is_some(),
            simple: false,
        };
        self.ask(asked);
        let fields = message::request(&mut head, out.mask);
        out.emit(Message::of(Kind::Request, fields).truncated(head.len.is_none()));
        let body = head.body();
        let hold = (asked.connect || asked.upgrade) && matches!(body, Body::UntilClose | Body::Length(0));
        let Some(len) = head.len else {
            return match body {
                // The length was seen, the end of the head was not: where the body starts is unknown.
                _ if input.cut => Step::Lose,
                _ => Step::More(0),
            };
        };
        match body {
            Body::Length(length) => {
                if hold {
                    self.expect[Side::Client.index()] = Expect::Answer;
                }
                Step::Consume((len as u64).saturating_add(length))
            }
            Body::Chunked => {
                self.expect[Side::Client.index()] = Expect::Chunk;
                out.hold = true;
                Step::Consume(len as u64)
            }
            Body::UntilClose => {
                if hold {
                    self.expect[Side::Client.index()] = Expect::Answer;
                }
                Step::Consume(len as u64)
            }
        }
    }

    fn ask(&mut self, asked: Asked) {
        if self.asked.len() >= REMEMBERED {
            self.asked.pop_front();
        }
        self.asked.push_back(asked);
    }

    /// A request of HTTP/0.9: a line and nothing else. `None`: it is none.
    fn simple_request(&mut self, input: Input<'_>, out: &mut Output<'_>) -> Option<Step> {
        let target = input.bytes.strip_prefix(b"GET ")?;
        let (line, len, is_whole) = match memchr::memchr(b'\n', target) {
            Some(end) => (target.get(..end)?, end + 5, true),
            None => (target, input.bytes.len(), matches!(self.expect[Side::Client.index()], Expect::Simple)),
        };
        let simple = is_simple(line.trim_ascii_end());
        self.maybe_simple = simple && !is_whole && !input.cut;
        if !simple || !is_whole {
            return None;
        }
        self.expect[Side::Client.index()] = Expect::Head;
        self.ask(Asked { head: false, connect: false, upgrade: false, simple: true });
        let fields = message::simple(line, out.brief, out.mask);
        out.emit(Message::of(Kind::Request, fields));
        Some(Step::Consume(len as u64))
    }

    fn response(&mut self, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if !input.bytes.starts_with(b"HTTP/") {
            let simple = self.asked.front().is_some_and(|asked| asked.simple);
            if simple && !b"HTTP/".starts_with(input.bytes) {
                // There is no status line: it is answered, and that is all that can be told.
                self.asked.pop_front();
                out.emit(Message::of(Kind::Response, Box::default()));
                return Step::Consume(u64::MAX);
            }
            if self.maybe_simple && self.asked.is_empty() {
                self.expect[Side::Client.index()] = Expect::Simple;
                out.kick = true;
                return Step::More(0);
            }
            return if b"HTTP/".starts_with(input.bytes) { Step::More(0) } else { Step::Reject("not a status line") };
        }
        let Some(mut head) = Head::of_response(input.bytes, out.brief) else {
            return Step::More(0);
        };
        if head.len.is_none() && !input.cut {
            return Step::More(0);
        }
        let Some(status) = head.status() else {
            return Step::Reject("no status code");
        };
        if (100..200).contains(&status) && status != 101 {
            // An interim response is not the answer, but told of with it.
            if self.interim.len() < 8 {
                self.interim.push(status);
            }
            return head.len.map_or(Step::Lose, |len| Step::Consume(len as u64));
        }
        if status == 101
            && let (Some(name), Some(len)) = (head.upgrade, head.len)
            && name.eq_ignore_ascii_case(b"h2c")
        {
            // The request is answered on stream 1 of what follows.
            out.switch = Some(Switch::Start(&super::http2::UPGRADED));
            return Step::Consume(len as u64);
        }
        let asked = self.asked.pop_front();
        let mut fields = message::response(&mut head, status, out.mask);
        if !self.interim.is_empty() {
            let codes: Vec<String> = self.interim.drain(..).map(|code| code.to_string()).collect();
            fields.attributes.push(("interim", codes.join(",").into()));
        }
        out.emit(Message::of(Kind::Response, fields).truncated(head.len.is_none()));
        if self.asked.is_empty() && matches!(self.expect[Side::Client.index()], Expect::Answer) {
            self.expect[Side::Client.index()] = Expect::Head;
            out.kick = true;
        }
        let Some(len) = head.len else {
            return Step::Lose;
        };
        let len = len as u64;
        if status == 101 {
            out.switch = Some(match head.upgrade {
                Some(name) if name.eq_ignore_ascii_case(b"websocket") => Switch::To("websocket"),
                _ => Switch::Detect,
            });
            return Step::Consume(len);
        }
        if asked.is_some_and(|asked| asked.connect) && (200..300).contains(&status) {
            out.switch = Some(Switch::Detect);
            return Step::Consume(len);
        }
        let bodiless = asked.is_some_and(|asked| asked.head) || matches!(status, 204 | 304);
        match head.body() {
            _ if bodiless => Step::Consume(len),
            Body::Length(length) => Step::Consume(len.saturating_add(length)),
            Body::Chunked => {
                self.expect[Side::Server.index()] = Expect::Chunk;
                out.hold = true;
                Step::Consume(len)
            }
            Body::UntilClose => Step::Consume(u64::MAX),
        }
    }

    fn chunk(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        out.hold = true;
        let line = input.bytes.get(..256).unwrap_or(input.bytes);
        let Some(end) = memchr::memchr(b'\n', line) else {
            return if line.len() == 256 { Step::Reject("chunk size line too long") } else { Step::More(0) };
        };
        let line = line.get(..end).unwrap_or_default();
        let Some(size) = message::chunk_size(line) else {
            return Step::Reject("chunk size");
        };
        let head = end as u64 + 1;
        // Who ends lines with a line feed alone ends data so, too.
        let line_end = if line.ends_with(b"\r") { 2 } else { 1 };
        if size == 0 {
            self.expect[side.index()] = Expect::Trailers;
            return Step::Consume(head);
        }
        Step::Consume(head.saturating_add(size).saturating_add(line_end))
    }

    fn trailers(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        out.hold = true;
        let Some(end) = memchr::memchr(b'\n', input.bytes) else {
            return Step::More(0);
        };
        if input.bytes.get(..end).is_some_and(|line| line.trim_ascii().is_empty()) {
            out.hold = false;
            self.expect[side.index()] = Expect::Head;
        }
        Step::Consume(end as u64 + 1)
    }
}
