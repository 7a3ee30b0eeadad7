//! What is one conversation and what is not.

use super::net::{Address, MS, Packet, Point, Tcp, US, carry, point, replayed};
use crate::model::Replayed;

const A: Address = ([10, 0, 0, 1], 40_000);
const B: Address = ([10, 0, 0, 2], 41_111);
const C: Address = ([10, 9, 0, 3], 42_222);
const SITE: Address = ([203, 0, 113, 5], 80);
const OTHER: Address = ([203, 0, 113, 6], 80);

fn talk(at: i64, isn: [u32; 2], stamps: bool) -> Vec<Packet> {
    let mut tcp = Tcp::new(at, isn, stamps, false);
    tcp.open();
    for _ in 0..5 {
        tcp.send(MS, true, 0x18, b"GET / HTTP/1.1\r\nHost: site\r\n\r\n");
        tcp.send(MS, false, 0x18, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        // A keep-alive probe: one byte before what comes next.
        let probe = tcp.send(MS, true, 0x10, b"");
        tcp.packets[probe].seq = tcp.packets[probe].seq.wrapping_sub(1);
    }
    tcp.close();
    tcp.packets
}

fn alone(r: &Replayed) {
    assert_eq!(r.hops, [], "flows {:?}", r.flows.iter().map(|f| (f.endpoints, &f.observed_at)).collect::<Vec<_>>());
    assert!(r.conversations.iter().enumerate().all(|(i, c)| i as u64 == *c));
}

/// Each pair (point, packets) at its own interface.
fn apart(pairs: &[(Point, Vec<Packet>)]) -> Replayed {
    let points: Vec<Point> = pairs.iter().map(|p| p.0.clone()).collect();
    let mut seen = Vec::new();
    for (i, (point, packets)) in pairs.iter().enumerate() {
        let own = carry(std::slice::from_ref(point), packets, |_, _| false);
        seen.extend(own.into_iter().map(|(_, at, frame)| (i, at, frame)));
    }
    seen.sort_by_key(|s| s.1);
    replayed(&points, &seen)
}

/// Made-up traffic numbers its bytes from 0 and sends the same everywhere, at about the same time.
#[test]
fn small_sequence_numbers_prove_nothing() {
    for isn in [[0, 0], [1, 1], [1000, 2000]] {
        for other in [(B, SITE), (A, OTHER), (C, OTHER)] {
            alone(&apart(&[
                (point("x", [0, 0], A, SITE), talk(0, isn, false)),
                (point("y", [0, 0], other.0, other.1), talk(30 * US, isn, false)),
            ]));
        }
    }
}

/// A capture that was copied with other addresses is later both ways, not there later and back earlier.
#[test]
fn a_copy_with_other_addresses_is_another_conversation() {
    let isn = [0x7654_3210, 0x1234_5678];
    for stamps in [true, false] {
        alone(&apart(&[
            (point("x", [0, 0], A, SITE), talk(0, isn, stamps)),
            (point("y", [0, 0], B, SITE), talk(300 * US, isn, stamps)),
        ]));
    }
}

/// Many copies of one conversation at each of two places: nothing tells which belongs to which.
#[test]
fn crowds_are_not_joined() {
    let mut pairs = Vec::new();
    for n in 0..6u8 {
        for (name, delay) in [("x", 0), ("y", 40 * US)] {
            let mut from = point(name, [0, 0], ([10, if delay == 0 { 1 } else { 2 }, 0, n], 40_000), SITE);
            from.macs = [n, 9];
            pairs.push((from, talk(delay, [0x7654_3210, 0x1234_5678], true)));
        }
    }
    alone(&apart(&pairs));
}

/// A scanner's probes carry one number to all targets, and nothing comes back.
#[test]
fn equal_syns_are_not_a_translation() {
    let syn = |at| {
        let mut tcp = Tcp::new(at, [0x4242_4242, 1], false, false);
        tcp.send(0, true, 0x02, b"");
        tcp.send(1_000 * MS, true, 0x02, b"");
        tcp.packets.iter_mut().for_each(|p| p.seq = 0x4242_4242);
        tcp.packets
    };
    alone(&apart(&[(point("x", [0, 0], A, SITE), syn(0)), (point("y", [0, 0], A, OTHER), syn(50 * US))]));
}

/// Private networks repeat: the same addresses and ports in two namespaces.
#[test]
fn equal_addresses_with_other_numbers_are_apart() {
    alone(&apart(&[
        (point("x", [0, 0], A, SITE), talk(0, [0x7654_3210, 0x1234_5678], true)),
        (point("y", [0, 0], A, SITE), talk(10 * US, [0x2000_0000, 0x3000_0000], true)),
    ]));
}

/// The same number of random bytes in two conversations of equal addresses is a matter of chance.
#[test]
fn a_number_in_common_is_not_a_packet_in_common() {
    alone(&apart(&[
        (point("x", [0, 0], A, SITE), talk(0, [0x7654_3210, 0x1234_5678], true)),
        (point("y", [0, 0], A, SITE), talk(10 * US, [0x7654_3210, 0x3000_0000], true)),
    ]));
}

/// To a service's address and on to one of its backends, over one bridge: the second place is the same interface.
#[test]
fn a_translation_on_one_bridge_is_joined() {
    let points = [
        point("veth1", [0, 0], A, ([10, 96, 0, 10], 80)),
        point("cni0", [5 * US, 6 * US], A, ([10, 96, 0, 10], 80)),
        point("cni0", [20 * US, 25 * US], A, ([10, 0, 0, 7], 8080)),
        point("veth7", [5 * US, 7 * US], A, ([10, 0, 0, 7], 8080)),
    ];
    let packets = talk(0, [0x7654_3210, 0x9234_5678], true);
    let r = replayed(&points, &carry(&points, &packets, |_, _| false));
    let rows: Vec<_> = r.hops.iter().map(|h| (h.hop, h.delay.unwrap().p50_ns, h.nat, h.lost)).collect();
    let expected: Vec<_> = points
        .windows(2)
        .enumerate()
        .flat_map(|(n, p)| {
            let nat = if n == 1 { "dnat" } else { "" };
            p[1].delay.map(|delay| (n as u32, delay, nat, Some(0)))
        })
        .collect();
    assert_eq!(rows, expected);
}

/// A bridge whose packets pass the address translation of its node (`bridge-nf-call-iptables`, as Docker and Kubernetes have it): requests go out
/// to it under the gateway's address, answers come from it with the client's address put back. Each is half of a flow; nothing failed, and
/// each request is one, with both halves among its places.
#[test]
fn halves_of_a_conversation_on_a_bridge_are_one_request() {
    let (gateway, pod) = (([10, 77, 0, 254], 40_000), ([10, 77, 0, 2], 8080));
    let points = [
        point("ext0", [0, 0], A, SITE),
        point("br0", [20 * US, 25 * US], gateway, pod),
        point("br0", [US, US], A, pod),
        point("veth", [5 * US, 7 * US], gateway, pod),
    ];
    let packets = talk(0, [0x7654_3210, 0x9234_5678], true);
    let mut seen = carry(&points, &packets, |_, _| false);
    // The last byte of the sender's link-layer address: 1 is the client's.
    seen.retain(|(place, _, frame)| match place {
        1 => frame[11] == 1,
        2 => frame[11] != 1,
        _ => true,
    });
    let r = replayed(&points, &seen);
    assert_eq!(r.flows.iter().filter(|f| crate::map::is_failed(f)).count(), 0);
    let mut of: std::collections::BTreeMap<u64, Vec<&str>> = std::collections::BTreeMap::new();
    for (request, exchange) in r.requests.iter().zip(&r.exchanges) {
        let saw = match (request.request_tcp_seq, request.response_tcp_seq) {
            (Some(_), Some(_)) => "both",
            (Some(_), None) => "request",
            _ => "answer",
        };
        of.entry(*exchange).or_default().push(saw);
    }
    of.values_mut().for_each(|v| v.sort_unstable());
    assert_eq!(of.into_values().collect::<Vec<_>>(), vec![["answer", "both", "both", "request"]; 5]);
    assert_eq!(r.traces.len(), 5);
}

/// Both addresses are other ones behind a full translator: a load balancer that keeps connections as they are.
#[test]
fn both_addresses_may_change() {
    let points =
        [point("in", [0, 0], A, SITE), point("out", [15 * US, 12 * US], ([10, 7, 0, 1], 1025), ([10, 8, 0, 1], 8080))];
    let packets = talk(0, [0x7654_3210, 0x9234_5678], true);
    let r = replayed(&points, &carry(&points, &packets, |_, _| false));
    assert_eq!(r.hops.iter().map(|h| (h.nat, h.lost)).collect::<Vec<_>>(), [("snat+dnat", Some(0)); 2]);
}

/// What ends connections and opens others, or shifts sequence numbers, is where a conversation ends.
#[test]
fn rewritten_sequence_numbers_are_not_joined() {
    let shifted: Vec<Packet> = talk(40 * US, [0x7654_3210, 0x9234_5678], true)
        .into_iter()
        .map(|mut p| {
            let (mine, theirs) = if p.from_client { (1_000_003, 77_777_777) } else { (77_777_777, 1_000_003) };
            p.seq = p.seq.wrapping_add(mine);
            p.ack = p.ack.wrapping_add(theirs);
            p
        })
        .collect();
    let other = shifted.clone();
    alone(&apart(&[
        (point("x", [0, 0], A, SITE), talk(0, [0x7654_3210, 0x9234_5678], true)),
        (point("y", [0, 0], B, SITE), shifted),
    ]));
    alone(&apart(&[
        (point("x", [0, 0], A, SITE), talk(0, [0x7654_3210, 0x9234_5678], true)),
        (point("y", [0, 0], A, SITE), other),
    ]));
}

/// The same heartbeat again and again in a tunnel, whose outer headers differ every time, is one place.
#[test]
fn what_differs_around_a_tunnel_makes_no_copies() {
    let mut tunnel = point("uplink", [0, 0], A, B);
    tunnel.vni = Some(7);
    let beat = |i: i64, from_client| Packet {
        at: i * 10 * MS,
        from_client,
        protocol: 17,
        seq: 0,
        ack: 0,
        flags: 0,
        // The carrier's identification is made of it.
        ip_id: i as u16,
        stamps: None,
        payload: b"still here, nothing new".to_vec(),
    };
    let packets: Vec<Packet> = (0..30).map(|i| beat(i, i % 3 != 0)).collect();
    let mut frames = carry(&[tunnel.clone()], &packets, |_, _| false);
    for (_, _, frame) in &mut frames {
        // The identification of the inner header: behind Ethernet, IPv4, UDP, VXLAN, Ethernet, four bytes in.
        frame[14 + 20 + 8 + 8 + 14 + 4..][..2].fill(0);
    }
    alone(&replayed(&[tunnel], &frames));
}

/// Frames written twice with another port and the same times are no translator.
#[test]
fn a_copy_with_equal_times_on_one_interface_is_another_conversation() {
    let points = [point("x", [0, 0], A, SITE), point("x", [0, 0], A, (SITE.0, 81))];
    let packets = talk(0, [0x7654_3210, 0x9234_5678], true);
    alone(&replayed(&points, &carry(&points, &packets, |_, _| false)));
}

/// The same questions and answers again and again, through a translator: those of other times are not mistaken for them.
#[test]
fn messages_that_repeat_are_joined_by_their_time() {
    let (mut points, mut seen) = (Vec::new(), Vec::new());
    for n in 0..5u16 {
        let way = [
            point("lan", [0, 0], (A.0, 5000 + n), ([10, 96, 0, 10], 53)),
            point("wan", [80 * US, 90 * US], ([198, 51, 100, 1], 7000 + n), ([10, 0, 0, 7], 5353)),
        ];
        let packets: Vec<Packet> = (0..20u8)
            .map(|i| Packet {
                at: i64::from(n) * 30_000 * MS + i64::from(i) * 5 * MS,
                from_client: i % 2 == 0,
                protocol: 17,
                seq: 0,
                ack: 0,
                flags: 0,
                ip_id: 0,
                stamps: None,
                payload: format!("question or answer {i}").into_bytes(),
            })
            .collect();
        seen.extend(carry(&way, &packets, |_, _| false));
        points.extend(way);
    }
    // Frames are made already: of each two points only the names count.
    let r = replayed(&points[..2], &seen);
    let rows: Vec<_> = r.hops.iter().map(|h| (h.packets, h.matched, h.nat, h.delay.unwrap().max_ns / US)).collect();
    assert_eq!(rows, [[(10, 10, "snat+dnat", 80), (10, 10, "snat+dnat", 90)]; 5].concat());
}

/// A bridge shows datagrams of the two directions under different addresses, and those of one direction are all of one length.
#[test]
fn each_direction_of_datagrams_is_joined() {
    for (ask, answer) in [(18, 40), (40, 18), (24, 18), (33, 32), (100, 101)] {
        let inside =
            [point("veth", [0, 0], A, ([10, 96, 0, 10], 53)), point("br0", [9 * US, 8 * US], A, ([10, 0, 0, 7], 5353))];
        let packets: Vec<Packet> = (0..60u8)
            .map(|i| Packet {
                at: i64::from(i) * 5 * MS,
                from_client: i % 2 == 0,
                protocol: 17,
                seq: 0,
                ack: 0,
                flags: 0,
                ip_id: 0,
                stamps: None,
                payload: vec![i; if i % 2 == 0 { ask } else { answer }],
            })
            .collect();
        let (there, back): (Vec<Packet>, Vec<Packet>) = packets.into_iter().partition(|p| p.from_client);
        let mut seen = carry(&inside, &there, |_, _| false);
        // On the way back the bridge still has the address that the client knows.
        let mut before = inside.clone();
        before[1].server = inside[0].server;
        seen.extend(carry(&before, &back, |_, _| false));
        seen.sort_by_key(|s| s.1);
        let r = replayed(&inside, &seen);
        let rows: Vec<_> = r.hops.iter().map(|h| (h.way, h.matched, h.nat, h.lost)).collect();
        let expected =
            [(crate::hops::Way::ToServer, 30, "dnat", Some(0)), (crate::hops::Way::ToClient, 30, "", Some(0))];
        assert_eq!(rows, expected, "{ask} {answer}");
    }
}
