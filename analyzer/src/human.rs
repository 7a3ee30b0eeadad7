//! Numbers as people read them.

/// A length of time: `870 ns`, `12.3 us`, `4.56 ms`, `1.50 s`, `3 min 20 s`, `2 h 13 min`, `5 d 3 h`.
#[must_use]
pub fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => scaled(ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => scaled(ns as f64 / 1e6, "ms"),
        1_000_000_000..120_000_000_000 => scaled(ns as f64 / 1e9, "s"),
        _ => {
            let s = ns / 1_000_000_000;
            if s < 7_200 {
                format!("{} min {} s", s / 60, s % 60)
            } else if s < 172_800 {
                format!("{} h {} min", s / 3_600, s / 60 % 60)
            } else {
                format!("{} d {} h", s / 86_400, s / 3_600 % 24)
            }
        }
    }
}

/// A number of bytes: `512 B`, `12.3 kB`, `4.56 MB` (powers of 1000).
#[must_use]
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => scaled(n as f64 / 1e3, "kB"),
        1_000_000..1_000_000_000 => scaled(n as f64 / 1e6, "MB"),
        1_000_000_000..1_000_000_000_000 => scaled(n as f64 / 1e9, "GB"),
        _ => scaled(n as f64 / 1e12, "TB"),
    }
}

/// A count with thousands separated: `1,234,567`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// Three significant digits and a unit.
#[must_use]
pub fn scaled(v: f64, unit: &str) -> String {
    let digits = if v < 9.995 {
        2
    } else if v < 99.95 {
        1
    } else {
        0
    };
    format!("{v:.digits$} {unit}")
}

/// Something per second: `12.3`, `1.50`, `< 0.01`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 0.005 {
        return "< 0.01".to_owned();
    }
    scaled(per_second, "").trim_end().to_owned()
}

/// A share: `12.3 %`, `0.04 %`; 0 and 1 exactly as `0 %` and `100 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let p = share * 100.0;
    if p == 0.0 || p == 100.0 {
        format!("{p:.0} %")
    } else if p < 0.1 {
        format!("{p:.2} %")
    } else {
        // Ties away from zero, as the report's scripts have them (`toFixed`): 36.25 % is 36.3 %.
        format!("{:.1} %", (p * 10.0).round() / 10.0)
    }
}

/// A UTC time: `2026-11-23 04:32:43`.
#[must_use]
pub fn time(ns: i64) -> String {
    let mut s = String::new();
    write_rfc3339(ns, &mut s);
    s.truncate(19);
    s.replace('T', " ")
}

/// What passes a filter, to follow "only"; its words between `quotes`.
pub fn filtered(f: &replay::model::Filtered, quotes: (char, char)) -> String {
    let at = |ns: i64| {
        let mut s = String::new();
        write_rfc3339(ns, &mut s);
        s
    };
    let time = match (f.from, f.to) {
        (Some(from), Some(to)) => format!("what happened from {} to {}", at(from), at(to)),
        (Some(from), None) => format!("what happened from {} on", at(from)),
        (None, Some(to)) => format!("what happened up to {}", at(to)),
        (None, None) => String::new(),
    };
    let words = f.expression.trim();
    match (time.is_empty(), words.is_empty()) {
        (false, true) => time,
        (true, _) => format!("what passes the filter {}{words}{}", quotes.0, quotes.1),
        (false, false) => format!("{time} and passes the filter {}{words}{}", quotes.0, quotes.1),
    }
}

/// A UTC time as RFC 3339 with nine digits: `2026-11-23T04:32:43.123456789Z`.
pub fn write_rfc3339(ns: i64, out: &mut String) {
    const DAY: i64 = 86_400;
    let (secs, nanos) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    let (year, month, day) = civil(secs.div_euclid(DAY));
    let of_day = secs.rem_euclid(DAY);
    let two = |out: &mut String, v: i64| {
        out.push(digit(v / 10));
        out.push(digit(v % 10));
    };
    two(out, year / 100);
    two(out, year % 100);
    out.push('-');
    two(out, month);
    out.push('-');
    two(out, day);
    out.push('T');
    two(out, of_day / 3_600);
    out.push(':');
    two(out, of_day / 60 % 60);
    out.push(':');
    two(out, of_day % 60);
    out.push('.');
    let mut place = 100_000_000;
    while place > 0 {
        out.push(digit(nanos / place));
        place /= 10;
    }
    out.push('Z');
}

fn digit(v: i64) -> char {
    // All callers pass non-negative numbers: an i64 of ns covers the years 1677 to 2262 only.
    char::from(b'0' + (v % 10) as u8)
}

/// Year, month, day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_agree_with_date() {
        let rfc = |ns| {
            let mut s = String::new();
            write_rfc3339(ns, &mut s);
            s
        };
        // `date -u -d @N`.
        assert_eq!(rfc(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc(1_795_408_363_123_456_789), "2026-11-23T04:32:43.123456789Z");
        assert_eq!(rfc(951_782_399_000_000_001), "2000-02-28T23:59:59.000000001Z");
        assert_eq!(rfc(951_782_400_000_000_000), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(rfc(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(rfc(i64::MIN), "1677-09-21T00:12:43.145224192Z");
        assert_eq!(rfc(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(time(1_795_408_363_123_456_789), "2026-11-23 04:32:43");
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(1_000), "1.00 us");
        assert_eq!(duration(12_345), "12.3 us");
        assert_eq!(duration(999_999_999), "1000 ms");
        assert_eq!(duration(1_500_000_000), "1.50 s");
        assert_eq!(duration(200_000_000_000), "3 min 20 s");
        assert_eq!(duration(8_000_000_000_000), "2 h 13 min");
        assert_eq!(duration(172_799_000_000_000), "47 h 59 min");
        // 28,867 h 56 min: of a capture whose clock jumped.
        assert_eq!(duration(103_924_560_000_000_000), "1202 d 19 h");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(4_560_000), "4.56 MB");
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(rate(0.0), "0.00");
        assert_eq!(rate(0.001), "< 0.01");
        assert_eq!(rate(1_234.5), "1234");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.123), "12.3 %");
        assert_eq!(percent(0.000_4), "0.04 %");
        // A tie in binary, too: 58 of 160.
        assert_eq!(percent(58.0 / 160.0), "36.3 %");
    }
}
