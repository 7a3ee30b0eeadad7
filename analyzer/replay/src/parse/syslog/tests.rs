use super::super::script::{c, lines, play, play_on, play_prefix};
use crate::model::{Side, Transport};

/// Examples of RFC 5424 section 6.5 and RFC 3164 section 5.4.
pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c("<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts."),
        c("<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8"),
    ]
}

#[test]
fn messages_say_no_more_than_their_kind() {
    assert_eq!(
        lines(&play_on(Transport::Udp, 40000, 40514, &sample())),
        ["syslog notice||local4|local4 unknown async", "syslog critical||auth|auth unknown async"]
    );
    assert!(play_on(Transport::Udp, 40000, 40514, &[c("<192>1 x"), c("<abc>"), c("<html>")]).is_empty());
}

/// Over TCP, by length and by line, as RFC 6587 has both.
pub(in crate::parse) fn stream_sample() -> Vec<(Side, Vec<u8>)> {
    let mut script = Vec::new();
    for (side, data) in sample() {
        script.push((side, [data.len().to_string().as_bytes(), b" ", &data].concat()));
    }
    let lines: Vec<u8> = sample().into_iter().flat_map(|(_, data)| [data, b"\n".to_vec()].concat()).collect();
    script.push(c(lines));
    script
}

#[test]
fn streams() {
    let both = ["syslog notice||local4|local4 unknown async", "syslog critical||auth|auth unknown async"];
    let sessions = play(&stream_sample());
    assert_eq!(lines(&sessions), [both, both].concat());
    // 99 bytes behind `99 `, and 76 with a line's end.
    assert_eq!((sessions[0].request_bytes, sessions[3].request_bytes), (102, 77));
    // Lengths are believed where the text was not captured.
    assert_eq!(lines(&play_prefix(514, 20, &stream_sample()))[..2], both);
}
