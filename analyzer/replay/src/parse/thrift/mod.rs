//! Thrift: the binary (strict) and the compact protocol, framed or not. Paired by sequence id.

mod message;
#[cfg(test)]
pub(super) mod tests;
mod value;

use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{CALL, Head, ONE_WAY};
use value::Stuck;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "thrift", ports: &[9090], timeout: 120_000_000_000, detect, start: |_| Box::new(Thrift) };

/// Bytes of a framed message looked at.
const WINDOW: usize = 2048;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    match Head::parse(first.bytes) {
        Ok(head) => {
            let side = if matches!(head.kind, CALL | ONE_WAY) { Side::Client } else { Side::Server };
            // Four bytes of magic with a name are surer than two.
            let confidence = if head.encoding == value::Encoding::Binary { 92 } else { 85 };
            Detection::Yes { confidence, from: Some(side) }
        }
        Err(Stuck::Short(_)) if !first.whole && !first.bytes.is_empty() => Detection::More,
        Err(_) => Detection::No,
    }
}

#[derive(Debug)]
struct Thrift;

impl Parser for Thrift {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let bytes = input.bytes;
        let head = match Head::parse(bytes) {
            Ok(head) => head,
            Err(Stuck::Short(more)) => return Step::More(bytes.len() + more.max(1)),
            Err(Stuck::Wrong) => return Step::Reject("not a message of Thrift"),
        };
        let total = match head.total(bytes) {
            Ok(total) => total,
            Err(Stuck::Short(more)) if !input.cut => return Step::More(bytes.len() + more.max(1)),
            Err(Stuck::Short(_)) => {
                // Cut without a frame: where the next one starts is not known.
                emit(side, &head, bytes, true, out);
                return Step::Lose;
            }
            Err(Stuck::Wrong) => return Step::Reject("damaged value"),
        };
        let wanted = usize::try_from(total).map_or(WINDOW, |total| total.min(WINDOW));
        if bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        emit(side, &head, bytes, bytes.len() < wanted, out);
        Step::Consume(total)
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_ok_and(|head| matches!(head.kind, CALL | ONE_WAY) == (side == Side::Client))
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}

fn emit(side: Side, head: &Head<'_>, bytes: &[u8], cut: bool, out: &mut Output<'_>) {
    let message = match side {
        Side::Client if head.kind == ONE_WAY => Message::new(Kind::OneWay, head.request()),
        Side::Client => Message::new(Kind::Request, head.request()),
        Side::Server => Message::new(Kind::Response, head.response(bytes)),
    };
    out.emit(message.keyed(u64::from(head.sequence)).truncated(cut));
}
