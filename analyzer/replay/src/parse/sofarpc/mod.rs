//! SofaRPC's bolt protocol, versions 1 and 2: calls with an id, a class, a map of headers, and content by codec.
//!
//! Source: sofa-bolt `RpcCommandEncoder.java`, `RpcCommandEncoderV2.java`, `ResponseStatus.java`; sofa-rpc `RemotingConstants.java`.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::{key_of, view};
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{Head, ONE_WAY, REQUEST, RESPONSE, Stuck};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "sofarpc", ports: &[12200], timeout: 120_000_000_000, detect, start: |_| Box::new(SofaRpc) };

/// Bytes of a message looked at: class and headers stand in front of the content.
const WINDOW: usize = 4096;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    match Head::parse(first.bytes) {
        Ok(head) => {
            let heartbeat = head.is_heartbeat();
            let from = match head.kind {
                REQUEST | ONE_WAY if !heartbeat => Some(Side::Client),
                RESPONSE if !heartbeat => Some(Side::Server),
                _ => None,
            };
            // A heartbeat has no class to be known by: it must be all there is.
            let alone = first.bytes.len() as u64 == head.total();
            match (heartbeat, head.is_classy(first.bytes)) {
                (true, _) if alone => Detection::Yes { confidence: 80, from },
                (false, Some(true)) => Detection::Yes { confidence: 94, from },
                (false, None) if !first.whole => Detection::More,
                _ => Detection::No,
            }
        }
        Err(Stuck::Short) if !first.whole && first.bytes.len() > 3 => Detection::More,
        Err(_) => Detection::No,
    }
}

#[derive(Debug)]
struct SofaRpc;

impl Parser for SofaRpc {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let head = match Head::parse(input.bytes) {
            Ok(head) => head,
            Err(Stuck::Short) => return Step::More(input.bytes.len() + 1),
            Err(Stuck::Wrong) => return Step::Reject("not a message of bolt"),
        };
        let view = match view(input, head.total(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let (kind, asker, fields) = match head.kind {
            RESPONSE => (Kind::Response, side.other(), head.response(view.bytes)),
            ONE_WAY => (Kind::OneWay, side, head.request(view.bytes)),
            _ => (Kind::Request, side, head.request(view.bytes)),
        };
        out.emit(Message::new(kind, fields).keyed(key_of(head.id, asker)).truncated(view.cut));
        Step::Consume(head.total())
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_ok_and(|head| head.is_heartbeat() || head.is_classy(bytes) == Some(true))
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
