//! Packets in packets: VXLAN (RFC 7348) and VXLAN-GPE, NSH (RFC 8300), Geneve (RFC 8926), GRE (RFC 2784, 2890) with
//! Ethernet, ERSPAN and PPTP inside, IP in IP (RFC 2003, 4213), GTP-U (3GPP TS 29.281), Teredo (RFC 4380), AYIYA, CAPWAP (RFC 5415).

use super::internet::Ip;
use super::{Reason, Walk};
use crate::order::ip_from_number;
use std::net::IpAddr;

/// Kind of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the protocols' names")]
pub enum TunnelKind {
    #[default]
    None,
    Vxlan,
    VxlanGpe,
    Nsh,
    Geneve,
    Gre,
    Erspan,
    IpInIp,
    SixInFour,
    FourInSix,
    SixInSix,
    Gtp,
    Teredo,
    Ayiya,
    Capwap,
    EtherIp,
    Mpls,
    L2tp,
    Tzsp,
}

impl TunnelKind {
    /// As in the tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Vxlan => "vxlan",
            Self::VxlanGpe => "vxlan-gpe",
            Self::Nsh => "nsh",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Erspan => "erspan",
            Self::IpInIp => "ipip",
            Self::SixInFour => "6in4",
            Self::FourInSix => "4in6",
            Self::SixInSix => "6in6",
            Self::Gtp => "gtp",
            Self::Teredo => "teredo",
            Self::Ayiya => "ayiya",
            Self::Capwap => "capwap",
            Self::EtherIp => "etherip",
            Self::Mpls => "mpls",
            Self::L2tp => "l2tp",
            Self::Tzsp => "tzsp",
        }
    }
}

/// Tunnels that are told apart at most; deeper ones are decoded without being named.
const MAX_NAMED: usize = 4;

/// The tunnels around a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    /// From outside in.
    pub kinds: [TunnelKind; MAX_NAMED],
    /// How many.
    pub depth: u8,
    /// Id of the innermost one that has an id: VNI, key, TEID, session.
    pub id: Option<u64>,
    /// Outer addresses of the innermost one, sender first.
    pub outer: Option<(u128, u128)>,
    /// If that is inside of UDP, the datagram's ports.
    pub outer_ports: Option<(u16, u16)>,
}

impl Tunnel {
    /// Names from outside in, joined by `/`.
    #[must_use]
    pub fn names(&self) -> String {
        self.kinds.iter().take(usize::from(self.depth)).map(|k| k.name()).collect::<Vec<_>>().join("/")
    }

    /// Outer addresses, sender's first.
    #[must_use]
    pub fn outer_ips(&self) -> Option<(IpAddr, IpAddr)> {
        self.outer.map(|(src, dst)| (ip_from_number(src), ip_from_number(dst)))
    }

    /// What tells the same addresses in two tunnels apart, the same for both directions (so without TEIDs, which differ). Never 0.
    #[must_use]
    pub fn key(&self) -> u32 {
        let kinds = self.kinds.iter().fold(0u64, |n, &k| n << 8 | k as u64);
        let one_id = self.kinds.iter().all(|k| !matches!(k, TunnelKind::Gtp | TunnelKind::Gre | TunnelKind::L2tp));
        let id = if one_id { self.id.unwrap_or(0) } else { 0 };
        let mixed = (kinds << 32 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as u32 | 1
    }
}

impl Walk<'_, '_> {
    /// Enters a tunnel.
    pub(super) fn enter(&mut self, kind: TunnelKind, id: Option<u64>, ip: Option<&Ip>) -> Result<(), Reason> {
        self.deeper()?;
        if let Some(slot) = self.tunnel.kinds.get_mut(usize::from(self.tunnel.depth)) {
            *slot = kind;
            self.tunnel.depth += 1;
        }
        if id.is_some() {
            self.tunnel.id = id;
        }
        if let Some(ip) = ip {
            self.tunnel.outer = Some((ip.src, ip.dst));
            self.tunnel.outer_ports = self.udp_ports.take();
        }
        Ok(())
    }

    pub(super) fn nsh(&mut self, at: usize) -> Result<(), Reason> {
        let b = self.bytes::<8>(at)?;
        let len = usize::from(b[1] & 0x3f) * 4;
        if len < 8 {
            return Err("bad_tunnel_header");
        }
        self.enter(TunnelKind::Nsh, None, None)?;
        match b[3] {
            1 => self.ipv4(at + len),
            2 => self.ipv6(at + len),
            3 => self.ethernet(at + len),
            4 => self.nsh(at + len),
            _ => Err("tunnel_payload"),
        }
    }

    pub(super) fn ip_tunnel(&mut self, protocol: u8, ip: &Ip) -> Result<(), Reason> {
        let outer_is_v4 = ip.src >> 32 == 0xffff;
        match protocol {
            4 => {
                let kind = if outer_is_v4 { TunnelKind::IpInIp } else { TunnelKind::FourInSix };
                self.enter(kind, None, Some(ip))?;
                self.ipv4(ip.body_at)
            }
            41 => {
                let kind = if outer_is_v4 { TunnelKind::SixInFour } else { TunnelKind::SixInSix };
                self.enter(kind, None, Some(ip))?;
                self.ipv6(ip.body_at)
            }
            // EtherIP (RFC 3378): version 3 in the upper bits of two bytes.
            97 => {
                if self.bytes::<2>(ip.body_at)?[0] >> 4 != 3 {
                    return Err("bad_tunnel_header");
                }
                self.enter(TunnelKind::EtherIp, None, Some(ip))?;
                self.ethernet(ip.body_at + 2)
            }
            137 => {
                self.deeper()?;
                self.ethertype(0x8847, ip.body_at)
            }
            _ => self.gre(ip.body_at, ip),
        }
    }

    /// ERSPAN type II (draft-foschiano-erspan-03): eight bytes, with the session in the lower ten bits of the second two.
    pub(super) fn erspan_ii(&mut self, at: usize) -> Result<(), Reason> {
        let e = self.bytes::<8>(at)?;
        let session = u64::from(u16::from_be_bytes([e[2], e[3]]) & 0x3ff);
        self.enter(TunnelKind::Erspan, Some(session), None)?;
        self.ethernet(at + 8)
    }

    pub(super) fn gre(&mut self, at: usize, ip: &Ip) -> Result<(), Reason> {
        let b = self.bytes::<4>(at)?;
        let (flags, version) = (b[0], b[1] & 7);
        let kind = u16::from_be_bytes([b[2], b[3]]);
        let mut body = at + 4;
        if flags & 0xc0 != 0 {
            body += 4; // checksum and reserved, or routing
        }
        let mut key = None;
        if flags & 0x20 != 0 {
            let k = self.bytes::<4>(body)?;
            // Enhanced GRE (RFC 2637) keeps the payload length in the upper half.
            key = Some(if version == 1 {
                u64::from(u16::from_be_bytes([k[2], k[3]]))
            } else {
                u64::from(u32::from_be_bytes(*k))
            });
            body += 4;
        }
        let sequenced = flags & 0x10 != 0;
        if sequenced {
            body += 4;
        }
        if version == 1 && b[1] & 0x80 != 0 {
            body += 4; // acknowledgement
        }
        match kind {
            0x88be => {
                // ERSPAN II follows a sequence number; type I has no header at all.
                let session = if sequenced {
                    let e = self.bytes::<8>(body)?;
                    body += 8;
                    Some(u64::from(u16::from_be_bytes([e[2], e[3]]) & 0x3ff))
                } else {
                    key
                };
                self.enter(TunnelKind::Erspan, session, Some(ip))?;
                self.ethernet(body)
            }
            0x22eb => {
                let e = self.bytes::<12>(body)?;
                let session = u64::from(u16::from_be_bytes([e[2], e[3]]) & 0x3ff);
                // The O bit announces an eight-byte platform header.
                body += if e[11] & 1 != 0 { 20 } else { 12 };
                self.enter(TunnelKind::Erspan, Some(session), Some(ip))?;
                // Frame type 2 is an IP packet.
                if e[10] >> 2 & 31 == 2 { self.ip_by_version(body) } else { self.ethernet(body) }
            }
            // Aruba's access points send whole 802.11 frames.
            0x8200..=0x820f => {
                self.enter(TunnelKind::Gre, key, Some(ip))?;
                self.ieee80211(body)
            }
            // WCCP: version 2 has four bytes of its own in front of the packet.
            0x883e => {
                self.enter(TunnelKind::Gre, key, Some(ip))?;
                if self.bytes::<1>(body)?[0] >> 4 != 4 {
                    body += 4;
                }
                self.ipv4(body)
            }
            0 => Err("gre_keepalive"),
            kind => {
                self.enter(TunnelKind::Gre, key, Some(ip))?;
                self.ethertype(kind, body)
            }
        }
    }
}
