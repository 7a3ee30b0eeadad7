//! The report: one HTML file that holds everything it shows and opens from disk, with no other file and no network.
//!
//! What was captured is in the page as data (JSON, [`page`]) and reaches the screen as text only: the scripts in
//! `assets/` never make markup of it, and the page's policy lets it load nothing.

pub(crate) mod choice;
mod columns;
pub(crate) mod flame;
pub(crate) mod flows;
mod hops;
mod page;
pub(crate) use columns::clean;
pub(crate) use page::escape;
pub(crate) use statements::plural;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod series;
mod statements;
mod tables;
#[cfg(test)]
mod tests;
pub(crate) mod traces;

use crate::analysis::Analysis;
use anyhow::{Context, Result};
use columns::{Strings, Table};
use serde::Serialize;
use statements::{Fact, Statement};
use std::collections::BTreeMap;
use std::path::Path;

/// Everything that the page shows.
#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    /// Start of the recording, ns since the epoch, as text: it does not fit into a JavaScript number.
    start: String,
    length_ns: u64,
    /// Neither packets nor events: there is no time to speak of.
    is_empty: bool,
    recording: Vec<Fact>,
    figures: Vec<Fact>,
    outstanding: Vec<Outstanding>,
    completeness: Vec<Statement>,
    cost: Vec<Fact>,
    privacy: Vec<String>,
    masked: Vec<String>,
    buckets: series::Buckets,
    services: &'a [series::Service],
    traces: Vec<traces::Waterfall>,
    profiles: Vec<flows::Profile>,
    flames: Vec<flame::Flame>,
    tables: BTreeMap<&'static str, Table>,
    strings: Vec<Box<str>>,
}

/// A finding, and the section of the page that has its rows.
#[derive(Serialize)]
struct Outstanding {
    severity: &'static str,
    text: String,
    next: &'static str,
    section: &'static str,
}

/// What the page begins with.
fn outstanding(a: &Analysis) -> Vec<Outstanding> {
    let of = |f: &crate::findings::Finding| Outstanding {
        severity: f.severity.name(),
        text: f.statement.clone(),
        next: f.next_step,
        section: f.section,
    };
    crate::findings::told(a).into_iter().map(of).collect()
}

/// Writes the report of `analysis` to the file `out`.
///
/// # Errors
/// If the file cannot be written.
pub fn write(out: &Path, analysis: &Analysis) -> Result<()> {
    let html = render(analysis)?;
    std::fs::write(out, html).with_context(|| format!("cannot write the report to {}", out.display()))
}

/// Time-sequence plots of the flows whose packets were read again, each for the page to show with its flow.
fn sequences(analysis: &Analysis) -> String {
    let Ok(packets) = analysis.tcp_packets() else { return String::new() };
    let mut out = String::new();
    for flow in analysis.remarkable_flows().into_iter().filter_map(|id| analysis.replayed.flows.get(id as usize)) {
        if let Some(svg) = crate::plots::sequence::draw(flow, packets.of_flow(flow.flow_id), false) {
            out += &format!("<figure data-flow=\"{}\">{svg}</figure>", flow.flow_id);
        }
    }
    out
}

/// Ways of the conversations that were seen at several places, with most to say of.
fn ways(analysis: &Analysis) -> String {
    let draw = |(id, rows): (u64, Vec<&replay::hops::Hop>)| {
        format!("<figure>{}</figure>", crate::plots::hops::draw(analysis, id, &rows, false))
    };
    crate::plots::hops::chosen(analysis).into_iter().map(draw).collect()
}

/// The report as text.
fn render(analysis: &Analysis) -> Result<String> {
    let strings = &mut Strings::default();
    let buckets = series::Buckets::new(analysis);
    let chosen = traces::Traces::new(analysis);
    let ranked = flows::ranked(analysis);
    let tables = BTreeMap::from([
        ("services", tables::services(analysis, buckets, strings)),
        ("endpoints", tables::endpoints(analysis, buckets, strings)),
        ("requests", tables::requests(analysis, strings)),
        ("traces", chosen.table(analysis, strings)),
        ("flows", flows::table(analysis, &ranked, strings)),
        ("map", tables::edges(analysis, strings)),
        ("legs", tables::legs(analysis, strings)),
        ("hops", hops::places(analysis, strings)),
        ("hop_statements", hops::statements(analysis, strings)),
        ("trouble", tables::trouble(analysis, strings)),
        ("socket_events", tables::socket_events(analysis, strings)),
        ("processes", tables::processes(analysis, strings)),
        ("interfaces", tables::interfaces(analysis, strings)),
        ("nodes", tables::nodes(analysis, strings)),
        ("clocks", tables::clocks(analysis, strings)),
        ("health", tables::health(analysis, strings)),
        ("hooks", tables::hooks(analysis, strings)),
        ("programs", tables::programs(analysis, strings)),
    ]);
    let manifest = analysis.replayed.manifest.as_ref();
    let document = Document {
        title: if analysis.node().is_empty() { &analysis.title } else { analysis.node() },
        start: analysis.replayed.start.to_string(),
        length_ns: analysis.length_ns(),
        is_empty: analysis.is_empty(),
        recording: statements::recording(analysis),
        figures: statements::figures(analysis),
        outstanding: outstanding(analysis),
        completeness: statements::completeness(analysis),
        cost: statements::cost(analysis),
        privacy: manifest.map_or(Vec::new(), |m| m.privacy.clone()),
        masked: statements::masked(analysis),
        buckets,
        services: analysis.series(),
        traces: chosen.waterfalls(analysis, strings),
        profiles: flows::profiles(analysis, &ranked, strings),
        flames: flame::flames(&analysis.replayed.stacks, strings),
        tables,
        strings: std::mem::take(strings).into_list(),
    };
    let data = serde_json::to_string(&document).context("cannot put the report's data into JSON")?;
    let map = crate::plots::map::inline(analysis);
    Ok(page::assemble(document.title, &map, &sequences(analysis), &ways(analysis), &data))
}
