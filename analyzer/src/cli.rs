//! The command line: what can be asked for, and what the exit code says.

use crate::commands::{self, Outcome, TimePoint};
use crate::tables::{Format, TABLES};
use clap::{Args, Command, FromArgMatches};
use replay::model::Nanos;
use std::path::PathBuf;
use std::process::ExitCode;

const ABOUT: &str = "Understand a recording: a summary, tables, plots and a report out of bundles and captures";

const AFTER: &str = "\
INPUT is a bundle of `record`, or a .pcap or .pcapng file, plain or compressed with gzip or zstd; several are taken as
one recording. A file with the name of a command is given as ./NAME.

Exit codes: 0 complete; 1 wrong usage or failure; 2 the input is damaged or cut short: what could be read is in the
results, what is missing is said.";

/// `analyze INPUT...`
#[derive(Args, Debug)]
pub struct Analyze {
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) times: Times,
    /// Folder to write tables, plots and report.html to [default: INPUT's name with .analysis, in the current folder]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Print the summary only, write nothing
    #[arg(long, conflicts_with = "output")]
    pub(crate) no_files: bool,
}

/// What is read, and how.
#[derive(Args, Debug)]
pub struct Input {
    /// Bundles and captures; `-` is standard input
    #[arg(value_name = "INPUT", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Threads to use [default: one per CPU]; results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Only packets and socket events that EXPR holds for, in the words of pcap-filter: host, net, port, tcp, and, or, not, ...
    #[arg(long, value_name = "EXPR", value_parser = replay::filter::Filter::new)]
    pub(crate) filter: Option<replay::filter::Filter>,
    /// Replace addresses, host names, user names and paths by pseudonyms under the key in FILE, which is made if it is not there
    #[arg(long, value_name = "FILE")]
    pub(crate) pseudonyms: Option<PathBuf>,
    /// Leave passwords, tokens, cookies and literals of statements readable
    #[arg(long)]
    pub(crate) show_secrets: bool,
    /// Leave payloads alone: flows with their TCP metrics in half the time, without protocol and requests
    #[arg(long)]
    pub(crate) no_parse: bool,
    /// Leave packets with a wrong checksum out of the analysis of their flows, as Zeek does: column client_bad_checksums, history `C`
    #[arg(long)]
    pub(crate) checksums: bool,
    /// Rules that TCP metrics follow
    #[arg(long, value_name = "RULES", value_enum, default_value_t = Rules::Best)]
    pub(crate) tcp_metrics: Rules,
    /// Link requests by calls and times alone, without ids, keys and values that they have in common: to score these links by them
    #[arg(long)]
    pub(crate) ignore_ids: bool,
}

/// A stretch of time.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Times {
    /// Not before: `2026-11-23T06:20:25Z`, or time since the start: `1.5s`, `250ms`, `2m`
    #[arg(long, value_name = "TIME", value_parser = TimePoint::parse)]
    pub(crate) from: Option<TimePoint>,
    /// Not after; as --from
    #[arg(long, value_name = "TIME", value_parser = TimePoint::parse)]
    pub(crate) to: Option<TimePoint>,
}

impl Times {
    /// Whether one is counted from the recording's start.
    pub(crate) fn is_relative(self) -> bool {
        [self.from, self.to].into_iter().flatten().any(TimePoint::is_relative)
    }

    /// Both ends as UTC; where one is not given, the least and the largest time there is. `start` says when the recording began, and is asked if
    /// a time is counted from there.
    pub(crate) fn resolve(self, start: impl FnOnce() -> anyhow::Result<Nanos>) -> anyhow::Result<(Nanos, Nanos)> {
        let start = if self.is_relative() { start()? } else { 0 };
        let from = self.from.map_or(Nanos::MIN, |t| t.at(start));
        let to = self.to.map_or(Nanos::MAX, |t| t.at(start));
        if from > to {
            anyhow::bail!("--from is later than --to: nothing lies between them");
        }
        Ok((from, to))
    }
}

/// Rules of TCP metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Rules {
    /// Ours: every acknowledgement matched to its data, retransmissions by kind
    Best,
    /// Those of DeepFlow's agent, exactly
    Deepflow,
}

/// Which flows.
#[derive(Args, Debug, Default)]
pub struct FlowArgs {
    /// Only these flows, by the numbers in the table `flows`
    #[arg(long = "flow", value_name = "ID,...", value_delimiter = ',')]
    pub(crate) flows: Vec<u64>,
    /// Only the flows with these community ids
    #[arg(long = "community-id", value_name = "1:...", value_delimiter = ',')]
    pub(crate) community_ids: Vec<String>,
}

impl FlowArgs {
    /// Whether flows are named.
    pub(crate) fn is_some(&self) -> bool {
        !self.flows.is_empty() || !self.community_ids.is_empty()
    }
}

/// `analyze TABLE INPUT...`
#[derive(Args, Debug)]
pub struct TableArgs {
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) times: Times,
    #[command(flatten)]
    pub(crate) flows: FlowArgs,
    /// How to write the table [default: table on a terminal, jsonl elsewhere; or by the ending of --output]
    #[arg(short, long)]
    pub(crate) format: Option<Format>,
    /// File to write to [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// No more than N rows, after sorting
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Only these columns, in this order [default: all; as text the main ones]
    #[arg(short, long, value_name = "A,B,...", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Sort by this column, largest first with a `-` before it; rows without a value come last
    #[arg(short, long, value_name = "COLUMN", allow_hyphen_values = true)]
    pub(crate) sort: Option<String>,
}

/// `analyze plot INPUT...`
#[derive(Args, Debug)]
pub struct PlotArgs {
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) times: Times,
    #[command(flatten)]
    pub(crate) flows: FlowArgs,
    /// Folder to write to [default: the current one]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

/// `analyze export INPUT...`
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("form").required(true))]
pub struct ExportArgs {
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) flows: FlowArgs,
    /// Packets as pcapng, with processes and requests as comments: --output says where to
    #[arg(long, group = "form", requires = "output")]
    pub(crate) pcapng: bool,
    /// Zeek's conn.log, http.log and dns.log into this folder
    #[arg(long, value_name = "DIR", group = "form")]
    pub(crate) zeek: Option<PathBuf>,
    /// File for --pcapng; `-` is standard output
    #[arg(short, long, value_name = "FILE", conflicts_with = "zeek")]
    pub(crate) output: Option<PathBuf>,
    /// --pcapng without comments and names, which saves the replay where no flow is named
    #[arg(long, conflicts_with = "zeek")]
    pub(crate) plain: bool,
    /// --zeek as JSON lines
    #[arg(long, conflicts_with = "pcapng")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) times: Times,
}

/// `analyze info INPUT`
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// Bundle or capture
    #[arg(value_name = "INPUT")]
    pub(crate) input: PathBuf,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t = InfoFormat::Text)]
    pub(crate) format: InfoFormat,
    /// Not for this command
    #[arg(long, hide = true, value_name = "EXPR", value_parser = no_filter)]
    pub(crate) filter: Option<String>,
}

/// What is said of a filter where there is no replay.
fn no_filter(_: &str) -> Result<String, String> {
    let instead = "`analyze interfaces FILE --filter EXPR` counts what passes a filter";
    Err(format!("info and verify tell what is in a file, all of it; {instead}"))
}

/// Forms of `analyze info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum InfoFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// `analyze verify INPUT`
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Bundle or capture
    #[arg(value_name = "INPUT")]
    pub(crate) input: PathBuf,
    /// Not for this command
    #[arg(long, hide = true, value_name = "EXPR", value_parser = no_filter)]
    pub(crate) filter: Option<String>,
}

/// The whole command line.
#[must_use]
pub fn command() -> Command {
    // The descriptions come last: the structs of arguments bring their own doc comments along.
    let tables = TABLES.iter().map(|table| {
        let command = TableArgs::augment_args(Command::new(table.command)).about(format!("Table: {}", table.about));
        if table.name == table.command { command } else { command.alias(table.name) }
    });
    Analyze::augment_args(Command::new("analyze"))
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(AFTER)
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .subcommand(
            InfoArgs::augment_args(Command::new("info"))
                .about("Say what is in a bundle or capture: times, frames, events, packets, losses"),
        )
        .subcommand(
            VerifyArgs::augment_args(Command::new("verify"))
                .about("Check a bundle: digest, checksums, index; exit 0 if sound, 2 if damaged"),
        )
        .subcommand(PlotArgs::augment_args(Command::new("plot")).about(
            "Draw flows: their life, and of TCP the time-sequence plot; --flow chooses, else those with most trouble",
        ))
        .subcommand(
            ExportArgs::augment_args(Command::new("export"))
                .about("Packets as pcapng for Wireshark, or flows and requests as Zeek's logs; by flow, time, filter"),
        )
        .subcommands(tables)
}

/// Runs `analyze` on the process's arguments.
pub fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(e) => {
            // clap's own exit code for wrong usage is 2, which here means a damaged input.
            let code = if e.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            let _ = e.print();
            return code;
        }
    };
    let result = match matches.subcommand() {
        None => Analyze::from_arg_matches(&matches).map_err(Into::into).and_then(|a| commands::summary::run(&a)),
        Some(("info", m)) => InfoArgs::from_arg_matches(m).map_err(Into::into).and_then(|a| commands::info::run(&a)),
        Some(("verify", m)) => {
            VerifyArgs::from_arg_matches(m).map_err(Into::into).and_then(|a| commands::verify::run(&a))
        }
        Some(("plot", m)) => PlotArgs::from_arg_matches(m).map_err(Into::into).and_then(|a| commands::plot::run(&a)),
        Some(("export", m)) => {
            ExportArgs::from_arg_matches(m).map_err(Into::into).and_then(|a| commands::export::run(&a))
        }
        Some((name, m)) => {
            TableArgs::from_arg_matches(m).map_err(Into::into).and_then(|a| commands::table::run(name, &a))
        }
    };
    match result {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::from(2),
        // Whoever reads has seen enough (`analyze flows x | head`).
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("analyze: {}", sentence(&e));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, those left out that the words before them say already.
fn sentence(e: &anyhow::Error) -> String {
    let mut out = String::new();
    for cause in e.chain().map(ToString::to_string) {
        if out.is_empty() {
            out = cause;
        } else if !out.contains(&cause) {
            out.push_str(": ");
            out.push_str(&cause);
        }
    }
    out
}

fn is_broken_pipe(e: &anyhow::Error) -> bool {
    e.chain().any(|cause| {
        let io = match cause.downcast_ref::<polars::prelude::PolarsError>() {
            Some(polars::prelude::PolarsError::IO { error, .. }) => Some(&**error),
            _ => cause.downcast_ref::<std::io::Error>(),
        };
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn causes_are_told_once() {
        let e = anyhow::anyhow!("no such file").context("x: cannot be opened: no such file").context("cannot analyze");
        assert_eq!(sentence(&e), "cannot analyze: x: cannot be opened: no such file");
    }

    #[test]
    fn a_first_word_is_a_command_or_an_input() {
        let parse = |args: &[&str]| command().try_get_matches_from([&["analyze"], args].concat());
        assert_eq!(parse(&["a.zst", "b.pcap"]).unwrap().subcommand_name(), None);
        assert_eq!(parse(&["./flows"]).unwrap().subcommand_name(), None);
        assert_eq!(parse(&["flows", "a.zst"]).unwrap().subcommand_name(), Some("flows"));
        assert_eq!(parse(&["socket-events", "a"]).unwrap().subcommand_name(), Some("socket-events"));
        assert_eq!(parse(&["socket_events", "a"]).unwrap().subcommand_name(), Some("socket-events"));
        assert!(parse(&[]).is_err());
        assert!(parse(&["flows"]).is_err());
        assert!(parse(&["a", "--threads", "0"]).is_err());
        assert!(parse(&["flows", "a", "--sort", "-duration_ns"]).is_ok());
    }
}
