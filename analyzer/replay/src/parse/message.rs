//! What goes into a conversation (segments), what parsers yield (messages); what comes out is [`crate::model::Session`].

use crate::model::{Completeness, Nanos, RequestFields, Side, ThreadPoint};

/// A piece of one direction, in stream order (TCP, UNIX), or one datagram.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Who sent it, as the caller sees the sides.
    pub from: Side,
    /// Packets: their time. System calls: entered for what the process sends, returned for what it receives.
    pub start_ts: Nanos,
    /// Time of the last byte. Equals `start_ts` for packets, and for calls that did not wait for the other side.
    pub end_ts: Nanos,
    /// TCP sequence number of the first byte.
    pub tcp_seq: Option<u32>,
    /// System calls: which thread.
    pub point: Option<ThreadPoint>,
    /// The bytes that were captured.
    pub data: &'a [u8],
    /// Bytes right after `data` that belong to the stream but were not captured (snaplen, prefix limit).
    pub missing: u32,
}

/// A place in one direction of a conversation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    /// Bytes of that direction before it.
    pub(crate) offset: u64,
    /// Start of a message: `start_ts` of the segment. End: `end_ts`.
    pub(crate) ts: Nanos,
    /// TCP sequence number of the byte here.
    pub(crate) tcp_seq: Option<u32>,
    /// Thread.
    pub(crate) point: Option<ThreadPoint>,
}

/// Role of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asks for a response.
    Request,
    /// Answers: the oldest open request, or the one with the same key.
    Response,
    /// Stands alone, from either side.
    OneWay,
    /// Adds to what is said of the request with the same key that waits for its response, and is no answer. Without such a request it
    /// is a response whose request was not seen.
    Note,
}

/// What a parser yields.
#[derive(Debug)]
pub(crate) struct Message {
    /// Role.
    pub(crate) kind: Kind,
    /// The protocol's id, where it pairs by id; in order otherwise.
    pub(crate) key: Option<u64>,
    /// First byte, if it came in an earlier step.
    pub(crate) start: Option<Mark>,
    /// End, if it is not that of this step (multiplexed protocols).
    pub(crate) end: Option<Mark>,
    /// It ends with what the other side has sent so far: a response that only the next request shows to be over.
    pub(crate) ends_elsewhere: bool,
    /// Bytes, if they are not those from start to end (multiplexed protocols).
    pub(crate) bytes: Option<u64>,
    /// What it says. For a response: what it adds or overrides.
    pub(crate) fields: Box<RequestFields>,
    /// What is wrong with it, as far as the parser knows.
    pub(crate) completeness: Completeness,
}

impl Message {
    /// A message that starts and ends with the step that emits it, paired in order.
    pub(crate) fn new(kind: Kind, fields: RequestFields) -> Self {
        Self::of(kind, Box::new(fields))
    }

    /// The same of fields that have their place already.
    pub(crate) fn of(kind: Kind, fields: Box<RequestFields>) -> Self {
        let completeness = Completeness::default();
        Self { kind, key: None, start: None, end: None, ends_elsewhere: false, bytes: None, fields, completeness }
    }

    /// Pairs by id.
    pub(crate) fn keyed(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }

    /// Started in an earlier step.
    pub(crate) fn since(mut self, start: Mark) -> Self {
        self.start = Some(start);
        self
    }

    /// Marks a cut payload.
    pub(crate) fn truncated(mut self, yes: bool) -> Self {
        if yes {
            self.completeness.add(Completeness::TRUNCATED_PAYLOAD);
        }
        self
    }
}
