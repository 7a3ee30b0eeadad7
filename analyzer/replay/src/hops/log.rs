//! What one observation point saw of a conversation, packet by packet, in a dozen bytes each.
//!
//! Only what tells a packet again elsewhere is kept: when, which way, TCP sequence number and length, the IP identification, a hash of
//! what no router changes (acknowledgement, flags, TCP timestamps) and, where those do not suffice, one of the payload's first bytes.
//! Differences are written as variable-length integers, as most packets begin where the one before ended.

use crate::decode::{Decoded, NO_MAC, tcp_flag as f};
use crate::model::Nanos;

/// Packets of one flow at one place that are kept at most.
pub(super) const MAX_PACKETS: u32 = 1 << 20;
/// Bytes of a segment's payload that are hashed, where there are so many: its sequence number tells most.
const SEGMENT_PREFIX: usize = 24;
/// Of a datagram's, which often begins with a header that is always the same (syslog's, statsd's), as many as the recorder's 192 bytes of
/// a packet hold in a tunnel.
const DATAGRAM_PREFIX: usize = 48;
/// Of a tunnel's carrier, whose first 22 bytes are the same in all packets: through the headers inside, to TCP's timestamps.
const CARRIER_PREFIX: usize = 96;

/// A packet, or a system call's bytes, at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub ts: Nanos,
    /// TCP sequence number of its first byte; ICMP echo: the sequence number.
    pub seq: u32,
    /// Bytes of payload.
    pub len: u32,
    /// Hash of what stays as it is on the way: TCP acknowledgement, flags, timestamps. 0 for system calls.
    pub ident: u32,
    /// Hash of the payload's first bytes; 0 where it is not needed or was not captured.
    pub payload: u32,
    /// IPv4 identification, 0 where there is none.
    pub ip_id: u16,
    /// Hash of the link-layer addresses (cooked captures: with interface and packet type): tells two copies on one interface apart.
    pub mark: u16,
    /// Sent by the end whose address and port are the smaller ones.
    pub from_low: bool,
    /// Of SYN, FIN and RST, those that are set.
    pub flags: u8,
    /// It carries TCP timestamps, so that `ident` alone tells it from all others.
    pub stamped: bool,
}

impl Seen {
    /// A packet; `frame` are its bytes.
    #[inline]
    #[must_use]
    pub fn packet(d: &Decoded, frame: &[u8]) -> Self {
        let mut seen = Self {
            ts: d.ts,
            len: d.payload_len,
            ip_id: d.ip_id,
            mark: mark(d, frame),
            from_low: (d.src, d.src_port) <= (d.dst, d.dst_port),
            ..Self::default()
        };
        match d.protocol {
            6 if !d.cut_header => {
                seen.seq = d.seq;
                seen.flags = d.flags & (f::SYN | f::FIN | f::RST);
                seen.stamped = d.ts_val != 0;
                // The acknowledgement number means nothing without its flag.
                let ack = if d.flags & f::ACK != 0 { d.ack } else { 0 };
                let flags = d.flags & (f::SYN | f::FIN | f::RST | f::ACK);
                let stamps = u64::from(d.ts_val) << 32 | u64::from(d.ts_echo);
                seen.ident = fold(u64::from(ack) << 8 | u64::from(flags), stamps);
            }
            // Translators change the identifier of an echo, not its sequence number.
            1 | 58 => seen.seq = d.seq & 0xffff,
            _ => {}
        }
        if !seen.stamped {
            let payload = frame.get(d.payload_at as usize..).unwrap_or(&[]);
            let captured = payload.len().min(d.payload_captured as usize);
            let prefix = match (d.protocol, d.carrier.is_empty()) {
                (6, _) => SEGMENT_PREFIX,
                (_, true) => DATAGRAM_PREFIX,
                (_, false) => CARRIER_PREFIX,
            };
            seen.payload = prefix_hash(payload.get(..captured).unwrap_or(&[]), d.payload_len, prefix);
        }
        seen
    }

    /// Sequence numbers it takes up: the payload, SYN and FIN.
    #[inline]
    #[must_use]
    pub fn span(&self) -> u32 {
        self.len + u32::from(self.flags & f::SYN != 0) + u32::from(self.flags & f::FIN != 0)
    }
}

/// Hash of the first bytes of a datagram of `len` bytes; 0 if they were not captured.
#[must_use]
pub fn datagram_hash(captured: &[u8], len: u32) -> u32 {
    prefix_hash(captured, len, DATAGRAM_PREFIX)
}

#[inline]
fn prefix_hash(captured: &[u8], len: u32, prefix: usize) -> u32 {
    let wanted = prefix.min(len as usize);
    let Some(prefix) = captured.get(..wanted).filter(|p| !p.is_empty()) else { return 0 };
    let mut hash = u64::from(len);
    for piece in prefix.chunks(8) {
        let word = piece.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
        hash = u64::from(fold(hash, word)) | hash << 32;
    }
    fold(hash, 7).max(1)
}

/// Multiply and fold, as in wyhash.
#[inline]
pub(super) fn fold(a: u64, b: u64) -> u32 {
    let wide = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b ^ 0xe703_7ed1_a0b4_28db);
    let long = (wide as u64) ^ ((wide >> 64) as u64);
    (long ^ long >> 32) as u32
}

/// What the link layer has that tells copies apart: both addresses of Ethernet (in a tunnel those of the frame inside: what is around it
/// differs from packet to packet), all of a cooked header.
#[inline]
fn mark(d: &Decoded, frame: &[u8]) -> u16 {
    /// Where the sender's address starts in the longest cooked header.
    const COOKED: usize = 12;
    if d.mac_at == NO_MAC {
        return d.vlan;
    }
    let at = usize::from(d.mac_at);
    let from = if at > COOKED { at - 6 } else { 0 };
    let front = frame.get(from..at + 6).unwrap_or(&[]);
    let mut hash = u64::from(d.vlan);
    for piece in front.chunks(8) {
        let word = piece.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
        hash = hash << 32 | u64::from(fold(hash, word));
    }
    hash as u16
}

mod head {
    pub(super) const FROM_LOW: u8 = 1;
    pub(super) const PAYLOAD: u8 = 2;
    pub(super) const MARK: u8 = 4;
    pub(super) const LEN: u8 = 8;
    /// SYN, FIN or RST: a byte of flags follows.
    pub(super) const FLAGS: u8 = 16;
    pub(super) const JUMP: u8 = 32;
    pub(super) const IDENT: u8 = 64;
    pub(super) const STAMPED: u8 = 128;
}

/// What the next entry is written against.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    ts: Nanos,
    next_seq: [u32; 2],
    marks: [u16; 2],
}

impl Before {
    #[inline]
    fn take(&mut self, seen: &Seen) {
        let way = usize::from(seen.from_low);
        self.ts = seen.ts;
        self.marks[way] = seen.mark;
        self.next_seq[way] = seen.seq.wrapping_add(seen.span());
    }
}

/// The logs of all flows, by flow; most flows of most captures have none.
#[derive(Clone, Copy, Debug)]
pub struct Logs<'a>(pub &'a [Option<Box<PlaceLog>>]);

impl<'a> Logs<'a> {
    /// Log of a flow.
    #[must_use]
    pub fn of(self, flow: u32) -> Option<&'a PlaceLog> {
        self.0.get(flow as usize)?.as_deref()
    }
}

/// What one observation point saw of one flow.
#[derive(Clone, Debug, Default)]
pub struct PlaceLog {
    bytes: Vec<u8>,
    before: Before,
    packets: u32,
    /// Packets that found no room.
    left_out: u32,
    /// Packets that look like the one before them, at another mark.
    copies: u32,
    last: Option<(u32, u32, u32, u16)>,
}

impl PlaceLog {
    /// Adds a packet, unless there are too many; returns how many bytes it took, and whether it is a copy of the one before.
    #[inline]
    pub fn push(&mut self, seen: &Seen) -> (usize, bool) {
        if self.packets >= MAX_PACKETS {
            self.leave_out();
            return (0, false);
        }
        self.packets += 1;
        let from = self.bytes.len();
        let way = usize::from(seen.from_low);
        let this = Some((seen.seq, seen.len, seen.ident ^ seen.payload, seen.ip_id));
        let copy = self.last == this && self.before.marks[way] != seen.mark;
        self.copies += u32::from(copy);
        self.last = this;
        let jump = seen.seq.wrapping_sub(self.before.next_seq[way]).cast_signed();
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let first = bit(seen.from_low, head::FROM_LOW)
            | bit(seen.payload != 0, head::PAYLOAD)
            | bit(seen.mark != self.before.marks[way], head::MARK)
            | bit(seen.len != 0, head::LEN)
            | bit(seen.flags != 0, head::FLAGS)
            | bit(jump != 0, head::JUMP)
            | bit(seen.ident != 0 || seen.ip_id != 0, head::IDENT)
            | bit(seen.stamped, head::STAMPED);
        self.bytes.push(first);
        self.signed(seen.ts.wrapping_sub(self.before.ts));
        if jump != 0 {
            self.signed(i64::from(jump));
        }
        if seen.len != 0 {
            self.number(u64::from(seen.len));
        }
        if seen.flags != 0 {
            self.bytes.push(seen.flags);
        }
        if first & head::IDENT != 0 {
            self.bytes.extend_from_slice(&seen.ident.to_le_bytes());
            self.bytes.extend_from_slice(&seen.ip_id.to_le_bytes());
        }
        if seen.payload != 0 {
            self.bytes.extend_from_slice(&seen.payload.to_le_bytes());
        }
        if first & head::MARK != 0 {
            self.bytes.extend_from_slice(&seen.mark.to_le_bytes());
        }
        self.before.take(seen);
        (self.bytes.len() - from, copy)
    }

    /// No more packets will come.
    pub fn finish(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Counts a packet that there is no room for.
    #[inline]
    pub fn leave_out(&mut self) {
        self.left_out = self.left_out.saturating_add(1);
    }

    fn number(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.bytes.push(n as u8);
    }

    fn signed(&mut self, n: i64) {
        self.number((n << 1 ^ n >> 63).cast_unsigned());
    }

    /// Packets in it.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.packets
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Packets that found no room in it.
    #[must_use]
    pub fn left_out(&self) -> u32 {
        self.left_out
    }

    /// Whether the interface shows packets more than once.
    #[must_use]
    pub fn shows_copies(&self) -> bool {
        self.copies >= 2 && u64::from(self.copies) * 4 >= u64::from(self.packets)
    }

    /// The packets, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = Seen> + '_ {
        Entries { bytes: &self.bytes, before: Before::default() }
    }
}

struct Entries<'a> {
    bytes: &'a [u8],
    before: Before,
}

impl Entries<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take::<1>()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let n = self.number()?;
        Some((n >> 1).cast_signed() ^ -(n & 1).cast_signed())
    }
}

impl Iterator for Entries<'_> {
    type Item = Seen;

    fn next(&mut self) -> Option<Seen> {
        let [first] = self.take::<1>()?;
        let way = usize::from(first & head::FROM_LOW != 0);
        let has = |bit: u8| first & bit != 0;
        let mut seen = Seen {
            ts: self.before.ts.wrapping_add(self.signed()?),
            from_low: way == 1,
            stamped: has(head::STAMPED),
            mark: self.before.marks[way],
            ..Seen::default()
        };
        let jump = if has(head::JUMP) { self.signed()? } else { 0 };
        seen.seq = self.before.next_seq[way].wrapping_add(jump as u32);
        if has(head::LEN) {
            seen.len = self.number()? as u32;
        }
        if has(head::FLAGS) {
            [seen.flags] = self.take()?;
        }
        if has(head::IDENT) {
            seen.ident = u32::from_le_bytes(self.take()?);
            seen.ip_id = u16::from_le_bytes(self.take()?);
        }
        if has(head::PAYLOAD) {
            seen.payload = u32::from_le_bytes(self.take()?);
        }
        if has(head::MARK) {
            seen.mark = u16::from_le_bytes(self.take()?);
        }
        self.before.take(&seen);
        Some(seen)
    }
}

/// Bytes of logs in one shard at most: 256 MiB for all.
const MAX_BYTES: usize = (256 << 20) / crate::order::SHARDS;
/// Packets of a shard that are looked at to see whether a capture of one interface shows packets more than once.
const TRIED: u32 = 512;

/// How much room there is for a shard's logs, and whether they are of any use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Room {
    bytes: usize,
    tried: u32,
    copies: u32,
    /// Packets that found no room.
    pub left_out: u64,
}

impl Room {
    /// Logs a packet of a flow. With one interface only (`several` is false) there is nothing to compare, unless it shows copies.
    #[inline]
    pub fn log(&mut self, log: &mut Option<Box<PlaceLog>>, d: &Decoded, frame: &[u8], several: bool) {
        let useful = several || self.tried < TRIED || self.copies >= TRIED / 4;
        if !useful || self.bytes >= MAX_BYTES {
            if let Some(log) = log {
                log.leave_out();
            }
            self.left_out += u64::from(useful);
            return;
        }
        let (bytes, copy) = log.get_or_insert_default().push(&Seen::packet(d, frame));
        self.bytes += bytes;
        self.tried = self.tried.saturating_add(1);
        self.copies = self.copies.saturating_add(u32::from(copy && self.tried <= TRIED));
    }
}
