//! DNS messages: header, questions, answers; names decompressed safely.

use super::super::cursor::Cursor;
use super::super::text::clean_to;
use crate::model::{RequestFields, Status};
use std::fmt::Write as _;

/// Longest name as its labels' bytes (RFC 1035 section 2.3.4), compression pointers followed.
const NAME_LIMIT: usize = 255;
/// Questions and answers looked at.
const RECORD_LIMIT: u16 = 64;
/// Longest text of the answers.
const RESULT_LIMIT: usize = 1024;

/// A question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    name: String,
    kind: u16,
    class: u16,
}

/// A message, as far as it could be read.
#[derive(Debug)]
pub(super) struct Packet {
    pub(super) id: u16,
    pub(super) response: bool,
    flags: u16,
    pub(super) questions: Vec<Question>,
    /// Data of the answers, in text.
    result: String,
    /// Records that were read into it.
    pub(super) answers: u32,
    owner: String,
    owner_kind: u16,
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

/// A question's contents as a number, case ignored (RFC 4343).
pub(super) fn hash(question: &Question) -> u64 {
    // FNV-1a: keys must be the same in every run.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in question.name.bytes() {
        hash = (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3);
    }
    for byte in question.kind.to_be_bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash & 0xff_ffff_ffff
}

impl Packet {
    /// `None` if it is not DNS.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let id = cursor.u16()?;
        let flags = cursor.u16()?;
        let counts = [cursor.u16()?, cursor.u16()?, cursor.u16()?, cursor.u16()?];
        let opcode = flags >> 11 & 0xf;
        if !matches!(opcode, 0..=2 | 4..=6) || counts[0] > RECORD_LIMIT {
            return None;
        }
        if counts[0] == 0 && counts[1] == 0 && flags & 0x8000 == 0 {
            return None;
        }
        let mut packet = Self {
            id,
            response: flags & 0x8000 != 0,
            flags,
            questions: Vec::new(),
            result: String::new(),
            answers: 0,
            owner: String::new(),
            owner_kind: 0,
            extended: 0,
            edns: false,
            sound: false,
        };
        packet.sound = packet.read(bytes, &mut cursor, counts).is_some();
        let begun = packet.sound || !packet.questions.is_empty();
        begun.then_some(packet)
    }

    fn read<'a>(&mut self, bytes: &'a [u8], cursor: &mut Cursor<'a>, counts: [u16; 4]) -> Option<()> {
        for _ in 0..counts[0] {
            let name = read_name(bytes, cursor)?;
            // mDNS uses the top bit of the class to ask for unicast.
            let (kind, class) = (cursor.u16()?, cursor.u16()? & 0x7fff);
            if !matches!(class, 1 | 3 | 4 | 254 | 255) {
                return None;
            }
            self.questions.push(Question { name, kind, class });
        }
        if self.response && counts[1] > 0 {
            self.result.reserve(usize::from(counts[1].min(16)) * 32);
        }
        for place in 0..counts[1].min(RECORD_LIMIT) {
            // Whose records these are matters where nobody asked.
            let name = if place == 0 && counts[0] == 0 {
                read_name(bytes, cursor)?
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
            self.record(bytes, at, data, kind, ttl);
        }
        if counts[1] > RECORD_LIMIT {
            return None;
        }
        for place in 0..counts[2].saturating_add(counts[3]).min(RECORD_LIMIT) {
            skip_name(cursor)?;
            let (kind, _class, ttl) = (cursor.u16()?, cursor.u16()?, cursor.u32()?);
            let length = usize::from(cursor.u16()?);
            let at = cursor.position();
            let data = cursor.take(length)?;
            if place < counts[2] && self.response {
                self.record(bytes, at, data, kind, ttl);
            }
            if kind == 41 {
                self.edns = true;
                // The upper eight bits of the extended RCODE (RFC 6891 section 6.1.3).
                self.extended = u16::from(ttl.to_be_bytes()[0]) << 4;
            }
        }
        Some(())
    }

    /// Whether it is a NetBIOS name query, which looks alike (RFC 1002): names are 32 letters, types NB and NBSTAT.
    pub(super) fn is_netbios(&self) -> bool {
        self.questions.iter().any(|question| {
            matches!(question.kind, 32 | 33)
                && question.name.bytes().take(32).filter(|byte| (b'A'..=b'P').contains(byte)).count() == 32
        })
    }

    /// A usual query or answer: one question of class IN.
    pub(super) fn plain(&self) -> bool {
        let opcode = self.flags >> 11 & 0xf;
        // The bit that must be zero (RFC 1035 section 4.1.1) is not always.
        opcode == 0
            && self.flags & 0x40 == 0
            && matches!(self.questions.as_slice(), [question] if question.class == 1 && question.kind != 0)
    }

    fn rcode(&self) -> u16 {
        self.flags & 0xf | self.extended
    }

    fn is_multicast(&self) -> bool {
        self.id == 0 && self.questions.iter().all(|question| question.name.ends_with(".local"))
    }

    /// What a query says.
    pub(super) fn ask(&self, question: &Question) -> RequestFields {
        let mut fields = self.base(&question.name, question.kind);
        fields.session_id = Some(u64::from(self.id));
        // Multicast queries are answered to everyone, or by nobody.
        fields.is_async = self.is_multicast();
        if self.edns {
            fields.attributes.push(("edns", "1".into()));
        }
        fields
    }

    /// What a response adds; `question`: unless the request that asks it is known.
    pub(super) fn answer(&self, question: Option<&Question>) -> RequestFields {
        let mut fields = match question {
            Some(question) => self.base(&question.name, question.kind),
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
    pub(super) fn announcement(&self) -> RequestFields {
        let mut fields = self.base(&self.owner, self.owner_kind);
        fields.status = Status::Ok;
        fields.code = Some(i32::from(self.rcode()));
        fields.result = self.result();
        fields
    }

    fn base(&self, name: &str, kind: u16) -> RequestFields {
        let name: Box<str> = name.into();
        let opcode = self.flags >> 11 & 0xf;
        let mut request_type: Box<str> = type_name(kind).into();
        if opcode == 4 {
            request_type = "NOTIFY".into();
        } else if opcode == 5 {
            request_type = "UPDATE".into();
        }
        RequestFields {
            l7_protocol: "dns",
            request_type,
            request_domain: name.clone(),
            endpoint: name.clone(),
            request_resource: name,
            ..RequestFields::default()
        }
    }

    fn result(&self) -> Box<str> {
        // Cut where a character starts.
        let mut end = self.result.len().min(RESULT_LIMIT);
        while !self.result.is_char_boundary(end) {
            end -= 1;
        }
        self.result.get(..end).unwrap_or_default().into()
    }

    /// Adds `TYPE=data TTL=seconds`, data in presentation form for the types people look for.
    fn record(&mut self, bytes: &[u8], at: usize, data: &[u8], kind: u16, ttl: u32) {
        self.answers += 1;
        if self.result.len() > RESULT_LIMIT {
            return;
        }
        let text = &mut self.result;
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(&type_name(kind));
        text.push('=');
        if write_data(bytes, at, data, kind, text).is_none() {
            let _ = write!(text, "{} bytes", data.len());
        }
        text.push_str(" TTL=");
        push_number(text, ttl);
    }
}

/// A number in decimal digits: several times as fast as formatting it.
fn push_number(text: &mut String, number: u32) {
    let mut digits = [0_u8; 10];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let digits = digits.get(at..).unwrap_or_default();
    text.push_str(std::str::from_utf8(digits).unwrap_or_default());
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

/// A name, pointers followed: each must point further back than the one before, so it ends.
fn read_name<'a>(bytes: &'a [u8], cursor: &mut Cursor<'a>) -> Option<String> {
    let mut name = String::with_capacity(32);
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
            0 if length == 0 => return Some(name),
            0 => {
                let label = at.take(usize::from(length))?;
                wire += label.len() + 1;
                if wire > NAME_LIMIT {
                    return None;
                }
                if !name.is_empty() {
                    name.push('.');
                }
                if let Ok(text) = std::str::from_utf8(label)
                    && label.iter().all(|byte| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'.' | b'\\'))
                {
                    name.push_str(text);
                    continue;
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
                if place > 0 {
                    text.push('.');
                }
                push_number(text, u32::from(*octet));
            }
        }
        28 => {
            let octets: [u8; 16] = data.try_into().ok()?;
            let _ = write!(text, "{}", std::net::Ipv6Addr::from(octets));
        }
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
