//! How the durations of a service's requests are spread: as a whole, and per endpoint as rows of a heat map.

use super::red::delay_label;
use super::theme::{BLUE, GRID, INK, MUTED, P50, P95, P99, failed, font, plot};
use crate::analysis::Analysis;
use crate::report::series::{BINS_PER_DECADE, Service, bin};
use ahash::AHashMap;
use anyhow::Result;
use plotters::prelude::*;
use std::collections::HashMap;

/// Rows of the heat map.
const MOST_ENDPOINTS: usize = 10;
const LABELS: i32 = 210;
const WIDTH: u32 = 960;

/// Durations of one endpoint: requests per bin.
#[derive(Debug, Default, Clone)]
pub(super) struct Spread {
    name: String,
    bins: HashMap<usize, u32>,
}

/// Durations per endpoint of the drawn services, those with most requests, in the order of `services`.
pub(super) fn spreads(analysis: &Analysis, services: &[Service]) -> Vec<Vec<Spread>> {
    let red = analysis.red();
    let mut out: Vec<Vec<Spread>> = vec![Vec::new(); services.len()];
    let mut places: AHashMap<(&str, &str, &str), (usize, usize)> = AHashMap::new();
    let order: HashMap<(&str, &str), usize> =
        red.services.iter().take(services.len()).enumerate().map(|(i, r)| ((&*r.service, r.l7_protocol), i)).collect();
    for row in &red.endpoints {
        let Some(rows) = order.get(&(&*row.service, row.l7_protocol)).and_then(|i| Some((*i, out.get_mut(*i)?))) else {
            continue;
        };
        if rows.1.len() < MOST_ENDPOINTS {
            places.insert((&row.service, row.l7_protocol, &row.endpoint), (rows.0, rows.1.len()));
            rows.1.push(Spread { name: row.endpoint.to_string(), bins: HashMap::new() });
        }
    }
    let mut names = AHashMap::new();
    for &(index, service) in analysis.counted() {
        let Some(request) = analysis.replayed.requests.get(index) else { continue };
        let name = names.entry(service).or_insert_with(|| analysis.services().name(service));
        let key = (&**name, request.fields.l7_protocol, &*request.fields.endpoint);
        if let (Some((s, e)), Some(delay)) = (places.get(&key), request.duration_ns())
            && let Some(spread) = out.get_mut(*s).and_then(|rows| rows.get_mut(*e))
        {
            *spread.bins.entry(bin(delay)).or_default() += 1;
        }
    }
    out
}

/// Draws a service: `percentiles` are p50, p95 and p99 in ns.
pub(super) fn draw(service: &Service, percentiles: [u64; 3], endpoints: &[Spread]) -> Result<String> {
    let (first, counts) = &service.histogram;
    let decade = BINS_PER_DECADE as usize;
    let low = first / decade * decade;
    let high = (first + counts.len()).div_ceil(decade).max(low / decade + 1) * decade;
    let rows = endpoints.len() as i32;
    let heat = if endpoints.len() > 1 { 34 + rows * 24 } else { 0 };
    let title = format!("{} ({}): distribution of durations", service.name, service.protocol);
    plot((WIDTH, (322 + heat) as u32), &title, |body| {
        let inner = WIDTH as i32 - LABELS - 24;
        let x = |bin: f64| LABELS + ((bin - low as f64) * f64::from(inner) / (high - low) as f64).round() as i32;
        let (top, bottom) = (26, 236);
        let highest = counts.iter().copied().max().unwrap_or(1).max(1);
        let step = round_step(highest);
        let most = f64::from(highest.div_ceil(step) * step);
        for line in (0..=highest.div_ceil(step) * step).step_by(step as usize) {
            let y = bottom - (f64::from(bottom - top) * f64::from(line) / most).round() as i32;
            body.draw(&PathElement::new([(LABELS, y), (LABELS + inner, y)], GRID)).map_err(failed)?;
            let label = crate::human::count(line.into());
            let at = LABELS - 8 - label.len() as i32 * 7;
            body.draw(&Text::new(label, (at, y - 6), font(12, MUTED))).map_err(failed)?;
        }
        for (i, count) in counts.iter().enumerate().filter(|(_, c)| **c > 0) {
            let bin = (first + i) as f64;
            let y = bottom - (f64::from(*count) / most * f64::from(bottom - top)).round() as i32;
            let bar = [(x(bin) + 1, y.min(bottom - 1)), (x(bin + 1.0) - 1, bottom)];
            body.draw(&Rectangle::new(bar, BLUE.filled())).map_err(failed)?;
        }
        let mut last = i32::MIN / 2;
        for (name, ns, color) in
            [("p50", percentiles[0], P50), ("p95", percentiles[1], P95), ("p99", percentiles[2], P99)]
        {
            let at = x((ns.max(1) as f64).log10() * BINS_PER_DECADE);
            body.draw(&PathElement::new([(at, top - 8), (at, bottom)], color.stroke_width(2))).map_err(failed)?;
            // Names of near percentiles stand side by side.
            let label = format!("{name} {}", delay_label(ns as f64));
            let left = (at - 12).max(last + 8);
            last = left + label.chars().count() as i32 * 7;
            body.draw(&Text::new(label, (left, 2), font(13, color))).map_err(failed)?;
        }
        for bin in (low..=high).step_by(decade) {
            let at = x(bin as f64);
            let label = delay_label(10f64.powi((bin / decade) as i32));
            let left = (at - label.len() as i32 * 3).min(WIDTH as i32 - 16 - label.len() as i32 * 7);
            body.draw(&Text::new(label, (left, bottom + 8), font(12, MUTED))).map_err(failed)?;
        }
        if heat == 0 {
            return Ok(());
        }
        body.draw(&Text::new("By endpoint", (16, bottom + 30), font(14, INK))).map_err(failed)?;
        for (i, endpoint) in endpoints.iter().enumerate() {
            let y = bottom + 52 + i as i32 * 24;
            let name = super::map::shortened(&crate::report::clean(&endpoint.name), 28);
            body.draw(&Text::new(name, (16, y + 4), font(13, INK))).map_err(failed)?;
            let frame = [(LABELS, y), (LABELS + inner, y + 20)];
            body.draw(&Rectangle::new(frame, GRID)).map_err(failed)?;
            let most = f64::from(endpoint.bins.values().copied().max().unwrap_or(1).max(1));
            let mut bins: Vec<_> = endpoint.bins.iter().filter(|(b, _)| (low..high).contains(*b)).collect();
            bins.sort_unstable();
            for (bin, count) in bins {
                let cell = [(x(*bin as f64) + 1, y + 1), (x(*bin as f64 + 1.0), y + 19)];
                // Not in proportion: rare slow ones are what one looks for.
                let strength = 0.15 + 0.85 * (f64::from(*count) / most).sqrt();
                body.draw(&Rectangle::new(cell, BLUE.mix(strength).filled())).map_err(failed)?;
            }
        }
        Ok(())
    })
}

/// A step of 1, 2 or 5 times a power of ten that parts `most` into no more than five.
fn round_step(most: u32) -> u32 {
    let mut power = 1u32;
    loop {
        for step in [1, 2, 5].map(|m| power.saturating_mul(m)) {
            if most.div_ceil(step) <= 5 {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}
