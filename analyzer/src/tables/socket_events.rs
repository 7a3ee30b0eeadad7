//! `socket_events`: what happened to sockets inside the kernel.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;

pub(super) const TABLE: Table = Table {
    name: "socket_events",
    command: "socket-events",
    about: "The kernel's own word on sockets: state changes, retransmissions, resets, dropped packets with reasons",
    brief: &[
        "ts",
        "event",
        "transport",
        "local_ip",
        "local_port",
        "remote_ip",
        "remote_port",
        "old_state",
        "new_state",
        "reason",
        "location",
        "bytes",
        "flow_id",
    ],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(&a.replayed.socket_events, |c| {
        c.time("ts", |e| e.ts);
        c.text("event", |e| e.event);
        c.written("transport", |e, out| out.push_str(&e.transport.name()));
        c.ip("local_ip", |e| e.local_ip);
        c.nonzero("local_port", |e| e.local_port);
        c.ip("remote_ip", |e| e.remote_ip);
        c.nonzero("remote_port", |e| e.remote_port);
        c.text("old_state", |e| e.old_state);
        c.text("new_state", |e| e.new_state);
        c.text("reason", |e| &e.reason);
        c.text("location", |e| &e.location);
        c.int("bytes", |e| e.len);
        c.nonzero("pid", |e| e.pid);
        c.text("node", |e| a.node_name(e.node));
        c.nonzero("netns", |e| e.netns);
        c.opt("flow_id", |e| e.flow_id);
    }))
}
