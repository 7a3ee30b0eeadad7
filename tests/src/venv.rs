//! Clients and servers from PyPI, in a virtual environment under the target folder.

use crate::programs::program;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the live tests take from PyPI, at fixed versions, so that a run tests what the last one did.
const REQUIREMENTS: [&str; 8] = [
    "aiohttp==3.14.5",
    "grpcio==1.85.1",
    "h2==4.4.1",
    "nats-py==2.16.0",
    "paho-mqtt==2.2.0",
    "pika==1.4.4",
    "pymemcache==4.0.0",
    "pymysql==1.2.4",
];

/// The environment's Python, made and filled if it is not there yet.
pub fn python() -> Result<PathBuf> {
    let programs = program("record")?;
    let target = programs.parent().and_then(Path::parent).context("the target folder")?;
    let folder = target.join("e2e-venv");
    let python = folder.join("bin").join("python");
    let done = folder.join("requirements.txt");
    let wanted = REQUIREMENTS.join("\n");
    if fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let log = File::create(target.join("e2e-venv.log"))?;
    run(Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&folder), &log, "package python3-venv")?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--only-binary",
        ":all:",
    ]);
    run(pip.args(REQUIREMENTS), &log, "packages of PyPI")?;
    fs::write(&done, wanted)?;
    Ok(python)
}

fn run(command: &mut Command, log: &File, what: &str) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .status()
        .with_context(|| format!("{command:?} ({what})"))?;
    if !status.success() {
        bail!("{command:?}: {status} ({what}; its output is in e2e-venv.log in the target folder)");
    }
    Ok(())
}
