//! PostgreSQL messages as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::Masker;
use super::super::text::{clean_to, decimal, number};
use crate::model::{RequestFields, Side, Status};

/// Bytes of an error or notice looked at.
const ERROR_WINDOW: usize = 2048;
/// Messages looked at when the protocol is recognised.
const CHAIN_LIMIT: usize = 8;

/// Whether a type byte is one of that side's.
pub(super) fn known(tag: u8, side: Side) -> bool {
    match side {
        Side::Client => b"QPBDECSHFXdcfp".contains(&tag),
        Side::Server => b"RSKZTDCIENA123tnsGHWdcVv".contains(&tag),
    }
}

/// How many bytes of its body must be in view.
pub(super) fn wanted(tag: u8, side: Side) -> usize {
    match (side, tag) {
        (Side::Client, b'Q' | b'P' | b'B') => super::window(),
        (Side::Client, b'E' | b'C') => 256,
        (Side::Server, b'E' | b'N') => ERROR_WINDOW,
        (Side::Server, b'C' | b'A') => 128,
        (Side::Server, b'R') => 4,
        _ => 0,
    }
}

/// How many messages of `side` follow each other in `bytes`, and whether that can hardly be chance.
pub(super) fn chain(bytes: &[u8], side: Side) -> (usize, bool) {
    let mut rest = bytes;
    let mut count = 0;
    let mut sure = false;
    while let Some((tag, tail)) = rest.split_first() {
        if !known(*tag, side) {
            return (0, false);
        }
        let mut cursor = Cursor::new(tail);
        let Some(length) = cursor.u32() else {
            return if count > 0 { (count, sure) } else { (1, false) };
        };
        if !(4..super::LENGTH_LIMIT).contains(&length) {
            return (0, false);
        }
        let whole = length as usize - 4;
        let body = cursor.up_to(whole);
        let complete = body.len() == whole;
        let fits = match (side, *tag) {
            (Side::Client, b'Q') => {
                sure |= body.len() >= 2;
                text(body.strip_suffix(&[0]).unwrap_or(body)) && (!complete || body.last() == Some(&0))
            }
            (Side::Client, b'P') => {
                sure |= body.len() > 4;
                let mut body = Cursor::new(body);
                body.c_string().is_some_and(text) && body.c_string().is_none_or(text)
            }
            (Side::Client, b'B') => {
                let mut body = Cursor::new(body);
                let fits = body.c_string().is_some_and(text) && body.c_string().is_some_and(text);
                sure |= fits && complete && whole > 6;
                fits
            }
            (Side::Client, b'S' | b'H' | b'X' | b'c') | (Side::Server, b'1' | b'2' | b'3' | b'I' | b'n' | b's') => {
                sure |= *tag == b'X' || *tag == b'1' || *tag == b'2';
                whole == 0
            }
            (Side::Client, b'E' | b'D' | b'C' | b'p') => !complete || body.last() == Some(&0) || *tag == b'p',
            (Side::Server, b'Z') => {
                sure |= complete;
                whole == 1 && matches!(body, [] | [b'I' | b'T' | b'E'])
            }
            (Side::Server, b'R') => {
                let auth = matches!(body, [0, 0, 0, 0..=12, ..]) && whole < 4096;
                sure |= auth;
                auth
            }
            (Side::Server, b'C') => {
                let tag = body.strip_suffix(&[0]).unwrap_or(body);
                sure |= complete && tag.first().is_some_and(u8::is_ascii_uppercase);
                whole < 128 && text(tag)
            }
            (Side::Server, b'E' | b'N') => {
                sure |= body.len() > 8;
                matches!(body, [] | [b'S', b'A'..=b'Z', ..])
            }
            (Side::Server, b'T') => match body {
                [high, low, name, ..] => {
                    let columns = usize::from(u16::from_be_bytes([*high, *low]));
                    sure |= (1..=1664).contains(&columns) && whole >= columns * 19;
                    columns <= 1664 && whole >= columns * 19 && (name.is_ascii_graphic() || *name >= 0x80)
                }
                _ => true,
            },
            // Keys of protocol 3.2 have up to 256 bytes.
            (Side::Server, b'K') => (8..=260).contains(&whole),
            (Side::Server, b'S') => text(body.split(|byte| *byte == 0).next().unwrap_or_default()),
            _ => true,
        };
        if !fits {
            return (0, false);
        }
        count += 1;
        rest = cursor.rest();
        if !complete || count >= CHAIN_LIMIT {
            break;
        }
    }
    (count, sure)
}

fn text(bytes: &[u8]) -> bool {
    let bytes = bytes.get(..256).unwrap_or(bytes);
    bytes.iter().all(|byte| *byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r'))
}

/// A startup message's parameters.
pub(super) fn login(body: &[u8]) -> RequestFields {
    let mut cursor = Cursor::new(body);
    let (mut user, mut database, mut application) = (&[][..], &[][..], &[][..]);
    while let (Some(name), Some(value)) = (cursor.c_string(), cursor.c_string()) {
        match name {
            b"user" => user = value,
            b"database" => database = value,
            b"application_name" => application = value,
            b"" => break,
            _ => {}
        }
    }
    // The database is that of the user's name by default.
    let domain = clean_to(if database.is_empty() { user } else { database }, 128);
    let mut fields = RequestFields {
        l7_protocol: "postgresql",
        version: "3",
        request_type: "Login".into(),
        request_resource: format!("user: {} database: {domain}", clean_to(user, 128)).into_boxed_str(),
        endpoint: "Login".into(),
        request_domain: domain,
        user_agent: clean_to(application, 128),
        ..RequestFields::default()
    };
    fields.attributes.push(("user", clean_to(user, 128)));
    fields
}

/// Parameters of a Bind in text format, joined by commas.
pub(super) fn parameters(mut cursor: Cursor<'_>) -> Box<str> {
    let read = |cursor: &mut Cursor<'_>| -> Option<String> {
        let formats = cursor.u16()?;
        let formats: Vec<u16> = (0..formats.min(256)).map_while(|_| cursor.u16()).collect();
        let count = cursor.u16()?;
        let mut text = String::new();
        for place in 0..usize::from(count.min(256)) {
            let length = cursor.u32()?;
            let format = formats.get(place).or(formats.first().filter(|_| formats.len() == 1)).copied().unwrap_or(0);
            if place > 0 {
                text.push_str(", ");
            }
            if length == u32::MAX {
                text.push_str("NULL");
                continue;
            }
            let value = cursor.up_to(length as usize);
            if format == 0 {
                text.push_str(&clean_to(value, 256));
            } else {
                text.push_str(&format!("({} bytes)", value.len()));
            }
        }
        Some(text)
    };
    read(&mut cursor).unwrap_or_default().into_boxed_str()
}

/// What the server's messages said so far.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    rows: Option<u64>,
    tag: Box<str>,
    state: Box<str>,
    text: Box<str>,
    notice: Box<str>,
    /// Data or a result was seen.
    spoke: bool,
}

impl Outcome {
    /// Takes a message.
    pub(super) fn see(&mut self, tag: u8, body: &[u8], _mask: &mut Masker) {
        self.spoke |= matches!(tag, b'T' | b'D' | b'C' | b'E' | b'I' | b's' | b'G' | b'H');
        match tag {
            b'C' => {
                let text = body.strip_suffix(&[0]).unwrap_or(body);
                self.tag = clean_to(text, 64);
                let count = text.rsplit(|byte| *byte == b' ').next().and_then(decimal);
                if let Some(count) = count {
                    self.rows = Some(self.rows.unwrap_or_default() + count);
                }
            }
            b'E' if self.text.is_empty() => (self.state, self.text) = error(body),
            _ => {}
        }
    }

    /// A NoticeResponse.
    pub(super) fn notice(&mut self, body: &[u8]) {
        self.notice = error(body).1;
    }

    /// Whether an error was seen.
    pub(super) fn failed(&self) -> bool {
        !self.text.is_empty() || !self.state.is_empty()
    }

    /// Whether anything of a result was seen.
    pub(super) fn speaks(&self) -> bool {
        self.spoke
    }

    /// What it adds to a row.
    pub(super) fn fields(self, mask: &mut Masker) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "postgresql", ..RequestFields::default() };
        fields.affected_rows = self.rows;
        fields.result = self.tag;
        if self.state.is_empty() {
            fields.status = Status::Ok;
        } else {
            fields.status = status(&self.state);
            // Invalid input is quoted in messages of class 22.
            let text = if self.state.starts_with("22") { mask.quoted(self.text, '"') } else { self.text };
            fields.exception = format!("{}: {text}", self.state).into_boxed_str();
            fields.attributes.push(("sqlstate", self.state));
        }
        if !self.notice.is_empty() {
            fields.attributes.push(("notice", self.notice));
        }
        if let Some(rows) = fields.affected_rows.filter(|_| fields.result.is_empty()) {
            fields.result = number(rows);
        }
        fields
    }
}

/// SQLSTATE and message of an ErrorResponse.
fn error(body: &[u8]) -> (Box<str>, Box<str>) {
    let mut cursor = Cursor::new(body);
    let (mut state, mut text) = (Box::default(), Box::default());
    while let Some(field) = cursor.u8().filter(|field| *field != 0) {
        let value = match cursor.c_string() {
            Some(value) => value,
            None => cursor.up_to(ERROR_WINDOW),
        };
        match field {
            b'C' => state = clean_to(value, 5),
            b'M' => text = clean_to(value, 512),
            _ => {}
        }
    }
    (state, text)
}

/// The class of an SQLSTATE says whose fault it is (manual, appendix "PostgreSQL Error Codes").
fn status(state: &str) -> Status {
    match state.get(..2).unwrap_or_default() {
        "00" | "01" | "02" => Status::Ok,
        "03" | "0A" | "0B" | "0F" | "0L" | "0P" | "20" | "21" | "22" | "23" | "24" | "25" | "26" | "27" | "28"
        | "2B" | "2D" | "2F" | "34" | "3B" | "3D" | "3F" | "42" | "44" => Status::ClientError,
        _ => Status::ServerError,
    }
}
