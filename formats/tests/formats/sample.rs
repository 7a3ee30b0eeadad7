//! A small bundle with known content.

use formats::block::{BlockHeader, NO_CPU, kind};
use formats::event;
use formats::facts::{ClockSnapshot, Process};
use formats::manifest::{Manifest, Summary};
use formats::pcapng::{InterfaceDesc, LINK_RAW, SectionInfo};
use formats::read::{FrameFacts, Reader};
use formats::write::{BundleFile, Finished, FrameBuilder};

/// UTC minus monotonic.
pub(crate) const OFFSET: i64 = 1_700_000_000_000_000_000;
pub(crate) const FRAMES: u64 = 6;
pub(crate) const PACKETS_PER_FRAME: u64 = 40;

/// A packet's number decides all of it.
pub(crate) fn packet(n: u64) -> Vec<u8> {
    let len = 20 + (n * 7 % 60) as usize;
    (0..len).map(|i| (n as u8).wrapping_mul(31).wrapping_add((i * i) as u8)).collect()
}

pub(crate) fn packet_ts(n: u64) -> i64 {
    OFFSET + (n as i64 + 1) * 1_000
}

/// Frames of [`PACKETS_PER_FRAME`] packets each, on two interfaces; the second one appears in frame 2.
pub(crate) fn bundle() -> (Vec<u8>, Finished) {
    let section = SectionInfo { hardware: "x86_64".into(), os: "Linux".into(), application: "test".into() };
    let mut builder = FrameBuilder::with_recording(&section, OFFSET, 0x1234_5678);
    let mut file = BundleFile::new(Vec::new()).unwrap();
    let veth = InterfaceDesc {
        name: "veth0".into(),
        netns: 4_026_531_840,
        ifindex: 3,
        kind: "veth".into(),
        snaplen: 192,
        ..InterfaceDesc::default()
    };
    assert_eq!(builder.interface(&veth), 0);
    let manifest =
        Manifest { format_version: 1, hostname: "node".into(), realtime_offset_ns: OFFSET, ..Manifest::default() };
    builder.json(kind::MANIFEST, 5, &[manifest]);
    for frame in 0..FRAMES {
        if frame == 2 {
            let tun = InterfaceDesc {
                name: "tun0".into(),
                link_type: LINK_RAW,
                kind: "tun".into(),
                ..InterfaceDesc::default()
            };
            assert_eq!(builder.interface(&tun), 1);
        }
        for n in frame * PACKETS_PER_FRAME..(frame + 1) * PACKETS_PER_FRAME {
            let bytes = packet(n);
            let (head, tail) = bytes.split_at(12);
            let interface = u32::from(frame >= 2 && n % 2 == 1);
            builder.packet(interface, packet_ts(n) as u64, 1 + (n % 2) as u8, bytes.len() as u32 + 100, &[head, tail]);
        }
        let clock = ClockSnapshot { monotonic_ns: 1 + frame, realtime_ns: 2, ..ClockSnapshot::default() };
        let header = BlockHeader {
            kind: kind::CLOCK,
            cpu: NO_CPU,
            count: 1,
            first_ts: 1 + frame,
            last_ts: 1 + frame,
            ..BlockHeader::default()
        };
        builder.block(&header, &[&clock.encode()]);
        builder.json(kind::PROCESSES, 7, &[Process { pid: frame as u32, ..Process::default() }]);
        let header = BlockHeader {
            kind: event::kind::SOCKET_DATA,
            cpu: 1,
            count: 3,
            lost: 2,
            first_ts: 10,
            last_ts: 20,
            ..BlockHeader::default()
        };
        builder.block(&header, &[b"abc", b"de"]);
        if frame + 1 == FRAMES {
            builder.interface_statistics(0, OFFSET as u64 + 99, 1000, 7);
        }
        file.append(&builder.take()).unwrap();
    }
    let (finished, bytes) = file.finish(&Summary { reason: "duration".into(), ..Summary::default() }).unwrap();
    (bytes, finished)
}

/// Bytes that do not compress, the same every time.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut x = seed | 1;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 32) as u8
        })
        .collect()
}

/// A bundle without end (as after SIGKILL) of `contents` times about `size` bytes of packets that compress to a quarter,
/// with another recording number than [`bundle`]; and its frames.
pub(crate) fn large_bundle(contents: u64, size: usize) -> (Vec<u8>, Vec<FrameFacts>) {
    let mut builder = FrameBuilder::with_recording(&SectionInfo::default(), OFFSET, 99);
    builder.interface(&InterfaceDesc::default());
    let mut file = BundleFile::new(Vec::new()).unwrap();
    for content in 0..contents {
        for n in 0..(size / 500) as u64 {
            let data = [noise(100, content * 100_000 + n + 1), vec![n as u8; 368]].concat();
            builder.packet(0, (OFFSET as u64) + 1 + content * 1000 + n, 0, 468, &[&data]);
        }
        file.append(&builder.take()).unwrap();
    }
    let bytes = file.get_mut().clone();
    let mut reader = Reader::from_stream(Box::new(std::io::Cursor::new(bytes.clone())), "test").unwrap();
    while reader.next_batch().is_some() {}
    (bytes, reader.frames().to_vec())
}
