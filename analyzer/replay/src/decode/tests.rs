use super::build::{Tcp, decode_as, ethernet, ipv4, ipv4_fragment, ipv6, one, udp};
use super::*;
use crate::order::ip_from_number;
use proptest::prelude::*;

const ETHERNET: u16 = 1;
/// All link types that are decoded, and one that is not.
const LINK_TYPES: [u16; 26] = [
    0, 1, 6, 9, 12, 14, 50, 51, 101, 104, 105, 107, 108, 113, 119, 127, 163, 192, 228, 229, 239, 276, 10, 100, 117, 258,
];

fn ip(text: &str) -> u128 {
    crate::order::ip_number(text.parse().unwrap())
}

fn http() -> Vec<u8> {
    let options = [1, 1, 8, 10, 0, 0, 1, 0, 0, 0, 2, 0];
    Tcp {
        src: 4711,
        dst: 80,
        seq: 1000,
        ack: 2000,
        flags: 0x18,
        window: 512,
        options: &options,
        payload: b"GET / HTTP/1.1\r\n",
    }
    .bytes()
}

#[test]
fn tcp_over_ipv4_over_ethernet() {
    let frame = ethernet(0x0800, &ipv4(6, false, &http()));
    let d = one(ETHERNET, &frame);
    assert_eq!((d.src, d.dst), (ip("10.0.0.1"), ip("10.0.0.2")));
    assert_eq!((d.src_port, d.dst_port, d.protocol), (4711, 80, 6));
    assert_eq!((d.seq, d.ack, d.flags, d.window), (1000, 2000, 0x18, 512));
    assert_eq!((d.ts_val, d.ts_echo), (256, 512));
    assert_eq!((d.wire_len, d.ip_len, d.payload_len, d.payload_captured), (14 + 20 + 32 + 16, 68, 16, 16));
    assert_eq!(&frame[d.payload_at as usize..], b"GET / HTTP/1.1\r\n");
    assert_eq!(&frame[usize::from(d.mac_at)..][..6], [2, 0, 0, 0, 0, 0xaa]);
    assert_eq!((d.interface, d.ts, d.vlan, d.tunnel), (3, 5, 0, 0));
}

#[test]
fn ethernet_padding_is_no_payload() {
    let mut frame = ethernet(0x0800, &ipv4(6, false, &Tcp { src: 1, dst: 2, flags: 0x10, ..Tcp::default() }.bytes()));
    frame.resize(60, 0);
    let d = one(ETHERNET, &frame);
    assert_eq!((d.payload_len, d.payload_captured, d.wire_len, d.ip_len), (0, 0, 60, 40));
}

#[test]
fn what_the_snaplen_cut_is_counted_by_the_headers() {
    let frame = ethernet(0x0800, &ipv4(6, false, &http()));
    let mut out = Output::default();
    let whole = frame.len() as u32;
    for cut in [70, 66, 60, 40] {
        let f =
            Frame { bytes: &frame[..cut], wire_len: whole, ts: 0, interface: 0, link_type: 1, index: 0, packets: 1 };
        decode(&f, &mut out);
    }
    let seen: Vec<_> = out.packets.iter().map(|d| (d.payload_len, d.payload_captured, d.cut_header)).collect();
    // At 60 the header is there and an option is cut; at 40 only ports and sequence number are left, so the options' length is not known.
    assert_eq!(seen, [(16, 4, false), (16, 0, false), (16, 0, false), (28, 0, true)]);
    assert!(out.packets.iter().all(|d| (d.src_port, d.dst_port) == (4711, 80)));
}

#[test]
fn vlans_and_mpls_and_pppoe() {
    let inner = ipv4(17, false, &udp(1000, 53, b"x"));
    let mut tagged = vec![0x00, 0x64, 0x81, 0x00, 0x20, 0x05, 0x08, 0x00];
    tagged.extend(&inner);
    let d = one(ETHERNET, &ethernet(0x88a8, &tagged));
    assert_eq!((d.vlan, d.dst_port), (101, 53), "the outer VLAN, plus one");
    let mut labels = vec![0, 1, 0, 64, 0, 2, 1, 64];
    labels.extend(&inner);
    assert_eq!(one(ETHERNET, &ethernet(0x8847, &labels)).dst_port, 53);
    // A pseudo-wire: with a control word, without one, and without one where the frame's first address begins like IPv4.
    let mut frame = ethernet(0x0800, &inner);
    for front in [&[0, 1, 1, 64, 0, 0, 0, 7][..], &[0, 1, 1, 64]] {
        assert_eq!(one(ETHERNET, &ethernet(0x8847, &[front, &frame].concat())).dst_port, 53);
    }
    frame[0] = 0x45;
    assert_eq!(one(ETHERNET, &ethernet(0x8847, &[&[0, 1, 1, 64][..], &frame].concat())).dst_port, 53);
    let mut session = vec![0x11, 0, 0, 9, 0, (inner.len() + 2) as u8, 0, 0x21];
    session.extend(&inner);
    assert_eq!(one(ETHERNET, &ethernet(0x8864, &session)).dst_port, 53);
}

#[test]
fn other_link_types() {
    let packet = ipv4(17, false, &udp(1000, 53, b"x"));
    let with = |head: &[u8]| [head, &packet].concat();
    let sll = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 0xaa, 0, 0, 8, 0];
    let sll2 = [8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 0xaa, 0, 0];
    let radiotap = [0, 0, 8, 0, 0, 0, 0, 0];
    let mut data = vec![0x08, 0x01, 0, 0];
    data.extend([1; 6]);
    data.extend([2; 6]);
    data.extend([3; 6]);
    let addressed = data.clone();
    let llc = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    data.extend([0, 0]);
    data.extend(llc);
    // QoS data: two bytes more, and two of padding if the radiotap header (with a time and flags, in two words of presence) says so.
    let mut padded = vec![0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x20];
    padded.extend([&[0x88][..], &addressed[1..], &[0, 0, 5, 0, 0, 0], &llc].concat());
    let mut plain = vec![0, 0, 9, 0, 2, 0, 0, 0, 0];
    plain.extend([&[0x88][..], &addressed[1..], &[0, 0, 5, 0], &llc].concat());
    let infiniband = [&[0; 40][..], &[8, 0, 0, 0]].concat();
    for (link_type, bytes) in [
        (101, with(&[])),
        (228, with(&[])),
        (113, with(&sll)),
        (276, with(&sll2)),
        (0, with(&[2, 0, 0, 0])),
        (108, with(&[0, 0, 0, 2])),
        (9, with(&[0xff, 3, 0, 0x21])),
        (9, with(&[0x0f, 0, 8, 0])),
        (105, with(&data)),
        (127, with(&[&radiotap[..], &data].concat())),
        (127, with(&padded)),
        (127, with(&plain)),
        (50, with(&[0xff, 3, 0, 0x21])),
        (204, with(&[1, 0xff, 3, 0, 0x21])),
        (166, with(&[0, 3, 0, 0x21])),
        (104, with(&[0x0f, 0, 8, 0])),
        (205, with(&[1, 0x0f, 0, 8, 0])),
        (109, with(&[2, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0])),
        (123, with(&[&[2, 0, 0, 32][..], &llc].concat())),
        (219, with(&[0, 1, 1, 64])),
        (242, with(&infiniband)),
    ] {
        let d = one(link_type, &bytes);
        assert_eq!((d.dst_port, d.payload_len), (53, 1), "link type {link_type}");
    }
    assert_eq!(decode_as(147, &packet).undecoded, [(3, "link_type")]);
    assert_eq!(decode_as(ETHERNET, &ethernet(0x0806, &[0; 28])).undecoded, [(3, "arp")]);
}

#[test]
fn ipv6_with_extension_headers() {
    let mut payload = vec![60, 0, 1, 4, 0, 0, 0, 0]; // hop-by-hop, then destination options
    payload.extend([17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    payload.extend(udp(1, 2, b"abc"));
    let d = one(ETHERNET, &ethernet(0x86dd, &ipv6(0, &payload)));
    assert_eq!(ip_from_number(d.src).to_string(), "2001:db8::1");
    assert_eq!((d.dst_port, d.payload_len, d.ip_len), (2, 3, 40 + 8 + 16 + 8 + 3));
}

#[test]
fn vxlan_gives_carrier_and_inner() {
    let inner = ethernet(0x0800, &ipv4(6, true, &http()));
    let mut vxlan = vec![8, 0, 0, 0, 0, 0, 42, 0];
    vxlan.extend(inner);
    let out = decode_as(ETHERNET, &ethernet(0x0800, &ipv4(17, false, &udp(50_000, 4789, &vxlan))));
    let [outer, inner] = out.packets[..] else { panic!("{:?}", out.packets) };
    assert_eq!((outer.carrier, outer.dst_port, outer.tunnel), ("vxlan", 4789, 0));
    assert_eq!((inner.carrier, inner.dst_port, inner.src), ("", 80, ip("10.0.0.2")));
    let tunnel = out.tunnels[inner.tunnel as usize - 1];
    assert_eq!(
        (tunnel.names().as_str(), tunnel.id, tunnel.outer),
        ("vxlan", Some(42), Some((ip("10.0.0.1"), ip("10.0.0.2"))))
    );
    assert_ne!(inner.tunnel_key, 0);
}

#[test]
fn tunnels_by_name_and_id() {
    let packet = ipv4(17, false, &udp(1000, 53, b"x"));
    let frame = ethernet(0x0800, &packet);
    let cases: [(&str, Option<u64>, Vec<u8>); 8] = [
        ("gre", Some(99), ipv4(47, false, &[&[0x20, 0, 8, 0, 0, 0, 0, 99], &packet[..]].concat())),
        ("gre", None, ipv4(47, false, &[&[0, 0, 0x65, 0x58], &frame[..]].concat())),
        (
            "erspan",
            Some(5),
            ipv4(47, false, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 5, 0, 0, 0, 0], &frame[..]].concat()),
        ),
        ("erspan", None, ipv4(47, false, &[&[0, 0, 0x88, 0xbe], &frame[..]].concat())),
        ("ipip", None, ipv4(4, false, &packet)),
        ("6in4", None, ipv4(41, false, &ipv6(17, &udp(1000, 53, b"x")))),
        ("geneve", Some(7), ipv4(17, false, &udp(9, 6081, &[&[0, 0, 0x65, 0x58, 0, 0, 7, 0], &frame[..]].concat()))),
        ("gtp", Some(6), ipv4(17, false, &udp(2152, 2152, &[&[0x30, 0xff, 0, 29, 0, 0, 0, 6], &packet[..]].concat()))),
    ];
    for (name, id, bytes) in cases {
        let out = decode_as(101, &bytes);
        let inner = out.packets.last().unwrap_or_else(|| panic!("{name}: {:?}", out.undecoded));
        assert_eq!(inner.dst_port, 53, "{name}");
        let tunnel = out.tunnels[inner.tunnel as usize - 1];
        assert_eq!((tunnel.names().as_str(), tunnel.id), (name, id));
    }
}

#[test]
fn tunnels_without_end_are_left_alone() {
    let mut packet = ipv4(17, false, &udp(1000, 53, b"x"));
    for _ in 0..40 {
        packet = ipv4(4, false, &packet);
    }
    assert_eq!(decode_as(101, &packet).undecoded, [(3, "too_many_layers")]);
}

fn defragmented(frames: &[Vec<u8>]) -> Vec<(u16, u32, Vec<u8>)> {
    let mut fragments = Defragmenter::default();
    let mut found = Vec::new();
    for frame in frames {
        let out = decode_as(ETHERNET, frame);
        for f in &out.fragments {
            if let Some(whole) = fragments.add(f, frame, &mut Vec::new()) {
                let mut again = Output::default();
                decode(&whole.frame(1, 3, 0), &mut again);
                for d in &again.packets {
                    found.push((d.dst_port, d.wire_len, whole.bytes[d.payload_at as usize..].to_vec()));
                }
            }
        }
    }
    found
}

#[test]
fn fragments_in_any_order_become_one_datagram() {
    let payload: Vec<u8> = (0..100).collect();
    let datagram = udp(1000, 53, &payload);
    let piece = |from: usize, to: usize, more: bool| {
        let field = (from / 8) as u16 | if more { 0x2000 } else { 0 };
        ethernet(0x0800, &ipv4_fragment(17, false, 77, field, &datagram[from..to]))
    };
    let (a, b, c) = (piece(0, 40, true), piece(40, 80, true), piece(80, 108, false));
    let wire = 3 * 34 + 108;
    for order in [[&a, &b, &c], [&c, &a, &b], [&b, &c, &a]] {
        let frames: Vec<_> = order.into_iter().cloned().collect();
        assert_eq!(defragmented(&frames), [(53, wire, payload.clone())]);
    }
    assert_eq!(defragmented(&[a.clone(), c.clone()]), []);
    // A piece twice is a packet more and no byte more.
    assert_eq!(defragmented(&[a.clone(), a, b, c]), [(53, wire + 74, payload)]);
}

#[test]
fn ipv6_fragments_too() {
    let datagram = udp(1000, 53, &[9; 24]);
    let piece = |from: usize, to: usize, more: bool| {
        let mut p = vec![17, 0];
        p.extend(((from as u16) | u16::from(more)).to_be_bytes());
        p.extend([0, 0, 0, 5]);
        p.extend(&datagram[from..to]);
        ethernet(0x86dd, &ipv6(44, &p))
    };
    let found = defragmented(&[piece(16, 32, false), piece(0, 16, true)]);
    assert_eq!(found, [(53, 2 * (14 + 40 + 8) + 32, vec![9; 24])]);
}

#[test]
fn the_smallest_fragments_there_are() {
    let datagram = udp(1000, 53, &[9; 8 * 400 - 8]);
    let last = datagram.len() / 8 - 1;
    let frames: Vec<Vec<u8>> = (0..=last)
        .rev()
        .map(|n| {
            let field = n as u16 | if n < last { 0x2000 } else { 0 };
            ethernet(0x0800, &ipv4_fragment(17, false, 77, field, &datagram[8 * n..8 * n + 8]))
        })
        .collect();
    assert_eq!(defragmented(&frames), [(53, 400 * 42, vec![9; 8 * 400 - 8])]);
}

#[test]
fn what_never_becomes_whole_keeps_its_start() {
    let payload: Vec<u8> = (0..100).collect();
    let datagram = udp(1000, 53, &payload);
    let piece = |from: usize, to: usize, more: bool| {
        let field = (from / 8) as u16 | if more { 0x2000 } else { 0 };
        ethernet(0x0800, &ipv4_fragment(17, false, 77, field, &datagram[from..to]))
    };
    let (a, b, c) = (piece(0, 40, true), piece(40, 80, true), piece(80, 108, false));
    let given_up = |frames: &[&Vec<u8>]| {
        let (mut fragments, mut lost) = (Defragmenter::default(), Vec::new());
        for frame in frames {
            for f in &decode_as(ETHERNET, frame).fragments {
                assert!(fragments.add(f, frame, &mut lost).is_none());
            }
        }
        fragments.finish(&mut lost);
        assert_eq!(lost.len(), 1);
        lost.remove(0)
    };
    // The middle is missing: what is before it counts, with the length that the datagram has.
    let lost = given_up(&[&a, &c]);
    let part = lost.part.unwrap();
    let mut out = Output::default();
    decode(&part.frame(lost.ts, lost.interface, 0), &mut out);
    let d = out.packets[0];
    assert_eq!((d.src_port, d.dst_port, d.payload_len, d.payload_captured), (1000, 53, 100, 32));
    assert_eq!((d.packets, d.wire_len), (2, 2 * 34 + 68));
    assert_eq!(part.bytes[d.payload_at as usize..], payload[..32]);
    // Without the first one nobody knows whose it is.
    let lost = given_up(&[&b, &c]);
    assert_eq!((lost.part.is_none(), lost.packets, lost.interface), (true, 2, 3));
}

/// Tunnel and inner destination port of a frame whose carrier is UDP from `src` to `dst`.
fn through_udp(src: u16, dst: u16, payload: &[u8]) -> Option<(String, u16)> {
    let out = decode_as(ETHERNET, &ethernet(0x0800, &ipv4(17, false, &udp(src, dst, payload))));
    let d = out.packets.get(1)?;
    Some((out.tunnels[d.tunnel as usize - 1].names(), d.dst_port))
}

#[test]
fn tunnels_through_udp_are_known_by_their_headers() {
    let inner4 = ipv4(6, true, &http());
    let inner = ethernet(0x0800, &inner4);
    let inner6 = ipv6(17, &udp(1000, 53, b"question"));
    let found = |name: &str, port: u16| Some((name.to_owned(), port));
    let with = |header: &[u8], body: &[u8]| [header, body].concat();

    // AYIYA: an IPv6 address as identity, a SHA-1 signature (5 words), a shared secret, forward; then the epoch.
    let ayiya = |operation: u8, next: u8| {
        let mut h = vec![0x44, 0x52, 0x10 | operation, next, 0, 0, 0, 1];
        h.resize(8 + 16 + 20, 7);
        h
    };
    assert_eq!(through_udp(40_000, 5072, &with(&ayiya(1, 41), &inner6)), found("ayiya", 53));
    assert_eq!(through_udp(5072, 40_000, &with(&ayiya(1, 4), &inner4)), found("ayiya", 80));
    assert_eq!(through_udp(40_000, 5072, &with(&ayiya(2, 41), &inner6)), None, "an echo request");
    assert_eq!(through_udp(40_000, 5072, &with(&ayiya(1, 59), b"")), None, "a heartbeat");

    // CAPWAP data: two words of header, then Ethernet, or with the T bit 802.11 (its frame control in either order).
    let snap = with(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &inner4);
    let wlan = |control: [u8; 2]| with(&with(&control, &[0; 22]), &snap);
    assert_eq!(through_udp(40_000, 5247, &with(&[0, 0x10, 2, 0, 0, 0, 0, 0], &inner)), found("capwap", 80));
    assert_eq!(through_udp(40_000, 5247, &with(&[0, 0x10, 3, 0, 0, 0, 0, 0], &wlan([8, 1]))), found("capwap", 80));
    assert_eq!(through_udp(5247, 40_000, &with(&[0, 0x10, 3, 0, 0, 0, 0, 0], &wlan([1, 8]))), found("capwap", 80));
    assert_eq!(through_udp(40_000, 5247, &with(&[0, 0x10, 2, 8, 0, 0, 0, 0], &inner)), None, "a keep-alive");
    assert_eq!(through_udp(40_000, 5247, &with(&[1, 0x10, 2, 0, 0, 0, 0, 0], &inner)), None, "DTLS");
    assert_eq!(
        through_udp(40_000, 5247, &with(&[0, 0x10, 2, 0x80, 0, 1, 0, 8], &inner)),
        None,
        "not its first fragment"
    );

    // Teredo: to the server's port, and between peers if it is one beyond doubt.
    let mut teredo = inner6.clone();
    assert_eq!(through_udp(40_000, 3544, &teredo), found("teredo", 53));
    assert_eq!(through_udp(40_000, 50_000, &teredo), None, "no Teredo address");
    teredo[24..28].copy_from_slice(&[0x20, 1, 0, 0]);
    assert_eq!(through_udp(40_000, 50_000, &teredo), found("teredo", 53));
    teredo.push(0);
    assert_eq!(through_udp(40_000, 50_000, &teredo), None, "not of that length");

    // VXLAN-GPE by its port although the P bit is missing, and answers from the well-known ports.
    assert_eq!(through_udp(40_000, 4790, &with(&[8, 0, 0, 1, 0, 0, 42, 0], &inner4)), found("vxlan-gpe", 80));
    assert_eq!(through_udp(4790, 40_000, &with(&[12, 0, 0, 3, 0, 0, 42, 0], &inner)), found("vxlan-gpe", 80));
    assert_eq!(through_udp(4789, 40_000, &with(&[8, 0, 0, 0, 0, 0, 42, 0], &inner)), found("vxlan", 80));
    assert_eq!(through_udp(4789, 40_000, &with(&[9, 0, 0, 0, 0, 0, 42, 0], &inner)), None);
    assert_eq!(through_udp(6081, 40_000, &with(&[0, 0, 0x65, 0x58, 0, 0, 42, 0], &inner)), found("geneve", 80));
}

#[test]
fn what_cisco_switches_put_in_front() {
    let inner = ethernet(0x0800, &ipv4(6, false, &http()));
    let tagged = ethernet(0x8909, &[&[1, 1, 0, 1, 0, 9, 8, 0][..], &inner[14..]].concat());
    assert_eq!(one(ETHERNET, &tagged).dst_port, 80);
    let mirrored = ethernet(0x88be, &[&[0x10, 0, 0, 5, 0, 0, 0, 0][..], &inner].concat());
    let out = decode_as(ETHERNET, &mirrored);
    assert_eq!((out.packets[0].dst_port, out.tunnels[0].id), (80, Some(5)));
    let outer = [&[2, 0xa, 0xbd, 0, 0, 0, 2, 0xa, 0xbc, 0, 0, 0, 0x89, 3, 0x40, 0x20][..], &inner].concat();
    assert_eq!(one(ETHERNET, &outer).dst_port, 80);
}

/// Of the kinds of tunnels and link layers that carry whole frames elsewhere: what tshark 4.0 finds in the same bytes.
#[test]
fn mirrors_backbones_and_dial_in() {
    let packet = ipv4(6, false, &http());
    let frame = ethernet(0x0800, &packet);
    let ppp = [&[0xff, 3, 0, 0x21][..], &packet].concat();
    let label = [0, 6, 0x41, 64];
    let cases: [(&str, Option<u64>, Vec<u8>); 9] = [
        ("etherip", None, ipv4(97, false, &[&[0x30, 0][..], &frame].concat())),
        ("gre", None, ipv4(47, false, &[&[0, 0, 0x88, 0x3e, 0, 0, 0, 0][..], &packet].concat())),
        ("gre", None, ipv4(47, false, &[&[0, 0, 0x88, 0x3e][..], &packet].concat())),
        ("mpls", None, ipv4(17, false, &udp(50_000, 6635, &[&label[..], &packet].concat()))),
        ("l2tp", Some(0x1_0002), ipv4(17, false, &udp(1701, 1701, &[&[0, 2, 0, 1, 0, 2][..], &ppp].concat()))),
        // With length, sequence numbers and two bytes of offset.
        (
            "l2tp",
            Some(0x1_0002),
            ipv4(
                17,
                false,
                &udp(1701, 1701, &[&[0x4a, 2, 0, 99, 0, 1, 0, 2, 0, 5, 0, 6, 0, 2, 9, 9][..], &ppp].concat()),
            ),
        ),
        ("tzsp", None, ipv4(17, false, &udp(50_000, 37_008, &[&[1, 0, 0, 1, 0, 10, 1, 7, 1][..], &frame].concat()))),
        ("", None, ipv4(17, false, &udp(1701, 1701, &[&[0xc8, 2, 0, 99, 0, 1, 0, 2, 0, 5, 0, 6][..], &ppp].concat()))),
        ("", None, ipv4(17, false, &udp(50_000, 37_008, &[&[1, 0, 0, 1, 10, 200, 1][..], &frame].concat()))),
    ];
    for (name, id, outer) in cases {
        let out = decode_as(ETHERNET, &ethernet(0x0800, &outer));
        let Some(tunnel) = out.tunnels.first().filter(|_| !name.is_empty()) else {
            assert!(name.is_empty() && out.packets.iter().all(|d| d.dst_port != 80), "{name}: {out:?}");
            continue;
        };
        let inner = out.packets.last().unwrap();
        assert_eq!((tunnel.names().as_str(), tunnel.id, inner.dst_port), (name, id, 80));
    }
    let snap = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &packet].concat();
    let words = |n: [u32; 3]| n.map(u32::to_le_bytes).concat();
    let links: [(u16, Vec<u8>); 8] = [
        (ETHERNET, ethernet(0x8926, &[&[0, 0, 0, 1, 8, 0][..], &packet].concat())),
        (ETHERNET, ethernet(0x8870, &snap)),
        (ETHERNET, ethernet(0x22f3, &[&[0, 0x7f, 0, 1, 0, 2, 9, 9, 9, 9][..], &frame].concat())),
        (10, [&[0x50; 13][..], &snap].concat()),
        (100, snap.clone()),
        (117, [&[61, 2][..], &[0; 62], &packet].concat()),
        (258, [words([108, 1, 1]), vec![0; 96], frame.clone()].concat()),
        (258, [words([108, 1, 0]), vec![0; 96], vec![2, 0, 0, 0], packet.clone()].concat()),
    ];
    for (link_type, bytes) in links {
        assert_eq!(one(link_type, &bytes).dst_port, 80, "{link_type}");
    }
}

#[test]
fn a_header_that_cannot_be_still_has_ports() {
    let mut segment = http();
    segment[12] = 0x10;
    let d = one(ETHERNET, &ethernet(0x0800, &ipv4(6, false, &segment)));
    assert_eq!((d.src_port, d.dst_port, d.cut_header, d.payload_len), (4711, 80, true, 0));
    let d = one(ETHERNET, &ethernet(0x0800, &ipv4(17, false, &[0, 7, 0, 9, 0, 6])));
    assert_eq!((d.src_port, d.dst_port, d.cut_header, d.payload_len), (7, 9, true, 0));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_not_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), link in 0..LINK_TYPES.len()) {
        let out = decode_as(LINK_TYPES[link], &bytes);
        let mut fragments = Defragmenter::default();
        for f in &out.fragments {
            let _ = fragments.add(f, &bytes, &mut Vec::new());
        }
        for d in &out.packets {
            prop_assert!(d.payload_captured <= d.payload_len);
        }
    }

    #[test]
    fn flipped_bytes_of_sound_packets(at in 0usize..120, value in any::<u8>(), cut in 0usize..160) {
        let inner = ethernet(0x0800, &ipv4(6, true, &http()));
        let mut frame = ethernet(0x0800, &ipv4(17, false, &udp(50_000, 4789, &[&[8, 0, 0, 0, 0, 0, 42, 0], &inner[..]].concat())));
        if let Some(b) = frame.get_mut(at) {
            *b = value;
        }
        frame.truncate(frame.len().min(cut));
        let out = decode_as(ETHERNET, &frame);
        for d in &out.packets {
            prop_assert!(d.payload_at as usize + d.payload_captured as usize <= frame.len() || d.payload_captured == 0);
        }
    }
}

/// An A-MSDU from a station: QoS data with the aggregate's bit, and in it frames with own addresses, of which all but the last are padded.
#[test]
fn all_frames_of_an_aggregate() {
    let inner = |last: u8, port: u16, payload: &[u8]| {
        let mut packet = vec![0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
        packet.extend(ipv4(17, false, &udp(port, 2000, payload)));
        let mut frame = vec![2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, last];
        frame.extend((packet.len() as u16).to_be_bytes());
        frame.extend(packet);
        frame
    };
    let mut frame = vec![0x88, 1, 0, 0];
    frame.extend([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 2, 0, 0, 0, 0, 9, 0, 0]);
    frame.extend([0x80, 0]);
    for (last, port, payload) in [(1, 1001, &b"a"[..]), (2, 1002, b"bcdef"), (3, 1003, b"gh")] {
        frame.resize(26 + (frame.len() - 26).next_multiple_of(4), 0);
        frame.extend(inner(last, port, payload));
    }
    let out = decode_as(105, &frame);
    let seen: Vec<_> =
        out.packets.iter().map(|d| (d.src_port, d.payload_len, frame[usize::from(d.mac_at) + 5])).collect();
    assert_eq!(seen, [(1001, 1, 1), (1002, 5, 2), (1003, 2, 3)]);
    // Cut within the second, and a length that leads nowhere.
    let cut = decode_as(105, &frame[..26 + 52 + 20]);
    assert_eq!((cut.packets.len(), cut.packets[0].src_port), (1, 1001));
    frame[26 + 12..26 + 14].copy_from_slice(&[0, 0]);
    assert_eq!(decode_as(105, &frame).packets.len(), 1);
    frame[26 + 12..26 + 14].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(decode_as(105, &frame).packets.len(), 1);
}
