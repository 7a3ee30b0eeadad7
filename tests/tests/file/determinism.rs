//! The same input gives the same bytes at any number of threads.

use super::corpus;
use anyhow::{Context, Result, ensure};
use e2e::programs::analyze;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn files(folder: &Path, below: &Path, into: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, below, into)?;
        } else {
            into.insert(path.strip_prefix(below)?.display().to_string(), fs::read(&path)?);
        }
    }
    Ok(())
}

pub(crate) fn threads() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bundle = corpus("shop.zst");
    let run = |threads: &str| -> Result<BTreeMap<String, Vec<u8>>> {
        let out = folder.path().join(threads);
        let words = [bundle.to_str().context("path")?, "-o", out.to_str().context("path")?, "--threads", threads];
        let output = analyze(&words)?;
        ensure!(output.code == 0, "{} threads: exit {}: {}", threads, output.code, output.stderr);
        let mut found = BTreeMap::new();
        files(&out, &out, &mut found)?;
        Ok(found)
    };
    let (one, two, three) = (run("1")?, run("2")?, run("3")?);
    ensure!(one.len() >= 13, "only these files: {:?}", one.keys());
    for other in [&two, &three] {
        ensure!(one.keys().eq(other.keys()), "other files with more threads");
        for (name, bytes) in &one {
            ensure!(Some(bytes) == other.get(name), "{name} differs");
        }
    }
    Ok(())
}
