//! Addresses to names, by the mappings and symbols that the recorder put into the bundle. Nothing of the
//! analyzing machine is looked at.

use super::demangle::demangle;
use crate::host::Host;
use ahash::AHashMap;
use formats::facts::{Mapping, Symbol};
use std::sync::Arc;

/// Memory of which nothing is known.
const UNKNOWN: &str = "[unknown]";
/// Kernel addresses that have no name (hidden by the kernel, or a module's that is gone).
const UNKNOWN_KERNEL: &str = "[unknown]_[k]";

/// Looks names up and remembers them.
pub(super) struct Resolver<'h> {
    /// Per process, by start address; the one read last comes last among equals.
    mappings: AHashMap<u32, Vec<&'h Mapping>>,
    kernel: AHashMap<u64, &'h Symbol>,
    /// By object (build id, else path), then file offset.
    files: AHashMap<&'h str, AHashMap<u64, &'h Symbol>>,
    perf_maps: AHashMap<u32, AHashMap<u64, &'h Symbol>>,
    kernel_names: AHashMap<u64, Arc<str>>,
    user_names: AHashMap<(u32, u64), Arc<str>>,
    /// Demangled names, shared by all addresses of a function.
    demangled: AHashMap<&'h str, Arc<str>>,
    unknown: Arc<str>,
    unknown_kernel: Arc<str>,
}

impl<'h> Resolver<'h> {
    pub(super) fn new(host: &'h Host) -> Self {
        let mut mappings: AHashMap<u32, Vec<&Mapping>> = AHashMap::new();
        for mapping in host.mappings() {
            if mapping.start < mapping.end {
                mappings.entry(mapping.pid).or_default().push(mapping);
            }
        }
        for of_process in mappings.values_mut() {
            of_process.sort_by_key(|m| (m.start, m.seen_ns));
        }
        let mut kernel = AHashMap::new();
        let mut files: AHashMap<&str, AHashMap<u64, &Symbol>> = AHashMap::new();
        let mut perf_maps: AHashMap<u32, AHashMap<u64, &Symbol>> = AHashMap::new();
        for symbol in host.symbols() {
            match symbol.space.as_str() {
                "kernel" => {
                    kernel.insert(symbol.offset, symbol);
                }
                "file" => {
                    files.entry(&symbol.object).or_default().insert(symbol.offset, symbol);
                }
                "perf_map" => {
                    if let Ok(pid) = symbol.object.parse() {
                        perf_maps.entry(pid).or_default().insert(symbol.offset, symbol);
                    }
                }
                _ => {}
            }
        }
        Self {
            mappings,
            kernel,
            files,
            perf_maps,
            kernel_names: AHashMap::new(),
            user_names: AHashMap::new(),
            demangled: AHashMap::new(),
            unknown: UNKNOWN.into(),
            unknown_kernel: UNKNOWN_KERNEL.into(),
        }
    }

    /// Name of a kernel address: `tcp_sendmsg_[k]`.
    pub(super) fn kernel(&mut self, address: u64) -> Arc<str> {
        if let Some(name) = self.kernel_names.get(&address) {
            return name.clone();
        }
        let name: Arc<str> = match self.kernel.get(&address) {
            Some(symbol) if !symbol.name.is_empty() => format!("{}_[k]", demangle(&symbol.name)).into(),
            _ => self.unknown_kernel.clone(),
        };
        self.kernel_names.insert(address, name.clone());
        name
    }

    /// Name of a process's address: the function, else `[file+0xoffset]`, else `[unknown]`.
    pub(super) fn user(&mut self, pid: u32, address: u64) -> Arc<str> {
        if let Some(name) = self.user_names.get(&(pid, address)) {
            return name.clone();
        }
        let name = self.find(pid, address);
        self.user_names.insert((pid, address), name.clone());
        name
    }

    fn find(&mut self, pid: u32, address: u64) -> Arc<str> {
        if let Some(&symbol) = self.perf_maps.get(&pid).and_then(|m| m.get(&address))
            && !symbol.name.is_empty()
        {
            return self.name(symbol);
        }
        let Some(mapping) = self.mapping(pid, address) else { return self.unknown.clone() };
        let offset = (address - mapping.start).wrapping_add(mapping.file_offset);
        for object in [mapping.build_id.as_str(), mapping.path.as_str()] {
            if object.is_empty() {
                continue;
            }
            if let Some(&symbol) = self.files.get(object).and_then(|f| f.get(&offset))
                && !symbol.name.is_empty()
            {
                return self.name(symbol);
            }
        }
        if mapping.path.is_empty() {
            return self.unknown.clone();
        }
        let file = mapping.path.rsplit('/').next().unwrap_or(&mapping.path);
        let file = file.trim_matches(['[', ']']);
        let shown: String = file.chars().map(|c| if c == ';' || c.is_control() { '?' } else { c }).collect();
        format!("[{shown}+{offset:#x}]").into()
    }

    /// The mapping that holds the address, the latest one if a process mapped several things there in turn.
    fn mapping(&self, pid: u32, address: u64) -> Option<&'h Mapping> {
        /// Mappings that start before the address and are looked at: those of other times lie over each other.
        const TRIES: usize = 64;
        let of_process = self.mappings.get(&pid)?;
        let after = of_process.partition_point(|m| m.start <= address);
        let before = of_process.get(..after)?;
        before.iter().rev().take(TRIES).filter(|m| address < m.end).max_by_key(|m| m.seen_ns).copied()
    }

    fn name(&mut self, symbol: &'h Symbol) -> Arc<str> {
        self.demangled.entry(&symbol.name).or_insert_with(|| demangle(&symbol.name).into()).clone()
    }
}
