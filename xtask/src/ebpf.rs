//! `cargo xtask ebpf`: builds the eBPF object and puts it where the recorder embeds it, with a note of the
//! hash of the sources it was built from. Everybody else needs neither nightly nor bpf-linker.

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

const OBJECT: &str = "recorder/src/bpf/hindsight.bpf.o";
const NOTE: &str = "recorder/src/bpf/hindsight.bpf.o.sha256";
/// Beside everything in recorder-ebpf/: the part of formats that the programs contain.
const SHARED: [&str; 3] = ["formats/Cargo.toml", "formats/src/event.rs", "formats/src/lib.rs"];
const TARGET: &str = "bpfel-unknown-none";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Builds the object. `--check` only compares the sources with the note.
pub(crate) fn run(args: &[String]) -> Result<()> {
    if args.iter().any(|a| a == "--check") {
        return check_hash();
    }
    let root = root();
    let build = root.join("target/ebpf");
    let status = Command::new("cargo")
        .args(["+nightly", "build", "--release", "--target", TARGET, "-Z", "build-std=core"])
        .current_dir(root.join("recorder-ebpf"))
        .env("CARGO_TARGET_DIR", &build)
        // Type information for callbacks (`bpf_loop`); v3 has the atomic instructions that the rings need; kernels have it since 5.12.
        .env("RUSTFLAGS", "-C target-cpu=v3 -C link-arg=--btf")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("RUSTC")
        .env_remove("CARGO")
        .status()
        .context("cannot run cargo")?;
    ensure!(
        status.success(),
        "building the eBPF object failed. It needs the nightly toolchain with rust-src and bpf-linker:\n\
         rustup component add rust-src --toolchain nightly\n\
         LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --no-default-features --features llvm-22"
    );
    let built = build.join(TARGET).join("release/hindsight");
    // Callbacks need the type information (.BTF), which is made from debug information, which nobody needs then.
    let strip = ["/usr/lib/llvm-22/bin/llvm-strip", "llvm-strip"].into_iter().find(|strip| {
        let args =
            [OsStr::new("-g"), built.as_os_str(), OsStr::new("-o"), root.join(OBJECT).as_os_str()].map(OsString::from);
        Command::new(strip).args(args).status().is_ok_and(|status| status.success())
    });
    ensure!(strip.is_some(), "cannot strip {}: apt-get install llvm-22", built.display());
    std::fs::write(root.join(NOTE), format!("{}\n", source_hash(&root)?))?;
    println!("{OBJECT}: {} bytes", std::fs::metadata(root.join(OBJECT))?.len());
    Ok(())
}

/// Fails if the committed object was built from other sources than those in the tree.
pub(crate) fn check_hash() -> Result<()> {
    let root = root();
    let note = std::fs::read_to_string(root.join(NOTE)).with_context(|| format!("cannot read {NOTE}"))?;
    ensure!(
        note.trim() == source_hash(&root)?,
        "{OBJECT} is older than its sources: run `cargo xtask ebpf` and commit the object with its note"
    );
    Ok(())
}

/// SHA-256 over path and content of every source, in the order of their paths.
fn source_hash(root: &Path) -> Result<String> {
    let mut paths: Vec<PathBuf> = SHARED.iter().map(PathBuf::from).collect();
    collect(root, Path::new("recorder-ebpf"), &mut paths)?;
    paths.sort();
    let mut hash = Sha256::new();
    for path in paths {
        let content = std::fs::read(root.join(&path)).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.to_string_lossy().replace('\\', "/");
        for part in [name.as_bytes(), &content] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

fn collect(root: &Path, folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if entry.file_name() != "target" {
                collect(root, &path, into)?;
            }
        } else {
            into.push(path);
        }
    }
    Ok(())
}
