//! The rings, seen from user space: mapped into memory, read in place, zeroed behind us.

use super::layout::{SLACK, control};
use anyhow::{Result, ensure};
use formats::event::{self, kind};
use std::{
    os::fd::{AsRawFd as _, BorrowedFd},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// What one pass over all rings found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DrainStats {
    /// Records handed over.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The fullest ring before the pass, as a share of its size, or of [`WARM`] if that is less.
    pub fullest: f64,
}

/// Smallest ring: it holds at least one longest record.
pub(crate) const MIN_RING: u64 = 64 * 1024;
/// What is consumed is given back in steps of this many bytes, so that a busy CPU need not wait for a whole pass.
const RETURN_STEP: u64 = 256 * 1024;

/// A ring's part that is used while user space keeps up, at least an eighth of it: what stays in the CPU's caches is
/// written and read in half the time.
const WARM: u64 = 2 << 20;
/// How often one pass looks again for what came in meanwhile.
const LOOKS: u32 = 4;

/// Bytes of one map value for a ring of this size; whole pages.
#[must_use]
pub(crate) fn value_size(ring_bytes: u64) -> usize {
    control::DATA + ring_bytes as usize + SLACK
}

/// All rings.
pub(crate) struct Rings {
    base: *mut u8,
    len: usize,
    stride: usize,
    cpus: usize,
    size: u64,
    tails: Vec<u64>,
    lost: Vec<[u64; kind::COUNT]>,
}

// SAFETY: the mapping belongs to this value alone; the kernel's side is accessed with atomics only.
unsafe impl Send for Rings {}

impl Rings {
    /// Maps the array's memory.
    pub(crate) fn map(fd: BorrowedFd<'_>, cpus: usize, ring_bytes: u64) -> Result<Self> {
        let stride = value_size(ring_bytes);
        let len = stride * cpus;
        // SAFETY: a fresh mapping of a file descriptor we hold.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        ensure!(base != libc::MAP_FAILED, "cannot map the rings: {}", std::io::Error::last_os_error());
        Ok(Self {
            base: base.cast(),
            len,
            stride,
            cpus,
            size: ring_bytes,
            tails: vec![0; cpus],
            lost: vec![[0; kind::COUNT]; cpus],
        })
    }

    /// Number of rings.
    #[must_use]
    pub(crate) fn cpus(&self) -> usize {
        self.cpus
    }

    /// Memory of all rings, bytes.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.len as u64
    }

    fn word(&self, cpu: usize, at: usize) -> &AtomicU64 {
        // SAFETY: `cpu` is below `cpus` and `at` within the control page; the page is 8-byte aligned.
        unsafe { AtomicU64::from_ptr(self.base.add(cpu * self.stride + at).cast()) }
    }

    /// Hands every complete record to `sink` and frees its room.
    pub(crate) fn drain(&mut self, sink: &mut dyn FnMut(u32, &[u8])) -> DrainStats {
        let mut stats = DrainStats::default();
        for cpu in 0..self.cpus {
            let head = self.word(cpu, control::HEAD).load(Ordering::Acquire);
            let fill = head.wrapping_sub(self.tails[cpu]) as f64 / self.size.min(WARM) as f64;
            stats.fullest = stats.fullest.max(fill);
            for _ in 0..LOOKS {
                let head = self.word(cpu, control::HEAD).load(Ordering::Acquire);
                let before = self.tails[cpu];
                self.drain_one(cpu, head, sink, &mut stats);
                if self.tails[cpu] == before || self.rewind(cpu) {
                    break;
                }
            }
        }
        stats
    }

    fn drain_one(&mut self, cpu: usize, head: u64, sink: &mut dyn FnMut(u32, &[u8]), stats: &mut DrainStats) {
        let mut returned = self.tails[cpu];
        let mut at = returned;
        while at < head {
            let offset = (at & (self.size - 1)) as usize;
            // SAFETY: `offset` is below the size of the data area; records are 8-byte aligned.
            let start = unsafe { self.base.add(cpu * self.stride + control::DATA + offset) };
            // SAFETY: as above.
            let len = unsafe { AtomicU32::from_ptr(start.cast()) }.load(Ordering::Acquire);
            if len == 0 {
                break;
            }
            // `head` may be older than this record and, where a record gave room back, lie within it.
            let room = self.size as usize + SLACK - offset;
            if (len as usize) < size_of::<event::RecordHeader>() || len % 8 != 0 || len as usize > room {
                // Cannot be: only our programs write here. Skip what was reserved rather than read past it.
                self.word(cpu, control::LOST).fetch_add(1, Ordering::Relaxed);
                at = self.word(cpu, control::HEAD).load(Ordering::Acquire);
                break;
            }
            // SAFETY: the record is committed, nobody writes to it until the tail moves.
            sink(cpu as u32, unsafe { std::slice::from_raw_parts(start, len as usize) });
            stats.records += 1;
            stats.bytes += u64::from(len);
            at += u64::from(len);
            if at - returned >= RETURN_STEP {
                self.give_back(cpu, returned, at);
                returned = at;
            }
        }
        self.give_back(cpu, returned, at);
        self.tails[cpu] = at;
    }

    /// If the ring is empty, and a good part of it was used, goes back to its start: by reserving the rest of it, as a
    /// program would, and giving it back. (A program that comes in between finds at least [`WARM`] free, or an eighth.)
    fn rewind(&mut self, cpu: usize) -> bool {
        let at = self.tails[cpu];
        let used = at & (self.size - 1);
        if used < WARM.max(self.size / 8) {
            return false;
        }
        let next = at - used + self.size;
        let head = self.word(cpu, control::HEAD);
        if head.compare_exchange(at, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        self.word(cpu, control::TAIL).store(next, Ordering::Release);
        self.tails[cpu] = next;
        true
    }

    /// Zeroes what lies between two positions, so that the next round sees what is not written yet, and frees it.
    fn give_back(&self, cpu: usize, from: u64, to: u64) {
        if from == to {
            return;
        }
        let start = (from & (self.size - 1)) as usize;
        let len = (to - from) as usize;
        // What was written lies in one piece, into the slack where it crosses the end, only if it is one
        // record; several continue at the start of the area.
        // SAFETY: all offsets lie within this ring's data area and slack.
        unsafe {
            let data = self.base.add(cpu * self.stride + control::DATA);
            let size = self.size as usize;
            if start + len <= size {
                std::ptr::write_bytes(data.add(start), 0, len);
            } else {
                let over = start + len - size;
                std::ptr::write_bytes(data.add(start), 0, size - start + over.min(SLACK));
                std::ptr::write_bytes(data, 0, over.min(size));
            }
        }
        self.word(cpu, control::TAIL).store(to, Ordering::Release);
    }

    /// Records that found no room since the last call: (CPU, kind, how many).
    pub(crate) fn losses(&mut self) -> Vec<(u32, u16, u64)> {
        let mut losses = Vec::new();
        for cpu in 0..self.cpus {
            for kind in 0..kind::COUNT {
                let now = self.word(cpu, control::LOST + kind * 8).load(Ordering::Relaxed);
                let before = std::mem::replace(&mut self.lost[cpu][kind], now);
                if now != before {
                    losses.push((cpu as u32, kind as u16, now - before));
                }
            }
        }
        losses
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        // SAFETY: our own mapping; nothing borrows from it any more.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}
