//! Connects, calls and answers as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::Masker;
use super::super::sql::{Dialect, statement};
use super::super::text::clean_to;
use crate::model::{RequestFields, Status};

/// Verbs that statements start with; shorter texts in calls are taken for none.
const VERBS: [&[u8]; 17] = [
    b"SELECT",
    b"INSERT",
    b"UPDATE",
    b"DELETE",
    b"MERGE",
    b"BEGIN",
    b"DECLARE",
    b"ALTER",
    b"CREATE",
    b"DROP",
    b"TRUNCATE",
    b"WITH",
    b"CALL",
    b"GRANT",
    b"COMMIT",
    b"EXPLAIN",
    b"LOCK",
];
/// Bytes in front of a call's text that are searched for it.
const SEARCH: usize = 2048;

fn version(number: u16) -> &'static str {
    match number {
        300..=309 => "TNS 8",
        310 => "TNS 310",
        311 => "TNS 311",
        312 => "TNS 312",
        313 => "TNS 313",
        314 => "TNS 314",
        315 => "TNS 315",
        316 => "TNS 316",
        317 => "TNS 317",
        318 => "TNS 318",
        319 => "TNS 319",
        _ => "",
    }
}

/// The version a connect or an accept packet tells first.
pub(super) fn version_of(body: &[u8]) -> u16 {
    Cursor::new(body).u16().unwrap_or_default()
}

/// A connect packet as a row, and whether its text comes in another packet.
pub(super) fn connect(body: &[u8]) -> (RequestFields, bool) {
    let mut cursor = Cursor::new(body);
    let number = cursor.u16().unwrap_or_default();
    cursor.up_to(14);
    let len = usize::from(cursor.u16().unwrap_or_default());
    // Counted from the packet's first byte.
    let at = usize::from(cursor.u16().unwrap_or_default()).saturating_sub(super::HEAD);
    let text = body.get(at..).unwrap_or_default();
    let text = text.get(..len).unwrap_or(text);
    let mut fields = connect_text(text);
    fields.version = version(number);
    (fields, len > 0 && text.is_empty())
}

/// `(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME=shop)(CID=(PROGRAM=app)(HOST=h)(USER=u))))`
pub(super) fn connect_text(text: &[u8]) -> RequestFields {
    let mut fields = RequestFields { request_type: "Connect".into(), ..RequestFields::default() };
    let service = word(text, b"SERVICE_NAME").or_else(|| word(text, b"SID")).unwrap_or_default();
    fields.request_domain = clean_to(service, 128);
    fields.request_resource = fields.request_domain.clone();
    fields.user_agent = word(text, b"PROGRAM").map_or_else(Box::default, |value| clean_to(value, 128));
    for (name, key) in [("user", &b"USER"[..]), ("server_type", b"SERVER"), ("command", b"COMMAND")] {
        if let Some(value) = word(text, key).filter(|value| !value.is_empty()) {
            fields.attributes.push((name, clean_to(value, 128)));
        }
    }
    fields
}

/// The value of `(key=value)`, in any case.
fn word<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    for at in memchr::memchr_iter(b'(', text) {
        let rest = text.get(at + 1..)?.trim_ascii_start();
        let Some((name, value)) = rest.split_at_checked(key.len()) else { continue };
        let value = value.trim_ascii_start();
        if name.eq_ignore_ascii_case(key) && value.first() == Some(&b'=') {
            let end = value.iter().position(|byte| matches!(byte, b')' | b'(')).unwrap_or(value.len());
            return Some(value.get(1..end).unwrap_or_default().trim_ascii());
        }
    }
    None
}

/// Names of calls.
fn call_name(function: u8) -> Option<&'static str> {
    Some(match function {
        0x02 => "Open",
        0x03 => "Query",
        0x04 => "Execute",
        0x05 => "Fetch",
        0x08 => "Close",
        0x09 => "Logoff",
        0x0e => "Commit",
        0x0f => "Rollback",
        0x14 => "Cancel",
        0x2b => "Describe",
        0x3b => "Version",
        0x47 => "SwitchSession",
        0x4a => "Parse",
        0x4e => "ParseExecute",
        0x51 => "LogonPhase1",
        0x52 => "LogonPhase2",
        0x54 => "BundledCall",
        0x5e => "ExecuteAll",
        0x60 => "LobOperation",
        0x62 => "DescribeAny",
        0x67 => "TransactionStart",
        0x68 => "TransactionEnd",
        0x69 => "CloseCursors",
        0x6b => "SwitchSession",
        0x73 => "AuthPhase2",
        0x76 => "AuthPhase1",
        0x77 => "DescribeColumns",
        0x78 => "CancelCursors",
        0x8a => "ProxySession",
        0x93 => "Ping",
        0x9d => "FastUnparsed",
        0xac => "Sessionless",
        _ => return None,
    })
}

/// A call.
pub(super) struct Call {
    pub(super) fields: RequestFields,
}

impl Call {
    /// `goes_on`: a call's packet came before, so this one, unless it starts a call, is more of it.
    pub(super) fn parse(body: &[u8], goes_on: bool, mask: &mut Masker) -> Option<Self> {
        let data = body.get(2..)?;
        let mut fields = RequestFields::default();
        let text = |data: &[u8]| sql(data).map(<[u8]>::to_vec);
        match *data {
            // An end of file, or nothing.
            [] => return None,
            [0xde, 0xad, 0xbe, 0xef, ..] => fields.request_type = "SecureNetworkServices".into(),
            [1, ..] if !goes_on => fields.request_type = "SetProtocol".into(),
            [2, ..] if !goes_on => fields.request_type = "SetDatatypes".into(),
            [0x22, ..] if !goes_on => fields.request_type = "FastAuth".into(),
            [kind @ (3 | 0x11), function, ..] => {
                // Calls that may wait for the next one come in front of it: cursors to close, a session to switch.
                let known = call_name(function);
                if goes_on && known.is_none() {
                    return None;
                }
                let behind = if kind == 0x11 { behind(data) } else { None };
                let (function, data) = behind.map_or((function, data), |at| {
                    (data.get(at + 1).copied().unwrap_or(function), data.get(at..).unwrap_or(data))
                });
                fields.request_type = call_name(function).map_or_else(|| format!("Call {function}").into(), Into::into);
                if let Some(text) = text(data) {
                    statement(&text, Dialect::PostgreSql, mask).fill(&mut fields);
                }
                if matches!(function, 0x73 | 0x76) {
                    fields.user_agent = key_value(data, b"AUTH_PROGRAM_NM");
                }
            }
            _ if goes_on => return None,
            _ => fields.request_type = "Data".into(),
        }
        Some(Self { fields })
    }
}

/// The text behind a name of a key, as logins send them: the name, a size, the text's length, the text.
fn key_value(data: &[u8], name: &[u8]) -> Box<str> {
    let Some(at) = memchr::memmem::find(data, name) else {
        return Box::default();
    };
    let rest = data.get(at + name.len()..).unwrap_or_default();
    // A size of one to four bytes and the length of one: texts are printable.
    let start = rest.iter().take(8).position(|byte| byte.is_ascii_graphic());
    start.map_or_else(Box::default, |start| {
        let text = rest.get(start..).unwrap_or_default();
        // What looks like a letter may be the length of the text.
        let len = start.checked_sub(1).and_then(|at| rest.get(at)).copied().map_or(0, usize::from);
        let text = text.get(..len).filter(|_| len > 0).unwrap_or_default();
        clean_to(text, 128)
    })
}

/// Where the call behind one that could wait stands: a kind and a function that is known.
fn behind(data: &[u8]) -> Option<usize> {
    let near = data.get(2..256).or(data.get(2..))?;
    near.windows(2)
        .position(|pair| matches!(pair, [3, 0x5e | 0x05 | 0x04 | 0x0e | 0x0f | 0x60 | 0x93 | 0x09 | 0x76 | 0x73]))
        .map(|at| at + 2)
}

/// The statement in a call: a verb with its length in front, printable.
fn sql(data: &[u8]) -> Option<&[u8]> {
    let near = data.get(..SEARCH).unwrap_or(data);
    for at in 2..near.len() {
        let rest = data.get(at..)?;
        let first = rest.first()?.to_ascii_uppercase();
        if !first.is_ascii_uppercase() && first != b'(' && first != b'/' && first != b'-' {
            continue;
        }
        let trimmed = rest.get(..64).unwrap_or(rest).trim_ascii_start();
        let trimmed = trimmed.strip_prefix(b"(").unwrap_or(trimmed);
        let comment = trimmed.starts_with(b"/*") || trimmed.starts_with(b"--");
        let verb = VERBS.iter().any(|verb| {
            trimmed.get(..verb.len()).is_some_and(|start| start.eq_ignore_ascii_case(verb))
                && trimmed.get(verb.len()).is_none_or(|next| !next.is_ascii_alphanumeric() && *next != b'_')
        });
        if !verb && !comment {
            continue;
        }
        // Its length in a byte; or in pieces, behind 0xfe: the first one is taken.
        let len = usize::from(*data.get(at - 1)?);
        let piece = at >= 2 && data.get(at - 2) == Some(&0xfe);
        let printable = rest.iter().take_while(|byte| **byte >= 0x20 || matches!(byte, b'\n' | b'\r' | b'\t')).count();
        let len =
            if len >= 6 && (len <= printable || len > rest.len()) && !piece { len.min(rest.len()) } else { printable };
        if len >= 6 {
            return rest.get(..len);
        }
    }
    None
}

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Answer {
    code: Option<i32>,
    text: Box<str>,
    status: Option<Status>,
    result: Box<str>,
}

impl Answer {
    /// The connection is made.
    pub(super) fn accepted(number: u16) -> Self {
        Self { status: Some(Status::Ok), result: version(number).into(), ..Self::default() }
    }

    /// `(DESCRIPTION=(ERR=12514)...)` behind two reasons and a length.
    pub(super) fn refused(body: &[u8]) -> Self {
        let text = body.get(4..).unwrap_or_default();
        let code = word(text, b"ERR").and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<i32>().ok());
        let text = code.map_or_else(|| clean_to(text, 256), |code| format!("ORA-{code:05}").into());
        let status = match code {
            // No such service or instance, not allowed.
            Some(12505 | 12514 | 12504 | 12502 | 1017 | 12521 | 12546) => Status::ClientError,
            _ => Status::ServerError,
        };
        Self { code, text, status: Some(status), ..Self::default() }
    }

    /// Try there.
    pub(super) fn redirected(body: &[u8]) -> Self {
        let text = body.get(2..).unwrap_or_default();
        let place = match (word(text, b"HOST"), word(text, b"PORT")) {
            (Some(host), Some(port)) => format!("redirected to {}:{}", clean_to(host, 128), clean_to(port, 8)).into(),
            _ => "redirected".into(),
        };
        Self { status: Some(Status::Ok), result: place, ..Self::default() }
    }

    /// Say it again.
    pub(super) fn resend() -> Self {
        Self { status: Some(Status::Ok), result: "resend".into(), ..Self::default() }
    }

    /// More of the answer: errors are told as texts, at the end.
    pub(super) fn read(&mut self, body: &[u8]) {
        let data = body.get(2..).unwrap_or_default();
        let near = data.len().saturating_sub(1024);
        let tail = data.get(near..).unwrap_or_default();
        let Some(at) = memchr::memmem::rfind(tail, b"ORA-") else {
            return;
        };
        let rest = tail.get(at..).unwrap_or_default();
        let digits = rest.get(4..9).unwrap_or_default();
        let colon = rest.get(9) == Some(&b':');
        let Some(code) =
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i32>().ok()).filter(|_| colon)
        else {
            return;
        };
        // Of several lines the first names the cause.
        let first = memchr::memmem::find(tail, b"ORA-").unwrap_or(at);
        let lines = tail.get(first..).unwrap_or_default();
        let end = memchr::memchr(b'\n', lines).unwrap_or(lines.len());
        let code = first_code(lines).unwrap_or(code);
        // 1403: no more rows.
        if matches!(code, 0 | 1403) {
            return;
        }
        self.code = Some(code);
        self.text = clean_to(lines.get(..end).unwrap_or_default(), 512);
        self.status = Some(status(code));
    }

    /// As a row.
    pub(super) fn fields(self, mask: &mut Masker) -> RequestFields {
        RequestFields {
            status: self.status.unwrap_or(Status::Ok),
            code: self.code,
            exception: mask.quoted(self.text, '\''),
            result: self.result,
            ..RequestFields::default()
        }
    }
}

fn first_code(lines: &[u8]) -> Option<i32> {
    std::str::from_utf8(lines.get(4..9)?).ok()?.parse().ok()
}

/// Constraints, statements, names, rights and logins are the client's; the rest is the server's.
fn status(code: i32) -> Status {
    match code {
        1
        | 900..=1012
        | 1017
        | 1031
        | 1036
        | 1400
        | 1401
        | 1407
        | 1410..=1476
        | 1722
        | 1756
        | 1795
        | 1830..=1899
        | 2289..=2293
        | 4043
        | 6502
        | 6508
        | 6511
        | 6550
        | 12899
        | 20000..=20999
        | 28000..=28009 => Status::ClientError,
        _ => Status::ServerError,
    }
}
