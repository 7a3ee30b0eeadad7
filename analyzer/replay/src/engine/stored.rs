//! Everything that was found, with rows still packed: in the order of the tables, with dense ids, to be unpacked all or some at a time.

use super::Events;
use super::part::Part;
use crate::filter::Filter;
use crate::hops::PlaceLog;
use crate::link::{LinkInput, LinkOptions, link};
use crate::model::{
    Completeness, Flow, Health, Interface, ObservedAt, PackedFields, ProfileSegment, Replayed, Request, Sharing,
};
use crate::netprofile::{Packed, Profiles};
use crate::profile::Served;
use crate::socket::{Losses, name_process};
use crate::store::{Coded, Entry, Rows, Spill};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Rows unpacked by one task.
const CHUNK: usize = 512;

/// A replay whose rows are packed.
pub struct Stored {
    pub(super) pool: Option<rayon::ThreadPool>,
    /// What there is beside the packed rows and what is made of them.
    pub(super) out: Replayed,
    pub(super) parts: Vec<Part>,
    pub(super) spill: Arc<Spill>,
    /// In the order of the tables; the place is the id.
    pub(super) flows: Vec<Entry>,
    pub(super) requests: Vec<Entry>,
    /// By part: first of its requests in `request_ids`.
    pub(super) first_request: Vec<usize>,
    /// Final id of every request, part by part.
    pub(super) request_ids: Vec<u32>,
    /// By flow: what it saw, for comparing places.
    pub(super) seen: Vec<Option<Box<PlaceLog>>>,
    pub(super) events: Events,
    pub(super) link: LinkOptions,
    pub(super) spans: bool,
    pub(super) is_plain: bool,
    pub(super) filter: Option<Arc<Filter>>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored")
            .field("flows", &self.flows.len())
            .field("requests", &self.requests.len())
            .finish_non_exhaustive()
    }
}

impl Stored {
    /// What was replayed at all.
    #[must_use]
    pub fn filter(&self) -> Option<&Arc<Filter>> {
        self.filter.as_ref()
    }

    /// Whether the inputs were captures only, of one place: then flows, requests and segments are as they will be, and need not be unpacked
    /// all at once. Those of bundles are completed by what their events say.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Lets go of the threads, whose memory others can then use, where rows are had piece by piece.
    pub fn let_threads_go(&mut self) {
        self.pool = None;
    }

    /// What there is beside rows: interfaces, losses, times. Flows, requests and what is made of them are empty.
    #[must_use]
    pub fn rest(&self) -> &Replayed {
        &self.out
    }

    /// How many flows there are.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// How many requests there are.
    #[must_use]
    pub fn request_count(&self) -> usize {
        self.requests.len()
    }

    /// Rows so far that could not be read back from the temporary file: its disk failed.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.spill.unreadable()
    }

    /// Some of the flows, by id; unpacked on the thread that asks.
    #[must_use]
    pub fn flows(&self, ids: Range<usize>) -> Vec<Flow> {
        unpack(&self.spill, &self.flows, ids, |rows, id, e, out| self.unpack_flow(rows, id, e, out))
    }

    /// Some of the requests, by id. Those that say the same share what they say.
    #[must_use]
    pub fn requests(&self, ids: Range<usize>) -> Vec<Request> {
        let mut out = Vec::with_capacity(ids.len());
        let mut known = Sharing::default();
        self.each_packed(ids, |some| {
            out.extend(some.into_iter().map(|r| r.map(|packed| known.unpacked(&packed))));
        });
        out
    }

    /// The same by and by, with texts that stay where they are packed: `each` has some at a time, in their order.
    pub fn packed_requests(&self, ids: Range<usize>, mut each: impl FnMut(&[Request<PackedFields<'_>>])) {
        self.each_packed(ids, |some| each(&some));
    }

    fn each_packed(&self, ids: Range<usize>, mut each: impl FnMut(Vec<Request<PackedFields<'_>>>)) {
        let mut rows = Rows::new(&self.spill);
        for start in ids.clone().step_by(CHUNK) {
            let some = start..ids.end.min(start + CHUNK);
            let entries = self.requests.get(some.clone()).unwrap_or(&[]);
            rows.make_room();
            for e in entries {
                if let Some(part) = self.parts.get(e.part as usize) {
                    part.load_request(&mut rows, e);
                }
            }
            let mut out = Vec::with_capacity(entries.len());
            some.zip(entries).for_each(|(id, e)| self.request_at(&rows, id, e, &mut out));
            each(out);
        }
    }

    /// Segments of some of the flows, by the flows' ids.
    #[must_use]
    pub fn profile(&self, flows: Range<usize>) -> Vec<ProfileSegment> {
        unpack(&self.spill, &self.flows, flows, |rows, id, e, out| self.unpack_profile(rows, id, e, out))
    }

    fn unpack_flow(&self, rows: &mut Rows<'_>, id: usize, entry: &Entry, out: &mut Vec<Flow>) {
        let Some(mut f) = self.parts.get(entry.part as usize).and_then(|p| p.bare_flow_at(rows, entry)) else { return };
        self.complete(&mut f, id, entry);
        out.push(f);
    }

    fn unpack_flow_and_profile(&self, rows: &mut Rows<'_>, id: usize, entry: &Entry, out: &mut Vec<(Flow, Packed)>) {
        let Some((mut f, packed)) = self.parts.get(entry.part as usize).and_then(|p| p.flow_at(rows, entry)) else {
            return;
        };
        self.complete(&mut f, id, entry);
        out.push((f, packed));
    }

    /// What is known of a flow only now.
    fn complete(&self, f: &mut Flow, id: usize, entry: &Entry) {
        f.flow_id = id as u64;
        (f.netns, f.node) = match self.interface(&f.observed_at) {
            Some(interface) => (interface.netns, interface.node),
            None => (f.netns, self.parts.get(entry.part as usize).map_or(0, |p| p.log.node)),
        };
    }

    /// A request whose block is loaded.
    #[inline]
    fn request_at<'r, F: Coded<'r>>(&'r self, rows: &'r Rows<'_>, id: usize, entry: &Entry, out: &mut Vec<Request<F>>) {
        let part = self.parts.get(entry.part as usize);
        let Some(r) = part.and_then(|part| part.request_at(rows, entry, out)) else { return };
        r.request_id = id as u64;
        r.flow_id = u64::from(entry.flow);
        r.netns = self.interface(&r.observed_at).map_or(r.netns, |i| i.netns);
        if let (ObservedAt::Process(_), Some(part)) = (&r.observed_at, part)
            && let Some(of) = self.events.nodes.get(part.log.node as usize)
        {
            name_process(r, &of.host);
        }
    }

    fn unpack_profile(&self, rows: &mut Rows<'_>, id: usize, entry: &Entry, out: &mut Vec<ProfileSegment>) {
        let Some((_, profile)) = self.parts.get(entry.part as usize).and_then(|p| p.flow_at(rows, entry)) else {
            return;
        };
        let first = self.first_request(entry);
        out.extend(profile.rows((id as u64, entry.key), |n| {
            self.request_ids.get(first + n as usize).map(|&request| u64::from(request))
        }));
    }

    /// Where the final ids of the requests of an entry's part begin.
    fn first_request(&self, entry: &Entry) -> usize {
        self.first_request.get(entry.part as usize).copied().unwrap_or(0)
    }

    fn interface(&self, at: &ObservedAt) -> Option<&Interface> {
        match at {
            ObservedAt::Interface(id) => self.out.interfaces.get(*id as usize),
            ObservedAt::Process(_) => None,
        }
    }

    /// Unpacks everything, and ties it together.
    #[must_use]
    pub fn into_replayed(self) -> Replayed {
        let mut profile = Profiles::new(self.request_ids.clone());
        let (flows, requests) = install(self.pool.as_ref(), || {
            let some = |ids| {
                unpack(&self.spill, &self.flows, ids, |rows, id, e, out| self.unpack_flow_and_profile(rows, id, e, out))
            };
            let flows = unpack_all(&self.flows, some, |chunk: Vec<(Flow, _)>, flows| {
                for (flow, packed) in chunk {
                    let first = self.flows.get(flow.flow_id as usize).map_or(0, |e| self.first_request(e));
                    profile.push(&flow, first, packed);
                    flows.push(flow);
                }
            });
            // Requests are many and large: a chunk moves as a whole.
            (flows, unpack_all(&self.requests, |ids| self.requests(ids), |mut chunk, out| out.append(&mut chunk)))
        });
        let unreadable = self.unreadable() as u64;
        let Self { pool, mut out, mut parts, events, seen, link: options, spans, .. } = self;
        if unreadable > 0 {
            let cause = "rows that could not be read back from the temporary file".into();
            out.health.push(Health { kind: "row".into(), lost: unreadable, cause, ..Health::default() });
        }
        (out.flows, out.requests, out.profile) = (flows, requests, profile);
        let logs = parts.iter_mut().map(|p| std::mem::take(&mut p.log)).collect();
        drop(parts);
        install(pool.as_ref(), || {
            let mut hosts = Vec::with_capacity(events.nodes.len());
            let mut stacks = Vec::with_capacity(hosts.capacity());
            let mut samples = BTreeMap::new();
            for (node, of) in (0u32..).zip(events.nodes) {
                Losses::new(of.lost_data).mark(node, &mut out.flows, &mut out.requests);
                mark_packets(node, &Losses::new(of.lost_packets), &mut out);
                samples.extend(of.stacks.samples_by_pid().into_iter().map(|(pid, n)| ((node, pid), n)));
                stacks.push(of.stacks);
                hosts.push(of.host);
            }
            link(&mut out, LinkInput { logs, seen, hosts: &hosts, samples, options, spans });
            let named = (0u32..).zip(stacks).zip(&hosts);
            out.stacks =
                named.flat_map(|((node, stacks), host)| stacks.finish(host, &Served::new(&out, node))).collect();
            out
        })
    }
}

/// `each` makes rows of the entries in `range`; these come out in order.
fn unpack<T>(
    spill: &Spill,
    entries: &[Entry],
    range: Range<usize>,
    each: impl Fn(&mut Rows<'_>, usize, &Entry, &mut Vec<T>),
) -> Vec<T> {
    let chosen = entries.get(range.clone()).unwrap_or(&[]);
    let mut rows = Rows::new(spill);
    let mut out = Vec::with_capacity(chosen.len());
    for (id, entry) in range.zip(chosen) {
        each(&mut rows, id, entry, &mut out);
    }
    out
}

/// Works on the threads of the pool, or on this one.
fn install<T: Send>(pool: Option<&rayon::ThreadPool>, work: impl FnOnce() -> T + Send) -> T {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// The rows of all entries, unpacked side by side, some chunks at a time, so that what they are unpacked to is used again; `put` adds a
/// chunk to the others.
fn unpack_all<T: Send, U>(
    entries: &[Entry],
    some: impl Fn(Range<usize>) -> Vec<T> + Sync,
    mut put: impl FnMut(Vec<T>, &mut Vec<U>),
) -> Vec<U> {
    let (len, at_once) = (entries.len(), CHUNK * rayon::current_num_threads() * 2);
    let mut out = Vec::with_capacity(len);
    for from in (0..len).step_by(at_once) {
        let to = len.min(from + at_once);
        let starts: Vec<usize> = (from..to).step_by(CHUNK).collect();
        let chunks: Vec<Vec<T>> = starts.par_iter().map(|&n| some(n..to.min(n + CHUNK))).collect();
        chunks.into_iter().for_each(|chunk| put(chunk, &mut out));
    }
    out
}

/// Marks what was seen at interfaces of a node while packets were lost.
fn mark_packets(node: u32, lost: &Losses, out: &mut Replayed) {
    if lost.is_empty() {
        return;
    }
    for f in out.flows.iter_mut().filter(|f| f.node == node && matches!(f.observed_at, ObservedAt::Interface(_))) {
        if lost.touch(f.start, f.end) {
            f.completeness.add(Completeness::GAP);
        }
    }
    let flows = &out.flows;
    let of_node = |r: &Request| flows.get(r.flow_id as usize).is_some_and(|f| f.node == node);
    for r in out.requests.iter_mut().filter(|r| matches!(r.observed_at, ObservedAt::Interface(_)) && of_node(r)) {
        let start = r.request_ts.or(r.response_ts);
        let end = r.response_ts.or(r.request_end_ts).or(start);
        if let (Some(start), Some(end)) = (start, end)
            && lost.touch(start, end)
        {
            r.completeness.add(Completeness::GAP);
        }
    }
}
