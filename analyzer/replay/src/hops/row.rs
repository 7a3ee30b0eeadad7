//! What comes out: rows of the tables `hops` and `clocks`.

use crate::model::{Completeness, Endpoints, Nanos, ObservedAt, Transport};

/// Which way packets went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Way {
    /// As in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ToServer => "to_server",
            Self::ToClient => "to_client",
        }
    }
}

/// An observation point of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopPlace {
    /// Its flow there, a place in [`crate::model::Replayed::flows`].
    pub flow_id: u64,
    /// Interface or process.
    pub observed_at: ObservedAt,
    /// Which of the copies of a packet that the interface shows, from 1 on the way to the server; 0 where it shows one.
    pub copy: u8,
    /// The addresses that the conversation has there, the client's as all its places have it.
    pub endpoints: Endpoints,
}

/// Delays over a hop, ns. Negative ones are possible where two clocks took part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names say it")]
pub struct HopDelay {
    pub min_ns: i64,
    pub p50_ns: i64,
    pub p95_ns: i64,
    pub max_ns: i64,
    pub mean_ns: i64,
}

/// One conversation between two neighbouring observation points, in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// The conversation: the smallest of its flows' ids.
    pub conversation: u64,
    /// Transport.
    pub transport: Transport,
    /// Number of the hop, from 0 at the client.
    pub hop: u32,
    /// Direction.
    pub way: Way,
    /// Where packets came from.
    pub from: HopPlace,
    /// Where they went to.
    pub to: HopPlace,
    /// Packets (at a process: system calls) seen at `from`.
    pub packets: u64,
    /// Of these, seen again at `to`.
    pub matched: u64,
    /// Of these, seen at no later place either; `None` where that cannot be told.
    pub lost: Option<u64>,
    /// Payload bytes of these.
    pub lost_bytes: Option<u64>,
    /// Of these, not seen at `to` but at a later place: it is the capture that misses them.
    pub missed: u64,
    /// Packets at `from` that carried bytes (or SYN, FIN) a second time.
    pub resent: u64,
    /// Delay of the matched ones.
    pub delay: Option<HopDelay>,
    /// This hop's part of the way's delay, 0 to 1, of the medians.
    pub share: Option<f64>,
    /// First packet at `from`.
    pub start: Nanos,
    /// Last one.
    pub end: Nanos,
    /// `snat`, `dnat`, `snat+dnat`, or empty.
    pub nat: &'static str,
    /// By how much delays may be wrong, as two clocks took part: 0 for one clock, `None` where the clocks cannot be compared.
    pub clock_uncertainty_ns: Option<u64>,
    /// The kernel's own events on this hop: (name with reason, how many), most first.
    pub events: Vec<(String, u64)>,
    /// What the row rests on, in words.
    pub evidence: String,
    /// In plain words what this hop holds of the conversation's delay and loss; empty if nothing worth mentioning.
    pub statement: String,
    /// As of both flows.
    pub completeness: Completeness,
}

/// A clock compared with another one by the packets that both saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Whose: a node's name, or the name of the captured interfaces.
    pub name: String,
    /// The clock that it is compared with.
    pub reference: String,
    /// By how much it is ahead; negative: behind.
    pub offset_ns: i64,
    /// The truth is within this much of it; `None` where packets were seen in one direction only.
    pub uncertainty_ns: Option<u64>,
    /// By how much that changed from the first to the last packet.
    pub drift_ns: i64,
    /// Packets it rests on, in one direction and in the other.
    pub packets: [u64; 2],
}
