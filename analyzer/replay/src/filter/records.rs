//! Socket events: judged by their addresses and ports.

use super::layers::{Facts, Layer, Network, Ports};
use super::{Filter, Truth};
use crate::model::{Nanos, SocketEvent, Transport};
use crate::order::ip_number;
use crate::socket::ip;
use formats::event::{Record, SocketData, call, data_flag};
use std::net::IpAddr;

const AF_UNIX: u16 = 1;

/// A layer from one end to the other. An unspecified address means that it was not known yet.
fn layer(from: (IpAddr, u16), to: (IpAddr, u16), protocol: u8) -> Layer {
    let network = if from.0.is_ipv4() { Network::V4 } else { Network::V6 };
    let ports = match protocol {
        6 | 17 | 132 => Ports::Known(from.1, to.1),
        _ => Ports::None,
    };
    Layer { network, src: ip_number(from.0), dst: ip_number(to.0), protocol: Some(protocol), ports }
}

impl Filter {
    fn either(&self, local: (IpAddr, u16), remote: (IpAddr, u16), protocol: u8) -> bool {
        let one = |from, to| Facts { outermost: Some(layer(from, to, protocol)), ..Facts::default() };
        self.node.holds(&one(local, remote)) == Truth::Yes || self.node.holds(&one(remote, local)) == Truth::Yes
    }

    /// Whether a socket data record of the time `ts` is kept. Data goes from the sender to the receiver as in packets; opening and
    /// closing calls concern both directions, and a close that came after the socket's end was unnamed belongs to whom it belonged before.
    #[must_use]
    pub fn record(&self, bytes: &[u8], ts: Nanos) -> bool {
        if !self.has(ts) {
            return false;
        }
        let Some(data) = SocketData::read(bytes) else { return true };
        if data.family == AF_UNIX {
            return self.node.holds(&Facts::default()) == Truth::Yes;
        }
        let local = (ip(data.family, &data.local_addr), data.local_port);
        let remote = (ip(data.family, &data.remote_addr), data.remote_port);
        if matches!(data.call, call::CONNECT | call::ACCEPT | call::CLOSE | call::SHUTDOWN) {
            let is_late = data.call == call::CLOSE && data.local_port == 0;
            return is_late || self.either(local, remote, data.protocol);
        }
        let (from, to) = if data.flags & data_flag::INGRESS != 0 { (remote, local) } else { (local, remote) };
        self.node.holds(&Facts { outermost: Some(layer(from, to, data.protocol)), ..Facts::default() }) == Truth::Yes
    }

    /// Whether an event of the kernel is kept: if it lies in the stretch of time and the filter holds in either direction.
    #[must_use]
    pub fn event(&self, event: &SocketEvent) -> bool {
        if !self.has(event.ts) {
            return false;
        }
        let protocol = match event.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Icmp => 1,
            Transport::Icmp6 => 58,
            Transport::Sctp => 132,
            Transport::Other(p) => p,
            Transport::Unix => return self.node.holds(&Facts::default()) == Truth::Yes,
        };
        match (event.local_ip, event.remote_ip) {
            (Some(local), Some(remote)) => {
                self.either((local, event.local_port), (remote, event.remote_port), protocol)
            }
            _ => self.node.holds(&Facts::default()) == Truth::Yes,
        }
    }
}
