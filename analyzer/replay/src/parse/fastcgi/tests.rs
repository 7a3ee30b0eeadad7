use super::super::script::{c, lines, play, play_prefix, s};
use crate::model::Side;

fn record(kind: u8, id: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    // Two bytes of padding.
    [&[1, kind, 0, id, length[0], length[1], 2, 0], body, &[0, 0]].concat()
}

fn params(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in pairs {
        bytes.push(u8::try_from(name.len()).unwrap());
        match u8::try_from(value.len()) {
            Ok(short @ ..128) => bytes.push(short),
            _ => bytes.extend((0x8000_0000 | u32::try_from(value.len()).unwrap()).to_be_bytes()),
        }
        bytes.extend(name.as_bytes());
        bytes.extend(value.as_bytes());
    }
    bytes
}

const BEGIN: [u8; 8] = [0, 1, 1, 0, 0, 0, 0, 0];

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let agent = "x".repeat(200);
    let first = params(&[
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/a/b/c?token=1"),
        ("HTTP_HOST", "h"),
        ("HTTP_USER_AGENT", &agent),
        ("HTTP_X_REQUEST_ID", "r1"),
    ]);
    let second = params(&[("REQUEST_METHOD", "POST"), ("SCRIPT_NAME", "/s.php"), ("SERVER_NAME", "v")]);
    vec![
        c([record(1, 1, &BEGIN), record(4, 1, &first[..30]), record(4, 1, &first[30..]), record(4, 1, b"")].concat()),
        c([record(5, 1, b""), record(1, 2, &BEGIN), record(4, 2, &second), record(4, 2, b""), record(5, 2, b"in")]
            .concat()),
        c(record(5, 2, b"")),
        s([
            record(6, 2, b"Status: 404 Not Found\r\nContent-type: text/html\r\n\r\n"),
            record(7, 1, b"PHP message: x"),
            record(6, 1, b"Content-type: text/html\r\n\r\nStatus: 500"),
        ]
        .concat()),
        s([record(6, 2, b""), record(3, 2, &[0; 8]), record(6, 1, &[b'y'; 5000]), record(3, 1, &[0; 8])].concat()),
        // Refused before the input has come.
        c([record(1, 1, &BEGIN), record(4, 1, &second)].concat()),
        s(record(3, 1, &[0, 0, 0, 0, 2, 0, 0, 0])),
    ]
}

#[test]
fn requests_by_id() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "fastcgi POST|v|/s.php|/s.php client_error 404",
            "fastcgi GET|h|/a/b/c?token=***|/a/b ok 200 'PHP message: x'",
            "fastcgi POST|v|/s.php|/s.php server_error 2 'FCGI_OVERLOADED'",
        ]
    );
    assert_eq!(&*sessions[1].fields.x_request_id, "r1");
    // 14, 38, 5000 and 8 bytes in four records with ten bytes around each.
    assert_eq!(sessions[1].response_bytes, 14 + 38 + 5000 + 8 + 40);
}

#[test]
fn output_without_end() {
    let asked = [record(1, 1, &BEGIN), record(4, 1, &params(&[("REQUEST_METHOD", "GET")])), record(5, 1, b"")].concat();
    let script = [c(asked), s(record(6, 1, b"Status: 503 Busy\r\n\r\n"))];
    assert_eq!(lines(&play(&script)), ["fastcgi GET||| server_error 503 [truncated_payload]"]);
}

/// A kept connection, where the end of a large answer lies beyond what is kept of a call: the next request shows that it is over.
#[test]
fn the_next_request_ends_what_was_cut() {
    let asked = |path| {
        let params = params(&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", path)]);
        [record(1, 1, &[0, 1, 1, 0, 0, 0, 0, 0]), record(4, 1, &params), record(4, 1, b""), record(5, 1, b"")].concat()
    };
    let head = b"Content-type: text/html\r\n\r\n";
    let large =
        [record(6, 1, &[&head[..], &[b'y'; 3000]].concat()), record(6, 1, &[b'y'; 2000]), record(3, 1, &[0; 8])];
    let small = [record(6, 1, head), record(6, 1, b""), record(3, 1, &[0; 8])];
    let script = [c(asked("/one")), s(large.concat()), c(asked("/two")), s(small.concat()), c(asked("/three"))];
    let sessions = play_prefix(9000, 200, &script);
    assert_eq!(
        lines(&sessions),
        [
            "fastcgi GET||/one|/one ok 200 [truncated_payload]",
            "fastcgi GET||/two|/two ok 200",
            "fastcgi GET||/three|/three unknown [ended_after]",
        ]
    );
    assert_eq!((sessions[0].request_ts, sessions[0].response_ts), (Some(0), Some(1_000_000)));
    assert_eq!((sessions[1].request_ts, sessions[1].response_ts), (Some(2_000_000), Some(3_000_000)));
}
