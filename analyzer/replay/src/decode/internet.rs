//! IPv4 (RFC 791) and IPv6 (RFC 8200) with their options and extension headers.

use super::{Fragment, Reason, Walk};
use crate::order::MAPPED;

/// IPv6 extension headers in a row at most.
const MAX_EXTENSIONS: usize = 16;

/// The IP packet around what is decoded next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip {
    pub src: u128,
    pub dst: u128,
    /// Length of the packet, from its header.
    pub len: u32,
    /// Where it starts in the frame.
    pub at: usize,
    /// Where its payload starts in the frame.
    pub body_at: usize,
    /// Length of its payload, from its header.
    pub body_len: u32,
    pub id: u16,
    pub ecn: u8,
}

impl Walk<'_, '_> {
    pub(super) fn ip_by_version(&mut self, at: usize) -> Result<(), Reason> {
        match self.bytes::<1>(at)?[0] >> 4 {
            4 => self.ipv4(at),
            6 => self.ipv6(at),
            _ => Err("not_ip"),
        }
    }

    /// Bytes of the frame on the wire from `at` on.
    #[inline]
    fn on_wire_from(&self, at: usize) -> u32 {
        (self.frame.wire_len as usize).max(self.frame.bytes.len()).saturating_sub(at) as u32
    }

    #[inline]
    pub(super) fn ipv4(&mut self, at: usize) -> Result<(), Reason> {
        let b = self.bytes::<20>(at)?;
        let header = u32::from(b[0] & 15) * 4;
        if b[0] >> 4 != 4 || header < 20 {
            return Err("bad_ip_header");
        }
        let mut len = u32::from(u16::from_be_bytes([b[2], b[3]]));
        if len == 0 {
            // Segmentation offload: the card would have filled it in.
            len = self.on_wire_from(at);
        }
        if len < header {
            return Err("bad_ip_header");
        }
        let ip = Ip {
            src: MAPPED | u128::from(u32::from_be_bytes([b[12], b[13], b[14], b[15]])),
            dst: MAPPED | u128::from(u32::from_be_bytes([b[16], b[17], b[18], b[19]])),
            len,
            at,
            body_at: at + header as usize,
            body_len: len - header,
            id: u16::from_be_bytes([b[4], b[5]]),
            ecn: b[1] & 3,
        };
        let fragment = u16::from_be_bytes([b[6], b[7]]);
        if fragment & 0x3fff != 0 {
            let offset = u32::from(fragment & 0x1fff) * 8;
            self.fragment(&ip, at, u32::from(ip.id), b[9], None, offset, fragment & 0x2000 != 0);
            return Ok(());
        }
        self.protocol(b[9], &ip)
    }

    #[inline]
    pub(super) fn ipv6(&mut self, at: usize) -> Result<(), Reason> {
        let b = self.bytes::<40>(at)?;
        if b[0] >> 4 != 6 {
            return Err("bad_ip_header");
        }
        let mut body_len = u32::from(u16::from_be_bytes([b[4], b[5]]));
        if body_len == 0 {
            // Segmentation offload or a jumbogram.
            body_len = self.on_wire_from(at + 40);
        }
        let number = |range: &[u8]| range.iter().fold(0u128, |n, &byte| n << 8 | u128::from(byte));
        let mut ip = Ip {
            src: number(&b[8..24]),
            dst: number(&b[24..40]),
            len: body_len + 40,
            at,
            body_at: at + 40,
            body_len,
            id: 0,
            ecn: (b[1] >> 4) & 3,
        };
        let mut next = b[6];
        let mut next_at = at + 6;
        for _ in 0..MAX_EXTENSIONS {
            let extension = match next {
                0 | 43 | 60 | 135 | 139 | 140 => (u32::from(self.bytes::<2>(ip.body_at)?[1]) + 1) * 8,
                51 => (u32::from(self.bytes::<2>(ip.body_at)?[1]) + 2) * 4,
                44 => {
                    let f = self.bytes::<8>(ip.body_at)?;
                    let field = u16::from_be_bytes([f[2], f[3]]);
                    if field & 0xfff9 != 0 {
                        let id = u32::from_be_bytes([f[4], f[5], f[6], f[7]]);
                        ip.body_len = ip.body_len.saturating_sub(8);
                        ip.body_at += 8;
                        self.fragment(&ip, at, id, f[0], Some(next_at), u32::from(field & 0xfff8), field & 1 != 0);
                        return Ok(());
                    }
                    8
                }
                59 => return Err("no_next_header"),
                protocol => return self.protocol(protocol, &ip),
            };
            if extension > ip.body_len {
                return Err("bad_ip_header");
            }
            next_at = ip.body_at;
            next = self.bytes::<1>(ip.body_at)?[0];
            ip.body_at += extension as usize;
            ip.body_len -= extension;
        }
        Err("too_many_layers")
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a fragment, used in two places above")]
    fn fragment(
        &mut self,
        ip: &Ip,
        header_at: usize,
        id: u32,
        protocol: u8,
        next_at: Option<usize>,
        offset: u32,
        more: bool,
    ) {
        self.rows += 1;
        self.out.fragments.push(Fragment {
            key: (self.frame.interface, ip.src, ip.dst, id, protocol),
            frame: self.frame.index,
            ts: self.frame.ts,
            wire_len: self.frame.wire_len,
            link_type: self.frame.link_type,
            ip_at: header_at as u32,
            body_at: ip.body_at as u32,
            body_len: ip.body_len,
            next_at: next_at.map(|n| n as u32),
            offset,
            more,
        });
    }

    /// What an IP packet carries: a transport, or another packet.
    #[inline]
    pub(super) fn protocol(&mut self, protocol: u8, ip: &Ip) -> Result<(), Reason> {
        match protocol {
            6 => self.tcp(ip),
            17 => self.udp(ip),
            1 | 58 => self.icmp(protocol, ip),
            132 => self.sctp(ip),
            4 | 41 | 47 | 97 | 137 => self.ip_tunnel(protocol, ip),
            // Authentication header in front of what it authenticates.
            51 => {
                self.deeper()?;
                let b = self.bytes::<2>(ip.body_at)?;
                let len = (u32::from(b[1]) + 2) * 4;
                let inner = Ip { body_at: ip.body_at + len as usize, body_len: ip.body_len.saturating_sub(len), ..*ip };
                self.protocol(b[0], &inner)
            }
            other => {
                self.other(other, ip);
                Ok(())
            }
        }
    }
}
