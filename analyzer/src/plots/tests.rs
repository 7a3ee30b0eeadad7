use super::*;
use crate::report::sample::{HOSTILE, recording};
use replay::model::{ProfileSegment, Replayed};

fn drawn(analysis: &Analysis) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    let files = write_all(folder.path(), analysis).expect("plots");
    files
        .iter()
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("a file"))
        })
        .collect()
}

#[test]
fn every_plot_is_well_formed_and_loads_nothing() {
    let mut replayed = recording(200, 24);
    for flow in &mut replayed.flows {
        if let Some(p) = &mut flow.server_process {
            p.name = format!("{}{HOSTILE}", p.name).into();
        }
    }
    for stack in &mut replayed.stacks {
        stack.process = format!("{}{HOSTILE}", stack.process).into();
        stack.frames = format!("{};{HOSTILE}", stack.frames).into();
    }
    let files = drawn(&Analysis::new(replayed, "x".into()));
    for kind in ["map.svg", "red-", "latency-", "flow-", "trace-", "flame-"] {
        assert!(files.iter().any(|(name, _)| name.starts_with(kind)), "no {kind}");
    }
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    for (name, svg) in &files {
        let xml = roxmltree::Document::parse_with_options(svg, options).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(xml.root_element().tag_name().name(), "svg", "{name}");
        for node in xml.descendants() {
            assert!(!matches!(node.tag_name().name(), "img" | "image" | "foreignObject"), "{name}");
            assert!(!node.attributes().any(|a| a.name() == "href" || a.name().starts_with("onerror")), "{name}");
        }
        assert!(svg.contains("prefers-color-scheme:dark"), "{name} is light only");
    }
}

#[test]
fn the_same_recording_gives_the_same_plots() {
    let of = || drawn(&Analysis::new(recording(200, 24), "x".into()));
    assert_eq!(of(), of());
}

#[test]
fn an_empty_recording_has_a_map_that_says_so() {
    let files = drawn(&Analysis::new(Replayed::default(), "x".into()));
    assert_eq!(files.len(), 1);
    assert!(files[0].1.contains("No conversations were seen."));
}

#[test]
fn names_of_files_are_safe_and_differ() {
    assert_eq!(file_name("../../etc/passwd"), "etc-passwd");
    assert_eq!(file_name("10.0.0.1:80"), "10-0-0-1-80");
    assert_eq!(file_name("\u{e9}\u{2028}/"), "unnamed");
    let folder = tempfile::tempdir().expect("a folder");
    let mut out = Folder { dir: folder.path(), names: BTreeSet::new(), files: Vec::new() };
    for name in ["a/b", "a:b", "A b"] {
        out.write("flame", name, "").expect("written");
    }
    let names: Vec<_> = out.files.iter().filter_map(|f| f.file_name()).map(|n| n.to_string_lossy()).collect();
    assert_eq!(names, ["flame-a-b.svg", "flame-a-b-2.svg", "flame-a-b-3.svg"]);
}

#[test]
fn a_flow_of_thousands_of_exchanges_is_drawn_to_its_end() {
    let replayed = recording(20, 4);
    let mut flow = replayed.flows[0].clone();
    let exchanges = 4_000u32;
    // A request of 1 us and its answer of 4 us each; the last answer takes a millisecond.
    let segment = |exchange: u32, at: i64, segment, duration_ns| ProfileSegment {
        flow_id: flow.flow_id,
        exchange,
        segment,
        start: flow.start + i64::from(exchange) * 5_000 + at,
        duration_ns,
        request_id: None,
        bytes: 0,
        retransmissions: 0,
    };
    let mut segments = Vec::new();
    for n in 0..exchanges {
        let answer = if n + 1 == exchanges { 1_000_000 } else { 4_000 };
        segments.push(segment(n, 0, "request_transfer", 1_000));
        segments.push(segment(n, 1_000, "server_response", answer));
    }
    flow.end = flow.start + i64::from(exchanges) * 5_000 + 996_000;
    let svg = profile::draw(&flow, &segments, &[], &[]).expect("drawn");
    assert!(svg.contains("the 40 longest of 4,000 exchanges"));
    assert!(svg.contains("exchange 4000"), "the longest is not among them");
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let xml = roxmltree::Document::parse_with_options(&svg, options).expect("XML");
    let number = |n: &roxmltree::Node<'_, '_>, name: &str| n.attribute(name).and_then(|a| a.parse::<i32>().ok());
    let bars: Vec<_> = xml.descendants().filter(|n| number(n, "height") == Some(28)).collect();
    let ends = bars.iter().filter_map(|n| Some(number(n, "x")? + number(n, "width")?));
    // Of 840 pixels, all but the last twentieth are mostly answers, as is that.
    assert!((1..=840).contains(&bars.len()), "{} bars", bars.len());
    assert!(ends.max().is_some_and(|x| (948..=952).contains(&x)), "the line ends before the flow");
}
