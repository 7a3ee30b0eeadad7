//! Captures whose packets lie in their order: a piece of the file is read and decoded by one thread, and a flow's packets are worked on by one
//! thread, as far as possible.
//!
//! Cores have caches of their own. What one of them has just written takes another one up to ten times as long to read as what it has
//! written itself, and which two cores a machine lends is not for us to choose. So bytes are touched first by the thread that has read
//! them, and every shard has a thread that it is at home with. A thread works on its shards; where they have had all there is, it reads
//! and decodes the next piece; where enough pieces wait, it helps others with their shards. Pieces are numbered as they are read, and a
//! shard takes them in turn: the result is the same to the byte, whoever does what.

use super::batch::{Chunk, Held, Recycled, decode_all, lock};
use super::interfaces::Links;
use super::{Engine, Shard};
use crate::filter::Filter;
use crate::flow::Settings;
use crate::store::Spill;
use formats::read::{Batch, Reader};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Pieces that are read and not done with, for each thread and beyond.
const AHEAD: u64 = 2;
/// A thread with nothing to do looks again after this, in case there are frames to be decompressed.
const PATIENCE: Duration = Duration::from_micros(300);

/// A piece of the capture, decoded.
struct Piece {
    held: Held,
    settings: Arc<Settings>,
    /// Shards that have not had it.
    left: AtomicUsize,
    /// Who read it.
    by: usize,
}

/// What is read, and what is known of its interfaces by now.
struct Source<'e> {
    reader: &'e mut Reader,
    /// Interfaces of the capture that have been looked at.
    interfaces: usize,
    links: Arc<Links>,
    settings: Arc<Settings>,
}

/// A piece of the capture as it was read.
struct Read {
    number: u64,
    batch: Batch,
    links: Arc<Links>,
    settings: Arc<Settings>,
    /// What makes UTC of monotonic times.
    offset: i64,
}

/// What has come back decoded, and is taken in by number.
struct Desk<'e> {
    engine: &'e mut Engine,
    arrived: BTreeMap<u64, Arrived>,
    next: u64,
}

struct Arrived {
    read: Read,
    chunks: Vec<Chunk>,
    by: usize,
}

/// Pieces for the shards.
#[derive(Default)]
struct Ready {
    pieces: VecDeque<Arc<Piece>>,
    /// Number of the first of them: all before are done with.
    base: u64,
    /// How many have been read, and whether another one is being read.
    read: u64,
    reading: bool,
    /// How many there are in the capture, once that is known.
    total: Option<u64>,
    /// A thread has panicked.
    failed: bool,
    /// Counts what has changed here.
    changes: u64,
}

/// What the threads share.
struct Floor<'e> {
    source: Mutex<Source<'e>>,
    desk: Mutex<Desk<'e>>,
    ready: Mutex<Ready>,
    change: Condvar,
    shards: &'e [Mutex<Shard>],
    /// By shard: number of the next piece it takes; only who has the shard changes it.
    turns: Vec<AtomicU64>,
    /// By thread: memory of pieces that are done with.
    spare: Vec<Mutex<Vec<Recycled>>>,
    filter: Option<Arc<Filter>>,
    spill: Arc<Spill>,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    /// Works on all of a capture, on all threads of the pool; `first` is what was read of it already.
    pub(super) fn in_file_order(&mut self, reader: &mut Reader, first: Option<Batch>) {
        let Some(first) = first else { return };
        let shards = std::mem::take(&mut self.shards);
        let floor = Floor {
            turns: shards.iter().map(|_| AtomicU64::new(0)).collect(),
            spare: (0..rayon::current_num_threads()).map(|_| Mutex::default()).collect(),
            filter: self.filter.clone(),
            spill: Arc::clone(&self.spill),
            shards: &shards,
            source: Mutex::new(Source {
                reader,
                interfaces: usize::MAX,
                links: Arc::default(),
                settings: Arc::default(),
            }),
            desk: Mutex::new(Desk { engine: self, arrived: BTreeMap::new(), next: 0 }),
            ready: Mutex::default(),
            change: Condvar::new(),
        };
        floor.read(0, Some(first));
        rayon::broadcast(|thread| floor.work(thread.index()));
        drop(floor);
        self.shards = shards;
    }

    /// What is known of the interfaces by now, as decoding and flows want it.
    fn learn(&mut self, reader: &Reader, offset: i64) -> (Arc<Links>, Arc<Settings>) {
        self.turn_to(reader, offset);
        (Arc::new(self.interfaces.links()), Arc::new(self.settings.clone()))
    }
}

/// Tells the others when a thread panics: they would wait for what it was about to do.
struct Watch<'f, 'e>(&'f Floor<'e>);

impl Drop for Watch<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.tell(|ready| ready.failed = true);
        }
    }
}

impl Floor<'_> {
    /// What one thread does until the capture is done with.
    fn work(&self, me: usize) {
        let _watch = Watch(self);
        let most = self.spare.len() as u64 + AHEAD;
        let mut mine = 0;
        loop {
            let mut ready = hold(&self.ready);
            if ready.failed || ready.total == Some(ready.base) {
                return;
            }
            mine = mine.max(ready.base);
            if let Some(piece) = ready.pieces.get((mine - ready.base) as usize).cloned() {
                drop(ready);
                self.shards_of(me, mine, piece);
                mine += 1;
                continue;
            }
            if !ready.reading && ready.total.is_none() && ready.read - ready.base < most {
                ready.reading = true;
                drop(ready);
                self.read(me, None);
                continue;
            }
            let seen = ready.changes;
            drop(ready);
            if self.help(me) || rayon::yield_now() == Some(rayon::Yield::Executed) {
                continue;
            }
            let ready = hold(&self.ready);
            if ready.changes == seen {
                drop(self.change.wait_timeout(ready, PATIENCE));
            }
        }
    }

    /// Changes what is ready, and tells the others.
    fn tell(&self, change: impl FnOnce(&mut Ready)) {
        let mut ready = hold(&self.ready);
        change(&mut ready);
        ready.changes += 1;
        drop(ready);
        self.change.notify_all();
    }

    /// The shards that are at home with this thread take the piece of that number.
    fn shards_of(&self, me: usize, number: u64, piece: Arc<Piece>) {
        if piece.by != me {
            piece.held.pull();
        }
        for s in (me..self.shards.len()).step_by(self.spare.len().max(1)) {
            if let Some(shard) = self.shards.get(s) {
                self.run(s, &mut lock(shard), number, &piece);
            }
        }
        self.done(piece);
    }

    /// A shard takes a piece if it is its turn.
    fn run(&self, s: usize, shard: &mut Shard, number: u64, piece: &Piece) {
        let Some(turn) = self.turns.get(s).filter(|turn| turn.load(Ordering::Acquire) == number) else { return };
        piece.held.run(s, shard, &piece.settings);
        shard.pack(&self.spill);
        turn.store(number + 1, Ordering::Release);
        piece.left.fetch_sub(1, Ordering::AcqRel);
    }

    /// Lets go of a piece; it goes where it is read into again if no shard lacks it.
    fn done(&self, piece: Arc<Piece>) {
        if piece.left.load(Ordering::Acquire) > 0 {
            return;
        }
        drop(piece);
        self.tell(|ready| {
            while ready.pieces.front().is_some_and(|p| p.left.load(Ordering::Acquire) == 0) {
                let Some(done) = ready.pieces.pop_front() else { break };
                ready.base += 1;
                // Otherwise somebody still looks at it, and drops it.
                if let Ok(piece) = Arc::try_unwrap(done)
                    && let Some(spare) = self.spare.get(piece.by)
                {
                    hold(spare).push(piece.held.recycle());
                }
            }
        });
    }

    /// Takes over a shard of somebody who is behind; `false` if nobody is.
    fn help(&self, me: usize) -> bool {
        let (ends, over) = {
            let ready = hold(&self.ready);
            (ready.base + ready.pieces.len() as u64, ready.total.is_some())
        };
        // Who has had all but the last piece is at that, unless it is the last of all: flows would only move from cache to cache.
        let behind = if over { ends } else { ends.saturating_sub(1) };
        for (s, (shard, turn)) in self.shards.iter().zip(&self.turns).enumerate() {
            if s % self.spare.len().max(1) == me || turn.load(Ordering::Acquire) >= behind {
                continue;
            }
            let Ok(mut shard) = shard.try_lock() else { continue };
            let number = turn.load(Ordering::Acquire);
            let piece = {
                let ready = hold(&self.ready);
                number.checked_sub(ready.base).and_then(|place| ready.pieces.get(place as usize).cloned())
            };
            if let Some(piece) = piece {
                self.run(s, &mut shard, number, &piece);
                drop(shard);
                self.done(piece);
                return true;
            }
        }
        false
    }

    /// Reads and decodes the next piece.
    fn read(&self, me: usize, first: Option<Batch>) {
        let Recycled { batch, chunks } = self.spare.get(me).and_then(|spare| hold(spare).pop()).unwrap_or_default();
        let Some(read) = self.next(first, batch) else { return };
        let chunks = decode_all(&read.batch, &read.links, self.filter.as_deref(), chunks);
        // What was decoded is taken in by number.
        let mut desk = hold(&self.desk);
        desk.arrived.insert(read.number, Arrived { read, chunks, by: me });
        loop {
            let next = desk.next;
            let Some(Arrived { read, chunks, by }) = desk.arrived.remove(&next) else { break };
            desk.next += 1;
            let held = desk.engine.take_in(read.batch, chunks, read.offset);
            let left = AtomicUsize::new(self.shards.len());
            let piece = Arc::new(Piece { held, settings: read.settings, left, by });
            self.tell(|ready| ready.pieces.push_back(piece));
        }
    }

    /// The next piece. Only who has said that it is reading may call this.
    fn next(&self, first: Option<Batch>, spare: Batch) -> Option<Read> {
        let mut source = hold(&self.source);
        let source = &mut *source;
        let batch = first.or_else(|| source.reader.next_batch_into(spare));
        let offset = source.reader.realtime_offset_ns().unwrap_or(0);
        if source.interfaces != source.reader.interfaces().len() {
            source.interfaces = source.reader.interfaces().len();
            (source.links, source.settings) = hold(&self.desk).engine.learn(source.reader, offset);
        }
        let mut number = 0;
        self.tell(|ready| {
            ready.reading = false;
            number = ready.read;
            match batch {
                Some(_) => ready.read += 1,
                None => ready.total = Some(number),
            }
        });
        let (links, settings) = (Arc::clone(&source.links), Arc::clone(&source.settings));
        batch.map(|batch| Read { number, batch, links, settings, offset })
    }
}

/// What `each` makes of every shard, in their order; as far as may be, by the threads that they are at home with.
pub(super) fn at_home<T: Send>(shards: &[Mutex<Shard>], each: impl Fn(&Mutex<Shard>) -> T + Sync) -> Vec<T> {
    let taken: Vec<AtomicBool> = shards.iter().map(|_| AtomicBool::new(false)).collect();
    let made: Vec<Mutex<Option<T>>> = shards.iter().map(|_| Mutex::new(None)).collect();
    rayon::broadcast(|thread| {
        let (me, threads) = (thread.index(), thread.num_threads());
        let others = (0..shards.len()).rev().filter(|s| s % threads != me);
        for s in (me..shards.len()).step_by(threads).chain(others) {
            let (Some(shard), Some(taken), Some(made)) = (shards.get(s), taken.get(s), made.get(s)) else { continue };
            if !taken.swap(true, Ordering::Relaxed) {
                *hold(made) = Some(each(shard));
            }
        }
    });
    made.into_iter().filter_map(|made| made.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}
