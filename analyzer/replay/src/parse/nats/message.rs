//! Lines of NATS as rows see them.

use super::super::text::{clean_to, decimal};
use super::super::trace_context;
use crate::model::{RequestFields, Side, Status};

/// A control line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    pub(super) verb: &'static str,
    pub(super) side: Side,
    /// Subject, or what follows the verb.
    pub(super) subject: &'a [u8],
    pub(super) reply: &'a [u8],
    /// A payload follows.
    pub(super) sized: bool,
    /// Bytes of headers in the payload.
    pub(super) headers: u64,
    /// Bytes of the payload.
    pub(super) total: u64,
}

impl<'a> Line<'a> {
    /// `None`: not an operation.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let at = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(at)?;
        let rest = rest.trim_ascii();
        const VERBS: [(&str, Side); 12] = [
            ("INFO", Side::Server),
            ("CONNECT", Side::Client),
            ("PUB", Side::Client),
            ("HPUB", Side::Client),
            ("SUB", Side::Client),
            ("UNSUB", Side::Client),
            ("MSG", Side::Server),
            ("HMSG", Side::Server),
            ("PING", Side::Client),
            ("PONG", Side::Server),
            ("+OK", Side::Server),
            ("-ERR", Side::Server),
        ];
        let (verb, side) = VERBS.iter().find(|(verb, _)| word.eq_ignore_ascii_case(verb.as_bytes())).copied()?;
        let mut words = [&[][..]; 6];
        let mut count = 0;
        for (place, word) in words.iter_mut().zip(rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())) {
            *place = word;
            count += 1;
        }
        let mut parsed = Self { verb, side, subject: rest, reply: &[], sized: false, headers: 0, total: 0 };
        let sizes = match verb {
            "PUB" | "MSG" => 1,
            "HPUB" | "HMSG" => 2,
            _ => 0,
        };
        match verb {
            "INFO" | "CONNECT" => return rest.starts_with(b"{").then_some(parsed),
            "-ERR" => return rest.starts_with(b"'").then_some(parsed),
            "PING" | "PONG" | "+OK" => return rest.is_empty().then_some(parsed),
            "SUB" | "UNSUB" => {
                parsed.subject = words[0];
                return (1..=3).contains(&count).then_some(parsed);
            }
            _ => {}
        }
        parsed.subject = words[0];
        // PUB subject [reply] sizes; MSG subject sid [reply] sizes.
        let fixed = if verb.ends_with("MSG") { 2 } else { 1 };
        if count == fixed + 1 + sizes {
            parsed.reply = words.get(fixed).copied()?;
        } else if count != fixed + sizes {
            return None;
        }
        parsed.sized = true;
        parsed.total = decimal(words.get(count - 1)?).filter(|total| *total <= 64 << 20)?;
        if sizes == 2 {
            parsed.headers = decimal(words.get(count - 2)?).filter(|headers| *headers <= parsed.total)?;
        }
        Some(parsed)
    }

    /// As a row.
    pub(super) fn fields(&self) -> RequestFields {
        let mut fields =
            RequestFields { l7_protocol: "nats", request_type: self.verb.into(), ..RequestFields::default() };
        match self.verb {
            "INFO" | "CONNECT" => {}
            "-ERR" => {
                let text = self.subject.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'"));
                fields.exception = clean_to(text.unwrap_or(self.subject), 256);
                fields.status = Status::ServerError;
            }
            _ => {
                fields.request_resource = clean_to(self.subject, 256);
                fields.endpoint = match acknowledged(self.subject) {
                    // Without the numbers of the message.
                    Some((stream, consumer)) => {
                        format!("$JS.ACK.{}.{}", clean_to(stream, 128), clean_to(consumer, 128)).into()
                    }
                    None => fields.request_resource.clone(),
                };
            }
        }
        if !self.reply.is_empty() {
            fields.attributes.push(("reply_to", clean_to(self.reply, 256)));
        }
        fields
    }
}

/// What JetStream answers, to its API and to what is published to a stream (ADR-1): JSON with `error` in it, or without.
pub(super) fn answer(body: &[u8], fields: &mut RequestFields) {
    if body.first() != Some(&b'{') {
        return;
    }
    let Some(error) = memchr::memmem::find(body, b"\"error\":{").and_then(|at| body.get(at + 9..)) else { return };
    let value = |name: &[u8]| {
        let at = memchr::memmem::find(error, name)? + name.len();
        error.get(at..).map(<[u8]>::trim_ascii_start)
    };
    let Some(number) = value(b"\"code\":") else { return };
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Some(code) = number.get(..digits).and_then(decimal).filter(|code| (100..1000).contains(code)) else { return };
    fields.code = i32::try_from(code).ok();
    fields.status = if code < 500 { Status::ClientError } else { Status::ServerError };
    let text = value(b"\"description\":").and_then(|text| text.strip_prefix(b"\"")).unwrap_or_default();
    fields.exception = clean_to(text.split(|byte| *byte == b'"').next().unwrap_or_default(), 256);
}

/// Headers of a message: `NATS/1.0`, perhaps with a status (ADR-4), then as in HTTP.
pub(super) fn headers(block: &[u8], fields: &mut RequestFields) {
    if let Some(rest) = block.strip_prefix(b"NATS/1.0 ") {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
        let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (code, text) = line.split_at_checked(at).unwrap_or_default();
        if let Some(code) = decimal(code).and_then(|code| i32::try_from(code).ok()).filter(|code| *code < 1000) {
            fields.code = Some(code);
            let text = clean_to(text.trim_ascii(), 256);
            match code {
                // Nobody listens: the server says so in place of an answer.
                503 => (fields.status, fields.exception) = (Status::ServerError, "No Responders".into()),
                400 | 409 => (fields.status, fields.exception) = (Status::ClientError, text),
                // A heartbeat; no messages to fetch.
                _ => fields.result = text,
            }
        }
    }
    for line in block.split(|byte| *byte == b'\n').take(64) {
        if let Some(colon) = memchr::memchr(b':', line) {
            let (name, value) = line.split_at_checked(colon).unwrap_or_default();
            let (name, value) = (name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii());
            trace_context::header(name, value, fields);
            // A service says so that it failed (ADR-32).
            if name.eq_ignore_ascii_case(b"Nats-Service-Error") {
                fields.exception = clean_to(value, 256);
            } else if name.eq_ignore_ascii_case(b"Nats-Service-Error-Code") {
                fields.code = decimal(value).and_then(|code| i32::try_from(code).ok());
                let client = fields.code.is_some_and(|code| (400..500).contains(&code));
                fields.status = if client { Status::ClientError } else { Status::ServerError };
            }
        }
    }
}

/// Stream and consumer of a subject that a message of JetStream is acknowledged on: `$JS.ACK.stream.consumer.` and five numbers, or with domain
/// and account before them (ADR-15 of NATS).
pub(super) fn acknowledged(subject: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = subject.strip_prefix(b"$JS.ACK.")?;
    let before = if rest.split(|byte| *byte == b'.').count() > 8 { 2 } else { 0 };
    let mut tokens = rest.split(|byte| *byte == b'.').skip(before);
    Some((tokens.next()?, tokens.next()?))
}

/// Stream and consumer that messages are asked of.
pub(super) fn pulled(subject: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut tokens = subject.strip_prefix(b"$JS.API.CONSUMER.MSG.NEXT.")?.split(|byte| *byte == b'.');
    Some((tokens.next()?, tokens.next()?))
}

/// FNV-1a of a subject, out of the way of small numbers.
pub(super) fn hash(subject: &[u8]) -> u64 {
    subject
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
        | 1 << 63
}
