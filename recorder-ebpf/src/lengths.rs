//! Data through sockets, as the tracepoints `sock_send_length` and `sock_recv_length` see it (Linux 6.3
//! and later; from 6.5 on also what `sendfile` sends).
//!
//! They fire for sockets only and hand over the socket itself, typed: so reads and writes of files cost
//! nothing at all, and most of a record is filled in by plain loads. The arguments of the system
//! call under way are in the registers that the thread saved when it entered the kernel (x86_64).

use crate::{
    emit::{Caller, Outcome, Rest, caller, emit, message, nothing_happened, parts},
    filter, frames, inflight,
    inflight::Call,
    kernel::{Ptr, current, load},
    payload::{PARTS, Shape},
    socket::{self, AF_UNIX, TCP, typed_ends},
};
use aya_ebpf::{
    helpers::generated::{bpf_ktime_get_ns, bpf_task_pt_regs},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use core::ptr::null_mut;
use formats::event::{call, data_flag};

const MSG_PEEK: u64 = 2;

/// System call numbers of x86_64.
mod nr {
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const SENDFILE: u64 = 40;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
    pub const SPLICE: u64 = 275;
    pub const RECVMMSG: u64 = 299;
    pub const SENDMMSG: u64 = 307;
}

/// Data went out through a socket.
#[btf_tracepoint(function = "sock_send_length")]
pub fn sent(ctx: BtfTracePointContext) -> i32 {
    frames::finish(moved::<false>(ctx.arg(0), ctx.arg::<u64>(1), 0));
    0
}

/// Data came in through a socket.
#[btf_tracepoint(function = "sock_recv_length")]
pub fn received(ctx: BtfTracePointContext) -> i32 {
    frames::finish(moved::<true>(ctx.arg(0), ctx.arg::<u64>(1), ctx.arg(2)));
    0
}

/// When the call that the thread is in was entered, or began to wait, if it was noted. What is noted for another number is of an
/// earlier call: io_uring and 32-bit programs, for example, leave no stamp.
#[inline(always)]
fn entered<const IN: bool>(who: &Caller, number: u64, fd: u32) -> Option<u64> {
    let (ts, at_entry) = inflight::stamped(who.task, who.tid, number, fd)?;
    if IN && at_entry && ts < inflight::reads_from() { None } else { Some(ts) }
}

/// State bit of a thread that sleeps until something comes, or a signal.
const TASK_INTERRUPTIBLE: u32 = 1;

/// A thread gives up its CPU. While the entries of reads are too many to be noted, this tells since when those wait that do
/// wait: all others take a microsecond. The recorder attaches it for just that time.
#[btf_tracepoint(function = "sched_switch")]
pub fn read_waits(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<u64>(3) as u32 & TASK_INTERRUPTIBLE == 0 {
        return 0;
    }
    let task: Ptr = ctx.arg(1);
    // Threads of the kernel have no registers of a call.
    if load!(task, task_mm as u64) == 0 {
        return 0;
    }
    // SAFETY: a task of user space has registers.
    let regs = unsafe { bpf_task_pt_regs(task as *mut _) as Ptr };
    let number = load!(regs, regs_nr as u64);
    if number == nr::READ || number == nr::READV || number == nr::RECVFROM || number == nr::RECVMSG {
        inflight::wait(task, number, load!(regs, regs_0 as u32));
    }
    0
}

/// A function of its own, so that [`frames::finish`] has the stack for itself.
#[inline(never)]
fn moved<const IN: bool>(sk: Ptr, length: u64, msg_flags: u64) -> Rest {
    record::<IN>(sk, length, msg_flags).unwrap_or(null_mut())
}

#[inline(always)]
fn record<const IN: bool>(sk: Ptr, length: u64, msg_flags: u64) -> Option<Rest> {
    let ret = i64::from(length as u32 as i32);
    if nothing_happened(ret) {
        if IN {
            inflight::waited(load!(current(), task_pid as u32));
        }
        return None;
    }
    let who = caller();
    if !filter::task_wanted(who.task, who.tgid) {
        return None;
    }
    let family = load!(sk, sk_family as u16);
    // The kernel's own sockets (NFS, tunnels) have no file; what they move is not what the process asked for.
    let socket = load!(sk, sk_socket as Ptr);
    if !socket::family_wanted(family) || load!(socket, socket_file as u64) == 0 {
        return None;
    }
    let protocol = if family == AF_UNIX { 0 } else { load!(sk, sk_protocol as u16) as u8 };
    // SAFETY: the running task has registers.
    let regs = unsafe { bpf_task_pt_regs(who.task as *mut _) as Ptr };
    let number = load!(regs, regs_nr as u64);
    if number == nr::RECVMMSG || number == nr::SENDMMSG || number == nr::SPLICE {
        // Those are recorded at their exits.
        return None;
    }
    // SAFETY: no arguments.
    let ts = unsafe { bpf_ktime_get_ns() };
    let mut c = Call {
        owner: 0,
        enter_ts: ts,
        sk: sk as u64,
        buffer: load!(regs, regs_1 as u64),
        count: load!(regs, regs_2 as u64),
        name: 0,
        seq: 0,
        fd: load!(regs, regs_0 as u32) as i32,
        family,
        protocol,
        sock_type: load!(sk, sk_type as u16) as u8,
        flags: if IN { data_flag::INGRESS | data_flag::NO_ENTRY } else { data_flag::NO_ENTRY },
    };
    let bytes = if ret > 0 { ret as u64 } else { 0 };
    let mut o = Outcome {
        who,
        ts,
        ret,
        call: 0,
        shape: Shape::Hidden,
        buffer: c.buffer,
        count: c.count,
        bytes,
        flags: 0,
        index: 0,
        seq: 0,
    };
    if let Some(entered) = entered::<IN>(&who, number, c.fd as u32)
        && entered < ts
    {
        c.enter_ts = entered;
        c.flags &= !data_flag::NO_ENTRY;
    }
    if IN {
        inflight::waited(who.tid);
    }
    let peek_only = IN && msg_flags & MSG_PEEK != 0;
    if peek_only {
        c.flags |= data_flag::PEEK;
    }
    if protocol == TCP {
        c.flags |= data_flag::HAS_SEQ;
        o.seq = socket::typed_seq(sk, IN);
        if !peek_only {
            // It has moved on by what was just transferred.
            o.seq = o.seq.wrapping_sub(bytes as u32);
        }
    }
    let mut ends = typed_ends(sk, family);
    if IN {
        match number {
            nr::READ => (o.call, o.shape) = (call::READ, Shape::Flat),
            nr::READV => (o.call, o.shape) = (call::READV, Shape::Parts),
            nr::RECVFROM => (o.call, o.shape) = (call::RECVFROM, Shape::Flat),
            nr::RECVMSG => o.call = call::RECVMSG,
            // io_uring and whatever else: the buffer is not among the arguments.
            _ => (o.call, c.fd) = (call::RECVMSG, -1),
        }
        if number == nr::RECVMSG || number == nr::RECVFROM {
            if protocol != TCP && family != AF_UNIX && ends.remote_port == 0 {
                return at_exit(&c, who, number, load!(regs, regs_4 as u64));
            }
            if number == nr::RECVMSG {
                // The socket is connected, so who sent it is known; the room for an address is filled in only after this.
                parts(&mut o, c.buffer);
            }
        }
    } else {
        match number {
            nr::WRITE => (o.call, o.shape) = (call::WRITE, Shape::Flat),
            nr::WRITEV => (o.call, o.shape) = (call::WRITEV, Shape::Parts),
            nr::SENDTO => (o.call, o.shape) = (call::SENDTO, Shape::Flat),
            nr::SENDFILE => o.call = call::SENDFILE,
            nr::SENDMSG => o.call = call::SENDMSG,
            _ => (o.call, c.fd) = (call::SENDMSG, -1),
        }
        if number == nr::SENDTO {
            let name = load!(regs, regs_4 as u64);
            if name != 0 && protocol != TCP && family != AF_UNIX {
                socket::named(&mut ends, family, name);
            }
        } else if number == nr::SENDMSG {
            message(&c, &mut o, &mut ends, c.buffer);
        }
    }
    Some(emit::<PARTS>(&c, &o, &ends))
}

/// Whom a datagram came from is known to user space only when the call returns.
#[inline(always)]
fn at_exit(c: &Call, who: Caller, number: u64, name: u64) -> Option<Rest> {
    let number = if number == nr::RECVMSG { call::RECVMSG } else { call::RECVFROM };
    let slot = inflight::begin(who.tid, number)?;
    // SAFETY: the slot is ours until the exit.
    unsafe { *slot = Call { owner: (*slot).owner, name, ..*c } };
    inflight::defer();
    None
}
