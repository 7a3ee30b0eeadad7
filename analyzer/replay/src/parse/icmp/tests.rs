use super::super::script::{c, hex, lines, play_on, s};
use crate::model::{Side, Transport};

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![c(hex("0800 0000 1234 0001 6162")), s(hex("0000 0000 1234 0001 6162")), c(hex("0800 0000 1234 0002 6162"))]
}

#[test]
fn by_identifier_and_sequence() {
    // Two requests (identifier 0x1234, sequence 1 and 2), answered in the other order; one of another program that nobody answers.
    let script = [
        c(hex("0800 0000 1234 0001 6162")),
        c(hex("0800 0000 1234 0002 6162")),
        c(hex("0800 0000 4321 0001 6162")),
        s(hex("0000 0000 1234 0002 6162")),
        s(hex("0000 0000 1234 0001 6162")),
    ];
    let sessions = play_on(Transport::Icmp, 8, 0, &script);
    assert_eq!(
        lines(&sessions),
        ["icmp echo||4660|echo ok", "icmp echo||4660|echo ok", "icmp echo||17185|echo unknown [ended_after]"]
    );
    let ids: Vec<_> = sessions.iter().map(|session| session.fields.session_id).collect();
    assert_eq!(ids, [Some(2), Some(1), Some(1)]);
    assert_eq!(sessions[0].response_ts.unwrap() - sessions[0].request_ts.unwrap(), 2_000_000);
}

#[test]
fn version_6_and_what_is_no_echo() {
    let sessions =
        play_on(Transport::Icmp6, 128, 129, &[c(hex("80 00 0000 0001 0007")), s(hex("81 00 0000 0001 0007"))]);
    assert_eq!(lines(&sessions), ["icmp echo||1|echo ok"]);
    assert!(play_on(Transport::Icmp, 3, 1, &[c(hex("0301 0000 0000 0000 4500"))]).is_empty());
    assert!(play_on(Transport::Icmp, 8, 0, &[c(hex("0800 0000 12"))]).is_empty());
}
