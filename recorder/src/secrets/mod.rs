//! Secrets in payload, masked before it reaches the bundle: each byte becomes a `*`, so that lengths, offsets and
//! sequence numbers stay what they were.
//!
//! What is masked is what can be known cheaply, by the first bytes of a payload and a scan of what is text:
//! - HTTP/1: values of `Authorization`, `Cookie`, `Set-Cookie`, `X-Api-Key` and the like; values of query parameters,
//!   form fields and JSON members that are named like secrets ([`http`]);
//! - HTTP/2 and gRPC: the same headers, where name and value come together ([`http2`]);
//! - Redis: `AUTH`, `HELLO ... AUTH`, `CONFIG SET requirepass`, `ACL SETUSER` ([`resp`]);
//! - MySQL and MariaDB: the answers to the server's challenge, and passwords ([`mysql`]);
//! - PostgreSQL: password messages and the like ([`postgres`]);
//! - SQL of both: `PASSWORD '...'`, `IDENTIFIED BY '...'` ([`sql`]); other literals stay;
//! - SMTP, POP3, IMAP, FTP: `AUTH`, `PASS`, `LOGIN`; NATS: `CONNECT` ([`lines`]);
//! - LDAP, MQTT, AMQP, Kafka, Cassandra, ZooKeeper, SQL Server: the password in the message that logs in ([`binary`]).
//!
//! The same rules hold for the packets' payload. A message that spans several calls or segments is followed: what it
//! was in the middle of is remembered per socket and direction, in a table of fixed size.

mod binary;
mod http;
mod http2;
mod lines;
mod mysql;
mod names;
mod packet;
mod postgres;
mod resp;
mod sql;

use formats::event::{Packet, Pieces, SocketData, call, data_flag};
use std::collections::BTreeMap;
use std::ops::Range;

pub use names::is_secret;
pub use sql::passwords;

/// Put in place of every byte of a secret.
pub const MASK: u8 = b'*';
/// The same in HPACK's Huffman code, in which it has eight bits as well.
const CODED_MASK: u8 = 0xf9;
/// Messages in the middle of which a stream is, remembered at the same time; a power of two.
const STREAMS: usize = 8192;
/// Offset and length before each of [`Pieces`].
const PIECE_HEAD: usize = 8;
/// Bytes after the begin of a message in which its rest is looked for: servers accept 8 to 16 KiB of headers.
const WINDOW: u32 = 16 << 10;

/// What was masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Value of an HTTP header.
    HttpHeader,
    /// Value of an HTTP/2 header.
    Http2Header,
    /// The same in Huffman code.
    Http2Huffman,
    /// Value of a query parameter.
    HttpQuery,
    /// Value of a form field or JSON member of an HTTP body.
    HttpBody,
    /// Argument of a Redis command.
    Redis,
    /// MySQL or MariaDB login.
    Mysql,
    /// PostgreSQL login.
    Postgres,
    /// Password in a statement of SQL.
    Sql,
    /// Login of a line-based protocol: SMTP, POP3, IMAP, FTP, NATS.
    Line,
    /// Login of a protocol with binary heads: LDAP, MQTT, AMQP, Kafka, Cassandra, TDS.
    BinaryLogin,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::HttpHeader,
        Self::Http2Header,
        Self::Http2Huffman,
        Self::HttpQuery,
        Self::HttpBody,
        Self::Redis,
        Self::Mysql,
        Self::Postgres,
        Self::Sql,
        Self::Line,
        Self::BinaryLogin,
    ];

    /// As the summary of a bundle names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpHeader => "http_header",
            Self::Http2Header | Self::Http2Huffman => "http2_header",
            Self::HttpQuery => "http_query",
            Self::HttpBody => "http_body",
            Self::Redis => "redis_auth",
            Self::Mysql => "mysql_login",
            Self::Postgres => "postgres_login",
            Self::Sql => "sql_password",
            Self::Line => "line_login",
            Self::BinaryLogin => "binary_login",
        }
    }
}

/// Secrets found in a payload.
#[derive(Debug, Default)]
pub struct Marks {
    places: Vec<(Kind, Range<usize>)>,
}

impl Marks {
    fn add(&mut self, kind: Kind, place: Range<usize>) {
        if !place.is_empty() {
            self.places.push((kind, place));
        }
    }

    /// Whether there is nothing to mask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Masks them in the payload in which they were found.
    pub fn apply(&self, payload: &mut [u8]) {
        for (kind, place) in &self.places {
            if let Some(bytes) = payload.get_mut(place.clone()) {
                bytes.fill(if *kind == Kind::Http2Huffman { CODED_MASK } else { MASK });
            }
        }
    }
}

/// In the middle of what a stream is after a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Of nothing that matters.
    #[default]
    Nothing,
    /// Of HTTP headers.
    Head(Line),
    /// Of an HTTP body, maybe: it may still come.
    Body,
    /// Behind what may be the header of a client's first packet of MySQL, which tells this length.
    MysqlHead(u16),
    /// Of a MySQL login, seen from the client.
    Mysql,
    /// Of a login in lines (SMTP, IMAP), seen from the client.
    Login,
}

/// Where in the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Between two lines.
    Fresh,
    /// Before the end of the empty line that ends the headers.
    Empty,
    /// In a line without a secret.
    Plain,
    /// In one with a secret, or in one that nobody saw begin.
    Secret,
}

/// What one stream was in the middle of.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    key: u64,
    state: State,
    /// Packets: sequence number of the message's begin. Calls: bytes since then.
    at: u32,
    /// Packets: sequence number that comes next.
    next: u32,
}

/// Finds secrets, remembers unfinished messages, counts.
#[derive(Debug)]
pub struct Masker {
    streams: Box<[Stream]>,
    marks: Marks,
    counts: [u64; Kind::ALL.len()],
    /// Of the present call; kept for its memory.
    view: http2::View,
}

impl Default for Masker {
    fn default() -> Self {
        Self {
            streams: vec![Stream::default(); STREAMS].into(),
            marks: Marks::default(),
            counts: [0; Kind::ALL.len()],
            view: http2::View::default(),
        }
    }
}

impl Masker {
    /// Secrets in the payload of a call on a socket, and where in it.
    pub fn call(&mut self, data: &SocketData, payload: &[u8]) -> &Marks {
        self.marks.places.clear();
        let tail = payload;
        let payload = tail.get(..data.data_len as usize).unwrap_or(tail);
        if matches!(data.call, call::CONNECT | call::ACCEPT | call::CLOSE) {
            self.forget(data.sock);
        }
        if data.flags & data_flag::FRAMES != 0 && data.frame_at != u32::MAX {
            self.frames(data, tail, payload.len());
            return &self.marks;
        }
        if payload.is_empty() {
            return &self.marks;
        }
        let ingress = data.flags & data_flag::INGRESS != 0;
        let key = mix(data.sock ^ u64::from(ingress)) | 1;
        let slot = self.streams.get_mut(key as usize >> 8 & (STREAMS - 1));
        let before = slot.as_ref().filter(|s| s.key == key && s.at < WINDOW).map(|s| (s.state, s.at));
        let (state, at) = before.unwrap_or_default();
        let total = usize::try_from(data.ret).unwrap_or(0).max(payload.len());
        let next = scan(payload, total, state, &mut self.marks);
        if let Some(slot) = slot
            && (next != State::Nothing || before.is_some())
        {
            let moved = u32::try_from(data.ret).unwrap_or(0);
            // Peeking moves nothing; a new message begins anew.
            let at = if data.flags & data_flag::PEEK != 0 { at } else { at.saturating_add(moved) };
            *slot = Stream { key, state: next, at: if is_begin(payload) { 0 } else { at }, next: 0 };
        }
        count(&mut self.counts, &self.marks);
        &self.marks
    }

    /// A call on a socket that speaks HTTP/2.
    fn frames(&mut self, data: &SocketData, tail: &[u8], prefix: usize) {
        self.view.clear();
        self.view.add(0, 0..prefix);
        let mut place = prefix;
        for (offset, piece) in Pieces::of(data, tail) {
            place += PIECE_HEAD;
            self.view.add(offset as usize, place..place + piece.len());
            place += piece.len();
        }
        http2::frames(&self.view, tail, data.frame_at as usize, &mut self.marks);
        count(&mut self.counts, &self.marks);
    }

    /// Addresses of sockets are reused: what comes next on this one is a new conversation.
    fn forget(&mut self, sock: u64) {
        for ingress in [false, true] {
            let key = mix(sock ^ u64::from(ingress)) | 1;
            if let Some(slot) = self.streams.get_mut(key as usize >> 8 & (STREAMS - 1))
                && slot.key == key
            {
                *slot = Stream::default();
            }
        }
    }

    /// Secrets in a packet; `bytes` begin with its link-layer header.
    pub fn packet(&mut self, packet: &Packet, bytes: &[u8]) -> &Marks {
        self.marks.places.clear();
        let Some(segment) = packet::segment(packet.dev_type, packet.ethertype, bytes) else { return &self.marks };
        let Some(payload) = bytes.get(segment.payload.clone()) else { return &self.marks };
        if payload.is_empty() {
            return &self.marks;
        }
        // The same segment is seen at several interfaces.
        let place = u64::from(packet.netns) << 32 | u64::from(packet.ifindex) << 2 | u64::from(packet.direction);
        let key = mix(segment.flow ^ mix(place)) | 1;
        let slot = self.streams.get_mut(key as usize >> 8 & (STREAMS - 1));
        let before = slot.as_ref().filter(|s| s.key == key && segment.seq.wrapping_sub(s.at) < WINDOW).map(|s| **s);
        let Stream { mut state, at, next: expected, .. } = before.unwrap_or_default();
        // Sent again, or after one that was not seen: where in the headers it begins is not known.
        if segment.seq != expected && matches!(state, State::Head(_)) {
            state = State::Head(Line::Secret);
        }
        let next = scan(payload, segment.wire_len, state, &mut self.marks);
        if let Some(slot) = slot
            && (next != State::Nothing || before.is_some())
        {
            let begins = before.is_none() || is_begin(payload);
            let len = u32::try_from(segment.wire_len).unwrap_or(0);
            let at = if begins { segment.seq } else { at };
            *slot = Stream { key, state: next, at, next: segment.seq.wrapping_add(len) };
        }
        let places = self.marks.places.iter_mut();
        places.for_each(|(_, p)| *p = p.start + segment.payload.start..p.end + segment.payload.start);
        count(&mut self.counts, &self.marks);
        &self.marks
    }

    /// Secrets in the first bytes of a dropped packet, from its network header on.
    pub fn dropped(&mut self, ethertype: u16, bytes: &[u8]) -> &Marks {
        self.marks.places.clear();
        if let Some(segment) = packet::network(ethertype, bytes)
            && let Some(payload) = bytes.get(segment.payload.clone())
        {
            scan(payload, segment.wire_len, State::Nothing, &mut self.marks);
            let places = self.marks.places.iter_mut();
            places.for_each(|(_, p)| *p = p.start + segment.payload.start..p.end + segment.payload.start);
            count(&mut self.counts, &self.marks);
        }
        &self.marks
    }

    /// How often each kind was masked, by name.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (kind, n) in Kind::ALL.iter().zip(self.counts).filter(|(_, n)| *n > 0) {
            *counts.entry(kind.name().to_owned()).or_default() += n;
        }
        counts
    }
}

fn count(counts: &mut [u64; Kind::ALL.len()], marks: &Marks) {
    for (kind, _) in &marks.places {
        if let Some(n) = counts.get_mut(*kind as usize) {
            *n += 1;
        }
    }
}

/// Spreads a key over all bits (the finaliser of splitmix64).
fn mix(key: u64) -> u64 {
    let key = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ key >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ key >> 31
}

fn is_begin(payload: &[u8]) -> bool {
    http::start(payload).is_some() || mysql::is_login(payload)
}

/// Finds secrets in the first bytes of `total` that were moved. Returns what the stream is in the middle of.
fn scan(payload: &[u8], total: usize, state: State, marks: &mut Marks) -> State {
    if let Some(start) = http::start(payload) {
        return http::message(payload, start, total > payload.len(), marks);
    }
    match state {
        State::Nothing => {}
        State::Head(line) => return http::rest_of_head(payload, line, total > payload.len(), marks),
        State::Body => {
            http::body(payload, marks);
            return State::Body;
        }
        State::MysqlHead(len) if usize::from(len) == total && mysql::is_response(payload) => {
            return mysql::login(payload, marks);
        }
        State::MysqlHead(_) => {}
        State::Mysql => return mysql::rest(payload, marks),
        State::Login => {
            if let Some(next) = lines::answer(payload, marks) {
                return next;
            }
        }
    }
    if http2::is_begin(payload) {
        let mut view = http2::View::default();
        view.add(0, 0..payload.len());
        http2::frames(&view, payload, 0, marks);
        return State::Nothing;
    }
    if mysql::is_login(payload) {
        return mysql::login(payload, marks);
    }
    if let Some(len) = mysql::head(payload, total) {
        return State::MysqlHead(len);
    }
    if sql::is_statement(payload) {
        sql::statement(payload, marks);
        return State::Nothing;
    }
    match payload.first() {
        Some(0..=0x10 | b'0' | 0x80..) if binary::login(payload, total, marks) => {}
        Some(b'*') => resp::commands(payload, marks),
        Some(b'p') if postgres::is_login(payload, total) => postgres::login(payload, marks),
        Some(byte) if byte.is_ascii_alphanumeric() => return lines::line(payload, marks),
        _ => {}
    }
    State::Nothing
}

#[cfg(test)]
mod tests;
