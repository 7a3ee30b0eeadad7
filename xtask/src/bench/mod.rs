//! `cargo xtask bench [recorder|analyzer|flows|requests|scale]`: what it costs and how fast it is, always as a ratio to a baseline or a peer
//! within the same run, since machines are noisy. docs/performance.md holds results with these commands.

mod analyzer;
mod measure;
mod recorder;

use crate::packages;
use anyhow::{Result, bail};

/// Runs the benches that `args` name; all without any.
pub(crate) fn run(args: &[String]) -> Result<()> {
    packages::ensure(packages::BENCH)?;
    match args.first().map(String::as_str) {
        None => {
            analyzer::everything()?;
            analyzer::flows()?;
            analyzer::requests()?;
            recorder::run()
        }
        Some("analyzer") => analyzer::everything(),
        Some("flows") => analyzer::flows(),
        Some("requests") => analyzer::requests(),
        // Needs 12 GB of disk: only when asked for.
        Some("scale") => analyzer::scale(),
        Some("recorder") => recorder::run(),
        Some(other) => bail!("no bench `{other}`: recorder, analyzer, flows, requests, scale"),
    }
}

/// Median of some measurements.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
