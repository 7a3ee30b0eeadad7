//! Parameters in binary form: of EXECUTE, and query attributes in front of a statement (manual, "Binary Protocol Value").

use super::super::cursor::Cursor;
use super::super::sql::Statement;
use super::super::text::clean_to;
use super::message::length_encoded;
use std::fmt::Write as _;

/// Parameters looked at.
const PARAMETER_LIMIT: usize = 256;
/// Longest text of all parameters.
const TEXT_LIMIT: usize = 4096;
/// Longest text of one parameter.
const VALUE_LIMIT: usize = 512;

/// A statement that was prepared.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) statement: Statement,
    pub(super) parameters: u16,
    /// Types said by the last EXECUTE that said them.
    types: Vec<u16>,
}

impl Prepared {
    pub(super) fn new(statement: Statement, parameters: u16) -> Self {
        Self { statement, parameters, types: Vec::new() }
    }

    /// Values of an EXECUTE (what follows its command byte), joined by `, `. `None`: there are none, or they cannot be read.
    pub(super) fn values(&mut self, body: &[u8]) -> Option<String> {
        let mut cursor = Cursor::new(body);
        cursor.take(4)?;
        let flags = cursor.u8()?;
        cursor.take(4)?;
        let mut count = usize::from(self.parameters);
        // PARAMETER_COUNT_AVAILABLE: query attributes may follow the parameters, all of them are named.
        let named = flags & 8 != 0;
        if named {
            count = usize::try_from(length_encoded(&mut cursor)?).ok()?;
        }
        if count == 0 || count > PARAMETER_LIMIT {
            return None;
        }
        let nulls = cursor.take(count.div_ceil(8))?;
        if cursor.u8()? == 1 {
            let types = (0..count).map(|_| one_type(&mut cursor, named).map(|(kind, _)| kind));
            self.types = types.collect::<Option<_>>()?;
        }
        let mut text = String::new();
        for (place, kind) in self.types.iter().take(usize::from(self.parameters).max(1)).enumerate() {
            if !text.is_empty() {
                text.push_str(", ");
            }
            if is_null(nulls, place) {
                text.push_str("NULL");
            } else if value(*kind, &mut cursor, &mut text).is_none() || text.len() > TEXT_LIMIT {
                // Long data came in packets of its own, or the packet is cut.
                text.push('…');
                break;
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

fn is_null(nulls: &[u8], place: usize) -> bool {
    nulls.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 != 0)
}

fn one_type<'a>(cursor: &mut Cursor<'a>, named: bool) -> Option<(u16, &'a [u8])> {
    let kind = cursor.u16_le()?;
    let mut name = &[][..];
    if named {
        let length = usize::try_from(length_encoded(cursor)?).ok()?;
        name = cursor.take(length)?;
    }
    Some((kind, name))
}

/// The text of a statement behind query attributes (MySQL 8.0.23), if they stand in front of it.
pub(super) fn behind_attributes(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(body);
    let count = usize::from(cursor.u8().filter(|count| *count <= 64)?);
    if cursor.u8()? != 1 {
        return None;
    }
    if count > 0 {
        let nulls = cursor.take(count.div_ceil(8))?;
        if cursor.u8()? != 1 {
            return None;
        }
        let types: Vec<u16> =
            (0..count).map(|_| one_type(&mut cursor, true).map(|(kind, _)| kind)).collect::<Option<_>>()?;
        let mut ignored = String::new();
        for (place, kind) in types.iter().enumerate() {
            if !is_null(nulls, place) {
                value(*kind, &mut cursor, &mut ignored)?;
            }
        }
    }
    Some(cursor.rest())
}

/// A value as text. `None`: its type is unknown, or it is cut.
fn value(kind: u16, cursor: &mut Cursor<'_>, text: &mut String) -> Option<()> {
    let unsigned = kind & 0x8000 != 0;
    let written = match kind & 0xff {
        0x01 => match cursor.u8()? {
            byte if unsigned => write!(text, "{byte}"),
            byte => write!(text, "{}", byte.cast_signed()),
        },
        0x02 | 0x0d => match cursor.u16_le()? {
            number if unsigned => write!(text, "{number}"),
            number => write!(text, "{}", number.cast_signed()),
        },
        0x03 | 0x09 => match cursor.u32_le()? {
            number if unsigned => write!(text, "{number}"),
            number => write!(text, "{}", number.cast_signed()),
        },
        0x08 => match cursor.u64_le()? {
            number if unsigned => write!(text, "{number}"),
            number => write!(text, "{}", number.cast_signed()),
        },
        0x04 => write!(text, "{}", f32::from_bits(cursor.u32_le()?)),
        0x05 => write!(text, "{}", f64::from_bits(cursor.u64_le()?)),
        0x06 => write!(text, "NULL"),
        0x07 | 0x0a | 0x0c => return date(cursor, text),
        0x0b => return time(cursor, text),
        0x00 | 0x0f | 0x10 | 0xf5..=0xff => {
            let length = usize::try_from(length_encoded(cursor)?).ok()?;
            let bytes = cursor.take(length)?;
            text.push_str(&clean_to(bytes, VALUE_LIMIT));
            Ok(())
        }
        _ => return None,
    };
    written.ok()
}

/// DATE, DATETIME, TIMESTAMP: 0, 4, 7 or 11 bytes.
fn date(cursor: &mut Cursor<'_>, text: &mut String) -> Option<()> {
    let length = usize::from(cursor.u8()?);
    let mut body = Cursor::new(cursor.take(length)?);
    if length == 0 {
        text.push_str("0000-00-00");
        return Some(());
    }
    write!(text, "{:04}-{:02}-{:02}", body.u16_le()?, body.u8()?, body.u8()?).ok()?;
    if length >= 7 {
        write!(text, " {:02}:{:02}:{:02}", body.u8()?, body.u8()?, body.u8()?).ok()?;
    }
    if length >= 11 {
        write!(text, ".{:06}", body.u32_le()?).ok()?;
    }
    Some(())
}

/// TIME: 0, 8 or 12 bytes.
fn time(cursor: &mut Cursor<'_>, text: &mut String) -> Option<()> {
    let length = usize::from(cursor.u8()?);
    let mut body = Cursor::new(cursor.take(length)?);
    if length == 0 {
        text.push_str("00:00:00");
        return Some(());
    }
    if body.u8()? == 1 {
        text.push('-');
    }
    let (days, hours) = (u64::from(body.u32_le()?), u64::from(body.u8()?));
    write!(text, "{:02}:{:02}:{:02}", days * 24 + hours, body.u8()?, body.u8()?).ok()?;
    if length >= 12 {
        write!(text, ".{:06}", body.u32_le()?).ok()?;
    }
    Some(())
}
