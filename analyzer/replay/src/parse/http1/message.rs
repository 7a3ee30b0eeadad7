//! Heads of HTTP/1 messages and what rows take from them.

use super::super::mask::{Masker, Secret};
use super::super::text::{clean, clean_to, decimal, endpoint, number, trim};
use super::super::trace_context;
use crate::model::{RequestFields, Status};

/// Header lines looked at in one head.
const HEADER_LIMIT: usize = 256;
/// Longest header value kept as an attribute.
const VALUE_LIMIT: usize = 512;

/// How a body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
    /// Requests: no body. Responses: until the connection ends.
    UntilClose,
}

/// A head, its interesting headers picked.
#[derive(Debug, Default)]
pub(super) struct Head<'a> {
    /// Method, or version of a response.
    pub(super) first: &'a [u8],
    /// Target, or status code.
    second: &'a [u8],
    /// Version of a request, or reason phrase.
    third: &'a [u8],
    /// Bytes of the head with its empty line; `None` if it is cut.
    pub(super) len: Option<usize>,
    response: bool,
    length: Option<u64>,
    chunked: bool,
    /// Value of Upgrade.
    pub(super) upgrade: Option<&'a [u8]>,
    host: &'a [u8],
    user_agent: &'a [u8],
    referer: &'a [u8],
    forwarded: &'a [u8],
    content_type: &'a [u8],
    location: &'a [u8],
    secrets: u64,
    context: RequestFields,
}

impl<'a> Head<'a> {
    /// `None`: not even the first line is whole.
    pub(super) fn of_request(bytes: &'a [u8]) -> Option<Self> {
        Self::scan(bytes, false)
    }

    /// The same for a response.
    pub(super) fn of_response(bytes: &'a [u8]) -> Option<Self> {
        Self::scan(bytes, true)
    }

    fn scan(bytes: &'a [u8], response: bool) -> Option<Self> {
        let mut head = Self { response, ..Self::default() };
        let mut at = match memchr::memchr(b'\n', bytes) {
            Some(end) => {
                head.start_line(bytes.get(..end)?);
                end + 1
            }
            None => {
                head.start_line(bytes);
                return (!head.second.is_empty()).then_some(head);
            }
        };
        for _ in 0..HEADER_LIMIT {
            let rest = bytes.get(at..)?;
            let Some(end) = memchr::memchr(b'\n', rest) else {
                // A header cut in the middle of its value still tells something, unless the value must be whole.
                head.header(rest, true);
                return Some(head);
            };
            let line = rest.get(..end)?;
            at += end + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                head.len = Some(at);
                return Some(head);
            }
            head.header(line, false);
        }
        // More headers than anyone sends: find the end, look at no more.
        let rest = bytes.get(at..)?;
        head.len = memchr::memmem::find(rest, b"\n\r\n")
            .map(|end| at + end + 3)
            .or_else(|| memchr::memmem::find(rest, b"\n\n").map(|end| at + end + 2));
        Some(head)
    }

    fn start_line(&mut self, line: &'a [u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(space) = memchr::memchr(b' ', line) else {
            self.first = line;
            return;
        };
        self.first = line.get(..space).unwrap_or_default();
        let rest = line.get(space + 1..).unwrap_or_default();
        let split = if self.response { memchr::memchr(b' ', rest) } else { memchr::memrchr(b' ', rest) };
        match split {
            Some(at) => {
                self.second = rest.get(..at).unwrap_or_default();
                self.third = rest.get(at + 1..).unwrap_or_default();
            }
            None => self.second = rest,
        }
    }

    fn header(&mut self, line: &'a [u8], cut: bool) {
        let Some(colon) = memchr::memchr(b':', line.get(..64).unwrap_or(line)) else {
            return;
        };
        let name = line.get(..colon).unwrap_or_default();
        let value = trim(line.get(colon + 1..).unwrap_or_default());
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            4 if is("host") => self.host = value,
            6 if is("cookie") => self.secrets += 1,
            7 if is("referer") => self.referer = value,
            7 if is("upgrade") => self.upgrade = Some(value),
            8 if is("location") => self.location = value,
            10 if is("user-agent") => self.user_agent = value,
            10 if is("set-cookie") => self.secrets += 1,
            12 if is("content-type") => self.content_type = value,
            13 if is("authorization") => self.secrets += 1,
            14 if is("content-length") && !cut => {
                self.length = decimal(value.split(|byte| *byte == b',').next().unwrap_or_default()).or(self.length);
            }
            15 if is("x-forwarded-for") => self.forwarded = value,
            17 if is("transfer-encoding") => {
                self.chunked = value.len() >= 7
                    && value.get(value.len() - 7..).is_some_and(|end| end.eq_ignore_ascii_case(b"chunked"));
            }
            19 if is("proxy-authorization") => self.secrets += 1,
            2 | 3 | 11 | 12 | 13 | 16 | 17 if !cut => {
                trace_context::header(name, value, &mut self.context);
            }
            _ => {}
        }
    }

    /// Whether the start line says HTTP.
    pub(super) fn is_http(&self) -> bool {
        self.third.starts_with(b"HTTP/1.")
    }

    /// Status code of a response.
    pub(super) fn status(&self) -> Option<u16> {
        let code = decimal(self.second).filter(|code| (100..1000).contains(code))?;
        u16::try_from(code).ok()
    }

    /// How the body is delimited.
    pub(super) fn body(&self) -> Body {
        if self.chunked { Body::Chunked } else { self.length.map_or(Body::UntilClose, Body::Length) }
    }
}

fn version(text: &[u8]) -> &'static str {
    match text {
        b"HTTP/1.1" => "1.1",
        b"HTTP/1.0" => "1.0",
        _ => "",
    }
}

/// What a request says.
pub(super) fn request(head: &mut Head<'_>, mask: &mut Masker) -> RequestFields {
    if !mask.shows() {
        mask.hid(Secret::Header, head.secrets);
    }
    let mut fields = std::mem::take(&mut head.context);
    fields.l7_protocol = "http";
    fields.version = version(head.third);
    fields.request_type = clean_to(head.first, 32);
    fields.user_agent = clean_to(head.user_agent, VALUE_LIMIT);
    let target = mask.url(clean(head.second));
    // The absolute form, as sent to proxies, names the host too (RFC 9112 section 3.2.2).
    let (authority, path) = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        _ if head.first == b"CONNECT" => (&*target, ""),
        _ => ("", &*target),
    };
    fields.request_domain = if head.host.is_empty() { authority.into() } else { clean_to(head.host, VALUE_LIMIT) };
    fields.endpoint = endpoint(if path.is_empty() { authority } else { path }).into();
    if !head.referer.is_empty() {
        fields.attributes.push(("referer", mask.url(clean_to(head.referer, VALUE_LIMIT))));
    }
    if !head.forwarded.is_empty() {
        fields.attributes.push(("x_forwarded_for", clean_to(head.forwarded, VALUE_LIMIT)));
    }
    if !head.content_type.is_empty() {
        fields.attributes.push(("request_content_type", clean_to(head.content_type, VALUE_LIMIT)));
    }
    if let Some(upgrade) = head.upgrade {
        fields.attributes.push(("upgrade", clean_to(upgrade, VALUE_LIMIT)));
    }
    if let Some(length) = head.length.filter(|length| *length > 0) {
        fields.attributes.push(("request_body_bytes", number(length)));
    }
    fields.request_resource = target;
    fields
}

/// What a response adds.
pub(super) fn response(head: &mut Head<'_>, status: u16) -> RequestFields {
    let mut fields = std::mem::take(&mut head.context);
    fields.l7_protocol = "http";
    fields.version = version(head.first);
    fields.code = Some(i32::from(status));
    fields.status = match status {
        400..500 => Status::ClientError,
        500.. => Status::ServerError,
        _ => Status::Ok,
    };
    if status >= 400 {
        fields.exception = clean_to(head.third, VALUE_LIMIT);
    }
    if !head.content_type.is_empty() {
        fields.attributes.push(("content_type", clean_to(head.content_type, VALUE_LIMIT)));
    }
    if !head.location.is_empty() {
        fields.attributes.push(("location", clean_to(head.location, VALUE_LIMIT)));
    }
    if let Some(length) = head.length {
        fields.attributes.push(("response_body_bytes", number(length)));
    }
    fields
}

/// The size line of a chunk: hex digits, extensions behind `;`.
pub(super) fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = trim(line.split(|byte| *byte == b';').next()?);
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    digits.iter().try_fold(0_u64, |size, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(size << 4 | u64::from(digit))
    })
}
