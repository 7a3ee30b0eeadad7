//! What stands out: the few sentences that one who opens the report should read first.
//!
//! Everything here is counted from rows that the page shows further down, where each sentence points. No causes are guessed.

use crate::analysis::Analysis;
use crate::human;
use crate::report::statements::plural;
use crate::summary::Tcp;
use replay::model::Status;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Sentences of one kind, and of all kinds.
const OF_A_KIND: usize = 3;
const MOST: usize = 7;
/// What takes longer may be worth a look.
const SLOW_NS: u64 = 50_000_000;
/// Segments sent again, from which on it is more than a tail-loss probe now and then.
const RETRANSMISSIONS: u64 = 10;
/// Share of all CPUs from which on they count as busy.
const BUSY: f64 = 0.8;
/// Commands that wait for something to come; that they take long says nothing.
const WAITING: [&str; 9] = ["BLPOP", "BRPOP", "BLMOVE", "BZPOP", "XREAD", "SUBSCRIBE", "PSUBSCRIBE", "WAIT", "LISTEN"];
/// The kernel's reasons to drop packets that go with every connection's end, or that say nothing.
const HARMLESS: [&str; 8] = [
    "NOT_SPECIFIED",
    "TCP_OLD_DATA",
    "TCP_OLD_SEQUENCE",
    "TCP_OLD_ACK",
    "TCP_CLOSE",
    "TCP_RESET",
    "SKB_CONSUMED",
    "NO_SOCKET",
];

/// One sentence, and the section of the page that has more.
#[derive(Debug, Serialize)]
pub(super) struct Outstanding {
    pub(super) text: String,
    section: &'static str,
}

/// The sentences, failures first; none if nothing stands out.
pub(super) fn outstanding(a: &Analysis) -> Vec<Outstanding> {
    let mut out = Vec::new();
    let mut say = |section, texts: Vec<String>| {
        out.extend(texts.into_iter().take(OF_A_KIND).map(|text| Outstanding { text, section }));
    };
    say("endpoints", failing(a));
    say("requests", unanswered(a));
    say("map", refused(a));
    say("endpoints", slow(a));
    say("tcp", repeated(a));
    say("tcp", dropped(a));
    say("cpu", busy(a));
    out.truncate(MOST);
    out
}

/// Endpoints of all services that pass the same requests on to each other, put together: a proxy fails with what is behind it.
struct Endpoint<'a> {
    services: BTreeSet<&'a str>,
    name: (&'static str, &'a str),
    requests: u64,
    errors: u64,
    p50_ns: u64,
    p95_ns: u64,
}

impl Endpoint<'_> {
    fn title(&self) -> String {
        let services: Vec<&str> = self.services.iter().copied().take(3).collect();
        format!("{} {} ({})", services.join(", "), self.name.1, self.name.0).replace("  ", " ")
    }
}

fn endpoints(a: &Analysis) -> Vec<Endpoint<'_>> {
    let mut by_name: BTreeMap<(&'static str, &str), Endpoint<'_>> = BTreeMap::new();
    for row in &a.red().endpoints {
        let (c, name) = (&row.counts, (row.l7_protocol, &*row.endpoint));
        let e = by_name.entry(name).or_insert_with(|| Endpoint {
            services: BTreeSet::new(),
            name,
            requests: 0,
            errors: 0,
            p50_ns: 0,
            p95_ns: 0,
        });
        e.services.insert(&row.service);
        if c.requests > e.requests {
            e.requests = c.requests;
        }
        e.errors = e.errors.max(c.errors());
        if c.delay.p95_ns > e.p95_ns {
            (e.p50_ns, e.p95_ns) = (c.delay.p50_ns, c.delay.p95_ns);
        }
    }
    by_name.into_values().collect()
}

fn failing(a: &Analysis) -> Vec<String> {
    let mut failing: Vec<Endpoint<'_>> = endpoints(a).into_iter().filter(|e| e.errors > 0).collect();
    failing.sort_by_key(|e| std::cmp::Reverse(e.errors));
    failing.truncate(OF_A_KIND);
    let mut outcomes: BTreeMap<(&str, &str), BTreeMap<String, u64>> = BTreeMap::new();
    for (place, _) in a.counted() {
        let Some(fields) = a.replayed.requests.get(*place).map(|r| &r.fields) else { continue };
        let name = (fields.l7_protocol, &*fields.endpoint);
        if fields.status.is_error() && failing.iter().any(|e| e.name == name) {
            let said = match (fields.status, fields.code, &*fields.exception) {
                (Status::Timeout, ..) => "no answer in time".to_owned(),
                (_, Some(code), "") => code.to_string(),
                (_, Some(code), text) if fields.l7_protocol != "http" => format!("{code}: {text}"),
                (_, Some(code), _) => code.to_string(),
                (_, None, text) => text.to_owned(),
            };
            *outcomes.entry(name).or_default().entry(said).or_default() += 1;
        }
    }
    let tell = |e: &Endpoint<'_>| {
        let often =
            outcomes.get(&e.name).and_then(|said| said.iter().max_by_key(|(text, n)| (**n, std::cmp::Reverse(*text))));
        let often =
            often.filter(|(text, _)| !text.is_empty()).map(|(text, _)| format!(", mostly with {}", short(text)));
        let share = human::percent(e.errors as f64 / e.requests.max(1) as f64);
        let of = plural(e.requests, "request");
        format!("{}: {} of {of} failed ({share}){}", e.title(), human::count(e.errors), often.unwrap_or_default())
    };
    failing.iter().map(tell).collect()
}

/// Requests without an answer, by what they asked for.
#[derive(Default)]
struct Open {
    requests: u64,
    kinds: BTreeMap<String, u64>,
}

/// Requests whose connection ended instead of an answer.
fn unanswered(a: &Analysis) -> Vec<String> {
    let mut by_service: BTreeMap<(u32, &str), Open> = BTreeMap::new();
    for (place, service) in a.counted() {
        let Some(request) = a.replayed.requests.get(*place) else { continue };
        let fields = &request.fields;
        let is_open =
            fields.status == Status::Unknown && request.first_byte_ts.is_none() && !fields.exception.is_empty();
        if is_open && !fields.is_async {
            let open = by_service.entry((*service, fields.l7_protocol)).or_default();
            open.requests += 1;
            *open.kinds.entry(format!("{} {}", fields.request_type, fields.endpoint).trim().to_owned()).or_default() +=
                1;
        }
    }
    let mut all: Vec<_> = by_service.into_iter().collect();
    all.sort_by_key(|(_, open)| std::cmp::Reverse(open.requests));
    let tell = |((service, protocol), open): ((u32, &str), Open)| {
        let mut kinds: Vec<(String, u64)> = open.kinds.into_iter().collect();
        kinds.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let kinds: Vec<String> = kinds.into_iter().take(3).map(|(kind, n)| format!("{} {n}", short(&kind))).collect();
        let requests = plural(open.requests, "request");
        format!(
            "{} ({protocol}): {requests} without an answer when the connection was closed: {}",
            a.services().name(service),
            kinds.join(", ")
        )
    };
    all.into_iter().map(tell).collect()
}

/// Servers to which connections failed, as the place saw it that saw most of it.
fn refused(a: &Analysis) -> Vec<String> {
    let mut worst: BTreeMap<&str, &replay::map::Edge> = BTreeMap::new();
    for edge in a.edges().iter().filter(|e| e.connection_failures > 0) {
        let known = worst.entry(&edge.server).or_insert(edge);
        if edge.connection_failures > known.connection_failures {
            *known = edge;
        }
    }
    let mut worst: Vec<_> = worst.into_values().collect();
    worst.sort_by_key(|e| std::cmp::Reverse(e.connection_failures));
    let tell = |e: &replay::map::Edge| {
        let of = plural(e.connections, "connection");
        format!("{} \u{2192} {}: {} of {of} failed", e.client, e.server, human::count(e.connection_failures))
    };
    worst.into_iter().map(tell).collect()
}

fn slow(a: &Analysis) -> Vec<String> {
    let waits = |e: &Endpoint<'_>| WAITING.iter().any(|w| e.name.1.to_ascii_uppercase().starts_with(w));
    let mut slow: Vec<Endpoint<'_>> = endpoints(a).into_iter().filter(|e| e.p95_ns >= SLOW_NS && !waits(e)).collect();
    slow.sort_by_key(|e| std::cmp::Reverse(e.p95_ns));
    let tell = |e: &Endpoint<'_>| {
        let (p50, p95) = (human::duration(e.p50_ns), human::duration(e.p95_ns));
        format!("{}: slow, p50 {p50}, p95 {p95} of {}", e.title(), plural(e.requests, "request"))
    };
    slow.iter().take(2).map(tell).collect()
}

/// Pairs that had to send much again.
fn repeated(a: &Analysis) -> Vec<String> {
    let mut worst: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for edge in a.edges().iter().filter(|e| e.retransmissions >= RETRANSMISSIONS) {
        let n = worst.entry((&edge.client, &edge.server)).or_default();
        *n = edge.retransmissions.max(*n);
    }
    let mut worst: Vec<_> = worst.into_iter().collect();
    worst.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let tell = |((client, server), n): ((&str, &str), u64)| {
        format!("{client} \u{2192} {server}: {} sent again", plural(n, "TCP segment"))
    };
    worst.into_iter().take(2).map(tell).collect()
}

fn dropped(a: &Analysis) -> Vec<String> {
    let drops = Tcp::of(&a.replayed).drops;
    let drops: Vec<String> = drops
        .iter()
        .filter(|(why, _)| !why.is_empty() && !HARMLESS.contains(&why.as_str()))
        .take(3)
        .map(|(why, n)| format!("{why} {}", human::count(*n)))
        .collect();
    if drops.is_empty() { Vec::new() } else { vec![format!("Packets dropped by the kernel: {}", drops.join(", "))] }
}

/// Whether the CPUs had hardly time to spare, and who took it.
fn busy(a: &Analysis) -> Vec<String> {
    let r = &a.replayed;
    let Some(m) = r.manifest.as_ref().filter(|m| r.nodes.len() <= 1 && m.settings.sample_hz > 0) else {
        return Vec::new();
    };
    let hot = crate::summary::hot(&r.stacks);
    let samples: u64 = hot.iter().map(|h| h.samples).sum();
    let all = f64::from(m.settings.sample_hz) * f64::from(m.cpus) * a.length_ns() as f64 / 1e9;
    if all < 100.0 || (samples as f64) < BUSY * all {
        return Vec::new();
    }
    let share = |n: u64| human::percent((n as f64 / all).min(1.0));
    let who: Vec<String> = hot.iter().take(3).map(|h| format!("{} {}", h.process, share(h.samples))).collect();
    vec![format!("The CPUs were busy {} of the time: {}", share(samples), who.join(", "))]
}

fn short(text: &str) -> String {
    const LIMIT: usize = 80;
    if text.chars().count() <= LIMIT { text.to_owned() } else { text.chars().take(LIMIT).chain(['\u{2026}']).collect() }
}
