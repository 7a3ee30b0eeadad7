//! Commands as rows see them, and what a connection remembers for that: which producer and consumer has which topic.

use super::super::Kind;
use super::super::cursor::Cursor;
use super::super::protobuf::{Fields, Value, entry};
use super::super::text::{clean_to, number};
use super::super::trace_context;
use super::super::unpack::{Packing, unpack};
use super::command::{Frame, Role};
use crate::model::{RequestFields, Side, Status};
use ahash::AHashMap;

/// Most producers and consumers of a connection whose topics are kept.
const PARTIES: usize = 4096;
/// Bytes of a compressed batch looked at.
const UNPACKED: usize = 8192;
/// `ServerError` values that are the client's doing; the rest is the broker's.
const CLIENT_ERRORS: [u64; 15] = [3, 4, 5, 9, 10, 11, 12, 13, 16, 17, 18, 21, 22, 24, 25];

/// What a connection remembers.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The broker asked for through a proxy.
    broker: Box<str>,
    topics: AHashMap<(bool, u64), Box<str>>,
}

type Read = (Kind, Option<u64>, RequestFields);

impl State {
    /// Reads a command; `None` if it yields nothing.
    pub(super) fn read(&mut self, side: Side, frame: Frame, bytes: &[u8]) -> Option<Read> {
        let kind = frame.kind;
        let end = frame.end.min(bytes.len());
        let body = bytes.get(frame.fields_at..end).unwrap_or_default();
        let mut fields = RequestFields::default();
        let (mut id, mut party, mut error) = (None, None, None);
        for (at, value) in Fields::new(body) {
            match value {
                Value::Number(number) if at == kind.id => id = Some(number),
                Value::Number(number) if at == kind.party => party = Some(number),
                Value::Number(number) if at == kind.error[0] => error = Some(number),
                Value::Bytes(text) if at == kind.error[1] => fields.exception = clean_to(text, 512),
                Value::Bytes(text) if at == kind.topic => fields.request_resource = clean_to(text, 512),
                other => self.detail(kind.number, at, other, &mut fields),
            }
        }
        fields.session_id = id.filter(|_| kind.role != Role::Response);
        let is_producer = matches!(kind.number, 5..=8 | 15);
        self.topic(is_producer, party, &mut fields);
        if matches!(kind.number, 6 | 9) {
            described(bytes.get(frame.end..).unwrap_or_default(), &mut fields);
        }
        let asker = if kind.role == Role::Response { side.other() } else { side };
        let key = match (kind.number, kind.role) {
            (2 | 3, _) => Some(1),
            (18 | 19, _) => Some(2 | asker.index() as u64),
            // An acknowledgement is answered if it carries an id.
            (10, _) => id.map(|id| 1 << 62 | id),
            (6..=8, _) => {
                Some(1 << 61 | (party.unwrap_or_default() & 0xf_ffff) << 40 | id.unwrap_or_default() & 0xff_ffff_ffff)
            }
            (_, Role::OneWay) => None,
            _ => id.map(|id| 1 << 62 | id),
        };
        let mut role = kind.role;
        if kind.number == 10 && id.is_some() {
            role = Role::Request;
        }
        if role == Role::Response {
            outcome(kind.number, error, &mut fields);
            fields.request_resource = Box::default();
            fields.endpoint = Box::default();
            return Some((Kind::Response, key, fields));
        }
        fields.request_type = kind.name.into();
        fields.request_domain = self.broker.clone();
        let kind =
            if role == Role::Request && role.fits(side) || kind.number == 18 { Kind::Request } else { Kind::OneWay };
        Some((kind, key.filter(|_| kind == Kind::Request), fields))
    }

    /// Topic of a producer or consumer: remembered when it is told, looked up otherwise.
    fn topic(&mut self, is_producer: bool, party: Option<u64>, fields: &mut RequestFields) {
        if let Some(party) = party {
            if fields.request_resource.is_empty() {
                fields.request_resource = self.topics.get(&(is_producer, party)).cloned().unwrap_or_default();
            } else if self.topics.len() < PARTIES || self.topics.contains_key(&(is_producer, party)) {
                self.topics.insert((is_producer, party), fields.request_resource.clone());
            }
        }
        let short = fields.request_resource.rsplit('/').next().unwrap_or_default();
        fields.endpoint = short.into();
    }

    /// What only some commands tell.
    fn detail(&mut self, command: u32, at: u32, value: Value<'_>, fields: &mut RequestFields) {
        match (command, at, value) {
            (2, 1, Value::Bytes(client)) => fields.user_agent = clean_to(client, 128),
            (2, 5, Value::Bytes(method)) => fields.attributes.push(("auth_method", clean_to(method, 64))),
            (2, 6, Value::Bytes(broker)) => self.broker = clean_to(broker, 256),
            (3, 1, Value::Bytes(server)) => fields.attributes.push(("server_version", clean_to(server, 128))),
            (4, 2, Value::Bytes(name)) => fields.attributes.push(("subscription", clean_to(name, 256))),
            (6, 3, Value::Number(n)) if n > 1 => fields.attributes.push(("messages", number(n))),
            (7, 3, Value::Bytes(id)) | (9, 2, Value::Bytes(id)) => fields.x_request_id = message_id(id),
            (9, 3, Value::Number(n)) if n > 0 => fields.attributes.push(("redeliveries", number(n))),
            (11, 2, Value::Number(n)) => fields.attributes.push(("permits", number(n))),
            (22, 1, Value::Number(n)) => fields.result = format!("{n} partitions").into(),
            (24, 1, Value::Bytes(url)) => fields.result = clean_to(url, 256),
            (22, 3, Value::Number(1)) | (24, 3, Value::Number(2)) => fields.status = Status::ServerError,
            _ => {}
        }
    }
}

/// `ledger:entry:partition:batch`, as Pulsar's clients write it. It is the same where a message is sent and received.
fn message_id(bytes: &[u8]) -> Box<str> {
    let mut parts = [0_i64, 0, -1, -1];
    for (at, value) in Fields::new(bytes) {
        if let (Some(part), Value::Number(number)) = (parts.get_mut(at.saturating_sub(1) as usize), value) {
            *part = number.cast_signed();
        }
    }
    let [ledger, entry, partition, batch] = parts;
    format!("{ledger}:{entry}:{partition}:{batch}").into()
}

/// Status of an answer.
fn outcome(command: u32, error: Option<u64>, fields: &mut RequestFields) {
    // A code is told for failures only, but `error` and `send_error` are failures even without.
    let failed = error.is_some() || matches!(command, 8 | 14) || fields.status == Status::ServerError;
    fields.status = match error {
        Some(code) if CLIENT_ERRORS.contains(&code) => Status::ClientError,
        _ if failed => Status::ServerError,
        _ => Status::Ok,
    };
    fields.code = error.and_then(|code| i32::try_from(code).ok());
}

/// What describes a message behind a command: its properties, or those of the first one of a batch.
fn described(bytes: &[u8], fields: &mut RequestFields) {
    let mut at = Cursor::new(bytes);
    // Metadata of the broker, if the client asked for it, then a checksum, if there is one.
    let mut broker = at;
    if broker.u16() == Some(0x0e02) {
        let len = broker.u32().unwrap_or_default() as usize;
        broker.up_to(len);
        at = broker;
    }
    let mut checked = at;
    if checked.u16() == Some(0x0e01) {
        checked.up_to(4);
        at = checked;
    }
    let len = at.u32().unwrap_or_default() as usize;
    let (mut packing, mut batch) = (0, false);
    for (number, value) in Fields::new(at.up_to(len)) {
        match (number, value) {
            (1, Value::Bytes(producer)) => fields.attributes.push(("producer", clean_to(producer, 128))),
            (4, Value::Bytes(property)) => property_of(property, fields),
            (6, Value::Bytes(key)) => fields.attributes.push(("key", clean_to(key, 128))),
            (8, Value::Number(kind)) => packing = kind,
            (11, Value::Number(_)) => batch = true,
            _ => {}
        }
    }
    if !batch {
        return;
    }
    let packing = match packing {
        0 => return batched(at, fields),
        1 => Packing::Lz4,
        2 => Packing::Zlib,
        3 => Packing::Zstd,
        4 => Packing::Snappy,
        _ => return,
    };
    batched(Cursor::new(&unpack(packing, at.rest(), UNPACKED)), fields);
}

/// The first message of a batch.
fn batched(mut at: Cursor<'_>, fields: &mut RequestFields) {
    let len = at.u32().unwrap_or_default() as usize;
    for (number, value) in Fields::new(at.up_to(len)) {
        if let (1, Value::Bytes(property)) = (number, value) {
            property_of(property, fields);
        }
    }
}

fn property_of(property: &[u8], fields: &mut RequestFields) {
    let (name, value) = entry(property);
    trace_context::header(name, value, fields);
}
