//! Filters of searches as text (RFC 4515).

use super::super::mask::{Masker, Secret};
use super::message::Element;

/// Longest text, bytes.
const LIMIT: usize = 1024;
/// Filters inside filters.
const DEPTH: usize = 16;
/// What stands for a value that is masked, as in statements of SQL.
const MASK: &str = "?";

/// Writes filters.
struct Writer<'m> {
    text: String,
    hidden: u64,
    mask: &'m Masker,
}

/// The filter as text; values are masked, but for those that name a class of the schema.
pub(super) fn text(filter: &Element<'_>, mask: &mut Masker) -> Box<str> {
    let mut writer = Writer { text: String::new(), hidden: 0, mask };
    writer.filter(filter, 0);
    let Writer { text, hidden, .. } = writer;
    mask.hid(Secret::Literal, hidden);
    text.into_boxed_str()
}

impl Writer<'_> {
    fn filter(&mut self, filter: &Element<'_>, depth: usize) {
        if depth > DEPTH || self.text.len() > LIMIT {
            self.text.push('…');
            return;
        }
        self.text.push('(');
        match filter.tag {
            0xa0 => self.several('&', filter, depth),
            0xa1 => self.several('|', filter, depth),
            0xa2 => self.several('!', filter, depth),
            0xa3 => self.comparison(filter, "="),
            0xa4 => self.substrings(filter),
            0xa5 => self.comparison(filter, ">="),
            0xa6 => self.comparison(filter, "<="),
            0x87 => {
                self.escaped(filter.content);
                self.text.push_str("=*");
            }
            0xa8 => self.comparison(filter, "~="),
            0xa9 => self.extensible(filter),
            _ => self.text.push('…'),
        }
        self.text.push(')');
    }

    fn several(&mut self, sign: char, filter: &Element<'_>, depth: usize) {
        self.text.push(sign);
        for inner in Element::each(filter.content) {
            if self.text.len() > LIMIT {
                break;
            }
            self.filter(&inner, depth + 1);
        }
    }

    fn comparison(&mut self, filter: &Element<'_>, sign: &str) {
        let mut parts = Element::each(filter.content);
        let name = parts.next().map_or(&b""[..], |name| name.content);
        self.escaped(name);
        self.text.push_str(sign);
        if let Some(value) = parts.next() {
            self.value(name, value.content);
        }
    }

    fn substrings(&mut self, filter: &Element<'_>) {
        let mut parts = Element::each(filter.content);
        let name = parts.next().map_or(&b""[..], |name| name.content);
        self.escaped(name);
        self.text.push('=');
        let mut star = false;
        let parts = parts.next().map_or(&b""[..], |parts| parts.content);
        for part in Element::each(parts) {
            // First, any, last.
            if part.tag != 0x80 && !star {
                self.text.push('*');
            }
            self.value(name, part.content);
            star = part.tag != 0x82;
            if star {
                self.text.push('*');
            }
            if self.text.len() > LIMIT {
                break;
            }
        }
    }

    /// `name:dn:rule:=value`.
    fn extensible(&mut self, filter: &Element<'_>) {
        let part = |tag| Element::each(filter.content).find(|part| part.tag == tag).map(|part| part.content);
        let name = part(0x82).unwrap_or_default();
        self.escaped(name);
        if part(0x84).is_some_and(|dn| dn.first().is_some_and(|dn| *dn != 0)) {
            self.text.push_str(":dn");
        }
        if let Some(rule) = part(0x81) {
            self.text.push(':');
            self.escaped(rule);
        }
        self.text.push_str(":=");
        self.value(name, part(0x83).unwrap_or_default());
    }

    fn value(&mut self, name: &[u8], value: &[u8]) {
        let schema = [&b"objectClass"[..], b"objectCategory"].iter().any(|class| name.eq_ignore_ascii_case(class));
        if self.mask.shows() || schema {
            self.escaped(value);
        } else {
            self.text.push_str(MASK);
            self.hidden += 1;
        }
    }

    /// As section 3 says: `*`, parentheses, `\` and what cannot be read in hexadecimal digits.
    fn escaped(&mut self, bytes: &[u8]) {
        for chunk in bytes.get(..LIMIT).unwrap_or(bytes).utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '*' | '(' | ')' | '\\' => self.byte(character as u8),
                    character if character.is_ascii_control() => self.byte(character as u8),
                    character if character.is_control() => self.text.push('\u{fffd}'),
                    character => self.text.push(character),
                }
            }
            chunk.invalid().iter().for_each(|byte| self.byte(*byte));
        }
    }

    fn byte(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.text.push('\\');
        for digit in [byte >> 4, byte & 15] {
            self.text.push(DIGITS.get(usize::from(digit)).copied().map_or('0', char::from));
        }
    }
}
