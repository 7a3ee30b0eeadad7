//! The key of pseudonyms: a file that never lies among the results.

use anyhow::{Context, bail};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

/// Bytes of a key that is made here, before they are written as hexadecimal digits.
const KEY_BYTES: usize = 32;
/// A key file is no longer than this.
const LONGEST: u64 = 64 << 10;

/// Reads the key in `file`, or makes one that only its owner may read. `output`: the folder of results, in which it must not be.
pub(super) fn read(file: &Path, output: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("cannot read the key {}", file.display());
    if output.is_some_and(|folder| is_below(file, folder)) {
        bail!(
            "the key {} would lie among the results, and whoever has both can look names up: keep it elsewhere",
            file.display()
        );
    }
    if !file.exists() {
        make(file).with_context(|| format!("cannot make the key {}", file.display()))?;
    }
    let mut key = Vec::new();
    fs::File::open(file).with_context(cannot)?.take(LONGEST).read_to_end(&mut key).with_context(cannot)?;
    let key = key.trim_ascii().to_vec();
    if key.len() < 16 {
        bail!(
            "the key {} has fewer than 16 bytes: give a longer one, or the name of a file that is not there to have one made",
            file.display()
        );
    }
    Ok(key)
}

fn is_below(file: &Path, folder: &Path) -> bool {
    let whole = |p: &Path| fs::canonicalize(p).or_else(|_| std::path::absolute(p)).unwrap_or_else(|_| p.to_path_buf());
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    whole(parent).starts_with(whole(folder))
}

fn make(file: &Path) -> anyhow::Result<()> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("the system has no random numbers: {e}"))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(file)?;
    for byte in bytes {
        write!(out, "{byte:02x}")?;
    }
    writeln!(out)?;
    eprintln!(
        "analyze: made the key {}: whoever has it can tell which pseudonym stands for a name that they guess",
        file.display()
    );
    Ok(())
}
