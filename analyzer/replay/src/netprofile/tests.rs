use super::*;
use proptest::prelude::*;

fn names(rows: &[ProfileSegment]) -> Vec<(&'static str, u32, i64, u64, u64)> {
    rows.iter().map(|p| (p.segment, p.exchange, p.start, p.duration_ns, p.bytes)).collect()
}

#[test]
fn two_exchanges() {
    let mut p = Profiler::default();
    p.begin(0, true);
    p.established(30);
    assert_eq!(p.client_data(50, 1, 100, b"GET"), Some(Sample::ClientIdle(20)));
    assert_eq!(p.client_data(55, 101, 20, b"x"), None);
    p.server_ack(60);
    assert_eq!(p.server_data(90, 1000), Some(Sample::ApplicationResponse(35)));
    assert_eq!(p.server_data(95, 500), None);
    assert_eq!(p.client_data(200, 121, 10, b"GET"), Some(Sample::ClientIdle(105)));
    p.retransmission();
    assert_eq!(p.server_data(220, 7), Some(Sample::ApplicationResponse(20)));
    p.ending(240);
    let rows: Vec<_> =
        p.finish(250, |seq, len| (seq == 121 && len == 10).then_some(4)).rows(3, |r| Some(u64::from(r) + 5)).collect();
    assert_eq!(
        names(&rows),
        [
            ("connect", 0, 0, 30, 0),
            ("client_wait", 0, 30, 20, 0),
            ("request_transfer", 0, 50, 5, 120),
            ("server_ack", 0, 55, 5, 0),
            ("server_response", 0, 60, 30, 0),
            ("response_transfer", 0, 90, 5, 1500),
            ("client_wait", 1, 95, 105, 0),
            ("request_transfer", 1, 200, 0, 10),
            ("server_response", 1, 200, 20, 0),
            ("response_transfer", 1, 220, 0, 7),
            ("client_wait", 1, 220, 20, 0),
            ("close", 1, 240, 10, 0),
        ]
    );
    assert_eq!(rows.iter().map(|r| r.duration_ns).sum::<u64>(), 250);
    assert_eq!(rows.iter().map(|r| r.retransmissions).sum::<u32>(), 1);
    let of_request: Vec<_> = rows.iter().filter(|r| r.request_id == Some(9)).map(|r| r.segment).collect();
    assert_eq!(of_request, ["request_transfer", "server_response", "response_transfer", "client_wait", "close"]);
}

#[test]
fn tls_1_3_is_a_segment_of_its_own() {
    let hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    let finished = [&[0x14, 3, 3, 0, 1, 1, 0x17, 3, 3, 0, 2, 9, 9][..]].concat();
    let request = [0x17, 3, 3, 0, 1, 0];
    let mut p = Profiler::default();
    p.begin(0, true);
    p.established(10);
    p.client_data(20, 1, 10, &hello);
    assert_eq!(p.server_data(50, 3000), None);
    assert_eq!(p.client_data(60, 11, 13, &finished), Some(Sample::TlsRoundTrip(40)));
    assert_eq!(p.client_data(80, 24, 6, &request), None);
    assert_eq!(p.server_data(95, 10), Some(Sample::ApplicationResponse(15)));
    let rows = p.finish(100, |_, _| None).rows(0, |_| None).collect::<Vec<_>>();
    let got: Vec<_> = rows.iter().map(|r| (r.segment, r.start, r.duration_ns)).collect();
    assert_eq!(
        got,
        [
            ("connect", 0, 10),
            ("client_wait", 10, 10),
            ("tls", 20, 40),
            ("client_wait", 60, 20),
            ("request_transfer", 80, 0),
            ("server_response", 80, 15),
            ("response_transfer", 95, 0),
            ("client_wait", 95, 5),
        ]
    );
}

#[test]
fn a_request_without_an_answer() {
    let mut p = Profiler::default();
    p.begin(0, false);
    p.client_data(10, 1, 5, b"x");
    p.server_ack(12);
    let rows = p.finish(100, |_, _| None).rows(0, |_| None).collect::<Vec<_>>();
    assert_eq!(
        names(&rows),
        [
            ("client_wait", 0, 0, 10, 0),
            ("request_transfer", 0, 10, 0, 5),
            ("server_ack", 0, 10, 2, 0),
            ("server_response", 0, 12, 88, 0),
        ]
    );
}

#[test]
fn an_end_before_the_handshake_is_complete() {
    let mut p = Profiler::default();
    p.begin(1000, true);
    p.ending(1000);
    p.established(1001);
    let rows = p.finish(1006, |_, _| None).rows(0, |_| None).collect::<Vec<_>>();
    assert_eq!(names(&rows), [("connect", 0, 1000, 1, 0), ("close", 0, 1001, 5, 0)]);
}

proptest! {
    #[test]
    fn segments_always_sum_up(events in prop::collection::vec((0u8..7, 0i64..50), 0..60), handshake: bool) {
        let mut p = Profiler::default();
        let mut now = 1000;
        p.begin(now, handshake);
        for (event, wait) in events {
            // Clocks may be set back a little.
            now += wait - 3;
            match event {
                0 => p.established(now),
                1 => { p.client_data(now, 5, 3, b"abc"); }
                2 => { p.server_data(now, 4); }
                3 => p.server_ack(now),
                4 => p.ending(now),
                5 => { p.client_data(now, 9, 9, &[0x16, 3, 1, 0, 0, 1, 0, 0, 0]); }
                _ => p.retransmission(),
            }
            now = now.max(p.cut.now);
        }
        let end = now + 5;
        let rows = p.finish(end, |_, _| None).rows(0, |_| None).collect::<Vec<_>>();
        prop_assert_eq!(rows.iter().map(|r| r.duration_ns).sum::<u64>(), (end - 1000) as u64);
        let mut at = 1000;
        for r in rows {
            prop_assert_eq!(r.start, at);
            at += r.duration_ns as i64;
        }
    }
}

#[test]
fn segments_stay_the_same_when_they_are_packed() {
    use super::Profiles;
    use crate::model::ProfileSegment;
    let row = |flow_id, request_id, segment, start: i64, duration_ns, bytes| ProfileSegment {
        flow_id,
        request_id,
        segment,
        exchange: 3,
        start,
        duration_ns,
        bytes,
        retransmissions: 2,
    };
    // Flow 1 has none; times before 1970 and of any length.
    let rows = [
        row(0, None, "connect", -5, 10, 0),
        row(0, Some(7), "request_transfer", 5, 0, 1 << 40),
        row(2, Some(u64::from(u32::MAX)), "server_response", i64::MAX - 9, 9, 1),
        row(3, None, "close", 1_795_408_363_123_456_789, u64::from(u32::MAX) << 10, 0),
    ];
    let profiles: Profiles = rows.iter().cloned().collect();
    assert!(profiles.iter().eq(rows.iter().cloned()));
    assert!(profiles.of_flow(0).eq(rows[..2].iter().cloned()));
    assert_eq!(profiles.of_flow(1).count() + profiles.of_flow(4).count() + profiles.of_flow(u64::MAX).count(), 0);
    assert!(profiles.of_flow(2).eq(rows[2..3].iter().cloned()));
}
