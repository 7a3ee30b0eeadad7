//! nginx -> Python -> Redis + PostgreSQL, held against the load generator's log.

use anyhow::{Context, Result, bail, ensure};
use e2e::load::{self, Logged};
use e2e::programs::{Recording, table};
use e2e::shop::{Shop, Upstream};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

const REQUESTS: u32 = 400;

pub(crate) fn fresh_upstream() -> Result<()> {
    check(Upstream::Fresh)
}

pub(crate) fn keep_alive_upstream() -> Result<()> {
    check(Upstream::KeepAlive)
}

fn check(upstream: Upstream) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("shop.zst");
    let shop = Shop::start(upstream)?;
    load::run(&shop.ns, 6, 60, 1_000_000)?; // warm: pools connected, code imported
    let recording = Recording::start(&bundle, &[])?;
    let log = load::run(&shop.ns, 6, REQUESTS, 0)?;
    shop.ns.wait_until_idle()?;
    recording.stop()?;
    drop(shop);

    let requests = table("requests", &bundle)?;
    let me = u64::from(std::process::id());
    let mine: Vec<&Value> = requests
        .iter()
        .filter(|r| r["l7_protocol"] == "http" && r["side"] == "client" && r["pid"].as_u64() == Some(me))
        .collect();
    let nginx: Vec<&Value> = requests
        .iter()
        .filter(|r| r["l7_protocol"] == "http" && r["side"] == "server" && r["process"] == "nginx")
        .collect();
    same_requests("client side", &mine, &log)?;
    same_requests("nginx's side", &nginx, &log)?;
    traces(&table("spans", &bundle)?, &requests, &log)
}

fn text<'v>(row: &'v Value, column: &str) -> &'v str {
    row[column].as_str().unwrap_or("")
}

/// The rows are exactly the requests of the log: method, path, status, order per connection, and a
/// duration that fits into what the client measured around its own calls.
fn same_requests(whose: &str, rows: &[&Value], log: &[Logged]) -> Result<()> {
    ensure!(rows.len() == log.len(), "{whose}: {} rows for {} requests", rows.len(), log.len());
    let by_path: HashMap<&str, &&Value> = rows.iter().map(|r| (text(r, "request_resource"), r)).collect();
    ensure!(by_path.len() == log.len(), "{whose}: {} distinct paths for {} requests", by_path.len(), log.len());
    for entry in log {
        let row = by_path.get(entry.path.as_str()).with_context(|| format!("{whose}: no row for {}", entry.path))?;
        let code = row["response_code"].as_u64();
        ensure!(
            text(row, "request_type") == entry.method && code == Some(u64::from(entry.status)),
            "{whose}: {entry:?} is {row}"
        );
        let status = match entry.status {
            400..=499 => "client_error",
            500..=599 => "server_error",
            _ => "ok",
        };
        ensure!(text(row, "response_status") == status, "{whose}: {entry:?} is {row}");
        let duration = row["duration_ns"].as_u64().with_context(|| format!("{whose}: no duration in {row}"))?;
        ensure!(
            u128::from(duration) <= entry.duration.as_nanos(),
            "{whose}: took {duration} ns, its client measured {entry:?}: {row}"
        );
        ensure!(text(row, "completeness") == "complete" || entry.response_bytes > 512, "{whose}: {row}");
        ensure!(
            row["response_bytes"].as_u64() == Some(entry.response_bytes as u64),
            "{whose}: {} bytes in the log, row {row}",
            entry.response_bytes
        );
    }
    // Order: on every connection the rows follow each other as the client sent them.
    let mut sent: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for entry in log {
        sent.entry(entry.connection).or_default().push(&entry.path);
    }
    for paths in sent.values() {
        let times: Vec<&str> = paths.iter().map(|p| text(by_path[p], "request_ts")).collect();
        ensure!(times.is_sorted(), "{whose}: the order on a connection is not the client's");
    }
    Ok(())
}

/// Every request's trace holds its own application, Redis and PostgreSQL spans, and no one else's.
fn traces(spans: &[Value], requests: &[Value], log: &[Logged]) -> Result<()> {
    let by_id: HashMap<u64, &Value> = requests.iter().filter_map(|r| Some((r["request_id"].as_u64()?, r))).collect();
    let mut by_trace: HashMap<&str, Vec<(&Value, &Value)>> = HashMap::new();
    for span in spans {
        let request =
            span["request_id"].as_u64().and_then(|id| by_id.get(&id)).context("a span without its request")?;
        by_trace.entry(text(span, "trace_id")).or_default().push((span, request));
    }
    let trace_of: HashMap<&str, &str> = by_trace
        .iter()
        .flat_map(|(trace, members)| members.iter().map(move |m| (m, *trace)))
        .filter(|((span, _), _)| text(span, "tap_side") == "s-p" && text(span, "service") == "nginx")
        .map(|((_, request), trace)| (text(request, "request_resource"), trace))
        .collect();
    let mut wrong = Vec::new();
    for entry in log {
        let trace = trace_of.get(entry.path.as_str()).with_context(|| format!("no trace for {}", entry.path))?;
        let members = &by_trace[trace];
        let count = |protocol: &str, process: &str| {
            members
                .iter()
                .filter(|(span, request)| {
                    text(span, "tap_side") == "s-p"
                        && text(request, "l7_protocol") == protocol
                        && text(request, "process").starts_with(process)
                        // The log-in of a worker's first statement belongs to that trace, and is none of the statements.
                        && (protocol != "postgresql" || text(request, "request_resource").contains(" AS n"))
                })
                .count()
        };
        let (redis, postgres) = load::backend_calls(&entry.path);
        let application = usize::from(entry.path.starts_with("/api/"));
        let found = (count("http", "gunicorn"), count("redis", "redis"), count("postgresql", "postgres"));
        if found != (application, redis, postgres) {
            wrong.push(format!(
                "{}: (app, redis, postgres) {found:?}, not {:?}",
                entry.path,
                (application, redis, postgres)
            ));
        }
        for (_, request) in members {
            let resource = text(request, "request_resource");
            let owner = number(text(request, "l7_protocol"), resource);
            if owner.is_some_and(|n| n != entry.n) {
                wrong.push(format!("{}: its trace has `{resource}`", entry.path));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{} traces of {} are wrong:\n{}", wrong.len(), log.len(), wrong[..wrong.len().min(12)].join("\n"));
    }
    Ok(())
}

/// The number of the request that a call belongs to, as the application wrote it into path, key or alias.
fn number(protocol: &str, resource: &str) -> Option<u32> {
    let after = match protocol {
        "http" => resource.split("n=").nth(1)?,
        "redis" => resource.split(':').nth(1)?,
        "postgresql" => resource.split(" AS n").nth(1)?,
        _ => return None,
    };
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
