//! Conversations made by hand, carried over networks whose delays and losses are known, captured at several places.

mod clocks;
mod joins;
mod net;
mod queues;
mod ways;

use super::log::{PlaceLog, Seen};
use proptest::prelude::*;

fn seen() -> impl Strategy<Value = Seen> {
    let numbers = (any::<i32>(), any::<u32>(), 0u32..200_000, any::<u32>(), any::<u32>(), any::<u16>());
    (numbers, any::<u16>(), any::<bool>(), any::<bool>(), 0u8..8).prop_map(
        |((ts, seq, len, ident, payload, ip_id), mark, from_low, stamped, flags)| Seen {
            ts: i64::from(ts),
            seq,
            len,
            ident,
            payload,
            ip_id,
            mark,
            from_low,
            flags,
            stamped,
        },
    )
}

proptest! {
    /// What is written is what is read, whatever it is.
    #[test]
    fn logs_read_back(packets in proptest::collection::vec(seen(), 0..200)) {
        let mut log = PlaceLog::default();
        for packet in &packets {
            log.push(packet);
        }
        // An identification without a hash is all that there may be; neither is none.
        prop_assert_eq!(log.iter().collect::<Vec<_>>(), packets);
    }
}

/// The usual packet: it follows the one before it, has timestamps and no new addresses.
#[test]
fn a_usual_packet_takes_a_dozen_bytes() {
    let mut log = PlaceLog::default();
    let mut bytes = 0;
    for i in 0..1000u32 {
        let one = Seen {
            ts: i64::from(i) * 12_345,
            seq: i * 1448,
            len: 1448,
            ident: i | 1,
            stamped: true,
            ..Seen::default()
        };
        bytes = log.push(&one).0;
    }
    assert_eq!(bytes, 12, "head, time in 3, length in 2, hash in 4, identification in 2");
}
