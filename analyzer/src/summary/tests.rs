use super::*;
use crate::sample;
use replay::model::*;

fn stack(process: &str, frames: &str, samples: u64) -> Stack {
    Stack {
        process: process.into(),
        pid: 1,
        thread: "".into(),
        tid: 1,
        kind: "on_cpu",
        reason: "".into(),
        frames: frames.into(),
        samples,
        value_ns: 0,
        request_id: None,
        endpoint: "".into(),
    }
}

#[test]
fn functions_are_counted_by_their_own_samples() {
    let mut off = stack("b", "main;sleep", 1_000);
    off.kind = "off_cpu";
    let stacks =
        [stack("a", "main;f", 3), stack("b", "main;g", 5), stack("b", "main;h;g", 5), stack("b", "main", 1), off];
    let hot = hot(&stacks);
    assert_eq!(hot.len(), 2);
    assert_eq!((hot[0].process, hot[0].samples), ("b", 11));
    assert_eq!(hot[0].functions, [("g", 10), ("main", 1)]);
    assert_eq!((hot[1].process, hot[1].samples), ("a", 3));
}

#[test]
fn a_conversation_seen_at_two_places_counts_once() {
    let mut r = sample::recording(1, 0);
    let mut again = r.flows[0].clone();
    again.flow_id = 1;
    again.observed_at = ObservedAt::Interface(1);
    r.flows[0].client.retransmits = 2;
    r.flows[0].server.retransmits = 0;
    again.client.retransmits = 1;
    again.server.retransmits = 0;
    r.flows[0].server.zero_window = 3;
    r.flows.push(again);
    let drop_of = |reason: &str| SocketEvent {
        node: 0,
        ts: 0,
        event: "drop",
        transport: Transport::Tcp,
        local_ip: None,
        local_port: 0,
        remote_ip: None,
        remote_port: 0,
        old_state: "",
        new_state: "",
        reason: reason.into(),
        location: "".into(),
        len: 0,
        seq: None,
        outbound: false,
        pid: 0,
        netns: 0,
        flow_id: None,
    };
    r.socket_events = vec![drop_of("A"), drop_of("NO_SOCKET"), drop_of("NO_SOCKET")];
    let tcp = Tcp::of(&r);
    assert_eq!((tcp.connections, tcp.failed, tcp.retransmissions, tcp.zero_windows), (1, 0, 2, 3));
    assert_eq!(tcp.drops, [("NO_SOCKET".to_owned(), 2), ("A".to_owned(), 1)]);
}

#[test]
fn the_summary_fits_a_screen_and_names_what_matters() {
    let mut r = sample::recording(200, 2_000);
    r.health.push(Health {
        kind: "socket_data".into(),
        cpu: Some(0),
        lost: 12_345,
        cause: "ring_full".into(),
        ..Default::default()
    });
    for lost in [3, 4] {
        r.health.push(Health {
            kind: "not_run".into(),
            lost,
            cause: format!("if{lost} counted more"),
            ..Default::default()
        });
    }
    if let Some(m) = &mut r.manifest {
        m.missing.push("kprobes: this kernel has none".into());
    }
    let text = text(&Analysis::new(r, "node1.zst".into()));
    assert!(text.lines().count() <= 48, "{} lines:\n{text}", text.lines().count());
    assert!(text.lines().all(|l| l.chars().count() <= 120), "{text}");
    for part in [
        "node1.zst: node node1, Linux 6.18.0 x86_64, Debian GNU/Linux 12",
        "recorded 2026-11-23 04:00:00 UTC for 60.0 s",
        "2,000 request observations",
        "NOT SEEN: at least 7 packets, for which the kernel ran no program: analyze health",
        "INCOMPLETE: 12,345 socket_data lost: ring_full",
        "not recorded: kprobes: this kernel has none",
        "SLOWEST ENDPOINTS",
        "FAILING ENDPOINTS",
        "TCP: 200 connections, 0 failed",
        "HOTTEST FUNCTIONS",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
}

#[test]
fn an_empty_capture_has_a_summary_too() {
    let text = text(&Analysis::new(Replayed::default(), "empty.pcap".into()));
    assert_eq!(
        text,
        "empty.pcap: packets only\n  empty: no packets, no events\n  complete: nothing lost, nothing damaged\n"
    );
}

#[test]
fn without_requests_the_largest_conversations_are_named() {
    let text = text(&Analysis::new(sample::recording(30, 0), "mail.pcap".into()));
    assert!(text.contains("No requests were recognised. LARGEST CONVERSATIONS"), "{text}");
    assert!(!text.contains("SERVICE"), "{text}");
    let with = super::text(&Analysis::new(sample::recording(30, 30), "web.pcap".into()));
    assert!(!with.contains("LARGEST CONVERSATIONS"), "{with}");
}
