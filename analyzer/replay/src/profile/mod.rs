//! Stack samples to flame graphs: samples of equal stacks are added up as they come, names are put to the
//! frames at the end, when all mappings and symbols are known.

mod demangle;
mod served;
mod symbols;
#[cfg(test)]
mod tests;

use crate::host::{Host, zero_terminated};
use crate::model::Stack;
use ahash::AHashMap;
use formats::event::{Record, StackSample, tail};
use std::collections::BTreeMap;
use std::sync::Arc;
use symbols::Resolver;

pub use served::Served;
use served::WorkingOn;

/// Bytes of distinct stacks kept at most. Samples of further stacks are counted without their frames.
const MAX_STACK_BYTES: usize = 256 << 20;
/// What a stack costs beside its addresses.
const STACK_OVERHEAD: usize = 96;
/// Stands for the frames of samples that came when the limit was reached.
const NOT_KEPT: &str = "[stack not kept]";
/// pid, tid, kernel bytes, comm: what stands before the addresses in a key.
const PREFIX: usize = 4 + 4 + 4 + 16;

/// Samples whose moments are kept, to be tied to requests; those beyond belong to none.
const MAX_MOMENTS: usize = 4 << 20;

/// Process, pid, thread, tid, frames, endpoint.
type Row<'r> = (Arc<str>, u32, Arc<str>, u32, String, &'r str);

/// Samples, the time they stand for, and the request they all are of, if it is one.
type Counted = (u64, u64, Option<Option<u64>>);

/// When a stack was sampled.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// [`Sum::number`] of the stack.
    stack: u32,
    ts: u64,
    period: u64,
}

#[derive(Debug, Default)]
struct Sum {
    number: u32,
    first_ts: u64,
    samples: u64,
    value_ns: u64,
}

/// Stack samples, added up.
#[derive(Debug, Default)]
pub struct Stacks {
    /// By (pid, tid, kernel bytes, comm, kernel addresses, user addresses), as bytes.
    sums: AHashMap<Box<[u8]>, Sum>,
    bytes: usize,
    key: Vec<u8>,
    limit: usize,
    moments: Vec<Moment>,
}

impl Stacks {
    /// No samples yet.
    #[must_use]
    pub fn new() -> Self {
        Self { limit: MAX_STACK_BYTES, ..Self::default() }
    }

    /// Takes a stack sample record; others are passed over.
    pub fn record(&mut self, bytes: &[u8]) {
        let Some(sample) = StackSample::read(bytes) else { return };
        let rest = tail(bytes);
        // A kernel that could not walk leaves odd lengths at most; whole addresses are what counts.
        let kernel_len = usize::from(sample.kernel_len).min(rest.len()) & !7;
        let kernel = rest.get(..kernel_len).unwrap_or(&[]);
        let user = rest.get(usize::from(sample.kernel_len)..).unwrap_or(&[]);
        let user = user.get(..usize::from(sample.user_len).min(user.len()) & !7).unwrap_or(&[]);

        self.key.clear();
        self.key.extend_from_slice(&sample.hdr.pid.to_le_bytes());
        self.key.extend_from_slice(&sample.hdr.tid.to_le_bytes());
        self.key.extend_from_slice(&u32::try_from(kernel_len).unwrap_or(0).to_le_bytes());
        self.key.extend_from_slice(&sample.comm);
        self.key.extend_from_slice(kernel);
        self.key.extend_from_slice(user);
        if self.sums.get(self.key.as_slice()).is_none() {
            if self.bytes + self.key.len() > self.limit {
                self.key.truncate(PREFIX);
            }
            if self.sums.get(self.key.as_slice()).is_none() {
                self.bytes += self.key.len() + STACK_OVERHEAD;
                let number = self.sums.len() as u32;
                let first = Sum { number, first_ts: sample.hdr.ts, ..Sum::default() };
                self.sums.insert(self.key.as_slice().into(), first);
            }
        }
        if let Some(sum) = self.sums.get_mut(self.key.as_slice()) {
            sum.first_ts = sum.first_ts.min(sample.hdr.ts);
            sum.samples += 1;
            sum.value_ns = sum.value_ns.saturating_add(sample.period);
            if self.moments.len() < MAX_MOMENTS {
                self.moments.push(Moment { stack: sum.number, ts: sample.hdr.ts, period: sample.period });
            }
        }
    }

    /// Samples per process id.
    #[must_use]
    pub fn samples_by_pid(&self) -> BTreeMap<u32, u64> {
        let mut by_pid = BTreeMap::new();
        for (key, sum) in &self.sums {
            *by_pid.entry(u32_at(key, 0)).or_default() += sum.samples;
        }
        by_pid
    }

    /// Puts names to the frames: one row per process, thread, distinct chain of names and endpoint served, sorted.
    #[must_use]
    pub fn finish(mut self, host: &Host, served: &Served<'_>) -> Vec<Stack> {
        let mut resolver = Resolver::new(host);
        let mut rows: BTreeMap<Row<'_>, Counted> = BTreeMap::new();
        let mut frames: Vec<Arc<str>> = Vec::new();
        self.moments.sort_unstable_by_key(|m| (m.stack, m.ts));
        for (key, sum) in &self.sums {
            let (pid, tid, kernel_len) = (u32_at(key, 0), u32_at(key, 4), u32_at(key, 8) as usize);
            let thread: Arc<str> = zero_terminated(key.get(12..PREFIX).unwrap_or(&[])).into();
            let process = host
                .process_at(pid, host.utc(sum.first_ts))
                .map(|p| p.name)
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| thread.clone());
            let addresses = key.get(PREFIX..).unwrap_or(&[]);
            frames.clear();
            for (i, address) in addresses.chunks_exact(8).enumerate() {
                let address = u64::from_le_bytes(address.try_into().unwrap_or_default());
                let kernel = i * 8 < kernel_len;
                frames.push(if kernel { resolver.kernel(address) } else { resolver.user(pid, address) });
            }
            let mut chain = String::with_capacity(frames.iter().map(|f| f.len() + 1).sum());
            for frame in frames.iter().rev() {
                if !chain.is_empty() {
                    chain.push(';');
                }
                chain.push_str(frame);
            }
            if addresses.is_empty() {
                chain.push_str(NOT_KEPT);
            }
            for (work, samples, value_ns) in self.shares(sum, |ts| served.at(pid, tid, host.utc(ts))) {
                let row = (process.clone(), pid, thread.clone(), tid, chain.clone(), work.endpoint);
                let row = rows.entry(row).or_default();
                row.0 += samples;
                row.1 = row.1.saturating_add(value_ns);
                row.2 = Some(row.2.map_or(work.request, |known| known.filter(|_| known == work.request)));
            }
        }
        rows.into_iter()
            .map(|((process, pid, thread, tid, chain, endpoint), (samples, value_ns, request))| Stack {
                process,
                pid,
                thread,
                tid,
                kind: "on_cpu",
                reason: Arc::default(),
                frames: chain.into(),
                samples,
                value_ns,
                request_id: request.flatten(),
                endpoint: endpoint.into(),
            })
            .collect()
    }

    /// The samples of a stack by what their thread was working on: how many, and the time they stand for.
    fn shares<'r>(&self, sum: &Sum, work_at: impl Fn(u64) -> WorkingOn<'r>) -> Vec<(WorkingOn<'r>, u64, u64)> {
        let from = self.moments.partition_point(|m| m.stack < sum.number);
        let to = self.moments.partition_point(|m| m.stack <= sum.number);
        let mut shares: BTreeMap<WorkingOn<'r>, (u64, u64)> = BTreeMap::new();
        let (mut samples, mut value_ns) = (sum.samples, sum.value_ns);
        for m in self.moments.get(from..to).unwrap_or(&[]) {
            let share = shares.entry(work_at(m.ts)).or_default();
            share.0 += 1;
            share.1 = share.1.saturating_add(m.period);
            samples = samples.saturating_sub(1);
            value_ns = value_ns.saturating_sub(m.period);
        }
        if samples > 0 {
            let share = shares.entry(WorkingOn::default()).or_default();
            share.0 += samples;
            share.1 = share.1.saturating_add(value_ns);
        }
        shares.into_iter().map(|(work, (samples, value_ns))| (work, samples, value_ns)).collect()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}
