//! Ordinary traffic of protocols of datagrams, of mail, of telephony, and of databases and queues that the other files do not have.

use super::{Script, client, server};
use replay::model::Transport;

/// (name, transport, port, once at the start, again and again)
type Traffic = (&'static str, Transport, u16, Script, Script);

fn size(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or_default().to_be_bytes()
}

fn little(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or_default().to_le_bytes()
}

fn short(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or_default().to_be_bytes()
}

fn byte(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(u8::MAX)
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| byte(digit as usize)).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

/// Kafka: Produce of version 7 with one batch of 1,000 bytes, and its answer.
fn kafka() -> Script {
    let text = |text: &str| [&short(text.len())[..], text.as_bytes()].concat();
    let frame = |body: Vec<u8>| [&size(body.len())[..], &body].concat();
    let batch = [&[0; 8][..], &size(1000 - 12), &[0, 0, 0, 0, 2], &[0; 983]].concat();
    let partition = [&size(1)[..], &size(0), &size(batch.len()), &batch].concat();
    let ask = [
        &[0, 0, 0, 7][..],
        &size(42),
        &text("producer-1"),
        &[0xff, 0xff, 0, 1],
        &size(30_000),
        &size(1),
        &text("orders.created"),
        &partition,
    ];
    let answer = [&size(42)[..], &size(1), &text("orders.created"), &size(1), &size(0), &[0; 2], &[0; 24], &[0; 4]];
    vec![client(frame(ask.concat())), server(frame(answer.concat()))]
}

/// MongoDB: OP_MSG with a find, and a batch of ten documents.
fn mongodb() -> Script {
    let text = |name: &str, value: &str| {
        [&[2][..], name.as_bytes(), &[0], &little(value.len() + 1), value.as_bytes(), &[0]].concat()
    };
    let document = |fields: &[u8]| [&little(fields.len() + 5)[..], fields, &[0]].concat();
    let nested = |kind: u8, name: &str, inner: &[u8]| [&[kind][..], name.as_bytes(), &[0], inner].concat();
    let message = |request: u32, response: u32, body: &[u8]| {
        let head = [&request.to_le_bytes()[..], &response.to_le_bytes(), &2013_u32.to_le_bytes()].concat();
        [&little(21 + body.len())[..], &head, &[0; 4], &[0], body].concat()
    };
    let filter = document(&[text("customer", "4711"), text("state", "open")].concat());
    let find = document(&[text("find", "orders"), nested(3, "filter", &filter), text("$db", "shop")].concat());
    let row = document(&[text("customer", "4711"), text("note", &"n".repeat(80))].concat());
    let rows: Vec<u8> = (0..10).flat_map(|n: u8| nested(3, &n.to_string(), &row)).collect();
    let cursor = document(&[nested(4, "firstBatch", &document(&rows)), text("ns", "shop.orders")].concat());
    let ok = nested(1, "ok", &1_f64.to_le_bytes());
    vec![client(message(7, 0, &find)), server(message(9, 7, &document(&[nested(3, "cursor", &cursor), ok].concat())))]
}

/// CQL 4: a query, and twenty rows of one column.
fn cassandra() -> Script {
    let frame = |first: u8, opcode: u8, body: &[u8]| [&[first, 0, 0, 1, opcode][..], &size(body.len()), body].concat();
    let sql = "SELECT id, name, price FROM shop.orders WHERE customer_id = 4711 ORDER BY id";
    let ask = [&size(sql.len())[..], sql.as_bytes(), &[0, 1, 0]].concat();
    let name = |text: &str| [&short(text.len())[..], text.as_bytes()].concat();
    let mut rows =
        [&size(2)[..], &size(1), &size(1), &name("shop"), &name("orders"), &name("name"), &short(13)].concat();
    rows.extend(size(20));
    for _ in 0..20 {
        rows.extend([&size(60)[..], &[b'r'; 60]].concat());
    }
    vec![client(frame(4, 7, &ask)), server(frame(0x84, 8, &rows))]
}

/// AMQP 0-9-1: a publication of 400 bytes with a header.
fn amqp() -> (Script, Script) {
    let frame = |kind: u8, body: &[u8]| [&[kind, 0, 1][..], &size(body.len()), body, &[0xce]].concat();
    let text = |text: &str| [&[byte(text.len())][..], text.as_bytes()].concat();
    let publish = [&[0, 60, 0, 40, 0, 0][..], &text("orders"), &text("orders.created"), &[0]].concat();
    let table = [&text("x-tenant")[..], b"S", &size(4), b"acme"].concat();
    let header = [
        &[0, 60, 0, 0][..],
        &[0, 0, 0, 0, 0, 0, 1, 0x90],
        &[0xa0, 0],
        &text("application/json"),
        &size(table.len()),
        &table,
    ];
    let message = [frame(1, &publish), frame(2, &header.concat()), frame(3, &[b'v'; 400])].concat();
    (vec![client(b"AMQP\0\0\x09\x01")], vec![client(message)])
}

/// SIP: a call that is answered and ended.
fn sip() -> Script {
    let body = "v=0\r\no=alice 2890844526 2890844526 IN IP4 host.example\r\ns=-\r\nc=IN IP4 192.0.2.101\r\nt=0 0\r\n\
        m=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";
    let common = |sequence: &str, body: &str| {
        format!(
            "Via: SIP/2.0/TCP client.atlanta.example:5060;branch=z9hG4bK74b43\r\nMax-Forwards: 70\r\n\
             From: Alice <sip:alice@atlanta.example>;tag=9fxced76sl\r\nTo: Bob <sip:bob@biloxi.example>;tag=8321234356\r\n\
             Call-ID: 3848276298220188511@atlanta.example\r\nCSeq: {sequence}\r\n\
             Contact: <sip:alice@client.atlanta.example;transport=tcp>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let ask = |method: &str, number: u32, body: &str| {
        format!("{method} sip:bob@biloxi.example SIP/2.0\r\n{}", common(&format!("{number} {method}"), body))
    };
    let answer = |status: &str, sequence: &str, body: &str| format!("SIP/2.0 {status}\r\n{}", common(sequence, body));
    vec![
        client(ask("INVITE", 1, body)),
        server([answer("180 Ringing", "1 INVITE", ""), answer("200 OK", "1 INVITE", body)].concat()),
        client([ask("ACK", 1, ""), ask("BYE", 2, "")].concat()),
        server(answer("200 OK", "2 BYE", "")),
    ]
}

/// RTSP: a question and its answer.
fn rtsp() -> Script {
    vec![
        client(
            "GET_PARAMETER rtsp://cam.example:554/live/track1 RTSP/1.0\r\nCSeq: 9\r\nSession: 12345678\r\n\
             User-Agent: LibVLC/3.0.18 (LIVE555 Streaming Media v2016.11.28)\r\n\r\n",
        ),
        server(
            "RTSP/1.0 200 OK\r\nCSeq: 9\r\nDate: Mon, Nov 23 2026 04:30:00 GMT\r\nSession: 12345678\r\n\
             Server: Camera/1.0\r\nContent-Length: 0\r\n\r\n",
        ),
    ]
}

fn ssdp() -> Script {
    vec![client(
        "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=1800\r\n\
         LOCATION: http://192.0.2.1:49152/rootDesc.xml\r\nNT: urn:schemas-upnp-org:service:WANIPConnection:1\r\n\
         NTS: ssdp:alive\r\nSERVER: Linux/5.10 UPnP/1.1 MiniUPnPd/2.2.1\r\n\
         USN: uuid:8b4d3a5c-73a1-4c5e-9d35-2f1a7f3a8f11::urn:schemas-upnp-org:service:WANIPConnection:1\r\n\r\n",
    )]
}

/// SMB 2: a read of 1,000 bytes.
fn smb() -> Script {
    let message = |flags: u8, body: &[u8]| {
        let head = [
            &b"\xfeSMB\x40\0\x01\0"[..],
            &[0; 4],
            &[8, 0, 1, 0],
            &[flags, 0, 0, 0],
            &[0; 4],
            &[7, 0, 0, 0, 0, 0, 0, 0],
            &[0; 4],
            &[1, 0, 0, 0],
            &[5, 0, 0, 0, 0, 0, 0, 0],
            &[0; 16],
        ]
        .concat();
        [&size(head.len() + body.len())[..], &head, body].concat()
    };
    let ask = [&[49, 0, 0x50, 0][..], &[0xe8, 3, 0, 0], &[0; 8], &[3; 16], &[0; 16], &[0]].concat();
    let answer = [&[17, 0, 0x50, 0][..], &[0xe8, 3, 0, 0], &[0; 8], &[b'd'; 1000]].concat();
    vec![client(message(0, &ask)), server(message(1, &answer))]
}

fn dhcp() -> Script {
    let packet = |kind: u8, operation: u8| {
        let mut bytes = vec![operation, 1, 6, 0, 0x39, 3, 0xf3, 0x26];
        bytes.resize(28, 0);
        bytes.extend([2, 0, 0, 0, 0, 1]);
        bytes.resize(236, 0);
        bytes.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind, 61, 7, 1, 2, 0, 0, 0, 0, 1, 12, 8]);
        bytes.extend(b"notebook");
        bytes.extend([55, 6, 1, 3, 6, 15, 42, 119, 255]);
        bytes.resize(300, 0);
        bytes
    };
    vec![client(packet(3, 1)), server(packet(5, 2))]
}

/// SNMP 2c: a question for five objects.
fn snmp() -> Script {
    let packet = |operation: u8, value: &[u8]| {
        let wrap = |tag: u8, body: &[u8]| [&[tag, 0x82][..], &short(body.len()), body].concat();
        let name = [6, 10, 0x2b, 6, 1, 2, 1, 2, 2, 1, 10, 1];
        let variable = wrap(0x30, &[&name[..], value].concat());
        let body = [&[2, 4, 0x12, 0x34, 0x56, 0x78, 2, 1, 0, 2, 1, 0][..], &wrap(0x30, &variable.repeat(5))].concat();
        wrap(0x30, &[&[2, 1, 1, 4, 6][..], b"public", &wrap(operation, &body)].concat())
    };
    vec![client(packet(0xa0, &[5, 0])), server(packet(0xa2, &[0x41, 4, 0, 0x98, 0x96, 0x80]))]
}

fn radius() -> Script {
    let attribute = |kind: u8, value: &[u8]| [&[kind, byte(value.len() + 2)][..], value].concat();
    let packet = |code: u8, attributes: &[u8]| {
        [&[code, 17][..], &short(20 + attributes.len()), &[0x5a; 16], attributes].concat()
    };
    let ask = [
        attribute(1, b"alice@example.com"),
        attribute(2, &[0xa5; 16]),
        attribute(4, &[192, 0, 2, 1]),
        attribute(31, b"02-00-00-00-00-01"),
        attribute(32, b"access-point-17"),
        attribute(80, &[0x5a; 16]),
    ];
    let answer = [attribute(6, &[0, 0, 0, 2]), attribute(25, &[7; 20]), attribute(80, &[0x5a; 16])];
    vec![client(packet(1, &ask.concat())), server(packet(2, &answer.concat()))]
}

fn ntp() -> Script {
    let stamp = [0xee, 0x1c, 0x2d, 0x3e, 1, 2, 3, 4];
    let ask = [&[0x23, 0, 6, 0xec][..], &[0; 36], &stamp].concat();
    let answer = [&[0x24, 2, 6, 0xec][..], &[0; 8], &[192, 0, 2, 9], &stamp, &stamp, &stamp, &stamp].concat();
    vec![client(ask), server(answer)]
}

fn syslog() -> Script {
    vec![client(
        "<165>1 2026-11-23T04:30:00.003Z host.example.com shop 8710 ID47 [exampleSDID@32473 iut=\"3\"] order 4711 was created \
         for customer 12 within 25 ms",
    )]
}

/// SMTP: a mail of 1,500 bytes.
fn smtp() -> (Script, Script) {
    let start = vec![
        server("220 mx.example.com ESMTP Postfix\r\n"),
        client("EHLO shop.example.com\r\n"),
        server("250-mx.example.com\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
    ];
    let mail = format!("Subject: order 4711\r\n\r\n{}\r\n.\r\n", "lines of a mail, some of it\r\n".repeat(50));
    let script = vec![
        client("MAIL FROM:<shop@example.com>\r\n"),
        server("250 2.1.0 Ok\r\n"),
        client("RCPT TO:<alice@example.com>\r\n"),
        server("250 2.1.5 Ok\r\n"),
        client("DATA\r\n"),
        server("354 End data with <CR><LF>.<CR><LF>\r\n"),
        client(mail),
        server("250 2.0.0 Ok: queued as 4XYZ\r\n"),
    ];
    (start, script)
}

/// IMAP: a FETCH of a message of 1,200 bytes.
fn imap() -> (Script, Script) {
    let body = "lines of a mail, some of it\r\n".repeat(42);
    let start = vec![server("* OK IMAP4rev1 ready\r\n"), client("a1 SELECT INBOX\r\n"), server("a1 OK done\r\n")];
    let answer = format!("* 12 FETCH (UID 17 BODY[TEXT] {{{}}}\r\n{body})\r\na2 OK FETCH completed\r\n", body.len());
    (start, vec![client("a2 UID FETCH 17 (BODY.PEEK[TEXT])\r\n"), server(answer)])
}

/// POP3: a mail of 1,200 bytes.
fn pop3() -> (Script, Script) {
    let body = "lines of a mail, some of it\r\n".repeat(42);
    let start = vec![server("+OK POP3 ready\r\n"), client("USER alice\r\n"), server("+OK\r\n")];
    (start, vec![client("RETR 1\r\n"), server(format!("+OK {} octets\r\n{body}.\r\n", body.len()))])
}

/// LDAP: a search that finds one entry.
fn ldap() -> Script {
    let wrap = |tag: u8, body: &[u8]| [&[tag, 0x82][..], &short(body.len()), body].concat();
    let text = |tag: u8, text: &str| [&[tag, byte(text.len())][..], text.as_bytes()].concat();
    let filter = [text(4, "uid"), text(4, "alice")].concat();
    let search = [
        text(4, "ou=people,dc=example,dc=com"),
        vec![10, 1, 2, 10, 1, 0, 2, 1, 0, 2, 1, 0, 1, 1, 0],
        wrap(0xa3, &filter),
        wrap(0x30, &[text(4, "cn"), text(4, "mail")].concat()),
    ];
    let message = |body: &[u8]| wrap(0x30, &[&[2, 1, 7][..], body].concat());
    let values = |name: &str, value: &str| wrap(0x30, &[text(4, name), wrap(0x31, &text(4, value))].concat());
    let attributes = [values("cn", "Alice Example"), values("mail", "alice@example.com")].concat();
    let entry = [text(4, "uid=alice,ou=people,dc=example,dc=com"), wrap(0x30, &attributes)].concat();
    let done = wrap(0x65, &[10, 1, 0, 4, 0, 4, 0]);
    vec![
        client(message(&wrap(0x63, &search.concat()))),
        server([message(&wrap(0x64, &entry)), message(&done)].concat()),
    ]
}

/// Dubbo: a call and its result, hessian2.
fn dubbo() -> Script {
    let text = |text: &str| [&[byte(text.len())][..], text.as_bytes()].concat();
    let frame = |flags: u8, status: u8, body: &[u8]| {
        [&[0xda, 0xbb, flags, status][..], &[0, 0, 0, 0, 0, 0, 0, 7], &size(body.len()), body].concat()
    };
    let ask = [
        text("2.0.2"),
        text("com.shop.StockService"),
        text("0.0.0"),
        text("reserve"),
        text("Ljava/lang/Object;"),
        [&b"\x53\x01\x90"[..], &[b'v'; 400]].concat(),
        b"H\x04path\x15com.shop.StockServiceZ".to_vec(),
    ];
    vec![
        client(frame(0xc2, 0, &ask.concat())),
        server(frame(2, 20, &[&b"\x94\x53\x01\x90"[..], &[b'v'; 400]].concat())),
    ]
}

/// Thrift: framed, binary; a text of 400 bytes each way.
fn thrift() -> Script {
    let message = |kind: u8, field: u8| {
        let body =
            [&[0x80, 1, 0, kind][..], &size(7), b"reserve", &size(7), &[11, 0, field], &size(400), &[b'v'; 400], &[0]]
                .concat();
        [&size(body.len())[..], &body].concat()
    };
    vec![client(message(1, 1)), server(message(2, 0))]
}

/// FastCGI: a GET, and an answer of 600 bytes.
fn fastcgi() -> Script {
    let record = |kind: u8, body: &[u8]| [&[1, kind, 0, 1][..], &short(body.len()), &[0, 0], body].concat();
    let parameter =
        |name: &str, value: &str| [&[byte(name.len()), byte(value.len())], name.as_bytes(), value.as_bytes()].concat();
    let parameters = [
        ("SCRIPT_FILENAME", "/var/www/shop/index.php"),
        ("QUERY_STRING", "page=2"),
        ("REQUEST_METHOD", "GET"),
        ("CONTENT_TYPE", ""),
        ("CONTENT_LENGTH", ""),
        ("SCRIPT_NAME", "/index.php"),
        ("REQUEST_URI", "/api/v1/orders/4711?page=2"),
        ("DOCUMENT_ROOT", "/var/www/shop"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "nginx/1.22.1"),
        ("REMOTE_ADDR", "192.0.2.17"),
        ("REMOTE_PORT", "51234"),
        ("SERVER_NAME", "shop.example.com"),
        ("HTTP_HOST", "shop.example.com"),
        ("HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64)"),
    ];
    let parameters: Vec<u8> = parameters.iter().flat_map(|(name, value)| parameter(name, value)).collect();
    let ask = [record(1, &[0, 1, 1, 0, 0, 0, 0, 0]), record(4, &parameters), record(4, &[]), record(5, &[])];
    let page = format!("Status: 200 OK\r\nContent-Type: application/json\r\n\r\n{}", "x".repeat(600));
    let answer = [record(6, page.as_bytes()), record(6, &[]), record(3, &[0; 8])];
    vec![client(ask.concat()), server(answer.concat())]
}

/// TLS: application data behind a handshake that is over.
fn tls() -> (Script, Script) {
    let record = |kind: u8, body: &[u8]| [&[kind, 3, 3][..], &short(body.len()), body].concat();
    let hello = |kind: u8, body: &[u8]| record(22, &[&[kind][..], &size(body.len())[1..], body].concat());
    let random = [7; 32];
    let ask = [&[3, 3][..], &random, &[0, 0, 2, 0x13, 1, 1, 0, 0, 7, 0, 0x2b, 0, 3, 2, 3, 4]].concat();
    let answer = [&[3, 3][..], &random, &[0, 0x13, 1, 0, 0, 6, 0, 0x2b, 0, 2, 3, 4]].concat();
    let start = vec![client(hello(1, &ask)), server(hello(2, &answer)), client(record(23, &[6; 60]))];
    (start, vec![client(record(23, &[5; 400])), server(record(23, &[5; 1200]))])
}

/// WebSocket: texts of 200 bytes.
fn websocket() -> (Script, Script) {
    let start = vec![
        client("GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"),
    ];
    let frame = |mask: u8, key: &[u8]| [&[0x81, mask | 126][..], &short(200), key, &[b'{'; 200]].concat();
    (start, vec![client(frame(0x80, &[1, 2, 3, 4])), server(frame(0, &[]))])
}

/// MQTT inside of WebSocket: publications of 200 bytes.
fn mqtt_inside() -> (Script, Script) {
    let (mut start, _) = websocket();
    start.truncate(1);
    start.push(server(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"));
    let frame = |body: &[u8]| {
        let masked: Vec<u8> = body.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        [&[0x82, 0x80 | 126][..], &short(body.len()), &[1, 2, 3, 4], &masked].concat()
    };
    start.push(client(frame(b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06sensor")));
    let publish = [&[0x30, 0xd7, 1, 0, 13][..], b"sensors/kwh/1", &[b'v'; 200]].concat();
    (start, vec![client(frame(&publish))])
}

/// Echo requests of ping's usual size.
fn icmp() -> Script {
    let echo = |kind: u8| [&[kind, 0, 0x12, 0x34, 0, 7, 0, 1][..], &[b'p'; 56]].concat();
    vec![client(echo(8)), server(echo(0))]
}

/// uwsgi: a request, and what uWSGI answers.
fn uwsgi() -> Script {
    let small = |len: usize| u16::try_from(len).unwrap_or_default().to_le_bytes();
    let parameter = |name: &str, value: &str| {
        [&small(name.len())[..], name.as_bytes(), &small(value.len()), value.as_bytes()].concat()
    };
    let parameters = [
        ("QUERY_STRING", "page=2"),
        ("REQUEST_METHOD", "GET"),
        ("CONTENT_TYPE", ""),
        ("CONTENT_LENGTH", ""),
        ("REQUEST_URI", "/api/v1/orders/4711?page=2"),
        ("PATH_INFO", "/api/v1/orders/4711"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "192.0.2.17"),
        ("SERVER_NAME", "shop.example.com"),
        ("HTTP_HOST", "shop.example.com"),
        ("HTTP_USER_AGENT", "Mozilla/5.0 (X11; Linux x86_64)"),
    ];
    let body: Vec<u8> = parameters.iter().flat_map(|(name, value)| parameter(name, value)).collect();
    let page =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 600\r\n\r\n{}", "x".repeat(600));
    vec![client([&[0][..], &small(body.len()), &[0], &body].concat()), server(page)]
}

/// ISO 8583: an authorisation and its answer, a length of two bytes in front.
fn iso8583() -> Script {
    let message = |kind: &str, bitmap: &str, fields: &str| {
        let body = [kind.as_bytes(), &hex(bitmap), fields.as_bytes()].concat();
        [&short(body.len())[..], &body].concat()
    };
    vec![
        client(message(
            "0200",
            "7220000000c00000",
            "164111111111111111000000000000012500112304300000123412345678SHOP00000000017",
        )),
        server(message("0210", "7220000002800000", "16411111111111111100000000000001250011230430000012340012345678")),
    ]
}

/// All of them.
pub(crate) fn traffic() -> Vec<Traffic> {
    let (tcp, udp) = (Transport::Tcp, Transport::Udp);
    let ((amqp_start, amqp), (smtp_start, smtp), (imap_start, imap)) = (amqp(), smtp(), imap());
    let ((pop3_start, pop3), (tls_start, tls), (websocket_start, websocket)) = (pop3(), tls(), websocket());
    let (inside_start, inside) = mqtt_inside();
    vec![
        ("kafka", tcp, 9092, vec![], kafka()),
        ("mongodb", tcp, 27017, vec![], mongodb()),
        ("cassandra", tcp, 9042, vec![], cassandra()),
        ("amqp", tcp, 5672, amqp_start, amqp),
        ("dubbo", tcp, 20880, vec![], dubbo()),
        ("thrift", tcp, 9090, vec![], thrift()),
        ("fastcgi", tcp, 9000, vec![], fastcgi()),
        ("uwsgi", tcp, 3031, vec![], uwsgi()),
        ("ldap", tcp, 389, vec![], ldap()),
        ("smtp", tcp, 25, smtp_start, smtp),
        ("imap", tcp, 143, imap_start, imap),
        ("pop3", tcp, 110, pop3_start, pop3),
        ("tls", tcp, 443, tls_start, tls),
        ("websocket", tcp, 80, websocket_start, websocket),
        ("mqtt in websocket", tcp, 80, inside_start, inside),
        ("smb", tcp, 445, vec![], smb()),
        ("sip", tcp, 5060, vec![], sip()),
        ("rtsp", tcp, 554, vec![], rtsp()),
        ("iso8583", tcp, 5000, vec![], iso8583()),
        ("ssdp (UDP)", udp, 1900, vec![], ssdp()),
        ("dhcp (UDP)", udp, 67, vec![], dhcp()),
        ("snmp (UDP)", udp, 161, vec![], snmp()),
        ("radius (UDP)", udp, 1812, vec![], radius()),
        ("ntp (UDP)", udp, 123, vec![], ntp()),
        ("syslog (UDP)", udp, 514, vec![], syslog()),
        ("icmp", Transport::Icmp, 0, vec![], icmp()),
    ]
}
