//! Captured bytes as text: valid UTF-8, no control characters, a few KB at most.

use crate::ascii::plain;

/// Longest text that a row keeps, bytes.
pub(super) const TEXT_LIMIT: usize = 4096;

/// Text for a row.
pub(super) fn clean(bytes: &[u8]) -> Box<str> {
    clean_to(bytes, TEXT_LIMIT)
}

/// Text for a row, at most `limit` bytes of input.
pub(super) fn clean_to(bytes: &[u8], limit: usize) -> Box<str> {
    let bytes = bytes.get(..limit).unwrap_or(bytes);
    if let Some(text) = plain(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' | '\r' | '\t' => text.push(' '),
                character if character.is_control() => text.push('\u{fffd}'),
                character => text.push(character),
            }
        }
        if !chunk.invalid().is_empty() {
            text.push('\u{fffd}');
        }
    }
    text.into_boxed_str()
}

/// Without white space at both ends.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// A decimal number and nothing else; zeros may lead.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    let zeros = bytes.iter().take_while(|byte| **byte == b'0').count();
    let bytes = match bytes.get(zeros..)? {
        [] => bytes.get(..1)?,
        rest => rest,
    };
    if bytes.len() > 19 {
        return None;
    }
    bytes.iter().try_fold(0_u64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

/// A number as text.
pub(super) fn number(n: u64) -> Box<str> {
    n.to_string().into_boxed_str()
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        push_hex(&mut text, *byte);
    }
    text
}

/// Adds a byte's two hexadecimal digits.
pub(super) fn push_hex(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.extend([byte >> 4, byte & 0xf].map(|digit| char::from(DIGITS[usize::from(digit)])));
}

/// A path cut to its first two segments, without query or fragment: what requests are grouped by.
pub(super) fn endpoint(path: &str) -> &str {
    let path = memchr::memchr3(b'?', b'#', b';', path.as_bytes()).and_then(|end| path.get(..end)).unwrap_or(path);
    let mut slashes = memchr::memchr_iter(b'/', path.as_bytes());
    let third = if path.starts_with('/') { slashes.nth(2) } else { slashes.nth(1) };
    third.and_then(|at| path.get(..at)).unwrap_or(path)
}

/// Where the first `://` of a URL stands.
pub(super) fn scheme_end(url: &str) -> Option<usize> {
    let bytes = url.as_bytes();
    memchr::memchr_iter(b':', bytes).find(|&at| bytes.get(at..).is_some_and(|rest| rest.starts_with(b"://")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cut_to_two_segments() {
        for (path, cut) in [
            ("/a/b/c?d", "/a/b"),
            ("/a/b?c/d", "/a/b"),
            ("/a#b/c/d", "/a"),
            ("/;x", "/"),
            ("a/b/c", "a/b"),
            ("", ""),
            ("/", "/"),
            ("/a/b/", "/a/b"),
        ] {
            assert_eq!(endpoint(path), cut);
        }
    }

    #[test]
    fn schemes_are_found() {
        for (url, at) in [("http://a", Some(4)), ("a:b://c", Some(3)), ("a:/b", None), (":", None), ("://", Some(0))] {
            assert_eq!(scheme_end(url), at);
        }
    }
}
