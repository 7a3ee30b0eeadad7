//! `map`: who talks to whom.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use super::red::counts;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;
use replay::map::Edge;

pub(super) const TABLE: Table = Table {
    name: "map",
    command: "map",
    about: "Edges of the service map, client service to server service, one row per observation point",
    brief: &[
        "client_service",
        "server_service",
        "l7_protocol",
        "view",
        "interface",
        "requests",
        "errors",
        "duration_p50_ns",
        "duration_p99_ns",
        "beyond_p50_ns",
        "connections",
        "connection_failures",
        "retransmissions",
        "resets",
        "client_bytes",
        "server_bytes",
    ],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    let length_ns = a.length_ns();
    Ok(table(a.edges(), |c| {
        c.text("client_service", |e| &e.client);
        c.text("server_service", |e| &e.server);
        c.written("transport", |e, out| out.push_str(&e.transport.name()));
        c.text("l7_protocol", |e| e.l7_protocol);
        c.text("view", |e| e.view.name());
        c.text("node", |e| match e.interface.and_then(|i| a.replayed.interfaces.get(i as usize)) {
            Some(interface) => a.node_name(interface.node),
            None => a.only_node(),
        });
        c.text("interface", |e| {
            e.interface.and_then(|i| a.replayed.interfaces.get(i as usize)).map_or("", |i| &i.name)
        });
        c.text("tap_side", |e| e.tap_side.map_or("", |t| t.name()));
        counts(c, |e| &e.counts, move |_| length_ns);
        let beyond = |f: fn(&Edge) -> u64| move |e: &Edge| Some(f(e)).filter(|_| e.beyond.count > 0);
        c.opt("beyond_sum_ns", beyond(|e| e.beyond.sum_ns));
        c.opt("beyond_p50_ns", beyond(|e| e.beyond.p50_ns));
        c.opt("beyond_p95_ns", beyond(|e| e.beyond.p95_ns));
        c.opt("beyond_p99_ns", beyond(|e| e.beyond.p99_ns));
        c.int("connections", |e| e.connections);
        c.int("connection_failures", |e| e.connection_failures);
        c.int("client_bytes", |e| e.client_bytes);
        c.int("server_bytes", |e| e.server_bytes);
        c.int("retransmissions", |e| e.retransmissions);
        c.int("resets", |e| e.resets);
        c.opt("rtt_mean_ns", |e| e.rtt_mean_ns);
        c.time("start", |e| e.start);
        c.time("end", |e| e.end);
    }))
}
