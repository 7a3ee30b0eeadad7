//! Names in messages: decompressed safely, hashed, written (RFC 1035 section 4.1.4).

use super::super::cursor::Cursor;
use std::fmt::Write as _;

/// Longest name as its labels' bytes (RFC 1035 section 2.3.4), compression pointers followed.
const NAME_LIMIT: usize = 255;

/// Mixes a label or a number into a hash that is the same in every run. Bit 5, which is the case of letters, is left out.
pub(super) fn mix(mut hash: u64, bytes: &[u8]) -> u64 {
    const CASE: u64 = 0x2020_2020_2020_2020;
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ (u64::from_le_bytes(*word) | CASE)).wrapping_mul(FACTOR).rotate_left(29);
    }
    let tail = rest.iter().fold(rest.len() as u64, |tail, byte| tail << 8 | u64::from(byte | 0x20));
    (hash ^ tail).wrapping_mul(FACTOR).rotate_left(29)
}

/// Passes over a name.
pub(super) fn skip_name(cursor: &mut Cursor<'_>) -> Option<()> {
    for _ in 0..NAME_LIMIT {
        let at = cursor.position();
        let length = cursor.u8()?;
        match length >> 6 {
            0 if length == 0 => return Some(()),
            0 => {
                cursor.take(usize::from(length))?;
            }
            3 => {
                let target = usize::from(length & 0x3f) << 8 | usize::from(cursor.u8()?);
                return (target < at).then_some(());
            }
            _ => return None,
        }
    }
    None
}

/// The labels of a name, pointers followed: each must point further back than the one before, so it ends.
fn labels<'a>(bytes: &'a [u8], cursor: &mut Cursor<'a>, mut each: impl FnMut(&'a [u8])) -> Option<()> {
    let mut away: Option<Cursor<'a>> = None;
    let mut limit = bytes.len();
    let mut wire = 0;
    for _ in 0..NAME_LIMIT {
        let at = match &mut away {
            Some(away) => away,
            None => &mut *cursor,
        };
        let length = at.u8()?;
        match length >> 6 {
            0 if length == 0 => return Some(()),
            0 => {
                let label = at.take(usize::from(length))?;
                wire += label.len() + 1;
                if wire > NAME_LIMIT {
                    return None;
                }
                each(label);
            }
            3 => {
                let low = at.u8()?;
                let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                if target >= limit {
                    return None;
                }
                limit = target;
                away = Some(Cursor::new(bytes.get(target..)?));
            }
            _ => return None,
        }
    }
    None
}

/// Length of a name that is written out, without pointers, if these bytes start with one.
fn plain_name(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(length @ 1..=63) = bytes.get(at).copied() {
        at += usize::from(length) + 1;
    }
    (bytes.get(at) == Some(&0) && at < NAME_LIMIT).then_some(at)
}

/// A name's hash; it is passed over.
pub(super) fn hash_name<'a>(bytes: &'a [u8], cursor: &mut Cursor<'a>) -> Option<u64> {
    const SEED: u64 = 0xcbf2_9ce4_8422_2325;
    if let Some(length) = plain_name(cursor.rest()) {
        let name = cursor.take(length)?;
        cursor.take(1)?;
        return Some(mix(SEED, name));
    }
    let mut wire = Vec::with_capacity(64);
    labels(bytes, cursor, |label| {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    })?;
    Some(mix(SEED, &wire))
}

/// Whether a byte of a label stands for itself.
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'.' | b'\\')
}

/// A name in presentation form (RFC 1035 section 5.1).
pub(super) fn read_name<'a>(bytes: &'a [u8], cursor: &mut Cursor<'a>) -> Option<String> {
    if let Some(length) = plain_name(cursor.rest()) {
        let wire = cursor.rest().get(..length)?;
        // All of it is copied, and the lengths between labels become dots.
        let mut name = wire.get(1..).unwrap_or_default().to_vec();
        let (mut at, mut plain) = (0, true);
        while let Some(length) = wire.get(at) {
            let end = at + usize::from(*length) + 1;
            plain &= wire.get(at + 1..end).unwrap_or_default().iter().fold(true, |all, byte| all & is_plain(*byte));
            if let Some(dot) = name.get_mut(end.wrapping_sub(1)) {
                *dot = b'.';
            }
            at = end;
        }
        if plain && let Ok(name) = String::from_utf8(name) {
            cursor.take(length + 1)?;
            return Some(name);
        }
    }
    let mut name = String::with_capacity(32);
    labels(bytes, cursor, |label| {
        if !name.is_empty() {
            name.push('.');
        }
        if label.iter().fold(true, |all, byte| all & is_plain(*byte))
            && let Ok(text) = std::str::from_utf8(label)
        {
            name.push_str(text);
            return;
        }
        for byte in label {
            match byte {
                b'.' | b'\\' => {
                    name.push('\\');
                    name.push(char::from(*byte));
                }
                0x21..=0x7e => name.push(char::from(*byte)),
                _ => {
                    let _ = write!(name, "\\{byte:03}");
                }
            }
        }
    })?;
    Some(name)
}

/// A name of NetBIOS as people know it, if these bytes start with one: 16 characters, each as two letters (RFC 1001 section 14.1).
pub(super) fn netbios_name(letters: &[u8]) -> Option<Box<str>> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    const UNKNOWN: &str = "\u{fffd}";
    let letters: &[u8; 32] = letters.first_chunk()?;
    let mut bytes = [0_u8; 16];
    let mut possible = true;
    for (byte, [high, low]) in bytes.iter_mut().zip(letters.as_chunks::<2>().0) {
        possible &= (b'A'..=b'P').contains(high) & (b'A'..=b'P').contains(low);
        *byte = high.wrapping_sub(b'A') << 4 | low.wrapping_sub(b'A') & 0xf;
    }
    // The last one says what kind of service it is.
    let (kind, characters) = bytes.split_last().filter(|_| possible)?;
    let tail = [b'<', HEX[usize::from(kind >> 4)], HEX[usize::from(kind & 0xf)], b'>'];
    if characters.iter().fold(true, |all, byte| all & matches!(byte, 0x20..=0x7e)) {
        let length = characters.trim_ascii_end().len();
        let mut plain = [0; 19];
        plain.get_mut(..length)?.copy_from_slice(characters.get(..length)?);
        plain.get_mut(length..length + 4)?.copy_from_slice(&tail);
        return std::str::from_utf8(plain.get(..length + 4)?).ok().map(Into::into);
    }
    let mut plain = String::with_capacity(52);
    for byte in characters {
        match byte {
            0x20..=0x7e => plain.push(char::from(*byte)),
            0 => {}
            _ => plain.push_str(UNKNOWN),
        }
    }
    plain.truncate(plain.as_bytes().trim_ascii_end().len());
    plain.extend(tail.map(char::from));
    Some(plain.into())
}
