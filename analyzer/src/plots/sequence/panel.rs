//! One direction of a flow, the whole of it or a part: segments, acknowledgements, and the receiver's window.

use super::shapes::{Bars, Steps};
use super::ticks;
use super::{LEFT, WIDTH};
use crate::plots::svg::{Svg, number};
use replay::decode::tcp_flag as f;
use replay::model::Side;
use replay::tcp_packets::{Marks, TcpPacket};
use std::fmt::Write;

/// Letters at marks; beyond, the marks go without.
const MOST_LETTERS: usize = 60;
/// Up to this many packets each one is drawn with all that tcptrace draws of it.
pub(super) const MOST_IN_DETAIL: usize = 240;

/// Kinds of lines with their classes and what the legend calls them.
pub(super) const LEGEND: [(&str, &str, &str); 12] = [
    ("sent", "sent", "bar"),
    ("again", "sent again", "bar"),
    ("early", "out of order", "bar"),
    ("probe", "probe", "bar"),
    ("sack", "SACK", "bar"),
    ("acked", "acknowledged", "line"),
    ("window", "window's edge", "line"),
    ("zero", "zero window", "bar"),
    ("tick", "duplicate ack", "down"),
    ("opened", "window update", "up"),
    ("push", "PSH", "diamond"),
    ("lost", "not captured", "bar"),
];

const ACKED: usize = 5;
const WINDOW: usize = 6;
const ZERO: usize = 7;
const DUPLICATE: usize = 8;
const OPENED: usize = 9;
const PUSH: usize = 10;
const LOST: usize = 11;

/// Which kinds were drawn.
pub(super) type Used = [bool; LEGEND.len()];

/// What is drawn where.
pub(super) struct Panel<'a> {
    pub(super) packets: &'a [TcpPacket],
    pub(super) sender: Side,
    pub(super) top: f64,
    pub(super) height: f64,
    /// Time at the left edge, and from there to the right one.
    pub(super) from: i64,
    pub(super) length: f64,
    /// What the times at the axis are counted from.
    pub(super) zero: i64,
    lowest: i64,
    range: f64,
    /// Each packet for itself.
    is_detailed: bool,
}

/// A mark with letters.
struct Letter {
    x: f64,
    y: f64,
    text: &'static str,
    class: &'static str,
}

#[derive(Default)]
struct Drawn {
    bars: [Bars; LEGEND.len()],
    acked: Steps,
    window: Steps,
    /// Arrow heads, diamonds and ticks, by kind.
    shapes: [String; LEGEND.len()],
    letters: Vec<Letter>,
    /// Duplicate acknowledgements in a row.
    duplicates: u32,
}

impl<'a> Panel<'a> {
    /// All of `packets` of `sender`, from `top` on.
    pub(super) fn new(packets: &'a [TcpPacket], sender: Side, (top, height): (f64, f64), zero: i64) -> Self {
        let from = packets.iter().map(|p| p.ts).min().unwrap_or(zero);
        let to = packets.iter().map(|p| p.ts).max().unwrap_or(from);
        let data = |p: &&TcpPacket| p.sender == sender && p.payload_bytes > 0;
        // What was sent again lies within what was sent. If it does not (two connections' numbers mixed up by a capture on both sides of a
        // box that rewrites them), it is drawn at the edge rather than that everything else shrinks to a line.
        let mut new = packets.iter().filter(data).filter(|p| !p.marks.is_retransmission()).peekable();
        let range = |packets: &mut dyn Iterator<Item = &TcpPacket>| {
            packets.fold((i64::MAX, i64::MIN), |(low, high), p| (low.min(p.seq), high.max(p.end())))
        };
        let (lowest, highest) = match new.peek() {
            Some(_) => range(&mut new),
            None => range(&mut packets.iter().filter(data)),
        };
        let (lowest, highest) = if lowest <= highest { (lowest, highest) } else { (0, 1) };
        // The whole flow starts with its SYN.
        let lowest = if from == zero { lowest.min(1) } else { lowest };
        let range = (highest.saturating_sub(lowest)).max(1) as f64 * 1.06;
        let is_detailed = packets.len() <= MOST_IN_DETAIL;
        let length = to.saturating_sub(from).max(1) as f64;
        Self { packets, sender, top, height, from, length, zero, lowest, range, is_detailed }
    }

    pub(super) fn x(&self, ts: i64) -> f64 {
        LEFT + ts.saturating_sub(self.from) as f64 / self.length * WIDTH
    }

    /// What is beyond the plot is drawn at its edge.
    pub(super) fn y(&self, seq: i64) -> f64 {
        let share = seq.saturating_sub(self.lowest) as f64 / self.range;
        self.top + self.height * (1.0 - share.clamp(0.0, 1.0))
    }

    fn is_inside(&self, seq: i64) -> bool {
        (0.0..=self.range).contains(&(seq.saturating_sub(self.lowest) as f64))
    }

    fn frame(&self, svg: &mut Svg) {
        let low = self.lowest as f64;
        let (at, step) = ticks::round(low, low + self.range);
        for seq in at {
            let y = self.top + self.height * (1.0 - (seq - low) / self.range);
            svg.path(&format!("M{} {}H{}", number(LEFT), number(y), number(LEFT + WIDTH)), "grid", None);
            svg.text((LEFT - 8.0, y + 4.0), "muted", "end", &ticks::label(seq, step, ticks::BYTES));
        }
        for y in [self.top, self.top + self.height] {
            svg.path(&format!("M{} {}H{}", number(LEFT), number(y), number(LEFT + WIDTH)), "grid", None);
        }
        times(svg, (self.top, self.height), (self.from.saturating_sub(self.zero) as f64, self.length), true);
    }

    pub(super) fn draw(&self, svg: &mut Svg, used: &mut Used) {
        self.frame(svg);
        let mut drawn = Drawn::default();
        for p in self.packets {
            if p.sender == self.sender {
                self.segment(p, &mut drawn);
            } else if let Some(ack) = p.ack.filter(|_| p.flags & f::RST == 0) {
                self.answer(p, ack, &mut drawn);
            }
            if p.sender != self.sender && p.flags & f::RST != 0 {
                // The other side's reset ends this direction, too.
                let y = p.ack.filter(|a| *a > 0 && self.is_inside(*a)).map_or(self.top + self.height, |a| self.y(a));
                drawn.letters.push(Letter { x: self.x(p.ts), y, text: "RST", class: "flag" });
            }
        }
        let Drawn { bars, acked, window, shapes, letters, .. } = drawn;
        for (kind, steps) in [(ACKED, acked), (WINDOW, window)] {
            if !steps.is_empty() {
                used[kind] = true;
                svg.path(&steps.finish(LEFT + WIDTH), LEGEND[kind].0, None);
            }
        }
        for (kind, (bars, shapes)) in bars.into_iter().zip(shapes).enumerate() {
            let path = bars.finish() + &shapes;
            if !path.is_empty() {
                used[kind] = true;
                svg.path(&path, LEGEND[kind].0, None);
            }
        }
        self.letters(svg, letters);
    }

    /// What the sender sent.
    fn segment(&self, p: &TcpPacket, drawn: &mut Drawn) {
        let x = self.x(p.ts);
        let (low, high) = (self.y(p.seq), self.y(p.end()));
        let mut letter = |y: f64, text, class| drawn.letters.push(Letter { x, y, text, class });
        let kind = if p.marks.is_retransmission() {
            Some((1, if p.marks.has(Marks::DUPLICATE) { "HD" } else { "R" }))
        } else if p.marks.has(Marks::OUT_OF_ORDER) {
            Some((2, "O"))
        } else if p.marks.has(Marks::KEEP_ALIVE) || p.marks.has(Marks::ZERO_WINDOW_PROBE) {
            Some((3, "P"))
        } else {
            None
        };
        if let Some((class, text)) = kind {
            letter(high, text, LEGEND[class].0);
        }
        for (flag, name) in [(f::SYN, "SYN"), (f::FIN, "FIN"), (f::RST, "RST"), (f::URG, "U"), (f::CWR, "CWR")] {
            // Of the handshake only the SYN itself stands for itself: CWR there offers ECN.
            if p.flags & flag != 0 && (flag != f::CWR || p.flags & f::SYN == 0) {
                letter(high, name, "flag");
            }
        }
        if p.marks.has(Marks::CONGESTION) {
            letter(low + 12.0, "CE", "flag");
        }
        if p.marks.has(Marks::GAP) {
            letter(low + 12.0, "?", "lost");
            drawn.bars[LOST].add(x, low + 4.0, low);
        }
        if p.payload_bytes == 0 && kind.is_none() {
            return;
        }
        let class = kind.map_or(0, |k| k.0);
        drawn.bars[class].add(x, low, high);
        if self.is_detailed {
            // An arrow's head at either end, as far as there is room.
            let head = ((low - high) / 2.5).clamp(0.0, 3.0);
            for (y, inwards) in [(high, head), (low, -head)].into_iter().filter(|_| head >= 1.0) {
                let (left, right, behind) = (number(x - head * 0.8), number(x + head * 0.8), number(y + inwards));
                // Writing to a String cannot fail.
                let _ = write!(drawn.shapes[class], "M{left} {behind}L{} {}L{right} {behind}", number(x), number(y));
            }
            if p.flags & f::PSH != 0 && p.payload_bytes > 0 {
                let _ = write!(drawn.shapes[PUSH], "M{} {}l2.5 2.5l-2.5 2.5l-2.5 -2.5z", number(x), number(high - 2.5));
            }
        }
    }

    /// What the receiver said of it.
    fn answer(&self, p: &TcpPacket, ack: i64, drawn: &mut Drawn) {
        let x = self.x(p.ts);
        let edge = ack.saturating_add(i64::from(p.window_bytes));
        let (acked, window) = (self.y(ack), self.y(edge));
        drawn.acked.add(x, acked);
        drawn.window.add(x, window);
        for (from, to) in &p.sack {
            drawn.bars[4].add(x, self.y(*from), self.y(*to));
            if self.is_detailed && self.is_inside(*to) {
                drawn.letters.push(Letter { x, y: self.y(*to), text: "S", class: "sack" });
            }
        }
        if p.marks.has(Marks::ZERO_WINDOW) {
            drawn.bars[ZERO].add(x, acked + 3.0, acked - 3.0);
            drawn.letters.push(Letter { x, y: acked, text: "Z", class: "zero" });
        }
        if p.marks.has(Marks::DUPLICATE_ACK) {
            drawn.duplicates += 1;
            if self.is_detailed {
                let _ = write!(drawn.shapes[DUPLICATE], "M{} {}v5", number(x), number(acked));
                if drawn.duplicates == 3 {
                    drawn.letters.push(Letter { x, y: acked + 18.0, text: "3", class: "flag" });
                }
            }
        } else {
            drawn.duplicates = 0;
        }
        if p.marks.has(Marks::WINDOW_UPDATE) && self.is_detailed && self.is_inside(edge) {
            let _ = write!(drawn.shapes[OPENED], "M{} {}v-5", number(x), number(window));
        }
    }

    fn letters(&self, svg: &mut Svg, letters: Vec<Letter>) {
        let flags = letters.iter().filter(|l| l.class == "flag").count();
        let many = letters.len() - flags > MOST_LETTERS;
        let mut taken: Vec<(f64, f64, &str)> = Vec::new();
        for l in letters {
            let y = (l.y - 4.0).clamp(self.top + 10.0, self.top + self.height - 2.0);
            // Letters that would lie on one another say no more than one.
            let hides = |t: &&(f64, f64, &str)| (l.x - t.0).abs() < 9.0 && (y - t.1).abs() < 9.0;
            if many && l.class != "flag" || taken.iter().rev().take(MOST_LETTERS).any(|t| hides(&t)) {
                continue;
            }
            taken.push((l.x, y, l.text));
            let anchor = match l.x {
                x if x > LEFT + WIDTH - 14.0 => "end",
                x if x < LEFT + 8.0 => "start",
                _ => "middle",
            };
            svg.text((l.x, y), &format!("letter {}", l.class), anchor, l.text);
        }
    }
}

/// Upright lines at round times, and what they stand for. Times are ns: of the left edge, and from there to the right one.
pub(super) fn times(svg: &mut Svg, (top, height): (f64, f64), (from, length): (f64, f64), is_labelled: bool) {
    let (at, step) = ticks::round(from, from + length);
    for time in at {
        let x = LEFT + WIDTH * (time - from) / length;
        svg.path(&format!("M{} {}V{}", number(x), number(top), number(top + height)), "grid", None);
        if is_labelled {
            // Labels stay between the edges.
            let anchor = match (time - from) / length {
                share if share < 0.04 => "start",
                share if share > 0.96 => "end",
                _ => "middle",
            };
            let sign = if time >= 0.5 { "+" } else { "" };
            let text = format!("{sign}{}", ticks::label(time, step, ticks::TIME));
            svg.text((x, top + height + 16.0), "muted", anchor, &text);
        }
    }
}
