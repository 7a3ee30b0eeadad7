//! What happened to sockets inside the kernel: state changes, retransmissions, resets, drops with reasons.

use super::key::{AF_INET6, TCP, UDP, ip};
use crate::host::Host;
use crate::model::{Nanos, SocketEvent, Transport};
use ahash::AHashMap;
use formats::event::{Record, SocketState, state_event, tail};
use formats::manifest::Manifest;
use std::net::IpAddr;
use std::sync::Arc;

/// Events kept at most.
const MAX_EVENTS: usize = 4 << 20;
/// `include/net/tcp_states.h`.
const TCP_STATES: [&str; 14] = [
    "",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
    "BOUND_INACTIVE",
];
const TCP_CLOSE: u8 = 7;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// An event before reasons and places have their names.
#[derive(Clone, Copy, Debug)]
struct Raw {
    ts: Nanos,
    state: SocketState,
    tuple: Tuple,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tuple {
    protocol: u8,
    local: Option<IpAddr>,
    local_port: u16,
    remote: Option<IpAddr>,
    remote_port: u16,
    /// TCP: sequence number of the packet.
    seq: Option<u32>,
    /// The packet was sent by the local end.
    outbound: bool,
}

/// Collects socket state records.
#[derive(Debug, Default)]
pub struct SocketEvents {
    raw: Vec<Raw>,
    dropped: u64,
}

impl SocketEvents {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a socket state record; others are passed over. `offset_ns` makes UTC of its monotonic time.
    pub fn record(&mut self, bytes: &[u8], offset_ns: i64) {
        let Some(state) = SocketState::read(bytes) else { return };
        if self.raw.len() >= MAX_EVENTS {
            self.dropped += 1;
            return;
        }
        let rest = tail(bytes);
        let packet = rest.get(..state.data_len as usize).unwrap_or(rest);
        let mut tuple = Tuple { protocol: state.protocol, ..Tuple::default() };
        if state.local_port != 0 || state.remote_port != 0 {
            tuple.local = Some(ip(state.family, &state.local_addr));
            tuple.remote = Some(ip(state.family, &state.remote_addr));
            tuple.local_port = state.local_port;
            tuple.remote_port = state.remote_port;
            // A packet of a socket may be on its way out of it or into it.
            if let Some(dropped) = of_packet(state.ethertype, packet).filter(|_| state.event == state_event::DROP) {
                tuple.seq = dropped.seq;
                let source = (dropped.remote, dropped.remote_port);
                tuple.outbound = source == (tuple.local, tuple.local_port);
            }
        } else if let Some(dropped) = of_packet(state.ethertype, packet) {
            tuple = dropped;
        }
        if state.event == state_event::RETRANSMIT && state.protocol == TCP {
            (tuple.seq, tuple.outbound) = (Some(state.seq), true);
        }
        let ts = i64::try_from(state.hdr.ts).unwrap_or(i64::MAX).saturating_add(offset_ns);
        self.raw.push(Raw { ts, state, tuple });
    }

    /// Adds the events of another part of the recording.
    pub fn merge(&mut self, other: Self) {
        let room = MAX_EVENTS.saturating_sub(self.raw.len());
        self.dropped += other.dropped + other.raw.len().saturating_sub(room) as u64;
        self.raw.extend(other.raw.into_iter().take(room));
    }

    /// Events that were not kept because there were too many.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The events by time, with the names of reasons (from the manifest: numbers differ between kernels) and of kernel
    /// functions (from the symbols).
    #[must_use]
    pub fn finish(mut self, node: u32, manifest: Option<&Manifest>, host: &Host) -> Vec<SocketEvent> {
        self.raw.sort_by_key(|r| (r.ts, r.state.sock, r.state.event));
        complete(&mut self.raw);
        let kernel: AHashMap<u64, &str> =
            host.symbols().iter().filter(|s| s.space == "kernel").map(|s| (s.offset, s.name.as_str())).collect();
        let mut names: AHashMap<(bool, u32), Arc<str>> = AHashMap::new();
        let mut places: AHashMap<u64, Arc<str>> = AHashMap::new();
        let mut events: Vec<SocketEvent> = Vec::with_capacity(self.raw.len());
        for Raw { ts, state, tuple } in self.raw {
            let is_drop = state.event == state_event::DROP;
            let event = match state.event {
                state_event::STATE => "state",
                state_event::RETRANSMIT => "retransmit",
                state_event::RESET_SENT => "reset_sent",
                state_event::RESET_RECEIVED => "reset_received",
                state_event::DROP => "drop",
                _ => continue,
            };
            let reason = match state.event {
                state_event::DROP | state_event::RESET_SENT if state.reason != 0 => names
                    .entry((is_drop, state.reason))
                    .or_insert_with(|| {
                        let known = manifest.and_then(|m| {
                            let table = if is_drop { &m.drop_reasons } else { &m.reset_reasons };
                            table.get(&state.reason)
                        });
                        // The kernel's names without what all of them begin with.
                        let short = |n: &str| {
                            n.trim_start_matches("SKB_DROP_REASON_").trim_start_matches("SK_RST_REASON_").into()
                        };
                        known.map_or_else(|| format!("reason {}", state.reason).into(), |n| short(n))
                    })
                    .clone(),
                _ => Arc::default(),
            };
            let location = if is_drop && state.location != 0 {
                places
                    .entry(state.location)
                    .or_insert_with(|| match kernel.get(&state.location) {
                        Some(name) if !name.is_empty() => (*name).into(),
                        _ => format!("{:#x}", state.location).into(),
                    })
                    .clone()
            } else {
                Arc::default()
            };
            let name = |state: u8| TCP_STATES.get(usize::from(state)).copied().unwrap_or("");
            let is_change = state.event == state_event::STATE;
            events.push(SocketEvent {
                node,
                ts,
                event,
                transport: transport(tuple.protocol),
                local_ip: tuple.local,
                local_port: tuple.local_port,
                remote_ip: tuple.remote,
                remote_port: tuple.remote_port,
                old_state: if is_change { name(state.old_state) } else { "" },
                new_state: name(state.new_state),
                reason,
                location,
                len: state.len,
                seq: tuple.seq,
                outbound: tuple.outbound,
                pid: state.hdr.pid,
                netns: state.netns,
                flow_id: None,
            });
        }
        events.sort_by(|a, b| {
            let order = |e: &SocketEvent| (e.ts, e.local_ip, e.local_port, e.remote_ip, e.remote_port, e.event);
            order(a).cmp(&order(b))
        });
        events
    }
}

/// A socket has no port of its own yet when it begins to connect, and none any more when it is closed: its other events
/// tell which it was.
fn complete(raw: &mut [Raw]) {
    /// A socket's memory is given to another one after a while.
    const WITHIN_NS: Nanos = 120_000_000_000;
    let fill = |one: &mut Raw, known: &mut AHashMap<u64, (Nanos, Tuple)>| {
        if one.state.sock == 0 {
            return;
        }
        if one.tuple.local_port != 0 {
            known.insert(one.state.sock, (one.ts, one.tuple));
        } else if let Some((ts, tuple)) = known.get(&one.state.sock)
            && (one.ts - ts).abs() <= WITHIN_NS
            && (tuple.remote, tuple.remote_port) == (one.tuple.remote, one.tuple.remote_port)
        {
            one.tuple = Tuple { seq: one.tuple.seq, outbound: one.tuple.outbound, ..*tuple };
        }
    };
    let mut known = AHashMap::new();
    // Beginnings are told by what follows, so backwards first: a closed socket's port must not be that of the next life.
    let begins = |r: &Raw| r.state.event == state_event::STATE && r.state.old_state == TCP_CLOSE;
    for one in raw.iter_mut().rev().filter(|r| r.tuple.local_port != 0 || begins(r)) {
        fill(one, &mut known);
    }
    known.clear();
    for one in raw.iter_mut() {
        fill(one, &mut known);
    }
}

fn transport(protocol: u8) -> Transport {
    match protocol {
        TCP => Transport::Tcp,
        UDP => Transport::Udp,
        ICMP => Transport::Icmp,
        ICMPV6 => Transport::Icmp6,
        SCTP => Transport::Sctp,
        other => Transport::Other(other),
    }
}

/// The ends of a dropped packet: its destination is taken for the local one, as most drops are of received packets.
fn of_packet(ethertype: u16, packet: &[u8]) -> Option<Tuple> {
    let version = packet.first()? >> 4;
    let (protocol, source, destination, rest) = match (ethertype, version) {
        (ETHERTYPE_IPV4 | 0, 4) => {
            let header = packet.get(..20)?;
            let length = usize::from(header.first()? & 15) * 4;
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 4] = header.get(at..at + 4)?.try_into().ok()?;
                Some(IpAddr::from(bytes))
            };
            // Only a first fragment has ports.
            let fragment = u16::from_be_bytes(header.get(6..8)?.try_into().ok()?) & 0x1fff;
            let rest = if fragment == 0 { packet.get(length..) } else { None };
            (*header.get(9)?, address(12)?, address(16)?, rest)
        }
        (ETHERTYPE_IPV6 | 0, 6) => {
            let header = packet.get(..40)?;
            let address = |at: usize| -> Option<IpAddr> {
                let bytes: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
                Some(ip(AF_INET6, &bytes))
            };
            (*header.get(6)?, address(8)?, address(24)?, packet.get(40..))
        }
        _ => return None,
    };
    let ports = match protocol {
        TCP | UDP | SCTP => rest.and_then(|r| r.get(..4)),
        _ => None,
    };
    let port = |at: usize| -> u16 {
        ports.and_then(|p| p.get(at..at + 2)).and_then(|p| p.try_into().ok()).map_or(0, u16::from_be_bytes)
    };
    let seq = rest.filter(|_| protocol == TCP).and_then(|r| r.get(4..8)?.try_into().ok()).map(u32::from_be_bytes);
    Some(Tuple {
        protocol,
        local: Some(destination),
        local_port: port(2),
        remote: Some(source),
        remote_port: port(0),
        seq,
        outbound: false,
    })
}
