use super::super::script::{c, hex, lines, play, play_prefix, s};
use crate::model::Side;

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c("set key 0 60 5\r\nhello\r\nget key other\r\n"),
        s("STORED\r\nVALUE key 0 5\r\nhello\r\nEND\r\n"),
        c("set k 0 0 2 noreply\r\nhi\r\n"),
        c("incr none 1\r\n"),
        s("NOT_FOUND\r\n"),
        c("delete\r\n"),
        s("ERROR\r\n"),
        c("stats\r\n"),
        s("STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n"),
    ]
}

#[test]
fn text() {
    assert_eq!(
        lines(&play(&sample())),
        [
            "memcached set||set key 0 60 5| ok 'STORED'",
            "memcached get||get key other| ok 'END' rows=1",
            "memcached set||set k 0 0 2 noreply| unknown async",
            "memcached incr||incr none 1| ok 'NOT_FOUND'",
            "memcached delete||delete| client_error 'ERROR'",
            "memcached stats||stats| ok 'END' rows=2",
        ]
    );
}

#[test]
fn values_that_were_not_captured() {
    let value = "v".repeat(3000);
    let script = [
        c(format!("set key 0 60 3000\r\n{value}\r\n")),
        s("STORED\r\n"),
        c("get key\r\n"),
        s(format!("VALUE key 0 3000\r\n{value}\r\nEND\r\n")),
        c("get key\r\n"),
        s("END\r\n"),
    ];
    let sessions = play_prefix(11211, 512, &script);
    assert_eq!(sessions.len(), 3);
    assert_eq!(sessions[0].request_bytes, 3021);
    assert_eq!(sessions[2].fields.affected_rows, Some(0));
}

/// After an answer whose end was not captured, each answer belongs to its own request again.
#[test]
fn answers_after_a_cut_one() {
    let value = "v".repeat(3000);
    let sessions = play_prefix(
        11211,
        512,
        &[
            c("get key\r\n"),
            s(format!("VALUE key 0 3000\r\n{value}\r\nEND\r\n")),
            c("incr n 5\r\n"),
            s("6\r\n"),
            c("get key\r\n"),
            s(format!("VALUE key 0 3000\r\n{value}\r\nEND\r\n")),
            // Nothing tells this answer from the rest of the value: its request is the one that stays without.
            c("flush_all\r\n"),
            s("OK\r\n"),
            c("get other\r\n"),
            s("END\r\n"),
        ],
    );
    assert_eq!(
        lines(&sessions),
        [
            "memcached get||get key| ok 'END' [truncated_payload]",
            "memcached incr||incr n 5| ok '6'",
            "memcached get||get key| ok 'END' [truncated_payload]",
            "memcached flush_all||flush_all| unknown [gap]",
            "memcached get||get other| ok 'END' rows=0",
        ]
    );
}

#[test]
fn binary() {
    // Get "Hello" and its answer, as in the protocol's document.
    let sessions = play(&[
        c([hex("80 00 0005 00 00 0000 00000005 00000007 0000000000000000"), b"Hello".to_vec()].concat()),
        s([hex("81 00 0000 00 00 0001 00000009 00000007 0000000000000000"), b"Not found".to_vec()].concat()),
    ]);
    assert_eq!(lines(&sessions), ["memcached get||get Hello| ok 1"]);
}

/// Three `getq` and a `noop`: the second key is there, which its answer says; the answer to `noop` says that no more come.
#[test]
fn quiet_binary() {
    let ask = |opcode: u8, opaque: u8, key: &str| {
        let length = u8::try_from(key.len()).unwrap();
        [&[0x80, opcode, 0, length, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0, opaque][..], &[0; 8], key.as_bytes()].concat()
    };
    let answer = |opcode: u8, opaque: u8, body: &[u8]| {
        let length = u8::try_from(body.len()).unwrap();
        let extras = length.min(4);
        [&[0x81, opcode, 0, 0, extras, 0, 0, 0, 0, 0, 0, length, 0, 0, 0, opaque][..], &[0; 8], body].concat()
    };
    let statistic = |key: &str, value: &str| {
        let (key_length, length) = (u8::try_from(key.len()).unwrap(), u8::try_from(key.len() + value.len()).unwrap());
        let head = [0x81, 0x10, 0, key_length, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0, 9];
        [&head[..], &[0; 8], key.as_bytes(), value.as_bytes()].concat()
    };
    let script = [
        c([ask(9, 1, "a"), ask(9, 2, "b"), ask(9, 3, "c"), ask(10, 4, "")].concat()),
        s([answer(9, 2, b"\0\0\0\0hello"), answer(10, 4, b"")].concat()),
        c(ask(0x10, 9, "")),
        s([statistic("pid", "1"), statistic("uptime", "2"), answer(0x10, 9, b"")].concat()),
        c(ask(0x17, 5, "")),
    ];
    assert_eq!(
        lines(&play(&script)),
        [
            "memcached getq||getq a| ok async",
            "memcached getq||getq b| ok 0",
            "memcached getq||getq c| ok async",
            "memcached noop||noop| ok 0",
            "memcached stat||stat| ok 0 rows=2",
            "memcached quitq||quitq| unknown async",
        ]
    );
    // `quit` is answered, for who waits.
    let goodbye = [c(ask(9, 1, "a")), c(ask(7, 2, "")), s(answer(7, 2, b""))];
    assert_eq!(lines(&play(&goodbye))[1], "memcached quit||quit| ok 0");
    assert_eq!(lines(&play(&goodbye[..2]))[1], "memcached quit||quit| ok [ended_after]");
}

/// Meta commands with `q`, told by their token, by the order, by nothing.
#[test]
fn quiet_meta() {
    let script = [
        c("mg a v q\r\nmg b v q\r\nmn\r\n"),
        s("VA 1\r\nx\r\nMN\r\n"),
        c("ms c 1 q O7\r\ny\r\nms d 1 q O8\r\nz\r\nmn\r\n"),
        s("NS O8\r\nMN\r\n"),
        c("mg e v\r\nmg f v q\r\n"),
        s("EN\r\n"),
    ];
    assert_eq!(
        lines(&super::super::script::play_on(crate::model::Transport::Tcp, 40000, 11211, &script)),
        [
            "memcached mg||mg a v q| ok 'END' rows=1",
            "memcached mg||mg b v q| ok async",
            "memcached mn||mn| ok 'MN'",
            "memcached ms||ms c 1 q O7| ok async",
            "memcached ms||ms d 1 q O8| ok 'NS O8'",
            "memcached mn||mn| ok 'MN'",
            "memcached mg||mg e v| ok 'EN'",
            "memcached mg||mg f v q| unknown async",
        ]
    );
}
