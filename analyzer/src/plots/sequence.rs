//! The time-sequence plot of a TCP flow, as tcptrace draws it: for each direction what was sent, what was acknowledged of it, and how
//! far the receiver's window allowed to go.

use super::red::delay_label;
use super::svg::{Svg, number};
use crate::human;
use crate::report::flows;
use replay::model::{Flow, Side};
use replay::tcp_packets::{Marks, TcpPacket};
use std::fmt::Write;

const LEFT: f64 = 86.0;
const WIDTH: f64 = 880.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 84.0;
const HEIGHT: f64 = 300.0;
/// Between the panels: the axis of the upper one, the heading of the lower one.
const BETWEEN: f64 = 78.0;
const BOTTOM: f64 = 34.0;
/// Letters at marks; beyond, the marks go without.
const MOST_LETTERS: usize = 60;

/// Kinds of lines with their classes and what the legend calls them.
const LEGEND: [(&str, &str, &str); 8] = [
    ("sent", "sent", "bar"),
    ("again", "sent again", "bar"),
    ("early", "out of order", "bar"),
    ("probe", "probe", "bar"),
    ("sack", "SACK", "bar"),
    ("acked", "acknowledged", "line"),
    ("window", "window's edge", "line"),
    ("zero", "zero window", "bar"),
];

/// Draws the packets of a flow; `None` if no side sent data.
pub(crate) fn draw(flow: &Flow, packets: &[TcpPacket], is_standalone: bool) -> Option<String> {
    let sides: Vec<Side> = [Side::Client, Side::Server]
        .into_iter()
        .filter(|side| packets.iter().any(|p| p.sender == *side && p.payload_bytes > 0))
        .collect();
    if sides.is_empty() {
        return None;
    }
    let mut svg = if is_standalone { Svg::standalone("sequence") } else { Svg::inline("sequence") };
    let rows = sides.len() as f64;
    svg.size(LEFT + WIDTH + RIGHT, TOP + rows * HEIGHT + (rows - 1.0) * BETWEEN + BOTTOM);
    svg.text((16.0, 24.0), "heading", "start", &format!("Flow {}: {}", flow.flow_id, flows::title(flow)));
    let mut used = [false; LEGEND.len()];
    for (row, &side) in sides.iter().enumerate() {
        let top = TOP + row as f64 * (HEIGHT + BETWEEN);
        Panel::new(flow, packets, side, top).draw(&mut svg, &mut used);
    }
    legend(&mut svg, &used);
    Some(svg.finish())
}

fn legend(svg: &mut Svg, used: &[bool; LEGEND.len()]) {
    let mut x = LEFT;
    for ((class, name, shape), _) in LEGEND.iter().zip(used).filter(|(_, used)| **used) {
        let path = if *shape == "bar" { format!("M{x} 36V46") } else { format!("M{} 41h12", x - 6.0) };
        svg.path(&path, class, None);
        svg.text((x + 11.0, 45.0), "muted", "start", name);
        x += 32.0 + name.chars().count() as f64 * 6.2;
    }
}

/// Upright lines, those that would lie on each other drawn as one.
#[derive(Default)]
struct Bars {
    path: String,
    last: Option<(f64, f64, f64)>,
}

impl Bars {
    fn add(&mut self, x: f64, from: f64, to: f64) {
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

    fn finish(mut self) -> String {
        self.flush();
        self.path
    }
}

/// A line of steps.
#[derive(Default)]
struct Steps {
    path: String,
    last: Option<(f64, f64)>,
}

impl Steps {
    fn add(&mut self, x: f64, y: f64) {
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

    fn finish(mut self, x: f64) -> String {
        if self.last.is_some() {
            let _ = write!(self.path, "H{}", number(x));
        }
        self.path
    }
}

struct Panel<'a> {
    flow: &'a Flow,
    packets: &'a [TcpPacket],
    sender: Side,
    top: f64,
    from: i64,
    length: f64,
    lowest: i64,
    range: f64,
}

impl<'a> Panel<'a> {
    fn new(flow: &'a Flow, packets: &'a [TcpPacket], sender: Side, top: f64) -> Self {
        let from = packets.iter().map(|p| p.ts).min().unwrap_or(flow.start);
        let to = packets.iter().map(|p| p.ts).max().unwrap_or(from);
        let mine = || packets.iter().filter(|p| p.sender == sender && p.payload_bytes > 0);
        let lowest = mine().map(|p| p.seq).min().unwrap_or(0).min(1);
        let highest = mine().map(TcpPacket::end).max().unwrap_or(1);
        let range = (highest.saturating_sub(lowest)).max(1) as f64 * 1.06;
        Self { flow, packets, sender, top, from, length: to.saturating_sub(from).max(1) as f64, lowest, range }
    }

    fn x(&self, ts: i64) -> f64 {
        LEFT + ts.saturating_sub(self.from) as f64 / self.length * WIDTH
    }

    /// What is beyond the plot is drawn at its edge.
    fn y(&self, seq: i64) -> f64 {
        let share = seq.saturating_sub(self.lowest) as f64 / self.range;
        self.top + HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }

    fn frame(&self, svg: &mut Svg) {
        let names = ["client", "server"];
        let (i, j) = (self.sender.index(), self.sender.other().index());
        let side = [&self.flow.client, &self.flow.server][i];
        let again = self.packets.iter().filter(|p| p.sender == self.sender && p.marks.is_retransmission()).count();
        let words = format!(
            "{} to {}: {} in {} packets, {again} sent again, {} out of order; answers: {} duplicate acks, {} zero windows",
            names[i],
            names[j],
            human::bytes(side.payload_bytes),
            human::count(side.packets),
            side.out_of_order,
            [&self.flow.client, &self.flow.server][j].duplicate_acks,
            [&self.flow.client, &self.flow.server][j].zero_window,
        );
        svg.text((LEFT, self.top - 10.0), "name", "start", &words);
        for quarter in 0..=4 {
            let share = f64::from(quarter) / 4.0;
            let (x, y) = (LEFT + WIDTH * share, self.top + HEIGHT * (1.0 - share));
            svg.path(&format!("M{} {}V{}", number(x), number(self.top), number(self.top + HEIGHT)), "grid", None);
            svg.path(&format!("M{} {}H{}", number(LEFT), number(y), number(LEFT + WIDTH)), "grid", None);
            let anchor = ["start", "middle", "middle", "middle", "end"][quarter as usize];
            let at = if quarter == 0 { "0".to_owned() } else { format!("+{}", delay_label(self.length * share)) };
            svg.text((x, self.top + HEIGHT + 16.0), "muted", anchor, &at);
            let seq = self.lowest as f64 + self.range * share;
            svg.text((LEFT - 8.0, y + 4.0), "muted", "end", &human::bytes(seq.max(0.0) as u64));
        }
    }

    fn draw(&self, svg: &mut Svg, used: &mut [bool; LEGEND.len()]) {
        self.frame(svg);
        let (mut bars, mut steps): ([Bars; LEGEND.len()], [Steps; 2]) = Default::default();
        let mut letters: Vec<(f64, f64, &str, &str)> = Vec::new();
        for p in self.packets {
            let x = self.x(p.ts);
            if p.sender == self.sender {
                let (low, high) = (self.y(p.seq), self.y(p.end()));
                let kind = if p.marks.is_retransmission() {
                    Some((1, "R"))
                } else if p.marks.has(Marks::OUT_OF_ORDER) {
                    Some((2, "O"))
                } else if p.marks.has(Marks::KEEP_ALIVE) || p.marks.has(Marks::ZERO_WINDOW_PROBE) {
                    Some((3, "P"))
                } else {
                    None
                };
                if p.payload_bytes > 0 || kind.is_some() {
                    let (class, letter) = kind.unwrap_or((0, ""));
                    if let Some(bars) = bars.get_mut(class) {
                        bars.add(x, low, high);
                    }
                    if !letter.is_empty() {
                        letters.push((x, high, letter, LEGEND[class].0));
                    }
                }
                for (flag, name) in [(1u8, "FIN"), (4, "RST")] {
                    if p.flags & flag != 0 {
                        letters.push((x, high, name, "flag"));
                    }
                }
                if p.marks.has(Marks::GAP) {
                    letters.push((x, low + 12.0, "?", "again"));
                }
            } else if let Some(ack) = p.ack.filter(|_| p.flags & 4 == 0) {
                steps[0].add(x, self.y(ack));
                steps[1].add(x, self.y(ack.saturating_add(i64::from(p.window_bytes))));
                for (from, to) in &p.sack {
                    bars[4].add(x, self.y(*from), self.y(*to));
                }
                if p.marks.has(Marks::ZERO_WINDOW) {
                    bars[7].add(x, self.y(ack) + 3.0, self.y(ack) - 3.0);
                    letters.push((x, self.y(ack), "Z", "zero"));
                }
            }
        }
        let [acked, window] = steps;
        let lines = [(5, acked), (6, window)];
        for (class, steps) in lines {
            used[class] |= steps.last.is_some();
            svg.path(&steps.finish(LEFT + WIDTH), LEGEND[class].0, None);
        }
        for (class, bars) in bars.into_iter().enumerate() {
            let path = bars.finish();
            used[class] |= !path.is_empty();
            if !path.is_empty() {
                svg.path(&path, LEGEND[class].0, None);
            }
        }
        let flags = letters.iter().filter(|l| l.3 == "flag").count();
        let many = letters.len() - flags > MOST_LETTERS;
        let mut last = (f64::MIN, "");
        for (x, y, letter, class) in letters {
            // Letters that would lie on one another say no more than one.
            if many && class != "flag" || x - last.0 < 7.0 && last.1 == letter {
                continue;
            }
            last = (x, letter);
            let anchor = if x > LEFT + WIDTH - 14.0 { "end" } else { "middle" };
            svg.text((x, (y - 4.0).max(self.top + 10.0)), &format!("letter {class}"), anchor, letter);
        }
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
}
