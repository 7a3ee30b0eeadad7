//! `stacks`: what threads were doing.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;

pub(super) const TABLE: Table = Table {
    name: "stacks",
    command: "stacks",
    about: "Distinct call stacks per thread with samples and the time they stand for",
    brief: &["process", "pid", "thread", "kind", "samples", "value_ns", "endpoint", "frames"],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(&a.replayed.stacks, |c| {
        c.text("process", |s| &s.process);
        c.nonzero("pid", |s| s.pid);
        c.text("thread", |s| &s.thread);
        c.nonzero("tid", |s| s.tid);
        c.text("kind", |s| s.kind);
        c.text("reason", |s| &s.reason);
        c.text("frames", |s| &s.frames);
        c.int("samples", |s| s.samples);
        c.int("value_ns", |s| s.value_ns);
        c.opt("request_id", |s| s.request_id);
        c.text("endpoint", |s| &s.endpoint);
    }))
}
