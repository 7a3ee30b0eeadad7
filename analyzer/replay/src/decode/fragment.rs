//! IP fragments put together (RFC 791, RFC 8200), with limits on how many and how much.
//!
//! A whole datagram becomes a frame again (link header, IP header patched, payload), which then is decoded like any other. Of what does
//! not become whole within 30 s of capture time, or would exceed the limits, the part from its start on becomes such a frame, cut where
//! the first hole is: its ports are known. Without its first fragment a datagram is of no known flow, and counted as undecoded.

use super::Frame;
use crate::model::Nanos;
use ahash::AHashMap;
use std::hash::{Hash, Hasher};

/// Datagrams in the making at most.
const MAX_DATAGRAMS: usize = 4096;
/// Bytes held at most.
const MAX_BYTES: usize = 32 << 20;
/// Fragments of a datagram at most: 64 KB in pieces of eight bytes, the smallest there are.
const MAX_PIECES: usize = 8192;
/// How long a datagram may take (RFC 1122: 60 to 120 s; Linux: 30 s).
const MAX_AGE: Nanos = 30_000_000_000;

/// (interface, source, destination, identification, protocol)
type Key = (u32, u128, u128, u32, u8);

/// A fragment, by its places in its frame.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    pub(super) key: Key,
    /// Place of the frame in its chunk.
    pub frame: u32,
    pub(super) ts: Nanos,
    pub(super) wire_len: u32,
    pub(super) link_type: u16,
    pub(super) ip_at: u32,
    pub(super) body_at: u32,
    pub(super) body_len: u32,
    /// IPv6: where the number of the fragment header is.
    pub(super) next_at: Option<u32>,
    pub(super) offset: u32,
    pub(super) more: bool,
}

impl Fragment {
    /// Interface of the replay.
    #[must_use]
    pub fn interface(&self) -> u32 {
        self.key.0
    }
}

#[derive(Debug, Default)]
struct Datagram {
    /// Frame of the first fragment up to its body, once seen; then where the IP header is and the IPv6 number.
    head: Option<(Vec<u8>, u32, Option<u32>, u16)>,
    /// By their offsets.
    pieces: Vec<(u32, Vec<u8>)>,
    total: Option<u32>,
    wire_len: u32,
    packets: u16,
    first: Nanos,
    last: Nanos,
    order: u64,
    bytes: usize,
}

/// Puts fragments together, in the order of the capture.
#[derive(Debug, Default)]
pub struct Defragmenter {
    open: AHashMap<Key, Datagram>,
    bytes: usize,
    next_order: u64,
}

impl Fragment {
    /// What fragments of the same datagram have in common, as a hash.
    #[must_use]
    pub fn datagram(&self) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        self.key.hash(&mut hasher);
        hasher.finish()
    }
}

/// A datagram that became whole, or what there is of one that did not.
#[derive(Debug)]
pub struct Whole {
    /// The frame to decode.
    pub bytes: Vec<u8>,
    /// Frame bytes of all fragments.
    pub wire_len: u32,
    /// Fragments.
    pub packets: u16,
    /// LINKTYPE_* of the frame.
    pub link_type: u16,
}

/// A datagram that did not become whole.
#[derive(Debug)]
pub struct GivenUp {
    /// Interface of the replay.
    pub interface: u32,
    /// Its fragments.
    pub packets: u16,
    /// When the last of them came.
    pub ts: Nanos,
    /// What there is from its start on, if that was seen.
    pub part: Option<Whole>,
}

impl Defragmenter {
    /// Adds a fragment whose frame is `frame`; returns the datagram if it is whole now. Datagrams given up meanwhile are
    /// pushed to `lost`, in the order of their first fragments.
    pub fn add(&mut self, f: &Fragment, frame: &[u8], lost: &mut Vec<GivenUp>) -> Option<Whole> {
        self.make_room(f.ts, lost);
        let order = self.next_order;
        self.next_order += 1;
        let body_at = f.body_at as usize;
        let captured = frame.get(body_at..).unwrap_or(&[]);
        let body = captured.get(..captured.len().min(f.body_len as usize)).unwrap_or(&[]);
        let d = self.open.entry(f.key).or_insert_with(|| Datagram { first: f.ts, order, ..Datagram::default() });
        d.wire_len = d.wire_len.saturating_add(f.wire_len);
        d.packets = d.packets.saturating_add(1);
        d.last = f.ts;
        if f.offset == 0 && d.head.is_none() {
            let head = frame.get(..body_at.min(frame.len())).unwrap_or(&[]).to_vec();
            d.head = Some((head, f.ip_at, f.next_at, f.link_type));
        }
        if !f.more {
            d.total = Some(f.offset.saturating_add(f.body_len));
        }
        // The first arrival of a byte counts, as in most systems; an exact copy adds nothing.
        let place = d.pieces.partition_point(|(at, _)| *at < f.offset);
        let known = d.pieces.get(place).is_some_and(|(at, p)| *at == f.offset && p.len() >= body.len());
        if d.pieces.len() < MAX_PIECES && !known {
            let mut piece = body.to_vec();
            // What the snaplen cut still takes its place.
            piece.resize(f.body_len.min(0xffff) as usize, 0);
            d.bytes += piece.len();
            self.bytes += piece.len();
            d.pieces.insert(place, (f.offset, piece));
        }
        if !whole(d) {
            return None;
        }
        let d = self.open.remove(&f.key)?;
        self.bytes = self.bytes.saturating_sub(d.bytes);
        let (wire_len, packets) = (d.wire_len, d.packets);
        let (bytes, link_type) = assemble(d, f.key.4)?;
        Some(Whole { bytes, wire_len, packets, link_type })
    }

    /// Gives up what is too old or too much.
    fn make_room(&mut self, now: Nanos, lost: &mut Vec<GivenUp>) {
        if self.open.len() < MAX_DATAGRAMS / 2 && self.bytes < MAX_BYTES / 2 {
            return;
        }
        self.give_up(lost, |d| now.saturating_sub(d.first) > MAX_AGE);
        if self.open.len() >= MAX_DATAGRAMS || self.bytes >= MAX_BYTES {
            // The older half goes.
            let mut orders: Vec<u64> = self.open.values().map(|d| d.order).collect();
            orders.sort_unstable();
            let middle = orders.get(orders.len() / 2).copied().unwrap_or(u64::MAX);
            self.give_up(lost, |d| d.order <= middle);
        }
    }

    fn give_up(&mut self, lost: &mut Vec<GivenUp>, which: impl Fn(&Datagram) -> bool) {
        let mut keys: Vec<(u64, Key)> =
            self.open.iter().filter(|(_, d)| which(d)).map(|(key, d)| (d.order, *key)).collect();
        keys.sort_unstable();
        for (_, key) in keys {
            let Some(d) = self.open.remove(&key) else { continue };
            self.bytes = self.bytes.saturating_sub(d.bytes);
            lost.push(d.given_up(key));
        }
    }

    /// The end of the capture: what is still open never became whole.
    pub fn finish(&mut self, lost: &mut Vec<GivenUp>) {
        self.give_up(lost, |_| true);
    }
}

impl Datagram {
    /// What there is of it.
    fn given_up(mut self, key: Key) -> GivenUp {
        let (packets, ts, wire_len) = (self.packets, self.last, self.wire_len);
        if self.total.is_none() {
            self.total = self.pieces.iter().map(|(at, piece)| at.saturating_add(piece.len() as u32)).max();
        }
        let part = assemble(self, key.4).map(|(bytes, link_type)| Whole { bytes, wire_len, packets, link_type });
        GivenUp { interface: key.0, packets, ts, part }
    }
}

fn whole(d: &Datagram) -> bool {
    let Some(total) = d.total else { return false };
    if d.head.is_none() || d.bytes < total as usize {
        return false;
    }
    let mut end = 0u32;
    for (at, piece) in &d.pieces {
        if *at > end {
            return false;
        }
        end = end.max(at.saturating_add(piece.len() as u32));
    }
    end >= total
}

fn assemble(d: Datagram, protocol: u8) -> Option<(Vec<u8>, u16)> {
    let (mut frame, ip_at, next_at, link_type) = d.head?;
    let ip_at = ip_at as usize;
    let total = (d.total? as usize).min(0xffff);
    if let Some(next_at) = next_at {
        // IPv6: take the fragment header out.
        let keep = frame.len().checked_sub(8)?;
        frame.truncate(keep);
        *frame.get_mut(next_at as usize)? = protocol;
        let len = (keep.checked_sub(ip_at + 40)? + total).min(0xffff) as u16;
        frame.get_mut(ip_at + 4..ip_at + 6)?.copy_from_slice(&len.to_be_bytes());
    } else {
        let len = (frame.len().checked_sub(ip_at)? + total).min(0xffff) as u16;
        frame.get_mut(ip_at + 2..ip_at + 4)?.copy_from_slice(&len.to_be_bytes());
        frame.get_mut(ip_at + 6..ip_at + 8)?.copy_from_slice(&[0, 0]);
    }
    let mut end = 0usize;
    for (at, piece) in &d.pieces {
        // At a hole it is cut, as a frame is that was not captured whole.
        let Some(skip) = end.checked_sub(*at as usize) else { break };
        if let Some(new) = piece.get(skip..) {
            let room = total.saturating_sub(end);
            let new = new.get(..new.len().min(room)).unwrap_or(&[]);
            frame.extend_from_slice(new);
            end += new.len();
        }
    }
    Some((frame, link_type))
}

impl Whole {
    /// The frame to decode, at the place of its last fragment.
    #[must_use]
    pub fn frame(&self, ts: Nanos, interface: u32, index: u32) -> Frame<'_> {
        Frame {
            bytes: &self.bytes,
            wire_len: self.wire_len,
            ts,
            interface,
            link_type: self.link_type,
            index: index | super::ASSEMBLED,
            packets: self.packets,
        }
    }
}
