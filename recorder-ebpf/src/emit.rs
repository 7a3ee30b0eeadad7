//! One call on a socket becomes one record.

use crate::{
    filter,
    frames::{self, Moved},
    inflight::Call,
    kernel::{self, Ptr, conf, load, peek_user},
    layout::{MAX_TAIL, filter_bit},
    payload::{self, PARTS, Shape, sign},
    ring::{self, forget, masked},
    socket::{self, AF_UNIX, Ends, TCP},
};
use core::ptr::null_mut;
use formats::event::{SocketData, data_flag, kind};

const SOCK_STREAM: u8 = 1;
const EAGAIN: i64 = -11;
/// -512 ... -516: the kernel will start the call again or turn the value into EINTR.
const ERESTARTSYS: i64 = -512;

/// Whether a result says nothing: nothing was there, or the call has not really ended.
#[inline(always)]
pub fn nothing_happened(ret: i64) -> bool {
    ret == EAGAIN || (ret <= ERESTARTSYS && ret > ERESTARTSYS - 5)
}

/// What is the same for all calls of a thread.
#[derive(Clone, Copy)]
pub struct Caller {
    pub task: Ptr,
    pub tid: u32,
    pub tgid: u32,
}

/// The running thread.
#[inline(always)]
pub fn caller() -> Caller {
    let task = kernel::current();
    Caller { task, tid: load!(task, task_pid as u32), tgid: load!(task, task_tgid as u32) }
}

/// One record to be written.
pub struct Outcome {
    pub who: Caller,
    pub ts: u64,
    pub ret: i64,
    pub call: u8,
    pub shape: Shape,
    pub buffer: u64,
    pub count: u64,
    /// Bytes of payload there are.
    pub bytes: u64,
    pub flags: u32,
    pub index: u16,
    pub seq: u32,
}

/// What is left to be done by [`frames::finish`]; null: nothing.
pub type Rest = *mut frames::State;

/// Writes the record, if the ports are wanted.
#[inline(always)]
pub fn emit<const MAX_PARTS: u64>(c: &Call, o: &Outcome, e: &Ends) -> Rest {
    // UNIX sockets have no port, so none that is wanted.
    let has_port = c.family != AF_UNIX;
    if conf!(filters) & filter_bit::PORTS != 0 && !(has_port && filter::ports_wanted(e.local_port, e.remote_port)) {
        return null_mut();
    }
    let limit = u64::from(conf!(payload_bytes));
    let mut want = if matches!(o.shape, Shape::Hidden) { 0 } else { o.bytes };
    if want > limit {
        want = limit;
    }
    let want = masked(forget(want), MAX_TAIL);
    let fixed = size_of::<SocketData>() as u64;
    // Datagrams hold no HTTP/2, and what is peeked at comes again. As masks: each branch were one more way for the verifier
    // through all that follows.
    let is = |value: u64, wanted: u64| sign((value ^ wanted).wrapping_sub(1));
    let streams = is(u64::from(c.protocol), u64::from(TCP))
        | is(u64::from(c.family), u64::from(AF_UNIX)) & is(u64::from(c.sock_type), u64::from(SOCK_STREAM));
    let peeks = 0u64.wrapping_sub(u64::from(c.flags & data_flag::PEEK));
    let follows = forget(streams & !sign(peeks) & sign(0u64.wrapping_sub(limit)) & sign(0u64.wrapping_sub(o.bytes)));
    let room = forget(follows & sign(0u64.wrapping_sub(want)) & sign(want.wrapping_sub(o.bytes)) & frames::ROOM);
    let moved = Moved { shape: forget(o.shape as u64), buffer: forget(o.buffer), count: forget(o.count) };
    let Some(slot) = ring::reserve(kind::SOCKET_DATA, fixed + want + room) else { return null_mut() };
    let (data_len, why) =
        if want == 0 { (0, 0) } else { payload::copy::<MAX_PARTS>(&slot, o.shape, o.buffer, o.count, want) };
    let r = slot.fixed::<SocketData>();
    // SAFETY: the record was reserved with room for the fixed part.
    unsafe {
        (*r).hdr.kind = kind::SOCKET_DATA;
        (*r).hdr.fixed_len = fixed as u16;
        (*r).hdr.ts = o.ts;
        (*r).hdr.pid = o.who.tgid;
        (*r).hdr.tid = o.who.tid;
        (*r).enter_ts = c.enter_ts;
        // The verifier lets no typed pointer be mixed with anything, but once stored and read back it is a number.
        (&raw mut (*r).sock).write_volatile(c.sk);
        (*r).sock = (&raw const (*r).sock).read_volatile() ^ conf!(secret);
        (&raw mut (*r).peer).write_volatile(e.peer);
        let peer = (&raw const (*r).peer).read_volatile();
        (*r).peer = if peer == 0 { 0 } else { peer ^ conf!(secret) };
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
        (*r).more_len = 0;
        (*r).frame_at = 0;
    }
    let data_len = forget(data_len);
    if MAX_PARTS == PARTS
        && follows != 0
        && let Some(rest) = frames::begin(&slot, moved, data_len, room)
    {
        return rest;
    }
    if room == 0 {
        slot.commit();
    } else {
        slot.commit_shrunk(fixed + data_len);
    }
    null_mut()
}

/// Takes iovecs and name out of a user's `struct msghdr`.
#[inline(always)]
pub fn message(c: &Call, o: &mut Outcome, e: &mut Ends, at: u64) {
    let name = parts(o, at);
    if name != 0 && c.protocol != TCP && c.family != AF_UNIX {
        socket::named(e, c.family, name);
    }
}

/// The same without the address; returns where that is, or 0 if none was given or returned.
#[inline(always)]
pub fn parts(o: &mut Outcome, at: u64) -> u64 {
    let Some([name, name_len, iov, count]) = peek_user::<[u64; 4]>(at) else {
        o.flags |= data_flag::FAULT;
        o.shape = Shape::Hidden;
        return 0;
    };
    o.shape = Shape::Parts;
    o.buffer = iov;
    o.count = count;
    // Not long enough for an address: there is none.
    if name_len as u32 >= 16 { name } else { 0 }
}
