use super::super::script::{c, hex, lines, play_on, s};
use crate::model::{Side, Transport};

fn message(operation: &str, yours: &str, options: &str) -> Vec<u8> {
    hex(&format!("{operation} 01 06 00 0000abcd 0000 0000 00000000 {yours} {} 63825363 {options} ff", "00".repeat(216)))
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        // REQUEST for 10.0.0.7 by a host named "pc".
        c(message("01", "00000000", "350103 0c027063 32040a000007")),
        s(message("02", "0a000007", "350105")),
        s(message("02", "00000000", "350106 38026e6f")),
    ]
}

#[test]
fn leases() {
    let sessions = play_on(Transport::Udp, 68, 67, &sample());
    assert_eq!(
        lines(&sessions),
        [
            "dhcp REQUEST|pc|10.0.0.7|REQUEST unknown async",
            "dhcp ACK||10.0.0.7|ACK ok async",
            "dhcp NAK|||NAK server_error 'no' async"
        ]
    );
    assert!(sessions.iter().all(|session| &*session.fields.x_request_id == "0000abcd"));
}
