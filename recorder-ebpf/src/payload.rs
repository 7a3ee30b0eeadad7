//! Copying the first bytes of what a call moved, out of user memory and straight into the ring.

use crate::{
    kernel::peek_user,
    layout::MAX_TAIL,
    ring::{Slot, forget, masked},
};
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use formats::event::{SocketData, data_flag};

/// iovec parts looked at in a call with one message. With 32, the verifier takes more than a minute.
pub const PARTS: u64 = 16;
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
        Shape::Parts => {
            let mut position = 0;
            let mut part = 0;
            while part < MAX_PARTS && part < count && position < want {
                // Two at a time: every read is a call, and a header with its body is what is sent most.
                let Some(pair) = pair(buffer + part * 16, count - part) else {
                    return (position, data_flag::FAULT);
                };
                let mut i = 0;
                while i < 2 && position < want {
                    let (base, len) = (pair[2 * i], pair[2 * i + 1]);
                    let rest = want - position;
                    let take = forget(if len < rest { len } else { rest });
                    if take != 0 && !piece(slot, position, base, take) {
                        return (position, data_flag::FAULT);
                    }
                    position = forget(position + take);
                    i += 1;
                }
                part += 2;
            }
            (position, if position < want { data_flag::IOV_LIMIT } else { 0 })
        }
    }
}

/// The next two iovecs, or the last one and an empty one.
#[inline(always)]
fn pair(at: u64, left: u64) -> Option<[u64; 4]> {
    if left > 1 {
        peek_user::<[u64; 4]>(at)
    } else {
        let [base, len] = peek_user::<[u64; 2]>(at)?;
        Some([base, len, 0, 0])
    }
}

#[inline(always)]
fn piece(slot: &Slot, position: u64, from: u64, len: u64) -> bool {
    let to = slot.tail::<SocketData>(masked(position, MAX_TAIL));
    // SAFETY: position and length are bounded, the slack behind the data area has room for both.
    unsafe { bpf_probe_read_user(to.cast(), masked(len, MAX_TAIL) as u32, from as *const _) == 0 }
}
