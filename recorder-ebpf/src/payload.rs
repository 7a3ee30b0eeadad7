//! Copying the first bytes of what a call moved, out of user memory and straight into the ring.

use crate::{
    layout::MAX_TAIL,
    ring::{Slot, forget, masked},
};
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use core::arch::asm;
use formats::event::{SocketData, data_flag};

/// iovec parts looked at in a call with one message. gRPC's C core sends a request's headers in some thirty.
pub const PARTS: u64 = 64;
/// The same for each message of a `*mmsg` call: few, as the verifier walks through all of all messages.
pub const PARTS_OF_MANY: u64 = 2;

/// How the user's memory is described.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One buffer.
    Flat,
    /// An array of iovecs.
    Parts,
    /// Nothing to see: the data never was in user memory.
    Hidden,
}

/// Copies at most `want` bytes; returns how many and the flags that say why not all of them.
#[inline(always)]
pub fn copy<const MAX_PARTS: u64>(slot: &Slot, shape: Shape, buffer: u64, count: u64, want: u64) -> (u64, u32) {
    match shape {
        Shape::Hidden => (0, 0),
        Shape::Flat => {
            if piece(slot, 0, buffer, want) {
                (want, 0)
            } else {
                (0, data_flag::FAULT)
            }
        }
        Shape::Parts => parts::<MAX_PARTS>(slot, buffer, count, want),
    }
}

/// The loop has no branch inside, whatever was read and whether it could be read: the verifier walks through all parts
/// of all calls, and every branch would be one more way through what follows.
#[inline(always)]
fn parts<const MAX_PARTS: u64>(slot: &Slot, iovecs: u64, count: u64, want: u64) -> (u64, u32) {
    let (mut position, mut rest, mut fault) = (0, want, 0);
    let mut part = 0;
    while part < MAX_PARTS && part < count && rest != 0 {
        // Two at a time: every read is a call, and a header with its body is what is sent most.
        let mut pair = core::mem::MaybeUninit::<[u64; 4]>::uninit();
        let pair = pair.as_mut_ptr().cast::<u64>();
        // Not by a call of memset, which would need a stack frame. The first two are written in any case.
        // SAFETY: there is room for 32 bytes.
        unsafe {
            pair.add(2).write_volatile(0);
            pair.add(3).write_volatile(0);
        }
        let size = 16 + (sign(1 + part - count) & 16);
        // SAFETY: there is room for 32 bytes.
        let ret = unsafe { bpf_probe_read_user(pair.cast(), size as u32, (iovecs + part * 16) as *const _) };
        fault |= sign(ret as u64);
        let mut i = 0;
        while i < 2 {
            // SAFETY: of four, all of which are written.
            let (base, len) = unsafe { (pair.add(2 * i).read(), pair.add(2 * i + 1).read()) };
            let over = len - rest;
            let take = forget(rest + (over & sign(over)));
            let to = slot.tail::<SocketData>(masked(position, MAX_TAIL));
            // SAFETY: position and length are bounded, the slack behind the data area has room for both.
            let ret = unsafe { bpf_probe_read_user(to.cast(), masked(take, MAX_TAIL) as u32, base as *const _) };
            // Nothing at a bad address is nothing bad.
            let bad = sign(ret as u64) & sign(0 - take);
            fault |= bad;
            position = forget(position + (take & !bad));
            rest = forget((rest - take) & !bad);
            i += 1;
        }
        part += 2;
    }
    let short = sign(position - want) & !fault;
    (position, fault as u32 & data_flag::FAULT | short as u32 & data_flag::IOV_LIMIT)
}

/// All bits set if the number is negative, else none; in a form that the compiler does not make a branch of.
#[inline(always)]
pub fn sign(value: u64) -> u64 {
    let mut v = value;
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} s>>= 63", inout(reg) v, options(pure, nomem, nostack)) };
    v
}

#[inline(always)]
fn piece(slot: &Slot, position: u64, from: u64, len: u64) -> bool {
    let to = slot.tail::<SocketData>(masked(position, MAX_TAIL));
    // SAFETY: position and length are bounded, the slack behind the data area has room for both.
    unsafe { bpf_probe_read_user(to.cast(), masked(len, MAX_TAIL) as u32, from as *const _) == 0 }
}
