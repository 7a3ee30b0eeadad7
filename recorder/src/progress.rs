//! The progress line on a terminal, and numbers for people.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

/// The line is renewed this often, ns.
const EVERY: u64 = 250_000_000;

/// A line on standard error that is written over and over, on a terminal only.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    last: u64,
}

impl Progress {
    /// Looks whether there is a terminal.
    #[must_use]
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: 0 }
    }

    /// Shows records, bytes written and records lost so far.
    pub fn show(&mut self, elapsed_ns: u64, numbers: impl FnOnce() -> (u64, u64, u64)) {
        if !self.terminal || elapsed_ns.saturating_sub(self.last) < EVERY {
            return;
        }
        self.last = elapsed_ns;
        let (records, written, lost) = numbers();
        let seconds = elapsed_ns / 1_000_000_000;
        let line =
            format!("\r{seconds} s  {} records  {} written  {} lost\x1b[K", count(records), size(written), count(lost));
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    /// Removes the line.
    pub fn clear(&self) {
        if self.terminal {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// `1,234,567`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `12.3 MB`, powers of 1000.
#[must_use]
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

/// `packet 3, socket_data 12`; `nothing` if empty.
#[must_use]
pub fn counts(of: &BTreeMap<String, u64>) -> String {
    if of.is_empty() {
        return "nothing".to_owned();
    }
    of.iter().map(|(name, n)| format!("{name} {}", count(*n))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([size(0), size(999), size(1500), size(2_000_000_000)], ["0 bytes", "999 bytes", "1.5 kB", "2.0 GB"]);
        assert_eq!(counts(&BTreeMap::from([("a".to_owned(), 1000), ("b".to_owned(), 2)])), "a 1,000, b 2");
        assert_eq!(counts(&BTreeMap::new()), "nothing");
    }
}
