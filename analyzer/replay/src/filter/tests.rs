use super::*;
use crate::decode::build::{Tcp, ethernet, ipv4, ipv4_fragment, ipv6, udp};
use crate::decode::{Output, decode};
use crate::model::{SocketEvent, Transport};
use proptest::prelude::*;

fn judge(filter: &str, bytes: &[u8]) -> Truth {
    judge_as(filter, bytes, 1)
}

fn judge_as(filter: &str, bytes: &[u8], link_type: u16) -> Truth {
    judge_from(filter, bytes, link_type, 1)
}

/// `direction`: what the capture says of it, 0 where it says nothing.
fn judge_from(filter: &str, bytes: &[u8], link_type: u16, direction: u8) -> Truth {
    let mut out = Output::default();
    let wire_len = bytes.len() as u32;
    let frame = Frame { bytes, wire_len, ts: 5, interface: 0, link_type, index: 0, packets: 1 };
    let before = Before::of(&out);
    decode(&frame, &mut out);
    Filter::new(filter).unwrap().packet(&frame, direction, &out, before)
}

fn tcp(src: u16, dst: u16, flags: u8) -> Vec<u8> {
    Tcp { src, dst, flags, ..Tcp::default() }.bytes()
}

/// 10.0.0.1:40000 -> 10.0.0.2:80, SYN, from 02:00:00:00:00:aa to ...:bb; 54 bytes.
fn syn() -> Vec<u8> {
    ethernet(0x0800, &ipv4(6, false, &tcp(40000, 80, 2)))
}

fn arp() -> Vec<u8> {
    let mut a = vec![0, 1, 8, 0, 6, 4, 0, 1];
    a.extend([2, 0, 0, 0, 0, 0xaa, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9]);
    ethernet(0x0806, &a)
}

#[test]
fn primitives_hold_for_what_they_name() {
    let yes = [
        "",
        "ip",
        "tcp",
        "host 10.0.0.1",
        "10.0.0.2",
        "src 10.0.0.1",
        "src host 10.0.0.1 and dst host 10.0.0.2",
        "src or dst 10.0.0.2",
        "net 10",
        "net 10.0.0.0/24",
        "net 10.0.0.0 mask 255.255.255.0",
        "src net 10.0.0.0/31",
        "port 80",
        "port http",
        "tcp port 80",
        "dst port 80",
        "tcp src port 40000",
        "src or dst port 80",
        "portrange 79-81",
        "portrange 81-79",
        "proto 6",
        "ip proto tcp",
        "ip proto \\tcp",
        "ether proto ip",
        "ether proto 0x0800",
        "ether host 02:00:00:00:00:aa",
        "ether src 2:0:0:0:0:aa",
        "ether dst 02-00-00-00-00-bb",
        "less 54",
        "greater 54",
        "len == 54",
        "len <= 54 and len >= 54",
        "inbound",
        "not udp",
        "!udp && !(port 443 or 444)",
        "port 443 or 80",
        "tcp port 443 or 80",
        "not host 10.0.0.9 and 10.0.0.1",
        "tcp[13] = 2",
        "tcp[tcpflags] & tcp-syn != 0",
        "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn",
        "ip[9] == 6",
        "ip[2:2] == 40",
        "(ip[2:2] - ((ip[0] & 0xf) << 2)) - ((tcp[12] & 0xf0) >> 2) == 0",
        "ether[0] & 1 = 0",
        "tcp[2:2] = 0x50",
        "100 > len",
    ];
    for filter in yes {
        assert_eq!(judge(filter, &syn()), Truth::Yes, "{filter}");
    }
    let no = [
        "ip6",
        "udp",
        "icmp",
        "arp",
        "host 10.0.0.3",
        "dst 10.0.0.1",
        "src and dst host 10.0.0.1",
        "net 10.1",
        "udp port 80",
        "src port 80",
        "sctp port 80",
        "portrange 81-90",
        "ip6 proto 6",
        "proto gre",
        "ether host 02:00:00:00:00:cc",
        "ether multicast",
        "ether broadcast",
        "vlan",
        "less 53",
        "greater 55",
        "outbound",
        "not tcp",
        "! ( host 10.0.0.1 )",
        "udp[0] = 1",
        "ip6[0] = 1",
        "tcp[13] & 16 != 0",
        "mpls",
        "vxlan",
    ];
    for filter in no {
        assert_eq!(judge(filter, &syn()), Truth::No, "{filter}");
    }
}

#[test]
fn and_and_or_bind_alike_from_left_to_right() {
    // (port 80 or port 443) and udp: no. With `and` binding tighter it would hold.
    assert_eq!(judge("port 80 or port 443 and udp", &syn()), Truth::No);
    assert_eq!(judge("port 80 or (port 443 and udp)", &syn()), Truth::Yes);
    assert_eq!(judge("not port 80 or tcp", &syn()), Truth::Yes);
}

#[test]
fn arp_has_addresses_and_no_protocol() {
    for filter in [
        "arp",
        "host 10.0.0.9",
        "arp host 10.0.0.1",
        "net 10.0.0.0/24",
        "ether proto \\arp",
        "not ip",
        "ether host 02:00:00:00:00:bb",
    ] {
        assert_eq!(judge(filter, &arp()), Truth::Yes, "{filter}");
    }
    for filter in ["ip host 10.0.0.1", "ip", "rarp", "tcp", "port 80", "arp and host 10.0.0.3"] {
        assert_eq!(judge(filter, &arp()), Truth::No, "{filter}");
    }
}

#[test]
fn ipv6_is_looked_through_to_its_transport() {
    let options = {
        let mut o = vec![17, 0, 1, 4, 0, 0, 0, 0];
        o.extend(udp(5353, 53, b"x"));
        o
    };
    let plain = ethernet(0x86dd, &ipv6(17, &udp(5353, 53, b"x")));
    let extended = ethernet(0x86dd, &ipv6(60, &options));
    for frame in [&plain, &extended] {
        for filter in
            ["ip6", "udp", "port 53", "host 2001:db8::1", "net 2001:db8::/32", "src net 2001:db8::/127", "ip6 proto 17"]
        {
            assert_eq!(judge(filter, frame), Truth::Yes, "{filter}");
        }
        for filter in ["ip", "ip proto 17", "host 2001:db8::3", "net 10.0.0.0/8", "net 0.0.0.0/0"] {
            assert_eq!(judge(filter, frame), Truth::No, "{filter}");
        }
    }
}

#[test]
fn tags_and_labels_are_looked_through() {
    let inner = ipv4(6, false, &tcp(40000, 80, 2));
    let mut tagged = vec![0, 7, 0x81, 0, 0x20, 9, 8, 0];
    tagged.extend(&inner);
    let qinq = ethernet(0x88a8, &tagged);
    for filter in [
        "vlan",
        "vlan 7",
        "vlan 9",
        "vlan 7 and vlan 9 and port 80",
        "host 10.0.0.1",
        "tcp[13] = 2",
        "ether proto 0x88a8",
    ] {
        assert_eq!(judge(filter, &qinq), Truth::Yes, "{filter}");
    }
    assert_eq!(judge("vlan 8", &qinq), Truth::No);
    let mut labelled = vec![0, 6, 0x40, 64, 0, 1, 0x11, 64];
    labelled.extend(&inner);
    let mpls = ethernet(0x8847, &labelled);
    for filter in ["mpls", "mpls 100", "mpls 17", "port 80"] {
        assert_eq!(judge(filter, &mpls), Truth::Yes, "{filter}");
    }
    assert_eq!(judge("mpls 18", &mpls), Truth::No);
    let mut session = vec![0x11, 0, 0, 5, 0, 42, 0, 0x21];
    session.extend(&inner);
    let pppoe = ethernet(0x8864, &session);
    for filter in ["pppoes", "pppoes 5", "port 80", "ether proto pppoes"] {
        assert_eq!(judge(filter, &pppoe), Truth::Yes, "{filter}");
    }
    assert_eq!(judge("pppoes 6", &pppoe), Truth::No);
}

#[test]
fn a_primitive_holds_for_any_layer_of_a_tunnel() {
    let inner = ethernet(
        0x0800,
        &[&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 168, 0, 1, 192, 168, 0, 2][..], &tcp(5, 80, 2)].concat(),
    );
    let vxlan = [&[8, 0, 0, 0, 0, 0, 77, 0][..], &inner].concat();
    let frame = ethernet(0x0800, &ipv4(17, false, &udp(9999, 4789, &vxlan)));
    for filter in ["vxlan", "vxlan 77", "port 80", "port 4789", "udp and tcp", "host 192.168.0.1 and host 10.0.0.2"] {
        assert_eq!(judge(filter, &frame), Truth::Yes, "{filter}");
    }
    for filter in ["vxlan 78", "geneve", "not port 80", "not port 4789", "host 192.168.0.3"] {
        assert_eq!(judge(filter, &frame), Truth::No, "{filter}");
    }
}

#[test]
fn what_is_not_there_is_unknown() {
    let later = ethernet(0x0800, &ipv4_fragment(17, false, 7, 185, b"rest of a datagram"));
    assert_eq!(judge("port 53", &later), Truth::Unknown);
    assert_eq!(judge("not port 53", &later), Truth::Unknown);
    assert_eq!(judge("host 10.0.0.1", &later), Truth::Yes);
    assert_eq!(judge("udp and host 10.0.0.9", &later), Truth::No);
    assert_eq!(judge("port 53 and host 10.0.0.9", &later), Truth::No);
    assert_eq!(judge("port 53 or host 10.0.0.1", &later), Truth::Yes);
    let frame = syn();
    assert_eq!(judge("port 80", &frame[..36]), Truth::Unknown);
    assert_eq!(judge("host 10.0.0.1", &frame[..36]), Truth::Yes);
    assert_eq!(judge("host 10.0.0.1", &frame[..20]), Truth::Unknown);
    assert_eq!(judge("tcp[13] = 2", &frame[..40]), Truth::Unknown);
}

#[test]
fn link_layers_other_than_ethernet() {
    let ip = ipv4(6, false, &tcp(40000, 80, 2));
    assert_eq!(judge_as("port 80", &ip, 101), Truth::Yes);
    let mut sll = vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 0xaa, 0, 0, 8, 0];
    sll.extend(&ip);
    assert_eq!(judge_as("ether src 02:00:00:00:00:aa and port 80", &sll, 113), Truth::Yes);
    // Packet types HOST and OUTGOING; what the capture itself says comes first.
    for (packet_type, own, inbound) in [(0, 0, true), (4, 0, false), (4, 1, true), (3, 0, true)] {
        sll[1] = packet_type;
        let words = if inbound { ("inbound", "outbound") } else { ("outbound", "inbound") };
        let judged = (judge_from(words.0, &sll, 113, own), judge_from(words.1, &sll, 113, own));
        assert_eq!(judged, (Truth::Yes, Truth::No), "{packet_type} {own}");
    }
    let mut loopback = vec![2, 0, 0, 0];
    loopback.extend(&ip);
    assert_eq!(judge_as("host 10.0.0.2 and tcp", &loopback, 0), Truth::Yes);
}

#[test]
fn errors_name_the_place_and_the_remedy() {
    let cases = [
        ("host", 4, "host 10.0.0.1"),
        ("port 80 and", 11, "missing at the end"),
        ("host 10.0.0.1 port 80", 14, "expected `and`"),
        ("(port 80", 0, "add `)`"),
        ("port 80)", 7, "no `(`"),
        ("prot 80", 0, "not known"),
        ("port 70000", 5, "65535"),
        ("port 80-90", 5, "portrange 80-90"),
        ("port htp", 5, "give its number"),
        ("host www.example.com", 5, "not looked up"),
        ("net 10.0.0.1/8", 4, "net 10.0.0.0"),
        ("net 10.0.0.0/33", 13, "0 to 32"),
        ("host 10.0.0.0/8", 5, "net 10.0.0.0/8"),
        ("tcp host 10.0.0.1", 9, "tcp and host"),
        ("ip port 80", 8, "ip and port"),
        ("ether host 10.0.0.1", 11, "hardware address"),
        ("gateway x", 0, "not supported"),
        ("and port 80", 0, "nothing before"),
        ("less many", 5, "length"),
        ("tcp[13:3] = 1", 7, "1, 2 or 4"),
        ("tcp[13] 1", 8, "comparison"),
        ("80", 0, "port 80"),
        ("len / 0 = 1", 4, "zero"),
        ("port 80 ü", 8, "`ü`"),
        ("ip broadcast", 3, "ether broadcast"),
        ("src or port 80", 4, "`dst`"),
    ];
    for (text, at, word) in cases {
        let e = Filter::new(text).unwrap_err();
        assert_eq!(e.at, at, "{text}: {e}");
        assert!(e.what.contains(word), "{text}: {e}");
    }
    let e = Filter::new("port 80 or foo").unwrap_err().to_string();
    assert!(e.ends_with("\n  port 80 or foo\n             ^"), "{e}");
    assert!(Filter::new(&"(".repeat(100_000)).is_err());
    assert!(Filter::new(&"not ".repeat(100_000)).is_err());
}

#[test]
fn what_lies_outside_its_stretch_of_time_does_not_pass() {
    let bytes = syn();
    let at = |ts| {
        let frame = Frame { bytes: &bytes, wire_len: 54, ts, interface: 0, link_type: 1, index: 0, packets: 1 };
        let mut out = Output::default();
        decode(&frame, &mut out);
        let filter = Filter::new("tcp").unwrap().within(10, 20);
        (filter.packet(&frame, 0, &out, Before::of(&Output::default())), filter.has(ts))
    };
    assert_eq!(
        [9, 10, 20, 21].map(at),
        [(Truth::No, false), (Truth::Yes, true), (Truth::Yes, true), (Truth::No, false)]
    );
    let filter = Filter::new("tcp").unwrap();
    assert_eq!(filter.stretch(), (None, None));
    assert_eq!(filter.clone().within(10, i64::MAX).stretch(), (Some(10), None));
    let filter = filter.within(10, 20);
    assert_eq!(
        [(0, 9), (0, 10), (12, 13), (20, 30), (21, 30)].map(|(a, b)| filter.overlaps(a, b)),
        [false, true, true, true, false]
    );
}

#[test]
fn events_of_sockets_match_in_either_direction() {
    let event = SocketEvent {
        node: 0,
        ts: 0,
        event: "retransmit",
        transport: Transport::Tcp,
        local_ip: Some("10.0.0.1".parse().unwrap()),
        local_port: 80,
        remote_ip: Some("10.0.0.2".parse().unwrap()),
        remote_port: 4000,
        old_state: "",
        new_state: "",
        reason: "".into(),
        location: "".into(),
        len: 0,
        seq: None,
        outbound: false,
        pid: 0,
        netns: 0,
        flow_id: None,
    };
    for filter in ["tcp", "port 80", "src port 80", "dst port 80", "host 10.0.0.2 and port 80", "not udp", "not vlan"] {
        assert!(Filter::new(filter).unwrap().event(&event), "{filter}");
    }
    for filter in ["udp", "port 81", "src host 10.0.0.1 and dst port 80", "vlan", "ether host 0:0:0:0:0:0"] {
        assert!(!Filter::new(filter).unwrap().event(&event), "{filter}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_filter_or_an_error(text in "([a-z0-9 .:/\\[\\]()!&|<>=-]{0,40}|(host|port|net|tcp|and|or|not|src|\\(|\\)|10.0.0.1|80|\\[|\\]| ){0,12})") {
        if let Ok(filter) = Filter::new(&text) {
            let _ = filter.packet(
                &Frame { bytes: &syn(), wire_len: 54, ts: 0, interface: 0, link_type: 1, index: 0, packets: 1 },
                0, &Output::default(), Before::of(&Output::default()));
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..120), link_type in 0u16..300) {
        judge_as("host 1.2.3.4 or port 80 or vlan 3 or tcp[0:4] > 7 or ether[100] = 1", &bytes, link_type);
    }

    /// What a filter says and what its negation says are opposite.
    #[test]
    fn negation_turns_round(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        for filter in ["port 80", "net 10.0.0.0/8", "vlan", "tcp[13] = 2", "arp or icmp"] {
            prop_assert_eq!(judge(&format!("not ({filter})"), &bytes), !judge(filter, &bytes));
        }
    }
}
