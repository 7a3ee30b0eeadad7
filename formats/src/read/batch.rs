//! A batch: some megabytes of content with references to what lies in it.

use crate::block::BlockHeader;

/// Packets and own blocks of one stretch of the capture, in file order, with the bytes they refer to.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) chunks: Vec<Vec<u8>>,
    /// Packets in file order.
    pub packets: Vec<PacketRef>,
    /// Own blocks in file order, prologues and copies of interface lists excluded.
    pub blocks: Vec<BlockRef>,
}

/// A packet in a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketRef {
    /// UTC, ns since the epoch. Packets without a time of their own bear that of the packet before,
    /// the first ones that of the first that has one ([`Self::has_time`]).
    pub ts: i64,
    /// Index into [`super::Reader::interfaces`].
    pub interface: u32,
    /// Length on the wire, bytes.
    pub wire_len: u32,
    /// Bytes captured.
    pub cap_len: u32,
    pub(super) offset: u32,
    pub(super) chunk: u16,
    /// 0 unknown, 1 in, 2 out; as in [`crate::event::direction`].
    pub direction: u8,
    /// Whether the file states the packet's time (pcapng Simple Packet Blocks have none).
    pub has_time: bool,
}

/// An own block in a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRef {
    /// Its header.
    pub header: BlockHeader,
    /// Number of the frame it lies in; 0 if the capture has no frames.
    pub frame: u64,
    pub(super) offset: u32,
    pub(super) chunk: u16,
}

impl Batch {
    /// Empties it but for the memory: that of one chunk, and of the lists.
    pub(super) fn clear(&mut self) {
        self.chunks.truncate(1);
        self.packets.clear();
        self.blocks.clear();
    }

    /// The captured bytes of a packet of this batch.
    #[must_use]
    #[inline]
    pub fn data(&self, packet: &PacketRef) -> &[u8] {
        self.slice(packet.chunk, packet.offset, packet.cap_len)
    }

    /// The payload of an own block of this batch.
    #[must_use]
    #[inline]
    pub fn payload(&self, block: &BlockRef) -> &[u8] {
        self.slice(block.chunk, block.offset, block.header.payload_len)
    }

    /// The lines of a block of JSON lines. Lines that do not parse are left out.
    pub fn json<'a, T: serde::de::DeserializeOwned + 'a>(&'a self, block: &BlockRef) -> impl Iterator<Item = T> + 'a {
        self.payload(block)
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .filter_map(|line| serde_json::from_slice(line).ok())
    }

    /// Bytes of content held.
    #[must_use]
    pub fn content_len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    #[inline]
    fn slice(&self, chunk: u16, offset: u32, len: u32) -> &[u8] {
        let start = offset as usize;
        self.chunks.get(usize::from(chunk)).and_then(|c| c.get(start..start + len as usize)).unwrap_or(&[])
    }
}
