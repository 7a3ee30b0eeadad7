//! Running cargo for the workspace.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The project's top folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Runs `cargo WORDS` in the project's folder.
pub(crate) fn cargo(words: &[&str]) -> Result<()> {
    run(Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).args(words))
}

/// Runs a command in the project's folder; its failure is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}").replace('"', "");
    let status = command.current_dir(root()).status().with_context(|| format!("starting {name}"))?;
    if !status.success() {
        bail!("{name}: {status}");
    }
    Ok(())
}

/// Builds the two programs and returns the folder they are in. `release` for measuring.
pub(crate) fn build_programs(release: bool) -> Result<PathBuf> {
    // The same package set as the tests use, so that the dependencies are built once with one feature set.
    let mut words = vec!["build", "--quiet", "--workspace", "--bins"];
    if release {
        words.push("--release");
    }
    cargo(&words)?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }))
}
