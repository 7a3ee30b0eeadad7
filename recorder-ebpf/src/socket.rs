//! What there is to know about a socket: found through a descriptor (its memory must be read by helper), or handed
//! over by a tracepoint as a typed pointer (plain loads).

use aya_ebpf::helpers::generated::{bpf_skc_to_tcp_sock, bpf_skc_to_unix_sock};

use crate::kernel::{self, Ptr, load, load_at, offset, peek, peek_user};

pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
pub const TCP: u8 = 6;

/// A socket as found through a descriptor.
pub struct Found {
    pub sk: u64,
    pub family: u16,
    pub protocol: u8,
    pub sock_type: u8,
}

/// Whether sockets of this family are recorded.
#[inline(always)]
pub fn family_wanted(family: u16) -> bool {
    family == AF_INET || family == AF_INET6 || family == AF_UNIX
}

/// Walks from the task to the socket. `None` if the descriptor is no socket, or none of a family that is recorded.
#[inline(always)]
pub fn find(task: Ptr, fd: u32) -> Option<Found> {
    let socket = kernel::socket_of(kernel::file_of(task, fd));
    if socket == 0 {
        return None;
    }
    // Every helper call costs as much as twenty loads: one read of the whole head of `struct socket`.
    let head: [u64; 4] = peek(socket);
    let sk: u64 = at(&head, offset!(socket_sk));
    let sock_type: u16 = at(&head, offset!(socket_type));
    let family: u16 = peek(sk + offset!(sk_family) as u64);
    if !family_wanted(family) {
        return None;
    }
    let protocol = if family == AF_UNIX { 0 } else { peek::<u16>(sk + offset!(sk_protocol) as u64) as u8 };
    Some(Found { sk, family, protocol, sock_type: sock_type as u8 })
}

/// A member of a structure that was read as a whole.
#[inline(always)]
pub fn at<T: Copy, const N: usize>(structure: &[u64; N], offset: usize) -> T {
    // SAFETY: the loader has checked that the member lies within; so does the verifier.
    unsafe { core::ptr::from_ref(structure).cast::<u8>().add(offset).cast::<T>().read_volatile() }
}

/// `struct sock_common` from its start: ports, addresses, namespace.
type Common = [u64; 11];

/// Both ends of a socket.
#[derive(Clone, Copy)]
pub struct Ends {
    pub netns: u32,
    pub local_port: u16,
    pub remote_port: u16,
    pub local: [u64; 2],
    pub remote: [u64; 2],
    /// UNIX: the other `struct sock`, or 0.
    pub peer: u64,
}

/// Both ends of a socket found by [`find`].
#[inline(always)]
pub fn ends(sk: u64, family: u16) -> Ends {
    let common: Common = peek(sk);
    let netns: u32 = peek(at::<u64, 11>(&common, offset!(sk_net)) + offset!(net_inum) as u64);
    let mut e = Ends { netns, local_port: 0, remote_port: 0, local: [0; 2], remote: [0; 2], peer: 0 };
    if family == AF_UNIX {
        e.peer = peek(sk + offset!(unix_peer) as u64);
        return e;
    }
    e.local_port = at(&common, offset!(sk_num));
    if e.local_port == 0 {
        e.local_port = kept_port(sk);
    }
    e.remote_port = at::<u16, 11>(&common, offset!(sk_dport)).swap_bytes();
    if family == AF_INET {
        e.local[0] = u64::from(at::<u32, 11>(&common, offset!(sk_rcv_saddr)));
        e.remote[0] = u64::from(at::<u32, 11>(&common, offset!(sk_daddr)));
    } else {
        e.local = at(&common, offset!(sk_v6_rcv_saddr));
        e.remote = at(&common, offset!(sk_v6_daddr));
    }
    e
}

/// Both ends of a socket behind a typed pointer.
#[inline(always)]
pub fn typed_ends(sk: Ptr, family: u16) -> Ends {
    let net = load!(sk, sk_net as Ptr);
    let netns = load!(net, net_inum as u32);
    let mut e = Ends { netns, local_port: 0, remote_port: 0, local: [0; 2], remote: [0; 2], peer: 0 };
    if family == AF_UNIX {
        // SAFETY: a typed pointer to a socket.
        let unix = unsafe { bpf_skc_to_unix_sock(sk.cast_mut().cast()) }.cast_const().cast::<u8>();
        if !unix.is_null() {
            e.peer = load!(unix, unix_peer as u64);
        }
        return e;
    }
    e.local_port = load!(sk, sk_num as u16);
    if e.local_port == 0 {
        e.local_port = kept_port(sk as u64);
    }
    e.remote_port = load!(sk, sk_dport as u16).swap_bytes();
    if family == AF_INET {
        e.local[0] = u64::from(load!(sk, sk_rcv_saddr as u32));
        e.remote[0] = u64::from(load!(sk, sk_daddr as u32));
    } else {
        let (local, remote) = (offset!(sk_v6_rcv_saddr), offset!(sk_v6_daddr));
        e.local = [load_at(sk, local), load_at(sk, local + 8)];
        e.remote = [load_at(sk, remote), load_at(sk, remote + 8)];
    }
    e
}

/// The local port of a TCP socket that is closed and has given its port back. Others that have none have none here.
#[inline(always)]
pub fn kept_port(sk: u64) -> u16 {
    peek::<u16>(sk + offset!(inet_sport) as u64).swap_bytes()
}

/// Bit SOCK_DONE of `enum sock_flags`: a FIN came in.
const SOCK_DONE: u64 = 1 << 1;

/// TCP: the number behind the last byte read or written. The casts are dearer than a load but cheaper than a read.
#[inline(always)]
pub fn typed_seq(sk: Ptr, ingress: bool) -> u32 {
    // SAFETY: a typed pointer to a socket.
    let tcp = unsafe { bpf_skc_to_tcp_sock(sk.cast_mut().cast()) }.cast_const().cast::<u8>();
    if tcp.is_null() {
        0
    } else if ingress {
        let copied = load!(tcp, tcp_copied_seq as u32);
        // A FIN has a number too. It is read if all is read; nothing comes in after it.
        if load!(sk, sk_flags as u64) & SOCK_DONE != 0 && copied == load!(tcp, tcp_rcv_nxt as u32) {
            copied.wrapping_sub(1)
        } else {
            copied
        }
    } else {
        load!(tcp, tcp_write_seq as u32)
    }
}

/// Datagrams without connect: the other end is in the `sockaddr` of the call.
#[inline(always)]
pub fn named(e: &mut Ends, family: u16, name: u64) {
    if let Some([head, rest]) = peek_user::<[u64; 2]>(name) {
        let sa_family = head as u16;
        e.remote_port = ((head >> 16) as u16).swap_bytes();
        if sa_family == AF_INET && family == AF_INET {
            e.remote = [head >> 32, 0];
        } else if sa_family == AF_INET6 {
            e.remote = [rest, peek_user::<u64>(name + 16).unwrap_or(0)];
        }
    }
}
