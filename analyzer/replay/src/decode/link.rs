//! Link layers, by LINKTYPE_* (<https://www.tcpdump.org/linktypes.html>), and what lies between them and IP.

use super::{NO_MAC, Reason, Walk};

impl Walk<'_, '_> {
    pub(super) fn link(&mut self, link_type: u16) -> Result<(), Reason> {
        match link_type {
            1 => self.ethernet(0),
            // Raw IP; 12 and 14 are what some systems wrote for it. 228 and 229 say the version.
            12 | 14 | 101 | 228 | 229 => self.ip_by_version(0),
            0 | 108 => self.loopback(),
            9 | 50 => self.ppp(0),
            51 => self.pppoe(0),
            // PPP behind a byte of direction; pppd's takes the place of the address.
            204 => self.ppp(1),
            166 => self.ppp(2),
            104 => {
                let ethertype = self.be16(2)?;
                self.ethertype(ethertype, 4)
            }
            205 => {
                let ethertype = self.be16(3)?;
                self.ethertype(ethertype, 5)
            }
            105 => self.ieee80211(0),
            // Address family, SPI and flags of OpenBSD's enc.
            109 => self.ip_by_version(12),
            // ATM as SunATM has it: the lower half of the first byte is 2 for LLC.
            123 => {
                if self.bytes::<1>(0)?[0] & 15 == 2 {
                    self.llc(4)
                } else {
                    Err("not_ip")
                }
            }
            219 => self.mpls(0),
            // InfiniBand: forty bytes of route, ethertype, two of zero.
            242 => {
                let ethertype = self.be16(40)?;
                self.ethertype(ethertype, 44)
            }
            107 => {
                // Frame relay with the usual two address bytes: NLPID encapsulation (RFC 2427).
                let b = self.bytes::<4>(0)?;
                match (b[2], b[3]) {
                    (0x03, 0xcc) => self.ip_by_version(4),
                    (0x03, 0x8e) => self.ip_by_version(4),
                    _ => {
                        let ethertype = u16::from_be_bytes([b[2], b[3]]);
                        self.ethertype(ethertype, 4)
                    }
                }
            }
            113 => {
                // Linux cooked capture v1: a hardware address of up to eight bytes at 6.
                if self.be16(4)? == 6 {
                    self.mac_at = 6;
                }
                let protocol = self.be16(14)?;
                self.cooked(protocol, 16)
            }
            276 => {
                if self.bytes::<1>(11)?[0] == 6 {
                    self.mac_at = 12;
                }
                let protocol = self.be16(0)?;
                self.cooked(protocol, 20)
            }
            127 => {
                // Radiotap: length in its bytes 2 and 3, little-endian.
                let b = self.bytes::<4>(0)?;
                let (at, padded) = (usize::from(u16::from_le_bytes([b[2], b[3]])), self.radiotap_flags()? & 0x20 != 0);
                let control = *self.bytes::<2>(at)?;
                self.ieee80211_frame(at, control, padded)
            }
            119 => self.ieee80211(144),
            163 => {
                let b = self.bytes::<8>(0)?;
                let len = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
                self.ieee80211(len.min(0xffff) as usize)
            }
            192 => {
                // PPI: length, then the link type of what follows.
                let b = self.bytes::<8>(0)?;
                let len = usize::from(u16::from_le_bytes([b[2], b[3]]));
                let inner = u32::from_le_bytes([b[4], b[5], b[6], b[7]]);
                self.inner_link(inner, len)
            }
            239 => self.nflog(),
            6 => self.token_ring(),
            // FDDI: frame control, two addresses, LLC.
            10 => self.llc(13),
            // Classical IP over ATM (RFC 1483): LLC.
            100 => self.llc(0),
            // OpenBSD's pflog: its length without what fills the last word.
            117 => {
                let len = usize::from(self.bytes::<1>(0)?[0]);
                self.ip_by_version(len.next_multiple_of(4))
            }
            // Apple's pktap: length, kind, and the link type of what follows, in the order of whoever captured.
            258 => {
                let b = self.bytes::<12>(0)?;
                let number = |at: usize| {
                    let word = [b[at], b[at + 1], b[at + 2], b[at + 3]];
                    let little = u32::from_le_bytes(word);
                    if little > 0xffff { u32::from_be_bytes(word) } else { little }
                };
                self.inner_link(number(8), number(0).min(0xffff) as usize)
            }
            _ => Err("link_type"),
        }
    }

    fn inner_link(&mut self, link_type: u32, at: usize) -> Result<(), Reason> {
        self.deeper()?;
        match link_type {
            1 => self.ethernet(at),
            12 | 14 | 101 | 228 | 229 => self.ip_by_version(at),
            9 => self.ppp(at),
            105 => self.ieee80211(at),
            0 | 108 => self.ip_by_version(at + 4),
            _ => Err("link_type"),
        }
    }

    /// BSD loopback: four bytes of address family, in the byte order of whoever captured.
    fn loopback(&mut self) -> Result<(), Reason> {
        let b = self.bytes::<4>(0)?;
        let family = u32::from_be_bytes(*b);
        let family = if family > 0xffff { family.swap_bytes() } else { family };
        match family {
            2 | 10 | 24 | 28 | 30 => self.ip_by_version(4),
            // OpenBSD and Windows write others; an ethertype is met as well.
            0x0800 | 0x86dd => self.ip_by_version(4),
            _ => Err("not_ip"),
        }
    }

    #[inline]
    pub(super) fn ethernet(&mut self, at: usize) -> Result<(), Reason> {
        let b = self.bytes::<14>(at)?;
        if let Ok(mac_at) = u8::try_from(at + 6) {
            self.mac_at = mac_at;
        }
        self.ethertype(u16::from_be_bytes([b[12], b[13]]), at + 14)
    }

    fn cooked(&mut self, protocol: u16, at: usize) -> Result<(), Reason> {
        match protocol {
            1 => self.llc(at), // Novell 802.3 or loopback frames
            4 => self.llc(at),
            p => self.ethertype(p, at),
        }
    }

    #[inline]
    pub(super) fn ethertype(&mut self, mut ethertype: u16, mut at: usize) -> Result<(), Reason> {
        loop {
            match ethertype {
                0x0800 => return self.ipv4(at),
                0x86dd => return self.ipv6(at),
                0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                    self.deeper()?;
                    let b = self.bytes::<4>(at)?;
                    if self.vlan == 0 && self.tunnel.depth == 0 {
                        self.vlan = (u16::from_be_bytes([b[0], b[1]]) & 0xfff) + 1;
                    }
                    ethertype = u16::from_be_bytes([b[2], b[3]]);
                    at += 4;
                }
                0x8847 | 0x8848 => return self.mpls(at),
                0x8864 => return self.pppoe(at),
                0x880b => return self.ppp(at),
                0x6558 => {
                    self.deeper()?;
                    return self.ethernet(at);
                }
                // Provider backbone bridging: four bytes of I-TAG, then a frame.
                0x88e7 => {
                    self.deeper()?;
                    return self.ethernet(at + 4);
                }
                0x894f => return self.nsh(at),
                // ERSPAN II without GRE around it.
                0x88be => return self.erspan_ii(at),
                // Cisco MetaData: six bytes (version, length, a group tag), then the ethertype of what follows.
                0x8909 => {
                    self.deeper()?;
                    ethertype = self.be16(at + 6)?;
                    at += 8;
                }
                // Cisco FabricPath: two bytes of tag and time to live, then the frame it carries.
                0x8903 => {
                    self.deeper()?;
                    return self.ethernet(at + 2);
                }
                // VN-Tag (802.1BR): four bytes, and the ethertype of what follows.
                0x8926 => {
                    self.deeper()?;
                    ethertype = self.be16(at + 4)?;
                    at += 6;
                }
                // LLC in jumbo frames.
                0x8870 => return self.llc(at),
                // TRILL (RFC 6325): six bytes and options in words, then the frame it carries.
                0x22f3 => {
                    self.deeper()?;
                    let options = usize::from(self.be16(at)? >> 6 & 31) * 4;
                    return self.ethernet(at + 6 + options);
                }
                0x22f0..=0x22ff => return Err("not_ip"),
                0x0806 | 0x8035 => return Err("arp"),
                0x88cc => return Err("lldp"),
                0x8863 => return Err("pppoe_discovery"),
                0..=1500 => return self.llc(at),
                _ => return Err("not_ip"),
            }
        }
    }

    /// 802.2: SNAP leads back to an ethertype, or IP directly.
    fn llc(&mut self, at: usize) -> Result<(), Reason> {
        let b = self.bytes::<3>(at)?;
        match b {
            [0xaa, 0xaa, 0x03] => {
                self.deeper()?;
                let snap = self.bytes::<8>(at)?;
                let ethertype = u16::from_be_bytes([snap[6], snap[7]]);
                if ethertype <= 1500 { Err("llc") } else { self.ethertype(ethertype, at + 8) }
            }
            [0x06, 0x06, 0x03] => self.ip_by_version(at + 3),
            _ => Err("llc"),
        }
    }

    fn mpls(&mut self, mut at: usize) -> Result<(), Reason> {
        for _ in 0..MAX_LABELS {
            let b = self.bytes::<4>(at)?;
            at += 4;
            if b[2] & 1 == 0 {
                continue;
            }
            self.deeper()?;
            // The payload does not say what it is: IP by its version, a pseudo-wire's control word by its zeroes (RFC 4385).
            return match self.bytes::<1>(at)?[0] >> 4 {
                // A pseudo-wire without control word may begin with an address that looks like a version.
                4 if !self.ipv4_looks_right(at) && self.ethernet_looks_right(at) => self.ethernet(at),
                4 => self.ipv4(at),
                6 => self.ipv6(at),
                0 if self.ethernet_looks_right(at + 4) => self.ethernet(at + 4),
                _ if self.ethernet_looks_right(at) => self.ethernet(at),
                0 if self.bytes::<4>(at)?[1..] == [0, 0, 0] => self.ethernet(at + 4),
                _ => Err("mpls"),
            };
        }
        Err("mpls")
    }

    fn ethernet_looks_right(&self, at: usize) -> bool {
        matches!(self.be16(at + 12), Ok(0x0800 | 0x86dd | 0x8100 | 0x88a8 | 0x8847 | 0x0806))
    }

    /// A header of five words at least that says it is no longer than the frame.
    fn ipv4_looks_right(&self, at: usize) -> bool {
        let rest = (self.frame.wire_len as usize).saturating_sub(at);
        matches!(self.bytes::<4>(at), Ok([0x45..=0x4f, _, hi, lo]) if (20..=rest).contains(&usize::from(u16::from_be_bytes([*hi, *lo]))))
    }

    pub(super) fn pppoe(&mut self, at: usize) -> Result<(), Reason> {
        let b = self.bytes::<6>(at)?;
        if b[0] != 0x11 || b[1] != 0 {
            return Err("pppoe_discovery");
        }
        self.ppp(at + 6)
    }

    /// PPP with or without address and control, with full or compressed protocol field (RFC 1661).
    pub(super) fn ppp(&mut self, mut at: usize) -> Result<(), Reason> {
        self.deeper()?;
        match self.bytes::<2>(at)? {
            [0xff, 0x03] => at += 2,
            // Cisco HDLC, which some captures call PPP.
            [0x0f | 0x8f, 0x00] => {
                let ethertype = self.be16(at + 2)?;
                return self.ethertype(ethertype, at + 4);
            }
            _ => {}
        }
        let first = self.bytes::<1>(at)?[0];
        let protocol = if first & 1 == 1 {
            at += 1;
            u16::from(first)
        } else {
            at += 2;
            self.be16(at - 2)?
        };
        match protocol {
            0x0021 => self.ipv4(at),
            0x0057 => self.ipv6(at),
            0x0281 | 0x0283 => self.mpls(at),
            // Multilink: the first fragment of a packet holds its protocol again.
            0x003d => {
                if self.bytes::<1>(at)?[0] & 0x80 == 0 {
                    return Err("ppp_fragment");
                }
                self.ppp(at + 4)
            }
            _ => Err("ppp_control"),
        }
    }

    /// 802.11 data frames; others carry no conversation.
    pub(super) fn ieee80211(&mut self, at: usize) -> Result<(), Reason> {
        let control = *self.bytes::<2>(at)?;
        self.ieee80211_frame(at, control, false)
    }

    /// The flags field of a radiotap header; 0 if there is none. Behind words that say which fields there are come the fields in that
    /// order, each on a multiple of its size: a time of eight bytes, then the flags.
    fn radiotap_flags(&self) -> Result<u8, Reason> {
        let mut at = 4;
        let word = self.bytes::<4>(at)?;
        let (has_time, has_flags) = (word[0] & 1 != 0, word[0] & 2 != 0);
        if !has_flags {
            return Ok(0);
        }
        for _ in 0..MAX_LABELS {
            let more = self.bytes::<4>(at)?[3] & 0x80 != 0;
            at += 4;
            if !more {
                break;
            }
        }
        if has_time {
            at = at.next_multiple_of(8) + 8;
        }
        self.bytes::<1>(at).map(|b| b[0])
    }

    /// The same where the two bytes of frame control may be the other way round, as some access points send them through CAPWAP.
    pub(super) fn ieee80211_either_order(&mut self, at: usize) -> Result<(), Reason> {
        let [a, b] = *self.bytes::<2>(at)?;
        let is_data = |byte: u8| byte & 15 == 8;
        self.ieee80211_frame(at, if !is_data(a) && is_data(b) { [b, a] } else { [a, b] }, false)
    }

    /// `padded`: the header was brought to a multiple of four bytes.
    fn ieee80211_frame(&mut self, at: usize, [control, flags]: [u8; 2], padded: bool) -> Result<(), Reason> {
        self.deeper()?;
        self.bytes::<24>(at)?;
        let (kind, subtype) = ((control >> 2) & 3, control >> 4);
        if kind != 2 {
            return Err("80211_management");
        }
        if flags & 0x40 != 0 {
            return Err("80211_encrypted");
        }
        if subtype & 4 != 0 {
            return Err("80211_no_data");
        }
        let mut body = at + 24;
        if flags & 3 == 3 {
            body += 6;
        }
        let mut aggregated = false;
        if subtype & 8 != 0 {
            aggregated = self.be16(body)? & 0x8000 != 0;
            body += if flags & 0x80 != 0 { 6 } else { 2 };
        }
        if padded {
            body = at + (body - at).next_multiple_of(4);
        }
        if aggregated {
            return self.aggregate(body);
        }
        // From the distribution system the source is the third address, else the second.
        let source = at + if flags & 2 != 0 { 16 } else { 10 };
        if let Ok(source) = u8::try_from(source) {
            self.mac_at = source;
        }
        self.llc(body)
    }

    /// A-MSDU (IEEE 802.11-2020, 9.3.2.2.2): frames with their own addresses and lengths, each but the last brought to a multiple of four bytes.
    fn aggregate(&mut self, mut at: usize) -> Result<(), Reason> {
        let around = (self.depth, self.vlan, self.tunnel);
        let mut decoded = Err("truncated");
        for _ in 0..MAX_AGGREGATED {
            let Ok(&[.., hi, lo]) = self.bytes::<14>(at) else { break };
            let len = usize::from(u16::from_be_bytes([hi, lo]));
            self.mac_at = u8::try_from(at + 6).unwrap_or(NO_MAC);
            // That one of them carries nothing of a conversation says nothing of the others.
            decoded = self.llc(at + 14);
            (self.depth, self.vlan, self.tunnel) = around;
            if len == 0 {
                break;
            }
            at += (14 + len).next_multiple_of(4);
        }
        decoded
    }

    fn nflog(&mut self) -> Result<(), Reason> {
        let family = self.bytes::<4>(0)?[0];
        let mut at = 4;
        for _ in 0..32 {
            let b = self.bytes::<4>(at)?;
            let len = usize::from(u16::from_le_bytes([b[0], b[1]]));
            let kind = u16::from_le_bytes([b[2], b[3]]) & 0x7fff;
            if len < 4 {
                break;
            }
            if kind == 9 {
                return if matches!(family, 2 | 10) { self.ip_by_version(at + 4) } else { Err("not_ip") };
            }
            at += len.div_ceil(4) * 4;
        }
        Err("truncated")
    }

    fn token_ring(&mut self) -> Result<(), Reason> {
        let b = self.bytes::<16>(0)?;
        // Source routing: the top bit of the source address says that a routing field follows.
        let routing = if b[8] & 0x80 != 0 { usize::from(b[14] & 0x1f) } else { 0 };
        self.llc(14 + routing)
    }
}

/// MPLS labels on a stack at most.
const MAX_LABELS: usize = 16;
/// Frames in an aggregate at most.
const MAX_AGGREGATED: usize = 64;
