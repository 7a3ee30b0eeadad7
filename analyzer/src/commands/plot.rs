//! `analyze plot INPUT...`: plots of chosen flows.

use super::output::Folder;
use super::{Outcome, input};
use crate::cli::PlotArgs;
use anyhow::bail;
use std::io::Write;
use std::path::Path;

/// Runs the command.
///
/// # Errors
/// Unreadable input, flows that are not there, or files that cannot be written.
pub fn run(args: &PlotArgs) -> anyhow::Result<Outcome> {
    let folder = Folder::new(args.output.as_deref().unwrap_or(Path::new(".")))?;
    let (analysis, ids) = input::load_named(&args.input, args.times, &args.flows)?;
    let analysis = input::disguise(analysis, &args.input, None)?;
    let files = crate::plots::write_flows(folder.path(), &analysis, &ids)?;
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
