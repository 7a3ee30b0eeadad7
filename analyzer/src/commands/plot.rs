//! `analyze plot INPUT...`: plots of chosen flows.

use super::{Outcome, input};
use crate::cli::PlotArgs;
use anyhow::{Context, bail};
use std::io::Write;
use std::path::PathBuf;

/// Runs the command.
///
/// # Errors
/// Unreadable input, flows that are not there, or files that cannot be written.
pub fn run(args: &PlotArgs) -> anyhow::Result<Outcome> {
    let (analysis, ids) = input::load_named(&args.input, &args.flows)?;
    let analysis = input::disguise(analysis, &args.input, None)?;
    let folder = args.output.clone().unwrap_or_else(|| PathBuf::from("."));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot write to {}: give another folder with --output", folder.display()))?;
    let files = crate::plots::write_flows(&folder, &analysis, &ids)?;
    if files.is_empty() {
        bail!(
            "nothing to draw: plots are of TCP flows with data and of UDP and ICMP exchanges, seen at interfaces; `analyze flows` lists the flows"
        );
    }
    let mut stdout = std::io::stdout().lock();
    for file in files {
        writeln!(stdout, "{}", file.display())?;
    }
    super::input::warn(&analysis);
    Ok(Outcome::of(&analysis))
}
