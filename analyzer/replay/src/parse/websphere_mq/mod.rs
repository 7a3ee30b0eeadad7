//! IBM MQ (`WebSphere` MQ): segments of its channels, and the calls of its message queue interface in them.
//!
//! IBM has not published it. Source: Wireshark's `packet-mq.c`, IBM's headers `cmqc.h`, `cmqxc.h`.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{Head, LEAST, State};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "websphere_mq",
    ports: &[1414],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(WebSphereMq::default()),
};

/// Bytes of a segment looked at: the call and the names in it.
const WINDOW: usize = 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.len() < LEAST {
        let eye = bytes.get(..3).unwrap_or(bytes);
        let fits = !eye.is_empty() && (b"TSH".starts_with(eye) || b"\xe3\xe2\xc8".starts_with(eye));
        return if fits && !first.whole { Detection::More } else { Detection::No };
    }
    match Head::parse(bytes) {
        Some(head) => {
            let from = match head.role(Side::Client) {
                Kind::Request if head.is_call() => Some(Side::Client),
                Kind::Response if head.is_call() => Some(Side::Server),
                _ => None,
            };
            Detection::Yes { confidence: 95, from }
        }
        None => Detection::No,
    }
}

#[derive(Debug, Default)]
struct WebSphereMq {
    state: State,
}

impl Parser for WebSphereMq {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < LEAST {
            return Step::More(LEAST);
        }
        let Some(head) = Head::parse(input.bytes) else {
            return Step::Reject("not a segment of MQ");
        };
        let view = match view(input, head.total(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        if head.is_first() {
            let body = view.bytes.get(head.len()..).unwrap_or_default();
            let kind = head.role(side);
            let message = Message::new(kind, self.state.fields(head, kind, body)).truncated(view.cut);
            out.emit(if kind == Kind::OneWay { message } else { message.keyed(head.conversation()) });
        }
        Step::Consume(head.total())
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_some()
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
