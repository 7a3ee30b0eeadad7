//! Packets of TNS: their heads, and what first bytes look like.

use super::super::cursor::Cursor;
use super::super::{Detection, First};
use crate::model::{Side, Transport};

/// Bytes of a packet's head.
pub(super) const HEAD: usize = 8;

pub(super) const CONNECT: u8 = 1;
pub(super) const ACCEPT: u8 = 2;
pub(super) const REFUSE: u8 = 4;
pub(super) const REDIRECT: u8 = 5;
pub(super) const DATA: u8 = 6;
pub(super) const RESEND: u8 = 11;
/// Highest kind of packet that is known: data descriptors.
const LAST: u8 = 15;
/// Largest packet, bytes: sizes of session data units reach 2 MiB.
const LIMIT: u32 = 4 << 20;

/// The head of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: u8,
    total: u32,
}

impl Head {
    /// `None`: not a packet, or too few bytes. `wide`: both sides have agreed on sizes of four bytes.
    pub(super) fn parse(bytes: &[u8], wide: bool) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (first, second) = (cursor.u16()?, cursor.u16()?);
        let kind = cursor.u8()?;
        let _flags = cursor.u8()?;
        let checksum = cursor.u16()?;
        let long = u32::from(first) << 16 | u32::from(second);
        // Of two bytes, a checksum that nobody sets behind them; or of four.
        let total = match (wide, first, second) {
            (false, size, 0) if size > 0 => u32::from(size),
            (true, ..) | (false, 0, 1..) => long,
            _ => return None,
        };
        let fits = (HEAD as u32..=LIMIT).contains(&total)
            && (1..=LAST).contains(&kind)
            && !matches!(kind, 8 | 10)
            && checksum == 0;
        fits.then_some(Self { kind, total })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        u64::from(self.total)
    }
}

/// Looks at first bytes.
pub(super) fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.len() < HEAD {
        let likely = bytes.len() > 4 && matches!(bytes, [_, _, 0, 0, 1 | 2 | 4 | 6 | 11, ..]);
        return if likely && !first.whole { Detection::More } else { Detection::No };
    }
    let Some(head) = Head::parse(bytes, false) else {
        return Detection::No;
    };
    let body = bytes.get(HEAD..).unwrap_or_default();
    let exact = bytes.len() as u64 == head.total();
    let word = |at: usize| body.get(at..at + 2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let version = |least| word(0).is_some_and(|version| (least..=400).contains(&version));
    match head.kind {
        // Version and the lowest that will do; where the text stands: behind the head, or nowhere.
        CONNECT if version(300) && word(2).is_some_and(|least| (300..=400).contains(&least)) => {
            let at = word(18).unwrap_or_default();
            let sound = (26..=200).contains(&at);
            Detection::Yes { confidence: if sound { 96 } else { 70 }, from: Some(Side::Client) }
        }
        CONNECT if body.len() < 4 && !first.whole => Detection::More,
        ACCEPT if version(300) && head.total() < 200 => Detection::Yes { confidence: 80, from: Some(Side::Server) },
        REFUSE | REDIRECT if memchr::memmem::find(body, b"(").is_some_and(|at| at < 8) && exact => {
            Detection::Yes { confidence: 80, from: Some(Side::Server) }
        }
        RESEND if exact && head.total() == 8 => Detection::Yes { confidence: 60, from: Some(Side::Server) },
        // Flags of data, then what only calls start with.
        DATA => match body {
            [0, 0, 0xde, 0xad, 0xbe, 0xef, ..] => Detection::Yes { confidence: 80, from: None },
            [0, 0, 3, 0x5e | 0x76 | 0x73 | 0x3b, ..] if exact => {
                Detection::Yes { confidence: 65, from: Some(Side::Client) }
            }
            [0, 0, 0x11, 0x69 | 0x78 | 0x87 | 0x9a, ..] if exact => {
                Detection::Yes { confidence: 65, from: Some(Side::Client) }
            }
            [0, 0, 1, 6, ..] if exact => Detection::Yes { confidence: 55, from: None },
            _ => Detection::No,
        },
        _ => Detection::No,
    }
}
