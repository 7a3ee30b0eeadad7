//! `cargo xtask bench [recorder|analyzer]`: what it costs and how fast it is, always as a ratio to a baseline or a peer
//! within the same run, since machines are noisy. docs/performance.md holds results with these commands.

mod analyzer;
mod recorder;

use crate::packages;
use anyhow::{Result, bail};

/// Runs the benches that `args` name; all without any.
pub(crate) fn run(args: &[String]) -> Result<()> {
    packages::ensure(packages::BENCH)?;
    match args.first().map(String::as_str) {
        None => {
            analyzer::run()?;
            recorder::run()
        }
        Some("analyzer") => analyzer::run(),
        Some("recorder") => recorder::run(),
        Some(other) => bail!("no bench `{other}`: recorder, analyzer"),
    }
}

/// Median of some measurements.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
