//! Records as rows tell them: `TYPE=data TTL=seconds`, types and codes by their names (IANA, Domain Name System Parameters).

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use super::name::read_name;
use std::borrow::Cow;
use std::fmt::Write as _;

/// Longest text of the answers.
pub(super) const RESULT_LIMIT: usize = 1024;

/// Bytes that the text of an address takes at most, with what stands between two: `NB=255.255.255.255 TTL=4294967295; `.
pub(super) const ADDRESS: usize = 36;

/// Adds `TYPE=data TTL=seconds`, data in presentation form for the types people look for. The record's data stand at `at` of the message
/// `bytes`.
pub(super) fn write_record(bytes: &[u8], at: usize, data: &[u8], kind: u16, ttl: u32, text: &mut Vec<u8>) {
    // NetBIOS says with an empty one that there is nothing (RFC 1002 section 4.2.14).
    if text.len() > RESULT_LIMIT || data.is_empty() && matches!(kind, 10 | 32 | 33) {
        return;
    }
    if !text.is_empty() {
        text.extend_from_slice(b"; ");
    }
    let mut line = Line::default();
    // Most records are addresses: one step for all of it. NetBIOS has flags before them.
    let address = match (kind, data) {
        (1, [a, b, c, d]) => Some((&b"A="[..], [*a, *b, *c, *d])),
        (32, [_, _, a, b, c, d]) => Some((&b"NB="[..], [*a, *b, *c, *d])),
        _ => None,
    };
    if let Some((name, [a, b, c, d])) = address {
        line.bytes(name);
        line.octet(a);
        for octet in [b, c, d] {
            line.byte(b'.');
            line.octet(octet);
        }
    } else {
        text.extend_from_slice(type_name(kind).as_bytes());
        text.push(b'=');
        let mut written = String::new();
        if write_data(bytes, at, data, kind, &mut written).is_none() {
            written.clear();
            let _ = write!(written, "{} bytes", data.len());
        }
        text.extend_from_slice(written.as_bytes());
    }
    line.bytes(b" TTL=");
    line.number(ttl);
    text.extend_from_slice(line.written());
}

/// A short line of digits and signs, put together where it costs least.
struct Line {
    bytes: [u8; ADDRESS],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; ADDRESS], len: 0 }
    }
}

impl Line {
    #[inline]
    fn bytes(&mut self, more: &[u8]) {
        for byte in more {
            self.byte(*byte);
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    #[inline]
    fn octet(&mut self, n: u8) {
        if n >= 100 {
            self.byte(b'0' + n / 100);
        }
        if n >= 10 {
            self.byte(b'0' + n / 10 % 10);
        }
        self.byte(b'0' + n % 10);
    }

    fn number(&mut self, n: u32) {
        if let Ok(small) = u8::try_from(n) {
            return self.octet(small);
        }
        if n >= 10 {
            self.number(n / 10);
        }
        self.byte(b'0' + (n % 10) as u8);
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Data of a record; `None` if the type is not one of those known here.
fn write_data(bytes: &[u8], at: usize, data: &[u8], kind: u16, text: &mut String) -> Option<()> {
    let name_at = |skip: usize| {
        let mut cursor = Cursor::new(bytes);
        cursor.take(at + skip)?;
        read_name(bytes, &mut cursor)
    };
    let mut cursor = Cursor::new(data);
    match kind {
        28 => {
            let octets: [u8; 16] = data.try_into().ok()?;
            let _ = write!(text, "{}", std::net::Ipv6Addr::from(octets));
        }
        2 | 5 | 6 | 12 | 39 => text.push_str(&name_at(0)?),
        15 => {
            let _ = write!(text, "{} {}", cursor.u16()?, name_at(2)?);
        }
        33 => {
            let _ = write!(text, "{} {} {} {}", cursor.u16()?, cursor.u16()?, cursor.u16()?, name_at(6)?);
        }
        16 => {
            let mut first = true;
            while let Some(length) = cursor.u8() {
                if !std::mem::take(&mut first) {
                    text.push(' ');
                }
                text.push_str(&clean_to(cursor.up_to(usize::from(length)), RESULT_LIMIT));
            }
        }
        _ => return None,
    }
    Some(())
}

/// A type's name, `TYPE` with its number for those that have none here.
pub(super) fn type_name(kind: u16) -> Cow<'static, str> {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        11 => "WKS",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        17 => "RP",
        18 => "AFSDB",
        24 => "SIG",
        25 => "KEY",
        28 => "AAAA",
        29 => "LOC",
        30 => "NXT",
        32 => "NB",
        33 => "SRV",
        35 => "NAPTR",
        36 => "KX",
        37 => "CERT",
        39 => "DNAME",
        41 => "OPT",
        43 => "DS",
        44 => "SSHFP",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        59 => "CDS",
        60 => "CDNSKEY",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        other => return format!("TYPE{other}").into(),
    };
    name.into()
}

/// A response code's name.
/// The same of NetBIOS (RFC 1002 sections 4.2.6, 4.2.11 and 4.2.14).
pub(super) fn netbios_rcode_name(rcode: u16) -> &'static str {
    match rcode {
        1 => "FMT_ERR",
        2 => "SRV_ERR",
        3 => "NAM_ERR",
        4 => "IMP_ERR",
        5 => "RFS_ERR",
        6 => "ACT_ERR",
        7 => "CFT_ERR",
        _ => "Error",
    }
}

pub(super) fn rcode_name(rcode: u16) -> &'static str {
    match rcode {
        1 => "FormErr",
        2 => "ServFail",
        3 => "NXDomain",
        4 => "NotImp",
        5 => "Refused",
        6 => "YXDomain",
        7 => "YXRRSet",
        8 => "NXRRSet",
        9 => "NotAuth",
        10 => "NotZone",
        16 => "BadVers",
        17 => "BadKey",
        18 => "BadTime",
        22 => "BadTrunc",
        23 => "BadCookie",
        _ => "Error",
    }
}
