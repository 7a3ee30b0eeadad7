//! Commands as rows see them, and the messages that they carry.

use super::super::cursor::Cursor;
use super::super::text::{clean_to, number};
use super::super::trace_context;
use super::code;
use super::header::Header;
use crate::model::{RequestFields, Status};

/// What a stored message starts with: the version of its form.
const STORED: [u32; 2] = [0xdaa3_20a7, 0xdaa3_20a8];

/// As a row.
pub(super) fn request(header: &Header<'_>) -> RequestFields {
    let mut fields = RequestFields {
        request_type: code::request(header.code),
        session_id: Some(u64::from(header.id)),
        version: if header.binary { "ROCKETMQ" } else { "JSON" },
        ..RequestFields::default()
    };
    // Messages are sent with names of one letter, to save bytes.
    let brief = matches!(header.code, 310 | 320 | 325);
    let text = |names: &[&str]| header.field(names).map_or_else(Box::default, |value| clean_to(&value, 256));
    let (group, topic, queue, properties) = if brief {
        (&["a"][..], &["b"][..], &["e"][..], &["i"][..])
    } else {
        (
            &["consumerGroup", "producerGroup", "group", "groupName"][..],
            &["topic"][..],
            &["queueId"][..],
            &["properties"][..],
        )
    };
    fields.request_domain = text(group);
    fields.request_resource = text(topic);
    let queue = text(queue);
    fields.endpoint = match (fields.request_resource.is_empty(), queue.is_empty() || &*queue == "-1") {
        (true, _) => fields.request_domain.clone(),
        (false, true) => fields.request_resource.clone(),
        (false, false) => format!("{}-{queue}", fields.request_resource).into(),
    };
    if let Some(properties) = header.field(properties) {
        properties_of(&properties, &mut fields);
    }
    fields.attributes.push(("client_version", number(u64::from(header.version))));
    fields
}

/// As a row.
pub(super) fn response(header: &Header<'_>, body: &[u8]) -> RequestFields {
    let mut fields =
        RequestFields { code: Some(header.code), status: code::status(header.code), ..RequestFields::default() };
    let remark = clean_to(&header.remark, 512);
    if fields.status == Status::Ok {
        fields.result = remark;
    } else {
        fields.exception = if remark.is_empty() { code::answer(header.code).into() } else { remark };
    }
    if let Some(properties) = fetched(body) {
        properties_of(properties, &mut fields);
    }
    fields
}

/// Properties of the first message that was fetched, as it is stored.
fn fetched(body: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(body);
    cursor.u32()?;
    let magic = cursor.u32().filter(|magic| STORED.contains(magic))?;
    // Checksum, queue, flag; offsets in the queue and in the log.
    cursor.take(4 + 4 + 4 + 8 + 8)?;
    let flags = cursor.u32()?;
    let address = |v6: u32| if flags & v6 != 0 { 20 } else { 8 };
    cursor.take(8 + address(0x10))?;
    cursor.take(8 + address(0x20))?;
    // Times consumed before, offset of the transaction.
    cursor.take(4 + 8)?;
    let len = cursor.u32()?;
    cursor.take(len as usize)?;
    let len = if magic == 0xdaa3_20a8 { usize::from(cursor.u16()?) } else { usize::from(cursor.u8()?) };
    cursor.take(len)?;
    let len = cursor.u16()?;
    Some(cursor.up_to(usize::from(len)))
}

/// Names and values, 1 behind a name, 2 behind a value.
fn properties_of(properties: &[u8], fields: &mut RequestFields) {
    for pair in properties.split(|byte| *byte == 2).take(64) {
        let Some(at) = memchr::memchr(1, pair) else { continue };
        let (name, value) = (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default());
        match name {
            // The same where a message is sent and where it is fetched.
            b"UNIQ_KEY" => fields.x_request_id = clean_to(value, 128),
            b"KEYS" => fields.attributes.push(("keys", clean_to(value, 128))),
            b"TAGS" => fields.attributes.push(("tags", clean_to(value, 128))),
            _ => {
                trace_context::header(name, value, fields);
            }
        }
    }
}
