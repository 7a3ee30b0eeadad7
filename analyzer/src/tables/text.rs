//! Tables as text for people: aligned, durations and sizes with units, cut to the terminal's width.

use crate::human;
use polars::prelude::*;
use std::io::Write;

/// No cell is wider than this, unless it is in the only column.
const WIDEST: usize = 60;
/// Text columns are not cut below this.
const NARROWEST: usize = 12;
const GAP: usize = 2;

struct Shown {
    name: String,
    cells: Vec<String>,
    width: usize,
    is_text: bool,
}

/// Writes `frame` with a header line.
pub(super) fn write(frame: &DataFrame, width: Option<usize>, out: &mut dyn Write) -> PolarsResult<()> {
    let widest = if frame.width() == 1 { usize::MAX } else { WIDEST };
    let mut columns = frame.columns().iter().map(|c| show(c, widest)).collect::<PolarsResult<Vec<_>>>()?;
    let hidden = width.map_or(0, |width| fit(&mut columns, width));
    let mut line = String::new();
    for row in std::iter::once(None).chain((0..frame.height()).map(Some)) {
        line.clear();
        for (i, c) in columns.iter().enumerate() {
            let cell = match row {
                None => &c.name,
                Some(row) => c.cells.get(row).map_or("", |s| s.as_str()),
            };
            if i > 0 {
                line.push_str("  ");
            }
            push_cell(cell, c.width, c.is_text, &mut line);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    if hidden > 0 {
        writeln!(out, "({hidden} more columns do not fit; choose with --columns)")?;
    }
    Ok(())
}

/// Cuts and pads one cell.
fn push_cell(cell: &str, width: usize, left: bool, line: &mut String) {
    let length = cell.chars().count();
    let padding = width.saturating_sub(length);
    if !left {
        line.extend(std::iter::repeat_n(' ', padding));
    }
    if length > width {
        line.extend(cell.chars().take(width.saturating_sub(1)));
        line.push('…');
    } else {
        line.push_str(cell);
    }
    if left {
        line.extend(std::iter::repeat_n(' ', padding));
    }
}

/// Narrows the widest text columns, then drops the last columns, until all fit; returns how many were dropped.
fn fit(columns: &mut Vec<Shown>, width: usize) -> usize {
    let all = columns.len();
    let floor = |c: &Shown| NARROWEST.max(c.name.chars().count());
    loop {
        let total: usize = columns.iter().map(|c| c.width + GAP).sum::<usize>().saturating_sub(GAP);
        let over = total.saturating_sub(width);
        if over == 0 || columns.len() == 1 {
            return all - columns.len();
        }
        if let Some(c) = columns.iter_mut().filter(|c| c.is_text && c.width > floor(c)).max_by_key(|c| c.width) {
            c.width = c.width.saturating_sub(over).max(floor(c));
        } else {
            columns.pop();
        }
    }
}

/// The cells of a column.
fn show(column: &Column, widest: usize) -> PolarsResult<Shown> {
    let name = column.name().to_string();
    let cell = |v: Option<String>| v.unwrap_or_else(|| "-".to_owned());
    let mut is_text = false;
    let cells: Vec<String> = match column.dtype() {
        DataType::Datetime(..) => {
            let times = column.datetime()?.physical();
            let day = |ns: i64| ns.div_euclid(86_400_000_000_000);
            let one_day = times.min().map(day) == times.max().map(day);
            times.iter().map(|t| cell(t.map(|ns| time(ns, one_day)))).collect()
        }
        DataType::Int64 => {
            let unit: fn(i64) -> String = if name.ends_with("_ns") {
                |v| u64::try_from(v).map_or_else(|_| v.to_string(), human::duration)
            } else if name.ends_with("bytes") {
                |v| u64::try_from(v).map_or_else(|_| v.to_string(), human::bytes)
            } else {
                |v| v.to_string()
            };
            column.i64()?.iter().map(|v| cell(v.map(unit))).collect()
        }
        DataType::Float64 => {
            column.f64()?.iter().map(|v| cell(v.map(|v| human::scaled(v, "").trim_end().to_owned()))).collect()
        }
        DataType::Boolean => {
            column.bool()?.iter().map(|v| cell(v.map(|v| if v { "yes" } else { "no" }.to_owned()))).collect()
        }
        _ => {
            is_text = true;
            // Captured text may hold what a terminal obeys.
            let clean = |s: &str| s.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
            column.str()?.iter().map(|v| cell(v.map(clean))).collect()
        }
    };
    let longest = cells.iter().map(|c| c.chars().count()).max().unwrap_or(0).min(widest);
    let width = longest.max(name.chars().count());
    Ok(Shown { name, cells, width, is_text })
}

/// `04:32:43.123456`, with the date before it unless all of the column are of one day.
fn time(ns: i64, one_day: bool) -> String {
    let mut s = String::new();
    human::write_rfc3339(ns, &mut s);
    // 2026-11-23T04:32:43.123456789Z
    let (date, time) = (s.get(..10).unwrap_or_default(), s.get(11..26).unwrap_or_default());
    if one_day { time.to_owned() } else { format!("{date} {time}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(width: Option<usize>) -> String {
        let frame = df!(
            "name" => ["short", "a name that is quite long, longer than any terminal would show in one column of many"],
            "duration_ns" => [Some(1_500_000_i64), None],
            "client_bytes" => [12_i64, 3_400],
        )
        .unwrap();
        let mut out = Vec::new();
        write(&frame, width, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_aligned_and_have_units() {
        assert_eq!(
            render(Some(43)),
            "name              duration_ns  client_bytes\n\
             short                 1.50 ms          12 B\n\
             a name that is …            -       3.40 kB\n"
        );
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let out = render(Some(30));
        assert!(out.starts_with("name          duration_ns\n"), "{out}");
        assert!(out.ends_with("(1 more columns do not fit; choose with --columns)\n"), "{out}");
        assert_eq!(render(None).lines().nth(2).unwrap().chars().count(), 60 + 2 + 11 + 2 + 12);
    }

    #[test]
    fn terminal_controls_are_taken_out() {
        let frame = df!("a" => ["x\u{1b}[2Jy"]).unwrap();
        let mut out = Vec::new();
        write(&frame, None, &mut out).unwrap();
        assert_eq!(out, b"a\nx [2Jy\n");
    }
}
