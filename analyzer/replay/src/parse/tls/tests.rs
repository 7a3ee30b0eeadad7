use super::super::script::{c, hex, lines, play, play_prefix, s};
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

/// As OpenSSL 3 sends it: a session id of 32 bytes, 31 ciphers, and only then the extensions, the name among the first.
fn long_hello() -> Vec<u8> {
    let mut body = hex("0303");
    body.extend([7; 32]);
    body.push(32);
    body.extend([8; 32]);
    body.extend(62_u16.to_be_bytes());
    body.extend(hex("1302 1303 1301"));
    body.extend((0xc000_u16..0xc01c).flat_map(u16::to_be_bytes));
    body.extend(hex("0100 002d 0000 000e 000c 00 0009 612e6578616d706c65 002b 0005 04 0304 0303 fe0d 0001 00 002a 0000 0010 0005 0003 02 6832"));
    handshake(1, &body)
}

#[test]
fn cut_by_the_snaplen() {
    let script =
        [c(long_hello()), s([server_hello("002b 0002 0304"), record(23, &[5; 900])].concat()), c(record(23, &[6; 60]))];
    let attribute = |sessions: &[crate::model::Session], name: &str| {
        sessions[0].fields.attributes.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_string())
    };
    // 192 bytes less 66 of headers end among the ciphers.
    let sessions = play_prefix(443, 126, &script);
    assert_eq!(lines(&sessions), ["tls Handshake||| ok 'TLS_AES_128_GCM_SHA256' [truncated_payload]"]);
    assert_eq!(sessions[0].fields.version, "1.3");
    assert_eq!(sessions[0].request_ts, Some(0));
    assert!(attribute(&sessions, "ciphers_offered").unwrap().starts_with("1302,1303,1301,c000,"));
    assert_eq!(attribute(&sessions, "ja4"), None);
    // A little more, and the name is there.
    let sessions = play_prefix(443, 170, &script);
    assert_eq!(
        lines(&sessions),
        ["tls Handshake|a.example|a.example|a.example ok 'TLS_AES_128_GCM_SHA256' [truncated_payload]"]
    );
    // Without an answer the ciphers tell the version.
    let sessions = play_prefix(443, 126, &script[..1]);
    assert_eq!((sessions[0].fields.version, sessions.len()), ("1.3", 1));
    let sessions = play(&script);
    assert_eq!(
        (attribute(&sessions, "ech_offered"), attribute(&sessions, "early_data")),
        (Some("1".into()), Some("1".into()))
    );
}

#[test]
fn a_close_is_no_error() {
    let sessions =
        play(&[c(client_hello()), s(server_hello("002b 0002 0304")), c(record(21, &[1, 0])), c(record(23, &[6; 60]))]);
    assert_eq!(lines(&sessions), ["tls Handshake|a.example|a.example|a.example ok 'TLS_AES_128_GCM_SHA256'"]);
}

/// The server asks for another key share: its HelloRetryRequest (RFC 8446 section 4.1.4, whose random this is), ChangeCipherSpec of both
/// sides for boxes in between, as OpenSSL sends them, then the handshake.
#[test]
fn hello_retry() {
    let mut retry = hex("0303 cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c 00 1301 00");
    retry.extend(hex("000c 002b 0002 0304 0033 0002 0017"));
    let script = [
        c(client_hello()),
        s([handshake(2, &retry), record(20, &[1])].concat()),
        c([record(20, &[1]), client_hello()].concat()),
        s([server_hello("002b 0002 0304"), record(23, &[5; 900])].concat()),
        c([record(23, &[6; 60]), record(23, &[6; 90])].concat()),
        s(record(23, &[7; 100])),
    ];
    let sessions = play(&script);
    assert_eq!(lines(&sessions), ["tls Handshake|a.example|a.example|a.example ok 'TLS_AES_128_GCM_SHA256'"]);
    assert_eq!((sessions[0].fields.version, sessions[0].first_byte_ts), ("1.3", Some(1_000_000)));
    assert_eq!(sessions[0].response_ts, Some(3_000_000));
    assert!(sessions[0].fields.attributes.contains(&("hello_retry", "true".into())));
}

/// Protocols that have no parser agree on TLS too: FTP (RFC 4217), XMPP (RFC 6120 section 5), NNTP (RFC 4642), ManageSieve (RFC 5804). What
/// went before is of no protocol, and the handshake is found.
#[test]
fn behind_what_nobody_knows() {
    let talks: [&[(Side, Vec<u8>)]; 4] = [
        &[s("220 (vsFTPd 3.0.5)\r\n"), c("AUTH TLS\r\n"), s("234 Proceed with negotiation.\r\n")],
        &[
            c("<?xml version='1.0'?><stream:stream to='im.example' version='1.0' xmlns='jabber:client' \
                xmlns:stream='http://etherx.jabber.org/streams'>"),
            s("<?xml version='1.0'?><stream:stream id='x' from='im.example' version='1.0'><stream:features><starttls \
                xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"),
            c("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
            s("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        ],
        &[s("200 news.example ready\r\n"), c("STARTTLS\r\n"), s("382 Continue with TLS negotiation\r\n")],
        &[s("\"IMPLEMENTATION\" \"Sieve 1\"\r\n\"STARTTLS\"\r\nOK\r\n"), c("STARTTLS\r\n"), s("OK \"Begin\"\r\n")],
    ];
    for (place, talk) in talks.into_iter().enumerate() {
        let rows = lines(&play(&[talk, &sample()].concat()));
        let tls = rows.iter().filter(|row| row.starts_with("tls Handshake|a.example|")).count();
        assert_eq!(tls, 1, "{place}: {rows:#?}");
    }
}
