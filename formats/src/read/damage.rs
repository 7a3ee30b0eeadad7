//! What is wrong with a capture that can be read nevertheless.

use std::fmt;

/// Which bytes an offset counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layer {
    /// Those of the file.
    #[default]
    File,
    /// Those of the decompressed content of a gzip or zstd compressed capture.
    Content,
}

/// A place where something is missing or wrong. What lies before and after it is delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins.
    pub offset: u64,
    /// What `offset` counts.
    pub layer: Layer,
    /// Number of the frame (bundles).
    pub frame: Option<u64>,
    /// What is wrong and what follows from it, a plain sentence without full stop.
    pub what: String,
    /// Bytes of the file (or of the content, see `layer`) that were passed over, as far as known.
    pub lost_bytes: Option<u64>,
    /// Packets in them, if the index tells.
    pub lost_packets: Option<u64>,
    /// Event records and facts in them, if the index tells.
    pub lost_records: Option<u64>,
    /// Earliest and latest time in them, `CLOCK_MONOTONIC` ns, if the index tells.
    pub time_range: Option<(u64, u64)>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {}", self.offset)?;
        if self.layer == Layer::Content {
            f.write_str(" of the decompressed content")?;
        }
        if let Some(frame) = self.frame {
            write!(f, ", frame {frame}")?;
        }
        write!(f, ": {}", self.what)?;
        let mut lost = Vec::new();
        if let Some(n) = self.lost_bytes {
            lost.push(format!("{n} bytes"));
        }
        if let Some(n) = self.lost_packets {
            lost.push(format!("{n} packets"));
        }
        if let Some(n) = self.lost_records {
            lost.push(format!("{n} records"));
        }
        if !lost.is_empty() {
            write!(f, " (lost: {})", lost.join(", "))?;
        }
        Ok(())
    }
}
