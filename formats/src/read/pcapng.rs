//! Walking over pcapng blocks.

use super::batch::{Batch, BlockRef, PacketRef};
use super::known::{InterfaceStatistics, Known, MAX_INTERFACES};
use crate::block::{self, BLOCK_TYPE, BlockHeader, HEADER_LEN, PROLOGUE_LEN, Prologue, kind};
use crate::pcapng::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS, InterfaceDesc, PACKET,
    SECTION_HEADER, SIMPLE_PACKET, TimeScale,
};

/// Blocks larger than this are damage.
const MAX_BLOCK: usize = 64 << 20;

/// How far a walk came and why it ended.
pub(super) struct Walked {
    pub(super) consumed: usize,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    /// All bytes are consumed.
    Done,
    /// The block at `consumed` is that long, or at least that long.
    Need(usize),
    /// There is no way past `consumed`, and why.
    Damaged(String),
}

/// Byte order and interfaces of the section at hand.
pub(super) struct Walker {
    big_endian: bool,
    in_section: bool,
    /// Where the section's interfaces start among those of the whole capture.
    first_interface: usize,
    last_ts: i64,
    /// A packet with a time has come.
    timed: bool,
}

/// Where the bytes of a walk belong.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Index among the chunks of the batch.
    pub(super) chunk: u16,
    /// Frame number.
    pub(super) frame: u64,
}

impl Walker {
    pub(super) fn new() -> Self {
        Self { big_endian: false, in_section: false, first_interface: 0, last_ts: 0, timed: false }
    }

    /// Bundles are little-endian and have one section: their frames can be read without the first one.
    pub(super) fn of_bundle() -> Self {
        Self { in_section: true, ..Self::new() }
    }

    #[inline]
    fn u16(&self, b: &[u8], at: usize) -> Option<u16> {
        let raw: [u8; 2] = b.get(at..at + 2)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) })
    }

    #[inline]
    fn u32(&self, b: &[u8], at: usize) -> Option<u32> {
        let raw: [u8; 4] = b.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    }

    #[inline]
    fn u64(&self, b: &[u8], at: usize) -> Option<u64> {
        let raw: [u8; 8] = b.get(at..at + 8)?.try_into().ok()?;
        Some(if self.big_endian { u64::from_be_bytes(raw) } else { u64::from_le_bytes(raw) })
    }

    /// Takes packets and blocks out of `data`, which starts at a block.
    pub(super) fn walk(&mut self, known: &mut Known, data: &[u8], place: Place, out: &mut Batch) -> Walked {
        let mut at = 0;
        let outcome = loop {
            let rest = data.get(at..).unwrap_or(&[]);
            match self.step(known, rest, at, place, out) {
                Ok(len) => at += len,
                Err(outcome) => break outcome,
            }
        };
        Walked { consumed: at, outcome }
    }

    /// One block: its length, or why there is none.
    #[inline]
    fn step(
        &mut self,
        known: &mut Known,
        rest: &[u8],
        at: usize,
        place: Place,
        out: &mut Batch,
    ) -> Result<usize, Outcome> {
        if rest.is_empty() {
            return Err(Outcome::Done);
        }
        let Some(head) = rest.first_chunk::<12>() else { return Err(Outcome::Need(12)) };
        if head[..4] == SECTION_HEADER.to_le_bytes() {
            self.big_endian = if head[8..] == BYTE_ORDER_MAGIC.to_le_bytes() {
                false
            } else if head[8..] == BYTE_ORDER_MAGIC.to_be_bytes() {
                true
            } else {
                return Err(Outcome::Damaged("a section header without byte-order magic".into()));
            };
            self.in_section = true;
            self.first_interface = known.interfaces.len();
        } else if !self.in_section {
            return Err(Outcome::Damaged("a block before any section header".into()));
        }
        let (block_type, stated) = (self.u32(head, 0).unwrap_or(0), self.u32(head, 4).unwrap_or(0));
        // Some writers do not count the padding of the last option: lengths are rounded up, as Wireshark does.
        let len = (stated as usize).saturating_add(3) & !3;
        if len < 12 {
            return Err(Outcome::Damaged(format!("a block of type {block_type:#x} states a length of {stated} bytes")));
        }
        if len > MAX_BLOCK {
            return Err(Outcome::Damaged(format!(
                "a block of type {block_type:#x} states a length of {stated} bytes, more than 64 MiB"
            )));
        }
        let Some(whole) = rest.get(..len) else { return Err(Outcome::Need(len)) };
        if self.u32(whole, len - 4) != Some(stated) {
            return Err(Outcome::Damaged(format!(
                "a block of type {block_type:#x}: its two length fields differ ({stated} and {})",
                self.u32(whole, len - 4).unwrap_or(0)
            )));
        }
        let body = whole.get(8..len - 4).unwrap_or(&[]);
        let sound = match block_type {
            ENHANCED_PACKET | PACKET => self.packet(known, block_type, body, at + 8, place, out),
            SIMPLE_PACKET => self.simple_packet(known, body, at + 8, place, out),
            BLOCK_TYPE => self.own_block(known, body, at + 8, place, out),
            INTERFACE_DESCRIPTION => match self.interface(body) {
                Some(_) if known.interfaces.len() >= MAX_INTERFACES => {
                    return Err(Outcome::Damaged(format!("more than {MAX_INTERFACES} interfaces")));
                }
                Some(interface) => {
                    known.interfaces.push(interface);
                    Some(())
                }
                None => None,
            },
            INTERFACE_STATISTICS => self.statistics(known, body),
            SECTION_HEADER => Some(()),
            other => {
                known.skip_block(other);
                Some(())
            }
        };
        match sound {
            Some(()) => Ok(len),
            None => Err(Outcome::Damaged(format!("a block of type {block_type:#x} is too short for its content"))),
        }
    }

    #[inline]
    fn packet(
        &mut self,
        known: &mut Known,
        block_type: u32,
        body: &[u8],
        at: usize,
        place: Place,
        out: &mut Batch,
    ) -> Option<()> {
        let head = body.get(..20)?;
        let interface = if block_type == PACKET { u32::from(self.u16(head, 0)?) } else { self.u32(head, 0)? };
        let cap_len = self.u32(head, 12)?;
        let options = (cap_len as usize).checked_add(3).map(|n| 20 + (n & !3))?;
        body.get(20..20usize.checked_add(cap_len as usize)?)?;
        let Some((interface, time)) = self.resolve(known, interface) else {
            known.orphans += 1;
            return Some(());
        };
        let raw = u64::from(self.u32(head, 4)?) << 32 | u64::from(self.u32(head, 8)?);
        let ts = time.to_ns(raw);
        self.last_ts = ts;
        if !self.timed {
            self.timed = true;
            // Those before it in this batch have no time and no packet before them to have it from; 1970 would be the start of the capture.
            out.packets.iter_mut().rev().take_while(|p| !p.has_time).for_each(|p| p.ts = ts);
        }
        // epb_flags and pack_flags: option 2, direction in the lowest two bits.
        let flags = self.option(body.get(options..).unwrap_or(&[]), 2).and_then(|v| self.u32(v, 0)).unwrap_or(0);
        out.packets.push(PacketRef {
            ts,
            interface,
            wire_len: self.u32(head, 16)?,
            cap_len,
            offset: (at + 20) as u32,
            chunk: place.chunk,
            direction: match flags & 3 {
                3 => 0,
                d => d as u8,
            },
            has_time: true,
        });
        Some(())
    }

    fn simple_packet(
        &mut self,
        known: &mut Known,
        body: &[u8],
        at: usize,
        place: Place,
        out: &mut Batch,
    ) -> Option<()> {
        let wire_len = self.u32(body, 0)?;
        let Some((interface, _)) = self.resolve(known, 0) else {
            known.orphans += 1;
            return Some(());
        };
        let snaplen = known.interfaces.get(interface as usize).map_or(0, |i| i.snaplen);
        let cap_len = if snaplen == 0 { wire_len } else { wire_len.min(snaplen) };
        body.get(4..4usize.checked_add(cap_len as usize)?)?;
        out.packets.push(PacketRef {
            ts: self.last_ts,
            interface,
            wire_len,
            cap_len,
            offset: (at + 4) as u32,
            chunk: place.chunk,
            direction: 0,
            has_time: false,
        });
        Some(())
    }

    /// Number of a section's interface among those of the capture, and its time scale.
    #[inline]
    fn resolve(&self, known: &Known, interface: u32) -> Option<(u32, TimeScale)> {
        let index = self.first_interface.checked_add(interface as usize)?;
        Some((index as u32, known.interfaces.get(index)?.time))
    }

    fn interface(&self, body: &[u8]) -> Option<InterfaceDesc> {
        let mut interface = InterfaceDesc {
            link_type: self.u16(body, 0)?,
            snaplen: self.u32(body, 4)?,
            time: TimeScale::MICROSECONDS,
            ..InterfaceDesc::default()
        };
        let options = body.get(8..)?;
        if let Some(name) = self.option(options, 2) {
            interface.name = text(name);
        }
        if let Some(description) = self.option(options, 3) {
            interface.set_description(&text(description));
        }
        if let Some([resolution, ..]) = self.option(options, 9) {
            interface.time.resolution = *resolution;
        }
        if let Some(offset) = self.option(options, 14).and_then(|v| self.u64(v, 0)) {
            interface.time.offset_s = offset.cast_signed();
        }
        Some(interface)
    }

    fn statistics(&self, known: &mut Known, body: &[u8]) -> Option<()> {
        let (interface, time) = match self.resolve(known, self.u32(body, 0)?) {
            Some(found) => found,
            None => return Some(()),
        };
        let raw = u64::from(self.u32(body, 4)?) << 32 | u64::from(self.u32(body, 8)?);
        let options = body.get(12..)?;
        let counter = |code| self.option(options, code).and_then(|v| self.u64(v, 0));
        known.statistics(InterfaceStatistics {
            interface,
            ts: time.to_ns(raw),
            received: counter(4),
            dropped: counter(5),
        });
        Some(())
    }

    /// Value of the first option with this code.
    #[inline]
    fn option<'a>(&self, mut options: &'a [u8], wanted: u16) -> Option<&'a [u8]> {
        loop {
            let (code, len) = (self.u16(options, 0)?, usize::from(self.u16(options, 2)?));
            if code == 0 {
                return None;
            }
            let value = options.get(4..4 + len)?;
            if code == wanted {
                return Some(value);
            }
            options = options.get(4 + ((len + 3) & !3)..)?;
        }
    }

    fn own_block(&self, known: &mut Known, body: &[u8], at: usize, place: Place, out: &mut Batch) -> Option<()> {
        // Somebody else's block may bear the same local-use type: then it is passed over.
        let Some(header) = BlockHeader::decode(body) else {
            known.skip_block(BLOCK_TYPE);
            return Some(());
        };
        let payload = body.get(HEADER_LEN..HEADER_LEN.checked_add(header.payload_len as usize)?)?;
        match header.kind {
            kind::PROLOGUE => return self.prologue(known, payload),
            // The last frame repeats the manifest; the first one wins.
            kind::MANIFEST if known.manifest.is_some() => return Some(()),
            kind::MANIFEST => known.manifest = serde_json::from_slice(payload).ok(),
            kind::SUMMARY => known.summary = serde_json::from_slice(payload).ok(),
            kind::INDEX => known.index = serde_json::from_slice(payload).ok(),
            _ => {}
        }
        out.blocks.push(BlockRef { header, frame: place.frame, offset: (at + HEADER_LEN) as u32, chunk: place.chunk });
        Some(())
    }

    /// Learns the interfaces that lost frames declared.
    fn prologue(&self, known: &mut Known, payload: &[u8]) -> Option<()> {
        let prologue = Prologue::decode(payload)?;
        known.prologue = Some(prologue);
        let mut rest = payload.get(PROLOGUE_LEN..)?;
        let mut number = self.first_interface;
        while let (Some(block_type), Some(len)) = (self.u32(rest, 0), self.u32(rest, 4)) {
            let body = rest.get(8..(len as usize).checked_sub(4)?)?;
            if block_type == INTERFACE_DESCRIPTION {
                if number >= known.interfaces.len() && number < MAX_INTERFACES {
                    known.interfaces.push(self.interface(body)?);
                }
                number += 1;
            }
            rest = rest.get(len as usize..)?;
        }
        Some(())
    }
}

/// The prologue at the start of a frame's content, past a section header if there is one.
pub(super) fn leading_prologue(content: &[u8]) -> Option<Prologue> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(content.get(at..at + 4)?.try_into().ok()?));
    let mut at = 0;
    if u32_at(0)? == SECTION_HEADER {
        at = u32_at(4)? as usize;
    }
    if u32_at(at)? != BLOCK_TYPE {
        return None;
    }
    let body = content.get(at + 8..)?;
    let header = BlockHeader::decode(body)?;
    if header.kind != block::kind::PROLOGUE {
        return None;
    }
    Prologue::decode(body.get(HEADER_LEN..)?)
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()).min(256);
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(&[])).chars().filter(|c| !c.is_control()).collect()
}
