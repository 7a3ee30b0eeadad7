//! The report in a real browser, from disk, without network.

use super::corpus;
use anyhow::{Context, Result, ensure};
use e2e::programs::analyze;
use std::fs;
use std::process::Command;

/// Headless Chromium, with everything off that would look for a network.
fn chromium(profile: &std::path::Path) -> Command {
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
    ]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command
}

pub(crate) fn opens_in_a_browser() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("analysis");
    let bundle = corpus("shop.zst");
    let output = analyze(&[bundle.to_str().context("path")?, "-o", out.to_str().context("path")?])?;
    ensure!(output.code == 0, "analyze: exit {}: {}", output.code, output.stderr);
    let report = out.join("report.html");
    let html = fs::read_to_string(&report)?;
    for tag in ["<link", " src=\"http", " href=\"http", "@import", "url(http"] {
        ensure!(!html.contains(tag), "the report refers to something outside: {tag}");
    }
    ensure!(html.len() < 10 << 20, "the report has {} bytes", html.len());

    let url = format!("file://{}", report.display());
    let picture = folder.path().join("report.png");
    let status = chromium(&folder.path().join("p1"))
        .args(["--window-size=1400,2400", "--virtual-time-budget=4000"])
        .arg(format!("--screenshot={}", picture.display()))
        .arg(&url)
        .output()?;
    ensure!(status.status.success(), "chromium: {}", String::from_utf8_lossy(&status.stderr));
    let size = fs::metadata(&picture)?.len();
    ensure!(size > 60_000, "a picture of {size} bytes: an empty page?");

    let dom =
        chromium(&folder.path().join("p2")).args(["--virtual-time-budget=4000", "--dump-dom"]).arg(&url).output()?;
    let dom = String::from_utf8_lossy(&dom.stdout);
    for word in ["nginx", "redis", "postgres", "<svg", "<table"] {
        ensure!(dom.contains(word), "`{word}` is not on the page");
    }
    Ok(())
}
