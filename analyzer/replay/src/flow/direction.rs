//! Which side is the client: the handshake where it was seen, else ports, else who spoke first.

use crate::decode::{Decoded, sctp_chunk as chunk, tcp_flag as f};
use crate::model::Side;

/// Who sent the first packet, and how sure that is (0..=100).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// Side of the first packet's sender.
    pub(super) sender: Side,
    /// Sureness.
    pub(super) score: u8,
}

/// Score of a decision by a SYN or SYN-ACK, or more.
pub(super) const HANDSHAKE_SEEN: u8 = 95;

/// Ports that servers listen on although they are above 1023.
const SERVICES: [u16; 79] = [
    1080, 1194, 1433, 1521, 1723, 1883, 2049, 2152, 2181, 2375, 2379, 2380, 2904, 2905, 3000, 3128, 3260, 3268, 3306,
    3389, 3544, 3565, 3868, 4222, 4317, 4318, 4789, 5000, 5044, 5060, 5061, 5072, 5222, 5353, 5355, 5432, 5601, 5671,
    5672, 5900, 6081, 6379, 6380, 6443, 6514, 6650, 6667, 7000, 7687, 8000, 8008, 8080, 8081, 8086, 8125, 8443, 8472,
    8500, 8883, 9000, 9042, 9090, 9092, 9200, 9418, 11211, 14001, 27017, 29118, 29168, 29169, 36412, 36422, 36443,
    36444, 38412, 38422, 38462, 38472,
];

/// How much a port looks like a server's: 3 well-known service, 2 below 1024, 1 below the ephemeral range, 0 ephemeral.
fn server_likeness(port: u16) -> u8 {
    match port {
        20
        | 21
        | 22
        | 23
        | 25
        | 53
        | 67
        | 80
        | 88
        | 110
        | 111
        | 123
        | 135
        | 137..=139
        | 143
        | 161
        | 162
        | 179
        | 389
        | 443
        | 445
        | 465
        | 514
        | 587
        | 636
        | 853
        | 993
        | 995 => 3,
        1..=1023 => 2,
        _ if SERVICES.binary_search(&port).is_ok() => 3,
        0 | 32768.. => 0,
        _ => 1,
    }
}

/// Decides by the first packet of a flow.
#[must_use]
pub(super) fn decide(d: &Decoded) -> Decision {
    let client = |score| Decision { sender: Side::Client, score };
    let server = |score| Decision { sender: Side::Server, score };
    match d.protocol {
        6 if !d.cut_header && d.has(f::SYN | f::ACK) => return server(HANDSHAKE_SEEN),
        6 if !d.cut_header && d.has(f::SYN) => return client(100),
        132 if matches!(d.flags, chunk::INIT | chunk::COOKIE_ECHO) => return client(100),
        132 if matches!(d.flags, chunk::INIT_ACK | chunk::COOKIE_ACK) => return server(HANDSHAKE_SEEN),
        1 | 58 => return if d.flags & 1 == 1 || d.src_port <= d.dst_port { client(90) } else { client(60) },
        _ => {}
    }
    // Nobody at a group address serves: what goes there is announced or asked.
    let group = match crate::order::ip_from_number(d.dst) {
        std::net::IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
        std::net::IpAddr::V6(ip) => ip.is_multicast(),
    };
    if group {
        return client(80);
    }
    let (from, to) = (server_likeness(d.src_port), server_likeness(d.dst_port));
    let score = match from.abs_diff(to) {
        0 => 30,
        1 => 60,
        2 => 70,
        _ => 85,
    };
    if from > to {
        // A datagram's first sender is rarely the server: only a known service outweighs it.
        if d.protocol == 17 && from < 3 { client(50) } else { server(score) }
    } else {
        client(score)
    }
}
