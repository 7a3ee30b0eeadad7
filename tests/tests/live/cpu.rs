//! A program whose time is known, under the sampler.

use anyhow::{Context, Result, ensure};
use e2e::programs::{Recording, program, table};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Three quarters of the time in `hot_three_quarters`, one in `warm_one_quarter`: the same loop, run three times and once.
const SOURCE: &str = r#"
#include <stdint.h>
#include <stdlib.h>
#define WORK for (uint64_t i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; }
__attribute__((noinline)) uint64_t hot_three_quarters(uint64_t x, uint64_t n) { WORK return x + 1; }
__attribute__((noinline)) uint64_t warm_one_quarter(uint64_t x, uint64_t n) { WORK return x + 2; }
__attribute__((noinline)) uint64_t run(uint64_t rounds) {
  uint64_t x = 88172645463325252ull;
  for (uint64_t r = 0; r < rounds; r++) { x = hot_three_quarters(x, 300000); x = warm_one_quarter(x, 100000); }
  return x;
}
int main(int argc, char **argv) { return run(strtoull(argv[1], 0, 10)) == 0; }
"#;

pub(crate) fn hot_function_on_top() -> Result<()> {
    // As it is written, and as distributions build: without frame pointers.
    shares(&["-O0", "-fno-omit-frame-pointer"], "2500")?;
    shares(&["-O2", "-fomit-frame-pointer"], "5000")
}

fn shares(flags: &[&str], rounds: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("hot.c");
    let binary = folder.path().join("hot-program");
    fs::write(&source, SOURCE)?;
    let status = Command::new("cc").args(flags).arg("-o").arg(&binary).arg(&source).status()?;
    ensure!(status.success(), "cc: {status}");

    let bundle = folder.path().join("cpu.zst");
    let mut command = Command::new(program("record")?);
    command.arg("-o").arg(&bundle).arg("--").arg(&binary).arg(rounds);
    Recording::start_command(&bundle, &mut command)?.wait(Duration::from_secs(120))?;

    let stacks = table("stacks", &bundle)?;
    let of_program: Vec<_> = stacks.iter().filter(|s| s["process"] == "hot-program" && s["kind"] == "on_cpu").collect();
    let samples = |name: Option<&str>| -> u64 {
        of_program
            .iter()
            .filter(|s| name.is_none_or(|n| s["frames"].as_str().is_some_and(|f| f.split(';').any(|frame| frame == n))))
            .filter_map(|s| s["samples"].as_u64())
            .sum()
    };
    let all = samples(None);
    ensure!(all >= 100, "only {all} samples of the program, {flags:?}");
    let share = |name: &str| samples(Some(name)) as f64 / all as f64;
    let (hot, warm, run) = (share("hot_three_quarters"), share("warm_one_quarter"), share("run"));
    // 99 Hz over some seconds: a binomial with p = 0.75 stays within four sigma, but for one run in 16,000.
    let four_sigma = 4.0 * (0.75 * 0.25 / all as f64).sqrt();
    let near = |share: f64, wanted: f64| (share - wanted).abs() < four_sigma;
    ensure!(near(hot, 0.75) && near(warm, 0.25), "shares {hot:.3} and {warm:.3} of {all} samples");
    ensure!(run > 0.95, "{flags:?}: `run`, their caller, is on {run:.3} of the stacks: unwinding failed");
    let top = of_program.iter().max_by_key(|s| s["samples"].as_u64()).context("no stack")?;
    let names = "main;run;hot_three_quarters";
    ensure!(top["frames"].as_str().is_some_and(|f| f.ends_with(names)), "{flags:?}: hottest stack: {top}");
    Ok(())
}
