//! From rows to columns: the only place that builds Polars columns.
//!
//! A table names its columns one after the other, each with a function of a row; every column is filled in one pass.
//! The functions handed in are small and generic, what touches Polars is not, which keeps the crate quick to compile.
//!
//! Conventions of all tables: integers are `i64` (differences of unsigned columns would wrap around), times are UTC
//! `datetime[ns]`, what is unknown or does not apply is null, an empty text included.

use crate::human;
use polars::prelude::*;
use replay::model::{Completeness, Nanos};
use std::fmt::Write;
use std::net::IpAddr;

/// What an integer column can hold.
pub(super) trait Int: Copy {
    /// As it lies in the column; ids beyond `i64::MAX` keep their bits.
    fn as_i64(self) -> i64;
}

macro_rules! ints {
    ($($t:ty),*) => {$(
        impl Int for $t {
            fn as_i64(self) -> i64 {
                self as i64
            }
        }
    )*};
}
ints!(u8, u16, u32, u64, i32, i64);

/// Columns in the making, over rows of type `T`.
pub(super) struct Columns<'a, T> {
    rows: &'a [T],
    columns: Vec<Column>,
    /// Memory for one column in the making: fresh pages cost more than filling them.
    scratch: Vec<Option<i64>>,
}

impl<'a, T> Columns<'a, T> {
    /// Starts a table with one row per element.
    pub(super) fn of(rows: &'a [T]) -> Self {
        Self { rows, columns: Vec::with_capacity(128), scratch: Vec::with_capacity(rows.len()) }
    }

    /// An integer, always known.
    pub(super) fn int<N: Int>(&mut self, name: &'static str, f: impl Fn(&'a T) -> N) {
        let values = self.rows.iter().map(|r| f(r).as_i64()).collect();
        self.columns.push(int_column(name, values));
    }

    /// An integer that may be unknown.
    pub(super) fn opt<N: Int>(&mut self, name: &'static str, f: impl Fn(&'a T) -> Option<N>) {
        self.scratch.clear();
        self.scratch.extend(self.rows.iter().map(|r| f(r).map(Int::as_i64)));
        self.columns.push(opt_column(name, &self.scratch));
    }

    /// An integer where 0 means unknown.
    pub(super) fn nonzero<N: Int>(&mut self, name: &'static str, f: impl Fn(&'a T) -> N) {
        self.opt(name, |r| Some(f(r)).filter(|n| n.as_i64() != 0));
    }

    /// A point in time.
    pub(super) fn time(&mut self, name: &'static str, f: impl Fn(&'a T) -> Nanos) {
        self.int(name, f);
        self.last_is_time();
    }

    /// A point in time that may be unknown.
    pub(super) fn opt_time(&mut self, name: &'static str, f: impl Fn(&'a T) -> Option<Nanos>) {
        self.opt(name, f);
        self.last_is_time();
    }

    fn last_is_time(&mut self) {
        if let Some(column) = self.columns.pop() {
            self.columns.push(time_column(&column));
        }
    }

    /// A ratio or rate.
    pub(super) fn float(&mut self, name: &'static str, f: impl Fn(&'a T) -> f64) {
        let values: Vec<f64> = self.rows.iter().map(f).collect();
        self.columns.push(Column::new(name.into(), values));
    }

    /// A ratio or rate that may be unknown.
    pub(super) fn opt_float(&mut self, name: &'static str, f: impl Fn(&'a T) -> Option<f64>) {
        let values: Vec<Option<f64>> = self.rows.iter().map(f).collect();
        self.columns.push(Column::new(name.into(), values));
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &'static str, f: impl Fn(&'a T) -> bool) {
        let values: Vec<bool> = self.rows.iter().map(f).collect();
        self.columns.push(Column::new(name.into(), values));
    }

    /// Text that the rows hold; empty is null.
    pub(super) fn text(&mut self, name: &'static str, f: impl Fn(&'a T) -> &'a str) {
        let mut texts = Texts::new(name, self.rows.len());
        for row in self.rows {
            texts.push(f(row));
        }
        self.columns.push(texts.finish());
    }

    /// Text that is composed per row; empty is null.
    pub(super) fn written(&mut self, name: &'static str, f: impl Fn(&'a T, &mut String)) {
        let mut texts = Texts::new(name, self.rows.len());
        let mut scratch = String::new();
        for row in self.rows {
            scratch.clear();
            f(row, &mut scratch);
            texts.push(&scratch);
        }
        self.columns.push(texts.finish());
    }

    /// An address.
    pub(super) fn ip(&mut self, name: &'static str, f: impl Fn(&'a T) -> Option<IpAddr>) {
        self.written(name, |r, out| {
            if let Some(ip) = f(r) {
                write_ip(ip, out);
            }
        });
    }

    /// How complete a row is.
    pub(super) fn completeness(&mut self, f: impl Fn(&'a T) -> Completeness) {
        self.written("completeness", |r, out| match f(r) {
            Completeness(0) => out.push_str("complete"),
            // Writing to a String cannot fail.
            c => {
                let _ = write!(out, "{c}");
            }
        });
    }

    /// The table.
    pub(super) fn finish(self) -> PolarsResult<DataFrame> {
        DataFrame::new(self.rows.len(), self.columns)
    }
}

/// Builder of a text column. Many columns have no text at all: these take no memory before the first one.
struct Texts {
    name: &'static str,
    rows: usize,
    /// Rows without text before there is a builder.
    nulls: usize,
    builder: Option<StringChunkedBuilder>,
}

impl Texts {
    fn new(name: &'static str, rows: usize) -> Self {
        Self { name, rows, nulls: 0, builder: None }
    }

    #[inline]
    fn push(&mut self, text: &str) {
        match &mut self.builder {
            None if text.is_empty() => self.nulls += 1,
            None => self.begin(text),
            Some(builder) if text.is_empty() => builder.append_null(),
            Some(builder) => builder.append_value(text),
        }
    }

    #[cold]
    fn begin(&mut self, text: &str) {
        let mut builder = StringChunkedBuilder::new(self.name.into(), self.rows);
        for _ in 0..self.nulls {
            builder.append_null();
        }
        builder.append_value(text);
        self.builder = Some(builder);
    }

    fn finish(self) -> Column {
        match self.builder {
            Some(builder) => builder.finish().into_series().into_column(),
            None => StringChunked::full_null(self.name.into(), self.rows).into_series().into_column(),
        }
    }
}

fn int_column(name: &'static str, values: Vec<i64>) -> Column {
    Int64Chunked::from_vec(name.into(), values).into_series().into_column()
}

fn opt_column(name: &'static str, values: &[Option<i64>]) -> Column {
    if values.iter().all(Option::is_none) {
        return Int64Chunked::full_null(name.into(), values.len()).into_series().into_column();
    }
    Int64Chunked::from_slice_options(name.into(), values).into_series().into_column()
}

/// The same numbers as points in time.
fn time_column(column: &Column) -> Column {
    match column.i64() {
        Ok(ns) => ns.clone().into_datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)).into_series().into_column(),
        Err(_) => column.clone(),
    }
}

/// The same points in time as RFC 3339 text with nine digits, for formats without a type for them.
pub(super) fn time_as_text(column: &Column) -> PolarsResult<Column> {
    let times = column.datetime()?;
    let mut texts = StringChunkedBuilder::new(column.name().clone(), column.len());
    let mut scratch = String::with_capacity(32);
    for t in times.physical().iter() {
        match t {
            Some(ns) => {
                scratch.clear();
                human::write_rfc3339(ns, &mut scratch);
                texts.append_value(&scratch);
            }
            None => texts.append_null(),
        }
    }
    Ok(texts.finish().into_series().into_column())
}

/// An address as people write it. IPv4 by hand: tables have many of them.
fn write_ip(ip: IpAddr, out: &mut String) {
    match ip {
        IpAddr::V4(v4) => {
            for (i, byte) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push('.');
                }
                if byte >= 100 {
                    out.push(char::from(b'0' + byte / 100));
                }
                if byte >= 10 {
                    out.push(char::from(b'0' + byte / 10 % 10));
                }
                out.push(char::from(b'0' + byte % 10));
            }
        }
        IpAddr::V6(v6) => {
            let _ = write!(out, "{v6}");
        }
    }
}

/// A hardware address: `02:00:5e:10:00:01`.
pub(super) fn write_mac(mac: Option<[u8; 6]>, out: &mut String) {
    for (i, byte) in mac.iter().flatten().enumerate() {
        let _ = write!(out, "{}{byte:02x}", if i > 0 { ":" } else { "" });
    }
}

/// A JSON object of texts, or nothing if there are no pairs.
pub(super) fn write_json_object<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, out: &mut String) {
    let mut pairs = pairs.into_iter().peekable();
    if pairs.peek().is_none() {
        return;
    }
    let mut separator = '{';
    for (name, value) in pairs {
        out.push(separator);
        separator = ',';
        write_json_text(name, out);
        out.push(':');
        write_json_text(value, out);
    }
    out.push('}');
}

/// A JSON object of numbers, or nothing if there are no pairs.
pub(super) fn write_json_counts<'a>(pairs: impl IntoIterator<Item = (&'a str, u64)>, out: &mut String) {
    let mut separator = '{';
    for (name, count) in pairs {
        out.push(separator);
        separator = ',';
        write_json_text(name, out);
        let _ = write!(out, ":{count}");
    }
    if separator == ',' {
        out.push('}');
    }
}

fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        out.push_str(text);
        out.push('"');
        return;
    }
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        let mut out = String::new();
        for ip in ["0.0.0.0", "10.0.0.255", "1.10.100.99", "255.255.255.255", "::1", "fd00::1:2"] {
            out.clear();
            write_ip(ip.parse().unwrap(), &mut out);
            assert_eq!(out, ip);
        }
        out.clear();
        write_mac(Some([2, 0, 0x5e, 0x10, 0, 0xff]), &mut out);
        assert_eq!(out, "02:00:5e:10:00:ff");
    }

    #[test]
    fn json_objects_read_back() {
        let pairs = [("a", "1"), ("quote\"", "back\\slash \u{1} \n é")];
        let mut out = String::new();
        write_json_object(pairs, &mut out);
        let back: std::collections::BTreeMap<String, String> = serde_json::from_str(&out).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!(back["quote\""], "back\\slash \u{1} \n é");
        out.clear();
        write_json_object([], &mut out);
        assert_eq!(out, "");
    }

    #[test]
    fn columns_have_the_types_of_the_conventions() {
        struct Row(u64, Option<u64>, &'static str, i64);
        let rows = [Row(1, None, "", -1), Row(u64::MAX, Some(2), "x", 1_795_408_363_123_456_789)];
        let mut c = Columns::of(&rows);
        c.int("int", |r| r.0);
        c.opt("opt", |r| r.1);
        c.nonzero("nonzero", |r| r.1.unwrap_or(0));
        c.text("text", |r| r.2);
        c.time("time", |r| r.3);
        c.float("float", |r| r.0 as f64);
        c.flag("flag", |r| r.0 == 1);
        let frame = c.finish().unwrap();
        assert_eq!(frame.shape(), (2, 7));
        assert_eq!(frame.column("int").unwrap().i64().unwrap().to_vec(), [Some(1), Some(-1)]);
        assert_eq!(frame.column("opt").unwrap().i64().unwrap().to_vec(), [None, Some(2)]);
        assert_eq!(frame.column("nonzero").unwrap().i64().unwrap().to_vec(), [None, Some(2)]);
        assert_eq!(frame.column("text").unwrap().str().unwrap().iter().collect::<Vec<_>>(), [None, Some("x")]);
        let time = frame.column("time").unwrap();
        assert_eq!(time.dtype(), &DataType::Datetime(TimeUnit::Nanoseconds, Some(TimeZone::UTC)));
        let text = time_as_text(time).unwrap();
        assert_eq!(
            text.str().unwrap().iter().collect::<Vec<_>>(),
            [Some("1969-12-31T23:59:59.999999999Z"), Some("2026-11-23T04:32:43.123456789Z")]
        );
    }
}
