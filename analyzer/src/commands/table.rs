//! `analyze TABLE INPUT...`: one table, to standard output or a file.

use super::output::Named;
use super::{Outcome, input};
use crate::cli::TableArgs;
use crate::tables::{self, Format, Frame, Output, Table};
use anyhow::{anyhow, bail};
use polars::prelude::{BooleanChunked, DataFrame, SortMultipleOptions};
use replay::engine::Stored;
use replay::model::Health;
use std::collections::BTreeSet;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

/// Runs the command for the table called `name`.
///
/// # Errors
/// Unreadable input, an unknown column, or an output that cannot be written.
pub fn run(name: &str, args: &TableArgs) -> anyhow::Result<Outcome> {
    let table = tables::find(name).ok_or_else(|| anyhow!("there is no table {name}"))?;
    let to_terminal = args.output.is_none() && std::io::stdout().is_terminal();
    let format = match (args.format, &args.output) {
        (Some(format), _) => format,
        (None, Some(path)) => format_of(path)?,
        (None, None) if to_terminal => Format::Table,
        (None, None) => Format::Jsonl,
    };
    if format == Format::Parquet && to_terminal {
        bail!("Parquet is not for a terminal: add --output FILE, or redirect standard output");
    }

    let stored = input::store(&args.input, args.times, table)?;
    match &args.output {
        None => {
            let width = if to_terminal { terminal_width() } else { None };
            // Not `lock()`: the writer must be free to hand it on.
            let mut out = BufWriter::new(Named::stdout());
            let written = write(stored, table, args, (format, width), &mut out);
            Named::end(out, written)
        }
        Some(path) => {
            let mut file = BufWriter::with_capacity(FILE_BUFFER, Named::later(path));
            let written = write(stored, table, args, (format, None), &mut file);
            Named::end(file, written)
        }
    }
}

/// Writes the table, piece by piece where it can be had so.
fn write(
    mut stored: Stored,
    table: &Table,
    args: &TableArgs,
    (format, width): (Format, Option<usize>),
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let several = args.limit.is_some() && table.name == "network_profile";
    if args.sort.is_some()
        || args.flows.is_some()
        || args.input.pseudonyms.is_some()
        || several
        || !tables::is_stored(table, &stored)
    {
        let (analysis, chosen) = input::choose(input::analysis(&args.input, stored), &args.flows)?;
        if table.name == "tcp_packets" {
            let packets = analysis.tcp_packets().map_err(|e| anyhow!("{e}"))?;
            if packets.left_out > 0 {
                let n = packets.left_out;
                eprintln!(
                    "analyze: {n} packets are left out, the last ones read: choose flows with --flow or --filter"
                );
            }
        }
        let analysis = input::disguise(analysis, &args.input, None)?;
        let mut frame = table.of(&analysis)?;
        if let Some(chosen) = &chosen {
            frame = of_flows(&frame, table, chosen)?;
        }
        let mut frame = select(frame, table, format, args)?;
        tables::write(&mut frame, format, width, out)?;
        return Ok(outcome(&analysis.replayed.health));
    }
    stored.let_threads_go();
    let limit = args.limit.unwrap_or(usize::MAX);
    let mut out = Output::new(format, width, out, &select(table.columns()?, table, format, args)?)?;
    let form = out.form();
    // Parquet pages are made of the columns as they were filled in, unless some are chosen.
    let whole = format == Format::Parquet && args.sort.is_none() && args.limit.is_none() && args.columns.is_empty();
    let make = |frame: Frame| match whole {
        true => anyhow::Ok(form.prepare(frame)?),
        false => anyhow::Ok(form.prepare_polars(select(frame.into_polars()?, table, format, args)?)?),
    };
    let take = |piece| Ok(out.append(piece)?);
    tables::each_stored_piece(table, &stored, limit, input::threads(&args.input), make, take)?;
    out.finish()?;
    if stored.unreadable() > 0 {
        bail!(
            "{} rows could not be read back from the temporary file: see to the disk of {}",
            stored.unreadable(),
            std::env::temp_dir().display()
        );
    }
    Ok(outcome(&stored.rest().health))
}

/// Bytes of a file that are written together.
const FILE_BUFFER: usize = 1 << 18;

/// Says what is damaged. The summary has a place for that; here standard output is the table's alone.
fn outcome(health: &[Health]) -> Outcome {
    let mut outcome = Outcome::Complete;
    for health in crate::analysis::damages(health) {
        outcome = Outcome::Partial;
        eprintln!("analyze: damaged input: {}", health.cause);
    }
    outcome
}

/// The format that a file's ending asks for.
fn format_of(path: &Path) -> anyhow::Result<Format> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("parquet") => Ok(Format::Parquet),
        Some("csv") => Ok(Format::Csv),
        Some("jsonl" | "ndjson" | "json") => Ok(Format::Jsonl),
        Some("txt") => Ok(Format::Table),
        _ => bail!(
            "the ending of {} tells no format: use .parquet, .csv, .jsonl or .txt, or add --format",
            path.display()
        ),
    }
}

/// The rows of these flows.
fn of_flows(frame: &DataFrame, table: &Table, chosen: &BTreeSet<u64>) -> anyhow::Result<DataFrame> {
    let Ok(ids) = frame.column("flow_id") else {
        bail!("--flow: rows of {} do not belong to one flow", table.name);
    };
    let is_chosen = |id: Option<i64>| id.and_then(|id| u64::try_from(id).ok()).is_some_and(|id| chosen.contains(&id));
    let mask: BooleanChunked = ids.i64()?.iter().map(is_chosen).collect();
    Ok(frame.filter(&mask)?)
}

/// Sorts, cuts and projects as asked.
fn select(frame: DataFrame, table: &Table, format: Format, args: &TableArgs) -> anyhow::Result<DataFrame> {
    let known = |name: &str| -> anyhow::Result<()> {
        if frame.column(name).is_ok() {
            return Ok(());
        }
        let names: Vec<&str> = frame.get_column_names().into_iter().map(|n| n.as_str()).collect();
        bail!("{} has no column {name}; it has {}", table.name, names.join(", "))
    };
    for name in &args.columns {
        known(name)?;
    }
    let mut out = match &args.sort {
        None => frame.clone(),
        Some(by) => {
            let (by, descending) = by.strip_prefix('-').map_or((by.as_str(), false), |by| (by, true));
            known(by)?;
            let options = SortMultipleOptions::new()
                .with_order_descending(descending)
                .with_nulls_last(true)
                .with_maintain_order(true)
                .with_multithreaded(false);
            frame.sort([by], options)?
        }
    };
    if let Some(limit) = args.limit {
        out = out.head(Some(limit));
    }
    if !args.columns.is_empty() {
        out = out.select(args.columns.iter().map(String::as_str))?;
    } else if format == Format::Table {
        out = out.select(table.brief.iter().copied())?;
    }
    Ok(out)
}

/// Columns of the terminal.
fn terminal_width() -> Option<usize> {
    let told = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|c| *c > 0);
    told.or_else(|| terminal_size::terminal_size().map(|(width, _)| usize::from(width.0)))
}
