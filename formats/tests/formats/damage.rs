//! Cut and corrupted bundles: nothing panics, nothing wrong is delivered, nothing sound is lost.

use super::sample::{self, FRAMES, PACKETS_PER_FRAME};
use formats::pcapng::{LINK_ETHERNET, LINK_RAW};
use formats::read::{Damage, FrameFacts, ReadError, Reader, verify};
use proptest::prelude::*;
use std::io::Cursor;
use std::sync::LazyLock;

const PACKETS: u64 = FRAMES * PACKETS_PER_FRAME;

struct Read {
    packets: Vec<u64>,
    damages: Vec<Damage>,
    manifest: bool,
    interfaces: Vec<(String, u16)>,
}

/// Reads a bundle to its end; every packet must be one that was written, with its time, interface and bytes.
fn read(bytes: Vec<u8>) -> Result<Read, ReadError> {
    let mut reader = Reader::from_stream(Box::new(Cursor::new(bytes)), "test")?;
    let mut packets = Vec::new();
    while let Some(batch) = reader.next_batch() {
        for p in &batch.packets {
            let n = ((p.ts - sample::OFFSET) / 1000 - 1) as u64;
            assert_eq!(p.ts, sample::packet_ts(n));
            assert_eq!(batch.data(p), sample::packet(n));
            let raw = n >= 2 * PACKETS_PER_FRAME && n % 2 == 1;
            let link_type = reader.interfaces()[p.interface as usize].link_type;
            assert_eq!(link_type, if raw { LINK_RAW } else { LINK_ETHERNET });
            packets.push(n);
        }
        for b in &batch.blocks {
            assert_eq!(batch.payload(b).len(), b.header.payload_len as usize);
        }
    }
    assert!(packets.is_sorted_by(|a, b| a < b), "packets twice or out of order: {packets:?}");
    Ok(Read {
        packets,
        damages: reader.damages().to_vec(),
        manifest: reader.manifest().is_some(),
        interfaces: reader.interfaces().iter().map(|i| (i.name.clone(), i.link_type)).collect(),
    })
}

/// The sample bundle and its frames.
static SAMPLE: LazyLock<(Vec<u8>, Vec<FrameFacts>)> = LazyLock::new(|| {
    let (bytes, _) = sample::bundle();
    let mut reader = Reader::from_stream(Box::new(Cursor::new(bytes.clone())), "test").unwrap();
    while reader.next_batch().is_some() {}
    (bytes, reader.frames().to_vec())
});

fn frame_of(frames: &[FrameFacts], offset: usize) -> Option<usize> {
    frames.iter().position(|f| (f.offset..f.offset + f.compressed).contains(&(offset as u64)))
}

#[test]
fn cut_anywhere() {
    let (bytes, frames) = &*SAMPLE;
    for cut in 0..bytes.len() {
        let whole = frames.iter().filter(|f| f.offset + f.compressed <= cut as u64).count() as u64;
        match read(bytes[..cut].to_vec()) {
            Ok(read) => {
                // Packets are a prefix of what was written, at least the whole frames' ones.
                let n = read.packets.len() as u64;
                assert!(read.packets.iter().copied().eq(0..n), "cut at {cut}");
                assert!(n >= whole.min(FRAMES) * PACKETS_PER_FRAME, "cut at {cut}: {n} packets of {whole} frames");
                assert!(
                    read.damages.iter().any(|d| d.what.contains("not finalized")),
                    "cut at {cut}: {:?}",
                    read.damages
                );
            }
            Err(_) => assert_eq!(whole, 0, "cut at {cut}"),
        }
    }
}

#[test]
fn a_cut_frame_gives_what_lies_before_the_cut() {
    // One page holds several zstd blocks of 128 KiB of content each.
    let (bytes, frames) = sample::large_bundle(3, 600_000);
    let last = *frames.last().unwrap();
    assert!(last.content > 3 * (128 << 10), "{last:?}");
    let cut = (last.offset + last.compressed - 1000) as usize;
    let mut reader = Reader::from_stream(Box::new(Cursor::new(bytes[..cut].to_vec())), "test").unwrap();
    let mut packets = 0;
    while let Some(batch) = reader.next_batch() {
        packets += batch.packets.len() as u64;
    }
    let before = frames.iter().map(|f| f.packets).sum::<u64>() - last.packets;
    assert!(packets > before, "{packets} packets, {before} in the frames before");
    assert!(packets < before + last.packets);
    let cut_here = reader.damages().iter().find(|d| d.offset == last.offset).unwrap();
    assert!(cut_here.what.contains("cut here"), "{cut_here}");
    assert_eq!(cut_here.frame, Some(last.number));
}

#[test]
fn flip_of_any_byte_costs_its_frame_at_most() {
    let (bytes, frames) = &*SAMPLE;
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1 << (at % 8);
        let read = read(bytes).unwrap_or_else(|e| panic!("flip at {at}: {e}"));
        let hit = frame_of(frames, at).map(|f| f as u64);
        let expected: Vec<u64> = (0..PACKETS).filter(|n| Some(n / PACKETS_PER_FRAME) != hit).collect();
        let rest: Vec<u64> = read.packets.iter().copied().filter(|n| Some(n / PACKETS_PER_FRAME) != hit).collect();
        assert_eq!(rest, expected, "flip at {at}, frame {hit:?}");
        let index_frame = frames.last().unwrap().offset as usize;
        assert!(at >= index_frame || !read.damages.is_empty(), "flip at {at} is not noticed");
        // A flip inside a frame makes it untrustworthy as a whole: not even a part of it is delivered. What is said and
        // changes nothing are bits without meaning: one of the frame header, and what fills pages.
        let delivered = read.packets.len();
        assert!(delivered == expected.len() || delivered as u64 == PACKETS, "flip at {at}: {delivered} packets");
        assert!(read.manifest, "flip at {at}: the last frame repeats the manifest");
    }
}

#[test]
fn without_the_first_frame_interfaces_are_known() {
    let (bytes, frames) = &*SAMPLE;
    let read = read(bytes[frames[1].offset as usize..].to_vec()).unwrap();
    assert_eq!(read.packets.len() as u64, PACKETS - PACKETS_PER_FRAME);
    assert_eq!(read.interfaces, [("veth0".to_owned(), LINK_ETHERNET), ("tun0".to_owned(), LINK_RAW)]);
    assert!(read.manifest);
}

#[test]
fn damage_says_what_was_lost() {
    let (bytes, frames) = &*SAMPLE;
    let mut bytes = bytes.clone();
    let hit = frames[3];
    bytes[hit.offset as usize + 100] ^= 0x10;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flipped.zst");
    std::fs::write(&path, &bytes).unwrap();
    let verified = verify(&path).unwrap();
    assert!(!verified.is_sound());
    assert_eq!(verified.index_digest_ok, Some(false));
    assert_eq!(verified.damages.len(), 1, "{:?}", verified.damages);
    let d = &verified.damages[0];
    assert_eq!((d.offset, d.frame, d.lost_bytes), (hit.offset, Some(3), Some(hit.compressed)));
    assert_eq!((d.lost_packets, d.lost_records), (Some(PACKETS_PER_FRAME), Some(5)));
    // Clock of frame 3 at 4 ns; its last packet is number 159.
    assert_eq!(d.time_range, Some((4, 160_000)));
}

#[test]
fn a_captured_bundle_is_not_taken_for_frames_of_this_one() {
    // The second frame is damaged from its start on and holds, uncompressed, a whole other bundle's frame.
    let (bytes, frames) = &*SAMPLE;
    let (other, other_frames) = sample::large_bundle(1, 2_000);
    let at = frames[1].offset as usize;
    let mut mixed = bytes[..at + 3].to_vec();
    mixed.extend_from_slice(&other[..other_frames[0].compressed as usize]);
    mixed.extend_from_slice(&bytes[frames[2].offset as usize..]);
    let read = read(mixed).unwrap();
    assert_eq!(read.packets.len() as u64, PACKETS - PACKETS_PER_FRAME);
    assert!(read.damages.iter().any(|d| d.what.contains("another recording")), "{:?}", read.damages);
}

#[test]
fn claims_of_absurd_sizes_are_refused() {
    // Frame 2's header rewritten: single segment, 8-byte content size of 2^60.
    let (bytes, frames) = &*SAMPLE;
    let (from, to) = (frames[2].offset as usize, frames[3].offset as usize);
    let mut huge = bytes[..from].to_vec();
    huge.extend_from_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0b1110_0100]);
    huge.extend_from_slice(&(1u64 << 60).to_le_bytes());
    huge.extend_from_slice(&bytes[from + 8..]);
    let read = read(huge).unwrap();
    assert_eq!(read.packets.len() as u64, PACKETS - PACKETS_PER_FRAME);
    let damage = &read.damages[0];
    assert!(damage.what.contains("64 MiB"), "{damage}");
    assert_eq!(damage.offset, from as u64);
    assert!(to > from);
}

/// Every frame that is whole and untouched gave all its packets.
fn check_untouched(frames: &[FrameFacts], read: &Read, hit: &[usize], cut: u64) {
    for (number, f) in frames.iter().enumerate().take(FRAMES as usize) {
        let touched = hit.iter().any(|at| frame_of(frames, *at) == Some(number));
        if f.offset + f.compressed <= cut && !touched {
            let got = read.packets.iter().filter(|n| **n / PACKETS_PER_FRAME == number as u64).count() as u64;
            assert_eq!(got, PACKETS_PER_FRAME, "frame {number}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn several_flips(flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..8)) {
        let (bytes, frames) = &*SAMPLE;
        let mut bytes = bytes.clone();
        let end = frames[FRAMES as usize].offset as usize;
        let hit: Vec<usize> = flips.iter().map(|(at, _)| at.index(end)).collect();
        for (at, (_, bit)) in hit.iter().zip(flips) {
            bytes[*at] ^= 1 << bit;
        }
        let read = read(bytes).unwrap();
        check_untouched(frames, &read, &hit, u64::MAX);
    }

    #[test]
    fn a_flip_and_a_cut(at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<prop::sample::Index>()) {
        let (bytes, frames) = &*SAMPLE;
        let (mut bytes, at, cut) = (bytes.clone(), at.index(bytes.len()), cut.index(bytes.len() + 1));
        bytes[at] ^= 1 << bit;
        bytes.truncate(cut);
        // A frame that is cut has no checksum to tell that it is flipped too. Nor is there a way to tell a cut frame from one
        // whose length is damaged, unless something recognisable follows. So such frames may hold wrong bytes: left out here.
        // (With nothing but its first frame, damaged at its start, a bundle is not even told from any other zstd file.)
        let hit = frame_of(frames, at);
        let untold = frames.iter().rposition(|f| f.offset + 4 <= cut as u64);
        if hit.is_some() && hit == untold {
            return Ok(());
        }
        if let Ok(read) = read(bytes) {
            check_untouched(frames, &read, &[at], cut as u64);
        }
    }

    #[test]
    fn any_bytes(start in prop::sample::select(vec![
        vec![0x28, 0xb5, 0x2f, 0xfd], vec![0x1f, 0x8b, 8, 0], vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0],
        vec![0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a], vec![0x5e, 0x2a, 0x4d, 0x18], vec![],
    ]), rest in prop::collection::vec(any::<u8>(), 0..600)) {
        let bytes = [start, rest].concat();
        if let Ok(mut reader) = Reader::from_stream(Box::new(Cursor::new(bytes)), "test") {
            while let Some(batch) = reader.next_batch() {
                for p in &batch.packets {
                    prop_assert_eq!(batch.data(p).len(), p.cap_len as usize);
                }
            }
        }
    }
}
