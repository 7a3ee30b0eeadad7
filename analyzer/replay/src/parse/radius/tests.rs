use super::super::script::{c, hex, lines, play_on, s};
use crate::model::{Side, Transport};

fn packet(code: &str, id: &str, attributes: &str) -> Vec<u8> {
    let attributes = hex(attributes);
    let length = u16::try_from(20 + attributes.len()).unwrap().to_be_bytes();
    [&hex(code)[..], &hex(id), &length, &[7; 16], &attributes].concat()
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    // User "nemo", a hidden password, the server's address and port, as in RFC 2865 section 7.1.
    let ask = "01066e656d6f 0212 0dbe708d93d413ce3196e43f782a0aee 0406c0a80110 050600000003";
    vec![
        c(packet("01", "00", ask)),
        s(packet("02", "00", "060600000001 0f0600000000 0e06c0a80103")),
        c(packet("01", "01", ask)),
        s(packet("03", "01", "12046e6f")),
        c(packet("04", "01", "280600000001 01066e656d6f 2c0331")),
    ]
}

#[test]
fn access() {
    let sessions = play_on(Transport::Udp, 40000, 1812, &sample());
    assert_eq!(
        lines(&sessions),
        [
            "radius Access-Request|||Access-Request ok 'Access-Accept'",
            "radius Access-Request|||Access-Request client_error 'no' 'Access-Reject'",
            "radius Accounting-Request|||Accounting-Request unknown [ended_after]",
        ]
    );
    assert_eq!(sessions[0].fields.attributes[0], ("user", "nemo".into()));
}
