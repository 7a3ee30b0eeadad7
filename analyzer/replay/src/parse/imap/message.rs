//! Commands and replies of IMAP as rows see them.

use super::super::mask::{MASK, Masker, Secret};
use super::super::text::{clean_to, decimal};
use crate::model::{RequestFields, Status};

const COMMANDS: [&str; 38] = [
    "CAPABILITY",
    "NOOP",
    "LOGOUT",
    "STARTTLS",
    "AUTHENTICATE",
    "LOGIN",
    "SELECT",
    "EXAMINE",
    "CREATE",
    "DELETE",
    "RENAME",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST",
    "LSUB",
    "STATUS",
    "APPEND",
    "CHECK",
    "CLOSE",
    "EXPUNGE",
    "SEARCH",
    "FETCH",
    "STORE",
    "COPY",
    "MOVE",
    "UID FETCH",
    "UID STORE",
    "UID COPY",
    "UID SEARCH",
    "UID MOVE",
    "UID EXPUNGE",
    "IDLE",
    "NAMESPACE",
    "ENABLE",
    "ID",
    "UNSELECT",
    "GETQUOTAROOT",
    "XLIST",
];

/// A command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command<'a> {
    pub(super) tag: &'a [u8],
    pub(super) name: &'static str,
    rest: &'a [u8],
}

fn is_tag(tag: &[u8]) -> bool {
    (1..=32).contains(&tag.len())
        && tag.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'$'))
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let at = memchr::memchr(b' ', text).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(at).unwrap_or((text, &[]));
    (word, rest.get(1..).unwrap_or_default())
}

impl<'a> Command<'a> {
    /// `None`: the line is no command.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (tag, rest) = word(line);
        if !is_tag(tag) {
            return None;
        }
        let (first, after) = word(rest);
        let (second, behind) = if first.eq_ignore_ascii_case(b"UID") { word(after) } else { (&[][..], after) };
        let name = COMMANDS.iter().find(|name| match name.strip_prefix("UID ") {
            Some(name) => !second.is_empty() && second.eq_ignore_ascii_case(name.as_bytes()),
            None => second.is_empty() && first.eq_ignore_ascii_case(name.as_bytes()),
        })?;
        Some(Self { tag, name, rest: behind })
    }

    /// How sure it is IMAP and nothing else.
    pub(super) fn sure(&self) -> u8 {
        let numbered = self.tag.iter().any(u8::is_ascii_digit);
        match self.name {
            "CAPABILITY" | "STARTTLS" | "NAMESPACE" | "IDLE" if numbered => 88,
            "LOGIN" | "SELECT" | "EXAMINE" | "AUTHENTICATE" | "UID FETCH" | "UID SEARCH" if numbered => 80,
            _ if numbered => 45,
            _ => 20,
        }
    }

    /// SELECT, EXAMINE: the mailbox of what follows.
    pub(super) fn mailbox(&self) -> Option<Box<str>> {
        matches!(self.name, "SELECT" | "EXAMINE")
            .then(|| clean_to(self.rest.trim_ascii(), 256).trim_matches('"').into())
    }

    /// As a row; passwords and what follows a mechanism are secrets.
    pub(super) fn fields(&self, mask: &mut Masker) -> RequestFields {
        let text = clean_to(self.rest, 512);
        let (open, secret) = match self.name {
            "LOGIN" | "AUTHENTICATE" => text.split_once(' ').unwrap_or((&text, "")),
            _ => (&*text, ""),
        };
        let resource = if secret.is_empty() || mask.shows() {
            text.clone()
        } else {
            mask.hid(Secret::Login, 1);
            format!("{open} {MASK}").into()
        };
        RequestFields {
            l7_protocol: "imap",
            request_type: self.name.into(),
            endpoint: self.name.into(),
            request_resource: resource,
            // Who says goodbye need not wait for the answer.
            status: if self.name == "LOGOUT" { Status::Ok } else { Status::Unknown },
            attributes: vec![("tag", clean_to(self.tag, 32))],
            ..RequestFields::default()
        }
    }
}

/// The length of a literal that a line ends with: `{12}` or `{12+}`.
pub(super) fn literal(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let from = memchr::memrchr(b'{', inner)?;
    let digits = inner.get(from + 1..)?;
    decimal(digits.strip_suffix(b"+").unwrap_or(digits)).filter(|length| *length <= 1 << 40)
}

/// A line of the server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply<'a> {
    Untagged(&'a [u8]),
    Continue,
    Tagged { tag: &'a [u8], result: &'static str, text: &'a [u8] },
}

impl<'a> Reply<'a> {
    /// `None`: it is none.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (tag, rest) = word(line);
        match tag {
            b"*" => return Some(Self::Untagged(rest)),
            b"+" => return Some(Self::Continue),
            _ if !is_tag(tag) => return None,
            _ => {}
        }
        let (result, text) = word(rest);
        let result = ["OK", "NO", "BAD"].into_iter().find(|name| result.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(Self::Tagged { tag, result, text })
    }
}

/// How sure a line is a server's first.
pub(super) fn sure_of_greeting(line: &[u8]) -> Option<u8> {
    let text = line.strip_prefix(b"* ")?;
    let (word, rest) = word(text);
    let has = |word: &[u8]| rest.windows(word.len()).take(512).any(|window| window.eq_ignore_ascii_case(word));
    match word {
        b"OK" | b"PREAUTH" if has(b"IMAP") => Some(95),
        b"OK" | b"PREAUTH" | b"BYE" => Some(60),
        b"CAPABILITY" if has(b"IMAP4") => Some(92),
        b"FLAGS" | b"LIST" | b"LSUB" | b"SEARCH" => Some(40),
        // `* 12 FETCH`.
        _ if decimal(word).is_some() => Some(if has(b"FETCH (") { 75 } else { 30 }),
        _ => None,
    }
}

/// The greeting as a row.
pub(super) fn greeting(text: &[u8]) -> Option<RequestFields> {
    let (word, rest) = word(text);
    let status = match word {
        b"OK" | b"PREAUTH" => Status::Ok,
        b"BYE" => Status::ServerError,
        _ => return None,
    };
    let mut fields =
        RequestFields { l7_protocol: "imap", request_type: "GREETING".into(), status, ..RequestFields::default() };
    if status.is_error() {
        fields.exception = clean_to(rest, 512);
    }
    Some(fields)
}

/// A result as a row.
pub(super) fn response(result: &'static str, text: &[u8]) -> RequestFields {
    let mut fields = RequestFields { l7_protocol: "imap", result: result.into(), ..RequestFields::default() };
    let text = clean_to(text, 512);
    // Response codes of RFC 5530 tell whose fault it is.
    let own = ["[UNAVAILABLE]", "[SERVERBUG]", "[INUSE]", "[LIMIT]", "[CORRUPTION]"]
        .iter()
        .any(|code| text.starts_with(code));
    fields.status = match result {
        "OK" => Status::Ok,
        _ if own => Status::ServerError,
        _ => Status::ClientError,
    };
    if result != "OK" {
        fields.exception = text;
    }
    fields
}

/// FNV-1a of a tag.
pub(super) fn hash(tag: &[u8]) -> u64 {
    tag.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
