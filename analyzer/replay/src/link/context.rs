//! Ids that applications put into their requests: trace contexts and request ids.
//!
//! They join what nothing more exact did: a request that has no cause yet, and an earlier one with the same id.

use super::candidate::{Candidate, Method};
use super::identity::Mix;
use super::observe::{Ways, first_seen};
use crate::model::{Evidence, Nanos, ObservedAt, Request, Side, TapSide};

/// Requests with the same id that are looked at, back from the child.
const BACK: usize = 64;
/// Ids equal, span id of the parent named by the child.
const NAMED: f32 = 0.95;
/// Ids equal, in the same process, one within the other.
const INSIDE: f32 = 0.94;
/// Ids equal, one within the other.
const AROUND: f32 = 0.85;
/// Ids equal.
const EQUAL: f32 = 0.6;

fn end(request: &Request) -> Nanos {
    request.response_ts.or(request.request_end_ts).unwrap_or_else(|| first_seen(request))
}

fn pid(request: &Request) -> Option<u32> {
    match request.observed_at {
        ObservedAt::Process(pid) => Some(pid),
        ObservedAt::Interface(_) => None,
    }
}

/// Yields candidates from equal ids.
pub(super) fn context(requests: &[Request], ways: &Ways, candidates: &mut Vec<Candidate>) {
    let mut has_cause = vec![false; requests.len()];
    for candidate in candidates.iter().filter(|c| c.confidence >= NAMED) {
        if let Some(slot) = has_cause.get_mut(candidate.child as usize) {
            *slot = true;
        }
    }
    by_id(requests, ways, &has_cause, |r| &r.fields.trace_id, Method::TraceContext, 0.0, candidates);
    by_id(requests, ways, &has_cause, |r| &r.fields.x_request_id, Method::RequestId, 0.04, candidates);
}

fn by_id(
    requests: &[Request],
    ways: &Ways,
    has_cause: &[bool],
    id: fn(&Request) -> &str,
    method: Method,
    less: f32,
    candidates: &mut Vec<Candidate>,
) {
    // Numbers sort faster than texts that lie all over the memory; ids that only mix to the same number are told apart below.
    let number = |r: &Request| {
        let mut mix = Mix::new();
        mix.bytes(id(r).as_bytes());
        mix.finish()
    };
    let mut with_id: Vec<(u64, Nanos, u32)> =
        (0u32..).zip(requests).filter(|(_, r)| !id(r).is_empty()).map(|(i, r)| (number(r), first_seen(r), i)).collect();
    // Most ids are those of one request alone, where one place was recorded: they need not be sorted.
    let slots = (with_id.len() * 4).next_power_of_two();
    let slot = |number: u64| number as usize & (slots - 1);
    let mut times = vec![0_u8; slots];
    for (number, ..) in &with_id {
        if let Some(times) = times.get_mut(slot(*number)) {
            *times = times.saturating_add(1);
        }
    }
    with_id.retain(|(number, ..)| times.get(slot(*number)).is_some_and(|times| *times > 1));
    with_id.sort_unstable();
    for group in with_id.chunk_by(|a, b| a.0 == b.0) {
        for (n, &(_, _, child)) in group.iter().enumerate() {
            if has_cause.get(child as usize).copied().unwrap_or(true) {
                continue;
            }
            let before = group.get(n.saturating_sub(BACK)..n).unwrap_or(&[]);
            let best = before
                .iter()
                .rev()
                .filter_map(|&(_, _, parent)| {
                    let (p, c) = (requests.get(parent as usize)?, requests.get(child as usize)?);
                    let side = ways.tap_sides.get(parent as usize).filter(|_| id(p) == id(c))?;
                    let (likeness, holds) = likeness(p, *side, c)?;
                    (holds || method != Method::RequestId).then_some((parent, likeness))
                })
                .reduce(|best, other| if other.1 > best.1 { other } else { best });
            if let Some((parent, confidence)) = best {
                let confidence = confidence - less;
                candidates.push(Candidate { child, parent, method, confidence, evidence: Evidence::Id });
            }
        }
    }
}

/// How likely the earlier `parent` is the cause of `child`, their ids being equal; and whether more than these says so: one within the other,
/// one process, or a message that nobody waits for. Request ids come again, in another attempt of a client or from a counter that began anew: alone
/// they say nothing.
fn likeness(parent: &Request, side: TapSide, child: &Request) -> Option<(f32, bool)> {
    if parent.flow_id == child.flow_id {
        return None;
    }
    let inside = end(parent) >= end(child);
    let same_process = pid(parent).is_some() && pid(parent) == pid(child);
    if same_process && parent.side == child.side {
        // Two requests of one process with one id are children of something else, not of each other.
        return None;
    }
    let named = !child.fields.parent_span_id.is_empty() && child.fields.parent_span_id == parent.fields.span_id;
    let likeness = if named && inside {
        NAMED
    } else if same_process && inside && parent.side == Some(Side::Server) {
        INSIDE
    } else if inside && matches!(side, TapSide::ServerProcess | TapSide::ServerInterface | TapSide::ClientInterface) {
        AROUND
    } else {
        EQUAL
    };
    Some((likeness, inside || same_process || parent.fields.is_async || child.fields.is_async))
}
