//! Tars' encoding: a tag and a type in a byte, then a value.

use super::super::cursor::Cursor;

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// The bytes end.
    Short,
    /// This is no value.
    Wrong,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Any size of integer, sign-extended.
    Number(i64),
    /// Text.
    Text(&'a [u8]),
    /// A list of bytes; its content is passed over.
    Bytes,
    /// A map of so many pairs, which follow.
    Map(u32),
    /// A floating-point number.
    Float,
}

/// Reads a value with its tag; what it contains is in view as far as bytes go.
pub(super) fn value<'a>(cursor: &mut Cursor<'a>) -> Result<(u8, Value<'a>), Stuck> {
    let head = cursor.u8().ok_or(Stuck::Short)?;
    let tag = match head >> 4 {
        15 => cursor.u8().ok_or(Stuck::Short)?,
        tag => tag,
    };
    let value = match head & 15 {
        0 => Value::Number(i64::from(cursor.u8().ok_or(Stuck::Short)?.cast_signed())),
        1 => Value::Number(i64::from(cursor.u16().ok_or(Stuck::Short)?.cast_signed())),
        2 => Value::Number(i64::from(cursor.u32().ok_or(Stuck::Short)?.cast_signed())),
        3 => Value::Number(cursor.u64().ok_or(Stuck::Short)?.cast_signed()),
        4 => {
            cursor.u32().ok_or(Stuck::Short)?;
            Value::Float
        }
        5 => {
            cursor.u64().ok_or(Stuck::Short)?;
            Value::Float
        }
        6 => {
            let len = usize::from(cursor.u8().ok_or(Stuck::Short)?);
            Value::Text(cursor.take(len).ok_or(Stuck::Short)?)
        }
        7 => {
            let len = cursor.u32().ok_or(Stuck::Short)?;
            if len > 1 << 20 {
                return Err(Stuck::Wrong);
            }
            Value::Text(cursor.take(len as usize).ok_or(Stuck::Short)?)
        }
        8 => Value::Map(size(cursor)?),
        12 => Value::Number(0),
        13 => {
            if cursor.u8().ok_or(Stuck::Short)? != 0 {
                return Err(Stuck::Wrong);
            }
            let len = size(cursor)?;
            cursor.take(len as usize).ok_or(Stuck::Short)?;
            Value::Bytes
        }
        // Lists and structs are not part of packets.
        _ => return Err(Stuck::Wrong),
    };
    Ok((tag, value))
}

/// How many: a number under tag 0.
fn size(cursor: &mut Cursor<'_>) -> Result<u32, Stuck> {
    let head = cursor.u8().ok_or(Stuck::Short)?;
    let size = match head {
        0 => u32::from(cursor.u8().ok_or(Stuck::Short)?),
        1 => u32::from(cursor.u16().ok_or(Stuck::Short)?),
        2 => cursor.u32().ok_or(Stuck::Short)?,
        12 => 0,
        _ => return Err(Stuck::Wrong),
    };
    if size > 1 << 30 { Err(Stuck::Wrong) } else { Ok(size) }
}

/// Pairs of text, passed to `take`; ends at the first thing that is none.
pub(super) fn pairs<'a>(cursor: &mut Cursor<'a>, count: u32, mut take: impl FnMut(&'a [u8], &'a [u8])) {
    for _ in 0..count.min(256) {
        match (value(cursor), value(cursor)) {
            (Ok((0, Value::Text(name))), Ok((1, Value::Text(text)))) => take(name, text),
            _ => break,
        }
    }
}
