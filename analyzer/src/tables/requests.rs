//! `requests`: request/response sessions.

use super::Table;
use super::columns::{Columns, Making, table, write_json_object};
use super::flows::{container, observer, pid, place};
use super::frame::Frame;
use crate::analysis::{Analysis, name_of};
use polars::prelude::PolarsResult;
use replay::engine::Stored;
use replay::model::{Attributes, Fields, Flow, Request, Side};
use std::ops::{Deref, Range};

pub(super) const TABLE: Table = Table {
    name: "requests",
    command: "requests",
    about: "Requests with their responses: what was asked, the answer, times, sizes; one row per observation point",
    brief: &[
        "request_id",
        "request_ts",
        "l7_protocol",
        "request_type",
        "request_resource",
        "response_code",
        "response_status",
        "duration_ns",
        "side",
        "process",
        "client_ip",
        "server_ip",
        "server_port",
    ],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    of(a, &a.replayed.requests)
}

/// The table of some of the rows.
pub(super) fn of(a: &Analysis, rows: &[Request]) -> PolarsResult<Frame> {
    Ok(table(rows, |c| columns(a, c)))
}

/// The same of rows that are packed: their texts go from there into the columns.
pub(super) fn of_packed(a: &Analysis, stored: &Stored, ids: Range<usize>) -> Frame {
    let mut making = Making::new(ids.len());
    stored.packed_requests(ids, |rows| making.add(rows, |c| columns(a, c)));
    making.finish()
}

fn columns<'a, F, T, A>(a: &'a Analysis, c: &mut Columns<'a, Request<F>>)
where
    F: Deref<Target = Fields<T, A>>,
    T: Deref<Target = str> + 'a,
    A: Attributes + 'a,
{
    let flow = |r: &Request<F>| -> Option<&Flow> { a.replayed.flows.get(usize::try_from(r.flow_id).ok()?) };
    c.int("request_id", |r| r.request_id);
    c.int("flow_id", |r| r.flow_id);
    c.int("exchange_id", |r| a.replayed.exchanges.get(r.request_id as usize).copied().unwrap_or(r.request_id));
    c.text("observed_at", |r| place(&r.observed_at));
    c.text("interface", |r| a.interface(&r.observed_at).map_or("", |i| &i.name));
    c.opt("observer_pid", |r| observer(&r.observed_at));
    c.text("side", |r| match r.side {
        Some(Side::Client) => "client",
        Some(Side::Server) => "server",
        None => "",
    });
    c.text("node", |r| a.node_of_flow(r.flow_id));
    c.nonzero("netns", |r| r.netns);
    c.text("l7_protocol", |r| r.fields.l7_protocol);
    c.text("version", |r| r.fields.version);
    c.text("request_type", |r| &r.fields.request_type);
    c.text("request_domain", |r| &r.fields.request_domain);
    c.text("request_resource", |r| &r.fields.request_resource);
    c.text("endpoint", |r| &r.fields.endpoint);
    c.opt("session_id", |r| r.fields.session_id);
    c.text("response_status", |r| r.fields.status.name());
    c.opt("response_code", |r| r.fields.code);
    c.text("response_exception", |r| &r.fields.exception);
    c.text("response_result", |r| &r.fields.result);
    c.opt_time("request_ts", |r| r.request_ts);
    c.opt_time("request_end_ts", |r| r.request_end_ts);
    c.opt_time("first_byte_ts", |r| r.first_byte_ts);
    c.opt_time("response_ts", |r| r.response_ts);
    c.opt("duration_ns", |r| r.duration_ns());
    c.opt("first_byte_ns", |r| Some(r.first_byte_ts?.saturating_sub(r.request_ts?)).filter(|ns| *ns >= 0));
    c.int("request_bytes", |r| r.request_bytes);
    c.int("response_bytes", |r| r.response_bytes);
    c.flag("is_tls", |r| r.is_tls);
    c.flag("is_async", |r| r.fields.is_async);
    c.text("trace_id", |r| &r.fields.trace_id);
    c.text("span_id", |r| &r.fields.span_id);
    c.text("parent_span_id", |r| &r.fields.parent_span_id);
    c.text("x_request_id", |r| &r.fields.x_request_id);
    c.text("user_agent", |r| &r.fields.user_agent);
    c.opt("affected_rows", |r| r.fields.affected_rows);
    c.opt("pid", |r| pid(&r.process));
    c.opt("tid", |r| r.request_point.or(r.response_point).map(|p| p.tid).filter(|t| *t != 0));
    // No recorder tells goroutines apart yet.
    c.opt("goroutine", |_| None::<u64>);
    c.text("process", |r| name_of(r.process.as_ref()));
    c.text("container", |r| container(&r.process));
    c.text("client_process", |r| name_of(flow(r).and_then(|f| f.client_process.as_ref())));
    c.text("server_process", |r| name_of(flow(r).and_then(|f| f.server_process.as_ref())));
    c.written("transport", |r, out| out.push_str(&r.transport.name()));
    c.ip("client_ip", |r| r.endpoints.client_ip);
    c.opt("client_port", |r| r.endpoints.client_ip.map(|_| r.endpoints.client_port));
    c.ip("server_ip", |r| r.endpoints.server_ip);
    c.opt("server_port", |r| r.endpoints.server_ip.map(|_| r.endpoints.server_port));
    c.opt("request_tcp_seq", |r| r.request_tcp_seq);
    c.opt("response_tcp_seq", |r| r.response_tcp_seq);
    c.written("attributes", |r, out| {
        write_json_object(r.fields.attributes.pairs().map(|(name, value)| -> (&str, &str) { (name, value) }), out);
    });
    c.completeness(|r| r.completeness);
}
