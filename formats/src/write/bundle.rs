//! The file: frames compressed and appended, index and seek table at the end.

use super::frame::{FrameContent, push_prologue};
use crate::block::{BlockHeader, NO_CPU, Prologue, kind};
use crate::manifest::{Index, Summary};
use crate::pcapng::push_own_block;
use crate::zstd_frame::{MAX_CONTENT, SeekEntry, encode_seek_table};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io::{self, Write};
use zstd::zstd_safe::CParameter;

/// Compression level that costs the node least.
pub const DEFAULT_LEVEL: i32 = 1;

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
    compressed: Vec<u8>,
    bytes: u64,
    content_bytes: u64,
    digest: Sha256,
    index: Index,
    seek: Vec<SeekEntry>,
    next: Prologue,
    interfaces: Vec<u8>,
    manifest: Vec<u8>,
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
            compressed: Vec::new(),
            bytes: 0,
            content_bytes: 0,
            digest: Sha256::new(),
            index: Index::default(),
            seek: Vec::new(),
            next: Prologue::default(),
            interfaces: Vec::new(),
            manifest: Vec::new(),
        })
    }

    /// Compresses one frame and appends it. Returns its length in the file.
    ///
    /// # Errors
    /// Those of the output; the frame is then not part of the bundle. `InvalidInput` for more than 64 MiB of
    /// content, which readers refuse.
    pub fn append(&mut self, frame: &FrameContent) -> io::Result<u64> {
        if frame.bytes.len() as u64 > MAX_CONTENT {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a frame may hold at most 64 MiB of content"));
        }
        let offset = self.bytes;
        let len = self.write_frame(&frame.bytes)?;
        self.index.frames.push(frame.entry(offset, len));
        self.next = frame.next;
        self.interfaces.clone_from(&frame.interfaces);
        if let Some(manifest) = &frame.manifest {
            self.manifest.clone_from(manifest);
        }
        Ok(u64::from(len))
    }

    fn write_frame(&mut self, content: &[u8]) -> io::Result<u32> {
        self.compressed.clear();
        self.compressed.reserve(zstd::zstd_safe::compress_bound(content.len()));
        self.compressor.compress_to_buffer(content, &mut self.compressed)?;
        self.out.write_all(&self.compressed)?;
        self.out.flush()?;
        let len = self.compressed.len();
        self.digest.update(&self.compressed);
        self.bytes += len as u64;
        self.content_bytes += content.len() as u64;
        let checksum = self.compressed.last_chunk::<4>().map_or(0, |c| u32::from_le_bytes(*c));
        self.seek.push(SeekEntry { compressed: len as u32, content: content.len() as u32, checksum });
        Ok(len as u32)
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

    /// The output, for cutting a file back after a failed write.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes the last frame (a copy of the manifest, summary, index) and the seek table.
    ///
    /// # Errors
    /// Those of the output; the frames before stay readable.
    pub fn finish(mut self, summary: &Summary) -> io::Result<(Finished, W)> {
        let mut content = Vec::new();
        push_prologue(&mut content, self.next, &self.interfaces);
        let header = |kind| BlockHeader { kind, cpu: NO_CPU, count: 1, ..BlockHeader::default() };
        if !self.manifest.is_empty() {
            push_own_block(&mut content, &header(kind::MANIFEST), &[&self.manifest]);
        }
        let summary = Summary { content_bytes: self.content_bytes, ..summary.clone() };
        push_own_block(&mut content, &header(kind::SUMMARY), &[&serde_json::to_vec(&summary)?]);
        self.index.sha256 = hex(&self.digest.clone().finalize());
        push_own_block(&mut content, &header(kind::INDEX), &[&serde_json::to_vec(&self.index)?]);
        self.write_frame(&content)?;

        let table = encode_seek_table(&self.seek);
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
