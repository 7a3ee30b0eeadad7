//! TDS, the protocol of SQL Server and (version 5) of Sybase: logins, statements, procedures, and their answers.
//!
//! Source: MS-TDS, MS-SMP (several sessions on a connection), the TDS 5.0 functional specification. TLS inside it is
//! passed over and said so.

mod packet;
mod reply;
mod request;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::sql::Statement;
use super::{Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side};
use ahash::AHashMap;
use packet::{HEAD, Head, SESSION_HEAD};
use reply::{Reply, TAIL};
use request::CONTENT;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "tds",
    ports: &[1433],
    timeout: 120_000_000_000,
    detect: packet::detect,
    start: |_| Box::new(Tds::default()),
};

/// Bytes of a packet looked at: all of any packet.
const WINDOW: usize = 1 << 16;
/// Most sessions of a connection, and prepared statements, that are kept.
const SESSIONS: usize = 256;
const PREPARED: usize = 1024;

/// A message whose last packet has not come.
#[derive(Debug)]
struct Building {
    kind: u8,
    start: Mark,
    content: Vec<u8>,
    cut: bool,
    /// Packets so far.
    packets: u32,
    /// An answer: read to where its first packet ended.
    reply: Reply,
    followed: bool,
}

/// One of the sessions of a connection; there is mostly one.
#[derive(Debug, Default)]
struct Session {
    asking: Option<Building>,
    answering: Option<Building>,
    outstanding: u32,
    /// Text that a handle will be told for.
    preparing: Option<Statement>,
}

#[derive(Debug, Default)]
struct Tds {
    session: u16,
    sessions: AHashMap<u16, Session>,
    prepared: AHashMap<u32, Statement>,
    database: Box<str>,
    version: &'static str,
    /// Counts of rows take eight bytes.
    wide: Option<bool>,
    /// TDS 5.
    five: bool,
    /// Only the login is encrypted.
    login_only: bool,
    /// The login went by in TLS.
    hidden_login: bool,
}

impl Parser for Tds {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let bytes = input.bytes;
        match bytes.first() {
            Some(0x14..=0x17) => {
                if bytes.len() < 5 {
                    return Step::More(5);
                }
                return match packet::record(bytes) {
                    Some((kind, len)) => {
                        self.record(side, kind, out);
                        Step::Consume(len)
                    }
                    None => Step::Reject("neither TDS nor TLS"),
                };
            }
            Some(0x53) => {
                if bytes.len() < SESSION_HEAD {
                    return Step::More(SESSION_HEAD);
                }
                let Some((session, _)) = packet::session(bytes) else {
                    return Step::Reject("not a session's packet");
                };
                self.session = session;
                return Step::Consume(SESSION_HEAD as u64);
            }
            _ => {}
        }
        if bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let Some(head) = Head::parse(bytes)
            .filter(|head| (head.kind == packet::REPLY) == (side == Side::Server) || head.kind == packet::PRELOGIN)
        else {
            return Step::Reject("not a packet of TDS");
        };
        let view = match view(input, head.total(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let body = view.bytes.get(HEAD..).unwrap_or_default();
        if head.kind == packet::PRELOGIN && packet::record(body).is_some() {
            // The handshake of TLS, wrapped.
            return Step::Consume(head.total());
        }
        match side {
            Side::Client => self.ask(head, body, view.cut, out),
            Side::Server => self.answer(head, body, view.cut, out),
        }
        Step::Consume(head.total())
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        let bytes =
            if packet::session(bytes).is_some() { bytes.get(SESSION_HEAD..).unwrap_or_default() } else { bytes };
        packet::record(bytes).is_some()
            || Head::parse(bytes).is_some_and(|head| (head.kind == packet::REPLY) == (side == Side::Server))
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        let mut ids: Vec<u16> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.session = id;
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            let part = if side == Side::Client { session.asking.take() } else { session.answering.take() };
            let Some(mut part) = part else { continue };
            part.cut = true;
            match side {
                Side::Client => self.asked(part, out),
                Side::Server => self.answered(part, out),
            }
        }
    }
}

impl Tds {
    fn session(&mut self) -> &mut Session {
        if self.sessions.len() >= SESSIONS && !self.sessions.contains_key(&self.session) {
            self.sessions.clear();
        }
        self.sessions.entry(self.session).or_default()
    }

    /// A record of TLS outside of packets.
    fn record(&mut self, side: Side, kind: u8, out: &mut Output<'_>) {
        if kind != 0x17 || side != Side::Client || self.hidden_login {
            return;
        }
        self.hidden_login = true;
        let mut fields = RequestFields { request_type: "Login7".into(), ..RequestFields::default() };
        fields.attributes.push(("encrypted", "TLS".into()));
        // Where all is encrypted, so is the answer.
        let message = if self.login_only {
            self.session().outstanding += 1;
            Message::new(Kind::Request, fields)
        } else {
            Message::new(Kind::OneWay, fields)
        };
        out.emit(message.keyed(0));
    }

    fn ask(&mut self, head: Head, body: &[u8], cut: bool, out: &mut Output<'_>) {
        let start = out.mark;
        let session = self.session();
        // The rest of a login of TDS 5 may come under another kind.
        if session.asking.as_ref().is_some_and(|part| part.kind != head.kind && part.kind != packet::LOGIN) {
            session.asking = None;
        }
        let mut part = session.asking.take().unwrap_or_else(|| Building::new(head.kind, start));
        part.cut |= cut;
        part.packets += 1;
        let room = CONTENT.saturating_sub(part.content.len());
        part.content.extend_from_slice(body.get(..room).unwrap_or(body));
        if head.is_last() {
            self.asked(part, out);
        } else {
            self.session().asking = Some(part);
        }
    }

    /// A message of the client is whole.
    fn asked(&mut self, part: Building, out: &mut Output<'_>) {
        let content = part.content.as_slice();
        let mut kind = Kind::Request;
        let mut fields = match part.kind {
            packet::BATCH => {
                self.wide = request::headers(content).map(|_| true).or(self.wide);
                request::batch(content, out.mask)
            }
            packet::RPC => {
                self.wide = request::headers(content).map(|_| true).or(self.wide);
                let mut call = request::call(content, out.mask);
                if let Some(handle) = call.handle {
                    if let Some(statement) = self.prepared.get(&handle) {
                        let name = std::mem::take(&mut call.fields.request_resource);
                        statement.fill(&mut call.fields);
                        call.fields.attributes.push(("procedure", name));
                    }
                    if call.forgets {
                        self.prepared.remove(&handle);
                    }
                    call.fields.session_id = Some(u64::from(handle));
                }
                self.session().preparing = call.prepares;
                call.fields
            }
            packet::LANGUAGE => {
                self.five = true;
                request::language(content, out.mask)
            }
            packet::LOGIN => {
                self.five = true;
                self.version = "5.0";
                request::login5(content)
            }
            packet::LOGIN7 => {
                let fields = request::login7(content);
                self.wide = Some(!matches!(fields.version, "7.0" | "7.1"));
                self.version = fields.version;
                fields
            }
            packet::PRELOGIN => {
                let mut fields = named("Prelogin");
                if let (Some(encryption), _) = request::prelogin(content) {
                    fields.attributes.push(("encryption_asked", encryption.into()));
                }
                fields
            }
            packet::TRANSACTION => request::transaction(content),
            packet::BULK => named("BulkLoad"),
            packet::SSPI => named("SSPI"),
            packet::FED_AUTH => named("FedAuth"),
            _ => {
                kind = Kind::OneWay;
                named("Attention")
            }
        };
        if fields.request_domain.is_empty() {
            fields.request_domain = self.database.clone();
        }
        if fields.version.is_empty() {
            fields.version = self.version;
        }
        if kind == Kind::Request {
            self.session().outstanding += 1;
        }
        let key = u64::from(self.session);
        out.emit(Message::new(kind, fields).keyed(key).since(part.start).truncated(part.cut));
    }

    fn answer(&mut self, head: Head, body: &[u8], cut: bool, out: &mut Output<'_>) {
        let (start, wide, five) = (out.mark, self.wide, self.five);
        let session = self.session();
        let mut part = session.answering.take().unwrap_or_else(|| Building::new(head.kind, start));
        part.packets += 1;
        part.cut |= cut;
        if part.packets == 1 {
            if body.first() == Some(&0) {
                // A prelogin's options, not tokens.
                part.followed = true;
                part.content.extend_from_slice(body.get(..256).unwrap_or(body));
            } else {
                part.followed = part.reply.read(body, wide, five);
            }
            if head.is_last() && !part.followed && !cut {
                part.reply.read_end(body, wide.filter(|_| !five).or(five.then_some(false)));
            }
        } else if !cut {
            part.followed = false;
            // The end of what came before, in case the last tokens are cut apart.
            let room = TAIL.saturating_sub(body.len());
            let old = part.content.len().saturating_sub(room);
            part.content.drain(..old);
            let new = body.len().saturating_sub(TAIL);
            part.content.extend_from_slice(body.get(new..).unwrap_or_default());
            if head.is_last() {
                let content = std::mem::take(&mut part.content);
                part.reply.read_end(&content, wide.filter(|_| !five).or(five.then_some(false)));
            }
        }
        if part.packets == 1 && !head.is_last() && part.content.is_empty() {
            let tail = body.len().saturating_sub(TAIL);
            part.content.extend_from_slice(body.get(tail..).unwrap_or_default());
        }
        if head.is_last() {
            self.answered(part, out);
        } else {
            self.session().answering = Some(part);
        }
    }

    /// An answer is whole.
    fn answered(&mut self, part: Building, out: &mut Output<'_>) {
        let Building { start, content, cut, reply, packets, .. } = part;
        if let Some(database) = &reply.database {
            self.database = database.clone();
        }
        if !reply.version.is_empty() {
            self.version = reply.version;
            self.wide = Some(!self.five && !matches!(reply.version, "7.0" | "7.1"));
        }
        let key = u64::from(self.session);
        let session = self.session();
        if reply.attention && !reply.says_more && session.outstanding == 0 {
            // The request was answered before its cancellation came.
            return;
        }
        session.outstanding = session.outstanding.saturating_sub(1);
        if let (Some(statement), Some(handle)) = (session.preparing.take(), reply.handle)
            && self.prepared.len() < PREPARED
        {
            self.prepared.insert(handle, statement);
        }
        let mut fields = reply.fields(out.mask);
        if packets == 1 && content.first() == Some(&0) {
            let (encryption, version) = request::prelogin(&content);
            self.login_only = encryption == Some("login only");
            fields.attributes.extend(encryption.map(|encryption| ("encryption", encryption.into())));
            fields.attributes.extend(version.map(|version| ("server_version", version)));
        }
        out.emit(Message::new(Kind::Response, fields).keyed(key).since(start).truncated(cut));
    }
}

impl Building {
    fn new(kind: u8, start: Mark) -> Self {
        Self { kind, start, content: Vec::new(), cut: false, packets: 0, reply: Reply::default(), followed: false }
    }
}

fn named(kind: &str) -> RequestFields {
    RequestFields { request_type: kind.into(), ..RequestFields::default() }
}
