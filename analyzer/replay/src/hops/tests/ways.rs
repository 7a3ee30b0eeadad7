//! Delays, losses and clocks, against those that the network on paper has.

use super::net::{Address, MS, Packet, Point, START, Tcp, US, capture, carry, point, replayed, run};
use crate::hops::{Hop, Way, place_name};
use crate::model::{Replayed, Transport};
use proptest::prelude::*;

const POD: Address = ([10, 0, 0, 2], 40_000);
const NODE: Address = ([198, 51, 100, 1], 61_007);
const SITE: Address = ([203, 0, 113, 5], 80);

/// A pod behind a bridge, masqueraded, through VXLAN to a server.
fn way() -> Vec<Point> {
    let mut tunnel = point("uplink", [30 * US, 20 * US], NODE, SITE);
    tunnel.vni = Some(42);
    vec![
        point("eth0", [0, 0], POD, SITE),
        point("br0", [10 * US, 11 * US], POD, SITE),
        point("nat1", [5 * MS, 40 * US], NODE, SITE),
        tunnel,
        point("server", [700 * US, 650 * US], NODE, SITE),
    ]
}

fn hop(r: &Replayed, hop: u32, way: Way) -> &Hop {
    let found: Vec<_> = r.hops.iter().filter(|h| h.hop == hop && h.way == way).collect();
    assert_eq!(found.len(), 1, "hop {hop} {way:?}: {found:#?}");
    found[0]
}

/// Requests of 700 bytes, answers of 1448: every packet a whole one.
fn exchange(stamps: bool, ids: bool, lose: impl Fn(usize) -> bool) -> (Vec<Packet>, Vec<i64>) {
    let mut tcp = Tcp::new(0, [0x8123_4567, 0xfff0_0000], stamps, ids);
    tcp.open();
    let mut lost = Vec::new();
    for i in 0..50 {
        let sent = tcp.send(3 * MS, true, 0x18, &[i; 700]);
        if lose(usize::from(i)) {
            lost.push(tcp.packets[sent].at);
            tcp.resend(200 * MS, sent);
        }
        tcp.send(20 * MS, false, 0x10, b"");
        tcp.send(10 * MS, false, 0x18, &[i ^ 0xff; 1448]);
        tcp.send(20 * MS, true, 0x10, b"");
    }
    tcp.close();
    (tcp.packets, lost)
}

#[test]
fn each_hop_has_its_delay_and_the_lossy_one_its_losses() {
    for (stamps, ids) in [(true, true), (true, false), (false, true), (false, false)] {
        let points = way();
        let (packets, lost) = exchange(stamps, ids, |i| i % 10 == 4);
        assert_eq!(lost.len(), 5);
        // On the way from the bridge to the translator.
        let seen = carry(&points, &packets, |to, p| to == 2 && p.from_client && lost.contains(&p.at));
        let r = replayed(&points, &seen);
        assert_eq!(r.hops.len(), 8, "{:#?}", r.hops);
        assert!(r.conversations.iter().filter(|c| **c == 0).count() >= 5);
        for (n, pair) in points.windows(2).enumerate() {
            for way in [Way::ToServer, Way::ToClient] {
                let h = hop(&r, n as u32, way);
                let back = way == Way::ToClient;
                let expected = pair[1].delay[usize::from(back)];
                let d = h.delay.unwrap();
                assert_eq!((d.min_ns, d.p50_ns, d.max_ns, d.mean_ns), (expected, expected, expected, expected));
                let lost_here = if n == 1 && !back { 5 } else { 0 };
                assert_eq!((h.lost, h.missed), (Some(lost_here), 0), "{h:#?}");
                assert_eq!(h.lost_bytes, Some(lost_here * 700));
                assert_eq!(h.packets - h.matched, lost_here);
                // Sent again by the client, and seen twice up to where the first was lost.
                assert_eq!(h.resent, if n < 2 && !back { 5 } else { 0 });
                assert_eq!(h.nat, if n == 1 { "snat" } else { "" });
                assert_eq!(h.clock_uncertainty_ns, Some(0));
                let (near, far) = (pair[0].name, pair[1].name);
                let name = |p: &str| if p == "uplink" { "vxlan 42 on uplink".to_owned() } else { p.to_owned() };
                let names = if back { (name(far), name(near)) } else { (name(near), name(far)) };
                assert_eq!((place_name(&r, &h.from), place_name(&r, &h.to)), names);
            }
        }
        let h = hop(&r, 1, Way::ToServer);
        assert_eq!(
            h.statement,
            "br0 -> nat1: this hop holds 87 % of the delay to the server: 5.00 ms of 5.74 ms (medians); 5 of 109 packets were lost here"
        );
        assert_eq!((h.from.endpoints.client_port, h.to.endpoints.client_port), (40_000, 61_007));
        assert!(hop(&r, 3, Way::ToClient).statement.contains("90 %"));
        assert!(hop(&r, 2, Way::ToServer).statement.is_empty());
    }
}

/// What a card cuts into segments and another one puts together again.
#[test]
fn segments_that_are_cut_and_put_together_are_compared_by_their_bytes() {
    let points: Vec<Point> = [("sender", 0), ("wire", 100 * US), ("receiver", 50 * US)]
        .into_iter()
        .map(|(name, delay)| point(name, [delay, delay], POD, SITE))
        .collect();
    let mut tcp = Tcp::new(0, [7_000_000, 0xffff_ff00], true, true);
    tcp.open();
    let base = tcp.packets.len();
    for i in 0..20u8 {
        tcp.send(10 * MS, false, 0x18, &[i; 10_000]);
        tcp.send(10 * MS, true, 0x10, b"");
    }
    tcp.close();
    let big = tcp.packets;
    // The wire sees ten segments of each, 1 us apart; the third one of every fifth is lost behind it and not sent again.
    let cut = |p: &Packet, size: usize| -> Vec<Packet> {
        p.payload
            .chunks(size)
            .enumerate()
            .map(|(n, piece)| Packet {
                at: p.at + n as i64 * US,
                seq: p.seq.wrapping_add((n * size) as u32),
                ip_id: p.ip_id.wrapping_add(n as u16),
                payload: piece.to_vec(),
                ..p.clone()
            })
            .collect()
    };
    let mut seen = Vec::new();
    for (i, p) in big.iter().enumerate() {
        if p.payload.is_empty() {
            seen.extend(carry(&points, std::slice::from_ref(p), |_, _| false));
            continue;
        }
        let number = (i - base) / 2;
        // Packets from the server: sender is the last point.
        seen.push((2, p.at, p.frame(&points[2])));
        for (n, segment) in cut(p, 1000).iter().enumerate() {
            let at = segment.at + 50 * US;
            seen.push((1, at, segment.frame(&points[1])));
            // Two segments make one at the receiver, when the second has come.
            if n % 2 == 1 {
                let first = cut(p, 2000)[n / 2].clone();
                let gone = number.is_multiple_of(5) && n == 3;
                if !gone {
                    seen.push((0, at + 100 * US, first.frame(&points[0])));
                }
            }
        }
    }
    seen.sort_by_key(|s| s.1);
    let r = replayed(&points, &seen);
    let bare = 22 + 3 - 2;
    let (first, second) = (hop(&r, 1, Way::ToClient), hop(&r, 0, Way::ToClient));
    assert_eq!((first.packets, first.matched, first.lost), (20 + 2, 20 + 2, Some(0)), "{first:#?}");
    assert_eq!((first.delay.unwrap().min_ns, first.delay.unwrap().max_ns), (50 * US, 50 * US));
    // 2 segments of 4 of the 20 bursts.
    assert_eq!((second.packets, second.matched, second.lost), (200 + 2, 192 + 2, Some(8)), "{second:#?}");
    assert_eq!(second.lost_bytes, Some(8 * 1000));
    assert_eq!(second.delay.unwrap().max_ns, 100 * US);
    let back = hop(&r, 0, Way::ToServer);
    assert_eq!((back.packets, back.lost), (bare + 1, Some(0)), "{back:#?}");
}

/// Captures of two machines: the clocks differ by 3.7 s, and by more and more.
#[test]
fn clocks_of_two_captures_are_compared() {
    for drift_ppm in [0, 40] {
        let points = way();
        let (packets, lost) = exchange(true, true, |i| i == 7);
        let seen = carry(&points, &packets, |to, p| to == 4 && p.from_client && lost.contains(&p.at));
        let folder = tempfile::tempdir().unwrap();
        let ahead = |at: i64| 3_700 * MS + at * drift_ppm / 1_000_000;
        let a = capture(folder.path(), "a.pcapng", &points, &seen, &[0, 1, 2], |_| 0);
        let b = capture(folder.path(), "b.pcapng", &points, &seen, &[3, 4], ahead);
        let r = run(&[b, a]);
        assert_eq!((r.nodes.len(), r.clocks.len()), (2, 1));
        let clock = &r.clocks[0];
        assert_eq!((clock.name.as_str(), clock.reference.as_str()), ("b.pcapng", "a.pcapng"));
        let uncertainty = clock.uncertainty_ns.unwrap() as i64;
        // The smallest delays there and back over this hop are 30 and 20 us: that is all that packets can tell.
        assert!((25 * US..26 * US).contains(&uncertainty), "{clock:?}");
        assert!((clock.offset_ns - 3_700 * MS).abs() <= uncertainty, "{clock:?}");
        let (start, end) = (packets[0].at, packets[packets.len() - 1].at);
        let drift = (end - start) * drift_ppm / 1_000_000;
        assert!((clock.drift_ns - drift).abs() <= 2 * US, "{clock:?}, {drift}");
        // Over 700 us a clock that is 40 ppm fast gains 28 ns.
        for n in [0, 1, 3] {
            let d = hop(&r, n, Way::ToServer).delay.unwrap();
            assert!((d.p50_ns - points[n as usize + 1].delay[0]).abs() <= drift_ppm, "{n} {d:?}");
        }
        let crossing = hop(&r, 2, Way::ToServer);
        assert_eq!(crossing.clock_uncertainty_ns, Some(uncertainty as u64));
        let error = (crossing.delay.unwrap().p50_ns - 30 * US).abs();
        assert!(error <= uncertainty, "{crossing:?}");
        assert_eq!(hop(&r, 3, Way::ToServer).lost, Some(1));
        assert!(crossing.statement.is_empty(), "{}", crossing.statement);
    }
}

/// A mirror port that shows what comes into a router and what goes out of it, on one interface.
#[test]
fn copies_on_one_interface_are_places() {
    let mut points = vec![point("mirror", [0, 0], POD, SITE), point("mirror", [400 * US, 300 * US], POD, SITE)];
    points[1].macs = [7, 8];
    points[1].vlan = Some(20);
    let (packets, lost) = exchange(true, true, |i| i % 25 == 3);
    let seen = carry(&points, &packets, |to, p| to == 1 && p.from_client && lost.contains(&p.at));
    let r = replayed(&points, &seen);
    assert_eq!(r.hops.len(), 2, "{:#?}", r.hops);
    let there = hop(&r, 0, Way::ToServer);
    assert_eq!((there.delay.unwrap().p50_ns, there.lost), (400 * US, Some(2)), "{there:#?}");
    assert_eq!(hop(&r, 0, Way::ToClient).delay.unwrap().p50_ns, 300 * US);
    assert_eq!((there.from.copy, there.to.copy), (1, 2));
    assert!(place_name(&r, &there.to).ends_with("(copy 2)"));
}

/// Queries to a resolver behind a translator; some answers are dropped on the way.
#[test]
fn datagrams_are_compared_by_their_payload() {
    let points = vec![
        point("lan", [0, 0], ([10, 0, 0, 2], 5000), ([9, 9, 9, 9], 53)),
        point("wan", [80 * US, 90 * US], ([198, 51, 100, 1], 1024), ([9, 9, 9, 9], 53)),
    ];
    let mut packets = Vec::new();
    for i in 0..40u8 {
        let query = [i, 77, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, b'w', b'w', b'w', 1, i, 0, 0, 1, 0, 1];
        let mut packet = Packet {
            at: i64::from(i) * 50 * MS,
            from_client: true,
            protocol: 17,
            seq: 0,
            ack: 0,
            flags: 0,
            ip_id: 0,
            stamps: None,
            payload: query.to_vec(),
        };
        packets.push(packet.clone());
        packet.from_client = false;
        packet.at += 20 * MS;
        packet.payload[2] = 0x81;
        packets.push(packet);
    }
    let seen = carry(&points, &packets, |to, p| to == 0 && !p.from_client && p.payload[0] % 8 == 1);
    let r = replayed(&points, &seen);
    assert_eq!(r.hops.len(), 2, "{:#?}", r.hops);
    let (there, back) = (hop(&r, 0, Way::ToServer), hop(&r, 0, Way::ToClient));
    assert_eq!(there.transport, Transport::Udp);
    assert_eq!((there.packets, there.lost, there.nat), (40, Some(0), "snat"));
    assert_eq!((back.packets, back.lost), (40, Some(5)));
    assert_eq!((there.delay.unwrap().max_ns, back.delay.unwrap().max_ns), (80 * US, 90 * US));
}

/// A capture that lacks packets is not a network that loses them.
#[test]
fn what_is_seen_farther_on_was_missed_not_lost() {
    let points = way();
    let (packets, _) = exchange(true, true, |_| false);
    let mut seen = carry(&points, &packets, |_, _| false);
    let mut n = 0;
    seen.retain(|s| {
        n += usize::from(s.0 == 1);
        s.0 != 1 || n % 20 != 5
    });
    let r = replayed(&points, &seen);
    let missed: u64 = r.hops.iter().map(|h| h.missed).sum();
    assert_eq!(missed as usize, n.div_ceil(20) - usize::from(n % 20 < 5 && n % 20 != 0), "{:#?}", r.hops);
    assert!(r.hops.iter().all(|h| h.lost == Some(0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is lost where, and in whatever order packets arrive: each hop's count is the truth.
    #[test]
    fn losses_are_counted_where_they_happen(
        fates in proptest::collection::vec(0usize..40, 120),
        jitter in proptest::collection::vec(0i64..4_000, 400),
        isn in any::<[u32; 2]>(),
        ids in any::<bool>(),
    ) {
        let points = way();
        let mut tcp = Tcp::new(0, isn.map(|n| n | 1 << 20), true, ids);
        tcp.open();
        let mut dropped = Vec::new();
        for (i, &fate) in fates.iter().enumerate() {
            let from_client = i % 3 != 0;
            let sent = tcp.send(2 * MS, from_client, 0x18, &vec![i as u8; 100 + i]);
            // A fate of 1 to 4 loses the packet in front of this point.
            let front = if from_client { fate } else { fate.wrapping_sub(1) };
            if (1..points.len()).contains(&fate) {
                dropped.push((tcp.packets[sent].at, front));
                tcp.resend(2 * MS, sent);
            }
        }
        tcp.at += 100 * MS;
        tcp.close();
        let lost = |to: usize, p: &Packet| dropped.contains(&(p.at, to));
        let mut seen = carry(&points, &tcp.packets, lost);
        for (one, late) in seen.iter_mut().zip(jitter.iter().cycle()) {
            one.1 += late;
        }
        seen.sort_by_key(|s| s.1);
        let r = replayed(&points, &seen);
        for way in [Way::ToServer, Way::ToClient] {
            for n in 0..points.len() - 1 {
                let to = if way == Way::ToServer { n + 1 } else { n };
                let truth = tcp
                    .packets
                    .iter()
                    .filter(|p| p.from_client == (way == Way::ToServer) && dropped.contains(&(p.at, to)))
                    .count() as u64;
                prop_assert_eq!(hop(&r, n as u32, way).lost, Some(truth), "hop {} {:?}", n, way);
            }
        }
        prop_assert!(r.start >= START);
    }
}
