//! The packets of chosen TCP flows, each with what the analysis says of it: the table behind the time-sequence plot.
//!
//! The flows are those of a replay; their packets are read again ([`crate::reread`]) and go through the same analysis
//! ([`crate::flow::tcp`]), whose verdict is kept here for each of them. Sequence numbers are relative to the side's SYN, or to the first byte seen
//! where there is none (Wireshark's rule: that byte has number 1), and go on beyond 4 GiB.

#[cfg(test)]
mod tests;

use crate::decode::{Decoded, TcpOptions, checksum, tcp_flag as f};
use crate::engine::ReplayError;
use crate::filter::Filter;
use crate::flow::tcp::{Analysis, Kind};
use crate::model::{Flow, Nanos, Side, SideCounters, Transport};
use crate::reassemble::distance;
use crate::reread::{FlowIndex, is_from_client, reread};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Packets of all chosen flows together, at most.
pub const MOST_PACKETS: usize = 2_000_000;

/// What the analysis says of a packet: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(pub u32);

/// Names of [`Marks`], by their bits.
const MARK_NAMES: [&str; 19] = [
    "syn_retransmission",
    "syn_ack_retransmission",
    "retransmission",
    "fast_retransmission",
    "spurious_retransmission",
    "out_of_order",
    "keep_alive",
    "keep_alive_ack",
    "zero_window_probe",
    "zero_window_probe_ack",
    "duplicate_ack",
    "window_update",
    "zero_window",
    "window_full",
    "gap",
    "acked_unseen",
    "congestion",
    "duplicate",
    "bad_checksum",
];

impl Marks {
    /// A SYN again.
    pub const SYN_RETRANSMISSION: Self = Self(1);
    /// A SYN-ACK again.
    pub const SYN_ACK_RETRANSMISSION: Self = Self(1 << 1);
    /// Data again, after a time-out.
    pub const RETRANSMISSION: Self = Self(1 << 2);
    /// Data again, after duplicate acknowledgements.
    pub const FAST_RETRANSMISSION: Self = Self(1 << 3);
    /// Data again that had arrived.
    pub const SPURIOUS_RETRANSMISSION: Self = Self(1 << 4);
    /// It came after a later one.
    pub const OUT_OF_ORDER: Self = Self(1 << 5);
    /// A keep-alive probe.
    pub const KEEP_ALIVE: Self = Self(1 << 6);
    /// The answer to one.
    pub const KEEP_ALIVE_ACK: Self = Self(1 << 7);
    /// A byte into a closed window.
    pub const ZERO_WINDOW_PROBE: Self = Self(1 << 8);
    /// The answer to one.
    pub const ZERO_WINDOW_PROBE_ACK: Self = Self(1 << 9);
    /// The same acknowledgement again.
    pub const DUPLICATE_ACK: Self = Self(1 << 10);
    /// Another window, nothing else new.
    pub const WINDOW_UPDATE: Self = Self(1 << 11);
    /// It announces a window of 0.
    pub const ZERO_WINDOW: Self = Self(1 << 12);
    /// It fills the peer's window.
    pub const WINDOW_FULL: Self = Self(1 << 13);
    /// Bytes before it were not seen.
    pub const GAP: Self = Self(1 << 14);
    /// It acknowledges bytes that were not seen.
    pub const ACKED_UNSEEN: Self = Self(1 << 15);
    /// The network marked congestion (ECN CE).
    pub const CONGESTION: Self = Self(1 << 16);
    /// The very same packet again: captured twice, or copied by the network.
    pub const DUPLICATE: Self = Self(1 << 17);
    /// Its checksum is wrong: nothing else is said of it.
    pub const BAD_CHECKSUM: Self = Self(1 << 18);

    /// Whether all marks of `other` are in.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one of the marks says that bytes were sent again.
    #[must_use]
    pub fn is_retransmission(self) -> bool {
        self.0 & (0b1_1111 | Self::DUPLICATE.0) != 0
    }

    /// The names, in a fixed order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        MARK_NAMES.iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name)
    }

    fn set(&mut self, mark: Self, yes: bool) {
        if yes {
            self.0 |= mark.0;
        }
    }
}

/// One packet of a TCP flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpPacket {
    /// Index into [`crate::model::Replayed::flows`].
    pub flow_id: u64,
    /// Its capture, in the order of reading.
    pub input: u32,
    /// Number in its capture, from 1.
    pub frame: u64,
    /// UTC ns.
    pub ts: Nanos,
    /// Who sent it.
    pub sender: Side,
    /// Relative sequence number of its first byte.
    pub seq: i64,
    /// Relative number that it acknowledges, if it does.
    pub ack: Option<i64>,
    /// Sequence number as on the wire.
    pub tcp_seq: u32,
    /// Acknowledgement number as on the wire.
    pub tcp_ack: u32,
    /// Payload as on the wire.
    pub payload_bytes: u32,
    /// TCP flags.
    pub flags: u8,
    /// Receive window that it announces, scaled where the scale is known.
    pub window_bytes: u32,
    /// Blocks of the SACK option, relative like `ack`.
    pub sack: Vec<(i64, i64)>,
    /// Bytes of its sender that are not acknowledged, this packet included.
    pub in_flight_bytes: u32,
    /// It acknowledges data for the first time: the time since that was sent.
    pub round_trip_ns: Option<u64>,
    /// What the analysis says.
    pub marks: Marks,
}

impl TcpPacket {
    /// Relative number of the byte after its payload; SYN and FIN take one each.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.seq
            + i64::from(self.payload_bytes)
            + i64::from(self.flags & f::SYN != 0)
            + i64::from(self.flags & f::FIN != 0)
    }
}

/// Packets of chosen flows.
#[derive(Clone, Debug, Default)]
pub struct TcpPackets {
    /// By flow, then time.
    pub packets: Vec<TcpPacket>,
    /// Packets of these flows that were too many.
    pub left_out: u64,
    /// The captures in the order of reading.
    pub inputs: Vec<PathBuf>,
}

impl TcpPackets {
    /// The packets of one flow.
    #[must_use]
    pub fn of_flow(&self, flow_id: u64) -> &[TcpPacket] {
        let from = self.packets.partition_point(|p| p.flow_id < flow_id);
        let to = self.packets.partition_point(|p| p.flow_id <= flow_id);
        self.packets.get(from..to).unwrap_or_default()
    }
}

/// A packet before it is analyzed.
struct Raw {
    d: Decoded,
    input: u32,
    frame: u64,
    is_ordered: bool,
    sack: Vec<(u32, u32)>,
    /// Window scale option.
    scale: Option<u8>,
    is_damaged: bool,
}

/// Reads the packets of those of `flows` (all flows of the replay) that `choose` wants, at most `most` of them. `filter` and `checksums`
/// are those of the replay.
///
/// # Errors
/// If an input cannot be read again.
pub fn tcp_packets(
    inputs: &[PathBuf],
    filter: Option<&Filter>,
    checksums: bool,
    flows: &[Flow],
    choose: impl Fn(&Flow) -> bool,
    most: usize,
) -> Result<TcpPackets, ReplayError> {
    let index = FlowIndex::new(flows, |flow| flow.transport == Transport::Tcp && choose(flow));
    let mut out = TcpPackets::default();
    if index.is_empty() {
        return Ok(out);
    }
    let mut raw: BTreeMap<u64, Vec<Raw>> = BTreeMap::new();
    let mut count = 0;
    let wanted = |interface, link_type, frame: &[u8]| index.may_have(interface, link_type, frame);
    out.inputs = reread(inputs, filter, &wanted, &mut |p| {
        for d in p.rows.iter().filter(|d| d.protocol == 6 && !d.cut_header && !p.is_part) {
            let Some(flow) = index.find(flows, d, p.tunnels) else { continue };
            if count == most {
                out.left_out += 1;
                continue;
            }
            count += 1;
            let (sack, scale) = options(d, p.frame);
            raw.entry(flow.flow_id).or_default().push(Raw {
                d: *d,
                input: p.input as u32,
                frame: p.number,
                is_ordered: p.is_ordered,
                sack,
                scale,
                is_damaged: checksums && checksum::is_wrong(d, p.frame),
            });
        }
        Ok::<_, ReplayError>(())
    })?;
    out.packets.reserve(count);
    for (flow_id, mut packets) in raw {
        let Some(flow) = usize::try_from(flow_id).ok().and_then(|id| flows.get(id)) else { continue };
        // What has the same time stays in the order of the file.
        if packets.iter().any(|p| !p.is_ordered) {
            packets.sort_by_key(|p| p.d.ts);
        }
        analyze(flow, packets, &mut out.packets);
    }
    Ok(out)
}

/// SACK blocks and window scale.
fn options(d: &Decoded, frame: &[u8]) -> (Vec<(u32, u32)>, Option<u8>) {
    let (mut sack, mut scale) = (Vec::new(), None);
    let at = d.options_at as usize;
    for (kind, value) in TcpOptions::new(frame.get(at..at + usize::from(d.options_len)).unwrap_or(&[])) {
        match (kind, value) {
            (3, [shift]) => scale = Some(*shift),
            (5, blocks) => {
                let number = |b: &[u8]| b.iter().fold(0u32, |n, &byte| n << 8 | u32::from(byte));
                sack.extend(blocks.chunks_exact(8).map(|b| (number(&b[..4]), number(&b[4..]))));
            }
            _ => {}
        }
    }
    (sack, scale)
}

/// Sequence numbers of one side, counted on beyond 32 bits.
#[derive(Clone, Copy, Default)]
struct Relative {
    /// A number on the wire and what it stands for.
    known: Option<(u32, i64)>,
}

impl Relative {
    fn start(&mut self, wire: u32, relative: i64) {
        self.known.get_or_insert((wire, relative));
    }

    fn of(&mut self, wire: u32) -> i64 {
        let (near, relative) = *self.known.get_or_insert((wire, 1));
        let number = relative + i64::from(distance(wire, near));
        // The reference goes along, so that it is never 2 GiB behind.
        if number > relative {
            self.known = Some((wire, number));
        }
        number
    }

    fn peek(&self, wire: u32) -> i64 {
        self.known.map_or(0, |(near, relative)| relative + i64::from(distance(wire, near)))
    }
}

fn analyze(flow: &Flow, packets: Vec<Raw>, out: &mut Vec<TcpPacket>) {
    let mut analysis = Analysis::default();
    let mut counters: [SideCounters; 2] = Default::default();
    let mut scales: [Option<u8>; 2] = [None; 2];
    let (mut scaled, mut isns) = (false, [None; 2]);
    let mut numbers = [Relative::default(); 2];
    let mut acked: [Option<u32>; 2] = [None; 2];
    let mut probed = [false; 2];
    for raw in packets {
        let d = &raw.d;
        let sender = if is_from_client(flow, d) { Side::Client } else { Side::Server };
        let (i, j) = (sender.index(), sender.other().index());
        let (syn, ack) = (d.has(f::SYN), d.has(f::ACK));
        if raw.is_damaged {
            out.push(TcpPacket {
                flow_id: flow.flow_id,
                input: raw.input,
                frame: raw.frame,
                ts: d.ts,
                sender,
                seq: numbers[i].peek(d.seq),
                ack: ack.then(|| numbers[j].peek(d.ack)),
                tcp_seq: d.seq,
                tcp_ack: d.ack,
                payload_bytes: d.payload_len,
                flags: d.flags,
                window_bytes: u32::from(d.window),
                sack: Vec::new(),
                in_flight_bytes: 0,
                round_trip_ns: None,
                marks: Marks::BAD_CHECKSUM,
            });
            continue;
        }
        let (before, expected) = ([counters[0].clone(), counters[1].clone()], analysis.halves[i].next());
        let has_seq = analysis.halves[i].has_seq();
        let verdict = analysis.packet(sender, d, &mut counters);
        if syn {
            scales[i] = raw.scale;
            // Another SYN than before begins another count: so does a new connection that is the same flow still.
            if isns[i] != analysis.halves[i].isn {
                isns[i] = analysis.halves[i].isn;
                numbers[i] = Relative { known: isns[i].map(|isn| (isn, 0)) };
            }
        }
        // Either answers the other's SYN, or both opened at once.
        if syn && !scaled && isns[0].is_some() && isns[1].is_some() {
            scaled = true;
            analysis.scale(scales[0], scales[1]);
        }

        let mut marks = Marks::default();
        match verdict.kind {
            Kind::SynRetransmission => marks.set(Marks::SYN_RETRANSMISSION, true),
            Kind::SynAckRetransmission => marks.set(Marks::SYN_ACK_RETRANSMISSION, true),
            Kind::Retransmission => marks.set(Marks::RETRANSMISSION, true),
            Kind::FastRetransmission => marks.set(Marks::FAST_RETRANSMISSION, true),
            Kind::SpuriousRetransmission => marks.set(Marks::SPURIOUS_RETRANSMISSION, true),
            Kind::Duplicate => marks.set(Marks::DUPLICATE, true),
            Kind::OutOfOrder => marks.set(Marks::OUT_OF_ORDER, true),
            Kind::KeepAlive => marks.set(Marks::KEEP_ALIVE, true),
            Kind::KeepAliveAck => marks.set(Marks::KEEP_ALIVE_ACK, true),
            Kind::ZeroWindowProbe => marks.set(Marks::ZERO_WINDOW_PROBE, true),
            Kind::DuplicateAck => marks.set(Marks::DUPLICATE_ACK, true),
            Kind::WindowUpdate => marks.set(Marks::WINDOW_UPDATE, true),
            Kind::Plain => {}
        }
        let grew = |of: fn(&SideCounters) -> u32| of(&counters[i]) > of(&before[i]);
        marks.set(Marks::ZERO_WINDOW, grew(|c| c.zero_window));
        marks.set(Marks::WINDOW_FULL, grew(|c| c.window_full));
        marks.set(Marks::CONGESTION, d.ecn == 3);
        let takes = d.payload_len > 0 || d.has(f::FIN);
        marks.set(Marks::GAP, has_seq && !syn && takes && distance(d.seq, expected) > 0);
        let peer = &analysis.halves[j];
        let unseen = ack && peer.has_seq() && distance(d.ack, peer.next()) > 0;
        marks.set(Marks::ACKED_UNSEEN, unseen && acked[i].is_none_or(|a| distance(d.ack, a) > 0));
        let answers_probe = probed[j] && d.payload_len == 0 && d.window == 0 && ack && acked[i] == Some(d.ack);
        marks.set(Marks::ZERO_WINDOW_PROBE_ACK, answers_probe);
        probed[i] = verdict.kind == Kind::ZeroWindowProbe;
        if ack {
            acked[i] = Some(d.ack);
        }

        // Both sides must offer scaling (RFC 7323); of a side whose SYN is not in the capture it is taken for granted.
        let both = scales[j].is_some() || isns[j].is_none();
        let scale = if syn || !both { 0 } else { u32::from(scales[i].unwrap_or(0).min(14)) };
        let seq = numbers[i].of(d.seq);
        let relative_ack = ack.then(|| {
            // Of a side not seen yet the next byte has number 1.
            numbers[j].start(d.ack, 1);
            numbers[j].peek(d.ack)
        });
        let next = analysis.halves[i].next();
        let flight = acked[j].map_or(0, |a| distance(next, a).max(0));
        out.push(TcpPacket {
            flow_id: flow.flow_id,
            input: raw.input,
            frame: raw.frame,
            ts: d.ts,
            sender,
            seq,
            ack: relative_ack,
            tcp_seq: d.seq,
            tcp_ack: d.ack,
            payload_bytes: d.payload_len,
            flags: d.flags,
            window_bytes: u32::from(d.window) << scale,
            sack: raw.sack.iter().map(|&(a, b)| (numbers[j].peek(a), numbers[j].peek(b))).collect(),
            in_flight_bytes: flight.unsigned_abs(),
            round_trip_ns: verdict.round_trip.and_then(|ns| u64::try_from(ns).ok()),
            marks,
        });
    }
}
