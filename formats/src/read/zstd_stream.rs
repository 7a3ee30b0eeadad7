//! zstd compressed captures that are no bundles, as one stream of content.
//!
//! Frames that state a moderate content size (as `pzstd` and the like write many of) are decompressed in parallel,
//! everything else runs through a decoder with a bounded window.

use super::frames::decompress;
use super::stream::CHUNK;
use super::window::Window;
use crate::zstd_frame::{Extent, MAX_CONTENT, foreign_extent};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::io::{self, BufReader, Cursor, Read};

/// Largest window of a foreign zstd stream: 2^27 bytes, the limit of the zstd program.
const WINDOW_LOG_MAX: u32 = 27;
/// Frames decompressed together, at most.
const MAX_FRAMES: usize = 1024;

/// What is left of the input, and how it is read.
enum Input {
    /// Frame by frame.
    Frames(Window),
    /// As a stream.
    Stream(Box<dyn Read + Send>),
    /// Nothing is left, or it cannot be read.
    Ended,
}

pub(super) struct ZstdFrames {
    input: Input,
    /// Content that waits to be read.
    ready: VecDeque<Cursor<Vec<u8>>>,
    /// Why there will be no more, once that is read.
    error: Option<io::Error>,
}

impl ZstdFrames {
    pub(super) fn new(window: Window) -> Self {
        Self { input: Input::Frames(window), ready: VecDeque::new(), error: None }
    }

    /// Decompresses the next frames, or turns to streaming for the rest.
    fn advance(&mut self) -> io::Result<()> {
        let Input::Frames(window) = &mut self.input else { return Ok(()) };
        let mut frames = Vec::new();
        let mut content = 0;
        while content < CHUNK && frames.len() < MAX_FRAMES {
            match next_frame(window) {
                Some((bytes, len)) => {
                    content += len;
                    frames.push((bytes, len));
                }
                None => break,
            }
        }
        if frames.is_empty() {
            return self.stream();
        }
        let contents: Vec<_> = frames.into_par_iter().map(|(bytes, len)| decompress(&bytes, len)).collect();
        for content in contents {
            match content {
                Ok(content) => self.ready.push_back(Cursor::new(content)),
                Err(why) => {
                    self.error = Some(io::Error::new(io::ErrorKind::InvalidData, why));
                    self.input = Input::Ended;
                    break;
                }
            }
        }
        Ok(())
    }

    fn stream(&mut self) -> io::Result<()> {
        let Input::Frames(mut window) = std::mem::replace(&mut self.input, Input::Ended) else { return Ok(()) };
        if window.ensure(1) {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(BufReader::new(window.into_reader()))?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            self.input = Input::Stream(Box::new(decoder));
        } else if let Some(e) = window.error.take() {
            return Err(e);
        }
        Ok(())
    }
}

/// The whole frame at the window, and its content size, if it is one to be decompressed on its own. Skippable frames are skipped.
fn next_frame(window: &mut Window) -> Option<(Vec<u8>, usize)> {
    loop {
        let have = window.available();
        let need = match foreign_extent(have) {
            Extent::Frame { len, content, .. } => {
                let frame = have.get(..len)?.to_vec();
                window.consume(len);
                return Some((frame, content? as usize));
            }
            Extent::Skippable { len, .. } if len <= have.len() as u64 => {
                window.consume(len as usize);
                continue;
            }
            Extent::Skippable { len, .. } if len <= MAX_CONTENT => len as usize,
            Extent::NeedMore(need) => need,
            Extent::Skippable { .. } | Extent::Invalid(_) => return None,
        };
        if !window.ensure(need) {
            return None;
        }
    }
}

impl Read for ZstdFrames {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            while let Some(front) = self.ready.front_mut() {
                match front.read(out)? {
                    0 if !out.is_empty() => drop(self.ready.pop_front()),
                    n => return Ok(n),
                }
            }
            if let Some(e) = self.error.take() {
                return Err(e);
            }
            match &mut self.input {
                Input::Frames(_) => self.advance()?,
                Input::Stream(stream) => return stream.read(out),
                Input::Ended => return Ok(0),
            }
        }
    }
}
