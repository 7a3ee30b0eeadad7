//! Heads of HTTP/1 messages and what rows take from them.

use super::super::mask::{Masker, Secret};
use super::super::text::{clean, clean_to, decimal, endpoint, number, scheme_end, trim};
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
    /// Requests are counted only.
    brief: bool,
    /// What the row will say; trace context is put there at once.
    fields: Box<RequestFields>,
}

impl<'a> Head<'a> {
    /// `None`: not even the first line is whole. `brief`: what delimits messages is looked at, and the status.
    pub(super) fn of_request(bytes: &'a [u8], brief: bool) -> Option<Self> {
        Self::scan(bytes, false, brief)
    }

    /// The same for a response.
    pub(super) fn of_response(bytes: &'a [u8], brief: bool) -> Option<Self> {
        Self::scan(bytes, true, brief)
    }

    fn scan(bytes: &'a [u8], response: bool, brief: bool) -> Option<Self> {
        let mut head = Self { response, brief, ..Self::default() };
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
        let mut before = at;
        for _ in 0..HEADER_LIMIT {
            let rest = bytes.get(at..)?;
            let Some(end) = memchr::memchr(b'\n', rest) else {
                // A header cut in the middle of its value still tells something, unless the value must be whole.
                head.header(rest, true);
                return Some(head);
            };
            let start = at;
            let line = rest.get(..end)?;
            at += end + 1;
            let mut line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                head.len = Some(at);
                return Some(head);
            }
            if matches!(line.first(), Some(b' ' | b'\t')) {
                // A value that goes on in another line (RFC 9112 section 5.2): the header is read again, as a whole.
                line = bytes.get(before..start + line.len())?;
            } else {
                before = start;
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
        // Most headers are none of these, as their first letters tell.
        let Some(first) = line.first() else { return };
        match (first | 0x20, self.brief) {
            (b'c', _) => {
                if let Some(value) = after(line, b"content-length:") {
                    if !cut {
                        self.length =
                            decimal(value.split(|byte| *byte == b',').next().unwrap_or_default()).or(self.length);
                    }
                } else if let Some(value) = after(line, b"content-type:") {
                    self.content_type = value;
                } else if after(line, b"cookie:").is_some() {
                    self.secrets += 1;
                }
            }
            (b't', brief) => {
                if let Some(value) = after(line, b"transfer-encoding:") {
                    self.chunked = value.last_chunk::<7>().is_some_and(|end| end.eq_ignore_ascii_case(b"chunked"));
                } else if !brief {
                    self.context(line, cut);
                }
            }
            (b'u', brief) => {
                if let Some(value) = after(line, b"upgrade:") {
                    self.upgrade = Some(value);
                } else if let Some(value) = after(line, b"user-agent:") {
                    self.user_agent = value;
                } else if !brief {
                    self.context(line, cut);
                }
            }
            (_, true) => {}
            (b'h', _) => self.host = after(line, b"host:").unwrap_or(self.host),
            (b'r', _) => self.referer = after(line, b"referer:").unwrap_or(self.referer),
            (b'l', _) => self.location = after(line, b"location:").unwrap_or(self.location),
            (b'a', _) => self.secrets += u64::from(after(line, b"authorization:").is_some()),
            (b'p', _) => self.secrets += u64::from(after(line, b"proxy-authorization:").is_some()),
            (b's', _) if after(line, b"set-cookie:").is_some() => self.secrets += 1,
            (b'x', _) if let Some(value) = after(line, b"x-forwarded-for:") => self.forwarded = value,
            _ => self.context(line, cut),
        }
    }

    /// A header that may carry trace context.
    fn context(&mut self, line: &'a [u8], cut: bool) {
        if !line.first().is_some_and(|first| trace_context::FIRST_LETTERS.contains(&(first | 0x20))) {
            return;
        }
        let Some(colon) = memchr::memchr(b':', line.get(..trace_context::LONGEST + 1).unwrap_or(line)) else { return };
        if !cut && let Some((name, [_, value @ ..])) = line.split_at_checked(colon) {
            trace_context::header(name, trim(value), &mut self.fields);
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

/// The value of a header, if it is this one; `name` in small letters, with its colon.
#[inline]
fn after<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    (start.last() == Some(&b':') && start.eq_ignore_ascii_case(name)).then(|| trim(value))
}

fn version(text: &[u8]) -> &'static str {
    match text {
        b"HTTP/1.1" => "1.1",
        b"HTTP/1.0" => "1.0",
        _ => "",
    }
}

/// What a request says.
pub(super) fn request(head: &mut Head<'_>, mask: &mut Masker) -> Box<RequestFields> {
    let mut fields = std::mem::take(&mut head.fields);
    fields.l7_protocol = "http";
    if head.brief {
        return fields;
    }
    if !mask.shows() {
        mask.hid(Secret::Header, head.secrets);
    }
    fields.version = version(head.third);
    fields.request_type = clean_to(head.first, 32);
    fields.user_agent = clean_to(head.user_agent, VALUE_LIMIT);
    let target = mask.url(clean(head.second));
    // The absolute form, as sent to proxies, names the host too (RFC 9112 section 3.2.2).
    let rest = scheme_end(&target).filter(|_| !target.starts_with('/')).and_then(|at| target.get(at + 3..));
    let (authority, path) = match rest {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        _ if head.first == b"CONNECT" => (&*target, ""),
        _ => ("", &*target),
    };
    // A host has no user and password (RFC 9110 section 7.2), but some clients send what stood in the URL.
    let host = match memchr::memrchr(b'@', head.host).filter(|_| !mask.shows()) {
        Some(at) => {
            mask.hid(Secret::Header, 1);
            head.host.get(at + 1..).unwrap_or_default()
        }
        None => head.host,
    };
    fields.request_domain = if host.is_empty() { authority.into() } else { clean_to(host, VALUE_LIMIT) };
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

/// What a request of HTTP/0.9 for `target` says.
pub(super) fn simple(target: &[u8], brief: bool, mask: &mut Masker) -> Box<RequestFields> {
    let mut head = Head { first: b"GET", second: trim(target), brief, ..Head::default() };
    let mut fields = request(&mut head, mask);
    fields.version = "0.9";
    fields
}

/// What a response adds.
pub(super) fn response(head: &mut Head<'_>, status: u16, mask: &mut Masker) -> Box<RequestFields> {
    let mut fields = std::mem::take(&mut head.fields);
    fields.l7_protocol = "http";
    fields.code = Some(i32::from(status));
    fields.status = match status {
        400..500 => Status::ClientError,
        500.. => Status::ServerError,
        _ => Status::Ok,
    };
    if head.brief {
        return fields;
    }
    fields.version = version(head.first);
    if status >= 400 {
        fields.exception = clean_to(head.third, VALUE_LIMIT);
    }
    if !head.content_type.is_empty() {
        fields.attributes.push(("content_type", clean_to(head.content_type, VALUE_LIMIT)));
    }
    if !head.location.is_empty() {
        fields.attributes.push(("location", mask.url(clean_to(head.location, VALUE_LIMIT))));
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
