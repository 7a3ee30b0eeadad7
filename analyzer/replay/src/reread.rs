//! A second look at the captures: packets with their bytes, numbered and placed as the first reading placed them.
//!
//! Rows of the first reading say what there is; exports and per-packet tables want the packets themselves. They are read again
//! rather than kept: a capture may be far larger than memory.

use crate::decode::{ASSEMBLED, Decoded, Defragmenter, Frame, Output, Tunnel, TunnelKind, decode};
use crate::engine::{Interfaces, ReplayError, in_order};
use crate::filter::{Before, Filter, Truth};
use crate::model::{Flow, Nanos, ObservedAt, Transport};
use crate::order::{ip_from_number, ip_number};
use ahash::AHashMap;
use formats::pcapng::InterfaceDesc;
use formats::read::{FormatKind, Reader};
use std::net::IpAddr;
use std::path::PathBuf;

/// LINKTYPE_ETHERNET.
const ETHERNET: u16 = 1;
/// Fragments held for datagrams that are not whole, in bytes at most.
const MAX_HELD: usize = 64 << 20;

/// A packet of the captures.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Its capture, in the order of reading.
    pub input: usize,
    /// Number in its capture, from 1, as Wireshark numbers frames.
    pub number: u64,
    /// UTC ns.
    pub ts: Nanos,
    /// Length on the wire.
    pub wire_len: u32,
    /// 0 unknown, 1 in, 2 out.
    pub direction: u8,
    /// The capture holds its packets in their order; a bundle's are those of several CPUs.
    pub is_ordered: bool,
    /// Interface of the replay.
    pub interface: u32,
    /// What the capture says of the interface.
    pub desc: &'a InterfaceDesc,
    /// Captured bytes.
    pub bytes: &'a [u8],
    /// The bytes that `rows` refer to: those captured, or the whole datagram behind its last fragment.
    pub frame: &'a [u8],
    /// What it is a packet of. An earlier fragment bears the rows of its datagram.
    pub rows: &'a [Decoded],
    /// Tunnels that rows refer to.
    pub tunnels: &'a [Tunnel],
    /// Fragment whose datagram is told with its last one.
    pub is_part: bool,
}

struct Held {
    number: u64,
    ts: Nanos,
    wire_len: u32,
    direction: u8,
    interface: u32,
    in_file: u32,
    bytes: Vec<u8>,
}

impl Held {
    fn packet<'a>(&'a self, input: usize, desc: &'a InterfaceDesc) -> Packet<'a> {
        Packet {
            input,
            number: self.number,
            ts: self.ts,
            wire_len: self.wire_len,
            direction: self.direction,
            is_ordered: true,
            interface: self.interface,
            desc,
            bytes: &self.bytes,
            frame: &self.bytes,
            rows: &[],
            tunnels: &[],
            is_part: true,
        }
    }
}

/// Hands every packet that passes `filter` to `visit`, in the order of the files; fragments when their datagram is whole, or at the end.
/// Those that `wanted` says no to, by their interface, link type and bytes, are passed over undecoded: fragments must be wanted.
/// Returns the inputs in the order of reading.
///
/// # Errors
/// If an input cannot be opened, is no capture, or is standard input, which cannot be read again; and those of `visit`.
pub fn reread<E: From<ReplayError>>(
    inputs: &[PathBuf],
    filter: Option<&Filter>,
    wanted: &dyn Fn(u32, u16, &[u8]) -> bool,
    visit: &mut dyn FnMut(&Packet<'_>) -> Result<(), E>,
) -> Result<Vec<PathBuf>, E> {
    if inputs.iter().any(|p| p.as_os_str() == "-") {
        return Err(ReplayError::NotAgain.into());
    }
    let (inputs, _) = in_order(inputs)?;
    let mut interfaces = Interfaces::default();
    let mut clock = Nanos::MIN;
    for (input, path) in inputs.iter().enumerate() {
        let mut reader = Reader::open(path).map_err(ReplayError::from)?;
        let mut look =
            Look { out: Output::default(), fragments: Defragmenter::default(), held: AHashMap::new(), bytes: 0 };
        let (mut number, mut is_first) = (0, true);
        let is_ordered = reader.format().kind != FormatKind::Bundle;
        while let Some(batch) = reader.next_batch() {
            if is_first {
                let name = reader.name().rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
                interfaces.new_input(&name, batch.packets.first().map(|p| p.ts), clock);
                is_first = false;
            }
            let offset = reader.realtime_offset_ns().unwrap_or(0);
            interfaces.learn(reader.interfaces(), reader.manifest(), offset);
            let descs = reader.interfaces();
            for p in &batch.packets {
                number += 1;
                clock = clock.max(p.ts);
                let Some(((interface, link_type), desc)) =
                    interfaces.get(p.interface).zip(descs.get(p.interface as usize))
                else {
                    continue;
                };
                let bytes = batch.data(p);
                if !wanted(interface, link_type, bytes) {
                    continue;
                }
                let frame = Frame { bytes, wire_len: p.wire_len, ts: p.ts, interface, link_type, index: 0, packets: 1 };
                let packet = Packet {
                    input,
                    number,
                    ts: p.ts,
                    wire_len: p.wire_len,
                    direction: p.direction,
                    is_ordered,
                    interface,
                    desc,
                    bytes: frame.bytes,
                    frame: frame.bytes,
                    rows: &[],
                    tunnels: &[],
                    is_part: false,
                };
                look.at(&frame, &packet, p.interface, descs, filter, visit)?;
            }
        }
        look.end(input, reader.interfaces(), filter, visit)?;
    }
    Ok(inputs)
}

struct Look {
    out: Output,
    fragments: Defragmenter,
    held: AHashMap<u64, Vec<Held>>,
    bytes: usize,
}

impl Look {
    fn at<E>(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet<'_>,
        in_file: u32,
        descs: &[InterfaceDesc],
        filter: Option<&Filter>,
        visit: &mut dyn FnMut(&Packet<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.out.clear();
        let before = Before::of(&self.out);
        decode(frame, &mut self.out);
        self.out.leave_out_notices();
        let truth = filter.map_or(Truth::Yes, |f| f.sift(frame, packet.direction, &mut self.out, before));
        let Some(fragment) = self.out.fragments.pop() else {
            return if truth == Truth::Yes {
                visit(&Packet { rows: &self.out.packets, tunnels: &self.out.tunnels, ..*packet })
            } else {
                Ok(())
            };
        };
        let datagram = fragment.datagram();
        let whole = self.fragments.add(&fragment, frame.bytes, &mut Vec::new());
        let held = Held {
            number: packet.number,
            ts: packet.ts,
            wire_len: packet.wire_len,
            direction: packet.direction,
            interface: packet.interface,
            in_file,
            bytes: frame.bytes.to_vec(),
        };
        let Some(whole) = whole else {
            if self.bytes + held.bytes.len() <= MAX_HELD {
                self.bytes += held.bytes.len();
                self.held.entry(datagram).or_default().push(held);
            } else if truth == Truth::Yes {
                visit(&Packet { is_part: true, ..*packet })?;
            }
            return Ok(());
        };
        self.out.clear();
        let assembled = whole.frame(packet.ts, packet.interface, ASSEMBLED);
        let before = Before::of(&self.out);
        decode(&assembled, &mut self.out);
        self.out.leave_out_notices();
        let truth = filter.map_or(Truth::Yes, |f| f.sift(&assembled, packet.direction, &mut self.out, before));
        let parts = self.held.remove(&datagram).unwrap_or_default();
        self.bytes -= parts.iter().map(|p| p.bytes.len()).sum::<usize>();
        if truth != Truth::Yes {
            return Ok(());
        }
        let (rows, tunnels) = (&*self.out.packets, &*self.out.tunnels);
        for part in &parts {
            if let Some(desc) = descs.get(part.in_file as usize) {
                visit(&Packet { rows, tunnels, ..part.packet(packet.input, desc) })?;
            }
        }
        visit(&Packet { rows, tunnels, frame: &whole.bytes, ..*packet })
    }

    /// Fragments whose datagram never became whole are judged alone.
    fn end<E>(
        &mut self,
        input: usize,
        descs: &[InterfaceDesc],
        filter: Option<&Filter>,
        visit: &mut dyn FnMut(&Packet<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest: Vec<Held> = std::mem::take(&mut self.held).into_values().flatten().collect();
        rest.sort_by_key(|h| h.number);
        for h in &rest {
            let Some(desc) = descs.get(h.in_file as usize) else { continue };
            self.out.clear();
            let frame = Frame {
                bytes: &h.bytes,
                wire_len: h.wire_len,
                ts: h.ts,
                interface: h.interface,
                link_type: desc.link_type,
                index: 0,
                packets: 1,
            };
            let passes = |f: &Filter| f.packet(&frame, h.direction, &self.out, Before::of(&self.out)) == Truth::Yes;
            if filter.is_none_or(passes) {
                visit(&h.packet(input, desc))?;
            }
        }
        Ok(())
    }
}

/// Interface, protocol, lower and higher end: what packets of a conversation have in common.
type Ends = (u32, u8, (u128, u16), (u128, u16));

/// Finds the flow that a packet belongs to.
#[derive(Debug, Default)]
pub struct FlowIndex {
    /// Places in the flows, by start.
    by_ends: AHashMap<Ends, Vec<u32>>,
    /// Bits of what is in `by_ends` of TCP over IPv4: see [`bit`].
    seen: Box<[u64]>,
}

/// Words of [`FlowIndex::seen`].
const WORDS: usize = 64;

/// Word and bit of a conversation, the same for both directions.
fn bit(a: (u32, u16), b: (u32, u16)) -> (usize, u64) {
    let end = |(ip, port): (u32, u16)| (u64::from(ip) << 16 | u64::from(port)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = end(a).wrapping_add(end(b)) >> 40;
    (mixed as usize / 64 % WORDS, 1 << (mixed % 64))
}

/// The ends of a TCP segment that stands behind the plainest headers there are: Ethernet, then IPv4 without options, and no fragment.
fn plain_tcp(link_type: u16, frame: &[u8]) -> Option<((u32, u16), (u32, u16))> {
    let frame: &[u8; 38] = frame.first_chunk().filter(|_| link_type == ETHERNET)?;
    let short = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let long = |at: usize| u32::from(short(at)) << 16 | u32::from(short(at + 2));
    if short(12) != 0x0800 || frame[14] != 0x45 || short(20) & 0x3fff != 0 || frame[23] != 6 {
        return None;
    }
    Some(((long(26), short(34)), (long(30), short(36))))
}

fn ends(interface: u32, protocol: u8, a: (u128, u16), b: (u128, u16)) -> Ends {
    if a <= b { (interface, protocol, a, b) } else { (interface, protocol, b, a) }
}

fn protocol(transport: Transport) -> Option<u8> {
    Some(match transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Icmp => 1,
        Transport::Icmp6 => 58,
        Transport::Sctp => 132,
        Transport::Other(p) => p,
        Transport::Unix => return None,
    })
}

impl FlowIndex {
    /// Of the flows that `choose` wants, among those seen at interfaces.
    #[must_use]
    pub fn new(flows: &[Flow], choose: impl Fn(&Flow) -> bool) -> Self {
        let mut by_ends: AHashMap<Ends, Vec<u32>> = AHashMap::new();
        let mut seen = vec![0; WORDS].into_boxed_slice();
        for (place, flow) in flows.iter().enumerate().filter(|(_, f)| choose(f)) {
            let ObservedAt::Interface(interface) = flow.observed_at else { continue };
            let e = &flow.endpoints;
            let (Some(protocol), Some(client), Some(server)) = (protocol(flow.transport), e.client_ip, e.server_ip)
            else {
                continue;
            };
            let key = ends(interface, protocol, (ip_number(client), e.client_port), (ip_number(server), e.server_port));
            by_ends.entry(key).or_default().push(place as u32);
            if let (IpAddr::V4(client), IpAddr::V4(server)) = (client.to_canonical(), server.to_canonical()) {
                let (word, bit) = bit((client.to_bits(), e.client_port), (server.to_bits(), e.server_port));
                if let Some(word) = seen.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        Self { by_ends, seen }
    }

    /// Whether a packet may be one of the flows': no only where that is plain to see in its headers.
    #[must_use]
    #[inline]
    pub fn may_have(&self, interface: u32, link_type: u16, frame: &[u8]) -> bool {
        let Some((a, b)) = plain_tcp(link_type, frame) else { return true };
        let (word, bit) = bit(a, b);
        let number = |(ip, port): (u32, u16)| (ip_number(IpAddr::V4(ip.into())), port);
        self.seen.get(word).is_some_and(|word| word & bit != 0)
            && self.by_ends.contains_key(&ends(interface, 6, number(a), number(b)))
    }

    /// Whether no flow was chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_ends.is_empty()
    }

    /// The flow of a row: that of the same ends and tunnel which was open at its time, or nearest to it; of two the later one.
    #[must_use]
    pub fn find<'f>(&self, flows: &'f [Flow], d: &Decoded, tunnels: &[Tunnel]) -> Option<&'f Flow> {
        let key = ends(d.interface, d.protocol, (d.src, d.src_port), (d.dst, d.dst_port));
        let tunnel = (d.tunnel as usize).checked_sub(1).and_then(|n| tunnels.get(n));
        // As `Tunnel::key` tells tunnels apart: TEIDs and keys are another one for each direction.
        let same_tunnel = |f: &Flow| match tunnel {
            None => f.tunnel.is_empty(),
            Some(t) => {
                let one_id = !t.kinds.iter().any(|k| matches!(k, TunnelKind::Gtp | TunnelKind::Gre));
                t.names() == *f.tunnel && (!one_id || f.tunnel_id == t.id)
            }
        };
        let candidates = self.by_ends.get(&key)?.iter().rev().filter_map(|&place| flows.get(place as usize));
        // Where the capture's clock goes back, a packet may lie outside of its flow's times.
        let away = |f: &&Flow| (f.start.saturating_sub(d.ts)).max(d.ts.saturating_sub(f.end)).max(0);
        candidates.filter(|f| same_tunnel(f)).min_by_key(away)
    }
}

/// Whether a row was sent by the flow's client.
#[must_use]
pub fn is_from_client(flow: &Flow, d: &Decoded) -> bool {
    flow.endpoints.client_ip == Some(ip_from_number(d.src)) && flow.endpoints.client_port == d.src_port
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use crate::flow::{FlowTable, Settings};
    use proptest::prelude::*;

    /// An Ethernet frame with a TCP segment, by hand.
    fn frame(src: [u8; 4], dst: [u8; 4], ports: [u16; 2], first: u8, fragment: u16, protocol: u8) -> Vec<u8> {
        let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, first, 0, 0, 40, 0, 1];
        f.extend(fragment.to_be_bytes());
        f.extend([64, protocol, 0, 0]);
        f.extend(src);
        f.extend(dst);
        f.extend(ports.into_iter().flat_map(u16::to_be_bytes));
        f.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 16, 0, 0, 0, 0, 0]);
        f
    }

    fn flow_of(bytes: &[u8]) -> Option<Flow> {
        let mut out = Output::default();
        let at = Frame { bytes, wire_len: bytes.len() as u32, ts: 5, interface: 0, link_type: 1, index: 0, packets: 1 };
        decode(&at, &mut out);
        let (mut table, settings) = (FlowTable::default(), Settings { max_flows: 8, ..Settings::default() });
        let d = *out.packets.first()?;
        table.packet(&d, bytes, &[], &settings);
        table.finish(9, &settings);
        table.finished.flows.pop()
    }

    proptest! {
        /// What is passed over undecoded is never a packet of a chosen flow.
        #[test]
        fn no_packet_of_a_chosen_flow_is_passed_over(
            hosts in prop::array::uniform2(0u8..4),
            ports in prop::array::uniform2(1u16..4),
            other in prop::array::uniform2(0u8..4),
            other_ports in prop::array::uniform2(1u16..4),
            back: bool,
        ) {
            let ip = |n: u8| [10, 0, 0, n];
            let chosen = frame(ip(hosts[0]), ip(hosts[1]), ports, 0x45, 0, 6);
            let Some(flow) = flow_of(&chosen) else { return Ok(()) };
            let flows = [flow];
            let index = FlowIndex::new(&flows, |_| true);
            let (a, b) = if back { (1, 0) } else { (0, 1) };
            let packet = frame(ip(other[a]), ip(other[b]), [other_ports[a], other_ports[b]], 0x45, 0, 6);
            let mut out = Output::default();
            let at = Frame {
                bytes: &packet, wire_len: packet.len() as u32, ts: 6, interface: 0, link_type: 1, index: 0, packets: 1,
            };
            decode(&at, &mut out);
            let found = out.packets.first().is_some_and(|d| index.find(&flows, d, &[]).is_some());
            prop_assert_eq!(index.may_have(0, 1, &packet), found);
            // Whatever is less plain is looked at.
            for odd in [frame(ip(9), ip(8), [1, 2], 0x46, 0, 6), frame(ip(9), ip(8), [1, 2], 0x45, 0x2000, 6),
                frame(ip(9), ip(8), [1, 2], 0x45, 0, 17), packet[..37].to_vec()] {
                prop_assert!(index.may_have(0, 1, &odd));
            }
            prop_assert!(index.may_have(0, 101, &packet));
        }
    }
}
