//! The node: its processes and their names through time, its sockets and interfaces, as facts and
//! process-life events tell them.
//!
//! A process id means different processes at different times, and a process changes its name when it executes
//! another program, so every question about a process carries a time ([`Host::process_at`]).

mod life;
mod secrets;
mod sockets;
#[cfg(test)]
mod tests;

pub use sockets::Sockets;

use crate::model::{Nanos, Process, ProcessRef};
use ahash::AHashMap;
use formats::block;
use formats::event::{ProcessExec, ProcessExit, ProcessFork, Record, header, kind, tail};
use formats::facts;
use life::{Life, Moment, Timeline};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Processes kept at most; events of further ones are counted in [`Host::dropped`].
const MAX_PROCESSES: usize = 1 << 20;
/// Thread names kept at most.
const MAX_THREADS: usize = 1 << 20;
/// Facts of one kind kept at most (mappings, symbols, sockets, interfaces).
const MAX_FACTS: usize = 1 << 22;

/// What is known of the node.
#[derive(Debug, Default)]
pub struct Host {
    offset_ns: i64,
    timelines: AHashMap<u32, Timeline>,
    threads: AHashMap<(u32, u32), Arc<str>>,
    sockets: Sockets,
    interfaces: Vec<facts::Interface>,
    networks: Vec<facts::NetNamespace>,
    mappings: Vec<facts::Mapping>,
    symbols: Vec<facts::Symbol>,
    dropped: u64,
}

/// Bytes up to the first zero, as text.
pub(crate) fn zero_terminated(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}

fn lines<T: DeserializeOwned>(payload: &[u8], mut each: impl FnMut(T)) -> usize {
    let mut bad = 0;
    for line in payload.split(|&b| b == b'\n') {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(fact) => each(fact),
            Err(_) => bad += 1,
        }
    }
    bad
}

impl Host {
    /// Nothing known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what to add to a monotonic time for UTC: the manifest's `realtime_offset_ns`.
    pub fn set_offset(&mut self, realtime_offset_ns: i64) {
        self.offset_ns = realtime_offset_ns;
    }

    /// UTC of a monotonic time.
    #[must_use]
    pub fn utc(&self, monotonic_ns: u64) -> Nanos {
        i64::try_from(monotonic_ns).unwrap_or(i64::MAX).saturating_add(self.offset_ns)
    }

    /// Takes a block of facts; blocks of other kinds are passed over. Returns the number of lines that could not be
    /// read.
    pub fn block(&mut self, kind: u16, payload: &[u8]) -> usize {
        match kind {
            block::kind::PROCESSES => {
                let mut found: Vec<facts::Process> = Vec::new();
                let bad = lines(payload, |p| found.push(p));
                found.into_iter().for_each(|p| self.process_fact(p));
                bad
            }
            block::kind::SOCKETS => lines(payload, |s| self.sockets.add(s, MAX_FACTS)),
            block::kind::INTERFACES => keep(payload, &mut self.interfaces),
            block::kind::NETWORKS => keep(payload, &mut self.networks),
            block::kind::MAPPINGS => keep(payload, &mut self.mappings),
            block::kind::SYMBOLS => keep(payload, &mut self.symbols),
            _ => 0,
        }
    }

    /// Takes a process-life record (fork, exec, exit); others are passed over. They may come in any order.
    pub fn record(&mut self, bytes: &[u8]) {
        let Some(hdr) = header(bytes) else { return };
        match hdr.kind {
            kind::PROCESS_FORK => {
                let Some(fork) = ProcessFork::read(bytes) else { return };
                let name: Arc<str> = zero_terminated(&fork.comm).into();
                if fork.child_pid != hdr.pid {
                    self.moment(fork.child_pid, hdr.ts, Moment::Fork { parent: hdr.pid, name: name.clone() });
                }
                self.name_thread(fork.child_pid, fork.child_tid, name, false);
            }
            kind::PROCESS_EXEC => {
                let Some(exec) = ProcessExec::read(bytes) else { return };
                let name: Arc<str> = zero_terminated(&exec.comm).into();
                let rest = tail(bytes);
                let (path_len, args_len) = (usize::from(exec.filename_len), usize::from(exec.args_len));
                let path = zero_terminated(rest.get(..path_len).unwrap_or(rest));
                let args = rest.get(path_len..).unwrap_or(&[]);
                let args = args.get(..args_len).unwrap_or(args);
                let arguments: Vec<String> = args
                    .split(|&b| b == 0)
                    .filter(|a| !a.is_empty())
                    .map(|a| String::from_utf8_lossy(a).into_owned())
                    .collect();
                self.name_thread(hdr.pid, hdr.tid, name.clone(), true);
                let exec = life::Exec { name, exe: path, arguments, parent: exec.parent_pid, uid: exec.uid };
                self.moment(hdr.pid, hdr.ts, Moment::Exec(Box::new(exec)));
            }
            kind::PROCESS_EXIT => {
                let Some(exit) = ProcessExit::read(bytes) else { return };
                let name: Arc<str> = zero_terminated(&exit.comm).into();
                self.name_thread(hdr.pid, hdr.tid, name.clone(), true);
                if exit.group_dead != 0 {
                    let main = hdr.pid == hdr.tid;
                    let name = if main { name } else { Arc::default() };
                    self.moment(hdr.pid, hdr.ts, Moment::Exit { code: exit.exit_code, name });
                }
            }
            _ => {}
        }
    }

    fn process_fact(&mut self, fact: facts::Process) {
        for (&tid, name) in &fact.threads {
            self.name_thread(fact.pid, tid, name.as_str().into(), true);
        }
        self.moment(fact.pid, fact.seen_ns, Moment::Fact(Box::new(fact)));
    }

    fn moment(&mut self, pid: u32, ts: u64, moment: Moment) {
        if self.timelines.len() >= MAX_PROCESSES && !self.timelines.contains_key(&pid) {
            self.dropped += 1;
            return;
        }
        if !self.timelines.entry(pid).or_default().insert(ts, moment) {
            self.dropped += 1;
        }
    }

    fn name_thread(&mut self, pid: u32, tid: u32, name: Arc<str>, newer: bool) {
        if name.is_empty() || (self.threads.len() >= MAX_THREADS && !self.threads.contains_key(&(pid, tid))) {
            return;
        }
        if newer {
            self.threads.insert((pid, tid), name);
        } else {
            self.threads.entry((pid, tid)).or_insert(name);
        }
    }

    fn monotonic(&self, ts: Nanos) -> u64 {
        u64::try_from(ts.saturating_sub(self.offset_ns)).unwrap_or(0)
    }

    /// The process that had `pid` at `ts` (UTC), with the name it had then. If none is known to have lived then, the
    /// nearest one before, else the first.
    #[must_use]
    pub fn process_at(&self, pid: u32, ts: Nanos) -> Option<ProcessRef> {
        let timeline = self.timelines.get(&pid)?;
        let at = self.monotonic(ts);
        let life = timeline.life_at(at)?;
        Some(ProcessRef { pid, name: life.name_at(at), container: life.container.clone() })
    }

    /// When the process that had `pid` at `ts` (UTC) ended, if it did.
    #[must_use]
    pub fn ended(&self, pid: u32, ts: Nanos) -> Option<Nanos> {
        let life = self.timelines.get(&pid)?.life_at(self.monotonic(ts))?;
        life.end.map(|end| self.utc(end))
    }

    /// Name of a thread, if it has one of its own; the last that was seen.
    #[must_use]
    pub fn thread_name(&self, pid: u32, tid: u32) -> Option<Arc<str>> {
        self.threads.get(&(pid, tid)).cloned()
    }

    /// All processes, by pid, then start.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let mut pids: Vec<u32> = self.timelines.keys().copied().collect();
        pids.sort_unstable();
        let mut out = Vec::with_capacity(pids.len());
        for pid in pids {
            let Some(timeline) = self.timelines.get(&pid) else { continue };
            out.extend(timeline.lives().iter().map(|life| self.describe(pid, life)));
        }
        out
    }

    fn describe(&self, pid: u32, life: &Life) -> Process {
        Process {
            pid,
            ppid: life.ppid,
            name: life.last_name(),
            command_line: secrets::mask(&life.arguments).join(" "),
            exe: life.exe.clone(),
            build_id: life.build_id.clone(),
            cgroup: life.cgroup.clone(),
            container: life.container.clone(),
            uid: life.uid,
            netns: life.netns,
            start: life.start.map(|t| self.utc(t)),
            end: life.end.map(|t| self.utc(t)),
            exit_code: life.exit_code,
            ..Process::default()
        }
    }

    /// Interfaces of the node, as the facts list them: by their number in the capture (`id`).
    #[must_use]
    pub fn interfaces(&self) -> &[facts::Interface] {
        &self.interfaces
    }

    /// Sockets as they were at the start.
    #[must_use]
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Network namespaces.
    #[must_use]
    pub fn networks(&self) -> &[facts::NetNamespace] {
        &self.networks
    }

    /// Executable mappings of sampled processes.
    #[must_use]
    pub fn mappings(&self) -> &[facts::Mapping] {
        &self.mappings
    }

    /// Resolved addresses.
    #[must_use]
    pub fn symbols(&self) -> &[facts::Symbol] {
        &self.symbols
    }

    /// Process-life events that were not kept because of limits on memory.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn keep<T: DeserializeOwned>(payload: &[u8], into: &mut Vec<T>) -> usize {
    lines(payload, |fact| {
        if into.len() < MAX_FACTS {
            into.push(fact);
        }
    })
}
