//! Lines that stay small however many packets they stand for.

use crate::plots::svg::number;
use std::fmt::Write;

/// Beyond this many points a series is drawn as what it spans in each column of half a pixel.
const MOST_POINTS: usize = 1500;

/// Upright lines, those that would lie on each other drawn as one.
#[derive(Default)]
pub(super) struct Bars {
    path: String,
    last: Option<(f64, f64, f64)>,
}

impl Bars {
    pub(super) fn add(&mut self, x: f64, from: f64, to: f64) {
        // Half a pixel is as fine as anyone sees. What is shorter than two is made two long.
        let x = (x * 2.0).round() / 2.0;
        let (low, high) =
            if from - to < 2.0 { (to + 1.0 + (from - to) / 2.0, to - 1.0 + (from - to) / 2.0) } else { (from, to) };
        match &mut self.last {
            Some((at, a, b)) if *at == x && low >= *b - 1.0 && high <= *a + 1.0 => (*a, *b) = (a.max(low), b.min(high)),
            _ => {
                self.flush();
                self.last = Some((x, low, high));
            }
        }
    }

    fn flush(&mut self) {
        if let Some((x, a, b)) = self.last.take() {
            // Writing to a String cannot fail.
            let _ = write!(self.path, "M{} {}V{}", number(x), number(a), number(b));
        }
    }

    pub(super) fn finish(mut self) -> String {
        self.flush();
        self.path
    }
}

/// A line of steps.
#[derive(Default)]
pub(super) struct Steps {
    path: String,
    last: Option<(f64, f64)>,
}

impl Steps {
    pub(super) fn add(&mut self, x: f64, y: f64) {
        match self.last {
            None => {
                let _ = write!(self.path, "M{} {}", number(x), number(y));
            }
            Some((at, before)) => {
                if (before - y).abs() < 0.05 {
                    return;
                }
                if x - at >= 0.05 {
                    let _ = write!(self.path, "H{}", number(x));
                }
                let _ = write!(self.path, "V{}", number(y));
            }
        }
        self.last = Some((x, y));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    pub(super) fn finish(mut self, x: f64) -> String {
        if self.last.is_some() {
            let _ = write!(self.path, "H{}", number(x));
        }
        self.path
    }
}

/// A value that holds until the next one: steps where there are few, else what it spans in each column.
#[derive(Default)]
pub(super) struct Held(Vec<(f64, f64)>);

impl Held {
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.0.push((x, y));
    }

    pub(super) fn finish(self, end: f64) -> String {
        if self.0.len() <= MOST_POINTS {
            let mut steps = Steps::default();
            for (x, y) in self.0 {
                steps.add(x, y);
            }
            return steps.finish(end);
        }
        let column = |x: f64| (x * 2.0).round() / 2.0;
        let mut path = String::new();
        let mut held: Option<f64> = None;
        for part in self.0.chunk_by(|a, b| column(a.0) == column(b.0)) {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let begin = held.unwrap_or(first.1);
            let (low, high) = part.iter().fold((begin, begin), |(a, b), p| (a.min(p.1), b.max(p.1)));
            let x = number(column(first.0));
            let _ = match held {
                None => write!(path, "M{x} {}", number(begin)),
                Some(_) => write!(path, "H{x}"),
            };
            let _ = write!(path, "V{}V{}V{}", number(low), number(high), number(last.1));
            held = Some(last.1);
        }
        let _ = write!(path, "H{}", number(end));
        path
    }
}

/// Points, those that would lie on each other drawn as one.
#[derive(Default)]
pub(super) struct Dots(std::collections::BTreeSet<(i32, i32)>);

impl Dots {
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.0.insert((x.round() as i32, y.round() as i32));
    }

    /// Lines of no length: with round ends they are points.
    pub(super) fn finish(self) -> String {
        let mut path = String::new();
        for (x, y) in self.0 {
            let _ = write!(path, "M{x} {y}h0");
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_one_pixel_are_one() {
        let mut bars = Bars::default();
        for n in 0..100 {
            bars.add(10.0, 100.0 - f64::from(n), 99.0 - f64::from(n));
        }
        bars.add(30.0, 50.0, 20.0);
        let path = bars.finish();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert!(path.ends_with("M30 50V20"), "{path}");
    }

    #[test]
    fn steps_go_on_to_the_end() {
        let mut steps = Steps::default();
        steps.add(0.0, 10.0);
        steps.add(5.0, 10.0);
        steps.add(7.0, 4.0);
        assert_eq!(steps.finish(20.0), "M0 10H7V4H20");
        assert_eq!(Steps::default().finish(3.0), "");
    }

    #[test]
    fn what_is_held_is_steps_or_spans() {
        let mut few = Held::default();
        few.add(0.0, 10.0);
        few.add(4.0, 2.0);
        assert_eq!(few.finish(9.0), "M0 10H4V2H9");
        // Two thousand points that swing between 1 and 50 within one column, and end at 7 there.
        let mut many = Held::default();
        for n in 0..1999 {
            many.add(3.0, if n % 2 == 0 { 50.0 } else { 1.0 });
        }
        many.add(3.1, 7.0);
        many.add(8.0, 20.0);
        assert_eq!(many.finish(9.0), "M3 50V1V50V7H8V7V20V20H9");
    }

    #[test]
    fn dots_are_drawn_once() {
        let mut dots = Dots::default();
        dots.add(3.2, 4.1);
        dots.add(2.9, 3.9);
        dots.add(9.0, 4.0);
        assert_eq!(dots.finish(), "M3 4h0M9 4h0");
    }
}
