//! Tables as the page holds them: columns of numbers, texts as places in one list of strings.

use ahash::AHashMap;
use serde::Serialize;
use std::borrow::Cow;

/// Rows of a table in the page at most.
pub(super) const MOST_ROWS: usize = 5_000;

/// Longest text kept, in characters. The tables on disk have all of it.
const LONGEST_TEXT: usize = 240;

/// Texts of the page, each once.
#[derive(Debug, Default)]
pub(super) struct Strings {
    places: AHashMap<Box<str>, i64>,
    list: Vec<Box<str>>,
}

impl Strings {
    /// The place of `text`, cleaned of what a page could be misread by.
    pub(super) fn place(&mut self, text: &str) -> i64 {
        let text = clean(text);
        if let Some(&place) = self.places.get(text.as_ref()) {
            return place;
        }
        let place = i64::try_from(self.list.len()).unwrap_or(i64::MAX);
        self.list.push(text.as_ref().into());
        self.places.insert(text.into(), place);
        place
    }

    /// All texts, in the order of their places.
    pub(super) fn into_list(self) -> Vec<Box<str>> {
        self.list
    }
}

/// Characters that change how the text around them reads: controls, and marks of writing direction.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `text` without misleading characters, cut to what is shown.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_TEXT && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return text.into();
    }
    let cut = text.char_indices().nth(LONGEST_TEXT).map(|(at, _)| at);
    if cut.is_none() && !text.contains(misleads) {
        return text.into();
    }
    let kept = cut.and_then(|at| text.get(..at)).unwrap_or(text);
    let mut out: String = kept.chars().map(|c| if misleads(c) { '\u{fffd}' } else { c }).collect();
    if cut.is_some() {
        out.push('\u{2026}');
    }
    out.into()
}

/// How a column is shown and sorted; report.js knows the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Place in the strings.
    Text,
    /// The same, in a fixed-width font.
    Code,
    /// The same, shown as a badge: ok, errors, completeness.
    Badge,
    /// The same: the id of a trace, a link where the page has that trace.
    Trace,
    /// The number of a flow, a link where the page has its profile.
    Flow,
    /// Process id of a flame graph's process.
    Count,
    /// A number that is a name (port, pid): not grouped, not summed.
    Number,
    /// Nanoseconds.
    Duration,
    /// Bytes.
    Bytes,
    /// Nanoseconds from the start of the recording.
    Time,
    /// Per second.
    Rate,
    /// 0..=1.
    Share,
    /// Values over time, drawn as a small line.
    Series,
}

/// Values of a column, one per row.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Values {
    Whole(Vec<Option<i64>>),
    Real(Vec<Option<f64>>),
    Series(Vec<Option<Vec<u32>>>),
}

/// A column.
#[derive(Debug, Serialize)]
struct Column {
    /// Its name in the table on disk.
    key: &'static str,
    label: &'static str,
    kind: Kind,
    values: Values,
}

/// A table in the page.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    /// The file with all of its rows and columns, relative to the report; empty if there is none.
    file: &'static str,
    /// Rows that there are, of which the page holds as many as the columns are long.
    total: usize,
    shown: usize,
    /// Which rows are shown, in words, if not all are.
    choice: &'static str,
    columns: Vec<Column>,
}

/// Builds a table from rows.
pub(super) struct Builder<'a, R> {
    rows: &'a [R],
    strings: &'a mut Strings,
    table: Table,
}

impl<'a, R> Builder<'a, R> {
    /// A table of `rows`, chosen from `total`.
    pub(super) fn new(strings: &'a mut Strings, rows: &'a [R], total: usize) -> Self {
        let table = Table { file: "", total, shown: rows.len(), choice: "", columns: Vec::new() };
        Self { rows, strings, table }
    }

    /// Says where all rows are, and which of them are shown if not all.
    pub(super) fn file(mut self, file: &'static str, choice: &'static str) -> Self {
        self.table.file = file;
        self.table.choice = choice;
        self
    }

    fn column(mut self, key: &'static str, label: &'static str, kind: Kind, values: Values) -> Self {
        self.table.columns.push(Column { key, label, kind, values });
        self
    }

    /// A column of texts; an empty text shows as nothing.
    pub(super) fn text<'r, T: Into<Cow<'r, str>>>(
        self,
        key: &'static str,
        label: &'static str,
        kind: Kind,
        of: impl Fn(&'r R) -> T,
    ) -> Self
    where
        'a: 'r,
    {
        let values = self
            .rows
            .iter()
            .map(|row| {
                let text = of(row).into();
                (!text.is_empty()).then(|| self.strings.place(&text))
            })
            .collect();
        self.column(key, label, kind, Values::Whole(values))
    }

    /// A column of whole numbers.
    pub(super) fn whole(
        self,
        key: &'static str,
        label: &'static str,
        kind: Kind,
        of: impl Fn(&R) -> Option<i64>,
    ) -> Self {
        let values = self.rows.iter().map(of).collect();
        self.column(key, label, kind, Values::Whole(values))
    }

    /// A column of counts or other numbers that cannot be negative.
    pub(super) fn count(
        self,
        key: &'static str,
        label: &'static str,
        kind: Kind,
        of: impl Fn(&R) -> Option<u64>,
    ) -> Self {
        self.whole(key, label, kind, |row| of(row).and_then(|v| i64::try_from(v).ok()))
    }

    /// A column of real numbers.
    pub(super) fn real(
        self,
        key: &'static str,
        label: &'static str,
        kind: Kind,
        of: impl Fn(&R) -> Option<f64>,
    ) -> Self {
        // Six significant digits are more than anyone reads, and keep the page small.
        let values = self.rows.iter().map(|row| of(row).map(six_digits)).collect();
        self.column(key, label, kind, Values::Real(values))
    }

    /// A column of small lines.
    pub(super) fn series(self, key: &'static str, label: &'static str, of: impl Fn(&R) -> Option<Vec<u32>>) -> Self {
        let values = self.rows.iter().map(of).collect();
        self.column(key, label, Kind::Series, Values::Series(values))
    }

    /// The table.
    pub(super) fn done(self) -> Table {
        self.table
    }
}

/// `v` rounded to six significant digits.
pub(super) fn six_digits(v: f64) -> f64 {
    if v == 0.0 || !v.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powi(5 - v.abs().log10().floor() as i32);
    (v * scale).round() / scale
}
