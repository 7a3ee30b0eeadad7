//! MySQL's and MariaDB's protocol: the client's first packet answers the server's challenge, those after it may hold
//! the password itself ("Protocol::HandshakeResponse41" of MySQL's internals manual).

use super::{Kind, Marks, State};
use memchr::memchr;

const HEADER: usize = 4;
/// Flags, longest packet, character set, 23 bytes of filling (of which MariaDB uses the last four).
const FIXED: usize = 32;
const PROTOCOL_41: u32 = 0x200;
const SECURE_CONNECTION: u32 = 0x8000;
const AUTH_LENENC: u32 = 0x20_0000;
const CHANGE_USER: u8 = 0x11;

/// Whether this is the client's first packet.
fn is_first(p: &[u8]) -> bool {
    let Some([a, b, 0, 1 | 2]) = p.first_chunk::<HEADER>() else { return false };
    let len = usize::from(*a) | usize::from(*b) << 8;
    len + HEADER >= p.len() && is_response(p.get(HEADER..).unwrap_or(&[]))
}

/// The length that the header of a client's first packet tells: some servers read it by itself. The content alone looks
/// like many a thing.
pub(super) fn head(p: &[u8], total: usize) -> Option<u16> {
    let [a, b, 0, 1 | 2] = p else { return None };
    let len = u16::from_le_bytes([*a, *b]);
    (total == HEADER && usize::from(len) > FIXED).then_some(len)
}

/// Whether the content of a packet is that of a client's first one.
pub(super) fn is_response(c: &[u8]) -> bool {
    let flags = c.first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
    let Some(name) = c.get(FIXED..) else { return false };
    // 19 zeroes after the character set; then a name, or none.
    flags & PROTOCOL_41 != 0
        && c.get(9..28).is_some_and(|zeroes| zeroes.iter().all(|b| *b == 0))
        && c.get(8).is_some_and(|charset| *charset != 0)
        && memchr(0, name.get(..97).unwrap_or(name)).is_some_and(|end| name.get(..end).is_some_and(is_name))
}

fn is_name(name: &[u8]) -> bool {
    name.iter().all(|b| *b >= b' ' && *b != 0x7f)
}

/// Whether this is a client's first packet, or a change of user.
pub(super) fn is_login(p: &[u8]) -> bool {
    is_first(p) || is_change(p)
}

fn is_change(p: &[u8]) -> bool {
    let Some([a, b, c, 0, CHANGE_USER]) = p.first_chunk::<5>() else { return false };
    let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
    len + HEADER == p.len() && len > 8 && memchr(0, p.get(5..102).unwrap_or(p.get(5..).unwrap_or(&[]))).is_some()
}

/// Masks the answer to the challenge, in a packet or in the content of one whose header was read by itself.
pub(super) fn login(p: &[u8], marks: &mut Marks) -> State {
    let flags_at = |at: usize| p.get(at..).and_then(|c| c.first_chunk::<4>()).map_or(0, |b| u32::from_le_bytes(*b));
    let (flags, name_at) = if is_first(p) {
        (flags_at(HEADER), HEADER + FIXED)
    } else if is_change(p) {
        (SECURE_CONNECTION, HEADER + 1)
    } else {
        // The header was read before.
        (flags_at(0), FIXED)
    };
    let Some(end) = memchr(0, p.get(name_at..).unwrap_or(&[])) else { return State::Nothing };
    let at = name_at + end + 1;
    let rest = p.get(at..).unwrap_or(&[]);
    let (skip, len) = match (flags & AUTH_LENENC != 0, flags & SECURE_CONNECTION != 0, rest) {
        (true, _, [0xfc, low, high, ..]) => (3, usize::from(*low) | usize::from(*high) << 8),
        (true, _, [len, ..]) | (false, true, [len, ..]) => (1, usize::from(*len)),
        _ => (0, memchr(0, rest).unwrap_or(rest.len())),
    };
    marks.add(Kind::Mysql, (at + skip).min(p.len())..(at + skip + len).min(p.len()));
    State::Mysql
}

/// What the client sends until its first command: answers to further challenges, or the password.
pub(super) fn rest(p: &[u8], marks: &mut Marks) -> State {
    match p {
        // Header of a command: the login is over.
        [_, _, _, 0, ..] => State::Nothing,
        // Header only.
        [_, _, _, sequence, ..] if p.len() == HEADER && *sequence < 16 => State::Mysql,
        [a, b, 0, sequence, ..] if *sequence < 16 && usize::from(*a) + usize::from(*b) * 256 + HEADER >= p.len() => {
            marks.add(Kind::Mysql, HEADER..p.len());
            State::Mysql
        }
        _ => {
            marks.add(Kind::Mysql, 0..p.len());
            State::Mysql
        }
    }
}
