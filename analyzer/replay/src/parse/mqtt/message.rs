//! MQTT packets as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::{Masker, Secret};
use super::super::text::{clean_to, number};
use super::super::trace_context;
use crate::model::{RequestFields, Side, Status};

const NAMES: [&str; 16] = [
    "",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];

/// The variable-length integer and its bytes. `Err(true)`: it goes on; `Err(false)`: it is wrong.
pub(super) fn remaining_length(bytes: &[u8]) -> Result<(u32, usize), bool> {
    let mut value = 0_u32;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((value, place + 1));
        }
    }
    Err(bytes.len() < 4)
}

/// Flags in the first byte are fixed but for PUBLISH.
pub(super) fn flags_fit(first: u8) -> bool {
    match first >> 4 {
        0 => false,
        3 => first & 6 != 6,
        6 | 8 | 10 => first & 0xf == 2,
        _ => first & 0xf == 0,
    }
}

/// A plausible topic at `at`.
pub(super) fn topic(body: &[u8], at: usize) -> Option<&[u8]> {
    let mut cursor = Cursor::new(body.get(at..)?);
    let length = usize::from(cursor.u16()?);
    let topic = cursor.take(length)?;
    let text = !topic.is_empty() && std::str::from_utf8(topic).is_ok_and(|text| !text.chars().any(char::is_control));
    text.then_some(topic)
}

/// Who answers whom.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Asks(u64),
    Answers(u64),
    Alone,
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) first: u8,
    pub(super) body: &'a [u8],
    /// Protocol level of the connection, 0 if unknown.
    pub(super) version: u8,
}

impl Packet<'_> {
    fn kind(&self) -> u8 {
        self.first >> 4
    }

    fn qos(&self) -> u8 {
        self.first >> 1 & 3
    }

    /// Packet id, where the kind has one.
    fn id(&self) -> Option<u16> {
        let mut cursor = Cursor::new(self.body);
        match self.kind() {
            3 if self.qos() > 0 => {
                let length = usize::from(cursor.u16()?);
                cursor.take(length)?;
                cursor.u16()
            }
            4..=11 => cursor.u16(),
            _ => None,
        }
    }

    /// SUBSCRIBE, UNSUBSCRIBE: all topic filters, joined by `, `.
    fn filters(&self) -> Box<str> {
        let mut cursor = Cursor::new(self.body);
        let mut text = String::new();
        let start = |cursor: &mut Cursor<'_>| {
            cursor.u16()?;
            if self.version >= 5 {
                let (length, used) = remaining_length(cursor.rest()).ok()?;
                cursor.take(used + length as usize)?;
            }
            Some(())
        };
        if start(&mut cursor).is_none() {
            return text.into();
        }
        while text.len() < 1024
            && let Some(filter) = topic(cursor.rest(), 0)
        {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(&clean_to(filter, 512));
            // SUBSCRIBE says options of each.
            cursor.take(2 + filter.len() + usize::from(self.kind() == 8));
        }
        text.into()
    }

    /// CONNECT: protocol level and client id.
    pub(super) fn connect(&self) -> Option<(u8, Box<str>)> {
        if self.kind() != 1 {
            return None;
        }
        let mut cursor = Cursor::new(self.body);
        let length = usize::from(cursor.u16()?);
        cursor.take(length)?;
        let version = cursor.u8()?;
        cursor.take(3)?;
        if version >= 5 {
            let (length, used) = remaining_length(cursor.rest()).ok()?;
            cursor.take(used + length as usize)?;
        }
        let length = usize::from(cursor.u16()?);
        Some((version, clean_to(cursor.up_to(length), 128)))
    }

    /// Its role: a kind of exchange, and the packet id, are the key.
    pub(super) fn role(&self) -> Role {
        let id = u64::from(self.id().unwrap_or_default());
        let key = |exchange: u64| exchange << 32 | id;
        match self.kind() {
            1 => Role::Asks(key(1)),
            2 => Role::Answers(key(1)),
            3 if self.qos() > 0 => Role::Asks(key(3)),
            // PUBREC answers a PUBLISH of QoS 2; PUBREL asks for PUBCOMP.
            4 | 5 => Role::Answers(key(3)),
            6 => Role::Asks(key(6)),
            7 => Role::Answers(key(6)),
            8 => Role::Asks(key(8)),
            9 => Role::Answers(key(8)),
            10 => Role::Asks(key(10)),
            11 => Role::Answers(key(10)),
            12 => Role::Asks(key(12)),
            13 => Role::Answers(key(12)),
            _ => Role::Alone,
        }
    }

    fn base(&self) -> RequestFields {
        RequestFields {
            l7_protocol: "mqtt",
            version: match self.version {
                3 => "3.1",
                4 => "3.1.1",
                5 => "5",
                _ => "",
            },
            request_type: NAMES.get(usize::from(self.kind())).copied().unwrap_or_default().into(),
            session_id: self.id().map(u64::from),
            ..RequestFields::default()
        }
    }

    /// As a request or a message of its own; `from`: who sends it.
    pub(super) fn request(&self, client: &str, from: Side, mask: &mut Masker) -> RequestFields {
        let mut fields = self.base();
        fields.request_domain = client.into();
        match self.kind() {
            1 => {
                // Flags: user name or password.
                let flags = Cursor::new(self.body).u16().and_then(|n| self.body.get(usize::from(n) + 3)).copied();
                if flags.is_some_and(|flags| flags & 0xc0 != 0) && !mask.shows() {
                    mask.hid(Secret::Login, 1);
                }
            }
            3 => {
                fields.request_resource = topic(self.body, 0).map(|topic| clean_to(topic, 512)).unwrap_or_default();
                fields.attributes.push(("qos", number(u64::from(self.qos()))));
                if from == Side::Server {
                    fields.attributes.push(("from", "server".into()));
                }
                if self.version >= 5 {
                    self.properties(&mut fields);
                }
            }
            8 | 10 => {
                fields.request_resource = self.filters();
            }
            14 => {
                if let Some(code) = self.body.first().filter(|code| **code >= 0x80) {
                    fields.code = Some(i32::from(*code));
                    fields.status = Status::ServerError;
                }
            }
            _ => {}
        }
        fields.endpoint = fields.request_resource.clone();
        fields
    }

    /// PUBLISH of version 5: its properties, which come after the topic and the packet's number (section 3.3.2).
    fn property_list(&self) -> Option<Cursor<'_>> {
        let mut cursor = Cursor::new(self.body);
        let topic = usize::from(cursor.u16()?);
        cursor.take(topic + if self.qos() > 0 { 2 } else { 0 })?;
        let (length, used) = remaining_length(cursor.rest()).ok()?;
        cursor.take(used)?;
        Some(Cursor::new(cursor.up_to(length as usize)))
    }

    /// PUBLISH of version 5: trace context among the user properties, and what ties an answer to its question (MQTT 5 section 3.3.2.3).
    fn properties(&self, fields: &mut RequestFields) -> Option<()> {
        let mut list = self.property_list()?;
        let text = |list: &mut Cursor<'_>| {
            let length = usize::from(list.u16()?);
            list.take(length).map(<[u8]>::to_vec)
        };
        for _ in 0..64 {
            match list.u8()? {
                0x01 => list.take(1).map(|_| ())?,
                0x02 => list.take(4).map(|_| ())?,
                0x23 => list.take(2).map(|_| ())?,
                0x0b => {
                    let (_, used) = remaining_length(list.rest()).ok()?;
                    list.take(used)?;
                }
                0x03 | 0x08 => text(&mut list).map(|_| ())?,
                // Correlation data.
                0x09 => {
                    let data = text(&mut list)?;
                    if data.iter().all(u8::is_ascii_graphic) && fields.x_request_id.is_empty() {
                        fields.x_request_id = clean_to(&data, 128);
                    }
                }
                0x26 => {
                    let (name, value) = (text(&mut list)?, text(&mut list)?);
                    trace_context::header(&name, &value, fields);
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// SUBACK, UNSUBACK: the first code that is a refusal, else the first one.
    fn codes(&self) -> Option<u8> {
        let mut cursor = Cursor::new(self.body);
        cursor.u16()?;
        if self.version >= 5 {
            let (length, used) = remaining_length(cursor.rest()).ok()?;
            cursor.take(used + length as usize)?;
        }
        let codes = cursor.rest();
        codes.iter().find(|code| **code >= 0x80).or(codes.first()).copied()
    }

    /// PUBLISH of version 5: the number that stands for its topic from now on, or already.
    pub(super) fn alias(&self) -> Option<u16> {
        if self.kind() != 3 || self.version < 5 {
            return None;
        }
        let mut list = self.property_list()?;
        for _ in 0..64 {
            match list.u8()? {
                0x23 => return list.u16(),
                0x01 => drop(list.take(1)?),
                0x02 => drop(list.take(4)?),
                0x0b => {
                    let (_, used) = remaining_length(list.rest()).ok()?;
                    list.take(used)?;
                }
                0x03 | 0x08 | 0x09 => drop(list.u16().map(usize::from).and_then(|length| list.take(length))?),
                0x26 => {
                    for _ in 0..2 {
                        let length = usize::from(list.u16()?);
                        list.take(length)?;
                    }
                }
                _ => return None,
            }
        }
        None
    }

    /// As a response.
    pub(super) fn response(&self) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "mqtt", status: Status::Ok, ..RequestFields::default() };
        let code = match self.kind() {
            2 => self.body.get(1).copied(),
            4 | 5 | 7 => self.body.get(2).copied(),
            // One code a topic: the first refusal.
            9 | 11 if self.kind() == 9 || self.version >= 5 => self.codes(),
            _ => None,
        };
        if self.kind() == 2 {
            fields.code = code.map(i32::from);
        }
        match (self.kind(), code) {
            // CONNACK up to version 3.1.1: only "server unavailable" is not the client's fault.
            (2, Some(1 | 2 | 4 | 5)) if self.version < 5 => fields.status = Status::ClientError,
            (2, Some(3)) if self.version < 5 => fields.status = Status::ServerError,
            (_, Some(code @ 0x80..)) => {
                fields.code = Some(i32::from(code));
                fields.status = match code {
                    0x80 | 0x83 | 0x88 | 0x89 | 0x97 | 0x9c | 0x9d => Status::ServerError,
                    _ => Status::ClientError,
                };
            }
            _ => {}
        }
        fields
    }
}
