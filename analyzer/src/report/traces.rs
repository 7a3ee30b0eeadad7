//! The traces that the page holds with all of their spans.

use super::choice::first_by;
use super::columns::{Builder, Kind, MOST_ROWS, Strings, Table};
use crate::analysis::{Analysis, name_of};
use ahash::AHashMap;
use replay::model::{Span, Trace, TraceId};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

/// Spans in the page at most; a trace is in with all of its spans or with none.
const MOST_SPANS: usize = 12_000;

/// A trace with its spans: columns of equal length, parents before their children.
#[derive(Debug, Serialize)]
pub(super) struct Waterfall {
    id: i64,
    /// Start, ns from the start of the recording.
    start: i64,
    /// Place of the parent among these spans, -1 if it has none here.
    parent: Vec<i64>,
    depth: Vec<u32>,
    /// ns from the start of the trace.
    at: Vec<i64>,
    duration: Vec<i64>,
    self_time: Vec<u64>,
    service: Vec<i64>,
    name: Vec<i64>,
    process: Vec<i64>,
    pid: Vec<u32>,
    tap: Vec<&'static str>,
    link: Vec<&'static str>,
    confidence: Vec<f32>,
    status: Vec<&'static str>,
    /// What was asked, in full, and what went wrong.
    resource: Vec<i64>,
    exception: Vec<i64>,
    code: Vec<Option<i32>>,
    completeness: Vec<i64>,
}

/// Traces and where to find them.
pub(super) struct Traces<'a> {
    by_id: AHashMap<&'a TraceId, Range<usize>>,
    /// The traces to list, most interesting first.
    pub(super) listed: Vec<&'a Trace>,
}

/// The spans of each of these traces: they lie side by side.
pub(crate) fn ranges<'a>(spans: &[Span], wanted: &[&'a Trace]) -> AHashMap<&'a TraceId, Range<usize>> {
    let mut out: AHashMap<_, _> = wanted.iter().map(|t| (&t.trace_id, 0..0)).collect();
    let mut start = 0;
    for group in spans.chunk_by(|a, b| a.trace_id == b.trace_id) {
        let range = start..start + group.len();
        start = range.end;
        if let Some(place) = group.first().and_then(|first| out.get_mut(&first.trace_id)) {
            *place = range;
        }
    }
    out
}

/// Traces, those with errors first, then the slowest; but at most half of them for their errors, so that both are seen.
pub(crate) fn interesting(traces: &[Trace], most: usize) -> Vec<&Trace> {
    let (failed, fine): (Vec<&Trace>, Vec<&Trace>) = traces.iter().partition(|t| t.errors > 0);
    let slowest =
        |of: Vec<_>| first_by(of, most, |t: &&Trace| (Reverse(t.duration_ns), t.start, t.trace_id)).into_iter();
    // One of each in turn.
    let mut out = Vec::with_capacity(most.min(traces.len()));
    let (mut failed, mut fine) = (slowest(failed), slowest(fine));
    while out.len() < most {
        let before = out.len();
        out.extend(failed.next());
        out.extend(fine.next());
        if out.len() == before {
            break;
        }
    }
    out.truncate(most);
    out
}

/// Spans of one trace, parents first and then by start, each with its depth and its parent's place.
///
/// Spans whose parent is missing (or, in a damaged recording, part of a circle) come as roots.
pub(crate) fn ordered(spans: &[Span]) -> Vec<(&Span, u32, Option<usize>)> {
    let places: HashMap<&str, usize> = spans.iter().enumerate().map(|(i, s)| (s.span_id.as_str(), i)).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    let mut roots = Vec::new();
    for (i, span) in spans.iter().enumerate() {
        match places.get(span.parent_span_id.as_str()) {
            Some(&p) if p != i => {
                if let Some(c) = children.get_mut(p) {
                    c.push(i);
                }
            }
            _ => roots.push(i),
        }
    }
    let by_start = |list: &mut Vec<usize>| list.sort_by_key(|i| spans.get(*i).map(|s| (s.start, s.tap_side)));
    by_start(&mut roots);
    children.iter_mut().for_each(by_start);
    let mut out = Vec::with_capacity(spans.len());
    let mut seen = vec![false; spans.len()];
    // Circles have no root: whatever was not reached starts anew.
    for start in roots.into_iter().chain(0..spans.len()) {
        let mut left = vec![(start, 0u32, None)];
        while let Some((i, depth, parent)) = left.pop() {
            let (Some(span), Some(seen)) = (spans.get(i), seen.get_mut(i)) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            let place = out.len();
            out.push((span, depth, parent));
            left.extend(children.get(i).into_iter().flatten().rev().map(|c| (*c, depth + 1, Some(place))));
        }
    }
    out
}

impl<'a> Traces<'a> {
    /// Chooses the traces to list.
    pub(super) fn new(analysis: &'a Analysis) -> Self {
        let r = &analysis.replayed;
        let listed = interesting(&r.traces, MOST_ROWS);
        Self { by_id: ranges(&r.spans, &listed), listed }
    }

    /// Spans of a trace.
    fn spans<'s>(&self, analysis: &'s Analysis, trace: &Trace) -> &'s [Span] {
        let range = self.by_id.get(&trace.trace_id).cloned().unwrap_or_default();
        analysis.replayed.spans.get(range).unwrap_or_default()
    }

    /// The traces that fit with all of their spans, in the order of the list.
    pub(super) fn waterfalls(&self, analysis: &Analysis, strings: &mut Strings) -> Vec<Waterfall> {
        let mut left = MOST_SPANS;
        let mut out = Vec::new();
        for trace in &self.listed {
            let spans = self.spans(analysis, trace);
            if spans.is_empty() || spans.len() > left {
                continue;
            }
            left -= spans.len();
            out.push(waterfall(analysis, trace, spans, strings));
        }
        out
    }

    /// The list.
    pub(super) fn table(&self, analysis: &Analysis, strings: &mut Strings) -> Table {
        let start = analysis.replayed.start;
        Builder::new(strings, &self.listed, analysis.replayed.traces.len())
            .file("tables/traces.parquet", "failing and slowest first")
            .whole("start", "Start", Kind::Time, |t| Some(t.start.saturating_sub(start)))
            .text("service", "Service", Kind::Text, |t| &*t.service)
            .text("root", "Request", Kind::Code, |t| &*t.root)
            .count("duration_ns", "Duration", Kind::Duration, |t| Some(t.duration_ns))
            .count("spans", "Spans", Kind::Count, |t| Some(t.spans.into()))
            .count("processes", "Processes", Kind::Count, |t| Some(t.processes.into()))
            .count("errors", "Errors", Kind::Count, |t| Some(t.errors.into()))
            .real("weakest_link", "Weakest link", Kind::Share, |t| Some(t.weakest_link.into()))
            .text("trace_id", "Trace", Kind::Trace, |t| t.trace_id.as_str())
            .done()
    }
}

fn waterfall(analysis: &Analysis, trace: &Trace, spans: &[Span], strings: &mut Strings) -> Waterfall {
    let r = &analysis.replayed;
    let mut out = Waterfall {
        id: strings.place(&trace.trace_id),
        start: trace.start.saturating_sub(r.start),
        parent: Vec::new(),
        depth: Vec::new(),
        at: Vec::new(),
        duration: Vec::new(),
        self_time: Vec::new(),
        service: Vec::new(),
        name: Vec::new(),
        process: Vec::new(),
        pid: Vec::new(),
        tap: Vec::new(),
        link: Vec::new(),
        confidence: Vec::new(),
        status: Vec::new(),
        resource: Vec::new(),
        exception: Vec::new(),
        code: Vec::new(),
        completeness: Vec::new(),
    };
    for (span, depth, parent) in ordered(spans) {
        let request = usize::try_from(span.request_id).ok().and_then(|i| r.requests.get(i));
        let fields = request.map(|q| &q.fields);
        out.parent.push(parent.and_then(|p| i64::try_from(p).ok()).unwrap_or(-1));
        out.depth.push(depth);
        out.at.push(span.start.saturating_sub(trace.start));
        out.duration.push(span.end.saturating_sub(span.start).max(0));
        out.self_time.push(span.self_ns);
        out.service.push(strings.place(&span.service));
        out.name.push(strings.place(&span.name));
        out.process.push(strings.place(name_of(r.process_of(span))));
        out.pid.push(r.process_of(span).map_or(0, |p| p.pid));
        out.tap.push(span.tap_side.name());
        out.link.push(span.link_method);
        out.confidence.push(span.link_confidence);
        out.status.push(fields.map_or("unknown", |f| f.status.name()));
        out.resource.push(strings.place(fields.map_or("", |f| &f.request_resource)));
        out.exception.push(strings.place(fields.map_or("", |f| &f.exception)));
        out.code.push(fields.and_then(|f| f.code));
        out.completeness.push(strings.place(&span.completeness.to_string()));
    }
    out
}
