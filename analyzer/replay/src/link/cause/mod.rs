//! What caused a request, where the order of calls on one thread does not tell: event loops, coroutines, pools of threads.
//!
//! Nothing is decided when it happens. All requests that a process answers and asks for are in hand, so the question is which
//! of all ways to hang the ones under the others explains the recording best. What a way has to explain: what each kind of
//! request asks for and in which order ([`model`]), how soon after which event and on which thread, what contents have in
//! common ([`content`]), and that a request is answered when the responses that it waited for have come. The ways are
//! [`sample`]d, and a link is as sure as often as it was seen. What cannot be told apart stays apart.
//!
//! The problem is that of TraceWeaver (SIGCOMM 2024), which looks at delays alone.

mod content;
mod kinds;
mod model;
mod process;
mod sample;
#[cfg(test)]
mod tests;

use super::candidate::{Candidate, Method};
use super::decide::CLEAR;
use super::observe::Ends;
use crate::model::{Evidence, Nanos, Request};
use crate::socket::Io;
use ahash::{AHashMap, AHashSet};
use process::{NONE, Pid, Process};
use rayon::prelude::*;

/// Sure as it may be, it is inferred.
const MOST: f32 = 0.94;
/// Just not [`CLEAR`]: what is asked for while there is one request only may be asked for on its own account, and what was weighed
/// may have come out by chance ([`ONE_IN`]).
const UNCLEAR: f32 = 0.89;
/// Where less than one in so many of a process' calls of a kind comes out clear, those that do came out so by chance: then the calls
/// have nothing in them that tells their causes apart.
const ONE_IN: usize = 5;
/// Calls of a kind that are judged by themselves; of fewer, all calls of the process say it.
const MANY: usize = 40;
/// Shares below are not worth saying.
const LEAST: f32 = 0.02;

/// Replaces what the order of calls said (`candidates`) by what the whole recording says, for processes whose threads have several requests in work.
pub(super) fn cause(
    requests: &[Request],
    ends: &Ends,
    io: &[Io],
    with_contents: bool,
    candidates: &mut Vec<Candidate>,
) {
    let processes = process::by_process(requests, ends);
    let mut settled: AHashMap<u32, Candidate> = AHashMap::new();
    for c in candidates.iter().filter(|c| c.method.is_order()) {
        settled
            .entry(c.child)
            .and_modify(|s| {
                if s.confidence < c.confidence {
                    *s = *c
                }
            })
            .or_insert(*c);
    }
    let mut wanted: Vec<(Pid, &[process::Of], AHashMap<u32, Candidate>)> = Vec::new();
    let mut open: AHashSet<u32> = AHashSet::new();
    for (pid, of) in &processes {
        let faithful = process::one_at_a_time(requests, of);
        let mut sure: AHashMap<u32, Candidate> = AHashMap::new();
        let mut unsure = 0;
        for o in of.iter().filter(|o| o.side == crate::model::Side::Client) {
            match settled.get(&o.request) {
                Some(c)
                    if c.confidence >= 0.95 && (faithful || matches!(c.method, Method::Forwarded | Method::Answer)) =>
                {
                    sure.insert(o.request, *c);
                }
                _ => {
                    open.insert(o.request);
                    unsure += 1;
                }
            }
        }
        if unsure > 0 {
            wanted.push((*pid, of, sure));
        }
    }
    candidates.retain(|c| !c.method.is_order() && c.method != Method::Containment || !open.contains(&c.child));
    let mut io_of: AHashMap<Pid, Vec<&Io>> = wanted.iter().map(|w| (w.0, Vec::new())).collect();
    for one in io {
        if let Some(list) = io_of.get_mut(&(ends.node(one.flow), one.pid)) {
            list.push(one);
        }
    }
    let found: Vec<Vec<Candidate>> = wanted
        .par_iter()
        .map(|(pid, of, sure)| {
            let io = io_of.get(pid).map_or(&[][..], Vec::as_slice);
            let process = process::gather(requests, of, io, sure, with_contents);
            links(*pid, &process, sure, &sample::sample(&process))
        })
        .collect();
    candidates.extend(found.into_iter().flatten());
}

/// What a child has in common with a parent.
fn contents(child: &process::Child, parent: u32) -> f32 {
    child.candidates.iter().find(|c| c.0 == parent).map_or(0.0, |c| c.1)
}

/// Threads that do not read requests, and wait for the answer to what they ask for: what they ask for was handed to them.
struct Hands {
    readers: AHashSet<u32>,
    /// How many there are, if any.
    count: Option<usize>,
}

impl Hands {
    fn new(process: &Process) -> Self {
        let readers: AHashSet<u32> = process.parents.iter().map(|p| p.start.tid).collect();
        let handed = process.children.iter().filter(|c| !readers.contains(&c.asked.tid));
        let mut asked: Vec<(u32, Nanos, Nanos)> = handed.map(|c| (c.asked.tid, c.asked.ts, c.done.ts)).collect();
        asked.sort_unstable();
        // An event loop of its own, which asks for many things at once, keeps nothing waiting.
        let together = asked.windows(2).filter(|w| matches!(w, [a, b] if a.0 == b.0 && a.2 > b.1)).count();
        let count = (together * 20 <= asked.len()).then(|| asked.chunk_by(|a, b| a.0 == b.0).count());
        Self { readers, count }
    }

    /// Whether more requests were in work than there are hands: then some wait in a queue that no call shows, and the one that was read last is not the
    /// one whose turn it is, although all calls together may look so.
    fn keep_waiting(&self, child: &process::Child) -> bool {
        self.count.is_some_and(|count| child.candidates.len() > count) && !self.readers.contains(&child.asked.tid)
    }
}

fn links(pid: Pid, process: &Process, sure: &AHashMap<u32, Candidate>, shares: &sample::Shares) -> Vec<Candidate> {
    let mut found = Vec::new();
    let hands = Hands::new(process);
    // What contents tell is another matter.
    let mut of_kinds = vec![(0usize, 0usize); process.child_kinds.max(1)];
    for (child, shares) in process.children.iter().zip(shares) {
        let best = shares.first().filter(|best| best.0 != NONE);
        if child.fixed.is_none()
            && child.candidates.len() > 1
            && best.is_none_or(|b| contents(child, b.0) <= 1.0)
            && !hands.keep_waiting(child)
            && let Some((all, clear)) = of_kinds.get_mut(usize::from(child.kind))
        {
            *all += 1;
            *clear += usize::from(best.is_some_and(|best| best.1 >= CLEAR));
        }
    }
    let (all, clear) = of_kinds.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    let most = |kind: u16| {
        let of_kind = of_kinds.get(usize::from(kind)).copied().filter(|(all, _)| *all >= MANY);
        let (all, clear) = of_kind.unwrap_or((all, clear));
        if clear * ONE_IN < all { UNCLEAR } else { MOST }
    };
    for (child, shares) in process.children.iter().zip(shares) {
        if sure.contains_key(&child.request) {
            continue;
        }
        let in_flight = u32::try_from(child.candidates.len()).unwrap_or(u32::MAX);
        for &(parent, share) in shares.iter().filter(|s| s.0 != NONE && s.1 >= LEAST) {
            let Some(of) = process.parents.get(parent as usize) else { continue };
            let method = if child.fixed.is_some() {
                Method::Content
            } else if in_flight == 1 {
                Method::Containment
            } else if contents(child, parent) > 1.0 {
                Method::Content
            } else {
                Method::Pattern
            };
            let (read_ts, write_ts): (Nanos, Nanos) = (of.start.ts, child.asked.ts);
            found.push(Candidate {
                child: child.request,
                parent: of.request,
                method,
                confidence: match method {
                    Method::Containment => share.min(UNCLEAR),
                    Method::Pattern if hands.keep_waiting(child) => share.min(UNCLEAR),
                    Method::Pattern => share.min(most(child.kind)),
                    _ => share.min(MOST),
                },
                evidence: Evidence::Thread { pid: pid.1, tid: child.asked.tid, read_ts, write_ts, in_flight },
            });
        }
    }
    found
}
