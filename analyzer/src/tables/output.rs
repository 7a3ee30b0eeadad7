//! Tables as files: Parquet, CSV, JSON lines, and text for a terminal.

use super::columns::time_as_text;
use super::frame::Frame;
use super::{parquet, text};
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::*;
use polars_parquet::write::{CompressedPage, ZstdLevel};
use std::io::Write;
use std::sync::{Arc, PoisonError};

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
pub(super) const ROW_GROUP_ROWS: usize = 1 << 14;

/// Writes `frame` to `out`. `width`: columns of the terminal, for [`Format::Table`]; `None` is unlimited.
///
/// The bytes depend on the rows only, not on threads, time or place.
///
/// # Errors
/// When `out` fails.
pub fn write(frame: &mut DataFrame, format: Format, width: Option<usize>, out: &mut dyn Write) -> PolarsResult<()> {
    let mut output = Output::new(format, width, out, &frame.clear())?;
    let form = output.form();
    frame.rechunk_mut();
    for from in (0..frame.height()).step_by(ROW_GROUP_ROWS) {
        output.append(form.prepare_polars(frame.slice(from as i64, ROW_GROUP_ROWS))?)?;
    }
    output.finish()
}

/// A table that is written piece by piece.
pub struct Output<'w> {
    form: Form,
    width: Option<usize>,
    to: To<'w>,
}

enum To<'w> {
    Lines(&'w mut dyn Write),
    Groups(Box<BatchedWriter<&'w mut dyn Write>>),
    /// Text for people is aligned by all of it.
    Text(&'w mut dyn Write, DataFrame),
}

/// What rows are to look like; any thread can make them so.
#[derive(Clone, Debug)]
pub struct Form {
    format: Format,
    parquet: Option<Arc<parquet::Form>>,
}

/// Rows as they will lie in the output.
pub struct Piece(Ready);

enum Ready {
    Bytes(Vec<u8>),
    /// (rows, pages of every column).
    Group(u64, Vec<Vec<CompressedPage>>),
    Rows(DataFrame),
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("form", &self.form).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece").finish_non_exhaustive()
    }
}

impl Form {
    /// How Parquet pages are made, if any are.
    #[cfg(test)]
    pub(super) fn parquet(&self) -> Option<&parquet::Form> {
        self.parquet.as_deref()
    }

    /// Makes rows ready to be written, at most [`ROW_GROUP_ROWS`] of them: this is most of the work.
    ///
    /// # Errors
    /// If a column has another type than the table's.
    pub fn prepare(&self, frame: Frame) -> PolarsResult<Piece> {
        match &self.parquet {
            Some(form) => Ok(Piece(Ready::Group(frame.height() as u64, form.columns(frame)?))),
            None => self.prepare_polars(frame.into_polars()?),
        }
    }

    /// The same of rows that Polars has sorted or chosen.
    ///
    /// # Errors
    /// If a column has another type than the table's.
    pub fn prepare_polars(&self, frame: DataFrame) -> PolarsResult<Piece> {
        Ok(Piece(match self.format {
            Format::Parquet if self.parquet.is_some() => return self.prepare(Frame::of(&frame)?),
            Format::Csv => {
                let mut bytes = Vec::new();
                CsvWriter::new(&mut bytes).include_header(false).n_threads(1).finish(&mut plain(&frame)?)?;
                Ready::Bytes(bytes)
            }
            Format::Jsonl => {
                let mut bytes = Vec::new();
                JsonWriter::new(&mut bytes).with_json_format(JsonFormat::JsonLines).finish(&mut plain(&frame)?)?;
                Ready::Bytes(bytes)
            }
            Format::Table | Format::Parquet => Ready::Rows(frame),
        }))
    }
}

impl<'w> Output<'w> {
    /// A table on its way to `out`, with the columns of `empty`; `width` as for [`write`].
    ///
    /// # Errors
    /// When `out` fails.
    pub fn new(format: Format, width: Option<usize>, out: &'w mut dyn Write, empty: &DataFrame) -> PolarsResult<Self> {
        let mut form = Form { format, parquet: None };
        let to = match format {
            Format::Table => To::Text(out, empty.clone()),
            Format::Jsonl => To::Lines(out),
            Format::Csv => {
                CsvWriter::new(&mut *out).include_header(true).n_threads(1).finish(&mut plain(empty)?)?;
                To::Lines(out)
            }
            Format::Parquet => {
                let level = ZstdLevel::try_new(parquet::LEVEL)?;
                let groups = ParquetWriter::new(out)
                    .with_compression(ParquetCompression::Zstd(Some(level)))
                    .batched(empty.schema())?;
                let writer = groups.get_writer().lock().unwrap_or_else(PoisonError::into_inner);
                let fields = writer.parquet_schema().fields().to_vec();
                form.parquet = Some(Arc::new(parquet::Form { fields, options: writer.options() }));
                drop(writer);
                To::Groups(Box::new(groups))
            }
        };
        Ok(Self { form, width, to })
    }

    /// What its rows are to look like.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form.clone()
    }

    /// Writes what was prepared.
    ///
    /// # Errors
    /// When the output fails.
    pub fn append(&mut self, piece: Piece) -> PolarsResult<()> {
        match (&mut self.to, piece.0) {
            (To::Lines(out), Ready::Bytes(bytes)) => out.write_all(&bytes)?,
            (To::Groups(groups), Ready::Group(rows, columns)) if rows > 0 => groups.write_row_group(rows, &columns)?,
            (To::Text(_, all), Ready::Rows(frame)) => {
                all.vstack_mut(&frame)?;
            }
            // Pieces are of the output that prepared them; one without rows adds none.
            _ => {}
        }
        Ok(())
    }

    /// Writes what remains.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(self) -> PolarsResult<()> {
        match self.to {
            To::Lines(out) => out.flush()?,
            To::Groups(groups) => {
                groups.finish()?;
            }
            To::Text(out, mut all) => {
                all.rechunk_mut();
                text::write(&all, self.width, out)?;
                out.flush()?;
            }
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
