//! Packets: their heads, and what first bytes look like.

use super::super::cursor::Cursor;
use super::super::{Detection, First};
use super::request::headers;
use crate::model::{Side, Transport};

/// Bytes of a packet's head.
pub(super) const HEAD: usize = 8;
/// Bytes of the head of a session's packet (MARS).
pub(super) const SESSION_HEAD: usize = 16;

pub(super) const BATCH: u8 = 0x01;
pub(super) const LOGIN: u8 = 0x02;
pub(super) const RPC: u8 = 0x03;
pub(super) const REPLY: u8 = 0x04;
pub(super) const ATTENTION: u8 = 0x06;
pub(super) const BULK: u8 = 0x07;
pub(super) const FED_AUTH: u8 = 0x08;
pub(super) const TRANSACTION: u8 = 0x0e;
pub(super) const LANGUAGE: u8 = 0x0f;
pub(super) const LOGIN7: u8 = 0x10;
pub(super) const SSPI: u8 = 0x11;
pub(super) const PRELOGIN: u8 = 0x12;

/// The head of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: u8,
    status: u8,
    len: u16,
}

impl Head {
    /// `None`: not a packet, or too few bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (kind, status, len) = (cursor.u8()?, cursor.u8()?, cursor.u16()?);
        let _process = cursor.u16()?;
        let (_number, window) = (cursor.u8()?, cursor.u8()?);
        let known = matches!(
            kind,
            BATCH
                | LOGIN
                | RPC
                | REPLY
                | ATTENTION
                | BULK
                | FED_AUTH
                | TRANSACTION
                | LANGUAGE
                | LOGIN7
                | SSPI
                | PRELOGIN
        );
        (known && status & 0xe0 == 0 && usize::from(len) >= HEAD && window == 0).then_some(Self { kind, status, len })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        u64::from(self.len)
    }

    /// The message ends with this packet.
    pub(super) fn is_last(self) -> bool {
        self.status & 1 != 0
    }
}

/// The head that goes before a packet where several sessions share a connection (MS-SMP).
pub(super) fn session(bytes: &[u8]) -> Option<(u16, u64)> {
    let mut cursor = Cursor::new(bytes);
    let (magic, flags, id) = (cursor.u8()?, cursor.u8()?, cursor.u16_le()?);
    let len = cursor.u32_le()?;
    cursor.u64()?;
    let fits =
        magic == 0x53 && matches!(flags, 1 | 2 | 4 | 8) && (flags == 8) == (len > 16) && (16..=1 << 20).contains(&len);
    fits.then_some((id, u64::from(len)))
}

/// A record of TLS: its kind and size.
pub(super) fn record(bytes: &[u8]) -> Option<(u8, u64)> {
    let mut cursor = Cursor::new(bytes);
    let (kind, major, _minor, len) = (cursor.u8()?, cursor.u8()?, cursor.u8()?, cursor.u16()?);
    ((0x14..=0x17).contains(&kind) && major == 3).then_some((kind, 5 + u64::from(len)))
}

/// Looks at first bytes.
pub(super) fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.first() == Some(&0x53) {
        let inner = bytes.get(SESSION_HEAD..).unwrap_or_default();
        return match session(bytes) {
            Some((_, 16)) => Detection::Yes { confidence: 75, from: None },
            Some(_) => tell(inner, first.whole),
            None => Detection::No,
        };
    }
    tell(bytes, first.whole)
}

fn tell(bytes: &[u8], whole: bool) -> Detection {
    let Some(head) = Head::parse(bytes) else {
        // Too few bytes: a kind, a status and a length that go together.
        let likely = bytes.len() >= 4
            && bytes.len() < HEAD
            && matches!(bytes.first(), Some(&(BATCH | RPC | REPLY | TRANSACTION | LOGIN7 | PRELOGIN)))
            && matches!(bytes.get(1), Some(0 | 1 | 9));
        return if likely && !whole { Detection::More } else { Detection::No };
    };
    let end = bytes.len().min(usize::from(head.len));
    let body = bytes.get(HEAD..end).unwrap_or_default();
    let exact = head.is_last() && bytes.len() == usize::from(head.len);
    let client = |confidence| Detection::Yes { confidence, from: Some(Side::Client) };
    let more =
        if !whole && bytes.len() < usize::from(head.len) && body.len() < 32 { Detection::More } else { Detection::No };
    match head.kind {
        // The first option is the version's, of six bytes, behind the options.
        PRELOGIN => match body {
            [0, 0, 6..=64, 0, 6, ..] => client(97),
            _ => more,
        },
        LOGIN7 => {
            let mut cursor = Cursor::new(body);
            match (cursor.u32_le(), cursor.u32_le()) {
                (Some(len), Some(version)) if len >= 86 && matches!(version >> 24, 0x70..=0x74) => client(97),
                _ => more,
            }
        }
        // Login record: data types' representations, and version 5.
        LOGIN if body.get(124..127).is_some_and(|kinds| matches!(kinds, [2 | 3, 0 | 1, 6 | 7])) => client(92),
        BATCH | RPC | TRANSACTION => {
            if headers(body).is_some() {
                return client(95);
            }
            let text = match head.kind {
                BATCH => body,
                RPC => match body.split_at_checked(2) {
                    Some(([len @ 1..=127, 0], name)) => name.get(..usize::from(*len) * 2).unwrap_or_default(),
                    _ => &[],
                },
                _ => &[],
            };
            // Without headers (before TDS 7.2): text in UTF-16, and nothing behind it.
            let pairs = text.as_chunks::<2>().0.iter().take(32);
            let wide = text.len() >= 8 && pairs.clone().all(|pair| matches!(pair, [0x20..=0x7e | 9 | 10 | 13, 0]));
            if wide { client(if exact { 75 } else { 60 }) } else { more }
        }
        LANGUAGE if body.first() == Some(&0x21) && exact => client(75),
        REPLY => {
            let login = body.starts_with(&[0, 0]) && matches!(body, [0, 0, 6..=64, 0, 6, ..]);
            let done = |width: usize| {
                body.len().checked_sub(width).and_then(|at| body.get(at..)).is_some_and(|done| {
                    matches!(done, [0xfd..=0xff, status, 0 | 1, ..] if status & 0xc8 == 0) && done.ends_with(&[0])
                })
            };
            let token = match body {
                [0xfd..=0xff, status, 0 | 1, ..] => status & 0xc8 == 0,
                [0xe3 | 0xaa | 0xab | 0xad | 0xe5, low, high, ..] => {
                    let len = usize::from(u16::from_le_bytes([*low, *high]));
                    len >= 4 && body.get(len + 3).is_none_or(|next| *next >= 0x78)
                }
                [0x81, _, 0..=16, ..] | [0x79, ..] | [0x88, ..] => true,
                _ => false,
            };
            let server = |confidence| Detection::Yes { confidence, from: Some(Side::Server) };
            match (login, token && exact && (done(13) || done(9)), token) {
                (true, ..) => server(95),
                (_, true, _) => server(85),
                (_, _, true) => server(40),
                _ => more,
            }
        }
        _ => Detection::No,
    }
}
