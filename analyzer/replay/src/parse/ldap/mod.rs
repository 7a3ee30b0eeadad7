//! LDAP: operations by message id; a search is answered by its entries and the result behind them. `StartTLS`.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::mask::Secret;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{Side, Transport};
use ahash::AHashMap;
use message::{Envelope, HEAD};

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
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
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
        None => {
            let fits = bytes.first() == Some(&0x30) && bytes.len() < HEAD && !first.whole;
            if fits { Detection::More } else { Detection::No }
        }
    }
}

/// What has come of a search.
#[derive(Clone, Copy, Debug)]
struct Found {
    since: Mark,
    entries: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Ldap {
    found: AHashMap<u32, Found>,
    /// The message that asks for TLS.
    securing: Option<u32>,
}

impl Parser for Ldap {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let Some(message) = Envelope::parse(input.bytes) else {
            let fits = input.bytes.first() == Some(&0x30) && input.bytes.len() < HEAD + 8;
            return if fits { Step::More(input.bytes.len() + 1) } else { Step::Reject("not a message of LDAP") };
        };
        if message.operation.is_response != (side == Side::Server) {
            return Step::Reject("from the wrong side");
        }
        let wanted = usize::try_from(message.total).map_or(WINDOW, |total| total.min(WINDOW));
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let cut = input.bytes.len() < wanted;
        match side {
            Side::Client => self.request(&message, cut, out),
            Side::Server => self.response(&message, cut, out),
        }
        Step::Consume(message.total)
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        Envelope::parse(bytes).is_some_and(|message| message.operation.is_response == (side == Side::Server))
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}

impl Ldap {
    fn request(&mut self, message: &Envelope<'_>, cut: bool, out: &mut Output<'_>) {
        if message.operation.tag == message::BIND && !out.mask.shows() {
            // The password is left out.
            out.mask.hid(Secret::Login, 1);
        }
        if message.is_start_tls() {
            self.securing = Some(message.id);
        }
        let kind = match message.operation.tag {
            message::UNBIND | message::ABANDON => Kind::OneWay,
            _ => Kind::Request,
        };
        out.emit(Message::new(kind, message.request()).keyed(u64::from(message.id)).truncated(cut));
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
