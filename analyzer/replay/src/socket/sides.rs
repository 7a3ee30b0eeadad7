//! Which side of a conversation the observing process is on.

use super::stream::{Direction, Opening};
use crate::model::{Side, Transport};
use ahash::AHashSet;

/// Ports that had a listener when the recording began: (network namespace, transport, port).
#[derive(Clone, Debug, Default)]
pub struct Listening(AHashSet<(u32, Transport, u16)>);

impl Listening {
    /// From what [`crate::host::Sockets::listening`] gives.
    #[must_use]
    pub fn new(ports: impl IntoIterator<Item = (u32, Transport, u16)>) -> Self {
        Self(ports.into_iter().collect())
    }

    fn has(&self, netns: u32, transport: Transport, port: u16) -> bool {
        port != 0 && self.0.contains(&(netns, transport, port))
    }
}

/// A decision and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decided {
    /// Side of the observing process.
    pub(super) this: Side,
    /// 0..=100.
    pub(super) score: u8,
}

/// Linux gives clients ports from here on (`ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;
/// Ports below this are for servers.
const PRIVILEGED: u16 = 1024;

/// Decides by, in this order: who opened it, who listened, the ports, who spoke first.
pub(super) fn decide(
    opening: Option<Opening>,
    transport: Transport,
    netns: u32,
    local_port: u16,
    remote_port: u16,
    first: Direction,
    listening: &Listening,
) -> Decided {
    let client = |score| Decided { this: Side::Client, score };
    let server = |score| Decided { this: Side::Server, score };
    match opening {
        Some(Opening::Connect) => return client(100),
        Some(Opening::Accept) => return server(100),
        None => {}
    }
    match (listening.has(netns, transport, local_port), listening.has(netns, transport, remote_port)) {
        (true, false) => return server(95),
        (false, true) => return client(90),
        _ => {}
    }
    match (rank(local_port), rank(remote_port)) {
        (local, remote) if local < remote => server(70),
        (local, remote) if local > remote => client(70),
        _ if first == Direction::In => server(50),
        _ => client(50),
    }
}

/// Smaller for ports that are more likely a server's.
fn rank(port: u16) -> u8 {
    match port {
        0 => 2,
        1..PRIVILEGED => 0,
        PRIVILEGED..EPHEMERAL => 1,
        EPHEMERAL.. => 2,
    }
}
