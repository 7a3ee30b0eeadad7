//! Interfaces and addresses of every network namespace.

use super::netlink::{self, Link};
use super::networks::{Namespace, inside};
use formats::facts::Interface;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Interfaces of a namespace with packets received and sent so far, ordered by index. `Interface::id` is still 0.
/// Empty if the namespace is gone or may not be entered.
#[must_use]
pub fn read(namespace: &Namespace) -> Vec<(Interface, [u64; 2])> {
    let netns = namespace.inode;
    inside(namespace, move || {
        let links = netlink::links()?;
        let mut addresses: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for a in netlink::addresses()? {
            addresses.entry(a.index).or_default().push(format!("{}/{}", address(&a.address), a.prefix));
        }
        let mut interfaces: Vec<_> = links
            .into_iter()
            .map(|link| {
                let packets = link.packets;
                let addresses = addresses.remove(&link.index).unwrap_or_default();
                (interface(netns, link, addresses), packets)
            })
            .collect();
        interfaces.sort_by_key(|(i, _)| i.ifindex);
        Ok(interfaces)
    })
    .unwrap_or_default()
}

fn interface(netns: u32, link: Link, addresses: Vec<String>) -> Interface {
    let kind = match (link.kind.as_str(), link.dev_type) {
        ("", libc::ARPHRD_LOOPBACK) => "lo".to_owned(),
        ("", _) => "physical".to_owned(),
        (kind, _) => kind.to_owned(),
    };
    // RFC 2863 states as `ip link` shows them; lo has none of its own and counts by its flag.
    let state = match link.operstate {
        6 => "up",
        2 | 3 => "down",
        _ if link.flags & libc::IFF_UP.cast_unsigned() == 0 => "down",
        _ => "unknown",
    };
    Interface {
        id: 0,
        netns,
        ifindex: link.index,
        name: link.name,
        kind,
        mac: if link.address.len() == 6 && link.dev_type != libc::ARPHRD_LOOPBACK {
            mac(&link.address)
        } else {
            String::new()
        },
        mtu: link.mtu,
        dev_type: link.dev_type,
        link: link.link,
        master: link.master,
        addresses,
        state: state.to_owned(),
    }
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

/// Text of an IPv4 or IPv6 address in network byte order.
#[must_use]
pub fn address(bytes: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Ipv4Addr::from(v4).to_string()
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        Ipv6Addr::from(v6).to_string()
    } else {
        String::new()
    }
}

/// pcap link type (LINKTYPE_*, tcpdump.org/linktypes.html) of packets of an interface of this ARPHRD_* type, as the
/// recorder gets them.
#[must_use]
pub fn link_type(dev_type: u16) -> u16 {
    const ETHERNET: u16 = 1;
    const RAW_IP: u16 = 101;
    const USER0: u16 = 147;
    match dev_type {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => ETHERNET,
        // No link-layer header: tun, tunnels, PPP (its header is added below the hooks), WireGuard, rawip.
        libc::ARPHRD_NONE
        | libc::ARPHRD_TUNNEL
        | libc::ARPHRD_TUNNEL6
        | libc::ARPHRD_SIT
        | libc::ARPHRD_IPGRE
        | 823 // ARPHRD_IP6GRE
        | 519 // ARPHRD_RAWIP
        | libc::ARPHRD_PPP
        | libc::ARPHRD_VOID => RAW_IP,
        libc::ARPHRD_IEEE80211 => 105,
        libc::ARPHRD_IEEE80211_RADIOTAP => 127,
        libc::ARPHRD_INFINIBAND => 247, // IPOIB-like frames as Linux shows them
        _ => USER0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::networks;
    use super::*;

    #[test]
    fn loopback() {
        let own = networks::own().unwrap();
        let interfaces = read(&own);
        let (lo, _) = interfaces.iter().find(|(i, _)| i.name == "lo").unwrap();
        assert_eq!((lo.ifindex, lo.kind.as_str(), lo.netns, link_type(lo.dev_type)), (1, "lo", own.inode, 1));
        assert_eq!(lo.mac, "");
    }

    #[test]
    fn link_types() {
        assert_eq!(link_type(1), 1);
        assert_eq!(link_type(772), 1);
        assert_eq!(link_type(0xfffe), 101);
        assert_eq!(link_type(776), 101);
        assert_eq!(address(&[10, 0, 0, 1]), "10.0.0.1");
        assert_eq!(address(&[0; 16]), "::");
        assert_eq!(address(&[1]), "");
    }
}
