//! Flame graphs as files of their own: click to zoom, search with Ctrl-F (inferno's script is inside).

use anyhow::{Context, Result};
use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno::flamegraph::{self, Options};
use replay::model::Stack;
use std::collections::{BTreeMap, BTreeSet};

/// Exchanges inferno's page colours where the viewer prefers dark; its frames are legible on both.
const DARK: &str = "<style>@media (prefers-color-scheme:dark){rect[fill=\"url(#background)\"]{fill:#10151c}\
#title,#subtitle,#details,#unzoom,#search,#matched{fill:#dbe3ec}}#search{opacity:.65}</style></svg>";

/// Stacks of each process name, most samples first.
pub(super) fn by_process(stacks: &[Stack]) -> Vec<(&str, Vec<&Stack>)> {
    let mut groups: BTreeMap<&str, Vec<&Stack>> = BTreeMap::new();
    for stack in stacks {
        groups.entry(&stack.process).or_default().push(stack);
    }
    let mut out: Vec<_> = groups.into_iter().collect();
    out.sort_by_key(|(_, stacks)| std::cmp::Reverse(stacks.iter().map(|s| s.samples).sum::<u64>()));
    out
}

/// Draws the stacks of one process.
pub(super) fn draw(process: &str, stacks: &[&Stack]) -> Result<String> {
    let mut folded: BTreeMap<String, u64> = BTreeMap::new();
    for stack in stacks {
        // A line of its own per stack: characters that end a line or a number must not come from a name.
        let frames: Vec<_> = crate::report::flame::shown(&stack.frames).map(crate::report::clean).collect();
        *folded.entry(frames.join(";")).or_default() += stack.samples;
    }
    let lines: Vec<String> = folded.iter().map(|(frames, n)| format!("{frames} {n}")).collect();
    let mut options = Options::default();
    options.title = format!("CPU time of {}", crate::report::clean(process));
    options.count_name = "samples".into();
    let mut colors = colors(&folded);
    options.palette_map = Some(&mut colors);
    options.bgcolors = Some(BackgroundColor::Flat(Color { r: 255, g: 255, b: 255 }));
    options.font_type = "system-ui, \"DejaVu Sans\", sans-serif".into();
    options.min_width = 0.1;
    let mut out = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut out)
        .with_context(|| format!("cannot draw the flame graph of {process}"))?;
    let svg = String::from_utf8(out).context("the flame graph is not text")?;
    Ok(match svg.rsplit_once("</svg>") {
        Some((head, tail)) => [head, DARK, tail].concat(),
        None => svg,
    })
}

/// Warm colours for functions of programs, blue for those of the kernel, by a hash of the name.
fn colors(folded: &BTreeMap<String, u64>) -> PaletteMap {
    let mut out = PaletteMap::default();
    // Inferno's root has no name.
    out.insert("", Color { r: 237, g: 165, b: 95 });
    let names: BTreeSet<&str> = folded.keys().flat_map(|frames| frames.split(';')).collect();
    for name in names {
        let hash = name.bytes().fold(0u32, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
        let shade = (hash % 8) as u8;
        let color = if name.ends_with("_[k]") {
            Color { r: 140 + shade * 5, g: 176 + shade * 4, b: 220 + shade * 2 }
        } else {
            Color { r: 236 + shade, g: 160 + shade * 5, b: 90 + shade * 6 }
        };
        out.insert(name, color);
    }
    out
}
