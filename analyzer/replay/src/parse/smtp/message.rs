//! Commands and replies of SMTP as rows see them.

use super::super::mask::{MASK, Masker, Secret};
use super::super::text::{clean_to, decimal};
use crate::model::{RequestFields, Status};

const COMMANDS: [&str; 16] = [
    "HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "VRFY", "EXPN", "HELP", "NOOP", "QUIT", "AUTH",
    "STARTTLS", "ETRN",
];

/// The command that a line is, in upper case, and what follows it.
pub(super) fn command(line: &[u8]) -> Option<(&'static str, &[u8])> {
    let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(at)?;
    let name = COMMANDS.iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes()))?;
    Some((name, rest.trim_ascii()))
}

/// How sure a line is a command of SMTP and of nothing else.
pub(super) fn sure_of_command(line: &[u8]) -> Option<u8> {
    let (name, rest) = command(line)?;
    let starts = |with: &[u8]| rest.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    match name {
        "EHLO" | "LHLO" | "HELO" => (!rest.is_empty()).then_some(90),
        "MAIL" => starts(b"FROM:").then_some(92),
        "RCPT" => starts(b"TO:").then_some(92),
        "STARTTLS" | "DATA" => rest.is_empty().then_some(30),
        "BDAT" => chunk(rest).map(|_| 60),
        "AUTH" => starts(b"PLAIN").then_some(40).or_else(|| starts(b"LOGIN").then_some(40)),
        _ => Some(25),
    }
}

/// How sure a line is a reply of SMTP: the greeting names it.
pub(super) fn sure_of_reply(line: &[u8]) -> Option<u8> {
    reply(line)?;
    let has = |word: &[u8]| line.windows(word.len()).take(256).any(|window| window.eq_ignore_ascii_case(word));
    let greeting = line.starts_with(b"220") && has(b"SMTP") || line.starts_with(b"250-STARTTLS");
    // FTP speaks so too.
    Some(if greeting { 90 } else { 25 })
}

/// Code of a reply, whether it is its last line, and the text.
pub(super) fn reply(line: &[u8]) -> Option<(i32, bool, &[u8])> {
    let code = decimal(line.get(..3)?).and_then(|code| i32::try_from(code).ok())?;
    let last = match line.get(3) {
        None | Some(b' ') => true,
        Some(b'-') => false,
        _ => return None,
    };
    (200..600).contains(&code).then(|| (code, last, line.get(4..).unwrap_or_default()))
}

/// Bytes that follow `BDAT size [LAST]` (RFC 3030 section 2). With anything else behind the size it is refused, and nothing follows.
pub(super) fn chunk(rest: &[u8]) -> Option<u64> {
    let (size, last) = rest.split_at(rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len()));
    let last = last.trim_ascii();
    if !last.is_empty() && !last.eq_ignore_ascii_case(b"LAST") {
        return None;
    }
    decimal(size).filter(|size| *size <= 1 << 40)
}

/// As a row. What follows AUTH and its mechanism is a secret.
pub(super) fn request(name: &'static str, rest: &[u8], mask: &mut Masker) -> RequestFields {
    let mut fields = RequestFields { l7_protocol: "smtp", request_type: name.into(), ..RequestFields::default() };
    let argument = clean_to(rest, 512);
    match name {
        "EHLO" | "HELO" | "LHLO" => fields.request_domain = argument,
        // Who says goodbye need not wait for the answer.
        "QUIT" => fields.status = Status::Ok,
        "AUTH" => {
            let (mechanism, secret) = argument.split_once(' ').unwrap_or((&argument, ""));
            fields.endpoint = mechanism.into();
            fields.request_resource = if secret.is_empty() || mask.shows() {
                argument.clone()
            } else {
                mask.hid(Secret::Login, 1);
                format!("{mechanism} {MASK}").into()
            };
        }
        "MAIL" | "RCPT" => {
            let address = argument.split_once(':').map_or(&*argument, |(_, address)| address);
            fields.request_resource = address.trim().into();
        }
        _ => fields.request_resource = argument,
    }
    fields
}

/// A mail as a row of its own.
pub(super) fn mail() -> RequestFields {
    RequestFields { l7_protocol: "smtp", request_type: "MESSAGE".into(), ..RequestFields::default() }
}

/// As a row: 4 is a failure of the server that may pass, 5 a refusal.
pub(super) fn response(code: i32, text: &[u8]) -> RequestFields {
    let mut fields = RequestFields { l7_protocol: "smtp", code: Some(code), ..RequestFields::default() };
    fields.status = match code {
        400..=499 => Status::ServerError,
        // The server itself fails: no such parameter, out of storage, transaction failed.
        552 | 554 => Status::ServerError,
        500..=599 => Status::ClientError,
        _ => Status::Ok,
    };
    if code >= 400 {
        fields.exception = clean_to(text, 512);
    }
    fields
}
