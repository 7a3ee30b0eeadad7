//! bRPC calls as rows see them.

use super::super::cursor::Cursor;
use super::super::protobuf::{Fields, Value, entry};
use super::super::text::{clean_to, number};
use super::super::trace_context;
use crate::model::{RequestFields, Status};

/// Bytes of the head.
pub(super) const HEAD: usize = 12;
/// Largest message that is believed, bytes.
const LIMIT: u32 = 1 << 30;

/// The head of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// A frame of a stream.
    pub(super) stream: bool,
    body: u32,
    meta: u32,
}

impl Head {
    /// `None`: not a message.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let stream = match cursor.take(4)? {
            b"PRPC" => false,
            b"STRM" => true,
            _ => return None,
        };
        let (body, meta) = (cursor.u32()?, cursor.u32()?);
        (body <= LIMIT && meta <= body && meta > 0).then_some(Self { stream, body, meta })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        HEAD as u64 + u64::from(self.body)
    }

    /// Bytes of the head and of what describes the call.
    pub(super) fn described(self) -> u64 {
        HEAD as u64 + u64::from(self.meta)
    }
}

/// What describes a call: `RpcMeta`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meta<'a> {
    request: Option<&'a [u8]>,
    response: Option<&'a [u8]>,
    pub(super) correlation_id: u64,
    whole: &'a [u8],
}

impl<'a> Meta<'a> {
    /// Of the bytes behind the head.
    pub(super) fn parse(bytes: &'a [u8]) -> Self {
        let mut meta = Self { whole: bytes, ..Self::default() };
        for (number, value) in Fields::new(bytes) {
            match (number, value) {
                (1, Value::Bytes(request)) => meta.request = Some(request),
                (2, Value::Bytes(response)) => meta.response = Some(response),
                (4, Value::Number(id)) => meta.correlation_id = id,
                _ => {}
            }
        }
        meta
    }

    /// Whether a call, not its answer, is described.
    pub(super) fn is_request(&self) -> bool {
        self.request.is_some()
    }

    /// As a row.
    pub(super) fn request(self) -> RequestFields {
        let mut fields = RequestFields { session_id: Some(self.correlation_id), ..RequestFields::default() };
        for (at, value) in Fields::new(self.request.unwrap_or_default()) {
            match (at, value) {
                (1, Value::Bytes(service)) => fields.request_resource = clean_to(service, 256),
                (2, Value::Bytes(method)) => fields.request_type = clean_to(method, 256),
                (3, Value::Number(id)) if id != 0 => fields.attributes.push(("log_id", number(id))),
                (4, Value::Number(id)) if id != 0 => fields.trace_id = number(id),
                (5, Value::Number(id)) if id != 0 => fields.span_id = number(id),
                (6, Value::Number(id)) if id != 0 => fields.parent_span_id = number(id),
                (7, Value::Bytes(id)) => fields.x_request_id = clean_to(id, 256),
                _ => {}
            }
        }
        fields.endpoint = format!("{}/{}", fields.request_resource, fields.request_type).into();
        for (at, value) in Fields::new(self.whole) {
            if let (9, Value::Bytes(pair)) = (at, value) {
                let (name, value) = entry(pair);
                trace_context::header(name, value, &mut fields);
            }
        }
        fields
    }

    /// As a row. Errors from 1001 on are the client's, from 2001 on the server's (`errno.proto`).
    pub(super) fn response(self) -> RequestFields {
        let mut fields = RequestFields { status: Status::Ok, code: Some(0), ..RequestFields::default() };
        for (number, value) in Fields::new(self.response.unwrap_or_default()) {
            match (number, value) {
                #[expect(clippy::cast_possible_truncation, reason = "an int32, sign-extended on the wire")]
                (1, Value::Number(code)) => fields.code = Some(code as i32),
                (2, Value::Bytes(text)) => fields.exception = clean_to(text, 512),
                _ => {}
            }
        }
        fields.status = match fields.code {
            Some(0) | None => Status::Ok,
            Some(1001..=1999) => Status::ClientError,
            Some(_) => Status::ServerError,
        };
        fields
    }
}
