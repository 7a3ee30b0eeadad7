use super::super::script::{c, lines, play, play_prefix, s};
use crate::model::{Session, Side};

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c("GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        s(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"),
        // RFC 6455 section 5.7: a masked "Hello".
        c(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        // Fragments of one message, a ping between them.
        s(b"\x01\x03Hel\x89\x00\x80\x02lo"),
        s(b"\x88\x02\x03\xe8"),
    ]
}

#[test]
fn after_an_upgrade() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "http GET|h|/chat|/chat ok 101",
            "websocket text||| ok async",
            "websocket text||| ok async",
            "websocket ping||| ok async",
            "websocket text||| ok async",
            "websocket close||| ok 1000 async",
        ]
    );
    assert_eq!(sessions[4].request_bytes, 9);
}

fn frame(side: Side, first: u8, body: &[u8]) -> (Side, Vec<u8>) {
    let mask = if side == Side::Client { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match body.len() {
        len @ 0..126 => bytes.push(mask | u8::try_from(len).unwrap()),
        len => {
            bytes.push(mask | 126);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
    }
    let key = [0x37, 0xfa, 0x21, 0x3d];
    if side == Side::Client {
        bytes.extend(key);
        bytes.extend(body.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    } else {
        bytes.extend(body);
    }
    (side, bytes)
}

/// MQTT 3.1.1 section 6: control packets in binary frames, whose borders mean nothing.
pub(in crate::parse) fn mqtt_sample() -> Vec<(Side, Vec<u8>)> {
    let (client, server) =
        (|first, body: &[u8]| frame(Side::Client, first, body), |body: &[u8]| frame(Side::Server, 0x82, body));
    let connect = b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06sensor";
    let subscribe = b"\x82\x08\0\x01\0\x03a/b\x01";
    let publish = [&b"\x32\xb3\x01\0\x03a/b\0\x02"[..], &[b'v'; 172]].concat();
    vec![
        c("GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"),
        s(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
        client(0x82, connect),
        server(b"\x20\x02\0\0"),
        // A packet over two frames, with a ping between them; two packets in one frame.
        client(2, &subscribe[..4]),
        client(0x89, b""),
        client(0x80, &subscribe[4..]),
        server(&[&b"\x90\x03\0\x01\x01"[..], b"\x30\x06\0\x03a/bx"].concat()),
        client(0x82, &publish),
        server(b"\x40\x02\0\x02"),
        client(0x88, b"\x03\xe8"),
    ]
}

#[test]
fn mqtt_inside() {
    let expected = [
        "http GET|h|/mqtt|/mqtt ok 101",
        "mqtt CONNECT|sensor|| ok 0",
        "mqtt SUBSCRIBE|sensor|a/b|a/b ok",
        "mqtt PUBLISH|sensor|a/b|a/b unknown async",
        "mqtt PUBLISH|sensor|a/b|a/b ok",
    ];
    let inner = |mut sessions: Vec<Session>| {
        sessions.retain(|session| session.fields.l7_protocol != "websocket");
        sessions
    };
    let sessions = play(&mqtt_sample());
    // And six messages of WebSocket, one of them in two frames, a ping and a close.
    assert_eq!(sessions.len(), expected.len() + 8);
    let sessions = inner(sessions);
    assert_eq!(lines(&sessions), expected);
    // Sizes and times are those of MQTT's own bytes.
    assert_eq!((sessions[2].request_ts, sessions[2].request_end_ts), (Some(4_000_000), Some(6_000_000)));
    assert_eq!((sessions[2].request_bytes, sessions[2].response_bytes), (10, 5));
    // Frames cut by a snaplen.
    let cut = lines(&inner(play_prefix(80, 120, &mqtt_sample())));
    assert_eq!(cut[..4], expected[..4]);
    assert_eq!(cut[4..], ["mqtt PUBLISH|sensor|a/b|a/b ok [truncated_payload]"]);
}

#[test]
fn tls_of_a_tunnel_inside() {
    let mut script = mqtt_sample()[..2].to_vec();
    for (side, data) in super::super::tls::tests::sample() {
        script.push(frame(side, 0x82, &data));
    }
    let tls = "tls Handshake|a.example|a.example|a.example ok 'TLS_AES_128_GCM_SHA256'";
    let lines = lines(&play(&script));
    assert_eq!(lines.iter().filter(|line| *line == tls).count(), 1, "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("websocket binary")).count(), script.len() - 2);
}
