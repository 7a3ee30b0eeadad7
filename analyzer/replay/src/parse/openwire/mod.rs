//! OpenWire, the protocol of ActiveMQ: commands with an id, in either of two encodings that the sides agree on.
//!
//! Source: activemq `openwire` marshallers (`org.apache.activemq.openwire.v12`), activemq.apache.org/openwire-version-2-specification.

mod encoding;
mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::{key_of, view};
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use ahash::AHashSet;
use encoding::{Format, Formats};
use message::{Command, RESPONSES, kind_name};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "openwire",
    ports: &[61616],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(OpenWire::default()),
};

/// Size and kind.
const HEAD: usize = 5;
/// Largest command that is believed, bytes: 100 MiB unless told otherwise.
const LIMIT: u32 = 256 << 20;
/// Bytes of a command looked at: properties of a message stand behind its content.
const WINDOW: usize = 4096;
const FORMAT: u8 = 1;
/// Most commands of a side that are awaited.
const AWAITED: usize = 16 * 1024;

/// Size on the stream and kind of a command.
fn head(bytes: &[u8]) -> Option<(u64, u8)> {
    let size = u32::from_be_bytes(*bytes.first_chunk::<4>()?);
    let kind = *bytes.get(4)?;
    let least = if kind == FORMAT { 13 } else { 6 };
    ((least..=LIMIT).contains(&size) && kind_name(kind).is_some()).then_some((4 + u64::from(size), kind))
}

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    let Some((total, kind)) = head(bytes) else {
        let fits = bytes.len() < HEAD && bytes.first() == Some(&0) && bytes.get(1).is_none_or(|byte| *byte == 0);
        return if fits && !first.whole && bytes.len() > 1 { Detection::More } else { Detection::No };
    };
    if kind == FORMAT {
        let name = bytes.get(HEAD..).unwrap_or_default();
        return if name.starts_with(b"ActiveMQ") {
            Detection::Yes { confidence: 98, from: None }
        } else if name.len() < 8 && !first.whole && b"ActiveMQ".starts_with(name) {
            Detection::More
        } else {
            Detection::No
        };
    }
    // In the middle: names of connections stand near the start; answers are short.
    let from = match kind {
        2 | 21 | 30..=34 => Some(Side::Server),
        3..=6 | 20 | 22 => Some(Side::Client),
        _ => None,
    };
    let near = bytes.get(HEAD..64).or(bytes.get(HEAD..)).unwrap_or_default();
    let named = memchr::memmem::find_iter(near, b"ID:").any(|at| {
        let before = at.checked_sub(4).and_then(|from| near.get(from..at)).unwrap_or_default();
        // A kind of id, whether there is a text (in one encoding), its length.
        matches!(before, [_, 0x78..=0x7c, 0, 6..=255] | [0x78..=0x7c, 1, 0, 6..=255])
    });
    let answer =
        matches!(bytes, [0, 0, 0, 10, 30, 0, 0, _, _, 0, 0, 0, _, _] | [0, 0, 0, 11, 30, 1, 0, 0, 0, _, _, 0, 0, _, _]);
    match (named, answer && total == bytes.len() as u64) {
        (true, _) => Detection::Yes { confidence: 85, from },
        (_, true) => Detection::Yes { confidence: 60, from },
        _ => Detection::No,
    }
}

#[derive(Debug, Default)]
struct OpenWire {
    formats: Formats,
    awaited: [Awaited; 2],
}

/// Commands of a side that are to be answered. Brokers answer some twice.
#[derive(Debug, Default)]
struct Awaited {
    ids: AHashSet<u32>,
    highest: u32,
}

impl Awaited {
    fn asked(&mut self, id: u32) {
        if self.ids.len() >= AWAITED {
            self.ids.clear();
        }
        self.highest = self.highest.max(id);
        self.ids.insert(id);
    }

    /// Whether it answers something, be it from before the capture.
    fn answers(&mut self, id: u32) -> bool {
        self.ids.remove(&id) || id > self.highest || self.highest == 0
    }
}

impl Parser for OpenWire {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let Some((total, kind)) = head(input.bytes) else {
            return Step::Reject("not a command of OpenWire");
        };
        let view = match view(input, total, WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let body = view.bytes.get(HEAD..).unwrap_or_default();
        if kind == FORMAT {
            let format = Format::parse(body);
            let fields = message::format(&format);
            self.formats.told(side, format);
            out.emit(Message::new(Kind::OneWay, fields).truncated(view.cut));
            return Step::Consume(total);
        }
        self.formats.guess(body);
        let command = Command::read(kind, body, &mut self.formats, side);
        let (role, asker, id) = if RESPONSES.contains(&kind) {
            (Kind::Response, side.other(), command.correlation)
        } else if command.response_required {
            (Kind::Request, side, command.id)
        } else {
            (Kind::OneWay, side, command.id)
        };
        if let Some(awaited) = self.awaited.get_mut(asker.index()) {
            if role == Kind::Request {
                awaited.asked(id);
            } else if role == Kind::Response && !awaited.answers(id) {
                return Step::Consume(total);
            }
        }
        let fields = message::fields(kind, command, self.formats.version(), body);
        let message = Message::new(role, fields).truncated(view.cut);
        out.emit(if role == Kind::OneWay { message } else { message.keyed(key_of(u64::from(id), asker)) });
        Step::Consume(total)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        head(bytes).is_some_and(|(total, _)| total <= 1 << 24)
    }

    fn lost(&mut self, side: Side, _out: &mut Output<'_>) {
        self.formats.forget(side);
    }
}
