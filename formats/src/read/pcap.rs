//! Walking over classic pcap records.

use super::batch::{Batch, PacketRef};
use super::pcapng::{Outcome, Place, Walked};
use crate::pcapng::InterfaceDesc;

/// Length of the file header.
pub(super) const FILE_HEADER: usize = 24;

/// Longest packet that capture programs write (libpcap's MAXIMUM_SNAPLEN, Wireshark's limit).
const MAX_PACKET: u32 = 262_144;
/// Longest packet on buses where one message may be large (USB, D-Bus).
const MAX_BUS_PACKET: u32 = 64 << 20;

/// Order of the two lengths of a record: it differs in files of old versions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    WireFirst,
    /// The larger one is that on the wire.
    Either,
}

/// Layout of a file, from its header.
pub(super) struct Walker {
    big_endian: bool,
    /// Nanoseconds per unit of the fraction.
    unit_ns: i64,
    record_header: usize,
    lengths: Lengths,
    max_packet: u32,
}

/// Whether a file starts like a pcap file.
pub(super) fn is_magic(start: &[u8]) -> bool {
    layout(start).is_some()
}

/// (big-endian, ns per unit, record header length)
fn layout(start: &[u8]) -> Option<(bool, i64, usize)> {
    let raw: [u8; 4] = start.get(..4)?.try_into().ok()?;
    [(false, u32::from_le_bytes(raw)), (true, u32::from_be_bytes(raw))].into_iter().find_map(|(big, magic)| match magic
    {
        0xa1b2_c3d4 => Some((big, 1000, 16)),
        0xa1b2_3c4d => Some((big, 1, 16)),
        // Alexey Kuznetzov's: interface index, protocol and packet type follow the lengths.
        0xa1b2_cd34 => Some((big, 1000, 24)),
        _ => None,
    })
}

impl Walker {
    /// Reads the file header.
    pub(super) fn new(header: &[u8]) -> Option<(Self, InterfaceDesc)> {
        let (big_endian, unit_ns, record_header) = layout(header)?;
        let mut walker =
            Self { big_endian, unit_ns, record_header, lengths: Lengths::CapturedFirst, max_packet: MAX_PACKET };
        let (versions, snaplen, link) = (walker.u32(header, 4)?, walker.u32(header, 16)?, walker.u32(header, 20)?);
        let (major, minor) =
            if big_endian { (versions >> 16, versions & 0xffff) } else { (versions & 0xffff, versions >> 16) };
        walker.lengths = match (major, minor) {
            (2, 0..3) => Lengths::WireFirst,
            (2, 3) => Lengths::Either,
            _ => Lengths::CapturedFirst,
        };
        // The upper half holds the length of the frame check sequence.
        let link_type = link as u16;
        if matches!(link_type, 186 | 189 | 220 | 231 | 249 | 266 | 279 | 288 | 292 | 293 | 294 | 295) {
            walker.max_packet = MAX_BUS_PACKET;
        }
        let interface = InterfaceDesc { link_type, snaplen, ..InterfaceDesc::default() };
        Some((walker, interface))
    }

    #[inline]
    fn u32(&self, b: &[u8], at: usize) -> Option<u32> {
        let raw: [u8; 4] = b.get(at..at + 4)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    }

    /// Takes packets out of `data`, which starts at a record.
    pub(super) fn walk(&self, data: &[u8], place: Place, out: &mut Batch) -> Walked {
        let mut at = 0;
        let outcome = loop {
            match self.step(data, at, place, out) {
                Ok(len) => at += len,
                Err(outcome) => break outcome,
            }
        };
        Walked { consumed: at, outcome }
    }

    #[inline]
    fn step(&self, data: &[u8], at: usize, place: Place, out: &mut Batch) -> Result<usize, Outcome> {
        let rest = data.get(at..).unwrap_or(&[]);
        if rest.is_empty() {
            return Err(Outcome::Done);
        }
        let Some(head) = rest.get(..self.record_header) else { return Err(Outcome::Need(self.record_header)) };
        let field = |at| self.u32(head, at).unwrap_or(0);
        let (mut cap_len, mut wire_len) = (field(8), field(12));
        if self.lengths == Lengths::WireFirst || self.lengths == Lengths::Either && cap_len > wire_len {
            std::mem::swap(&mut cap_len, &mut wire_len);
        }
        if cap_len > self.max_packet {
            return Err(Outcome::Damaged(format!(
                "a packet states a captured length of {cap_len} bytes, more than the {} a capture may have",
                self.max_packet
            )));
        }
        let len = self.record_header + cap_len as usize;
        if rest.len() < len {
            return Err(Outcome::Need(len));
        }
        out.packets.push(PacketRef {
            ts: i64::from(field(0)) * 1_000_000_000 + i64::from(field(4)) * self.unit_ns,
            interface: 0,
            wire_len,
            cap_len,
            offset: (at + self.record_header) as u32,
            chunk: place.chunk,
            direction: 0,
            has_time: true,
        });
        Ok(len)
    }
}
