//! One conversation at several places: the client's process, its interface, bridges, the node's interface, through tunnels and address
//! translation, and the server's process.
//!
//! Each flow keeps a log of its packets ([`PlaceLog`]). [`group`] finds the flows that are one conversation, [`place`] puts its places in
//! order, [`pair`] finds each packet of one place at the next one, [`clock`] compares the clocks of several nodes and captures ([`offset`]), and
//! [`build`] adds up what was lost, resent and delayed between neighbours.

mod build;
mod clock;
mod events;
mod group;
mod log;
mod offset;
mod pair;
mod place;
mod row;
mod sketch;
mod statement;
mod subject;
#[cfg(test)]
mod tests;

pub use build::{HopInput, Joined, hops};
pub use log::{Logs, PlaceLog, Room, Seen, datagram_hash};
pub use row::{Clock, Hop, HopDelay, HopPlace, Way};
pub use statement::place_name;
