//! What was recorded, how complete it is, and what it cost: in plain words.

use crate::analysis::{Analysis, Masked, MaskedBy, NOT_RUN};
use crate::human;
use replay::model::{Completeness, Health};
use serde::Serialize;
use std::collections::BTreeMap;

/// How much a statement weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Weight {
    /// Nothing to worry about.
    Good,
    /// Good to know.
    Note,
    /// Results are partial.
    Partial,
    /// The input is damaged.
    Damaged,
}

/// One sentence.
#[derive(Debug, Serialize)]
pub(super) struct Statement {
    weight: Weight,
    text: String,
}

/// A name and what it stands for.
#[derive(Debug, Serialize)]
pub(super) struct Fact {
    label: String,
    value: String,
    /// More about it, for those who point at it.
    hint: String,
}

/// A fact.
pub(super) fn fact(label: &str, value: impl Into<String>, hint: impl Into<String>) -> Fact {
    Fact { label: label.to_owned(), value: value.into(), hint: hint.into() }
}

/// Causes of loss that are told one by one; of the rest there is a count.
const MOST_TOLD: usize = 8;

/// How complete the recording is, worst first.
pub(super) fn completeness(analysis: &Analysis) -> Vec<Statement> {
    let r = &analysis.replayed;
    let mut out = Vec::new();
    let mut say = |weight, text: String| out.push(Statement { weight, text });

    if let Some(f) = &r.filtered {
        let (packets, records) = (plural(f.packets, "packet"), plural(f.records, "socket event"));
        let what = human::filtered(f, ('\u{201c}', '\u{201d}'));
        let text = format!("Only {what}: {packets} and {records} were left out.");
        say(Weight::Note, text);
    }
    if let Some(d) = &r.disguised {
        let text = format!(
            "Pseudonyms stand for {}, {}, {}, {} and {}; the key that they were made with is not in the results.",
            plural(d.addresses, "address").replace("addresss", "addresses"),
            plural(d.macs, "hardware address").replace("addresss", "addresses"),
            plural(d.hosts, "label").replace("label", "host-name label"),
            plural(d.users, "user"),
            plural(d.paths, "path segment")
        );
        say(Weight::Note, text);
    }
    if let Some(manifest) = &r.manifest {
        if r.summary.is_none() {
            say(
                Weight::Damaged,
                "The file has no closing summary: the recorder was killed or the file was cut. What was written before \
                 is here; what was in memory at that moment is not."
                    .into(),
            );
        }
        for line in &manifest.missing {
            say(Weight::Partial, format!("Missing: {line}"));
        }
        let failed = manifest.hooks.iter().filter(|h| !h.attached).count();
        if failed > 0 {
            let words = format!("{} of {}", plural(failed as u64, "hook"), manifest.hooks.len());
            say(Weight::Partial, format!("{words} could not be attached; Health lists them with the reasons."));
        }
    }
    let mut by_cause: BTreeMap<(bool, &str), Vec<&Health>> = BTreeMap::new();
    for h in &r.health {
        by_cause.entry((h.kind != "frame", &h.cause)).or_default().push(h);
    }
    let more = by_cause.len().saturating_sub(MOST_TOLD);
    for ((is_loss, cause), rows) in by_cause.into_iter().take(MOST_TOLD) {
        say(if is_loss { Weight::Partial } else { Weight::Damaged }, loss(r.start, cause, &rows));
    }
    if more > 0 {
        say(Weight::Partial, format!("{} of loss more: see Health.", plural(more as u64, "cause")));
    }
    let undecoded: u64 = r.interfaces.iter().flat_map(|i| i.undecoded.values()).sum();
    if undecoded > 0 {
        let of = human::count(r.packets);
        say(Weight::Note, format!("{} of {of} could not be decoded: see Interfaces.", plural(undecoded, "packet")));
    }
    if let Some(text) = partly("requests", r.requests.iter().map(|q| q.completeness)) {
        say(Weight::Note, text);
    }
    if let Some(text) = partly("flows", r.flows.iter().map(|f| f.completeness)) {
        say(Weight::Note, text);
    }
    if !out.iter().any(|s| s.weight >= Weight::Partial) {
        let text = if analysis.is_empty() {
            "The file is whole, and holds no packets and no events."
        } else if r.manifest.is_some() {
            "Nothing was lost: all that the attached hooks saw is in the file, and the file is whole."
        } else {
            "The file is whole. It holds packets only: no processes, system calls, kernel events or stacks."
        };
        out.push(Statement { weight: Weight::Good, text: text.into() });
    }
    out.sort_by_key(|s| std::cmp::Reverse(s.weight));
    out
}

/// What was lost for one cause, when, and on which CPUs.
fn loss(start: i64, cause: &str, rows: &[&Health]) -> String {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    let mut cpus: Vec<u32> = Vec::new();
    for h in rows {
        let n = kinds.entry(&h.kind).or_default();
        *n = n.saturating_add(h.lost);
        cpus.extend(h.cpu);
    }
    cpus.sort_unstable();
    cpus.dedup();
    let mut kinds: Vec<(&str, u64)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(kind, n)| (std::cmp::Reverse(*n), *kind));
    let what: Vec<String> = kinds
        .iter()
        .map(|(kind, n)| match *kind {
            "frame" => plural(*n, "damaged frame"),
            "packet" | "flow" => plural(*n, kind),
            NOT_RUN => plural(*n, "packet"),
            kind => plural(*n, &format!("{} event", kind.replace('_', " "))),
        })
        .collect();
    let offset = |at: i64| format!("+{:.3} s", at.saturating_sub(start) as f64 / 1e9);
    let when = match (rows.iter().filter_map(|h| h.first).min(), rows.iter().filter_map(|h| h.last).max()) {
        (Some(a), Some(b)) => format!(" between {} and {}", offset(a), offset(b)),
        (Some(a), None) => format!(" after {}", offset(a)),
        (None, Some(b)) => format!(" before {}", offset(b)),
        (None, None) => String::new(),
    };
    let cpus: Vec<String> = cpus.iter().map(ToString::to_string).collect();
    let on = match cpus.len() {
        0 => String::new(),
        1 => format!(" on CPU {}", cpus.join("")),
        _ => format!(" on CPUs {}", cpus.join(", ")),
    };
    let verb = if kinds.len() == 1 && kinds.first().is_some_and(|k| k.1 == 1) { "was" } else { "were" };
    let fate = if rows.iter().all(|h| h.kind == NOT_RUN) { "not seen" } else { "lost" };
    format!("{} {verb} {fate}{on}{when}: {}.", what.join(", "), words(cause))
}

/// The recorder's short causes in words; others are words already.
fn words(cause: &str) -> &str {
    match cause {
        "ring_full" => "they came faster than the recorder could take them (ring_full)",
        "budget" => "the recorder held itself to its budget (budget)",
        "recursion" => "the kernel left programs out that the same CPU was in the middle of (recursion)",
        "symbols" => "walking their stacks took longer than the end of the recording waited (symbols)",
        "disk_full" => "the disk was full (disk_full)",
        "write_error" => "they could not be written (write_error)",
        "broken_pipe" => "who read the recording went away (broken_pipe)",
        "" => "cause unknown",
        other => other.trim_end_matches('.'),
    }
}

/// How many rows are marked incomplete, and why.
fn partly(what: &str, rows: impl Iterator<Item = Completeness>) -> Option<String> {
    let reasons = [
        (Completeness::GAP, "with a gap"),
        (Completeness::TRUNCATED_PAYLOAD, "with their payload cut short"),
        (Completeness::STARTED_BEFORE, "begun before the recording"),
        (Completeness::ENDED_AFTER, "gone on after it"),
    ];
    let mut counts = [0u64; 4];
    let (mut all, mut marked) = (0u64, 0u64);
    for c in rows {
        all += 1;
        marked += u64::from(c != Completeness::default());
        for (n, (reason, _)) in counts.iter_mut().zip(reasons) {
            *n += u64::from(c.has(reason));
        }
    }
    if marked == 0 {
        return None;
    }
    let why: Vec<String> = counts
        .iter()
        .zip(reasons)
        .filter(|(n, _)| **n > 0)
        .map(|(n, (_, words))| format!("{} {words}", human::count(*n)))
        .collect();
    Some(format!("{} of {} {what} are marked incomplete: {}.", human::count(marked), human::count(all), why.join(", ")))
}

/// What was masked, and by whom.
pub(super) fn masked(analysis: &Analysis) -> Vec<String> {
    let of = |m: Masked<'_>| {
        let (secret, times) = (m.secret.replace('_', " "), plural(m.times, "secret"));
        match m.by {
            MaskedBy::Record => format!("{secret}: {times} masked when recorded."),
            MaskedBy::Analyze => format!(
                "{secret}: {times} masked by analyze, counted at every place that saw it; --show-secrets leaves such \
                 readable."
            ),
        }
    };
    analysis.masked().into_iter().map(of).collect()
}

/// `1 hook`, `3 hooks`.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", human::count(n), if n == 1 { "" } else { "s" })
}

/// Who was recorded, when, and what was asked for.
pub(super) fn recording(analysis: &Analysis) -> Vec<Fact> {
    let r = &analysis.replayed;
    let mut out = Vec::new();
    let end = r.summary.as_ref().map_or("", |s| match s.reason.as_str() {
        "duration" => "ended as planned",
        "signal" => "stopped by hand",
        "max-size" => "stopped at its size limit",
        "command-ended" => "ended with its command",
        "processes-ended" => "ended with the processes of --pid",
        "disk-full" => "stopped: disk full",
        _ => "",
    });
    if analysis.is_empty() {
        let hint = match &r.filtered {
            Some(_) => "the filter left none",
            None => "the input holds none",
        };
        out.push(fact("Recorded", "no packets, no events", hint));
    } else {
        when(analysis, end, &mut out);
    }
    let Some(m) = &r.manifest else {
        out.push(fact("Input", "packet capture", "no manifest: the file is a plain pcap or pcapng"));
        return out;
    };
    let machine =
        [m.machine.as_str(), m.os.as_str()].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", ");
    out.push(fact("Kernel", m.kernel_release.clone(), format!("{} {machine}", m.kernel_version)));
    out.push(fact("Node", format!("{}, {}", plural(u64::from(m.cpus), "CPU"), human::bytes(m.memory_bytes)), machine));
    let s = &m.settings;
    let mut what = Vec::new();
    if s.syscalls {
        what.push(format!("socket calls (payload {} B)", s.payload_bytes));
    }
    if s.packets {
        what.push(format!("packets (snaplen {} B)", s.snaplen));
    }
    if s.stacks && s.sample_hz > 0 {
        what.push(format!("stacks ({} Hz)", s.sample_hz));
    }
    what.push("kernel socket events and process life where hooks allow".into());
    out.push(fact("Recorded", what.join(", "), m.command_line.join(" ")));
    let filters = filters(s);
    if !filters.is_empty() {
        out.push(fact(
            "Only",
            filters.join(", "),
            "filters given to the recorder; what they exclude is not in the file",
        ));
    }
    out.push(fact("Recorder", m.recorder.clone(), if end.is_empty() { String::new() } else { end.to_owned() }));
    out
}

/// From when to when.
fn when(analysis: &Analysis, end: &str, out: &mut Vec<Fact>) {
    let r = &analysis.replayed;
    out.push(fact("From", format!("{} UTC", human::time(r.start)), rfc3339(r.start)));
    out.push(fact("To", format!("{} UTC", human::time(r.end)), rfc3339(r.end)));
    out.push(fact("Length", human::duration(analysis.length_ns()), end));
}

fn filters(s: &formats::manifest::Settings) -> Vec<String> {
    let mut out = Vec::new();
    let mut add = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            out.push(format!("{name} {}", values.join(" ")));
        }
    };
    add("interfaces", s.interfaces.clone());
    add("pids", s.pids.iter().map(ToString::to_string).collect());
    add("names", s.comms.clone());
    add("cgroups", s.cgroups.clone());
    add("ports", s.ports.iter().map(ToString::to_string).collect());
    out
}

fn rfc3339(at: i64) -> String {
    let mut out = String::new();
    human::write_rfc3339(at, &mut out);
    out
}

/// The numbers to see first.
pub(super) fn figures(analysis: &Analysis) -> Vec<Fact> {
    let r = &analysis.replayed;
    let red = analysis.red();
    let (mut requests, mut errors) = (0u64, 0u64);
    for row in &red.services {
        requests += row.counts.requests;
        errors += row.counts.errors();
    }
    let length = analysis.length_ns();
    let rate = if length == 0 { 0.0 } else { requests as f64 * 1e9 / length as f64 };
    let share = if requests == 0 { 0.0 } else { errors as f64 / requests as f64 };
    let retransmissions = retransmissions(analysis);
    let samples: u64 = r.stacks.iter().map(|s| s.samples).sum();
    let events: u64 = r.events.values().sum();
    vec![
        fact("Requests", human::count(requests), format!("{rate:.1} per second, each counted once")),
        fact("Failed", human::percent(share), format!("{}, time-outs included", plural(errors, "request"))),
        fact("Services", human::count(red.services.len() as u64), "that answered, by protocol"),
        fact("Traces", human::count(r.traces.len() as u64), plural(r.spans.len() as u64, "span")),
        fact("Flows", human::count(r.flows.len() as u64), "per observation point"),
        fact("Retransmissions", human::count(retransmissions), "TCP segments sent again"),
        fact("Packets", human::count(r.packets), "as the capture holds them"),
        fact("CPU samples", human::count(samples), plural(events, "event record")),
    ]
}

/// Retransmissions of all conversations, each by the observation point that saw most of them.
fn retransmissions(analysis: &Analysis) -> u64 {
    let mut most = BTreeMap::new();
    for e in analysis.edges() {
        let n = most.entry((&e.client, &e.server, e.transport, e.l7_protocol)).or_insert(0);
        *n = e.retransmissions.max(*n);
    }
    most.values().sum()
}

/// What the recorder took from the node, first as figures.
pub(super) fn cost(analysis: &Analysis) -> Vec<Fact> {
    let r = &analysis.replayed;
    let mut out = Vec::new();
    if let Some(c) = &r.cost {
        let length = analysis.length_ns().max(1) as f64;
        let in_kernel: u64 = c.programs.iter().map(|p| p.run_ns).sum();
        let cpus = r.manifest.as_ref().map_or(1, |m| m.cpus.max(1));
        let of_node =
            |ns: u64| format!("{} of the node's CPU time", human::percent(ns as f64 / length / f64::from(cpus)));
        out.push(fact("Recorder's CPU time", human::duration(c.cpu_ns), of_node(c.cpu_ns)));
        out.push(fact("In eBPF programs", human::duration(in_kernel), of_node(in_kernel)));
        out.push(fact("Peak memory", human::bytes(c.max_rss_bytes), "of the recorder's process"));
        out.push(fact("Rings and maps", human::bytes(c.map_bytes), "kernel memory"));
        let ratio = if c.written_bytes == 0 { 0.0 } else { c.content_bytes as f64 / c.written_bytes as f64 };
        let hint = format!("{} before compression, {ratio:.1} to 1", human::bytes(c.content_bytes));
        out.push(fact("Written", human::bytes(c.written_bytes), hint));
    }
    out
}
