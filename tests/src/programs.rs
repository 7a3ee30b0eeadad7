//! The project's own programs, as built beside the running one.

use crate::children::{Guard, wait_until};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Path of a program of this workspace, built into the same target folder as the running program.
pub fn program(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let mut folder = here.parent();
    while let Some(dir) = folder {
        let candidate = dir.join(name);
        if candidate.is_file() {
            return Ok(candidate);
        }
        folder = dir.parent();
    }
    bail!("`{name}` is not built: run `cargo build --workspace` first")
}

/// Whether this machine lets `record` use eBPF: root, BTF, and the kernel's own word.
#[must_use]
pub fn can_record() -> bool {
    // SAFETY: no arguments, cannot fail.
    let root = unsafe { libc::geteuid() } == 0;
    cfg!(target_os = "linux") && root && Path::new("/sys/kernel/btf/vmlinux").exists()
}

/// A running `record`.
#[derive(Debug)]
pub struct Recording {
    guard: Guard,
    /// Where the bundle is written.
    pub bundle: PathBuf,
    stderr: Arc<Mutex<String>>,
}

impl Recording {
    /// Starts `record -o BUNDLE ARGS...` and returns once it says that it records.
    pub fn start(bundle: &Path, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(program("record")?);
        command.arg("-o").arg(bundle).args(args);
        Self::start_command(bundle, &mut command)
    }

    /// Starts a prepared `record` command line.
    pub fn start_command(bundle: &Path, command: &mut Command) -> Result<Self> {
        // Standard error is a pipe that a thread reads: the recorder never blocks on it.
        let (reader, writer) = std::io::pipe()?;
        command.stdout(Stdio::null()).stderr(writer);
        let guard = Guard::start_as_is("record", command)?;
        command.stderr(Stdio::null()); // drops our copy of the pipe's write end
        let stderr = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&stderr);
        std::thread::spawn(move || {
            let mut lines = BufReader::new(reader);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                if let Ok(mut text) = sink.lock() {
                    text.push_str(&String::from_utf8_lossy(&line));
                }
                line.clear();
            }
        });
        let mut recording = Self { guard, bundle: bundle.to_owned(), stderr };
        let mut ended = false;
        wait_until("record", Duration::from_secs(60), || {
            ended = !recording.guard.alive();
            ended || recording.stderr().contains("recording")
        })
        .with_context(|| format!("record said: {}", recording.stderr()))?;
        if ended {
            bail!("record ended at once: {}", recording.stderr());
        }
        Ok(recording)
    }

    /// What it has said so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().map(|text| text.clone()).unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Ends it as Ctrl-C does and waits for the finished bundle. Returns its last words.
    pub fn stop(mut self) -> Result<String> {
        self.guard.signal(libc::SIGINT);
        let status = self.guard.wait(Duration::from_secs(60))?;
        std::thread::sleep(Duration::from_millis(50));
        let said = self.stderr();
        if !status.success() {
            bail!("record ended with {status}: {said}");
        }
        Ok(said)
    }

    /// Kills it with SIGKILL, as an out-of-memory killer would.
    pub fn kill(mut self) -> Result<()> {
        self.guard.signal(libc::SIGKILL);
        self.guard.wait(Duration::from_secs(10))?;
        Ok(())
    }

    /// Waits for its own end (`--duration`, a command).
    pub fn wait(mut self, limit: Duration) -> Result<String> {
        let status = self.guard.wait(limit)?;
        std::thread::sleep(Duration::from_millis(50));
        if !status.success() {
            bail!("record ended with {status}: {}", self.stderr());
        }
        Ok(self.stderr())
    }
}

/// What a run of `analyze` gave.
#[derive(Debug)]
pub struct Output {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `analyze` with these words.
pub fn analyze(args: &[&str]) -> Result<Output> {
    let output = Command::new(program("analyze")?).args(args).stdin(Stdio::null()).output()?;
    Ok(Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Rows of a table of `input`, read from `analyze TABLE --format jsonl`.
pub fn table(name: &str, input: &Path) -> Result<Vec<Value>> {
    table_with(name, input, &[])
}

/// The same with further options.
pub fn table_with(name: &str, input: &Path, options: &[&str]) -> Result<Vec<Value>> {
    let mut child = Command::new(program("analyze")?)
        .arg(name)
        .arg(input)
        .args(options)
        .args(["--format", "jsonl"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take().context("piped")?;
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = BufReader::new(stderr).read_to_string(&mut text);
        text
    });
    let mut rows = Vec::new();
    for line in BufReader::new(child.stdout.take().context("piped")?).lines() {
        let line = line?;
        rows.push(serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?);
    }
    let status = child.wait()?;
    if !status.success() && status.code() != Some(2) {
        bail!("analyze {name}: {status}: {}", errors.join().unwrap_or_default());
    }
    Ok(rows)
}

/// `analyze info INPUT --format json`, read.
pub fn info(input: &Path) -> Result<Value> {
    let output = analyze(&["info", input.to_str().context("path")?, "--format", "json"])?;
    if output.code != 0 && output.code != 2 {
        bail!("analyze info: exit {}: {}", output.code, output.stderr);
    }
    serde_json::from_str(&output.stdout).with_context(|| format!("not JSON: {}", output.stdout))
}

/// Nanoseconds since the epoch of a time as `analyze` writes it: `2026-11-23T05:30:25.827428690Z`.
#[must_use]
pub fn utc_ns(text: &str) -> Option<i128> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i128>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    // Days since 1970-01-01 in the proleptic Gregorian calendar, with March as the first month of a year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    Some(seconds * 1_000_000_000 + number(20..29)?)
}
