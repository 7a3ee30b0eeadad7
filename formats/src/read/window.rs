//! A window on a byte stream: grows on demand, moves forward only.

use sha2::{Digest, Sha256};
use std::io::{self, Read};

/// Read ahead in pieces of this size.
const STEP: usize = 1 << 20;

pub(super) struct Window {
    input: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    /// Offset of `buffer[0]` in the stream.
    base: u64,
    ended: bool,
    /// Digest of all that was moved past, if asked for.
    digest: Option<Sha256>,
    /// Why reading ended early, until somebody takes it.
    pub(super) error: Option<io::Error>,
}

impl Window {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self { input, buffer: Vec::new(), start: 0, base: 0, ended: false, digest: None, error: None }
    }

    /// Bytes at hand.
    pub(super) fn available(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or(&[])
    }

    /// Offset of the first available byte in the stream.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Reads until `n` bytes are available; `false` if the stream ends before (or fails: see `error`).
    pub(super) fn ensure(&mut self, n: usize) -> bool {
        while self.available().len() < n {
            if self.ended {
                return false;
            }
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.base += self.start as u64;
                self.start = 0;
            }
            // What only tells the format is little.
            let ahead = if self.base == 0 && self.buffer.is_empty() { 0 } else { STEP };
            let want = (n - self.buffer.len()).max(ahead) as u64;
            match self.input.by_ref().take(want).read_to_end(&mut self.buffer) {
                Ok(got) => self.ended = (got as u64) < want,
                Err(e) => {
                    self.ended = true;
                    self.error = Some(e);
                }
            }
        }
        true
    }

    /// Keeps a digest of everything from here on.
    pub(super) fn start_digest(&mut self) {
        self.digest = Some(Sha256::new());
    }

    /// The digest of everything before this place.
    pub(super) fn digest(&self) -> Option<Sha256> {
        self.digest.clone()
    }

    /// Moves on.
    pub(super) fn consume(&mut self, n: usize) {
        let end = (self.start + n).min(self.buffer.len());
        if let (Some(digest), Some(passed)) = (&mut self.digest, self.buffer.get(self.start..end)) {
            digest.update(passed);
        }
        self.start = end;
    }

    /// What is left, as a stream of its own.
    pub(super) fn into_reader(self) -> impl Read + Send {
        let mut rest = self.buffer;
        rest.drain(..self.start);
        let failed = Failed(self.error);
        io::Cursor::new(rest).chain(failed).chain(self.input)
    }
}

/// Hands on an error that came while looking ahead.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
