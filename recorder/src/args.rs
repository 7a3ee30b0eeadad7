//! The command line, as typed.

use clap::Parser;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Record what this node does - system calls on sockets, packets, process life, stack samples -
/// into one file, a bundle, for `analyze`.
///
/// Without any argument everything is recorded until Ctrl-C, into NODE-TIME.zst.
#[derive(Clone, Debug, Parser)]
#[command(name = "record", version, max_term_width = 100)]
pub struct Args {
    /// Stop after this time: 30s, 5m, 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Write to FILE (`-` for standard output) instead of NODE-TIME.zst; an existing file is never overwritten
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Packets of this interface only, by name, in every network namespace (repeatable)
    #[arg(short, long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// Only this process and its children (repeatable); recording ends with the last of them
    #[arg(short, long = "pid", value_name = "PID")]
    pub pids: Vec<u32>,
    /// Only threads of this name, as in /proc/PID/comm (repeatable)
    #[arg(long = "comm", value_name = "NAME")]
    pub comms: Vec<String>,
    /// Only processes of this cgroup, a directory below /sys/fs/cgroup (repeatable)
    #[arg(long = "cgroup", value_name = "PATH")]
    pub cgroups: Vec<PathBuf>,
    /// Only sockets and packets with this port at either end (repeatable)
    #[arg(long = "port", value_name = "N")]
    pub ports: Vec<u16>,
    /// Keep this much of the payload of every system call; 0 keeps none
    #[arg(long, value_name = "BYTES", default_value = "512", value_parser = size32)]
    pub payload: u32,
    /// Keep this much of every packet
    #[arg(short, long, value_name = "BYTES", default_value = "192", value_parser = size32)]
    pub snaplen: u32,
    /// Stack samples per second and CPU
    #[arg(short = 'F', long = "frequency", value_name = "HZ", default_value = "99",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub frequency: u32,
    /// Stop before the file grows beyond this: 200MB, 2GB, 512MiB
    #[arg(long, value_name = "SIZE", default_value = "2GB", value_parser = size)]
    pub max_size: u64,
    /// Ring between kernel and recorder, per CPU (rounded up to a power of two); the default depends on the number of CPUs
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub ring: Option<u64>,
    /// Record no packets
    #[arg(long)]
    pub no_packets: bool,
    /// Record no system calls
    #[arg(long)]
    pub no_syscalls: bool,
    /// Record no stack samples
    #[arg(long)]
    pub no_stacks: bool,
    /// Show what this node allows to record, what is missing and the remedy; record nothing
    #[arg(long)]
    pub check: bool,
    /// Start COMMAND once recording has begun, and stop when it ends; if recording stops first, COMMAND gets SIGTERM
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Reads `30s`, `5m`, `1h30m`, `500ms`, `2d`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write it like 30s, 5m or 1h30m");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "" if rest.len() == text.len() => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = tail;
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

/// Reads `200MB` (powers of 1000), `64KiB` (powers of 1024), `512`: bytes.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write it like 200MB, 2GB or 64KiB");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000 * 1000,
        "g" | "gb" => 1000 * 1000 * 1000,
        "t" | "tb" => 1000 * 1000 * 1000 * 1000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

fn size32(text: &str) -> Result<u32, String> {
    u32::try_from(size(text)?).map_err(|_| format!("`{text}` is too much"))
}

#[cfg(test)]
mod tests;
