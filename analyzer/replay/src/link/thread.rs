//! What a thread does next belongs to what it read last.
//!
//! A thread that has read a request works for it until it reads something else or the response has been
//! written: requests that it sends meanwhile are the first one's children, and so is the first request on a connection
//! that it opens meanwhile, even if it is written later. When it reads the response to a child it works for the child's
//! parent again. This is exact for a thread per request and for processes that handle one request at a time; all others are
//! left to [`super::cause`].

use super::candidate::{Candidate, Method};
use super::observe::{Ends, first_seen};
use super::turns::{Answers, Turns, Who, may_cause, passes_on};
use crate::model::{Evidence, Nanos, ObservedAt, Request, Side};
use crate::socket::{Io, NO_REQUEST, SocketLog, What};
use ahash::AHashMap;

/// What a thread works for.
#[derive(Clone, Copy)]
struct Work {
    /// A request that its process answers.
    request: u32,
    /// When it read what made it so.
    since: Nanos,
    /// What it read held answers to requests of several parents.
    unclear: bool,
}

/// A connection that a process opened.
#[derive(Clone, Copy)]
struct Opened {
    work: Work,
    pid: u32,
    tid: u32,
    ts: Nanos,
}

/// What is known of a flow while the log is read.
#[derive(Clone, Copy, Default)]
struct FlowState {
    opened: Option<Opened>,
    /// What its last bytes were written for.
    work: Option<Work>,
    /// The first request has been written.
    used: bool,
}

/// The requests that one process answers.
#[derive(Default)]
struct Answered {
    /// (start, request), by start.
    starts: Vec<(Nanos, u32)>,
    ends: Vec<Nanos>,
}

impl Answered {
    /// How many are in work at a time.
    fn in_flight(&self, ts: Nanos) -> usize {
        let started = self.starts.partition_point(|s| s.0 <= ts);
        started - self.ends.partition_point(|&e| e < ts).min(started)
    }
}

struct Pass<'a> {
    requests: &'a [Request],
    /// When each is over: close together, as they are asked for all the time.
    over: Vec<Nanos>,
    /// The next request of the same flow.
    next: Vec<u32>,
    /// By node and process.
    answered: AHashMap<(u32, u32), Answered>,
    flows: Vec<FlowState>,
    /// By node, process and thread.
    works: AHashMap<(u32, u32, u32), Work>,
    ends: &'a Ends,
    parents: Vec<Option<Work>>,
    written: Vec<bool>,
    answers: Answers,
    turns: Turns,
    /// A request that asks for the same has been sent on.
    passed_on: Vec<bool>,
}

/// Confidence of the rule where the thread (or event loop) has nothing else to do, and where it has.
const ALONE: f32 = 1.0;
const AMONG_OTHERS: f32 = 0.97;
/// The connection was opened for one request, its first bytes were written by a thread that works for another.
const DISPUTED: f32 = 0.6;
const UNCLEAR: f32 = 0.5;
/// A worker that is handed its requests answers what it asked for.
const HANDED: f32 = 0.96;

/// Yields candidates from what threads read and wrote.
pub(super) fn thread(
    requests: &[Request],
    ends: &Ends,
    logs: Vec<SocketLog>,
    candidates: &mut Vec<Candidate>,
) -> Vec<Io> {
    let mut io: Vec<Io> = Vec::with_capacity(logs.iter().map(|l| l.io.len()).sum());
    for log in logs {
        io.extend(log.io);
    }
    // Stable: shards' logs are sorted already, so this is a merge.
    io.sort_by_key(|i| i.ts);
    let flows = io.iter().map(|i| i.flow as usize + 1).max().unwrap_or(0);
    let mut pass = Pass {
        requests,
        over: requests.iter().map(over).collect(),
        next: next_of_flow(requests),
        answered: answered(requests, ends),
        ends,
        flows: vec![FlowState::default(); flows],
        works: AHashMap::new(),
        parents: vec![None; requests.len()],
        written: vec![false; requests.len()],
        answers: Answers::new(requests, ends, &io),
        turns: Turns::default(),
        passed_on: vec![false; requests.len()],
    };
    for one in &io {
        match (one.what, ends.side(one.flow)) {
            (What::Connect, _) => pass.connect(one),
            (What::Read, Some(Side::Server)) => pass.read_request(one),
            (What::Read, Some(Side::Client)) => pass.read_response(one),
            (What::Write, Some(Side::Client)) => pass.write_request(one, candidates),
            _ => {}
        }
    }
    io
}

fn next_of_flow(requests: &[Request]) -> Vec<u32> {
    let mut last: AHashMap<u64, u32> = AHashMap::new();
    let mut next = vec![NO_REQUEST; requests.len()];
    for (i, request) in (0u32..).zip(requests) {
        if let ObservedAt::Process(_) = request.observed_at
            && let Some(before) = last.insert(request.flow_id, i)
            && let Some(slot) = next.get_mut(before as usize)
        {
            *slot = i;
        }
    }
    next
}

/// Last byte of the response; without one, it may be worked at till the end.
fn over(request: &Request) -> Nanos {
    request.response_ts.unwrap_or(Nanos::MAX)
}

fn answered(requests: &[Request], ends: &Ends) -> AHashMap<(u32, u32), Answered> {
    let mut by_pid: AHashMap<(u32, u32), Answered> = AHashMap::new();
    for (i, request) in (0u32..).zip(requests) {
        if request.side == Some(Side::Server)
            && let ObservedAt::Process(pid) = request.observed_at
        {
            let of_pid = by_pid.entry((ends.node(request.flow_id as u32), pid)).or_default();
            of_pid.starts.push((request.request_end_ts.unwrap_or_else(|| first_seen(request)), i));
            of_pid.ends.push(over(request));
        }
    }
    for of_pid in by_pid.values_mut() {
        of_pid.starts.sort_unstable();
        of_pid.ends.sort_unstable();
    }
    by_pid
}

impl Pass<'_> {
    fn request(&self, i: u32) -> Option<&Request> {
        self.requests.get(i as usize)
    }

    /// The process of a call, on its node.
    fn process(&self, io: &Io) -> (u32, u32) {
        (self.ends.node(io.flow), io.pid)
    }

    /// The thread.
    fn who(&self, io: &Io) -> Who {
        (self.ends.node(io.flow), io.pid, io.tid)
    }

    /// What a thread works for at `ts`: what it read last, unless that is answered.
    fn work(&mut self, io: &Io) -> Option<Work> {
        /// Requests that came in one read and are looked at, when the first ones are done.
        const PIPELINED: usize = 64;
        let (who, ts) = (self.who(io), io.ts);
        let mut work = *self.works.get(&who)?;
        for _ in 0..PIPELINED {
            if *self.over.get(work.request as usize)? >= ts {
                self.works.insert(who, work);
                return Some(work);
            }
            // One read may have brought several requests, which are then worked at in turn.
            let next = *self.next.get(work.request as usize)?;
            if self.request(next).is_none_or(|n| first_seen(n) > work.since) {
                break;
            }
            work.request = next;
        }
        self.works.remove(&who);
        None
    }

    fn connect(&mut self, io: &Io) {
        let work = self.work(io);
        if let Some(flow) = self.flows.get_mut(io.flow as usize) {
            flow.opened = work.map(|work| Opened { work, pid: io.pid, tid: io.tid, ts: io.ts });
            flow.work = work;
        }
    }

    /// Whether a request that was read is still in work at `ts`. One that is not answered is given up when the next
    /// one comes on its connection; one-way messages are not waited for.
    fn in_work(requests: &[Request], over: &[Nanos], next: &[u32], r: u32, ts: Nanos) -> bool {
        let Some(request) = requests.get(r as usize).filter(|r| !r.fields.is_async) else { return false };
        let later = || {
            let next = next.get(r as usize).and_then(|&n| requests.get(n as usize));
            next.is_some_and(|n| n.flow_id == request.flow_id && first_seen(n) <= ts)
        };
        over.get(r as usize).is_some_and(|&o| o >= ts && (o != Nanos::MAX || !later()))
    }

    fn read_request(&mut self, io: &Io) {
        if io.request != NO_REQUEST {
            let (who, requests, over, next) = (self.who(io), self.requests, &self.over, &self.next);
            self.turns.read(who, io.request, |r| Self::in_work(requests, over, next, r, io.ts));
        }
        if io.request == NO_REQUEST {
            // Something that is not understood: what the thread does next may be because of it.
            self.works.remove(&self.who(io));
        } else {
            self.works.insert(self.who(io), Work { request: io.request, since: io.ts, unclear: false });
        }
    }

    fn read_response(&mut self, io: &Io) {
        let work = if io.request == NO_REQUEST {
            self.flows.get(io.flow as usize).and_then(|f| f.work)
        } else {
            let first = self.parents.get(io.request as usize).copied().flatten();
            // Answers to several requests in one read: whose turn it is afterwards is not known if their parents differ.
            let next = self.next.get(io.request as usize).copied().unwrap_or(NO_REQUEST);
            let also = self.request(next).is_some_and(|n| n.first_byte_ts == Some(io.ts));
            let other = self.parents.get(next as usize).copied().flatten();
            let unclear = also && other.map(|w| w.request) != first.map(|w| w.request);
            first.map(|w| Work { unclear: w.unclear || unclear, ..w })
        };
        match work {
            Some(work) => self.works.insert(self.who(io), Work { since: io.ts, ..work }),
            None => self.works.remove(&self.who(io)),
        };
    }

    fn write_request(&mut self, io: &Io, candidates: &mut Vec<Candidate>) {
        let works = self.work(io);
        let Some(flow) = self.flows.get(io.flow as usize).copied() else { return };
        let opened = flow
            .opened
            .filter(|o| !flow.used && self.over.get(o.work.request as usize).is_some_and(|&over| over >= io.ts));
        // The thread that opened the connection writes what it opened it for; another one, what it works for.
        let by_opener = opened.filter(|o| (o.pid, o.tid) == (io.pid, io.tid) || works.is_none());
        if io.request == NO_REQUEST {
            // The beginning of a session (log in, settings) is part of what comes.
            if let Some(state) = self.flows.get_mut(io.flow as usize) {
                state.work = by_opener.map(|o| o.work).or(works);
            }
            return;
        }
        if self.written.get(io.request as usize).copied().unwrap_or(true) {
            return;
        }
        if let Some(written) = self.written.get_mut(io.request as usize) {
            *written = true;
        }
        let open = self.turns.open(self.who(io), |r| Self::in_work(self.requests, &self.over, &self.next, r, io.ts));
        let found = if open.len() > 1 {
            self.among(io, &open, works, candidates)
        } else {
            self.alone(io, works, by_opener, candidates)
        };
        if let Some(state) = self.flows.get_mut(io.flow as usize) {
            state.work = found;
            state.used = true;
        }
        if let Some(parent) = self.parents.get_mut(io.request as usize) {
            *parent = found;
        }
        // Pipelined in one write: all of these belong to the same.
        self.pipelined(io, found, candidates);
    }

    /// The thread has at most one request in work: the child belongs to that.
    fn alone(
        &mut self,
        io: &Io,
        works: Option<Work>,
        by_opener: Option<Opened>,
        candidates: &mut Vec<Candidate>,
    ) -> Option<Work> {
        if let Some(request) = self.answers.of_worker(io.request) {
            // Handed over by the thread that read it.
            let work = Work { request, since: io.ts, unclear: false };
            candidates.push(self.candidate(io, Method::Answer, work, io.ts, HANDED));
            return Some(work);
        }
        let mut found: Option<Work> = None;
        if let Some(opened) = by_opener {
            let agrees = works.is_some_and(|w| w.request == opened.work.request);
            if !agrees {
                found = Some(opened.work);
                candidates.push(self.candidate(io, Method::Connect, opened.work, opened.ts, AMONG_OTHERS));
            }
        }
        if let Some(work) = works {
            let alone = self.answered.get(&self.process(io)).is_none_or(|a| a.in_flight(io.ts) <= 1);
            let confidence = match (found.is_some(), work.unclear, alone) {
                (true, _, _) => DISPUTED,
                (_, true, false) => UNCLEAR,
                (_, _, true) => ALONE,
                _ => AMONG_OTHERS,
            };
            candidates.push(self.candidate(io, Method::Thread, work, io.ts, confidence));
            found = found.or(Some(work));
        }
        found
    }

    /// The thread has several requests in work: order alone is no proof, see [`super::cause`]. Only what a proxy passes on
    /// unchanged is clear at once.
    fn among(&mut self, io: &Io, open: &[u32], works: Option<Work>, candidates: &mut Vec<Candidate>) -> Option<Work> {
        let child = self.request(io.request)?;
        let alike = |r: &u32| {
            let sent = self.passed_on.get(*r as usize).copied().unwrap_or(true);
            !sent && self.request(*r).is_some_and(|p| passes_on(p, child)) && may_cause(self.requests, *r, io.request)
        };
        let alike: Vec<u32> = open.iter().copied().filter(alike).collect();
        let [parent] = alike[..] else { return None };
        if let Some(sent) = self.passed_on.get_mut(parent as usize) {
            *sent = true;
        }
        let since = works.filter(|w| w.request == parent).map_or(io.ts, |w| w.since);
        let work = Work { request: parent, since, unclear: false };
        candidates.push(self.candidate(io, Method::Forwarded, work, io.ts, AMONG_OTHERS));
        Some(work)
    }

    /// Further requests that the same write carried have the same parent.
    fn pipelined(&mut self, io: &Io, found: Option<Work>, candidates: &mut Vec<Candidate>) {
        /// Requests of one write.
        const MAX: usize = 10_000;
        let Some(work) = found else { return };
        let (mut at, mut count) = (io.request, 0);
        let Some(model) = candidates.iter().rev().find(|c| c.child == io.request && c.parent == work.request).copied()
        else {
            return;
        };
        while count < MAX {
            let Some(&next) = self.next.get(at as usize) else { break };
            if self.request(next).is_none_or(|n| n.request_ts != Some(io.ts)) {
                break;
            }
            if let (Some(written), Some(parent)) =
                (self.written.get_mut(next as usize), self.parents.get_mut(next as usize))
            {
                *written = true;
                *parent = found;
            }
            candidates.push(Candidate { child: next, ..model });
            at = next;
            count += 1;
        }
    }

    fn candidate(&self, io: &Io, method: Method, work: Work, write_ts: Nanos, confidence: f32) -> Candidate {
        let in_flight = self.answered.get(&self.process(io)).map_or(0, |a| a.in_flight(io.ts));
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        Candidate {
            child: io.request,
            parent: work.request,
            method,
            confidence,
            evidence: Evidence::Thread { pid: io.pid, tid: io.tid, read_ts: work.since, write_ts, in_flight },
        }
    }
}
