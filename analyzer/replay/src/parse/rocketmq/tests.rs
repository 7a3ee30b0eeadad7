use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn command(form: u8, head: &[u8], body: &[u8]) -> Vec<u8> {
    let size = |len: usize| (len as u32).to_be_bytes();
    [&size(4 + head.len() + body.len())[..], &[form], &size(head.len())[1..], head, body].concat()
}

fn json(head: &str, body: &[u8]) -> Vec<u8> {
    command(0, head.as_bytes(), body)
}

/// code, language Java, version, id, flag, remark, fields.
fn binary(code: u16, id: u32, flag: u8, remark: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut pairs = Vec::new();
    for (name, value) in fields {
        pairs.extend((name.len() as u16).to_be_bytes());
        pairs.extend(name.as_bytes());
        pairs.extend((value.len() as u32).to_be_bytes());
        pairs.extend(value.as_bytes());
    }
    let head = [
        &code.to_be_bytes()[..],
        &[0, 1, 0x8f],
        &id.to_be_bytes(),
        &[0, 0, 0, flag],
        &(remark.len() as u32).to_be_bytes(),
        remark.as_bytes(),
        &(pairs.len() as u32).to_be_bytes(),
        &pairs,
    ];
    command(1, &head.concat(), &[])
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A message as brokers store it.
fn stored(properties: &str) -> Vec<u8> {
    let rest = [
        hex("da a3 20 a7 00000000 00000001 00000000 0000000000000005 0000000000000100 00000000"),
        hex("0000018000000000 0a000001 00001f90 0000018000000000 0a000002 00001f90 00000000 0000000000000000"),
        hex("00000002 6869 06"),
        b"orders".to_vec(),
        (properties.len() as u16).to_be_bytes().to_vec(),
        properties.as_bytes().to_vec(),
    ]
    .concat();
    [(rest.len() as u32 + 4).to_be_bytes().to_vec(), rest].concat()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let send = format!(
        r#"{{"code":310,"extFields":{{"a":"shop","b":"orders","e":"1","i":"UNIQ_KEY\u00010A\u0002traceparent\u0001{TRACE}"}},"flag":0,"language":"JAVA","opaque":688,"serializeTypeCurrentRPC":"JSON","version":399}}"#
    );
    let pull = r#"{"code":11,"extFields":{"queueId":"3","consumerGroup":"billing","topic":"orders"},"flag":0,"language":"GO","opaque":7,"version":317}"#;
    let message = stored(&format!("UNIQ_KEY\u{1}0A\u{2}traceparent\u{1}{TRACE}\u{2}"));
    vec![
        c([json(&send, b"hello"), json(pull, b"")].concat()),
        s(json(r#"{"code":0,"extFields":{"queueId":"1"},"flag":1,"language":"JAVA","opaque":688,"version":399}"#, b"")),
        s(json(r#"{"code":0,"flag":1,"language":"JAVA","opaque":7,"remark":"FOUND","version":399}"#, &message)),
        c(binary(105, 9, 0, "", &[("topic", "nope")])),
        s(binary(17, 9, 1, "No topic route info", &[])),
        // The broker tells a consumer something; a client that says farewell is not answered.
        s(binary(40, 3, 2, "", &[("consumerGroup", "billing")])),
        c(binary(34, 10, 0, "", &[])),
        s(binary(2, 10, 1, "", &[])),
    ]
}

#[test]
fn commands() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "rocketmq SEND_MESSAGE_V2|shop|orders|orders-1 ok 0",
            "rocketmq PULL_MESSAGE|billing|orders|orders-3 ok 0 'FOUND'",
            "rocketmq GET_ROUTEINFO_BY_TOPIC||nope|nope client_error 17 'No topic route info'",
            "rocketmq NOTIFY_CONSUMER_IDS_CHANGED|billing||billing unknown async",
            "rocketmq HEART_BEAT||| server_error 2 'SYSTEM_BUSY'",
        ]
    );
    for session in &sessions[..2] {
        assert_eq!(&*session.fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(&*session.fields.x_request_id, "0A");
    }
    assert_eq!(sessions[0].fields.session_id, Some(688));
}

#[test]
fn either_form_is_told_from_either_side() {
    for turn in sample() {
        assert_ne!(play(&[turn]).len(), 0);
    }
}
