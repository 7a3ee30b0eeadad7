//! The service map: who asks whom, how often, with what delay and how many errors.

mod layout;
#[cfg(test)]
mod tests;

use super::svg::{Svg, number};
use crate::analysis::Analysis;
use crate::human;
use layout::{LOOP_PITCH, Layout, NODE_HEIGHT, NODE_WIDTH, Point, layout};
use replay::map::Edge;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Edges that are drawn; more are not legible.
const MOST_EDGES: usize = 60;
/// More clients of which only the address is known are drawn as one.
const MOST_UNNAMED: usize = 4;
/// Width of a character of a label, about.
const LABEL_CHARACTER: f64 = 5.9;

/// Places of the edges of the map, each once, by the best view of it: the server's process before the client's before packets.
#[must_use]
pub(crate) fn best_of(edges: &[Edge]) -> Vec<usize> {
    let mut best: BTreeMap<_, (usize, &Edge)> = BTreeMap::new();
    for (place, edge) in edges.iter().enumerate() {
        let key = (&edge.client, &edge.server, edge.transport, edge.l7_protocol);
        // Better: a better view and, of several interfaces, the one that saw most.
        let rank = |e: &Edge| (std::cmp::Reverse(e.view), e.counts.requests, e.connections);
        best.entry(key)
            .and_modify(|b| {
                if rank(edge) > rank(b.1) {
                    *b = (place, edge);
                }
            })
            .or_insert((place, edge));
    }
    best.into_values().map(|(place, _)| place).collect()
}

/// An edge as it is drawn.
#[derive(Debug)]
struct Drawn {
    client: Arc<str>,
    server: Arc<str>,
    protocol: String,
    requests: u64,
    errors: u64,
    p95_ns: u64,
    connections: u64,
    failures: u64,
    retransmissions: u64,
    bytes: u64,
    /// How many edges it stands for.
    merged: usize,
}

impl Drawn {
    /// `12.3 req/s · p95 4.1 ms`, and below the line `2 % errors` if there are any.
    fn label(&self, length_ns: u64) -> (String, String) {
        if self.requests == 0 {
            let connections = if self.connections == 1 { "connection" } else { "connections" };
            let above = format!("{} {connections} \u{b7} {}", human::count(self.connections), human::bytes(self.bytes));
            let below =
                if self.failures > 0 { format!("{} failed", human::count(self.failures)) } else { String::new() };
            return (above, below);
        }
        let seconds = (length_ns as f64 / 1e9).max(1e-9);
        let mut out = rate(self.requests as f64 / seconds);
        if self.p95_ns > 0 {
            // Of several edges none may exceed the largest of their percentiles, and more is not known.
            let at_most = if self.merged > 1 { "\u{2264} " } else { "" };
            out += &format!(" \u{b7} p95 {at_most}{}", micro(self.p95_ns));
        }
        let share = self.errors as f64 / self.requests as f64;
        (out, if self.errors > 0 { format!("{} errors", human::percent(share)) } else { String::new() })
    }

    /// What is said of it when pointed at.
    fn title(&self) -> String {
        let mut out = format!(
            "{} \u{2192} {} ({}): {} requests, {} errors, {} connections, {}",
            self.client,
            self.server,
            self.protocol,
            human::count(self.requests),
            human::count(self.errors),
            human::count(self.connections),
            human::bytes(self.bytes)
        );
        for (n, what) in [(self.failures, "failed connections"), (self.retransmissions, "retransmissions")] {
            if n > 0 {
                out += &format!(", {} {what}", human::count(n));
            }
        }
        out
    }
}

fn rate(per_second: f64) -> String {
    human::scaled(per_second, "req/s")
}

fn micro(ns: u64) -> String {
    human::duration(ns).replace("us", "\u{b5}s")
}

/// Edges to draw, most requests first, and how many are left out.
fn drawn(analysis: &Analysis) -> (Vec<Drawn>, usize) {
    let best = analysis.best_edges();
    let servers: std::collections::BTreeSet<&str> = best.iter().map(|e| &*e.server).collect();
    let is_unnamed = |name: &str| name.parse::<IpAddr>().is_ok() && !servers.contains(name);
    let unnamed: std::collections::BTreeSet<&str> = best.iter().map(|e| &*e.client).filter(|c| is_unnamed(c)).collect();
    let crowd: Option<Arc<str>> =
        (unnamed.len() > MOST_UNNAMED).then(|| format!("{} clients", human::count(unnamed.len() as u64)).into());
    let mut merged: BTreeMap<(Arc<str>, Arc<str>, String), Drawn> = BTreeMap::new();
    for edge in best {
        let client = match &crowd {
            Some(crowd) if unnamed.contains(&*edge.client) => crowd.clone(),
            _ => edge.client.clone(),
        };
        let protocol = match edge.l7_protocol {
            "" => edge.transport.name().into_owned(),
            name => name.to_owned(),
        };
        let d = merged.entry((client.clone(), edge.server.clone(), protocol.clone())).or_insert_with(|| Drawn {
            client,
            server: edge.server.clone(),
            protocol,
            requests: 0,
            errors: 0,
            p95_ns: 0,
            connections: 0,
            failures: 0,
            retransmissions: 0,
            bytes: 0,
            merged: 0,
        });
        d.requests += edge.counts.requests;
        d.errors += edge.counts.errors();
        d.p95_ns = d.p95_ns.max(edge.counts.delay.p95_ns);
        d.connections += edge.connections;
        d.failures += edge.connection_failures;
        d.retransmissions += edge.retransmissions;
        d.bytes = d.bytes.saturating_add(edge.client_bytes).saturating_add(edge.server_bytes);
        d.merged += 1;
    }
    let mut all: Vec<Drawn> = merged.into_values().collect();
    all.sort_by_key(|d| std::cmp::Reverse((d.requests, d.bytes)));
    let more = all.len().saturating_sub(MOST_EDGES);
    all.truncate(MOST_EDGES);
    (all, more)
}

/// The map as markup for the report's page, styled by it.
#[must_use]
pub(crate) fn inline(analysis: &Analysis) -> String {
    let mut svg = Svg::inline("map");
    draw(analysis, &mut svg);
    svg.finish()
}

/// The map as a file of its own.
#[must_use]
pub(crate) fn standalone(analysis: &Analysis) -> String {
    let mut svg = Svg::standalone("map");
    draw(analysis, &mut svg);
    svg.finish()
}

fn draw(analysis: &Analysis, svg: &mut Svg) {
    let (edges, more) = drawn(analysis);
    if edges.is_empty() {
        svg.size(420.0, 40.0);
        svg.text((12.0, 24.0), "muted", "start", "No conversations were seen.");
        return;
    }
    let mut names: Vec<&str> = edges.iter().flat_map(|e| [&*e.client, &*e.server]).collect();
    names.sort_unstable();
    names.dedup();
    let number_of = |name: &str| names.binary_search(&name).unwrap_or(0);
    let pairs: Vec<(usize, usize)> = edges.iter().map(|e| (number_of(&e.client), number_of(&e.server))).collect();
    let places = layout(names.len(), &pairs);
    svg.size(places.width.max(420.0), places.height + if more > 0 { 24.0 } else { 0.0 });
    draw_edges(analysis, svg, &edges, &pairs, &places);
    for (i, name) in names.iter().enumerate() {
        draw_node(analysis, svg, name, places.nodes[i], edges.iter().filter(|e| &*e.server == *name));
    }
    if more > 0 {
        let note = format!("{} edges more, with fewer requests, are in tables/map.parquet.", human::count(more as u64));
        svg.text((28.0, places.height + 8.0), "muted", "start", &note);
    }
}

fn draw_node<'a>(analysis: &Analysis, svg: &mut Svg, name: &str, at: Point, entering: impl Iterator<Item = &'a Drawn>) {
    let (mut requests, mut errors) = (0, 0);
    let mut protocols: Vec<&str> = Vec::new();
    for edge in entering {
        requests += edge.requests;
        errors += edge.errors;
        if !protocols.contains(&edge.protocol.as_str()) {
            protocols.push(&edge.protocol);
        }
    }
    let class = if errors > 0 { "node failing" } else { "node" };
    svg.open(class, &[("data-service", name)]);
    svg.title(name);
    svg.rect((at.0, at.1, NODE_WIDTH, NODE_HEIGHT), "box", 9.0);
    let middle = at.0 + NODE_WIDTH / 2.0;
    svg.text((middle, at.1 + 21.0), "name", "middle", &shortened(name, 23));
    let seconds = (analysis.length_ns() as f64 / 1e9).max(1e-9);
    let below = if requests > 0 {
        format!("{} \u{b7} {}", shortened(&protocols.join(" "), 12), rate(requests as f64 / seconds))
    } else if protocols.is_empty() {
        "entry".to_owned()
    } else {
        shortened(&protocols.join(" "), 23)
    };
    svg.text((middle, at.1 + 38.0), "muted", "middle", &below);
    svg.close();
}

/// `text`, or its beginning and an ellipsis.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => {
            let cut = text.char_indices().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}\u{2026}", text.get(..cut).unwrap_or_default())
        }
    }
}

/// A rectangle: left, top, right, bottom.
type Area = (f64, f64, f64, f64);

fn overlap(a: Area, b: Area) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

fn draw_edges(analysis: &Analysis, svg: &mut Svg, edges: &[Drawn], pairs: &[(usize, usize)], places: &Layout) {
    let mut taken: Vec<Area> =
        places.nodes.iter().map(|n| (n.0 - 2.0, n.1 - 2.0, n.0 + NODE_WIDTH + 2.0, n.1 + NODE_HEIGHT + 2.0)).collect();
    let most = edges.iter().map(|e| e.requests).max().unwrap_or(1).max(1);
    let mut labels = Vec::new();
    for (i, edge) in edges.iter().enumerate() {
        let (Some(points), Some(&(from, to))) = (places.edges.get(i), pairs.get(i)) else { continue };
        let class = match (edge.errors > 0, edge.requests == 0) {
            (true, _) => "edge failing",
            (_, true) => "edge silent",
            _ => "edge",
        };
        let (path, curve) = if from == to {
            // Loops of one node lie within each other.
            let inner = pairs.iter().take(i).filter(|p| **p == (from, from)).count();
            own_loop(places.nodes[from], inner)
        } else {
            // Bend where the edges part, so that the rest is level and bears the label.
            let part_late = pairs.iter().filter(|p| p.1 == to).count() > pairs.iter().filter(|p| p.0 == from).count();
            along(points, places.backward.get(i).copied().unwrap_or(false), part_late)
        };
        // 1 to 4 px by the logarithm of the requests.
        let width = 1.2 + 2.8 * ((edge.requests + 1) as f64).ln() / ((most + 1) as f64).ln().max(1e-9);
        let ends: [(&str, &str); 2] = [("data-from", &edge.client), ("data-to", &edge.server)];
        svg.open(class, &ends);
        svg.title(&edge.title());
        svg.path(&path, "line", Some(width));
        if let Some(end) = curve.last() {
            let before = curve.get(curve.len().saturating_sub(2)).unwrap_or(end);
            svg.path(&arrow(*before, *end), "head", None);
        }
        svg.close();
        let text = edge.label(analysis.length_ns());
        let size = text.0.chars().count().max(text.1.chars().count()) as f64 * LABEL_CHARACTER;
        let depth = if text.1.is_empty() { 4.0 } else { 20.0 };
        let at = free_place(&curve, (size, depth), &taken);
        taken.push((at.0 - size / 2.0, at.1 - 12.0, at.0 + size / 2.0, at.1 + depth));
        labels.push((at, text, ends));
    }
    // On top of all lines.
    for (at, (above, below), ends) in labels {
        svg.open("label", &ends);
        svg.text(at, "", "middle", &above);
        if !below.is_empty() {
            svg.text((at.0, at.1 + 18.0), "failing", "middle", &below);
        }
        svg.close();
    }
}

/// Where on the curve a label covers nothing else: level parts first, nearest to their middle.
fn free_place(curve: &[Point], (size, depth): (f64, f64), taken: &[Area]) -> Point {
    let area = |p: Point| (p.0 - size / 2.0, p.1 - 12.0, p.0 + size / 2.0, p.1 + depth);
    let is_free = |p: Point| !taken.iter().any(|t| overlap(*t, area(p)));
    let mut places: Vec<(f64, Point)> = Vec::new();
    // Runs of points on one height, with how far each point is from the middle of its run.
    for run in curve.chunk_by(|a, b| (a.1 - b.1).abs() < 0.6) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        let middle = (first.0 + last.0) / 2.0;
        // A short run bears no label: what sticks out on its sides counts.
        let stands_out = (size - (last.0 - first.0).abs()).max(0.0);
        places.extend(run.iter().map(|p| ((p.0 - middle).abs() + stands_out * 2.0, (p.0, p.1 - 5.0))));
        places.push((stands_out * 2.0, (middle, first.1 - 5.0)));
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let best = places.first().map_or((0.0, 0.0), |p| p.1);
    places.into_iter().map(|p| p.1).find(|p| is_free(*p)).unwrap_or(best)
}

/// Share of the way between layers that a bend takes.
const BEND: f64 = 0.3;

/// A smooth line through `points`, as path data and as points along it.
fn along(points: &[Point], backward: bool, bend_late: bool) -> (String, Vec<Point>) {
    let mut path = String::new();
    let mut curve = Vec::new();
    if let Some(first) = points.first() {
        path += &format!("M{} {}", number(first.0), number(first.1));
        curve.push(*first);
    }
    let mut curve_to = |a: Point, b: Point, swing: f64, steps: u32| {
        let reach = (b.0 - a.0) * 0.5;
        let (c, d) = ((a.0 + reach, a.1 + swing), (b.0 - reach, b.1 + swing));
        let p = [c, d, b].map(|p| format!("{} {}", number(p.0), number(p.1))).join(" ");
        path += &format!("C{p}");
        curve.extend((1..=steps).map(|i| bezier(a, c, d, b, f64::from(i) / f64::from(steps))));
    };
    for pair in points.windows(2) {
        let [a, b] = *pair else { continue };
        if backward {
            // Against the direction of reading edges swing below, out of the way of those they answer.
            curve_to(a, b, 46.0, 24);
        } else if bend_late {
            let bend = (b.0 - (b.0 - a.0) * BEND, a.1);
            curve_to(a, bend, 0.0, 24);
            curve_to(bend, b, 0.0, 10);
        } else {
            let bend = (a.0 + (b.0 - a.0) * BEND, b.1);
            curve_to(a, bend, 0.0, 10);
            curve_to(bend, b, 0.0, 24);
        }
    }
    (path, curve)
}

fn bezier(a: Point, b: Point, c: Point, d: Point, t: f64) -> Point {
    let u = 1.0 - t;
    let w = [u * u * u, 3.0 * u * u * t, 3.0 * u * t * t, t * t * t];
    let mix = |v: [f64; 4]| v.iter().zip(w).map(|(v, w)| v * w).sum();
    (mix([a.0, b.0, c.0, d.0]), mix([a.1, b.1, c.1, d.1]))
}

/// An edge from a node to itself: a loop above it.
fn own_loop(node: Point, inner: usize) -> (String, Vec<Point>) {
    let (aside, up) = (0.12 + 0.08 * inner.min(4) as f64, 40.0 + LOOP_PITCH * inner as f64);
    let a = (node.0 + NODE_WIDTH * (0.5 + aside), node.1);
    let d = (node.0 + NODE_WIDTH * (0.5 - aside), node.1);
    let (b, c) = ((a.0 + 20.0, a.1 - up), (d.0 - 20.0, d.1 - up));
    let p = [b, c, d].map(|p| format!("{} {}", number(p.0), number(p.1))).join(" ");
    let curve = (0..=24).map(|i| bezier(a, b, c, d, f64::from(i) / 24.0)).collect();
    (format!("M{} {}C{p}", number(a.0), number(a.1)), curve)
}

/// A triangle at `end` that points away from `before`.
fn arrow(before: Point, end: Point) -> String {
    let (dx, dy) = (end.0 - before.0, end.1 - before.1);
    let length = dx.hypot(dy).max(1e-9);
    let (ux, uy) = (dx / length, dy / length);
    let corner = |along: f64, aside: f64| {
        let p = (end.0 - ux * along - uy * aside, end.1 - uy * along + ux * aside);
        format!("{} {}", number(p.0), number(p.1))
    };
    format!("M{}L{}L{}Z", corner(0.0, 0.0), corner(9.0, 4.5), corner(9.0, -4.5))
}
