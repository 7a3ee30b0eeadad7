//! Threads that answer: what they had read before, and what they have in work.
//!
//! A thread that has one request at a time works for that one. One that has several (an event loop) goes from one to
//! the other as it likes: a timer, or a pooled connection that became free, may let it write for a request that it
//! read long ago. For these, order alone is no proof; [`Answers`] adds what happened afterwards, which a recording knows.

use super::observe::{Ends, first_seen};
use crate::model::{Nanos, Request, Side};
use crate::socket::{Io, NO_REQUEST, What};
use ahash::{AHashMap, AHashSet};

/// A thread: node, process, thread.
pub(super) type Who = (u32, u32, u32);

/// A loop that paused for longer may have been woken by something else than what it read last.
const PAUSE_NS: Nanos = 2_000_000;

/// Requests that a thread answered, as seen from what it had asked others.
pub(super) struct Answers {
    /// By child: the request that was answered next after the child's response had been read.
    next: Vec<u32>,
    /// By child: the request that was answered by the thread which asked and which reads no requests itself.
    by_worker: Vec<u32>,
}

/// What a thread did since it last answered.
#[derive(Default)]
struct Since {
    /// The child whose response was the last thing that it read; nothing was written since.
    read: u32,
    /// More than one was read in a row: whose turn it is is not known.
    several: bool,
    /// The child whose response began the present turn, though something was written since; and when it last wrote or read.
    began: u32,
    last: Nanos,
    /// Children that it asked for.
    asked: Vec<u32>,
}

/// Children that one thread asks for without answering anything, at most.
const MAX_ASKED: usize = 10_000;

impl Answers {
    /// From all calls in the order of time.
    pub(super) fn new(requests: &[Request], ends: &Ends, io: &[Io]) -> Self {
        let mut found = Self { next: vec![NO_REQUEST; requests.len()], by_worker: vec![NO_REQUEST; requests.len()] };
        let who = |one: &Io| -> Who { (ends.node(one.flow), one.pid, one.tid) };
        let is = |one: &Io, what, side| one.what == what && ends.side(one.flow) == Some(side);
        let readers: AHashSet<Who> = io.iter().filter(|one| is(one, What::Read, Side::Server)).map(who).collect();
        let mut threads: AHashMap<Who, Since> = AHashMap::new();
        let mut answered = vec![false; requests.len()];
        // (child, child that was asked for in the turn that the first one's response began).
        let mut follows: Vec<(u32, u32)> = Vec::new();
        for one in io {
            let side = ends.side(one.flow);
            if one.what == What::Write && side == Some(Side::Server) {
                let first = one.request != NO_REQUEST
                    && answered.get_mut(one.request as usize).is_some_and(|a| !std::mem::replace(a, true));
                let thread = who(one);
                if first && let Some(since) = threads.get_mut(&thread) {
                    found.answer(requests, one, since, !readers.contains(&thread));
                } else if let Some(since) = threads.get_mut(&thread) {
                    (since.read, since.several, since.began) = (NO_REQUEST, false, NO_REQUEST);
                }
                continue;
            }
            let since = threads.entry(who(one)).or_insert_with(|| Since {
                read: NO_REQUEST,
                began: NO_REQUEST,
                ..Since::default()
            });
            match (one.what, side) {
                (What::Read, Some(Side::Client)) => {
                    since.several |= since.read != NO_REQUEST && since.read != one.request;
                    since.read = one.request;
                    since.began = if since.several { NO_REQUEST } else { one.request };
                }
                (What::Write, Some(Side::Client)) => {
                    (since.read, since.several) = (NO_REQUEST, false);
                    if one.request != NO_REQUEST
                        && since.began != NO_REQUEST
                        && since.began != one.request
                        && one.ts - since.last <= PAUSE_NS
                    {
                        follows.push((since.began, one.request));
                    }
                    if one.request != NO_REQUEST
                        && since.asked.last() != Some(&one.request)
                        && since.asked.len() < MAX_ASKED
                    {
                        since.asked.push(one.request);
                    }
                }
                _ => (since.read, since.several, since.began) = (NO_REQUEST, false, NO_REQUEST),
            }
            since.last = one.ts;
        }
        found.follow(requests, &follows);
        found
    }

    /// A child whose response led to other children belongs to the request that those were for.
    fn follow(&mut self, requests: &[Request], follows: &[(u32, u32)]) {
        // The last ones first: what they led to is settled then.
        for of_child in follows.chunk_by(|a, b| a.0 == b.0).rev() {
            let parents = || of_child.iter().filter_map(|&(_, later)| self.after(later));
            let Some(parent) = parents().next() else { continue };
            let Some(&(child, _)) = of_child.first() else { continue };
            if parents().all(|p| p == parent)
                && may_cause(requests, parent, child)
                && let Some(next) = self.next.get_mut(child as usize)
                && *next == NO_REQUEST
            {
                *next = parent;
            }
        }
    }

    /// The thread writes the first bytes of an answer.
    fn answer(&mut self, requests: &[Request], one: &Io, since: &mut Since, worker: bool) {
        let parent = one.request;
        let fits = |child: u32| may_cause(requests, parent, child);
        if since.read != NO_REQUEST
            && !since.several
            && fits(since.read)
            && let Some(next) = self.next.get_mut(since.read as usize)
            && *next == NO_REQUEST
        {
            *next = parent;
        }
        if worker {
            for &child in since.asked.iter().filter(|&&child| fits(child)) {
                if let Some(slot) = self.by_worker.get_mut(child as usize)
                    && *slot == NO_REQUEST
                {
                    *slot = parent;
                }
            }
        }
        since.asked.clear();
        (since.read, since.several, since.began) = (NO_REQUEST, false, NO_REQUEST);
    }

    /// The request that was answered as soon as the child's response had been read.
    pub(super) fn after(&self, child: u32) -> Option<u32> {
        self.next.get(child as usize).copied().filter(|&parent| parent != NO_REQUEST)
    }

    /// The request that the thread which asked the child answered next, where it is handed what it is to do by others.
    pub(super) fn of_worker(&self, child: u32) -> Option<u32> {
        self.by_worker.get(child as usize).copied().filter(|&parent| parent != NO_REQUEST)
    }
}

/// Whether the times of both allow that `parent` caused `child` and waited for it.
pub(super) fn may_cause(requests: &[Request], parent: u32, child: u32) -> bool {
    let (Some(p), Some(c)) = (requests.get(parent as usize), requests.get(child as usize)) else { return false };
    let over = p.first_byte_ts.or(p.response_ts).unwrap_or(Nanos::MAX);
    let begun = p.request_ts.unwrap_or_else(|| first_seen(p));
    begun <= first_seen(c) && c.first_byte_ts.unwrap_or_else(|| first_seen(c)) <= over
}

/// Whether `child` asks for just what `parent` asks for: a proxy passes on what it was asked.
pub(super) fn passes_on(parent: &Request, child: &Request) -> bool {
    let (p, c) = (&parent.fields, &child.fields);
    !c.request_resource.is_empty()
        && p.request_type == c.request_type
        && p.request_resource == c.request_resource
        && p.endpoint == c.endpoint
}

/// The requests that each thread has in work, and how its last turn began.
#[derive(Default)]
pub(super) struct Turns {
    threads: AHashMap<Who, Turn>,
}

#[derive(Default)]
struct Turn {
    /// Read and perhaps not answered, in the order of reading.
    open: Vec<u32>,
    /// Different sockets read in a row.
    reads: u32,
    /// The last of them.
    flow: u32,
    /// It has written since.
    wrote: bool,
    /// When it last read or wrote.
    last: Nanos,
}

/// Requests that a thread has in work and that are told apart.
const MAX_OPEN: usize = 256;

impl Turns {
    /// The thread reads; `request` is one that it is to answer.
    pub(super) fn read(&mut self, who: Who, io: &Io, request: Option<u32>, in_work: impl Fn(u32) -> bool) {
        let turn = self.threads.entry(who).or_default();
        if turn.wrote || turn.reads == 0 {
            (turn.reads, turn.wrote) = (1, false);
        } else if turn.flow != io.flow {
            turn.reads += 1;
        }
        (turn.flow, turn.last) = (io.flow, io.ts);
        if let Some(request) = request
            && turn.open.last() != Some(&request)
        {
            turn.open.retain(|&r| r != request && in_work(r));
            if turn.open.len() == MAX_OPEN {
                turn.open.remove(0);
            }
            turn.open.push(request);
        }
    }

    /// The thread writes.
    pub(super) fn write(&mut self, who: Who, ts: Nanos) {
        if let Some(turn) = self.threads.get_mut(&who) {
            turn.wrote = true;
            turn.last = ts;
        }
    }

    /// What the thread has in work.
    pub(super) fn open(&self, who: Who, in_work: impl Fn(u32) -> bool) -> Vec<u32> {
        self.threads.get(&who).map_or_else(Vec::new, |t| t.open.iter().copied().filter(|&r| in_work(r)).collect())
    }

    /// Whether it read from one socket only before it began to write, and has hardly paused since.
    pub(super) fn is_clean(&self, who: Who, ts: Nanos) -> bool {
        self.threads.get(&who).is_some_and(|t| t.reads == 1 && ts - t.last <= PAUSE_NS)
    }
}
