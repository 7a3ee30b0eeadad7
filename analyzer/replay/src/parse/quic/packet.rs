//! Long headers (RFC 9000 section 17.2) and the frames inside Initial packets (section 19).

use super::super::cursor::Cursor;
use super::keys::Version;

/// Handshake bytes put together per side.
const STREAM_LIMIT: usize = 16 * 1024;
/// Pieces out of order at a time.
const PIECE_LIMIT: usize = 64;
/// Longest connection id of the known versions.
const ID_LIMIT: u8 = 20;

/// What a packet with a long header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    /// The server offers other versions.
    Negotiation,
}

/// A packet with a long header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Long<'a> {
    pub(super) kind: Kind,
    /// `None`: version negotiation.
    pub(super) version: Option<Version>,
    /// Destination connection id.
    pub(super) destination: &'a [u8],
    /// Source connection id.
    pub(super) source: &'a [u8],
    /// The packet, as far as it was captured.
    pub(super) bytes: &'a [u8],
    /// Where the packet number starts.
    pub(super) number_at: usize,
    /// Bytes of the packet were not captured.
    pub(super) cut: bool,
    /// Version negotiation: what is offered.
    pub(super) offered: &'a [u8],
}

/// A variable-length integer (RFC 9000 section 16).
fn integer(cursor: &mut Cursor<'_>) -> Option<u64> {
    let first = cursor.u8()?;
    let mut value = u64::from(first & 0x3f);
    for _ in 1..1 << (first >> 6) {
        value = value << 8 | u64::from(cursor.u8()?);
    }
    Some(value)
}

impl<'a> Long<'a> {
    /// The packet that `bytes` start with, and what follows it in the datagram. `None`: none of a known version.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let mut cursor = Cursor::new(bytes);
        let first = cursor.u8()?;
        let number = cursor.u32()?;
        if first & 0x80 == 0 {
            return None;
        }
        let mut id = || {
            let length = cursor.u8().filter(|length| *length <= ID_LIMIT)?;
            cursor.take(usize::from(length))
        };
        let (destination, source) = (id()?, id()?);
        let mut long = Self {
            kind: Kind::Negotiation,
            version: None,
            destination,
            source,
            bytes,
            number_at: bytes.len(),
            cut: false,
            offered: cursor.rest(),
        };
        if number == 0 {
            let fits = !long.offered.is_empty() && long.offered.len().is_multiple_of(4);
            return fits.then_some((long, &[]));
        }
        let version = Version::of(number)?;
        if first & 0x40 == 0 {
            return None;
        }
        long.version = Some(version);
        long.kind = match (first >> 4 & 3, version.second) {
            (0, false) | (1, true) => Kind::Initial,
            (1, false) | (2, true) => Kind::ZeroRtt,
            (2, false) | (3, true) => Kind::Handshake,
            _ => Kind::Retry,
        };
        if long.kind == Kind::Retry {
            return Some((long, &[]));
        }
        if long.kind == Kind::Initial {
            let length = integer(&mut cursor)?;
            cursor.take(usize::try_from(length).ok()?)?;
        }
        let length = usize::try_from(integer(&mut cursor)?).ok()?;
        long.number_at = cursor.position();
        let end = long.number_at.checked_add(length)?;
        long.cut = end > bytes.len();
        long.bytes = bytes.get(..end).unwrap_or(bytes);
        Some((long, bytes.get(end..).unwrap_or_default()))
    }
}

/// A CONNECTION_CLOSE.
#[derive(Debug)]
pub(super) struct Close {
    pub(super) code: u64,
    pub(super) reason: Vec<u8>,
}

/// Frames of an Initial packet that matter.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Offset and bytes.
    pub(super) crypto: Vec<(u64, Vec<u8>)>,
    pub(super) close: Option<Close>,
}

/// Reads frames. `None`: these are none, so the keys were wrong. `cut`: the packet's end is missing. `google`: frames have
/// Google's numbers, of which those of the handshake are read.
pub(super) fn frames(plain: &[u8], cut: bool, google: bool) -> Option<Frames> {
    // The tag stands at the end.
    let plain = if cut { plain } else { plain.get(..plain.len().checked_sub(16)?)? };
    let mut cursor = Cursor::new(plain);
    let mut frames = Frames::default();
    let mut read = |cursor: &mut Cursor<'_>| -> Option<bool> {
        let Some(kind) = cursor.u8() else { return Some(false) };
        match kind {
            0 => {
                // Filling, up to a whole datagram.
                let (blocks, _) = cursor.rest().as_chunks::<64>();
                let blocks =
                    blocks.iter().take_while(|block| block.iter().fold(0, |all, byte| all | byte) == 0).count();
                cursor.up_to(64 * blocks);
                let zeros = cursor.rest().iter().take_while(|byte| **byte == 0).count();
                cursor.up_to(zeros);
            }
            1 => {}
            2 | 3 => {
                integer(cursor)?;
                integer(cursor)?;
                let ranges = integer(cursor)?;
                integer(cursor)?;
                for _ in 0..ranges.saturating_mul(2).saturating_add(if kind == 3 { 3 } else { 0 }) {
                    integer(cursor)?;
                }
            }
            // A piece of the handshake.
            6 | 8 if (kind == 8) == google => {
                let offset = integer(cursor)?;
                let length = usize::try_from(integer(cursor)?).ok()?;
                let data = if cut { cursor.up_to(length) } else { cursor.take(length)? };
                if frames.crypto.len() < PIECE_LIMIT {
                    frames.crypto.push((offset, data.to_vec()));
                }
            }
            0x1c | 0x1d => {
                let code = integer(cursor)?;
                if kind == 0x1c {
                    integer(cursor)?;
                }
                let length = usize::try_from(integer(cursor)?).ok()?;
                frames.close = Some(Close { code, reason: cursor.up_to(length).to_vec() });
            }
            _ => return None,
        }
        Some(true)
    };
    let mut any = false;
    loop {
        match read(&mut cursor) {
            Some(true) => any = true,
            Some(false) => break,
            None if (cut || google) && any => break,
            None => return None,
        }
    }
    any.then_some(frames)
}

/// The stream of handshake bytes of one side, which come in any order.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pieces: Vec<(u64, Vec<u8>)>,
    whole: Vec<u8>,
    /// Where the message looked at starts.
    at: usize,
}

impl Stream {
    /// Adds a piece.
    pub(super) fn add(&mut self, offset: u64, data: Vec<u8>) {
        if offset > STREAM_LIMIT as u64 || data.is_empty() {
            return;
        }
        if self.pieces.len() < PIECE_LIMIT {
            self.pieces.push((offset, data));
        }
        while let Some(at) = self.pieces.iter().position(|(offset, _)| *offset <= self.whole.len() as u64) {
            let (offset, data) = self.pieces.swap_remove(at);
            let known = self.whole.len() - usize::try_from(offset).unwrap_or(self.whole.len());
            let room = STREAM_LIMIT.saturating_sub(self.whole.len());
            let new = data.get(known..).unwrap_or_default();
            self.whole.extend_from_slice(new.get(..room).unwrap_or(new));
        }
    }

    /// All that came without a gap.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.whole
    }

    /// The handshake message looked at, at first the first: its type, its body, and whether that is all of it.
    pub(super) fn message(&self) -> Option<(u8, &[u8], bool)> {
        let mut cursor = Cursor::new(self.whole.get(self.at..)?);
        let kind = cursor.u8()?;
        let length = cursor.u24()? as usize;
        let body = cursor.up_to(length);
        Some((kind, body, body.len() == length))
    }

    /// Looks at the next message.
    pub(super) fn pass(&mut self) {
        if let Some((_, body, true)) = self.message() {
            self.at += 4 + body.len();
        }
    }
}
