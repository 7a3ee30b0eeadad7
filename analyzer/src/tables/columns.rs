//! From rows to columns.
//!
//! A table names its columns one after the other, each with a function of a row; some rows are put into all columns before the next ones.
//! The functions handed in are small and generic, what columns are made of is not, which keeps the crate quick to compile.
//!
//! Conventions of all tables: integers are `i64` (differences of unsigned columns would wrap around), times are UTC
//! `datetime[ns]`, what is unknown or does not apply is null, an empty text included.

use super::frame::{Frame, Made};
use super::known::Known;
use super::texts::Texts;
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

/// Rows that all columns are filled from before the next ones: as many as stay in a core's cache meanwhile.
const BLOCK: usize = 1 << 9;

/// The table of `rows`: `each` names its columns, one after the other and the same ones every time.
pub(super) fn table<'a, T>(rows: &'a [T], each: impl Fn(&mut Columns<'a, T>)) -> Frame {
    let mut making = Making::new(rows.len());
    let (first, rest) = rows.split_at(rows.len().min(BLOCK));
    making.add(first, &each);
    rest.chunks(BLOCK).for_each(|block| making.add(block, &each));
    making.finish()
}

/// A table that is filled some rows at a time.
#[derive(Debug)]
pub(super) struct Making {
    all: usize,
    rows: usize,
    made: Vec<(&'static str, Made)>,
    scratch: String,
}

impl Making {
    /// Of at most `all` rows.
    pub(super) fn new(all: usize) -> Self {
        Self { all, rows: 0, made: Vec::with_capacity(128), scratch: String::new() }
    }

    /// Adds rows; `each` names the columns, the same ones every time.
    pub(super) fn add<'a, T>(&mut self, rows: &'a [T], each: impl Fn(&mut Columns<'a, T>)) {
        self.rows += rows.len();
        let (made, scratch) = (std::mem::take(&mut self.made), std::mem::take(&mut self.scratch));
        let mut c = Columns { rows, all: self.all, made, at: 0, scratch };
        each(&mut c);
        (self.made, self.scratch) = (c.made, c.scratch);
    }

    /// All rows are in.
    pub(super) fn finish(self) -> Frame {
        let column = |(name, made): (_, Made)| (PlSmallStr::from_static(name), made.finish());
        Frame::new(self.rows, self.made.into_iter().map(column).collect())
    }
}

/// Columns in the making, over rows of type `T`.
pub(super) struct Columns<'a, T> {
    /// Those that are being looked at.
    rows: &'a [T],
    /// Of all blocks.
    all: usize,
    made: Vec<(&'static str, Made)>,
    /// The next column.
    at: usize,
    scratch: String,
}

impl<'a, T> Columns<'a, T> {
    /// The column `name`, which is the next one.
    fn next(&mut self, name: &'static str, new: impl FnOnce(usize) -> Made) -> Option<&mut Made> {
        if self.at == self.made.len() {
            self.made.push((name, new(self.all)));
        }
        self.at += 1;
        self.made.get_mut(self.at - 1).map(|(_, made)| made)
    }

    /// An integer, always known.
    pub(super) fn int<N: Int>(&mut self, name: &'static str, f: impl Fn(&'a T) -> N) {
        let rows = self.rows;
        if let Some(Made::Int(values)) = self.next(name, |all| Made::Int(Vec::with_capacity(all))) {
            values.extend(rows.iter().map(|r| f(r).as_i64()));
        }
    }

    /// An integer that may be unknown.
    pub(super) fn opt<N: Int>(&mut self, name: &'static str, f: impl Fn(&'a T) -> Option<N>) {
        let rows = self.rows;
        if let Some(Made::Opt(values)) = self.next(name, |all| Made::Opt(Known::new(all))) {
            values.extend(rows.iter().map(|r| f(r).map(Int::as_i64)));
        }
    }

    /// An integer where 0 means unknown.
    pub(super) fn nonzero<N: Int>(&mut self, name: &'static str, f: impl Fn(&'a T) -> N) {
        self.opt(name, |r| Some(f(r)).filter(|n| n.as_i64() != 0));
    }

    /// A point in time.
    pub(super) fn time(&mut self, name: &'static str, f: impl Fn(&'a T) -> Nanos) {
        let rows = self.rows;
        let new = |all| Made::Time(Made::Int(Vec::with_capacity(all)).into());
        if let Some(Made::Time(ns)) = self.next(name, new)
            && let Made::Int(values) = &mut **ns
        {
            values.extend(rows.iter().map(f));
        }
    }

    /// A point in time that may be unknown.
    pub(super) fn opt_time(&mut self, name: &'static str, f: impl Fn(&'a T) -> Option<Nanos>) {
        let rows = self.rows;
        if let Some(Made::Time(ns)) = self.next(name, |all| Made::Time(Made::Opt(Known::new(all)).into()))
            && let Made::Opt(values) = &mut **ns
        {
            values.extend(rows.iter().map(f));
        }
    }

    /// A ratio or rate.
    pub(super) fn float(&mut self, name: &'static str, f: impl Fn(&'a T) -> f64) {
        let rows = self.rows;
        if let Some(Made::Float(values)) = self.next(name, |all| Made::Float(Vec::with_capacity(all))) {
            values.extend(rows.iter().map(f));
        }
    }

    /// A ratio or rate that may be unknown.
    pub(super) fn opt_float(&mut self, name: &'static str, f: impl Fn(&'a T) -> Option<f64>) {
        let rows = self.rows;
        if let Some(Made::OptFloat(values)) = self.next(name, |all| Made::OptFloat(Vec::with_capacity(all))) {
            values.extend(rows.iter().map(f));
        }
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, name: &'static str, f: impl Fn(&'a T) -> bool) {
        let rows = self.rows;
        if let Some(Made::Flag(values)) = self.next(name, |all| Made::Flag(Vec::with_capacity(all))) {
            values.extend(rows.iter().map(f));
        }
    }

    /// Text that the rows hold; empty is null.
    pub(super) fn text(&mut self, name: &'static str, f: impl Fn(&'a T) -> &'a str) {
        let rows = self.rows;
        if let Some(Made::Text(texts)) = self.next(name, |all| Made::Text(Texts::new(all))) {
            texts.extend_kept(rows.iter().map(f));
        }
    }

    /// Text that is composed per row; empty is null.
    pub(super) fn written(&mut self, name: &'static str, f: impl Fn(&'a T, &mut String)) {
        let rows = self.rows;
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(Made::Text(texts)) = self.next(name, |all| Made::Text(Texts::new(all))) {
            for row in rows {
                scratch.clear();
                f(row, &mut scratch);
                texts.push(&scratch);
            }
        }
        self.scratch = scratch;
    }

    /// An address.
    pub(super) fn ip(&mut self, name: &'static str, f: impl Fn(&'a T) -> Option<IpAddr>) {
        let rows = self.rows;
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(Made::Text(texts)) = self.next(name, |all| Made::Text(Texts::new(all))) {
            for row in rows {
                match f(row) {
                    Some(ip) => texts.push_ip(ip, &mut scratch, write_ip),
                    None => texts.push(""),
                }
            }
        }
        self.scratch = scratch;
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
    if is_plain(text.as_bytes()) {
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

/// Whether nothing in a text needs an escape, eight bytes at a time. Where it says no there may be nothing all the same.
fn is_plain(text: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The high bit of some byte is set if any of the eight is less than a space, or one of the two signs: then it is zero beside them.
    let odd = |eight: [u8; 8]| {
        let n = u64::from_le_bytes(eight);
        let zero = |n: u64| n.wrapping_sub(EACH) & !n;
        (n.wrapping_sub(EACH * 0x20) & !n | zero(n ^ (EACH * 0x22)) | zero(n ^ (EACH * 0x5c))) & (EACH << 7)
    };
    match text.last_chunk() {
        // The last eight overlap those before.
        Some(last) => text.as_chunks().0.iter().fold(odd(*last), |found, eight| found | odd(*eight)) == 0,
        None => text.iter().all(|b| *b >= b' ' && *b != b'"' && *b != b'\\'),
    }
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
        let frame = table(&rows, |c| {
            c.int("int", |r| r.0);
            c.opt("opt", |r| r.1);
            c.nonzero("nonzero", |r| r.1.unwrap_or(0));
            c.text("text", |r| r.2);
            c.time("time", |r| r.3);
            c.float("float", |r| r.0 as f64);
            c.flag("flag", |r| r.0 == 1);
        })
        .into_polars()
        .unwrap();
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

    #[test]
    fn columns_are_whole_whatever_the_number_of_rows() {
        for rows in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
            let rows: Vec<usize> = (0..rows).collect();
            // The first value comes late, in the last block.
            let late = rows.len().saturating_sub(2);
            let frame = table(&rows, |c| {
                c.int("int", |r| *r as u64);
                c.opt("opt", |r| Some(*r as u64).filter(|r| r % 3 == 0));
                c.opt("late", |r| Some(*r as u64).filter(|_| *r >= late));
                c.opt("never", |_| None::<u64>);
                c.opt_time("time", |r| Some(*r as i64).filter(|r| r % 2 == 1));
                c.written("text", |r, out| {
                    let _ = write!(out, "{}", if *r >= late { "x" } else { "" });
                });
                c.text("no_text", |_| "");
                c.opt_float("float", |r| Some(*r as f64).filter(|_| r % 5 == 0));
            })
            .into_polars()
            .unwrap();
            assert_eq!(frame.shape(), (rows.len(), 8));
            let ints = |name: &str| frame.column(name).unwrap().i64().unwrap().to_vec();
            let expected = |f: &dyn Fn(i64) -> bool| -> Vec<Option<i64>> {
                (0..rows.len() as i64).map(|r| Some(r).filter(|r| f(*r))).collect()
            };
            assert_eq!(ints("int"), expected(&|_| true));
            assert_eq!(ints("opt"), expected(&|r| r % 3 == 0));
            assert_eq!(ints("late"), expected(&|r| r >= late as i64));
            assert_eq!(ints("never"), expected(&|_| false));
            let times = frame.column("time").unwrap().datetime().unwrap().physical().to_vec();
            assert_eq!(times, expected(&|r| r % 2 == 1));
            let texts = frame.column("text").unwrap();
            assert_eq!(texts.null_count(), late.min(rows.len()));
            assert_eq!(frame.column("no_text").unwrap().null_count(), rows.len());
            let floats = frame.column("float").unwrap().f64().unwrap().to_vec();
            assert_eq!(floats, expected(&|r| r % 5 == 0).iter().map(|v| v.map(|v| v as f64)).collect::<Vec<_>>());
        }
    }
}
