//! Connections that failed: who wanted whom, and how it ended.

use super::failing::most;
use super::{Finding, ROWS, Severity};
use crate::analysis::Analysis;
use crate::human;
use crate::report::plural;
use ahash::{AHashMap, AHashSet};
use replay::map::is_failed;
use replay::model::{Endpoints, Flow, ObservedAt, Transport};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Client service, server service, how.
type Way = (Arc<str>, Arc<str>, &'static str);

/// How a connection failed, as Zeek's state tells it.
pub(super) fn how_failed(flow: &Flow) -> &'static str {
    match (flow.conn_state, flow.history.strip_prefix("connect:")) {
        (_, Some("EADDRNOTAVAIL")) => "failed for want of a free local port (EADDRNOTAVAIL)",
        (_, Some("ENETUNREACH" | "EHOSTUNREACH")) => "failed for want of a route (host or network unreachable)",
        ("REJ" | "RSTRH", _) => "were refused (reset at once: nothing listens there, or a firewall rejects them)",
        ("S0" | "SH", _) => "got no answer",
        _ => "failed",
    }
}

/// Connections that failed, by who wanted whom and how; those that explain failed requests are told with them.
pub(super) struct Failures {
    pub(super) by_pair: BTreeMap<Way, Pair>,
}

#[derive(Default)]
pub(super) struct Pair {
    pub(super) failed: u64,
    pub(super) of: u64,
    pub(super) told: bool,
    pub(super) drops: BTreeMap<Arc<str>, u64>,
    pub(super) flows: Vec<u64>,
}

impl Failures {
    pub(super) fn new(a: &Analysis) -> Self {
        let r = &a.replayed;
        // Each place by itself: a connection is seen by calls and at interfaces, and counts where most were seen to fail.
        let place = |flow: &Flow| match flow.observed_at {
            ObservedAt::Interface(i) => Some(i),
            ObservedAt::Process(_) => None,
        };
        let tcp = || r.flows.iter().filter(|f| f.transport == Transport::Tcp);
        let mut seen: BTreeMap<(u32, u32), BTreeMap<Option<u32>, [u64; 2]>> = BTreeMap::new();
        let mut hows: BTreeMap<(u32, u32), BTreeMap<&'static str, u64>> = BTreeMap::new();
        let mut rows: BTreeMap<(u32, u32), Vec<u64>> = BTreeMap::new();
        let mut pairs: AHashMap<Endpoints, (u32, u32)> = AHashMap::new();
        let mut clients: AHashSet<u32> = AHashSet::new();
        for flow in tcp().filter(|f| is_failed(f)) {
            let Some(ends) = a.services().of_flow(flow.flow_id) else { continue };
            let [_, failed] = seen.entry(ends).or_default().entry(place(flow)).or_default();
            *failed += 1;
            *hows.entry(ends).or_default().entry(how_failed(flow)).or_default() += 1;
            pairs.insert(flow.endpoints, ends);
            let rows = rows.entry(ends).or_default();
            if rows.len() < ROWS {
                rows.push(flow.flow_id);
            }
            if flow.client_process.is_some() {
                clients.insert(ends.0);
            }
        }
        if !seen.is_empty() {
            for flow in tcp() {
                let ends = a.services().of_flow(flow.flow_id).and_then(|ends| seen.get_mut(&ends));
                if let Some([of, _]) = ends.and_then(|places| places.get_mut(&place(flow))) {
                    *of += 1;
                }
            }
        }
        let mut by_pair: BTreeMap<Way, Pair> = BTreeMap::new();
        let mut keys: BTreeMap<(u32, u32), Way> = BTreeMap::new();
        for (ends, places) in &seen {
            let Some([of, failed]) = places.values().max_by_key(|[of, failed]| (*failed, *of)).copied() else {
                continue;
            };
            let how = hows.get(ends).and_then(most).copied().unwrap_or("failed");
            // Connections whose process is not known, to a server that one known process alone failed to reach just so, are that one's.
            let mut known = seen.keys().filter(|(client, server)| *server == ends.1 && clients.contains(client));
            let owner = match (clients.contains(&ends.0), known.next(), known.next()) {
                (false, Some(only), None) if hows.get(only).and_then(most).copied() == Some(how) => only.0,
                _ => ends.0,
            };
            let key = (a.services().name(owner), a.services().name(ends.1), how);
            keys.insert(*ends, key.clone());
            let pair = by_pair.entry(key).or_default();
            pair.failed += failed;
            pair.of += of;
            pair.flows.extend(rows.get(ends).into_iter().flatten());
            pair.flows.truncate(ROWS);
        }
        // What the kernel says of packets of failed connections.
        for event in r.socket_events.iter().filter(|e| e.event == "drop" && e.is_trouble()) {
            let flow = event.flow_id.and_then(|id| r.flows.get(usize::try_from(id).ok()?));
            let ends = flow.and_then(|f| pairs.get(&f.endpoints));
            let pair = ends.and_then(|ends| keys.get(ends)).and_then(|key| by_pair.get_mut(key));
            if let Some(pair) = pair.filter(|_| !super::network::is_harmless(&event.reason)) {
                *pair.drops.entry(event.reason.clone()).or_default() += 1;
            }
        }
        Self { by_pair }
    }

    pub(super) fn how(&self, client: &Arc<str>, server: &Arc<str>) -> Option<&'static str> {
        self.by_pair.keys().find(|key| key.0 == *client && key.1 == *server).map(|key| key.2)
    }

    pub(super) fn sentence((client, server, how): &Way, pair: &Pair) -> String {
        let of = plural(pair.of, "connection");
        let drops: Vec<String> =
            pair.drops.iter().take(2).map(|(why, n)| format!("{why} {}", human::count(*n))).collect();
        let drops = if drops.is_empty() {
            String::new()
        } else {
            format!("; the kernel dropped packets of them: {}", drops.join(", "))
        };
        format!("{client} \u{2192} {server}: {} of {of} {how}{drops}", human::count(pair.failed))
    }

    /// Those that no failed request tells of.
    pub(super) fn rest(self) -> impl Iterator<Item = Finding> {
        self.by_pair.into_iter().filter(|(_, pair)| !pair.told).map(|(key, pair)| Finding {
            severity: Severity::High,
            kind: "connection_failures",
            subject: format!("{} \u{2192} {}", key.0, key.1),
            statement: Self::sentence(&key, &pair),
            evidence: vec![("flows", pair.flows)],
            next_step: NEXT,
            section: "map",
            impact: pair.failed,
        })
    }
}

/// What to look at next.
pub(super) const NEXT: &str = "is the server running, and listening on that address and port? Else firewall rules: `analyze flows`, `analyze socket-events`";
