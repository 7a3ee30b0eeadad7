//! What a reader has learnt of a capture so far, besides packets.

use super::damage::Damage;
use crate::block::Prologue;
use crate::manifest::{Index, Manifest, Summary};
use crate::pcapng::InterfaceDesc;
use std::collections::BTreeMap;

/// More damages than this are counted, not listed.
const MAX_DAMAGES: usize = 10_000;
/// More interfaces than this are refused.
pub(super) const MAX_INTERFACES: usize = 65_536;
/// Distinct types of unknown blocks that are told apart.
const MAX_BLOCK_TYPES: usize = 1024;

/// Counters of an interface as its last statistics block gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStatistics {
    /// Index into [`super::Reader::interfaces`].
    pub interface: u32,
    /// When they were read, UTC ns.
    pub ts: i64,
    /// Packets received by the capture.
    pub received: Option<u64>,
    /// Packets dropped by it.
    pub dropped: Option<u64>,
}

/// One frame of a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameFacts {
    /// Number that its prologue states.
    pub number: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Length in the file.
    pub compressed: u64,
    /// Length of its content (cut frame: of what could be had).
    pub content: u64,
    /// Packets.
    pub packets: u64,
    /// Own blocks, prologue excluded.
    pub blocks: u64,
    /// Records in these.
    pub records: u64,
    /// Frame's own checksum, 0 if it is cut.
    pub checksum: u32,
    /// Earliest time, monotonic ns; 0 if there is none.
    pub first_ts: u64,
    /// Latest time.
    pub last_ts: u64,
    /// Whether the file ends inside it.
    pub cut: bool,
}

#[derive(Default)]
pub(super) struct Known {
    pub(super) interfaces: Vec<InterfaceDesc>,
    pub(super) statistics: Vec<InterfaceStatistics>,
    pub(super) manifest: Option<Manifest>,
    pub(super) summary: Option<Summary>,
    pub(super) index: Option<Index>,
    pub(super) prologue: Option<Prologue>,
    pub(super) damages: Vec<Damage>,
    pub(super) further_damages: u64,
    pub(super) frames: Vec<FrameFacts>,
    pub(super) skipped: BTreeMap<u32, u64>,
    /// Packets whose interface is nowhere declared.
    pub(super) orphans: u64,
}

impl Known {
    pub(super) fn damage(&mut self, damage: Damage) {
        if self.damages.len() < MAX_DAMAGES {
            self.damages.push(damage);
        } else {
            self.further_damages += 1;
        }
    }

    pub(super) fn skip_block(&mut self, block_type: u32) {
        // Beyond the limit all share one entry: a hostile file must not fill memory with counters.
        let key = if self.skipped.len() < MAX_BLOCK_TYPES || self.skipped.contains_key(&block_type) {
            block_type
        } else {
            u32::MAX
        };
        *self.skipped.entry(key).or_default() += 1;
    }

    pub(super) fn statistics(&mut self, new: InterfaceStatistics) {
        match self.statistics.iter_mut().find(|s| s.interface == new.interface) {
            Some(old) => *old = new,
            None => self.statistics.push(new),
        }
    }

    /// Says of every damage what the index knows to have been there.
    pub(super) fn consult_index(&mut self) {
        let Some(index) = &self.index else { return };
        for damage in &mut self.damages {
            let Some(lost) = damage.lost_bytes else { continue };
            let range = damage.offset..damage.offset.saturating_add(lost);
            let read = |offset: u64| self.frames.iter().any(|f| f.offset == offset);
            let mut hit = index.frames.iter().filter(|e| range.contains(&e.offset) && !read(e.offset)).peekable();
            if hit.peek().is_none() {
                continue;
            }
            let (mut packets, mut records, mut first, mut last) = (0u64, 0u64, u64::MAX, 0);
            for e in hit {
                packets += u64::from(e.packets);
                records += e
                    .counts
                    .iter()
                    .filter(|(k, _)| **k != crate::event::kind::PACKET)
                    .map(|(_, n)| u64::from(*n))
                    .sum::<u64>();
                if e.first_ts != 0 {
                    first = first.min(e.first_ts);
                    last = last.max(e.last_ts);
                }
            }
            damage.lost_packets = Some(packets);
            damage.lost_records = Some(records);
            damage.time_range = (last != 0).then_some((first, last));
        }
    }
}
