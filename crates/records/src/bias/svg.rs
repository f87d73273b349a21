//! A small writer of SVG pictures: standing alone, named and described for those who cannot see them, readable on dark
//! and on light paper, without anything from outside.

use std::fmt::Write;

/// Colours by role, twice. The three series differ in lightness too, for those who do not see the hues.
const STYLE: &str = "\
svg{--ink:#1b1f24;--soft:#57606a;--paper:#fff;--line:#d8dee4;--first:#0b5cad;--second:#8c959f;--third:#d9730d}\
@media (prefers-color-scheme:dark){svg{--ink:#e6e9ed;--soft:#a5afba;--paper:#12151a;--line:#3a424c;--first:#4f9bea;\
--second:#6e7781;--third:#ffb077}}\
text{font:12px system-ui,sans-serif;fill:var(--ink)}.soft{fill:var(--soft)}.small{font-size:10px}.tiny{font-size:9px}\
.head{font-size:14px;font-weight:600}.inverse{fill:var(--paper)}.paper{fill:var(--paper)}\
.first{fill:var(--first)}.second{fill:var(--second)}.third{fill:var(--third)}\
.grid{stroke:var(--line);fill:none}.line{fill:none;stroke-width:2;stroke-linejoin:round}\
.line.first{stroke:var(--first);fill:none}.line.third{stroke:var(--third);stroke-dasharray:7 4;fill:none}\
.even{stroke:var(--soft);stroke-dasharray:2 4;fill:none}";

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture in the making; lengths are in its own units, a unit being a pixel at full size.
#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    /// An empty picture; `id` keeps its names apart from those of others on one page.
    pub(super) fn new(id: &str, title: &str, description: &str, (width, height): (f64, f64)) -> Self {
        let (id, title, description) = (escape(id), escape(title), escape(description));
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
             height=\"{height:.0}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
             <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{description}</desc>\n\
             <style>{STYLE}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"
        );
        let mut svg = Self { text };
        svg.label((12.0, 20.0), Anchor::Start, "head", &title);
        svg
    }

    /// A text at a point.
    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        self.label(at, anchor, class, &escape(text));
    }

    fn label(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, escaped: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.add(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" class=\"{class}\">{escaped}</text>"
        ));
    }

    /// A rectangle from its upper left corner, with what it says when it is pointed at.
    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str, told: &str) {
        let told = escape(told);
        self.add(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" class=\"{class}\"><title>{told}</title></rect>",
            width.max(0.0)
        ));
    }

    /// As [`Svg::rect`], so opaque as `opacity` (0..=1) says.
    pub(super) fn shade(&mut self, at: (f64, f64), size: (f64, f64), opacity: f64, told: &str) {
        let opacity = opacity.clamp(0.0, 1.0);
        self.add(&format!("<g fill-opacity=\"{opacity:.3}\">"));
        self.rect(at, size, "first", told);
        self.add("</g>");
    }

    /// A line through points.
    pub(super) fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let mut path = String::new();
        for (at, (x, y)) in points.iter().enumerate() {
            let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
        }
        self.add(&format!("<path d=\"{path}\" class=\"{class}\"/>"));
    }

    fn add(&mut self, element: &str) {
        self.text.push_str(element);
        self.text.push('\n');
    }

    /// The whole file.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// Text that can neither end its element or attribute nor break the file.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// `text` cut to at most `most` characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let start: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", start.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_well_formed_and_says_what_it_is() {
        let mut svg = Svg::new("a", "Tea & <sugar>", "Two cups\u{0}.", (100.0, 50.0));
        svg.rect((1.0, 2.0), (-3.0, 4.0), "first", "\"cup\"");
        svg.line(&[(0.0, 0.0), (1.0, 1.5)], "line first");
        svg.shade((0.0, 0.0), (1.0, 1.0), 7.0, "x");
        let text = svg.finish();
        assert!(text.contains("<title id=\"a-title\">Tea &amp; &lt;sugar&gt;</title>"), "{text}");
        assert!(text.contains("width=\"0.0\"") && text.contains("d=\"M0.0 0.0L1.0 1.5\"") && !text.contains('\0'));
        let mut reader = quick_xml::Reader::from_str(&text);
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                _ => continue,
            }
        }
        assert!(!text.replace("http://www.w3.org/2000/svg", "").contains("http"));
        assert_eq!((cut("teapot", 6), cut("tea pots", 5)), ("teapot".into(), "tea…".into()));
    }
}
