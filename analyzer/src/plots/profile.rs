//! The life of a flow: its segments on one line, its exchanges below one another, and where packets were sent again.

use super::red::delay_label;
use super::theme::{
    AMBER, Area, BLUE, BROWN, GREEN, GRID, IDLE, INK, MUTED, PINK, RED, SKY, SLATE, VIOLET, failed, font, legend, plot,
};
use crate::human;
use crate::report::{flows, plural};
use anyhow::Result;
use plotters::prelude::*;
use replay::model::{Flow, ProfileSegment, SocketEvent, Transport};
use replay::tcp_packets::TcpPacket;
use std::collections::{BTreeMap, BTreeSet};

const WIDTH: u32 = 1_100;
const LEFT: i32 = 110;
const RIGHT: i32 = 150;
/// Exchanges that are drawn: of more, the longest.
const MOST_EXCHANGES: usize = 40;
/// Segments on the line of the whole flow that are drawn one by one: of more, what each pixel is mostly made of.
const MOST_SEGMENTS: usize = 3_000;

const SEGMENTS: [(&str, &str, RGBColor); 8] = [
    ("connect", "connect", VIOLET),
    ("tls", "TLS", PINK),
    ("client_wait", "client wait", IDLE),
    ("request_transfer", "request", SKY),
    ("server_ack", "server ack", AMBER),
    ("server_response", "server response", BLUE),
    ("response_transfer", "response", GREEN),
    ("close", "close", SLATE),
];

fn color(segment: &str) -> RGBColor {
    SEGMENTS.iter().find(|s| s.0 == segment).map_or(MUTED, |s| s.2)
}

/// Draws a flow. `packets` are its packets where they were read: they tell when something was sent again, which the segments know within
/// themselves only.
pub(super) fn draw(
    flow: &Flow,
    segments: &[ProfileSegment],
    packets: &[TcpPacket],
    events: &[&SocketEvent],
) -> Result<String> {
    let mut exchanges: BTreeMap<u32, Vec<&ProfileSegment>> = BTreeMap::new();
    for s in segments.iter().filter(|s| !matches!(s.segment, "connect" | "tls" | "client_wait" | "close")) {
        exchanges.entry(s.exchange).or_default().push(s);
    }
    let all = exchanges.len();
    let longest = longest(exchanges);
    let shown = longest.len();
    let title = format!("Flow {}: {}", flow.flow_id, flows::title(flow));
    let length = flow.end.saturating_sub(flow.start).max(1);
    plot((WIDTH, 178 + 20 * shown as u32), &title, |body| {
        let used: Vec<_> = SEGMENTS
            .iter()
            .filter(|(key, _, _)| segments.iter().any(|s| s.segment == *key))
            .map(|(_, name, color)| (*name, *color))
            .collect();
        legend(body, 2, &used)?;
        let retransmissions: u32 = segments.iter().map(|s| s.retransmissions).sum();
        let mut words = format!(
            "{}, {} sent, {} received",
            human::duration(flow.end.saturating_sub(flow.start).max(0).unsigned_abs()),
            human::bytes(flow.client.payload_bytes),
            human::bytes(flow.server.payload_bytes),
        );
        if flow.transport == Transport::Tcp {
            words += &format!(", {}", plural(retransmissions.into(), "retransmission"));
        }
        words += &format!(", closed: {}", flow.close_type);
        if all > shown {
            words += &format!("; below, the {shown} longest of {} exchanges", human::count(all as u64));
        }
        body.draw(&Text::new(words, (16, 18), font(13, MUTED))).map_err(failed)?;
        let whole = Scale { from: flow.start, length };
        line(body, whole, segments)?;
        let again: BTreeSet<i32> = if packets.is_empty() {
            let middle = |s: &ProfileSegment| s.start.saturating_add((s.duration_ns / 2) as i64);
            segments.iter().filter(|s| s.retransmissions > 0).map(|s| whole.x(middle(s))).collect()
        } else {
            packets.iter().filter(|p| p.marks.is_retransmission()).map(|p| whole.x(p.ts)).collect()
        };
        for x in again {
            mark(body, x, RED)?;
        }
        for x in events.iter().map(|e| whole.x(e.ts)).collect::<BTreeSet<_>>() {
            mark(body, x, BROWN)?;
        }
        // A flow of one moment has no length.
        axis(body, 90, flow.end.saturating_sub(flow.start))?;
        // Without the wait before each, on the scale of the longest.
        let most = longest.iter().map(|e| e.length).max().unwrap_or(1).max(1);
        for (row, Exchange { number, from, length, parts }) in longest.iter().enumerate() {
            let y = 120 + row as i32 * 20;
            let name = format!("exchange {}", number + 1);
            body.draw(&Text::new(name, (16, y), font(12, MUTED))).map_err(failed)?;
            for s in parts {
                bar(body, Scale { from: *from, length: most }, s, y, 12)?;
            }
            let at = WIDTH as i32 - RIGHT + 10;
            let bytes: u64 = parts.iter().map(|s| s.bytes).sum();
            let words = format!("{}, {}", delay_label(*length as f64), human::bytes(bytes));
            body.draw(&Text::new(words, (at, y), font(12, INK))).map_err(failed)?;
        }
        Ok(())
    })
}

/// A request and its answer.
struct Exchange<'s> {
    number: u32,
    from: i64,
    length: i64,
    parts: Vec<&'s ProfileSegment>,
}

/// The longest exchanges, in their order.
fn longest(exchanges: BTreeMap<u32, Vec<&ProfileSegment>>) -> Vec<Exchange<'_>> {
    let mut all: Vec<_> = exchanges
        .into_iter()
        .filter_map(|(number, parts)| {
            let (first, last) = (parts.first()?, parts.last()?);
            let length = last.start.saturating_add(last.duration_ns as i64).saturating_sub(first.start);
            Some(Exchange { number, from: first.start, length, parts })
        })
        .collect();
    if all.len() > MOST_EXCHANGES {
        all.sort_by_key(|e| (std::cmp::Reverse(e.length), e.number));
        all.truncate(MOST_EXCHANGES);
        all.sort_by_key(|e| e.number);
    }
    all
}

/// All segments side by side.
fn line(area: &Area<'_>, whole: Scale, segments: &[ProfileSegment]) -> Result<()> {
    if segments.len() <= MOST_SEGMENTS {
        return segments.iter().try_for_each(|s| bar(area, whole, s, 58, 28));
    }
    // By pixel: ns of each kind.
    let mut shares: BTreeMap<i32, BTreeMap<&'static str, u64>> = BTreeMap::new();
    for s in segments {
        let (a, b) = (whole.x(s.start), whole.x(s.start.saturating_add(s.duration_ns as i64)));
        let pixels = a..b.max(a + 1);
        let each = s.duration_ns / u64::from(pixels.len() as u32).max(1);
        for x in pixels {
            *shares.entry(x).or_default().entry(s.segment).or_default() += each;
        }
    }
    let of_pixel = |kinds: &BTreeMap<&'static str, u64>| kinds.iter().max_by_key(|(_, ns)| **ns).map(|(kind, _)| *kind);
    let mut runs: Vec<(i32, i32, &str)> = Vec::new();
    for (x, kinds) in &shares {
        let Some(kind) = of_pixel(kinds) else { continue };
        match runs.last_mut() {
            Some((_, end, of)) if *end == *x && *of == kind => *end = x + 1,
            _ => runs.push((*x, x + 1, kind)),
        }
    }
    for (a, b, kind) in runs {
        area.draw(&Rectangle::new([(a, 58), (b, 86)], color(kind).filled())).map_err(failed)?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Scale {
    from: i64,
    length: i64,
}

impl Scale {
    fn x(self, at: i64) -> i32 {
        let inner = f64::from(WIDTH as i32 - LEFT - RIGHT);
        let share = at.saturating_sub(self.from) as f64 / self.length as f64;
        LEFT + (share.clamp(0.0, 1.0) * inner).round() as i32
    }
}

fn bar(area: &Area<'_>, scale: Scale, s: &ProfileSegment, y: i32, height: i32) -> Result<()> {
    let (a, b) = (scale.x(s.start), scale.x(s.start.saturating_add(s.duration_ns as i64)));
    // At least a pixel: short ones are what the rest waits for.
    area.draw(&Rectangle::new([(a, y), (b.max(a + 1), y + height)], color(s.segment).filled())).map_err(failed)
}

fn mark(area: &Area<'_>, x: i32, color: RGBColor) -> Result<()> {
    area.draw(&Polygon::new([(x - 4, 46), (x + 4, 46), (x, 55)], color.filled())).map_err(failed)
}

fn axis(area: &Area<'_>, y: i32, length: i64) -> Result<()> {
    let inner = WIDTH as i32 - LEFT - RIGHT;
    area.draw(&PathElement::new([(LEFT, y), (LEFT + inner, y)], GRID)).map_err(failed)?;
    for quarter in 0..=if length > 0 { 4 } else { 0 } {
        let label = format!("+{}", delay_label(length as f64 * f64::from(quarter) / 4.0));
        let x = LEFT + inner * quarter / 4 - label.chars().count() as i32 * 3;
        area.draw(&Text::new(label, (x, y + 5), font(12, MUTED))).map_err(failed)?;
    }
    Ok(())
}
