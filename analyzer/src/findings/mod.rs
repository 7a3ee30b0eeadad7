//! Findings: what stands out in a recording, each as one plain sentence with the rows that it rests on.
//!
//! They are counted from the rows of the tables. Where one thing explains others, it is told once, with what it led to: a request that failed because
//! the one that it waited for had failed is no finding of its own. What is called a cause is a row that lies inside of the other's time, on its way.

mod connections;
mod cpu;
mod exits;
mod failing;
mod fanout;
mod network;
mod slow;
mod stalls;
#[cfg(test)]
mod tests;
mod tree;

use crate::analysis::Analysis;
use replay::model::{Request, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tree::Tree;

/// Findings of one kind, and of all kinds, that summary and report tell.
const OF_A_KIND: usize = 3;
const MOST: usize = 7;
/// Rows of a table that a finding names as its evidence.
const ROWS: usize = 10;

/// Service, protocol, endpoint.
type Name = (Arc<str>, &'static str, Arc<str>);

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Low,
    /// Something is slow or has trouble.
    Medium,
    /// Something fails or stands still.
    High,
}

impl Severity {
    /// As in the tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// One thing that stands out.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How much it weighs.
    pub severity: Severity,
    /// `request_errors`, `unanswered`, `connection_failures`, `killed`, `exits`, `stall`, `slow`, `retransmissions`, `drops`, `fan_out`, `starts`, `cpu`.
    pub kind: &'static str,
    /// Which service, endpoint, pair or process.
    pub subject: String,
    /// In plain words.
    pub statement: String,
    /// Table, and places (ids) of rows in it: the first few.
    pub evidence: Vec<(&'static str, Vec<u64>)>,
    /// What to look at next.
    pub next_step: &'static str,
    /// Section of the report that has the rows.
    pub(crate) section: &'static str,
    /// Orders findings of the same severity and kind: requests, connections, segments.
    pub(crate) impact: u64,
}

/// All findings: those that weigh most first, then in the order of kinds, then by how much they touch.
#[must_use]
pub(crate) fn all(a: &Analysis) -> Vec<Finding> {
    let tree = Tree::new(&a.replayed);
    let groups = failing::Groups::new(a);
    let mut out = failing::findings(a, &tree, &groups);
    let dead: Vec<String> = out.iter().filter(|f| f.kind == "killed").map(|f| f.subject.clone()).collect();
    out.extend(exits::findings(a).into_iter().filter(|f| f.kind != "killed" || !dead.contains(&f.subject)));
    out.extend(stalls::findings(a, &tree));
    // What is slow because it was held up, or held up others, is told.
    let held: BTreeSet<u64> = (out.iter().filter(|f| f.kind == "stall"))
        .flat_map(|f| f.evidence.iter().flat_map(|(_, rows)| rows.iter().copied()))
        .collect();
    let is_told = |f: &Finding| f.evidence.iter().all(|(_, rows)| rows.iter().all(|row| held.contains(row)));
    out.extend(slow::findings(a, &tree, &groups).into_iter().filter(|f| !is_told(f)));
    out.extend(network::findings(a));
    out.extend(fanout::findings(a, &tree));
    out.extend(cpu::findings(a));
    // Stable: kinds stay in the order above.
    out.sort_by_key(|f| std::cmp::Reverse(f.severity));
    out
}

/// Those that summary and report tell.
#[must_use]
pub(crate) fn told(a: &Analysis) -> Vec<&Finding> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut room = |f: &&Finding| {
        let n = kinds.entry(f.kind).or_default();
        *n += 1;
        *n <= OF_A_KIND
    };
    a.findings().iter().filter(&mut room).take(MOST).collect()
}

/// `nginx GET /api (http)` without what is empty.
fn title(service: &str, endpoint: &str, protocol: &str) -> String {
    if endpoint.is_empty() {
        format!("{service} ({protocol})")
    } else {
        format!("{service} {} ({protocol})", short(endpoint))
    }
}

/// Whether no answer came, though one was to come. Where it was seen who ended the connection, that is an error of that side.
fn is_open(request: &Request) -> bool {
    let fields = &request.fields;
    let is_over = fields.exception.starts_with("connection closed");
    (fields.status == Status::Unknown || is_over) && request.first_byte_ts.is_none() && !fields.is_async
}

fn short(text: &str) -> String {
    const LIMIT: usize = 72;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= LIMIT {
        text.chars().map(clean).collect()
    } else {
        text.chars().map(clean).take(LIMIT).chain(['\u{2026}']).collect()
    }
}
