//! Packets to headers: from a frame's bytes to one [`Decoded`] per conversation it belongs to.
//!
//! An own walk over the bytes: no copy, no allocation per packet. Each layer is a function that takes the offset where it starts
//! and hands on the offset of the next. What the capture cut off is no error: lengths come from the headers, and what is there
//! is kept. A frame inside UDP tunnels gives two rows: the carrier's and the inner one's.

mod carrier;
pub(crate) mod checksum;
mod fragment;
pub(crate) mod icmp_error;
mod internet;
mod link;
pub(crate) mod transport;
mod tunnel;

#[cfg(test)]
pub(crate) mod build;
#[cfg(test)]
mod tests;

pub use fragment::{Defragmenter, Fragment, GivenUp, Whole};
pub use transport::TcpOptions;
pub use tunnel::{Tunnel, TunnelKind};

use crate::model::{Nanos, Transport};
use crate::order::shard_hash_numbers;

/// Layers inside layers at most; deeper ones are left alone.
const MAX_DEPTH: u8 = 12;

/// TCP flag bits, as in the header's byte 13, and NS above them.
pub mod tcp_flag {
    #![expect(missing_docs, reason = "the flags' own names")]
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const PSH: u8 = 8;
    pub const ACK: u8 = 16;
    pub const URG: u8 = 32;
    pub const ECE: u8 = 64;
    pub const CWR: u8 = 128;
}

/// SCTP chunk types (RFC 9260, 3.2) that tell how an association begins and ends.
pub mod sctp_chunk {
    #![expect(missing_docs, reason = "the chunks' own names")]
    pub const DATA: u8 = 0;
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const ABORT: u8 = 6;
    pub const COOKIE_ECHO: u8 = 10;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// What is known of one packet, for one conversation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoded {
    /// Sender ([`crate::order::ip_number`]).
    pub src: u128,
    /// Receiver.
    pub dst: u128,
    /// When, UTC ns.
    pub ts: Nanos,
    /// [`crate::order::shard_hash`] of the conversation.
    pub hash: u64,
    /// Interface of the replay (not of the file).
    pub interface: u32,
    /// Place of the frame in its chunk; [`ASSEMBLED`] is set for a datagram put together from fragments.
    pub frame: u32,
    /// Frame length on the wire.
    pub wire_len: u32,
    /// Length of the innermost IP packet, from its header.
    pub ip_len: u32,
    /// Where the payload starts in the frame.
    pub payload_at: u32,
    /// Payload length, from the headers.
    pub payload_len: u32,
    /// How many of these were captured.
    pub payload_captured: u32,
    /// TCP sequence number; ICMP echo: identifier << 16 | sequence number.
    pub seq: u32,
    /// TCP acknowledgement number.
    pub ack: u32,
    /// TCP timestamp option: value, echo. Both 0 if absent.
    pub ts_val: u32,
    /// See above.
    pub ts_echo: u32,
    /// First block of the SACK option; equal ends if absent.
    pub sack: [u32; 2],
    /// Where the TCP options start in the frame, their length is `options_len`.
    pub options_at: u32,
    /// 1 + place in the chunk's tunnels, 0 if none.
    pub tunnel: u32,
    /// Hash of what tells conversations in different tunnels apart; 0 outside of tunnels.
    pub tunnel_key: u32,
    /// Sender's port (ICMP: type).
    pub src_port: u16,
    /// Receiver's port (ICMP: counterpart's type, or code).
    pub dst_port: u16,
    /// TCP window, unscaled.
    pub window: u16,
    /// Outermost VLAN id + 1; 0 if none.
    pub vlan: u16,
    /// Packets this stands for: 1, or the fragments of a datagram.
    pub packets: u16,
    /// IPv4 identification.
    pub ip_id: u16,
    /// Bytes of TCP options captured.
    pub options_len: u8,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP flags; of SCTP the type of its first chunk ([`sctp_chunk`]), or ABORT if there is one.
    pub flags: u8,
    /// ECN bits of the IP header.
    pub ecn: u8,
    /// Where the source hardware address starts in the frame; [`NO_MAC`] if there is none.
    pub mac_at: u8,
    /// Type and code (type * 256 + code) of the ICMP error that quotes a packet of this conversation, 0 if it is a packet itself. Of such a
    /// notice nothing is known but the ends, `options_at`: where the message's own IP header starts, and `ack`: the MTU that it tells, or 0.
    pub notice: u16,
    /// The transport header itself was cut: ports are known, flags are not.
    pub cut_header: bool,
    /// This is the carrier of a tunnel, whose name it is.
    pub carrier: &'static str,
}

/// Bit of [`Decoded::frame`]: the frame is an assembled one.
pub const ASSEMBLED: u32 = 1 << 31;
/// [`Decoded::mac_at`] where there is no source address of six bytes.
pub const NO_MAC: u8 = u8::MAX;

impl Decoded {
    /// TCP: whether all of `flags` are set.
    #[inline]
    #[must_use]
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Transport by protocol number.
    #[must_use]
    pub fn transport(&self) -> Transport {
        transport_of(self.protocol)
    }
}

/// Transport of an IP protocol number.
#[must_use]
pub fn transport_of(protocol: u8) -> Transport {
    match protocol {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        1 => Transport::Icmp,
        58 => Transport::Icmp6,
        132 => Transport::Sctp,
        p => Transport::Other(p),
    }
}

/// What decoding yields for a run of packets.
#[derive(Debug, Default)]
pub struct Output {
    /// Packets of conversations, in the order of the frames.
    pub packets: Vec<Decoded>,
    /// Tunnels they were in.
    pub tunnels: Vec<Tunnel>,
    /// IP fragments, to be put together in order.
    pub fragments: Vec<Fragment>,
    /// (interface, reason) of frames that are in no conversation.
    pub undecoded: Vec<(u32, &'static str)>,
    /// Frames put together, which [`Decoded::frame`] refers to.
    pub assembled: Vec<Vec<u8>>,
}

impl Output {
    /// Takes out what ICMP errors say to the conversations that they quote, if that was decoded last.
    pub(crate) fn leave_out_notices(&mut self) {
        while self.packets.pop_if(|d| d.notice != 0).is_some() {}
    }

    /// Empties it; what it has allocated stays.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.tunnels.clear();
        self.fragments.clear();
        self.undecoded.clear();
        self.assembled.clear();
    }
}

/// One frame as the capture has it.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Captured bytes.
    pub bytes: &'a [u8],
    /// Length on the wire.
    pub wire_len: u32,
    /// When.
    pub ts: Nanos,
    /// Interface of the replay.
    pub interface: u32,
    /// LINKTYPE_* of the interface.
    pub link_type: u16,
    /// Place in the chunk.
    pub index: u32,
    /// Packets it stands for.
    pub packets: u16,
}

/// Decodes one frame into `out`.
#[inline]
pub fn decode(frame: &Frame<'_>, out: &mut Output) {
    let mut walk = Walk {
        frame: *frame,
        out,
        vlan: 0,
        mac_at: NO_MAC,
        depth: 0,
        tunnel: Tunnel::default(),
        udp_ports: None,
        rows: 0,
    };
    match walk.link(frame.link_type) {
        Ok(()) => {}
        // A carrier whose inside is damaged or unknown is a conversation all the same.
        Err(_) if walk.rows > 0 => {}
        Err(reason) => walk.out.undecoded.push((frame.interface, reason)),
    }
}

/// Why a frame is in no conversation.
type Reason = &'static str;

/// The state of one frame's decoding.
struct Walk<'a, 'o> {
    frame: Frame<'a>,
    out: &'o mut Output,
    vlan: u16,
    mac_at: u8,
    depth: u8,
    tunnel: Tunnel,
    /// Ports of the datagram that is being entered.
    udp_ports: Option<(u16, u16)>,
    rows: u32,
}

impl<'a> Walk<'a, '_> {
    /// `N` bytes at `at`, if they were captured.
    #[inline]
    fn bytes<const N: usize>(&self, at: usize) -> Result<&'a [u8; N], Reason> {
        self.frame.bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or("truncated")
    }

    #[inline]
    fn be16(&self, at: usize) -> Result<u16, Reason> {
        self.bytes::<2>(at).map(|b| u16::from_be_bytes(*b))
    }

    /// One more layer; an error where there are too many.
    #[inline]
    fn deeper(&mut self) -> Result<(), Reason> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err("too_many_layers") } else { Ok(()) }
    }

    /// Adds a packet of a conversation.
    #[inline]
    fn push(&mut self, mut d: Decoded) {
        d.ts = self.frame.ts;
        d.interface = self.frame.interface;
        d.frame = self.frame.index;
        d.wire_len = self.frame.wire_len;
        d.packets = self.frame.packets;
        d.vlan = self.vlan;
        d.mac_at = self.mac_at;
        d.hash = shard_hash_numbers(d.protocol, d.src, d.src_port, d.dst, d.dst_port);
        if self.tunnel.depth > 0 {
            if self.out.tunnels.last() != Some(&self.tunnel) {
                self.out.tunnels.push(self.tunnel);
            }
            d.tunnel = self.out.tunnels.len() as u32;
            d.tunnel_key = self.tunnel.key();
        }
        self.rows += 1;
        self.out.packets.push(d);
    }
}
