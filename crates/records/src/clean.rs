//! Texts as they come, made plain: white space, signs, entities, stray tags, broken encodings, boilerplate.
//!
//! [`clean`] takes a text through the steps of `STEPS` until none of them changes it, so cleaning twice is cleaning once.
//! What a text says about a vulnerability stays: `<script>` is a payload and not markup, `** DISPUTED **` is a judgement
//! and not a decoration, an "incomplete fix for CVE-…" is a fact. Each step is one file and counts what it did.

mod boilerplate;
mod entities;
mod language;
mod markup;
mod mojibake;
mod noise;
#[cfg(test)]
mod real;
mod signs;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use boilerplate::{RULES, Rule};
pub use language::{Language, language};

/// What was changed or taken out: counts by the name of the step or of the boilerplate's [`Rule`].
pub type Removed = BTreeMap<&'static str, u64>;

/// How often the steps are gone through at most; real texts need two rounds.
const MAX_ROUNDS: usize = 16;

/// What becomes of details that a model could learn by heart instead of what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// They stay.
    #[default]
    Keep,
    /// A placeholder such as `<VERSION>` stands for them.
    Mask,
}

/// How lines are broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One line, as [`one_line`].
    #[default]
    Line,
    /// One line a paragraph, as [`paragraphs`].
    Paragraphs,
}

/// What becomes of sentences that say nothing about a vulnerability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boilerplate {
    /// They go; see [`RULES`].
    #[default]
    Remove,
    /// They stay.
    Keep,
}

/// What a recipe wants of cleaning.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// How lines are broken.
    pub layout: Layout,
    /// Sentences that say nothing.
    pub boilerplate: Boilerplate,
    /// Version numbers, which become `<VERSION>`.
    pub versions: Noise,
    /// Hexadecimal digests of 32 digits or more, which become `<HASH>`.
    pub hashes: Noise,
}

/// A clean text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// The text.
    pub text: String,
    /// What it is written in.
    pub language: Language,
    /// What was changed or taken out.
    pub removed: Removed,
}

/// A step: the text it makes, or `None` where it has nothing to do.
type Step = fn(&str, &Policy, &mut Removed) -> Option<String>;

/// Encodings first, then signs, then what is written in them.
const STEPS: &[Step] =
    &[mojibake::repair, signs::plain, entities::decode, markup::strip, boilerplate::remove, noise::blobs, noise::mask];

/// `text` made plain under `policy`.
#[must_use]
pub fn clean(text: &str, policy: &Policy) -> Cleaned {
    let mut removed = Removed::new();
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_ROUNDS {
        let mut next = Cow::Borrowed(&*text);
        for step in STEPS {
            if let Some(changed) = step(&next, policy, &mut removed) {
                next = Cow::Owned(changed);
            }
        }
        let is_stepped = matches!(next, Cow::Owned(_));
        let next = laid_out(&next, policy.layout);
        let is_stable = next == text;
        text = Cow::Owned(next);
        // Where no step had anything to do, only white space may have changed, and no step minds that.
        if is_stable || !is_stepped {
            break;
        }
    }
    Cleaned { language: language(&text), text: text.into_owned(), removed }
}

fn laid_out(text: &str, layout: Layout) -> String {
    match layout {
        Layout::Line => one_line(text),
        Layout::Paragraphs => paragraphs(text),
    }
}

/// Counts `count` things under `name`.
fn note(removed: &mut Removed, name: &'static str, count: u64) {
    if count > 0 {
        *removed.entry(name).or_default() += count;
    }
}

/// `text` on one line: every run of white space becomes one blank, and what cannot be seen is dropped.
#[must_use]
pub fn one_line(text: &str) -> String {
    if is_plain_line(text.as_bytes()) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len());
    let mut blank_due = false;
    for c in text.chars().filter(|c| !is_invisible(*c)) {
        if c.is_whitespace() || is_control(c) {
            blank_due = !line.is_empty();
            continue;
        }
        if std::mem::take(&mut blank_due) {
            line.push(' ');
        }
        line.push(c);
    }
    line.shrink_to_fit();
    line
}

/// Whether `text` is printable ASCII with single blanks already, as most descriptions are.
fn is_plain_line(text: &[u8]) -> bool {
    let edge = |byte: Option<&u8>| byte.is_none_or(|byte| *byte != b' ');
    edge(text.first())
        && edge(text.last())
        && text.iter().all(|byte| (b' '..=b'~').contains(byte))
        && !text.windows(2).any(|pair| pair == b"  ")
}

/// As [`one_line`], with an empty line kept as the break between two paragraphs; a single line break is a blank.
#[must_use]
pub fn paragraphs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut paragraph = String::new();
    let mut close = |paragraph: &mut String| {
        let line = one_line(paragraph);
        if !line.is_empty() && !out.is_empty() {
            out.push_str("\n\n");
        }
        out.push_str(&line);
        paragraph.clear();
    };
    for line in text.split(['\n', '\u{2029}']) {
        if line.chars().all(|c| c.is_whitespace() || is_control(c) || is_invisible(c)) {
            close(&mut paragraph);
        }
        paragraph.push_str(line);
        paragraph.push('\n');
    }
    close(&mut paragraph);
    out
}

/// A control character; those of the C1 block are somebody's Windows-1252 and left to [`mojibake`].
fn is_control(c: char) -> bool {
    c.is_control() && !('\u{80}'..='\u{9f}').contains(&c)
}

/// `text` on one line and without the marks that point to a catalogue's list of references, such as `[REF-44]`.
#[must_use]
pub fn without_references(text: &str) -> String {
    let line = one_line(text);
    if !line.contains("[REF-") {
        return line;
    }
    let mut kept = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while let Some(at) = rest.find("[REF-") {
        let digits = rest[at + 5..].bytes().take_while(u8::is_ascii_digit).count();
        let end = at + 5 + digits;
        if digits > 0 && rest[end..].starts_with(']') {
            kept.push_str(rest[..at].trim_end());
            rest = &rest[end + 1..];
        } else {
            kept.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    kept.push_str(rest);
    one_line(&kept)
}

/// Zero-width characters, direction marks, the soft hyphen and the byte order mark.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cleaned(text: &str) -> String {
        clean(text, &Policy::default()).text
    }

    #[test]
    fn marks_of_references_go_and_nothing_else() {
        assert_eq!(
            without_references("Use it [REF-44]. See [REF-1] [REF-23] and [REF-] too."),
            "Use it. See and [REF-] too."
        );
        assert_eq!(without_references("plain [1] text"), "plain [1] text");
    }

    #[test]
    fn white_space_and_control_characters_become_one_blank() {
        assert_eq!(one_line("  a\r\n\tb\u{a0}\u{0}c  "), "a b c");
        assert_eq!(one_line("a\u{200b}b\u{2066} \u{feff}"), "ab");
        assert_eq!(one_line(" \n "), "");
        assert_eq!(one_line("a b"), "a b");
    }

    #[test]
    fn empty_lines_break_paragraphs_and_others_do_not() {
        assert_eq!(paragraphs("\n a\nb \r\n \t\r\n\n c\n"), "a b\n\nc");
        assert_eq!(paragraphs(" \n\n "), "");
    }

    #[test]
    fn the_steps_work_together_and_are_counted() {
        let text =
            "<p>IM &amp; Presence \u{2013} a userâ€™s \u{201c}name\u{201d}&nbsp;leaks.</p><p>Was ZDI-CAN-1234.</p>";
        let cleaned = clean(text, &Policy::default());
        assert_eq!(cleaned.text, "IM & Presence - a user's \"name\" leaks.");
        assert_eq!(cleaned.language, Language::ENGLISH);
        for name in ["entity", "tag", "mojibake", "sign", "zdi_number"] {
            assert!(cleaned.removed.contains_key(name), "{name}: {:?}", cleaned.removed);
        }
    }

    #[test]
    fn a_recipe_sets_the_policy_by_name() {
        let policy: Policy = serde_json::from_str(r#"{"versions": "mask", "layout": "paragraphs"}"#).unwrap();
        assert_eq!(policy, Policy { versions: Noise::Mask, layout: Layout::Paragraphs, ..Policy::default() });
        assert!(serde_json::from_str::<Policy>(r#"{"version": "mask"}"#).is_err());
    }

    /// Pieces of which the steps' input is made.
    fn pieces() -> impl Strategy<Value = String> {
        let words = [
            "&amp;",
            "&lt;",
            "gt;",
            "&",
            "#39;",
            "&#x41;",
            "<p>",
            "</p>",
            "<br/>",
            "<b>",
            "</b>",
            "<script>",
            "Ã©",
            "â€",
            "™",
            "Â",
            "\u{92}",
            "\u{ff21}",
            "\u{fb01}",
            "e",
            "\u{301}",
            "\u{2014}",
            "\u{2026}",
            "\u{a0}",
            "\n\n",
            " ",
            "** DISPUTED",
            " **",
            "Was ZDI-CAN-12.",
            "version 1.2.3",
            "v10.4",
            "0123456789abcdef0123456789abcdef",
            "NOTE: ",
            "word",
            ".",
            "Patch ID: A1",
            "; ",
            "\u{200b}",
            "<a href=x>",
            "</a>",
        ];
        prop::collection::vec(prop::sample::select(words.to_vec()), 0..16).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn cleaning_twice_is_cleaning_once(text in prop_oneof![pieces(), ".{0,80}"], mask in any::<bool>(), broken in any::<bool>()) {
            prop_assert_eq!(&one_line(&one_line(&text)), &one_line(&text));
            prop_assert_eq!(&paragraphs(&paragraphs(&text)), &paragraphs(&text));
            let noise = if mask { Noise::Mask } else { Noise::Keep };
            let layout = if broken { Layout::Paragraphs } else { Layout::Line };
            let policy = Policy { versions: noise, hashes: noise, layout, ..Policy::default() };
            let once = clean(&text, &policy).text;
            prop_assert_eq!(&clean(&once, &policy).text, &once);
        }

        #[test]
        fn plain_words_are_unchanged_apart_from_white_space(text in "[a-zA-Z0-9 .,;:()'\"/\n-]{0,120}") {
            prop_assert_eq!(cleaned(&text), one_line(&text));
        }
    }
}
