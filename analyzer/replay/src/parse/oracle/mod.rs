//! Oracle: TNS packets (connect, accept, refuse, redirect, data), and inside of data the calls of the two-task interface
//! as far as they are known.
//!
//! Oracle has published neither. Source: Wireshark's `packet-tns.c`, python-oracledb (`impl/thin`), go-ora.

mod message;
mod packet;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::{Input, Kind, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{RequestFields, Side};
use message::{Answer, Call};
use packet::{ACCEPT, CONNECT, DATA, HEAD, Head, REDIRECT, REFUSE, RESEND};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "oracle",
    ports: &[1521],
    timeout: 120_000_000_000,
    detect: packet::detect,
    start: |_| Box::new(Oracle::default()),
};

/// Bytes of a packet looked at: all of an ordinary one.
const WINDOW: usize = 16 * 1024;
/// Since this version sizes of packets take four bytes.
const WIDE_VERSION: u16 = 315;

/// An answer goes on until the client asks again.
#[derive(Debug)]
struct Answering {
    start: Mark,
    end: Mark,
    bytes: u64,
    answer: Answer,
    cut: bool,
}

#[derive(Debug, Default)]
struct Oracle {
    /// Sizes of packets take four bytes.
    wide: bool,
    service: Box<str>,
    version: &'static str,
    /// A connect packet whose text comes in a packet of its own.
    connecting: Option<Mark>,
    /// Calls that await an answer.
    outstanding: u32,
    /// The call's first packet has come, more may follow.
    asking: bool,
    answering: Option<Answering>,
}

impl Oracle {
    fn request(&mut self, fields: RequestFields, start: Mark, cut: bool, out: &mut Output<'_>) {
        self.outstanding += 1;
        out.emit(Message::new(Kind::Request, fields).since(start).truncated(cut));
    }

    /// The answer in progress is over.
    fn flush(&mut self, out: &mut Output<'_>) {
        let Some(Answering { start, end, bytes, answer, cut }) = self.answering.take() else {
            return;
        };
        self.outstanding = self.outstanding.saturating_sub(1);
        let mut message = Message::new(Kind::Response, answer.fields(out.mask)).since(start).truncated(cut);
        message.end = Some(end);
        message.bytes = Some(bytes);
        out.emit(message);
    }

    fn client(&mut self, head: Head, body: &[u8], cut: bool, out: &mut Output<'_>) {
        match head.kind {
            CONNECT => {
                self.flush(out);
                let (fields, text_follows) = message::connect(body);
                self.service = fields.request_domain.clone();
                self.version = fields.version;
                if text_follows {
                    self.connecting = Some(out.mark);
                } else {
                    self.request(fields, out.mark, cut, out);
                }
            }
            DATA => {
                if let Some(start) = self.connecting.take() {
                    let mut fields = message::connect_text(body.get(2..).unwrap_or_default());
                    fields.version = self.version;
                    self.service = fields.request_domain.clone();
                    self.request(fields, start, cut, out);
                    return;
                }
                let goes_on = self.asking && self.answering.is_none();
                let Some(call) = Call::parse(body, goes_on, out.mask) else {
                    return;
                };
                self.flush(out);
                self.asking = true;
                let mut fields = call.fields;
                fields.request_domain = self.service.clone();
                fields.version = self.version;
                self.request(fields, out.mark, cut, out);
            }
            _ => {}
        }
    }

    fn server(&mut self, head: Head, body: &[u8], cut: bool, out: &mut Output<'_>) {
        self.asking = false;
        let answer = match head.kind {
            ACCEPT => {
                let version = message::version_of(body);
                self.wide = version >= WIDE_VERSION;
                Answer::accepted(version)
            }
            REFUSE => Answer::refused(body),
            REDIRECT => Answer::redirected(body),
            RESEND => Answer::resend(),
            DATA => {
                if let Some(answering) = &mut self.answering {
                    answering.end = Mark { offset: out.mark.offset + head.total(), ..out.mark };
                    answering.bytes += head.total();
                    answering.cut |= cut;
                    answering.answer.read(body);
                    return;
                }
                if self.outstanding == 0 {
                    return;
                }
                let mut answer = Answer::default();
                answer.read(body);
                answer
            }
            _ => return,
        };
        let end = Mark { offset: out.mark.offset + head.total(), ..out.mark };
        self.answering = Some(Answering { start: out.mark, end, bytes: head.total(), answer, cut });
        if head.kind != DATA {
            self.flush(out);
        }
    }
}

impl Parser for Oracle {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let Some(head) = Head::parse(input.bytes, self.wide) else {
            return Step::Reject("not a packet of TNS");
        };
        let view = match view(input, head.total(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        let body = view.bytes.get(HEAD..).unwrap_or_default();
        match side {
            Side::Client => self.client(head, body, view.cut, out),
            Side::Server => self.server(head, body, view.cut, out),
        }
        Step::Consume(head.total())
    }

    fn resumes(&self, _side: Side, bytes: &[u8]) -> bool {
        Head::parse(bytes, self.wide).is_some_and(|head| head.total() <= 1 << 16)
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        if side == Side::Server {
            if let Some(answering) = &mut self.answering {
                answering.cut = true;
            }
            self.flush(out);
        }
        self.connecting = None;
    }

    fn close(&mut self, out: &mut Output<'_>) {
        self.flush(out);
    }
}
