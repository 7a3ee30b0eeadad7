//! Messages of Dameng as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::Masker;
use super::super::sql::{Dialect, statement};
use super::super::text::clean_to;
use crate::model::{RequestFields, Status};

/// Bytes of a head.
pub(super) const HEAD: usize = 64;
/// Largest body, bytes.
const LIMIT: i32 = 0x2000_0000;

pub(super) const LOGIN: i16 = 1;
const PREPARE: i16 = 5;
const EXECUTE_DIRECT: i16 = 91;
pub(super) const STARTUP: i16 = 200;

/// A message's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) statement: i32,
    pub(super) command: i16,
    body: i32,
    /// Answers: negative where it failed.
    code: i32,
    /// Zeros behind the first fields.
    pub(super) blanks: usize,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes.get(..HEAD)?);
        let statement = cursor.u32_le()?.cast_signed();
        let command = cursor.u16_le()?.cast_signed();
        let body = cursor.u32_le()?.cast_signed();
        let code = cursor.u32_le()?.cast_signed();
        cursor.take(6)?;
        let blanks = cursor.rest().iter().filter(|byte| **byte == 0).count();
        (0..=LIMIT).contains(&body).then_some(Self { statement, command, body, code, blanks })
    }

    /// A client's. `None`: not a message, or too few bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes).filter(|head| name(head.command).is_some() && head.statement >= 0)
    }

    /// A server's.
    pub(super) fn parse_answer(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes).filter(|head| head.command >= 0)
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        HEAD as u64 + u64::from(self.body.unsigned_abs())
    }

    /// As a row.
    pub(super) fn request(self, body: &[u8], mask: &mut Masker) -> RequestFields {
        let mut fields =
            RequestFields { request_type: name(self.command).unwrap_or_default().into(), ..RequestFields::default() };
        if self.statement > 0 {
            fields.session_id = Some(u64::from(self.statement.unsigned_abs()));
        }
        if matches!(self.command, PREPARE | EXECUTE_DIRECT)
            && let Some(text) = text(body)
        {
            statement(text, Dialect::PostgreSql, mask).fill(&mut fields);
        }
        fields
    }

    /// As a row.
    pub(super) fn response(self, body: &[u8], mask: &mut Masker) -> RequestFields {
        let mut fields = RequestFields { code: Some(self.code), ..RequestFields::default() };
        fields.status = match self.code {
            0.. => Status::Ok,
            // Syntax, names, constraints, rights; the rest is the server's.
            -6999..=-2001 => Status::ClientError,
            _ => Status::ServerError,
        };
        if self.code < 0 {
            fields.exception = mask.quoted(error(body).map_or_else(Box::default, |text| clean_to(text, 512)), '\'');
        }
        fields
    }
}

/// Commands, by what drivers use them for.
fn name(command: i16) -> Option<&'static str> {
    Some(match command {
        LOGIN => "Login",
        2 => "Logout",
        3 => "AllocateStatement",
        4 => "FreeStatement",
        PREPARE => "Prepare",
        6 => "Execute",
        7 => "Fetch",
        8 => "Commit",
        9 => "Rollback",
        13 => "Execute",
        14 => "PutData",
        15 => "GetData",
        17 => "Command 17",
        21 => "Command 21",
        24 => "Command 24",
        27 => "CursorName",
        29 => "LobLength",
        30 => "LobRead",
        31 => "LobWrite",
        32 => "LobTruncate",
        44 => "MoreResult",
        52 => "SetIsolation",
        60 => "Command 60",
        71 => "TableTimestamps",
        90 => "PreExecute",
        EXECUTE_DIRECT => "ExecuteDirect",
        STARTUP => "Startup",
        _ => return None,
    })
}

/// Whether the message carries a statement.
pub(super) fn has_statement(head: Head, bytes: &[u8]) -> bool {
    matches!(head.command, PREPARE | EXECUTE_DIRECT) && bytes.get(HEAD..).and_then(text).is_some()
}

/// The statement: text up to a zero, at the start or behind a length.
fn text(body: &[u8]) -> Option<&[u8]> {
    for at in [0, 4] {
        let rest = body.get(at..)?;
        let len = memchr::memchr(0, rest).unwrap_or(rest.len());
        let text = rest.get(..len)?;
        let plain = len >= 6 && text.iter().all(|byte| *byte >= 0x20 || byte.is_ascii_whitespace());
        if plain
            && text
                .trim_ascii_start()
                .first()
                .is_some_and(|first| first.is_ascii_alphabetic() || matches!(first, b'(' | b'/' | b'-'))
        {
            return Some(text);
        }
    }
    None
}

/// An error's text: behind two that are passed over, each with its length.
fn error(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(body);
    let mut text = &[][..];
    for _ in 0..3 {
        let len = cursor.u32_le().filter(|len| *len <= 1 << 16)?;
        text = cursor.up_to(len as usize);
    }
    Some(text)
}
