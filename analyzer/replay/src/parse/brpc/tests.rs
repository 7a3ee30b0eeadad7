use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

/// Field `number` of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

fn message(meta: &[u8], payload: &[u8]) -> Vec<u8> {
    let size = |len: usize| u32::try_from(len).unwrap().to_be_bytes();
    [&b"PRPC"[..], &size(meta.len() + payload.len()), &size(meta.len()), meta, payload].concat()
}

fn call(id: u8, method: &[u8], more: &[u8]) -> Vec<u8> {
    let request = [field(1, b"shop.Orders"), field(2, method), hex("18 07 20 63 28 64 30 65")].concat();
    message(&[field(1, &request), vec![0x20, id], more.to_vec()].concat(), b"\x0a\x05hello")
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let baggage = [field(1, b"traceparent"), field(2, b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    vec![
        c([call(1, b"Get", &[]), call(2, b"Put", &field(9, &baggage.concat()))].concat()),
        // 0x7d1 = 2001, EINTERNAL; its bytes as a varint: d1 0f.
        s(message(&[field(2, &[hex("08 d1 0f"), field(2, b"no disk")].concat()), vec![0x20, 2]].concat(), &[])),
        s(message(&[field(2, &hex("08 00")), vec![0x20, 1]].concat(), b"\x0a\x02hi")),
        c(call(3, b"Nope", &[])),
        // 1002, ENOMETHOD.
        s(message(&[field(2, &[hex("08 ea 07"), field(2, b"no such method")].concat()), vec![0x20, 3]].concat(), &[])),
        // A stream's frame, then a success that is told by saying nothing.
        c([&b"STRM\0\0\0\x05\0\0\0\x02\x08\x01abc"[..], &call(4, b"Get", &[])].concat()),
        s(message(&hex("20 04"), &[])),
    ]
}

#[test]
fn calls() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "brpc Put||shop.Orders|shop.Orders/Put server_error 2001 'no disk'",
            "brpc Get||shop.Orders|shop.Orders/Get ok 0",
            "brpc Nope||shop.Orders|shop.Orders/Nope client_error 1002 'no such method'",
            "brpc Stream||| unknown async",
            "brpc Get||shop.Orders|shop.Orders/Get ok 0",
        ]
    );
    assert_eq!(&*sessions[0].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    let get = &sessions[1].fields;
    assert_eq!((&*get.trace_id, &*get.span_id, &*get.parent_span_id), ("99", "100", "101"));
    assert_eq!(get.session_id, Some(1));
}

#[test]
fn joined_at_an_answer() {
    let sessions = play(&sample()[1..4]);
    let expected = "brpc Nope||shop.Orders|shop.Orders/Nope unknown [ended_after]";
    assert!(lines(&sessions).contains(&expected.to_owned()), "{:#?}", lines(&sessions));
}
