//! The thread that reads facts, so that recording never waits for /proc.

use super::networks::Namespace;
use super::processes::{self, Processes};
use super::{clocks, interfaces, networks, sockets};
use formats::block::kind;
use formats::facts::Interface;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Requests that may wait; more are dropped (exec records hold the essentials anyway).
const REQUESTS: usize = 8192;
/// Found lines that may wait for the main loop.
const FOUND: usize = 64;
/// A forked process that has not executed anything after this time is looked at as it is, ns.
const FORK_DELAY: u64 = 50_000_000;
/// Processes read per second at most, so that a build does not turn the recorder into load.
const READS_PER_SECOND: u32 = 1000;
/// Named interfaces are looked for this often, ns.
const LOOK_EVERY: u64 = 200_000_000;
/// Lines of one block.
const BATCH: usize = 500;

/// What the main loop asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A new process; it may execute a program soon.
    Forked(u32),
    /// A process executed a program.
    Executed(u32),
    /// A process ended.
    Ended(u32),
    /// A packet of an interface that is not known yet.
    Interface {
        /// Network namespace.
        netns: u32,
        /// Index in it.
        ifindex: u32,
    },
}

/// What a thread found out for the bundle.
#[derive(Debug)]
pub enum Found {
    /// JSON lines of one kind.
    Lines {
        /// One of [`formats::block::kind`].
        kind: u16,
        /// How many.
        count: u32,
        /// When, monotonic ns.
        at: u64,
        /// The lines.
        bytes: Vec<u8>,
    },
    /// The answer to [`Request::Interface`].
    Interface {
        /// Network namespace.
        netns: u32,
        /// Index in it.
        ifindex: u32,
        /// `None` if there is no such interface or its namespace cannot be found.
        interface: Option<Box<Interface>>,
    },
    /// Stack samples that came back from the thread that walks stacks: CPU and record.
    Samples(Vec<(u32, Vec<u8>)>),
}

impl Found {
    /// JSON lines of one kind.
    pub fn lines<T: Serialize>(kind: u16, at: u64, lines: &[T]) -> Self {
        let mut bytes = Vec::new();
        let mut count = 0;
        for line in lines {
            let before = bytes.len();
            match serde_json::to_writer(&mut bytes, line) {
                Ok(()) => {
                    bytes.push(b'\n');
                    count += 1;
                }
                Err(_) => bytes.truncate(before),
            }
        }
        Self::Lines { kind, count, at, bytes }
    }
}

/// The main loop's end of the thread.
#[derive(Debug)]
pub struct Gatherer {
    requests: SyncSender<Request>,
    masked: Arc<AtomicU64>,
}

impl Gatherer {
    /// Starts the thread. It first writes down what there is: processes, then networks and sockets.
    /// Later interfaces that are named as in `names` are found by themselves: their packets are not recorded before.
    pub fn start(namespaces: Vec<Namespace>, names: &[String]) -> io::Result<(Self, Receiver<Found>)> {
        let (requests, wanted) = sync_channel(REQUESTS);
        let (found, results) = sync_channel(FOUND);
        let masked = Arc::new(AtomicU64::new(0));
        let mut worker = Worker::new(wanted, found, Arc::clone(&masked));
        worker.names = names.to_vec();
        std::thread::Builder::new().name("record-facts".into()).spawn(move || worker.run(&namespaces))?;
        Ok((Self { requests, masked }, results))
    }

    /// Words of command lines that were masked so far.
    #[must_use]
    pub fn masked(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.masked)
    }

    /// Asks for something. Returns false if the thread is too far behind to take it.
    pub fn ask(&self, request: Request) -> bool {
        !matches!(self.requests.try_send(request), Err(TrySendError::Full(_)))
    }
}

/// The main loop no longer listens.
struct Closed;

struct Worker {
    wanted: Receiver<Request>,
    found: SyncSender<Found>,
    processes: Processes,
    /// Forked processes and when to look at them.
    forked: BTreeMap<(u64, u32), ()>,
    due_of: HashMap<u32, u64>,
    /// Reads left in this second, and when it began.
    budget: (u32, u64),
    pending: Vec<formats::facts::Process>,
    masked: Arc<AtomicU64>,
    /// Names of interfaces to look out for.
    names: Vec<String>,
    /// Those that were found, and when it was looked for them.
    named: HashSet<(u32, u32)>,
    looked_at: u64,
}

impl Worker {
    fn new(wanted: Receiver<Request>, found: SyncSender<Found>, masked: Arc<AtomicU64>) -> Self {
        Self {
            wanted,
            found,
            processes: Processes::default(),
            forked: BTreeMap::new(),
            due_of: HashMap::new(),
            budget: (READS_PER_SECOND, 0),
            pending: Vec::new(),
            masked,
            names: Vec::new(),
            named: HashSet::new(),
            looked_at: 0,
        }
    }

    fn run(mut self, namespaces: &[Namespace]) {
        if self.everything(namespaces).is_err() {
            return;
        }
        loop {
            let answered = match self.wanted.recv_timeout(Duration::from_millis(50)) {
                Ok(request) => self.answer(request).and_then(|()| self.answer_waiting()),
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => {
                    _ = self.flush();
                    return;
                }
            };
            if answered.is_err() || self.look_at_forked().is_err() || self.look_for_named().is_err() {
                return;
            }
        }
    }

    /// The tables at the start.
    fn everything(&mut self, namespaces: &[Namespace]) -> Result<(), Closed> {
        let at = clocks::monotonic();
        let mut table = Vec::new();
        for pid in processes::pids() {
            if pid == std::process::id() {
                continue;
            }
            table.extend(self.process(pid, 0));
            if table.len() >= BATCH {
                self.send(Found::lines(kind::PROCESSES, at, &table))?;
                table.clear();
            }
            self.answer_waiting()?;
        }
        self.send(Found::lines(kind::PROCESSES, at, &table))?;
        let networks: Vec<_> = namespaces.iter().map(networks::read).collect();
        self.send(Found::lines(kind::NETWORKS, clocks::monotonic(), &networks))?;
        let mut owners = sockets::Owners::new();
        for pid in processes::pids() {
            sockets::add_owner(&mut owners, pid);
            self.answer_waiting()?;
        }
        for namespace in namespaces {
            let at = clocks::monotonic();
            for batch in sockets::read(namespace, &owners).chunks(BATCH) {
                self.send(Found::lines(kind::SOCKETS, at, batch))?;
            }
            self.answer_waiting()?;
        }
        Ok(())
    }

    fn send(&self, found: Found) -> Result<(), Closed> {
        if matches!(found, Found::Lines { count: 0, .. }) {
            return Ok(());
        }
        self.found.send(found).map_err(|_| Closed)
    }

    /// Answers what has come in meanwhile, a bounded number.
    fn answer_waiting(&mut self) -> Result<(), Closed> {
        for _ in 0..REQUESTS {
            match self.wanted.try_recv() {
                Ok(request) => self.answer(request)?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn answer(&mut self, request: Request) -> Result<(), Closed> {
        match request {
            Request::Forked(pid) => {
                let due = clocks::monotonic() + FORK_DELAY;
                if let Some(old) = self.due_of.insert(pid, due) {
                    self.forked.remove(&(old, pid));
                }
                self.forked.insert((due, pid), ());
            }
            Request::Executed(pid) => {
                self.forget(pid);
                self.look_at(pid)?;
            }
            Request::Ended(pid) => self.forget(pid),
            Request::Interface { netns, ifindex } => {
                let namespace = networks::all().into_iter().find(|n| n.inode == netns);
                let interface = namespace
                    .and_then(|n| interfaces::read(&n).into_iter().find(|(i, _)| i.ifindex == ifindex))
                    .map(|(i, _)| Box::new(i));
                self.send(Found::Interface { netns, ifindex, interface })?;
            }
        }
        Ok(())
    }

    fn forget(&mut self, pid: u32) {
        if let Some(due) = self.due_of.remove(&pid) {
            self.forked.remove(&(due, pid));
        }
    }

    fn look_at_forked(&mut self) -> Result<(), Closed> {
        let now = clocks::monotonic();
        while let Some((&(due, pid), ())) = self.forked.first_key_value()
            && due <= now
        {
            self.forget(pid);
            self.look_at(pid)?;
        }
        Ok(())
    }

    /// Interfaces of the wanted names in all namespaces.
    fn look_for_named(&mut self) -> Result<(), Closed> {
        let now = clocks::monotonic();
        if self.names.is_empty() || now.saturating_sub(self.looked_at) < LOOK_EVERY {
            return Ok(());
        }
        self.looked_at = now;
        for namespace in networks::all() {
            for (interface, _) in interfaces::read(&namespace) {
                let (netns, ifindex) = (interface.netns, interface.ifindex);
                if self.names.contains(&interface.name) && self.named.insert((netns, ifindex)) {
                    self.send(Found::Interface { netns, ifindex, interface: Some(Box::new(interface)) })?;
                }
            }
        }
        Ok(())
    }

    fn look_at(&mut self, pid: u32) -> Result<(), Closed> {
        let now = clocks::monotonic();
        if now.saturating_sub(self.budget.1) > 1_000_000_000 {
            self.budget = (READS_PER_SECOND, now);
        }
        if self.budget.0 == 0 {
            return Ok(());
        }
        self.budget.0 -= 1;
        let process = self.process(pid, now);
        self.pending.extend(process);
        if self.pending.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn process(&mut self, pid: u32, seen_ns: u64) -> Option<formats::facts::Process> {
        let process = self.processes.read(pid, seen_ns);
        self.masked.store(self.processes.masked(), Ordering::Relaxed);
        process
    }

    fn flush(&mut self) -> Result<(), Closed> {
        let pending = std::mem::take(&mut self.pending);
        self.send(Found::lines(kind::PROCESSES, clocks::monotonic(), &pending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_then_answers() {
        let own = networks::own().unwrap();
        let netns = own.inode;
        let (gatherer, results) = Gatherer::start(vec![own], &[]).unwrap();
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        assert!(gatherer.ask(Request::Executed(child.id())));
        assert!(gatherer.ask(Request::Interface { netns, ifindex: 1 }));
        assert!(gatherer.ask(Request::Interface { netns: 1, ifindex: 1 }));
        drop(gatherer);
        let mut kinds = BTreeMap::new();
        let mut interfaces = Vec::new();
        let mut processes = String::new();
        for found in results {
            match found {
                Found::Lines { kind: k, count, bytes, .. } => {
                    assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), count as usize);
                    *kinds.entry(k).or_insert(0) += count;
                    if k == kind::PROCESSES {
                        processes += std::str::from_utf8(&bytes).unwrap();
                    }
                }
                Found::Interface { interface, .. } => interfaces.push(interface.map(|i| i.name)),
                Found::Samples(_) => panic!("nobody sent stack samples"),
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(interfaces, [Some("lo".to_owned()), None]);
        assert!(kinds[&kind::PROCESSES] > 1 && kinds[&kind::NETWORKS] == 1 && kinds[&kind::SOCKETS] > 0);
        assert!(processes.contains(&format!("{{\"pid\":{},", child.id())), "{processes}");
    }
}
