//! `hops`: conversations between neighbouring observation points.

use super::Table;
use super::columns::{table, write_json_counts};
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;
use replay::hops::{Hop, HopDelay, HopPlace, place_name};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

pub(super) const TABLE: Table = Table {
    name: "hops",
    command: "hops",
    about: "One conversation from place to place (process, interfaces, tunnels, translated addresses, other captures): delay, loss",
    brief: &[
        "conversation_id",
        "hop",
        "direction",
        "from",
        "to",
        "packets",
        "lost",
        "resent",
        "delay_p50_ns",
        "delay_p95_ns",
        "delay_max_ns",
        "share",
        "nat",
        "statement",
    ],
    build,
};

/// A column and its value.
type Delay = (&'static str, fn(&HopDelay) -> i64);
type End = (&'static str, fn(&Hop) -> (Option<IpAddr>, u16));

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(&a.replayed.hops, |c| {
        c.int("conversation_id", |h| h.conversation);
        c.int("hop", |h| h.hop);
        c.text("direction", |h| h.way.name());
        c.written("transport", |h, out| out.push_str(&h.transport.name()));
        c.written("from", |h, out| out.push_str(&place_name(&a.replayed, &h.from)));
        c.written("to", |h, out| out.push_str(&place_name(&a.replayed, &h.to)));
        c.text("from_node", |h| a.node_of_flow(h.from.flow_id));
        c.text("to_node", |h| a.node_of_flow(h.to.flow_id));
        c.int("from_flow_id", |h| h.from.flow_id);
        c.int("to_flow_id", |h| h.to.flow_id);
        c.time("start", |h| h.start);
        c.time("end", |h| h.end);
        c.int("packets", |h| h.packets);
        c.int("matched", |h| h.matched);
        c.opt("lost", |h| h.lost);
        c.opt("lost_bytes", |h| h.lost_bytes);
        c.int("missed", |h| h.missed);
        c.int("resent", |h| h.resent);
        let delays: [Delay; 5] = [
            ("delay_min_ns", |d| d.min_ns),
            ("delay_p50_ns", |d| d.p50_ns),
            ("delay_p95_ns", |d| d.p95_ns),
            ("delay_max_ns", |d| d.max_ns),
            ("delay_mean_ns", |d| d.mean_ns),
        ];
        for (name, of) in delays {
            c.opt(name, move |h: &Hop| h.delay.as_ref().map(of));
        }
        c.opt_float("share", |h| h.share);
        c.opt("clock_uncertainty_ns", |h| h.clock_uncertainty_ns);
        c.text("nat", |h| h.nat);
        let ends: [End; 4] = [
            ("from_client", |h| client(&h.from)),
            ("from_server", |h| server(&h.from)),
            ("to_client", |h| client(&h.to)),
            ("to_server", |h| server(&h.to)),
        ];
        for (name, of) in ends {
            c.written(name, move |h, out| {
                if let (Some(ip), port) = of(h) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "{}", SocketAddr::new(ip, port));
                }
            });
        }
        c.written("events", |h, out| write_json_counts(h.events.iter().map(|(name, n)| (name.as_str(), *n)), out));
        c.text("evidence", |h| &h.evidence);
        c.text("statement", |h| &h.statement);
        c.completeness(|h| h.completeness);
    }))
}

fn client(place: &HopPlace) -> (Option<IpAddr>, u16) {
    (place.endpoints.client_ip, place.endpoints.client_port)
}

fn server(place: &HopPlace) -> (Option<IpAddr>, u16) {
    (place.endpoints.server_ip, place.endpoints.server_port)
}
