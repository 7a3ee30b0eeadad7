//! A trace as a waterfall: who did what when, and what caused it.

use super::map::shortened;
use super::red::delay_label;
use super::svg::Svg;
use crate::analysis::{Analysis, name_of};
use crate::human;
use crate::report::traces;
use replay::model::{Span, TapSide, Trace};

const LABELS: f64 = 400.0;
const BARS: f64 = 520.0;
const NUMBERS: f64 = 250.0;
const ROW: f64 = 24.0;
const TOP: f64 = 70.0;
/// Spans that are drawn.
const MOST_SPANS: usize = 200;

/// Draws a trace out of its spans.
pub(super) fn draw(analysis: &Analysis, trace: &Trace, spans: &[Span]) -> String {
    let rows = traces::ordered(spans);
    let from = spans.iter().map(|s| s.start).min().unwrap_or(trace.start);
    let to = spans.iter().map(|s| s.end).max().unwrap_or(from);
    let length = to.saturating_sub(from).max(1) as f64;
    let shown = rows.len().min(MOST_SPANS);
    let mut svg = Svg::standalone("waterfall");
    let width = LABELS + BARS + NUMBERS;
    svg.size(width, TOP + shown as f64 * ROW + if rows.len() > shown { 40.0 } else { 16.0 });
    svg.text((16.0, 26.0), "heading", "start", &format!("{} {}", trace.service, trace.root));
    let about = format!(
        "{} \u{b7} {} spans \u{b7} {} processes \u{b7} {} errors \u{b7} {} UTC \u{b7} {}",
        delay_label(trace.duration_ns as f64),
        trace.spans,
        trace.processes,
        trace.errors,
        human::time(trace.start),
        trace.trace_id
    );
    svg.text((16.0, 44.0), "muted", "start", &about);
    for quarter in 0..=4 {
        let x = LABELS + BARS * f64::from(quarter) / 4.0;
        let bottom = super::svg::number(TOP + shown as f64 * ROW);
        svg.path(&format!("M{} {TOP}V{bottom}", super::svg::number(x)), "grid", None);
        let anchor = ["start", "middle", "middle", "middle", "end"][quarter as usize];
        svg.text((x, TOP - 6.0), "muted", anchor, &delay_label(length * f64::from(quarter) / 4.0));
    }
    for (x, name) in [(78.0, "duration"), (158.0, "self"), (238.0, "linked by")] {
        svg.text((LABELS + BARS + x, TOP - 6.0), "muted", "end", name);
    }
    for (row, (span, depth, _)) in rows.iter().take(shown).enumerate() {
        draw_row(analysis, &mut svg, span, *depth, TOP + row as f64 * ROW, (from, length), row % 2 == 1);
    }
    if rows.len() > shown {
        let more = format!("{} spans more are in tables/spans.parquet.", human::count((rows.len() - shown) as u64));
        svg.text((16.0, TOP + shown as f64 * ROW + 22.0), "muted", "start", &more);
    }
    svg.finish()
}

fn draw_row(
    analysis: &Analysis,
    svg: &mut Svg,
    span: &Span,
    depth: u32,
    y: f64,
    (from, length): (i64, f64),
    is_odd: bool,
) {
    let request = usize::try_from(span.request_id).ok().and_then(|i| analysis.replayed.requests.get(i));
    let failing = request.is_some_and(|r| r.fields.status.is_error());
    svg.open(if failing { "span failing" } else { "span" }, &[]);
    let process = analysis.replayed.process_of(span);
    let holder = process.map_or(String::new(), |p| format!(", {} {}", name_of(Some(p)), p.pid));
    let resource = request.map_or("", |r| &r.fields.request_resource);
    svg.title(&format!("{}{holder}, seen at {}: {} {resource}", span.service, span.tap_side.name(), span.name));
    if is_odd {
        svg.rect((0.0, y, LABELS + BARS + NUMBERS, ROW), "stripe", 0.0);
    }
    let inset = 16.0 + f64::from(depth.min(16)) * 12.0;
    let room = ((LABELS - inset - 8.0) / 6.6) as usize;
    let process = process.map_or(String::new(), |p| format!(" {}", p.pid));
    let label = format!("{}{process} [{}] {}", span.service, span.tap_side.name(), span.name);
    svg.text((inset, y + 16.0), "what", "start", &shortened(&label, room));
    let x = LABELS + span.start.saturating_sub(from) as f64 / length * BARS;
    let duration = span.end.saturating_sub(span.start).max(0);
    let width = (duration as f64 / length * BARS).max(1.5);
    let is_process = matches!(span.tap_side, TapSide::ClientProcess | TapSide::ServerProcess | TapSide::App);
    let class = match (failing, is_process) {
        (true, _) => "bar failing",
        (_, true) => "bar",
        (_, false) => "bar packets",
    };
    let (inset, height) = if is_process { (5.0, 14.0) } else { (8.0, 8.0) };
    svg.rect((x, y + inset, width, height), class, 2.5);
    // Share of the span not covered by its children, as a stripe from its start.
    let own = span.self_ns as f64 / (duration.max(1) as f64);
    svg.rect((x, y + inset + height - 3.0, width * own.clamp(0.0, 1.0), 3.0), "self", 0.0);
    let right = LABELS + BARS;
    svg.text((right + 78.0, y + 16.0), "", "end", &delay_label(duration as f64));
    svg.text((right + 158.0, y + 16.0), "muted", "end", &delay_label(span.self_ns as f64));
    svg.text((right + 238.0, y + 16.0), "muted", "end", span.link_method);
    svg.close();
}
