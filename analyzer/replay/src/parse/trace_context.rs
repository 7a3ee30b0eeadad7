//! Trace context in headers: W3C `traceparent`, Zipkin `b3`, `SkyWalking` `sw8`/`sw6`, Jaeger `uber-trace-id`, request ids.

use super::text::clean_to;
use crate::model::RequestFields;

/// Longest id that is kept.
const ID_LIMIT: usize = 256;

/// What the names of such headers begin with, in small letters.
pub(super) const FIRST_LETTERS: &[u8] = b"bstux";
/// Longest of these names.
pub(super) const LONGEST: usize = 17;

/// Takes a header, if it carries trace context or a request id. `name` in any case.
pub(super) fn header(name: &[u8], value: &[u8], fields: &mut RequestFields) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        2 if is("b3") => b3(value, fields),
        3 if is("sw8") => skywalking(value, fields, 8),
        3 if is("sw6") => skywalking(value, fields, 6),
        11 if is("traceparent") => traceparent(value, fields),
        11 if is("x-b3-spanid") => fields.span_id = id(value),
        12 if is("x-b3-traceid") => fields.trace_id = id(value),
        12 if is("x-request-id") => fields.x_request_id = id(value),
        13 if is("uber-trace-id") => uber(value, fields),
        16 if is("x-correlation-id") => {
            if fields.x_request_id.is_empty() {
                fields.x_request_id = id(value);
            }
        }
        17 if is("x-b3-parentspanid") => fields.parent_span_id = id(value),
        _ => return false,
    }
    true
}

fn id(value: &[u8]) -> Box<str> {
    clean_to(value.trim_ascii(), ID_LIMIT)
}

/// W3C Trace Context: `00-<32 hex>-<16 hex>-<2 hex>`. The span id in it is the caller's span.
pub(super) fn traceparent(value: &[u8], fields: &mut RequestFields) {
    let value = value.trim_ascii();
    let Some(version) = value.iter().position(|byte| *byte == b'-') else { return };
    let Some((trace, [b'-', rest @ ..])) = value.get(version + 1..).and_then(|rest| rest.split_at_checked(32)) else {
        return;
    };
    let Some((span, [] | [b'-', ..])) = rest.split_at_checked(16) else { return };
    let hex = |part: &[u8]| part.iter().fold(true, |hex, byte| hex & byte.is_ascii_hexdigit());
    if hex(trace) & hex(span) {
        fields.trace_id = id(trace);
        fields.span_id = id(span);
    }
}

/// `{trace}-{span}[-{sampled}[-{parent}]]`.
fn b3(value: &[u8], fields: &mut RequestFields) {
    let mut parts = value.trim_ascii().split(|byte| *byte == b'-');
    if let (Some(trace), Some(span)) = (parts.next(), parts.next()) {
        fields.trace_id = id(trace);
        fields.span_id = id(span);
        if let Some(parent) = parts.nth(1) {
            fields.parent_span_id = id(parent);
        }
    }
}

/// `{trace}:{span}:{parent}:{flags}`, colons may be percent-encoded.
fn uber(value: &[u8], fields: &mut RequestFields) {
    let text = id(value).replace("%3A", ":").replace("%3a", ":");
    let mut parts = text.split(':');
    if let (Some(trace), Some(span)) = (parts.next(), parts.next()) {
        fields.trace_id = trace.into();
        fields.span_id = span.into();
        if let Some(parent) = parts.next().filter(|parent| *parent != "0") {
            fields.parent_span_id = parent.into();
        }
    }
}

/// sw8: `1-<trace>-<segment>-<span>-...`, trace and segment in base64. sw6: the same places.
fn skywalking(value: &[u8], fields: &mut RequestFields, version: u8) {
    let mut parts = value.trim_ascii().split(|byte| *byte == b'-');
    let (Some(_), Some(trace), Some(segment), Some(span)) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let decoded = |part: &[u8]| base64(part).map_or_else(|| id(part), |bytes| clean_to(&bytes, ID_LIMIT));
    fields.trace_id = decoded(trace);
    fields.span_id =
        if version == 8 { format!("{}-{}", decoded(segment), id(span)).into_boxed_str() } else { decoded(segment) };
}

/// Standard or URL-safe alphabet, with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut have) = (0_u32, 0_u32);
    for byte in text.iter().take(ID_LIMIT).take_while(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have & 0xff) as u8);
        }
    }
    Some(bytes)
}
