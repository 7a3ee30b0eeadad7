//! Reading captures: bundles, pcapng and pcap, plain or compressed, from files and streams.
//!
//! A [`Reader`] yields [`Batch`]es in file order, each holding some megabytes of content, so that a capture far
//! larger than memory can be read. Captured bytes are never trusted: whatever they are, reading ends, memory stays
//! bounded, and what is wrong becomes a [`Damage`].

mod batch;
mod damage;
mod detect;
mod error;
mod frames;
mod gzip;
mod info;
mod known;
mod pcap;
mod pcapng;
mod stream;
mod verify;
mod window;
mod zstd_stream;

pub use batch::{Batch, BlockRef, PacketRef};
pub use damage::{Damage, Layer};
pub use detect::{Compression, Format, FormatKind};
pub use error::ReadError;
pub use info::{Info, InterfaceInfo, KindInfo, info};
pub use known::{FrameFacts, InterfaceStatistics};
pub use verify::{Verification, verify};

use crate::manifest::{Index, Manifest, Summary};
use crate::pcapng::InterfaceDesc;
use crate::zstd_frame::SeekEntry;
use detect::Detected;
use frames::{FrameSource, Item, RawFrame};
use known::Known;
use pcapng::{Outcome, Place, Walked, leading_prologue};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use stream::StreamSource;

/// Frames per batch at most, however small they are.
const MAX_FRAMES: usize = 4096;

enum Source {
    Frames(Box<FrameSource>),
    Stream(StreamSource),
}

enum Content {
    Pcapng(pcapng::Walker),
    Pcap(pcap::Walker),
}

/// Reads one capture from its start to its end.
pub struct Reader {
    name: String,
    source: Source,
    content: Content,
    format: Format,
    known: Known,
    seek_table: Option<Vec<SeekEntry>>,
    next_frame: u64,
    ended: bool,
}

impl Reader {
    /// Opens a capture; `-` is standard input.
    ///
    /// # Errors
    /// If it cannot be opened or is not a capture; see [`ReadError`].
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        if path.as_os_str() == "-" {
            return Self::from_stream(Box::new(std::io::stdin()), "standard input");
        }
        let name = path.display().to_string();
        let open = |path: &Path| {
            let file = std::fs::File::open(path)?;
            if file.metadata()?.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
        };
        match open(path) {
            Ok(file) => Self::from_stream(Box::new(file), &name),
            Err(source) => Err(ReadError::Open { name, source }),
        }
    }

    /// Reads a capture from any stream; `name` is for messages.
    ///
    /// # Errors
    /// If its beginning cannot be read or is not that of a capture; see [`ReadError`].
    pub fn from_stream(input: Box<dyn Read + Send>, name: &str) -> Result<Self, ReadError> {
        let mut known = Known::default();
        let (source, content, format) = match detect::detect(input, name)? {
            Detected::Frames(window) => (
                Source::Frames(Box::new(FrameSource::new(window))),
                Content::Pcapng(pcapng::Walker::of_bundle()),
                Format { kind: FormatKind::Bundle, compression: Compression::Zstd },
            ),
            Detected::Stream(mut window, format) => {
                let content = match pcap::Walker::new(window.available()) {
                    Some((walker, interface)) => {
                        known.interfaces.push(interface);
                        window.consume(pcap::FILE_HEADER);
                        Content::Pcap(walker)
                    }
                    None => Content::Pcapng(pcapng::Walker::new()),
                };
                (Source::Stream(StreamSource::new(window)), content, format)
            }
        };
        let name = name.to_owned();
        Ok(Self { name, source, content, format, known, seek_table: None, next_frame: 0, ended: false })
    }

    /// What the input is called in messages: its path, or `standard input`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next stretch of the capture, about 16 MiB of content; `None` at its end. Damage on the way is noted in
    /// [`Self::damages`] and passed over.
    pub fn next_batch(&mut self) -> Option<Batch> {
        self.next_batch_into(Batch::default())
    }

    /// The same, in the memory of a batch that is done with: memory that was written to before is had at once, new one has to be cleared.
    pub fn next_batch_into(&mut self, spare: Batch) -> Option<Batch> {
        let mut batch = spare;
        while !self.ended {
            batch.clear();
            match self.source {
                Source::Frames(_) => self.read_frames(&mut batch),
                Source::Stream(_) => self.read_stream(&mut batch),
            }
            if self.ended {
                self.conclude();
            }
            if !batch.packets.is_empty() || !batch.blocks.is_empty() {
                return Some(batch);
            }
        }
        None
    }

    fn read_frames(&mut self, batch: &mut Batch) {
        let Source::Frames(source) = &mut self.source else { return };
        batch.chunks.clear();
        // Damage keeps its place among the frames: numbers are counted on through it.
        let mut items: Vec<Result<RawFrame, Box<Damage>>> = Vec::new();
        let mut content = 0;
        while content < stream::CHUNK && items.len() < MAX_FRAMES {
            match source.next() {
                Item::Frame(frame) => {
                    content += frame.content;
                    items.push(Ok(frame));
                }
                Item::Damage(damage) => items.push(Err(Box::new(damage))),
                Item::SeekTable(entries) => self.seek_table = Some(entries),
                Item::End => {
                    self.ended = true;
                    break;
                }
            }
        }
        let decompressed: Vec<_> = items
            .into_par_iter()
            .map(|item| {
                item.map(|frame| {
                    let content = if frame.cut {
                        let limit = frame.content.min(crate::zstd_frame::MAX_CONTENT as usize);
                        frames::decompress_cut(&frame.bytes, limit).ok_or_else(|| "it is cut and damaged".to_owned())
                    } else {
                        frames::decompress(&frame.bytes, frame.content)
                    };
                    let checksum = frame.bytes.last_chunk::<4>().map_or(0, |c| u32::from_le_bytes(*c));
                    let facts = FrameFacts {
                        offset: frame.offset,
                        compressed: frame.bytes.len() as u64,
                        checksum: if frame.cut { 0 } else { checksum },
                        cut: frame.cut,
                        ..FrameFacts::default()
                    };
                    (facts, content)
                })
            })
            .collect();
        for item in decompressed {
            match item {
                Ok((facts, content)) => self.read_frame(facts, content, batch),
                Err(damage) => self.known.damage(Damage { frame: Some(self.next_frame), ..*damage }),
            }
        }
    }

    fn read_frame(&mut self, mut facts: FrameFacts, content: Result<Vec<u8>, String>, batch: &mut Batch) {
        let damage = |frame, what| Damage {
            offset: facts.offset,
            frame: Some(frame),
            what,
            lost_bytes: Some(facts.compressed),
            ..Damage::default()
        };
        let content = match content {
            Ok(content) => content,
            Err(why) => {
                self.known.damage(damage(self.next_frame, format!("the frame is damaged and left out: {why}")));
                self.next_frame += 1;
                return;
            }
        };
        // A frame without content is filling.
        if content.is_empty() && !facts.cut {
            return;
        }
        let recording = self.known.prologue.map(|p| p.recording);
        let prologue = match leading_prologue(&content) {
            Some(p) if recording.is_some_and(|r| r != p.recording) => {
                self.known.damage(damage(self.next_frame, "the frame is of another recording and left out".into()));
                return;
            }
            Some(p) => p,
            None => {
                let what = if facts.cut {
                    "the file is cut here, before anything of this frame could be had"
                } else {
                    "the frame does not begin with a prologue, so it is not one of this bundle; left out"
                };
                self.known.damage(damage(self.next_frame, what.into()));
                return;
            }
        };
        facts.number = u64::from(prologue.sequence);
        facts.content = content.len() as u64;
        self.next_frame = facts.number + 1;
        let place = Place { chunk: batch.chunks.len() as u16, frame: facts.number };
        let (packets, blocks) = (batch.packets.len(), batch.blocks.len());
        let Walked { consumed, outcome } = self.walk(&content, place, batch);
        let what = match outcome {
            Outcome::Done if !facts.cut => None,
            Outcome::Done | Outcome::Need(_) if facts.cut => {
                Some("the file is cut here: the recorder was killed, or the file was not copied whole".to_owned())
            }
            Outcome::Done | Outcome::Need(_) => {
                Some(format!("at byte {consumed} of the frame's content a block is longer than the frame"))
            }
            Outcome::Damaged(what) => {
                Some(format!("at byte {consumed} of the frame's content: {what}; the rest of the frame is left out"))
            }
        };
        if let Some(what) = what {
            self.known.damage(Damage { offset: facts.offset, frame: Some(facts.number), what, ..Damage::default() });
        }
        facts.packets = (batch.packets.len() - packets) as u64;
        facts.blocks = (batch.blocks.len() - blocks) as u64;
        let offset = prologue.realtime_offset_ns;
        let packet_times =
            batch.packets.iter().skip(packets).map(|p| p.ts.saturating_sub(offset).max(0).cast_unsigned());
        let block_times = batch.blocks.iter().skip(blocks).map(|b| b.header).filter(|h| h.first_ts != 0);
        let firsts = packet_times.clone().chain(block_times.clone().map(|h| h.first_ts));
        facts.first_ts = firsts.min().unwrap_or(0);
        facts.last_ts = packet_times.chain(block_times.map(|h| h.last_ts)).max().unwrap_or(0);
        facts.records = batch.blocks.iter().skip(blocks).map(|b| u64::from(b.header.count)).sum();
        self.known.frames.push(facts);
        batch.chunks.push(content);
    }

    fn walk(&mut self, data: &[u8], place: Place, batch: &mut Batch) -> Walked {
        match &mut self.content {
            Content::Pcapng(walker) => walker.walk(&mut self.known, data, place, batch),
            Content::Pcap(walker) => walker.walk(data, place, batch),
        }
    }

    fn read_stream(&mut self, batch: &mut Batch) {
        let Source::Stream(source) = &mut self.source else { return };
        let layer = if self.format.compression == Compression::None { Layer::File } else { Layer::Content };
        let spare = batch.chunks.pop().unwrap_or_default();
        let (mut chunk, error) = match source.next(spare) {
            Ok(next) => next,
            Err(left) => {
                if left > 0 {
                    let what = "the capture is cut in the middle of a packet or block".into();
                    let damage = Damage {
                        offset: source.offset,
                        layer,
                        what,
                        lost_bytes: Some(left as u64),
                        ..Damage::default()
                    };
                    self.known.damage(damage);
                }
                self.ended = true;
                return;
            }
        };
        let Walked { consumed, outcome } = self.walk(&chunk, Place { chunk: 0, frame: 0 }, batch);
        let Source::Stream(source) = &mut self.source else { return };
        if let Some(e) = error {
            let offset = source.offset + chunk.len() as u64;
            let what = format!("the rest cannot be read: {e}");
            self.known.damage(Damage { offset, layer, what, ..Damage::default() });
        }
        match outcome {
            Outcome::Done => source.put_back(&mut chunk, consumed, 0),
            Outcome::Need(need) => source.put_back(&mut chunk, consumed, need),
            Outcome::Damaged(why) => {
                let offset = source.offset + consumed as u64;
                let what = format!("{why}; there is no way to find the next one, so the rest is left out");
                self.known.damage(Damage { offset, layer, what, ..Damage::default() });
                source.stop();
                self.ended = true;
            }
        }
        batch.chunks.push(chunk);
    }

    /// Says at the end what is missing on the whole.
    fn conclude(&mut self) {
        let known = &mut self.known;
        known.consult_index();
        if known.orphans > 0 {
            let what = format!(
                "{} packets name an interface that the capture does not declare; their link layer is unknown, so they are left out",
                known.orphans
            );
            known.damage(Damage { what, lost_packets: Some(known.orphans), ..Damage::default() });
        }
        if self.format.kind == FormatKind::Bundle {
            let framed = matches!(self.source, Source::Frames(_));
            let mut missing = Vec::new();
            if known.summary.is_none() {
                missing.push("summary");
            }
            if known.index.is_none() {
                missing.push("index");
            }
            if framed && self.seek_table.is_none() {
                missing.push("seek table");
            }
            if !missing.is_empty() {
                let why = if framed && self.seek_table.is_some() {
                    "its last frame is damaged"
                } else {
                    "the recorder was killed or the file was cut"
                };
                let what = format!("not finalized: {} missing; {why}", missing.join(", "));
                let offset = known.frames.last().map_or(0, |f| f.offset + f.compressed);
                known.damage(Damage { offset, what, ..Damage::default() });
            }
        }
        // Where every frame is sound, the digest tells of changes that no frame's checksum covers: headers, fillers.
        if let (true, Source::Frames(source), Some(index)) = (known.damages.is_empty(), &self.source, &known.index)
            && !index.sha256.is_empty()
            && source.digest_before_last().is_some_and(|digest| digest != index.sha256)
        {
            let what = "bytes between the contents of frames were changed: no content is lost, but this is not the file \
                        that the recorder wrote";
            known.damage(Damage { what: what.into(), ..Damage::default() });
        }
        if known.further_damages > 0 {
            let what = format!("{} further damages are not listed", known.further_damages);
            known.damages.push(Damage { what, ..Damage::default() });
        }
    }

    /// What the input is.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Interfaces declared so far; grows while batches are read. Numbers are unique over all sections.
    #[must_use]
    pub fn interfaces(&self) -> &[InterfaceDesc] {
        &self.known.interfaces
    }

    /// Last counters of interfaces, in order of first appearance.
    #[must_use]
    pub fn statistics(&self) -> &[InterfaceStatistics] {
        &self.known.statistics
    }

    /// The manifest, once the batch that holds it was read: the first one, unless the first frame is damaged.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.known.manifest.as_ref()
    }

    /// How the recording ended: at the end of a whole bundle.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        self.known.summary.as_ref()
    }

    /// What is in which frame: at the end of a whole bundle.
    #[must_use]
    pub fn index(&self) -> Option<&Index> {
        self.known.index.as_ref()
    }

    /// Add this to a monotonic time for UTC ns; known from the first batch of a bundle on, damaged or not.
    #[must_use]
    pub fn realtime_offset_ns(&self) -> Option<i64> {
        self.known.prologue.map(|p| p.realtime_offset_ns)
    }

    /// What is missing or wrong, in file order; complete when the last batch was read.
    #[must_use]
    pub fn damages(&self) -> &[Damage] {
        &self.known.damages
    }

    /// Frames of a bundle read so far, in file order; damaged ones are among [`Self::damages`] instead.
    #[must_use]
    pub fn frames(&self) -> &[FrameFacts] {
        &self.known.frames
    }

    /// Blocks passed over because their type is unknown or of no use here: type -> how many.
    #[must_use]
    pub fn skipped_blocks(&self) -> &BTreeMap<u32, u64> {
        &self.known.skipped
    }
}
