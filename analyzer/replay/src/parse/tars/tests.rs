use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn packet(body: &[Vec<u8>]) -> Vec<u8> {
    let body = body.concat();
    [(body.len() as u32 + 4).to_be_bytes().to_vec(), body].concat()
}

fn text(tag: u8, text: &str) -> Vec<u8> {
    [&[tag << 4 | 6, text.len() as u8][..], text.as_bytes()].concat()
}

/// Version 1, the packet's kind, message kind 0, id.
fn call(kind: &str, id: u8, method: &str, context: &[u8]) -> Vec<u8> {
    let head = [hex("10 01"), hex(kind), hex("3c 40"), vec![id]].concat();
    // Four bytes of arguments; a timeout of 3000 ms.
    packet(&[
        head,
        text(5, "Shop.Stock.StockObj"),
        text(6, method),
        hex("7d 00 00 04 01 02 03 04 81 0b b8"),
        context.to_vec(),
        hex("a8 0c"),
    ])
}

fn answer(id: u8, code: &str, more: &[u8]) -> Vec<u8> {
    packet(&[hex("10 01 2c 30"), vec![id], hex("4c"), hex(code), hex("6d 00 0c 78 0c"), more.to_vec()])
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let context = [hex("98 00 01"), text(0, "traceparent"), text(1, trace)].concat();
    vec![
        c([call("2c", 15, "get", &context), call("2c", 16, "drop", &hex("98 0c"))].concat()),
        // -3: no such function; -7: timeout, told in words.
        s([answer(16, "50 fd", &[]), answer(15, "5c", &[])].concat()),
        c([call("20 01", 17, "log", &hex("98 0c")), call("2c", 18, "get", &hex("98 0c"))].concat()),
        s(answer(18, "50 f9", &text(8, "slow store"))),
    ]
}

#[test]
fn calls() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "tars drop||Shop.Stock.StockObj|Shop.Stock.StockObj/drop client_error -3 'no such function'",
            "tars get||Shop.Stock.StockObj|Shop.Stock.StockObj/get ok 0",
            "tars log||Shop.Stock.StockObj|Shop.Stock.StockObj/log unknown async",
            "tars get||Shop.Stock.StockObj|Shop.Stock.StockObj/get server_error -7 'slow store'",
        ]
    );
    assert_eq!(&*sessions[1].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!((sessions[1].fields.session_id, sessions[1].fields.version), (Some(15), "1"));
}

#[test]
fn joined_at_an_answer() {
    assert_eq!(lines(&play(&sample()[1..2])).len(), 2);
}
