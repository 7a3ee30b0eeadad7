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
    fn keep(&self, content: Content) -> Block {
        let size = content.capacity();
        if self.in_memory.fetch_add(size, Ordering::Relaxed) + size <= self.limit {
            return Block::Memory(content);
        }
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, end) = &mut *guard;
        if file.is_none() {
            *file = Nameless::new().ok();
        }
        let Some(Nameless { file: to, .. }) = file else { return Block::Memory(content) };
        let at = *end;
        let Content { bytes, tail } = &content;
        let mut write = || {
            to.seek(SeekFrom::Start(at))?;
            to.write_all(bytes)?;
            to.write_all(tail.as_bytes())
        };
        if write().is_err() {
            return Block::Memory(content);
        }
        *end += content.len() as u64;
        self.in_memory.fetch_sub(size, Ordering::Relaxed);
        Block::File { at, bytes: bytes.len(), tail: tail.len() }
    }

    fn read(&self, at: u64, bytes: usize, tail: usize) -> Option<Content> {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let from = &mut guard.0.as_mut()?.file;
        let (mut bytes, mut tail) = (vec![0; bytes], vec![0; tail]);
        from.seek(SeekFrom::Start(at)).ok()?;
        from.read_exact(&mut bytes).and_then(|()| from.read_exact(&mut tail)).ok()?;
        Some(Content { bytes, tail: String::from_utf8(tail).ok()? })
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
    Memory(Content),
    File { at: u64, bytes: usize, tail: usize },
}

/// Rows one after the other, and their texts.
#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    tail: String,
}

impl Content {
    fn len(&self) -> usize {
        self.bytes.len() + self.tail.len()
    }

    fn capacity(&self) -> usize {
        self.bytes.capacity() + self.tail.capacity()
    }

    /// An empty one for rows like these.
    fn another(&self) -> Self {
        let room = |len: usize| len + len / 16 + SLACK;
        Self { bytes: Vec::with_capacity(room(self.bytes.len())), tail: String::with_capacity(room(self.tail.len())) }
    }
}

/// Where a row stands in its log.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: u32,
    bytes: u32,
    tail: u32,
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
    open: Content,
    places: Vec<Place>,
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
            let next = self.open.another();
            self.blocks.push(spill.keep(std::mem::replace(&mut self.open, next)));
        }
        let Content { bytes, tail } = &mut self.open;
        let place = Place { block: self.blocks.len() as u32, bytes: bytes.len() as u32, tail: tail.len() as u32 };
        write(&mut Writer { bytes, tail, texts, base: key });
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
    kept: AHashMap<(u32, u32), Content>,
    order: VecDeque<(u32, u32)>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(spill: &'a Spill) -> Self {
        Self { spill, kept: AHashMap::new(), order: VecDeque::new() }
    }

    /// Reads the row of an entry, which is one of `log`, with names out of `texts`.
    #[inline]
    pub(crate) fn get<'r, T>(
        &'r mut self,
        log: &'r Log,
        texts: &'r Texts,
        entry: &Entry,
        read: impl FnOnce(&mut Reader<'r>) -> Option<T>,
    ) -> Option<T> {
        self.make_room();
        self.load(log, entry);
        self.look(log, texts, entry, read)
    }

    /// Lets go of what was read from the file, but for the last blocks.
    pub(crate) fn make_room(&mut self) {
        while self.order.len() >= KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.kept.remove(&oldest);
        }
    }

    /// Sees to it that the block of an entry is in memory, until there is [room made](Self::make_room).
    #[inline]
    pub(crate) fn load(&mut self, log: &Log, entry: &Entry) {
        let block = log.places.get(entry.row as usize).map(|place| place.block);
        if let Some(block) = block
            && let Some(&Block::File { at, bytes, tail }) = log.blocks.get(block as usize)
            && !self.kept.contains_key(&(entry.part, block))
            && let Some(content) = self.spill.read(at, bytes, tail)
        {
            self.kept.insert((entry.part, block), content);
            self.order.push_back((entry.part, block));
        }
    }

    /// Reads a row whose block [was loaded](Self::load); it may borrow its texts.
    #[inline]
    pub(crate) fn look<'r, T>(
        &'r self,
        log: &'r Log,
        texts: &'r Texts,
        entry: &Entry,
        read: impl FnOnce(&mut Reader<'r>) -> Option<T>,
    ) -> Option<T> {
        let row = self.reader(log, texts, entry).and_then(|mut r| read(&mut r));
        if row.is_none() {
            self.spill.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        row
    }

    #[inline]
    fn reader<'r>(&'r self, log: &'r Log, texts: &'r Texts, entry: &Entry) -> Option<Reader<'r>> {
        let &Place { block, bytes, tail } = log.places.get(entry.row as usize)?;
        let content = match log.blocks.get(block as usize) {
            None => &log.open,
            Some(Block::Memory(content)) => content,
            Some(Block::File { .. }) => self.kept.get(&(entry.part, block))?,
        };
        let (bytes, tail) = (content.bytes.get(bytes as usize..)?, content.tail.get(tail as usize..)?);
        Some(Reader { bytes, tail, texts, base: entry.key })
    }
}
