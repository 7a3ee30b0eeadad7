//! The page's tables of requests, endpoints, kernel events and facts.

use super::choice::first_by;
use super::columns::{Builder, Kind, MOST_ROWS, Strings, Table};
use super::flows::address;
use super::series::{Buckets, small_lines};
use crate::analysis::Analysis;
use ahash::AHashMap;
use replay::map::Edge;
use replay::model::{Node, Request, SocketEvent, TapSide};
use replay::red::{Row, View};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// Rows with a small line of their rate over time.
const MOST_LINES: usize = 500;

fn span(a: i64, b: i64) -> Option<i64> {
    Some(b.saturating_sub(a))
}

/// Columns that services and endpoints have in common.
fn red<'a>(
    analysis: &Analysis,
    buckets: Buckets,
    strings: &'a mut Strings,
    rows: &'a [Row],
    over_time: &'a [Row],
    with_endpoint: bool,
) -> Builder<'a, Row> {
    let wanted: Vec<&Row> = rows.iter().take(MOST_LINES).collect();
    let lines = small_lines(analysis, buckets, over_time, &wanted);
    let table = Builder::new(strings, rows.get(..MOST_ROWS).unwrap_or(rows), rows.len())
        .file("tables/red.parquet", "those with most requests")
        .text("service", "Service", Kind::Text, |r| &*r.service);
    let table = if with_endpoint { table.text("endpoint", "Endpoint", Kind::Code, |r| &*r.endpoint) } else { table };
    let delay = |r: &Row, ns: u64| (r.counts.delay.count > 0).then_some(ns);
    table
        .text("l7_protocol", "Protocol", Kind::Text, |r| r.l7_protocol)
        .series("rate", "Over time", |r| lines.get(&(&*r.service, r.l7_protocol, &*r.endpoint)).cloned())
        .count("requests", "Requests", Kind::Count, |r| Some(r.counts.requests))
        .real("rate", "Rate", Kind::Rate, |r| Some(r.rate()))
        .real("error_ratio", "Errors", Kind::Share, |r| Some(r.counts.error_ratio()))
        .count("client_errors", "Client err.", Kind::Count, |r| Some(r.counts.client_errors))
        .count("server_errors", "Server err.", Kind::Count, |r| Some(r.counts.server_errors))
        .count("timeouts", "Timeouts", Kind::Count, |r| Some(r.counts.timeouts))
        .count("p50_ns", "p50", Kind::Duration, move |r| delay(r, r.counts.delay.p50_ns))
        .count("p95_ns", "p95", Kind::Duration, move |r| delay(r, r.counts.delay.p95_ns))
        .count("p99_ns", "p99", Kind::Duration, move |r| delay(r, r.counts.delay.p99_ns))
        .count("max_ns", "Max", Kind::Duration, move |r| delay(r, r.counts.delay.max_ns))
        .count("request_bytes", "Received", Kind::Bytes, |r| Some(r.counts.request_bytes))
        .count("response_bytes", "Sent", Kind::Bytes, |r| Some(r.counts.response_bytes))
        .text("view", "Seen by", Kind::Text, |r| r.view.name())
}

/// Services over the whole recording.
pub(super) fn services(analysis: &Analysis, buckets: Buckets, strings: &mut Strings) -> Table {
    let all = analysis.red();
    red(analysis, buckets, strings, &all.services, &all.service_rows, false).done()
}

/// Endpoints over the whole recording.
pub(super) fn endpoints(analysis: &Analysis, buckets: Buckets, strings: &mut Strings) -> Table {
    let all = analysis.red();
    red(analysis, buckets, strings, &all.endpoints, &all.rows, true).done()
}

/// At most `most` requests, the slowest first: failing ones go before others, but where there are too many of them, slow ones keep half of the
/// place.
fn interesting<'a>(requests: &'a [Request], counted: &[(usize, u32)], most: usize) -> Vec<(&'a Request, u32)> {
    // (duration, id) and where: requests are read once, not at every comparison.
    let of = |&(place, service): &(usize, u32)| {
        let q = requests.get(place)?;
        Some((q.fields.status.is_error(), (Reverse(q.duration_ns().unwrap_or(0)), q.request_id), place, service))
    };
    let (mut chosen, fine): (Vec<_>, Vec<_>) = counted.iter().filter_map(of).partition(|c| c.0);
    let most_failing = most - fine.len().min(most / 2);
    chosen = first_by(chosen, most_failing, |c| c.1);
    chosen.extend(first_by(fine, most - chosen.len(), |c| c.1));
    chosen.sort_unstable_by_key(|c| c.1);
    chosen.iter().filter_map(|&(_, _, place, service)| Some((requests.get(place)?, service))).collect()
}

/// Slow and failing requests, each at the place where it was seen best.
pub(super) fn requests(analysis: &Analysis, strings: &mut Strings) -> Table {
    let r = &analysis.replayed;
    let counted = analysis.counted();
    let total = counted.len();
    let chosen: Vec<(&Request, u32)> = interesting(&r.requests, counted, MOST_ROWS);

    let mut trace_of: AHashMap<u64, &str> = chosen.iter().map(|(q, _)| (q.request_id, "")).collect();
    for span in &r.spans {
        if let Some(id) = trace_of.get_mut(&span.request_id) {
            *id = &span.trace_id;
        }
    }
    let names: Vec<_> = chosen.iter().map(|(_, s)| analysis.services().name(*s)).collect();
    let rows: Vec<(&Request, &str)> = chosen.iter().zip(&names).map(|((q, _), name)| (*q, &**name)).collect();
    Builder::new(strings, &rows, total)
        .file("tables/requests.parquet", "failing and slowest first")
        .whole("request_ts", "Time", Kind::Time, |(q, _)| replay::red::time_of(q).and_then(|t| span(r.start, t)))
        .text("service", "Service", Kind::Text, |(_, name)| *name)
        .text("request_type", "Type", Kind::Code, |(q, _)| &*q.fields.request_type)
        .text("request_resource", "Resource", Kind::Code, |(q, _)| {
            if q.fields.request_resource.is_empty() { &*q.fields.endpoint } else { &*q.fields.request_resource }
        })
        .text("response_status", "Status", Kind::Badge, |(q, _)| q.fields.status.name())
        .whole("response_code", "Code", Kind::Number, |(q, _)| q.fields.code.map(i64::from))
        .count("duration_ns", "Duration", Kind::Duration, |(q, _)| q.duration_ns())
        .count("first_byte_ns", "First byte", Kind::Duration, |(q, _)| {
            u64::try_from(q.first_byte_ts?.saturating_sub(q.request_ts?)).ok()
        })
        .text("response_exception", "Error", Kind::Text, |(q, _)| &*q.fields.exception)
        .count("request_bytes", "Request", Kind::Bytes, |(q, _)| Some(q.request_bytes))
        .count("response_bytes", "Response", Kind::Bytes, |(q, _)| Some(q.response_bytes))
        .text("l7_protocol", "Protocol", Kind::Text, |(q, _)| q.fields.l7_protocol)
        .text("request_domain", "Domain", Kind::Text, |(q, _)| &*q.fields.request_domain)
        .text("trace_id", "Trace", Kind::Trace, |(q, _)| trace_of.get(&q.request_id).copied().unwrap_or_default())
        .count("flow_id", "Flow", Kind::Flow, |(q, _)| Some(q.flow_id))
        .text("client_ip", "Client", Kind::Code, |(q, _)| address(q.endpoints.client_ip, q.endpoints.client_port))
        .text("server_ip", "Server", Kind::Code, |(q, _)| address(q.endpoints.server_ip, q.endpoints.server_port))
        .text("process", "Process", Kind::Text, |(q, _)| match &q.process {
            Some(p) => format!("{} {}", p.name, p.pid),
            None => String::new(),
        })
        .text("completeness", "Completeness", Kind::Badge, |(q, _)| q.completeness.to_string())
        .done()
}

/// What a kernel event is about: event, reason, kernel function, transport.
type Reason<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Events of one [`Reason`].
struct Sum {
    events: u64,
    bytes: u64,
    first: i64,
    last: i64,
}

/// Retransmissions, resets and drops by kind, reason and place.
pub(super) fn trouble(analysis: &Analysis, strings: &mut Strings) -> Table {
    let mut groups: BTreeMap<Reason<'_>, Sum> = BTreeMap::new();
    for e in analysis.replayed.socket_events.iter().filter(|e| e.is_trouble()) {
        let transport: &str = match e.transport.name() {
            std::borrow::Cow::Borrowed(name) => name,
            std::borrow::Cow::Owned(_) => "other",
        };
        let sum = groups.entry((e.event, &e.reason, &e.location, transport)).or_insert(Sum {
            events: 0,
            bytes: 0,
            first: e.ts,
            last: e.ts,
        });
        sum.events += 1;
        sum.bytes += u64::from(e.len);
        sum.first = sum.first.min(e.ts);
        sum.last = sum.last.max(e.ts);
    }
    let mut rows: Vec<_> = groups.into_iter().collect();
    rows.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.events));
    let total = rows.len();
    rows.truncate(MOST_ROWS);
    let start = analysis.replayed.start;
    Builder::new(strings, &rows, total)
        .file("tables/socket_events.parquet", "the most frequent")
        .text("event", "Event", Kind::Badge, |(k, _)| k.0)
        .text("reason", "Reason", Kind::Code, |(k, _)| k.1)
        .text("location", "Kernel function", Kind::Code, |(k, _)| k.2)
        .text("transport", "Transport", Kind::Text, |(k, _)| k.3)
        .count("events", "Events", Kind::Count, |(_, v)| Some(v.events))
        .count("bytes", "Bytes", Kind::Bytes, |(_, v)| Some(v.bytes))
        .whole("first", "First", Kind::Time, |(_, v)| span(start, v.first))
        .whole("last", "Last", Kind::Time, |(_, v)| span(start, v.last))
        .done()
}

/// The kernel's events on sockets one by one, state changes left out.
pub(super) fn socket_events(analysis: &Analysis, strings: &mut Strings) -> Table {
    let r = &analysis.replayed;
    let all: Vec<&SocketEvent> = r.socket_events.iter().filter(|e| e.is_trouble()).collect();
    let names: HashMap<(u32, u32), &str> = r.processes.iter().map(|p| ((p.node, p.pid), &*p.name)).collect();
    Builder::new(strings, all.get(..MOST_ROWS).unwrap_or(&all), all.len())
        .file("tables/socket_events.parquet", "the first ones")
        .whole("ts", "Time", Kind::Time, |e| span(r.start, e.ts))
        .text("event", "Event", Kind::Badge, |e| e.event)
        .text("reason", "Reason", Kind::Code, |e| &*e.reason)
        .text("location", "Kernel function", Kind::Code, |e| &*e.location)
        .text("transport", "Transport", Kind::Text, |e| e.transport.name())
        .text("local_ip", "Local", Kind::Code, |e| address(e.local_ip, e.local_port))
        .text("remote_ip", "Remote", Kind::Code, |e| address(e.remote_ip, e.remote_port))
        .text("new_state", "TCP state", Kind::Text, |e| e.new_state)
        .count("len", "Length", Kind::Bytes, |e| Some(e.len.into()))
        .text("pid", "Running process", Kind::Text, |e| match names.get(&(e.node, e.pid)) {
            Some(name) => format!("{name} {}", e.pid),
            None if e.pid == 0 => String::new(),
            None => e.pid.to_string(),
        })
        .count("flow_id", "Flow", Kind::Flow, |e| e.flow_id)
        .done()
}

/// Processes, those with most CPU samples and socket bytes first.
pub(super) fn processes(analysis: &Analysis, strings: &mut Strings) -> Table {
    let r = &analysis.replayed;
    let mut rows: Vec<_> = r.processes.iter().collect();
    let traffic = |p: &replay::model::Process| p.socket_read_bytes.saturating_add(p.socket_write_bytes);
    rows.sort_by_key(|p| std::cmp::Reverse((p.cpu_samples, traffic(p))));
    let hz = r.manifest.as_ref().map_or(0, |m| m.settings.sample_hz);
    Builder::new(strings, rows.get(..MOST_ROWS).unwrap_or(&rows), rows.len())
        .file("tables/processes.parquet", "most CPU samples and socket bytes first")
        .count("pid", "Pid", Kind::Number, |p| Some(p.pid.into()))
        .text("name", "Process", Kind::Text, |p| &*p.name)
        .count("cpu_samples", "CPU samples", Kind::Count, |p| Some(p.cpu_samples))
        .count("cpu_ns", "CPU time", Kind::Duration, |p| {
            (hz > 0).then(|| p.cpu_samples.saturating_mul(1_000_000_000) / u64::from(hz))
        })
        .count("socket_read_bytes", "Socket read", Kind::Bytes, |p| Some(p.socket_read_bytes))
        .count("socket_write_bytes", "Socket written", Kind::Bytes, |p| Some(p.socket_write_bytes))
        .text("command_line", "Command line", Kind::Code, |p| p.command_line.as_str())
        .text("exe", "Executable", Kind::Code, |p| p.exe.as_str())
        .text("container", "Container", Kind::Code, |p| &*p.container)
        .text("cgroup", "cgroup", Kind::Code, |p| p.cgroup.as_str())
        .count("ppid", "Parent", Kind::Number, |p| Some(p.ppid.into()))
        .count("uid", "User id", Kind::Number, |p| p.uid.map(u64::from))
        .whole("start", "Start", Kind::Time, |p| p.start.and_then(|t| span(r.start, t)))
        .whole("end", "End", Kind::Time, |p| p.end.and_then(|t| span(r.start, t)))
        .whole("exit_code", "Exit code", Kind::Number, |p| p.exit_code.map(i64::from))
        .done()
}

/// Interfaces.
pub(super) fn interfaces(analysis: &Analysis, strings: &mut Strings) -> Table {
    let all = &analysis.replayed.interfaces;
    Builder::new(strings, all.get(..MOST_ROWS).unwrap_or(all), all.len())
        .file("tables/interfaces.parquet", "the first ones")
        .text("name", "Interface", Kind::Text, |i| &*i.name)
        .text("kind", "Kind", Kind::Text, |i| i.kind.as_str())
        .count("netns", "Namespace", Kind::Number, |i| (i.netns != 0).then_some(i.netns.into()))
        .count("packets", "Packets", Kind::Count, |i| Some(i.packets))
        .count("bytes", "Bytes", Kind::Bytes, |i| Some(i.bytes))
        .text("undecoded", "Not decoded", Kind::Text, |i| {
            let parts: Vec<String> = i.undecoded.iter().map(|(why, n)| format!("{n} {why}")).collect();
            parts.join(", ")
        })
        .text("addresses", "Addresses", Kind::Code, |i| i.addresses.join(" "))
        .text("mac", "MAC", Kind::Code, |i| i.mac.as_str())
        .count("mtu", "MTU", Kind::Number, |i| (i.mtu != 0).then_some(i.mtu.into()))
        .count("ifindex", "Index", Kind::Number, |i| (i.ifindex != 0).then_some(i.ifindex.into()))
        .done()
}

/// Losses and damages.
pub(super) fn health(analysis: &Analysis, strings: &mut Strings) -> Table {
    let r = &analysis.replayed;
    Builder::new(strings, r.health.get(..MOST_ROWS).unwrap_or(&r.health), r.health.len())
        .file("tables/health.parquet", "the first ones")
        .text("kind", "What", Kind::Text, |h| h.kind.as_str())
        .count("lost", "Lost", Kind::Count, |h| Some(h.lost))
        .count("cpu", "CPU", Kind::Number, |h| h.cpu.map(u64::from))
        .whole("first", "Not before", Kind::Time, |h| h.first.and_then(|t| span(r.start, t)))
        .whole("last", "Not after", Kind::Time, |h| h.last.and_then(|t| span(r.start, t)))
        .text("cause", "Cause", Kind::Text, |h| h.cause.as_str())
        .done()
}

/// How far clocks of nodes and captures are apart.
pub(super) fn clocks(analysis: &Analysis, strings: &mut Strings) -> Table {
    let all = &analysis.replayed.clocks;
    let packets = |n: u64| Some(n);
    Builder::new(strings, all.get(..MOST_ROWS).unwrap_or(all), all.len())
        .file("tables/clocks.parquet", "the first ones")
        .text("clock", "Clock", Kind::Text, |k| &*k.name)
        .text("reference", "Compared with", Kind::Text, |k| &*k.reference)
        .whole("offset_ns", "Ahead by", Kind::Duration, |k| Some(k.offset_ns))
        .count("uncertainty_ns", "Give or take", Kind::Duration, |k| k.uncertainty_ns)
        .whole("drift_ns", "Drift in all", Kind::Duration, |k| Some(k.drift_ns))
        .count("packets_there", "Packets there", Kind::Count, |k| packets(k.packets[0]))
        .count("packets_back", "Packets back", Kind::Count, |k| packets(k.packets[1]))
        .done()
}

/// What was recorded where: nodes and captures, with what each saw.
pub(super) fn nodes(analysis: &Analysis, strings: &mut Strings) -> Table {
    let r = &analysis.replayed;
    let mut rows: Vec<(&Node, [u64; 5])> = r.nodes.iter().map(|n| (n, [0; 5])).collect();
    let mut add = |node: u32, what: usize, n: u64| {
        if let Some((_, counts)) = rows.get_mut(node as usize) {
            counts[what] += n;
        }
    };
    r.interfaces.iter().for_each(|i| add(i.node, 0, 1));
    r.interfaces.iter().for_each(|i| add(i.node, 1, i.packets));
    r.flows.iter().for_each(|f| add(f.node, 2, 1));
    r.processes.iter().for_each(|p| add(p.node, 3, 1));
    r.socket_events.iter().for_each(|e| add(e.node, 4, 1));
    Builder::new(strings, rows.get(..MOST_ROWS).unwrap_or(&rows), rows.len())
        .text("node", "Node", Kind::Text, |(n, _)| if n.name.is_empty() { "capture" } else { n.name.as_str() })
        .text("input", "First file", Kind::Code, |(n, _)| n.input.as_str())
        .count("interfaces", "Interfaces", Kind::Count, |(_, c)| Some(c[0]))
        .count("packets", "Packets", Kind::Count, |(_, c)| Some(c[1]))
        .count("flows", "Flows", Kind::Count, |(_, c)| Some(c[2]))
        .count("processes", "Processes", Kind::Count, |(_, c)| Some(c[3]))
        .count("socket_events", "Socket events", Kind::Count, |(_, c)| Some(c[4]))
        .done()
}

/// The recorder's hooks: which are in place, and why others are not.
pub(super) fn hooks(analysis: &Analysis, strings: &mut Strings) -> Table {
    let mut all = analysis.replayed.manifest.as_ref().map_or(Vec::new(), |m| m.hooks.iter().collect());
    all.sort_by_key(|h| h.attached);
    Builder::new(strings, all.get(..MOST_ROWS).unwrap_or(&all), all.len())
        .text("attached", "State", Kind::Badge, |h| if h.attached { "attached" } else { "missing" })
        .text("target", "Hook", Kind::Code, |h| h.target.as_str())
        .text("program", "Program", Kind::Code, |h| h.program.as_str())
        .text("error", "Why not", Kind::Text, |h| h.error.as_str())
        .done()
}

/// What the recorder's programs cost in the kernel.
pub(super) fn programs(analysis: &Analysis, strings: &mut Strings) -> Table {
    let mut all: Vec<_> = analysis.replayed.cost.as_ref().map_or(Vec::new(), |c| c.programs.iter().collect());
    all.sort_by_key(|p| std::cmp::Reverse(p.run_ns));
    let length = analysis.length_ns();
    Builder::new(strings, all.get(..MOST_ROWS).unwrap_or(&all), all.len())
        .text("name", "eBPF program", Kind::Code, |p| p.name.as_str())
        .count("runs", "Runs", Kind::Count, |p| Some(p.runs))
        .count("run_ns", "Time in it", Kind::Duration, |p| Some(p.run_ns))
        .count("misses", "Not run", Kind::Count, |p| Some(p.misses))
        .count("mean_ns", "Per run", Kind::Duration, |p| p.run_ns.checked_div(p.runs))
        .real("share", "Of one CPU", Kind::Share, |p| (length > 0).then(|| p.run_ns as f64 / length as f64))
        .done()
}

/// Rank of an observation point on the way from client to server: those without requests in traces by their view.
fn rank(e: &Edge) -> TapSide {
    e.tap_side.unwrap_or(match e.view {
        View::Client => TapSide::ClientProcess,
        View::Packets => TapSide::ClientNode,
        View::Server => TapSide::ServerProcess,
    })
}

/// What lies between an observation point and the next one.
fn leg(e: &Edge) -> &'static str {
    match rank(e) {
        TapSide::ClientProcess => "client\u{2019}s kernel, up to its interface",
        TapSide::ClientInterface => "client\u{2019}s container network",
        TapSide::ClientNode => "the wire, or what is not observed",
        TapSide::ServerNode => "server\u{2019}s node",
        TapSide::ServerInterface => "server\u{2019}s container network and kernel",
        TapSide::ServerProcess => "the server itself, without what it asked others",
        TapSide::App => "inside of the application",
    }
}

/// Every edge at every observation point, from client to server, with the time between them.
pub(super) fn legs(analysis: &Analysis, strings: &mut Strings) -> Table {
    let mut all: Vec<&Edge> = analysis.edges().iter().filter(|e| e.counts.requests > 0).collect();
    let key = |e: &Edge| (e.client.clone(), e.server.clone(), e.l7_protocol);
    let mut longest: HashMap<_, u64> = HashMap::new();
    for e in &all {
        let most = longest.entry(key(e)).or_default();
        *most = e.counts.delay.sum_ns.max(*most);
    }
    let total = |e: &Edge| longest.get(&key(e)).copied().unwrap_or(0);
    all.sort_by_cached_key(|e| (std::cmp::Reverse(total(e)), key(e), rank(e), e.interface));
    let delay = |e: &Edge, ns: u64| (e.counts.delay.count > 0).then_some(ns);
    let beyond = |e: &Edge, ns: u64| (e.beyond.count > 0).then_some(ns);
    Builder::new(strings, all.get(..MOST_ROWS).unwrap_or(&all), all.len())
        .file("tables/map.parquet", "those with most time in them")
        .text("client", "Client", Kind::Text, |e| &*e.client)
        .text("server", "Server", Kind::Text, |e| &*e.server)
        .text("l7_protocol", "Protocol", Kind::Text, |e| e.l7_protocol)
        .text("tap_side", "At", Kind::Badge, |e| e.tap_side.map_or("", |t| t.name()))
        .text("place", "Observed at", Kind::Text, |e| match (e.view, e.interface) {
            (View::Client, _) => "client process".to_owned(),
            (View::Server, _) => "server process".to_owned(),
            (View::Packets, place) => {
                let interface = place.and_then(|i| analysis.replayed.interfaces.get(i as usize));
                interface.map_or(String::new(), |i| match i.kind.as_str() {
                    "" => i.name.to_string(),
                    kind => format!("{} ({kind})", i.name),
                })
            }
        })
        .count("requests", "Requests", Kind::Count, |e| Some(e.counts.requests))
        .count("p50_ns", "p50 here", Kind::Duration, |e| delay(e, e.counts.delay.p50_ns))
        .count("p95_ns", "p95 here", Kind::Duration, |e| delay(e, e.counts.delay.p95_ns))
        .count("beyond_p50_ns", "Beyond, p50", Kind::Duration, |e| beyond(e, e.beyond.p50_ns))
        .count("beyond_p95_ns", "Beyond, p95", Kind::Duration, |e| beyond(e, e.beyond.p95_ns))
        .real("beyond_share", "Of all time", Kind::Share, |e| {
            (e.beyond.count > 0 && total(e) > 0).then(|| e.beyond.sum_ns as f64 / total(e) as f64)
        })
        .text("leg", "Beyond is", Kind::Text, |e| if e.beyond.count > 0 { leg(e) } else { "" })
        .done()
}

/// The service map's edges as a table, best view of each.
pub(super) fn edges(analysis: &Analysis, strings: &mut Strings) -> Table {
    let all = analysis.best_edges();
    let delay = |e: &Edge, ns: u64| (e.counts.delay.count > 0).then_some(ns);
    Builder::new(strings, all.get(..MOST_ROWS).unwrap_or(&all), all.len())
        .file("tables/map.parquet", "the first ones")
        .text("client", "Client", Kind::Text, |e| &*e.client)
        .text("server", "Server", Kind::Text, |e| &*e.server)
        .text("l7_protocol", "Protocol", Kind::Text, |e| match e.l7_protocol {
            "" => e.transport.name(),
            name => name.into(),
        })
        .count("requests", "Requests", Kind::Count, |e| Some(e.counts.requests))
        .real("rate", "Rate", Kind::Rate, |e| Some(e.counts.rate(analysis.length_ns())))
        .real("error_ratio", "Errors", Kind::Share, |e| Some(e.counts.error_ratio()))
        .count("p50_ns", "p50", Kind::Duration, |e| delay(e, e.counts.delay.p50_ns))
        .count("p95_ns", "p95", Kind::Duration, |e| delay(e, e.counts.delay.p95_ns))
        .count("p99_ns", "p99", Kind::Duration, |e| delay(e, e.counts.delay.p99_ns))
        .count("rtt_mean_ns", "Mean RTT", Kind::Duration, |e| e.rtt_mean_ns)
        .count("client_bytes", "Sent", Kind::Bytes, |e| Some(e.client_bytes))
        .count("server_bytes", "Received", Kind::Bytes, |e| Some(e.server_bytes))
        .count("connections", "Connections", Kind::Count, |e| Some(e.connections))
        .count("connection_failures", "Failed", Kind::Count, |e| Some(e.connection_failures))
        .count("retransmissions", "Retrans.", Kind::Count, |e| Some(e.retransmissions))
        .count("resets", "Resets", Kind::Count, |e| Some(e.resets))
        .text("view", "Seen by", Kind::Text, |e| e.view.name())
        .done()
}
