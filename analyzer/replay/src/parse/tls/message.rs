//! Hellos as rows see them, with JA3 (<https://github.com/salesforce/ja3>) and JA4 (<https://github.com/FoxIO-LLC/ja4>).

use super::super::cursor::Cursor;
use super::super::text::{clean_to, hex, push_hex};
use super::certificate::Certificate;
use super::ciphers;
use crate::model::{RequestFields, Side, Status};
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Extensions and ciphers looked at.
const LIST_LIMIT: usize = 512;

/// Extension of a ClientHello whose true content is encrypted inside (RFC 9849).
const ENCRYPTED_HELLO: u16 = 0xfe0d;
/// Extension: application data follow at once (RFC 8446 section 4.2.10).
const EARLY_DATA: u16 = 42;

/// Values that clients send to keep servers tolerant (RFC 8701).
fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn version_name(version: u16) -> &'static str {
    match version {
        0x0300 => "SSL 3.0",
        0x0301 => "1.0",
        0x0302 => "1.1",
        0x0303 => "1.2",
        // Drafts of it have numbers of their own.
        0x0304 | 0x7f00..=0x7fff | 0xfefc => "1.3",
        0xfefd => "1.2",
        0xfeff => "1.0",
        _ => "",
    }
}

/// A list of 16-bit values with its length in front.
fn list(cursor: &mut Cursor<'_>) -> Option<Vec<u16>> {
    let length = usize::from(cursor.u16()?);
    let mut inner = Cursor::new(cursor.up_to(length));
    Some(std::iter::from_fn(|| inner.u16()).take(LIST_LIMIT).collect())
}

/// A ClientHello.
#[derive(Debug, Default)]
pub(in crate::parse) struct Hello {
    version: u16,
    session: Vec<u8>,
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    groups: Vec<u16>,
    formats: Vec<u8>,
    signatures: Vec<u16>,
    versions: Vec<u16>,
    name: Box<str>,
    alpn: Vec<Box<str>>,
    ticket: bool,
    key: bool,
    /// Of DTLS.
    datagram: bool,
    /// Its end was not captured: what is missing is not known to be absent.
    cut: bool,
}

impl Hello {
    /// As far as it goes; `whole`: `body` is all of it.
    pub(in crate::parse) fn parse(body: &[u8], whole: bool) -> Option<Self> {
        Self::of(body, whole, false)
    }

    /// The same of DTLS, which has a cookie more (RFC 6347 section 4.2.1).
    pub(in crate::parse) fn in_datagram(body: &[u8], whole: bool) -> Option<Self> {
        Self::of(body, whole, true)
    }

    fn of(body: &[u8], whole: bool, datagram: bool) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let mut hello = Self { version: cursor.u16()?, cut: !whole, datagram, ..Self::default() };
        cursor.take(32)?;
        match hello.lists(&mut cursor) {
            Some(()) => Some(hello),
            None => hello.cut.then_some(hello),
        }
    }

    /// What follows version and random.
    fn lists(&mut self, cursor: &mut Cursor<'_>) -> Option<()> {
        let hello = self;
        let length = usize::from(cursor.u8()?);
        hello.session = cursor.take(length)?.to_vec();
        if hello.datagram {
            let length = usize::from(cursor.u8()?);
            cursor.take(length)?;
        }
        hello.ciphers = list(cursor)?;
        let length = usize::from(cursor.u8()?);
        cursor.take(length)?;
        let Some(length) = cursor.u16() else {
            return Some(());
        };
        let mut extensions = Cursor::new(cursor.up_to(usize::from(length)));
        while let (Some(kind), Some(length)) = (extensions.u16(), extensions.u16()) {
            if hello.extensions.len() >= LIST_LIMIT {
                break;
            }
            hello.extensions.push(kind);
            let body = extensions.up_to(usize::from(length));
            hello.extension(kind, body);
        }
        Some(())
    }

    fn extension(&mut self, kind: u16, body: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(body);
        match kind {
            0 => {
                cursor.take(3)?;
                let length = usize::from(cursor.u16()?);
                self.name = clean_to(cursor.up_to(length), 255);
            }
            10 => self.groups = list(&mut cursor)?,
            11 => {
                let length = usize::from(cursor.u8()?);
                self.formats = cursor.up_to(length).to_vec();
            }
            13 => self.signatures = list(&mut cursor)?,
            16 => {
                cursor.u16()?;
                while let Some(length) = cursor.u8() {
                    if self.alpn.len() < 16 {
                        self.alpn.push(clean_to(cursor.up_to(usize::from(length)), 64));
                    }
                }
            }
            35 => self.ticket = !body.is_empty(),
            41 => self.key = true,
            43 => {
                let length = usize::from(cursor.u8()?);
                let mut inner = Cursor::new(cursor.up_to(length));
                self.versions = std::iter::from_fn(|| inner.u16()).take(32).collect();
            }
            _ => {}
        }
        Some(())
    }

    fn best_version(&self) -> u16 {
        let versions = self.versions.iter().copied().filter(|version| !is_grease(*version));
        // The numbers of DTLS descend.
        let named = if self.datagram { versions.min() } else { versions.max() };
        // Where the list of versions is cut away, the ciphers of TLS 1.3 (RFC 8446 appendix B.4) tell.
        let modern = self.cut && self.ciphers.iter().any(|cipher| (0x1301..=0x1305).contains(cipher));
        named.unwrap_or(if modern { 0x0304 } else { self.version })
    }

    fn ja3(&self) -> String {
        let plain = |values: &[u16]| joined(values.iter().copied().filter(|value| !is_grease(*value)));
        let text = format!(
            "{},{},{},{},{}",
            self.version,
            plain(&self.ciphers),
            plain(&self.extensions),
            plain(&self.groups),
            joined(self.formats.iter().map(|format| u16::from(*format)))
        );
        hex(&Md5::digest(text))
    }

    /// `over`: `t` for TCP, `q` for QUIC, `d` for DTLS.
    fn ja4(&self, over: u8) -> String {
        let plain = |values: &[u16]| values.iter().copied().filter(|value| !is_grease(*value)).collect::<Vec<u16>>();
        let version = match self.best_version() {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0xfefc => "d3",
            0xfefd => "d2",
            0xfeff => "d1",
            _ => "00",
        };
        let (mut ciphers, extensions) = (plain(&self.ciphers), plain(&self.extensions));
        let protocol = self.alpn.first().map_or("00".to_owned(), |name| {
            let ends = (name.bytes().next(), name.bytes().last());
            match ends {
                (Some(first), Some(last)) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
                    format!("{}{}", char::from(first), char::from(last))
                }
                (Some(first), Some(last)) => format!("{:x}{:x}", first >> 4, last & 0xf),
                _ => "00".to_owned(),
            }
        });
        ciphers.sort_unstable();
        let mut others: Vec<u16> = extensions.iter().copied().filter(|kind| *kind != 0 && *kind != 16).collect();
        others.sort_unstable();
        let digest = |text: &str| {
            if text.is_empty() {
                "000000000000".to_owned()
            } else {
                hex(Sha256::digest(text).get(..6).unwrap_or_default())
            }
        };
        let signatures = words(&plain(&self.signatures));
        let tail = if signatures.is_empty() { words(&others) } else { format!("{}_{signatures}", words(&others)) };
        format!(
            "{}{version}{}{:02}{:02}{protocol}_{}_{}",
            char::from(over),
            if self.extensions.contains(&0) { 'd' } else { 'i' },
            ciphers.len().min(99),
            extensions.len().min(99),
            digest(&words(&ciphers)),
            digest(&tail)
        )
    }

    /// As a request; `over`: `t` for TCP, `q` for QUIC, `d` for DTLS, as in JA4.
    pub(in crate::parse) fn fields(&self, over: u8) -> RequestFields {
        let mut fields = RequestFields {
            l7_protocol: "tls",
            version: version_name(self.best_version()),
            request_type: "Handshake".into(),
            request_domain: self.name.clone(),
            request_resource: self.name.clone(),
            endpoint: self.name.clone(),
            ..RequestFields::default()
        };
        if !self.alpn.is_empty() {
            fields.attributes.push(("alpn_offered", self.alpn.join(",").into()));
        }
        if self.extensions.contains(&ENCRYPTED_HELLO) {
            // The name is that of the front (RFC 9849), or of the site itself where the extension is only there to be seen.
            fields.attributes.push(("ech_offered", "1".into()));
        }
        if self.extensions.contains(&EARLY_DATA) {
            fields.attributes.push(("early_data", "1".into()));
        }
        if self.cut {
            // A fingerprint of a part would be that of something else.
            fields.attributes.push(("ciphers_offered", words(&self.ciphers).into()));
        } else {
            fields.attributes.push(("ja3", self.ja3().into()));
            fields.attributes.push(("ja4", self.ja4(over).into()));
        }
        fields
    }
}

/// Numbers as JA3 has them: decimal, with dashes between.
fn joined(values: impl Iterator<Item = u16>) -> String {
    let mut text = String::with_capacity(96);
    for value in values {
        if !text.is_empty() {
            text.push('-');
        }
        let digits = [10_000, 1_000, 100, 10, 1].map(|unit| (value / unit % 10) as u8);
        let zeros = digits.iter().take(4).take_while(|digit| **digit == 0).count();
        text.extend(digits.iter().skip(zeros).map(|digit| char::from(b'0' + digit)));
    }
    text
}

/// Numbers as JA4 has them: four hexadecimal digits each, with commas between.
fn words(values: &[u16]) -> String {
    let mut text = String::with_capacity(5 * values.len());
    for value in values {
        if !text.is_empty() {
            text.push(',');
        }
        value.to_be_bytes().iter().for_each(|byte| push_hex(&mut text, *byte));
    }
    text
}

/// A ServerHello.
#[derive(Debug, Default)]
pub(in crate::parse) struct ServerHello {
    version: u16,
    session: Vec<u8>,
    cipher: u16,
    alpn: Box<str>,
    key: bool,
    retry: bool,
    extensions: Vec<u16>,
}

/// Random of a HelloRetryRequest (RFC 8446 section 4.1.3), its beginning.
const RETRY: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];

impl ServerHello {
    /// As far as it goes.
    pub(in crate::parse) fn parse(body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let mut hello = Self { version: cursor.u16()?, ..Self::default() };
        hello.retry = cursor.take(32)?.starts_with(&RETRY);
        let length = usize::from(cursor.u8()?);
        hello.session = cursor.take(length)?.to_vec();
        hello.cipher = cursor.u16()?;
        cursor.u8();
        cursor.u16();
        while let (Some(kind), Some(length)) = (cursor.u16(), cursor.u16()) {
            let mut body = Cursor::new(cursor.up_to(usize::from(length)));
            if hello.extensions.len() < 64 {
                hello.extensions.push(kind);
            }
            match kind {
                16 => {
                    body.take(3);
                    hello.alpn = clean_to(body.rest(), 64);
                }
                41 => hello.key = true,
                43 => hello.version = body.u16().unwrap_or(hello.version),
                _ => {}
            }
        }
        Some(hello)
    }

    /// TLS 1.3.
    pub(in crate::parse) fn is_13(&self) -> bool {
        matches!(self.version, 0x0304 | 0x7f00..=0x7fff | 0xfefc)
    }

    /// HelloRetryRequest.
    pub(in crate::parse) fn is_retry(&self) -> bool {
        self.retry
    }

    fn ja3s(&self) -> String {
        let legacy = if self.is_13() { 0x0303 } else { self.version };
        hex(&Md5::digest(format!("{legacy},{},{}", self.cipher, joined(self.extensions.iter().copied()))))
    }
}

/// What else was seen of the handshake.
#[derive(Debug, Default)]
pub(in crate::parse) struct Summary {
    pub(in crate::parse) certificate: Option<Certificate>,
    pub(in crate::parse) alert: Option<(Side, u8, u8)>,
    /// A full key exchange took place.
    pub(in crate::parse) full: bool,
    pub(super) client_spoke: bool,
}

impl Summary {
    /// As a response.
    pub(in crate::parse) fn fields(self, client: Option<&Hello>, server: Option<&ServerHello>) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "tls", ..RequestFields::default() };
        if let Some(server) = server {
            fields.version = version_name(server.version);
            fields.status = Status::Ok;
            fields.result = ciphers::name(server.cipher);
            if !server.alpn.is_empty() {
                fields.attributes.push(("alpn", server.alpn.clone()));
            }
            fields.attributes.push(("ja3s", server.ja3s().into()));
            let same_session = client
                .is_some_and(|client| !server.session.is_empty() && client.session == server.session || client.ticket);
            let resumed =
                if server.is_13() { server.key } else { same_session && self.certificate.is_none() && !self.full };
            if resumed {
                fields.attributes.push(("resumed", "1".into()));
            }
        }
        if let Some(certificate) = self.certificate {
            fields.attributes.push(("certificate_subject", certificate.subject.into()));
            fields.attributes.push(("certificate_issuer", certificate.issuer.into()));
            fields.attributes.push(("certificate_not_after", certificate.not_after.into()));
        }
        // A close is no error unless it ends the handshake.
        if let Some((side, level, code)) = self.alert.filter(|(_, level, code)| *level == 2 || *code != 0) {
            fields.exception = format!("{} ({code})", alert_name(code)).into();
            if level == 2 {
                fields.code = Some(i32::from(code));
                fields.status = if side == Side::Client { Status::ClientError } else { Status::ServerError };
            }
        }
        fields
    }
}

pub(in crate::parse) fn alert_name(code: u8) -> &'static str {
    match code {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "alert",
    }
}
