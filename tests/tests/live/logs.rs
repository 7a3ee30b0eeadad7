//! Rows held against a client's log.

use anyhow::{Context, Result, ensure};
use e2e::lab::Call;
use e2e::programs::utc_ns;
use serde_json::Value;
use std::collections::BTreeMap;

/// Text of a column, empty where it is null.
pub(crate) fn text<'v>(row: &'v Value, column: &str) -> &'v str {
    row[column].as_str().unwrap_or("")
}

/// The places that a request can be seen at: the calls of either process, and interfaces.
pub(crate) const VIEWS: [&str; 3] = ["client", "server", "packets"];

/// Rows of one of [`VIEWS`].
pub(crate) fn seen_by<'r>(view: &str, rows: &[&'r Value]) -> Vec<&'r Value> {
    rows.iter().copied().filter(|r| r["side"].as_str().unwrap_or("packets") == view).collect()
}

/// How rows and calls are compared.
pub(crate) struct Compare<'f> {
    /// What identifies a row: type, resource, status, ...
    pub(crate) row: &'f dyn Fn(&Value) -> String,
    /// The same of a call.
    pub(crate) call: &'f dyn Fn(&Call) -> String,
    /// How often each call is seen at a place.
    pub(crate) times: usize,
    /// Whether the answer is in the client's measure as a whole.
    pub(crate) durations: bool,
}

impl Compare<'_> {
    /// Every call of the log is in the rows as often as it has to be, and in its time. Rows whose resource
    /// the log does not know (log-ins, settings) are not looked at.
    pub(crate) fn check(&self, whose: &str, rows: &[&Value], log: &[&Call]) -> Result<()> {
        let mut calls: BTreeMap<String, Vec<&Call>> = BTreeMap::new();
        for call in log {
            calls.entry((self.call)(call)).or_default().push(call);
        }
        let mut seen: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        let known: Vec<&str> = log.iter().map(|call| call.resource.as_str()).collect();
        for row in rows {
            let key = (self.row)(row);
            if calls.contains_key(&key) || known.contains(&text(row, "request_resource")) {
                seen.entry(key).or_default().push(row);
            }
        }
        let counts: Vec<String> = calls
            .iter()
            .map(|(key, calls)| (key, calls.len() * self.times, seen.get(key).map_or(0, Vec::len)))
            .filter(|(_, wanted, have)| wanted != have)
            .map(|(key, wanted, have)| format!("`{key}`: {have} rows for {wanted} calls"))
            .chain(
                seen.iter()
                    .filter(|(key, _)| !calls.contains_key(*key))
                    .map(|(key, rows)| format!("`{key}`: {} rows that no call explains", rows.len())),
            )
            .collect();
        ensure!(
            counts.is_empty(),
            "{whose}: {} calls, differences:\n{}",
            log.len(),
            counts[..counts.len().min(12)].join("\n")
        );
        for (key, calls) in &calls {
            let mut rows = seen.remove(key).context("counted above")?;
            rows.sort_by_key(|r| text(r, "request_ts").to_owned());
            for (row, call) in rows.iter().zip(calls.iter().flat_map(|call| std::iter::repeat_n(call, self.times))) {
                let start = utc_ns(text(row, "request_ts")).with_context(|| format!("{whose}: no time: {row}"))?;
                ensure!(
                    (call.start..=call.end).contains(&start),
                    "{whose}: {key} begins {} ns after its call, which took {} ns: {row}",
                    start - call.start,
                    call.end - call.start
                );
                let last = row["response_ts"].as_str().and_then(utc_ns);
                // A client that gives up waits for nothing: its server learns of it when it gets to read it.
                let given_up =
                    row["side"] == "server" && text(row, "response_exception").contains("by the client: CANCEL");
                ensure!(
                    !self.durations || given_up || last.is_none_or(|last| last <= call.end),
                    "{whose}: {key} is answered {last:?}, for its client at {}: {row}",
                    call.end
                );
            }
        }
        Ok(())
    }
}
