//! Makes a large capture of a small one: `replicate FROM TO --bytes N`
//!
//! Writes the packets of FROM again and again, up to N bytes: every copy begins a while after the one before ended, and has other
//! IPv4 addresses (checksums follow), so its connections are others. The same input gives the same bytes; memory is that of FROM.

use formats::read::Reader;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Time between copies.
const PAUSE_NS: i64 = 1_000_000;

/// A packet of the original.
struct Packet {
    ts: i64,
    wire_len: u32,
    bytes: Vec<u8>,
}

/// One's complement sum with a word replaced (RFC 1624, equation 3).
fn replace(sum: u16, old: u16, new: u16) -> u16 {
    let mut wide = u32::from(!sum) + u32::from(!old) + u32::from(new);
    while wide > 0xffff {
        wide = (wide & 0xffff) + (wide >> 16);
    }
    !(wide as u16)
}

fn word(frame: &[u8], at: usize) -> Option<u16> {
    frame.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

fn set(frame: &mut [u8], at: usize, value: u16) {
    if let Some(place) = frame.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Moves both IPv4 addresses of an Ethernet frame to networks of copy number `copy`.
fn readdress(frame: &mut [u8], copy: u16) {
    const IP: usize = 14;
    if word(frame, 12) != Some(0x0800) {
        return;
    }
    let header = usize::from(frame.get(IP).copied().unwrap_or(0) & 15) * 4;
    let sums: [Option<usize>; 2] = [
        Some(IP + 10),
        match frame.get(IP + 9) {
            Some(6) => Some(IP + header + 16),
            Some(17) if word(frame, IP + header + 6) != Some(0) => Some(IP + header + 6),
            _ => None,
        },
    ];
    // The upper halves of source and destination.
    for at in [IP + 12, IP + 16] {
        let Some(old) = word(frame, at) else { return };
        let new = old.wrapping_add(copy);
        set(frame, at, new);
        for sum_at in sums.into_iter().flatten() {
            if let Some(sum) = word(frame, sum_at) {
                set(frame, sum_at, replace(sum, old, new));
            }
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut files, mut bytes) = (Vec::<PathBuf>::new(), 0u64);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bytes" => bytes = args.next().and_then(|n| n.parse().ok()).unwrap_or(0),
            _ => files.push(arg.into()),
        }
    }
    let [from, to] = files.as_slice() else { return Err("usage: replicate FROM TO --bytes N".into()) };
    let mut reader = Reader::open(from)?;
    let mut packets = Vec::new();
    while let Some(batch) = reader.next_batch() {
        for p in &batch.packets {
            packets.push(Packet { ts: p.ts, wire_len: p.wire_len, bytes: batch.data(p).to_vec() });
        }
    }
    if reader.interfaces().first().is_none_or(|i| i.link_type != 1) {
        return Err("only captures of Ethernet frames are replicated".into());
    }
    let first = packets.iter().map(|p| p.ts).min().ok_or("no packets")?;
    let last = packets.iter().map(|p| p.ts).max().ok_or("no packets")?;
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(to)?);
    // pcap with nanoseconds, Ethernet.
    for field in [0xa1b2_3c4du32, 2 | 4 << 16, 0, 0, 262_144, 1] {
        out.write_all(&field.to_le_bytes())?;
    }
    let (mut written, mut copy, mut count) = (24u64, 0u16, 0u64);
    while written < bytes {
        let moved = i64::from(copy) * (last - first + PAUSE_NS);
        for p in &mut packets {
            if copy > 0 {
                readdress(&mut p.bytes, 1);
            }
            let ts = p.ts + moved;
            let [seconds, nanos] = [ts.div_euclid(1_000_000_000) as u32, ts.rem_euclid(1_000_000_000) as u32];
            for field in [seconds, nanos, p.bytes.len() as u32, p.wire_len] {
                out.write_all(&field.to_le_bytes())?;
            }
            out.write_all(&p.bytes)?;
            written += 16 + p.bytes.len() as u64;
        }
        count += packets.len() as u64;
        copy = copy.checked_add(1).ok_or("the original is too small: 65,536 copies are too few")?;
    }
    out.flush()?;
    println!("{copy} copies, {count} packets, {written} bytes");
    Ok(())
}
