//! uwsgi, the protocol of uWSGI (<https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html>): HTTP between a web server and its
//! application. A packet of variables and the body of the request one way, HTTP the other way; most often one request per connection.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step, cgi};
use crate::model::{Side, Transport};
use message::{HEAD, Packet};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "uwsgi", ports: &[3031], timeout: 120_000_000_000, detect, start: |_| Box::new(Uwsgi) };

/// Bytes of a response's head that are looked at.
const RESPONSE_LIMIT: usize = 16 * 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let Some(packet) = Packet::parse(first.bytes) else {
        return Detection::No;
    };
    match message::first_name(first.bytes.get(HEAD..).unwrap_or_default(), packet) {
        Some(true) => Detection::Yes { confidence: 95, from: Some(Side::Client) },
        // uWSGI reads the head of a packet by itself.
        Some(false) if !first.whole => Detection::More,
        _ => Detection::No,
    }
}

#[derive(Debug)]
struct Uwsgi;

impl Parser for Uwsgi {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        match side {
            Side::Client => request(input, out),
            Side::Server => response(input, out),
        }
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        match side {
            Side::Client => Packet::parse(bytes)
                .is_some_and(|packet| message::first_name(bytes.get(HEAD..).unwrap_or_default(), packet) == Some(true)),
            Side::Server => bytes.starts_with(b"HTTP/1.") || bytes.starts_with(b"Status:"),
        }
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}

fn request(input: Input<'_>, out: &mut Output<'_>) -> Step {
    if input.bytes.len() < HEAD {
        return Step::More(HEAD);
    }
    let Some(packet) = Packet::parse(input.bytes) else {
        return Step::Reject("not a packet of variables");
    };
    let whole = HEAD + packet.length;
    if input.bytes.len() < whole && !input.cut {
        return Step::More(whole);
    }
    let variables = input.bytes.get(HEAD..).unwrap_or_default();
    let variables = variables.get(..packet.length).unwrap_or(variables);
    let cut = variables.len() < packet.length;
    let fields = cgi::request("uwsgi", message::pairs(variables), out.mask);
    out.emit(Message::new(Kind::Request, fields).truncated(cut));
    match message::content_length(variables) {
        Some(body) => Step::Consume((whole as u64).saturating_add(body)),
        // Whether a body follows was in what is missing.
        None if cut => Step::Lose,
        None => Step::Consume(whole as u64),
    }
}

fn response(input: Input<'_>, out: &mut Output<'_>) -> Step {
    let bytes = input.bytes.get(..RESPONSE_LIMIT).unwrap_or(input.bytes);
    if !message::is_head(bytes) {
        return Step::Reject("not a status line or header");
    }
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
    if end.is_none() && !input.cut && bytes.len() < RESPONSE_LIMIT {
        return Step::More(0);
    }
    let head = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
    out.emit(Message::new(Kind::Response, cgi::response("uwsgi", head, &[])).truncated(end.is_none()));
    match (end, message::response_length(head)) {
        (Some(end), Some(body)) => Step::Consume((end as u64).saturating_add(body)),
        // The connection's end is the body's.
        _ => Step::Consume(u64::MAX),
    }
}
