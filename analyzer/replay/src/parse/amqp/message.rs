//! AMQP methods as rows see them.

use super::super::cursor::Cursor;
use super::super::mask::{Masker, Secret};
use super::super::text::clean_to;
use super::super::trace_context;
use crate::model::{RequestFields, Side, Status};

/// What a method is in the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Asks,
    Answers,
    AnswersWithContent,
    /// A header and bodies follow; no answer.
    Content,
    Alone,
}

type Entry = (u16, u16, &'static str, Role, Option<Side>);

const C: Option<Side> = Some(Side::Client);
const S: Option<Side> = Some(Side::Server);

const METHODS: [Entry; 65] = [
    (10, 10, "Connection.Start", Role::Asks, S),
    (10, 11, "Connection.StartOk", Role::Answers, C),
    (10, 20, "Connection.Secure", Role::Asks, S),
    (10, 21, "Connection.SecureOk", Role::Answers, C),
    (10, 30, "Connection.Tune", Role::Asks, S),
    (10, 31, "Connection.TuneOk", Role::Answers, C),
    (10, 40, "Connection.Open", Role::Asks, C),
    (10, 41, "Connection.OpenOk", Role::Answers, S),
    (10, 50, "Connection.Close", Role::Asks, None),
    (10, 51, "Connection.CloseOk", Role::Answers, None),
    (10, 60, "Connection.Blocked", Role::Alone, S),
    (10, 61, "Connection.Unblocked", Role::Alone, S),
    (10, 70, "Connection.UpdateSecret", Role::Asks, C),
    (10, 71, "Connection.UpdateSecretOk", Role::Answers, S),
    (20, 10, "Channel.Open", Role::Asks, C),
    (20, 11, "Channel.OpenOk", Role::Answers, S),
    (20, 20, "Channel.Flow", Role::Asks, None),
    (20, 21, "Channel.FlowOk", Role::Answers, None),
    (20, 40, "Channel.Close", Role::Asks, None),
    (20, 41, "Channel.CloseOk", Role::Answers, None),
    (30, 10, "Access.Request", Role::Asks, C),
    (30, 11, "Access.RequestOk", Role::Answers, S),
    (40, 10, "Exchange.Declare", Role::Asks, C),
    (40, 11, "Exchange.DeclareOk", Role::Answers, S),
    (40, 20, "Exchange.Delete", Role::Asks, C),
    (40, 21, "Exchange.DeleteOk", Role::Answers, S),
    (40, 30, "Exchange.Bind", Role::Asks, C),
    (40, 31, "Exchange.BindOk", Role::Answers, S),
    (40, 40, "Exchange.Unbind", Role::Asks, C),
    (40, 51, "Exchange.UnbindOk", Role::Answers, S),
    (50, 10, "Queue.Declare", Role::Asks, C),
    (50, 11, "Queue.DeclareOk", Role::Answers, S),
    (50, 20, "Queue.Bind", Role::Asks, C),
    (50, 21, "Queue.BindOk", Role::Answers, S),
    (50, 30, "Queue.Purge", Role::Asks, C),
    (50, 31, "Queue.PurgeOk", Role::Answers, S),
    (50, 40, "Queue.Delete", Role::Asks, C),
    (50, 41, "Queue.DeleteOk", Role::Answers, S),
    (50, 50, "Queue.Unbind", Role::Asks, C),
    (50, 51, "Queue.UnbindOk", Role::Answers, S),
    (60, 10, "Basic.Qos", Role::Asks, C),
    (60, 11, "Basic.QosOk", Role::Answers, S),
    (60, 20, "Basic.Consume", Role::Asks, C),
    (60, 21, "Basic.ConsumeOk", Role::Answers, S),
    (60, 30, "Basic.Cancel", Role::Asks, None),
    (60, 31, "Basic.CancelOk", Role::Answers, None),
    (60, 40, "Basic.Publish", Role::Content, C),
    (60, 50, "Basic.Return", Role::Content, S),
    (60, 60, "Basic.Deliver", Role::Content, S),
    (60, 70, "Basic.Get", Role::Asks, C),
    (60, 71, "Basic.GetOk", Role::AnswersWithContent, S),
    (60, 72, "Basic.GetEmpty", Role::Answers, S),
    (60, 80, "Basic.Ack", Role::Alone, None),
    (60, 90, "Basic.Reject", Role::Alone, C),
    (60, 100, "Basic.RecoverAsync", Role::Alone, C),
    (60, 110, "Basic.Recover", Role::Asks, C),
    (60, 111, "Basic.RecoverOk", Role::Answers, S),
    (60, 120, "Basic.Nack", Role::Alone, None),
    (85, 10, "Confirm.Select", Role::Asks, C),
    (85, 11, "Confirm.SelectOk", Role::Answers, S),
    (90, 10, "Tx.Select", Role::Asks, C),
    (90, 11, "Tx.SelectOk", Role::Answers, S),
    (90, 20, "Tx.Commit", Role::Asks, C),
    (90, 21, "Tx.CommitOk", Role::Answers, S),
    (90, 30, "Tx.Rollback", Role::Asks, C),
];

/// A method frame.
#[derive(Debug)]
pub(super) struct Method<'a> {
    entry: &'static Entry,
    arguments: &'a [u8],
}

fn short<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let length = usize::from(cursor.u8()?);
    Some(cursor.up_to(length))
}

impl<'a> Method<'a> {
    /// `None`: unknown.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let (class, method) = (cursor.u16()?, cursor.u16()?);
        if (class, method) == (90, 31) {
            static ROLLBACK_OK: Entry = (90, 31, "Tx.RollbackOk", Role::Answers, S);
            return Some(Self { entry: &ROLLBACK_OK, arguments: cursor.rest() });
        }
        let entry = METHODS.iter().find(|entry| (entry.0, entry.1) == (class, method))?;
        Some(Self { entry, arguments: cursor.rest() })
    }

    pub(super) fn sender(&self) -> Option<Side> {
        self.entry.4
    }

    pub(super) fn role(&self) -> Role {
        if self.entry.3 == Role::Asks && self.no_wait() == Some(true) { Role::Alone } else { self.entry.3 }
    }

    /// The sender wants no answer (field `no-wait`).
    fn no_wait(&self) -> Option<bool> {
        // Bytes and short strings in front of the bits, and which of these it is.
        let (skip, strings, bit) = match (self.entry.0, self.entry.1) {
            (40, 10) => (2, 2, 4),
            (40, 20) => (2, 1, 1),
            (40, 30 | 40) | (50, 20) => (2, 3, 0),
            (50, 10) => (2, 1, 4),
            (50, 30) => (2, 1, 0),
            (50, 40) => (2, 1, 2),
            (60, 20) => (2, 2, 3),
            (60, 30) => (0, 1, 0),
            (85, 10) => (0, 0, 0),
            _ => return None,
        };
        let mut cursor = Cursor::new(self.arguments);
        cursor.take(skip)?;
        for _ in 0..strings {
            let length = usize::from(cursor.u8()?);
            cursor.take(length)?;
        }
        cursor.u8().map(|bits| bits >> bit & 1 == 1)
    }

    pub(super) fn closes(&self) -> bool {
        matches!((self.entry.0, self.entry.1), (10, 50) | (20, 40))
    }

    fn close_code(&self) -> Option<u16> {
        Cursor::new(self.arguments).u16().filter(|_| self.closes())
    }

    /// Closed because of an error.
    pub(super) fn failed(&self) -> bool {
        self.close_code().is_some_and(|code| code >= 300)
    }

    /// Connection.Open names it.
    pub(super) fn vhost(&self) -> Option<Box<str>> {
        ((self.entry.0, self.entry.1) == (10, 40))
            .then(|| short(&mut Cursor::new(self.arguments)).map(|name| clean_to(name, 128)))
            .flatten()
    }

    /// As a row.
    pub(super) fn fields(&self, vhost: &str, mask: &mut Masker) -> RequestFields {
        let mut fields = RequestFields {
            l7_protocol: "amqp",
            version: "0-9-1",
            request_type: self.entry.2.into(),
            request_domain: vhost.into(),
            ..RequestFields::default()
        };
        let mut cursor = Cursor::new(self.arguments);
        let mut two = |skip: usize, cursor: &mut Cursor<'_>| {
            cursor.take(skip);
            let first = short(cursor).map(|name| clean_to(name, 256)).unwrap_or_default();
            let second = short(cursor).map(|name| clean_to(name, 256)).unwrap_or_default();
            fields.request_resource = match (first.is_empty(), second.is_empty()) {
                (false, false) => format!("{first}.{second}").into(),
                (true, _) => second,
                (_, true) => first,
            };
        };
        match (self.entry.0, self.entry.1) {
            // Ticket, exchange, routing key.
            (60, 40) => two(2, &mut cursor),
            (60, 50) => {
                cursor.take(2);
                short(&mut cursor);
                two(0, &mut cursor);
            }
            (60, 60) => {
                short(&mut cursor);
                two(9, &mut cursor);
            }
            (40 | 50, _) | (60, 20 | 70) => {
                cursor.take(2);
                fields.request_resource = short(&mut cursor).map(|name| clean_to(name, 256)).unwrap_or_default();
            }
            _ => {}
        }
        fields.endpoint = fields.request_resource.clone();
        if let Some(code) = self.close_code() {
            let mut cursor = Cursor::new(self.arguments);
            cursor.take(2);
            if code >= 300 {
                fields.code = Some(i32::from(code));
                fields.exception = short(&mut cursor).map(|text| clean_to(text, 256)).unwrap_or_default();
                // Soft errors and refusals are the client's; 5xx but for those are the server's (section 1.7).
                fields.status = match code {
                    320 | 506 | 540 | 541 => Status::ServerError,
                    _ => Status::ClientError,
                };
            }
        }
        if self.entry.2 == "Connection.StartOk" && !mask.shows() {
            mask.hid(Secret::Login, 1);
        }
        fields
    }

    /// As an answer.
    pub(super) fn answer(&self) -> RequestFields {
        RequestFields { status: Status::Ok, result: self.entry.2.into(), ..RequestFields::default() }
    }
}

/// Body size of a content header; trace context from its headers table.
pub(super) fn content_header(body: &[u8], fields: &mut RequestFields) -> u64 {
    let mut cursor = Cursor::new(body);
    let mut read = || {
        cursor.take(4)?;
        let size = cursor.u64()?;
        let flags = cursor.u16()?;
        Some((size, flags))
    };
    let Some((size, flags)) = read() else {
        return 0;
    };
    // Content type and encoding stand before the headers.
    for bit in [0x8000, 0x4000] {
        if flags & bit != 0 {
            short(&mut cursor);
        }
    }
    if flags & 0x2000 != 0 {
        let length = cursor.u32().unwrap_or_default() as usize;
        let mut table = Cursor::new(cursor.up_to(length));
        for _ in 0..64 {
            let Some(name) = short(&mut table) else {
                break;
            };
            let value = match table.u8() {
                Some(b'S' | b'x') => {
                    let length = table.u32().unwrap_or_default() as usize;
                    table.up_to(length)
                }
                Some(b't' | b'b' | b'B') => table.up_to(1),
                Some(b's' | b'u' | b'U') => table.up_to(2),
                Some(b'I' | b'i' | b'f') => table.up_to(4),
                Some(b'l' | b'L' | b'd' | b'T') => table.up_to(8),
                Some(b'D') => table.up_to(5),
                Some(b'V') => &[],
                Some(b'F' | b'A') => {
                    let length = table.u32().unwrap_or_default() as usize;
                    table.up_to(length)
                }
                _ => break,
            };
            trace_context::header(name, value, fields);
        }
    }
    size
}
