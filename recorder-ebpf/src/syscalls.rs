//! System calls on sockets: remembered at entry, recorded at exit.
//!
//! Where the kernel has the tracepoints of `lengths.rs`, this is left to calls that those do not see or
//! do not tell enough of: connect, accept, close, shutdown, splice, `*mmsg`, and datagrams received
//! without connect. On older kernels all calls that move data come this way.
//!
//! What is not a socket is turned away at entry and leaves nothing behind for the exit to find.

use crate::{
    emit::{Caller, Outcome, Rest, caller, emit, message, nothing_happened},
    filter, frames, inflight,
    inflight::Call,
    kernel::{self, Ptr, conf, load, offset, peek, peek_user},
    payload::{PARTS, PARTS_OF_MANY, Shape},
    socket::{AF_UNIX, TCP, ends, find, named},
};
use aya_ebpf::{
    EbpfContext,
    helpers::generated::{bpf_ktime_get_ns, bpf_task_pt_regs},
    macros::tracepoint,
    programs::TracePointContext,
};
use core::ptr::null_mut;
use formats::event::{call, data_flag};

const MSG_PEEK: u64 = 2;
/// Messages of one `recvmmsg` or `sendmmsg` that are looked at.
const MAX_MESSAGES: u64 = 8;
/// `struct mmsghdr`: a `msghdr` of 56 bytes and the length of the message.
const MMSGHDR: u64 = 64;
const MSG_LEN_AT: u64 = 56;

/// Arguments of an entry, as the tracepoint gives them.
#[inline(always)]
fn argument(ctx: &TracePointContext, n: usize) -> u64 {
    // SAFETY: the programs ask only for arguments that their call has; the verifier checks the bounds.
    unsafe { ctx.as_ptr().cast::<u64>().add(2 + n).read_volatile() }
}

/// Number of the system call: the first word after the tracepoint's own.
#[inline(always)]
fn number(ctx: &TracePointContext) -> u64 {
    // SAFETY: every entry has it; the verifier checks the bounds.
    unsafe { ctx.as_ptr().cast::<u64>().add(1).read_volatile() }
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
fn exit(ctx: &TracePointContext, number: u8, kind: Kind) -> Option<Rest> {
    let may_be_deferred = conf!(lengths) != 0 && (number == call::RECVFROM || number == call::RECVMSG);
    if may_be_deferred && !inflight::any_deferred() {
        return None;
    }
    let task = kernel::current();
    let tid = load!(task, task_pid as u32);
    let slot = inflight::end(tid, number)?;
    let ret = argument(ctx, 0) as i64;
    // SAFETY: ours until `release`.
    let c = unsafe { &*slot };
    let mut rest = null_mut();
    if !nothing_happened(ret) {
        rest = leave(c, Caller { task, tid, tgid: load!(task, task_tgid as u32) }, ret, number, kind);
    }
    inflight::release(tid);
    if may_be_deferred {
        inflight::undefer();
    }
    Some(rest)
}

#[inline(always)]
fn leave(c: &Call, who: Caller, ret: i64, number: u8, kind: Kind) -> Rest {
    // SAFETY: no arguments.
    let ts = if c.flags & data_flag::NO_ENTRY != 0 { c.enter_ts } else { unsafe { bpf_ktime_get_ns() } };
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
        Kind::Bare => emit::<PARTS>(c, &o, &e),
        Kind::Flat => {
            o.shape = Shape::Flat;
            if c.name != 0 && c.protocol != TCP && c.family != AF_UNIX {
                named(&mut e, c.family, c.name);
            }
            emit::<PARTS>(c, &o, &e)
        }
        Kind::Vector => {
            o.shape = Shape::Parts;
            emit::<PARTS>(c, &o, &e)
        }
        Kind::Message => {
            message(c, &mut o, &mut e, c.buffer);
            emit::<PARTS>(c, &o, &e)
        }
        Kind::Messages => {
            if ret <= 0 {
                return emit::<PARTS>(c, &o, &e);
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
                emit::<PARTS_OF_MANY>(c, &o, &here);
                i += 1;
            }
            null_mut()
        }
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
            /// A function of its own, so that [`frames::finish`] has the stack for itself.
            #[inline(never)]
            fn record(ctx: TracePointContext) -> Rest {
                exit(&ctx, call::$call, Kind::$kind).unwrap_or(null_mut())
            }
            if matches!(Kind::$kind, Kind::Bare | Kind::Messages) {
                let _ = exit(&ctx, call::$call, Kind::$kind);
            } else {
                frames::finish(record(ctx));
            }
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
    let ret = argument(ctx, 0) as i64;
    let Some(slot) = inflight::end(who.tid, call::ACCEPT) else { return accepted_since_before(who, ret) };
    // SAFETY: ours until `release`.
    let mut c = unsafe { *slot };
    inflight::release(who.tid);
    if ret >= 0 {
        let new = find(who.task, ret as u32)?;
        c.sk = new.sk;
        c.seq = 0;
        if new.protocol == TCP {
            c.seq = peek::<u32>(c.sk + offset!(tcp_write_seq) as u64);
        }
    } else if nothing_happened(ret) {
        return None;
    }
    leave(&c, who, ret, call::ACCEPT, Kind::Bare);
    Some(())
}

/// An accept that was entered before the recording began: servers wait in it for hours. What is known is the new socket, and
/// on x86_64, where saved registers are read, the listening one's descriptor.
#[inline(always)]
fn accepted_since_before(who: Caller, ret: i64) -> Option<()> {
    if ret < 0 || !filter::task_wanted(who.task, who.tgid) {
        return None;
    }
    let new = find(who.task, ret as u32)?;
    let mut fd = -1;
    if conf!(lengths) != 0 {
        // SAFETY: the running task has registers.
        let regs = unsafe { bpf_task_pt_regs(who.task as *mut _) as Ptr };
        fd = load!(regs, regs_0 as u32) as i32;
    }
    let mut c = Call {
        owner: 0,
        // SAFETY: no arguments.
        enter_ts: unsafe { bpf_ktime_get_ns() },
        sk: new.sk,
        buffer: 0,
        count: 0,
        name: 0,
        seq: 0,
        fd,
        family: new.family,
        protocol: new.protocol,
        sock_type: new.sock_type,
        flags: data_flag::NO_ENTRY,
    };
    if new.protocol == TCP {
        c.seq = peek::<u32>(c.sk + offset!(tcp_write_seq) as u64);
        c.flags |= data_flag::HAS_SEQ;
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

/// Entry of the calls that send: only the time, for `lengths.rs`. A request must not look as if it was sent after
/// it arrived, and on one machine it may arrive before the call that sends it returns.
#[tracepoint]
pub fn stamp(ctx: TracePointContext) -> u32 {
    inflight::stamp(number(&ctx));
    0
}

/// Entry of the calls that receive: the time from which on they wait. The recorder detaches it while the node reads so
/// much that this would cost too much.
#[tracepoint]
pub fn stamp_read(ctx: TracePointContext) -> u32 {
    inflight::stamp_read(number(&ctx));
    0
}
