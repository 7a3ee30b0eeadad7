//! MySQL and MariaDB client/server protocol (MySQL internals manual, "Client/Server Protocol").

mod compression;
mod message;
#[cfg(test)]
pub(super) mod tests;
mod values;

use super::cursor::Cursor;
use super::mask::Secret;
use super::sql::{Dialect, STATEMENT_LIMIT, Statement, statement};
use super::unpack::Packing;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{RequestFields, Side, Transport};
use ahash::AHashMap;
use compression::{Compression, Outer};
use message::{Command, Outcome};
use std::collections::VecDeque;
use values::Prepared;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "mysql",
    ports: &[3306, 33060, 3307, 4000, 6033],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(MySql::default()),
};

/// Statements remembered per connection.
const REMEMBERED: usize = 4096;
/// Commands outstanding.
const OUTSTANDING: usize = 4096;
/// A packet of this length is continued by the next one.
const FULL: u32 = 0xff_ffff;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    let mut cursor = Cursor::new(bytes);
    let (Some(length), Some(sequence)) = (cursor.u24_le(), cursor.u8()) else {
        return if first.whole || bytes.get(2).is_some_and(|high| *high > 1) { Detection::No } else { Detection::More };
    };
    if message::is_compressed(bytes) || Outer::is_command(bytes) {
        return Detection::Yes { confidence: 75, from: Some(Side::Client) };
    }
    let rest = cursor.rest();
    let whole = rest.len() >= length as usize;
    let yes = |confidence, side| Detection::Yes { confidence, from: Some(side) };
    match (sequence, rest) {
        (0, [10, version @ ..]) if (30..1024).contains(&length) => match version.first() {
            None => Detection::More,
            Some(b'0'..=b'9') => {
                let end = memchr::memchr(0, version.get(..64).unwrap_or(version));
                match end {
                    Some(end) if version.get(..end).is_some_and(|text| text.is_ascii() && text.contains(&b'.')) => {
                        yes(95, Side::Server)
                    }
                    None if version.len() < 64 && !first.whole => Detection::More,
                    _ => Detection::No,
                }
            }
            Some(_) => Detection::No,
        },
        (0, [command, text @ ..]) if length > 0 && length < 0x0400_0000 => {
            let text = text.get(..length as usize - 1).unwrap_or(text);
            // MariaDB's clients may send the next command at once.
            let alone = match rest.get(length as usize..) {
                None | Some([]) => true,
                Some(next) => matches!(next, [_, _, 0, 0, ..]) && known_command(next),
            };
            if !message::plausible_command(*command, length, text) || !alone {
                return Detection::No;
            }
            let known_verb = matches!(*command, 3 | 0x16) && message::starts_like_sql(text);
            match (known_verb, whole || first.whole) {
                (true, true) => yes(85, Side::Client),
                (true, false) => Detection::More,
                (false, true) => yes(25, Side::Client),
                (false, false) => Detection::No,
            }
        }
        (0, []) if length > 0 && length < 0x0400_0000 && !first.whole => Detection::More,
        (1, [0xff, _, _, b'#', ..]) => yes(75, Side::Server),
        (1, [0, ..]) if rest.len() == length as usize && (7..64).contains(&length) => yes(25, Side::Server),
        (1, [1..=250]) if length == 1 => yes(25, Side::Server),
        (1, [columns @ 1..=250, more @ ..]) if length == 1 => {
            // A column count, then that many definitions, each of which starts with the catalog `def`.
            let _ = columns;
            if matches!(more, [_, _, 0, 2, 3, b'd', b'e', b'f', ..]) { yes(90, Side::Server) } else { Detection::No }
        }
        _ => Detection::No,
    }
}

/// Whether a packet of a command stands here.
fn known_command(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    match (cursor.u24_le(), cursor.u8(), cursor.u8()) {
        (Some(length), Some(0), Some(command)) => message::plausible_command(command, length, cursor.rest()),
        _ => false,
    }
}

/// Where the server's answer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The first packet of an answer comes.
    #[default]
    Start,
    /// So many definitions, then rows follow or not.
    Columns { left: u64, rows: bool },
    /// An EOF packet may stand between definitions and rows.
    Rows { first: bool },
    /// Definitions of parameters, then of columns.
    Prepared { left: u32 },
    /// Rest of the connection is a stream of events.
    Stream,
}

/// A command that waits for its answer.
#[derive(Debug)]
struct Asked {
    command: Command,
    /// Text of a statement to be prepared.
    statement: Option<Statement>,
}

#[derive(Debug, Default)]
struct MySql {
    /// The greeting was seen: a login follows.
    greeted: bool,
    version: Box<str>,
    /// Packets of a side are continued.
    continued: [bool; 2],
    database: Box<str>,
    statements: AHashMap<u32, Prepared>,
    last_prepared: u32,
    asked: VecDeque<Asked>,
    phase: Phase,
    outcome: Outcome,
    since: Option<Mark>,
    /// Compression was agreed on: it begins behind the login.
    compressing: Option<Packing>,
    /// Packets are inside those of the compressed protocol.
    compressed: Option<Compression>,
    logging_in: bool,
}

impl Parser for MySql {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if self.phase == Phase::Stream && side == Side::Server {
            return Step::Consume(u64::MAX);
        }
        if side == Side::Client
            && self.compressed.is_none()
            && self.asked.is_empty()
            && (message::is_compressed(input.bytes) || !self.greeted && Outer::is_command(input.bytes))
        {
            self.compressed = Some(Compression::default());
        }
        match self.compressed.take() {
            Some(mut compression) => {
                let step = self.outer(&mut compression, side, input, out);
                self.compressed = Some(compression);
                step
            }
            None => self.packet(side, input, out),
        }
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        if self.compressed.is_some() {
            return Outer::starts(side, bytes);
        }
        let mut cursor = Cursor::new(bytes);
        let (Some(length), Some(sequence), Some(first)) = (cursor.u24_le(), cursor.u8(), cursor.u8()) else {
            return false;
        };
        match side {
            Side::Client => {
                sequence == 0
                    && length > 0
                    && message::plausible_command(first, length, cursor.rest())
                    && cursor.rest().len() < length as usize
            }
            Side::Server => {
                sequence == 1
                    && (length as usize) < 1 << 20
                    && (matches!(first, 0 | 0xff | 0xfe) || (length <= 3 && first != 0xfb))
            }
        }
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        if let Some(compression) = &mut self.compressed {
            compression.lost(side);
        }
        self.break_off(side, out);
    }
}

impl MySql {
    /// Further packets of a side are missing.
    fn break_off(&mut self, side: Side, out: &mut Output<'_>) {
        self.continued[side.index()] = false;
        if side == Side::Server {
            if self.since.is_some() {
                self.respond(out, true);
            }
            self.asked.clear();
            self.phase = Phase::Start;
        }
    }

    /// One packet of the protocol.
    fn packet(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let mut cursor = Cursor::new(input.bytes);
        let (Some(length), Some(sequence)) = (cursor.u24_le(), cursor.u8()) else {
            return Step::More(4);
        };
        let wanted = (length as usize).min(match side {
            Side::Client => STATEMENT_LIMIT,
            Side::Server => 1024,
        });
        if cursor.rest().len() < wanted && !input.cut {
            return Step::More(wanted + 4);
        }
        let body = cursor.up_to(length as usize);
        let total = u64::from(length) + 4;
        out.hold = true;
        if std::mem::replace(&mut self.continued[side.index()], length == FULL) {
            out.hold = self.since.is_some() || side == Side::Client;
            return Step::Consume(total);
        }
        let cut = body.len() < wanted;
        let result = match side {
            Side::Client => self.asks(sequence, length, body, cut, out),
            Side::Server => self.answers(sequence, length, body, out),
        };
        result.err().unwrap_or(Step::Consume(total))
    }

    /// A packet of the client.
    fn asks(&mut self, sequence: u8, length: u32, body: &[u8], cut: bool, out: &mut Output<'_>) -> Result<(), Step> {
        if self.greeted && sequence > 0 {
            return self.login(length, body, out);
        }
        if self.logging_in && sequence > 0 {
            // Further packets of the authentication.
            if !out.mask.shows() {
                out.mask.hid(Secret::Login, 1);
            }
            return Ok(());
        }
        if sequence != 0 {
            // Contents of LOAD DATA LOCAL INFILE.
            return Ok(());
        }
        let Some((command, text)) = body.split_first() else {
            return Err(Step::Reject("empty command"));
        };
        let Some(command) = Command::from_byte(*command) else {
            return Err(Step::Reject("unknown command"));
        };
        self.greeted = false;
        self.logging_in = false;
        let mut fields = self.fields(command.name());
        let mut asked = Asked { command, statement: None };
        match command {
            Command::Query | Command::StmtPrepare => {
                let statement = statement(message::skip_attributes(text), Dialect::MySql, out.mask);
                statement.fill(&mut fields);
                if command == Command::StmtPrepare {
                    asked.statement = Some(statement);
                }
            }
            Command::InitDb => {
                self.database = super::text::clean_to(text, 128);
                fields.request_resource = self.database.clone();
            }
            Command::FieldList => {
                let table = text.split(|byte| *byte == 0).next().unwrap_or_default();
                fields.request_resource = super::text::clean_to(table, 128);
            }
            Command::StmtExecute
            | Command::StmtBulkExecute
            | Command::StmtFetch
            | Command::StmtClose
            | Command::StmtReset
            | Command::StmtSendLongData => {
                let id = Cursor::new(text).u32_le();
                if id == Some(u32::MAX)
                    && let Some(statement) = self.asked.iter().rev().find_map(|asked| asked.statement.as_ref())
                {
                    // MariaDB: the statement that is being prepared.
                    statement.fill(&mut fields);
                } else if let Some(id) = id.map(|id| if id == u32::MAX { self.last_prepared } else { id }) {
                    fields.session_id = Some(u64::from(id));
                    if let Some(prepared) = self.statements.get_mut(&id) {
                        prepared.statement.fill(&mut fields);
                        if command == Command::StmtExecute
                            && let Some(values) = prepared.values(text)
                        {
                            fields.attributes.push(("parameters", out.mask.values(values, prepared.parameters)));
                        }
                    }
                    if command == Command::StmtClose {
                        self.statements.remove(&id);
                    }
                }
            }
            Command::ChangeUser => {
                self.logging_in = true;
                let user = text.split(|byte| *byte == 0).next().unwrap_or_default();
                fields.request_resource = super::text::clean_to(user, 128);
                if !out.mask.shows() {
                    out.mask.hid(Secret::Login, 1);
                }
            }
            _ => {}
        }
        out.hold = length == FULL;
        let kind = if command.is_one_way() { Kind::OneWay } else { Kind::Request };
        out.emit(Message::new(kind, fields).truncated(cut));
        if kind == Kind::Request && self.asked.len() < OUTSTANDING {
            self.asked.push_back(asked);
        }
        Ok(())
    }

    fn login(&mut self, length: u32, body: &[u8], out: &mut Output<'_>) -> Result<(), Step> {
        let login = message::Login::parse(body).ok_or(Step::Reject("not a login packet"))?;
        if login.tls && length <= 32 {
            out.switch = Some(Switch::To("tls"));
            out.hold = false;
            return Ok(());
        }
        self.greeted = false;
        self.logging_in = true;
        self.compressing = login.compress;
        self.database = login.database.clone();
        if !out.mask.shows() {
            out.mask.hid(Secret::Login, 1);
        }
        let mut fields = self.fields("Login");
        login.fill(&mut fields);
        if !self.version.is_empty() {
            fields.attributes.push(("server_version", self.version.clone()));
        }
        out.hold = false;
        out.emit(Message::new(Kind::Request, fields));
        self.asked.push_back(Asked { command: Command::Login, statement: None });
        Ok(())
    }

    fn fields(&self, request_type: &str) -> RequestFields {
        RequestFields {
            l7_protocol: "mysql",
            request_type: request_type.into(),
            request_domain: self.database.clone(),
            ..RequestFields::default()
        }
    }

    /// A packet of the server.
    fn answers(&mut self, sequence: u8, length: u32, body: &[u8], out: &mut Output<'_>) -> Result<(), Step> {
        let first = body.first().copied().ok_or(Step::Reject("empty packet"));
        if self.asked.is_empty() && self.since.is_none() && sequence == 0 {
            // The greeting, or a refusal in its place.
            return match first? {
                10 => {
                    self.greeted = true;
                    self.version = message::greeting(body);
                    out.hold = false;
                    Ok(())
                }
                0xff => {
                    self.since = Some(out.mark);
                    self.outcome.error(body);
                    self.respond(out, false);
                    Ok(())
                }
                _ => Err(Step::Reject("not a greeting")),
            };
        }
        if self.since.is_none()
            && self.phase == Phase::Start
            && sequence > 1
            && length == 5
            && body.first() == Some(&0xfe)
        {
            // The EOF behind the definitions of a prepared statement, unless the client deprecates it.
            out.hold = false;
            return Ok(());
        }
        self.since.get_or_insert(out.mark);
        let command = self.asked.front().map_or(Command::Query, |asked| asked.command);
        match self.phase {
            Phase::Start => self.begins(command, first?, length, body, out),
            Phase::Columns { left, rows } => {
                if first? == 0xff {
                    return self.ends(0xff, body, out);
                }
                let left = left.saturating_sub(1);
                self.phase = match (left, rows) {
                    (0, true) => Phase::Rows { first: true },
                    _ => Phase::Columns { left, rows },
                };
                Ok(())
            }
            Phase::Prepared { left } => {
                // EOF packets between the definitions do not count.
                let left = if first? == 0xfe && length < 9 { left } else { left.saturating_sub(1) };
                self.phase = Phase::Prepared { left };
                if left == 0 {
                    self.respond(out, false);
                }
                Ok(())
            }
            Phase::Rows { first: true } if length == 5 && body.first() == Some(&0xfe) => {
                // The EOF behind the definitions, unless the client deprecates it.
                self.phase = Phase::Rows { first: false };
                if command == Command::FieldList || message::opens_cursor(body) {
                    return self.ends(0xfe, body, out);
                }
                Ok(())
            }
            Phase::Rows { .. } => match body.first() {
                Some(0xfe) if length < FULL => self.ends(0xfe, body, out),
                Some(0xff) => self.ends(0xff, body, out),
                _ => {
                    self.phase = Phase::Rows { first: false };
                    self.outcome.row();
                    Ok(())
                }
            },
            Phase::Stream => Ok(()),
        }
    }

    /// The first packet of an answer.
    fn begins(
        &mut self,
        command: Command,
        first: u8,
        length: u32,
        body: &[u8],
        out: &mut Output<'_>,
    ) -> Result<(), Step> {
        match (command, first) {
            (_, 0xff) => self.ends(0xff, body, out),
            (Command::Login | Command::ChangeUser, 0) => {
                self.ends(0, body, out)?;
                self.compressed = self.compressing.take().map(Compression::of);
                self.logging_in = false;
                Ok(())
            }
            // Another method of authentication, or more data for it.
            (Command::Login | Command::ChangeUser, _) => Ok(()),
            (Command::StmtPrepare, 0) => {
                let Some((id, columns, parameters)) = message::prepared(body) else {
                    return self.ends(0, body, out);
                };
                self.outcome.statement = Some(id);
                self.last_prepared = id;
                if let Some(statement) = self.asked.front_mut().and_then(|asked| asked.statement.take())
                    && self.statements.len() < REMEMBERED
                {
                    self.statements.insert(id, Prepared::new(statement, parameters));
                }
                self.outcome.ok();
                let left = u32::from(columns) + u32::from(parameters);
                if left == 0 {
                    self.respond(out, false);
                } else {
                    self.phase = Phase::Prepared { left };
                }
                Ok(())
            }
            (Command::Statistics, _) => {
                self.outcome.ok();
                self.respond(out, false);
                Ok(())
            }
            (Command::BinlogDump | Command::BinlogDumpGtid, _) => {
                self.outcome.ok();
                self.respond(out, false);
                self.phase = Phase::Stream;
                Ok(())
            }
            (Command::StmtFetch, _) | (Command::FieldList, _) => {
                self.phase = Phase::Rows { first: false };
                if first == 0xfe && length < 9 {
                    return self.ends(0xfe, body, out);
                }
                self.outcome.row();
                Ok(())
            }
            (_, 0) => self.ends(0, body, out),
            (_, 0xfe) if length < 9 => self.ends(0xfe, body, out),
            // LOAD DATA LOCAL INFILE: the client sends the file, then the server goes on.
            (_, 0xfb) => Ok(()),
            _ => {
                let columns = message::length_encoded(&mut Cursor::new(body)).filter(|count| *count <= 65_536);
                let columns = columns.filter(|_| length <= 9).ok_or(Step::Reject("not an answer"))?;
                self.outcome.rows();
                self.phase = Phase::Columns { left: columns, rows: true };
                Ok(())
            }
        }
    }

    /// OK, EOF or ERR: the end of an answer or of one of its results.
    fn ends(&mut self, kind: u8, body: &[u8], out: &mut Output<'_>) -> Result<(), Step> {
        let more = match kind {
            // MariaDB tells the progress of long statements as errors of the highest number.
            0xff if body.get(1..3) == Some(&[0xff, 0xff]) => return Ok(()),
            0xff => {
                self.outcome.error(body);
                false
            }
            0xfe if body.len() == 5 => self.outcome.eof(body),
            _ => self.outcome.done(body, kind == 0),
        };
        if more {
            self.phase = Phase::Start;
        } else {
            self.respond(out, false);
        }
        Ok(())
    }

    fn respond(&mut self, out: &mut Output<'_>, truncated: bool) {
        let start = self.since.take().unwrap_or(out.mark);
        self.asked.pop_front();
        self.phase = Phase::Start;
        let mut outcome = std::mem::take(&mut self.outcome);
        if truncated {
            outcome.count_is_lost();
        }
        out.hold = false;
        let fields = outcome.fields(out.mask);
        out.emit(Message::new(Kind::Response, fields).since(start).truncated(truncated));
    }

    /// A packet of the compressed protocol, and the packets that go on or begin inside it.
    fn outer(&mut self, compression: &mut Compression, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let outer = match Outer::parse(input) {
            Ok(outer) => outer,
            Err(step) => return step,
        };
        if !compression.takes_up(side, &outer) {
            return Step::Consume(outer.total);
        }
        let (plain, whole) = compression.plain(&outer, input.bytes);
        let waited = compression.begin(side, &plain);
        let mut at = 0;
        out.hold = compression.holds(side);
        while let Some(rest) = waited.get(at..).filter(|rest| !rest.is_empty()) {
            match self.packet(side, Input { bytes: rest, cut: !whole }, out) {
                Step::Consume(n) => at = at.saturating_add(usize::try_from(n).unwrap_or(usize::MAX)),
                Step::Reject(why) if whole => {
                    compression.lost(side);
                    return Step::Reject(why);
                }
                _ => break,
            }
        }
        if whole {
            compression.end(side, waited, at, out.hold);
            out.hold = compression.is_open(side);
        } else {
            out.hold = false;
            compression.lost(side);
            self.break_off(side, out);
        }
        if !out.messages.is_empty() && side == Side::Client {
            for message in &mut out.messages {
                message.fields.attributes.push(("compressed", "true".into()));
            }
        }
        Step::Consume(outer.total)
    }
}
