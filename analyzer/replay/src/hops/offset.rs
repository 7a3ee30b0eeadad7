//! By how much one clock is ahead of another, from what packets allow: a number, a line, or a number for each part of the time.

use crate::model::Nanos;

/// Where no line fits, each of these times has a difference of its own.
const PART_NS: Nanos = 10_000_000_000;
/// Times are noted so much before or after the packet passed.
const UNSURE_NS: Nanos = 50_000;
/// Clocks run at rates that differ by less, in billionths: a kernel slews by 500 ppm at most.
const MAX_DRIFT_PPB: i64 = 1_000_000;
/// Parts of the time whose differences are compared with each other to find the rate, at most.
const MAX_PARTS: usize = 256;
/// What contradicts most packets by more was no such packet.
const WRONG_NS: Nanos = 1_000_000;
/// Of what packets say so much must hold for a line to be taken, though other packets say otherwise.
const AGREED_PERCENT: usize = 90;

/// What is known of the difference of two clocks within a while (second minus first): (when, not more than), (when, not less than).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    pub(super) upper: Option<(Nanos, Nanos)>,
    pub(super) lower: Option<(Nanos, Nanos)>,
    /// Packets that it rests on: to the server, to the client.
    pub(super) packets: [u64; 2],
}

impl Bounds {
    pub(super) fn add(&mut self, other: &Self) {
        // Of equal ones the earlier, so that the order of adding makes no difference.
        let better = |a: Option<(Nanos, Nanos)>, b: Option<(Nanos, Nanos)>, sign: i64| {
            [a, b].into_iter().flatten().min_by_key(|&(ts, bound)| (sign * bound, ts))
        };
        self.upper = better(self.upper, other.upper, 1);
        self.lower = better(self.lower, other.lower, -1);
        self.packets[0] += other.packets[0];
        self.packets[1] += other.packets[1];
    }

    fn time(&self) -> Option<Nanos> {
        self.upper.or(self.lower).map(|(ts, _)| ts)
    }
}

/// A line: the difference at a time, and its change in billionths.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: Nanos,
    ppb: i64,
}

/// What most packets agree on.
#[derive(Clone, Copy, Debug)]
struct Agreed {
    middle: Nanos,
    uncertainty: Nanos,
    /// How many of the bounds hold, of how many.
    hold: (usize, usize),
}

impl Line {
    fn change(self, ts: Nanos) -> Nanos {
        let change = i128::from(ts - self.at) * i128::from(self.ppb) / 1_000_000_000;
        i64::try_from(change).unwrap_or(0)
    }

    fn level(self, (ts, bound): (Nanos, Nanos)) -> Nanos {
        bound.saturating_sub(self.change(ts))
    }

    /// (not less, not more) of the difference at the line's time, where it changes at the line's rate.
    fn range(self, parts: &[Bounds]) -> (Option<Nanos>, Option<Nanos>) {
        let upper = parts.iter().filter_map(|p| p.upper.map(|b| self.level(b))).min();
        let lower = parts.iter().filter_map(|p| p.lower.map(|b| self.level(b))).max();
        (lower, upper)
    }

    /// How far the bounds are apart; negative where they contradict each other.
    fn width(self, parts: &[Bounds]) -> Nanos {
        let (lower, upper) = self.range(parts);
        upper.unwrap_or(0).saturating_sub(lower.unwrap_or(0))
    }

    /// The rate that leaves the widest range: what is between the bounds is concave in it.
    fn widest(parts: &[Bounds], at: Nanos) -> Self {
        let width = |ppb: i64| Self { at, ppb }.width(parts);
        let (mut from, mut to) = (-MAX_DRIFT_PPB, MAX_DRIFT_PPB);
        while to - from > 2 {
            let third = (to - from) / 3;
            let (a, b) = (from + third, to - third);
            if width(a) < width(b) {
                from = a;
            } else {
                to = b;
            }
        }
        let ppb = (from..=to).max_by_key(|&ppb| (width(ppb), -ppb.abs())).unwrap_or(0);
        Self { at, ppb }
    }

    /// The bounds but those that are far beyond what the line allows: packets that were taken for others. `None` where packets went in one
    /// direction only.
    fn without_wrong(self, parts: &[Bounds]) -> Option<Vec<Bounds>> {
        let agreed = self.agreed(parts)?;
        let far = agreed.uncertainty.saturating_mul(2).max(WRONG_NS);
        let kept = |bound: Option<(Nanos, Nanos)>, sign: i64| {
            bound.filter(|&b| sign * (agreed.middle.saturating_sub(self.level(b))) <= far)
        };
        Some(parts.iter().map(|p| Bounds { upper: kept(p.upper, 1), lower: kept(p.lower, -1), ..*p }).collect())
    }

    /// The difference that most of the bounds allow (Marzullo's algorithm, as in RFC 5905, section 11.2.1): a few packets that say otherwise do
    /// not matter. `None` where packets went in one direction only.
    fn agreed(self, parts: &[Bounds]) -> Option<Agreed> {
        let mut lowers: Vec<Nanos> = parts.iter().filter_map(|p| p.lower.map(|b| self.level(b))).collect();
        let mut uppers: Vec<Nanos> = parts.iter().filter_map(|p| p.upper.map(|b| self.level(b))).collect();
        lowers.sort_unstable();
        uppers.sort_unstable();
        if lowers.is_empty() || uppers.is_empty() {
            return None;
        }
        // Between the lower bound `i` and what comes next, i + 1 lower bounds hold, and the upper bounds from there on.
        let (mut best, mut range) = (0, (0, 0));
        for (i, &from) in lowers.iter().enumerate() {
            let below = uppers.partition_point(|&u| u < from);
            let hold = i + 1 + uppers.len() - below;
            let next = [lowers.get(i + 1), uppers.get(below)].into_iter().flatten().min().copied();
            if hold > best {
                (best, range) = (hold, (from, next.unwrap_or(from)));
            }
        }
        let middle = range.0 + (range.1 - range.0) / 2;
        // What contradicts it within reason is how unsure it is; what lies far out is left out.
        let mut wrong: Vec<Nanos> =
            lowers.iter().map(|l| l - middle).chain(uppers.iter().map(|u| middle - u)).collect();
        wrong.sort_unstable();
        let usual = wrong.get((wrong.len() * AGREED_PERCENT).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0);
        Some(Agreed {
            middle,
            uncertainty: ((range.1 - range.0 + 1) / 2).max(usual),
            hold: (best, lowers.len() + uppers.len()),
        })
    }
}

/// What is known of one pair of clocks.
pub(super) struct Edge {
    pub(super) a: u32,
    pub(super) b: u32,
    /// (time of `a`, by how much `b` is ahead of it), by time; one if one fits all.
    pub(super) points: Vec<(Nanos, Nanos)>,
    pub(super) uncertainty: Option<Nanos>,
    pub(super) packets: [u64; 2],
}

impl Edge {
    /// From bounds by time, of conversations that were seen in both directions.
    pub(super) fn new(a: u32, b: u32, parts: &[Bounds]) -> Self {
        let first = parts.iter().find_map(Bounds::time).unwrap_or(0);
        let last = parts.iter().rev().find_map(Bounds::time).unwrap_or(first);
        let packets = parts.iter().fold([0; 2], |sum, p| [sum[0] + p.packets[0], sum[1] + p.packets[1]]);
        let mut edge = Self { a, b, points: Vec::new(), uncertainty: None, packets };
        let constant = Line { at: first, ppb: 0 };
        let line = Line::widest(parts, first);
        // A number may fit by chance, at the one moment where clocks that drift apart agree with it: a line that leaves much more room is right.
        let (narrow, wide) = (constant.width(parts), line.width(parts));
        let plain = narrow >= -UNSURE_NS && narrow + UNSURE_NS >= wide / 2;
        match if plain { constant.range(parts) } else { line.range(parts) } {
            (Some(lower), Some(upper)) if lower <= upper + UNSURE_NS => {
                let uncertainty = ((upper - lower).abs() + 1) / 2;
                edge.take(if plain { constant } else { line }, lower + (upper - lower) / 2, uncertainty, last);
            }
            (Some(only), None) | (None, Some(only)) => edge.points.push((first, only)),
            _ => edge.uneven(parts, first, last),
        }
        edge
    }

    /// From conversations that were seen in one direction: the smallest delay is taken for none, and nothing is sure.
    pub(super) fn guessed(a: u32, b: u32, parts: &[Bounds]) -> Option<Self> {
        let packets = parts.iter().fold([0; 2], |sum, p| [sum[0] + p.packets[0], sum[1] + p.packets[1]]);
        let more = usize::from(packets[1] > packets[0]);
        let bounds = parts.iter().filter(|p| p.packets[more] > 0);
        let upper = bounds.clone().filter_map(|p| p.upper).min_by_key(|&(ts, bound)| (bound, ts));
        let lower = bounds.filter_map(|p| p.lower).max_by_key(|&(ts, bound)| (bound, -ts));
        let point = upper.or(lower)?;
        Some(Self { a, b, points: vec![point], uncertainty: None, packets })
    }

    /// One line fits all.
    fn take(&mut self, line: Line, middle: Nanos, uncertainty: Nanos, last: Nanos) {
        self.points.push((line.at, middle));
        if line.ppb != 0 && last > line.at {
            self.points.push((last, middle + line.change(last)));
        }
        self.uncertainty = Some(uncertainty);
    }

    /// Some packets contradict the others, or a clock was set, or runs unevenly: a line if most agree on one, else a difference for each
    /// part of the time.
    fn uneven(&mut self, parts: &[Bounds], first: Nanos, last: Nanos) {
        let time = |p: &Bounds| p.time().unwrap_or(first);
        let pieces: Vec<&[Bounds]> =
            parts.chunk_by(|a, b| time(a).div_euclid(PART_NS) == time(b).div_euclid(PART_NS)).collect();
        let middle = |piece: &[Bounds]| {
            let (from, to) = (piece.first().map_or(first, time), piece.last().map_or(first, time));
            from + (to - from) / 2
        };
        let agreed = |ppb: i64| {
            let of = move |piece: &&[Bounds]| {
                let at = middle(piece);
                Some((at, Line { at, ppb }.agreed(piece)?))
            };
            pieces.iter().filter_map(of).collect::<Vec<_>>()
        };
        let centres: Vec<(Nanos, Nanos)> = agreed(0).iter().map(|(at, agreed)| (*at, agreed.middle)).collect();
        let line = Line { at: first, ppb: median_slope(&centres, centres.len()) };
        // A number that nine in ten allow may still be wrong where the clocks drift apart little: what more of them allow is taken, and the
        // number where both are the same.
        let exact = line.without_wrong(parts).map(|kept| Line::widest(&kept, first));
        let choices = [exact, Some(line), Some(Line { at: first, ppb: 0 })].into_iter().flatten();
        let choices = choices.filter_map(|l| Some((l, l.agreed(parts)?)));
        if let Some((line, all)) = choices.max_by_key(|(_, all)| all.hold.0)
            && all.hold.0 * 100 >= all.hold.1 * AGREED_PERCENT
        {
            return self.take(line, all.middle, all.uncertainty, last);
        }
        // Where it was set, the rate is that from each part to the next.
        let ppb = median_slope(&centres, 1);
        let middles = agreed(ppb);
        let towards = |at: Nanos, of: Option<&(Nanos, Agreed)>| {
            of.filter(|of| of.0 != at).map(|(from, agreed)| (at, agreed.middle + Line { at: *from, ppb }.change(at)))
        };
        self.points.extend(towards(first, middles.first()));
        self.points.extend(middles.iter().map(|(at, agreed)| (*at, agreed.middle)));
        self.points.extend(towards(last, middles.last()));
        self.uncertainty = middles.iter().map(|(_, agreed)| agreed.uncertainty).max();
    }

    /// By how much the one clock is ahead of the other, whose time this is.
    pub(super) fn ahead(&self, ts: Nanos, forward: bool) -> Nanos {
        if forward {
            return between(&self.points, ts);
        }
        let turned: Vec<(Nanos, Nanos)> = self.points.iter().map(|&(at, d)| (at + d, -d)).collect();
        between(&turned, ts)
    }
}

/// The median of the slopes from each point to so many that follow it, in billionths (Theil and Sen's estimator).
fn median_slope(points: &[(Nanos, Nanos)], following: usize) -> i64 {
    let chosen: Vec<&(Nanos, Nanos)> = points.iter().step_by(points.len() / MAX_PARTS + 1).collect();
    let mut slopes: Vec<i64> = Vec::new();
    for (i, a) in chosen.iter().enumerate() {
        slopes.extend(chosen.iter().skip(i + 1).take(following).filter(|b| b.0 > a.0).map(|b| {
            let slope = i128::from(b.1 - a.1) * 1_000_000_000 / i128::from(b.0 - a.0);
            slope.clamp(-i128::from(MAX_DRIFT_PPB), i128::from(MAX_DRIFT_PPB)) as i64
        }));
    }
    slopes.sort_unstable();
    slopes.get(slopes.len() / 2).copied().unwrap_or(0)
}

/// On the line from point to point; before the first and behind the last as there.
pub(super) fn between(points: &[(Nanos, Nanos)], ts: Nanos) -> Nanos {
    let after = points.partition_point(|p| p.0 <= ts);
    let before = after.checked_sub(1).and_then(|i| points.get(i));
    match (before, points.get(after)) {
        (None, None) => 0,
        (Some(one), None) | (None, Some(one)) => one.1,
        (Some(a), Some(b)) => {
            let part = i128::from(ts - a.0) * i128::from(b.1 - a.1) / i128::from((b.0 - a.0).max(1));
            a.1 + i64::try_from(part).unwrap_or(0)
        }
    }
}
