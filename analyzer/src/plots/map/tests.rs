use super::layout::{NODE_HEIGHT, NODE_WIDTH, layout};
use super::*;
use crate::report::sample::recording;

fn left_of(nodes: &[Point], a: usize, b: usize) -> bool {
    nodes[a].0 + NODE_WIDTH < nodes[b].0
}

#[test]
fn callers_stand_left_of_what_they_call() {
    // 0 -> 1 -> 2, 1 -> 3, 0 -> 3: three layers, 3 beside 2.
    let l = layout(4, &[(0, 1), (1, 2), (1, 3), (0, 3)]);
    assert!(left_of(&l.nodes, 0, 1) && left_of(&l.nodes, 1, 2) && left_of(&l.nodes, 1, 3));
    assert_eq!(l.nodes[2].0, l.nodes[3].0);
    assert!((l.nodes[2].1 - l.nodes[3].1).abs() >= NODE_HEIGHT);
    // The edge that passes a layer bends there.
    assert_eq!(l.edges[3].len(), 3);
    assert!(l.backward.iter().all(|b| !b));
}

#[test]
fn circles_and_loops_end() {
    let l = layout(3, &[(0, 1), (1, 2), (2, 0), (1, 1)]);
    assert_eq!(l.backward, [false, false, true, false]);
    assert!(left_of(&l.nodes, 0, 1) && left_of(&l.nodes, 1, 2));
    assert!(l.nodes.iter().all(|n| n.0 >= 0.0 && n.1 >= 0.0 && n.0 < l.width && n.1 < l.height));
}

#[test]
fn nodes_never_overlap() {
    // Twelve nodes, edges by a fixed rule: dense enough to need every part of the layout.
    let edges: Vec<(usize, usize)> = (0..12)
        .flat_map(|a| (0..12).filter(move |b| a != *b && (a * 7 + b * 5) % 6 == 0).map(move |b| (a, b)))
        .collect();
    let l = layout(12, &edges);
    for (i, a) in l.nodes.iter().enumerate() {
        for b in l.nodes.iter().skip(i + 1) {
            assert!((a.0 - b.0).abs() >= NODE_WIDTH || (a.1 - b.1).abs() >= NODE_HEIGHT, "{a:?} {b:?}");
        }
    }
}

/// Parts that nothing connects stand one below the other, without a hole between them; no label or node is in another's place.
#[test]
fn no_holes_between_parts() {
    // Pairs in front of a web of services with a fan, a long chain and edges that pass layers: the layers have different weights.
    for pairs in 0..6 {
        let web = [
            (0, 1),
            (0, 2),
            (0, 3),
            (0, 4),
            (0, 5),
            (0, 6),
            (1, 6),
            (2, 6),
            (3, 6),
            (4, 6),
            (5, 6),
            (6, 7),
            (6, 8),
            (7, 8),
            (8, 9),
            (6, 9),
            (9, 6),
            (10, 11),
            (10, 12),
            (10, 6),
            (10, 13),
            (13, 14),
            (14, 8),
        ];
        let mut edges: Vec<(usize, usize)> = (0..pairs).map(|pair| (2 * pair, 2 * pair + 1)).collect();
        edges.extend(web.map(|(a, b)| (a + 2 * pairs, b + 2 * pairs)));
        let n = 15 + 2 * pairs;
        let l = layout(n, &edges);
        let mut taken: Vec<(f64, f64)> = l.nodes.iter().map(|node| (node.1, node.1 + NODE_HEIGHT)).collect();
        taken.extend(l.edges.iter().map(|points| {
            let ys = || points.iter().map(|p| p.1);
            (ys().fold(f64::INFINITY, f64::min), ys().fold(0.0, f64::max))
        }));
        taken.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut reach = taken[0].1;
        for (top, bottom) in taken {
            assert!(top - reach < 2.0 * NODE_HEIGHT, "{pairs} pairs: nothing from {reach} to {top}");
            reach = reach.max(bottom);
        }
        for (i, a) in l.nodes.iter().enumerate() {
            for b in l.nodes.iter().skip(i + 1) {
                assert!((a.0 - b.0).abs() >= NODE_WIDTH || (a.1 - b.1).abs() >= NODE_HEIGHT, "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn an_edge_says_rate_delay_and_errors() {
    let edge = Drawn {
        client: "a".into(),
        server: "b".into(),
        protocol: "http".into(),
        requests: 123,
        errors: 2,
        p95_ns: 4_100_000,
        connections: 3,
        failures: 1,
        retransmissions: 0,
        bytes: 10,
        merged: 1,
    };
    let label = edge.label(10_000_000_000);
    assert_eq!(label, ("12.3 req/s \u{b7} p95 4.10 ms".to_owned(), "1.6 % errors".to_owned()));
    let silent = Drawn { requests: 0, errors: 0, ..edge };
    assert_eq!(silent.label(1), ("3 connections \u{b7} 10 B".to_owned(), "1 failed".to_owned()));
}

#[test]
fn the_map_names_every_service_once() {
    let analysis = Analysis::new(recording(100, 24), "x".into());
    let svg = inline(&analysis);
    for name in ["nginx", "gunicorn", "redis-server", "postgres"] {
        assert_eq!(svg.matches(&format!("data-service=\"{name}\"")).count(), 1, "{name}");
    }
    assert_eq!(svg.matches("class=\"label\"").count(), 4);
}

#[test]
fn many_unnamed_clients_are_one_node() {
    let mut replayed = recording(20, 12);
    let one = replayed.flows.iter().find(|f| f.client_process.is_none()).expect("a client without a name").clone();
    for i in 0..20u8 {
        let mut flow = one.clone();
        flow.flow_id = replayed.flows.len() as u64;
        flow.endpoints.client_ip = Some([192, 0, 2, i].into());
        replayed.flows.push(flow);
    }
    let svg = inline(&Analysis::new(replayed, "x".into()));
    assert!(svg.contains("data-service=\"21 clients\""), "{svg}");
    assert!(!svg.contains("192.0.2."));
}
