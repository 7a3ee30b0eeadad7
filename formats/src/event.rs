//! Event records: the bytes that eBPF programs write into the rings and that a bundle keeps.
//!
//! Every record starts with a [`RecordHeader`]; all integers are in the byte order of the
//! recording machine (little-endian on every supported one). Records only ever gain fields at the
//! end of their fixed part: `fixed_len` tells a reader where the variable tail starts, whatever
//! version wrote it. Records are padded to a multiple of 8 bytes.
//!
//! Ports are in host byte order, addresses in network byte order; an IPv4 address occupies the
//! first four bytes of its 16-byte field. Times are `CLOCK_MONOTONIC` in nanoseconds.

use core::mem::size_of;

/// Kinds of event records; also the kinds of the bundle blocks that hold them.
pub mod kind {
    /// [`super::SocketData`]: a system call that moved data through a socket, or connect, accept, close.
    pub const SOCKET_DATA: u16 = 1;
    /// [`super::SocketState`]: TCP state change, retransmission, reset, dropped packet.
    pub const SOCKET_STATE: u16 = 2;
    /// [`super::Packet`]: ring form only; in a bundle packets are pcapng Enhanced Packet Blocks.
    pub const PACKET: u16 = 3;
    /// [`super::ProcessFork`].
    pub const PROCESS_FORK: u16 = 4;
    /// [`super::ProcessExec`].
    pub const PROCESS_EXEC: u16 = 5;
    /// [`super::ProcessExit`].
    pub const PROCESS_EXIT: u16 = 6;
    /// [`super::StackSample`].
    pub const STACK_SAMPLE: u16 = 7;
    /// One more than the largest kind: the size of per-kind counters.
    pub const COUNT: usize = 8;
    /// Plain names, indexed by kind, as shown by `analyze info` and in the `health` table.
    pub const NAMES: [&str; COUNT] = [
        "none",
        "socket_data",
        "socket_state",
        "packet",
        "process_fork",
        "process_exec",
        "process_exit",
        "stack_sample",
    ];
}

/// First 24 bytes of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordHeader {
    /// Length of the whole record in bytes, header, fixed part, tail and padding; a multiple of 8.
    /// In the ring 0 means "not written yet": the program stores it last.
    pub len: u32,
    /// One of [`kind`].
    pub kind: u16,
    /// Length of header and fixed part; the tail starts here.
    pub fixed_len: u16,
    /// When it happened (system calls: when the call returned), `CLOCK_MONOTONIC` ns.
    pub ts: u64,
    /// Process id (thread group), initial pid namespace.
    pub pid: u32,
    /// Thread id, initial pid namespace.
    pub tid: u32,
}

/// [`SocketData::call`]: which system call. Names in [`CALL_NAMES`].
pub mod call {
    #![expect(missing_docs, reason = "each constant is the name of its system call")]
    pub const READ: u8 = 1;
    pub const READV: u8 = 2;
    pub const RECVFROM: u8 = 3;
    pub const RECVMSG: u8 = 4;
    pub const RECVMMSG: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const WRITEV: u8 = 7;
    pub const SENDTO: u8 = 8;
    pub const SENDMSG: u8 = 9;
    pub const SENDMMSG: u8 = 10;
    pub const SENDFILE: u8 = 11;
    pub const SPLICE: u8 = 12;
    pub const CONNECT: u8 = 13;
    pub const ACCEPT: u8 = 14;
    pub const CLOSE: u8 = 15;
    pub const SHUTDOWN: u8 = 16;
}

/// Names of [`call`], indexed by its values.
pub const CALL_NAMES: [&str; 17] = [
    "?", "read", "readv", "recvfrom", "recvmsg", "recvmmsg", "write", "writev", "sendto", "sendmsg", "sendmmsg",
    "sendfile", "splice", "connect", "accept", "close", "shutdown",
];

/// [`SocketData::flags`].
pub mod data_flag {
    /// Data went into the process (read side); otherwise out of it. Absent on connect, accept, close.
    pub const INGRESS: u32 = 1;
    /// The entry of the call was not noted: `enter_ts` equals `ts`.
    pub const NO_ENTRY: u32 = 2;
    /// `tcp_seq` is valid.
    pub const HAS_SEQ: u32 = 4;
    /// Not all iovec parts could be walked; the prefix is shorter than the limit because of that.
    pub const IOV_LIMIT: u32 = 8;
    /// Part of the payload could not be read (page not present).
    pub const FAULT: u32 = 16;
    /// One message of a recvmmsg/sendmmsg; `msg_index` is its place.
    pub const MMSG: u32 = 32;
    /// The process was recorded because of a filter match on this very record, not as a whole.
    pub const PAYLOAD_OFF: u32 = 64;
    /// MSG_PEEK: the data stays in the socket and will be seen again.
    pub const PEEK: u32 = 128;
    /// The call moved HTTP/2 frames: `frame_at` says where the first of them begins, and the pieces hold what lay behind
    /// the prefix: every frame but the payload of DATA, as far as there was room.
    pub const FRAMES: u32 = 256;
}

/// A system call on a socket. Tail: the payload prefix, `data_len` bytes, then [`Pieces`], `more_len` bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketData {
    /// `ts` is the time of the call's return.
    pub hdr: RecordHeader,
    /// When the call was entered.
    pub enter_ts: u64,
    /// Identity of the socket while it lives: its kernel address, mixed with a secret of this recording.
    pub sock: u64,
    /// UNIX sockets: identity of the peer, mixed alike; else 0.
    pub peer: u64,
    /// What the call returned: bytes, or a negative errno. For one message of a `*mmsg` call, its length.
    pub ret: i64,
    /// TCP: `write_seq` (out) or `copied_seq` (in) at entry, the sequence number on the wire of the first byte.
    pub tcp_seq: u32,
    /// File descriptor.
    pub fd: i32,
    /// Inode number of the socket's network namespace.
    pub netns: u32,
    /// [`data_flag`].
    pub flags: u32,
    /// Bytes of payload in the tail.
    pub data_len: u32,
    /// AF_INET 2, AF_INET6 10, AF_UNIX 1.
    pub family: u16,
    /// IPPROTO_TCP 6, IPPROTO_UDP 17; 0 for UNIX.
    pub protocol: u8,
    /// [`call`].
    pub call: u8,
    /// Local port, host byte order.
    pub local_port: u16,
    /// Remote port, host byte order.
    pub remote_port: u16,
    /// Place within a `*mmsg` call.
    pub msg_index: u16,
    /// Socket type: SOCK_STREAM 1, SOCK_DGRAM 2, SOCK_SEQPACKET 5.
    pub sock_type: u16,
    /// Local address.
    pub local_addr: [u8; 16],
    /// Remote address. UDP without connect: taken from the call's msghdr or sockaddr.
    pub remote_addr: [u8; 16],
    /// Bytes of the tail behind the prefix: [`Pieces`].
    pub more_len: u32,
    /// Flag FRAMES: bytes of the call before the first frame that begins in it; `u32::MAX` if none does.
    pub frame_at: u32,
}

/// What was captured of a call behind the prefix: pieces in the order in which they lay in it, each led by two
/// `u32`, its offset from the call's first byte and its length.
#[derive(Clone, Debug)]
pub struct Pieces<'a> {
    rest: &'a [u8],
}

impl<'a> Pieces<'a> {
    /// Those in the tail of a record.
    #[must_use]
    pub fn of(data: &SocketData, tail: &'a [u8]) -> Self {
        let from = data.data_len as usize;
        let to = from.saturating_add(data.more_len as usize).min(tail.len());
        Self { rest: tail.get(from..to).unwrap_or(&[]) }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).ok();
        let offset = number(self.rest.get(..4)?)?;
        let len = number(self.rest.get(4..8)?)? as usize;
        let piece = self.rest.get(8..8 + len)?;
        self.rest = self.rest.get(8 + len..).unwrap_or(&[]);
        Some((offset, piece))
    }
}

/// [`SocketState::event`].
pub mod state_event {
    /// TCP state change (`inet_sock_set_state`).
    pub const STATE: u8 = 1;
    /// A segment was sent again (`tcp_retransmit_skb`).
    pub const RETRANSMIT: u8 = 2;
    /// A reset was sent (`tcp_send_reset`).
    pub const RESET_SENT: u8 = 3;
    /// A reset arrived (`tcp_receive_reset`).
    pub const RESET_RECEIVED: u8 = 4;
    /// The kernel dropped a packet (`kfree_skb`); `reason` says why. Tail: the first bytes from the network header.
    pub const DROP: u8 = 5;
}

/// What happened to a socket inside the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketState {
    /// pid and tid are those of whoever was running; often not the socket's owner.
    pub hdr: RecordHeader,
    /// Identity as in [`SocketData::sock`]; 0 where there is no socket (drops before the look-up).
    pub sock: u64,
    /// DROP: address in the kernel where it happened (`location`); resolved to a symbol in the `symbols` block.
    pub location: u64,
    /// Inode number of the network namespace, 0 if unknown.
    pub netns: u32,
    /// DROP: `enum skb_drop_reason`; names in the manifest. Resets: `enum sk_rst_reason` where the kernel has it.
    pub reason: u32,
    /// RETRANSMIT, DROP: sequence number of the segment where known.
    pub seq: u32,
    /// RETRANSMIT, DROP: bytes of the packet.
    pub len: u32,
    /// Interface index where known.
    pub ifindex: u32,
    /// Bytes in the tail.
    pub data_len: u32,
    /// [`state_event`].
    pub event: u8,
    /// IPPROTO_*.
    pub protocol: u8,
    /// STATE: before, as in `include/net/tcp_states.h`.
    pub old_state: u8,
    /// STATE: after; others: the state now.
    pub new_state: u8,
    /// AF_INET or AF_INET6; 0 if unknown.
    pub family: u16,
    /// Local port.
    pub local_port: u16,
    /// Remote port.
    pub remote_port: u16,
    /// Ethertype of a dropped packet, host byte order.
    pub ethertype: u16,
    /// Zero.
    pub reserved: u32,
    /// Local address.
    pub local_addr: [u8; 16],
    /// Remote address.
    pub remote_addr: [u8; 16],
}

/// [`Packet::direction`].
pub mod direction {
    /// Received by the interface.
    pub const IN: u8 = 1;
    /// Sent by the interface.
    pub const OUT: u8 = 2;
}

/// A packet. Tail: its first `cap_len` bytes from the link-layer header on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Packet {
    /// pid and tid are 0: whoever was running has nothing to do with it.
    pub hdr: RecordHeader,
    /// Inode number of the network namespace of the interface.
    pub netns: u32,
    /// Interface index within that namespace.
    pub ifindex: u32,
    /// Length on the wire (with link-layer header, before segmentation offload), bytes.
    pub wire_len: u32,
    /// Bytes in the tail.
    pub cap_len: u32,
    /// ARPHRD_* of the interface (`net_device.type`): which link-layer header the tail starts with.
    pub dev_type: u16,
    /// VLAN tag held beside the packet (`vlan_tci`), valid if `vlan_proto` is not 0.
    pub vlan_tci: u16,
    /// Ethertype of that tag (0x8100, 0x88a8), host byte order; 0 if none.
    pub vlan_proto: u16,
    /// [`direction`].
    pub direction: u8,
    /// 1 if payload beyond the linear part could not be read, so that `cap_len` is short because of that.
    pub nonlinear_cut: u8,
    /// `skb->protocol`, host byte order: the network protocol where there is no link-layer header.
    pub ethertype: u16,
    /// Zero.
    pub reserved: [u8; 6],
}

/// A new thread or process. The header is the parent's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessFork {
    /// The parent.
    pub hdr: RecordHeader,
    /// The child's process id; equal to the parent's if the child is a thread.
    pub child_pid: u32,
    /// The child's thread id.
    pub child_tid: u32,
    /// cgroup v2 id of the parent.
    pub cgroup: u64,
    /// The child's thread name, zero-terminated.
    pub comm: [u8; 16],
}

/// A program was executed. Tail: `filename_len` bytes of path, then `args_len` bytes of arguments, zero-separated.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessExec {
    /// Who.
    pub hdr: RecordHeader,
    /// cgroup v2 id.
    pub cgroup: u64,
    /// Process id of the parent.
    pub parent_pid: u32,
    /// User id.
    pub uid: u32,
    /// Bytes of the executed file's path in the tail.
    pub filename_len: u16,
    /// Bytes of arguments in the tail.
    pub args_len: u16,
    /// Zero.
    pub reserved: u32,
    /// New thread name, zero-terminated.
    pub comm: [u8; 16],
}

/// A thread ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessExit {
    /// Who.
    pub hdr: RecordHeader,
    /// As `wait(2)` gives it: exit code << 8 | signal.
    pub exit_code: i32,
    /// 1 if it was the last thread of its process.
    pub group_dead: u32,
    /// Thread name, zero-terminated.
    pub comm: [u8; 16],
}

/// A sample of a running thread. Tail: `kernel_len` bytes of kernel return addresses, then `user_len`
/// bytes of user return addresses, 8 bytes each, innermost first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct StackSample {
    /// Who was running; pid 0 is the idle task (not recorded).
    pub hdr: RecordHeader,
    /// Time this sample stands for, ns.
    pub period: u64,
    /// Bytes of kernel addresses; 0 if it ran in user space.
    pub kernel_len: u16,
    /// Bytes of user addresses.
    pub user_len: u16,
    /// Negative errno of `bpf_get_stack` for the user part, else 0.
    pub user_error: i32,
    /// Thread name, zero-terminated.
    pub comm: [u8; 16],
}

// The on-disk layout is a promise: a change here is a change of format.
const _: () = assert!(size_of::<RecordHeader>() == 24);
const _: () = assert!(size_of::<SocketData>() == 128);
const _: () = assert!(size_of::<SocketState>() == 112);
const _: () = assert!(size_of::<Packet>() == 56);
const _: () = assert!(size_of::<ProcessFork>() == 56);
const _: () = assert!(size_of::<ProcessExec>() == 64);
const _: () = assert!(size_of::<ProcessExit>() == 48);
const _: () = assert!(size_of::<StackSample>() == 56);

/// A record type that can be read from and written as plain bytes.
///
/// # Safety
/// Only for `#[repr(C)]` structs without padding, made of integers and byte arrays, whose first
/// field is a [`RecordHeader`]: any bytes are a valid value.
pub unsafe trait Record: Copy {
    /// Its kind.
    const KIND: u16;

    /// Copies the fixed part out of the bytes of one record. A record written by an older version is shorter:
    /// what it lacks reads as zero. `None` if `bytes` is not even a header or of another kind.
    #[inline]
    fn read(bytes: &[u8]) -> Option<Self> {
        let hdr = header(bytes)?;
        if hdr.kind != Self::KIND {
            return None;
        }
        let have = (hdr.fixed_len as usize).min(bytes.len()).min(size_of::<Self>());
        // SAFETY: all-zero bytes are a valid value, and `have` bytes fit both sides.
        unsafe {
            let mut value = core::mem::zeroed::<Self>();
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut value).cast::<u8>(), have);
            Some(value)
        }
    }

    /// The record's fixed part as bytes.
    #[inline]
    fn as_bytes(&self) -> &[u8] {
        // SAFETY: no padding (trait contract), so every byte is initialised.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast::<u8>(), size_of::<Self>()) }
    }
}

macro_rules! record {
    ($($t:ty => $k:expr),*) => {$(
        // SAFETY: repr(C), integers only, sizes asserted above leave no room for padding.
        unsafe impl Record for $t { const KIND: u16 = $k; }
    )*};
}
record!(SocketData => kind::SOCKET_DATA, SocketState => kind::SOCKET_STATE, Packet => kind::PACKET,
        ProcessFork => kind::PROCESS_FORK, ProcessExec => kind::PROCESS_EXEC, ProcessExit => kind::PROCESS_EXIT,
        StackSample => kind::STACK_SAMPLE);

/// The header of the record that starts at `bytes`, if there are enough bytes.
#[inline]
#[must_use]
pub fn header(bytes: &[u8]) -> Option<RecordHeader> {
    if bytes.len() < size_of::<RecordHeader>() {
        return None;
    }
    // SAFETY: length checked; any bytes are a valid header; unaligned read.
    Some(unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast::<RecordHeader>()) })
}

/// The variable tail of a record: everything after its fixed part (padding included).
#[inline]
#[must_use]
pub fn tail(bytes: &[u8]) -> &[u8] {
    match header(bytes) {
        Some(h) => bytes.get(h.fixed_len as usize..).unwrap_or(&[]),
        None => &[],
    }
}

/// Cuts a block's payload into records. Stops at the first record whose length cannot be
/// (shorter than a header, longer than what is left, not a multiple of 8); [`Records::rest`] tells what is left.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// Records in `payload`.
    #[must_use]
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// What was not consumed: empty after a sound block.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (RecordHeader, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let hdr = header(self.rest)?;
        let len = hdr.len as usize;
        if len < size_of::<RecordHeader>() || !len.is_multiple_of(8) || (hdr.fixed_len as usize) > len {
            return None;
        }
        let record = self.rest.get(..len)?;
        self.rest = &self.rest[len..];
        Some((hdr, record))
    }
}
