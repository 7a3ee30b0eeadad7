//! What else tcptrace draws of a direction, below its time-sequence plot and on the same axis: round trips, throughput, outstanding data.

use super::panel::{Panel, times};
use super::shapes::{Dots, Held};
use super::{LEFT, WIDTH};
use crate::human;
use crate::plots::red::delay_label;
use crate::plots::svg::{Svg, number};
use replay::decode::tcp_flag as f;
use replay::tcp_packets::TcpPacket;
use std::fmt::Write;

/// One graph, and the heading above it.
const HEIGHT: f64 = 84.0;
const HEADING: f64 = 30.0;
/// What all of them take.
pub(super) const TOTAL: f64 = 3.0 * (HEIGHT + HEADING);
/// Below this many data packets they show nothing that the plot above does not.
pub(super) const FEWEST: usize = 8;
/// Columns of throughput at most; each stands for so many packets of data at least.
const MOST_COLUMNS: usize = 110;
const PACKETS_PER_COLUMN: usize = 4;

/// Draws them from `top` on.
pub(super) fn draw(svg: &mut Svg, panel: &Panel<'_>, top: f64) {
    round_trips(svg, panel, top + HEADING);
    throughput(svg, panel, top + HEIGHT + 2.0 * HEADING);
    outstanding(svg, panel, top + 2.0 * HEIGHT + 3.0 * HEADING);
}

fn frame(svg: &mut Svg, panel: &Panel<'_>, top: f64, name: &str, highest: &str) {
    svg.text((LEFT, top - 8.0), "name", "start", name);
    for (share, label) in [(0.0, "0"), (1.0, highest)] {
        let y = top + HEIGHT * (1.0 - share);
        svg.path(&format!("M{} {}H{}", number(LEFT), number(y), number(LEFT + WIDTH)), "grid", None);
        svg.text((LEFT - 8.0, y + 4.0), "muted", "end", label);
    }
    times(svg, (top, HEIGHT), (0.0, panel.length), false);
}

fn height(top: f64, share: f64) -> f64 {
    top + HEIGHT * (1.0 - share.clamp(0.0, 1.0))
}

/// Each acknowledgement that measures one.
fn round_trips(svg: &mut Svg, panel: &Panel<'_>, top: f64) {
    let samples: Vec<(i64, u64)> = panel
        .packets
        .iter()
        .filter(|p| p.sender != panel.sender)
        .filter_map(|p| Some((p.ts, p.round_trip_ns?)))
        .collect();
    let mut sorted: Vec<u64> = samples.iter().map(|s| s.1).collect();
    sorted.sort_unstable();
    let (Some(&least), Some(&most)) = (sorted.first(), sorted.last()) else {
        frame(svg, panel, top, "round trip: no acknowledgement measures one", "");
        return;
    };
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(most);
    let label = |ns: u64| delay_label(ns as f64);
    let name = format!(
        "round trip: {} samples, least {}, median {}, most {}",
        human::count(samples.len() as u64),
        label(least),
        label(median),
        label(most)
    );
    frame(svg, panel, top, &name, &label(most));
    let mut dots = Dots::default();
    for (ts, ns) in samples {
        dots.add(panel.x(ts), height(top, ns as f64 / most.max(1) as f64));
    }
    svg.path(&dots.finish(), "dots", None);
}

/// Bytes per second, in columns: what was sent first, and above it what was sent again; the line is their mean so far.
fn throughput(svg: &mut Svg, panel: &Panel<'_>, top: f64) {
    let data: Vec<&TcpPacket> =
        panel.packets.iter().filter(|p| p.sender == panel.sender && p.payload_bytes > 0).collect();
    let columns = (data.len() / PACKETS_PER_COLUMN).clamp(2, MOST_COLUMNS);
    let mut bytes = vec![[0u64; 2]; columns];
    for p in &data {
        let share = p.ts.saturating_sub(panel.from) as f64 / panel.length;
        let column = ((share * columns as f64) as usize).min(columns - 1);
        if let Some(slot) = bytes.get_mut(column) {
            slot[usize::from(p.marks.is_retransmission())] += u64::from(p.payload_bytes);
        }
    }
    let seconds = panel.length / columns as f64 / 1e9;
    let rate = |bytes: u64| bytes as f64 / seconds;
    let highest = bytes.iter().map(|b| rate(b[0] + b[1])).fold(1.0, f64::max);
    let per_second = |rate: f64| format!("{}/s", human::bytes(rate.round() as u64));
    let total: u64 = bytes.iter().flatten().sum();
    let name = format!(
        "throughput: mean {}, highest {} in {}",
        per_second(total as f64 / (panel.length / 1e9)),
        per_second(highest),
        delay_label(seconds * 1e9)
    );
    frame(svg, panel, top, &name, &per_second(highest));
    let (mut paths, mut mean) = ([String::new(), String::new()], String::new());
    let mut sum = 0;
    let width = WIDTH / columns as f64;
    for (i, b) in bytes.iter().enumerate() {
        let (left, right) = (LEFT + width * i as f64 + 0.5, LEFT + width * (i + 1) as f64 - 0.5);
        let mut base = 0.0;
        for (path, bytes) in paths.iter_mut().zip(b).filter(|(_, bytes)| **bytes > 0) {
            let (low, high) = (height(top, base), height(top, base + rate(*bytes) / highest));
            base += rate(*bytes) / highest;
            // Writing to a String cannot fail.
            let _ =
                write!(path, "M{} {}V{}H{}V{}z", number(left), number(low), number(high), number(right), number(low));
        }
        sum += b[0] + b[1];
        let so_far = sum as f64 / (seconds * (i + 1) as f64) / highest;
        let _ = write!(
            mean,
            "{}{} {}",
            if i == 0 { "M" } else { "L" },
            number(LEFT + width * (i + 1) as f64),
            number(height(top, so_far))
        );
    }
    for (path, class) in paths.iter().zip(["column", "column again"]).filter(|(path, _)| !path.is_empty()) {
        svg.path(path, class, None);
    }
    svg.path(&mean, "mean", None);
}

/// What was sent and not acknowledged, and how much the receiver would take.
fn outstanding(svg: &mut Svg, panel: &Panel<'_>, top: f64) {
    let (mut sent, mut acked): (Option<i64>, Option<i64>) = (None, None);
    let (mut points, mut windows) = (Vec::new(), Vec::new());
    let (mut area, mut before) = (0.0, None);
    for p in panel.packets {
        if p.sender == panel.sender {
            // The SYN's number is no byte that anyone waits for.
            if p.flags & (f::SYN | f::RST) == 0 {
                sent = sent.max(Some(p.end()));
            }
        } else if p.flags & f::RST == 0 {
            acked = acked.max(p.ack);
            windows.push((p.ts, u64::from(p.window_bytes)));
        }
        let Some(sent) = sent else { continue };
        let now = acked.map_or(0, |a| sent.saturating_sub(a).max(0)) as u64;
        if let Some((ts, held)) = before.replace((p.ts, now)) {
            area += held as f64 * p.ts.saturating_sub(ts) as f64;
        }
        points.push((p.ts, now));
    }
    let most = points.iter().map(|p| p.1).max().unwrap_or(0);
    let (narrow, wide) = windows.iter().fold((u64::MAX, 0), |(least, most), w| (w.1.min(least), w.1.max(most)));
    let range = most.max(wide.min(most.saturating_mul(3))).max(1) as f64 * 1.05;
    let mut name =
        format!("outstanding data: mean {}, most {}", human::bytes((area / panel.length) as u64), human::bytes(most));
    if narrow <= wide {
        let (narrow, wide) = (human::bytes(narrow), human::bytes(wide));
        name += &if narrow == wide { format!("; window {wide}") } else { format!("; window {narrow} to {wide}") };
    }
    if wide as f64 > range {
        name += " (beyond the upper edge)";
    }
    frame(svg, panel, top, &name, &human::bytes(range as u64));
    for (points, class) in [(windows, "window"), (points, "waiting")] {
        let mut held = Held::default();
        for (ts, bytes) in points {
            held.add(panel.x(ts), height(top, bytes as f64 / range));
        }
        svg.path(&held.finish(LEFT + WIDTH), class, None);
    }
}
