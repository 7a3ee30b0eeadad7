//! Handshakes of DTLS (RFC 4347, 6347, 9147): as those of TLS, in datagrams, so that messages come in pieces, twice and in any order.
//! One request per handshake, from the first ClientHello to the end of the server's part; the hello that is said again with the
//! server's cookie belongs to it. What follows is encrypted and passed over.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::tls::message::{Hello, ServerHello, Summary};
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side, Transport};
use message::{Content, Pieces, Record};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "dtls",
    ports: &[443, 853, 4433, 5349, 5684],
    timeout: 15_000_000_000,
    detect,
    start: |_| Box::new(Dtls::default()),
};

/// Records in one datagram.
const RECORDS: usize = 64;

fn detect(first: First<'_>) -> Detection {
    if first.transport != Transport::Udp {
        return Detection::No;
    }
    let Some((record, _)) = Record::parse(first.bytes) else {
        return Detection::No;
    };
    let yes = |confidence, from| Detection::Yes { confidence, from };
    match (record.content, record.epoch, record.body) {
        (Content::Handshake, 0, [1, ..]) => yes(96, Some(Side::Client)),
        (Content::Handshake, 0, [2 | 3, ..]) => yes(95, Some(Side::Server)),
        (Content::Handshake | Content::Alert, 0, _) => yes(70, None),
        // Joined in the middle: what is encrypted says no more than its head does.
        _ if record.whole => yes(60, None),
        _ => Detection::No,
    }
}

#[derive(Debug, Default)]
struct Dtls {
    pieces: [Pieces; 2],
    client: Option<Hello>,
    server: Option<ServerHello>,
    summary: Summary,
    since: Option<Mark>,
    last: Option<Mark>,
    bytes: u64,
    asked: bool,
    done: bool,
}

impl Parser for Dtls {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let mut rest = input.bytes;
        let mut any = false;
        for _ in 0..RECORDS {
            let Some((record, more)) = Record::parse(rest) else { break };
            any = true;
            if record.epoch == 0 {
                self.record(side, &record, out);
            } else if side == Side::Client && self.server.is_some() {
                self.finish(out);
            }
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        // Peers also speak STUN and RTP there (RFC 7983).
        let other = matches!(input.bytes.first(), Some(0..=3 | 0x20..=0x3f | 64..=79 | 128..=191));
        if !any && !other {
            return Step::Reject("not a record of DTLS");
        }
        if side == Side::Server && self.server.is_some() && !self.done {
            self.last = Some(out.mark);
            self.bytes += input.bytes.len() as u64;
        }
        Step::Consume(input.bytes.len() as u64)
    }

    fn resumes(&self, _side: Side, _bytes: &[u8]) -> bool {
        true
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {}

    fn close(&mut self, out: &mut Output<'_>) {
        if self.server.is_some() {
            self.finish(out);
        }
    }
}

impl Dtls {
    fn record(&mut self, side: Side, record: &Record<'_>, out: &mut Output<'_>) {
        match record.content {
            Content::Handshake => {
                self.pieces[side.index()].add(record.body);
                while let Some((kind, body)) = self.pieces[side.index()].next() {
                    self.message(side, kind, &body, true, out);
                }
                if !record.whole
                    && let Some((kind, body)) = self.pieces[side.index()].begun()
                {
                    self.message(side, kind, &body, false, out);
                }
            }
            Content::Alert => {
                if let [level, code, ..] = record.body {
                    self.summary.alert = Some((side, *level, *code));
                    if *level == 2 && self.asked {
                        if side == Side::Server {
                            self.last = Some(out.mark);
                        }
                        self.finish(out);
                    }
                }
            }
            // The server's part is over where it turns to its keys, or the client does.
            Content::ChangeCipherSpec if self.server.is_some() => {
                if side == Side::Server {
                    self.last = Some(out.mark);
                }
                self.finish(out);
            }
            _ => {}
        }
    }

    fn message(&mut self, side: Side, kind: u8, body: &[u8], whole: bool, out: &mut Output<'_>) {
        match (side, kind) {
            (Side::Client, 1) => {
                let Some(hello) = Hello::in_datagram(body, whole) else { return };
                if self.done {
                    // Another handshake between the same ends.
                    let pieces = std::mem::take(&mut self.pieces);
                    *self = Self { pieces, ..Self::default() };
                    self.pieces[Side::Server.index()] = Pieces::default();
                }
                if !self.asked {
                    self.asked = true;
                    let fields = RequestFields { l7_protocol: "dtls", ..hello.fields(b'd') };
                    out.emit(Message::new(Kind::Request, fields).truncated(!whole));
                }
                self.client = Some(hello);
            }
            (Side::Server, 2) if whole && self.server.is_none() => {
                if let Some(hello) = ServerHello::parse(body).filter(|hello| !hello.is_retry()) {
                    self.since = Some(out.mark);
                    self.last = Some(out.mark);
                    let modern = hello.is_13();
                    self.server = Some(hello);
                    if modern {
                        // All else is encrypted.
                        self.finish(out);
                    }
                }
            }
            (Side::Server, 11) => self.summary.certificate = super::tls::first_certificate(body),
            (Side::Server, 14) if self.server.is_some() => {
                self.last = Some(out.mark);
            }
            (Side::Client, 16) => self.summary.full = true,
            _ => {}
        }
    }

    /// The handshake is over.
    fn finish(&mut self, out: &mut Output<'_>) {
        if self.done || !self.asked && self.server.is_none() {
            return;
        }
        self.done = true;
        let summary = std::mem::take(&mut self.summary);
        let fields = summary.fields(self.client.as_ref(), self.server.as_ref());
        let fields = RequestFields { l7_protocol: "dtls", ..fields };
        let mut message = Message::new(Kind::Response, fields).since(self.since.unwrap_or(out.mark));
        message.end = self.last;
        if self.bytes > 0 {
            message.bytes = Some(self.bytes);
        }
        out.emit(message);
    }
}
