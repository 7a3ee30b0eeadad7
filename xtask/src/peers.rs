//! `cargo xtask peers`: every capture of the shared corpora against what their own projects, or tshark, say of it.
//!
//! Prints counts per oracle and field; tests/peers/*.py `--help` tell how to list single differences.

use crate::cargo;
use anyhow::{Result, bail};
use std::process::Command;

pub(crate) fn run() -> Result<()> {
    let corpora = cargo::root().join("..").join("shared").join("corpora");
    if !corpora.is_dir() {
        bail!("the captures to compare with are not here: {} does not exist", corpora.display());
    }
    cargo::cargo(&["build", "--quiet", "--release", "-p", "replay", "--example", "flows"])?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| cargo::root().join("target"), Into::into);
    let flows = target.join("release").join("examples").join("flows");
    let script = |name: &str| cargo::root().join("tests").join("peers").join(name);
    println!("flows: equal and different, per oracle and field");
    cargo::run(
        Command::new("python3").arg(script("flows.py")).arg("--bin").arg(&flows).arg("--corpora").arg(&corpora),
    )?;
    println!("\nrequests: equal, richer, missing, different, per oracle and protocol");
    let mut requests = Command::new("python3");
    requests.arg(script("l7.py")).arg("--field").arg(corpora.join("field"));
    requests.arg("--deepflow").arg(corpora.join("deepflow"));
    cargo::run(requests.arg("--").arg(&flows).args(["--requests", "--show-secrets"]))
}
