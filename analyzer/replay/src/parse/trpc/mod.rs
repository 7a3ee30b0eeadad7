//! tRPC: frames of calls with an id, and of streams.
//!
//! Source: trpc-group `trpc/docs/en/trpc_protocol_design.md`, `trpc/proto/trpc.proto`.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::{key_of, view};
use super::protobuf::Fields;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{FrameKind, HEAD, Head, Meta};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "trpc", ports: &[], timeout: 120_000_000_000, detect, start: |_| Box::new(Trpc) };

/// Bytes of a frame looked at: what describes the call, 64 KiB at most.
const WINDOW: usize = 8192;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.len() < HEAD {
        let fits = bytes.first() == Some(&9) && bytes.get(1).is_none_or(|byte| *byte == 0x30);
        return if fits && !first.whole { Detection::More } else { Detection::No };
    }
    let Some(head) = Head::parse(bytes) else {
        return Detection::No;
    };
    if matches!(head.kind, FrameKind::StreamData | FrameKind::StreamFeedback | FrameKind::StreamClose) {
        return Detection::Yes { confidence: 85, from: None };
    }
    match bytes.get(HEAD..usize::try_from(head.described()).unwrap_or(usize::MAX)) {
        Some(meta) if Fields::is_whole(meta) => {
            let side = if Meta::parse(meta, head.kind).is_request { Side::Client } else { Side::Server };
            Detection::Yes { confidence: 95, from: Some(side) }
        }
        Some(_) => Detection::No,
        None if first.whole => Detection::Yes { confidence: 60, from: None },
        None => Detection::More,
    }
}

#[derive(Debug)]
struct Trpc;

impl Parser for Trpc {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let Some(head) = Head::parse(input.bytes) else {
            return Step::Reject("not a frame of tRPC");
        };
        if matches!(head.kind, FrameKind::StreamData | FrameKind::StreamFeedback) {
            return Step::Consume(head.total());
        }
        let view = match view(input, head.described(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let meta = Meta::parse(view.bytes.get(HEAD..).unwrap_or_default(), head.kind);
        let asker = if meta.is_request { side } else { side.other() };
        let (kind, key, fields) = match head.kind {
            // A stream is a call that is answered when the stream is.
            FrameKind::StreamInit => (
                if meta.is_request { Kind::Request } else { Kind::Response },
                1 << 63 | key_of(u64::from(head.stream), asker),
                if meta.is_request { meta.request(Some(head.stream)) } else { meta.response() },
            ),
            FrameKind::StreamClose => {
                // An ordinary end says nothing that is not known.
                if !meta.failed() {
                    return Step::Consume(head.total());
                }
                (Kind::OneWay, 0, meta.close(head.stream))
            }
            _ if !meta.is_request => (Kind::Response, key_of(meta.id, asker), meta.response()),
            _ if meta.one_way => (Kind::OneWay, key_of(meta.id, asker), meta.request(None)),
            _ => (Kind::Request, key_of(meta.id, asker), meta.request(None)),
        };
        let message = Message::new(kind, fields).truncated(view.cut);
        out.emit(if kind == Kind::OneWay { message } else { message.keyed(key) });
        Step::Consume(head.total())
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes).is_some()
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}
