use super::*;
use crate::read::Reader;
use std::io::Cursor;

#[test]
fn time_scales() {
    let scale = |resolution, offset_s| TimeScale { resolution, offset_s };
    assert_eq!(TimeScale::MICROSECONDS.to_ns(1_500_000), 1_500_000_000);
    assert_eq!(TimeScale::NANOSECONDS.to_ns(7), 7);
    assert_eq!(scale(0, 0).to_ns(3), 3_000_000_000);
    assert_eq!(scale(12, 0).to_ns(1999), 1);
    // 2^-20 s; 2^20 units are a second.
    assert_eq!(scale(0x94, -1).to_ns(3 << 20), 2_000_000_000);
    // Whatever a file states: no overflow.
    assert_eq!(scale(0, i64::MAX).to_ns(u64::MAX), i64::MAX);
    assert_eq!(scale(9, i64::MIN).to_ns(0), i64::MIN);
    assert_eq!(scale(127, 0).to_ns(u64::MAX), 0);
    assert_eq!(scale(255, 0).to_ns(u64::MAX), 0);
    for resolution in 0..=255 {
        assert!(scale(resolution, 1).to_ns(u64::MAX) >= 1_000_000_000);
    }
}

#[test]
fn description_goes_both_ways() {
    let written = InterfaceDesc { netns: 4_026_531_840, ifindex: 3, kind: "veth".into(), ..InterfaceDesc::default() };
    assert_eq!(written.description(), "netns=4026531840 kind=veth ifindex=3");
    let mut read = InterfaceDesc::default();
    read.set_description("Some text netns=4026531840 speed=1 kind=veth ifindex=3 netns=x");
    assert_eq!(read, written);
    assert_eq!(InterfaceDesc::default().description(), "");
}

#[test]
fn writer_writes_what_reads_back() {
    let info = SectionInfo { application: "test".into(), ..SectionInfo::default() };
    let mut writer = Writer::new(Vec::new(), &info).unwrap();
    assert!(writer.packet(0, 1, 0, 1, &[b"x"], "").is_err(), "no interface yet");
    let eth = InterfaceDesc { name: "eth0".into(), snaplen: 96, ..InterfaceDesc::default() };
    assert_eq!(writer.interface(&eth).unwrap(), 0);
    writer.packet(0, 1_000_000_007, 2, 60, &[b"abc", b"defg"], "a comment").unwrap();
    writer.packet(0, 1_000_000_008, 0, 3, &[b"xyz"], "").unwrap();
    writer.interface_statistics(0, 5, 10, 2).unwrap();
    let bytes = writer.finish().unwrap();
    assert!(bytes.windows(9).any(|w| w == b"a comment"));
    // Every block's length fields agree, up to the last byte: what reading checks.
    let mut reader = Reader::from_stream(Box::new(Cursor::new(bytes)), "test").unwrap();
    let batch = reader.next_batch().unwrap();
    let packets: Vec<_> =
        batch.packets.iter().map(|p| (p.ts, p.direction, p.wire_len, batch.data(p).to_vec())).collect();
    assert_eq!(packets, [(1_000_000_007, 2, 60, b"abcdefg".to_vec()), (1_000_000_008, 0, 3, b"xyz".to_vec())]);
    assert!(reader.next_batch().is_none());
    assert_eq!(reader.damages(), []);
    assert_eq!(reader.interfaces(), [eth]);
}
