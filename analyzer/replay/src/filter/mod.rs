//! Filters with the words of pcap-filter(7): which packets and socket events are replayed at all.
//!
//! `host 10.0.0.1 and (port 80 or 443)` means what it means to tcpdump, precedence included (`and` and `or` bind alike, from left
//! to right). Two things are wider, because what comes after is about conversations: VLAN tags, MPLS labels and PPPoE are looked
//! through without being named, and **a primitive holds if it holds for any layer of the packet**, inner headers of tunnels included,
//! as in Wireshark's display filters. A later fragment goes where its datagram goes, which is
//! judged when it is whole, as one packet of the length of all of them; counted are those that hold by themselves.
//!
//! Every packet stands for itself, as in tcpdump: `src port 80` keeps one direction only. Socket events are judged by the same words
//! on their addresses and ports.
//!
//! A filter may have a stretch of time as well ([`Filter::within`]): what lies outside is not replayed, whatever the words say.

mod expr;
mod layers;
mod names;
mod parse;
mod records;
#[cfg(test)]
mod tests;

use crate::decode::{Frame, Output};
use crate::model::Nanos;
use expr::Node;
use layers::Facts;
use std::fmt;

/// A filter, understood.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    node: Node,
    /// UTC, both ends included.
    from: Nanos,
    to: Nanos,
}

/// Why an expression is not a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// The expression.
    pub text: String,
    /// Where in it, in characters from 0.
    pub at: usize,
    /// What is wrong there, and what would be right.
    pub what: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the filter is not understood at character {}: {}", self.at + 1, self.what)?;
        let shown: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        writeln!(f, "  {shown}")?;
        write!(f, "  {:>1$}", "^", self.at + 1)
    }
}

impl std::error::Error for FilterError {}

/// What a filter says of a packet or event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// What it asks for is not there: a later fragment has no ports, a cut frame no bytes.
    Unknown,
}

impl Truth {
    fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// How much [`Output`] held before a frame was decoded.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    packets: usize,
    fragments: usize,
    undecoded: usize,
}

impl Before {
    /// Now.
    #[inline]
    #[must_use]
    pub fn of(out: &Output) -> Self {
        Self { packets: out.packets.len(), fragments: out.fragments.len(), undecoded: out.undecoded.len() }
    }
}

impl Filter {
    /// Reads an expression; an empty one lets everything through.
    ///
    /// # Errors
    /// What is not understood, where, and what to write instead.
    pub fn new(text: &str) -> Result<Self, FilterError> {
        Ok(Self { text: text.to_owned(), node: parse::parse(text)?, from: Nanos::MIN, to: Nanos::MAX })
    }

    /// The same filter, for what happened from `from` to `to` (UTC, both included).
    #[must_use]
    pub fn within(self, from: Nanos, to: Nanos) -> Self {
        Self { from, to, ..self }
    }

    /// Whether `ts` lies in its stretch of time.
    #[inline]
    #[must_use]
    pub fn has(&self, ts: Nanos) -> bool {
        self.from <= ts && ts <= self.to
    }

    /// Whether any of the time from `first` to `last` does.
    pub(crate) fn overlaps(&self, first: Nanos, last: Nanos) -> bool {
        first <= self.to && self.from <= last
    }

    /// Where its stretch of time begins and ends, if it has a beginning or an end.
    #[must_use]
    pub fn stretch(&self) -> (Option<Nanos>, Option<Nanos>) {
        (Some(self.from).filter(|at| *at != Nanos::MIN), Some(self.to).filter(|at| *at != Nanos::MAX))
    }

    /// The expression.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Judges a frame; what decoding found in it stands in `out` behind `before`. `direction` is 0 unknown, 1 in, 2 out.
    #[must_use]
    pub fn packet(&self, frame: &Frame<'_>, direction: u8, out: &Output, before: Before) -> Truth {
        if !self.has(frame.ts) {
            return Truth::No;
        }
        let mut rows = out.packets.get(before.packets..).unwrap_or(&[]);
        // What an ICMP error quotes is not what the frame is.
        while let [rest @ .., last] = rows
            && last.notice != 0
        {
            rows = rest;
        }
        self.node.holds(&Facts::of_frame(frame, direction, rows, &out.tunnels))
    }

    /// Judges a frame that was just decoded, and takes what came of it out again unless it may pass. Fragments that
    /// cannot be judged alone stay: their datagram is judged when it is whole.
    pub(crate) fn sift(&self, frame: &Frame<'_>, direction: u8, out: &mut Output, before: Before) -> Truth {
        let truth = self.packet(frame, direction, out, before);
        if truth == Truth::Yes {
            return truth;
        }
        if truth == Truth::No || out.fragments.len() == before.fragments {
            out.fragments.truncate(before.fragments);
        }
        out.packets.truncate(before.packets);
        out.undecoded.truncate(before.undecoded);
        truth
    }
}
