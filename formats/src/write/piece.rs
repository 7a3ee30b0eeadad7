//! What lies in a run of blocks: where they may be cut, what the index says of them.

use crate::block::{BLOCK_TYPE, BlockHeader, HEADER_LEN, kind};
use crate::event;
use crate::manifest::FrameEntry;
use crate::pcapng::{ENHANCED_PACKET, INTERFACE_DESCRIPTION};

fn u32_at(b: &[u8], at: usize) -> u32 {
    b.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Length of the block at the start of `bytes`; all of them if they are no block.
pub(super) fn block_len(bytes: &[u8]) -> usize {
    let len = u32_at(bytes, 4) as usize;
    if len < 12 || len > bytes.len() { bytes.len() } else { len }
}

/// Length of the longest run of whole blocks within `limit` bytes, but at least one block.
pub(super) fn run_len(bytes: &[u8], limit: usize) -> usize {
    let mut end = block_len(bytes);
    while end < bytes.len() {
        let next = end + block_len(bytes.get(end..).unwrap_or(&[]));
        if next > limit {
            break;
        }
        end = next;
    }
    end
}

/// What a bundle remembers of the blocks it wrote.
#[derive(Default)]
pub(super) struct Contents {
    /// Packets, counts and times; offset and lengths are filled in later.
    pub(super) entry: FrameEntry,
    /// Interface blocks.
    pub(super) interfaces: Vec<u8>,
    pub(super) interface_count: u32,
    /// Payload of the manifest.
    pub(super) manifest: Option<Vec<u8>>,
}

impl Contents {
    /// Goes through whole blocks. `realtime_offset_ns` brings packet times to monotonic ones.
    pub(super) fn of(mut bytes: &[u8], realtime_offset_ns: i64) -> Self {
        let mut found = Self::default();
        while !bytes.is_empty() {
            let (block, rest) = bytes.split_at(block_len(bytes));
            match u32_at(block, 0) {
                ENHANCED_PACKET => {
                    let utc = u64::from(u32_at(block, 12)) << 32 | u64::from(u32_at(block, 16));
                    let ts = utc.wrapping_sub(realtime_offset_ns.cast_unsigned());
                    found.entry.packets += 1;
                    found.saw(ts, ts);
                }
                INTERFACE_DESCRIPTION => {
                    found.interfaces.extend_from_slice(block);
                    found.interface_count += 1;
                }
                BLOCK_TYPE => found.own_block(block),
                _ => {}
            }
            bytes = rest;
        }
        if found.entry.packets != 0 {
            found.entry.counts.insert(event::kind::PACKET, found.entry.packets);
        }
        found
    }

    fn own_block(&mut self, block: &[u8]) {
        let Some(header) = block.get(8..).and_then(BlockHeader::decode) else { return };
        let count = self.entry.counts.entry(header.kind).or_default();
        *count = count.saturating_add(header.count);
        if header.first_ts != 0 {
            self.saw(header.first_ts, header.last_ts);
        }
        if header.kind == kind::MANIFEST {
            let start = 8 + HEADER_LEN;
            self.manifest = block.get(start..start + header.payload_len as usize).map(<[u8]>::to_vec);
        }
    }

    fn saw(&mut self, first: u64, last: u64) {
        let e = &mut self.entry;
        e.first_ts = if e.first_ts == 0 { first } else { e.first_ts.min(first) };
        e.last_ts = e.last_ts.max(last);
    }
}
