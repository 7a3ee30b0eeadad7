//! Reserving room in the ring of this CPU and committing what was written there.
//!
//! One entry of the map `RINGS` per CPU: a control page, the data area, and slack, so that every
//! record lies in one piece. A program may be interrupted by another one on the same CPU
//! (soft interrupts, perf), and a tracing program may even be preempted: so room is taken by
//! compare-exchange, and each record is committed by itself, by storing its length last. User space
//! reads up to the first record whose length is still 0; it zeroes what it consumed.

use aya_ebpf::{helpers::generated::bpf_get_smp_processor_id, macros::map, maps::Array};
use core::arch::asm;

use crate::{kernel::conf, layout::control};

/// The loader sets the size of a value (whole pages) and the number of entries (CPUs).
#[map]
static RINGS: Array<[u8; 8192]> = Array::with_max_entries(1, BPF_F_MMAPABLE);
const BPF_F_MMAPABLE: u32 = 1024;

/// How often another context may take the room in front of us before we give up.
const TRIES: u32 = 4;

/// A record being written.
#[derive(Clone, Copy)]
pub struct Slot {
    /// Start of the record in the ring.
    at: *mut u8,
    len: u32,
    /// Head of the ring right behind it.
    end: u64,
}

/// A [`Slot`] in a map: pointers cannot be kept there.
#[repr(C)]
pub struct Kept {
    len: u64,
    end: u64,
}

/// `value & mask`, in a form that the compiler does not take apart: the verifier needs to see it.
#[inline(always)]
pub fn masked(value: u64, mask: u64) -> u64 {
    let mut v = value;
    // SAFETY: arithmetic on two registers.
    unsafe { asm!("{0} &= {1}", inout(reg) v, in(reg) mask, options(pure, nomem, nostack)) };
    v
}

/// `value`, with all that the verifier knew about its range forgotten: paths that differ only in that need not be
/// walked again. (It tracks no range through a change of byte order; two of them are none.)
#[inline(always)]
pub fn forget(value: u64) -> u64 {
    let mut v = value;
    // SAFETY: arithmetic on a register.
    unsafe { asm!("{0} = be64 {0}", "{0} = be64 {0}", inout(reg) v, options(pure, nomem, nostack)) };
    v
}

#[inline(always)]
unsafe fn compare_exchange(at: *mut u64, old: u64, new: u64) -> u64 {
    let mut seen = old;
    // SAFETY: the caller gives a valid pointer; r0 is what this instruction compares and sets.
    unsafe { asm!("r0 = cmpxchg_64({0} + 0, r0, {1})", in(reg) at, in(reg) new, inout("r0") seen, options(nostack)) };
    seen
}

#[inline(always)]
unsafe fn fetch_add(at: *mut u64, by: u64) {
    // SAFETY: the caller gives a valid pointer.
    unsafe { asm!("lock *(u64*)({0} + 0) += {1}", in(reg) at, in(reg) by, options(nostack)) };
}

/// Claims `at` for `new` if it holds `old`.
#[inline(always)]
pub unsafe fn claim(at: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: as above.
    unsafe { compare_exchange(at, old, new) == old }
}

/// Adds to a counter shared by all CPUs.
#[inline(always)]
pub unsafe fn add(at: *mut u64, by: u64) {
    // SAFETY: as above.
    unsafe { fetch_add(at, by) }
}

/// Takes room for a record of `len` bytes (rounded up to 8). If there is none, the loss is counted.
#[inline(always)]
pub fn reserve(kind: u16, len: u64) -> Option<Slot> {
    // SAFETY: no arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let ring = RINGS.get_ptr_mut(cpu)?.cast::<u8>();
    let len = (len + 7) & !7;
    let mask = conf!(ring_mask);
    // SAFETY: the control page is part of every ring.
    unsafe {
        let head_at = ring.add(control::HEAD).cast::<u64>();
        let tail = ring.add(control::TAIL).cast::<u64>().read_volatile();
        let mut tries = 0;
        while tries < TRIES {
            let head = head_at.read_volatile();
            if head + len - tail > mask + 1 {
                break;
            }
            if compare_exchange(head_at, head, head + len) == head {
                let at = ring.add(control::DATA).add(masked(head, mask) as usize);
                return Some(Slot { at, len: len as u32, end: head + len });
            }
            tries += 1;
        }
        fetch_add(ring.add(control::LOST + (kind as usize & 7) * 8).cast::<u64>(), 1);
    }
    None
}

impl Slot {
    /// Where the fixed part goes.
    #[inline(always)]
    pub fn fixed<T>(&self) -> *mut T {
        self.at.cast()
    }

    /// Where byte `position` of the tail of a record with fixed part `T` goes; `position` must be bounded by the caller.
    #[inline(always)]
    pub fn tail<T>(&self, position: u64) -> *mut u8 {
        // SAFETY: the verifier checks it.
        unsafe { self.at.add(size_of::<T>()).add(position as usize) }
    }

    /// Remembers the record.
    #[inline(always)]
    pub unsafe fn keep(&self, kept: *mut Kept) {
        // SAFETY: the caller gives a valid pointer.
        unsafe { kept.write(Kept { len: u64::from(self.len), end: self.end }) }
    }

    /// The record that was kept by the same run of a program, hence on the same CPU.
    #[inline(always)]
    pub unsafe fn kept(kept: *const Kept) -> Option<Self> {
        // SAFETY: no arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let ring = RINGS.get_ptr_mut(cpu)?.cast::<u8>();
        // SAFETY: the caller gives a valid pointer; the verifier checks the place.
        unsafe {
            let (len, end) = ((*kept).len, (*kept).end);
            let at = ring.add(control::DATA).add(masked(end - len, conf!(ring_mask)) as usize);
            Some(Self { at, len: len as u32, end })
        }
    }

    /// The record's first byte.
    #[inline(always)]
    pub fn start(&self) -> *mut u8 {
        self.at
    }

    /// Makes the record visible to user space.
    #[inline(always)]
    pub fn commit(self) {
        self.commit_as(self.len);
    }

    #[inline(always)]
    fn commit_as(self, len: u32) {
        // SAFETY: the first four bytes of the record are its length.
        unsafe {
            if conf!(weak_order) == 0 {
                asm!("*(u32*)({0} + 0) = {1}", in(reg) self.at, in(reg) u64::from(len), options(nostack));
            } else {
                // A fully ordered exchange; the bytes behind the length (kind, fixed_len) are stored again with it.
                let rest = self.at.cast::<u64>().read_volatile();
                let word = (rest & 0xffff_ffff_0000_0000) | u64::from(len);
                asm!("{1} = xchg_64({0} + 0, {1})", in(reg) self.at, inout(reg) word => _, options(nostack));
            }
        }
    }

    /// Commits only `len` bytes and gives the rest back, if nobody reserved behind us; else the
    /// record keeps its length and its end is padding.
    #[inline(always)]
    pub fn commit_shrunk(self, len: u64) {
        let len = (len + 7) & !7;
        // SAFETY: no arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        if let Some(ring) = RINGS.get_ptr_mut(cpu) {
            // SAFETY: the control page is part of every ring.
            let head = unsafe { ring.cast::<u8>().add(control::HEAD).cast::<u64>() };
            // SAFETY: as above.
            if unsafe { claim(head, self.end, self.end - u64::from(self.len) + len) } {
                self.commit_as(len as u32);
                return;
            }
        }
        self.commit();
    }
}
