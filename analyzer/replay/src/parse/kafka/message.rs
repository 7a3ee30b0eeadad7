//! Kafka requests and responses as rows see them: topics, partitions and error codes, in both encodings.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use super::super::trace_context;
use super::api::{self, Api};
use crate::model::{RequestFields, Status};

/// Largest message that is believed, bytes.
const SIZE_LIMIT: u32 = 1 << 30;
/// Names are at most this long.
const NAME_LIMIT: usize = 249;
/// Headers of a record looked at.
const HEADERS: u64 = 64;

/// What stands in front of every request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// Bytes behind the length.
    pub(super) size: u32,
    pub(super) key: i16,
    pub(super) version: i16,
    pub(super) correlation: u32,
    pub(super) api: Api,
    /// As far as it is in view.
    pub(super) client_id: &'a [u8],
    /// Bytes in front of the body, `None` if they are not all in view.
    body_at: Option<usize>,
}

/// Bytes of the fixed part, with the length of the client id.
pub(super) const FIXED: usize = 14;

impl<'a> Head<'a> {
    /// `None`: not a request. At least [`FIXED`] bytes are wanted.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let size = cursor.u32().filter(|size| (10..=SIZE_LIMIT).contains(size))?;
        let (key, version) = (cursor.u16()?.cast_signed(), cursor.u16()?.cast_signed());
        let correlation = cursor.u32()?;
        let api = Api::of(key)?;
        let length = cursor.u16()?.cast_signed();
        let fits = (0..=api::LAST_VERSION).contains(&version)
            && correlation < 1 << 30
            && (-1..=1024).contains(&length)
            && i64::from(size) >= 10 + i64::from(length.max(0));
        if !fits {
            return None;
        }
        let wanted = usize::try_from(length).unwrap_or_default();
        let client_id = cursor.up_to(wanted);
        if !client_id.iter().all(|byte| (0x20..0x7f).contains(byte)) {
            return None;
        }
        let whole = client_id.len() == wanted;
        if whole && api.is_flexible(version) {
            tags(&mut cursor);
        }
        let body_at = whole.then(|| cursor.position());
        Some(Self { size, key, version, correlation, api, client_id, body_at })
    }

    /// Bytes on the stream.
    pub(super) fn total(&self) -> u64 {
        u64::from(self.size) + 4
    }

    /// As a row; `bytes` are those of [`Head::parse`]. Second: the sender wants no answer.
    pub(super) fn request(&self, bytes: &[u8]) -> (RequestFields, bool) {
        let mut fields = RequestFields {
            l7_protocol: "kafka",
            version: api::version_name(self.version),
            request_type: self.api.name.into(),
            session_id: Some(u64::from(self.correlation)),
            ..RequestFields::default()
        };
        if !self.client_id.is_empty() {
            fields.attributes.push(("client_id", clean_to(self.client_id, NAME_LIMIT)));
        }
        let end = usize::try_from(self.total()).unwrap_or(usize::MAX).min(bytes.len());
        let body = self.body_at.and_then(|at| bytes.get(at..end)).unwrap_or_default();
        let mut reader = Reader { cursor: Cursor::new(body), flexible: self.api.is_flexible(self.version) };
        let mut asked = Asked::default();
        // What was found before the bytes end stays.
        let _ = asked.read(self.key, self.version, &mut reader, &mut fields);
        if let Some(topic) = asked.topic.filter(|topic| !topic.is_empty()) {
            fields.request_resource = clean_to(topic, NAME_LIMIT);
            fields.endpoint = match asked.partition {
                Some(partition) => format!("{}-{partition}", fields.request_resource).into(),
                None => fields.request_resource.clone(),
            };
        }
        if let Some(group) = asked.group.filter(|group| !group.is_empty()) {
            fields.attributes.push(("group", clean_to(group, NAME_LIMIT)));
        }
        (fields, asked.no_answer)
    }
}

/// What a request's body says.
#[derive(Debug, Default)]
struct Asked<'a> {
    topic: Option<&'a [u8]>,
    partition: Option<i32>,
    group: Option<&'a [u8]>,
    no_answer: bool,
}

impl<'a> Asked<'a> {
    fn read(&mut self, key: i16, v: i16, body: &mut Reader<'a>, fields: &mut RequestFields) -> Option<()> {
        match key {
            0 => {
                if v >= 3 {
                    body.string()?;
                }
                self.no_answer = body.i16()? == 0;
                body.i32()?;
                self.topics(body, v >= 13)?;
                let records = body.bytes()?;
                record_headers(records, fields);
            }
            1 => {
                body.skip(if v >= 15 { 8 } else { 12 })?;
                body.skip(if v >= 3 { 4 } else { 0 })?;
                body.skip(usize::from(v >= 4))?;
                body.skip(if v >= 7 { 8 } else { 0 })?;
                self.topics(body, v >= 13)?;
            }
            2 => {
                body.skip(4 + usize::from(v >= 2))?;
                self.topics(body, false)?;
            }
            3 | 19 | 20 if body.array()? > 0 => {
                // Metadata from version 10 on tells the id first, deletion the name.
                body.skip(if key == 3 && v >= 10 { 16 } else { 0 })?;
                self.topic = Some(body.string()?);
            }
            8 => {
                self.group = Some(body.string()?);
                if v >= 1 {
                    body.i32()?;
                    body.string()?;
                }
                if v >= 7 {
                    body.string()?;
                }
                body.skip(if (2..=4).contains(&v) { 8 } else { 0 })?;
                self.topics(body, v >= 10)?;
            }
            9 => {
                if v >= 8 && body.array()? == 0 {
                    return None;
                }
                self.group = Some(body.string()?);
                if v >= 9 {
                    body.string()?;
                    body.i32()?;
                }
                self.topics(body, v >= 10)?;
            }
            10 if v < 4 => self.group = Some(body.string()?),
            11..=14 => self.group = Some(body.string()?),
            15 | 42 if body.array()? > 0 => self.group = Some(body.string()?),
            28 => {
                body.string()?;
                self.group = Some(body.string()?);
            }
            _ => {}
        }
        Some(())
    }

    /// The first topic, by name or by id, and its first partition.
    fn topics(&mut self, body: &mut Reader<'a>, by_id: bool) -> Option<()> {
        if body.array()? == 0 {
            return None;
        }
        if by_id {
            body.skip(16)?;
        } else {
            self.topic = Some(body.string()?);
        }
        if body.array()? > 0 {
            self.partition = Some(body.i32()?);
        }
        Some(())
    }
}

/// What a response is to be read as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) key: i16,
    pub(super) version: i16,
}

/// The first error of a response, and what was said of it; `body` is what follows the correlation id.
pub(super) fn response(awaited: Awaited, body: &[u8]) -> RequestFields {
    let Awaited { key, version } = awaited;
    let flexible = Api::of(key).is_some_and(|api| api.is_flexible(version));
    let mut reader = Reader { cursor: Cursor::new(body), flexible };
    // Answers to ApiVersions have the old head in all versions, so that old clients understand.
    if flexible && key != 18 {
        tags(&mut reader.cursor);
    }
    let mut fields = RequestFields { l7_protocol: "kafka", ..RequestFields::default() };
    let code = answer(key, version, &mut reader, &mut fields);
    fields.code = code.map(i32::from);
    fields.status = match code {
        None | Some(0) => Status::Ok,
        Some(_) => Status::ServerError,
    };
    if let Some(code) = code.filter(|code| *code != 0 && fields.exception.is_empty()) {
        fields.exception = api::error_name(code).into();
    }
    fields
}

fn answer(key: i16, v: i16, body: &mut Reader<'_>, fields: &mut RequestFields) -> Option<i16> {
    let throttled_since = match key {
        0 => i16::MAX,
        1 | 10 | 12..=16 | 20 => 1,
        2 | 11 | 19 => 2,
        3 | 8 | 9 => 3,
        17 | 18 | 36 => i16::MAX,
        _ => 0,
    };
    // SyncGroup, Heartbeat, LeaveGroup from 1 on; JoinGroup from 2 on.
    body.skip(if v >= throttled_since { 4 } else { 0 })?;
    match key {
        0 => {
            if body.array()? == 0 {
                return None;
            }
            let topic = if v >= 13 { body.take(16).map(|_| &[][..])? } else { body.string()? };
            if body.array()? == 0 {
                return None;
            }
            let partition = body.i32()?;
            let code = body.i16()?;
            if let Some(offset) = body.i64().filter(|_| code == 0) {
                fields.result = format!("{}-{partition}:{offset}", clean_to(topic, NAME_LIMIT)).into();
            }
            Some(code)
        }
        1 => fetched(v, body),
        2 | 8 | 28 => {
            if body.array()? == 0 {
                return None;
            }
            if key == 8 && v >= 10 {
                body.skip(16)?;
            } else {
                body.string()?;
            }
            (body.array()? > 0).then(|| body.i32())??;
            body.i16()
        }
        3 => {
            for _ in 0..body.array()? {
                body.i32()?;
                body.string()?;
                body.i32()?;
                if v >= 1 {
                    body.string()?;
                }
                body.tags()?;
            }
            if v >= 2 {
                body.string()?;
            }
            if v >= 1 {
                body.i32()?;
            }
            (body.array()? > 0).then(|| body.i16())?
        }
        9 if v < 8 => {
            if body.array()? == 0 {
                return if v >= 2 { body.i16() } else { None };
            }
            body.string()?;
            (body.array()? > 0).then(|| body.i32())??;
            body.i64()?;
            body.skip(if v >= 5 { 4 } else { 0 })?;
            body.string()?;
            body.i16()
        }
        10 if v >= 4 => {
            (body.array()? > 0).then(|| body.string())??;
            body.i32()?;
            body.string()?;
            body.i32()?;
            body.i16()
        }
        10..=14 | 16..=18 | 22 | 25 | 26 => body.i16(),
        15 => (body.array()? > 0).then(|| body.i16())?,
        36 => {
            let code = body.i16()?;
            if code != 0 {
                fields.exception = clean_to(body.string()?, 256);
            }
            Some(code)
        }
        19 | 20 => {
            (body.array()? > 0).then(|| body.string())??;
            body.skip(if key == 19 && v >= 7 || key == 20 && v >= 6 { 16 } else { 0 })?;
            body.i16()
        }
        42 => {
            (body.array()? > 0).then(|| body.string())??;
            body.i16()
        }
        _ => None,
    }
}

/// The error of the whole, or the first of a partition as far as the bytes reach.
fn fetched(v: i16, body: &mut Reader<'_>) -> Option<i16> {
    if v >= 7 {
        let code = body.i16()?;
        body.i32()?;
        if code != 0 {
            return Some(code);
        }
    }
    let rest = partitions_fetched(v, body);
    Some(rest.unwrap_or(0))
}

fn partitions_fetched(v: i16, body: &mut Reader<'_>) -> Option<i16> {
    for _ in 0..body.array()? {
        if v >= 13 {
            body.skip(16)?;
        } else {
            body.string()?;
        }
        for _ in 0..body.array()? {
            body.i32()?;
            let code = body.i16()?;
            if code != 0 {
                return Some(code);
            }
            body.i64()?;
            body.skip(if v >= 5 {
                16
            } else if v >= 4 {
                8
            } else {
                0
            })?;
            if v >= 4 {
                for _ in 0..body.array()? {
                    body.skip(16)?;
                    body.tags()?;
                }
            }
            body.skip(if v >= 11 { 4 } else { 0 })?;
            body.bytes()?;
            body.tags()?;
        }
        body.tags()?;
    }
    None
}

/// Reads values in either encoding.
struct Reader<'a> {
    cursor: Cursor<'a>,
    flexible: bool,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        self.cursor.take(n)
    }

    fn skip(&mut self, n: usize) -> Option<()> {
        self.cursor.take(n).map(|_| ())
    }

    fn i16(&mut self) -> Option<i16> {
        self.cursor.u16().map(u16::cast_signed)
    }

    fn i32(&mut self) -> Option<i32> {
        self.cursor.u32().map(u32::cast_signed)
    }

    fn i64(&mut self) -> Option<i64> {
        self.cursor.u64().map(u64::cast_signed)
    }

    /// A string; null is empty.
    fn string(&mut self) -> Option<&'a [u8]> {
        let length = if self.flexible {
            varint(&mut self.cursor)?.saturating_sub(1)
        } else {
            u64::try_from(self.i16()?).unwrap_or_default()
        };
        self.take(usize::try_from(length).ok()?)
    }

    /// As far as the bytes reach; null is empty.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.array()?;
        Some(self.cursor.up_to(usize::try_from(length).ok()?))
    }

    /// Length of an array; null is empty. Loops over it end with the bytes.
    fn array(&mut self) -> Option<u64> {
        if self.flexible {
            Some(varint(&mut self.cursor)?.saturating_sub(1))
        } else {
            Some(u64::try_from(self.i32()?).unwrap_or_default())
        }
    }

    fn tags(&mut self) -> Option<()> {
        if self.flexible { tags(&mut self.cursor) } else { Some(()) }
    }
}

/// Passes over tagged fields.
fn tags(cursor: &mut Cursor<'_>) -> Option<()> {
    for _ in 0..varint(cursor)? {
        varint(cursor)?;
        let length = varint(cursor)?;
        cursor.take(usize::try_from(length).ok()?)?;
    }
    Some(())
}

/// Seven bits a byte, low ones first.
fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let byte = cursor.u8()?;
        value |= u64::from(byte & 0x7f) << (7 * place).min(63);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A signed number whose low bit is the sign; negative lengths mean null.
fn zigzag_length(cursor: &mut Cursor<'_>) -> Option<usize> {
    let value = varint(cursor)?;
    if value & 1 == 1 { Some(0) } else { usize::try_from(value >> 1).ok() }
}

/// Trace context in the headers of a batch's first record (format 2, not compressed).
fn record_headers(batch: &[u8], fields: &mut RequestFields) -> Option<()> {
    let mut cursor = Cursor::new(batch);
    cursor.take(16)?;
    if cursor.u8()? != 2 {
        return None;
    }
    cursor.take(4)?;
    if cursor.u16()? & 7 != 0 {
        return None;
    }
    cursor.take(38)?;
    varint(&mut cursor)?;
    cursor.u8()?;
    varint(&mut cursor)?;
    varint(&mut cursor)?;
    for _ in 0..2 {
        let length = zigzag_length(&mut cursor)?;
        cursor.take(length)?;
    }
    let count = zigzag_length(&mut cursor)? as u64;
    for _ in 0..count.min(HEADERS) {
        let length = zigzag_length(&mut cursor)?;
        let name = cursor.take(length)?;
        let length = zigzag_length(&mut cursor)?;
        let value = cursor.take(length)?;
        trace_context::header(name, value, fields);
    }
    Some(())
}
