//! Reading what the user named.

use crate::analysis::Analysis;
use crate::cli::Input;
use crate::tables::{self, Table};
use replay::engine::{Options, Stored};
use replay::parse::ParseOptions;
use std::path::PathBuf;
use std::sync::Arc;

/// Replays the inputs as one recording.
pub(super) fn load(input: &Input) -> anyhow::Result<Analysis> {
    let threads = threads(input);
    let options = options(input, threads);
    let replayed = replay::engine::replay(&input.inputs, &options)?;
    Ok(Analysis::new(replayed, title(&input.inputs)))
}

/// Replays them as far as a table needs it, and leaves the rows packed.
pub(super) fn store(input: &Input, table: &Table) -> anyhow::Result<Stored> {
    let (keep, spans) = tables::needs(table);
    let options = Options { keep, spans, ..options(input, threads(input)) };
    Ok(replay::engine::store(&input.inputs, &options)?)
}

/// What is known from there on.
pub(super) fn analysis(input: &Input, stored: Stored) -> Analysis {
    Analysis::new(stored.into_replayed(), title(&input.inputs))
}

/// How the command line wants it replayed.
fn options(input: &Input, threads: usize) -> Options {
    Options {
        threads,
        filter: input.filter.clone().map(Arc::new),
        parse_options: ParseOptions { show_secrets: input.show_secrets },
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
