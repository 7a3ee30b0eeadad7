//! From a packet to the payload of the TCP segment in it, tunnels included.

use std::ops::Range;

/// Headers passed at most: a tunnel within a tunnel, with tags.
const LAYERS: usize = 8;
const ETHERNET: u16 = libc::ARPHRD_ETHER;
const LOOPBACK: u16 = libc::ARPHRD_LOOPBACK;

/// A TCP segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where its payload lies in the captured bytes.
    pub(super) payload: Range<usize>,
    /// Bytes of payload on the wire.
    pub(super) wire_len: usize,
    /// Sequence number.
    pub(super) seq: u32,
    /// Addresses and ports of both ends, mixed; the other direction has another one.
    pub(super) flow: u64,
}

/// The segment in a packet as it was captured from an interface of `dev_type` (ARPHRD_*).
pub(super) fn segment(dev_type: u16, ethertype: u16, bytes: &[u8]) -> Option<Segment> {
    if dev_type == ETHERNET || dev_type == LOOPBACK {
        layers(Layer::Ethernet, 0, bytes)
    } else {
        network(ethertype, bytes)
    }
}

/// The segment in what begins with a network header.
pub(super) fn network(ethertype: u16, bytes: &[u8]) -> Option<Segment> {
    layers(of_ethertype(ethertype)?, 0, bytes)
}

#[derive(Clone, Copy)]
enum Layer {
    Ethernet,
    /// What follows an ethertype at this place.
    Tagged,
    Ip4,
    Ip6,
}

fn of_ethertype(ethertype: u16) -> Option<Layer> {
    match ethertype {
        0x0800 => Some(Layer::Ip4),
        0x86dd => Some(Layer::Ip6),
        0x8100 | 0x88a8 => Some(Layer::Tagged),
        0x6558 => Some(Layer::Ethernet),
        _ => None,
    }
}

fn be16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*b.get(at..)?.first_chunk()?))
}

fn layers(mut layer: Layer, mut at: usize, b: &[u8]) -> Option<Segment> {
    for _ in 0..LAYERS {
        let (protocol, flow, wire_end);
        match layer {
            Layer::Ethernet => {
                layer = of_ethertype(be16(b, at + 12)?)?;
                at += 14;
                continue;
            }
            Layer::Tagged => {
                layer = of_ethertype(be16(b, at + 2)?)?;
                at += 4;
                continue;
            }
            Layer::Ip4 => {
                let header = b.get(at..at + 20)?;
                // Later fragments have no transport header.
                if be16(header, 6)? & 0x1fff != 0 {
                    return None;
                }
                let total = usize::from(be16(header, 2)?);
                protocol = *header.get(9)?;
                flow = fold(header.get(12..20)?, 0);
                // Segments that the hardware is to cut may state a length of 0.
                wire_end = if total == 0 { usize::MAX } else { at + total };
                at += usize::from(header.first()? & 15) * 4;
            }
            Layer::Ip6 => {
                let header = b.get(at..at + 40)?;
                let total = usize::from(be16(header, 4)?);
                let mut next = *header.get(6)?;
                flow = fold(header.get(8..40)?, 0);
                wire_end = if total == 0 { usize::MAX } else { at + 40 + total };
                at += 40;
                // Hop-by-hop, routing and destination options.
                while matches!(next, 0 | 43 | 60) {
                    next = *b.get(at)?;
                    at += (usize::from(*b.get(at + 1)?) + 1) * 8;
                }
                protocol = next;
            }
        }
        match protocol {
            6 => {
                let header = b.get(at..at + 20)?;
                let payload = at + usize::from(header.get(12)? >> 4) * 4;
                let end = b.len().min(wire_end);
                return Some(Segment {
                    payload: payload.min(end)..end,
                    wire_len: if wire_end == usize::MAX { usize::MAX } else { wire_end.saturating_sub(payload) },
                    seq: u32::from_be_bytes(*header.get(4..)?.first_chunk()?),
                    flow: fold(header.get(..4)?, flow),
                });
            }
            // VXLAN on its two ports, and Geneve.
            17 => {
                at += 8;
                match be16(b, at.checked_sub(6)?)? {
                    4789 | 8472 => {
                        at += 8;
                        layer = Layer::Ethernet;
                    }
                    6081 => {
                        let options = usize::from(b.get(at)? & 0x3f) * 4;
                        layer = of_ethertype(be16(b, at + 2)?)?;
                        at += 8 + options;
                    }
                    _ => return None,
                }
            }
            4 => layer = Layer::Ip4,
            41 => layer = Layer::Ip6,
            // GRE, with checksum, key and sequence number where its flags say so (RFC 2784, 2890).
            47 => {
                let flags = be16(b, at)?;
                layer = of_ethertype(be16(b, at + 2)?)?;
                at += 4 + 4 * [0x8000, 0x2000, 0x1000].iter().filter(|bit| flags & **bit != 0).count();
            }
            _ => return None,
        }
    }
    None
}

/// Mixes bytes into a number, in their order.
fn fold(bytes: &[u8], start: u64) -> u64 {
    bytes.chunks(4).fold(start, |h, c| {
        let word = c.iter().fold(0u64, |w, b| w << 8 | u64::from(*b));
        (h ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}
