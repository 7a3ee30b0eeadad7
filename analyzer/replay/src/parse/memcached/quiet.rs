//! Quiet commands (`getq`, `setq`, meta commands with the flag `q`): they are answered only if there is something to say. Each is held
//! back until its answer comes, or that of a later command shows that none does.

use super::super::{Kind, Mark, Message, Output};
use crate::model::{RequestFields, Status};
use std::collections::VecDeque;

/// Most commands held back; beyond, the oldest are given out.
const HELD: usize = 4096;

/// A command that may be answered.
#[derive(Debug)]
struct Held {
    /// Which command of the connection it is.
    place: u64,
    /// What an answer would repeat: opaque and opcode, or the token of the flag `O`.
    token: u64,
    start: Mark,
    bytes: u64,
    fields: RequestFields,
}

/// Commands of a connection that are held back.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    held: VecDeque<Held>,
}

impl Quiet {
    /// Holds a command back.
    pub(super) fn hold(&mut self, place: u64, token: u64, bytes: u64, fields: RequestFields, out: &mut Output<'_>) {
        if self.held.len() >= HELD {
            self.give_out(1, Status::Unknown, out);
        }
        self.held.push_back(Held { place, token, start: out.mark, bytes, fields });
    }

    /// The place of the oldest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.held.front().map(|held| held.place)
    }

    /// An answer with this token comes: its command goes first. The key by which the answer is paired, if there is such a command.
    pub(super) fn answered(&mut self, token: u64, out: &mut Output<'_>) -> Option<u64> {
        let at = self.held.iter().position(|held| held.token == token)?;
        // Those before it have no answer: answers keep the order.
        self.give_out(at, Status::Ok, out);
        self.oldest_answered(out)
    }

    /// The same for the oldest, where answers bear no token.
    pub(super) fn oldest_answered(&mut self, out: &mut Output<'_>) -> Option<u64> {
        let held = self.held.pop_front()?;
        let key = 1 << 63 | held.place;
        let message = Message::new(Kind::Request, held.fields).keyed(key);
        out.emit(Message { start: Some(held.start), end: Some(held.start), bytes: Some(held.bytes), ..message });
        Some(key)
    }

    /// The command at `place` was answered: those before it had nothing to say, which is success.
    pub(super) fn passed(&mut self, place: u64, out: &mut Output<'_>) {
        let count = self.held.iter().take_while(|held| held.place < place).count();
        self.give_out(count, Status::Ok, out);
    }

    /// No more answers come.
    pub(super) fn close(&mut self, out: &mut Output<'_>) {
        self.give_out(self.held.len(), Status::Unknown, out);
    }

    fn give_out(&mut self, count: usize, status: Status, out: &mut Output<'_>) {
        for held in self.held.drain(..count.min(self.held.len())) {
            let message = Message::new(Kind::OneWay, RequestFields { status, ..held.fields });
            out.emit(Message { start: Some(held.start), end: Some(held.start), bytes: Some(held.bytes), ..message });
        }
    }
}
