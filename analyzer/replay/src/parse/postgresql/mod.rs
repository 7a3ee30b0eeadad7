//! PostgreSQL frontend/backend protocol 3 (manual, chapter "Frontend/Backend Protocol").
//!
//! One request per Query or Execute; preparing without executing is a request of its own. ReadyForQuery ends the last
//! response before a Sync. Statement texts are remembered by name, portals by statement.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::mask::Secret;
use super::sql::{Dialect, STATEMENT_LIMIT, Statement, statement};
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{RequestFields, Side, Transport};
use ahash::AHashMap;
use message::Outcome;
use std::collections::VecDeque;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "postgresql",
    ports: &[5432, 5433, 6432],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(PostgreSql::default()),
};

/// Statements and portals remembered per connection.
const REMEMBERED: usize = 4096;
/// Requests outstanding that are told apart.
const OUTSTANDING: usize = 32 * 1024;
/// Longest message believed.
const LENGTH_LIMIT: u32 = 0x4000_0000;

const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    let mut cursor = Cursor::new(bytes);
    if bytes.first() == Some(&0) {
        let (Some(length), Some(code)) = (cursor.u32(), cursor.u32()) else {
            return if bytes.len() < 8 && !first.whole { Detection::More } else { Detection::No };
        };
        let yes = match (length, code) {
            // Keys of protocol 3.2 are longer.
            (8, SSL | GSS) | (16..=268, CANCEL) => true,
            (12..=10_000, 0x0003_0000..=0x0003_0002) => cursor.rest().first().is_none_or(u8::is_ascii_lowercase),
            _ => false,
        };
        return if yes { Detection::Yes { confidence: 95, from: Some(Side::Client) } } else { Detection::No };
    }
    let (client, client_sure) = message::chain(bytes, Side::Client);
    let (server, server_sure) = message::chain(bytes, Side::Server);
    let yes = |confidence, side| Detection::Yes { confidence, from: Some(side) };
    match (client, server) {
        _ if bytes.len() < 5 && !first.whole && (client > 0 || server > 0) => Detection::More,
        (1.., 0) if client_sure => yes(if client > 1 { 85 } else { 70 }, Side::Client),
        (0, 1..) if server_sure => yes(if server > 1 { 85 } else { 70 }, Side::Server),
        (1.., 1..) if client_sure && (client >= server || !server_sure) => yes(65, Side::Client),
        (1.., 1..) if server_sure => yes(65, Side::Server),
        _ => Detection::No,
    }
}

/// What the server owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// Up to ReadyForQuery.
    Login,
    Query,
    /// Up to CommandComplete.
    Execute,
    /// Up to ParseComplete and a description.
    Parse,
    /// ReadyForQuery.
    Sync,
}

/// Messages of the client that have not been executed yet.
#[derive(Debug, Default)]
struct Batch {
    start: Option<Mark>,
    parsed: Option<Vec<u8>>,
    truncated: bool,
    parameters: Box<str>,
}

#[derive(Debug, Default)]
struct PostgreSql {
    /// The first packets of the client have no type byte.
    started: bool,
    /// SSLRequest or GSSENCRequest was sent: one byte answers.
    negotiating: bool,
    /// All is wrapped by GSSAPI from now on.
    wrapped: bool,
    /// Replication: both sides copy until further notice.
    streams: bool,
    database: Box<str>,
    statements: AHashMap<Vec<u8>, Statement>,
    portals: AHashMap<Vec<u8>, Vec<u8>>,
    batch: Batch,
    owed: VecDeque<Owed>,
    outcome: Outcome,
    since: Option<Mark>,
    /// The response in `outcome` is whole but for ReadyForQuery.
    complete: bool,
    /// A portal was bound since the last response: what is answered is an Execute, whether it was seen or not.
    bound: bool,
}

impl Parser for PostgreSql {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if self.wrapped {
            return Step::Consume(u64::MAX);
        }
        if side == Side::Client && !self.started {
            match input.bytes.first() {
                Some(0) => return self.startup(input, out),
                _ => self.started = true,
            }
        }
        if side == Side::Server && self.negotiating {
            self.negotiating = false;
            match input.bytes.first() {
                Some(b'G') => {
                    self.wrapped = true;
                    return Step::Consume(1);
                }
                Some(b'S') => {
                    out.switch = Some(Switch::To("tls"));
                    return Step::Consume(1);
                }
                Some(b'N') => return Step::Consume(1),
                _ => {}
            }
        }
        let mut cursor = Cursor::new(input.bytes);
        let (Some(tag), Some(length)) = (cursor.u8(), cursor.u32()) else {
            return Step::More(5);
        };
        if !(4..LENGTH_LIMIT).contains(&length) || !message::known(tag, side) {
            return Step::Reject("not a message of the protocol");
        }
        let body = length as usize - 4;
        let wanted = message::wanted(tag, side).min(body);
        if cursor.rest().len() < wanted && !input.cut {
            return Step::More(wanted + 5);
        }
        let body = cursor.up_to(body);
        let cut = body.len() + 4 < length as usize && body.len() < wanted;
        out.hold = true;
        match side {
            Side::Client => self.asks(tag, body, cut, out),
            Side::Server => self.answers(tag, body, out),
        }
        Step::Consume(u64::from(length) + 1)
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        let (messages, sure) = message::chain(bytes, side);
        messages > 0 && sure
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        match side {
            Side::Client => self.batch = Batch::default(),
            Side::Server => {
                if self.since.is_some() && self.outcome.speaks() {
                    self.respond(out, true);
                }
                self.outcome = Outcome::default();
                self.since = None;
                (self.complete, self.bound) = (false, false);
                self.owed.clear();
            }
        }
    }
}

impl PostgreSql {
    /// StartupMessage, SSLRequest, GSSENCRequest, CancelRequest.
    fn startup(&mut self, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let mut cursor = Cursor::new(input.bytes);
        let (Some(length), Some(code)) = (cursor.u32(), cursor.u32()) else {
            return Step::More(8);
        };
        let Some(body) = (length as usize).checked_sub(8).filter(|body| *body <= 10_000) else {
            return Step::Reject("length of a startup packet");
        };
        if cursor.rest().len() < body && !input.cut {
            return Step::More(body + 8);
        }
        let body = cursor.up_to(body);
        match code {
            SSL | GSS => self.negotiating = true,
            CANCEL => {
                let fields = RequestFields { request_type: "Cancel".into(), ..RequestFields::default() };
                out.emit(Message::new(Kind::OneWay, fields));
            }
            0x0003_0000..=0x0003_ffff => {
                self.started = true;
                let fields = message::login(body);
                self.database = fields.request_domain.clone();
                out.emit(Message::new(Kind::Request, fields));
                self.owe(Owed::Login);
            }
            _ => return Step::Reject("unknown startup packet"),
        }
        Step::Consume(u64::from(length))
    }

    fn owe(&mut self, what: Owed) {
        if self.owed.len() < OUTSTANDING {
            self.owed.push_back(what);
        }
    }

    /// A message of the client.
    fn asks(&mut self, tag: u8, body: &[u8], cut: bool, out: &mut Output<'_>) {
        let mut cursor = Cursor::new(body);
        match tag {
            b'Q' | b'F' => {
                let text = body.strip_suffix(&[0]).unwrap_or(body);
                let mut fields = self.fields(if tag == b'Q' { "Query" } else { "FunctionCall" });
                if tag == b'Q' {
                    statement(text, Dialect::PostgreSql, out.mask).fill(&mut fields);
                }
                out.hold = false;
                out.emit(Message::new(Kind::Request, fields).truncated(cut));
                self.owe(Owed::Query);
            }
            b'P' => {
                self.begin(out.mark);
                let name = cursor.c_string().unwrap_or_default();
                let text = cursor.rest();
                let text = memchr::memchr(0, text).and_then(|end| text.get(..end)).unwrap_or(text);
                let statement = statement(text, Dialect::PostgreSql, out.mask);
                self.batch.truncated |= cut;
                self.batch.parsed = Some(name.to_vec());
                if self.statements.len() < REMEMBERED || self.statements.contains_key(name) {
                    self.statements.insert(name.to_vec(), statement);
                }
            }
            b'B' => {
                self.begin(out.mark);
                if let (Some(portal), Some(name)) = (cursor.c_string(), cursor.c_string()) {
                    if self.portals.len() < REMEMBERED || self.portals.contains_key(portal) {
                        self.portals.insert(portal.to_vec(), name.to_vec());
                    }
                    if out.mask.shows() {
                        self.batch.parameters = message::parameters(cursor);
                    }
                }
            }
            b'D' => self.begin(out.mark),
            b'C' => {
                self.begin(out.mark);
                if let (Some(b'S'), Some(name)) = (cursor.u8(), cursor.c_string()) {
                    self.statements.remove(name);
                }
            }
            b'E' => {
                self.begin(out.mark);
                let batch = std::mem::take(&mut self.batch);
                let portal = cursor.c_string().unwrap_or_default();
                let name = self.portals.get(portal).map(Vec::as_slice);
                let mut fields = self.fields("Execute");
                if let Some(name) = name {
                    if let Some(statement) = self.statements.get(name) {
                        statement.fill(&mut fields);
                    }
                    if !name.is_empty() {
                        fields.attributes.push(("statement", super::text::clean_to(name, 128)));
                    }
                }
                if !batch.parameters.is_empty() {
                    fields.attributes.push(("parameters", batch.parameters));
                }
                out.hold = false;
                let start = batch.start.unwrap_or(out.mark);
                out.emit(Message::new(Kind::Request, fields).since(start).truncated(batch.truncated || cut));
                self.owe(Owed::Execute);
            }
            b'S' | b'H' => {
                let batch = std::mem::take(&mut self.batch);
                if let (Some(name), Some(start)) = (batch.parsed, batch.start) {
                    let mut fields = self.fields("Parse");
                    if let Some(statement) = self.statements.get(&name) {
                        statement.fill(&mut fields);
                    }
                    out.hold = false;
                    out.emit(Message::new(Kind::Request, fields).since(start).truncated(batch.truncated));
                    self.owe(Owed::Parse);
                }
                if tag == b'S' {
                    self.owe(Owed::Sync);
                }
            }
            b'p' if !out.mask.shows() => out.mask.hid(Secret::Login, 1),
            b'X' => {
                let fields = self.fields("Terminate");
                out.hold = false;
                out.emit(Message::new(Kind::OneWay, fields));
            }
            _ => {}
        }
    }

    fn begin(&mut self, here: Mark) {
        self.batch.start.get_or_insert(here);
    }

    fn fields(&self, request_type: &str) -> RequestFields {
        RequestFields {
            l7_protocol: "postgresql",
            version: "3",
            request_type: request_type.into(),
            request_domain: self.database.clone(),
            ..RequestFields::default()
        }
    }

    /// A message of the server.
    fn answers(&mut self, tag: u8, body: &[u8], out: &mut Output<'_>) {
        match tag {
            b'A' => {
                let mut cursor = Cursor::new(body);
                let channel = cursor.u32().and_then(|_| cursor.c_string()).unwrap_or_default();
                let mut fields = self.fields("Notification");
                fields.request_resource = super::text::clean_to(channel, 256);
                out.hold = self.since.is_some();
                let mut message = Message::new(Kind::OneWay, fields);
                message.end = Some(out.mark);
                message.bytes = Some(body.len() as u64 + 5);
                out.emit(message);
                return;
            }
            b'N' => {
                self.outcome.notice(body);
                return;
            }
            b'S' if self.since.is_none() => return,
            _ => {}
        }
        if tag == b'Z' {
            self.streams = false;
            self.ready(out);
            return;
        }
        if self.streams {
            // Of a stream, until an error or ReadyForQuery ends it.
            self.streams = tag != b'E';
            out.hold = false;
            if self.streams {
                return;
            }
        }
        if self.complete {
            // Another response begins although the last one waits for ReadyForQuery: it was not the last.
            self.respond(out, false);
        }
        self.since.get_or_insert(out.mark);
        self.bound |= tag == b'2';
        self.outcome.see(tag, body, out.mask);
        if tag == b'W' {
            // CopyBothResponse: the stream that follows is no part of the answer.
            self.streams = true;
            out.hold = false;
            self.respond(out, false);
            return;
        }
        let ends = match self.owed.front() {
            Some(Owed::Execute) => matches!(tag, b'C' | b'I' | b's' | b'E'),
            Some(Owed::Parse) => matches!(tag, b'E') || (tag == b'1' && self.owed.get(1) != Some(&Owed::Sync)),
            Some(Owed::Login) => tag == b'E',
            // Of a pipeline whose end was not seen; a query's answer, which ReadyForQuery ends, has no portal bound.
            None => self.bound && matches!(tag, b'C' | b'I' | b's' | b'E'),
            Some(Owed::Query | Owed::Sync) => false,
        };
        if ends {
            if self.owed.get(1) == Some(&Owed::Sync) {
                self.complete = true;
            } else {
                let failed = tag == b'E';
                out.hold = false;
                self.respond(out, false);
                if failed {
                    self.skipped(out);
                }
            }
        }
    }

    /// ReadyForQuery.
    fn ready(&mut self, out: &mut Output<'_>) {
        out.hold = false;
        let said = self.since.is_some();
        let answered = match self.owed.front() {
            // Only descriptions and the like were asked for, or an error came outside of any request.
            Some(Owed::Sync) => self.outcome.failed() && said,
            Some(_) => true,
            None => self.outcome.speaks() && said,
        };
        if answered {
            self.respond(out, false);
        }
        self.skipped(out);
        if self.owed.front() == Some(&Owed::Sync) {
            self.owed.pop_front();
        }
        self.outcome = Outcome::default();
        self.since = None;
        (self.complete, self.bound) = (false, false);
    }

    /// What was asked after an error and before the Sync is not executed.
    fn skipped(&mut self, out: &mut Output<'_>) {
        if !self.owed.contains(&Owed::Sync) {
            return;
        }
        while let Some(Owed::Execute | Owed::Parse) = self.owed.front() {
            self.owed.pop_front();
            let fields =
                RequestFields { exception: "skipped after an earlier error".into(), ..RequestFields::default() };
            out.emit(Message::new(Kind::Response, fields));
        }
    }

    fn respond(&mut self, out: &mut Output<'_>, truncated: bool) {
        let outcome = std::mem::take(&mut self.outcome);
        let start = self.since.take().unwrap_or(out.mark);
        (self.complete, self.bound) = (false, false);
        if self.owed.front() != Some(&Owed::Sync) {
            self.owed.pop_front();
        }
        let fields = outcome.fields(out.mask);
        out.emit(Message::new(Kind::Response, fields).since(start).truncated(truncated));
    }
}

/// How much of a message must be in view to be read.
const fn window() -> usize {
    STATEMENT_LIMIT
}
