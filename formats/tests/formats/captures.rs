//! pcap and pcapng by other hands: byte orders, resolutions, block types, compression. Files are built byte by byte.

use formats::read::{Compression, FormatKind, PacketRef, ReadError, Reader};
use std::io::{Cursor, Write};

/// Packets with their bytes.
type Packets = Vec<(PacketRef, Vec<u8>)>;

fn open(bytes: Vec<u8>) -> Reader {
    Reader::from_stream(Box::new(Cursor::new(bytes)), "test").unwrap()
}

fn drain(reader: &mut Reader) -> Packets {
    let mut packets = Vec::new();
    while let Some(batch) = reader.next_batch() {
        packets.extend(batch.packets.iter().map(|p| (*p, batch.data(p).to_vec())));
    }
    packets
}

/// Numbers in one byte order.
#[derive(Clone, Copy)]
struct Order(bool);

impl Order {
    fn u16(self, v: u16) -> Vec<u8> {
        if self.0 { v.to_be_bytes().to_vec() } else { v.to_le_bytes().to_vec() }
    }
    fn u32(self, v: u32) -> Vec<u8> {
        if self.0 { v.to_be_bytes().to_vec() } else { v.to_le_bytes().to_vec() }
    }
    fn u64(self, v: u64) -> Vec<u8> {
        if self.0 { v.to_be_bytes().to_vec() } else { v.to_le_bytes().to_vec() }
    }
    fn block(self, block_type: u32, body: &[u8]) -> Vec<u8> {
        let len = (12 + body.len().next_multiple_of(4)) as u32;
        let mut b = [self.u32(block_type), self.u32(len), body.to_vec()].concat();
        b.resize(len as usize - 4, 0);
        b.extend(self.u32(len));
        b
    }
    fn section(self) -> Vec<u8> {
        self.block(0x0a0d_0d0a, &[self.u32(0x1a2b_3c4d), self.u16(1), self.u16(0), vec![0xff; 8]].concat())
    }
    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut b = [self.u16(code), self.u16(value.len() as u16), value.to_vec()].concat();
        b.resize(b.len().next_multiple_of(4), 0);
        b
    }
    fn interface(self, link: u16, snaplen: u32, options: &[Vec<u8>]) -> Vec<u8> {
        self.block(1, &[self.u16(link), self.u16(0), self.u32(snaplen), options.concat()].concat())
    }
    fn enhanced(self, interface: u32, ts: u64, wire: u32, data: &[u8], options: &[Vec<u8>]) -> Vec<u8> {
        let mut body = [
            self.u32(interface),
            self.u32((ts >> 32) as u32),
            self.u32(ts as u32),
            self.u32(data.len() as u32),
            self.u32(wire),
            data.to_vec(),
        ]
        .concat();
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(options.concat());
        self.block(6, &body)
    }
    fn pcap(self, magic: u32, minor: u16, link: u32) -> Vec<u8> {
        [self.u32(magic), self.u16(2), self.u16(minor), vec![0; 8], self.u32(65535), self.u32(link)].concat()
    }
    fn record(self, sec: u32, fraction: u32, wire: u32, data: &[u8]) -> Vec<u8> {
        [self.u32(sec), self.u32(fraction), self.u32(data.len() as u32), self.u32(wire), data.to_vec()].concat()
    }
}

#[test]
fn packets_without_a_time_do_not_begin_in_1970() {
    for big in [false, true] {
        let o = Order(big);
        let simple = o.block(3, &[o.u32(4), vec![9; 4]].concat());
        let timed = |at| o.enhanced(0, at, 4, b"abcd", &[]);
        let start = [o.section(), o.interface(1, 0, &[])].concat();
        let times = |blocks: &[Vec<u8>]| {
            let packets = drain(&mut open([&start[..], &blocks.concat()].concat()));
            packets.iter().map(|(p, _)| (p.ts, p.has_time)).collect::<Vec<_>>()
        };
        let mixed = [simple.clone(), simple.clone(), timed(7), simple.clone(), timed(9), simple.clone()];
        let (t7, t9) = (7_000, 9_000);
        assert_eq!(times(&mixed), [(t7, false), (t7, false), (t7, true), (t7, false), (t9, true), (t9, false)]);
        assert_eq!(times(&[simple.clone(), simple]), [(0, false), (0, false)]);
    }
}

#[test]
fn pcapng_in_both_byte_orders() {
    for big in [false, true] {
        let o = Order(big);
        let bytes = [
            o.section(),
            // Microseconds by default.
            o.interface(1, 100, &[o.option(2, b"eth0\0"), o.option(3, b"netns=7 kind=veth ifindex=2 other")]),
            // 2^-10 s, two seconds to add.
            o.interface(101, 0, &[o.option(9, &[0x8a]), o.option(14, &o.u64(2))]),
            o.interface(1, 0, &[o.option(9, &[9])]),
            // 10^-12 s.
            o.interface(1, 0, &[o.option(9, &[12])]),
            o.enhanced(0, 1_000_001, 60, b"abcde", &[o.option(2, &o.u32(1)), o.option(0, b"")]),
            // Name resolution, custom and decryption secrets blocks are passed over.
            o.block(4, &[0; 8]),
            o.block(0xbad, &[0; 12]),
            o.block(10, &[0; 8]),
            o.enhanced(1, 1536, 4, b"wxyz", &[o.option(1, b"comment"), o.option(2, &o.u32(0x12))]),
            o.enhanced(2, 5, 1, b"q", &[]),
            o.enhanced(3, 7_999, 0, b"", &[]),
            // Simple packet: no time, cut to the snaplen of interface 0.
            o.block(3, &[o.u32(200), vec![9; 100]].concat()),
            // Obsolete packet block: 16-bit interface, drops count.
            o.block(2, &[o.u16(2), o.u16(3), o.u32(0), o.u32(11), o.u32(3), o.u32(3), vec![1, 2, 3, 0]].concat()),
            o.block(5, &[o.u32(0), o.u32(0), o.u32(9), o.option(4, &o.u64(77)), o.option(5, &o.u64(6))].concat()),
        ]
        .concat();
        let mut reader = open(bytes);
        assert_eq!(reader.format().kind, FormatKind::Pcapng);
        let packets = drain(&mut reader);
        let times: Vec<i64> = packets.iter().map(|(p, _)| p.ts).collect();
        // 1536 / 1024 = 1.5 s, plus 2; 7999 ps are 7 ns; the simple packet takes the time before it.
        assert_eq!(times, [1_000_001_000, 3_500_000_000, 5, 7, 7, 11]);
        let data: Vec<&[u8]> = packets.iter().map(|(_, d)| d.as_slice()).collect();
        assert_eq!(data, [b"abcde".as_slice(), b"wxyz", b"q", b"", &[9; 100], &[1, 2, 3]]);
        let wire: Vec<u32> = packets.iter().map(|(p, _)| p.wire_len).collect();
        assert_eq!(wire, [60, 4, 1, 0, 200, 3]);
        let directions: Vec<u8> = packets.iter().map(|(p, _)| p.direction).collect();
        assert_eq!(directions, [1, 2, 0, 0, 0, 0]);
        assert_eq!(packets.iter().map(|(p, _)| p.has_time).filter(|t| !t).count(), 1);
        assert_eq!(reader.damages(), []);
        let eth0 = &reader.interfaces()[0];
        assert_eq!((eth0.name.as_str(), eth0.netns, eth0.kind.as_str(), eth0.ifindex), ("eth0", 7, "veth", 2));
        assert_eq!(reader.statistics()[0].received, Some(77));
        assert_eq!(reader.statistics()[0].dropped, Some(6));
        let skipped: Vec<_> = reader.skipped_blocks().iter().map(|(t, n)| (*t, *n)).collect();
        assert_eq!(skipped, [(4, 1), (10, 1), (0xbad, 1)]);
    }
}

#[test]
fn sections_of_different_byte_order_number_their_interfaces_anew() {
    let (l, b) = (Order(false), Order(true));
    let bytes = [
        l.section(),
        l.interface(1, 0, &[]),
        l.enhanced(0, 1, 1, b"a", &[]),
        b.section(),
        b.interface(101, 0, &[]),
        b.interface(113, 0, &[]),
        b.enhanced(1, 2, 1, b"b", &[]),
    ]
    .concat();
    let mut reader = open(bytes);
    let packets = drain(&mut reader);
    assert_eq!(packets.iter().map(|(p, _)| p.interface).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(reader.interfaces().iter().map(|i| i.link_type).collect::<Vec<_>>(), [1, 101, 113]);
}

#[test]
fn pcap_variants() {
    for big in [false, true] {
        let o = Order(big);
        // Magic, ns per unit.
        for (magic, unit) in [(0xa1b2_c3d4u32, 1000), (0xa1b2_3c4d, 1)] {
            // The upper bits of the link type say how long the frame check sequence is.
            let bytes = [o.pcap(magic, 4, 0x1000_0001), o.record(3, 9, 60, b"abc"), o.record(4, 0, 0, b"")].concat();
            let mut reader = open(bytes);
            assert_eq!(reader.format().kind, FormatKind::Pcap);
            assert_eq!(reader.interfaces()[0].link_type, 1);
            let packets = drain(&mut reader);
            assert_eq!(packets.len(), 2);
            assert_eq!((packets[0].0.ts, packets[0].0.wire_len), (3_000_000_000 + 9 * unit, 60));
            assert_eq!(packets[0].1, b"abc");
        }
        // Kuznetzov's: eight more bytes per record.
        let mut record = o.record(1, 0, 9, b"abc");
        record.splice(16..16, [0; 8]);
        let packets = drain(&mut open([o.pcap(0xa1b2_cd34, 4, 1), record].concat()));
        assert_eq!(packets[0].1, b"abc");
        // Version 2.2 has the two lengths the other way round.
        let swapped = [o.u32(1), o.u32(0), o.u32(60), o.u32(3), b"abc".to_vec()].concat();
        let packets = drain(&mut open([o.pcap(0xa1b2_c3d4, 2, 1), swapped].concat()));
        assert_eq!((packets[0].0.wire_len, packets[0].1.as_slice()), (60, b"abc".as_slice()));
    }
}

fn many(n: u32) -> Vec<u8> {
    let o = Order(false);
    let mut bytes = o.pcap(0xa1b2_c3d4, 4, 1);
    for k in 0..n {
        bytes.extend(o.record(k, 0, 1000, &vec![k as u8; (k % 1000) as usize]));
    }
    bytes
}

fn check_many(mut reader: Reader, n: u32) {
    let packets = drain(&mut reader);
    assert_eq!(packets.len(), n as usize);
    for (k, (p, data)) in packets.iter().enumerate() {
        assert_eq!(p.ts, k as i64 * 1_000_000_000);
        assert_eq!(*data, vec![k as u8; k % 1000]);
    }
    assert_eq!(reader.damages(), []);
}

#[test]
fn larger_than_a_batch() {
    // 80,000 packets of 500 bytes on average are 40 MB, batches hold 16 MiB.
    let bytes = many(80_000);
    assert!(bytes.len() > 2 * (16 << 20));
    check_many(open(bytes), 80_000);
}

#[test]
fn gzip_of_several_members_and_zstd_of_several_frames() {
    let bytes = many(3000);
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    let gzip = |part: &[u8]| {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        e.write_all(part).unwrap();
        e.finish().unwrap()
    };
    let reader = open([gzip(head), gzip(tail)].concat());
    assert_eq!(reader.format().compression, Compression::Gzip);
    check_many(reader, 3000);
    let zstd = |part: &[u8]| zstd::stream::encode_all(part, 1).unwrap();
    // A skippable frame in front and between.
    let skip = [0x184d_2a53u32.to_le_bytes().to_vec(), 3u32.to_le_bytes().to_vec(), vec![1, 2, 3]].concat();
    let reader = open([skip.clone(), zstd(head), skip.clone(), zstd(tail)].concat());
    assert_eq!((reader.format().kind, reader.format().compression), (FormatKind::Pcap, Compression::Zstd));
    check_many(reader, 3000);
    // Many frames that state their size, cut anywhere; in between one that does not; a damaged one ends it.
    let sized = |part: &[u8]| zstd::bulk::compress(part, 1).unwrap();
    let frames: Vec<Vec<u8>> =
        bytes.chunks(10_007).enumerate().map(|(i, part)| if i == 20 { zstd(part) } else { sized(part) }).collect();
    assert!(frames.len() > 100);
    check_many(open([frames.concat(), skip].concat()), 3000);
    let mut damaged = frames.clone();
    damaged[10][4] ^= 8;
    let mut reader = open(damaged.concat());
    let packets = drain(&mut reader);
    assert!(!packets.is_empty() && packets.len() < 3000, "{}", packets.len());
    assert_eq!(reader.damages().len(), 2, "{:?}", reader.damages());
}

#[test]
fn cut_captures_keep_what_lies_before() {
    let bytes = many(100);
    for cut in (25..bytes.len()).step_by(37) {
        let mut reader = open(bytes[..cut].to_vec());
        let packets = drain(&mut reader);
        let mut whole = 0;
        let mut at = 24;
        while at + 16 + whole % 1000 <= cut && whole < 100 {
            at += 16 + whole % 1000;
            whole += 1;
        }
        assert_eq!(packets.len(), whole, "cut at {cut}");
        assert_eq!(reader.damages().len(), usize::from(at != cut));
        if let Some(d) = reader.damages().first() {
            assert_eq!((d.offset, d.lost_bytes), (at as u64, Some((cut - at) as u64)));
        }
    }
}

#[test]
fn damage_inside_a_capture_has_its_place() {
    let o = Order(false);
    let good = o.record(1, 0, 3, b"abc");
    let bytes =
        [o.pcap(0xa1b2_c3d4, 4, 1), good.clone(), o.u32(1), o.u32(0), o.u32(0x7fff_ffff), o.u32(1), good].concat();
    let mut reader = open(bytes);
    assert_eq!(drain(&mut reader).len(), 1);
    assert_eq!(reader.damages()[0].offset, 24 + 19);
    assert!(reader.damages()[0].what.contains("2147483647"));

    let bytes = [o.section(), o.interface(1, 0, &[]), o.enhanced(0, 1, 1, b"a", &[])].concat();
    let bad_at = bytes.len();
    for bad in [
        [o.u32(6), o.u32(8), o.u32(8)].concat(),
        [o.u32(6), o.u32(0x7000_0000), o.u32(0)].concat(),
        [o.u32(6), o.u32(12), o.u32(16)].concat(),
        o.block(6, &[0; 8]),
    ] {
        let mut reader = open([bytes.clone(), bad.clone(), o.enhanced(0, 1, 1, b"a", &[])].concat());
        assert_eq!(drain(&mut reader).len(), 1, "{bad:?}");
        assert_eq!(reader.damages()[0].offset, bad_at as u64);
    }
    // A packet of an interface that nobody declared is left out, the others stay.
    let mut reader = open([bytes.clone(), o.enhanced(5, 1, 1, b"x", &[]), o.enhanced(0, 1, 1, b"a", &[])].concat());
    assert_eq!(drain(&mut reader).len(), 2);
    assert_eq!(reader.damages()[0].lost_packets, Some(1));
}

#[test]
fn what_is_no_capture_is_said_so() {
    let error = |bytes: &[u8]| Reader::from_stream(Box::new(Cursor::new(bytes.to_vec())), "x").err().unwrap();
    assert!(matches!(error(b""), ReadError::Empty { .. }));
    assert!(matches!(error(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0]), ReadError::TooShort { need: 24, have: 6, .. }));
    assert!(error(b"BZh9abcdefgh").to_string().contains("bunzip2"));
    assert!(error(b"hello, world").to_string().contains("68 65 6c 6c 6f"));
    let missing = Reader::open(std::path::Path::new("/nonexistent/x.pcap")).err().unwrap();
    assert!(matches!(missing, ReadError::Open { .. }));
}
