//! What each fuzz target does with its input: shared by `fuzz_targets/` (libFuzzer, nightly) and by the test that replays the kept
//! corpus on stable Rust (`analyzer/replay/tests/fuzz_corpus.rs`).
//!
//! A target must neither panic nor loop on any bytes, and checks what must hold of what came out.

use formats::read::Reader;
use replay::decode::{Defragmenter, Frame, Output, decode};
use replay::filter::Filter;
use replay::flow::{FlowTable, Settings};
use replay::model::{Completeness, Side, Transport};
use replay::parse::{Conversation, ParseOptions, Segment};
use replay::reassemble::{Limits, Piece, Stream};

/// A target: from its input to nothing, or a panic.
pub(crate) type Target = fn(&[u8]);

/// All of them by name, which is also that of their folder of inputs.
pub(crate) const ALL: [(&str, Target); 7] = [
    ("capture", capture),
    ("bundle", bundle),
    ("decode", decode_frames),
    ("flows", flows),
    ("reassembly", reassembly),
    ("protocols", protocols),
    ("filter", filter),
];

/// A capture file as it is: pcap, pcapng, bundle, compressed or not.
pub(crate) fn capture(data: &[u8]) {
    read(data.to_vec());
}

/// The same bytes as the content of a bundle's zstd frames, so that its blocks are reached behind sound checksums. A zero byte after
/// each 255 bytes at most begins another frame.
pub(crate) fn bundle(data: &[u8]) {
    let mut frames = Vec::new();
    for content in data.chunks(usize::from(data.first().copied().unwrap_or(0)).max(64) * 16) {
        if let Ok(frame) = zstd::bulk::compress(content, 1) {
            frames.extend(frame);
        }
    }
    read(frames);
}

/// Reads to the end; every packet lies within its batch.
fn read(file: Vec<u8>) {
    let Ok(mut reader) = Reader::from_stream(Box::new(std::io::Cursor::new(file)), "fuzz") else { return };
    while let Some(batch) = reader.next_batch() {
        for packet in &batch.packets {
            std::hint::black_box(batch.data(packet));
        }
        for block in &batch.blocks {
            std::hint::black_box(batch.payload(block));
        }
    }
    for damage in reader.damages() {
        std::hint::black_box(damage.to_string());
    }
    std::hint::black_box((reader.manifest(), reader.interfaces(), reader.realtime_offset_ns()));
}

/// Frames of `data`: a byte of link type, then two bytes of length before each frame.
fn frames(data: &[u8]) -> (u16, Vec<&[u8]>) {
    const LINK_TYPES: [u16; 22] =
        [1, 0, 6, 9, 12, 14, 50, 51, 101, 104, 105, 107, 108, 113, 119, 127, 163, 192, 228, 229, 239, 276];
    let Some((first, mut rest)) = data.split_first() else { return (1, Vec::new()) };
    let mut found = Vec::new();
    while let [hi, lo, tail @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*hi, *lo])).min(tail.len());
        let (frame, more) = tail.split_at(len);
        found.push(frame);
        rest = more;
    }
    (LINK_TYPES[usize::from(*first) % LINK_TYPES.len()], found)
}

fn frame(bytes: &[u8], link_type: u16, index: usize) -> Frame<'_> {
    let (ts, wire_len) = (index as i64 * 1_000_000, bytes.len() as u32 + u32::from(index % 7 == 6) * 100);
    Frame { bytes, wire_len, ts, interface: 0, link_type, index: index as u32, packets: 1 }
}

/// Headers, tunnels and fragments: what is found lies within the frame.
pub(crate) fn decode_frames(data: &[u8]) {
    let (link_type, all) = frames(data);
    let (mut fragments, mut lost) = (Defragmenter::default(), Vec::new());
    for (n, bytes) in all.into_iter().enumerate() {
        let mut out = Output::default();
        decode(&frame(bytes, link_type, n), &mut out);
        for d in &out.packets {
            assert!(d.payload_captured <= d.payload_len);
            assert!(d.payload_captured == 0 || d.payload_at as usize + d.payload_captured as usize <= bytes.len());
            assert!(d.tunnel as usize <= out.tunnels.len());
        }
        for f in &out.fragments {
            if let Some(whole) = fragments.add(f, bytes, &mut lost) {
                decode(&whole.frame(0, 0, 0), &mut Output::default());
            }
        }
    }
    fragments.finish(&mut lost);
    for part in lost.iter().filter_map(|l| l.part.as_ref()) {
        decode(&part.frame(0, 0, 0), &mut Output::default());
    }
}

/// Frames to flows with all their metrics and segments, by our rules and by DeepFlow's.
pub(crate) fn flows(data: &[u8]) {
    let (link_type, all) = frames(data);
    for deepflow in [false, true] {
        let settings = Settings {
            deepflow,
            parse: !deepflow,
            parse_options: ParseOptions::default(),
            max_flows: 8,
            max_held: 4096,
            ethernet: vec![true],
            ..Settings::default()
        };
        let mut table = FlowTable::default();
        let mut packets = 0;
        for (n, bytes) in all.iter().enumerate() {
            let mut out = Output::default();
            decode(&frame(bytes, link_type, n), &mut out);
            for d in &out.packets {
                packets += u64::from(d.packets);
                table.packet(d, bytes, &out.tunnels, &settings);
            }
        }
        table.finish(all.len() as i64 * 1_000_000, &settings);
        std::hint::black_box(packets);
    }
}

/// One direction's segments and acknowledgements in any order: every byte comes once and in order, with gaps between.
pub(crate) fn reassembly(data: &[u8]) {
    let Some((isn, rest)) = data.split_first_chunk::<4>() else { return };
    let start = u32::from_be_bytes(*isn);
    let mut stream = Stream::default();
    stream.start(start);
    let mut next = start;
    let mut missed = 0u64;
    let mut sink = |piece: Piece<'_>| match piece {
        Piece::Data { seq, data, missing, ts, ready } => {
            assert_eq!(seq, next, "in order and once");
            assert!(ready >= ts);
            next = seq.wrapping_add(data.len() as u32).wrapping_add(missing);
        }
        Piece::Gap { seq, len, .. } => {
            assert_eq!(seq, next);
            assert!(len > 0);
            missed += u64::from(len);
            next = seq.wrapping_add(len);
        }
    };
    let limits = Limits { bytes: 4096, segments: 8 };
    let bytes = [7u8; 256];
    let mut ts = 0;
    for op in rest.chunks_exact(4) {
        ts += 1;
        let seq = start.wrapping_add(u32::from(u16::from_be_bytes([op[1], op[2]])));
        let len = u32::from(op[3]);
        match op[0] % 8 {
            0 => stream.acknowledged(seq, ts, op[0] & 8 != 0, &mut sink),
            1 => stream.fin(),
            // Cut by the snaplen.
            2 => stream.segment(seq, &bytes[..len as usize / 2], len, ts, &limits, &mut sink),
            _ => stream.segment(seq, &bytes[..len as usize], len, ts, &limits, &mut sink),
        }
    }
    stream.finish(ts + 1, &mut sink);
    assert_eq!(stream.missed(), missed);
    assert!(!stream.is_waiting());
}

/// A conversation: two bytes of server port, a byte that is odd for UDP; then per piece two bytes (the top bit for the server's side, the
/// next one for a gap, the rest a length) and its bytes.
pub(crate) fn protocols(data: &[u8]) {
    let Some(([hi, lo, flags], mut rest)) = data.split_first_chunk::<3>() else { return };
    let transport = if flags & 1 == 1 { Transport::Udp } else { Transport::Tcp };
    let mut conversation =
        Conversation::with_options(transport, 40_000, u16::from_be_bytes([*hi, *lo]), &ParseOptions::default());
    let mut ts = 0;
    while let [head, low, tail @ ..] = rest {
        ts += 1000;
        let from = if head & 0x80 == 0 { Side::Client } else { Side::Server };
        let len = usize::from(head & 0x3f) << 8 | usize::from(*low);
        if head & 0x40 != 0 {
            conversation.gap(from, len as u64, ts, Completeness::GAP);
            rest = tail;
            continue;
        }
        let (data, more) = tail.split_at(len.min(tail.len()));
        let missing = (len - data.len()) as u32;
        conversation.data(&Segment {
            from,
            start_ts: ts,
            end_ts: ts,
            tcp_seq: Some(ts as u32),
            point: None,
            data,
            missing,
        });
        rest = more;
    }
    conversation.close(ts);
    conversation.finish(ts);
    let mut sessions = Vec::new();
    conversation.sessions(&mut sessions);
    for s in &sessions {
        if let (Some(from), Some(to)) = (s.request_ts, s.response_ts) {
            assert!(to >= 0 && from >= 0);
        }
    }
}

/// A filter expression, and then whether it judges a packet.
pub(crate) fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Filter::new(text) {
        Ok(filter) => {
            let bytes = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 80, 0, 8, 0, 0];
            let mut out = Output::default();
            let before = replay::filter::Before::of(&out);
            let frame = frame(&bytes, 101, 0);
            decode(&frame, &mut out);
            std::hint::black_box(filter.packet(&frame, 1, &out, before));
        }
        Err(error) => {
            std::hint::black_box(error.to_string());
        }
    }
}
