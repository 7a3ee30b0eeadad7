//! How fast the parsers are, each on its own traffic, on one core: `cargo run --release --example parse_speed [NAME]`.
//!
//! A conversation's script is played again and again on one connection, in segments of at most 1448 bytes; where there is nothing to be
//! played again, each round is a connection of its own. Printed:
//! megabytes, segments and sessions per second of CPU time (where the system tells it; else of the clock), the best of five runs.

#[path = "parse_speed/handshake.rs"]
mod handshake;
#[path = "parse_speed/small.rs"]
mod small;
#[path = "parse_speed/trade.rs"]
mod trade;

use replay::model::{Side, Transport};
use replay::parse::{Conversation, Segment};
use std::time::{Duration, Instant};

/// As `analyze` has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Script = Vec<(Side, Vec<u8>)>;

const SEGMENT: usize = 1448;

fn client(bytes: impl AsRef<[u8]>) -> (Side, Vec<u8>) {
    (Side::Client, bytes.as_ref().to_vec())
}

fn server(bytes: impl AsRef<[u8]>) -> (Side, Vec<u8>) {
    (Side::Server, bytes.as_ref().to_vec())
}

fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default().to_le_bytes();
    [&length[..3], &[sequence], body].concat()
}

fn tagged(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or_default().to_be_bytes();
    [&[tag], &length[..], body].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes()[..], body].concat()
}

/// (name, transport, port, once at the start, again and again)
fn traffic() -> Vec<(&'static str, Transport, u16, Script, Script)> {
    let browser = "GET /api/v1/orders/4711?page=2&size=50 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; \
        Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36\r\nAccept: application/json\r\n\
        Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\nX-Request-ID: 4bf92f3577b34da6a3ce929d0e0e4736\r\n\
        Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";
    let head = |length: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 04:30:00 GMT\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: keep-alive\r\nCache-Control: no-store\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    let http = vec![client(browser), server(head(600))];
    let large = vec![client(browser), server(head(30_000))];

    let value = "v".repeat(200);
    let redis = vec![
        client(format!(
            "*3\r\n$3\r\nSET\r\n$12\r\nuser:1234567\r\n$200\r\n{value}\r\n*2\r\n$3\r\nGET\r\n$12\r\nuser:1234567\r\n"
        )),
        server(format!("+OK\r\n$200\r\n{value}\r\n")),
    ];

    let row = tagged(
        b'D',
        &[&[0, 3][..], &[0, 0, 0, 40], &[b'r'; 40], &[0, 0, 0, 40], &[b'r'; 40], &[0, 0, 0, 40], &[b'r'; 40]].concat(),
    );
    let mut rows = tagged(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0");
    for _ in 0..20 {
        rows.extend(&row);
    }
    rows.extend(tagged(b'C', b"SELECT 20\0"));
    rows.extend(tagged(b'Z', b"I"));
    let query = "SELECT id, name, price FROM orders WHERE customer_id = 4711 AND state = 'open' ORDER BY id";
    let postgresql = vec![client(tagged(b'Q', format!("{query}\0").as_bytes())), server(rows)];

    let definition = b"\x03def\x04shop\x01t\x01t\x01a\x01a\x0c\x3f\0\x0b\0\0\0\x03\0\0\0\0\0";
    let mut answer = [packet(1, b"\x01"), packet(2, definition), packet(3, b"\xfe\0\0\x02\0")].concat();
    for sequence in 4..24 {
        answer.extend(packet(sequence, &[b'x'; 120]));
    }
    answer.extend(packet(24, b"\xfe\0\0\x02\0"));
    let mysql = vec![client(packet(0, format!("\u{3}{query}").as_bytes())), server(answer)];

    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
    let mut reply = question.to_vec();
    reply[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 4]);
    for octet in 1..5 {
        reply.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x5d\xb8\xd8");
        reply.push(octet);
    }
    let dns = vec![client(question), server(&reply)];
    let framed = |data: &[u8]| [&u16::try_from(data.len()).unwrap_or_default().to_be_bytes()[..], data].concat();
    let dns_stream = vec![client(framed(question)), server(framed(&reply))];
    // A name as workstations ask for it, and where it is.
    let netbios = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\0\x20FEEFFDFECACACACACACACACACACACACA\0\0\x20\0\x01";
    let mut found = netbios.to_vec();
    found[2..8].copy_from_slice(&[0x85, 0, 0, 0, 0, 1]);
    found.extend(b"\0\x03\xf4\x80\0\x06\0\0\x0a\0\0\x05");
    let netbios = vec![client(netbios), server(found)];

    let memcached =
        vec![client("get user:1234567\r\n"), server(format!("VALUE user:1234567 0 200\r\n{value}\r\nEND\r\n"))];
    let preface = vec![
        client([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat()),
        server(frame(4, 0, 0, &[])),
    ];
    // The stream id is always the same: it is closed each time.
    let request = b"\x82\x86\x04\x0c/api/v1/list\x01\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    let http2 = vec![
        client(frame(1, 5, 1, request)),
        server([frame(1, 4, 1, b"\x88\x0f\x10\x10application/json"), frame(0, 1, 1, &[b'x'; 900])].concat()),
    ];
    let nats = vec![client(format!("PUB orders.created 200\r\n{value}\r\n"))];
    let mut publish = vec![0x30, 0xd7, 0x01, 0, 13];
    publish.extend(b"sensors/kwh/1");
    publish.extend(value.as_bytes());
    let mqtt = vec![client(publish)];
    vec![
        ("http (600 B bodies)", Transport::Tcp, 80, vec![], http),
        ("http (30 kB bodies)", Transport::Tcp, 80, vec![], large),
        ("redis", Transport::Tcp, 6379, vec![], redis),
        ("postgresql", Transport::Tcp, 5432, vec![], postgresql),
        ("mysql", Transport::Tcp, 3306, vec![], mysql),
        ("dns (UDP)", Transport::Udp, 53, vec![], dns),
        ("dns (TCP)", Transport::Tcp, 53, vec![], dns_stream),
        ("nbns (UDP)", Transport::Udp, 137, vec![], netbios),
        ("memcached", Transport::Tcp, 11211, vec![], memcached),
        ("http2", Transport::Tcp, 50051, preface, http2),
        ("nats", Transport::Tcp, 4222, vec![], nats),
        ("mqtt", Transport::Tcp, 1883, vec![client(b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06sensor")], mqtt),
    ]
}

fn play(conversation: &mut Conversation, script: &Script, ts: &mut i64) -> (u64, u64) {
    let (mut bytes, mut segments) = (0, 0);
    for (from, data) in script {
        for piece in data.chunks(SEGMENT) {
            *ts += 1000;
            conversation.data(&Segment {
                from: *from,
                start_ts: *ts,
                end_ts: *ts,
                tcp_seq: Some(0),
                point: None,
                data: piece,
                missing: 0,
            });
            bytes += piece.len() as u64;
            segments += 1;
        }
    }
    (bytes, segments)
}

/// Time this thread was on a CPU, in ns; what others do on the machine does not count.
fn on_cpu() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn main() {
    println!("{:22} {:>9} {:>14} {:>13}", "protocol", "MB/s", "segments/s", "sessions/s");
    let only = std::env::args().nth(1).unwrap_or_default();
    let all = traffic().into_iter().chain(trade::traffic()).chain(small::traffic()).chain(handshake::traffic());
    for (name, transport, port, start, script) in all.filter(|(name, ..)| name.contains(&only)) {
        let is_new = script.is_empty();
        let size: usize = if is_new { &start } else { &script }.iter().map(|(_, data)| data.len()).sum();
        let rounds = 20_000_000 / size.max(1);
        let mut best: Option<(f64, f64, f64)> = None;
        for _ in 0..5 {
            let mut conversation = Conversation::new(transport, 40000, port);
            let (mut ts, mut bytes, mut segments, mut count) = (0, 0, 0, 0_usize);
            let mut sessions = Vec::new();
            if !is_new {
                play(&mut conversation, &start, &mut ts);
            }
            let (begun, cpu) = (Instant::now(), on_cpu());
            for _ in 0..rounds {
                let played = if is_new {
                    conversation = Conversation::new(transport, 40000, port);
                    let played = play(&mut conversation, &start, &mut ts);
                    conversation.close(ts);
                    played
                } else {
                    play(&mut conversation, &script, &mut ts)
                };
                let (more_bytes, more_segments) = played;
                bytes += more_bytes;
                segments += more_segments;
                conversation.sessions(&mut sessions);
                count += sessions.len();
                sessions.clear();
            }
            let elapsed = begun.elapsed();
            let busy = on_cpu().zip(cpu).map(|(after, before)| Duration::from_nanos(after.saturating_sub(before)));
            let seconds = busy.filter(|busy| !busy.is_zero()).unwrap_or(elapsed).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "for display")]
            let rate = (bytes as f64 / seconds / 1e6, segments as f64 / seconds, count as f64 / seconds);
            if best.is_none_or(|best| rate.0 > best.0) {
                best = Some(rate);
            }
        }
        let (megabytes, segments, sessions) = best.unwrap_or_default();
        println!("{name:22} {megabytes:9.0} {segments:14.0} {sessions:13.0}");
    }
}
