//! A command's head, in either of its two forms.

use super::super::cursor::Cursor;
use std::borrow::Cow;

/// Sizes of the command and of its head, and the head's form.
pub(super) const HEAD: usize = 8;
/// Largest command that is believed, bytes: 16 MiB unless told otherwise.
const LIMIT: u32 = 256 << 20;
const JSON: u8 = 0;
const BINARY: u8 = 1;
/// Most fields of a head that are read.
const FIELDS: usize = 64;

/// How long a command and its head are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    total: u32,
    form: u8,
    head: u32,
}

impl Frame {
    /// `None`: not a command, or too few bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let total = cursor.u32()?;
        let (form, head) = (cursor.u8()?, cursor.u24()?);
        let fits = total <= LIMIT && form <= BINARY && head >= 20 && head.checked_add(4)? <= total;
        fits.then_some(Self { total, form, head })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        4 + u64::from(self.total)
    }

    /// Bytes up to the body.
    pub(super) fn described(self) -> u64 {
        HEAD as u64 + u64::from(self.head)
    }

    /// Whether the head starts as heads of its form do, as far as bytes go.
    pub(super) fn starts(self, bytes: &[u8]) -> bool {
        let rest = bytes.get(HEAD..).unwrap_or_default();
        match self.form {
            JSON => rest.iter().zip(b"{\"").all(|(byte, wanted)| byte == wanted),
            // code, language, version, id, flags, length of the remark
            _ => {
                rest.get(2).is_none_or(|language| *language <= 12)
                    && rest.get(9..12).is_none_or(|flag| flag.iter().all(|byte| *byte == 0))
                    && rest.get(12).is_none_or(|flag| *flag <= 3)
            }
        }
    }
}

/// What a head says.
#[derive(Clone, Debug, Default)]
pub(super) struct Header<'a> {
    pub(super) binary: bool,
    pub(super) code: i32,
    pub(super) id: u32,
    pub(super) version: u32,
    flag: u32,
    pub(super) remark: Cow<'a, [u8]>,
    /// Names and values; values of JSON as they stand there, escapes and all.
    fields: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Header<'a> {
    /// `None`: not a head. A cut one is read as far as it goes, if its number of fields allows to tell what it is.
    pub(super) fn parse(frame: Frame, bytes: &'a [u8]) -> Option<Self> {
        if frame.form == JSON { json(bytes) } else { binary(bytes) }
    }

    /// An answer.
    pub(super) fn is_response(&self) -> bool {
        self.flag & 1 != 0
    }

    /// Not answered.
    pub(super) fn is_one_way(&self) -> bool {
        self.flag & 2 != 0
    }

    /// The value of the first of these fields that there is.
    pub(super) fn field(&self, names: &[&str]) -> Option<Cow<'a, [u8]>> {
        let value = names.iter().find_map(|name| {
            self.fields.iter().find(|(other, _)| *other == name.as_bytes()).map(|(_, value)| *value)
        })?;
        Some(if self.binary { Cow::Borrowed(value) } else { unescaped(value) })
    }
}

fn binary(bytes: &[u8]) -> Option<Header<'_>> {
    let mut cursor = Cursor::new(bytes);
    let code = cursor.u16()?.cast_signed();
    let _language = cursor.u8()?;
    let version = u32::from(cursor.u16()?);
    let (id, flag) = (cursor.u32()?, cursor.u32()?);
    let mut header = Header { binary: true, code: i32::from(code), id, version, flag, ..Header::default() };
    let remark = cursor.u32()? as usize;
    header.remark = Cow::Borrowed(cursor.up_to(remark));
    let len = cursor.u32().unwrap_or_default() as usize;
    let mut fields = Cursor::new(cursor.up_to(len));
    while let Some(len) = fields.u16() {
        let Some(name) = fields.take(usize::from(len)) else { break };
        let Some(len) = fields.u32() else { break };
        header.fields.push((name, fields.up_to(len as usize)));
        if header.fields.len() >= FIELDS {
            break;
        }
    }
    Some(header)
}

/// An object of numbers, texts, and one object of texts.
fn json(bytes: &[u8]) -> Option<Header<'_>> {
    let mut header = Header::default();
    let (mut code, mut id, mut inside) = (None, None, false);
    let mut at = 1;
    while let Some(mark) = bytes.get(at) {
        match mark {
            b'}' if inside => inside = false,
            b'}' => break,
            b'"' => {
                let name = text(bytes, at)?;
                at += name.len() + 2;
                at += blanks(bytes, at);
                if bytes.get(at) != Some(&b':') {
                    break;
                }
                at += 1 + blanks(bytes, at + 1);
                match bytes.get(at) {
                    Some(b'{') if name == b"extFields" => inside = true,
                    Some(b'"') => {
                        let Some(value) = text(bytes, at) else { break };
                        at += value.len() + 1;
                        if inside {
                            header.fields.push((name, value));
                        } else if name == b"remark" {
                            header.remark = unescaped(value);
                        }
                    }
                    Some(_) => {
                        let rest = bytes.get(at..).unwrap_or_default();
                        let len = rest.iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(rest.len());
                        let value = rest.get(..len).unwrap_or_default();
                        let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<i64>().ok());
                        let small = number.and_then(|number| i32::try_from(number).ok());
                        match name {
                            b"code" => code = small,
                            b"opaque" => id = small,
                            b"flag" => header.flag = small.map_or(0, i32::cast_unsigned),
                            b"version" => header.version = small.map_or(0, i32::cast_unsigned),
                            _ => {}
                        }
                        at += len.max(1) - 1;
                    }
                    None => break,
                }
                if header.fields.len() >= FIELDS {
                    break;
                }
            }
            _ => {}
        }
        at += 1;
    }
    header.code = code?;
    header.id = id?.cast_unsigned();
    Some(header)
}

fn blanks(bytes: &[u8], at: usize) -> usize {
    bytes.get(at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The text whose quote stands at `at`, without its quotes.
fn text(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at + 1..)?;
    for end in memchr::memchr_iter(b'"', rest) {
        let before = rest.get(..end)?;
        let slashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
        if slashes % 2 == 0 {
            return Some(before);
        }
    }
    None
}

fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => plain.push(b'\n'),
            Some(b'r') => plain.push(b'\r'),
            Some(b't') => plain.push(b'\t'),
            Some(b'u') => {
                let digits = bytes.by_ref().take(4);
                let number = digits.fold(0, |n, digit| n * 16 + char::from(digit).to_digit(16).unwrap_or_default());
                let mut buffer = [0; 4];
                let character = char::from_u32(number).unwrap_or('\u{fffd}');
                plain.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Cow::Owned(plain)
}
