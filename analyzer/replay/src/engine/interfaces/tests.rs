//! Which files are parts of one capture.

use super::Interfaces;
use crate::model::Nanos;
use formats::pcapng::InterfaceDesc;

const SECOND: Nanos = 1_000_000_000;

/// Nodes and interfaces that captures of one nameless interface are taken for; each from its first packet to its last.
fn places(files: &[(Nanos, Nanos)]) -> (usize, usize) {
    let (mut interfaces, mut clock) = (Interfaces::default(), Nanos::MIN);
    for &(first, last) in files {
        interfaces.new_input("x.pcap", Some(first), clock);
        interfaces.learn(&[InterfaceDesc::default()], None, 0);
        clock = clock.max(last);
    }
    (interfaces.nodes.len(), interfaces.rows.len())
}

#[test]
fn parts_of_a_rotated_capture_are_one_place() {
    assert_eq!(places(&[(0, 10 * SECOND), (10 * SECOND, 20 * SECOND), (21 * SECOND, 30 * SECOND)]), (1, 1));
}

/// With several queues the last packets of one part are later than the first of the next by microseconds.
#[test]
fn parts_may_overlap_a_little() {
    let us = 1000;
    assert_eq!(
        places(&[(0, 10 * SECOND), (10 * SECOND - 300 * us, 20 * SECOND), (20 * SECOND - us, 30 * SECOND)]),
        (1, 1)
    );
}

#[test]
fn captures_of_the_same_time_are_two_places() {
    assert_eq!(places(&[(0, 10 * SECOND), (SECOND, 11 * SECOND)]), (2, 2));
    assert_eq!(places(&[(0, 10 * SECOND), (10 * SECOND - 20_000_000, 20 * SECOND)]), (2, 2), "more than jitter");
    // A few milliseconds are not much of ten seconds, but most of captures that are no longer.
    assert_eq!(places(&[(0, 5_000_000), (1_000_000, 6_000_000)]), (2, 2));
}
