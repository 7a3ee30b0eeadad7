//! Requests to spans and traces (AutoTracing), flows to processes, socket events to flows, flows to conversations ([`crate::hops`]).
//!
//! A span is one request at one observation point. Every span but the root of a trace has a parent, which is either
//! the same request one step earlier on its way (client process, interfaces, server process: [`observe`]) or the
//! request that caused it inside a process ([`thread`], [`context`]). Each method yields candidates with
//! a confidence and the events they rest on; [`decide`] picks one per child and keeps the others as evidence.

mod arrival;
mod attach;
mod candidate;
mod cause;
mod context;
mod decide;
mod ended;
mod identity;
mod observe;
mod span;
#[cfg(test)]
mod tests;
mod thread;
mod turns;

use crate::hops::{HopInput, Logs, PlaceLog, hops};
use crate::host::Host;
use crate::model::Replayed;
use crate::socket::SocketLog;
use std::collections::BTreeMap;

/// What linking needs beside the rows.
#[derive(Debug)]
pub struct LinkInput<'h> {
    /// One per shard, [`SocketLog::renumber`]ed to the final ids of flows and requests.
    pub logs: Vec<SocketLog>,
    /// By flow: what it saw, for comparing places.
    pub seen: Vec<Option<Box<PlaceLog>>>,
    /// The nodes, as [`Replayed::nodes`] lists them.
    pub hosts: &'h [Host],
    /// Stack samples per node and process id ([`crate::profile::Stacks::samples_by_pid`]).
    pub samples: BTreeMap<(u32, u32), u64>,
    /// How to link.
    pub options: LinkOptions,
    /// Whether spans and traces are made.
    pub spans: bool,
}

/// How to link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkOptions {
    /// Take no notice of trace ids and request ids in headers, nor of keys and values that requests have in common: for
    /// scoring the other methods against them.
    pub ignore_ids: bool,
}

/// Ties the rows of `replayed` together: processes to flows and to requests seen in packets, socket events to flows,
/// counts of requests and errors to flows, samples and bytes to processes; yields spans and traces.
///
/// Flows and requests must have their final ids (their places).
pub fn link(replayed: &mut Replayed, mut input: LinkInput<'_>) {
    attach::attach(replayed, &input);
    let mut ends = observe::Ends::new(replayed, &input.logs);
    let seen = std::mem::take(&mut input.seen);
    let mut joined = hops(replayed, HopInput { logs: Logs(&seen), sides: ends.sides() });
    // What a step needs alone goes before the next one's rows come.
    drop(seen);
    replayed.hops = std::mem::take(&mut joined.hops);
    replayed.clocks = std::mem::take(&mut joined.clocks);
    replayed.conversations = joined.conversations.iter().map(|c| c.0).collect();
    attach::share(replayed, &joined.conversations);
    ends.join(replayed, joined);
    let mut candidates = Vec::new();
    let ways = observe::observe(&replayed.requests, &ends, &mut candidates);
    replayed.exchanges = observe::exchanges(replayed.requests.len(), &candidates);
    arrival::bound(&mut replayed.requests, &replayed.exchanges, &ends);
    ended::agree(&mut replayed.requests, &replayed.exchanges, &mut replayed.flows);
    if !input.spans {
        return;
    }
    let io = thread::thread(&replayed.requests, &ends, input.logs, &mut candidates);
    cause::cause(&replayed.requests, &ends, &io, !input.options.ignore_ids, &mut candidates);
    drop(io);
    if !input.options.ignore_ids {
        context::context(&replayed.requests, &ways, &mut candidates);
    }
    let links = decide::decide(replayed.requests.len(), candidates);
    let (spans, traces) = span::build(replayed, &ways, &links);
    replayed.spans = spans;
    replayed.traces = traces;
}
