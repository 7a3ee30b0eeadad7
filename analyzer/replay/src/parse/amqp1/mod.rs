//! AMQP 1.0 (OASIS standard of 2012, ISO/IEC 19464): connections, sessions and links are opened and closed by both sides, each in
//! answer to the other; a message that is transferred unsettled is answered by its disposition.

mod message;
#[cfg(test)]
pub(super) mod tests;
mod value;

use super::mask::Secret;
use super::text::clean_to;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{RequestFields, Side, Status, Transport};
use ahash::AHashMap;
use message::Frame;
use value::{Value, list};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "amqp",
    ports: &[5672, 5671],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Amqp1::default()),
};

/// Bytes of a frame looked at.
const WINDOW: usize = 4096;
/// Sessions, links, and what is being opened or closed, that are told apart.
const REMEMBERED: usize = 4096;
/// Deliveries that one disposition settles.
const SETTLED: u64 = 4096;

/// A protocol's header behind `AMQP`: 0 for AMQP, 2 for TLS, 3 for SASL, and version 1.0.0.
fn header(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'A', b'M', b'Q', b'P', kind @ (0 | 2 | 3), 1, 0, 0, ..] => Some(*kind),
        _ => None,
    }
}

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if header(bytes).is_some() {
        return Detection::Yes { confidence: 97, from: Some(Side::Client) };
    }
    if bytes.len() < 8 && bytes.first() == Some(&b'A') {
        let fits = bytes.iter().zip(b"AMQP").all(|(byte, expected)| byte == expected);
        return if fits && !first.whole { Detection::More } else { Detection::No };
    }
    let Some(frame) = Frame::parse(bytes).filter(|frame| frame.body_at == 8) else {
        return Detection::No;
    };
    match frame.performative(bytes) {
        Some(_) => Detection::Yes { confidence: 85, from: None },
        None if frame.size == 8 && !frame.is_sasl && bytes.len() == 8 => Detection::Yes { confidence: 45, from: None },
        None => Detection::No,
    }
}

/// A message that comes in several frames.
#[derive(Debug)]
struct Content {
    start: Mark,
    fields: RequestFields,
    key: Option<u64>,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Amqp1 {
    host: Box<str>,
    /// By each side's channel: the number of the session.
    sessions: [AHashMap<u16, u32>; 2],
    session_count: u32,
    /// By side, session and handle: the address at the server.
    links: AHashMap<(Side, u32, u64), Box<str>>,
    /// What a side has opened or closed, and the other has yet to.
    awaited: AHashMap<u64, (Side, u32)>,
    /// By side, session and handle.
    contents: AHashMap<(Side, u32, u64), Content>,
}

impl Parser for Amqp1 {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let Some(bytes) = input.bytes.get(..8) else {
            return Step::More(8);
        };
        if let Some(kind) = header(bytes) {
            if kind == 2 && side == Side::Server {
                out.switch = Some(Switch::To("tls"));
            }
            return Step::Consume(8);
        }
        let Some(frame) = Frame::parse(bytes) else {
            return Step::Reject("not a frame");
        };
        let wanted = (frame.size as usize).min(WINDOW);
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let shown = input.bytes.get(..wanted).unwrap_or(input.bytes);
        let total = u64::from(frame.size);
        if frame.size as usize > frame.body_at {
            match frame.performative(shown) {
                Some((kind, fields, payload)) => {
                    let cut = shown.len() < wanted;
                    self.performative(side, frame, kind, fields, payload, cut, out);
                }
                None if shown.len() < wanted => {}
                None => return Step::Reject("no performative"),
            }
        }
        Step::Consume(total)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Frame::parse(bytes).is_some_and(|frame| frame.body_at == 8 && frame.performative(bytes).is_some())
    }

    /// Messages whose other frames are missing go on until the next frame that is found.
    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        let mut keys: Vec<(Side, u32, u64)> =
            self.contents.keys().filter(|(from, ..)| *from == side).copied().collect();
        keys.sort_by_key(|(_, session, handle)| (*session, *handle));
        for content in keys.into_iter().filter_map(|key| self.contents.remove(&key)) {
            out.emit(content.message().truncated(true));
        }
    }
}

impl Content {
    fn message(self) -> Message {
        let kind = if self.key.is_some() { Kind::Request } else { Kind::OneWay };
        let mut message = Message::new(kind, self.fields).since(self.start);
        message.key = self.key;
        message.bytes = Some(self.bytes);
        message
    }
}

fn key(kind: u64, of: u64) -> u64 {
    kind << 56 | of & 0x00ff_ffff_ffff_ffff
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Amqp1 {
    #[expect(clippy::too_many_arguments, reason = "the parts of one frame")]
    fn performative(
        &mut self,
        side: Side,
        frame: Frame,
        kind: u64,
        fields: &[u8],
        payload: &[u8],
        cut: bool,
        out: &mut Output<'_>,
    ) {
        let session = self.session(side, frame.channel);
        let own = key(kind, u64::from(session));
        match kind {
            message::OPEN => {
                let mut values = list(fields);
                let container = values.next().and_then(Value::bytes).unwrap_or_default();
                if let Some(host) = values.next().and_then(Value::bytes).filter(|_| side == Side::Client) {
                    self.host = clean_to(host, 256);
                }
                let mut row = self.fields(kind, frame);
                row.user_agent = if side == Side::Client { clean_to(container, 128) } else { Box::default() };
                self.both(side, key(kind, 0), row, out);
            }
            message::BEGIN => {
                let remote =
                    list(fields).next().and_then(Value::number).and_then(|channel| u16::try_from(channel).ok());
                let session = match remote {
                    Some(remote) => self.session(side.other(), remote),
                    None => {
                        self.session_count = self.session_count.wrapping_add(1);
                        self.session_count | 1 << 16
                    }
                };
                if self.sessions[side.index()].len() < REMEMBERED {
                    self.sessions[side.index()].insert(frame.channel, session);
                }
                let row = self.fields(kind, frame);
                self.both(side, key(kind, u64::from(session)), row, out);
            }
            message::ATTACH => {
                let mut row = self.fields(kind, frame);
                let mut at = own;
                if let Some((name, handle, receives, address)) = message::attach(fields, side) {
                    let client_receives = receives == (side == Side::Client);
                    at = key(kind, hash(name) << 1 | u64::from(client_receives));
                    row.attributes.push(("role", if client_receives { "receiver".into() } else { "sender".into() }));
                    row.request_resource = address.clone();
                    row.endpoint = address.clone();
                    if self.links.len() < REMEMBERED {
                        self.links.insert((side, session, handle), address);
                    }
                }
                self.both(side, at, row, out);
            }
            message::TRANSFER => self.transfer(side, frame, session, fields, payload, cut, out),
            message::DISPOSITION => {
                let Some((receives, first, last, answer)) = message::disposition(fields) else { return };
                let sender = if receives { side.other() } else { side };
                if last.wrapping_sub(first) > u64::from(u32::MAX) {
                    return;
                }
                for delivery in first..=last.min(first.saturating_add(SETTLED)) {
                    let key = delivery_key(sender, session, delivery);
                    if receives && out.is_awaited(key) {
                        out.emit(Message::new(Kind::Response, answer.clone()).keyed(key));
                    }
                }
            }
            message::DETACH | message::END | message::CLOSE => {
                let mut row = self.fields(kind, frame);
                let mut values = list(fields);
                if kind == message::DETACH {
                    let handle = values.next().and_then(Value::number).unwrap_or_default();
                    row.request_resource = self.links.remove(&(side, session, handle)).unwrap_or_default();
                    row.endpoint = row.request_resource.clone();
                    values.next();
                }
                message::error(values.next(), &mut row);
                self.both(side, own, row, out);
                if kind == message::END {
                    self.sessions[side.index()].remove(&frame.channel);
                }
            }
            message::SASL_INIT => {
                let mut row = self.fields(kind, frame);
                let mut values = list(fields);
                row.request_resource =
                    values.next().and_then(Value::bytes).map(|name| clean_to(name, 64)).unwrap_or_default();
                if values.next().is_some_and(|response| response != Value::Null) && !out.mask.shows() {
                    out.mask.hid(Secret::Login, 1);
                }
                if let Some(host) = values.next().and_then(Value::bytes) {
                    row.request_domain = clean_to(host, 256);
                }
                out.emit(Message::new(Kind::Request, row).keyed(key(message::SASL_INIT, 0)));
            }
            message::SASL_OUTCOME => {
                let code = list(fields).next().and_then(Value::number).unwrap_or_default();
                let answer = RequestFields {
                    code: i32::try_from(code).ok(),
                    // Credentials; the others are the system's (section 5.3.3.6).
                    status: match code {
                        0 => Status::Ok,
                        1 => Status::ClientError,
                        _ => Status::ServerError,
                    },
                    ..RequestFields::default()
                };
                out.emit(Message::new(Kind::Response, answer).keyed(key(message::SASL_INIT, 0)));
            }
            _ => {}
        }
    }

    /// The session that a side's channel is in; where its beginning was not seen both sides are taken to count alike.
    fn session(&self, side: Side, channel: u16) -> u32 {
        self.sessions[side.index()].get(&channel).copied().unwrap_or(u32::from(channel))
    }

    fn fields(&self, kind: u64, frame: Frame) -> RequestFields {
        RequestFields {
            l7_protocol: "amqp",
            version: "1.0",
            request_type: message::name(kind).unwrap_or_default().into(),
            request_domain: self.host.clone(),
            session_id: Some(u64::from(frame.channel)),
            ..RequestFields::default()
        }
    }

    /// What both sides do, one after the other: the second time is the answer.
    fn both(&mut self, side: Side, key: u64, row: RequestFields, out: &mut Output<'_>) {
        if let Some((asker, count)) = self.awaited.get_mut(&key)
            && *asker != side
        {
            *count -= 1;
            if *count == 0 {
                self.awaited.remove(&key);
            }
            let answer = RequestFields {
                status: if row.status == Status::Unknown { Status::Ok } else { row.status },
                exception: row.exception,
                request_resource: row.request_resource,
                endpoint: row.endpoint,
                ..RequestFields::default()
            };
            out.emit(Message::new(Kind::Response, answer).keyed(key));
            return;
        }
        if self.awaited.len() < REMEMBERED || self.awaited.contains_key(&key) {
            self.awaited.entry(key).or_insert((side, 0)).1 += 1;
        }
        out.emit(Message::new(Kind::Request, row).keyed(key));
    }

    /// A message, or a part of one.
    #[expect(clippy::too_many_arguments, reason = "the parts of one frame")]
    fn transfer(
        &mut self,
        side: Side,
        frame: Frame,
        session: u32,
        fields: &[u8],
        payload: &[u8],
        cut: bool,
        out: &mut Output<'_>,
    ) {
        let Some(transfer) = message::transfer(fields) else { return };
        let place = (side, session, transfer.handle);
        let mut content = self.contents.remove(&place).unwrap_or_else(|| {
            let mut row = self.fields(message::TRANSFER, frame);
            let address = self.links.get(&place).cloned().unwrap_or_default();
            row.request_resource = address.clone();
            row.endpoint = address;
            message::sections(payload, &mut row);
            let key = transfer.delivery.map(|delivery| delivery_key(side, session, delivery));
            row.session_id = transfer.delivery.or(row.session_id);
            Content { start: out.mark, fields: row, key, bytes: 0 }
        });
        content.bytes += u64::from(frame.size);
        if transfer.settled {
            content.key = None;
        }
        if transfer.aborted {
            content.key = None;
            content.fields.exception = "aborted".into();
        }
        if transfer.more && !transfer.aborted && self.contents.len() < REMEMBERED {
            self.contents.insert(place, content);
        } else {
            out.emit(content.message().truncated(cut));
        }
    }
}

/// Each side of a session numbers what it sends.
fn delivery_key(sender: Side, session: u32, delivery: u64) -> u64 {
    key(message::TRANSFER | (sender.index() as u64) << 7, u64::from(session & 0xff_ffff) << 32 | delivery & 0xffff_ffff)
}
