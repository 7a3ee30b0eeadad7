//! The page: markup, style and scripts from `assets/`, with the data in it.

use std::fmt::Write;

const PAGE: &str = include_str!("assets/page.html");
const STYLE: &str =
    concat!(include_str!("assets/theme.css"), include_str!("assets/layout.css"), include_str!("assets/drawings.css"),);
/// One script: its files share one scope, in this order.
const SCRIPTS: [&str; 9] = [
    include_str!("assets/element.js"),
    include_str!("assets/format.js"),
    include_str!("assets/table.js"),
    include_str!("assets/chart.js"),
    include_str!("assets/overview.js"),
    include_str!("assets/waterfall.js"),
    include_str!("assets/profile.js"),
    include_str!("assets/flame.js"),
    include_str!("assets/report.js"),
];

/// The whole page. `data` is JSON; `map`, `sequences` and `ways` are markup made by this project, with captured text escaped.
pub(super) fn assemble(title: &str, map: &str, sequences: &str, ways: &str, data: &str) -> String {
    let script = ["(() => {\n'use strict';\n", &SCRIPTS.concat(), "})();\n"].concat();
    let parts = [
        ("{{title}}", escape(title)),
        ("{{style}}", STYLE.to_owned()),
        ("{{map}}", map.to_owned()),
        ("{{sequences}}", sequences.to_owned()),
        ("{{ways}}", ways.to_owned()),
        ("{{data}}", island(data)),
        ("{{script}}", script),
    ];
    // One pass: what is filled in is never searched for places.
    let mut out = String::with_capacity(data.len() + data.len() / 8 + 200_000);
    let mut rest = PAGE;
    while let Some((before, value, after)) = next_place(rest, &parts) {
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The next place to fill in: what is before it, its value, what is after it.
fn next_place<'a>(page: &'a str, parts: &'a [(&'static str, String)]) -> Option<(&'a str, &'a str, &'a str)> {
    let (at, name, value) =
        parts.iter().filter_map(|(name, value)| page.find(name).map(|at| (at, *name, value))).min_by_key(|p| p.0)?;
    let (before, after) = page.split_at_checked(at)?;
    Some((before, value, after.get(name.len()..)?))
}

/// JSON that can stand inside a script element: `<`, `>`, `&` and the separators of lines and paragraphs occur in its strings only. Nearly all of
/// some megabytes is plain.
fn island(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 16);
    let bytes = json.as_bytes();
    // The separators begin with this byte, and so do other characters.
    let separators = memchr::memchr_iter(0xe2, bytes)
        .filter(|at| bytes.get(*at..).is_some_and(|from| matches!(from, [_, 0x80, 0xa8 | 0xa9, ..])));
    let mut separators = separators.peekable();
    let mut markup = memchr::memchr3_iter(b'<', b'>', b'&', bytes).peekable();
    let mut rest = 0;
    while let Some(at) = match (markup.peek(), separators.peek()) {
        (Some(a), Some(b)) if b < a => separators.next(),
        (None, Some(_)) => separators.next(),
        _ => markup.next(),
    } {
        let Some((before, from)) = json.get(rest..).and_then(|json| json.split_at_checked(at - rest)) else { break };
        out.push_str(before);
        if let Some(c) = from.chars().next() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
            rest = at + c.len_utf8();
        }
    }
    out.push_str(json.get(rest..).unwrap_or(""));
    out
}

/// Text for markup, in elements and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in super::columns::clean(text).chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
