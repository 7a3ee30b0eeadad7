use super::super::script::{c, lines, play, s};
use crate::model::Side;

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

#[test]
fn headers_carry_trace_context() {
    let head = "NATS/1.0\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
    let sessions =
        play(&[c("CONNECT {}\r\n"), c(format!("HPUB orders {} {}\r\n{head}hi\r\n", head.len(), head.len() + 2))]);
    assert_eq!(&*sessions[1].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(&*sessions[1].fields.span_id, "b7ad6b7169203331");
}
