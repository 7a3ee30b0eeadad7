//! The uncompressed blocks of a stretch of the recording.

use crate::block::{BlockHeader, NO_CPU};
use crate::pcapng::{
    InterfaceDesc, SectionInfo, push_interface, push_own_block, push_packet, push_section, push_statistics,
};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Blocks ready to be compressed. [`super::BundleFile`] makes one or several frames of them.
#[derive(Clone, Debug, Default)]
pub struct FrameContent {
    /// Whole pcapng blocks.
    pub bytes: Vec<u8>,
    /// Packets in it.
    pub packets: u32,
    /// Records per kind of own block, in order of first appearance.
    pub counts: Vec<(u16, u32)>,
    /// Earliest time in it, monotonic ns; 0 if it holds none.
    pub first_ts: u64,
    /// Latest time in it, monotonic ns; 0 if it holds none.
    pub last_ts: u64,
    /// What was added to `CLOCK_MONOTONIC` to get the packets' UTC times.
    pub realtime_offset_ns: i64,
    /// Random number of the recording.
    pub recording: u64,
}

/// Gathers pcapng blocks until the recorder finds them many or old enough (1 to 4 MiB is a good size).
///
/// Nothing here allocates per packet or block once the buffer has grown.
#[derive(Debug)]
pub struct FrameBuilder {
    content: FrameContent,
    interfaces: u32,
    /// Times of packets, UTC ns; `first > last` while there is none.
    packet_first: u64,
    packet_last: u64,
    capacity: usize,
}

impl FrameBuilder {
    /// Begins with the section header. `realtime_offset_ns` is what is added to `CLOCK_MONOTONIC` to get the packets' UTC times.
    #[must_use]
    pub fn new(section: &SectionInfo, realtime_offset_ns: i64) -> Self {
        // The standard library's hasher keys are the system's random numbers.
        Self::with_recording(section, realtime_offset_ns, RandomState::new().build_hasher().finish())
    }

    /// As [`Self::new`] with a chosen recording number: the same input then gives the same bytes.
    #[must_use]
    pub fn with_recording(section: &SectionInfo, realtime_offset_ns: i64, recording: u64) -> Self {
        let mut content = FrameContent { realtime_offset_ns, recording, ..FrameContent::default() };
        push_section(&mut content.bytes, section);
        Self { content, interfaces: 0, packet_first: u64::MAX, packet_last: 0, capacity: 0 }
    }

    /// Declares an interface and returns its number, counted from 0 over the whole bundle.
    pub fn interface(&mut self, interface: &InterfaceDesc) -> u32 {
        push_interface(&mut self.content.bytes, interface);
        self.interfaces += 1;
        self.interfaces - 1
    }

    /// Adds a packet. `parts` joined are the captured bytes (so that a VLAN tag can be put back between two);
    /// `direction` as in [`crate::event::direction`], 0 if unknown; `interface` as returned by [`Self::interface`].
    #[inline]
    pub fn packet(&mut self, interface: u32, ts_utc_ns: u64, direction: u8, wire_len: u32, parts: &[&[u8]]) {
        debug_assert!(interface < self.interfaces, "interface {interface} was not declared");
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

    /// Bytes of content so far.
    #[must_use]
    pub fn content_len(&self) -> usize {
        self.content.bytes.len()
    }

    /// Whether there is nothing to take. (At first there is: the section header.)
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.bytes.is_empty()
    }

    /// Packets so far.
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.content.packets
    }

    /// Hands out what was gathered and begins anew.
    pub fn take(&mut self) -> FrameContent {
        let content = &mut self.content;
        if self.packet_first <= self.packet_last {
            let monotonic = |utc: u64| utc.wrapping_sub(content.realtime_offset_ns.cast_unsigned());
            let (first, last) = (monotonic(self.packet_first), monotonic(self.packet_last));
            content.first_ts = if content.first_ts == 0 { first } else { content.first_ts.min(first) };
            content.last_ts = content.last_ts.max(last);
        }
        self.packet_first = u64::MAX;
        self.packet_last = 0;
        self.capacity = self.capacity.max(content.bytes.len());
        let fresh = FrameContent {
            bytes: Vec::with_capacity(self.capacity),
            realtime_offset_ns: content.realtime_offset_ns,
            recording: content.recording,
            ..FrameContent::default()
        };
        std::mem::replace(&mut self.content, fresh)
    }
}
