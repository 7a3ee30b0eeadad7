//! Values of cells, worked out by hand; the names that others rely on; bytes of files.

use super::*;
use crate::sample;
use polars::prelude::*;
use replay::model::*;

fn analysis(replayed: Replayed) -> Analysis {
    Analysis::new(replayed, "sample".into())
}

fn names(frame: &DataFrame) -> Vec<&str> {
    frame.get_column_names().into_iter().map(|n| n.as_str()).collect()
}

fn text<'a>(frame: &'a DataFrame, column: &str, row: usize) -> Option<&'a str> {
    frame.column(column).unwrap().str().unwrap().get(row)
}

fn int(frame: &DataFrame, column: &str, row: usize) -> Option<i64> {
    let column = frame.column(column).unwrap();
    match column.dtype() {
        DataType::Datetime(..) => column.datetime().unwrap().physical().get(row),
        _ => column.i64().unwrap().get(row),
    }
}

fn float(frame: &DataFrame, column: &str, row: usize) -> Option<f64> {
    frame.column(column).unwrap().f64().unwrap().get(row)
}

/// The columns that notebooks and comparisons rely on, as the design fixes them.
const EXACT: [(&str, &str); 7] = [
    ("findings", "severity kind subject statement evidence next_step"),
    (
        "flows",
        "flow_id community_id observed_at node netns interface start end duration_ns transport client_ip client_port \
         server_ip server_port client_mac server_mac vlan tunnel tunnel_id client_pid client_process client_container \
         server_pid server_process server_container client_packets server_packets client_bytes server_bytes \
         client_ip_bytes server_ip_bytes client_payload_bytes server_payload_bytes client_missed_bytes \
         server_missed_bytes client_flags server_flags syn_count syn_ack_count fin_count rst_count client_retransmits \
         server_retransmits syn_retransmits syn_ack_retransmits client_out_of_order server_out_of_order \
         client_zero_window server_zero_window client_duplicate_acks server_duplicate_acks rtt_ns rtt_client_ns \
         rtt_server_ns tls_rtt_ns srt_count srt_sum_ns srt_max_ns srt_p50_ns srt_p95_ns srt_p99_ns art_count \
         art_sum_ns art_max_ns art_p50_ns art_p95_ns art_p99_ns cit_count cit_sum_ns cit_max_ns cit_p50_ns cit_p95_ns \
         cit_p99_ns close_type conn_state history l7_protocol requests request_errors completeness",
    ),
    (
        // goroutine: not yet.
        "requests",
        "request_id flow_id observed_at side l7_protocol version request_type request_domain request_resource endpoint \
         session_id response_status response_code response_exception response_result request_ts response_ts \
         duration_ns first_byte_ns request_bytes response_bytes is_tls is_async trace_id span_id parent_span_id \
         x_request_id user_agent affected_rows pid tid process container client_ip client_port server_ip server_port \
         request_tcp_seq response_tcp_seq attributes completeness",
    ),
    (
        "spans",
        "trace_id span_id parent_span_id tap_side service process pid tid request_id name start end duration_ns \
         self_ns link_method link_confidence link_evidence completeness",
    ),
    // request_id, endpoint: not yet.
    ("stacks", "process pid thread tid kind reason frames samples value_ns"),
    ("health", "kind cpu first last lost cause"),
    ("masked", "by secret times"),
];

#[test]
fn the_names_that_others_rely_on_are_there() {
    let a = analysis(sample::recording(4, 8));
    for (table, expected) in EXACT {
        let frame = find(table).unwrap().of(&a).unwrap();
        for name in expected.split_whitespace() {
            assert!(frame.column(name).is_ok(), "{table} has no {name}");
        }
    }
}

#[test]
fn every_table_can_be_empty_and_has_its_brief_columns() {
    let a = analysis(Replayed::default());
    for table in &TABLES {
        let mut frame = table.of(&a).unwrap();
        assert_eq!(frame.height(), 0, "{}", table.name);
        let brief = frame.select(table.brief.iter().copied());
        assert!(brief.is_ok(), "{}: {brief:?}", table.name);
        for format in [Format::Table, Format::Jsonl, Format::Csv, Format::Parquet] {
            let mut out = Vec::new();
            write(&mut frame, format, Some(80), &mut out).unwrap();
            assert_eq!(out.is_empty(), format == Format::Jsonl, "{} {format:?}", table.name);
        }
    }
}

#[test]
fn tables_are_found_by_both_spellings() {
    assert_eq!(find("socket_events").unwrap().name, "socket_events");
    assert_eq!(find("socket-events").unwrap().name, "socket_events");
    assert!(find("flow").is_none());
    assert!(find("flows2").is_none());
}

#[test]
fn a_flow_becomes_a_row() {
    let mut r = sample::recording(1, 0);
    let f = &mut r.flows[0];
    f.community_id = "1:LQU9qZlK+B5F3KDmev6m5PMibrg=".into();
    f.vlan = Some(7);
    f.tunnel = "vxlan".into();
    f.tunnel_id = Some(42);
    f.tunnel_outer = Some(([192, 0, 2, 1].into(), [192, 0, 2, 2].into()));
    f.client.flags = 0x02 | 0x10 | 0x08;
    f.server = SideCounters { zero_window: 3, missed_bytes: 99, ..Default::default() };
    f.rtt_ns = Some(1_234);
    f.srt = DelayStats { count: 2, sum_ns: 30, max_ns: 20, p50_ns: 10, p95_ns: 20, p99_ns: 20 };
    f.art = DelayStats::default();
    f.completeness = Completeness::GAP;
    let mut process = f.clone();
    process.flow_id = 1;
    process.observed_at = ObservedAt::Process(4_711);
    process.transport = Transport::Unix;
    process.endpoints = Endpoints { client_ip: None, client_port: 0, server_ip: None, server_port: 0 };
    process.client_process = None;
    r.flows.push(process);
    let a = analysis(r);
    let t = flows::TABLE.of(&a).unwrap();
    assert_eq!(t.height(), 2);

    assert_eq!(text(&t, "observed_at", 0), Some("interface"));
    assert_eq!(text(&t, "interface", 0), Some("lo"));
    assert_eq!(int(&t, "observer_pid", 0), None);
    assert_eq!(text(&t, "node", 0), Some("node1"));
    assert_eq!(int(&t, "start", 0), Some(1_795_406_400_000_000_000));
    assert_eq!(int(&t, "duration_ns", 0), Some(500_000_000));
    assert_eq!(text(&t, "community_id", 0), Some("1:LQU9qZlK+B5F3KDmev6m5PMibrg="));
    assert_eq!(text(&t, "client_ip", 0), Some("10.0.0.0"));
    assert_eq!(int(&t, "client_port", 0), Some(32_768));
    assert_eq!(text(&t, "client_mac", 0), Some("02:00:00:00:00:01"));
    assert_eq!(int(&t, "vlan", 0), Some(7));
    assert_eq!((text(&t, "tunnel", 0), int(&t, "tunnel_id", 0)), (Some("vxlan"), Some(42)));
    assert_eq!(text(&t, "tunnel_server_ip", 0), Some("192.0.2.2"));
    assert_eq!(text(&t, "client_flags", 0), Some("SPA"));
    assert_eq!(text(&t, "server_flags", 0), None);
    assert_eq!((int(&t, "server_zero_window", 0), int(&t, "server_missed_bytes", 0)), (Some(3), Some(99)));
    assert_eq!((int(&t, "rtt_ns", 0), int(&t, "tls_rtt_ns", 0)), (Some(1_234), None));
    assert_eq!(
        (int(&t, "srt_count", 0), int(&t, "srt_sum_ns", 0), int(&t, "srt_p50_ns", 0)),
        (Some(2), Some(30), Some(10))
    );
    assert_eq!((int(&t, "art_count", 0), int(&t, "art_max_ns", 0)), (Some(0), None));
    assert_eq!(text(&t, "completeness", 0), Some("gap"));

    assert_eq!((text(&t, "observed_at", 1), int(&t, "observer_pid", 1)), (Some("process"), Some(4_711)));
    assert_eq!((text(&t, "transport", 1), text(&t, "client_ip", 1)), (Some("unix"), None));
    assert_eq!((int(&t, "client_port", 1), int(&t, "client_pid", 1)), (None, None));
}

#[test]
fn a_request_becomes_a_row() {
    let mut r = sample::recording(2, 2);
    let q = &mut r.requests[1];
    q.request_ts = Some(1_000);
    q.request_end_ts = Some(1_100);
    q.first_byte_ts = Some(1_500);
    q.response_ts = Some(2_500);
    q.fields.status = Status::ClientError;
    q.fields.code = Some(404);
    q.fields.session_id = Some(77);
    q.fields.attributes = vec![("a", "1".into()), ("b", "say \"x\"".into())];
    q.request_tcp_seq = Some(u32::MAX);
    q.completeness = Completeness(3);
    let one_way = &mut r.requests[0];
    one_way.response_ts = None;
    one_way.first_byte_ts = None;
    one_way.fields.is_async = true;
    one_way.fields.attributes.clear();
    let a = analysis(r);
    let t = requests::TABLE.of(&a).unwrap();

    assert_eq!((text(&t, "observed_at", 1), text(&t, "side", 1)), (Some("process"), Some("server")));
    assert_eq!((int(&t, "duration_ns", 1), int(&t, "first_byte_ns", 1)), (Some(1_500), Some(500)));
    assert_eq!((text(&t, "response_status", 1), int(&t, "response_code", 1)), (Some("client_error"), Some(404)));
    assert_eq!(int(&t, "session_id", 1), Some(77));
    assert_eq!(text(&t, "attributes", 1), Some(r#"{"a":"1","b":"say \"x\""}"#));
    assert_eq!(int(&t, "request_tcp_seq", 1), Some(4_294_967_295));
    assert_eq!((int(&t, "tid", 1), text(&t, "completeness", 1)), (Some(100), Some("truncated_payload+gap")));
    assert_eq!(text(&t, "server_process", 1), text(&t, "process", 1));

    assert_eq!((text(&t, "observed_at", 0), text(&t, "side", 0)), (Some("interface"), None));
    assert_eq!((int(&t, "response_ts", 0), int(&t, "duration_ns", 0)), (None, None));
    assert_eq!(t.column("is_async").unwrap().bool().unwrap().get(0), Some(true));
    assert_eq!((text(&t, "attributes", 0), int(&t, "tid", 0)), (None, None));
}

#[test]
fn red_and_map_have_rates_and_percentiles() {
    let mut r = sample::recording(1, 3);
    // All at the one flow, on the interface, within the second from 04:00:01.
    for (i, q) in r.requests.iter_mut().enumerate() {
        q.request_ts = Some(sample::START + 1_000_000_000 + i as i64);
        q.response_ts = q.request_ts.map(|t| t + [10, 30, 20][i]);
        q.fields.status = if i == 0 { Status::Timeout } else { Status::Ok };
        q.fields.endpoint = "/x".into();
    }
    let server = r.flows[0].server_process.clone().unwrap().name;
    let a = analysis(r);
    let t = red::TABLE.of(&a).unwrap();
    assert_eq!(t.height(), 1);
    assert_eq!((text(&t, "service", 0), text(&t, "endpoint", 0)), (Some(&*server), Some("/x")));
    assert_eq!((text(&t, "view", 0), int(&t, "start", 0)), (Some("packets"), Some(sample::START + 1_000_000_000)));
    assert_eq!((int(&t, "requests", 0), int(&t, "errors", 0), int(&t, "timeouts", 0)), (Some(3), Some(1), Some(1)));
    assert_eq!((float(&t, "rate", 0), int(&t, "bucket_ns", 0)), (Some(3.0), Some(1_000_000_000)));
    assert_eq!((int(&t, "duration_p50_ns", 0), int(&t, "duration_max_ns", 0)), (Some(20), Some(30)));

    let t = map::TABLE.of(&a).unwrap();
    assert_eq!((t.height(), text(&t, "server_service", 0)), (1, Some(&*server)));
    assert_eq!((int(&t, "connections", 0), int(&t, "requests", 0)), (Some(1), Some(3)));
    // Over the whole minute of the recording.
    assert_eq!(float(&t, "rate", 0), Some(0.05));
}

#[test]
fn exit_codes_are_taken_apart() {
    let process = |pid, exit_code| Process { pid, exit_code, ..Default::default() };
    let a = analysis(Replayed {
        // exit(3); killed by SIGKILL; still running.
        processes: vec![process(1, Some(0x300)), process(2, Some(9)), process(3, None)],
        ..Default::default()
    });
    let t = processes::TABLE.of(&a).unwrap();
    let codes: Vec<_> = (0..3).map(|i| (int(&t, "exit_code", i), int(&t, "exit_signal", i))).collect();
    assert_eq!(codes, [(Some(3), None), (None, Some(9)), (None, None)]);
}

#[test]
fn text_formats_have_times_to_the_nanosecond() {
    let a = analysis(Replayed {
        health: vec![Health {
            kind: "packet".into(),
            first: Some(1_795_408_363_123_456_789),
            lost: 5,
            cause: "a \"b\", c".into(),
            ..Default::default()
        }],
        ..Default::default()
    });
    let mut frame = health::TABLE.of(&a).unwrap();
    let mut render = |format| {
        let mut out = Vec::new();
        write(&mut frame, format, None, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        render(Format::Jsonl),
        "{\"kind\":\"packet\",\"cpu\":null,\"first\":\"2026-11-23T04:32:43.123456789Z\",\"last\":null,\"lost\":5,\
         \"cause\":\"a \\\"b\\\", c\"}\n"
    );
    assert_eq!(
        render(Format::Csv),
        "kind,cpu,first,last,lost,cause\npacket,,2026-11-23T04:32:43.123456789Z,,5,\"a \"\"b\"\", c\"\n"
    );
    assert_eq!(
        render(Format::Table),
        "kind    cpu            first  last  lost  cause\npacket    -  04:32:43.123456     -     5  a \"b\", c\n"
    );
}

#[test]
fn parquet_reads_back_and_its_bytes_depend_on_the_rows_only() {
    let render = || -> Vec<Vec<u8>> {
        let a = analysis(sample::recording(300, 3_000));
        let render = |table: &Table| {
            let mut out = Vec::new();
            write(&mut table.of(&a).unwrap(), Format::Parquet, None, &mut out).unwrap();
            out
        };
        TABLES.iter().map(render).collect()
    };
    let files = render();
    // From several threads at once, as the folder of an analysis is written.
    let again = std::thread::scope(|s| [s.spawn(render), s.spawn(render)].map(|t| t.join().unwrap()));
    assert!(again.iter().all(|f| *f == files));

    let requests = files.iter().zip(&TABLES).find(|(_, t)| t.name == "requests").unwrap().0;
    let back = ParquetReader::new(std::io::Cursor::new(requests)).finish().unwrap();
    let a = analysis(sample::recording(300, 3_000));
    let built = requests::TABLE.of(&a).unwrap();
    assert_eq!(names(&back), names(&built));
    assert!(back.equals_missing(&built));
}

/// The columns that docs/tables.md lists, per table.
fn documented() -> Vec<(String, Vec<String>)> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    for line in include_str!("../../../docs/tables.md").lines() {
        if let Some(title) = line.strip_prefix("## ") {
            out.push((title.to_owned(), Vec::new()));
        } else if let (Some(cells), Some((_, columns))) = (line.strip_prefix("| "), out.last_mut()) {
            let names = cells.split(" | ").next().unwrap_or_default();
            columns.extend(names.split(", ").filter(|n| *n != "column").map(str::to_owned));
        }
    }
    out.retain(|(_, columns)| !columns.is_empty());
    out
}

#[test]
fn the_documentation_has_every_column_and_no_other() {
    let a = analysis(Replayed::default());
    let documented = documented();
    let titles: Vec<&str> = documented.iter().map(|(title, _)| title.as_str()).collect();
    assert_eq!(titles, TABLES.map(|t| t.name));
    for (table, (_, mut columns)) in TABLES.iter().zip(documented) {
        let frame = table.of(&a).unwrap();
        let mut built = names(&frame);
        built.sort_unstable();
        columns.sort_unstable();
        assert_eq!(built, columns, "{}", table.name);
    }
}
