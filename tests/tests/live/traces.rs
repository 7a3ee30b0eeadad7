//! Whose call is whose, one request at a time and many at once: HAProxy -> Node -> Python -> MariaDB, and event loops that wait,
//! fan out, try again and share connections.

use super::logs::text;
use super::servers::{recorded, start_mariadb};
use anyhow::{Context, Result, ensure};
use e2e::lab::Lab;
use e2e::programs::table_with;
use e2e::venv;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::Command;

const HAPROXY: &str = "global
  maxconn 1000
  nbthread 2
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend front
  bind 127.0.0.1:8080
  default_backend node
backend node
  server node 127.0.0.1:8000
";

fn start(mode: &str) -> Result<Lab> {
    let mut lab = Lab::new("chain")?;
    start_mariadb(&mut lab)?;
    let script = lab.write("backend.py", include_str!("../../app/backend.py"))?;
    lab.start("backend", Command::new(venv::python()?).arg("-B").arg(script).args([mode, "8001"]))?;
    let script = lab.write("front.js", include_str!("../../app/front.js"))?;
    lab.start("node", Command::new("node").arg(script).args(["8000", "8001"]))?;
    let config = lab.write("haproxy.cfg", HAPROXY)?;
    lab.start("haproxy", Command::new("/usr/sbin/haproxy").arg("-db").arg("-f").arg(config))?;
    for (name, port) in [("backend", 8001), ("node", 8000), ("haproxy", 8080)] {
        lab.ready(name, port)?;
    }
    Ok(lab)
}

/// The number in a path or statement.
fn number(request: &Value) -> Option<u64> {
    let resource = text(request, "request_resource");
    let after = ["?n=", " AS n", "k:"].iter().find_map(|mark| resource.split(mark).nth(1))?;
    after.parse().ok()
}

/// How the calls of one process are tied to what caused them.
#[derive(Debug, Default)]
struct Links {
    right: u32,
    wrong: u32,
    missing: u32,
}

/// [`Links`] by caller.
type Tied = BTreeMap<String, Links>;

/// By caller, the links of all calls that bear the number of a page below `pages`.
fn links(spans: &[Value], requests: &[Value], pages: u64) -> Result<Tied> {
    let number_of = |span: &Value| {
        let request = span["request_id"].as_u64().and_then(|id| requests.get(usize::try_from(id).ok()?));
        request.context("a span without its request").map(number)
    };
    let by_id: HashMap<&str, &Value> = spans.iter().map(|s| (text(s, "span_id"), s)).collect();
    let mut found: Tied = BTreeMap::new();
    for span in spans.iter().filter(|s| s["tap_side"] == "c-p") {
        let Some(n) = number_of(span)?.filter(|n| *n < pages) else { continue };
        let who = text(span, "process");
        if text(span, "name").starts_with("GET /page") && who != "haproxy" {
            continue; // The client's own calls are the roots.
        }
        let of = found.entry(who.to_owned()).or_default();
        match by_id.get(text(span, "parent_span_id")) {
            None => of.missing += 1,
            Some(parent) if number_of(parent)? == Some(n) => of.right += 1,
            Some(_) => of.wrong += 1,
        }
    }
    Ok(found)
}

/// Calls that each process makes for so many pages: HAProxy one, Node one or three, Python two for each of these.
fn wanted(pages: u64) -> [(&'static str, u64); 3] {
    let asked = (0..pages).map(|n| if n % 2 == 1 { 3 } else { 1 }).sum();
    [("haproxy", pages), ("node", asked), ("python", 2 * asked)]
}

/// Runs so many pages by so many clients at a time; how the calls were tied by everything that was recorded, and by calls
/// and times alone: the numbers that the test goes by are contents, too.
fn tied(lab: &Lab, pages: u64, clients: u32) -> Result<(Tied, Tied, Vec<Value>)> {
    let (spans, blind, requests) = spans(lab, &[8080, 8000, 8001, 3306], 8080, pages, clients)?;
    let blind = links(&blind, &requests, pages)?;
    let links = links(&spans, &requests, pages)?;
    for (who, calls) in wanted(pages) {
        let of = links.get(who).with_context(|| format!("no calls of {who}: {links:?}"))?;
        let all = u64::from(of.right + of.wrong + of.missing);
        ensure!(all == calls, "{all} calls of {who}, not {calls}");
    }
    Ok((links, blind, spans))
}

/// Records pages asked for through `port`: the spans by everything, those by calls and times alone, and the requests.
fn spans(
    lab: &Lab,
    ports: &[u16],
    port: u16,
    pages: u64,
    clients: u32,
) -> Result<(Vec<Value>, Vec<Value>, Vec<Value>)> {
    let (port, count, clients) = (port.to_string(), pages.to_string(), clients.to_string());
    let (requests, log, bundle) = recorded(lab, ports, |lab| lab.client(&["chain", &port, &count, &clients, "0"]))?;
    ensure!(log.len() as u64 == pages, "{} pages in the log, not {pages}", log.len());
    let spans = table_with("spans", &bundle, &[])?;
    let blind = table_with("spans", &bundle, &["--ignore-ids"])?;
    std::fs::remove_file(bundle)?;
    Ok((spans, blind, requests))
}

pub(crate) fn a_thread_per_connection() -> Result<()> {
    check("threads")
}

pub(crate) fn work_handed_over() -> Result<()> {
    check("handover")
}

fn check(mode: &str) -> Result<()> {
    let lab = start(mode)?;
    // Connections and their log-ins.
    lab.client(&["chain", "8080", "24", "8", "1000000"])?;
    one_at_a_time(&lab)?;
    many_at_once(&lab, mode)
}

/// Nothing overlaps: every trace is whole, and holds nothing else.
fn one_at_a_time(lab: &Lab) -> Result<()> {
    const PAGES: u64 = 20;
    let (links, _, spans) = tied(lab, PAGES, 1)?;
    for (who, calls) in wanted(PAGES) {
        let of = &links[who];
        ensure!(u64::from(of.right) == calls, "one at a time: {who}: {of:?} of {calls}");
    }
    let mut traces: BTreeMap<&str, usize> = BTreeMap::new();
    for span in &spans {
        *traces.entry(text(span, "trace_id")).or_default() += usize::from(span["tap_side"] == "s-p");
    }
    // HAProxy, Node, and for each call of Node the application and two statements.
    let mut sizes: Vec<usize> = traces.into_values().filter(|n| *n > 1).collect();
    sizes.sort_unstable();
    let mut each: Vec<usize> = (0..PAGES).map(|n| 2 + 3 * if n % 2 == 1 { 3 } else { 1 }).collect();
    each.sort_unstable();
    ensure!(sizes == each, "traces of {sizes:?} spans at servers, not {each:?}");
    Ok(())
}

/// Eight at once: what one thread has for itself and what a proxy passes on is exact.
fn many_at_once(lab: &Lab, mode: &str) -> Result<()> {
    const PAGES: u64 = 200;
    let (links, blind, _) = tied(lab, PAGES, 8)?;
    print(&format!("8 at once, {mode}"), &links);
    print(&format!("8 at once, {mode}, --ignore-ids"), &blind);
    for (who, calls) in wanted(PAGES) {
        if who == "node" {
            nearly_all(who, &links[who], calls)?;
            hardly_wrong(who, &blind[who])?;
        } else {
            for of in [&links[who], &blind[who]] {
                ensure!(u64::from(of.right) == calls, "{who}: {of:?} of {calls}");
            }
        }
    }
    Ok(())
}

fn print(what: &str, links: &Tied) {
    for (who, of) in links {
        println!("{what}: {who}: {} right, {} wrong, {} missing", of.right, of.wrong, of.missing);
    }
}

/// Calls that bear the number of what caused them are told by it, whatever the program is like.
fn nearly_all(who: &str, of: &Links, calls: u64) -> Result<()> {
    ensure!(u64::from(of.wrong) * 100 <= calls, "{who}: {of:?}: more than 1 % are wrong");
    ensure!(u64::from(of.right) * 100 >= calls * 95, "{who}: {of:?}: less than 95 % are there");
    Ok(())
}

/// Without contents many links cannot be told; those that are made are right, nine in ten at least. (Of a few nothing can be said.)
fn hardly_wrong(who: &str, of: &Links) -> Result<()> {
    ensure!(of.wrong * 10 <= of.wrong + of.right + 50, "{who}: {of:?}: more than one in ten is wrong");
    Ok(())
}

pub(crate) fn an_event_loop() -> Result<()> {
    calls("node", |lab| {
        let script = lab.write("calls.js", include_str!("../../app/calls.js"))?;
        lab.start("node", Command::new("node").arg(script).args(["8000", "8001", "6379"]))
    })
}

pub(crate) fn coroutines() -> Result<()> {
    python("async")
}

pub(crate) fn an_executor() -> Result<()> {
    python("executor")
}

fn python(mode: &str) -> Result<()> {
    calls(&format!("aiohttp, {mode}"), |lab| {
        let script = lab.write("calls.py", include_str!("../../app/calls.py"))?;
        lab.start("calls", Command::new(venv::python()?).arg("-B").arg(script).args(["8000", "8001", "6379", mode]))
    })
}

/// Fifty clients at once ask for pages that wait, count in Redis, fail and try again, and fan out.
fn calls(what: &str, front: impl FnOnce(&mut Lab) -> Result<u32>) -> Result<()> {
    const PAGES: u64 = 500;
    let mut lab = Lab::new("calls")?;
    let script = lab.write("delays.py", include_str!("../../app/delays.py"))?;
    lab.start("delays", Command::new(venv::python()?).arg("-B").arg(script).arg("8001"))?;
    lab.start("redis", Command::new("redis-server").args(["--port", "6379", "--bind", "127.0.0.1", "--save", ""]))?;
    lab.ready("delays", 8001)?;
    lab.ready("redis", 6379)?;
    front(&mut lab)?;
    lab.ready("front", 8000)?;
    lab.client(&["chain", "8000", "100", "50", "1000000"])?;
    let calls: u64 = (0..PAGES).map(|n| if n % 7 == 0 { 5 } else { 2 + u64::from(n % 5 == 0) + 2 * (n % 2) }).sum();
    let (spans, blind, requests) = spans(&lab, &[8000, 8001, 6379], 8000, PAGES, 50)?;
    let (ids, blind) = (links(&spans, &requests, PAGES)?, links(&blind, &requests, PAGES)?);
    print(&format!("50 at once, {what}"), &ids);
    print(&format!("50 at once, {what}, --ignore-ids"), &blind);
    let (who, of) = ids.iter().next().context("no calls")?;
    let all = u64::from(of.right + of.wrong + of.missing);
    ensure!(ids.len() == 1 && all == calls, "{all} calls, not {calls}: {ids:?}");
    nearly_all(who, of, calls)?;
    hardly_wrong(who, &blind[who])?;
    own_spans_only(&spans, &requests, PAGES)
}

/// Every page has a trace of its own.
fn own_spans_only(spans: &[Value], requests: &[Value], pages: u64) -> Result<()> {
    let mut pages_of: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for span in spans {
        let request = span["request_id"].as_u64().and_then(|id| requests.get(usize::try_from(id).ok()?));
        if let Some(n) = request.and_then(number).filter(|n| *n < pages) {
            pages_of.entry(text(span, "trace_id")).or_default().insert(n);
        }
    }
    let mixed = pages_of.values().filter(|pages| pages.len() > 1).count();
    ensure!(mixed * 100 <= pages_of.len(), "{mixed} of {} traces have spans of several pages", pages_of.len());
    Ok(())
}
