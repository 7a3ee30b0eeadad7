//! TLS handshakes (RFC 8446, 5246): one request per handshake, from ClientHello to the end of the server's part.
//! What follows is encrypted and passed over.

mod certificate;
mod ciphers;
pub(super) mod message;
#[cfg(test)]
pub(super) mod tests;

pub(super) use certificate::first as first_certificate;

use super::cursor::Cursor;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{Completeness, Side, Transport};
use message::{Hello, ServerHello, Summary};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "tls",
    ports: &[443, 8443, 853, 993, 995, 465, 636, 6443],
    timeout: 15_000_000_000,
    detect,
    start: |_| Box::new(Tls::default()),
};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Handshake bytes put together per side.
const HANDSHAKE_LIMIT: usize = 48 * 1024;
/// Longest record (RFC 8446 section 5.2).
const RECORD_LIMIT: u16 = 16_384 + 2048;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let yes = |confidence, from| Detection::Yes { confidence, from };
    match first.bytes {
        [HANDSHAKE, 3, 0..=4, high, low, 1, ..] if record_fits(*high, *low) => yes(95, Some(Side::Client)),
        [HANDSHAKE, 3, 0..=4, high, low, 2, ..] if record_fits(*high, *low) => yes(95, Some(Side::Server)),
        [CHANGE_CIPHER_SPEC, 3, 1..=3, 0, 1, 1, ..] => yes(85, None),
        [APPLICATION_DATA, 3, 1..=3, high, low, _, ..] if record_fits(*high, *low) => yes(60, None),
        [ALERT, 3, 1..=3, 0, 2, 1 | 2, _, ..] => yes(85, None),
        [HANDSHAKE, 3, 0..=4]
        | [HANDSHAKE, 3]
        | [HANDSHAKE]
        | [HANDSHAKE, 3, 0..=4, _]
        | [HANDSHAKE, 3, 0..=4, _, _] => Detection::More,
        [CHANGE_CIPHER_SPEC | ALERT | APPLICATION_DATA, rest @ ..]
            if rest.len() < 5 && rest.first().is_none_or(|v| *v == 3) =>
        {
            Detection::More
        }
        _ => Detection::No,
    }
}

fn record_fits(high: u8, low: u8) -> bool {
    (1..=RECORD_LIMIT).contains(&u16::from_be_bytes([high, low]))
}

#[derive(Debug, Default)]
struct Tls {
    /// Handshake messages that span records.
    pieces: [Vec<u8>; 2],
    client: Option<Hello>,
    server: Option<ServerHello>,
    summary: Summary,
    /// The server's part: its start, last record and bytes.
    since: Option<Mark>,
    last: Option<Mark>,
    bytes: u64,
    /// ChangeCipherSpec was seen from that side: what follows is encrypted.
    changed: [bool; 2],
    /// The server asked for another ClientHello.
    retried: bool,
    done: bool,
}

impl Parser for Tls {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if self.done && side == Side::Client && !matches!(input.bytes, [HANDSHAKE, 3, _, _, _, 1, ..]) {
            return Step::Consume(u64::MAX);
        }
        let mut cursor = Cursor::new(input.bytes);
        let (Some(kind), Some(version), Some(length)) = (cursor.u8(), cursor.u16(), cursor.u16()) else {
            return Step::More(5);
        };
        if !(CHANGE_CIPHER_SPEC..=24).contains(&kind) || version >> 8 != 3 || length > RECORD_LIMIT {
            return Step::Reject("not a TLS record");
        }
        let length = usize::from(length);
        let total = length as u64 + 5;
        let read = matches!(kind, HANDSHAKE | ALERT) && !self.changed[side.index()] && !self.done;
        if read && cursor.rest().len() < length && !input.cut {
            return Step::More(length + 5);
        }
        let body = cursor.up_to(length);
        let cut = body.len() < length;
        out.hold = true;
        if side == Side::Server {
            self.since.get_or_insert(out.mark);
            self.bytes += total;
        }
        match kind {
            HANDSHAKE if read => {
                if side == Side::Client && self.server.is_some() {
                    // The client goes on: the server's part is over in TLS 1.3, and nearly so before.
                    self.summary.client_spoke = true;
                }
                self.handshake(side, body, cut, out);
            }
            HANDSHAKE if side == Side::Server && self.changed[1] => {
                // The server's Finished, encrypted: the end of a handshake before TLS 1.3.
                out.hold = false;
                self.finish(None, out);
            }
            // Both sides may send one behind a HelloRetryRequest, for boxes in between (RFC 8446 appendix D.4): nothing is encrypted yet.
            CHANGE_CIPHER_SPEC if self.retried && self.server.is_none() => {}
            CHANGE_CIPHER_SPEC => {
                let modern = self.server.as_ref().is_some_and(ServerHello::is_13);
                if !modern {
                    self.changed[side.index()] = true;
                } else if side == Side::Client {
                    self.finish(self.last, out);
                }
            }
            ALERT if read => {
                if let [level, code, ..] = body {
                    self.summary.alert = Some((side, *level, *code));
                    if *level == 2 {
                        out.hold = false;
                        self.finish(if side == Side::Client { self.last.or(Some(out.mark)) } else { None }, out);
                    }
                }
            }
            APPLICATION_DATA if side == Side::Client && self.server.is_some() => self.finish(self.last, out),
            _ => {}
        }
        if side == Side::Server {
            self.last = Some(out.mark);
        }
        if self.done || side == Side::Client && self.client.is_none() {
            out.hold = false;
        }
        Step::Consume(total)
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        matches!(bytes, [CHANGE_CIPHER_SPEC..=APPLICATION_DATA, 3, 0..=4, high, low, ..] if record_fits(*high, *low))
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        self.pieces[side.index()].clear();
        if side == Side::Server && self.server.is_some() && !self.done {
            self.finish(None, out);
        }
    }

    fn close(&mut self, out: &mut Output<'_>) {
        if self.server.is_some() && !self.done {
            self.finish(self.last, out);
        }
    }
}

impl Tls {
    /// Handshake messages inside records.
    fn handshake(&mut self, side: Side, body: &[u8], cut: bool, out: &mut Output<'_>) {
        let mut pieces = std::mem::take(&mut self.pieces[side.index()]);
        pieces.extend_from_slice(body);
        let mut cursor = Cursor::new(&pieces);
        let mut used = 0;
        while let (Some(kind), Some(length)) = (cursor.u8(), cursor.u24()) {
            let length = length as usize;
            let message = cursor.up_to(length);
            let whole = message.len() == length;
            if !whole && !cut {
                break;
            }
            used = cursor.position();
            match (side, kind) {
                (Side::Client, 1) => {
                    if let Some(hello) = Hello::parse(message, whole) {
                        if self.client.is_none() || self.done {
                            let (summary, done) = (Summary::default(), false);
                            (self.summary, self.done, self.server) = (summary, done, None);
                            (self.since, self.last, self.bytes, self.changed) = (None, None, 0, [false; 2]);
                            self.retried = false;
                            let fields = hello.fields(b't');
                            out.hold = false;
                            out.emit(Message::new(Kind::Request, fields).truncated(!whole));
                        }
                        self.client = Some(hello);
                    }
                }
                (Side::Server, 2) => {
                    if let Some(hello) = ServerHello::parse(message) {
                        if hello.is_retry() {
                            self.retried = true;
                        } else {
                            self.server = Some(hello);
                        }
                    }
                }
                (Side::Server, 11) => self.summary.certificate = certificate::first(message),
                (Side::Client, 16) => self.summary.full = true,
                _ => {}
            }
        }
        pieces.drain(..used);
        if pieces.len() < HANDSHAKE_LIMIT && !cut {
            self.pieces[side.index()] = pieces;
        }
    }

    /// The handshake is over: `end` is where the server's part ended, if not with this step.
    fn finish(&mut self, end: Option<Mark>, out: &mut Output<'_>) {
        if self.done {
            return;
        }
        self.done = true;
        // Neither the server's hello nor a refusal was seen, but what comes behind them.
        let missing = self.client.is_some() && self.server.is_none() && self.summary.alert.is_none();
        let summary = std::mem::take(&mut self.summary);
        let mut fields = summary.fields(self.client.as_ref(), self.server.as_ref());
        if self.retried {
            fields.attributes.push(("hello_retry", "true".into()));
        }
        let mut message = Message::new(Kind::Response, fields).since(self.since.unwrap_or(out.mark));
        message.end = end;
        if missing {
            message.completeness.add(Completeness::GAP);
        }
        if end.is_some() {
            message.bytes = Some(self.bytes);
        }
        out.emit(message);
    }
}
