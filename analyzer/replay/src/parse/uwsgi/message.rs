//! uwsgi's packets, and the heads of responses.

use super::super::cursor::Cursor;
use super::super::text::decimal;

/// The head of a packet of variables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    /// Bytes of the variables.
    pub(super) length: usize,
}

/// Bytes of a packet's head.
pub(super) const HEAD: usize = 4;
/// A method and a path need as many, and no server sends more by default than uWSGI's buffer holds.
const LENGTHS: std::ops::RangeInclusive<usize> = 40..=65_535;
/// First modifiers of requests: which language serves them (0 Python, 5 Perl, 7 Ruby, 14 PHP, ...). Others are uWSGI's own business.
const MODIFIERS: std::ops::RangeInclusive<u8> = 0..=30;

impl Packet {
    /// `None`: not the head of a packet of variables.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [modifier, low, high, second] = *bytes.first_chunk::<HEAD>()?;
        let length = usize::from(u16::from_le_bytes([low, high]));
        (MODIFIERS.contains(&modifier) && second == 0 && LENGTHS.contains(&length)).then_some(Self { length })
    }
}

/// Names and values, as far as the bytes reach.
pub(super) fn pairs(variables: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut cursor = Cursor::new(variables);
    std::iter::from_fn(move || {
        let name = usize::from(cursor.u16_le()?);
        let name = cursor.take(name)?;
        let value = usize::from(cursor.u16_le()?);
        Some((name, cursor.take(value)?))
    })
}

/// Whether the variables begin with a name: capital letters and `_`, as CGI's are. `Some(false)`: too few bytes to tell.
pub(super) fn first_name(variables: &[u8], packet: Packet) -> Option<bool> {
    let Some(length) = variables.first_chunk::<2>() else {
        return Some(false);
    };
    let length = usize::from(u16::from_le_bytes(*length));
    if !(4..=64).contains(&length) || length + 4 > packet.length {
        return None;
    }
    let name = variables.get(2..)?;
    let name = name.get(..length).unwrap_or(name);
    let fits = name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    fits.then_some(name.len() == length)
}

/// Bytes of the request's body, where the variables tell. An empty value is no body.
pub(super) fn content_length(variables: &[u8]) -> Option<u64> {
    let (_, value) = pairs(variables).find(|(name, _)| *name == b"CONTENT_LENGTH")?;
    if value.is_empty() { Some(0) } else { decimal(value) }
}

/// Whether a response may begin so: with HTTP's status line, or a header.
pub(super) fn is_head(bytes: &[u8]) -> bool {
    let line = bytes.get(..64).unwrap_or(bytes);
    let name = line.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
    match line.get(name) {
        Some(b':') => name > 0,
        Some(b'/') => b"HTTP/1.".starts_with(line) || line.starts_with(b"HTTP/1."),
        None => true,
        _ => false,
    }
}

/// Bytes of the response's body, where its head tells.
pub(super) fn response_length(head: &[u8]) -> Option<u64> {
    head.split(|byte| *byte == b'\n').take(64).find_map(|line| {
        let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        let value = value.get(1..)?.trim_ascii();
        name.eq_ignore_ascii_case(b"content-length").then(|| decimal(value)).flatten()
    })
}
