//! Why a capture cannot be read at all.

use std::io;

/// The input is not a capture, or nothing of it can be read. Damage inside a capture is no error but a [`super::Damage`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("{name}: cannot be opened: {source}")]
    Open {
        /// The input.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// Reading its first bytes failed.
    #[error("{name}: cannot be read at offset {offset}: {source}")]
    Io {
        /// The input.
        name: String,
        /// Where.
        offset: u64,
        /// What the system or the decompressor says.
        source: io::Error,
    },
    /// No byte in it.
    #[error("{name}: is empty (0 bytes); was the recorder stopped before it wrote anything?")]
    Empty {
        /// The input.
        name: String,
    },
    /// The first bytes belong to nothing known.
    #[error("{name}: is not a bundle, pcapng or pcap file: at offset 0{layer} it starts with {start}. {remedy}")]
    NotACapture {
        /// The input.
        name: String,
        /// ` of the decompressed content`, or empty.
        layer: &'static str,
        /// First bytes, hex.
        start: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Cut before the first packet could begin.
    #[error("{name}: is cut: {have} bytes{layer} are fewer than the file header of a {format} capture needs ({need})")]
    TooShort {
        /// The input.
        name: String,
        /// ` of decompressed content`, or empty.
        layer: &'static str,
        /// What it seems to be.
        format: &'static str,
        /// Bytes there.
        have: usize,
        /// Bytes needed.
        need: usize,
    },
}
