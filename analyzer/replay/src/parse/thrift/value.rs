//! Values of Thrift in both encodings, passed over to find where they end; results and exceptions are looked into.

use super::super::cursor::Cursor;

/// How deep values may be nested.
const DEPTH: u8 = 32;

/// Why a value cannot be passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stuck {
    /// So many more bytes at least.
    Short(usize),
    /// Not a value.
    Wrong,
}

/// Encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Binary,
    Compact,
}

/// Kinds of values, the same in both encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Its value stands in the field's head.
    Nothing,
    Bytes(usize),
    Number,
    Text,
    Struct,
    Map,
    List,
}

/// Reads one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) encoding: Encoding,
}

/// A field's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) id: i16,
    pub(super) kind: Type,
}

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Stuck> {
        let have = self.cursor.rest().len();
        self.cursor.take(n).ok_or_else(|| Stuck::Short(n.saturating_sub(have)))
    }

    fn u8(&mut self) -> Result<u8, Stuck> {
        self.cursor.u8().ok_or(Stuck::Short(1))
    }

    /// Seven bits a byte, low ones first.
    pub(super) fn varint(&mut self) -> Result<u64, Stuck> {
        let mut value = 0_u64;
        for place in 0..10 {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << (7 * place).min(63);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Stuck::Wrong)
    }

    fn zigzag(&mut self) -> Result<i64, Stuck> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(super) fn u32(&mut self) -> Result<u32, Stuck> {
        let bytes = self.take(4)?;
        Cursor::new(bytes).u32().ok_or(Stuck::Wrong)
    }

    fn length(&mut self) -> Result<usize, Stuck> {
        let length = match self.encoding {
            Encoding::Binary => u64::from(self.u32()?),
            Encoding::Compact => self.varint()?,
        };
        usize::try_from(length).ok().filter(|length| *length < 1 << 30).ok_or(Stuck::Wrong)
    }

    pub(super) fn text(&mut self) -> Result<&'a [u8], Stuck> {
        let length = self.length()?;
        self.take(length)
    }

    /// A whole number of 32 bits.
    pub(super) fn number(&mut self) -> Result<i64, Stuck> {
        match self.encoding {
            Encoding::Binary => Ok(i64::from(self.u32()?.cast_signed())),
            Encoding::Compact => self.zigzag(),
        }
    }

    fn kind(&self, code: u8, in_list: bool) -> Result<Type, Stuck> {
        Ok(match (self.encoding, code) {
            (Encoding::Binary, 2 | 3) | (Encoding::Compact, 3) => Type::Bytes(1),
            (Encoding::Compact, 1 | 2) => {
                if in_list {
                    Type::Bytes(1)
                } else {
                    Type::Nothing
                }
            }
            (Encoding::Binary, 6) => Type::Bytes(2),
            (Encoding::Binary, 8) => Type::Bytes(4),
            (Encoding::Binary, 4 | 10) | (Encoding::Compact, 7) => Type::Bytes(8),
            (Encoding::Compact, 4..=6) => Type::Number,
            (Encoding::Binary, 11) | (Encoding::Compact, 8) => Type::Text,
            (Encoding::Binary, 12) | (Encoding::Compact, 12) => Type::Struct,
            (Encoding::Binary, 13) | (Encoding::Compact, 11) => Type::Map,
            (Encoding::Binary, 14 | 15) | (Encoding::Compact, 9 | 10) => Type::List,
            (Encoding::Binary, 16) | (Encoding::Compact, 13) => Type::Bytes(16),
            _ => return Err(Stuck::Wrong),
        })
    }

    /// The next field of a struct, `None` at its end.
    pub(super) fn field(&mut self, last: i16) -> Result<Option<Field>, Stuck> {
        let head = self.u8()?;
        if head == 0 {
            return Ok(None);
        }
        let (code, id) = match self.encoding {
            Encoding::Binary => {
                let id = Cursor::new(self.take(2)?).u16().ok_or(Stuck::Wrong)?;
                (head, id.cast_signed())
            }
            Encoding::Compact if head >> 4 == 0 => (head, i16::try_from(self.zigzag()?).map_err(|_| Stuck::Wrong)?),
            Encoding::Compact => (head & 15, last.wrapping_add(i16::from(head >> 4))),
        };
        Ok(Some(Field { id, kind: self.kind(code, false)? }))
    }

    /// Passes over a value. Every element takes at least a byte, so that loops end with the bytes.
    pub(super) fn skip(&mut self, kind: Type, depth: u8) -> Result<(), Stuck> {
        if depth > DEPTH {
            return Err(Stuck::Wrong);
        }
        match kind {
            Type::Nothing => {}
            Type::Bytes(n) => {
                self.take(n)?;
            }
            Type::Number => {
                self.varint()?;
            }
            Type::Text => {
                self.text()?;
            }
            Type::Struct => {
                let mut last = 0;
                while let Some(field) = self.field(last)? {
                    last = field.id;
                    self.skip(field.kind, depth + 1)?;
                }
            }
            Type::List => {
                let (kind, length) = self.list()?;
                self.elements(&[kind], length, depth)?;
            }
            Type::Map => {
                let (keys, values, length) = self.map()?;
                if length > 0 {
                    self.elements(&[self.kind(keys, true)?, self.kind(values, true)?], length, depth)?;
                }
            }
        }
        Ok(())
    }

    fn elements(&mut self, kinds: &[Type], length: usize, depth: u8) -> Result<(), Stuck> {
        if let [Type::Bytes(n)] = kinds {
            self.take(n.checked_mul(length).ok_or(Stuck::Wrong)?)?;
            return Ok(());
        }
        for _ in 0..length {
            for kind in kinds {
                self.skip(*kind, depth + 1)?;
            }
        }
        Ok(())
    }

    fn list(&mut self) -> Result<(Type, usize), Stuck> {
        let head = self.u8()?;
        match self.encoding {
            Encoding::Binary => {
                let length = self.length()?;
                // An empty list may be of no type.
                let kind = if length == 0 { Type::Nothing } else { self.kind(head, true)? };
                Ok((kind, length))
            }
            Encoding::Compact => {
                let length = if head >> 4 == 15 { self.length()? } else { usize::from(head >> 4) };
                let kind = if length == 0 { Type::Nothing } else { self.kind(head & 15, true)? };
                Ok((kind, length))
            }
        }
    }

    fn map(&mut self) -> Result<(u8, u8, usize), Stuck> {
        match self.encoding {
            Encoding::Binary => {
                let (keys, values) = (self.u8()?, self.u8()?);
                Ok((keys, values, self.length()?))
            }
            Encoding::Compact => {
                let length = self.length()?;
                let kinds = if length == 0 { 0 } else { self.u8()? };
                Ok((kinds >> 4, kinds & 15, length))
            }
        }
    }
}
