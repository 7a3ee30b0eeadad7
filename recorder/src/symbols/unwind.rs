//! Walking user stacks of programs without frame pointers, by the call frame information that compilers leave in
//! `.eh_frame` (System V ABI for x86-64, §3.7; DWARF 5, §6.4).

use super::elf::{FileId, file_id};
use super::maps::{Map, own_vdso};
use super::sample::UserStack;
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder as _};
use object::{Object, ObjectSection, ObjectSegment, ReadCache, ReadRef, SegmentFlags, elf::PF_X};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

/// Frames of a user stack, as many as the kernel's `perf_event_max_stack` gives.
pub const MAX_FRAMES: usize = 127;
/// Call frame information kept, bytes: of one file and altogether. What has no room is walked by frame pointers.
const FILE_LIMIT: u64 = 32 << 20;
const TOTAL_LIMIT: u64 = 64 << 20;
/// Files that are remembered.
const FILES_LIMIT: usize = 4096;
/// The cache tells sets of modules apart by a number of 16 bits; it is begun anew before that comes round.
const CACHED_CHANGES: u32 = 50_000;

/// The call frame information of an ELF file.
#[derive(Clone, Debug)]
struct Frames {
    base: u64,
    /// Executable segments: file offsets, and the address of the first byte.
    segments: Vec<(Range<u64>, u64)>,
    eh_frame: (Range<u64>, Arc<[u8]>),
    eh_frame_hdr: Option<(Range<u64>, Arc<[u8]>)>,
}

/// What is known of all files.
#[derive(Default)]
pub struct Files {
    known: HashMap<FileId, Option<Frames>>,
    bytes: u64,
    vdso: Option<Option<Frames>>,
    cache: CacheX86_64,
    changes: u32,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").field("known", &self.known.len()).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The code of one process, as far as its stacks led there.
#[derive(Default)]
pub struct Unwinder {
    modules: UnwinderX86_64<Arc<[u8]>>,
    /// Mappings that were looked at, by their first addresses.
    seen: HashSet<u64>,
}

impl std::fmt::Debug for Unwinder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unwinder").field("seen", &self.seen.len()).finish_non_exhaustive()
    }
}

/// A stack that was walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Addresses, innermost first; all but the first come after a call.
    pub addresses: Vec<u64>,
    /// Whether the walk got to the thread's first function.
    pub whole: bool,
}

impl Unwinder {
    /// Walks a stack. `mapping` gives the executable mapping around an address.
    pub fn walk<'m>(
        &mut self,
        files: &mut Files,
        pid: u32,
        stack: &UserStack<'_>,
        mapping: impl Fn(u64) -> Option<&'m Map>,
    ) -> Walked {
        let mut walked = Walked { addresses: vec![stack.ip], whole: false };
        let mut regs = UnwindRegsX86_64::new(stack.ip, stack.sp, stack.bp);
        let mut at = FrameAddress::from_instruction_pointer(stack.ip);
        while walked.addresses.len() < MAX_FRAMES {
            let Some(map) = mapping(at.address_for_lookup()) else { break };
            self.add(files, pid, map);
            let mut word = |address| stack.word(address).ok_or(());
            match self.modules.unwind_frame(at, &mut regs, &mut files.cache, &mut word) {
                Ok(Some(address)) => {
                    let Some(next) = FrameAddress::from_return_address(address) else { break };
                    // What is no code is no caller.
                    if mapping(next.address_for_lookup()).is_none() {
                        break;
                    }
                    walked.addresses.push(address);
                    at = next;
                }
                Ok(None) => {
                    walked.whole = true;
                    break;
                }
                Err(_) => break,
            }
        }
        walked
    }

    fn add(&mut self, files: &mut Files, pid: u32, map: &Map) {
        if !self.seen.insert(map.start) {
            return;
        }
        if files.changes >= CACHED_CHANGES {
            (files.cache, files.changes) = (CacheX86_64::new(), 0);
        }
        let Some((frames, shift)) = files.frames(pid, map).and_then(|f| Some((f, f.shift(map)?))) else { return };
        let (eh_frame_hdr_svma, eh_frame_hdr) = frames.eh_frame_hdr.clone().unzip();
        let sections = ExplicitModuleSectionInfo {
            base_svma: frames.base,
            eh_frame_svma: Some(frames.eh_frame.0.clone()),
            eh_frame: Some(frames.eh_frame.1.clone()),
            eh_frame_hdr_svma,
            eh_frame_hdr,
            ..Default::default()
        };
        let base = frames.base.wrapping_add(shift);
        self.modules.add_module(Module::new(map.path.clone(), map.start..map.end, base, sections));
        files.changes += 1;
    }
}

impl Files {
    fn frames(&mut self, pid: u32, map: &Map) -> Option<&Frames> {
        if map.path == "[vdso]" {
            let read = || Frames::read(&ReadCache::new(Cursor::new(own_vdso()?.as_slice())), u64::MAX);
            return self.vdso.get_or_insert_with(read).as_ref();
        }
        if !map.has_file {
            return None;
        }
        let (way, id) = map.ways(pid).into_iter().find_map(|way| file_id(&way).map(|id| (way, id)))?;
        if !self.known.contains_key(&id) {
            if self.known.len() >= FILES_LIMIT {
                return None;
            }
            let room = FILE_LIMIT.min(TOTAL_LIMIT - self.bytes);
            let frames = File::open(way).ok().and_then(|file| Frames::read(&ReadCache::new(file), room));
            self.bytes += frames.as_ref().map_or(0, Frames::len);
            self.known.insert(id, frames);
        }
        self.known.get(&id)?.as_ref()
    }
}

impl Frames {
    /// Reads at most `room` bytes; `None` without such information.
    fn read<'a>(data: impl ReadRef<'a>, room: u64) -> Option<Self> {
        let file = object::File::parse(data).ok()?;
        if !file.is_64() {
            return None;
        }
        let segments =
            file.segments().filter(|s| matches!(s.flags(), SegmentFlags::Elf { p_flags } if p_flags & PF_X != 0));
        let segments = segments.map(|s| {
            let (offset, len) = s.file_range();
            (offset..offset.saturating_add(len), s.address())
        });
        let mut room = room;
        let mut section = |name| {
            let section = file.section_by_name(name)?;
            room = room.checked_sub(section.size())?;
            let data: Arc<[u8]> = section.data().ok()?.into();
            (!data.is_empty()).then(|| (section.address()..section.address().saturating_add(section.size()), data))
        };
        Some(Self {
            base: file.segments().map(|s| s.address()).min()?,
            segments: segments.collect(),
            eh_frame: section(".eh_frame")?,
            eh_frame_hdr: section(".eh_frame_hdr"),
        })
    }

    fn len(&self) -> u64 {
        let hdr = self.eh_frame_hdr.as_ref().map_or(0, |h| h.1.len());
        (self.eh_frame.1.len() + hdr) as u64
    }

    /// What the loader added to the addresses in the file.
    fn shift(&self, map: &Map) -> Option<u64> {
        // A mapping begins with a page, a segment anywhere in it.
        let (offsets, address) = self
            .segments
            .iter()
            .find(|(offsets, _)| offsets.start & !0xfff <= map.file_offset && map.file_offset < offsets.end)?;
        Some(map.start.wrapping_sub(address.wrapping_sub(offsets.start).wrapping_add(map.file_offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::elf::Symbols;
    use crate::symbols::maps;
    use std::arch::asm;
    use std::hint::black_box;

    /// Registers and stack of this very place.
    #[inline(always)]
    fn here() -> ([u64; 3], Vec<u8>) {
        let (ip, sp, bp): (u64, u64, u64);
        // SAFETY: only reads registers.
        unsafe { asm!("lea {0}, [rip]", "mov {1}, rsp", "mov {2}, rbp", out(reg) ip, out(reg) sp, out(reg) bp) };
        // The top of this thread's stack is not far: all that is there, up to 8 KiB.
        let top = (sp + 8192).min(stack_top(sp));
        let len = usize::try_from(top - sp).unwrap();
        // SAFETY: from the stack pointer to the end of the stack's mapping.
        let memory = unsafe { std::slice::from_raw_parts(sp as *const u8, len) }.to_vec();
        ([ip, sp, bp], memory)
    }

    fn stack_top(sp: u64) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let range = |line: &str| {
            let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            u64::from_str_radix(start, 16).unwrap()..u64::from_str_radix(end, 16).unwrap()
        };
        maps.lines().map(range).find(|r| r.contains(&sp)).unwrap().end
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn recorder_unwind_inner(n: u64) -> ([u64; 3], Vec<u8>) {
        let _room = black_box([n; 20]);
        here()
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn recorder_unwind_outer(n: u64) -> ([u64; 3], Vec<u8>) {
        let mut room = black_box(vec![n; 3]);
        let found = recorder_unwind_inner(black_box(n) + 1);
        room.push(found.0[0]);
        black_box(room);
        found
    }

    #[test]
    fn a_stack_without_frame_pointers() {
        let me = std::process::id();
        let ([ip, sp, bp], memory) = std::thread::spawn(|| recorder_unwind_outer(black_box(1))).join().unwrap();
        let maps = maps::read(me);
        let find = |address| maps.iter().find(|m| (m.start..m.end).contains(&address));
        let exe = std::fs::canonicalize("/proc/self/exe").unwrap();
        let symbols = Symbols::open(&exe, None);
        let name = |address: u64| {
            let map = find(address).unwrap();
            let found =
                symbols.lookup(address - map.start + map.file_offset).filter(|_| map.path == exe.to_string_lossy());
            found.map(|f| f.0).unwrap_or_default()
        };
        // Whatever the register of the frame pointer holds: code without frame pointers uses it for something else.
        for bp in [bp, 0, 1, u64::MAX] {
            let stack = UserStack { ip, sp, bp, memory: &memory };
            let walked = Unwinder::default().walk(&mut Files::default(), me, &stack, find);
            let names: Vec<_> = walked.addresses.iter().take(2).map(|a| name(a - 1)).collect();
            assert_eq!(names, ["recorder_unwind_inner", "recorder_unwind_outer"], "{bp:x}");
            assert!(walked.whole && walked.addresses.len() > 4, "{walked:?}");
        }
        // Half of the stack: what is there is right, and is not called the whole.
        let stack = UserStack { ip, sp, bp, memory: &memory[..300] };
        let walked = Unwinder::default().walk(&mut Files::default(), me, &stack, find);
        assert_eq!(walked.addresses.first().map(|a| name(*a)).as_deref(), Some("recorder_unwind_inner"));
        assert!(!walked.whole);
    }

    #[test]
    fn whatever_is_on_the_stack() {
        let me = std::process::id();
        let ([ip, sp, bp], memory) = std::thread::spawn(|| recorder_unwind_outer(black_box(1))).join().unwrap();
        let maps = maps::read(me);
        let find = |address| maps.iter().find(|m| (m.start..m.end).contains(&address));
        let (mut files, mut unwinder) = (Files::default(), Unwinder::default());
        let mut seed = 1u64;
        for _ in 0..2000 {
            let mut memory = memory.clone();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % (memory.len() / 8) * 8;
                // Garbage, places in code and places on the stack.
                let value = [seed, ip + seed % 64, sp + seed % 4096][(seed >> 60) as usize % 3];
                memory[at..at + 8].copy_from_slice(&value.to_ne_bytes());
            }
            let stack = UserStack { ip: ip + seed % 32, sp, bp: bp ^ (seed & 0xff), memory: &memory };
            let walked = unwinder.walk(&mut files, me, &stack, find);
            assert!((1..=MAX_FRAMES).contains(&walked.addresses.len()));
            assert!(walked.addresses.iter().all(|a| find(a - 1).or(find(*a)).is_some()));
        }
    }
}
