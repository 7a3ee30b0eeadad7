//! MySQL's X protocol (`mysqlx.proto` of MySQL 8, port 33060): messages of Protocol Buffers, answered in order, pipelined or not.
//!
//! A frame is its length (four bytes, little endian, the type included), a type and a message.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, Switch};
use crate::model::{RequestFields, Side, Status, Transport};
use message::{Answer, Statements};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "mysqlx",
    ports: &[33060],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(MySqlX::default()),
};

/// Length and type.
const HEAD: usize = 5;
/// Bytes of a message looked at: statements stand in front.
const WINDOW: usize = 4096;
/// Largest frame that is believed (`mysqlx_max_allowed_packet` is 64 MB, 1 GB at most).
const LIMIT: u32 = 1 << 30;

/// Bytes of a frame behind its length, and its type.
fn head(bytes: &[u8]) -> Option<(u32, u8)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    Some((length, *rest.first()?)).filter(|(length, _)| (1..=LIMIT).contains(length))
}

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let Some((length, kind)) = head(first.bytes) else {
        let fits = matches!(first.bytes, [1..=255, 0] | [1..=255, 0, 0] | [1..=255, 0, 0, 0]);
        return if fits && !first.whole { Detection::More } else { Detection::No };
    };
    let body = first.bytes.get(HEAD..).unwrap_or_default();
    match body.get(..length as usize - 1) {
        Some(body) => message::recognise(kind, body),
        None if length < 512 && message::may_begin(kind, body) && !first.whole => Detection::More,
        None => Detection::No,
    }
}

#[derive(Debug, Default)]
struct MySqlX {
    statements: Statements,
    /// The answer that is being read, and where it began.
    answer: Option<(Mark, Answer)>,
    /// TLS was asked for, and is to come if the server agrees.
    asks_tls: bool,
    tls: bool,
    /// Pipelined commands that wait for their answers.
    waiting: usize,
}

impl MySqlX {
    fn command(&mut self, kind: u8, body: &[u8], cut: bool, out: &mut Output<'_>) {
        self.asks_tls = kind == message::CAPABILITIES_SET && message::asks_tls(body);
        let fields = self.statements.request(kind, body, out.mask);
        self.waiting += 1;
        out.emit(Message::new(Kind::Request, fields).truncated(cut));
    }

    fn reply(&mut self, kind: u8, body: &[u8], cut: bool, out: &mut Output<'_>) {
        if self.answer.is_none() && self.waiting == 0 && kind == message::NOTICE {
            // The server greets, or tells what concerns all.
            let fields =
                RequestFields { request_type: "Notice".into(), status: Status::Ok, ..RequestFields::default() };
            out.emit(Message::new(Kind::OneWay, fields));
            return;
        }
        let (start, mut answer) = self.answer.take().unwrap_or_else(|| (out.mark, Answer::default()));
        answer.cut |= cut;
        if answer.read(kind, body) {
            self.waiting = self.waiting.saturating_sub(1);
            self.tls |= self.asks_tls && !answer.is_error();
            let cut = answer.cut;
            let fields = answer.fields(out.mask);
            out.emit(Message::new(Kind::Response, fields).since(start).truncated(cut));
        } else {
            out.hold = true;
            self.answer = Some((start, answer));
        }
    }
}

impl Parser for MySqlX {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if self.tls && matches!(input.bytes, [0x16, 3, ..]) {
            out.switch = Some(Switch::To("tls"));
            return Step::Consume(0);
        }
        let Some((length, kind)) = head(input.bytes) else {
            return if input.bytes.len() < HEAD { Step::More(HEAD) } else { Step::Reject("length of a frame") };
        };
        if message::name(side, kind).is_none() {
            return Step::Reject("unknown message");
        }
        let total = u64::from(length) + 4;
        let view = match view(input, total, if side == Side::Client { WINDOW } else { message::answers_in(kind) }) {
            Ok(view) => view,
            Err(wait) => {
                out.hold = self.answer.is_some() && side == Side::Server;
                return wait;
            }
        };
        let body = view.bytes.get(HEAD..).unwrap_or_default();
        match side {
            Side::Client => self.command(kind, body, view.cut, out),
            Side::Server => self.reply(kind, body, view.cut, out),
        }
        Step::Consume(total)
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        let Some((length, kind)) = head(bytes) else { return false };
        let body = bytes.get(HEAD..).unwrap_or_default();
        message::name(side, kind).is_some()
            && body.get(..length as usize - 1).is_some_and(|body| message::is_sound(side, kind, body))
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        self.waiting = 0;
        if side == Side::Server
            && let Some((start, answer)) = self.answer.take()
        {
            let fields = answer.fields(out.mask);
            out.emit(Message::new(Kind::Response, fields).since(start).truncated(true));
        }
    }
}
