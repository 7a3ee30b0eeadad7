//! FastCGI: HTTP between a web server and its application, in records of several streams, paired by request id.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::{Detection, First, Input, Kind, Mark, Message, Output, Parser, Protocol, Step, cgi};
use crate::model::{RequestFields, Side, Status, Transport};
use message::{ABORT, BEGIN, END, HEAD, PARAMS, Record, STDERR, STDIN, STDOUT};
use std::collections::BTreeMap;

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "fastcgi",
    ports: &[9000],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(FastCgi::default()),
};

/// Bytes of params that are kept per request.
const PARAMS_LIMIT: usize = 16 * 1024;
/// Bytes of output, and of errors, that are kept per request.
const OUTPUT_LIMIT: usize = 1024;
/// Requests in progress that are kept.
const IN_PROGRESS: usize = 64;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.len() < HEAD {
        let fits = bytes.iter().zip([1..=1, 1..=11]).all(|(byte, range)| range.contains(byte));
        return if fits && !first.whole && !bytes.is_empty() { Detection::More } else { Detection::No };
    }
    let Some(record) = Record::parse(bytes) else {
        return Detection::No;
    };
    let body = bytes.get(HEAD..).unwrap_or_default();
    let yes = |confidence, side| Detection::Yes { confidence, from: Some(side) };
    match (record.kind, body) {
        // A role, a flag, five bytes of nothing.
        (BEGIN, [0, 1..=3, 0 | 1, 0, 0, 0, 0, 0, ..]) => yes(92, Side::Client),
        (BEGIN, body) if body.len() < 8 && !first.whole => Detection::More,
        (STDOUT, body) if record.length > 0 => {
            let text = body.get(..16.min(usize::from(record.length))).unwrap_or(body);
            if text.len() < 8 && !first.whole {
                return Detection::More;
            }
            let header = text.iter().all(|byte| (0x20..0x7f).contains(byte) || matches!(byte, b'\r' | b'\n'));
            if header && text.len() >= 8 { yes(70, Side::Server) } else { Detection::No }
        }
        _ => Detection::No,
    }
}

/// A request in progress.
#[derive(Debug)]
struct Exchange {
    asked: Option<Mark>,
    asked_bytes: u64,
    params: Vec<u8>,
    answered: Option<Mark>,
    answered_bytes: u64,
    output: Vec<u8>,
    errors: Vec<u8>,
    /// The request was yielded.
    told: bool,
    cut: bool,
}

#[derive(Debug, Default)]
struct FastCgi {
    exchanges: BTreeMap<u16, Exchange>,
}

impl Parser for FastCgi {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        if input.bytes.len() < HEAD {
            return Step::More(HEAD);
        }
        let Some(record) = Record::parse(input.bytes) else {
            return Step::Reject("not a record");
        };
        let limit = match record.kind {
            PARAMS => PARAMS_LIMIT,
            STDOUT | STDERR => OUTPUT_LIMIT,
            END => 8,
            _ => 0,
        };
        let wanted = usize::from(record.length).min(limit);
        if input.bytes.len() < HEAD + wanted && !input.cut {
            return Step::More(HEAD + wanted);
        }
        let body = input.bytes.get(HEAD..).unwrap_or_default();
        let body = body.get(..wanted).unwrap_or(body);
        self.record(side, record, body, body.len() < wanted, out);
        Step::Consume(record.total())
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        Record::parse(bytes).is_some_and(|record| match side {
            Side::Client => matches!(record.kind, BEGIN | PARAMS | STDIN),
            Side::Server => matches!(record.kind, STDOUT | STDERR | END),
        })
    }

    fn lost(&mut self, _side: Side, _out: &mut Output<'_>) {
        for exchange in self.exchanges.values_mut() {
            exchange.cut = true;
        }
    }

    fn close(&mut self, out: &mut Output<'_>) {
        // Requests whose input, and responses whose output, never ended.
        for (id, mut exchange) in std::mem::take(&mut self.exchanges) {
            exchange.cut = true;
            if exchange.answered.is_some() {
                exchange.finish(id, &[], out);
            } else if let Some(message) = exchange.request(id, out) {
                out.emit(message);
            }
        }
    }
}

impl FastCgi {
    fn record(&mut self, side: Side, record: Record, body: &[u8], cut: bool, out: &mut Output<'_>) {
        let id = record.id;
        if record.kind == BEGIN || !self.exchanges.contains_key(&id) {
            // The end of a stream that nothing is known of begins nothing.
            if id == 0 || self.exchanges.len() >= IN_PROGRESS || matches!(record.kind, END | ABORT | STDIN) {
                return;
            }
            if let Some(before) = self.exchanges.insert(id, Exchange::new()) {
                // The id is used again: its last exchange is over, and how it ended was in what is missing.
                before.end_missed(id, out);
            }
        }
        let mark = out.mark;
        let Some(exchange) = self.exchanges.get_mut(&id) else {
            return;
        };
        exchange.cut |= cut;
        match side {
            Side::Client => {
                exchange.asked.get_or_insert(mark);
                exchange.asked_bytes += record.total();
            }
            Side::Server => {
                exchange.answered.get_or_insert(mark);
                exchange.answered_bytes += record.total();
            }
        }
        match record.kind {
            PARAMS => keep(&mut exchange.params, body, PARAMS_LIMIT),
            STDOUT => keep(&mut exchange.output, body, OUTPUT_LIMIT),
            STDERR => keep(&mut exchange.errors, body, OUTPUT_LIMIT),
            STDIN if record.length == 0 && !exchange.told => {
                if let Some(mut message) = exchange.request(id, out) {
                    message.end = None;
                    out.emit(message);
                }
                exchange.told = true;
            }
            END => {
                if let Some(exchange) = self.exchanges.remove(&id) {
                    exchange.finish(id, body, out);
                }
            }
            _ => {}
        }
    }
}

impl Exchange {
    fn new() -> Self {
        Self {
            asked: None,
            asked_bytes: 0,
            params: Vec::new(),
            answered: None,
            answered_bytes: 0,
            output: Vec::new(),
            errors: Vec::new(),
            told: false,
            cut: false,
        }
    }

    /// The request, unless it was yielded; it ends where it starts unless told otherwise.
    fn request(&self, id: u16, out: &mut Output<'_>) -> Option<Message> {
        let start = self.asked.filter(|_| !self.told)?;
        let mut fields = cgi::request("fastcgi", message::pairs(&self.params), out.mask);
        fields.session_id = Some(u64::from(id));
        let mut message = Message::new(Kind::Request, fields).keyed(u64::from(id)).since(start).truncated(self.cut);
        message.end = Some(start);
        message.bytes = Some(self.asked_bytes);
        Some(message)
    }

    /// The end was not seen.
    fn end_missed(mut self, id: u16, out: &mut Output<'_>) {
        self.cut = true;
        if self.answered.is_none() {
            let request = self.request(id, out);
            out.messages.extend(request);
            return;
        }
        self.finish(id, &[], out);
        if let Some(response) = out.messages.last_mut() {
            response.ends_elsewhere = true;
        }
    }

    fn finish(self, id: u16, body: &[u8], out: &mut Output<'_>) {
        // The application may answer before it has read all input.
        if let Some(message) = self.request(id, out) {
            out.emit(message);
        }
        let mut fields = cgi::response("fastcgi", &self.output, &self.errors);
        if let Some(status @ 1..) = body.get(4).copied().filter(|_| body.len() >= 5) {
            // The protocol's own status: cannot multiplex, overloaded, unknown role.
            fields = RequestFields { status: Status::ServerError, code: Some(i32::from(status)), ..fields };
            if fields.exception.is_empty() {
                fields.exception = match status {
                    1 => "FCGI_CANT_MPX_CONN",
                    2 => "FCGI_OVERLOADED",
                    3 => "FCGI_UNKNOWN_ROLE",
                    _ => "",
                }
                .into();
            }
        }
        let start = self.answered.unwrap_or(out.mark);
        let mut message = Message::new(Kind::Response, fields).keyed(u64::from(id)).since(start).truncated(self.cut);
        message.bytes = Some(self.answered_bytes);
        out.emit(message);
    }
}

fn keep(kept: &mut Vec<u8>, more: &[u8], limit: usize) {
    let room = limit.saturating_sub(kept.len());
    kept.extend_from_slice(more.get(..room).unwrap_or(more));
}
