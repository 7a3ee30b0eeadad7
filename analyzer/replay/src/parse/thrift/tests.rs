use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn framed(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn binary(kind: u8, name: &str, sequence: u8, body: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[0x80, 1, 0, kind, 0, 0, 0, length], name.as_bytes(), &[0, 0, 0, sequence], &hex(body)].concat()
}

fn compact(kind: u8, name: &str, sequence: u8, body: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [&[0x82, kind << 5 | 1, sequence, length], name.as_bytes(), &hex(body)].concat()
}

/// Unframed binary: all kinds of values must be passed over.
pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let values = [
        "02 0001 01",
        "03 0002 05",
        "04 0003 0000000000000000",
        "06 0004 0001",
        "08 0005 00000001",
        "0a 0006 0000000000000001",
        "0b 0007 00000002 6869",
        "0c 0008 08 0001 00000001 00",
        "0d 0009 0b 08 00000001 00000001 61 00000001",
        "0e 000a 0b 00000001 00000001 61",
        "0f 000b 02 00000003 010101",
        "0f 000c 0c 00000002 00 00",
        "00",
    ];
    vec![
        c([binary(1, "get", 1, &values.concat()), binary(4, "log", 2, "00")].concat()),
        c(binary(1, "svc:put", 3, "00")),
        s([binary(2, "put", 3, "0c 0001 0b 0001 00000001 78 00 00"), binary(2, "get", 1, "08 0000 00000001 00")]
            .concat()),
        c(binary(1, "no", 4, "00")),
        s(binary(3, "no", 4, "0b 0001 00000003 626164 08 0002 00000001 00")),
    ]
}

#[test]
fn binary_without_frames() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "thrift log|||log unknown async",
            "thrift put||svc|svc/put server_error",
            "thrift get|||get ok",
            "thrift no|||no client_error 1 'bad'",
        ]
    );
    assert_eq!(sessions[3].response_bytes, 14 + 10 + 7 + 1);
}

#[test]
fn compact_with_frames() {
    // A text, a true, a list of two numbers, a map of texts to numbers, an empty map, a struct with a long field id.
    let values = "18 02 6869 11 19 25 02 04 1b 01 85 01 61 02 1b 00 1c 05 64 02 00 00";
    let script = [
        c(framed(&compact(1, "get", 1, values))),
        s(framed(&compact(2, "get", 1, "05 00 02 00"))),
        c(framed(&compact(1, "no", 2, "00"))),
        s(framed(&compact(3, "no", 2, "18 03 626164 15 0c 00"))),
    ];
    let expected = ["thrift get|||get ok", "thrift no|||no server_error 6 'bad'"];
    assert_eq!(lines(&play(&script)), expected);
    let bare: Vec<_> = script.iter().map(|(side, bytes)| (*side, bytes[4..].to_vec())).collect();
    assert_eq!(lines(&play(&bare)), expected);
}

#[test]
fn header_transport() {
    let trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    // Compact protocol, no transforms, one header; filled up to a multiple of four.
    let mut info = hex("02 00 01 01 0b");
    info.extend(b"traceparent\x37");
    info.extend(trace);
    info.resize(info.len().next_multiple_of(4), 0);
    let wrap = |info: &[u8], message: &[u8]| {
        let words = u16::try_from(info.len() / 4).unwrap().to_be_bytes();
        framed(&[&hex("0fff 0000 00000001")[..], &words, info, message].concat())
    };
    let sessions =
        play(&[c(wrap(&info, &compact(1, "get", 1, "00"))), s(wrap(&hex("02000000"), &compact(2, "get", 1, "00")))]);
    assert_eq!(lines(&sessions), ["thrift get|||get ok"]);
    assert_eq!(&*sessions[0].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(sessions[0].request_bytes, 4 + 10 + info.len() as u64 + 8);
}
