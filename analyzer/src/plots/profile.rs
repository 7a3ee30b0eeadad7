//! The life of a flow: its segments on one line, its exchanges below one another, and where packets were sent again.

use super::red::delay_label;
use super::theme::{
    AMBER, Area, BLUE, BROWN, GREEN, GRID, IDLE, INK, MUTED, PINK, RED, SKY, SLATE, VIOLET, failed, font, legend, plot,
};
use crate::human;
use crate::report::flows;
use anyhow::Result;
use plotters::prelude::*;
use replay::model::{Flow, ProfileSegment, SocketEvent};
use replay::tcp_packets::TcpPacket;
use std::collections::{BTreeMap, BTreeSet};

const WIDTH: u32 = 1_100;
const LEFT: i32 = 110;
const RIGHT: i32 = 150;
/// Exchanges that are drawn.
const MOST_EXCHANGES: usize = 40;
/// Segments on the line of the whole flow.
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
    let shown = exchanges.len().min(MOST_EXCHANGES);
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
        let words = format!(
            "{}, {} sent, {} received, {retransmissions} retransmissions, closed: {}",
            human::duration(length as u64),
            human::bytes(flow.client.payload_bytes),
            human::bytes(flow.server.payload_bytes),
            flow.close_type
        );
        body.draw(&Text::new(words, (16, 18), font(13, MUTED))).map_err(failed)?;
        let whole = Scale { from: flow.start, length };
        for s in segments.iter().take(MOST_SEGMENTS) {
            bar(body, whole, s, 58, 28)?;
        }
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
        axis(body, 90, length)?;
        // Without the wait before each, on the scale of the longest.
        let span = |parts: &[&ProfileSegment]| -> Option<(i64, i64)> {
            let (first, last) = (parts.first()?, parts.last()?);
            Some((first.start, last.start.saturating_add(last.duration_ns as i64).saturating_sub(first.start)))
        };
        let longest = exchanges.values().take(shown).filter_map(|p| span(p)).map(|s| s.1).max().unwrap_or(1).max(1);
        for (row, (number, parts)) in exchanges.iter().take(shown).enumerate() {
            let y = 120 + row as i32 * 20;
            let Some((from, length)) = span(parts) else { continue };
            let name = format!("exchange {}", number + 1);
            body.draw(&Text::new(name, (16, y), font(12, MUTED))).map_err(failed)?;
            for s in parts {
                bar(body, Scale { from, length: longest }, s, y, 12)?;
            }
            let at = WIDTH as i32 - RIGHT + 10;
            let bytes: u64 = parts.iter().map(|s| s.bytes).sum();
            let words = format!("{}, {}", delay_label(length as f64), human::bytes(bytes));
            body.draw(&Text::new(words, (at, y), font(12, INK))).map_err(failed)?;
        }
        Ok(())
    })
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
    for quarter in 0..=4 {
        let label = format!("+{}", delay_label(length as f64 * f64::from(quarter) / 4.0));
        let x = LEFT + inner * quarter / 4 - label.chars().count() as i32 * 3;
        area.draw(&Text::new(label, (x, y + 5), font(12, MUTED))).map_err(failed)?;
    }
    Ok(())
}
