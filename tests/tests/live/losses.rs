//! Load that the recorder must bear, losses that it must own up to, and its own sudden death.

use anyhow::{Context, Result, ensure};
use e2e::programs::{Recording, analyze, info, table, utc_ns};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
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
    let health = table("health", &bundle)?;
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
