//! HTML and SVG elements whose text and attributes are escaped by construction: there is no way in for raw markup.

use std::fmt::{self, Write as _};

/// Elements without content or end tag.
const VOID: &[&str] = &["br", "meta"];

/// One element, with its children already rendered.
#[derive(Debug, Clone)]
pub(super) struct Element {
    name: &'static str,
    attributes: String,
    body: String,
}

/// An empty element.
pub(super) fn el(name: &'static str) -> Element {
    Element { name, attributes: String::new(), body: String::new() }
}

/// An element that holds only text.
pub(super) fn text_in(name: &'static str, text: impl fmt::Display) -> Element {
    el(name).text(text)
}

impl Element {
    /// Adds an attribute.
    pub(super) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        let _ = write!(self.attributes, " {name}=\"{}\"", escape(&value.to_string()));
        self
    }

    /// Adds the attribute `class`.
    pub(super) fn class(self, class: &'static str) -> Self {
        self.with("class", class)
    }

    /// Adds text at the end.
    pub(super) fn text(mut self, text: impl fmt::Display) -> Self {
        self.body.push_str(&escape(&text.to_string()));
        self
    }

    /// Adds an element at the end.
    #[expect(clippy::needless_pass_by_value, reason = "elements are built where they are used")]
    pub(super) fn child(mut self, child: Self) -> Self {
        let _ = write!(self.body, "{child}");
        self
    }

    /// Adds elements at the end, each on a line.
    pub(super) fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        for child in children {
            let _ = write!(self.body, "\n{child}");
        }
        self
    }

    /// Makes a `style` element's content of the project's own style sheet.
    pub(super) fn style_sheet() -> Self {
        let mut style = el("style");
        style.body = include_str!("style.css").to_owned();
        style
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, attributes, body } = self;
        match VOID.contains(name) {
            true => write!(f, "<{name}{attributes}>"),
            false => write!(f, "<{name}{attributes}>{body}</{name}>"),
        }
    }
}

/// Text that can neither end its element or attribute nor change the direction of what follows.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                let _ = write!(escaped, "[U+{:04X}]", character as u32);
            }
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_cannot_leave_their_place() {
        let element = el("p").with("title", "\"><script>'").text("</p><script>alert(1)</script>&");
        assert_eq!(
            element.to_string(),
            "<p title=\"&quot;&gt;&lt;script&gt;&#39;\">&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;</p>"
        );
    }

    #[test]
    fn invisible_characters_become_visible() {
        assert_eq!(escape("a\u{202e}b\0c\u{1b}"), "a[U+202E]b\u{fffd}c\u{fffd}");
    }
}
