//! SCTP: sides, restarts, ends. Packets are written out by hand, after RFC 9260, section 3.

use super::{MS, Wire, settings};
use crate::decode::build::{ethernet, ipv4};
use crate::model::Nanos;

const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const ABORT: u8 = 6;
const COOKIE_ECHO: u8 = 10;
const COOKIE_ACK: u8 = 11;
const SHUTDOWN_COMPLETE: u8 = 14;

/// A chunk without flags.
fn chunk(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut c = vec![kind, 0];
    c.extend((4 + value.len() as u16).to_be_bytes());
    c.extend(value);
    c.resize(c.len().next_multiple_of(4), 0);
    c
}

/// DATA with sequence number 1, whole.
fn data(text: &[u8]) -> Vec<u8> {
    let mut c = chunk(0, &[&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], text].concat());
    c[1] = 3;
    c
}

/// INIT or INIT ACK with a tag.
fn init(kind: u8, tag: u32) -> Vec<u8> {
    chunk(kind, &[&tag.to_be_bytes()[..], &[0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1]].concat())
}

/// From port 2905 of 10.0.0.1 to port 40000 of 10.0.0.2, or back.
fn sctp(w: &mut Wire, ms: Nanos, back: bool, chunks: &[Vec<u8>]) {
    let (from, to) = if back { (40_000u16, 2905u16) } else { (2905, 40_000) };
    let mut p = [from.to_be_bytes(), to.to_be_bytes()].concat();
    p.extend([0, 0, 0, 9, 0, 0, 0, 0]);
    p.extend(chunks.concat());
    w.now = ms * MS;
    w.frame(ms * MS, &ethernet(0x0800, &ipv4(132, back, &p)));
}

/// Sets one up at `ms`, ports notwithstanding: who sends INIT is the client.
fn set_up(w: &mut Wire, ms: Nanos, tag: u32) {
    sctp(w, ms, false, &[init(INIT, tag)]);
    sctp(w, ms + 1, true, &[init(INIT_ACK, tag + 1)]);
    sctp(w, ms + 2, false, &[chunk(COOKIE_ECHO, b"cookie"), data(b"question")]);
    sctp(w, ms + 3, true, &[chunk(COOKIE_ACK, b"")]);
}

fn rows(w: &mut Wire) -> Vec<(Nanos, u16, u64, &'static str)> {
    let flows = w.finish().flows;
    flows.iter().map(|f| (f.start / MS, f.endpoints.client_port, f.client.packets, f.close_type)).collect()
}

#[test]
fn who_sends_the_init_is_the_client() {
    let mut w = Wire::new(settings());
    set_up(&mut w, 0, 7);
    assert_eq!(rows(&mut w), [(0, 2905, 2, "forced_report")]);
    // The INIT was lost, or not captured.
    for first in [init(INIT_ACK, 5), chunk(COOKIE_ACK, b"")] {
        let mut w = Wire::new(settings());
        sctp(&mut w, 0, true, &[first]);
        assert_eq!(rows(&mut w).first().map(|row| row.1), Some(2905));
    }
}

#[test]
fn a_restart_is_another_flow_and_an_init_that_comes_again_is_not() {
    let mut w = Wire::new(settings());
    sctp(&mut w, 0, false, &[init(INIT, 7)]);
    set_up(&mut w, 1000, 7);
    set_up(&mut w, 2000, 70);
    sctp(&mut w, 2010, false, &[chunk(SHUTDOWN_COMPLETE, b"")]);
    set_up(&mut w, 3000, 700);
    assert_eq!(
        rows(&mut w),
        [(0, 2905, 3, "forced_report"), (2000, 2905, 3, "finish"), (3000, 2905, 2, "forced_report")]
    );
    // Joined in the middle.
    let mut w = Wire::new(settings());
    sctp(&mut w, 0, false, &[data(b"x")]);
    set_up(&mut w, 10, 7);
    assert_eq!(rows(&mut w).len(), 2);
    // Both at once: one association.
    let mut w = Wire::new(settings());
    sctp(&mut w, 0, false, &[init(INIT, 7)]);
    sctp(&mut w, 0, true, &[init(INIT, 8)]);
    assert_eq!(rows(&mut w), [(0, 2905, 1, "server_syn_miss")]);
}

#[test]
fn ends_of_associations() {
    let aborted = |back: bool, chunks: &[Vec<u8>]| {
        let mut w = Wire::new(settings());
        set_up(&mut w, 0, 7);
        sctp(&mut w, 10, back, chunks);
        rows(&mut w)[0].3
    };
    assert_eq!(aborted(true, &[chunk(ABORT, b"")]), "server_rst");
    // An ABORT is the last of what comes together.
    assert_eq!(aborted(false, &[chunk(9, &[0, 1, 0, 4]), chunk(ABORT, b"")]), "client_rst");
    let mut w = Wire::new(settings());
    sctp(&mut w, 0, false, &[init(INIT, 7)]);
    sctp(&mut w, 1, true, &[chunk(ABORT, b"")]);
    assert_eq!(rows(&mut w)[0].3, "server_direct_rst");
    // A chunk that states no length ends the walk.
    let mut w = Wire::new(settings());
    sctp(&mut w, 0, false, &[vec![3, 0, 0, 0], chunk(ABORT, b"")]);
    assert_eq!(rows(&mut w).len(), 1);
}
