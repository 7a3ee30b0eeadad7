//! Requests that make many requests of one kind, one after the other.

use super::tree::Tree;
use super::{Finding, ROWS, Severity, title};
use crate::analysis::Analysis;
use crate::human;
use crate::report::plural;
use replay::model::TapSide;
use replay::red::endpoint_of;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Requests of one kind that a request makes on the average, from which on it is said.
const MANY: f64 = 10.0;

#[derive(Default)]
struct Calls {
    callers: u64,
    calls: u64,
    most: u64,
    ns: u64,
    rows: Vec<u64>,
}

/// Service, protocol, endpoint.
type Name = (Arc<str>, &'static str, Arc<str>);

pub(super) fn findings(a: &Analysis, tree: &Tree<'_>) -> Vec<Finding> {
    let r = &a.replayed;
    let mut kinds: BTreeMap<(Name, Name), Calls> = BTreeMap::new();
    let mut totals: BTreeMap<Name, (u64, u64)> = BTreeMap::new();
    // Most recordings have none, and then names need not be looked up.
    let has_many = |place: &u32| tree.children(*place).nth(MANY as usize - 1).is_some();
    if !(0..).take(tree.spans.len()).any(|place| has_many(&place)) {
        return Vec::new();
    }
    let name = |place: u32| -> Option<Name> {
        let request = r.requests.get(usize::try_from(tree.get(place)?.request_id).ok()?)?;
        let service = a.services().of_request(request)?;
        Some((a.services().name(service), request.fields.l7_protocol, endpoint_of(&request.fields).into()))
    };
    for (place, span) in (0..).zip(tree.spans) {
        if span.tap_side != TapSide::ServerProcess {
            continue;
        }
        let Some(caller) = name(place) else { continue };
        let total = totals.entry(caller.clone()).or_default();
        total.0 += 1;
        total.1 += super::tree::length_ns(span);
        let mut of_it: BTreeMap<Name, (u64, u64)> = BTreeMap::new();
        if tree.children(place).nth(1).is_none() {
            continue;
        }
        for child in tree.children(place) {
            let (Some(callee), Some(span)) = (name(child), tree.get(child)) else { continue };
            let calls = of_it.entry(callee).or_default();
            calls.0 += 1;
            calls.1 += super::tree::length_ns(span);
        }
        for (callee, (n, ns)) in of_it {
            let calls = kinds.entry((caller.clone(), callee)).or_default();
            calls.callers += 1;
            calls.calls += n;
            calls.most = calls.most.max(n);
            calls.ns += ns;
            if calls.rows.len() < ROWS {
                calls.rows.push(span.request_id);
            }
        }
    }
    let mut out = Vec::new();
    for ((caller, callee), calls) in kinds {
        let (requests, ns) = totals.get(&caller).copied().unwrap_or_default();
        let mean = calls.calls as f64 / requests.max(1) as f64;
        if mean < MANY {
            continue;
        }
        let (from, to) = (title(&caller.0, &caller.2, caller.1), title(&callee.0, &callee.2, callee.1));
        let share = human::percent((calls.ns as f64 / ns.max(1) as f64).min(1.0));
        out.push(Finding {
            severity: Severity::Medium,
            kind: "fan_out",
            statement: format!(
                "{from}: each of {} makes {} requests to {to}, {} at most: {share} of its time",
                plural(requests, "request"),
                human::rate(mean),
                human::count(calls.most)
            ),
            subject: from,
            evidence: vec![("requests", calls.rows)],
            next_step: "can they be made as one (a join, a batch, a pipeline)? A trace shows them in turn",
            section: "traces",
            impact: calls.calls,
        });
    }
    out.sort_by_key(|f| std::cmp::Reverse(f.impact));
    out
}
