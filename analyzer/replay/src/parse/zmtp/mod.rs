//! ZMTP, ZeroMQ's protocol: greetings, commands, and messages of any number of frames.
//!
//! Source: RFC 23/ZMTP 3.0, 37/ZMTP 3.1, 24/ZMTP-PLAIN, 25/ZMTP-CURVE, 15/ZMTP 2.0 of rfc.zeromq.org. Either side may listen.

mod message;
#[cfg(test)]
pub(super) mod tests;

use super::frame::view;
use super::{Detection, First, Input, Mark, Message, Output, Parser, Protocol, Step};
use crate::model::{Side, Transport};
use message::{Greeting, Head, Known, Multipart};

/// Line in the registry.
pub(super) static PROTOCOL: Protocol = Protocol {
    name: "zmtp",
    ports: &[5555, 5556],
    timeout: 120_000_000_000,
    detect,
    start: |_| Box::new(Zmtp::default()),
};

/// Bytes of a frame looked at.
const WINDOW: usize = 512;

fn detect(first: First<'_>) -> Detection {
    if !matches!(first.transport, Transport::Tcp | Transport::Unix) {
        return Detection::No;
    }
    let bytes = first.bytes;
    if bytes.first() == Some(&0xff) {
        return match Greeting::parse(bytes) {
            Ok(_) => Detection::Yes { confidence: 95, from: None },
            Err(true) if bytes.len() >= 10 => Detection::Yes { confidence: 90, from: None },
            Err(true) if !first.whole => Detection::More,
            Err(_) => Detection::No,
        };
    }
    // In the middle of a stream only commands are like nothing else.
    match Head::parse(bytes) {
        Some(head) if head.is_command() && head.command(bytes).is_some() => {
            Detection::Yes { confidence: 70, from: None }
        }
        _ => Detection::No,
    }
}

/// What a side is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Nothing was seen of it.
    #[default]
    Start,
    /// ZMTP 2.0: its identity.
    Identity,
    Frames,
}

#[derive(Debug, Default)]
struct Zmtp {
    phases: [Phase; 2],
    known: Known,
    /// The message of each side whose last frame has not come.
    parts: [Option<(Mark, Multipart)>; 2],
}

impl Zmtp {
    fn frame(&mut self, side: Side, head: Head, bytes: &[u8], cut: bool, out: &mut Output<'_>) {
        if head.is_command() {
            let (kind, fields) = self.known.command(side, head, bytes, out.mask);
            out.emit(Message::new(kind, fields).truncated(cut));
            return;
        }
        let (start, mut parts) =
            self.parts.get_mut(side.index()).and_then(Option::take).unwrap_or((out.mark, Multipart::default()));
        parts.add(head, bytes, cut);
        if head.more() {
            if let Some(place) = self.parts.get_mut(side.index()) {
                *place = Some((start, parts));
            }
            return;
        }
        let cut = parts.cut;
        let (kind, fields) = self.known.message(side, &parts);
        out.emit(Message::new(kind, fields).since(start).truncated(cut));
    }
}

impl Parser for Zmtp {
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step {
        let phase = self.phases.get(side.index()).copied().unwrap_or_default();
        if phase == Phase::Start && input.bytes.first() == Some(&0xff) {
            let greeting = match Greeting::parse(input.bytes) {
                Ok(greeting) => greeting,
                Err(true) => return Step::More(input.bytes.len() + 1),
                Err(false) => return Step::Reject("not a greeting of ZMTP"),
            };
            if let Some(phase) = self.phases.get_mut(side.index()) {
                *phase = if greeting.major < 3 { Phase::Identity } else { Phase::Frames };
            }
            let (kind, fields) = self.known.greeting(side, greeting);
            out.emit(Message::new(kind, fields));
            return Step::Consume(greeting.len as u64);
        }
        let Some(head) = Head::parse(input.bytes) else {
            return if Head::fits(input.bytes) {
                Step::More(input.bytes.len() + 1)
            } else {
                Step::Reject("not a frame of ZMTP")
            };
        };
        let view = match view(input, head.total(), WINDOW) {
            Ok(view) => view,
            Err(wait) => return wait,
        };
        if let Some(place) = self.phases.get_mut(side.index()) {
            *place = Phase::Frames;
        }
        if phase != Phase::Identity {
            self.frame(side, head, view.bytes, view.cut, out);
        }
        Step::Consume(head.total())
    }

    fn resumes(&self, side: Side, bytes: &[u8]) -> bool {
        if self.phases.get(side.index()) == Some(&Phase::Start) && bytes.first() == Some(&0xff) {
            return true;
        }
        // A frame's head is weak; a whole frame, or a command, is better.
        Head::parse(bytes).is_some_and(|head| {
            head.command(bytes).is_some() || !head.is_command() && head.total() == bytes.len() as u64
        })
    }

    fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        if let Some((start, mut parts)) = self.parts.get_mut(side.index()).and_then(Option::take) {
            parts.cut = true;
            let (kind, fields) = self.known.message(side, &parts);
            out.emit(Message::new(kind, fields).since(start).truncated(true));
        }
    }
}
