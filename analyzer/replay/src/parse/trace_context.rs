//! Trace context in headers: W3C `traceparent`, Zipkin `b3`, `SkyWalking` `sw8`/`sw6`, Jaeger `uber-trace-id`, AWS `X-Amzn-Trace-Id`,
//! Google `X-Cloud-Trace-Context`, Datadog, Elastic, Sentry, request ids. Where several are there, those of single vendors give way.

use super::text::clean_to;
use crate::model::RequestFields;

/// Longest id that is kept.
const ID_LIMIT: usize = 256;

/// What the names of such headers begin with, in small letters.
pub(super) const FIRST_LETTERS: &[u8] = b"bestux";
/// Longest of these names.
pub(super) const LONGEST: usize = 23;

/// Takes a header, if it carries trace context or a request id. `name` in any case.
pub(super) fn header(name: &[u8], value: &[u8], fields: &mut RequestFields) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        2 if is("b3") => b3(value, fields),
        3 if is("sw8") => skywalking(value, fields, 8),
        3 if is("sw6") => skywalking(value, fields, 6),
        10 if is("tracestate") => {
            if !value.trim_ascii().is_empty() {
                fields.attributes.push(("tracestate", id(value)));
            }
        }
        11 if is("traceparent") => traceparent(value, fields),
        11 if is("x-b3-spanid") => fields.span_id = id(value),
        12 if is("x-b3-traceid") => fields.trace_id = id(value),
        12 if is("x-request-id") => fields.x_request_id = id(value),
        12 if is("sentry-trace") && fields.trace_id.is_empty() => split(value, b'-', fields),
        13 if is("uber-trace-id") => uber(value, fields),
        15 if is("x-amzn-trace-id") && fields.trace_id.is_empty() => amazon(value, fields),
        16 if is("x-correlation-id") => {
            if fields.x_request_id.is_empty() {
                fields.x_request_id = id(value);
            }
        }
        17 if is("x-b3-parentspanid") => fields.parent_span_id = id(value),
        18 if is("x-datadog-trace-id") && fields.trace_id.is_empty() => fields.trace_id = id(value),
        19 if is("x-datadog-parent-id") && fields.span_id.is_empty() => fields.span_id = id(value),
        21 if is("x-cloud-trace-context") && fields.trace_id.is_empty() => split(value, b'/', fields),
        23 if is("elastic-apm-traceparent") && fields.trace_id.is_empty() => traceparent(value, fields),
        _ => return false,
    }
    true
}

/// `{trace}{mark}{span}`, and what may follow a `-` or `;`.
fn split(value: &[u8], mark: u8, fields: &mut RequestFields) {
    let mut parts = value.trim_ascii().splitn(2, |byte| *byte == mark);
    if let (Some(trace), Some(rest)) = (parts.next(), parts.next()) {
        fields.trace_id = id(trace);
        fields.span_id = id(rest.split(|byte| matches!(byte, b'-' | b';')).next().unwrap_or_default());
    }
}

/// `Root=1-{8 hex}-{24 hex};Parent={16 hex};Sampled=1`, in any order; the trace id is written as it is known there.
fn amazon(value: &[u8], fields: &mut RequestFields) {
    for part in value.split(|byte| *byte == b';').take(16) {
        let part = part.trim_ascii();
        if let Some(root) = part.strip_prefix(b"Root=") {
            fields.trace_id = id(root);
        } else if let Some(parent) = part.strip_prefix(b"Parent=") {
            fields.span_id = id(parent);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// (trace, span, parent, request id) of headers.
    fn of(headers: &[(&str, &str)]) -> [String; 4] {
        let mut fields = RequestFields::default();
        for (name, value) in headers {
            assert!(header(name.as_bytes(), value.as_bytes(), &mut fields), "{name}");
            assert!(
                name.len() <= LONGEST && FIRST_LETTERS.contains(&name.as_bytes()[0].to_ascii_lowercase()),
                "{name}"
            );
        }
        [&fields.trace_id, &fields.span_id, &fields.parent_span_id, &fields.x_request_id].map(|text| text.to_string())
    }

    #[test]
    fn every_kind() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let w3c = format!("00-{trace}-{span}-01");
        assert_eq!(of(&[("Traceparent", &w3c)]), [trace, span, "", ""]);
        assert_eq!(of(&[("Elastic-Apm-Traceparent", &w3c)]), [trace, span, "", ""]);
        assert_eq!(of(&[("b3", &format!("{trace}-{span}-1-05e3ac9a4f6e3b90"))]), [trace, span, "05e3ac9a4f6e3b90", ""]);
        assert_eq!(
            of(&[("X-B3-TraceId", trace), ("X-B3-SpanId", span), ("X-B3-ParentSpanId", "05e3ac9a4f6e3b90")]),
            [trace, span, "05e3ac9a4f6e3b90", ""]
        );
        assert_eq!(of(&[("uber-trace-id", "abc:def%3A0:1")]), ["abc", "def", "", ""]);
        // trace-1 and segment-1 in base64.
        assert_eq!(
            of(&[("sw8", "1-dHJhY2UtMQ==-c2VnbWVudC0x-3-c3Zj-aW5z-L3g=-Yw==")]),
            ["trace-1", "segment-1-3", "", ""]
        );
        assert_eq!(
            of(&[(
                "X-Amzn-Trace-Id",
                "Self=1-67891234-0; Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
            )]),
            ["1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8", "", ""]
        );
        assert_eq!(
            of(&[("x-datadog-trace-id", "1234567890123456789"), ("x-datadog-parent-id", "987")]),
            ["1234567890123456789", "987", "", ""]
        );
        assert_eq!(
            of(&[("X-Cloud-Trace-Context", "105445aa7843bc8bf206b12000100000/1;o=1")])[..2],
            ["105445aa7843bc8bf206b12000100000", "1"]
        );
        assert_eq!(of(&[("sentry-trace", &format!("{trace}-{span}-1"))])[..2], [trace, span]);
        assert_eq!(of(&[("X-Correlation-ID", "c"), ("X-Request-ID", "r")]), ["", "", "", "r"]);
        // The standard wins over a vendor's.
        assert_eq!(of(&[("x-datadog-trace-id", "7"), ("traceparent", &w3c)])[..2], [trace, span]);
        assert!(!header(b"x-other", b"1", &mut RequestFields::default()));
    }

    #[test]
    fn what_is_no_context_is_left_out() {
        for value in ["", "00-1-2-3", "00-0af7651916cd43dd8448eb211c80319c-zzzz6b7169203331-01"] {
            assert_eq!(of(&[("traceparent", value)]), ["", "", "", ""], "{value}");
        }
    }
}
