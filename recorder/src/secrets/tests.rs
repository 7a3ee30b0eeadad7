use super::*;
use formats::event::direction;
use proptest::prelude::*;

/// A payload as it is kept.
fn masked(payload: &[u8]) -> String {
    let mut masker = Masker::default();
    keep(&mut masker, 1, false, payload, payload.len())
}

/// The payload of one more call on a socket, of which `kept` bytes are kept.
fn keep(masker: &mut Masker, sock: u64, ingress: bool, payload: &[u8], kept: usize) -> String {
    let data = SocketData {
        sock,
        ret: payload.len() as i64,
        data_len: u32::try_from(kept).unwrap(),
        flags: if ingress { data_flag::INGRESS } else { 0 },
        call: if ingress { call::READ } else { call::WRITE },
        ..SocketData::default()
    };
    let mut bytes = payload[..kept].to_vec();
    masker.call(&data, payload).apply(&mut bytes);
    assert_eq!(bytes.len(), kept);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn http_headers() {
    assert_eq!(
        masked(b"GET / HTTP/1.1\r\nHost: a\r\nauthorization: Bearer abc.def\r\nCookie: sid=1; x=2\r\nX-Request-Id: 7\r\n\r\n"),
        "GET / HTTP/1.1\r\nHost: a\r\nauthorization: Bearer *******\r\nCookie: **********\r\nX-Request-Id: 7\r\n\r\n"
    );
    assert_eq!(
        masked(b"HTTP/1.1 200 OK\r\nSet-Cookie: s=abc; Path=/\r\nX-Api-Key:k1\r\nX-Amz-Security-Token: t\r\n\r\nhello"),
        "HTTP/1.1 200 OK\r\nSet-Cookie: *************\r\nX-Api-Key:**\r\nX-Amz-Security-Token: *\r\n\r\nhello"
    );
    // A credential without a scheme is masked whole; one that is cut as far as it is there.
    assert_eq!(masked(b"GET / HTTP/1.0\nAuthorization: abc\n\n"), "GET / HTTP/1.0\nAuthorization: ***\n\n");
    assert_eq!(masked(b"GET / HTTP/1.0\r\nCookie: ab"), "GET / HTTP/1.0\r\nCookie: **");
}

#[test]
fn http_targets_and_bodies() {
    assert_eq!(
        masked(b"GET /a?page=2&access_token=abc&x=1 HTTP/1.1\r\n\r\nGET /b?sig=9 HTTP/1.1\r\n\r\n"),
        "GET /a?page=2&access_token=***&x=1 HTTP/1.1\r\n\r\nGET /b?sig=* HTTP/1.1\r\n\r\n"
    );
    assert_eq!(masked(b"GET http://u:pw@h/x HTTP/1.1\r\n\r\n"), "GET http://u:**@h/x HTTP/1.1\r\n\r\n");
    assert_eq!(
        masked(b"POST /login HTTP/1.1\r\nContent-Length: 9\r\n\r\nuser=joe&password=hunter2&next=%2F"),
        "POST /login HTTP/1.1\r\nContent-Length: 9\r\n\r\nuser=joe&password=*******&next=%2F"
    );
    assert_eq!(
        masked(b"HTTP/1.1 200 OK\r\n\r\n{\"access_token\": \"a\\\"b\",\"expires_in\":3600,\"refreshToken\":null}"),
        "HTTP/1.1 200 OK\r\n\r\n{\"access_token\": \"****\",\"expires_in\":3600,\"refreshToken\":null}"
    );
    // Addresses in headers: where one came from, where to go to.
    assert_eq!(
        masked(b"GET / HTTP/1.1\r\nreferer: http://u:pw@h/x?id=1&access_token=abc\r\nRange: bytes=1-2\r\n\r\n"),
        "GET / HTTP/1.1\r\nreferer: http://u:**@h/x?id=1&access_token=***\r\nRange: bytes=1-2\r\n\r\n"
    );
    assert_eq!(
        masked(b"HTTP/1.1 302 Found\r\nLocation: /cb?token=abc&x=y\r\nLast-Modified: z\r\n\r\n"),
        "HTTP/1.1 302 Found\r\nLocation: /cb?token=***&x=y\r\nLast-Modified: z\r\n\r\n"
    );
    assert_eq!(masked(b"CONNECT db:443 HTTP/1.1\r\n\r\n"), "CONNECT db:443 HTTP/1.1\r\n\r\n");
    assert_eq!(
        masked(b"GET /a HTTP/1.1\r\nHost: joe:SECRET@shop:80\r\nA: b\r\n\r\n"),
        "GET /a HTTP/1.1\r\nHost: joe:******@shop:80\r\nA: b\r\n\r\n"
    );
    // An authorization code, and what is called so as well.
    assert_eq!(
        masked(b"GET /cb?code=4/0AbCdEfGhIjKlMn&state=x&code=404 HTTP/1.1\r\nHost: a:80\r\n\r\n"),
        "GET /cb?code=*****************&state=x&code=404 HTTP/1.1\r\nHost: a:80\r\n\r\n"
    );
}

#[test]
fn http_over_several_calls() {
    let m = &mut Masker::default();
    assert_eq!(keep(m, 5, true, b"GET / HTTP/1.1\r\nCookie: a=1", 27), "GET / HTTP/1.1\r\nCookie: ***");
    assert_eq!(keep(m, 5, true, b"23; b=4\r\nHost: h\r\nX-Auth-Token: z", 33), "*******\r\nHost: h\r\nX-Auth-Token: *");
    assert_eq!(keep(m, 5, true, b"z\r\n\r\n", 5), "*\r\n\r\n");
    assert_eq!(keep(m, 5, true, b"token=abc", 9), "token=***");
    // Line by line, and a name that is cut.
    assert_eq!(keep(m, 5, true, b"GET / HTTP/1.1\r\n", 16), "GET / HTTP/1.1\r\n");
    assert_eq!(keep(m, 5, true, b"Host: h\r\n", 9), "Host: h\r\n");
    assert_eq!(keep(m, 5, true, b"Coo", 3), "Coo");
    assert_eq!(keep(m, 5, true, b"kie: x\r\n", 8), "******\r\n");
    assert_eq!(keep(m, 5, true, b"Accept: y\r\n\r\n", 13), "Accept: y\r\n\r\n");
    // A name that is cut and cannot become one of a secret: without the length the next message is not found.
    assert_eq!(keep(m, 5, true, b"HTTP/1.1 20", 11), "HTTP/1.1 20");
    assert_eq!(keep(m, 5, true, b"0 OK\r\nContent-", 14), "0 OK\r\nContent-");
    assert_eq!(keep(m, 5, true, b"Length: 3\r\nX", 12), "Length: 3\r\nX");
    assert_eq!(keep(m, 5, true, b"-Auth-Token: z\r\n\r", 17), "**************\r\n\r");
    assert_eq!(keep(m, 5, true, b"\nabc", 4), "\nabc");
    // What was not kept may have ended in a cookie.
    assert_eq!(keep(m, 5, true, &[b"GET / HTTP/1.1\r\nHost: h\r\n", &[b'x'; 99][..]].concat(), 25).len(), 25);
    assert_eq!(keep(m, 5, true, b"rest\r\nHost: h\r\n\r\n", 17), "****\r\nHost: h\r\n\r\n");
    // Other directions and sockets are other streams; binary data is no header.
    keep(m, 6, true, b"GET / HTTP/1.1\r\nCookie: a", 25);
    assert_eq!(keep(m, 6, false, b"plain\r\n", 7), "plain\r\n");
    assert_eq!(keep(m, 7, true, b"plain\r\n", 7), "plain\r\n");
    assert_eq!(keep(m, 6, true, b"\x01\x02\n", 3), "\x01\x02\n");
}

#[test]
fn redis() {
    assert_eq!(
        masked(b"*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n*1\r\n$4\r\nPING\r\n"),
        "*2\r\n$4\r\nAUTH\r\n$7\r\n*******\r\n*1\r\n$4\r\nPING\r\n"
    );
    assert_eq!(
        masked(b"*3\r\n$4\r\nauth\r\n$3\r\njoe\r\n$2\r\npw\r\n"),
        "*3\r\n$4\r\nauth\r\n$3\r\njoe\r\n$2\r\n**\r\n"
    );
    assert_eq!(
        masked(b"*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$2\r\npw\r\n"),
        "*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$2\r\n**\r\n"
    );
    assert_eq!(
        masked(b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$11\r\nrequirepass\r\n$2\r\npw\r\n"),
        "*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$11\r\nrequirepass\r\n$2\r\n**\r\n"
    );
    assert_eq!(
        masked(b"*5\r\n$3\r\nACL\r\n$7\r\nSETUSER\r\n$1\r\nu\r\n$2\r\non\r\n$3\r\n>pw\r\n"),
        "*5\r\n$3\r\nACL\r\n$7\r\nSETUSER\r\n$1\r\nu\r\n$2\r\non\r\n$3\r\n***\r\n"
    );
    // The secret is cut; others' arguments stay.
    assert_eq!(masked(b"*2\r\n$4\r\nAUTH\r\n$99\r\nhunt"), "*2\r\n$4\r\nAUTH\r\n$99\r\n****");
    assert_eq!(masked(b"*2\r\n$3\r\nGET\r\n$4\r\nAUTH\r\n"), "*2\r\n$3\r\nGET\r\n$4\r\nAUTH\r\n");
    assert_eq!(masked(b"*1\r\n$4\r\nAUTH\r\n"), "*1\r\n$4\r\nAUTH\r\n");
}

#[test]
fn postgres() {
    // PasswordMessage with the length of its content and itself, then a zero-terminated password.
    assert_eq!(masked(b"p\0\0\0\x0chunter2\0"), "p\0\0\0\x0c********");
    assert_eq!(masked(b"p\0\0\0\x1aSCRAM-SHA-256\0\0\0\0\x04n,,r"), "p\0\0\0\x1aSCRAM-SHA-256\0********");
    assert_eq!(masked(b"p\0\0\0\x0cother"), "p\0\0\0\x0cother");
    assert_eq!(masked(b"plain words"), "plain words");
}

/// HandshakeResponse41: flags, 2^24, utf8mb4, 23 zeroes, user, answer of 20 bytes with its length, database.
fn mysql_response() -> Vec<u8> {
    let mut p = [&0x00aa_a685u32.to_le_bytes()[..], &0x0100_0000u32.to_le_bytes(), &[45], &[0; 23], b"root\0"].concat();
    p.extend([&[20][..], &[b'S'; 20], b"shop\0mysql_native_password\0"].concat());
    p
}

#[test]
fn mysql() {
    let content = mysql_response();
    let packet = [&[u8::try_from(content.len()).unwrap(), 0, 0, 1], &content[..]].concat();
    let kept = masked(&packet);
    assert!(!kept.contains('S') && kept.contains("root\0\x14********************shop\0"), "{kept:?}");
    // The server reads header and content one after the other; the client is asked again, in clear.
    let m = &mut Masker::default();
    keep(m, 1, true, &packet[..4], 4);
    assert!(!keep(m, 1, true, &content, content.len()).contains('S'));
    assert_eq!(keep(m, 1, true, b"\x08\0\0\x03", 4), "\x08\0\0\x03");
    assert_eq!(keep(m, 1, true, b"hunter2\0", 8), "********");
    assert_eq!(keep(m, 1, true, b"\x09\0\0\0", 4), "\x09\0\0\0");
    assert_eq!(keep(m, 1, true, b"\x03SELECT 1", 9), "\x03SELECT 1");
    let m = &mut Masker::default();
    keep(m, 1, false, &packet, packet.len());
    assert_eq!(keep(m, 1, false, b"\x08\0\0\x03hunter2\0", 12), "\x08\0\0\x03********");
    assert_eq!(keep(m, 1, false, b"\x09\0\0\0\x03SELECT 1", 13), "\x09\0\0\0\x03SELECT 1");
    assert_eq!(m.counts(), BTreeMap::from([("mysql_login".to_owned(), 2)]));
}

/// An answer to Produce of Kafka, of which the client read size and correlation id before: its first bytes have MySQL's flag, its numbers
/// are the zeroes. Without MySQL's header before it, it is no login, and what follows stays readable.
#[test]
fn what_looks_like_mysql() {
    let answer = [&b"\0\x02\x06t-lz4\x02"[..], &[0; 30], &[1, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let m = &mut Masker::default();
    for correlation in 5..9 {
        let head = [0, 0, 0, 52, 0, 0, 0, correlation];
        assert_eq!(keep(m, 1, true, &head, 8), String::from_utf8_lossy(&head));
        assert_eq!(keep(m, 1, true, &answer, 48), String::from_utf8_lossy(&answer));
    }
    assert!(m.counts().is_empty());
    // The header of something else, of another length.
    keep(m, 2, true, b"\x40\0\0\x01", 4);
    assert_eq!(keep(m, 2, true, &answer, 48), String::from_utf8_lossy(&answer));
}

#[test]
fn sql() {
    assert_eq!(
        masked(b"Q\0\0\0\x2calter role a PASSWORD  'x''y' valid until 'z'\0"),
        "Q\0\0\0\x2calter role a PASSWORD  '****' valid until 'z'\0"
    );
    assert_eq!(
        masked(b"\x30\0\0\0\x03CREATE USER 'u'@'h' IDENTIFIED BY 'hunter2'"),
        "\x30\0\0\0\x03CREATE USER 'u'@'h' IDENTIFIED BY '*******'"
    );
    for (said, hidden) in [
        ("\x03create user joe identified by 'ab'", "\x03create user joe identified by '**'"),
        (
            "alter user a IDENTIFIED WITH caching_sha2_password BY \"ab\"",
            "alter user a IDENTIFIED WITH caching_sha2_password BY \"**\"",
        ),
        ("set password for 'u'@'h' = 'ab'", "set password for 'u'@'h' = '**'"),
        ("SET PASSWORD = PASSWORD( 'ab')", "SET PASSWORD = PASSWORD( '**')"),
        (
            "change master to master_user='u', master_password = 'ab', x='y'",
            "change master to master_user='u', master_password = '**', x='y'",
        ),
        (
            "select \"by\", 'x' from t where by = 'z' and c in ('d')",
            "select \"by\", 'x' from t where by = 'z' and c in ('d')",
        ),
    ] {
        let said = if said.starts_with('\x03') { said.to_owned() } else { format!("\x03{said}") };
        assert_eq!(masked(said.as_bytes()), format!("\x03{}", hidden.trim_start_matches('\x03')));
    }
    assert_eq!(masked(b"Q\0\0\0\x1fselect * from t where a = 'b'\0"), "Q\0\0\0\x1fselect * from t where a = 'b'\0");
}

#[test]
fn lines() {
    assert_eq!(masked(b"PASS hunter2\r\n"), "PASS *******\r\n");
    assert_eq!(masked(b"AUTH PLAIN AGpvZQB4\r\n"), "AUTH PLAIN ********\r\n");
    assert_eq!(masked(b"AUTH LOGIN\r\n"), "AUTH LOGIN\r\n");
    assert_eq!(masked(b"auth hunter2\r\n"), "auth *******\r\n");
    assert_eq!(masked(b"a1 LOGIN joe \"hunter2\"\r\n"), "a1 LOGIN joe *********\r\n");
    assert_eq!(
        masked(b"CONNECT {\"user\":\"joe\",\"pass\":\"hunter2\",\"verbose\":false}\r\n"),
        "CONNECT {\"user\":\"joe\",\"pass\":\"*******\",\"verbose\":false}\r\n"
    );
    // Python's libraries put spaces behind colons.
    assert_eq!(
        masked(b"CONNECT {\"lang\": \"python3\", \"pass\": \"hunter2\", \"auth_token\": \"abc\", \"jwt\": null}\r\n"),
        "CONNECT {\"lang\": \"python3\", \"pass\": \"*******\", \"auth_token\": \"***\", \"jwt\": null}\r\n"
    );
    assert_eq!(masked(b"set key 0 0 5\r\nvalue\r\n"), "set key 0 0 5\r\nvalue\r\n");
}

/// Passwords in binary messages, each made by hand from its specification.
#[test]
fn binary_logins() {
    // LDAP bind as cn=a: message 1, version 3, simple password; the same by SASL PLAIN.
    let simple = b"\x30\x16\x02\x01\x01\x60\x11\x02\x01\x03\x04\x04cn=a\x80\x06SECRET";
    assert_eq!(masked(simple), "0\x16\x02\x01\x01`\x11\x02\x01\x03\x04\x04cn=a\u{fffd}\x06******");
    let sasl = b"\x30\x1c\x02\x01\x01\x60\x17\x02\x01\x03\x04\0\xa3\x10\x04\x05PLAIN\x04\x07\0SECRET";
    assert!(masked(sasl).ends_with("PLAIN*********"), "{}", masked(sasl));
    // MQTT 3.1.1: client id c, user joe; MQTT 5 with a will.
    let mqtt = b"\x10\x1a\0\x04MQTT\x04\xc2\0\x3c\0\x01c\0\x03joe\0\x06SECRET";
    assert!(masked(mqtt).ends_with("joe\0\x06******"));
    let mqtt5 = b"\x10\x22\0\x04MQTT\x05\xc6\0\x3c\0\0\x01c\0\0\x01t\0\x01w\0\x03joe\0\x06SECRET";
    assert!(masked(mqtt5).ends_with("joe\0\x06******"));
    let without = b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01c";
    assert_eq!(masked(without).as_bytes(), without);
    // AMQP start-ok with an empty table, AMQPLAIN's or PLAIN's response, locale.
    let amqp = b"\x01\0\0\0\0\0\x23\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0b\0joe\0SECRET\x05en_US\xce";
    assert_eq!(keep_bytes(amqp), [&amqp[..25], &[b'*'; 11], &amqp[36..]].concat());
    // Kafka SaslAuthenticate 0 of client c.
    let kafka = b"\0\0\0\x1a\0\x24\0\0\0\0\0\x01\0\x01c\0\0\0\x0b\0joe\0SECRET";
    assert_eq!(keep_bytes(kafka), [&kafka[..15], &[b'*'; 15]].concat());
    // Cassandra AUTH_RESPONSE.
    let cql = b"\x04\0\0\x01\x0f\0\0\0\x0f\0\0\0\x0b\0joe\0SECRET";
    assert_eq!(keep_bytes(cql), [&cql[..9], &[b'*'; 15]].concat());
    // ZooKeeper's auth, scheme digest; its length read before.
    let auth = b"\0\0\0\x24\xff\xff\xff\xfc\0\0\0\x64\0\0\0\0\0\0\0\x06digest\0\0\0\x0ajoe:SECRET";
    assert_eq!(keep_bytes(auth), [&auth[..30], &[b'*'; 10]].concat());
    assert_eq!(keep_bytes(&auth[4..]), [&auth[4..30], &[b'*'; 10]].concat());
    // A login of SQL Server: the password's six characters begin 94 bytes behind the head.
    let mut tds = vec![0x10, 1, 0, 114, 0, 0, 1, 0, 106, 0, 0, 0, 4, 0, 0, 0x74];
    tds.resize(8 + 94, 0);
    tds[8 + 44..8 + 48].copy_from_slice(&[94, 0, 6, 0]);
    tds.extend(b"S.E.C.R.E.T.");
    assert_eq!(keep_bytes(&tds), [&tds[..102], &[b'*'; 12]].concat());
    // Servers that read the head first.
    for (whole, head, secret) in
        [(&mqtt[..], 2, 6), (&mqtt5[..], 1 + 1, 6), (&simple[..], 8, 6), (&amqp[..], 7, 0), (&kafka[..], 4, 15)]
    {
        let rest = &whole[head..];
        let kept = keep_bytes(rest);
        if secret > 0 {
            let clear = rest.len() - secret;
            assert_eq!(kept, [&rest[..clear], &vec![b'*'; secret]].concat());
        } else {
            assert!(!String::from_utf8_lossy(&kept).contains("SECRET"));
        }
    }
    // The same of a name so long that lengths have two bytes: what is left begins with a length.
    let long =
        [&b"\x30\x81\xdc\x02\x01\x01\x60\x81\xd6\x02\x01\x03\x04\x81\xc8cn="[..], &[b'a'; 197], b"\x80\x06SECRET"]
            .concat();
    let clear = long.len() - 6;
    assert_eq!(keep_bytes(&long[8..]), [&long[8..clear], b"******"].concat());
    // Cut within the password, and before it; others' messages.
    assert!(masked(&simple[..21]).ends_with("***"));
    for other in [&simple[..17], b"\0\0\0\x05\0\x24\0", b"\x03\0\0\0\x01", b"\x10\0", b"0 LOGIN"] {
        assert_eq!(keep_bytes(other), other);
    }
    assert_eq!(masked(b"0 LOGIN joe SECRET\r\n"), "0 LOGIN joe ******\r\n");
}

/// As [`masked`], in bytes.
fn keep_bytes(payload: &[u8]) -> Vec<u8> {
    let data = SocketData {
        sock: 1,
        ret: payload.len() as i64,
        data_len: u32::try_from(payload.len()).unwrap(),
        call: call::WRITE,
        ..SocketData::default()
    };
    let mut bytes = payload.to_vec();
    Masker::default().call(&data, payload).apply(&mut bytes);
    bytes
}

/// SMTP and IMAP: what answers the server's challenges comes in lines of its own.
#[test]
fn logins_of_several_lines() {
    let m = &mut Masker::default();
    assert_eq!(keep(m, 5, false, b"AUTH LOGIN\r\n", 12), "AUTH LOGIN\r\n");
    assert_eq!(keep(m, 5, true, b"334 VXNlcm5hbWU6\r\n", 18), "334 VXNlcm5hbWU6\r\n");
    assert_eq!(keep(m, 5, false, b"am9l\r\n", 6), "****\r\n");
    assert_eq!(keep(m, 5, false, b"aHVudGVyMg==\r\n", 14), "************\r\n");
    assert_eq!(keep(m, 5, false, b"MAIL FROM:<a@b>\r\n", 17), "MAIL FROM:<a@b>\r\n");
    assert_eq!(keep(m, 5, false, b"QUIT\r\n", 6), "QUIT\r\n");
    // Redis typed by hand, in two calls.
    assert_eq!(keep(m, 7, false, b"AUTH", 4), "AUTH");
    assert_eq!(keep(m, 7, false, b" hunter2!\r\n", 11), " ********\r\n");
    assert_eq!(keep(m, 7, false, b"PING\r\n", 6), "PING\r\n");
    assert_eq!(keep(m, 6, false, b"a1 AUTHENTICATE PLAIN\r\n", 23), "a1 AUTHENTICATE PLAIN\r\n");
    assert_eq!(keep(m, 6, false, b"AGpvZQB4\r\n", 10), "********\r\n");
    assert_eq!(keep(m, 6, false, b"a2 SELECT inbox\r\n", 17), "a2 SELECT inbox\r\n");
}

/// An Ethernet frame with a TCP segment over IPv4.
fn frame(seq: u32, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(40 + payload.len()).unwrap().to_be_bytes();
    [
        &[0; 12][..],
        &[8, 0, 0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2],
        &[0x80, 0, 0, 80],
        &seq.to_be_bytes(),
        &[0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0],
        payload,
    ]
    .concat()
}

fn keep_packet(m: &mut Masker, bytes: &[u8], kept: usize) -> String {
    let packet = Packet { dev_type: 1, ethertype: 0x800, direction: direction::IN, ..Packet::default() };
    let mut out = bytes[..kept].to_vec();
    m.packet(&packet, &bytes[..kept]).apply(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn packets() {
    let m = &mut Masker::default();
    let request = b"GET /?token=abc HTTP/1.1\r\nHost: h\r\nX-Long: xxxxxxxxxx\r\n";
    assert!(keep_packet(m, &frame(1000, request), 54 + 40).ends_with("GET /?token=*** HTTP/1.1\r\nHost: h\r\nX-Lon"));
    // The next segment begins in a line that was not kept, maybe a cookie; a repetition of it as well.
    let seq = 1000 + u32::try_from(request.len()).unwrap();
    for _ in 0..2 {
        assert!(keep_packet(m, &frame(seq, b"secret\r\nCookie: abc\r\n"), 75).ends_with("******\r\nCookie: ***\r\n"));
    }
    // Another connection, and what is far behind, have nothing to do with it.
    assert!(keep_packet(m, &frame(seq + 40_000, b"open\r\n"), 60).ends_with("open\r\n"));
    // Inside of VXLAN: outer Ethernet, IPv4, UDP to 4789, VXLAN, then the frame.
    let inner = frame(1, b"GET / HTTP/1.1\r\nCookie: abc\r\n\r\n");
    let outer = [
        &[0; 12][..],
        &[8, 0, 0x45, 0, 0, 200, 0, 0, 0, 0, 64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2],
        &[0x12, 0x34, 0x12, 0xb5, 0, 180, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0],
        &inner,
    ]
    .concat();
    assert!(keep_packet(m, &outer, outer.len()).ends_with("Cookie: ***\r\n\r\n"));
    // What a dropped packet shows begins with its network header.
    let mut tail = frame(1, b"GET /?pwd=x HTTP/1.1\r\n")[14..].to_vec();
    m.dropped(0x800, &tail.clone()).apply(&mut tail);
    assert!(String::from_utf8_lossy(&tail).contains("GET /?pwd=* HTTP"), "{tail:?}");
}

#[test]
fn closed_sockets_are_forgotten() {
    let m = &mut Masker::default();
    keep(m, 9, true, b"GET / HTTP/1.1\r\nCookie: a", 25);
    m.call(&SocketData { sock: 9, call: call::CLOSE, ..SocketData::default() }, b"");
    assert_eq!(keep(m, 9, true, b"hello\r\n", 7), "hello\r\n");
}

#[test]
fn names() {
    for name in [
        "password",
        "PGPASSWORD",
        "X-Api-Key",
        "accessToken",
        "user[password]",
        "sig",
        "client_secret",
        "pwd",
        "DB_PASS",
        "--smtp-pass",
    ] {
        assert!(is_secret(name.as_bytes()), "{name}");
    }
    for name in [
        "user",
        "max_tokens",
        "password-file",
        "token_type",
        "expires_in",
        "keyboard",
        "",
        "p",
        "design",
        "bypass",
        "compass",
    ] {
        assert!(!is_secret(name.as_bytes()), "{name}");
    }
}

proptest! {
    #[test]
    fn anything_keeps_its_length(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6)) {
        let mut masker = Masker::default();
        for payload in &payloads {
            keep(&mut masker, 3, true, payload, payload.len());
            keep_packet(&mut masker, payload, payload.len());
            let _ = masker.dropped(0x86dd, payload);
        }
    }

    /// However a request is cut into calls, and whatever is put into its secrets, they are gone.
    #[test]
    fn no_cut_lets_a_secret_out(cuts in prop::collection::vec(1usize..40, 1..12), secret in "[A-Z]{8,40}") {
        let text = format!(
            "POST /p?a=b HTTP/1.1\r\nHost: h\r\nCookie: {secret}\r\nAuthorization: Basic {secret}\r\nX-Api-Key: {secret}\r\n\r\n"
        );
        let mut masker = Masker::default();
        let mut rest = text.as_bytes();
        let mut kept = String::new();
        // The request line is in the first piece: what does not begin like HTTP is not taken for it.
        let first = 20 + cuts[0];
        let mut cuts = std::iter::once(first).chain(cuts).chain(std::iter::repeat(1000));
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            kept += &keep(&mut masker, 4, true, piece, piece.len());
            rest = after;
        }
        prop_assert_eq!(kept.len(), text.len());
        let left = kept.bytes().filter(u8::is_ascii_uppercase).count();
        let plain = text.replace(&secret, "");
        prop_assert!(left <= plain.bytes().filter(u8::is_ascii_uppercase).count(), "{}", kept);
    }
}

/// A frame of HTTP/2 on stream 1.
fn h2(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// Header blocks of RFC 7541 and RFC 9113, put together by hand.
#[test]
fn http2_headers() {
    // `:method GET`; then `authorization` by the static table, raw: `Bearer x`; `user-agent` by it, raw: `me`.
    let raw = [b"\x82\x0f\x08\x08Bearer x\x0f\x2b\x02me".as_slice(), b"\x40\x09x-api-key\x03abc"].concat();
    let payload = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &h2(4, 0, b""), &h2(1, 4, &raw)].concat();
    let kept = masked(&payload);
    assert!(kept.contains("\x08********\x0f\x2b\x02me"), "{kept:?}");
    assert!(kept.ends_with("\x09x-api-key\x03***"), "{kept:?}");
    // Behind another frame, as a client sends them.
    let update = [b"\0\0\x04\x08\0\0\0\0\x01\0\0\x10\0".as_slice(), &h2(1, 4, b"\x0f\x08\x03abc")].concat();
    assert!(masked(&update).ends_with("\x03***"));
    // RFC 7541 C.4.3: `custom-key: custom-value`, coded; its name is harmless. With the name `cookie` by the static table
    // (32 is 15 + 17), it is a secret, and what stands for it is eight bits of the code of `*` for each byte.
    let value = [0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf];
    let harmless = [b"\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89".as_slice(), &value].concat();
    let secret = [b"\x1f\x11\x89".as_slice(), &value].concat();
    let payload = [h2(1, 4, &harmless), h2(0, 0, b"\x40\x09x-api-key\x03abc"), h2(1, 5, &secret)].concat();
    let mut bytes = payload.clone();
    let data = SocketData {
        ret: payload.len() as i64,
        data_len: u32::try_from(payload.len()).unwrap(),
        flags: data_flag::FRAMES,
        ..SocketData::default()
    };
    let mut masker = Masker::default();
    masker.call(&data, &payload).apply(&mut bytes);
    let (before, after) = bytes.split_at(bytes.len() - 9);
    assert_eq!((before, after), (&payload[..before.len()], &[0xf9; 9][..]));
    assert_eq!(masker.counts(), BTreeMap::from([("http2_header".to_owned(), 1)]));
    // The name `x-api-key` in Huffman code: x 1111001, - 010110, a 00011, p 101011, i 00110, k 1110101, e 00101, y 1111010.
    let name = [0b1111_0010, 0b1011_0000, 0b1110_1011, 0b0011_0010, 0b1101_1101, 0b0100_1011, 0b1110_1011];
    let coded = [&[0x40, 0x87], &name[..], b"\x03abc"].concat();
    assert!(masked(&h2(1, 4, &coded)).ends_with("\x03***"));
}

/// What lies behind the prefix: a secret that begins in the prefix and ends in the piece that follows.
#[test]
fn http2_pieces() {
    let payload = [h2(0, 0, &[b'd'; 20]), h2(1, 4, b"\x0f\x08\x06secret"), h2(1, 4, b"\x0f\x11\x02ab")].concat();
    let prefix = payload.len() - 9 - 5 - 3;
    // The first piece goes on where the prefix ends; then one byte is missing.
    let piece = |offset: usize, len: usize| {
        let head = [u32::try_from(offset).unwrap().to_le_bytes(), u32::try_from(len).unwrap().to_le_bytes()].concat();
        [&head, &payload[offset..offset + len]].concat()
    };
    let more = [piece(prefix, 3), piece(prefix + 3, 14)].concat();
    let mut tail = [&payload[..prefix], &more].concat();
    let data = SocketData {
        ret: payload.len() as i64,
        data_len: u32::try_from(prefix).unwrap(),
        more_len: u32::try_from(more.len()).unwrap(),
        flags: data_flag::FRAMES,
        ..SocketData::default()
    };
    let all = tail.clone();
    Masker::default().call(&data, &all).apply(&mut tail);
    let seen = String::from_utf8_lossy(&tail).into_owned();
    assert!(!seen.contains("sec") && !seen.contains("ret") && !seen.ends_with("ab"), "{seen:?}");
    assert_eq!(tail.iter().zip(&all).filter(|(a, b)| a != b).count(), 8);
}

proptest! {
    /// Whatever is captured, nothing panics and nothing outside of it is touched.
    #[test]
    fn any_frames(tail in proptest::collection::vec(any::<u8>(), 0..300), prefix in 0u32..300, more in 0u32..300, at in 0u32..300) {
        let data = SocketData { data_len: prefix, more_len: more, frame_at: at, flags: data_flag::FRAMES, ..SocketData::default() };
        let mut bytes = tail.clone();
        Masker::default().call(&data, &tail).apply(&mut bytes);
        prop_assert_eq!(bytes.len(), tail.len());
    }
}
