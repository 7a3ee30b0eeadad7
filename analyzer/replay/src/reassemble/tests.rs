use super::*;
use proptest::prelude::*;

/// Runs segments (offset, length) of `stream` that starts at `isn`; returns what came out, gaps as `None` bytes.
fn run(
    isn: u32,
    stream: &[u8],
    segments: &[(usize, usize)],
    acks: &[(usize, usize)],
    limits: Limits,
) -> (Vec<Option<u8>>, u64) {
    let mut s = Stream::default();
    let mut out: Vec<Option<u8>> = Vec::new();
    let mut next = isn;
    s.start(isn);
    for (n, &(at, len)) in segments.iter().enumerate() {
        let mut sink = |piece: Piece<'_>| collect(piece, &mut out, &mut next);
        let data = &stream[at..at + len];
        s.segment(isn.wrapping_add(at as u32), data, len as u32, n as i64, &limits, &mut sink);
        for &(_, ack) in acks.iter().filter(|(after, _)| *after == n) {
            s.acknowledged(isn.wrapping_add(ack as u32), n as i64, true, &mut sink);
        }
    }
    s.finish(1 << 40, &mut |piece| collect(piece, &mut out, &mut next));
    (out, s.missed())
}

fn collect(piece: Piece<'_>, out: &mut Vec<Option<u8>>, next: &mut u32) {
    match piece {
        Piece::Data { seq, ts, ready, data, missing } => {
            assert_eq!(seq, *next);
            assert!(ready >= ts);
            out.extend(data.iter().map(|b| Some(*b)));
            out.extend((0..missing).map(|_| None));
            *next = next.wrapping_add(data.len() as u32 + missing);
        }
        Piece::Gap { seq, len, .. } => {
            assert_eq!(seq, *next);
            assert!(len > 0);
            out.extend((0..len).map(|_| None));
            *next = next.wrapping_add(len);
        }
    }
}

fn text() -> Vec<u8> {
    (0..240u8).collect()
}

fn some(bytes: &[u8]) -> Vec<Option<u8>> {
    bytes.iter().map(|b| Some(*b)).collect()
}

#[test]
fn early_segments_wait_for_what_is_before_them() {
    let (out, missed) = run(u32::MAX - 50, &text(), &[(0, 40), (80, 40), (40, 40), (120, 120)], &[], Limits::default());
    assert_eq!((out, missed), (some(&text()), 0));
}

#[test]
fn a_lost_segment_is_a_gap_once_the_peer_has_it() {
    // 40..80 never comes; its acknowledgement says that the receiver has it, so that what follows need not wait.
    let mut s = Stream::default();
    s.start(0);
    let stream = text();
    let mut seen = Vec::new();
    let mut sink = |p: Piece<'_>| {
        seen.push(match p {
            Piece::Data { seq, data, .. } => (seq, data.len(), false),
            Piece::Gap { seq, len, acknowledged, .. } => {
                assert!(acknowledged);
                (seq, len as usize, true)
            }
        });
    };
    s.segment(0, &stream[..40], 40, 1, &Limits::default(), &mut sink);
    s.segment(80, &stream[80..120], 40, 2, &Limits::default(), &mut sink);
    s.acknowledged(120, 3, true, &mut sink);
    assert_eq!(seen, [(0, 40, false), (40, 40, true), (80, 40, false)]);
    assert_eq!(s.missed(), 40);
}

#[test]
fn an_acknowledgement_alone_waits_for_the_next_segment() {
    let mut s = Stream::default();
    s.start(0);
    let mut gaps = 0;
    let mut sink = |p: Piece<'_>| gaps += u32::from(matches!(p, Piece::Gap { .. }));
    s.segment(0, &[1; 10], 10, 1, &Limits::default(), &mut sink);
    // Captured a moment before the segment that it acknowledges, as on several CPUs.
    s.acknowledged(20, 2, false, &mut sink);
    s.segment(10, &[1; 10], 10, 3, &Limits::default(), &mut sink);
    assert_eq!(gaps, 0);
    assert_eq!(s.missed(), 0);
}

#[test]
fn limits_hold() {
    let limits = Limits { bytes: 1 << 20, segments: 3 };
    let segments: Vec<_> = (1..7).map(|n| (n * 40 - 20, 10)).collect();
    let (out, missed) = run(7, &text(), &segments, &[], limits);
    assert_eq!(out.iter().filter(|b| b.is_some()).count(), 60);
    assert_eq!(missed, 20 + 5 * 30);
}

#[test]
fn what_the_snaplen_cut_keeps_its_place() {
    let mut s = Stream::default();
    s.start(0);
    let (mut out, mut next) = (Vec::new(), 0);
    let mut sink = |p: Piece<'_>| collect(p, &mut out, &mut next);
    s.segment(0, &[1, 2], 10, 1, &Limits::default(), &mut sink);
    s.segment(10, &[3], 1, 2, &Limits::default(), &mut sink);
    assert_eq!(out.len(), 11);
    assert_eq!(s.missed(), 0, "known bytes are cut, not missed");
}

proptest! {
    #[test]
    fn any_cover_of_the_stream_gives_the_stream(
        isn in any::<u32>(),
        cuts in prop::collection::btree_set(1usize..240, 0..12),
        extra in prop::collection::vec((0usize..230, 1usize..10), 0..12),
        seed in any::<u64>(),
    ) {
        let stream = text();
        let mut ends: Vec<usize> = cuts.into_iter().collect();
        ends.push(240);
        let mut from = 0;
        let mut segments: Vec<(usize, usize)> = Vec::new();
        for end in ends {
            segments.push((from, end - from));
            from = end;
        }
        segments.extend(extra);
        // The first byte has been seen to start the stream; after that any order.
        let mut keyed: Vec<(u64, (usize, usize))> = segments.into_iter().enumerate()
            .map(|(n, s)| (seed.wrapping_mul(n as u64 * 2 + 1).rotate_left(n as u32) ^ seed, s)).collect();
        keyed.sort();
        let order: Vec<_> = keyed.into_iter().map(|(_, s)| s).collect();
        let (out, missed) = run(isn, &stream, &order, &[], Limits::default());
        prop_assert_eq!(out, some(&stream));
        prop_assert_eq!(missed, 0);
    }

    #[test]
    fn any_segments_and_acknowledgements_give_the_stream_with_gaps(
        isn in any::<u32>(),
        segments in prop::collection::vec((0usize..200, 1usize..40), 1..30),
        acks in prop::collection::vec((0usize..30, 0usize..240), 0..10),
        held in 1usize..6,
    ) {
        let stream = text();
        let (out, missed) = run(isn, &stream, &segments, &acks, Limits { bytes: 4096, segments: held });
        for (n, byte) in out.iter().enumerate() {
            if let Some(byte) = byte {
                prop_assert_eq!(*byte, stream[n]);
            }
        }
        prop_assert_eq!(out.iter().filter(|b| b.is_none()).count() as u64, missed);
    }
    #[test]
    fn truncated_segments_keep_their_place(
        isn in any::<u32>(),
        segments in prop::collection::vec((0usize..200, 1usize..40, 0usize..40), 1..30),
        held in 1usize..6,
    ) {
        let (stream, mut s) = (text(), Stream::default());
        let (mut out, mut next, mut in_gaps) = (Vec::new(), isn, 0);
        s.start(isn);
        let limits = Limits { bytes: 4096, segments: held };
        let mut sink = |piece: Piece<'_>| {
            in_gaps += if let Piece::Gap { len, .. } = piece { u64::from(len) } else { 0 };
            collect(piece, &mut out, &mut next);
        };
        for (n, &(at, len, captured)) in segments.iter().enumerate() {
            let data = &stream[at..at + len.min(captured)];
            s.segment(isn.wrapping_add(at as u32), data, len as u32, n as i64, &limits, &mut sink);
        }
        s.finish(1 << 40, &mut sink);
        prop_assert_eq!(s.missed(), in_gaps);
        prop_assert_eq!(s.held_bytes(), 0);
        prop_assert_eq!(out.len(), segments.iter().map(|(at, len, _)| at + len).max().unwrap_or(0));
        for (n, byte) in out.iter().enumerate() {
            // What no segment brought is not there, and what is there is right.
            let brought = segments.iter().any(|&(at, len, captured)| (at..at + len.min(captured)).contains(&n));
            if let Some(byte) = byte {
                prop_assert!(brought && *byte == stream[n]);
            }
        }
    }
}
