//! Replay: from the bytes of a capture to flows, requests, spans, profiles and stacks.
//!
//! One stage per module, in the data's order: `read` (in `formats`), [`decode`], [`order`], shard and
//! run ([`engine`]), [`flow`] (packets to flows), [`reassemble`] (TCP streams), [`parse`] (protocols to
//! messages), [`pair`] (messages to requests), [`socket`] (system calls to streams and observations),
//! [`hops`] (one conversation at several places), [`link`] (requests to spans and traces), [`profile`] (stacks), [`host`] (processes, interfaces).
//! [`filter`] decides what is replayed at all; [`reread`] looks at the packets again, for
//! [`tcp_packets`] and exports. [`red`] and [`map`] add up what came out, [`pseudonyms`] disguise it. [`model`] is what comes out.
//!
//! Captured bytes are hostile: nothing here panics on them, loops without end, or grows without bound.
mod ascii;
pub mod decode;
mod digits;
pub mod engine;
pub mod filter;
pub mod flow;
pub mod hops;
pub mod host;
pub mod link;
pub mod map;
pub mod model;
pub mod netprofile;
pub mod order;
pub mod pair;
pub mod parse;
pub mod profile;
pub mod pseudonyms;
pub mod reassemble;
pub mod red;
pub mod reread;
pub mod socket;
mod store;
pub mod tcp_packets;
