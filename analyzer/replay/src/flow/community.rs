//! community_id version 1, seed 0 (<https://github.com/corelight/community-id-spec>).

use crate::decode::transport::counterpart;
use crate::model::{Endpoints, Transport};
use sha1::{Digest, Sha1};
use std::net::IpAddr;

fn bytes(ip: IpAddr) -> ([u8; 16], usize) {
    match ip {
        IpAddr::V4(v4) => {
            let mut b = [0; 16];
            b[..4].copy_from_slice(&v4.octets());
            (b, 4)
        }
        IpAddr::V6(v6) => (v6.octets(), 16),
    }
}

/// The id of a conversation; empty where it has no addresses.
#[must_use]
pub fn community_id(transport: Transport, e: &Endpoints) -> String {
    let (Some(a), Some(b)) = (e.client_ip, e.server_ip) else { return String::new() };
    let (protocol, ports) = match transport {
        Transport::Tcp => (6, true),
        Transport::Udp => (17, true),
        Transport::Sctp => (132, true),
        Transport::Icmp => (1, true),
        Transport::Icmp6 => (58, true),
        Transport::Other(p) => (p, false),
        Transport::Unix => return String::new(),
    };
    let ((a, len), (b, b_len)) = (bytes(a), bytes(b));
    let one_way = matches!(protocol, 1 | 58) && counterpart(protocol, e.client_port as u8).is_none();
    let (mut from, mut to) = ((a, len, e.client_port), (b, b_len, e.server_port));
    // Messages without an answer keep their direction.
    if !one_way && (from.0, from.2) > (to.0, to.2) {
        std::mem::swap(&mut from, &mut to);
    }
    let mut sha = Sha1::new();
    sha.update([0, 0]);
    sha.update(from.0.get(..from.1).unwrap_or(&[]));
    sha.update(to.0.get(..to.1).unwrap_or(&[]));
    sha.update([protocol, 0]);
    if ports {
        sha.update(from.2.to_be_bytes());
        sha.update(to.2.to_be_bytes());
    }
    let digest = sha.finalize();
    let mut id = String::with_capacity(30);
    id.push_str("1:");
    base64(&digest, &mut id);
    id
}

fn base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let place = (n >> (18 - 6 * i)) & 63;
            out.push(if i > chunk.len() { '=' } else { char::from(ALPHABET[place as usize]) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(transport: Transport, a: &str, a_port: u16, b: &str, b_port: u16) -> String {
        let e = Endpoints {
            client_ip: a.parse().ok(),
            client_port: a_port,
            server_ip: b.parse().ok(),
            server_port: b_port,
        };
        community_id(transport, &e)
    }

    // Values of the specification's reference implementation (pycommunityid's baselines).
    #[test]
    fn known_values() {
        assert_eq!(id(Transport::Tcp, "128.232.110.120", 34855, "66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(id(Transport::Tcp, "66.35.250.204", 80, "128.232.110.120", 34855), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(id(Transport::Udp, "192.168.1.52", 54585, "8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        assert_eq!(id(Transport::Icmp, "192.168.0.89", 8, "192.168.0.1", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
    }
}
