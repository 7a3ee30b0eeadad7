//! Sockets that existed when the recording began (or when a process was first looked at).

use crate::model::Transport;
use ahash::AHashMap;
use formats::facts;
use std::net::IpAddr;

/// A socket's own end, its peer's end, and the network namespace that gives the addresses their meaning.
type Tuple = (u32, Transport, IpAddr, u16, IpAddr, u16);

/// Listening and connected sockets, by address.
#[derive(Debug, Default)]
pub struct Sockets {
    listening: AHashMap<(u32, Transport, u16), u32>,
    connected: AHashMap<Tuple, u32>,
}

/// The process to name for a socket that several hold: the one with the smallest id, which is the oldest of a
/// group that forked (a server's master).
fn owner(socket: &facts::Socket) -> u32 {
    socket.owners.iter().map(|o| o.0).min().unwrap_or(0)
}

impl Sockets {
    /// Adds a fact, unless `limit` sockets are known.
    pub(super) fn add(&mut self, socket: facts::Socket, limit: usize) {
        if self.listening.len() + self.connected.len() >= limit {
            return;
        }
        let transport = match socket.transport.as_str() {
            "tcp" | "tcp6" => Transport::Tcp,
            "udp" | "udp6" => Transport::Udp,
            _ => return,
        };
        let pid = owner(&socket);
        let (Ok(local), remote) = (socket.local_addr.parse::<IpAddr>(), socket.remote_addr.parse::<IpAddr>()) else {
            return;
        };
        let unconnected = socket.remote_port == 0;
        if socket.state == "LISTEN" || (transport == Transport::Udp && unconnected) {
            let known = self.listening.entry((socket.netns, transport, socket.local_port)).or_insert(pid);
            if *known == 0 {
                *known = pid;
            }
        } else if let (Ok(remote), false) = (remote, unconnected) {
            let key = (
                socket.netns,
                transport,
                local.to_canonical(),
                socket.local_port,
                remote.to_canonical(),
                socket.remote_port,
            );
            self.connected.insert(key, pid);
        }
    }

    /// Process that listens on a port of a namespace (UDP: that is bound to it); 0 if it is known to be bound, but not
    /// by whom.
    #[must_use]
    pub fn listener(&self, netns: u32, transport: Transport, port: u16) -> Option<u32> {
        self.listening.get(&(netns, transport, port)).copied()
    }

    /// Process that holds the end `local` of a connection.
    #[must_use]
    pub fn holder(&self, netns: u32, transport: Transport, local: (IpAddr, u16), remote: (IpAddr, u16)) -> Option<u32> {
        self.connected.get(&(netns, transport, local.0, local.1, remote.0, remote.1)).copied().filter(|&p| p != 0)
    }

    /// The ports that had a listener, to tell servers from clients.
    #[must_use]
    pub fn listening(&self) -> Vec<(u32, Transport, u16)> {
        let mut ports: Vec<_> = self.listening.keys().copied().collect();
        ports.sort_unstable();
        ports
    }
}
