//! Frames for tests, built by hand.

use super::{Decoded, Frame, Output, decode};

/// Ethernet around `payload`.
pub(crate) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa];
    f.extend(ethertype.to_be_bytes());
    f.extend(payload);
    f
}

/// IPv4 from 10.0.0.1 to 10.0.0.2 (or back), with don't-fragment.
pub(crate) fn ipv4(protocol: u8, back: bool, payload: &[u8]) -> Vec<u8> {
    ipv4_fragment(protocol, back, 7, 0x4000, payload)
}

/// The same with identification and fragment field.
pub(crate) fn ipv4_fragment(protocol: u8, back: bool, id: u16, field: u16, payload: &[u8]) -> Vec<u8> {
    let (a, b) = if back { (2, 1) } else { (1, 2) };
    let mut p = vec![0x45, 0];
    p.extend((20 + payload.len() as u16).to_be_bytes());
    p.extend(id.to_be_bytes());
    p.extend(field.to_be_bytes());
    p.extend([64, protocol, 0, 0, 10, 0, 0, a, 10, 0, 0, b]);
    p.extend(payload);
    p
}

/// IPv6 from 2001:db8::1 to ::2.
pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x60, 0, 0, 0];
    p.extend((payload.len() as u16).to_be_bytes());
    p.extend([next, 64]);
    for last in [1, 2] {
        p.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    p.extend(payload);
    p
}

/// UDP.
pub(crate) fn udp(src: u16, dst: u16, payload: &[u8]) -> Vec<u8> {
    let mut p = Vec::new();
    p.extend(src.to_be_bytes());
    p.extend(dst.to_be_bytes());
    p.extend((8 + payload.len() as u16).to_be_bytes());
    p.extend([0, 0]);
    p.extend(payload);
    p
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tcp<'a> {
    pub(crate) src: u16,
    pub(crate) dst: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// A multiple of four bytes.
    pub(crate) options: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl Tcp<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut p = Vec::new();
        p.extend(self.src.to_be_bytes());
        p.extend(self.dst.to_be_bytes());
        p.extend(self.seq.to_be_bytes());
        p.extend(self.ack.to_be_bytes());
        p.extend([((5 + self.options.len() / 4) as u8) << 4, self.flags]);
        p.extend(self.window.to_be_bytes());
        p.extend([0; 4]);
        p.extend(self.options);
        p.extend(self.payload);
        p
    }
}

/// Decodes one frame of a link type, captured as a whole.
pub(crate) fn decode_as(link_type: u16, bytes: &[u8]) -> Output {
    let mut out = Output::default();
    let wire_len = bytes.len() as u32;
    decode(&Frame { bytes, wire_len, ts: 5, interface: 3, link_type, index: 0, packets: 1 }, &mut out);
    out
}

/// The only packet in a frame.
pub(crate) fn one(link_type: u16, bytes: &[u8]) -> Decoded {
    let out = decode_as(link_type, bytes);
    assert_eq!(out.undecoded, []);
    assert_eq!(out.packets.len(), 1);
    out.packets[0]
}
