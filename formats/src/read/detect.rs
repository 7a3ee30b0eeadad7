//! What an input is, from its first bytes.

use super::error::ReadError;
use super::frames;
use super::gzip::Members;
use super::pcap;
use super::pcapng::leading_prologue;
use super::window::Window;
use super::zstd_stream::ZstdFrames;
use crate::pcapng::{BYTE_ORDER_MAGIC, SECTION_HEADER};
use crate::zstd_frame::MAGIC;
use std::io::Read;

/// Kind of capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatKind {
    /// A recording of Hindsight.
    Bundle,
    /// Another pcapng file.
    Pcapng,
    /// A classic pcap file.
    Pcap,
}

/// Compression around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// None.
    None,
    /// gzip, one or several members.
    Gzip,
    /// zstd, one or several frames.
    Zstd,
}

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Kind of capture.
    pub kind: FormatKind,
    /// Compression around it.
    pub compression: Compression,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.kind {
            FormatKind::Bundle => "bundle",
            FormatKind::Pcapng => "pcapng",
            FormatKind::Pcap => "pcap",
        })?;
        f.write_str(match self.compression {
            Compression::None => "",
            Compression::Gzip => " (gzip)",
            Compression::Zstd => " (zstd)",
        })
    }
}

/// How an input is to be read.
pub(super) enum Detected {
    /// Frame by frame, the frames being those of a bundle.
    Frames(Window),
    /// As one stream of content.
    Stream(Window, Format),
}

/// Look for a bundle's frames no further than this.
const LOOK_AHEAD: usize = 8 << 20;
/// Content that tells the format: a section header with long options still fits.
const PEEK: usize = 64 << 10;

pub(super) fn detect(input: Box<dyn Read + Send>, name: &str) -> Result<Detected, ReadError> {
    let mut window = Window::new(input);
    window.ensure(PEEK);
    let start = window.available();
    if start.is_empty() {
        return Err(match window.error.take() {
            Some(source) => ReadError::Io { name: name.into(), offset: 0, source },
            None => ReadError::Empty { name: name.into() },
        });
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        let decoder = Members::new(window.into_reader());
        return content(Window::new(Box::new(decoder)), name, Compression::Gzip);
    }
    let zstd = start.starts_with(&MAGIC.to_le_bytes()) || start.get(1..4) == Some(&[0x2a, 0x4d, 0x18]);
    if zstd || !(starts_section(start) || pcap::is_magic(start)) {
        // Frames of a bundle further on tell it even if the first one is damaged.
        if holds_bundle_frame(&mut window) {
            return Ok(Detected::Frames(window));
        }
    }
    if zstd && cut_before_content(&mut window) {
        return Ok(Detected::Frames(window));
    }
    if zstd {
        return content(Window::new(Box::new(ZstdFrames::new(window))), name, Compression::Zstd);
    }
    content(window, name, Compression::None)
}

/// Whether the input ends so early in its first frame that none of its content can be had: the upload of a bundle
/// that was cut in its first kilobytes. Nothing is left of it, but that is damage, not a wrong file.
fn cut_before_content(window: &mut Window) -> bool {
    let whole = !window.ensure(window.available().len() + 1) && window.available().starts_with(&MAGIC.to_le_bytes());
    let (content, sound) = frames::decompress_start(window.available(), 1);
    whole && window.error.is_none() && sound && content.is_empty()
}

/// Tells the format of decompressed content.
fn content(mut window: Window, name: &str, compression: Compression) -> Result<Detected, ReadError> {
    window.ensure(PEEK);
    let layer = if compression == Compression::None { "" } else { " of the decompressed content" };
    let start = window.available();
    let too_short = |format, need| ReadError::TooShort { name: name.into(), layer, format, have: start.len(), need };
    let kind = if start.starts_with(&SECTION_HEADER.to_le_bytes()) {
        if start.len() < 28 {
            return Err(too_short("pcapng", 28));
        }
        if !starts_section(start) {
            return Err(not_a_capture(name, layer, start));
        }
        if leading_prologue(start).is_some() { FormatKind::Bundle } else { FormatKind::Pcapng }
    } else if pcap::is_magic(start) {
        if start.len() < pcap::FILE_HEADER {
            return Err(too_short("pcap", pcap::FILE_HEADER));
        }
        FormatKind::Pcap
    } else if start.is_empty() {
        return Err(match window.error.take() {
            Some(source) => ReadError::Io { name: name.into(), offset: 0, source },
            None => ReadError::TooShort { name: name.into(), layer, format: "pcap or pcapng", have: 0, need: 24 },
        });
    } else {
        return Err(not_a_capture(name, layer, start));
    };
    Ok(Detected::Stream(window, Format { kind, compression }))
}

fn starts_section(start: &[u8]) -> bool {
    start.starts_with(&SECTION_HEADER.to_le_bytes())
        && start.get(8..12).is_some_and(|m| m == BYTE_ORDER_MAGIC.to_le_bytes() || m == BYTE_ORDER_MAGIC.to_be_bytes())
}

fn not_a_capture(name: &str, layer: &'static str, start: &[u8]) -> ReadError {
    let remedy = match start {
        [b'B', b'Z', b'h', ..] => "It is compressed with bzip2: run `bunzip2` on it first",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "It is compressed with xz: run `unxz` on it first",
        [0x04, 0x22, 0x4d, 0x18, ..] => "It is compressed with lz4: run `unlz4` on it first",
        [b'P', b'K', 3, 4, ..] => "It is a zip archive: unpack it and name the capture in it",
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => "It is compressed twice: decompress it once first",
        [b's', b'n', b'o', b'o', b'p', 0, 0, 0, ..] => "It is a snoop capture: convert it with `editcap -F pcapng`",
        _ => "If Wireshark opens it, convert it with `editcap -F pcapng IN OUT`",
    };
    let start = start.iter().take(8).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
    ReadError::NotACapture { name: name.into(), layer, start, remedy }
}

/// Whether a frame whose content begins like that of a bundle's frame starts within the first megabytes.
fn holds_bundle_frame(window: &mut Window) -> bool {
    let mut from = 0;
    loop {
        let Some(at) = frames::find_magic(window.available(), from) else {
            let have = window.available().len();
            if have >= LOOK_AHEAD || !window.ensure(have + 1) {
                return false;
            }
            from = have.saturating_sub(3);
            continue;
        };
        let frame = window.available().get(at..).unwrap_or(&[]);
        // Damage further on in the frame is no reason not to recognise it.
        let (content, _) = frames::decompress_start(frame, PEEK);
        if leading_prologue(&content).is_some() {
            return true;
        }
        if at == 0 && is_foreign(&content) {
            return false;
        }
        from = at + 1;
    }
}

/// Whether content surely is not a bundle's: a pcap file, or a section whose second block is a standard one. (A bundle's
/// frames further on are then part of what was captured.)
fn is_foreign(content: &[u8]) -> bool {
    if pcap::is_magic(content) {
        return true;
    }
    let word = |at: usize| Some(u32::from_le_bytes(content.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let second = || word(word(4)? as usize);
    starts_section(content) && second().is_some_and(|t| (1..=10).contains(&t) || (1..=10).contains(&t.swap_bytes()))
}
