//! Frames of CQL as rows see them.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use crate::model::{RequestFields, Status};

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) is_response: bool,
    version: u8,
    flags: u8,
    pub(super) stream: u16,
    pub(super) opcode: u8,
    length: u32,
}

pub(super) const ERROR: u8 = 0;
pub(super) const STARTUP: u8 = 1;
pub(super) const READY: u8 = 2;
pub(super) const AUTHENTICATE: u8 = 3;
pub(super) const QUERY: u8 = 7;
pub(super) const RESULT: u8 = 8;
pub(super) const PREPARE: u8 = 9;
pub(super) const EXECUTE: u8 = 10;
pub(super) const EVENT: u8 = 12;
pub(super) const BATCH: u8 = 13;
pub(super) const AUTH_RESPONSE: u8 = 15;

/// Names, and who sends it: requests first.
const OPCODES: [(&str, bool); 17] = [
    ("ERROR", true),
    ("STARTUP", false),
    ("READY", true),
    ("AUTHENTICATE", true),
    ("CREDENTIALS", false),
    ("OPTIONS", false),
    ("SUPPORTED", true),
    ("QUERY", false),
    ("RESULT", true),
    ("PREPARE", false),
    ("EXECUTE", false),
    ("REGISTER", false),
    ("EVENT", true),
    ("BATCH", false),
    ("AUTH_CHALLENGE", true),
    ("AUTH_RESPONSE", false),
    ("AUTH_SUCCESS", true),
];

impl Head {
    /// Bytes of the head: eight up to version 2.
    pub(super) fn size(first: u8) -> usize {
        if first & 0x7f <= 2 { 8 } else { 9 }
    }

    /// `None`: not a frame.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let first = cursor.u8()?;
        let version = first & 0x7f;
        let flags = cursor.u8()?;
        let stream = if version <= 2 { u16::from(cursor.u8()?) } else { cursor.u16()? };
        let opcode = cursor.u8()?;
        let length = cursor.u32()?;
        let is_response = first & 0x80 != 0;
        let fits = (1..=5).contains(&version)
            && flags & 0xe0 == 0
            && OPCODES.get(usize::from(opcode)).is_some_and(|(_, response)| *response == is_response)
            && length <= 256 << 20;
        fits.then_some(Self { is_response, version, flags, stream, opcode, length })
    }

    /// Bytes in front of the body.
    pub(super) fn len(self) -> usize {
        Self::size(self.version)
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        self.len() as u64 + u64::from(self.length)
    }

    pub(super) fn name(self) -> &'static str {
        OPCODES.get(usize::from(self.opcode)).map_or("", |(name, _)| name)
    }

    pub(super) fn is_compressed(self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether frames of this version go in segments once the server is ready.
    pub(super) fn is_segmented(self) -> bool {
        self.version == 5
    }

    /// The body, not compressed, behind what the flags put in front of it.
    pub(super) fn body(self, body: &[u8]) -> &[u8] {
        let mut cursor = Cursor::new(body);
        self.extras(&mut cursor).map_or(&[], |()| cursor.rest())
    }

    fn extras(self, cursor: &mut Cursor<'_>) -> Option<()> {
        if self.flags & 2 != 0 && self.is_response {
            cursor.take(16)?;
        }
        if self.flags & 8 != 0 && self.is_response {
            for _ in 0..cursor.u16()? {
                short(cursor)?;
            }
        }
        if self.flags & 4 != 0 {
            for _ in 0..cursor.u16()? {
                short(cursor)?;
                let length = cursor.u32()?.cast_signed();
                cursor.take(usize::try_from(length).unwrap_or_default())?;
            }
        }
        Some(())
    }

    /// What all requests say.
    pub(super) fn fields(self) -> RequestFields {
        RequestFields {
            l7_protocol: "cassandra",
            version: match self.version {
                1 => "1",
                2 => "2",
                3 => "3",
                4 => "4",
                _ => "5",
            },
            request_type: self.name().into(),
            session_id: Some(u64::from(self.stream)),
            ..RequestFields::default()
        }
    }
}

/// A text or bytes with a length of two bytes.
pub(super) fn short<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let length = cursor.u16()?;
    cursor.take(usize::from(length))
}

/// A text with a length of four bytes, as far as it is in view.
pub(super) fn long<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let length = usize::try_from(cursor.u32()?.cast_signed()).ok()?;
    Some(cursor.up_to(length))
}

/// The first statement of a batch: its text, or the id of what was prepared.
pub(super) enum First<'a> {
    Text(&'a [u8]),
    Prepared(&'a [u8]),
}

/// A batch: its first statement and how many there are.
pub(super) fn batch(body: &[u8]) -> Option<(First<'_>, u16)> {
    let mut cursor = Cursor::new(body);
    cursor.u8()?;
    let count = cursor.u16()?;
    let first = match cursor.u8()? {
        0 => First::Text(long(&mut cursor)?),
        1 => First::Prepared(short(&mut cursor)?),
        _ => return None,
    };
    Some((first, count))
}

/// The value of an option in STARTUP.
pub(super) fn option<'a>(body: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut cursor = Cursor::new(body);
    for _ in 0..cursor.u16()?.min(64) {
        let (own, value) = (short(&mut cursor)?, short(&mut cursor)?);
        if own == name {
            return Some(value);
        }
    }
    None
}

/// What the server tells who has registered: what happened to what.
pub(super) fn event(head: Head, body: &[u8]) -> RequestFields {
    let mut fields = head.fields();
    let mut cursor = Cursor::new(body);
    let (kind, change) = (short(&mut cursor), short(&mut cursor));
    if let Some(kind) = kind {
        let words = [kind, change.unwrap_or_default()].join(&b' ');
        fields.request_resource = clean_to(words.trim_ascii_end(), 128);
        fields.endpoint = clean_to(kind, 64);
    }
    fields
}

/// The keyspace that USE has set.
pub(super) fn keyspace(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(body);
    cursor.u32().filter(|kind| *kind == 3)?;
    short(&mut cursor)
}

/// Number of rows in an answer, behind the descriptions of their columns.
pub(super) fn rows(body: &[u8]) -> Option<u64> {
    let mut cursor = Cursor::new(body);
    cursor.u32().filter(|kind| *kind == 2)?;
    let (flags, columns) = (cursor.u32()?, cursor.u32()?);
    if flags & 2 != 0 {
        // Where the next page starts.
        let length = usize::try_from(cursor.u32()?.cast_signed()).unwrap_or_default();
        cursor.take(length)?;
    }
    if flags & 8 != 0 {
        short(&mut cursor)?;
    }
    if flags & 4 == 0 {
        let table_of_each = if flags & 1 != 0 {
            short(&mut cursor).and_then(|_| short(&mut cursor))?;
            false
        } else {
            true
        };
        for _ in 0..columns {
            if table_of_each {
                short(&mut cursor).and_then(|_| short(&mut cursor))?;
            }
            short(&mut cursor)?;
            data_type(&mut cursor, 0)?;
        }
    }
    cursor.u32().filter(|rows| *rows <= i32::MAX.cast_unsigned()).map(u64::from)
}

/// Passes over a type.
fn data_type(cursor: &mut Cursor<'_>, depth: u32) -> Option<()> {
    if depth > 8 {
        return None;
    }
    let inner = match cursor.u16()? {
        0 => return short(cursor).map(|_| ()),
        0x20 | 0x22 => 1,
        0x21 => 2,
        0x30 => {
            short(cursor).and_then(|_| short(cursor))?;
            for _ in 0..cursor.u16()? {
                short(cursor)?;
                data_type(cursor, depth + 1)?;
            }
            0
        }
        0x31 => cursor.u16()?,
        _ => 0,
    };
    (0..inner).try_for_each(|_| data_type(cursor, depth + 1))
}

/// The id in the answer to PREPARE.
pub(super) fn prepared(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(body);
    cursor.u32().filter(|kind| *kind == 4)?;
    short(&mut cursor)
}

/// Error code and text.
pub(super) fn error(body: &[u8], fields: &mut RequestFields) {
    let mut cursor = Cursor::new(body);
    fields.status = Status::ServerError;
    let Some(code) = cursor.u32() else {
        return;
    };
    fields.code = Some(code.cast_signed());
    // A message out of protocol, wrong credentials, and all that is wrong with the statement.
    if matches!(code, 0x000a | 0x0100 | 0x2000..=0x2fff) {
        fields.status = Status::ClientError;
    }
    if let Some(text) = short(&mut cursor) {
        fields.exception = clean_to(text, 512);
    }
}
