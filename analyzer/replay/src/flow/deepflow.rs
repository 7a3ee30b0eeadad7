//! TCP metrics by DeepFlow's exact rules, for comparison (`--tcp-metrics deepflow`).
//!
//! Read from deepflow's agent (`flow_generator/perf/tcp.rs`, Apache-2.0). Known weaknesses are part of them: data without PSH resets the
//! measurements, an acknowledgement must match exactly, sixteen segments are remembered.

use super::delay::Delays;
use crate::decode::{Decoded, tcp_flag as f};
use crate::model::{Nanos, Side};
use crate::reassemble::distance;

const SECOND: Nanos = 1_000_000_000;
const MAX_RTT: Nanos = 30 * SECOND;
const MAX_SRT: Nanos = 10 * SECOND;
const MAX_ART: Nanos = 30 * SECOND;
/// Received segments remembered.
const SEGMENTS: usize = 16;

#[derive(Clone, Debug, Default)]
struct End {
    ts: Nanos,
    seq: u32,
    len: u32,
    handshake_ts: Option<Nanos>,
    isn_next: u32,
    scale: u8,
    rtt_calc: bool,
    srt_calc: bool,
    art_calc: bool,
    full_pre: bool,
    full_calc: bool,
    handshake_ack: bool,
    /// (seq, len), highest first.
    segments: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Continuous,
    Retransmission,
    OutOfOrder,
    Error,
}

/// The numbers, named as DeepFlow's; index 0 = client, 1 = server.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Client's and server's part of the handshake.
    pub rtt: [Delays; 2],
    /// Whole handshake.
    pub rtt_full: Option<Nanos>,
    /// System response by direction.
    pub srt: [Delays; 2],
    /// Application response by direction.
    pub art: [Delays; 2],
    /// Client idle.
    pub cit: Delays,
    /// Retransmissions, of SYN and SYN-ACK too.
    pub retransmits: [u32; 2],
    /// SYNs and SYN-ACKs sent again.
    pub handshake_retransmits: [u32; 2],
    /// Zero windows.
    pub zero_windows: [u32; 2],
    /// Out of order.
    pub out_of_order: [u32; 2],
    /// SYN, SYN-ACK.
    pub syns: [u32; 2],
}

/// DeepFlow's meter of one connection.
#[derive(Clone, Debug, Default)]
pub struct DeepFlow {
    ends: [End; 2],
    /// What it has measured.
    pub metrics: Metrics,
}

impl DeepFlow {
    /// A packet of `side`; `scale` is the window scale option of a SYN.
    pub fn packet(&mut self, side: Side, d: &Decoded, scale: Option<u8>) {
        let flags = d.flags & 0x3f;
        let (i, j) = (side.index(), side.other().index());
        // Ignored, and no measurement goes across them.
        let malformed =
            d.has(f::RST) || flags & (f::ACK | f::SYN) == 0 || flags & (f::PSH | f::URG) != 0 && flags & f::ACK == 0;
        if malformed {
            for e in &mut self.ends {
                e.srt_calc = false;
                e.art_calc = false;
                e.full_calc = false;
            }
            return;
        }
        if d.ts < self.ends[i].ts || d.ts < self.ends[j].ts {
            return;
        }
        let syn = flags == f::SYN;
        let syn_ack = flags == f::SYN | f::ACK && d.payload_len == 0;
        let len = if syn || flags == f::SYN | f::ACK { 1 } else { d.payload_len };
        if syn || syn_ack {
            self.handshake(side, d, syn, scale);
        } else {
            self.segment(i, d);
        }
        if self.ends[i].handshake_ts.is_some() || self.ends[j].handshake_ts.is_some() {
            self.handshake_ack(side, d, flags);
        }
        if !syn && !syn_ack {
            let window = u32::from(d.window) << self.ends[i].scale;
            if window == 0 {
                self.metrics.zero_windows[i] += 1;
            }
        } else if d.window == 0 {
            self.metrics.zero_windows[i] += 1;
        }
        let e = &mut self.ends[i];
        e.ts = d.ts;
        e.seq = d.seq;
        e.len = len;
    }

    fn handshake(&mut self, side: Side, d: &Decoded, syn: bool, scale: Option<u8>) {
        let i = side.index();
        self.ends[i].scale = scale.unwrap_or(0).min(14);
        if syn {
            self.metrics.syns[0] += 1;
            if self.ends[i].handshake_ts.is_some() {
                self.metrics.retransmits[i] += 1;
                self.metrics.handshake_retransmits[0] += 1;
            } else {
                self.ends[i].handshake_ts = Some(d.ts);
                self.ends[i].isn_next = d.seq.wrapping_add(1);
                self.ends[i].rtt_calc = true;
            }
            return;
        }
        self.metrics.syns[1] += 1;
        let j = side.other().index();
        if self.ends[i].handshake_ts.is_some() {
            self.metrics.retransmits[i] += 1;
            self.metrics.handshake_retransmits[1] += 1;
        } else {
            self.ends[i].handshake_ts = Some(d.ts);
            self.ends[i].isn_next = d.seq.wrapping_add(1);
            if self.ends[j].handshake_ts.is_none() {
                self.ends[j].isn_next = d.ack;
            } else {
                self.ends[j].full_pre = true;
            }
        }
        if let Some(first) = self.ends[j].handshake_ts
            && d.ack == self.ends[j].isn_next
        {
            add(&mut self.metrics.rtt[i], d.ts - first, MAX_RTT);
        }
    }

    /// The third packet of the handshake.
    fn handshake_ack(&mut self, side: Side, d: &Decoded, flags: u8) {
        let (i, j) = (side.index(), side.other().index());
        if flags != f::ACK || d.payload_len > 0 {
            return;
        }
        let Some(answered) = self.ends[j].handshake_ts else { return };
        if d.seq != self.ends[i].isn_next
            || d.ack != self.ends[j].isn_next
            || self.ends[i].handshake_ack
            || side == Side::Server
        {
            return;
        }
        self.ends[i].handshake_ack = true;
        add(&mut self.metrics.rtt[i], d.ts - answered, MAX_RTT);
        if let Some(first) = self.ends[i].handshake_ts
            && self.ends[i].full_pre
            && d.ts - first <= MAX_RTT
        {
            self.metrics.rtt_full = Some(d.ts - first);
        }
    }

    fn segment(&mut self, i: usize, d: &Decoded) {
        let j = 1 - i;
        let flags = d.flags & 0x3f;
        let valid = d.payload_len > 1;
        let bare = flags == f::ACK && d.payload_len == 0;
        let push = flags == f::PSH | f::ACK && valid;
        let check = if valid { self.ends[i].remember(d.seq, d.payload_len) } else { Check::Continuous };
        match check {
            Check::Retransmission => self.metrics.retransmits[i] += 1,
            Check::OutOfOrder => self.metrics.out_of_order[i] += 1,
            _ => {}
        }
        if check == Check::Error {
            for e in &mut self.ends {
                e.srt_calc = false;
                e.art_calc = false;
            }
            return;
        }
        let [me, peer] = if i == 0 {
            let [a, b] = &self.ends;
            [a, b]
        } else {
            let [a, b] = &self.ends;
            [b, a]
        };
        if me.srt_calc && bare && d.ack == peer.seq.wrapping_add(peer.len) {
            add(&mut self.metrics.srt[i], d.ts - peer.ts, MAX_SRT);
        }
        if me.art_calc && valid && d.seq == me.seq.wrapping_add(me.len) {
            add(&mut self.metrics.art[i], d.ts - peer.ts, MAX_ART);
        }
        if i == 0 && push {
            let (client, server) = (me, peer);
            if client.handshake_ack
                && client.len == 0
                && client.seq == client.isn_next
                && client.ts != 0
                && self.first_request()
            {
                add(&mut self.metrics.cit, d.ts - client.ts.max(server.ts), Nanos::MAX);
            } else if server.len > 1 && (client.len <= 1 || server.ts > client.ts) {
                add(&mut self.metrics.cit, d.ts - server.ts, Nanos::MAX);
            }
        }
        if bare {
            self.ends[i].srt_calc = false;
            self.ends[j].srt_calc = false;
            self.ends[j].art_calc = false;
        } else {
            self.ends[i].srt_calc = false;
            self.ends[i].art_calc = false;
            self.ends[j].srt_calc = push;
            self.ends[j].art_calc = push;
        }
    }

    /// Whether the client's last packet was the acknowledgement that ended the handshake.
    fn first_request(&self) -> bool {
        self.ends[0].handshake_ack && self.ends[0].seq == self.ends[0].isn_next && self.ends[0].len == 0
    }
}

fn add(to: &mut Delays, ns: Nanos, limit: Nanos) {
    if (0..=limit).contains(&ns) {
        to.add(ns);
    }
}

impl End {
    /// What a segment with data is to those before it.
    fn remember(&mut self, seq: u32, len: u32) -> Check {
        let end = seq.wrapping_add(len);
        if let Some(&(top, top_len)) = self.segments.first() {
            let top_end = top.wrapping_add(top_len);
            if seq < 1 << 30 && top_end > 0xc000_0000 {
                self.segments.clear();
            } else if top_end < 1 << 30 && seq > 0xc000_0000 {
                return Check::Continuous;
            }
        }
        let place = self.segments.iter().position(|&(s, _)| distance(seq, s) >= 0).unwrap_or(self.segments.len());
        if let Some(&(s, l)) = self.segments.get(place) {
            let stored_end = s.wrapping_add(l);
            if distance(seq, stored_end) < 0 {
                return if distance(end, stored_end) <= 0 { Check::Retransmission } else { Check::Error };
            }
        }
        let mut check = Check::Continuous;
        if place > 0 {
            let Some(&(above, above_len)) = self.segments.get(place - 1) else { return Check::Error };
            if distance(end, above) > 0 {
                return Check::Error;
            }
            check = Check::OutOfOrder;
            if end == above
                && let Some(slot) = self.segments.get_mut(place - 1)
            {
                *slot = (seq, above_len.wrapping_add(len));
                self.join(place - 1);
                return check;
            }
        }
        if let Some(slot) = self.segments.get_mut(place)
            && slot.0.wrapping_add(slot.1) == seq
        {
            slot.1 = slot.1.wrapping_add(len);
            return check;
        }
        if self.segments.len() >= SEGMENTS {
            // The two lowest become one.
            if let (Some((low, _)), Some(&(high, high_len))) = (self.segments.pop(), self.segments.last())
                && let Some(slot) = self.segments.last_mut()
            {
                *slot = (low, high.wrapping_add(high_len).wrapping_sub(low));
            }
        }
        self.segments.insert(place.min(self.segments.len()), (seq, len));
        check
    }

    /// Joins the segment at `place` with the one below it if they touch now.
    fn join(&mut self, place: usize) {
        let (Some(&(s, l)), Some(&(below, below_len))) = (self.segments.get(place), self.segments.get(place + 1))
        else {
            return;
        };
        if below.wrapping_add(below_len) == s
            && let Some(slot) = self.segments.get_mut(place)
        {
            *slot = (below, below_len.wrapping_add(l));
            self.segments.remove(place + 1);
        }
    }
}
