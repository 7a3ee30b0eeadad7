//! Slow endpoints, and where their time went.

use super::failing::Groups;
use super::tree::Tree;
use super::{Finding, Name, ROWS, Severity, title};
use crate::analysis::Analysis;
use crate::human;
use crate::report::plural;
use ahash::{AHashMap, AHashSet};
use replay::model::{Endpoints, Request, TapSide};
use replay::red::{endpoint_of, group_of};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What takes longer may be worth a look.
const SLOW_NS: u64 = 50_000_000;
/// Slow requests of an endpoint that are looked into, and spans below each.
const LOOKED_INTO: usize = 200;
const SPANS: usize = 10_000;
/// A part of the time that is worth telling.
const PART: f64 = 0.1;
/// Commands that wait for something to come; that they take long says nothing.
const WAITING: [&str; 10] =
    ["BLPOP", "BRPOP", "BLMOVE", "BZPOP", "XREAD", "SUBSCRIBE", "PSUBSCRIBE", "WAIT", "LISTEN", "BRPOPLPUSH"];

/// Who had the time: a service itself, the way between two, or one that is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Itself(Arc<str>, &'static str, Arc<str>),
    Between(Arc<str>, Arc<str>),
    Awaited(Arc<str>, &'static str, Arc<str>),
    Connecting(Arc<str>, Arc<str>),
    Sending(Arc<str>, Arc<str>, bool),
}

pub(super) fn findings(a: &Analysis, tree: &Tree<'_>, groups: &Groups<'_>) -> Vec<Finding> {
    let waits = |endpoint: &str| WAITING.iter().any(|w| endpoint.to_ascii_uppercase().starts_with(w));
    let mut slow: Vec<_> =
        groups.rows().filter(|row| row.counts.delay.p95_ns >= SLOW_NS && !waits(&row.endpoint)).collect();
    // Most time lost first; equal ones in the order of names.
    slow.sort_by_key(|row| std::cmp::Reverse(row.counts.delay.sum_ns));
    slow.truncate(20);
    if slow.is_empty() {
        return Vec::new();
    }
    let ways = Ways::new(a);
    let mut explained: BTreeSet<Name> = BTreeSet::new();
    let names: BTreeMap<Name, u64> = slow
        .iter()
        .map(|row| ((row.service.clone(), row.l7_protocol, row.endpoint.clone()), row.counts.delay.p95_ns))
        .collect();
    let mut chosen: BTreeMap<Name, Vec<&Request>> = BTreeMap::new();
    for (place, service) in a.counted() {
        let Some(request) = a.replayed.requests.get(*place) else { continue };
        let Some(ns) = request.duration_ns().filter(|ns| *ns >= SLOW_NS) else { continue };
        let group = endpoint_of(&request.fields).into();
        let key = (a.services().name(*service), request.fields.l7_protocol, group);
        if names.get(&key).is_some_and(|p95| ns >= p95 / 2) {
            chosen.entry(key).or_default().push(request);
        }
    }
    let mut out: Vec<(u32, Finding)> = Vec::new();
    // Outermost first: what is inside of them need not be told again.
    let depth = |requests: &[&Request]| {
        let first = requests.first().and_then(|r| tree.of_request(r.request_id));
        std::iter::successors(first, |place| tree.above(*place)).take(64).count() as u32
    };
    let mut ordered: Vec<_> = slow
        .iter()
        .filter_map(|row| {
            let requests = chosen.remove(&(row.service.clone(), row.l7_protocol, row.endpoint.clone()))?;
            Some((depth(&requests), *row, requests))
        })
        .collect();
    ordered.sort_by_key(|(depth, ..)| *depth);
    for (depth, row, mut requests) in ordered {
        if explained.contains(&(row.service.clone(), row.l7_protocol, row.endpoint.clone())) {
            continue;
        }
        // Those that failed are told with what they failed of.
        let failed = requests.iter().filter(|r| r.fields.status.is_error()).count();
        if failed * 2 > requests.len() {
            continue;
        }
        requests.sort_by_key(|r| std::cmp::Reverse(r.duration_ns()));
        requests.truncate(LOOKED_INTO);
        let parts = parts(a, tree, &ways, &requests);
        explained.extend(parts.passed);
        let c = &row.counts.delay;
        let (p50, p95) = (human::duration(c.p50_ns), human::duration(c.p95_ns));
        let title = title(&row.service, &row.endpoint, row.l7_protocol);
        let of = plural(row.counts.requests, "request");
        // That who asks for something slow waits for it is no news.
        let own = Holder::Awaited(row.service.clone(), row.l7_protocol, row.endpoint.clone());
        let told = parts.told.iter().filter(|(holder, _)| *holder != own);
        let told: Vec<String> = told.map(|(holder, share)| tell(a, holder, *share)).collect();
        let told =
            if told.is_empty() { String::new() } else { format!("; of the slow ones' time {}", told.join(", ")) };
        out.push((
            depth,
            Finding {
                severity: Severity::Medium,
                kind: "slow",
                subject: title.clone(),
                statement: format!("{title}: slow, p50 {p50}, p95 {p95} of {of}{told}"),
                evidence: vec![("requests", requests.iter().take(ROWS).map(|r| r.request_id).collect())],
                next_step: "a slow request's trace: report section Traces; what ran meanwhile: `analyze stacks`",
                section: "traces",
                impact: c.sum_ns,
            },
        ));
    }
    out.sort_by_key(|(_, f)| std::cmp::Reverse(f.impact));
    out.into_iter().map(|(_, f)| f).collect()
}

/// Where the time of some requests went.
struct Parts {
    /// The largest parts with their share.
    told: Vec<(Holder, f64)>,
    /// Endpoints that most of the time was spent in or below.
    passed: BTreeSet<Name>,
}

fn parts(a: &Analysis, tree: &Tree<'_>, ways: &Ways, requests: &[&Request]) -> Parts {
    let mut by_holder: BTreeMap<Holder, u64> = BTreeMap::new();
    let mut through: BTreeMap<Name, u64> = BTreeMap::new();
    let mut all = 0;
    for request in requests {
        let Some(top) = tree.of_request(request.request_id) else { continue };
        let whole = request.duration_ns().unwrap_or(0);
        all += whole;
        for (place, depth) in tree.below(top, SPANS) {
            let Some(span) = tree.get(place) else { continue };
            let inner = usize::try_from(span.request_id).ok().and_then(|i| a.replayed.requests.get(i));
            let Some(inner) = inner else { continue };
            let Some((client, server)) = a.services().of_flow(inner.flow_id) else { continue };
            let (client, server) = (a.services().name(client), a.services().name(server));
            let name = || (server.clone(), inner.fields.l7_protocol, Arc::from(&*endpoint_of(&inner.fields)));
            let holder = match span.tap_side {
                TapSide::ServerProcess | TapSide::App => {
                    if depth > 0 {
                        *through.entry(name()).or_default() += super::tree::length_ns(span);
                    }
                    let (service, protocol, endpoint) = name();
                    Holder::Itself(service, protocol, endpoint)
                }
                _ if tree.children(place).next().is_some() => Holder::Between(client.clone(), server),
                _ => {
                    let (service, protocol, endpoint) = name();
                    Holder::Awaited(service, protocol, endpoint)
                }
            };
            let mut own = span.self_ns;
            if let Holder::Itself(service, ..) = &holder {
                for (other, ns) in elsewhere(a, tree, ways, place, inner) {
                    let ns = ns.min(own);
                    own -= ns;
                    *by_holder.entry(other).or_default() += ns;
                }
                // An answer that takes most of the time to go out: made piece by piece, or taken slowly.
                let sent = inner.response_ts.zip(inner.first_byte_ts);
                let sent = sent.map_or(0, |(last, first)| u64::try_from(last.saturating_sub(first)).unwrap_or(0));
                if sent > own / 2 && sent >= SLOW_NS && tree.children(place).next().is_none() {
                    let closed = ways.closed.contains(&inner.endpoints);
                    *by_holder.entry(Holder::Sending(service.clone(), client.clone(), closed)).or_default() +=
                        sent.min(own);
                    own = own.saturating_sub(sent);
                }
            }
            *by_holder.entry(holder).or_default() += own;
        }
    }
    let all = all.max(1) as f64;
    let mut told: Vec<(Holder, f64)> = by_holder.into_iter().map(|(h, ns)| (h, ns as f64 / all)).collect();
    told.retain(|(_, share)| *share >= PART);
    told.sort_by(|a, b| b.1.total_cmp(&a.1));
    told.truncate(3);
    let passed = through.into_iter().filter(|(_, ns)| *ns as f64 / all >= 0.5).map(|(name, _)| name).collect();
    Parts { told, passed }
}

/// What connections went through that requests do not show.
struct Ways {
    /// Handshakes that took long: when they began, and how long.
    connecting: AHashMap<Endpoints, (i64, u64)>,
    /// Conversations whose client closed its receive window.
    closed: AHashSet<Endpoints>,
}

impl Ways {
    fn new(a: &Analysis) -> Self {
        let flows = || a.replayed.flows.iter();
        // A lost SYN is seen where it was sent from: the longest counts.
        let mut connecting: AHashMap<Endpoints, (i64, u64)> = AHashMap::new();
        for (flow, ns) in flows().filter_map(|f| Some((f, f.rtt_ns.filter(|ns| *ns >= SLOW_NS / 5)?))) {
            let known = connecting.entry(flow.endpoints).or_default();
            *known = (*known).max((flow.start, ns));
        }
        let closed = flows().filter(|f| f.client.zero_window > 0).map(|f| f.endpoints).collect();
        Self { connecting, closed }
    }
}

/// What a process waited for that is not in its children's spans: connections to be made, requests that got no answer.
fn elsewhere(a: &Analysis, tree: &Tree<'_>, ways: &Ways, place: u32, request: &Request) -> Vec<(Holder, u64)> {
    let (Some(from), Some(to)) = (request.request_ts, request.response_ts) else { return Vec::new() };
    let ns = |from: i64, to: i64| u64::try_from(to.saturating_sub(from)).unwrap_or(0);
    let mut out = Vec::new();
    for child in tree.children(place) {
        let inner = tree.get(child).and_then(|s| a.replayed.requests.get(usize::try_from(s.request_id).ok()?));
        let Some((inner, (client, server))) = inner.and_then(|q| Some((q, a.services().of_flow(q.flow_id)?))) else {
            continue;
        };
        let (client, server) = (a.services().name(client), a.services().name(server));
        if let Some((start, length)) = ways.connecting.get(&inner.endpoints)
            && *start >= from
        {
            out.push((Holder::Connecting(client.clone(), server.clone()), (*length).min(ns(*start, to))));
        }
        if let (true, Some(asked)) = (super::is_open(inner), inner.request_ts) {
            let end = a.replayed.flows.get(inner.flow_id as usize).map_or(to, |f| f.end.min(to));
            out.push((
                Holder::Awaited(server, inner.fields.l7_protocol, endpoint_of(&inner.fields).into()),
                ns(asked, end),
            ));
        }
    }
    out
}

fn tell(a: &Analysis, holder: &Holder, share: f64) -> String {
    let share = human::percent(share.min(1.0));
    match holder {
        Holder::Itself(service, protocol, endpoint) => {
            let what = computing(a, service, endpoint).unwrap_or_default();
            format!("{share} in {}{what}", title(service, endpoint, protocol))
        }
        Holder::Between(client, server) => {
            format!("{share} between {client} and {server} (network, or queued before {server} read it)")
        }
        Holder::Connecting(client, server) => format!("{share} connecting {client} to {server}"),
        Holder::Sending(service, client, true) => {
            format!(
                "{share} sending the answer from {service} to {client}, whose receive window was closed: it reads slowly"
            )
        }
        Holder::Sending(service, client, false) => {
            format!("{share} between first and last byte of the answer from {service} to {client}")
        }
        Holder::Awaited(service, protocol, endpoint) => {
            format!("{share} waiting for {}", title(service, endpoint, protocol))
        }
    }
}

/// Whether a service computed while it served an endpoint: its samples against the time of its requests.
fn computing(a: &Analysis, service: &str, endpoint: &str) -> Option<String> {
    let r = &a.replayed;
    if r.manifest.as_ref().is_none_or(|m| m.settings.sample_hz == 0) {
        return None;
    }
    let mine = |s: &&replay::model::Stack| {
        s.kind == "on_cpu" && &*s.process == service && *group_of(&s.endpoint) == *endpoint && !endpoint.is_empty()
    };
    let (mut cpu_ns, mut leaves) = (0, BTreeMap::<&str, u64>::new());
    for s in r.stacks.iter().filter(mine) {
        cpu_ns += s.value_ns;
        *leaves.entry(s.frames.rsplit(';').next().unwrap_or_default()).or_default() += s.samples;
    }
    let mut spent = 0;
    for span in r.spans.iter().filter(|s| s.tap_side == TapSide::ServerProcess && &*s.service == service) {
        let request = usize::try_from(span.request_id).ok().and_then(|i| r.requests.get(i));
        if request.is_some_and(|q| *endpoint_of(&q.fields) == *endpoint) {
            spent += span.self_ns;
        }
    }
    if spent == 0 {
        return None;
    }
    let share = cpu_ns as f64 / spent as f64;
    let hottest = leaves.iter().max_by_key(|(name, n)| (**n, std::cmp::Reverse(**name))).map(|(name, _)| *name);
    match hottest {
        Some(function) if share >= 0.5 => Some(format!(" computing (mostly {})", super::short(function))),
        _ if share < 0.2 => Some(" itself, off CPU (waiting for a lock, pool, disk, timer or CPU)".into()),
        _ => Some(" itself".into()),
    }
}
