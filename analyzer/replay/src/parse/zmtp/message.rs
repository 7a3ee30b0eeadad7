//! Greetings, commands and messages as rows see them.

use super::super::Kind;
use super::super::cursor::Cursor;
use super::super::mask::{MASK, Masker, Secret};
use super::super::text::{clean_to, number};
use crate::model::{RequestFields, Side, Status};

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
/// Largest frame that is believed, bytes.
const LIMIT: u64 = 1 << 36;
/// Names of commands (RFC 23, 24, 25, 37).
const COMMANDS: [&str; 14] = [
    "READY",
    "ERROR",
    "PING",
    "PONG",
    "SUBSCRIBE",
    "CANCEL",
    "JOIN",
    "LEAVE",
    "HELLO",
    "WELCOME",
    "INITIATE",
    "MESSAGE",
    "TOKEN",
    "ANSWER",
];
/// Kinds of sockets, in the order of ZMTP 2.0's numbers.
const SOCKETS: [&str; 20] = [
    "PAIR", "PUB", "SUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB", "XSUB", "STREAM", "SERVER",
    "CLIENT", "RADIO", "DISH", "GATHER", "SCATTER", "PEER", "CHANNEL",
];

/// What a side starts with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Greeting<'a> {
    pub(super) major: u8,
    minor: u8,
    mechanism: &'a [u8],
    /// ZMTP 2.0 tells the kind of socket here.
    socket: Option<u8>,
    /// Bytes.
    pub(super) len: usize,
}

impl<'a> Greeting<'a> {
    /// `Err(true)`: too few bytes, so far it fits; `Err(false)`: not a greeting.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, bool> {
        let mut cursor = Cursor::new(bytes);
        if cursor.u8().ok_or(true)? != 0xff {
            return Err(false);
        }
        // A length that older peers take for that of a frame: 1, or nothing.
        for place in 0..8 {
            if cursor.u8().ok_or(true)? > u8::from(place == 7) {
                return Err(false);
            }
        }
        if cursor.u8().ok_or(true)? != 0x7f {
            return Err(false);
        }
        let mut greeting = Self { major: cursor.u8().ok_or(true)?, minor: 0, mechanism: &[], socket: None, len: 12 };
        match greeting.major {
            // Revision 0 is ZMTP 1.0 with a signature, 1 is ZMTP 2.0.
            0 | 1 => {
                greeting.major += 1;
                greeting.socket = Some(cursor.u8().ok_or(true)?);
            }
            3 => {
                greeting.minor = cursor.u8().ok_or(true)?;
                let mechanism = cursor.take(20).ok_or(true)?;
                let end = mechanism.iter().position(|byte| *byte == 0).unwrap_or(mechanism.len());
                greeting.mechanism = mechanism.get(..end).unwrap_or_default();
                cursor.take(32).ok_or(true)?;
                greeting.len = 64;
            }
            _ => return Err(false),
        }
        Ok(greeting)
    }
}

/// A frame's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    flags: u8,
    len: u64,
    /// Bytes of the head.
    at: usize,
}

impl Head {
    /// `None`: not a head, or too few bytes.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let flags = cursor.u8()?;
        let len = if flags & LONG == 0 { u64::from(cursor.u8()?) } else { cursor.u64()? };
        let fits = flags < 8 && flags & (COMMAND | MORE) != COMMAND | MORE && len <= LIMIT;
        fits.then_some(Self { flags, len, at: cursor.position() })
    }

    /// Whether a head may start so.
    pub(super) fn fits(bytes: &[u8]) -> bool {
        bytes.len() < 9 && bytes.first().is_none_or(|flags| *flags < 8 && flags & (COMMAND | MORE) != COMMAND | MORE)
    }

    /// Bytes on the stream.
    pub(super) fn total(self) -> u64 {
        self.at as u64 + self.len
    }

    /// A command, not part of a message.
    pub(super) fn is_command(self) -> bool {
        self.flags & COMMAND != 0
    }

    /// More frames of the message follow.
    pub(super) fn more(self) -> bool {
        self.flags & MORE != 0
    }

    /// What the frame carries, as far as it is in view.
    fn body(self, bytes: &[u8]) -> &[u8] {
        let end = usize::try_from(self.total()).unwrap_or(usize::MAX).min(bytes.len());
        bytes.get(self.at..end).unwrap_or_default()
    }

    /// Name and content of a command that is known.
    pub(super) fn command(self, bytes: &[u8]) -> Option<(&'static str, &[u8])> {
        let body = self.body(bytes);
        // libzmq's `"\x5ERROR"` is `^RROR` to its compiler: length and first letter are one byte.
        if let Some(reason) = body.strip_prefix(b"\x5eRROR").filter(|_| self.is_command()) {
            return Some(("ERROR", reason));
        }
        let mut cursor = Cursor::new(body);
        let len = usize::from(cursor.u8()?);
        let name = cursor.take(len)?;
        let known = COMMANDS.iter().find(|known| known.as_bytes() == name)?;
        self.is_command().then_some((*known, cursor.rest()))
    }
}

/// A message whose frames come one by one.
#[derive(Clone, Debug, Default)]
pub(super) struct Multipart {
    frames: u64,
    bytes: u64,
    /// The first frame that is not empty: a topic, or what it is all about.
    first: Box<[u8]>,
    pub(super) cut: bool,
}

impl Multipart {
    /// A frame more.
    pub(super) fn add(&mut self, head: Head, bytes: &[u8], cut: bool) {
        self.frames += 1;
        self.bytes += head.len;
        self.cut |= cut;
        if self.frames == 1 {
            let body = head.body(bytes);
            self.first = body.get(..128).unwrap_or(body).into();
        }
    }
}

/// What the sides have said of themselves.
#[derive(Debug, Default)]
pub(super) struct Known {
    version: &'static str,
    mechanism: [Box<str>; 2],
    /// Kinds of sockets.
    sockets: [&'static str; 2],
}

type Read = (Kind, RequestFields);

impl Known {
    fn socket(&self, side: Side) -> &'static str {
        self.sockets.get(side.index()).copied().unwrap_or_default()
    }

    fn fields(&self, kind: &str) -> RequestFields {
        RequestFields {
            request_type: kind.into(),
            version: self.version,
            status: Status::Ok,
            ..RequestFields::default()
        }
    }

    /// A side greets.
    pub(super) fn greeting(&mut self, side: Side, greeting: Greeting<'_>) -> Read {
        self.version = match (greeting.major, greeting.minor) {
            (1, _) => "1.0",
            (2, _) => "2.0",
            (3, 0) => "3.0",
            _ => "3.1",
        };
        let mut fields = self.fields("Greeting");
        let mechanism = clean_to(greeting.mechanism, 20);
        if !mechanism.is_empty() {
            fields.attributes.push(("mechanism", mechanism.clone()));
        }
        if let Some(place) = self.mechanism.get_mut(side.index()) {
            *place = mechanism;
        }
        let socket = greeting.socket.and_then(|socket| SOCKETS.get(usize::from(socket))).copied().unwrap_or_default();
        self.is(side, socket, &mut fields);
        (Kind::OneWay, fields)
    }

    fn is(&mut self, side: Side, socket: &'static str, fields: &mut RequestFields) {
        if !socket.is_empty() {
            fields.attributes.push(("socket_type", socket.into()));
            if let Some(place) = self.sockets.get_mut(side.index()) {
                *place = socket;
            }
        }
    }

    /// A command.
    pub(super) fn command(&mut self, side: Side, head: Head, bytes: &[u8], mask: &mut Masker) -> Read {
        let mut fields = self.fields("Command");
        let Some((name, content)) = head.command(bytes) else {
            fields.status = Status::Unknown;
            return (Kind::OneWay, fields);
        };
        fields.endpoint = name.into();
        let mut cursor = Cursor::new(content);
        match name {
            "READY" | "INITIATE" => {
                // Properties: a name, and a value with a longer length. CURVE's are encrypted: nothing is found.
                while let Some(len) = cursor.u8() {
                    let Some(name) = cursor.take(usize::from(len)) else { break };
                    let Some(len) = cursor.u32() else { break };
                    let value = cursor.up_to(len as usize);
                    if name.eq_ignore_ascii_case(b"socket-type") {
                        let known = SOCKETS.iter().find(|socket| socket.as_bytes() == value);
                        self.is(side, known.copied().unwrap_or_default(), &mut fields);
                    } else if name.eq_ignore_ascii_case(b"identity") && !value.is_empty() {
                        fields.attributes.push(("identity", clean_to(value, 128)));
                    }
                }
            }
            "HELLO" if self.mechanism.get(side.index()).is_some_and(|mechanism| &**mechanism == "PLAIN") => {
                let len = usize::from(cursor.u8().unwrap_or_default());
                fields.attributes.push(("user", clean_to(cursor.up_to(len), 128)));
                let len = usize::from(cursor.u8().unwrap_or_default());
                let password = cursor.up_to(len);
                if mask.shows() {
                    fields.attributes.push(("password", clean_to(password, 128)));
                } else if len > 0 {
                    fields.attributes.push(("password", MASK.into()));
                    mask.hid(Secret::Login, 1);
                }
            }
            "SUBSCRIBE" | "CANCEL" | "JOIN" | "LEAVE" => fields.request_resource = clean_to(content, 256),
            "ERROR" => {
                let len = usize::from(cursor.u8().unwrap_or_default());
                fields.exception = clean_to(cursor.up_to(len), 256);
                fields.status = Status::ServerError;
            }
            _ => {}
        }
        (Kind::OneWay, fields)
    }

    /// A message. Sockets that ask and answer in turn have it paired, others send it one way.
    pub(super) fn message(&self, side: Side, message: &Multipart) -> Read {
        let mut fields = self.fields("Message");
        let (from, to) = (self.socket(side), self.socket(side.other()));
        let publishes = |socket: &str| matches!(socket, "PUB" | "XPUB");
        if message.first.starts_with(b"\x07MESSAGE") {
            // Each frame by itself; whether more follow is told inside.
            fields.endpoint = "MESSAGE".into();
            fields.attributes.push(("encrypted", "CURVE".into()));
        }
        match (from, message.first.split_first()) {
            (_, Some((kind @ (0 | 1), topic))) if publishes(to) => {
                fields.endpoint = if *kind == 1 { "SUBSCRIBE" } else { "CANCEL" }.into();
                fields.request_resource = clean_to(topic, 128);
            }
            (from, Some(_)) if publishes(from) => {
                fields.request_resource = clean_to(&message.first, 128);
                fields.endpoint = fields.request_resource.clone();
            }
            _ => {}
        }
        let kind = match (from, to) {
            ("REQ", _) | ("DEALER", "REP") => Kind::Request,
            ("REP", _) | (_, "REQ") => Kind::Response,
            _ => Kind::OneWay,
        };
        let (frames, bytes) = match kind {
            Kind::Response => ("response_frames", "response_payload_bytes"),
            _ => ("frames", "payload_bytes"),
        };
        fields.attributes.push((frames, number(message.frames)));
        fields.attributes.push((bytes, number(message.bytes)));
        if kind == Kind::Request {
            fields.status = Status::Unknown;
        }
        (kind, fields)
    }
}
