//! Records (RFC 6347 section 4.1) and pieces of handshake messages (section 4.2.2).

use super::super::cursor::Cursor;
use std::collections::BTreeMap;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    ChangeCipherSpec,
    Alert,
    Handshake,
    Data,
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) content: Content,
    /// 0: nothing is encrypted yet.
    pub(super) epoch: u16,
    /// As far as it was captured.
    pub(super) body: &'a [u8],
    /// `body` is all of it.
    pub(super) whole: bool,
}

impl<'a> Record<'a> {
    /// The record that `bytes` start with, and what follows it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut cursor = Cursor::new(bytes);
        let content = match cursor.u8()? {
            20 => Content::ChangeCipherSpec,
            21 => Content::Alert,
            22 => Content::Handshake,
            // Also connection ids (RFC 9146).
            23 | 25 => Content::Data,
            _ => return None,
        };
        // 1.0, 1.2, and what OpenSSL spoke before the standard.
        if !matches!(cursor.u16()?, 0xfeff | 0xfefd | 0x0100) {
            return None;
        }
        let epoch = cursor.u16()?;
        cursor.take(6)?;
        let length = usize::from(cursor.u16()?);
        if length == 0 || length > 16_384 + 2048 {
            return None;
        }
        let body = cursor.up_to(length);
        Some((Self { content, epoch, body, whole: body.len() == length }, cursor.rest()))
    }
}

/// Longest message that is put together.
const MESSAGE_LIMIT: usize = 64 * 1024;
/// Messages in work on one side.
const MESSAGES: usize = 16;
/// Pieces of one message.
const PIECES: usize = 256;

/// A message in work.
#[derive(Debug, Default)]
struct Parts {
    kind: u8,
    length: usize,
    /// Bytes from the start on without a gap.
    whole: Vec<u8>,
    later: BTreeMap<usize, Vec<u8>>,
}

impl Parts {
    fn add(&mut self, offset: usize, data: &[u8]) {
        if offset > self.whole.len() {
            if self.later.len() < PIECES {
                self.later.insert(offset, data.to_vec());
            }
            return;
        }
        let known = self.whole.len() - offset;
        self.whole.extend_from_slice(data.get(known..).unwrap_or_default());
        while let Some(next) = self.later.first_entry().filter(|next| *next.key() <= self.whole.len()) {
            let (offset, data) = next.remove_entry();
            let known = self.whole.len() - offset;
            self.whole.extend_from_slice(data.get(known..).unwrap_or_default());
        }
    }
}

/// Messages of one side, by number.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    parts: BTreeMap<u16, Parts>,
    /// Numbers below were told.
    told: u16,
}

impl Pieces {
    /// Adds the handshake messages, or pieces of them, of a record.
    pub(super) fn add(&mut self, body: &[u8]) {
        let mut cursor = Cursor::new(body);
        while let (Some(kind), Some(length), Some(number), Some(offset), Some(size)) =
            (cursor.u8(), cursor.u24(), cursor.u16(), cursor.u24(), cursor.u24())
        {
            let data = cursor.up_to(size as usize);
            let (length, offset) = (length as usize, offset as usize);
            if kind == 1 && number == 0 {
                // A hello with the first number begins another handshake.
                self.told = 0;
            }
            if length > MESSAGE_LIMIT || offset + data.len() > length || number < self.told {
                continue;
            }
            if self.parts.len() >= MESSAGES && !self.parts.contains_key(&number) {
                continue;
            }
            let parts = self.parts.entry(number).or_insert_with(|| Parts { kind, length, ..Parts::default() });
            if parts.kind == kind && parts.length == length {
                parts.add(offset, data);
            }
        }
    }

    /// The next message that is whole: its type and body. Servers may begin with any number.
    pub(super) fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.parts.first_entry().filter(|first| first.get().whole.len() == first.get().length)?;
        let (number, parts) = first.remove_entry();
        self.told = number.saturating_add(1);
        Some((parts.kind, parts.whole))
    }

    /// The message in work, as far as it goes: nothing more was captured of it.
    pub(super) fn begun(&mut self) -> Option<(u8, Vec<u8>)> {
        let (number, parts) = self.parts.pop_first()?;
        self.told = number.saturating_add(1);
        Some((parts.kind, parts.whole))
    }
}
