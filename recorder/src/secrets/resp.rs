//! Redis' protocol (RESP2 and RESP3): commands are arrays of strings with their lengths.

use super::{Kind, Marks};
use memchr::memchr;
use std::ops::Range;

/// Arguments of one command that are looked at.
const ARGUMENTS: usize = 64;

/// All commands of a payload.
pub(super) fn commands(p: &[u8], marks: &mut Marks) {
    let mut at = 0;
    while p.get(at) == Some(&b'*') {
        let Some((count, after)) = number(p, at + 1) else { return };
        at = after;
        let mut words = Words { words: [(0, 0); ARGUMENTS], len: 0 };
        for _ in 0..count {
            if p.get(at) != Some(&b'$') {
                break;
            }
            let Some((len, start)) = number(p, at + 1) else { break };
            // What lies beyond what was kept is secret too, if it is: its kept part is masked.
            words.push(start..start.saturating_add(len).min(p.len()));
            at = start.saturating_add(len).saturating_add(2);
        }
        command(p, &words, marks);
        if at >= p.len() {
            return;
        }
    }
}

struct Words {
    words: [(usize, usize); ARGUMENTS],
    len: usize,
}

impl Words {
    fn push(&mut self, place: Range<usize>) {
        if let Some(word) = self.words.get_mut(self.len) {
            *word = (place.start, place.end);
            self.len += 1;
        }
    }

    fn get(&self, n: usize) -> Option<Range<usize>> {
        (n < self.len).then(|| self.words.get(n).map(|(from, to)| *from..*to))?
    }

    fn is(&self, p: &[u8], n: usize, word: &[u8]) -> bool {
        self.get(n).and_then(|place| p.get(place)).is_some_and(|w| w.eq_ignore_ascii_case(word))
    }
}

fn command(p: &[u8], words: &Words, marks: &mut Marks) {
    let mut secret = |n: usize| {
        if let Some(place) = words.get(n).filter(|_| n > 0) {
            marks.add(Kind::Redis, place);
        }
    };
    let first = words.get(0).and_then(|place| p.get(place)).unwrap_or(&[]);
    match first.len() {
        // AUTH password, AUTH user password
        4 if first.eq_ignore_ascii_case(b"AUTH") => secret(words.len.saturating_sub(1)),
        // HELLO 3 AUTH user password
        5 if first.eq_ignore_ascii_case(b"HELLO") => {
            (1..words.len).filter(|n| words.is(p, *n, b"AUTH")).for_each(|n| secret(n + 2));
        }
        6 if first.eq_ignore_ascii_case(b"CONFIG") && words.is(p, 1, b"SET") => {
            let named = |n: usize| {
                [&b"requirepass"[..], b"masterauth", b"tls-key-file-pass", b"tls-client-key-file-pass"]
                    .iter()
                    .any(|w| words.is(p, n, w))
            };
            (2..words.len).step_by(2).filter(|n| named(*n)).for_each(|n| secret(n + 1));
        }
        // ACL SETUSER name rule ...: rules that begin with > or # are passwords.
        3 if first.eq_ignore_ascii_case(b"ACL") && words.is(p, 1, b"SETUSER") => {
            let rule = |n: &usize| words.get(*n).and_then(|place| p.get(place.start).copied());
            (3..words.len).filter(|n| matches!(rule(n), Some(b'>' | b'#' | b'<' | b'!'))).for_each(secret);
        }
        // MIGRATE ... AUTH password, AUTH2 user password
        7 if first.eq_ignore_ascii_case(b"MIGRATE") => {
            (1..words.len).filter(|n| words.is(p, *n, b"AUTH")).for_each(|n| secret(n + 1));
            (1..words.len).filter(|n| words.is(p, *n, b"AUTH2")).for_each(|n| secret(n + 2));
        }
        _ => {}
    }
}

/// A decimal number that ends with CR LF: its value, and where it goes on.
fn number(p: &[u8], at: usize) -> Option<(usize, usize)> {
    let digits = p.get(at..)?;
    let end = memchr(b'\r', digits.get(..12).unwrap_or(digits))?;
    let value = std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()?;
    Some((value, at + end + 2))
}
