use super::*;
use crate::report::sample::{HOSTILE, recording};
use replay::model::Replayed;

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
