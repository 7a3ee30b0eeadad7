//! One direction of a conversation: bytes that wait, the segments they came in, what is being skipped.

use super::message::{Mark, Segment};
use crate::model::{Completeness, Nanos, ThreadPoint};
use crate::pair::Ticket;
use std::collections::VecDeque;

/// Most bytes that wait for their continuation; a parser that wants more gets what is there as cut.
pub(super) const BUFFER_LIMIT: usize = 64 * 1024;

/// Times of a piece of the stream.
#[derive(Clone, Copy, Debug)]
struct Piece {
    end: u64,
    start: u64,
    start_ts: Nanos,
    end_ts: Nanos,
    tcp_seq: Option<u32>,
    point: Option<ThreadPoint>,
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Bytes not yet understood; empty most of the time.
    pub(super) buffer: Vec<u8>,
    /// Stream offset of the next byte to be parsed: of `buffer[0]` if there is one.
    pub(super) offset: u64,
    /// Bytes still to be skipped, from `offset` on.
    pub(super) skip: u64,
    /// The message in progress goes on behind what is skipped.
    pub(super) hold: bool,
    /// Do not ask the parser before so many bytes are in the buffer.
    pub(super) need: usize,
    /// Bytes of the present datagram that were not captured.
    pub(super) uncaptured: u64,
    /// Place lost: wait for a segment that a message starts in.
    pub(super) lost: bool,
    /// Messages that have begun and not ended.
    pub(super) open: Vec<Ticket>,
    /// Segments that hold the bytes from `offset` on, and the last one before.
    pieces: VecDeque<Piece>,
}

impl Half {
    /// Notes the times of bytes that are about to come at the end of the stream.
    pub(super) fn arrive(&mut self, segment: &Segment<'_>) {
        let start = self.end();
        self.prune();
        self.pieces.push_back(Piece {
            start,
            end: start + segment.data.len() as u64,
            start_ts: segment.start_ts,
            end_ts: segment.end_ts,
            tcp_seq: segment.tcp_seq,
            point: segment.point,
        });
    }

    /// Stretches the last piece over bytes that were not captured, so that a message ending there has a time.
    pub(super) fn stretch(&mut self, len: u64, ts: Option<Nanos>) {
        let end = self.offset.saturating_add(self.buffer.len() as u64).saturating_add(len);
        match (self.pieces.back_mut(), ts) {
            (Some(last), None) => last.end = last.end.max(end),
            (_, ts) => {
                let start = self.offset + self.buffer.len() as u64;
                let ts = ts.unwrap_or_default();
                self.prune();
                self.pieces.push_back(Piece { start, end, start_ts: ts, end_ts: ts, tcp_seq: None, point: None });
            }
        }
    }

    /// Gives back memory that is not in use.
    pub(super) fn shrink(&mut self) {
        self.buffer.shrink_to_fit();
        self.open.shrink_to_fit();
        self.pieces.shrink_to_fit();
    }

    /// Stream offset after the last byte that came.
    fn end(&self) -> u64 {
        self.offset + self.buffer.len() as u64
    }

    /// Forgets pieces that lie before `offset`, but for the last one.
    fn prune(&mut self) {
        while self.pieces.len() > 1 && self.pieces.get(1).is_some_and(|next| next.start <= self.offset) {
            self.pieces.pop_front();
        }
    }

    /// Where the first piece is that `reaches`, as those behind it do: nearly always it is the last one.
    #[inline]
    fn first(&self, reaches: impl Fn(&Piece) -> bool) -> usize {
        let last = self.pieces.len().saturating_sub(1);
        match last.checked_sub(1).and_then(|before| self.pieces.get(before)) {
            Some(before) if reaches(before) => self.pieces.partition_point(|piece| !reaches(piece)),
            _ => last,
        }
    }

    /// The place of the byte at `offset`.
    pub(super) fn mark_at(&self, offset: u64) -> Mark {
        let at = self.first(|piece| piece.end > offset);
        let Some(piece) = self.pieces.get(at).or(self.pieces.back()) else {
            return Mark { offset, ..Mark::default() };
        };
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers count modulo 2^32")]
        let delta = offset.wrapping_sub(piece.start) as u32;
        Mark {
            offset,
            ts: piece.start_ts,
            tcp_seq: piece.tcp_seq.map(|seq| seq.wrapping_add(delta)),
            point: piece.point,
        }
    }

    /// The end of what came before the last segment, at the start of that one.
    pub(super) fn end_before(&self) -> Mark {
        let start = self.pieces.back().map_or(self.offset, |last| last.start);
        self.end_at(start)
    }

    /// The end of what ends before `offset`: time of the last byte.
    pub(super) fn end_at(&self, offset: u64) -> Mark {
        let at = self.first(|piece| piece.end >= offset);
        let Some(piece) = self.pieces.get(at).or(self.pieces.back()) else {
            return Mark { offset, ..Mark::default() };
        };
        Mark { offset, ts: piece.end_ts, tcp_seq: None, point: piece.point }
    }
}

/// Which loss a gap stands for, as far as rows are concerned: bytes of a body that were not kept do not matter.
pub(super) fn matters_in_body(cause: Completeness) -> Option<Completeness> {
    cause.has(Completeness::GAP).then_some(Completeness::GAP)
}
