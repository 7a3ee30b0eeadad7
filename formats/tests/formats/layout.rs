//! Where frames lie: pages, as Wireshark's reader of compressed files needs them, and the seek table.

use super::sample;
use formats::block::{BlockHeader, NO_CPU, kind};
use formats::manifest::Summary;
use formats::pcapng::{InterfaceDesc, SectionInfo};
use formats::read::Reader;
use formats::write::{BundleFile, FrameBuilder};
use proptest::prelude::*;
use std::io::{Cursor, Read};

const PAGE: usize = 131_075;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().unwrap())
}

/// Lengths of all frames, skippable ones included, as libzstd finds them.
fn frame_lengths(bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = zstd::zstd_safe::find_frame_compressed_size(&bytes[at..]).unwrap();
        lengths.push(len);
        at += len;
    }
    lengths
}

/// Does what Wireshark does at the end of each frame: unless its buffer is used up, look at the buffer's start.
fn wireshark_finds_all(bytes: &[u8]) {
    let mut at = 0;
    for len in frame_lengths(bytes) {
        at += len;
        let page = at - at % PAGE;
        if at < bytes.len() {
            assert_eq!(bytes[page..page + 4], MAGIC, "after the frame that ends at {at}");
        }
    }
}

fn write(contents: &[(usize, usize, bool)], finish: bool) -> (Vec<u8>, usize) {
    let mut builder = FrameBuilder::with_recording(&SectionInfo::default(), 0, 1);
    builder.interface(&InterfaceDesc::default());
    let mut file = BundleFile::new(Vec::new()).unwrap();
    let mut packets = 0;
    for (i, &(n, block, compressible)) in contents.iter().enumerate() {
        for k in 0..n {
            let data = if compressible { vec![k as u8; 700] } else { sample::noise(700, (i * 10_000 + k) as u64 + 1) };
            builder.packet(0, (i * 1_000_000 + k) as u64 + 1, 1, 700, &[&data]);
            packets += 1;
        }
        if block > 0 {
            let header = BlockHeader { kind: kind::SYMBOLS, cpu: NO_CPU, count: 1, ..BlockHeader::default() };
            builder.block(&header, &[&sample::noise(block, i as u64 + 7)]);
        }
        file.append(&builder.take()).unwrap();
    }
    if finish { (file.finish(&Summary::default()).unwrap().1, packets) } else { (file.get_mut().clone(), packets) }
}

fn check(bytes: &[u8], packets: usize, finished: bool) {
    wireshark_finds_all(bytes);
    let mut reader = Reader::from_stream(Box::new(Cursor::new(bytes.to_vec())), "test").unwrap();
    let mut found = 0;
    while let Some(batch) = reader.next_batch() {
        found += batch.packets.len();
    }
    assert_eq!(found, packets);
    assert_eq!(reader.damages().is_empty(), finished, "{:?}", reader.damages());
    // A plain decompressor makes one pcapng file of it.
    let mut content = Vec::new();
    zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    let mut reader = Reader::from_stream(Box::new(Cursor::new(content)), "test").unwrap();
    found = 0;
    while let Some(batch) = reader.next_batch() {
        found += batch.packets.len();
    }
    assert_eq!(found, packets);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages(contents in prop::collection::vec((0usize..400, prop_oneof![Just(0usize), 1usize..3000, 100_000usize..500_000], any::<bool>()), 1..8), finish in any::<bool>()) {
        let (bytes, packets) = write(&contents, finish);
        check(&bytes, packets, finish);
    }
}

#[test]
fn block_larger_than_a_page() {
    // Every remainder by 3, so that all forms of padding occur.
    for block in [131_000, 131_001, 131_002, 300_000, 300_001, 300_002] {
        let (bytes, packets) = write(&[(3, block, true), (3, 0, true)], true);
        check(&bytes, packets, true);
    }
}

#[test]
fn frames_around_the_end_of_a_page() {
    // A frame of noise is as long as its content and some fixed bytes: find sizes that leave -3 to 20 bytes of the page.
    let overhead = write(&[(0, 100_000, true)], false).0.len() - 100_000;
    for left in -3i64..20 {
        let block = (PAGE as i64 - overhead as i64 - left) as usize;
        let (bytes, packets) = write(&[(0, block, true), (2, 0, true)], true);
        check(&bytes, packets, true);
        // And with the last frame there: the seek table must not begin a page.
        let (bytes, packets) = write(&[(0, block - 700, true)], true);
        check(&bytes, packets, true);
    }
}

#[test]
fn seek_table() {
    let (bytes, _) = write(&[(300, 0, false), (300, 1000, true), (2, 0, true)], true);
    // Footer: number of frames, descriptor with the checksum flag, magic.
    let end = bytes.len();
    assert_eq!(u32_at(&bytes, end - 4), 0x8f92_eab1);
    assert_eq!(bytes[end - 5], 0x80);
    let entries = u32_at(&bytes, end - 9) as usize;
    let table = end - 9 - entries * 12;
    assert_eq!(u32_at(&bytes, table - 8), 0x184d_2a5e);
    assert_eq!(u32_at(&bytes, table - 4) as usize, entries * 12 + 9);
    let lengths = frame_lengths(&bytes);
    assert_eq!(lengths.len(), entries + 1);
    let mut at = 0;
    for (i, len) in lengths[..entries].iter().enumerate() {
        let entry = table + i * 12;
        assert_eq!(u32_at(&bytes, entry) as usize, *len);
        let frame = &bytes[at..at + len];
        if frame.starts_with(&MAGIC) {
            let content = zstd::bulk::decompress(frame, 1 << 26).unwrap();
            assert_eq!(u32_at(&bytes, entry + 4) as usize, content.len());
            assert_eq!(u32_at(&bytes, entry + 8), u32_at(frame, len - 4));
        } else {
            assert_eq!(u32_at(&bytes, entry + 4), 0);
        }
        at += len;
    }
}
