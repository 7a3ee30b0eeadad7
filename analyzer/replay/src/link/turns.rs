//! Threads that answer: what they had asked before, and what they have in work.

use super::observe::{Ends, first_seen};
use crate::model::{Nanos, Request, Side};
use crate::socket::{Io, NO_REQUEST, What};
use ahash::{AHashMap, AHashSet};

/// A thread: node, process, thread.
pub(super) type Who = (u32, u32, u32);

/// Requests that were answered by threads which read none themselves: workers that are handed what others read.
pub(super) struct Answers {
    /// By child: the request that the thread which asked answered next.
    by_worker: Vec<u32>,
}

/// Children that one thread asks for without answering anything, at most.
const MAX_ASKED: usize = 10_000;

impl Answers {
    /// From all calls in the order of time.
    pub(super) fn new(requests: &[Request], ends: &Ends, io: &[Io]) -> Self {
        let mut found = Self { by_worker: vec![NO_REQUEST; requests.len()] };
        let who = |one: &Io| -> Who { (ends.node(one.flow), one.pid, one.tid) };
        let is = |one: &Io, what, side| one.what == what && ends.side(one.flow) == Some(side);
        let readers: AHashSet<Who> = io.iter().filter(|one| is(one, What::Read, Side::Server)).map(who).collect();
        let mut asked: AHashMap<Who, Vec<u32>> = AHashMap::new();
        let mut answered = vec![false; requests.len()];
        for one in io.iter().filter(|one| one.what == What::Write && one.request != NO_REQUEST) {
            let thread = who(one);
            if readers.contains(&thread) {
                continue;
            }
            let of_thread = asked.entry(thread).or_default();
            match ends.side(one.flow) {
                Some(Side::Client) if of_thread.last() != Some(&one.request) && of_thread.len() < MAX_ASKED => {
                    of_thread.push(one.request);
                }
                Some(Side::Server) => {
                    let first = answered.get_mut(one.request as usize).is_some_and(|a| !std::mem::replace(a, true));
                    let children = std::mem::take(of_thread);
                    for child in children.into_iter().filter(|&c| first && may_cause(requests, one.request, c)) {
                        if let Some(slot) = found.by_worker.get_mut(child as usize).filter(|s| **s == NO_REQUEST) {
                            *slot = one.request;
                        }
                    }
                }
                _ => {}
            }
        }
        found
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

/// The requests that each thread has in work, in the order of reading.
#[derive(Default)]
pub(super) struct Turns {
    threads: AHashMap<Who, Vec<u32>>,
}

/// Requests that a thread has in work and that are told apart.
const MAX_OPEN: usize = 256;

impl Turns {
    /// The thread reads a request that it is to answer.
    pub(super) fn read(&mut self, who: Who, request: u32, in_work: impl Fn(u32) -> bool) {
        let open = self.threads.entry(who).or_default();
        if open.last() != Some(&request) {
            open.retain(|&r| r != request && in_work(r));
            if open.len() == MAX_OPEN {
                open.remove(0);
            }
            open.push(request);
        }
    }

    /// What the thread has in work.
    pub(super) fn open(&self, who: Who, in_work: impl Fn(u32) -> bool) -> Vec<u32> {
        self.threads.get(&who).map_or_else(Vec::new, |open| open.iter().copied().filter(|&r| in_work(r)).collect())
    }
}
