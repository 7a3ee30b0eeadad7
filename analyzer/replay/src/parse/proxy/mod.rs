//! The PROXY protocol (haproxy.org, proxy-protocol.txt), versions 1 and 2: a header in front of the client's first bytes that
//! names the client behind a proxy. What follows is another protocol, whose rows bear that address.

#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::{Detection, First, Input, Output, Parser, Protocol, Step, Switch};
use crate::model::{Side, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol =
    Protocol { name: "proxy", ports: &[], timeout: 120_000_000_000, detect, start: |_| Box::new(Proxy) };

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, its end included.
const LINE_LIMIT: usize = 107;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if let Some(line) = bytes.strip_prefix(b"PROXY ") {
        let known = [&b"TCP4 "[..], b"TCP6 ", b"UNKNOWN"];
        return if known.iter().any(|family| line.starts_with(family)) {
            Detection::Yes { confidence: 97, from: Some(Side::Client) }
        } else if known.iter().any(|family| family.starts_with(line)) {
            Detection::More
        } else {
            Detection::No
        };
    }
    if bytes.starts_with(SIGNATURE) {
        return match bytes.get(12) {
            None => Detection::More,
            Some(0x20 | 0x21) => Detection::Yes { confidence: 99, from: Some(Side::Client) },
            Some(_) => Detection::No,
        };
    }
    if SIGNATURE.starts_with(bytes) || b"PROXY ".starts_with(bytes) { Detection::More } else { Detection::No }
}

#[derive(Debug)]
struct Proxy;

impl Parser for Proxy {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if side == Side::Server {
            // The header was not seen: the client's bytes decide.
            out.switch = Some(Switch::Detect);
            return Step::Consume(0);
        }
        let (used, client) = if input.bytes.first() == Some(&b'P') {
            let line = input.bytes.get(..LINE_LIMIT).unwrap_or(input.bytes);
            let Some(end) = memchr::memchr(b'\n', line) else {
                return if line.len() == LINE_LIMIT { Step::Reject("line too long") } else { Step::More(0) };
            };
            (end + 1, line.get(..end).and_then(text))
        } else {
            let mut cursor = Cursor::new(input.bytes);
            let (Some(_), Some(command), Some(family), Some(length)) =
                (cursor.take(12), cursor.u8(), cursor.u8(), cursor.u16())
            else {
                return Step::More(16);
            };
            let length = usize::from(length);
            if cursor.rest().len() < length && !input.cut {
                return Step::More(16 + length);
            }
            // 0x20: the proxy itself speaks, to see whether the server lives.
            let client = if command == 0x21 { binary(family, cursor.up_to(length)) } else { None };
            (16 + length, client)
        };
        if let Some(client) = client {
            out.note = Some(("proxied_client", client.to_string().into()));
        }
        out.switch = Some(Switch::Detect);
        Step::Consume(used as u64)
    }

    fn resumes(&self, _side: Side, _bytes: &[u8]) -> bool {
        false
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}
}

/// `PROXY TCP4 source destination port port`.
fn text(line: &[u8]) -> Option<SocketAddr> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace().skip(2);
    let ip: IpAddr = words.next()?.parse().ok()?;
    let port = words.nth(1)?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

/// Addresses of version 2; UNIX sockets have none worth naming.
fn binary(family: u8, body: &[u8]) -> Option<SocketAddr> {
    let mut cursor = Cursor::new(body);
    let ip = match family >> 4 {
        1 => {
            let ip = IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(cursor.take(4)?).ok()?));
            cursor.take(4)?;
            ip
        }
        2 => {
            let ip = IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(cursor.take(16)?).ok()?));
            cursor.take(16)?;
            ip
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, cursor.u16()?))
}
