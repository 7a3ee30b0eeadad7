//! Connections of which nothing but the beginning can be read: handshakes and what is encrypted behind them. Each round is a new connection.

use super::{Script, client, server};
use replay::model::{Side, Transport};

/// (name, transport, port, once at the start, again and again)
type Traffic = (&'static str, Transport, u16, Script, Script);

fn short(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &short(body.len()), body].concat()
}

/// A client's hello as browsers send it, without the cookie that DTLS has; `versions` it supports.
fn client_hello(versions: &[u8]) -> [Vec<u8>; 2] {
    let name = b"shop.example.com";
    let extensions = [
        extension(0, &[&short(name.len() + 3)[..], &[0], &short(name.len()), name].concat()),
        extension(10, &hex("0006 001d 0017 0018")),
        extension(11, &[1, 0]),
        extension(13, &hex("0010 0403 0804 0401 0503 0805 0501 0806 0601")),
        extension(16, b"\0\x0c\x02h2\x08http/1.1"),
        extension(23, &[]),
        extension(35, &[]),
        extension(43, versions),
        extension(51, &[&hex("0024 001d 0020")[..], &[7; 32]].concat()),
    ]
    .concat();
    let ciphers = hex("0010 1301 1302 1303 c02b c02f c02c c030 cca9");
    [vec![0x42; 32], [&ciphers[..], &[1, 0], &short(extensions.len()), &extensions].concat()]
}

/// A server's hello of version 1.2.
fn server_hello(version: [u8; 2]) -> Vec<u8> {
    let extensions = [extension(23, &[]), extension(16, b"\0\x03\x02h2"), extension(0xff01, &[0])].concat();
    [&version[..], &[0x24; 32], &[0], &hex("c02f 00"), &short(extensions.len()), &extensions].concat()
}

fn number(len: usize) -> [u8; 3] {
    let [_, bytes @ ..] = u32::try_from(len).unwrap_or_default().to_be_bytes();
    bytes
}

/// TLS 1.2 as far as the keys.
fn tls() -> Script {
    let record = |kind: u8, body: &[u8]| [&[kind, 3, 3][..], &short(body.len()), body].concat();
    let message = |kind: u8, body: &[u8]| [&[kind][..], &number(body.len()), body].concat();
    let [random, rest] = client_hello(&[2, 3, 3]);
    let hello = [&[3, 3][..], &random, &[0], &rest].concat();
    // What is in it is no certificate, which is not what takes time here.
    let certificate = [&number(903)[..], &number(900), &[0x30; 900]].concat();
    let flight =
        [message(2, &server_hello([3, 3])), message(11, &certificate), message(12, &[7; 300]), message(14, &[])]
            .map(|message| record(22, &message))
            .concat();
    let keys = [record(22, &message(16, &[4; 66])), record(20, &[1]), record(22, &[8; 40])].concat();
    vec![
        client(record(22, &message(1, &hello))),
        server(flight),
        client(keys),
        server([record(20, &[1]), record(22, &[8; 40])].concat()),
    ]
}

/// DTLS 1.2 with a cookie, and twenty records of data of 160 bytes, as calls over the Web have them.
fn dtls() -> Script {
    let record = |kind: u8, epoch: u8, number: u8, body: &[u8]| {
        [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, number][..], &short(body.len()), body].concat()
    };
    let whole = |kind: u8, place: u8, body: &[u8]| {
        let head = [&[kind][..], &number(body.len()), &[0, place], &number(0), &number(body.len())].concat();
        record(22, 0, place, &[&head[..], body].concat())
    };
    let [random, rest] = client_hello(&[2, 0xfe, 0xfd]);
    let hello = |cookie: &[u8]| {
        let cookie = [&[u8::try_from(cookie.len()).unwrap_or_default()][..], cookie].concat();
        [&[0xfe, 0xfd][..], &random, &[0], &cookie, &rest].concat()
    };
    let mut script = vec![
        client(whole(1, 0, &hello(&[]))),
        server(whole(3, 0, &[&[0xfe, 0xfd, 20][..], &[5; 20]].concat())),
        client(whole(1, 1, &hello(&[5; 20]))),
        server([whole(2, 1, &server_hello([0xfe, 0xfd])), whole(12, 2, &[7; 300]), whole(14, 3, &[])].concat()),
        client([whole(16, 2, &[4; 66]), record(20, 0, 4, &[1]), record(22, 1, 0, &[8; 40])].concat()),
        server([record(20, 0, 4, &[1]), record(22, 1, 0, &[8; 40])].concat()),
    ];
    for number in 0..20 {
        let from = if number % 2 == 0 { client } else { server };
        script.push(from(record(23, 1, number, &[3; 160])));
    }
    script
}

/// The first datagram of each side, 1,200 bytes as they have to be (RFC 9000 section 14.1).
fn quic() -> Script {
    vec![client(hex(include_str!("quic_client.hex"))), server(hex(include_str!("quic_server.hex")))]
}

/// OpenVPN: resets, TLS in packets of the control channel, and ten packets of data each way.
fn openvpn() -> Script {
    let packet = |opcode: u8, session: u8, acks: &[u32], id: Option<u32>, payload: &[u8]| {
        let mut bytes = vec![opcode << 3];
        bytes.extend([session; 8]);
        bytes.extend([0xa5; 20]);
        bytes.extend(hex("00000001 6553f100"));
        bytes.push(u8::try_from(acks.len()).unwrap_or_default());
        acks.iter().for_each(|ack| bytes.extend(ack.to_be_bytes()));
        if !acks.is_empty() {
            bytes.extend([session ^ 3; 8]);
        }
        id.into_iter().for_each(|id| bytes.extend(id.to_be_bytes()));
        bytes.extend(payload);
        bytes
    };
    let mut script = vec![
        client(packet(7, 1, &[], Some(0), &[])),
        server(packet(8, 2, &[0], Some(0), &[])),
        client(packet(5, 1, &[0], None, &[])),
    ];
    let mut ids = [1, 1];
    for (side, data) in tls() {
        for piece in data.chunks(1100) {
            let id = &mut ids[usize::from(side == Side::Server)];
            let who = if side == Side::Client { 1 } else { 2 };
            script.push((side, packet(4, who, &[], Some(*id), piece)));
            *id += 1;
        }
    }
    for _ in 0..10 {
        let data = [&[0x48, 0, 0, 0][..], &[9; 800]].concat();
        script.extend([client(&data), server(&data)]);
    }
    script
}

/// What a proxy says of the client (PROXY protocol, version 1) in front of a request.
fn proxy() -> Script {
    let ask = "PROXY TCP4 192.0.2.1 198.51.100.7 51234 80\r\nGET /api/v1/orders/4711 HTTP/1.1\r\nHost: shop.example.com\r\n\r\n";
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 600\r\n\r\n{}", "x".repeat(600));
    vec![client(ask), server(answer)]
}

/// All of them.
pub(crate) fn traffic() -> Vec<Traffic> {
    vec![
        ("tls handshakes", Transport::Tcp, 443, tls(), vec![]),
        ("dtls (UDP)", Transport::Udp, 40001, dtls(), vec![]),
        ("quic Initial (UDP)", Transport::Udp, 443, quic(), vec![]),
        ("http behind PROXY", Transport::Tcp, 80, proxy(), vec![]),
        ("openvpn (UDP)", Transport::Udp, 1194, openvpn(), vec![]),
    ]
}
