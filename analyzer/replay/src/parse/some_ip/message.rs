//! Messages of SOME/IP as rows see them.

use super::super::Kind;
use super::super::cursor::Cursor;
use super::super::text::number;
use crate::model::{RequestFields, Side, Status};

/// Bytes of a head.
pub(super) const HEAD: usize = 16;
/// Largest message that is believed, bytes.
const LIMIT: u32 = 64 << 20;
/// A message in several datagrams.
const SEGMENT: u8 = 0x20;

const REQUEST: u8 = 0x00;
const NO_RETURN: u8 = 0x01;
const NOTIFICATION: u8 = 0x02;
const RESPONSE: u8 = 0x80;
const ERROR: u8 = 0x81;

/// Whether so few bytes may begin a head: lengths below 64 KiB, version 1, and ids that are no text.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let at = |place: usize, value: u8| bytes.get(place).is_none_or(|byte| *byte == value);
    let text = |byte: &u8| matches!(byte, 0x20..=0x7e | b'\r' | b'\n');
    at(4, 0) && at(5, 0) && at(12, 1) && !bytes.iter().take(4).all(text)
}

/// A message's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    service: u16,
    method: u16,
    /// Bytes from the client's id on.
    len: u32,
    client: u16,
    session: u16,
    interface: u8,
    kind: u8,
    code: u8,
}

impl Head {
    /// `None`: not a message, or too few bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (service, method, len) = (cursor.u16()?, cursor.u16()?, cursor.u32()?);
        let (client, session) = (cursor.u16()?, cursor.u16()?);
        let version = cursor.u8()?;
        let (interface, kind, code) = (cursor.u8()?, cursor.u8()?, cursor.u8()?);
        let head = Self { service, method, len, client, session, interface, kind: kind & !SEGMENT, code };
        let answers = matches!(head.kind, RESPONSE | ERROR);
        let known = answers || matches!(head.kind, REQUEST | NO_RETURN | NOTIFICATION);
        let fits = version == 1 && known && (8..=LIMIT).contains(&len) && (answers && code <= 0x5e || code == 0);
        let segmented = kind & SEGMENT != 0;
        (fits && service != 0 && (!segmented || len > 12)).then_some(Self { kind, ..head })
    }

    fn plain(self) -> u8 {
        self.kind & !SEGMENT
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        8 + u64::from(self.len)
    }

    /// Services are offered and looked for.
    pub(super) fn is_discovery(self) -> bool {
        self.service == 0xffff && self.method == 0x8100
    }

    /// Which side sends it, if it is told.
    pub(super) fn sender(self) -> Option<Side> {
        match self.plain() {
            REQUEST | NO_RETURN => Some(Side::Client),
            RESPONSE | ERROR => Some(Side::Server),
            _ => None,
        }
    }

    /// A part of a message other than its first.
    pub(super) fn is_later_segment(self, body: &[u8]) -> bool {
        // The offset, in sixteens, and whether more follow.
        self.kind & SEGMENT != 0 && Cursor::new(body).u32().is_some_and(|offset| offset >> 4 != 0)
    }

    pub(super) fn role(self) -> Kind {
        match self.plain() {
            REQUEST => Kind::Request,
            RESPONSE | ERROR => Kind::Response,
            _ => Kind::OneWay,
        }
    }

    /// Who called what.
    pub(super) fn key(self) -> u64 {
        [self.service, self.method, self.client, self.session].iter().fold(0, |key, part| key << 16 | u64::from(*part))
    }

    /// As a row.
    pub(super) fn request(self, body: &[u8]) -> RequestFields {
        let name = match self.plain() {
            REQUEST => "Request",
            NO_RETURN => "RequestNoReturn",
            _ if self.is_discovery() => "ServiceDiscovery",
            _ => "Notification",
        };
        let mut fields = RequestFields {
            request_type: name.into(),
            request_resource: number(u64::from(self.service)),
            endpoint: number(u64::from(self.method)),
            session_id: Some(u64::from(self.session)),
            ..RequestFields::default()
        };
        if self.is_discovery() {
            fields.result = entries(body);
        } else {
            fields.attributes.push(("client_id", number(u64::from(self.client))));
        }
        fields.attributes.push(("interface_version", number(u64::from(self.interface))));
        fields
    }

    /// As a row.
    pub(super) fn response(self) -> RequestFields {
        let (status, text) = match self.code {
            0 => (Status::Ok, ""),
            1 => (Status::ServerError, "E_NOT_OK"),
            2 => (Status::ClientError, "E_UNKNOWN_SERVICE"),
            3 => (Status::ClientError, "E_UNKNOWN_METHOD"),
            4 => (Status::ServerError, "E_NOT_READY"),
            5 => (Status::ServerError, "E_NOT_REACHABLE"),
            6 => (Status::ServerError, "E_TIMEOUT"),
            7 => (Status::ClientError, "E_WRONG_PROTOCOL_VERSION"),
            8 => (Status::ClientError, "E_WRONG_INTERFACE_VERSION"),
            9 => (Status::ClientError, "E_MALFORMED_MESSAGE"),
            10 => (Status::ClientError, "E_WRONG_MESSAGE_TYPE"),
            _ => (Status::ServerError, "service's own error"),
        };
        RequestFields { status, code: Some(i32::from(self.code)), exception: text.into(), ..RequestFields::default() }
    }
}

/// What is looked for and offered, eight entries at most: `offer 1234.1, subscribe 1234.1`.
fn entries(body: &[u8]) -> Box<str> {
    let mut cursor = Cursor::new(body);
    let (_flags, len) = (cursor.u32(), cursor.u32().unwrap_or_default() as usize);
    let mut text = String::new();
    for entry in cursor.up_to(len).as_chunks::<16>().0.iter().take(8) {
        let [kind, _, _, _, service @ .., _, _, _, _] = entry;
        let [high, low, first, second, _version, ttl @ ..] = service;
        let name = match (kind, ttl) {
            (0, _) => "find",
            (1, [0, 0, 0]) => "stop offer",
            (1, _) => "offer",
            (6, [0, 0, 0]) => "stop subscribe",
            (6, _) => "subscribe",
            (7, [0, 0, 0]) => "subscribe refused",
            (7, _) => "subscribed",
            _ => continue,
        };
        if !text.is_empty() {
            text.push_str(", ");
        }
        let (service, instance) = (u16::from_be_bytes([*high, *low]), u16::from_be_bytes([*first, *second]));
        text.push_str(&format!("{name} {service}.{instance}"));
    }
    text.into()
}
