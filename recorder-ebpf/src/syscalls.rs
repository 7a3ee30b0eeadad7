//! System calls on sockets: remembered at entry, recorded at exit.
//!
//! Only the calls that matter are hooked, so that all others cost next to nothing. What is not a
//! socket is turned away at entry and leaves nothing behind for the exit to find.

use crate::{
    filter, inflight,
    inflight::Call,
    kernel::{self, Ptr, conf, load, offset, peek, peek_user},
    payload::{self, Shape},
    ring,
};
use aya_ebpf::{EbpfContext, helpers::generated::bpf_ktime_get_ns, macros::tracepoint, programs::TracePointContext};
use formats::event::{SocketData, call, data_flag, kind};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const TCP: u8 = 6;
const MSG_PEEK: u64 = 2;
/// Messages of one `recvmmsg` or `sendmmsg` that are looked at.
const MAX_MESSAGES: u64 = 8;
/// `struct mmsghdr`: a `msghdr` of 56 bytes and the length of the message.
const MMSGHDR: u64 = 64;
const MSG_LEN_AT: u64 = 56;

const EAGAIN: i64 = -11;
/// -512 ... -516: the kernel will start the call again or turn the value into EINTR.
const ERESTARTSYS: i64 = -512;

/// What is the same for all calls of a thread.
struct Caller {
    task: Ptr,
    tid: u32,
    tgid: u32,
}

#[inline(always)]
fn caller() -> Caller {
    let task = kernel::current();
    Caller { task, tid: load!(task, task_pid as u32), tgid: load!(task, task_tgid as u32) }
}

/// A socket as found through a descriptor.
struct Found {
    sk: u64,
    family: u16,
    protocol: u8,
    sock_type: u8,
}

#[inline(always)]
fn find(task: Ptr, fd: u32) -> Option<Found> {
    let socket = kernel::socket_of(kernel::file_of(task, fd));
    if socket == 0 {
        return None;
    }
    let sk: u64 = peek(socket + offset!(socket_sk) as u64);
    let family: u16 = peek(sk + offset!(sk_family) as u64);
    if family != AF_INET && family != AF_INET6 && family != AF_UNIX {
        return None;
    }
    let protocol = if family == AF_UNIX { 0 } else { peek::<u16>(sk + offset!(sk_protocol) as u64) as u8 };
    let sock_type: u16 = peek(socket + offset!(socket_type) as u64);
    Some(Found { sk, family, protocol, sock_type: sock_type as u8 })
}

/// Arguments of an entry, as the tracepoint gives them.
#[inline(always)]
fn argument(ctx: &TracePointContext, n: usize) -> u64 {
    // SAFETY: the programs ask only for arguments that their call has; the verifier checks the bounds.
    unsafe { ctx.as_ptr().cast::<u64>().add(2 + n).read_volatile() }
}

/// What an entry leaves behind.
struct Intent {
    call: u8,
    fd: u32,
    buffer: u64,
    count: u64,
    name: u64,
    flags: u32,
}

#[inline(always)]
fn enter(i: Intent) -> Option<()> {
    let who = caller();
    if !filter::task_wanted(who.task, who.tgid) {
        return None;
    }
    let found = find(who.task, i.fd)?;
    let slot = inflight::begin(who.tid, i.call)?;
    let mut flags = i.flags;
    let mut seq = 0;
    if found.protocol == TCP {
        let at = if flags & data_flag::INGRESS != 0 { offset!(tcp_copied_seq) } else { offset!(tcp_write_seq) };
        seq = peek::<u32>(found.sk + at as u64);
        flags |= data_flag::HAS_SEQ;
    }
    // SAFETY: the slot is ours until `release`.
    unsafe {
        (*slot).sk = found.sk;
        (*slot).buffer = i.buffer;
        (*slot).count = i.count;
        (*slot).name = i.name;
        (*slot).seq = seq;
        (*slot).fd = i.fd as i32;
        (*slot).family = found.family;
        (*slot).protocol = found.protocol;
        (*slot).sock_type = found.sock_type;
        (*slot).flags = flags;
        (*slot).enter_ts = bpf_ktime_get_ns();
    }
    Some(())
}

/// `struct sock_common` from its start: ports, addresses, namespace.
type Common = [u64; 11];

#[inline(always)]
fn at<T: Copy>(common: &Common, offset: usize) -> T {
    // SAFETY: the loader has checked that the members lie within; so does the verifier.
    unsafe { core::ptr::from_ref(common).cast::<u8>().add(offset).cast::<T>().read_volatile() }
}

/// Both ends of a socket.
#[derive(Clone, Copy)]
struct Ends {
    netns: u32,
    local_port: u16,
    remote_port: u16,
    local: [u64; 2],
    remote: [u64; 2],
    peer: u64,
}

#[inline(always)]
fn ends(sk: u64, family: u16) -> Ends {
    let common: Common = peek(sk);
    let netns: u32 = peek(at::<u64>(&common, offset!(sk_net)) + offset!(net_inum) as u64);
    let mut e = Ends { netns, local_port: 0, remote_port: 0, local: [0; 2], remote: [0; 2], peer: 0 };
    if family == AF_UNIX {
        let peer: u64 = peek(sk + offset!(unix_peer) as u64);
        if peer != 0 {
            e.peer = peer ^ conf!(secret);
        }
        return e;
    }
    e.local_port = at(&common, offset!(sk_num));
    e.remote_port = at::<u16>(&common, offset!(sk_dport)).swap_bytes();
    if family == AF_INET {
        e.local[0] = u64::from(at::<u32>(&common, offset!(sk_rcv_saddr)));
        e.remote[0] = u64::from(at::<u32>(&common, offset!(sk_daddr)));
    } else {
        e.local = at(&common, offset!(sk_v6_rcv_saddr));
        e.remote = at(&common, offset!(sk_v6_daddr));
    }
    e
}

/// Datagrams without connect: the other end is in the `sockaddr` of the call.
#[inline(always)]
fn named(e: &mut Ends, family: u16, name: u64) {
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

/// One record to be written.
struct Outcome {
    who: Caller,
    ts: u64,
    ret: i64,
    call: u8,
    shape: Shape,
    buffer: u64,
    count: u64,
    /// Bytes of payload there are.
    bytes: u64,
    flags: u32,
    index: u16,
    seq: u32,
}

#[inline(always)]
fn emit(c: &Call, o: &Outcome, e: &Ends) {
    if c.family != AF_UNIX && !filter::ports_wanted(e.local_port, e.remote_port) {
        return;
    }
    let limit = u64::from(conf!(payload_bytes));
    let mut want = if matches!(o.shape, Shape::Hidden) { 0 } else { o.bytes };
    if want > limit {
        want = limit;
    }
    let fixed = size_of::<SocketData>() as u64;
    let Some(slot) = ring::reserve(kind::SOCKET_DATA, fixed + want) else { return };
    let (data_len, why) = if want == 0 { (0, 0) } else { payload::copy(&slot, o.shape, o.buffer, o.count, want) };
    let r = slot.fixed::<SocketData>();
    // SAFETY: the record was reserved with room for the fixed part.
    unsafe {
        (*r).hdr.kind = kind::SOCKET_DATA;
        (*r).hdr.fixed_len = fixed as u16;
        (*r).hdr.ts = o.ts;
        (*r).hdr.pid = o.who.tgid;
        (*r).hdr.tid = o.who.tid;
        (*r).enter_ts = c.enter_ts;
        (*r).sock = c.sk ^ conf!(secret);
        (*r).peer = e.peer;
        (*r).ret = o.ret;
        (*r).tcp_seq = o.seq;
        (*r).fd = c.fd;
        (*r).netns = e.netns;
        (*r).flags = c.flags | o.flags | why;
        (*r).data_len = data_len as u32;
        (*r).family = c.family;
        (*r).protocol = c.protocol;
        (*r).call = o.call;
        (*r).local_port = e.local_port;
        (*r).remote_port = e.remote_port;
        (*r).msg_index = o.index;
        (*r).sock_type = u16::from(c.sock_type);
        (&raw mut (*r).local_addr).cast::<[u64; 2]>().write(e.local);
        (&raw mut (*r).remote_addr).cast::<[u64; 2]>().write(e.remote);
    }
    slot.commit();
}

/// What the exit of a call needs beside the call itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `buffer`, `count` bytes.
    Flat,
    /// An iovec array.
    Vector,
    /// A message header.
    Message,
    /// An array of message headers.
    Messages,
    /// No user memory.
    Bare,
}

#[inline(always)]
fn exit(ctx: &TracePointContext, number: u8, kind: Kind) -> Option<()> {
    // The walk to the task is the dearest part of an exit that has nothing to do: so first the slot.
    let task = kernel::current();
    let tid = load!(task, task_pid as u32);
    let slot = inflight::end(tid, number)?;
    let ret = argument(ctx, 0) as i64;
    // SAFETY: ours until `release`.
    let c = unsafe { &*slot };
    if !(ret == EAGAIN || (ret <= ERESTARTSYS && ret > ERESTARTSYS - 5)) {
        leave(c, Caller { task, tid, tgid: load!(task, task_tgid as u32) }, ret, number, kind);
    }
    inflight::release(tid);
    Some(())
}

#[inline(always)]
fn leave(c: &Call, who: Caller, ret: i64, number: u8, kind: Kind) {
    // SAFETY: no arguments.
    let ts = unsafe { bpf_ktime_get_ns() };
    let mut e = ends(c.sk, c.family);
    // A connection gets its first sequence number while the call lasts.
    let seq = if number == call::CONNECT && c.protocol == TCP {
        peek::<u32>(c.sk + offset!(tcp_write_seq) as u64)
    } else {
        c.seq
    };
    let bytes = if ret > 0 && number != call::CONNECT { ret as u64 } else { 0 };
    let mut o = Outcome {
        who,
        ts,
        ret,
        call: number,
        shape: Shape::Hidden,
        buffer: c.buffer,
        count: c.count,
        bytes,
        flags: 0,
        index: 0,
        seq,
    };
    match kind {
        Kind::Bare => emit(c, &o, &e),
        Kind::Flat => {
            o.shape = Shape::Flat;
            if c.name != 0 && c.protocol != TCP && c.family != AF_UNIX {
                named(&mut e, c.family, c.name);
            }
            emit(c, &o, &e);
        }
        Kind::Vector => {
            o.shape = Shape::Parts;
            emit(c, &o, &e);
        }
        Kind::Message => {
            message(c, &mut o, &mut e, c.buffer);
            emit(c, &o, &e);
        }
        Kind::Messages => {
            if ret <= 0 {
                emit(c, &o, &e);
                return;
            }
            o.flags = data_flag::MMSG;
            let mut i = 0;
            while i < MAX_MESSAGES && i < ret as u64 {
                let at = c.buffer + i * MMSGHDR;
                let len = peek_user::<u32>(at + MSG_LEN_AT).unwrap_or(0);
                let mut here = e;
                o.index = i as u16;
                o.bytes = u64::from(len);
                o.ret = i64::from(len);
                message(c, &mut o, &mut here, at);
                emit(c, &o, &here);
                i += 1;
            }
        }
    }
}

/// Takes iovecs and name out of a user's `struct msghdr`.
#[inline(always)]
fn message(c: &Call, o: &mut Outcome, e: &mut Ends, at: u64) {
    let Some([name, name_len, iov, count]) = peek_user::<[u64; 4]>(at) else {
        o.flags |= data_flag::FAULT;
        o.shape = Shape::Hidden;
        return;
    };
    o.shape = Shape::Parts;
    o.buffer = iov;
    o.count = count;
    if name != 0 && name_len as u32 >= 16 && c.protocol != TCP && c.family != AF_UNIX {
        named(e, c.family, name);
    }
}

macro_rules! calls {
    ($($enter:ident $exit:ident $call:ident $kind:ident($fd:literal $(, $buffer:literal, $count:literal)?) $flags:expr;)*) => {$(
        #[doc = concat!("Entry of `", stringify!($call), "`.")]
        #[tracepoint]
        pub fn $enter(ctx: TracePointContext) -> u32 {
            let (buffer, count) = (0, 0);
            $(let _: (i32, i32) = (buffer, count);
            let (buffer, count) = (argument(&ctx, $buffer), argument(&ctx, $count));)?
            #[allow(clippy::redundant_closure_call, reason = "flags may depend on arguments")]
            let (flags, name) = ($flags)(&ctx);
            let _ = enter(Intent {
                call: call::$call,
                fd: argument(&ctx, $fd) as u32,
                buffer,
                count,
                name,
                flags,
            });
            0
        }
        #[doc = concat!("Exit of `", stringify!($call), "`.")]
        #[tracepoint]
        pub fn $exit(ctx: TracePointContext) -> u32 {
            let _ = exit(&ctx, call::$call, Kind::$kind);
            0
        }
    )*};
}

#[inline(always)]
fn into(_: &TracePointContext) -> (u32, u64) {
    (data_flag::INGRESS, 0)
}
#[inline(always)]
fn out(_: &TracePointContext) -> (u32, u64) {
    (0, 0)
}
/// Ingress, with the call's flags in argument `N`.
#[inline(always)]
fn into_flags<const N: usize>(ctx: &TracePointContext) -> (u32, u64) {
    (data_flag::INGRESS | if argument(ctx, N) & MSG_PEEK != 0 { data_flag::PEEK } else { 0 }, 0)
}
#[inline(always)]
fn into_named(ctx: &TracePointContext) -> (u32, u64) {
    (into_flags::<3>(ctx).0, argument(ctx, 4))
}
#[inline(always)]
fn out_named(ctx: &TracePointContext) -> (u32, u64) {
    (0, argument(ctx, 4))
}

calls! {
    enter_read exit_read READ Flat(0, 1, 2) into;
    enter_readv exit_readv READV Vector(0, 1, 2) into;
    enter_recvfrom exit_recvfrom RECVFROM Flat(0, 1, 2) into_named;
    enter_recvmsg exit_recvmsg RECVMSG Message(0, 1, 2) into_flags::<2>;
    enter_recvmmsg exit_recvmmsg RECVMMSG Messages(0, 1, 2) into_flags::<3>;
    enter_write exit_write WRITE Flat(0, 1, 2) out;
    enter_writev exit_writev WRITEV Vector(0, 1, 2) out;
    enter_sendto exit_sendto SENDTO Flat(0, 1, 2) out_named;
    enter_sendmsg exit_sendmsg SENDMSG Message(0, 1, 2) out;
    enter_sendmmsg exit_sendmmsg SENDMMSG Messages(0, 1, 2) out;
    enter_sendfile64 exit_sendfile64 SENDFILE Bare(0) out;
    enter_connect exit_connect CONNECT Bare(0) out;
    enter_shutdown exit_shutdown SHUTDOWN Bare(0) out;
}

/// Entry of `splice`: either end may be a socket.
#[tracepoint]
pub fn enter_splice(ctx: TracePointContext) -> u32 {
    let intent = |fd, flags| Intent { call: call::SPLICE, fd, buffer: 0, count: 0, name: 0, flags };
    if enter(intent(argument(&ctx, 2) as u32, 0)).is_none() {
        let _ = enter(intent(argument(&ctx, 0) as u32, data_flag::INGRESS));
    }
    0
}
/// Exit of `splice`.
#[tracepoint]
pub fn exit_splice(ctx: TracePointContext) -> u32 {
    let _ = exit(&ctx, call::SPLICE, Kind::Bare);
    0
}

/// Entry of `accept` and `accept4`: remembers the time only; the listening socket is `fd`.
#[tracepoint]
pub fn enter_accept(ctx: TracePointContext) -> u32 {
    let _ = enter(Intent { call: call::ACCEPT, fd: argument(&ctx, 0) as u32, buffer: 0, count: 0, name: 0, flags: 0 });
    0
}
/// Exit of `accept` and `accept4`: the record is about the new socket; `ret` is its descriptor.
#[tracepoint]
pub fn exit_accept(ctx: TracePointContext) -> u32 {
    let _ = accepted(&ctx);
    0
}

#[inline(always)]
fn accepted(ctx: &TracePointContext) -> Option<()> {
    let who = caller();
    let slot = inflight::end(who.tid, call::ACCEPT)?;
    // SAFETY: ours until `release`.
    let mut c = unsafe { *slot };
    inflight::release(who.tid);
    let ret = argument(ctx, 0) as i64;
    if ret >= 0 {
        let new = find(who.task, ret as u32)?;
        c.sk = new.sk;
        c.seq = 0;
        if new.protocol == TCP {
            c.seq = peek::<u32>(c.sk + offset!(tcp_write_seq) as u64);
        }
    } else if ret == EAGAIN || (ret <= ERESTARTSYS && ret > ERESTARTSYS - 5) {
        return None;
    }
    leave(&c, who, ret, call::ACCEPT, Kind::Bare);
    Some(())
}

/// Entry of `close`: recorded here, while the descriptor still leads to the socket. It is the only
/// hook of this call, since files are closed far more often than sockets.
#[tracepoint]
pub fn enter_close(ctx: TracePointContext) -> u32 {
    let _ = closing(&ctx);
    0
}

#[inline(always)]
fn closing(ctx: &TracePointContext) -> Option<()> {
    let who = caller();
    if !filter::task_wanted(who.task, who.tgid) {
        return None;
    }
    let fd = argument(ctx, 0) as u32;
    let found = find(who.task, fd)?;
    // SAFETY: no arguments.
    let enter_ts = unsafe { bpf_ktime_get_ns() };
    let mut c = Call {
        owner: 0,
        enter_ts,
        sk: found.sk,
        buffer: 0,
        count: 0,
        name: 0,
        seq: 0,
        fd: fd as i32,
        family: found.family,
        protocol: found.protocol,
        sock_type: found.sock_type,
        flags: 0,
    };
    if found.protocol == TCP {
        c.seq = peek::<u32>(c.sk + offset!(tcp_write_seq) as u64);
        c.flags = data_flag::HAS_SEQ;
    }
    leave(&c, who, 0, call::CLOSE, Kind::Bare);
    Some(())
}
