//! WebSocket (RFC 6455), entered by an HTTP/1 Upgrade: one one-way row per message, whoever sends it.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::{Detection, Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
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

#[derive(Debug, Default)]
struct WebSocket {
    fragments: [Option<Fragments>; 2],
}

impl Parser for WebSocket {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
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
        if last {
            let mut message =
                Message::new(Kind::OneWay, message::data(whole.opcode, side, whole.body)).since(whole.start);
            message.bytes = Some(whole.bytes);
            out.emit(message);
        } else {
            self.fragments[side.index()] = Some(whole);
        }
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

    fn lost(&mut self, side: Side, _out: &mut Output<'_>) {
        self.fragments[side.index()] = None;
    }
}
