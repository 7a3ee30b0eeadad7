//! The uncompressed content of one frame.

use crate::block::{self, BlockHeader, NO_CPU, Prologue, kind};
use crate::event;
use crate::manifest::FrameEntry;
use crate::pcapng::{
    InterfaceDesc, SectionInfo, push_interface, push_own_block, push_packet, push_section, push_statistics,
};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Content of one frame, ready to be compressed.
#[derive(Clone, Debug, Default)]
pub struct FrameContent {
    /// Whole pcapng blocks.
    pub bytes: Vec<u8>,
    /// Packets in it.
    pub packets: u32,
    /// Records per kind of own block, in order of first appearance. Prologues are not counted.
    pub counts: Vec<(u16, u32)>,
    /// Earliest time in it, monotonic ns; 0 if it holds none.
    pub first_ts: u64,
    /// Latest time in it, monotonic ns; 0 if it holds none.
    pub last_ts: u64,
    /// What the prologue of the frame after this one says.
    pub(crate) next: Prologue,
    /// Interface blocks of all interfaces so far.
    pub(crate) interfaces: Vec<u8>,
    /// The manifest, if it is in this frame.
    pub(crate) manifest: Option<Vec<u8>>,
}

impl FrameContent {
    pub(crate) fn entry(&self, offset: u64, compressed: u32) -> FrameEntry {
        let mut counts: std::collections::BTreeMap<u16, u32> = self.counts.iter().copied().collect();
        if self.packets != 0 {
            counts.insert(event::kind::PACKET, self.packets);
        }
        FrameEntry {
            offset,
            compressed,
            content: self.bytes.len() as u32,
            first_ts: self.first_ts,
            last_ts: self.last_ts,
            packets: self.packets,
            counts,
        }
    }
}

/// Gathers pcapng blocks until the recorder finds the frame large or old enough.
///
/// Nothing here allocates per packet or block once the buffer has grown. Every frame begins with a
/// prologue, see [`Prologue`]; the first one also with the section header.
#[derive(Debug)]
pub struct FrameBuilder {
    content: FrameContent,
    /// Where the blocks after the prologue start.
    empty_len: usize,
    /// Times of packets, UTC ns; `first > last` while there is none.
    packet_first: u64,
    packet_last: u64,
    capacity: usize,
}

impl FrameBuilder {
    /// Begins the first frame. `realtime_offset_ns` is what was added to `CLOCK_MONOTONIC` to get the packets' UTC times.
    #[must_use]
    pub fn new(section: &SectionInfo, realtime_offset_ns: i64) -> Self {
        // The standard library's hasher keys are the system's random numbers.
        Self::with_recording(section, realtime_offset_ns, RandomState::new().build_hasher().finish())
    }

    /// As [`Self::new`] with a chosen recording number: the same input then gives the same bytes.
    #[must_use]
    pub fn with_recording(section: &SectionInfo, realtime_offset_ns: i64, recording: u64) -> Self {
        let mut builder = Self {
            content: FrameContent {
                next: Prologue { sequence: 0, interfaces: 0, realtime_offset_ns, recording },
                ..FrameContent::default()
            },
            empty_len: 0,
            packet_first: u64::MAX,
            packet_last: 0,
            capacity: 0,
        };
        push_section(&mut builder.content.bytes, section);
        builder.begin();
        builder
    }

    fn begin(&mut self) {
        push_prologue(&mut self.content.bytes, self.content.next, &self.content.interfaces);
        self.content.next.sequence = self.content.next.sequence.wrapping_add(1);
        self.empty_len = self.content.bytes.len();
    }

    /// Declares an interface and returns its number, counted from 0 over the whole bundle.
    pub fn interface(&mut self, interface: &InterfaceDesc) -> u32 {
        let content = &mut self.content;
        let at = content.bytes.len();
        push_interface(&mut content.bytes, interface);
        content.interfaces.extend_from_slice(&content.bytes[at..]);
        content.next.interfaces += 1;
        content.next.interfaces - 1
    }

    /// Adds a packet. `parts` joined are the captured bytes (so that a VLAN tag can be put back between two);
    /// `direction` as in [`event::direction`], 0 if unknown; `interface` as returned by [`Self::interface`].
    #[inline]
    pub fn packet(&mut self, interface: u32, ts_utc_ns: u64, direction: u8, wire_len: u32, parts: &[&[u8]]) {
        debug_assert!(interface < self.content.next.interfaces, "interface {interface} was not declared");
        push_packet(&mut self.content.bytes, interface, ts_utc_ns, direction, wire_len, parts, "");
        self.content.packets += 1;
        self.packet_first = self.packet_first.min(ts_utc_ns);
        self.packet_last = self.packet_last.max(ts_utc_ns);
    }

    /// Adds an own block; `payload` joined is its payload, `header.payload_len` is taken from it.
    pub fn block(&mut self, header: &BlockHeader, payload: &[&[u8]]) {
        let content = &mut self.content;
        push_own_block(&mut content.bytes, header, payload);
        match content.counts.iter_mut().find(|(k, _)| *k == header.kind) {
            Some((_, n)) => *n = n.saturating_add(header.count),
            None => content.counts.push((header.kind, header.count)),
        }
        if header.first_ts != 0 {
            content.first_ts =
                if content.first_ts == 0 { header.first_ts } else { content.first_ts.min(header.first_ts) };
            content.last_ts = content.last_ts.max(header.last_ts);
        }
        if header.kind == kind::MANIFEST {
            content.manifest = Some(payload.concat());
        }
    }

    /// Adds a block of JSON lines (or one JSON value), stamped with one time.
    pub fn json<T: serde::Serialize>(&mut self, kind: u16, monotonic_ns: u64, lines: &[T]) {
        let mut payload = Vec::new();
        for line in lines {
            // Own types of strings, numbers and maps: serialising them into memory cannot fail.
            let _ = serde_json::to_writer(&mut payload, line);
            payload.push(b'\n');
        }
        let header = BlockHeader {
            kind,
            cpu: NO_CPU,
            count: lines.len() as u32,
            first_ts: monotonic_ns,
            last_ts: monotonic_ns,
            ..BlockHeader::default()
        };
        self.block(&header, &[&payload]);
    }

    /// Adds the counters of an interface: packets received (captured and not) and dropped by the capture.
    pub fn interface_statistics(&mut self, interface: u32, ts_utc_ns: u64, received: u64, dropped: u64) {
        push_statistics(&mut self.content.bytes, interface, ts_utc_ns, received, dropped);
    }

    /// Bytes of content so far, prologue included.
    #[must_use]
    pub fn content_len(&self) -> usize {
        self.content.bytes.len()
    }

    /// Whether nothing was added since the frame began. (The first frame is never empty: it declares the section.)
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.bytes.len() == self.empty_len && self.content.next.sequence > 1
    }

    /// Packets in the frame so far.
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.content.packets
    }

    /// Ends the frame and begins the next one.
    pub fn take(&mut self) -> FrameContent {
        let content = &mut self.content;
        if self.packet_first <= self.packet_last {
            let monotonic = |utc: u64| utc.wrapping_sub(content.next.realtime_offset_ns.cast_unsigned());
            let (first, last) = (monotonic(self.packet_first), monotonic(self.packet_last));
            content.first_ts = if content.first_ts == 0 { first } else { content.first_ts.min(first) };
            content.last_ts = content.last_ts.max(last);
        }
        self.capacity = self.capacity.max(content.bytes.len());
        let fresh = FrameContent {
            bytes: Vec::with_capacity(self.capacity),
            next: content.next,
            interfaces: content.interfaces.clone(),
            ..FrameContent::default()
        };
        let done = std::mem::replace(&mut self.content, fresh);
        self.packet_first = u64::MAX;
        self.packet_last = 0;
        self.begin();
        done
    }
}

/// The block that starts a frame.
pub(crate) fn push_prologue(out: &mut Vec<u8>, prologue: Prologue, interfaces: &[u8]) {
    let header = BlockHeader { kind: block::kind::PROLOGUE, cpu: NO_CPU, count: 1, ..BlockHeader::default() };
    push_own_block(out, &header, &[&prologue.encode(), interfaces]);
}
