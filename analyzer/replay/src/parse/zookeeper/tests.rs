use super::super::script::{c, hex, lines, play, play_on, play_prefix, s};
use crate::model::{Side, Transport};

/// What kazoo (Python) and ZooKeeper 3.8 said to each other: a session, a node that is made and read, its watch, a ping, the end.
pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let text = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let frame = |content: Vec<u8>| [&u32::try_from(content.len()).unwrap().to_be_bytes()[..], &content].concat();
    let ask = |xid: i32, operation: i32, body: &[u8]| {
        c(frame([&xid.to_be_bytes()[..], &operation.to_be_bytes(), body].concat()))
    };
    let answer = |xid: i32, error: i32, body: &[u8]| {
        s(frame([&xid.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0, 2], &error.to_be_bytes(), body].concat()))
    };
    let auth = [&[0; 4][..], &text("digest"), &text("joe:hunter2")].concat();
    let read = [&text("/n0/a/b")[..], &[1]].concat();
    let event = [&hex("00000003 00000003")[..], &text("/n0/a/b")].concat();
    let multi = [&hex("00000005 00 ffffffff")[..], &text("/n1"), &text("v"), &hex("ffffffff")].concat();
    vec![
        c(hex(
            "0000002d 00000000 0000000000000000 00002710 0000000000000000 00000010 00000000000000000000000000000000 00",
        )),
        s(hex("00000025 00000000 00002710 01000390d2650000 00000010 7162e893aaa1244d375d90de03638dad 00")),
        c(hex(
            "00000033 00000001 00000001 00000003 2f6e30 00000001 76 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00000000",
        )),
        s(hex("00000017 00000001 0000000000000002 00000000 00000003 2f6e30")),
        ask(-4, 100, &auth),
        answer(-4, 0, b""),
        ask(2, 4, &read),
        ask(-2, 11, b""),
        answer(2, 0, &[&text("value")[..], &[0; 68]].concat()),
        answer(-2, 0, b""),
        answer(-1, 0, &event),
        ask(3, 3, &[&text("/nope")[..], &[0]].concat()),
        answer(3, -101, b""),
        ask(4, 14, &multi),
        answer(4, -103, b""),
        ask(5, -11, b""),
        answer(5, 0, b""),
    ]
}

const SAID: [&str; 9] = [
    "zookeeper connect|||connect ok",
    "zookeeper create||/n0|create /n0 ok 0",
    "zookeeper auth||digest|auth digest ok 0",
    "zookeeper getData||/n0/a/b|getData /n0/a ok 0",
    "zookeeper ping|||ping ok 0",
    "zookeeper NodeDataChanged||/n0/a/b|NodeDataChanged ok async",
    "zookeeper exists||/nope|exists /nope client_error -101 'NoNode'",
    "zookeeper multi||/n1|multi /n1 client_error -103 'BadVersion'",
    "zookeeper closeSession|||closeSession ok 0",
];

#[test]
fn a_session() {
    assert_eq!(lines(&play(&sample())), SAID);
    // The lengths are read by themselves, as servers do.
    let pieces = |(from, bytes): &(Side, Vec<u8>)| [(*from, bytes[..4].to_vec()), (*from, bytes[4..].to_vec())];
    let split: Vec<(Side, Vec<u8>)> = sample().iter().flat_map(pieces).collect();
    assert_eq!(lines(&play(&split)), SAID);
    // What calls are cut to: paths are there.
    let short = play_prefix(2181, 48, &sample());
    assert_eq!(short.len(), 9);
    assert_eq!(&*short[3].fields.request_resource, "/n0/a/b");
}

#[test]
fn joined_in_the_middle() {
    assert_eq!(lines(&play(&sample()[2..])), SAID[1..]);
    // From an answer on.
    assert_eq!(lines(&play_on(Transport::Tcp, 40000, 2181, &sample()[11..]))[..2], SAID[6..8]);
}
