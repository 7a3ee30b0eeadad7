use super::super::script::{c, lines, play, play_prefix, s};
use crate::model::Side;

fn variables(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&u16::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat();
    let body: Vec<u8> = pairs.iter().flat_map(|(name, value)| [text(name), text(value)].concat()).collect();
    let length = u16::try_from(body.len()).unwrap().to_le_bytes();
    [&[0, length[0], length[1], 0][..], &body].concat()
}

fn asked(method: &str, path: &str, length: &str) -> Vec<u8> {
    variables(&[
        ("QUERY_STRING", ""),
        ("REQUEST_METHOD", method),
        ("CONTENT_LENGTH", length),
        ("REQUEST_URI", path),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("HTTP_HOST", "shop"),
        ("HTTP_COOKIE", "sid=1"),
        ("HTTP_USER_AGENT", "wget"),
        ("HTTP_X_REQUEST_ID", "r1"),
    ])
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c(asked("POST", "/a/b/c?x=1&token=abc", "5")),
        c("hello"),
        s("HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n"),
        s("done"),
        c(asked("GET", "/none", "")),
        s("HTTP/1.1 404 Not Found\r\n\r\nuntil the end"),
        s(", whatever comes"),
    ]
}

#[test]
fn requests_and_responses() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        ["uwsgi POST|shop|/a/b/c?x=1&token=***|/a/b ok 201", "uwsgi GET|shop|/none|/none client_error 404",]
    );
    let first = &sessions[0];
    assert_eq!((&*first.fields.x_request_id, &*first.fields.user_agent, first.fields.version), ("r1", "wget", "1.1"));
    // Four bytes in front, four of lengths around each variable; names are 118 bytes, values 4 + 1 + 20 + 8 + 4 + 5 + 4 + 2; and the body.
    assert_eq!(first.request_bytes, 4 + 36 + 118 + 48 + 5);
    assert_eq!(first.response_bytes, 22 + 26 + 19 + 2 + 4);
    // Turns 1 and 2 ask, turns 3 and 4 answer.
    assert_eq!((first.request_ts, first.request_end_ts), (Some(0), Some(1_000_000)));
    assert_eq!((first.first_byte_ts, first.response_ts), (Some(2_000_000), Some(3_000_000)));
    assert_eq!(sessions[1].response_ts, Some(6_000_000));
}

/// uWSGI reads the head of a packet by itself; of long packets and bodies only a part is kept.
#[test]
fn read_in_two_and_cut() {
    let agent = "x".repeat(600);
    let packet =
        variables(&[("REQUEST_METHOD", "PUT"), ("CONTENT_LENGTH", "900"), ("REQUEST_URI", "/u"), ("HTTP_A", &agent)]);
    let script = [
        c(&packet[..4]),
        c(&packet[4..]),
        c([b'b'; 900]),
        s([&b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2000\r\n\r\n"[..], &[b'z'; 2000]].concat()),
    ];
    let sessions = play_prefix(8100, 512, &script);
    assert_eq!(lines(&sessions), ["uwsgi PUT||/u|/u server_error 500 [truncated_payload]"]);
    assert_eq!((sessions[0].request_bytes, sessions[0].response_bytes), (packet.len() as u64 + 900, 2060));
}

#[test]
fn others_are_no_packets() {
    // Kafka, MySQL, SMB over NetBIOS, a length and text.
    for bytes in [
        &b"\0\0\0\x2c\0\x12\0\x03\0\0\0\x01"[..],
        b"\x4a\0\0\0\x0a5.7.1\0abcdefgh",
        b"\0\0\0\x45\xffSMBr\0\0\0\0\x18\x53\xc8",
        b"\0\x40\0\0\x05\0hello\x03\0abc",
    ] {
        assert!(play(&[c(bytes), s(b"x")]).iter().all(|session| session.fields.l7_protocol != "uwsgi"));
    }
}
