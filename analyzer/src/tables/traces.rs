//! `traces`: one row per trace.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;
use replay::model::Trace;

pub(super) const TABLE: Table = Table {
    name: "traces",
    command: "traces",
    about: "Traces: root request, length, spans, processes, errors, weakest link",
    brief: &["trace_id", "start", "service", "root", "duration_ns", "spans", "processes", "errors", "weakest_link"],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    of(&a.replayed.traces)
}

/// The table of some of the rows.
pub(super) fn of(rows: &[Trace]) -> PolarsResult<Frame> {
    Ok(table(rows, |c| {
        c.text("trace_id", |t| &t.trace_id);
        c.text("root_span_id", |t| &t.root_span_id);
        c.text("root", |t| &t.root);
        c.text("service", |t| &t.service);
        c.time("start", |t| t.start);
        c.int("duration_ns", |t| t.duration_ns);
        c.int("spans", |t| t.spans);
        c.int("processes", |t| t.processes);
        c.int("nodes", |t| t.nodes);
        c.int("errors", |t| t.errors);
        c.float("weakest_link", |t| f64::from(t.weakest_link));
    }))
}
