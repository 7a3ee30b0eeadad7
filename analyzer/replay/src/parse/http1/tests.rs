use super::super::Conversation;
use super::super::script::{c, end, line, lines, play, play_open, play_prefix, s, say};
use crate::model::{Completeness, Side, Transport};

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c("GET /a/b/c?x=1&token=abc HTTP/1.1\r\nHost: shop\r\nUser-Agent: wget\r\n\r\n"),
        s("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        c("POST /up HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"),
        s("HTTP/1.1 100 Continue\r\n\r\n"),
        c("4\r\nwiki\r\n6;x=y\r\npedia \r\n0\r\nTrailer: t\r\n\r\n"),
        s("HTTP/1.1 500 Internal Server Error\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n"),
        c("HEAD /h HTTP/1.1\r\nHost: shop\r\n\r\nGET /n HTTP/1.1\r\nHost: shop\r\n\r\n"),
        s("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        c("GET /last HTTP/1.0\r\n\r\n"),
        s("HTTP/1.0 404 Not Found\r\n\r\nuntil the end"),
    ]
}

#[test]
fn methods_statuses_bodies() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "http GET|shop|/a/b/c?x=1&token=***|/a/b ok 200",
            "http POST|shop|/up|/up server_error 500 'Internal Server Error'",
            "http HEAD|shop|/h|/h ok 200",
            "http GET|shop|/n|/n ok 304",
            "http GET||/last|/last client_error 404 'Not Found'",
        ]
    );
    // Sizes counted by hand: heads and bodies as they are on the stream.
    let sizes: Vec<(u64, u64)> = sessions.iter().map(|s| (s.request_bytes, s.response_bytes)).collect();
    assert_eq!(sizes, [(67, 43), (124, 79), (32, 39), (31, 48), (22, 39)]);
    assert_eq!(&*sessions[0].fields.user_agent, "wget");
    // One millisecond per turn: POST is turns 2 to 4, its answer turn 5; the interim response does not count.
    assert_eq!(sessions[1].request_ts, Some(2_000_000));
    assert_eq!(sessions[1].request_end_ts, Some(4_000_000));
    assert_eq!(sessions[1].first_byte_ts, Some(5_000_000));
    assert_eq!(sessions[1].response_ts, Some(5_000_000));
    let interim = |at: usize| sessions[at].fields.attributes.iter().find(|(name, _)| *name == "interim").cloned();
    assert_eq!(interim(1), Some(("interim", "100".into())));
    assert_eq!((interim(0), interim(2)), (None, None));
}

#[test]
fn a_host_without_its_user() {
    let script = [c("GET / HTTP/1.1\r\nHost: joe:hunter2@shop:80\r\n\r\n"), s("HTTP/1.1 204 No Content\r\n\r\n")];
    assert_eq!(lines(&play(&script)), ["http GET|shop:80|/|/ ok 204"]);
    assert_eq!(&*play_open(&script)[0].fields.request_domain, "joe:hunter2@shop:80");
}

#[test]
fn secrets_on_demand() {
    let sessions = play_open(&sample());
    assert_eq!(&*sessions[0].fields.request_resource, "/a/b/c?x=1&token=abc");
}

#[test]
fn trace_context() {
    let sessions = play(&[
        c(
            "GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: r1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX-Forwarded-For: 1.2.3.4\r\nCookie: a=b\r\n\r\n",
        ),
        s("HTTP/1.1 204 No Content\r\n\r\n"),
    ]);
    let fields = &sessions[0].fields;
    assert_eq!(&*fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(&*fields.span_id, "b7ad6b7169203331");
    assert_eq!(&*fields.x_request_id, "r1");
    assert_eq!(fields.attributes[0], ("x_forwarded_for", "1.2.3.4".into()));
}

#[test]
fn bodies_that_were_not_captured() {
    let body = "x".repeat(5000);
    let mut script = Vec::new();
    for turn in 0..3 {
        script.push(c(format!("POST /{turn} HTTP/1.1\r\nContent-Length: 5000\r\n\r\n{body}")));
        script.push(s(format!("HTTP/1.1 20{turn} OK\r\nContent-Length: 5000\r\n\r\n{body}")));
    }
    let sessions = play_prefix(80, 192, &script);
    assert_eq!(lines(&sessions), ["http POST||/0|/0 ok 200", "http POST||/1|/1 ok 201", "http POST||/2|/2 ok 202"]);
    assert!(sessions.iter().all(|session| session.request_bytes == 5042 && session.response_bytes == 5041));
}

#[test]
fn heads_that_were_cut() {
    let cookie = "c".repeat(2000);
    let script = [
        c(format!("GET /1 HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n")),
        s(format!("HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\n\r\n")),
        c(format!("GET /2 HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n")),
        s(format!("HTTP/1.1 503 No\r\nSet-Cookie: {cookie}\r\n\r\n")),
    ];
    let sessions = play_prefix(80, 512, &script);
    assert_eq!(
        lines(&sessions),
        ["http GET|a|/1|/1 ok 200 [truncated_payload]", "http GET|a|/2|/2 server_error 503 'No' [truncated_payload]",]
    );
    assert_eq!(sessions[0].response_bytes, 2033);
    assert_eq!(sessions[0].response_ts, Some(1_000_000));
}

#[test]
fn joined_in_the_middle_and_the_wrong_way_round() {
    let sessions = play(&[
        c("rest of a body"),
        c("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        s("GET /x HTTP/1.1\r\nHost: y\r\n\r\n"),
        c("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        s("GET /z HTTP/1.1\r\nHost: y\r\n\r\n"),
    ]);
    assert_eq!(
        lines(&sessions),
        [
            "http ||| ok 200 [started_before]",
            "http GET|y|/x|/x client_error 404 'Not Found'",
            "http GET|y|/z|/z unknown [ended_after]",
        ]
    );
}

#[test]
fn connect_and_upgrade() {
    let sessions = play(&[
        c("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"),
        s("HTTP/1.1 200 Connection established\r\n\r\n"),
        c("GET /inner HTTP/1.1\r\nHost: i\r\n\r\n"),
        s("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]);
    assert_eq!(lines(&sessions), ["http CONNECT|db:5432|db:5432|db:5432 ok 200", "http GET|i|/inner|/inner ok 200"]);
}

#[test]
fn responses_lost_in_a_gap() {
    let mut conversation = super::super::Conversation::new(crate::model::Transport::Tcp, 40000, 80);
    use super::super::script::{end, say};
    say(&mut conversation, Side::Client, b"GET /1 HTTP/1.1\r\n\r\n", 0, 0);
    conversation.gap(Side::Server, 100, 1, Completeness::GAP);
    say(&mut conversation, Side::Client, b"GET /2 HTTP/1.1\r\n\r\n", 0, 2);
    say(&mut conversation, Side::Server, b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 0, 3);
    let sessions = end(conversation, 4);
    assert_eq!(lines(&sessions), ["http GET||/1|/1 unknown [gap]", "http GET||/2|/2 ok 201"]);
}

#[test]
fn timeouts() {
    let mut conversation = super::super::Conversation::new(crate::model::Transport::Tcp, 40000, 80);
    super::super::script::say(&mut conversation, Side::Client, b"GET /1 HTTP/1.1\r\n\r\n", 0, 0);
    let sessions = super::super::script::end(conversation, 200_000);
    assert_eq!(line(&sessions[0]), "http GET||/1|/1 timeout");
}

#[test]
fn a_length_with_leading_zeros() {
    let first = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 00000000000000000000000000000005\r\n\r\nXXXXX";
    let script = [c(format!("{first}GET /next HTTP/1.1\r\nHost: h\r\n\r\n")), s("HTTP/1.1 204 No Content\r\n\r\n")];
    let sessions = play(&script);
    assert_eq!(sessions.iter().map(|s| &*s.fields.request_resource).collect::<Vec<_>>(), ["/", "/next"]);
    assert_eq!(sessions[0].request_bytes, first.len() as u64);
}

fn get(path: &str) -> (Side, Vec<u8>) {
    c(format!("GET {path} HTTP/1.1\r\n\r\n"))
}

fn ok(status: u16) -> (Side, Vec<u8>) {
    s(format!("HTTP/1.1 {status} OK\r\nContent-Length: 0\r\n\r\n"))
}

/// Plays turns; an empty one is a gap of 70 bytes on that side.
fn with_gaps(script: &[(Side, Vec<u8>)]) -> Vec<String> {
    let mut conversation = Conversation::new(Transport::Tcp, 40000, 80);
    for (turn, (from, data)) in script.iter().enumerate() {
        match data.as_slice() {
            [] => conversation.gap(*from, 70, i64::try_from(turn).unwrap() * 1_000_000, Completeness::GAP),
            data => say(&mut conversation, *from, data, 0, turn),
        }
    }
    lines(&end(conversation, script.len()))
}

#[test]
fn pairs_after_a_loss_are_right_or_say_so() {
    let gap = (Side::Server, Vec::new());
    // One at a time: what comes answers the last request, whatever was lost before.
    assert_eq!(
        with_gaps(&[get("/0"), ok(200), get("/1"), gap.clone(), get("/2"), gap.clone(), ok(201), get("/3"), ok(202)]),
        ["http GET||/0|/0 ok 200", "http GET||/1|/1 unknown [gap]", "http GET||/2|/2 ok 201", "http GET||/3|/3 ok 202"]
    );
    // Pipelined: of two answers one is lost, and nothing tells which. Once all is answered, all is certain again.
    let three = [get("/1"), get("/2"), gap.clone(), ok(201), get("/3"), ok(203)];
    assert_eq!(
        with_gaps(&three),
        ["http GET||/1|/1 ok 201 [gap]", "http GET||/2|/2 unknown [gap]", "http GET||/3|/3 ok 203 [gap]"]
    );
    let more = [three.as_slice(), &[get("/4"), ok(204)]].concat();
    assert_eq!(with_gaps(&more)[3], "http GET||/4|/4 ok 204");
    // Requests lost between pipelined ones: those before are answered before.
    let client = (Side::Client, Vec::new());
    let lines = with_gaps(&[get("/1"), get("/2"), client, get("/4"), ok(201), ok(202), ok(203), ok(204)]);
    assert_eq!(
        lines,
        ["http GET||/1|/1 ok 201", "http GET||/2|/2 ok 202", "http GET||/4|/4 ok 203 [gap]", "http ||| ok 204 [gap]"]
    );
}

#[test]
fn where_an_answer_leads_is_masked_too() {
    let sessions = play(&[
        get("/cb"),
        s("HTTP/1.1 302 Found\r\nLocation: https://app/cb?code=s3cr3t&state=1\r\nContent-Length: 0\r\n\r\n"),
    ]);
    assert!(sessions[0].fields.attributes.contains(&("location", "https://app/cb?code=***&state=1".into())));
}

/// A body of five bytes under a length that says 5000, on a connection that goes on.
#[test]
fn a_length_that_is_a_lie_swallows_only_its_own_message() {
    let lie = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nhello";
    let sessions = play(&[get("/1"), s(lie), get("/2"), ok(201), get("/3"), ok(404)]);
    assert_eq!(
        lines(&sessions),
        ["http GET||/1|/1 ok 200", "http GET||/2|/2 ok 201", "http GET||/3|/3 client_error 404 'OK'"]
    );
    assert_eq!((sessions[0].response_bytes, sessions[0].response_ts), (lie.len() as u64, Some(1_000_000)));
    assert_eq!(sessions[1].response_ts, Some(3_000_000));
    // The same of a request that is answered; of chunks; and of a body that goes on although it looks like a message.
    let post = |path: &str| c(format!("POST {path} HTTP/1.1\r\nContent-Length: 5000\r\n\r\nhello"));
    let sessions = play(&[post("/1"), ok(400), get("/2"), ok(201)]);
    assert_eq!(lines(&sessions), ["http POST||/1|/1 client_error 400 'OK'", "http GET||/2|/2 ok 201"]);
    let chunks = s("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nshort");
    assert_eq!(
        lines(&play(&[get("/1"), chunks, get("/2"), ok(201)])),
        ["http GET||/1|/1 ok 200", "http GET||/2|/2 ok 201"]
    );
    let inner = ok(500).1;
    let outer = s(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", inner.len()));
    let sessions = play(&[get("/1"), outer, (Side::Server, inner), get("/2"), ok(201)]);
    assert_eq!(lines(&sessions), ["http GET||/1|/1 ok 200", "http GET||/2|/2 ok 201"]);
}

#[test]
fn answers_that_are_cut_short() {
    let cut = |script: &[(Side, Vec<u8>)], by: Option<Side>| {
        let mut conversation = Conversation::new(Transport::Tcp, 40000, 80);
        for (turn, (from, data)) in script.iter().enumerate() {
            say(&mut conversation, *from, data, 0, turn);
        }
        if let Some(by) = by {
            conversation.leaves(by);
        }
        conversation.close(9_000_000);
        lines(&end(conversation, script.len()))
    };
    let long = [get("/1"), s("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")];
    let by_server = "http GET||/1|/1 server_error 200 'connection closed by the server inside the response'";
    assert_eq!(cut(&long, Some(Side::Server)), [by_server]);
    let by_client = "http GET||/1|/1 client_error 200 'connection closed by the client inside the response'";
    assert_eq!(cut(&long, Some(Side::Client)), [by_client]);
    // Nobody was seen to leave.
    assert_eq!(cut(&long, None), ["http GET||/1|/1 ok 200"]);
    let chunked = |body: &str| [get("/1"), s(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"))];
    for body in ["", "5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n"] {
        assert_eq!(cut(&chunked(body), Some(Side::Server)), [by_server], "{body:?}");
    }
    // Whole ones are what they are: by length, by chunks, by the end of the connection.
    for body in ["0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"] {
        assert_eq!(cut(&chunked(body), Some(Side::Server)), ["http GET||/1|/1 ok 200"]);
    }
    assert_eq!(cut(&[get("/1"), ok(200)], Some(Side::Client)), ["http GET||/1|/1 ok 200"]);
    assert_eq!(cut(&[get("/1"), s("HTTP/1.0 200 OK\r\n\r\nhello")], Some(Side::Server)), ["http GET||/1|/1 ok 200"]);
}

#[test]
fn requests_that_are_never_answered() {
    let alone = |script: &[(Side, Vec<u8>)], says: fn(&mut Conversation)| {
        let mut conversation = Conversation::new(Transport::Tcp, 40000, 80);
        for (turn, (from, data)) in script.iter().enumerate() {
            say(&mut conversation, *from, data, 0, turn);
        }
        says(&mut conversation);
        conversation.close(9_000_000);
        lines(&end(conversation, script.len()))
    };
    let by_client = "http GET||/2|/2 client_error 'connection closed by the client before a response'";
    let by_server = "http GET||/2|/2 server_error 'connection closed by the server before a response'";
    let second = [get("/1"), ok(200), get("/2")];
    assert_eq!(alone(&second, |c| c.leaves(Side::Client))[1], by_client);
    assert_eq!(alone(&second, |c| c.leaves(Side::Server))[1], by_server);
    // A client that reads the end of the stream closes its socket afterwards; one that is the first to close it gives up.
    let read_end: fn(&mut Conversation) = |c| {
        c.leaves(Side::Server);
        c.lets_go(Side::Client);
    };
    assert_eq!(alone(&second, read_end)[1], by_server);
    assert_eq!(alone(&second, |c| c.lets_go(Side::Client))[1], by_client);
    assert_eq!(alone(&second, |_| {})[1], "http GET||/2|/2 unknown 'connection closed before a response'");
    // An interim answer is none; a request that is not whole is not answered either.
    let waiting = [get("/2"), s("HTTP/1.1 100 Continue\r\n\r\n")];
    assert_eq!(alone(&waiting, |c| c.leaves(Side::Server)), [by_server]);
    let torn = [c("POST /2 HTTP/1.1\r\nContent-Length: 100\r\n\r\nhello")];
    let torn = alone(&torn, |c| c.leaves(Side::Client));
    assert_eq!(torn, ["http POST||/2|/2 client_error 'connection closed by the client before a response'"]);
    // What was answered stays what it is, whoever leaves then.
    assert_eq!(alone(&second[..2], |c| c.leaves(Side::Client)), ["http GET||/1|/1 ok 200"]);
}

/// RFC 1945 section 4.1: `Simple-Request = "GET" SP Request-URI CRLF`.
#[test]
fn before_there_were_versions() {
    let sessions = play(&[c("GET /old/page?token=abc\r\n"), s("<html>hi</html>")]);
    assert_eq!(lines(&sessions), ["http GET||/old/page?token=***|/old/page unknown"]);
    assert_eq!((sessions[0].fields.version, sessions[0].response_bytes), ("0.9", 15));
    // Answered before the line has ended; and answered as 1.x does.
    assert_eq!(lines(&play(&[c("GET /"), s("<html>hi</html>"), s("more")])), ["http GET||/|/ unknown"]);
    assert_eq!(lines(&play(&[c("GET /\r\n"), s("HTTP/1.0 404 No\r\n\r\n")])), ["http GET||/|/ client_error 404 'No'"]);
    // The version comes in the next segment.
    assert_eq!(lines(&play(&[c("GET /a"), c("b HTTP/1.1\r\n\r\n"), ok(200)])), ["http GET||/ab|/ab ok 200"]);
}

#[test]
fn lines_that_are_folded_and_line_feeds_alone() {
    let sessions = play(&[
        c(
            "POST /1 HTTP/1.1\nHost:\n shop\nTransfer-Encoding:\n\tchunked\n\n5\nhello\n3;name=\"v;w\"\nabc\n0\nX: y\n\nGET /2 HTTP/1.1\n\n",
        ),
        s("HTTP/1.1 200 OK\nContent-Length:\n 2\n\nokHTTP/1.1 204 No\n\n"),
    ]);
    assert_eq!(lines(&sessions), ["http POST|shop|/1|/1 ok 200", "http GET||/2|/2 ok 204"]);
}
