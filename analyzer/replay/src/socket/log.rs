//! Which thread moved whose bytes when: what links between requests rest on.

use crate::model::{Nanos, Side};

/// No request: the bytes belong to none that was understood.
pub const NO_REQUEST: u32 = u32::MAX;

/// What a thread did with a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named after the calls")]
pub enum What {
    Connect,
    Accept,
    #[default]
    Read,
    Write,
}

/// One system call on a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Io {
    /// When: reads and accepts when they returned, writes and connects when they were called.
    pub ts: Nanos,
    /// Flow, an index into the flows it came with.
    pub flow: u32,
    /// The request whose bytes were moved (of either direction), or [`NO_REQUEST`]. Where one call moved bytes of
    /// several requests: the first of these.
    pub request: u32,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// What.
    pub what: What,
}

/// The socket of a flow seen at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketEnd {
    /// Flow, an index into the flows it came with.
    pub flow: u32,
    /// Side of the conversation that the socket, and its process, is on.
    pub side: Side,
    /// The socket.
    pub sock: u64,
    /// UNIX sockets: its peer, if known.
    pub peer: u64,
}

/// A socket that was closed when the kernel had taken its port away already, so that the record of it went to another
/// shard than its connection's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LateClose {
    /// The socket.
    pub sock: u64,
    /// When.
    pub ts: Nanos,
    /// By which process.
    pub pid: u32,
}

/// What one shard hands to [`crate::link`].
#[derive(Clone, Debug, Default)]
pub struct SocketLog {
    /// The node that it is of, a place in [`crate::model::Replayed::nodes`].
    pub node: u32,
    /// By time.
    pub io: Vec<Io>,
    /// One per flow.
    pub ends: Vec<SocketEnd>,
    /// Closes that belong to flows of other shards.
    pub closes: Vec<LateClose>,
    /// Process id, bytes it read from sockets, bytes it wrote to sockets; sorted.
    pub bytes: Vec<(u32, u64, u64)>,
}

impl SocketLog {
    /// Puts final ids in place of the indices within the shard: `flows[i]` is the id of flow `i`, likewise requests.
    pub fn renumber(&mut self, flows: &[u32], requests: &[u32]) {
        let new = |ids: &[u32], i: u32| ids.get(i as usize).copied().unwrap_or(u32::MAX);
        for io in &mut self.io {
            io.flow = new(flows, io.flow);
            if io.request != NO_REQUEST {
                io.request = new(requests, io.request);
            }
        }
        for end in &mut self.ends {
            end.flow = new(flows, end.flow);
        }
    }
}
