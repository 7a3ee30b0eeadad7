use super::super::Conversation;
use super::super::script::{c, end, lines, play, s, say};
use crate::model::{Completeness, Side, Transport};

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

/// An empty turn is a gap on that side.
fn with_gaps(script: &[(Side, Vec<u8>)]) -> Vec<String> {
    let mut conversation = Conversation::new(Transport::Tcp, 40000, 25);
    for (turn, (from, data)) in script.iter().enumerate() {
        match data.as_slice() {
            [] => conversation.gap(*from, 70, i64::try_from(turn).unwrap() * 1_000_000, Completeness::GAP),
            data => say(&mut conversation, *from, data, 0, turn),
        }
    }
    lines(&end(conversation, script.len()))
}

#[test]
fn a_mail_around_what_is_missing() {
    let start = [s("220 mx.example ESMTP\r\n"), c("EHLO me\r\n"), s("250 x\r\n"), c("DATA\r\n")];
    let (gap, mail) = ([c(""), s("")], c("Subject: x\r\n\r\nQUIT\r\n.\r\n"));
    let (go, stored, noop, ok) = (s("354 go\r\n"), s("250 stored\r\n"), c("NOOP\r\n"), s("250 fine\r\n"));
    let rows = |rest: &[(Side, Vec<u8>)]| with_gaps(&[&start, rest].concat())[2..].to_vec();
    // The word to go on is missing, with a mail and without one.
    let lost = "smtp DATA||| unknown [gap]";
    assert_eq!(
        rows(&[gap[1].clone(), mail.clone(), stored.clone(), noop.clone(), ok.clone()]),
        [lost, "smtp MESSAGE||| ok 250", "smtp NOOP||| ok 250"]
    );
    assert_eq!(rows(&[gap[1].clone(), c("RSET\r\n"), ok.clone()]), [lost, "smtp RSET||| ok 250"]);
    // A part of the mail, and its end.
    let data = "smtp DATA||| ok 354";
    assert_eq!(
        rows(&[
            go.clone(),
            c("Subject: x\r\n"),
            gap[0].clone(),
            mail.clone(),
            stored.clone(),
            noop.clone(),
            ok.clone()
        ]),
        [data, "smtp MESSAGE||| ok 250 [gap]", "smtp NOOP||| ok 250"]
    );
    assert_eq!(
        rows(&[go, c("Subject: x\r\n"), gap[0].clone(), stored, noop, ok]),
        [data, "smtp MESSAGE||| ok 250 [gap]", "smtp NOOP||| ok 250"]
    );
}

/// A mail written by one call, of which the recording has the beginning: it is a row, and the reply is its.
#[test]
fn mail_behind_the_prefix() {
    let mail = format!("Subject: long\r\n\r\n{}\r\n.\r\n", "body line\r\n".repeat(100));
    let length = mail.len();
    let sessions = super::super::script::play_prefix(
        25,
        64,
        &[
            s("220 mx ESMTP\r\n"),
            c("EHLO me\r\n"),
            s("250 mx\r\n"),
            c("DATA\r\n"),
            s("354 go on\r\n"),
            c(mail),
            s("250 queued\r\n"),
            c("QUIT\r\n"),
            s("221 bye\r\n"),
        ],
    );
    let rows = lines(&sessions);
    assert_eq!(rows[3..], ["smtp MESSAGE||| ok 250 [gap]", "smtp QUIT||| ok 221"]);
    assert_eq!((sessions[3].request_bytes, sessions[3].request_ts), (length as u64, Some(5_000_000)));
}
