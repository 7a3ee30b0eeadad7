//! Rate, errors and duration of a service over time, one above the other.

use super::theme::{AMBER, Area, BLUE, GRID, INK, MUTED, P50, P95, P99, RED, VIOLET, failed, font, legend, plot};
use crate::human;
use crate::report::series::{Buckets, Service};
use anyhow::Result;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;

/// A line: name, colour and points (seconds, value).
type Line<'a> = (&'a str, RGBColor, Vec<(f64, f64)>);

/// Draws a service.
pub(super) fn draw(service: &Service, buckets: Buckets) -> Result<String> {
    let title = format!("{} ({}): rate, errors, duration", service.name, service.protocol);
    plot((960, 620), &title, |body| {
        let at = |i: usize| (buckets.first_ns as f64 + (i as f64 + 0.5) * buckets.length_ns as f64) / 1e9;
        let seconds = buckets.length_ns as f64 / 1e9;
        let per_second =
            |values: &[u64]| values.iter().enumerate().map(|(i, v)| (at(i), *v as f64 / seconds)).collect();
        let delay = |values: &[i64]| -> Vec<(f64, f64)> {
            let known = values.iter().enumerate().filter(|(_, v)| **v >= 0);
            known.map(|(i, v)| (at(i), (*v).max(1) as f64)).collect()
        };
        let end = (buckets.first_ns as f64 + buckets.count as f64 * buckets.length_ns as f64) / 1e9;
        let range = (buckets.first_ns as f64 / 1e9).min(0.0)..end.max(1e-6);
        let [rate, errors, duration] = &body.split_evenly((3, 1))[..] else { return Ok(()) };

        let lines: [Line<'_>; 1] = [("requests", BLUE, per_second(&service.requests))];
        let top = highest(&lines);
        panel(rate, "Requests per second", &lines, range.clone(), 0.0..top, &|v| short(*v, "/s"))?;

        let lines: [Line<'_>; 3] = [
            ("client errors", AMBER, per_second(&service.client_errors)),
            ("server errors", RED, per_second(&service.server_errors)),
            ("timeouts", VIOLET, per_second(&service.timeouts)),
        ];
        let top = highest(&lines);
        panel(errors, "Errors per second", &lines, range.clone(), 0.0..top, &|v| short(*v, "/s"))?;

        let lines: [Line<'_>; 3] = [
            ("p50", P50, delay(&service.p50_ns)),
            ("p95", P95, delay(&service.p95_ns)),
            ("p99", P99, delay(&service.p99_ns)),
        ];
        let values = || lines.iter().flat_map(|l| l.2.iter().map(|p| p.1));
        let low = decade(values().fold(f64::INFINITY, f64::min), f64::floor);
        let high = decade(values().fold(0.0, f64::max), f64::ceil).max(low * 10.0);
        panel(duration, "Duration", &lines, range, (low..high).log_scale(), &|v| delay_label(*v))
    })
}

/// The power of ten at or beyond `v`.
pub(super) fn decade(v: f64, round: impl Fn(f64) -> f64) -> f64 {
    if v.is_finite() && v > 0.0 { 10f64.powi(round(v.log10()) as i32) } else { 1_000.0 }
}

/// A delay in ns without zeros that say nothing.
pub(super) fn delay_label(ns: f64) -> String {
    if ns < 1.0 {
        return "0".to_owned();
    }
    let text = human::duration(ns.max(0.0).round() as u64).replace("us", "\u{b5}s");
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

fn short(v: f64, unit: &str) -> String {
    let text = format!("{v:.2}");
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn highest(lines: &[Line<'_>]) -> f64 {
    let most = lines.iter().flat_map(|l| l.2.iter().map(|p| p.1)).fold(0.0, f64::max);
    if most > 0.0 { most * 1.12 } else { 1.0 }
}

/// One panel: a caption with its legend, and lines over seconds since the start.
fn panel<Y>(
    area: &Area<'_>,
    caption: &str,
    lines: &[Line<'_>],
    x: std::ops::Range<f64>,
    y: Y,
    label: &dyn Fn(&f64) -> String,
) -> Result<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let (head, body) = area.split_vertically(22);
    head.draw(&Text::new(caption.to_owned(), (16, 6), font(14, INK))).map_err(failed)?;
    if lines.len() > 1 {
        let entries: Vec<_> = lines.iter().map(|(name, color, _)| (*name, *color)).collect();
        legend(&head, 6, &entries)?;
    }
    let mut chart = ChartBuilder::on(&body)
        .margin_right(18)
        .margin_top(6)
        .x_label_area_size(26)
        .y_label_area_size(78)
        .build_cartesian_2d(x, y)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(font(12, MUTED))
        .x_labels(10)
        .y_labels(5)
        .x_label_formatter(&|v| format!("+{}", short(*v, "s")))
        .y_label_formatter(label)
        .draw()
        .map_err(failed)?;
    for (_, color, points) in lines {
        chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2))).map_err(failed)?;
    }
    Ok(())
}
