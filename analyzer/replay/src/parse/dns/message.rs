//! DNS messages: header, questions, answers; names decompressed safely.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use crate::model::{RequestFields, Status};
use std::fmt::Write as _;

/// Longest name as its labels' bytes (RFC 1035 section 2.3.4), compression pointers followed.
const NAME_LIMIT: usize = 255;
/// Questions and answers looked at.
const RECORD_LIMIT: u16 = 64;
/// Names that a row of an UPDATE tells.
const UPDATED: usize = 8;
/// Opcode (RFC 2136).
const UPDATE: u16 = 5;
/// Longest text of the answers.
const RESULT_LIMIT: usize = 1024;

/// A question: where it stands, as its name is written only for rows that need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    at: usize,
    kind: u16,
    class: u16,
    /// Of name and type, case ignored (RFC 4343).
    pub(super) hash: u64,
}

/// A message, as far as it could be read.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    bytes: &'a [u8],
    pub(super) id: u16,
    pub(super) response: bool,
    flags: u16,
    /// Nearly always there is one.
    first: Option<Question>,
    further: Vec<Question>,
    /// Data of the answers, in text.
    result: Vec<u8>,
    /// Records that were read into it.
    pub(super) answers: u32,
    owner: String,
    owner_kind: u16,
    /// UPDATE: whose records it asks for and changes.
    updated: Vec<String>,
    /// Extended RCODE bits from EDNS.
    extended: u16,
    edns: bool,
    /// Everything that was announced could be read.
    pub(super) sound: bool,
}

/// Whether these are the first bytes of a message: a known opcode, one question, few records.
pub(super) fn plausible_start(bytes: &[u8]) -> bool {
    let at = |place: usize, fits: fn(u8) -> bool| bytes.get(place).is_none_or(|byte| fits(*byte));
    at(2, |flags| matches!(flags >> 3 & 0xf, 0..=2 | 4..=6))
        && at(3, |flags| flags & 0x40 == 0)
        && at(4, |count| count == 0)
        && at(5, |count| count <= 4)
        && [6, 8, 10].iter().all(|place| at(*place, |count| count <= 1))
}

/// Mixes a label or a number into a hash that is the same in every run. Bit 5, which is the case of letters, is left out.
fn mix(mut hash: u64, bytes: &[u8]) -> u64 {
    const CASE: u64 = 0x2020_2020_2020_2020;
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ (u64::from_le_bytes(*word) | CASE)).wrapping_mul(FACTOR).rotate_left(29);
    }
    let tail = rest.iter().fold(rest.len() as u64, |tail, byte| tail << 8 | u64::from(byte | 0x20));
    (hash ^ tail).wrapping_mul(FACTOR).rotate_left(29)
}

impl<'a> Packet<'a> {
    /// `None` if it is not DNS.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let id = cursor.u16()?;
        let flags = cursor.u16()?;
        let counts = [cursor.u16()?, cursor.u16()?, cursor.u16()?, cursor.u16()?];
        let mut packet = Self {
            bytes,
            id,
            response: flags & 0x8000 != 0,
            flags,
            first: None,
            further: Vec::new(),
            result: Vec::new(),
            answers: 0,
            owner: String::new(),
            owner_kind: 0,
            updated: Vec::new(),
            extended: 0,
            edns: false,
            sound: false,
        };
        let opcode = flags >> 11 & 0xf;
        let possible = matches!(opcode, 0..=2 | 4..=9)
            && counts[0] <= RECORD_LIMIT
            && (counts[0] != 0 || counts[1] != 0 || packet.response);
        packet.sound = possible && packet.read(&mut cursor, counts).is_some();
        Some(packet)
    }

    fn read(&mut self, cursor: &mut Cursor<'a>, counts: [u16; 4]) -> Option<()> {
        let mut usual = true;
        for _ in 0..counts[0] {
            let at = cursor.position();
            let hash = hash_name(self.bytes, cursor)?;
            // mDNS uses the top bit of the class to ask for unicast.
            let (kind, class) = (cursor.u16()?, cursor.u16()? & 0x7fff);
            usual &= matches!(class, 1 | 3 | 4 | 254 | 255);
            let question = Question { at, kind, class, hash: mix(hash, &kind.to_be_bytes()) };
            match self.first {
                None => self.first = Some(question),
                Some(_) => self.further.push(question),
            }
        }
        if !usual {
            return None;
        }
        if self.response && counts[1] > 0 {
            self.result.reserve(usize::from(counts[1].min(16)) * 26);
        }
        for place in 0..counts[1].min(RECORD_LIMIT) {
            // Whose records these are matters where nobody asked.
            let name = if place == 0 && counts[0] == 0 {
                read_name(self.bytes, cursor)?
            } else if self.opcode() == UPDATE {
                self.update(cursor)?;
                String::new()
            } else {
                skip_name(cursor)?;
                String::new()
            };
            let (kind, _class, ttl) = (cursor.u16()?, cursor.u16()?, cursor.u32()?);
            if place == 0 {
                (self.owner, self.owner_kind) = (name, kind);
            }
            let length = usize::from(cursor.u16()?);
            let at = cursor.position();
            let data = cursor.take(length)?;
            self.record(at, data, kind, ttl);
        }
        if counts[1] > RECORD_LIMIT {
            // More than rows tell; what they are is in the first ones.
            return Some(());
        }
        for place in 0..counts[2].saturating_add(counts[3]).min(RECORD_LIMIT) {
            if place < counts[2] && self.opcode() == UPDATE {
                self.update(cursor)?;
            } else {
                skip_name(cursor)?;
            }
            let (kind, _class, ttl) = (cursor.u16()?, cursor.u16()?, cursor.u32()?);
            let length = usize::from(cursor.u16()?);
            let at = cursor.position();
            let data = cursor.take(length)?;
            if place < counts[2] && self.response {
                self.record(at, data, kind, ttl);
            }
            if kind == 41 {
                self.edns = true;
                // The upper eight bits of the extended RCODE (RFC 6891 section 6.1.3).
                self.extended = u16::from(ttl.to_be_bytes()[0]) << 4;
            }
        }
        Some(())
    }

    /// The name of a record of an UPDATE.
    fn update(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        let name = read_name(self.bytes, cursor)?;
        if self.updated.len() < UPDATED && !self.updated.contains(&name) {
            self.updated.push(name);
        }
        Some(())
    }

    /// What is asked.
    pub(super) fn questions(&self) -> impl Iterator<Item = &Question> {
        self.first.iter().chain(&self.further)
    }

    /// The same, to have: no memory is needed for one.
    pub(super) fn asked(&self) -> (Option<Question>, Vec<Question>) {
        (self.first, self.further.clone())
    }

    fn name_of(&self, question: &Question) -> String {
        let mut cursor = Cursor::new(self.bytes);
        cursor.take(question.at);
        read_name(self.bytes, &mut cursor).unwrap_or_default()
    }

    /// The name of NetBIOS that is asked for or told of, if these are such: 16 characters, each as two letters (RFC 1001 section 14.1).
    pub(super) fn netbios(&self) -> Option<String> {
        let (kind, name) = match self.first {
            Some(question) if matches!(question.kind, 32 | 33) => (question.kind, self.name_of(&question)),
            Some(_) => return None,
            None => (self.owner_kind, self.owner.clone()),
        };
        let letters = name.as_bytes().get(..32).filter(|_| matches!(kind, 32 | 33))?;
        let (pairs, _) = letters.as_chunks::<2>();
        let mut plain = String::with_capacity(20);
        for (place, [high, low]) in pairs.iter().enumerate() {
            let (high, low) = (high.checked_sub(b'A')?, low.checked_sub(b'A')?);
            if high > 15 || low > 15 {
                return None;
            }
            let byte = high << 4 | low;
            match byte {
                // The last one says what kind of service it is.
                _ if place == 15 => {
                    plain.truncate(plain.trim_end().len());
                    let _ = write!(plain, "<{byte:02x}>");
                }
                0x20..=0x7e => plain.push(char::from(byte)),
                0 => {}
                _ => plain.push('\u{fffd}'),
            }
        }
        Some(plain)
    }

    fn opcode(&self) -> u16 {
        self.flags >> 11 & 0xf
    }

    /// Of the operations of DNS; NetBIOS has others (RFC 1002 section 4.2.1.1).
    pub(super) fn is_dns(&self) -> bool {
        matches!(self.opcode(), 0..=2 | 4..=6)
    }

    /// A usual query or answer: one question of class IN.
    pub(super) fn plain(&self) -> bool {
        // The bit that must be zero (RFC 1035 section 4.1.1) is not always.
        self.opcode() == 0
            && self.flags & 0x40 == 0
            && self.further.is_empty()
            && self.first.is_some_and(|question| question.class == 1 && question.kind != 0)
    }

    /// Whether something of it could be read.
    pub(super) fn begun(&self) -> bool {
        self.sound || self.first.is_some()
    }

    fn rcode(&self) -> u16 {
        self.flags & 0xf | self.extended
    }

    fn is_multicast(&self, name: &str) -> bool {
        self.id == 0 && self.further.is_empty() && name.ends_with(".local")
    }

    /// What a query says.
    pub(super) fn ask(&self, question: &Question) -> RequestFields {
        let name = self.name_of(question);
        // Multicast queries are answered to everyone, or by nobody.
        let is_async = self.is_multicast(&name);
        let mut fields = self.base(name, question.kind);
        fields.session_id = Some(u64::from(self.id));
        fields.is_async = is_async;
        if !self.updated.is_empty() {
            fields.attributes.push(("updated", self.updated.join(",").into()));
        }
        if self.edns {
            fields.attributes.push(("edns", "1".into()));
        }
        fields
    }

    /// What a response adds; `question`: unless the request that asks it is known.
    pub(super) fn answer(&mut self, question: Option<Question>) -> RequestFields {
        let mut fields = match question {
            Some(question) => self.base(self.name_of(&question), question.kind),
            None => RequestFields { l7_protocol: "dns", ..RequestFields::default() },
        };
        fields.session_id = Some(u64::from(self.id));
        let rcode = self.rcode();
        fields.code = Some(i32::from(rcode));
        fields.status = match rcode {
            0 => Status::Ok,
            1 | 3 => Status::ClientError,
            _ => Status::ServerError,
        };
        if rcode != 0 {
            fields.exception = rcode_name(rcode).into();
        }
        fields.result = self.result();
        if self.flags & 0x0200 != 0 {
            fields.attributes.push(("truncated", "1".into()));
        }
        fields
    }

    /// Answers that nobody asked for.
    pub(super) fn announcement(&mut self) -> RequestFields {
        let mut fields = self.base(self.owner.clone(), self.owner_kind);
        fields.status = Status::Ok;
        fields.code = Some(i32::from(self.rcode()));
        fields.result = self.result();
        fields
    }

    /// A message of which not even the question could be read.
    pub(super) fn failed(&self) -> RequestFields {
        RequestFields {
            l7_protocol: "dns",
            session_id: Some(u64::from(self.id)),
            code: self.response.then(|| i32::from(self.rcode())),
            status: Status::ParseFailed,
            exception: MALFORMED.into(),
            ..RequestFields::default()
        }
    }

    fn base(&self, name: String, kind: u16) -> RequestFields {
        let name: Box<str> = name.into();
        let request_type: Box<str> = match self.opcode() {
            4 => "NOTIFY".into(),
            5 => "UPDATE".into(),
            _ => type_name(kind).into(),
        };
        let mut fields = RequestFields {
            l7_protocol: "dns",
            request_type,
            request_domain: name.clone(),
            endpoint: name.clone(),
            request_resource: name,
            ..RequestFields::default()
        };
        if matches!(self.opcode(), 4 | 5) {
            fields.attributes.push(("query_type", type_name(kind).into()));
        }
        fields
    }

    /// The answers' text; that of a message with one question, as nearly all are, is not copied.
    fn result(&mut self) -> Box<str> {
        let bytes = if self.further.is_empty() { std::mem::take(&mut self.result) } else { self.result.clone() };
        // Only whole texts were put in.
        let mut text = String::from_utf8(bytes).unwrap_or_default();
        if text.len() > RESULT_LIMIT {
            // Cut where a character starts.
            let mut end = RESULT_LIMIT;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        text.into()
    }

    /// Adds `TYPE=data TTL=seconds`, data in presentation form for the types people look for.
    fn record(&mut self, at: usize, data: &[u8], kind: u16, ttl: u32) {
        self.answers += 1;
        if self.result.len() > RESULT_LIMIT {
            return;
        }
        let text = &mut self.result;
        if !text.is_empty() {
            text.extend_from_slice(b"; ");
        }
        // Most records are addresses: one step for all of it.
        if kind == 1
            && let [a, b, c, d] = data
        {
            let mut line = Digits::default();
            line.bytes(b"A=");
            line.number(u32::from(*a));
            for octet in [b, c, d] {
                line.bytes(b".");
                line.number(u32::from(*octet));
            }
            line.bytes(b" TTL=");
            line.number(ttl);
            text.extend_from_slice(line.written());
            return;
        }
        text.extend_from_slice(type_name(kind).as_bytes());
        text.push(b'=');
        let mut written = String::new();
        if write_data(self.bytes, at, data, kind, &mut written).is_none() {
            written.clear();
            let _ = write!(written, "{} bytes", data.len());
        }
        text.extend_from_slice(written.as_bytes());
        let mut end = Digits::default();
        end.bytes(b" TTL=");
        end.number(ttl);
        text.extend_from_slice(end.written());
    }
}

/// As a NetBIOS name service (RFC 1002) has it, which looks like DNS: the same row with names that can be read.
pub(super) fn as_netbios(packet: &Packet<'_>, fields: &mut RequestFields) {
    fields.l7_protocol = "nbns";
    if fields.request_type.is_empty() {
        return;
    }
    if let Some(name) = packet.netbios() {
        fields.request_resource = name.as_str().into();
        fields.endpoint = name.as_str().into();
        fields.request_domain = name.into();
    }
    fields.request_type = match packet.opcode() {
        5 => "REGISTRATION",
        6 => "RELEASE",
        7 => "WACK",
        8 | 9 => "REFRESH",
        _ => return,
    }
    .into();
}

/// What rows say of messages that do not keep to RFC 1035.
pub(super) const MALFORMED: &str = "malformed message";

/// A short line of digits and signs, put together where it costs least.
struct Digits {
    bytes: [u8; 40],
    len: usize,
}

impl Default for Digits {
    fn default() -> Self {
        Self { bytes: [0; 40], len: 0 }
    }
}

impl Digits {
    #[inline]
    fn bytes(&mut self, more: &[u8]) {
        for byte in more {
            self.byte(*byte);
        }
    }

    #[inline]
    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    #[inline]
    fn number(&mut self, number: u32) {
        let mut unit = 1;
        while number / unit >= 10 {
            unit *= 10;
        }
        while unit > 0 {
            self.byte(b'0' + (number / unit % 10) as u8);
            unit /= 10;
        }
    }

    fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Passes over a name.
fn skip_name(cursor: &mut Cursor<'_>) -> Option<()> {
    for _ in 0..NAME_LIMIT {
        let at = cursor.position();
        let length = cursor.u8()?;
        match length >> 6 {
            0 if length == 0 => return Some(()),
            0 => {
                cursor.take(usize::from(length))?;
            }
            3 => {
                let target = usize::from(length & 0x3f) << 8 | usize::from(cursor.u8()?);
                return (target < at).then_some(());
            }
            _ => return None,
        }
    }
    None
}

/// The labels of a name, pointers followed: each must point further back than the one before, so it ends.
fn labels<'a>(bytes: &'a [u8], cursor: &mut Cursor<'a>, mut each: impl FnMut(&'a [u8])) -> Option<()> {
    let mut away: Option<Cursor<'a>> = None;
    let mut limit = bytes.len();
    let mut wire = 0;
    for _ in 0..NAME_LIMIT {
        let at = match &mut away {
            Some(away) => away,
            None => &mut *cursor,
        };
        let length = at.u8()?;
        match length >> 6 {
            0 if length == 0 => return Some(()),
            0 => {
                let label = at.take(usize::from(length))?;
                wire += label.len() + 1;
                if wire > NAME_LIMIT {
                    return None;
                }
                each(label);
            }
            3 => {
                let low = at.u8()?;
                let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                if target >= limit {
                    return None;
                }
                limit = target;
                away = Some(Cursor::new(bytes.get(target..)?));
            }
            _ => return None,
        }
    }
    None
}

/// Length of a name that is written out, without pointers, if these bytes start with one.
fn plain_name(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(length @ 1..=63) = bytes.get(at).copied() {
        at += usize::from(length) + 1;
    }
    (bytes.get(at) == Some(&0) && at < NAME_LIMIT).then_some(at)
}

/// A name's hash; it is passed over.
fn hash_name<'a>(bytes: &'a [u8], cursor: &mut Cursor<'a>) -> Option<u64> {
    const SEED: u64 = 0xcbf2_9ce4_8422_2325;
    if let Some(length) = plain_name(cursor.rest()) {
        let name = cursor.take(length)?;
        cursor.take(1)?;
        return Some(mix(SEED, name));
    }
    let mut wire = Vec::with_capacity(64);
    labels(bytes, cursor, |label| {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label);
    })?;
    Some(mix(SEED, &wire))
}

/// Whether a byte of a label stands for itself.
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'.' | b'\\')
}

/// A name in presentation form (RFC 1035 section 5.1).
fn read_name<'a>(bytes: &'a [u8], cursor: &mut Cursor<'a>) -> Option<String> {
    if let Some(length) = plain_name(cursor.rest()) {
        let wire = cursor.rest().get(..length)?;
        // All of it is copied, and the lengths between labels become dots.
        let mut name = wire.get(1..).unwrap_or_default().to_vec();
        let (mut at, mut plain) = (0, true);
        while let Some(length) = wire.get(at) {
            let end = at + usize::from(*length) + 1;
            plain &= wire.get(at + 1..end).unwrap_or_default().iter().fold(true, |all, byte| all & is_plain(*byte));
            if let Some(dot) = name.get_mut(end.wrapping_sub(1)) {
                *dot = b'.';
            }
            at = end;
        }
        if plain && let Ok(name) = String::from_utf8(name) {
            cursor.take(length + 1)?;
            return Some(name);
        }
    }
    let mut name = String::with_capacity(32);
    labels(bytes, cursor, |label| {
        if !name.is_empty() {
            name.push('.');
        }
        if label.iter().fold(true, |all, byte| all & is_plain(*byte))
            && let Ok(text) = std::str::from_utf8(label)
        {
            name.push_str(text);
            return;
        }
        for byte in label {
            match byte {
                b'.' | b'\\' => {
                    name.push('\\');
                    name.push(char::from(*byte));
                }
                0x21..=0x7e => name.push(char::from(*byte)),
                _ => {
                    let _ = write!(name, "\\{byte:03}");
                }
            }
        }
    })?;
    Some(name)
}

/// Data of a record; `None` if the type is not one of those known here.
fn write_data(bytes: &[u8], at: usize, data: &[u8], kind: u16, text: &mut String) -> Option<()> {
    let name_at = |skip: usize| {
        let mut cursor = Cursor::new(bytes);
        cursor.take(at + skip)?;
        read_name(bytes, &mut cursor)
    };
    let mut cursor = Cursor::new(data);
    match kind {
        1 => {
            let octets: [u8; 4] = data.try_into().ok()?;
            for (place, octet) in octets.iter().enumerate() {
                let _ = write!(text, "{}{octet}", if place > 0 { "." } else { "" });
            }
        }
        28 => {
            let octets: [u8; 16] = data.try_into().ok()?;
            let _ = write!(text, "{}", std::net::Ipv6Addr::from(octets));
        }
        // NetBIOS: flags before an address.
        32 if data.len() == 6 => return write_data(bytes, at + 2, data.get(2..)?, 1, text),
        2 | 5 | 6 | 12 | 39 => text.push_str(&name_at(0)?),
        15 => {
            let _ = write!(text, "{} {}", cursor.u16()?, name_at(2)?);
        }
        33 => {
            let _ = write!(text, "{} {} {} {}", cursor.u16()?, cursor.u16()?, cursor.u16()?, name_at(6)?);
        }
        16 => {
            let mut first = true;
            while let Some(length) = cursor.u8() {
                if !std::mem::take(&mut first) {
                    text.push(' ');
                }
                text.push_str(&clean_to(cursor.up_to(usize::from(length)), RESULT_LIMIT));
            }
        }
        _ => return None,
    }
    Some(())
}

fn type_name(kind: u16) -> std::borrow::Cow<'static, str> {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        11 => "WKS",
        12 => "PTR",
        13 => "HINFO",
        15 => "MX",
        16 => "TXT",
        17 => "RP",
        18 => "AFSDB",
        24 => "SIG",
        25 => "KEY",
        28 => "AAAA",
        29 => "LOC",
        30 => "NXT",
        32 => "NB",
        33 => "SRV",
        35 => "NAPTR",
        36 => "KX",
        37 => "CERT",
        39 => "DNAME",
        41 => "OPT",
        43 => "DS",
        44 => "SSHFP",
        46 => "RRSIG",
        47 => "NSEC",
        48 => "DNSKEY",
        50 => "NSEC3",
        51 => "NSEC3PARAM",
        52 => "TLSA",
        59 => "CDS",
        60 => "CDNSKEY",
        64 => "SVCB",
        65 => "HTTPS",
        99 => "SPF",
        249 => "TKEY",
        250 => "TSIG",
        251 => "IXFR",
        252 => "AXFR",
        255 => "ANY",
        256 => "URI",
        257 => "CAA",
        other => return format!("TYPE{other}").into(),
    };
    name.into()
}

fn rcode_name(rcode: u16) -> &'static str {
    match rcode {
        1 => "FormErr",
        2 => "ServFail",
        3 => "NXDomain",
        4 => "NotImp",
        5 => "Refused",
        6 => "YXDomain",
        7 => "YXRRSet",
        8 => "NXRRSet",
        9 => "NotAuth",
        10 => "NotZone",
        16 => "BadVers",
        17 => "BadKey",
        18 => "BadTime",
        22 => "BadTrunc",
        23 => "BadCookie",
        _ => "Error",
    }
}
