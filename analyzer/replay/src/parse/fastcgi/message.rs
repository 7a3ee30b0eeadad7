//! FastCGI params and output as rows see them: as HTTP.

use super::super::cursor::Cursor;
use super::super::mask::{Masker, Secret};
use super::super::text::{clean_to, decimal, endpoint};
use super::super::trace_context;
use crate::model::{RequestFields, Status};

const VALUE_LIMIT: usize = 2048;

/// The head of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) id: u16,
    pub(super) length: u16,
    padding: u8,
}

/// Bytes of a record's head.
pub(super) const HEAD: usize = 8;
/// Kinds of records.
pub(super) const BEGIN: u8 = 1;
pub(super) const ABORT: u8 = 2;
pub(super) const END: u8 = 3;
pub(super) const PARAMS: u8 = 4;
pub(super) const STDIN: u8 = 5;
pub(super) const STDOUT: u8 = 6;
pub(super) const STDERR: u8 = 7;

impl Record {
    /// `None`: not a record.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        cursor.u8().filter(|version| *version == 1)?;
        let kind = cursor.u8().filter(|kind| (1..=11).contains(kind))?;
        let (id, length, padding) = (cursor.u16()?, cursor.u16()?, cursor.u8()?);
        cursor.u8().filter(|reserved| *reserved == 0)?;
        // Only questions about the server itself have no id.
        let fits = (id == 0) == (kind >= 9) && (!matches!(kind, BEGIN | END) || length == 8);
        fits.then_some(Self { kind, id, length, padding })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        HEAD as u64 + u64::from(self.length) + u64::from(self.padding)
    }
}

/// Name-value pairs, as far as the bytes reach.
pub(super) fn request(params: &[u8], mask: &mut Masker) -> RequestFields {
    let mut fields = RequestFields { l7_protocol: "fastcgi", ..RequestFields::default() };
    let mut cursor = Cursor::new(params);
    let (mut referer, mut forwarded, mut script, mut server): (&[u8], &[u8], &[u8], &[u8]) = (&[], &[], &[], &[]);
    while let Some((name, value)) = pair(&mut cursor) {
        match name {
            b"REQUEST_METHOD" => fields.request_type = clean_to(value, 32),
            b"REQUEST_URI" => fields.request_resource = mask.url(clean_to(value, VALUE_LIMIT)),
            b"HTTP_HOST" => fields.request_domain = clean_to(value, 256),
            b"SERVER_NAME" => server = value,
            b"SCRIPT_NAME" => script = value,
            b"SERVER_PROTOCOL" => {
                fields.version = match value {
                    b"HTTP/1.0" => "1.0",
                    b"HTTP/1.1" => "1.1",
                    b"HTTP/2.0" => "2",
                    b"HTTP/3.0" => "3",
                    _ => "",
                };
            }
            b"HTTP_USER_AGENT" => fields.user_agent = clean_to(value, 512),
            b"HTTP_REFERER" => referer = value,
            b"HTTP_X_FORWARDED_FOR" => forwarded = value,
            b"HTTP_COOKIE" | b"HTTP_AUTHORIZATION" if !mask.shows() => mask.hid(Secret::Header, 1),
            _ => {
                if let Some(header) = name.strip_prefix(b"HTTP_").filter(|header| header.len() <= 32) {
                    let header: Vec<u8> = header
                        .iter()
                        .map(|byte| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() })
                        .collect();
                    trace_context::header(&header, value, &mut fields);
                }
            }
        }
    }
    if fields.request_resource.is_empty() {
        fields.request_resource = clean_to(script, VALUE_LIMIT);
    }
    if fields.request_domain.is_empty() {
        fields.request_domain = clean_to(server, 256);
    }
    fields.endpoint = endpoint(&fields.request_resource).into();
    if !referer.is_empty() {
        fields.attributes.push(("referer", mask.url(clean_to(referer, VALUE_LIMIT))));
    }
    if !forwarded.is_empty() {
        fields.attributes.push(("x_forwarded_for", clean_to(forwarded, VALUE_LIMIT)));
    }
    fields
}

fn pair<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let name = length(cursor)?;
    let value = length(cursor)?;
    Some((cursor.take(name)?, cursor.take(value)?))
}

/// One byte, or four with the highest bit set.
fn length(cursor: &mut Cursor<'_>) -> Option<usize> {
    let first = cursor.u8()?;
    if first < 0x80 {
        return Some(usize::from(first));
    }
    let rest = cursor.u24()?;
    usize::try_from(u32::from(first & 0x7f) << 24 | rest).ok()
}

/// The first output: headers as in HTTP, of which `Status` is the code; 200 without.
pub(super) fn response(output: &[u8], errors: &[u8]) -> RequestFields {
    let mut code = 200;
    for line in output.split(|byte| *byte == b'\n').take(64) {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            break;
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            break;
        };
        let (name, value) = line.split_at_checked(colon).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"status") {
            let digits = value.get(..3).and_then(decimal).and_then(|code| i32::try_from(code).ok());
            code = digits.unwrap_or(code);
        } else if name.eq_ignore_ascii_case(b"location") && code == 200 {
            code = 302;
        }
    }
    RequestFields {
        l7_protocol: "fastcgi",
        code: Some(code),
        status: match code {
            400..=499 => Status::ClientError,
            500..=599 => Status::ServerError,
            _ => Status::Ok,
        },
        exception: clean_to(errors.trim_ascii(), 512),
        ..RequestFields::default()
    }
}
