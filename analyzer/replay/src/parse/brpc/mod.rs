//! bRPC's own protocol, `baidu_std`: calls with a correlation id, and the frames of its streams.
//!
//! Source: brpc `docs/cn/baidu_std.md`, `src/brpc/policy/baidu_rpc_meta.proto`, `streaming_rpc_meta.proto`.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::{key_of, view};
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Transport};
use message::{HEAD, Head, Meta};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "brpc", ports: &[8000, 8002], timeout: 120_000_000_000, detect, start: |_| Box::new(Brpc) };

/// Bytes of a message looked at: its head and what describes the call.
const WINDOW: usize = 4096;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.len() <= HEAD {
        let fits = !bytes.is_empty() && bytes.iter().zip(b"PRPC").all(|(byte, magic)| byte == magic);
        return if fits && !first.whole { Detection::More } else { Detection::No };
    }
    match (Head::parse(bytes), bytes.get(HEAD)) {
        (Some(head), Some(0x0a)) if !head.stream => Detection::Yes { confidence: 97, from: Some(Side::Client) },
        // Field 2, or 3 to 5 where success is told by leaving field 2 out.
        (Some(head), Some(0x12 | 0x18 | 0x20 | 0x28)) if !head.stream => {
            Detection::Yes { confidence: 95, from: Some(Side::Server) }
        }
        _ => Detection::No,
    }
}

#[derive(Debug)]
struct Brpc;

impl Parser for Brpc {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let Some(head) = Head::parse(input.bytes) else {
            return Step::Reject("not a message of bRPC");
        };
        if head.stream {
            // Without a name of its own: it belongs to the call that opened the stream.
            let fields = RequestFields { request_type: "Stream".into(), ..RequestFields::default() };
            out.emit(Message::new(Kind::OneWay, fields));
            return Step::Consume(head.total());
        }
        let view = match view(input, head.described(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let meta = Meta::parse(view.bytes.get(HEAD..).unwrap_or_default());
        let asker = if meta.is_request() { side } else { side.other() };
        let message = if meta.is_request() {
            Message::new(Kind::Request, meta.request())
        } else {
            Message::new(Kind::Response, meta.response())
        };
        out.emit(message.keyed(key_of(meta.correlation_id, asker)).truncated(view.cut));
        Step::Consume(head.total())
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_some()
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
