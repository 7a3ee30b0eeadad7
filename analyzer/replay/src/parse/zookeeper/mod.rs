//! ZooKeeper's client protocol: frames with a length; requests and answers paired by their number (`xid`), the first ones without.
//!
//! Source: `zookeeper.jute` and `ZooDefs.java` of ZooKeeper 3.8 (jute: big endian, texts and buffers with a length of four bytes).

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{Answer, Request};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "zookeeper", ports: &[2181], timeout: 120_000_000_000, detect, start: |_| Box::new(ZooKeeper) };

/// Bytes of a message looked at: its head and a path.
const WINDOW: usize = 1024;
/// Key of the message that opens a session, which bears no number. Those of others are below.
const CONNECT: u64 = 1 << 32;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if let Some(side) = message::opens(bytes) {
        return Detection::Yes { confidence: 95, from: Some(side) };
    }
    if !first.whole && message::may_open(bytes) {
        return Detection::More;
    }
    match Request::parse(bytes).map(|request| request.sureness(bytes)) {
        Some(confidence) => Detection::Yes { confidence, from: Some(Side::Client) },
        None => Detection::No,
    }
}

#[derive(Debug)]
struct ZooKeeper;

impl Parser for ZooKeeper {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let Some(total) = message::total(input.bytes) else {
            return if input.bytes.len() < 4 { Step::More(4) } else { Step::Reject("not a frame of ZooKeeper") };
        };
        let view = match view(input, total, WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let message = match side {
            Side::Client if message::opens(view.bytes) == Some(side) => {
                Message::new(Kind::Request, message::connect()).keyed(CONNECT)
            }
            Side::Client => {
                let Some(request) = Request::parse(view.bytes) else {
                    return Step::Reject("not a request of ZooKeeper");
                };
                Message::new(Kind::Request, request.fields(out.mask)).keyed(request.key())
            }
            Side::Server if message::opens(view.bytes) == Some(side) => {
                Message::new(Kind::Response, message::connected(view.bytes)).keyed(CONNECT)
            }
            Side::Server => {
                let Some(answer) = Answer::parse(view.bytes) else {
                    return Step::Reject("not an answer of ZooKeeper");
                };
                match answer.event() {
                    Some(event) => Message::new(Kind::OneWay, event),
                    None => Message::new(Kind::Response, answer.fields()).keyed(answer.key()),
                }
            }
        };
        out.emit(message.truncated(view.cut));
        Step::Consume(total)
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        match side {
            Side::Client => Request::parse(bytes).is_some(),
            Side::Server => Answer::parse(bytes).is_some(),
        }
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
