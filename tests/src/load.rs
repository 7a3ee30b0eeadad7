//! The load generator. Its log is the truth that the analyzer's tables are held against.

use crate::netns::NetNs;
use crate::shop::WEB_PORT;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One request as its client saw it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Number, unique in a run; also in the path.
    pub n: u32,
    /// Connection of the client it went over.
    pub connection: u32,
    /// Method.
    pub method: &'static str,
    /// Path with query.
    pub path: String,
    /// Status that came back.
    pub status: u16,
    /// Just before the first byte was written, UTC ns.
    pub start_ns: u128,
    /// From just before the first byte was written to just after the last was read.
    pub duration: Duration,
    /// Bytes of the whole response.
    pub response_bytes: usize,
}

/// Kinds of requests in the mix, with the status that each must give.
const MIX: [(&str, &str, u16); 8] = [
    ("GET", "/api/orders/7", 200),
    ("GET", "/api/orders/999", 404),
    ("POST", "/api/cart", 201),
    ("GET", "/api/broken", 500),
    ("GET", "/api/orders/42", 200),
    ("GET", "/logo.svg", 200),
    ("GET", "/nowhere", 404),
    ("GET", "/health", 200),
];

/// Which backends an application path calls: (Redis commands, PostgreSQL statements), for checking traces.
#[must_use]
pub fn backend_calls(path: &str) -> (usize, usize) {
    if path.starts_with("/api/orders/999") {
        (1, 1)
    } else if path.starts_with("/api/orders/") {
        (2, 1)
    } else if path.starts_with("/api/compute") {
        (1, 0)
    } else if path.starts_with("/api/") {
        (1, 1)
    } else {
        (0, 0)
    }
}

/// Sends `count` requests over `connections` client threads inside `ns`, numbered from `first`.
/// Every third connection closes after each request; every 25th request is slow, every 40th computes.
/// Fails if a status is not the one that the mix says.
pub fn run(ns: &NetNs, connections: u32, count: u32, first: u32) -> Result<Vec<Logged>> {
    let mut log = ns.run(|| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..connections)
                .map(|c| scope.spawn(move || client(c, (first..first + count).filter(move |n| n % connections == c))))
                .collect();
            let mut log = Vec::new();
            for worker in workers {
                match worker.join() {
                    Ok(result) => log.extend(result?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            anyhow::Ok(log)
        })
    })??;
    log.sort_by_key(|entry| entry.start_ns);
    Ok(log)
}

fn client(connection: u32, numbers: impl Iterator<Item = u32>) -> Result<Vec<Logged>> {
    let keep_alive = connection % 3 != 2;
    let mut stream: Option<TcpStream> = None;
    let mut log = Vec::new();
    for n in numbers {
        let (method, path, expected) = match n {
            n if n % 25 == 24 => ("GET", "/api/slow", 200),
            n if n % 40 == 39 => ("GET", "/api/compute", 200),
            n => MIX[n as usize % MIX.len()],
        };
        let path = format!("{path}?n={n}");
        let mut open = match stream.take() {
            Some(open) => open,
            None => {
                let open = TcpStream::connect(("127.0.0.1", WEB_PORT))?;
                open.set_nodelay(true)?;
                open.set_read_timeout(Some(Duration::from_secs(20)))?;
                open
            }
        };
        let body = if method == "POST" { format!("a thing bought as number {n}") } else { String::new() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: hindsight-load/1\r\n\
             X-Request-ID: load-{n}\r\n{}{}\r\n{body}",
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) },
            if keep_alive { "" } else { "Connection: close\r\n" },
        );
        let start_ns = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
        let start = Instant::now();
        open.write_all(request.as_bytes())?;
        let (status, response_bytes) = read_response(&mut open).with_context(|| format!("response to {path}"))?;
        let duration = start.elapsed();
        if status != expected {
            bail!("{method} {path}: status {status}, expected {expected}");
        }
        log.push(Logged { n, connection, method, path, status, start_ns, duration, response_bytes });
        if keep_alive {
            stream = Some(open);
        }
    }
    Ok(log)
}

/// Reads one response with Content-Length or chunked body; returns status and length of the whole.
fn read_response(stream: &mut TcpStream) -> Result<(u16, usize)> {
    let mut got = Vec::with_capacity(4096);
    let mut buffer = [0u8; 65536];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            bail!("connection closed after {} bytes", got.len());
        }
        got.extend_from_slice(&buffer[..n]);
        let Some(head) = got.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4) else { continue };
        let text = String::from_utf8_lossy(&got[..head]).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
        let done = match text.split("content-length: ").nth(1).and_then(|v| v.split('\r').next()) {
            Some(length) => got.len() - head >= length.parse::<usize>()?,
            None if text.contains("transfer-encoding: chunked") => got.ends_with(b"0\r\n\r\n"),
            None => bail!("neither length nor chunks: {text}"),
        };
        if done {
            return Ok((status, got.len()));
        }
    }
}
