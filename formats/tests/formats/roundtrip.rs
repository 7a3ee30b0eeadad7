//! What is written is read.

use super::sample::{self, FRAMES, PACKETS_PER_FRAME};
use formats::block::kind;
use formats::event;
use formats::facts::{ClockSnapshot, Process};
use formats::read::{Compression, FormatKind, Reader, info, verify};
use std::io::Cursor;

#[test]
fn bundle() {
    let (bytes, finished) = sample::bundle();
    assert_eq!(finished.bytes, bytes.len() as u64);
    let mut reader = Reader::from_stream(Box::new(Cursor::new(bytes)), "test").unwrap();
    assert_eq!(reader.format().kind, FormatKind::Bundle);
    assert_eq!(reader.format().compression, Compression::Zstd);
    let mut n = 0;
    let mut kinds = Vec::new();
    while let Some(batch) = reader.next_batch() {
        for p in &batch.packets {
            assert_eq!(p.ts, sample::packet_ts(n));
            assert_eq!(batch.data(p), sample::packet(n));
            assert_eq!(p.wire_len, p.cap_len + 100);
            assert_eq!(u64::from(p.direction), 1 + n % 2);
            assert_eq!(p.interface, u32::from(n >= 2 * PACKETS_PER_FRAME && n % 2 == 1));
            n += 1;
        }
        for b in &batch.blocks {
            kinds.push(b.header.kind);
            match b.header.kind {
                kind::CLOCK => {
                    let clock = ClockSnapshot::decode(batch.payload(b)).unwrap();
                    assert_eq!(clock.monotonic_ns, 1 + b.frame);
                }
                kind::PROCESSES => {
                    let lines: Vec<Process> = batch.json(b).collect();
                    assert_eq!(lines.len(), 1);
                    assert_eq!(u64::from(lines[0].pid), b.frame);
                }
                event::kind::SOCKET_DATA => {
                    assert_eq!(batch.payload(b), b"abcde");
                    assert_eq!((b.header.cpu, b.header.count, b.header.lost), (1, 3, 2));
                }
                _ => {}
            }
        }
    }
    assert_eq!(n, FRAMES * PACKETS_PER_FRAME);
    assert_eq!(reader.damages(), []);
    let mut expected = vec![kind::MANIFEST];
    for _ in 0..FRAMES {
        expected.extend([kind::CLOCK, kind::PROCESSES, event::kind::SOCKET_DATA]);
    }
    expected.extend([kind::SUMMARY, kind::INDEX]);
    assert_eq!(kinds, expected);
    assert_eq!(reader.manifest().unwrap().hostname, "node");
    assert_eq!(reader.summary().unwrap().reason, "duration");
    assert_eq!(reader.realtime_offset_ns(), Some(sample::OFFSET));
    assert_eq!(reader.frames().len() as u64, FRAMES + 1);
    let veth = &reader.interfaces()[0];
    assert_eq!((veth.name.as_str(), veth.netns, veth.ifindex, veth.kind.as_str()), ("veth0", 4_026_531_840, 3, "veth"));
    assert_eq!((reader.statistics()[0].received, reader.statistics()[0].dropped), (Some(1000), Some(7)));
    let index = reader.index().unwrap();
    assert_eq!(index.frames.len() as u64, FRAMES);
    assert_eq!(index.frames[0].packets as u64, PACKETS_PER_FRAME);
    // Clock at 1 ns, last packet of the frame at 40 us.
    assert_eq!((index.frames[0].first_ts, index.frames[0].last_ts), (1, 40_000));
}

#[test]
fn info_and_verify_of_a_file() {
    let (bytes, finished) = sample::bundle();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b.zst");
    std::fs::write(&path, &bytes).unwrap();
    let found = info(&path).unwrap();
    assert_eq!(found.packets(), FRAMES * PACKETS_PER_FRAME);
    assert_eq!(found.interfaces.len(), 2);
    assert_eq!(found.interfaces[1].packets, (FRAMES - 2) * PACKETS_PER_FRAME / 2);
    assert_eq!(found.kinds[&event::kind::SOCKET_DATA].lost, 2 * FRAMES);
    assert_eq!(found.time_range().unwrap().0, sample::OFFSET + 1);
    let verified = verify(&path).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(verified.digest, finished.digest);
    assert_eq!(verified.index_digest_ok, Some(true));
    assert_eq!(verified.sound_frames, FRAMES + 1);
}
