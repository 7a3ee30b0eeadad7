//! Protocols: from the bytes of a conversation to requests and responses.
//!
//! [`Conversation`] is the driver: it keeps the two directions, skips bodies without buffering them, stands gaps and
//! cut payloads, finds the protocol (on any port, from either direction, in the middle of a stream) and hands what the
//! protocol's [`Parser`] yields to [`crate::pair`].
//!
//! A protocol is a folder (`mod.rs`: detect and parse, `message.rs`: what it yields, `tests.rs`) and one line in
//! [`registry`]. Parsers are sans-IO and total: bytes in, a [`Step`] out. They never see a time or a place other than
//! as a [`Mark`] that they may keep and hand back.

mod cgi;
mod cursor;
mod detect;
mod frame;
mod half;
pub mod mask;
mod message;
mod protobuf;
mod registry;
mod sql;
mod stream;
mod text;
mod trace_context;
mod unpack;

mod amqp;
mod amqp1;
mod brpc;
mod cassandra;
mod dameng;
mod dhcp;
mod dns;
mod dtls;
mod dubbo;
mod fastcgi;
mod http1;
mod http2;
mod icmp;
mod imap;
mod inside;
mod iso8583;
mod kafka;
mod ldap;
mod memcached;
mod mongodb;
mod mqtt;
mod mysql;
mod mysqlx;
mod nats;
mod ntp;
mod openvpn;
mod openwire;
mod oracle;
mod pop3;
mod postgresql;
mod proxy;
mod pulsar;
mod quic;
mod radius;
mod redis;
mod rocketmq;
mod sip;
mod smb;
mod smtp;
mod snmp;
mod sofarpc;
mod some_ip;
mod syslog;
mod tars;
mod tds;
mod thrift;
mod tls;
mod trpc;
mod uwsgi;
mod websocket;
mod websphere_mq;
mod zmtp;
mod zookeeper;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod script;

use crate::model::Session;
pub use message::Segment;
pub use stream::{Conversation, ParseOptions};

pub(crate) use message::{Kind, Mark, Message};

use crate::model::{Nanos, Side, Transport};
use crate::pair::Pairer;
use mask::Masker;

/// What a parser says of the bytes it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first `n` bytes are understood. `n` may be more than was shown: the rest is skipped without being
    /// buffered, through gaps too. Messages emitted in this step end where the step ends, unless held open.
    Consume(u64),
    /// At least this many bytes must be in view (more than were shown) before it makes sense to ask again.
    More(usize),
    /// What follows cannot be delimited (a head cut by a gap): messages emitted in this step are kept, and go on
    /// until the next segment that a message starts in.
    Lose,
    /// This is not the protocol, or it is damaged here.
    Reject(&'static str),
}

/// Bytes in view of a parser: from where its last step on that side ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    /// Contiguous bytes.
    pub(crate) bytes: &'a [u8],
    /// No bytes follow these: a gap, the end, or a datagram's end. `More` then means that the message is lost.
    pub(crate) cut: bool,
}

/// What to do with the rest of the conversation.
#[derive(Clone, Copy)]
pub(crate) enum Switch {
    /// Another protocol takes over, known by name.
    To(&'static str),
    /// This one takes over.
    Start(&'static Protocol),
    /// Something else follows: look anew.
    Detect,
}

/// Where a parser puts what it finds in one step.
pub(crate) struct Output<'o> {
    /// Messages of this step.
    pub(crate) messages: Vec<Message>,
    /// The message in progress does not end with this step.
    pub(crate) hold: bool,
    /// Change of protocol after this step.
    pub(crate) switch: Option<Switch>,
    /// The other side's waiting bytes may be understood now.
    pub(crate) kick: bool,
    /// An attribute of all requests of the connection from now on.
    pub(crate) note: Option<(&'static str, Box<str>)>,
    /// Where the step starts.
    pub(crate) mark: Mark,
    /// Bytes of the present datagram that were not captured.
    pub(crate) uncaptured: u64,
    /// Requests are counted only: their texts need not be kept.
    pub(crate) brief: bool,
    /// Masks secrets.
    pub(crate) mask: &'o mut Masker,
    /// What is open.
    pairer: Option<&'o Pairer>,
}

impl<'o> Output<'o> {
    /// For a step that starts at `mark`.
    fn new(mark: Mark, mask: &'o mut Masker) -> Self {
        Self::with(Vec::new(), mark, mask)
    }

    /// The same, with a vector to be used again.
    fn with(messages: Vec<Message>, mark: Mark, mask: &'o mut Masker) -> Self {
        Self {
            messages,
            hold: false,
            switch: None,
            kick: false,
            note: None,
            mark,
            uncaptured: 0,
            brief: false,
            mask,
            pairer: None,
        }
    }

    /// Whether a request of this key waits for its response, so that the response need not repeat it.
    pub(crate) fn is_awaited(&self, key: u64) -> bool {
        self.pairer.is_some_and(|pairer| pairer.awaits(key))
    }

    /// Adds a message.
    pub(crate) fn emit(&mut self, message: Message) {
        self.messages.push(message);
    }
}

/// A protocol's state on one connection.
pub(crate) trait Parser: Send {
    /// Looks at the bytes of one side; `side` is already right even if the caller had both sides the other way round.
    fn parse(&mut self, side: Side, input: Input<'_>, out: &mut Output<'_>) -> Step;

    /// Whether a message of `side` plausibly starts with these bytes: asked after a gap, at the start of segments.
    fn resumes(&self, side: Side, bytes: &[u8]) -> bool;

    /// The place in the stream of `side` is lost; the next bytes are those that `resumes` accepted. Messages emitted
    /// here (what is known of one that was being read) go on until then.
    fn lost(&mut self, side: Side, out: &mut Output<'_>);

    /// While a message of `side` is being passed over that the other side takes for finished: whether the next one plainly starts with
    /// these bytes. If so, the parser goes on as if it did.
    fn restarts(&mut self, _side: Side, _bytes: &[u8]) -> bool {
        false
    }

    /// No more data comes; `out.mark` is the end of the last data of the server.
    fn close(&mut self, _out: &mut Output<'_>) {}
}

/// What first bytes look like to a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detection {
    /// Not this protocol.
    No,
    /// Too few bytes to tell, so far it fits.
    More,
    /// It fits.
    Yes {
        /// 0..=100: from 50 on it is believed without the usual port, from 90 on nothing else is tried.
        confidence: u8,
        /// Which side sends such bytes, if only one does.
        from: Option<Side>,
    },
}

/// What detection may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct First<'a> {
    /// First bytes of one side, or of a later segment of it.
    pub(crate) bytes: &'a [u8],
    /// Whether more bytes may follow directly.
    pub(crate) whole: bool,
    /// The conversation's transport.
    pub(crate) transport: Transport,
}

/// A protocol: its line in the registry.
pub(crate) struct Protocol {
    /// As in the tables.
    pub(crate) name: &'static str,
    /// Ports where it is at home: they decide between candidates.
    pub(crate) ports: &'static [u16],
    /// A request without response is `timeout` after this long.
    pub(crate) timeout: Nanos,
    /// Looks at first bytes.
    pub(crate) detect: fn(First<'_>) -> Detection,
    /// State for a new connection.
    pub(crate) start: fn(Transport) -> Box<dyn Parser>,
}
