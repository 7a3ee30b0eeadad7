//! A made-up but plausible recording for tests: nginx -> a Python application -> Redis and PostgreSQL.
//!
//! Every value follows from the arguments alone, so what is drawn from it can be compared byte by byte.

mod node;

use formats::manifest::Summary;
use node::{cost, facts, manifest};
use replay::model::*;
use std::net::IpAddr;

const MS: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MS;
/// 2026-11-23 04:32:43 UTC.
const START: Nanos = 1_795_408_363_000_000_000;
/// Length of the recording.
const LENGTH: i64 = 60 * SECOND;

/// A text that would do harm if it were taken as markup.
pub(crate) const HOSTILE: &str =
    "</script><script>alert(1)</script>\"><img src=x onerror=alert(2)>&amp;<!--\u{1b}\u{2028}";

/// Numerical Recipes' linear congruential generator: chance that is the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n.max(1)
    }

    /// Between 0.5 and about 30 times `typical`, mostly near it: the long tail that delays have.
    fn delay(&mut self, typical: i64) -> i64 {
        let slow = self.below(100);
        let spread = typical / 2 + self.below(typical as u64) as i64;
        match slow {
            0 => spread * 30,
            1..6 => spread * 5,
            _ => spread,
        }
    }
}

#[derive(Clone, Copy)]
struct Tier {
    pid: u32,
    name: &'static str,
    protocol: &'static str,
    port: u16,
}

const CLIENT: Tier = Tier { pid: 900, name: "", protocol: "", port: 0 };
const NGINX: Tier = Tier { pid: 1001, name: "nginx", protocol: "http", port: 80 };
const PYTHON: Tier = Tier { pid: 1010, name: "gunicorn", protocol: "http", port: 8000 };
const REDIS: Tier = Tier { pid: 1020, name: "redis-server", protocol: "redis", port: 6379 };
const POSTGRES: Tier = Tier { pid: 1030, name: "postgres", protocol: "postgresql", port: 5432 };

fn process(tier: Tier) -> Option<ProcessRef> {
    (!tier.name.is_empty()).then(|| ProcessRef {
        pid: tier.pid,
        name: tier.name.into(),
        container: if tier.pid == PYTHON.pid { "3f2a9c81d07e".into() } else { "".into() },
    })
}

fn ip(last: u8) -> Option<IpAddr> {
    Some([10, 0, 0, last].into())
}

/// The flows of one connection: at the client process, on the interface, at the server process.
fn connection(out: &mut Vec<Flow>, chance: &mut Chance, client: Tier, server: Tier, number: u32) -> [u64; 3] {
    let start = START + (chance.below(SECOND as u64)) as i64;
    let trouble = number % 7 == 3;
    let mut ids = [0; 3];
    let places = [ObservedAt::Process(client.pid), ObservedAt::Interface(0), ObservedAt::Process(server.pid)];
    for (id, observed_at) in ids.iter_mut().zip(places) {
        *id = out.len() as u64;
        let packets = matches!(observed_at, ObservedAt::Interface(_));
        let side = |bytes: u64| SideCounters {
            packets: if packets { bytes / 700 + 4 } else { 0 },
            bytes: if packets { bytes + 66 * (bytes / 700 + 4) } else { 0 },
            payload_bytes: bytes,
            retransmits: if packets && trouble { 1 + number % 5 } else { 0 },
            ..Default::default()
        };
        out.push(Flow {
            flow_id: *id,
            community_id: format!("1:hO+sN4H+MG5MY/8hIrXPqc4Z{number:03}="),
            observed_at,
            node: 0,
            netns: 4_026_531_840,
            start,
            end: START + LENGTH - 100 * MS + number as i64 % 90 * MS,
            active_until: START + LENGTH - 100 * MS + number as i64 % 90 * MS,
            transport: Transport::Tcp,
            endpoints: Endpoints {
                client_ip: ip(client.pid as u8),
                client_port: 40_000 + (number % 20_000) as u16,
                server_ip: ip(server.pid as u8),
                server_port: server.port,
            },
            client_mac: None,
            server_mac: None,
            vlan: None,
            tunnel: "".into(),
            tunnel_id: None,
            tunnel_outer: None,
            carriers: Vec::new(),
            client_process: process(client),
            server_process: process(server),
            client: side(20_000 + chance.below(200_000)),
            server: side(90_000 + chance.below(2_000_000)),
            syn_count: 1,
            syn_ack_count: 1,
            fin_count: 2,
            rst_count: u32::from(number % 11 == 5),
            syn_retransmits: u32::from(number % 13 == 6),
            syn_ack_retransmits: 0,
            rtt_ns: packets.then(|| 40_000 + chance.below(60_000)),
            rtt_client_ns: packets.then(|| 12_000 + chance.below(20_000)),
            rtt_server_ns: packets.then(|| 20_000 + chance.below(40_000)),
            tls_rtt_ns: None,
            srt: DelayStats {
                count: 9,
                sum_ns: 450_000,
                max_ns: 120_000,
                p50_ns: 45_000,
                p95_ns: 110_000,
                p99_ns: 120_000,
            },
            art: DelayStats {
                count: 9,
                sum_ns: 90_000_000,
                max_ns: 42_000_000,
                p50_ns: 7_100_000,
                p95_ns: 31_000_000,
                p99_ns: 42_000_000,
            },
            cit: DelayStats {
                count: 8,
                sum_ns: 900_000_000,
                max_ns: 420_000_000,
                p50_ns: 71_000_000,
                p95_ns: 310_000_000,
                p99_ns: 420_000_000,
            },
            close_type: if number % 11 == 5 { "server_rst" } else { "finish" },
            conn_state: if number % 11 == 5 { "RSTR" } else { "SF" },
            history: "ShADadFf".into(),
            round_trips: None,
            icmp_errors: None,
            l7_protocol: server.protocol,
            requests: 0,
            request_errors: 0,
            direction_score: 100,
            completeness: Completeness::default(),
        });
    }
    ids
}

/// Life of a connection as the network profile has it: a handshake, then ten exchanges, then the end.
fn profile(flow: &Flow, chance: &mut Chance) -> Vec<ProfileSegment> {
    let mut at = flow.start;
    let mut out = Vec::new();
    let mut add = |segment, exchange, length: i64, bytes, retransmissions| {
        out.push(ProfileSegment {
            flow_id: flow.flow_id,
            request_id: None,
            segment,
            exchange,
            start: at,
            duration_ns: length as u64,
            bytes,
            retransmissions,
        });
        at += length;
    };
    add("connect", 0, 90_000, 0, flow.syn_retransmits);
    for exchange in 0..10 {
        let lost = u32::from(exchange == 4) * flow.client.retransmits;
        if exchange > 0 {
            add("client_wait", exchange, chance.delay(40 * MS), 0, 0);
        }
        add("request_transfer", exchange, chance.delay(200_000), 700, lost);
        add("server_ack", exchange, chance.delay(50_000), 0, 0);
        add("server_response", exchange, chance.delay(9 * MS), 0, 0);
        add("response_transfer", exchange, chance.delay(MS), 14_000, 0);
    }
    add("close", 10, 3 * MS, 0, 0);
    out
}

/// What one observation of a request needs to know beyond its flow.
struct Call<'a> {
    flow: &'a Flow,
    side: Option<Side>,
    at: Nanos,
    length: Option<i64>,
    fields: RequestFields,
    bytes: (u64, u64),
}

fn request(call: Call<'_>) -> Request {
    let end = call.length.map(|d| call.at + d);
    Request {
        request_id: 0,
        flow_id: call.flow.flow_id,
        observed_at: call.flow.observed_at.clone(),
        side: call.side,
        transport: call.flow.transport,
        endpoints: call.flow.endpoints,
        netns: call.flow.netns,
        session: Session {
            fields: call.fields.into(),
            request_ts: Some(call.at),
            request_end_ts: Some(call.at),
            first_byte_ts: end.map(|e| e - 5_000),
            response_ts: end,
            request_bytes: call.bytes.0,
            response_bytes: call.bytes.1,
            ..Session::default()
        },
        sock: 0,
        process: match call.side {
            Some(Side::Client) => call.flow.client_process.clone(),
            Some(Side::Server) => call.flow.server_process.clone(),
            None => None,
        },
    }
}

fn http(kind: u64, n: u32) -> RequestFields {
    let (endpoint, resource, status, code) = match kind {
        0..40 => ("/api/orders", format!("/api/orders?page={n}"), Status::Ok, 200),
        40..70 => ("/api/items", format!("/api/items/{n}"), Status::Ok, 200),
        70..85 => ("/static/app.js", "/static/app.js".to_owned(), Status::Ok, 200),
        85..92 => ("/api/report", format!("/api/report?id={n}"), Status::Ok, 200),
        92..96 => ("/missing", format!("/missing/{n}"), Status::ClientError, 404),
        _ => ("/api/fail", format!("/api/fail?why={HOSTILE}"), Status::ServerError, 500),
    };
    RequestFields {
        l7_protocol: "http",
        version: "1.1",
        request_type: "GET".into(),
        request_domain: "shop.example".into(),
        request_resource: resource.into(),
        endpoint: endpoint.into(),
        status,
        code: Some(code),
        user_agent: "wrk/4.1".into(),
        ..Default::default()
    }
}

fn backend(tier: Tier, n: u32, failed: bool) -> RequestFields {
    let redis = tier.pid == REDIS.pid;
    RequestFields {
        l7_protocol: tier.protocol,
        request_type: if redis { "GET" } else { "SELECT" }.into(),
        request_resource: if redis {
            format!("GET order:{n}")
        } else {
            "SELECT id, total FROM orders WHERE customer = ?".to_owned()
        }
        .into(),
        endpoint: if redis { "order" } else { "orders" }.into(),
        status: if failed { Status::ServerError } else { Status::Ok },
        exception: if failed { "ERROR: deadlock detected" } else { "" }.into(),
        ..Default::default()
    }
}

/// A recording with `requests` requests at nginx (and as many at each tier behind it) over `flows` connections.
#[must_use]
pub(crate) fn recording(requests: u32, flows: u32) -> Replayed {
    let mut chance = Chance(7);
    let mut r = Replayed {
        manifest: Some(manifest()),
        nodes: vec![Node { name: manifest().hostname, ..Node::default() }],
        summary: Some(Summary {
            reason: "duration".into(),
            end_realtime_ns: (START + LENGTH) as u64,
            captured: [
                ("socket_data".to_owned(), 91_234),
                ("packet".to_owned(), 60_120),
                ("stack_sample".to_owned(), 11_880),
            ]
            .into(),
            lost: [("socket_data".to_owned(), 1_234)].into(),
            content_bytes: 41_000_000,
            ..Default::default()
        }),
        cost: Some(cost()),
        start: START,
        end: START + LENGTH,
        packets: 60_120,
        events: [(1, 91_234), (2, 312), (7, 11_880)].into(),
        ..Default::default()
    };
    let tiers = [(CLIENT, NGINX), (NGINX, PYTHON), (PYTHON, REDIS), (PYTHON, POSTGRES)];
    let per_tier = (flows / 12).max(1);
    let mut connections = Vec::new();
    for (client, server) in tiers {
        let all: Vec<_> = (0..per_tier)
            .map(|_| {
                let number = chance.below(5_000) as u32;
                connection(&mut r.flows, &mut chance, client, server, number)
            })
            .collect();
        connections.push(all);
    }
    for n in 0..requests {
        one_request(&mut r, &mut chance, &connections, n, requests);
    }
    for (id, request) in r.requests.iter_mut().enumerate() {
        request.request_id = id as u64;
        if let Some(flow) = r.flows.get_mut(request.flow_id as usize) {
            flow.requests += 1;
            flow.request_errors += u32::from(request.fields.status.is_error());
        }
    }
    r.profile = r
        .flows
        .iter()
        .filter(|f| matches!(f.observed_at, ObservedAt::Interface(_)))
        .flat_map(|f| profile(f, &mut chance))
        .collect();
    r.traces.sort_by_key(|t| t.start);
    r.stacks = stacks(&mut chance);
    facts(&mut r);
    r
}

fn one_request(r: &mut Replayed, chance: &mut Chance, connections: &[Vec<[u64; 3]>], n: u32, of: u32) {
    let pick = |tier: usize, chance: &mut Chance| -> [u64; 3] {
        let all = &connections[tier];
        all[chance.below(all.len() as u64) as usize]
    };
    // A wave of load, and a minute whose middle is slow.
    let share = f64::from(n) / f64::from(of.max(1));
    let at = START
        + ((share + 0.08 * (share * 19.0).sin() * share * (1.0 - share)) * LENGTH as f64 * 0.97) as i64
        + 200 * MS;
    let slow = if (0.55..0.65).contains(&share) { 4 } else { 1 };
    let kind = chance.below(100);
    let fields = http(kind, n);
    let failed = fields.status == Status::ServerError;
    let mixed = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(u64::from(n) + 1);
    let trace_id = TraceId::of(u128::from(mixed) << 64 | u128::from(n));
    let redis = chance.delay(60_000) * slow;
    let sql = chance.delay(1_500_000) * slow;
    let own = chance.delay(2 * MS) * slow;
    let (app, front) = (redis + sql + own, redis + sql + own + chance.delay(200_000));
    let is_static = (70..85).contains(&kind);
    // (tier, start after the root, length, fields, parent, link)
    let mut steps = vec![(0, 0, if is_static { 150_000 } else { front }, fields.clone())];
    if !is_static {
        steps.push((1, 60_000, app, fields));
        steps.push((2, 60_000 + own / 3, redis, backend(REDIS, n, false)));
        steps.push((3, 60_000 + own / 2 + redis, sql, backend(POSTGRES, n, failed)));
    }
    let mut spans: Vec<Span> = Vec::new();
    let (mut errors, mut above) = (0, [SpanId::default(); 3]);
    for (tier, after, length, fields) in steps {
        let ids = pick(tier, chance);
        errors += u32::from(fields.status.is_error());
        let sides = [Some(Side::Client), None, Some(Side::Server)];
        for (place, side) in sides.into_iter().enumerate() {
            if tier == 0 && place == 0 {
                continue;
            }
            let Some(flow) = r.flows.get(ids[place] as usize).cloned() else { continue };
            let inset = place as i64 * 8_000;
            let name = format!("{} {}", fields.request_type, fields.endpoint);
            let bytes = (180 + chance.below(400), 900 + chance.below(30_000));
            let mut q = request(Call {
                flow: &flow,
                side,
                at: at + after + inset,
                length: (chance.below(500) != 0).then_some(length - 2 * inset),
                fields: fields.clone(),
                bytes,
            });
            if chance.below(200) == 0 {
                q.completeness.add(Completeness::TRUNCATED_PAYLOAD);
            }
            let end = q.response_ts.unwrap_or(at + after + length);
            let root = tier == 0 && place == 1;
            let depth_parent = match (tier, place) {
                (0, _) | (1, 0) | (_, 1 | 2) => spans.last().map_or(SpanId::default(), |s| s.span_id),
                _ => above[2],
            };
            let span = Span {
                trace_id,
                span_id: SpanId::of(r.requests.len() as u128 + 1),
                parent_span_id: if root { SpanId::default() } else { depth_parent },
                tap_side: [TapSide::ClientProcess, TapSide::ClientInterface, TapSide::ServerProcess][place],
                service: flow
                    .server_process
                    .as_ref()
                    .filter(|_| place == 2)
                    .or(flow.client_process.as_ref().filter(|_| place == 0))
                    .map_or("eth0".into(), |p| p.name.clone()),
                tid: q.process.as_ref().map_or(0, |p| p.pid),
                request_id: r.requests.len() as u64,
                name: name.into(),
                start: at + after + inset,
                end,
                self_ns: (length / 7) as u64,
                link_method: if root {
                    "root"
                } else if place == 0 {
                    "thread"
                } else {
                    "tcp_seq"
                },
                link_confidence: if place == 0 && tier > 1 { 0.9 } else { 1.0 },
                link_evidence: LinkEvidence::default(),
                completeness: Completeness::default(),
            };
            if place == 2 && tier <= 1 {
                above[2] = span.span_id;
            }
            spans.push(span);
            r.requests.push(q);
        }
    }
    if let Some(root) = spans.first() {
        r.traces.push(Trace {
            trace_id,
            root_span_id: root.span_id,
            root: root.name.clone(),
            service: "nginx".into(),
            start: root.start,
            duration_ns: (root.end - root.start).max(0) as u64,
            spans: spans.len() as u32,
            processes: if is_static { 1 } else { 4 },
            nodes: 1,
            errors,
            weakest_link: 0.9,
        });
    }
    r.spans.append(&mut spans);
}

fn stacks(chance: &mut Chance) -> Vec<Stack> {
    let python = [
        "_start;__libc_start_main;Py_BytesMain;pymain_run_python;_PyEval_EvalFrameDefault;wsgi_app;list_orders;json.dumps;c_make_encoder",
        "_start;__libc_start_main;Py_BytesMain;pymain_run_python;_PyEval_EvalFrameDefault;wsgi_app;list_orders;psycopg2.execute;PQexec;__libc_recv;entry_SYSCALL_64_[k];do_syscall_64_[k];tcp_recvmsg_[k]",
        "_start;__libc_start_main;Py_BytesMain;pymain_run_python;_PyEval_EvalFrameDefault;wsgi_app;report;fibonacci;fibonacci;fibonacci;fibonacci",
        "_start;__libc_start_main;Py_BytesMain;pymain_run_python;_PyEval_EvalFrameDefault;gc_collect_main",
        "_start;__libc_start_main;Py_BytesMain;pymain_run_python;_PyEval_EvalFrameDefault;wsgi_app;render<template>&co;escape",
    ];
    let nginx = [
        "_start;main;ngx_master_process_cycle;ngx_worker_process_cycle;ngx_process_events_and_timers;ngx_epoll_process_events;epoll_wait;entry_SYSCALL_64_[k];do_syscall_64_[k];ep_poll_[k]",
        "_start;main;ngx_master_process_cycle;ngx_worker_process_cycle;ngx_process_events_and_timers;ngx_http_process_request_line;ngx_http_upstream_send_request;writev;entry_SYSCALL_64_[k];do_syscall_64_[k];tcp_sendmsg_[k];tcp_write_xmit_[k];__ip_queue_xmit_[k]",
        "_start;main;ngx_master_process_cycle;ngx_worker_process_cycle;ngx_process_events_and_timers;ngx_http_process_request_line;ngx_http_parse_header_line",
    ];
    let postgres = [
        "_start;main;PostmasterMain;BackendMain;PostgresMain;exec_simple_query;PortalRun;ExecutorRun;ExecSeqScan;heap_getnextslot",
        "_start;main;PostmasterMain;BackendMain;PostgresMain;exec_simple_query;pg_plan_queries;planner;query_planner",
        "_start;main;PostmasterMain;BackendMain;PostgresMain;ReadCommand;secure_read;__libc_recv;entry_SYSCALL_64_[k];do_syscall_64_[k]",
    ];
    let mut out = Vec::new();
    let all: [(&str, u32, &[&str]); 3] =
        [("gunicorn", 1010, &python), ("nginx", 1001, &nginx), ("postgres", 1030, &postgres)];
    for (name, pid, frames) in all {
        for f in frames {
            let samples = 40 + chance.below(1_500);
            out.push(Stack {
                process: name.into(),
                pid,
                thread: name.into(),
                tid: pid,
                kind: "on_cpu",
                reason: "".into(),
                frames: (*f).into(),
                samples,
                value_ns: samples * 10_101_010,
                request_id: None,
                endpoint: "".into(),
            });
        }
    }
    out
}
