//! `analyze` on a generated capture next to tshark, tcptrace and ndpiReader.

use super::median;
use crate::cargo;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Packets of the generated capture (see the generator's own options).
const PACKETS: f64 = 360_000.0;

/// Runs a command to its end; returns wall seconds and peak resident memory in bytes.
fn measure(command: &mut Command) -> Result<(f64, u64)> {
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.with_context(|| format!("starting {command:?}"))?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: our own unreaped child; both pointers are valid for the call. wait4 gives this child's own peak.
    let pid = unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, usage.as_mut_ptr()) };
    let seconds = start.elapsed().as_secs_f64();
    if pid < 0 || !libc::WIFEXITED(status) || ![0, 2].contains(&libc::WEXITSTATUS(status)) {
        bail!("{command:?} failed");
    }
    // SAFETY: wait4 succeeded and filled it; zeroes were valid before.
    let usage = unsafe { usage.assume_init() };
    Ok((seconds, usage.ru_maxrss.cast_unsigned() * 1024))
}

pub(crate) fn run() -> Result<()> {
    let programs = cargo::build_programs(true)?;
    let capture = cargo::root().join("target").join("bench-http.pcap");
    if !capture.exists() {
        cargo::cargo(&["run", "--quiet", "--release", "-p", "replay", "--example", "generate", "--", path(&capture)?])?;
    }
    let size = fs::metadata(&capture)?.len();
    let out = cargo::root().join("target").join("bench-out");
    let analyze = |threads: &str| {
        let mut command = Command::new(programs.join("analyze"));
        command.arg(&capture).arg("-o").arg(&out).args(["--threads", threads]);
        command
    };
    let peer = |name: &str, before: &[&str], after: &[&str]| {
        let mut command = Command::new(name);
        command.args(before).arg(&capture).args(after);
        command
    };
    let contenders: Vec<(&str, Command, usize)> = vec![
        ("analyze, 1 thread (tables, plots, report)", analyze("1"), 5),
        ("analyze, 2 threads", analyze("2"), 5),
        ("tshark -z conv,tcp", peer("tshark", &["-q", "-z", "conv,tcp", "-r"], &[]), 1),
        (
            "tshark -Y http -T fields (a row per request)",
            peer("tshark", &["-Y", "http", "-T", "fields", "-e", "http.request.uri", "-r"], &[]),
            1,
        ),
        ("tcptrace -n -l -r", peer("tcptrace", &["-n", "-l", "-r"], &[]), 3),
        ("ndpiReader", peer("ndpiReader", &["-i"], &["-q"]), 3),
    ];
    println!("generated HTTP capture, {PACKETS} packets, {:.1} MB; median wall time\n", size as f64 / 1e6);
    println!("{:<48} {:>8} {:>10} {:>10} {:>12}", "", "seconds", "kpackets/s", "ratio", "peak memory");
    let mut ours = None;
    for (name, mut command, rounds) in contenders {
        let mut seconds = Vec::new();
        let mut peak = 0;
        for _ in 0..rounds {
            let (wall, memory) = measure(&mut command)?;
            seconds.push(wall);
            peak = peak.max(memory);
        }
        let seconds = median(seconds);
        let ours = *ours.get_or_insert(seconds);
        println!(
            "{name:<48} {seconds:>8.2} {:>10.0} {:>9.2}x {:>9.0} MB",
            PACKETS / seconds / 1000.0,
            seconds / ours,
            peak as f64 / 1e6
        );
    }
    println!(
        "\nratio: time of that line to time of the first one. Peak memory of the capture itself: {:.0} MB",
        size as f64 / 1e6
    );
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the project's path is not UTF-8")
}
