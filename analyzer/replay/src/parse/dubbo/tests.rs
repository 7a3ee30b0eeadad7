use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn message(flags: u8, status: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0xda, 0xbb, flags, status][..], &id.to_be_bytes(), &length, body].concat()
}

/// Texts shorter than 32 characters.
fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()).collect()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let trace =
        [b"\x0btraceparent\x30\x37".to_vec(), b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_vec()];
    // An argument of type int, then the map of attachments.
    let call = [
        texts(&["2.0.2", "a.B", "1.0", "get", "I"]),
        hex("91 48"),
        texts(&["path", "a.B"]),
        trace.concat(),
        b"Z".to_vec(),
    ];
    vec![
        c([message(0xc2, 0, 7, &call.concat()), message(0xc2, 0, 8, &texts(&["2.0.2", "a.B", "", "put", ""]))]
            .concat()),
        s(message(0x02, 40, 8, &texts(&["no such method"]))),
        s(message(0x02, 20, 7, &hex("94 90 48 5a"))),
        // The server asks whether the client lives.
        s(message(0xe2, 0, 7, b"N")),
        c(message(0x22, 20, 7, b"N")),
        c(message(0x86, 0, 9, b"\"2.0.2\"\n\"a.C\"\n\"\"\n\"log\"\n\"\"\n")),
    ]
}

#[test]
fn calls_and_events() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "dubbo put||a.B|a.B/put client_error 40 'no such method'",
            "dubbo get||a.B|a.B/get ok 20",
            "dubbo Event||| ok 20",
            "dubbo log||a.C|a.C/log unknown async",
        ]
    );
    assert_eq!(&*sessions[1].fields.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(sessions[1].fields.session_id, Some(7));
}
