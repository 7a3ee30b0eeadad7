//! Segments sent again, and packets that the kernel dropped.

use super::{Finding, ROWS, Severity};
use crate::analysis::Analysis;
use crate::human;
use crate::report::plural;
use crate::summary::Tcp;
use std::collections::BTreeMap;

/// Segments sent again, from which on it is more than a tail-loss probe now and then.
const RETRANSMISSIONS: u64 = 10;
/// The kernel's reasons to drop packets that go with every connection's end, or that say nothing.
const HARMLESS: [&str; 9] = [
    "",
    "NOT_SPECIFIED",
    "TCP_OLD_DATA",
    "TCP_OLD_SEQUENCE",
    "TCP_OLD_ACK",
    "TCP_CLOSE",
    "TCP_RESET",
    "SKB_CONSUMED",
    "NO_SOCKET",
];

/// What the kernel's reasons mean (include/net/dropreason-core.h).
const MEANINGS: [(&str, &str); 10] = [
    ("NETFILTER_DROP", "a firewall rule"),
    (
        "TCP_LISTEN_OVERFLOW",
        "the accept queue of a listening socket was full: its process accepts too slowly, or its backlog is small",
    ),
    ("SOCKET_RCVBUFF", "the socket's receive buffer was full: its process reads too slowly"),
    ("PROTO_MEM", "the kernel's memory limit for the protocol"),
    ("QDISC_DROP", "a queue of the interface was full"),
    ("FULL_RING", "a driver's ring was full"),
    ("CPU_BACKLOG", "the CPU's backlog was full"),
    ("IP_NOPROTO", "nobody speaks that protocol"),
    ("PKT_TOO_BIG", "larger than the MTU"),
    ("NEIGH_FAILED", "the neighbour did not answer (ARP, NDP)"),
];

/// Whether a drop for this reason says nothing.
pub(super) fn is_harmless(reason: &str) -> bool {
    HARMLESS.contains(&reason)
}

pub(super) fn findings(a: &Analysis) -> Vec<Finding> {
    let mut out = repeated(a);
    out.extend(dropped(a));
    out
}

/// Pairs that had to send much again.
fn repeated(a: &Analysis) -> Vec<Finding> {
    let mut worst: BTreeMap<(&str, &str), (u64, u64, u64)> = BTreeMap::new();
    for edge in a.edges().iter().filter(|e| e.retransmissions >= RETRANSMISSIONS) {
        let (n, of, bytes) = worst.entry((&edge.client, &edge.server)).or_default();
        *of = edge.connections.max(*of);
        *bytes = (edge.client_bytes + edge.server_bytes).max(*bytes);
        *n = edge.retransmissions.max(*n);
    }
    let mut worst: Vec<_> = worst.into_iter().collect();
    worst.sort_by_key(|(_, (n, ..))| std::cmp::Reverse(*n));
    let tell = |((client, server), (n, connections, bytes)): ((&str, &str), (u64, u64, u64))| {
        let flows = a.replayed.flows.iter().filter(|f| replay::map::retransmissions(f) > 0);
        let here = flows.filter(|f| {
            let ends = a.services().of_flow(f.flow_id);
            ends.is_some_and(|(c, s)| *a.services().name(c) == *client && *a.services().name(s) == *server)
        });
        let subject = format!("{client} \u{2192} {server}");
        Finding {
            severity: Severity::Medium,
            kind: "retransmissions",
            statement: format!(
                "{subject}: {} sent again, in {} of {} in all",
                plural(n, "TCP segment"),
                plural(connections, "connection"),
                human::bytes(bytes)
            ),
            subject,
            evidence: vec![("flows", here.map(|f| f.flow_id).take(ROWS).collect())],
            next_step: "where they were lost: `analyze hops`; one of the connections: `analyze plot --flow ID`",
            section: "tcp",
            impact: n,
        }
    };
    worst.into_iter().map(tell).collect()
}

fn dropped(a: &Analysis) -> Option<Finding> {
    let drops = Tcp::of(&a.replayed).drops;
    let drops: Vec<&(String, u64)> = drops.iter().filter(|(why, _)| !is_harmless(why)).collect();
    let tell = |(why, n): &(String, u64)| {
        let meaning = MEANINGS.iter().find(|m| m.0 == why).map(|m| format!(" ({})", m.1));
        format!("{why} {}{}", human::count(*n), meaning.unwrap_or_default())
    };
    // Whose packets: those of the pair that most of them belong to, where that is known.
    let mut pairs: BTreeMap<&str, BTreeMap<(u32, u32), u64>> = BTreeMap::new();
    for event in a.replayed.socket_events.iter().filter(|e| e.event == "drop" && e.is_trouble()) {
        if let Some(ends) = event.flow_id.and_then(|id| a.services().of_flow(id)) {
            *pairs.entry(&event.reason).or_default().entry(ends).or_default() += 1;
        }
    }
    let whose = |why: &str| {
        let (ends, _) = pairs.get(why)?.iter().max_by_key(|(ends, n)| (**n, std::cmp::Reverse(**ends)))?;
        Some(format!(", mostly of {} \u{2192} {}", a.services().name(ends.0), a.services().name(ends.1)))
    };
    let tell = |d: &(String, u64)| tell(d) + &whose(&d.0).unwrap_or_default();
    let told: Vec<String> = drops.iter().take(3).map(|d| tell(d)).collect();
    (!told.is_empty()).then(|| Finding {
        severity: Severity::Medium,
        kind: "drops",
        subject: "kernel".into(),
        statement: format!("Packets dropped by the kernel: {}", told.join(", ")),
        evidence: Vec::new(),
        next_step: "whose packets: `analyze socket-events`, events `drop` with their reasons and places in the kernel",
        section: "tcp",
        impact: drops.iter().map(|(_, n)| n).sum(),
    })
}
