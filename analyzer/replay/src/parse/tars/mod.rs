//! Tars: packets of its own tagged encoding, paired by request id.
//!
//! Source: TarsCloud `TarsProtocol/docs/RPC_Tars.md` (encoding and packets).

mod encoding;
mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::{key_of, view};
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use encoding::Stuck;
use message::Head;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "tars", ports: &[], timeout: 120_000_000_000, detect, start: |_| Box::new(Tars) };

/// Bytes of a packet looked at: what describes the call stands in front of its arguments, contexts behind them.
const WINDOW: usize = 4096;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    match Head::parse(first.bytes) {
        Ok(head) => {
            let from = if head.is_request() { Side::Client } else { Side::Server };
            Detection::Yes { confidence: 91, from: Some(from) }
        }
        Err(Stuck::Short) if !first.whole && !first.bytes.is_empty() => Detection::More,
        Err(_) => Detection::No,
    }
}

#[derive(Debug)]
struct Tars;

impl Parser for Tars {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let head = match Head::parse(input.bytes) {
            Ok(head) => head,
            Err(Stuck::Short) => return Step::More(input.bytes.len() + 1),
            Err(Stuck::Wrong) => return Step::Reject("not a packet of Tars"),
        };
        let view = match view(input, head.total(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let (kind, asker, fields) = if head.is_request() {
            (if head.one_way() { Kind::OneWay } else { Kind::Request }, side, head.request(view.bytes))
        } else {
            (Kind::Response, side.other(), head.response(view.bytes))
        };
        out.emit(Message::new(kind, fields).keyed(key_of(head.id, asker)).truncated(view.cut));
        Step::Consume(head.total())
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_ok()
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
