use super::super::script::{c, hex, lines, play, play_on, play_open_on, play_prefix, s};
use crate::model::{Side, Transport};

fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_le_bytes()[..3].to_vec();
    bytes.push(sequence);
    bytes.extend(body);
    bytes
}

fn greeting() -> Vec<u8> {
    let mut body = b"\x0a8.0.30\0\x01\0\0\0abcdefgh\0\xff\xf7\xff\x02\0\xff\xdf\x15".to_vec();
    body.extend([0; 10]);
    body.extend(b"ijklmnopqrst\0mysql_native_password\0");
    packet(0, &body)
}

fn login() -> Vec<u8> {
    // PROTOCOL_41, SECURE_CONNECTION, CONNECT_WITH_DB.
    let mut body = vec![0x08, 0x82, 0, 0, 0, 0, 0, 1, 33];
    body.extend([0; 23]);
    body.extend(b"bob\0\x03\x01\x02\x03shop\0");
    packet(1, &body)
}

fn definition(sequence: u8) -> Vec<u8> {
    packet(sequence, b"\x03def\x04shop\x01t\x01t\x01a\x01a\x0c\x3f\0\x0b\0\0\0\x03\0\0\0\0\0")
}

const EOF: &[u8] = b"\xfe\0\0\x02\0";
const OK: &[u8] = b"\0\x03\0\x02\0\0\0";

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let rows =
        [packet(1, b"\x01"), definition(2), packet(3, EOF), packet(4, b"\x011"), packet(5, b"\x012"), packet(6, EOF)];
    let prepared =
        [packet(1, b"\0\x07\0\0\0\x01\0\x01\0\0\0\0"), definition(2), packet(3, EOF), definition(4), packet(5, EOF)];
    let mut execute = b"\x17\x07\0\0\0\0\x01\0\0\0\0\x01\x03\0\x05\0\0\0".to_vec();
    execute.push(0);
    vec![
        s(greeting()),
        c(login()),
        s(packet(2, OK)),
        c(packet(0, b"\x03SELECT a FROM t WHERE b = 'secret' -- c\n")),
        s(rows.concat()),
        c(packet(0, b"\x03UPDATE `t` SET a = 5")),
        s(packet(1, OK)),
        c(packet(0, b"\x16SELECT a FROM t WHERE a = ?")),
        s(prepared.concat()),
        c(packet(0, &execute)),
        s([packet(1, b"\x01"), definition(2), packet(3, EOF), packet(4, b"\0\0\x01\0\0\0"), packet(5, EOF)].concat()),
        c(packet(0, b"\x19\x07\0\0\0")),
        c(packet(0, b"\x03SELEC")),
        s(packet(1, b"\xff\x28\x04#42000You have an error near 'SELEC' at line 1")),
        c(packet(0, b"\x01")),
    ]
}

#[test]
fn text_and_binary() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "mysql Login|shop|Login username: bob db: shop|Login ok rows=3",
            "mysql COM_QUERY|shop|SELECT a FROM t WHERE b = ?|SELECT t ok rows=2",
            "mysql COM_QUERY|shop|UPDATE `t` SET a = ?|UPDATE t ok rows=3",
            "mysql COM_STMT_PREPARE|shop|SELECT a FROM t WHERE a = ?|SELECT t ok",
            "mysql COM_STMT_EXECUTE|shop|SELECT a FROM t WHERE a = ?|SELECT t ok rows=1",
            "mysql COM_STMT_CLOSE|shop|SELECT a FROM t WHERE a = ?|SELECT t unknown async",
            "mysql COM_QUERY|shop|SELEC|SELEC server_error 1064 'You have an error near '***' at line 1'",
            "mysql COM_QUIT|shop|| unknown async",
        ]
    );
    assert_eq!(sessions[3].fields.session_id, Some(7));
    assert_eq!(sessions[4].fields.session_id, Some(7));
}

#[test]
fn rows_that_were_not_captured() {
    let mut answer = [packet(1, b"\x01"), definition(2), packet(3, EOF)].concat();
    for sequence in 4..100 {
        answer.extend(packet(sequence, &[b'x'; 200]));
    }
    answer.extend(packet(100, EOF));
    let script =
        [c(packet(0, b"\x03SELECT a FROM big")), s(answer), c(packet(0, b"\x03SELECT a FROM small")), s(packet(1, OK))];
    let sessions = play_prefix(3306, 512, &script);
    assert_eq!(sessions.len(), 2);
    assert_eq!(&*sessions[0].fields.endpoint, "SELECT big");
    assert_eq!(sessions[0].fields.status, crate::model::Status::Ok);
    assert_eq!(sessions[0].completeness, crate::model::Completeness::TRUNCATED_PAYLOAD);
    assert_eq!(sessions[1].fields.affected_rows, Some(3));
}

#[test]
fn encryption_hands_over() {
    let mut request = packet(1, b"\x08\x8a\0\0\0\0\0\x01\x21");
    request.extend([0; 23]);
    request[0] = 32;
    assert!(play(&[s(greeting()), c(request)]).is_empty());
}

#[test]
fn values_of_a_prepared_statement() {
    let prepared = packet(1, b"\0\x09\0\0\0\0\0\x04\0\0\0\0");
    let definitions = [definition(2), definition(3), definition(4), definition(5), packet(6, EOF)].concat();
    let prepare = c(packet(0, b"\x16INSERT INTO t VALUES (?, ?, ?, ?)"));
    // Types: BIGINT, VARCHAR, DATETIME, TINY; the last is NULL.
    let first = b"\x17\x09\0\0\0\0\x01\0\0\0\x08\x01\x08\0\x0f\0\x0c\0\x01\0\xfe\xff\xff\xff\xff\xff\xff\xff\x05hello\x07\xea\x07\x0b\x17\x01\x02\x03";
    // The same types are not said again.
    let second = b"\x17\x09\0\0\0\0\x01\0\0\0\x06\0\x07\0\0\0\0\0\0\0\xff";
    let script = [
        c(packet(0, b"\x0e")),
        s(packet(1, OK)),
        prepare,
        s([prepared, definitions].concat()),
        c(packet(0, first)),
        s(packet(1, OK)),
        c(packet(0, second)),
        s(packet(1, OK)),
    ];
    let parameters = |sessions: &[crate::model::Session]| -> Vec<String> {
        let values = sessions.iter().flat_map(|session| &session.fields.attributes);
        values.filter(|(name, _)| *name == "parameters").map(|(_, value)| value.to_string()).collect()
    };
    assert_eq!(parameters(&play_open_on(3306, &script)), ["-2, hello, 2026-11-23 01:02:03, NULL", "7, NULL, NULL, -1"]);
    assert_eq!(parameters(&play_on(Transport::Tcp, 40000, 3306, &script)), ["?, ?, ?, ?", "?, ?, ?, ?"]);
}

#[test]
fn query_attributes_stand_before_the_text() {
    // One attribute, n1 = "v1".
    let script = [
        c(packet(0, b"\x03\x01\x01\0\x01\xfe\0\x02n1\x02v1select a from t")),
        s(packet(1, OK)),
        c(packet(0, b"\x03\0\x01select b from t")),
        s(packet(1, OK)),
    ];
    let sessions = play_on(Transport::Tcp, 40000, 3306, &script);
    assert_eq!(
        sessions.iter().map(|s| &*s.fields.request_resource).collect::<Vec<_>>(),
        ["select a from t", "select b from t"]
    );
}

/// The login with CLIENT_COMPRESS, then packets inside packets (zlib of Python made the bytes): a query, its answer in two of them cut
/// inside a definition, and what is not worth compressing.
pub(in crate::parse) fn compressed_sample() -> Vec<(Side, Vec<u8>)> {
    let mut login = login();
    login[4] |= 0x20;
    vec![
        s(greeting()),
        c(login),
        s(packet(2, OK)),
        c(hex(
            "2c0000004d0000789cf3646060600e76f571750e514854700bf2f755285108f7700d72554852b055504f2401a803003c7f180a",
        )),
        s(hex("1400000100000001000001011e000002036465660473686f700174")),
        s(hex(
            "2e000002310000789c632c614c644ce4b167e0666060606600015620e31f0303131032b0301a0249564623a0201b5810006d2e0418",
        )),
        c(hex("05000000000000010000000e")),
        s(hex("0b0000010000000700000100030002000000")),
    ]
}

#[test]
fn compressed() {
    let sessions = play(&compressed_sample());
    assert_eq!(
        lines(&sessions),
        [
            "mysql Login|shop|Login username: bob db: shop|Login ok rows=3",
            "mysql COM_QUERY|shop|SELECT a FROM t WHERE b = ?|SELECT t ok rows=2",
            "mysql COM_PING|shop|| ok rows=3",
        ]
    );
    assert_eq!((sessions[1].request_bytes, sessions[1].response_bytes), (51, 27 + 53));
    assert!(sessions[1].fields.attributes.contains(&("compressed", "true".into())));
    // Joined behind the login, on another port.
    assert_eq!(lines(&play(&compressed_sample()[3..])).len(), 2);
    // The second half of the answer is cut: its rows are not known, what follows is.
    let mut script = compressed_sample();
    script[5].1.truncate(30);
    let mut conversation = crate::parse::Conversation::new(Transport::Tcp, 40000, 3306);
    for (turn, (from, data)) in script.iter().enumerate() {
        super::super::script::say(&mut conversation, *from, data, if turn == 5 { 23 } else { 0 }, turn);
    }
    assert_eq!(
        lines(&super::super::script::end(conversation, 9))[1..],
        [
            "mysql COM_QUERY|shop|SELECT a FROM t WHERE b = ?|SELECT t ok [truncated_payload]",
            "mysql COM_PING|shop|| ok rows=3",
        ]
    );
}

/// A cursor (SERVER_STATUS_CURSOR_EXISTS, 0x40): definitions, no rows; they are fetched. MariaDB: progress in between, bulk execution,
/// and an EXECUTE of the statement that is being prepared.
#[test]
fn cursors_progress_and_bulk() {
    let prepared = [packet(1, b"\0\x07\0\0\0\x01\0\x00\0\0\0\0"), definition(2), packet(3, EOF)].concat();
    let execute = |id: [u8; 4], flags: u8| packet(0, &[&[0x17], &id[..], &[flags, 1, 0, 0, 0]].concat());
    let script = [
        c([packet(0, b"\x16SELECT a FROM t"), execute([0xff; 4], 1)].concat()),
        s([prepared, packet(1, b"\x01"), definition(2), packet(3, b"\xfe\0\0\x42\0")].concat()),
        c(packet(0, b"\x1c\x07\0\0\0\x0a\0\0\0")),
        s([packet(1, b"\0\0\x01\0\0\0"), packet(2, b"\0\0\x02\0\0\0"), packet(3, b"\xfe\0\0\x82\0")].concat()),
        c(packet(0, b"\x03ALTER TABLE t ADD b INT")),
        s([packet(1, b"\xff\xff\xff\x01\x02\x10\x27\0\x04copy"), packet(2, OK)].concat()),
        c(packet(0, b"\xfa\x07\0\0\0\x80\0\x03\0\0\x01\0\0\0")),
        s(packet(1, OK)),
    ];
    let sessions = play_on(Transport::Tcp, 40000, 3306, &script);
    assert_eq!(
        lines(&sessions),
        [
            "mysql COM_STMT_PREPARE||SELECT a FROM t|SELECT t ok",
            "mysql COM_STMT_EXECUTE||SELECT a FROM t|SELECT t ok rows=0",
            "mysql COM_STMT_FETCH||SELECT a FROM t|SELECT t ok rows=2",
            "mysql COM_QUERY||ALTER TABLE t ADD b INT|ALTER t ok rows=3",
            "mysql COM_STMT_BULK_EXECUTE||SELECT a FROM t|SELECT t ok rows=3",
        ]
    );
}
