//! What the tasks need from the system: installed through apt when root, named exactly otherwise.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// Packages of the workload of `cargo xtask demo`.
pub(crate) const DEMO: &[&str] = &e2e::shop::PACKAGES;

/// Packages of the tests, beyond those of the demo: independent tools to compare with, a browser, a kernel's machine.
pub(crate) const TEST: &[&str] = &[
    "tshark",
    "tcpdump",
    "chromium",
    "python3-zstandard",
    "zstd",
    "curl",
    "iproute2",
    "nftables",
    "ethtool",
    "fonts-dejavu-core",
];

/// Packages of the servers that the live tests put under load.
pub(crate) const LAB: &[&str] = &e2e::lab::PACKAGES;

/// Packages of `cargo xtask kernels`.
pub(crate) const KERNELS: &[&str] = &["qemu-system-x86", "busybox-static", "cpio", "gcc"];

/// Packages of `cargo xtask bench`: the peers.
pub(crate) const BENCH: &[&str] = &[
    "nginx-light",
    "wrk",
    "tcpdump",
    "linux-perf",
    "strace",
    "tshark",
    "tcptrace",
    "libndpi-bin",
    "argus-server",
    "argus-client",
    "iproute2",
];

/// Makes sure that `wanted` are installed. Fails with the exact command if they are not and cannot be.
pub(crate) fn ensure(wanted: &[&str]) -> Result<()> {
    let missing: Vec<&str> = wanted.iter().copied().filter(|p| !installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !has_apt() {
        bail!(
            "these programs are missing, and this is no Debian or Ubuntu: install what these Debian packages hold: {list}"
        );
    }
    if !is_root() {
        bail!("missing packages; install them with: sudo apt-get install -y --no-install-recommends {list}");
    }
    eprintln!("installing {list}");
    let _unstarted = NoServices::new()?;
    apt(&["update", "-qq"])?;
    let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
    words.extend(missing);
    apt(&words)
}

/// While it lives, packages that are installed start no services: the tests start their own.
struct NoServices {
    made: bool,
}

impl NoServices {
    const POLICY: &'static str = "/usr/sbin/policy-rc.d";

    fn new() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        if std::path::Path::new(Self::POLICY).exists() {
            return Ok(Self { made: false });
        }
        std::fs::write(Self::POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("writing {}", Self::POLICY))?;
        let made = Self { made: true };
        std::fs::set_permissions(Self::POLICY, std::fs::Permissions::from_mode(0o755))?;
        Ok(made)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_file(Self::POLICY);
        }
    }
}

/// Whether the package is installed, by dpkg's own word.
fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f", "${Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|out| out.stdout.ends_with(b"ok installed"))
}

fn has_apt() -> bool {
    Command::new("apt-get").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

fn apt(words: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("running apt-get")?;
    if !status.success() {
        bail!("apt-get {}: {status}", words.join(" "));
    }
    Ok(())
}
