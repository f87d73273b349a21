//! Tags of formatting that a feed has left in a text; everything else in angle brackets is what the text is about.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{Policy, Removed, note};

static TAG: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)<(/?)(p|br|b|i|em|strong|a|ul|ol|li|div|span|code|pre)(\s[^<>]{0,400})?\s?/?>")
        .expect("a tested expression")
});
/// Attributes that only format or link.
static HARMLESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)^(?:\s*(?:(?:class|style|target|rel|id|title|lang|dir|align)\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"']+)|href\s*=\s*["']?\s*(?:https?:|mailto:|/|#)[^\s"']*["']?))*\s*/?$"#)
        .expect("a tested expression")
});
/// What makes of a text one about payloads, in which every tag may be part of one.
static PAYLOAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)<(?:script|img|svg|iframe|object|embed|meta|form|input|body|h1|marquee|details|math|video|audio|style|link|base)\b|javascript:|\bon[a-z]{3,16}\s*=|alert\s*\(").expect("a tested expression")
});
/// Words before a tag that make it the thing that is spoken of.
const SPOKEN_OF: &[&str] = &[
    "via",
    "a",
    "an",
    "the",
    "as",
    "with",
    "using",
    "like",
    "of",
    "inside",
    "in",
    "any",
    "e.g.",
    "and",
    "or",
    "allow",
    "allows",
    "containing",
    "many",
];

/// `text` without such tags.
pub(super) fn strip(text: &str, _: &Policy, removed: &mut Removed) -> Option<String> {
    if !text.contains('<') || !TAG.is_match(text) || PAYLOAD.is_match(text) {
        return None;
    }
    let tags = droppable(text);
    if tags.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (range, gap) in &tags {
        out.push_str(&text[from..range.start]);
        out.push_str(gap);
        from = range.end;
    }
    out.push_str(&text[from..]);
    note(removed, "tag", tags.len() as u64);
    Some(out)
}

/// The tags that may go, with what takes their place.
fn droppable(text: &str) -> Vec<(Range<usize>, &'static str)> {
    let mut tags = Vec::new();
    let mut opened: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for captures in TAG.captures_iter(text) {
        let range = captures.get_match().range();
        let name = captures[2].to_ascii_lowercase();
        let attributes = captures.get(3).map_or("", |found| found.as_str());
        if is_spoken_of(text, &range) || !HARMLESS.is_match(attributes) {
            continue;
        }
        let counts = opened.entry(name.clone()).or_default();
        if captures[1].is_empty() {
            counts.0 += 1
        } else {
            counts.1 += 1
        }
        tags.push((range, name, attributes.contains('=')));
    }
    // A lone tag without attributes may be all that a sentence is about; a pair, a break or a link is formatting.
    let is_markup = |name: &str, has_attributes: bool| {
        let (open, close) = opened.get(name).copied().unwrap_or_default();
        name == "br"
            || has_attributes
            || (open > 0 && close > 0)
            || (matches!(name, "p" | "li" | "div" | "ul") && open + close > 1)
    };
    tags.retain(|(_, name, has_attributes)| is_markup(name, *has_attributes));
    tags.into_iter().map(|(range, name, _)| (range, gap(&name))).collect()
}

/// Whether the tag is quoted, or named as a thing.
fn is_spoken_of(text: &str, range: &Range<usize>) -> bool {
    let (lead, rest) = (&text[..range.start], &text[range.end..]);
    let is_quote = |c: char| matches!(c, '`' | '\'' | '"' | '=');
    let next: String =
        rest.trim_start().chars().take_while(|c| c.is_ascii_alphabetic()).collect::<String>().to_ascii_lowercase();
    let word = lead.trim_end().rsplit(|c: char| c.is_whitespace() || c == '>').next().unwrap_or_default();
    let is_named = lead.ends_with(' ') && SPOKEN_OF.contains(&word.to_ascii_lowercase().as_str());
    lead.ends_with(is_quote)
        || rest.starts_with(is_quote)
        || is_named
        || [
            "tag",
            "tags",
            "element",
            "elements",
            "attribute",
            "html",
            "sequence",
            "sequences",
            "character",
            "characters",
        ]
        .contains(&next.as_str())
}

/// What a tag leaves behind: a paragraph's break, a line's break or nothing.
fn gap(name: &str) -> &'static str {
    match name {
        "p" | "div" | "ul" | "ol" | "pre" => "\n\n",
        "br" | "li" => "\n",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> String {
        strip(text, &Policy::default(), &mut Removed::new()).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn formatting_goes() {
        assert_eq!(stripped("<p>One.</p><p>Two <b>bold</b>.<br/>Three</p>"), "\n\nOne.\n\n\n\nTwo bold.\nThree\n\n");
        assert_eq!(stripped("from <a href=\" https://acme.io/x\">here. Refer"), "from here. Refer");
        assert_eq!(stripped("Server<span class=font-red> x</span>"), "Server x");
    }

    #[test]
    fn payloads_and_tags_that_are_spoken_of_stay() {
        for text in [
            "XSS via <script>alert(1)</script> and <b>x</b>",
            "events in tags such as <b>.",
            "nicknames with many <br> sequences",
            "a crafted attribute in the <a> tag",
            "`<p>x</p>` is rendered",
            "<a href=javascript:x>y</a>",
            "vector<a> and List<b>",
            "a < b and c > d",
        ] {
            assert_eq!(stripped(text), text);
        }
    }
}
