//! The driver: one conversation, both directions, whichever protocol it turns out to speak.

use super::detect::{self, Found};
use super::half::{BUFFER_LIMIT, Half, matters_in_body};
use super::mask::Masker;
use super::message::{Kind, Message, Segment};
use super::{Input, Output, Parser, Protocol, Session, Step, Switch, registry};
use crate::model::{Completeness, Nanos, Side, Transport};
use crate::pair::{Ended, Pairer};

/// Segments that may pass without the protocol being found.
const DETECT_ATTEMPTS: u32 = 64;
/// Rejects in a row after which the protocol is taken to be another one.
const REJECTS: u32 = 4;
/// Protocols tried on one conversation before it is left alone.
const RETRIES: u32 = 6;

/// Attributes kept for all requests of a connection.
const NOTES: usize = 8;

/// How to parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseOptions {
    /// Leave credentials, cookies, secrets in URLs and SQL literals readable in what is yielded.
    pub show_secrets: bool,
    /// Requests are counted only, so that a parser may leave out what they say.
    pub brief: bool,
}

/// One conversation between two sides.
pub struct Conversation {
    transport: Transport,
    ports: [u16; 2],
    swapped: bool,
    brief: bool,
    halves: [Half; 2],
    speaking: Option<(&'static Protocol, Box<dyn Parser>)>,
    /// Protocols that proved wrong here, as bits of the registry.
    excluded: u64,
    attempts: u32,
    retries: u32,
    rejects: u32,
    /// The present protocol has yielded something.
    proved: bool,
    ignored: bool,
    closed: bool,
    /// What waits on the other side may be understood now.
    kicked: bool,
    /// Who spoke last, before the present segment.
    last_from: Option<Side>,
    /// Who ended the connection.
    left: Option<Side>,
    /// Who closed its socket.
    let_go: Option<Side>,
    masker: Masker,
    pairer: Pairer,
    /// What is known of all requests from now on.
    notes: Vec<(&'static str, Box<str>)>,
    /// Empty; kept for its memory.
    scratch: Vec<Message>,
}

impl Conversation {
    /// A conversation that has not said anything. `client_port` is that of the side which the caller takes for the client.
    #[must_use]
    pub fn new(transport: Transport, client_port: u16, server_port: u16) -> Self {
        Self::with_options(transport, client_port, server_port, &ParseOptions::default())
    }

    /// The same, with options.
    #[must_use]
    pub fn with_options(transport: Transport, client_port: u16, server_port: u16, options: &ParseOptions) -> Self {
        Self {
            transport,
            ports: [client_port, server_port],
            swapped: false,
            brief: options.brief,
            halves: [Half::default(), Half::default()],
            speaking: None,
            excluded: 0,
            attempts: 0,
            retries: 0,
            rejects: 0,
            proved: false,
            ignored: false,
            closed: false,
            kicked: false,
            last_from: None,
            left: None,
            let_go: None,
            masker: Masker::new(options.show_secrets),
            pairer: Pairer::default(),
            notes: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// TCP and UNIX streams: bytes in stream order per side. Datagrams: one per call.
    pub fn data(&mut self, segment: &Segment<'_>) {
        if self.ignored || (segment.data.is_empty() && segment.missing == 0) {
            return;
        }
        let side = self.true_side(segment.from);
        if self.speaking.is_none() && self.last_from.is_some_and(|last| last != side) {
            // The turn has changed: what the other side said is all it had to say.
            self.find(side.other(), &[], true, false);
        }
        let side = self.true_side(segment.from);
        self.last_from = Some(side);
        let datagram = self.datagrams();
        let cut = segment.missing > 0 || datagram;

        let half = &mut self.halves[side.index()];
        half.arrive(segment);
        if segment.missing > 0 {
            half.stretch(segment.data.len() as u64 + u64::from(segment.missing), None);
        }
        if datagram {
            half.uncaptured = u64::from(segment.missing);
        }
        let mut data = segment.data;
        self.restart(side, data);
        let half = &mut self.halves[side.index()];
        if half.skip > 0 {
            let n = usize::try_from(half.skip).map_or(data.len(), |skip| skip.min(data.len()));
            half.skip -= n as u64;
            half.offset += n as u64;
            data = data.get(n..).unwrap_or_default();
            if half.skip == 0 && !half.hold {
                self.end_open(side);
            }
        } else if half.lost && !self.resume(side, data) {
            self.lose(side, data.len());
            data = &[];
        }
        self.bytes(side, data, cut);
        // Detection may have turned the sides round.
        let side = self.true_side(segment.from);
        if datagram {
            self.drop_rest(side);
            let half = &mut self.halves[side.index()];
            half.offset += std::mem::take(&mut half.uncaptured);
        } else if segment.missing > 0 {
            self.pass(side, u64::from(segment.missing), Completeness::TRUNCATED_PAYLOAD);
        }
        if std::mem::take(&mut self.kicked) && !self.halves[side.other().index()].buffer.is_empty() {
            self.halves[side.other().index()].need = 0;
            self.bytes(side.other(), &[], false);
        }
    }

    /// Bytes of the stream that were not captured.
    pub fn gap(&mut self, from: Side, len: u64, ts: Nanos, cause: Completeness) {
        if self.ignored || len == 0 {
            return;
        }
        let side = self.true_side(from);
        self.halves[side.index()].stretch(len, Some(ts));
        self.pass(side, len, cause);
    }

    /// A side ends the connection, by a FIN, a reset or a close: the first to do so is who left. What is open then was cut short.
    pub fn leaves(&mut self, from: Side) {
        let side = self.true_side(from);
        self.left.get_or_insert(side);
    }

    /// A side closes its socket: what it has not been answered at all by then is not answered any more. An answer that has begun may have been
    /// read to its end in ways that are not seen.
    pub fn lets_go(&mut self, from: Side) {
        let side = self.true_side(from);
        self.let_go.get_or_insert(side);
    }

    /// What a side has asked by `ts` was not delivered, as an error of the network says. An answer may come all the same.
    pub fn refused(&mut self, from: Side, ts: Nanos, why: &'static str) {
        let side = self.true_side(from);
        self.pairer.refused(side, ts, why);
    }

    /// No more data in either direction.
    pub fn close(&mut self, _ts: Nanos) {
        self.end(Ended::Closed(self.left.or(self.let_go)));
    }

    /// Name of the protocol as in the tables, empty while unknown.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        self.speaking.as_ref().map_or("", |(protocol, _)| protocol.name)
    }

    /// The protocol proved that client and server are the other way round. Sessions are already right.
    #[must_use]
    pub fn swapped(&self) -> bool {
        self.swapped
    }

    /// How many secrets were masked.
    #[must_use]
    pub fn masked(&self) -> super::mask::Masked {
        self.masker.count()
    }

    /// Emits what is pending.
    pub fn finish(&mut self, end_of_capture: Nanos) {
        self.end(Ended::Capture(end_of_capture));
    }

    /// Gives back memory that is not in use: not much more is expected.
    pub fn shrink(&mut self) {
        self.scratch = Vec::new();
        for half in &mut self.halves {
            half.shrink();
        }
        self.pairer.shrink();
    }

    /// Whether there are completed sessions.
    #[inline]
    #[must_use]
    pub fn has_sessions(&self) -> bool {
        self.pairer.has_done()
    }

    /// Drains completed sessions.
    pub fn sessions(&mut self, out: &mut Vec<Session>) {
        self.pairer.drain(out);
    }

    /// Bytes that wait for their continuation.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.halves.iter().map(|half| half.buffer.len()).sum()
    }

    fn true_side(&self, from: Side) -> Side {
        if self.swapped { from.other() } else { from }
    }

    /// Parses the waiting bytes of `side` followed by `data`.
    fn bytes(&mut self, side: Side, data: &[u8], cut: bool) {
        if self.ignored {
            return;
        }
        let half = &mut self.halves[side.index()];
        if half.buffer.is_empty() && self.speaking.is_some() {
            let done = self.feed(side, data, cut);
            let rest = data.get(done..).unwrap_or_default();
            if !rest.is_empty() && !self.ignored {
                self.halves[side.index()].buffer.extend_from_slice(rest);
            }
            return;
        }
        let waited = half.buffer.len();
        half.buffer.extend_from_slice(data);
        let full = half.buffer.len() >= BUFFER_LIMIT;
        if self.speaking.is_none() {
            self.find(side, &[], cut || full, cut || full);
            let half = &mut self.halves[side.index()];
            if self.speaking.is_none() && waited > 0 && !data.is_empty() && half.buffer.is_empty() && !self.ignored {
                // What came before was no start (a keep-alive's byte, the end of a message): this segment may be one.
                half.offset = half.offset.saturating_sub(data.len() as u64);
                half.buffer.extend_from_slice(data);
                self.find(side, &[], cut || full, cut || full);
            }
        } else if half.buffer.len() >= half.need || cut {
            self.feed_buffer(side, cut || full);
        }
    }

    /// Lets the parser look at the waiting bytes.
    fn feed_buffer(&mut self, side: Side, cut: bool) {
        let mut buffer = std::mem::take(&mut self.halves[side.index()].buffer);
        let done = self.feed(side, &buffer, cut);
        buffer.drain(..done.min(buffer.len()));
        let half = &mut self.halves[side.index()];
        if half.buffer.is_empty() {
            half.buffer = buffer;
        }
    }

    /// Runs the parser over `bytes` (those at the half's offset) and says how many are done with.
    fn feed(&mut self, side: Side, bytes: &[u8], cut: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.ignored {
            let Some((_, parser)) = &mut self.speaking else {
                break;
            };
            let half = &mut self.halves[side.index()];
            half.need = 0;
            let mark = half.mark_at(half.offset);
            let uncaptured = half.uncaptured;
            let mut out = Output::with(std::mem::take(&mut self.scratch), mark, &mut self.masker);
            out.pairer = Some(&self.pairer);
            out.uncaptured = uncaptured;
            out.brief = self.brief;
            let rest = bytes.get(at..).unwrap_or_default();
            let step = parser.parse(side, Input { bytes: rest, cut }, &mut out);
            let Output { messages, hold, switch, kick, note, .. } = out;
            let moved = !matches!(step, Step::Consume(0)) || switch.is_some();
            if !messages.is_empty() {
                self.proved = true;
                self.rejects = 0;
            }
            let step = if moved { step } else { Step::Reject("no progress") };
            match step {
                Step::Consume(n) => {
                    self.emit(side, messages, mark);
                    let half = &mut self.halves[side.index()];
                    let here = usize::try_from(n).unwrap_or(usize::MAX).min(rest.len());
                    half.offset += here as u64;
                    if here == rest.len() {
                        // The rest of a datagram belongs to its message.
                        half.offset += std::mem::take(&mut half.uncaptured);
                    }
                    half.skip = n.saturating_sub(here as u64);
                    half.hold = hold;
                    at += here;
                    if !hold && half.skip == 0 {
                        self.end_open(side);
                    }
                }
                Step::More(need) => {
                    self.emit(side, messages, mark);
                    if !cut {
                        self.halves[side.index()].need = need.min(BUFFER_LIMIT);
                        break;
                    }
                    at = bytes.len();
                    self.lose(side, rest.len());
                }
                Step::Lose => {
                    self.emit(side, messages, mark);
                    at = bytes.len();
                    self.lose(side, rest.len());
                }
                Step::Reject(_) => {
                    if self.wrong(rest) {
                        // Another protocol gets the same bytes.
                        self.halves[side.index()].lost = false;
                        self.find(side, rest, cut, cut);
                        return bytes.len();
                    }
                    at = bytes.len();
                    self.lose(side, rest.len());
                }
            }
            if let Some(note) = note.filter(|_| self.notes.len() < NOTES) {
                self.notes.push(note);
            }
            if let Some(switch) = switch {
                let rest = bytes.get(at..).unwrap_or_default();
                self.change(side, switch, rest, cut);
                return bytes.len();
            }
            self.kicked |= kick;
        }
        at.min(bytes.len())
    }

    /// Hands messages to the pairer; those without an end stay open until the step that ends them.
    fn emit(&mut self, side: Side, mut messages: Vec<Message>, mark: super::Mark) {
        let (name, timeout) =
            self.speaking.as_ref().map_or(("", Nanos::MAX), |(protocol, _)| (protocol.name, protocol.timeout));
        for mut message in messages.drain(..) {
            if !self.notes.is_empty() && matches!(message.kind, Kind::Request | Kind::OneWay) {
                message.fields.attributes.extend(self.notes.iter().cloned());
            }
            if message.ends_elsewhere {
                let other = &self.halves[side.other().index()];
                message.end = Some(other.end_at(other.offset));
            }
            if let Some(ticket) = self.pairer.begin(side, message, mark, name, timeout) {
                self.halves[side.index()].open.push(ticket);
            }
        }
        self.scratch = messages;
    }

    fn datagrams(&self) -> bool {
        matches!(self.transport, Transport::Udp | Transport::Icmp | Transport::Icmp6)
    }

    /// The open messages of a side end at its offset.
    fn end_open(&mut self, side: Side) {
        let half = &mut self.halves[side.index()];
        if half.open.is_empty() {
            return;
        }
        let end = half.end_at(half.offset);
        let mut open = std::mem::take(&mut half.open);
        for ticket in open.drain(..) {
            self.pairer.end(ticket, end);
        }
        self.halves[side.index()].open = open;
    }

    /// The place in the stream of `side` is lost; `len` bytes in view are given up. If it was lost already: what is passed over may hold the
    /// answers to what was asked since.
    fn lose(&mut self, side: Side, len: usize) {
        let half = &mut self.halves[side.index()];
        half.offset += len as u64;
        half.skip = 0;
        half.lost = true;
        let mark = half.end_at(half.offset);
        if let Some((_, parser)) = &mut self.speaking {
            let mut out = Output::new(mark, &mut self.masker);
            parser.lost(side, &mut out);
            let messages = out.messages;
            self.emit(side, messages, mark);
        }
        self.pairer.lost(side, self.datagrams());
    }

    /// After a loss: does a message start here?
    fn resume(&mut self, side: Side, bytes: &[u8]) -> bool {
        let Some((_, parser)) = &self.speaking else {
            return true;
        };
        if !parser.resumes(side, bytes) {
            return false;
        }
        self.halves[side.index()].lost = false;
        self.end_open(side);
        true
    }

    /// A message whose length proves to be a lie swallows no more than itself: the next one begins where both sides say so.
    fn restart(&mut self, side: Side, bytes: &[u8]) {
        let half = &self.halves[side.index()];
        if !(half.skip > 0 || half.hold) || half.lost || !half.buffer.is_empty() || !self.pairer.is_overtaken(side) {
            return;
        }
        let Some((_, parser)) = &mut self.speaking else { return };
        if parser.restarts(side, bytes) {
            let half = &mut self.halves[side.index()];
            (half.skip, half.hold) = (0, false);
            let end = half.end_before();
            for ticket in std::mem::take(&mut half.open) {
                self.pairer.end(ticket, end);
            }
        }
    }

    /// Passes over bytes that were not captured.
    fn pass(&mut self, side: Side, len: u64, cause: Completeness) {
        let mut len = len;
        // Twice at most: waiting bytes may, once seen as cut, turn out to be the head of a message that covers the gap.
        for _ in 0..2 {
            let half = &mut self.halves[side.index()];
            if half.skip > 0 {
                let n = half.skip.min(len);
                half.skip -= n;
                half.offset += n;
                len -= n;
                let ended = half.skip == 0 && !half.hold;
                if let Some(cause) = matters_in_body(cause) {
                    let open = std::mem::take(&mut self.halves[side.index()].open);
                    for ticket in &open {
                        self.pairer.mark(ticket, cause);
                    }
                    self.halves[side.index()].open = open;
                }
                if ended {
                    self.end_open(side);
                }
            }
            if len == 0 {
                return;
            }
            if self.halves[side.index()].buffer.is_empty() {
                break;
            }
            if self.speaking.is_none() {
                self.find(side, &[], true, true);
            } else {
                self.feed_buffer(side, true);
            }
            self.drop_rest(side);
        }
        self.lose(side, 0);
        let open = std::mem::take(&mut self.halves[side.index()].open);
        for ticket in &open {
            self.pairer.mark(ticket, cause);
        }
        self.halves[side.index()].open = open;
        let half = &mut self.halves[side.index()];
        self.pairer.missed(side, cause, half.mark_at(half.offset));
        half.offset += len;
    }

    /// Gives up what waits.
    fn drop_rest(&mut self, side: Side) {
        let half = &mut self.halves[side.index()];
        half.offset += half.buffer.len() as u64;
        half.buffer.clear();
        half.need = 0;
    }

    /// The protocol proved wrong or damaged here: whether to look for another one.
    fn wrong(&mut self, bytes: &[u8]) -> bool {
        self.rejects += 1;
        let stays = if self.transport == Transport::Udp {
            // A datagram in between may be anything; two of them that another protocol knows are another protocol.
            let present = self.speaking.as_ref().map_or(0, |(protocol, _)| registry::bit(protocol));
            let known = || detect::detect(bytes, true, self.transport, self.ports, self.excluded | present);
            self.rejects < 2 || !matches!(known(), Found::Protocol { .. })
        } else {
            self.rejects < REJECTS
        };
        if self.proved && stays {
            return false;
        }
        if let Some((protocol, _)) = self.speaking.take() {
            self.excluded |= registry::bit(protocol);
        }
        self.retries += 1;
        self.rejects = 0;
        self.proved = false;
        if self.retries >= RETRIES {
            self.ignored = true;
        }
        true
    }

    /// Another protocol takes over behind the present step.
    fn change(&mut self, side: Side, switch: Switch, rest: &[u8], cut: bool) {
        // What asked for the change ends here.
        for side in [side.other(), side] {
            self.end_open(side);
        }
        self.speaking = match switch {
            Switch::To(name) => registry::by_name(name).map(|protocol| (protocol, (protocol.start)(self.transport))),
            Switch::Start(protocol) => Some((protocol, (protocol.start)(self.transport))),
            Switch::Detect => None,
        };
        self.proved = false;
        self.attempts = 0;
        if self.speaking.is_none() {
            self.find(side, rest, cut, cut);
            return;
        }
        for half in &mut self.halves {
            half.need = 0;
        }
        self.halves[side.index()].buffer.extend_from_slice(rest);
        self.feed_buffer(side, cut);
        self.feed_buffer(side.other(), false);
    }

    /// Looks for the protocol in the waiting bytes of `side`, after appending `more`, and if it is found, parses
    /// what waits on both sides. `whole`: the protocol must be told by these bytes; `cut`: no bytes follow them directly.
    fn find(&mut self, side: Side, more: &[u8], whole: bool, cut: bool) {
        let half = &mut self.halves[side.index()];
        half.buffer.extend_from_slice(more);
        if half.buffer.is_empty() || self.ignored {
            return;
        }
        match detect::detect(&half.buffer, whole, self.transport, self.ports, self.excluded) {
            Found::Protocol { protocol, from } => {
                if from.is_some_and(|from| from != side) {
                    self.swapped = !self.swapped;
                    self.halves.swap(0, 1);
                    self.last_from = self.last_from.map(Side::other);
                    self.left = self.left.map(Side::other);
                    self.let_go = self.let_go.map(Side::other);
                    self.pairer.swap();
                }
                self.speaking = Some((protocol, (protocol.start)(self.transport)));
                let first = from.unwrap_or(side);
                for at in [Side::Client, Side::Server] {
                    self.halves[at.index()].lost = false;
                    self.feed_buffer(at, cut && at == first);
                }
            }
            Found::More => {}
            Found::Nothing => {
                self.drop_rest(side);
                self.pairer.unread(side);
                self.attempts += 1;
                if self.attempts >= DETECT_ATTEMPTS {
                    self.ignored = true;
                    for half in &mut self.halves {
                        half.buffer = Vec::new();
                    }
                }
            }
        }
    }

    /// The end, of the connection or of the capture.
    fn end(&mut self, how: Ended) {
        if !self.closed {
            self.closed = true;
            for side in [Side::Client, Side::Server] {
                if self.speaking.is_none() {
                    self.find(side, &[], true, true);
                }
            }
            for side in [Side::Client, Side::Server] {
                if self.speaking.is_some() && !self.halves[side.index()].buffer.is_empty() {
                    self.feed_buffer(side, true);
                    self.drop_rest(side);
                }
            }
            if let Some((_, parser)) = &mut self.speaking {
                let half = &self.halves[Side::Server.index()];
                let mut out = Output::new(half.end_at(half.offset), &mut self.masker);
                out.pairer = Some(&self.pairer);
                parser.close(&mut out);
                let (messages, mark) = (out.messages, out.mark);
                self.emit(Side::Server, messages, mark);
            }
            for side in [Side::Client, Side::Server] {
                let half = &mut self.halves[side.index()];
                if !half.open.is_empty() {
                    let cut = !half.lost && (half.hold || half.skip > 0 && half.skip < u64::MAX / 2);
                    let open = std::mem::take(&mut half.open);
                    for ticket in open.iter().filter(|_| cut) {
                        match (how, self.left) {
                            (Ended::Capture(_), _) => self.pairer.mark(ticket, Completeness::ENDED_AFTER),
                            (Ended::Closed(_), Some(left)) => self.pairer.cut_short(ticket, left),
                            (Ended::Closed(_), None) => {}
                        }
                    }
                    self.halves[side.index()].open = open;
                    self.end_open(side);
                }
            }
        }
        self.pairer.flush(how);
    }
}
