//! Bytes that system calls on this node showed, for packets that the snaplen cut and for calls of which only the beginning was kept.
//!
//! Headers, statements and the header blocks of HTTP/2 are longer than what is kept of a packet, and one of the latter that is cut
//! spoils those that follow. The recorder keeps more of the calls; where packets of the same connection passed an interface,
//! they held the same bytes at the same sequence numbers. So did the other end's calls: a server may read in one call what sixty
//! calls of its client wrote.

use crate::decode::Decoded;
use crate::model::Nanos;
use crate::order::ip_number;
use crate::socket::ip;
use ahash::AHashMap;
use formats::event::{Pieces, Record, SocketData, data_flag, tail};
use std::collections::{BTreeMap, VecDeque};

/// IPPROTO_TCP.
const TCP: u8 = 6;
/// Longest run that a record holds.
const LONGEST: u32 = 1 << 17;
/// Bytes kept, with what keeping them costs, in each shard.
const LIMIT: usize = 4 << 20;
/// What a run costs beside its bytes.
const COST: usize = 128;
/// A packet, sent again maybe, passes at most this long after the call that moved its bytes.
const LATE_NS: Nanos = 2_000_000_000;

/// Runs looked at for one packet or call, at most.
const MOST_RUNS: usize = 4096;

/// A connection and a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Way {
    from: (u128, u16),
    to: (u128, u16),
}

impl Way {
    fn of(data: &SocketData) -> Self {
        let local = (ip_number(ip(data.family, &data.local_addr)), data.local_port);
        let remote = (ip_number(ip(data.family, &data.remote_addr)), data.remote_port);
        let ingress = data.flags & data_flag::INGRESS != 0;
        if ingress { Self { from: remote, to: local } } else { Self { from: local, to: remote } }
    }
}

/// Runs of one way, by sequence number.
#[derive(Debug, Default)]
struct Runs {
    by_seq: BTreeMap<u32, Box<[u8]>>,
    /// Length of the longest so far: those that begin further back than this do not reach.
    longest: u32,
}

/// Runs of bytes by sequence number.
#[derive(Debug, Default)]
pub(crate) struct Known {
    ways: AHashMap<Way, Runs>,
    /// In the order in which they came.
    queue: VecDeque<(Nanos, Way, u32)>,
    bytes: usize,
}

impl Known {
    /// Takes what a socket data record shows, if it is of TCP; `ts` is its time, UTC.
    pub(crate) fn add(&mut self, record: &[u8], ts: Nanos) {
        let Some(data) = SocketData::read(record) else { return };
        if data.protocol != TCP || data.flags & data_flag::HAS_SEQ == 0 {
            return;
        }
        let way = Way::of(&data);
        let rest = tail(record);
        let prefix = rest.get(..data.data_len as usize).unwrap_or(&[]);
        for (offset, run) in std::iter::once((0, prefix)).chain(Pieces::of(&data, rest)) {
            if !run.is_empty() && run.len() <= LONGEST as usize {
                self.keep(way, data.tcp_seq.wrapping_add(offset), run, ts);
            }
        }
        while self.bytes > LIMIT {
            self.drop_oldest();
        }
    }

    /// All packets up to a time were looked at.
    pub(crate) fn passed(&mut self, until: Nanos) {
        while self.queue.front().is_some_and(|(old, ..)| *old < until.saturating_sub(LATE_NS)) {
            self.drop_oldest();
        }
    }

    fn keep(&mut self, way: Way, seq: u32, run: &[u8], ts: Nanos) {
        let runs = self.ways.entry(way).or_default();
        // Both ends show the same bytes, maybe in other portions.
        if runs.by_seq.get(&seq).is_some_and(|old| old.len() >= run.len()) {
            return;
        }
        runs.longest = runs.longest.max(run.len() as u32);
        self.bytes += run.len() + COST;
        match runs.by_seq.insert(seq, run.into()) {
            Some(old) => self.bytes -= old.len() + COST,
            None => self.queue.push_back((ts, way, seq)),
        }
    }

    fn drop_oldest(&mut self) {
        let Some((_, way, seq)) = self.queue.pop_front() else {
            self.bytes = 0;
            return;
        };
        if let Some(runs) = self.ways.get_mut(&way) {
            if let Some(run) = runs.by_seq.remove(&seq) {
                self.bytes = self.bytes.saturating_sub(run.len() + COST);
            }
            if runs.by_seq.is_empty() {
                self.ways.remove(&way);
            }
        }
    }

    /// A segment's payload with what is known of it: runs by their offset in it, the first at 0. Empty if there is nothing to add
    /// to what was captured.
    #[inline]
    pub(crate) fn runs<'a>(&'a self, d: &Decoded, captured: &'a [u8]) -> Vec<(u32, &'a [u8])> {
        if self.queue.is_empty() || d.protocol != TCP || captured.len() >= d.payload_len as usize {
            return Vec::new();
        }
        let way = Way { from: (d.src, d.src_port), to: (d.dst, d.dst_port) };
        self.find(way, d.seq, d.payload_len, captured)
    }

    /// As [`Self::runs`], of what a call moved: the other end may have moved the same bytes in smaller portions, of each of which the
    /// beginning was kept.
    pub(crate) fn of_call<'a>(&'a self, data: &SocketData, captured: &'a [u8]) -> Vec<(u32, &'a [u8])> {
        let len = u32::try_from(data.ret).unwrap_or(0);
        let numbered = data.protocol == TCP && data.flags & data_flag::HAS_SEQ != 0;
        if self.queue.is_empty() || !numbered || captured.is_empty() || captured.len() >= len as usize {
            return Vec::new();
        }
        self.find(Way::of(data), data.tcp_seq, len, captured)
    }

    fn find<'a>(&'a self, way: Way, seq: u32, len: u32, captured: &'a [u8]) -> Vec<(u32, &'a [u8])> {
        let mut found: Vec<(u32, &[u8])> = Vec::new();
        let Some(runs) = self.ways.get(&way) else { return found };
        let (from, to) = (seq.wrapping_sub(runs.longest), seq.wrapping_add(len));
        // Up to the wrap of the numbers, and behind it.
        let (first, second) = if from < to { (from..to, 0..0) } else { (from..u32::MAX, 0..to) };
        let mut covered = 0;
        for (seq, run) in runs.by_seq.range(first).chain(runs.by_seq.range(second)).take(MOST_RUNS) {
            // Where it begins, seen from the segment's first byte.
            let at = i64::from(seq.wrapping_sub(from)) - i64::from(runs.longest);
            let end = (at + run.len() as i64).min(i64::from(len));
            let begin = at.max(covered);
            let (low, high) = (at.max(0), end.min(captured.len() as i64));
            // What both have must be the same: sequence numbers read beside another thread's call may be wrong.
            if end <= covered || (low < high && !agree(part(captured, low, high), part(run, low - at, high - at))) {
                continue;
            }
            if begin > covered && (covered == 0 || covered < captured.len() as i64) {
                found.push((covered as u32, part(captured, covered, begin)));
            }
            found.push((begin as u32, part(run, begin - at, end - at)));
            covered = end;
        }
        if covered > 0 && covered < captured.len() as i64 {
            found.push((covered as u32, part(captured, covered, captured.len() as i64)));
        }
        found
    }
}

/// What there is of a range.
fn part(bytes: &[u8], from: i64, to: i64) -> &[u8] {
    let len = bytes.len() as i64;
    bytes.get(from.clamp(0, len) as usize..to.clamp(0, len) as usize).unwrap_or(&[])
}

/// Whether both are the same but for secrets, which may be masked in one of them only (raw or in Huffman code).
fn agree(a: &[u8], b: &[u8]) -> bool {
    let masked = |byte: &u8| matches!(byte, b'*' | 0xf9);
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || masked(a) || masked(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::event::RecordHeader;
    use std::net::IpAddr;

    const A: [u8; 4] = [10, 0, 0, 1];
    const B: [u8; 4] = [10, 0, 0, 2];

    /// A record of what A sent to B from `seq` on: its first bytes, and pieces.
    fn record(flags: u32, seq: u32, prefix: &[u8], pieces: &[(u32, &[u8])]) -> Vec<u8> {
        let (mut local, mut remote) = ([0; 16], [0; 16]);
        local[..4].copy_from_slice(&A);
        remote[..4].copy_from_slice(&B);
        let mut more = Vec::new();
        for (offset, piece) in pieces {
            more.extend([*offset, piece.len() as u32].iter().flat_map(|n| n.to_le_bytes()));
            more.extend(*piece);
        }
        let data = SocketData {
            hdr: RecordHeader { kind: SocketData::KIND, fixed_len: 128, ..RecordHeader::default() },
            tcp_seq: seq,
            flags,
            data_len: prefix.len() as u32,
            more_len: more.len() as u32,
            family: 2,
            protocol: 6,
            local_port: 1000,
            remote_port: 2000,
            local_addr: local,
            remote_addr: remote,
            ..SocketData::default()
        };
        [data.as_bytes(), prefix, &more].concat()
    }

    fn segment(seq: u32, payload_len: u32) -> Decoded {
        Decoded {
            src: ip_number(IpAddr::from(A)),
            dst: ip_number(IpAddr::from(B)),
            src_port: 1000,
            dst_port: 2000,
            protocol: 6,
            seq,
            payload_len,
            ..Decoded::default()
        }
    }

    #[test]
    fn what_the_snaplen_cut() {
        let numbered = data_flag::HAS_SEQ;
        // Across the wrap of the sequence numbers: the prefix lies before it, the piece behind.
        let seq = u32::MAX - 4;
        let mut known = Known::default();
        known.add(&record(numbered, seq, b"0123456789", &[(20, b"uvw"), (30, b"xyz")]), 1);
        let all = [(0, &b"0123456789"[..]), (20, b"uvw"), (30, b"xyz")];
        assert_eq!(known.runs(&segment(seq, 33), b"01"), all);
        // A secret that was masked in one of them is no difference; the record's bytes are taken, which are all masked.
        assert_eq!(known.runs(&segment(seq, 33), b"0*\xf93"), all);
        // A segment that begins later and ends earlier; one that has other bytes; one that has all; the other way.
        assert_eq!(known.runs(&segment(seq.wrapping_add(5), 17), b"56"), [(0, &b"56789"[..]), (15, b"uv")]);
        let other = [(0, &b"0x"[..]), (20, b"uvw"), (30, b"xyz")];
        assert_eq!(known.runs(&segment(seq, 33), b"0x"), other);
        // What only the packet has, between two runs.
        let between = [(0, &b"hgfedcba"[..]), (8, b"uvw"), (11, b"k")];
        assert_eq!(known.runs(&segment(seq.wrapping_add(12), 13), b"hgfedcbauvwk"), between);
        assert!(known.runs(&segment(seq, 2), b"01").is_empty());
        let back = Decoded { src_port: 2000, dst_port: 1000, ..segment(seq, 33) };
        assert!(known.runs(&back, b"01").is_empty());
        // The other end read the same in other portions: nothing comes twice.
        known.add(&record(numbered, seq, b"0123456789abcdefghij", &[]), 2);
        let once = [(0, &b"0123456789abcdefghij"[..]), (20, b"uvw"), (30, b"xyz")];
        assert_eq!(known.runs(&segment(seq, 33), b"01"), once);
        // What is without numbers is not kept; what is old is dropped.
        known.add(&record(0, 1 << 20, b"0123456789", &[]), 2);
        assert!(known.runs(&segment(1 << 20, 33), b"01").is_empty());
        known.add(&record(numbered, 1 << 20, b"0123456789", &[]), 3 + LATE_NS);
        assert_eq!(known.runs(&segment(seq, 33), b"01"), once);
        known.passed(3 + LATE_NS);
        assert!(known.runs(&segment(seq, 33), b"01").is_empty());
        assert_eq!(known.runs(&segment(1 << 20, 33), b"").len(), 1);
    }

    #[test]
    fn what_the_other_end_moved_in_portions() {
        let mut known = Known::default();
        for (n, message) in [&b"SET a 1\r\n"[..], b"SET b 2\r\n", b"SET c 3\r\n"].iter().enumerate() {
            known.add(&record(data_flag::HAS_SEQ, 100 + n as u32 * 9, message, &[]), 1);
        }
        // B reads all three at once, and only the beginning was kept.
        let read = record(data_flag::HAS_SEQ | data_flag::INGRESS, 100, b"SET a", &[]);
        let mut read = SocketData::read(&read).unwrap();
        (read.local_addr, read.remote_addr) = (read.remote_addr, read.local_addr);
        (read.local_port, read.remote_port, read.ret) = (2000, 1000, 27);
        let all = [(0, &b"SET a 1\r\n"[..]), (9, b"SET b 2\r\n"), (18, b"SET c 3\r\n")];
        assert_eq!(known.of_call(&read, b"SET a"), all);
        // Nothing is added to a call that has all, that failed, or that says otherwise.
        assert!(known.of_call(&read, &[b'x'; 27]).is_empty());
        assert_eq!(known.of_call(&read, b"GET a").first(), Some(&(0, &b"GET a"[..])));
        assert!(known.of_call(&SocketData { ret: -11, ..read }, b"SET a").is_empty());
        assert!(known.of_call(&SocketData { flags: 0, ..read }, b"SET a").is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut known = Known::default();
        let numbered = data_flag::HAS_SEQ;
        for n in 0..400 {
            known.add(&record(numbered, n << 17, &vec![b'x'; 60_000], &[]), 1);
        }
        assert!(known.bytes <= LIMIT && known.queue.len() > 60, "{} {}", known.bytes, known.queue.len());
        let kept: usize = known.ways.values().flat_map(|w| w.by_seq.values()).map(|r| r.len() + COST).sum();
        assert_eq!(kept, known.bytes);
    }
}
