use super::super::script::{c, hex, lines, play, play_on, s};
use crate::model::{Side, Transport};

/// Service 41, method 20484, client 1, session, interface 2.
fn message(session: u8, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let len = (body.len() as u32 + 8).to_be_bytes();
    [&hex("0029 5004")[..], &len, &[0, 1, 0, session, 1, 2, kind, code], body].concat()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c([message(1, 0, 0, b"get"), message(2, 0, 0, b"set")].concat()),
        s([message(2, 0x81, 3, b""), message(1, 0x80, 0, b"value")].concat()),
        c(message(3, 1, 0, b"log")),
        s(message(4, 2, 0, b"changed")),
    ]
}

#[test]
fn calls() {
    let expected = [
        "some_ip Request||41|20484 client_error 3 'E_UNKNOWN_METHOD'",
        "some_ip Request||41|20484 ok 0",
        "some_ip RequestNoReturn||41|20484 unknown async",
        "some_ip Notification||41|20484 unknown async",
    ];
    assert_eq!(lines(&play(&sample())), expected);
    assert_eq!(lines(&play_on(Transport::Udp, 30000, 30001, &sample())), expected);
    assert_eq!(lines(&play_on(Transport::Udp, 30001, 30000, &sample()[1..2])).len(), 2);
}

#[test]
fn discovery_and_segments() {
    let entry = hex("01 00 00 00 1234 0001 01 000003 00000000");
    let stop = hex("06 00 00 00 1234 0001 01 000000 00000001");
    let body = [hex("c0000000 00000020"), entry, stop, hex("00000000")].concat();
    let discovery =
        [hex("ffff 8100"), (body.len() as u32 + 8).to_be_bytes().to_vec(), hex("0000 0001 01 01 02 00"), body].concat();
    let sessions = play_on(Transport::Udp, 30490, 30490, &[c(discovery)]);
    assert_eq!(
        lines(&sessions),
        ["some_ip ServiceDiscovery||65535|33024 unknown 'offer 4660.1, stop subscribe 4660.1' async"]
    );
    // In two datagrams: offset 0 with more to come, then an offset of 16.
    let sessions = play_on(
        Transport::Udp,
        30000,
        30001,
        &[c(message(9, 0x20, 0, &hex("00000001 aabbccdd"))), c(message(9, 0x20, 0, &hex("00000010 eeff")))],
    );
    assert_eq!(sessions.len(), 1);
}

#[test]
fn others_are_not_taken() {
    // A length that goes beyond the datagram.
    let mut bytes = message(1, 0, 0, b"get");
    bytes[7] += 1;
    assert!(play_on(Transport::Udp, 30000, 30001, &[c(bytes)]).is_empty());
}
