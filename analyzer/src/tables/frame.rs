//! A table, or a piece of one, as it was filled in: columns that Parquet pages are made of without a step in between. Everything else
//! (other formats, sorting, choosing) is Polars' business: [`Frame::into_polars`].

use super::known::Known;
use super::texts::Texts;
use polars::prelude::*;

/// Columns of equal length.
#[derive(Debug)]
pub struct Frame {
    rows: usize,
    columns: Vec<(PlSmallStr, Made)>,
}

/// The values of a column.
#[derive(Debug)]
pub(super) enum Made {
    Int(Vec<i64>),
    Opt(Known),
    /// Points in time, of one of the kinds above.
    Time(Box<Made>),
    Float(Vec<f64>),
    OptFloat(Vec<Option<f64>>),
    Flag(Vec<bool>),
    Text(Texts),
    /// As Polars had it.
    Other(Series),
}

impl Made {
    /// The column when all rows are in it.
    pub(super) fn finish(self) -> Self {
        match self {
            Self::Text(texts) => Self::Text(texts.finish()),
            made => made,
        }
    }

    /// As Polars keeps it.
    pub(super) fn into_series(self, name: PlSmallStr) -> PolarsResult<Series> {
        Ok(match self {
            Self::Int(values) => Int64Chunked::from_vec(name, values).into_series(),
            Self::Opt(known) => Int64Chunked::from_iter_options(name, known.rows()).into_series(),
            Self::Time(ns) => {
                let ns = ns.into_series(name)?;
                ns.i64()?.clone().into_datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)).into_series()
            }
            Self::Float(values) => Series::new(name, values),
            Self::OptFloat(values) => Series::new(name, values),
            Self::Flag(values) => Series::new(name, values),
            Self::Text(texts) => StringChunked::with_chunk(name, texts.into_array()).into_series(),
            Self::Other(series) => series.with_name(name),
        })
    }

    fn of(series: &Series) -> PolarsResult<Self> {
        let rows = series.len();
        Ok(match series.dtype() {
            DataType::Int64 => {
                let mut known = Known::new(rows);
                series.i64()?.iter().for_each(|value| known.push(value));
                Self::Opt(known)
            }
            DataType::Datetime(..) => Self::Time(Self::of(&series.to_physical_repr())?.into()),
            DataType::String => {
                let mut texts = Texts::new(rows);
                series.str()?.iter().for_each(|text| texts.push(text.unwrap_or_default()));
                Self::Text(texts).finish()
            }
            _ => Self::Other(series.clone()),
        })
    }
}

impl Frame {
    /// Columns with their names, of `rows` rows each.
    pub(super) fn new(rows: usize, columns: Vec<(PlSmallStr, Made)>) -> Self {
        Self { rows, columns }
    }

    /// The same columns as Polars has; an empty text becomes none, as in all tables.
    ///
    /// # Errors
    /// None that depend on the input.
    pub fn of(frame: &DataFrame) -> PolarsResult<Self> {
        let column = |c: &Column| Ok((c.name().clone(), Made::of(c.as_materialized_series())?));
        Ok(Self { rows: frame.height(), columns: frame.columns().iter().map(column).collect::<PolarsResult<_>>()? })
    }

    /// How many rows it has.
    #[must_use]
    pub fn height(&self) -> usize {
        self.rows
    }

    /// Its columns, in order.
    pub(super) fn into_columns(self) -> impl Iterator<Item = Made> {
        self.columns.into_iter().map(|(_, made)| made)
    }

    /// For what Polars does with tables.
    ///
    /// # Errors
    /// If two columns have one name.
    pub fn into_polars(self) -> PolarsResult<DataFrame> {
        let column = |(name, made): (PlSmallStr, Made)| Ok(made.into_series(name)?.into_column());
        DataFrame::new(self.rows, self.columns.into_iter().map(column).collect::<PolarsResult<_>>()?)
    }
}
