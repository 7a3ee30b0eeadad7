//! `cargo xtask peers`: every capture of the shared corpora against what their own projects, or tshark, say of it.
//!
//! Prints counts per source and field; tests/peers/*.py `--help` tell how to list single differences. docs/peer-differences.md has the
//! reason for each one; what has none is an error.

use crate::cargo;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The captures, if they are here.
fn corpora() -> Option<PathBuf> {
    let corpora = cargo::root().join("..").join("shared").join("corpora");
    corpora.is_dir().then_some(corpora)
}

/// The `flows` example, built.
fn flows_example(release: bool) -> Result<PathBuf> {
    let mut build = vec!["build", "--quiet", "-p", "replay", "--example", "flows"];
    if release {
        build.push("--release");
    }
    cargo::cargo(&build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| cargo::root().join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }).join("examples").join("flows"))
}

fn script(name: &str) -> PathBuf {
    cargo::root().join("tests").join("peers").join(name)
}

/// Compares flows; an unexplained difference is an error.
fn compare_flows(flows: &Path, corpora: &Path) -> Result<()> {
    let reasons = cargo::root().join("docs").join("peer-differences.md");
    let mut command = Command::new("python3");
    command.arg(script("flows.py")).arg("--bin").arg(flows).arg("--corpora").arg(corpora);
    cargo::run(command.arg("--reasons").arg(reasons))
}

/// Compares requests; an unexplained difference is an error.
fn compare_requests(flows: &Path, corpora: &Path) -> Result<()> {
    let reasons = cargo::root().join("docs").join("peer-differences.md");
    let mut command = Command::new("python3");
    command.arg(script("l7.py")).arg("--corpora").arg(corpora).arg("--reasons").arg(reasons);
    cargo::run(command.arg("--").arg(flows).args(["--requests", "--show-secrets"]))
}

/// Compares conn.log with Zeek's; an unexplained difference is an error.
fn compare_conn(release: bool, corpora: &Path) -> Result<()> {
    let analyze = cargo::build_programs(release)?.join("analyze");
    let reasons = cargo::root().join("docs").join("peer-differences.md");
    let mut command = Command::new("python3");
    command.arg(script("conn.py")).arg("--bin").arg(analyze).arg("--corpora").arg(corpora);
    cargo::run(command.arg("--reasons").arg(reasons))
}

/// What CI runs of it, in seconds. Returns whether the captures are here.
pub(crate) fn check() -> Result<bool> {
    let Some(corpora) = corpora() else { return Ok(false) };
    let flows = flows_example(false)?;
    compare_flows(&flows, &corpora)?;
    compare_requests(&flows, &corpora)?;
    compare_conn(false, &corpora)?;
    Ok(true)
}

pub(crate) fn run() -> Result<()> {
    let Some(corpora) = corpora() else {
        bail!("the captures to compare with are not here: ../shared/corpora does not exist")
    };
    let flows = flows_example(true)?;
    println!("flows: equal, richer, missing, different, per source and field");
    compare_flows(&flows, &corpora)?;
    println!("\nrequests: equal, richer, missing, different, per source and protocol");
    compare_requests(&flows, &corpora)?;
    println!("\nconn.log: equal and different, per column");
    compare_conn(true, &corpora)
}
