//! Order and shards: which worker sees a packet or record, and when.
//!
//! A conversation's packets and its socket records go to the same shard, whichever side sent or saw them, so
//! that a shard never needs another one's state. The number of shards is fixed: results cannot depend on
//! the number of threads.

use std::net::IpAddr;

/// Number of shards; more than any sensible number of threads, so that work evens out.
pub const SHARDS: usize = 64;

/// An address as a number, IPv4 in its IPv6-mapped form.
#[inline]
#[must_use]
pub fn ip_number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => MAPPED | u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// `::ffff:0:0`, the prefix of IPv4-mapped addresses.
pub(crate) const MAPPED: u128 = 0xffff_0000_0000;

/// The reverse of [`ip_number`]; mapped addresses come out as IPv4.
#[inline]
#[must_use]
pub fn ip_from_number(n: u128) -> IpAddr {
    match u32::try_from(n ^ MAPPED) {
        Ok(v4) => IpAddr::V4(v4.into()),
        Err(_) => IpAddr::V6(n.into()),
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b ^ 0xd1b5_4a32_d192_ed03);
    (wide as u64) ^ ((wide >> 64) as u64)
}

#[inline]
fn endpoint(ip: u128, port: u16) -> u64 {
    fold(ip as u64 ^ u64::from(port).rotate_left(48), (ip >> 64) as u64 ^ u64::from(port))
}

/// Hash of a conversation: the same for both directions. `protocol` is the IP protocol number (0 for UNIX sockets).
/// Packets (`decode`) and socket records (`socket::shard_key`) must both use this one.
#[inline]
#[must_use]
pub fn shard_hash(protocol: u8, a_ip: IpAddr, a_port: u16, b_ip: IpAddr, b_port: u16) -> u64 {
    shard_hash_numbers(protocol, ip_number(a_ip), a_port, ip_number(b_ip), b_port)
}

/// [`shard_hash`] on addresses that are numbers already ([`ip_number`]).
#[inline]
#[must_use]
pub fn shard_hash_numbers(protocol: u8, a_ip: u128, a_port: u16, b_ip: u128, b_port: u16) -> u64 {
    let (a, b) = (endpoint(a_ip, a_port), endpoint(b_ip, b_port));
    fold(a.wrapping_add(b), (a ^ b) ^ u64::from(protocol))
}

/// Shard of a hash.
#[inline]
#[must_use]
pub fn shard_of(hash: u64) -> usize {
    (hash >> 58) as usize % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_same_in_both_directions() {
        let (a, b) = ("10.0.0.1".parse().unwrap(), "2001:db8::7".parse().unwrap());
        assert_eq!(shard_hash(6, a, 80, b, 4711), shard_hash(6, b, 4711, a, 80));
        assert_ne!(shard_hash(6, a, 80, b, 4711), shard_hash(6, a, 4711, b, 80));
        assert_ne!(shard_hash(6, a, 80, b, 4711), shard_hash(17, a, 80, b, 4711));
    }

    #[test]
    fn mapped_addresses_come_back_as_ipv4() {
        for text in ["1.2.3.4", "255.255.255.255", "0.0.0.0", "2001:db8::1", "::1", "::"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(ip_from_number(ip_number(ip)), ip);
        }
    }

    #[test]
    fn shards_are_used_evenly() {
        let mut counts = [0u32; SHARDS];
        for port in 0..64_000u16 {
            let h = shard_hash(6, "10.0.0.1".parse().unwrap(), port, "10.0.0.2".parse().unwrap(), 80);
            counts[shard_of(h)] += 1;
        }
        assert!(counts.iter().all(|&c| (800..1200).contains(&c)), "{counts:?}");
    }
}
