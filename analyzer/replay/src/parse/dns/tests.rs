use super::super::script::{c, hex, lines, play, play_on, s};
use crate::model::{Side, Transport};

/// Query for A www.example.com (RFC 1035 section 4), written out by hand.
const QUERY: &str = "1234 0100 0001 0000 0000 0000 03777777 07 6578616d706c65 03 636f6d 00 0001 0001";
/// Its answer: a CNAME to the name at offset 16 (example.com) and its address, names compressed.
const ANSWER: &str = "1234 8180 0001 0002 0000 0000 03777777 07 6578616d706c65 03 636f6d 00 0001 0001
    c00c 0005 0001 0000003c 0002 c010
    c010 0001 0001 0000003c 0004 5db8d822";
const NXDOMAIN: &str = "1234 8183 0001 0000 0000 0000 03777777 07 6578616d706c65 03 636f6d 00 0001 0001";

fn framed(text: &str) -> Vec<u8> {
    let body = hex(text);
    let mut bytes = u16::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let other = QUERY.replace("1234", "5678");
    vec![
        c([framed(QUERY), framed(&other)].concat()),
        s([framed(&ANSWER.replace("1234", "5678")), framed(NXDOMAIN)].concat()),
    ]
}

#[test]
fn over_tcp_by_id() {
    assert_eq!(
        lines(&play(&sample())),
        [
            "dns A|www.example.com|www.example.com|www.example.com ok 0 'CNAME=example.com TTL=60; A=93.184.216.34 TTL=60'",
            "dns A|www.example.com|www.example.com|www.example.com client_error 3 'NXDomain'",
        ]
    );
}

#[test]
fn over_udp_and_the_wrong_way_round() {
    let sessions = play_on(Transport::Udp, 53, 5000, &[s(hex(QUERY)), c(hex(ANSWER))]);
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].fields.session_id, Some(0x1234));
    assert_eq!((sessions[0].request_bytes, sessions[0].response_bytes), (33, 63));
    assert_eq!(sessions[0].response_ts, Some(1_000_000));
}

#[test]
fn pointer_loops_end() {
    // The name points at itself.
    let looped = "1234 8180 0001 0001 0000 0000 c00c 0001 0001";
    assert!(play_on(Transport::Udp, 5000, 53, &[c(hex(looped))]).len() <= 1);
    let mutual = "1234 0100 0001 0000 0000 0000 c00e c00c 0001 0001";
    assert!(play_on(Transport::Udp, 5000, 53, &[c(hex(mutual))]).len() <= 1);
}

#[test]
fn multicast_announcements() {
    let announcement = "0000 8400 0000 0001 0000 0000 0161 056c6f63616c 00 0001 8001 00000078 0004 c0a80001";
    let sessions = play_on(Transport::Udp, 5353, 5353, &[c(hex(announcement))]);
    assert_eq!(lines(&sessions), ["dns A|a.local|a.local|a.local ok 0 'A=192.168.0.1 TTL=120' async"]);
}
