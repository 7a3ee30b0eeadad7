//! Layout of zstd frames (RFC 8878) and of the seekable format's seek table, as far as finding frames needs it.

/// Magic of a zstd frame.
pub(crate) const MAGIC: u32 = 0xfd2f_b528;
/// Magic of the skippable frame that holds the seek table.
pub(crate) const SEEK_TABLE: u32 = 0x184d_2a5e;
/// Last four bytes of a seek table.
pub(crate) const SEEKABLE_FOOTER: u32 = 0x8f92_eab1;
/// Content of one frame that a reader accepts: 64 MiB.
pub(crate) const MAX_CONTENT: u64 = 64 << 20;
/// Pages of the file that frames respect, see [`crate::write`]: Wireshark's read buffer, `ZSTD_DStreamInSize()`.
pub(crate) const PAGE: usize = (128 << 10) + 3;
/// Length of a skippable frame without content.
pub(crate) const SKIPPABLE_HEADER: usize = 8;
/// Checksum of a frame without content: low half of XXH64 of nothing.
pub(crate) const CHECKSUM_OF_NOTHING: u32 = 0x51d8_e999;
/// Magic of the skippable frames that fill pages.
const FILLER: u32 = 0x184d_2a50;
const MAX_BLOCK: usize = 128 << 10;
const FOOTER_LEN: usize = 9;

/// What lies at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A whole zstd frame of `len` bytes.
    Frame { len: usize, content: Option<u64>, checksum: bool },
    /// A skippable frame of `len` bytes; not necessarily all there.
    Skippable { magic: u32, len: u64 },
    /// To tell, at least that many bytes are needed.
    NeedMore(usize),
    /// Not a frame, and why.
    Invalid(&'static str),
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

/// Whether a frame of any sort may start with this.
pub(crate) fn is_magic(magic: u32) -> bool {
    magic == MAGIC || magic & 0xffff_fff0 == 0x184d_2a50
}

struct Header {
    len: usize,
    content: Option<u64>,
    checksum: bool,
}

fn header(b: &[u8]) -> Result<Header, Extent> {
    let Some(&descriptor) = b.get(4) else { return Err(Extent::NeedMore(5)) };
    if descriptor & 0x08 != 0 {
        return Err(Extent::Invalid("reserved bit set in the frame header"));
    }
    let single_segment = descriptor & 0x20 != 0;
    let dictionary = [0usize, 1, 2, 4][usize::from(descriptor & 3)];
    let size_len = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    let at = 5 + usize::from(!single_segment) + dictionary;
    let len = at + size_len;
    let Some(field) = b.get(at..len) else { return Err(Extent::NeedMore(len)) };
    let mut raw = [0u8; 8];
    raw[..size_len].copy_from_slice(field);
    let value = u64::from_le_bytes(raw);
    let content = match size_len {
        0 => None,
        2 => Some(value + 256),
        _ => Some(value),
    };
    Ok(Header { len, content, checksum: descriptor & 0x04 != 0 })
}

/// Content size as stated by the header of the frame at the start of `b`.
pub(crate) fn content_size(b: &[u8]) -> Option<u64> {
    (u32_at(b, 0)? == MAGIC).then(|| header(b).ok()?.content)?
}

/// Finds the end of the frame at the start of `b` by its block headers. Frames that hold more than [`MAX_CONTENT`]
/// or do not say how much, or bear no checksum, are not followed: no bundle has them.
pub(crate) fn extent(b: &[u8]) -> Extent {
    match foreign_extent(b) {
        Extent::Frame { checksum: false, .. } => Extent::Invalid("the frame has no checksum"),
        extent => extent,
    }
}

/// As [`extent`], for frames with or without checksum.
pub(crate) fn foreign_extent(b: &[u8]) -> Extent {
    let Some(magic) = u32_at(b, 0) else { return Extent::NeedMore(4) };
    if magic != MAGIC {
        if !is_magic(magic) {
            return Extent::Invalid("no zstd frame starts here");
        }
        return match u32_at(b, 4) {
            Some(len) => Extent::Skippable { magic, len: u64::from(len) + 8 },
            None => Extent::NeedMore(8),
        };
    }
    let header = match header(b) {
        Ok(h) => h,
        Err(e) => return e,
    };
    let Some(content) = header.content else { return Extent::Invalid("the frame does not state its content size") };
    if content > MAX_CONTENT {
        return Extent::Invalid("the frame claims more than 64 MiB of content");
    }
    // A compressor never makes a block larger than its content, and padding is less than a page: this bounds the search.
    let bound = header.len + content as usize + 3 * (content as usize / 1024 + 16) + 4 + PAGE;
    let mut at = header.len;
    loop {
        let Some(raw) = b.get(at..at + 3) else { return Extent::NeedMore(at + 3) };
        let raw = u32::from_le_bytes([raw[0], raw[1], raw[2], 0]);
        let size = (raw >> 3) as usize;
        if size > MAX_BLOCK {
            return Extent::Invalid("a zstd block is larger than 128 KiB");
        }
        at += 3 + match (raw >> 1) & 3 {
            0 | 2 => size,
            1 => 1,
            _ => return Extent::Invalid("a zstd block is of the reserved type"),
        };
        if at > bound {
            return Extent::Invalid("the frame is longer than its content allows");
        }
        if raw & 1 != 0 {
            let len = at + if header.checksum { 4 } else { 0 };
            if b.len() < len {
                return Extent::NeedMore(len);
            }
            return Extent::Frame { len, content: header.content, checksum: header.checksum };
        }
    }
}

/// Makes a frame longer by `by` bytes: up to two bytes of dictionary number 0 (no dictionary) in its header,
/// then empty blocks of three bytes each. Content and checksum stay.
pub(crate) fn pad(frame: &mut Vec<u8>, by: usize) {
    let (in_header, in_blocks) = (by % 3, by - by % 3);
    let Ok(header) = header(frame) else { return };
    // Position and length of the dictionary number: after the window descriptor, which single segments lack.
    let Some(descriptor) = frame.get_mut(4) else { return };
    if by == 0 || *descriptor & 3 != 0 {
        return;
    }
    let at = 5 + usize::from(*descriptor & 0x20 == 0);
    *descriptor |= in_header as u8;
    frame.splice(header.len..header.len, std::iter::repeat_n(0, in_blocks));
    frame.splice(at..at, std::iter::repeat_n(0, in_header));
}

/// A skippable frame of `len` bytes, at least [`SKIPPABLE_HEADER`].
pub(crate) fn skippable(len: usize) -> Vec<u8> {
    let mut out = vec![0; len.max(SKIPPABLE_HEADER)];
    let content = (out.len() - SKIPPABLE_HEADER) as u32;
    for (place, byte) in out.iter_mut().zip(FILLER.to_le_bytes().into_iter().chain(content.to_le_bytes())) {
        *place = byte;
    }
    out
}

/// One frame in a seek table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeekEntry {
    /// Length in the file.
    pub(crate) compressed: u32,
    /// Length of its content.
    pub(crate) content: u32,
    /// Low half of the content's XXH64: the frame's own checksum, its last four bytes.
    pub(crate) checksum: u32,
}

/// The seek table as a skippable frame.
pub(crate) fn encode_seek_table(entries: &[SeekEntry]) -> Vec<u8> {
    let len = entries.len() * 12 + FOOTER_LEN;
    let mut out = Vec::with_capacity(8 + len);
    out.extend_from_slice(&SEEK_TABLE.to_le_bytes());
    out.extend_from_slice(&(len as u32).to_le_bytes());
    for e in entries {
        out.extend_from_slice(&e.compressed.to_le_bytes());
        out.extend_from_slice(&e.content.to_le_bytes());
        out.extend_from_slice(&e.checksum.to_le_bytes());
    }
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    out.push(0x80);
    out.extend_from_slice(&SEEKABLE_FOOTER.to_le_bytes());
    out
}

/// Reads a seek table from a whole skippable frame; `None` if it is not one. Without checksums they read as 0.
pub(crate) fn decode_seek_table(b: &[u8]) -> Option<Vec<SeekEntry>> {
    let payload = b.get(8..)?;
    if u32_at(b, 0)? != SEEK_TABLE || u32_at(b, 4)? as usize != payload.len() {
        return None;
    }
    let footer = payload.len().checked_sub(FOOTER_LEN)?;
    if u32_at(payload, footer + 5)? != SEEKABLE_FOOTER {
        return None;
    }
    let size = if payload.get(footer + 4)? & 0x80 != 0 { 12 } else { 8 };
    if (u32_at(payload, footer)? as usize).checked_mul(size)? != footer {
        return None;
    }
    payload
        .get(..footer)?
        .chunks_exact(size)
        .map(|e| {
            Some(SeekEntry {
                compressed: u32_at(e, 0)?,
                content: u32_at(e, 4)?,
                checksum: if size == 12 { u32_at(e, 8)? } else { 0 },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
