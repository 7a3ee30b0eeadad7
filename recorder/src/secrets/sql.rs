//! Passwords in SQL: `CREATE ROLE ... PASSWORD 'secret'`, `... IDENTIFIED BY 'secret'`.

use super::{Kind, Marks};
use memchr::memchr;

/// Whether a payload is a statement of PostgreSQL (Query, Parse) or MySQL (COM_QUERY, COM_STMT_PREPARE).
pub(super) fn is_statement(p: &[u8]) -> bool {
    matches!(p, [b'Q' | b'P', 0, 0, ..] | [_, _, _, 0, 0x03 | 0x16, ..])
}

/// Masks the literals behind such words.
pub(super) fn statement(p: &[u8], marks: &mut Marks) {
    for place in passwords(p) {
        marks.add(Kind::Sql, place);
    }
}

/// Where a literal ends that begins at `from`: two quotes stand for one in it.
fn literal_end(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(quote) = memchr(b'\'', text.get(at..).unwrap_or(&[])) {
        if text.get(at + quote + 1) != Some(&b'\'') {
            return at + quote;
        }
        at += quote + 2;
    }
    text.len()
}

/// Where the passwords in a text of SQL are.
pub fn passwords(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(quote) = memchr(b'\'', text.get(at..).unwrap_or(&[])) {
        let start = at + quote + 1;
        let end = literal_end(text, start);
        let before = text.get(..start - 1).unwrap_or(&[]).trim_ascii_end();
        let after = |word: &[u8]| {
            before.len() >= word.len()
                && before.get(before.len() - word.len()..).is_some_and(|w| w.eq_ignore_ascii_case(word))
        };
        if after(b"password") || after(b"password(") || after(b"password =") || after(b"identified by") {
            found.push(start..end);
        }
        at = end + 1;
    }
    found
}
