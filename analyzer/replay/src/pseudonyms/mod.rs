//! Pseudonyms: addresses, host names, user names and paths replaced, each by the same one wherever it stands, under a key.
//!
//! Addresses keep their common prefixes, as Crypto-PAn's do (Xu, Fan, Ammar, Moon: "Prefix-Preserving IP Address
//! Anonymization", 2002): two addresses of one /24 have pseudonyms of one /24. The bit that is turned or not at each place is
//! taken from SHA-256 of the key and the bits before it. Names become a letter and seven digits of base 32, label by label and segment by
//! segment, so that `a.example.com` and `b.example.com` still end alike. Without the key nothing leads back; with the same key the
//! same recording gives the same pseudonyms, and two recordings can be compared.

mod apply;
#[cfg(test)]
mod tests;
mod text;

use crate::order::{ip_from_number, ip_number};
use ahash::{AHashMap, AHashSet};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// How many different things were replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disguised {
    /// IP addresses.
    pub addresses: u64,
    /// Hardware addresses.
    pub macs: u64,
    /// Labels of host names.
    pub hosts: u64,
    /// User names.
    pub users: u64,
    /// Segments of paths.
    pub paths: u64,
}

/// What a name is the name of: its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Host,
    User,
    Path,
    Value,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Self::Host => 'h',
            Self::User => 'u',
            Self::Path => 'p',
            Self::Value => 'v',
        }
    }
}

/// Gives pseudonyms.
#[derive(Debug)]
pub struct Pseudonyms {
    key: [u8; 32],
    addresses: AHashMap<IpAddr, IpAddr>,
    macs: AHashMap<[u8; 6], [u8; 6]>,
    names: AHashMap<(Kind, Box<str>), Box<str>>,
    /// Host names to be looked for in other texts, in lower case.
    hosts: AHashSet<Box<str>>,
    /// User names likewise.
    users: AHashSet<Box<str>>,
}

impl Pseudonyms {
    /// Under a key: whatever a key file holds.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self {
            key: Sha256::new().chain_update(b"hindsight pseudonyms 1").chain_update(key).finalize().into(),
            addresses: AHashMap::new(),
            macs: AHashMap::new(),
            names: AHashMap::new(),
            hosts: AHashSet::new(),
            users: AHashSet::new(),
        }
    }

    fn digest(&self, what: &[u8], value: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(self.key).chain_update(what).chain_update([0]).chain_update(value).finalize().into()
    }

    /// The pseudonym of an address. Loopback, unspecified, multicast and broadcast addresses stay: they name nobody.
    pub fn address(&mut self, ip: IpAddr) -> IpAddr {
        if names_nobody(ip) {
            return ip;
        }
        if let Some(&known) = self.addresses.get(&ip) {
            return known;
        }
        // An image that would mean something else is sent through again: a walk on a cycle, so two never meet.
        let mut image = self.permuted(ip);
        while names_nobody(image) {
            image = self.permuted(image);
        }
        self.addresses.insert(ip, image);
        image
    }

    /// A bijection of the addresses of a family that keeps common prefixes.
    fn permuted(&self, ip: IpAddr) -> IpAddr {
        let (number, bits) = match ip {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let mut out = number;
        for place in 0..bits {
            let before = if place == 0 { 0 } else { number & (u128::MAX << (128 - place)) };
            let mut value = [0; 18];
            value[..16].copy_from_slice(&before.to_be_bytes());
            value[16..].copy_from_slice(&[bits as u8, place as u8]);
            let turns = self.digest(b"ip", &value)[0] & 1;
            out ^= u128::from(turns) << (127 - place);
        }
        match ip {
            IpAddr::V4(_) => IpAddr::V4(((out >> 96) as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(out.into()),
        }
    }

    fn mac(&mut self, mac: [u8; 6]) -> [u8; 6] {
        if mac == [0; 6] || mac[0] & 1 == 1 {
            return mac;
        }
        if let Some(&known) = self.macs.get(&mac) {
            return known;
        }
        let d = self.digest(b"mac", &mac);
        // One that nobody sells: locally administered, of one station.
        let out = [d[0] & 0xfc | 2, d[1], d[2], d[3], d[4], d[5]];
        self.macs.insert(mac, out);
        out
    }

    fn name(&mut self, kind: Kind, name: &str) -> Box<str> {
        if let Some(known) = self.names.get(&(kind, name.into())) {
            return known.clone();
        }
        let mut number =
            u64::from_be_bytes(*self.digest(&[kind as u8], name.as_bytes()).first_chunk().unwrap_or(&[0; 8]));
        let mut out = String::from(kind.letter());
        for _ in 0..7 {
            out.push(char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(number & 31) as usize]));
            number >>= 5;
        }
        let out: Box<str> = out.into();
        self.names.insert((kind, name.into()), out.clone());
        out
    }

    /// A user's name.
    fn user(&mut self, name: &str) -> Box<str> {
        if name.is_empty() { name.into() } else { self.name(Kind::User, name) }
    }

    /// What was replaced so far.
    fn counts(&self) -> Disguised {
        let of = |kind: Kind| self.names.keys().filter(|(k, _)| *k == kind).count() as u64;
        Disguised {
            addresses: self.addresses.len() as u64,
            macs: self.macs.len() as u64,
            hosts: of(Kind::Host),
            users: of(Kind::User),
            paths: of(Kind::Path) + of(Kind::Value),
        }
    }
}

/// Addresses that say nothing of who has them.
fn names_nobody(ip: IpAddr) -> bool {
    // Mapped addresses are IPv4 everywhere else.
    match ip_from_number(ip_number(ip)) {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_multicast(),
    }
}
