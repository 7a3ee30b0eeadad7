//! Round numbers along an axis, and how they are written.

/// Marks on an axis at most.
const MOST: f64 = 5.0;

/// Units by size, and their names.
pub(super) const TIME: &[(f64, &str)] = &[(1e9, "s"), (1e6, "ms"), (1e3, "\u{b5}s"), (1.0, "ns")];
pub(super) const BYTES: &[(f64, &str)] = &[(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")];

/// The multiples of 1, 2 or 5 times a power of ten between `from` and `to`: as many as fit, but not more than five; and their distance.
pub(super) fn round(from: f64, to: f64) -> (Vec<f64>, f64) {
    let least = ((to - from) / MOST).max(1.0);
    let power = 10f64.powi(least.log10().floor() as i32);
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|s| *s >= least).unwrap_or(10.0 * power);
    let first = (from / step).ceil();
    let count = ((to / step).floor() - first).clamp(0.0, MOST) as usize;
    ((0..=count).map(|n| (first + n as f64) * step).filter(|at| *at <= to).collect(), step)
}

/// A number with its unit, with as many digits as tell it from those a step away.
pub(super) fn label(value: f64, step: f64, units: &[(f64, &str)]) -> String {
    let size = value.abs();
    if size < 0.5 {
        return "0".to_owned();
    }
    let (unit, name) = units.iter().copied().find(|(unit, _)| size >= *unit).unwrap_or((1.0, ""));
    let digits = (unit / step).log10().ceil().clamp(0.0, 9.0) as usize;
    let sign = if value < 0.0 { "\u{2212}" } else { "" };
    format!("{sign}{:.digits$} {name}", size / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(from: f64, to: f64, units: &[(f64, &str)]) -> Vec<String> {
        let (at, step) = round(from, to);
        at.into_iter().map(|v| label(v, step, units)).collect()
    }

    #[test]
    fn marks_are_round() {
        assert_eq!(labels(0.0, 583e6, TIME), ["0", "200 ms", "400 ms"]);
        assert_eq!(labels(0.0, 17.2e9, TIME), ["0", "5 s", "10 s", "15 s"]);
        assert_eq!(labels(1.0, 1_090.0, BYTES), ["500 B", "1.0 kB"]);
        assert_eq!(labels(-30.0, 100.0, BYTES), ["0", "50 B", "100 B"]);
        assert_eq!(
            labels(3_600_000_100_000.0, 3_600_000_700_000.0, TIME),
            ["3600.0002 s", "3600.0004 s", "3600.0006 s"]
        );
    }

    #[test]
    fn marks_differ_and_lie_on_the_axis() {
        for from in [-7e14, -12_345.0, -1.0, 0.0, 1.0, 999.0, 1e6 + 3.0, 1.7e15] {
            for length in [1.0, 2.0, 3.0, 7.0, 10.0, 64.0, 999.0, 1e4 + 1.0, 2.5e7, 86_400e9] {
                let (at, step) = round(from, from + length);
                assert!(
                    at.len() <= 6 && at.iter().all(|v| (from..=from + length).contains(v)),
                    "{from} {length} {at:?}"
                );
                assert!(length < 2.0 * step || at.len() > 1, "{from} {length} {at:?}");
                // A double has 15 digits, which is nanoseconds of a week and more.
                let texts: std::collections::BTreeSet<_> = at.iter().map(|v| label(*v, step, TIME)).collect();
                assert!(texts.len() == at.len() || from.abs() > 1e15 * step / 1e9, "{from} {length} {texts:?}");
            }
        }
    }
}
