use super::super::script::{c, lines, play, s};
use crate::model::Side;

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
