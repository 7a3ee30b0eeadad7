//! What a filter may ask about: the frame's own headers, and the addresses and ports of everything inside.

use crate::decode::{Decoded, Frame, Tunnel, TunnelKind, transport_of};
use crate::model::Transport;
use crate::order::MAPPED;

/// Tags and labels looked at, at most.
const MAX_TAGS: usize = 8;

/// Ports of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ports {
    /// Its protocol has none.
    #[default]
    None,
    /// Sender's and receiver's.
    Known(u16, u16),
    /// Its protocol has them, but they are in another fragment or cut off.
    Elsewhere,
}

/// What carries addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    V4,
    V6,
    Arp,
    Rarp,
}

/// One network layer of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    pub(super) network: Network,
    /// As [`crate::order::ip_number`] has them.
    pub(super) src: u128,
    pub(super) dst: u128,
    /// IP protocol; `None` where it is not known (outer layers of some tunnels) or does not apply.
    pub(super) protocol: Option<u8>,
    pub(super) ports: Ports,
}

fn network_of(address: u128) -> Network {
    if address >> 32 == MAPPED >> 32 { Network::V4 } else { Network::V6 }
}

/// Everything that is known of one packet or socket event.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts<'a> {
    /// Captured bytes, empty for socket events.
    pub(super) bytes: &'a [u8],
    /// Length on the wire; `None` for socket events.
    pub(super) wire_len: Option<u32>,
    /// 0 unknown, 1 in, 2 out.
    pub(super) direction: u8,
    pub(super) mac_dst: Option<[u8; 6]>,
    pub(super) mac_src: Option<[u8; 6]>,
    /// Ethertype in front of the network layer, tags and labels passed over; 0 if there is none.
    pub(super) ethertype: u16,
    /// The first one of the frame, tags included.
    pub(super) first_ethertype: u16,
    pub(super) vlans: [u16; MAX_TAGS],
    pub(super) vlan_count: usize,
    pub(super) labels: [u32; MAX_TAGS],
    pub(super) label_count: usize,
    pub(super) pppoe: Option<u16>,
    /// Where the network layer starts.
    pub(super) network_at: Option<usize>,
    /// Where the transport starts, in a packet that has its beginning.
    pub(super) transport_at: Option<usize>,
    pub(super) outermost: Option<Layer>,
    /// What decoding found in it.
    pub(super) rows: &'a [Decoded],
    pub(super) tunnels: &'a [Tunnel],
    /// The frame was cut before its headers ended.
    pub(super) is_cut: bool,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).and_then(|b| b.first_chunk()).map(|b| u16::from_be_bytes(*b))
}

fn mac(bytes: &[u8], at: usize) -> Option<[u8; 6]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn address(bytes: &[u8]) -> u128 {
    let number = bytes.iter().fold(0u128, |n, &byte| n << 8 | u128::from(byte));
    if bytes.len() == 4 { MAPPED | number } else { number }
}

impl<'a> Facts<'a> {
    /// Of a frame with what decoding found in it.
    pub(super) fn of_frame(frame: &Frame<'a>, direction: u8, rows: &'a [Decoded], tunnels: &'a [Tunnel]) -> Self {
        let mut facts =
            Self { bytes: frame.bytes, wire_len: Some(frame.wire_len), direction, rows, tunnels, ..Self::default() };
        if facts.link(frame.link_type).is_none() {
            facts.is_cut = true;
        }
        facts
    }

    /// All network layers from outside in. The outermost one may come twice.
    pub(super) fn layers(&self) -> impl Iterator<Item = Layer> + '_ {
        let rows = self.rows.iter().map(|d| {
            let ports = match transport_of(d.protocol) {
                Transport::Tcp | Transport::Udp | Transport::Sctp => Ports::Known(d.src_port, d.dst_port),
                _ => Ports::None,
            };
            Layer { network: network_of(d.src), src: d.src, dst: d.dst, protocol: Some(d.protocol), ports }
        });
        let outer = self.rows.iter().filter_map(|d| {
            let (src, dst) = self.tunnel(d)?.outer?;
            Some(Layer { network: network_of(src), src, dst, protocol: None, ports: Ports::None })
        });
        self.outermost.into_iter().chain(rows).chain(outer)
    }

    fn tunnel(&self, d: &Decoded) -> Option<&'a Tunnel> {
        self.tunnels.get((d.tunnel as usize).checked_sub(1)?)
    }

    /// Whether something in it came through a tunnel of these kinds, of this id if one is given.
    pub(super) fn is_in(&self, kinds: &[TunnelKind], id: Option<u64>) -> bool {
        self.rows.iter().filter_map(|d| self.tunnel(d)).any(|t| {
            t.kinds.iter().take(usize::from(t.depth)).any(|k| kinds.contains(k)) && (id.is_none() || t.id == id)
        })
    }

    /// Link layers by LINKTYPE_*; of those that are not here decoding's rows tell what there is to know.
    fn link(&mut self, link_type: u16) -> Option<()> {
        match link_type {
            1 => {
                self.mac_dst = mac(self.bytes, 0);
                self.mac_src = mac(self.bytes, 6);
                self.network(be16(self.bytes, 12)?, 14)
            }
            12 | 14 | 101 | 228 | 229 => self.by_version(0),
            0 | 108 => self.by_version(4),
            113 => {
                self.cooked(be16(self.bytes, 0)?);
                if be16(self.bytes, 4)? == 6 {
                    self.mac_src = mac(self.bytes, 6);
                }
                self.network(be16(self.bytes, 14)?, 16)
            }
            276 => {
                self.cooked(u16::from(*self.bytes.get(10)?));
                if *self.bytes.get(11)? == 6 {
                    self.mac_src = mac(self.bytes, 12);
                }
                self.network(be16(self.bytes, 0)?, 20)
            }
            9 | 50 => self.ppp(0),
            104 => self.network(be16(self.bytes, 2)?, 4),
            _ => Some(()),
        }
    }

    /// A cooked header's packet type says which way it went, where nothing else does: 4 is PACKET_OUTGOING.
    fn cooked(&mut self, packet_type: u16) {
        if self.direction == 0 {
            self.direction = if packet_type == 4 { 2 } else { 1 };
        }
    }

    fn ppp(&mut self, at: usize) -> Option<()> {
        let at = if self.bytes.get(at..at + 2)? == [0xff, 3] { at + 2 } else { at };
        let first = *self.bytes.get(at)?;
        let (protocol, at) = if first & 1 == 1 { (u16::from(first), at + 1) } else { (be16(self.bytes, at)?, at + 2) };
        match protocol {
            0x0021 => self.network(0x0800, at),
            0x0057 => self.network(0x86dd, at),
            _ => Some(()),
        }
    }

    fn by_version(&mut self, at: usize) -> Option<()> {
        match self.bytes.get(at)? >> 4 {
            4 => self.network(0x0800, at),
            6 => self.network(0x86dd, at),
            _ => Some(()),
        }
    }

    /// From an ethertype on: tags and labels are noted and passed over.
    fn network(&mut self, mut ethertype: u16, mut at: usize) -> Option<()> {
        self.first_ethertype = ethertype;
        self.network_at = Some(at);
        loop {
            self.ethertype = ethertype;
            match ethertype {
                0x8100 | 0x88a8 | 0x9100 if self.vlan_count < MAX_TAGS => {
                    let tag = be16(self.bytes, at)?;
                    self.vlans[self.vlan_count] = tag & 0xfff;
                    self.vlan_count += 1;
                    ethertype = be16(self.bytes, at + 2)?;
                    at += 4;
                    self.network_at = Some(at);
                }
                0x8847 | 0x8848 if self.label_count < MAX_TAGS => {
                    let b: &[u8; 4] = self.bytes.get(at..)?.first_chunk()?;
                    self.labels[self.label_count] = u32::from_be_bytes(*b) >> 12;
                    self.label_count += 1;
                    at += 4;
                    if b[2] & 1 == 1 {
                        return self.by_version(at);
                    }
                }
                0x8864 => {
                    self.pppoe = be16(self.bytes, at + 2);
                    self.ppp(at + 6)?;
                    self.first_ethertype = 0x8864;
                    return Some(());
                }
                0x0806 | 0x8035 => return self.arp(ethertype, at),
                0x0800 => return self.ipv4(at),
                0x86dd => return self.ipv6(at),
                _ => return Some(()),
            }
        }
    }

    /// RFC 826, of Ethernet and IPv4.
    fn arp(&mut self, ethertype: u16, at: usize) -> Option<()> {
        let b: &[u8; 28] = self.bytes.get(at..)?.first_chunk()?;
        if b[2..6] != [8, 0, 6, 4] {
            return Some(());
        }
        let network = if ethertype == 0x0806 { Network::Arp } else { Network::Rarp };
        let (src, dst) = (address(&b[14..18]), address(&b[24..28]));
        self.outermost = Some(Layer { network, src, dst, protocol: None, ports: Ports::None });
        Some(())
    }

    fn ipv4(&mut self, at: usize) -> Option<()> {
        let b: &[u8; 20] = self.bytes.get(at..)?.first_chunk()?;
        let (src, dst) = (address(&b[12..16]), address(&b[16..20]));
        let is_first = u16::from_be_bytes([b[6], b[7]]) & 0x1fff == 0;
        self.transport(Network::V4, src, dst, b[9], at + usize::from(b[0] & 15) * 4, is_first)
    }

    fn ipv6(&mut self, at: usize) -> Option<()> {
        let b: &[u8; 40] = self.bytes.get(at..)?.first_chunk()?;
        let (src, dst) = (address(&b[8..24]), address(&b[24..40]));
        let (mut next, mut at, mut is_first) = (b[6], at + 40, true);
        for _ in 0..MAX_TAGS {
            let len = match next {
                0 | 43 | 60 | 135 | 139 | 140 => (usize::from(*self.bytes.get(at + 1)?) + 1) * 8,
                44 => {
                    is_first &= be16(self.bytes, at + 2)? & 0xfff8 == 0;
                    8
                }
                _ => break,
            };
            next = *self.bytes.get(at)?;
            at += len;
        }
        self.transport(Network::V6, src, dst, next, at, is_first)
    }

    fn transport(
        &mut self,
        network: Network,
        src: u128,
        dst: u128,
        protocol: u8,
        at: usize,
        is_first: bool,
    ) -> Option<()> {
        let ports = match (protocol, is_first) {
            (6 | 17 | 132, true) => match (be16(self.bytes, at), be16(self.bytes, at + 2)) {
                (Some(src), Some(dst)) => Ports::Known(src, dst),
                _ => Ports::Elsewhere,
            },
            (6 | 17 | 132, false) => Ports::Elsewhere,
            _ => Ports::None,
        };
        if is_first {
            self.transport_at = Some(at);
        }
        self.outermost = Some(Layer { network, src, dst, protocol: Some(protocol), ports });
        Some(())
    }
}
