use super::*;
use crate::sample::{self, START};
use replay::model::*;
use std::sync::Arc;

const MS: i64 = 1_000_000;

/// A recording made request by request.
struct Node {
    r: Replayed,
    flow: Flow,
    request: Request,
    span: Span,
}

/// Who answers, what was asked, and what came back.
#[derive(Clone, Copy)]
struct Asked<'a> {
    client: (&'a str, u32),
    server: (&'a str, u32),
    protocol: &'static str,
    what: (&'a str, &'a str),
    status: Status,
    code: i32,
    says: &'a str,
}

const WEB: Asked<'_> = Asked {
    client: ("browser", 10),
    server: ("nginx", 20),
    protocol: "http",
    what: ("GET", "/"),
    status: Status::Ok,
    code: 200,
    says: "",
};
const APP: Asked<'_> = Asked { client: ("nginx", 20), server: ("app", 30), ..WEB };
const SQL: Asked<'_> = Asked {
    client: ("app", 30),
    server: ("postgres", 40),
    protocol: "postgresql",
    what: ("Query", "SELECT items"),
    ..WEB
};

impl Node {
    fn new() -> Self {
        let made = sample::recording(2, 2);
        let (flow, request) = (made.flows[1].clone(), made.requests[1].clone());
        let (span, r) = (
            made.spans[0].clone(),
            Replayed { start: START, end: START + 10_000 * MS, packets: 1, ..Replayed::default() },
        );
        Self { r, flow, request, span }
    }

    fn flow(&mut self, asked: &Asked<'_>, from: i64, to: i64) -> &mut Flow {
        let id = self.r.flows.len() as u64;
        let process = |(name, pid): (&str, u32)| ProcessRef { pid, name: name.into(), container: "".into() };
        let mut flow = self.flow.clone();
        flow.flow_id = id;
        flow.observed_at = ObservedAt::Process(asked.server.1);
        flow.endpoints.client_port = 1_000 + id as u16;
        flow.endpoints.server_port = asked.server.1 as u16;
        (flow.start, flow.end) = (START + from * MS, START + to * MS);
        (flow.client_process, flow.server_process) = (Some(process(asked.client)), Some(process(asked.server)));
        (flow.client, flow.server) = (SideCounters::default(), SideCounters::default());
        self.r.flows.push(flow);
        self.r.conversations.push(id);
        self.r.flows.last_mut().expect("pushed")
    }

    /// A request as its server saw it, from one millisecond to another; no answer without the latter. Returns its span for those that it makes.
    fn ask(&mut self, asked: &Asked<'_>, above: SpanId, from: i64, to: Option<i64>) -> SpanId {
        let last = to.unwrap_or(from);
        let flow = self.flow(asked, from, last).clone();
        let id = self.r.requests.len() as u64;
        let mut q = self.request.clone();
        (q.request_id, q.flow_id, q.observed_at, q.endpoints) = (id, flow.flow_id, flow.observed_at, flow.endpoints);
        (q.process, q.side) = (flow.server_process, Some(Side::Server));
        let f = &mut q.session.fields;
        f.l7_protocol = asked.protocol;
        (f.request_type, f.endpoint, f.request_resource) =
            (asked.what.0.into(), asked.what.1.into(), asked.what.1.into());
        (f.status, f.code, f.exception) = (asked.status, Some(asked.code), asked.says.into());
        q.session.request_ts = Some(START + from * MS);
        q.session.first_byte_ts = to.map(|to| START + to * MS);
        q.session.response_ts = q.session.first_byte_ts;
        self.r.requests.push(q);
        self.r.exchanges.push(id);
        let span_id = SpanId::of(u128::from(id) + 1);
        let ns = ((last - from) * MS) as u64;
        if let Some(parent) = self.r.spans.iter_mut().find(|s| s.span_id == above) {
            parent.self_ns = parent.self_ns.saturating_sub(ns);
        }
        let (start, end) = (START + from * MS, START + last * MS);
        let service: Arc<str> = asked.server.0.into();
        let of = Span {
            span_id,
            parent_span_id: above,
            request_id: id,
            start,
            end,
            self_ns: ns,
            service,
            ..self.span.clone()
        };
        self.r.spans.push(of);
        span_id
    }

    fn found(self) -> Vec<(&'static str, &'static str, String)> {
        let a = Analysis::new(self.r, "x".into());
        a.findings().iter().map(|f| (f.severity.name(), f.kind, f.statement.clone())).collect()
    }
}

fn root() -> SpanId {
    SpanId::default()
}

#[test]
fn what_failed_of_something_is_told_with_it() {
    let mut node = Node::new();
    let failed = |asked: Asked<'static>, path, code, says| Asked {
        status: Status::ServerError,
        what: (asked.what.0, path),
        code,
        says,
        ..asked
    };
    for i in 0..3 {
        let at = i * 100;
        let web = node.ask(&failed(WEB, "/orders/17", 502, ""), root(), at, Some(at + 9));
        let app = node.ask(&failed(APP, "/orders/17", 500, ""), web, at + 1, Some(at + 8));
        node.ask(&failed(SQL, "SELECT gone", 1, "no such table"), app, at + 2, Some(at + 3));
    }
    node.ask(&WEB, root(), 900, Some(901));
    let found = node.found();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        found[0],
        (
            "high",
            "request_errors",
            "postgres SELECT gone (postgresql): 3 of 3 requests failed (100 %), mostly with 1: no such table; so failed \
             app /orders/{id} (500) 3, nginx /orders/{id} (502) 3"
                .to_owned()
        )
    );
}

#[test]
fn an_answer_that_was_cut_off_did_not_fail_with_its_code() {
    let mut node = Node::new();
    let says = "connection closed by the server inside the response";
    node.ask(&Asked { status: Status::ServerError, what: ("GET", "/half/7"), says, ..WEB }, root(), 0, Some(9));
    let told = "nginx /half/{id} (http): 1 of 1 request failed (100 %), mostly with connection closed by the server inside the response";
    assert_eq!(node.found(), [("high", "request_errors", told.to_owned())]);
}

#[test]
fn refused_connections_explain_the_answers() {
    let mut node = Node::new();
    for i in 0..4 {
        let at = i * 100;
        let bad = Asked { status: Status::ServerError, code: 502, what: ("GET", "/a"), ..WEB };
        node.ask(&bad, root(), at, Some(at + 9));
        let flow = node.flow(&APP, at + 1, at + 1);
        (flow.server_process, flow.observed_at) = (None, ObservedAt::Process(20));
        (flow.conn_state, flow.history) = ("REJ", "connect:ECONNREFUSED".into());
    }
    let found = node.found();
    assert_eq!(found.len(), 1, "{found:#?}");
    let (severity, kind, text) = &found[0];
    assert_eq!((*severity, *kind), ("high", "connection_failures"));
    assert!(text.starts_with("nginx \u{2192} 10.1.0.1:30: 4 of 4 connections were refused"), "{text}");
    assert!(text.ends_with("; so failed nginx /a (502) 4"), "{text}");
}

#[test]
fn a_process_that_died_explains_what_it_left_open() {
    let mut node = Node::new();
    let bad = Asked { status: Status::ServerError, code: 502, what: ("GET", "/crash"), ..WEB };
    let web = node.ask(&bad, root(), 10, Some(30));
    let open = Asked {
        status: Status::ServerError,
        says: "connection closed by the server before a response",
        what: ("GET", "/crash"),
        ..APP
    };
    node.ask(&open, web, 11, None);
    // One that shells end all day is no news.
    let process = |pid, exit_code| Process {
        pid,
        name: "app".into(),
        end: Some(START + 12 * MS),
        exit_code: Some(exit_code),
        ..Process::default()
    };
    node.r.processes = vec![process(30, 11 | 0x80), process(31, 15)];
    let found = node.found();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!((found[0].0, found[0].1), ("high", "killed"));
    let text = "app was killed by SIGSEGV while it served requests: GET /crash 1; so failed nginx /crash (502) 1";
    assert_eq!(found[0].2, text);
}

#[test]
fn slow_endpoints_say_where_the_time_went() {
    let mut node = Node::new();
    for i in 0..5 {
        let at = i * 1_000;
        let web = node.ask(&WEB, root(), at, Some(at + 500));
        // 400 ms in front of a pool, then 80 ms of a query.
        let app = node.ask(&APP, web, at + 5, Some(at + 495));
        node.ask(&SQL, app, at + 410, Some(at + 490));
    }
    let found = node.found();
    let slow: Vec<&String> = found.iter().filter(|f| f.1 == "slow").map(|f| &f.2).collect();
    assert!(slow[0].starts_with("nginx / (http): slow, p50 500 ms, p95 500 ms of 5 requests"), "{slow:#?}");
    // 490 - 80 ms of 500, and 80 of 500.
    assert!(slow[0].contains("82.0 % in app / (http)"), "{slow:#?}");
    assert!(slow[0].contains("16.0 % in postgres SELECT items (postgresql)"), "{slow:#?}");
    // The one that the time was spent below is not told again.
    assert!(!slow.iter().any(|text| text.starts_with("app ")), "{slow:#?}");
}

/// As in a capture at the client: that the client waited is no place where the time went.
#[test]
fn a_slow_answer_seen_from_its_client_alone_has_no_place() {
    let mut n = Node::new();
    for i in 0..5 {
        n.ask(&WEB, root(), i * 1_000, Some(i * 1_000 + 500));
    }
    n.r.spans.iter_mut().for_each(|s| s.tap_side = TapSide::ClientProcess);
    let found = n.found();
    let slow: Vec<&String> = found.iter().filter(|f| f.1 == "slow").map(|f| &f.2).collect();
    assert_eq!(slow, ["nginx / (http): slow, p50 500 ms, p95 500 ms of 5 requests"]);
}

#[test]
fn one_that_holds_up_others_is_named() {
    let mut node = Node::new();
    let redis = Asked { client: ("app", 30), server: ("redis", 50), protocol: "redis", what: ("GET", ""), ..WEB };
    for i in 0..40 {
        node.ask(&redis, root(), i, Some(i + 1));
    }
    node.ask(&Asked { client: ("cli", 60), what: ("KEYS", ""), ..redis }, root(), 100, Some(1_000));
    for i in 0..3 {
        node.ask(&redis, root(), 200 + i, Some(1_001 + i));
    }
    let found = node.found();
    assert_eq!(found[0].1, "stall", "{found:#?}");
    let text = "redis (redis): from +100 ms on 3 requests waited up to 801 ms (usual: 1.00 ms) and ended together with one that had \
                begun before them: KEYS of cli, 900 ms";
    assert_eq!(found[0].2, text);
    // Those that were slow one after the other are none.
    let mut node = Node::new();
    for i in 0..40 {
        node.ask(&redis, root(), i, Some(i + 1));
    }
    for i in 0..4 {
        node.ask(&redis, root(), 100 + i * 300, Some(300 + i * 300));
    }
    let found = node.found();
    assert!(found.iter().all(|f| f.1 != "stall"), "{found:#?}");
}

#[test]
fn many_requests_of_one_kind_for_one_are_counted() {
    let mut node = Node::new();
    for i in 0..2 {
        let at = i * 100;
        let app = node.ask(&Asked { what: ("GET", "/list"), ..APP }, root(), at, Some(at + 40));
        for k in 0..20 {
            node.ask(&SQL, app, at + 1 + k, Some(at + 2 + k));
        }
    }
    let found = node.found();
    assert_eq!(found.len(), 1, "{found:#?}");
    let text = "app /list (http): each of 2 requests makes 20.0 requests to postgres SELECT items (postgresql), 20 at most: 50.0 % of \
                its time";
    assert_eq!((found[0].0, found[0].1, &*found[0].2), ("medium", "fan_out", text));
}

#[test]
fn search_domains_are_one_finding() {
    let mut node = Node::new();
    let dns = |name| Asked { client: ("app", 30), server: ("dnsmasq", 53), protocol: "dns", what: ("A", name), ..WEB };
    let missing = |name| Asked { status: Status::ClientError, code: 3, says: "NXDomain", ..dns(name) };
    for i in 0..2 {
        node.ask(&missing("api.test.cluster.local"), root(), i * 10, Some(i * 10 + 1));
        node.ask(&missing("api.test.local"), root(), i * 10 + 2, Some(i * 10 + 3));
        node.ask(&dns("api.test"), root(), i * 10 + 4, Some(i * 10 + 5));
    }
    let found = node.found();
    assert_eq!(found.len(), 1, "{found:#?}");
    let text = "dnsmasq (dns): 4 of 6 requests failed (66.7 %) with 3: NXDomain: api.test.cluster.local 2, api.test.local 2; search \
                domains were appended to api.test, which exists";
    assert_eq!((found[0].0, &*found[0].2), ("low", text));
}

#[test]
fn restart_loops_have_one_parent() {
    let of = |ppid: u32, pid: u32| Process {
        pid,
        ppid,
        name: "worker".into(),
        command_line: "worker --queue a".into(),
        start: Some(START),
        end: Some(START + MS),
        exit_code: Some(3 << 8),
        ..Process::default()
    };
    let mut node = Node::new();
    node.r.processes = (0..6).map(|i| of(1, 100 + i)).collect();
    let found = node.found();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].2, "worker ended 6 times, each time with an error (status 3): worker --queue a");
    // The same command in six scripts is none.
    let mut node = Node::new();
    node.r.processes = (0..6).map(|i| of(i, 100 + i)).collect();
    assert!(node.found().is_empty());
}

#[test]
fn nothing_is_said_of_a_quiet_node() {
    let mut node = Node::new();
    for i in 0..50 {
        let web = node.ask(&WEB, root(), i * 10, Some(i * 10 + 5));
        node.ask(&APP, web, i * 10 + 1, Some(i * 10 + 4));
    }
    assert!(node.found().is_empty());
}
