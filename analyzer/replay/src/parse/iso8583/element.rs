//! Data elements: how long each is.

use super::super::cursor::Cursor;

/// How an element's length is told, in characters or digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    /// Digits, so many.
    Digits(usize),
    /// Characters, so many.
    Text(usize),
    /// A sign and digits.
    Signed(usize),
    /// Eight bytes.
    Binary,
    /// Digits, how many in two digits before them.
    Digits2,
    /// Digits, how many in three digits before them.
    Digits3,
    /// Characters, how many in two digits before them.
    Text2,
    /// Characters, how many in three digits before them.
    Text3,
}

fn length(number: u8) -> Length {
    use Length::{Binary, Digits, Digits2, Digits3, Signed, Text, Text2, Text3};
    match number {
        2 | 32..=35 | 99 | 100 => Digits2,
        36 => Digits3,
        3 | 11 | 12 | 73 => Digits(6),
        4..=6 | 82..=85 => Digits(12),
        7 | 74..=81 => Digits(10),
        8..=10 => Digits(8),
        13..=18 | 71 | 72 => Digits(4),
        19..=24 | 68..=70 => Digits(3),
        25 | 26 | 67 => Digits(2),
        27 | 66 => Digits(1),
        28..=31 => Signed(8),
        97 => Signed(16),
        53 | 86..=89 => Digits(16),
        90 => Digits(42),
        37 => Text(12),
        38 => Text(6),
        39 | 92 => Text(2),
        40 | 49..=51 => Text(3),
        41 => Text(8),
        42 => Text(15),
        43 => Text(40),
        91 => Text(1),
        93 => Text(5),
        94 => Text(7),
        95 => Text(42),
        98 => Text(25),
        52 | 64 | 65 | 96 | 128 => Binary,
        44 | 45 | 101..=103 => Text2,
        _ => Text3,
    }
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As characters; binary elements as they are.
    Ascii,
    /// As characters; bit maps and binary elements as hexadecimal digits.
    Hexadecimal,
    /// Two digits a byte.
    Packed,
}

/// An element's content: characters, or packed digits.
pub(super) fn take<'a>(cursor: &mut Cursor<'a>, number: u8, form: Form) -> Option<&'a [u8]> {
    let packed = form == Form::Packed;
    let digits = |count: usize| if packed { count.div_ceil(2) } else { count };
    let len = match length(number) {
        Length::Digits(count) => digits(count),
        Length::Text(count) => count,
        Length::Signed(count) => 1 + digits(count),
        Length::Binary => {
            if form == Form::Hexadecimal {
                16
            } else {
                8
            }
        }
        Length::Digits2 => digits(count(cursor, 2, packed)?),
        Length::Digits3 => digits(count(cursor, 3, packed)?),
        Length::Text2 => count(cursor, 2, packed)?,
        Length::Text3 => count(cursor, 3, packed)?,
    };
    let content = cursor.take(len)?;
    let is_number = matches!(length(number), Length::Digits(_)) && !packed;
    // Digits are digits: others' bytes are told by that.
    let sound = match length(number) {
        _ if is_number => content.iter().all(u8::is_ascii_digit),
        Length::Text(_) => content.iter().all(|byte| *byte >= 0x20),
        Length::Digits(_) => content.iter().all(|byte| byte >> 4 < 10 && byte & 15 < 10),
        _ => true,
    };
    sound.then_some(content)
}

/// How many, in so many digits.
fn count(cursor: &mut Cursor<'_>, digits: usize, packed: bool) -> Option<usize> {
    let bytes = cursor.take(if packed { digits.div_ceil(2) } else { digits })?;
    let digit = |number: usize, digit: u8| (digit < 10).then(|| number * 10 + usize::from(digit));
    bytes.iter().try_fold(0, |number, byte| {
        if packed { digit(digit(number, byte >> 4)?, byte & 15) } else { digit(number, byte.wrapping_sub(b'0')) }
    })
}

/// Packed digits as characters.
pub(super) fn unpacked(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| if digit < 10 { b'0' + digit } else { b'=' })
        .collect()
}
