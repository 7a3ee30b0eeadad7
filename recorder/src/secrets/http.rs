//! HTTP/1 (RFC 9112), as far as it takes to find what must not be kept.

use super::{Kind, Line, Marks, State, is_secret};
use memchr::{memchr, memchr2, memchr2_iter};

/// Headers whose values are secrets, lower case; beside those whose names begin with `x-` and say so.
const HEADERS: [&[u8]; 12] = [
    b"authorization",
    b"proxy-authorization",
    b"cookie",
    b"set-cookie",
    b"cookie2",
    b"set-cookie2",
    b"api-key",
    b"apikey",
    b"private-token",
    b"job-token",
    b"authentication-info",
    b"ocp-apim-subscription-key",
];

/// Authorization codes (RFC 6749, 4.1.2) are handed over as `code=`, as much else is that is shorter: countries, errors, vouchers.
const AUTHORIZATION_CODE: usize = 16;

/// What a message begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Request,
    Response,
}

/// Whether a message begins here.
#[inline]
pub(super) fn start(p: &[u8]) -> Option<Start> {
    let four = p.first_chunk::<4>()?;
    match four {
        b"HTTP" => (p.get(4) == Some(&b'/')).then_some(Start::Response),
        b"GET " | b"PUT " | b"POST" | b"HEAD" | b"DELE" | b"PATC" | b"OPTI" | b"CONN" | b"TRAC" | b"PROP" | b"REPO"
        | b"MKCO" | b"LOCK" | b"UNLO" | b"COPY" | b"MOVE" | b"SEAR" | b"PURG" => {
            // A method is followed by a target; NATS' CONNECT by JSON.
            let space = memchr(b' ', p.get(..12).unwrap_or(p))?;
            let target = p.get(space + 1);
            target.is_none_or(|t| t.is_ascii_graphic() && *t != b'{').then_some(Start::Request)
        }
        _ => None,
    }
}

/// One message, and those that follow it.
pub(super) fn message(p: &[u8], start: Start, cut: bool, marks: &mut Marks) -> State {
    let mut at = 0;
    let mut start = start;
    loop {
        let line_end = memchr(b'\n', p.get(at..).unwrap_or(&[])).map(|i| at + i);
        if start == Start::Request {
            target(p, at, line_end.unwrap_or(p.len()), marks);
        }
        let Some(line_end) = line_end else { return State::Head(if cut { Line::Secret } else { Line::Plain }) };
        let body_at = match head(p, line_end + 1, cut, marks) {
            Ok(at) => at,
            Err(state) => return state,
        };
        let rest = p.get(body_at..).unwrap_or(&[]);
        match self::start(rest) {
            Some(next) => (at, start) = (body_at, next),
            None => {
                fields(rest, body_at, marks);
                return State::Body;
            }
        }
    }
}

/// What comes after a payload that ended within the headers.
pub(super) fn rest_of_head(p: &[u8], line: Line, cut: bool, marks: &mut Marks) -> State {
    let is_text = |b: &u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    if !p.first().is_some_and(is_text) {
        return State::Nothing;
    }
    let mut at = 0;
    if line != Line::Fresh {
        let end = memchr(b'\n', p);
        if line == Line::Secret {
            let text = p.get(..end.unwrap_or(p.len())).unwrap_or(p);
            marks.add(Kind::HttpHeader, 0..text.strip_suffix(b"\r").unwrap_or(text).len());
        }
        match end {
            Some(end) => at = end + 1,
            None => return State::Head(if cut { Line::Secret } else { line }),
        }
        if line == Line::Empty {
            fields(p.get(at..).unwrap_or(&[]), at, marks);
            return State::Body;
        }
    }
    match head(p, at, cut, marks) {
        Ok(body_at) => {
            fields(p.get(body_at..).unwrap_or(&[]), body_at, marks);
            State::Body
        }
        Err(state) => state,
    }
}

/// Header lines from `at` on. `Ok`: where the body begins; `Err`: they go on.
fn head(p: &[u8], mut at: usize, cut: bool, marks: &mut Marks) -> Result<usize, State> {
    loop {
        let rest = p.get(at..).unwrap_or(&[]);
        match rest {
            [] | [b'\r'] if cut => return Err(State::Head(Line::Secret)),
            [] => return Err(State::Head(Line::Fresh)),
            [b'\r'] => return Err(State::Head(Line::Empty)),
            [b'\n', ..] => return Ok(at + 1),
            [b'\r', b'\n', ..] => return Ok(at + 2),
            _ => {}
        }
        let end = memchr(b'\n', rest);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
        let secret = value(line);
        if let Some((from, to)) = secret {
            marks.add(Kind::HttpHeader, at + from..at + to);
        }
        if is_link(line) {
            target(p, at, at + line.len(), marks);
        }
        match end {
            Some(end) => at += end + 1,
            // Without a colon so far, the name may turn out to be one of a secret.
            None => {
                let plain = !cut && secret.is_none() && (memchr(b':', line).is_some() || !begins_secret(line));
                return Err(State::Head(if plain { Line::Plain } else { Line::Secret }));
            }
        }
    }
}

/// Whether the header's value is an address, as of the page before or the one to go to: both may carry tokens.
fn is_link(line: &[u8]) -> bool {
    let is = |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    match line.first().map(|first| first | 0x20) {
        Some(b'r') => is(b"referer:"),
        Some(b'l') => is(b"location:"),
        _ => false,
    }
}

/// Whether a header line of which only part of the name is known may turn out to be one of a secret. A plain header that is
/// masked costs more than its value: without `Content-Length` the messages behind it are not found.
fn begins_secret(part: &[u8]) -> bool {
    let may = |name: &[u8]| name.get(..part.len()).is_some_and(|start| start.eq_ignore_ascii_case(part));
    part.first().is_some_and(|first| first | 0x20 == b'x') || HEADERS.iter().any(|name| may(name))
}

/// Where the secret of a header line is, if it is one.
fn value(line: &[u8]) -> Option<(usize, usize)> {
    // Most first letters of names are none of a secret's.
    let first = line.first()? | 0x20;
    if !matches!(first, b'a' | b'c' | b'h' | b'j' | b'o' | b'p' | b's' | b'x') {
        return None;
    }
    let colon = memchr(b':', line)?;
    let name = line.get(..colon)?;
    if first == b'h' {
        // Programs that take a URL apart carelessly: `Host: user:password@shop`.
        let end = colon + 1 + memchr(b'@', line.get(colon + 1..)?).filter(|_| name.eq_ignore_ascii_case(b"host"))?;
        let user = colon + 1 + memchr(b':', line.get(colon + 1..end)?)?;
        return Some((user + 1, end));
    }
    let listed = is_listed(name);
    let own = matches!(name, [b'x' | b'X', b'-', ..]) && is_secret_header(name);
    if !listed && !own {
        return None;
    }
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    let mut from = colon + 1 + text.get(colon + 1..)?.iter().take_while(|b| **b == b' ' || **b == b'\t').count();
    // `Bearer`, `Basic`, `AWS4-HMAC-SHA256`: the scheme is no secret.
    if name.last().map(u8::to_ascii_lowercase) == Some(b'n') {
        let rest = text.get(from..)?;
        if let Some(space) = memchr(b' ', rest)
            && space <= 20
            && rest.get(..space)?.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        {
            from += space + 1;
        }
    }
    Some((from.min(text.len()), text.len()))
}

fn is_listed(name: &[u8]) -> bool {
    HEADERS.iter().any(|h| h.eq_ignore_ascii_case(name))
}

/// Whether the value under this name is a secret, in HTTP/2 and gRPC: there, a program's own headers need no `x-`.
pub(super) fn is_secret_field(name: &[u8]) -> bool {
    is_listed(name) || is_secret_header(name)
}

/// `X-Api-Key`, `X-Auth-Token`, `X-Amz-Security-Token`, `X-Goog-Signature`; not `X-Request-Id`.
fn is_secret_header(name: &[u8]) -> bool {
    is_secret(name)
        || (name.len() > 4 && name.get(name.len() - 4..).is_some_and(|end| end.eq_ignore_ascii_case(b"auth")))
}

/// Query parameters and passwords before the host in a request line.
fn target(p: &[u8], from: usize, to: usize, marks: &mut Marks) {
    let line = p.get(from..to).unwrap_or(&[]);
    if let Some(at) = memchr::memmem::find(line, b"://") {
        let authority = line.get(at + 3..).unwrap_or(&[]);
        let authority = authority.get(..memchr2(b'/', b' ', authority).unwrap_or(authority.len())).unwrap_or(&[]);
        if let (Some(colon), Some(end)) = (memchr(b':', authority), memchr::memrchr(b'@', authority)) {
            let authority_at = from + at + 3;
            if colon < end {
                marks.add(Kind::HttpQuery, authority_at + colon + 1..authority_at + end);
            }
        }
    }
    let Some(query) = memchr(b'?', line) else { return };
    let rest = line.get(query..).unwrap_or(&[]);
    let end = memchr2(b' ', b'\r', rest).map_or(line.len(), |i| query + i);
    let mut at = query + 1;
    while at < end {
        let rest = line.get(at..end).unwrap_or(&[]);
        let len = memchr2(b'&', b';', rest).unwrap_or(rest.len());
        if let Some(equals) = memchr(b'=', rest.get(..len).unwrap_or(rest))
            && let name = rest.get(..equals).unwrap_or(&[])
            && (is_secret(name) || name == b"code" && len >= equals + 1 + AUTHORIZATION_CODE)
        {
            marks.add(Kind::HttpQuery, from + at + equals + 1..from + at + len);
        }
        at += len + 1;
    }
}

/// A body, or a part of one.
pub(super) fn body(p: &[u8], marks: &mut Marks) {
    fields(p, 0, marks);
}

/// `name=value` of forms and `"name":"value"` of JSON, where the name speaks of a secret.
fn fields(text: &[u8], offset: usize, marks: &mut Marks) {
    let mut done = 0;
    for at in memchr2_iter(b'=', b':', text) {
        if at < done {
            continue;
        }
        let before = text.get(..at).unwrap_or(&[]);
        let quoted = before.last() == Some(&b'"');
        // In JSON names stand in quotes; `a:b` is none.
        if !quoted && text.get(at) == Some(&b':') {
            continue;
        }
        let name_end = before.len() - usize::from(quoted);
        let name = before.get(..name_end).unwrap_or(&[]);
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'[' | b']');
        let len = name.iter().rev().take(97).take_while(|b| is_name(b)).count();
        if !is_secret(name.get(name_end - len..).unwrap_or(&[])) {
            continue;
        }
        let mut from = at + 1;
        while matches!(text.get(from), Some(b' ' | b'\t')) {
            from += 1;
        }
        let to = if text.get(from) == Some(&b'"') {
            from += 1;
            string_end(text, from)
        } else {
            let rest = text.get(from..).unwrap_or(&[]);
            let ends = |b: &u8| matches!(b, b'&' | b';' | b',' | b'}' | b']' | b' ' | b'\r' | b'\n' | b'"');
            rest.iter().position(ends).map_or(text.len(), |i| from + i)
        };
        // `null` and `true` tell more than they hide.
        let plain = matches!(text.get(from..to), Some(b"null" | b"true" | b"false"));
        if !plain {
            marks.add(Kind::HttpBody, offset + from..offset + to);
        }
        done = to;
    }
}

/// Where a JSON string ends that began before `from`.
fn string_end(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(found) = memchr2(b'"', b'\\', text.get(at..).unwrap_or(&[])) {
        if text.get(at + found) == Some(&b'"') {
            return at + found;
        }
        at += found + 2;
    }
    text.len()
}
