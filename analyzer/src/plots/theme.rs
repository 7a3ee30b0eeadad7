//! Colours of the plots: light as written, dark by a style sheet where the viewer prefers that.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

/// A colour in light and in dark.
struct Shade {
    light: RGBColor,
    dark: &'static str,
}

const fn shade(light: (u8, u8, u8), dark: &'static str) -> Shade {
    Shade { light: RGBColor(light.0, light.1, light.2), dark }
}

/// All colours used in plots; each light one stands for one dark one, so no two may be the same.
static SHADES: [Shade; 16] = [
    shade((255, 255, 255), "#10151c"),
    shade((28, 36, 48), "#dbe3ec"),
    shade((91, 102, 117), "#93a1b3"),
    shade((223, 229, 236), "#26303b"),
    shade((0, 114, 178), "#56a8e8"),
    shade((184, 58, 36), "#ff8b76"),
    shade((201, 138, 0), "#ffc247"),
    shade((122, 81, 149), "#b795dd"),
    shade((88, 168, 222), "#8ccbf7"),
    shade((122, 63, 156), "#c79be8"),
    shade((184, 87, 143), "#e79bc6"),
    shade((59, 155, 216), "#9ad4ff"),
    shade((0, 158, 115), "#2cc295"),
    shade((77, 100, 120), "#93aabf"),
    shade((232, 236, 241), "#2a3541"),
    shade((143, 91, 0), "#e5b454"),
];

pub(super) const PAGE: RGBColor = SHADES[0].light;
pub(super) const INK: RGBColor = SHADES[1].light;
pub(super) const MUTED: RGBColor = SHADES[2].light;
pub(super) const GRID: RGBColor = SHADES[3].light;
pub(super) const BLUE: RGBColor = SHADES[4].light;
pub(super) const RED: RGBColor = SHADES[5].light;
pub(super) const AMBER: RGBColor = SHADES[6].light;
pub(super) const VIOLET: RGBColor = SHADES[7].light;
pub(super) const P50: RGBColor = SHADES[8].light;
pub(super) const P95: RGBColor = BLUE;
pub(super) const P99: RGBColor = SHADES[9].light;
pub(super) const PINK: RGBColor = SHADES[10].light;
pub(super) const SKY: RGBColor = SHADES[11].light;
pub(super) const GREEN: RGBColor = SHADES[12].light;
pub(super) const SLATE: RGBColor = SHADES[13].light;
pub(super) const IDLE: RGBColor = SHADES[14].light;
pub(super) const BROWN: RGBColor = SHADES[15].light;

/// Part of a plot.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Text of a size and colour.
pub(super) fn font(size: i32, color: RGBColor) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&color)
}

/// Draws a plot of `size` with a title, and makes it change with the viewer's preference.
pub(super) fn plot(size: (u32, u32), title: &str, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut out = String::new();
    {
        let root = SVGBackend::with_string(&mut out, size).into_drawing_area();
        root.fill(&PAGE).map_err(failed)?;
        let (head, body) = root.split_vertically(38);
        let title = crate::report::clean(title);
        head.draw(&Text::new(title.into_owned(), (16, 14), font(19, INK))).map_err(failed)?;
        draw(&body)?;
        root.present().map_err(failed)?;
    }
    Ok(adapted(&out))
}

/// An error of drawing: plotters' own is bound to its backend.
pub(super) fn failed<E: std::fmt::Display>(e: E) -> anyhow::Error {
    anyhow!("drawing failed: {e}")
}

/// Adds the style sheet that exchanges every light colour for its dark one.
fn adapted(svg: &str) -> String {
    use std::fmt::Write;
    let Some(at) = svg.find("<svg").and_then(|a| svg.get(a..)?.find('>').map(|b| a + b + 1)) else {
        return svg.to_owned();
    };
    let (head, body) = svg.split_at(at);
    let mut out = String::with_capacity(svg.len() + 2_000);
    out.push_str(head);
    out.push_str("\n<style>@media (prefers-color-scheme:dark){");
    for shade in &SHADES {
        let RGBColor(r, g, b) = shade.light;
        let (light, dark) = (format!("#{r:02X}{g:02X}{b:02X}"), shade.dark);
        // Writing to a String cannot fail.
        let _ = write!(out, "[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}");
    }
    out.push_str("}</style>");
    out.push_str(body);
    out
}

/// A legend at the right end of a strip: names and colours, drawn from right to left.
pub(super) fn legend(area: &Area<'_>, y: i32, entries: &[(&str, RGBColor)]) -> Result<()> {
    let (width, _) = area.dim_in_pixel();
    let mut x = i32::try_from(width).unwrap_or(960) - 16;
    for (name, color) in entries.iter().rev() {
        x -= i32::try_from(name.chars().count()).unwrap_or(0) * 6 + 4;
        area.draw(&Text::new((*name).to_owned(), (x, y), font(13, MUTED))).map_err(failed)?;
        x -= 15;
        area.draw(&Rectangle::new([(x, y + 1), (x + 10, y + 11)], color.filled())).map_err(failed)?;
        x -= 12;
    }
    Ok(())
}
