//! Large tables piece by piece, so that a table takes the memory of a piece, however long it is.

use super::frame::Frame;
use super::output::ROW_GROUP_ROWS;
use super::{Table, flows, network_profile, requests, round_trips, spans, traces};
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;
use replay::engine::{Keep, Stored};
use replay::model::{ProfileSegment, Replayed};
use std::ops::Range;
use std::sync::mpsc::sync_channel;

/// What replay has to make for a table: (what is kept beside flows, whether requests are linked to spans).
#[must_use]
pub fn needs(table: &Table) -> (Keep, bool) {
    let keep = |requests, profile| Keep { requests, profile, round_trips: false };
    match table.name {
        "flows" | "hops" | "clocks" | "tcp_packets" | "processes" | "interfaces" | "socket_events" => {
            (keep(false, false), false)
        }
        "round_trips" => (Keep { round_trips: true, ..keep(false, false) }, false),
        // What is masked in texts is counted where texts are made.
        "requests" | "red" | "stacks" | "health" | "masked" => (keep(true, false), false),
        "map" => (keep(true, false), true),
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
    mut each: impl FnMut(Frame) -> Result<(), E>,
) -> Result<(), E> {
    let r = &a.replayed;
    match table.name {
        "flows" => chunks_of(FLOW_ROWS, &r.flows, |rows| flows::of(a, rows), each),
        "round_trips" => chunks_of(FLOW_ROWS, &r.flows, round_trips::of, each),
        "requests" => chunks(&r.requests, |rows| requests::of(a, rows), each),
        "spans" => chunks(&r.spans, |rows| spans::of(a, rows), each),
        "traces" => chunks(&r.traces, traces::of, each),
        "network_profile" => {
            // They are unpacked a row group at a time.
            let mut some: Vec<ProfileSegment> = Vec::new();
            let mut made = 0;
            r.profile.iter().try_for_each(|row| {
                some.push(row);
                if some.len() < ROW_GROUP_ROWS {
                    return Ok(());
                }
                made += 1;
                let frame = network_profile::of(&some)?;
                some.clear();
                each(frame)
            })?;
            if some.is_empty() && made > 0 { Ok(()) } else { each(network_profile::of(&some)?) }
        }
        _ => each((table.build)(a)?),
    }
}

fn chunks<T, E: From<polars::prelude::PolarsError>>(
    rows: &[T],
    build: impl Fn(&[T]) -> PolarsResult<Frame>,
    each: impl FnMut(Frame) -> Result<(), E>,
) -> Result<(), E> {
    chunks_of(ROW_GROUP_ROWS, rows, build, each)
}

fn chunks_of<T, E: From<polars::prelude::PolarsError>>(
    most: usize,
    rows: &[T],
    build: impl Fn(&[T]) -> PolarsResult<Frame>,
    mut each: impl FnMut(Frame) -> Result<(), E>,
) -> Result<(), E> {
    if rows.is_empty() {
        return each(build(rows)?);
    }
    for chunk in rows.chunks(pieces(rows.len(), most).1) {
        each(build(chunk)?)?;
    }
    Ok(())
}

/// Into how many pieces of how many rows a table is cut, so that each has `most` of them at most: pieces of one size, and as many as
/// two or four threads can share evenly. What there is does not depend on how many there are.
fn pieces(rows: usize, most: usize) -> (usize, usize) {
    let fewest = rows.div_ceil(most);
    let pieces = if fewest < 2 { fewest } else { fewest.next_multiple_of(EVEN) };
    let step = rows.div_ceil(pieces.max(1)).max(1);
    (rows.div_ceil(step), step)
}

/// Threads among which pieces are shared evenly.
const EVEN: usize = 4;
/// Rows of flows in a piece: they are many times as wide as others.
const FLOW_ROWS: usize = ROW_GROUP_ROWS / 4;
/// Flows whose segments are unpacked together: a flow may have many.
const PROFILED_FLOWS: usize = 1 << 11;

/// Whether a table can be made while its rows are unpacked.
#[must_use]
pub fn is_stored(table: &Table, stored: &Stored) -> bool {
    stored.is_plain() && matches!(table.name, "flows" | "requests" | "network_profile" | "round_trips")
}

/// Makes the table of packed rows, at most `limit` of them: `make` has each piece, on as many threads as there may be, `take` what it
/// made of it, in order.
///
/// # Errors
/// Those of `make` and `take`.
pub fn each_stored_piece<P: Send, E: From<polars::prelude::PolarsError> + Send>(
    table: &Table,
    stored: &Stored,
    limit: usize,
    threads: usize,
    make: impl Fn(Frame) -> Result<P, E> + Sync,
    mut take: impl FnMut(P) -> Result<(), E>,
) -> Result<(), E> {
    let (rows, step) = match table.name {
        "requests" => (stored.request_count().min(limit), ROW_GROUP_ROWS),
        "network_profile" => (stored.flow_count(), PROFILED_FLOWS),
        _ => (stored.flow_count().min(limit), FLOW_ROWS),
    };
    let interfaces = &stored.rest().interfaces;
    let unpack = |range: Range<usize>| -> Result<P, E> {
        let out = Replayed { interfaces: interfaces.clone(), ..Replayed::default() };
        make(match table.name {
            "requests" => requests::of_packed(&Analysis::new(out, String::new()), stored, range),
            "network_profile" => network_profile::of(&stored.profile(range))?,
            _ => (table.build)(&Analysis::new(Replayed { flows: stored.flows(range), ..out }, String::new()))?,
        })
    };
    let (pieces, step) = pieces(rows, step);
    let range = |piece: usize| piece * step..rows.min((piece + 1) * step);
    if threads < 2 || pieces < 2 {
        return (0..pieces).try_for_each(|piece| take(unpack(range(piece))?));
    }
    // Every thread makes every so manieth piece, and waits when two of its own wait.
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(pieces))
            .map(|worker| {
                let (send, receive) = sync_channel(1);
                let (unpack, range) = (&unpack, &range);
                scope.spawn(move || {
                    (worker..pieces).step_by(threads).all(|piece| send.send(unpack(range(piece))).is_ok())
                });
                receive
            })
            .collect();
        for piece in 0..pieces {
            let made = workers.get(piece % threads).and_then(|w| w.recv().ok());
            made.map_or(Ok(()), |p| take(p?))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn pieces_are_of_one_size_and_none_is_too_large() {
        for (rows, most, expected) in [
            (0, 4096, (0, 1)),
            (1, 4096, (1, 1)),
            (4096, 4096, (1, 4096)),
            (4097, 4096, (4, 1025)),
            (10_000, 4096, (4, 2500)),
            (16_385, 4096, (8, 2049)),
            (100_000, 16_384, (8, 12_500)),
            // Five of two cover nine rows, so that the eighth would be empty.
            (9, 2, (5, 2)),
        ] {
            assert_eq!(pieces(rows, most), expected, "{rows} rows of at most {most}");
        }
    }
}
