//! ISO 8583: messages of card payments, behind the usual lengths and heads.
//!
//! Source: ISO 8583:1987, its list of data elements. How long a message is and what goes before it is agreed by both sides;
//! understood are: a length of two bytes, with TPDU and a head of six bytes or not; four digits, with UnionPay's head of 46 bytes
//! or not. Numbers in ASCII or packed. A message is believed if its elements fill it to the last byte.

mod element;
mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{Body, LIMIT, sizes};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "iso8583", ports: &[], timeout: 60_000_000_000, detect, start: |_| Box::new(Iso8583) };

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.len() < 8 {
        let fits = matches!(bytes, [0..=0x0f] | [0..=0x0f, _, ..] | [b'0'..=b'3', ..]);
        let tells = bytes.len() < 2 || sizes(bytes).is_some();
        return if fits && tells && !first.whole { Detection::More } else { Detection::No };
    }
    let Some((total, _)) = sizes(bytes) else {
        return Detection::No;
    };
    if bytes.len() < total {
        return if Body::starts(bytes) && !first.whole { Detection::More } else { Detection::No };
    }
    match bytes.get(..total).and_then(Body::parse) {
        Some(body) => {
            let side = if body.is_response() { Side::Server } else { Side::Client };
            Detection::Yes { confidence: if body.elements() >= 3 { 85 } else { 40 }, from: Some(side) }
        }
        None => Detection::No,
    }
}

#[derive(Debug)]
struct Iso8583;

impl Parser for Iso8583 {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < 4 {
            return Step::More(4);
        }
        let Some((total, digits)) = sizes(input.bytes) else {
            return Step::Reject("no length of a message");
        };
        let view = match view(input, total as u64, LIMIT) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        if !view.cut && total <= if digits { 4 } else { 2 } {
            // Only a length: whether the other side lives.
            return Step::Consume(total as u64);
        }
        let Some(body) = Body::parse(view.bytes) else {
            return if view.cut { Step::Consume(total as u64) } else { Step::Reject("not a message of ISO 8583") };
        };
        let asker = if body.is_response() { side.other() } else { side };
        let kind = match (body.is_response(), body.is_answered()) {
            (true, _) => Kind::Response,
            (false, true) => Kind::Request,
            (false, false) => Kind::OneWay,
        };
        let fields = if kind == Kind::Response { body.response() } else { body.request(out.mask) };
        out.emit(Message::new(kind, fields).keyed(body.key(asker)));
        Step::Consume(total as u64)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        sizes(bytes).is_some() && Body::starts(bytes)
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
