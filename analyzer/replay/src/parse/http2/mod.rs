//! HTTP/2 (RFC 9113) and gRPC over it: one request per stream, joins in the middle of a connection.

mod hpack;
mod message;
mod tables;
#[cfg(test)]
pub(super) mod tests;

use super::cursor::Cursor;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{Completeness, Side, Status, Transport};
use ahash::AHashMap;
use hpack::Decoder;
use message::Headers;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "http2",
    ports: &[50051, 50052],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Http2::default()),
};

/// The same after `Upgrade: h2c` (RFC 7540 section 3.2); not in the registry, HTTP/1 hands over.
pub(super) static UPGRADED: Protocol =
    Protocol { start: |_| Box::new(Http2 { upgraded: true, ..Http2::default() }), ..PROTOCOL };

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Streams open at a time that are told apart.
const STREAM_LIMIT: usize = 8192;
/// Longest header block put together.
const BLOCK_LIMIT: usize = 48 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if PREFACE.starts_with(bytes.get(..PREFACE.len()).unwrap_or(bytes)) {
        if bytes.len() >= 16 {
            return Detection::Yes { confidence: 98, from: Some(Side::Client) };
        }
        return Detection::More;
    }
    match chain(bytes) {
        Some(_) if bytes.len() < 9 && !first.whole => Detection::More,
        Some((frames, settings, headers)) if frames > 0 => {
            // A server starts with SETTINGS; in the middle, only header frames tell who speaks.
            let confidence = if settings {
                80
            } else if headers {
                65
            } else {
                30
            };
            let from = if settings && bytes.get(3) == Some(&4) && bytes.get(4) == Some(&0) {
                Some(Side::Server)
            } else {
                None
            };
            Detection::Yes { confidence, from }
        }
        _ => Detection::No,
    }
}

/// Plausible frames in a row: how many, whether SETTINGS and HEADERS are among them. `None`: not HTTP/2.
fn chain(bytes: &[u8]) -> Option<(usize, bool, bool)> {
    let mut rest = bytes;
    let (mut frames, mut settings, mut headers) = (0, false, false);
    while frames < 6 && !rest.is_empty() {
        let mut cursor = Cursor::new(rest);
        let length = match cursor.u24() {
            Some(length) if length <= 0x4000 => length as usize,
            Some(_) => return None,
            None => {
                return (bytes.first() == Some(&0) && bytes.len() < 3 || frames > 0)
                    .then_some((frames, settings, headers));
            }
        };
        let (Some(kind), Some(flags)) = (cursor.u8(), cursor.u8()) else {
            return Some((frames, settings, headers));
        };
        let stream = cursor.u32();
        let on_stream = stream.is_none_or(|stream| stream & 0x8000_0000 == 0 && stream != 0);
        let on_connection = stream.is_none_or(|stream| stream == 0);
        let fits = match kind {
            0 => on_stream && flags & !0x9 == 0,
            1 => on_stream && flags & !0x2d == 0 && length > 0,
            2 => on_stream && length == 5,
            3 => on_stream && length == 4,
            4 => on_connection && length.is_multiple_of(6) && flags <= 1 && (flags == 0 || length == 0),
            6 => on_connection && length == 8 && flags <= 1,
            7 => on_connection && length >= 8,
            8 => length == 4 && stream.is_none_or(|stream| stream & 0x8000_0000 == 0),
            9 => on_stream && flags & !0x4 == 0,
            _ => false,
        };
        if !fits {
            return None;
        }
        settings |= kind == 4;
        headers |= kind == 1;
        if stream.is_some() {
            frames += 1;
        }
        cursor.up_to(length);
        rest = cursor.rest();
    }
    Some((frames, settings, headers))
}

/// One side of a stream.
#[derive(Debug, Default)]
struct Half {
    headers: Option<Headers>,
    start: Option<Mark>,
    last: Option<Mark>,
    bytes: u64,
    body: u64,
    ended: bool,
}

/// A stream.
#[derive(Debug, Default)]
struct Stream {
    halves: [Half; 2],
    asked: bool,
    /// A call of gRPC, as its request says.
    grpc: bool,
    reset: Option<(Side, u32)>,
    truncated: bool,
}

/// A header block that goes on in CONTINUATION frames.
#[derive(Debug)]
struct Block {
    stream: u32,
    flags: u8,
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
struct Http2 {
    decoders: [Decoder; 2],
    /// Bytes of that side were passed over: header blocks may have been among them, which change the decoder's table.
    doubt: [bool; 2],
    /// Largest stream that the client has opened.
    highest: u32,
    /// Names in the last header block that opened a side of a stream, mixed to one number.
    names: [u64; 2],
    blocks: [Option<Block>; 2],
    streams: AHashMap<u32, Stream>,
    /// Stream 1 answers the request of HTTP/1 that asked for the upgrade.
    upgraded: bool,
}

impl Parser for Http2 {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let bytes = input.bytes;
        if side == Side::Client && bytes.first() == Some(&b'P') {
            if bytes.starts_with(PREFACE) {
                return Step::Consume(PREFACE.len() as u64);
            }
            return if PREFACE.starts_with(bytes) {
                Step::More(PREFACE.len())
            } else {
                Step::Reject("not the preface")
            };
        }
        let mut cursor = Cursor::new(bytes);
        let (Some(length), Some(kind), Some(flags), Some(stream)) =
            (cursor.u24(), cursor.u8(), cursor.u8(), cursor.u32())
        else {
            return Step::More(9);
        };
        let stream = stream & 0x7fff_ffff;
        if length > 0x10_0000 || (kind <= 9 && (kind == 4 || kind == 6 || kind == 7) != (stream == 0) && kind != 8) {
            return Step::Reject("not a frame");
        }
        let length = length as usize;
        let whole = matches!(kind, HEADERS | CONTINUATION | PUSH_PROMISE | RST_STREAM);
        if whole && cursor.rest().len() < length && !input.cut {
            return Step::More(length + 9);
        }
        let body = cursor.up_to(length);
        let cut = body.len() < length;
        out.hold = false;
        let total = length as u64 + 9;
        match kind {
            DATA => self.data(side, stream, flags, total, out),
            HEADERS => {
                let padding =
                    if flags & 8 != 0 { usize::from(body.first().copied().unwrap_or_default()) + 1 } else { 0 };
                let priority = if flags & 0x20 != 0 { 5 } else { 0 };
                let from = usize::from(flags & 8 != 0) + priority;
                let to = body.len().saturating_sub(padding.saturating_sub(1));
                let block = body.get(from..to.max(from)).unwrap_or_default();
                self.block(side, stream, flags, block, total, cut, out);
            }
            CONTINUATION => {
                if let Some(mut block) = self.blocks[side.index()].take()
                    && block.stream == stream
                    && block.bytes.len() + body.len() <= BLOCK_LIMIT
                {
                    block.bytes.extend_from_slice(body);
                    let all = flags & END_HEADERS | block.flags & END_STREAM;
                    if flags & END_HEADERS == 0 && !cut {
                        // It goes on in yet another frame.
                        self.count(side, stream, total, out.mark);
                        self.blocks[side.index()] = Some(block);
                    } else {
                        self.block(side, stream, all, &block.bytes, total, cut, out);
                    }
                }
            }
            RST_STREAM => {
                let code = Cursor::new(body).u32().unwrap_or_default();
                if let Some(mut stream_) = self.streams.remove(&stream) {
                    stream_.reset = Some((side, code));
                    self.finish(stream, stream_, side, out);
                }
            }
            PUSH_PROMISE => {
                self.promise(side, flags, body, out);
            }
            _ => {}
        }
        Step::Consume(total)
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        if side == Side::Client && bytes.starts_with(b"PRI * ") {
            return true;
        }
        matches!(chain(bytes), Some((1.., ..)))
    }

    fn lost(&mut self, side: Side, _out: &mut Output<'_>) {
        self.doubt[side.index()] = true;
        self.blocks[side.index()] = None;
        for stream in self.streams.values_mut() {
            if !stream.halves[side.index()].ended {
                stream.truncated = true;
            }
        }
    }

    fn close(&mut self, out: &mut Output<'_>) {
        let mut streams: Vec<(u32, Stream)> = self.streams.drain().collect();
        streams.sort_by_key(|(id, _)| *id);
        for (id, stream) in streams {
            self.give_out(id, stream, None, out);
        }
    }
}

impl Http2 {
    /// Server push (RFC 9113 section 8.4): the server says the request that it answers unasked.
    fn promise(&mut self, side: Side, flags: u8, body: &[u8], out: &mut Output<'_>) {
        let mut cursor = Cursor::new(body);
        let padding = if flags & 8 != 0 { cursor.u8().unwrap_or_default() } else { 0 };
        let Some(id) = cursor.u32().map(|id| id & 0x7fff_ffff) else { return };
        let block = cursor.rest();
        let block = block.get(..block.len().saturating_sub(usize::from(padding))).unwrap_or_default();
        let mut headers = Headers::default();
        // Decoded in any case: it keeps the table in step.
        let read = self.decoders[side.index()].decode(block, |name, value| headers.take(name, value));
        if side != Side::Server || self.streams.len() >= STREAM_LIMIT || self.streams.contains_key(&id) {
            return;
        }
        let mut stream = Stream { truncated: read.is_none(), ..Stream::default() };
        let half = &mut stream.halves[Side::Client.index()];
        (half.start, half.last, half.ended) = (Some(out.mark), Some(out.mark), true);
        headers.pushed = true;
        half.headers = Some(headers);
        stream.asked = ask(id, &mut stream, false, out);
        self.streams.insert(id, stream);
    }

    fn data(&mut self, side: Side, id: u32, flags: u8, total: u64, out: &mut Output<'_>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let half = &mut stream.halves[side.index()];
        half.bytes += total;
        half.body += total - 9;
        half.last = Some(out.mark);
        if flags & END_STREAM != 0 {
            self.end(side, id, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a frame's parts")]
    fn block(&mut self, side: Side, id: u32, flags: u8, block: &[u8], total: u64, cut: bool, out: &mut Output<'_>) {
        if flags & END_HEADERS == 0 && !cut {
            self.blocks[side.index()] = Some(Block { stream: id, flags, bytes: block.to_vec() });
            self.count(side, id, total, out.mark);
            return;
        }
        let (mut headers, whole) = self.read(side, id, block, cut);
        self.count(side, id, total, out.mark);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.truncated |= cut || !whole;
        if headers.is_interim() {
            return;
        }
        let half = &mut stream.halves[side.index()];
        if side == Side::Server && flags & END_STREAM != 0 {
            let first = half.headers.as_ref();
            if stream.grpc || headers.is_grpc() || first.is_some_and(Headers::is_grpc) {
                headers.guess_status();
            }
        }
        match &mut half.headers {
            // Trailers.
            Some(first) => first.trail(headers),
            None => half.headers = Some(headers),
        }
        if flags & END_STREAM != 0 {
            self.end(side, id, out);
        }
    }

    /// Decodes a header block; whether all of it could be read, and rests on nothing doubtful.
    ///
    /// After a loss the table is kept where no block can have been missed: a client numbers its streams one after
    /// the other, so if the next one follows the last, none was. Servers answer in any order. Their table is tried, and
    /// believed again when a block has the same names as the last one before the loss, and given up when it makes no sense.
    /// A block of which the end is missing leaves nothing to keep.
    fn read(&mut self, side: Side, id: u32, block: &[u8], cut: bool) -> (Headers, bool) {
        let at = side.index();
        let opens = self.streams.get(&id).is_none_or(|stream| stream.halves[at].headers.is_none());
        if side == Side::Client && id > self.highest {
            let follows = self.highest != 0 && id == self.highest + 2;
            if std::mem::take(&mut self.doubt[at]) && !follows {
                self.decoders[at].forget();
            }
            self.highest = id;
        }
        let mut headers = Headers::default();
        // FNV-1a.
        let (mut names, mut sense) = (0xcbf2_9ce4_8422_2325_u64, true);
        let (mut first, mut regular) = (true, false);
        let read = self.decoders[at].decode(block, |name, value| {
            let bytes = name.unwrap_or_default();
            for byte in bytes.iter().chain(&[0]) {
                names = (names ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            }
            let pseudo = bytes.first() == Some(&b':');
            // Pseudo headers come first, a status before anything else, none in trailers (RFC 9113 section 8.3).
            sense &= name.is_some() && (!pseudo || (opens && !regular));
            sense &= !(first && opens && side == Side::Server) || bytes == b":status";
            (first, regular) = (false, regular || !pseudo);
            headers.take(name, value);
        });
        if cut || read.is_none() {
            // What the rest of the block put into the table is not known.
            self.decoders[at].forget();
            self.doubt[at] = false;
            return (headers, false);
        }
        let doubt = self.doubt[at];
        if doubt && !sense {
            self.decoders[at].forget();
            self.doubt[at] = false;
            return (Headers::default(), false);
        }
        if opens {
            if names == self.names[at] {
                self.doubt[at] = false;
            }
            self.names[at] = names;
        }
        (headers, !self.doubt[at])
    }

    fn count(&mut self, side: Side, id: u32, total: u64, mark: Mark) {
        if self.streams.len() >= STREAM_LIMIT && !self.streams.contains_key(&id) {
            return;
        }
        let half = &mut self.streams.entry(id).or_default().halves[side.index()];
        half.bytes += total;
        half.start.get_or_insert(mark);
        half.last = Some(mark);
    }

    /// END_STREAM of a side.
    fn end(&mut self, side: Side, id: u32, out: &mut Output<'_>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.halves[side.index()].ended = true;
        match side {
            Side::Client if stream.halves[0].headers.is_some() && !stream.halves[1].ended => {
                let asked = ask(id, stream, true, out);
                stream.asked = asked;
            }
            _ => {}
        }
        // The server may end before the client: then the client's rest does not matter (RFC 9113 section 8.1).
        if stream.halves[Side::Server.index()].ended
            && let Some(stream) = self.streams.remove(&id)
        {
            self.finish(id, stream, side, out);
        }
    }

    fn finish(&mut self, id: u32, stream: Stream, side: Side, out: &mut Output<'_>) {
        self.give_out(id, stream, Some(side), out);
    }

    /// Emits what of a stream has not been; `side`: whose step this is, where one is.
    fn give_out(&mut self, id: u32, mut stream: Stream, side: Option<Side>, out: &mut Output<'_>) {
        if !stream.asked && stream.halves[0].headers.is_some() {
            ask(id, &mut stream, false, out);
        }
        let reset = stream.reset;
        let (grpc, mut truncated) = (stream.grpc, stream.truncated);
        let half = &mut stream.halves[1];
        if half.headers.is_none() && reset.is_none() {
            return;
        }
        let headers = half.headers.take().unwrap_or_default();
        // A call's outcome is in its trailers: these were not captured, or rest on headers that were not.
        let untold = headers.awaits_status(grpc);
        let mut fields = headers.response(half.body, reset);
        if untold {
            fields.code = None;
            if reset.is_none_or(|(_, code)| code == 0) {
                fields.status = Status::Unknown;
                truncated = true;
            }
        }
        let mut message = Message::new(Kind::Response, fields).truncated(truncated);
        if self.upgraded && id == 1 {
            message.fields.l7_protocol = "http2";
        } else {
            message = message.keyed(u64::from(id));
        }
        message.start = half.start;
        message.bytes = Some(half.bytes);
        if side != Some(Side::Server) {
            message.end = half.last.or(Some(out.mark));
        }
        if half.start.is_none() {
            message.start = message.end.or(Some(out.mark));
        }
        if side.is_none() && !half.ended && !truncated {
            message.completeness.add(Completeness::ENDED_AFTER);
        }
        out.emit(message);
    }
}

/// Emits a stream's request. `here`: it ends with this step.
fn ask(id: u32, stream: &mut Stream, here: bool, out: &mut Output<'_>) -> bool {
    let half = &mut stream.halves[0];
    let Some(headers) = half.headers.take() else {
        return false;
    };
    stream.grpc = headers.is_grpc();
    let mut fields = headers.request(half.body, out.mask);
    fields.session_id = Some(u64::from(id));
    let mut message = Message::new(Kind::Request, fields).keyed(u64::from(id)).truncated(stream.truncated);
    message.start = half.start;
    message.bytes = Some(half.bytes);
    if !here {
        message.end = half.last;
    }
    out.emit(message);
    true
}
