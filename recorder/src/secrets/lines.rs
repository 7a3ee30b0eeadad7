//! Protocols of lines in which a client tells its password in a line of its own.

use super::{Kind, Marks, State};
use memchr::{memchr, memmem};

/// A payload that begins with a letter or a digit. Returns what the stream is in the middle of.
pub(super) fn line(p: &[u8], marks: &mut Marks) -> State {
    let end = memchr(b'\n', p.get(..600).unwrap_or(p)).unwrap_or(p.len());
    let line = p.get(..end).unwrap_or(p);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let starts = |word: &[u8]| line.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
    let mut secret = |from: usize| marks.add(Kind::Line, from..line.len());
    if starts(b"PASS ") {
        // POP3, FTP, IRC
        secret(5);
    } else if starts(b"AUTH ") {
        // SMTP and POP3: mechanism, then an initial response. Redis typed by hand: the password at once.
        secret(match memchr(b' ', line.get(5..).unwrap_or(&[])) {
            Some(space) => 5 + space + 1,
            None if is_mechanism(line.get(5..).unwrap_or(&[])) => return State::Login,
            None => 5,
        });
    } else if line.len() == 4 && starts(b"AUTH") && end == p.len() {
        // By hand, in several calls.
        return State::Login;
    } else if starts(b"CONNECT {") {
        // NATS
        for name in [&b"\"pass\""[..], b"\"auth_token\"", b"\"sig\"", b"\"jwt\""] {
            if let Some(at) = memmem::find(line, name) {
                marks.add(Kind::Line, string_after(line, at + name.len()));
            }
        }
    } else if let Some(space) = memchr(b' ', line.get(..16).unwrap_or(line)) {
        // IMAP: tag, then LOGIN user password, or AUTHENTICATE mechanism response.
        let rest = line.get(space + 1..).unwrap_or(&[]);
        let word = |word: &[u8]| rest.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
        let from = if word(b"LOGIN ") {
            memchr(b' ', rest.get(6..).unwrap_or(&[])).map(|at| 6 + at + 1)
        } else if word(b"AUTHENTICATE ") {
            memchr(b' ', rest.get(13..).unwrap_or(&[])).map(|at| 13 + at + 1)
        } else {
            None
        };
        if let Some(from) = from {
            secret(space + 1 + from);
        } else if word(b"AUTHENTICATE ") {
            return State::Login;
        }
    }
    State::Nothing
}

/// What comes after a login was begun: lines of base64 are answers to challenges, another one ends it. `None`: this is another one.
pub(super) fn answer(p: &[u8], marks: &mut Marks) -> Option<State> {
    let end = memchr(b'\n', p).unwrap_or(p.len());
    let line = p.get(..end).unwrap_or(p);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    if let [b' ', rest @ ..] = line {
        // The rest of a line that began with `AUTH`.
        marks.add(Kind::Line, 1..1 + rest.len());
        return Some(State::Nothing);
    }
    // `QUIT` would be base64, too.
    if line.len() < 4 || !line.iter().all(base64) || is_command(line) {
        return None;
    }
    marks.add(Kind::Line, 0..line.len());
    Some(State::Login)
}

fn is_command(line: &[u8]) -> bool {
    [&b"QUIT"[..], b"RSET", b"NOOP", b"DATA", b"EHLO", b"HELO", b"STARTTLS"]
        .iter()
        .any(|c| c.eq_ignore_ascii_case(line))
}

/// Where the JSON string is that belongs to the name which ends at `at`: libraries put spaces around the colon, or none.
fn string_after(line: &[u8], at: usize) -> std::ops::Range<usize> {
    let blank = |from: usize| line.get(from..).unwrap_or(&[]).iter().take_while(|b| **b == b' ').count();
    let colon = at + blank(at);
    let quote = colon + 1 + blank(colon + 1);
    if (line.get(colon), line.get(quote)) != (Some(&b':'), Some(&b'"')) {
        return 0..0;
    }
    let from = quote + 1;
    from..from + memchr(b'"', line.get(from..).unwrap_or(&[])).unwrap_or(line.len() - from)
}

fn is_mechanism(word: &[u8]) -> bool {
    [&b"PLAIN"[..], b"LOGIN", b"CRAM-MD5", b"DIGEST-MD5", b"XOAUTH2", b"GSSAPI", b"NTLM", b"EXTERNAL"]
        .iter()
        .any(|m| m.eq_ignore_ascii_case(word))
}
