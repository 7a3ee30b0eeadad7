use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn greeting(mechanism: &str) -> Vec<u8> {
    let mut bytes = hex("ff 00 00 00 00 00 00 00 01 7f 03 01");
    bytes.extend(mechanism.as_bytes());
    bytes.resize(64, 0);
    bytes
}

fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    [&[flags, body.len() as u8], body].concat()
}

fn command(name: &str, body: &[u8]) -> Vec<u8> {
    frame(4, &[&[name.len() as u8], name.as_bytes(), body].concat())
}

fn ready(socket: &str) -> Vec<u8> {
    command("READY", &[b"\x0bSocket-Type\0\0\0", &[socket.len() as u8][..], socket.as_bytes()].concat())
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    // A long frame: flag 2, eight bytes of length.
    let long = [&hex("02 00 00 00 00 00 00 01 2c")[..], &[b'x'; 300]].concat();
    vec![
        s(&greeting("NULL")[..10]),
        c(greeting("NULL")),
        s(&greeting("NULL")[10..]),
        s(ready("REP")),
        c(ready("REQ")),
        c([frame(1, b""), frame(0, b"What time?")].concat()),
        s([frame(1, b""), frame(1, b"Noon"), frame(0, b"")].concat()),
        c([frame(1, b""), long].concat()),
        s([frame(1, b""), frame(0, b"!")].concat()),
        c(command("PING", b"\0\x0acontext")),
        s(command("PONG", b"context")),
    ]
}

#[test]
fn asks_and_answers() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "zmtp Greeting||| ok async",
            "zmtp Greeting||| ok async",
            "zmtp Command|||READY ok async",
            "zmtp Command|||READY ok async",
            "zmtp Message||| ok",
            "zmtp Message||| ok",
            "zmtp Command|||PING ok async",
            "zmtp Command|||PONG ok async",
        ]
    );
    // Two frames there, three back: heads of two bytes each.
    assert_eq!((sessions[4].request_bytes, sessions[4].response_bytes), (14, 10));
    assert_eq!((sessions[5].request_bytes, sessions[5].response_bytes), (2 + 309, 5));
    assert_eq!(sessions[4].fields.version, "3.1");
}

#[test]
fn publishes() {
    let sessions = play(&[
        s(greeting("NULL")),
        c(greeting("NULL")),
        s(ready("PUB")),
        c([ready("SUB"), command("SUBSCRIBE", b"sports"), frame(0, b"\x01news")].concat()),
        s([frame(1, b"sports"), frame(0, b"3:0")].concat()),
        c(frame(0, b"\0news")),
    ]);
    assert_eq!(
        lines(&sessions)[4..],
        [
            "zmtp Command||sports|SUBSCRIBE ok async",
            "zmtp Message||news|SUBSCRIBE ok async",
            "zmtp Message||sports|sports ok async",
            "zmtp Message||news|CANCEL ok async",
        ]
    );
}

#[test]
fn wrong_password() {
    let sessions = play(&[
        c(greeting("PLAIN")),
        s(greeting("PLAIN")),
        c(command("HELLO", b"\x05admin\x06secret")),
        s(command("ERROR", b"\x03400")),
    ]);
    assert_eq!(
        lines(&sessions)[2..],
        ["zmtp Command|||HELLO ok async", "zmtp Command|||ERROR server_error '400' async"]
    );
    assert!(!format!("{sessions:?}").contains("secret"));
    // As libzmq says it, in nine bytes.
    let sessions = play(&[c(greeting("PLAIN")), s(greeting("PLAIN")), s(frame(4, b"^RROR\x03400"))]);
    assert_eq!(lines(&sessions)[2..], ["zmtp Command|||ERROR server_error '400' async"]);
}

#[test]
fn version_2() {
    // Signature, revision 1, kind of socket (8: PUSH, 7: PULL), an empty identity.
    let sessions = play(&[
        c([hex("ff 00 00 00 00 00 00 00 01 7f 01 08"), hex("00 00")].concat()),
        s([hex("ff 00 00 00 00 00 00 00 01 7f 01 07"), hex("00 00")].concat()),
        c(frame(0, b"work")),
    ]);
    assert_eq!(lines(&sessions)[2..], ["zmtp Message||| ok async"]);
    assert_eq!(sessions[2].fields.version, "2.0");
}
