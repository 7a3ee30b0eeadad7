//! Made-up recordings of any size, the same for the same size.

use replay::model::*;
use std::sync::Arc;

/// Start of all recordings: 2026-11-23T04:00:00Z.
pub(crate) const START: Nanos = 1_795_406_400_000_000_000;

/// Numbers that look random (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

const SERVICES: [(&str, &str, u16); 4] = [
    ("nginx", "http", 80),
    ("gunicorn", "http", 8000),
    ("redis-server", "redis", 6379),
    ("postgres", "postgresql", 5432),
];
const CLIENTS: [&str; 4] = ["wrk", "nginx", "gunicorn", "gunicorn"];

fn process(name: &str, pid: u32) -> ProcessRef {
    ProcessRef { pid, name: name.into(), container: "".into() }
}

fn delay(n: &mut Numbers) -> DelayStats {
    let p50_ns = 10_000 + n.below(1_000_000);
    DelayStats { count: 5, sum_ns: p50_ns * 6, max_ns: p50_ns * 3, p50_ns, p95_ns: p50_ns * 2, p99_ns: p50_ns * 3 }
}

fn side(n: &mut Numbers) -> SideCounters {
    let payload_bytes = n.below(100_000);
    let packets = 4 + payload_bytes / 1_400;
    SideCounters {
        packets,
        bytes: payload_bytes + packets * 66,
        ip_bytes: payload_bytes + packets * 52,
        payload_bytes,
        flags: 0x1b,
        retransmits: u32::from(n.below(50) == 0),
        out_of_order: u32::from(n.below(80) == 0),
        window_scale: Some(7),
        mss: 1_460,
        sack_permitted: true,
        max_in_flight: 14_600,
        ..Default::default()
    }
}

/// A recording of `flows` flows, half of them on an interface and half at the servers' processes, with
/// `requests` requests spread over them, one trace for every ten of these.
#[must_use]
pub(crate) fn recording(flows: usize, requests: usize) -> Replayed {
    let mut n = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut out = Replayed {
        nodes: vec![Node { name: "node1".into(), ..Node::default() }],
        manifest: Some(formats::manifest::Manifest {
            hostname: "node1".into(),
            kernel_release: "6.18.0".into(),
            machine: "x86_64".into(),
            os: "Debian GNU/Linux 12".into(),
            recorder: "hindsight-record 0.1.0".into(),
            ..Default::default()
        }),
        start: START,
        end: START + 60_000_000_000,
        packets: 18 * flows as u64,
        interfaces: vec![Interface {
            name: "lo".into(),
            kind: "lo".into(),
            mtu: 65_536,
            link_type: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    for (pid, (name, ..)) in (100..).zip(SERVICES) {
        out.processes.push(Process { pid, ppid: 1, name: name.into(), ..Default::default() });
        for leaf in ["read", "write", "compute", "epoll_wait"] {
            out.stacks.push(Stack {
                process: name.into(),
                pid,
                thread: name.into(),
                tid: pid,
                kind: "on_cpu",
                reason: "".into(),
                frames: format!("_start;main;loop;{leaf}").into(),
                samples: 1 + n.below(100),
                value_ns: 10_000_000,
                request_id: None,
                endpoint: "".into(),
            });
        }
    }
    for i in 0..flows {
        let which = n.below(4) as usize;
        let (server, l7_protocol, port) = SERVICES[which];
        let start = START + (i as i64 * 59_000_000_000) / flows.max(1) as i64;
        let server_process = process(server, 100 + which as u32);
        out.flows.push(Flow {
            flow_id: i as u64,
            community_id: format!("1:{:027}=", n.below(u64::MAX)),
            observed_at: if i % 2 == 0 { ObservedAt::Interface(0) } else { ObservedAt::Process(server_process.pid) },
            node: 0,
            netns: 4_026_531_840,
            start,
            end: start + 500_000_000,
            active_until: start + 500_000_000,
            transport: Transport::Tcp,
            endpoints: Endpoints {
                client_ip: Some([10, 0, (i >> 8) as u8, i as u8].into()),
                client_port: 32_768 + (i % 28_000) as u16,
                server_ip: Some([10, 1, 0, 1].into()),
                server_port: port,
            },
            client_mac: Some([2, 0, 0, 0, 0, 1]),
            server_mac: Some([2, 0, 0, 0, 0, 2]),
            vlan: None,
            tunnel: "".into(),
            tunnel_id: None,
            tunnel_outer: None,
            carriers: Vec::new(),
            client_process: Some(process(CLIENTS[which], 200)),
            server_process: Some(server_process),
            client: side(&mut n),
            server: side(&mut n),
            syn_count: 1,
            syn_ack_count: 1,
            fin_count: 2,
            rst_count: 0,
            syn_retransmits: 0,
            syn_ack_retransmits: 0,
            rtt_ns: Some(20_000 + n.below(50_000)),
            rtt_client_ns: Some(10_000),
            rtt_server_ns: Some(10_000),
            tls_rtt_ns: None,
            srt: delay(&mut n),
            art: delay(&mut n),
            cit: delay(&mut n),
            close_type: "finish",
            conn_state: "SF",
            history: "ShADadFf".into(),
            round_trips: None,
            icmp_errors: None,
            l7_protocol,
            requests: (requests / flows.max(1)) as u32,
            request_errors: 0,
            direction_score: 100,
            completeness: Completeness::default(),
        });
    }
    for i in 0..requests {
        let Some(flow) = out.flows.get(i % flows.max(1)) else { break };
        let at = flow.start + n.below(400_000_000) as i64;
        let duration = 50_000 + n.below(20_000_000) as i64;
        let in_process = matches!(flow.observed_at, ObservedAt::Process(_));
        let failed = n.below(20) == 0;
        let item = n.below(5_000);
        let point = ThreadPoint { pid: 100, tid: 100, enter: at, exit: at + 1_000 };
        out.requests.push(Request {
            request_id: i as u64,
            flow_id: flow.flow_id,
            observed_at: flow.observed_at.clone(),
            side: in_process.then_some(Side::Server),
            transport: flow.transport,
            endpoints: flow.endpoints,
            netns: flow.netns,
            session: Session {
                fields: RequestFields {
                    l7_protocol: flow.l7_protocol,
                    version: "1.1",
                    request_type: "GET".into(),
                    request_domain: "shop.example".into(),
                    request_resource: format!("/api/items/{item}?page={}", n.below(10)).into(),
                    endpoint: format!("/api/{}", ["items", "orders", "users"][item as usize % 3]).into(),
                    status: if failed { Status::ServerError } else { Status::Ok },
                    code: Some(if failed { 500 } else { 200 }),
                    user_agent: "wrk/4.1.0".into(),
                    attributes: vec![("content_type", "application/json".into())],
                    ..Default::default()
                }
                .into(),
                request_ts: Some(at),
                request_end_ts: Some(at),
                first_byte_ts: Some(at + duration - 1_000),
                response_ts: Some(at + duration),
                request_bytes: 120,
                response_bytes: 2_000,
                request_tcp_seq: Some(n.below(1 << 32) as u32),
                response_tcp_seq: Some(n.below(1 << 32) as u32),
                request_point: in_process.then_some(point),
                response_point: in_process.then_some(point),
                ..Session::default()
            },
            sock: 0,
            process: flow.server_process.clone().filter(|_| in_process),
        });
        if i % 10 == 0 {
            let (trace_id, span_id) = (TraceId::of(i as u128 + 1), SpanId::of(i as u128 + 1));
            out.spans.push(Span {
                trace_id,
                span_id,
                parent_span_id: SpanId::default(),
                tap_side: TapSide::ServerProcess,
                service: Arc::from("nginx"),
                tid: 100,
                request_id: i as u64,
                name: "GET /api/items".into(),
                start: at,
                end: at + duration,
                self_ns: duration as u64,
                link_method: "root",
                link_confidence: 1.0,
                link_evidence: LinkEvidence::default(),
                completeness: Completeness::default(),
            });
            out.traces.push(Trace {
                trace_id,
                root_span_id: span_id,
                root: "GET /api/items".into(),
                service: Arc::from("nginx"),
                start: at,
                duration_ns: duration as u64,
                spans: 1,
                processes: 1,
                nodes: 1,
                errors: u32::from(failed),
                weakest_link: 1.0,
            });
        }
    }
    out
}
