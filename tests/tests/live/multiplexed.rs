//! Many requests under way on one connection: gRPC and HTTP/2, held against their clients' logs.

use super::logs::{Compare, VIEWS, seen_by, text};
use super::servers::{here, whole_call, with_every_packet};
use super::web::start_nginx;
use anyhow::{Result, ensure};
use e2e::lab::Lab;
use e2e::venv;
use serde_json::Value;
use std::fs;
use std::process::Command;

/// What is captured of system calls and packets when all of it is wanted.
const ALL_BYTES: [&str; 4] = ["--payload", "65535", "-s", "65535"];

fn code(row: &Value) -> String {
    row["response_code"].as_i64().map_or(String::new(), |code| code.to_string())
}

/// A call is known by its method, which is the endpoint.
fn call_row(row: &Value) -> String {
    let kind = format!("{} {}", text(row, "request_type"), text(row, "endpoint"));
    format!("{kind} {} {} {}", text(row, "request_resource"), text(row, "response_status"), code(row))
}

pub(crate) fn grpc() -> Result<()> {
    let mut lab = Lab::new("grpc")?;
    let script = lab.write("orders.py", include_str!("../../app/orders.py"))?;
    lab.start("orders", Command::new(venv::python()?).arg("-B").arg(script).arg("7001"))?;
    lab.ready("orders", 7001)?;
    let compare = Compare { row: &call_row, call: &whole_call, times: 1, durations: true };
    let client = |lab: &Lab, more: &[&str]| {
        let words = [&["grpc", "7001"], more].concat();
        lab.client_of("multiplexed.py", include_str!("../../app/multiplexed.py"), &words)
    };
    let all = ["threads", "large", "burst"];
    for (name, more, args, count) in [("default", &all[..], &[][..], 377), ("all", &all[..2], &ALL_BYTES, 127)] {
        let (rows, log, _) = with_every_packet(&lab, args, |lab| client(lab, more))?;
        let rows = here(&lab, rows)?;
        ensure!(log.len() == count, "{} calls", log.len());
        let rows: Vec<&Value> = rows.iter().filter(|r| r["server_port"] == 7001).collect();
        for view in VIEWS {
            let seen = seen_by(view, &rows);
            compare.check(&format!("gRPC, {name}, {view}"), &seen, &log.iter().collect::<Vec<_>>())?;
            ensure!(seen.len() == log.len(), "{name}, {view}: {} rows for {} calls", seen.len(), log.len());
            for row in &seen {
                ensure!(row["l7_protocol"] == "grpc" && row["request_domain"] == "127.0.0.1:7001", "{view}: {row}");
                let stalled = text(row, "endpoint").ends_with("/Stall");
                ensure!(text(row, "response_exception").contains("CANCEL") == stalled, "{view}: {row}");
                if let Some(n) = text(row, "endpoint").strip_prefix("/shop.Orders/Traced") {
                    let n: u64 = n.parse()?;
                    ensure!(text(row, "trace_id") == format!("{:032x}", n + 1), "{view}: {row}");
                    ensure!(text(row, "x_request_id") == format!("id-{n}"), "{view}: {row}");
                }
            }
        }
    }
    Ok(())
}

fn request_row(row: &Value) -> String {
    let kind = format!("{} {}", text(row, "request_type"), text(row, "request_resource"));
    format!("{kind} {} {}", text(row, "response_status"), code(row))
}

pub(crate) fn http2() -> Result<()> {
    let mut lab = Lab::new("http2")?;
    fs::create_dir(lab.folder().join("files"))?;
    for size in [20usize, 300_000, 5_000_000] {
        fs::write(lab.folder().join(format!("files/f{size}")), b"x".repeat(size))?;
    }
    start_nginx(&mut lab, "server { listen 127.0.0.1:8082 http2; root DIR/files; }")?;
    lab.ready("nginx", 8082)?;
    for (name, args) in [("default", &[][..]), ("all", &ALL_BYTES)] {
        http2_seen(&lab, name, args)?;
    }
    Ok(())
}

fn http2_seen(lab: &Lab, name: &str, args: &[&str]) -> Result<()> {
    let (rows, (log, said), _) = with_every_packet(lab, args, |lab| {
        let log = lab.client_of("multiplexed.py", include_str!("../../app/multiplexed.py"), &["http2", "8082"])?;
        // Another client: 100 requests at a time on each of 3 connections, sent in one call.
        let mut load = Command::new("h2load");
        let said = lab.run(load.args(["-n", "300", "-c", "3", "-m", "100", "http://127.0.0.1:8082/f20?h2load"]))?;
        Ok((log, String::from_utf8_lossy(&said.stdout).into_owned()))
    })?;
    let rows = here(lab, rows)?;
    ensure!(said.contains("300 succeeded"), "h2load: {said}");
    ensure!(log.len() == 80 + 100 + 5 + 5 + 1, "{} requests", log.len());
    let rows: Vec<&Value> = rows.iter().filter(|r| r["server_port"] == 8082).collect();
    let compare = Compare { row: &request_row, call: &whole_call, times: 1, durations: true };
    for view in VIEWS {
        let seen = seen_by(view, &rows);
        let (of_h2load, of_log): (Vec<&Value>, Vec<&Value>) =
            seen.into_iter().partition(|r| text(r, "request_resource") == "/f20?h2load");
        compare.check(&format!("HTTP/2, {name}, {view}"), &of_log, &log.iter().collect::<Vec<_>>())?;
        ensure!(of_log.len() == log.len(), "{view}: {} rows for {} requests", of_log.len(), log.len());
        for row in of_log {
            ensure!(row["l7_protocol"] == "http2" && row["request_domain"] == "lab.example", "{view}: {row}");
            let cut = text(row, "request_resource").contains("?cut=");
            ensure!(text(row, "response_exception").contains("by the client: CANCEL") == cut, "{view}: {row}");
        }
        let fine = of_h2load.iter().filter(|r| request_row(r) == "GET /f20?h2load ok 200").count();
        ensure!((fine, of_h2load.len()) == (300, 300), "{view}: of {} rows of h2load {fine} are ok", of_h2load.len());
    }
    Ok(())
}
