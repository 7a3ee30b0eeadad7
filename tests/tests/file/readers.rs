//! Readers that this project did not write, and one written from the specification alone.

use super::corpus;
use anyhow::{Context, Result, ensure};
use e2e::programs::analyze;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

fn info() -> Result<Value> {
    let output = analyze(&["info", corpus("shop.zst").to_str().context("path")?, "--format", "json"])?;
    ensure!(output.code == 0, "analyze info: {} {}", output.code, output.stderr);
    Ok(serde_json::from_str(&output.stdout)?)
}

pub(crate) fn python_reader_agrees() -> Result<()> {
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/bundle_reader.py");
    let out = Command::new("/usr/bin/python3").arg(reader).arg(corpus("shop.zst")).output()?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let info = info()?;
    let mut kinds = BTreeMap::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let row: Value = serde_json::from_str(line)?;
        kinds.insert(row["kind"].as_str().context("a line without kind")?.to_owned(), row);
    }
    let ours = info["events"].as_object().context("no events in `analyze info`")?;
    ensure!(ours.len() >= 5, "only {} kinds of events", ours.len());
    for (kind, count) in ours {
        ensure!(
            kinds.get(kind).map(|row| &row["count"]) == Some(count),
            "{kind}: {count} against {:?}",
            kinds.get(kind)
        );
    }
    ensure!(
        kinds.get("packet").map(|row| &row["count"]) == Some(&info["packets"]),
        "packets: {:?}",
        kinds.get("packet")
    );
    for edge in ["first_ts", "last_ts"] {
        ensure!(kinds["socket_data"][edge] == info["times"]["socket_data"][edge], "{edge} of socket_data: {info}");
    }
    Ok(())
}

pub(crate) fn tshark_and_capinfos_open_it() -> Result<()> {
    let packets = info()?["packets"].as_u64().context("no packets in `analyze info`")?;
    let out = Command::new("tshark")
        .arg("-r")
        .arg(corpus("shop.zst"))
        .args(["-T", "fields", "-e", "frame.number"])
        .output()?;
    ensure!(out.status.success(), "tshark: {}", String::from_utf8_lossy(&out.stderr));
    ensure!(
        out.stdout.iter().filter(|b| **b == b'\n').count() as u64 == packets,
        "tshark and we differ from {packets}"
    );
    let out = Command::new("capinfos").args(["-T", "-r", "-M", "-c"]).arg(corpus("shop.zst")).output()?;
    let line = String::from_utf8_lossy(&out.stdout);
    ensure!(
        line.trim().rsplit('\t').next().and_then(|n| n.parse().ok()) == Some(packets),
        "capinfos says `{}`, we {packets}",
        line.trim()
    );
    Ok(())
}
