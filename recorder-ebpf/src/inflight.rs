//! Calls under way: what the entry of a system call leaves for its exit.
//!
//! A table addressed by thread id: one cache line per call and no hashing. If a slot is taken by another
//! thread (ids 65,536 apart), a hash map takes over; how many are in there is counted, so that the
//! exit looks there only if there are any.

use crate::{
    kernel::{Ptr, load},
    layout::{INFLIGHT_SLOTS, READS_FROM, STAMP_SLOTS},
    ring,
};
use aya_ebpf::{
    helpers::generated::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};

/// A call under way.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct Call {
    /// Owner: thread id | call << 32; 0 = free.
    pub owner: u64,
    /// When it was entered.
    pub enter_ts: u64,
    /// `struct sock`.
    pub sk: u64,
    /// Buffer, iovec array or message header in user memory.
    pub buffer: u64,
    /// Bytes of the buffer, or number of iovecs or messages.
    pub count: u64,
    /// Address argument of sendto and recvfrom.
    pub name: u64,
    /// TCP sequence number at entry.
    pub seq: u32,
    /// File descriptor.
    pub fd: i32,
    /// Address family.
    pub family: u16,
    /// IPPROTO_*.
    pub protocol: u8,
    /// SOCK_STREAM...
    pub sock_type: u8,
    /// `data_flag`s known at entry.
    pub flags: u32,
}

#[map]
static CALLS: Array<Call> = Array::with_max_entries(INFLIGHT_SLOTS, 0);
#[map]
static CALLS_ASIDE: HashMap<u32, Call> = HashMap::with_max_entries(16_384, 1);
/// Words, each in a cache line: entries of `CALLS_ASIDE`; calls that `lengths.rs` left to their exits; since when
/// entries of reads are noted, see `layout::READS_FROM`.
#[map]
static COUNTS: Array<[u64; 8]> = Array::with_max_entries(3, 0);
const ASIDE: u32 = 0;
const DEFERRED: u32 = 1;

#[inline(always)]
fn owner(tid: u32, call: u8) -> u64 {
    u64::from(tid) | (u64::from(call) << 32)
}

/// A slot for a call of this thread; all of it but `owner` is for the caller to fill in.
#[inline(always)]
pub fn begin(tid: u32, call: u8) -> Option<*mut Call> {
    let slot = CALLS.get_ptr_mut(tid & (INFLIGHT_SLOTS - 1))?;
    // SAFETY: the verifier knows the slot.
    unsafe {
        let seen = (&raw const (*slot).owner).read_volatile();
        if seen as u32 == tid {
            // Left over from a call whose exit was not seen.
            (&raw mut (*slot).owner).write_volatile(owner(tid, call));
            return Some(slot);
        }
        if seen == 0 && ring::claim(&raw mut (*slot).owner, 0, owner(tid, call)) {
            return Some(slot);
        }
    }
    begin_aside(tid, call)
}

#[inline(always)]
fn begin_aside(tid: u32, call: u8) -> Option<*mut Call> {
    // SAFETY: integers only.
    let mut fresh: Call = unsafe { core::mem::zeroed() };
    fresh.owner = owner(tid, call);
    if CALLS_ASIDE.insert(tid, fresh, 1).is_ok() {
        let count = COUNTS.get_ptr_mut(ASIDE)?;
        // SAFETY: an element of the map.
        unsafe { ring::add(count.cast(), 1) };
    }
    CALLS_ASIDE.get_ptr_mut(tid)
}

/// The call that this thread entered and now leaves.
#[inline(always)]
pub fn end(tid: u32, call: u8) -> Option<*mut Call> {
    let slot = CALLS.get_ptr_mut(tid & (INFLIGHT_SLOTS - 1))?;
    // SAFETY: an element of the map.
    if unsafe { (&raw const (*slot).owner).read_volatile() } == owner(tid, call) {
        return Some(slot);
    }
    let count = COUNTS.get_ptr_mut(ASIDE)?.cast::<u64>();
    // SAFETY: an element of the map.
    if unsafe { count.read_volatile() } == 0 {
        return None;
    }
    let aside = CALLS_ASIDE.get_ptr_mut(tid)?;
    // SAFETY: an element of the map.
    if unsafe { (&raw const (*aside).owner).read_volatile() } == owner(tid, call) { Some(aside) } else { None }
}

/// Frees what [`begin`] took. Also called when a thread ends, in the middle of a call or not.
#[inline(always)]
pub fn release(tid: u32) {
    if let Some(slot) = CALLS.get_ptr_mut(tid & (INFLIGHT_SLOTS - 1)) {
        // SAFETY: an element of the map.
        unsafe {
            if (&raw const (*slot).owner).read_volatile() as u32 == tid {
                (&raw mut (*slot).owner).write_volatile(0);
                return;
            }
        }
    }
    if let Some(count) = COUNTS.get_ptr_mut(ASIDE) {
        // SAFETY: an element of the map.
        unsafe {
            if count.cast::<u64>().read_volatile() != 0 && CALLS_ASIDE.remove(tid).is_ok() {
                ring::add(count.cast(), u64::MAX);
            }
        }
    }
}

/// A call was left to its exit.
#[inline(always)]
pub fn defer() {
    if let Some(count) = COUNTS.get_ptr_mut(DEFERRED) {
        // SAFETY: an element of the map.
        unsafe { ring::add(count.cast(), 1) };
    }
}

/// One of them got there.
#[inline(always)]
pub fn undefer() {
    if let Some(count) = COUNTS.get_ptr_mut(DEFERRED) {
        // SAFETY: an element of the map.
        unsafe { ring::add(count.cast(), u64::MAX) };
    }
}

/// Whether any thread at all has left a call to its exit: seldom, and much cheaper to know than who is running. If a
/// thread is killed in between, the counter stays too high, which costs time only.
#[inline(always)]
pub fn any_deferred() -> bool {
    match COUNTS.get_ptr(DEFERRED) {
        // SAFETY: an element of the map.
        Some(count) => unsafe { count.cast::<u64>().read_volatile() != 0 },
        None => true,
    }
}

/// When a thread entered a call that moves data.
#[repr(C, align(64))]
struct Stamp {
    /// Thread id | system call number << 32.
    owner: u64,
    ts: u64,
    /// 0: noted at the entry. Else when the call began to wait: its descriptor | how often the thread had waited by then << 32,
    /// low half. Whoever reads it back with the same count is still in that call, or has just left it.
    wait: u64,
}

#[map]
static STAMPS: Array<Stamp> = Array::with_max_entries(STAMP_SLOTS, 0);
/// Entries of reads that were noted: the recorder watches what that costs.
#[map]
static READS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Notes the time for this thread's call. Two threads that share a slot overwrite each other; then one of them has none.
#[inline(always)]
pub fn stamp(number: u64) {
    // SAFETY: no arguments.
    let tid = unsafe { bpf_get_current_pid_tgid() } as u32;
    if let Some(slot) = STAMPS.get_ptr_mut(tid & (STAMP_SLOTS - 1)) {
        // SAFETY: an element of the map.
        unsafe {
            (&raw mut (*slot).owner).write_volatile(u64::from(tid) | (number << 32));
            (&raw mut (*slot).wait).write_volatile(0);
            (&raw mut (*slot).ts).write_volatile(bpf_ktime_get_ns());
        }
    }
}

/// Descriptor and count of waits, as [`Stamp::wait`] has them. Never 0 in a thread that has waited.
#[inline(always)]
fn wait_of(task: Ptr, fd: u32) -> u64 {
    u64::from(fd) | (load!(task, task_nvcsw as u64) << 32)
}

/// The thread begins to wait in a call that receives. If it did so before in the same call, that was its beginning.
#[inline(always)]
pub fn wait(task: Ptr, number: u64, fd: u32) {
    let tid = load!(task, task_pid as u32);
    let Some(slot) = STAMPS.get_ptr_mut(tid & (STAMP_SLOTS - 1)) else { return };
    let owner = u64::from(tid) | (number << 32);
    let wait = wait_of(task, fd);
    // SAFETY: an element of the map.
    unsafe {
        let before = (&raw const (*slot).wait).read_volatile();
        // Every wait counts one; one that was cut short by another thread's turn counts none.
        let again = before != 0 && (wait == before || wait == before.wrapping_add(1 << 32));
        (&raw mut (*slot).wait).write_volatile(wait);
        if !again || (&raw const (*slot).owner).read_volatile() != owner {
            (&raw mut (*slot).owner).write_volatile(owner);
            (&raw mut (*slot).ts).write_volatile(bpf_ktime_get_ns());
        }
    }
}

/// The call that receives is over: it has begun to wait for the last time.
#[inline(always)]
pub fn waited(tid: u32) {
    if let Some(slot) = STAMPS.get_ptr_mut(tid & (STAMP_SLOTS - 1)) {
        // SAFETY: an element of the map.
        unsafe {
            if (&raw const (*slot).wait).read_volatile() != 0 {
                (&raw mut (*slot).owner).write_volatile(0);
            }
        }
    }
}

/// As [`stamp`], for calls that receive.
#[inline(always)]
pub fn stamp_read(number: u64) {
    stamp(number);
    if let Some(count) = READS.get_ptr_mut(0) {
        // SAFETY: this CPU's element of the map.
        unsafe { count.write_volatile(count.read_volatile() + 1) };
    }
}

/// The time noted for this thread's call, and whether that was at its entry.
#[inline(always)]
pub fn stamped(task: Ptr, tid: u32, number: u64, fd: u32) -> Option<(u64, bool)> {
    let slot = STAMPS.get_ptr(tid & (STAMP_SLOTS - 1))?;
    // SAFETY: an element of the map.
    unsafe {
        let (owner, wait) = ((&raw const (*slot).owner).read_volatile(), (&raw const (*slot).wait).read_volatile());
        if owner != u64::from(tid) | (number << 32) || (wait != 0 && wait != wait_of(task, fd)) {
            return None;
        }
        Some(((&raw const (*slot).ts).read_volatile(), wait == 0))
    }
}

/// Entries of reads noted before this time are of earlier calls; see `layout::READS_FROM`.
#[inline(always)]
pub fn reads_from() -> u64 {
    match COUNTS.get_ptr(READS_FROM) {
        // SAFETY: an element of the map.
        Some(word) => unsafe { word.cast::<u64>().read_volatile() },
        None => u64::MAX,
    }
}
