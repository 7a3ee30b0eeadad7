//! Packets of a bundle in the order of their times: it holds them CPU by CPU, as its rings were emptied. Captures stay as they are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A bundle's packets are out of order by less: rings are emptied several times a second.
const LATE_NS: u64 = 5_000_000_000;
/// Bytes that wait at most.
const MAX_BYTES: usize = 64 << 20;

/// A packet that waits for earlier ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    /// UTC ns.
    pub(super) ts: u64,
    /// In the order of the input.
    pub(super) number: u64,
    pub(super) interface: u32,
    pub(super) direction: u8,
    pub(super) wire_len: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) comment: String,
}

/// Packets that wait.
#[derive(Debug, Default)]
pub(super) struct Order {
    heap: BinaryHeap<Reverse<Waiting>>,
    latest: u64,
    bytes: usize,
}

impl Order {
    /// Takes in a packet.
    pub(super) fn push(&mut self, packet: Waiting) {
        self.latest = self.latest.max(packet.ts);
        self.bytes += packet.bytes.len();
        self.heap.push(Reverse(packet));
    }

    /// The earliest packet, if it need not wait any more.
    pub(super) fn next_due(&mut self) -> Option<Waiting> {
        let earliest = self.heap.peek()?.0.ts;
        if self.bytes <= MAX_BYTES && earliest.saturating_add(LATE_NS) > self.latest {
            return None;
        }
        self.next_of_all()
    }

    /// The earliest packet, as nothing more comes.
    pub(super) fn next_of_all(&mut self) -> Option<Waiting> {
        let packet = self.heap.pop()?.0;
        self.bytes -= packet.bytes.len();
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(ts: u64, number: u64) -> Waiting {
        let bytes = vec![0; 1 << 20];
        Waiting { ts, number, interface: 0, direction: 0, wire_len: 0, bytes, comment: String::new() }
    }

    #[test]
    fn packets_of_two_cpus_come_out_by_time() {
        let (mut order, mut out) = (Order::default(), Vec::new());
        // Two rings, emptied one after the other every two seconds.
        for round in 0..20 {
            for cpu in 0..2 {
                for n in 0..10 {
                    order.push(packet(round * 2_000_000_000 + n * 150_000_000 + cpu, round * 20 + cpu * 10 + n));
                    out.extend(std::iter::from_fn(|| order.next_due()).map(|p| p.ts));
                }
            }
        }
        assert!(out.len() > 300, "what is old enough does not wait: {}", out.len());
        out.extend(std::iter::from_fn(|| order.next_of_all()).map(|p| p.ts));
        assert_eq!(out.len(), 400);
        assert!(out.is_sorted());
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut order = Order::default();
        for n in 0..1_000 {
            order.push(packet(1, n));
            while order.next_due().is_some_and(|p| p.number < n) {}
            assert!(order.heap.len() <= 66);
        }
    }
}
