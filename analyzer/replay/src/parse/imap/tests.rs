use super::super::mask::MASK;
use super::super::script::{c, lines, play, s};
use crate::model::Side;

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        s("* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
        c("a1 LOGIN joe secret\r\n"),
        s("a1 NO [AUTHENTICATIONFAILED] wrong\r\n"),
        c("a2 LOGIN joe right\r\n"),
        s("a2 OK logged in\r\n"),
        c("a3 SELECT \"INBOX\"\r\na4 UID FETCH 1 BODY[]\r\n"),
        s(
            "* 1 EXISTS\r\n* FLAGS (\\Seen)\r\na3 OK [READ-WRITE] done\r\n* 1 FETCH (UID 1 BODY[] {15}\r\na4 OK not yet\r\n)\r\na4 OK done\r\n",
        ),
        c("a5 APPEND Sent {7}\r\n"),
        s("+ go on\r\n"),
        c("a9 NOOP\r\n"),
        s("a5 OK appended\r\n"),
        c("a6 IDLE\r\n"),
        s("+ idling\r\n* 2 EXISTS\r\n"),
        c("DONE\r\n"),
        s("a6 OK done\r\n"),
    ]
}

#[test]
fn tags_literals_and_idle() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "imap GREETING||| ok async".to_owned(),
            format!("imap LOGIN||joe {MASK}|LOGIN client_error '[AUTHENTICATIONFAILED] wrong' 'NO'"),
            format!("imap LOGIN||joe {MASK}|LOGIN ok 'OK'"),
            "imap SELECT|INBOX|\"INBOX\"|SELECT ok 'OK'".to_owned(),
            "imap UID FETCH|INBOX|1 BODY[]|UID FETCH ok 'OK'".to_owned(),
            // The line in between is the mail.
            "imap APPEND|INBOX|Sent {7}|APPEND ok 'OK'".to_owned(),
            "imap IDLE|INBOX||IDLE ok 'OK'".to_owned(),
        ]
    );
}

#[test]
fn tls_takes_over() {
    let mut script = vec![s("* OK IMAP4rev1 ready\r\n"), c(". STARTTLS\r\n"), s(". OK begin\r\n")];
    script.extend(super::super::tls::tests::sample());
    let all = lines(&play(&script));
    assert_eq!(all[1], "imap STARTTLS|||STARTTLS ok 'OK'");
    assert!(all[2].starts_with("tls Handshake"), "{all:#?}");
}
