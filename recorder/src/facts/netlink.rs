//! rtnetlink dumps: just enough to list links and addresses of a network namespace.
//!
//! Layouts: include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `struct nlmsghdr`.
const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Messages read in one dump at most: a bound, not an expectation.
const MESSAGES_LIMIT: usize = 200_000;

/// In an `IFLA_XDP`: how a program is attached, 0 if there is none.
const IFLA_XDP_ATTACHED: u16 = 2;

/// A link and what this program asks about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Index in its namespace.
    pub index: u32,
    /// ARPHRD_*.
    pub dev_type: u16,
    /// IFF_*.
    pub flags: u32,
    /// Name.
    pub name: String,
    /// Hardware address.
    pub address: Vec<u8>,
    /// Bytes.
    pub mtu: u32,
    /// Peer or lower device.
    pub link: u32,
    /// Bridge, bond.
    pub master: u32,
    /// RFC 2863 operational state: 2 down, 6 up.
    pub operstate: u8,
    /// `veth`, `bridge`, ...; empty for physical devices and lo.
    pub kind: String,
    /// Packets received, sent.
    pub packets: [u64; 2],
    /// How often the carrier has gone.
    pub carrier_downs: u32,
    /// An XDP program is attached.
    pub xdp: bool,
}

/// An address of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// Link.
    pub index: u32,
    /// Prefix length.
    pub prefix: u8,
    /// 4 or 16 bytes.
    pub address: Vec<u8>,
}

/// Links of the calling thread's network namespace.
pub fn links() -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    dump(libc::RTM_GETLINK, |kind, body| {
        if kind == libc::RTM_NEWLINK
            && let Some(link) = parse_link(body)
        {
            links.push(link);
        }
    })?;
    Ok(links)
}

/// Addresses of the calling thread's network namespace.
pub fn addresses() -> io::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    dump(libc::RTM_GETADDR, |kind, body| {
        if kind == libc::RTM_NEWADDR
            && let Some(address) = parse_address(body)
        {
            addresses.push(address);
        }
    })?;
    Ok(addresses)
}

fn dump(request: u16, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    // SAFETY: plain system call; the result is checked before use.
    let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` is open and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let timeout = libc::timeval { tv_sec: 2, tv_usec: 0 };
    // nlmsghdr, then ifinfomsg (16 bytes, family AF_UNSPEC); shorter family messages are accepted with it too.
    let mut message = [0u8; HEADER + 16];
    message[0..4].copy_from_slice(&32u32.to_ne_bytes());
    message[4..6].copy_from_slice(&request.to_ne_bytes());
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: pointers and lengths belong to live local values.
    let sent = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const timeout).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        );
        libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0)
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut buffer = vec![0u8; 64 << 10];
    let mut messages = 0;
    loop {
        // SAFETY: `buffer` is writable for its whole length.
        let got = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        if got <= 0 {
            return Err(io::Error::last_os_error());
        }
        let mut rest = buffer.get(..got.cast_unsigned()).unwrap_or_default();
        while let Some((kind, body, next)) = message_at(rest) {
            messages += 1;
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let errno = body.get(..4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_ne_bytes);
                    return Err(io::Error::from_raw_os_error(-errno));
                }
                _ => each(kind, body),
            }
            rest = next;
        }
        if messages > MESSAGES_LIMIT {
            return Ok(());
        }
    }
}

/// The message at the start: type, body, what follows.
fn message_at(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = u32_at(bytes, 0)? as usize;
    let kind = u16_at(bytes, 4)?;
    let body = bytes.get(HEADER..len)?;
    let next = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((kind, body, next))
}

/// Attributes of a message: type (without flags) and value.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let mut link =
        Link { dev_type: u16_at(body, 2)?, index: u32_at(body, 4)?, flags: u32_at(body, 8)?, ..Link::default() };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_ADDRESS => link.address = value.to_vec(),
            libc::IFLA_MTU => link.mtu = u32_at(value, 0).unwrap_or(0),
            libc::IFLA_LINK => link.link = u32_at(value, 0).unwrap_or(0),
            libc::IFLA_MASTER => link.master = u32_at(value, 0).unwrap_or(0),
            libc::IFLA_OPERSTATE => link.operstate = value.first().copied().unwrap_or(0),
            // struct rtnl_link_stats64 starts with rx_packets, tx_packets.
            libc::IFLA_STATS64 => link.packets = [u64_at(value, 0).unwrap_or(0), u64_at(value, 8).unwrap_or(0)],
            libc::IFLA_CARRIER_DOWN_COUNT => link.carrier_downs = u32_at(value, 0).unwrap_or(0),
            libc::IFLA_XDP => {
                link.xdp = attributes(value).any(|(k, v)| k == IFLA_XDP_ATTACHED && v.first().is_some_and(|a| *a != 0));
            }
            libc::IFLA_LINKINFO => {
                if let Some((_, kind)) = attributes(value).find(|(k, _)| *k == libc::IFLA_INFO_KIND) {
                    link.kind = text(kind);
                }
            }
            _ => {}
        }
    }
    Some(link)
}

fn parse_address(body: &[u8]) -> Option<Address> {
    let mut address = Address { prefix: *body.get(1)?, index: u32_at(body, 4)?, address: Vec::new() };
    for (kind, value) in attributes(body.get(8..)?) {
        // IFA_LOCAL is the own end of a point-to-point link; IPv6 has IFA_ADDRESS only.
        if kind == libc::IFA_LOCAL || (kind == libc::IFA_ADDRESS && address.address.is_empty()) {
            address.address = value.to_vec();
        }
    }
    (!address.address.is_empty()).then_some(address)
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned()
}

fn u16_at(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(b.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there() {
        let links = links().unwrap();
        let lo = links.iter().find(|l| l.name == "lo").unwrap();
        assert_eq!((lo.index, lo.dev_type), (1, libc::ARPHRD_LOOPBACK));
        assert!(addresses().unwrap().iter().all(|a| matches!(a.address.len(), 4 | 16)));
    }

    #[test]
    fn damaged_messages_end_quietly() {
        assert!(message_at(&[255; 7]).is_none());
        assert!(message_at(&[255; 64]).is_none());
        assert_eq!(attributes(&[3, 0, 1, 0, 9, 9]).count(), 0);
        assert_eq!(attributes(&[5, 0, 1, 0, 9]).count(), 1);
        assert!(parse_link(&[0; 15]).is_none());
        assert!(parse_address(&[0; 8]).is_none());
    }
}
