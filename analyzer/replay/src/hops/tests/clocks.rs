//! Clocks that are far off, run fast or were set, and packets that say wrong things of them.

use super::super::offset::{Bounds, Edge, between};
use super::net::{Address, MS, Packet, Point, Tcp, US, capture, carry, point, run};
use crate::hops::Way;
use proptest::prelude::*;

const S: i64 = 1_000 * MS;

fn datagram(at: i64, from_client: bool, payload: &[u8]) -> Packet {
    let payload = payload.to_vec();
    Packet { at, from_client, protocol: 17, seq: 0, ack: 0, flags: 0, ip_id: 0, stamps: None, payload }
}

/// Conversations one after the other, as each is seen from its client to its server: TCP, and UDP that says much the same every time.
fn conversations() -> Vec<(Vec<Point>, Vec<Packet>)> {
    (0..6u8)
        .map(|n| {
            let client: Address = ([10, 0, 0, 2], 40_000 + u16::from(n));
            let server: Address = ([10, 0, 9, 9], 80);
            let delays = [[0, 0], [20 * US, 25 * US], [30 * US, 35 * US], [5 * MS, 4 * MS], [15 * US, 20 * US]];
            let names = ["eth0", "up1", "mirror", "up2", "eth9"];
            let points = names.into_iter().zip(delays).map(|(name, delay)| {
                let mut point = point(name, delay, client, server);
                point.vni = name.starts_with(['u', 'm']).then_some(7);
                point
            });
            let start = i64::from(n) * 8 * S;
            let mut packets = Vec::new();
            if n % 2 == 0 {
                let mut tcp = Tcp::new(start, [0x8123_4567 + u32::from(n) * 0x0101_0101, 0x1fff_0000], true, false);
                tcp.open();
                for i in 0..100u8 {
                    tcp.send(30 * MS, true, 0x18, &[i; 100]);
                    tcp.send(30 * MS, false, 0x18, &[i; 120]);
                }
                tcp.close();
                packets = tcp.packets;
            } else {
                for i in 0..100u8 {
                    let at = start + i64::from(i) * 60 * MS;
                    packets.push(datagram(
                        at,
                        true,
                        format!("a head of two dozen bytes, then what is new: {i}").as_bytes(),
                    ));
                    packets.push(datagram(
                        at + 20 * MS,
                        false,
                        format!("{i} is answered in some more bytes").as_bytes(),
                    ));
                }
            }
            (points.collect(), packets)
        })
        .collect()
}

/// Two machines and a mirror port between them, whose clock is anywhere and runs as it likes.
#[test]
fn a_clock_far_off_is_found() {
    for (ahead, ppm) in [(3_600 * S, 0), (-86_400 * S, 0), (3_600 * S, 50), (-7 * S, -50), (86_400 * S, 400), (0, 50)] {
        let (mut seen, mut points) = (Vec::new(), Vec::new());
        for (way, packets) in conversations() {
            // Each conversation loses one packet between the mirror and the second machine.
            let lost = packets.iter().filter(|p| p.from_client).nth(40).unwrap().at;
            seen.extend(carry(&way, &packets, |to, p| to == 3 && p.from_client && p.at == lost));
            points = way;
        }
        seen.sort_by_key(|s| s.1);
        let folder = tempfile::tempdir().unwrap();
        let off = |at: i64| ahead + at * ppm / 1_000_000;
        let near = capture(folder.path(), "near.pcapng", &points, &seen, &[0, 1], |_| 0);
        let mirror = capture(folder.path(), "mirror.pcapng", &points, &seen, &[2], off);
        let far = capture(folder.path(), "far.pcapng", &points, &seen, &[3, 4], |_| 12 * MS);
        let r = run(&[near, mirror, far]);
        let clock = |name: &str| r.clocks.iter().find(|c| c.name == name).map(|c| (c.offset_ns, c.uncertainty_ns));
        let named = |name| clock(name).unwrap_or_else(|| panic!("{name}: {:?}", r.clocks));
        let reference = r.clocks[0].reference.as_str();
        // Whichever is the reference: the differences between the three are these.
        let truth = |name: &str| match name {
            "near.pcapng" => 0,
            "far.pcapng" => 12 * MS,
            _ => ahead,
        };
        for name in ["near.pcapng", "mirror.pcapng", "far.pcapng"].into_iter().filter(|n| *n != reference) {
            let (offset, uncertainty) = named(name);
            let uncertainty = uncertainty.unwrap() as i64;
            let error = (offset - (truth(name) - truth(reference))).abs();
            // Half of the way there and back between the two is what packets can tell, and a drift within that is not seen.
            assert!(uncertainty < 5 * MS, "{:?}", r.clocks);
            assert!(error <= uncertainty + 2 * MS, "{name} by {error}, {ahead} {ppm}: {:?}", r.clocks);
        }
        let inner = |h: &&crate::hops::Hop| h.from.endpoints.server_port == 80 && h.way == Way::ToServer;
        let rows: Vec<_> = r.hops.iter().filter(inner).collect();
        assert_eq!(rows.len(), 6 * 4, "{rows:#?}");
        for h in rows {
            let expected = points[h.hop as usize + 1].delay[0];
            let (d, unsure) = (h.delay.unwrap(), h.clock_uncertainty_ns.unwrap() as i64);
            assert!((d.p50_ns - expected).abs() <= unsure + US, "{ahead} {ppm}: {expected} {h:#?}");
            assert_eq!(h.lost, Some(u64::from(h.hop == 2)), "{ahead} {ppm}: {h:#?}");
        }
    }
}

/// Bounds of every tenth of a second: `off` is the truth, delays are between `least` and some more.
fn bounds(tenths: i64, off: impl Fn(i64) -> i64, late: &[i64], least: i64) -> Vec<Bounds> {
    let mut late = late.iter().cycle();
    let mut next = || least + *late.next().unwrap();
    (0..tenths)
        .map(|n| n * S / 10)
        .map(|at| Bounds { upper: Some((at, off(at) + next())), lower: Some((at, off(at) - next())), packets: [1, 1] })
        .collect()
}

/// A clock that was set by a second in the middle: both halves are right.
#[test]
fn a_clock_that_was_set() {
    let off = |at: i64| if at < 60 * S { 3_600 * S } else { 3_601 * S };
    let edge = Edge::new(0, 1, &bounds(1_200, off, &[0, 40 * US, 90 * US], 100 * US));
    for at in [5 * S, 40 * S, 80 * S, 115 * S] {
        assert!((between(&edge.points, at) - off(at)).abs() <= 100 * US, "{at}: {:?}", edge.points);
    }
}

/// Packets in one direction only say how far apart clocks are at most, whichever way.
#[test]
fn one_direction_is_a_guess() {
    let mut parts = bounds(100, |_| -5 * S, &[0, 3 * US], 10 * US);
    parts.iter_mut().for_each(|p| (p.lower, p.packets[1]) = (None, 0));
    let edge = Edge::guessed(0, 1, &parts).unwrap();
    assert_eq!((between(&edge.points, 0), edge.uncertainty), (-5 * S + 10 * US, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the offset and the rate, and though a few packets are taken for others: the truth is where it is said to be.
    #[test]
    fn the_truth_is_within_the_uncertainty(
        offset in -100_000 * S..100_000 * S,
        ppm in -500i64..500,
        late in proptest::collection::vec(0i64..2 * MS, 50..300),
        wrong in proptest::collection::vec((0usize..1_200, -20 * S..20 * S), 0..40),
        forth in any::<bool>(),
    ) {
        let off = |at: i64| offset + at * ppm / 1_000_000;
        let mut parts = bounds(1_200, off, &late, 200 * US);
        for (n, by) in wrong {
            let part = &mut parts[n];
            let bound = if forth { &mut part.upper } else { &mut part.lower };
            *bound = bound.map(|(at, b)| (at, b + by));
        }
        let edge = Edge::new(0, 1, &parts);
        for at in [0, 30 * S, 60 * S, 119 * S] {
            let error = (between(&edge.points, at) - off(at)).abs();
            // Within what a packet takes there and back at least.
            prop_assert!(error <= 1_200 * US, "{} of {:?} {:?}", error, edge.points, edge.uncertainty);
        }
        prop_assert!(edge.uncertainty.unwrap() <= 2 * MS);
    }
}
