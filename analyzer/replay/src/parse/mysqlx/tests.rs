use super::super::script::{c, lines, play, s};
use crate::model::Side;

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len() + 1).unwrap().to_le_bytes()[..], &[kind], body].concat()
}

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// An unsigned field.
fn count(number: u8, value: u8) -> Vec<u8> {
    assert!(value < 128);
    vec![number << 3, value]
}

fn error(code: u16, state: &str, text: &str) -> Vec<u8> {
    let code = [0x10, u8::try_from(code & 0x7f | 0x80).unwrap(), u8::try_from(code >> 7).unwrap()];
    frame(1, &[&[8, 0][..], &code, &field(3, text.as_bytes()), &field(4, state.as_bytes())].concat())
}

fn statement(text: &str) -> Vec<u8> {
    frame(12, &[field(3, b"sql"), field(1, text.as_bytes())].concat())
}

/// `SessionStateChanged` of ROWS_AFFECTED.
fn affected(rows: u8) -> Vec<u8> {
    let change = [count(1, 4), field(2, &[count(1, 2), count(3, rows)].concat())].concat();
    frame(11, &[count(1, 3), count(2, 2), field(3, &change)].concat())
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let orders = [field(1, b"orders"), field(2, b"shop")].concat();
    let row = frame(13, &field(1, b"\x02"));
    let rows = [frame(12, &count(1, 1)), row.clone(), row, frame(14, &[]), frame(17, &[])].concat();
    vec![
        s(frame(11, &[8, 5, 26, 0])),
        c(frame(1, &[])),
        s(frame(2, &field(1, &field(1, b"tls")))),
        c(frame(4, &[field(1, b"MYSQL41"), field(2, b"")].concat())),
        s(frame(3, &field(1, &[7; 20]))),
        c(frame(5, &field(1, b"\0root\0*1234"))),
        s([frame(11, &[8, 3, 26, 0]), frame(4, &[])].concat()),
        c(statement("SELECT name FROM items WHERE id = 4711")),
        s(rows),
        // Two in a row.
        c([statement("UPDATE items SET n = 1 WHERE id = 'x'"), statement("SELEC 1")].concat()),
        s([affected(3), frame(17, &[]), error(1064, "42000", "near 'SELEC 1' at line 1")].concat()),
        c(frame(17, &[field(2, &orders), count(3, 1)].concat())),
        s([frame(12, &count(1, 7)), frame(14, &[]), frame(17, &[])].concat()),
        c(frame(40, &[count(1, 9), field(2, &[count(1, 3), field(5, &field(1, &orders))].concat())].concat())),
        s(frame(0, &[])),
        c(frame(41, &count(1, 9))),
        s([affected(1), frame(17, &[])].concat()),
        c(frame(42, &count(1, 9))),
        s(frame(0, &field(1, b"ok"))),
        c(frame(3, &[])),
        s(frame(0, &field(1, b"bye!"))),
    ]
}

#[test]
fn statements_and_collections() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "mysqlx Notice||| ok async",
            "mysqlx CapabilitiesGet||| ok",
            "mysqlx AuthenticateStart||| ok",
            "mysqlx AuthenticateContinue||| ok",
            "mysqlx StmtExecute||SELECT name FROM items WHERE id = ?|SELECT items ok rows=2",
            "mysqlx StmtExecute||UPDATE items SET n = ? WHERE id = ?|UPDATE items ok rows=3",
            "mysqlx StmtExecute||SELEC ?|SELEC server_error 1064 'near '***' at line 1'",
            "mysqlx Find||shop.orders|SELECT shop.orders ok rows=0",
            "mysqlx Prepare||shop.orders|DELETE shop.orders ok",
            "mysqlx Execute||shop.orders|DELETE shop.orders ok rows=1",
            "mysqlx Deallocate||shop.orders|DELETE shop.orders ok",
            "mysqlx Close||| ok",
        ]
    );
    let sqlstate = sessions[6].fields.attributes.iter().find(|(name, _)| *name == "sqlstate");
    assert_eq!(sqlstate, Some(&("sqlstate", "42000".into())));
    // The answer in five messages of 7, 8, 8, 5 and 5 bytes.
    assert_eq!(sessions[4].response_bytes, 33);
}

#[test]
fn tls_that_is_asked_for() {
    let set = [field(1, b"tls"), field(2, &[8, 1])].concat();
    let mut script = vec![c(frame(2, &field(1, &field(1, &set)))), s(frame(0, &[]))];
    script.extend(super::super::tls::tests::sample());
    assert_eq!(
        lines(&play(&script)),
        ["mysqlx CapabilitiesSet||| ok", "tls Handshake|a.example|a.example|a.example ok 'TLS_AES_128_GCM_SHA256'"]
    );
    // Refused: what follows is as before.
    let refused = [script[0].clone(), s(error(5001, "HY000", "no")), c(frame(1, &[])), s(frame(2, &[]))];
    assert_eq!(
        lines(&play(&refused)),
        ["mysqlx CapabilitiesSet||| server_error 5001 'no'", "mysqlx CapabilitiesGet||| ok"]
    );
}
