//! Packets without eBPF: a packet socket (packet(7)) over all interfaces of the current network namespace, for whoever has
//! CAP_NET_RAW only. It yields the same records as the eBPF programs do.

use formats::event::{Packet, Record, RecordHeader, direction, kind};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Receive buffer asked for, bytes; without CAP_NET_ADMIN the kernel grants net.core.rmem_max at most.
const RECEIVE_BUFFER: libc::c_int = 32 << 20;
/// Packets read in one go before the main loop looks at anything else.
const BATCH: usize = 20_000;

/// An open packet socket.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    netns: u32,
    /// Indexes wanted; empty = all.
    interfaces: Option<Vec<u32>>,
    /// What to subtract from UTC for a monotonic time, ns.
    realtime_offset: i64,
    buffer: Vec<u8>,
    record: Vec<u8>,
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set<T>(socket: &OwnedFd, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

impl PacketSocket {
    /// Opens the socket. `netns` is the inode number of the current network namespace, `interfaces` the indexes wanted,
    /// `None` = all.
    pub fn open(netns: u32, interfaces: Option<Vec<u32>>, snaplen: u32, realtime_offset: i64) -> io::Result<Self> {
        let protocol = libc::c_int::from((libc::ETH_P_ALL as u16).to_be());
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: plain system call; the result is checked.
        let fd = check(unsafe { libc::socket(libc::AF_PACKET, flags, protocol) })?;
        // SAFETY: `fd` is open and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // Either may be refused; then the buffer is smaller and losses, which are counted, come earlier.
        if set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER).is_err() {
            let _ = set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &RECEIVE_BUFFER);
        }
        let on: libc::c_int = 1;
        set(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &on)?;
        set(&socket, libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
        let buffer = vec![0; snaplen.max(14) as usize];
        Ok(Self { socket, netns, interfaces, realtime_offset, buffer, record: Vec::new() })
    }

    /// Takes packets of one more interface, where only chosen ones are wanted.
    pub fn add_interface(&mut self, netns: u32, ifindex: u32) {
        if netns == self.netns
            && let Some(wanted) = &mut self.interfaces
        {
            wanted.push(ifindex);
        }
    }

    /// Hands over the packets that have come, as [`Packet`] records. Returns how many.
    pub fn drain(&mut self, each: &mut dyn FnMut(u32, &[u8])) -> io::Result<usize> {
        for n in 0..BATCH {
            match self.receive() {
                Ok(true) => each(0, &self.record),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(n),
                // An interface went down: its packets end, others go on.
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::EINTR)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(BATCH)
    }

    /// Packets that the kernel dropped because the receive buffer was full, since the last call.
    pub fn lost(&mut self) -> u64 {
        let mut stats: libc::tpacket_stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: `stats` and `len` are live and of matching size. Reading resets the kernel's counters.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut len,
            )
        };
        if result == 0 { u64::from(stats.tp_drops) } else { 0 }
    }

    /// Reads one packet into `self.record`. False if it is not wanted.
    fn receive(&mut self) -> io::Result<bool> {
        // SAFETY: zero is a valid sockaddr_ll and msghdr; every pointer set below stays valid during the call.
        let (got, address, control_len, flags, control) = unsafe {
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            let mut control = [0u64; 32];
            let mut part = libc::iovec { iov_base: self.buffer.as_mut_ptr().cast(), iov_len: self.buffer.len() };
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_name = (&raw mut address).cast();
            message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            message.msg_iov = &raw mut part;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = size_of_val(&control) as _;
            let got = libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, libc::MSG_TRUNC);
            if got < 0 {
                return Err(io::Error::last_os_error());
            }
            (got.cast_unsigned(), address, message.msg_controllen as usize, message.msg_flags, control)
        };
        let _ = flags;
        let outgoing = address.sll_pkttype == libc::PACKET_OUTGOING;
        // On loopback every packet shows twice, going out and coming in again.
        if outgoing && address.sll_hatype == libc::ARPHRD_LOOPBACK {
            return Ok(false);
        }
        let ifindex = address.sll_ifindex.cast_unsigned();
        if self.interfaces.as_ref().is_some_and(|wanted| !wanted.contains(&ifindex)) {
            return Ok(false);
        }
        let mut packet = Packet {
            netns: self.netns,
            ifindex,
            wire_len: u32::try_from(got).unwrap_or(u32::MAX),
            dev_type: address.sll_hatype,
            direction: if outgoing { direction::OUT } else { direction::IN },
            ethertype: u16::from_be(address.sll_protocol),
            ..Packet::default()
        };
        let mut utc = 0u64;
        // SAFETY: u64 words are plain bytes.
        let control = unsafe { std::slice::from_raw_parts(control.as_ptr().cast::<u8>(), control_len.min(256)) };
        for (level, kind, data) in control_messages(control) {
            if level == libc::SOL_SOCKET && kind == libc::SCM_TIMESTAMPNS {
                let seconds = u64_at(data, 0).unwrap_or(0);
                utc = seconds.wrapping_mul(1_000_000_000).wrapping_add(u64_at(data, 8).unwrap_or(0));
            } else if level == libc::SOL_PACKET && kind == libc::PACKET_AUXDATA {
                // struct tpacket_auxdata: status, len, snaplen (u32), mac, net, vlan_tci, vlan_tpid (u16).
                let status = u32_at(data, 0).unwrap_or(0);
                if status & libc::TP_STATUS_VLAN_VALID != 0 {
                    packet.vlan_tci = u16_at(data, 16).unwrap_or(0);
                    let given = status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
                    packet.vlan_proto = if given { u16_at(data, 18).unwrap_or(0x8100) } else { 0x8100 };
                }
            }
        }
        let now = crate::facts::clocks::monotonic();
        let ts = utc.wrapping_sub(self.realtime_offset.cast_unsigned());
        let bytes = self.buffer.get(..got.min(self.buffer.len())).unwrap_or_default();
        packet.cap_len = u32::try_from(bytes.len()).unwrap_or(0);
        let len = (size_of::<Packet>() + bytes.len()).next_multiple_of(8);
        packet.hdr = RecordHeader {
            len: u32::try_from(len).unwrap_or(0),
            kind: kind::PACKET,
            fixed_len: size_of::<Packet>() as u16,
            ts: if utc == 0 { now } else { ts },
            pid: 0,
            tid: 0,
        };
        self.record.clear();
        self.record.extend_from_slice(packet.as_bytes());
        self.record.extend_from_slice(bytes);
        self.record.resize(len, 0);
        Ok(true)
    }
}

/// Ancillary data, cmsg(3): level, type, data.
fn control_messages(mut bytes: &[u8]) -> impl Iterator<Item = (libc::c_int, libc::c_int, &[u8])> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    std::iter::from_fn(move || {
        let len = usize::try_from(u64_at(bytes, 0)?).ok()?;
        let level = u32_at(bytes, HEADER - 8)?.cast_signed();
        let kind = u32_at(bytes, HEADER - 4)?.cast_signed();
        let data = bytes.get(HEADER..len)?;
        bytes = bytes.get(len.next_multiple_of(8)..).unwrap_or_default();
        Some((level, kind, data))
    })
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
    use crate::facts::{clocks, networks};
    use std::net::UdpSocket;

    #[test]
    fn loopback_packets_come_once_with_their_bytes_and_times() {
        let now = clocks::snapshot();
        let own = networks::own().unwrap();
        let mut socket = match PacketSocket::open(own.inode, Some(vec![1]), 100, clocks::realtime_offset(&now)) {
            Ok(socket) => socket,
            Err(error) => {
                // SAFETY: geteuid only returns a number.
                assert_ne!(unsafe { libc::geteuid() }, 0, "{error}");
                println!("skipped: a packet socket needs CAP_NET_RAW");
                return;
            }
        };
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let payload = [0xa5u8; 200];
        sender.send_to(&payload, receiver.local_addr().unwrap()).unwrap();
        let mut got = [0u8; 300];
        assert_eq!(receiver.recv(&mut got).unwrap(), 200);
        let port = receiver.local_addr().unwrap().port().to_be_bytes();
        let mut mine = Vec::new();
        for _ in 0..50 {
            socket
                .drain(&mut |_, record| {
                    let packet = Packet::read(record).unwrap();
                    let tail = &formats::event::tail(record)[..packet.cap_len as usize];
                    // Ethernet 14, IPv4 20, UDP destination port at 2.
                    if tail.get(36..38) == Some(&port[..]) {
                        mine.push((packet, tail.to_vec()));
                    }
                })
                .unwrap();
            if !mine.is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        socket.drain(&mut |_, _| {}).unwrap();
        assert_eq!(mine.len(), 1);
        let (packet, tail) = &mine[0];
        assert_eq!((packet.wire_len, packet.cap_len, packet.ifindex, packet.netns), (242, 100, 1, own.inode));
        assert_eq!((packet.dev_type, packet.ethertype, packet.direction), (772, 0x800, direction::IN));
        assert_eq!(tail[42..], payload[..58]);
        assert!(packet.hdr.ts.abs_diff(clocks::monotonic()) < 2_000_000_000);
        assert_eq!(socket.lost(), 0);
    }
}
