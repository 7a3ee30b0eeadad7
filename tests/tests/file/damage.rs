//! Cut, corrupted and malformed input: no crash, exit 2, what is missing is said, what is left is right.

use super::corpus;
use anyhow::{Context, Result, ensure};
use e2e::programs::{Output, analyze};
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// What identifies a request whatever else of the recording is missing.
fn identity(row: &Value) -> String {
    // Not the process: where the process table is in the damaged part, the request is right and its process unknown.
    let columns = ["l7_protocol", "request_type", "request_resource", "request_ts", "client_port", "server_port"];
    columns.map(|c| row[c].to_string()).join("|")
}

fn requests(input: &Path) -> Result<(Output, Vec<Value>)> {
    let output = analyze(&["requests", input.to_str().context("path")?, "--format", "jsonl", "--threads", "2"])?;
    let rows = output.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok((output, rows))
}

struct Whole {
    bytes: Vec<u8>,
    rows: Vec<Value>,
    known: HashSet<String>,
    folder: tempfile::TempDir,
}

fn whole() -> Result<Whole> {
    let bundle = corpus("shop.zst");
    let (output, rows) = requests(&bundle)?;
    ensure!(output.code == 0 && rows.len() > 100, "{} rows, exit {}", rows.len(), output.code);
    let known = rows.iter().map(identity).collect();
    Ok(Whole { bytes: fs::read(&bundle)?, rows, known, folder: tempfile::tempdir()? })
}

impl Whole {
    /// Analyzes `bytes`, a damaged form of the bundle. Complete rows must be rows of the sound bundle.
    fn check(&self, what: &str, bytes: &[u8]) -> Result<usize> {
        let path = self.folder.path().join("damaged.zst");
        fs::write(&path, bytes)?;
        let (output, rows) = requests(&path)?;
        ensure!(output.code == 2, "{what}: exit {}: {}", output.code, output.stderr);
        ensure!(!output.stderr.trim().is_empty(), "{what}: nothing said about what is missing");
        for row in &rows {
            ensure!(
                row["completeness"] != "complete" || self.known.contains(&identity(row)),
                "{what}: a row that the sound bundle does not have: {row}"
            );
        }
        Ok(rows.len())
    }
}

pub(crate) fn cut_at_200_places() -> Result<()> {
    let whole = whole()?;
    let length = whole.bytes.len();
    let mut last = 0;
    for i in 0..200 {
        // Evenly over the file, and not only at multiples of anything. Before byte 16 nothing tells what it was.
        let at = 16 + (length - 17) * i / 200 + i % 7;
        last = whole.check(&format!("cut at byte {at} of {length}"), &whole.bytes[..at.min(length - 1)])?;
    }
    ensure!(last * 10 >= whole.rows.len() * 9, "cut near its end {last} of {} rows are left", whole.rows.len());
    Ok(())
}

pub(crate) fn flipped_200_bits() -> Result<()> {
    let whole = whole()?;
    let length = whole.bytes.len();
    for i in 0..200usize {
        let mut bytes = whole.bytes.clone();
        let at = (length - 1) * i / 200 + i % 5;
        bytes[at] ^= 1 << (i % 8);
        whole.check(&format!("bit {} of byte {at} flipped", i % 8), &bytes)?;
    }
    Ok(())
}

/// A pcap header for Ethernet, microseconds, little-endian.
const PCAP: [u8; 24] = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
/// A pcapng section header block of unknown length.
const SHB: [u8; 28] = [
    0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
    28, 0, 0, 0,
];

pub(crate) fn malformed_captures() -> Result<()> {
    let join = |parts: &[&[u8]]| parts.concat();
    let cases: Vec<(&str, Vec<u8>, i32)> = vec![
        ("empty", vec![], 1),
        ("text", b"this is not a capture, whatever its name says\n".to_vec(), 1),
        ("pcap header only", PCAP.to_vec(), 0),
        ("pcap header cut", PCAP[..11].to_vec(), 1),
        ("packet header cut", join(&[&PCAP, &[1, 2, 3]]), 2),
        ("packet body cut", join(&[&PCAP, &[0; 8], &[60, 0, 0, 0, 60, 0, 0, 0], &[0xaa; 20]]), 2),
        ("packet of 4 GiB", join(&[&PCAP, &[0; 8], &[0xff; 8], &[0xaa; 64]]), 2),
        ("pcapng header only", SHB.to_vec(), 0),
        ("pcapng block of length 0", join(&[&SHB, &[6, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]]), 2),
        ("pcapng block of length 13", join(&[&SHB, &[6, 0, 0, 0, 13, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]]), 2),
        ("pcapng block of 4 GiB", join(&[&SHB, &[6, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 1, 2, 3, 4]]), 2),
        (
            "packet without interface",
            join(&[
                &SHB,
                &[
                    6, 0, 0, 0, 36, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4,
                    36, 0, 0, 0,
                ],
            ]),
            2,
        ),
        ("zstd magic, then nothing", vec![0x28, 0xb5, 0x2f, 0xfd], 2),
        ("gzip magic, then noise", join(&[&[0x1f, 0x8b, 8, 0], &[0x55; 60]]), 1),
    ];
    let folder = tempfile::tempdir()?;
    for (name, bytes, code) in cases {
        let path = folder.path().join("case.pcap");
        fs::write(&path, bytes)?;
        let path = path.to_str().context("path")?;
        let output = analyze(&["flows", path, "--format", "jsonl"])?;
        ensure!(output.code == code, "{name}: exit {}, expected {code}: {}", output.code, output.stderr);
        ensure!(code == 0 || output.stderr.contains("case.pcap"), "{name}: the file is not named: {}", output.stderr);
        ensure!(!output.stderr.contains("panicked"), "{name}: {}", output.stderr);
    }
    let output = analyze(&["flows", "/nonexistent/bundle.zst"])?;
    ensure!(output.code == 1 && output.stderr.contains("/nonexistent/bundle.zst"), "{output:?}");
    Ok(())
}
