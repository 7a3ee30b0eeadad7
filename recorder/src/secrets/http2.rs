//! HTTP/2 (RFC 9113) and the literals of HPACK (RFC 7541), as far as it takes to find what must not be kept.
//!
//! A header is found where its name comes with its value: by the static table, or literally. Later blocks that refer to
//! what the dynamic table holds say nothing secret. A new value under a name that only the dynamic table has
//! stays: following that table is not cheap.

use super::http::is_secret_field;
use super::{Kind, Marks};
use std::ops::Range;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADER: usize = 9;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// Entries of the static table whose value is a secret: authorization, cookie, proxy-authorization, set-cookie.
const SECRET: [usize; 4] = [23, 32, 49, 55];

/// Bytes with holes: what was captured of a call.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Place in the call, and where these bytes are.
    runs: Vec<(usize, Range<usize>)>,
}

impl View {
    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// Adds bytes that begin at `offset` of the call.
    pub(super) fn add(&mut self, offset: usize, place: Range<usize>) {
        if !place.is_empty() {
            self.runs.push((offset, place));
        }
    }

    /// The bytes of the call from `at` on, up to a hole.
    fn read(&self, all: &[u8], at: usize, len: usize, into: &mut Vec<u8>) {
        into.clear();
        for (offset, place) in &self.runs {
            let next = at + into.len();
            if let Some(skip) = next.checked_sub(*offset)
                && into.len() < len
            {
                let run = all.get(place.clone()).unwrap_or(&[]).get(skip..).unwrap_or(&[]);
                into.extend_from_slice(run.get(..len - into.len()).unwrap_or(run));
            }
        }
    }

    fn mark(&self, kind: Kind, secret: &Range<usize>, marks: &mut Marks) {
        for (offset, place) in &self.runs {
            let from = secret.start.max(*offset);
            let to = secret.end.min(offset + place.len());
            if from < to {
                marks.add(kind, place.start + from - offset..place.start + to - offset);
            }
        }
    }
}

/// Whether a payload begins with the preface, or with a frame of a kind that cannot be taken for much else.
pub(super) fn is_begin(p: &[u8]) -> bool {
    if p.starts_with(b"PRI * HTTP/2") {
        return true;
    }
    let Some([0, high, low, kind, flags, stream @ ..]) = p.first_chunk::<HEADER>() else { return false };
    let (len, stream) = (u16::from_be_bytes([*high, *low]), u32::from_be_bytes(*stream));
    let fits = match (*kind, len) {
        (HEADERS, 1..=0x4000) => flags & !0x2d == 0 && stream != 0,
        // PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE: headers may follow.
        (2, 5) | (3, 4) => stream != 0,
        (4, _) => len % 6 == 0 && *flags <= 1 && stream == 0,
        (6, 8) => *flags <= 1 && stream == 0,
        (8, 4) => true,
        _ => false,
    };
    fits && stream >> 31 == 0
}

/// All header blocks of the frames from `at` on.
pub(super) fn frames(view: &View, all: &[u8], mut at: usize, marks: &mut Marks) {
    let (mut bytes, mut place) = (Vec::new(), Vec::new());
    loop {
        view.read(all, at, PREFACE.len(), &mut bytes);
        if bytes == PREFACE {
            at += PREFACE.len();
            continue;
        }
        let Some([l0, l1, l2, kind, flags, ..]) = bytes.first_chunk::<HEADER>().copied() else { return };
        let len = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        at += HEADER;
        if matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            view.read(all, at, len, &mut bytes);
            place.clear();
            let padded = kind != CONTINUATION && flags & PADDED != 0;
            let from = usize::from(padded)
                + match kind {
                    PUSH_PROMISE => 4,
                    HEADERS if flags & PRIORITY != 0 => 5,
                    _ => 0,
                };
            let padding = if padded { bytes.first().copied().map_or(0, usize::from) } else { 0 };
            let to = bytes.len().min(len.saturating_sub(padding));
            block(bytes.get(from..to).unwrap_or(&[]), &mut place);
            for (kind, secret) in &place {
                view.mark(*kind, &(at + from + secret.start..at + from + secret.end), marks);
            }
        }
        at += len;
    }
}

/// One header block, or its beginning.
fn block(b: &[u8], found: &mut Vec<(Kind, Range<usize>)>) -> Option<()> {
    let mut at = 0;
    loop {
        let first = *b.get(at)?;
        let (indexed, bits) = match first {
            0x80.. => (true, 7),
            0x40.. => (false, 6),
            0x20.. => (true, 5),
            _ => (false, 4),
        };
        let name = integer(b, &mut at, bits)?;
        if indexed {
            continue;
        }
        let secret = if name == 0 {
            let (huffman, name) = string(b, &mut at)?;
            let name = b.get(name)?;
            if huffman { is_secret_field(&plain(name)) } else { is_secret_field(name) }
        } else {
            SECRET.contains(&name)
        };
        let (huffman, value) = string(b, &mut at)?;
        if secret {
            found.push((
                if huffman { Kind::Http2Huffman } else { Kind::Http2Header },
                value.start..value.end.min(b.len()),
            ));
        }
    }
}

/// RFC 7541 section 5.1.
fn integer(b: &[u8], at: &mut usize, bits: u32) -> Option<usize> {
    let max = (1_usize << bits) - 1;
    let mut value = usize::from(*b.get(*at)?) & max;
    *at += 1;
    if value < max {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*b.get(*at)?);
        *at += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Whether a string is coded, and where it is; it may end behind what there is.
fn string(b: &[u8], at: &mut usize) -> Option<(bool, Range<usize>)> {
    let huffman = b.get(*at)? & 0x80 != 0;
    let len = integer(b, at, 7)?;
    let start = *at;
    *at = start.checked_add(len)?;
    Some((huffman, start..*at))
}

/// A name out of its Huffman code (RFC 7541 appendix B): the codes of up to seven bits have all that names are made of.
fn plain(coded: &[u8]) -> Vec<u8> {
    const FIVE: &[u8] = b"012aceiost";
    const SIX: &[u8] = b" %-./3456789=A_bdfghlmnpru";
    const SEVEN: &[u8] = b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz";
    let (mut name, mut bits, mut have) = (Vec::new(), 0_u32, 0_u32);
    let mut input = coded.iter();
    loop {
        while have <= 16
            && let Some(byte) = input.next()
        {
            bits = bits << 8 | u32::from(*byte);
            have += 8;
        }
        // What is missing at the end is ones, which begin no short code.
        let top = |n: u32| {
            let filled = if have >= n { bits >> (have - n) } else { bits << (n - have) | ((1 << (n - have)) - 1) };
            (filled & ((1 << n) - 1)) as usize
        };
        let symbol = (FIVE.get(top(5)).map(|s| (s, 5)))
            .or_else(|| Some((SIX.get(top(6).checked_sub(0x14)?)?, 6)))
            .or_else(|| Some((SEVEN.get(top(7).checked_sub(0x5c)?)?, 7)));
        match symbol {
            Some((symbol, len)) if len <= have => {
                name.push(*symbol);
                have -= len;
            }
            _ => return name,
        }
    }
}
