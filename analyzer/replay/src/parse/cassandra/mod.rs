//! Cassandra's CQL binary protocol, versions 1 to 4 and the first frames of 5 (which then wraps frames in others that are
//! not read). Paired by stream id.

mod message;
mod segment;
#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::mask::Secret;
use super::sql::{self, Dialect};
use super::unpack::{Packing, unpack};
use super::{Detection, First, Input, Kind, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Status, Transport};
use ahash::AHashMap;
use message::Head;
use segment::{Segment, TRAILER};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "cassandra",
    ports: &[9042],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Cassandra::default()),
};

/// Bytes of a frame looked at.
const WINDOW: usize = sql::STATEMENT_LIMIT + 16;
/// Prepared statements remembered, and those being prepared.
const REMEMBERED: usize = 4096;
/// Longest id of a prepared statement.
const ID_LIMIT: usize = 64;
/// Bytes of a compressed segment looked at.
const BLOCK: usize = 60 * 1024;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let Some(version) = first.bytes.first() else {
        return Detection::No;
    };
    if let Some((_, from)) = segment_of(first.bytes) {
        return Detection::Yes { confidence: 91, from: Some(from) };
    }
    if !(1..=5).contains(&(version & 0x7f)) {
        return Detection::No;
    }
    let size = Head::size(*version);
    if first.bytes.len() < size {
        let flags = first.bytes.get(1).is_none_or(|flags| flags & 0xe0 == 0);
        return if flags && !first.whole { Detection::More } else { Detection::No };
    }
    let Some(head) = Head::parse(first.bytes) else {
        return Detection::No;
    };
    let body = first.bytes.get(size..).unwrap_or_default();
    let mut cursor = Cursor::new(body);
    let exact = head.total() == first.bytes.len() as u64;
    let printable = |text: &[u8]| text.iter().take(16).all(|byte| (0x20..0x7f).contains(byte) || *byte >= 0x80);
    let confidence = match head.name() {
        _ if head.is_compressed() && exact => 40,
        "STARTUP" if body.windows(11).take(64).any(|window| window == b"CQL_VERSION") => 92,
        "STARTUP" if !first.whole && !exact => return Detection::More,
        "OPTIONS" if head.total() == size as u64 => 70,
        "QUERY" | "PREPARE" => match message::long(&mut cursor) {
            Some(text) if text.len() >= 6 && printable(text) => 80,
            _ if !first.whole && body.len() < 10 => return Detection::More,
            _ => return Detection::No,
        },
        // Empty, or with a kind of small numbers.
        "READY" if head.total() == size as u64 => 55,
        "RESULT" if matches!(body.get(..4), Some([0, 0, 0, 1..=5])) => 60,
        "SUPPORTED" | "AUTHENTICATE" | "EXECUTE" | "REGISTER" | "BATCH" if exact => 40,
        _ => return Detection::No,
    };
    let side = if head.is_response { Side::Server } else { Side::Client };
    Detection::Yes { confidence, from: Some(side) }
}

/// The first segment of `bytes`, and who sends it, if its checksum is right and a frame starts in it.
fn segment_of(bytes: &[u8]) -> Option<(bool, Side)> {
    [false, true].into_iter().find_map(|lz4| {
        let segment = Segment::parse(bytes, lz4)?;
        let payload = bytes.get(segment.head..)?;
        let start = match segment.plain {
            0 => payload.get(..9)?.to_vec(),
            _ => unpack(Packing::Lz4, payload, 9),
        };
        let head = Head::parse(&start).filter(|head| head.is_segmented())?;
        Some((lz4, if head.is_response { Side::Server } else { Side::Client }))
    })
}

#[derive(Debug, Clone, Default)]
struct Prepared {
    text: Box<str>,
    endpoint: Box<str>,
}

/// Where one side stands in segments.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Bytes of the segment still to come, with its checksum.
    segment: u64,
    /// Bytes of the frame that goes on in further segments.
    frame: u64,
}

#[derive(Debug, Default)]
struct Cassandra {
    /// By stream: what is being prepared.
    preparing: AHashMap<u16, Prepared>,
    /// By id.
    prepared: AHashMap<Box<[u8]>, Prepared>,
    /// What STARTUP asked for.
    packing: Option<Packing>,
    keyspace: Box<str>,
    /// Frames are in segments (version 5): whether these are compressed.
    segments: Option<bool>,
    places: [Place; 2],
}

impl Parser for Cassandra {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if let Some(lz4) = self.segments {
            return self.segment(side, lz4, input, out);
        }
        let size = input.bytes.first().map_or(9, |first| Head::size(*first));
        if input.bytes.len() < size {
            return Step::More(size);
        }
        let Some(head) = Head::parse(input.bytes).filter(|head| head.is_response == (side == Side::Server)) else {
            if let Some((lz4, _)) = segment_of(input.bytes) {
                // Joined in the middle.
                self.segments = Some(lz4);
                return self.segment(side, lz4, input, out);
            }
            return Step::Reject("not a frame of CQL");
        };
        let wanted = usize::try_from(head.total()).map_or(WINDOW, |total| total.min(WINDOW));
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let frame = input.bytes.get(..wanted).unwrap_or(input.bytes);
        let message = self.message(head, frame, out);
        out.emit(message.truncated(frame.len() < wanted));
        Step::Consume(head.total())
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        match self.segments {
            Some(_) => segment_of(bytes).is_some_and(|(_, from)| from == side),
            None => Head::parse(bytes).is_some_and(|head| head.is_response == (side == Side::Server)),
        }
    }

    fn lost(&mut self, side: Side, _out: &mut Output<'_>) {
        self.preparing.clear();
        self.places[side.index()] = Place::default();
    }
}

impl Cassandra {
    /// A frame, as far as it is in view.
    fn message(&mut self, head: Head, frame: &[u8], out: &mut Output<'_>) -> Message {
        let body = frame.get(head.len()..).unwrap_or_default();
        let plain;
        let body = if head.is_compressed() {
            plain = self.unpacked(body);
            head.body(&plain)
        } else {
            head.body(body)
        };
        let message = match head.is_response {
            false => Message::new(Kind::Request, self.request(head, body, out)),
            true if head.opcode == message::EVENT => Message::new(Kind::OneWay, message::event(head, body)),
            true => Message::new(Kind::Response, self.response(head, body, out)),
        };
        message.keyed(u64::from(head.stream))
    }

    /// The body of a compressed frame up to version 4. LZ4 has the length in front; where STARTUP was not seen, its high byte of zero
    /// tells it from Snappy's, whose low byte comes first.
    fn unpacked(&self, body: &[u8]) -> Vec<u8> {
        let packing = self.packing.unwrap_or(if body.first() == Some(&0) { Packing::Lz4 } else { Packing::Snappy });
        let block = if packing == Packing::Lz4 { body.get(4..).unwrap_or_default() } else { body };
        unpack(packing, block, WINDOW)
    }

    /// A segment that begins or goes on.
    fn segment(&mut self, side: Side, lz4: bool, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let mut place = self.places[side.index()];
        let mut at = 0;
        if place.segment == 0 {
            let size = Segment::size(lz4);
            if input.bytes.len() < size {
                return Step::More(size);
            }
            let Some(segment) = Segment::parse(input.bytes, lz4) else {
                return Step::Reject("checksum of a segment's head");
            };
            if segment.plain > 0 {
                return self.packed(side, segment, input, out);
            }
            at = size;
            place.segment = u64::from(segment.payload) + TRAILER;
        }
        let payload = place.segment.saturating_sub(TRAILER);
        let used = if place.frame > 0 || payload == 0 {
            // The rest of the frame that began in an earlier segment.
            let used = place.frame.min(payload);
            place.frame -= used;
            used
        } else {
            let rest = input.bytes.get(at..).unwrap_or_default();
            let rest = rest.get(..usize::try_from(payload).unwrap_or(usize::MAX)).unwrap_or(rest);
            if rest.len() < 9 && payload >= 9 {
                return Step::More(at + 9);
            }
            let Some(head) = Head::parse(rest).filter(|head| head.is_response == (side == Side::Server)) else {
                return Step::Reject("no frame in a segment");
            };
            let used = head.total().min(payload);
            let wanted = usize::try_from(used).map_or(WINDOW, |used| used.min(WINDOW));
            if rest.len() < wanted && !input.cut {
                return Step::More(at + wanted);
            }
            let frame = rest.get(..wanted).unwrap_or(rest);
            let message = self.message(head, frame, out);
            out.emit(message.truncated(frame.len() < wanted));
            place.frame = head.total() - used;
            used
        };
        place.segment -= used;
        let trailer = if place.segment == TRAILER { TRAILER } else { 0 };
        place.segment -= trailer;
        out.hold = place.frame > 0;
        self.places[side.index()] = place;
        Step::Consume(at as u64 + used + trailer)
    }

    /// A compressed segment: all frames in it, as far as it is in view.
    fn packed(&mut self, side: Side, segment: Segment, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let wanted = segment.head + (segment.payload as usize).min(BLOCK);
        if input.bytes.len() < wanted && !input.cut {
            return Step::More(wanted);
        }
        let end = segment.head + segment.payload as usize;
        let block = input.bytes.get(segment.head..end.min(input.bytes.len())).unwrap_or_default();
        let plain = unpack(Packing::Lz4, block, segment.plain as usize);
        let mut frame = self.places[side.index()].frame;
        let mut at = 0;
        let all = u64::from(segment.plain);
        while at < all {
            let rest = usize::try_from(at).ok().and_then(|at| plain.get(at..)).unwrap_or_default();
            if frame > 0 {
                let used = frame.min(all - at);
                (frame, at) = (frame - used, at + used);
                continue;
            }
            let Some(head) = Head::parse(rest).filter(|head| head.is_response == (side == Side::Server)) else {
                if rest.len() >= 9 {
                    return Step::Reject("no frame in a segment");
                }
                break;
            };
            let used = head.total().min(all - at);
            let shown = usize::try_from(used).map_or(WINDOW, |used| used.min(WINDOW));
            let mut message = self.message(head, rest.get(..shown).unwrap_or(rest), out);
            if used < all {
                // Its part of the segment.
                message.bytes = Some(segment.total() * used / all);
            }
            out.emit(message.truncated(rest.len() < shown));
            frame = head.total();
        }
        self.places[side.index()].frame = frame;
        out.hold = frame > 0;
        Step::Consume(segment.total())
    }

    fn request(&mut self, head: Head, body: &[u8], out: &mut Output<'_>) -> RequestFields {
        let mut fields = head.fields();
        if head.is_compressed() {
            fields.attributes.push(("compressed", "true".into()));
        }
        fields.request_domain = self.keyspace.clone();
        let mut cursor = Cursor::new(body);
        match head.opcode {
            message::STARTUP => {
                self.packing = match message::option(body, b"COMPRESSION") {
                    Some(name) if name.eq_ignore_ascii_case(b"lz4") => Some(Packing::Lz4),
                    Some(name) if name.eq_ignore_ascii_case(b"snappy") => Some(Packing::Snappy),
                    _ => None,
                };
                if let Some(name) = message::option(body, b"DRIVER_NAME") {
                    fields.user_agent = super::text::clean_to(name, 128);
                }
            }
            message::QUERY | message::PREPARE => {
                let text = message::long(&mut cursor).unwrap_or_default();
                statement(text, &mut fields, out);
                if head.opcode == message::PREPARE && self.preparing.len() < REMEMBERED {
                    let (text, endpoint) = (fields.request_resource.clone(), fields.endpoint.clone());
                    self.preparing.insert(head.stream, Prepared { text, endpoint });
                }
            }
            message::EXECUTE => self.known(message::short(&mut cursor).unwrap_or_default(), &mut fields),
            message::BATCH => {
                if let Some((first, count)) = message::batch(body) {
                    match first {
                        message::First::Text(text) => statement(text, &mut fields, out),
                        message::First::Prepared(id) => self.known(id, &mut fields),
                    }
                    fields.attributes.push(("statements", count.to_string().into()));
                }
            }
            message::AUTH_RESPONSE if !out.mask.shows() => out.mask.hid(Secret::Login, 1),
            _ => {}
        }
        fields
    }

    fn known(&self, id: &[u8], fields: &mut RequestFields) {
        if let Some(prepared) = self.prepared.get(id) {
            fields.request_resource = prepared.text.clone();
            fields.endpoint = prepared.endpoint.clone();
        }
    }

    fn response(&mut self, head: Head, body: &[u8], out: &mut Output<'_>) -> RequestFields {
        let mut fields = RequestFields { l7_protocol: "cassandra", status: Status::Ok, ..RequestFields::default() };
        let preparing = self.preparing.remove(&head.stream);
        match head.opcode {
            message::ERROR => {
                message::error(body, &mut fields);
                fields.exception = out.mask.quoted(std::mem::take(&mut fields.exception), '\'');
            }
            message::RESULT => {
                fields.affected_rows = message::rows(body);
                if let Some(keyspace) = message::keyspace(body) {
                    self.keyspace = super::text::clean_to(keyspace, 128);
                }
                if let (Some(statement), Some(id)) = (preparing, message::prepared(body))
                    && id.len() <= ID_LIMIT
                    && self.prepared.len() < REMEMBERED
                {
                    self.prepared.insert(id.into(), statement);
                }
            }
            _ => {
                fields.result = head.name().into();
                if matches!(head.opcode, message::READY | message::AUTHENTICATE) && head.is_segmented() {
                    self.segments = Some(self.packing.is_some());
                }
            }
        }
        fields
    }
}

fn statement(text: &[u8], fields: &mut RequestFields, out: &mut Output<'_>) {
    let text = text.get(..sql::STATEMENT_LIMIT).unwrap_or(text);
    sql::statement(text, Dialect::PostgreSql, out.mask).fill(fields);
}
