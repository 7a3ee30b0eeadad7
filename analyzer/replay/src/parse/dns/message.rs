//! DNS messages: header, questions, answers.

use super::super::cursor::Cursor;
use super::name::{hash_name, mix, netbios_name, read_name, skip_name};
use super::record::{ADDRESS, RESULT_LIMIT, netbios_rcode_name, rcode_name, type_name, write_record};
use crate::model::{RequestFields, Status};

/// Questions and answers looked at.
const RECORD_LIMIT: u16 = 64;
/// Names that a row of an UPDATE tells.
const UPDATED: usize = 8;
/// Opcode (RFC 2136).
const UPDATE: u16 = 5;

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
    /// Where the first record's owner stands, if nothing is asked: its name is written only for rows that need it.
    owner: Option<usize>,
    owner_kind: u16,
    /// UPDATE: whose records it asks for and changes.
    updated: Vec<String>,
    /// Extended RCODE bits from EDNS.
    extended: u16,
    edns: bool,
    /// Everything that was announced could be read.
    pub(super) sound: bool,
    /// Rows are those of a NetBIOS name service (RFC 1002), which looks like DNS: names are told as people know them.
    pub(super) netbios: bool,
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
            owner: None,
            owner_kind: 0,
            updated: Vec::new(),
            extended: 0,
            edns: false,
            sound: false,
            netbios: false,
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
            self.result.reserve(usize::from(counts[1].min(16)) * ADDRESS);
        }
        for place in 0..counts[1].min(RECORD_LIMIT) {
            // Whose records these are matters where nobody asked.
            let owner = (place == 0 && counts[0] == 0).then(|| cursor.position());
            if owner.is_some() {
                hash_name(self.bytes, cursor)?;
            } else if self.opcode() == UPDATE {
                self.update(cursor)?;
            } else {
                skip_name(cursor)?;
            }
            let (kind, _class, ttl) = (cursor.u16()?, cursor.u16()?, cursor.u32()?);
            if place == 0 {
                (self.owner, self.owner_kind) = (owner, kind);
            }
            let length = usize::from(cursor.u16()?);
            let at = cursor.position();
            let data = cursor.take(length)?;
            self.answers += 1;
            write_record(self.bytes, at, data, kind, ttl, &mut self.result);
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
                self.answers += 1;
                write_record(self.bytes, at, data, kind, ttl, &mut self.result);
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

    fn name_at(&self, at: usize) -> String {
        let mut cursor = Cursor::new(self.bytes);
        cursor.take(at);
        read_name(self.bytes, &mut cursor).unwrap_or_default()
    }

    /// The name of NetBIOS that stands there: nearly always in one label that is written out.
    fn netbios_at(&self, at: usize) -> Option<Box<str>> {
        match self.bytes.get(at..) {
            Some([32, name @ ..]) => netbios_name(name),
            _ => netbios_name(self.name_at(at).as_bytes()),
        }
    }

    /// The name of NetBIOS that is asked for or told of, if these are such: 16 characters, each as two letters (RFC 1001 section 14.1).
    pub(super) fn netbios_name(&self) -> Option<Box<str>> {
        let (at, kind) = match self.first {
            Some(question) => (question.at, question.kind),
            None => (self.owner?, self.owner_kind),
        };
        if is_netbios(kind) { self.netbios_at(at) } else { None }
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
    pub(super) fn ask(&self, question: &Question) -> Box<RequestFields> {
        let mut fields = self.base(Some(question.at), question.kind);
        fields.session_id = Some(u64::from(self.id));
        // Multicast queries are answered to everyone, or by nobody.
        fields.is_async = self.is_multicast(&fields.request_domain);
        if !self.updated.is_empty() {
            fields.attributes.push(("updated", self.updated.join(",").into()));
        }
        if self.edns {
            fields.attributes.push(("edns", "1".into()));
        }
        fields
    }

    /// What a response adds; `question`: unless the request that asks it is known.
    pub(super) fn answer(&mut self, question: Option<Question>) -> Box<RequestFields> {
        let fields = match question {
            Some(question) => self.base(Some(question.at), question.kind),
            None => Box::default(),
        };
        self.result_of(fields)
    }

    /// The same of an answer that does not repeat what was asked, which is not known.
    pub(super) fn answer_of_owner(&mut self) -> Box<RequestFields> {
        let fields = self.base(self.owner, self.owner_kind);
        self.result_of(fields)
    }

    fn result_of(&mut self, mut fields: Box<RequestFields>) -> Box<RequestFields> {
        fields.l7_protocol = self.protocol();
        fields.session_id = Some(u64::from(self.id));
        let rcode = self.rcode();
        fields.code = Some(i32::from(rcode));
        fields.status = match rcode {
            0 => Status::Ok,
            1 | 3 => Status::ClientError,
            _ => Status::ServerError,
        };
        if rcode != 0 {
            fields.exception = if self.netbios { netbios_rcode_name(rcode) } else { rcode_name(rcode) }.into();
        }
        fields.result = self.result();
        if self.flags & 0x0200 != 0 {
            fields.attributes.push(("truncated", "1".into()));
        }
        fields
    }

    /// Answers that nobody asked for.
    pub(super) fn announcement(&mut self) -> Box<RequestFields> {
        let mut fields = self.base(self.owner, self.owner_kind);
        fields.status = Status::Ok;
        fields.code = Some(i32::from(self.rcode()));
        fields.result = self.result();
        fields
    }

    /// A message of which not even the question could be read.
    pub(super) fn failed(&self) -> Box<RequestFields> {
        let fields = RequestFields {
            l7_protocol: "dns",
            session_id: Some(u64::from(self.id)),
            code: self.response.then(|| i32::from(self.rcode())),
            status: Status::ParseFailed,
            exception: MALFORMED.into(),
            ..RequestFields::default()
        };
        fields.into()
    }

    fn protocol(&self) -> &'static str {
        if self.netbios { "nbns" } else { "dns" }
    }

    /// What is asked of the name that stands at `at`, or told of it.
    fn base(&self, at: Option<usize>, kind: u16) -> Box<RequestFields> {
        let mut fields = Box::<RequestFields>::default();
        fields.l7_protocol = self.protocol();
        fields.request_type = match (self.netbios, self.opcode()) {
            (_, 4) => "NOTIFY".into(),
            (false, 5) => "UPDATE".into(),
            // RFC 1002 section 4.2.1.1.
            (true, 5) => "REGISTRATION".into(),
            (true, 6) => "RELEASE".into(),
            (true, 7) => "WACK".into(),
            (true, 8 | 9) => "REFRESH".into(),
            _ => type_name(kind).into(),
        };
        if matches!(self.opcode(), 4 | 5) {
            fields.attributes.push(("query_type", type_name(kind).into()));
        }
        let told = at.filter(|_| self.netbios && is_netbios(kind)).and_then(|at| self.netbios_at(at));
        let name = told.unwrap_or_else(|| at.map_or_else(Box::default, |at| self.name_at(at).into()));
        fields.request_domain = name.clone();
        fields.endpoint = name.clone();
        fields.request_resource = name;
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
}

/// Whether a type is one of NetBIOS (RFC 1002 section 4.2.1.2).
fn is_netbios(kind: u16) -> bool {
    matches!(kind, 32 | 33)
}

/// What rows say of messages that do not keep to RFC 1035.
pub(super) const MALFORMED: &str = "malformed message";
