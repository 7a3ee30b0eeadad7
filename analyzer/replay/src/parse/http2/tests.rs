use super::super::script::{c, hex, lines, play, play_prefix, s};
use crate::model::Side;

fn frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags, 0, 0, 0, stream]);
    bytes.extend(body);
    bytes
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0x40, u8::try_from(name.len()).unwrap()];
    bytes.extend(name.as_bytes());
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend(value.as_bytes());
    bytes
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let settings = frame(4, 0, 0, &[]);
    // GET, path literal, :authority www.example.com from RFC 7541 C.4.1.
    let get = [vec![0x82], literal(":path", "/a/b/c?key=1"), hex("418cf1e3c2e5f23a6ba0ab90f4ff")].concat();
    // POST, the authority by index (now the second newest).
    let post =
        [vec![0x83], literal(":path", "/pkg.Greeter/Hello"), vec![0xbf], literal("content-type", "application/grpc")]
            .concat();
    let ok = [vec![0x88], literal("content-type", "application/grpc")].concat();
    let trailers = [literal("grpc-status", "5"), literal("grpc-message", "nobody")].concat();
    vec![
        c([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), settings.clone(), frame(1, 5, 1, &get)].concat()),
        s([settings, frame(4, 1, 0, &[])].concat()),
        c([frame(1, 4, 3, &post), frame(0, 1, 3, b"\0\0\0\0\x02hi")].concat()),
        // Stream 3 is answered first.
        s([frame(1, 4, 3, &ok), frame(0, 0, 3, b"\0\0\0\0\0"), frame(1, 5, 3, &trailers)].concat()),
        s([frame(1, 4, 1, &[0x8d]), frame(0, 1, 1, b"gone")].concat()),
    ]
}

#[test]
fn streams_and_grpc() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "grpc POST|www.example.com|pkg.Greeter|/pkg.Greeter/Hello client_error 5 'nobody'",
            "http2 GET|www.example.com|/a/b/c?key=***|/a/b client_error 404",
        ]
    );
    assert_eq!(sessions[0].fields.session_id, Some(3));
    assert_eq!(sessions[1].request_ts, Some(0));
    assert_eq!(sessions[1].response_ts, Some(4_000_000));
}

#[test]
fn joined_in_the_middle() {
    let mut script = sample();
    script.remove(0);
    let sessions = play(&script);
    // The authority was sent before; the rest is there.
    assert_eq!(lines(&sessions)[0], "grpc POST||pkg.Greeter|/pkg.Greeter/Hello client_error 5 'nobody'");
}

#[test]
fn resets() {
    let mut script = sample();
    script.truncate(3);
    script.push(s(frame(3, 0, 3, &[0, 0, 0, 7])));
    let sessions = play(&script);
    assert_eq!(
        lines(&sessions)[0],
        "grpc POST|www.example.com|pkg.Greeter|/pkg.Greeter/Hello server_error 'stream reset by the server: REFUSED_STREAM'"
    );
}

#[test]
fn pushed_requests_are_said_by_the_server() {
    let mut script = sample();
    let promised = [vec![0, 0, 0, 2, 0x82], literal(":path", "/style.css"), literal(":authority", "h")].concat();
    script.push(s(frame(5, 4, 1, &promised)));
    script.push(s(frame(1, 5, 2, &[0x88])));
    let sessions = play(&script);
    assert_eq!(lines(&sessions)[2], "http2 GET|h|/style.css|/style.css ok 200");
    assert!(sessions[2].fields.attributes.contains(&("pushed", "1".into())));
    assert_eq!((sessions[2].request_ts, sessions[2].response_ts), (Some(5_000_000), Some(6_000_000)));
}

#[test]
fn upgraded_from_http_1() {
    let request = "GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let settings = frame(4, 0, 0, &[]);
    let get = [vec![0x82], literal(":path", "/y"), literal(":authority", "h")].concat();
    let sessions = play(&[
        c(request),
        s([&switching[..], &settings, &frame(1, 5, 1, &[0x88])].concat()),
        c([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), settings, frame(1, 5, 3, &get)].concat()),
        s(frame(1, 5, 3, &[0x8d])),
    ]);
    assert_eq!(lines(&sessions), ["http2 GET|h|/x|/x ok 200", "http2 GET|h|/y|/y client_error 404"]);
    assert_eq!(sessions[0].request_bytes, request.len() as u64);
}

/// Whether a call went well is in its trailers. `200` says only that the server speaks gRPC.
#[test]
fn a_call_without_its_status_is_not_known_to_be_ok() {
    let call =
        [vec![0x83], literal(":path", "/pkg.Greeter/Hello"), literal("content-type", "application/grpc")].concat();
    let answered = |trailers: &[u8]| {
        lines(&play(&[
            c([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[]), frame(1, 5, 1, &call)].concat()),
            s([frame(1, 4, 1, &[0x88]), frame(0, 0, 1, b"\0\0\0\0\0"), frame(1, 5, 1, trailers)].concat()),
        ]))
    };
    assert_eq!(answered(&literal("grpc-status", "0")), ["grpc POST||pkg.Greeter|/pkg.Greeter/Hello ok 0"]);
    // An entry of the table that was made before anything was captured.
    let unknown = ["grpc POST||pkg.Greeter|/pkg.Greeter/Hello unknown [truncated_payload]"];
    assert_eq!(answered(&[0xbe]), unknown);
}

/// A connection older than the capture: names of trailers refer to what was sent before, values of errors are said anew (RFC 7541, 6.2.1: literal
/// with indexing, name 63 and 64 of the table), and then referred to themselves.
#[test]
fn errors_of_calls_on_an_old_connection() {
    let call =
        [vec![0x83], literal(":path", "/pkg.Greeter/Hello"), literal("content-type", "application/grpc")].concat();
    let error = [vec![0x88, 0x7e, 1], b"5".to_vec(), vec![0x7f, 0x01, 6], b"nobody".to_vec()].concat();
    let asked = |id: u8| c(frame(1, 5, id, &call));
    let sessions = play(&[
        c([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat()),
        asked(1),
        s(frame(1, 5, 1, &error)),
        asked(3),
        s(frame(1, 5, 3, &[0x88, 0xbf, 0xbe])),
        asked(5),
        s([frame(1, 4, 5, &[0x88]), frame(0, 0, 5, b"\0\0\0\0\0"), frame(1, 5, 5, &[0x7e, 1, b'0'])].concat()),
        // Trailers only, with a content type by reference, as grpc-go sends them.
        asked(7),
        s(frame(1, 5, 7, &[0x88, 0xf0, 0x7e, 1, b'5', 0x7e, 1, b'x'])),
        // Nothing but references to what was before; a number that is no status.
        asked(13),
        s(frame(1, 5, 13, &[0x88, 0xf0])),
        asked(15),
        s(frame(1, 5, 15, &[0x88, 0x7e, 2, b'9', b'9'])),
    ]);
    let of = |outcome: &str| format!("grpc POST||pkg.Greeter|/pkg.Greeter/Hello {outcome}");
    let unknown = of("unknown [truncated_payload]");
    assert_eq!(
        lines(&sessions),
        [
            of("client_error 5 'nobody'"),
            of("client_error 5 'nobody'"),
            of("ok 0"),
            of("client_error 5 'x'"),
            unknown.clone(),
            unknown
        ]
    );
}

/// A body that was not captured hides no header block if the client's next stream follows the last one.
#[test]
fn the_table_outlives_a_body_that_was_not_captured() {
    let run = |next: u8| {
        let get = [vec![0x82], literal(":path", "/a/b"), hex("418cf1e3c2e5f23a6ba0ab90f4ff")].concat();
        // Path and authority by their places in the table.
        let again = vec![0x82, 0xbf, 0xbe];
        let sessions = play_prefix(
            50051,
            120,
            &[
                c([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat()),
                c(frame(1, 5, 1, &get)),
                s(frame(1, 5, 1, &[0x88])),
                c([frame(1, 4, 3, &again), frame(0, 0, 3, &[b'x'; 200]), frame(0, 1, 3, &[b'x'; 200])].concat()),
                s(frame(1, 5, 3, &[0x88])),
                c(frame(1, 5, next, &again)),
                s(frame(1, 5, next, &[0x88])),
            ],
        );
        lines(&sessions)
    };
    let (first, cut) = (
        "http2 GET|www.example.com|/a/b|/a/b ok 200",
        "http2 GET|www.example.com|/a/b|/a/b ok 200 [truncated_payload]",
    );
    assert_eq!(run(5), [first, cut, first]);
    // A stream in between was not seen: what its headers put into the table is not known.
    assert_eq!(run(7), [first, cut, "http2 GET||| ok 200"]);
}
