use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn frame(version: u8, stream: u16, opcode: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[version, 0][..], &stream.to_be_bytes(), &[opcode], &length, body].concat()
}

fn long(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let startup = [hex("0001 000b").as_slice(), b"CQL_VERSION", &hex("0005"), b"3.0.0"].concat();
    let insert = long("INSERT INTO t (k) VALUES (?)");
    vec![
        c(frame(4, 0, 5, b"")),
        s(frame(0x84, 0, 6, &hex("0000"))),
        c(frame(4, 1, 1, &startup)),
        s(frame(0x84, 1, 2, b"")),
        c([
            frame(4, 2, 9, &insert),
            frame(4, 3, 7, &[long("SELECT * FROM ks.t WHERE k = 'secret'"), hex("0001 00")].concat()),
            frame(4, 4, 7, &[long("SELEC"), hex("0001 00")].concat()),
        ]
        .concat()),
        s([
            frame(0x84, 4, 0, &[hex("00002000 0005").as_slice(), b"line "].concat()),
            frame(0x84, 2, 8, &hex("00000004 0002 beef 00000000")),
        ]
        .concat()),
        c([frame(4, 2, 10, &hex("0002 beef 0001 00")), frame(4, 4, 13, &hex("00 0002 01 0002 beef 0000 01"))].concat()),
        s([
            frame(0x84, 3, 8, &hex("00000002 00000000")),
            frame(0x84, 0xffff, 12, &[hex("000d").as_slice(), b"SCHEMA_CHANGE"].concat()),
            frame(0x84, 2, 8, &hex("00000001")),
            frame(0x84, 4, 0, &[hex("00001100 0004").as_slice(), b"late"].concat()),
        ]
        .concat()),
    ]
}

#[test]
fn statements_and_errors() {
    assert_eq!(
        lines(&play(&sample())),
        [
            "cassandra OPTIONS||| ok 'SUPPORTED'",
            "cassandra STARTUP||| ok 'READY'",
            "cassandra QUERY||SELEC|SELEC client_error 8192 'line '",
            "cassandra PREPARE||INSERT INTO t (k) VALUES (?)|INSERT t ok",
            "cassandra QUERY||SELECT * FROM ks.t WHERE k = ?|SELECT ks.t ok",
            "cassandra EVENT||| unknown async",
            "cassandra EXECUTE||INSERT INTO t (k) VALUES (?)|INSERT t ok",
            "cassandra BATCH||INSERT INTO t (k) VALUES (?)|INSERT t server_error 4352 'late'",
        ]
    );
}
