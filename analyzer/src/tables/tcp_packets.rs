//! `tcp_packets`: the packets of chosen TCP flows, with what the analysis says of each.

use super::Table;
use super::columns::table;
use super::flows::write_flags;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::{PolarsError, PolarsResult};
use replay::model::Side;
use replay::tcp_packets::TcpPacket;
use std::fmt::Write;

pub(super) const TABLE: Table = Table {
    name: "tcp_packets",
    command: "tcp-packets",
    about: "Packets of TCP flows (--flow, --filter): relative numbers, window, SACK, retransmissions and other findings",
    brief: &[
        "flow_id",
        "frame",
        "offset_ns",
        "direction",
        "flags",
        "seq",
        "ack",
        "payload_bytes",
        "window_bytes",
        "sack",
        "in_flight_bytes",
        "round_trip_ns",
        "analysis",
    ],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    let all = a.tcp_packets().map_err(|e| PolarsError::ComputeError(e.to_string().into()))?;
    let start = |p: &TcpPacket| {
        let flow = usize::try_from(p.flow_id).ok().and_then(|id| a.replayed.flows.get(id));
        p.ts.saturating_sub(flow.map_or(p.ts, |f| f.start))
    };
    Ok(table(&all.packets, |c| {
        c.int("flow_id", |p| p.flow_id);
        c.written("input", |p, out| {
            if let Some(name) = all.inputs.get(p.input as usize).and_then(|path| path.file_name()) {
                out.push_str(&name.to_string_lossy());
            }
        });
        c.int("frame", |p| p.frame);
        c.time("ts", |p| p.ts);
        c.int("offset_ns", start);
        c.text("direction", |p| match p.sender {
            Side::Client => "to_server",
            Side::Server => "to_client",
        });
        c.written("flags", |p, out| write_flags(p.flags, out));
        c.int("seq", |p| p.seq);
        c.opt("ack", |p| p.ack);
        c.int("payload_bytes", |p| p.payload_bytes);
        c.int("window_bytes", |p| p.window_bytes);
        c.written("sack", |p, out| {
            for (i, (from, to)) in p.sack.iter().enumerate() {
                // Writing to a String cannot fail.
                let _ = write!(out, "{}{from}-{to}", if i > 0 { "," } else { "" });
            }
        });
        c.int("in_flight_bytes", |p| p.in_flight_bytes);
        c.opt("round_trip_ns", |p| p.round_trip_ns);
        c.written("analysis", |p, out| {
            for (i, name) in p.marks.names().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                out.push_str(name);
            }
        });
        c.int("tcp_seq", |p| p.tcp_seq);
        c.opt("tcp_ack", |p| p.ack.map(|_| p.tcp_ack));
    }))
}
