use super::super::mask::MASK;
use super::super::script::{c, lines, play, s};
use crate::model::Side;

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        s("+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n"),
        c("USER mrose\r\n"),
        s("+OK\r\n"),
        c("PASS secret\r\n"),
        s("-ERR invalid password\r\n"),
        c("APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\nLIST\r\nRETR 1\r\n"),
        s(
            "+OK 1 message\r\n+OK 1 messages\r\n1 120\r\n.\r\n+OK 120 octets\r\nSubject: a\r\n\r\n..dot\r\nlast\r\n.\r\n",
        ),
        c("QUIT\r\n"),
        s("+OK bye\r\n"),
    ]
}

#[test]
fn a_session() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "pop3 GREETING||| ok async".to_owned(),
            "pop3 USER|mrose|mrose|USER ok".to_owned(),
            format!("pop3 PASS|mrose|{MASK}|PASS client_error 'invalid password'"),
            format!("pop3 APOP|mrose|mrose {MASK}|APOP ok"),
            "pop3 LIST|mrose||LIST ok".to_owned(),
            "pop3 RETR|mrose|1|RETR ok".to_owned(),
            "pop3 QUIT|mrose||QUIT ok".to_owned(),
        ]
    );
    // From `+OK 120 octets` to the line with the dot.
    assert_eq!(sessions[5].response_bytes, 16 + 12 + 2 + 7 + 6 + 3);
}

#[test]
fn tls_takes_over() {
    let hello = super::super::tls::tests::sample();
    let mut script = vec![s("+OK POP3 ready\r\n"), c("STLS\r\n"), s("+OK begin\r\n")];
    script.extend(hello);
    let all = lines(&play(&script));
    assert_eq!(all[1], "pop3 STLS|||STLS ok");
    assert!(all[2].starts_with("tls Handshake"), "{all:#?}");
}
