//! A flow at an observation point, as this module looks at it.

use super::log::Seen;
use crate::model::{Endpoints, Flow, Nanos, ObservedAt, Side, Transport};
use crate::order::ip_number;
use std::net::IpAddr;

/// Address and port.
pub(super) type End = (Option<IpAddr>, u16);

pub(super) fn client(e: &Endpoints) -> End {
    (e.client_ip, e.client_port)
}

pub(super) fn server(e: &Endpoints) -> End {
    (e.server_ip, e.server_port)
}

/// One flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// Its row.
    pub(super) flow: u32,
    pub(super) row: &'a Flow,
    /// System calls: the side that the observing process is on.
    pub(super) side: Option<Side>,
    /// Whose clock gave it its times.
    pub(super) clock: u32,
}

impl Subject<'_> {
    pub(super) fn is_tcp(&self) -> bool {
        self.row.transport == Transport::Tcp
    }

    pub(super) fn is_process(&self) -> bool {
        matches!(self.row.observed_at, ObservedAt::Process(_))
    }

    /// Whether the client of the flow's row sent it.
    pub(super) fn by_client(&self, seen: &Seen) -> bool {
        match self.side {
            // Logs of system calls say `from_low` for what went out of the process.
            Some(side) => seen.from_low == (side == Side::Client),
            None => {
                let number = |end: End| (end.0.map_or(0, ip_number), end.1);
                let e = &self.row.endpoints;
                seen.from_low == (number(client(e)) <= number(server(e)))
            }
        }
    }

    /// Whether two flows existed at the same time, by one clock give or take `slack`.
    pub(super) fn overlaps(&self, other: &Self, slack: Nanos) -> bool {
        self.clock != other.clock
            || self.row.start <= other.row.end.saturating_add(slack)
                && other.row.start <= self.row.end.saturating_add(slack)
    }
}
