//! Kafka: requests with a length, a kind and a version; responses that say nothing but the correlation id, so that they
//! can only be read when the request was seen.

mod api;
mod layout;
mod message;
#[cfg(test)]
pub(super) mod tests;

use super::mask::Secret;
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use ahash::AHashMap;
use message::{Awaited, FIXED, Head, Topics};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "kafka",
    ports: &[9092, 9093, 9094],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Kafka::default()),
};

/// Bytes of a message looked at.
const WINDOW: usize = 4096;
/// The same of records, whose beginning may be compressed, and of descriptions of topics.
const LONG_WINDOW: usize = 32 * 1024;
/// Requests remembered; beyond, all are forgotten.
const REMEMBERED: usize = 32 * 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.len() < FIXED {
        // Small numbers: the high bytes of the length, of the kind and of the version.
        let small = |at: usize, most: u8| bytes.get(at).is_none_or(|byte| *byte <= most);
        let fits =
            small(0, 0x3f) && small(4, 0) && small(5, api::LAST) && small(6, 0) && small(7, 24) && small(8, 0x3f);
        return if fits && !first.whole && !bytes.is_empty() { Detection::More } else { Detection::No };
    }
    let Some(head) = Head::parse(bytes) else {
        return Detection::No;
    };
    let (fields, _) = head.request(bytes, &Topics::default());
    let topic = !fields.request_resource.is_empty()
        && fields.request_resource.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let named = head.client_id.len() > 2;
    let confidence = match (named, topic) {
        (true, true) => 88,
        (true, false) => 72,
        (false, true) => 65,
        (false, false) => 30,
    };
    Detection::Yes { confidence, from: Some(Side::Client) }
}

#[derive(Debug, Default)]
struct Kafka {
    /// By correlation id.
    awaited: AHashMap<u32, Awaited>,
    /// As the brokers told them.
    topics: Topics,
}

impl Parser for Kafka {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        match side {
            Side::Client => self.request(input, out),
            Side::Server => self.response(input, out),
        }
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        match side {
            Side::Client => Head::parse(bytes).is_some(),
            Side::Server => answered(bytes).is_some_and(|(_, correlation)| self.awaited.contains_key(&correlation)),
        }
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}

impl Kafka {
    fn request(&mut self, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < FIXED {
            return Step::More(FIXED);
        }
        let Some(head) = Head::parse(input.bytes) else {
            return Step::Reject("not a request of Kafka");
        };
        let window = window(head.key);
        let wanted = usize::try_from(head.total()).map_or(window, |total| total.min(window));
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let (fields, no_answer) = head.request(input.bytes, &self.topics);
        if matches!(head.api.name, "SaslAuthenticate") && !out.mask.shows() {
            out.mask.hid(Secret::Login, 1);
        }
        if !no_answer {
            if self.awaited.len() >= REMEMBERED {
                self.awaited.clear();
            }
            self.awaited.insert(head.correlation, Awaited { key: head.key, version: head.version });
        }
        let kind = if no_answer { Kind::OneWay } else { Kind::Request };
        let message = Message::new(kind, fields).truncated(input.bytes.len() < wanted);
        out.kick = true;
        out.emit(message.keyed(u64::from(head.correlation)));
        Step::Consume(head.total())
    }

    fn response(&mut self, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let Some((size, correlation)) = answered(input.bytes) else {
            return if input.bytes.len() < 8 { Step::More(8) } else { Step::Reject("not a response of Kafka") };
        };
        let total = u64::from(size) + 4;
        let Some(awaited) = self.awaited.get(&correlation).copied() else {
            // Asked before the capture began; believed if it ends where the bytes end.
            return if total == input.bytes.len() as u64 {
                Step::Consume(total)
            } else {
                Step::Reject("answers no request")
            };
        };
        let window = if awaited.key == 0 { WINDOW } else { window(awaited.key) };
        let wanted = usize::try_from(total).map_or(window, |total| total.min(window));
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        self.awaited.remove(&correlation);
        let end = usize::try_from(total).unwrap_or(usize::MAX).min(input.bytes.len());
        let fields = message::response(awaited, input.bytes.get(8..end).unwrap_or_default(), &mut self.topics);
        let message = Message::new(Kind::Response, fields).truncated(input.bytes.len() < wanted);
        out.emit(message.keyed(u64::from(correlation)));
        Step::Consume(total)
    }
}

/// How much of a message of that kind is looked at: Produce and Metadata more than others.
fn window(key: i16) -> usize {
    if matches!(key, 0 | 3) { LONG_WINDOW } else { WINDOW }
}

/// Length and correlation id of a response.
fn answered(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut cursor = super::cursor::Cursor::new(bytes);
    let size = cursor.u32().filter(|size| (4..=1 << 30).contains(size))?;
    Some((size, cursor.u32()?))
}
