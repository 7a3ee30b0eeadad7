use super::Hands;
use super::content::tokens;
use super::kinds::Kinds;
use super::process::{Child, Moment, NONE, Parent, Process, weigh, without_constants};
use super::sample::sample;
use crate::model::{Endpoints, ObservedAt, Request};
use proptest::prelude::*;

fn moment(ts: i64, tid: u32, batch: u32, place: u32) -> Moment {
    Moment { ts, tid, batch, place, size: 1, nth: 0, last: true, before: ts - 50_000 }
}

/// Pairs of requests that overlap: of each the child is asked for by a timer, out of turn, but answered as soon as the
/// child's response was read.
fn timers(pairs: i64) -> Process {
    let mut process = Process { parent_kinds: 1, child_kinds: 1, span: pairs as f64 * 2e7, ..Process::default() };
    let mut batch = 0;
    for pair in 0..pairs {
        let at = pair * 20_000_000;
        // How long each waits differs from pair to pair, and so does which of both comes first.
        let waits = [2_000_000 + pair * 7_919 % 900_000, 2_000_000 + pair * 104_729 % 900_000];
        for (n, wait) in (0..).zip(waits) {
            let asked = at + n * 300_000 + wait;
            let done = asked + 1_000_000 + (pair * 31 + n * 17) % 700_000;
            let parent = u32::try_from(process.parents.len()).unwrap();
            batch += 10;
            process.parents.push(Parent {
                request: parent,
                kind: 0,
                start: moment(at + n * 300_000, 1, batch, 0),
                end: moment(done + 100_000, 1, batch + 3, 0),
                over: done + 100_000,
            });
            let candidates = vec![(parent / 2 * 2, 0.0), (parent / 2 * 2 + 1, 0.0)];
            process.children.push(Child {
                request: parent,
                kind: 0,
                asked: moment(asked, 1, batch + 1, 1),
                done: moment(done, 1, batch + 3, 0),
                candidates,
                fixed: None,
            });
        }
    }
    process
}

/// What the process does is learned from the whole recording: the answer follows the response.
#[test]
fn what_follows_at_once_is_for_the_same_request() {
    let process = timers(60);
    let shares = sample(&process);
    let right = (0u32..).zip(&shares).filter(|(i, s)| s.first().is_some_and(|s| s.0 == *i && s.1 > 0.85)).count();
    assert!(right >= 114, "{right} of 120: {shares:?}");
}

/// Two requests between which nothing tells: neither is believed.
#[test]
fn what_cannot_be_told_apart_is_not() {
    let mut process = Process { parent_kinds: 1, child_kinds: 1, span: 1e9, ..Process::default() };
    for i in 0..2 {
        process.parents.push(Parent {
            request: i,
            kind: 0,
            start: moment(0, 1, 1, 0),
            end: moment(10_000_000, 1, 3, 0),
            over: 10_000_000,
        });
        process.children.push(Child {
            request: i,
            kind: 0,
            asked: moment(1_000_000, 1, 2, 0),
            done: moment(5_000_000, 1, 3, 0),
            candidates: vec![(0, 0.0), (1, 0.0)],
            fixed: None,
        });
    }
    let shares = sample(&process);
    assert!(shares.iter().all(|s| s.iter().all(|s| s.1 < 0.85)), "{shares:?}");
}

/// A key that only one of two has in common with the child outweighs what the order of calls says.
#[test]
fn contents_outweigh_order() {
    let mut process = timers(30);
    for child in &mut process.children {
        for (parent, weight) in &mut child.candidates {
            // The other one's, consistently.
            *weight = if *parent == child.request { -6.0 } else { 6.0 };
        }
    }
    let shares = sample(&process);
    let other = (0u32..).zip(&shares).filter(|(i, s)| s.first().is_some_and(|s| s.0 == i ^ 1)).count();
    assert!(other >= 54, "{other} of 60");
}

/// A hundred requests, some twenty of them in work at a time: many children would have a number in common with one of these by
/// chance. That all have is no chance; that a fifth has is.
#[test]
fn numbers_in_common_in_a_short_recording() {
    let weighed = |number: fn(u64) -> u64| {
        let mut process = timers(50);
        for child in &mut process.children {
            child.candidates =
                (child.request.saturating_sub(10)..(child.request + 10).min(100)).map(|p| (p, 0.0)).collect();
        }
        let of_parents: Vec<Vec<u64>> = (0..100).map(|n| vec![n]).collect();
        let of_children: Vec<Vec<u64>> = (0..100).map(|n| vec![number(n)]).collect();
        weigh(&mut process, &of_parents, &of_children);
        process.children
    };
    for child in weighed(|n| n) {
        let weight = |of| child.candidates.iter().find(|c| c.0 == of).map_or(f32::MIN, |c| c.1);
        let own = weight(child.request);
        let others = child.candidates.iter().filter(|c| c.0 != child.request);
        assert!(others.map(|c| c.1).fold(f32::MIN, f32::max) < own - 6.0, "{child:?}");
    }
    // 37 and 100 have no factor in common: a number of another request, anywhere.
    for child in weighed(|n| n * 37 % 100) {
        assert!(child.candidates.iter().all(|c| c.1.abs() < 3.0), "{child:?}");
    }
}

/// Half of what is asked for bears its parent's number, the other half words that nobody else has: that says nothing against the number.
#[test]
fn what_has_nothing_in_common_takes_nothing_from_what_has() {
    let mut process = timers(50);
    let of_parents: Vec<Vec<u64>> = (0..100).map(|n| vec![n]).collect();
    let of_children: Vec<Vec<u64>> = (0..100).map(|n| vec![if n % 2 == 0 { n } else { 1000 + n }]).collect();
    weigh(&mut process, &of_parents, &of_children);
    for child in &process.children {
        assert_eq!(child.fixed, (child.request % 2 == 0).then_some(child.request), "{child:?}");
    }
}

/// All statements of a kind hold a 1 that half of the requests have, too: it is taken out, and what differs stays. A kind of few stays whole.
#[test]
fn what_all_of_a_kind_say_is_not_whose_it_is() {
    let mut process = timers(50);
    let mut of_children: Vec<Vec<u64>> = (0..100).map(|n| vec![1, 1000 + n]).collect();
    for child in process.children.iter_mut().skip(93) {
        child.kind = 1;
    }
    without_constants(&process.children, &mut of_children);
    let expected: Vec<Vec<u64>> = (0..100).map(|n| if n < 93 { vec![1000 + n] } else { vec![1, 1000 + n] }).collect();
    assert_eq!(of_children, expected);
}

/// Two threads that wait for each answer have a queue before them when three requests are in work; a loop that asks for several things at once, and
/// threads that read requests themselves, have none.
#[test]
fn more_in_work_than_hands() {
    let in_work = |threads: &[u32], wait: i64| {
        let mut process = timers(50);
        for (i, (child, tid)) in process.children.iter_mut().zip(threads.iter().copied().cycle()).enumerate() {
            (child.asked.tid, child.asked.ts) = (tid, i as i64 * 10_000_000);
            child.done.ts = child.asked.ts + wait;
            child.candidates = (0..3).map(|p| (p, 0.0)).collect();
        }
        let hands = Hands::new(&process);
        process.children.iter().filter(|c| hands.keep_waiting(c)).count()
    };
    assert_eq!(in_work(&[7, 8], 15_000_000), 100);
    assert_eq!(in_work(&[7, 8, 9], 15_000_000), 0);
    assert_eq!(in_work(&[7], 15_000_000), 0);
    assert_eq!(in_work(&[1, 7], 15_000_000), 50);
}

/// A request for a resource of one protocol.
fn asking(l7_protocol: &'static str, request_resource: &str) -> Request {
    let fields = crate::model::RequestFields {
        l7_protocol,
        request_type: "GET".into(),
        request_resource: request_resource.into(),
        ..Default::default()
    };
    Request {
        request_id: 0,
        flow_id: 0,
        observed_at: ObservedAt::Interface(0),
        side: None,
        transport: crate::model::Transport::Tcp,
        endpoints: Endpoints { client_ip: None, client_port: 40_000, server_ip: None, server_port: 80 },
        netns: 0,
        session: crate::model::Session { fields: fields.into(), ..Default::default() },
        sock: 0,
        process: None,
    }
}

/// Digits and rare words are somebody's ids; what comes again and again is what a program asks for.
#[test]
fn kinds_are_what_stays_without_ids() {
    let mut requests = Vec::new();
    for n in 0..200 {
        let name = format!("{}{}", char::from(b'a' + n % 26), char::from(b'a' + n / 26));
        requests.push(asking("http", &format!("/orders/{n}")));
        requests.push(asking("http", &format!("/orders/{n}/lines/7f3a{n}-{n}c?page=2")));
        requests.push(asking("http", &format!("/users/{name}")));
        requests.push(asking("redis", &format!("GET session:{n:04x}{name}")));
        requests.push(asking("redis", "GET hits"));
    }
    let kinds = Kinds::new(requests.iter());
    let numbers: Vec<u16> = requests.iter().map(|r| kinds.of(r)).collect();
    assert_eq!(kinds.len(), 5, "{numbers:?}");
    let [first, ..] = numbers.as_chunks::<5>().0 else { panic!("no request") };
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
    assert!(numbers.chunks(5).all(|five| five == first), "{numbers:?}");
}

/// Of words as rare as each other, those beyond the sixtieth kind are one: none is out of bounds.
#[test]
fn more_kinds_than_are_told_apart() {
    let word = |n: u8| [b'a' + n / 26, b'a' + n % 26].map(char::from).iter().collect::<String>();
    let requests: Vec<Request> = (0..100).cycle().take(400).map(|n| asking("http", &format!("/{}", word(n)))).collect();
    let kinds = Kinds::new(requests.iter());
    let numbers: std::collections::BTreeSet<u16> = requests.iter().map(|r| kinds.of(r)).collect();
    assert_eq!((kinds.len(), numbers.len(), numbers.last()), (61, 61, Some(&60)));
}

/// `n17` holds the number 17; digits between the letters of a word are nobody's.
#[test]
fn numbers_inside_words() {
    let words = |text| tokens(&asking("redis", text));
    let common = |a, b| words(a).iter().filter(|token| words(b).contains(token)).count();
    assert_eq!(common("n17", "GET 17"), 1);
    assert_eq!(common("7f3a9c", "GET 7"), 0);
    assert_eq!(common("7f3a9c", "GET key:7f3a9c"), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the times are: shares of candidates only, in sum at most one, and the same in every run.
    #[test]
    fn shares_are_shares(
        parents in prop::collection::vec((0i64..1000, 0i64..1000, 0u16..3, 0u32..3), 1..8),
        children in prop::collection::vec((0i64..1000, 0i64..2000, 0u16..3, 0u32..3, any::<u8>()), 1..12),
    ) {
        let mut process = Process { parent_kinds: 3, child_kinds: 3, span: 1e6, ..Process::default() };
        for (i, &(start, length, kind, tid)) in (0u32..).zip(&parents) {
            let end = if length == 0 { i64::MAX } else { (start + length) * 1000 };
            let (start, end) = (moment(start * 1000, tid, i, 0), moment(end, tid, i, 1));
            process.parents.push(Parent { request: i, kind, start, end, over: end.ts });
        }
        for (i, &(asked, length, kind, tid, which)) in (0u32..).zip(&children) {
            let done = if length == 0 { i64::MAX } else { (asked + length) * 1000 };
            let (asked, done) = (moment(asked * 1000, tid, i, 0), moment(done, tid, i, 0));
            let candidates: Vec<(u32, f32)> = (0..parents.len() as u32).filter(|p| which >> p & 1 == 1).map(|p| (p, 0.0)).collect();
            let fixed = if which == 1 { Some(0) } else { None };
            process.children.push(Child { request: i, kind, asked, done, candidates, fixed });
        }
        let shares = sample(&process);
        prop_assert_eq!(shares.len(), children.len());
        for (child, shares) in process.children.iter().zip(&shares) {
            prop_assert!(shares.iter().map(|s| s.1).sum::<f32>() <= 1.0);
            prop_assert!(shares.iter().all(|s| s.0 == NONE || child.candidates.iter().any(|c| c.0 == s.0)));
        }
        prop_assert_eq!(shares, sample(&process));
    }
}
