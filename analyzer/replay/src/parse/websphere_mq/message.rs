//! Segments as rows see them.

use super::super::Kind;
use super::super::cursor::Cursor;
use super::super::text::{clean_to, trim};
use crate::model::{RequestFields, Side, Status};
use ahash::AHashMap;

/// Bytes of the longer of both heads.
pub(super) const LEAST: usize = 28;
/// Largest segment that is believed, bytes.
const LIMIT: u32 = 256 << 20;
/// Most objects of a connection whose names are kept.
const OBJECTS: usize = 1024;
/// A segment that starts a message.
const FIRST: u8 = 0x10;

/// The head of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    total: u32,
    kind: u8,
    flags: u8,
    /// Numbers in it have their low byte first.
    little: bool,
    conversation: u32,
    len: usize,
}

impl Head {
    /// `None`: not a segment, or too few bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        // In ASCII or EBCDIC; several conversations share a connection where it ends in M.
        let many = match cursor.take(4)? {
            b"TSH " | b"TSHC" | b"\xe3\xe2\xc8\x40" | b"\xe3\xe2\xc8\xc3" => false,
            b"TSHM" | b"\xe3\xe2\xc8\xd4" => true,
            _ => return None,
        };
        let total = cursor.u32()?;
        let conversation = if many {
            let conversation = cursor.u32()?;
            cursor.u32()?;
            conversation
        } else {
            0
        };
        let (order, kind, flags) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let len = if many { 36 } else { 28 };
        let fits = (len as u32..=LIMIT).contains(&total) && matches!(order, 1 | 2) && kind_name(kind).is_some();
        fits.then_some(Self { total, kind, flags, little: order == 2, conversation, len })
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        u64::from(self.total)
    }

    /// Bytes of the head.
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// Whether a message starts here; calls always do.
    pub(super) fn is_first(self) -> bool {
        self.is_call() || self.flags & FIRST != 0 || !matches!(self.kind, 0x04 | 0x0d)
    }

    /// A call or its answer.
    pub(super) fn is_call(self) -> bool {
        self.kind >= 0x80
    }

    pub(super) fn conversation(self) -> u64 {
        u64::from(self.conversation)
    }

    /// What it is when `side` sends it.
    pub(super) fn role(self, side: Side) -> Kind {
        match (self.kind, side) {
            (0x81..=0x8f | 0xa1..=0xaf, _) => Kind::Request,
            (0x91..=0x9f | 0xb1..=0xbf, _) => Kind::Response,
            // Both sides tell what they are able to: the client first.
            (0x01, Side::Client) => Kind::Request,
            (0x01 | 0x05, Side::Server) => Kind::Response,
            _ => Kind::OneWay,
        }
    }

    fn number(self, cursor: &mut Cursor<'_>) -> Option<u32> {
        if self.little { cursor.u32_le() } else { cursor.u32() }
    }
}

/// Names of segments; answers have the names of their calls.
fn kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x01 => "INITIAL_DATA",
        0x02 => "RESYNC_DATA",
        0x03 => "RESET_DATA",
        0x04 => "MESSAGE_DATA",
        0x05 => "STATUS_DATA",
        0x06 => "SECURITY_DATA",
        0x07 => "PING_DATA",
        0x08 => "USERID_DATA",
        0x09 => "HEARTBEAT",
        0x0a => "CONAUTH_INFO",
        0x0b => "RENEGOTIATE_DATA",
        0x0c => "SOCKET_ACTION",
        0x0d => "ASYNC_MESSAGE",
        0x0e => "REQUEST_MSGS",
        0x0f => "NOTIFICATION",
        0x81 | 0x91 => "MQCONN",
        0x82 | 0x92 => "MQDISC",
        0x83 | 0x93 => "MQOPEN",
        0x84 | 0x94 => "MQCLOSE",
        0x85 | 0x95 => "MQGET",
        0x86 | 0x96 => "MQPUT",
        0x87 | 0x97 => "MQPUT1",
        0x88 | 0x98 => "MQSET",
        0x89 | 0x99 => "MQINQ",
        0x8a | 0x9a => "MQCMIT",
        0x8b | 0x9b => "MQBACK",
        0x8c | 0x9c => "SPI",
        0x8d | 0x9d => "MQSTAT",
        0x8e | 0x9e => "MQSUB",
        0x8f | 0x9f => "MQSUBRQ",
        0xa1 | 0xb1 => "XA_START",
        0xa2 | 0xb2 => "XA_END",
        0xa3 | 0xb3 => "XA_OPEN",
        0xa4 | 0xb4 => "XA_CLOSE",
        0xa5 | 0xb5 => "XA_PREPARE",
        0xa6 | 0xb6 => "XA_COMMIT",
        0xa7 | 0xb7 => "XA_ROLLBACK",
        0xa8 | 0xb8 => "XA_FORGET",
        0xa9 | 0xb9 => "XA_RECOVER",
        0xaa | 0xba => "XA_COMPLETE",
        _ => return None,
    })
}

/// What a connection remembers.
#[derive(Debug, Default)]
pub(super) struct State {
    manager: Box<str>,
    channel: Box<str>,
    /// Name of the object that is being opened in a conversation.
    opening: AHashMap<u32, Box<str>>,
    objects: AHashMap<(u32, u32), Box<str>>,
}

/// A name of fixed length, padded with blanks or zeros. In EBCDIC it is not read.
fn name(bytes: &[u8]) -> Box<str> {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    let bytes = trim(bytes.get(..end).unwrap_or_default());
    if bytes.iter().all(u8::is_ascii_graphic) { clean_to(bytes, 48) } else { Box::default() }
}

impl State {
    /// As a row.
    pub(super) fn fields(&mut self, head: Head, kind: Kind, body: &[u8]) -> RequestFields {
        let mut fields = RequestFields::default();
        let mut cursor = Cursor::new(body);
        let mut handle = 0;
        let (mut outcome, mut reason) = (0, 0);
        if head.is_call() {
            cursor.u32();
            outcome = head.number(&mut cursor).unwrap_or_default();
            reason = head.number(&mut cursor).unwrap_or_default();
            handle = head.number(&mut cursor).unwrap_or_default();
        }
        if kind == Kind::Response {
            if head.kind == 0x93
                && let Some(object) = self.opening.remove(&head.conversation)
                && self.objects.len() < OBJECTS
            {
                self.objects.insert((head.conversation, handle), object);
            }
            if head.kind == 0x05 {
                cursor.u32();
                fields.status = Status::ServerError;
                fields.code = head.number(&mut cursor).and_then(|code| i32::try_from(code).ok());
                fields.exception = "channel closed".into();
                return fields;
            }
            fields.code = head.is_call().then(|| i32::try_from(reason).unwrap_or_default());
            (fields.status, fields.exception) = ended(outcome, reason);
            return fields;
        }
        fields.request_type = kind_name(head.kind).unwrap_or_default().into();
        match head.kind {
            0x01 => {
                // Structure, level, abilities, sizes; then the channel's name.
                cursor.up_to(24);
                self.channel = name(cursor.up_to(20));
                fields.request_resource = self.channel.clone();
            }
            0x81 => {
                self.manager = name(cursor.up_to(48));
                fields.user_agent = name(cursor.up_to(28));
            }
            0x83 | 0x87 => {
                // Object descriptor: eye-catcher, version, kind, name.
                cursor.up_to(12);
                let object = name(cursor.up_to(48));
                if head.kind == 0x83 && self.opening.len() < OBJECTS {
                    self.opening.insert(head.conversation, object.clone());
                }
                fields.request_resource = object;
            }
            _ => {}
        }
        if fields.request_resource.is_empty() && head.is_call() {
            fields.request_resource = self.objects.get(&(head.conversation, handle)).cloned().unwrap_or_default();
        }
        if head.kind == 0x84 {
            self.objects.remove(&(head.conversation, handle));
        }
        fields.endpoint = fields.request_resource.clone();
        fields.request_domain = self.manager.clone();
        if !self.channel.is_empty() && head.kind != 0x01 {
            fields.attributes.push(("channel", self.channel.clone()));
        }
        fields
    }
}

/// Completion and reason (`MQCC_`, `MQRC_`). That there is no message is no failure.
fn ended(outcome: u32, reason: u32) -> (Status, Box<str>) {
    let text = match reason {
        0 => "",
        2009 => "MQRC_CONNECTION_BROKEN",
        2016 => "MQRC_GET_INHIBITED",
        2033 => "MQRC_NO_MSG_AVAILABLE",
        2035 => "MQRC_NOT_AUTHORIZED",
        2042 => "MQRC_OBJECT_IN_USE",
        2051 => "MQRC_PUT_INHIBITED",
        2053 => "MQRC_Q_FULL",
        2058 => "MQRC_Q_MGR_NAME_ERROR",
        2059 => "MQRC_Q_MGR_NOT_AVAILABLE",
        2080 => "MQRC_TRUNCATED_MSG_FAILED",
        2082 => "MQRC_UNKNOWN_ALIAS_BASE_Q",
        2085 => "MQRC_UNKNOWN_OBJECT_NAME",
        2161 => "MQRC_Q_MGR_QUIESCING",
        2195 => "MQRC_UNEXPECTED_ERROR",
        _ => "",
    };
    let status = match (outcome, reason) {
        (0 | 1, _) | (_, 2033) => Status::Ok,
        (_, 2010..=2047 | 2052 | 2058 | 2080 | 2082 | 2085..=2087) => Status::ClientError,
        _ => Status::ServerError,
    };
    (status, text.into())
}
