//! Child processes that end with their guard.

use anyhow::{Context, Result, bail};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A child in a process group of its own. On drop it is ended, and its group with it.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    what: String,
}

impl Guard {
    /// Starts `command` in its own process group; its output goes to `log`, or nowhere.
    pub fn start(what: &str, command: &mut Command, log: Option<std::fs::File>) -> Result<Self> {
        match log {
            Some(file) => {
                command.stdout(file.try_clone()?).stderr(file);
            }
            None => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        Self::start_as_is(what, command)
    }

    /// Like [`Guard::start`], with the output where the caller has put it.
    pub fn start_as_is(what: &str, command: &mut Command) -> Result<Self> {
        // SAFETY: prctl is async-signal-safe. Should this process be killed, its children end with it.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let child =
            command.stdin(Stdio::null()).process_group(0).spawn().with_context(|| format!("starting {what}"))?;
        Ok(Self { child, what: what.to_owned() })
    }

    /// Process id of the child itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal` to the child only.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child is not yet reaped, so the pid is still its own.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// Waits for the end, at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                bail!("{} did not end within {limit:?}", self.what);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Guard {
    /// The leader first, so that it ends its own children in order; then whatever is left of its group.
    fn drop(&mut self) {
        self.signal(libc::SIGTERM);
        let _ = self.wait(Duration::from_secs(3));
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            // SAFETY: the group was made by this guard and keeps its id while it has members.
            if unsafe { libc::kill(-self.child.id().cast_signed(), signal) } != 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.wait(Duration::from_secs(2));
    }
}

/// Polls `ready` every 20 ms for at most `limit`.
pub fn wait_until(what: &str, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !ready() {
        if start.elapsed() > limit {
            bail!("{what}: not ready within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
