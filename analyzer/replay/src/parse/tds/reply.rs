//! What servers answer: tokens, read from the front up to rows, whose columns are not followed, and from the end.

use super::super::cursor::Cursor;
use super::super::mask::Masker;
use super::super::text::clean_to;
use super::request::{text, version};
use crate::model::{RequestFields, Status};

/// Bytes of an answer's end that are kept from one packet to the next.
pub(super) const TAIL: usize = 1024;
/// Errors from this class on are the server's: resources, hardware, software.
const SERVER_CLASS: u8 = 17;
/// Below this class it is a note, not an error.
const ERROR_CLASS: u8 = 11;

const MORE: u16 = 0x01;
const ERROR: u16 = 0x02;
const COUNT: u16 = 0x10;
const ATTENTION: u16 = 0x20;

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Reply {
    code: Option<i32>,
    class: u8,
    exception: Box<str>,
    failed: bool,
    /// Rows returned or affected.
    rows: Option<u64>,
    /// Confirms that a request was given up.
    pub(super) attention: bool,
    /// Tokens other than those that end a statement.
    pub(super) says_more: bool,
    pub(super) database: Option<Box<str>>,
    pub(super) version: &'static str,
    server: Option<Box<str>>,
    /// A number that was returned: the handle of a prepared statement.
    pub(super) handle: Option<u32>,
}

impl Reply {
    /// Reads tokens from the front. Whether all was read.
    pub(super) fn read(&mut self, bytes: &[u8], wide: Option<bool>, five: bool) -> bool {
        let mut cursor = Cursor::new(bytes);
        while let Some(token) = cursor.u8() {
            if self.token(token, &mut cursor, wide, five).is_none() {
                return false;
            }
        }
        true
    }

    fn token(&mut self, token: u8, cursor: &mut Cursor<'_>, wide: Option<bool>, five: bool) -> Option<()> {
        if (0xfd..=0xff).contains(&token) {
            let done = cursor.rest();
            let next = |width: usize| done.get(width).is_none_or(|next| *next >= 0x78);
            let wide = !five
                && wide.unwrap_or_else(|| {
                    done.len() >= 12 && next(12) && !(done.len() > 8 && next(8) && done.get(8) != Some(&0))
                });
            let bytes = cursor.take(if wide { 12 } else { 8 })?;
            self.done(bytes);
            return Some(());
        }
        self.says_more |= token != 0x79;
        match token {
            0xaa | 0xab | 0xe5 => {
                let len = cursor.u16_le()?;
                let body = cursor.take(usize::from(len))?;
                self.message(token, body);
            }
            0xe3 | 0xad => {
                let len = cursor.u16_le()?;
                let mut body = Cursor::new(cursor.take(usize::from(len))?);
                if token == 0xe3 {
                    // The database has changed.
                    if body.u8() == Some(1) {
                        self.database = short(&mut body, five);
                    }
                } else {
                    let _interface = body.u8();
                    self.version = version(body.u32().unwrap_or_default());
                    self.server = short(&mut body, five);
                }
            }
            // Order of columns, names of tables, and what TDS 5 says of formats and abilities.
            0xa4 | 0xa5 | 0xa9 | 0xed | 0xe2 | 0xec | 0xa7 | 0xae if token != 0xae => {
                let len = cursor.u16_le()?;
                cursor.take(usize::from(len))?;
            }
            0xee if five => {
                let len = cursor.u16_le()?;
                cursor.take(usize::from(len))?;
            }
            0xe4 | 0xee => {
                let len = cursor.u32_le()?;
                cursor.take(len as usize)?;
            }
            0x61 | 0x20 if five => {
                let len = cursor.u32_le()?;
                cursor.take(len as usize)?;
            }
            0xae => loop {
                if cursor.u8()? == 0xff {
                    break;
                }
                let len = cursor.u32_le()?;
                cursor.take(len as usize)?;
            },
            0x78 | 0x79 => {
                cursor.take(4)?;
            }
            0xac => {
                let body = cursor.take(RETURNED - 1)?;
                self.handle = Some(returned(body)?);
            }
            _ => return None,
        }
        Some(())
    }

    fn done(&mut self, bytes: &[u8]) {
        let mut cursor = Cursor::new(bytes);
        let (Some(status), Some(_command)) = (cursor.u16_le(), cursor.u16_le()) else {
            return;
        };
        let count = if bytes.len() > 8 { cursor.u64_le() } else { cursor.u32_le().map(u64::from) };
        self.failed |= status & ERROR != 0;
        self.attention |= status & ATTENTION != 0;
        if status & COUNT != 0
            && let Some(count) = count
        {
            self.rows = Some(self.rows.unwrap_or_default().saturating_add(count));
        }
    }

    fn message(&mut self, token: u8, body: &[u8]) {
        let mut cursor = Cursor::new(body);
        let (Some(number), Some(_state), Some(class)) = (cursor.u32_le(), cursor.u8(), cursor.u8()) else {
            return;
        };
        if self.code.is_some() || token == 0xab || class < ERROR_CLASS {
            return;
        }
        if token == 0xe5 {
            // SQL state, status, state of the transaction.
            let len = usize::from(cursor.u8().unwrap_or_default());
            cursor.up_to(len + 3);
        }
        let len = usize::from(cursor.u16_le().unwrap_or_default());
        let plain = token == 0xe5 || cursor.rest().get(1).is_some_and(|second| *second != 0);
        self.exception = if plain {
            clean_to(cursor.up_to(len).trim_ascii(), 512)
        } else {
            clean_to(text(cursor.up_to(len * 2)).trim().as_bytes(), 512)
        };
        self.code = i32::try_from(number).ok();
        self.class = class;
    }

    /// Reads tokens from the end of an answer whose middle was not followed.
    pub(super) fn read_end(&mut self, bytes: &[u8], wide: Option<bool>) {
        let mut end = bytes.len();
        let mut width = match wide {
            Some(true) => Some(13),
            Some(false) => Some(9),
            None => None,
        };
        for _ in 0..16 {
            let done = [13, 9].into_iter().filter(|size| width.is_none_or(|width| width == *size)).find(|size| {
                end.checked_sub(*size).and_then(|at| bytes.get(at..end)).is_some_and(|done| {
                    matches!(done, [0xfd..=0xff, low, high, ..]
                        if u16::from_le_bytes([*low, *high]) & !(MORE | ERROR | 4 | COUNT | ATTENTION | 0x100) == 0)
                })
            });
            if let Some(size) = done {
                width = Some(size);
                end -= size;
                self.done(bytes.get(end + 1..end + size).unwrap_or_default());
                continue;
            }
            if end.checked_sub(5).and_then(|at| bytes.get(at)) == Some(&0x79) {
                end -= 5;
                continue;
            }
            let returned = end.checked_sub(RETURNED).and_then(|at| bytes.get(at..end));
            if let Some(handle) = returned.filter(|bytes| bytes.first() == Some(&0xac)).and_then(returned_of) {
                self.handle = Some(handle);
                end -= RETURNED;
                continue;
            }
            // An error or a note that ends here.
            let Some(at) = (0..end.saturating_sub(12)).rev().take(TAIL).find(|at| {
                matches!(bytes.get(*at..*at + 3), Some([0xaa | 0xab, low, high])
                    if usize::from(u16::from_le_bytes([*low, *high])) + 3 + at == end)
            }) else {
                break;
            };
            let token = bytes.get(at).copied().unwrap_or_default();
            self.message(token, bytes.get(at + 3..end).unwrap_or_default());
            end = at;
        }
    }

    /// As a row.
    pub(super) fn fields(self, mask: &mut Masker) -> RequestFields {
        let mut fields = RequestFields { version: self.version, ..RequestFields::default() };
        fields.status = match (self.code, self.failed) {
            (Some(_), _) if self.class < SERVER_CLASS => Status::ClientError,
            (Some(_), _) | (None, true) => Status::ServerError,
            (None, false) => Status::Ok,
        };
        fields.code = self.code;
        fields.exception = mask.quoted(self.exception, '\'');
        if self.attention && fields.exception.is_empty() {
            fields.exception = "cancelled by the client".into();
            fields.status = Status::ClientError;
        }
        fields.affected_rows = self.rows;
        if let Some(server) = self.server {
            fields.attributes.push(("server_name", server));
        }
        fields
    }
}

/// A text with a length of one byte, in characters.
fn short(cursor: &mut Cursor<'_>, five: bool) -> Option<Box<str>> {
    let len = usize::from(cursor.u8()?);
    Some(if five {
        clean_to(cursor.up_to(len), 128)
    } else {
        clean_to(text(cursor.up_to(len * 2)).trim_end_matches('\0').as_bytes(), 128)
    })
}

/// A returned integer without a name: token, ordinal, length of the name, status, user type, flags, type, value.
const RETURNED: usize = 1 + 2 + 1 + 1 + 4 + 2 + 3 + 4;

fn returned_of(bytes: &[u8]) -> Option<u32> {
    returned(bytes.get(1..)?)
}

fn returned(body: &[u8]) -> Option<u32> {
    match body {
        [_, _, 0, _, _, _, _, _, _, _, 0x26, 4, 4, handle @ ..] => {
            <[u8; 4]>::try_from(handle).ok().map(u32::from_le_bytes)
        }
        _ => None,
    }
}
