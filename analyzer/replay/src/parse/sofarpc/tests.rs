use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

const REQUEST: &str = "com.alipay.sofa.rpc.core.request.SofaRequest";
const RESPONSE: &str = "com.alipay.sofa.rpc.core.response.SofaResponse";

fn sizes(class: &str, headers: &[u8], content: &[u8]) -> Vec<u8> {
    [
        &(class.len() as u16).to_be_bytes()[..],
        &(headers.len() as u16).to_be_bytes(),
        &(content.len() as u32).to_be_bytes(),
        class.as_bytes(),
        headers,
        content,
    ]
    .concat()
}

fn headers(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    pairs.iter().flat_map(|(name, value)| [text(name), text(value)].concat()).collect()
}

/// Version 1, kind, command 1, its version, id, Hessian, 3000 ms.
fn call(kind: u8, id: u8, pairs: &[(&str, &str)]) -> Vec<u8> {
    [
        hex("01"),
        vec![kind],
        hex("0001 01 000000"),
        vec![id],
        hex("01 00000bb8"),
        sizes(REQUEST, &headers(pairs), b"O..."),
    ]
    .concat()
}

fn answer(id: u8, status: u8, content: &[u8]) -> Vec<u8> {
    [hex("01 00 0002 01 000000"), vec![id], hex("01 00"), vec![status], sizes(RESPONSE, &[], content)].concat()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let pairs = |method| {
        [
            ("sofa_head_target_service", "com.shop.Stock:1.0"),
            ("sofa_head_method_name", method),
            ("new_rpc_trace_context", "tcid=0a22&spid=0.1&pspid=0&sample=true&"),
        ]
    };
    let names = b"O\xbe...\x94\x07isError\x08errorMsg\x0bappResponse\x0dresponsePropso\x90";
    // Version 2 with a checksum behind it.
    let second = [
        hex("02 01 01 0001 01 00000003 01 01 00000000"),
        sizes(REQUEST, &headers(&pairs("late")), b"O..."),
        hex("aabbccdd"),
    ];
    vec![
        c([call(1, 1, &pairs("get")), call(1, 2, &pairs("put"))].concat()),
        s([answer(2, 0, &[&names[..], b"T\x07no such"].concat()), answer(1, 0, &[&names[..], b"FN"].concat())]
            .concat()),
        c([second.concat(), call(2, 4, &pairs("log"))].concat()),
        s([hex("02 01 00 0002 01 00000003 01 00 0007"), sizes(RESPONSE, &[], &[])].concat()),
        // Does the server live?
        c(hex("01 01 0000 01 00000009 01 000003e8 0000 0000 00000000")),
        s(hex("01 00 0000 01 00000009 01 0000 0000 0000 00000000")),
    ]
}

#[test]
fn calls() {
    let sessions = play(&sample());
    let service = "com.shop.Stock:1.0";
    assert_eq!(
        lines(&sessions),
        [
            format!("sofarpc put||{service}|{service}/put server_error 0 'no such'"),
            format!("sofarpc get||{service}|{service}/get ok 0"),
            format!("sofarpc log||{service}|{service}/log unknown async"),
            format!("sofarpc late||{service}|{service}/late server_error 7 'TIMEOUT'"),
            "sofarpc Heartbeat||| ok 0".to_owned(),
        ]
    );
    let fields = &sessions[1].fields;
    assert_eq!((&*fields.trace_id, &*fields.span_id, &*fields.parent_span_id), ("0a22", "0.1", "0"));
    assert_eq!((fields.session_id, fields.version), (Some(1), "bolt v1"));
    assert_eq!(sessions[3].fields.version, "bolt v2");
}

#[test]
fn joined_at_an_answer() {
    assert_eq!(lines(&play(&sample()[1..2])).len(), 2);
}
