//! Points in time as people write them.

use replay::model::Nanos;

/// A point in time, of the clock or since the recording's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimePoint {
    /// UTC ns.
    Absolute(Nanos),
    /// ns since the start.
    Relative(Nanos),
}

/// Numbers from here on are seconds since 1970, not since the start: 1973.
const EPOCH: f64 = 1e8;

impl TimePoint {
    pub(crate) fn is_relative(self) -> bool {
        matches!(self, Self::Relative(_))
    }

    pub(crate) fn at(self, start: Nanos) -> Nanos {
        match self {
            Self::Absolute(at) => at,
            Self::Relative(after) => start.saturating_add(after),
        }
    }

    /// Reads `2026-11-23T06:20:25.5Z` (`+01:00` for other zones, UTC without one), seconds since 1970, or `1.5s`, `250ms`, `2m`, `+3`.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time: write 2026-11-23T06:20:25.5Z, or since the start 1.5s, 250ms, 2m");
        if let Some((date, time)) = text.split_once(['T', ' ']) {
            return absolute(date, time).map(Self::Absolute).ok_or_else(wrong);
        }
        let number = text.trim_start_matches('+');
        let units = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];
        let unit = units.iter().find_map(|(unit, ns)| Some((number.strip_suffix(unit)?, *ns)));
        let (digits, scale) = unit.unwrap_or((number, 1e9));
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(wrong());
        }
        let value: f64 = digits.parse().map_err(|_| wrong())?;
        if unit.is_none() && value >= EPOCH && number == text {
            return decimal(digits).map(Self::Absolute).ok_or_else(wrong);
        }
        let ns = (value * scale).round();
        if ns < 9.2e18 { Ok(Self::Relative(ns as i64)) } else { Err(wrong()) }
    }
}

/// Seconds with a fraction as ns, exactly.
fn decimal(text: &str) -> Option<Nanos> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().ok()?;
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
    whole.checked_mul(1_000_000_000)?.checked_add(fraction)
}

fn absolute(date: &str, time: &str) -> Option<Nanos> {
    let mut parts = date.splitn(3, '-').map(|p| p.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..2262).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (time, zone) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let away = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if zone.starts_with('-') { -seconds } else { seconds }
        }
    };
    let mut parts = time.splitn(3, ':');
    let (hour, minute) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?);
    let second = parts.next().map_or(Some(0), decimal)?;
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..61_000_000_000).contains(&second) {
        return None;
    }
    // Days since 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 - away;
    seconds.checked_mul(1_000_000_000)?.checked_add(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_clock() {
        // `date -u -d 2026-11-23T06:20:25 +%s` says 1795414825.
        let at = 1_795_414_825_000_000_000;
        for text in ["2026-11-23T06:20:25Z", "2026-11-23 06:20:25", "2026-11-23T07:20:25+01:00", "1795414825"] {
            assert_eq!(TimePoint::parse(text), Ok(TimePoint::Absolute(at)), "{text}");
        }
        assert_eq!(TimePoint::parse("2026-11-23T06:20:25.000000007Z"), Ok(TimePoint::Absolute(at + 7)));
        assert_eq!(TimePoint::parse("1795414825.5"), Ok(TimePoint::Absolute(at + 500_000_000)));
        assert_eq!(TimePoint::parse("1972-02-29T00:00Z"), Ok(TimePoint::Absolute(68_169_600_000_000_000)));
    }

    #[test]
    fn times_since_the_start() {
        for (text, ns) in [
            ("1.5s", 1_500_000_000),
            ("250ms", 250_000_000),
            ("2m", 120_000_000_000),
            ("3", 3_000_000_000),
            ("+7us", 7000),
        ] {
            assert_eq!(TimePoint::parse(text), Ok(TimePoint::Relative(ns)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_said() {
        for text in [
            "",
            "now",
            "5 minutes",
            "2026-13-01T00:00Z",
            "2026-01-01T25:00Z",
            "-3s",
            "1e5s",
            "2026-11-23",
            "9999999999h",
        ] {
            assert!(TimePoint::parse(text).is_err(), "{text}");
        }
    }
}
