//! The file: frames compressed and appended, index and seek table at the end.
//!
//! Wireshark (4.0.17, and the sources of later versions) reads compressed files through a buffer of 131,075 bytes, and when a zstd frame
//! ends it looks for the next frame's magic at the start of that buffer instead of at the next byte. So a file of
//! several frames is readable for it only if every [`PAGE`] of the file in which a frame ends begins with a frame.
//! That is how frames are laid out here: whole frames within a page, and a page that cannot take the next frame is
//! filled with a skippable frame. A frame larger than a page starts on a page and is padded to end with one.

use super::frame::FrameContent;
use super::piece::{Contents, block_len, run_len};
use crate::block::{BlockHeader, NO_CPU, Prologue, kind, kind_name};
use crate::manifest::{FrameEntry, Index, Summary};
use crate::pcapng::{SECTION_HEADER, push_own_block};
use crate::zstd_frame::{self, MAX_CONTENT, PAGE, SeekEntry};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use zstd::zstd_safe::CParameter;

/// Compression level that costs the node least.
pub const DEFAULT_LEVEL: i32 = 1;
/// Content of one frame that the writer aims at, at most.
const MAX_PIECE: usize = 4 << 20;
/// A page with less room than this is not worth another frame, if the frame must be cut for it.
const MIN_ROOM: usize = PAGE / 10;

/// A finished bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the whole file, hex.
    pub digest: String,
}

/// A bundle that is being written.
///
/// Every frame is one write and a flush: whatever kills the recorder, the frames before are whole.
/// After a failed write (disk full), [`Self::bytes`] is the length of what is whole; a caller that cuts the
/// file there and seeks to its end may go on.
pub struct BundleFile<W: Write> {
    out: W,
    compressor: zstd::bulk::Compressor<'static>,
    /// Content of the frame at hand.
    content: Vec<u8>,
    /// Padding and frame, as they go out.
    compressed: Vec<u8>,
    bytes: u64,
    content_bytes: u64,
    digest: Sha256,
    index: Index,
    seek: Vec<SeekEntry>,
    next: Prologue,
    interfaces: Vec<u8>,
    manifest: Vec<u8>,
    /// Content bytes per 16 compressed bytes, from the frames before.
    ratio16: usize,
}

impl<W: Write> BundleFile<W> {
    /// A bundle with the default compression level.
    ///
    /// # Errors
    /// If zstd cannot be set up (memory).
    pub fn new(out: W) -> io::Result<Self> {
        Self::with_level(out, DEFAULT_LEVEL)
    }

    /// A bundle with a zstd level of choice.
    ///
    /// # Errors
    /// If zstd cannot be set up (memory, level out of range).
    pub fn with_level(out: W, level: i32) -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        compressor.set_parameter(CParameter::ContentSizeFlag(true))?;
        Ok(Self {
            out,
            compressor,
            content: Vec::new(),
            compressed: Vec::new(),
            bytes: 0,
            content_bytes: 0,
            digest: Sha256::new(),
            index: Index::default(),
            seek: Vec::new(),
            next: Prologue::default(),
            interfaces: Vec::new(),
            manifest: Vec::new(),
            ratio16: 4 * 16,
        })
    }

    /// Changes the compression level from the next frame on.
    ///
    /// # Errors
    /// If zstd does not know the level.
    pub fn set_level(&mut self, level: i32) -> io::Result<()> {
        self.compressor.set_parameter(CParameter::CompressionLevel(level))
    }

    /// Compresses blocks into one or several frames and appends them. Returns how far the file grew.
    ///
    /// # Errors
    /// Those of the output; what was not written is then not part of the bundle. `InvalidInput` for a block of more
    /// than 64 MiB, which readers refuse.
    pub fn append(&mut self, blocks: &FrameContent) -> io::Result<u64> {
        let before = self.bytes;
        self.next.realtime_offset_ns = blocks.realtime_offset_ns;
        self.next.recording = blocks.recording;
        let mut rest = blocks.bytes.as_slice();
        while !rest.is_empty() {
            let len = self.append_some(rest)?;
            rest = rest.get(len..).unwrap_or(&[]);
        }
        Ok(self.bytes - before)
    }

    /// Appends one frame with as many of the blocks as the page has room for; returns how many bytes of them.
    fn append_some(&mut self, rest: &[u8]) -> io::Result<usize> {
        let mut room = self.room();
        let expected =
            |room: usize, ratio16: usize| (room * ratio16 / 16).saturating_sub(room * ratio16 / 16 / 16).min(MAX_PIECE);
        if room < MIN_ROOM && rest.len() > expected(room, self.ratio16) {
            self.fill_page()?;
            room = PAGE;
        }
        let mut limit = expected(room, self.ratio16);
        loop {
            let len = run_len(rest, limit);
            let piece = rest.get(..len).unwrap_or(rest);
            self.compress(piece)?;
            let got = self.compressed.len();
            // Learn slowly: neighbouring frames are alike, a burst of facts is not.
            let ratio16 = (self.content.len() * 16 / got.max(1)).clamp(8, 16 * 64);
            self.ratio16 = (self.ratio16 * 3 + ratio16) / 4;
            if got <= room {
                self.write_frame(piece)?;
                return Ok(len);
            }
            let single = len == block_len(rest);
            if single || got - room < room / 64 && room < PAGE {
                // Cutting further is impossible or not worth a second run: a fresh page takes it.
                if room < PAGE {
                    self.fill_page()?;
                    room = PAGE;
                }
                if got <= PAGE || single {
                    self.write_frame(piece)?;
                    return Ok(len);
                }
            }
            limit = (len as u64 * room as u64 / got as u64 * 15 / 16) as usize;
        }
    }

    /// Bytes left in the page.
    fn room(&self) -> usize {
        PAGE - (self.bytes % PAGE as u64) as usize
    }

    /// Puts the frame of these blocks, prologue included, into `compressed`.
    fn compress(&mut self, piece: &[u8]) -> io::Result<()> {
        self.content.clear();
        let mut rest = piece;
        if piece.starts_with(&SECTION_HEADER.to_le_bytes()) {
            let (section, after) = piece.split_at(block_len(piece));
            self.content.extend_from_slice(section);
            rest = after;
        }
        let header = BlockHeader { kind: kind::PROLOGUE, cpu: NO_CPU, count: 1, ..BlockHeader::default() };
        push_own_block(&mut self.content, &header, &[&self.next.encode(), &self.interfaces]);
        self.content.extend_from_slice(rest);
        if self.content.len() as u64 > MAX_CONTENT {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a block of more than 64 MiB fits no frame"));
        }
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(self.content.len()));
        self.compressor.compress_to_buffer(&self.content, &mut self.compressed)?;
        Ok(())
    }

    /// Writes the frame in `compressed`, made of `piece`, and remembers what is in it.
    fn write_frame(&mut self, piece: &[u8]) -> io::Result<()> {
        let offset = self.bytes;
        self.write_compressed()?;
        let found = Contents::of(piece, self.next.realtime_offset_ns);
        self.index.frames.push(FrameEntry {
            offset,
            compressed: self.compressed.len() as u32,
            content: self.content.len() as u32,
            ..found.entry
        });
        self.next.sequence = self.next.sequence.wrapping_add(1);
        self.next.interfaces += found.interface_count;
        self.interfaces.extend_from_slice(&found.interfaces);
        if let Some(manifest) = found.manifest {
            self.manifest = manifest;
        }
        Ok(())
    }

    /// Writes the frame in `compressed`, padded where the layout wants it.
    fn write_compressed(&mut self) -> io::Result<()> {
        let (room, len) = (self.room(), self.compressed.len());
        let left = if len <= room { room - len } else { len.next_multiple_of(PAGE) - len };
        // What is too small for a skippable frame, or follows a frame that began on another page, becomes part of the frame.
        if len > room || left < zstd_frame::SKIPPABLE_HEADER {
            zstd_frame::pad(&mut self.compressed, left);
        }
        let checksum = self.compressed.last_chunk::<4>().map_or(0, |c| u32::from_le_bytes(*c));
        let entry =
            SeekEntry { compressed: self.compressed.len() as u32, content: self.content.len() as u32, checksum };
        self.out.write_all(&self.compressed)?;
        self.out.flush()?;
        self.digest.update(&self.compressed);
        self.bytes += self.compressed.len() as u64;
        self.content_bytes += self.content.len() as u64;
        self.seek.push(entry);
        Ok(())
    }

    /// Fills the page with a skippable frame, so that the next frame begins on a page.
    fn fill_page(&mut self) -> io::Result<()> {
        let room = self.room();
        if room == PAGE {
            return Ok(());
        }
        let filler = zstd_frame::skippable(room);
        self.out.write_all(&filler)?;
        self.digest.update(&filler);
        self.bytes += room as u64;
        self.seek.push(SeekEntry { compressed: room as u32, content: 0, checksum: zstd_frame::CHECKSUM_OF_NOTHING });
        Ok(())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes before compression.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Frames written so far.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.index.frames.len()
    }

    /// Records written so far, by kind name, and the latest of their times, monotonic ns.
    #[must_use]
    pub fn records(&self) -> (BTreeMap<String, u64>, u64) {
        let mut records = BTreeMap::new();
        let mut latest = 0;
        for frame in &self.index.frames {
            for (kind, n) in &frame.counts {
                *records.entry(kind_name(*kind).to_owned()).or_default() += u64::from(*n);
            }
            latest = latest.max(frame.last_ts);
        }
        (records, latest)
    }

    /// The output, for cutting a file back after a failed write.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes the last frame (a copy of the manifest, summary, index) and the seek table.
    ///
    /// # Errors
    /// Those of the output; the frames before stay readable.
    pub fn finish(mut self, summary: &Summary) -> io::Result<(Finished, W)> {
        let header = |kind| BlockHeader { kind, cpu: NO_CPU, count: 1, ..BlockHeader::default() };
        let mut blocks = Vec::new();
        if !self.manifest.is_empty() {
            push_own_block(&mut blocks, &header(kind::MANIFEST), &[&self.manifest]);
        }
        let summary = Summary { content_bytes: self.content_bytes, ..summary.clone() };
        push_own_block(&mut blocks, &header(kind::SUMMARY), &[&serde_json::to_vec(&summary)?]);
        // The index states the digest of all before its frame, so the frame's place must be settled first.
        let digest_len = 64;
        let index_len = serde_json::to_vec(&self.index)?.len() + digest_len + self.interfaces.len() + 1024;
        if blocks.len() + index_len > self.room() {
            self.fill_page()?;
        }
        self.index.sha256 = hex(&self.digest.clone().finalize());
        push_own_block(&mut blocks, &header(kind::INDEX), &[&serde_json::to_vec(&self.index)?]);
        self.compress(&blocks)?;
        self.write_compressed()?;
        if self.room() == PAGE {
            // A page must begin with a frame, the seek table is none: an empty one goes before it.
            self.content.clear();
            self.compressor.compress_to_buffer(&self.content, &mut self.compressed)?;
            self.write_compressed()?;
        }

        let table = zstd_frame::encode_seek_table(&self.seek);
        self.out.write_all(&table)?;
        self.out.flush()?;
        self.digest.update(&table);
        let bytes = self.bytes + table.len() as u64;
        Ok((Finished { bytes, digest: hex(&self.digest.finalize()) }, self.out))
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}
