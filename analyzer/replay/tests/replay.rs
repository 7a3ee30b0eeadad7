//! Whole captures through the engine: the same rows on any number of threads, several inputs as one, damaged files.

use formats::block;
use formats::facts::RecorderCost;
use formats::manifest::{Manifest, Summary};
use formats::pcapng::{InterfaceDesc, SectionInfo};
use formats::write::{BundleFile, FrameBuilder};
use replay::engine::{Options, ReplayError, TcpMetrics, replay, store};
use replay::filter::Filter;
use replay::model::Replayed;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const START: u64 = 1_700_000_000;

/// One HTTP exchange of connection `n`, as (microseconds, frame).
fn connection(n: u32) -> Vec<(u64, Vec<u8>)> {
    let request = format!("GET /item/{n} HTTP/1.1\r\nHost: shop\r\n\r\n");
    let status = if n % 10 == 3 { "404 Not Found" } else { "200 OK" };
    let response = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello");
    let (q, r) = (request.len() as u32, response.len() as u32);
    let at = u64::from(n) * 700;
    [
        (0, false, 0x02, 0, 0, ""),
        (100, true, 0x12, 0, 1, ""),
        (150, false, 0x10, 1, 1, ""),
        (200, false, 0x18, 1, 1, &request),
        (900, true, 0x18, 1, 1 + q, &response),
        (950, false, 0x10, 1 + q, 1 + r, ""),
        (1200, false, 0x11, 1 + q, 1 + r, ""),
        (1300, true, 0x11, 1 + r, 2 + q, ""),
        (1350, false, 0x10, 2 + q, 2 + r, ""),
    ]
    .into_iter()
    .map(|(us, back, flags, seq, ack, payload)| (at + us, frame(n, back, flags, seq, ack, payload.as_bytes())))
    .collect()
}

fn frame(n: u32, back: bool, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let client = [10, 1, (n >> 8) as u8, n as u8];
    let server = [10, 2, 0, 1];
    let (src, dst, sport, dport) = if back { (server, client, 80, 40_000) } else { (client, server, 40_000u16, 80u16) };
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    f.extend((40 + payload.len() as u16).to_be_bytes());
    f.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    f.extend(src);
    f.extend(dst);
    f.extend(sport.to_be_bytes());
    f.extend(dport.to_be_bytes());
    f.extend(seq.to_be_bytes());
    f.extend(ack.to_be_bytes());
    f.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    f.extend(payload);
    f
}

fn packets(connections: std::ops::Range<u32>) -> Vec<(u64, Vec<u8>)> {
    let mut all: Vec<_> = connections.flat_map(connection).collect();
    all.sort_by_key(|(us, _)| *us);
    all
}

fn pcap(packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [0xa1b2_c3d4u32, 2 | 4 << 16, 0, 0, 65_535, 1] {
        out.extend(field.to_le_bytes());
    }
    for (us, frame) in packets {
        let seconds = START + us / 1_000_000;
        for field in [seconds as u32, (us % 1_000_000) as u32, frame.len() as u32, frame.len() as u32] {
            out.extend(field.to_le_bytes());
        }
        out.extend(frame);
    }
    out
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn run(inputs: &[PathBuf], threads: usize) -> Replayed {
    replay(inputs, &Options { threads, ..Options::default() }).unwrap()
}

/// Everything that came out, as text.
fn text(r: &Replayed) -> String {
    format!("{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}", r.flows, r.requests, r.profile, r.spans, r.traces, r.interfaces)
}

#[test]
fn rows_do_not_depend_on_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let input = [write(dir.path(), "a.pcap", &pcap(&packets(0..2000)))];
    let one = run(&input, 1);
    assert_eq!((one.packets, one.flows.len(), one.requests.len()), (18_000, 2000, 2000));
    assert!(one.flows.iter().all(|f| f.conn_state == "SF" && f.requests == 1 && f.l7_protocol == "http"));
    let not_found = one.requests.iter().filter(|r| r.fields.code == Some(404)).count();
    assert_eq!(not_found, 200);
    for (n, r) in one.requests.iter().enumerate() {
        assert_eq!(r.request_id, n as u64);
        assert_eq!(*r.fields.request_resource, format!("/item/{n}"));
        assert_eq!(r.duration_ns(), Some(700_000));
        assert_eq!(one.flows[r.flow_id as usize].start, r.request_ts.unwrap() - 200_000);
    }
    for (n, f) in one.flows.iter().enumerate() {
        assert_eq!(f.flow_id, n as u64);
        let segments: u64 = one.profile.iter().filter(|p| p.flow_id == f.flow_id).map(|p| p.duration_ns).sum();
        assert_eq!(segments, (f.end - f.start) as u64);
        if n > 20 {
            break;
        }
    }
    let linked: Vec<_> = one.profile.iter().filter(|p| p.segment == "server_response").collect();
    assert!(linked.len() == 2000 && linked.iter().all(|p| p.request_id.is_some() && p.duration_ns == 700_000));
    for threads in [2, 3, 8] {
        assert!(text(&run(&input, threads)) == text(&one), "{threads} threads");
    }
}

/// Nearly all packets are of one flow, so that one thread is behind all the time and others have to help it.
#[test]
fn a_busy_flow_is_the_same_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = packets(0..100);
    let data = [b'x'; 500];
    all.extend((0..8000u32).map(|n| (u64::from(n) * 20, frame(60_000, n % 7 == 0, 0x18, 1 + n * 500, 1, &data))));
    all.sort_by_key(|(us, _)| *us);
    let input = [write(dir.path(), "busy.pcap", &pcap(&all))];
    let one = run(&input, 1);
    let most = one.flows.iter().map(|f| f.client.packets + f.server.packets).max();
    assert_eq!((one.packets, one.flows.len(), most), (8900, 101, Some(8000)));
    for threads in [2, 4, 16] {
        assert!(text(&run(&input, threads)) == text(&one), "{threads} threads");
    }
}

#[test]
fn parts_of_a_capture_are_one_whatever_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let all = packets(0..300);
    let whole = run(&[write(dir.path(), "all.pcap", &pcap(&all))], 2);
    let (a, rest) = all.split_at(700);
    let (b, c) = rest.split_at(1200);
    let parts = [("3.pcap", c), ("1.pcap", a), ("2.pcap", b)].map(|(name, p)| write(dir.path(), name, &pcap(p)));
    assert!(text(&run(&parts, 2)) == text(&whole));
}

#[test]
fn captures_of_the_same_time_are_two_places() {
    let dir = tempfile::tempdir().unwrap();
    let all = pcap(&packets(0..20));
    let r = run(&[write(dir.path(), "here.pcap", &all), write(dir.path(), "there.pcap", &all)], 2);
    assert_eq!((r.interfaces.len(), r.flows.len(), r.requests.len()), (2, 40, 40));
}

#[test]
fn a_cut_capture_keeps_what_is_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = pcap(&packets(0..50));
    let r = run(&[write(dir.path(), "cut.pcap", &bytes[..bytes.len() - 30])], 2);
    assert_eq!(r.packets, 449);
    assert!(r.health.iter().any(|h| h.kind == "frame" && !h.cause.is_empty()), "{:?}", r.health);
}

#[test]
fn flipped_and_cut_bytes_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let sound = pcap(&packets(0..30));
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for n in 0..60 {
        let mut bytes = sound.clone();
        for _ in 0..20 {
            let at = 24 + random(bytes.len() - 24);
            bytes[at] = random(256) as u8;
        }
        bytes.truncate(24 + random(sound.len() - 24));
        let input = [write(dir.path(), &format!("{n}.pcap"), &bytes)];
        let one = run(&input, 1);
        assert!(text(&run(&input, 3)) == text(&one));
        for f in &one.flows {
            let segments: u64 = one.profile.iter().filter(|p| p.flow_id == f.flow_id).map(|p| p.duration_ns).sum();
            if f.transport == replay::model::Transport::Tcp && segments > 0 {
                assert_eq!(segments, (f.end - f.start) as u64);
            }
        }
    }
}

#[test]
fn other_metrics_give_the_same_flows() {
    let dir = tempfile::tempdir().unwrap();
    let input = [write(dir.path(), "a.pcap", &pcap(&packets(0..40)))];
    let best = run(&input, 2);
    let deepflow =
        replay(&input, &Options { tcp_metrics: TcpMetrics::DeepFlow, threads: 2, ..Options::default() }).unwrap();
    assert_eq!(best.flows.len(), deepflow.flows.len());
    for (a, b) in best.flows.iter().zip(&deepflow.flows) {
        assert_eq!((a.start, a.conn_state, a.rtt_ns), (b.start, b.conn_state, b.rtt_ns));
        assert_eq!((a.art.count, a.art.sum_ns), (b.art.count, b.art.sum_ns));
    }
}

#[test]
fn what_is_no_capture_is_said() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(replay(&[], &Options::default()), Err(ReplayError::NoInput)));
    let path = write(dir.path(), "x.pcap", b"not a capture at all");
    let error = replay(&[path], &Options::default()).unwrap_err().to_string();
    assert!(error.contains("x.pcap"), "{error}");
    assert!(replay(&[dir.path().join("absent")], &Options::default()).is_err());
}

/// IPv4 from 10.0.0.1 to 10.0.0.2, UDP, at a fragment offset in units of eight bytes.
fn udp_fragment(id: u16, offset: u16, more: bool, body: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    f.extend((20 + body.len() as u16).to_be_bytes());
    f.extend(id.to_be_bytes());
    f.extend((offset | u16::from(more) << 13).to_be_bytes());
    f.extend([64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    f.extend(body);
    f
}

#[test]
fn a_filter_decides_before_replay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    std::fs::write(&path, pcap(&packets(0..30))).unwrap();
    let filtered = |text: &str| {
        let filter = Some(std::sync::Arc::new(replay::filter::Filter::new(text).unwrap()));
        replay(std::slice::from_ref(&path), &Options { filter, ..Options::default() }).unwrap()
    };
    let one = filtered("host 10.1.0.7");
    assert_eq!((one.flows.len(), one.requests.len(), one.packets), (1, 1, 9));
    assert_eq!(one.filtered.as_ref().unwrap().packets, 29 * 9);
    assert_eq!(one.interfaces[0].packets, 9);
    // What was recorded is as long as before: rates are of the recording, and who is silent at its end has waited until then.
    let all = ((START * 1_000_000) as i64 * 1000, (START * 1_000_000 + 29 * 700 + 1350) as i64 * 1000);
    assert_eq!((one.start, one.end), all);
    let client_side = filtered("dst port 80 and src net 10.1.0.0/28");
    assert_eq!((client_side.flows.len(), client_side.packets), (16, 16 * 6));
    assert!(client_side.flows.iter().all(|f| f.server.packets == 0 && f.client.packets == 6));
    let none = filtered("udp");
    assert_eq!((none.flows.len(), none.packets, none.start, none.end), (0, 0, all.0, all.1));
}

#[test]
fn later_fragments_go_with_their_datagram() {
    let datagram = |port: u16| {
        let mut body = vec![0x9c, 0x40];
        body.extend(port.to_be_bytes());
        body.extend([0, 40, 0, 0]);
        body.extend([7u8; 32]);
        body
    };
    let (wanted, other) = (datagram(53), datagram(54));
    let frames: Vec<(u64, Vec<u8>)> = vec![
        (1, udp_fragment(1, 2, false, &wanted[16..])),
        (2, udp_fragment(2, 0, true, &other[..16])),
        (3, udp_fragment(1, 0, true, &wanted[..16])),
        (4, udp_fragment(2, 2, false, &other[16..])),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.pcap");
    std::fs::write(&path, pcap(&frames)).unwrap();
    let filtered = |text: &str| {
        let filter = Some(std::sync::Arc::new(replay::filter::Filter::new(text).unwrap()));
        replay(std::slice::from_ref(&path), &Options { filter, ..Options::default() }).unwrap()
    };
    let dns = filtered("port 53");
    assert_eq!(dns.flows.len(), 1);
    assert_eq!((dns.flows[0].endpoints.server_port, dns.flows[0].client.packets), (53, 2));
    assert_eq!(dns.flows[0].client.payload_bytes, 32);
    // Counted is what holds by itself.
    assert_eq!((dns.packets, dns.filtered.unwrap().packets), (1, 3));
    let rest = filtered("not port 53");
    assert_eq!((rest.flows.len(), rest.flows[0].endpoints.server_port), (1, 54));
}

#[test]
fn packed_rows_are_the_same_from_disk_and_piece_by_piece() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("many.pcap");
    // Enough rows to fill blocks of every shard.
    std::fs::write(&path, pcap(&packets(0..20_000))).unwrap();
    let all = replay(std::slice::from_ref(&path), &Options::default()).unwrap();
    assert_eq!((all.flows.len(), all.requests.len()), (20_000, 20_000));
    for (id, (f, r)) in all.flows.iter().zip(&all.requests).enumerate() {
        assert_eq!(
            (f.flow_id, r.request_id, r.flow_id),
            (id as u64, id as u64, id as u64),
            "in the order of their starts"
        );
    }
    let options = Options { memory: 0, threads: 2, ..Options::default() };
    let stored = store(&[path], &options).unwrap();
    assert!(stored.is_plain());
    let (mut flows, mut requests, mut profile) = (Vec::new(), Vec::new(), Vec::new());
    for from in (0..20_000).step_by(7_000) {
        let ids = from..20_000.min(from + 7_000);
        flows.extend(stored.flows(ids.clone()));
        requests.extend(stored.requests(ids.clone()));
        profile.extend(stored.profile(ids));
    }
    assert_eq!(stored.unreadable(), 0);
    assert!(format!("{:?}", all.flows) == format!("{flows:?}"));
    assert!(format!("{:?}", all.requests) == format!("{requests:?}"));
    assert!(all.profile.iter().eq(profile));
    assert!(all.profile.of_flow(77).eq(all.profile.iter().filter(|s| s.flow_id == 77)));
    let back = stored.into_replayed();
    assert!(format!("{:?}", all.requests) == format!("{:?}", back.requests));
    assert!(format!("{:?}", all.traces) == format!("{:?}", back.traces));
}

/// A name asked for and never answered, 1 s after the recorder was started, which wrote what it cost at 40 s; ended at 60 s, if it did.
fn quiet_bundle(ends: bool) -> Vec<u8> {
    const S: u64 = 1_000_000_000;
    let (monotonic, start) = (500 * S, START * S);
    let offset = start - monotonic;
    let manifest = Manifest {
        format_version: 1,
        start_realtime_ns: start,
        start_monotonic_ns: monotonic,
        realtime_offset_ns: offset as i64,
        ..Default::default()
    };
    let mut builder = FrameBuilder::with_recording(&SectionInfo::default(), offset as i64, 7);
    let mut bytes = Vec::new();
    let mut file = BundleFile::new(&mut bytes).expect("memory for zstd");
    builder.json(block::kind::MANIFEST, monotonic, &[manifest]);
    let eth0 = builder.interface(&InterfaceDesc { name: "eth0".into(), ..Default::default() });
    let mut query = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 57, 0, 1, 0, 0, 64, 17, 0, 0];
    query.extend([10, 0, 0, 1, 10, 0, 0, 2, 0xa0, 0, 0, 53, 0, 37, 0, 0]);
    query.extend(*b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01");
    builder.packet(eth0, start + S, 0, query.len() as u32, &[&query]);
    let cost = RecorderCost { at_ns: monotonic + 40 * S, ..Default::default() };
    builder.json(block::kind::COST, monotonic + 40 * S, &[cost]);
    file.append(&builder.take()).expect("a Vec takes everything");
    if ends {
        let end_monotonic_ns = monotonic + 60 * S;
        let summary = Summary { reason: "duration".into(), end_monotonic_ns, ..Default::default() };
        file.finish(&summary).expect("a Vec takes everything");
    }
    bytes
}

#[test]
fn a_recording_lasts_as_long_as_it_was_made() {
    const S: i64 = 1_000_000_000;
    let start = START as i64 * S;
    let dir = tempfile::tempdir().unwrap();
    let whole = write(dir.path(), "whole.zst", &quiet_bundle(true));
    let cut = write(dir.path(), "cut.zst", &quiet_bundle(false));
    let stretch = |from: i64, to: i64| {
        let filter = Filter::new("").unwrap().within(start + from * S, start + to * S);
        let options = Options { filter: Some(Arc::new(filter)), ..Options::default() };
        let r = replay(std::slice::from_ref(&whole), &options).unwrap();
        ((r.start - start) / S, (r.end - start) / S)
    };
    let times = |r: &Replayed| ((r.start - start) / S, (r.end - start) / S);
    let r = run(std::slice::from_ref(&whole), 2);
    assert_eq!((times(&r), replay::engine::start(std::slice::from_ref(&whole)).unwrap()), ((0, 60), Some(start)));
    // The question waited for 59 s of the recording, not to the last packet, which it is itself.
    let question = r.requests.first().expect("a request");
    assert_eq!(question.fields.status.name(), "timeout");
    assert_eq!(times(&run(&[cut], 2)), (0, 40));
    assert_eq!([stretch(0, 30), stretch(-5, 90), stretch(1, 1)], [(0, 30), (0, 60), (1, 1)]);
}
