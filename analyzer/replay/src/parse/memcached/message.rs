//! Memcached commands and replies as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::{MASK, Masker, Secret};
use super::super::text::{clean_to, decimal};
use crate::model::{RequestFields, Status};

/// What matters of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// get, gets, gat, gats: values up to END.
    Get,
    /// set and its like: a value follows.
    Set,
    /// Compare and swap: the same with one more word.
    Cas,
    /// stats: lines up to END.
    Stats,
    /// Meta set: the length is the second word.
    MetaSet,
    /// One line answers.
    Line,
}

const COMMANDS: [(&[u8], Verb); 27] = [
    (b"get", Verb::Get),
    (b"gets", Verb::Get),
    (b"gat", Verb::Get),
    (b"gats", Verb::Get),
    (b"set", Verb::Set),
    (b"add", Verb::Set),
    (b"replace", Verb::Set),
    (b"append", Verb::Set),
    (b"prepend", Verb::Set),
    (b"cas", Verb::Cas),
    (b"delete", Verb::Line),
    (b"incr", Verb::Line),
    (b"decr", Verb::Line),
    (b"touch", Verb::Line),
    (b"flush_all", Verb::Line),
    (b"version", Verb::Line),
    (b"verbosity", Verb::Line),
    (b"quit", Verb::Line),
    (b"stats", Verb::Stats),
    (b"slabs", Verb::Line),
    (b"cache_memlimit", Verb::Line),
    (b"mg", Verb::Line),
    (b"ms", Verb::MetaSet),
    (b"md", Verb::Line),
    (b"ma", Verb::Line),
    (b"mn", Verb::Line),
    (b"me", Verb::Line),
];

impl Verb {
    /// The command of that name.
    pub(super) fn of(word: &[u8]) -> Option<Self> {
        COMMANDS.iter().find(|(name, _)| *name == word).map(|(_, verb)| *verb)
    }

    /// Whether a command's name begins so.
    pub(super) fn may_start(word: &[u8]) -> bool {
        let word = word.strip_suffix(b"\r").unwrap_or(word);
        COMMANDS.iter().any(|(name, _)| name.starts_with(word))
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// Bytes behind the command line, its line end included. `None`: the line is wrong.
pub(super) fn body_length(verb: Verb, line: &[u8]) -> Option<u64> {
    let place = match verb {
        Verb::Set | Verb::Cas => 4,
        Verb::MetaSet => 2,
        _ => return Some(0),
    };
    let length = words(line).nth(place).and_then(decimal)?;
    (length <= 1 << 30).then_some(length + 2)
}

/// noreply, quit: never answered.
pub(super) fn is_quiet(verb: Verb, line: &[u8]) -> bool {
    line == b"quit" || (!matches!(verb, Verb::Get | Verb::Stats) && words(line).last() == Some(b"noreply"))
}

/// A meta command with the quiet flag: answered if it is not what one expects.
pub(super) fn is_quiet_meta(line: &[u8]) -> bool {
    matches!(line, [b'm', _, b' ', ..]) && words(line).skip(2).any(|word| word == b"q")
}

/// A reply that meta commands may have.
pub(super) fn is_meta_reply(line: &[u8]) -> bool {
    matches!(words(line).next(), Some(b"VA" | b"HD" | b"EN" | b"NF" | b"NS" | b"EX" | b"MN"))
}

/// The opaque token of a meta command, which its reply repeats (flag `O`), as a number; 0: none.
pub(super) fn token(line: &[u8]) -> u64 {
    let token = words(line).skip(1).find_map(|word| word.strip_prefix(b"O")).unwrap_or_default();
    token.iter().take(32).fold(0, |hash: u64, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte) | 1)
}

/// Bytes of a value announced by `VALUE key flags bytes` or `VA bytes`.
pub(super) fn value_length(line: &[u8]) -> Option<u64> {
    let place = match words(line).next()? {
        b"VALUE" => 3,
        b"VA" => 1,
        _ => return None,
    };
    words(line).nth(place).and_then(decimal).filter(|length| *length <= 1 << 30)
}

/// How sure a line is a command.
pub(super) fn sure_of_command(line: &[u8]) -> Option<u8> {
    let mut parts = words(line);
    let verb = Verb::of(parts.next()?)?;
    if !line.iter().all(|byte| (0x21..0x7f).contains(byte) || *byte == b' ' || *byte >= 0x80) {
        return None;
    }
    let rest = parts.count();
    match verb {
        Verb::Set => matches!(rest, 4 | 5).then_some(90).filter(|_| body_length(verb, line).is_some()),
        Verb::Cas => matches!(rest, 5 | 6).then_some(90).filter(|_| body_length(verb, line).is_some()),
        Verb::Get => (rest > 0).then_some(70),
        Verb::MetaSet => body_length(verb, line).map(|_| 60),
        Verb::Stats => Some(45),
        Verb::Line if line.starts_with(b"m") => (rest > 0 || line == b"mn").then_some(40),
        Verb::Line if line == b"version" => Some(60),
        Verb::Line if line == b"quit" => Some(25),
        // beanstalkd deletes and touches its jobs so, by their numbers.
        Verb::Line if words(line).nth(1).is_some_and(|key| decimal(key).is_some()) => Some(45),
        Verb::Line => (rest > 0 || line == b"flush_all").then_some(65),
    }
}

/// How sure a line is a reply.
pub(super) fn sure_of_reply(line: &[u8]) -> Option<u8> {
    match line {
        b"STORED" | b"NOT_STORED" => Some(90),
        // beanstalkd says so, too.
        b"NOT_FOUND" | b"DELETED" | b"TOUCHED" => Some(45),
        b"END" | b"EXISTS" => Some(45),
        b"HD" | b"EN" | b"NF" | b"NS" | b"MN" => Some(25),
        _ if line.starts_with(b"VALUE ") && value_length(line).is_some() => Some(85),
        _ if line.starts_with(b"STAT ") => Some(60),
        _ if line.starts_with(b"VERSION ") => Some(55),
        _ if line.starts_with(b"CLIENT_ERROR ") || line.starts_with(b"SERVER_ERROR ") => Some(85),
        _ => None,
    }
}

/// Whether a line is a number as memcached counts: up to 64 bits.
pub(super) fn is_number(line: &[u8]) -> bool {
    (1..=20).contains(&line.len()) && line.iter().all(u8::is_ascii_digit)
}

/// A command line.
pub(super) fn request(line: &[u8]) -> RequestFields {
    let word = words(line).next().unwrap_or_default();
    RequestFields {
        l7_protocol: "memcached",
        version: "text",
        request_type: clean_to(word, 32),
        request_resource: clean_to(line, 1024),
        ..RequestFields::default()
    }
}

/// Values up to END.
pub(super) fn values(count: u64) -> RequestFields {
    RequestFields {
        l7_protocol: "memcached",
        status: Status::Ok,
        result: "END".into(),
        affected_rows: Some(count),
        ..RequestFields::default()
    }
}

/// A reply of one line.
pub(super) fn reply(line: &[u8]) -> RequestFields {
    let mut fields = RequestFields { l7_protocol: "memcached", status: Status::Ok, ..RequestFields::default() };
    if line == b"ERROR" || line.starts_with(b"CLIENT_ERROR") {
        fields.status = Status::ClientError;
        fields.exception = clean_to(line, 512);
    } else if line.starts_with(b"SERVER_ERROR") {
        fields.status = Status::ServerError;
        fields.exception = clean_to(line, 512);
    } else {
        fields.result = clean_to(line, 64);
    }
    fields
}

/// A packet of the binary protocol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binary {
    pub(super) opcode: u8,
    key: u16,
    extras: u8,
    status: u16,
    pub(super) opaque: u32,
    /// With the header.
    pub(super) total: u32,
}

const OPCODES: [&str; 37] = [
    "get",
    "set",
    "add",
    "replace",
    "delete",
    "increment",
    "decrement",
    "quit",
    "flush",
    "getq",
    "noop",
    "version",
    "getk",
    "getkq",
    "append",
    "prepend",
    "stat",
    "setq",
    "addq",
    "replaceq",
    "deleteq",
    "incrementq",
    "decrementq",
    "quitq",
    "flushq",
    "appendq",
    "prependq",
    "verbosity",
    "touch",
    "gat",
    "gatq",
    "",
    "sasl_list",
    "sasl_auth",
    "sasl_step",
    "gatk",
    "gatkq",
];

impl Binary {
    /// `None`: not a packet.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        cursor.u8().filter(|magic| matches!(magic, 0x80 | 0x81))?;
        let opcode = cursor.u8()?;
        let (key, extras, kind, status) = (cursor.u16()?, cursor.u8()?, cursor.u8()?, cursor.u16()?);
        let (body, opaque) = (cursor.u32()?, cursor.u32()?);
        let fits = usize::from(opcode) < OPCODES.len()
            && kind == 0
            && body <= 1 << 30
            && u32::from(key) + u32::from(extras) <= body
            && key <= 250;
        fits.then_some(Self { opcode, key, extras, status, opaque, total: body.saturating_add(24) })
    }

    fn name(self) -> &'static str {
        OPCODES.get(usize::from(self.opcode)).copied().unwrap_or_default()
    }

    /// Answers only failures, or only hits.
    pub(super) fn is_quiet(self) -> bool {
        self.name().ends_with('q')
    }

    /// The connection ends, and nothing answers.
    pub(super) fn leaves(self) -> bool {
        self.opcode == 0x17
    }

    /// The connection ends. Servers answer that; who says it need not wait.
    fn is_goodbye(self) -> bool {
        self.opcode == 0x07
    }

    /// One of the answers to `stat` but the last.
    pub(super) fn is_statistic(self) -> bool {
        self.opcode == 0x10 && self.key > 0
    }

    /// As a request.
    pub(super) fn request(self, body: &[u8], mask: &mut Masker) -> RequestFields {
        let from = usize::from(self.extras);
        let key = body.get(from..from + usize::from(self.key)).unwrap_or_default();
        let key = if self.opcode == 0x21 && !mask.shows() {
            mask.hid(Secret::Login, 1);
            MASK.into()
        } else {
            clean_to(key, 256)
        };
        RequestFields {
            l7_protocol: "memcached",
            version: "binary",
            request_type: self.name().into(),
            request_resource: format!("{} {key}", self.name()).trim_end().into(),
            session_id: Some(u64::from(self.opaque)),
            status: if self.is_goodbye() { Status::Ok } else { Status::Unknown },
            ..RequestFields::default()
        }
    }

    /// As a response.
    pub(super) fn response(self, body: &[u8]) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "memcached", ..RequestFields::default() };
        fields.code = Some(i32::from(self.status));
        fields.status = match self.status {
            // A miss is no error, as in the text protocol.
            0 | 1 => Status::Ok,
            0x81..=0x86 => Status::ServerError,
            _ => Status::ClientError,
        };
        if self.status > 1 {
            fields.exception = clean_to(body, 256);
        }
        fields
    }
}
