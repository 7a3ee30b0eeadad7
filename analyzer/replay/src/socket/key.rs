//! Which socket a record is about, and which shard it goes to.

use crate::model::Transport;
use crate::order;
use formats::event::{Record, SocketData};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// AF_UNIX.
pub(super) const AF_UNIX: u16 = 1;
/// AF_INET6.
pub(super) const AF_INET6: u16 = 10;
/// IPPROTO_TCP.
pub(super) const TCP: u8 = 6;
/// IPPROTO_UDP.
pub(super) const UDP: u8 = 17;

/// An address as records hold it; IPv4-mapped ones come out as IPv4, so that a dual-stack server and its IPv4
/// client agree.
pub(crate) fn ip(family: u16, bytes: &[u8; 16]) -> IpAddr {
    if family == AF_INET6 {
        IpAddr::from(Ipv6Addr::from(*bytes)).to_canonical()
    } else {
        let [a, b, c, d, ..] = *bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    }
}

/// The transport of a record's socket.
pub(super) fn transport(data: &SocketData) -> Transport {
    match (data.family, data.protocol) {
        (AF_UNIX, _) => Transport::Unix,
        (_, TCP) => Transport::Tcp,
        (_, UDP) => Transport::Udp,
        (_, other) => Transport::Other(other),
    }
}

/// Shard key of a socket data record: the same for both ends of a conversation and for its packets
/// ([`order::shard_hash`]). UNIX sockets have no packets: their pair's identity is the key.
#[must_use]
pub fn shard_key(bytes: &[u8]) -> u64 {
    let Some(data) = SocketData::read(bytes) else { return 0 };
    if data.family == AF_UNIX {
        let one = if data.peer == 0 { data.sock } else { data.sock.min(data.peer) };
        return order::shard_hash_numbers(0, u128::from(one), 0, 0, 0);
    }
    order::shard_hash(
        data.protocol,
        ip(data.family, &data.local_addr),
        data.local_port,
        ip(data.family, &data.remote_addr),
        data.remote_port,
    )
}
