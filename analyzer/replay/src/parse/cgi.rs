//! What a web server tells an application through a gateway (CGI, RFC 3875), however it is wrapped, as rows see it: as HTTP.

use super::mask::{Masker, Secret};
use super::text::{clean_to, decimal, endpoint};
use super::trace_context;
use crate::model::{RequestFields, Status};

const VALUE_LIMIT: usize = 2048;

/// What the variables of a request say.
pub(super) fn request<'a>(
    l7_protocol: &'static str,
    variables: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    mask: &mut Masker,
) -> RequestFields {
    let mut fields = RequestFields { l7_protocol, ..RequestFields::default() };
    let (mut referer, mut forwarded, mut script, mut server): (&[u8], &[u8], &[u8], &[u8]) = (&[], &[], &[], &[]);
    for (name, value) in variables {
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

/// The first output: headers as in HTTP, of which `Status` is the code; 200 without. Some begin with HTTP's status line instead.
pub(super) fn response(l7_protocol: &'static str, output: &[u8], errors: &[u8]) -> RequestFields {
    let mut code = 200;
    let status = output.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(decimal);
    if let Some(status) = status {
        code = i32::try_from(status).unwrap_or(code);
    }
    for line in output.split(|byte| *byte == b'\n').skip(usize::from(status.is_some())).take(64) {
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
        } else if name.eq_ignore_ascii_case(b"location") && code == 200 && status.is_none() {
            code = 302;
        }
    }
    RequestFields {
        l7_protocol,
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
