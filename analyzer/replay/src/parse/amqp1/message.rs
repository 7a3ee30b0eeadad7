//! Performatives and messages of AMQP 1.0 as rows see them (parts 2, 3 and 5 of the standard).

use super::super::cursor::Cursor;
use super::super::text::{clean_to, hex};
use super::super::trace_context;
use super::value::{Value, list, value};
use crate::model::{RequestFields, Side, Status};

pub(super) const OPEN: u64 = 0x10;
pub(super) const BEGIN: u64 = 0x11;
pub(super) const ATTACH: u64 = 0x12;
pub(super) const TRANSFER: u64 = 0x14;
pub(super) const DISPOSITION: u64 = 0x15;
pub(super) const DETACH: u64 = 0x16;
pub(super) const END: u64 = 0x17;
pub(super) const CLOSE: u64 = 0x18;
pub(super) const SASL_INIT: u64 = 0x41;
pub(super) const SASL_OUTCOME: u64 = 0x44;

/// Longest address or id that is kept.
const NAME_LIMIT: usize = 256;

/// Name of a performative. `None`: there is none of that number.
pub(super) fn name(kind: u64) -> Option<&'static str> {
    Some(match kind {
        OPEN => "Open",
        BEGIN => "Begin",
        ATTACH => "Attach",
        0x13 => "Flow",
        TRANSFER => "Transfer",
        DISPOSITION => "Disposition",
        DETACH => "Detach",
        END => "End",
        CLOSE => "Close",
        0x40 => "SaslMechanisms",
        SASL_INIT => "SaslInit",
        0x42 => "SaslChallenge",
        0x43 => "SaslResponse",
        SASL_OUTCOME => "SaslOutcome",
        _ => return None,
    })
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Bytes of all of it.
    pub(super) size: u32,
    /// Bytes in front of the body.
    pub(super) body_at: usize,
    pub(super) is_sasl: bool,
    pub(super) channel: u16,
}

impl Frame {
    /// `None`: not a frame, or fewer than eight bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (size, offset, kind, channel) = (cursor.u32()?, cursor.u8()?, cursor.u8()?, cursor.u16()?);
        let body_at = usize::from(offset) * 4;
        let fits = offset >= 2 && kind <= 1 && size as usize >= body_at && size <= 1 << 28;
        fits.then_some(Self { size, body_at, is_sasl: kind == 1, channel })
    }

    /// The performative in a frame: its number, its fields, what follows it. An empty frame has none.
    pub(super) fn performative(self, bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
        let body = bytes.get(self.body_at..(self.size as usize).min(bytes.len()))?;
        let mut cursor = Cursor::new(body);
        match value(&mut cursor)? {
            Value::Described(kind, fields) => {
                let belongs = name(kind).is_some() && (kind >= 0x40) == self.is_sasl;
                belongs.then_some((kind, fields, cursor.rest()))
            }
            _ => None,
        }
    }
}

/// An address in a source or target.
fn address<'a>(terminus: Option<Value<'a>>) -> Option<&'a [u8]> {
    match terminus {
        Some(Value::Described(_, fields)) => list(fields).next().and_then(Value::bytes),
        _ => None,
    }
}

/// A link being attached: its name, handle, whether who says so receives, and the address at the server.
pub(super) fn attach(fields: &[u8], side: Side) -> Option<(&[u8], u64, bool, Box<str>)> {
    let mut fields = list(fields);
    let (name, handle, role) = (fields.next()?.bytes()?, fields.next()?.number()?, fields.next()?.is_true());
    let mut ends = fields.skip(2);
    let (source, target) = (ends.next(), ends.next());
    let at_server = if role == (side == Side::Client) { source } else { target };
    let address = address(at_server).map(|address| clean_to(address, NAME_LIMIT)).unwrap_or_default();
    Some((name, handle, role, address))
}

/// A message, or a part of one, on its way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transfer {
    pub(super) handle: u64,
    pub(super) delivery: Option<u64>,
    pub(super) settled: bool,
    pub(super) more: bool,
    pub(super) aborted: bool,
}

/// The fields of a transfer.
pub(super) fn transfer(fields: &[u8]) -> Option<Transfer> {
    let mut values = list(fields);
    let mut transfer = Transfer { handle: values.next()?.number()?, ..Transfer::default() };
    for (place, value) in (1..10).zip(values) {
        match place {
            1 => transfer.delivery = value.number(),
            4 => transfer.settled = value.is_true(),
            5 => transfer.more = value.is_true(),
            9 => transfer.aborted = value.is_true(),
            _ => {}
        }
    }
    Some(transfer)
}

/// A disposition: whether a receiver says so, of which deliveries, and what has become of them.
pub(super) fn disposition(fields: &[u8]) -> Option<(bool, u64, u64, RequestFields)> {
    let mut fields = list(fields);
    let (role, first) = (fields.next()?.is_true(), fields.next()?.number()?);
    let last = fields.next().and_then(Value::number).unwrap_or(first);
    let settled = fields.next().is_some_and(Value::is_true);
    let mut answer = RequestFields::default();
    match fields.next() {
        Some(Value::Described(state, details)) => {
            let text = match state {
                0x23 => "received",
                0x24 => "accepted",
                0x25 => "rejected",
                0x26 => "released",
                0x27 => "modified",
                0x34 => "transactional",
                _ => "",
            };
            answer.result = text.into();
            answer.status = Status::Ok;
            if state == 0x25 {
                answer.status = Status::ClientError;
                error(list(details).next(), &mut answer);
            } else if state == 0x23 && !settled {
                // Not the last word.
                return None;
            }
        }
        _ => answer.status = Status::Ok,
    }
    Some((role, first, last, answer))
}

/// An error: its condition and what is said of it.
pub(super) fn error(error: Option<Value<'_>>, fields: &mut RequestFields) {
    let Some(Value::Described(0x1d, details)) = error else { return };
    let mut details = list(details);
    let condition = details.next().and_then(Value::bytes).unwrap_or_default();
    let text = details.next().and_then(Value::bytes).unwrap_or_default();
    let both = if text.is_empty() { condition.to_vec() } else { [condition, text].join(&b": "[..]) };
    fields.exception = clean_to(&both, 512);
    // What the node or the network could not do; all else is what was asked for (section 2.8.15 and those behind it).
    let of_server: [&[u8]; 8] = [
        b"amqp:internal-error",
        b"amqp:not-implemented",
        b"amqp:resource-limit-exceeded",
        b"amqp:resource-deleted",
        b"amqp:connection:forced",
        b"amqp:connection:redirect",
        b"amqp:link:detach-forced",
        b"amqp:link:redirect",
    ];
    fields.status = if of_server.contains(&condition) { Status::ServerError } else { Status::ClientError };
}

/// A message's sections (part 3): what names it, and trace context among its properties.
pub(super) fn sections(bytes: &[u8], fields: &mut RequestFields) {
    let mut cursor = Cursor::new(bytes);
    for _ in 0..8 {
        let Some(Value::Described(section, items)) = value(&mut cursor) else { return };
        match section {
            // Message id, user, to, subject, reply-to, correlation id.
            0x73 => {
                for (place, value) in list(items).take(6).enumerate() {
                    match (place, value) {
                        (0, value) => fields.x_request_id = id(value),
                        (3, Value::Bytes(text)) if !text.is_empty() => {
                            fields.attributes.push(("subject", clean_to(text, NAME_LIMIT)));
                        }
                        (4, Value::Bytes(text)) if !text.is_empty() => {
                            fields.attributes.push(("reply_to", clean_to(text, NAME_LIMIT)));
                        }
                        // An answer has the id of its question.
                        (5, value) => {
                            let asked = id(value);
                            if !asked.is_empty() {
                                fields.x_request_id = asked;
                            }
                        }
                        _ => {}
                    }
                }
            }
            0x72 | 0x74 => {
                let mut pairs = list(items);
                while let (Some(name), Some(value)) = (pairs.next(), pairs.next()) {
                    if let (Value::Bytes(name), Value::Bytes(value)) = (name, value) {
                        if name.eq_ignore_ascii_case(b"diagnostic-id") {
                            trace_context::traceparent(value, fields);
                        } else {
                            trace_context::header(name, value, fields);
                        }
                    }
                }
            }
            0x70 | 0x71 => {}
            _ => return,
        }
    }
}

/// A message's id: text, binary, a number or a UUID.
fn id(value: Value<'_>) -> Box<str> {
    match value {
        Value::Bytes(bytes) => clean_to(bytes, NAME_LIMIT),
        Value::Number(number) => number.to_string().into(),
        Value::Uuid(bytes) => {
            let mut text = hex(bytes);
            for at in [20, 16, 12, 8] {
                text.insert(at, '-');
            }
            text.into()
        }
        _ => Box::default(),
    }
}
