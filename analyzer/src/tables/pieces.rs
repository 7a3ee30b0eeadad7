//! Large tables piece by piece, so that a table takes the memory of a piece, however long it is.

use super::output::ROW_GROUP_ROWS;
use super::{Table, flows, network_profile, requests, spans, traces};
use crate::analysis::Analysis;
use polars::prelude::{DataFrame, PolarsResult};
use replay::engine::{Keep, Stored};
use replay::model::Replayed;
use std::ops::Range;
use std::sync::mpsc::sync_channel;

/// What replay has to make for a table: (what is kept beside flows, whether requests are linked to spans).
#[must_use]
pub fn needs(table: &Table) -> (Keep, bool) {
    let keep = |requests, profile| Keep { requests, profile };
    match table.name {
        "flows" | "tcp_packets" | "stacks" | "processes" | "interfaces" | "socket_events" | "health" => {
            (keep(false, false), false)
        }
        "requests" | "map" | "red" => (keep(true, false), false),
        "network_profile" => (keep(true, true), false),
        _ => (keep(true, true), true),
    }
}

/// Hands the table to `each`, in pieces of at most a row group; a table without rows is one piece.
///
/// # Errors
/// Those of `each`.
pub fn each_piece<E: From<polars::prelude::PolarsError>>(
    table: &Table,
    a: &Analysis,
    mut each: impl FnMut(DataFrame) -> Result<(), E>,
) -> Result<(), E> {
    let r = &a.replayed;
    match table.name {
        "flows" => chunks(&r.flows, |rows| flows::of(a, rows), each),
        "requests" => chunks(&r.requests, |rows| requests::of(a, rows), each),
        "spans" => chunks(&r.spans, |rows| spans::of(a, rows), each),
        "traces" => chunks(&r.traces, traces::of, each),
        "network_profile" => chunks(&r.profile, network_profile::of, each),
        _ => each((table.build)(a)?),
    }
}

fn chunks<T, E: From<polars::prelude::PolarsError>>(
    rows: &[T],
    build: impl Fn(&[T]) -> PolarsResult<DataFrame>,
    mut each: impl FnMut(DataFrame) -> Result<(), E>,
) -> Result<(), E> {
    if rows.is_empty() {
        return each(build(rows)?);
    }
    for chunk in rows.chunks(ROW_GROUP_ROWS) {
        each(build(chunk)?)?;
    }
    Ok(())
}

/// Flows whose segments are unpacked together: a flow may have many.
const PROFILED_FLOWS: usize = 1 << 11;

/// Whether a table can be made while its rows are unpacked.
#[must_use]
pub fn is_stored(table: &Table, stored: &Stored) -> bool {
    stored.is_plain() && matches!(table.name, "flows" | "requests" | "network_profile")
}

/// Makes the table of packed rows, the next piece being unpacked while `each` has the one before where there is a thread for it.
/// `each` says whether it wants more.
///
/// # Errors
/// Those of `each`.
pub fn each_stored_piece<E: From<polars::prelude::PolarsError> + Send>(
    table: &Table,
    stored: &Stored,
    threads: usize,
    mut each: impl FnMut(DataFrame) -> Result<bool, E>,
) -> Result<(), E> {
    let (rows, step) = match table.name {
        "requests" => (stored.request_count(), ROW_GROUP_ROWS),
        "network_profile" => (stored.flow_count(), PROFILED_FLOWS),
        _ => (stored.flow_count(), ROW_GROUP_ROWS),
    };
    let unpack = |range: Range<usize>| {
        let mut out = Replayed { interfaces: stored.rest().interfaces.clone(), ..Replayed::default() };
        match table.name {
            "requests" => out.requests = stored.requests(range),
            "network_profile" => out.profile = stored.profile(range),
            _ => out.flows = stored.flows(range),
        }
        Analysis::new(out, String::new())
    };
    let mut ranges = (0..rows.max(1)).step_by(step).map(|from| from..(from + step).min(rows));
    if threads < 2 {
        for range in ranges {
            if !each((table.build)(&unpack(range))?)? {
                break;
            }
        }
        return Ok(());
    }
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel::<Analysis>(1);
        scope.spawn(move || ranges.all(|range| send.send(unpack(range)).is_ok()));
        for analysis in receive {
            if !each((table.build)(&analysis)?)? {
                break;
            }
        }
        Ok(())
    })
}
