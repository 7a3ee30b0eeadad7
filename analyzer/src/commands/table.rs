//! `analyze TABLE INPUT...`: one table, to standard output or a file.

use super::{Outcome, input};
use crate::cli::TableArgs;
use crate::tables::{self, Format, Table};
use anyhow::{Context, anyhow, bail};
use polars::prelude::{DataFrame, SortMultipleOptions};
use std::fs::File;
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

    let analysis = input::load(&args.input)?;
    let frame = (table.build)(&analysis)?;
    let mut frame = select(frame, table, format, args)?;
    match &args.output {
        None => {
            let width = if to_terminal { terminal_width() } else { None };
            // Not `lock()`: the writer must be free to hand it on.
            tables::write(&mut frame, format, width, &mut BufWriter::new(std::io::stdout()))?;
        }
        Some(path) => {
            let cannot = || format!("cannot write {}", path.display());
            let mut file = BufWriter::new(File::create(path).with_context(cannot)?);
            tables::write(&mut frame, format, None, &mut file).with_context(cannot)?;
            file.flush().with_context(cannot)?;
        }
    }
    // The summary has a place for it; here standard output is the table's alone.
    for health in analysis.damages() {
        eprintln!("analyze: damaged input: {}", health.cause);
    }
    Ok(Outcome::of(&analysis))
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
