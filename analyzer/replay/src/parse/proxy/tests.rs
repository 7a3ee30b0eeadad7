use super::super::script::{c, hex, lines, play, s};
use crate::model::{Session, Side};

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c("PROXY TCP4 192.0.2.7 198.51.100.1 51234 443\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"),
        s("HTTP/1.1 204 No Content\r\n\r\n"),
        c("GET /b HTTP/1.1\r\nHost: h\r\n\r\n"),
        s("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    ]
}

fn client(session: &Session) -> Option<&str> {
    session.fields.attributes.iter().find(|(name, _)| *name == "proxied_client").map(|(_, value)| &**value)
}

#[test]
fn version_1_in_front_of_http() {
    let sessions = play(&sample());
    assert_eq!(lines(&sessions), ["http GET|h|/a|/a ok 204", "http GET|h|/b|/b client_error 404 'Not Found'"]);
    assert!(sessions.iter().all(|session| client(session) == Some("192.0.2.7:51234")));
    // The header is no part of the request: GET to the empty line.
    assert_eq!(sessions[0].request_bytes, 28);
}

#[test]
fn version_2_in_front_of_redis() {
    let header = hex(
        "0d0a0d0a000d0a515549540a 21 21 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 1f90 18eb",
    );
    let script = [c([&header[..], b"*1\r\n$4\r\nPING\r\n"].concat()), s("+PONG\r\n")];
    let sessions = play(&script);
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].fields.l7_protocol, "redis");
    assert_eq!(client(&sessions[0]), Some("[2001:db8::1]:8080"));
}

#[test]
fn in_a_segment_of_its_own_before_a_server_that_speaks_first() {
    let script = [
        c("PROXY TCP6 2001:db8::5 2001:db8::6 1000 25\r\n"),
        s("220 mail.example ESMTP\r\n"),
        c("EHLO x.example\r\n"),
        s("250 mail.example\r\n"),
    ];
    let sessions = play(&script);
    assert_eq!(lines(&sessions)[1], "smtp EHLO|x.example|| ok 250");
    assert_eq!(client(&sessions[1]), Some("[2001:db8::5]:1000"));
}

#[test]
fn unknown_and_local_name_nobody() {
    let sessions = play(&[c("PROXY UNKNOWN\r\nGET / HTTP/1.0\r\n\r\n"), s("HTTP/1.0 200 OK\r\n\r\n")]);
    assert_eq!((sessions.len(), client(&sessions[0])), (1, None));
}
