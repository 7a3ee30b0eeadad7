//! Event records and facts of a bundle's blocks: each to whom it concerns.

use super::Engine;
use super::batch::lock;
use super::counters::Counters;
use crate::filter::Filter;
use crate::host::Host;
use crate::model::{Health, Nanos};
use crate::order::shard_of;
use crate::profile::Stacks;
use crate::socket::{Listening, SocketEngine, SocketEvents, SocketOptions, shard_key};
use formats::block;
use formats::event::{Records, kind};
use formats::facts::{CounterReading, Loss, RecorderCost};
use formats::manifest::Manifest;
use formats::read::{Batch, BlockRef};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one node said beside flows and requests: process ids, network namespaces and kernel functions mean something there only.
#[derive(Debug)]
pub(crate) struct OfNode {
    pub(crate) host: Host,
    pub(crate) stacks: Stacks,
    pub(crate) states: SocketEvents,
    /// Its bundle's.
    pub(crate) manifest: Option<Manifest>,
    /// Times within which socket data was lost.
    pub(crate) lost_data: Vec<(Nanos, Nanos)>,
    /// Times within which packets were lost.
    pub(crate) lost_packets: Vec<(Nanos, Nanos)>,
}

impl OfNode {
    fn new() -> Self {
        Self {
            host: Host::new(),
            stacks: Stacks::new(),
            states: SocketEvents::new(),
            manifest: None,
            lost_data: Vec::new(),
            lost_packets: Vec::new(),
        }
    }
}

/// What is known beside flows and requests.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// By node.
    pub(crate) nodes: Vec<OfNode>,
    /// The node of the present input.
    at: usize,
    /// (kind, cpu, cause) -> (first, last, how many).
    losses: BTreeMap<(String, u32, String), (Nanos, Nanos, u64)>,
    bad_lines: u64,
    /// Of the present input.
    pub(super) counters: Counters,
}

/// A socket data record in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordRef {
    pub(crate) ts: Nanos,
    pub(crate) shard: u32,
    pub(crate) block: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

impl RecordRef {
    /// The record.
    pub(super) fn bytes<'b>(&self, batch: &'b Batch) -> Option<&'b [u8]> {
        let block = batch.blocks.get(self.block as usize)?;
        let range = self.offset as usize..(self.offset as usize).saturating_add(self.len as usize);
        batch.payload(block).get(range)
    }
}

/// UTC of a record's monotonic time.
pub(super) fn utc(ts: u64, offset: i64) -> Nanos {
    i64::try_from(ts).unwrap_or(i64::MAX).saturating_add(offset)
}

impl Events {
    /// What comes next is of this node.
    pub(crate) fn turn_to(&mut self, node: u32, manifest: Option<&Manifest>) {
        self.at = node as usize;
        while self.nodes.len() <= self.at {
            self.nodes.push(OfNode::new());
        }
        if let Some(of) = self.nodes.get_mut(self.at)
            && of.manifest.is_none()
        {
            of.manifest = manifest.cloned();
        }
    }

    /// Facts and events that need no shard.
    fn take(&mut self, batch: &Batch, offset: i64, filter: Option<&Filter>) -> BTreeMap<u16, u64> {
        let Some(OfNode { host, stacks, states, .. }) = self.nodes.get_mut(self.at) else { return BTreeMap::new() };
        host.set_offset(offset);
        let of = |kinds: &'static [u16]| batch.blocks.iter().filter(move |b| kinds.contains(&b.header.kind));
        // The processes that there were, whenever they came; samples of the stretch of time alone.
        let in_time = |ts: u64| filter.is_none_or(|f| f.has(utc(ts, offset)));
        let each = |blocks: &mut dyn Iterator<Item = &BlockRef>, take: &mut dyn FnMut(&[u8])| {
            let mut counts = BTreeMap::<u16, u64>::new();
            for b in blocks {
                for (hdr, record) in Records::new(batch.payload(b)) {
                    if hdr.kind == kind::STACK_SAMPLE && !in_time(hdr.ts) {
                        continue;
                    }
                    *counts.entry(hdr.kind).or_default() += 1;
                    take(record);
                }
            }
            counts
        };
        let ((lives, samples), changes) = rayon::join(
            || {
                rayon::join(
                    || {
                        let life = &[kind::PROCESS_FORK, kind::PROCESS_EXEC, kind::PROCESS_EXIT];
                        each(&mut of(life), &mut |r| host.record(r))
                    },
                    || each(&mut of(&[kind::STACK_SAMPLE]), &mut |r| stacks.record(r)),
                )
            },
            || each(&mut of(&[kind::SOCKET_STATE]), &mut |r| states.record(r, offset)),
        );
        let mut counts = lives;
        counts.extend(samples);
        counts.extend(changes);
        for b in &batch.blocks {
            match b.header.kind {
                block::kind::LOSSES => batch.json(b).for_each(|loss| self.lost(&loss, offset, filter)),
                block::kind::COUNTERS => batch.json::<CounterReading>(b).for_each(|r| self.counters.reading(r)),
                k if k >= 0x100 => {
                    if let Some(of) = self.nodes.get_mut(self.at) {
                        self.bad_lines += of.host.block(k, batch.payload(b)) as u64;
                    }
                }
                _ => {}
            }
        }
        counts
    }

    fn lost(&mut self, loss: &Loss, offset: i64, filter: Option<&Filter>) {
        let range = (utc(loss.first_ns, offset), utc(loss.last_ns, offset));
        if let Some(of) = self.nodes.get_mut(self.at) {
            if loss.kind == kind::NAMES[usize::from(kind::SOCKET_DATA)] {
                of.lost_data.push(range);
            }
            if loss.kind == kind::NAMES[usize::from(kind::PACKET)] {
                of.lost_packets.push(range);
                self.counters.lost = self.counters.lost.saturating_add(loss.lost);
            }
        }
        if filter.is_some_and(|f| !f.overlaps(range.0, range.1)) {
            return;
        }
        let sum = self.losses.entry((loss.kind.clone(), loss.cpu, loss.cause.clone())).or_insert((range.0, range.1, 0));
        *sum = (sum.0.min(range.0), sum.1.max(range.1), sum.2.saturating_add(loss.lost));
    }

    /// Losses as rows.
    pub(crate) fn health(&mut self, out: &mut Vec<Health>) {
        for ((kind, cpu, cause), (first, last, lost)) in std::mem::take(&mut self.losses) {
            let cpu = (cpu != block::NO_CPU).then_some(cpu);
            out.push(Health { kind, cpu, first: Some(first), last: Some(last), lost, cause });
        }
        if self.bad_lines > 0 {
            let cause = "lines of facts (JSON) that could not be read".into();
            out.push(Health { kind: "fact".into(), lost: self.bad_lines, cause, ..Health::default() });
        }
        let sum = |of: fn(&OfNode) -> u64| self.nodes.iter().map(of).sum::<u64>();
        for (what, lost) in [("fact", sum(|n| n.host.dropped())), ("socket_state", sum(|n| n.states.dropped()))] {
            if lost > 0 {
                let cause = "more than the analyzer keeps".into();
                out.push(Health { kind: what.into(), lost, cause, ..Health::default() });
            }
        }
    }
}

impl Engine {
    /// Takes a batch's blocks; yields the socket data records, which go to the shards.
    pub(super) fn blocks(&mut self, batch: &Batch, offset: i64) -> Vec<RecordRef> {
        if batch.blocks.is_empty() {
            return Vec::new();
        }
        self.written(batch);
        for (kind, n) in self.events.take(batch, offset, self.filter.as_deref()) {
            *self.out.events.entry(kind).or_default() += n;
        }
        for b in batch.blocks.iter().filter(|b| b.header.kind == block::kind::COST) {
            if let Ok(cost) = serde_json::from_slice::<RecorderCost>(batch.payload(b)) {
                self.out.cost = Some(cost);
            }
        }
        let (filter, left_out) = (self.filter.as_deref(), &AtomicU64::new(0));
        let records: Vec<RecordRef> = batch
            .blocks
            .par_iter()
            .enumerate()
            .filter(|(_, b)| b.header.kind == kind::SOCKET_DATA)
            .flat_map_iter(|(n, b)| {
                let mut at = 0u32;
                Records::new(batch.payload(b)).filter_map(move |(hdr, record)| {
                    let offset_in_block = at;
                    at = at.saturating_add(hdr.len);
                    let ts = utc(hdr.ts, offset);
                    if filter.is_some_and(|f| !f.record(record, ts)) {
                        left_out.fetch_add(1, Ordering::Relaxed);
                        return None;
                    }
                    Some(RecordRef {
                        ts,
                        shard: shard_of(shard_key(record)) as u32,
                        block: n as u32,
                        offset: offset_in_block,
                        len: hdr.len,
                    })
                })
            })
            .collect();
        if let Some(filtered) = &mut self.out.filtered {
            filtered.records += left_out.load(Ordering::Relaxed);
        }
        if !records.is_empty() {
            *self.out.events.entry(kind::SOCKET_DATA).or_default() += records.len() as u64;
            self.listen();
        }
        for r in &records {
            self.clock = self.clock.max(r.ts);
            self.out.start = self.out.start.min(r.ts);
            self.out.end = self.out.end.max(r.ts);
        }
        records
    }

    /// Gives every shard a socket engine, with the first records of an input: facts of the node have come before them.
    fn listen(&mut self) {
        let Some(of) = self.events.nodes.get(self.events.at) else { return };
        let listening = Arc::new(Listening::new(of.host.sockets().listening()));
        for shard in &self.shards {
            let mut shard = lock(shard);
            if shard.sockets.is_none() {
                let options = SocketOptions { parse: self.settings.parse_options, listening: Arc::clone(&listening) };
                shard.sockets = Some(SocketEngine::new(options, Arc::clone(&self.spill)));
            }
        }
    }

    /// The end of an input: another bundle's sockets are others.
    pub(super) fn end_sockets(&mut self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            if let Some(sockets) = shard.sockets.take() {
                shard.ended.push((self.events.at as u32, sockets));
            }
        }
    }
}
