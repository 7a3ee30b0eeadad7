//! What a capture holds, counted.

use super::{Damage, Format, FrameFacts, InterfaceStatistics, ReadError, Reader};
use crate::event::kind::PACKET;
use crate::manifest::{Manifest, Summary};
use crate::pcapng::InterfaceDesc;
use std::collections::BTreeMap;
use std::path::Path;

/// Records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindInfo {
    /// Blocks; 0 for packets.
    pub blocks: u64,
    /// Records, JSON lines or packets.
    pub records: u64,
    /// Bytes of payload (packets: captured bytes).
    pub bytes: u64,
    /// Earliest time, UTC ns; `None` if no record bears one.
    pub first: Option<i64>,
    /// Latest time, UTC ns.
    pub last: Option<i64>,
    /// Lost by the recorder, as the blocks' headers say.
    pub lost: u64,
}

/// Packets of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// What it is.
    pub interface: InterfaceDesc,
    /// Packets.
    pub packets: u64,
    /// Their length on the wire.
    pub wire_bytes: u64,
    /// Bytes captured of them.
    pub captured_bytes: u64,
    /// Packets in and out; the rest has no direction.
    pub direction: [u64; 2],
    /// Its counters at the end, if the capture has them.
    pub statistics: Option<InterfaceStatistics>,
}

/// What a capture holds.
#[derive(Clone, Debug)]
pub struct Info {
    /// What it is.
    pub format: Format,
    /// Bytes of the file; `None` for streams.
    pub file_bytes: Option<u64>,
    /// Bytes of content.
    pub content_bytes: u64,
    /// Per kind of record, packets included.
    pub kinds: BTreeMap<u16, KindInfo>,
    /// Per interface.
    pub interfaces: Vec<InterfaceInfo>,
    /// Frames of a bundle.
    pub frames: Vec<FrameFacts>,
    /// Blocks of unknown types.
    pub skipped_blocks: BTreeMap<u32, u64>,
    /// The manifest.
    pub manifest: Option<Manifest>,
    /// How the recording ended.
    pub summary: Option<Summary>,
    /// What is missing or wrong.
    pub damages: Vec<Damage>,
}

impl Info {
    /// Packets in it.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.kinds.get(&PACKET).map_or(0, |k| k.records)
    }

    /// Earliest and latest time of anything, UTC ns.
    #[must_use]
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let first = self.kinds.values().filter_map(|k| k.first).min()?;
        Some((first, self.kinds.values().filter_map(|k| k.last).max()?))
    }

    /// Content bytes per byte of the file.
    #[must_use]
    pub fn compression_ratio(&self) -> Option<f64> {
        self.file_bytes.filter(|n| *n > 0).map(|n| self.content_bytes as f64 / n as f64)
    }
}

/// Reads a whole capture and counts what is in it.
///
/// # Errors
/// Those of [`Reader::open`].
pub fn info(path: &Path) -> Result<Info, ReadError> {
    let mut reader = Reader::open(path)?;
    let (kinds, mut interfaces, content_bytes) = count(&mut reader);
    interfaces.resize_with(reader.interfaces().len(), InterfaceInfo::default);
    for (counted, desc) in interfaces.iter_mut().zip(reader.interfaces()) {
        counted.interface = desc.clone();
    }
    for s in reader.statistics() {
        if let Some(counted) = interfaces.get_mut(s.interface as usize) {
            counted.statistics = Some(*s);
        }
    }
    let frames_content: u64 = reader.frames().iter().map(|f| f.content).sum();
    Ok(Info {
        format: reader.format(),
        file_bytes: std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|m| m.len()),
        content_bytes: if reader.frames().is_empty() { content_bytes } else { frames_content },
        kinds,
        interfaces,
        frames: reader.frames().to_vec(),
        skipped_blocks: reader.skipped_blocks().clone(),
        manifest: reader.manifest().cloned(),
        summary: reader.summary().cloned(),
        damages: reader.damages().to_vec(),
    })
}

fn count(reader: &mut Reader) -> (BTreeMap<u16, KindInfo>, Vec<InterfaceInfo>, u64) {
    let mut kinds: BTreeMap<u16, KindInfo> = BTreeMap::new();
    let mut packets = KindInfo::default();
    let mut interfaces: Vec<InterfaceInfo> = Vec::new();
    let mut content_bytes = 0;
    while let Some(batch) = reader.next_batch() {
        content_bytes += batch.content_len() as u64;
        interfaces.resize_with(reader.interfaces().len(), InterfaceInfo::default);
        for p in &batch.packets {
            packets.records += 1;
            packets.bytes += u64::from(p.cap_len);
            if p.has_time {
                widen(&mut packets, p.ts, p.ts);
            }
            if let Some(i) = interfaces.get_mut(p.interface as usize) {
                i.packets += 1;
                i.wire_bytes += u64::from(p.wire_len);
                i.captured_bytes += u64::from(p.cap_len);
                if let Some(n) = i.direction.get_mut(usize::from(p.direction).wrapping_sub(1)) {
                    *n += 1;
                }
            }
        }
        let offset = reader.realtime_offset_ns().unwrap_or(0);
        for b in &batch.blocks {
            let k = kinds.entry(b.header.kind).or_default();
            k.blocks += 1;
            k.records += u64::from(b.header.count);
            k.bytes += u64::from(b.header.payload_len);
            k.lost = k.lost.saturating_add(b.header.lost);
            if b.header.first_ts != 0 {
                let utc = |t: u64| i64::try_from(t).unwrap_or(i64::MAX).saturating_add(offset);
                widen(k, utc(b.header.first_ts), utc(b.header.last_ts));
            }
        }
    }
    if packets.records > 0 {
        kinds.insert(PACKET, packets);
    }
    (kinds, interfaces, content_bytes)
}

fn widen(k: &mut KindInfo, first: i64, last: i64) {
    k.first = Some(k.first.map_or(first, |t| t.min(first)));
    k.last = Some(k.last.map_or(last, |t| t.max(last)));
}
