//! The compressed protocol (manual, "Compression"): packets inside packets with two lengths, across whose ends they may go on.

use super::super::cursor::Cursor;
use super::super::unpack::{Packing, unpack};
use super::super::{Input, Step};
use super::message;
use crate::model::Side;

/// Bytes of a compressed packet looked at.
const WINDOW: usize = 48 * 1024;
/// Most that is made of them.
const PLAIN_LIMIT: usize = 1024 * 1024;

/// A packet of the compressed protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer {
    sequence: u8,
    /// Bytes of what was compressed, 0 if it was not.
    plain: u32,
    /// Bytes in view, with the head of seven.
    shown: usize,
    /// Bytes on the stream.
    pub(super) total: u64,
}

const HEAD: usize = 7;

impl Outer {
    fn head(bytes: &[u8]) -> Option<(u32, u8, u32)> {
        let mut cursor = Cursor::new(bytes);
        Some((cursor.u24_le()?, cursor.u8()?, cursor.u24_le()?))
    }

    /// A packet, if enough of it is in view.
    pub(super) fn parse(input: Input<'_>) -> Result<Self, Step> {
        let (length, sequence, plain) = Self::head(input.bytes).ok_or(Step::More(HEAD))?;
        let wanted = HEAD + (length as usize).min(WINDOW);
        if input.bytes.len() < wanted && !input.cut {
            return Err(Step::More(wanted));
        }
        let shown = input.bytes.len().min(HEAD + length as usize);
        Ok(Self { sequence, plain, shown, total: HEAD as u64 + u64::from(length) })
    }

    /// Whether these bytes begin with a command that was compressed with zlib: nothing else tells that this protocol is spoken.
    pub(super) fn is_command(bytes: &[u8]) -> bool {
        let Some((length @ 9.., 0, plain @ 50..)) = Self::head(bytes) else {
            return false;
        };
        let Some(body) = bytes.get(HEAD..).filter(|body| body.starts_with(&[0x78]) && plain > length / 2) else {
            return false;
        };
        let inner = unpack(Packing::Zlib, body, 64);
        let mut cursor = Cursor::new(&inner);
        matches!(
            (cursor.u24_le(), cursor.u8(), cursor.u8()),
            (Some(size), Some(0), Some(command))
                if size + 4 <= plain && message::plausible_command(command, size, cursor.rest())
        )
    }

    /// Whether a command or an answer begins here.
    pub(super) fn starts(side: Side, bytes: &[u8]) -> bool {
        match Self::head(bytes) {
            Some((length, sequence, plain)) => {
                let packed = matches!(bytes.get(HEAD), Some(0x78 | 0x28) | None);
                sequence == first(side) && length > 0 && (plain == 0 || packed && plain > length / 2)
            }
            None => false,
        }
    }
}

/// Numbers begin with each command; the answer goes on counting.
const fn first(side: Side) -> u8 {
    match side {
        Side::Client => 0,
        Side::Server => 1,
    }
}

/// Where one side stands inside.
#[derive(Debug, Default)]
struct Inside {
    /// Bytes that wait for more.
    rest: Vec<u8>,
    /// Bytes that need not be looked at.
    skip: usize,
    /// The message goes on behind the last packet.
    hold: bool,
    /// What went before is missing: the next command or answer is waited for.
    lost: bool,
}

/// The compressed protocol on a connection.
#[derive(Debug)]
pub(super) struct Compression {
    packing: Packing,
    sides: [Inside; 2],
}

impl Default for Compression {
    fn default() -> Self {
        Self::of(Packing::Zlib)
    }
}

impl Compression {
    /// As agreed on.
    pub(super) fn of(packing: Packing) -> Self {
        Self { packing, sides: Default::default() }
    }

    /// Whether what is inside can be read: nothing is missing before it.
    pub(super) fn takes_up(&mut self, side: Side, outer: &Outer) -> bool {
        let inside = &mut self.sides[side.index()];
        inside.lost &= outer.sequence != first(side);
        !inside.lost
    }

    /// What is inside, and whether that is all of it.
    pub(super) fn plain(&self, outer: &Outer, bytes: &[u8]) -> (Vec<u8>, bool) {
        let body = bytes.get(HEAD..outer.shown).unwrap_or_default();
        if outer.plain == 0 {
            return (body.to_vec(), outer.shown as u64 == outer.total);
        }
        let wanted = outer.plain as usize;
        let plain = unpack(self.packing, body, wanted.min(PLAIN_LIMIT));
        let whole = plain.len() == wanted;
        (plain, whole)
    }

    /// What is to be looked at now: what waited, and what has come.
    pub(super) fn begin(&mut self, side: Side, plain: &[u8]) -> Vec<u8> {
        let inside = &mut self.sides[side.index()];
        let skipped = inside.skip.min(plain.len());
        inside.skip -= skipped;
        let mut bytes = std::mem::take(&mut inside.rest);
        bytes.extend_from_slice(plain.get(skipped..).unwrap_or_default());
        bytes
    }

    /// `used` of these bytes are done with, perhaps more than have come; `hold` as in [`super::Output`].
    pub(super) fn end(&mut self, side: Side, mut bytes: Vec<u8>, used: usize, hold: bool) {
        let inside = &mut self.sides[side.index()];
        inside.skip += used.saturating_sub(bytes.len());
        bytes.drain(..used.min(bytes.len()));
        inside.rest = bytes;
        inside.hold = hold;
    }

    /// Whether the message of the last packet goes on behind it.
    pub(super) fn holds(&self, side: Side) -> bool {
        self.sides[side.index()].hold
    }

    /// Whether it goes on behind what has come.
    pub(super) fn is_open(&self, side: Side) -> bool {
        let inside = &self.sides[side.index()];
        inside.hold || inside.skip > 0
    }

    /// Bytes are missing.
    pub(super) fn lost(&mut self, side: Side) {
        self.sides[side.index()] = Inside { lost: true, ..Inside::default() };
    }
}
