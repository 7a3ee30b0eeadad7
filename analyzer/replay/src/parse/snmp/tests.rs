use super::super::script::{c, hex, lines, play_on, s};
use crate::model::{Side, Transport};

/// sysUpTime.0 of community "public", written out by hand.
fn message(operation: &str, id: &str, error: &str) -> Vec<u8> {
    hex(&format!(
        "30 29 02 01 01 04 06 7075626c6963 {operation} 1c 02 04 {id} 02 01 {error} 02 01 00 30 0e 30 0c 06 08 2b06010201010300 05 00"
    ))
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c(message("a0", "00000007", "00")),
        c(message("a3", "00000008", "00")),
        s(message("a2", "00000008", "11")),
        s(message("a2", "00000007", "00")),
        c(message("a7", "00000009", "00")),
    ]
}

#[test]
fn questions_by_id() {
    let sessions = play_on(Transport::Udp, 40000, 40161, &sample());
    assert_eq!(
        lines(&sessions),
        [
            "snmp Set||1.3.6.1.2.1.1.3.0|Set client_error 17",
            "snmp Get||1.3.6.1.2.1.1.3.0|Get ok",
            "snmp Trap||1.3.6.1.2.1.1.3.0|Trap unknown async",
        ]
    );
    assert_eq!(sessions[0].fields.version, "2c");
    assert!(!format!("{sessions:?}").contains("public"));
}

/// Of version 3 (RFC 3412 section 6): a GetNext in clear and its answer, and a message that is encrypted.
#[test]
fn version_3() {
    let message = |flags: &str, rest: &str| {
        let head = format!("02 01 03 30 0d 02 01 07 02 02 05dc 04 01 {flags} 02 01 03 {rest}");
        let body = hex(&head);
        [&[0x30, u8::try_from(body.len()).unwrap()][..], &body].concat()
    };
    let clear = |operation: &str| {
        format!(
            "04 02 3000 30 1e 04 01 aa 04 00 {operation} 17 02 01 09 02 01 00 02 01 00 30 0c 30 0a 06 06 2b0601020103 05 00"
        )
    };
    let script = [
        c(message("04", &clear("a1"))),
        s(message("00", &clear("a2"))),
        c(message("07", "04 02 3000 04 04 deadbeef")),
        s(message("03", "04 02 3000 04 04 deadbeef")),
    ];
    let sessions = play_on(Transport::Udp, 40000, 40161, &script);
    assert_eq!(lines(&sessions), ["snmp GetNext||1.3.6.1.2.1.3|GetNext ok", "snmp Message|||Message ok"]);
    assert!(sessions.iter().all(|session| session.fields.session_id == Some(7)));
}
