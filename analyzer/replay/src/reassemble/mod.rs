//! TCP streams: one direction's segments in the order of their bytes, each byte once, what is missing said.
//!
//! Bytes that come in order are handed on as they lie in the capture, without a copy; only what comes early is held, within
//! [`Limits`]. A gap is declared when it cannot be filled any more: the peer has acknowledged bytes that the capture does not have
//! and goes on, the limit is reached, or the flow ends.

#[cfg(test)]
mod tests;

use crate::model::Nanos;

/// How much is held back for a gap to be filled.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes per direction.
    pub bytes: usize,
    /// Segments per direction.
    pub segments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 1 << 20, segments: 256 }
    }
}

/// What a stream yields, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes of the stream, then `missing` bytes that the capture cut off (snaplen).
    Data {
        /// Sequence number of the first byte.
        seq: u32,
        /// When the segment was captured.
        ts: Nanos,
        /// When it became readable: later than `ts` if it had to wait for bytes before it.
        ready: Nanos,
        /// The bytes.
        data: &'a [u8],
        /// Bytes after them that were on the wire and not in the capture.
        missing: u32,
    },
    /// Bytes that are not in the capture at all.
    Gap {
        /// Sequence number of the first.
        seq: u32,
        /// When it was given up.
        ts: Nanos,
        /// How many.
        len: u32,
        /// The peer has acknowledged them: they were lost by the capture, not by the network.
        acknowledged: bool,
    },
}

#[derive(Debug)]
struct Held {
    seq: u32,
    len: u32,
    ts: Nanos,
    data: Vec<u8>,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Stream {
    started: bool,
    origin: u32,
    next: u32,
    acked: u32,
    has_ack: bool,
    fin: bool,
    held: Vec<Held>,
    held_bytes: usize,
    missed: u64,
}

/// Distance from `b` to `a` in sequence space.
#[inline]
pub(crate) fn distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

impl Stream {
    /// The stream starts at `seq` (after a SYN).
    pub fn start(&mut self, seq: u32) {
        if !self.started || self.held.is_empty() && distance(seq, self.next) > 0 && self.missed == 0 && !self.has_ack {
            self.started = true;
            (self.origin, self.next) = (seq, seq);
        }
    }

    /// Bytes from the first one on, each once, those in gaps included. Sequence numbers start again after 4 GiB: of the
    /// lengths that they can mean, the one nearest to `about`.
    #[must_use]
    pub fn extent(&self, about: u64) -> u64 {
        let low = u64::from(self.next.wrapping_sub(self.origin));
        let rounds = about.saturating_sub(low).saturating_add(1 << 31) >> 32;
        low + (rounds << 32)
    }

    /// A FIN was seen: it takes one sequence number, which is no data.
    pub fn fin(&mut self) {
        self.fin = true;
    }

    /// Whether nothing before `seq` is still to come.
    #[must_use]
    pub fn has_reached(&self, seq: u32) -> bool {
        distance(seq, self.next) <= 0
    }

    /// Bytes in gaps so far.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Bytes held back, with what holding them costs.
    #[inline]
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Gives back memory that is not in use.
    pub fn shrink(&mut self) {
        self.held.shrink_to_fit();
    }

    /// Whether bytes are held back.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// A segment of `len` bytes from `seq` on, of which `data` was captured.
    #[inline]
    pub fn segment(
        &mut self,
        seq: u32,
        data: &[u8],
        len: u32,
        ts: Nanos,
        limits: &Limits,
        sink: &mut impl FnMut(Piece<'_>),
    ) {
        if len == 0 {
            return;
        }
        if !self.started {
            self.started = true;
            (self.origin, self.next) = (seq, seq);
        }
        if seq == self.next && self.held.is_empty() {
            self.next = self.next.wrapping_add(len);
            sink(Piece::Data { seq, ts, ready: ts, data, missing: len - (data.len() as u32).min(len) });
            return;
        }
        self.slow_segment(seq, data, len, ts, limits, sink);
    }

    fn slow_segment(
        &mut self,
        seq: u32,
        data: &[u8],
        len: u32,
        ts: Nanos,
        limits: &Limits,
        sink: &mut impl FnMut(Piece<'_>),
    ) {
        let ahead = distance(seq, self.next);
        if ahead <= 0 {
            self.deliver(seq, data, len, ts, ts, sink);
            self.drain(ts, sink);
            return;
        }
        // Early. If the peer has already acknowledged what is missing, it will not come any more.
        if self.has_ack && distance(self.acked, self.next) > 0 {
            let first = self.held.first().map_or(seq, |h| if distance(h.seq, seq) < 0 { h.seq } else { seq });
            let until = if distance(self.acked, first) < 0 { self.acked } else { first };
            self.gap(until, ts, true, sink);
            self.drain(ts, sink);
        }
        if distance(seq, self.next) <= 0 {
            self.deliver(seq, data, len, ts, ts, sink);
            self.drain(ts, sink);
            return;
        }
        self.hold(seq, data, len, ts);
        while self.held.len() > limits.segments || self.held_bytes > limits.bytes {
            let Some(first) = self.held.first().map(|h| h.seq) else { break };
            self.gap(first, ts, false, sink);
            self.drain(ts, sink);
        }
    }

    /// The peer acknowledged everything before `ack`. `certain` says that a hole before `ack` is no matter of order of capture
    /// (the acknowledging packet answers what is missing).
    #[inline]
    pub fn acknowledged(&mut self, ack: u32, ts: Nanos, certain: bool, sink: &mut impl FnMut(Piece<'_>)) {
        if self.has_ack && distance(ack, self.acked) <= 0 {
            return;
        }
        self.acked = ack;
        self.has_ack = true;
        if !self.started {
            // Nothing seen of this direction yet: its bytes start where the peer is.
            self.started = true;
            (self.origin, self.next) = (ack, ack);
            return;
        }
        if certain && distance(ack, self.next) > 0 {
            self.catch_up(ts, sink);
        }
    }

    /// Declares what is acknowledged and missing as a gap.
    fn catch_up(&mut self, ts: Nanos, sink: &mut impl FnMut(Piece<'_>)) {
        for _ in 0..=self.held.len() {
            self.drain(ts, sink);
            let behind = distance(self.acked, self.next);
            if behind <= 0 || behind == 1 && self.held.is_empty() {
                // One number may be the FIN's.
                return;
            }
            let until = match self.held.first() {
                Some(h) if distance(h.seq, self.acked) < 0 => h.seq,
                _ => self.acked,
            };
            self.gap(until, ts, true, sink);
        }
        self.drain(ts, sink);
    }

    /// The flow is over: hands on what is held, with gaps between.
    pub fn finish(&mut self, ts: Nanos, sink: &mut impl FnMut(Piece<'_>)) {
        while let Some(first) = self.held.first().map(|h| h.seq) {
            let acknowledged = self.has_ack && distance(self.acked, first) >= 0;
            self.gap(first, ts, acknowledged, sink);
            self.drain(ts, sink);
        }
        if self.started && self.has_ack {
            // One number may be the FIN's, seen or not.
            let behind = distance(self.acked, self.next) - i32::from(self.fin);
            if behind > 1 || behind == 1 && self.fin {
                let until = self.next.wrapping_add(behind as u32);
                self.gap(until, ts, true, sink);
            }
        }
    }

    fn gap(&mut self, until: u32, ts: Nanos, acknowledged: bool, sink: &mut impl FnMut(Piece<'_>)) {
        let len = distance(until, self.next);
        if len > 0 {
            self.missed += len as u64;
            sink(Piece::Gap { seq: self.next, ts, len: len as u32, acknowledged });
            self.next = until;
        }
    }

    /// Hands on what of a segment is new; it starts at or before `next`.
    fn deliver(&mut self, seq: u32, data: &[u8], len: u32, ts: Nanos, ready: Nanos, sink: &mut impl FnMut(Piece<'_>)) {
        let known = self.next.wrapping_sub(seq);
        if known >= len {
            return;
        }
        let new = data.get(known as usize..).unwrap_or(&[]);
        let new_len = len - known;
        let new = new.get(..(new_len as usize).min(new.len())).unwrap_or(&[]);
        sink(Piece::Data { seq: self.next, ts, ready, data: new, missing: new_len - new.len() as u32 });
        self.next = self.next.wrapping_add(new_len);
    }

    /// Hands on what is held and now in order.
    fn drain(&mut self, now: Nanos, sink: &mut impl FnMut(Piece<'_>)) {
        let ready = self.held.iter().take_while(|h| distance(h.seq, self.next) <= 0).count();
        if ready == 0 {
            return;
        }
        let mut taken = 0;
        while let Some(h) = self.held.get_mut(taken) {
            if distance(h.seq, self.next) > 0 {
                break;
            }
            let (seq, len, ts, data) = (h.seq, h.len, h.ts, std::mem::take(&mut h.data));
            self.held_bytes = self.held_bytes.saturating_sub(data.len() + HELD_COST);
            self.deliver(seq, &data, len, ts, now.max(ts), sink);
            taken += 1;
        }
        self.held.drain(..taken);
    }

    /// Keeps an early segment, sorted; a copy of one that is there is left out.
    fn hold(&mut self, seq: u32, data: &[u8], len: u32, ts: Nanos) {
        let place = self.held.partition_point(|h| distance(h.seq, seq) < 0);
        if self.held.get(place).is_some_and(|h| h.seq == seq && h.len >= len) {
            return;
        }
        self.held_bytes += data.len() + HELD_COST;
        self.held.insert(place, Held { seq, len, ts, data: data.to_vec() });
    }
}

/// What a held segment costs beside its bytes.
const HELD_COST: usize = 64;
