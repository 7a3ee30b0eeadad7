//! Drawings made by hand: shapes with classes, styled by one sheet for light and dark.
//!
//! In the report's page the page's own sheet styles them; as files of their own they carry [`STYLE`].

use crate::report::escape;

/// Style of stand-alone drawings: light, and dark where the viewer prefers that.
const STYLE: &str = include_str!("standalone.css");

/// A drawing.
pub(super) struct Svg {
    class: &'static str,
    is_standalone: bool,
    size: (f64, f64),
    body: String,
}

/// `v` with at most one digit after the point: short, and the same on every machine.
pub(super) fn number(v: f64) -> String {
    let tenths = (v * 10.0).round() as i64;
    if tenths % 10 == 0 { (tenths / 10).to_string() } else { format!("{:.1}", tenths as f64 / 10.0) }
}

impl Svg {
    /// A drawing to stand in a page.
    pub(super) fn inline(class: &'static str) -> Self {
        Self { class, is_standalone: false, size: (0.0, 0.0), body: String::new() }
    }

    /// A drawing in a file of its own.
    pub(super) fn standalone(class: &'static str) -> Self {
        Self { is_standalone: true, ..Self::inline(class) }
    }

    /// Sets width and height.
    pub(super) fn size(&mut self, width: f64, height: f64) {
        self.size = (width, height);
    }

    /// Begins a group; `data` are attributes.
    pub(super) fn open(&mut self, class: &str, data: &[(&str, &str)]) {
        self.body += &format!("<g class=\"{class}\"");
        for (name, value) in data {
            self.body += &format!(" {name}=\"{}\"", escape(value));
        }
        self.body += ">";
    }

    /// Ends a group.
    pub(super) fn close(&mut self) {
        self.body += "</g>\n";
    }

    /// What is shown when pointed at the group.
    pub(super) fn title(&mut self, text: &str) {
        self.body += &format!("<title>{}</title>", escape(text));
    }

    /// A rectangle: left, top, width, height.
    pub(super) fn rect(&mut self, area: (f64, f64, f64, f64), class: &str, radius: f64) {
        let (x, y, w, h) = (number(area.0), number(area.1), number(area.2), number(area.3));
        self.body += &format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"");
        if radius > 0.0 {
            self.body += &format!(" rx=\"{}\"", number(radius));
        }
        self.body += "/>";
    }

    /// A path; `width` is that of its line, if not the class's.
    pub(super) fn path(&mut self, data: &str, class: &str, width: Option<f64>) {
        self.body += &format!("<path class=\"{class}\" d=\"{data}\"");
        if let Some(width) = width {
            self.body += &format!(" stroke-width=\"{}\"", number(width));
        }
        self.body += "/>";
    }

    /// A text at a point; `anchor` is `start`, `middle` or `end`.
    pub(super) fn text(&mut self, at: (f64, f64), class: &str, anchor: &str, text: &str) {
        self.body += &format!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            number(at.0),
            number(at.1),
            escape(text)
        );
    }

    /// The drawing as text.
    pub(super) fn finish(self) -> String {
        let (width, height) = (number(self.size.0), number(self.size.1));
        let view =
            format!("class=\"{}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"", self.class);
        if self.is_standalone {
            format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" {view}>\n<style>{STYLE}</style>\n\
                 <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n",
                self.body
            )
        } else {
            format!("<svg {view} role=\"img\">\n{}</svg>\n", self.body)
        }
    }
}
