//! The program `analyze`, run on captures made here: exit codes, what goes to which stream, values, files.

mod capture;

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with captures in it, and `analyze` running there.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(self, name: &str, bytes: &[u8]) -> Self {
        std::fs::write(self.path(name), bytes).unwrap();
        self
    }

    fn analyze(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_analyze")).args(args).current_dir(self.0.path()).output().unwrap()
    }

    /// Standard output of a run that must exit with `code`.
    fn run(&self, code: i32, args: &[&str]) -> String {
        let out = self.analyze(args);
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{args:?}: {stderr}");
        String::from_utf8(out.stdout).unwrap()
    }

    fn rows(&self, code: i32, args: &[&str]) -> Vec<Value> {
        self.run(code, args).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path));
        } else {
            out.insert(path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap());
        }
    }
    out
}

#[test]
fn a_capture_becomes_flows_requests_and_segments() {
    let p = Place::new().with("web.pcap", &capture::pcap(&capture::http(6)));
    let flows = p.rows(0, &["flows", "web.pcap"]);
    assert_eq!(flows.len(), 6);
    let f = &flows[1];
    assert_eq!(f["flow_id"], 1);
    assert_eq!(f["start"], "2026-11-23T04:00:00.010000000Z");
    assert_eq!(f["end"], "2026-11-23T04:00:00.018000000Z");
    assert_eq!(f["duration_ns"], 8_000_000);
    assert_eq!((f["client_ip"].as_str(), f["client_port"].as_i64()), (Some("10.0.0.1"), Some(40_001)));
    assert_eq!((f["server_ip"].as_str(), f["server_port"].as_i64()), (Some("10.0.0.2"), Some(80)));
    assert_eq!(f["client_mac"], "02:00:00:00:00:01");
    assert_eq!((f["client_packets"].as_i64(), f["server_packets"].as_i64()), (Some(5), Some(3)));
    // `GET /shop/items/1 HTTP/1.1`, `Host: shop.example`, empty line; five headers of 54 bytes.
    assert_eq!((f["client_payload_bytes"].as_i64(), f["client_bytes"].as_i64()), (Some(50), Some(50 + 5 * 54)));
    // `HTTP/1.1 200 OK`, `Content-Length: 2`, empty line, `ok`.
    assert_eq!((f["server_payload_bytes"].as_i64(), f["server_ip_bytes"].as_i64()), (Some(40), Some(40 + 3 * 40)));
    assert_eq!((f["rtt_ns"].as_i64(), f["rtt_server_ns"].as_i64()), (Some(2_000_000), Some(1_000_000)));
    assert_eq!(f["art_p50_ns"], 2_000_000);
    assert_eq!((f["close_type"].as_str(), f["conn_state"].as_str()), (Some("finish"), Some("SF")));
    assert_eq!((f["l7_protocol"].as_str(), f["requests"].as_i64()), (Some("http"), Some(1)));
    assert_eq!((f["request_errors"].as_i64(), flows[2]["request_errors"].as_i64()), (Some(0), Some(1)));
    assert_eq!(f["completeness"], "complete");

    let requests = p.rows(0, &["requests", "web.pcap"]);
    assert_eq!(requests.len(), 6);
    let q = &requests[2];
    assert_eq!((q["request_type"].as_str(), q["request_resource"].as_str()), (Some("GET"), Some("/shop/items/2")));
    assert_eq!((q["response_code"].as_i64(), q["response_status"].as_str()), (Some(404), Some("client_error")));
    assert_eq!((q["request_domain"].as_str(), q["duration_ns"].as_i64()), (Some("shop.example"), Some(2_000_000)));
    assert_eq!(q["request_ts"], "2026-11-23T04:00:00.023000000Z");
    assert_eq!((q["request_tcp_seq"].as_i64(), q["response_tcp_seq"].as_i64()), (Some(1_001), Some(5_001)));
    assert_eq!((q["request_bytes"].as_i64(), q["response_bytes"].as_i64()), (Some(50), Some(47)));

    // The segments of each flow sum up to its duration.
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    for s in p.rows(0, &["network-profile", "web.pcap"]) {
        *sums.entry(s["flow_id"].as_i64().unwrap()).or_default() += s["duration_ns"].as_i64().unwrap();
    }
    assert_eq!(sums.into_values().collect::<Vec<_>>(), [8_000_000; 6]);

    let red = p.rows(0, &["red", "web.pcap"]);
    assert_eq!(red.len(), 1);
    assert_eq!((red[0]["requests"].as_i64(), red[0]["client_errors"].as_i64()), (Some(6), Some(2)));
    assert_eq!(
        (red[0]["service"].as_str(), red[0]["duration_p99_ns"].as_i64()),
        (Some("10.0.0.2:80"), Some(2_000_000))
    );
    let map = p.rows(0, &["map", "web.pcap"]);
    assert_eq!((map.len(), map[0]["connections"].as_i64(), map[0]["requests"].as_i64()), (1, Some(6), Some(6)));
    assert_eq!(map[0]["client_service"], "10.0.0.1");
}

#[test]
fn rows_can_be_sorted_limited_and_projected() {
    let p = Place::new().with("web.pcap", &capture::pcap(&capture::http(4)));
    let csv = p.run(
        0,
        &[
            "flows",
            "web.pcap",
            "--format",
            "csv",
            "--sort",
            "-client_port",
            "--limit",
            "2",
            "--columns",
            "client_port,start",
        ],
    );
    assert_eq!(csv, "client_port,start\n40003,2026-11-23T04:00:00.030000000Z\n40002,2026-11-23T04:00:00.020000000Z\n");
    let text = p.run(0, &["socket_events", "web.pcap", "-f", "table"]);
    assert!(text.starts_with("ts  event  transport"), "{text}");
    assert_eq!(p.run(0, &["flows", "web.pcap", "-o", "flows.parquet"]), "");
    assert!(std::fs::read(p.path("flows.parquet")).unwrap().starts_with(b"PAR1"));
    p.run(0, &["flows", "web.pcap", "-o", "flows.csv"]);
    assert_eq!(std::fs::read_to_string(p.path("flows.csv")).unwrap().lines().count(), 5);
}

#[test]
fn wrong_usage_and_unreadable_input_exit_1_with_one_sentence() {
    let p = Place::new().with("text.pcap", b"this is no capture").with("web.pcap", &capture::pcap(&capture::http(1)));
    for (args, says) in [
        (&["flows", "web.pcap", "--columns", "nope"][..], "flows has no column nope; it has flow_id, "),
        (&["flows", "web.pcap", "--sort", "-nope"], "flows has no column nope"),
        (&["flows", "web.pcap", "-o", "x.doc"], "the ending of x.doc tells no format"),
        (&["flows", "missing.zst"], "missing.zst: cannot be opened: "),
        (&["text.pcap"], "text.pcap: is not a bundle, pcapng or pcap file: at offset 0"),
        (&["info", "text.pcap"], "text.pcap: is not a bundle"),
        (&["verify", "missing.zst"], "missing.zst: cannot be opened"),
        (
            &["web.pcap", "-o", "web.pcap/x"],
            "cannot write to web.pcap/x: web.pcap is no folder; give another one with --output",
        ),
    ] {
        let out = p.analyze(args);
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.starts_with(&format!("analyze: {says}")), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    }
    for args in [&[][..], &["flows"], &["flows", "web.pcap", "--bogus"], &["web.pcap", "--threads", "0"]] {
        assert_eq!(p.analyze(args).status.code(), Some(1), "{args:?}");
    }
    assert!(p.run(0, &["--help"]).contains("Exit codes: 0 complete; 1 "));
    assert!(p.run(0, &["--version"]).starts_with("analyze "));
}

#[test]
fn an_analysis_is_a_summary_and_a_folder_the_same_on_any_number_of_threads() {
    let p = Place::new().with("web.zst", &capture::bundle(&capture::http(200), 100));
    let summary = p.run(0, &["web.zst"]);
    assert!(summary.starts_with("web.zst: node node1, Linux 6.18.0 x86_64, Debian GNU/Linux 12\n"), "{summary}");
    assert!(summary.contains("  1,600 packets, 200 flows, 200 request observations, 200 traces\n"), "{summary}");
    assert!(summary.contains("complete: nothing lost, nothing damaged"), "{summary}");
    assert!(summary.contains("not recorded: dropped packets: no such tracepoint"), "{summary}");
    assert_eq!(summary.lines().last(), Some("report: web.analysis/report.html"));
    let names: Vec<String> = files(&p.path("web.analysis/tables")).into_keys().collect();
    let tables = "clocks findings flows health hops interfaces map masked network_profile processes red requests round_trips socket_events spans stacks \
                  tcp_packets traces";
    assert_eq!(names, tables.split(' ').map(|t| format!("{t}.parquet")).collect::<Vec<_>>());
    assert!(p.path("web.analysis/report.html").is_file());

    p.run(0, &["web.zst", "--threads", "1", "-o", "one"]);
    p.run(0, &["web.zst", "--threads", "2", "-o", "two"]);
    let (one, two) = (files(&p.path("one")), files(&p.path("two")));
    assert_eq!(one.keys().collect::<Vec<_>>(), two.keys().collect::<Vec<_>>());
    for (name, bytes) in &one {
        assert!(two[name] == *bytes, "{name} differs between 1 and 2 threads");
    }
    assert_eq!(one["flows.parquet"], files(&p.path("web.analysis"))["flows.parquet"], "and between two runs");

    let before = files(&p.path("one")).len();
    assert!(p.run(0, &["web.zst", "--no-files"]).contains("SERVICE"));
    assert_eq!(files(&p.path("one")).len(), before);
}

#[test]
fn pcap_and_bundle_of_the_same_packets_give_the_same_rows() {
    let packets = capture::http(20);
    let p = Place::new().with("a.pcap", &capture::pcap(&packets)).with("b.zst", &capture::bundle(&packets, 7));
    let columns =
        "flow_id,start,end,client_ip,client_port,client_bytes,server_bytes,rtt_ns,close_type,history,l7_protocol";
    let flows = |input: &str| p.run(0, &["flows", input, "-c", columns]);
    assert_eq!(flows("a.pcap"), flows("b.zst"));
    // Parts of one capture are one recording, in whatever order they are named.
    let (first, second) = packets.split_at(83);
    let p = p.with("1.pcap", &capture::pcap(first)).with("2.pcap", &capture::pcap(second));
    let whole = p.run(0, &["flows", "a.pcap", "-c", columns]);
    assert_eq!(p.run(0, &["flows", "2.pcap", "1.pcap", "-c", columns]), whole);
}

#[test]
fn a_cut_bundle_is_analyzed_as_far_as_it_goes_and_exits_2() {
    let whole = capture::bundle(&capture::http(200), 100);
    // After some of the 18 frames, in the middle of one.
    let p = Place::new().with("cut.zst", &whole[..whole.len() / 2]);
    let out = p.analyze(&["flows", "cut.zst"]);
    assert_eq!(out.status.code(), Some(2));
    let rows = out.stdout.iter().filter(|b| **b == b'\n').count();
    assert!((1..200).contains(&rows), "{rows}");
    let stderr = String::from_utf8(out.stderr).unwrap();
    assert!(stderr.lines().all(|l| l.starts_with("analyze: damaged input: cut.zst: offset ")), "{stderr}");
    assert!(stderr.contains("not finalized"), "{stderr}");

    let summary = p.run(2, &["cut.zst"]);
    assert!(summary.contains("  DAMAGED: cut.zst: offset "), "{summary}");
    assert_eq!(summary.lines().last(), Some("report: cut.analysis/report.html"));
    let verdict = p.run(2, &["verify", "cut.zst"]);
    assert!(verdict.contains("\nDAMAGED: "), "{verdict}");
    assert!(p.run(2, &["info", "cut.zst"]).contains("damaged: offset "));

    let packets = capture::http(20);
    let pcap = capture::pcap(&packets);
    let p = p.with("cut.pcap", &pcap[..pcap.len() - 20]);
    assert_eq!(p.rows(2, &["flows", "cut.pcap"]).len(), 20);
    assert_eq!(p.rows(2, &["health", "cut.pcap"]).len(), 1);
}

#[test]
fn info_and_verify_tell_what_is_in_a_bundle() {
    let p = Place::new().with("web.zst", &capture::bundle(&capture::http(20), 40));
    let verdict = p.run(0, &["verify", "web.zst"]);
    assert!(verdict.contains("\npackets: 160\n") && verdict.ends_with("\nsound\n"), "{verdict}");
    assert!(verdict.contains("\ndigest in the index: right\n"), "{verdict}");
    let info: Value = serde_json::from_str(&p.run(0, &["info", "web.zst", "--format", "json"])).unwrap();
    assert_eq!((info["packets"].as_i64(), info["format"].as_str()), (Some(160), Some("bundle (zstd)")));
    assert_eq!(info["manifest"]["hostname"], "node1");
    assert_eq!(info["interfaces"][0]["name"], "eth0");
    assert_eq!(info["interfaces"][0]["packets"], 160);
    assert_eq!(info["first"], "2026-11-23T04:00:00.000000000Z");
    assert_eq!(info["summary"]["reason"], "duration");
    assert_eq!(info["damages"], Value::Array(Vec::new()));
    let text = p.run(0, &["info", "web.zst"]);
    for part in [
        "\npackets: 160\n",
        "\nnode: node1, 2 CPUs",
        "\nhooks: 1 of 2 attached\n  not attached: drops at tp_btf:kfree_skb: no such tracepoint\n",
        "\nended: duration; ",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn standard_input_and_a_closed_standard_output_are_fine() {
    let p = Place::new();
    let spawn = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_analyze"))
            .args(args)
            .current_dir(p.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut child = spawn(&["flows", "-"]);
    child.stdin.take().unwrap().write_all(&capture::pcap(&capture::http(3))).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.stdout.iter().filter(|b| **b == b'\n').count(), 3);

    // Whoever reads goes away before the first row.
    let mut child = spawn(&["flows", "-"]);
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(&capture::pcap(&capture::http(2_000))).unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8(out.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn a_filter_is_understood_or_refused_with_place_and_remedy() {
    let p = Place::new().with("web.pcap", &capture::pcap(&capture::http(6)));
    let flows = p.rows(0, &["flows", "web.pcap", "--filter", "port 40001 or 40003"]);
    assert_eq!(flows.iter().map(|f| f["client_port"].as_i64().unwrap()).collect::<Vec<_>>(), [40_001, 40_003]);
    assert_eq!(p.rows(0, &["requests", "web.pcap", "--filter", "not tcp"]).len(), 0);
    let summary = p.run(0, &["web.pcap", "--no-files", "--filter", "host 10.0.0.2 and port 40000"]);
    assert!(summary.contains("left out: 40 packets, 0 socket events"), "{summary}");
    let out = p.analyze(&["flows", "web.pcap", "--filter", "host 10.0.0.0/8"]);
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(said.contains("`10.0.0.0/8` is a network: write `net 10.0.0.0/8`\n  host 10.0.0.0/8\n       ^"), "{said}");
}

#[test]
fn a_stretch_of_time_is_replayed_alone() {
    let packets = capture::http(6);
    let p = Place::new().with("web.pcap", &capture::pcap(&packets)).with("web.zst", &capture::bundle(&packets, 10));
    for input in ["web.pcap", "web.zst"] {
        // Connections start 10 ms apart and last 8, the first at 04:00:00: eight packets each.
        let times = ["--from", "20ms", "--to", "2026-11-23T04:00:00.038Z"];
        let with = |args: &[&str]| p.rows(0, &[args, &times].concat());
        let ports: Vec<_> = with(&["flows", input]).iter().map(|f| f["client_port"].as_i64().unwrap()).collect();
        assert_eq!(ports, [40_002, 40_003]);
        assert_eq!(with(&["requests", input]).len(), 2);
        assert_eq!(with(&["tcp-packets", input]).len(), 16);
        assert_eq!(with(&["flows", input, "--filter", "port 40003 or port 40005"]).len(), 1);
        let summary = p.run(0, &[[input, "--no-files"].as_slice(), &times].concat());
        let said = "only what happened from 2026-11-23T04:00:00.020000000Z to 2026-11-23T04:00:00.038000000Z; left out: 32 packets";
        assert!(summary.contains(said), "{summary}");
        // One that is cut has what lies inside: its last three packets are those from 5 ms on.
        let cut = p.rows(0, &["flows", input, "--to", "8ms", "--from", "5ms"]);
        let packets = |f: &Value| f["client_packets"].as_i64().unwrap() + f["server_packets"].as_i64().unwrap();
        assert_eq!(cut.iter().map(packets).collect::<Vec<_>>(), [4]);
    }
    for (args, word) in [
        (vec!["flows", "web.pcap", "--from", "5s", "--to", "4s"], "later than --to"),
        (vec!["flows", "-", "--from", "1s"], "cannot be read twice"),
        (vec!["flows", "web.pcap", "--from", "soon"], "`soon` is no time"),
    ] {
        let out = p.analyze(&args);
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.code() == Some(1) && said.contains(word), "{args:?}: {said}");
    }
}

#[test]
fn flows_can_be_chosen_in_every_table_that_has_them() {
    let p = Place::new().with("web.pcap", &capture::pcap(&capture::http(6)));
    let community_id = p.rows(0, &["flows", "web.pcap"])[4]["community_id"].as_str().unwrap().to_owned();
    let packets = p.rows(0, &["tcp-packets", "web.pcap", "--flow", "2", "--community-id", &community_id]);
    assert_eq!(packets.len(), 16);
    assert!(packets.iter().all(|p| [Some(2), Some(4)].contains(&p["flow_id"].as_i64())));
    let q = &packets[3];
    assert_eq!(
        (q["frame"].as_i64(), q["direction"].as_str(), q["flags"].as_str()),
        (Some(20), Some("to_server"), Some("PA"))
    );
    assert_eq!((q["seq"].as_i64(), q["ack"].as_i64(), q["payload_bytes"].as_i64()), (Some(1), Some(1), Some(50)));
    assert_eq!((q["tcp_seq"].as_i64(), q["offset_ns"].as_i64()), (Some(1001), Some(3_000_000)));
    assert_eq!(p.rows(0, &["requests", "web.pcap", "--flow", "0,5"]).len(), 2);
    for (args, word) in [
        (vec!["requests", "web.pcap", "--flow", "6"], "no flow 6"),
        (vec!["spans", "web.pcap", "--flow", "1"], "spans do not belong"),
        (vec!["flows", "web.pcap", "--community-id", "1:x"], "1:x"),
    ] {
        let out = p.analyze(&args);
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!((out.status.code(), said.contains(word)), (Some(1), true), "{said}");
    }
    let drawn = p.run(0, &["plot", "web.pcap", "--flow", "3", "-o", "plots"]);
    assert_eq!(drawn, "plots/flow-3.svg\nplots/tcp-sequence-3.svg\n");
    let svg = std::fs::read_to_string(p.path("plots/tcp-sequence-3.svg")).unwrap();
    roxmltree::Document::parse(&svg).unwrap();
    assert!(svg.contains("client to server: 50 B in 5 packets, 0 sent again"), "{svg}");
}

#[test]
fn an_exported_slice_is_a_capture_of_the_same_packets() {
    let packets = capture::http(6);
    let p = Place::new().with("web.pcap", &capture::pcap(&packets)).with("web.zst", &capture::bundle(&packets, 10));
    for input in ["web.pcap", "web.zst"] {
        p.run(0, &["export", "--pcapng", "-o", "all.pcapng", input]);
        let info: Value = serde_json::from_str(&p.run(0, &["info", "all.pcapng", "--format", "json"])).unwrap();
        assert_eq!(info["format"], "pcapng");
        let columns =
            ["-c", "start,end,client_ip,client_port,client_packets,server_bytes,history,requests,request_errors"];
        let rows = |file: &str| p.run(0, &[["flows", file].as_slice(), &columns].concat());
        assert_eq!(rows("all.pcapng"), rows(input));
        let bytes = String::from_utf8_lossy(&std::fs::read(p.path("all.pcapng")).unwrap()).into_owned();
        assert!(bytes.contains("request 2: http GET shop.example /shop/items/2 \u{2192} 404 in 2.00 ms"));

        p.run(0, &["export", "--pcapng", "-o", "one.pcapng", input, "--flow", "3"]);
        assert_eq!(rows("one.pcapng").lines().collect::<Vec<_>>(), [rows(input).lines().nth(3).unwrap()]);
        // Connections start 10 ms apart and last 8.
        p.run(0, &["export", "--pcapng", "-o", "some.pcapng", input, "--from", "20ms", "--to", "38ms"]);
        assert_eq!(p.rows(0, &["flows", "some.pcapng"]).len(), 2);
        p.run(0, &["export", "--pcapng", "--plain", "-o", "plain.pcapng", input, "--from", "2026-11-23T04:00:00.050Z"]);
        assert_eq!(p.rows(0, &["flows", "plain.pcapng"]).len(), 1);
        assert!(!String::from_utf8_lossy(&std::fs::read(p.path("plain.pcapng")).unwrap()).contains("request"));
    }
    for args in [
        vec!["export", "web.pcap"],
        vec!["export", "--pcapng", "web.pcap"],
        vec!["export", "--pcapng", "-o", "web.pcap", "web.pcap"],
        vec!["export", "--pcapng", "-o", "x", "web.pcap", "--from", "5s", "--to", "4s"],
        vec!["export", "--pcapng", "-o", "x", "-"],
    ] {
        assert_eq!(p.analyze(&args).status.code(), Some(1), "{args:?}");
    }
}

#[test]
fn zeeks_logs_have_a_row_for_each_connection_and_request() {
    let p = Place::new().with("web.pcap", &capture::pcap(&capture::http(6)));
    p.run(0, &["export", "--zeek", "tsv", "web.pcap"]);
    p.run(0, &["export", "--zeek", "json", "--json", "web.pcap", "--flow", "2"]);
    let conn = std::fs::read_to_string(p.path("tsv/conn.log")).unwrap();
    let lines: Vec<&str> = conn.lines().collect();
    assert_eq!(lines[0], "#separator \\x09");
    let fields: Vec<&str> = lines[6].split('\t').skip(1).collect();
    let types: Vec<&str> = lines[7].split('\t').skip(1).collect();
    assert_eq!((fields.len(), lines.len()), (types.len(), 8 + 6 + 1));
    let row: BTreeMap<&str, &str> = fields.into_iter().zip(lines[9].split('\t')).collect();
    let expected = [
        ("ts", "1795406400.010000"),
        ("id.orig_h", "10.0.0.1"),
        ("id.orig_p", "40001"),
        ("id.resp_p", "80"),
        ("proto", "tcp"),
        ("service", "http"),
        // Up to the second FIN.
        ("duration", "0.007000"),
        ("orig_bytes", "50"),
        ("resp_bytes", "40"),
        ("conn_state", "SF"),
        ("local_orig", "T"),
        ("orig_pkts", "5"),
        ("resp_ip_bytes", "160"),
        ("tunnel_parents", "-"),
    ];
    for (name, value) in expected {
        assert_eq!(row[name], value, "{name}");
    }
    let http = std::fs::read_to_string(p.path("json/http.log")).unwrap();
    let http: Value = serde_json::from_str(&http).unwrap();
    assert_eq!((http["uri"].as_str(), http["status_code"].as_i64()), (Some("/shop/items/2"), Some(404)));
    let conn: Value = serde_json::from_str(&std::fs::read_to_string(p.path("json/conn.log")).unwrap()).unwrap();
    assert_eq!((conn["uid"].as_str(), conn["ts"].as_f64()), (http["uid"].as_str(), Some(1_795_406_400.02)));
    assert!(!p.path("tsv/dns.log").exists());
}

#[test]
fn damaged_packets_are_left_out_if_that_is_asked_for() {
    let mut packets = capture::http(1);
    // The request, damaged: its checksum is neither right nor one that is left to the card.
    packets[3].1[50..52].copy_from_slice(&[0xde, 0xad]);
    let p = Place::new().with("web.pcap", &capture::pcap(&packets));
    let believed = p.rows(0, &["flows", "web.pcap"]);
    assert_eq!((believed[0]["client_bad_checksums"].as_i64(), believed[0]["requests"].as_i64()), (Some(0), Some(1)));
    let flows = p.rows(0, &["flows", "--checksums", "web.pcap"]);
    assert_eq!((flows[0]["client_bad_checksums"].as_i64(), flows[0]["client_packets"].as_i64()), (Some(1), Some(5)));
    assert_eq!(flows[0]["history"].as_str(), Some("ShACdGFf"), "the request is acknowledged and never seen");
    let health = p.rows(0, &["health", "--checksums", "web.pcap"]);
    assert_eq!((health[0]["kind"].as_str(), health[0]["lost"].as_i64()), (Some("checksum"), Some(1)));
    let marks: Vec<_> = p.rows(0, &["tcp-packets", "--checksums", "web.pcap"]);
    assert_eq!(marks[3]["analysis"].as_str(), Some("bad_checksum"));
    p.run(0, &["export", "--zeek", "out", "--json", "--checksums", "web.pcap"]);
    let conn: Value = serde_json::from_str(&std::fs::read_to_string(p.path("out/conn.log")).unwrap()).unwrap();
    assert_eq!((conn["orig_pkts"].as_i64(), conn["orig_ip_bytes"].as_i64()), (Some(4), Some(4 * 40)));
}

#[test]
fn tcp_metrics_may_be_those_of_deepflow() {
    let p = Place::new().with("web.pcap", &capture::pcap(&capture::http(1)));
    let ours = &p.rows(0, &["flows", "web.pcap"])[0];
    let theirs = &p.rows(0, &["flows", "--tcp-metrics", "deepflow", "web.pcap"])[0];
    // Server's side of the handshake, 1 ms: DeepFlow's is the time between SYN and SYN-ACK, as ours.
    assert_eq!((&ours["rtt_ns"], &theirs["rtt_server_ns"]), (&Value::from(2_000_000), &Value::from(1_000_000)));
    assert_eq!(p.analyze(&["flows", "--tcp-metrics", "other", "web.pcap"]).status.code(), Some(1));
}

#[test]
fn flows_need_no_payloads() {
    let p = Place::new().with("web.pcap", &capture::pcap(&capture::http(6)));
    let (parsed, bare) = (p.rows(0, &["flows", "web.pcap"]), p.rows(0, &["flows", "--no-parse", "web.pcap"]));
    assert_eq!(parsed.len(), bare.len());
    for (a, b) in parsed.iter().zip(&bare) {
        assert_eq!(
            (&a["rtt_ns"], &a["client_bytes"], &a["art_sum_ns"]),
            (&b["rtt_ns"], &b["client_bytes"], &b["art_sum_ns"])
        );
        assert_eq!((&a["l7_protocol"], &b["l7_protocol"]), (&Value::from("http"), &Value::Null));
        assert_eq!(b["requests"], 0);
        assert!(a["requests"].as_u64() > Some(0));
    }
}

#[test]
fn results_that_cannot_be_written_are_told_in_one_sentence() {
    let p = Place::new().with("web.pcap", &capture::pcap(&capture::http(3))).with("file", b"");
    let refused = |args: &[&str], says: &str| {
        let out = p.analyze(args);
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert_eq!((out.status.code(), stderr.lines().count()), (Some(1), 1), "{args:?}: {stderr}");
        assert!(stderr.contains(says), "{args:?}: {stderr}");
    };
    for args in [&["web.pcap", "-o", "file"][..], &["plot", "web.pcap", "-o", "file"]] {
        refused(args, "cannot write to file: file is no folder; give another one with --output");
    }
    refused(&["flows", "web.pcap", "-o", "nowhere/x.csv"], "cannot write nowhere/x.csv: ");
    // What is asked of a file that is not there leaves no folder behind.
    refused(&["missing.pcap", "-o", "results/of/it"], "missing.pcap: cannot be opened");
    assert!(!p.path("results").exists());
    if cfg!(target_os = "linux") {
        for format in ["csv", "jsonl", "parquet", "table"] {
            refused(
                &["flows", "web.pcap", "-o", "/dev/full", "-f", format],
                "cannot write /dev/full: No space left on device",
            );
        }
    }
    for command in ["info", "verify"] {
        let out = p.analyze(&[command, "web.pcap", "--filter", "port 80"]);
        let stderr = String::from_utf8(out.stderr).unwrap();
        assert!(stderr.contains("`analyze interfaces FILE --filter EXPR`"), "{stderr}");
        assert_eq!(out.status.code(), Some(1));
    }
}

#[test]
fn masked_secrets_are_counted_where_people_look() {
    // The same length, so that the packets stay as they are.
    let mut bytes = capture::pcap(&capture::http(3));
    let at = bytes.windows(13).position(|w| w == b"/shop/items/1").unwrap();
    bytes[at..at + 13].copy_from_slice(b"/s?token=abcd");
    let p = Place::new().with("web.pcap", &bytes);
    let masked = p.rows(0, &["masked", "web.pcap"]);
    assert_eq!(masked, [serde_json::json!({"by": "analyze", "secret": "url", "times": 1})]);
    // That is no loss: who looks for what is missing does not find it there.
    assert_eq!(p.rows(0, &["health", "web.pcap"]).len(), 0);
    let summary = p.run(0, &["web.pcap", "-o", "out"]);
    assert!(summary.contains("  masked: 1 secret by analyze\n"), "{summary}");
    assert!(summary.contains("complete: nothing lost"), "{summary}");
    let report = String::from_utf8(files(&p.path("out")).remove("report.html").unwrap()).unwrap();
    assert!(report.contains("url: 1 secret masked by analyze"));
    assert!(!report.contains("token=abcd"));
    assert_eq!(p.rows(0, &["masked", "--show-secrets", "web.pcap"]).len(), 0);
}

#[test]
fn an_empty_capture_is_said_to_be_empty() {
    let p = Place::new().with("none.pcap", &capture::pcap(&[])).with("web.pcap", &capture::pcap(&capture::http(2)));
    p.run(0, &["none.pcap", "-o", "none"]);
    let filtered = p.run(0, &["web.pcap", "--filter", "port 9", "-o", "filtered"]);
    assert!(filtered.contains("empty: no packets, no events"), "{filtered}");
    for folder in ["none", "filtered"] {
        let report = String::from_utf8(files(&p.path(folder)).remove("report.html").unwrap()).unwrap();
        assert!(report.contains("no packets, no events") && !report.contains("1970-01-01"), "{folder}");
    }
}
