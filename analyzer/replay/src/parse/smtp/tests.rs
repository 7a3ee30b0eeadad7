use super::super::script::{c, lines, play, s};
use crate::model::Side;

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        s("220 mx.example ESMTP\r\n"),
        c("EHLO me.example\r\n"),
        s("250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
        c("AUTH LOGIN\r\n"),
        s("334 VXNlcm5hbWU6\r\n"),
        c("dXNlcg==\r\n"),
        s("334 UGFzc3dvcmQ6\r\n"),
        c("cGFzcw==\r\n"),
        s("235 ok\r\n"),
        c("auth PLAIN AHVzZXIAcGFzcw==\r\n"),
        s("503 already\r\n"),
        c("MAIL FROM:<a@b>\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\nRCPT TO:<e@f>\r\nDATA\r\n"),
        s("250 ok\r\n250 ok\r\n450 busy\r\n354 go\r\n"),
        c("Subject: x\r\n\r\nQUIT\r\n..\r\n"),
        c("end\r\n.\r\nQUIT\r\n"),
        s("250 queued\r\n221 bye\r\n"),
    ]
}

#[test]
fn a_mail() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "smtp GREETING||| ok 220 async",
            "smtp EHLO|me.example|| ok 250",
            "smtp AUTH||LOGIN|LOGIN ok 235",
            "smtp AUTH||PLAIN ***|PLAIN client_error 503 'already'",
            "smtp MAIL||<a@b>| ok 250",
            "smtp RCPT||<c@d> NOTIFY=NEVER| ok 250",
            "smtp RCPT||<e@f>| server_error 450 'busy'",
            "smtp DATA||| ok 354",
            "smtp MESSAGE||| ok 250",
            "smtp QUIT||| ok 221",
        ]
    );
    // 10 + 2, 2, 4 + 2, 2 + 2, then 3 + 2 and 1 + 2.
    assert_eq!(sessions[8].request_bytes, 12 + 2 + 6 + 4 + 5 + 3);
}

#[test]
fn starttls() {
    let script = vec![
        s("220 x ESMTP\r\n"),
        c("STARTTLS\r\n"),
        s("220 go\r\n"),
        // An alert of TLS: fatal, handshake failure.
        c([21, 3, 1, 0, 2, 2, 40]),
    ];
    let sessions = play(&script);
    assert_eq!(lines(&sessions)[1], "smtp STARTTLS||| ok 220");
    assert!(lines(&sessions).iter().all(|line| !line.contains("parse_failed")));
}

#[test]
fn a_client_that_does_not_wait_for_the_greeting() {
    let script = vec![c("HELO me\r\n"), s("220 x ESMTP\r\n250 x\r\n")];
    assert_eq!(lines(&play(&script)), ["smtp GREETING||| ok 220 async", "smtp HELO|me|| ok 250"]);
}

/// A chunk's size must be followed by LAST or nothing: else it is refused, and the next command stands right behind.
#[test]
fn a_chunk_that_is_refused_has_no_bytes() {
    let script = [
        s("220 mx.example ESMTP\r\n"),
        c("EHLO me.example\r\n"),
        s("250 CHUNKING\r\n"),
        c("BDAT 9 X\r\nRSET\r\nBDAT 4 LAST\r\nabc\nNOOP\r\n"),
        s("501 syntax\r\n250 ok\r\n250 queued\r\n250 ok\r\n"),
    ];
    assert_eq!(
        lines(&play(&script))[2..],
        [
            "smtp BDAT||9 X| client_error 501 'syntax'",
            "smtp RSET||| ok 250",
            "smtp BDAT||4 LAST| ok 250",
            "smtp NOOP||| ok 250"
        ]
    );
}
