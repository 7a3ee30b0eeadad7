//! Packets that passed an interface and no hook: the interface's own counter, read when recording began and when it ended, less what was recorded.
//!
//! Linux at times runs no program for packets (docs/limitations.md), and says so nowhere. What comes out is a lower bound: what was
//! recorded or lost while the counters were read counts against it. Only counters that count exactly what the hooks see are
//! compared; which these are follows from the kernel's sources (docs/bundle-format.md, counters).

use crate::model::{Health, Nanos};
use formats::event::direction;
use formats::facts::{CounterReading, InterfaceCounters};
use formats::pcapng::InterfaceDesc;
use formats::read::Batch;
use std::collections::BTreeMap;

/// The readings of one input, and what was recorded of it.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    first: CounterReading,
    last: CounterReading,
    /// By place in the file: packets recorded as received and as sent since the first reading began.
    recorded: Vec<[u64; 2]>,
    /// Packets that are known to be lost, wherever.
    pub(super) lost: u64,
}

impl Counters {
    /// A reading, in the order of the file.
    pub(super) fn reading(&mut self, reading: CounterReading) {
        if reading.from_ns != 0 {
            self.first = reading;
        } else {
            self.last = reading;
        }
    }

    /// Counts a batch's packets. `offset` makes UTC of monotonic times, so many interfaces are known by now.
    pub(super) fn packets(&mut self, batch: &Batch, offset: i64, interfaces: usize) {
        if self.first.from_ns == 0 {
            return;
        }
        self.recorded.resize(interfaces.max(self.recorded.len()), [0; 2]);
        let from = utc(self.first.from_ns, offset);
        for p in batch.packets.iter().filter(|p| p.ts >= from) {
            let place = p.interface as usize;
            let way = usize::from(p.direction == direction::OUT);
            if let Some(n) = self.recorded.get_mut(place).and_then(|ways| ways.get_mut(way)) {
                *n += 1;
            }
        }
    }

    /// A row for every interface and direction that lacks packets. Nothing can be said of an input that is not whole.
    pub(super) fn finish(self, interfaces: &[InterfaceDesc], offset: i64) -> Vec<Health> {
        if self.first.from_ns == 0 || self.last.until_ns == 0 {
            return Vec::new();
        }
        let times = [self.first.from_ns, self.last.until_ns].map(|ns| utc(ns, offset));
        let before: BTreeMap<u32, &InterfaceCounters> = self.first.interfaces.iter().map(|c| (c.id, c)).collect();
        // Which veths are the two ends of one is not told: none of them may be one that merges.
        let veths_merge = [&self.first, &self.last]
            .into_iter()
            .flat_map(|reading| &reading.interfaces)
            .any(|c| c.merges && interfaces.get(c.id as usize).is_none_or(|desc| desc.kind == "veth"));
        let mut rows = Vec::new();
        for last in &self.last.interfaces {
            let (Some(desc), Some(first)) = (interfaces.get(last.id as usize), before.get(&last.id)) else { continue };
            // It was away meanwhile, perhaps in another namespace.
            if first.carrier_downs != last.carrier_downs {
                continue;
            }
            let kind = desc.kind.as_str();
            // What is counted as received comes to the hook one for one.
            let received = matches!(kind, "lo" | "veth") && !first.merges && !last.merges;
            // What is counted as sent has left by the hook. A veth adds what its other end has taken in by NAPI, some of which may be
            // redirected there without passing a hook (`veth_get_stats64`).
            let sent = matches!(kind, "bridge" | "dummy") || (kind == "veth" && !veths_merge);
            let recorded = self.recorded.get(last.id as usize).copied().unwrap_or_default();
            let ways = [
                (received, "received", [first.received, last.received], recorded[0]),
                (sent, "sent", [first.sent, last.sent], recorded[1]),
            ];
            for (comparable, word, counted, recorded) in ways {
                let (true, [Some(before), Some(after)]) = (comparable, counted) else { continue };
                let missing = after.saturating_sub(before).saturating_sub(recorded).saturating_sub(self.lost);
                if missing > 0 {
                    rows.push(row(desc, word, missing, times));
                }
            }
        }
        rows
    }
}

/// Kind of `health` rows for what never came to the recorder, so that it could not lose it.
const NOT_RUN: &str = "not_run";

fn row(desc: &InterfaceDesc, way: &str, missing: u64, [first, last]: [Nanos; 2]) -> Health {
    let cause = format!(
        "by its own count, {} in network namespace {} {way} at least so many packets for which the kernel ran no program",
        desc.name, desc.netns
    );
    Health { kind: NOT_RUN.into(), cpu: None, first: Some(first), last: Some(last), lost: missing, cause }
}

fn utc(ns: u64, offset: i64) -> Nanos {
    i64::try_from(ns).unwrap_or(i64::MAX).saturating_add(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSET: i64 = 1_000_000;

    fn desc(name: &str, kind: &str) -> InterfaceDesc {
        InterfaceDesc { name: name.into(), kind: kind.into(), netns: 7, ..InterfaceDesc::default() }
    }

    fn counts(id: u32, received: u64, sent: u64) -> InterfaceCounters {
        InterfaceCounters { id, received: Some(received), sent: Some(sent), ..InterfaceCounters::default() }
    }

    /// Two readings, the first with 100 packets either way, the last with these more.
    fn counters(more: &[[u64; 2]]) -> Counters {
        let ids = || 0u32..;
        Counters {
            first: CounterReading {
                from_ns: 50,
                read_ns: [60, 70],
                interfaces: ids().zip(more).map(|(id, _)| counts(id, 100, 100)).collect(),
                ..CounterReading::default()
            },
            last: CounterReading {
                until_ns: 500,
                read_ns: [400, 410],
                interfaces: ids().zip(more).map(|(id, [r, s])| counts(id, 100 + r, 100 + s)).collect(),
                ..CounterReading::default()
            },
            ..Counters::default()
        }
    }

    fn said(c: Counters, interfaces: &[InterfaceDesc]) -> Vec<(u64, bool, bool)> {
        let rows = c.finish(interfaces, OFFSET);
        assert!(rows.iter().all(|h| h.kind == NOT_RUN && h.first == Some(OFFSET + 50) && h.last == Some(OFFSET + 500)));
        rows.into_iter()
            .map(|h| (h.lost, h.cause.contains(" lo in "), h.cause.contains(" received at least ")))
            .collect()
    }

    #[test]
    fn what_was_counted_and_not_recorded() {
        let lo = [desc("lo", "lo")];
        let with = |recorded, lost| Counters { recorded: vec![[recorded, 0]], lost, ..counters(&[[10, 10]]) };
        assert_eq!(said(with(7, 0), &lo), [(3, true, true)]);
        // What is known to be lost may be any of these.
        assert_eq!(said(with(7, 2), &lo), [(1, true, true)]);
        assert_eq!(said(with(7, 3), &lo), []);
        // More was recorded than counted between the readings: they take a while.
        assert_eq!(said(with(11, 0), &lo), []);
        // What the loopback sends it receives: hooks see it once.
        assert_eq!(said(with(10, 0), &lo), []);
    }

    #[test]
    fn both_ends_of_a_veth() {
        let veths = [desc("a", "veth"), desc("b", "veth")];
        let with = || Counters { recorded: vec![[10, 4], [5, 10]], ..counters(&[[10, 6], [6, 10]]) };
        assert_eq!(said(with(), &veths), [(2, false, false), (1, false, true)]);
        let mut merging = with();
        merging.last.interfaces[1].merges = true;
        // The other end may have taken in more than was sent past the hook; and merges what it gets.
        assert_eq!(said(merging, &veths), []);
    }

    #[test]
    fn nothing_is_said_where_nothing_is_known() {
        let kinds = ["physical", "tun", "vxlan", "vlan", "macvlan", "bond", ""];
        let others: Vec<_> = kinds.iter().map(|kind| desc("x", kind)).collect();
        let all = || counters(&[[9, 9]; 7]);
        assert_eq!(said(all(), &others), []);
        // Of a bridge and a dummy, what is sent: a bridge may drop what it has counted as received.
        assert_eq!(said(all(), &[desc("br0", "bridge"), desc("d", "dummy")]), [(9, false, false), (9, false, false)]);
        let lo = [desc("lo", "lo")];
        let changed = |change: fn(&mut Counters)| {
            let mut c = counters(&[[9, 9]]);
            change(&mut c);
            said(c, &lo)
        };
        assert_eq!(changed(|_| ()), [(9, true, true)]);
        // The recorder was killed, or could not make sure; a filter was used; the interface was not there all the time.
        assert_eq!(changed(|c| c.last = CounterReading::default()), []);
        assert_eq!(changed(|c| c.last.until_ns = 0), []);
        assert_eq!(changed(|c| c.first.from_ns = 0), []);
        assert_eq!(changed(|c| c.last.interfaces[0].received = None), []);
        assert_eq!(changed(|c| c.first.interfaces.clear()), []);
        assert_eq!(changed(|c| c.last.interfaces[0].carrier_downs = 1), []);
        assert_eq!(changed(|c| c.last.interfaces[0].id = 7), []);
        // Counters that go backwards are another interface's.
        assert_eq!(changed(|c| c.last.interfaces[0].received = Some(5)), []);
    }
}
