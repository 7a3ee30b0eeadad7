use super::*;
use crate::map::{Services, edges};
use crate::model::*;

/// A TCP flow between 10.0.0.1:40000 and 10.0.0.2:80 as seen at `observed_at`.
pub(crate) fn flow(flow_id: u64, observed_at: ObservedAt) -> Flow {
    Flow {
        flow_id,
        community_id: String::new(),
        observed_at,
        node: 0,
        netns: 1,
        start: 0,
        end: 1_000,
        active_until: 1_000,
        transport: Transport::Tcp,
        endpoints: Endpoints {
            client_ip: Some([10, 0, 0, 1].into()),
            client_port: 40_000,
            server_ip: Some([10, 0, 0, 2].into()),
            server_port: 80,
        },
        client_mac: None,
        server_mac: None,
        vlan: None,
        tunnel: "".into(),
        tunnel_id: None,
        tunnel_outer: None,
        carriers: Vec::new(),
        client_process: None,
        server_process: None,
        client: SideCounters::default(),
        server: SideCounters::default(),
        syn_count: 1,
        syn_ack_count: 1,
        fin_count: 2,
        rst_count: 0,
        syn_retransmits: 0,
        syn_ack_retransmits: 0,
        rtt_ns: None,
        rtt_client_ns: None,
        rtt_server_ns: None,
        tls_rtt_ns: None,
        srt: DelayStats::default(),
        art: DelayStats::default(),
        cit: DelayStats::default(),
        close_type: "finish",
        conn_state: "SF",
        history: String::new(),
        round_trips: None,
        icmp_errors: None,
        l7_protocol: "http",
        requests: 0,
        request_errors: 0,
        direction_score: 100,
        completeness: Completeness::default(),
    }
}

/// A process called `name`.
pub(crate) fn process(pid: u32, name: &str) -> ProcessRef {
    ProcessRef { pid, name: name.into(), container: "".into() }
}

/// A request for `endpoint` at `at` that took `duration` ns (`None`: no answer).
pub(crate) fn request(
    flow: &Flow,
    side: Option<Side>,
    endpoint: &str,
    at: Nanos,
    duration: Option<i64>,
    status: Status,
) -> Request {
    Request {
        request_id: 0,
        flow_id: flow.flow_id,
        observed_at: flow.observed_at.clone(),
        side,
        transport: flow.transport,
        endpoints: flow.endpoints,
        netns: flow.netns,
        session: Session {
            fields: RequestFields { l7_protocol: "http", endpoint: endpoint.into(), status, ..Default::default() }
                .into(),
            request_ts: Some(at),
            request_end_ts: Some(at),
            first_byte_ts: duration.map(|d| at + d),
            response_ts: duration.map(|d| at + d),
            request_bytes: 100,
            response_bytes: 1_000,
            ..Session::default()
        },
        sock: 0,
        process: match side {
            Some(Side::Client) => flow.client_process.clone(),
            Some(Side::Server) => flow.server_process.clone(),
            None => None,
        },
    }
}

#[test]
fn percentiles_are_by_nearest_rank() {
    // 1..=100 shuffled by a step coprime with 100: p-th percentile is p.
    let mut v: Vec<u64> = (0..100).map(|i| i * 37 % 100 + 1).collect();
    let s = delay_stats(&mut v);
    assert_eq!((s.p50_ns, s.p95_ns, s.p99_ns, s.max_ns), (50, 95, 99, 100));
    assert_eq!((s.count, s.sum_ns), (100, 5_050));
    // ceil(0.5 * 5) = 3rd, ceil(0.95 * 5) = 5th.
    let s = delay_stats(&mut [50, 10, 40, 20, 30]);
    assert_eq!((s.p50_ns, s.p95_ns, s.p99_ns, s.max_ns, s.sum_ns), (30, 50, 50, 50, 150));
    let s = delay_stats(&mut [7]);
    assert_eq!((s.p50_ns, s.p95_ns, s.p99_ns, s.max_ns, s.sum_ns, s.count), (7, 7, 7, 7, 7, 1));
    assert_eq!(delay_stats(&mut []), DelayStats::default());
}

#[test]
fn a_request_seen_at_four_places_counts_once_by_its_servers_view() {
    let mut r = Replayed { end: 31_000_000_000, ..Default::default() };
    let mut server = flow(0, ObservedAt::Process(20));
    server.server_process = Some(process(20, "nginx"));
    let mut client = flow(1, ObservedAt::Process(10));
    client.client_process = Some(process(10, "curl"));
    let on_if0 = flow(2, ObservedAt::Interface(0));
    let on_if1 = flow(3, ObservedAt::Interface(1));
    // The same request, each place a little nearer to the server.
    r.requests = vec![
        request(&client, Some(Side::Client), "/a", 1_100_000_000, Some(40_000), Status::Ok),
        request(&on_if0, None, "/a", 1_100_001_000, Some(38_000), Status::Ok),
        request(&on_if1, None, "/a", 1_100_002_000, Some(36_000), Status::Ok),
        request(&server, Some(Side::Server), "/a", 1_100_003_000, Some(30_000), Status::Ok),
    ];
    r.flows = vec![server, client, on_if0, on_if1];
    let services = Services::new(&r);
    let red = red(&r, &services);
    assert_eq!(red.services.len(), 1);
    let s = &red.services[0];
    assert_eq!((&*s.service, s.view, s.counts.requests), ("nginx", View::Server, 1));
    assert_eq!((s.counts.delay.p50_ns, s.start, s.length_ns), (30_000, 0, 31_000_000_000));
    assert_eq!((s.by_client.requests, s.by_client.delay.p50_ns), (1, 40_000));
    assert_eq!((s.by_server.requests, s.by_server.delay.p50_ns), (1, 30_000));
    assert!((s.rate() - 1.0 / 31.0).abs() < 1e-9);
    assert_eq!(red.rows.len(), 1);
    assert_eq!((red.rows[0].start, red.rows[0].length_ns), (1_000_000_000, 1_000_000_000));

    // Without the server's view the client's counts, without both the packets of one interface.
    r.requests.pop();
    let without_server = super::red(&r, &services);
    assert_eq!(
        (without_server.services[0].view, without_server.services[0].counts.delay.p50_ns),
        (View::Client, 40_000)
    );
    r.requests.remove(0);
    let packets = super::red(&r, &services);
    assert_eq!((packets.services[0].view, packets.services[0].counts.requests), (View::Packets, 1));
    assert_eq!(packets.services[0].counts.delay.p50_ns, 38_000, "equal counts: the lowest interface");
}

#[test]
fn rows_are_per_service_endpoint_and_second() {
    let mut r = Replayed { start: 500_000_000, end: 31_500_000_000, ..Default::default() };
    let mut f = flow(0, ObservedAt::Process(20));
    f.server_process = Some(process(20, "app"));
    let s = Some(Side::Server);
    r.requests = vec![
        request(&f, s, "/a", 900_000_000, Some(10), Status::Ok),
        request(&f, s, "/a", 999_999_999, Some(30), Status::ServerError),
        request(&f, s, "/a", 1_000_000_000, Some(20), Status::ClientError),
        request(&f, s, "/b", 1_500_000_000, None, Status::Timeout),
        request(&f, s, "/b", 1_600_000_000, Some(70), Status::Unknown),
        request(&f, s, "/b", 1_700_000_000, Some(80), Status::Ok),
        request(&f, s, "/b", 1_800_000_000, Some(90), Status::Ok),
    ];
    r.flows = vec![f];
    let red = red(&r, &Services::new(&r));
    let rows: Vec<_> = red
        .rows
        .iter()
        .map(|x| (&*x.endpoint, x.start / 1_000_000_000, x.counts.requests, x.counts.errors(), x.counts.delay.max_ns))
        .collect();
    assert_eq!(rows, [("/a", 0, 2, 1, 30), ("/a", 1, 1, 1, 20), ("/b", 1, 4, 1, 90)]);
    let endpoints: Vec<_> = red.endpoints.iter().map(|x| (&*x.endpoint, x.counts.requests)).collect();
    assert_eq!(endpoints, [("/b", 4), ("/a", 3)]);
    let total = &red.services[0].counts;
    assert_eq!((total.requests, total.client_errors, total.server_errors, total.timeouts), (7, 1, 1, 1));
    // Delays 10 20 30 70 80 90: ceil(0.5 * 6) = 3rd.
    assert_eq!((total.delay.count, total.delay.p50_ns, total.delay.p95_ns), (6, 30, 90));
    assert_eq!((total.request_bytes, total.response_bytes), (700, 7_000));
    let per_second: Vec<_> = red.service_rows.iter().map(|x| (x.start, x.counts.requests)).collect();
    assert_eq!(per_second, [(0, 2), (1_000_000_000, 5)]);
    assert!((total.error_ratio() - 3.0 / 7.0).abs() < 1e-9);
}

#[test]
fn buckets_grow_with_the_recording() {
    const S: u64 = 1_000_000_000;
    assert_eq!(bucket_ns(0), S / 10);
    assert_eq!(bucket_ns(30 * S), S / 10);
    assert_eq!(bucket_ns(30 * S + 1), S);
    assert_eq!(bucket_ns(600 * S - 1), S);
    assert_eq!(bucket_ns(600 * S), 10 * S);
    assert_eq!(bucket_ns(7_200 * S), 60 * S);
}

#[test]
fn times_before_the_epoch_and_requests_without_a_flow_do_no_harm() {
    let mut r = Replayed::default();
    let f = flow(7, ObservedAt::Interface(3));
    r.requests = vec![request(&f, None, "/", -1, None, Status::Ok)];
    let services = Services::new(&r);
    assert!(red(&r, &services).rows.is_empty(), "flow 7 does not exist");
    assert!(edges(&r, &services).is_empty());
    r.flows = vec![flow(0, ObservedAt::Interface(3))];
    r.requests[0].flow_id = 0;
    let services = Services::new(&r);
    assert_eq!(red(&r, &services).rows[0].start, -100_000_000);
}
