//! RocketMQ's remoting protocol: commands with an id, their heads in JSON or in RocketMQ's own binary form.
//!
//! Source: rocketmq `remoting/.../RemotingCommand.java`, `RocketMQSerializable.java`, `RequestCode.java`, `ResponseCode.java`.

mod code;
mod header;
mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::{key_of, view};
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use header::{Frame, HEAD, Header};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "rocketmq",
    ports: &[9876, 10909, 10911, 10912],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(RocketMq),
};

/// Bytes of a command looked at behind its head: the start of a message that was fetched.
const BODY_WINDOW: u64 = 4096;
/// Bytes of a command looked at.
const WINDOW: usize = 16 * 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.len() < HEAD + 8 {
        // Nothing tells it from other protocols before the head's first bytes.
        let fits = bytes.len() > 4 && Frame::parse(bytes).is_none_or(|frame| frame.starts(bytes));
        return if fits && !first.whole && bytes.first().is_some_and(|byte| *byte < 2) {
            Detection::More
        } else {
            Detection::No
        };
    }
    let Some(frame) = Frame::parse(bytes).filter(|frame| frame.starts(bytes)) else {
        return Detection::No;
    };
    let end = usize::try_from(frame.described()).unwrap_or(usize::MAX).min(bytes.len());
    let whole = end as u64 == frame.described();
    match Header::parse(frame, bytes.get(HEAD..end).unwrap_or_default()) {
        Some(header) => {
            let side = if header.is_response() { Side::Server } else { Side::Client };
            // Brokers and name servers ask their clients too, but seldom first.
            Detection::Yes { confidence: if whole { 96 } else { 80 }, from: Some(side) }
        }
        None if !whole && !first.whole => Detection::More,
        None => Detection::No,
    }
}

#[derive(Debug)]
struct RocketMq;

impl Parser for RocketMq {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let Some(frame) = Frame::parse(input.bytes) else {
            return Step::Reject("not a command of RocketMQ");
        };
        let wanted = frame.total().min(frame.described() + BODY_WINDOW);
        let view = match view(input, wanted, WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        if !frame.starts(view.bytes) {
            return Step::Reject("not a head of RocketMQ");
        }
        let end = usize::try_from(frame.described()).unwrap_or(usize::MAX).min(view.bytes.len());
        let Some(header) = Header::parse(frame, view.bytes.get(HEAD..end).unwrap_or_default()) else {
            // The id, which comes late, is not in view.
            if view.cut || frame.described() > WINDOW as u64 {
                return Step::Consume(frame.total());
            }
            return Step::Reject("damaged head");
        };
        let (kind, asker, fields) = if header.is_response() {
            let body = view.bytes.get(end..).unwrap_or_default();
            (Kind::Response, side.other(), message::response(&header, body))
        } else {
            (if header.is_one_way() { Kind::OneWay } else { Kind::Request }, side, message::request(&header))
        };
        let cut = view.cut && (view.bytes.len() as u64) < frame.described();
        out.emit(Message::new(kind, fields).keyed(key_of(u64::from(header.id), asker)).truncated(cut));
        Step::Consume(frame.total())
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Frame::parse(bytes).is_some_and(|frame| frame.starts(bytes))
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
