//! The life of one socket: from connect or accept (or from the first data seen) to its close.

use super::Listening;
use super::key::{AF_UNIX, ip, transport};
use super::log::{Io, What};
use super::output::Finished;
use super::rows::{Asked, SocketRows};
use super::sides::{self, Decided};
use crate::hops::{PlaceLog, Seen, datagram_hash};
use crate::model::{Completeness, Nanos, Side, ThreadPoint, Transport};
use crate::parse::{Conversation, ParseOptions, Segment};
use formats::event::{SocketData, call, data_flag};
use std::net::IpAddr;

/// SOCK_STREAM.
const SOCK_STREAM: u16 = 1;
/// Largest jump of sequence numbers that is taken for lost records; beyond that the number itself is doubted.
const MAX_GAP: u32 = 1 << 30;
/// What a TCP socket's send buffer holds at the least on Linux (`tcp_wmem`'s default, which the handshake makes larger).
const SEND_BUFFER: u64 = 16 * 1024;
/// Errors of calls, as Linux numbers them.
pub(super) mod errno {
    pub(crate) const EINTR: i64 = -4;
    pub(crate) const EPIPE: i64 = -32;
    pub(crate) const ECONNRESET: i64 = -104;
    pub(crate) const EISCONN: i64 = -106;
    pub(crate) const ETIMEDOUT: i64 = -110;
    pub(crate) const ECONNREFUSED: i64 = -111;
    pub(crate) const ENETUNREACH: i64 = -101;
    pub(crate) const EHOSTUNREACH: i64 = -113;
    pub(crate) const EALREADY: i64 = -114;
    pub(crate) const EINPROGRESS: i64 = -115;
}

/// How a socket's life began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Connect,
    Accept,
}

/// Whether bytes went into the process or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Out,
    In,
}

impl Direction {
    pub(super) fn of(data: &SocketData) -> Self {
        if data.flags & data_flag::INGRESS != 0 { Self::In } else { Self::Out }
    }
}

/// A record with its times in UTC.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) data: SocketData,
    pub(super) enter: Nanos,
    pub(super) exit: Nanos,
    /// The captured prefix, then the bytes of all `pieces`.
    pub(super) payload: Vec<u8>,
    /// What was captured behind the prefix: offset in the call and length of each.
    pub(super) pieces: Vec<(u32, u32)>,
}

impl Call {
    /// Place in time: data leaves a process when it calls, and has arrived when the call returns.
    pub(super) fn moment(&self) -> Nanos {
        match self.data.call {
            call::ACCEPT => self.exit,
            call::CONNECT | call::CLOSE | call::SHUTDOWN => self.enter,
            _ if Direction::of(&self.data) == Direction::In => self.exit,
            _ => self.enter,
        }
    }

    /// What was captured of the `len` bytes moved: runs without a hole, each with its offset and the number of bytes
    /// missing behind it.
    fn runs(&self, len: u32) -> impl Iterator<Item = (u32, &[u8], u32)> {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let in_pieces: u32 = self.pieces.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n));
        let mut pieces = self.pieces.iter().copied().peekable();
        let mut rest = self.payload.as_slice();
        let mut next = Some((0, small(rest.len()).saturating_sub(in_pieces)));
        std::iter::from_fn(move || {
            let (offset, n) = next.take()?;
            let offset = offset.min(len);
            let mut end = offset.saturating_add(n);
            while let Some((_, more)) = pieces.next_if(|(at, _)| *at <= end) {
                end = end.saturating_add(more);
            }
            next = pieces.next();
            let (run, behind) = rest.split_at(((end - offset) as usize).min(rest.len()));
            rest = behind;
            let run = run.get(..(len - offset) as usize).unwrap_or(run);
            let until = next.map_or(len, |(at, _)| at.min(len));
            Some((offset, run, until.saturating_sub(offset.saturating_add(small(run.len())))))
        })
    }

    fn point(&self) -> ThreadPoint {
        ThreadPoint { pid: self.data.hdr.pid, tid: self.data.hdr.tid, enter: self.enter, exit: self.exit }
    }
}

/// One end of a conversation; UNIX sockets have no address.
pub(super) type End = (Option<IpAddr>, u16);

/// A socket while it lives.
pub(super) struct Stream {
    conversation: Conversation,
    asked: Asked,
    io: Vec<Io>,
    decided: Decided,
    opening: Option<Opening>,
    /// Error of a connect that failed.
    failed: i64,
    /// Error of a read or write that found the connection broken.
    broken: Option<i64>,
    transport: Transport,
    streaming: bool,
    netns: u32,
    sock: u64,
    peer: u64,
    local: End,
    remote: End,
    opener: u32,
    mover: u32,
    start: Nanos,
    end: Nanos,
    closed: bool,
    bytes: [u64; 2],
    /// Bytes sent since something last came in.
    in_a_row: u64,
    missed: [u64; 2],
    next_seq: [Option<u32>; 2],
    completeness: Completeness,
    /// For comparing it with packets.
    log: Option<Box<PlaceLog>>,
}

impl Stream {
    /// A life that begins with `call`: an opening, or the first data seen.
    pub(super) fn new(first: &Call, opening: Option<Opening>, parse: &ParseOptions, listening: &Listening) -> Self {
        let data = &first.data;
        let transport = transport(data);
        let (local, remote) = ends(data);
        let direction = Direction::of(data);
        let decided = sides::decide(opening, transport, data.netns, local.1, remote.1, direction, listening);
        let (client, server) = match decided.this {
            Side::Client => (local, remote),
            Side::Server => (remote, local),
        };
        let streaming = data.sock_type == SOCK_STREAM || transport == Transport::Tcp;
        // Byte offsets serve UNIX streams as sequence numbers: both ends count the same bytes.
        let counted = (transport == Transport::Unix && streaming).then_some(0);
        let mut completeness = Completeness::default();
        if opening.is_none() && streaming {
            completeness.add(Completeness::STARTED_BEFORE);
        }
        let at = first.moment();
        Self {
            conversation: Conversation::with_options(transport, client.1, server.1, parse),
            asked: Asked::default(),
            io: Vec::new(),
            decided,
            opening,
            failed: 0,
            broken: None,
            transport,
            streaming,
            netns: data.netns,
            sock: data.sock,
            peer: data.peer,
            local,
            remote,
            opener: data.hdr.pid,
            mover: 0,
            start: at,
            end: at,
            closed: false,
            bytes: [0; 2],
            in_a_row: 0,
            missed: [0; 2],
            next_seq: [counted; 2],
            completeness,
            log: None,
        }
    }

    /// Whether a record of the same socket identity is about another connection.
    pub(super) fn is_other(&self, data: &SocketData) -> bool {
        if data.family == AF_UNIX {
            return data.peer != 0 && self.peer != 0 && data.peer != self.peer;
        }
        let (local, remote) = ends(data);
        let differs = |mine: End, theirs: End| mine.1 != 0 && theirs.1 != 0 && mine != theirs;
        // A datagram socket's own address is known only once it is bound; its peer is part of the key.
        self.transport == Transport::Tcp && (differs(self.remote, remote) || differs(self.local, local))
    }

    /// Whether it was there at that time.
    pub(super) fn began_before(&self, ts: Nanos) -> bool {
        self.start < ts
    }

    /// Whether a connect is a later call for this same, still unused, connection.
    pub(super) fn opened_by_same(&self, data: &SocketData) -> bool {
        self.opening == Some(Opening::Connect) && self.bytes == [0; 2] && self.opener == data.hdr.pid
    }

    /// The call that opened this life, or a later call of connect that asks how it went.
    pub(super) fn opened(&mut self, opened: &Call) {
        self.see(opened);
        let what = if opened.data.call == call::ACCEPT { What::Accept } else { What::Connect };
        self.note(opened, what);
        // Where its own bytes will start, so that lost first ones are noticed.
        if self.transport == Transport::Tcp && self.bytes == [0; 2] {
            self.next_seq[Direction::Out as usize] = seq(&opened.data).filter(|&seq| seq != 0);
        }
        let ret = opened.data.ret;
        let pending = [errno::EINPROGRESS, errno::EALREADY, errno::EINTR, errno::EISCONN].contains(&ret);
        self.failed = if ret < 0 && !pending { ret } else { 0 };
    }

    /// The call that ends it for one process. Whether it ends the life: others may hold the socket too.
    pub(super) fn closed(&mut self, close: &Call) -> bool {
        self.see(close);
        let pid = close.data.hdr.pid;
        let last = pid == self.mover || (self.mover == 0 && self.opening == Some(Opening::Connect));
        self.closed |= last;
        // Who has read less than there was may have read it in ways that are not seen; who writes is seen.
        if last && self.decided.this == Side::Server {
            self.conversation.leaves(Side::Server);
        } else if last && self.streaming {
            self.conversation.lets_go(self.decided.this);
        }
        last
    }

    fn see(&mut self, call: &Call) {
        let (local, remote) = ends(&call.data);
        let unspecified = |end: &End| end.0.is_none_or(|ip| ip.is_unspecified());
        if self.local.1 == 0 || (unspecified(&self.local) && !unspecified(&local)) {
            self.local = local;
        }
        if self.remote.1 == 0 {
            self.remote = remote;
        }
        if self.peer == 0 {
            self.peer = call.data.peer;
        }
        self.start = self.start.min(call.moment());
        self.end = self.end.max(call.exit);
    }

    fn note(&mut self, call: &Call, what: What) {
        let (pid, tid) = (call.data.hdr.pid, call.data.hdr.tid);
        self.io.push(Io { ts: call.moment(), pid, tid, what, ..Io::default() });
    }

    /// The sequence number that would continue what was seen in the call's direction, and the call's own.
    pub(super) fn continues(&self, data: &SocketData) -> bool {
        let expected = self.next_seq[Direction::of(data) as usize];
        match (expected, seq(data)) {
            (Some(expected), Some(seq)) => seq == expected || is_before(seq, expected),
            _ => true,
        }
    }

    /// Bytes moved.
    pub(super) fn moved(&mut self, moved: &Call, rows: &mut SocketRows) {
        let data = &moved.data;
        let direction = Direction::of(data);
        if data.ret <= 0 {
            if [errno::ECONNRESET, errno::EPIPE, errno::ETIMEDOUT].contains(&data.ret) {
                self.see(moved);
                self.broken.get_or_insert(data.ret);
            }
            // A connected datagram socket is told of ICMP errors by its next call (udp(7)).
            if self.transport == Transport::Udp
                && let Some(why) = undelivered(data.ret)
            {
                self.see(moved);
                self.conversation.refused(self.decided.this, moved.exit, why);
            }
            // The end of the stream, unless something before it was read unseen; a FIN may count as one.
            let expected = self.next_seq[Direction::In as usize].zip(seq(data));
            let unseen = expected.is_some_and(|(expected, seq)| seq.wrapping_sub(expected) > 1);
            let read_end = data.ret == 0 && direction == Direction::In && self.streaming && !unseen;
            if read_end || [errno::ECONNRESET, errno::EPIPE].contains(&data.ret) {
                self.conversation.leaves(self.decided.this.other());
            }
            return;
        }
        self.see(moved);
        self.mover = data.hdr.pid;
        self.closed = false;
        let len = u32::try_from(data.ret).unwrap_or(u32::MAX);
        let from = match direction {
            Direction::Out => self.decided.this,
            Direction::In => self.decided.this.other(),
        };
        let next = &mut self.next_seq[direction as usize];
        let at = match (*next, seq(data)) {
            (Some(expected), Some(seq)) => {
                let jump = seq.wrapping_sub(expected);
                // Where the number was taken after the call, a FIN that came with the last data is counted in.
                let fin = direction == Direction::In && jump == 1 && data.flags & data_flag::NO_ENTRY != 0;
                let (seq, jump) = if fin { (expected, 0) } else { (seq, jump) };
                // A number that lies behind was read while another thread was moving data: the stream goes on where it was.
                if jump != 0 && jump <= MAX_GAP {
                    self.conversation.gap(from, u64::from(jump), moved.moment(), Completeness::GAP);
                    self.missed[direction as usize] += u64::from(jump);
                    self.completeness.add(Completeness::GAP);
                    Some(seq)
                } else if is_before(seq, expected) {
                    Some(expected)
                } else {
                    Some(seq)
                }
            }
            (expected, seq) => seq.or(expected),
        };
        *next = at.map(|at| at.wrapping_add(len));
        self.bytes[direction as usize] += u64::from(len);
        let last_byte = self.last_byte(moved, direction, len);
        self.note(moved, if direction == Direction::In { What::Read } else { What::Write });

        self.keep(moved, at, len);

        // sendfile and splice hand over no payload: a body from a file, or passed on between sockets.
        for (offset, kept, missing) in moved.runs(len) {
            self.conversation.data(&Segment {
                from,
                start_ts: moved.moment(),
                end_ts: last_byte,
                tcp_seq: at.map(|at| at.wrapping_add(offset)),
                point: Some(moved.point()),
                data: kept,
                missing,
            });
        }
        if self.conversation.has_sessions() {
            rows.take(&mut self.asked, |out| self.conversation.sessions(out));
        }
    }

    /// When the last byte of a call left the process, or came to it.
    ///
    /// What finds room in the send buffer leaves at once. On one machine it may even have arrived, and been answered,
    /// before the call returns: so its return says nothing. A call that sends more than that may wait for the other
    /// side, which the time of its entry does not tell.
    fn last_byte(&mut self, moved: &Call, direction: Direction, len: u32) -> Nanos {
        if direction == Direction::In {
            self.in_a_row = 0;
            return moved.exit;
        }
        self.in_a_row = self.in_a_row.saturating_add(u64::from(len));
        if !self.streaming || self.in_a_row <= SEND_BUFFER { moved.enter } else { moved.exit }
    }

    /// Notes what packets can be found by.
    fn keep(&mut self, moved: &Call, seq: Option<u32>, len: u32) {
        let seen = Seen {
            ts: moved.moment(),
            seq: seq.unwrap_or(0),
            len,
            payload: if self.transport == Transport::Udp { datagram_hash(&moved.payload, len) } else { 0 },
            from_low: Direction::of(&moved.data) == Direction::Out,
            ..Seen::default()
        };
        if seen.payload != 0 || (self.transport == Transport::Tcp && seq.is_some()) {
            self.log.get_or_insert_default().push(&seen);
        }
    }

    /// Ends the life. `capture_end`: the recording ended first.
    pub(super) fn finish(mut self, capture_end: Option<Nanos>, rows: &mut SocketRows) -> Finished {
        match capture_end {
            Some(end) if !self.closed => {
                if self.streaming && self.failed == 0 {
                    self.completeness.add(Completeness::ENDED_AFTER);
                }
                self.conversation.finish(end);
            }
            _ => {
                // Closed, or the next life of the socket began, whose predecessor's close was not seen.
                self.closed = true;
                self.conversation.close(self.end);
                self.conversation.finish(self.end);
            }
        }
        rows.take(&mut self.asked, |out| self.conversation.sessions(out));
        Finished {
            swapped: self.conversation.swapped(),
            l7_protocol: self.conversation.protocol(),
            masked: self.conversation.masked(),
            asked: self.asked,
            io: self.io,
            decided: self.decided,
            opening: self.opening,
            failed: self.failed,
            broken: self.broken,
            transport: self.transport,
            netns: self.netns,
            sock: self.sock,
            peer: self.peer,
            local: self.local,
            remote: self.remote,
            pid: if self.mover == 0 { self.opener } else { self.mover },
            start: self.start,
            end: self.end,
            closed: self.closed,
            bytes: self.bytes,
            missed: self.missed,
            completeness: self.completeness,
            log: self.log,
        }
    }
}

/// What the kernel makes of ICMP errors for datagram sockets (net/ipv4/icmp.c `icmp_err_convert`, net/ipv6/icmp.c `icmpv6_err_convert`).
fn undelivered(error: i64) -> Option<&'static str> {
    match error {
        errno::ECONNREFUSED => Some("ICMP port unreachable"),
        errno::EHOSTUNREACH => Some("ICMP host unreachable"),
        errno::ENETUNREACH => Some("ICMP net unreachable"),
        _ => None,
    }
}

fn is_before(seq: u32, expected: u32) -> bool {
    seq.wrapping_sub(expected) > u32::MAX / 2
}

fn seq(data: &SocketData) -> Option<u32> {
    (data.flags & data_flag::HAS_SEQ != 0).then_some(data.tcp_seq)
}

/// Local and remote end of a record.
pub(super) fn ends(data: &SocketData) -> (End, End) {
    if data.family == AF_UNIX {
        return ((None, 0), (None, 0));
    }
    (
        (Some(ip(data.family, &data.local_addr)), data.local_port),
        (Some(ip(data.family, &data.remote_addr)), data.remote_port),
    )
}
