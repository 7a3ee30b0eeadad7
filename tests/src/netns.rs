//! A network namespace that lives as long as its guard.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A named network namespace with its loopback up. Removed on drop.
#[derive(Debug)]
pub struct NetNs {
    name: String,
    file: File,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl NetNs {
    /// Makes one; needs root and `ip` from iproute2.
    pub fn new(label: &str) -> Result<Self> {
        let name = format!("hs-{label}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name])?;
        // From here on the guard exists, so that a failure below removes the namespace again.
        let path = format!("/run/netns/{name}");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) => {
                let _ = ip(&["netns", "del", &name]);
                return Err(error).with_context(|| format!("opening {path}"));
            }
        };
        let ns = Self { name, file };
        ip(&["-n", &ns.name, "link", "set", "lo", "up"])?;
        Ok(ns)
    }

    /// Its name, as `ip -n` takes it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Inode number, as bundles name it.
    pub fn inode(&self) -> Result<u32> {
        use std::os::unix::fs::MetadataExt;
        Ok(u32::try_from(self.file.metadata()?.ino())?)
    }

    /// Lets `command` run inside.
    pub fn enter<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let fd = self.file.as_raw_fd();
        // SAFETY: setns is async-signal-safe; the descriptor stays open in the forked child until exec.
        unsafe {
            command.pre_exec(move || {
                if libc::setns(fd, libc::CLONE_NEWNET) == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            })
        }
    }

    /// Runs `work` on a new thread that lives inside; sockets it makes belong to the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let fd = self.file.as_raw_fd();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                // SAFETY: plain system call on an open descriptor; it moves only this thread.
                if unsafe { libc::setns(fd, libc::CLONE_NEWNET) } != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(work())
            });
            match thread.join() {
                Ok(result) => result.context("entering the network namespace"),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// Runs `ip` with these words.
pub fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("running `ip` (package iproute2)")?;
    if !output.status.success() {
        bail!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
