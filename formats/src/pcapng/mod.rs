//! pcapng (draft-ietf-opsawg-pcapng): block types, what an interface is, encoding, and a plain writer.
//!
//! Everything is written little-endian, whatever the machine.

mod encode;
mod writer;

pub(crate) use encode::{push_interface, push_names, push_own_block, push_packet, push_section, push_statistics};
pub use writer::Writer;

/// Section Header Block.
pub const SECTION_HEADER: u32 = 0x0a0d_0d0a;
/// Interface Description Block.
pub const INTERFACE_DESCRIPTION: u32 = 1;
/// Packet Block, obsolete.
pub const PACKET: u32 = 2;
/// Simple Packet Block.
pub const SIMPLE_PACKET: u32 = 3;
/// Name Resolution Block.
pub const NAME_RESOLUTION: u32 = 4;
/// Interface Statistics Block.
pub const INTERFACE_STATISTICS: u32 = 5;
/// Enhanced Packet Block.
pub const ENHANCED_PACKET: u32 = 6;
/// Byte-order magic of a section header.
pub const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// LINKTYPE_ETHERNET.
pub const LINK_ETHERNET: u16 = 1;
/// LINKTYPE_RAW: starts with the IPv4 or IPv6 header.
pub const LINK_RAW: u16 = 101;

/// What a section header says of its origin. Empty strings are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SectionInfo {
    /// `shb_hardware`: machine, CPUs.
    pub hardware: String,
    /// `shb_os`.
    pub os: String,
    /// `shb_userappl`: program and version.
    pub application: String,
}

/// Resolution and offset of an interface's timestamps: `if_tsresol`, `if_tsoffset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeScale {
    /// Raw `if_tsresol`: a negative power of 10, or of 2 if the highest bit is set.
    pub resolution: u8,
    /// Seconds to add.
    pub offset_s: i64,
}

impl TimeScale {
    /// Nanoseconds, no offset: what this crate writes.
    pub const NANOSECONDS: Self = Self { resolution: 9, offset_s: 0 };
    /// The default of pcapng.
    pub const MICROSECONDS: Self = Self { resolution: 6, offset_s: 0 };

    /// A raw timestamp as UTC nanoseconds; times outside of what `i64` holds (years 1677 to 2262) end at its limits.
    #[must_use]
    #[inline]
    pub fn to_ns(self, raw: u64) -> i64 {
        if self.resolution == 9 && self.offset_s == 0 && raw <= i64::MAX as u64 {
            return raw.cast_signed();
        }
        let raw = i128::from(raw);
        let ns = if self.resolution & 0x80 != 0 {
            (raw * 1_000_000_000) >> (self.resolution & 0x7f).min(126)
        } else if self.resolution <= 9 {
            raw * 10i128.pow(9 - u32::from(self.resolution))
        } else {
            // 10^38 is the largest power an i128 holds; anything beyond leaves nothing of 64 bits anyway.
            raw / 10i128.pow((u32::from(self.resolution) - 9).min(38))
        };
        let ns = ns + i128::from(self.offset_s) * 1_000_000_000;
        ns.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

/// An interface of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceDesc {
    /// Name; empty if the file does not say.
    pub name: String,
    /// LINKTYPE_* of its packets.
    pub link_type: u16,
    /// Largest captured length; 0 = no limit.
    pub snaplen: u32,
    /// Inode number of its network namespace; 0 if unknown.
    pub netns: u32,
    /// Index within that namespace; 0 if unknown.
    pub ifindex: u32,
    /// `lo`, `veth`, `bridge`, `physical`, ...; empty if unknown.
    pub kind: String,
    /// How its timestamps are counted in the file. Writers ignore it: they write nanoseconds.
    pub time: TimeScale,
}

impl Default for InterfaceDesc {
    fn default() -> Self {
        Self {
            name: String::new(),
            link_type: LINK_ETHERNET,
            snaplen: 0,
            netns: 0,
            ifindex: 0,
            kind: String::new(),
            time: TimeScale::NANOSECONDS,
        }
    }
}

impl InterfaceDesc {
    /// `if_description`: the facts that pcapng has no option for, `netns=4026531840 kind=veth ifindex=3`.
    #[must_use]
    pub fn description(&self) -> String {
        let mut words = Vec::new();
        if self.netns != 0 {
            words.push(format!("netns={}", self.netns));
        }
        if !self.kind.is_empty() {
            words.push(format!("kind={}", self.kind.replace(char::is_whitespace, "_")));
        }
        if self.ifindex != 0 {
            words.push(format!("ifindex={}", self.ifindex));
        }
        words.join(" ")
    }

    /// Takes what it knows out of an `if_description`; other text is ignored.
    pub fn set_description(&mut self, text: &str) {
        for (key, value) in text.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "netns" => self.netns = value.parse().unwrap_or(self.netns),
                "ifindex" => self.ifindex = value.parse().unwrap_or(self.ifindex),
                "kind" => self.kind = value.chars().filter(|c| !c.is_control()).take(32).collect(),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
