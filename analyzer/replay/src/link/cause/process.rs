//! One process: the requests that it answers, those that it asks for, and what its threads did in which order.

use super::super::candidate::Candidate;
use super::super::observe::{Ends, first_seen};
use super::content::{Tokens, tokens};
use super::kinds::Kinds;
use crate::model::{Nanos, ObservedAt, Request, Side};
use crate::socket::{Io, NO_REQUEST, What};
use ahash::{AHashMap, AHashSet};

/// Node and process.
pub(super) type Pid = (u32, u32);

/// No such place.
pub(super) const NONE: u32 = u32::MAX;

/// A recording is taken to be as long as this at least: what a program does of its own accord is rare.
const SHORTEST: Nanos = 10_000_000_000;
/// What contents say for one parent and against all others (natural logarithm) settles it from here on.
const DECISIVE: f32 = 9.0;
/// Parents of one child that are weighed: the latest ones.
const MAX_CANDIDATES: usize = 64;

/// A read or a write in the life of its thread. Reads in a row without a write between them are a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// Reads: when they returned. Writes: when they were called.
    pub(super) ts: Nanos,
    pub(super) tid: u32,
    /// Writes: the batch of reads before them on their thread. Numbered over the whole process.
    pub(super) batch: u32,
    /// Reads: the place in the batch. Writes: how many writes there were since the batch.
    pub(super) place: u32,
    /// Reads: how many messages the same call brought, which of them this is, and whether the call was the batch's last.
    pub(super) size: u32,
    pub(super) nth: u32,
    pub(super) last: bool,
    /// Writes: when the thread read or wrote before.
    pub(super) before: Nanos,
}

/// A request that the process answers.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) request: u32,
    pub(super) kind: u16,
    /// It was read to its end.
    pub(super) start: Moment,
    /// The first bytes of its answer; at [`Nanos::MAX`] if there is none.
    pub(super) end: Moment,
    /// When it can no longer cause anything.
    pub(super) over: Nanos,
}

/// A request that the process asks for.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) request: u32,
    pub(super) kind: u16,
    /// It was written, or its connection opened.
    pub(super) asked: Moment,
    /// Its response was read to its end; at [`Nanos::MAX`] if there is none.
    pub(super) done: Moment,
    /// What can have caused it: the parent, and what their contents say for it (natural logarithm).
    pub(super) candidates: Vec<(u32, f32)>,
    /// Its cause is known for sure.
    pub(super) fixed: Option<u32>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// By start.
    pub(super) parents: Vec<Parent>,
    /// By time of asking.
    pub(super) children: Vec<Child>,
    pub(super) parent_kinds: usize,
    pub(super) child_kinds: usize,
    /// From the first event to the last, ns.
    pub(super) span: f64,
}

/// A request of a process and the side that the process is on.
#[derive(Clone, Copy)]
pub(super) struct Of {
    pub(super) request: u32,
    pub(super) side: Side,
}

/// Requests by process, in the order of processes.
pub(super) fn by_process(requests: &[Request], ends: &Ends) -> Vec<(Pid, Vec<Of>)> {
    let mut by: AHashMap<Pid, Vec<Of>> = AHashMap::new();
    for (i, request) in (0u32..).zip(requests) {
        if let (ObservedAt::Process(pid), Some(side)) = (&request.observed_at, request.side) {
            let node = ends.node(u32::try_from(request.flow_id).unwrap_or(NONE));
            by.entry((node, *pid)).or_default().push(Of { request: i, side });
        }
    }
    let both = |of: &[Of]| [Side::Client, Side::Server].iter().all(|side| of.iter().any(|o| o.side == *side));
    let mut list: Vec<(Pid, Vec<Of>)> = by.into_iter().filter(|(_, of)| both(of)).collect();
    list.sort_unstable_by_key(|p| p.0);
    list
}

/// Whether every thread has one request at a time from reading it to answering it: what it does meanwhile is for that one.
pub(super) fn one_at_a_time(requests: &[Request], of: &[Of]) -> bool {
    let mut lives: Vec<(u32, Nanos, Nanos)> = Vec::new();
    let (mut all, mut handed) = (0usize, 0usize);
    for o in of.iter().filter(|o| o.side == Side::Server) {
        let Some(request) = requests.get(o.request as usize) else { continue };
        let (Some(read), Some(answered)) = (request.request_point, request.response_point) else { continue };
        let Some(end) = request.first_byte_ts else { continue };
        all += 1;
        if read.tid == answered.tid {
            lives.push((read.tid, request.request_end_ts.unwrap_or_else(|| first_seen(request)), end));
        } else {
            handed += 1;
        }
    }
    lives.sort_unstable();
    let overlaps = lives.windows(2).filter(|w| matches!(w, [a, b] if a.0 == b.0 && b.1 < a.2)).count();
    (handed + overlaps) * 200 <= all
}

/// What a thread did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Something that is not understood.
    Other,
    Start(u32),
    Done(u32),
    Asked(u32),
    End(u32),
}

/// Puts a process together. `settled[child]` is the parent of those whose cause is known, `None` elsewhere.
pub(super) fn gather(
    requests: &[Request],
    of: &[Of],
    io: &[&Io],
    settled: &AHashMap<u32, Candidate>,
    with_contents: bool,
) -> Process {
    let mut process = Process::default();
    let on = |side: Side| of.iter().filter(move |o| o.side == side).filter_map(|o| requests.get(o.request as usize));
    let (parent_kinds, child_kinds) = (Kinds::new(on(Side::Server)), Kinds::new(on(Side::Client)));
    let opened = opened(requests, of, io);
    for o in of {
        let Some(request) = requests.get(o.request as usize) else { continue };
        let tid = |point: Option<crate::model::ThreadPoint>| point.map_or(0, |p| p.tid);
        let at = |ts: Nanos, tid: u32| Moment { ts, tid, ..Moment::default() };
        let (asker, answerer) = (tid(request.request_point), tid(request.response_point));
        match o.side {
            Side::Server if !request.fields.is_async => {
                let Some(start) = request.request_end_ts.or(request.request_ts) else { continue };
                let end = request.first_byte_ts.or(request.response_ts).unwrap_or(Nanos::MAX);
                process.parents.push(Parent {
                    request: o.request,
                    kind: parent_kinds.of(request),
                    start: at(start, asker),
                    end: at(end, answerer),
                    over: end,
                });
            }
            Side::Client => {
                let Some(asked) = request.request_ts else { continue };
                let (asked, tid) = opened.get(&o.request).copied().unwrap_or((asked, asker));
                process.children.push(Child {
                    request: o.request,
                    kind: child_kinds.of(request),
                    asked: at(asked, tid),
                    done: at(request.response_ts.unwrap_or(Nanos::MAX), answerer),
                    candidates: Vec::new(),
                    fixed: None,
                });
            }
            Side::Server => {}
        }
    }
    process.parents.sort_by_key(|p| (p.start.ts, p.request));
    process.children.sort_by_key(|c| (c.asked.ts, c.request));
    process.parent_kinds = parent_kinds.len();
    process.child_kinds = child_kinds.len();
    give_up(requests, &mut process.parents);
    order_threads(&mut process, io);
    let faithful = one_at_a_time(requests, of);
    candidates(&mut process, requests, settled, faithful);
    if with_contents {
        contents(&mut process, requests);
    }
    process
}

/// When and by which thread the connection of a request was opened, where it is the first one on it.
fn opened(requests: &[Request], of: &[Of], io: &[&Io]) -> AHashMap<u32, (Nanos, u32)> {
    let mut first: AHashMap<u64, (Nanos, u32)> = AHashMap::new();
    for o in of.iter().filter(|o| o.side == Side::Client) {
        let Some(request) = requests.get(o.request as usize) else { continue };
        let at = (first_seen(request), o.request);
        first.entry(request.flow_id).and_modify(|f| *f = (*f).min(at)).or_insert(at);
    }
    let mut opened: AHashMap<u32, (Nanos, u32)> = AHashMap::new();
    // Connections that were used before their first request (log-ins) may have been opened for something else.
    let mut used: AHashSet<u64> = AHashSet::new();
    for one in io {
        let flow = u64::from(one.flow);
        match one.what {
            What::Connect => {
                if let Some(&(ts, request)) = first.get(&flow)
                    && one.ts <= ts
                    && !used.contains(&flow)
                {
                    opened.insert(request, (one.ts, one.tid));
                }
            }
            _ if one.request == NO_REQUEST => {
                used.insert(flow);
                if let Some((ts, request)) = first.get(&flow)
                    && one.ts < *ts
                {
                    opened.remove(request);
                }
            }
            _ => {}
        }
    }
    opened
}

/// A request that is never answered is given up when the next one comes on its connection.
fn give_up(requests: &[Request], parents: &mut [Parent]) {
    let mut next: AHashMap<u64, Nanos> = AHashMap::new();
    for parent in parents.iter_mut().rev() {
        let Some(request) = requests.get(parent.request as usize) else { continue };
        if parent.over == Nanos::MAX
            && let Some(&ts) = next.get(&request.flow_id)
        {
            parent.over = ts;
        }
        next.insert(request.flow_id, parent.start.ts);
    }
}

/// Finds batches of reads and what was written after each.
fn order_threads(process: &mut Process, io: &[&Io]) {
    let mut events: Vec<(u32, Nanos, Event)> = Vec::with_capacity(2 * (process.parents.len() + process.children.len()));
    for (i, parent) in (0u32..).zip(&process.parents) {
        events.push((parent.start.tid, parent.start.ts, Event::Start(i)));
        if parent.end.ts != Nanos::MAX {
            events.push((parent.end.tid, parent.end.ts, Event::End(i)));
        }
    }
    for (i, child) in (0u32..).zip(&process.children) {
        events.push((child.asked.tid, child.asked.ts, Event::Asked(i)));
        if child.done.ts != Nanos::MAX {
            events.push((child.done.tid, child.done.ts, Event::Done(i)));
        }
    }
    events.extend(
        io.iter()
            .filter(|one| one.request == NO_REQUEST && one.what == What::Read)
            .map(|one| (one.tid, one.ts, Event::Other)),
    );
    events.sort_unstable();
    let times = || events.iter().map(|e| e.1);
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    process.span = (last - first).max(SHORTEST) as f64;
    let mut batch = 0;
    for thread in events.chunk_by(|a, b| a.0 == b.0) {
        batch += 1;
        let (mut reads, mut writes, mut before): (Vec<(Nanos, Event)>, u32, Nanos) = (Vec::new(), 0, Nanos::MIN);
        for &(_, ts, event) in thread {
            let is_read = matches!(event, Event::Other | Event::Start(_) | Event::Done(_));
            if is_read && writes > 0 {
                close(process, &reads);
                reads.clear();
                (batch, writes) = (batch + 1, 0);
            }
            let place = if is_read { u32::try_from(reads.len()).unwrap_or(NONE) } else { writes };
            if let Some(moment) = moment(process, event) {
                (moment.batch, moment.place, moment.before) = (batch, place, before);
            }
            if is_read {
                reads.push((ts, event));
            } else {
                writes += 1;
            }
            before = ts;
        }
        close(process, &reads);
    }
}

fn moment(process: &mut Process, event: Event) -> Option<&mut Moment> {
    match event {
        Event::Other => None,
        Event::Start(i) => process.parents.get_mut(i as usize).map(|p| &mut p.start),
        Event::End(i) => process.parents.get_mut(i as usize).map(|p| &mut p.end),
        Event::Asked(i) => process.children.get_mut(i as usize).map(|c| &mut c.asked),
        Event::Done(i) => process.children.get_mut(i as usize).map(|c| &mut c.done),
    }
}

/// A batch of reads is over: which of them came by one call is known.
fn close(process: &mut Process, reads: &[(Nanos, Event)]) {
    let mut left = reads.len();
    for call in reads.chunk_by(|a, b| a.0 == b.0) {
        left -= call.len();
        for (nth, (_, read)) in (0u32..).zip(call) {
            if let Some(moment) = moment(process, *read) {
                moment.size = u32::try_from(call.len()).unwrap_or(NONE);
                (moment.nth, moment.last) = (nth, left == 0);
            }
        }
    }
}

/// Parents that were in work when a child was asked for.
fn candidates(process: &mut Process, requests: &[Request], settled: &AHashMap<u32, Candidate>, faithful: bool) {
    let places: AHashMap<u32, u32> = (0u32..).zip(&process.parents).map(|(i, p)| (p.request, i)).collect();
    let readers: AHashSet<u32> = process.parents.iter().map(|p| p.start.tid).collect();
    let mut open: Vec<u32> = Vec::new();
    let mut next = 0;
    for child in &mut process.children {
        let asked = child.asked.ts;
        while let Some(parent) = process.parents.get(next).filter(|p| p.start.ts <= asked) {
            if parent.over >= asked {
                open.push(u32::try_from(next).unwrap_or(NONE));
            }
            next += 1;
        }
        open.retain(|&p| process.parents.get(p as usize).is_some_and(|p| p.over >= asked));
        if let Some(parent) = settled.get(&child.request).and_then(|c| places.get(&c.parent)) {
            child.fixed = Some(*parent);
            child.candidates = vec![(*parent, 0.0)];
            continue;
        }
        // What is asked on the connection that a request came in on is not asked because of it.
        let flow = requests.get(child.request as usize).map(|r| r.flow_id);
        let fits = |p: &Parent| {
            requests.get(p.request as usize).map(|r| r.flow_id) != flow
                && (!faithful || p.start.tid == child.asked.tid || !readers.contains(&child.asked.tid))
        };
        child.candidates = open
            .iter()
            .rev()
            .filter(|&&p| process.parents.get(p as usize).is_some_and(&fits))
            .take(MAX_CANDIDATES)
            .map(|&p| (p, 0.0))
            .collect();
        child.candidates.sort_unstable_by_key(|c| c.0);
    }
}

/// Weighs what the contents of children have in common with those of their candidates.
fn contents(process: &mut Process, requests: &[Request]) {
    let of = |request: u32| requests.get(request as usize).map_or_else(Vec::new, tokens);
    let of_parents: Vec<Vec<u64>> = process.parents.iter().map(|p| of(p.request)).collect();
    let mut of_children: Vec<Vec<u64>> = process.children.iter().map(|c| of(c.request)).collect();
    without_constants(&process.children, &mut of_children);
    weigh(process, &of_parents, &of_children);
}

/// Takes out what most children of a kind have, such as the 1 of `WHERE id = $1`: that is the kind, not whose it is.
pub(super) fn without_constants(children: &[Child], of_children: &mut [Vec<u64>]) {
    /// Children of a kind before anything can be said of most of them.
    const SOME: u32 = 8;
    let mut counts: AHashMap<(u16, u64), u32> = AHashMap::new();
    let mut all: AHashMap<u16, u32> = AHashMap::new();
    for (child, words) in children.iter().zip(of_children.iter()) {
        *all.entry(child.kind).or_default() += 1;
        for &word in words {
            *counts.entry((child.kind, word)).or_default() += 1;
        }
    }
    for (child, words) in children.iter().zip(of_children) {
        let all = all.get(&child.kind).copied().filter(|&n| n >= SOME).unwrap_or(u32::MAX);
        words.retain(|&word| counts.get(&(child.kind, word)).is_none_or(|&n| n <= all / 2));
    }
}

/// The same of their tokens.
pub(super) fn weigh(process: &mut Process, of_parents: &[Vec<u64>], of_children: &[Vec<u64>]) {
    let common = Tokens::new(of_parents);
    // How often a true pair has a rare token in common is learned: by how much more children have one with a candidate than they
    // would have with as many requests taken by chance. (In a short recording with many requests in work that is often, too.)
    // Children that have nothing in common with any request of the recording, such as a hit counter among reads by key, cannot
    // be tied by contents and do not say how far those can be trusted that have.
    let mut share = vec![(0.5f32, 1.0f32); process.child_kinds.max(1)];
    for (child, words) in process.children.iter().zip(of_children) {
        let Some((yes, all)) = share.get_mut(usize::from(child.kind)).filter(|_| !child.candidates.is_empty()) else {
            continue;
        };
        let mut with = child.candidates.iter().filter_map(|c| of_parents.get(c.0 as usize));
        let chance = common.by_chance(words, child.candidates.len());
        if chance <= 0.0 {
            continue;
        }
        *all += 1.0 - chance;
        *yes += f32::from(u8::from(with.any(|parent| common.rarest(words, parent).is_some()))) - chance;
    }
    for (child, words) in process.children.iter_mut().zip(of_children) {
        let (yes, all) = share.get(usize::from(child.kind)).copied().unwrap_or((0.5, 1.0));
        let rate = (yes / all).clamp(0.01, 0.998);
        for (parent, weight) in &mut child.candidates {
            let Some(parent) = of_parents.get(*parent as usize) else { continue };
            *weight = match common.rarest(words, parent) {
                Some(chance) => (rate / chance.max(1e-6)).ln().max(0.0),
                None => (1.0 - rate).ln(),
            };
        }
        // Where one has what no other has, nothing is left to be tried out.
        let mut weights: Vec<(f32, u32)> = child.candidates.iter().map(|c| (c.1, c.0)).collect();
        weights.sort_by(|a, b| b.0.total_cmp(&a.0));
        if let [(first, parent), (second, _), ..] = weights[..]
            && first - second >= DECISIVE
            && child.fixed.is_none()
        {
            child.fixed = Some(parent);
            child.candidates.retain(|c| c.0 == parent);
        }
    }
}
