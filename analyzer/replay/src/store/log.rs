//! Rows one after the other in blocks of bytes; blocks beyond what memory may hold go to a file without a name.

use super::code::{Reader, Writer};
use super::texts::Texts;
use crate::model::Nanos;
use ahash::AHashMap;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A block is closed when it has this many bytes.
const BLOCK: usize = 64 << 10;
/// What a block's last row may have beyond.
const SLACK: usize = 2 << 10;
/// Blocks of the file that a reader keeps.
const KEPT: usize = 256;

/// Where blocks go that memory has no room for: shared by all logs of a replay.
#[derive(Debug)]
pub(crate) struct Spill {
    /// Bytes that may stay in memory.
    limit: usize,
    in_memory: AtomicUsize,
    /// Rows that could not be read back.
    unreadable: AtomicUsize,
    /// The file, once there is one, and its length.
    file: Mutex<(Option<Nameless>, u64)>,
}

impl Spill {
    /// Keeps up to `limit` bytes in memory.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, in_memory: AtomicUsize::new(0), unreadable: AtomicUsize::new(0), file: Mutex::new((None, 0)) }
    }

    /// Takes a block in. Where the file cannot be had or written, blocks stay in memory.
    fn keep(&self, bytes: Vec<u8>) -> Block {
        let size = bytes.capacity();
        if self.in_memory.fetch_add(size, Ordering::Relaxed) + size <= self.limit {
            return Block::Memory(bytes);
        }
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, end) = &mut *guard;
        if file.is_none() {
            *file = Nameless::new().ok();
        }
        let Some(Nameless { file: to, .. }) = file else { return Block::Memory(bytes) };
        let at = *end;
        if to.seek(SeekFrom::Start(at)).and_then(|_| to.write_all(&bytes)).is_err() {
            return Block::Memory(bytes);
        }
        *end += bytes.len() as u64;
        self.in_memory.fetch_sub(size, Ordering::Relaxed);
        Block::File { at, len: bytes.len() }
    }

    fn read(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let from = &mut guard.0.as_mut()?.file;
        let mut bytes = vec![0; len];
        from.seek(SeekFrom::Start(at)).and_then(|_| from.read_exact(&mut bytes)).ok()?;
        Some(bytes)
    }

    /// Rows that could not be read back: the disk failed.
    pub(crate) fn unreadable(&self) -> usize {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Whether anything went to the file.
    #[cfg(test)]
    pub(super) fn is_used(&self) -> bool {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).1 > 0
    }
}

/// A file in the system's folder for temporary ones that nobody else sees, and that goes when it is not needed any more.
#[derive(Debug)]
struct Nameless {
    file: File,
    /// Its name, on systems where an open file keeps it.
    name: Option<PathBuf>,
}

impl Nameless {
    fn new() -> std::io::Result<Self> {
        /// Replays of one process.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = std::env::temp_dir().join(format!("hindsight-{}-{number}.rows", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&name)?;
        let name = std::fs::remove_file(&name).err().map(|_| name);
        Ok(Self { file, name })
    }
}

impl Drop for Nameless {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nobody is left to tell if it cannot be removed.
            let _ = std::fs::remove_file(name);
        }
    }
}

#[derive(Debug)]
enum Block {
    Memory(Vec<u8>),
    File { at: u64, len: usize },
}

/// A row's place in the order of the table before all ids are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Time that it is sorted by; times in it are distances from this.
    pub(crate) key: Nanos,
    /// Its flow: a number within the part, later the final id.
    pub(crate) flow: u32,
    /// Number of the row within the log.
    pub(crate) row: u32,
    /// Number of the part.
    pub(crate) part: u32,
}

/// Rows of one kind of one part.
#[derive(Debug, Default)]
pub(crate) struct Log {
    blocks: Vec<Block>,
    open: Vec<u8>,
    /// (block, offset in it) of every row.
    places: Vec<(u32, u32)>,
    entries: Vec<Entry>,
}

impl Log {
    /// Rows so far.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Adds a row.
    #[inline]
    pub(crate) fn add(
        &mut self,
        texts: &mut Texts,
        spill: &Spill,
        (key, flow): (Nanos, u32),
        write: impl FnOnce(&mut Writer<'_>),
    ) {
        if self.open.len() >= BLOCK {
            let full = std::mem::replace(&mut self.open, Vec::with_capacity(BLOCK + SLACK));
            self.blocks.push(spill.keep(full));
        }
        let place = (self.blocks.len() as u32, self.open.len() as u32);
        write(&mut Writer { bytes: &mut self.open, texts, base: key });
        self.entries.push(Entry { key, flow, row: self.places.len() as u32, part: 0 });
        self.places.push(place);
    }

    /// Takes out what tells the order of the rows.
    pub(crate) fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }
}

/// Reads rows of many logs, in whatever order; keeps the blocks of the file that it read last.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    spill: &'a Spill,
    kept: AHashMap<(u32, u32), Vec<u8>>,
    order: VecDeque<(u32, u32)>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(spill: &'a Spill) -> Self {
        Self { spill, kept: AHashMap::new(), order: VecDeque::new() }
    }

    /// Reads the row of an entry, which is one of `log`, with names out of `texts`.
    #[inline]
    pub(crate) fn get<T>(
        &mut self,
        log: &Log,
        texts: &Texts,
        entry: &Entry,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Option<T> {
        let row = self.find(log, texts, entry, read);
        if row.is_none() {
            self.spill.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        row
    }

    #[inline]
    fn find<T>(
        &mut self,
        log: &Log,
        texts: &Texts,
        entry: &Entry,
        read: impl FnOnce(&mut Reader<'_>) -> Option<T>,
    ) -> Option<T> {
        let &(block, offset) = log.places.get(entry.row as usize)?;
        let bytes = match log.blocks.get(block as usize) {
            None => &log.open,
            Some(Block::Memory(bytes)) => bytes,
            Some(&Block::File { at, len }) => self.fetch((entry.part, block), at, len)?,
        };
        read(&mut Reader { bytes: bytes.get(offset as usize..)?, texts, base: entry.key })
    }

    fn fetch(&mut self, block: (u32, u32), at: u64, len: usize) -> Option<&Vec<u8>> {
        if !self.kept.contains_key(&block) {
            if self.order.len() >= KEPT
                && let Some(oldest) = self.order.pop_front()
            {
                self.kept.remove(&oldest);
            }
            self.kept.insert(block, self.spill.read(at, len)?);
            self.order.push_back(block);
        }
        self.kept.get(&block)
    }
}
