//! BSON documents as text, values masked or not, bounded in depth and length (<https://bsonspec.org>).

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use std::fmt::Write as _;

const DEPTH_LIMIT: u32 = 16;
const TEXT_LIMIT: usize = 2048;
const ELEMENT_LIMIT: usize = 512;

/// A value of interest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(&'a [u8]),
    Number(f64),
    Document(&'a [u8]),
    Other,
}

/// One element: type, name, value's bytes.
fn element<'a>(cursor: &mut Cursor<'a>) -> Option<(u8, &'a [u8], Value<'a>)> {
    let kind = cursor.u8().filter(|kind| *kind != 0)?;
    let name = cursor.c_string()?;
    let value = match kind {
        0x01 => Value::Number(f64::from_bits(cursor.u64_le()?)),
        0x02 | 0x0d | 0x0e => {
            let length = cursor.u32_le()? as usize;
            let text = cursor.up_to(length);
            Value::Text(text.strip_suffix(&[0]).unwrap_or(text))
        }
        0x03 | 0x04 | 0x0f => {
            let start = cursor.rest();
            let length = cursor.u32_le()? as usize;
            cursor.up_to(length.checked_sub(4)?);
            Value::Document(start.get(..length).unwrap_or(start))
        }
        0x05 => {
            let length = cursor.u32_le()? as usize;
            cursor.take(1)?;
            cursor.up_to(length);
            Value::Other
        }
        0x07 => {
            cursor.take(12)?;
            Value::Other
        }
        0x08 => Value::Number(f64::from(cursor.u8()?)),
        #[expect(clippy::cast_precision_loss, reason = "for text and small codes")]
        0x12 => Value::Number(cursor.u64_le()?.cast_signed() as f64),
        0x09 | 0x11 => {
            cursor.take(8)?;
            Value::Other
        }
        0x0b => {
            cursor.c_string()?;
            cursor.c_string()?;
            Value::Other
        }
        0x10 => Value::Number(f64::from(cursor.u32_le()?.cast_signed())),
        0x13 => {
            cursor.take(16)?;
            Value::Other
        }
        0x06 | 0x0a | 0xff | 0x7f => Value::Other,
        _ => return None,
    };
    Some((kind, name, value))
}

/// The elements of a document, in order, as far as it goes.
pub(super) fn elements(document: &[u8]) -> impl Iterator<Item = (&[u8], Value<'_>)> {
    let mut cursor = Cursor::new(document);
    let _length = cursor.u32_le();
    std::iter::from_fn(move || element(&mut cursor).map(|(_, name, value)| (name, value))).take(ELEMENT_LIMIT)
}

/// The value of that name.
pub(super) fn get<'a>(document: &'a [u8], name: &[u8]) -> Option<Value<'a>> {
    elements(document).find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// JSON-like text; `hide` replaces values by `?`, but for the first one (a command's collection) and `$db`.
pub(super) fn text(document: &[u8], hide: bool) -> (String, u64) {
    let mut text = String::new();
    let mut hidden = 0;
    write_document(document, hide, 0, &mut text, &mut hidden);
    (text, hidden)
}

fn write_document(document: &[u8], hide: bool, depth: u32, text: &mut String, hidden: &mut u64) {
    text.push('{');
    for (place, (name, value)) in elements(document).enumerate() {
        if text.len() > TEXT_LIMIT {
            text.push_str("...");
            break;
        }
        if place > 0 {
            text.push_str(", ");
        }
        let _ = write!(text, "\"{}\": ", clean_to(name, 128));
        let open = !hide || (depth == 0 && (place == 0 || name == b"$db"));
        match value {
            Value::Document(inner) if depth < DEPTH_LIMIT => write_document(inner, hide, depth + 1, text, hidden),
            Value::Text(value) if open => {
                let _ = write!(text, "\"{}\"", clean_to(value, 512));
            }
            Value::Number(value) if open => {
                let _ = write!(text, "{value}");
            }
            Value::Other if open => text.push_str("..."),
            _ => {
                *hidden += 1;
                text.push('?');
            }
        }
    }
    text.push('}');
}
