//! `round_trips`: round trips of TCP flows over time.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;
use replay::model::{Flow, RttStretch};

pub(super) const TABLE: Table = Table {
    name: "round_trips",
    command: "round-trips",
    about: "Round trips of each TCP flow's data over time: shortest, mean, longest per direction and stretch of time",
    brief: &["flow_id", "sender", "start", "duration_ns", "samples", "rtt_min_ns", "rtt_mean_ns", "rtt_max_ns"],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    of(&a.replayed.flows)
}

/// A row: the flow, whose data, how long the stretch is, the stretch.
type Row<'a> = (u64, &'static str, u64, &'a RttStretch);

/// The table of some of the flows.
pub(super) fn of(flows: &[Flow]) -> PolarsResult<Frame> {
    let rows: Vec<Row<'_>> = flows
        .iter()
        .filter_map(|f| Some((f.flow_id, f.round_trips.as_deref()?)))
        .flat_map(|(flow, both)| [(flow, "client", &both.client), (flow, "server", &both.server)])
        .flat_map(|(flow, sender, (width, stretches))| stretches.iter().map(move |s| (flow, sender, *width, s)))
        .collect();
    Ok(table(&rows, |c| {
        c.int("flow_id", |r| r.0);
        c.text("sender", |r| r.1);
        c.time("start", |r| r.3.start);
        c.int("duration_ns", |r| r.2);
        c.int("samples", |r| r.3.samples);
        c.int("rtt_min_ns", |r| r.3.min_ns);
        c.int("rtt_mean_ns", |r| r.3.sum_ns / u64::from(r.3.samples.max(1)));
        c.int("rtt_max_ns", |r| r.3.max_ns);
    }))
}
