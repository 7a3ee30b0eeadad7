use super::super::script::{c, lines, play_on};
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
