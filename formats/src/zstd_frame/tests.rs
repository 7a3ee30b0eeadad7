use super::*;
use zstd::zstd_safe::CParameter;

fn compress(content: &[u8]) -> Vec<u8> {
    let mut c = zstd::bulk::Compressor::new(1).unwrap();
    c.set_parameter(CParameter::ChecksumFlag(true)).unwrap();
    c.compress(content).unwrap()
}

#[test]
fn extent_is_what_libzstd_finds() {
    for len in [0, 1, 255, 256, 70_000, 300_000, 2_000_000] {
        let content: Vec<u8> = (0..len).map(|i: u32| (i.wrapping_mul(i) >> 7) as u8).collect();
        let frame = compress(&content);
        let whole = Extent::Frame { len: frame.len(), content: Some(u64::from(len)), checksum: true };
        assert_eq!(extent(&frame), whole);
        let followed = [frame.clone(), frame.clone()].concat();
        assert_eq!(extent(&followed), whole);
        assert_eq!(content_size(&frame), Some(u64::from(len)));
        for cut in (0..frame.len()).step_by(frame.len() / 50 + 1) {
            assert!(matches!(extent(&frame[..cut]), Extent::NeedMore(n) if n > cut && n <= frame.len()));
        }
    }
}

#[test]
fn frames_that_no_bundle_has_are_refused() {
    // A stream of unknown length: no content size, no checksum.
    let stream = zstd::stream::encode_all(&b"abc"[..], 1).unwrap();
    assert!(matches!(extent(&stream), Extent::Invalid(_)));
    assert!(matches!(extent(b"abcdefgh"), Extent::Invalid(_)));
    // 64 MiB and one byte.
    let mut huge = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0100];
    huge.extend_from_slice(&((64u32 << 20) + 1).to_le_bytes());
    assert!(matches!(extent(&huge), Extent::Invalid(_)));
    // Blocks without end.
    let mut endless = compress(b"abc");
    endless.truncate(6);
    endless.resize(1 << 20, 0);
    assert_eq!(extent(&endless), Extent::Invalid("the frame is longer than its content allows"));
}

#[test]
fn padding_changes_the_length_alone() {
    for content in [vec![], vec![7; 10], (0..200_000u32).map(|i| (i.wrapping_mul(i) >> 5) as u8).collect()] {
        let frame = compress(&content);
        for by in (0..12).chain([1000, 1001, PAGE - 1]) {
            let mut padded = frame.clone();
            pad(&mut padded, by);
            assert_eq!(padded.len(), frame.len() + by);
            assert_eq!(zstd::bulk::decompress(&padded, content.len()).unwrap(), content, "padded by {by}");
            assert_eq!(zstd::stream::decode_all(&padded[..]).unwrap(), content, "padded by {by}");
            assert!(matches!(extent(&padded), Extent::Frame { len, .. } if len == padded.len()));
        }
    }
}

#[test]
fn seek_table_goes_both_ways() {
    let entries = [
        SeekEntry { compressed: 10, content: 100, checksum: 0xdead_beef },
        SeekEntry { compressed: 7, content: 0, checksum: CHECKSUM_OF_NOTHING },
    ];
    let table = encode_seek_table(&entries);
    assert_eq!(extent(&table), Extent::Skippable { magic: SEEK_TABLE, len: table.len() as u64 });
    assert_eq!(decode_seek_table(&table), Some(entries.to_vec()));
    for at in [0, 4, table.len() - 9, table.len() - 1] {
        let mut wrong = table.clone();
        wrong[at] ^= 1;
        assert_eq!(decode_seek_table(&wrong), None);
    }
    assert_eq!(decode_seek_table(&skippable(30)), None);
    // The checksum of nothing is what libzstd writes for an empty frame.
    assert_eq!(compress(b"").last_chunk::<4>().map(|c| u32::from_le_bytes(*c)), Some(CHECKSUM_OF_NOTHING));
}
