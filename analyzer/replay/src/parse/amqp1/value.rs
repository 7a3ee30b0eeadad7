//! Values of AMQP 1.0 (part 1 of the standard): a byte tells how each is written.

use super::super::cursor::Cursor;

/// Values looked at in one list or map.
const FIELDS: usize = 256;

/// A value, as far as rows need it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(u64),
    /// Text, symbols, binary.
    Bytes(&'a [u8]),
    Uuid(&'a [u8]),
    /// The items of a list, or names and values of a map.
    Items(&'a [u8]),
    /// A list behind its descriptor.
    Described(u64, &'a [u8]),
    Other,
}

impl<'a> Value<'a> {
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn is_true(self) -> bool {
        self == Self::Bool(true)
    }
}

/// The next value.
pub(super) fn value<'a>(cursor: &mut Cursor<'a>) -> Option<Value<'a>> {
    match cursor.u8()? {
        0 => {
            let code = cursor.u8()?;
            let descriptor = match plain(code, cursor)? {
                Value::Number(number) => number,
                _ => u64::MAX,
            };
            let code = cursor.u8()?;
            match plain(code, cursor)? {
                Value::Items(items) => Some(Value::Described(descriptor, items)),
                _ => Some(Value::Other),
            }
        }
        code => plain(code, cursor),
    }
}

fn plain<'a>(code: u8, cursor: &mut Cursor<'a>) -> Option<Value<'a>> {
    let skip = |cursor: &mut Cursor<'a>, n: usize| cursor.take(n).map(|_| Value::Other);
    Some(match code {
        0x40 => Value::Null,
        0x41 => Value::Bool(true),
        0x42 => Value::Bool(false),
        0x56 => Value::Bool(cursor.u8()? != 0),
        0x43 | 0x44 => Value::Number(0),
        0x45 => Value::Items(&[]),
        0x50 | 0x52 | 0x53 => Value::Number(u64::from(cursor.u8()?)),
        0x60 => Value::Number(u64::from(cursor.u16()?)),
        0x70 => Value::Number(u64::from(cursor.u32()?)),
        0x80 => Value::Number(cursor.u64()?),
        0x51 | 0x54 | 0x55 => skip(cursor, 1)?,
        0x61 => skip(cursor, 2)?,
        0x71..=0x74 => skip(cursor, 4)?,
        0x81..=0x84 => skip(cursor, 8)?,
        0x94 => skip(cursor, 16)?,
        0x98 => Value::Uuid(cursor.take(16)?),
        0xa0 | 0xa1 | 0xa3 => {
            let length = usize::from(cursor.u8()?);
            Value::Bytes(cursor.up_to(length))
        }
        0xb0 | 0xb1 | 0xb3 => {
            let length = cursor.u32()? as usize;
            Value::Bytes(cursor.up_to(length))
        }
        // Lists and maps: size, then number of items.
        0xc0 | 0xc1 => {
            let size = usize::from(cursor.u8()?);
            Value::Items(items(cursor.up_to(size), 1)?)
        }
        0xd0 | 0xd1 => {
            let size = cursor.u32()? as usize;
            Value::Items(items(cursor.up_to(size), 4)?)
        }
        0xe0 => {
            let size = usize::from(cursor.u8()?);
            cursor.up_to(size);
            Value::Other
        }
        0xf0 => {
            let size = cursor.u32()? as usize;
            cursor.up_to(size);
            Value::Other
        }
        _ => return None,
    })
}

fn items(body: &[u8], count: usize) -> Option<&[u8]> {
    body.get(count..)
}

/// The items of a list or map, as far as they reach.
pub(super) fn list(items: &[u8]) -> impl Iterator<Item = Value<'_>> {
    let mut cursor = Cursor::new(items);
    std::iter::from_fn(move || value(&mut cursor)).take(FIELDS)
}
