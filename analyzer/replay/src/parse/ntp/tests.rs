use super::super::script::{c, hex, lines, play_on, s};
use crate::model::{Side, Transport};

fn packet(first: &str, stratum: &str, reference: &str, origin: &str, transmitted: &str) -> Vec<u8> {
    hex(&format!(
        "{first} {stratum} 06 ec 00000000 00000000 {reference} {} {origin} {} {transmitted}",
        "00".repeat(8),
        "00".repeat(8)
    ))
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let zero = "00".repeat(8);
    vec![
        c(packet("23", "00", "00000000", &zero, "e5f0000000000001")),
        s(packet("24", "02", "0a000001", "e5f0000000000001", "e5f0000000000002")),
        c(packet("1b", "00", "00000000", &zero, "e5f0000000000003")),
        // RATE: too many questions.
        s(packet("1c", "00", "52415445", "e5f0000000000003", "e5f0000000000003")),
    ]
}

#[test]
fn questions_and_kisses() {
    let sessions = play_on(Transport::Udp, 40000, 123, &sample());
    assert_eq!(lines(&sessions), ["ntp client||| ok 'stratum 2'", "ntp client||| server_error 'RATE' 'stratum 0'"]);
    assert_eq!((sessions[0].fields.version, sessions[1].fields.version), ("4", "3"));
    // Elsewhere 48 bytes are nothing in particular.
    assert!(play_on(Transport::Udp, 40000, 40001, &sample()).is_empty());
}
