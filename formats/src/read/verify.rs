//! Whether a bundle is whole: digest, checksums, index.

use super::{BTreeSet, Damage, Format, FormatKind, ReadError, Reader};
use crate::write::hex;
use crate::zstd_frame::SeekEntry;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

/// What [`verify`] found.
#[derive(Clone, Debug)]
pub struct Verification {
    /// What it is.
    pub format: Format,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the whole file, hex: to be compared with what the recorder printed.
    pub digest: String,
    /// Whether the digest that the index states for all that lies before it is right; `None` without index.
    pub index_digest_ok: Option<bool>,
    /// Frames whose checksum is right (the index's frame included).
    pub sound_frames: u64,
    /// Packets read.
    pub packets: u64,
    /// Where index, seek table, summary and frames contradict each other, in plain sentences.
    pub contradictions: Vec<String>,
    /// What is missing or wrong.
    pub damages: Vec<Damage>,
}

impl Verification {
    /// Whether nothing is missing and nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages.is_empty() && self.contradictions.is_empty() && self.index_digest_ok != Some(false)
    }
}

/// Reads a whole capture file and checks it. Captures other than bundles have no checksums: there it tells only
/// whether their structure is sound.
///
/// # Errors
/// Those of [`Reader::open`], and I/O errors of the second pass. Standard input cannot be verified: it is read twice.
pub fn verify(path: &Path) -> Result<Verification, ReadError> {
    let mut reader = Reader::open(path)?;
    let mut packets = 0;
    while let Some(batch) = reader.next_batch() {
        packets += batch.packets.len() as u64;
    }
    // The index lies in the last frame, and its digest covers what is before that.
    let index_frame = reader.index().and_then(|_| reader.frames().last()).map(|f| f.offset);
    let (bytes, digest, before_index) = digest_file(path, index_frame.unwrap_or(u64::MAX))
        .map_err(|(offset, source)| ReadError::Io { name: path.display().to_string(), offset, source })?;
    let index_digest_ok = reader
        .index()
        .filter(|index| !index.sha256.is_empty())
        .map(|index| before_index.is_some_and(|d| d == index.sha256));
    Ok(Verification {
        format: reader.format(),
        bytes,
        digest,
        index_digest_ok: index_digest_ok.filter(|_| index_frame.is_some()),
        sound_frames: reader.frames().iter().filter(|f| !f.cut).count() as u64,
        packets,
        contradictions: if reader.format().kind == FormatKind::Bundle { contradictions(&reader) } else { Vec::new() },
        damages: reader.damages().to_vec(),
    })
}

type DigestError = (u64, std::io::Error);

/// Length and digest of a file, and the digest of its first `mark` bytes.
fn digest_file(path: &Path, mark: u64) -> Result<(u64, String, Option<String>), DigestError> {
    let mut file = std::fs::File::open(path).map_err(|e| (0, e))?;
    let (mut hasher, mut offset, mut marked) = (Sha256::new(), 0u64, None);
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let n = match file.read(&mut buffer) {
            Ok(0) => return Ok((offset, hex(&hasher.finalize()), marked)),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err((offset, e)),
        };
        let read = buffer.get(..n).unwrap_or(&[]);
        let before = usize::try_from(mark.saturating_sub(offset)).unwrap_or(usize::MAX).min(n);
        let (head, tail) = read.split_at(before);
        hasher.update(head);
        if before < n && marked.is_none() {
            marked = Some(hex(&hasher.clone().finalize()));
        }
        hasher.update(tail);
        offset += n as u64;
    }
}

/// Compares what was read with what index, seek table and summary say of it.
fn contradictions(reader: &Reader) -> Vec<String> {
    let mut found = Vec::new();
    let frames = reader.frames();
    if let Some(index) = reader.index() {
        let read: BTreeSet<u64> = frames.iter().map(|f| f.offset).collect();
        for (number, e) in index.frames.iter().enumerate() {
            if !read.contains(&e.offset) {
                found.push(format!("the index names frame {number} at offset {}, which could not be read", e.offset));
            }
        }
        let mut numbered = index.frames.iter().enumerate();
        for f in frames.iter().filter(|f| !f.cut) {
            // Both are in file order.
            let Some((number, e)) = numbered.by_ref().find(|(_, e)| e.offset >= f.offset) else { break };
            let records: u64 =
                e.counts.iter().filter(|(k, _)| **k != crate::event::kind::PACKET).map(|(_, n)| u64::from(*n)).sum();
            let stated = (e.offset, u64::from(e.compressed), u64::from(e.content), u64::from(e.packets), records);
            if stated != (f.offset, f.compressed, f.content, f.packets, f.records) {
                found.push(format!(
                    "frame {number} at offset {} is not what the index says: {} bytes, {} of content, {} packets, {} records",
                    e.offset, f.compressed, f.content, f.packets, f.records
                ));
            }
        }
    }
    if let Some(table) = &reader.seek_table {
        let whole: Vec<_> = frames.iter().filter(|f| !f.cut).collect();
        let same = |e: &SeekEntry, f: &super::FrameFacts| {
            u64::from(e.compressed) == f.compressed && u64::from(e.content) == f.content && e.checksum == f.checksum
        };
        // Filling has no content.
        let table: Vec<_> = table.iter().filter(|e| e.content != 0).collect();
        if table.len() != whole.len() {
            found.push(format!("the seek table names {} frames, {} could be read", table.len(), whole.len()));
        } else if !table.into_iter().zip(whole).all(|(e, f)| same(e, f)) {
            found.push("the seek table does not match the frames".into());
        }
    }
    if let Some(summary) = reader.summary() {
        let content: u64 = frames.iter().rev().skip(1).map(|f| f.content).sum();
        if reader.damages().is_empty() && summary.content_bytes != content {
            found.push(format!("the summary states {} bytes of content, there are {content}", summary.content_bytes));
        }
    }
    found
}
