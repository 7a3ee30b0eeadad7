//! Flows (or requests, with `--requests`; segments, with `--profile`) of captures as JSON lines: `flows [--deepflow] [--no-parse]
//! [--show-secrets] [--quiet] [--threads N] FILE...`
//! For comparisons with other tools; `analyze flows` is the real thing.

use replay::engine::{Options, TcpMetrics, replay};
use replay::model::{DelayStats, ObservedAt, SideCounters};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// As `analyze` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn delay(d: &DelayStats) -> serde_json::Value {
    json!({"count": d.count, "sum": d.sum_ns, "max": d.max_ns, "p50": d.p50_ns, "p95": d.p95_ns, "p99": d.p99_ns})
}

fn side(c: &SideCounters) -> serde_json::Value {
    json!({
        "packets": c.packets, "bytes": c.bytes, "ip_bytes": c.ip_bytes, "payload": c.payload_bytes, "missed": c.missed_bytes,
        "flags": c.flags, "retransmits": c.retransmits, "resent_bytes": c.retransmitted_bytes, "resent_segments": c.retransmitted_segments, "rto": c.retransmits_rto, "fast": c.retransmits_fast,
        "spurious": c.retransmits_spurious, "out_of_order": c.out_of_order, "zero_window": c.zero_window,
        "duplicate_acks": c.duplicate_acks, "keep_alives": c.keep_alives, "window_scale": c.window_scale, "mss": c.mss,
        "max_in_flight": c.max_in_flight, "ack_rtt": delay(&c.ack_rtt), "window_full": c.window_full,
    })
}

fn main() -> std::process::ExitCode {
    let mut options = Options::default();
    let (mut files, mut what, mut quiet) = (Vec::<PathBuf>::new(), "flows", false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--deepflow" => options.tcp_metrics = TcpMetrics::DeepFlow,
            "--no-parse" => options.parse = false,
            "--show-secrets" => options.parse_options.show_secrets = true,
            "--requests" => what = "requests",
            "--profile" => what = "profile",
            "--quiet" => quiet = true,
            "--threads" => options.threads = args.next().and_then(|n| n.parse().ok()).unwrap_or(0),
            _ => files.push(arg.into()),
        }
    }
    let started = std::time::Instant::now();
    let out = match replay(&files, &options) {
        Ok(out) => out,
        Err(error) => {
            eprintln!("{error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{} packets, {} flows, {} requests, {} segments in {seconds:.3} s: {:.0} packets/s",
        out.packets,
        out.flows.len(),
        out.requests.len(),
        out.profile.iter().count(),
        out.packets as f64 / seconds,
    );
    for h in &out.health {
        eprintln!("health: {} lost {}: {}", h.kind, h.lost, h.cause);
    }
    for i in &out.interfaces {
        if !i.undecoded.is_empty() {
            eprintln!("interface {} (link type {}): {:?}", i.name, i.link_type, i.undecoded);
        }
    }
    if quiet {
        // Rows need not be freed one by one.
        std::mem::forget(out);
        return std::process::ExitCode::SUCCESS;
    }
    let mut to = std::io::BufWriter::new(std::io::stdout().lock());
    let mut line = |value: serde_json::Value| writeln!(to, "{value}").is_ok();
    match what {
        "requests" => {
            for r in &out.requests {
                let (f, e) = (&r.fields, &r.endpoints);
                // Names as in the table.
                let more = line(json!({
                    "request_id": r.request_id, "flow_id": r.flow_id, "l7_protocol": f.l7_protocol, "version": f.version,
                    "request_type": f.request_type, "request_domain": f.request_domain, "request_resource": f.request_resource,
                    "endpoint": f.endpoint, "session_id": f.session_id, "response_status": f.status.name(), "response_code": f.code,
                    "response_exception": f.exception, "response_result": f.result, "request_ts": r.request_ts,
                    "first_byte_ts": r.first_byte_ts, "response_ts": r.response_ts, "duration_ns": r.duration_ns(),
                    "request_bytes": r.request_bytes, "response_bytes": r.response_bytes, "is_tls": r.is_tls, "is_async": f.is_async,
                    "trace_id": f.trace_id, "span_id": f.span_id, "x_request_id": f.x_request_id, "user_agent": f.user_agent,
                    "affected_rows": f.affected_rows, "transport": r.transport.name(), "client_ip": e.client_ip,
                    "client_port": e.client_port, "server_ip": e.server_ip, "server_port": e.server_port,
                    "request_tcp_seq": r.request_tcp_seq, "completeness": r.completeness.to_string(),
                    "attributes": f.attributes.iter().map(|(name, value)| (*name, value)).collect::<Vec<_>>(),
                }));
                if !more {
                    break;
                }
            }
        }
        "profile" => {
            for p in out.profile.iter() {
                let more = line(json!({
                    "flow": p.flow_id, "request": p.request_id, "segment": p.segment, "exchange": p.exchange, "start": p.start,
                    "duration": p.duration_ns, "bytes": p.bytes, "retransmissions": p.retransmissions,
                }));
                if !more {
                    break;
                }
            }
        }
        _ => {
            for f in &out.flows {
                let e = &f.endpoints;
                let more = line(json!({
                    "id": f.flow_id, "community_id": f.community_id, "start": f.start, "end": f.end, "transport": f.transport.name(),
                    "interface": match f.observed_at { ObservedAt::Interface(i) => i, ObservedAt::Process(p) => p },
                    "client_ip": e.client_ip, "client_port": e.client_port, "server_ip": e.server_ip, "server_port": e.server_port,
                    "vlan": f.vlan, "tunnel": &*f.tunnel, "tunnel_id": f.tunnel_id, "tunnel_outer": f.tunnel_outer,
                    "client": side(&f.client), "server": side(&f.server),
                    "syn": f.syn_count, "syn_ack": f.syn_ack_count, "fin": f.fin_count, "rst": f.rst_count,
                    "syn_retransmits": f.syn_retransmits, "syn_ack_retransmits": f.syn_ack_retransmits,
                    "rtt": f.rtt_ns, "rtt_client": f.rtt_client_ns, "rtt_server": f.rtt_server_ns, "tls_rtt": f.tls_rtt_ns,
                    "srt": delay(&f.srt), "art": delay(&f.art), "cit": delay(&f.cit),
                    "close_type": f.close_type, "conn_state": f.conn_state, "history": f.history, "l7": f.l7_protocol,
                    "requests": f.requests, "errors": f.request_errors, "score": f.direction_score,
                    "completeness": f.completeness.to_string(),
                }));
                if !more {
                    break;
                }
            }
        }
    }
    std::process::ExitCode::SUCCESS
}
