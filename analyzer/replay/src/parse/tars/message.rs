//! Tars packets as rows see them.

use super::super::cursor::Cursor;
use super::super::text::{clean_to, number};
use super::super::trace_context;
use super::encoding::{Stuck, Value, pairs, value};
use crate::model::{RequestFields, Status};

/// Largest packet that is believed, bytes: servers take 100 MiB at most.
const LIMIT: u32 = 100 << 20;
/// What is packed here is a call of Tars, of TUP, of TUP with maps of its own.
const VERSIONS: [i64; 3] = [1, 2, 3];
const ONE_WAY: i64 = 1;

/// The start of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    total: u32,
    version: i64,
    packet: i64,
    pub(super) id: u64,
    /// A call: whose it is.
    servant: Option<&'a [u8]>,
    /// An answer: its code.
    code: i32,
    /// Where the rest starts.
    rest_at: usize,
}

impl<'a> Head<'a> {
    /// Size, version, kind of packet and of message, id, and what is called, or how it ended.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Stuck> {
        let mut cursor = Cursor::new(bytes);
        let total = cursor.u32().ok_or(if bytes.first().is_none_or(|first| *first < 8) {
            Stuck::Short
        } else {
            Stuck::Wrong
        })?;
        if !(14..=LIMIT).contains(&total) {
            return Err(Stuck::Wrong);
        }
        let mut numbers = [0_i64; 4];
        for (tag, place) in (1_u8..).zip(&mut numbers) {
            // What comes is told by its first byte, before the rest of it is there.
            if cursor.rest().first().is_some_and(|head| head >> 4 != tag) {
                return Err(Stuck::Wrong);
            }
            match value(&mut cursor)? {
                (_, Value::Number(number)) => *place = number,
                _ => return Err(Stuck::Wrong),
            }
            if tag == 1 && !VERSIONS.contains(place) {
                return Err(Stuck::Wrong);
            }
        }
        let [version, packet, third, fourth] = numbers;
        // Shortest encoding only: a version takes one byte, a packet's kind is 0 or 1.
        if bytes.get(4) != Some(&0x10) || !(0..=1).contains(&packet) {
            return Err(Stuck::Wrong);
        }
        let (servant, code, id) = match value(&mut cursor)? {
            (5, Value::Text(servant)) if is_name(servant) => (Some(servant), 0, fourth),
            (5, Value::Number(code)) if version == 1 => (None, i32::try_from(code).map_err(|_| Stuck::Wrong)?, third),
            _ => return Err(Stuck::Wrong),
        };
        let next = *cursor.rest().first().ok_or(Stuck::Short)?;
        // The method's name; or the answer's bytes.
        let fits = if servant.is_some() { matches!(next, 0x66 | 0x67) } else { next == 0x6d };
        let id = u64::from(u32::try_from(id & 0xffff_ffff).unwrap_or_default());
        let rest_at = cursor.position();
        if fits { Ok(Self { total, version, packet, id, servant, code, rest_at }) } else { Err(Stuck::Wrong) }
    }

    /// Bytes on the stream.
    pub(super) fn total(&self) -> u64 {
        u64::from(self.total)
    }

    /// Whether something is called.
    pub(super) fn is_request(&self) -> bool {
        self.servant.is_some()
    }

    /// Whether no answer comes.
    pub(super) fn one_way(&self) -> bool {
        self.packet == ONE_WAY
    }

    fn version(&self) -> &'static str {
        match self.version {
            2 => "2",
            3 => "3",
            _ => "1",
        }
    }

    /// As a row.
    pub(super) fn request(&self, bytes: &[u8]) -> RequestFields {
        let mut fields =
            RequestFields { version: self.version(), session_id: Some(self.id), ..RequestFields::default() };
        fields.request_resource = clean_to(self.servant.unwrap_or_default(), 256);
        let mut cursor = Cursor::new(bytes.get(self.rest_at..).unwrap_or_default());
        while let Ok((tag, value)) = value(&mut cursor) {
            match (tag, value) {
                (6, Value::Text(method)) => fields.request_type = clean_to(method, 256),
                (8, Value::Number(milliseconds)) if milliseconds > 0 => {
                    fields.attributes.push(("timeout_ms", number(milliseconds.cast_unsigned())));
                }
                (_, Value::Map(count)) => pairs(&mut cursor, count, |name, text| context(name, text, &mut fields)),
                _ => {}
            }
        }
        fields.endpoint = format!("{}/{}", fields.request_resource, fields.request_type).into();
        fields
    }

    /// As a row.
    pub(super) fn response(&self, bytes: &[u8]) -> RequestFields {
        let mut fields = RequestFields { code: Some(self.code), status: status(self.code), ..RequestFields::default() };
        let mut cursor = Cursor::new(bytes.get(self.rest_at..).unwrap_or_default());
        while let Ok((tag, value)) = value(&mut cursor) {
            match (tag, value) {
                (8, Value::Text(text)) => fields.exception = clean_to(text, 512),
                (_, Value::Map(count)) => pairs(&mut cursor, count, |_, _| {}),
                _ => {}
            }
        }
        if fields.exception.is_empty() {
            fields.exception = error(self.code).into();
        }
        fields
    }
}

/// `Application.Server.ObjName`, of any number of parts.
fn is_name(text: &[u8]) -> bool {
    (1..=256).contains(&text.len())
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@' | b':' | b'/'))
}

/// Names of what can go wrong.
fn error(code: i32) -> &'static str {
    match code {
        -1 => "server decode error",
        -2 => "server encode error",
        -3 => "no such function",
        -4 => "no such servant",
        -5 => "grid reset",
        -6 => "queue timeout",
        -7 => "invoke timeout",
        -8 => "proxy connect error",
        -9 => "server overload",
        -10 => "no adapter",
        -11 => "invalid set",
        -12 => "client decode error",
        -13 => "send error",
        -99 => "unknown server error",
        _ => "",
    }
}

fn status(code: i32) -> Status {
    match code {
        0 => Status::Ok,
        -1 | -3 | -4 | -11 | -12 => Status::ClientError,
        _ => Status::ServerError,
    }
}

/// A pair of a call's context or status.
fn context(name: &[u8], text: &[u8], fields: &mut RequestFields) {
    if name == b"STATUS_TRACE_KEY" {
        // type-trace|span|parent, the type in hex digits.
        let mut parts = text.split(|byte| *byte == b'|');
        if let (Some(trace), Some(span), Some(parent)) = (parts.next(), parts.next(), parts.next()) {
            let trace = trace.iter().position(|byte| *byte == b'-').and_then(|at| trace.get(at + 1..)).unwrap_or(trace);
            fields.trace_id = clean_to(trace, 256);
            fields.span_id = clean_to(span, 256);
            fields.parent_span_id = clean_to(parent, 256);
        }
        return;
    }
    trace_context::header(name, text, fields);
}
