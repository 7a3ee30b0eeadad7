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

/// Rows per Parquet row group, and per piece of a table: fixed, so that the bytes depend on the rows alone.
pub(super) const ROW_GROUP_ROWS: usize = 1 << 15;

/// Writes `frame` to `out`. `width`: columns of the terminal, for [`Format::Table`]; `None` is unlimited.
///
/// The bytes depend on the rows only, not on threads, time or place.
///
/// # Errors
/// When `out` fails.
pub fn write(frame: &mut DataFrame, format: Format, width: Option<usize>, out: &mut dyn Write) -> PolarsResult<()> {
    let mut output = Output::new(format, width, out);
    output.whole(frame)?;
    output.finish()
}

/// A table that is written piece by piece.
pub struct Output<'w> {
    format: Format,
    width: Option<usize>,
    state: State<'w>,
}

enum State<'w> {
    /// Nothing yet.
    Start(&'w mut dyn Write),
    /// Lines follow.
    Lines(&'w mut dyn Write),
    /// Row groups follow.
    Groups(Box<polars::io::parquet::write::BatchedWriter<&'w mut dyn Write>>),
    /// Text for people is aligned by all of it.
    All(&'w mut dyn Write, DataFrame),
    /// Something failed.
    Failed,
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("format", &self.format).finish_non_exhaustive()
    }
}

impl<'w> Output<'w> {
    /// A table on its way to `out`; `width` as for [`write`].
    pub fn new(format: Format, width: Option<usize>, out: &'w mut dyn Write) -> Self {
        Self { format, width, state: State::Start(out) }
    }

    /// Writes the next rows. The first piece says what columns there are, and is needed even if it has no rows.
    ///
    /// # Errors
    /// When the output fails.
    pub fn piece(&mut self, mut frame: DataFrame) -> PolarsResult<()> {
        self.state = match (std::mem::replace(&mut self.state, State::Failed), self.format) {
            (State::Start(out), Format::Table) => State::All(out, frame),
            (State::All(out, mut all), _) => {
                all.vstack_mut(&frame)?;
                State::All(out, all)
            }
            (State::Start(out), Format::Parquet) => {
                let mut groups = ParquetWriter::new(out)
                    .with_compression(ParquetCompression::Zstd(None))
                    // Whoever wants several tables at once uses a thread per table, see commands/summary.rs.
                    .set_parallel(false)
                    .batched(frame.schema())?;
                groups.write_batch(&frame)?;
                State::Groups(Box::new(groups))
            }
            (State::Groups(mut groups), _) => {
                groups.write_batch(&frame)?;
                State::Groups(groups)
            }
            (State::Start(out), _) => {
                self.lines(&mut frame, true, &mut *out)?;
                State::Lines(out)
            }
            (State::Lines(out), _) => {
                self.lines(&mut frame, false, &mut *out)?;
                State::Lines(out)
            }
            (State::Failed, _) => State::Failed,
        };
        Ok(())
    }

    /// Writes all rows at once.
    ///
    /// # Errors
    /// When the output fails.
    pub fn whole(&mut self, frame: &mut DataFrame) -> PolarsResult<()> {
        frame.rechunk_mut();
        for from in (0..frame.height().max(1)).step_by(ROW_GROUP_ROWS) {
            self.piece(frame.slice(from as i64, ROW_GROUP_ROWS))?;
        }
        Ok(())
    }

    fn lines(&self, frame: &mut DataFrame, first: bool, mut out: &mut dyn Write) -> PolarsResult<()> {
        let mut frame = plain(frame)?;
        if self.format == Format::Csv {
            CsvWriter::new(&mut out).include_header(first).n_threads(1).finish(&mut frame)
        } else {
            JsonWriter::new(&mut out).with_json_format(JsonFormat::JsonLines).finish(&mut frame)
        }
    }

    /// Writes what remains.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(self) -> PolarsResult<()> {
        match self.state {
            State::Start(out) | State::Lines(out) => out.flush()?,
            State::Groups(groups) => {
                groups.finish()?;
            }
            State::All(out, mut frame) => {
                frame.rechunk_mut();
                text::write(&frame, self.width, out)?;
                out.flush()?;
            }
            State::Failed => {}
        }
        Ok(())
    }
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
