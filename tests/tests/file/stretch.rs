//! A stretch of time, replayed alone, is what the whole recording's rows show of it.

use super::corpus;
use anyhow::{Context, Result, ensure};
use e2e::programs::{table_with, utc_ns};
use serde_json::Value;
use std::collections::BTreeSet;

const FROM: i128 = 1_000_000_000;
const TO: i128 = 2_000_000_000;

fn rows(table: &str, more: &[&str]) -> Result<Vec<Value>> {
    table_with(table, &corpus("shop.zst"), more)
}

pub(crate) fn a_stretch_of_time() -> Result<()> {
    let columns = [
        "-c",
        "observed_at,request_ts,response_ts,l7_protocol,request_type,request_resource,response_code,client_port,pid,tid",
    ];
    let all = rows("requests", &columns)?;
    let some = rows("requests", &[&columns[..], &["--from", "1s", "--to", "2s"]].concat())?;
    let ns = |row: &Value, column: &str| row[column].as_str().and_then(utc_ns);
    // The recording begins with its first connection, which is a request's.
    let start = rows("flows", &["-c", "start"])?.iter().filter_map(|f| ns(f, "start")).min().context("no flows")?;
    let within = |ts: Option<i128>| ts.is_some_and(|ts| (start + FROM..=start + TO).contains(&ts));
    let inside = |row: &&Value| within(ns(row, "request_ts")) && within(ns(row, "response_ts"));
    let texts = |rows: &mut dyn Iterator<Item = &Value>| rows.map(Value::to_string).collect::<BTreeSet<_>>();
    let expected = texts(&mut all.iter().filter(inside));
    ensure!(expected.len() > 100 && expected.len() < all.len() / 2, "{} of {} rows", expected.len(), all.len());
    let found = texts(&mut some.iter());
    let missing: Vec<_> = expected.difference(&found).collect();
    ensure!(missing.is_empty(), "{} rows are missing: {missing:?}", missing.len());
    // What else there is began before or was answered after.
    let others = texts(&mut some.iter().filter(inside));
    ensure!(others == expected, "rows that the whole recording lacks: {:?}", others.difference(&expected));
    // Samples outside say nothing of it.
    let samples =
        |more: &[&str]| -> Result<u64> { Ok(rows("stacks", more)?.iter().filter_map(|r| r["samples"].as_u64()).sum()) };
    let (whole, part) = (samples(&[])?, samples(&["--from", "1s", "--to", "2s"])?);
    ensure!(0 < part && part < whole, "{part} of {whole} samples");
    Ok(())
}
