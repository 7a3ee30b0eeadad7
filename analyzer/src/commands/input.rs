//! Reading what the user named.

use crate::analysis::{Analysis, Chosen, Source};
use crate::cli::{FlowArgs, Input, Rules, Times};
use crate::tables::{self, Table};
use anyhow::bail;
use replay::engine::{Options, Stored, TcpMetrics};
use replay::filter::Filter;
use replay::link::LinkOptions;
use replay::parse::ParseOptions;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Replays the inputs as one recording.
pub(super) fn load(input: &Input, times: Times) -> anyhow::Result<Analysis> {
    let filter = filter(input, times)?;
    let replayed = replay::engine::replay(&input.inputs, &options(input, filter.clone()))?;
    Ok(Analysis::new(replayed, title(&input.inputs)).with_source(source(input, filter)))
}

/// What of the inputs is replayed at all.
fn filter(input: &Input, times: Times) -> anyhow::Result<Option<Arc<Filter>>> {
    if times.from.is_none() && times.to.is_none() {
        return Ok(input.filter.clone().map(Arc::new));
    }
    let start = || Ok(replay::engine::start(&input.inputs)?.unwrap_or(0));
    let (from, to) = times.resolve(start)?;
    let words = input.filter.clone().map_or_else(|| Filter::new(""), Ok)?;
    Ok(Some(Arc::new(words.within(from, to))))
}

/// Where packets can be read again.
fn source(input: &Input, filter: Option<Arc<Filter>>) -> Source {
    Source { inputs: input.inputs.clone(), filter, checksums: input.checksums, chosen: Chosen::Remarkable }
}

/// Replays the inputs; packets are those of the chosen flows, of all flows if none is named.
pub(super) fn load_chosen(input: &Input, flows: &FlowArgs) -> anyhow::Result<(Analysis, Option<BTreeSet<u64>>)> {
    choose(load(input, Times::default())?, flows)
}

/// The same of what is replayed already.
pub(super) fn choose(analysis: Analysis, flows: &FlowArgs) -> anyhow::Result<(Analysis, Option<BTreeSet<u64>>)> {
    let chosen = named(&analysis, flows)?;
    let source =
        analysis.source().cloned().map(|s| Source { chosen: chosen.clone().map_or(Chosen::All, Chosen::Flows), ..s });
    Ok((source.into_iter().fold(analysis, Analysis::with_source), chosen))
}

/// Replays the inputs; packets are those of the flows that are named, else of the remarkable ones, whose numbers come along.
pub(super) fn load_named(input: &Input, times: Times, flows: &FlowArgs) -> anyhow::Result<(Analysis, Vec<u64>)> {
    let analysis = load(input, times)?;
    let Some(chosen) = named(&analysis, flows)? else {
        let ids = analysis.remarkable_flows();
        return Ok((analysis, ids));
    };
    let ids = chosen.iter().copied().collect();
    let source = analysis.source().cloned().map(|s| Source { chosen: Chosen::Flows(chosen), ..s });
    Ok((source.into_iter().fold(analysis, Analysis::with_source), ids))
}

/// Replaces names by pseudonyms, if that is asked for. Packets are read again before: they are found by their addresses.
pub(super) fn disguise(mut analysis: Analysis, input: &Input, output: Option<&Path>) -> anyhow::Result<Analysis> {
    let Some(file) = &input.pseudonyms else { return Ok(analysis) };
    let key = super::key::read(file, output)?;
    let _ = analysis.tcp_packets();
    replay::pseudonyms::Pseudonyms::new(&key).apply(&mut analysis.replayed);
    Ok(analysis)
}

/// Damage of the input, where standard output is not the place for it.
pub(super) fn warn(analysis: &Analysis) {
    for health in analysis.damages() {
        eprintln!("analyze: damaged input: {}", health.cause);
    }
}

/// The flows that were named, if any were.
fn named(analysis: &Analysis, named: &FlowArgs) -> anyhow::Result<Option<BTreeSet<u64>>> {
    let flows = &analysis.replayed.flows;
    let mut ids: BTreeSet<u64> = named.flows.iter().copied().collect();
    if let Some(id) = ids.last().filter(|id| **id >= flows.len() as u64) {
        bail!("there is no flow {id}: `analyze flows` lists {}, from 0 on", flows.len());
    }
    for community_id in &named.community_ids {
        let before = ids.len();
        ids.extend(flows.iter().filter(|f| f.community_id == *community_id).map(|f| f.flow_id));
        if ids.len() == before {
            bail!("no flow has the community id {community_id}");
        }
    }
    Ok((!ids.is_empty()).then_some(ids))
}

/// Replays them as far as a table needs it, and leaves the rows packed.
pub(super) fn store(input: &Input, times: Times, table: &Table) -> anyhow::Result<Stored> {
    let (keep, spans) = tables::needs(table);
    let options = Options { keep, spans, ..options(input, filter(input, times)?) };
    Ok(replay::engine::store(&input.inputs, &options)?)
}

/// What is known from there on.
pub(super) fn analysis(input: &Input, stored: Stored) -> Analysis {
    let filter = stored.filter().cloned();
    Analysis::new(stored.into_replayed(), title(&input.inputs)).with_source(source(input, filter))
}

/// How the command line wants it replayed.
fn options(input: &Input, filter: Option<Arc<Filter>>) -> Options {
    Options {
        threads: threads(input),
        filter,
        tcp_metrics: match input.tcp_metrics {
            Rules::Best => TcpMetrics::Best,
            Rules::Deepflow => TcpMetrics::DeepFlow,
        },
        checksums: input.checksums,
        parse: !input.no_parse,
        parse_options: ParseOptions { show_secrets: input.show_secrets, ..ParseOptions::default() },
        link: LinkOptions { ignore_ids: input.ignore_ids },
        ..Options::default()
    }
}

/// The inputs' names without their folders; of many the first ones.
fn title(inputs: &[PathBuf]) -> String {
    let name = |p: &PathBuf| match p.file_name() {
        Some(_) if p.as_os_str() == "-" => "standard input".to_owned(),
        Some(name) => name.to_string_lossy().into_owned(),
        None => p.display().to_string(),
    };
    let shown = if inputs.len() > 3 { 2 } else { 3 };
    let mut title = inputs.iter().take(shown).map(name).collect::<Vec<_>>().join(", ");
    if inputs.len() > shown {
        title.push_str(&format!(" and {} more", inputs.len() - shown));
    }
    title
}

/// How many threads to use.
pub(super) fn threads(input: &Input) -> usize {
    match input.threads {
        Some(n) => usize::from(n),
        None => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_stay_short() {
        let title = |names: &[&str]| title(&names.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(title(&["/tmp/a.zst"]), "a.zst");
        assert_eq!(title(&["-"]), "standard input");
        assert_eq!(title(&["a", "b", "c"]), "a, b, c");
        assert_eq!(title(&["x/a", "b", "c", "d"]), "a, b and 2 more");
    }
}
