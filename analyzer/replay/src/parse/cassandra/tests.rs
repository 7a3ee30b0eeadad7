use super::super::script::{c, hex, lines, play, play_on, play_prefix, s};
use crate::model::{Side, Transport};

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
            "cassandra EVENT||SCHEMA_CHANGE|SCHEMA_CHANGE unknown async",
            "cassandra EXECUTE||INSERT INTO t (k) VALUES (?)|INSERT t ok",
            "cassandra BATCH||INSERT INTO t (k) VALUES (?)|INSERT t server_error 4352 'late'",
        ]
    );
}

/// Version 5: after READY, frames go in segments. The segments are those of the encoder of the Python driver (`cassandra.segment`): one
/// with a query and a REGISTER, one with both answers, and the two parts of a query of 200,059 bytes.
fn segmented(startup: &[u8], segments: Vec<(Side, Vec<u8>)>) -> Vec<(Side, Vec<u8>)> {
    [vec![c(frame(5, 0, 1, startup)), s(frame(0x85, 0, 2, b""))], segments].concat()
}

/// A conversation of version 5.
pub(in crate::parse) fn segmented_sample() -> Vec<(Side, Vec<u8>)> {
    let startup = [hex("0001 000b").as_slice(), b"CQL_VERSION", &hex("0005"), b"3.0.0"].concat();
    segmented(&startup, vec![c(hex(QUERY_AND_REGISTER)), s(hex(TWO_ANSWERS))])
}

const QUERY_AND_REGISTER: &str = "4b0002326053 0500000107000000280000001e
    53454c454354202a2046524f4d206b732e74205748455245206b203d2037 000100000000
    050000020b000000110001000d5354415455535f4348414e4745 20235c1a";
const TWO_ANSWERS: &str = "1600029d04f9 85000001080000000400000001 850000020200000000 e89592e5";

#[test]
fn version_5() {
    let startup = [hex("0001 000b").as_slice(), b"CQL_VERSION", &hex("0005"), b"3.0.0"].concat();
    let text = [b"INSERT INTO ks.big (k, v) VALUES (1, '".as_slice(), &[b'y'; 200_000], b"')"].concat();
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    let big = frame(5, 4, 7, &[&length[..], &text, &hex("0001 00000000")].concat());
    assert_eq!(big.len(), 200_059);
    let (one, two) = big.split_at(0x1_ffff);
    // Heads: length, 0 for parts, checksum (as `encode_header` of the driver writes them); the payload's checksum is not looked at.
    let parts = [&hex("ffff013891fe")[..], one, &[0; 4], &hex("7c0d0164e6fe"), two, &[0; 4]].concat();
    let answer = [hex("0d0002 cf07f7"), hex("85000004080000000400000001"), vec![0; 4]].concat();
    let script = segmented(&startup, vec![c(hex(QUERY_AND_REGISTER)), s(hex(TWO_ANSWERS)), c(&parts), s(&answer)]);
    let expected = [
        "cassandra STARTUP||| ok 'READY'",
        "cassandra QUERY||SELECT * FROM ks.t WHERE k = ?|SELECT ks.t ok",
        "cassandra REGISTER||| ok 'READY'",
    ];
    let sessions = play(&script);
    assert_eq!(lines(&sessions)[..3], expected);
    let last = &sessions[3];
    assert_eq!((&*last.fields.endpoint, last.request_bytes), ("INSERT ks.big", 200_079));
    assert!(last.fields.status == crate::model::Status::Ok && last.response_bytes == 23);
    // Cut to 512 bytes a call, and joined in the middle.
    let cut = play_prefix(40001, 512, &script);
    assert_eq!(lines(&cut)[..3], expected);
    assert_eq!((&*cut[3].fields.endpoint, cut[3].request_bytes), ("INSERT ks.big", 200_079));
    assert_eq!(lines(&play(&script[2..4])), expected[1..]);
    assert_eq!(
        lines(&play(&[s(hex(TWO_ANSWERS)), c(hex(QUERY_AND_REGISTER)), s(hex(TWO_ANSWERS))]))[2..],
        expected[1..]
    );
}

/// Compressed bodies of versions 3 and 4, compressed segments of version 5: LZ4 and Snappy as the Python driver's codecs write them.
#[test]
fn compressed() {
    let startup = |method: &str| {
        let length = u8::try_from(method.len()).unwrap();
        [
            &hex("0002 000b")[..],
            b"CQL_VERSION",
            &hex("0005"),
            b"3.0.0",
            &hex("000b"),
            b"COMPRESSION",
            &[0, length],
            method.as_bytes(),
        ]
        .concat()
    };
    let packed =
        "c3ff1a000000bc494e5345525420494e544f206b732e7420286b2c2076292056414c5545532028312c202778010082502729000100";
    let lz4 = hex(&format!("040100050700000038000000{packed}"));
    let snappy =
        hex("04010006070000003dc301a8000000bc494e5345525420494e544f206b732e7420286b2c2076292056414c554553202831
        2c2027787878fe0200fe02004a0200102729000100");
    let insert = "cassandra QUERY||INSERT INTO ks.t (k, v) VALUES (?, ?)|INSERT ks.t unknown [ended_after]";
    for (method, frame) in [("lz4", lz4), ("snappy", snappy)] {
        assert_eq!(lines(&play(&[c(self::frame(4, 0, 1, &startup(method))), c(&frame)]))[1], insert);
        // Where STARTUP was not seen.
        assert_eq!(lines(&play_on(Transport::Tcp, 40000, 9042, &[c(&frame)])), [insert]);
    }
    let segment = hex(
        "40009e01042974a8 ff230500000307000000c6000000bc494e5345525420494e544f206b732e7420286b2c2076292056414c554553202831
        2c202778010082802729000100000000863e24e7",
    );
    let answer = hex("0d0000000420b69c 85000003080000000400000001 239340f9");
    let insert = "cassandra QUERY||INSERT INTO ks.t (k, v) VALUES (?, ?)|INSERT ks.t ok";
    let script = segmented(&startup("lz4"), vec![c(&segment), s(&answer)]);
    assert_eq!(lines(&play(&script)), ["cassandra STARTUP||| ok 'READY'", insert]);
    assert_eq!(lines(&play(&script[2..])), [insert]);
}

/// Rows, their descriptions before them (a list, a user-defined type, a tuple), the keyspace that USE sets, events.
#[test]
fn answers_that_tell() {
    let name = |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let columns = [
        hex("00000002 00000003 00000004 00000002 beef"),
        [name("ks"), name("t")].concat(),
        [name("a"), hex("0020 000d")].concat(),
        [name("b"), hex("0030"), name("ks"), name("u"), hex("0001"), name("f"), hex("0021 000d 0009")].concat(),
        [name("c"), hex("0031 0002 0009 0000"), name("org.Custom")].concat(),
        [name("d"), hex("000d"), hex("00000005 00000001")].concat(),
    ]
    .concat();
    let event = [name("STATUS_CHANGE"), name("DOWN"), hex("04 7f000001 00002352")].concat();
    let script = [
        c(frame(4, 1, 7, &[long("USE ks"), hex("0001 00")].concat())),
        s(frame(0x84, 1, 8, &[hex("00000003"), name("ks")].concat())),
        c(frame(4, 2, 7, &[long("SELECT a FROM t"), hex("0001 00")].concat())),
        s([frame(0x84, 2, 8, &columns), frame(0x84, 0xffff, 12, &event)].concat()),
    ];
    assert_eq!(
        lines(&play(&script)),
        [
            "cassandra QUERY||USE ks|USE ok",
            "cassandra QUERY|ks|SELECT a FROM t|SELECT t ok rows=5",
            "cassandra EVENT||STATUS_CHANGE DOWN|STATUS_CHANGE unknown async",
        ]
    );
}
