use crate::model::Side;
use crate::socket::build::{Node, get, host, ok, replay, trees};

const CURL: (u32, u32) = (10, 10);
const NGINX: (u32, u32) = (20, 20);
const APP: (u32, u32) = (30, 30);
const REDIS: (u32, u32) = (40, 40);
const OTHER: (u32, u32) = (11, 11);

fn names() -> crate::host::Host {
    host(&[(10, "curl"), (11, "wget"), (20, "nginx"), (30, "app"), (40, "redis")])
}

const PING: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
const PONG: &[u8] = b"$1\r\nv\r\n";

#[test]
fn a_thread_per_request_with_two_backends() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    let (mut rc, mut rs) = n.tcp("127.0.0.1:40001", "127.0.0.1:6379");
    let (mut bc, mut bs) = n.tcp("127.0.0.1:40002", "127.0.0.1:9000");
    n.connect(CURL, &c);
    n.accept(APP, &s);
    n.send(CURL, &mut c, APP, &mut s, &get("/order"));
    n.connect(APP, &rc);
    n.accept(REDIS, &rs);
    n.send(APP, &mut rc, REDIS, &mut rs, PING);
    n.send(REDIS, &mut rs, APP, &mut rc, PONG);
    n.connect(APP, &bc);
    n.accept(NGINX, &bs);
    n.send(APP, &mut bc, NGINX, &mut bs, &get("/stock"));
    n.send(NGINX, &mut bs, APP, &mut bc, &ok("5"));
    n.send(APP, &mut s, CURL, &mut c, &ok("done"));
    let out = replay(&n.sorted(), &names());
    assert_eq!(
        trees(&out),
        "c-p curl GET /order [root]\n\
         \x20 s-p app GET /order [tcp_seq]\n\
         \x20   c-p app GET k [thread]\n\
         \x20     s-p redis GET k [tcp_seq]\n\
         \x20   c-p app GET /stock [thread]\n\
         \x20     s-p nginx GET /stock [tcp_seq]\n"
    );
}

/// A pipeline of which the end lies behind what is kept of a call (as Celery writes to Redis): the answer to what was not seen is one request at both
/// ends, asked in that call.
#[test]
fn answers_behind_the_prefix_belong_to_the_call() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    let (mut rc, mut rs) = n.tcp("127.0.0.1:40001", "127.0.0.1:6379");
    n.connect(CURL, &c);
    n.accept(APP, &s);
    n.send(CURL, &mut c, APP, &mut s, &get("/order"));
    n.connect(APP, &rc);
    n.accept(REDIS, &rs);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600\r\n{}\r\n", "x".repeat(600));
    let pipeline = format!("*1\r\n$5\r\nMULTI\r\n{set}*1\r\n$4\r\nEXEC\r\n");
    n.send(APP, &mut rc, REDIS, &mut rs, pipeline.as_bytes());
    n.send(REDIS, &mut rs, APP, &mut rc, b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
    n.send(APP, &mut s, CURL, &mut c, &ok("done"));
    let out = replay(&n.sorted(), &names());
    // Named after the protocol, below the request for which that call was made.
    let trees = trees(&out);
    assert!(trees.contains("\n    c-p app redis [thread]\n      s-p redis redis [tcp_seq]\n"), "{trees}");
    assert!(trees.starts_with("c-p curl GET /order [root]\n  s-p app GET /order [tcp_seq]\n"), "{trees}");
    assert_eq!((trees.matches("[root]").count(), trees.lines().count()), (1, 8), "{trees}");
    let unseen: Vec<_> = out.requests.iter().filter(|r| r.fields.request_type.is_empty()).collect();
    assert!(unseen.iter().all(|r| r.request_ts.is_some() && r.request_tcp_seq.is_none()), "{unseen:#?}");
}

/// Two clients whose requests nginx interleaves in one thread; upstream connections are opened in one turn of the
/// loop and written in a later one.
#[test]
fn an_event_loop_with_new_upstream_connections() {
    let mut n = Node::new();
    let (mut c1, mut s1) = n.tcp("127.0.0.1:40000", "127.0.0.1:80");
    let (mut c2, mut s2) = n.tcp("127.0.0.1:40001", "127.0.0.1:80");
    let (mut u1, mut b1) = n.tcp("127.0.0.1:50000", "127.0.0.1:8000");
    let (mut u2, mut b2) = n.tcp("127.0.0.1:50001", "127.0.0.1:8000");
    n.connect(CURL, &c1);
    n.connect(OTHER, &c2);
    n.accept(NGINX, &s1);
    n.accept(NGINX, &s2);
    n.send(CURL, &mut c1, NGINX, &mut s1, &get("/one"));
    n.connect(NGINX, &u1);
    n.send(OTHER, &mut c2, NGINX, &mut s2, &get("/two"));
    n.connect(NGINX, &u2);
    n.accept(APP, &b1);
    n.accept(APP, &b2);
    // The first one is written when the second was the last to be read.
    n.send(NGINX, &mut u1, APP, &mut b1, &get("/one"));
    n.send(NGINX, &mut u2, APP, &mut b2, &get("/two"));
    n.send(APP, &mut b1, NGINX, &mut u1, &ok("1"));
    n.send(NGINX, &mut s1, CURL, &mut c1, &ok("1"));
    n.send(APP, &mut b2, NGINX, &mut u2, &ok("2"));
    n.send(NGINX, &mut s2, OTHER, &mut c2, &ok("2"));
    let out = replay(&n.sorted(), &names());
    assert_eq!(
        trees(&out),
        "c-p curl GET /one [root]\n\
         \x20 s-p nginx GET /one [tcp_seq]\n\
         \x20   c-p nginx GET /one [forwarded]\n\
         \x20     s-p app GET /one [tcp_seq]\n\
         c-p wget GET /two [root]\n\
         \x20 s-p nginx GET /two [tcp_seq]\n\
         \x20   c-p nginx GET /two [forwarded]\n\
         \x20     s-p app GET /two [tcp_seq]\n"
    );
}

/// With kept connections the upstream request is written in the turn that read the client's. The order of the
/// responses is not that of the requests, and the connections change their clients.
#[test]
fn an_event_loop_with_kept_upstream_connections() {
    let mut n = Node::new();
    let (mut c1, mut s1) = n.tcp("127.0.0.1:40000", "127.0.0.1:80");
    let (mut c2, mut s2) = n.tcp("127.0.0.1:40001", "127.0.0.1:80");
    let (mut u1, mut b1) = n.tcp("127.0.0.1:50000", "127.0.0.1:8000");
    let (mut u2, mut b2) = n.tcp("127.0.0.1:50001", "127.0.0.1:8000");
    let threads: [(u32, u32); 2] = [(30, 31), (30, 32)];
    for round in 0..2 {
        let (one, two) = (get(&format!("/one/{round}")), get(&format!("/two/{round}")));
        n.send(CURL, &mut c1, NGINX, &mut s1, &one);
        n.write(NGINX, if round == 0 { &mut u1 } else { &mut u2 }, &one);
        n.send(OTHER, &mut c2, NGINX, &mut s2, &two);
        n.write(NGINX, if round == 0 { &mut u2 } else { &mut u1 }, &two);
        n.read(threads[0], &mut b1, if round == 0 { &one } else { &two });
        n.read(threads[1], &mut b2, if round == 0 { &two } else { &one });
        n.send(threads[1], &mut b2, NGINX, &mut u2, &ok("x"));
        n.send(
            NGINX,
            if round == 0 { &mut s2 } else { &mut s1 },
            OTHER,
            if round == 0 { &mut c2 } else { &mut c1 },
            &ok("x"),
        );
        n.send(threads[0], &mut b1, NGINX, &mut u1, &ok("y"));
        n.send(
            NGINX,
            if round == 0 { &mut s1 } else { &mut s2 },
            CURL,
            if round == 0 { &mut c1 } else { &mut c2 },
            &ok("y"),
        );
    }
    let out = replay(&n.sorted(), &names());
    let mut expected = String::new();
    for (round, path) in [(0, "one"), (0, "two"), (1, "one"), (1, "two")] {
        let client = if path == "one" { "curl" } else { "wget" };
        let name = format!("GET /{path}/{round}");
        let how = if path == "one" { "containment" } else { "forwarded" };
        expected.push_str(&format!(
            "c-p {client} {name} [root]\n  s-p nginx {name} [tcp_seq]\n    c-p nginx {name} [{how}]\n      s-p app {name} [tcp_seq]\n"
        ));
    }
    assert_eq!(trees(&out), expected);
    assert!(out.traces.iter().all(|t| t.weakest_link > 0.88 && t.processes == 3));
}

/// A response to an earlier child gives the thread back to the request, though another one was read in between.
#[test]
fn a_response_brings_its_request_back() {
    let mut n = Node::new();
    let (mut c1, mut s1) = n.tcp("127.0.0.1:40000", "127.0.0.1:80");
    let (mut c2, mut s2) = n.tcp("127.0.0.1:40001", "127.0.0.1:80");
    let (mut r, mut _rs) = n.tcp("127.0.0.1:50000", "127.0.0.1:6379");
    let (mut u, mut _us) = n.tcp("127.0.0.1:50001", "127.0.0.1:8000");
    for _ in 0..20 {
        n.send(CURL, &mut c1, NGINX, &mut s1, &get("/one"));
        n.write(NGINX, &mut r, PING);
        n.send(OTHER, &mut c2, NGINX, &mut s2, &get("/two"));
        n.read(NGINX, &mut r, PONG);
        n.write(NGINX, &mut u, &get("/backend"));
        n.read(NGINX, &mut u, &ok(""));
        n.send(NGINX, &mut s1, CURL, &mut c1, &ok(""));
        n.send(NGINX, &mut s2, OTHER, &mut c2, &ok(""));
    }
    let out = replay(&n.sorted(), &names());
    assert_eq!(
        trees(&out),
        "c-p curl GET /one [root]\n\
         \x20 s-p nginx GET /one [tcp_seq]\n\
         \x20   c-p nginx GET k [containment]\n\
         \x20   c-p nginx GET /backend [pattern]\n\
         c-p wget GET /two [root]\n\
         \x20 s-p nginx GET /two [tcp_seq]\n"
            .repeat(20)
    );
}

#[test]
fn what_follows_the_response_is_not_part_of_the_request() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    let (mut r, mut _rs) = n.tcp("127.0.0.1:50000", "127.0.0.1:6379");
    n.send(CURL, &mut c, APP, &mut s, &get("/one"));
    n.send(APP, &mut s, CURL, &mut c, &ok(""));
    n.write(APP, &mut r, PING);
    n.read(APP, &mut r, PONG);
    let out = replay(&n.sorted(), &names());
    assert_eq!(out.traces.len(), 2);
    assert_eq!(out.traces.iter().map(|t| t.spans).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn unix_sockets_join_by_peer_and_offset() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:80");
    let (mut uc, mut us) = n.unix();
    n.connect(NGINX, &uc);
    n.accept(APP, &us);
    for path in ["/a", "/b"] {
        n.send(CURL, &mut c, NGINX, &mut s, &get(path));
        n.send(NGINX, &mut uc, APP, &mut us, &get(path));
        n.send(APP, &mut us, NGINX, &mut uc, &ok("z"));
        n.send(NGINX, &mut s, CURL, &mut c, &ok("z"));
    }
    let out = replay(&n.sorted(), &names());
    let tree = |p: &str| {
        format!(
            "c-p curl GET {p} [root]\n  s-p nginx GET {p} [tcp_seq]\n    c-p nginx GET {p} [thread]\n      s-p app GET {p} [unix_offset]\n"
        )
    };
    assert_eq!(trees(&out), tree("/a") + &tree("/b"));
    let unix: Vec<_> = out.flows.iter().filter(|f| f.transport == crate::model::Transport::Unix).collect();
    assert_eq!(unix.len(), 2);
    for flow in unix {
        assert_eq!(flow.client_process.as_ref().map(|p| &*p.name), Some("nginx"));
        assert_eq!(flow.server_process.as_ref().map(|p| &*p.name), Some("app"));
        assert_eq!(flow.requests, 2);
    }
}

#[test]
fn own_time_is_what_children_leave() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    let (mut r, mut _rs) = n.tcp("127.0.0.1:50000", "127.0.0.1:6379");
    // Writes are counted from their call, reads from their return: 300 ns later.
    n.send(CURL, &mut c, APP, &mut s, &get("/"));
    n.wait(5_000);
    n.write(APP, &mut r, PING);
    n.wait(20_000);
    n.read(APP, &mut r, PONG);
    n.send(APP, &mut s, CURL, &mut c, &ok(""));
    let out = replay(&n.sorted(), &names());
    let span = |side: &str, service: &str| {
        out.spans.iter().find(|s| s.tap_side.name() == side && &*s.service == service).unwrap()
    };
    let child = span("c-p", "app");
    // write(300) + 1000 + 20000 + read(300)
    assert_eq!(child.end - child.start, 21_600);
    let served = span("s-p", "app");
    // From its read's return: 1000 + 5000 till the child, then 1000 till its write.
    assert_eq!(served.end - served.start, 6_000 + 21_600 + 1_000);
    assert_eq!(served.self_ns, 7_000);
    assert_eq!(child.self_ns, 21_600);
}

/// A process of one thread that read something in between that is not understood.
#[test]
fn the_only_request_at_work_is_the_likely_cause() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    let (mut _w, mut wake) = n.unix();
    let (mut r, mut _rs) = n.tcp("127.0.0.1:50000", "127.0.0.1:6379");
    n.send(CURL, &mut c, APP, &mut s, &get("/one"));
    n.read(APP, &mut wake, b"\x01");
    n.write(APP, &mut r, PING);
    n.read(APP, &mut r, PONG);
    n.send(APP, &mut s, CURL, &mut c, &ok(""));
    let out = replay(&n.sorted(), &names());
    assert!(trees(&out).contains("    c-p app GET k [containment]\n"), "{}", trees(&out));
    let span = out.spans.iter().find(|s| s.link_method == "containment").unwrap();
    assert!(span.link_confidence < 0.9);
}

#[test]
fn equal_request_ids_join_what_nothing_else_does() {
    let with_id = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: s\r\nX-Request-ID: abc-1\r\n\r\n").into_bytes();
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    let (mut u, mut _us) = n.tcp("127.0.0.1:50000", "127.0.0.1:9000");
    n.send(CURL, &mut c, (30, 31), &mut s, &with_id("/in"));
    // Another thread of the pool makes the call.
    n.write((30, 32), &mut u, &with_id("/out"));
    n.read((30, 32), &mut u, &ok(""));
    n.send((30, 31), &mut s, CURL, &mut c, &ok(""));
    let out = replay(&n.sorted(), &names());
    assert!(trees(&out).contains("    c-p app GET /out [x_request_id]\n"), "{}", trees(&out));
    let options = crate::link::LinkOptions { ignore_ids: true };
    let blind = crate::socket::build::replay_with(&n.sorted(), &names(), options);
    assert!(trees(&blind).contains("    c-p app GET /out [containment]\n"), "{}", trees(&blind));
}

/// A client's second attempt bears the id of its first, and an id may come again an hour later: neither is the cause of the other.
#[test]
fn equal_request_ids_of_attempts_that_follow_each_other_join_nothing() {
    let with_id = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: s\r\nX-Request-ID: abc-1\r\n\r\n").into_bytes();
    let mut n = Node::new();
    for (client, path) in [("127.0.0.1:40000", "/first"), ("127.0.0.1:40001", "/second")] {
        let (mut c, mut s) = n.tcp(client, "127.0.0.1:8000");
        n.send(CURL, &mut c, APP, &mut s, &with_id(path));
        n.send(APP, &mut s, CURL, &mut c, &ok(""));
        n.wait(1_000_000);
    }
    let out = replay(&n.sorted(), &names());
    assert_eq!(out.traces.len(), 2, "{}", trees(&out));
    assert!(!trees(&out).contains("x_request_id"), "{}", trees(&out));
}

#[test]
fn ids_are_stable_and_distinct() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    for i in 0..50 {
        n.send(CURL, &mut c, APP, &mut s, &get(&format!("/{i}")));
        n.send(APP, &mut s, CURL, &mut c, &ok(""));
    }
    let (a, b) = (replay(&n.sorted(), &names()), replay(&n.sorted(), &names()));
    let ids = |r: &crate::model::Replayed| r.spans.iter().map(|s| (s.trace_id, s.span_id)).collect::<Vec<_>>();
    assert_eq!(ids(&a), ids(&b));
    let distinct: std::collections::BTreeSet<_> = ids(&a).into_iter().collect();
    assert_eq!(distinct.len(), 100);
    assert!(a.spans.iter().all(|s| s.trace_id.len() == 32 && s.span_id.len() == 16));
    assert!(a.spans.is_sorted_by_key(|s| (&s.trace_id, s.start, &s.span_id)));
}

/// The kernel gives the memory of closed sockets to the next ones: equal identities and offsets, one after the other.
#[test]
fn reused_unix_sockets_are_kept_apart() {
    let mut n = Node::new();
    let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:80");
    let (uc, us) = n.unix();
    for i in 0..5 {
        let (mut uc, mut us) = (uc.clone(), us.clone());
        n.send(CURL, &mut c, NGINX, &mut s, &get(&format!("/{i}")));
        n.connect(NGINX, &uc);
        n.accept(APP, &us);
        n.send(NGINX, &mut uc, APP, &mut us, &get(&format!("/{i}")));
        n.send(APP, &mut us, NGINX, &mut uc, &ok("z"));
        n.close(APP, &us);
        n.close(NGINX, &uc);
        n.send(NGINX, &mut s, CURL, &mut c, &ok("z"));
    }
    let out = replay(&n.sorted(), &names());
    let expected: String = (0..5)
        .map(|i| {
            format!(
                "c-p curl GET /{i} [root]\n  s-p nginx GET /{i} [tcp_seq]\n    c-p nginx GET /{i} [thread]\n      s-p app GET /{i} [unix_offset]\n"
            )
        })
        .collect();
    assert_eq!(trees(&out), expected);
}

/// Circles cannot be, and one wrong link must not glue everything together.
#[test]
fn decisions_make_trees_of_bounded_size() {
    use super::candidate::{Candidate, Method};
    use crate::model::Evidence;
    let candidate = |child, parent, confidence| Candidate {
        child,
        parent,
        method: Method::Thread,
        confidence,
        evidence: Evidence::Id,
    };
    let parents = |links: &super::decide::Links| links.taken.iter().map(|l| l.map(|l| l.parent)).collect::<Vec<_>>();
    let circle = vec![candidate(0, 1, 1.0), candidate(1, 2, 1.0), candidate(2, 0, 1.0), candidate(2, 2, 0.5)];
    let links = super::decide::decide(3, circle);
    assert_eq!(parents(&links), [Some(1), Some(2), None]);
    assert_eq!(links.others.len(), 2);
    let better = vec![candidate(0, 1, 0.6), candidate(0, 2, 0.97)];
    let links = super::decide::decide(3, better);
    assert_eq!(parents(&links), [Some(2), None, None]);
    assert_eq!(links.others.iter().map(|o| o.parent).collect::<Vec<_>>(), [1]);
    // What rests on the order of calls alone is not a link when it is doubtful.
    let links = super::decide::decide(3, vec![candidate(0, 1, 0.6)]);
    assert_eq!((parents(&links), links.others.len()), (vec![None, None, None], 1));
    let id = |child| Candidate { method: Method::RequestId, ..candidate(child, 0, 0.6) };
    let star = (1..20_000).map(id).collect();
    let taken = super::decide::decide(20_000, star).taken.iter().flatten().count();
    assert_eq!(taken, 9_999);
}

/// One thread reads all requests and hands them to workers, which answer: what a worker asks is for what it answers next.
#[test]
fn workers_that_requests_are_handed_to() {
    let mut n = Node::new();
    let (mut c1, mut s1) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    let (mut c2, mut s2) = n.tcp("127.0.0.1:40001", "127.0.0.1:8000");
    let (mut r1, mut q1) = n.tcp("127.0.0.1:50000", "127.0.0.1:6379");
    let (mut r2, mut q2) = n.tcp("127.0.0.1:50001", "127.0.0.1:6379");
    let workers: [(u32, u32); 2] = [(30, 31), (30, 32)];
    for round in 0..2 {
        let paths = (get(&format!("/one/{round}")), get(&format!("/two/{round}")));
        n.send(CURL, &mut c1, APP, &mut s1, &paths.0);
        n.send(OTHER, &mut c2, APP, &mut s2, &paths.1);
        // The workers change their clients.
        let (one, two) = if round == 0 { (workers[0], workers[1]) } else { (workers[1], workers[0]) };
        for _ in 0..2 {
            n.send(one, &mut r1, REDIS, &mut q1, PING);
            n.send(two, &mut r2, REDIS, &mut q2, PING);
            n.send(REDIS, &mut q2, two, &mut r2, PONG);
            n.send(REDIS, &mut q1, one, &mut r1, PONG);
        }
        n.send(two, &mut s2, OTHER, &mut c2, &ok("2"));
        n.send(one, &mut s1, CURL, &mut c1, &ok("1"));
    }
    let out = replay(&n.sorted(), &names());
    let expected: String = (0..2)
        .flat_map(|round| [("curl", format!("/one/{round}")), ("wget", format!("/two/{round}"))])
        .map(|(who, path)| {
            let asked =
                ["answer", "answer"].map(|how| format!("    c-p app GET k [{how}]\n      s-p redis GET k [tcp_seq]\n"));
            format!("c-p {who} GET {path} [root]\n  s-p app GET {path} [tcp_seq]\n{}", asked.concat())
        })
        .collect();
    assert_eq!(trees(&out), expected);
}

/// A timer lets an event loop write for a request that it read earlier: the order of calls names the wrong one, the
/// answer that follows the child's response, time and again, the right one.
#[test]
fn an_event_loop_with_a_timer() {
    let mut n = Node::new();
    let (mut c1, mut s1) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
    let (mut c2, mut s2) = n.tcp("127.0.0.1:40001", "127.0.0.1:8000");
    let (mut r1, mut q1) = n.tcp("127.0.0.1:50000", "127.0.0.1:6379");
    for round in 0..30 {
        n.send(CURL, &mut c1, APP, &mut s1, &get("/one"));
        n.send(OTHER, &mut c2, APP, &mut s2, &get("/two"));
        // For /one, though /two was the last to be read.
        n.wait(500_000 + round * 7_919 % 100_000);
        n.send(APP, &mut r1, REDIS, &mut q1, PING);
        n.wait(200_000);
        n.send(REDIS, &mut q1, APP, &mut r1, PONG);
        n.send(APP, &mut s1, CURL, &mut c1, &ok("1"));
        n.wait(900_000 + round * 104_729 % 500_000);
        n.send(APP, &mut s2, OTHER, &mut c2, &ok("2"));
    }
    let out = replay(&n.sorted(), &names());
    let calls: Vec<_> = out.spans.iter().filter(|s| s.tap_side.name() == "c-p" && &*s.service == "app").collect();
    assert_eq!(calls.len(), 30);
    for call in calls {
        let parent = out.spans.iter().find(|s| s.span_id == call.parent_span_id);
        assert!(parent.is_none_or(|p| &*p.name == "GET /one"), "{call:?}");
        assert!(parent.is_some(), "{call:?}");
    }
}

/// A response of 15 KB that is written in one call, and one of 30 KB: the first leaves when it is written, the second
/// when its call returns, but not after its client has read it.
#[test]
fn what_was_read_had_left() {
    for (size, late, expected) in [(15_000, 5_000, 0), (30_000, 5_000, 5_000 - 2_000 + 300), (30_000, 1_000, 1_000)] {
        let mut n = Node::new();
        let (mut c, mut s) = n.tcp("127.0.0.1:40000", "127.0.0.1:8000");
        n.connect(CURL, &c);
        n.accept(APP, &s);
        n.send(CURL, &mut c, APP, &mut s, &get("/order"));
        let body = ok(&"x".repeat(size));
        n.write_for(late, APP, &mut s, &body);
        // Read 3.3 us after the write began; a write takes its time and the builder's 1 us.
        n.back(late + 1_000);
        n.wait(3_000);
        n.read(CURL, &mut c, &body);
        let out = replay(&n.sorted(), &names());
        let of = |side| out.requests.iter().find(|r| r.side == Some(side)).unwrap();
        let (client, server) = (of(Side::Client), of(Side::Server));
        assert_eq!(server.response_ts.unwrap() - server.first_byte_ts.unwrap(), expected, "{size} {late}");
        assert!(server.duration_ns() < client.duration_ns());
        let written = server.response_point.unwrap();
        assert_eq!(written.exit - written.enter, late as i64, "what was recorded of the call stays");
    }
}

/// A client gives up: its own calls and the interface say so; nginx, which was told by the kernel, seems to have closed first.
#[test]
fn who_ended_it_is_said_alike() {
    use crate::model::{ObservedAt, Side, Status};
    use crate::pair::cut_off;
    use crate::red::tests::{flow, request};
    let gone = |place: usize, cut: Option<(Side, bool)>| {
        let (at, side) = match place {
            0 => (ObservedAt::Process(10), Some(Side::Client)),
            1 => (ObservedAt::Interface(0), None),
            _ => (ObservedAt::Process(20), Some(Side::Server)),
        };
        let mut request = request(&flow(place as u64, at), side, "/", 0, None, Status::Ok);
        if let Some((by, inside)) = cut {
            let (status, text) = cut_off(by, inside);
            request.fields.status = status;
            request.fields.exception = text.into();
        }
        request
    };
    let (client, server) = (Side::Client, Side::Server);
    let after = |cuts: [Option<(Side, bool)>; 3]| {
        let mut requests: Vec<_> = cuts.into_iter().enumerate().map(|(place, cut)| gone(place, cut)).collect();
        let mut flows: Vec<_> = requests.iter().map(|r| flow(r.flow_id, r.observed_at.clone())).collect();
        let before: u32 = flows.iter().map(|f| f.request_errors).sum();
        super::ended::agree(&mut requests, &[0, 0, 0], &mut flows);
        let more = flows.iter().map(|f| f.request_errors).sum::<u32>() - before;
        (requests.iter().map(|r| r.fields.exception.to_string()).collect::<Vec<_>>(), more)
    };
    let says = |by, inside| cut_off(by, inside).1.to_owned();
    let (before, inside) = (says(client, false), says(client, true));
    let told = after([Some((client, false)), Some((client, false)), Some((server, false))]);
    assert_eq!(told, (vec![before.clone(); 3], 0));
    // In the middle of a large answer, of which the client did not read the rest.
    assert_eq!(after([None, Some((client, true)), Some((server, true))]), (vec![inside; 3], 1));
    // The server went, and the client closed when it was told so; nothing is to be mended, nor without an interface.
    let by_server = [Some((server, false)), Some((server, false)), Some((server, false))];
    assert_eq!(after(by_server), (vec![says(server, false); 3], 0));
    assert_eq!(
        after([Some((client, false)), None, Some((server, false))]).0,
        [before, String::new(), says(server, false)]
    );
}

/// A process that is killed closes nothing by a call: what the interfaces saw is all there is to tell its requests' end by.
#[test]
fn requests_of_a_killed_process_have_ended() {
    use crate::model::{Completeness, ObservedAt, Side, Status};
    use crate::pair::cut_off;
    use crate::red::tests::{flow, request};
    let places = [(ObservedAt::Interface(0), None), (ObservedAt::Process(10), Some(Side::Client))];
    let after_at = |place: usize, by: Side, inside: bool, killed: Side, status: Status, outlasts: bool| {
        let (at, side) = places[place].clone();
        let mut requests = vec![
            request(&flow(0, at), side, "/", 0, None, Status::Ok),
            request(&flow(1, ObservedAt::Process(20)), Some(killed), "/", 0, None, status),
        ];
        (requests[0].fields.status, requests[0].fields.exception) =
            (cut_off(by, inside).0, cut_off(by, inside).1.into());
        if outlasts {
            requests[1].completeness.add(Completeness::ENDED_AFTER);
        }
        let mut flows: Vec<_> = requests.iter().map(|r| flow(r.flow_id, r.observed_at.clone())).collect();
        super::ended::agree(&mut requests, &[0, 0], &mut flows);
        let r = &requests[1];
        (r.fields.status, r.fields.exception.to_string(), r.completeness.to_string(), flows[1].request_errors)
    };
    let after = |by, inside, killed, status, outlasts| after_at(0, by, inside, killed, status, outlasts);
    let (client, server) = (Side::Client, Side::Server);
    let told = |by, inside| (cut_off(by, inside).0, cut_off(by, inside).1.to_owned(), "complete".to_owned(), 1);
    for inside in [false, true] {
        assert_eq!(after(server, inside, server, Status::Unknown, true), told(server, inside));
        assert_eq!(after(client, inside, client, Status::Unknown, true), told(client, inside));
    }
    assert_eq!(after(server, true, server, Status::Ok, true), told(server, true));
    // Without packets the client is the witness of the server's end, not of its own.
    for inside in [false, true] {
        assert_eq!(after_at(1, server, inside, server, Status::Unknown, true), told(server, inside));
        assert_eq!(after_at(1, client, inside, server, Status::Unknown, true).0, Status::Unknown);
    }
    assert_eq!(after_at(1, server, true, server, Status::Ok, true), told(server, true));
    // What the process did itself is not doubted: it had answered, and the client did not wait; or its calls are all known.
    let as_it_was = |status, completeness: &str| (status, String::new(), completeness.to_owned(), 0);
    assert_eq!(after(client, true, server, Status::Ok, true), as_it_was(Status::Ok, "ended_after"));
    assert_eq!(after(server, false, server, Status::Ok, true), as_it_was(Status::Ok, "ended_after"));
    assert_eq!(after(server, true, server, Status::Ok, false), as_it_was(Status::Ok, "complete"));
    assert_eq!(after(server, false, server, Status::Unknown, false), as_it_was(Status::Unknown, "complete"));
}
