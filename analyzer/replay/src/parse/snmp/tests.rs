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
