//! Apache Pulsar's binary protocol: commands as Protocol Buffers, messages behind some of them.
//!
//! Source: `pulsar-common/src/main/proto/PulsarApi.proto` and the project's protocol specification.

mod command;
mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::{Detection, First, Input, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use command::{Frame, Role};
use message::State;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "pulsar",
    ports: &[6650],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Pulsar::default()),
};

/// Bytes of a frame looked at: the command, and what describes a message.
const WINDOW: usize = 8192;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    match Frame::parse(first.bytes) {
        Ok(frame) => Detection::Yes { confidence: 97, from: frame.kind.from },
        Err(fits) if fits && !first.whole && !first.bytes.is_empty() => Detection::More,
        Err(_) => Detection::No,
    }
}

#[derive(Debug, Default)]
struct Pulsar {
    state: State,
}

impl Parser for Pulsar {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let frame = match Frame::parse(input.bytes) {
            Ok(frame) => frame,
            Err(true) => return Step::More(input.bytes.len() + 1),
            Err(false) => return Step::Reject("not a command of Pulsar"),
        };
        let view = match view(input, frame.total(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        if let Some((kind, key, fields)) = self.state.read(side, frame, view.bytes) {
            let message = Message::new(kind, fields).truncated(view.cut);
            out.emit(match key {
                Some(key) => message.keyed(key),
                None => message,
            });
        }
        Step::Consume(frame.total())
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        Frame::parse(bytes).is_ok_and(|frame| frame.kind.from.is_none_or(|from| from == side))
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}

impl Role {
    /// Whether `side` would send it as this.
    fn fits(self, side: Side) -> bool {
        // Brokers tell clients to close a producer or a consumer without awaiting an answer.
        !matches!((self, side), (Self::Request, Side::Server))
    }
}
