//! From sampled addresses to mapping and symbol lines, each distinct one once.
//!
//! A frame of a file is keyed by the file offset of the sampled address itself. Its name is looked up one byte before
//! for every frame but the innermost: there the sample holds the address after a call, which may be the next function's.

use super::elf::{self, BuildIds, FileId, Symbols};
use super::kallsyms::Kallsyms;
use super::maps::{self, Map};
use super::perf_map::{self, PerfMap};
use super::sample::{Raw, UserStack};
use super::unwind::{self, Unwinder};
use crate::facts::clocks;
use formats::facts::{Mapping, Symbol};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Distinct frames named in one recording; beyond them frames stay addresses.
const FRAMES_LIMIT: usize = 1_000_000;
/// Processes whose mappings are remembered.
const PROCESSES_LIMIT: usize = 16_384;
/// Symbols held in memory before tables are dropped and read again on need.
const TABLES_LIMIT: usize = 4_000_000;
/// Mappings of a process are not read again more often than this, ns.
const REREAD_AFTER: u64 = 500_000_000;

/// What stack samples need from the resolver.
#[derive(Debug, Default)]
pub struct Resolver {
    kernel: Option<Kallsyms>,
    processes: HashMap<u32, Process>,
    build_ids: BuildIds,
    tables: HashMap<FileId, Symbols>,
    tables_len: usize,
    vdso: Option<Symbols>,
    frames: unwind::Files,
    /// Frames that have a line: (object number, offset). Kernel addresses are object 0.
    named: HashSet<(u32, u64)>,
    /// Numbers of objects: build ids, paths.
    objects: HashMap<String, u32>,
    mappings: Vec<Mapping>,
    symbols: Vec<Symbol>,
}

#[derive(Debug, Default)]
struct Process {
    maps: Vec<Mapped>,
    /// User addresses that were handled.
    done: HashSet<u64>,
    read_at: u64,
    ns_pid: u32,
    jit: PerfMap,
    jit_read_at: u64,
    unwinder: Unwinder,
}

#[derive(Debug)]
struct Mapped {
    map: Map,
    /// Identity of the file, once it was opened.
    file: Option<FileId>,
    build_id: String,
    object: u32,
}

impl Resolver {
    /// Handles the addresses of one sample, innermost first.
    pub fn sample(&mut self, pid: u32, kernel: &[u64], user: &[u64]) {
        for (depth, &address) in kernel.iter().enumerate() {
            self.kernel_address(address, depth > 0);
        }
        if pid == 0 || user.is_empty() {
            return;
        }
        for (depth, &address) in user.iter().enumerate() {
            self.user_address(pid, address, depth > 0);
        }
    }

    /// Walks the user stack of a sample, if it came along: `raw.user` becomes what is found, where that is more than
    /// the kernel found by frame pointers.
    pub fn unwind(&mut self, raw: &mut Raw<'_>) {
        let Some(stack) = raw.stack else { return };
        let walked = self.walk(raw.sample.hdr.pid, &stack);
        // A walk that ran out of copied stack may have been all right so far, and frame pointers lead further.
        let further = raw.user.len() > walked.addresses.len() && raw.user.starts_with(&walked.addresses);
        if walked.whole || !further {
            raw.user = walked.addresses;
        }
    }

    fn walk(&mut self, pid: u32, stack: &UserStack<'_>) -> unwind::Walked {
        self.place(pid, stack.ip);
        let Some(process) = self.processes.get_mut(&pid) else {
            return unwind::Walked { addresses: vec![stack.ip], whole: false };
        };
        let (maps, files) = (&process.maps, &mut self.frames);
        process.unwinder.walk(files, pid, stack, |address| maps.get(find(maps, address)?).map(|m| &m.map))
    }

    /// The process runs another program now: its mappings are void.
    pub fn executed(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// The process ended.
    pub fn ended(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// Lines found since the last call.
    pub fn take(&mut self) -> (Vec<Mapping>, Vec<Symbol>) {
        (std::mem::take(&mut self.mappings), std::mem::take(&mut self.symbols))
    }

    /// Lines waiting.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.mappings.len() + self.symbols.len()
    }

    /// Whether the kernel shows its symbols.
    pub fn kernel_symbols(&mut self) -> bool {
        !self.kallsyms().is_empty()
    }

    fn kallsyms(&mut self) -> &Kallsyms {
        self.kernel.get_or_insert_with(|| Kallsyms::read(Path::new("/proc/kallsyms")))
    }

    /// Names a kernel address; `after_call` if it is a return address.
    pub fn kernel_address(&mut self, address: u64, after_call: bool) {
        if address == 0 || self.named.len() >= FRAMES_LIMIT || !self.named.insert((0, address)) {
            return;
        }
        let at = address - u64::from(after_call);
        let found = self.kallsyms().lookup(at).map(|(name, module, offset)| Symbol {
            space: "kernel".to_owned(),
            object: String::new(),
            offset: address,
            name: name.to_owned(),
            symbol_offset: offset + u64::from(after_call),
            module: if module.is_empty() { "kernel".to_owned() } else { module.to_owned() },
        });
        self.symbols.extend(found);
    }

    fn user_address(&mut self, pid: u32, address: u64, after_call: bool) {
        if self.processes.get(&pid).is_some_and(|p| p.done.contains(&address)) {
            return;
        }
        let place = self.place(pid, address);
        let now = clocks::monotonic();
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let Some(mapped) = place.and_then(|i| process.maps.get(i)) else { return };
        if mapped.map.path.is_empty() {
            self.jit_address(pid, address, after_call, now);
            return;
        }
        if process.done.len() < FRAMES_LIMIT {
            process.done.insert(address);
        }
        let offset = address - mapped.map.start + mapped.map.file_offset;
        if self.named.len() >= FRAMES_LIMIT || !self.named.insert((mapped.object, offset)) {
            return;
        }
        let (map, file) = (mapped.map.clone(), mapped.file);
        let object = if mapped.build_id.is_empty() { map.path.clone() } else { mapped.build_id.clone() };
        let build_id = mapped.build_id.clone();
        let at = offset - u64::from(after_call && offset > 0);
        let found = self.table(pid, &map, file, &build_id).and_then(|table| table.lookup(at));
        // A line even without a name: it says that the object has none there.
        let (name, symbol_offset) = found.map(|(name, o)| (name, o + (offset - at))).unwrap_or_default();
        self.symbols.push(Symbol { space: "file".to_owned(), object, offset, name, symbol_offset, module: map.path });
    }

    /// The mapping around an address, by its place in the process' list. The list is read again if there is none.
    fn place(&mut self, pid: u32, address: u64) -> Option<usize> {
        if self.processes.len() >= PROCESSES_LIMIT && !self.processes.contains_key(&pid) {
            self.processes.clear();
        }
        let process = self.processes.entry(pid).or_default();
        let place = find(&process.maps, address);
        let now = clocks::monotonic();
        if place.is_some() || (process.read_at != 0 && now.saturating_sub(process.read_at) <= REREAD_AFTER) {
            return place;
        }
        process.read_at = now;
        let fresh = maps::read(pid);
        if !fresh.is_empty() {
            self.renew(pid, fresh, now);
        }
        self.processes.get(&pid).and_then(|p| find(&p.maps, address))
    }

    /// Takes over freshly read mappings; those not known before get a line.
    fn renew(&mut self, pid: u32, fresh: Vec<Map>, now: u64) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.done.clear();
        process.unwinder = Unwinder::default();
        if process.ns_pid == 0 {
            process.ns_pid = ns_pid(pid);
        }
        let mut old = std::mem::take(&mut process.maps);
        for map in fresh {
            if let Some(known) = old.iter().position(|o| o.map == map) {
                process.maps.push(old.swap_remove(known));
                continue;
            }
            let way = if map.has_file { map.ways(pid).into_iter().find(|w| elf::file_id(w).is_some()) } else { None };
            let file = way.as_deref().and_then(elf::file_id);
            let build_id = way.as_deref().map(|w| self.build_ids.of(w)).unwrap_or_default();
            let key = if build_id.is_empty() { &map.path } else { &build_id };
            let next = u32::try_from(self.objects.len()).unwrap_or(u32::MAX - 1) + 1;
            let object = *self.objects.entry(key.clone()).or_insert(next);
            self.mappings.push(Mapping {
                pid,
                start: map.start,
                end: map.end,
                file_offset: map.file_offset,
                path: map.path.clone(),
                build_id: build_id.clone(),
                seen_ns: now,
            });
            process.maps.push(Mapped { map, file, build_id, object });
        }
    }

    fn table(&mut self, pid: u32, map: &Map, file: Option<FileId>, build_id: &str) -> Option<&Symbols> {
        if map.path == "[vdso]" {
            return Some(self.vdso.get_or_insert_with(|| Symbols::of_image(maps::own_vdso().unwrap_or_default())));
        }
        let file = file?;
        if !self.tables.contains_key(&file) {
            let way = map.ways(pid).into_iter().find(|w| elf::file_id(w) == Some(file))?;
            let debug = elf::debug_path(Path::new(&format!("/proc/{pid}/root")), build_id);
            let table = Symbols::open(&way, debug.as_deref());
            if self.tables_len + table.len() > TABLES_LIMIT {
                self.tables.clear();
                self.tables_len = 0;
            }
            self.tables_len += table.len();
            self.tables.insert(file, table);
        }
        self.tables.get(&file)
    }

    fn jit_address(&mut self, pid: u32, address: u64, after_call: bool, now: u64) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let at = address - u64::from(after_call);
        if process.jit.lookup(at).is_none() && (process.jit_read_at == 0 || now - process.jit_read_at > REREAD_AFTER) {
            process.jit_read_at = now;
            process.jit.refresh(&perf_map::path(pid, process.ns_pid));
        }
        if let Some((name, offset)) = process.jit.lookup(at) {
            process.done.insert(address);
            self.symbols.push(Symbol {
                space: "perf_map".to_owned(),
                object: pid.to_string(),
                offset: address,
                name: name.to_owned(),
                symbol_offset: offset + u64::from(after_call),
                module: format!("/tmp/perf-{}.map", process.ns_pid),
            });
        }
    }
}

fn find(maps: &[Mapped], address: u64) -> Option<usize> {
    maps.iter().position(|m| address >= m.map.start && address < m.map.end)
}

/// The process id inside its own pid namespace.
fn ns_pid(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("NSpid:")).unwrap_or_default();
    line.split_whitespace().last().and_then(|v| v.parse().ok()).unwrap_or(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[unsafe(no_mangle)]
    extern "C" fn recorder_resolver_under_test() -> u64 {
        std::hint::black_box(7)
    }

    #[test]
    fn each_frame_of_a_process_has_one_line() {
        let me = std::process::id();
        let address = recorder_resolver_under_test as *const () as u64;
        let mut resolver = Resolver::default();
        // The second frame is a return address right after the first byte.
        resolver.sample(me, &[], &[address, address + 1]);
        resolver.sample(me, &[], &[address]);
        let (mappings, symbols) = resolver.take();
        let names: Vec<_> = symbols.iter().map(|s| (s.name.as_str(), s.symbol_offset)).collect();
        assert_eq!(names, [("recorder_resolver_under_test", 0), ("recorder_resolver_under_test", 1)]);
        let mapping = mappings.iter().find(|m| address >= m.start && address < m.end).unwrap();
        assert_eq!(symbols[0].offset, address - mapping.start + mapping.file_offset);
        let object = if mapping.build_id.is_empty() { &mapping.path } else { &mapping.build_id };
        assert_eq!(&symbols[0].object, object);
        resolver.sample(u32::MAX, &[], &[1, 2]);
        assert_eq!(resolver.waiting(), 0);
    }

    #[test]
    fn jit_code_is_named_by_its_map() {
        let me = std::process::id();
        // SAFETY: a fresh anonymous mapping of one page, unmapped below; nothing else refers to it.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let address = page as u64;
        let path = perf_map::path(me, ns_pid(me));
        std::fs::write(&path, format!("{address:x} 100 jitted\n")).unwrap();
        let mut resolver = Resolver::default();
        resolver.sample(me, &[], &[address + 4]);
        std::fs::remove_file(&path).unwrap();
        // SAFETY: the mapping from above.
        unsafe { libc::munmap(page, 4096) };
        let (_, symbols) = resolver.take();
        assert_eq!(symbols.len(), 1);
        assert_eq!(
            (symbols[0].space.as_str(), symbols[0].name.as_str(), symbols[0].symbol_offset),
            ("perf_map", "jitted", 4)
        );
    }
}
