//! Frames of tRPC as rows see them.

use super::super::cursor::Cursor;
use super::super::protobuf::{Fields, Value, entry};
use super::super::text::{clean_to, number};
use super::super::trace_context;
use crate::model::{RequestFields, Status};

/// Bytes of a frame's head.
pub(super) const HEAD: usize = 16;
const MAGIC: u16 = 0x0930;
/// Largest frame that is believed, bytes: 10 MiB unless told otherwise.
const LIMIT: u32 = 256 << 20;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    Call,
    StreamInit,
    StreamData,
    StreamFeedback,
    StreamClose,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: FrameKind,
    total: u32,
    meta: u16,
    pub(super) stream: u32,
}

impl Head {
    /// `None`: not a frame, or too few bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        cursor.u16().filter(|magic| *magic == MAGIC)?;
        let kind = match (cursor.u8()?, cursor.u8()?) {
            (0, 0) => FrameKind::Call,
            (1, 1) => FrameKind::StreamInit,
            (1, 2) => FrameKind::StreamData,
            (1, 3) => FrameKind::StreamFeedback,
            (1, 4) => FrameKind::StreamClose,
            _ => return None,
        };
        let (total, meta, stream) = (cursor.u32()?, cursor.u16()?, cursor.u32()?);
        // Version, reserved.
        cursor.u16()?;
        let least = HEAD as u32 + u32::from(meta);
        ((least..=LIMIT).contains(&total)).then_some(Self { kind, total, meta, stream })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        u64::from(self.total)
    }

    /// Bytes of the head and of what describes the call.
    pub(super) fn described(self) -> u64 {
        HEAD as u64 + u64::from(self.meta)
    }
}

/// What describes a call, its answer, a stream's start or end.
#[derive(Clone, Debug, Default)]
pub(super) struct Meta<'a> {
    pub(super) is_request: bool,
    pub(super) one_way: bool,
    pub(super) id: u64,
    timeout: u64,
    caller: &'a [u8],
    callee: &'a [u8],
    func: &'a [u8],
    /// Code of the framework, code of what was called.
    codes: [i32; 2],
    text: &'a [u8],
    pairs: Vec<&'a [u8]>,
}

#[expect(clippy::cast_possible_truncation, reason = "an int32, sign-extended on the wire")]
fn int32(number: u64) -> i32 {
    number as i32
}

impl<'a> Meta<'a> {
    /// Of the bytes behind the head.
    pub(super) fn parse(bytes: &'a [u8], kind: FrameKind) -> Self {
        let mut meta = Self::default();
        match kind {
            FrameKind::StreamInit => {
                for (at, value) in Fields::new(bytes) {
                    match (at, value) {
                        (1, Value::Bytes(request)) => meta.stream_request(request),
                        (2, Value::Bytes(response)) => meta.ended(response, [1, 2]),
                        _ => {}
                    }
                }
            }
            // Kind of end, code, text.
            FrameKind::StreamClose => meta.ended(bytes, [2, 3]),
            _ => meta.call(bytes),
        }
        meta
    }

    fn call(&mut self, bytes: &'a [u8]) {
        for (at, value) in Fields::new(bytes) {
            match (at, value) {
                (2, Value::Number(kind)) => self.one_way = kind == 1,
                (3, Value::Number(id)) => self.id = id,
                (4, Value::Number(number)) => {
                    self.timeout = number;
                    self.codes[0] = int32(number);
                }
                (5, Value::Number(number)) => self.codes[1] = int32(number),
                (5, Value::Bytes(caller)) => self.caller = caller,
                (6, Value::Bytes(text)) => {
                    self.callee = text;
                    self.text = text;
                }
                // Only calls name a function.
                (7, Value::Bytes(func)) => {
                    self.func = func;
                    self.is_request = true;
                }
                (8 | 9, Value::Bytes(pair)) => self.pairs.push(pair),
                _ => {}
            }
        }
    }

    fn stream_request(&mut self, bytes: &'a [u8]) {
        self.is_request = true;
        for (at, value) in Fields::new(bytes) {
            match (at, value) {
                (1, Value::Bytes(caller)) => self.caller = caller,
                (2, Value::Bytes(callee)) => self.callee = callee,
                (3, Value::Bytes(func)) => self.func = func,
                (5, Value::Bytes(pair)) => self.pairs.push(pair),
                _ => {}
            }
        }
    }

    fn ended(&mut self, bytes: &'a [u8], [code, text]: [u32; 2]) {
        for (at, value) in Fields::new(bytes) {
            match value {
                Value::Number(number) if at == code => self.codes[0] = int32(number),
                Value::Bytes(bytes) if at == text => self.text = bytes,
                _ => {}
            }
        }
    }

    /// Whether it tells of an error.
    pub(super) fn failed(&self) -> bool {
        self.codes != [0, 0]
    }

    /// As a row: `/package.Service/Method` is a service and a method.
    pub(super) fn request(&self, stream: Option<u32>) -> RequestFields {
        let mut fields = RequestFields {
            session_id: Some(stream.map_or(self.id, u64::from)),
            request_domain: clean_to(self.callee, 256),
            ..RequestFields::default()
        };
        let path = clean_to(self.func, 256);
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (service, method) = path.rsplit_once('/').unwrap_or(("", path));
        fields.request_resource = service.into();
        fields.request_type = method.into();
        fields.endpoint = path.into();
        if !self.caller.is_empty() {
            fields.attributes.push(("caller", clean_to(self.caller, 128)));
        }
        if self.timeout > 0 {
            fields.attributes.push(("timeout_ms", number(self.timeout)));
        }
        if stream.is_some() {
            fields.attributes.push(("stream", "yes".into()));
        }
        for pair in self.pairs.iter().take(64) {
            let (name, value) = entry(pair);
            trace_context::header(name, value, &mut fields);
        }
        fields
    }

    /// As a row.
    pub(super) fn response(&self) -> RequestFields {
        let [framework, called] = self.codes;
        let mut fields =
            RequestFields { code: Some(if framework == 0 { called } else { framework }), ..RequestFields::default() };
        fields.status = match (framework, called) {
            (0, 0) => Status::Ok,
            // Not decodable, no such service or function, not allowed, not valid.
            (1 | 11 | 12 | 41 | 51, _) => Status::ClientError,
            _ => Status::ServerError,
        };
        if fields.status != Status::Ok {
            fields.exception = clean_to(self.text, 512);
        }
        fields
    }

    /// As a row: a stream that was broken off.
    pub(super) fn close(&self, stream: u32) -> RequestFields {
        RequestFields { request_type: "StreamReset".into(), session_id: Some(u64::from(stream)), ..self.response() }
    }
}
