//! LDAP (RFC 4511): operations by message id; a search is answered by its entries and the result behind them. `StartTLS`;
//! messages inside the integrity layer of SASL.

mod filter;
mod message;
mod sasl;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{Side, Transport};
use ahash::AHashMap;
use message::{Envelope, HEAD};
use sasl::Buffer;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "ldap",
    ports: &[389, 3268],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Ldap::default()),
};

/// Bytes of a message looked at.
const WINDOW: usize = 2048;
/// Searches whose entries are counted.
const REMEMBERED: usize = 4096;

fn detect(first: First<'_>) -> Detection {
    // Connectionless LDAP is how Windows looks for its domain controllers ([MS-ADTS] section 6.3.3).
    if !matches!(first.transport, Transport::Tcp | Transport::Unix | Transport::Udp) {
        return Detection::No;
    }
    let bytes = first.bytes;
    let side = |message: &Envelope<'_>| if message.operation.is_response { Side::Server } else { Side::Client };
    match Envelope::parse(bytes) {
        // A version and a name; what else is a sequence with a number is less sure.
        Some(message) if message.operation.tag == message::BIND => {
            let version = matches!(message.content.get(..3), Some([2, 1, 2 | 3]));
            Detection::Yes { confidence: if version { 90 } else { 40 }, from: Some(Side::Client) }
        }
        Some(message) => Detection::Yes { confidence: 70, from: Some(side(&message)) },
        None if bytes.first() == Some(&0) => inside(bytes),
        None => {
            let fits = bytes.first() == Some(&0x30) && bytes.len() < HEAD && !first.whole;
            if fits { Detection::More } else { Detection::No }
        }
    }
}

/// A buffer of SASL, in the middle of a connection.
fn inside(bytes: &[u8]) -> Detection {
    let Some(buffer) = Buffer::parse(bytes) else {
        return Detection::No;
    };
    let message = bytes.get(buffer.head..).filter(|_| buffer.plain > 0).and_then(Envelope::parse);
    let from = |server| if server { Side::Server } else { Side::Client };
    match (message, buffer.from_server) {
        (Some(message), _) => Detection::Yes { confidence: 75, from: Some(from(message.operation.is_response)) },
        // Encrypted: the token's head only.
        (None, Some(server)) if buffer.plain == 0 => Detection::Yes { confidence: 40, from: Some(from(server)) },
        _ => Detection::No,
    }
}

/// What has come of a search.
#[derive(Clone, Copy, Debug)]
struct Found {
    since: Mark,
    entries: u64,
    bytes: u64,
}

/// What is left of a buffer of SASL, bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// Of what it protects.
    plain: u64,
    /// Behind that.
    tail: u64,
}

#[derive(Debug, Default)]
struct Ldap {
    found: AHashMap<u32, Found>,
    /// The message that asks for TLS.
    securing: Option<u32>,
    /// Per side.
    left: [Left; 2],
}

impl Parser for Ldap {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let left = self.left.get(side as usize).copied().unwrap_or_default();
        let shown = input.bytes.len();
        if left.plain == 0 && input.bytes.first() == Some(&0) {
            if shown < sasl::HEAD + HEAD && !input.cut {
                // The shortest buffer is shorter than what is asked for.
                let whole = input.bytes.first_chunk().map_or(usize::MAX, |n| 4 + u32::from_be_bytes(*n) as usize);
                if shown < whole {
                    return Step::More((sasl::HEAD + HEAD).min(whole).max(shown + 1));
                }
            }
            return match Buffer::parse(input.bytes) {
                Some(buffer) if buffer.plain > 0 => {
                    let tail = buffer.total.saturating_sub(buffer.head as u64 + buffer.plain);
                    self.message(side, input, buffer.head, Left { plain: buffer.plain, tail }, out)
                }
                // What is encrypted is passed over.
                Some(buffer) => Step::Consume(buffer.total),
                None => Step::Reject("neither a message of LDAP nor a buffer of SASL"),
            };
        }
        if left.plain == 0 {
            return self.message(side, input, 0, Left::default(), out);
        }
        if input.bytes.first() != Some(&0x30) {
            // Padding.
            self.keep(side, Left::default());
            return Step::Consume(left.plain.saturating_add(left.tail));
        }
        self.message(side, input, 0, left, out)
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        let at = Buffer::parse(bytes).map_or(0, |buffer| buffer.head);
        let message = bytes.get(at..).and_then(Envelope::parse);
        message.is_some_and(|message| message.operation.is_response == (side == Side::Server))
    }

    fn lost(&mut self, side: Side, _out: &mut Output<'_>) {
        self.keep(side, Left::default());
    }
}

impl Ldap {
    fn keep(&mut self, side: Side, left: Left) {
        if let Some(place) = self.left.get_mut(side as usize) {
            *place = left;
        }
    }

    /// The message behind `head` bytes; of a buffer of SASL, `left` is what it holds from there on.
    fn message(&mut self, side: Side, input: Input<'_>, head: usize, left: Left, out: &mut Output<'_>) -> Step {
        let bytes = input.bytes.get(head..).unwrap_or_default();
        let layered = left.plain > 0;
        let Some(message) = Envelope::parse(bytes).filter(|message| !layered || message.total <= left.plain) else {
            let fits = bytes.first() == Some(&0x30) && bytes.len() < HEAD + 8;
            let more = !layered || (bytes.len() as u64) < left.plain;
            if (fits || bytes.is_empty()) && more {
                return Step::More(input.bytes.len() + 1);
            }
            if !layered {
                return Step::Reject("not a message of LDAP");
            }
            // Encrypted without a word of it, as with NTLM.
            self.keep(side, Left::default());
            return Step::Consume((head as u64).saturating_add(left.plain).saturating_add(left.tail));
        };
        if message.operation.is_response != (side == Side::Server) {
            return Step::Reject("from the wrong side");
        }
        let wanted = usize::try_from(message.total).map_or(WINDOW, |total| total.min(WINDOW));
        if bytes.len() < wanted && !input.cut {
            return Step::More(head + wanted);
        }
        let cut = bytes.len() < wanted;
        let rest = left.plain.saturating_sub(message.total);
        let tail = if rest == 0 { left.tail } else { 0 };
        self.keep(side, if rest == 0 { Left::default() } else { Left { plain: rest, ..left } });
        match side {
            Side::Client => self.request(&message, cut, out),
            Side::Server => self.response(&message, cut, out),
        }
        Step::Consume((head as u64).saturating_add(message.total).saturating_add(tail))
    }

    fn request(&mut self, message: &Envelope<'_>, cut: bool, out: &mut Output<'_>) {
        if message.is_start_tls() {
            self.securing = Some(message.id);
        }
        let kind = match message.operation.tag {
            message::UNBIND | message::ABANDON => Kind::OneWay,
            _ => Kind::Request,
        };
        let fields = message.request(out.mask);
        out.emit(Message::new(kind, fields).keyed(u64::from(message.id)).truncated(cut));
    }

    fn response(&mut self, message: &Envelope<'_>, cut: bool, out: &mut Output<'_>) {
        if matches!(message.operation.tag, message::ENTRY | message::REFERENCE | message::INTERMEDIATE) {
            if self.found.len() < REMEMBERED || self.found.contains_key(&message.id) {
                let found = self.found.entry(message.id).or_insert(Found { since: out.mark, entries: 0, bytes: 0 });
                found.entries += u64::from(message.operation.tag == message::ENTRY);
                found.bytes = found.bytes.saturating_add(message.total);
            }
            return;
        }
        let mut answer = Message::new(Kind::Response, message.response()).keyed(u64::from(message.id)).truncated(cut);
        let found = self.found.remove(&message.id);
        if message.operation.name == "Search" {
            answer.fields.affected_rows = Some(found.map_or(0, |found| found.entries));
        }
        if let Some(found) = found {
            answer.bytes = Some(found.bytes.saturating_add(message.total));
            answer = answer.since(found.since);
        }
        if self.securing == Some(message.id) {
            self.securing = None;
            if answer.fields.code == Some(0) {
                out.switch = Some(Switch::Detect);
            }
        }
        out.emit(answer);
    }
}
