//! Heads as rows see them.

use super::super::Kind;
use super::super::frame::key_of;
use super::super::mask::{Masker, Secret};
use super::super::text::{clean_to, decimal, trim};
use crate::model::{RequestFields, Side, Status};

/// Header lines looked at.
const LINES: usize = 128;
/// Longest text taken from a head.
const TEXT: usize = 512;

/// Which of the protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Sip,
    Rtsp,
    Ssdp,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
            Self::Rtsp => "rtsp",
            Self::Ssdp => "ssdp",
        }
    }

    fn version(self, text: &[u8]) -> Option<&'static str> {
        match (self, text) {
            (Self::Sip, b"SIP/2.0") => Some("2.0"),
            (Self::Rtsp, b"RTSP/1.0") => Some("1.0"),
            (Self::Rtsp, b"RTSP/2.0") => Some("2.0"),
            (Self::Ssdp, b"HTTP/1.1") => Some("1.1"),
            _ => None,
        }
    }

    fn methods(self) -> &'static [&'static [u8]] {
        match self {
            Self::Sip => &[
                b"INVITE",
                b"ACK",
                b"BYE",
                b"CANCEL",
                b"REGISTER",
                b"OPTIONS",
                b"PRACK",
                b"SUBSCRIBE",
                b"NOTIFY",
                b"PUBLISH",
                b"INFO",
                b"REFER",
                b"MESSAGE",
                b"UPDATE",
            ],
            Self::Rtsp => &[
                b"DESCRIBE",
                b"ANNOUNCE",
                b"GET_PARAMETER",
                b"OPTIONS",
                b"PAUSE",
                b"PLAY",
                b"PLAY_NOTIFY",
                b"RECORD",
                b"REDIRECT",
                b"SETUP",
                b"SET_PARAMETER",
                b"TEARDOWN",
            ],
            Self::Ssdp => &[b"M-SEARCH", b"NOTIFY"],
        }
    }

    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Sip => b"SIP/2.0 ",
            Self::Rtsp => b"RTSP/",
            Self::Ssdp => b"HTTP/1.1 ",
        }
    }
}

/// Whether these few bytes may begin a message: a part of a method, or of a status line; or a method and a target that goes on.
pub(super) fn may_begin(bytes: &[u8], family: Family) -> bool {
    let begins = |whole: &[u8]| whole.starts_with(bytes);
    match memchr::memchr(b' ', bytes) {
        None if bytes.starts_with(family.prefix()) => bytes.len() < 16,
        None => begins(family.prefix()) || family.methods().iter().any(|method| begins(method)),
        Some(space) => {
            let (word, rest) = bytes.split_at(space);
            let target = rest.get(1..).unwrap_or_default();
            let schemes: &[&[u8]] = match family {
                Family::Sip => &[b"sip:", b"sips:", b"tel:"],
                Family::Rtsp => &[b"rtsp:", b"rtsps:", b"* RTSP"],
                Family::Ssdp => &[b"* HTTP"],
            };
            let fits = |scheme: &&[u8]| scheme.starts_with(target) || target.starts_with(scheme);
            let open = memchr::memchr(b'\n', bytes).is_none() && bytes.len() < 2048;
            let status = bytes.starts_with(family.prefix());
            open && (status || family.methods().contains(&word) && schemes.iter().any(fits))
        }
    }
}

/// A start line and the headers that matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    family: Family,
    version: &'static str,
    method: &'a [u8],
    target: &'a [u8],
    /// Of an answer.
    pub(super) code: Option<u16>,
    reason: &'a [u8],
    sequence: &'a [u8],
    call: &'a [u8],
    /// The first Via of a request, whose branch tells the transaction; of an answer To, whose tag tells who answers.
    transaction: &'a [u8],
    agent: &'a [u8],
    /// SSDP: what is searched or offered.
    subject: &'a [u8],
    secrets: u64,
    /// Bytes behind the head.
    pub(super) body: u64,
}

impl<'a> Head<'a> {
    /// `None`: no start line of this family, or not all of it.
    pub(super) fn parse(bytes: &'a [u8], family: Family) -> Option<Self> {
        let end = memchr::memchr(b'\n', bytes.get(..2048).unwrap_or(bytes))?;
        let line = trim(bytes.get(..end)?);
        let (first, rest) = line.split_at_checked(memchr::memchr(b' ', line)?)?;
        let rest = trim(rest);
        let mut head = Self {
            family,
            version: "",
            method: &[],
            target: &[],
            code: None,
            reason: &[],
            sequence: &[],
            call: &[],
            transaction: &[],
            agent: &[],
            subject: &[],
            secrets: 0,
            body: 0,
        };
        if let Some(version) = family.version(first) {
            let (code, reason) = rest.split_at_checked(3)?;
            head.version = version;
            head.code = u16::try_from(decimal(code).filter(|code| (100..700).contains(code))?).ok();
            head.reason = trim(reason);
        } else {
            let space = memchr::memrchr(b' ', rest)?;
            head.version = family.version(rest.get(space + 1..)?)?;
            head.method = Some(first).filter(|method| family.methods().contains(method))?;
            head.target = trim(rest.get(..space)?);
        }
        head.headers(bytes.get(end + 1..).unwrap_or_default());
        Some(head)
    }

    fn headers(&mut self, lines: &'a [u8]) {
        for line in lines.split(|byte| *byte == b'\n').take(LINES) {
            // Most headers are none of these, as their first letters tell.
            let Some(b'a' | b'c' | b'i' | b'l' | b'n' | b'p' | b's' | b't' | b'u' | b'v') =
                line.first().map(u8::to_ascii_lowercase)
            else {
                continue;
            };
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = line.split_at_checked(colon).unwrap_or_default();
            let (name, value) = (trim(name), trim(value.get(1..).unwrap_or_default()));
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            if is("cseq") {
                self.sequence = value;
            } else if is("call-id") || is("i") {
                self.call = value;
            } else if is("user-agent") || is("server") {
                self.agent = value;
            } else if is("content-length") || is("l") {
                self.body = decimal(value).unwrap_or_default().min(1 << 32);
            } else if is("st") || is("nt") {
                self.subject = value;
            } else if self.code.is_none() && self.transaction.is_empty() && (is("via") || is("v"))
                || self.code.is_some() && (is("to") || is("t"))
            {
                self.transaction = value;
            } else if is("authorization") || is("proxy-authorization") {
                self.secrets += 1;
            }
        }
    }

    /// The number that its request has.
    fn number(&self) -> Option<u64> {
        self.sequence.split(|byte| *byte == b' ').next().and_then(decimal)
    }

    /// What ties an answer to its request.
    pub(super) fn key(&self, side: Side) -> Option<u64> {
        let asker = if self.code.is_some() { side.other() } else { side };
        match self.family {
            Family::Ssdp => None,
            Family::Rtsp => self.number().map(|number| key_of(number, asker)),
            // A number counts within its call, and an answer names the method too.
            Family::Sip => (!self.sequence.is_empty()).then(|| hash(hash(0, self.call), self.sequence)),
        }
    }

    /// Tells it from all other messages: what is the same is a copy.
    pub(super) fn identity(&self, side: Side) -> Option<u64> {
        let key = self.key(side).filter(|_| self.family == Family::Sip)?;
        let what = self.code.map_or(side.index() as u64, u64::from);
        Some(hash(key.rotate_left(20) ^ what, self.transaction))
    }

    /// Kind, key and row. `None`: an interim answer.
    pub(super) fn row(&self, side: Side, mask: &mut Masker) -> Option<(Kind, Option<u64>, RequestFields)> {
        if !mask.shows() {
            mask.hid(Secret::Header, self.secrets);
        }
        let mut fields = RequestFields {
            l7_protocol: self.family.name(),
            version: self.version,
            user_agent: clean_to(self.agent, TEXT),
            x_request_id: clean_to(self.call, TEXT),
            ..RequestFields::default()
        };
        fields.session_id = self.number();
        let key = self.key(side);
        if let Some(code) = self.code {
            if code < 200 {
                return None;
            }
            fields.code = Some(i32::from(code));
            fields.status = match code {
                400..500 => Status::ClientError,
                500.. => Status::ServerError,
                _ => Status::Ok,
            };
            if code >= 400 {
                fields.exception = clean_to(self.reason, TEXT);
            }
            if self.family == Family::Ssdp {
                fields.request_type = "RESPONSE".into();
                fields.request_resource = clean_to(self.subject, TEXT);
                return Some((Kind::OneWay, None, fields));
            }
            return Some((Kind::Response, key, fields));
        }
        fields.request_type = clean_to(self.method, 32);
        let target = if self.family == Family::Ssdp { self.subject } else { self.target };
        fields.request_resource = mask.url(clean_to(target, TEXT));
        let text = &*fields.request_resource;
        let host = text.split_once("://").or_else(|| text.split_once(':')).map_or("", |(_, rest)| rest);
        let host = host.rsplit('@').next().unwrap_or_default();
        let host = host.split(['/', ';', '?', '>']).next().unwrap_or_default();
        if self.family != Family::Ssdp {
            fields.request_domain = host.into();
        }
        fields.endpoint = fields.request_type.clone();
        // An ACK is answered by nobody.
        let alone = self.family == Family::Ssdp || key.is_none() || self.method == b"ACK";
        Some((if alone { Kind::OneWay } else { Kind::Request }, key, fields))
    }
}

/// FNV-1a: keys must be the same in every run.
fn hash(seed: u64, text: &[u8]) -> u64 {
    text.iter()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
