//! `clocks`: how far the clocks of several nodes and captures are apart.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;

pub(super) const TABLE: Table = Table {
    name: "clocks",
    command: "clocks",
    about: "Clocks of several bundles and captures, compared by the packets that both saw",
    brief: &["clock", "reference", "offset_ns", "uncertainty_ns", "drift_ns", "packets_there", "packets_back"],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(&a.replayed.clocks, |c| {
        c.text("clock", |k| &k.name);
        c.text("reference", |k| &k.reference);
        c.int("offset_ns", |k| k.offset_ns);
        c.opt("uncertainty_ns", |k| k.uncertainty_ns);
        c.int("drift_ns", |k| k.drift_ns);
        c.int("packets_there", |k| k.packets[0]);
        c.int("packets_back", |k| k.packets[1]);
    }))
}
