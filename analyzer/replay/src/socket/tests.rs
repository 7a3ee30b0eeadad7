use super::build::{Node, OFFSET, get, host, ok, replay};
use super::{Losses, SocketEngine, SocketOptions, shard_key};
use crate::model::{Completeness, ObservedAt, Replayed, Side, Status, Transport};
use crate::order::{shard_hash, shard_of};
use crate::store::Spill;
use proptest::prelude::*;
use std::sync::Arc;

const CURL: (u32, u32) = (10, 10);
const APP: (u32, u32) = (30, 30);

fn names() -> crate::host::Host {
    host(&[(10, "curl"), (30, "app"), (31, "worker"), (20, "dig"), (21, "named")])
}

fn exchange(n: &mut Node) {
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    n.connect(CURL, &c);
    n.accept(APP, &s);
    n.send(CURL, &mut c, APP, &mut s, &get("/x"));
    n.send(APP, &mut s, CURL, &mut c, &ok("hello"));
    n.close(CURL, &c);
    n.close(APP, &s);
}

#[test]
fn both_ends_and_packets_share_a_shard() {
    let mut n = Node::new();
    exchange(&mut n);
    let expected = shard_hash(6, "127.0.0.1".parse().unwrap(), 8000, "127.0.0.1".parse().unwrap(), 40000);
    assert!(n.records.iter().all(|r| shard_key(r) == expected));
    let mut n = Node::new();
    let (mut a, mut b) = n.unix();
    n.send(CURL, &mut a, APP, &mut b, b"hi");
    assert_eq!(shard_key(&n.records[0]), shard_key(&n.records[1]));
    assert_eq!(shard_key(b"short"), 0);
}

#[test]
fn one_exchange_is_two_flows_and_two_requests() {
    let mut n = Node::new();
    exchange(&mut n);
    let out = replay(&n.sorted(), &names());
    assert_eq!(out.flows.len(), 2);
    for flow in &out.flows {
        assert_eq!(flow.transport, Transport::Tcp);
        assert_eq!((flow.endpoints.client_port, flow.endpoints.server_port), (40000, 8000));
        assert_eq!(flow.client.payload_bytes, get("/x").len() as u64);
        assert_eq!(flow.server.payload_bytes, ok("hello").len() as u64);
        assert_eq!((flow.close_type, flow.conn_state, flow.direction_score), ("finish", "SF", 100));
        assert_eq!(flow.completeness, Completeness::default());
        assert_eq!((flow.requests, flow.request_errors, flow.l7_protocol), (1, 0, "http"));
        assert_eq!(flow.client_process.as_ref().unwrap().pid, 10);
        assert_eq!(flow.server_process.as_ref().unwrap().pid, 30);
        assert_eq!(flow.netns, 7);
    }
    assert_eq!(out.requests.len(), 2);
    let sides: Vec<_> = out.requests.iter().map(|r| (r.side, r.observed_at.clone())).collect();
    assert_eq!(sides, [(Some(Side::Client), ObservedAt::Process(10)), (Some(Side::Server), ObservedAt::Process(30))]);
    for request in &out.requests {
        assert_eq!(&*request.fields.request_resource, "/x");
        assert_eq!(request.fields.status, Status::Ok);
        assert_eq!(request.process.as_ref().unwrap().pid, request.request_point.unwrap().pid);
    }
    // The client writes at 1 ms (connect and accept took 1.5 us each) and has the answer after its read returned.
    let client = &out.requests[0];
    assert_eq!(client.request_ts, Some(OFFSET + 1_000_000 + 2 * 1_500));
    assert_eq!(client.response_ts, Some(OFFSET + 1_000_000 + 2 * 1_500 + 3 * 1_300 + 300));
    let server = &out.requests[1];
    assert_eq!(server.request_ts, Some(OFFSET + 1_000_000 + 2 * 1_500 + 1_300 + 300));
    // The server answers at once, and its write returns 300 ns later: the answer was on its way by then.
    assert_eq!(server.response_ts, Some(OFFSET + 1_000_000 + 2 * 1_500 + 2 * 1_300));
}

/// The kernel gives the memory of a closed UNIX socket to the next one. Where its accept was called before the recording began,
/// only the other end's connect tells that it is another socket.
#[test]
fn a_socket_in_the_place_of_a_closed_one_is_another() {
    let mut n = Node::new();
    let (mut a, mut b) = n.unix();
    let (mut b_again, mut a_again) = (b.clone(), a.clone());
    n.connect(CURL, &a);
    n.send(CURL, &mut a, APP, &mut b, &get("/1"));
    n.send(APP, &mut b, CURL, &mut a, &ok("one"));
    n.close(CURL, &a);
    n.close(APP, &b);
    // Now the client has what was the server's, and the server what was the client's.
    n.connect(CURL, &b_again);
    n.send(CURL, &mut b_again, (31, 31), &mut a_again, &get("/2"));
    n.send((31, 31), &mut a_again, CURL, &mut b_again, &ok("two"));
    n.close(CURL, &b_again);
    n.close((31, 31), &a_again);
    let out = replay(&n.sorted(), &names());
    let rows: Vec<_> =
        out.requests.iter().map(|r| (&*r.fields.request_resource, r.side, r.observed_at.clone())).collect();
    let (client, server) = (Some(Side::Client), Some(Side::Server));
    assert_eq!(
        rows,
        [
            ("/1", client, ObservedAt::Process(10)),
            ("/1", server, ObservedAt::Process(30)),
            ("/2", client, ObservedAt::Process(10)),
            ("/2", server, ObservedAt::Process(31)),
        ]
    );
    assert_eq!(out.flows.len(), 4);
    assert!(
        out.flows
            .iter()
            .all(|f| (f.client.payload_bytes, f.server.payload_bytes)
                == (get("/1").len() as u64, ok("one").len() as u64))
    );
}

#[test]
fn a_process_that_inherits_the_socket_goes_on_with_the_conversation() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    n.connect(CURL, &c);
    // The master accepts and gives the socket to its child.
    n.accept(APP, &s);
    n.close(APP, &s);
    n.wait(3_000_000_000);
    n.send(CURL, &mut c, (31, 31), &mut s, &get("/x"));
    n.send((31, 31), &mut s, CURL, &mut c, &ok(""));
    n.close((31, 31), &s);
    let out = replay(&n.sorted(), &names());
    let served: Vec<_> = out.flows.iter().filter(|f| f.observed_at != ObservedAt::Process(10)).collect();
    assert_eq!(served.len(), 1);
    assert_eq!(served[0].observed_at, ObservedAt::Process(31));
    assert_eq!(served[0].completeness, Completeness::default());
    let request = out.requests.iter().find(|r| r.side == Some(Side::Server)).unwrap();
    assert_eq!(request.process.as_ref().map(|p| &*p.name), Some("worker"));
}

#[test]
fn a_lost_record_is_a_gap_and_the_rest_is_right() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    n.connect(CURL, &c);
    n.accept(APP, &s);
    for i in 0..3 {
        n.write(CURL, &mut c, &get(&format!("/{i}")));
        n.read(APP, &mut s, &get(&format!("/{i}")));
        if i == 1 {
            n.lose();
        }
        n.send(APP, &mut s, CURL, &mut c, &ok(""));
    }
    let out = replay(&n.sorted(), &names());
    let served = out.flows.iter().find(|f| f.observed_at == ObservedAt::Process(30)).unwrap();
    assert!(served.completeness.has(Completeness::GAP));
    assert_eq!(served.client.missed_bytes, get("/1").len() as u64);
    let paths: Vec<_> = out
        .requests
        .iter()
        .filter(|r| r.side == Some(Side::Server) && !r.fields.request_resource.is_empty())
        .map(|r| (&*r.fields.request_resource, r.completeness.has(Completeness::GAP)))
        .collect();
    assert_eq!(paths, [("/0", false), ("/2", false)]);
    let asked = out.requests.iter().filter(|r| r.side == Some(Side::Client)).count();
    assert_eq!(asked, 3);
}

#[test]
fn a_socket_that_is_used_again_is_another_flow() {
    let mut n = Node::new();
    let (mut c, _) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    n.connect(CURL, &c);
    n.write(CURL, &mut c, &get("/one"));
    n.read(CURL, &mut c, &ok(""));
    n.close(CURL, &c);
    // The kernel gives the same memory to the next socket.
    let (mut d, _) = n.tcp("127.0.0.1:40001", "127.0.0.1:8000");
    d.data.sock = c.data.sock;
    n.connect(CURL, &d);
    n.write(CURL, &mut d, &get("/two"));
    n.read(CURL, &mut d, &ok(""));
    n.close(CURL, &d);
    // And again, with the opening lost: the address tells.
    let (mut e, _) = n.tcp("127.0.0.1:40002", "127.0.0.1:8000");
    e.data.sock = c.data.sock;
    n.write(CURL, &mut e, &get("/three"));
    n.read(CURL, &mut e, &ok(""));
    let out = replay(&n.sorted(), &names());
    let rows: Vec<_> = out.flows.iter().map(|f| (f.endpoints.client_port, f.requests, f.completeness)).collect();
    let mut open = Completeness::STARTED_BEFORE;
    open.add(Completeness::ENDED_AFTER);
    assert_eq!(rows, [(40000, 1, Completeness::default()), (40001, 1, Completeness::default()), (40002, 1, open)]);
    let paths: Vec<_> = out.requests.iter().map(|r| &*r.fields.request_resource).collect();
    assert_eq!(paths, ["/one", "/two", "/three"]);
}

/// A socket that both sides have shut down has no port any more when it is closed.
#[test]
fn a_close_without_a_port_finds_its_flow() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    n.connect(CURL, &c);
    n.accept(APP, &s);
    n.send(CURL, &mut c, APP, &mut s, &get("/x"));
    n.send(APP, &mut s, CURL, &mut c, &ok(""));
    n.close(CURL, &c);
    s.data.local_port = 0;
    n.close(APP, &s);
    let out = replay(&n.sorted(), &names());
    let rows: Vec<_> = out.flows.iter().map(|f| (f.close_type, f.conn_state, f.completeness)).collect();
    assert_eq!(rows, [("finish", "SF", Completeness::default()); 2]);
}

#[test]
fn a_refused_connection_is_a_flow_without_bytes() {
    let mut n = Node::new();
    let (c, _) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    n.connect_fails(CURL, &c, -111);
    n.close(CURL, &c);
    let out = replay(&n.sorted(), &names());
    assert_eq!(out.flows.len(), 1);
    let flow = &out.flows[0];
    assert_eq!(
        (flow.close_type, flow.conn_state, &*flow.history),
        ("server_direct_rst", "REJ", "connect:ECONNREFUSED")
    );
    assert_eq!(flow.client.payload_bytes, 0);
    assert_eq!(flow.completeness, Completeness::default());
}

#[test]
fn bytes_without_payload_are_a_body() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    n.send(CURL, &mut c, APP, &mut s, &get("/file"));
    let mut head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".to_vec();
    n.write(APP, &mut s, &head);
    n.limit = 0;
    n.write(APP, &mut s, &[0; 100_000]);
    n.limit = 64;
    head.extend_from_slice(&[0; 50_000]);
    n.read(CURL, &mut c, &head);
    n.read(CURL, &mut c, &[0; 50_000]);
    n.limit = 512;
    n.send(CURL, &mut c, APP, &mut s, &get("/next"));
    n.send(APP, &mut s, CURL, &mut c, &ok(""));
    let out = replay(&n.sorted(), &names());
    assert_eq!(out.requests.len(), 4);
    for request in &out.requests {
        let body = if &*request.fields.request_resource == "/file" { 100_000 + 43 } else { 38 };
        assert_eq!(request.response_bytes, body, "{:?}", request.side);
        assert_eq!(request.fields.code, Some(200));
    }
}

/// Two requests in one call, a body of 5,000 bytes between them that was not kept.
#[test]
fn what_lies_behind_the_prefix() {
    let mut sent = b"POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n".to_vec();
    let head = sent.len();
    sent.extend_from_slice(&[b'x'; 5000]);
    let second = u32::try_from(sent.len()).unwrap();
    sent.extend_from_slice(&get("/second"));
    let rows = |pieces: Vec<(u32, Vec<u8>)>| {
        let mut n = Node::new();
        let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
        n.connect(CURL, &c);
        n.limit = head;
        n.pieces = pieces;
        n.write(CURL, &mut c, &sent);
        n.limit = 512;
        n.pieces.clear();
        n.read(CURL, &mut c, &ok("one"));
        n.read(CURL, &mut c, &ok("two"));
        // The other end saw nothing.
        let _ = &mut s;
        let out = replay(&n.sorted(), &names());
        assert_eq!(out.flows[0].client.payload_bytes, sent.len() as u64);
        let mut rows: Vec<_> = out.requests.iter().map(|r| r.fields.request_resource.to_string()).collect();
        rows.retain(|r| !r.is_empty());
        rows
    };
    let request = get("/second");
    let (a, b) = request.split_at(7);
    let both = ["/first", "/second"];
    assert_eq!(rows(vec![(second, request.clone())]), both);
    assert_eq!(rows(vec![(second, a.to_vec()), (second + 7, b.to_vec())]), both);
    // A piece that goes on where the prefix ends is no gap, and what of the body is there does no harm.
    assert_eq!(rows(vec![(u32::try_from(head).unwrap(), vec![b'x'; 100]), (second, request.clone())]), both);
    assert_eq!(rows(vec![]), ["/first"]);
    // Damage: into the prefix, behind the call's end, back again. What comes before it counts.
    for bad in [(0, request.clone()), (second + 1, request.clone()), (u32::MAX, request.clone())] {
        assert_eq!(rows(vec![bad]), ["/first"]);
    }
    assert_eq!(rows(vec![(second, request.clone()), (second, request)]), both);
}

#[test]
fn a_peeked_payload_is_not_read_twice() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    n.write(CURL, &mut c, &get("/x"));
    let mut peeked = s.clone();
    n.read(APP, &mut peeked, &get("/x"));
    let last = n.records.last_mut().unwrap();
    let flags = 24 + 8 * 4 + 4 * 3;
    last[flags] |= u8::try_from(formats::event::data_flag::PEEK).unwrap();
    n.read(APP, &mut s, &get("/x"));
    n.send(APP, &mut s, CURL, &mut c, &ok(""));
    let out = replay(&n.sorted(), &names());
    assert_eq!(out.requests.len(), 2);
    assert_eq!(out.flows.iter().map(|f| f.client.payload_bytes).max(), Some(get("/x").len() as u64));
}

/// `A? example.com`, and an answer 192.0.2.1.
fn dns(id: u16, answer: bool) -> Vec<u8> {
    let mut m = id.to_be_bytes().to_vec();
    m.extend_from_slice(if answer { &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0] } else { &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0] });
    m.extend_from_slice(b"\x07example\x03com\x00\x00\x01\x00\x01");
    if answer {
        m.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    }
    m
}

#[test]
fn datagrams_are_a_conversation_per_remote_end() {
    let (dig, named) = ((20, 20), (21, 21));
    let mut n = Node::new();
    let (mut c, mut s) = n.udp("10.0.0.2:5353", "10.0.0.1:53");
    let (mut d, _) = n.udp("10.0.0.2:5353", "10.0.0.9:53");
    d.data.sock = c.data.sock;
    // The server's socket is bound to no address.
    s.data.local_addr = [0; 16];
    n.send(dig, &mut c, named, &mut s, &dns(7, false));
    n.write(dig, &mut d, &dns(7, false));
    n.send(named, &mut s, dig, &mut c, &dns(7, true));
    let out = replay(&n.sorted(), &names());
    let flows: Vec<_> = out.flows.iter().map(|f| (f.observed_at.clone(), f.requests)).collect();
    assert_eq!(flows, [(ObservedAt::Process(20), 1), (ObservedAt::Process(21), 1), (ObservedAt::Process(20), 1)]);
    let methods: Vec<_> = out.spans.iter().map(|s| s.link_method).filter(|m| *m != "root").collect();
    assert_eq!(methods, ["datagram"]);
    assert!(out.flows.iter().all(|f| f.endpoints.server_port == 53 && f.l7_protocol == "dns"));
}

#[test]
fn losses_mark_what_was_alive() {
    let mut n = Node::new();
    exchange(&mut n);
    let mut out = replay(&n.sorted(), &names());
    let before = Losses::new([(0, OFFSET)]);
    before.mark(0, &mut out.flows, &mut out.requests);
    assert!(out.flows.iter().all(|f| f.completeness == Completeness::default()));
    let during = Losses::new([(OFFSET + 1_004_000, OFFSET + 1_004_001), (0, 5)]);
    during.mark(0, &mut out.flows, &mut out.requests);
    assert!(out.flows.iter().all(|f| f.completeness == Completeness::GAP));
    // The server had not read the request yet.
    let marked: Vec<_> = out.requests.iter().map(|r| (r.side.unwrap(), r.completeness)).collect();
    assert_eq!(marked, [(Side::Client, Completeness::GAP), (Side::Server, Completeness::default())]);
}

/// Flows and requests as text, without what names the process.
fn rows(out: &Replayed) -> Vec<String> {
    let flows = out.flows.iter().map(|f| format!("{f:?}"));
    let requests = out.requests.iter().map(|r| format!("{r:?}"));
    flows.chain(requests).chain(out.spans.iter().map(|s| format!("{s:?}"))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Records of different CPUs may be written out of order, and long calls are recorded late: within the hold-back
    /// that makes no difference.
    #[test]
    fn order_within_the_hold_back_does_not_matter(
        keys in proptest::collection::vec(0u64..20_000_000, 200),
        requests in 1usize..12,
    ) {
        let mut n = Node::new();
        let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
        let (mut r, mut rs) = n.tcp("127.0.0.1:40001", "127.0.0.1:6379");
        n.connect(CURL, &c);
        n.accept(APP, &s);
        for i in 0..requests {
            n.send(CURL, &mut c, APP, &mut s, &get(&format!("/{i}")));
            n.send(APP, &mut r, (31, 31), &mut rs, b"*1\r\n$4\r\nPING\r\n");
            n.send((31, 31), &mut rs, APP, &mut r, b"+PONG\r\n");
            n.send(APP, &mut s, CURL, &mut c, &ok("x"));
            n.wait(3_000_000);
        }
        let sorted = n.sorted();
        let expected = replay(&sorted, &names());
        prop_assert_eq!(expected.requests.len(), requests * 4);
        prop_assert_eq!(expected.traces.len(), requests);
        let mut shuffled: Vec<(u64, Vec<u8>)> = sorted
            .into_iter()
            .zip(keys.iter().cycle())
            .map(|(r, late)| (formats::event::header(&r).unwrap().ts + late, r))
            .collect();
        shuffled.sort_by_key(|s| s.0);
        let shuffled: Vec<_> = shuffled.into_iter().map(|s| s.1).collect();
        prop_assert_eq!(rows(&replay(&shuffled, &names())), rows(&expected));
    }

    /// Any bytes at all.
    #[test]
    fn damaged_records_do_no_harm(
        damage in proptest::collection::vec((0usize..4096, any::<u8>()), 0..40),
        cut in 0usize..200,
    ) {
        let mut n = Node::new();
        exchange(&mut n);
        let mut engine = SocketEngine::new(SocketOptions::default(), Arc::new(Spill::new(usize::MAX)));
        let mut records = n.sorted();
        for (i, (at, byte)) in damage.into_iter().enumerate() {
            let count = records.len();
            let record = &mut records[i % count];
            let len = record.len();
            record[at % len] = byte;
        }
        for (i, record) in records.iter().enumerate() {
            let end = if i % 3 == 0 { record.len().saturating_sub(cut) } else { record.len() };
            let _ = shard_of(shard_key(&record[..end]));
            engine.record(&record[..end], OFFSET);
        }
        let (out, _) = engine.finish(i64::MAX, &names());
        prop_assert!(out.flows.len() <= 16);
    }
}

#[test]
fn what_other_calls_showed_goes_on_where_the_record_ends() {
    let added = |passed, prefix: &[u8], pieces: &[(u32, u32)], shown: &[u8]| {
        let (mut payload, mut pieces) = ([prefix, shown].concat(), pieces.to_vec());
        // The other end moved 4 bytes at a time, of which the third is not known.
        let runs = [(0, &b"0123"[..]), (4, b"4567"), (12, b"cdef"), (16, b"ghij")];
        super::engine::add_known(&runs, passed, &mut payload, &mut pieces);
        (String::from_utf8(payload).unwrap(), pieces)
    };
    // The prefix alone: it goes on until there is a gap.
    assert_eq!(added(2, b"01", &[], b""), ("01234567cdefghij".into(), vec![(12, 4), (16, 4)]));
    // The record's room ended within the third portion, behind two pieces: what they show is not taken again.
    let pieces = [(4, 2), (13, 1)];
    assert_eq!(added(14, b"01", &pieces, b"45d"), ("0145defghij".into(), vec![(4, 2), (13, 1), (14, 2), (16, 4)]));
    // All of it is there.
    assert_eq!(added(20, b"01", &pieces, b"45d"), ("0145d".into(), pieces.to_vec()));
}
