//! Internet checksums (RFC 1071) of IPv4 headers, TCP, UDP and ICMP: whether a packet was damaged on its way.
//!
//! What cannot be known is not wrong: a packet of which bytes are missing, one with options or extension headers that may change the
//! addresses its sender counted in, and one whose sender left the sum to the network card. Such a packet has, where the checksum belongs, 0
//! or the sum of the pseudo header alone (Linux' `CHECKSUM_PARTIAL`; Windows leaves its length out).

use super::{ASSEMBLED, Decoded};

/// The upper 96 bits of an IPv4 address ([`crate::order::MAPPED`]).
fn is_v4(address: u128) -> bool {
    address >> 32 == 0xffff
}

/// Sum of big-endian 16-bit words, not folded. The words are added in the machine's order, four bytes at a time, since the order of bytes makes
/// no difference but to the result's (RFC 1071, 2).
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let (chunks, rest) = bytes.as_chunks::<4>();
    let whole: u64 = chunks.iter().map(|c| u64::from(u32::from_ne_bytes(*c))).sum();
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from(u16::from_be(fold(whole + u64::from(u32::from_ne_bytes(last)))))
}

/// Folds the carries in.
#[inline]
fn fold(mut n: u64) -> u16 {
    while n >> 16 != 0 {
        n = (n & 0xffff) + (n >> 16);
    }
    n as u16
}

fn sum_of_number(n: u128) -> u64 {
    (0..8).map(|i| (n >> (16 * i)) as u64 & 0xffff).sum()
}

/// Whether a checksum of a packet is beyond doubt wrong: that of its IPv4 header, or that of its TCP, UDP or ICMP message. `frame` are the
/// bytes that [`Decoded`] tells places in.
#[must_use]
pub(crate) fn is_wrong(d: &Decoded, frame: &[u8]) -> bool {
    if d.cut_header || d.payload_captured < d.payload_len {
        return false;
    }
    // The header's length, and where in it the checksum is.
    let (header, field) = match d.protocol {
        6 if d.options_len > 0 => (d.payload_at.saturating_sub(d.options_at) + 20, 16),
        6 => (20, 16),
        17 => (8, 6),
        1 | 58 => (8, 2),
        _ => return false,
    };
    let Some(at) = (d.payload_at as usize).checked_sub(header as usize) else { return false };
    let len = header + d.payload_len;
    let Some(message) = frame.get(at..at + len as usize) else { return false };
    let v4 = is_v4(d.src);
    let ip_header = if v4 { 20 } else { 40 };
    if len + ip_header > d.ip_len {
        return false;
    }
    let Some(ip_at) = at.checked_sub(ip_header as usize) else { return false };
    let ip = frame.get(ip_at..at).unwrap_or(&[]);
    let assembled = d.frame & ASSEMBLED != 0 || d.packets > 1;
    match ip.first() {
        // Of a fragmented datagram the header is one of several.
        Some(0x45) if v4 => {
            if !assembled && ip.get(10..12) != Some(&[0, 0]) && fold(sum(ip)) != 0xffff {
                return true;
            }
        }
        Some(first) if !v4 && first >> 4 == 6 && ip.get(6) == Some(&d.protocol) => {}
        // Options or extension headers, among them such that name another receiver.
        _ => return false,
    }
    let Some(&[hi, lo]) = message.get(field..field + 2) else { return false };
    let written = u16::from_be_bytes([hi, lo]);
    if written == 0 && d.protocol != 1 && d.protocol != 58 {
        // None (UDP), or left to the card.
        return false;
    }
    if d.protocol == 17 && message.get(4..6) != Some(&(len as u16).to_be_bytes()[..]) {
        return false;
    }
    let addresses = if d.protocol == 1 { 0 } else { sum_of_number(d.src & mask(v4)) + sum_of_number(d.dst & mask(v4)) };
    let protocol = if d.protocol == 1 { 0 } else { u64::from(d.protocol) };
    let length = if d.protocol == 1 { 0 } else { u64::from(len) };
    if fold(sum(message) + addresses + protocol + length) == 0xffff {
        return false;
    }
    let partial = [fold(addresses + protocol + length), fold(addresses + protocol)];
    d.protocol == 1 || !partial.contains(&written)
}

/// The bits of an address that are its own.
fn mask(v4: bool) -> u128 {
    if v4 { 0xffff_ffff } else { u128::MAX }
}

#[cfg(test)]
mod tests {
    use super::super::build::{decode_as, one};
    use super::super::{Frame, Output, decode};
    use super::*;

    /// ICMP echo request of ping with the checksum that Wireshark computes: words 0800 + 0001 + 0002 = 0803, complement f7fc.
    const PING: [u8; 42] = [
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
        0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0x66, 0xde, 10, 0, 0, 1, 10, 0, 0,
        2, // IPv4: 4500+1c+1+4001+a00+1+a00+2=9921
        8, 0, 0xf7, 0xfc, 0, 1, 0, 2,
    ];

    /// UDP from 1 to 2 with one byte `a`: pseudo header 0a00+0001+0a00+0002+0011+0009 = 141d; datagram 0001+0002+0009+6100 = 610c.
    /// Together 7529, complement 8ad6.
    const UDP: [u8; 43] = [
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
        0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0x66, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2, //
        0, 1, 0, 2, 0, 9, 0x8a, 0xd6, b'a',
    ];

    fn wrong(frame: &[u8]) -> bool {
        is_wrong(&one(1, frame), frame)
    }

    #[test]
    fn sums_worked_out_by_hand() {
        assert!(!wrong(&PING));
        assert!(!wrong(&UDP));
    }

    #[test]
    fn every_bit_behind_ethernet_counts() {
        for (frame, least) in [(&PING[..], 178), (&UDP[..], 170)] {
            let mut wrong = 0;
            for bit in 14 * 8..frame.len() * 8 {
                let mut damaged = frame.to_vec();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let out = decode_as(1, &damaged);
                let Some(d) = out.packets.first() else { continue };
                // A damaged header may say that it is a fragment or has another length, or that another protocol follows: then nothing is known.
                let is_known = d.ip_len as usize == frame.len() - 14 && d.protocol == frame[23] && bit / 8 != 14;
                let udp_length = frame[23] == 17 && matches!(bit / 8, 38 | 39);
                assert!(is_wrong(d, &damaged) || !is_known || udp_length, "bit {bit}");
                wrong += usize::from(is_wrong(d, &damaged));
            }
            assert!(wrong >= least, "{wrong} of {}", 8 * (frame.len() - 14));
        }
    }

    #[test]
    fn what_the_card_would_have_filled_in_is_not_wrong() {
        let mut frame = UDP;
        for partial in [[0, 0], [0x14, 0x1d], [0x14, 0x14]] {
            frame[40..42].copy_from_slice(&partial);
            assert!(!wrong(&frame), "{partial:x?}");
        }
        frame[40..42].copy_from_slice(&[0x14, 0x1e]);
        assert!(wrong(&frame));
        // Nor is an IPv4 header without a sum (Windows' segmentation offload).
        let mut frame = UDP;
        frame[24..26].copy_from_slice(&[0, 0]);
        assert!(!wrong(&frame));
    }

    #[test]
    fn a_cut_packet_is_not_wrong() {
        let frame = &UDP[..42];
        let mut out = Output::default();
        decode(
            &Frame { bytes: frame, wire_len: 43, ts: 0, interface: 0, link_type: 1, index: 0, packets: 1 },
            &mut out,
        );
        assert_eq!((out.packets[0].payload_len, out.packets[0].payload_captured), (1, 0));
        assert!(!is_wrong(&out.packets[0], frame));
    }
}
