//! Ways with queues, losses, copies and reordering at every hop, and a sender that sends again whatever waits: each hop's count is the truth.

use super::net::{Address, MS, Packet, Point, Tcp, US, capture, point, run};
use crate::hops::{Hop, Way};
use crate::model::{Replayed, Transport};
use proptest::prelude::*;
use std::collections::BTreeSet;

const POD: Address = ([10, 0, 0, 2], 40_000);
const NODE: Address = ([198, 51, 100, 1], 61_007);
const SITE: Address = ([203, 0, 113, 5], 80);

/// Client, bridge, behind the translator, inside of the tunnel, a switch in between, server.
fn points() -> Vec<Point> {
    let mut points = vec![
        point("eth0", [0, 0], POD, SITE),
        point("br0", [10 * US, 11 * US], POD, SITE),
        point("nat1", [300 * US, 400 * US], NODE, SITE),
        point("uplink", [30 * US, 20 * US], NODE, SITE),
        point("switch", [100 * US, 100 * US], NODE, SITE),
        point("server", [70 * US, 65 * US], NODE, SITE),
    ];
    points[3].vni = Some(42);
    points[4].vni = Some(42);
    points
}

/// What one hop does to the packets of one direction.
#[derive(Clone, Debug, Default)]
struct Wire {
    /// What each packet holds the queue up for; nothing overtakes.
    service: i64,
    /// By number of the packet that comes: what happens to it.
    fates: Vec<Fate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Passes,
    Dropped,
    /// Comes out twice.
    Copied,
    /// Comes out later, others overtake it.
    Late(i64),
}

/// (point, time, frame) of what is seen.
type Frames = Vec<(usize, i64, Vec<u8>)>;

/// What is seen, and per hop and direction how many packets were dropped there.
fn carry(points: &[Point], packets: &[Packet], wires: &[[Wire; 2]]) -> (Frames, Vec<[u64; 2]>) {
    let (mut seen, mut dropped) = (Vec::new(), vec![[0u64; 2]; wires.len()]);
    for back in [0usize, 1] {
        let mut copied = BTreeSet::new();
        let mut here: Vec<(i64, &Packet)> =
            packets.iter().filter(|p| p.from_client == (back == 0)).map(|p| (p.at, p)).collect();
        for step in 0..points.len() {
            let at = if back == 0 { step } else { points.len() - 1 - step };
            here.sort_by_key(|h| h.0);
            seen.extend(here.iter().map(|(ts, p)| (at, *ts, p.frame(&points[at]))));
            let Some(hop) = (if back == 0 { Some(at) } else { at.checked_sub(1) }).filter(|h| *h < wires.len()) else {
                continue;
            };
            let (wire, delay) = (&wires[hop][back], points[hop + 1].delay[back]);
            let mut free = i64::MIN;
            let mut out = Vec::new();
            for (n, (ts, p)) in here.into_iter().enumerate() {
                let fate = if p.payload.is_empty() {
                    Fate::Passes
                } else {
                    wire.fates.get(n % wire.fates.len().max(1)).copied().unwrap_or(Fate::Passes)
                };
                // What is dropped in front of the queue does not hold it up.
                if fate == Fate::Dropped {
                    dropped[hop][back] += 1;
                    continue;
                }
                free = free.max(ts) + wire.service;
                let late = if let Fate::Late(late) = fate { late } else { 0 };
                out.push((free + delay + late, p));
                // Once: of three copies, of which one was lost before another was made, nobody can tell which.
                if fate == Fate::Copied && copied.insert(p.at) {
                    out.push((free + delay + late + 3 * US, p));
                }
            }
            here = out;
        }
    }
    seen.sort();
    seen.sort_by_key(|s| s.1);
    (seen, dropped)
}

fn hop(r: &Replayed, hop: u32, way: Way) -> &Hop {
    let found: Vec<_> = r.hops.iter().filter(|h| (h.transport, h.hop, h.way) == (Transport::Tcp, hop, way)).collect();
    assert_eq!(found.len(), 1, "hop {hop} {way:?}: {found:#?}");
    found[0]
}

/// Requests and answers, each sent as often as `copies` says, at once or after a while, whatever became of the others.
fn talk(isn: [u32; 2], stamps: bool, ids: bool, copies: &[(u8, i64)]) -> Vec<Packet> {
    let mut tcp = Tcp::new(0, isn.map(|n| n | 1 << 20), stamps, ids);
    tcp.open();
    // Near the beginning and the end of what a clock has seen losses are not told.
    tcp.at += 60_000 * MS;
    for (i, &(again, after)) in copies.iter().enumerate() {
        let sent = tcp.send(2 * MS, i % 3 != 0, 0x18, &vec![i as u8; 60 + i]);
        for _ in 0..again {
            tcp.resend(after, sent);
        }
    }
    tcp.at += 60_000 * MS;
    tcp.close();
    tcp.packets
}

/// A retransmission is dropped while what it repeats waits in a queue behind; the server's process reads each byte once.
#[test]
fn a_copy_dropped_while_the_first_one_waits_is_lost() {
    use crate::hops::log::Seen;
    use crate::hops::pair::lost;
    let packet = |ts: i64, seq: u32, ident: u32| Seen { ts, seq, len: 50, ident, stamped: true, ..Seen::default() };
    let call = |ts: i64, seq: u32| Seen { ts, seq, len: 50, ..Seen::default() };
    // Each sent three times; of the first the last two are dropped, of the second the first two.
    let from: Vec<Seen> = (0..6).map(|i| packet(i * 10, 1000 + 50 * (i as u32 / 3), i as u32 + 1)).collect();
    let next = [packet(200, 1000, 1), packet(300, 1050, 6)];
    let read = [call(400, 1000), call(401, 1050)];
    let missing = vec![1, 2, 3, 4];
    assert_eq!(lost(&from, missing.clone(), &next, &[(&next, 0), (&read, 0)], true), missing);
    // A capture that has not seen the last copy of the first one, which was sent on.
    let behind = [packet(210, 1000, 1), packet(250, 1000, 3), packet(310, 1050, 6)];
    assert_eq!(lost(&from, missing, &next, &[(&behind, 0), (&read, 0)], true), vec![1, 3, 4]);
}

fn fate(kind: u8) -> impl Strategy<Value = Fate> {
    prop_oneof![
        12 => Just(Fate::Passes),
        3 => Just(if kind == 1 { Fate::Passes } else { Fate::Dropped }),
        2 => Just(if kind == 2 { Fate::Passes } else { Fate::Copied }),
        3 => (1i64..30).prop_map(|ms| Fate::Late(ms * MS)),
    ]
}

/// A hop drops packets or copies them, not both: of copies of copies nobody can tell which one was lost.
fn wire() -> impl Strategy<Value = Wire> {
    (1u8..3, prop_oneof![3 => Just(0i64), 1 => 2i64..12])
        .prop_flat_map(|(kind, service)| (proptest::collection::vec(fate(kind), 7..40), Just(service * MS)))
        .prop_map(|(fates, service)| Wire { service, fates })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_waits_and_is_sent_again(
        wires in proptest::collection::vec([wire(), wire()], 5),
        copies in proptest::collection::vec((0u8..4, 1i64..80), 60),
        isn in any::<[u32; 2]>(),
        (stamps, ids) in any::<(bool, bool)>(),
        apart in any::<bool>(),
    ) {
        let points = points();
        let copies: Vec<(u8, i64)> = copies.into_iter().map(|(n, ms)| (n, ms * MS)).collect();
        let packets = talk(isn, stamps, ids, &copies);
        let mut wires = wires;
        if !stamps && !ids {
            // Nothing tells a copy that the network made from one that was sent again.
            let fates = wires.iter_mut().flatten().flat_map(|w| &mut w.fates);
            fates.filter(|f| **f == Fate::Copied).for_each(|f| *f = Fate::Passes);
        }
        let (seen, dropped) = carry(&points, &packets, &wires);
        let folder = tempfile::tempdir().unwrap();
        // As one recording, or as two and a capture in between whose clock is an hour off.
        let files = if apart {
            vec![
                capture(folder.path(), "near.pcapng", &points, &seen, &[0, 1, 2, 3], |_| 0),
                capture(folder.path(), "switch.pcapng", &points, &seen, &[4], |_| 3_600_123 * MS),
                capture(folder.path(), "far.pcapng", &points, &seen, &[5], |at| at / 50_000 - 7 * MS),
            ]
        } else {
            vec![capture(folder.path(), "one.pcapng", &points, &seen, &[0, 1, 2, 3, 4, 5], |_| 0)]
        };
        let r = run(&files);
        for (n, dropped) in dropped.iter().enumerate() {
            for (way, dropped) in [Way::ToServer, Way::ToClient].into_iter().zip(dropped) {
                let h = hop(&r, n as u32, way);
                prop_assert_eq!((h.lost, h.missed), (Some(*dropped), 0), "{:#?}", h);
            }
        }
    }
}
