//! A network namespace that lives as long as its guard.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

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

    /// Waits until no process inside has anything to do: until what its servers do behind their last answers is done, on
    /// a busy machine too. Those that never rest are waited for ten seconds.
    pub fn wait_until_idle(&self) -> Result<()> {
        let inode = u64::from(self.inode()?);
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(10) && busy(inode)? {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Packets and bytes that its loopback received so far, by the kernel's own count. The loopback driver counts after it
    /// has taken the link-layer header off (`loopback_xmit` in drivers/net/loopback.c): these are IP bytes.
    pub fn loopback_received(&self) -> Result<(u64, u64)> {
        let [bytes, packets, ..] = self.counters("lo")?;
        Ok((packets, bytes))
    }

    /// Packets that an interface received and sent so far, by the kernel's own count.
    pub fn packets_of(&self, interface: &str) -> Result<u64> {
        let [_, received, .., sent] = self.counters(interface)?;
        Ok(received + sent)
    }

    /// What stands in `/proc/net/dev`: bytes and packets received, six others, bytes and packets sent.
    fn counters(&self, interface: &str) -> Result<[u64; 10]> {
        let devices = self.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
        let of = |line: &str| line.trim_start().strip_prefix(interface)?.strip_prefix(':').map(str::to_owned);
        let line = devices.lines().find_map(of).with_context(|| format!("no interface {interface}"))?;
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        let mut counters = [0; 10];
        for counter in &mut counters {
            *counter = numbers.next().context("a counter is missing")??;
        }
        Ok(counters)
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

/// Whether a thread of a process in the namespace runs, or would if there were a CPU for it.
fn busy(inode: u64) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    for process in fs::read_dir("/proc")? {
        let process = process?.path();
        // Whatever has no namespace is no process, or one that has ended.
        if fs::metadata(process.join("ns/net")).map(|net| net.ino()).ok() != Some(inode) {
            continue;
        }
        let Ok(threads) = fs::read_dir(process.join("task")) else { continue };
        for thread in threads.flatten() {
            let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { continue };
            // The state stands behind the name, which may hold anything.
            if stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" R") || rest.starts_with(" D")) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Runs `ip` with these words.
pub fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("running `ip` (package iproute2)")?;
    if !output.status.success() {
        bail!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
