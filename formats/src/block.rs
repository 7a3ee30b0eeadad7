//! Own pcapng blocks: how records and facts lie among the packets.
//!
//! An own block is a pcapng block of local-use type [`BLOCK_TYPE`] (readers that do not know it
//! pass over it). Its body is a [`BlockHeader`] of 48 bytes, little-endian, then `payload_len` bytes of payload,
//! then zero padding to 4 bytes.

/// pcapng block type of every own block: local use, "HND" in the low bytes.
pub const BLOCK_TYPE: u32 = 0x8048_4e44;
/// First four bytes of an own block's body.
pub const MAGIC: [u8; 4] = *b"HSB1";
/// Version of the block header and of the payloads' meaning.
pub const VERSION: u16 = 1;
/// `cpu` of blocks that belong to no CPU.
pub const NO_CPU: u32 = u32::MAX;

/// Kinds of blocks beyond those of [`crate::event::kind`], which hold event records.
pub mod kind {
    /// JSON, [`crate::manifest::Manifest`]; in the first frame.
    pub const MANIFEST: u16 = 0x100;
    /// 40-byte records, [`crate::facts::ClockSnapshot`].
    pub const CLOCK: u16 = 0x101;
    /// JSON lines, [`crate::facts::Process`].
    pub const PROCESSES: u16 = 0x102;
    /// JSON lines, [`crate::facts::Socket`].
    pub const SOCKETS: u16 = 0x103;
    /// JSON lines, [`crate::facts::Interface`].
    pub const INTERFACES: u16 = 0x104;
    /// JSON lines, [`crate::facts::Mapping`].
    pub const MAPPINGS: u16 = 0x105;
    /// JSON lines, [`crate::facts::Symbol`].
    pub const SYMBOLS: u16 = 0x106;
    /// JSON lines, [`crate::facts::Loss`].
    pub const LOSSES: u16 = 0x107;
    /// JSON, [`crate::facts::RecorderCost`].
    pub const COST: u16 = 0x108;
    /// JSON lines, [`crate::facts::NetNamespace`]: routes and address translation rules.
    pub const NETWORKS: u16 = 0x109;
    /// JSON, [`crate::manifest::Index`]; in the last frame.
    pub const INDEX: u16 = 0x10a;
    /// JSON, [`crate::manifest::Summary`]; in the last frame.
    pub const SUMMARY: u16 = 0x10b;
    /// Binary, [`super::Prologue`]: where a frame stands; the first own block of every frame.
    pub const PROLOGUE: u16 = 0x10c;
    /// JSON lines, [`crate::facts::CounterReading`]: when recording begins, and when it ends.
    pub const COUNTERS: u16 = 0x10d;
}

/// Name of a block kind, for messages and `analyze info`.
#[must_use]
pub fn kind_name(k: u16) -> &'static str {
    match k {
        kind::MANIFEST => "manifest",
        kind::CLOCK => "clock",
        kind::PROCESSES => "processes",
        kind::SOCKETS => "sockets",
        kind::INTERFACES => "interfaces",
        kind::MAPPINGS => "mappings",
        kind::SYMBOLS => "symbols",
        kind::LOSSES => "losses",
        kind::COST => "cost",
        kind::NETWORKS => "networks",
        kind::INDEX => "index",
        kind::SUMMARY => "summary",
        kind::PROLOGUE => "prologue",
        kind::COUNTERS => "counters",
        k => crate::event::kind::NAMES.get(k as usize).copied().unwrap_or("unknown"),
    }
}

/// Header of an own block's body: 48 bytes, little-endian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockHeader {
    /// [`kind`] or [`crate::event::kind`].
    pub kind: u16,
    /// Source CPU or [`NO_CPU`].
    pub cpu: u32,
    /// Records in the payload (JSON lines: lines).
    pub count: u32,
    /// Bytes of payload, padding excluded.
    pub payload_len: u32,
    /// Time of the first record, `CLOCK_MONOTONIC` ns.
    pub first_ts: u64,
    /// Time of the last record.
    pub last_ts: u64,
    /// Events of this kind lost on this CPU since the previous block of this kind and CPU.
    pub lost: u64,
}

/// Size of an encoded [`BlockHeader`].
pub const HEADER_LEN: usize = 48;

impl BlockHeader {
    /// The header as it lies in the file.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut b = [0u8; HEADER_LEN];
        b[0..4].copy_from_slice(&MAGIC);
        b[4..6].copy_from_slice(&VERSION.to_le_bytes());
        b[6..8].copy_from_slice(&self.kind.to_le_bytes());
        b[8..12].copy_from_slice(&self.cpu.to_le_bytes());
        b[12..16].copy_from_slice(&self.count.to_le_bytes());
        b[16..20].copy_from_slice(&self.payload_len.to_le_bytes());
        // 20..24 is reserved, zero.
        b[24..32].copy_from_slice(&self.first_ts.to_le_bytes());
        b[32..40].copy_from_slice(&self.last_ts.to_le_bytes());
        b[40..48].copy_from_slice(&self.lost.to_le_bytes());
        b
    }

    /// Reads a header; `None` if the bytes are too few or not an own block.
    #[must_use]
    pub fn decode(b: &[u8]) -> Option<Self> {
        let b: &[u8; HEADER_LEN] = b.get(..HEADER_LEN)?.try_into().ok()?;
        if b[0..4] != MAGIC {
            return None;
        }
        let u32_at = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        Some(Self {
            kind: u16::from_le_bytes([b[6], b[7]]),
            cpu: u32_at(8),
            count: u32_at(12),
            payload_len: u32_at(16),
            first_ts: u64_at(24),
            last_ts: u64_at(32),
            lost: u64_at(40),
        })
    }
}

/// Fixed part of the payload of a [`kind::PROLOGUE`] block: 24 bytes, little-endian.
///
/// It makes every frame readable when the frames before it are lost: the payload goes on with copies of the
/// Interface Description Blocks of all interfaces declared before this frame (`interfaces` of them), in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prologue {
    /// Number of the frame, from 0. A jump tells how many frames are missing.
    pub sequence: u32,
    /// Interfaces declared before this frame.
    pub interfaces: u32,
    /// Add this to a monotonic time for UTC ns; as in the manifest.
    pub realtime_offset_ns: i64,
    /// Random number of this recording: tells its frames from those of a bundle that was itself captured in packets.
    pub recording: u64,
}

/// Size of an encoded [`Prologue`], without the interfaces.
pub const PROLOGUE_LEN: usize = 24;

impl Prologue {
    /// As it lies in the file.
    #[must_use]
    pub fn encode(&self) -> [u8; PROLOGUE_LEN] {
        let mut b = [0u8; PROLOGUE_LEN];
        b[0..4].copy_from_slice(&self.sequence.to_le_bytes());
        b[4..8].copy_from_slice(&self.interfaces.to_le_bytes());
        b[8..16].copy_from_slice(&self.realtime_offset_ns.to_le_bytes());
        b[16..24].copy_from_slice(&self.recording.to_le_bytes());
        b
    }

    /// Reads the fixed part; `None` if the payload is too short.
    #[must_use]
    pub fn decode(b: &[u8]) -> Option<Self> {
        let b: &[u8; PROLOGUE_LEN] = b.get(..PROLOGUE_LEN)?.try_into().ok()?;
        let u32_at = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        Some(Self {
            sequence: u32_at(0),
            interfaces: u32_at(4),
            realtime_offset_ns: u64_at(8).cast_signed(),
            recording: u64_at(16),
        })
    }
}
