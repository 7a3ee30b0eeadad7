//! Zeek's log formats: TSV with its headers (the ASCII writer's, <https://docs.zeek.org/en/current/log-formats.html>), and JSON lines.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;

/// A value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Unset,
    /// UTC ns.
    Time(i64),
    /// ns.
    Interval(u64),
    Count(u64),
    Bool(bool),
    Addr(IpAddr),
    Text(String),
    /// Vector or set of texts.
    Texts(Vec<String>),
    /// Vector of intervals, in seconds.
    Seconds(Vec<u64>),
}

impl Value {
    /// A text; an empty one is unset.
    pub(super) fn text(text: &str) -> Self {
        if text.is_empty() { Self::Unset } else { Self::Text(text.to_owned()) }
    }

    /// What may be unknown.
    pub(super) fn of<T>(value: Option<T>, f: impl Fn(T) -> Self) -> Self {
        value.map_or(Self::Unset, f)
    }
}

/// A log in the making.
pub(super) struct Log {
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
    rows: Vec<Vec<Value>>,
}

impl Log {
    /// A log of this name with these fields and their types.
    pub(super) fn new(path: &'static str, fields: &'static [(&'static str, &'static str)]) -> Self {
        Self { path, fields, rows: Vec::new() }
    }

    /// Adds a row: a value for each field, in their order.
    pub(super) fn push(&mut self, row: Vec<Value>) {
        debug_assert_eq!(row.len(), self.fields.len(), "{}.log", self.path);
        self.rows.push(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes `PATH.log` into a folder; `opened` and `closed` are the recording's, so that the same input gives the same bytes.
    pub(super) fn write(&self, folder: &Path, json: bool, opened: i64, closed: i64) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(folder.join(format!("{}.log", self.path)))?);
        if json {
            self.json(&mut out)?
        } else {
            self.tsv(&mut out, opened, closed)?
        }
        out.flush()
    }

    fn tsv(&self, out: &mut dyn Write, opened: i64, closed: i64) -> io::Result<()> {
        let joined = |of: fn(&(&'static str, &'static str)) -> &'static str| {
            self.fields.iter().map(of).collect::<Vec<_>>().join("\t")
        };
        writeln!(
            out,
            "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t{}",
            self.path
        )?;
        writeln!(out, "#open\t{}\n#fields\t{}\n#types\t{}", stamp(opened), joined(|f| f.0), joined(|f| f.1))?;
        let mut line = String::new();
        for row in &self.rows {
            line.clear();
            for (i, value) in row.iter().enumerate() {
                if i > 0 {
                    line.push('\t');
                }
                tsv_value(value, &mut line);
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        writeln!(out, "#close\t{}", stamp(closed))
    }

    fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        for row in &self.rows {
            let mut line = String::from("{");
            for ((name, _), value) in self.fields.iter().zip(row).filter(|(_, v)| **v != Value::Unset) {
                if line.len() > 1 {
                    line.push(',');
                }
                // Writing to a String cannot fail.
                let _ = write!(line, "\"{name}\":");
                json_value(value, &mut line);
            }
            line.push_str("}\n");
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

/// `2026-11-23-06-20-23`.
fn stamp(ns: i64) -> String {
    let mut text = String::new();
    crate::human::write_rfc3339(ns, &mut text);
    text.get(..19).unwrap_or_default().replace(['T', ':'], "-")
}

/// Seconds with six digits, as Zeek writes times and intervals.
fn seconds(ns: i128, out: &mut String) {
    let us = (ns + 500).div_euclid(1000);
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    let _ = write!(out, "{sign}{}.{:06}", us / 1_000_000, us % 1_000_000);
}

/// Text as the ASCII writer escapes it: what would be read as structure or cannot be shown is `\xNN`.
fn escape(text: &str, in_list: bool, out: &mut String) {
    if text == "-" || text == "(empty)" {
        let first = text.as_bytes().first().copied().unwrap_or_default();
        let _ = write!(out, "\\x{first:02x}{}", text.get(1..).unwrap_or_default());
        return;
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            ',' if in_list => out.push_str("\\x2c"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for b in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "\\x{b:02x}");
                }
            }
            c => out.push(c),
        }
    }
}

fn tsv_value(value: &Value, out: &mut String) {
    match value {
        Value::Unset => out.push('-'),
        Value::Time(ns) => seconds(i128::from(*ns), out),
        Value::Interval(ns) => seconds(i128::from(*ns), out),
        Value::Count(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Bool(b) => out.push(if *b { 'T' } else { 'F' }),
        Value::Addr(ip) => {
            let _ = write!(out, "{ip}");
        }
        Value::Text(text) if text.is_empty() => out.push_str("(empty)"),
        Value::Text(text) => escape(text, false, out),
        Value::Texts(list) if list.is_empty() => out.push_str("(empty)"),
        Value::Texts(list) => {
            for (i, text) in list.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                escape(text, true, out);
            }
        }
        Value::Seconds(list) if list.is_empty() => out.push_str("(empty)"),
        Value::Seconds(list) => {
            for (i, s) in list.iter().enumerate() {
                let _ = write!(out, "{}{s}.000000", if i > 0 { "," } else { "" });
            }
        }
    }
}

fn json_value(value: &Value, out: &mut String) {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    match value {
        Value::Unset => out.push_str("null"),
        Value::Text(t) => *out += &text(t),
        Value::Addr(ip) => *out += &text(&ip.to_string()),
        Value::Bool(b) => *out += &b.to_string(),
        Value::Texts(list) => *out += &serde_json::Value::from(list.clone()).to_string(),
        Value::Seconds(list) => {
            let list: Vec<String> = list.iter().map(|s| format!("{s}.0")).collect();
            let _ = write!(out, "[{}]", list.join(","));
        }
        Value::Time(_) | Value::Interval(_) | Value::Count(_) => tsv_value(value, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[(&str, &str)] =
        &[("ts", "time"), ("a", "string"), ("b", "set[string]"), ("n", "count"), ("d", "interval")];

    fn log() -> Log {
        let mut log = Log::new("x", FIELDS);
        log.push(vec![
            Value::Time(1_795_408_363_123_456_789),
            Value::Text("tab\there \\ ü".into()),
            Value::Texts(vec!["one,two".into(), "three".into()]),
            Value::Count(7),
            Value::Interval(1_500_400),
        ]);
        log.push(vec![
            Value::Time(-1_000),
            Value::Text("-".into()),
            Value::Texts(Vec::new()),
            Value::Unset,
            Value::Unset,
        ]);
        log
    }

    #[test]
    fn tsv_is_that_of_zeek() {
        let mut out = Vec::new();
        log().tsv(&mut out, 1_795_408_363_000_000_000, 1_795_408_364_000_000_000).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tx\n#open\t2026-11-23-04-32-43\n\
             #fields\tts\ta\tb\tn\td\n#types\ttime\tstring\tset[string]\tcount\tinterval\n\
             1795408363.123457\ttab\\x09here \\\\ ü\tone\\x2ctwo,three\t7\t0.001500\n\
             -0.000001\t\\x2d\t(empty)\t-\t-\n#close\t2026-11-23-04-32-44\n"
        );
    }

    #[test]
    fn json_leaves_out_what_is_unset() {
        let mut out = Vec::new();
        log().json(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rows: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(rows[0]["a"], "tab\there \\ ü");
        assert_eq!(rows[0]["b"][0], "one,two");
        assert_eq!(rows[0]["d"], 0.0015);
        assert_eq!(rows[1].as_object().unwrap().len(), 3);
    }
}
