//! Dameng (DM8): messages of its own protocol, recognised and counted with command and status.
//!
//! Dameng has not published it. Source: what its Go driver writes and reads (sizes and places of the head's fields, numbers
//! of the commands, where an answer's code stands).

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{HEAD, Head, LOGIN, STARTUP};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "dameng", ports: &[5236], timeout: 120_000_000_000, detect, start: |_| Box::new(Dameng) };

/// Bytes of a message looked at.
const WINDOW: usize = 4096;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    // No statement, the command that starts connections: little else begins so.
    let startup = bytes.iter().zip([0, 0, 0, 0, 0xc8, 0]).all(|(byte, wanted)| *byte == wanted) && !bytes.is_empty();
    let Some(head) = Head::parse(bytes) else {
        return if startup && bytes.len() < HEAD && !first.whole { Detection::More } else { Detection::No };
    };
    if bytes.len() as u64 != head.total() {
        let waits = startup && head.total() <= 1 << 16 && (bytes.len() as u64) < head.total();
        return if waits && !first.whole { Detection::More } else { Detection::No };
    }
    let client = Some(Side::Client);
    match head.command {
        // Without a statement, a head that is almost empty, as connections start.
        STARTUP if head.statement == 0 && head.blanks >= 24 => Detection::Yes { confidence: 75, from: client },
        LOGIN if head.statement == 0 && head.blanks >= 24 => Detection::Yes { confidence: 45, from: client },
        // With its text, at the usual port.
        _ if message::has_statement(head, bytes) => Detection::Yes { confidence: 45, from: client },
        _ => Detection::No,
    }
}

#[derive(Debug)]
struct Dameng;

impl Parser for Dameng {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let head = match side {
            Side::Client => Head::parse(input.bytes),
            Side::Server => Head::parse_answer(input.bytes),
        };
        let Some(head) = head else {
            return Step::Reject("not a message of Dameng");
        };
        let view = match view(input, head.total(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let body = view.bytes.get(HEAD..).unwrap_or_default();
        let message = match side {
            Side::Client => Message::new(Kind::Request, head.request(body, out.mask)),
            Side::Server => Message::new(Kind::Response, head.response(body, out.mask)),
        };
        out.emit(message.truncated(view.cut));
        Step::Consume(head.total())
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        match side {
            Side::Client => Head::parse(bytes).is_some(),
            Side::Server => Head::parse_answer(bytes).is_some_and(|head| head.total() == bytes.len() as u64),
        }
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
