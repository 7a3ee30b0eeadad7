//! Captures that are one stream of content: plain, gzip or foreign zstd.

use super::window::Window;
use std::io::{self, Read};

/// Content per batch where frames are decompressed side by side.
pub(super) const CHUNK: usize = 16 << 20;
/// Content per batch of what is read as it is: as much as stays in a core's cache until its packets have been decoded and
/// handed on, which makes both twice as fast as with [`CHUNK`].
const PIECE: usize = 1 << 20;
/// The first batch has less, and each one after it twice as much: while it is read, nobody has anything else to do.
const FIRST_PIECE: usize = 128 << 10;

pub(super) struct StreamSource {
    input: Box<dyn Read + Send>,
    /// What the last chunk left: the beginning of a packet or block.
    carry: Vec<u8>,
    /// Offset of `carry` in the content.
    pub(super) offset: u64,
    /// Length of the packet or block that `carry` begins, as far as known.
    need: usize,
    /// Content of the next chunk.
    piece: usize,
    ended: bool,
}

impl StreamSource {
    pub(super) fn new(window: Window) -> Self {
        Self {
            offset: window.offset(),
            input: Box::new(window.into_reader()),
            carry: Vec::new(),
            need: 0,
            piece: FIRST_PIECE,
            ended: false,
        }
    }

    /// The next chunk of content, starting where the last one was left; `None` at the end, with what is left over.
    /// An error ends the stream after the chunk that comes with it. The chunk takes the place of `spare`.
    pub(super) fn next(&mut self, spare: Vec<u8>) -> Result<(Vec<u8>, Option<io::Error>), usize> {
        if self.ended {
            return Err(self.carry.len());
        }
        let len = self.piece.max(self.need);
        self.piece = (self.piece * 2).min(PIECE);
        let mut chunk = spare;
        chunk.clear();
        chunk.reserve(len);
        chunk.append(&mut self.carry);
        let want = len.saturating_sub(chunk.len()) as u64;
        match self.input.by_ref().take(want).read_to_end(&mut chunk) {
            Ok(got) => {
                self.ended = (got as u64) < want;
                Ok((chunk, None))
            }
            Err(e) => {
                self.ended = true;
                Ok((chunk, Some(e)))
            }
        }
    }

    /// Takes back what follows `consumed` bytes of the last chunk, where `need` bytes are needed to go on.
    pub(super) fn put_back(&mut self, chunk: &mut Vec<u8>, consumed: usize, need: usize) {
        self.carry = chunk.split_off(consumed.min(chunk.len()));
        self.offset += consumed as u64;
        self.need = need;
    }

    /// Ends the stream: there is no way past damage.
    pub(super) fn stop(&mut self) {
        self.ended = true;
        self.carry.clear();
    }
}
