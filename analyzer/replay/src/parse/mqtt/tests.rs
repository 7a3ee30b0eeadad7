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
