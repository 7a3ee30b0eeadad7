//! Load that the recorder must bear, losses that it must own up to, and its own sudden death.

use anyhow::{Context, Result, ensure};
use e2e::netns::{NetNs, ip};
use e2e::programs::{Recording, analyze, info, table, utc_ns};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Writes and reads 64 bytes over a socket pair, `per_second` system calls altogether (as fast as it goes
/// if `None`), for `length`. Returns the calls made.
fn socket_calls(per_second: Option<u64>, length: Duration) -> Result<u64> {
    let (mut a, mut b) = UnixStream::pair()?;
    let payload = [b'x'; 64];
    let mut buffer = [0u8; 64];
    let start = Instant::now();
    let mut calls = 0u64;
    while start.elapsed() < length {
        if let Some(rate) = per_second {
            // Fifty bursts a millisecond apart would smooth nothing: real load comes in bursts too.
            let due = start.elapsed().as_micros() as u64 * rate / 1_000_000;
            if calls >= due {
                std::thread::sleep(Duration::from_micros(500));
                continue;
            }
        }
        a.write_all(&payload)?;
        b.read_exact(&mut buffer)?;
        calls += 2;
    }
    Ok(calls)
}

pub(crate) fn none_at_100k_events_per_second() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("load.zst");
    let recording = Recording::start(&bundle, &[])?;
    let calls = socket_calls(Some(100_000), Duration::from_secs(10))?;
    recording.stop()?;
    ensure!(calls >= 950_000, "the load itself made only {calls} calls");
    let mut health = table("health", &bundle)?;
    // Packets of others that the kernel ran no program for are not the recorder's doing (docs/limitations.md).
    health.retain(|row| row["kind"] != "not_run");
    ensure!(health.iter().all(|row| row["lost"].as_u64() == Some(0)), "lost: {health:?}");
    let info = info(&bundle)?;
    let captured =
        info["kinds"]["socket_data"]["records"].as_u64().context("no count of socket_data in `analyze info`")?;
    ensure!(captured >= calls, "{captured} records of {calls} calls");
    Ok(())
}

pub(crate) fn small_ring_is_reported() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("small.zst");
    let recording = Recording::start(&bundle, &["--ring", "64KiB", "--no-packets"])?;
    let calls = socket_calls(None, Duration::from_secs(2))?;
    let said = recording.stop()?;
    let health = table("health", &bundle)?;
    let lost: u64 =
        health.iter().filter(|row| row["kind"] == "socket_data").filter_map(|row| row["lost"].as_u64()).sum();
    ensure!(lost > 0, "{calls} calls through a ring of 64 KiB and nothing lost? {health:?}");
    ensure!(said.contains("lost"), "the last lines do not say so: {said}");
    for row in &health {
        ensure!(
            row["first"].is_string() && row["last"].is_string() && row["cause"].is_string(),
            "no time or cause: {row}"
        );
    }
    let info = info(&bundle)?;
    let captured =
        info["kinds"]["socket_data"]["records"].as_u64().context("no count of socket_data in `analyze info`")?;
    ensure!(captured + lost >= calls, "{captured} captured and {lost} lost of {calls} calls");
    let me = u64::from(std::process::id());
    let flows = table("flows", &bundle)?;
    let mine: Vec<_> =
        flows.iter().filter(|f| f["client_pid"].as_u64() == Some(me) || f["server_pid"].as_u64() == Some(me)).collect();
    ensure!(!mine.is_empty(), "the flow that lost its events is not there");
    for flow in mine {
        ensure!(flow["completeness"].as_str().is_some_and(|c| c.contains("gap")), "not marked: {flow}");
    }
    Ok(())
}

pub(crate) fn killed_recorder() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("killed.zst");
    let recording = Recording::start(&bundle, &[])?;
    socket_calls(Some(5_000), Duration::from_secs(3))?;
    let killed_ns = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    recording.kill()?;
    let info = info(&bundle)?;
    let last = info["last"].as_str().and_then(utc_ns).context("no last time in `analyze info`")?;
    let missing = killed_ns as i128 - last;
    ensure!(missing < 1_000_000_000, "the last {missing} ns before the kill are missing");
    let output = analyze(&["verify", bundle.to_str().context("path")?])?;
    ensure!(output.code == 2, "verify calls a killed recording sound: {}", output.stdout);
    let health = table("health", &bundle)?;
    ensure!(!health.is_empty(), "nothing in health about the missing end");
    Ok(())
}

/// Frames that a packet socket hands to the driver past the queues, where Linux has no tracepoint (`__dev_direct_xmit` in net/core/dev.c): the
/// interface counts them as sent, and no program can see them.
const PAST_THE_HOOKS: &str = r#"
import socket, sys
ordinary = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(200): ordinary.sendto(b'ordinary', ('10.74.0.2', 9))
past = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
past.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
past.bind(('near', 0))
for i in range(37): past.send(b'\xff' * 6 + b'\x02' * 6 + b'\x88\xb5' + b'past the hooks'.ljust(60))
"#;

pub(crate) fn packets_past_the_hooks() -> Result<()> {
    let (here, there) = (NetNs::new("pasth")?, NetNs::new("pastt")?);
    // What IPv6 sends by itself while the first counters are read would count against the 37.
    for ns in [&here, &there] {
        for of in ["all", "default"] {
            ns.run(|| std::fs::write(format!("/proc/sys/net/ipv6/conf/{of}/disable_ipv6"), "1"))??;
        }
    }
    ip(&["-n", here.name(), "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", there.name()])?;
    for (ns, device, address) in [(&here, "near", "10.74.0.1/24"), (&there, "far", "10.74.0.2/24")] {
        ip(&["-n", ns.name(), "addr", "add", address, "dev", device])?;
        ip(&["-n", ns.name(), "link", "set", device, "up"])?;
    }
    let folder = tempfile::tempdir()?;
    let record = |name: &str, args: &[&str]| -> Result<_> {
        let bundle = folder.path().join(name);
        let recording = Recording::start(&bundle, args)?;
        let output = here.enter(Command::new("/usr/bin/python3").args(["-c", PAST_THE_HOOKS])).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        recording.stop()?;
        let of_near = format!("near in network namespace {} sent at least so many packets", here.inode()?);
        let rows = table("health", &bundle)?;
        let about = |row: &&serde_json::Value| {
            row["kind"] == "not_run" && row["cause"].as_str().is_some_and(|cause| cause.contains(&of_near))
        };
        Ok((rows.iter().find(about).and_then(|row| row["lost"].as_u64()), rows))
    };
    let quiet = ["--no-syscalls", "--no-stacks"];
    let (missing, rows) = record("named.zst", &[&quiet[..], &["-i", "near"]].concat())?;
    ensure!(missing.is_some_and(|n| n >= 37), "37 packets passed no program: {rows:?}");
    // Where not all packets were to be recorded, counters tell nothing.
    for (name, args) in [("port.zst", ["--port", "7"]), ("other.zst", ["-i", "far"])] {
        let (missing, rows) = record(name, &[&quiet[..], &args].concat())?;
        ensure!(missing.is_none(), "{args:?}: {rows:?}");
    }
    Ok(())
}
