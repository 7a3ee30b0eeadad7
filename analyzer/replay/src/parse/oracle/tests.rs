use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len() + 8).unwrap().to_be_bytes();
    [&len[..], &[0, 0, kind, 0, 0, 0], body].concat()
}

/// Sizes of four bytes.
fn wide(kind: u8, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], &[kind, 0, 0, 0], body].concat()
}

/// Version 315, the lowest 300; the text's length and place; flags.
fn connect(text: &str, apart: bool) -> Vec<u8> {
    let mut body = hex("013b 012c 0c41 2000 ffff 7f08 0000 0100");
    body.extend((text.len() as u16).to_be_bytes());
    body.extend(58_u16.to_be_bytes());
    body.resize(50, 0);
    if !apart {
        body.extend(text.as_bytes());
        return packet(1, &body);
    }
    [packet(1, &body), packet(6, &[b"\0\0", text.as_bytes()].concat())].concat()
}

const TEXT: &str = "(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=shop.local)(CID=(PROGRAM=orders)(HOST=web1)(USER=app))))";

fn execute(sql: &str) -> Vec<u8> {
    [hex("0000 03 5e 07 02 81 21 00 01 01"), vec![sql.len() as u8], sql.as_bytes().to_vec(), hex("01 01 00 00")]
        .concat()
}

fn error(text: &str) -> Vec<u8> {
    [hex("0000 04 01 05 01 03 00 01"), vec![text.len() as u8], text.as_bytes().to_vec()].concat()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let accept = packet(2, &hex("013b 0c41 0000 0000 0100 0000 0029 4141 0000000000000000 00002000 00200000 00"));
    vec![
        c(connect(TEXT, false)),
        s(packet(11, &[])),
        c(connect(TEXT, false)),
        s(accept),
        c(wide(6, &hex("0000 deadbeef 00200a200100000000"))),
        s(wide(6, &hex("0000 deadbeef 00200a200100000000"))),
        c(wide(6, &hex("0000 01 06 05 04 00 6a00"))),
        s(wide(6, &hex("0000 01 06 00 7800"))),
        c(wide(6, &execute("SELECT name FROM orders WHERE id = 7"))),
        s([wide(6, &[hex("0000 10 17"), vec![7; 300]].concat()), wide(6, &error("ORA-01403: no data found\n"))]
            .concat()),
        // Cursors are closed on the way.
        c(wide(6, &[hex("0000 11 69 08 01 01 01"), execute("insert into t values ('x')")[2..].to_vec()].concat())),
        s(wide(6, &error("ORA-00001: unique constraint (SHOP.T_PK) violated\n"))),
        c(wide(6, &hex("0000 03 0e 09"))),
        s(wide(6, &hex("0000 09 01"))),
        c(wide(6, &hex("0000 03 09 0a"))),
        s(wide(6, &hex("0000 09 01"))),
    ]
}

#[test]
fn a_session() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "oracle Connect|shop.local|shop.local| ok 'resend'",
            "oracle Connect|shop.local|shop.local| ok 'TNS 315'",
            "oracle SecureNetworkServices|shop.local|| ok",
            "oracle SetProtocol|shop.local|| ok",
            "oracle ExecuteAll|shop.local|SELECT name FROM orders WHERE id = ?|SELECT orders ok",
            "oracle ExecuteAll|shop.local|insert into t values (?)|INSERT t client_error 1 'ORA-00001: unique constraint (SHOP.T_PK) violated'",
            "oracle Commit|shop.local|| ok",
            "oracle Logoff|shop.local|| ok",
        ]
    );
    assert_eq!(&*sessions[0].fields.user_agent, "orders");
    // Both packets of the rows.
    assert_eq!(sessions[4].response_bytes, 312 + 43);
}

#[test]
fn refused_and_redirected() {
    let refuse = "(DESCRIPTION=(TMP=)(VSNNUM=0)(ERR=12514)(ERROR_STACK=(ERROR=(CODE=12514)(EMFI=4))))";
    let address = "(ADDRESS=(PROTOCOL=tcp)(HOST=db2)(PORT=1522))";
    let sized = |head: &str, text: &str| {
        [hex(head), (text.len() as u16).to_be_bytes().to_vec(), text.as_bytes().to_vec()].concat()
    };
    let sessions = play(&[c(connect(TEXT, true)), s(packet(4, &sized("2200", refuse)))]);
    assert_eq!(lines(&sessions), ["oracle Connect|shop.local|shop.local| client_error 12514 'ORA-12514'"]);
    let sessions = play(&[c(connect(TEXT, true)), s(packet(5, &sized("", address)))]);
    assert_eq!(lines(&sessions), ["oracle Connect|shop.local|shop.local| ok 'redirected to db2:1522'"]);
}
