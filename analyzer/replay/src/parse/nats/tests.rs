use super::super::script::{c, lines, play, play_on, s};
use crate::model::{Side, Transport};

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        s("INFO {\"server_id\":\"x\"}\r\n"),
        c("CONNECT {\"verbose\":false,\"pass\":\"p\"}\r\nPING\r\n"),
        s("PONG\r\n"),
        c("SUB _INBOX.1 1\r\nPUB greet _INBOX.1 5\r\nhello\r\nPUB log 2\r\nhi\r\n"),
        s("MSG _INBOX.1 1 3\r\nyes\r\nMSG other 2 2\r\nab\r\n"),
        c("HPUB h 24 26\r\nNATS/1.0\r\nX-Trace: a\r\n\r\nhi\r\n"),
        s("-ERR 'Slow Consumer'\r\n"),
    ]
}

#[test]
fn requests_and_messages() {
    assert_eq!(
        lines(&play(&sample())),
        [
            "nats INFO||| unknown async",
            "nats CONNECT||| unknown async",
            "nats PING||| ok",
            "nats SUB||_INBOX.1|_INBOX.1 unknown async",
            "nats PUB||log|log unknown async",
            "nats PUB||greet|greet ok",
            "nats MSG||other|other unknown async",
            "nats HPUB||h|h unknown async",
            "nats -ERR||| server_error 'Slow Consumer' async",
        ]
    );
}

/// Redis knows PING, too: the port decides.
#[test]
fn joined_at_a_ping() {
    let script = [s("PING\r\n"), c("PONG\r\nPUB greet _INBOX.1 1\r\nq\r\n"), s("MSG _INBOX.1 1 1\r\nr\r\n")];
    let joined = play_on(Transport::Tcp, 40000, 4222, &script);
    assert_eq!(lines(&joined), ["nats PING||| ok", "nats PUB||greet|greet ok"]);
    let asked = play_on(Transport::Tcp, 40000, 6379, &[c("PING\r\n"), s("+PONG\r\n")]);
    assert_eq!((asked.len(), asked[0].fields.l7_protocol, &*asked[0].fields.request_type), (1, "redis", "PING"));
}

#[test]
fn headers_carry_trace_context() {
    let head = "NATS/1.0\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    let sessions =
        play(&[c("CONNECT {}\r\n"), c(format!("HPUB orders {} {}\r\n{head}hi\r\n", head.len(), head.len() + 2))]);
    assert_eq!(&*sessions[1].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(&*sessions[1].fields.span_id, "b7ad6b7169203331");
}

/// Messages that were pulled come under their own subjects: the first one answers. What acknowledges them bears numbers.
#[test]
fn pulls() {
    let script = [
        s("INFO {}\r\n"),
        c("CONNECT {}\r\nPUB $JS.API.CONSUMER.MSG.NEXT.ST.dur _INBOX.1 0\r\n\r\n"),
        s("MSG st.x 1 $JS.ACK.OTHER.dur.1.1.1.1795468204514908975.1 1\r\nm\r\n"),
        s("MSG st.x 1 $JS.ACK.ST.dur.1.1.1.1795468204514908975.1 1\r\nm\r\n"),
        s("MSG st.x 1 $JS.ACK.hub.AC1.ST.dur.1.2.2.1795468204515196333.0.x 1\r\nn\r\n"),
        c("PUB $JS.ACK.ST.dur.1.1.1.1795468204514908975.1 4\r\n+ACK\r\n"),
    ];
    let sessions = play(&script);
    let next = "$JS.API.CONSUMER.MSG.NEXT.ST.dur";
    let one = "nats MSG||st.x|st.x unknown async".to_owned();
    let acknowledged = "nats PUB||$JS.ACK.ST.dur.1.1.1.1795468204514908975.1|$JS.ACK.ST.dur unknown async";
    let rows = lines(&sessions);
    assert_eq!(rows[2..], [one.clone(), format!("nats PUB||{next}|{next} ok"), one.clone(), one, acknowledged.into()]);
    assert_eq!(sessions[3].response_ts, Some(3_000_000));
}

/// The server answers for a subject that nobody listens to; a pull that finds nothing is no error.
#[test]
fn statuses() {
    let script = [
        s("INFO {}\r\n"),
        c("CONNECT {}\r\nPUB ask _INBOX.1 0\r\n\r\n"),
        s("HMSG _INBOX.1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"),
        c("PUB $JS.API.CONSUMER.MSG.NEXT.a.b _INBOX.2 0\r\n\r\n"),
        s("HMSG _INBOX.2 1 28 28\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n"),
    ];
    assert_eq!(
        lines(&play(&script))[2..],
        [
            "nats PUB||ask|ask server_error 503 'No Responders'",
            "nats PUB||$JS.API.CONSUMER.MSG.NEXT.a.b|$JS.API.CONSUMER.MSG.NEXT.a.b ok 404",
        ]
    );
}

/// TLS begins behind INFO, with the handshake's first bytes.
#[test]
fn tls_behind_info() {
    let mut script = vec![s("INFO {\"tls_required\":true}\r\n")];
    script.extend(super::super::tls::tests::sample());
    let sessions = play(&script);
    assert_eq!(&*sessions[0].fields.request_type, "INFO");
    assert!(sessions[1..].iter().all(|session| session.fields.l7_protocol == "tls") && sessions.len() > 1);
}

/// ADR-1: answers of JetStream are JSON with an `error` or without; ADR-32: those of services have headers.
#[test]
fn errors_of_jetstream_and_services() {
    let failed = r#"{"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
    let stored = r#"{"stream":"ORDERS","seq":7}"#;
    let refused =
        r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"ORDERS","seq":0}"#;
    let head = "NATS/1.0\r\nNats-Service-Error: no such item\r\nNats-Service-Error-Code: 500\r\n\r\n";
    let reply = |inbox: u8, body: &str| s(format!("MSG _INBOX.{inbox} 1 {}\r\n{body}\r\n", body.len()));
    let script = [
        s("INFO {}\r\n"),
        c("PUB $JS.API.STREAM.INFO.X _INBOX.1 0\r\n\r\n"),
        reply(1, failed),
        c("PUB orders.new _INBOX.2 2\r\nhi\r\n"),
        reply(2, stored),
        c("PUB orders.new _INBOX.3 2\r\nhi\r\n"),
        reply(3, refused),
        c("PUB stock _INBOX.4 2\r\nhi\r\n"),
        s(format!("HMSG _INBOX.4 1 {} {}\r\n{head}\r\n", head.len(), head.len())),
        // What an application answers is its own.
        c("PUB stock _INBOX.5 2\r\nhi\r\n"),
        reply(5, r#"{"items":[{"code":404}]}"#),
    ];
    assert_eq!(
        lines(&play(&script))[1..],
        [
            "nats PUB||$JS.API.STREAM.INFO.X|$JS.API.STREAM.INFO.X client_error 404 'stream not found'",
            "nats PUB||orders.new|orders.new ok",
            "nats PUB||orders.new|orders.new server_error 503 'maximum bytes exceeded'",
            "nats PUB||stock|stock server_error 500 'no such item'",
            "nats PUB||stock|stock ok",
        ]
    );
}
