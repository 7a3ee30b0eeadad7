//! `findings`: what stands out, each with the rows that it rests on.

use super::Table;
use super::columns::table;
use super::frame::Frame;
use crate::analysis::Analysis;
use polars::prelude::PolarsResult;

pub(super) const TABLE: Table = Table {
    name: "findings",
    command: "findings",
    about: "What stands out: failures with what they led to, slow endpoints with where their time went, and so on",
    brief: &["severity", "kind", "statement", "next_step"],
    build,
};

fn build(a: &Analysis) -> PolarsResult<Frame> {
    Ok(table(a.findings(), |c| {
        c.text("severity", |f| f.severity.name());
        c.text("kind", |f| f.kind);
        c.text("subject", |f| &f.subject);
        c.text("statement", |f| &f.statement);
        c.written("evidence", |f, out| {
            // Names of tables and numbers: nothing in them is to be escaped.
            let of = |(table, rows): &(&str, Vec<u64>)| format!("\"{table}\":{rows:?}");
            let parts: Vec<String> = f.evidence.iter().map(of).collect();
            *out += &format!("{{{}}}", parts.join(","));
        });
        c.text("next_step", |f| f.next_step);
    }))
}
