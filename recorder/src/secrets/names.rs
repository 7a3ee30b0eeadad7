//! Names that say that a value is a secret.

/// Longest name that is looked at.
const LONGEST: usize = 96;
/// Parts of names, lower case, without what is no letter or digit.
const PARTS: [&[u8]; 18] = [
    b"password",
    b"passwd",
    b"passphrase",
    b"secret",
    b"token",
    b"apikey",
    b"accesskey",
    b"privatekey",
    b"credential",
    b"authkey",
    b"sessionkey",
    b"encryptionkey",
    b"signingkey",
    b"requirepass",
    b"masterauth",
    b"pwd",
    b"signature",
    b"jwt",
];
/// Whole names.
const WHOLE: [&[u8]; 8] = [b"pass", b"pw", b"auth", b"sig", b"sid", b"otp", b"pin", b"sessionid"];
/// Names that hold such a part, but no secret: files, switches, counts.
const HARMLESS_ENDINGS: [&[u8]; 14] = [
    b"file",
    b"path",
    b"dir",
    b"uri",
    b"url",
    b"length",
    b"count",
    b"timeout",
    b"ttl",
    b"type",
    b"store",
    b"tokens",
    b"expires",
    b"expiresin",
];

/// Whether the value under this name is a secret: `password`, `PGPASSWORD`, `x-api-key`, `accessToken`.
#[must_use]
pub fn is_secret(name: &[u8]) -> bool {
    if name.len() < 2 || name.len() > LONGEST {
        return false;
    }
    let mut plain = [0u8; LONGEST];
    let mut len = 0;
    for byte in name.iter().filter(|b| b.is_ascii_alphanumeric()) {
        if let Some(place) = plain.get_mut(len) {
            *place = byte.to_ascii_lowercase();
            len += 1;
        }
    }
    let plain = plain.get(..len).unwrap_or(&[]);
    let named = WHOLE.contains(&plain) || contains_part(plain) || ends_with_pass(name);
    named && !HARMLESS_ENDINGS.iter().any(|end| plain.ends_with(end))
}

/// `DB_PASS`, `--smtp-pass`; not `bypass`.
fn ends_with_pass(name: &[u8]) -> bool {
    let Some((before, end)) = name.split_last_chunk::<4>() else { return false };
    end.eq_ignore_ascii_case(b"pass") && matches!(before.last(), Some(b'_' | b'-' | b'.'))
}

fn contains_part(plain: &[u8]) -> bool {
    (0..plain.len()).any(|at| {
        let rest = plain.get(at..).unwrap_or(&[]);
        // Most letters begin none of them.
        matches!(rest.first(), Some(b'p' | b's' | b't' | b'a' | b'c' | b'e' | b'r' | b'm' | b'j'))
            && PARTS.iter().any(|part| rest.starts_with(part))
    })
}
