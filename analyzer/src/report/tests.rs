use super::sample::{HOSTILE, recording};
use super::*;
use crate::analysis::Analysis;
use replay::model::{Completeness, Health, Node, Replayed, Stack};
use std::process::Command;

fn sample() -> Analysis {
    Analysis::new(recording(300, 24), "web-1.zst".into())
}

/// The text between the data island's tags.
fn island(html: &str) -> &str {
    let (_, rest) = html.split_once("id=\"data\">").expect("an island");
    rest.split_once("</script>").expect("its end").0
}

fn data(html: &str) -> serde_json::Value {
    serde_json::from_str(island(html)).expect("JSON")
}

fn column<'a>(data: &'a serde_json::Value, table: &str, key: &str) -> &'a Vec<serde_json::Value> {
    let columns = data["tables"][table]["columns"].as_array().expect("columns");
    let column = columns.iter().find(|c| c["key"] == key).expect("the column");
    column["values"].as_array().expect("values")
}

#[test]
fn the_page_loads_nothing_from_anywhere() {
    let html = render(&sample()).expect("a report");
    let (head, rest) = html.split_once("id=\"data\">").expect("an island");
    let (_, tail) = rest.split_once("</script>").expect("its end");
    for part in [head, tail] {
        for word in ["http://", "https://", "//cdn", "@import", "src=", "url("] {
            assert!(!part.contains(word), "{word} in the page outside of its data");
        }
    }
    assert!(head.contains("default-src 'none'"));
    assert!(!head.contains("{{") && !tail.contains("{{"), "a place that was not filled in");
}

/// The script draws a section's list into its last division, which therefore is an empty one that is shown.
#[test]
fn every_list_has_its_place() {
    let html = render(&sample()).expect("a report");
    for id in ["requests", "endpoints", "traces", "flows", "processes", "interfaces"] {
        let (_, section) = html.split_once(&format!("<section id=\"{id}\">")).expect("the section");
        let (section, _) = section.split_once("</section>").expect("its end");
        assert!(section.ends_with("<div></div>"), "{id}: {}", section.get(section.len() - 80..).unwrap_or(section));
    }
}

#[test]
fn captured_text_is_data_only() {
    let mut replayed = recording(40, 12);
    if let Some(m) = &mut replayed.manifest {
        m.hostname = HOSTILE.into();
        m.privacy.push(HOSTILE.into());
    }
    for flow in &mut replayed.flows {
        if let Some(p) = &mut flow.server_process {
            p.name = format!("{HOSTILE}{}", p.name).into();
        }
    }
    replayed.stacks.push(Stack { process: HOSTILE.into(), frames: HOSTILE.into(), ..replayed.stacks[0].clone() });
    let html = render(&Analysis::new(replayed, "x".into())).expect("a report");
    assert!(!island(&html).contains(['<', '>', '&', '\u{2028}']));
    assert!(!html.contains("<img") && !html.contains("alert(1)</"));
    // Two elements that this page has: the data and the scripts.
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("</script").count(), 2);
    let strings = data(&html)["strings"].to_string();
    assert!(strings.contains("onerror=alert(2)") && !strings.contains('\u{1b}') && !strings.contains('\u{2028}'));
}

#[test]
fn the_same_recording_gives_the_same_bytes() {
    assert_eq!(render(&sample()).expect("one"), render(&sample()).expect("another"));
}

#[test]
fn tables_hold_what_was_counted() {
    let analysis = sample();
    let html = render(&analysis).expect("a report");
    let data = data(&html);
    // 300 requests at nginx; static files end there, the others go on to three more services.
    let requests = column(&data, "services", "requests");
    let nginx = requests.iter().filter_map(serde_json::Value::as_u64).max();
    assert_eq!(nginx, Some(300));
    let total: u64 = requests.iter().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(data["tables"]["requests"]["total"], total);
    assert_eq!(column(&data, "requests", "duration_ns").len() as u64, total);
    // The buckets of a service add up to its requests.
    let series = &data["services"][0];
    let sum: u64 = series["requests"].as_array().expect("a series").iter().filter_map(serde_json::Value::as_u64).sum();
    assert_eq!(sum, 300);
    let histogram: u64 =
        series["histogram"][1].as_array().expect("bins").iter().filter_map(serde_json::Value::as_u64).sum();
    let answered = analysis.red().services.iter().map(|r| u64::from(r.counts.delay.count)).max();
    assert_eq!(Some(histogram), answered);
    // Every trace listed has its spans, and every span's parent is before it.
    assert_eq!(data["traces"].as_array().expect("traces").len(), 300);
    for trace in data["traces"].as_array().expect("traces") {
        for (i, parent) in trace["parent"].as_array().expect("parents").iter().enumerate() {
            assert!(parent.as_i64().expect("a place") < i as i64);
        }
    }
}

#[test]
fn a_call_tree_adds_up() {
    let stack = |frames: &str, samples| Stack {
        process: "a".into(),
        pid: 1,
        thread: "a".into(),
        tid: 1,
        kind: "on_cpu",
        reason: "".into(),
        frames: frames.into(),
        samples,
        value_ns: samples * 10,
        request_id: None,
        endpoint: "".into(),
    };
    let strings = &mut Strings::default();
    let flames = flame::flames(&[stack("main;f;g", 3), stack("main;f", 2), stack("main;h", 5)], strings);
    let json = serde_json::to_value(&flames).expect("JSON");
    assert_eq!(json[0]["depth"], serde_json::json!([0, 1, 2, 3, 2]));
    assert_eq!(json[0]["total"], serde_json::json!([10, 10, 5, 3, 5]));
    assert_eq!((&json[0]["samples"], &json[0]["value_ns"]), (&10.into(), &100.into()));
}

#[test]
fn spans_in_a_circle_still_come_out_once() {
    let all = recording(20, 12).spans;
    let mut spans = all.chunk_by(|a, b| a.trace_id == b.trace_id).find(|t| t.len() > 3).expect("a trace").to_vec();
    spans.truncate(3);
    let ids: Vec<_> = spans.iter().map(|s| s.span_id).collect();
    for (span, parent) in spans.iter_mut().zip([1, 2, 0]) {
        span.parent_span_id = ids[parent];
    }
    let ordered = traces::ordered(&spans);
    assert_eq!(ordered.len(), 3);
    assert_eq!(ordered.iter().filter(|(_, _, parent)| parent.is_none()).count(), 1);
}

#[test]
fn what_is_missing_is_said_worst_first() {
    let mut analysis = sample();
    let said = |a: &Analysis| serde_json::to_value(statements::completeness(a)).expect("JSON");
    let json = said(&analysis);
    let all = json.to_string();
    assert!(all.contains("1,234 socket data events were lost on CPU 1 between +33.000 s and +33.400 s"), "{all}");
    assert!(all.contains("1 hook of 3 could not be attached"), "{all}");
    assert!(!all.contains("Nothing was lost"));
    let unseen = Health { kind: "not_run".into(), lost: 3, cause: "lo counted more".into(), ..Default::default() };
    analysis.replayed.health.push(unseen);
    assert!(said(&analysis).to_string().contains("3 packets were not seen: lo counted more."));
    analysis.replayed.summary = None;
    assert_eq!(said(&analysis)[0]["weight"], "damaged");
    let whole = Analysis::new(Replayed::default(), "a.pcap".into());
    assert_eq!(said(&whole)[0]["weight"], "good");
    let mut marked = recording(10, 12);
    marked.requests.iter_mut().for_each(|r| r.completeness = Completeness::GAP);
    let n = marked.requests.len();
    let all = said(&Analysis::new(marked, String::new())).to_string();
    assert!(all.contains(&format!("{n} of {n} requests are marked incomplete: {n} with a gap.")), "{all}");
}

#[test]
fn long_tables_keep_their_most_interesting_rows() {
    let analysis = Analysis::new(recording(2_000, 24), "x".into());
    let html = render(&analysis).expect("a report");
    let data = data(&html);
    let table = &data["tables"]["requests"];
    assert_eq!(table["shown"], 5_000);
    assert!(table["total"].as_u64() > Some(5_000));
    let slowest = analysis.red().services.iter().map(|r| r.counts.delay.max_ns).max();
    assert_eq!(column(&data, "requests", "duration_ns")[0].as_u64(), slowest);
    assert!(html.len() < 10_000_000);
}

#[test]
fn an_empty_recording_gives_a_report_too() {
    let analysis = Analysis::new(Replayed::default(), "nothing.pcap".into());
    let html = render(&analysis).expect("a report");
    assert!(data(&html)["tables"]["requests"]["total"] == 0);
    assert_eq!(data(&html)["recording"][0]["value"], "no packets, no events");
    if let Some(dom) = shown(&html) {
        assert!(dom.contains("data-ready=\"yes\""), "the scripts did not come to their end");
        assert!(!dom.contains("1970"), "a time of nothing");
    }
}

#[test]
fn nodes_clocks_and_what_was_masked_have_their_place() {
    let mut replayed = recording(20, 12);
    let node = |name: &str, input: &str| Node { name: name.into(), input: input.into(), ..Node::default() };
    replayed.nodes = vec![node("node1", "a.zst"), node("", "mirror.pcap")];
    replayed.clocks.push(replay::hops::Clock {
        name: "mirror".into(),
        reference: "node1".into(),
        offset_ns: -1_500,
        uncertainty_ns: Some(200),
        drift_ns: 0,
        packets: [7, 8],
    });
    let mut summary = replayed.summary.clone().unwrap_or_default();
    summary.masked.insert("http_header".into(), 3);
    replayed.summary = Some(summary);
    let analysis = Analysis::new(replayed, "x".into());
    let html = render(&analysis).expect("a report");
    let data = data(&html);
    assert_eq!(data["masked"][0], "http header: 3 secrets masked when recorded.");
    assert_eq!((&data["tables"]["nodes"]["total"], &data["tables"]["clocks"]["total"]), (&2.into(), &1.into()));
    assert_eq!(column(&data, "clocks", "offset_ns")[0], -1_500);
    let flows = column(&data, "nodes", "flows");
    assert_eq!(flows[0], analysis.replayed.flows.len());
    if let Some(dom) = shown(&html) {
        for part in ["mirror.pcap", "3 secrets masked", "\u{2212}1.50 \u{b5}s"] {
            assert!(dom.contains(part), "{part} is not shown");
        }
    }
}

/// The page's elements after its scripts ran, where there is a Chromium; `None` where there is none.
fn shown(html: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.html");
    std::fs::write(&file, html).expect("written");
    let profile = folder.path().join("profile");
    let mut command = Command::new("chromium");
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--window-size=1400,2000", "--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("file://{}", file.display()));
    let output = match command.output() {
        Ok(output) => output,
        Err(e) => {
            eprintln!("skipped: no chromium to open the report with ({e})");
            return None;
        }
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn hostile_text_stays_text_in_a_browser() {
    let html = render(&sample()).expect("a report");
    let Some(dom) = shown(&html) else { return };
    assert!(dom.contains("data-ready=\"yes\""), "the scripts did not come to their end");
    // It is on the page, as text, and made no element.
    assert!(dom.contains("&lt;/script&gt;&lt;script&gt;alert(1)"), "the text is not shown");
    assert!(!dom.contains("<img"), "an element came out of captured text");
    assert_eq!(dom.matches("<script").count(), 2);
    // Tables, charts and drawings are there.
    for part in ["class=\"chart\"", "class=\"fall\"", "class=\"life\"", "class=\"flame\"", "aria-sort=\"descending\""] {
        assert!(dom.contains(part), "{part} is missing");
    }
}

/// The sentences at the top are those of the endpoints with most errors, as counted here from the requests themselves, and each leads to a section.
#[test]
fn what_stands_out_comes_first() {
    let analysis = sample();
    let html = render(&analysis).expect("a report");
    let data = data(&html);
    let told: Vec<(&str, &str)> = (data["outstanding"].as_array().expect("a list").iter())
        .map(|s| (s["text"].as_str().expect("text"), s["section"].as_str().expect("a section")))
        .collect();
    assert!((1..=7).contains(&told.len()), "{told:#?}");
    for (text, section) in &told {
        assert!(html.contains(&format!("<section id=\"{section}\">")), "{section}: {text}");
    }
    let mut errors: BTreeMap<(u32, &str, &str), u64> = BTreeMap::new();
    for (place, service) in analysis.counted() {
        let fields = &analysis.replayed.requests[*place].fields;
        *errors.entry((*service, fields.l7_protocol, &fields.endpoint)).or_default() +=
            u64::from(fields.status.is_error());
    }
    let most = errors.values().copied().max().expect("requests");
    assert!(most > 0, "the sample has errors");
    let worst = errors
        .iter()
        .filter(|(_, n)| **n == most)
        .map(|((_, protocol, endpoint), _)| format!("{endpoint} ({protocol}): {most} of "));
    assert!(worst.into_iter().any(|text| told[0].0.contains(&text)), "{told:#?}");
    // Nothing is said of a recording in which nothing happened.
    let quiet = Analysis::new(Replayed::default(), "quiet.zst".into());
    assert!(outstanding(&quiet).is_empty());
}
