//! HTTP/2 on streams: where its frames begin, and a copy of all that lies behind the prefix but the payload of DATA.
//!
//! Many requests share one call, and an answer's status may come last. HPACK makes each header block depend on all
//! before it: one that is missing spoils those that follow. So, on a socket that speaks HTTP/2, every header block of
//! every call is kept, and bodies are not.
//!
//! Such a socket is known by the preface, or by a call that begins with what looks like a frame (connections older than
//! the recording, the server's side). Taking something else for HTTP/2 does no harm: what is copied comes on top of
//! the prefix. Where in a frame a call ended is kept per socket and direction, in a table addressed by a hash; another
//! socket in the same slot takes it over.

use crate::{
    layout::MAX_TAIL,
    payload::{Shape, sign},
    ring::{self, Kept, Slot, masked},
};
use aya_ebpf::{
    helpers::generated::{bpf_loop, bpf_probe_read_user},
    macros::map,
    maps::Array,
};
use core::ffi::c_void;
use formats::event::{SocketData, data_flag};

/// Directions of sockets that are followed at the same time; a power of two.
const FRAME_SLOTS: u32 = 8192;
/// Bytes of frames kept of a call behind its prefix, at most: a hundred requests of gRPC.
pub const ROOM: u64 = 16 * 1024;
/// Steps of one call at most: two or three per frame, one per part.
const STEPS: u32 = 4096;
const HEADER: u64 = 9;
const PREFACE: u64 = 24;
/// `PRI * HT`.
const PREFACE_START: u64 = u64::from_le_bytes(*b"PRI * HT");
const DATA: u64 = 0;
/// Largest frame that is taken for one: far above the 16 KiB that all accept and the 1 MiB that some ask for.
const MAX_FRAME: u64 = 1 << 20;

/// Of the present frame's bytes, what comes next.
mod mode {
    /// Its header.
    pub const HEADER: u64 = 0;
    /// Payload of DATA.
    pub const PASS: u64 = 1;
    /// Payload of another frame.
    pub const COPY: u64 = 2;
}

/// One direction of one socket, and the walk through its present call.
#[repr(C, align(64))]
pub struct State {
    /// Whose it is; 0: nobody's.
    owner: u64,
    /// 1 while a call is followed.
    busy: u64,
    /// [`mode`].
    mode: u64,
    /// Bytes left of the present frame's payload.
    left: u64,
    /// Bytes of its header that are known.
    filled: u64,
    /// These, and slack.
    header: [u8; 32],
    /// TCP: sequence number that comes next.
    next: u64,
    /// Bytes of the call passed, and all of them.
    at: u64,
    end: u64,
    /// Bytes of it that are captured anyway.
    prefix: u64,
    /// Where the call's first frame begins.
    first: u64,
    /// iovecs: the array, how many, which is next.
    parts: u64,
    count: u64,
    part: u64,
    /// The present part: what is left of it.
    base: u64,
    here: u64,
    /// Place in the record's tail, its end, and where the length of the piece being written is.
    out: u64,
    room: u64,
    piece: u64,
    /// Place in the call behind that piece.
    joins: u64,
    /// 1: this is no HTTP/2, or memory could not be read.
    lost: u64,
    /// The record.
    slot: Kept,
}

#[map]
static FRAMES: Array<State> = Array::with_max_entries(FRAME_SLOTS, 0);

#[inline(always)]
fn read<T: Copy>(at: u64) -> T {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: the helper fills the value, with zeroes if it fails; integers only.
    unsafe {
        bpf_probe_read_user(value.as_mut_ptr().cast::<c_void>(), size_of::<T>() as u32, at as *const _);
        value.assume_init()
    }
}

/// What frames of a kind are like.
#[repr(C)]
#[derive(Clone, Copy)]
struct Kind {
    /// Flags that none has.
    no_flags: u64,
    min: u64,
    max: u64,
    /// All bits set where a stream must not, or must, be named.
    stream: u64,
    no_stream: u64,
}

const fn kind(flags: u64, min: u64, max: u64, stream: bool, none: bool) -> Kind {
    Kind {
        no_flags: !flags & 0xff,
        min,
        max,
        stream: (stream as u64).wrapping_neg(),
        no_stream: (none as u64).wrapping_neg(),
    }
}

/// RFC 9113 section 6, and ALTSVC, ORIGIN, PRIORITY_UPDATE.
static KINDS: [Kind; 32] = {
    let mut kinds = [kind(0, 1, 0, false, false); 32];
    kinds[0] = kind(0x9, 0, MAX_FRAME, true, false);
    kinds[1] = kind(0x2d, 1, MAX_FRAME, true, false);
    kinds[2] = kind(0xff, 5, 5, true, false);
    kinds[3] = kind(0xff, 4, 4, true, false);
    kinds[4] = kind(0x1, 0, 600, false, true);
    kinds[5] = kind(0xff, 4, MAX_FRAME, true, false);
    kinds[6] = kind(0x1, 8, 8, false, true);
    kinds[7] = kind(0xff, 8, MAX_FRAME, false, true);
    kinds[8] = kind(0xff, 4, 4, false, false);
    kinds[9] = kind(0x4, 0, MAX_FRAME, true, false);
    kinds[10] = kind(0xff, 0, MAX_FRAME, false, false);
    kinds[12] = kind(0xff, 0, MAX_FRAME, false, false);
    kinds[16] = kind(0xff, 4, MAX_FRAME, false, true);
    kinds
};

/// Length in the nine bytes of a frame's header.
#[inline(always)]
fn length(first: u64) -> u64 {
    (first & 0xff) << 16 | (first >> 8 & 0xff) << 8 | first >> 16 & 0xff
}

/// 0 if these may be the nine bytes of a frame's header. Without a branch, each of which were one more way for the
/// verifier to walk.
#[inline(always)]
fn misfit(first: u64, last: u64, max: u64) -> u64 {
    let (len, kind, flags) = (length(first), first >> 24 & 0xff, first >> 32 & 0xff);
    let stream = first >> 40 | (last & 0xff) << 24;
    // SAFETY: the index is below the array's length.
    let k = unsafe { &*(&raw const KINDS).cast::<Kind>().add(masked(kind, 31) as usize) };
    let none = sign(stream.wrapping_sub(1));
    // The stream's reserved bit comes first.
    kind >> 5
        | stream & 0x80
        | flags & k.no_flags
        | sign(max.wrapping_sub(len))
        | sign(k.max.wrapping_sub(len))
        | sign(len.wrapping_sub(k.min))
        | none & k.stream
        | !none & k.no_stream
}

/// Where a call's bytes are in user memory.
pub struct Moved {
    /// [`payload::Shape`](crate::payload::Shape).
    pub shape: u64,
    pub buffer: u64,
    pub count: u64,
}

/// For a call whose record is written but for what lies behind the prefix, for which there is `room`: whether there are
/// frames to follow. Then the state is locked, and [`finish`] has to follow them and to commit the record.
#[inline(always)]
pub fn begin(slot: &Slot, m: Moved, prefix: u64, room: u64) -> Option<*mut State> {
    let r = slot.fixed::<SocketData>();
    // SAFETY: the record, which was reserved with room for the fixed part, and an element of the map.
    unsafe {
        // From the record: less to be remembered until now.
        let flags = (&raw const (*r).flags).read_volatile();
        let bytes = (&raw const (*r).ret).read_volatile() as u64;
        let seq = u64::from((&raw const (*r).tcp_seq).read_volatile());
        let key = (&raw const (*r).sock).read_volatile() << 1 | u64::from(flags & data_flag::INGRESS);
        let s = FRAMES.get_ptr_mut((key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32 & (FRAME_SLOTS - 1))?;
        let hidden = m.shape == Shape::Hidden as u64;
        let next = seq + bytes & 0xffff_ffff;
        let mut known = (*s).owner == key;
        if known {
            let in_step = flags & data_flag::HAS_SEQ == 0 || (*s).next == seq;
            if in_step && (*s).mode == mode::PASS && (*s).left > bytes {
                // Nothing but body.
                (*s).next = next;
                (*s).left -= bytes;
                return None;
            }
            if !in_step || hidden {
                known = false;
                (*s).owner = 0;
            }
        }
        if hidden {
            return None;
        }
        let start = slot.tail::<SocketData>(0).cast::<u64>();
        let (first, second) = (start.read_volatile(), start.add(1).read_volatile());
        let preface = first == PREFACE_START;
        if !known && (prefix < HEADER || !(preface || misfit(first, second, 0x4000) == 0)) {
            return None;
        }
        // Two threads at the same socket, or two sockets in the same slot: one of them is not followed.
        if !ring::claim(&raw mut (*s).busy, 0, 1) {
            (*s).owner = 0;
            return None;
        }
        if !known {
            (*s).owner = key;
            (*s).filled = 0;
            (*s).mode = if preface { mode::COPY } else { mode::HEADER };
            (*s).left = if preface { PREFACE } else { 0 };
        }
        (*s).next = next;
        (*s).end = bytes;
        (*s).prefix = prefix;
        (*s).out = prefix;
        (*s).room = prefix + room;
        (*s).parts = m.buffer;
        (*s).base = m.buffer;
        // All bits set if there are parts.
        let parts = sign(0 - m.shape);
        (*s).count = m.count & parts;
        (*s).here = bytes & !parts;
        slot.keep(&raw mut (*s).slot);
        Some(s)
    }
}

/// What the callback of the loop is given.
struct Step {
    state: *mut State,
    at: *mut u8,
}

/// Follows the frames and commits the record. A program calls this when all else has returned: its stack is small.
#[inline(never)]
pub fn finish(s: *mut State) {
    if s.is_null() {
        return;
    }
    // SAFETY: an element of the map, locked, and the record's ring.
    unsafe {
        let Some(slot) = Slot::kept(&raw const (*s).slot) else { return };
        let room = (*s).room - (*s).prefix;
        (*s).at = 0;
        (*s).first = u64::from(u32::MAX);
        (*s).part = 0;
        (*s).joins = u64::MAX;
        (*s).lost = 0;
        let mut context = Step { state: s, at: slot.start() };
        bpf_loop(STEPS, step as *mut c_void, (&raw mut context).cast(), 0);
        if (*s).lost != 0 || (*s).at < (*s).end {
            (*s).owner = 0;
        }
        let more = (*s).out - (*s).prefix;
        let r = slot.fixed::<SocketData>();
        (*r).flags |= data_flag::FRAMES;
        (*r).more_len = more as u32;
        (*r).frame_at = (*s).first as u32;
        let len = size_of::<SocketData>() as u64 + (*s).out;
        (&raw mut (*s).busy).write_volatile(0);
        if room == 0 {
            slot.commit();
        } else {
            slot.commit_shrunk(len);
        }
    }
}

/// One step: the next part, or as much as belongs together of one frame in one part.
unsafe extern "C" fn step(_: u32, at: *mut Step) -> i64 {
    // SAFETY: the loop's context, an element of the map, the record's ring; the verifier checks every access.
    unsafe {
        let s = &mut *(*at).state;
        let ring = (*at).at;
        if s.at >= s.end {
            return 1;
        }
        if s.here == 0 {
            if s.part >= s.count {
                s.lost = 1;
                return 1;
            }
            [s.base, s.here] = read::<[u64; 2]>(s.parts + s.part * 16);
            s.part += 1;
            return 0;
        }
        let need = if s.mode == mode::HEADER { HEADER - s.filled } else { s.left };
        let mut n = need.min(s.here).min(s.end - s.at);
        if n == 0 {
            s.lost = 1;
            return 1;
        }
        if s.at < s.prefix {
            n = n.min(s.prefix - s.at);
        } else if s.mode != mode::PASS {
            n = keep(s, ring, n);
        }
        if s.mode == mode::HEADER {
            if s.filled == 0 && s.first == u64::from(u32::MAX) {
                s.first = s.at;
            }
            let to = s.header.as_mut_ptr().add(masked(s.filled, 15) as usize);
            if bpf_probe_read_user(to.cast(), masked(n, 15) as u32, s.base as *const _) != 0 {
                s.lost = 1;
                return 1;
            }
            s.filled += n;
        } else {
            s.left -= n;
        }
        s.at += n;
        s.base += n;
        s.here -= n;
        if s.mode != mode::HEADER {
            if s.left == 0 {
                s.mode = mode::HEADER;
                s.filled = 0;
            }
        } else if s.filled >= HEADER {
            let first = s.header.as_ptr().cast::<u64>().read_volatile();
            if misfit(first, u64::from(s.header[8]), MAX_FRAME) != 0 {
                s.lost = 1;
                return 1;
            }
            s.left = length(first);
            s.filled = 0;
            s.mode = match (s.left, first >> 24 & 0xff) {
                (0, _) => mode::HEADER,
                (_, DATA) => mode::PASS,
                _ => mode::COPY,
            };
        }
        0
    }
}

/// Copies the next bytes behind what was written so far, as far as there is room; returns how many are done with.
#[inline(always)]
unsafe fn keep(s: &mut State, ring: *mut u8, n: u64) -> u64 {
    const HEAD: u64 = 8;
    let begins = s.joins != s.at;
    let from = if begins { s.out + HEAD } else { s.out };
    if from >= s.room {
        // The piece before it stays what it is; nothing more fits.
        return n;
    }
    let take = n.min(s.room - from);
    // SAFETY: positions and length are bounded, the slack behind the data area has room for both.
    unsafe {
        let tail = ring.add(size_of::<SocketData>());
        let ret = bpf_probe_read_user(
            tail.add(masked(from, MAX_TAIL) as usize).cast(),
            masked(take, MAX_TAIL) as u32,
            s.base as *const _,
        );
        if ret != 0 {
            return n;
        }
        if begins {
            s.piece = s.out;
            tail.add(masked(s.piece, MAX_TAIL) as usize).cast::<u32>().write_unaligned(s.at as u32);
        }
        s.out = from + take;
        s.joins = s.at + take;
        let len = s.out - s.piece - HEAD;
        tail.add(masked(s.piece, MAX_TAIL) as usize + 4).cast::<u32>().write_unaligned(len as u32);
    }
    take
}
