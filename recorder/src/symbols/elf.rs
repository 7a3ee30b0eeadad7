//! Symbol tables and build ids of ELF files, read sparsely: binaries may be hundreds of megabytes.

use object::elf::{FileHeader32, FileHeader64, PT_LOAD, SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endianness, FileKind, Object, ReadCache, ReadRef};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Most symbols kept of one table.
const SYMBOLS_LIMIT: usize = 1_000_000;
/// Longest name kept, bytes (C++ templates are that long).
const NAME_LIMIT: usize = 4096;
/// Files whose build ids are remembered.
const BUILD_IDS_LIMIT: usize = 50_000;
/// How far back to look for a symbol that contains the address when the nearest one ends before it.
const NESTING_LIMIT: usize = 16;

/// Identity of a file: device, inode, modification time.
pub type FileId = (u64, u64, i64);

/// Identity of the file at `path`, links followed.
#[must_use]
pub fn file_id(path: &Path) -> Option<FileId> {
    let meta = std::fs::metadata(path).ok()?;
    meta.is_file().then(|| (meta.dev(), meta.ino(), meta.mtime()))
}

/// Build ids of files, each file read once.
#[derive(Debug, Default)]
pub struct BuildIds {
    known: HashMap<FileId, String>,
}

impl BuildIds {
    /// Build id of the ELF file at `path`, hex; empty if it has none or cannot be read.
    pub fn of(&mut self, path: &Path) -> String {
        let Some(id) = file_id(path) else { return String::new() };
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        let build_id = File::open(path).ok().and_then(|file| build_id(&ReadCache::new(file))).unwrap_or_default();
        if self.known.len() < BUILD_IDS_LIMIT {
            self.known.insert(id, build_id.clone());
        }
        build_id
    }
}

fn build_id<'a>(data: impl ReadRef<'a>) -> Option<String> {
    let file = object::File::parse(data).ok()?;
    let id = file.build_id().ok()??;
    // The note is an attacker's to choose; real ones are 8 to 32 bytes.
    Some(id.iter().take(64).map(|b| format!("{b:02x}")).collect())
}

/// Where names are read from once they are needed.
#[derive(Debug)]
enum Source {
    File(File),
    Memory(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    size: u64,
    /// Offset of the name in `sources[source]`.
    name: u64,
    source: u8,
}

/// Function symbols of one ELF file, by file offset.
#[derive(Debug, Default)]
pub struct Symbols {
    /// File offset, length in the file, address.
    segments: Vec<(u64, u64, u64)>,
    entries: Vec<Entry>,
    sources: Vec<Source>,
}

impl Symbols {
    /// Symbols of an ELF file; `debug` is its separate debug file, if there is one. Without any usable table: no symbols.
    #[must_use]
    pub fn open(path: &Path, debug: Option<&Path>) -> Self {
        let mut symbols = Self::default();
        if let Ok(file) = File::open(path) {
            symbols.add(file, true);
        }
        if let Some(file) = debug.and_then(|path| File::open(path).ok()) {
            symbols.add(file, false);
        }
        symbols.sort();
        symbols
    }

    /// Symbols of an ELF image in memory, such as the vDSO.
    #[must_use]
    pub fn of_image(image: Vec<u8>) -> Self {
        let mut symbols = Self::default();
        symbols.scan(&ReadCache::new(Cursor::new(image.as_slice())), true);
        symbols.sources.push(Source::Memory(image));
        symbols.sort();
        symbols
    }

    /// How many symbols it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add(&mut self, file: File, main: bool) {
        let Ok(names) = file.try_clone() else { return };
        self.scan(&ReadCache::new(file), main);
        self.sources.push(Source::File(names));
    }

    fn scan<R: Read + Seek>(&mut self, cache: &ReadCache<R>, main: bool) {
        match FileKind::parse(cache) {
            Ok(FileKind::Elf64) => _ = self.tables::<FileHeader64<Endianness>, _>(cache, main),
            Ok(FileKind::Elf32) => _ = self.tables::<FileHeader32<Endianness>, _>(cache, main),
            _ => {}
        }
    }

    fn tables<'a, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'a>>(
        &mut self,
        data: R,
        main: bool,
    ) -> object::Result<()> {
        let header = Elf::parse(data)?;
        let endian = header.endian()?;
        if main {
            for segment in header.program_headers(endian, data)? {
                if segment.p_type(endian) == PT_LOAD {
                    let (offset, len) = segment.file_range(endian);
                    self.segments.push((offset, len, segment.p_vaddr(endian).into()));
                }
            }
        }
        let sections = header.sections(endian, data)?;
        let source = u8::try_from(self.sources.len()).unwrap_or(u8::MAX);
        for kind in [SHT_SYMTAB, SHT_DYNSYM] {
            let Ok(table) = sections.symbols(endian, data, kind) else { continue };
            let Ok(strings) = sections.section(table.string_section()) else { continue };
            let strings = strings.sh_offset(endian).into();
            for symbol in table.iter().take(SYMBOLS_LIMIT) {
                let wanted = matches!(symbol.st_type(), STT_FUNC | STT_GNU_IFUNC | STT_NOTYPE);
                let address: u64 = symbol.st_value(endian).into();
                if wanted
                    && address != 0
                    && symbol.st_name(endian) != 0
                    && !symbol.is_undefined(endian)
                    && self.entries.len() < SYMBOLS_LIMIT
                {
                    self.entries.push(Entry {
                        address,
                        size: symbol.st_size(endian).into(),
                        name: strings + u64::from(symbol.st_name(endian)),
                        source,
                    });
                }
            }
        }
        Ok(())
    }

    /// By address; of several at one address the largest comes last, where the look-up starts.
    fn sort(&mut self) {
        self.entries.sort_by_key(|e| (e.address, e.size, std::cmp::Reverse(e.source), std::cmp::Reverse(e.name)));
        self.entries.dedup_by_key(|e| (e.address, e.size));
    }

    /// The address that the byte at a file offset is loaded at, before relocation.
    fn address(&self, file_offset: u64) -> Option<u64> {
        self.segments
            .iter()
            .find(|(start, len, _)| file_offset >= *start && file_offset - start < *len)
            .map(|(start, _, address)| address.wrapping_add(file_offset - start))
    }

    /// The symbol at a file offset: its name and the bytes from its start.
    #[must_use]
    pub fn lookup(&self, file_offset: u64) -> Option<(String, u64)> {
        let address = self.address(file_offset)?;
        let end = self.entries.partition_point(|e| e.address <= address);
        let from = end.saturating_sub(NESTING_LIMIT);
        let nearest = self.entries.get(end.checked_sub(1)?)?;
        let containing = self.entries.get(from..end)?.iter().rev().find(|e| address - e.address < e.size);
        // Hand-written assembly often has no sizes: then it reaches to the next symbol.
        let entry = containing.or_else(|| (nearest.size == 0).then_some(nearest))?;
        Some((self.name(entry)?, address - entry.address))
    }

    fn name(&self, entry: &Entry) -> Option<String> {
        let mut buffer = [0u8; NAME_LIMIT];
        let got: &[u8] = match self.sources.get(usize::from(entry.source))? {
            Source::File(file) => {
                let n = file.read_at(&mut buffer, entry.name).ok()?;
                buffer.get(..n)?
            }
            Source::Memory(image) => image.get(usize::try_from(entry.name).ok()?..)?,
        };
        let len = got.iter().take(NAME_LIMIT).position(|&b| b == 0)?;
        let name = String::from_utf8_lossy(got.get(..len)?).into_owned();
        (!name.is_empty()).then_some(name)
    }
}

/// Where Debian, Fedora and others put the separate debug file of a build id, below the root of the process.
#[must_use]
pub fn debug_path(root: &Path, build_id: &str) -> Option<std::path::PathBuf> {
    let (first, rest) = build_id.split_at_checked(2)?;
    Some(root.join(format!("usr/lib/debug/.build-id/{first}/{rest}.debug"))).filter(|path| path.is_file())
}

#[cfg(test)]
mod tests;
