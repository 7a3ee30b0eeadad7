//! Messages as rows see them; numbers of types and fields are those of the `.proto` files.

use super::super::Detection;
use super::super::mask::{Masker, Secret};
use super::super::protobuf::{Fields, Value};
use super::super::sql::{self, Dialect};
use super::super::text::clean_to;
use crate::model::{RequestFields, Side, Status};
use std::collections::VecDeque;

pub(super) const CAPABILITIES_SET: u8 = 2;
const AUTHENTICATE_START: u8 = 4;
const AUTHENTICATE_CONTINUE: u8 = 5;
const STATEMENT: u8 = 12;
const FIND: u8 = 17;
const DELETE: u8 = 20;
const PREPARE: u8 = 40;
const EXECUTE: u8 = 41;
const DEALLOCATE: u8 = 42;
/// What the server sends.
const OK: u8 = 0;
const ERROR: u8 = 1;
pub(super) const NOTICE: u8 = 11;
const ROW: u8 = 13;
const STATEMENT_OK: u8 = 17;
/// Prepared statements whose text is kept.
const REMEMBERED: usize = 256;

/// Name of a message; `None`: there is none of that type.
pub(super) fn name(side: Side, kind: u8) -> Option<&'static str> {
    Some(match (side, kind) {
        (Side::Client, 1) => "CapabilitiesGet",
        (Side::Client, CAPABILITIES_SET) => "CapabilitiesSet",
        (Side::Client, 3) => "Close",
        (Side::Client, AUTHENTICATE_START) => "AuthenticateStart",
        (Side::Client, AUTHENTICATE_CONTINUE) => "AuthenticateContinue",
        (Side::Client, 6) => "Reset",
        (Side::Client, 7) => "SessionClose",
        (Side::Client, STATEMENT) => "StmtExecute",
        (Side::Client, FIND) => "Find",
        (Side::Client, 18) => "Insert",
        (Side::Client, 19) => "Update",
        (Side::Client, DELETE) => "Delete",
        (Side::Client, 24) => "ExpectOpen",
        (Side::Client, 25) => "ExpectClose",
        (Side::Client, 30) => "CreateView",
        (Side::Client, 31) => "ModifyView",
        (Side::Client, 32) => "DropView",
        (Side::Client, PREPARE) => "Prepare",
        (Side::Client, EXECUTE) => "Execute",
        (Side::Client, DEALLOCATE) => "Deallocate",
        (Side::Client, 43) => "CursorOpen",
        (Side::Client, 44) => "CursorClose",
        (Side::Client, 45) => "CursorFetch",
        (Side::Client, 46) => "Compression",
        (Side::Server, 0..=4 | NOTICE..=19) => "",
        _ => return None,
    })
}

/// Bytes of a message from the server that are looked at.
pub(super) fn answers_in(kind: u8) -> usize {
    if matches!(kind, ERROR | NOTICE) { 1024 } else { super::HEAD }
}

fn number(body: &[u8], field: u32) -> Option<u64> {
    Fields::new(body).take(16).find_map(|(number, value)| match value {
        Value::Number(value) if number == field => Some(value),
        _ => None,
    })
}

fn bytes(body: &[u8], field: u32) -> Option<&[u8]> {
    Fields::new(body).take(16).find_map(|(number, value)| match value {
        Value::Bytes(value) if number == field => Some(value),
        _ => None,
    })
}

/// Whether a message is what its type says, as far as required fields tell.
pub(super) fn is_sound(side: Side, kind: u8, body: &[u8]) -> bool {
    let has = |field| bytes(body, field).is_some_and(|value| !value.is_empty());
    Fields::is_whole(body)
        && match (side, kind) {
            (Side::Client, 1 | 3 | 7 | 25) => body.is_empty(),
            (Side::Client, CAPABILITIES_SET | AUTHENTICATE_START | STATEMENT | 18 | DELETE | 30..=32) => has(1),
            (Side::Client, FIND | 19) => has(2),
            (Side::Server, OK | 4 | 14..=18) => body.len() < 64,
            (Side::Server, ERROR) => {
                number(body, 2).is_some() && has(3) && bytes(body, 4).is_some_and(|s| s.len() == 5)
            }
            (Side::Server, NOTICE) => number(body, 1).is_some_and(|kind| (1..=5).contains(&kind)),
            _ => true,
        }
}

/// Which side's first message this may be.
pub(super) fn recognise(kind: u8, body: &[u8]) -> Detection {
    let yes = |confidence, side| Detection::Yes { confidence, from: Some(side) };
    let (client, server) = (is_sound(Side::Client, kind, body), is_sound(Side::Server, kind, body));
    match kind {
        // The server's greeting: a notice of type 5, of no scope in particular.
        NOTICE if server && number(body, 1) == Some(5) => yes(92, Side::Server),
        NOTICE if server => yes(60, Side::Server),
        ERROR if server && !body.is_empty() => yes(85, Side::Server),
        // MySQL's classic QUIT is the same five bytes.
        1 if client => yes(40, Side::Client),
        AUTHENTICATE_START
            if client && matches!(bytes(body, 1), Some(b"PLAIN" | b"MYSQL41" | b"SHA256_MEMORY" | b"EXTERNAL")) =>
        {
            yes(92, Side::Client)
        }
        CAPABILITIES_SET if client && bytes(body, 1).is_some_and(|inner| bytes(inner, 1).is_some()) => {
            yes(70, Side::Client)
        }
        STATEMENT
            if client && bytes(body, 1).is_some_and(|text| text.iter().all(|byte| *byte >= 0x20 || *byte == b'\n')) =>
        {
            yes(70, Side::Client)
        }
        _ => Detection::No,
    }
}

/// Whether a message of that type begins so.
pub(super) fn may_begin(kind: u8, body: &[u8]) -> bool {
    match kind {
        NOTICE => body.first().is_none_or(|tag| *tag == 0x08),
        ERROR | CAPABILITIES_SET | AUTHENTICATE_START | STATEMENT => {
            body.first().is_none_or(|tag| matches!(tag, 0x08 | 0x0a))
        }
        _ => false,
    }
}

/// Whether capabilities that are set ask for TLS.
pub(super) fn asks_tls(body: &[u8]) -> bool {
    bytes(body, 1).is_some_and(|capabilities| bytes(capabilities, 1).is_some_and(|one| bytes(one, 1) == Some(b"tls")))
}

/// `schema.collection`.
fn collection(message: &[u8]) -> String {
    let text = |field| bytes(message, field).map(|text| clean_to(text, 256)).unwrap_or_default();
    let (name, schema) = (text(1), text(2));
    if schema.is_empty() { name.into() } else { format!("{schema}.{name}") }
}

/// What a client has prepared.
#[derive(Debug, Default)]
pub(super) struct Statements {
    prepared: VecDeque<(u64, Box<RequestFields>)>,
}

impl Statements {
    /// As a row.
    pub(super) fn request(&mut self, kind: u8, body: &[u8], mask: &mut Masker) -> RequestFields {
        let mut fields = RequestFields::default();
        match kind {
            PREPARE => {
                if let Some((id, one)) = number(body, 1).zip(bytes(body, 2)) {
                    // One of find, insert, update, delete, and SQL.
                    let (kind, inner) = match number(one, 1) {
                        Some(place @ 0..=3) => (FIND + place as u8, bytes(one, place as u32 + 2)),
                        _ => (STATEMENT, bytes(one, 6)),
                    };
                    operation(kind, inner.unwrap_or_default(), &mut fields, mask);
                    fields.session_id = Some(id);
                    self.prepared.retain(|(other, _)| *other != id);
                    if self.prepared.len() == REMEMBERED {
                        self.prepared.pop_front();
                    }
                    self.prepared.push_back((id, Box::new(fields.clone())));
                }
            }
            EXECUTE | DEALLOCATE => {
                fields.session_id = number(body, 1);
                let known = self.prepared.iter().position(|(id, _)| Some(*id) == fields.session_id);
                if let Some((_, known)) = known.and_then(|at| self.prepared.get(at)) {
                    fields.request_resource = known.request_resource.clone();
                    fields.endpoint = known.endpoint.clone();
                }
                if let (DEALLOCATE, Some(at)) = (kind, known) {
                    self.prepared.remove(at);
                }
            }
            AUTHENTICATE_START => {
                fields.attributes.push(("mechanism", clean_to(bytes(body, 1).unwrap_or_default(), 32)));
                mask.hid(Secret::Login, u64::from(!mask.shows()));
            }
            AUTHENTICATE_CONTINUE => mask.hid(Secret::Login, u64::from(!mask.shows())),
            43..=45 => fields.session_id = number(body, 1),
            _ => operation(kind, body, &mut fields, mask),
        }
        fields.request_type = name(Side::Client, kind).unwrap_or_default().into();
        fields
    }
}

/// A statement, or an operation on a collection.
fn operation(kind: u8, body: &[u8], fields: &mut RequestFields, mask: &mut Masker) {
    if kind == STATEMENT {
        let text = bytes(body, 1).unwrap_or_default();
        let space = bytes(body, 3).filter(|space| !matches!(*space, b"sql"));
        match space {
            // Commands of the server's plug-in have names only.
            Some(space) => {
                fields.request_resource = clean_to(text, 256);
                fields.endpoint = fields.request_resource.clone();
                fields.attributes.push(("namespace", clean_to(space, 64)));
            }
            None => sql::statement(text, Dialect::MySql, mask).fill(fields),
        }
        return;
    }
    let (field, verb) = match kind {
        FIND => (2, "SELECT"),
        18 => (1, "INSERT"),
        19 => (2, "UPDATE"),
        DELETE => (1, "DELETE"),
        30..=32 => (1, "VIEW"),
        _ => return,
    };
    let name = bytes(body, field).map(collection).unwrap_or_default();
    fields.endpoint = format!("{verb} {name}").into();
    fields.request_resource = name.into();
}

/// An answer, message by message.
#[derive(Debug, Default)]
pub(super) struct Answer {
    status: Status,
    rows: Option<u64>,
    code: Option<i32>,
    text: Box<str>,
    state: Box<str>,
    pub(super) cut: bool,
}

impl Answer {
    /// Whether this message is the last one.
    pub(super) fn read(&mut self, kind: u8, body: &[u8]) -> bool {
        match kind {
            ERROR => {
                let code = number(body, 2).and_then(|code| i32::try_from(code).ok());
                self.code = code;
                self.state = clean_to(bytes(body, 4).unwrap_or_default(), 5);
                self.text = clean_to(bytes(body, 3).unwrap_or_default(), 512);
                let client = code.is_some_and(|code| (2000..3000).contains(&code));
                self.status = if client { Status::ClientError } else { Status::ServerError };
                true
            }
            OK | 2..=4 | STATEMENT_OK => {
                self.status = Status::Ok;
                true
            }
            12 => {
                self.rows.get_or_insert(0);
                false
            }
            ROW => {
                *self.rows.get_or_insert(0) += 1;
                false
            }
            NOTICE => {
                // Type 3, a change of the session's state: parameter 4 are the rows affected, an unsigned scalar.
                if number(body, 1) == Some(3)
                    && let Some(change) = bytes(body, 3)
                    && number(change, 1) == Some(4)
                    && let Some(rows) = bytes(change, 2).and_then(|scalar| number(scalar, 3))
                {
                    self.rows = Some(self.rows.unwrap_or_default() + rows);
                }
                false
            }
            _ => false,
        }
    }

    pub(super) fn is_error(&self) -> bool {
        self.code.is_some()
    }

    /// What it adds to a row.
    pub(super) fn fields(self, mask: &mut Masker) -> RequestFields {
        let rows = self.rows.filter(|_| !self.cut);
        let mut fields =
            RequestFields { status: self.status, code: self.code, affected_rows: rows, ..RequestFields::default() };
        // Values are quoted in messages on duplicate keys, wrong values and syntax, as in MySQL's classic protocol.
        let quotes_values = matches!(self.code, Some(1062 | 1064 | 1264 | 1265 | 1292 | 1366 | 1406 | 1411 | 1586));
        fields.exception = if quotes_values { mask.quoted(self.text, '\'') } else { self.text };
        if !self.state.is_empty() {
            fields.attributes.push(("sqlstate", self.state));
        }
        fields
    }
}
