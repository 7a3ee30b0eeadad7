//! Requests meet their responses: by id where the protocol has one, else in order, any number outstanding.
//!
//! After a loss the order alone no longer tells whose answer comes next. A client that never had two requests outstanding asks only when
//! it has its answer: what comes then answers its last request, and those before were answered in what was lost. Where requests are
//! pipelined, pairs made between the loss and the next moment without an open request are marked `gap`: they may be wrong.
//! What was answered in the bytes of one call or packet that were not kept has that call's time and no status.

use crate::model::{Completeness, Nanos, RequestFields, Session, Side, Status, ThreadPoint};
use crate::parse::{Kind, Mark, Message};
use ahash::AHashMap;
use std::collections::VecDeque;
use std::collections::hash_map::{Entry as Place, OccupiedEntry};

/// Most requests that wait on one conversation; the oldest are given up beyond.
const OUTSTANDING_LIMIT: usize = 32 * 1024;

/// A message that has begun and whose end is to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    entry: u64,
    key: Option<u64>,
    kind: Kind,
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    /// The connection was closed, by that side first where that was seen.
    Closed(Option<Side>),
    /// The capture ended, at this time.
    Capture(Nanos),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Has not come.
    Awaited,
    /// Has begun.
    Open,
    /// Is whole, or is not expected.
    Done,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    session: Session,
    request: Part,
    response: Part,
    request_start: u64,
    response_start: u64,
    /// Counted by the parser.
    request_counted: bool,
    response_counted: bool,
    /// Its response may have been in what was lost.
    doubtful: bool,
    /// Who answers, and how often that side's place had been lost when it was asked.
    answers: Side,
    losses: u32,
    /// Bytes were missed since it was asked.
    missed: bool,
    /// The call or packet whose bytes these are, if all are of one, of which only the first were kept.
    unkept: Option<Mark>,
    timeout: Nanos,
    /// The network said that it was not delivered, and why.
    refused: Option<&'static str>,
}

impl Entry {
    fn begin_request(&mut self, start: Mark, bytes: Option<u64>, completeness: Completeness) {
        self.request = Part::Open;
        self.request_start = start.offset;
        self.request_counted = bytes.is_some();
        let session = &mut self.session;
        session.completeness.add(completeness);
        session.request_bytes = bytes.unwrap_or_default();
        session.request_ts = Some(start.ts);
        session.request_tcp_seq = start.tcp_seq;
        session.request_point = start.point;
    }

    fn begin_response(&mut self, start: Mark, bytes: Option<u64>, completeness: Completeness) {
        self.response = Part::Open;
        self.response_start = start.offset;
        self.response_counted = bytes.is_some();
        let session = &mut self.session;
        session.completeness.add(completeness);
        session.response_bytes = bytes.unwrap_or_default();
        session.first_byte_ts = Some(start.ts);
        session.response_tcp_seq = start.tcp_seq;
        session.response_point = start.point;
    }

    /// Its message of that kind ends; whether nothing more is expected.
    fn end(&mut self, kind: Kind, end: Mark) -> bool {
        let session = &mut self.session;
        if kind == Kind::Response {
            self.response = Part::Done;
            session.response_ts = Some(end.ts);
            if !self.response_counted {
                session.response_bytes = end.offset.saturating_sub(self.response_start);
            }
            widen(&mut session.response_point, end.point);
        } else {
            self.request = Part::Done;
            session.request_end_ts = Some(end.ts);
            if !self.request_counted {
                session.request_bytes = end.offset.saturating_sub(self.request_start);
            }
            widen(&mut session.request_point, end.point);
        }
        self.request == Part::Done && self.response == Part::Done
    }
}

/// Requests of one key: nearly always one.
#[derive(Debug)]
struct Slot {
    first: Entry,
    more: VecDeque<Entry>,
}

impl Slot {
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn find(&mut self, test: impl Fn(&Entry) -> bool) -> Option<&mut Entry> {
        if test(&self.first) { Some(&mut self.first) } else { self.more.iter_mut().find(|entry| test(entry)) }
    }
}

/// Pairs the messages of one conversation.
#[derive(Debug, Default)]
pub(crate) struct Pairer {
    next: u64,
    ordered: VecDeque<Entry>,
    keyed: AHashMap<u64, Slot>,
    keyed_len: usize,
    done: Vec<Session>,
    /// Requests in order were outstanding together.
    pipelined: bool,
    /// Some of those that wait in order are doubtful.
    doubt: bool,
    /// Which of them the next response answers is not certain, if it is of this number or later.
    unsure: Option<u64>,
    /// How often the place of each side was lost.
    losses: [u32; 2],
    /// Something of the client's was missed or not understood: responses without request are no wonder.
    missed: [Completeness; 2],
    /// The call in which bytes of the client's were missed since its last request: what is answered without having been asked was asked there.
    hidden: Option<Mark>,
}

impl Pairer {
    /// A message begins (and, if it has an end mark, ends). Returns a ticket if its end is to be told.
    pub(crate) fn begin(
        &mut self,
        side: Side,
        message: Message,
        here: Mark,
        protocol: &'static str,
        timeout: Nanos,
    ) -> Option<Ticket> {
        let Message { kind, key, start, end, bytes, fields, completeness, .. } = message;
        let start = start.unwrap_or(here);
        if kind == Kind::Note
            && let Some(entry) = self.answer(key)
        {
            merge(&mut entry.session.fields, *fields);
            return None;
        }
        let id = match kind {
            Kind::Response | Kind::Note => match self.answer(key) {
                Some(entry) => {
                    merge(&mut entry.session.fields, *fields);
                    entry.begin_response(start, bytes, completeness);
                    entry.id
                }
                None => {
                    let mut entry = self.entry(fields, protocol, timeout);
                    entry.request = Part::Done;
                    let missed = self.missed[Side::Client.index()];
                    entry.session.completeness.add(if missed == Completeness::default() {
                        Completeness::STARTED_BEFORE
                    } else {
                        missed
                    });
                    if let Some(hidden) = self.hidden.filter(|hidden| key.is_none() && hidden.ts <= start.ts) {
                        entry.session.request_ts = Some(hidden.ts);
                        entry.session.request_point = hidden.point;
                    }
                    entry.begin_response(start, bytes, completeness);
                    self.insert(key, entry)
                }
            },
            Kind::Request | Kind::OneWay => {
                if kind == Kind::Request && key.is_none() {
                    self.asks();
                }
                let mut entry = self.entry(fields, protocol, timeout);
                if kind == Kind::OneWay {
                    entry.response = Part::Done;
                    entry.session.fields.is_async = true;
                }
                entry.answers = side.other();
                entry.losses = self.losses[entry.answers.index()];
                entry.begin_request(start, bytes, completeness);
                self.insert(key, entry)
            }
        };
        let kind = if kind == Kind::Note { Kind::Response } else { kind };
        let ticket = Ticket { entry: id, key, kind };
        if let Some(end) = end {
            self.end(ticket, end);
            return None;
        }
        Some(ticket)
    }

    /// A message ends.
    pub(crate) fn end(&mut self, ticket: Ticket, end: Mark) {
        if let Some(key) = ticket.key {
            if let Place::Occupied(mut place) = self.keyed.entry(key)
                && let Some(entry) = place.get_mut().find(|entry| entry.id == ticket.entry)
                && entry.end(ticket.kind, end)
                && let Some(entry) = take(place, Some(ticket.entry))
            {
                self.keyed_len = self.keyed_len.saturating_sub(1);
                self.done.push(entry.session);
            }
            return;
        }
        let at = self.place(ticket.entry);
        let entry = self.ordered.get_mut(at).filter(|entry| entry.id == ticket.entry);
        if entry.is_some_and(|entry| entry.end(ticket.kind, end)) {
            self.done.extend(self.ordered.remove(at).map(|entry| entry.session));
        }
    }

    /// Something is wrong with an open message.
    pub(crate) fn mark(&mut self, ticket: &Ticket, cause: Completeness) {
        if let Some(entry) = self.find(*ticket) {
            entry.session.completeness.add(cause);
        }
    }

    /// A response is not whole when that side ends the connection: an error of whoever did.
    pub(crate) fn cut_short(&mut self, ticket: &Ticket, by: Side) {
        if ticket.kind != Kind::Response {
            return;
        }
        if let Some(entry) = self.find(*ticket) {
            let fields = &mut entry.session.fields;
            let (status, text) = cut_off(by, true);
            if !fields.status.is_error() {
                fields.status = status;
            }
            if fields.exception.is_empty() {
                fields.exception = text.into();
            }
        }
    }

    /// Whether the other side has gone on as if the message of `side` that is open were whole: the client has asked again, the server has
    /// answered. Where requests were outstanding together nothing can be told from that.
    pub(crate) fn is_overtaken(&self, side: Side) -> bool {
        let mut ordered = self.ordered.iter();
        match side {
            _ if self.pipelined => false,
            Side::Server => {
                ordered.any(|entry| entry.response == Part::Open)
                    && ordered.any(|entry| entry.response == Part::Awaited)
            }
            Side::Client => ordered.any(|entry| entry.request == Part::Open && entry.response != Part::Awaited),
        }
    }

    /// A request in order begins.
    fn asks(&mut self) {
        self.hidden = None;
        match self.ordered.iter().rev().find(|entry| entry.response == Part::Awaited) {
            // Nothing is open: who answers what is certain again.
            None => self.unsure = None,
            Some(last) => self.pipelined |= !last.doubtful,
        }
    }

    /// The place in a side's stream is lost: responses, or further requests, may be in what is passed over. Of datagrams, it is one that is not understood.
    pub(crate) fn lost(&mut self, side: Side, datagram: bool) {
        self.losses[side.index()] = self.losses[side.index()].saturating_add(u32::from(!datagram));
        if side == Side::Client {
            if self.pipelined {
                // What was asked before is answered before.
                self.unsure.get_or_insert(self.next + 1);
            }
            return;
        }
        for entry in &mut self.ordered {
            if entry.response == Part::Awaited {
                entry.doubtful = true;
                entry.unkept = None;
                self.doubt = true;
            }
        }
    }

    /// Bytes of a side were missed where messages may have been, from `from` on.
    pub(crate) fn missed(&mut self, side: Side, cause: Completeness, from: Mark) {
        self.missed[side.index()].add(cause);
        if side == Side::Client {
            self.hidden = from.point.is_some().then_some(from);
            return;
        }
        // What was not kept of a call or packet came when that did; of a second such piece, nobody knows which it is.
        let from = (cause == Completeness::TRUNCATED_PAYLOAD).then_some(from);
        for entry in &mut self.ordered {
            if entry.response == Part::Awaited {
                entry.unkept = from.filter(|_| !entry.missed);
                entry.missed = true;
            }
        }
    }

    /// Bytes of a side were not understood before the protocol was found.
    pub(crate) fn unread(&mut self, side: Side) {
        self.missed[side.index()].add(Completeness::STARTED_BEFORE);
    }

    /// Client and server are the other way round.
    pub(crate) fn swap(&mut self) {
        self.missed.swap(0, 1);
        self.losses.swap(0, 1);
        self.hidden = None;
    }

    /// What `side` has asked by `ts` was not delivered.
    pub(crate) fn refused(&mut self, side: Side, ts: Nanos, why: &'static str) {
        let keyed = self.keyed.values_mut().flat_map(|slot| std::iter::once(&mut slot.first).chain(&mut slot.more));
        for entry in self.ordered.iter_mut().chain(keyed) {
            let is_asked = entry.session.request_ts.is_some_and(|asked| asked <= ts);
            if is_asked && entry.response == Part::Awaited && entry.answers == side.other() {
                entry.refused.get_or_insert(why);
            }
        }
    }

    /// Gives back memory that is not in use.
    pub(crate) fn shrink(&mut self) {
        self.ordered.shrink_to_fit();
        self.keyed.shrink_to_fit();
        self.done.shrink_to_fit();
    }

    /// Whether there are completed sessions.
    #[inline]
    pub(crate) fn has_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// Moves completed sessions out.
    pub(crate) fn drain(&mut self, out: &mut Vec<Session>) {
        out.append(&mut self.done);
    }

    /// No more messages: what waits is given out as it is.
    pub(crate) fn flush(&mut self, how: Ended) {
        let mut rest: Vec<Entry> = self.ordered.drain(..).collect();
        rest.extend(self.keyed.drain().flat_map(|(_, slot)| std::iter::once(slot.first).chain(slot.more)));
        self.keyed_len = 0;
        rest.sort_by_key(|entry| entry.id);
        for mut entry in rest {
            // Its answer, told by an id, may have been in what was lost of that side since.
            entry.doubtful |= self.losses[entry.answers.index()] != entry.losses;
            self.done.push(give_up(entry, how));
        }
    }

    fn entry(&mut self, mut fields: Box<RequestFields>, protocol: &'static str, timeout: Nanos) -> Entry {
        self.next += 1;
        if fields.l7_protocol.is_empty() {
            fields.l7_protocol = protocol;
        }
        let is_tls = matches!(fields.l7_protocol, "tls" | "dtls");
        Entry {
            id: self.next,
            session: Session { fields, is_tls, ..Session::default() },
            request: Part::Awaited,
            response: Part::Awaited,
            request_start: 0,
            response_start: 0,
            request_counted: false,
            response_counted: false,
            doubtful: false,
            answers: Side::Server,
            losses: 0,
            missed: false,
            unkept: None,
            timeout,
            refused: None,
        }
    }

    /// Keeps it, and says which it is.
    fn insert(&mut self, key: Option<u64>, entry: Entry) -> u64 {
        let id = entry.id;
        if self.ordered.len() + self.keyed_len >= OUTSTANDING_LIMIT {
            self.evict();
        }
        match key {
            None => self.ordered.push_back(entry),
            Some(key) => {
                match self.keyed.entry(key) {
                    Place::Vacant(place) => {
                        place.insert(Slot { first: entry, more: VecDeque::new() });
                    }
                    Place::Occupied(mut place) => place.get_mut().more.push_back(entry),
                }
                self.keyed_len += 1;
            }
        }
        id
    }

    /// Gives up the oldest requests that wait: an eighth of them, so that it is seldom.
    fn evict(&mut self) {
        let how = Ended::Capture(Nanos::MIN);
        for _ in 0..self.ordered.len() / 8 {
            if let Some(entry) = self.ordered.pop_front() {
                self.done.push(give_up(entry, how));
            }
        }
        if self.keyed_len > 0 {
            let mut ids: Vec<u64> = self.keyed.values().flat_map(Slot::entries).map(|entry| entry.id).collect();
            let (_, nth, _) = {
                let place = ids.len() / 8;
                ids.select_nth_unstable(place)
            };
            let limit = *nth;
            let mut old = Vec::new();
            let keys: Vec<u64> =
                self.keyed.iter().filter(|(_, slot)| slot.first.id <= limit).map(|(key, _)| *key).collect();
            for key in keys {
                while self.keyed.get(&key).is_some_and(|slot| slot.first.id <= limit) {
                    old.extend(self.take_oldest(key));
                }
            }
            old.sort_by_key(|entry| entry.id);
            self.done.extend(old.into_iter().map(|entry| give_up(entry, how)));
        }
    }

    /// The request that the next response answers.
    fn answer(&mut self, key: Option<u64>) -> Option<&mut Entry> {
        if let Some(key) = key {
            return self.keyed.get_mut(&key)?.find(|entry| entry.response == Part::Awaited);
        }
        if self.doubt {
            self.settle();
        }
        let unsure = self.unsure;
        let entry = self.ordered.iter_mut().find(|entry| entry.response == Part::Awaited)?;
        if unsure.is_some_and(|from| entry.id >= from) {
            entry.session.completeness.add(Completeness::GAP);
        }
        Some(entry)
    }

    /// A response comes after a loss: gives up the requests that were answered in what was lost.
    fn settle(&mut self) {
        let awaited = || self.ordered.iter().filter(|entry| entry.response == Part::Awaited);
        let (doubtful, all) = (awaited().filter(|entry| entry.doubtful).count(), awaited().count());
        let later = all > doubtful;
        self.doubt = doubtful > 0;
        let gone = match (self.pipelined, later) {
            (_, true) => doubtful,
            (false, false) => doubtful.saturating_sub(1),
            (true, false) => 0,
        };
        if self.pipelined && (doubtful > 1 || doubtful > 0 && later) {
            self.unsure = Some(0);
        }
        for _ in 0..gone {
            let Some(at) = self.ordered.iter().position(|entry| entry.response == Part::Awaited && entry.doubtful)
            else {
                break;
            };
            if let Some(mut entry) = self.ordered.remove(at) {
                entry.session.completeness.add(Completeness::GAP);
                if let Some(unkept) = entry.unkept {
                    // When it was answered is known, how is not.
                    entry.session.completeness.add(Completeness::TRUNCATED_PAYLOAD);
                    entry.session.first_byte_ts = Some(unkept.ts);
                    entry.session.response_ts = Some(unkept.ts);
                    entry.session.response_point = unkept.point;
                }
                if entry.request != Part::Awaited {
                    self.done.push(entry.session);
                }
            }
        }
    }

    /// Where the entry of that id stands among those in order, if it is there: nearly always it is the oldest.
    fn place(&self, id: u64) -> usize {
        match self.ordered.front() {
            Some(oldest) if oldest.id < id => self.ordered.partition_point(|entry| entry.id < id),
            _ => 0,
        }
    }

    fn find(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        match ticket.key {
            None => {
                let at = self.place(ticket.entry);
                self.ordered.get_mut(at).filter(|entry| entry.id == ticket.entry)
            }
            Some(key) => self.keyed.get_mut(&key)?.find(|entry| entry.id == ticket.entry),
        }
    }

    /// Takes the oldest entry from those of a key.
    fn take_oldest(&mut self, key: u64) -> Option<Entry> {
        let Place::Occupied(place) = self.keyed.entry(key) else {
            return None;
        };
        let entry = take(place, None)?;
        self.keyed_len = self.keyed_len.saturating_sub(1);
        Some(entry)
    }

    /// Whether a request of that key waits for its response.
    pub(crate) fn awaits(&self, key: u64) -> bool {
        self.keyed.get(&key).is_some_and(|slot| slot.entries().any(|entry| entry.response == Part::Awaited))
    }
}

/// Takes the entry of that id, or the oldest, from those of a key.
fn take(mut place: OccupiedEntry<'_, u64, Slot>, id: Option<u64>) -> Option<Entry> {
    let slot = place.get_mut();
    if id.is_none_or(|id| slot.first.id == id) {
        return Some(match slot.more.pop_front() {
            Some(next) => std::mem::replace(&mut slot.first, next),
            None => place.remove().first,
        });
    }
    let at = slot.more.iter().position(|entry| Some(entry.id) == id)?;
    slot.more.remove(at)
}

/// The last call that carried a message gives the time of its return.
fn widen(point: &mut Option<ThreadPoint>, end: Option<ThreadPoint>) {
    match (point.as_mut(), end) {
        (Some(point), Some(end)) => point.exit = point.exit.max(end.exit),
        (None, end) => *point = end,
        (Some(_), None) => {}
    }
}

fn give_up(mut entry: Entry, how: Ended) -> Session {
    let session = &mut entry.session;
    if entry.response == Part::Awaited {
        if entry.doubtful {
            session.completeness.add(Completeness::GAP);
        } else if let Some(why) = entry.refused.filter(|_| session.fields.status == Status::Unknown) {
            session.fields.status = Status::ServerError;
            if session.fields.exception.is_empty() {
                session.fields.exception = why.into();
            }
        } else {
            match how {
                Ended::Closed(by) => unanswered(&mut session.fields, by),
                Ended::Capture(end) => {
                    let since = session.request_ts.unwrap_or(end);
                    if end.saturating_sub(since) > entry.timeout {
                        session.fields.status = Status::Timeout;
                    } else {
                        session.completeness.add(Completeness::ENDED_AFTER);
                    }
                }
            }
        }
    } else if entry.response == Part::Open && matches!(how, Ended::Capture(_)) {
        session.completeness.add(Completeness::ENDED_AFTER);
    }
    entry.session
}

/// What becomes of a request whose connection a side ended, before or inside its answer.
pub(crate) fn cut_off(by: Side, inside: bool) -> (Status, &'static str) {
    match (by, inside) {
        (Side::Client, false) => (Status::ClientError, "connection closed by the client before a response"),
        (Side::Client, true) => (Status::ClientError, "connection closed by the client inside the response"),
        (Side::Server, false) => (Status::ServerError, "connection closed by the server before a response"),
        (Side::Server, true) => (Status::ServerError, "connection closed by the server inside the response"),
    }
}

/// No answer comes any more, as the connection is over: an error of whoever ended it, unless the request itself says how it ended.
fn unanswered(fields: &mut RequestFields, by: Option<Side>) {
    if fields.status != Status::Unknown || fields.is_async {
        return;
    }
    let (status, text) = by.map_or((Status::Unknown, "connection closed before a response"), |by| cut_off(by, false));
    fields.status = status;
    if fields.exception.is_empty() {
        fields.exception = text.into();
    }
}

/// What the response says is added to what the request said.
fn merge(into: &mut RequestFields, from: RequestFields) {
    fn text(into: &mut Box<str>, from: Box<str>) {
        if !from.is_empty() {
            *into = from;
        }
    }
    fn keep(into: &mut Box<str>, from: Box<str>) {
        if into.is_empty() {
            *into = from;
        }
    }
    if !from.l7_protocol.is_empty() {
        into.l7_protocol = from.l7_protocol;
    }
    if !from.version.is_empty() {
        into.version = from.version;
    }
    text(&mut into.request_type, from.request_type);
    text(&mut into.request_domain, from.request_domain);
    text(&mut into.request_resource, from.request_resource);
    text(&mut into.endpoint, from.endpoint);
    text(&mut into.exception, from.exception);
    text(&mut into.result, from.result);
    into.session_id = from.session_id.or(into.session_id);
    // A request that reports an error (a close with a reason) stays one when it is acknowledged.
    if from.status != Status::Unknown && !(from.status == Status::Ok && into.status.is_error()) {
        into.status = from.status;
    }
    into.code = from.code.or(into.code);
    into.affected_rows = from.affected_rows.or(into.affected_rows);
    keep(&mut into.trace_id, from.trace_id);
    keep(&mut into.span_id, from.span_id);
    keep(&mut into.parent_span_id, from.parent_span_id);
    keep(&mut into.x_request_id, from.x_request_id);
    keep(&mut into.user_agent, from.user_agent);
    into.is_async |= from.is_async;
    if into.attributes.is_empty() {
        into.attributes = from.attributes;
    } else {
        into.attributes.extend(from.attributes);
    }
}
