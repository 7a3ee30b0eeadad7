//! MongoDB messages as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::{Masker, Secret};
use super::super::text::clean_to;
use super::bson::{self, Value};
use crate::model::{RequestFields, Status};

const OP_REPLY: u32 = 1;
const OP_QUERY: u32 = 2004;
const OP_COMPRESSED: u32 = 2012;
const OP_MSG: u32 = 2013;
/// Longest message the server takes is 48 MB.
const LENGTH_LIMIT: u32 = 64 * 1024 * 1024;
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
        let fits = (16..LENGTH_LIMIT).contains(&head.length)
            && matches!(head.opcode, OP_REPLY | 2001 | 2002 | OP_QUERY..=2007 | OP_COMPRESSED | OP_MSG)
            && (head.opcode == OP_REPLY) <= (head.response_to != 0)
            && (head.length >= 21 || head.opcode == 2007);
        fits.then_some(head)
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

/// A request, and whether no answer comes.
pub(super) fn request(head: &Head, body: &[u8], mask: &mut Masker) -> (RequestFields, bool) {
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
                return (fields, false);
            };
            command(document, &mut fields, mask);
            // moreToCome
            (fields, flags & 2 != 0)
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
            (fields, false)
        }
        2001 | 2002 | 2006 => {
            let _zero = cursor.u32_le();
            namespace(cursor.c_string().unwrap_or_default(), &mut fields);
            (fields, true)
        }
        2005 => {
            let _zero = cursor.u32_le();
            namespace(cursor.c_string().unwrap_or_default(), &mut fields);
            (fields, false)
        }
        2007 => (fields, true),
        OP_COMPRESSED => {
            let name = cursor.u32_le().map_or("", opcode_name);
            fields.attributes.push(("compressed", name.into()));
            (fields, false)
        }
        _ => (fields, false),
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

/// What a response adds.
pub(super) fn response(head: &Head, body: &[u8]) -> RequestFields {
    let mut fields = RequestFields { l7_protocol: "mongodb", status: Status::Ok, ..RequestFields::default() };
    let mut cursor = Cursor::new(body);
    let document = match head.opcode {
        OP_MSG => op_msg(body).map(|(_, document)| document),
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
        return fields;
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
    if let Some(Value::Document(errors)) = bson::get(document, b"writeErrors")
        && let Some((_, Value::Document(error))) = bson::elements(errors).next()
    {
        fields.status = Status::ServerError;
        if let Some(Value::Number(code)) = bson::get(error, b"code") {
            #[expect(clippy::cast_possible_truncation, reason = "codes are small")]
            let code = code as i32;
            fields.code = Some(code);
        }
    }
    if let Some(Value::Number(rows)) = bson::get(document, b"n")
        && rows >= 0.0
    {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, not negative")]
        let rows = rows as u64;
        fields.affected_rows = Some(rows);
    }
    fields
}
