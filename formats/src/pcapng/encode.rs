//! Blocks as bytes, appended to a buffer. No allocation besides the buffer's own growth.

use super::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS, InterfaceDesc, NAME_RESOLUTION,
    SECTION_HEADER, SectionInfo,
};
use crate::block::{BLOCK_TYPE, BlockHeader, HEADER_LEN};
use std::net::IpAddr;

const OPT_COMMENT: u16 = 1;
const SHB_HARDWARE: u16 = 2;
const SHB_OS: u16 = 3;
const SHB_USERAPPL: u16 = 4;
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
const EPB_FLAGS: u16 = 2;
const ISB_IFRECV: u16 = 4;
const ISB_IFDROP: u16 = 5;
const NRB_IPV4: u16 = 1;
const NRB_IPV6: u16 = 2;

/// Bytes of zero that bring `len` to a multiple of 4.
fn padding(len: usize) -> usize {
    len.wrapping_neg() & 3
}

fn push_padding(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&[0; 3][..padding(len)]);
}

fn push_u16(out: &mut Vec<u8>, v: u16) {
    out.extend_from_slice(&v.to_le_bytes());
}

fn push_u32(out: &mut Vec<u8>, v: u32) {
    out.extend_from_slice(&v.to_le_bytes());
}

/// Type and a length to be filled in by [`end`]; returns the block's place.
fn begin(out: &mut Vec<u8>, block_type: u32) -> usize {
    let at = out.len();
    push_u32(out, block_type);
    push_u32(out, 0);
    at
}

fn end(out: &mut Vec<u8>, at: usize) {
    let total = (out.len() - at + 4) as u32;
    push_u32(out, total);
    if let Some(place) = out.get_mut(at + 4..at + 8) {
        place.copy_from_slice(&total.to_le_bytes());
    }
}

/// An option's length is 16 bits: longer values are cut (text at a character's start).
fn push_option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX) - 3)];
    push_u16(out, code);
    push_u16(out, value.len() as u16);
    out.extend_from_slice(value);
    push_padding(out, value.len());
}

fn push_text(out: &mut Vec<u8>, code: u16, text: &str) {
    if !text.is_empty() {
        let mut cut = text.len().min(4096);
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        push_option(out, code, &text.as_bytes()[..cut]);
    }
}

fn push_end_of_options(out: &mut Vec<u8>) {
    push_u32(out, 0);
}

pub(crate) fn push_section(out: &mut Vec<u8>, info: &SectionInfo) {
    let at = begin(out, SECTION_HEADER);
    push_u32(out, BYTE_ORDER_MAGIC);
    push_u16(out, 1);
    push_u16(out, 0);
    // Section length unknown: it is still being recorded.
    out.extend_from_slice(&u64::MAX.to_le_bytes());
    push_text(out, SHB_HARDWARE, &info.hardware);
    push_text(out, SHB_OS, &info.os);
    push_text(out, SHB_USERAPPL, &info.application);
    push_end_of_options(out);
    end(out, at);
}

pub(crate) fn push_interface(out: &mut Vec<u8>, interface: &InterfaceDesc) {
    let at = begin(out, INTERFACE_DESCRIPTION);
    push_u16(out, interface.link_type);
    push_u16(out, 0);
    push_u32(out, interface.snaplen);
    push_text(out, IF_NAME, &interface.name);
    push_text(out, IF_DESCRIPTION, &interface.description());
    push_option(out, IF_TSRESOL, &[9]);
    push_end_of_options(out);
    end(out, at);
}

/// An Enhanced Packet Block; `parts` joined are the captured bytes.
#[inline]
pub(crate) fn push_packet(
    out: &mut Vec<u8>,
    interface: u32,
    ts_utc_ns: u64,
    direction: u8,
    wire_len: u32,
    parts: &[&[u8]],
    comment: &str,
) {
    let cap_len: usize = parts.iter().map(|p| p.len()).sum();
    let flags = u32::from(direction & 3);
    // Without options, 32 bytes and the padded data; flags add 8 + 4.
    let total = 32 + cap_len + padding(cap_len) + if flags == 0 { 0 } else { 12 };
    out.reserve(total);
    let at = out.len();
    let mut head = [0u8; 28];
    head[0..4].copy_from_slice(&ENHANCED_PACKET.to_le_bytes());
    head[4..8].copy_from_slice(&(total as u32).to_le_bytes());
    head[8..12].copy_from_slice(&interface.to_le_bytes());
    head[12..16].copy_from_slice(&((ts_utc_ns >> 32) as u32).to_le_bytes());
    head[16..20].copy_from_slice(&(ts_utc_ns as u32).to_le_bytes());
    head[20..24].copy_from_slice(&(cap_len as u32).to_le_bytes());
    head[24..28].copy_from_slice(&wire_len.to_le_bytes());
    out.extend_from_slice(&head);
    for part in parts {
        out.extend_from_slice(part);
    }
    push_padding(out, cap_len);
    if flags != 0 {
        push_option(out, EPB_FLAGS, &flags.to_le_bytes());
    }
    push_text(out, OPT_COMMENT, comment);
    if flags != 0 || !comment.is_empty() {
        push_end_of_options(out);
    }
    end(out, at);
}

/// A Name Resolution Block: a name for each address. Names are cut to 255 bytes.
pub(crate) fn push_names(out: &mut Vec<u8>, names: &[(IpAddr, String)]) {
    let at = begin(out, NAME_RESOLUTION);
    for (address, name) in names {
        let mut cut = name.len().min(255);
        while !name.is_char_boundary(cut) {
            cut -= 1;
        }
        let name = &name.as_bytes()[..cut];
        let mut push = |kind: u16, octets: &[u8]| {
            let len = octets.len() + name.len() + 1;
            push_u16(out, kind);
            push_u16(out, len as u16);
            out.extend_from_slice(octets);
            out.extend_from_slice(name);
            out.push(0);
            push_padding(out, len);
        };
        match address {
            IpAddr::V4(v4) => push(NRB_IPV4, &v4.octets()),
            IpAddr::V6(v6) => push(NRB_IPV6, &v6.octets()),
        }
    }
    // End of records; no options.
    push_u32(out, 0);
    end(out, at);
}

pub(crate) fn push_statistics(out: &mut Vec<u8>, interface: u32, ts_utc_ns: u64, received: u64, dropped: u64) {
    let at = begin(out, INTERFACE_STATISTICS);
    push_u32(out, interface);
    push_u32(out, (ts_utc_ns >> 32) as u32);
    push_u32(out, ts_utc_ns as u32);
    push_option(out, ISB_IFRECV, &received.to_le_bytes());
    push_option(out, ISB_IFDROP, &dropped.to_le_bytes());
    push_end_of_options(out);
    end(out, at);
}

/// An own block; `header.payload_len` is taken from the parts.
pub(crate) fn push_own_block(out: &mut Vec<u8>, header: &BlockHeader, payload: &[&[u8]]) {
    let len: usize = payload.iter().map(|p| p.len()).sum();
    let total = (12 + HEADER_LEN + len + padding(len)) as u32;
    out.reserve(total as usize);
    push_u32(out, BLOCK_TYPE);
    push_u32(out, total);
    out.extend_from_slice(&BlockHeader { payload_len: len as u32, ..*header }.encode());
    for part in payload {
        out.extend_from_slice(part);
    }
    push_padding(out, len);
    push_u32(out, total);
}
