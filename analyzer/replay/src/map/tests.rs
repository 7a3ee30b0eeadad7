use super::*;
use crate::model::*;
use crate::red::tests::{flow, process, request};

#[test]
fn names_found_by_one_observation_serve_all() {
    let mut server = flow(0, ObservedAt::Process(20));
    server.server_process = Some(process(20, "nginx"));
    let mut client = flow(1, ObservedAt::Process(10));
    client.client_process = Some(process(10, "curl"));
    let packets = flow(2, ObservedAt::Interface(0));
    let mut other = flow(3, ObservedAt::Interface(0));
    other.endpoints.client_port = 50_000;
    other.endpoints.server_port = 443;
    let r = Replayed { flows: vec![server, client, packets, other], ..Default::default() };
    let s = Services::new(&r);
    let names: Vec<_> =
        (0..4).map(|i| s.of_flow(i).map(|(c, v)| (s.name(c).to_string(), s.name(v).to_string()))).collect();
    let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
    assert_eq!(names[0], pair("curl", "nginx"));
    assert_eq!(names[1], pair("curl", "nginx"));
    assert_eq!(names[2], pair("curl", "nginx"));
    assert_eq!(names[3], pair("10.0.0.1", "10.0.0.2:443"));
    assert_eq!(s.of_flow(4), None);
}

#[test]
fn loopback_addresses_are_per_network_namespace() {
    let mut a = flow(0, ObservedAt::Process(20));
    a.endpoints.server_ip = Some([127, 0, 0, 1].into());
    a.server_process = Some(process(20, "redis-server"));
    let mut b = a.clone();
    (b.flow_id, b.netns, b.server_process, b.observed_at) = (1, 2, None, ObservedAt::Interface(0));
    let r = Replayed { flows: vec![a, b], ..Default::default() };
    let s = Services::new(&r);
    assert_eq!(&*s.name(s.of_flow(0).unwrap().1), "redis-server");
    assert_eq!(&*s.name(s.of_flow(1).unwrap().1), "127.0.0.1:80");
}

#[test]
fn unix_sockets_and_ipv6_have_names_too() {
    let mut unix = flow(0, ObservedAt::Process(1));
    unix.transport = Transport::Unix;
    unix.endpoints = Endpoints { client_ip: None, client_port: 0, server_ip: None, server_port: 0 };
    let mut six = flow(1, ObservedAt::Interface(0));
    six.endpoints.server_ip = Some("fd00::1".parse().unwrap());
    let r = Replayed { flows: vec![unix, six], ..Default::default() };
    let s = Services::new(&r);
    assert_eq!(&*s.name(s.of_flow(0).unwrap().1), "unix");
    assert_eq!(&*s.name(s.of_flow(1).unwrap().1), "[fd00::1]:80");
}

#[test]
fn an_edge_adds_up_its_flows_and_requests() {
    let mut a = flow(0, ObservedAt::Interface(0));
    a.rtt_ns = Some(100);
    a.client.bytes = 1_000;
    a.server.bytes = 5_000;
    a.client.retransmits = 2;
    a.syn_retransmits = 1;
    (a.start, a.end) = (50, 900);
    let mut b = a.clone();
    (b.flow_id, b.endpoints.client_port, b.rtt_ns, b.start, b.end) = (1, 40_001, Some(300), 10, 70);
    let mut c = a.clone();
    (c.flow_id, c.endpoints.client_port, c.conn_state, c.rst_count, c.rtt_ns) = (2, 40_002, "REJ", 1, None);
    // Never answered, so no protocol was recognised: an edge of its own.
    let mut d = c.clone();
    (d.flow_id, d.l7_protocol) = (3, "");
    let r = Replayed {
        requests: vec![
            request(&a, None, "/a", 60, Some(10), Status::Ok),
            request(&b, None, "/b", 20, Some(30), Status::ServerError),
        ],
        flows: vec![a, b, c, d],
        ..Default::default()
    };
    let edges = edges(&r, &Services::new(&r));
    assert_eq!(edges.len(), 2);
    let e = &edges[1];
    assert_eq!((&*e.client, &*e.server, e.l7_protocol), ("10.0.0.1", "10.0.0.2:80", "http"));
    assert_eq!((e.view, e.interface), (View::Packets, Some(0)));
    assert_eq!((e.connections, e.connection_failures, e.resets), (3, 1, 1));
    assert_eq!((e.client_bytes, e.server_bytes, e.retransmissions), (3_000, 15_000, 9));
    assert_eq!((e.rtt_mean_ns, e.start, e.end), (Some(200), 10, 900));
    assert_eq!((e.counts.requests, e.counts.errors(), e.counts.delay.p50_ns, e.counts.delay.max_ns), (2, 1, 10, 30));
    assert_eq!((edges[0].l7_protocol, edges[0].connections, edges[0].rtt_mean_ns), ("", 1, None));
}

#[test]
fn a_process_sees_retransmissions_through_the_kernels_events() {
    let mut f = flow(0, ObservedAt::Process(10));
    f.client_process = Some(process(10, "curl"));
    f.client.payload_bytes = 77;
    let event = |event| SocketEvent {
        node: 0,
        ts: 0,
        event,
        transport: Transport::Tcp,
        local_ip: None,
        local_port: 0,
        remote_ip: None,
        remote_port: 0,
        old_state: "",
        new_state: "",
        reason: "".into(),
        location: "".into(),
        len: 0,
        seq: None,
        outbound: false,
        pid: 0,
        netns: 0,
        flow_id: Some(0),
    };
    let r = Replayed {
        socket_events: vec![event("retransmit"), event("retransmit"), event("reset_received"), event("state")],
        flows: vec![f],
        ..Default::default()
    };
    let edges = edges(&r, &Services::new(&r));
    assert_eq!((edges[0].view, edges[0].retransmissions, edges[0].resets), (View::Client, 2, 1));
    assert_eq!((edges[0].client_bytes, edges[0].interface), (77, None));
}

#[test]
fn the_requests_tell_which_side_a_flow_was_seen_from() {
    // A server whose process could not be named for the flow.
    let f = flow(0, ObservedAt::Process(20));
    let r = Replayed {
        requests: vec![request(&f, Some(Side::Server), "/", 0, Some(1), Status::Ok)],
        flows: vec![f],
        ..Default::default()
    };
    assert_eq!(edges(&r, &Services::new(&r))[0].view, View::Server);
}

/// One request of 100 ns at four points: 20 in the client's kernel, 50 on the wire, 10 in front of the server, 20 in it.
#[test]
fn an_edge_tells_where_the_time_of_its_requests_went() {
    let points = [
        (ObservedAt::Process(10), TapSide::ClientProcess, 100, 20),
        (ObservedAt::Interface(0), TapSide::ClientNode, 80, 50),
        (ObservedAt::Interface(1), TapSide::ServerInterface, 30, 10),
        (ObservedAt::Process(20), TapSide::ServerProcess, 20, 20),
    ];
    let mut r = Replayed::default();
    for (id, (at, tap_side, duration, self_ns)) in (0u64..).zip(points.clone()) {
        let side = match &at {
            ObservedAt::Process(10) => Some(Side::Client),
            ObservedAt::Process(_) => Some(Side::Server),
            ObservedAt::Interface(_) => None,
        };
        let f = flow(id, at);
        let mut q = request(&f, side, "/", 0, Some(duration), Status::Ok);
        q.request_id = id;
        r.requests.push(q);
        r.flows.push(f);
        r.spans.push(Span {
            trace_id: TraceId::default(),
            span_id: SpanId::default(),
            parent_span_id: SpanId::default(),
            tap_side,
            service: "".into(),
            tid: 0,
            request_id: id,
            name: "".into(),
            start: 0,
            end: duration,
            self_ns,
            link_method: "",
            link_confidence: 1.0,
            link_evidence: LinkEvidence::default(),
            completeness: Completeness::default(),
        });
    }
    let edges = edges(&r, &Services::new(&r));
    let mut legs: Vec<_> = edges.iter().map(|e| (e.tap_side, e.counts.delay.p50_ns, e.beyond.p50_ns)).collect();
    legs.sort();
    let expected: Vec<_> = points.iter().map(|p| (Some(p.1), p.2 as u64, p.3)).collect();
    assert_eq!(legs, expected);
    assert_eq!(edges.iter().map(|e| e.beyond.sum_ns).sum::<u64>(), 100);
}

/// A call's error has letters that mean packets in histories of packets.
#[test]
fn a_connect_that_failed_is_a_failed_connection_whatever_its_error_is_called() {
    let mut flow = crate::red::tests::flow(0, crate::model::ObservedAt::Process(1));
    flow.conn_state = "S0";
    flow.history = "connect:EADDRNOTAVAIL".into();
    assert!(super::is_failed(&flow));
    // Packets: the client's acknowledgement shows that there is a connection, of which one direction was not seen.
    flow.history = "SA".into();
    assert!(!super::is_failed(&flow));
}
