use super::super::script::{c, hex, lines, play, s};
use crate::model::Side;

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 3, 3];
    bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
    bytes.extend(body);
    record(22, &bytes)
}

fn client_hello() -> Vec<u8> {
    // TLS 1.2, no session, two ciphers; SNI a.example, ALPN h2, groups 29, formats 0, versions 1.3 and 1.2.
    let mut body = hex("0303");
    body.extend([7; 32]);
    body.extend(hex("00 0004 1301c02f 0100
         0033 0000 000e 000c 00 0009 612e6578616d706c65
         0010 0005 0003 02 6832
         000a 0004 0002 001d
         000b 0002 0100
         002b 0005 04 0304 0303"));
    handshake(1, &body)
}

fn server_hello(extensions: &str) -> Vec<u8> {
    let mut body = hex("0303");
    body.extend([9; 32]);
    body.extend(hex("00"));
    body.extend(hex(if extensions.is_empty() { "c02f 00" } else { "1301 00" }));
    let extensions = hex(extensions);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    handshake(2, &body)
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    vec![
        c(client_hello()),
        s([server_hello("002b 0002 0304"), record(20, &[1]), record(23, &[5; 900])].concat()),
        c([record(20, &[1]), record(23, &[6; 60])].concat()),
        s(record(23, &[7; 100])),
    ]
}

#[test]
fn version_13() {
    let sessions = play(&sample());
    assert_eq!(lines(&sessions), ["tls Handshake|a.example|a.example|a.example ok 'TLS_AES_128_GCM_SHA256'"]);
    assert_eq!(sessions[0].fields.version, "1.3");
    assert!(sessions[0].is_tls);
    assert_eq!(sessions[0].response_ts, Some(1_000_000));
    // md5 of "771,4865-49199,0-16-10-11-43,29,0".
    assert!(sessions[0].fields.attributes.contains(&("ja3", "4207f447407e8fcd306deca56c949017".into())));
}

#[test]
fn version_12_with_alert() {
    let sessions = play(&[c(client_hello()), s(server_hello("")), c(record(21, &[2, 48]))]);
    assert_eq!(
        lines(&sessions),
        [
            "tls Handshake|a.example|a.example|a.example client_error 48 'unknown_ca (48)' 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'"
        ]
    );
}

#[test]
fn version_12_full() {
    let sessions = play(&[
        c(client_hello()),
        s([server_hello(""), handshake(14, &[])].concat()),
        c([handshake(16, &[0; 66]), record(20, &[1]), record(22, &[1; 40])].concat()),
        s([record(20, &[1]), record(22, &[2; 40])].concat()),
        c(record(23, &[1; 10])),
    ]);
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].fields.version, "1.2");
    assert_eq!(sessions[0].first_byte_ts, Some(1_000_000));
    assert_eq!(sessions[0].response_ts, Some(3_000_000));
}
