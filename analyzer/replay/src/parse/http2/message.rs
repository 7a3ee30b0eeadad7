//! Header lists of HTTP/2 and gRPC as rows see them.

use super::super::mask::{Masker, Secret};
use super::super::text::{clean, clean_to, decimal, endpoint, number};
use super::super::trace_context;
use crate::model::{RequestFields, Side, Status};

const VALUE_LIMIT: usize = 512;

/// Interesting headers of one side of a stream.
#[derive(Debug, Default)]
pub(super) struct Headers {
    method: Box<str>,
    path: Box<str>,
    authority: Box<str>,
    status: Option<u16>,
    grpc: bool,
    grpc_status: Option<u16>,
    grpc_message: Box<str>,
    /// Values of headers whose names were sent before the capture began, the first three.
    unnamed: [Option<Box<[u8]>>; 3],
    /// How many such headers there are.
    unnamed_count: usize,
    content_type: Box<str>,
    referer: Box<str>,
    forwarded: Box<str>,
    secrets: u64,
    /// Said by the server, which answers it too.
    pub(super) pushed: bool,
    context: RequestFields,
}

impl Headers {
    /// Takes a header; unknown names or values are those sent before the capture began.
    pub(super) fn take(&mut self, name: Option<&[u8]>, value: Option<&[u8]>) {
        let (Some(name), Some(value)) = (name, value) else {
            if name.is_none() {
                if let Some(slot) = self.unnamed.get_mut(self.unnamed_count) {
                    *slot = value.map(|value| value.get(..VALUE_LIMIT).unwrap_or(value).into());
                }
                self.unnamed_count += 1;
            }
            return;
        };
        match name {
            b":method" => self.method = clean_to(value, 32),
            b":path" => self.path = clean(value),
            b":authority" => self.authority = clean_to(value, VALUE_LIMIT),
            b"host" if self.authority.is_empty() => self.authority = clean_to(value, VALUE_LIMIT),
            b":status" => self.status = number_of(value),
            b"content-type" => {
                self.grpc |= value.starts_with(b"application/grpc");
                self.content_type = clean_to(value, VALUE_LIMIT);
            }
            b"grpc-status" => self.grpc_status = number_of(value),
            b"grpc-message" => self.grpc_message = clean_to(value, VALUE_LIMIT),
            b"user-agent" => self.context.user_agent = clean_to(value, VALUE_LIMIT),
            b"referer" => self.referer = clean_to(value, VALUE_LIMIT),
            b"x-forwarded-for" => self.forwarded = clean_to(value, VALUE_LIMIT),
            b"authorization" | b"cookie" | b"set-cookie" | b"proxy-authorization" => self.secrets += 1,
            _ => {
                trace_context::header(name, value, &mut self.context);
            }
        }
    }

    /// 1xx: not the response yet.
    pub(super) fn is_interim(&self) -> bool {
        self.status.is_some_and(|status| (100..200).contains(&status))
    }

    /// Whether they say so.
    pub(super) fn is_grpc(&self) -> bool {
        self.grpc
    }

    /// gRPC: the status of the call has not come, and what came is no other server's refusal. `called`: the request
    /// was a call, whatever these headers say.
    pub(super) fn awaits_status(&self, called: bool) -> bool {
        (self.grpc || called) && self.grpc_status.is_none() && self.status.is_none_or(|status| status == 200)
    }

    /// Of a call on a connection older than the capture, names of trailers are known to the other side only. The first of them is the call's status,
    /// where its value is one; errors, which seldom repeat, say it anew, with their message behind it. A response of trailers only begins with
    /// its content type, which is known no better.
    pub(super) fn guess_status(&mut self) {
        let has_type = self.status.is_some() && self.content_type.is_empty() && self.unnamed[0].is_none();
        let mut trailers = self.unnamed.iter().skip(usize::from(has_type)).map(Option::as_deref);
        let code = trailers.next().flatten().and_then(number_of).filter(|code| *code <= 16);
        if let Some(code) = code.filter(|_| self.grpc_status.is_none()) {
            self.grpc_status = Some(code);
            if let Some(message) = trailers.next().flatten().filter(|_| code != 0 && self.grpc_message.is_empty()) {
                self.grpc_message = clean_to(message, VALUE_LIMIT);
            }
        }
    }

    /// Trailers add to what the headers said.
    pub(super) fn trail(&mut self, trailers: Self) {
        self.grpc_status = trailers.grpc_status.or(self.grpc_status);
        if !trailers.grpc_message.is_empty() {
            self.grpc_message = trailers.grpc_message;
        }
    }

    /// As a request.
    pub(super) fn request(self, body: u64, mask: &mut Masker) -> RequestFields {
        if !mask.shows() {
            mask.hid(Secret::Header, self.secrets);
        }
        let mut fields = self.context;
        fields.l7_protocol = if self.grpc { "grpc" } else { "http2" };
        fields.version = "2";
        fields.request_type = self.method;
        fields.request_domain = self.authority;
        if self.grpc {
            // `/package.Service/Method`.
            let service = self.path.trim_start_matches('/').split('/').next().unwrap_or_default();
            fields.request_resource = service.into();
            fields.endpoint = self.path;
        } else {
            fields.endpoint = endpoint(&self.path).into();
            fields.request_resource = mask.url(self.path);
        }
        if self.pushed {
            fields.attributes.push(("pushed", "1".into()));
        }
        if !self.referer.is_empty() {
            fields.attributes.push(("referer", mask.url(self.referer)));
        }
        if !self.forwarded.is_empty() {
            fields.attributes.push(("x_forwarded_for", self.forwarded));
        }
        if body > 0 {
            fields.attributes.push(("request_body_bytes", number(body)));
        }
        fields
    }

    /// As a response; `reset`: the stream was reset by that side with that error code.
    pub(super) fn response(self, body: u64, reset: Option<(Side, u32)>) -> RequestFields {
        let mut fields = self.context;
        fields.version = "2";
        if self.grpc || self.grpc_status.is_some() {
            fields.l7_protocol = "grpc";
        }
        fields.code = self.grpc_status.or(self.status).map(i32::from);
        fields.status = match (self.grpc_status, self.status) {
            (Some(0), _) => Status::Ok,
            (Some(code), _) => {
                fields.exception =
                    if self.grpc_message.is_empty() { grpc_name(code).into() } else { self.grpc_message };
                // Cancelled, invalid argument, not found, exists, denied, precondition, range, unauthenticated.
                if matches!(code, 1 | 3 | 5 | 6 | 7 | 9 | 11 | 16) { Status::ClientError } else { Status::ServerError }
            }
            (None, Some(400..500)) => Status::ClientError,
            (None, Some(500..)) => Status::ServerError,
            (None, Some(_)) => Status::Ok,
            (None, None) => Status::Unknown,
        };
        if let Some((side, code)) = reset.filter(|(_, code)| *code != 0) {
            fields.exception = format!("stream reset by the {}: {}", who(side), reset_name(code)).into();
            fields.status = if side == Side::Client { Status::ClientError } else { Status::ServerError };
        }
        if !self.content_type.is_empty() {
            fields.attributes.push(("content_type", self.content_type));
        }
        if body > 0 {
            fields.attributes.push(("response_body_bytes", number(body)));
        }
        fields
    }
}

fn who(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

fn number_of(value: &[u8]) -> Option<u16> {
    decimal(value).and_then(|number| u16::try_from(number).ok())
}

fn grpc_name(code: u16) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("unknown code")
}

fn reset_name(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).copied().unwrap_or("unknown code")
}
