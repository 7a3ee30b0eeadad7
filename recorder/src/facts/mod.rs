//! What only exists on the node while it is recorded: processes, sockets, interfaces, networks, clocks.

pub mod clocks;
pub mod container;
pub mod counters;
pub mod gather;
pub mod interfaces;
pub mod netlink;
pub mod networks;
pub mod node;
pub mod processes;
pub mod sockets;

pub use node::hostname;
