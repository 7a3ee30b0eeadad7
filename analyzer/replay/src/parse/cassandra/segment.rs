//! Segments of protocol version 5 (`native_protocol_v5.spec`, section 2): what both sides wrap frames in once the server is ready.

/// What stands in front of a segment's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Bytes of the head.
    pub(super) head: usize,
    /// Bytes of the payload as sent.
    pub(super) payload: u32,
    /// Bytes of it before compression; 0 if it is not compressed.
    pub(super) plain: u32,
    /// Whole frames are in it; otherwise a part of one.
    pub(super) alone: bool,
}

/// Bytes of the checksum behind a payload.
pub(super) const TRAILER: u64 = 4;
const LENGTH: u64 = 0x1_ffff;

impl Segment {
    /// Bytes of a head, where LZ4 was agreed on or not.
    pub(super) const fn size(lz4: bool) -> usize {
        if lz4 { 8 } else { 6 }
    }

    /// `None`: too few bytes, or its checksum is another one.
    pub(super) fn parse(bytes: &[u8], lz4: bool) -> Option<Self> {
        let head = Self::size(lz4);
        let (fields, sum) = bytes.get(..head)?.split_at_checked(head - 3)?;
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        if number(sum) != u64::from(crc24(fields)) {
            return None;
        }
        let fields = number(fields);
        let length = |at: u32| (fields >> at & LENGTH) as u32;
        let (plain, flags) = if lz4 { (length(17), fields >> 34) } else { (0, fields >> 17) };
        Some(Self { head, payload: length(0), plain, alone: flags & 1 == 1 })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        self.head as u64 + u64::from(self.payload) + TRAILER
    }
}

/// The checksum of a head (section 2.2 of the specification).
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x87_5060, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 16, |crc, _| {
            let crc = crc << 1;
            if crc & 0x100_0000 == 0 { crc } else { crc ^ 0x197_4f0b }
        })
    })
}
