//! Names for the addresses in stack samples, found while the sampled processes still live, so that the laptop needs
//! nothing from the node.

pub mod elf;
pub mod kallsyms;
pub mod maps;
pub mod perf_map;
pub mod resolver;

use crate::facts::clocks;
use crate::facts::gather::Found;
use formats::block::kind;
use resolver::Resolver;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Samples that may wait; the addresses of one that does not fit show again in later samples.
const REQUESTS: usize = 4096;
/// Lines that make a block.
const BATCH: usize = 2000;

/// What the main loop hands over.
#[derive(Debug)]
pub enum Request {
    /// The addresses of a stack sample, innermost first.
    Sample {
        /// Process.
        pid: u32,
        /// Kernel part.
        kernel: Vec<u64>,
        /// User part.
        user: Vec<u64>,
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
}

impl Symbolizer {
    /// Starts the thread; its results come through the returned channel.
    pub fn start() -> io::Result<(Self, Receiver<Found>)> {
        let (requests, wanted) = sync_channel(REQUESTS);
        let (found, results) = sync_channel(64);
        std::thread::Builder::new().name("record-symbols".into()).spawn(move || run(&wanted, &found))?;
        Ok((Self { requests }, results))
    }

    /// Hands something over. Returns false if the thread is too far behind to take it.
    pub fn ask(&self, request: Request) -> bool {
        !matches!(self.requests.try_send(request), Err(TrySendError::Full(_)))
    }
}

fn run(wanted: &Receiver<Request>, found: &SyncSender<Found>) {
    let mut resolver = Resolver::default();
    let mut flushed = clocks::monotonic();
    loop {
        let request = wanted.recv_timeout(Duration::from_millis(200));
        let (idle, closed) = (request.is_err(), matches!(request, Err(RecvTimeoutError::Disconnected)));
        match request {
            Ok(Request::Sample { pid, kernel, user }) => resolver.sample(pid, &kernel, &user),
            Ok(Request::Kernel(address)) => resolver.kernel_address(address, false),
            Ok(Request::Executed(pid)) => resolver.executed(pid),
            Ok(Request::Ended(pid)) => resolver.ended(pid),
            Err(_) => {}
        }
        let now = clocks::monotonic();
        let due = resolver.waiting() >= BATCH || now - flushed > 200_000_000 || idle;
        if due && resolver.waiting() > 0 {
            flushed = now;
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
