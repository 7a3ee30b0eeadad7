//! Where members of kernel structures lie, out of the kernel's own type information
//! (`/sys/kernel/btf/vmlinux`; format: `Documentation/bpf/btf.rst`).
//!
//! Bounded and total: whatever is not as it should be is an error, nothing panics.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::{BTreeMap, HashMap};

const MAGIC: u16 = 0xeb9f;
const KIND_PTR: u32 = 2;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_ENUM64: u32 = 19;
/// Anonymous unions and typedefs are followed no deeper than this.
const MAX_DEPTH: u32 = 16;

/// A place within a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// From the start of the structure, in bits.
    pub(crate) bits: u64,
    /// Type of the member.
    type_id: u32,
}

/// Type information, indexed.
pub(crate) struct Btf {
    bytes: Vec<u8>,
    strings: (usize, usize),
    /// Offset in `bytes` of every type, by id; id 0 is void.
    types: Vec<usize>,
    /// Structs, unions, enums, and typedefs by name: the first of each.
    names: HashMap<(u32, String), u32>,
}

impl Btf {
    /// That of the running kernel.
    pub(crate) fn of_kernel() -> Result<Self> {
        let path = "/sys/kernel/btf/vmlinux";
        let bytes = std::fs::read(path)
            .with_context(|| format!("cannot read {path}: the kernel must be built with CONFIG_DEBUG_INFO_BTF"))?;
        Self::parse(bytes)
    }

    /// Indexes the types.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self> {
        let word = |at: usize| -> Result<u32> {
            let b = bytes.get(at..at + 4).context("type information is cut off")?;
            Ok(u32::from_le_bytes(b.try_into()?))
        };
        ensure!(word(0)? as u16 == MAGIC, "not little-endian BTF");
        let header = word(4)? as usize;
        let types_at = header.saturating_add(word(8)? as usize);
        let types_end = types_at.saturating_add(word(12)? as usize);
        let strings_at = header.saturating_add(word(16)? as usize);
        let strings_end = strings_at.saturating_add(word(20)? as usize);
        ensure!(types_end <= bytes.len() && strings_end <= bytes.len(), "type information is cut off");
        let mut types = vec![0];
        let mut named = Vec::new();
        let mut at = types_at;
        while at < types_end {
            let info = word(at + 4)?;
            let (kind, count) = ((info >> 24) & 31, (info & 0xffff) as usize);
            let tail = match kind {
                1 | 14 | 17 => 4,
                KIND_STRUCT | KIND_UNION | KIND_ENUM64 | 15 => count * 12,
                KIND_ENUM | KIND_FUNC_PROTO => count * 8,
                3 => 12,
                0 | 2 | 7..=12 | 16 | 18 => 0,
                k => bail!("unknown kind {k} of type"),
            };
            if matches!(kind, KIND_STRUCT | KIND_UNION | KIND_ENUM | KIND_ENUM64 | KIND_TYPEDEF) {
                named.push((kind, word(at)?, types.len() as u32));
            }
            types.push(at);
            at += 12 + tail;
        }
        let mut btf = Self { bytes, strings: (strings_at, strings_end), types, names: HashMap::new() };
        for (kind, name, id) in named {
            if let Some(name) = btf.string(name).filter(|n| !n.is_empty()).map(str::to_owned) {
                btf.names.entry((kind, name)).or_insert(id);
            }
        }
        Ok(btf)
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }

    fn string(&self, offset: u32) -> Option<&str> {
        let all = self.bytes.get(self.strings.0..self.strings.1)?;
        let rest = all.get(offset as usize..)?;
        std::str::from_utf8(rest.get(..rest.iter().position(|&b| b == 0)?)?).ok()
    }

    /// (kind, vlen, kind flag, third word, place of the tail)
    fn type_at(&self, id: u32) -> Option<(u32, usize, bool, u32, usize)> {
        if id == 0 {
            return None;
        }
        let at = *self.types.get(id as usize)?;
        let info = self.word(at + 4)?;
        Some(((info >> 24) & 31, (info & 0xffff) as usize, info >> 31 == 1, self.word(at + 8)?, at + 12))
    }

    /// Follows typedefs, const, volatile, restrict and type tags.
    fn bare(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            match self.type_at(id)? {
                (KIND_TYPEDEF | 9..=11 | 18, _, _, next, _) => id = next,
                _ => return Some(id),
            }
        }
        None
    }

    fn member(&self, id: u32, name: &str, depth: u32) -> Option<Place> {
        let (kind, count, flag, _, tail) = self.type_at(self.bare(id)?)?;
        if depth == 0 || !matches!(kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        for at in (0..count).map(|i| tail + i * 12) {
            let (member_name, type_id, offset) = (self.string(self.word(at)?)?, self.word(at + 4)?, self.word(at + 8)?);
            // With the flag the upper 8 bits are the size of a bit field.
            let bits = u64::from(if flag { offset & 0xff_ffff } else { offset });
            if member_name == name {
                return Some(Place { bits, type_id });
            }
            if member_name.is_empty()
                && let Some(inner) = self.member(type_id, name, depth - 1)
            {
                return Some(Place { bits: bits + inner.bits, ..inner });
            }
        }
        None
    }

    /// Finds `struct:member.member`; anonymous structs and unions in between need not be named.
    #[must_use]
    pub(crate) fn place(&self, path: &str) -> Option<Place> {
        let (structure, members) = path.split_once(':')?;
        let mut id = *self.names.get(&(KIND_STRUCT, structure.to_owned()))?;
        let mut bits = 0;
        for name in members.split('.') {
            let place = self.member(id, name, MAX_DEPTH)?;
            bits += place.bits;
            id = place.type_id;
        }
        Some(Place { bits, type_id: id })
    }

    /// Byte offset of a member.
    pub(crate) fn offset(&self, path: &str) -> Result<u64> {
        let place = self.place(path).with_context(|| format!("the kernel's type information has no {path}"))?;
        ensure!(place.bits % 8 == 0, "{path} is a bit field");
        Ok(place.bits / 8)
    }

    /// Whether the kernel has a function of this name.
    #[must_use]
    pub(crate) fn has_function(&self, name: &str) -> bool {
        (1..self.types.len() as u32).any(|id| {
            let at = self.types.get(id as usize).copied().unwrap_or(0);
            self.type_at(id).is_some_and(|t| t.0 == KIND_FUNC)
                && self.word(at).and_then(|n| self.string(n)).is_some_and(|n| n == name)
        })
    }

    /// Number of arguments of a tracepoint (without the first, hidden one); `None` if there is no such tracepoint.
    #[must_use]
    pub(crate) fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let id = *self.names.get(&(KIND_TYPEDEF, format!("btf_trace_{name}")))?;
        let (kind, _, _, target, _) = self.type_at(self.bare(id)?)?;
        if kind != KIND_PTR {
            return None;
        }
        let (kind, count, ..) = self.type_at(target)?;
        (kind == KIND_FUNC_PROTO).then(|| count.saturating_sub(1))
    }

    /// Values and names of an enum; empty if there is none.
    #[must_use]
    pub(crate) fn values(&self, name: &str) -> BTreeMap<u32, String> {
        let mut values = BTreeMap::new();
        let Some(&id) = self.names.get(&(KIND_ENUM, name.to_owned())) else { return values };
        let Some((_, count, _, _, tail)) = self.type_at(id) else { return values };
        for at in (0..count).map(|i| tail + i * 8) {
            if let (Some(name), Some(value)) = (self.word(at).and_then(|n| self.string(n)), self.word(at + 4)) {
                values.entry(value).or_insert_with(|| name.to_owned());
            }
        }
        values
    }
}
