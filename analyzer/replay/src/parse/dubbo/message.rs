//! Dubbo invocations as rows see them: service and method from Hessian 2 or JSON, trace ids from attachments.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use super::super::trace_context;
use crate::model::{RequestFields, Status};

/// The head of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) is_request: bool,
    pub(super) two_way: bool,
    pub(super) event: bool,
    serialization: u8,
    status: u8,
    pub(super) id: u64,
    length: u32,
}

/// Bytes of the head.
pub(super) const HEAD: usize = 16;
const HESSIAN2: u8 = 2;
const FASTJSON: u8 = 6;

impl Head {
    /// `None`: not a message.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        cursor.u16().filter(|magic| *magic == 0xdabb)?;
        let (flags, status) = (cursor.u8()?, cursor.u8()?);
        let (id, length) = (cursor.u64()?, cursor.u32()?);
        let is_request = flags & 0x80 != 0;
        let fits = flags & 0x1f != 0 && length <= 1 << 30 && (is_request || status != 0);
        fits.then_some(Self {
            is_request,
            two_way: flags & 0x40 != 0,
            event: flags & 0x20 != 0,
            serialization: flags & 0x1f,
            status,
            id,
            length,
        })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        HEAD as u64 + u64::from(self.length)
    }

    /// As a row.
    pub(super) fn request(self, body: &[u8]) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "dubbo", session_id: Some(self.id), ..RequestFields::default() };
        if self.event {
            fields.request_type = "Event".into();
            return fields;
        }
        let words = match self.serialization {
            HESSIAN2 => hessian_words(body),
            FASTJSON => json_words(body),
            _ => return fields,
        };
        let [version, service, service_version, method] = words;
        fields.request_type = clean_to(method, 256);
        fields.request_resource = clean_to(service, 256);
        if !method.is_empty() {
            fields.endpoint = format!("{}/{}", fields.request_resource, fields.request_type).into();
        }
        for (name, value) in [("dubbo_version", version), ("service_version", service_version)] {
            if !value.is_empty() {
                fields.attributes.push((name, clean_to(value, 64)));
            }
        }
        if self.serialization == HESSIAN2 {
            attachments(body, &mut fields);
        }
        fields
    }

    /// As a row.
    pub(super) fn response(self, body: &[u8]) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "dubbo", ..RequestFields::default() };
        fields.code = Some(i32::from(self.status));
        fields.status = match self.status {
            20 => Status::Ok,
            30 | 40 | 90 => Status::ClientError,
            31 | 50 | 60 | 70 | 80 | 100 => Status::ServerError,
            _ => Status::Unknown,
        };
        if self.status != 20 && self.serialization == HESSIAN2 {
            fields.exception = hessian_string(&mut Cursor::new(body)).map_or_else(Box::default, |t| clean_to(t, 512));
        }
        fields
    }
}

/// Version of Dubbo, service, version of the service, method.
fn hessian_words(body: &[u8]) -> [&[u8]; 4] {
    let mut cursor = Cursor::new(body);
    let mut words = [&[][..]; 4];
    for word in &mut words {
        match hessian_string(&mut cursor) {
            Some(text) => *word = text,
            None => break,
        }
    }
    words
}

/// The same, one JSON value a line.
fn json_words(body: &[u8]) -> [&[u8]; 4] {
    let mut words = [&[][..]; 4];
    for (word, line) in words.iter_mut().zip(body.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        *word = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or_default();
    }
    words
}

/// A string (a null is empty), its length told in characters.
fn hessian_string<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let characters = match cursor.u8()? {
        short @ 0..=0x1f => usize::from(short),
        high @ 0x30..=0x33 => usize::from(high - 0x30) << 8 | usize::from(cursor.u8()?),
        // Pieces of longer texts are not put together.
        b'S' | b'R' => usize::from(cursor.u16()?),
        b'N' => 0,
        _ => return None,
    };
    let rest = cursor.rest();
    let mut at = 0;
    for _ in 0..characters {
        at += match rest.get(at)? {
            0..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => return None,
        };
    }
    cursor.take(at)
}

/// Trace ids among the attachments. Arguments stand in front of them and may be of any type: the names are looked for.
fn attachments(body: &[u8], fields: &mut RequestFields) {
    const HEADERS: [&[u8]; 8] =
        [b"traceparent", b"sw8", b"sw6", b"uber-trace-id", b"b3", b"x-request-id", b"X-B3-TraceId", b"X-B3-SpanId"];
    for name in HEADERS {
        if let Some(value) = attachment(body, name) {
            trace_context::header(name, value, fields);
        }
    }
    if fields.trace_id.is_empty() {
        let ids: [(&[u8], &[u8]); 2] = [(b"EagleEye-TraceID", b"EagleEye-SpanID"), (b"X-B3-TraceId", b"X-B3-SpanId")];
        for (trace, span) in ids {
            if let Some(value) = attachment(body, trace) {
                fields.trace_id = clean_to(value, 256);
                fields.span_id = attachment(body, span).map_or_else(Box::default, |value| clean_to(value, 256));
                break;
            }
        }
    }
}

/// The text that follows the text `name`.
fn attachment<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    for at in memchr::memmem::find_iter(body, name).take(8) {
        let named = at.checked_sub(1).and_then(|before| body.get(before)).copied();
        if named.map(usize::from) == Some(name.len()) {
            let mut cursor = Cursor::new(body.get(at + name.len()..)?);
            if let Some(value) = hessian_string(&mut cursor).filter(|value| !value.is_empty()) {
                return Some(value);
            }
        }
    }
    None
}
