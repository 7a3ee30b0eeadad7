use super::super::script::{c, hex, lines, play, play_on, play_prefix, s};
use crate::model::{Side, Transport};

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

/// Every version of every request that clients and brokers send, and their answers, as another encoder writes them (see `versions.txt`).
#[test]
fn every_version() {
    let mut wrong = Vec::new();
    for line in include_str!("versions.txt").lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, version, asked, all, inner, topic, endpoint, group, first, first_inner] = words[..] else {
            panic!("{line}")
        };
        for (answer, code) in [(all, first), (if inner == "=" { all } else { inner }, first_inner)] {
            let sessions = play_on(Transport::Tcp, 40000, 9092, &[c(hex(asked)), s(hex(answer))]);
            let said = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
            let found: Vec<[String; 4]> = sessions
                .iter()
                .map(|session| {
                    let fields = &session.fields;
                    let group = fields.attributes.iter().find(|(name, _)| *name == "group");
                    [
                        said(&fields.request_resource),
                        said(&fields.endpoint),
                        said(group.map_or("", |(_, group)| group)),
                        fields.code.map_or("-".into(), |code| code.to_string()),
                    ]
                })
                .collect();
            let expected = vec![[topic, endpoint, group, code].map(str::to_owned)];
            if found != expected {
                wrong.push(format!("{kind} v{version}: {found:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ: {wrong:#?}", wrong.len());
}

/// The records of [`batch`], compressed by each method (gzip, python-snappy with and without the frame of `snappy-java`, lz4.frame and
/// the `zstd` program made these bytes), and without end.
#[test]
fn compressed_batches() {
    let packed = [
        (
            1,
            "1f8b080000000000020305c1db0d80200c05507008b720e9a5c8639cd2e2273184388af37acee79d73fe788f732fd1f1c81a734fa24072977ca121ab2536ab29d5d123a095184d432f62b917e416899911083fbedfdd084d000000",
        ),
        (
            2,
            "82534e41505059000000000100000001000000504df04c960100000001027602167472616365706172656e746e30302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333312d3031",
        ),
        (
            2,
            "4df04c960100000001027602167472616365706172656e746e30302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333312d3031",
        ),
        (
            3,
            "04224d1868404d00000000000000674d000080960100000001027602167472616365706172656e746e30302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333312d303100000000",
        ),
        (
            4,
            "28b52ffd04584d0200d2441117a0a53affe773fbca7c2292fea34bb658ca86ead93fb3b5c7f2cc44a3f468692f5a85d51313ff66b1744eeaced3ac571f1401160b627b8db90d305ef7042220430831060100f79d31d0",
        ),
    ];
    for (method, records) in packed {
        let mut whole = batch()[..61].to_vec();
        whole[22] = method;
        whole.extend(hex(records));
        let length = u32::try_from(whole.len()).unwrap().to_be_bytes();
        let head = hex("ffff ffff 000003e8 00000001 0003");
        let produce = request(
            "0000 0003 00000003",
            &[head.as_slice(), b"abc", &hex("00000001 00000002"), &length, &whole].concat(),
        );
        let sessions = play_on(Transport::Tcp, 40000, 9092, &[c(produce)]);
        assert_eq!(&*sessions[0].fields.trace_id, "0af7651916cd43dd8448eb211c80319c", "{method}");
        assert_eq!(sessions[0].fields.attributes[1].0, "compression");
    }
}

/// Topics by id: names are those that Metadata told on the same connection.
#[test]
fn topics_by_id() {
    let id = hex("11223344 55667788 99aabbcc ddeeff00");
    let metadata = request("0003 000c 00000001", &hex("00 00 01 00 00"));
    // Throttle, one broker, cluster, controller, one topic `abc` with its id and no partitions.
    let told = sized(&[
        &hex("00000001 00 00000000 02 00000001 02"),
        b"h",
        &hex("00002384 00 00 00 00000001 02 0000 04"),
        b"abc",
        &id,
        &hex("00 01 80000000 00 00"),
    ]);
    let fetch = |id: &[u8]| {
        let head = hex("00 ffffffff 000001f4 00000001 00100000 00 00000000 00000000 02");
        let tail = hex("02 00000005 ffffffff 0000000000000000 ffffffff ffffffffffffffff 00100000 00 00 01 01 00");
        request("0001 000d 00000002", &[head.as_slice(), id, &tail].concat())
    };
    let other = hex("00000000 00000000 00000000 000000ff");
    assert_eq!(
        lines(&play_on(Transport::Tcp, 40000, 9092, &[c(metadata), s(told), c(fetch(&id)), c(fetch(&other))])),
        [
            "kafka Metadata||| ok 0",
            "kafka Fetch||abc|abc-5 unknown [ended_after]",
            "kafka Fetch||AAAAAAAAAAAAAAAAAAAA_w|AAAAAAAAAAAAAAAAAAAA_w-5 unknown [ended_after]",
        ]
    );
}

/// Arrays of four billion elements, strings longer than all: what is there is told, nothing hangs.
#[test]
fn hostile_counts() {
    let metadata = request("0003 0001 00000002", &[hex("7fffffff 0003").as_slice(), b"abc"].concat());
    let answer = sized(&[&hex("00000002 7fffffff"), &[0; 3000]]);
    let sessions = play_on(Transport::Tcp, 40000, 9092, &[c(metadata), s(answer)]);
    assert_eq!(lines(&sessions), ["kafka Metadata||abc|abc ok"]);
    let fetch = request(
        "0001 000c 00000007",
        &hex("00 ffffffff 000001f4 00000001 00100000 00 00000009 00000001 ffffffff7f 7f"),
    );
    let answer = sized(&[&hex("00000007 00 00000000 0000 00000000 ffffffff0f"), &[0xff; 300]]);
    let sessions = play_on(Transport::Tcp, 40000, 9092, &[c(fetch), s(answer)]);
    assert_eq!(lines(&sessions), ["kafka Fetch||| ok 0"]);
}
