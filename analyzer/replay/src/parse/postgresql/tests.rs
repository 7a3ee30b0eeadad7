use super::super::script::{c, lines, play, play_open, play_prefix, s};
use crate::model::Side;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn startup() -> Vec<u8> {
    let body = b"\0\x03\0\0user\0alice\0database\0shop\0application_name\0psql\0\0";
    let mut bytes = u32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let extended = [
        message(b'P', b"s1\0select * from t where a = $1 and b = 'x'\0\0\0"),
        message(b'B', b"\0s1\0\0\0\0\x01\0\0\0\x017\0\0"),
        message(b'D', b"P\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
    ];
    let again = [
        message(b'B', b"\0s1\0\0\0\0\0\0\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'B', b"\0s1\0\0\0\0\0\0\0"),
        message(b'E', b"\0\0\0\0\0"),
        message(b'S', b""),
    ];
    let error = message(b'E', b"SERROR\0VERROR\0C42P01\0Mrelation \"nope\" does not exist\0\0");
    vec![
        c(startup()),
        s([message(b'R', b"\0\0\0\x03"), message(b'S', b"TimeZone\0UTC\0")].concat()),
        c(message(b'p', b"hunter2\0")),
        s([message(b'R', b"\0\0\0\0"), message(b'K', b"\0\0\0\x01\0\0\0\x02"), ready()].concat()),
        c(message(b'Q', b"INSERT INTO orders (id) VALUES (7), (8) /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/\0")),
        s([message(b'C', b"INSERT 0 2\0"), ready()].concat()),
        c(message(b'Q', b"SELECT 1 FROM nope\0")),
        s([error.clone(), ready()].concat()),
        c(extended.concat()),
        s([
            message(b'1', b""),
            message(b'2', b""),
            message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"),
            message(b'D', b"\0\x01\0\0\0\x011"),
            message(b'C', b"SELECT 1\0"),
            ready(),
        ]
        .concat()),
        c(again.concat()),
        s([message(b'2', b""), error, ready()].concat()),
        c(message(b'X', b"")),
    ]
}

#[test]
fn simple_and_extended() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "postgresql Login|shop|user: alice database: shop|Login ok",
            "postgresql Query|shop|INSERT INTO orders (id) VALUES (?), (?)|INSERT orders ok 'INSERT 0 2' rows=2",
            "postgresql Query|shop|SELECT ? FROM nope|SELECT nope client_error '42P01: relation \"nope\" does not exist'",
            "postgresql Execute|shop|select * from t where a = $1 and b = ?|SELECT t ok 'SELECT 1' rows=1",
            "postgresql Execute|shop|select * from t where a = $1 and b = ?|SELECT t client_error '42P01: relation \"nope\" does not exist'",
            "postgresql Execute|shop|select * from t where a = $1 and b = ?|SELECT t unknown 'skipped after an earlier error'",
            "postgresql Terminate|shop|| unknown async",
        ]
    );
    assert_eq!(&*sessions[1].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(&*sessions[0].fields.user_agent, "psql");
    // ReadyForQuery (6 bytes) ends the answer: 16 + 6.
    assert_eq!(sessions[1].response_bytes, 22);
    assert_eq!(sessions[0].response_ts, Some(3_000_000));
}

#[test]
fn parameters_on_demand() {
    let sessions = play_open(&sample());
    assert!(sessions[3].fields.attributes.contains(&("parameters", "7".into())));
    assert!(sessions[3].fields.request_resource.ends_with("b = 'x'"));
}

#[test]
fn rows_that_were_not_captured() {
    let row = message(b'D', &[7; 300]);
    let mut answer = message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    for _ in 0..50 {
        answer.extend(&row);
    }
    answer.extend(message(b'C', b"SELECT 50\0"));
    answer.extend(ready());
    let script = [
        c(message(b'Q', b"SELECT a FROM big\0")),
        s(answer),
        c(message(b'Q', b"SELECT a FROM small\0")),
        s([message(b'C', b"SELECT 3\0"), ready()].concat()),
    ];
    assert_eq!(
        lines(&play_prefix(5432, 512, &script)),
        [
            "postgresql Query||SELECT a FROM big|SELECT big ok [truncated_payload]",
            "postgresql Query||SELECT a FROM small|SELECT small ok 'SELECT 3' rows=3",
        ]
    );
}

#[test]
fn cancel_and_refused_encryption() {
    let sessions = play(&[
        c(b"\0\0\0\x08\x04\xd2\x16\x2f"),
        s("N"),
        c(startup()),
        s([message(b'E', b"SFATAL\0C28P01\0Mpassword authentication failed\0\0")].concat()),
    ]);
    assert_eq!(
        lines(&sessions),
        ["postgresql Login|shop|user: alice database: shop|Login client_error '28P01: password authentication failed'"]
    );
    let cancel = play(&[c(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02")]);
    assert_eq!(lines(&cancel), ["postgresql Cancel||| unknown async"]);
}

/// Replication: the answer to START_REPLICATION is that the stream begins; what it carries is passed over.
#[test]
fn replication_streams() {
    let message =
        |tag: u8, body: &[u8]| [&[tag][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat();
    let script = [
        c(message(b'Q', b"START_REPLICATION SLOT s LOGICAL 0/0\0")),
        s([message(b'W', b"\0\0\0"), message(b'd', b"k\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")].concat()),
        c(message(b'd', b"r\0\0\0\0\0\0\0\0")),
        s(message(b'd', &[b'w'; 3000])),
        c(message(b'c', b"")),
        s([message(b'c', b""), message(b'C', b"COPY 0\0"), message(b'Z', b"I")].concat()),
        c(message(b'Q', b"SELECT 1\0")),
        s([message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat()),
    ];
    let sessions = play(&script);
    assert_eq!(
        lines(&sessions),
        [
            "postgresql Query||START_REPLICATION SLOT s LOGICAL ?/?|START_REPLICATION ok",
            "postgresql Query||SELECT ?|SELECT ok 'SELECT 1' rows=1",
        ]
    );
    assert_eq!(sessions[0].response_bytes, 8);
}

/// A key of protocol 3.2 in a CancelRequest; encryption by GSSAPI hides all that follows.
#[test]
fn long_keys_and_gssapi() {
    let cancel = [&44_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), &7_u32.to_be_bytes(), &[0xaa; 32]].concat();
    assert_eq!(lines(&play(&[c(cancel)])), ["postgresql Cancel||| unknown async"]);
    let request = [8_u32.to_be_bytes(), 80_877_104_u32.to_be_bytes()].concat();
    let sessions = play(&[c(request), s("G"), c([0, 0, 0, 9, b'Q', 1, 2, 3]), s([0, 0, 0, 5, b'Z', 0, 0, 0, 5])]);
    assert!(sessions.is_empty(), "{:?}", lines(&sessions));
}

/// Forty inserts in one call, 24 bytes each: of its first 512 bytes 21 are whole. Their answers, 19 bytes each, come in one call, of which 512 hold
/// 26 and all but the last byte of another. Then forty in calls of their own, answered by one such call again.
#[test]
fn pipelines_beyond_the_prefix() {
    let insert = [message(b'B', b"\0s\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0")].concat();
    let answer = [message(b'2', b""), message(b'C', b"UPDATE 1\0")].concat();
    assert_eq!((insert.len(), answer.len()), (24, 19));
    let sync = message(b'S', b"");
    let prepare = [message(b'P', b"s\0insert into t values(1)\0\0\0"), sync.clone()].concat();
    let answers = [answer.repeat(40), ready()].concat();
    let mut script = vec![c(prepare), s([message(b'1', b""), ready()].concat())];
    script.extend([c([insert.repeat(40), sync.clone()].concat()), s(&answers)]);
    script.extend(vec![c(&insert); 39]);
    script.extend([c([insert, sync].concat()), s(answers)]);
    script.push(c(message(b'Q', b"select 1; select 2\0")));
    script.push(s([message(b'C', b"SELECT 1\0"), message(b'C', b"SELECT 1\0"), ready()].concat()));
    let sessions = play_prefix(5432, 512, &script);
    let execute = "postgresql Execute||insert into t values(?)|INSERT t";
    let answered = || std::iter::repeat_n(format!("{execute} ok 'UPDATE 1' rows=1"), 27);
    let mut expected = vec!["postgresql Parse||insert into t values(?)|INSERT t ok".to_owned()];
    expected.extend(answered().take(21));
    // Answers without the words of their requests, then requests without the words of their answers.
    expected.extend(vec!["postgresql ||| ok 'UPDATE 1' rows=1 [truncated_payload]".to_owned(); 6]);
    expected.extend(answered());
    expected.extend(vec![format!("{execute} unknown [truncated_payload+gap]"); 13]);
    expected.push("postgresql Query||select ?; select ?|SELECT ok 'SELECT 1' rows=2 [gap]".to_owned());
    assert_eq!(lines(&sessions), expected);
    let turn = |number: i64| Some(number * 1_000_000);
    assert!(sessions[1..28].iter().all(|session| session.response_ts == turn(3)));
    // The forty from the fifth turn on are answered in the 45th, the last of them, too.
    assert!(sessions[28..68].iter().all(|session| session.response_ts == turn(44)));
    assert_eq!((sessions[67].request_ts, sessions[68].response_ts), (turn(43), turn(46)));
}
