use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn command(kind: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let body = parts.concat();
    [&(body.len() as u32 + 1).to_be_bytes()[..], &[kind], &body].concat()
}

fn utf(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn format(version: u8, tight: u8, cache: u8) -> Vec<u8> {
    let properties =
        [hex("00000002"), utf("TightEncodingEnabled"), vec![1, tight], utf("CacheEnabled"), vec![1, cache]].concat();
    let size = (properties.len() as u32).to_be_bytes().to_vec();
    command(1, &[b"ActiveMQ".to_vec(), vec![0, 0, 0, version, 1], size, properties])
}

/// Loose: there, kind 123, there, connection, value, session.
fn producer() -> Vec<u8> {
    [hex("01 7b 01"), utf("ID:a-1:1"), hex("0000000000000001 0000000000000001")].concat()
}

fn queue(name: &str) -> Vec<u8> {
    [hex("01 64 01"), utf(name)].concat()
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Behind the command's number and whether it is answered.
fn message() -> Vec<u8> {
    let id = [hex("01 6e 00"), producer(), hex("0000000000000001 0000000000000000")].concat();
    let properties = [hex("00000001"), utf("traceparent"), vec![9], utf(TRACE)].concat();
    [
        producer(),
        queue("orders"),
        hex("00 00"),
        id,
        hex("00 00 00000000 01"),
        utf("c-1"),
        hex("01 0000000000000000 04 00 0000018000000000 00 01 00000002 6869 01"),
        (properties.len() as u32).to_be_bytes().to_vec(),
        properties,
    ]
    .concat()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let connection =
        [hex("01 78 01"), utf("ID:a-1:1"), vec![1], utf("billing"), vec![1], utf("secret"), vec![1], utf("admin")];
    vec![
        c(format(12, 1, 0)),
        s(format(11, 0, 1)),
        c(command(3, &[hex("00000001 01"), connection.concat()])),
        s(command(2, &[hex("00000000 00 01 7c 01"), utf("b"), vec![1], utf("tcp://b:61616")])),
        s(command(30, &[hex("00000000 00 00000001")])),
        c([
            command(6, &[hex("00000002 01"), producer(), queue("orders")]),
            command(28, &[hex("00000003 01"), message()]),
        ]
        .concat()),
        s([
            command(
                31,
                &[hex("00000000 00 00000003 01 01"), utf("javax.jms.JMSSecurityException"), vec![1], utf("no")],
            ),
            command(30, &[hex("00000000 00 00000002")]),
        ]
        .concat()),
        s(command(21, &[hex("00000000 00"), producer(), queue("orders"), hex("01 1c 00000003 01"), message()])),
        // Answered twice.
        s(command(30, &[hex("00000000 00 00000002")])),
        c(command(10, &[hex("00000004 00")])),
    ]
}

#[test]
fn loose() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "openwire WireFormatInfo||| ok async",
            "openwire WireFormatInfo||| ok async",
            "openwire BrokerInfo|tcp://b:61616|| ok async",
            "openwire ConnectionInfo||| ok",
            "openwire ActiveMQTextMessage||orders|orders client_error 'javax.jms.JMSSecurityException: no'",
            "openwire ProducerInfo||orders|orders ok",
            "openwire MessageDispatch||orders|orders ok async",
            "openwire KeepAliveInfo||| ok async",
        ]
    );
    for at in [4, 6] {
        let fields = &sessions[at].fields;
        assert_eq!((&*fields.trace_id, &*fields.x_request_id), ("0af7651916cd43dd8448eb211c80319c", "c-1"));
        assert_eq!(fields.session_id, Some(3));
    }
    assert!(!format!("{sessions:?}").contains("secret"));
}

#[test]
fn tight_and_remembered() {
    // Bits, the lowest first. Of the producer: answered; inline; there, text there, ASCII; both numbers as 0 1, two bytes each;
    // the destination: inline, there, text there, ASCII.
    // 1 1 1 1 1 0 1 0 | 1 1 1 1 1 -> 0x5f 0x1f
    let first =
        command(6, &[hex("02 5f 1f 00000001 0000 7b"), utf("ID:a-1:1"), hex("0001 0001 0001 64"), utf("orders")]);
    // Both are known by now: answered, neither inline.
    let second = command(6, &[hex("01 01 00000002 0000 0001")]);
    let sessions = play(&[
        c(format(12, 1, 1)),
        s(format(12, 1, 1)),
        c([first, second].concat()),
        s(command(30, &[hex("01 00 00000000 00000002")])),
        s(command(30, &[hex("01 00 00000000 00000001")])),
    ]);
    assert_eq!(
        lines(&sessions)[2..],
        ["openwire ProducerInfo||orders|orders ok", "openwire ProducerInfo||orders|orders ok"]
    );
    assert_eq!(sessions[2].fields.session_id, Some(2));
}

#[test]
fn joined_in_the_middle() {
    assert_eq!(lines(&play(&sample()[5..7]))[0], lines(&play(&sample()))[4]);
}
