//! Commands and replies of POP3 as rows see them.

use super::super::mask::{MASK, Masker, Secret};
use super::super::text::clean_to;
use crate::model::{RequestFields, Status};

const COMMANDS: [&str; 17] = [
    "USER", "PASS", "APOP", "AUTH", "STAT", "LIST", "RETR", "DELE", "NOOP", "RSET", "QUIT", "TOP", "UIDL", "CAPA",
    "STLS", "UTF8", "LANG",
];

/// A command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command<'a> {
    pub(super) name: &'static str,
    rest: &'a [u8],
}

impl<'a> Command<'a> {
    /// `None`: the line is no command.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let at = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(at)?;
        let name = COMMANDS.iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(Self { name, rest: rest.trim_ascii() })
    }

    /// Whether lines up to a dot follow a positive reply.
    pub(super) fn lists(&self) -> bool {
        match self.name {
            "RETR" | "TOP" | "CAPA" => true,
            "LIST" | "UIDL" | "AUTH" | "LANG" => self.rest.is_empty(),
            _ => false,
        }
    }

    /// Who logs in.
    pub(super) fn user(&self) -> Option<Box<str>> {
        match self.name {
            "USER" => Some(clean_to(self.rest, 128)),
            "APOP" => Some(clean_to(self.rest.split(|byte| *byte == b' ').next()?, 128)),
            _ => None,
        }
    }

    /// As a row; passwords and digests are secrets.
    pub(super) fn fields(&self, mask: &mut Masker) -> RequestFields {
        let text = clean_to(self.rest, 512);
        let (open, secret) = match self.name {
            "PASS" => ("", &*text),
            "APOP" | "AUTH" => text.split_once(' ').unwrap_or((&text, "")),
            _ => (&*text, ""),
        };
        let resource = if secret.is_empty() || mask.shows() {
            text.clone()
        } else {
            mask.hid(Secret::Login, 1);
            if open.is_empty() { MASK.into() } else { format!("{open} {MASK}").into() }
        };
        RequestFields {
            l7_protocol: "pop3",
            request_type: self.name.into(),
            endpoint: self.name.into(),
            request_resource: resource,
            // Who says goodbye need not wait for the answer.
            status: if self.name == "QUIT" { Status::Ok } else { Status::Unknown },
            ..RequestFields::default()
        }
    }
}

/// Whether bytes without a line end may be a greeting or a command.
pub(super) fn may_start(bytes: &[u8]) -> bool {
    let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    bytes.len() < 255
        && (b"+OK".starts_with(bytes)
            || COMMANDS
                .iter()
                .any(|name| name.get(..word.len()).is_some_and(|n| word.eq_ignore_ascii_case(n.as_bytes()))))
}

/// How sure a line is a server's first.
pub(super) fn sure_of_greeting(line: &[u8]) -> Option<u8> {
    let text = line.strip_prefix(b"+OK")?;
    let has = |word: &[u8]| text.windows(word.len()).take(256).any(|window| window.eq_ignore_ascii_case(word));
    if has(b"pop3") || has(b"pop server") {
        return Some(92);
    }
    // A time stamp for APOP.
    let stamped = text.contains(&b'<') && text.contains(&b'@') && text.ends_with(b">");
    let spoken = text.first() == Some(&b' ') && text.len() > 4;
    Some(if stamped {
        85
    } else if spoken {
        45
    } else {
        22
    })
}

/// How sure a line is a command of POP3 and of nothing else.
pub(super) fn sure_of_command(line: &[u8]) -> Option<u8> {
    let command = Command::parse(line)?;
    Some(match command.name {
        "CAPA" | "STLS" | "UIDL" if command.rest.is_empty() => 70,
        "APOP" if command.rest.len() > 32 => 80,
        "RETR" | "DELE" | "TOP" if command.rest.first().is_some_and(u8::is_ascii_digit) => 40,
        // FTP has the others too.
        _ => 25,
    })
}

/// Whether a reply is positive, and its text.
pub(super) fn reply(line: &[u8]) -> Option<(bool, &[u8])> {
    let (ok, text) = match line.strip_prefix(b"+OK") {
        Some(text) => (true, text),
        None => (false, line.strip_prefix(b"-ERR")?),
    };
    matches!(text.first(), None | Some(b' ')).then(|| (ok, text.trim_ascii()))
}

/// As a row.
pub(super) fn response(ok: bool, text: &[u8]) -> RequestFields {
    let text = clean_to(text, 512);
    let mut fields = RequestFields { l7_protocol: "pop3", ..RequestFields::default() };
    if ok {
        fields.status = Status::Ok;
    } else {
        // Response codes (RFC 2449, 3206): the system's troubles are the server's, all else the client's.
        let own = ["[SYS", "[IN-USE"].iter().any(|code| text.starts_with(code));
        fields.status = if own { Status::ServerError } else { Status::ClientError };
        fields.exception = text;
    }
    fields
}
