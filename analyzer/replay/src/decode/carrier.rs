//! UDP payloads that are tunnels: which one, by port and header, and the way into it.
//!
//! A port alone proves nothing: the header must be one of that tunnel too. Where the port is only the sender's (replies of gateways that
//! answer from their well-known port), or means nothing (Teredo between peers), the header must be beyond doubt.

use super::internet::Ip;
use super::tunnel::TunnelKind;
use super::{Reason, Walk};

/// First half of every Teredo address, 2001::/32 (RFC 4380).
const TEREDO_PREFIX: [u8; 4] = [0x20, 1, 0, 0];

impl Walk<'_, '_> {
    /// Name of the tunnel that a UDP payload of `len` bytes is; empty if none.
    #[inline]
    pub(super) fn udp_carries(&self, src_port: u16, dst_port: u16, at: usize, len: u32) -> &'static str {
        match (dst_port, src_port) {
            (4789 | 8472, _) => self.vxlan_or_not(at, false),
            (4790, _) | (_, 4790) => self.gpe_or_not(at),
            (6081, _) | (_, 6081) => self.geneve_or_not(at),
            (2152, _) | (_, 2152) => self.gtp_or_not(at),
            (4754, _) => match self.bytes::<4>(at) {
                Ok(b) if b[1] & 7 == 0 && is_payload_kind([b[2], b[3]]) => "gre",
                _ => "",
            },
            (3544, _) | (_, 3544) => self.teredo_or_not(at),
            (5072, _) | (_, 5072) => self.ayiya_or_not(at),
            (5247, _) | (_, 5247) => self.capwap_or_not(at),
            (6635, _) => self.mpls_or_not(at),
            (1701, _) | (_, 1701) => self.l2tp_body(at).map_or("", |_| "l2tp"),
            (37008, _) => self.tzsp_body(at).map_or("", |_| "tzsp"),
            (_, 4789 | 8472) => self.vxlan_or_not(at, true),
            // Teredo clients that found each other send from any port to any.
            _ => match self.frame.bytes.get(at) {
                Some(first) if first >> 4 == 6 => self.teredo_between_peers(at, len),
                _ => "",
            },
        }
    }

    fn vxlan_or_not(&self, at: usize, doubtful: bool) -> &'static str {
        match self.bytes::<8>(at) {
            Ok(b) if doubtful => match (b, self.be16(at + 20)) {
                ([8, 0, 0, 0, _, _, _, 0], Ok(0x0800 | 0x86dd | 0x0806 | 0x8100)) => "vxlan",
                _ => "",
            },
            Ok(b) if b[0] & 0x08 != 0 => "vxlan",
            _ => "",
        }
    }

    fn gpe_or_not(&self, at: usize) -> &'static str {
        match self.bytes::<8>(at) {
            // Without the P bit it is VXLAN, but the port says otherwise where there is a next protocol.
            Ok(b) if b[0] & 0x08 != 0 && b[0] & 0xc0 == 0 && matches!(b[3], 1..=4) => "vxlan-gpe",
            Ok(b) if b[0] & 0x0c == 0x0c => "vxlan-gpe",
            _ => "",
        }
    }

    fn geneve_or_not(&self, at: usize) -> &'static str {
        match self.bytes::<8>(at) {
            // Version 0 and a known kind of payload.
            Ok(b) if b[0] >> 6 == 0 && is_payload_kind([b[2], b[3]]) => "geneve",
            _ => "",
        }
    }

    /// Teredo (RFC 4380): IPv6 behind authentication and origin indications.
    fn teredo_or_not(&self, at: usize) -> &'static str {
        match self.teredo_body(at).and_then(|body| self.bytes::<1>(body)) {
            Ok([v]) if v >> 4 == 6 => "teredo",
            _ => "",
        }
    }

    /// A Teredo packet that neither a server nor a relay sent: an IPv6 packet of exactly this length with an address of that prefix.
    #[cold]
    fn teredo_between_peers(&self, at: usize, len: u32) -> &'static str {
        match self.bytes::<40>(at) {
            Ok(b)
                if u32::from(u16::from_be_bytes([b[4], b[5]])) + 40 == len
                    && (b[8..12] == TEREDO_PREFIX || b[24..28] == TEREDO_PREFIX) =>
            {
                "teredo"
            }
            _ => "",
        }
    }

    fn teredo_body(&self, mut at: usize) -> Result<usize, Reason> {
        if let [0, 1, id, auth] = self.bytes::<4>(at)? {
            at += 13 + usize::from(*id) + usize::from(*auth);
        }
        if let [0, 0] = self.bytes::<2>(at)? {
            at += 8;
        }
        Ok(at)
    }

    /// AYIYA (draft-massar-v6ops-ayiya-02): a forwarded packet whose header says IP and whose inside starts like it.
    fn ayiya_or_not(&self, at: usize) -> &'static str {
        let inside = self.ayiya_body(at).and_then(|body| self.bytes::<1>(body));
        match (self.bytes::<4>(at), inside) {
            (Ok([_, _, _, 4]), Ok([v])) if v >> 4 == 4 => "ayiya",
            (Ok([_, _, _, 41]), Ok([v])) if v >> 4 == 6 => "ayiya",
            _ => "",
        }
    }

    /// Header, identity of 2^n bytes, signature in words.
    fn ayiya_body(&self, at: usize) -> Result<usize, Reason> {
        let b = self.bytes::<4>(at)?;
        if b[2] & 15 != 1 {
            return Err("tunnel_control");
        }
        Ok(at + 8 + (1usize << (b[0] >> 4)) + usize::from(b[1] >> 4) * 4)
    }

    /// CAPWAP data (RFC 5415): not encrypted, not a keep-alive.
    fn capwap_or_not(&self, at: usize) -> &'static str {
        match self.bytes::<8>(at) {
            Ok(b) if b[0] == 0 && b[1] >> 3 >= 2 && b[3] & 0x08 == 0 => "capwap",
            _ => "",
        }
    }

    fn capwap(&mut self, at: usize, ip: &Ip) -> Result<(), Reason> {
        let b = self.bytes::<8>(at)?;
        let body = at + usize::from(b[1] >> 3) * 4;
        let (native, fragment) = (b[2] & 1 != 0, b[3] & 0x80 != 0);
        let binding = (b[2] >> 1) & 31;
        self.enter(TunnelKind::Capwap, None, Some(ip))?;
        if fragment && u16::from_be_bytes([b[6], b[7]]) >> 3 != 0 {
            return Err("tunnel_fragment");
        }
        match (native, binding) {
            (false, _) => self.ethernet(body),
            (true, 1) => self.ieee80211_either_order(body),
            _ => Err("tunnel_payload"),
        }
    }

    /// GTPv1-U with a user's packet (G-PDU) inside that starts like IP.
    fn gtp_or_not(&self, at: usize) -> &'static str {
        match self.bytes::<8>(at) {
            Ok(b) if b[0] >> 5 == 1 && b[0] & 0x10 != 0 && b[1] == 0xff => match self.gtp_body(at) {
                Ok(body) if matches!(self.bytes::<1>(body), Ok([v]) if matches!(v >> 4, 4 | 6)) => "gtp",
                _ => "",
            },
            _ => "",
        }
    }

    fn gtp_body(&self, at: usize) -> Result<usize, Reason> {
        let b = self.bytes::<8>(at)?;
        let mut body = at + 8;
        if b[0] & 7 != 0 {
            let mut next = self.bytes::<4>(body)?[3];
            body += 4;
            for _ in 0..8 {
                if b[0] & 4 == 0 || next == 0 {
                    break;
                }
                let len = usize::from(self.bytes::<1>(body)?[0]) * 4;
                if len == 0 {
                    return Err("bad_tunnel_header");
                }
                next = self.bytes::<1>(body + len - 1)?[0];
                body += len;
            }
        }
        Ok(body)
    }

    /// MPLS in UDP (RFC 7510): the first label that ends the stack is followed by IP.
    fn mpls_or_not(&self, at: usize) -> &'static str {
        let end = (0..4).map(|n| at + n * 4).find(|at| self.bytes::<4>(*at).is_ok_and(|b| b[2] & 1 == 1));
        match end.map(|at| self.bytes::<1>(at + 4)) {
            Some(Ok([first])) if matches!(first >> 4, 4 | 6) => "mpls",
            _ => "",
        }
    }

    /// Where the PPP frame of an L2TP data message of version 2 begins (RFC 2661, 3.1), and tunnel and session.
    fn l2tp_body(&self, at: usize) -> Result<(usize, u64), Reason> {
        const CONTROL: u16 = 0x8000;
        const RESERVED: u16 = 0x34f0;
        let flags = self.be16(at)?;
        if flags & (CONTROL | RESERVED) != 0 || flags & 15 != 2 {
            return Err("bad_tunnel_header");
        }
        let ids = at + if flags & 0x4000 != 0 { 4 } else { 2 };
        let mut body = ids + 4;
        if flags & 0x0800 != 0 {
            body += 4; // sequence numbers
        }
        if flags & 0x0200 != 0 {
            body += 2 + usize::from(self.be16(body)?);
        }
        match (self.bytes::<2>(body)?, self.bytes::<1>(body)?[0]) {
            ([0xff, 0x03] | [0x00, 0x21 | 0x57], _) | (_, 0x21 | 0x57) => {
                Ok((body, u64::from(self.be16(ids)?) << 16 | u64::from(self.be16(ids + 2)?)))
            }
            _ => Err("tunnel_payload"),
        }
    }

    /// Where the frame that a sniffer sends by TZSP begins, and its kind: 1 Ethernet, 18 802.11.
    fn tzsp_body(&self, at: usize) -> Result<(usize, u16), Reason> {
        const TAGS: usize = 16;
        let b = self.bytes::<4>(at)?;
        let kind = u16::from_be_bytes([b[2], b[3]]);
        if b[0] != 1 || b[1] > 1 || !matches!(kind, 1 | 18) {
            return Err("bad_tunnel_header");
        }
        let mut at = at + 4;
        for _ in 0..TAGS {
            match self.bytes::<1>(at)?[0] {
                1 => return Ok((at + 1, kind)),
                0 => at += 1,
                _ => at += 2 + usize::from(self.bytes::<2>(at)?[1]),
            }
        }
        Err("bad_tunnel_header")
    }

    pub(super) fn udp_tunnel(&mut self, carrier: &'static str, at: usize, ip: &Ip) -> Result<(), Reason> {
        match carrier {
            "vxlan" | "vxlan-gpe" => {
                let b = self.bytes::<8>(at)?;
                let vni = u64::from(u32::from_be_bytes([0, b[4], b[5], b[6]]));
                // The P bit says that the last reserved byte of the first word is a protocol (GPE); flags that GPE
                // reserves are those of other extensions.
                if carrier == "vxlan" && b[0] & 0xf4 != 0x04 || b[0] & 4 == 0 && b[3] == 0 {
                    self.enter(TunnelKind::Vxlan, Some(vni), Some(ip))?;
                    return self.ethernet(at + 8);
                }
                self.enter(TunnelKind::VxlanGpe, Some(vni), Some(ip))?;
                match b[3] {
                    1 => self.ipv4(at + 8),
                    2 => self.ipv6(at + 8),
                    3 => self.ethernet(at + 8),
                    4 => self.nsh(at + 8),
                    _ => Err("tunnel_payload"),
                }
            }
            "geneve" => {
                let b = self.bytes::<8>(at)?;
                let vni = u64::from(u32::from_be_bytes([0, b[4], b[5], b[6]]));
                let inner = at + 8 + usize::from(b[0] & 0x3f) * 4;
                self.enter(TunnelKind::Geneve, Some(vni), Some(ip))?;
                self.ethertype(u16::from_be_bytes([b[2], b[3]]), inner)
            }
            "gtp" => {
                let b = self.bytes::<8>(at)?;
                let teid = u64::from(u32::from_be_bytes([b[4], b[5], b[6], b[7]]));
                let body = self.gtp_body(at)?;
                self.enter(TunnelKind::Gtp, Some(teid), Some(ip))?;
                self.ip_by_version(body)
            }
            "teredo" => {
                let body = self.teredo_body(at)?;
                self.enter(TunnelKind::Teredo, None, Some(ip))?;
                self.ipv6(body)
            }
            "ayiya" => {
                let body = self.ayiya_body(at)?;
                self.enter(TunnelKind::Ayiya, None, Some(ip))?;
                self.ip_by_version(body)
            }
            "capwap" => self.capwap(at, ip),
            "mpls" => {
                self.enter(TunnelKind::Mpls, None, Some(ip))?;
                self.ethertype(0x8847, at)
            }
            "l2tp" => {
                let (body, id) = self.l2tp_body(at)?;
                self.enter(TunnelKind::L2tp, Some(id), Some(ip))?;
                self.ppp(body)
            }
            "tzsp" => {
                let (body, kind) = self.tzsp_body(at)?;
                self.enter(TunnelKind::Tzsp, None, Some(ip))?;
                if kind == 1 { self.ethernet(body) } else { self.ieee80211(body) }
            }
            _ => self.gre(at, ip),
        }
    }
}

/// Ethertypes that such tunnels carry: Ethernet, IPv4, IPv6.
fn is_payload_kind(kind: [u8; 2]) -> bool {
    matches!(kind, [0x65, 0x58] | [0x08, 0x00] | [0x86, 0xdd])
}
