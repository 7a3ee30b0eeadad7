use super::super::script::{c, lines, play, play_prefix, s};
use crate::model::{Side, Status};

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c("*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$6\r\nsecret\r\n"),
        s("+OK\r\n"),
        c("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"),
        s("$5\r\nvalue\r\n:42\r\n"),
        c("*2\r\n$6\r\nLRANGE\r\n$1\r\nl\r\n"),
        s("*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n+x\r\n"),
        c("PING\r\n"),
        s("+PONG\r\n"),
        c("*1\r\n$3\r\nFOO\r\n"),
        s("-ERR unknown command 'FOO'\r\n"),
        c("*2\r\n$9\r\nSUBSCRIBE\r\n$2\r\nch\r\n"),
        s("*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$2\r\nhi\r\n"),
    ]
}

#[test]
fn commands_and_replies() {
    assert_eq!(
        lines(&play(&sample())),
        [
            "redis AUTH||AUTH *** ***| ok 'OK'",
            "redis GET||GET key| ok 'BulkString'",
            "redis INCR||INCR n| ok 'Integer'",
            "redis LRANGE||LRANGE l| ok 'Array'",
            "redis PING||PING| ok 'PONG'",
            "redis FOO||FOO| server_error 'ERR unknown command 'FOO''",
            "redis SUBSCRIBE||SUBSCRIBE ch| ok 'Array'",
            "redis message||ch| ok async",
        ]
    );
}

#[test]
fn resp3() {
    let sessions = play(&[
        c("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"),
        s("%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n"),
        c("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
        s(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n_\r\n"),
    ]);
    assert_eq!(
        lines(&sessions),
        ["redis HELLO||HELLO 3| ok 'Map'", "redis invalidate||k| ok async", "redis GET||GET k| ok 'Null'"]
    );
    assert_eq!(sessions[2].fields.version, "RESP3");
}

#[test]
fn values_that_were_not_captured() {
    let value = "v".repeat(3000);
    let script = [
        c(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000\r\n{value}\r\n")),
        s("+OK\r\n"),
        c("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
        s(format!("$3000\r\n{value}\r\n")),
        c("*1\r\n$4\r\nPING\r\n"),
        s("+PONG\r\n"),
    ];
    let sessions = play_prefix(6379, 400, &script);
    assert_eq!(sessions.len(), 3);
    assert_eq!(sessions[0].request_bytes, 3000 + 29);
    assert_eq!(sessions[1].response_bytes, 3000 + 9);
    assert_eq!(&*sessions[2].fields.result, "PONG");
    assert!(sessions.iter().all(|session| session.completeness.0 == 0));
}

/// An error text longer than most lines is an answer all the same when the one before it was cut.
#[test]
fn a_long_error_after_a_cut_answer() {
    let value = "v".repeat(1000);
    let sessions = play_prefix(
        6379,
        192,
        &[
            c("*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n"),
            s(format!("*2\r\n$1000\r\n{value}\r\n$1000\r\n{value}\r\n")),
            c("*2\r\n$6\r\nCLIENT\r\n$4\r\nNONE\r\n"),
            s("-ERR unknown subcommand or wrong number of arguments for 'NONE'. Try CLIENT HELP.\r\n"),
            c("*1\r\n$4\r\nPING\r\n"),
            s("+PONG\r\n"),
        ],
    );
    let kept: Vec<_> = sessions.iter().map(|s| (&*s.fields.request_type, s.fields.status)).collect();
    assert_eq!(kept, [("MGET", Status::Ok), ("CLIENT", Status::ServerError), ("PING", Status::Ok)]);
}

#[test]
fn commands_that_are_not_answered() {
    // CLIENT REPLY SKIP silences itself and the next command, OFF all up to ON.
    let command = |words: &[&str]| {
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        bytes
    };
    let asked = [
        command(&["CLIENT", "REPLY", "SKIP"]),
        command(&["SET", "a", "1"]),
        command(&["GET", "a"]),
        command(&["CLIENT", "REPLY", "OFF"]),
        command(&["SET", "a", "2"]),
        command(&["CLIENT", "REPLY", "ON"]),
        command(&["PING"]),
    ];
    let sessions = play(&[c(asked.concat()), s("$1\r\n1\r\n+OK\r\n+PONG\r\n")]);
    let answered: Vec<_> = sessions.iter().filter(|s| s.response_ts.is_some()).collect();
    assert_eq!(
        answered.iter().map(|s| (&*s.fields.request_type, &*s.fields.result)).collect::<Vec<_>>(),
        [("GET", "BulkString"), ("CLIENT", "OK"), ("PING", "PONG")]
    );
    assert_eq!(sessions.iter().filter(|s| s.fields.is_async).count(), 4);
}

#[test]
fn values_named_like_secrets_are_masked() {
    let command = |words: &[&str]| {
        let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        words
    };
    let of = |words: &[&str]| {
        let sessions = play(&[c(format!("*{}\r\n{}", words.len(), command(words))), s("+OK\r\n")]);
        sessions[0].fields.request_resource.to_string()
    };
    assert_eq!(of(&["SET", "session:4711", "abc", "EX", "60"]), "SET session:4711 *** EX 60");
    assert_eq!(of(&["SETEX", "reset-token", "60", "abc"]), "SETEX reset-token 60 ***");
    assert_eq!(of(&["HSET", "user:1", "name", "anna", "password", "x"]), "HSET user:1 name anna password ***");
    assert_eq!(of(&["SET", "k", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"]), "SET k ***");
    assert_eq!(of(&["SET", "colour", "red"]), "SET colour red");
    assert_eq!(of(&["GET", "session:4711"]), "GET session:4711");
}

/// MONITOR tells what others ask: rows of their own, without what they said.
#[test]
fn monitored() {
    let script = [
        c("*1\r\n$7\r\nMONITOR\r\n"),
        s("+OK\r\n"),
        s(
            "+1339518083.107412 [0 127.0.0.1:60866] \"auth\" \"secret\"\r\n+1339518087.877697 [0 127.0.0.1:60866] \"dbsize\"\r\n",
        ),
        c("*1\r\n$4\r\nPING\r\n"),
        s("+PONG\r\n"),
    ];
    assert_eq!(
        lines(&play(&script)),
        [
            "redis MONITOR||MONITOR| ok 'OK'",
            "redis MONITORED||| ok async",
            "redis MONITORED||| ok async",
            "redis PING||PING| ok 'PONG'",
        ]
    );
}

/// RESP3 specification, "Streamed strings" and "Streamed aggregate data types": its own examples.
#[test]
fn streamed_types() {
    let get = |key: &str| c(format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()));
    let sessions = play(&[
        c("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"),
        s("%?\r\n+a\r\n:1\r\n+b\r\n:2\r\n.\r\n"),
        get("s"),
        s("$?\r\n;4\r\nHell\r\n;5\r\no wor\r\n;1\r\nd\r\n;0\r\n"),
        get("nested"),
        s("*?\r\n:1\r\n*2\r\n$?\r\n;1\r\nx\r\n;0\r\n~?\r\n:7\r\n.\r\n:3\r\n.\r\n"),
        get("last"),
        s("|1\r\n+ttl\r\n:3600\r\n$2\r\nok\r\n"),
        // The specification's example of attributes, and attributes of an element.
        get("attributes"),
        s("|1\r\n+key-popularity\r\n%2\r\n$1\r\na\r\n,0.1923\r\n$1\r\nb\r\n,0.0012\r\n*2\r\n:2039123\r\n:9543892\r\n"),
        get("inside"),
        s("*3\r\n:1\r\n:2\r\n|1\r\n+ttl\r\n:3600\r\n:3\r\n"),
        get("error"),
        s("|1\r\n+why\r\n_\r\n-ERR no\r\n"),
    ]);
    assert_eq!(
        lines(&sessions),
        [
            "redis HELLO||HELLO 3| ok 'Map'",
            "redis GET||GET s| ok 'BulkString'",
            "redis GET||GET nested| ok 'Array'",
            "redis GET||GET last| ok 'BulkString'",
            "redis GET||GET attributes| ok 'Array'",
            "redis GET||GET inside| ok 'Array'",
            "redis GET||GET error| server_error 'ERR no'",
        ]
    );
}
