//! The summary: one screen that says what was recorded, how complete it is, and what stands out.

mod hot;
mod tcp;
#[cfg(test)]
mod tests;

pub use hot::{Hot, hot};
pub use tcp::Tcp;

use crate::analysis::{Analysis, DAMAGE, Masked, MaskedBy, NOT_RUN};
use crate::human;
use crate::report::plural;
use replay::map::Edge;
use replay::model::Replayed;
use replay::red::Row;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Lines of a list before the rest is only counted.
const LISTED: usize = 6;

/// The summary as text, lines up to about 110 characters.
#[must_use]
pub fn text(a: &Analysis) -> String {
    let mut out = String::new();
    recorded(a, &mut out);
    completeness(&a.replayed, &mut out);
    masked(a, &mut out);
    standing_out(a, &mut out);
    requests(a, &mut out);
    talkers(a, &mut out);
    tcp(a, &mut out);
    cpu(&a.replayed, &mut out);
    out
}

/// Adds a line; writing to a String cannot fail.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

fn recorded(a: &Analysis, out: &mut String) {
    let r = &a.replayed;
    match &r.manifest {
        Some(m) => line!(
            out,
            "{}: node {}, Linux {} {}, {}",
            a.title,
            or(&m.hostname, "unknown"),
            m.kernel_release,
            m.machine,
            or(&m.os, "unknown distribution"),
        ),
        None => line!(out, "{}: packets only", a.title),
    }
    if let Some(f) = &r.filtered {
        let left_out = format!("{} packets, {} socket events", human::count(f.packets), human::count(f.records));
        line!(out, "  only {}; left out: {left_out}", human::filtered(f, ('`', '`')));
    }
    if let Some(d) = &r.disguised {
        line!(
            out,
            "  pseudonyms for {} addresses, {} hardware addresses, {} host names' labels, {} users, {} paths' segments",
            human::count(d.addresses),
            human::count(d.macs),
            human::count(d.hosts),
            human::count(d.users),
            human::count(d.paths)
        );
    }
    if a.is_empty() {
        line!(out, "  empty: no packets, no events");
        return;
    }
    line!(out, "  recorded {} UTC for {}", human::time(r.start), human::duration(a.length_ns()));
    let event = |kind: u16| r.events.get(&kind).copied().unwrap_or(0);
    let counts = [
        (r.packets, "packets"),
        (event(formats::event::kind::SOCKET_DATA), "socket calls"),
        (event(formats::event::kind::SOCKET_STATE), "socket events"),
        (event(formats::event::kind::STACK_SAMPLE), "stack samples"),
        (r.flows.len() as u64, "flows"),
        (r.requests.len() as u64, "request observations"),
        (r.traces.len() as u64, "traces"),
        (r.processes.len() as u64, "processes"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", human::count(*n))).collect();
    line!(out, "  {}", counts.join(", "));
}

fn completeness(r: &Replayed, out: &mut String) {
    if r.health.is_empty() {
        line!(out, "  complete: nothing lost, nothing damaged");
    }
    for damage in r.health.iter().filter(|h| h.kind == DAMAGE).take(LISTED) {
        line!(out, "  DAMAGED: {}", damage.cause);
    }
    rest(r.health.iter().filter(|h| h.kind == DAMAGE).count(), "more damages: analyze health", out);
    let unseen: u64 = r.health.iter().filter(|h| h.kind == NOT_RUN).map(|h| h.lost).sum();
    if unseen > 0 {
        let packets = plural(unseen, "packet");
        line!(out, "  NOT SEEN: at least {packets}, for which the kernel ran no program: analyze health");
    }
    // Per cause, the losses of each kind on all CPUs together; most first.
    let mut causes: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for h in r.health.iter().filter(|h| ![DAMAGE, NOT_RUN].contains(&h.kind.as_str())) {
        *causes.entry(&h.cause).or_default().entry(&h.kind).or_default() += h.lost;
    }
    for (cause, kinds) in causes.iter().take(LISTED) {
        let mut kinds: Vec<_> = kinds.iter().collect();
        kinds.sort_by_key(|(_, lost)| std::cmp::Reverse(**lost));
        let kinds: Vec<String> = kinds.iter().map(|(kind, lost)| format!("{} {kind}", human::count(**lost))).collect();
        line!(out, "  INCOMPLETE: {} lost: {cause}", kinds.join(", "));
    }
    rest(causes.len(), "more causes: analyze health", out);
    let Some(m) = &r.manifest else { return };
    let hooks = m.hooks.iter().filter(|h| !h.attached).count();
    if hooks > 0 {
        line!(out, "  {hooks} of {} hooks were not attached: analyze info", m.hooks.len());
    }
    for missing in m.missing.iter().take(LISTED) {
        line!(out, "  not recorded: {missing}");
    }
    rest(m.missing.len(), "more: analyze info", out);
}

fn masked(a: &Analysis, out: &mut String) {
    let (recorded, here): (Vec<_>, Vec<_>) = a.masked().into_iter().partition(|m| m.by == MaskedBy::Record);
    let sum = |of: &[Masked<'_>]| of.iter().map(|m| m.times).sum::<u64>();
    let of = [(sum(&recorded), "when recorded"), (sum(&here), "by analyze")];
    let of: Vec<String> =
        of.iter().filter(|m| m.0 > 0).map(|(n, by)| format!("{} {by}", plural(*n, "secret"))).collect();
    if !of.is_empty() {
        line!(out, "  masked: {}", of.join(", "));
    }
}

/// The findings that weigh most, wrapped; that there are none is said, too.
fn standing_out(a: &Analysis, out: &mut String) {
    if a.is_empty() {
        return;
    }
    line!(out, "\nWHAT STANDS OUT");
    let told = crate::findings::told(a);
    for (n, finding) in (1..).zip(&told) {
        // A number stays with its sign.
        let statement = finding.statement.replace(" %", "\u{a0}%");
        for (i, text) in wrapped(&statement, 112).into_iter().enumerate() {
            let text = text.replace('\u{a0}', " ");
            if i == 0 { line!(out, "{n:>2}. {text}") } else { line!(out, "    {text}") }
        }
    }
    if told.is_empty() {
        line!(out, "    nothing: no request failed, no connection failed, nothing was slow or sent again much");
    }
    let more = a.findings().len() - told.len();
    if more > 0 {
        line!(out, "    ... {more} more: analyze findings");
    }
}

/// Lines of at most `width` characters, broken at spaces where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = lines.last_mut() else { break };
        if last.is_empty() {
            last.push_str(&cut(word, width));
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(&cut(word, width));
        } else {
            lines.push(cut(word, width));
        }
    }
    lines
}

/// Says how many lines were left out.
fn rest(all: usize, what: &str, out: &mut String) {
    if all > LISTED {
        line!(out, "  ... {} {what}", all - LISTED);
    }
}

fn requests(a: &Analysis, out: &mut String) {
    let red = a.red();
    if red.services.is_empty() {
        return;
    }
    line!(
        out,
        "\n{:<38} {:<10} {:>9} {:>9} {:>7} {:>8} {:>8} {:>8}  seen by",
        "SERVICE",
        "protocol",
        "requests",
        "per s",
        "errors",
        "p50",
        "p95",
        "p99"
    );
    for row in red.services.iter().take(LISTED) {
        row_line(row, &row.service, out);
    }
    rest(red.services.len(), "more services: analyze red", out);

    let mut slow: Vec<&Row> = red.endpoints.iter().filter(|r| r.counts.delay.count > 0).collect();
    slow.sort_by_key(|r| std::cmp::Reverse(r.counts.delay.p95_ns));
    endpoints("SLOWEST ENDPOINTS (by p95)", &slow, out);
    let mut failing: Vec<&Row> = red.endpoints.iter().filter(|r| r.counts.errors() > 0).collect();
    failing.sort_by_key(|r| std::cmp::Reverse(r.counts.errors()));
    endpoints("FAILING ENDPOINTS (by errors)", &failing, out);
}

fn endpoints(title: &str, rows: &[&Row], out: &mut String) {
    if rows.is_empty() {
        return;
    }
    line!(out, "\n{title}");
    for row in rows.iter().take(LISTED) {
        let name = match &*row.endpoint {
            "" => row.service.to_string(),
            endpoint => format!("{} {endpoint}", row.service),
        };
        row_line(row, &name, out);
    }
}

fn row_line(row: &Row, name: &str, out: &mut String) {
    let c = &row.counts;
    let delay = |ns: u64| if c.delay.count == 0 { "-".to_owned() } else { human::duration(ns) };
    line!(
        out,
        "{:<38} {:<10} {:>9} {:>9} {:>7} {:>8} {:>8} {:>8}  {}",
        cut(name, 38),
        row.l7_protocol,
        human::count(c.requests),
        human::rate(row.rate()),
        human::percent(c.error_ratio()),
        delay(c.delay.p50_ns),
        delay(c.delay.p95_ns),
        delay(c.delay.p99_ns),
        row.view.name(),
    );
}

fn tcp(a: &Analysis, out: &mut String) {
    let tcp = Tcp::of(&a.replayed);
    if tcp.connections == 0 && tcp.drops.is_empty() {
        return;
    }
    line!(
        out,
        "\nTCP: {}, {} failed; {}, {}, {}, {} out of order",
        plural(tcp.connections, "connection"),
        human::count(tcp.failed),
        plural(tcp.retransmissions, "retransmission"),
        plural(tcp.resets, "reset"),
        plural(tcp.zero_windows, "zero window"),
        human::count(tcp.out_of_order),
    );
    if !tcp.drops.is_empty() {
        let mut reasons: Vec<String> =
            tcp.drops.iter().take(LISTED).map(|(why, n)| format!("{} {}", or(why, "?"), human::count(*n))).collect();
        if tcp.drops.len() > LISTED {
            reasons.push(format!("{} more reasons", tcp.drops.len() - LISTED));
        }
        line!(out, "  packets dropped by the kernel: {}", reasons.join(", "));
    }
    let mut troubled: Vec<_> = a
        .edges()
        .iter()
        .map(|e| (e, e.retransmissions + e.resets + e.connection_failures))
        .filter(|e| e.1 > 0)
        .collect();
    troubled.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    for (e, _) in troubled.iter().take(LISTED) {
        let place = match e.interface.and_then(|i| a.replayed.interfaces.get(i as usize)) {
            Some(interface) => format!("on {}", interface.name),
            None => format!("by the {}'s calls", e.view.name()),
        };
        let mut what = Vec::new();
        if e.retransmissions > 0 {
            what.push(plural(e.retransmissions, "retransmission"));
        }
        if e.resets > 0 {
            what.push(plural(e.resets, "reset"));
        }
        if e.connection_failures > 0 {
            let of = plural(e.connections, "connection");
            what.push(format!("{} of {of} failed", human::count(e.connection_failures)));
        }
        line!(out, "  {} -> {} {place}: {}", cut(&e.client, 40), cut(&e.server, 40), what.join(", "));
    }
    rest(troubled.len(), "more edges: analyze map", out);
}

fn cpu(r: &Replayed, out: &mut String) {
    let hot = hot(&r.stacks);
    let all: u64 = hot.iter().map(|h| h.samples).sum();
    if all == 0 {
        return;
    }
    line!(out, "\nHOTTEST FUNCTIONS (own samples on CPU, {} in all)", human::count(all));
    for h in hot.iter().take(LISTED) {
        let functions: Vec<String> = h
            .functions
            .iter()
            .take(3)
            .map(|(name, n)| format!("{} {}", human::percent(*n as f64 / h.samples as f64), cut(or(name, "?"), 26)))
            .collect();
        line!(
            out,
            "{:<16} {:>6}: {}",
            cut(h.process, 16),
            human::percent(h.samples as f64 / all as f64),
            functions.join(", ")
        );
    }
    rest(hot.len(), "more processes: analyze stacks", out);
}

/// Who talked most, where no request says what it was about.
fn talkers(a: &Analysis, out: &mut String) {
    let mut edges = a.best_edges();
    if !a.red().services.is_empty() || edges.is_empty() {
        return;
    }
    let bytes = |e: &Edge| e.client_bytes.saturating_add(e.server_bytes);
    // Stable: equal ones stay in the order of names.
    edges.sort_by_key(|e| std::cmp::Reverse(bytes(e)));
    line!(
        out,
        "\nNo requests were recognised. LARGEST CONVERSATIONS\n{:<40} {:<26} {:<10} {:>9} {:>9} {:>9}",
        "FROM",
        "TO",
        "protocol",
        "flows",
        "sent",
        "received"
    );
    for e in edges.iter().take(LISTED) {
        let protocol = if e.l7_protocol.is_empty() { e.transport.name() } else { e.l7_protocol.into() };
        line!(
            out,
            "{:<40} {:<26} {:<10} {:>9} {:>9} {:>9}",
            cut(&e.client, 40),
            cut(&e.server, 26),
            protocol,
            human::count(e.connections),
            human::bytes(e.client_bytes),
            human::bytes(e.server_bytes),
        );
    }
    rest(edges.len(), "more: analyze map", out);
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// At most `width` characters, none of which a terminal obeys.
fn cut(text: &str, width: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= width {
        return text.chars().map(clean).collect();
    }
    text.chars().map(clean).take(width.saturating_sub(1)).chain(['…']).collect()
}
