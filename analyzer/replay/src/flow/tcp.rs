//! TCP as both ends saw it: what each segment was (new, sent again and why, early, a probe), round trips, windows.
//!
//! The distinctions are those of Wireshark's sequence analysis (docs: "TCP Analysis"), made on what both directions have said so far,
//! with what was really seen of the stream added: a segment that fills a hole nobody sent before is early or repaired, not a copy.

use super::delay::Delays;
use crate::decode::{Decoded, tcp_flag as f};
use crate::model::{Nanos, Side, SideCounters};
use crate::reassemble::distance;
use std::collections::VecDeque;

/// Segments in flight remembered per side; beyond, some round trips have no sample.
const MAX_IN_FLIGHT: usize = 256;
/// Out of order rather than sent again if it comes this soon after what overtook it, when no round trip is known.
const OUT_OF_ORDER: Nanos = 3_000_000;
/// Identifications of packets that a sender numbers are this close to each other.
const MAX_ID_STEP: u16 = 256;
/// What comes later than this after what overtook it was sent again, or the capture repeats itself.
const LATEST: Nanos = 1_000_000_000;
/// A fast retransmission follows the duplicate acknowledgements this soon.
const FAST: Nanos = 20_000_000;
/// Who has neither sent nor heard anything for so long waits for a timer: Linux' smallest retransmission time-out (RFC 6298 wants a second).
const SILENCE: Nanos = 200_000_000;

/// What a packet was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Nothing else.
    #[default]
    Plain,
    /// Sent again after a time-out.
    Retransmission,
    /// Sent again after duplicate acknowledgements.
    FastRetransmission,
    /// Sent again although it had arrived.
    SpuriousRetransmission,
    /// The very same packet again: captured twice, or copied by the network.
    Duplicate,
    /// It came after a later one.
    OutOfOrder,
    /// A byte before what is expected next, or none.
    KeepAlive,
    /// Into a closed window: a new byte (RFC 9293, 3.8.6.1), or none and the number before it, as Linux and BSD do.
    ZeroWindowProbe,
    /// A SYN again.
    SynRetransmission,
    /// A SYN-ACK again.
    SynAckRetransmission,
    /// The same acknowledgement again.
    DuplicateAck,
    /// Another window, nothing else new.
    WindowUpdate,
    /// Answer to a keep-alive.
    KeepAliveAck,
}

impl Kind {
    /// Whether it is data sent again.
    #[must_use]
    pub fn is_retransmission(self) -> bool {
        matches!(self, Self::Retransmission | Self::FastRetransmission | Self::SpuriousRetransmission | Self::Duplicate)
    }
}

/// A segment that was sent again.
#[derive(Clone, Copy, Debug)]
struct Resent {
    start: u32,
    end: u32,
    ts_val: u32,
    kind: Kind,
    /// It was acknowledged since.
    acked: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    start: u32,
    end: u32,
    ts: Nanos,
    ip_id: u16,
    /// It, or something before it, was sent again since, or came late.
    again: bool,
}

/// One direction's sequence space and the promises of its sender.
#[derive(Clone, Debug, Default)]
pub struct Half {
    /// Sequence number of the SYN.
    pub isn: Option<u32>,
    has_seq: bool,
    next: u32,
    next_at: Nanos,
    /// Timestamp option and IP identification of the segment that ends at `next`: when it was sent, as its sender counts.
    next_ts_val: u32,
    next_ip_id: u16,
    /// From the identification of the one before it to that one.
    id_step: u16,
    has_ack: bool,
    ack: u32,
    ack_at: Nanos,
    has_window: bool,
    /// Announced last, in bytes.
    window: u32,
    scale: u8,
    duplicate_acks: u32,
    last: Kind,
    /// The byte at `next` was sent into a closed window: it counts if it is acknowledged.
    probed: bool,
    in_flight: VecDeque<Sent>,
    /// Data of it was acknowledged.
    answered: bool,
    /// Highest number that the peer has said in a SACK block it has.
    sacked: Option<u32>,
    /// Last data, new or again.
    sent_at: Nanos,
    /// What began the present recovery from a loss, and the number that ends it when it is acknowledged.
    recovery: Option<(Kind, u32)>,
    /// Bytes passed over and not seen yet: (from, to).
    holes: Vec<(u32, u32)>,
    resent: Vec<Resent>,
    round_trips: Delays,
    /// Smallest round trip so far, 0 if none.
    min_round_trip: Nanos,
}

/// Segments sent again remembered per side, until it is known whether that was needed.
const MAX_RESENT: usize = 16;
/// Holes remembered per side.
const MAX_HOLES: usize = 32;

impl Half {
    /// Whether a byte of this side was seen.
    #[must_use]
    pub fn has_seq(&self) -> bool {
        self.has_seq
    }

    /// The sequence number after the last one seen.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Takes the round trips of its data.
    pub fn take_round_trips(&mut self) -> Delays {
        std::mem::take(&mut self.round_trips)
    }

    /// Whether all of `seq..end` was passed over without being seen.
    fn in_hole(&self, seq: u32, end: u32) -> bool {
        self.holes.iter().any(|&(from, to)| distance(seq, from) >= 0 && distance(end, to) <= 0)
    }

    /// `seq..end` is seen now.
    fn fill(&mut self, seq: u32, end: u32) {
        let mut i = 0;
        while let Some(&(from, to)) = self.holes.get(i) {
            if distance(end, from) <= 0 || distance(seq, to) >= 0 {
                i += 1;
                continue;
            }
            self.holes.remove(i);
            if distance(seq, from) > 0 {
                self.holes.insert(i, (from, seq));
                i += 1;
            }
            if distance(end, to) < 0 {
                self.holes.insert(i, (end, to));
                i += 1;
            }
        }
        self.holes.truncate(MAX_HOLES);
    }
}

/// What analysis says of one packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verdict {
    /// What it was.
    pub kind: Kind,
    /// It carries bytes never seen before.
    pub new_data: bool,
    /// It acknowledges data of the peer for the first time: the round trip of that.
    pub round_trip: Option<Nanos>,
    /// All that the peer has sent is acknowledged by now.
    pub all_acked: bool,
}

/// Both directions of a connection.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// Client and server.
    pub halves: [Half; 2],
    /// ECE and CWR count marked packets, and no longer say that there was congestion (AccECN, RFC 9768): the SYN-ACK had CWR,
    /// which is no answer of RFC 3168.
    accurate_ecn: bool,
}

impl Analysis {
    /// Turns the sides round.
    pub fn swap(&mut self) {
        self.halves.swap(0, 1);
    }

    /// Gives back memory that is not in use.
    pub fn shrink(&mut self) {
        for half in &mut self.halves {
            half.in_flight.shrink_to_fit();
            half.holes.shrink_to_fit();
            half.resent.shrink_to_fit();
            half.round_trips.shrink();
        }
    }

    /// A packet of `side`; counts into both sides' counters.
    #[inline]
    pub fn packet(&mut self, side: Side, d: &Decoded, counters: &mut [SideCounters; 2]) -> Verdict {
        let (syn, fin, rst, has_ack) = (d.has(f::SYN), d.has(f::FIN), d.has(f::RST), d.has(f::ACK));
        let (i, j) = (side.index(), side.other().index());
        let [client, server] = &mut self.halves;
        let (me, peer) = if i == 0 { (client, server) } else { (server, client) };
        let [mine, theirs] = if i == 0 {
            let [a, b] = counters;
            [a, b]
        } else {
            let [a, b] = counters;
            [b, a]
        };
        let _ = j;
        let len = d.payload_len;
        let control = syn || fin || rst;
        let mut verdict = Verdict::default();
        let takes = len + u32::from(syn) + u32::from(fin);
        let end = d.seq.wrapping_add(takes);
        let bare = len == 0 && !control;
        // A SYN's window is never scaled (RFC 7323, 2.2).
        let window = u32::from(d.window) << if syn { 0 } else { me.scale };

        // Windows and acknowledgements, before the segment itself.
        if d.window == 0 && !control {
            mine.zero_window += 1;
        }
        let same_place = me.has_seq && d.seq == me.next && me.has_ack && d.ack == me.ack && has_ack;
        let mut kind = Kind::Plain;
        let closed = peer.has_window && peer.window == 0;
        let at_next = len == 1 && d.seq == me.next;
        if closed && me.has_seq && !control && (at_next || len <= 1 && d.seq == me.next.wrapping_sub(1)) {
            kind = Kind::ZeroWindowProbe;
            mine.zero_window_probes += 1;
            me.probed |= at_next;
        } else if len <= 1 && me.has_seq && d.seq == me.next.wrapping_sub(1) && !control {
            kind = Kind::KeepAlive;
            mine.keep_alives += 1;
        } else if bare && same_place {
            if peer.last == Kind::KeepAlive && window == me.window {
                kind = Kind::KeepAliveAck;
            } else if peer.last == Kind::ZeroWindowProbe && window == 0 && me.window == 0 {
                // An answer to the probe.
            } else if window != me.window && window != 0 {
                kind = Kind::WindowUpdate;
            } else if window == me.window && window != 0 {
                kind = Kind::DuplicateAck;
                me.duplicate_acks += 1;
                me.ack_at = d.ts;
                mine.duplicate_acks += 1;
            }
        }
        if len > 0 && !control && peer.has_window && peer.has_ack && peer.isn.is_some() {
            let edge = peer.ack.wrapping_add(peer.window);
            if end == edge {
                mine.window_full += 1;
            }
        }
        let first_ack = has_ack && !me.has_ack;
        if has_ack {
            if peer.probed && distance(d.ack, peer.next) > 0 {
                peer.next = peer.next.wrapping_add(1);
                peer.probed = false;
            }
            if !me.has_ack || d.ack != me.ack {
                if !me.has_ack || distance(d.ack, me.ack) > 0 {
                    verdict.round_trip = peer.acknowledged(d.ack, d.ts);
                    peer.answered |= peer.isn.is_none_or(|isn| distance(d.ack, isn) > 1);
                }
                me.duplicate_acks = 0;
                me.ack = d.ack;
                me.ack_at = d.ts;
                me.has_ack = true;
            }
            verdict.all_acked = peer.has_seq && distance(d.ack, peer.next) >= 0;
            if !peer.resent.is_empty() {
                peer.judge_resent(d, theirs);
            }
            if d.sack[0] != d.sack[1] && distance(d.sack[1], d.ack) > 0 {
                peer.sacked =
                    Some(peer.sacked.map_or(d.sack[1], |at| if distance(d.sack[1], at) > 0 { d.sack[1] } else { at }));
            }
        }

        if len > 0 && matches!(kind, Kind::KeepAlive | Kind::ZeroWindowProbe) {
            // The byte before was sent again with it, or it will be.
            me.in_flight.iter_mut().filter(|s| distance(s.end, d.seq) > 0).for_each(|s| s.again = true);
        }

        // The segment.
        if rst && takes == len {
            // Data in a RST is a message, not part of the stream.
        } else if syn && me.is_another_beginning(peer, d.seq) {
            // The peer has answered one already: it refuses this one (RFC 9293, 3.10.7.4).
        } else if takes > 0 && !matches!(kind, Kind::KeepAlive | Kind::ZeroWindowProbe) {
            // Both ends opened at once (RFC 9293, 3.5): the SYN comes a second time, to acknowledge the other's.
            let answers_syn = syn && first_ack && me.isn == Some(d.seq) && peer.isn.is_some();
            if syn {
                let again = me.isn == Some(d.seq) && !answers_syn;
                if again {
                    kind = if has_ack { Kind::SynAckRetransmission } else { Kind::SynRetransmission };
                    me.in_flight.iter_mut().for_each(|s| s.again = true);
                }
                me.isn = Some(d.seq);
            }
            if answers_syn {
                // Nothing new.
            } else if !me.has_seq || syn && kind == Kind::Plain {
                me.has_seq = true;
                verdict.new_data = len > 0;
                me.sent(d.seq, end, d);
            } else if kind == Kind::Plain
                || !bare && kind != Kind::SynRetransmission && kind != Kind::SynAckRetransmission
            {
                let ahead = distance(d.seq, me.next);
                if ahead >= 0 {
                    me.passed_over(d.seq);
                    verdict.new_data = len > 0;
                    me.sent(d.seq, end, d);
                } else {
                    kind = me.again(peer, d, end, len);
                    verdict.new_data = len > 0 && (me.in_hole(d.seq, end) || distance(end, me.next) > 0);
                    me.fill(d.seq, end);
                    if distance(end, me.next) > 0 {
                        me.sent(me.next, end, d);
                    }
                    match kind {
                        Kind::OutOfOrder => mine.out_of_order += 1,
                        _ => {
                            mine.retransmits += 1;
                            mine.retransmitted_bytes += u64::from(len);
                            mine.retransmitted_segments += segments(d, mine.mss, theirs.mss);
                            me.resent(d, end, kind);
                            match kind {
                                Kind::FastRetransmission => mine.retransmits_fast += 1,
                                Kind::SpuriousRetransmission => mine.retransmits_spurious += 1,
                                Kind::Duplicate => mine.duplicates += 1,
                                _ => mine.retransmits_rto += 1,
                            }
                        }
                    }
                }
            }
            me.sent_at = d.ts;
            if peer.has_ack {
                let flight = distance(me.next, peer.ack);
                if flight > 0 && flight < 1 << 30 {
                    mine.max_in_flight = mine.max_in_flight.max(flight as u32);
                }
            }
        } else if bare && (!me.has_seq || distance(d.seq, me.next) > 0) {
            // Its number says that everything before was sent.
            me.passed_over(d.seq);
            me.has_seq = true;
            me.reached(d.seq, d);
        }
        if verdict.new_data && !me.answered && me.isn.is_some() {
            mine.initial_flight = mine.initial_flight.saturating_add(len);
        }
        self.accurate_ecn |= syn && has_ack && d.has(f::CWR);
        if d.flags & (f::ECE | f::CWR) != 0 && !syn && !self.accurate_ecn {
            mine.ecn_ece += u32::from(d.has(f::ECE));
            mine.ecn_cwr += u32::from(d.has(f::CWR));
        }
        if !syn && !rst && mine.initial_window == 0 && me.has_window {
            mine.initial_window = window;
        }
        me.window = window;
        me.has_window = true;
        me.last = kind;
        verdict.kind = kind;
        verdict
    }

    /// Window scaling, once both SYNs are known (RFC 7323: only if both ends offer it).
    pub fn scale(&mut self, client: Option<u8>, server: Option<u8>) {
        if let (Some(c), Some(s)) = (client, server) {
            self.halves[0].scale = c.min(14);
            self.halves[1].scale = s.min(14);
        }
    }
}

/// How many segments the kernel that sent `d` calls it: one that was captured before the card cut it up (segmentation offload) is as many as
/// segments of the smaller announced size, options taken off, hold it.
#[cold]
fn segments(d: &Decoded, a: u16, b: u16) -> u32 {
    let announced = if a == 0 || b == 0 { a.max(b) } else { a.min(b) };
    let largest = u32::from(announced).saturating_sub(u32::from(d.options_len));
    if largest == 0 { 1 } else { d.payload_len.div_ceil(largest).max(1) }
}

impl Half {
    /// Whether a SYN with this number is not the one that began the connection: the peer has acknowledged another.
    #[cold]
    fn is_another_beginning(&self, peer: &Half, seq: u32) -> bool {
        let acknowledged = |isn| peer.has_ack && distance(peer.ack, isn) > 0 && distance(peer.ack, self.next) <= 0;
        self.isn.is_some_and(|isn| isn != seq && acknowledged(isn))
    }

    /// `d` ends at `end`, beyond what was seen before.
    #[inline]
    fn reached(&mut self, end: u32, d: &Decoded) {
        self.id_step = d.ip_id.wrapping_sub(self.next_ip_id);
        self.next = end;
        self.probed = false;
        self.next_at = d.ts;
        self.next_ts_val = d.ts_val;
        self.next_ip_id = d.ip_id;
    }

    /// What lies between the last byte seen and `seq` is a hole.
    #[inline]
    fn passed_over(&mut self, seq: u32) {
        if self.has_seq && distance(seq, self.next) > 0 && self.holes.len() < MAX_HOLES {
            self.holes.push((self.next, seq));
        }
    }

    /// `d` goes beyond what was seen before, to `end`; what is new of it starts at `start`.
    #[inline]
    fn sent(&mut self, start: u32, end: u32, d: &Decoded) {
        self.reached(end, d);
        if self.in_flight.len() < MAX_IN_FLIGHT {
            self.in_flight.push_back(Sent { start, end, ts: d.ts, ip_id: d.ip_id, again: false });
        }
    }

    /// Whether `d`, which comes after the segment that ends at `next`, was sent before it; `None` if nothing says so. The sender's own
    /// clock (RFC 7323) decides, or else its packet numbers.
    fn was_sent_before(&self, d: &Decoded) -> Option<bool> {
        if d.ts - self.next_at > LATEST {
            return Some(false);
        }
        if d.ts_val != self.next_ts_val && d.ts_val != 0 && self.next_ts_val != 0 {
            return Some(distance(d.ts_val, self.next_ts_val) < 0);
        }
        if matches!(self.id_step, 1..=MAX_ID_STEP) && d.ip_id != 0 && d.ip_id.abs_diff(self.next_ip_id) <= MAX_ID_STEP {
            return Some(d.ip_id < self.next_ip_id).filter(|_| d.ip_id != self.next_ip_id);
        }
        None
    }

    fn resent(&mut self, d: &Decoded, end: u32, kind: Kind) {
        if matches!(kind, Kind::Retransmission | Kind::FastRetransmission) {
            if self.resent.len() >= MAX_RESENT {
                self.resent.remove(0);
            }
            self.resent.push(Resent { start: d.seq, end, ts_val: d.ts_val, kind, acked: false });
        }
    }

    /// The peer acknowledges with `d`: what was sent again in vain is counted as such. It was if the peer says that it has it twice
    /// (a SACK block below the acknowledgement, RFC 2883), or if the first acknowledgement of it echoes an earlier timestamp than that
    /// of the copy (RFC 3522).
    #[cold]
    fn judge_resent(&mut self, d: &Decoded, counters: &mut SideCounters) {
        let twice = d.sack[0] != d.sack[1] && distance(d.sack[1], d.ack) <= 0;
        self.resent.retain_mut(|r| {
            let reported = twice && distance(d.sack[0], r.end) < 0 && distance(d.sack[1], r.start) > 0;
            let covered = distance(d.ack, r.end) >= 0;
            let echoed = covered && !r.acked && r.ts_val != 0 && d.ts_echo != 0 && distance(d.ts_echo, r.ts_val) < 0;
            r.acked |= covered;
            if reported || echoed {
                let of_kind = if r.kind == Kind::FastRetransmission {
                    &mut counters.retransmits_fast
                } else {
                    &mut counters.retransmits_rto
                };
                *of_kind = of_kind.saturating_sub(1);
                counters.retransmits_spurious += 1;
            }
            !(reported || echoed)
        });
    }

    /// The peer acknowledged up to `ack`: the round trip of the newest segment in it, unless that was sent more than once (Karn), its
    /// acknowledgement waited for something before it that was, or it is for something later, which is not in the capture.
    #[inline]
    fn acknowledged(&mut self, ack: u32, now: Nanos) -> Option<Nanos> {
        let is_of_unseen = distance(ack, self.next) > 0;
        let mut newest = None;
        while let Some(s) = self.in_flight.front() {
            if distance(s.end, ack) > 0 {
                break;
            }
            newest = Some((s.ts, s.again));
            self.in_flight.pop_front();
        }
        let (sent, again) = newest?;
        let rtt = now - sent;
        if again || is_of_unseen || rtt < 0 {
            return None;
        }
        if self.min_round_trip == 0 || rtt < self.min_round_trip {
            self.min_round_trip = rtt;
        }
        self.round_trips.add(rtt);
        Some(rtt)
    }

    /// What a segment is that starts below what was seen already.
    fn again(&mut self, peer: &Half, d: &Decoded, end: u32, len: u32) -> Kind {
        // Identifications that never change tell nothing (RFC 6864 leaves them free where nothing may be fragmented).
        let told_apart = d.ip_id != 0 && self.id_step != 0;
        let mut copy = false;
        for s in &mut self.in_flight {
            if distance(s.end, d.seq) > 0 {
                copy |= told_apart && s.start == d.seq && s.end == end && s.ip_id == d.ip_id;
                // The acknowledgement of what was sent before, and lies behind, waits for this one, too: its time is no round trip.
                s.again = true;
            }
        }
        if copy {
            return Kind::Duplicate;
        }
        let sent_before = if self.in_hole(d.seq, end) { self.was_sent_before(d) } else { None };
        if sent_before == Some(true) {
            return Kind::OutOfOrder;
        }
        if len > 0 && peer.has_ack && distance(end, peer.ack) <= 0 {
            return Kind::SpuriousRetransmission;
        }
        let soon_after_duplicates = peer.duplicate_acks >= 2 && peer.ack == d.seq && d.ts - peer.ack_at < FAST;
        let soon = if self.min_round_trip > 0 { self.min_round_trip } else { OUT_OF_ORDER };
        if sent_before.is_none() && self.in_hole(d.seq, end) && d.ts - self.next_at < soon.max(OUT_OF_ORDER) {
            return Kind::OutOfOrder;
        }
        // The same recovery goes on until all that was under way when it began is acknowledged (RFC 6675); a timer's expiry begins another.
        let silent = d.ts - self.sent_at.max(peer.ack_at) >= SILENCE;
        let going_on = self.recovery.filter(|&(_, until)| !(silent || peer.has_ack && distance(peer.ack, until) >= 0));
        let overtaken = self.sacked.is_some_and(|sacked| distance(sacked, end) > 0);
        let kind = match going_on {
            Some((kind, _)) => kind,
            None if soon_after_duplicates || overtaken && !silent => Kind::FastRetransmission,
            None => Kind::Retransmission,
        };
        if going_on.is_none() {
            self.recovery = Some((kind, self.next));
        }
        kind
    }
}
