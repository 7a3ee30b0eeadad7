//! HPACK (RFC 7541) that survives joining in the middle: what the dynamic table held before is unknown, not an error.

use super::super::cursor::Cursor;
use super::tables::{HUFFMAN_LENGTHS, STATIC};
use std::collections::VecDeque;
use std::sync::LazyLock;

/// Longest string decoded.
const STRING_LIMIT: usize = 16 * 1024;
/// Largest dynamic table kept, in the measure of the RFC.
const TABLE_LIMIT: usize = 64 * 1024;
/// Headers in one block.
const HEADER_LIMIT: usize = 512;

/// A header; `None` where the table entry was sent before the capture began.
pub(super) type Header = (Option<Box<[u8]>>, Option<Box<[u8]>>);

/// State of one direction.
#[derive(Debug)]
pub(super) struct Decoder {
    entries: VecDeque<Header>,
    size: usize,
    limit: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, limit: 4096 }
    }
}

impl Decoder {
    /// Decodes a block; what was read before an error is kept.
    pub(super) fn decode(&mut self, block: &[u8], mut each: impl FnMut(Option<&[u8]>, Option<&[u8]>)) -> Option<()> {
        let mut cursor = Cursor::new(block);
        for _ in 0..HEADER_LIMIT {
            let Some(first) = cursor.rest().first().copied() else {
                return Some(());
            };
            if first & 0x80 != 0 {
                let index = integer(&mut cursor, 7)?;
                if index == 0 {
                    return None;
                }
                match self.get(index) {
                    Found::Static(name, value) => each(Some(name.as_bytes()), Some(value.as_bytes())),
                    Found::Entry((name, value)) => each(name.as_deref(), value.as_deref()),
                    Found::Unknown => each(None, None),
                }
                continue;
            }
            if first & 0xe0 == 0x20 {
                self.limit = integer(&mut cursor, 5)?.min(TABLE_LIMIT);
                self.evict();
                continue;
            }
            let indexed = first & 0x40 != 0;
            let index = integer(&mut cursor, if indexed { 6 } else { 4 })?;
            let name = if index == 0 {
                Some(string(&mut cursor)?)
            } else {
                match self.get(index) {
                    Found::Static(name, _) => Some(name.as_bytes().into()),
                    Found::Entry((name, _)) => name.clone(),
                    Found::Unknown => None,
                }
            };
            let value = string(&mut cursor)?;
            each(name.as_deref(), Some(&value));
            if indexed {
                self.size += name.as_ref().map_or(0, |name| name.len()) + value.len() + 32;
                self.entries.push_front((name, Some(value)));
                self.evict();
            }
        }
        None
    }

    /// After a gap: what the entries are is not known any more.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.size = 0;
    }

    fn evict(&mut self) {
        while self.size > self.limit {
            let Some((name, value)) = self.entries.pop_back() else {
                self.size = 0;
                return;
            };
            let len = name.map_or(0, |name| name.len()) + value.map_or(0, |value| value.len()) + 32;
            self.size = self.size.saturating_sub(len);
        }
    }

    fn get(&self, index: usize) -> Found<'_> {
        if let Some((name, value)) = index.checked_sub(1).and_then(|at| STATIC.get(at)) {
            return Found::Static(name, value);
        }
        index.checked_sub(62).and_then(|at| self.entries.get(at)).map_or(Found::Unknown, Found::Entry)
    }
}

enum Found<'a> {
    Static(&'static str, &'static str),
    Entry(&'a Header),
    Unknown,
}

/// An integer with a prefix of so many bits (section 5.1).
fn integer(cursor: &mut Cursor<'_>, bits: u32) -> Option<usize> {
    let mask = (1_usize << bits) - 1;
    let mut value = usize::from(cursor.u8()?) & mask;
    if value < mask {
        return Some(value);
    }
    for shift in (0..28).step_by(7) {
        let byte = cursor.u8()?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn string(cursor: &mut Cursor<'_>) -> Option<Box<[u8]>> {
    let huffman = cursor.rest().first()? & 0x80 != 0;
    let len = integer(cursor, 7)?;
    let bytes = cursor.take(len)?;
    if len > STRING_LIMIT {
        return Some(Box::default());
    }
    if huffman { decode_huffman(bytes) } else { Some(bytes.into()) }
}

/// The canonical code: where the codes of each length start, and the symbols in order.
struct Code {
    /// Per length: first code, number of codes, place of its first symbol.
    lengths: [(u32, u32, usize); 31],
    symbols: Vec<u16>,
    /// For the next eight bits: symbol and length of its code, 0 if longer.
    short: [(u8, u8); 256],
}

static CODE: LazyLock<Code> = LazyLock::new(|| {
    let mut symbols: Vec<u16> = (0..257).collect();
    let length = |symbol: u16| HUFFMAN_LENGTHS.get(usize::from(symbol)).copied().unwrap_or(30);
    symbols.sort_by_key(|symbol| (length(*symbol), *symbol));
    let mut lengths = [(0, 0, 0); 31];
    let mut short = [(0, 0); 256];
    let (mut code, mut last) = (0_u32, 0_u8);
    for (place, symbol) in symbols.iter().enumerate() {
        let len = length(*symbol);
        code <<= len - last;
        last = len;
        if let Some(entry) = lengths.get_mut(usize::from(len)) {
            if entry.1 == 0 {
                *entry = (code, 0, place);
            }
            entry.1 += 1;
        }
        if len <= 8 {
            let from = (code << (8 - len)) as usize;
            for entry in short.iter_mut().skip(from).take(1 << (8 - len)) {
                *entry = (u8::try_from(*symbol).unwrap_or_default(), len);
            }
        }
        code += 1;
    }
    Code { lengths, symbols, short }
});

fn decode_huffman(bytes: &[u8]) -> Option<Box<[u8]>> {
    let code = &*CODE;
    let mut text = Vec::with_capacity(bytes.len() * 8 / 5);
    let (mut bits, mut have) = (0_u64, 0_u32);
    let mut input = bytes.iter();
    loop {
        while have <= 32
            && let Some(byte) = input.next()
        {
            bits = bits << 8 | u64::from(*byte);
            have += 8;
        }
        if have == 0 {
            return Some(text.into_boxed_slice());
        }
        let top = if have >= 8 { bits >> (have - 8) } else { bits << (8 - have) | (0xff >> have) };
        let (symbol, len) = code.short.get((top & 0xff) as usize).copied().unwrap_or_default();
        if len > 0 && u32::from(len) <= have {
            text.push(symbol);
            have -= u32::from(len);
            continue;
        }
        if have < 8 && bits & ((1 << have) - 1) == (1 << have) - 1 {
            // The rest is padding: the beginning of the end-of-string code.
            return Some(text.into_boxed_slice());
        }
        let mut found = None;
        for len in 9..=30_u32.min(have) {
            let value = (bits >> (have - len)) as u32 & ((1_u32 << len) - 1);
            let (first, count, place) = code.lengths.get(len as usize).copied().unwrap_or_default();
            if count > 0 && value >= first && value - first < count {
                found = code.symbols.get(place + (value - first) as usize).map(|symbol| (*symbol, len));
                break;
            }
        }
        let (symbol, len) = found?;
        text.push(u8::try_from(symbol).ok()?);
        have -= len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc() {
        // RFC 7541 appendix C.4.1 and C.4.2.
        let mut decoder = Decoder::default();
        let read = |decoder: &mut Decoder, block: &[u8]| {
            let mut headers = Vec::new();
            let done = decoder.decode(block, |name, value| {
                headers.push(format!(
                    "{}={}",
                    String::from_utf8_lossy(name.unwrap_or(b"?")),
                    String::from_utf8_lossy(value.unwrap_or(b"?"))
                ));
            });
            assert!(done.is_some());
            headers
        };
        let first =
            [0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        let expected = [":method=GET", ":scheme=http", ":path=/", ":authority=www.example.com"];
        assert_eq!(read(&mut decoder, &first), expected);
        let second = [0x82, 0x86, 0x84, 0xbe, 0x58, 0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
        assert_eq!(read(&mut decoder, &second)[3..], [":authority=www.example.com", "cache-control=no-cache"]);
        // Joined in the middle: the index is unknown, the rest is read.
        let mut late = Decoder::default();
        assert_eq!(read(&mut late, &second)[3..], ["?=?", "cache-control=no-cache"]);
    }
}
