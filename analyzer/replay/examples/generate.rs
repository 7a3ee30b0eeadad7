//! Writes a capture of HTTP/1.1 connections for benchmarks: `generate FILE [--connections N] [--requests N] [--seed N] [--snaplen N] [--hold]`
//!
//! By default 10,000 connections of 10 requests each: 360,000 packets and some (1 in 200 segments is sent again), about 113 MB. The same
//! options give the same bytes. Packets are made in the order of their times, so captures of any size need little memory. With `--hold`
//! connections begin 20 us apart and none ends before the last one has begun: all are open at once.

use std::collections::BinaryHeap;
use std::io::{BufWriter, Write};

/// SplitMix64: small, fast, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// What a connection sends next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Syn,
    SynAck,
    Open,
    Request,
    RequestAgain,
    Response,
    Acknowledge,
    Fin,
    FinAck,
    LastAck,
}

struct Connection {
    number: u64,
    random: Random,
    done: u64,
    seq: [u32; 2],
    payload: Vec<u8>,
    requested: u32,
    status: u16,
}

impl Connection {
    fn new(number: u64, seed: u64) -> Self {
        let mut random = Random(seed ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let seq = [random.next() as u32, random.next() as u32];
        Self { number, random, done: 0, seq, payload: Vec::new(), requested: 0, status: 200 }
    }

    fn request(&mut self) {
        const PATHS: [&str; 8] = [
            "/api/orders",
            "/api/orders/17",
            "/api/users/42/cart",
            "/static/app.js",
            "/",
            "/search?q=shoes",
            "/login",
            "/health",
        ];
        let path = PATHS[self.random.below(8) as usize];
        let method = if path == "/login" { "POST" } else { "GET" };
        let body = if method == "POST" { "user=alice&remember=1" } else { "" };
        self.status = match self.random.below(100) {
            0 => 500,
            1..=3 => 404,
            4..=5 => 302,
            _ => 200,
        };
        let id = self.random.next();
        self.payload.clear();
        let _ = write!(
            self.payload,
            "{method} {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0 (generated; no animals)\r\nAccept: application/json, text/html;q=0.9\r\n\
             Accept-Encoding: gzip, deflate\r\nX-Request-ID: {id:016x}\r\nTraceparent: 00-{id:032x}-{id:016x}-01\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
        );
        self.requested = self.payload.len() as u32;
    }

    fn response(&mut self) {
        let len = 200 + self.random.below(480) as usize;
        let reason = match self.status {
            200 => "OK",
            302 => "Found",
            404 => "Not Found",
            _ => "Internal Server Error",
        };
        self.payload.clear();
        let _ = write!(
            self.payload,
            "HTTP/1.1 {} {reason}\r\nServer: generated/1.0\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n",
            self.status,
        );
        let filled = self.payload.len() + len;
        let byte = b'a' + (self.done % 26) as u8;
        self.payload.resize(filled, byte);
    }
}

fn checksum(start: u32, bytes: &[u8]) -> u16 {
    let mut sum = u64::from(start);
    for pair in bytes.chunks(2) {
        sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

struct Capture<W> {
    to: W,
    snaplen: usize,
    packets: u64,
    bytes: u64,
    frame: Vec<u8>,
}

impl<W: Write> Capture<W> {
    fn packet(
        &mut self,
        ts: u64,
        c: &mut Connection,
        from: usize,
        flags: u8,
        len: usize,
        seq: u32,
    ) -> std::io::Result<()> {
        let client = [10, 1 + (c.number >> 16) as u8 % 200, (c.number >> 8) as u8, c.number as u8];
        let server = [10, 250, 0, (c.number % 8) as u8 + 1];
        let client_port = 20_000 + (c.number.wrapping_mul(7919) % 40_000) as u16;
        let options: &[u8] = if flags & SYN != 0 {
            &[2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7, 1, 1]
        } else {
            &[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0]
        };
        let (src, dst, sport, dport) =
            if from == 0 { (client, server, client_port, 80) } else { (server, client, 80, client_port) };
        let f = &mut self.frame;
        f.clear();
        f.extend_from_slice(&[2, 0, 0, 0, 0, 1 - from as u8, 2, 0, 0, 0, 0, from as u8, 8, 0]);
        let tcp = 20 + options.len();
        f.extend_from_slice(&[0x45, 0]);
        f.extend_from_slice(&((20 + tcp + len) as u16).to_be_bytes());
        f.extend_from_slice(&(self.packets as u16).to_be_bytes());
        f.extend_from_slice(&[0x40, 0, 64, 6, 0, 0]);
        f.extend_from_slice(&src);
        f.extend_from_slice(&dst);
        let sum = checksum(0, &f[14..34]);
        f[24..26].copy_from_slice(&sum.to_be_bytes());
        f.extend_from_slice(&sport.to_be_bytes());
        f.extend_from_slice(&dport.to_be_bytes());
        f.extend_from_slice(&seq.to_be_bytes());
        let ack = if flags & ACK != 0 { c.seq[1 - from] } else { 0 };
        f.extend_from_slice(&ack.to_be_bytes());
        f.extend_from_slice(&[((tcp / 4) as u8) << 4, flags]);
        f.extend_from_slice(&502u16.to_be_bytes());
        f.extend_from_slice(&[0, 0, 0, 0]);
        f.extend_from_slice(options);
        if flags & SYN == 0 {
            let at = f.len() - 8;
            f[at..at + 4].copy_from_slice(&((ts / 1_000_000) as u32).to_be_bytes());
        }
        f.extend_from_slice(&c.payload[..len]);
        let pseudo = checksum(0, &[&src[..], &dst[..], &[0, 6], &((tcp + len) as u16).to_be_bytes()].concat());
        let sum = checksum(u32::from(!pseudo), &f[34..]);
        f[50..52].copy_from_slice(&sum.to_be_bytes());
        let captured = f.len().min(self.snaplen);
        self.to.write_all(&((ts / 1_000_000_000) as u32).to_le_bytes())?;
        self.to.write_all(&((ts % 1_000_000_000) as u32).to_le_bytes())?;
        self.to.write_all(&(captured as u32).to_le_bytes())?;
        self.to.write_all(&(f.len() as u32).to_le_bytes())?;
        self.to.write_all(&f[..captured])?;
        self.packets += 1;
        self.bytes += 16 + captured as u64;
        Ok(())
    }

    /// Does a step of a connection; returns the next one and how long until then.
    fn step(&mut self, ts: u64, c: &mut Connection, step: Step, requests: u64) -> std::io::Result<Option<(Step, u64)>> {
        let [cs, ss] = c.seq;
        Ok(match step {
            Step::Syn => {
                self.packet(ts, c, 0, SYN, 0, cs)?;
                c.seq[0] = cs.wrapping_add(1);
                Some((Step::SynAck, 100_000 + c.random.below(300_000)))
            }
            Step::SynAck => {
                self.packet(ts, c, 1, SYN | ACK, 0, ss)?;
                c.seq[1] = ss.wrapping_add(1);
                Some((Step::Open, 50_000 + c.random.below(100_000)))
            }
            Step::Open => {
                self.packet(ts, c, 0, ACK, 0, cs)?;
                Some((Step::Request, 20_000 + c.random.below(1_000_000)))
            }
            Step::Request => {
                c.request();
                let len = c.payload.len();
                self.packet(ts, c, 0, PSH | ACK, len, cs)?;
                c.seq[0] = cs.wrapping_add(len as u32);
                let lost = c.random.below(200) == 0;
                let wait = if lost { 200_000_000 } else { 200_000 + c.random.below(5_000_000) };
                Some((if lost { Step::RequestAgain } else { Step::Response }, wait))
            }
            Step::RequestAgain => {
                let len = c.payload.len();
                self.packet(ts, c, 0, PSH | ACK, len, cs.wrapping_sub(c.requested))?;
                Some((Step::Response, 200_000 + c.random.below(5_000_000)))
            }
            Step::Response => {
                c.response();
                let len = c.payload.len();
                self.packet(ts, c, 1, PSH | ACK, len, ss)?;
                c.seq[1] = ss.wrapping_add(len as u32);
                c.done += 1;
                Some((Step::Acknowledge, 40_000 + c.random.below(100_000)))
            }
            Step::Acknowledge => {
                self.packet(ts, c, 0, ACK, 0, cs)?;
                let next = if c.done < requests { Step::Request } else { Step::Fin };
                Some((next, 500_000 + c.random.below(20_000_000)))
            }
            Step::Fin => {
                self.packet(ts, c, 0, FIN | ACK, 0, cs)?;
                c.seq[0] = cs.wrapping_add(1);
                Some((Step::FinAck, 100_000 + c.random.below(100_000)))
            }
            Step::FinAck => {
                self.packet(ts, c, 1, FIN | ACK, 0, ss)?;
                c.seq[1] = ss.wrapping_add(1);
                Some((Step::LastAck, 50_000 + c.random.below(50_000)))
            }
            Step::LastAck => {
                self.packet(ts, c, 0, ACK, 0, cs)?;
                None
            }
        })
    }
}

fn main() -> std::io::Result<()> {
    let (mut path, mut connections, mut requests, mut seed, mut snaplen) = (None, 10_000u64, 10u64, 1u64, 65_535usize);
    let mut hold = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--hold" {
            hold = true;
            continue;
        }
        let mut number = |default: u64| args.next().and_then(|n| n.parse().ok()).unwrap_or(default);
        match arg.as_str() {
            "--connections" => connections = number(connections),
            "--requests" => requests = number(requests).max(1),
            "--seed" => seed = number(seed),
            "--snaplen" => snaplen = number(65_535) as usize,
            _ => path = Some(arg),
        }
    }
    let Some(path) = path else {
        eprintln!("usage: generate FILE [--connections N] [--requests N] [--seed N] [--snaplen N] [--hold]");
        std::process::exit(1);
    };
    let mut capture = Capture {
        to: BufWriter::with_capacity(1 << 20, std::fs::File::create(&path)?),
        snaplen,
        packets: 0,
        bytes: 24,
        frame: Vec::new(),
    };
    // pcap with nanoseconds, Ethernet.
    for field in [0xa1b2_3c4du32, 2 | 4 << 16, 0, 0, snaplen as u32, 1] {
        capture.to.write_all(&field.to_le_bytes())?;
    }
    const START: u64 = 1_704_067_200_000_000_000;
    // Connections begin one after the other, 500 us apart: a few hundred are open at once.
    let begin = |n: u64| START + n * if hold { 20_000 } else { 500_000 };
    let mut open: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut heap: BinaryHeap<std::cmp::Reverse<(u64, u64, usize, Step)>> = BinaryHeap::new();
    let mut started = 0;
    loop {
        let due = heap.peek().map(|e| e.0.0);
        if started < connections && due.is_none_or(|due| begin(started) <= due) {
            let connection = Some(Connection::new(started, seed));
            let place = free.pop().unwrap_or_else(|| {
                open.push(None);
                open.len() - 1
            });
            open[place] = connection;
            heap.push(std::cmp::Reverse((begin(started), started, place, Step::Syn)));
            started += 1;
            continue;
        }
        let Some(std::cmp::Reverse((ts, number, place, step))) = heap.pop() else { break };
        let Some(mut connection) = open[place].take() else { continue };
        match capture.step(ts, &mut connection, step, requests)? {
            Some((next, wait)) => {
                let earliest = if hold && next == Step::Fin { begin(connections) } else { 0 };
                heap.push(std::cmp::Reverse(((ts + wait).max(earliest), number, place, next)));
                open[place] = Some(connection);
            }
            None => free.push(place),
        }
    }
    capture.to.flush()?;
    eprintln!(
        "{path}: {} packets, {connections} connections, {} requests, {} bytes",
        capture.packets,
        connections * requests,
        capture.bytes
    );
    Ok(())
}
