//! Flows: the list, and the network profiles that the page holds.

use super::columns::{Builder, Kind, MOST_ROWS, Strings, Table};
use crate::analysis::{Analysis, name_of};
use replay::model::{Flow, SocketEvent, Transport};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

/// Profiles in the page.
const MOST_PROFILES: usize = 300;
/// Segments of all profiles together.
const MOST_SEGMENTS: usize = 20_000;
/// Kernel events shown with one profile.
const MOST_EVENTS: usize = 200;

/// Life of one flow: columns of equal length.
#[derive(Debug, Serialize)]
pub(super) struct Profile {
    flow: u64,
    /// ns from the start of the recording.
    start: i64,
    duration: i64,
    title: i64,
    segment: Vec<&'static str>,
    exchange: Vec<u32>,
    /// ns from the start of the flow.
    at: Vec<i64>,
    length: Vec<u64>,
    bytes: Vec<u64>,
    retransmissions: Vec<u32>,
    /// What the kernel said about the socket: (ns from the start of the flow, event, reason).
    events: Vec<(i64, &'static str, i64)>,
}

/// `10.0.0.1:80`, `[fd00::1]:80`, or nothing.
pub(crate) fn address(ip: Option<IpAddr>, port: u16) -> String {
    match ip {
        Some(ip) if port == 0 => ip.to_string(),
        Some(ip) => std::net::SocketAddr::new(ip, port).to_string(),
        None => String::new(),
    }
}

/// An end of a flow as people read it: process and address.
pub(crate) fn end_name(process: &str, ip: Option<IpAddr>, port: u16) -> String {
    let address = address(ip, port);
    match (process.is_empty(), address.is_empty()) {
        (true, _) => address,
        (_, true) => process.to_owned(),
        _ => format!("{process} {address}"),
    }
}

/// Client and server. ICMP has no ports: what stands for them is its type.
fn names(flow: &Flow) -> [String; 2] {
    let e = &flow.endpoints;
    let port = |port| if matches!(flow.transport, Transport::Icmp | Transport::Icmp6) { 0 } else { port };
    [
        end_name(name_of(flow.client_process.as_ref()), e.client_ip, port(e.client_port)),
        end_name(name_of(flow.server_process.as_ref()), e.server_ip, port(e.server_port)),
    ]
}

/// `nginx 10.0.0.1:40000 -> gunicorn 10.0.0.2:8000`.
pub(crate) fn title(flow: &Flow) -> String {
    names(flow).join(" \u{2192} ")
}

/// Retransmissions, resets and other trouble of a flow.
fn trouble(flow: &Flow) -> u64 {
    let sides = [&flow.client, &flow.server];
    replay::map::retransmissions(flow)
        + u64::from(flow.rst_count)
        + u64::from(replay::map::is_failed(flow))
        + sides.iter().map(|s| u64::from(s.zero_window)).sum::<u64>()
}

/// Flows with trouble first, most of it first; then those that carried most.
pub(crate) fn ranked(analysis: &Analysis) -> Vec<&Flow> {
    analysis.ranked().iter().filter_map(|&i| analysis.replayed.flows.get(i)).collect()
}

/// The places of flows in that order.
pub(crate) fn rank(flows: &[Flow]) -> Vec<usize> {
    let bytes = |f: &Flow| f.client.payload_bytes.saturating_add(f.server.payload_bytes);
    let mut out: Vec<_> = flows.iter().enumerate().map(|(i, f)| (Reverse((trouble(f), bytes(f))), i)).collect();
    out.sort_unstable();
    out.into_iter().map(|(_, i)| i).collect()
}

/// The list of flows.
pub(super) fn table(analysis: &Analysis, ranked: &[&Flow], strings: &mut Strings) -> Table {
    let r = &analysis.replayed;
    let rows = ranked.get(..MOST_ROWS).unwrap_or(ranked);
    let ms = |d: u32, ns: u64| (d > 0).then_some(ns);
    Builder::new(strings, rows, ranked.len())
        .file("tables/flows.parquet", "those with trouble first, then the largest")
        .count("flow_id", "Flow", Kind::Flow, |f| Some(f.flow_id))
        .whole("start", "Start", Kind::Time, |f| Some(f.start.saturating_sub(r.start)))
        .count("duration_ns", "Duration", Kind::Duration, |f| u64::try_from(f.end.saturating_sub(f.start)).ok())
        .text("client_ip", "Client", Kind::Code, |f| {
            let [client, _] = names(f);
            client
        })
        .text("server_ip", "Server", Kind::Code, |f| {
            let [_, server] = names(f);
            server
        })
        .text("l7_protocol", "Protocol", Kind::Text, |f| match f.l7_protocol {
            "" => f.transport.name(),
            name => name.into(),
        })
        .text("observed_at", "Observed at", Kind::Text, |f| {
            let mut out = String::new();
            analysis.write_place(&f.observed_at, &mut out);
            out
        })
        .count("requests", "Requests", Kind::Count, |f| Some(f.requests.into()))
        .count("request_errors", "Errors", Kind::Count, |f| Some(f.request_errors.into()))
        .count("client_bytes", "Sent", Kind::Bytes, |f| Some(f.client.bytes.max(f.client.payload_bytes)))
        .count("server_bytes", "Received", Kind::Bytes, |f| Some(f.server.bytes.max(f.server.payload_bytes)))
        .count("retransmits", "Retrans.", Kind::Count, |f| Some(replay::map::retransmissions(f)))
        .count("zero_window", "Zero win.", Kind::Count, |f| {
            Some(u64::from(f.client.zero_window) + u64::from(f.server.zero_window))
        })
        .count("rtt_ns", "RTT", Kind::Duration, |f| f.rtt_ns)
        .count("srt_p95_ns", "SRT p95", Kind::Duration, |f| ms(f.srt.count, f.srt.p95_ns))
        .count("art_p95_ns", "ART p95", Kind::Duration, |f| ms(f.art.count, f.art.p95_ns))
        .count("cit_p95_ns", "CIT p95", Kind::Duration, |f| ms(f.cit.count, f.cit.p95_ns))
        .text("close_type", "Close", Kind::Badge, |f| f.close_type)
        .text("conn_state", "State", Kind::Code, |f| f.conn_state)
        .text("history", "History", Kind::Code, |f| f.history.as_str())
        .text("completeness", "Completeness", Kind::Badge, |f| f.completeness.to_string())
        .done()
}

/// Kernel events of each flow.
pub(crate) fn events_by_flow(events: &[SocketEvent]) -> HashMap<u64, Vec<&SocketEvent>> {
    let mut out: HashMap<u64, Vec<&SocketEvent>> = HashMap::new();
    for event in events.iter().filter(|e| e.event != "state") {
        if let Some(id) = event.flow_id {
            let list = out.entry(id).or_default();
            if list.len() < MOST_EVENTS {
                list.push(event);
            }
        }
    }
    out
}

/// Profiles of the flows that matter most.
pub(super) fn profiles(analysis: &Analysis, ranked: &[&Flow], strings: &mut Strings) -> Vec<Profile> {
    let r = &analysis.replayed;
    let events = events_by_flow(&r.socket_events);
    let mut left = MOST_SEGMENTS;
    let mut out = Vec::new();
    for flow in ranked.iter().take(MOST_ROWS) {
        let segments: Vec<_> = r.profile.of_flow(flow.flow_id).collect();
        if segments.is_empty() || segments.len() > left {
            continue;
        }
        left -= segments.len();
        out.push(Profile {
            flow: flow.flow_id,
            start: flow.start.saturating_sub(r.start),
            duration: flow.end.saturating_sub(flow.start),
            title: strings.place(&title(flow)),
            segment: segments.iter().map(|s| s.segment).collect(),
            exchange: segments.iter().map(|s| s.exchange).collect(),
            at: segments.iter().map(|s| s.start.saturating_sub(flow.start)).collect(),
            length: segments.iter().map(|s| s.duration_ns).collect(),
            bytes: segments.iter().map(|s| s.bytes).collect(),
            retransmissions: segments.iter().map(|s| s.retransmissions).collect(),
            events: events
                .get(&flow.flow_id)
                .into_iter()
                .flatten()
                .map(|e| (e.ts.saturating_sub(flow.start), e.event, strings.place(&e.reason)))
                .collect(),
        });
        if out.len() == MOST_PROFILES {
            break;
        }
    }
    out
}
