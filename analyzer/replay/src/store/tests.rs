//! What is packed comes back the same, in memory and from disk, and damaged bytes are no panic.

use super::code::{Reader, Writer};
use super::{Coded, Log, PackedFields, Rows, Spill, Texts};
use crate::model::{
    Attributes, Completeness, DelayStats, Endpoints, Flow, IcmpErrors, ObservedAt, ProcessRef, Request, RequestFields,
    RoundTrips, RttStretch, Session, Side, SideCounters, Status, ThreadPoint, Transport,
};
use proptest::prelude::*;
use std::fmt::Debug;
use std::sync::Arc;

fn there_and_back<T: for<'a> Coded<'a> + Debug>(value: &T, base: i64) {
    let (mut bytes, mut tail, mut texts) = (Vec::new(), String::new(), Texts::default());
    value.put(&mut Writer { bytes: &mut bytes, tail: &mut tail, texts: &mut texts, base });
    let mut reader = Reader { bytes: &bytes, tail: &tail, texts: &texts, base };
    let back = T::get(&mut reader).expect("reads back");
    assert!(reader.bytes.is_empty() && reader.tail.is_empty());
    assert_eq!(format!("{back:?}"), format!("{value:?}"));
    for cut in 0..bytes.len() {
        let _ = T::get(&mut Reader { bytes: &bytes[..cut], tail: &tail, texts: &texts, base });
    }
    for (cut, _) in tail.char_indices() {
        let _ = T::get(&mut Reader { bytes: &bytes, tail: &tail[..cut], texts: &texts, base });
    }
}

type Row = Request<Box<RequestFields>>;

fn request(n: u64) -> Row {
    let point = ThreadPoint { pid: 7, tid: 8, enter: -1, exit: i64::MAX };
    Request {
        request_id: n,
        flow_id: n / 3,
        observed_at: ObservedAt::Process(4711),
        side: Some(Side::Server),
        transport: Transport::Other(132),
        endpoints: Endpoints {
            client_ip: Some("10.1.2.3".parse().unwrap()),
            client_port: 65_535,
            server_ip: Some("2001:db8::1".parse().unwrap()),
            server_port: 0,
        },
        netns: u32::MAX,
        session: Session {
            fields: Box::new(RequestFields {
                l7_protocol: "http",
                version: "1.1",
                request_resource: "/é?".repeat(n as usize % 50).into(),
                code: Some(-5),
                session_id: Some(u64::MAX),
                status: Status::Timeout,
                attributes: vec![("a", "1".into()), ("", "".into())],
                ..RequestFields::default()
            }),
            request_ts: Some(1_795_408_363_123_456_789),
            response_ts: None,
            first_byte_ts: Some(i64::MIN),
            request_bytes: u64::MAX,
            request_tcp_seq: Some(u32::MAX),
            request_point: Some(point),
            is_tls: true,
            completeness: Completeness::GAP,
            ..Session::default()
        },
        sock: 1 << 63,
        process: Some(ProcessRef { pid: 7, name: Arc::from("nginx"), container: Arc::from("") }),
    }
}

#[test]
fn requests_come_back() {
    there_and_back(&request(17), 1_795_408_363_000_000_000);
    there_and_back(&request(0), i64::MIN);
}

#[test]
fn flows_come_back() {
    let delay = DelayStats { count: 1, sum_ns: 2, max_ns: u64::MAX, p50_ns: 4, p95_ns: 5, p99_ns: 6 };
    let flow = Flow {
        flow_id: 3,
        community_id: "1:7ZhQSud9D8YGcE//fM9wM4/3mq8=".into(),
        observed_at: ObservedAt::Interface(2),
        node: 0,
        netns: 1,
        start: 5,
        end: i64::MAX,
        active_until: i64::MAX,
        transport: Transport::Icmp6,
        endpoints: request(1).endpoints,
        client_mac: Some([1, 2, 3, 4, 5, 255]),
        server_mac: None,
        vlan: Some(4094),
        tunnel: Arc::from("vxlan/gre"),
        tunnel_id: Some(0),
        tunnel_outer: Some(("::1".parse().unwrap(), "1.2.3.4".parse().unwrap())),
        carriers: vec![request(1).endpoints],
        client_process: None,
        server_process: request(1).process,
        client: SideCounters { window_scale: Some(14), ack_rtt: delay, sack_permitted: true, ..Default::default() },
        server: SideCounters { bytes: u64::MAX, initial_window: u32::MAX, ..Default::default() },
        syn_count: 1,
        syn_ack_count: 2,
        fin_count: 3,
        rst_count: 4,
        syn_retransmits: 5,
        syn_ack_retransmits: 6,
        rtt_ns: Some(7),
        rtt_client_ns: None,
        rtt_server_ns: Some(u64::MAX),
        tls_rtt_ns: None,
        srt: delay,
        art: DelayStats::default(),
        cit: delay,
        close_type: "finish",
        conn_state: "SF",
        history: "ShADadFf".into(),
        round_trips: Some(Box::new(RoundTrips {
            client: (1_000_000, vec![RttStretch { start: 5, samples: 2, min_ns: 1, max_ns: 3, sum_ns: u64::MAX }]),
            server: (0, vec![]),
        })),
        icmp_errors: Some(Box::new(IcmpErrors {
            count: 3,
            ts: -7,
            from: "::2".parse().unwrap(),
            side: Side::Server,
            kind: 3,
            code: 255,
            mtu: Some(1280),
        })),
        l7_protocol: "",
        requests: 9,
        request_errors: 0,
        direction_score: 100,
        completeness: Completeness(15),
    };
    there_and_back(&flow, 4);
}

#[test]
fn rows_come_back_in_any_order_also_from_disk() {
    for limit in [usize::MAX, 0] {
        let (spill, mut texts) = (Spill::new(limit), Texts::default());
        let mut logs = [Log::default(), Log::default()];
        for n in 0..5000u64 {
            let r = request(n);
            logs[n as usize % 2].add(&mut texts, &spill, (n as i64 * 1000, n as u32), |w| r.put(w));
        }
        assert_eq!(spill.is_used(), limit == 0);
        let mut entries = Vec::new();
        for (part, log) in (0..).zip(&mut logs) {
            entries.extend(log.take_entries().into_iter().map(|e| super::Entry { part, ..e }));
        }
        // 7919 is prime: every row is read once, far from the one before.
        let mut rows = Rows::new(&spill);
        for i in 0..5000 {
            let e = entries[i * 7919 % 5000];
            let r = rows.get(&logs[e.part as usize], &texts, &e, Row::get).unwrap();
            assert_eq!(format!("{r:?}"), format!("{:?}", request(u64::from(e.flow))));
        }
        // More blocks at once than are kept, and texts where they lie.
        rows.make_room();
        entries.iter().for_each(|e| rows.load(&logs[e.part as usize], e));
        let look = |e: &super::Entry| {
            rows.look(&logs[e.part as usize], &texts, e, Request::<PackedFields<'_>>::get).map(|r| (r, e.flow))
        };
        let packed: Vec<_> = entries.iter().filter_map(look).collect();
        assert_eq!(packed.len(), 5000);
        for (r, n) in packed {
            let Request { session: Session { fields, request_ts, .. }, .. } = request(u64::from(n));
            assert_eq!(&*r.fields.request_resource, &*fields.request_resource);
            assert_eq!((r.fields.code, r.request_ts), (fields.code, request_ts));
            assert_eq!(r.fields.attributes.pairs().collect::<Vec<_>>(), [("a", "1"), ("", "")]);
        }
    }
}

proptest! {
    #[test]
    fn numbers_come_back(n: u64, i: i64, base: i64, code: i32, text: String) {
        there_and_back(&n, 0);
        there_and_back(&i, base);
        there_and_back(&code, base);
        there_and_back(&text, base);
        there_and_back(&vec![Some(n), None], base);
    }

    #[test]
    fn garbage_is_no_panic(bytes: Vec<u8>, tail: String) {
        let texts = Texts::default();
        let _ = Flow::get(&mut Reader { bytes: &bytes, tail: &tail, texts: &texts, base: 0 });
        let _ = Row::get(&mut Reader { bytes: &bytes, tail: &tail, texts: &texts, base: 0 });
        let _ = Request::<PackedFields<'_>>::get(&mut Reader { bytes: &bytes, tail: &tail, texts: &texts, base: 0 });
        let _ = crate::netprofile::Profile::get(&mut Reader { bytes: &bytes, tail: &tail, texts: &texts, base: 0 });
    }
}
