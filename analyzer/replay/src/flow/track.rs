//! One open flow.

use super::deepflow::DeepFlow;
use super::delay::Delays;
use super::direction::{Decision, HANDSHAKE_SEEN, decide};
use super::fsm::{Machine, TimeoutClass};
use super::known::Known;
use super::sctp::Association;
use super::series::Series;
use super::table::Settings;
use super::tcp::{Analysis, Kind, Verdict};
use super::zeek::Zeek;
use crate::decode::{Decoded, NO_MAC, TcpOptions, Tunnel, icmp_error, tcp_flag as f};
use crate::hops::PlaceLog;
use crate::model::{Completeness, IcmpErrors, Nanos, Side, SideCounters};
use crate::netprofile::{Profiler, Sample, Turns};
use crate::parse::{Conversation, Segment};
use crate::reassemble::{Limits, Piece, Stream, distance};
use std::collections::VecDeque;

/// A SYN-ACK acknowledges the SYN and what came with it (RFC 7413).
const MAX_SYN_DATA: i32 = 1 << 16;
/// Silence after which no SYN is one sent again: Linux's six retries take 127 s.
const LAST_SYN: Nanos = 130_000_000_000;

/// What makes packets one conversation: both ends, protocol, interface, tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    low: u128,
    high: u128,
    hash: u64,
    low_port: u16,
    high_port: u16,
    interface: u32,
    tunnel: u32,
    protocol: u8,
}

impl Key {
    /// Key of a packet, the same for both directions.
    #[inline]
    #[must_use]
    pub fn of(d: &Decoded) -> Self {
        let (from, to) = ((d.src, d.src_port), (d.dst, d.dst_port));
        let (low, high) = if from <= to { (from, to) } else { (to, from) };
        Self {
            low: low.0,
            high: high.0,
            hash: d.hash ^ u64::from(d.interface).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(d.tunnel_key) << 20,
            low_port: low.1,
            high_port: high.1,
            interface: d.interface,
            tunnel: d.tunnel_key,
            protocol: d.protocol,
        }
    }
}

impl Key {
    /// Of all that it consists of.
    #[inline]
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }
}

/// ICMP requests that wait for their reply, at most.
const MAX_PENDING: usize = 16;

/// UDP conversations remembered that carried a flow, at most.
const MAX_CARRIERS: usize = 4;

/// The tunnel a flow is in.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    /// Around its first packet.
    pub(super) tunnel: Tunnel,
    /// Who sent that.
    pub(super) sender: Side,
    /// Ends of the UDP conversations that carried it, the smaller one first.
    pub(super) carriers: Vec<[(u128, u16); 2]>,
}

impl Inside {
    /// A packet came through `tunnel`.
    #[inline]
    fn through(&mut self, tunnel: &Tunnel) {
        let (Some((src, dst)), Some((src_port, dst_port))) = (tunnel.outer, tunnel.outer_ports) else { return };
        let (a, b) = ((src, src_port), (dst, dst_port));
        let ends = if a <= b { [a, b] } else { [b, a] };
        if self.carriers.len() < MAX_CARRIERS && !self.carriers.contains(&ends) {
            self.carriers.push(ends);
        }
    }
}

/// What only TCP flows have.
#[derive(Debug, Default)]
pub(super) struct TcpTrack {
    pub(super) analysis: Analysis,
    pub(super) streams: [Stream; 2],
    pub(super) machine: Machine,
    pub(super) profiler: Profiler,
    pub(super) cit: Delays,
    pub(super) syn_at: Option<Nanos>,
    pub(super) syn_ack_at: Option<Nanos>,
    pub(super) rtt: Option<Nanos>,
    pub(super) rtt_client: Option<Nanos>,
    pub(super) rtt_server: Option<Nanos>,
    pub(super) tls_rtt: Option<Nanos>,
    pub(super) deepflow: Option<Box<DeepFlow>>,
    /// Of each side's data, over time.
    pub(super) round_trips: Option<Box<[Series; 2]>>,
    /// The handshake's last packet was seen.
    pub(super) open: bool,
    /// The first FIN or RST: who sent it, and where its data ends.
    ended: Option<(Side, u32)>,
}

impl TcpTrack {
    /// Whether a SYN-ACK of `side` answers another SYN than that of this connection, one that is not in the capture: its number is new,
    /// and what it acknowledges is no SYN of here. If nothing of the other side was seen, it cannot be of a connection that has got on.
    #[cold]
    fn is_answered_anew(&self, side: Side, d: &Decoded) -> bool {
        let (half, other) = (&self.analysis.halves[side.index()], &self.analysis.halves[side.other().index()]);
        let numbered_anew = half.isn.is_some_and(|isn| isn != d.seq);
        match other.isn {
            Some(isn) => numbered_anew && !(1..=MAX_SYN_DATA).contains(&distance(d.ack, isn)),
            None if self.machine.is_over() => half.isn != Some(d.seq),
            None => numbered_anew && half.isn.is_some_and(|isn| distance(half.next(), isn) > 1),
        }
    }

    /// Who ended the connection, if all that it had sent until then was seen.
    pub(super) fn left(&self) -> Option<Side> {
        let (side, end) = self.ended?;
        (side == Side::Client || self.streams[side.index()].has_reached(end)).then_some(side)
    }
}

/// What is kept of a flow's requests when they have been handed on.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) requests: u32,
    pub(super) answered: u32,
    pub(super) errors: u32,
    /// Where they start in the client's sequence space, and their numbers.
    pub(super) starts: Vec<(u32, u32)>,
    /// Of datagrams: when they started, and their numbers.
    pub(super) begun: Vec<(Nanos, u32)>,
}

/// An open flow.
pub struct Track {
    /// Number among the flows of its shard.
    pub(super) number: u32,
    pub(super) key: Key,
    pub(super) decision: Decision,
    pub(super) first: Nanos,
    pub(super) last: Nanos,
    /// Address and port, by side.
    pub(super) ends: [(u128, u16); 2],
    pub(super) macs: [Option<[u8; 6]>; 2],
    pub(super) vlan: u16,
    pub(super) tunnel: Option<Box<Inside>>,
    pub(super) carrier: &'static str,
    pub(super) protocol: u8,
    pub(super) interface: u32,
    pub(super) counters: [SideCounters; 2],
    pub(super) zeek: Zeek,
    pub(super) tcp: Option<Box<TcpTrack>>,
    pub(super) association: Association,
    pub(super) srt: Delays,
    pub(super) art: Delays,
    pub(super) handshake: [u32; 4],
    pub(super) syn_retransmits: u32,
    pub(super) syn_ack_retransmits: u32,
    /// UDP: the client's last datagram, until it is answered.
    asked: Option<Nanos>,
    /// ICMP: requests by id and sequence number.
    pending: VecDeque<(u32, Nanos)>,
    /// UDP and ICMP: the network profile.
    pub(super) turns: Option<Box<Turns>>,
    pub(super) conversation: Option<Box<Conversation>>,
    pub(super) asked_for: Asked,
    /// The sides were turned round after the conversation began.
    pub(super) turned: bool,
    pub(super) completeness: Completeness,
    /// What ICMP errors said of its packets.
    pub(super) told: Option<Box<IcmpErrors>>,
    /// For comparing it with what other places saw.
    pub(super) log: Option<Box<PlaceLog>>,
}

impl std::fmt::Debug for Track {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Track").field("key", &self.key).field("first", &self.first).finish_non_exhaustive()
    }
}

fn mac(frame: &[u8], at: u8) -> Option<[u8; 6]> {
    if at == NO_MAC { None } else { frame.get(usize::from(at)..).and_then(<[u8]>::first_chunk).copied() }
}

impl Track {
    /// A flow that starts with `d`.
    pub(super) fn new(number: u32, key: Key, d: &Decoded, tunnels: &[Tunnel], settings: &Settings) -> Self {
        let decision = decide(d);
        let (from, to) = ((d.src, d.src_port), (d.dst, d.dst_port));
        let ends = if decision.sender == Side::Client { [from, to] } else { [to, from] };
        let handshake = d.flags & f::SYN != 0;
        let mut zeek = Zeek::default();
        let mut completeness = Completeness::default();
        let tcp = (d.protocol == 6).then(|| {
            let mut tcp = Box::<TcpTrack>::default();
            tcp.profiler.begin(d.ts, handshake);
            if !settings.keep.profile {
                tcp.profiler.leave_out_segments();
            }
            if settings.deepflow {
                tcp.deepflow = Some(Box::default());
            }
            tcp
        });
        if d.protocol == 6 && !handshake {
            completeness.add(Completeness::STARTED_BEFORE);
        }
        if decision.sender == Side::Server {
            zeek.flipped();
        }
        let tunnel = d
            .tunnel
            .checked_sub(1)
            .and_then(|i| tunnels.get(i as usize))
            .map(|t| Box::new(Inside { tunnel: *t, sender: decision.sender, carriers: Vec::new() }));
        Self {
            number,
            key,
            decision,
            first: d.ts,
            last: d.ts,
            ends,
            macs: [None; 2],
            vlan: d.vlan,
            tunnel,
            carrier: d.carrier,
            protocol: d.protocol,
            interface: d.interface,
            counters: Default::default(),
            zeek,
            tcp,
            association: Association::default(),
            srt: Delays::default(),
            art: Delays::default(),
            handshake: [0; 4],
            syn_retransmits: 0,
            syn_ack_retransmits: 0,
            asked: None,
            pending: VecDeque::new(),
            // What tunnels carry has profiles of its own.
            turns: (settings.keep.profile && matches!(d.protocol, 17 | 1 | 58) && d.carrier.is_empty())
                .then(|| Box::new(Turns::new(d.ts))),
            conversation: None,
            asked_for: Asked::default(),
            turned: false,
            completeness,
            told: None,
            log: None,
        }
    }

    #[inline]
    fn side_of(&self, d: &Decoded) -> Side {
        if (d.src, d.src_port) == self.ends[0] { Side::Client } else { Side::Server }
    }

    /// How long it may be silent before a packet of the same ends is another flow's. A TCP connection that is silent is not over: its ends
    /// are still bound to it, and if they want to know of each other they ask after two hours (RFC 9293, 3.8.4). One that is over sends
    /// its last packet again for up to a minute.
    pub(super) fn timeout(&self, settings: &Settings) -> Nanos {
        const SECOND: Nanos = 1_000_000_000;
        match &self.tcp {
            Some(tcp) if settings.deepflow => tcp.machine.timeout().nanos(),
            None if settings.deepflow => TimeoutClass::Exception.nanos(),
            Some(tcp) if tcp.machine.is_over() => 60 * SECOND,
            Some(tcp) if tcp.machine.is_opening() => LAST_SYN,
            Some(_) => (2 * 3600 + 15 * 60) * SECOND,
            None => 60 * SECOND,
        }
    }

    /// Which queue of the table it stands in: what is over, what is given up soon, connections.
    #[inline]
    pub(super) fn class(&self) -> u8 {
        match &self.tcp {
            Some(tcp) if tcp.machine.is_over() => 0,
            Some(tcp) if !tcp.machine.is_opening() => 2,
            _ => 1,
        }
    }

    /// Whether it was silent for long when nothing more came until `end`: what DeepFlow calls a time-out.
    pub(super) fn is_silent(&self, end: Nanos, settings: &Settings) -> bool {
        let limit = match &self.tcp {
            Some(tcp) if !tcp.machine.is_over() => TimeoutClass::Established.nanos(),
            _ => self.timeout(settings),
        };
        end.saturating_sub(self.last) >= limit.min(self.timeout(settings))
    }

    /// Whether `d` starts another connection between the same ends.
    #[inline]
    pub(super) fn is_reused_by(&self, d: &Decoded) -> bool {
        if d.protocol == 132 {
            let side = self.side_of(d);
            return self.association.is_reused_by(side, d, self.counters[side.index()].packets > 0);
        }
        let Some(tcp) = &self.tcp else { return false };
        if d.flags & (f::SYN | f::RST | f::FIN) != f::SYN {
            return false;
        }
        let side = self.side_of(d);
        if d.has(f::ACK) {
            return tcp.is_answered_anew(side, d);
        }
        match tcp.analysis.halves[side.index()].isn {
            // A SYN is sent again for 127 s at most: later it is another one, whatever its number.
            Some(_) if side == Side::Client && d.ts.saturating_sub(self.last) > LAST_SYN => true,
            Some(isn) => isn != d.seq && (side == Side::Client || tcp.machine.is_over()),
            // Joined in the middle: a SYN opens another one, except that of a simultaneous open.
            None => tcp.analysis.halves[side.index()].has_seq() || tcp.machine.is_over(),
        }
    }

    /// It is over, or one of many that wait: memory that it has for more than it holds goes to other flows.
    pub(super) fn shrink(&mut self) {
        if let Some(conversation) = &mut self.conversation {
            conversation.shrink();
        }
        self.zeek.shrink();
        self.srt.shrink();
        self.art.shrink();
        self.pending.shrink_to_fit();
        self.asked_for.starts.shrink_to_fit();
        if let Some(tcp) = &mut self.tcp {
            tcp.analysis.shrink();
            tcp.profiler.shrink();
            tcp.cit.shrink();
            tcp.round_trips.iter_mut().flat_map(|both| both.iter_mut()).for_each(Series::shrink);
            tcp.streams.iter_mut().for_each(Stream::shrink);
        }
    }

    /// Bytes held back until what is missing before them comes.
    #[inline]
    pub(super) fn held(&self) -> usize {
        self.tcp.as_ref().map_or(0, |tcp| tcp.streams[0].held_bytes() + tcp.streams[1].held_bytes())
    }

    /// The next packet came through this tunnel.
    #[inline]
    pub(super) fn through(&mut self, tunnel: &Tunnel) {
        if let Some(inside) = &mut self.tunnel {
            inside.through(tunnel);
        }
    }

    /// A packet of this flow that was damaged on its way: it is counted, and nothing in it is believed.
    #[cold]
    pub(super) fn damaged(&mut self, d: &Decoded) {
        let side = self.side_of(d);
        self.last = self.last.max(d.ts);
        let c = &mut self.counters[side.index()];
        c.packets += u64::from(d.packets);
        c.bytes += u64::from(d.wire_len);
        c.ip_bytes += u64::from(d.ip_len);
        c.bad_checksums += u64::from(d.packets);
        c.bad_checksum_ip_bytes += u64::from(d.ip_len);
        self.zeek.wrong_checksum(side);
    }

    /// An ICMP error that quotes a packet of this flow.
    #[cold]
    pub(super) fn notice(&mut self, d: &Decoded, frame: &[u8]) {
        let Some(from) = icmp_error::sender(d, frame) else { return };
        let [kind, code] = d.notice.to_be_bytes();
        let side = self.side_of(d);
        let mtu = Some(d.ack).filter(|mtu| *mtu > 0);
        let first = IcmpErrors { count: 0, ts: d.ts, from, side, kind, code, mtu: None };
        let told = self.told.get_or_insert_with(|| Box::new(first.clone()));
        if !told.is_undelivered() && first.is_undelivered() {
            **told = IcmpErrors { count: told.count, mtu: told.mtu, ..first.clone() };
        }
        told.count = told.count.saturating_add(1);
        told.mtu = [told.mtu, mtu].into_iter().flatten().min();
        // TCP sends again whatever an error says (RFC 5927, 5.2; RFC 1122, 4.2.3.9); who sent a datagram gives it up.
        if first.is_undelivered()
            && matches!(self.protocol, 17 | 1 | 58)
            && let Some(conversation) = &mut self.conversation
        {
            conversation.refused(if self.turned { side.other() } else { side }, d.ts, first.exception());
        }
    }

    /// A packet of this flow. `full`: no more bytes can be held back for gaps to be filled.
    #[inline]
    pub(super) fn packet(&mut self, d: &Decoded, frame: &[u8], settings: &Settings, full: bool, known: &Known) {
        let side = self.side_of(d);
        let i = side.index();
        self.last = self.last.max(d.ts);
        let c = &mut self.counters[i];
        if c.packets == 0 {
            self.macs[i] = mac(frame, d.mac_at);
            // The receiver's address stands in front of the sender's on Ethernet.
            if self.macs[1 - i].is_none() && d.mac_at >= 6 && d.mac_at != NO_MAC && settings.is_ethernet(d.interface) {
                self.macs[1 - i] = mac(frame, d.mac_at - 6);
            }
        }
        c.packets += u64::from(d.packets);
        c.bytes += u64::from(d.wire_len);
        c.ip_bytes += u64::from(d.ip_len);
        c.payload_bytes += u64::from(d.payload_len);
        c.ecn_ce += u32::from(d.ecn == 3);
        let payload = frame
            .get(d.payload_at as usize..)
            .and_then(|p| p.get(..(d.payload_captured as usize).min(p.len())))
            .unwrap_or(&[]);
        match d.protocol {
            6 if !d.cut_header => {
                self.tcp_packet(side, d, frame, payload, settings);
                self.stream(side, d, payload, settings, full, known);
            }
            6 => {}
            17 => self.datagram(side, d, payload, settings),
            132 => self.association.packet(side, d),
            1 | 58 => self.icmp(side, d, frame, settings),
            _ => {}
        }
    }

    fn datagram(&mut self, side: Side, d: &Decoded, payload: &[u8], settings: &Settings) {
        self.zeek.datagram(side);
        match side {
            Side::Client => self.asked = Some(d.ts),
            Side::Server => {
                if let Some(asked) = self.asked.take() {
                    self.art.add(d.ts - asked);
                }
            }
        }
        if d.payload_len > 0 && self.carrier.is_empty() && settings.parse {
            let from = if self.turned { side.other() } else { side };
            self.conversation(settings).data(&Segment {
                from,
                start_ts: d.ts,
                end_ts: d.ts,
                tcp_seq: None,
                point: None,
                data: payload,
                missing: d.payload_len.saturating_sub(payload.len() as u32),
            });
            self.turn_if_proved();
        }
        // The sides may have been turned round by this very datagram.
        let side = self.side_of(d);
        match (&mut self.turns, side) {
            (Some(turns), Side::Client) => turns.client(d.ts, d.payload_len, payload),
            (Some(turns), Side::Server) => turns.server(d.ts, d.payload_len),
            (None, _) => {}
        }
    }

    fn icmp(&mut self, side: Side, d: &Decoded, frame: &[u8], settings: &Settings) {
        // The payload starts behind identifier and sequence number.
        let from = (d.payload_at as usize).saturating_sub(8);
        let to = (d.payload_at as usize).saturating_add(d.payload_captured as usize).min(frame.len());
        let message = frame.get(from..to).unwrap_or(&[]);
        if settings.parse && !message.is_empty() {
            self.conversation(settings).data(&Segment {
                from: side,
                start_ts: d.ts,
                end_ts: d.ts,
                tcp_seq: None,
                point: None,
                data: message,
                missing: d.payload_len.saturating_sub(d.payload_captured),
            });
        }
        let is_request = d.flags & 1 == 1;
        match &mut self.turns {
            Some(turns) if is_request => turns.echo(d.ts, d.seq, d.payload_len),
            Some(turns) if side == Side::Server => turns.echoed(d.ts, d.seq, d.payload_len),
            _ => {}
        }
        if is_request {
            if self.pending.len() >= MAX_PENDING {
                self.pending.pop_front();
            }
            self.pending.push_back((d.seq, d.ts));
        } else if side == Side::Server
            && let Some(place) = self.pending.iter().position(|(seq, _)| *seq == d.seq)
            && let Some((_, asked)) = self.pending.remove(place)
        {
            self.srt.add(d.ts - asked);
        }
    }

    fn conversation(&mut self, settings: &Settings) -> &mut Conversation {
        let ends = if self.turned { [self.ends[1], self.ends[0]] } else { self.ends };
        let transport = crate::decode::transport_of(self.protocol);
        self.conversation.get_or_insert_with(|| {
            Box::new(Conversation::with_options(transport, ends[0].1, ends[1].1, &settings.parse_options))
        })
    }

    /// If the protocol has proved that the sides are the other way round, so be it.
    #[inline]
    fn turn_if_proved(&mut self) {
        // A SYN or its answer is a better proof of who opened the connection than what was said in it.
        if self.turned
            || self.decision.score >= HANDSHAKE_SEEN
            || !self.conversation.as_ref().is_some_and(|c| c.swapped())
        {
            return;
        }
        self.turned = true;
        self.ends.swap(0, 1);
        self.macs.swap(0, 1);
        self.counters.swap(0, 1);
        self.zeek.turn();
        self.decision = Decision { sender: self.decision.sender.other(), score: 90 };
        self.asked = None;
        self.art = Delays::default();
        self.srt = Delays::default();
        if let Some(tcp) = &mut self.tcp {
            tcp.analysis.swap();
            tcp.streams.swap(0, 1);
            tcp.ended = tcp.ended.map(|(side, end)| (side.other(), end));
            if let Some(both) = &mut tcp.round_trips {
                both.swap(0, 1);
            }
            tcp.cit = Delays::default();
            tcp.profiler.begin_again(self.first);
        }
        if let Some(turns) = &mut self.turns {
            **turns = Turns::new(self.first);
        }
        if let Some(tunnel) = &mut self.tunnel {
            tunnel.sender = tunnel.sender.other();
        }
        if let Some(told) = &mut self.told {
            told.side = told.side.other();
        }
    }

    fn tcp_packet(&mut self, side: Side, d: &Decoded, frame: &[u8], payload: &[u8], settings: &Settings) {
        let Some(tcp) = self.tcp.as_deref_mut() else { return };
        let i = side.index();
        self.counters[i].flags |= d.flags;
        let mut scale = None;
        if d.flags & (f::SYN | f::FIN | f::RST) != 0 {
            let (syn, ack) = (d.has(f::SYN), d.has(f::ACK));
            self.handshake[0] += u32::from(syn && !ack);
            self.handshake[1] += u32::from(syn && ack);
            self.handshake[2] += u32::from(d.has(f::FIN));
            self.handshake[3] += u32::from(d.has(f::RST));
            if syn {
                scale = syn_options(d, frame, &mut self.counters[i]);
                tcp.streams[i].start(d.seq.wrapping_add(1));
            }
            if d.flags & (f::FIN | f::RST) != 0 {
                tcp.profiler.ending(d.ts);
                let end = d.seq.wrapping_add(if d.has(f::RST) { 0 } else { d.payload_len });
                tcp.ended.get_or_insert((side, end));
                if d.has(f::FIN) {
                    tcp.streams[i].fin();
                }
            }
        }
        self.zeek.packet(side, d);
        tcp.machine.packet(side, d.flags);
        let verdict = tcp.analysis.packet(side, d, &mut self.counters);
        if let (Some(rtt), true) = (verdict.round_trip, settings.keep.round_trips) {
            // What this side acknowledges is the other's.
            tcp.round_trips.get_or_insert_default()[1 - i].add(d.ts, rtt);
        }
        match verdict.kind {
            Kind::SynRetransmission => self.syn_retransmits += 1,
            Kind::SynAckRetransmission => self.syn_ack_retransmits += 1,
            kind if kind.is_retransmission() => tcp.profiler.retransmission(),
            _ => {}
        }
        tcp.setup(side, d, &self.counters, &verdict);
        if let Some(deepflow) = &mut tcp.deepflow {
            deepflow.packet(side, d, scale);
        }
        tcp.exchange(side, d, payload, &verdict, &mut self.srt, &mut self.art);
    }

    /// The bytes go on to the parsers.
    #[inline]
    fn stream(&mut self, side: Side, d: &Decoded, payload: &[u8], settings: &Settings, full: bool, known: &Known) {
        let data = d.payload_len > 0 && !d.has(f::RST);
        if data && settings.parse && self.conversation.is_none() {
            self.conversation(settings);
        }
        let Some(tcp) = self.tcp.as_deref_mut() else { return };
        let (i, turned) = (side.index(), self.turned);
        let (conversation, zeek) = (&mut self.conversation, &mut self.zeek);
        let limits = if full { Limits { bytes: 0, segments: 0 } } else { Limits::default() };
        // Of a side that the capture never shows nothing can be missing in particular.
        if d.has(f::ACK) && self.counters[1 - i].packets > 0 {
            let other = side.other();
            let over = d.flags & (f::FIN | f::RST) != 0;
            tcp.streams[other.index()].acknowledged(d.ack, d.ts, data, &mut |piece| {
                if matches!(piece, Piece::Gap { .. }) && !over {
                    zeek.gap(other);
                }
                feed(conversation, other, turned, piece);
            });
        }
        if data {
            let seq = d.seq.wrapping_add(u32::from(d.has(f::SYN)));
            let found = known.runs(d, payload);
            let captured = found.is_empty().then_some((0, payload));
            let mut runs = captured.into_iter().chain(found).peekable();
            while let Some((offset, run)) = runs.next() {
                let end = runs.peek().map_or(d.payload_len, |next| next.0);
                tcp.streams[i].segment(seq.wrapping_add(offset), run, end - offset, d.ts, &limits, &mut |piece| {
                    if matches!(piece, Piece::Gap { .. }) {
                        zeek.gap(side);
                    }
                    feed(conversation, side, turned, piece);
                });
            }
            self.turn_if_proved();
        }
    }

    /// No more packets: what is held goes to the parsers.
    pub(super) fn end_streams(&mut self) {
        let Some(tcp) = self.tcp.as_deref_mut() else {
            self.counters.iter_mut().for_each(|c| c.stream_bytes = c.payload_bytes);
            return;
        };
        let conversation = &mut self.conversation;
        for side in [Side::Client, Side::Server] {
            let turned = self.turned;
            tcp.streams[side.index()].finish(self.last, &mut |piece| feed(conversation, side, turned, piece));
            let (counters, stream) = (&mut self.counters[side.index()], &tcp.streams[side.index()]);
            counters.missed_bytes = stream.missed();
            counters.stream_bytes = stream.extent(counters.payload_bytes + counters.missed_bytes);
        }
    }
}

#[inline]
fn feed(conversation: &mut Option<Box<Conversation>>, side: Side, turned: bool, piece: Piece<'_>) {
    let Some(conversation) = conversation else { return };
    let from = if turned { side.other() } else { side };
    match piece {
        Piece::Data { seq, ts, ready, data, missing } => conversation.data(&Segment {
            from,
            start_ts: ts,
            end_ts: ready,
            tcp_seq: Some(seq),
            point: None,
            data,
            missing,
        }),
        Piece::Gap { ts, len, .. } => conversation.gap(from, u64::from(len), ts, Completeness::GAP),
    }
}

/// Options of a SYN into the counters; returns the window scale.
#[cold]
fn syn_options(d: &Decoded, frame: &[u8], counters: &mut SideCounters) -> Option<u8> {
    let at = d.options_at as usize;
    let options = frame.get(at..at + usize::from(d.options_len)).unwrap_or(&[]);
    for (kind, value) in TcpOptions::new(options) {
        match (kind, value) {
            (2, [hi, lo]) => counters.mss = u16::from_be_bytes([*hi, *lo]),
            (3, [scale]) => counters.window_scale = Some(*scale),
            (4, []) => counters.sack_permitted = true,
            _ => {}
        }
    }
    counters.window_scale
}

impl TcpTrack {
    /// The handshake's times.
    #[inline]
    fn setup(&mut self, side: Side, d: &Decoded, counters: &[SideCounters; 2], verdict: &Verdict) {
        if self.open {
            return;
        }
        if d.has(f::SYN) {
            match (side, d.has(f::ACK)) {
                (Side::Client, false) => {
                    self.syn_at.get_or_insert(d.ts);
                }
                // Both opened at once: the client answers the server's SYN, too.
                (Side::Client, true) => self.rtt_client = self.rtt_client.or(verdict.round_trip),
                (Side::Server, true) if self.syn_ack_at.is_none() => {
                    self.syn_ack_at = Some(d.ts);
                    self.rtt_server = self.syn_at.map(|syn| d.ts - syn);
                }
                (Side::Server, _) => {}
            }
            if side == Side::Server {
                self.analysis.scale(counters[0].window_scale, counters[1].window_scale);
            }
            if let (Some(client), Some(server)) = (self.rtt_client, self.rtt_server) {
                self.open = true;
                self.rtt = Some(client + server);
                self.profiler.established(d.ts);
            }
            return;
        }
        if side == Side::Client && d.has(f::ACK) && !d.has(f::RST) {
            self.open = true;
            if let Some(answered) = self.syn_ack_at
                && self.analysis.halves[1].isn.is_some_and(|isn| distance(d.ack, isn) > 0)
            {
                self.rtt_client = Some(d.ts - answered);
                self.rtt = self.syn_at.map(|syn| d.ts - syn);
                self.profiler.established(d.ts);
            } else if counters[Side::Server.index()].packets == 0
                && self.analysis.halves[0].isn.is_some_and(|isn| d.seq == isn.wrapping_add(1))
            {
                // Nothing of the server is in the capture; what answers its SYN-ACK is known all the same.
                self.rtt = self.syn_at.map(|syn| d.ts - syn);
                self.profiler.established(d.ts);
            }
        }
    }

    /// Requests and responses, as the profile cuts them.
    #[inline]
    fn exchange(&mut self, side: Side, d: &Decoded, payload: &[u8], v: &Verdict, srt: &mut Delays, art: &mut Delays) {
        let mut sample = None;
        if v.new_data && !d.has(f::RST) {
            sample = match side {
                Side::Client => self.profiler.client_data(d.ts, d.seq, d.payload_len, payload),
                Side::Server => self.profiler.server_data(d.ts, d.payload_len),
            };
        } else if side == Side::Server && d.payload_len == 0 && d.flags & (f::SYN | f::FIN | f::RST) == 0 {
            if v.all_acked {
                self.profiler.server_ack(d.ts);
            }
            if let Some(rtt) = v.round_trip
                && self.open
            {
                srt.add(rtt);
            }
        }
        match sample {
            Some(Sample::ApplicationResponse(ns)) => art.add(ns),
            Some(Sample::ClientIdle(ns)) => self.cit.add(ns),
            Some(Sample::TlsRoundTrip(ns)) => {
                self.tls_rtt.get_or_insert(ns);
            }
            None => {}
        }
    }
}
