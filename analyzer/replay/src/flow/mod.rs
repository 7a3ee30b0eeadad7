//! Flows: packets of one conversation at one interface, from its first packet to its end.
//!
//! [`FlowTable`] (one per shard) finds a packet's flow, ends the silent ones and keeps memory bounded; [`Track`] is one
//! open flow; [`tcp`], [`zeek`], [`fsm`] and [`deepflow`] each look at its packets in their own way.

pub(crate) mod community;
pub mod deepflow;
mod delay;
mod direction;
pub mod fsm;
pub(crate) mod known;
mod row;
mod sctp;
mod series;
mod table;
pub mod tcp;
mod track;
mod zeek;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use community::community_id;
pub use delay::Delays;
pub use table::{Finished, FlowTable, Keep, Settings, Tally};
pub use track::{Key, Track};
