use super::super::script::{c, lines, play, s};
use crate::model::Side;

/// Conversation 1, low byte first.
fn segment(kind: u8, body: &[u8]) -> Vec<u8> {
    let total = (body.len() as u32 + 36).to_be_bytes();
    let head =
        [&b"TSHM"[..], &total, &[0, 0, 0, 1], &[0; 4], &[2, kind, 0x30, 0], &[0; 8], &[0x22, 2, 0, 0, 0x33, 3, 0, 0]];
    [&head.concat()[..], body].concat()
}

fn call(kind: u8, outcome: u32, reason: u32, handle: u32, body: &[u8]) -> Vec<u8> {
    let numbers: Vec<u8> = [outcome, reason, handle].iter().flat_map(|n| n.to_le_bytes()).collect();
    segment(kind, &[&[0; 4][..], &numbers, body].concat())
}

fn padded(text: &str, len: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(len, b' ');
    bytes
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let initial = |name| segment(1, &[b"ID  ".to_vec(), vec![0; 20], padded(name, 20), vec![0; 40]].concat());
    let object = |name| [b"OD  \x01\0\0\0\x01\0\0\0".to_vec(), padded(name, 48), vec![0; 100]].concat();
    vec![
        c(initial("DEV.APP.SVRCONN")),
        s(initial("DEV.APP.SVRCONN")),
        c(call(0x81, 0, 0, 0, &[padded("QM1", 48), padded("orders", 28)].concat())),
        s(call(0x91, 0, 0, 0, &padded("QM1", 48))),
        c(call(0x83, 0, 0, 0, &object("DEV.QUEUE.1"))),
        s(call(0x93, 0, 0, 101, &object("DEV.QUEUE.1"))),
        c(call(0x86, 0, 0, 101, b"MD  ")),
        s(call(0x96, 2, 2053, 101, b"MD  ")),
        c(call(0x85, 0, 0, 101, b"MD  ")),
        s(call(0x95, 2, 2033, 101, b"MD  ")),
        c(call(0x87, 0, 0, 0, &object("NOPE"))),
        s(call(0x97, 2, 2085, 0, &[])),
        c(segment(9, &[])),
    ]
}

#[test]
fn calls() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "websphere_mq INITIAL_DATA||DEV.APP.SVRCONN|DEV.APP.SVRCONN ok",
            "websphere_mq MQCONN|QM1|| ok 0",
            "websphere_mq MQOPEN|QM1|DEV.QUEUE.1|DEV.QUEUE.1 ok 0",
            "websphere_mq MQPUT|QM1|DEV.QUEUE.1|DEV.QUEUE.1 server_error 2053 'MQRC_Q_FULL'",
            "websphere_mq MQGET|QM1|DEV.QUEUE.1|DEV.QUEUE.1 ok 2033 'MQRC_NO_MSG_AVAILABLE'",
            "websphere_mq MQPUT1|QM1|NOPE|NOPE client_error 2085 'MQRC_UNKNOWN_OBJECT_NAME'",
            "websphere_mq HEARTBEAT|QM1|| unknown async",
        ]
    );
    assert_eq!(&*sessions[1].fields.user_agent, "orders");
}
