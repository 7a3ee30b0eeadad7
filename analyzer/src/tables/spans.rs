//! `spans`: requests placed in traces.

use super::Table;
use super::columns::table;
use super::flows::{container, pid};
use super::frame::Frame;
use crate::analysis::{Analysis, name_of};
use polars::prelude::PolarsResult;
use replay::model::{Request, Span};
use std::fmt::Write;

pub(super) const TABLE: Table = Table {
    name: "spans",
    command: "spans",
    about: "Requests at their observation points, placed in traces, with how each was tied to its parent",
    brief: &[
        "trace_id",
        "span_id",
        "parent_span_id",
        "tap_side",
        "service",
        "name",
        "start",
        "duration_ns",
        "self_ns",
        "response_status",
        "link_method",
        "link_confidence",
    ],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    of(a, &a.replayed.spans)
}

/// The table of some of the rows.
pub(super) fn of(a: &Analysis, rows: &[Span]) -> PolarsResult<Frame> {
    let request = |s: &Span| -> Option<&Request> { a.replayed.request_of(s) };
    Ok(table(rows, |c| {
        c.text("trace_id", |s| &s.trace_id);
        c.text("span_id", |s| &s.span_id);
        c.text("parent_span_id", |s| &s.parent_span_id);
        c.text("tap_side", |s| s.tap_side.name());
        c.text("node", |s| a.replayed.requests.get(s.request_id as usize).map_or("", |r| a.node_of_flow(r.flow_id)));
        c.text("service", |s| &s.service);
        c.text("process", |s| name_of(a.replayed.process_of(s)));
        c.opt("pid", |s| request(s).and_then(|r| pid(&r.process)));
        c.nonzero("tid", |s| s.tid);
        c.text("container", |s| request(s).map_or("", |r| container(&r.process)));
        c.text("interface", |s| request(s).and_then(|r| a.interface(&r.observed_at)).map_or("", |i| &i.name));
        c.int("request_id", |s| s.request_id);
        c.text("name", |s| &s.name);
        c.text("l7_protocol", |s| request(s).map_or("", |r| r.fields.l7_protocol));
        c.text("response_status", |s| request(s).map_or("", |r| r.fields.status.name()));
        c.time("start", |s| s.start);
        c.time("end", |s| s.end);
        c.int("duration_ns", |s| s.end.saturating_sub(s.start));
        c.int("self_ns", |s| s.self_ns);
        c.text("link_method", |s| s.link_method);
        c.float("link_confidence", |s| f64::from(s.link_confidence));
        c.written("link_evidence", |s, out| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}", s.link_evidence);
        });
        c.completeness(|s| s.completeness);
    }))
}
