//! TCP (RFC 9293), UDP (RFC 768), SCTP (RFC 9260), ICMP and ICMPv6.

use super::internet::Ip;
use super::{Decoded, Reason, Walk, sctp_chunk};

/// Chunks of an SCTP packet that are looked at.
const MAX_CHUNKS: usize = 8;

impl Walk<'_, '_> {
    /// A row with what IP knows; the payload starts `header` bytes into the body.
    #[inline]
    fn row(&self, protocol: u8, ip: &Ip, header: u32) -> Decoded {
        let payload_at = ip.body_at + header as usize;
        let payload_len = ip.body_len.saturating_sub(header);
        let captured = self.frame.bytes.len().saturating_sub(payload_at).min(payload_len as usize);
        Decoded {
            src: ip.src,
            dst: ip.dst,
            ip_len: ip.len,
            payload_at: payload_at as u32,
            payload_len,
            payload_captured: captured as u32,
            ip_id: ip.id,
            ecn: ip.ecn,
            protocol,
            ..Decoded::default()
        }
    }

    #[inline]
    pub(super) fn tcp(&mut self, ip: &Ip) -> Result<(), Reason> {
        let Ok(b) = self.bytes::<20>(ip.body_at) else { return self.cut(6, ip, 20) };
        if ip.body_len < 20 {
            return self.cut(6, ip, ip.body_len);
        }
        let header = u32::from(b[12] >> 4) * 4;
        if header < 20 || header > ip.body_len {
            // Ports are all that can be believed of it.
            return self.cut(6, ip, ip.body_len);
        }
        let mut d = self.row(6, ip, header);
        d.src_port = u16::from_be_bytes([b[0], b[1]]);
        d.dst_port = u16::from_be_bytes([b[2], b[3]]);
        d.seq = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
        d.ack = u32::from_be_bytes([b[8], b[9], b[10], b[11]]);
        d.flags = b[13];
        d.window = u16::from_be_bytes([b[14], b[15]]);
        if header > 20 {
            let end = (ip.body_at + header as usize).min(self.frame.bytes.len());
            d.options_at = (ip.body_at + 20) as u32;
            d.options_len = (end - (ip.body_at + 20)) as u8;
            if let Some(options) = self.frame.bytes.get(ip.body_at + 20..end) {
                options_into(options, &mut d);
            }
        }
        self.push(d);
        Ok(())
    }

    /// A transport header that the capture cut, or that cannot be: the ports are enough for the flow. It has `header` bytes: that of UDP and
    /// SCTP has a fixed size, of TCP's one without options is the best guess.
    #[cold]
    fn cut(&mut self, protocol: u8, ip: &Ip, header: u32) -> Result<(), Reason> {
        let b = self.bytes::<4>(ip.body_at)?;
        let mut d = self.row(protocol, ip, header);
        d.src_port = u16::from_be_bytes([b[0], b[1]]);
        d.dst_port = u16::from_be_bytes([b[2], b[3]]);
        d.cut_header = true;
        self.push(d);
        Ok(())
    }

    #[inline]
    pub(super) fn udp(&mut self, ip: &Ip) -> Result<(), Reason> {
        let Ok(b) = self.bytes::<8>(ip.body_at) else { return self.cut(17, ip, 8) };
        if ip.body_len < 8 {
            return self.cut(17, ip, ip.body_len);
        }
        let mut d = self.row(17, ip, 8);
        d.src_port = u16::from_be_bytes([b[0], b[1]]);
        d.dst_port = u16::from_be_bytes([b[2], b[3]]);
        // The UDP length may be smaller than what IP has (padding); 0 is a jumbogram or offload.
        let udp_len = u32::from(u16::from_be_bytes([b[4], b[5]]));
        if (8..=ip.body_len).contains(&udp_len) {
            d.payload_len = udp_len - 8;
            d.payload_captured = d.payload_captured.min(d.payload_len);
        }
        d.carrier = self.udp_carries(d.src_port, d.dst_port, d.payload_at as usize, d.payload_len);
        let (carrier, payload_at) = (d.carrier, d.payload_at as usize);
        self.udp_ports = Some((d.src_port, d.dst_port));
        self.push(d);
        if carrier.is_empty() { Ok(()) } else { self.udp_tunnel(carrier, payload_at, ip) }
    }

    pub(super) fn sctp(&mut self, ip: &Ip) -> Result<(), Reason> {
        let Ok(b) = self.bytes::<12>(ip.body_at) else { return self.cut(132, ip, 12) };
        let mut d = self.row(132, ip, 12);
        d.src_port = u16::from_be_bytes([b[0], b[1]]);
        d.dst_port = u16::from_be_bytes([b[2], b[3]]);
        let captured = (d.payload_at as usize).saturating_add(d.payload_captured as usize);
        let chunks = self.frame.bytes.get(d.payload_at as usize..captured).unwrap_or(&[]);
        if let [kind, ..] = chunks {
            d.flags = if ends_in_abort(chunks) { sctp_chunk::ABORT } else { *kind };
        }
        if let (sctp_chunk::INIT | sctp_chunk::INIT_ACK, [_, _, _, _, tag @ .., _, _, _, _, _, _, _, _, _, _, _, _]) =
            (d.flags, chunks.get(..20).unwrap_or(&[]))
        {
            d.seq = tag.iter().fold(0, |n, &byte| n << 8 | u32::from(byte));
        }
        self.push(d);
        Ok(())
    }

    /// ICMP: the type takes the place of the port. Requests and replies pair as in Zeek and community_id:
    /// a request's "server port" is the type of its reply.
    pub(super) fn icmp(&mut self, protocol: u8, ip: &Ip) -> Result<(), Reason> {
        let b = self.bytes::<2>(ip.body_at)?;
        let mut d = self.row(protocol, ip, 8);
        d.src_port = u16::from(b[0]);
        match counterpart(protocol, b[0]) {
            Some(other) => {
                d.dst_port = u16::from(other);
                if let Ok(b) = self.bytes::<8>(ip.body_at) {
                    d.seq = u32::from_be_bytes([b[4], b[5], b[6], b[7]]);
                }
            }
            None => d.dst_port = u16::from(b[1]),
        }
        // Types in one byte each: bit 0 of the flags tells a request from its reply.
        d.flags = u8::from(is_request(protocol, b[0]));
        self.push(d);
        if super::icmp_error::is_error(protocol, b[0]) {
            self.notice(protocol, ip, b[0], b[1]);
        }
        Ok(())
    }

    pub(super) fn other(&mut self, protocol: u8, ip: &Ip) {
        let d = self.row(protocol, ip, 0);
        self.push(d);
    }
}

/// Whether one of an SCTP packet's chunks is an ABORT: others but DATA may come before it (RFC 9260, 3.3.7).
fn ends_in_abort(mut chunks: &[u8]) -> bool {
    for _ in 0..MAX_CHUNKS {
        let [kind, _, hi, lo, ..] = chunks else { return false };
        if matches!(*kind, sctp_chunk::ABORT | sctp_chunk::DATA) {
            return *kind == sctp_chunk::ABORT;
        }
        let len = usize::from(u16::from_be_bytes([*hi, *lo])).next_multiple_of(4);
        chunks = if len < 4 { &[] } else { chunks.get(len..).unwrap_or(&[]) };
    }
    false
}

/// The type that answers an ICMP type, or that it answers.
pub(crate) fn counterpart(protocol: u8, kind: u8) -> Option<u8> {
    Some(match (protocol, kind) {
        (1, 8) => 0,
        (1, 0) => 8,
        (1, 13) => 14,
        (1, 14) => 13,
        (1, 15) => 16,
        (1, 16) => 15,
        (1, 17) => 18,
        (1, 18) => 17,
        (1, 10) => 9,
        (1, 9) => 10,
        (58, 128) => 129,
        (58, 129) => 128,
        (58, 130) => 131,
        (58, 131) => 130,
        (58, 133) => 134,
        (58, 134) => 133,
        (58, 135) => 136,
        (58, 136) => 135,
        (58, 139) => 140,
        (58, 140) => 139,
        (58, 144) => 145,
        (58, 145) => 144,
        _ => return None,
    })
}

fn is_request(protocol: u8, kind: u8) -> bool {
    matches!((protocol, kind), (1, 8 | 13 | 15 | 17 | 10) | (58, 128 | 130 | 133 | 135 | 139 | 144))
}

/// The options that every segment may have: timestamps (RFC 7323) and the first SACK block (RFC 2018).
#[inline]
fn options_into(options: &[u8], d: &mut Decoded) {
    // By far the most common: NOP NOP timestamps.
    if let [1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3, rest @ ..] = options {
        d.ts_val = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
        d.ts_echo = u32::from_be_bytes([*e0, *e1, *e2, *e3]);
        if rest.is_empty() {
            return;
        }
        return slow_options(rest, d);
    }
    slow_options(options, d);
}

fn slow_options(options: &[u8], d: &mut Decoded) {
    for (kind, value) in TcpOptions::new(options) {
        match (kind, value) {
            (8, [v0, v1, v2, v3, e0, e1, e2, e3]) => {
                d.ts_val = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
                d.ts_echo = u32::from_be_bytes([*e0, *e1, *e2, *e3]);
            }
            (5, [l0, l1, l2, l3, r0, r1, r2, r3, ..]) => {
                d.sack = [u32::from_be_bytes([*l0, *l1, *l2, *l3]), u32::from_be_bytes([*r0, *r1, *r2, *r3])];
            }
            _ => {}
        }
    }
}

/// TCP options: (kind, value), NOP and end left out. Stops at the first that cannot be.
#[derive(Clone, Debug)]
pub struct TcpOptions<'a> {
    rest: &'a [u8],
}

impl<'a> TcpOptions<'a> {
    /// Options of a header.
    #[must_use]
    pub fn new(options: &'a [u8]) -> Self {
        Self { rest: options }
    }
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.rest {
                [1, rest @ ..] => self.rest = rest,
                [0, ..] | [] | [_] => return None,
                [kind, len, ..] => {
                    let value = self.rest.get(2..usize::from(*len))?;
                    let kind = *kind;
                    self.rest = self.rest.get(usize::from(*len)..)?;
                    return Some((kind, value));
                }
            }
        }
    }
}
