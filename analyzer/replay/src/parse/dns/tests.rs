use super::super::Conversation;
use super::super::script::{c, end, hex, lines, play, play_on, s, say};
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

#[test]
fn malformed_answers_are_rows() {
    let play = |answer: &str| lines(&play_on(Transport::Udp, 5000, 53, &[c(hex(QUERY)), s(hex(answer))]));
    let asked = "dns A|www.example.com|www.example.com|www.example.com";
    // The record says it has 255 bytes of data.
    let long = "1234 8180 0001 0001 0000 0000 03777777 07 6578616d706c65 03 636f6d 00 0001 0001
        c00c 0001 0001 0000003c 00ff 5db8d822";
    assert_eq!(play(long), [format!("{asked} parse_failed 0 'malformed message'")]);
    // The question's name points at itself: the id is left.
    let looped = "1234 8180 0001 0001 0000 0000 c00c 0001 0001 c00c 0001 0001 0000003c 0004 5db8d822";
    assert_eq!(play(looped), [format!("{asked} parse_failed 0 'malformed message'")]);
    // A server's own complaint says more.
    let refused = "1234 8181 0001 0001 0000 0000 03777777 07 6578616d706c65 03 636f6d 00 0001 0001";
    assert_eq!(play(refused), [format!("{asked} client_error 1 'FormErr'")]);
    // Nobody asked: a row at the usual port, nothing elsewhere.
    let alone = |port| lines(&play_on(Transport::Udp, 5000, port, &[s(hex(looped))]));
    assert_eq!(alone(53), ["dns ||| parse_failed 0 'malformed message' async"]);
    assert_eq!(alone(4000), [""; 0]);
}

#[test]
fn cut_answers_are_not_malformed() {
    let mut conversation = Conversation::new(Transport::Udp, 5000, 53);
    say(&mut conversation, Side::Client, &hex(QUERY), 0, 0);
    say(&mut conversation, Side::Server, &hex(ANSWER)[..50], 13, 1);
    assert_eq!(
        lines(&end(conversation, 2)),
        ["dns A|www.example.com|www.example.com|www.example.com ok 0 'CNAME=example.com TTL=60' [truncated_payload]"]
    );
}

/// The name FRED of RFC 1001 section 14.1, asked for and told.
pub(in crate::parse) fn netbios_sample() -> Vec<(Side, Vec<u8>)> {
    let name = "20 4547464345464545434143414341434143414341434143414341434143414341 00 0020 0001";
    vec![
        c(hex(&format!("1234 0110 0001 0000 0000 0000 {name}"))),
        s(hex(&format!("1234 8500 0000 0001 0000 0000 {name} 000493e0 0006 6000 0a000007"))),
    ]
}

#[test]
fn names_of_netbios() {
    let sessions = play_on(Transport::Udp, 5000, 6000, &netbios_sample());
    assert_eq!(lines(&sessions), ["nbns NB|FRED<20>|FRED<20>|FRED<20> ok 0 'NB=10.0.0.7 TTL=300000'",]);
}

/// RFC 1002 section 4.2.14: there is no such name, and the answer's record says nothing. An answer whose question was not seen says it, too.
#[test]
fn a_name_of_netbios_that_nobody_has() {
    let name = "20 4547464345464545434143414341434143414341434143414341434143414341 00";
    let question = c(hex(&format!("1234 0110 0001 0000 0000 0000 {name} 0020 0001")));
    let negative =
        |id: &str, kind: &str| s(hex(&format!("{id} 8583 0000 0001 0000 0000 {name} {kind} 0001 00000000 0000")));
    let sessions = play_on(Transport::Udp, 5000, 137, &[question, negative("1234", "000a"), negative("1235", "0020")]);
    assert_eq!(
        lines(&sessions),
        [
            "nbns NB|FRED<20>|FRED<20>|FRED<20> client_error 3 'NAM_ERR'",
            "nbns NB|FRED<20>|FRED<20>|FRED<20> client_error 3 'NAM_ERR' async"
        ]
    );
}

#[test]
fn large_answers_and_the_root() {
    // 70 addresses: 64 are read, and the row's text ends where it is long enough.
    let record = "c00c 0001 0001 0000003c 0004 5db8d822".repeat(70);
    let answer = format!("1234 8180 0001 0046 0000 0000 03777777 07 6578616d706c65 03 636f6d 00 0001 0001 {record}");
    let sessions = play_on(Transport::Udp, 5000, 53, &[c(hex(QUERY)), s(hex(&answer))]);
    assert_eq!(sessions[0].fields.status, crate::model::Status::Ok);
    assert_eq!(sessions[0].fields.result.len(), 1024);
    // Priming (RFC 8109): the root's name servers, with EDNS and the bit DO.
    let root = "1234 0100 0001 0000 0000 0001 00 0002 0001 00 0029 1000 00008000 0000";
    let sessions = play_on(Transport::Udp, 5000, 53, &[c(hex(root))]);
    assert_eq!(lines(&sessions), ["dns NS||| unknown [ended_after]"]);
    assert_eq!(sessions[0].fields.attributes, [("edns", "1".into())]);
}

#[test]
fn what_comes_first_may_be_something_else() {
    // A message of SNMP 3, an answer that is nothing, and then questions.
    let snmp = "30 40 020103 300f 02030091c8 020205dc 040104 020103 0400 3000";
    let script = [c(hex(snmp)), s(hex("3040 8081 0000 0000 2073656e64")), c(hex(QUERY)), s(hex(NXDOMAIN))];
    let sessions = play_on(Transport::Udp, 5000, 53, &script);
    assert_eq!(
        lines(&sessions),
        [
            "dns A|www.example.com|www.example.com|www.example.com client_error 3 'NXDomain'",
            "snmp Message|||Message unknown [ended_after]"
        ]
    );
}

/// RFC 2136: zone `x.y`; no CNAME of `a.x.y` may be there (section 2.4.3), its A records go, one comes; `b.x.y` gets one, too.
#[test]
fn updates_tell_what_they_change() {
    let update = "1234 2800 0001 0001 0003 0000 01780179 00 0006 0001
        0161 c00c 0005 00fe 00000000 0000
        0161 c00c 0001 00ff 00000000 0000
        0161 c00c 0001 0001 00000e10 0004 0a000001
        0162 c00c 0001 0001 00000e10 0004 0a000002";
    let sessions = play_on(
        Transport::Udp,
        5000,
        53,
        &[c(hex(update)), s(hex("1234 a800 0001 0000 0000 0000 0178 0179 00 0006 0001"))],
    );
    assert_eq!(lines(&sessions), ["dns UPDATE|x.y|x.y|x.y ok 0"]);
    assert!(sessions[0].fields.attributes.contains(&("updated", "a.x.y,b.x.y".into())));
}
