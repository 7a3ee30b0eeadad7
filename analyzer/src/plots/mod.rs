//! Plots: the drawings of an analysis as SVG files that any browser shows, in light and dark.

mod flame;
pub(crate) mod hops;
mod latency;
pub(crate) mod map;
mod profile;
mod red;
pub(crate) mod sequence;
mod svg;
#[cfg(test)]
mod tests;
mod theme;
mod waterfall;

use crate::analysis::Analysis;
use crate::report::{flows, series, traces};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Flows, traces and processes that are drawn, of each.
const MOST: usize = 12;

/// Writes drawings into one folder, each under a name of its own.
struct Folder<'a> {
    dir: &'a Path,
    names: BTreeSet<String>,
    files: Vec<PathBuf>,
}

impl Folder<'_> {
    /// Writes `svg` as `KIND-NAME.svg`; names that would be the same get a number.
    fn write(&mut self, kind: &str, name: &str, svg: &str) -> Result<()> {
        let base = if name.is_empty() { kind.to_owned() } else { format!("{kind}-{}", file_name(name)) };
        let mut name = format!("{base}.svg");
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{base}-{number}.svg");
            number += 1;
        }
        let path = self.dir.join(name);
        std::fs::write(&path, svg).with_context(|| format!("cannot write the plot {}", path.display()))?;
        self.files.push(path);
        Ok(())
    }
}

/// A name of a service or process as part of a file's name on any system.
fn file_name(name: &str) -> String {
    let kept =
        name.chars().take(48).map(|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' });
    let out: String = kept.collect();
    match out.trim_matches('-') {
        "" => "unnamed".to_owned(),
        name => name.to_owned(),
    }
}

/// Draws flows into the folder `dir` (which exists) and returns the files: the life of each, and of those whose packets the analysis has the
/// time-sequence plot.
///
/// # Errors
/// If a drawing fails or a file cannot be written.
pub fn write_flows(dir: &Path, analysis: &Analysis, flow_ids: &[u64]) -> Result<Vec<PathBuf>> {
    let mut out = Folder { dir, names: BTreeSet::new(), files: Vec::new() };
    let r = &analysis.replayed;
    let events = flows::events_by_flow(&r.socket_events);
    let packets = analysis.tcp_packets().map_err(|e| anyhow::anyhow!("{e}"))?;
    for flow in flow_ids.iter().filter_map(|id| r.flows.get(usize::try_from(*id).ok()?)) {
        let (id, segments) = (flow.flow_id.to_string(), r.profile.of_flow(flow.flow_id).collect::<Vec<_>>());
        if !segments.is_empty() {
            let events = events.get(&flow.flow_id).map_or(&[][..], Vec::as_slice);
            out.write("flow", &id, &profile::draw(flow, &segments, packets.of_flow(flow.flow_id), events)?)?;
        }
        if let Some(svg) = sequence::draw(flow, packets.of_flow(flow.flow_id), true) {
            out.write("tcp-sequence", &id, &svg)?;
        }
    }
    Ok(out.files)
}

/// Draws everything into the folder `dir` (which exists) and returns the files: the service map; per service rate,
/// errors, duration and their distribution; the flows with most trouble, with their time-sequence plots; failing and slow traces; flame graphs.
///
/// # Errors
/// If a drawing fails or a file cannot be written.
pub fn write_all(dir: &Path, analysis: &Analysis) -> Result<Vec<PathBuf>> {
    let mut out = Folder { dir, names: BTreeSet::new(), files: Vec::new() };
    let r = &analysis.replayed;
    out.write("map", "", &map::standalone(analysis))?;

    let buckets = series::Buckets::new(analysis);
    let services = analysis.series();
    let spreads = latency::spreads(analysis, services);
    for ((service, spread), row) in services.iter().zip(&spreads).zip(&analysis.red().services) {
        let name = format!("{}-{}", service.name, service.protocol);
        out.write("red", &name, &red::draw(service, buckets)?)?;
        let d = &row.counts.delay;
        if d.count > 0 {
            out.write("latency", &name, &latency::draw(service, [d.p50_ns, d.p95_ns, d.p99_ns], spread)?)?;
        }
    }

    let events = flows::events_by_flow(&r.socket_events);
    let profiled = flows::ranked(analysis).into_iter().filter_map(|f| {
        let segments: Vec<_> = r.profile.of_flow(f.flow_id).collect();
        (!segments.is_empty()).then_some((f, segments))
    });
    let packets = analysis.tcp_packets().map_err(|e| anyhow::anyhow!("{e}"))?;
    for (flow, segments) in profiled.take(MOST) {
        let events = events.get(&flow.flow_id).map_or(&[][..], Vec::as_slice);
        let packets = packets.of_flow(flow.flow_id);
        out.write("flow", &flow.flow_id.to_string(), &profile::draw(flow, &segments, packets, events)?)?;
    }

    for flow in analysis.remarkable_flows().into_iter().filter_map(|id| r.flows.get(id as usize)) {
        if let Some(svg) = sequence::draw(flow, packets.of_flow(flow.flow_id), true) {
            out.write("tcp-sequence", &flow.flow_id.to_string(), &svg)?;
        }
    }

    for (conversation, rows) in hops::chosen(analysis) {
        out.write("hops", &conversation.to_string(), &hops::draw(analysis, conversation, &rows, true))?;
    }

    let drawn = traces::interesting(&r.traces, MOST);
    let spans = traces::ranges(&r.spans, &drawn);
    for trace in drawn {
        let spans = spans.get(&trace.trace_id).and_then(|range| r.spans.get(range.clone())).unwrap_or_default();
        let id = trace.trace_id.get(..16).unwrap_or(&trace.trace_id);
        out.write("trace", id, &waterfall::draw(analysis, trace, spans))?;
    }

    for (process, stacks) in flame::by_process(&r.stacks).into_iter().take(MOST) {
        out.write("flame", process, &flame::draw(process, &stacks)?)?;
    }
    Ok(out.files)
}
