//! Bundles: finding frames in a byte stream, past damage, and decompressing them.

use super::damage::Damage;
use super::window::Window;
use crate::zstd_frame::{self, Extent, MAGIC, SEEKABLE_FOOTER, SeekEntry};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read};

/// A frame as it lies in the file.
pub(super) struct RawFrame {
    pub(super) offset: u64,
    pub(super) bytes: Vec<u8>,
    /// Content size that its header states; at most [`zstd_frame::MAX_CONTENT`].
    pub(super) content: usize,
    /// The file ends inside it.
    pub(super) cut: bool,
}

pub(super) enum Item {
    Frame(RawFrame),
    SeekTable(Vec<SeekEntry>),
    Damage(Damage),
    End,
}

/// How far the frame at some place of the window goes.
enum Measure {
    /// It is all there.
    Whole(Extent, usize),
    /// The stream ends inside it.
    Cut,
    /// It is none.
    Invalid(&'static str),
}

pub(super) struct FrameSource {
    window: Window,
    /// Digest of the file up to the start of the last frame found.
    before_last: Option<Sha256>,
}

impl FrameSource {
    pub(super) fn new(mut window: Window) -> Self {
        window.start_digest();
        Self { window, before_last: None }
    }

    /// SHA-256, hex, of everything before the last frame: what the index in that frame states.
    pub(super) fn digest_before_last(&self) -> Option<String> {
        self.before_last.clone().map(|digest| crate::write::hex(&digest.finalize()))
    }

    /// The next frame, seek table or damage, in the order of the file.
    pub(super) fn next(&mut self) -> Item {
        loop {
            if !self.window.ensure(1) {
                return match self.window.error.take() {
                    Some(e) => Item::Damage(Damage {
                        offset: self.window.offset(),
                        what: format!("the rest cannot be read: {e}"),
                        ..Damage::default()
                    }),
                    None => Item::End,
                };
            }
            match self.measure(0) {
                Measure::Whole(Extent::Frame { len, content, .. }, _) => {
                    let content = content.unwrap_or(0) as usize;
                    // A flipped bit in a block's length may have led astray; then no frame follows here.
                    let follows = self.frame_follows(len);
                    let bytes = self.window.available().get(..len).unwrap_or(&[]).to_vec();
                    if !follows && decompress(&bytes, content).is_err() {
                        return self.resync("the frame is damaged");
                    }
                    let frame = RawFrame { offset: self.window.offset(), bytes, content, cut: false };
                    self.before_last = self.window.digest();
                    self.window.consume(len);
                    return Item::Frame(frame);
                }
                Measure::Whole(_, len) => {
                    let table = self.window.available().get(..len).and_then(zstd_frame::decode_seek_table);
                    self.window.consume(len);
                    if let Some(entries) = table {
                        return Item::SeekTable(entries);
                    }
                }
                Measure::Invalid(why) => return self.resync(why),
                Measure::Cut => return self.incomplete(),
            }
        }
    }

    /// Whether a frame or the end of the stream comes after `len` bytes.
    fn frame_follows(&mut self, len: usize) -> bool {
        self.window.ensure(len + 4);
        match self.window.available().get(len..) {
            None | Some([]) => true,
            Some(rest) => rest.first_chunk::<4>().is_some_and(|m| zstd_frame::is_magic(u32::from_le_bytes(*m))),
        }
    }

    fn measure(&mut self, at: usize) -> Measure {
        loop {
            let have = self.window.available().get(at..).unwrap_or(&[]);
            let need = match zstd_frame::extent(have) {
                Extent::NeedMore(n) => n,
                Extent::Invalid(why) => return Measure::Invalid(why),
                Extent::Skippable { len, .. } if len > zstd_frame::MAX_CONTENT => {
                    return Measure::Invalid("a skippable frame claims more than 64 MiB");
                }
                skippable @ Extent::Skippable { len, .. } => {
                    if have.len() as u64 >= len {
                        return Measure::Whole(skippable, len as usize);
                    }
                    len as usize
                }
                frame @ Extent::Frame { len, .. } => return Measure::Whole(frame, len),
            };
            if !self.window.ensure(at + need) {
                return Measure::Cut;
            }
        }
    }

    /// The stream ends inside the frame at hand. Is it cut there, or is the frame's length damaged?
    fn incomplete(&mut self) -> Item {
        let rest = self.window.available();
        let finished = rest.last_chunk::<4>().is_some_and(|m| u32::from_le_bytes(*m) == SEEKABLE_FOOTER);
        if finished || self.find_whole(1).is_some() || self.holds_frame_start() {
            return self.resync("the frame is damaged");
        }
        let rest = self.window.available();
        let (offset, len) = (self.window.offset(), rest.len());
        let item = match zstd_frame::content_size(rest) {
            Some(content) => {
                Item::Frame(RawFrame { offset, bytes: rest.to_vec(), content: content as usize, cut: true })
            }
            None => Item::Damage(Damage {
                offset,
                what: "the file is cut here".into(),
                lost_bytes: Some(len as u64),
                ..Damage::default()
            }),
        };
        self.window.consume(len);
        item
    }

    /// Whether another frame, itself cut, seems to start within what is at hand: then the one before is not cut, but damaged.
    fn holds_frame_start(&self) -> bool {
        let have = self.window.available();
        let mut from = 1;
        while let Some(at) = find_magic(have, from) {
            if matches!(have.get(at..).map(zstd_frame::extent), Some(Extent::NeedMore(_))) {
                return true;
            }
            from = at + 1;
        }
        false
    }

    /// Passes over damage up to the next frame.
    fn resync(&mut self, why: &str) -> Item {
        let offset = self.window.offset();
        let mut from = 1;
        loop {
            let Some(at) = find_magic(self.window.available(), from) else {
                // A magic may straddle the end of what is at hand.
                let keep = self.window.available().len().saturating_sub(3).max(from);
                self.window.consume(keep);
                from = 0;
                if self.window.ensure(4) {
                    continue;
                }
                let rest = self.window.available().len();
                self.window.consume(rest);
                break;
            };
            self.window.consume(at);
            from = 1;
            match self.measure(0) {
                Measure::Whole(..) if self.is_sound(0) => break,
                Measure::Cut if self.is_frame_start() => {
                    // Everything up to the end is at hand. A whole frame further on is the better place to go on from.
                    if let Some(at) = self.find_whole(1) {
                        self.window.consume(at);
                    }
                    break;
                }
                _ => {}
            }
        }
        Item::Damage(Damage {
            offset,
            what: format!("{why}; passed over up to the next sound frame"),
            lost_bytes: Some(self.window.offset() - offset),
            ..Damage::default()
        })
    }

    fn is_frame_start(&self) -> bool {
        self.window.available().first_chunk::<4>().is_some_and(|m| u32::from_le_bytes(*m) == MAGIC)
    }

    /// Place of the first whole frame or seek table at or after `from`, in what is at hand.
    fn find_whole(&self, mut from: usize) -> Option<usize> {
        loop {
            let at = find_magic(self.window.available(), from)?;
            if self.is_sound(at) {
                return Some(at);
            }
            from = at + 1;
        }
    }

    /// Whether a whole frame, or a seek table, starts at `at` of what is at hand.
    fn is_sound(&self, at: usize) -> bool {
        let have = self.window.available().get(at..).unwrap_or(&[]);
        match zstd_frame::extent(have) {
            Extent::Frame { .. } => true,
            Extent::Skippable { len, .. } => usize::try_from(len)
                .ok()
                .and_then(|len| have.get(..len))
                .and_then(zstd_frame::decode_seek_table)
                .is_some(),
            _ => false,
        }
    }
}

/// Place of the first zstd frame or seek table magic at or after `from`.
pub(super) fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let (frame, table) = (MAGIC.to_le_bytes(), zstd_frame::SEEK_TABLE.to_le_bytes());
    let found = bytes.get(from..)?.windows(4).position(|w| w == frame || w == table)?;
    Some(from + found)
}

/// A whole frame's content, checksum checked.
pub(super) fn decompress(frame: &[u8], content: usize) -> Result<Vec<u8>, String> {
    let bytes = zstd::bulk::decompress(frame, content).map_err(|e| e.to_string())?;
    if bytes.len() == content { Ok(bytes) } else { Err("the content is shorter than stated".into()) }
}

/// What can be had of a frame that the end of the file cuts, at most `limit` bytes; `None` if it is damaged as well.
pub(super) fn decompress_cut(frame: &[u8], limit: usize) -> Option<Vec<u8>> {
    let (content, sound) = decompress_start(frame, limit);
    sound.then_some(content)
}

/// The start of a frame's content, at most `limit` bytes, and whether the decompressor found nothing wrong so far.
pub(super) fn decompress_start(frame: &[u8], limit: usize) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    let Ok(decoder) = zstd::stream::read::Decoder::with_buffer(frame) else { return (content, false) };
    let mut decoder = decoder.single_frame();
    let mut piece = vec![0u8; 64 << 10];
    let mut sound = true;
    // Given room for all of the content, the decompressor hands out nothing of a frame with a wrong checksum.
    let mut room = 64;
    while content.len() < limit {
        let read = decoder.read(piece.get_mut(..room).unwrap_or(&mut []));
        room = piece.len();
        match read {
            Ok(0) => break,
            Ok(n) => content.extend_from_slice(piece.get(..n).unwrap_or(&[])),
            Err(e) => {
                sound = e.kind() == ErrorKind::UnexpectedEof;
                break;
            }
        }
    }
    content.truncate(limit);
    (content, sound)
}
