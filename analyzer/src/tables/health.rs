//! `health`: what is missing, and why.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;

pub(super) const TABLE: Table = Table {
    name: "health",
    command: "health",
    about: "What was lost or damaged, when, how much and why; empty if nothing was",
    brief: &["kind", "cpu", "first", "last", "lost", "cause"],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(&a.replayed.health, |c| {
        c.text("kind", |h| &h.kind);
        c.opt("cpu", |h| h.cpu);
        c.opt_time("first", |h| h.first);
        c.opt_time("last", |h| h.last);
        c.int("lost", |h| h.lost);
        c.text("cause", |h| &h.cause);
    }))
}
