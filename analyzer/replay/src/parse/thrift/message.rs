//! Thrift messages as rows see them.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use super::super::trace_context;
use super::value::{Encoding, Reader, Stuck, Type};
use crate::model::{RequestFields, Status};

/// Names of methods are at most this long.
const NAME_LIMIT: usize = 512;
/// Largest head of the header transport.
const HEADERS_LIMIT: usize = 16 * 1024;
/// Largest framed message that is believed, bytes.
const FRAME_LIMIT: u32 = 256 << 20;

/// The head of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) encoding: Encoding,
    /// Bytes behind the frame's length.
    pub(super) frame: Option<u32>,
    pub(super) kind: u8,
    pub(super) name: &'a [u8],
    pub(super) sequence: u32,
    /// Where the struct starts.
    pub(super) body_at: usize,
    /// Headers of the transport, if it has some.
    info: &'a [u8],
}

/// First bytes behind the length of a frame of the header transport (`THeader`, <https://github.com/apache/thrift/blob/master/doc/specs/HeaderFormat.md>).
const HEADER_MAGIC: [u8; 2] = [0x0f, 0xff];

/// The head of the header transport: protocol, transforms, and headers as texts.
struct Transport<'a> {
    info: &'a [u8],
    /// Bytes from the magic on.
    len: usize,
}

impl<'a> Transport<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Stuck> {
        let mut reader = Reader { cursor: Cursor::new(bytes), encoding: Encoding::Compact };
        let words = match reader.take(10)? {
            [.., high, low] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return Err(Stuck::Wrong),
        };
        let size = Some(words * 4).filter(|size| (1..=HEADERS_LIMIT).contains(size)).ok_or(Stuck::Wrong)?;
        let mut inner = Reader { cursor: Cursor::new(reader.take(size)?), encoding: Encoding::Compact };
        let (protocol, transforms) = (inner.varint(), inner.varint());
        // Binary or compact, and nothing compressed.
        match (protocol, transforms) {
            (Ok(0 | 2), Ok(0)) => Ok(Self { info: inner.cursor.rest(), len: 10 + size }),
            _ => Err(Stuck::Wrong),
        }
    }
}

/// Trace context among the headers of the transport.
fn headers(info: &[u8], fields: &mut RequestFields) -> Result<(), Stuck> {
    let mut reader = Reader { cursor: Cursor::new(info), encoding: Encoding::Compact };
    // Kinds 1 and 2: names and values, for this message or all further ones. Zeros fill up.
    while let 1 | 2 = reader.varint()? {
        for _ in 0..reader.varint()?.min(64) {
            let mut text = || {
                let length = usize::try_from(reader.varint()?).map_err(|_| Stuck::Wrong)?;
                reader.take(length)
            };
            let (name, value) = (text()?, text()?);
            trace_context::header(name, value, fields);
        }
    }
    Ok(())
}

pub(super) const CALL: u8 = 1;
pub(super) const EXCEPTION: u8 = 3;
pub(super) const ONE_WAY: u8 = 4;

impl<'a> Head<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Stuck> {
        let mut frame = None;
        let mut at = 0;
        let first = *bytes.first().ok_or(Stuck::Short(1))?;
        if first < 0x80 {
            let size = Cursor::new(bytes).u32().ok_or(Stuck::Short(4_usize.saturating_sub(bytes.len())))?;
            if !(7..=FRAME_LIMIT).contains(&size) {
                return Err(Stuck::Wrong);
            }
            frame = Some(size);
            at = 4;
        }
        let rest = bytes.get(at..).unwrap_or_default();
        let mut cursor = Cursor::new(rest);
        let mut info: &[u8] = &[];
        if at == 4 && rest.starts_with(&HEADER_MAGIC) {
            let transport = Transport::parse(rest)?;
            (info, at) = (transport.info, at + transport.len);
            cursor = Cursor::new(bytes.get(at..).unwrap_or_default());
        }
        let magic = cursor.u8().ok_or(Stuck::Short(1))?;
        let second = cursor.u8().ok_or(Stuck::Short(1))?;
        let (encoding, kind, name, sequence, used);
        match (magic, second) {
            (0x80, 1) => {
                encoding = Encoding::Binary;
                let mut reader = Reader { cursor, encoding };
                let low = reader.take(2)?;
                kind = match low {
                    [0, kind] => *kind,
                    _ => return Err(Stuck::Wrong),
                };
                let length = reader.u32()?;
                name = take_name(&mut reader, u64::from(length))?;
                sequence = reader.u32()?;
                used = reader.cursor.position();
            }
            (0x82, second) if second & 0x1f == 1 => {
                encoding = Encoding::Compact;
                kind = second >> 5;
                let mut reader = Reader { cursor, encoding };
                sequence = (reader.varint()? & 0xffff_ffff) as u32;
                let length = reader.varint()?;
                name = take_name(&mut reader, length)?;
                used = reader.cursor.position();
            }
            _ => return Err(Stuck::Wrong),
        }
        if !(CALL..=ONE_WAY).contains(&kind) || frame.is_some_and(|size| (size as usize) <= at - 4 + used) {
            return Err(Stuck::Wrong);
        }
        Ok(Self { encoding, frame, kind, name, sequence, body_at: at + used, info })
    }

    /// Bytes on the stream; without a frame the struct has to be read.
    pub(super) fn total(&self, bytes: &[u8]) -> Result<u64, Stuck> {
        if let Some(size) = self.frame {
            return Ok(u64::from(size) + 4);
        }
        let mut reader = self.body(bytes);
        reader.skip(Type::Struct, 0)?;
        Ok((self.body_at + reader.cursor.position()) as u64)
    }

    fn body<'b>(&self, bytes: &'b [u8]) -> Reader<'b> {
        let end = self.frame.map_or(usize::MAX, |size| size as usize + 4).min(bytes.len());
        let body = bytes.get(self.body_at..end).unwrap_or_default();
        Reader { cursor: Cursor::new(body), encoding: self.encoding }
    }

    /// As a row: `service:method` of multiplexed servers is taken apart.
    pub(super) fn request(&self) -> RequestFields {
        let name = clean_to(self.name, NAME_LIMIT);
        let (service, method) = name.rsplit_once(':').unwrap_or(("", &name));
        let mut fields = RequestFields {
            l7_protocol: "thrift",
            version: match self.encoding {
                Encoding::Binary => "binary",
                Encoding::Compact => "compact",
            },
            request_type: method.into(),
            request_resource: service.into(),
            endpoint: if service.is_empty() { method.into() } else { format!("{service}/{method}").into() },
            session_id: Some(u64::from(self.sequence)),
            ..RequestFields::default()
        };
        // A header that is damaged ends them.
        let _ = headers(self.info, &mut fields);
        fields
    }

    /// As a row.
    pub(super) fn response(&self, bytes: &[u8]) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "thrift", status: Status::Ok, ..RequestFields::default() };
        let mut reader = self.body(bytes);
        if self.kind == EXCEPTION {
            // Of unknown kind, as far as the bytes tell.
            fields.status = Status::ServerError;
            let _ = exception(&mut reader, &mut fields);
        } else if let Ok(Some(field)) = reader.field(0)
            && field.id > 0
            && field.kind == Type::Struct
        {
            // Field 0 is the result; the others are the exceptions that the method declares.
            fields.status = Status::ServerError;
            fields.attributes.push(("exception_field", field.id.to_string().into()));
        }
        fields
    }
}

fn take_name<'a>(reader: &mut Reader<'a>, length: u64) -> Result<&'a [u8], Stuck> {
    let length = usize::try_from(length).ok().filter(|n| (1..=NAME_LIMIT).contains(n)).ok_or(Stuck::Wrong)?;
    let shown = reader.cursor.rest();
    let shown = shown.get(..length).unwrap_or(shown);
    if !shown.iter().all(|byte| (0x21..0x7f).contains(byte)) {
        return Err(Stuck::Wrong);
    }
    reader.take(length)
}

/// `TApplicationException`: a text and a kind.
fn exception(reader: &mut Reader<'_>, fields: &mut RequestFields) -> Result<(), Stuck> {
    let mut last = 0;
    while let Some(field) = reader.field(last)? {
        last = field.id;
        match (field.id, field.kind) {
            (1, Type::Text) => fields.exception = clean_to(reader.text()?, 512),
            (2, Type::Bytes(4) | Type::Number) => {
                let code = reader.number()?;
                fields.code = i32::try_from(code).ok();
                // Unknown method, wrong message or name, protocol error, encodings that are not supported.
                if matches!(code, 1..=3 | 7 | 8 | 10) {
                    fields.status = Status::ClientError;
                }
            }
            (_, kind) => reader.skip(kind, 0)?,
        }
    }
    Ok(())
}
