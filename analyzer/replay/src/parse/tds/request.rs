//! What clients ask, as rows see it: logins, statements, procedures.

use super::super::cursor::Cursor;
use super::super::mask::Masker;
use super::super::sql::{Dialect, Statement, statement};
use super::super::text::{clean_to, hex, number};
use crate::model::RequestFields;

/// Bytes of a message's content that are kept: text takes two a character.
pub(super) const CONTENT: usize = 16 * 1024;
/// Procedures that go by a number (MS-TDS 2.2.6.6).
const PROCEDURES: [&str; 16] = [
    "",
    "sp_cursor",
    "sp_cursoropen",
    "sp_cursorprepare",
    "sp_cursorexecute",
    "sp_cursorprepexec",
    "sp_cursorunprepare",
    "sp_cursorfetch",
    "sp_cursoroption",
    "sp_cursorclose",
    "sp_executesql",
    "sp_prepare",
    "sp_execute",
    "sp_prepexec",
    "sp_prepexecrpc",
    "sp_unprepare",
];

/// UTF-16, little endian, as UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    let units = bytes.as_chunks::<2>().0;
    let mut text = String::with_capacity(units.len());
    // Mostly plain letters.
    if units.iter().all(|unit| unit[1] == 0 && unit[0] < 0x80) {
        text.extend(units.iter().map(|unit| char::from(unit[0])));
        return text;
    }
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    text.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
    text
}

/// The headers in front of statements since TDS 7.2: where they end, and the activity's id if one is told.
pub(super) fn headers(body: &[u8]) -> Option<(usize, Option<[u8; 16]>)> {
    let mut cursor = Cursor::new(body);
    let total = cursor.u32_le()? as usize;
    if !(10..=512).contains(&total) {
        return None;
    }
    let mut activity = None;
    while cursor.position() < total {
        let at = cursor.position();
        let (len, kind) = (cursor.u32_le()? as usize, cursor.u16_le()?);
        if len < 6 || at + len > total || !(1..=3).contains(&kind) {
            return None;
        }
        let data = cursor.take(len - 6)?;
        if kind == 3 {
            activity = data.first_chunk::<16>().copied();
        }
    }
    (cursor.position() == total).then_some((total, activity))
}

/// What a procedure call asks for.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) fields: RequestFields,
    /// Text that the server is asked to keep, under a handle that it will tell.
    pub(super) prepares: Option<Statement>,
    /// Handle of a text it has kept.
    pub(super) handle: Option<u32>,
    /// The handle is given back.
    pub(super) forgets: bool,
}

/// A batch of statements.
pub(super) fn batch(content: &[u8], mask: &mut Masker) -> RequestFields {
    let mut fields = RequestFields { request_type: "SQLBatch".into(), ..RequestFields::default() };
    let body = behind_headers(content, &mut fields);
    statement(text(body).as_bytes(), Dialect::SqlServer, mask).fill(&mut fields);
    fields
}

fn behind_headers<'a>(content: &'a [u8], fields: &mut RequestFields) -> &'a [u8] {
    let Some((end, activity)) = headers(content) else {
        return content;
    };
    if let Some(activity) = activity {
        fields.x_request_id = hex(&activity).into();
    }
    content.get(end..).unwrap_or_default()
}

/// A request of TDS 5, told by its first token: statements and names are in the client's character set.
pub(super) fn language(content: &[u8], mask: &mut Masker) -> RequestFields {
    let mut fields = RequestFields { request_type: "Language".into(), ..RequestFields::default() };
    let mut cursor = Cursor::new(content);
    match cursor.u8() {
        Some(0x21) => {
            let len = cursor.u32_le().unwrap_or_default() as usize;
            let _status = cursor.u8();
            statement(cursor.up_to(len.saturating_sub(1)), Dialect::SqlServer, mask).fill(&mut fields);
        }
        Some(0xe7 | 0x62) => {
            // What is to be done with a statement of this name: prepare, execute, give back.
            fields.request_type = "Dynamic".into();
            let wide = content.first() == Some(&0x62);
            let size = |cursor: &mut Cursor<'_>| if wide { cursor.u32_le() } else { cursor.u16_le().map(u32::from) };
            let _size = size(&mut cursor);
            let (_kind, _status) = (cursor.u8(), cursor.u8());
            let name = usize::from(cursor.u8().unwrap_or_default());
            let name = clean_to(cursor.up_to(name), 128);
            let len = size(&mut cursor).unwrap_or_default() as usize;
            let text = cursor.up_to(len);
            if text.is_empty() {
                fields.request_resource = name.clone();
                fields.endpoint = name;
            } else {
                statement(text, Dialect::SqlServer, mask).fill(&mut fields);
                fields.attributes.push(("statement", name));
            }
        }
        Some(0xe6) => {
            fields.request_type = "RPC".into();
            let _size = cursor.u16_le();
            let len = usize::from(cursor.u8().unwrap_or_default());
            fields.request_resource = clean_to(cursor.up_to(len), 256);
            fields.endpoint = fields.request_resource.clone();
        }
        Some(0x71) => fields.request_type = "Logout".into(),
        _ => {}
    }
    fields
}

/// A procedure call; those that carry a statement are shown as the statement.
pub(super) fn call(content: &[u8], mask: &mut Masker) -> Call {
    let mut call = Call::default();
    call.fields.request_type = "RPC".into();
    let mut cursor = Cursor::new(behind_headers(content, &mut call.fields));
    let name: Box<str> = match cursor.u16_le() {
        Some(0xffff) => {
            let id = cursor.u16_le().unwrap_or_default();
            PROCEDURES.get(usize::from(id)).map_or_else(|| number(u64::from(id)), |name| (*name).into())
        }
        Some(len) => clean_to(text(cursor.up_to(usize::from(len) * 2)).as_bytes(), 256),
        None => Box::default(),
    };
    let _options = cursor.u16_le();
    let place = match &*name {
        "sp_executesql" => 1,
        "sp_cursoropen" => 2,
        "sp_prepare" | "sp_prepexec" | "sp_cursorprepare" => 3,
        "sp_cursorprepexec" => 4,
        _ => 0,
    };
    let handled = matches!(&*name, "sp_execute" | "sp_unprepare" | "sp_cursorexecute" | "sp_cursorunprepare");
    let wanted = if handled { 1 } else { place };
    let mut value = Value::Other;
    for _ in 0..wanted {
        match parameter(&mut cursor) {
            Some(next) => value = next,
            None => {
                value = Value::Other;
                break;
            }
        }
    }
    match value {
        Value::Text(sql) if place > 0 => {
            let statement = statement(text(sql).as_bytes(), Dialect::SqlServer, mask);
            statement.fill(&mut call.fields);
            call.prepares = matches!(&*name, "sp_prepare" | "sp_prepexec").then_some(statement);
        }
        Value::Number(handle) if handled => call.handle = Some(handle),
        _ => {}
    }
    call.forgets = &*name == "sp_unprepare";
    if call.fields.request_resource.is_empty() {
        call.fields.request_resource = name.clone();
        call.fields.endpoint = name;
    } else {
        call.fields.attributes.push(("procedure", name));
    }
    call
}

/// A parameter, as far as it matters here.
enum Value<'a> {
    Text(&'a [u8]),
    Number(u32),
    Other,
}

/// A name, flags, a type, a value. `None`: a type that is not followed.
fn parameter<'a>(cursor: &mut Cursor<'a>) -> Option<Value<'a>> {
    let name = cursor.u8()?;
    cursor.take(usize::from(name) * 2)?;
    let _flags = cursor.u8()?;
    match cursor.u8()? {
        // INT, and integers that may be NULL.
        0x38 => Some(Value::Number(cursor.u32_le()?)),
        0x26 => {
            let _largest = cursor.u8()?;
            let len = cursor.u8()?;
            let bytes = cursor.take(usize::from(len))?;
            Some(<[u8; 4]>::try_from(bytes).map_or(Value::Other, |bytes| Value::Number(u32::from_le_bytes(bytes))))
        }
        // NVARCHAR
        0xe7 => {
            let largest = cursor.u16_le()?;
            let _collation = cursor.take(5)?;
            if largest != 0xffff {
                return Some(match cursor.u16_le()? {
                    0xffff => Value::Other,
                    len => Value::Text(cursor.up_to(usize::from(len))),
                });
            }
            // In chunks: the first one is looked at.
            if cursor.u64_le()? == u64::MAX {
                return Some(Value::Other);
            }
            let mut first = &[][..];
            loop {
                match cursor.u32_le() {
                    Some(0) | None => return Some(Value::Text(first)),
                    Some(len) => {
                        let chunk = cursor.up_to(len as usize);
                        if first.is_empty() {
                            first = chunk;
                        }
                    }
                }
            }
        }
        // NTEXT
        0x63 => {
            let _largest = cursor.u32_le()?;
            let _collation = cursor.take(5)?;
            let len = cursor.u32_le()?;
            Some(if len == u32::MAX { Value::Other } else { Value::Text(cursor.up_to(len as usize)) })
        }
        _ => None,
    }
}

/// Version by the number in logins and their acknowledgements.
pub(super) fn version(number: u32) -> &'static str {
    match number >> 24 {
        0x74 => "7.4",
        0x73 => "7.3",
        0x72 => "7.2",
        0x71 => "7.1",
        0x70 => "7.0",
        5 => "5.0",
        _ => "",
    }
}

/// A login of TDS 7; passwords are not looked at.
pub(super) fn login7(content: &[u8]) -> RequestFields {
    let mut fields = RequestFields { request_type: "Login7".into(), ..RequestFields::default() };
    let word =
        |at: usize| content.get(at..at + 2).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()).map(u16::from_le_bytes);
    let field = |at: usize| {
        let (from, len) = (word(at).unwrap_or_default(), word(at + 2).unwrap_or_default());
        let from = usize::from(from);
        let bytes = content.get(from..(from + usize::from(len) * 2).min(content.len())).unwrap_or_default();
        clean_to(text(bytes).as_bytes(), 128)
    };
    let number = Cursor::new(content.get(4..).unwrap_or_default()).u32_le().unwrap_or_default();
    fields.version = version(number);
    fields.request_domain = field(68);
    fields.user_agent = field(48);
    for (name, at) in [("host", 36), ("user", 40), ("server", 52), ("library", 60)] {
        let value = field(at);
        if !value.is_empty() {
            fields.attributes.push((name, value));
        }
    }
    fields
}

/// A login of TDS 5: texts of fixed places, their lengths behind them.
pub(super) fn login5(content: &[u8]) -> RequestFields {
    let mut fields = RequestFields { request_type: "Login".into(), version: "5.0", ..RequestFields::default() };
    let field = |at: usize| {
        let len = content.get(at + 30).copied().map_or(0, usize::from).min(30);
        clean_to(content.get(at..at + len).unwrap_or_default(), 30)
    };
    fields.user_agent = field(140);
    for (name, at) in [("host", 0), ("user", 31), ("server", 171)] {
        let value = field(at);
        if !value.is_empty() {
            fields.attributes.push((name, value));
        }
    }
    fields
}

/// What may be encrypted, by a prelogin's options; and the version of what sent them.
pub(super) fn prelogin(content: &[u8]) -> (Option<&'static str>, Option<Box<str>>) {
    let (mut encryption, mut version) = (None, None);
    for option in content.chunks_exact(5).take(16) {
        let [kind, offset @ .., _, _] = option else { break };
        let at = match offset {
            [high, low] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => break,
        };
        match (kind, content.get(at..)) {
            (0xff, _) => break,
            (0, Some([major, minor, high, low, ..])) => {
                version = Some(format!("{major}.{minor}.{}", u16::from_be_bytes([*high, *low])).into());
            }
            (1, Some([value, ..])) => {
                encryption = Some(match value {
                    0 => "login only",
                    1 => "on",
                    2 => "not supported",
                    3 => "required",
                    _ => "client certificate",
                });
            }
            _ => {}
        }
    }
    (encryption, version)
}

/// Begins and ends of transactions.
pub(super) fn transaction(content: &[u8]) -> RequestFields {
    let mut fields = RequestFields { request_type: "TransactionManager".into(), ..RequestFields::default() };
    let body = behind_headers(content, &mut fields);
    let name = match Cursor::new(body).u16_le() {
        Some(0) => "GET DTC ADDRESS",
        Some(1) => "PROPAGATE TRANSACTION",
        Some(5) => "BEGIN TRANSACTION",
        Some(6) => "PROMOTE TRANSACTION",
        Some(7) => "COMMIT TRANSACTION",
        Some(8) => "ROLLBACK TRANSACTION",
        Some(9) => "SAVE TRANSACTION",
        _ => "",
    };
    fields.request_resource = name.into();
    fields.endpoint = name.into();
    fields
}
