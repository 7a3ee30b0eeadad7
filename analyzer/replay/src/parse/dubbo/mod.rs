//! Dubbo 2: invocations of services with an id, events (heartbeats) from either side.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{HEAD, Head};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "dubbo", ports: &[20880], timeout: 120_000_000_000, detect, start: |_| Box::new(Dubbo) };

/// Bytes of a message looked at; attachments stand at its end.
const WINDOW: usize = 8192;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.len() < HEAD {
        let fits = bytes.iter().zip([0xda, 0xbb]).all(|(byte, magic)| *byte == magic);
        return if fits && !first.whole && !bytes.is_empty() { Detection::More } else { Detection::No };
    }
    match Head::parse(bytes) {
        // Either side sends events.
        Some(head) if head.event => Detection::Yes { confidence: 85, from: None },
        Some(head) => {
            let side = if head.is_request { Side::Client } else { Side::Server };
            Detection::Yes { confidence: 92, from: Some(side) }
        }
        None => Detection::No,
    }
}

#[derive(Debug)]
struct Dubbo;

impl Parser for Dubbo {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let Some(head) = Head::parse(input.bytes) else {
            return Step::Reject("not a message of Dubbo");
        };
        let wanted = usize::try_from(head.total()).map_or(WINDOW, |total| total.min(WINDOW));
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let end = usize::try_from(head.total()).unwrap_or(usize::MAX).min(input.bytes.len()).min(WINDOW);
        let body = input.bytes.get(HEAD..end).unwrap_or_default();
        // Each side counts its own ids.
        let asker = if head.is_request { side } else { side.other() };
        let key = (head.id << 1) | asker.index() as u64;
        let message = if head.is_request {
            let kind = if head.two_way { Kind::Request } else { Kind::OneWay };
            Message::new(kind, head.request(body))
        } else {
            Message::new(Kind::Response, head.response(body))
        };
        out.emit(message.keyed(key).truncated(input.bytes.len() < wanted));
        Step::Consume(head.total())
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_some()
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
