//! Which request a thread was serving at a moment.

use crate::model::{Nanos, ObservedAt, Replayed, Side};
use ahash::AHashMap;

/// Requests before a moment that are looked at, for one that still goes on.
const TRIES: usize = 64;

/// One request being served: from the return of the read that brought it to the return of the call that answered it.
#[derive(Clone, Copy, Debug)]
struct Work {
    from: Nanos,
    to: Nanos,
    /// Place in the requests.
    request: u32,
}

/// What the threads of a node served, and when.
#[derive(Debug, Default)]
pub struct Served<'r> {
    /// By (pid, tid), sorted by start.
    threads: AHashMap<(u32, u32), Vec<Work>>,
    replayed: Option<&'r Replayed>,
}

/// What a thread was working on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WorkingOn<'r> {
    /// What requests are grouped by; empty if unknown.
    pub(super) endpoint: &'r str,
    /// The request, if there was only one.
    pub(super) request: Option<u64>,
}

impl<'r> Served<'r> {
    /// Of the processes that answered requests on `node`.
    #[must_use]
    pub fn new(replayed: &'r Replayed, node: u32) -> Self {
        let mut threads: AHashMap<(u32, u32), Vec<Work>> = AHashMap::new();
        for (place, r) in (0u32..).zip(&replayed.requests) {
            let ObservedAt::Process(pid) = r.observed_at else { continue };
            let of_node = replayed.flows.get(r.flow_id as usize).is_some_and(|f| f.node == node);
            let (true, Some(Side::Server), Some(read), Some(end)) =
                (of_node, r.side, r.request_point, r.response_point.map(|p| p.exit).or(r.response_ts))
            else {
                continue;
            };
            let work = Work { from: read.exit, to: end, request: place };
            if work.from <= work.to {
                threads.entry((pid, read.tid)).or_default().push(work);
            }
        }
        for of_thread in threads.values_mut() {
            of_thread.sort_by_key(|w| (w.from, w.request));
        }
        Self { threads, replayed: Some(replayed) }
    }

    /// What a thread was working on. One that serves several requests at once works on an endpoint if they all are of it.
    pub(super) fn at(&self, pid: u32, tid: u32, ts: Nanos) -> WorkingOn<'r> {
        let (Some(works), Some(replayed)) = (self.threads.get(&(pid, tid)), self.replayed) else {
            return WorkingOn::default();
        };
        let begun = works.partition_point(|w| w.from <= ts);
        let last = works.get(begun.saturating_sub(TRIES)..begun).unwrap_or(&[]);
        let mut found: Option<WorkingOn<'r>> = None;
        for w in last.iter().filter(|w| ts <= w.to) {
            let Some(r) = replayed.requests.get(w.request as usize) else { continue };
            let endpoint: &str = &r.fields.endpoint;
            found = Some(match found {
                None => WorkingOn { endpoint, request: Some(r.request_id) },
                Some(one) if one.endpoint == endpoint => WorkingOn { endpoint, request: None },
                Some(_) => return WorkingOn::default(),
            });
        }
        found.unwrap_or_default()
    }
}
