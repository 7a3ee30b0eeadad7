//! `cargo xtask test`: every test of the project. `.ci/run` calls exactly this.

use crate::{cargo, claims, ebpf, kernels, packages, peers};
use anyhow::Result;
use std::time::Instant;

/// Installs what the tests compare with, checks format, lints, the committed eBPF object and the documents' commands, runs all tests.
pub(crate) fn run() -> Result<()> {
    let start = Instant::now();
    let step = |what: &str| eprintln!("\n== {what} ({:.0} s)", start.elapsed().as_secs_f64());
    step("packages");
    packages::ensure(packages::DEMO)?;
    packages::ensure(packages::TEST)?;
    if e2e::programs::can_record() {
        packages::ensure(packages::LAB)?;
    }
    step("format, and whether the committed eBPF object is that of its sources");
    ebpf::check_hash()?;
    cargo::cargo(&["fmt", "--all", "--check"])?;
    // Before the tests: a lint is known in two minutes, the tests take ten.
    step("clippy");
    cargo::cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    step("build");
    cargo::build_programs(false)?;
    step("tests");
    cargo::cargo(&["test", "--quiet", "--workspace", "--no-fail-fast"])?;
    step("whether the documents' commands show something");
    claims::check()?;
    step("flows of other projects' captures");
    if !peers::check()? {
        eprintln!("skipped: ../shared/corpora is not there");
    }
    if e2e::programs::can_record() {
        step("other kernels");
        kernels::run(&[])?;
    } else {
        eprintln!("\n== other kernels: skipped, they are downloaded and booted by root only");
    }
    step("done");
    Ok(())
}
