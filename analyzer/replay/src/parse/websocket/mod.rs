//! WebSocket (RFC 6455), entered by an HTTP/1 Upgrade: one one-way row per message, whoever sends it. Where the messages carry a protocol
//! that is known by itself (MQTT, AMQP, NATS, TLS of a tunnel), its rows come too.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::inside::Inside;
use super::{Detection, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, amqp, amqp1, mqtt, nats, tls};
use crate::model::Side;

/// Line in the registry. It is not told from first bytes: HTTP announces it.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "websocket",
    ports: &[],
    timeout: 120_000_000_000,
    detect: |_| Detection::No,
    start: |_| Box::new(WebSocket::default()),
};

/// A message in fragments.
#[derive(Clone, Copy, Debug)]
struct Fragments {
    start: Mark,
    opcode: u8,
    bytes: u64,
    body: u64,
}

/// What is looked for inside.
static CARRIED: [&Protocol; 5] = [&tls::PROTOCOL, &mqtt::PROTOCOL, &amqp::PROTOCOL, &amqp1::PROTOCOL, &nats::PROTOCOL];

/// A frame whose payload is being read.
#[derive(Clone, Copy, Debug)]
struct Payload {
    left: u64,
    key: [u8; 4],
    /// Bytes of it that were read.
    at: usize,
    whole: Fragments,
    last: bool,
}

#[derive(Debug)]
struct WebSocket {
    fragments: [Option<Fragments>; 2],
    payload: [Option<Payload>; 2],
    inside: Inside,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self { fragments: [None; 2], payload: [None; 2], inside: Inside::of(&CARRIED) }
    }
}

impl Parser for WebSocket {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if let Some(payload) = self.payload[side.index()] {
            return Step::Consume(self.payload(side, payload, input.bytes, false, out));
        }
        let mut cursor = Cursor::new(input.bytes);
        let (Some(first), Some(second)) = (cursor.u8(), cursor.u8()) else {
            return Step::More(2);
        };
        let opcode = first & 0xf;
        if !matches!(opcode, 0..=2 | 8..=10) {
            return Step::Reject("reserved opcode");
        }
        let length = match second & 0x7f {
            126 => cursor.u16().map(u64::from),
            127 => cursor.u64(),
            small => Some(u64::from(small)),
        };
        // Never more is waited for than the frame has: the next one may come much later.
        let Some(length) = length else {
            return Step::More(if second & 0x7f == 126 { 4 } else { 10 });
        };
        let key = if second & 0x80 != 0 {
            match cursor.take(4) {
                Some(key) => key,
                None => return Step::More(cursor.position() + 4),
            }
        } else {
            &[]
        };
        let head = cursor.position();
        if length > 1 << 40 {
            return Step::Reject("length of a frame");
        }
        let control = opcode >= 8;
        if control && length > 125 {
            return Step::Reject("long control frame");
        }
        let body = cursor.up_to(usize::try_from(length).unwrap_or(usize::MAX));
        if opcode == 8 && (body.len() as u64) < length && !input.cut {
            return Step::More(head + usize::try_from(length).unwrap_or_default());
        }
        let total = head as u64 + length;
        let last = first & 0x80 != 0;
        out.hold = false;
        if control {
            let fields = message::control(opcode, side, body, key);
            out.emit(Message::new(Kind::OneWay, fields));
            return Step::Consume(total);
        }
        let fragments = self.fragments[side.index()].take();
        let whole = Fragments {
            start: fragments.map_or(out.mark, |fragments| fragments.start),
            opcode: fragments.map_or(opcode, |fragments| fragments.opcode),
            bytes: fragments.map_or(0, |fragments| fragments.bytes) + total,
            body: fragments.map_or(0, |fragments| fragments.body) + length,
        };
        let mask = key.first_chunk::<4>().copied().unwrap_or_default();
        let payload = Payload { left: length, key: mask, at: 0, whole, last };
        // Compressed messages (RSV1, RFC 7692) carry nothing that is looked into.
        if self.inside.is_open() && first & 0x40 == 0 && length > 0 {
            let in_view = body.len() as u64 == length;
            if !in_view && !input.cut && self.inside.skips(side) < length {
                self.payload[side.index()] = Some(payload);
                out.hold = true;
                return Step::Consume(head as u64);
            }
            let have = body.len() as u64;
            let used = self.payload(side, payload, body, !in_view, out);
            debug_assert_eq!(used, have, "a payload takes what it is given");
            if !in_view {
                let missing = length - have;
                if self.inside.skips(side) >= missing {
                    self.inside.skipped(side, missing, out);
                } else {
                    self.inside.lost(side, out);
                }
                self.payload[side.index()] = None;
                self.end(side, whole, last, out);
            }
            return Step::Consume(total);
        }
        self.end(side, whole, last, out);
        Step::Consume(total)
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        match bytes {
            [first, second, ..] => {
                // RSV1 tells compressed messages (RFC 7692).
                first & 0x30 == 0
                    && matches!(first & 0xf, 0..=2 | 8..=10)
                    && (second & 0x80 != 0) == (side == Side::Client)
            }
            _ => false,
        }
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        self.fragments[side.index()] = None;
        let payload = self.payload[side.index()].take();
        self.inside.lost(side, out);
        if let Some(Payload { whole, last, .. }) = payload {
            self.end(side, whole, last, out);
        }
    }

    fn close(&mut self, out: &mut Output<'_>) {
        self.inside.close(out);
    }
}

impl WebSocket {
    /// Bytes of a frame's payload: how many of these are.
    fn payload(&mut self, side: Side, mut payload: Payload, bytes: &[u8], cut: bool, out: &mut Output<'_>) -> u64 {
        let len = usize::try_from(payload.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let bytes = bytes.get(..len).unwrap_or_default();
        if payload.key == [0; 4] {
            self.inside.bytes(side, bytes, cut, out);
        } else {
            let key = |at: usize| payload.key.get((payload.at + at) % 4).copied().unwrap_or_default();
            let plain: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ key(at)).collect();
            self.inside.bytes(side, &plain, cut, out);
        }
        payload.at = (payload.at + len) % 4;
        payload.left -= len as u64;
        self.payload[side.index()] = Some(payload).filter(|payload| payload.left > 0);
        if payload.left == 0 {
            self.end(side, payload.whole, payload.last, out);
        } else {
            out.hold = true;
        }
        len as u64
    }

    /// A frame ends, and perhaps its message, which is a row.
    fn end(&mut self, side: Side, whole: Fragments, last: bool, out: &mut Output<'_>) {
        if !last {
            self.fragments[side.index()] = Some(whole);
        } else {
            let mut message =
                Message::new(Kind::OneWay, message::data(whole.opcode, side, whole.body)).since(whole.start);
            message.bytes = Some(whole.bytes);
            out.emit(message);
        }
    }
}
