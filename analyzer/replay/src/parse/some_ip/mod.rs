//! SOME/IP: calls and notifications of services in vehicles, over UDP and TCP, and their discovery.
//!
//! Source: AUTOSAR `PRS_SOMEIPProtocol`, `PRS_SOMEIPServiceDiscoveryProtocol`.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{HEAD, Head};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "some_ip", ports: &[30490, 30501], timeout: 15_000_000_000, detect, start: |_| Box::new(SomeIp) };

/// Longest message whose end is waited for on a stream before it is believed.
const WAITED: usize = 16 * 1024;
/// Bytes of a message looked at: the entries of a discovery.
const WINDOW: usize = 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Udp | Transport::Tcp) {
        return Detection::No;
    }
    let part = first.transport == Transport::Tcp && !first.whole;
    if part && first.bytes.len() < HEAD {
        return if message::may_begin(first.bytes) { Detection::More } else { Detection::No };
    }
    // One message behind the other, to the last byte.
    let (mut rest, mut from, mut discovery) = (first.bytes, None, false);
    for place in 0..8 {
        let Some(head) = Head::parse(rest) else {
            let begun = part && place > 0 && rest.len() < HEAD && message::may_begin(rest);
            return if begun { Detection::Yes { confidence: 75, from } } else { Detection::No };
        };
        discovery |= head.is_discovery();
        from = from.or(head.sender());
        let total = usize::try_from(head.total()).unwrap_or(usize::MAX);
        rest = rest.get(total..).unwrap_or_default();
        if rest.is_empty() {
            if total > first.bytes.len() {
                return if part && total <= WAITED { Detection::More } else { Detection::No };
            }
            let confidence = match (discovery, first.transport) {
                (true, _) => 95,
                (_, Transport::Udp) => 85,
                _ => 75,
            };
            return Detection::Yes { confidence, from };
        }
    }
    Detection::Yes { confidence: 85, from }
}

#[derive(Debug)]
struct SomeIp;

impl Parser for SomeIp {
    fn parse(&mut self, _side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let Some(head) = Head::parse(input.bytes) else {
            return Step::Reject("not a message of SOME/IP");
        };
        let view = match view(input, head.total(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let body = view.bytes.get(HEAD..).unwrap_or_default();
        if head.is_later_segment(body) {
            return Step::Consume(head.total());
        }
        let message = match head.role() {
            Kind::Response => Message::new(Kind::Response, head.response()).keyed(head.key()),
            Kind::Request => Message::new(Kind::Request, head.request(body)).keyed(head.key()),
            Kind::OneWay | Kind::Note => Message::new(Kind::OneWay, head.request(body)),
        };
        out.emit(message.truncated(view.cut));
        Step::Consume(head.total())
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_some()
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
