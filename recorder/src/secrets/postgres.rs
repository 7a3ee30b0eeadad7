//! PostgreSQL's protocol 3.0: `p` messages hold passwords, their MD5 digests, or SASL's proofs.

use super::{Kind, Marks};
use memchr::memchr;

/// Whether the first bytes of `total` are such a message: the client waits for an answer to it, so it is all there is.
pub(super) fn is_login(p: &[u8], total: usize) -> bool {
    let len = p.get(1..5).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes) as usize;
    len >= 5 && (len + 1 == total || (total == usize::MAX && len + 1 >= p.len() && len < 64 << 10))
}

/// Masks it.
pub(super) fn login(p: &[u8], marks: &mut Marks) {
    let data = p.get(5..).unwrap_or(&[]);
    // SASLInitialResponse names its mechanism first: SCRAM-SHA-256.
    let mechanism = match memchr(0, data) {
        Some(end) if data.starts_with(b"SCRAM-SHA-") && end < 24 => end + 1,
        _ => 0,
    };
    marks.add(Kind::Postgres, 5 + mechanism..p.len());
}
