//! Hindsight's recorder: what the kernel of a Linux node sees, into one file, a bundle.
//!
//! The recorder records, the analyzer interprets: nothing here parses a protocol. One pass:
//! hook ([`bpf`]) -> ring -> drain -> frame ([`frames`]) -> bundle ([`writer`]), driven by [`run`]; what only exists on
//! the node meanwhile is gathered by threads of their own ([`facts`], [`symbols`]).
#![cfg(target_os = "linux")]

pub mod args;
pub mod bpf;
pub mod cost;
pub mod facts;
pub mod frames;
pub mod limits;
pub mod masking;
pub mod opening;
pub mod packet_socket;
pub mod preflight;
pub mod priority;
pub mod progress;
pub mod run;
pub mod secrets;
pub mod settings;
pub mod signals;
pub mod sink;
pub mod source;
pub mod symbols;
pub mod writer;

use clap::Parser;
use std::process::ExitCode;

/// The program: reads the command line, checks or records.
///
/// Exit codes: 0 complete, 1 usage or failure, 2 partial (the disk was full, or `--check` found something missing).
#[must_use]
pub fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version go to standard output and are no failure; a closed pipe is none either.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(1) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = if args.check {
        preflight::check()
    } else {
        settings::Settings::new(args, facts::node::cpus()).and_then(|settings| run::record(&settings))
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("record: {error:#}");
        ExitCode::from(1)
    })
}
