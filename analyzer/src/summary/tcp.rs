//! TCP trouble of a whole recording, each conversation counted once.

use ahash::AHashMap;
use replay::map::{is_failed, retransmissions};
use replay::model::{Endpoints, Flow, Replayed, Transport};
use std::collections::BTreeMap;

/// Totals over all TCP conversations, and what the kernel dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// TCP connections (five-tuples, with port reuse counted).
    pub connections: u64,
    /// Of these, never established.
    pub failed: u64,
    /// Segments sent again.
    pub retransmissions: u64,
    /// RST segments.
    pub resets: u64,
    /// Packets that announced a zero window.
    pub zero_windows: u64,
    /// Segments that came out of order.
    pub out_of_order: u64,
    /// Packets that the kernel dropped, by its reason; most first.
    pub drops: Vec<(String, u64)>,
}

impl Tcp {
    /// Adds up a recording. A conversation seen at several places counts as the place that saw most of it.
    #[must_use]
    pub fn of(replayed: &Replayed) -> Self {
        let mut events: AHashMap<u64, [u64; 2]> = AHashMap::new();
        let mut drops: BTreeMap<&str, u64> = BTreeMap::new();
        for event in replayed.socket_events.iter().filter(|event| event.is_trouble()) {
            if event.event == "drop" {
                *drops.entry(&event.reason).or_default() += 1;
            } else if let Some(id) = event.flow_id {
                let [retransmits, resets] = events.entry(id).or_default();
                match event.event {
                    "retransmit" => *retransmits += 1,
                    "reset_sent" | "reset_received" => *resets += 1,
                    _ => {}
                }
            }
        }
        let mut places: AHashMap<(Endpoints, &replay::model::ObservedAt), [u64; 6]> = AHashMap::new();
        for flow in replayed.flows.iter().filter(|f| f.transport == Transport::Tcp) {
            let sum = places.entry((flow.endpoints, &flow.observed_at)).or_default();
            let [event_retransmits, event_resets] = events.get(&flow.flow_id).copied().unwrap_or_default();
            let counts = counts(flow);
            for (total, n) in sum.iter_mut().zip(counts) {
                *total += n;
            }
            let [_, _, retransmits, resets, ..] = sum;
            *retransmits += event_retransmits.saturating_sub(counts[2]);
            *resets += event_resets.saturating_sub(counts[3]);
        }
        let mut conversations: AHashMap<Endpoints, [u64; 6]> = AHashMap::new();
        for ((endpoints, _), counts) in places {
            let most = conversations.entry(endpoints).or_default();
            for (most, n) in most.iter_mut().zip(counts) {
                *most = n.max(*most);
            }
        }
        let mut total = [0; 6];
        for counts in conversations.values() {
            for (total, n) in total.iter_mut().zip(counts) {
                *total += n;
            }
        }
        let [connections, failed, retransmissions, resets, zero_windows, out_of_order] = total;
        let mut drops: Vec<(String, u64)> = drops.into_iter().map(|(why, n)| (why.to_owned(), n)).collect();
        // Stable: equal counts stay in the order of names.
        drops.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        Self { connections, failed, retransmissions, resets, zero_windows, out_of_order, drops }
    }
}

fn counts(flow: &Flow) -> [u64; 6] {
    let both = |n: fn(&replay::model::SideCounters) -> u32| u64::from(n(&flow.client)) + u64::from(n(&flow.server));
    [
        1,
        u64::from(is_failed(flow)),
        retransmissions(flow),
        flow.rst_count.into(),
        both(|s| s.zero_window),
        both(|s| s.out_of_order),
    ]
}
