//! Names for the addresses in stack samples, found while the sampled processes still live, so that the laptop needs
//! nothing from the node.

pub mod elf;
pub mod kallsyms;
pub mod maps;
pub mod perf_map;
pub mod resolver;
pub mod sample;
pub mod unwind;

use crate::facts::clocks;
use crate::facts::gather::Found;
use formats::block::kind;
use resolver::Resolver;
use sample::Raw;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// What may wait: requests, and bytes of samples, most of which are pieces of stacks. A sample that has no room is written
/// as the kernel walked it; its addresses show again in later ones.
const REQUESTS: usize = 4096;
const WAITING_BYTES: usize = 8 << 20;
/// Lines that make a block.
const BATCH: usize = 2000;
/// Samples that go back at once.
const SAMPLES: usize = 256;

/// What the main loop hands over.
#[derive(Debug)]
pub enum Request {
    /// A stack sample.
    Sample {
        /// CPU of the ring it was in.
        cpu: u32,
        /// The record.
        record: Vec<u8>,
    },
    /// A place in the kernel, such as where a packet was dropped.
    Kernel(u64),
    /// A process executed a program.
    Executed(u32),
    /// A process ended.
    Ended(u32),
}

/// The main loop's end of the symbol thread.
#[derive(Debug)]
pub struct Symbolizer {
    requests: SyncSender<Request>,
    /// Bytes of samples that wait.
    waiting: Arc<AtomicUsize>,
}

impl Symbolizer {
    /// Starts the thread; its results come through the returned channel.
    pub fn start() -> io::Result<(Self, Receiver<Found>)> {
        let (requests, wanted) = sync_channel(REQUESTS);
        let (found, results) = sync_channel(64);
        let waiting = Arc::new(AtomicUsize::new(0));
        let taken = Arc::clone(&waiting);
        std::thread::Builder::new().name("record-symbols".into()).spawn(move || run(&wanted, &taken, &found))?;
        Ok((Self { requests, waiting }, results))
    }

    /// Hands over a stack sample, which comes back as [`Found::Samples`]. Returns false if the thread is too far behind.
    #[must_use]
    pub fn sample(&self, cpu: u32, record: &[u8]) -> bool {
        if self.waiting.load(Ordering::Relaxed) + record.len() > WAITING_BYTES {
            return false;
        }
        // Counted before the thread can take it.
        self.waiting.fetch_add(record.len(), Ordering::Relaxed);
        let sent = self.requests.try_send(Request::Sample { cpu, record: record.to_vec() }).is_ok();
        if !sent {
            self.waiting.fetch_sub(record.len(), Ordering::Relaxed);
        }
        sent
    }

    /// Hands something over. Returns false if the thread is too far behind to take it.
    pub fn ask(&self, request: Request) -> bool {
        !matches!(self.requests.try_send(request), Err(TrySendError::Full(_)))
    }
}

fn run(wanted: &Receiver<Request>, waiting: &AtomicUsize, found: &SyncSender<Found>) {
    let mut resolver = Resolver::default();
    let mut samples = Vec::new();
    let mut flushed = clocks::monotonic();
    loop {
        let request = wanted.recv_timeout(Duration::from_millis(200));
        let (idle, closed) = (request.is_err(), matches!(request, Err(RecvTimeoutError::Disconnected)));
        match request {
            Ok(Request::Sample { cpu, record }) => {
                waiting.fetch_sub(record.len(), Ordering::Relaxed);
                if let Some(mut raw) = Raw::read(&record) {
                    resolver.unwind(&mut raw);
                    resolver.sample(raw.sample.hdr.pid, &raw.kernel, &raw.user);
                    samples.push((cpu, raw.record()));
                }
            }
            Ok(Request::Kernel(address)) => resolver.kernel_address(address, false),
            Ok(Request::Executed(pid)) => resolver.executed(pid),
            Ok(Request::Ended(pid)) => resolver.ended(pid),
            Err(_) => {}
        }
        let now = clocks::monotonic();
        let due = resolver.waiting() >= BATCH || samples.len() >= SAMPLES || now - flushed > 200_000_000 || idle;
        if due && (resolver.waiting() > 0 || !samples.is_empty()) {
            flushed = now;
            if !samples.is_empty() && found.send(Found::Samples(std::mem::take(&mut samples))).is_err() {
                return;
            }
            let (mappings, symbols) = resolver.take();
            for block in [Found::lines(kind::MAPPINGS, now, &mappings), Found::lines(kind::SYMBOLS, now, &symbols)] {
                if !matches!(block, Found::Lines { count: 0, .. }) && found.send(block).is_err() {
                    return;
                }
            }
        }
        if closed {
            return;
        }
    }
}
