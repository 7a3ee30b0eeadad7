use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn sized(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}

/// 2 card, 3 processing, 4 amount, 11 trace, 37 reference, 41 terminal: bits 1 1 1 and so on, counted from the left.
fn ask(kind: &str, trace: &str) -> Vec<u8> {
    let map = hex("70 20 00 00 08 80 00 00");
    let text = format!("166222020000001234{}{}{trace}REF000000001TERM0001", "000000", "000000001000");
    sized(&[kind.as_bytes(), &map, text.as_bytes()].concat())
}

/// 3, 11, 39.
fn answer(kind: &str, trace: &str, code: &str) -> Vec<u8> {
    sized(&[kind.as_bytes(), &hex("20 20 00 00 02 00 00 00"), format!("000000{trace}{code}").as_bytes()].concat())
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    // Packed, behind a TPDU and a head: 3, 11, 41; then the answer, with 39.
    let head = hex("60 00 03 00 00 60 22 00 00 00 00");
    let packed = [head.clone(), hex("02 00 20 20 00 00 00 80 00 00 00 30 00 00 00 09"), b"TERM0001".to_vec()].concat();
    let back = [head, hex("02 10 20 20 00 00 02 00 00 00 00 30 00 00 00 09"), b"91".to_vec()].concat();
    vec![
        c([ask("0200", "000007"), ask("0200", "000008")].concat()),
        s([answer("0210", "000008", "51"), answer("0210", "000007", "00")].concat()),
        c(sized(&packed)),
        s(sized(&back)),
        c(ask("0240", "000010")),
    ]
}

#[test]
fn payments() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "iso8583 0200||000000|Financial client_error 51 '51: not sufficient funds'",
            "iso8583 0200||000000|Financial ok 0",
            "iso8583 0200||003000|Financial server_error 91 '91: issuer or switch inoperative'",
            "iso8583 0240||000000|Financial unknown async",
        ]
    );
    assert_eq!(sessions[1].fields.session_id, Some(7));
    assert!(sessions[0].fields.attributes.contains(&("card", "***1234".into())));
    assert!(!format!("{sessions:?}").contains("622202"));
}

#[test]
fn union_pay() {
    let mut head = vec![0x2e, 0x82];
    head.resize(46, b'0');
    let body = [
        head,
        b"0800".to_vec(),
        hex("82 20 00 00 00 00 00 00 04 00 00 00 00 00 00 00"),
        b"1123093000000001301".to_vec(),
    ]
    .concat();
    let bytes = [format!("{:04}", body.len()).into_bytes(), body].concat();
    // 1 for the second map, 7 (ten digits), 11, 70: two elements and a network code.
    assert_eq!(lines(&play(&[c(bytes)])), ["iso8583 0800||301|NetworkManagement unknown [ended_after]"]);
}

#[test]
fn others_are_not_taken() {
    // One byte more than the elements fill.
    let mut bytes = ask("0200", "000007");
    bytes.push(b'0');
    bytes[1] += 1;
    assert!(play(&[c(bytes)]).is_empty());
}
