//! Whatever happens to the packets of a connection on their way into the capture, its numbers stay what they can be.
//!
//! A connection of known content is made, its segments are split, sent twice, swapped, lost and cut; what must hold then is said here.

use super::{Finished, FlowTable, Keep, Settings};
use crate::decode::build::{Tcp, ethernet, ipv4};
use crate::decode::{Frame, Output, decode};
use crate::model::{Completeness, DelayStats, Nanos, SideCounters};
use crate::parse::ParseOptions;
use proptest::prelude::*;

const FIN: u8 = 1;
const SYN: u8 = 2;
const ACK: u8 = 16;
/// Ethernet, IPv4 and TCP without options.
const HEADERS: usize = 54;

/// A packet on its way.
#[derive(Clone, Debug)]
struct Packet {
    server: bool,
    flags: u8,
    seq: u32,
    ack: u32,
    payload: Vec<u8>,
    /// So many bytes of the frame were captured at most.
    captured: usize,
}

impl Packet {
    fn frame(&self) -> Vec<u8> {
        let (src, dst) = if self.server { (80, 4000) } else { (4000, 80) };
        let Self { seq, ack, flags, .. } = *self;
        let tcp = Tcp { src, dst, seq, ack, flags, window: 1000, options: &[], payload: &self.payload };
        ethernet(0x0800, &ipv4(6, self.server, &tcp.bytes()))
    }

    /// It takes up sequence numbers, and is no part of the handshake.
    fn counts(&self) -> bool {
        self.flags & SYN == 0 && (!self.payload.is_empty() || self.flags & FIN != 0)
    }
}

/// What happens to one packet.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Split(usize),
    Twice,
    SwappedWithNext,
    Lost,
    Cut(usize),
}

/// A connection with handshake, turns of data that are acknowledged, and both FINs.
fn connection(isn: [u32; 2], turns: &[(bool, usize)]) -> Vec<Packet> {
    let mut next = isn;
    let mut all = Vec::new();
    let mut send = |server: bool, flags: u8, payload: Vec<u8>| {
        let (me, peer) = (usize::from(server), usize::from(!server));
        let ack = if flags & ACK == 0 { 0 } else { next[peer] };
        let takes = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        all.push(Packet { server, flags, seq: next[me], ack, payload, captured: usize::MAX });
        next[me] = next[me].wrapping_add(takes);
    };
    send(false, SYN, vec![]);
    send(true, SYN | ACK, vec![]);
    send(false, ACK, vec![]);
    for (n, &(server, len)) in turns.iter().enumerate() {
        send(server, ACK, (0..len).map(|i| (n * 7 + i) as u8).collect());
        send(!server, ACK, vec![]);
    }
    send(false, FIN | ACK, vec![]);
    send(true, FIN | ACK, vec![]);
    send(false, ACK, vec![]);
    all
}

fn suffer(packets: &mut Vec<Packet>, at: usize, fate: Fate) {
    let at = at % packets.len();
    let p = packets[at].clone();
    match fate {
        Fate::Split(n) if p.payload.len() >= 4 && p.flags & FIN == 0 => {
            // Two bytes at least: one byte before what is expected would be a keep-alive's.
            let n = 2 + n % (p.payload.len() - 3);
            let (first, rest) = p.payload.split_at(n);
            packets[at].payload = first.to_vec();
            packets.insert(at + 1, Packet { seq: p.seq.wrapping_add(n as u32), payload: rest.to_vec(), ..p });
        }
        Fate::Split(_) => {}
        Fate::Twice => packets.insert(at + 1, p),
        Fate::SwappedWithNext if at + 1 < packets.len() => packets.swap(at, at + 1),
        Fate::SwappedWithNext => {}
        Fate::Lost => {
            packets.remove(at);
        }
        Fate::Cut(n) => packets[at].captured = n,
    }
}

fn run(packets: &[Packet], gaps: &[Nanos]) -> Finished {
    let settings = Settings {
        parse: true,
        parse_options: ParseOptions::default(),
        max_flows: 10,
        max_held: 1 << 20,
        ethernet: vec![true],
        keep: Keep::default(),
        ..Settings::default()
    };
    let (mut table, mut now) = (FlowTable::default(), 1_000_000_000);
    for (p, gap) in packets.iter().zip(gaps.iter().cycle()) {
        now += gap;
        let frame = p.frame();
        let bytes = &frame[..p.captured.min(frame.len())];
        let mut out = Output::default();
        let wire_len = frame.len() as u32;
        decode(&Frame { bytes, wire_len, ts: now, interface: 0, link_type: 1, index: 0, packets: 1 }, &mut out);
        out.packets.iter().for_each(|d| table.packet(d, bytes, &out.tunnels, &settings));
    }
    table.finish(now, &settings);
    table.finished
}

/// What holds of every delay of a flow that was `long`.
fn sound(d: &DelayStats, long: u64) {
    assert!(
        d.p50_ns <= d.p95_ns && d.p95_ns <= d.p99_ns && d.p99_ns <= d.max_ns && d.max_ns <= long,
        "{d:?} of {long}"
    );
    assert!(d.max_ns <= d.sum_ns && d.sum_ns <= d.max_ns * u64::from(d.count), "{d:?}");
    assert!((d.count > 0) || *d == DelayStats::default());
}

/// What holds of every side's counters.
fn consistent(c: &SideCounters, long: u64) {
    let kinds = c.retransmits_rto + c.retransmits_fast + c.retransmits_spurious + c.duplicates;
    assert_eq!(kinds, c.retransmits, "every retransmission is of one kind: {c:?}");
    assert!(u64::from(c.retransmits + c.out_of_order + c.zero_window + c.duplicate_acks) <= 2 * c.packets);
    assert!(c.missed_bytes <= c.stream_bytes, "{c:?}");
    assert!(c.stream_bytes <= c.payload_bytes + c.missed_bytes, "each byte once: {c:?}");
    assert!(c.bytes >= c.ip_bytes && c.ip_bytes >= c.payload_bytes);
    assert!(u64::from(c.initial_flight) <= c.payload_bytes);
    sound(&c.ack_rtt, long);
}

/// What holds whatever happened.
fn always(finished: &Finished) {
    for (f, profile) in finished.flows.iter().zip(&finished.profile) {
        let long = (f.end - f.start).unsigned_abs();
        assert!(f.end >= f.start);
        [&f.client, &f.server].into_iter().for_each(|c| consistent(c, long));
        [&f.srt, &f.art, &f.cit].into_iter().for_each(|d| sound(d, long));
        for part in [f.rtt_ns, f.rtt_client_ns, f.rtt_server_ns, f.tls_rtt_ns].into_iter().flatten() {
            assert!(part <= long);
        }
        if let Some(both) = &f.round_trips {
            for ((width, stretches), stats) in [(&both.client, f.client.ack_rtt), (&both.server, f.server.ack_rtt)] {
                assert_eq!(stretches.iter().map(|s| s.samples).sum::<u32>(), stats.count);
                assert_eq!(stretches.iter().map(|s| s.sum_ns).sum::<u64>(), stats.sum_ns);
                assert_eq!(stretches.iter().map(|s| s.max_ns).max().unwrap_or(0), stats.max_ns);
                assert!(stretches.iter().all(|s| s.start <= f.end && s.start + *width as i64 >= f.start));
            }
        }
        let mut at = f.start;
        for s in profile.rows(0, |_| None) {
            assert_eq!(s.start, at, "each segment starts where the one before ends");
            at += s.duration_ns as i64;
        }
        assert_eq!(at, f.end, "they sum up to the flow");
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        any::<usize>().prop_map(Fate::Split),
        Just(Fate::Twice),
        Just(Fate::SwappedWithNext),
        Just(Fate::Lost),
        (0usize..120).prop_map(Fate::Cut),
    ]
}

prop_compose! {
    fn plan()(
        isn in any::<[u32; 2]>(),
        turns in prop::collection::vec((any::<bool>(), 2usize..60), 0..12),
        gaps in prop::collection::vec(0i64..3_000_000, 1..20),
    ) -> ([u32; 2], Vec<(bool, usize)>, Vec<Nanos>) {
        (isn, turns, gaps)
    }
}

proptest! {
    #[test]
    fn numbers_stay_possible((isn, turns, gaps) in plan(), fates in prop::collection::vec((any::<usize>(), fate()), 0..12)) {
        let mut packets = connection(isn, &turns);
        for (at, fate) in fates {
            suffer(&mut packets, at, fate);
            if packets.is_empty() {
                return Ok(());
            }
        }
        let finished = run(&packets, &gaps);
        always(&finished);
        // What has its ports is in a flow.
        let told = packets.iter().filter(|p| p.captured >= HEADERS).count() as u64;
        let sum = finished.flows.iter().map(|f| f.client.packets + f.server.packets).sum::<u64>();
        prop_assert!((told..=packets.len() as u64).contains(&sum), "{sum} of {told}");
    }

    #[test]
    fn splitting_and_cutting_change_no_byte_counts((isn, turns, gaps) in plan(), fates in prop::collection::vec((any::<usize>(), any::<usize>(), any::<bool>()), 0..12)) {
        let mut packets = connection(isn, &turns);
        for (at, n, split) in fates {
            suffer(&mut packets, at, if split { Fate::Split(n) } else { Fate::Cut(HEADERS + n % 60) });
        }
        let finished = run(&packets, &gaps);
        always(&finished);
        prop_assert_eq!(finished.flows.len(), 1);
        let f = &finished.flows[0];
        for (server, c) in [(false, &f.client), (true, &f.server)] {
            let bytes = turns.iter().filter(|t| t.0 == server).map(|t| t.1 as u64).sum::<u64>();
            prop_assert_eq!((c.payload_bytes, c.stream_bytes, c.missed_bytes), (bytes, bytes, 0));
            prop_assert_eq!((c.retransmits, c.out_of_order, c.duplicate_acks), (0, 0, 0));
        }
        prop_assert_eq!((f.conn_state, f.close_type), ("SF", "finish"));
    }

    #[test]
    fn what_is_sent_twice_is_counted_and_changes_no_stream((isn, turns, gaps) in plan(), twice in prop::collection::vec(any::<usize>(), 0..12)) {
        let mut packets = connection(isn, &turns);
        let mut again = 0;
        for at in twice {
            let at = at % packets.len();
            again += u32::from(packets[at].counts());
            suffer(&mut packets, at, Fate::Twice);
        }
        let finished = run(&packets, &gaps);
        always(&finished);
        let f = &finished.flows[0];
        prop_assert_eq!(f.client.retransmits + f.server.retransmits, again);
        for (server, c) in [(false, &f.client), (true, &f.server)] {
            let bytes = turns.iter().filter(|t| t.0 == server).map(|t| t.1 as u64).sum::<u64>();
            prop_assert_eq!((c.stream_bytes, c.missed_bytes), (bytes, 0));
        }
    }

    #[test]
    fn what_is_lost_is_missed_or_known_to_be_unseen((isn, turns, gaps) in plan(), lost in prop::collection::vec(any::<usize>(), 0..6)) {
        let mut packets = connection(isn, &turns);
        // The handshake stays, so that both streams have their start, and the FINs, so that they have their end.
        let mut gone = [0u64; 2];
        for at in lost {
            let at = 3 + at % packets.len().saturating_sub(6).max(1);
            if at + 3 < packets.len() && !packets[at].payload.is_empty() {
                gone[usize::from(packets[at].server)] += packets[at].payload.len() as u64;
                packets.remove(at);
            }
        }
        let finished = run(&packets, &gaps);
        always(&finished);
        let f = &finished.flows[0];
        for (server, c) in [(false, &f.client), (true, &f.server)] {
            let bytes = turns.iter().filter(|t| t.0 == server).map(|t| t.1 as u64).sum::<u64>();
            prop_assert_eq!((c.stream_bytes, c.missed_bytes), (bytes, gone[usize::from(server)]));
            prop_assert_eq!((c.retransmits, c.out_of_order), (0, 0));
        }
        prop_assert_eq!(f.completeness.has(Completeness::GAP), gone != [0, 0]);
    }
}
