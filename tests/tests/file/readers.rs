//! Readers that this project did not write, and one written from the specification alone.

use super::corpus;
use anyhow::{Context, Result, ensure};
use e2e::programs::{info, utc_ns};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

pub(crate) fn python_reader_agrees() -> Result<()> {
    let reader = concat!(env!("CARGO_MANIFEST_DIR"), "/bundle_reader.py");
    let out = Command::new("/usr/bin/python3").arg(reader).arg(corpus("shop.zst")).output()?;
    ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let info = info(&corpus("shop.zst"))?;
    let mut theirs = BTreeMap::new();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        let row: Value = serde_json::from_str(line)?;
        // One line per kind; packets have one more per interface, and the first line is about the file.
        if let (Some(kind), None) = (row["kind"].as_str(), row.get("interface")) {
            theirs.insert(kind.to_owned(), row);
        }
    }
    let ours = info["kinds"].as_object().context("no kinds in `analyze info`")?;
    ensure!(ours.len() >= 12 && ours.keys().eq(theirs.keys()), "kinds: {:?} and {:?}", ours.keys(), theirs.keys());
    for (kind, row) in ours {
        let reader = &theirs[kind];
        ensure!(row["records"] == reader["count"], "{kind}: {row} against {reader}");
        for (edge, theirs) in [("first", "first_ts"), ("last", "last_ts")] {
            ensure!(
                row[edge].as_str().and_then(utc_ns) == reader[theirs].as_i64().map(i128::from),
                "{edge} of {kind}: {row} against {reader}"
            );
        }
    }
    ensure!(theirs["packet"]["count"] == info["packets"], "packets: {}", theirs["packet"]);
    Ok(())
}

pub(crate) fn tshark_and_capinfos_open_it() -> Result<()> {
    let packets = info(&corpus("shop.zst"))?["packets"].as_u64().context("no packets in `analyze info`")?;
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
