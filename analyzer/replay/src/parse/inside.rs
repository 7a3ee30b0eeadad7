//! A stream of bytes inside the messages of another protocol: TLS in OpenVPN's control channel, MQTT in WebSocket messages.
//!
//! The outer parser hands over what a message carries; rows of the inner protocol go out with the outer step, and start where the bytes
//! came that they are made of.

use super::half::BUFFER_LIMIT;
use super::{Detection, First, Input, Mark, Output, Parser, Protocol, Step, Switch, registry};
use crate::model::{Side, Transport};

/// From here on a protocol is believed.
const BELIEVED: u8 = 80;
/// Bytes without an answer to what they are, after which nobody is asked any more.
const UNKNOWN: usize = 4096;

/// What waits on one side.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Bytes of the inner stream before them.
    offset: u64,
    /// Where the first of them came.
    since: Option<Mark>,
    /// Bytes still to be passed over.
    skip: u64,
    /// The message in progress goes on behind them.
    hold: bool,
    /// The place in the stream is lost.
    lost: bool,
}

/// An inner stream, both directions.
pub(super) struct Inside {
    /// Who may be found in it.
    candidates: &'static [&'static Protocol],
    speaking: Option<(&'static Protocol, Box<dyn Parser>)>,
    sides: [Waiting; 2],
    /// Nobody understands it.
    opaque: bool,
}

impl std::fmt::Debug for Inside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.speaking.as_ref().map_or("", |(protocol, _)| protocol.name);
        f.debug_struct("Inside").field("speaking", &name).field("opaque", &self.opaque).finish_non_exhaustive()
    }
}

impl Inside {
    /// One of these protocols may be inside.
    pub(super) fn of(candidates: &'static [&'static Protocol]) -> Self {
        Self { candidates, speaking: None, sides: Default::default(), opaque: false }
    }

    /// Whether it is not yet known to be of no interest.
    pub(super) fn is_open(&self) -> bool {
        !self.opaque
    }

    /// How many of the next bytes of `side` need not be looked at.
    pub(super) fn skips(&self, side: Side) -> u64 {
        if self.opaque { u64::MAX } else { self.sides[side.index()].skip }
    }

    /// So many bytes of `side` were passed over: those that need not be looked at.
    pub(super) fn skipped(&mut self, side: Side, len: u64, out: &mut Output<'_>) {
        let waiting = &mut self.sides[side.index()];
        waiting.skip = waiting.skip.saturating_sub(len);
        waiting.offset += len;
        out.hold |= waiting.hold || waiting.skip > 0;
    }

    /// The next bytes of `side`; `cut`: those behind them were not captured. `out.hold` says afterwards whether a message goes on.
    pub(super) fn bytes(&mut self, side: Side, bytes: &[u8], cut: bool, out: &mut Output<'_>) {
        if self.opaque {
            return;
        }
        let waiting = &mut self.sides[side.index()];
        let skipped = usize::try_from(waiting.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
        waiting.skip -= skipped as u64;
        waiting.offset += skipped as u64;
        let rest = bytes.get(skipped..).unwrap_or_default();
        if !rest.is_empty() {
            if waiting.lost {
                let Some((_, parser)) = &self.speaking else { return };
                if !parser.resumes(side, rest) {
                    waiting.offset += rest.len() as u64;
                    return;
                }
                waiting.lost = false;
            }
            waiting.since.get_or_insert(out.mark);
            waiting.bytes.extend_from_slice(rest);
            self.parse(side, cut, out);
            if std::mem::take(&mut out.kick) {
                self.parse(side.other(), false, out);
            }
        }
        let waiting = &self.sides[side.index()];
        out.hold = waiting.hold || waiting.skip > 0;
    }

    /// Bytes of `side` are missing.
    pub(super) fn lost(&mut self, side: Side, out: &mut Output<'_>) {
        let waiting = &mut self.sides[side.index()];
        let offset = waiting.offset + waiting.bytes.len() as u64;
        *waiting = Waiting { lost: true, offset, ..Waiting::default() };
        match &mut self.speaking {
            Some((protocol, parser)) => {
                let before = out.messages.len();
                parser.lost(side, out);
                name(protocol, None, Some(offset), out, before);
            }
            None => self.opaque = true,
        }
    }

    /// No more comes.
    pub(super) fn close(&mut self, out: &mut Output<'_>) {
        if let Some((protocol, parser)) = &mut self.speaking {
            let before = out.messages.len();
            parser.close(out);
            name(protocol, None, Some(self.sides[Side::Server.index()].offset), out, before);
        }
    }

    fn parse(&mut self, side: Side, cut: bool, out: &mut Output<'_>) {
        let mut at = 0;
        let bytes = std::mem::take(&mut self.sides[side.index()].bytes);
        let (since, offset) = (self.sides[side.index()].since, self.sides[side.index()].offset);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.speaking.is_none() && !self.find(rest) {
                break;
            }
            let Some((protocol, parser)) = &mut self.speaking else { break };
            let full = cut || rest.len() >= BUFFER_LIMIT;
            // What waited before these bytes starts where it came.
            let start = if at == 0 { since.unwrap_or(out.mark) } else { out.mark };
            let start = Mark { offset: offset + at as u64, ..start };
            let before = out.messages.len();
            let here = std::mem::replace(&mut out.mark, start);
            out.hold = false;
            let step = parser.parse(side, Input { bytes: rest, cut: full }, out);
            out.mark = here;
            let end = match step {
                Step::Consume(n) if !out.hold => Some(start.offset.saturating_add(n)),
                _ => None,
            };
            name(protocol, Some(start), end, out, before);
            let waiting = &mut self.sides[side.index()];
            waiting.hold = out.hold;
            match step {
                Step::Consume(n) => {
                    let used = usize::try_from(n).unwrap_or(usize::MAX).min(rest.len());
                    waiting.skip = n.saturating_sub(used as u64);
                    at += used;
                    if n == 0 && out.switch.is_none() {
                        at = bytes.len();
                        waiting.lost = true;
                    }
                }
                Step::More(_) if !full => break,
                Step::More(_) | Step::Lose | Step::Reject(_) => {
                    at = bytes.len();
                    waiting.lost = true;
                    waiting.hold = false;
                    let before = out.messages.len();
                    parser.lost(side, out);
                    name(protocol, None, Some(offset + at as u64), out, before);
                }
            }
            match out.switch.take() {
                Some(Switch::To(name)) => self.start(registry::by_name(name)),
                Some(Switch::Start(protocol)) => self.start(Some(protocol)),
                Some(Switch::Detect) => self.start(None),
                None => {}
            }
        }
        let waiting = &mut self.sides[side.index()];
        waiting.since =
            if at < bytes.len() { Some(if at == 0 { since.unwrap_or(out.mark) } else { out.mark }) } else { None };
        waiting.bytes = bytes;
        waiting.offset = offset + at as u64;
        waiting.bytes.drain(..at.min(waiting.bytes.len()));
        if self.speaking.is_none() && waiting.bytes.len() > UNKNOWN {
            self.opaque = true;
        }
        if self.opaque {
            self.sides = Default::default();
        }
    }

    fn start(&mut self, protocol: Option<&'static Protocol>) {
        self.speaking = protocol.map(|protocol| (protocol, (protocol.start)(Transport::Tcp)));
    }

    /// Whether one of the candidates knows these bytes.
    fn find(&mut self, bytes: &[u8]) -> bool {
        let first = First { bytes, whole: false, transport: Transport::Tcp };
        let mut wait = false;
        for protocol in self.candidates {
            match (protocol.detect)(first) {
                Detection::Yes { confidence: BELIEVED.., .. } => {
                    self.start(Some(protocol));
                    return true;
                }
                Detection::More => wait = true,
                Detection::Yes { .. } | Detection::No => {}
            }
        }
        self.opaque |= !wait;
        false
    }
}

/// The messages from `before` on are the inner protocol's: they began at `start`, if the parser does not say otherwise, and end at `end` of
/// the inner stream, whose bytes they count.
fn name(protocol: &Protocol, start: Option<Mark>, end: Option<u64>, out: &mut Output<'_>, before: usize) {
    for message in out.messages.iter_mut().skip(before) {
        if message.fields.l7_protocol.is_empty() {
            message.fields.l7_protocol = protocol.name;
        }
        message.start = message.start.or(start);
        if let (None, Some(start), Some(end)) = (message.bytes, message.start, end) {
            message.bytes = Some(end.saturating_sub(start.offset));
        }
    }
}
