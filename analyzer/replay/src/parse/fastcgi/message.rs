//! FastCGI's records and params.

use super::super::cursor::Cursor;

/// The head of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) id: u16,
    pub(super) length: u16,
    padding: u8,
}

/// Bytes of a record's head.
pub(super) const HEAD: usize = 8;
/// Kinds of records.
pub(super) const BEGIN: u8 = 1;
pub(super) const ABORT: u8 = 2;
pub(super) const END: u8 = 3;
pub(super) const PARAMS: u8 = 4;
pub(super) const STDIN: u8 = 5;
pub(super) const STDOUT: u8 = 6;
pub(super) const STDERR: u8 = 7;

impl Record {
    /// `None`: not a record.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        cursor.u8().filter(|version| *version == 1)?;
        let kind = cursor.u8().filter(|kind| (1..=11).contains(kind))?;
        let (id, length, padding) = (cursor.u16()?, cursor.u16()?, cursor.u8()?);
        cursor.u8().filter(|reserved| *reserved == 0)?;
        // Only questions about the server itself have no id.
        let fits = (id == 0) == (kind >= 9) && (!matches!(kind, BEGIN | END) || length == 8);
        fits.then_some(Self { kind, id, length, padding })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        HEAD as u64 + u64::from(self.length) + u64::from(self.padding)
    }
}

/// Name-value pairs, as far as the bytes reach.
pub(super) fn pairs(params: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut cursor = Cursor::new(params);
    std::iter::from_fn(move || pair(&mut cursor))
}

fn pair<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let name = length(cursor)?;
    let value = length(cursor)?;
    Some((cursor.take(name)?, cursor.take(value)?))
}

/// One byte, or four with the highest bit set.
fn length(cursor: &mut Cursor<'_>) -> Option<usize> {
    let first = cursor.u8()?;
    if first < 0x80 {
        return Some(usize::from(first));
    }
    let rest = cursor.u24()?;
    usize::try_from(u32::from(first & 0x7f) << 24 | rest).ok()
}
