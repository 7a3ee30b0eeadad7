//! QUIC (RFC 9000, 9369 and drafts): Initial packets are opened, as everyone may, for name, ALPN and version; one request per
//! handshake, from the ClientHello to the ServerHello. What follows is encrypted and passed over. Google's versions before the standard, too.

mod google;
mod keys;
mod message;
mod packet;
#[cfg(test)]
pub(super) mod tests;

use super::tls::message::{Hello, ServerHello};
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use google::{Head, Tags};
use keys::{Keys, Version};
use packet::{Close, Frames, Long, Stream};
use std::cell::Cell;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "quic",
    ports: &[443, 8443, 784, 853],
    timeout: 15_000_000_000,
    detect,
    start: |_| Box::new(Quic::default()),
};

/// Packets in one datagram.
const COALESCED: usize = 16;

fn detect(first: First<'_>) -> Detection {
    if first.transport != Transport::Udp {
        return Detection::No;
    }
    let Some((long, _)) = Long::parse(first.bytes) else {
        return googles(first.bytes);
    };
    match (long.kind, long.version) {
        (packet::Kind::Negotiation, _) => Detection::Yes { confidence: 40, from: Some(Side::Server) },
        (packet::Kind::Initial, Some(version)) => {
            // Only the client's first packets can be opened by what they say themselves.
            let opened = opened(version, &long).map(|opened| Opened { version, packet: long.bytes.into(), opened });
            let can_be = opened.is_some();
            LATEST.set(opened);
            Detection::Yes { confidence: if can_be { 98 } else { 75 }, from: can_be.then_some(Side::Client) }
        }
        _ => Detection::Yes { confidence: 70, from: None },
    }
}

/// A packet of Google's: sure if there is a hello in it, or the answer to one.
fn googles(bytes: &[u8]) -> Detection {
    let Some(head) = Head::parse(bytes) else {
        return Detection::No;
    };
    let yes = |confidence, side| Detection::Yes { confidence, from: Some(side) };
    if Tags::find(head.payload, google::HELLO).is_some() {
        yes(96, Side::Client)
    } else if Tags::find(head.payload, google::REJECTION).is_some() {
        yes(90, Side::Server)
    } else if head.version.is_some() && !head.reset && bytes.len() > 64 {
        // Only clients say the version.
        yes(60, Side::Client)
    } else {
        Detection::No
    }
}

/// A packet that was opened to see whether it can be.
struct Opened {
    version: Version,
    packet: Box<[u8]>,
    opened: ([Keys; 2], Frames),
}

thread_local! {
    /// The latest one: what is detected is parsed next, and making keys is most of the work.
    static LATEST: Cell<Option<Opened>> = const { Cell::new(None) };
}

/// Opens a client's packet with keys made of its own destination id.
fn opened(version: Version, long: &Long<'_>) -> Option<([Keys; 2], Frames)> {
    if let Some(Opened { version: of, packet, opened }) = LATEST.take()
        && of == version
        && *packet == *long.bytes
    {
        return Some(opened);
    }
    let keys = keys::initial(version, long.destination)?;
    let plain = keys[0].open(long.bytes, long.number_at)?;
    Some((keys, packet::frames(&plain, long.cut, version.google)?))
}

#[derive(Debug, Default)]
struct Quic {
    version: Option<Version>,
    keys: Option<[Keys; 2]>,
    streams: [Stream; 2],
    hello: Option<Hello>,
    /// First datagram of a side's part.
    since: [Option<Mark>; 2],
    asked: bool,
    answered: bool,
    /// Connection ids that the client's first packet goes to and comes from.
    ids: Option<[Vec<u8>; 2]>,
    /// The server wanted the client's address proved: the id to which the client says hello again.
    retried: Option<Vec<u8>>,
    /// The server's id.
    server: Vec<u8>,
}

impl Parser for Quic {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if let Some(head) = Head::parse(input.bytes).filter(|_| self.version.is_none()) {
            self.google(side, &head, out);
            return Step::Consume(input.bytes.len() as u64);
        }
        let mut rest = input.bytes;
        for _ in 0..COALESCED {
            let Some((long, more)) = Long::parse(rest) else { break };
            match long.kind {
                packet::Kind::Initial => self.initial(side, &long, out),
                packet::Kind::Retry if side == Side::Server => {
                    // The client says hello again, with keys of the new id.
                    self.retried.get_or_insert_with(|| long.source.to_vec());
                    self.keys = None;
                }
                packet::Kind::Negotiation if side == Side::Server && self.asked && !self.answered => {
                    out.emit(Message::new(Kind::Response, message::negotiation(long.offered)));
                    *self = Self::default();
                }
                _ => {}
            }
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        Step::Consume(input.bytes.len() as u64)
    }

    fn resumes(&self, _side: Side, _bytes: &[u8]) -> bool {
        true
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}

    fn close(&mut self, out: &mut Output<'_>) {
        // A hello of which a part was lost still tells something.
        if !self.asked {
            self.ask(true, out);
        }
    }
}

impl Quic {
    fn initial(&mut self, side: Side, long: &Long<'_>, out: &mut Output<'_>) {
        let Some(version) = long.version else { return };
        let known = self.keys.as_ref().and_then(|keys| {
            let plain = keys.get(side.index())?.open(long.bytes, long.number_at)?;
            packet::frames(&plain, long.cut, version.google)
        });
        let frames = match known {
            Some(frames) => frames,
            None if side == Side::Client => {
                let Some((keys, frames)) = opened(version, long) else { return };
                if self.keys.is_some() {
                    // Another connection between the same ends.
                    *self = Self::default();
                }
                self.keys = Some(keys);
                self.ids.get_or_insert_with(|| [long.destination.to_vec(), long.source.to_vec()]);
                frames
            }
            None => return,
        };
        self.version = Some(version);
        self.since[side.index()].get_or_insert(out.mark);
        let Frames { crypto, close } = frames;
        for (offset, data) in crypto {
            self.streams[side.index()].add(offset, data);
        }
        match side {
            Side::Client if !self.asked => self.ask(long.cut, out),
            Side::Server if !self.answered => {
                self.server = long.source.to_vec();
                self.answer(out);
            }
            _ => {}
        }
        if let Some(close) = close {
            self.closed(side, &close, out);
        }
    }

    /// A packet of Google's versions up to Q048.
    fn google(&mut self, side: Side, head: &Head<'_>, out: &mut Output<'_>) {
        match side {
            Side::Client => {
                let Some(hello) = Tags::find(head.payload, google::HELLO) else { return };
                let known = self.ids.as_ref().is_some_and(|[id, _]| head.id.is_empty() || *id == head.id);
                if self.asked && known {
                    // The same again, with what the server wanted.
                    return;
                }
                *self = Self { asked: true, ids: Some([head.id.to_vec(), Vec::new()]), ..Self::default() };
                self.hello_of_tags(&hello, head.version.unwrap_or_default(), out);
            }
            Side::Server if self.asked && !self.answered => {
                self.answered = true;
                out.emit(Message::new(Kind::Response, google::response(head)));
            }
            Side::Server => {}
        }
    }

    fn hello_of_tags(&self, hello: &Tags<'_>, version: &'static str, out: &mut Output<'_>) {
        let mut fields = hello.request(version);
        message::add_ids(&mut fields, self.ids.as_ref());
        out.emit(Message::new(Kind::Request, fields).truncated(!hello.is_whole()));
    }

    /// Emits the request once the hello is whole, or if `now`.
    fn ask(&mut self, now: bool, out: &mut Output<'_>) {
        let Some(version) = self.version else { return };
        if version.tags {
            if let Some(hello) = Tags::find(self.streams[0].bytes(), google::HELLO) {
                self.asked = true;
                self.hello_of_tags(&hello, version.name, out);
            }
            return;
        }
        let Some((1, body, whole)) = self.streams[0].message() else { return };
        if !whole && !now {
            return;
        }
        let Some(hello) = Hello::parse(body, whole) else { return };
        let mut message =
            Message::new(Kind::Request, message::request(version, &hello, self.ids.as_ref())).truncated(!whole);
        if let Some(since) = self.since[0] {
            message = message.since(since);
        }
        self.hello = Some(hello);
        self.asked = true;
        out.emit(message);
    }

    fn answer(&mut self, out: &mut Output<'_>) {
        if self.version.is_some_and(|version| version.tags) {
            let payload = self.streams[1].bytes();
            self.answered = self.asked;
            if self.asked {
                let head = Head { version: None, id: &[], reset: false, payload };
                out.emit(Message::new(Kind::Response, google::response(&head)));
            }
            return;
        }
        let Some((2, body, true)) = self.streams[1].message() else { return };
        let Some(hello) = ServerHello::parse(body) else { return };
        if hello.is_retry() {
            // HelloRetryRequest: the ServerHello proper follows.
            self.streams[1].pass();
            return self.answer(out);
        }
        let fields = message::response(self.hello.as_ref(), &hello, &self.server, self.retried.as_deref());
        let mut message = Message::new(Kind::Response, fields);
        if let Some(since) = self.since[1] {
            message = message.since(since);
        }
        self.answered = true;
        out.emit(message);
    }

    fn closed(&mut self, side: Side, close: &Close, out: &mut Output<'_>) {
        if self.asked && !self.answered && close.code != 0 {
            self.answered = true;
            let mut message = Message::new(Kind::Response, message::closed(side, close));
            if side == Side::Client {
                message.end = Some(out.mark);
            }
            out.emit(message);
        }
    }
}
