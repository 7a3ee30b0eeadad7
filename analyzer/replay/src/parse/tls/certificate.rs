//! As much of DER and X.509 (RFC 5280) as it takes to name a certificate.

use super::super::cursor::Cursor;
use super::super::text::clean_to;

/// Whose certificate, by whom, until when.
#[derive(Debug, Default)]
pub(in crate::parse) struct Certificate {
    /// `CN=..., O=...`.
    pub(super) subject: String,
    /// The same.
    pub(super) issuer: String,
    /// `2027-01-31T12:00:00Z`.
    pub(super) not_after: String,
}

/// An element: its tag and contents. Contents may be cut.
fn element<'a>(cursor: &mut Cursor<'a>) -> Option<(u8, &'a [u8])> {
    let tag = cursor.u8()?;
    let length = match cursor.u8()? {
        0x81 => usize::from(cursor.u8()?),
        0x82 => usize::from(cursor.u16()?),
        0x83 => cursor.u24()? as usize,
        short @ 0..=0x7f => usize::from(short),
        _ => return None,
    };
    Some((tag, cursor.up_to(length)))
}

/// The first certificate of a Certificate message up to TLS 1.2: the server's own.
pub(in crate::parse) fn first(message: &[u8]) -> Option<Certificate> {
    let mut cursor = Cursor::new(message);
    cursor.u24()?;
    let length = cursor.u24()? as usize;
    let (0x30, certificate) = element(&mut Cursor::new(cursor.up_to(length)))? else {
        return None;
    };
    let (0x30, body) = element(&mut Cursor::new(certificate))? else {
        return None;
    };
    let mut body = Cursor::new(body);
    let (mut tag, _) = element(&mut body)?;
    if tag == 0xa0 {
        (tag, _) = element(&mut body)?;
    }
    if tag != 0x02 {
        return None;
    }
    let (_, _algorithm) = element(&mut body)?;
    let (_, issuer) = element(&mut body)?;
    let (_, validity) = element(&mut body)?;
    let (_, subject) = element(&mut body)?;
    let mut validity = Cursor::new(validity);
    element(&mut validity)?;
    let (kind, time) = element(&mut validity)?;
    Some(Certificate { subject: name(subject), issuer: name(issuer), not_after: self::time(kind, time) })
}

/// A distinguished name, the usual parts of it.
fn name(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut sets = Cursor::new(bytes);
    while let Some((_, set)) = element(&mut sets) {
        let read = || {
            let (_, pair) = element(&mut Cursor::new(set))?;
            let mut pair = Cursor::new(pair);
            let (_, kind) = element(&mut pair)?;
            let (_, value) = element(&mut pair)?;
            // 2.5.4.x, X.520 attribute types.
            let short = match kind {
                [0x55, 4, 3] => "CN",
                [0x55, 4, 6] => "C",
                [0x55, 4, 7] => "L",
                [0x55, 4, 8] => "ST",
                [0x55, 4, 10] => "O",
                [0x55, 4, 11] => "OU",
                // 1.2.840.113549.1.9.1 (RFC 2985 section 5.2.1).
                [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
                _ => return None,
            };
            Some((short, clean_to(value, 128)))
        };
        if let Some((short, value)) = read()
            && text.len() < 512
        {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(short);
            text.push('=');
            text.push_str(&value);
        }
    }
    text
}

/// UTCTime (23) or GeneralizedTime (24) in the usual form.
fn time(kind: u8, bytes: &[u8]) -> String {
    let text = clean_to(bytes, 20);
    let (year, rest) = match kind {
        0x17 => match text.split_at_checked(2) {
            Some((year, rest)) if year < "50" => (format!("20{year}"), rest),
            Some((year, rest)) => (format!("19{year}"), rest),
            None => return String::new(),
        },
        _ => match text.split_at_checked(4) {
            Some((year, rest)) => (year.to_owned(), rest),
            None => return String::new(),
        },
    };
    match (rest.get(..2), rest.get(2..4), rest.get(4..6), rest.get(6..8), rest.get(8..10)) {
        (Some(month), Some(day), Some(hour), Some(minute), Some(second)) => {
            format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")
        }
        _ => String::new(),
    }
}
