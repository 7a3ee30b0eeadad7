//! One shard's socket records: sorts them into sockets, each socket's into the order of its bytes, and
//! each socket's time into lives.

use super::key::{AF_INET6, AF_UNIX, TCP, UDP, ip};
use super::log::LateClose;
use super::output::SocketOutput;
use super::rows::SocketRows;
use super::sides::Listening;
use super::stream::{Call, Direction, Opening, Stream, errno};
use crate::flow::known::Known;
use crate::host::Host;
use crate::model::Nanos;
use crate::order::ip_number;
use crate::parse::ParseOptions;
use crate::store::Spill;
use ahash::AHashMap;
use formats::event::{Pieces, Record, SocketData, call, data_flag, tail};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// AF_INET.
const AF_INET: u16 = 2;
/// SOCK_DGRAM.
const SOCK_DGRAM: u16 = 2;
/// How long a record waits for others of its socket that happened before it but were recorded after it: a record is
/// written when its call returns, and a thread may be kept from returning while the answer to what it
/// sent is already being read by another one. Longer than a time slice on a busy CPU.
const HOLD_NS: Nanos = 50_000_000;
/// Records of one socket that wait at most.
const MAX_HELD: usize = 64;
/// Births of one socket that wait at most.
const MAX_BIRTHS: usize = 64;
/// How long a socket that one process closed is kept for another process that may hold it too.
const LINGER_NS: Nanos = 1_000_000_000;
/// Times from here on are damage: the year 2116.
const MAX_TIME: Nanos = Nanos::MAX / 2;
/// Payload buffers kept for the next records.
const MAX_SPARE: usize = 4096;

/// How to read socket records.
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// How to parse.
    pub parse: ParseOptions,
    /// What listened when the recording began, if known beforehand.
    pub listening: Arc<Listening>,
}

/// A socket; datagrams: one remote end of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct ChannelKey {
    sock: u64,
    remote: u128,
    remote_port: u16,
}

impl ChannelKey {
    fn of(data: &SocketData) -> Self {
        if data.family == AF_UNIX || data.protocol != UDP {
            return Self { sock: data.sock, remote: 0, remote_port: 0 };
        }
        let remote = ip_number(ip(data.family, &data.remote_addr));
        Self { sock: data.sock, remote, remote_port: data.remote_port }
    }
}

/// A socket's records that wait for their turn, and its present life.
#[derive(Default)]
struct Channel {
    /// By moment.
    held: Vec<Call>,
    stream: Option<Stream>,
    /// When its last holder closed it.
    closed_at: Option<Nanos>,
    /// When other sockets connected to this one, which made it (UNIX streams): its memory may have been another one's before.
    births: VecDeque<Nanos>,
    /// The last of these before the present record.
    born: Option<Nanos>,
    /// It is in the queue of those to look at.
    queued: bool,
}

/// What all channels of a shard share.
struct Shared {
    options: SocketOptions,
    out: SocketOutput,
    rows: SocketRows,
    spare: Vec<Vec<u8>>,
    bytes: AHashMap<u32, (u64, u64)>,
}

/// Reads the socket records of one shard.
pub struct SocketEngine {
    channels: AHashMap<ChannelKey, Channel>,
    due: VecDeque<(Nanos, ChannelKey)>,
    watermark: Nanos,
    shared: Shared,
}

impl SocketEngine {
    /// Nothing read yet.
    pub(crate) fn new(options: SocketOptions, spill: Arc<Spill>) -> Self {
        Self {
            channels: AHashMap::new(),
            due: VecDeque::new(),
            watermark: Nanos::MIN,
            shared: Shared {
                options,
                out: SocketOutput::default(),
                rows: SocketRows::new(spill),
                spare: Vec::new(),
                bytes: AHashMap::new(),
            },
        }
    }

    /// Takes a socket data record. Records come by time, give or take [`HOLD_NS`]. `offset_ns` makes
    /// UTC of their monotonic times.
    pub fn record(&mut self, bytes: &[u8], offset_ns: i64) {
        self.record_beside(bytes, offset_ns, &Known::default());
    }

    /// The same; `known` has what other calls showed of the same connection.
    pub(crate) fn record_beside(&mut self, bytes: &[u8], offset_ns: i64, known: &Known) {
        let Some(data) = SocketData::read(bytes) else {
            self.shared.out.bad_records += 1;
            return;
        };
        if !matches!(data.family, AF_INET | AF_INET6 | AF_UNIX) || data.flags & data_flag::PEEK != 0 {
            return;
        }
        let utc = |ts: u64| i64::try_from(ts).unwrap_or(i64::MAX).saturating_add(offset_ns);
        let exit = utc(data.hdr.ts);
        if !(0..MAX_TIME).contains(&exit) {
            self.shared.out.bad_records += 1;
            return;
        }
        let enter = if data.enter_ts == 0 { exit } else { utc(data.enter_ts).min(exit) };
        let rest = tail(bytes);
        let captured = rest.get(..data.data_len as usize).unwrap_or(rest);
        let mut payload = self.shared.spare.pop().unwrap_or_default();
        payload.extend_from_slice(captured);
        let mut pieces = Vec::new();
        let mut passed = captured.len() as u64;
        for (offset, piece) in Pieces::of(&data, rest) {
            let end = u64::from(offset) + piece.len() as u64;
            // Damage: pieces follow each other within the call.
            if u64::from(offset) < passed || end > data.ret.unsigned_abs() {
                self.shared.out.bad_records += 1;
                break;
            }
            passed = end;
            pieces.push((offset, u32::try_from(piece.len()).unwrap_or(0)));
            payload.extend_from_slice(piece);
        }
        add_known(&known.of_call(&data, captured), passed, &mut payload, &mut pieces);
        let call = Call { data, enter, exit, payload, pieces };

        self.watermark = self.watermark.max(exit);
        let key = ChannelKey::of(&data);
        let made =
            data.family == AF_UNIX && data.sock_type != SOCK_DGRAM && data.call == call::CONNECT && data.ret == 0;
        if made && let Some(channel) = self.channels.get_mut(&ChannelKey { sock: data.peer, ..key }) {
            if channel.births.len() == MAX_BIRTHS {
                channel.births.pop_front();
            }
            channel.births.push_back(enter);
        }
        let channel = self.channels.entry(key).or_default();
        channel.hold(call);
        if channel.held.len() > MAX_HELD {
            channel.release(MAX_HELD / 2, &mut self.shared);
        }
        if !channel.queued {
            channel.queued = true;
            self.due.push_back((self.watermark.saturating_add(HOLD_NS), key));
        }
        self.look();
    }

    /// Releases what has waited long enough.
    fn look(&mut self) {
        while let Some(&(when, key)) = self.due.front() {
            if when > self.watermark {
                break;
            }
            self.due.pop_front();
            let Some(channel) = self.channels.get_mut(&key) else { continue };
            let ripe = self.watermark.saturating_sub(HOLD_NS);
            let keep = channel.held.len() - channel.held.partition_point(|c| c.moment() <= ripe);
            channel.release(keep, &mut self.shared);
            let over = channel.closed_at.is_some_and(|at| at.saturating_add(LINGER_NS) <= self.watermark);
            if over {
                channel.end(None, &mut self.shared);
            }
            let waits = !channel.held.is_empty();
            if waits || channel.closed_at.is_some() {
                self.due.push_back((self.watermark.saturating_add(HOLD_NS), key));
            } else {
                channel.queued = false;
                if channel.stream.is_none() {
                    self.channels.remove(&key);
                }
            }
        }
    }

    /// Ends everything: `end` is the last time in the capture. Names of processes come from `host`.
    pub(crate) fn finish(mut self, end: Nanos, host: &Host) -> (SocketOutput, SocketRows) {
        let mut channels: Vec<(ChannelKey, Channel)> = self.channels.drain().collect();
        channels.sort_unstable_by_key(|c| c.0);
        for (_, mut channel) in channels {
            channel.release(0, &mut self.shared);
            channel.end(Some(end), &mut self.shared);
        }
        let mut out = self.shared.out;
        let by_pid: BTreeMap<u32, (u64, u64)> = self.shared.bytes.into_iter().collect();
        out.log.bytes = by_pid.into_iter().map(|(pid, (read, written))| (pid, read, written)).collect();
        out.complete(host);
        (out, self.shared.rows)
    }
}

/// Adds what the recorder had no room for: bytes behind the first `passed` of a call, from calls that moved the same (by their offsets in this
/// one). What follows the prefix at once prolongs it.
pub(super) fn add_known(runs: &[(u32, &[u8])], mut passed: u64, payload: &mut Vec<u8>, pieces: &mut Vec<(u32, u32)>) {
    for (offset, run) in runs {
        let offset = u64::from(*offset);
        let from = offset.max(passed);
        let unseen = run.get((from - offset) as usize..).unwrap_or(&[]);
        if unseen.is_empty() {
            continue;
        }
        if !pieces.is_empty() || from > payload.len() as u64 {
            pieces.push((from as u32, u32::try_from(unseen.len()).unwrap_or(0)));
        }
        payload.extend_from_slice(unseen);
        passed = offset + run.len() as u64;
    }
}

impl Channel {
    /// Puts a record in its place in time.
    fn hold(&mut self, call: Call) {
        // Ties are broken by facts of the records, so that the order in which they came does not matter.
        let order = |c: &Call| (c.moment(), c.data.msg_index, c.data.tcp_seq, c.data.hdr.tid, c.data.call);
        let place = order(&call);
        let at = self.held.partition_point(|c| order(c) <= place);
        self.held.insert(at, call);
    }

    /// Handles records from the oldest on until `keep` are left.
    fn release(&mut self, keep: usize, shared: &mut Shared) {
        let mut handled = 0;
        while self.held.len() - handled > keep {
            let next = self.next(handled);
            // What the out-of-turn one passes over stays in order.
            if let Some(turn) = self.held.get_mut(handled..=next) {
                turn.rotate_right(1);
            }
            let mut held = std::mem::take(&mut self.held);
            if let Some(call) = held.get_mut(handled) {
                self.handle(call, shared);
                let mut payload = std::mem::take(&mut call.payload);
                if shared.spare.len() < MAX_SPARE {
                    payload.clear();
                    shared.spare.push(payload);
                }
            }
            self.held = held;
            handled += 1;
        }
        self.held.drain(..handled);
    }

    /// The record whose turn it is: the oldest, unless bytes are missing before it that a waiting one has.
    fn next(&self, oldest: usize) -> usize {
        let (Some(first), Some(stream)) = (self.held.get(oldest), &self.stream) else { return oldest };
        let moves = |c: &Call| c.data.ret > 0 && !matches!(c.data.call, call::CONNECT | call::ACCEPT | call::CLOSE);
        if !moves(first) || stream.is_other(&first.data) || stream.continues(&first.data) {
            return oldest;
        }
        let direction = Direction::of(&first.data);
        let waiting = self.held.iter().enumerate().skip(oldest + 1);
        waiting
            .take_while(|(_, c)| !matches!(c.data.call, call::CONNECT | call::ACCEPT))
            .find(|(_, c)| moves(c) && Direction::of(&c.data) == direction && stream.continues(&c.data))
            .map_or(oldest, |(i, _)| i)
    }

    fn handle(&mut self, call: &Call, shared: &mut Shared) {
        let data = &call.data;
        while let Some(born) = self.births.pop_front_if(|born| *born <= call.moment()) {
            self.born = self.born.max(Some(born));
        }
        match data.call {
            call::CONNECT => {
                let again = self.stream.as_ref().is_some_and(|s| s.opened_by_same(data));
                if !again && data.ret == errno::EISCONN {
                    return;
                }
                if !again {
                    self.begin(call, Some(Opening::Connect), shared);
                }
                if let Some(stream) = &mut self.stream {
                    stream.opened(call);
                }
            }
            call::ACCEPT => {
                if data.ret < 0 {
                    return;
                }
                self.begin(call, Some(Opening::Accept), shared);
                if let Some(stream) = &mut self.stream {
                    stream.opened(call);
                }
            }
            call::CLOSE => match self.stream.as_mut().map(|s| s.closed(call)) {
                Some(true) => self.closed_at = Some(call.exit),
                None if data.protocol == TCP && data.local_port == 0 && data.remote_port != 0 => {
                    let close = LateClose { sock: data.sock, ts: call.exit, pid: data.hdr.pid };
                    shared.out.log.closes.push(close);
                }
                _ => {}
            },
            call::SHUTDOWN => {}
            _ => {
                // Its accept was called before the recording began, and its memory is that of a socket that is gone.
                let reborn = self.stream.as_ref().is_some_and(|s| self.born.is_some_and(|born| s.began_before(born)));
                if reborn || self.stream.as_ref().is_none_or(|s| s.is_other(data)) {
                    if data.ret <= 0 {
                        return;
                    }
                    self.begin(call, reborn.then_some(Opening::Accept), shared);
                }
                if data.ret > 0 {
                    self.closed_at = None;
                    let moved = data.ret.unsigned_abs();
                    let sum = shared.bytes.entry(data.hdr.pid).or_default();
                    match Direction::of(data) {
                        Direction::In => sum.0 += moved,
                        Direction::Out => sum.1 += moved,
                    }
                }
                if let Some(stream) = &mut self.stream {
                    stream.moved(call, &mut shared.rows);
                }
            }
        }
    }

    fn begin(&mut self, call: &Call, opening: Option<Opening>, shared: &mut Shared) {
        self.end(None, shared);
        self.stream = Some(Stream::new(call, opening, &shared.options.parse, &shared.options.listening));
    }

    fn end(&mut self, capture_end: Option<Nanos>, shared: &mut Shared) {
        self.closed_at = None;
        if let Some(stream) = self.stream.take() {
            let finished = stream.finish(capture_end, &mut shared.rows);
            if !finished.is_empty() {
                finished.emit(&mut shared.out, &mut shared.rows);
            }
        }
    }
}
