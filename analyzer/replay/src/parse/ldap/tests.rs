use super::super::script::{c, hex, lines, play, play_on, play_open, s};
use crate::model::{Side, Transport};

/// An element of at most 255 bytes.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u8::try_from(content.len()).unwrap();
    let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [head, content].concat()
}

fn message(id: u8, tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &[&[2, 1, id], &element(tag, parts)])
}

fn text(text: &str) -> Vec<u8> {
    element(4, &[text.as_bytes()])
}

pub(in crate::parse) fn sample() -> Vec<(Side, Vec<u8>)> {
    let search = hex("0a 01 02 0a 01 00 02 01 00 02 01 00 01 01 00 87 01 63 30 00");
    vec![
        c(message(1, 0x60, &[&[2, 1, 3], &text("cn=a"), &element(0x80, &[b"pass"])])),
        s(message(1, 0x61, &[&[10, 1, 49], &text(""), &text("bad password")])),
        c([message(2, 0x63, &[&text("dc=x"), &search]), message(3, 0x4a, &[b"cn=b"])].concat()),
        s([
            message(2, 0x64, &[&text("cn=a,dc=x"), &hex("30 00")]),
            message(3, 0x6b, &[&[10, 1, 53], &text(""), &text("no")]),
            message(2, 0x64, &[&text("cn=b,dc=x"), &hex("30 00")]),
            message(2, 0x65, &[&[10, 1, 0], &text(""), &text("")]),
        ]
        .concat()),
        c(message(4, 0x6e, &[&text("cn=a"), &hex("30 00")])),
        s(message(4, 0x6f, &[&[10, 1, 6], &text(""), &text("")])),
        c(message(5, 0x42, &[])),
    ]
}

#[test]
fn operations_by_id() {
    let sessions = play(&sample());
    assert_eq!(
        lines(&sessions),
        [
            "ldap Bind||cn=a|Bind client_error 49 'bad password'",
            "ldap Delete||cn=b|Delete server_error 53 'no'",
            "ldap Search||dc=x|Search sub ok 0 rows=2",
            "ldap Compare||cn=a|Compare ok 6",
            "ldap Unbind|||Unbind unknown async",
        ]
    );
    // Two entries of 20 bytes and the result of 14.
    assert_eq!(sessions[2].response_bytes, 54);
}

#[test]
fn start_tls_ends_it() {
    let script = vec![
        c(message(1, 0x77, &[&element(0x80, &[b"1.3.6.1.4.1.1466.20037"])])),
        s(message(1, 0x78, &[&[10, 1, 0], &text(""), &text("")])),
        c([21, 3, 1, 0, 2, 2, 40]),
    ];
    let sessions = play(&script);
    assert_eq!(lines(&sessions)[0], "ldap Extended||1.3.6.1.4.1.1466.20037|Extended ok 0");
    assert!(lines(&sessions).iter().skip(1).all(|line| !line.starts_with("ldap")));
}

/// A search of `dc=x` with scope `sub`, aliases `always`, limits 10 and 5, for `cn` and `mail`.
fn search(id: u8, filter: &[u8]) -> Vec<u8> {
    let head = hex("0a 01 02 0a 01 03 02 01 0a 02 01 05 01 01 00");
    message(id, 0x63, &[&text("dc=x"), &head, filter, &element(0x30, &[&text("cn"), &text("mail")])])
}

fn done(id: u8) -> Vec<u8> {
    message(id, 0x65, &[&[10, 1, 0], &text(""), &text("")])
}

/// A buffer of SASL around a token.
fn buffer(token: &[u8]) -> Vec<u8> {
    [&u32::try_from(token.len()).unwrap().to_be_bytes()[..], token].concat()
}

/// Value of an attribute.
fn attribute(session: &crate::model::Session, name: &str) -> String {
    session
        .fields
        .attributes
        .iter()
        .find(|(other, _)| *other == name)
        .map_or(String::new(), |(_, value)| value.to_string())
}

#[test]
fn what_is_searched() {
    let equal = |name: &str, value: &str| element(0xa3, &[&text(name), &text(value)]);
    let substrings = element(
        0xa4,
        &[&text("sn"), &element(0x30, &[&element(0x80, &[b"a"]), &element(0x81, &[b"b"]), &element(0x82, &[b"c"])])],
    );
    let open = element(0xa4, &[&text("sn"), &element(0x30, &[&element(0x81, &[b"x"])])]);
    let rule = element(
        0xa9,
        &[
            &element(0x81, &[b"2.5.13.2"]),
            &element(0x82, &[b"cn"]),
            &element(0x83, &[b"J"]),
            &element(0x84, &[&[0xff]]),
        ],
    );
    let any = element(
        0xa1,
        &[
            &element(0x87, &[b"mail"]),
            &substrings,
            &open,
            &element(0xa5, &[&text("age"), &text("5")]),
            &element(0xa6, &[&text("age"), &text("9")]),
            &element(0xa8, &[&text("cn"), b"\x04\x03*(\xff"]),
            &rule,
        ],
    );
    let filter = element(0xa0, &[&equal("objectClass", "person"), &element(0xa2, &[&equal("uid", "jo")]), &any]);
    let script = [c(search(1, &filter)), s(done(1))];
    let shown = play_open(&script);
    assert_eq!(
        attribute(&shown[0], "filter"),
        "(&(objectClass=person)(!(uid=jo))(|(mail=*)(sn=a*b*c)(sn=*x*)(age>=5)(age<=9)(cn~=\\2a\\28\\ff)(cn:dn:2.5.13.2:=J)))"
    );
    for (name, value) in [
        ("scope", "sub"),
        ("deref_aliases", "always"),
        ("size_limit", "10"),
        ("time_limit", "5"),
        ("attributes", "cn,mail"),
    ] {
        assert_eq!(attribute(&shown[0], name), value);
    }
    assert_eq!(
        attribute(&play(&script)[0], "filter"),
        "(&(objectClass=person)(!(uid=?))(|(mail=*)(sn=?*?*?)(sn=*?*)(age>=?)(age<=?)(cn~=?)(cn:dn:2.5.13.2:=?)))"
    );
}

#[test]
fn how_one_binds() {
    let sasl = element(0xa3, &[&text("GSSAPI"), &text("token")]);
    let script = [
        c(message(1, 0x60, &[&[2, 1, 3], &text("cn=a"), &element(0x80, &[b"pass"])])),
        c(message(2, 0x60, &[&[2, 1, 3], &text(""), &sasl])),
    ];
    let sessions = play(&script);
    assert_eq!(attribute(&sessions[0], "mechanism"), "simple");
    assert_eq!(attribute(&sessions[1], "mechanism"), "GSSAPI");
    assert!(sessions.iter().all(|session| session.fields.version == "3"));
}

/// Makes a buffer of SASL of the flags of a token and what it protects.
type Layer<'a> = &'a dyn Fn(u8, &[u8]) -> Vec<u8>;

/// Two searches in one buffer, answered in two buffers, with the checksum before the data, behind it, and with older tokens.
#[test]
fn inside_the_integrity_layer() {
    let present = element(0x87, &[b"cn"]);
    let asked = [search(1, &present), search(2, &present)].concat();
    let checksum = [0x30; 12];
    // RFC 4121 section 4.2.6.2: 12 bytes of checksum, rotated by 12 or not at all.
    let rotated = |flags, data: &[u8]| {
        buffer(&[&[5, 4, flags, 0xff, 0, 12, 0, 12, 0, 0, 0, 0, 0, 0, 0, 1][..], &checksum, data].concat())
    };
    let behind = |flags, data: &[u8]| {
        buffer(&[&[5, 4, flags, 0xff, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], data, &checksum].concat())
    };
    // RFC 4757 section 7.3: signed with HMAC, not sealed; one byte of padding.
    let old = |_, data: &[u8]| {
        let inner =
            [&hex("06 09 2a 86 48 86 f7 12 01 02 02  02 01 11 00 ff ff ff ff")[..], &[7; 24], data, &[1]].concat();
        buffer(&[&[0x60, 0x81, u8::try_from(inner.len()).unwrap()][..], &inner].concat())
    };
    let ntlm = |_, data: &[u8]| buffer(&[&hex("01 00 00 00 11 22 33 44 55 66 77 88 00 00 00 00")[..], data].concat());
    let layers: [Layer<'_>; 4] = [&rotated, &behind, &old, &ntlm];
    for layer in layers {
        let mut script = sample();
        script.truncate(2);
        script.extend([c(layer(0, &asked)), s(layer(1, &done(2))), s(layer(1, &done(1)))]);
        script.extend([c(layer(0, &search(3, &present))), s(layer(1, &done(3)))]);
        let found = play(&script);
        assert_eq!(
            lines(&found)[1..],
            [
                "ldap Search||dc=x|Search sub ok 0 rows=0",
                "ldap Search||dc=x|Search sub ok 0 rows=0",
                "ldap Search||dc=x|Search sub ok 0 rows=0"
            ]
        );
        // From the middle of the connection on, too.
        let joined = play_on(Transport::Tcp, 40000, 389, &script[2..]);
        assert_eq!(joined.len(), 3);
        assert!(joined.iter().all(|session| session.fields.l7_protocol == "ldap" && session.fields.code == Some(0)));
    }
}

#[test]
fn what_is_encrypted_is_passed_over() {
    let sealed = |flags| buffer(&[&[5, 4, flags, 0xff, 0, 0, 0, 28][..], &[0x30; 60]].concat());
    let mut script = sample();
    script.truncate(2);
    script.extend([c(sealed(2)), s(sealed(3)), c(message(9, 0x42, &[]))]);
    assert_eq!(lines(&play(&script))[1..], ["ldap Unbind|||Unbind unknown async"]);
}

/// One datagram asks, one holds the entry and the result.
#[test]
fn without_a_connection() {
    let entry = message(1, 0x64, &[&text(""), &hex("30 00")]);
    let script = [c(search(1, &element(0x87, &[b"NtVer"]))), s([entry, done(1)].concat())];
    let sessions = play_on(Transport::Udp, 50000, 389, &script);
    assert_eq!(lines(&sessions), ["ldap Search||dc=x|Search sub ok 0 rows=1"]);
}
