use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn text(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![2];
    bytes.extend(name.as_bytes());
    bytes.push(0);
    bytes.extend(u32::try_from(value.len() + 1).unwrap().to_le_bytes());
    bytes.extend(value.as_bytes());
    bytes.push(0);
    bytes
}

fn double(name: &str, value: f64) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend(name.as_bytes());
    bytes.push(0);
    bytes.extend(value.to_le_bytes());
    bytes
}

fn document(parts: &[Vec<u8>]) -> Vec<u8> {
    let inner = parts.concat();
    let mut bytes = u32::try_from(inner.len() + 5).unwrap().to_le_bytes().to_vec();
    bytes.extend(inner);
    bytes.push(0);
    bytes
}

fn message(id: u32, to: u32, document: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(document.len() + 21).unwrap().to_le_bytes().to_vec();
    for number in [id, to, 2013, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.push(0);
    bytes.extend(document);
    bytes
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let mut filter = vec![3];
    filter.extend(b"filter\0");
    filter.extend(document(&[text("name", "alice")]));
    let find = document(&[text("find", "users"), filter, text("$db", "shop")]);
    let bad = document(&[text("frob", "users"), text("$db", "shop")]);
    let error = document(&[double("ok", 0.0), text("errmsg", "no such command: 'frob'"), double("code", 59.0)]);
    vec![
        c([message(1, 0, &find), message(2, 0, &bad)].concat()),
        s([message(9, 2, &error), message(10, 1, &document(&[double("ok", 1.0)]))].concat()),
    ]
}

#[test]
fn commands_by_id() {
    assert_eq!(
        lines(&play(&sample())),
        [
            "mongodb frob|shop|{\"frob\": \"users\", \"$db\": \"shop\"}|users server_error 59 'no such command: 'frob''",
            "mongodb find|shop|{\"find\": \"users\", \"filter\": {\"name\": ?}, \"$db\": \"shop\"}|users ok",
        ]
    );
}

/// OP_COMPRESSED by each method, as python-snappy, zlib and the `zstd` program write them: find orders where status is open.
#[test]
fn compressed() {
    let packed = [
        "600000000700000000000000dc070000dd07000047000000000000000000420000000266696e6400070000006f7264657273000366696c746572\
         00160000000273746174757300050000006f70656e000002246462000500000073686f700000",
        "5f0000000800000000000000dc070000dd0700004700000001470000010174420000000266696e6400070000006f7264657273000366696c7465\
         720016011d1c7374617475730005011f4c70656e000002246462000500000073686f700000",
        "5b0000000900000000000000dc070000dd0700004700000002789c636000022720664acbcc4b616007b2f28b52528b8a1998d332734a528b18c4\
         4092c5258925a5c50cac20e982d43ca0884a4a12985b9c915fc0c00000e2a20e23",
        "600000000a00000000000000dc070000dd070000470000000328b52ffd0058f5010022440d15a0a55a03542c79e793cd0de00588e8d268ed2122\
         052f35384139c8c92c75e2155aa01db9919946406778cc14a65e2c091d72c00f01002cc28402",
    ];
    // { ok: 0.0, errmsg: "no such cmd", code: 59 }, with Snappy.
    let error = "4e0000005a00000008000000dc070000dd070000380000000138000001011833000000016f6b010b050188026572726d7367000c0000006e\
                 6f207375636820636d640010636f6465003b00000000";
    let mut script: Vec<(Side, Vec<u8>)> = packed.iter().map(|packed| c(hex(packed))).collect();
    script.push(s(hex(error)));
    let sessions = play(&script);
    let find = "mongodb find|shop|{\"find\": \"orders\", \"filter\": {\"status\": ?}, \"$db\": \"shop\"}|orders";
    assert_eq!(
        lines(&sessions),
        [
            format!("{find} server_error 59 'no such cmd'"),
            format!("{find} unknown [ended_after]"),
            format!("{find} unknown [ended_after]"),
            format!("{find} unknown [ended_after]"),
        ]
    );
    let how: Vec<&str> = sessions.iter().map(|session| &*session.fields.attributes[0].1).collect();
    assert_eq!(how, ["snappy", "noop", "zlib", "zstd"]);
    // A length of 2 GB, an unknown method.
    let mut hostile = hex(packed[1]);
    hostile[20..24].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    assert!(lines(&play(&[c(&hostile)]))[0].starts_with(find));
    hostile[24] = 9;
    assert_eq!(lines(&play(&[c(&hostile)])), ["mongodb OP_COMPRESSED||| unknown [ended_after]"]);
}

/// A driver watches its server: one `hello` that allows several replies, each of which answers the one before.
#[test]
fn exhaust() {
    let mut hello = message(20, 0, &document(&[text("hello", "1"), text("$db", "admin")]));
    hello[18] = 1;
    let reply = |id: u32, to: u32, more: u8| {
        let mut reply = message(id, to, &document(&[double("ok", 1.0)]));
        reply[16] = more;
        s(reply)
    };
    assert_eq!(
        lines(&play(&[c(hello), reply(50, 20, 2), reply(51, 50, 2), reply(52, 51, 0), reply(53, 52, 0)])),
        [
            "mongodb hello|admin|{\"hello\": \"1\", \"$db\": \"admin\"}|1 ok",
            "mongodb hello|admin||1 ok async",
            "mongodb hello|admin||1 ok async",
            "mongodb ||| ok [started_before]",
        ]
    );
}

/// Writes that failed although the command went well.
#[test]
fn write_errors() {
    let nested = |kind: u8, name: &str, inner: &[u8]| [&[kind], name.as_bytes(), &[0], inner].concat();
    let duplicate = document(&[
        double("code", 11_000.0),
        text("errmsg", "E11000 duplicate key error index: _id_ dup key: { _id: \"alice\" }"),
    ]);
    let errors = document(&[nested(3, "0", &duplicate)]);
    let late = document(&[double("code", 64.0), text("errmsg", "waiting for replication timed out")]);
    let insert = |id| c(message(id, 0, &document(&[text("insert", "users"), text("$db", "shop")])));
    let script = [
        insert(1),
        s(message(9, 1, &document(&[double("n", 0.0), nested(4, "writeErrors", &errors), double("ok", 1.0)]))),
        insert(2),
        s(message(10, 2, &document(&[double("n", 1.0), nested(3, "writeConcernError", &late), double("ok", 1.0)]))),
    ];
    let insert = "mongodb insert|shop|{\"insert\": \"users\", \"$db\": \"shop\"}|users server_error";
    assert_eq!(
        lines(&play(&script)),
        [
            format!("{insert} 11000 'E11000 duplicate key error index: _id_' rows=0"),
            format!("{insert} 64 'waiting for replication timed out' rows=1"),
        ]
    );
}
