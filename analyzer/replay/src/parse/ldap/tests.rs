use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

/// An element with a length of one byte.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&[tag, u8::try_from(content.len()).unwrap()][..], &content].concat()
}

fn message(id: u8, tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &[&[2, 1, id], &element(tag, parts)])
}

fn text(text: &str) -> Vec<u8> {
    element(4, &[text.as_bytes()])
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let search = hex("0a 01 02 0a 01 00 02 01 00 02 01 00 01 01 00 87 01 63 30 00");
    vec![
        c(message(1, 0x60, &[&[2, 1, 3], &text("cn=a"), &element(0x80, &[b"pass"])])),
        s(message(1, 0x61, &[&[10, 1, 49], &text(""), &text("bad password")])),
        c([message(2, 0x63, &[&text("dc=x"), &search]), message(3, 0x4a, &[b"cn=b"])].concat()),
        s([
            message(2, 0x64, &[&text("cn=a,dc=x"), &hex("30 00")]),
            message(3, 0x6b, &[&[10, 1, 53], &text(""), &text("no")]),
            message(2, 0x64, &[&text("cn=b,dc=x"), &hex("30 00")]),
            message(2, 0x65, &[&[10, 1, 0], &text(""), &text("")]),
        ]
        .concat()),
        c(message(4, 0x6e, &[&text("cn=a"), &hex("30 00")])),
        s(message(4, 0x6f, &[&[10, 1, 6], &text(""), &text("")])),
        c(message(5, 0x42, &[])),
    ]
}

#[test]
fn operations_by_id() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "ldap Bind||cn=a|Bind client_error 49 'bad password'",
            "ldap Delete||cn=b|Delete server_error 53 'no'",
            "ldap Search||dc=x|Search sub ok 0 rows=2",
            "ldap Compare||cn=a|Compare ok 6",
            "ldap Unbind|||Unbind unknown async",
        ]
    );
    // Two entries of 20 bytes and the result of 14.
    assert_eq!(sessions[2].response_bytes, 54);
}

#[test]
fn start_tls_ends_it() {
    let script = vec![
        c(message(1, 0x77, &[&element(0x80, &[b"1.3.6.1.4.1.1466.20037"])])),
        s(message(1, 0x78, &[&[10, 1, 0], &text(""), &text("")])),
        c([21, 3, 1, 0, 2, 2, 40]),
    ];
    let sessions = play(&script);
    assert_eq!(lines(&sessions)[0], "ldap Extended||1.3.6.1.4.1.1466.20037|Extended ok 0");
    assert!(lines(&sessions).iter().skip(1).all(|line| !line.starts_with("ldap")));
}
