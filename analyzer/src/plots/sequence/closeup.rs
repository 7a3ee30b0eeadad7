//! Which parts of a long flow are shown again, larger.

use super::panel::MOST_IN_DETAIL;
use replay::model::Side;
use replay::tcp_packets::{Marks, TcpPacket};
use std::ops::Range;

/// Parts shown of one direction.
const MOST: usize = 2;
/// Packets before and behind the one that a part is about.
const AROUND: usize = 45;

/// How much a packet is worth a look, for those who look at what `sender` sent.
fn weight(p: &TcpPacket, sender: Side) -> u32 {
    if p.sender == sender {
        u32::from(p.marks.is_retransmission()) * 3 + u32::from(p.marks.has(Marks::OUT_OF_ORDER)) * 2
    } else {
        u32::from(p.marks.has(Marks::ZERO_WINDOW)) * 2
            + u32::from(!p.sack.is_empty())
            + u32::from(p.marks.has(Marks::DUPLICATE_ACK))
    }
}

/// Parts of `packets`, as places, in their order: those around most trouble, or else the beginning. None where the whole is drawn in
/// detail.
pub(super) fn choose(packets: &[TcpPacket], sender: Side) -> Vec<Range<usize>> {
    if packets.len() <= MOST_IN_DETAIL {
        return Vec::new();
    }
    // Sums of weights, so that any part's is a difference.
    let mut sums = vec![0u32];
    sums.extend(packets.iter().scan(0u32, |sum, p| {
        *sum += weight(p, sender);
        Some(*sum)
    }));
    let of = |r: &Range<usize>| {
        let at = |i: usize| sums.get(i).copied().unwrap_or(0);
        at(r.end).saturating_sub(at(r.start))
    };
    let mut chosen: Vec<Range<usize>> = Vec::new();
    for _ in 0..MOST {
        let best = (0..packets.len())
            .filter(|&i| packets.get(i).is_some_and(|p| p.sender == sender && weight(p, sender) > 0))
            .map(|i| i.saturating_sub(AROUND)..(i + AROUND).min(packets.len()))
            .filter(|r| chosen.iter().all(|c: &Range<usize>| r.end <= c.start || c.end <= r.start))
            .max_by_key(|r| (of(r), std::cmp::Reverse(r.start)));
        let Some(best) = best else { break };
        chosen.push(best);
    }
    if chosen.is_empty() {
        chosen.push(0..(2 * AROUND).min(packets.len()));
    }
    let mut chosen: Vec<_> = chosen.into_iter().map(|r| without_silence(packets, r, sender)).collect();
    chosen.sort_by_key(|r| r.start);
    chosen
}

/// Without a long silence at which nothing else could be seen: of the two sides of it the one with more to see.
fn without_silence(packets: &[TcpPacket], mut range: Range<usize>, sender: Side) -> Range<usize> {
    let ts = |i: usize| packets.get(i).map_or(0, |p| p.ts);
    while range.len() > 12 {
        let length = ts(range.end - 1).saturating_sub(ts(range.start));
        let longest = (range.start + 1..range.end).max_by_key(|&i| ts(i).saturating_sub(ts(i - 1)));
        let Some(at) = longest.filter(|&i| ts(i).saturating_sub(ts(i - 1)) > length / 3) else { break };
        let sum = |r: Range<usize>| packets.get(r).unwrap_or_default().iter().map(|p| weight(p, sender)).sum::<u32>();
        let (before, after) = (range.start..at, at..range.end);
        let (a, b) = (sum(before.clone()), sum(after.clone()));
        let kept = if a == b { before.len() >= after.len() } else { a > b };
        range = if kept { before } else { after };
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(n: i64, marks: Marks) -> TcpPacket {
        TcpPacket {
            flow_id: 0,
            input: 0,
            frame: n as u64,
            ts: n * 1000,
            sender: Side::Client,
            seq: n * 100,
            ack: Some(1),
            tcp_seq: 0,
            tcp_ack: 0,
            payload_bytes: 100,
            flags: 0x10,
            window_bytes: 1000,
            sack: Vec::new(),
            in_flight_bytes: 0,
            round_trip_ns: None,
            marks,
        }
    }

    #[test]
    fn parts_are_where_the_trouble_is() {
        let mut packets: Vec<_> = (0..1000).map(|n| packet(n, Marks::default())).collect();
        // Nothing happened: the beginning.
        assert_eq!(choose(&packets, Side::Client), std::slice::from_ref(&(0..90)));
        for n in [500, 505, 900] {
            packets[n].marks = Marks::RETRANSMISSION;
        }
        assert_eq!(choose(&packets, Side::Client), [455..545, 855..945]);
        // A second of silence in the middle of a part cuts it: the two that were sent again are behind it.
        for p in &mut packets[490..] {
            p.ts += 1_000_000_000;
        }
        assert_eq!(choose(&packets, Side::Client), [490..545, 855..945]);
        // Few packets are drawn in detail anyway.
        assert!(choose(&packets[..200], Side::Client).is_empty());
    }
}
