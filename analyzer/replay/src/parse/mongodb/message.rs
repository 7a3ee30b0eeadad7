//! MongoDB messages as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::{Masker, Secret};
use super::super::text::clean_to;
use super::super::unpack::{Packing, unpack};
use super::bson::{self, Value};
use crate::model::{RequestFields, Status};

const OP_REPLY: u32 = 1;
const OP_QUERY: u32 = 2004;
const OP_COMPRESSED: u32 = 2012;
const OP_MSG: u32 = 2013;
/// Flag of OP_MSG: another message follows without being asked for, or no answer comes.
pub(super) const MORE_TO_COME: u32 = 1 << 1;
/// Flag of OP_MSG: several replies are welcome.
pub(super) const EXHAUST_ALLOWED: u32 = 1 << 16;
/// Longest message the server takes (`maxMessageSizeBytes`).
const LENGTH_LIMIT: u32 = 48_000_000;
/// Commands that carry credentials.
const SECRET_COMMANDS: [&[u8]; 6] =
    [b"saslStart", b"saslContinue", b"authenticate", b"createUser", b"updateUser", b"copydb"];

/// The standard header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) id: u32,
    pub(super) response_to: u32,
    opcode: u32,
}

/// Whether a header's opcode may start so.
pub(super) fn is_opcode(low: u8, high: Option<&u8>) -> bool {
    match low {
        1 => high.is_none_or(|high| *high == 0),
        0xd1..=0xdd => high.is_none_or(|high| *high == 7),
        _ => false,
    }
}

impl Head {
    /// `None`: not a message.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let head = Self {
            length: cursor.u32_le()?,
            id: cursor.u32_le()?,
            response_to: cursor.u32_le()?,
            opcode: cursor.u32_le()?,
        };
        let fits = (16..=LENGTH_LIMIT).contains(&head.length)
            && matches!(head.opcode, OP_REPLY | 2001 | 2002 | OP_QUERY..=2007 | OP_COMPRESSED | OP_MSG)
            && (head.opcode == OP_REPLY) <= (head.response_to != 0)
            && (head.length >= 21 || head.opcode == 2007);
        fits.then_some(head)
    }

    /// Whether the message is inside an OP_COMPRESSED.
    pub(super) fn is_compressed(&self) -> bool {
        self.opcode == OP_COMPRESSED
    }

    /// What is inside an OP_COMPRESSED: its head, the first `limit` bytes of its body, how it was compressed.
    pub(super) fn unpacked(&self, body: &[u8], limit: usize) -> Option<(Self, Vec<u8>, &'static str)> {
        let mut cursor = Cursor::new(body);
        let opcode = self.is_compressed().then(|| cursor.u32_le())??;
        let _length = cursor.u32_le()?;
        let method = cursor.u8()?;
        let rest = cursor.rest();
        let (plain, name) = match method {
            0 => (rest.get(..limit).unwrap_or(rest).to_vec(), "noop"),
            1 => (unpack(Packing::Snappy, rest, limit), "snappy"),
            2 => (unpack(Packing::Zlib, rest, limit), "zlib"),
            3 => (unpack(Packing::Zstd, rest, limit), "zstd"),
            _ => return None,
        };
        Some((Self { opcode, ..*self }, plain, name))
    }
}

fn opcode_name(opcode: u32) -> &'static str {
    match opcode {
        OP_REPLY => "OP_REPLY",
        2001 => "OP_UPDATE",
        2002 => "OP_INSERT",
        OP_QUERY => "OP_QUERY",
        2005 => "OP_GET_MORE",
        2006 => "OP_DELETE",
        2007 => "OP_KILL_CURSORS",
        OP_COMPRESSED => "OP_COMPRESSED",
        _ => "OP_MSG",
    }
}

/// Flags and the document of an OP_MSG's first body section.
fn op_msg(body: &[u8]) -> Option<(u32, &[u8])> {
    let mut cursor = Cursor::new(body);
    let flags = cursor.u32_le()?;
    for _ in 0..8 {
        match cursor.u8()? {
            0 => return Some((flags, cursor.rest())),
            1 => {
                let length = cursor.u32_le()? as usize;
                cursor.take(length.checked_sub(4)?)?;
            }
            _ => return None,
        }
    }
    None
}

/// A request, and its flags as those of OP_MSG.
pub(super) fn request(head: &Head, body: &[u8], mask: &mut Masker) -> (RequestFields, u32) {
    let mut fields = RequestFields {
        l7_protocol: "mongodb",
        request_type: opcode_name(head.opcode).into(),
        session_id: Some(u64::from(head.id)),
        ..RequestFields::default()
    };
    let mut cursor = Cursor::new(body);
    match head.opcode {
        OP_MSG => {
            let Some((flags, document)) = op_msg(body) else {
                return (fields, 0);
            };
            command(document, &mut fields, mask);
            (fields, flags)
        }
        OP_QUERY => {
            let _flags = cursor.u32_le();
            let name = cursor.c_string().unwrap_or_default();
            namespace(name, &mut fields);
            cursor.take(8);
            let document = cursor.rest();
            if name.ends_with(b".$cmd") {
                command(document, &mut fields, mask);
                namespace(name, &mut fields);
            } else {
                let (text, hidden) = bson::text(document, !mask.shows());
                mask.hid(Secret::Literal, hidden);
                fields.request_resource = clean_to(text.as_bytes(), 2048);
            }
            (fields, 0)
        }
        2001 | 2002 | 2006 => {
            let _zero = cursor.u32_le();
            namespace(cursor.c_string().unwrap_or_default(), &mut fields);
            (fields, MORE_TO_COME)
        }
        2005 => {
            let _zero = cursor.u32_le();
            namespace(cursor.c_string().unwrap_or_default(), &mut fields);
            (fields, 0)
        }
        2007 => (fields, MORE_TO_COME),
        _ => (fields, 0),
    }
}

fn namespace(name: &[u8], fields: &mut RequestFields) {
    let dot = memchr::memchr(b'.', name).unwrap_or(name.len());
    fields.request_domain = clean_to(name.get(..dot).unwrap_or_default(), 128);
    if fields.endpoint.is_empty() {
        fields.endpoint = clean_to(name.get(dot + 1..).unwrap_or_default(), 128);
    }
}

/// A command document: `{ find: "collection", ..., $db: "database" }`.
fn command(document: &[u8], fields: &mut RequestFields, mask: &mut Masker) {
    let Some((name, value)) = bson::elements(document).next() else {
        return;
    };
    fields.request_type = clean_to(name, 64);
    if let Value::Text(collection) = value {
        fields.endpoint = clean_to(collection, 128);
    }
    if let Some(Value::Text(database)) = bson::get(document, b"$db") {
        fields.request_domain = clean_to(database, 128);
    }
    if SECRET_COMMANDS.contains(&name) && !mask.shows() {
        mask.hid(Secret::Login, 1);
        fields.request_resource = format!("{{\"{}\": ...}}", fields.request_type).into();
        return;
    }
    let (text, hidden) = bson::text(document, !mask.shows());
    mask.hid(Secret::Literal, hidden);
    fields.request_resource = clean_to(text.as_bytes(), 2048);
}

/// What a response adds, and its flags.
pub(super) fn response(head: &Head, body: &[u8]) -> (RequestFields, u32) {
    let mut fields = RequestFields { l7_protocol: "mongodb", status: Status::Ok, ..RequestFields::default() };
    let mut cursor = Cursor::new(body);
    let mut bits = 0;
    let document = match head.opcode {
        OP_MSG => op_msg(body).map(|(flags, document)| {
            bits = flags;
            document
        }),
        OP_REPLY => {
            let flags = cursor.u32_le().unwrap_or_default();
            if flags & 3 != 0 {
                // CursorNotFound, QueryFailure.
                fields.status = Status::ServerError;
            }
            cursor.take(12);
            Some(cursor.rest())
        }
        _ => None,
    };
    let Some(document) = document else {
        return (fields, bits);
    };
    let code = match bson::get(document, b"code") {
        #[expect(clippy::cast_possible_truncation, reason = "codes are small")]
        Some(Value::Number(code)) => Some(code as i32),
        _ => None,
    };
    if bson::get(document, b"ok") == Some(Value::Number(0.0)) {
        fields.status = Status::ServerError;
        fields.code = code;
    }
    for name in [&b"errmsg"[..], b"$err"] {
        if let Some(Value::Text(text)) = bson::get(document, name) {
            fields.exception = clean_to(text, 512);
            fields.status = Status::ServerError;
            fields.code = code;
        }
    }
    let first = match bson::get(document, b"writeErrors") {
        Some(Value::Document(errors)) => bson::elements(errors).next().map(|(_, error)| error),
        _ => None,
    };
    if let Some(Value::Document(error)) = first.or_else(|| bson::get(document, b"writeConcernError")) {
        fields.status = Status::ServerError;
        if let Some(Value::Number(code)) = bson::get(error, b"code") {
            #[expect(clippy::cast_possible_truncation, reason = "codes are small")]
            let code = code as i32;
            fields.code = Some(code);
        }
        if let Some(Value::Text(text)) = bson::get(error, b"errmsg") {
            // Duplicate keys are quoted behind the index's name.
            let end = memchr::memmem::find(text, b"dup key:").unwrap_or(text.len());
            fields.exception = clean_to(text.get(..end).unwrap_or(text).trim_ascii_end(), 512);
        }
    }
    if let Some(Value::Number(rows)) = bson::get(document, b"n")
        && rows >= 0.0
    {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, not negative")]
        let rows = rows as u64;
        fields.affected_rows = Some(rows);
    }
    (fields, bits)
}
