use super::super::script::{c, hex, lines, play_on, s};
use crate::model::{Session, Side, Transport};

/// A record of DTLS 1.2.
fn record(kind: u8, epoch: u8, number: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, number][..], &length, body].concat()
}

fn number(n: usize) -> [u8; 3] {
    [0, u8::try_from(n >> 8).unwrap(), u8::try_from(n & 0xff).unwrap()]
}

/// A piece of a handshake message.
fn piece(kind: u8, message: u8, body: &[u8], from: usize, to: usize) -> Vec<u8> {
    let head = [&[kind][..], &number(body.len()), &[0, message], &number(from), &number(to - from)].concat();
    [&head, &body[from..to]].concat()
}

fn whole(kind: u8, message: u8, body: &[u8]) -> Vec<u8> {
    record(22, 0, message, &piece(kind, message, body, 0, body.len()))
}

/// One cipher; name a.example, groups 29, formats 0.
fn client_hello(cookie: &[u8]) -> Vec<u8> {
    let mut body = hex("fefd");
    body.extend([7; 32]);
    body.push(0);
    body.push(u8::try_from(cookie.len()).unwrap());
    body.extend(cookie);
    body.extend(hex("0002 c02f 0100
         0020 0000 000e 000c 00 0009 612e6578616d706c65
         000a 0004 0002 001d
         000b 0002 0100"));
    body
}

fn server_hello() -> Vec<u8> {
    [hex("fefd"), vec![9; 32], hex("00 c02f 00 0000")].concat()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let again = client_hello(&[5; 20]);
    vec![
        c(whole(1, 0, &client_hello(&[]))),
        s(whole(3, 0, &[&[0xfe, 0xfd, 20][..], &[5; 20]].concat())),
        // In pieces, the second first.
        c(record(22, 0, 1, &piece(1, 1, &again, 40, again.len()))),
        c(record(22, 0, 2, &piece(1, 1, &again, 0, 40))),
        s([whole(2, 1, &server_hello()), whole(14, 2, &[])].concat()),
        c([whole(16, 2, &[0; 66]), record(20, 0, 4, &[1]), record(22, 1, 0, &[8; 40])].concat()),
        s([record(20, 0, 3, &[1]), record(22, 1, 0, &[8; 40])].concat()),
        c(record(23, 1, 1, &[3; 80])),
    ]
}

fn play(script: &[(Side, Vec<u8>)]) -> Vec<Session> {
    play_on(Transport::Udp, 50000, 40001, script)
}

#[test]
fn a_handshake_with_a_cookie() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        ["dtls Handshake|a.example|a.example|a.example ok 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'"]
    );
    let session = &sessions[0];
    assert!(session.is_tls);
    assert_eq!(session.fields.version, "1.2");
    // From the first hello to the end of the server's part.
    assert_eq!((session.request_ts, session.response_ts), (Some(0), Some(4_000_000)));
    // md5 of "65277,49199,0-10-11,29,0"; SHA-256 of "c02f" and of "000a,000b".
    assert!(session.fields.attributes.contains(&("ja3", "2acebb1e51ed6dfa9a523afa0ff1227f".into())));
    assert!(session.fields.attributes.contains(&("ja4", "dd2d010300_f06271c2b022_33a13ba74d1c".into())));
}

#[test]
fn refused() {
    let script = [c(whole(1, 0, &client_hello(&[]))), s(record(21, 0, 0, &[2, 40]))];
    assert_eq!(
        lines(&play(&script)),
        ["dtls Handshake|a.example|a.example|a.example server_error 40 'handshake_failure (40)'"]
    );
}

#[test]
fn two_handshakes_of_the_same_ends() {
    let twice = [sample(), sample()].concat();
    assert_eq!(play(&twice).len(), 2);
}

#[test]
fn other_datagrams() {
    assert!(play(&[c(hex("16 fefd 0000 000000000000 0000"))]).is_empty());
    assert!(play(&[c(hex("16 0303 0000 000000000000 0001 01"))]).is_empty());
}
