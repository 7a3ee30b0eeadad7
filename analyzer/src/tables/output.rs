//! Tables as files: Parquet, CSV, JSON lines, and text for a terminal.

use super::columns::time_as_text;
use super::text;
use polars::prelude::*;
use std::io::Write;

/// In which form a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns beside each other, for people: durations and sizes with units
    Table,
    /// One JSON object per line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// Apache Parquet, zstd compressed
    Parquet,
}

/// Rows per Parquet row group: fixed, so that the bytes depend on the rows alone.
const ROW_GROUP_ROWS: usize = 1 << 17;

/// Writes `frame` to `out`. `width`: columns of the terminal, for [`Format::Table`]; `None` is unlimited.
///
/// The bytes depend on the rows only, not on threads, time or place.
///
/// # Errors
/// When `out` fails.
pub fn write(frame: &mut DataFrame, format: Format, width: Option<usize>, mut out: &mut dyn Write) -> PolarsResult<()> {
    match format {
        Format::Table => text::write(frame, width, out)?,
        Format::Jsonl => {
            JsonWriter::new(&mut out).with_json_format(JsonFormat::JsonLines).finish(&mut plain(frame)?)?
        }
        Format::Csv => CsvWriter::new(&mut out).n_threads(1).finish(&mut plain(frame)?)?,
        Format::Parquet => {
            ParquetWriter::new(&mut out)
                .with_compression(ParquetCompression::Zstd(None))
                .with_row_group_size(Some(ROW_GROUP_ROWS))
                // Whoever wants several tables at once uses a thread per table, see commands/summary.rs.
                .set_parallel(false)
                .finish(frame)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// The same table with times as text.
fn plain(frame: &DataFrame) -> PolarsResult<DataFrame> {
    let columns = frame
        .columns()
        .iter()
        .map(|c| if matches!(c.dtype(), DataType::Datetime(..)) { time_as_text(c) } else { Ok(c.clone()) })
        .collect::<PolarsResult<Vec<_>>>()?;
    DataFrame::new(frame.height(), columns)
}
