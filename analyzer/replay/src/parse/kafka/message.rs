//! Kafka requests and responses as rows see them: topics, partitions and error codes, in both encodings.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use super::super::trace_context;
use super::super::unpack::{Packing, unpack};
use super::api::{self, Api};
use super::layout;
use crate::model::{RequestFields, Status};
use ahash::AHashMap;

/// Largest message that is believed, bytes.
const SIZE_LIMIT: u32 = 1 << 30;
/// Names are at most this long.
const NAME_LIMIT: usize = 249;
/// Topics whose names are remembered.
const TOPICS: usize = 4096;
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

    /// As a row; `bytes` are those of [`Head::parse`], `topics` the names that are known of ids. Second: the sender wants no answer.
    pub(super) fn request(&self, bytes: &[u8], topics: &Topics) -> (RequestFields, bool) {
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
        let mut asked = Found::default();
        // What was found before the bytes end stays.
        let _ = asked.walk(layout::of_request(self.key, self.version).as_bytes(), &mut reader, Extent::First);
        if asked.acknowledgements.is_some_and(|acknowledgements| !(-1..=1).contains(&acknowledgements)) {
            // Produce asks for none, one, or all: this is something else.
            return (fields, false);
        }
        if let Some(topic) = asked.topic.filter(|topic| !topic.is_empty()) {
            fields.request_resource = clean_to(topic, NAME_LIMIT);
        } else if let Some(id) = asked.id.filter(|id| *id != [0; 16]) {
            fields.request_resource = topics.get(&id).cloned().unwrap_or_else(|| id_text(&id));
        }
        if !fields.request_resource.is_empty() {
            fields.endpoint = match asked.partition {
                Some(partition) => format!("{}-{partition}", fields.request_resource).into(),
                None => fields.request_resource.clone(),
            };
        }
        if let Some(group) = asked.group.filter(|group| !group.is_empty()) {
            fields.attributes.push(("group", clean_to(group, NAME_LIMIT)));
        }
        if let Some(records) = asked.records {
            record_headers(records, &mut fields);
        }
        (fields, asked.acknowledgements == Some(0))
    }
}

/// Names of topics by their ids.
pub(super) type Topics = AHashMap<[u8; 16], Box<str>>;

/// A topic's id as Kafka writes it: base64 with the alphabet of URLs, without padding (`org.apache.kafka.common.Uuid`).
fn id_text(id: &[u8; 16]) -> Box<str> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = u128::from_be_bytes(*id);
    let digit = |at: u32| {
        let six = if at == 21 { number << 4 } else { number >> (122 - 6 * at) } & 0x3f;
        char::from(ALPHABET.get(six as usize).copied().unwrap_or_default())
    };
    (0..22).map(digit).collect::<String>().into()
}

/// How much of arrays is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// The first element, then no more at all.
    First,
    All,
}

/// A topic, by its name or its id.
type Topic<'a> = (Option<&'a [u8]>, Option<[u8; 16]>);

/// What a body says.
#[derive(Debug, Default)]
struct Found<'a> {
    topic: Option<&'a [u8]>,
    id: Option<[u8; 16]>,
    partition: Option<i32>,
    group: Option<&'a [u8]>,
    not_a_group: bool,
    acknowledgements: Option<i16>,
    records: Option<&'a [u8]>,
    /// The first error, or that there is none.
    error: Option<i16>,
    message: Option<&'a [u8]>,
    /// Topic, its id, partition, offset of the first records that were stored.
    stored: Option<(Topic<'a>, i32, i64)>,
    /// Topics of this response with both name and id.
    named: Vec<([u8; 16], &'a [u8])>,
}

/// Topics learnt from one response.
const NAMED: usize = 1024;

impl<'a> Found<'a> {
    /// Reads a body after its layout; `None` where it ends before. The loops end with the bytes, as each round takes some.
    fn walk(&mut self, layout: &[u8], body: &mut Reader<'a>, extent: Extent) -> Option<()> {
        let mut rest = layout;
        while let Some((kind, tail)) = rest.split_first() {
            rest = tail;
            match kind {
                b'1'..=b'8' => body.skip(usize::from(kind - b'0'))?,
                b'u' => body.skip(16)?,
                b's' => drop(body.string()?),
                b'b' => drop(body.bytes()?),
                b'{' | b'[' | b'(' => {
                    let (inner, behind) = group(rest)?;
                    rest = behind;
                    let count = if *kind == b'(' { 1 } else { body.array()? };
                    for _ in 0..count {
                        if extent == Extent::All && inner.iter().any(|kind| matches!(kind, b'T' | b'U')) {
                            // Name and id of another topic.
                            (self.topic, self.id) = (None, None);
                        }
                        self.walk(inner, body, extent)?;
                        if extent == Extent::First && *kind != b'(' {
                            return None;
                        }
                        if *kind != b'[' {
                            body.tags()?;
                        }
                    }
                }
                b'T' => {
                    self.topic = Some(body.string()?);
                    self.learn();
                }
                b'U' => {
                    self.id = body.take(16)?.try_into().ok();
                    self.learn();
                }
                b'P' => self.partition = Some(body.i32()?),
                b'G' => self.group = Some(body.string()?).filter(|_| !self.not_a_group),
                b'k' => {
                    if body.take(1)? != [0] {
                        (self.group, self.not_a_group) = (None, true);
                    }
                }
                b'a' => self.acknowledgements = Some(body.i16()?),
                b'R' => self.records = Some(body.bytes()?),
                b'E' => {
                    let error = body.i16()?;
                    if self.error.unwrap_or_default() == 0 {
                        self.error = Some(error);
                    }
                }
                b'M' => {
                    let message = body.string()?;
                    if self.message.is_none() && self.error.is_some_and(|error| error != 0) {
                        self.message = Some(message);
                    }
                }
                b'O' => {
                    let offset = body.i64()?;
                    if self.stored.is_none() && self.error == Some(0) {
                        self.stored = Some(((self.topic, self.id), self.partition.unwrap_or_default(), offset));
                    }
                }
                _ => return None,
            }
        }
        Some(())
    }

    fn learn(&mut self) {
        if let (Some(topic), Some(id)) = (self.topic, self.id)
            && self.named.len() < NAMED
            && !topic.is_empty()
            && id != [0; 16]
        {
            self.named.push((id, topic));
        }
    }
}

/// What is inside the bracket that was opened before `layout`, and what is behind it.
fn group(layout: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut depth = 0_u32;
    for (at, letter) in layout.iter().enumerate() {
        match letter {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' if depth == 0 => return Some((layout.get(..at)?, layout.get(at + 1..)?)),
            b'}' | b']' | b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// What a response is to be read as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) key: i16,
    pub(super) version: i16,
}

/// The first error of a response, and what was said of it; `body` is what follows the correlation id. Ids of topics are learnt.
pub(super) fn response(awaited: Awaited, body: &[u8], topics: &mut Topics) -> RequestFields {
    let Awaited { key, version } = awaited;
    let flexible = Api::of(key).is_some_and(|api| api.is_flexible(version));
    let mut reader = Reader { cursor: Cursor::new(body), flexible };
    // Answers to ApiVersions have the old head in all versions, so that old clients understand.
    if flexible && key != 18 {
        tags(&mut reader.cursor);
    }
    let mut found = Found::default();
    let _ = found.walk(layout::of_response(key, version).as_bytes(), &mut reader, Extent::All);
    let mut fields = RequestFields { l7_protocol: "kafka", ..RequestFields::default() };
    let code = found.error;
    fields.code = code.map(i32::from);
    fields.status = match code {
        None | Some(0) => Status::Ok,
        Some(_) => Status::ServerError,
    };
    if let Some(message) = found.message {
        fields.exception = clean_to(message, 256);
    }
    if let Some(code) = code.filter(|code| *code != 0 && fields.exception.is_empty()) {
        fields.exception = api::error_name(code).into();
    }
    for (id, topic) in found.named {
        if topics.len() < TOPICS || topics.contains_key(&id) {
            topics.insert(id, clean_to(topic, NAME_LIMIT));
        }
    }
    if let Some((topic, partition, offset)) = found.stored {
        let topic = match topic {
            (Some(topic), _) => clean_to(topic, NAME_LIMIT),
            (None, Some(id)) => topics.get(&id).cloned().unwrap_or_else(|| id_text(&id)),
            (None, None) => Box::default(),
        };
        fields.result = format!("{topic}-{partition}:{offset}").into();
    }
    fields
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

/// Bytes of a compressed batch's records looked at.
const RECORD_WINDOW: usize = 8192;

/// Trace context in the headers of a batch's first record (format 2).
fn record_headers(batch: &[u8], fields: &mut RequestFields) -> Option<()> {
    let mut cursor = Cursor::new(batch);
    cursor.take(16)?;
    if cursor.u8()? != 2 {
        return None;
    }
    cursor.take(4)?;
    let packing = match cursor.u16()? & 7 {
        0 => None,
        1 => Some((Packing::Gzip, "gzip")),
        2 => Some((Packing::SnappyBlocks, "snappy")),
        3 => Some((Packing::Lz4Frame, "lz4")),
        4 => Some((Packing::Zstd, "zstd")),
        _ => return None,
    };
    cursor.take(38)?;
    let Some((packing, name)) = packing else {
        return first_record(cursor, fields);
    };
    fields.attributes.push(("compression", name.into()));
    first_record(Cursor::new(&unpack(packing, cursor.rest(), RECORD_WINDOW)), fields)
}

fn first_record(mut cursor: Cursor<'_>, fields: &mut RequestFields) -> Option<()> {
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
