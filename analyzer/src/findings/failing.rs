//! Requests that failed or got no answer, put together by what they failed of.

use super::connections::{self, Failures, how_failed};
use super::tree::Tree;
use super::{Finding, Name, ROWS, Severity, is_open, short, title};
use crate::analysis::Analysis;
use crate::human;
use crate::report::plural;
use ahash::{AHashMap, AHashSet};
use replay::map::is_failed;
use replay::model::{Flow, ObservedAt, Replayed, Request, Status, TapSide, Transport};
use replay::red::endpoint_of;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Spans below a failed request that are looked at.
const LOOKED_AT: usize = 10_000;
/// A server that dies closes its connections at once: so long after the last sign of a request it can have been that.
const DEATH_NS: i64 = 50_000_000;

/// Requests by service and endpoint.
pub(super) struct Groups<'a> {
    by_name: BTreeMap<Name, &'a replay::red::Row>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(a: &'a Analysis) -> Self {
        let rows = a.red().endpoints.iter();
        Self { by_name: rows.map(|r| ((r.service.clone(), r.l7_protocol, r.endpoint.clone()), r)).collect() }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &'a replay::red::Row> {
        self.by_name.values().copied()
    }

    fn requests(&self, name: &Name) -> u64 {
        self.by_name.get(name).map_or(0, |r| r.counts.requests)
    }
}

/// What requests failed of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// A process was ended by a signal while it served them: its name, the signal.
    Killed(Arc<str>, i32),
    /// Connections that failed: client, server, how.
    Connection(Arc<str>, Arc<str>, &'static str),
    /// A service that did not answer: its name, the protocol.
    Unanswered(Arc<str>, &'static str),
    /// Answers that a process sent, and that did not come to the other: client, server, protocol.
    NotArrived(Arc<str>, Arc<str>, &'static str),
    /// A request that failed by itself.
    Request(Name, bool),
}

/// What a cause led to.
#[derive(Default)]
struct Effects {
    /// Requests that failed by themselves, by what was said.
    said: BTreeMap<String, u64>,
    /// Requests without an answer, by what they asked for.
    kinds: BTreeMap<String, u64>,
    /// Why there was none.
    ends: BTreeMap<&'static str, u64>,
    /// Longest wait of these, ns.
    waited_ns: u64,
    /// Requests that failed of it: service, endpoint, code.
    after: BTreeMap<(Arc<str>, Arc<str>, String), u64>,
    /// Of the own ones, and of the others.
    own: u64,
    others: u64,
    requests: Vec<u64>,
    /// Exchanges that got no answer, each once however many places saw it.
    exchanges: BTreeSet<u64>,
}

/// What went wrong around the requests of the processes.
struct Around<'a> {
    r: &'a Replayed,
    /// By pid of the client: failed connections, by time.
    failed: AHashMap<u32, Vec<(i64, &'a Flow)>>,
    /// By pid: when a signal ended it, and which.
    killed: AHashMap<u32, Vec<(i64, i32)>>,
    /// By conversation: how packets saw it end.
    ends: AHashMap<u64, (&'a str, i64)>,
}

impl<'a> Around<'a> {
    fn new(r: &'a Replayed) -> Self {
        let mut failed: AHashMap<u32, Vec<(i64, &Flow)>> = AHashMap::new();
        let mut ends = AHashMap::new();
        for flow in &r.flows {
            if let Some(p) = flow.client_process.as_ref().filter(|_| is_failed(flow)) {
                failed.entry(p.pid).or_default().push((flow.start, flow));
            }
            if let (ObservedAt::Interface(_), Some(conversation)) =
                (&flow.observed_at, r.conversations.get(flow.flow_id as usize))
            {
                ends.entry(*conversation).or_insert((flow.conn_state, flow.end));
            }
        }
        let mut killed: AHashMap<u32, Vec<(i64, i32)>> = AHashMap::new();
        for p in &r.processes {
            if let (Some(end), Some(signal)) = (p.end, super::exits::signal(p)) {
                killed.entry(p.pid).or_default().push((end, signal));
            }
        }
        Self { r, failed, killed, ends }
    }

    /// The connection of the process that failed while it served the request.
    fn failed_connection(&self, request: &Request) -> Option<&'a Flow> {
        let (start, end) = (request.request_ts?, request.response_ts.or(request.first_byte_ts)?);
        let flows = self.failed.get(&request.process.as_ref()?.pid)?;
        let from = flows.partition_point(|(at, _)| *at < start);
        flows.get(from).filter(|(at, _)| *at <= end).map(|(_, flow)| *flow)
    }

    /// The signal that ended the process which was to answer, right when the connection ended.
    fn killed_by(&self, request: &Request) -> Option<(Arc<str>, i32)> {
        let flow = self.r.flows.get(usize::try_from(request.flow_id).ok()?)?;
        let server = flow.server_process.as_ref()?;
        let start = request.request_ts?;
        let died = self.killed.get(&server.pid)?.iter();
        let near = died.filter(|(at, _)| *at >= start && *at <= flow.end.saturating_add(DEATH_NS));
        near.map(|(_, signal)| (server.name.clone(), *signal)).next()
    }

    /// How the connection of a request without an answer ended.
    fn end_of(&self, request: &Request) -> &'static str {
        let flow = usize::try_from(request.flow_id).ok();
        let Some(flow) = flow.and_then(|i| self.r.flows.get(i)) else { return "" };
        let seen = self.r.conversations.get(flow.flow_id as usize).and_then(|c| self.ends.get(c));
        match seen.map_or(flow.conn_state, |(state, _)| state) {
            "RSTR" | "RSTRH" => "the server reset the connection",
            "RSTO" => "the client reset the connection",
            "S2" => "the client gave up and closed the connection",
            _ if flow.transport == Transport::Udp => "nothing came back before the client closed its socket",
            "SF" => "the connection was closed",
            _ => "",
        }
    }

    fn waited_ns(&self, request: &Request, until: Option<i64>) -> u64 {
        let flow = usize::try_from(request.flow_id).ok().and_then(|i| self.r.flows.get(i));
        let (Some(flow), Some(start)) = (flow, request.request_ts) else { return 0 };
        if flow.transport == Transport::Udp {
            return 0;
        }
        let seen = self.r.conversations.get(flow.flow_id as usize).and_then(|c| self.ends.get(c));
        let end = seen.map_or(flow.end, |(_, end)| *end);
        u64::try_from(until.map_or(end, |until| end.min(until)).saturating_sub(start)).unwrap_or(0)
    }
}

pub(super) fn findings(a: &Analysis, tree: &Tree<'_>, groups: &Groups<'_>) -> Vec<Finding> {
    let r = &a.replayed;
    let mut causes: BTreeMap<Cause, Effects> = BTreeMap::new();
    let mut around: Option<Around<'_>> = None;
    let mut failures = Failures::new(a);
    // Exchanges that some place saw end without an answer: a server alone does not know when its client no longer waits.
    let gone = r.requests.iter().filter(|q| is_open(q) && !q.fields.exception.is_empty());
    let given_up: AHashSet<u64> = gone.filter_map(|q| r.exchanges.get(q.request_id as usize)).copied().collect();
    for (place, service) in a.counted() {
        let Some(request) = r.requests.get(*place) else { continue };
        let is_error = request.fields.status.is_error() && !is_open(request);
        let exchange = r.exchanges.get(request.request_id as usize);
        let gave_up = is_open(request) && exchange.is_some_and(|e| given_up.contains(e));
        if !is_error && !gave_up {
            continue;
        }
        let around = around.get_or_insert_with(|| Around::new(r));
        let name = name_of(a, request, *service);
        let found = deepest(a, tree, request);
        let cause = match found {
            Some((_, inner)) if is_open(inner) && is_answered(a, tree, inner) => {
                let (client, server) = a.services().of_flow(inner.flow_id).unwrap_or_default();
                Cause::NotArrived(a.services().name(client), a.services().name(server), inner.fields.l7_protocol)
            }
            Some((_, inner)) if is_open(inner) => lost(a, around, inner, name.clone()),
            Some((depth, inner)) if depth > 0 && inner.fields.status.is_error() => {
                let inner_name = a.services().of_request(inner).map_or(name.clone(), |s| name_of(a, inner, s));
                Cause::Request(inner_name, inner.fields.status == Status::ClientError)
            }
            _ if gave_up => lost(a, around, request, name.clone()),
            _ => match around.failed_connection(request) {
                Some(flow) => {
                    let (client, server) = a.services().of_flow(flow.flow_id).unwrap_or_default();
                    // One way of failing for a pair: that of most of its connections.
                    let (client, server) = (a.services().name(client), a.services().name(server));
                    let how = failures.how(&client, &server).unwrap_or(how_failed(flow));
                    Cause::Connection(client, server, how)
                }
                None => Cause::Request(name.clone(), request.fields.status == Status::ClientError),
            },
        };
        let is_own = match &cause {
            Cause::Request(cause, _) => *cause == name,
            Cause::Unanswered(service, protocol) => gave_up && *service == name.0 && *protocol == name.1,
            Cause::Killed(service, _) => gave_up && *service == name.0,
            Cause::Connection(..) | Cause::NotArrived(..) => false,
        };
        let effects = causes.entry(cause).or_default();
        if let Some((_, inner)) = found.filter(|(_, inner)| is_open(inner)) {
            effects.open(around, inner, request.response_ts);
        } else if gave_up {
            effects.open(around, request, None);
        }
        if is_own {
            effects.own += 1;
            if is_error {
                *effects.said.entry(said(request)).or_default() += 1;
            }
        } else {
            effects.others += 1;
            *effects.after.entry((name.0, name.2, said(request))).or_default() += 1;
        }
        if effects.requests.len() < ROWS {
            effects.requests.push(request.request_id);
        }
    }
    fold(&mut causes);
    let mut out = wrong_questions(groups, &mut causes);
    let told: Vec<Finding> =
        causes.into_iter().map(|(cause, effects)| tell(groups, &mut failures, cause, &effects)).collect();
    out.extend(told);
    out.extend(failures.rest());
    out.sort_by_key(|f| std::cmp::Reverse((f.severity, f.impact)));
    out
}

/// A few failures that nothing explains, of an endpoint of which most of the same kind are explained, go with these; and so do answers whose
/// requests were not seen.
fn fold(causes: &mut BTreeMap<Cause, Effects>) {
    let own: Vec<(Cause, Name, u64, String)> = causes
        .iter()
        .filter_map(|(cause, e)| match cause {
            Cause::Request(name, _) if e.others == 0 => {
                Some((cause.clone(), name.clone(), e.own, most(&e.said)?.clone()))
            }
            _ => None,
        })
        .collect();
    for (cause, name, n, said) in own {
        let explained = causes.iter().filter(|(other, _)| **other != cause).filter_map(|(other, e)| {
            let same = e.after.iter().filter(|((service, endpoint, s), _)| {
                *service == name.0 && *s == said && (*endpoint == name.2 || name.2.is_empty())
            });
            let most: u64 = same.map(|(_, n)| n).sum();
            (most > 0 && (n * 5 <= most || name.2.is_empty())).then(|| (most, other.clone()))
        });
        let Some((_, to)) = explained.max() else { continue };
        causes.remove(&cause);
        if let Some(effects) = causes.get_mut(&to) {
            effects.others += n;
            *effects.after.entry((name.0, name.2, said)).or_default() += n;
        }
    }
}

/// Client errors of one service that say the same of several endpoints (names that do not exist, paths that are not there) are told as one.
fn wrong_questions(groups: &Groups<'_>, causes: &mut BTreeMap<Cause, Effects>) -> Vec<Finding> {
    let mut alike: BTreeMap<(Arc<str>, &'static str, String), Vec<Name>> = BTreeMap::new();
    for (cause, effects) in causes.iter().filter(|(_, e)| e.others == 0) {
        if let (Cause::Request(name, true), Some(said)) = (cause, most(&effects.said)) {
            alike.entry((name.0.clone(), name.1, said.clone())).or_default().push(name.clone());
        }
    }
    let mut out = Vec::new();
    for ((service, protocol, said), names) in alike.into_iter().filter(|(_, names)| names.len() > 1) {
        let mut parts: Vec<(u64, Name, Effects)> = names
            .into_iter()
            .filter_map(|name| causes.remove(&Cause::Request(name.clone(), true)).map(|e| (e.own, name, e)))
            .collect();
        parts.sort_by(|a, b| (b.0, &a.1).cmp(&(a.0, &b.1)));
        let n: u64 = parts.iter().map(|(n, ..)| n).sum();
        let all: u64 = groups
            .rows()
            .filter(|r| r.service == service && r.l7_protocol == protocol)
            .map(|r| r.counts.requests)
            .sum();
        let listed: Vec<String> =
            parts.iter().take(3).map(|(n, name, _)| format!("{} {}", short(&name.2), human::count(*n))).collect();
        let more = parts.len().saturating_sub(3);
        let more = if more > 0 { format!(", {more} more") } else { String::new() };
        // A resolver's search list: names that begin with one that exists.
        let found = groups.rows().filter(|r| protocol == "dns" && r.counts.requests > r.counts.errors());
        let mut found = found.filter(|r| {
            !r.endpoint.is_empty() && parts.iter().all(|(_, name, _)| name.2.starts_with(&format!("{}.", r.endpoint)))
        });
        let search =
            found.next().map(|r| format!("; search domains were appended to {}, which exists", short(&r.endpoint)));
        let of = plural(all.max(n), "request");
        let share = human::percent(n as f64 / all.max(n).max(1) as f64);
        out.push(Finding {
            severity: Severity::Low,
            kind: "request_errors",
            subject: format!("{service} ({protocol})"),
            statement: format!(
                "{service} ({protocol}): {} of {of} failed ({share}) with {}: {}{more}{}",
                human::count(n),
                short(&said),
                listed.join(", "),
                search.unwrap_or_default()
            ),
            evidence: vec![("requests", parts.iter().flat_map(|(.., e)| e.requests.clone()).take(ROWS).collect())],
            next_step: "who asks for them: `analyze requests`, columns process and user_agent of the client's rows",
            section: "endpoints",
            impact: n,
        });
    }
    out
}

impl Effects {
    /// What was asked for most, with how often.
    fn most_kinds(&self) -> String {
        let mut kinds: Vec<_> = self.kinds.iter().collect();
        kinds.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        kinds.into_iter().take(3).map(|(k, n)| format!("{} {n}", short(k))).collect::<Vec<_>>().join(", ")
    }

    /// One more without an answer; nobody waited for it beyond `until`.
    fn open(&mut self, around: &Around<'_>, request: &Request, until: Option<i64>) {
        let exchange = around.r.exchanges.get(request.request_id as usize).copied().unwrap_or(request.request_id);
        if !self.exchanges.insert(exchange) {
            return;
        }
        let (fields, endpoint) = (&request.fields, endpoint_of(&request.fields));
        let kind =
            if *endpoint == *fields.request_type { &*endpoint } else { &format!("{} {endpoint}", fields.request_type) };
        *self.kinds.entry(kind.trim().to_owned()).or_default() += 1;
        *self.ends.entry(around.end_of(request)).or_default() += 1;
        self.waited_ns = self.waited_ns.max(around.waited_ns(request, until));
    }

    /// `; so failed nginx /api/price (502) 66, ...`
    fn consequences(&self) -> String {
        let mut all: Vec<_> = self.after.iter().collect();
        all.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let listed = all.iter().take(3).map(|((service, endpoint, said), n)| {
            let said = if said.is_empty() { String::new() } else { format!(" ({})", short(said)) };
            format!("{}{said} {}", short(format!("{service} {endpoint}").trim()), human::count(**n))
        });
        let listed: Vec<String> = listed.collect();
        let more =
            if all.len() > 3 { format!(", {} more", plural(all.len() as u64 - 3, "endpoint")) } else { String::new() };
        if listed.is_empty() { String::new() } else { format!("; so failed {}{more}", listed.join(", ")) }
    }
}

pub(super) fn most<K: Ord + Clone>(counts: &BTreeMap<K, u64>) -> Option<&K> {
    counts.iter().max_by_key(|(key, n)| (**n, std::cmp::Reverse((*key).clone()))).map(|(key, _)| key)
}

fn name_of(a: &Analysis, request: &Request, service: u32) -> Name {
    let f = &request.fields;
    (a.services().name(service), f.l7_protocol, endpoint_of(f).into())
}

/// A request that got no answer: of a process that was ended by a signal, or just so.
fn lost(a: &Analysis, around: &Around<'_>, request: &Request, name: Name) -> Cause {
    match around.killed_by(request) {
        Some((process, signal)) => Cause::Killed(process, signal),
        None => {
            let service = a.services().of_request(request).map_or(name.0, |s| a.services().name(s));
            Cause::Unanswered(service, request.fields.l7_protocol)
        }
    }
}

/// The failed or unanswered request furthest down from this one, with its depth.
fn deepest<'a>(a: &'a Analysis, tree: &Tree<'_>, request: &Request) -> Option<(u32, &'a Request)> {
    let top = tree.of_request(request.request_id)?;
    let of = |place: u32| a.replayed.requests.get(usize::try_from(tree.get(place)?.request_id).ok()?);
    let below = tree.below(top, LOOKED_AT).into_iter().filter_map(|(place, depth)| Some((depth, of(place)?)));
    let failed = below.filter(|(_, r)| r.fields.status.is_error() || is_open(r));
    failed.max_by_key(|(depth, r)| (*depth, std::cmp::Reverse(r.request_id)))
}

/// Whether the process that was asked did answer.
fn is_answered(a: &Analysis, tree: &Tree<'_>, request: &Request) -> bool {
    let Some(place) = tree.of_request(request.request_id) else { return false };
    tree.below(place, LOOKED_AT).into_iter().filter_map(|(place, _)| tree.get(place)).any(|span| {
        let inner = usize::try_from(span.request_id).ok().and_then(|i| a.replayed.requests.get(i));
        let same = |q: &&Request| {
            a.replayed.exchanges.get(q.request_id as usize) == a.replayed.exchanges.get(request.request_id as usize)
        };
        span.tap_side == TapSide::ServerProcess && inner.filter(same).is_some_and(|q| q.first_byte_ts.is_some())
    })
}

/// What the answer said, or that there was none.
fn said(request: &Request) -> String {
    let fields = &request.fields;
    if is_open(request) {
        return "no answer".to_owned();
    }
    match (fields.status, fields.code, &*fields.exception) {
        (Status::Timeout, ..) => "no answer in time".to_owned(),
        // The status line had come, the rest had not: the code is not why it failed.
        (_, _, text) if text.starts_with("connection closed") => text.to_owned(),
        (_, Some(code), "") => code.to_string(),
        (_, Some(code), text) if fields.l7_protocol != "http" => format!("{code}: {text}"),
        (_, Some(code), _) => code.to_string(),
        (_, None, text) => text.to_owned(),
    }
}

fn tell(groups: &Groups<'_>, failures: &mut Failures, cause: Cause, effects: &Effects) -> Finding {
    let impact = effects.own + effects.others;
    let evidence = vec![("requests", effects.requests.clone())];
    let finding = |severity, kind, subject: String, statement: String, section, next_step| Finding {
        severity,
        kind,
        subject,
        statement,
        evidence: evidence.into_iter().filter(|(_, rows)| !rows.is_empty()).collect(),
        next_step,
        section,
        impact,
    };
    match cause {
        Cause::Request(name, is_client_error) => {
            let said = most(&effects.said).filter(|said| !said.is_empty());
            let said = said.map(|said| format!(", mostly with {}", short(said))).unwrap_or_default();
            let (n, requests) = (effects.own, groups.requests(&name).max(effects.own));
            let share = human::percent(n as f64 / requests.max(1) as f64);
            let title = title(&name.0, &name.2, name.1);
            let of = plural(requests, "request");
            let text = format!("{title}: {} of {of} failed ({share}){said}{}", human::count(n), effects.consequences());
            // What the client asked wrongly is an answer, unless something else failed of it.
            let severity = match (is_client_error, effects.others) {
                (true, 0) => Severity::Low,
                (true, _) => Severity::Medium,
                (false, _) => Severity::High,
            };
            let next =
                "the failing requests and their traces: `analyze requests --filter ...`, report section Requests";
            finding(severity, "request_errors", title, text, "endpoints", next)
        }
        Cause::Unanswered(service, protocol) => {
            let n: u64 = effects.kinds.values().sum();
            let end = most(&effects.ends).filter(|end| !end.is_empty());
            let waited = human::duration(effects.waited_ns);
            let waited = if effects.waited_ns == 0 { String::new() } else { format!(" (after {waited} at most)") };
            let end = end.map(|end| format!("; {end}{waited}")).unwrap_or_default();
            let requests = plural(n, "request");
            let text = format!(
                "{service} ({protocol}): {requests} without an answer: {}{end}{}",
                effects.most_kinds(),
                effects.consequences()
            );
            let next = "what the server was doing then: its stacks, its log";
            finding(Severity::High, "unanswered", service.to_string(), text, "requests", next)
        }
        Cause::Killed(process, signal) => {
            let signal = super::exits::signal_name(signal);
            let text = format!(
                "{process} was killed by {signal} while it served requests: {}{}",
                effects.most_kinds(),
                effects.consequences()
            );
            let next = "the process' log and core dump, the kernel's log (out of memory); `analyze processes`";
            finding(Severity::High, "killed", process.to_string(), text, "processes", next)
        }
        Cause::NotArrived(client, server, protocol) => {
            let n = plural(effects.exchanges.len() as u64, "request");
            let waited = human::duration(effects.waited_ns);
            let text = format!(
                "{client} \u{2192} {server} ({protocol}): {server} answered {n}, and the answers did not arrive at {client} \
                 ({waited} waited at most): lost on the way{}",
                effects.consequences()
            );
            let next = "segments sent again and their size (MTU), drops, firewalls: `analyze hops`, `analyze tcp-packets --flow ID`";
            finding(Severity::High, "unanswered", format!("{client} \u{2192} {server}"), text, "tcp", next)
        }
        Cause::Connection(client, server, how) => {
            let key = (client, server, how);
            let pair = failures.by_pair.entry(key.clone()).or_default();
            pair.told = true;
            let text = format!("{}{}", Failures::sentence(&key, pair), effects.consequences());
            let subject = format!("{} \u{2192} {}", key.0, key.1);
            let mut out = finding(Severity::High, "connection_failures", subject, text, "map", connections::NEXT);
            out.evidence.push(("flows", pair.flows.clone()));
            out
        }
    }
}
