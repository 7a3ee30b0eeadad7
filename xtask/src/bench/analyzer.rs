//! `analyze` on a generated capture next to tshark, tcptrace, argus and ndpiReader.

use super::measure::{self, Contender, Run, compare};
use crate::cargo;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Packets of the generated capture: 10,000 connections, 100,000 requests, and segments sent again.
const PACKETS: f64 = 360_482.0;
/// Requests in it.
const REQUESTS: f64 = 100_000.0;
/// Bytes of the large capture.
const LARGE: u64 = 10_000_000_000;

/// The programs and the capture.
struct Bench {
    analyze: PathBuf,
    capture: PathBuf,
    target: PathBuf,
}

impl Bench {
    fn new() -> Result<Self> {
        let analyze = cargo::build_programs(true)?.join("analyze");
        let target = cargo::root().join("target");
        fs::create_dir_all(&target)?;
        let capture = target.join("bench-http.pcap");
        if !capture.exists() {
            example("generate", &[path(&capture)?])?;
        }
        Ok(Self { analyze, capture, target })
    }

    /// `analyze` with these words around the capture.
    fn analyze(&self, words: &[&str], threads: &str, out: &str) -> Command {
        let mut command = Command::new(&self.analyze);
        command.args(words).arg(&self.capture).args(["--threads", threads]).arg("-o").arg(self.target.join(out));
        command
    }

    fn peer(&self, name: &str, before: &[&str], after: &[&str]) -> Command {
        let mut command = Command::new(name);
        command.args(before).arg(&self.capture).args(after);
        command
    }

    fn title(&self, what: &str) -> Result<()> {
        let size = fs::metadata(&self.capture)?.len() as f64 / 1e6;
        println!("\n{what}: generated HTTP capture, {PACKETS} packets, {size:.1} MB\n");
        Ok(())
    }
}

fn example(name: &str, words: &[&str]) -> Result<()> {
    let mut all = vec!["run", "--quiet", "--release", "-p", "replay", "--example", name, "--"];
    all.extend(words);
    cargo::cargo(&all)
}

fn contender(name: &'static str, command: Command, rounds: usize) -> Contender {
    Contender { name, command, rounds }
}

fn cores(runs: &[Run]) {
    if let [one, two, ..] = runs {
        println!("\n2 threads: {:.2} times the speed of 1", one.wall / two.wall);
    }
}

/// Everything that `analyze` makes.
pub(super) fn everything() -> Result<()> {
    let b = Bench::new()?;
    b.title("everything")?;
    let fields = ["-Y", "http", "-T", "fields", "-e", "http.request.uri", "-r"];
    let runs = compare(
        &mut [
            contender("analyze, 1 thread (tables, plots, report)", b.analyze(&[], "1", "bench-out"), 5),
            contender("analyze, 2 threads", b.analyze(&[], "2", "bench-out"), 5),
            contender("tshark -z conv,tcp", b.peer("tshark", &["-q", "-z", "conv,tcp", "-r"], &[]), 1),
            contender("tshark -Y http -T fields (a row per request)", b.peer("tshark", &fields, &[]), 1),
            contender("tcptrace -n -l -r", b.peer("tcptrace", &["-n", "-l", "-r"], &[]), 3),
            contender("ndpiReader", b.peer("ndpiReader", &["-i"], &["-q"]), 3),
        ],
        PACKETS,
    )?;
    cores(&runs);
    Ok(())
}

/// Flows with all TCP metrics.
pub(super) fn flows() -> Result<()> {
    let b = Bench::new()?;
    b.title("flows")?;
    let out = path(&b.target)?.to_owned() + "/bench-argus.out";
    let runs = compare(
        &mut [
            contender("analyze flows, 1 thread", b.analyze(&["flows"], "1", "bench-flows.parquet"), 9),
            contender("the same with --no-parse", b.analyze(&["flows", "--no-parse"], "1", "bench-flows.parquet"), 9),
            contender("analyze flows, 2 threads", b.analyze(&["flows"], "2", "bench-flows.parquet"), 9),
            contender("2 threads with --no-parse", b.analyze(&["flows", "--no-parse"], "2", "bench-flows.parquet"), 9),
            contender(
                "argus (flow records with TCP metrics)",
                b.peer("argus", &["-F", "/dev/null", "-r"], &["-w", &out]),
                3,
            ),
            contender("tcptrace -n -l -r", b.peer("tcptrace", &["-n", "-l", "-r"], &[]), 3),
            contender("ndpiReader", b.peer("ndpiReader", &["-i"], &["-q"]), 9),
        ],
        PACKETS,
    )?;
    if let [one, plain, two, two_plain, ..] = runs.as_slice() {
        cores(&[*one, *two]);
        println!("with --no-parse: {:.2} times", plain.wall / two_plain.wall);
    }
    let _ = fs::remove_file(out);
    Ok(())
}

/// The request log.
pub(super) fn requests() -> Result<()> {
    let b = Bench::new()?;
    b.title("requests")?;
    let fields = ["-Y", "http", "-T", "fields", "-e", "http.request.uri", "-r"];
    let runs = compare(
        &mut [
            contender("analyze requests, 1 thread", b.analyze(&["requests"], "1", "bench-requests.parquet"), 9),
            contender("analyze requests, 2 threads", b.analyze(&["requests"], "2", "bench-requests.parquet"), 9),
            contender("tshark -Y http -T fields (a row per request)", b.peer("tshark", &fields, &[]), 1),
            contender("ndpiReader", b.peer("ndpiReader", &["-i"], &["-q"]), 9),
        ],
        PACKETS,
    )?;
    cores(&runs);
    if let [ours, _, tshark, ..] = runs.as_slice() {
        println!(
            "request rows per CPU second: analyze {:.0}, tshark {:.0}: {:.1} times",
            REQUESTS / ours.cpu,
            REQUESTS / tshark.cpu,
            tshark.cpu / ours.cpu
        );
    }
    Ok(())
}

/// A capture larger than the memory it may take.
pub(super) fn scale() -> Result<()> {
    let b = Bench::new()?;
    let large = b.target.join("bench-large.pcap");
    example("replicate", &[path(&b.capture)?, path(&large)?, "--bytes", &LARGE.to_string()])?;
    println!("\nscale: {:.1} GB, the generated capture again and again\n", fs::metadata(&large)?.len() as f64 / 1e9);
    let result = (|| {
        for table in ["flows", "requests"] {
            let out = b.target.join(format!("bench-large-{table}.parquet"));
            let mut command = Command::new(&b.analyze);
            command.arg(table).arg(&large).arg("-o").arg(&out);
            let run = measure::run(&mut command)?;
            println!(
                "analyze {table:<10} {:>7.1} s, {:>7.1} CPU s, {:>6.0} MB of memory, {:>6.0} MB written",
                run.wall,
                run.cpu,
                run.memory as f64 / 1e6,
                fs::metadata(&out)?.len() as f64 / 1e6
            );
            fs::remove_file(&out)?;
        }
        Ok(())
    })();
    fs::remove_file(&large)?;
    result
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the project's path is not UTF-8")
}
