//! Messages of bolt as rows see them.

use super::super::cursor::Cursor;
use super::super::text::{clean_to, number};
use super::super::trace_context;
use crate::model::{RequestFields, Status};

pub(super) const RESPONSE: u8 = 0;
pub(super) const REQUEST: u8 = 1;
pub(super) const ONE_WAY: u8 = 2;
const HEARTBEAT: u16 = 0;
/// Largest content that is believed, bytes.
const LIMIT: u32 = 256 << 20;
/// Bytes behind the content that version 2 may add: a checksum.
const CHECKSUM: u64 = 4;
/// What the classes of calls end with: requests, answers.
const HESSIAN: u8 = 1;

/// Why there is no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// The bytes end.
    Short,
    /// This is none.
    Wrong,
}

/// The head of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    version: u8,
    pub(super) kind: u8,
    command: u16,
    codec: u8,
    checked: bool,
    pub(super) id: u64,
    /// A request's time-out in milliseconds, an answer's status.
    number: u32,
    class: u16,
    headers: u16,
    content: u32,
    /// Bytes of the head.
    len: usize,
}

impl Head {
    /// Reads either version.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Stuck> {
        let mut cursor = Cursor::new(bytes);
        let version = cursor.u8().ok_or(Stuck::Short)?;
        if !(1..=2).contains(&version) || version == 2 && cursor.u8().ok_or(Stuck::Short)? != 1 {
            return Err(Stuck::Wrong);
        }
        let kind = cursor.u8().ok_or(Stuck::Short)?;
        if kind > ONE_WAY {
            return Err(Stuck::Wrong);
        }
        let command = cursor.u16().ok_or(Stuck::Short)?;
        let wanted = if kind == RESPONSE { 2 } else { 1 };
        if command != HEARTBEAT && command != wanted || cursor.u8().ok_or(Stuck::Short)? != 1 {
            return Err(Stuck::Wrong);
        }
        let id = cursor.u32().ok_or(Stuck::Short)?;
        let codec = cursor.u8().ok_or(Stuck::Short)?;
        // Hessian 2, Protocol Buffers, JSON and their like.
        if !matches!(codec, 0..=20) {
            return Err(Stuck::Wrong);
        }
        let checked = version == 2 && cursor.u8().ok_or(Stuck::Short)? & 1 != 0;
        let number = if kind == RESPONSE {
            u32::from(cursor.u16().ok_or(Stuck::Short)?)
        } else {
            cursor.u32().ok_or(Stuck::Short)?
        };
        let class = cursor.u16().ok_or(Stuck::Short)?;
        let headers = cursor.u16().ok_or(Stuck::Short)?;
        let content = cursor.u32().ok_or(Stuck::Short)?;
        let fits = if command == HEARTBEAT {
            class == 0 && headers == 0 && content == 0
        } else {
            content <= LIMIT && class <= 1024
        };
        let head = Self {
            version,
            kind,
            command,
            codec,
            checked,
            id: u64::from(id),
            number,
            class,
            headers,
            content,
            len: cursor.position(),
        };
        if fits { Ok(head) } else { Err(Stuck::Wrong) }
    }

    /// Asks whether the other side lives, or says so.
    pub(super) fn is_heartbeat(&self) -> bool {
        self.command == HEARTBEAT
    }

    /// Whether the name of a class follows; `None`: it is not in view.
    pub(super) fn is_classy(&self, bytes: &[u8]) -> Option<bool> {
        if self.class < 3 {
            return Some(false);
        }
        let name = bytes.get(self.len..self.len + usize::from(self.class))?;
        let plain = name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$' | b'-' | b'[' | b';'));
        Some(plain && name.first().is_some_and(u8::is_ascii_alphabetic) && name.contains(&b'.'))
    }

    /// Bytes on the stream.
    pub(super) fn total(&self) -> u64 {
        let body = u64::from(self.class) + u64::from(self.headers) + u64::from(self.content);
        self.len as u64 + body + if self.checked { CHECKSUM } else { 0 }
    }

    fn version(&self) -> &'static str {
        if self.version == 1 { "bolt v1" } else { "bolt v2" }
    }

    fn parts<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], &'a [u8], &'a [u8]) {
        let mut cursor = Cursor::new(bytes.get(self.len..).unwrap_or_default());
        let class = cursor.up_to(usize::from(self.class));
        let headers = cursor.up_to(usize::from(self.headers));
        (class, headers, cursor.up_to(self.content as usize))
    }

    /// As a row.
    pub(super) fn request(&self, bytes: &[u8]) -> RequestFields {
        let mut fields =
            RequestFields { version: self.version(), session_id: Some(self.id), ..RequestFields::default() };
        if self.is_heartbeat() {
            fields.request_type = "Heartbeat".into();
            return fields;
        }
        let (_class, headers, _content) = self.parts(bytes);
        let mut cursor = Cursor::new(headers);
        let mut service = &[][..];
        while let Some((name, value)) = text(&mut cursor).zip(text(&mut cursor)) {
            match name {
                b"sofa_head_target_service" => service = value,
                b"service" if service.is_empty() => service = value,
                b"sofa_head_method_name" => fields.request_type = clean_to(value, 256),
                b"sofa_head_target_app" => fields.request_domain = clean_to(value, 256),
                b"new_rpc_trace_context" => context(value, &mut fields),
                b"rpc_trace_context.sofaTraceId" => fields.trace_id = clean_to(value, 256),
                b"rpc_trace_context.sofaRpcId" => fields.span_id = clean_to(value, 256),
                b"rpc_trace_context.sofaCallerApp" => fields.attributes.push(("caller", clean_to(value, 128))),
                _ => {
                    trace_context::header(name, value, &mut fields);
                }
            }
        }
        fields.request_resource = clean_to(service, 256);
        fields.endpoint = match (fields.request_resource.is_empty(), fields.request_type.is_empty()) {
            (false, false) => format!("{}/{}", fields.request_resource, fields.request_type).into(),
            _ => fields.request_resource.clone(),
        };
        if self.number > 0 {
            fields.attributes.push(("timeout_ms", number(u64::from(self.number))));
        }
        fields
    }

    /// As a row.
    pub(super) fn response(&self, bytes: &[u8]) -> RequestFields {
        let mut fields = RequestFields { code: i32::try_from(self.number).ok(), ..RequestFields::default() };
        fields.status = match self.number {
            0 => Status::Ok,
            8 => Status::ClientError,
            _ => Status::ServerError,
        };
        fields.exception = status(self.number).into();
        let (class, headers, content) = self.parts(bytes);
        if self.number == 0 && class.ends_with(b".SofaResponse") && self.codec == HESSIAN {
            if let Some(error) = error_of(content) {
                // The call came through, what was called did not.
                fields.status = Status::ServerError;
                fields.exception = clean_to(error, 512);
            }
        } else if self.number == 0 {
            // Content of other codecs tells of its errors in the headers.
            let mut cursor = Cursor::new(headers);
            while let Some((name, value)) = text(&mut cursor).zip(text(&mut cursor)) {
                if name == b"sofa_head_response_error" && value == b"true" {
                    fields.status = Status::ServerError;
                }
            }
        }
        fields
    }
}

/// A text with a length of four bytes.
fn text<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let len = cursor.u32()?;
    cursor.take(usize::try_from(len).ok()?)
}

/// `tcid=trace&spid=span&pspid=parent&sample=true&`
fn context(value: &[u8], fields: &mut RequestFields) {
    for pair in value.split(|byte| *byte == b'&').take(16) {
        let Some(at) = memchr::memchr(b'=', pair) else { continue };
        let (name, value) = (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default());
        match name {
            b"tcid" => fields.trace_id = clean_to(value, 256),
            b"spid" => fields.span_id = clean_to(value, 256),
            b"pspid" => fields.parent_span_id = clean_to(value, 256),
            _ => {}
        }
    }
}

/// The error of a `SofaResponse` in Hessian: its definition names four fields, `isError` and `errorMsg` first; the object
/// follows, true or false, then a text.
fn error_of(content: &[u8]) -> Option<&[u8]> {
    const NAMES: &[u8] = b"\x07isError\x08errorMsg\x0bappResponse\x0dresponsePropso\x90";
    let at = memchr::memmem::find(content, NAMES)?;
    let mut cursor = Cursor::new(content.get(at + NAMES.len()..)?);
    if cursor.u8()? != b'T' {
        return None;
    }
    let len = match cursor.u8()? {
        len @ 0..=0x1f => usize::from(len),
        b'S' => usize::from(cursor.u16()?),
        _ => 0,
    };
    // Told in characters: at least as many bytes.
    Some(cursor.up_to(len))
}

/// Names of what can go wrong (`ResponseStatus.java`).
fn status(number: u32) -> &'static str {
    match number {
        0 => "",
        1 => "ERROR",
        2 => "SERVER_EXCEPTION",
        3 => "UNKNOWN",
        4 => "SERVER_THREADPOOL_BUSY",
        5 => "ERROR_COMM",
        6 => "NO_PROCESSOR",
        7 => "TIMEOUT",
        8 => "CLIENT_SEND_ERROR",
        9 => "CODEC_EXCEPTION",
        16 => "CONNECTION_CLOSED",
        17 => "SERVER_SERIAL_EXCEPTION",
        18 => "SERVER_DESERIAL_EXCEPTION",
        _ => "status not known",
    }
}
