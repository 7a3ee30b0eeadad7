//! One batch: decoded in chunks, sorted by shard, handed to the shards in order.

use super::events::RecordRef;
use super::interfaces::Links;
use super::{Engine, Shard};
use crate::decode::{ASSEMBLED, Decoded, Defragmenter, Fragment, Frame, GivenUp, Output, Whole, decode};
use crate::filter::{Before, Filter, Truth};
use crate::model::Nanos;
use crate::order::{SHARDS, shard_of};
use formats::read::{Batch, PacketRef};
use rayon::prelude::*;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Packets decoded by one task: a batch of small packets has some ten thousand.
const CHUNK: usize = 2048;
/// Shards worked on by one task. Left alone, rayon gives out a quarter of them at a time, and a thread that is done with its own waits for
/// the other's up to a third of the time.
pub(super) const SHARDS_PER_TASK: usize = 1;
/// How far events of different CPUs may be out of order.
pub(super) const HOLD_BACK: Nanos = 2_000_000_000;
/// Bytes of content held back at most, whatever their times.
const HOLD_BYTES: usize = 256 << 20;

/// What decoding keeps from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Decoding {
    fragments: Defragmenter,
    given_up: Vec<GivenUp>,
    /// Chunks that are done with.
    spare: Mutex<Vec<Chunk>>,
}

/// Chunks kept.
const MAX_SPARE: usize = 64;

/// Packets decoded together.
#[derive(Debug)]
pub(super) struct Chunk {
    out: Output,
    /// First packet of the batch in it.
    base: usize,
    /// Places in `out.packets`, those of shard 0 first.
    by_shard: Vec<u32>,
    /// The order of the frames, while shards are told apart.
    order: Vec<u32>,
    bounds: [u32; SHARDS + 1],
    /// Packets and bytes by interface.
    counts: Vec<(u64, u64)>,
    /// Packets that did not pass the filter.
    left_out: u64,
    first: Nanos,
    last: Nanos,
    /// Assembled datagrams: (first of their places in `out.packets`, frame of the last fragment).
    assembled_at: Vec<(usize, u32)>,
}

/// A batch with what was decoded of it.
#[derive(Debug)]
pub(super) struct Held {
    batch: Batch,
    chunks: Vec<Chunk>,
    records: Vec<RecordRef>,
    /// What makes UTC of the records' times.
    offset: i64,
    last: Nanos,
    bytes: usize,
}

/// Where a datagram stands that was put together from fragments.
#[derive(Clone, Copy, Debug)]
struct Place {
    ts: Nanos,
    interface: u32,
    /// The frame whose place it takes.
    frame: u32,
    direction: u8,
}

/// Something that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    ts: Nanos,
    /// Number of the batch.
    batch: u64,
    /// Number of the chunk, or [`RECORD`].
    chunk: u32,
    place: u32,
}

/// [`Pending::chunk`] of a socket data record.
const RECORD: u32 = u32::MAX;

/// Memory of a batch that is done with.
#[derive(Debug, Default)]
pub(super) struct Recycled {
    pub(super) batch: Batch,
    pub(super) chunks: Vec<Chunk>,
}

/// The batches of one bundle that are not done with.
#[derive(Debug, Default)]
pub(crate) struct Work {
    held: VecDeque<Held>,
    /// Number of the first batch in `held`.
    base: u64,
}

/// Decodes all of a batch, on this thread; `spare` are chunks that are done with.
pub(super) fn decode_all(batch: &Batch, links: &Links, filter: Option<&Filter>, mut spare: Vec<Chunk>) -> Vec<Chunk> {
    let chunks = batch.packets.chunks(CHUNK).enumerate();
    chunks.map(|(n, packets)| spare.pop().unwrap_or_default().decoded(batch, n, packets, links, filter)).collect()
}

impl Engine {
    /// Works on a batch of a bundle.
    pub(crate) fn batch(&mut self, work: &mut Work, batch: Batch, offset: i64) {
        let (links, filter) = (self.interfaces.links(), self.filter.as_deref());
        let chunks = batch.packets.par_chunks(CHUNK).enumerate();
        let chunks = chunks.map(|(n, packets)| self.decoding.spare().decoded(&batch, n, packets, &links, filter));
        let chunks = chunks.collect();
        let held = self.take_in(batch, chunks, offset);
        work.held.push_back(held);
        self.enqueue(work);
        let mut watermark = self.clock.saturating_sub(HOLD_BACK);
        let mut held: usize = work.held.iter().map(|h| h.bytes).sum();
        for h in &work.held {
            if held <= HOLD_BYTES {
                break;
            }
            held -= h.bytes;
            watermark = watermark.max(h.last);
        }
        self.release(work, watermark);
    }

    /// Takes in a batch that was decoded: what goes from one batch to the next happens here, in the order of the file.
    pub(super) fn take_in(&mut self, batch: Batch, mut chunks: Vec<Chunk>, offset: i64) -> Held {
        let records = self.blocks(&batch, offset);
        self.events.counters.packets(&batch, offset, self.interfaces.in_file());
        let mut last = records.iter().map(|r| r.ts).max().unwrap_or(Nanos::MIN);
        for chunk in &mut chunks {
            self.assemble(&batch, chunk);
            self.account(chunk);
            last = last.max(chunk.last);
        }
        let left_out: u64 = chunks.iter().map(|c| c.left_out).sum();
        self.out.packets += batch.packets.len() as u64 - left_out;
        if let Some(filtered) = &mut self.out.filtered {
            filtered.packets += left_out;
        }
        self.clock = self.clock.max(last);
        let bytes =
            batch.content_len() + chunks.iter().map(|c| c.out.packets.len() * size_of::<Decoded>()).sum::<usize>();
        Held { batch, chunks, records, offset, last, bytes }
    }

    /// Puts fragments together; a whole datagram takes the place of its last fragment, as does one that is given up then.
    fn assemble(&mut self, batch: &Batch, chunk: &mut Chunk) {
        if chunk.out.fragments.is_empty() {
            return;
        }
        // Fragments with the frame they take the place of; those inside of assembled datagrams come after.
        let mut waiting: VecDeque<(Fragment, u32)> = chunk.out.fragments.drain(..).map(|f| (f, f.frame)).collect();
        while let Some((f, frame)) = waiting.pop_front() {
            let Some(packet) = batch.packets.get(chunk.base + frame as usize) else { continue };
            let Some((interface, _)) = self.interfaces.get(packet.interface) else { continue };
            let bytes = if f.frame & ASSEMBLED == 0 {
                batch.data(packet)
            } else {
                chunk.out.assembled.get((f.frame & !ASSEMBLED) as usize).map_or(&[][..], Vec::as_slice)
            };
            let whole = self.decoding.fragments.add(&f, bytes, &mut self.decoding.given_up);
            for given_up in std::mem::take(&mut self.decoding.given_up) {
                match given_up.part {
                    Some(part) => {
                        let place = Place { ts: given_up.ts, interface: given_up.interface, frame, direction: 0 };
                        chunk.assembled(part, place, self.filter.as_deref(), &mut waiting);
                    }
                    None => self.interfaces.undecoded(given_up.interface, "fragment", given_up.packets.into()),
                }
            }
            if let Some(whole) = whole {
                let place = Place { ts: packet.ts, interface, frame, direction: packet.direction };
                chunk.assembled(whole, place, self.filter.as_deref(), &mut waiting);
            }
        }
        chunk.sort();
    }

    fn account(&mut self, chunk: &mut Chunk) {
        for (row, (packets, bytes)) in self.interfaces.rows.iter_mut().zip(&chunk.counts) {
            row.packets += packets;
            row.bytes += bytes;
        }
        for (interface, reason) in std::mem::take(&mut chunk.out.undecoded) {
            self.interfaces.undecoded(interface, reason, 1);
        }
        if chunk.first <= chunk.last {
            self.out.start = self.out.start.min(chunk.first);
            self.out.end = self.out.end.max(chunk.last);
        }
    }

    /// Puts the newest batch's packets and records into the shards' queues.
    fn enqueue(&mut self, work: &Work) {
        let Some(held) = work.held.back() else { return };
        let number = work.base + work.held.len() as u64 - 1;
        self.shards.par_iter().enumerate().for_each(|(s, shard)| {
            let mut shard = lock(shard);
            for (n, chunk) in held.chunks.iter().enumerate() {
                for &place in chunk.shard(s) {
                    let ts = chunk.out.packets.get(place as usize).map_or(0, |d| d.ts);
                    shard.pending.push(Pending { ts, batch: number, chunk: n as u32, place });
                }
            }
            for (place, r) in held.records.iter().enumerate().filter(|(_, r)| r.shard as usize == s) {
                shard.pending.push(Pending { ts: r.ts, batch: number, chunk: RECORD, place: place as u32 });
                // Packets leave before the call that sends them is recorded.
                if let Some(record) = r.bytes(&held.batch) {
                    shard.flows.record(record, r.ts);
                }
            }
            // Stable: what has the same time stays in the order of the file.
            shard.pending.sort_by_key(|p| p.ts);
        });
    }

    /// Runs what is queued up to `watermark`, and lets go of the batches that are done with.
    pub(crate) fn release(&mut self, work: &mut Work, watermark: Nanos) {
        let (held, base, settings, spill) = (&work.held, work.base, &self.settings, &self.spill);
        self.shards.par_iter().with_max_len(SHARDS_PER_TASK).for_each(|shard| {
            let mut shard = lock(shard);
            let ready = shard.pending.partition_point(|p| p.ts <= watermark);
            let pending = std::mem::take(&mut shard.pending);
            for p in pending.get(..ready).unwrap_or(&[]) {
                let Some(held) = held.get(p.batch.saturating_sub(base) as usize) else { continue };
                if p.chunk == RECORD {
                    run_record(&mut shard, held, p.place);
                    continue;
                }
                let Some(chunk) = held.chunks.get(p.chunk as usize) else { continue };
                run_packet(&mut shard, held, chunk, p.place, settings);
            }
            shard.pending = pending;
            shard.pending.drain(..ready);
            shard.flows.passed(watermark);
            shard.pack(spill);
        });
        while work.held.front().is_some_and(|h| h.last <= watermark) {
            if let Some(done) = work.held.pop_front() {
                self.decoding.done(done);
            }
            work.base += 1;
        }
    }

    /// Datagrams that never became whole: what there is of them goes to their flows.
    pub(crate) fn end_of_fragments(&mut self) {
        self.decoding.fragments.finish(&mut self.decoding.given_up);
        for given_up in std::mem::take(&mut self.decoding.given_up) {
            let Some(part) = given_up.part else {
                self.interfaces.undecoded(given_up.interface, "fragment", given_up.packets.into());
                continue;
            };
            let mut out = Output::default();
            let frame = part.frame(given_up.ts, given_up.interface, 0);
            decode(&frame, &mut out);
            if let Some(filter) = &self.filter
                && filter.sift(&frame, 0, &mut out, Before::of(&Output::default())) != Truth::Yes
            {
                continue;
            }
            for d in &out.packets {
                let Some(shard) = self.shards.get(shard_of(d.hash)) else { continue };
                lock(shard).flows.packet(d, &part.bytes, &out.tunnels, &self.settings);
            }
            for (interface, reason) in out.undecoded {
                self.interfaces.undecoded(interface, reason, 1);
            }
            for f in out.fragments {
                self.interfaces.undecoded(f.interface(), "fragment", 1);
            }
        }
    }
}

/// A shard's lock; a panic elsewhere leaves its state as it was.
pub(super) fn lock(shard: &Mutex<Shard>) -> std::sync::MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_record(shard: &mut Shard, held: &Held, place: u32) {
    let Some(r) = held.records.get(place as usize) else { return };
    if let (Some(record), Some(sockets)) = (r.bytes(&held.batch), &mut shard.sockets) {
        sockets.record_beside(record, held.offset, shard.flows.known());
    }
}

#[inline]
fn run_packet(shard: &mut Shard, held: &Held, chunk: &Chunk, place: u32, settings: &crate::flow::Settings) {
    let Some(d) = chunk.out.packets.get(place as usize) else { return };
    let frame = if d.frame & ASSEMBLED != 0 {
        chunk.out.assembled.get((d.frame & !ASSEMBLED) as usize).map_or(&[][..], Vec::as_slice)
    } else {
        held.batch.packets.get(chunk.base + d.frame as usize).map_or(&[][..], |p| held.batch.data(p))
    };
    shard.flows.packet(d, frame, &chunk.out.tunnels, settings);
}

impl Held {
    /// A shard's packets of it, in the order of the file.
    pub(super) fn run(&self, s: usize, shard: &mut Shard, settings: &crate::flow::Settings) {
        for chunk in &self.chunks {
            for &place in chunk.shard(s) {
                run_packet(shard, self, chunk, place, settings);
            }
        }
    }

    /// Brings what another core has decoded into the cache of this one: line by line, which the processor sees coming, it takes a fraction of
    /// the time that it takes when flows ask for one packet here and another there.
    pub(super) fn pull(&self) {
        let mut touched = 0;
        for chunk in &self.chunks {
            // Fields of each of its three lines.
            let lines = |d: &Decoded| d.src as u64 ^ u64::from(d.seq) ^ u64::from(d.flags);
            touched ^= chunk.out.packets.iter().fold(0, |sum, d| sum ^ lines(d));
        }
        touched ^= self.batch.packets.iter().fold(0, |sum, p| sum ^ p.ts.cast_unsigned());
        std::hint::black_box(touched);
    }

    /// What can be used for another one.
    pub(super) fn recycle(self) -> Recycled {
        Recycled { batch: self.batch, chunks: self.chunks }
    }
}

impl Decoding {
    /// Memory for a chunk.
    fn spare(&self) -> Chunk {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps that of a batch that is done with.
    fn done(&self, held: Held) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_SPARE.saturating_sub(spare.len());
        spare.extend(held.chunks.into_iter().take(room));
    }
}

impl Default for Chunk {
    fn default() -> Self {
        Self {
            out: Output::default(),
            base: 0,
            by_shard: Vec::new(),
            order: Vec::new(),
            bounds: [0; SHARDS + 1],
            counts: Vec::new(),
            left_out: 0,
            first: Nanos::MAX,
            last: Nanos::MIN,
            assembled_at: Vec::new(),
        }
    }
}

impl Chunk {
    /// Decodes packets of a batch, of which this is the `n`th chunk, into what memory there is.
    fn decoded(self, batch: &Batch, n: usize, packets: &[PacketRef], links: &Links, filter: Option<&Filter>) -> Self {
        let Self { mut out, by_shard, order, mut counts, mut assembled_at, .. } = self;
        out.clear();
        out.packets.reserve(packets.len());
        counts.clear();
        counts.resize(links.interfaces, (0, 0));
        assembled_at.clear();
        let mut chunk = Self { out, base: n * CHUNK, by_shard, order, counts, assembled_at, ..Self::default() };
        for (index, p) in packets.iter().enumerate() {
            let Some((interface, link_type)) = links.get(p.interface) else { continue };
            chunk.first = chunk.first.min(p.ts);
            chunk.last = chunk.last.max(p.ts);
            if filter.is_some_and(|f| !f.has(p.ts)) {
                chunk.left_out += 1;
                continue;
            }
            let before = Before::of(&chunk.out);
            let frame = Frame {
                bytes: batch.data(p),
                wire_len: p.wire_len,
                ts: p.ts,
                interface,
                link_type,
                index: index as u32,
                packets: 1,
            };
            decode(&frame, &mut chunk.out);
            if let Some(filter) = filter
                && filter.sift(&frame, p.direction, &mut chunk.out, before) != Truth::Yes
            {
                chunk.left_out += 1;
                continue;
            }
            chunk.count(interface, p.wire_len);
        }
        chunk.sort();
        chunk
    }

    #[inline]
    fn count(&mut self, interface: u32, wire_len: u32) {
        if let Some((packets, bytes)) = self.counts.get_mut(interface as usize) {
            *packets += 1;
            *bytes += u64::from(wire_len);
        }
    }

    /// Decodes a datagram put together from fragments, at its place.
    fn assembled(&mut self, whole: Whole, at: Place, filter: Option<&Filter>, waiting: &mut VecDeque<(Fragment, u32)>) {
        let (from, before) = (self.out.packets.len(), Before::of(&self.out));
        let frame = whole.frame(at.ts, at.interface, at.frame);
        decode(&frame, &mut self.out);
        let passes = filter.is_none_or(|f| f.sift(&frame, at.direction, &mut self.out, before) == Truth::Yes);
        let assembled = self.out.assembled.len() as u32 | ASSEMBLED;
        waiting.extend(self.out.fragments.drain(..).map(|mut f| {
            f.frame = assembled;
            (f, at.frame)
        }));
        for d in self.out.packets.iter_mut().skip(from) {
            d.frame = assembled;
        }
        if passes {
            self.assembled_at.push((from, at.frame));
        }
        self.out.assembled.push(whole.bytes);
    }

    /// Sorts by shard, each shard's packets in the order of their frames.
    fn sort(&mut self) {
        let mut counts = [0u32; SHARDS + 1];
        for d in &self.out.packets {
            counts[shard_of(d.hash) + 1] += 1;
        }
        for s in 0..SHARDS {
            counts[s + 1] += counts[s];
        }
        self.bounds = counts;
        self.in_order();
        self.by_shard.clear();
        self.by_shard.resize(self.order.len(), 0);
        let mut next = counts;
        for &place in &self.order {
            let Some(d) = self.out.packets.get(place as usize) else { continue };
            let slot = &mut next[shard_of(d.hash)];
            if let Some(to) = self.by_shard.get_mut(*slot as usize) {
                *to = place;
            }
            *slot += 1;
        }
    }

    /// Places of the packets in the order of their frames: assembled ones stand at the end and belong in between.
    fn in_order(&mut self) {
        self.order.clear();
        self.order.extend(0..self.out.packets.len() as u32);
        if self.assembled_at.is_empty() {
            return;
        }
        let (assembled_at, packets) = (&self.assembled_at, &self.out.packets);
        let frame_of = |place: u32| {
            let behind = assembled_at.partition_point(|(from, _)| *from <= place as usize);
            match behind.checked_sub(1).and_then(|n| assembled_at.get(n)) {
                Some((_, frame)) => *frame,
                None => packets.get(place as usize).map_or(0, |d| d.frame),
            }
        };
        self.order.sort_by_key(|&place| frame_of(place));
    }

    #[inline]
    fn shard(&self, s: usize) -> &[u32] {
        let range = self.bounds.get(s).zip(self.bounds.get(s + 1)).map(|(a, b)| *a as usize..*b as usize);
        range.and_then(|r| self.by_shard.get(r)).unwrap_or(&[])
    }
}
