//! Programs side by side: the best of several rounds, one of each in turn, so that a machine's moods hit all alike.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Wall time, seconds.
    pub(super) wall: f64,
    /// User and system time of all its threads, seconds.
    pub(super) cpu: f64,
    /// Peak resident memory, bytes.
    pub(super) memory: u64,
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command) -> Result<Run> {
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let child = child.with_context(|| format!("starting {command:?}"))?;
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: our own unreaped child; both pointers are valid for the call. wait4 gives this child's own use of resources.
    let pid = unsafe { libc::wait4(child.id().cast_signed(), &raw mut status, 0, usage.as_mut_ptr()) };
    let wall = start.elapsed().as_secs_f64();
    if pid < 0 || !libc::WIFEXITED(status) || ![0, 2].contains(&libc::WEXITSTATUS(status)) {
        bail!("{command:?} failed");
    }
    // SAFETY: wait4 succeeded and filled it; zeroes were valid before.
    let usage = unsafe { usage.assume_init() };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok(Run {
        wall,
        cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        memory: usage.ru_maxrss.cast_unsigned() * 1024,
    })
}

/// A line of a comparison.
pub(super) struct Contender {
    /// What it is called.
    pub(super) name: &'static str,
    /// How it is run.
    pub(super) command: Command,
    /// How often.
    pub(super) rounds: usize,
}

/// Runs all in turn and prints the best of each: packets per second of CPU time and of wall time, peak memory. Returns the best runs.
pub(super) fn compare(contenders: &mut [Contender], packets: f64) -> Result<Vec<Run>> {
    let mut best: Vec<Option<Run>> = vec![None; contenders.len()];
    let rounds = contenders.iter().map(|c| c.rounds).max().unwrap_or(0);
    for round in 0..rounds {
        for (c, best) in contenders.iter_mut().zip(&mut best) {
            if round >= c.rounds {
                continue;
            }
            let now = run(&mut c.command)?;
            *best = Some(match *best {
                None => now,
                Some(b) => {
                    Run { wall: b.wall.min(now.wall), cpu: b.cpu.min(now.cpu), memory: b.memory.max(now.memory) }
                }
            });
        }
    }
    println!(
        "{:<46} {:>7} {:>7} {:>14} {:>14} {:>9}",
        "best of several rounds in turn", "CPU s", "wall s", "kpackets/CPU s", "kpackets/s", "memory"
    );
    let best: Vec<Run> = best.into_iter().flatten().collect();
    for (c, b) in contenders.iter().zip(&best) {
        println!(
            "{:<46} {:>7.2} {:>7.2} {:>14.0} {:>14.0} {:>6.0} MB",
            c.name,
            b.cpu,
            b.wall,
            packets / b.cpu / 1e3,
            packets / b.wall / 1e3,
            b.memory as f64 / 1e6
        );
    }
    Ok(best)
}
