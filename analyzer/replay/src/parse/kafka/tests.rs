use super::super::script::{c, hex, lines, play, play_prefix, s};
use crate::model::Side;

/// The length, then the parts.
fn sized(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [u32::try_from(body.len()).unwrap().to_be_bytes().to_vec(), body].concat()
}

/// Kind, version, correlation id, client id `rdkafka`.
fn request(head: &str, body: &[u8]) -> Vec<u8> {
    sized(&[&hex(head), b"\0\x07rdkafka", body])
}

/// One record with `traceparent`, in a batch of format 2. Lengths in records are zigzag: 2 for 1.
fn batch() -> Vec<u8> {
    let value = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let record =
        [hex("00 00 00 01 02").as_slice(), b"v", &hex("02 16"), b"traceparent", &[110], value.as_slice()].concat();
    let mut batch = hex("0000000000000000 00000000 00000000 02 00000000 0000 00000000");
    batch.extend(hex("0000000000000000 0000000000000000 ffffffffffffffff ffff ffffffff 00000001"));
    // 75 bytes: zigzag 150, as a varint 96 01.
    assert_eq!(record.len(), 75);
    batch.extend(hex("96 01"));
    batch.extend(record);
    batch
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let records = batch();
    let length = u32::try_from(records.len()).unwrap().to_be_bytes();
    let compact = u8::try_from((records.len() + 1) & 0x7f).unwrap() | 0x80;
    vec![
        // ApiVersions 3: name and version of the software; the answer has no tags in its head.
        c(request("0012 0003 00000001", &[hex("00 02").as_slice(), b"k", &hex("02"), b"1", &hex("00")].concat())),
        s(sized(&[&hex("00000001 0000 02 0000 0000 0009 00 00000000 00")])),
        // Metadata 1 for a topic that does not exist.
        c(request("0003 0001 00000002", &[hex("00000001 0003").as_slice(), b"abc"].concat())),
        s(sized(&[
            &hex("00000002 00000001 00000001 0001"),
            b"h",
            &hex("00002384 ffff 00000001 00000001 0003 0003"),
            b"abc",
            &hex("00 00000000"),
        ])),
        // Produce 3, then 9, then one without acknowledgement, together.
        c([
            request(
                "0000 0003 00000003",
                &[
                    hex("ffff ffff 000003e8 00000001 0003").as_slice(),
                    b"abc",
                    &hex("00000001 00000002"),
                    &length,
                    &records,
                ]
                .concat(),
            ),
            request(
                "0000 0009 00000004",
                &[
                    hex("00 00 ffff 000003e8 02 04").as_slice(),
                    b"abc",
                    &hex("02 00000001"),
                    &[compact, 1],
                    &records,
                    &hex("00 00 00"),
                ]
                .concat(),
            ),
            request(
                "0000 0002 00000005",
                &[hex("0000 000003e8 00000001 0001").as_slice(), b"t", &hex("00000001 00000000 00000000")].concat(),
            ),
        ]
        .concat()),
        s([
            sized(&[
                &hex("00000003 00000001 0003"),
                b"abc",
                &hex("00000001 00000002 0000 0000000000000023"),
                &hex("ffffffffffffffff 00000000"),
            ]),
            sized(&[
                &hex("00000004 00 02 04"),
                b"abc",
                &hex("02 00000001 0006 ffffffffffffffff ffffffffffffffff ffffffffffffffff 01 00 00 00 00000000 00"),
            ]),
        ]
        .concat()),
        // Fetch 4 and 12; the second names no topic (it goes on with a session).
        c(request(
            "0001 0004 00000006",
            &[
                hex("ffffffff 000001f4 00000001 00100000 00 00000001 0003").as_slice(),
                b"abc",
                &hex("00000001 00000002 0000000000000000 00100000"),
            ]
            .concat(),
        )),
        s(sized(&[
            &hex("00000006 00000000 00000001 0003"),
            b"abc",
            &hex("00000001 00000002 0001 ffffffffffffffff ffffffffffffffff ffffffff 00000000"),
        ])),
        c(request(
            "0001 000c 00000007",
            &hex("00 ffffffff 000001f4 00000001 00100000 00 00000009 00000001 01 01 01 00"),
        )),
        s(sized(&[&hex("00000007 00 00000000 0047 00000000 01 00")])),
        // Groups.
        c(request("000b 0000 00000008", &[hex("0001").as_slice(), b"g", &hex("00002710 0000 0000 00000000")].concat())),
        s(sized(&[&hex("00000008 001b ffffffff 0000 0000 0000 00000000")])),
        c(request(
            "000d 0004 00000009",
            &[hex("00 02").as_slice(), b"g", &hex("02 02"), b"m", &hex("01 00 00")].concat(),
        )),
        s(sized(&[&hex("00000009 00 00000000 0000 01 00")])),
        c(request(
            "0008 0002 0000000a",
            &[
                hex("0001").as_slice(),
                b"g",
                &hex("00000001 0001"),
                b"m",
                &hex("ffffffffffffffff 00000001 0003"),
                b"abc",
                &hex("00000001 00000002 0000000000000007 ffff"),
            ]
            .concat(),
        )),
        s(sized(&[&hex("0000000a 00000001 0003"), b"abc", &hex("00000001 00000002 0000")])),
    ]
}

const EXPECTED: [&str; 10] = [
    "kafka ApiVersions||| ok 0",
    "kafka Metadata||abc|abc server_error 3 'UNKNOWN_TOPIC_OR_PARTITION'",
    "kafka Produce||t|t-0 unknown async",
    "kafka Produce||abc|abc-2 ok 0 'abc-2:35'",
    "kafka Produce||abc|abc-1 server_error 6 'NOT_LEADER_OR_FOLLOWER'",
    "kafka Fetch||abc|abc-2 server_error 1 'OFFSET_OUT_OF_RANGE'",
    "kafka Fetch||| server_error 71 'INVALID_FETCH_SESSION_EPOCH'",
    "kafka JoinGroup||| server_error 27 'REBALANCE_IN_PROGRESS'",
    "kafka LeaveGroup||| ok 0",
    "kafka OffsetCommit||abc|abc-2 ok 0",
];

#[test]
fn versions_topics_and_errors() {
    let sessions = play(&sample());
    assert_eq!(lines(&sessions), EXPECTED);
    assert_eq!(sessions[3].fields.session_id, Some(3));
    assert_eq!(&*sessions[3].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(&*sessions[4].fields.span_id, "b7ad6b7169203331");
    assert_eq!(sessions[7].fields.attributes[1], ("group", "g".into()));
}

#[test]
fn answers_out_of_order_and_unasked() {
    let script = vec![
        s(sized(&[&hex("00000000 0000")])),
        c(request("0003 0000 00000001", &[hex("00000001 0001").as_slice(), b"a"].concat())),
        c(request("000c 0000 00000002", &[hex("0001").as_slice(), b"g", &hex("00000001 0001"), b"m"].concat())),
        s(sized(&[&hex("00000000 0000")])),
        s(sized(&[&hex("00000002 0016")])),
        s(sized(&[&hex("00000001 00000000 00000001 0000 0001"), b"a", &hex("00000000")])),
    ];
    assert_eq!(
        lines(&play(&script)),
        ["kafka Heartbeat||| server_error 22 'ILLEGAL_GENERATION'", "kafka Metadata||a|a ok 0"]
    );
}

#[test]
fn cut_payloads_keep_their_heads() {
    let sessions = play_prefix(9092, 64, &sample());
    let kinds: Vec<&str> = sessions.iter().map(|session| &*session.fields.request_type).collect();
    assert!(kinds.starts_with(&["ApiVersions", "Metadata"]), "{kinds:?}");
    assert!(kinds.ends_with(&["Fetch", "Fetch", "JoinGroup", "LeaveGroup", "OffsetCommit"]), "{kinds:?}");
}

#[test]
fn others_that_begin_with_a_length() {
    // PostgreSQL's startup: 196608 is Metadata 0.
    let startup = [hex("00000010 00030000").as_slice(), b"user\0me\0\0"].concat();
    // ZooKeeper's first request.
    let keeper = hex(
        "0000002d 00000000 0000000000000000 00007530 0000000000000000 00000010 00000000000000000000000000000000 00",
    );
    for bytes in [startup, keeper] {
        assert!(lines(&play(&[c(bytes)])).iter().all(|line| !line.starts_with("kafka")));
    }
}
