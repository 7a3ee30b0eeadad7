//! Places of the service map's nodes and edges: layers from the entry points on, few crossings, the same every time.
//!
//! Layered drawing as Sugiyama, Tagawa and Toda describe it (1981): break circles, layer by longest path, put
//! bends where an edge passes a layer, order each layer by the middle of its neighbours.

/// Width of a node.
pub(super) const NODE_WIDTH: f64 = 160.0;
/// Height of a node.
pub(super) const NODE_HEIGHT: f64 = 50.0;
/// Between layers: an edge's label has to fit.
const LAYER_GAP: f64 = 204.0;
/// From the middle of a node to the next one in its layer.
const NODE_PITCH: f64 = 92.0;
/// The same for a bend.
const BEND_PITCH: f64 = 40.0;
const MARGIN: f64 = 28.0;
/// Height of each further loop from a node to itself, with its label.
pub(super) const LOOP_PITCH: f64 = 42.0;
const SWEEPS: usize = 6;

/// A point of the drawing.
pub(super) type Point = (f64, f64);

/// Where everything is.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Left upper corner of each node.
    pub(super) nodes: Vec<Point>,
    /// Points of each edge: from its node's side over bends to the other node's side.
    pub(super) edges: Vec<Vec<Point>>,
    /// Whether an edge runs against the direction of reading.
    pub(super) backward: Vec<bool>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A node or a bend in a layer.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Node(usize),
    Bend,
}

/// Lays out `n` nodes with `edges` (from, to); nodes are to come in a stable order, say by name.
pub(super) fn layout(n: usize, edges: &[(usize, usize)]) -> Layout {
    let backward = backward_edges(n, edges);
    // Every edge from left to right; edges to oneself have no part in layering.
    let forward: Vec<(usize, usize)> =
        edges.iter().zip(&backward).map(|(&(a, b), &back)| if back { (b, a) } else { (a, b) }).collect();
    let layer_of = layers(n, &forward);
    let depth = layer_of.iter().max().map_or(0, |d| d + 1);

    // All places, nodes first, with their layers; chains of each edge through its bends.
    let mut places: Vec<(Place, usize)> = layer_of.iter().enumerate().map(|(i, l)| (Place::Node(i), *l)).collect();
    let mut chains: Vec<Vec<usize>> = Vec::new();
    for &(a, b) in &forward {
        let mut chain = vec![a];
        if let (Some(&from), Some(&to)) = (layer_of.get(a), layer_of.get(b)) {
            for layer in from + 1..to {
                chain.push(places.len());
                places.push((Place::Bend, layer));
            }
        }
        chain.push(b);
        chains.push(chain);
    }
    let mut neighbours: Vec<(Vec<usize>, Vec<usize>)> = vec![(Vec::new(), Vec::new()); places.len()];
    for chain in &chains {
        for pair in chain.windows(2) {
            if let [a, b] = *pair
                && a != b
            {
                neighbours[b].0.push(a);
                neighbours[a].1.push(b);
            }
        }
    }
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); depth];
    for (i, (_, layer)) in places.iter().enumerate() {
        layers[*layer].push(i);
    }
    order(&mut layers, &neighbours, places.len());
    // Loops stand above their nodes: room for as many as any node has.
    let mut loops = vec![0usize; n];
    edges.iter().filter(|(a, b)| a == b).for_each(|(a, _)| loops[*a] += 1);
    let above = loops.iter().max().map_or(0.0, |l| *l as f64 * LOOP_PITCH);
    let y = heights(&layers, &places, &neighbours, above);

    let x = |layer: usize| MARGIN + layer as f64 * (NODE_WIDTH + LAYER_GAP);
    let nodes: Vec<Point> = (0..n).map(|i| (x(layer_of[i]), y[i] - NODE_HEIGHT / 2.0)).collect();
    let lowest = y.iter().copied().fold(0.0, f64::max);
    let points = ends(&chains, &places, &y, x);
    Layout {
        nodes,
        edges: points
            .into_iter()
            .zip(&backward)
            .map(|(mut p, back)| {
                if *back {
                    p.reverse();
                }
                p
            })
            .collect(),
        backward,
        width: x(depth.max(1) - 1) + NODE_WIDTH + MARGIN,
        height: lowest + NODE_HEIGHT / 2.0 + MARGIN,
    }
}

/// Edges that close a circle, found by a walk from the entry points in the order of nodes.
fn backward_edges(n: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let mut out = vec![false; edges.len()];
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); n];
    let mut entered = vec![false; n];
    for (i, &(a, b)) in edges.iter().enumerate() {
        if a != b {
            leaving[a].push(i);
            entered[b] = true;
        }
    }
    // 0 not seen, 1 on the way, 2 done.
    let mut state = vec![0u8; n];
    let starts = (0..n).filter(|i| !entered[*i]).chain(0..n).collect::<Vec<_>>();
    for start in starts {
        if state[start] != 0 {
            continue;
        }
        state[start] = 1;
        let mut way = vec![(start, 0usize)];
        while let Some((node, next)) = way.last_mut() {
            let Some(&edge) = leaving[*node].get(*next) else {
                state[*node] = 2;
                way.pop();
                continue;
            };
            *next += 1;
            let to = edges[edge].1;
            match state[to] {
                0 => {
                    state[to] = 1;
                    way.push((to, 0));
                }
                1 => out[edge] = true,
                _ => {}
            }
        }
    }
    out
}

/// Layer of each node: longest way from an entry point; entry points move up to what they call first.
fn layers(n: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layer = vec![0usize; n];
    let mut left: Vec<usize> = vec![0; n];
    for &(a, b) in edges {
        if a != b {
            left[b] += 1;
        }
    }
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); n];
    for &(a, b) in edges.iter().filter(|(a, b)| a != b) {
        leaving[a].push(b);
    }
    let entries: Vec<usize> = (0..n).filter(|i| left[*i] == 0).collect();
    let mut ready = entries.clone();
    while let Some(node) = ready.pop() {
        for &to in &leaving[node] {
            layer[to] = layer[to].max(layer[node] + 1);
            left[to] -= 1;
            if left[to] == 0 {
                ready.push(to);
            }
        }
    }
    for entry in entries {
        if let Some(first) = leaving[entry].iter().map(|to| layer[*to]).min() {
            layer[entry] = first.saturating_sub(1);
        }
    }
    layer
}

/// Orders the places within their layers so that few edges cross.
fn order(layers: &mut [Vec<usize>], neighbours: &[(Vec<usize>, Vec<usize>)], count: usize) {
    let mut rank = vec![0.0f64; count];
    let remember = |layer: &[usize], rank: &mut Vec<f64>| {
        for (i, &p) in layer.iter().enumerate() {
            // Relative, so that layers of different sizes compare.
            rank[p] = (i as f64 + 0.5) / layer.len() as f64;
        }
    };
    for layer in layers.iter() {
        remember(layer, &mut rank);
    }
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let indices: Vec<usize> = if down { (0..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for i in indices {
            let layer = &mut layers[i];
            let middle = |p: usize| {
                let near = if down { &neighbours[p].0 } else { &neighbours[p].1 };
                if near.is_empty() { rank[p] } else { near.iter().map(|q| rank[*q]).sum::<f64>() / near.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> = layer.iter().map(|p| (middle(*p), *p)).collect();
            // Stable: equal middles stay as they were.
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *layer = keyed.into_iter().map(|(_, p)| p).collect();
            remember(&layers[i], &mut rank);
        }
    }
}

/// Vertical middle of each place: near its neighbours, with room to the next.
fn heights(
    layers: &[Vec<usize>],
    places: &[(Place, usize)],
    neighbours: &[(Vec<usize>, Vec<usize>)],
    above: f64,
) -> Vec<f64> {
    let pitch = |a: usize, b: usize| match (places[a].0, places[b].0) {
        (Place::Bend, Place::Bend) => BEND_PITCH,
        (Place::Node(_), Place::Node(_)) => NODE_PITCH + above,
        _ => (BEND_PITCH + NODE_PITCH) / 2.0,
    };
    let mut y = vec![0.0f64; places.len()];
    for layer in layers {
        let mut at = 0.0;
        for (i, &p) in layer.iter().enumerate() {
            if let Some(&before) = i.checked_sub(1).and_then(|i| layer.get(i)) {
                at += pitch(before, p);
            }
            y[p] = at;
        }
    }
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let indices: Vec<usize> = if down { (0..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for i in indices {
            let layer = &layers[i];
            let wish: Vec<f64> = layer
                .iter()
                .map(|&p| {
                    let near = if down { &neighbours[p].0 } else { &neighbours[p].1 };
                    if near.is_empty() { y[p] } else { near.iter().map(|q| y[*q]).sum::<f64>() / near.len() as f64 }
                })
                .collect();
            let mut at = f64::NEG_INFINITY;
            for (k, &p) in layer.iter().enumerate() {
                let room = k.checked_sub(1).map_or(0.0, |b| pitch(layer[b], p));
                at = wish[k].max(at + room);
                y[p] = at;
            }
            // Pushing apart went downwards only: move the layer back to where it wanted to be.
            let off = layer.iter().zip(&wish).map(|(p, w)| y[*p] - w).sum::<f64>() / layer.len().max(1) as f64;
            layer.iter().for_each(|p| y[*p] -= off);
        }
    }
    close_bands(&mut y, neighbours, NODE_PITCH + above);
    let highest = y.iter().copied().fold(f64::INFINITY, f64::min);
    let shift = MARGIN + above + NODE_HEIGHT / 2.0 - if highest.is_finite() { highest } else { 0.0 };
    y.iter_mut().for_each(|v| *v += shift);
    y
}

/// Parts of the map that nothing connects drift apart as each layer is moved as a whole: bands that no place stands in and no edge passes
/// become as high as the distance between two nodes.
fn close_bands(y: &mut [f64], neighbours: &[(Vec<usize>, Vec<usize>)], pitch: f64) {
    let mut taken: Vec<(f64, f64)> = neighbours
        .iter()
        .enumerate()
        .map(|(place, (_, next))| {
            let ends = next.iter().map(|to| y[*to]).chain([y[place]]);
            ends.fold((y[place], y[place]), |(top, bottom), end| (top.min(end), bottom.max(end)))
        })
        .collect();
    taken.sort_by(|a, b| a.0.total_cmp(&b.0));
    // From where on, and by how much in all.
    let mut moves: Vec<(f64, f64)> = Vec::new();
    let mut reach = f64::INFINITY;
    for (top, bottom) in taken {
        if top - reach > pitch {
            moves.push((top, moves.last().map_or(0.0, |m| m.1) + top - reach - pitch));
        }
        reach = if reach.is_finite() { reach.max(bottom) } else { bottom };
    }
    for v in y {
        let before = moves.partition_point(|(top, _)| *top <= *v);
        *v -= before.checked_sub(1).and_then(|i| moves.get(i)).map_or(0.0, |m| m.1);
    }
}

/// Points of every edge; edges that share a node's side leave it side by side, in the order of where they go.
fn ends(chains: &[Vec<usize>], places: &[(Place, usize)], y: &[f64], x: impl Fn(usize) -> f64) -> Vec<Vec<Point>> {
    let mut out: Vec<Vec<Point>> = chains
        .iter()
        .map(|chain| {
            chain
                .iter()
                .enumerate()
                .map(|(i, &p)| {
                    let left = x(places[p].1);
                    let x = if places[p].0 == Place::Bend {
                        left + NODE_WIDTH / 2.0
                    } else if i == 0 {
                        left + NODE_WIDTH
                    } else {
                        left
                    };
                    (x, y[p])
                })
                .collect()
        })
        .collect();
    for right in [true, false] {
        let mut sides: Vec<Vec<(f64, usize)>> = vec![Vec::new(); places.len()];
        for (i, chain) in chains.iter().enumerate() {
            if let ([first, second, ..], [.., before, last]) = (chain.as_slice(), chain.as_slice()) {
                let (node, towards) = if right { (*first, *second) } else { (*last, *before) };
                sides[node].push((y[towards], i));
            }
        }
        for side in &mut sides {
            side.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let step = (NODE_HEIGHT - 16.0) / side.len().max(3) as f64;
            let count = side.len() as f64;
            for (k, (_, edge)) in side.iter().enumerate() {
                let point = if right { out[*edge].first_mut() } else { out[*edge].last_mut() };
                if let Some(point) = point {
                    point.1 += (k as f64 - (count - 1.0) / 2.0) * step;
                }
            }
        }
    }
    out
}
