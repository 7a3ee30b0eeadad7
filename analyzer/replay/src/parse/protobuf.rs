//! Protocol Buffers without a schema: fields by number, as far as bytes go.

use super::cursor::Cursor;

/// A value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Integers, booleans, enumerations.
    Number(u64),
    /// Text, bytes, messages; shorter than told if the bytes are cut.
    Bytes(&'a [u8]),
    /// Four or eight bytes.
    Fixed(u64),
}

/// Fields in the order of the wire; ends at what is no field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    cursor: Cursor<'a>,
    broken: bool,
}

impl<'a> Fields<'a> {
    /// Of a message.
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(message), broken: false }
    }

    /// Whether all of `message` is fields, none of them cut.
    pub(super) fn is_whole(message: &'a [u8]) -> bool {
        let mut fields = Self::new(message);
        fields.by_ref().for_each(drop);
        !fields.broken
    }

    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let tag = varint(&mut self.cursor)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number))?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut self.cursor)?),
            1 => Value::Fixed(self.cursor.u64_le()?),
            2 => {
                let len = usize::try_from(varint(&mut self.cursor)?).ok()?;
                self.broken = len > self.cursor.rest().len();
                Value::Bytes(self.cursor.up_to(len))
            }
            5 => Value::Fixed(u64::from(self.cursor.u32_le()?)),
            _ => return None,
        };
        Some((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken || self.cursor.rest().is_empty() {
            return None;
        }
        let field = self.field();
        self.broken |= field.is_none();
        field
    }
}

/// Seven bits a byte, the lowest first, ten bytes at most.
pub(super) fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..70).step_by(7) {
        let byte = cursor.u8()?;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// An entry of a map, or any message of a name (field 1) and a value (field 2).
pub(super) fn entry(message: &[u8]) -> (&[u8], &[u8]) {
    let (mut name, mut text) = (&[][..], &[][..]);
    for (number, value) in Fields::new(message).take(4) {
        match (number, value) {
            (1, Value::Bytes(bytes)) => name = bytes,
            (2, Value::Bytes(bytes)) => text = bytes,
            _ => {}
        }
    }
    (name, text)
}
