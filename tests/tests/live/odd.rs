//! What the field has beside servers: processes that come and go, descriptors that move.

use super::logs::{seen_by, text};
use super::servers::{here, with_every_packet};
use anyhow::{Context, Result, ensure};
use e2e::children::Guard;
use e2e::lab::Lab;
use e2e::programs::{Recording, table};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

/// Many short processes, ended in every way, before, during and after; in a pid namespace of their own too.
pub(crate) fn processes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("processes.zst");
    let mut before = Guard::start("sleep", Command::new("sleep").arg("60"), None)?;
    let recording = Recording::start(&bundle, &["--no-packets"])?;
    let mut ended: BTreeMap<u32, (Option<i32>, Option<i32>, &str)> = BTreeMap::new();
    for i in 0..40 {
        let code = (i % 4).to_string();
        let script = match i % 5 {
            0 => "kill -9 $$",
            1 => "kill -15 $$",
            2 => "for i in 1 2 3 4 5; do /bin/true; /bin/echo x >/dev/null & done; wait; exit $0",
            3 => "exec /bin/sh -c 'exit $0' $0",
            _ => "exit $0",
        };
        let mut child = Command::new("/bin/sh").args(["-c", script, &code]).spawn()?;
        let status = child.wait()?;
        ended.insert(child.id(), (status.code(), status.signal(), script));
    }
    // Its own pid namespace: there it is process 1, here it has a number like any other.
    let status =
        Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "/bin/sh", "-c", "exit 23"]).status()?;
    ensure!(status.code() == Some(23), "unshare: {status}");
    let after = Guard::start("sleep", Command::new("sleep").arg("61"), None)?;
    before.signal(libc::SIGTERM);
    before.wait(Duration::from_secs(5))?;
    std::thread::sleep(Duration::from_millis(100));
    recording.stop()?;
    let rows = table("processes", &bundle)?;
    let one = |pid: u32, fits: &dyn Fn(&Value) -> bool| -> Result<&Value> {
        let mut of_pid = rows.iter().filter(|r| r["pid"].as_u64() == Some(u64::from(pid)) && fits(r));
        let row = of_pid.next().with_context(|| format!("process {pid} is not in the table"))?;
        ensure!(of_pid.next().is_none(), "process {pid} is there twice");
        Ok(row)
    };
    for (pid, (code, signal, script)) in &ended {
        let row = one(*pid, &|r| text(r, "command_line").contains("sh"))?;
        let how = |column: &str| row[column].as_i64().and_then(|n| i32::try_from(n).ok());
        ensure!(
            (how("exit_code"), how("exit_signal")) == (*code, *signal),
            "{script}: code {code:?}, signal {signal:?}, but {row}"
        );
        ensure!(row["start"].is_string() && row["end"].is_string(), "no times: {row}");
    }
    let row = one(before.pid(), &|r| r["name"] == "sleep")?;
    ensure!(row["exit_signal"] == 15 && row["end"].is_string() && text(row, "command_line") == "sleep 60", "{row}");
    let row = one(after.pid(), &|r| r["name"] == "sleep")?;
    ensure!(row["end"].is_null() && row["exit_code"].is_null() && row["start"].is_string(), "{row}");
    ensure!(rows.iter().any(|r| r["exit_code"] == 23 && r["name"] == "sh"), "the process in its own pid namespace");
    Ok(())
}

/// Connections that one process accepts and others answer, and thousands of them, their descriptors used again and again.
pub(crate) fn descriptors() -> Result<()> {
    const CONNECTIONS: usize = 2000;
    let mut lab = Lab::new("odd")?;
    let script = lab.write("handoff.py", include_str!("../../app/handoff.py"))?;
    let acceptor = lab.start("handoff", Command::new("/usr/bin/python3").arg("-B").arg(script).arg("8070"))?;
    lab.ready("handoff", 8070)?;
    let (rows, (), _) = with_every_packet(&lab, &[], |lab| {
        lab.ns.run(|| {
            for n in 0..CONNECTIONS {
                let mut connection = TcpStream::connect(("127.0.0.1", 8070))?;
                connection.write_all(format!("GET /c{n} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())?;
                let mut answer = String::new();
                connection.read_to_string(&mut answer)?;
                ensure!(answer.ends_with("ok"), "answer {n}: {answer:?}");
            }
            Ok(())
        })?
    })?;
    let rows = here(&lab, rows)?;
    let rows: Vec<&Value> = rows.iter().filter(|r| r["server_port"] == 8070).collect();
    let mut wanted: Vec<String> = (0..CONNECTIONS).map(|n| format!("/c{n} 200 complete")).collect();
    wanted.sort();
    for view in ["client", "server", "packets"] {
        let of_view = seen_by(view, &rows);
        let mut seen: Vec<String> = of_view
            .iter()
            .map(|r| format!("{} {} {}", text(r, "request_resource"), r["response_code"], text(r, "completeness")))
            .collect();
        seen.sort();
        let odd = seen.iter().find(|s| !wanted.contains(s));
        ensure!(seen == wanted, "{view}: {} requests for {CONNECTIONS} connections, for one {odd:?}", seen.len());
        if view == "server" {
            let by: std::collections::BTreeSet<u64> = of_view.iter().filter_map(|r| r["pid"].as_u64()).collect();
            ensure!(by.len() == 2 && !by.contains(&u64::from(acceptor)), "answered by {by:?}, accepted by {acceptor}");
        }
    }
    Ok(())
}
