//! `flows`: L4 flows.

use super::Table;
use super::columns::{Columns, table, write_mac};
use super::frame::Frame;
use crate::analysis::{Analysis, name_of};
use polars::prelude::PolarsResult;
use replay::model::{DelayStats, Flow, ObservedAt, ProcessRef, Side, SideCounters};

pub(super) const TABLE: Table = Table {
    name: "flows",
    command: "flows",
    about: "L4 flows: who, bytes, packets, TCP performance, how they ended; one row per observation point",
    brief: &[
        "flow_id",
        "start",
        "duration_ns",
        "transport",
        "client_ip",
        "client_port",
        "server_ip",
        "server_port",
        "client_process",
        "server_process",
        "client_bytes",
        "server_bytes",
        "rtt_ns",
        "l7_protocol",
        "requests",
        "close_type",
    ],
    build,
};

/// The names of one side's counters, client first.
struct SideNames {
    packets: &'static str,
    bytes: &'static str,
    ip_bytes: &'static str,
    payload_bytes: &'static str,
    stream_bytes: &'static str,
    missed_bytes: &'static str,
    flags: &'static str,
    retransmits: &'static str,
    retransmitted: [&'static str; 2],
    retransmits_rto: &'static str,
    retransmits_fast: &'static str,
    retransmits_spurious: &'static str,
    duplicates: &'static str,
    out_of_order: &'static str,
    zero_window: &'static str,
    duplicate_acks: &'static str,
    keep_alives: &'static str,
    window_full: &'static str,
    zero_window_probes: &'static str,
    ecn: [&'static str; 3],
    initial_window: &'static str,
    initial_flight: &'static str,
    ack_rtt: [&'static str; 5],
    max_in_flight: &'static str,
    mss: &'static str,
    window_scale: &'static str,
    sack_permitted: &'static str,
    bad_checksums: &'static str,
}

macro_rules! side_names {
    ($side:literal) => {
        SideNames {
            packets: concat!($side, "_packets"),
            bytes: concat!($side, "_bytes"),
            ip_bytes: concat!($side, "_ip_bytes"),
            payload_bytes: concat!($side, "_payload_bytes"),
            stream_bytes: concat!($side, "_stream_bytes"),
            missed_bytes: concat!($side, "_missed_bytes"),
            flags: concat!($side, "_flags"),
            retransmits: concat!($side, "_retransmits"),
            retransmitted: [concat!($side, "_retransmitted_bytes"), concat!($side, "_retransmitted_segments")],
            retransmits_rto: concat!($side, "_retransmits_rto"),
            retransmits_fast: concat!($side, "_retransmits_fast"),
            retransmits_spurious: concat!($side, "_retransmits_spurious"),
            duplicates: concat!($side, "_duplicates"),
            out_of_order: concat!($side, "_out_of_order"),
            zero_window: concat!($side, "_zero_window"),
            duplicate_acks: concat!($side, "_duplicate_acks"),
            keep_alives: concat!($side, "_keep_alives"),
            window_full: concat!($side, "_window_full"),
            zero_window_probes: concat!($side, "_zero_window_probes"),
            ecn: [concat!($side, "_ecn_ce"), concat!($side, "_ecn_ece"), concat!($side, "_ecn_cwr")],
            initial_window: concat!($side, "_initial_window_bytes"),
            initial_flight: concat!($side, "_initial_flight_bytes"),
            ack_rtt: [
                concat!($side, "_ack_rtt_count"),
                concat!($side, "_ack_rtt_max_ns"),
                concat!($side, "_ack_rtt_p50_ns"),
                concat!($side, "_ack_rtt_p95_ns"),
                concat!($side, "_ack_rtt_p99_ns"),
            ],
            max_in_flight: concat!($side, "_max_in_flight_bytes"),
            mss: concat!($side, "_mss_bytes"),
            window_scale: concat!($side, "_window_scale"),
            sack_permitted: concat!($side, "_sack_permitted"),
            bad_checksums: concat!($side, "_bad_checksums"),
        }
    };
}

const SIDES: [SideNames; 2] = [side_names!("client"), side_names!("server")];

/// The names of one delay's statistics.
const DELAYS: [[&str; 6]; 3] = [
    ["srt_count", "srt_sum_ns", "srt_max_ns", "srt_p50_ns", "srt_p95_ns", "srt_p99_ns"],
    ["art_count", "art_sum_ns", "art_max_ns", "art_p50_ns", "art_p95_ns", "art_p99_ns"],
    ["cit_count", "cit_sum_ns", "cit_max_ns", "cit_p50_ns", "cit_p95_ns", "cit_p99_ns"],
];

fn build(a: &Analysis) -> PolarsResult<Frame> {
    of(a, &a.replayed.flows)
}

/// The table of some of the rows.
pub(super) fn of(a: &Analysis, rows: &[Flow]) -> PolarsResult<Frame> {
    Ok(table(rows, |c| {
        c.int("flow_id", |f| f.flow_id);
        c.text("community_id", |f| &f.community_id);
        c.int("conversation_id", |f| a.replayed.conversations.get(f.flow_id as usize).copied().unwrap_or(f.flow_id));
        c.text("observed_at", |f| place(&f.observed_at));
        c.text("node", |f| a.node_name(f.node));
        c.nonzero("netns", |f| f.netns);
        c.text("interface", |f| a.interface(&f.observed_at).map_or("", |i| &i.name));
        c.opt("observer_pid", |f| observer(&f.observed_at));
        c.time("start", |f| f.start);
        c.time("end", |f| f.end);
        c.int("duration_ns", |f| f.end.saturating_sub(f.start));
        c.written("transport", |f, out| out.push_str(&f.transport.name()));
        c.ip("client_ip", |f| f.endpoints.client_ip);
        c.opt("client_port", |f| f.endpoints.client_ip.map(|_| f.endpoints.client_port));
        c.ip("server_ip", |f| f.endpoints.server_ip);
        c.opt("server_port", |f| f.endpoints.server_ip.map(|_| f.endpoints.server_port));
        c.written("client_mac", |f, out| write_mac(f.client_mac, out));
        c.written("server_mac", |f, out| write_mac(f.server_mac, out));
        c.opt("vlan", |f| f.vlan);
        c.text("tunnel", |f| &f.tunnel);
        c.opt("tunnel_id", |f| f.tunnel_id);
        c.ip("tunnel_client_ip", |f| f.tunnel_outer.map(|(client, _)| client));
        c.ip("tunnel_server_ip", |f| f.tunnel_outer.map(|(_, server)| server));
        c.opt("client_pid", |f| pid(&f.client_process));
        c.text("client_process", |f| name_of(f.client_process.as_ref()));
        c.text("client_container", |f| container(&f.client_process));
        c.opt("server_pid", |f| pid(&f.server_process));
        c.text("server_process", |f| name_of(f.server_process.as_ref()));
        c.text("server_container", |f| container(&f.server_process));
        sides(c);
        c.int("syn_count", |f| f.syn_count);
        c.int("syn_ack_count", |f| f.syn_ack_count);
        c.int("fin_count", |f| f.fin_count);
        c.int("rst_count", |f| f.rst_count);
        c.int("syn_retransmits", |f| f.syn_retransmits);
        c.int("syn_ack_retransmits", |f| f.syn_ack_retransmits);
        c.opt("rtt_ns", |f| f.rtt_ns);
        c.opt("rtt_client_ns", |f| f.rtt_client_ns);
        c.opt("rtt_server_ns", |f| f.rtt_server_ns);
        c.opt("tls_rtt_ns", |f| f.tls_rtt_ns);
        let delays: [fn(&Flow) -> &DelayStats; 3] = [|f| &f.srt, |f| &f.art, |f| &f.cit];
        for (names, delay) in DELAYS.into_iter().zip(delays) {
            // No sample: no percentile, but a count and a sum of 0.
            let known = move |f: &Flow, value: u64| Some(value).filter(|_| delay(f).count > 0);
            c.int(names[0], move |f| delay(f).count);
            c.int(names[1], move |f| delay(f).sum_ns);
            c.opt(names[2], move |f| known(f, delay(f).max_ns));
            c.opt(names[3], move |f| known(f, delay(f).p50_ns));
            c.opt(names[4], move |f| known(f, delay(f).p95_ns));
            c.opt(names[5], move |f| known(f, delay(f).p99_ns));
        }
        c.int("icmp_errors", |f| f.icmp_errors.as_ref().map_or(0, |e| e.count));
        c.text("icmp_error", |f| f.icmp_errors.as_ref().map_or("", |e| e.name()));
        c.opt_time("icmp_error_ts", |f| f.icmp_errors.as_ref().map(|e| e.ts));
        c.ip("icmp_error_from", |f| f.icmp_errors.as_ref().map(|e| e.from));
        c.text("icmp_error_of", |f| {
            f.icmp_errors.as_ref().map_or("", |e| if e.side == Side::Client { "client" } else { "server" })
        });
        c.opt("icmp_error_mtu_bytes", |f| f.icmp_errors.as_ref().and_then(|e| e.mtu));
        c.text("close_type", |f| f.close_type);
        c.text("conn_state", |f| f.conn_state);
        c.text("history", |f| &f.history);
        c.text("l7_protocol", |f| f.l7_protocol);
        c.int("requests", |f| f.requests);
        c.int("request_errors", |f| f.request_errors);
        c.int("direction_score", |f| f.direction_score);
        c.completeness(|f| f.completeness);
    }))
}

/// A counter's column and value.
type Counter = (fn(&SideNames) -> &'static str, fn(&SideCounters) -> u64);

/// Counters of both sides, beside each other.
fn sides(c: &mut Columns<'_, Flow>) {
    let of: [fn(&Flow) -> &SideCounters; 2] = [|f| &f.client, |f| &f.server];
    let counters: &[Counter] = &[
        (|n| n.packets, |s| s.packets),
        (|n| n.bytes, |s| s.bytes),
        (|n| n.ip_bytes, |s| s.ip_bytes),
        (|n| n.payload_bytes, |s| s.payload_bytes),
        (|n| n.stream_bytes, |s| s.stream_bytes),
        (|n| n.missed_bytes, |s| s.missed_bytes),
        (|n| n.retransmits, |s| s.retransmits.into()),
        (|n| n.retransmitted[0], |s| s.retransmitted_bytes),
        (|n| n.retransmitted[1], |s| s.retransmitted_segments.into()),
        (|n| n.retransmits_rto, |s| s.retransmits_rto.into()),
        (|n| n.retransmits_fast, |s| s.retransmits_fast.into()),
        (|n| n.retransmits_spurious, |s| s.retransmits_spurious.into()),
        (|n| n.duplicates, |s| s.duplicates.into()),
        (|n| n.out_of_order, |s| s.out_of_order.into()),
        (|n| n.zero_window, |s| s.zero_window.into()),
        (|n| n.duplicate_acks, |s| s.duplicate_acks.into()),
        (|n| n.keep_alives, |s| s.keep_alives.into()),
        (|n| n.window_full, |s| s.window_full.into()),
        (|n| n.zero_window_probes, |s| s.zero_window_probes.into()),
        (|n| n.ecn[0], |s| s.ecn_ce.into()),
        (|n| n.ecn[1], |s| s.ecn_ece.into()),
        (|n| n.ecn[2], |s| s.ecn_cwr.into()),
        (|n| n.initial_flight, |s| s.initial_flight.into()),
        (|n| n.initial_window, |s| s.initial_window.into()),
        (|n| n.max_in_flight, |s| s.max_in_flight.into()),
        (|n| n.mss, |s| s.mss.into()),
        (|n| n.bad_checksums, |s| s.bad_checksums),
    ];
    for (name, value) in counters {
        for (names, side) in SIDES.iter().zip(of) {
            c.int(name(names), move |f| value(side(f)));
        }
    }
    for (names, side) in SIDES.iter().zip(of) {
        let known = move |f: &Flow, value: u64| Some(value).filter(|_| side(f).ack_rtt.count > 0);
        c.int(names.ack_rtt[0], move |f| side(f).ack_rtt.count);
        c.opt(names.ack_rtt[1], move |f| known(f, side(f).ack_rtt.max_ns));
        c.opt(names.ack_rtt[2], move |f| known(f, side(f).ack_rtt.p50_ns));
        c.opt(names.ack_rtt[3], move |f| known(f, side(f).ack_rtt.p95_ns));
        c.opt(names.ack_rtt[4], move |f| known(f, side(f).ack_rtt.p99_ns));
    }
    for (names, side) in SIDES.iter().zip(of) {
        c.opt(names.window_scale, move |f| side(f).window_scale);
        c.flag(names.sack_permitted, move |f| side(f).sack_permitted);
        c.written(names.flags, move |f, out| write_flags(side(f).flags, out));
    }
}

/// Names of the TCP flags from bit 0 on: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR.
pub(super) fn write_flags(flags: u8, out: &mut String) {
    for (bit, letter) in "FSRPAUEC".chars().enumerate() {
        if flags >> bit & 1 == 1 {
            out.push(letter);
        }
    }
}

/// Kind of an observation point.
pub(super) fn place(observed_at: &ObservedAt) -> &'static str {
    match observed_at {
        ObservedAt::Interface(_) => "interface",
        ObservedAt::Process(_) => "process",
    }
}

/// The observing process.
pub(super) fn observer(observed_at: &ObservedAt) -> Option<u32> {
    match observed_at {
        ObservedAt::Interface(_) => None,
        ObservedAt::Process(pid) => Some(*pid),
    }
}

/// Process id, where known.
pub(super) fn pid(process: &Option<ProcessRef>) -> Option<u32> {
    process.as_ref().map(|p| p.pid).filter(|p| *p != 0)
}

/// Container id, where known.
pub(super) fn container(process: &Option<ProcessRef>) -> &str {
    process.as_ref().map_or("", |p| &p.container)
}
