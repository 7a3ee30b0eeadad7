//! From ring records to the content of frames: records of one CPU and kind are gathered into blocks, packets become
//! pcapng Enhanced Packet Blocks. Nothing here allocates per record once the buffers have grown.

use crate::facts::interfaces::link_type;
use crate::masking;
use crate::secrets::Masker;
use formats::block::{BlockHeader, NO_CPU};
use formats::event::{self, Packet, ProcessExec, Record, RecordHeader, SocketData, SocketState};
use formats::facts::{ClockSnapshot, Interface, Loss};
use formats::pcapng::{InterfaceDesc, SectionInfo};
use formats::write::{FrameBuilder, FrameContent};
use std::collections::{BTreeMap, HashMap};

/// A block is closed at this size, bytes.
const BLOCK_LEN: usize = 256 << 10;
/// A frame is closed at this size, bytes of content.
pub const FRAME_LEN: usize = 2 << 20;
/// A frame is closed after this time, ns: what a SIGKILL can cost.
pub const FRAME_TIME: u64 = 400_000_000;
/// Packets of an interface that is still being looked up are kept up to this many bytes,
const UNKNOWN_BYTES: usize = 1 << 20;
/// and not longer than this, ns.
const UNKNOWN_TIME: u64 = 300_000_000;
/// Interfaces looked up at the same time at most.
const UNKNOWN_INTERFACES: usize = 64;

/// Records of one CPU and kind on their way into a block.
#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    count: u32,
    first_ts: u64,
    last_ts: u64,
    /// Lost since the block before.
    lost: u64,
}

/// Packets of an interface that is not known yet: ring records.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    since: u64,
    dev_type: u16,
}

/// Counts per pcapng interface.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    captured: u64,
}

/// Gathers what goes into the bundle.
#[derive(Debug)]
pub struct Frames {
    builder: FrameBuilder,
    /// By CPU, then kind.
    blocks: Vec<[Block; event::kind::COUNT]>,
    buffered: usize,
    frame_began: u64,
    realtime_offset: i64,
    snaplen: u32,
    interfaces: HashMap<(u32, u32), u32>,
    /// The interface of the packet before: mostly that of the next one.
    last_interface: Option<((u32, u32), u32)>,
    counts: Vec<Counts>,
    waiting: HashMap<(u32, u32), Waiting>,
    captured: [u64; event::kind::COUNT],
    lost: [u64; event::kind::COUNT],
    /// Exec records with masked arguments.
    masked: u64,
    masker: Masker,
    /// A record that is being masked.
    scratch: Vec<u8>,
}

impl Frames {
    /// The first frame begins.
    #[must_use]
    pub fn new(section: &SectionInfo, clocks: &ClockSnapshot, snaplen: u32) -> Self {
        let realtime_offset = crate::facts::clocks::realtime_offset(clocks);
        Self {
            builder: FrameBuilder::new(section, realtime_offset),
            blocks: Vec::new(),
            buffered: 0,
            frame_began: clocks.monotonic_ns,
            realtime_offset,
            snaplen,
            interfaces: HashMap::new(),
            last_interface: None,
            counts: Vec::new(),
            waiting: HashMap::new(),
            captured: [0; event::kind::COUNT],
            lost: [0; event::kind::COUNT],
            masked: 0,
            masker: Masker::default(),
            scratch: Vec::new(),
        }
    }

    /// Declares an interface; `interface.id` becomes its number.
    pub fn interface(&mut self, interface: &mut Interface) {
        interface.id = self.builder.interface(&InterfaceDesc {
            name: interface.name.clone(),
            link_type: link_type(interface.dev_type),
            snaplen: self.snaplen,
            netns: interface.netns,
            ifindex: interface.ifindex,
            kind: interface.kind.clone(),
            ..InterfaceDesc::default()
        });
        self.counts.push(Counts::default());
        self.interfaces.insert((interface.netns, interface.ifindex), interface.id);
    }

    /// The number of an interface that was declared, by namespace and index.
    #[must_use]
    pub fn number(&self, key: (u32, u32)) -> Option<u32> {
        self.interfaces.get(&key).copied()
    }

    /// Adds JSON lines (or one JSON value).
    pub fn json<T: serde::Serialize>(&mut self, kind: u16, at: u64, lines: &[T]) {
        self.builder.json(kind, at, lines);
    }

    /// Adds a block that belongs to no CPU.
    pub fn block(&mut self, kind: u16, count: u32, at: u64, payload: &[u8]) {
        let header = BlockHeader { kind, cpu: NO_CPU, count, first_ts: at, last_ts: at, ..BlockHeader::default() };
        self.builder.block(&header, &[payload]);
    }

    /// Adds a clock snapshot.
    pub fn clocks(&mut self, clocks: &ClockSnapshot) {
        self.block(formats::block::kind::CLOCK, 1, clocks.monotonic_ns, &clocks.encode());
    }

    /// Adds one record of the ring of `cpu`. Returns an interface that has to be looked up first:
    /// its packets wait until [`Self::known`] is called.
    pub fn record(&mut self, cpu: u32, hdr: &RecordHeader, record: &[u8]) -> Option<(u32, u32)> {
        let kind = usize::from(hdr.kind);
        if let Some(captured) = self.captured.get_mut(kind) {
            *captured += 1;
        }
        match hdr.kind {
            event::kind::PACKET => return self.packet(record),
            event::kind::SOCKET_DATA | event::kind::SOCKET_STATE => {
                let tail = event::tail(record);
                let marks = if hdr.kind == event::kind::SOCKET_DATA {
                    SocketData::read(record).map(|data| self.masker.call(&data, tail))
                } else {
                    SocketState::read(record).map(|state| self.masker.dropped(state.ethertype, tail))
                };
                if let Some(marks) = marks.filter(|marks| !marks.is_empty()) {
                    let mut masked = std::mem::take(&mut self.scratch);
                    masked.clear();
                    masked.extend_from_slice(record);
                    marks.apply(masked.get_mut(usize::from(hdr.fixed_len)..).unwrap_or(&mut []));
                    self.push(cpu, kind, hdr.ts, &masked);
                    self.scratch = masked;
                    return None;
                }
            }
            event::kind::PROCESS_EXEC => {
                if let Some(masked) = mask_exec(record) {
                    self.masked += 1;
                    self.push(cpu, kind, hdr.ts, &masked);
                    return None;
                }
            }
            _ => {}
        }
        self.push(cpu, kind, hdr.ts, record);
        None
    }

    fn push(&mut self, cpu: u32, kind: usize, ts: u64, record: &[u8]) {
        let Some(block) = block_of(&mut self.blocks, cpu, kind) else { return };
        if block.count == 0 {
            (block.first_ts, block.last_ts) = (ts, ts);
        }
        // Records are written in the order in which they were reserved; a CPU's interrupts may come in between.
        block.first_ts = block.first_ts.min(ts);
        block.last_ts = block.last_ts.max(ts);
        block.bytes.extend_from_slice(record);
        block.count += 1;
        self.buffered += record.len();
        if block.bytes.len() >= BLOCK_LEN {
            self.buffered -= block.bytes.len();
            close(&mut self.builder, block, cpu, kind);
        }
    }

    #[inline]
    fn packet(&mut self, record: &[u8]) -> Option<(u32, u32)> {
        let packet = Packet::read(record)?;
        let key = (packet.netns, packet.ifindex);
        let id = match self.last_interface {
            Some((last, id)) if last == key => id,
            _ => {
                let Some(id) = self.interfaces.get(&key) else { return self.wait(key, &packet, record) };
                self.last_interface = Some((key, *id));
                *id
            }
        };
        self.write_packet(id, &packet, event::tail(record));
        None
    }

    fn write_packet(&mut self, id: u32, packet: &Packet, tail: &[u8]) {
        let bytes = tail.get(..packet.cap_len as usize).unwrap_or(tail);
        let marks = self.masker.packet(packet, bytes);
        let bytes = if marks.is_empty() {
            bytes
        } else {
            self.scratch.clear();
            self.scratch.extend_from_slice(bytes);
            marks.apply(&mut self.scratch);
            &self.scratch
        };
        let ts = packet.hdr.ts.wrapping_add(self.realtime_offset.cast_unsigned());
        if let Some(counts) = self.counts.get_mut(id as usize) {
            counts.captured += 1;
        }
        let has_macs = matches!(packet.dev_type, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK);
        match bytes.split_at_checked(12) {
            // The tag lies beside the packet; on the wire it comes after the two MAC addresses.
            Some((macs, rest)) if packet.vlan_proto != 0 && has_macs => {
                let [p0, p1] = packet.vlan_proto.to_be_bytes();
                let [t0, t1] = packet.vlan_tci.to_be_bytes();
                let tag = [p0, p1, t0, t1];
                self.builder.packet(id, ts, packet.direction, packet.wire_len.saturating_add(4), &[macs, &tag, rest]);
            }
            _ => self.builder.packet(id, ts, packet.direction, packet.wire_len, &[bytes]),
        }
    }

    fn wait(&mut self, key: (u32, u32), packet: &Packet, record: &[u8]) -> Option<(u32, u32)> {
        let new = !self.waiting.contains_key(&key);
        if new && self.waiting.len() >= UNKNOWN_INTERFACES {
            self.unnamed(key, packet.dev_type);
            return self.packet(record);
        }
        let waiting = self.waiting.entry(key).or_default();
        if new {
            waiting.since = packet.hdr.ts;
            waiting.dev_type = packet.dev_type;
        }
        waiting.bytes.extend_from_slice(record);
        if waiting.bytes.len() > UNKNOWN_BYTES {
            self.give_up_on(key);
        }
        new.then_some(key)
    }

    /// The look-up of an interface is over. If it was given up already, only its facts are written.
    pub fn known(&mut self, key: (u32, u32), found: Option<Interface>, now: u64) {
        if let Some(mut interface) = found {
            match self.interfaces.get(&key) {
                Some(id) => interface.id = *id,
                None => self.interface(&mut interface),
            }
            self.json(formats::block::kind::INTERFACES, now, &[interface]);
        }
        self.give_up_on(key);
    }

    /// Writes the packets that wait for an interface, under a made-up name if it is still unknown.
    fn give_up_on(&mut self, key: (u32, u32)) {
        let Some(waiting) = self.waiting.remove(&key) else { return };
        if !self.interfaces.contains_key(&key) {
            self.unnamed(key, waiting.dev_type);
        }
        for (_, record) in event::Records::new(&waiting.bytes) {
            self.packet(record);
        }
    }

    fn unnamed(&mut self, key: (u32, u32), dev_type: u16) {
        let name = format!("if{}@{}", key.1, key.0);
        let mut interface = Interface { netns: key.0, ifindex: key.1, name, dev_type, ..Interface::default() };
        self.interface(&mut interface);
    }

    /// Notes losses: in the header of the next block of that CPU and kind, in the summary, and as a line with its times.
    pub fn lost(&mut self, losses: &[Loss], now: u64) {
        for loss in losses {
            let Some(kind) = event::kind::NAMES.iter().position(|name| *name == loss.kind) else { continue };
            if let Some(block) = block_of(&mut self.blocks, loss.cpu, kind) {
                block.lost += loss.lost;
            }
            if let Some(lost) = self.lost.get_mut(kind) {
                *lost += loss.lost;
            }
        }
        if !losses.is_empty() {
            self.json(formats::block::kind::LOSSES, now, losses);
        }
    }

    /// Whether the frame is large or old enough to be written.
    #[must_use]
    pub fn is_due(&self, now: u64) -> bool {
        let len = self.len();
        len >= FRAME_LEN
            || (now.saturating_sub(self.frame_began) >= FRAME_TIME && (self.buffered > 0 || !self.builder.is_empty()))
    }

    /// Bytes gathered for the current frame.
    #[must_use]
    pub fn len(&self) -> usize {
        self.builder.content_len() + self.buffered
    }

    /// Whether nothing was gathered since the last frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffered == 0 && self.builder.is_empty()
    }

    /// Ends the frame.
    pub fn take(&mut self, now: u64) -> FrameContent {
        let late: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, w)| now.saturating_sub(w.since) > UNKNOWN_TIME)
            .map(|(key, _)| *key)
            .collect();
        for key in late {
            self.give_up_on(key);
        }
        for (cpu, blocks) in (0..).zip(&mut self.blocks) {
            for (kind, block) in blocks.iter_mut().enumerate() {
                // Packets are no records in a bundle; their losses have lines only.
                if block.count > 0 || (block.lost > 0 && kind != usize::from(event::kind::PACKET)) {
                    close(&mut self.builder, block, cpu, kind);
                }
            }
        }
        self.buffered = 0;
        self.frame_began = now;
        self.builder.take()
    }

    /// Everything that still waits goes into the frame; interface counters end it.
    pub fn end(&mut self, realtime: u64) {
        let keys: Vec<_> = self.waiting.keys().copied().collect();
        for key in keys {
            self.give_up_on(key);
        }
        let dropped = self.lost.get(usize::from(event::kind::PACKET)).copied().unwrap_or(0);
        let total: u64 = self.counts.iter().map(|c| c.captured).sum();
        for (id, counts) in (0..).zip(&self.counts) {
            // The rings count lost packets per CPU, not per interface: here they stand in proportion.
            let share = u128::from(dropped) * u128::from(counts.captured) / u128::from(total.max(1));
            let share = u64::try_from(share).unwrap_or(u64::MAX);
            self.builder.interface_statistics(id, realtime, counts.captured + share, share);
        }
    }

    /// Records so far, by kind name.
    #[must_use]
    pub fn captured(&self) -> BTreeMap<String, u64> {
        by_name(&self.captured)
    }

    /// Records of one kind so far.
    #[must_use]
    pub fn captured_of(&self, kind: u16) -> u64 {
        self.captured.get(usize::from(kind)).copied().unwrap_or(0)
    }

    /// Losses so far, by kind name.
    #[must_use]
    pub fn losses(&self) -> BTreeMap<String, u64> {
        by_name(&self.lost)
    }

    /// Exec records with masked arguments.
    #[must_use]
    pub fn masked(&self) -> u64 {
        self.masked
    }

    /// Secrets masked in payload, by what they were.
    #[must_use]
    pub fn masked_payload(&self) -> BTreeMap<String, u64> {
        self.masker.counts()
    }
}

fn by_name(counts: &[u64; event::kind::COUNT]) -> BTreeMap<String, u64> {
    event::kind::NAMES.iter().zip(counts).filter(|(_, n)| **n > 0).map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

fn block_of(blocks: &mut Vec<[Block; event::kind::COUNT]>, cpu: u32, kind: usize) -> Option<&mut Block> {
    let cpu = cpu as usize;
    // More CPUs than Linux supports would be nonsense of the caller's.
    if cpu >= blocks.len() && cpu < 8192 {
        blocks.resize_with(cpu + 1, Default::default);
    }
    blocks.get_mut(cpu)?.get_mut(kind)
}

fn close(builder: &mut FrameBuilder, block: &mut Block, cpu: u32, kind: usize) {
    let header = BlockHeader {
        kind: u16::try_from(kind).unwrap_or(0),
        cpu,
        count: block.count,
        payload_len: 0,
        first_ts: block.first_ts,
        last_ts: block.last_ts,
        lost: block.lost,
    };
    builder.block(&header, &[&block.bytes]);
    block.bytes.clear();
    (block.count, block.lost) = (0, 0);
}

/// An exec record with the secrets in its arguments masked; `None` if there are none.
fn mask_exec(record: &[u8]) -> Option<Vec<u8>> {
    let mut exec = ProcessExec::read(record)?;
    let tail = event::tail(record);
    let (filename, rest) = tail.split_at_checked(usize::from(exec.filename_len))?;
    let arguments = rest.get(..usize::from(exec.args_len)).unwrap_or(rest);
    let mut words: Vec<String> =
        arguments.split(|&b| b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    if masking::mask_arguments(&mut words) == 0 {
        return None;
    }
    let mut masked = words.join("\0").into_bytes();
    masked.truncate(usize::from(u16::MAX));
    exec.args_len = u16::try_from(masked.len()).ok()?;
    let fixed = usize::from(exec.hdr.fixed_len);
    let len = (fixed + filename.len() + masked.len()).next_multiple_of(8);
    exec.hdr.len = u32::try_from(len).ok()?;
    let mut out = record.get(..fixed)?.to_vec();
    let known = exec.as_bytes();
    let have = known.len().min(out.len());
    out.get_mut(..have)?.copy_from_slice(known.get(..have)?);
    out.extend_from_slice(filename);
    out.extend_from_slice(&masked);
    out.resize(len, 0);
    Some(out)
}

#[cfg(test)]
mod tests;
