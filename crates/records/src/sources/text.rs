//! Plain text out of what sources write: HTML fragments, light Markdown, texts with hard line ends.
//!
//! None of these is a full parser: what is not surely markup is text. Each passes over its input a fixed number of times.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use crate::clean::one_line;

/// A description is no document: the CVE list allows so many characters.
const MAX_DESCRIPTION_CHARS: usize = 4096;
/// No tag of these fragments is near this long; a `<` without an end must not cost a search through the whole text.
const MAX_TAG_BYTES: usize = 400;
/// Tags that begin a new line.
const BLOCKS: &[&str] = &["p", "div", "li", "ul", "ol", "br", "tr", "table", "pre", "h1", "h2", "h3", "h4", "h5", "h6"];
/// Tags that only change how text looks, or stand within a row. Texts about attacks are full of other tags, which are
/// what they tell of.
const INLINE: &[&str] =
    &["b", "i", "u", "em", "strong", "code", "span", "sub", "sup", "tt", "tbody", "thead", "td", "th"];

/// A part of an HTML fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// A tag by its name from the tables above.
    Open(&'static str),
    Close(&'static str),
}

/// The parts of an HTML fragment, with or without the prefix `xhtml:`. Character references are left as they are:
/// these sources write their characters plainly.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(at) = text[from..].find('<').map(|at| from + at) {
        from = at + 1;
        if let Some((piece, len)) = tag(&text[at..]) {
            found.extend((start < at).then(|| Piece::Text(&text[start..at])));
            found.push(piece);
            (start, from) = (at + len, at + len);
        }
    }
    found.extend((start < text.len()).then(|| Piece::Text(&text[start..])));
    found
}

/// The tag at the beginning of `text` and its bytes, where it is one of ours.
fn tag(text: &str) -> Option<(Piece<'static>, usize)> {
    let body = text.strip_prefix('<')?;
    let (body, closes) = body.strip_prefix('/').map_or((body, false), |body| (body, true));
    let body = body.strip_prefix("xhtml:").unwrap_or(body);
    let name_len = body.bytes().take_while(u8::is_ascii_alphanumeric).take(9).count();
    let name = body[..name_len].to_ascii_lowercase();
    let name = BLOCKS.iter().chain(INLINE).find(|known| **known == name)?;
    let rest = &body.as_bytes()[name_len..];
    let end = rest.iter().take(MAX_TAG_BYTES).position(|byte| matches!(byte, b'>' | b'<'))?;
    let ends_well = rest[end] == b'>' && (end == 0 || matches!(rest[0], b'/' | b' ' | b'\t' | b'\r' | b'\n'));
    let len = text.len() - rest.len() + end + 1;
    let piece = if closes { Piece::Close(name) } else { Piece::Open(name) };
    ends_well.then_some((piece, len))
}

/// Puts `block` where a line ends by the tags, `- ` before list items, and drops all other tags.
fn without_tags(text: &str, block: char) -> String {
    let mut plain = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => plain.push_str(text),
            Piece::Open("li") => plain.extend([block, '-', ' ']),
            Piece::Open(name) | Piece::Close(name) if BLOCKS.contains(&name) => plain.push(block),
            Piece::Close("td" | "th") => plain.push(' '),
            Piece::Open(_) | Piece::Close(_) => {}
        }
    }
    plain
}

/// Stands between blocks while text is collected; it is no character of any text.
const BLOCK: char = '\u{1}';

/// An HTML fragment as lines: its own line ends are mere layout.
pub(super) fn html(text: &str) -> String {
    let text = if text.contains(BLOCK) { Cow::Owned(text.replace(BLOCK, " ")) } else { Cow::Borrowed(text) };
    let plain = without_tags(&text, BLOCK);
    let lines = plain.split(BLOCK).map(one_line).filter(|line| !line.is_empty() && line != "-");
    lines.collect::<Vec<_>>().join("\n")
}

/// Text with line ends that mean something: lines made plain, and one blank line between paragraphs.
pub(super) fn paragraphs(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut blank_due = false;
    for line in text.lines().flat_map(|line| line.split('\r')).map(one_line) {
        if line.is_empty() {
            blank_due = !plain.is_empty();
            continue;
        }
        if !plain.is_empty() {
            plain.push_str(if blank_due { "\n\n" } else { "\n" });
        }
        blank_due = false;
        plain.push_str(&line);
    }
    plain
}

/// Those of `parts` that say something, with a blank line between them.
pub(super) fn join(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    parts.join("\n\n")
}

/// The whole paragraphs of `text` that a description may hold; at least the beginning of the first.
pub(super) fn shortened(text: &str) -> &str {
    let Some((limit, _)) = text.char_indices().nth(MAX_DESCRIPTION_CHARS) else { return text };
    let head = &text[..limit];
    head.rfind("\n\n").map_or(head, |end| &head[..end])
}

static LINK: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"!?\[([^\[\]]*)\]\((?:[^()\s]|\([^()\s]*\))*(?:\s+"[^"]*")?\)"#;
    Regex::new(pattern).expect("the pattern is a constant that a test compiles")
});
static COMMENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("(?s)<!--.*?-->").expect("the pattern is a constant that a test compiles"));
static BOLD: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"(^|[\s("'>-])\*\*([^\s*][^*]*)\*\*"#;
    Regex::new(pattern).expect("the pattern is a constant that a test compiles")
});
static CITATION: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"[ \t]*\(Citation:(?:[^()]|\([^()]*\))*\)";
    Regex::new(pattern).expect("the pattern is a constant that a test compiles")
});

/// Light Markdown as paragraphs: links and images become their text, headings end with a colon, marks are dropped.
pub(super) fn markdown(text: &str) -> String {
    let text = COMMENT.replace_all(text, " ");
    // Twice, because an image may be the text of a link.
    let text = LINK.replace_all(&text, "$1").into_owned();
    let text = LINK.replace_all(&text, "$1");
    let mut plain = String::with_capacity(text.len());
    let mut in_code = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            in_code = !in_code;
            plain.push('\n');
        } else if in_code {
            plain.push_str(trimmed);
        } else {
            push_line(&mut plain, trimmed);
        }
        plain.push('\n');
    }
    paragraphs(&plain)
}

/// Adds a line of Markdown that is no code.
fn push_line(plain: &mut String, line: &str) {
    if let Some(heading) = heading(line) {
        plain.push('\n');
        push_inline(plain, heading);
        let ends = heading.ends_with(['.', ':', '?', '!']) || heading.is_empty();
        plain.push_str(if ends { "" } else { ":" });
        return;
    }
    let mark = line.chars().next().filter(|mark| "-=*_".contains(*mark));
    if mark.is_some_and(|mark| line.len() >= 3 && line.chars().all(|c| c == mark || c == ' ')) {
        plain.push('\n');
        return;
    }
    let line = line.trim_start_matches(['>', ' ']);
    let item = ["* ", "+ "].iter().find_map(|mark| line.strip_prefix(mark));
    if item.is_some() {
        plain.push_str("- ");
    }
    push_inline(plain, item.unwrap_or(line));
}

/// The text of a heading such as `## Impact ##`.
pub(super) fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    let level = line.len() - text.len();
    ((1..=6).contains(&level) && (text.is_empty() || text.starts_with([' ', '\t'])))
        .then(|| text.trim().trim_end_matches('#').trim_end())
}

/// Adds text without the marks of bold and code, with escapes and the commonest references resolved. A backslash stays
/// before what may as well be a path.
fn push_inline(plain: &mut String, text: &str) {
    let mut text = BOLD.replace_all(text, "$1$2").replace('`', "");
    for (reference, c) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")] {
        if text.contains(reference) {
            text = text.replace(reference, c);
        }
    }
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' || !chars.peek().is_some_and(|next| "_[]".contains(*next)) {
            plain.push(c);
        }
    }
}

/// The parts of a Markdown text under headings that `wanted` likes, as paragraphs.
pub(super) fn sections(text: &str, wanted: fn(&str) -> bool) -> String {
    let mut chosen = String::new();
    let (mut takes, mut in_code) = (false, false);
    for line in text.lines() {
        let trimmed = line.trim();
        in_code ^= trimmed.starts_with("```");
        match heading(trimmed).filter(|_| !in_code) {
            Some(title) => takes = wanted(&title.to_ascii_lowercase()),
            None if takes => chosen.extend([line, "\n"]),
            None => {}
        }
    }
    markdown(&chosen)
}

/// A text of ATT&CK: Markdown with a little HTML, without its citations.
pub(super) fn attack(text: &str) -> String {
    let text = CITATION.replace_all(text, "");
    markdown(&without_tags(&text, '\n'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fragments_become_lines_and_unknown_tags_stay() {
        let text =
            "\n   <xhtml:p>Pour <b>hot</b>\n tea.</xhtml:p> <xhtml:ul><xhtml:li>a</xhtml:li><li>b</li></xhtml:ul>";
        assert_eq!(html(text), "Pour hot tea.\n- a\n- b");
        assert_eq!(html("Type <script>alert(1)</script> & <p"), "Type <script>alert(1)</script> & <p");
        assert_eq!(html("a<br/>b<div style=\"x\">c</div><pre>d"), "a\nb\nc\nd");
        assert_eq!(html("<tr><td>x</td><td>y</td></tr> 1 < 2"), "x y\n1 < 2");
        assert_eq!(html("<b attr<i>x"), "<b attrx", "a tag ends before another begins");
    }

    #[test]
    fn a_tag_that_never_ends_costs_no_search_through_the_text() {
        let text = "<p ".repeat(200_000);
        assert_eq!(pieces(&text).len(), 1);
    }

    #[test]
    fn paragraphs_keep_line_ends_and_one_blank_line() {
        assert_eq!(paragraphs("\n a  b\r\nc\n \n\n\td\u{0}\re\n"), "a b\nc\n\nd\ne");
    }

    #[test]
    fn markdown_loses_its_marks_and_keeps_its_words() {
        let text = "## Impact ##\nA **bad** [pot](https://a.example/x_(y) \"t\") in `snake_case` *x*.\n\n* one\n+ two\n\
                    > said\n---\n[![badge](b)](c) <!-- hidden\n --> a\\_b &lt;c&gt; C:\\Temp\\<x> /**/ or /**/\n```c\n\
                    int *a;\n```\nend";
        let want = "Impact:\nA bad pot in snake_case *x*.\n\n- one\n- two\nsaid\n\nbadge a_b <c> C:\\Temp\\<x> /**/ or /**/\n\n\
                    int *a;\n\nend";
        assert_eq!(markdown(text), want);
    }

    #[test]
    fn citations_of_attack_go_with_the_blank_before_them() {
        let text = "[Kettle](https://x.example/S1) boils <code>C:\\a</code> (Citation: Tea (2020)). Next.(Citation: A)(Citation: B)";
        assert_eq!(attack(text), "Kettle boils C:\\a. Next.");
    }

    #[test]
    fn sections_are_found_by_their_headings() {
        let text =
            "### Impact\nHot.\n### Patches\nCool it.\n```\n# no heading\n```\n### Other\nx\n## Workarounds\n- wait";
        let found = sections(text, |title| matches!(title, "patches" | "workarounds"));
        assert_eq!(found, "Cool it.\n\n# no heading\n\n- wait");
    }

    #[test]
    fn a_description_ends_with_a_paragraph() {
        let long = format!("{}\n\n{}", "a".repeat(4000), "é".repeat(4000));
        assert_eq!(shortened(&long).len(), 4000);
        assert_eq!(shortened(&"é".repeat(5000)).chars().count(), MAX_DESCRIPTION_CHARS);
        assert_eq!(shortened("short"), "short");
    }

    proptest! {
        #[test]
        fn no_text_makes_any_of_them_panic(text in "[<>/pbli:# `*\\[\\]()\\\\&;é\n-]{0,60}") {
            let (html, plain) = (html(&text), markdown(&text));
            prop_assert!(html.chars().count() <= 3 * text.chars().count() && plain.len() <= 2 * text.len() + 2);
            attack(&text);
            prop_assert_eq!(paragraphs(&paragraphs(&text)), paragraphs(&text));
        }
    }
}
