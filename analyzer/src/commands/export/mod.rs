//! `analyze export INPUT...`: a slice of the packets for Wireshark, or Zeek's logs.

mod comments;
mod log;
mod order;
mod pcapng;
mod zeek;

use super::{Outcome, input};
use crate::analysis::Analysis;
use crate::cli::ExportArgs;
use anyhow::bail;
use replay::model::Nanos;

/// A stretch of time, both ends included.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: Nanos,
    to: Nanos,
}

impl Span {
    /// As asked for, relative times counted from `start`.
    fn new(args: &ExportArgs, start: Nanos) -> anyhow::Result<Self> {
        let (from, to) = args.times.resolve(|| Ok(start))?;
        Ok(Self { from, to })
    }

    fn has(self, ts: Nanos) -> bool {
        self.from <= ts && ts <= self.to
    }
}

/// Runs the command.
///
/// # Errors
/// Unreadable input, flows that are not there, or output that cannot be written.
pub fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    if let Some(folder) = &args.zeek {
        let (analysis, chosen) = input::load_chosen(&args.input, &args.flows)?;
        let analysis = input::disguise(analysis, &args.input, Some(folder))?;
        zeek::write(&analysis, folder, chosen.as_ref(), Span::new(args, analysis.replayed.start)?, args.json)?;
        return done(&analysis);
    }
    if args.input.pseudonyms.is_some() {
        bail!(
            "packets hold addresses and names as they were: --pseudonyms goes with tables, plots, reports and --zeek"
        );
    }
    let needs_replay = !args.plain || args.flows.is_some() || args.times.is_relative();
    if !needs_replay {
        pcapng::write(args, None, None, Span::new(args, 0)?)?;
        return Ok(Outcome::Complete);
    }
    let (analysis, chosen) = input::load_chosen(&args.input, &args.flows)?;
    let span = Span::new(args, analysis.replayed.start)?;
    pcapng::write(args, Some(&analysis), chosen.as_ref(), span)?;
    done(&analysis)
}

fn done(analysis: &Analysis) -> anyhow::Result<Outcome> {
    input::warn(analysis);
    Ok(Outcome::of(analysis))
}
