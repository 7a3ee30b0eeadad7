//! `cargo xtask demo`: the main job, shown. A real three-tier workload, recorded live, analyzed.

use crate::{cargo, packages};
use anyhow::{Context, Result, bail};
use e2e::programs::Recording;
use e2e::shop::{Shop, Upstream};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Records the workload for some seconds, or takes the bundle in corpus/ where that cannot be, and analyzes.
pub(crate) fn run() -> Result<()> {
    let programs = cargo::build_programs(false)?;
    let folder = cargo::root().join("target").join("demo");
    fs::create_dir_all(&folder)?;
    let bundle = match why_not_here() {
        None => {
            packages::ensure(packages::DEMO)?;
            record(&folder)?
        }
        Some(reason) => {
            println!("{reason}: analyzing the bundle that ships in corpus/ instead of recording one.\n");
            cargo::root().join("corpus").join("shop.zst")
        }
    };
    let out = folder.join("analysis");
    let _ = fs::remove_dir_all(&out);
    let start = Instant::now();
    let status = Command::new(programs.join("analyze")).arg(&bundle).arg("-o").arg(&out).status()?;
    if !status.success() && status.code() != Some(2) {
        bail!("analyze: {status}");
    }
    println!("\nbundle  {}", bundle.display());
    println!("report  {}", out.join("report.html").display());
    println!("analyzed in {:.1} s by an unoptimised build", start.elapsed().as_secs_f64());
    Ok(())
}

/// Why a live recording cannot be had on this machine, if so.
fn why_not_here() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("This is not Linux".to_owned());
    }
    if !packages::is_root() {
        return Some("Recording with eBPF needs root (try `sudo -E cargo xtask demo`)".to_owned());
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("This kernel has no BTF (CONFIG_DEBUG_INFO_BTF), which the eBPF programs need".to_owned());
    }
    None
}

fn record(folder: &Path) -> Result<PathBuf> {
    println!("starting nginx -> gunicorn/Flask -> Redis + PostgreSQL in a network namespace of their own");
    let shop = Shop::start(Upstream::Fresh).context("starting the workload")?;
    let bundle = folder.join("shop.zst");
    let _ = fs::remove_file(&bundle);
    let recording = Recording::start(&bundle, &[])?;
    println!("recording {}", bundle.display());
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < Duration::from_secs(6) {
        sent += e2e::load::run(&shop.ns, 6, 120, sent)?.len() as u32;
    }
    let said = recording.stop()?;
    drop(shop);
    println!("{sent} requests sent; the recorder says:\n{}\n", said.trim());
    Ok(bundle)
}
