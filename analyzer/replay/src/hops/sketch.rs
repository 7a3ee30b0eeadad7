//! A few packets of each flow that another place would choose too: those whose hashes are the smallest, whatever else was seen or lost
//! ("bottom k" sketches, Cohen and Kaplan 2007). Two flows that share some are one conversation.

use super::log::{PlaceLog, Seen, fold};
use super::subject::Subject;
use crate::decode::tcp_flag;
use crate::model::Nanos;

/// Packets in a sketch.
const KEPT: usize = 12;
/// TCP sequence numbers start at random; smaller ones are made up and prove nothing.
const RANDOM_SEQ: u32 = 1 << 16;

/// A packet in a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Print {
    pub(super) print: u64,
    pub(super) flow: u32,
    pub(super) ts: Nanos,
    pub(super) from_client: bool,
    /// How much it proves where addresses differ: 4 is enough by itself.
    pub(super) weight: u8,
}

/// Hash of what a packet keeps on its way, through translators too.
fn print(seen: &Seen) -> u64 {
    let flags = u64::from(seen.flags) << 32;
    let low = fold(u64::from(seen.payload) << 32 | u64::from(seen.ident), u64::from(seen.seq) ^ 0x5bd1);
    // Of everything: what is chosen hangs on these bits, and of datagrams sequence number and flags are all the same.
    let mixed = u64::from(seen.seq) << 32 | u64::from(seen.ident);
    let high = fold(mixed ^ u64::from(low) << 16, u64::from(seen.len) | flags);
    u64::from(high) << 32 | u64::from(low)
}

fn weight(seen: &Seen, tcp: bool) -> u8 {
    if !tcp {
        // A datagram's first bytes; its identification makes it certain.
        return if seen.payload == 0 || seen.len < 8 { 0 } else { 2 };
    }
    match (seen.stamped, seen.seq >= RANDOM_SEQ) {
        (true, true) => 4,
        (true, false) | (false, false) => 0,
        (false, true) if seen.flags & tcp_flag::SYN != 0 => 1,
        (false, true) if seen.payload != 0 => 3,
        (false, true) => 2,
    }
}

/// The sketch of a flow.
pub(super) fn sketch(subject: &Subject<'_>, log: &PlaceLog, out: &mut Vec<Print>) {
    let from = out.len();
    let mut kept: Vec<Print> = Vec::with_capacity(2 * KEPT);
    // A SYN alone proves little (it may be sent to several places); where there is enough else, that decides.
    let enough = log.len() as usize > KEPT;
    for seen in log.iter().filter(|seen| !enough || seen.flags & tcp_flag::SYN == 0) {
        let print = print(&seen);
        let full = kept.len() >= KEPT;
        if full && kept.last().is_some_and(|last| print >= last.print) {
            continue;
        }
        let place = kept.partition_point(|k| k.print < print);
        if kept.get(place).is_some_and(|k| k.print == print) {
            continue;
        }
        let one = Print {
            print,
            flow: subject.flow,
            ts: seen.ts,
            from_client: subject.by_client(&seen),
            weight: weight(&seen, subject.is_tcp()),
        };
        kept.insert(place, one);
        kept.truncate(KEPT);
    }
    out.extend(kept);
    debug_assert!(out.len() - from <= KEPT);
}
