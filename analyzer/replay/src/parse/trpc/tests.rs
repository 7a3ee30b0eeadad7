use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

fn frame(kind: [u8; 2], stream: u32, meta: &[u8], body: &[u8]) -> Vec<u8> {
    let total = (16 + meta.len() + body.len()) as u32;
    [
        &[9, 0x30][..],
        &kind,
        &total.to_be_bytes(),
        &(meta.len() as u16).to_be_bytes(),
        &stream.to_be_bytes(),
        &[0, 0],
        meta,
        body,
    ]
    .concat()
}

fn call(id: u8, kind: u8, func: &str) -> Vec<u8> {
    let pair =
        [field(1, b"traceparent"), field(2, b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")].concat();
    let names = [field(5, b"trpc.web.front"), field(6, b"trpc.shop.stock"), field(7, func.as_bytes()), field(9, &pair)]
        .concat();
    // Kind of call, id, a time-out of 1000 ms.
    frame([0, 0], 0, &[vec![0x10, kind, 0x18, id, 0x20, 0xe8, 0x07], names].concat(), b"\x0a\x05hello")
}

fn answer(meta: &[u8]) -> Vec<u8> {
    frame([0, 0], 0, meta, b"\x0a\x02hi")
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c([call(1, 0, "/shop.Stock/Get"), call(2, 0, "/shop.Stock/Nope")].concat()),
        s([answer(&[hex("18 02 20 0c"), field(6, b"no such func")].concat()), answer(&hex("18 01"))].concat()),
        c([call(3, 1, "/shop.Stock/Log"), call(4, 0, "/shop.Stock/Get")].concat()),
        // The framework is content, what was called is not: 5, an int32.
        s(answer(&[hex("18 04 28 05"), field(6, b"sold out")].concat())),
        c([frame([1, 1], 100, &field(1, &field(3, b"/shop.Stock/Watch")), &[]), frame([1, 2], 100, &[], b"data")]
            .concat()),
        s(frame([1, 1], 100, &field(2, &hex("08 00")), &[])),
        s(frame([1, 4], 100, &[hex("08 01 10 65"), field(3, b"late")].concat(), &[])),
    ]
}

#[test]
fn calls_and_streams() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "trpc Nope|trpc.shop.stock|shop.Stock|shop.Stock/Nope client_error 12 'no such func'",
            "trpc Get|trpc.shop.stock|shop.Stock|shop.Stock/Get ok 0",
            "trpc Log|trpc.shop.stock|shop.Stock|shop.Stock/Log unknown async",
            "trpc Get|trpc.shop.stock|shop.Stock|shop.Stock/Get server_error 5 'sold out'",
            "trpc Watch||shop.Stock|shop.Stock/Watch ok 0",
            "trpc StreamReset||| server_error 101 'late' async",
        ]
    );
    assert_eq!(&*sessions[1].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(sessions[1].fields.session_id, Some(1));
}

#[test]
fn joined_at_an_answer() {
    assert_eq!(lines(&play(&sample()[1..2])).len(), 2);
}
