//! `network_profile`: the life of flows, cut into segments.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;
use replay::model::ProfileSegment;

pub(super) const TABLE: Table = Table {
    name: "network_profile",
    command: "network-profile",
    about: "What each flow spent its time on: connecting, TLS, waiting, transferring, closing",
    brief: &["flow_id", "exchange", "segment", "start", "duration_ns", "bytes", "retransmissions", "request_id"],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    of(&a.replayed.profile.iter().collect::<Vec<_>>())
}

/// The table of some of the rows.
pub(super) fn of(rows: &[ProfileSegment]) -> PolarsResult<Frame> {
    Ok(table(rows, |c| {
        c.int("flow_id", |s| s.flow_id);
        c.opt("request_id", |s| s.request_id);
        c.int("exchange", |s| s.exchange);
        c.text("segment", |s| s.segment);
        c.time("start", |s| s.start);
        c.int("duration_ns", |s| s.duration_ns);
        c.int("bytes", |s| s.bytes);
        c.int("retransmissions", |s| s.retransmissions);
    }))
}
