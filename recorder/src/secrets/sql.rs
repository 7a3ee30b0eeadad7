//! Passwords in SQL: `CREATE ROLE ... PASSWORD 'secret'`, `... IDENTIFIED BY 'secret'`.

use super::{Kind, Marks};
use memchr::{memchr, memchr2};

/// Whether a payload is a statement of PostgreSQL (Query, Parse) or MySQL (COM_QUERY, COM_STMT_PREPARE), of which
/// MariaDB's server reads the header by itself.
pub(super) fn is_statement(p: &[u8]) -> bool {
    matches!(p, [b'Q' | b'P', 0, 0, ..] | [_, _, _, 0, 0x03 | 0x16, ..])
        || matches!(p, [0x03 | 0x16, first, ..] if first.is_ascii_alphabetic() || b" \t\n(/-#".contains(first))
}

/// Masks the literals behind such words.
pub(super) fn statement(p: &[u8], marks: &mut Marks) {
    for place in passwords(p) {
        marks.add(Kind::Sql, place);
    }
}

/// Where a literal ends that begins at `from`: two quotes stand for one in it.
fn literal_end(text: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while let Some(found) = memchr(quote, text.get(at..).unwrap_or(&[])) {
        if text.get(at + found + 1) != Some(&quote) {
            return at + found;
        }
        at += found + 2;
    }
    text.len()
}

/// Where the passwords in a text of SQL are.
pub fn passwords(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    // All that has been looked at.
    let mut at = 0;
    while let Some(quote) = memchr2(b'\'', b'"', text.get(at..).unwrap_or(&[])) {
        let start = at + quote + 1;
        let end = literal_end(text, start, text.get(start - 1).copied().unwrap_or(b'\''));
        if is_password(text.get(..start - 1).unwrap_or(&[])) {
            found.push(start..end);
        }
        at = end + 1;
    }
    found
}

/// Whether a literal behind these words is a password: `PASSWORD`, `password(`, `master_password =`, `IDENTIFIED BY`,
/// `IDENTIFIED WITH plugin BY`, `SET PASSWORD FOR somebody =`.
fn is_password(before: &[u8]) -> bool {
    /// The name of a plugin or of a user with its host is not longer.
    const NEAR: usize = 160;
    let before = before.trim_ascii_end();
    let near = before.get(before.len().saturating_sub(NEAR)..).unwrap_or(before);
    let has = |words: &[u8]| near.windows(words.len()).any(|w| w.eq_ignore_ascii_case(words));
    match before {
        [rest @ .., b'(' | b'='] if ends_in(rest.trim_ascii_end(), b"password") => true,
        [.., b'='] => has(b"set password"),
        _ if ends_in(before, b" by") || ends_in(before, b" using") || ends_in(before, b" as") => has(b"identified "),
        _ => ends_in(before, b"password"),
    }
}

fn ends_in(text: &[u8], word: &[u8]) -> bool {
    text.len() >= word.len() && text.get(text.len() - word.len()..).is_some_and(|w| w.eq_ignore_ascii_case(word))
}
