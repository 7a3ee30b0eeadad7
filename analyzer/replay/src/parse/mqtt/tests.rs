use super::super::script::{c, lines, play, s};
use crate::model::Side;

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c(b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06sensor"),
        s(b"\x20\x02\0\0"),
        c(b"\x32\x09\0\x03a/b\0\x01hi\x30\x07\0\x03a/bxx\xc0\0"),
        s(b"\x40\x02\0\x01\xd0\0"),
        c(b"\x82\x08\0\x02\0\x03a/#\x01"),
        s(b"\x90\x03\0\x02\x80\x32\x09\0\x03a/c\0\x01yo"),
        c(b"\x40\x02\0\x01\xe0\0"),
    ]
}

#[test]
fn who_publishes() {
    let sessions = play(&sample());
    let from = |at: usize| sessions[at].fields.attributes.contains(&("from", "server".into()));
    assert_eq!((from(1), from(2), from(5)), (false, false, true));
}

#[test]
fn both_sides_ask() {
    assert_eq!(
        lines(&play(&sample())),
        [
            "mqtt CONNECT|sensor|| ok 0",
            "mqtt PUBLISH|sensor|a/b|a/b unknown async",
            "mqtt PUBLISH|sensor|a/b|a/b ok",
            "mqtt PINGREQ|sensor|| ok",
            "mqtt SUBSCRIBE|sensor|a/#|a/# server_error 128",
            "mqtt PUBLISH|sensor|a/c|a/c ok",
            "mqtt DISCONNECT|sensor|| unknown async",
        ]
    );
}

#[test]
fn version_5_carries_trace_context() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut properties = b"\x01\x01\x02\0\0\0\x3c\x09\0\x02c7\x26\0\x0btraceparent\0\x37".to_vec();
    properties.extend(trace.as_bytes());
    let mut body = b"\0\x03a/b".to_vec();
    body.push(u8::try_from(properties.len()).unwrap());
    body.extend(properties);
    body.extend(b"hi");
    let publish = [&[0x30, u8::try_from(body.len()).unwrap()][..], &body].concat();
    let sessions = play(&[c(b"\x10\x13\0\x04MQTT\x05\x02\0\x3c\0\0\x06sensor"), s(b"\x20\x03\0\0\0"), c(publish)]);
    assert_eq!(lines(&sessions)[1], "mqtt PUBLISH|sensor|a/b|a/b unknown async");
    let fields = &sessions[1].fields;
    assert_eq!(
        (&*fields.trace_id, &*fields.span_id, &*fields.x_request_id),
        ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "c7")
    );
}

/// Version 5: a number stands for a topic once it has been said with it; a SUBACK tells each topic's code.
#[test]
fn topics_by_number() {
    let script = [
        c(b"\x10\x13\0\x04MQTT\x05\x02\0\x3c\0\0\x06sensor"),
        s(b"\x20\x03\0\0\0"),
        c(b"\x30\x0b\0\x03a/b\x03\x23\0\x07hi"),
        c(b"\x30\x08\0\0\x03\x23\0\x07hi"),
        s(b"\x30\x08\0\0\x03\x23\0\x07hi"),
        c(b"\x82\x0f\0\x02\0\0\x03a/#\x01\0\x03c/#\x01"),
        s(b"\x90\x05\0\x02\0\x87\0"),
    ];
    assert_eq!(
        lines(&play(&script))[1..],
        [
            "mqtt PUBLISH|sensor|a/b|a/b unknown async",
            "mqtt PUBLISH|sensor|a/b|a/b unknown async",
            "mqtt PUBLISH|sensor|| unknown async",
            "mqtt SUBSCRIBE|sensor|a/#, c/#|a/#, c/# client_error 135",
        ]
    );
}
