//! Cuts a text at its headings into parts of sensible size.

use std::collections::{BTreeMap, BTreeSet};

use wardsmith_documents::{Section, Text};

/// A part has at most so many characters, some 2,000 tokens: what a small model is trained on in one piece.
pub(super) const MAX_PART_CHARS: usize = 8_000;
/// A text with fewer words in sentences is an index, a stub or a table.
const MIN_PROSE_WORDS: usize = 30;
/// A line with fewer words is no sentence.
const MIN_SENTENCE_WORDS: usize = 4;
/// A heading in an ID is cut to so many characters.
const MAX_SLUG_CHARS: usize = 60;
/// Headings over what its author advises to do, by their words.
const REMEDY_HEADINGS: &[&str] = &[
    "countermeasures",
    "fix",
    "fixes",
    "how to fix",
    "how to prevent",
    "mitigation",
    "mitigations",
    "prevention",
    "recommendation",
    "recommendations",
    "recommended actions",
    "remediation",
    "solution",
    "solutions",
    "workaround",
    "workarounds",
];
/// Headings over a short version of the whole.
const SUMMARY_HEADINGS: &[&str] = &["abstract", "executive summary", "overview", "summary"];

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Part {
    /// What tells it from the document's other parts; empty where it is the whole.
    pub(super) slug: String,
    /// Its first heading.
    pub(super) heading: String,
    pub(super) text: String,
    /// What stands under a heading such as `Summary`.
    pub(super) summary: String,
    /// What stands under headings such as `Remediation`.
    pub(super) remedy: String,
}

/// Whether a text has enough sentences to learn from.
pub(super) fn is_worth_reading(text: &str) -> bool {
    let mut words = 0;
    let mut in_code = false;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code && is_sentence(line) {
            words += line.split_whitespace().count();
        }
    }
    words >= MIN_PROSE_WORDS
}

/// Whether a line holds a sentence: some words, and a mark that ends one behind a letter.
fn is_sentence(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let quotes = ['"', '\'', ')', '”', '’'];
    let mut ends = words.clone().filter(|word| {
        let marked = word.trim_end_matches(quotes).strip_suffix(['.', '!', '?', ':', ';', ',']);
        marked.is_some_and(|rest| rest.trim_end_matches(quotes).ends_with(char::is_alphanumeric))
    });
    // The number of an item, as in `1. Tea`, is no sentence.
    let first = words.next().unwrap_or_default();
    let numbered = first.starts_with(|c: char| c.is_ascii_digit());
    words.count() + 1 >= MIN_SENTENCE_WORDS && ends.any(|word| !numbered || word != first)
}

/// The whole, where it is short; else sections together as long as they fit. What is too long by itself is cut
/// between paragraphs.
pub(super) fn parts(text: &Text) -> Vec<Part> {
    if text.body.chars().count() <= MAX_PART_CHARS {
        let mut whole = Part { text: text.body.clone(), ..Part::default() };
        text.sections.iter().for_each(|section| whole.take_note(&section.heading, &section.body));
        return vec![whole];
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut chars = 0;
    for section in &text.sections {
        let pieces = pieces(section);
        for (at, piece) in pieces.iter().enumerate() {
            let len = piece.chars().count();
            // A section that does not fit as a whole begins a part, but not at the cost of leaving a stub behind.
            let is_cut = at == 0 && pieces.len() > 1 && parts.last().is_some_and(|part| is_worth_reading(&part.text));
            if parts.is_empty() || is_cut || chars + 2 + len > MAX_PART_CHARS {
                parts.push(Part { heading: section.heading.clone(), ..Part::default() });
                chars = 0;
            }
            let part = parts.last_mut().expect("there is one now");
            if !part.text.is_empty() {
                part.text.push_str("\n\n");
                chars += 2;
            }
            part.text.push_str(piece);
            part.take_note(&section.heading, piece.strip_prefix(&section.heading).unwrap_or(piece).trim_start());
            chars += len;
        }
    }
    name(&mut parts);
    parts
}

impl Part {
    /// Keeps `body` also as summary or remedy, where its heading says that it is one.
    fn take_note(&mut self, heading: &str, body: &str) {
        let heading = heading.trim_end_matches(':').to_lowercase();
        if SUMMARY_HEADINGS.contains(&heading.as_str()) && self.summary.is_empty() {
            self.summary = body.to_owned();
        }
        if REMEDY_HEADINGS.contains(&heading.as_str()) && !body.is_empty() {
            if !self.remedy.is_empty() {
                self.remedy.push_str("\n\n");
            }
            self.remedy.push_str(body);
        }
    }
}

/// A section with its heading, in pieces that fit into a part.
fn pieces(section: &Section) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut chars = 0;
    // A heading may be as long as any paragraph.
    let paragraphs = std::iter::once(section.heading.as_str()).chain(section.body.split("\n\n"));
    for paragraph in paragraphs.filter(|text| !text.is_empty()).flat_map(cut) {
        let len = paragraph.chars().count();
        match pieces.last_mut().filter(|_| chars + 2 + len <= MAX_PART_CHARS) {
            Some(last) => {
                last.push_str("\n\n");
                last.push_str(paragraph);
                chars += 2 + len;
            }
            None => {
                pieces.push(paragraph.to_owned());
                chars = len;
            }
        }
    }
    pieces
}

/// A paragraph in pieces that fit, cut at white space where there is some.
fn cut(paragraph: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = paragraph;
    while let Some((limit, _)) = rest.char_indices().nth(MAX_PART_CHARS) {
        let end = rest[..limit].rfind(char::is_whitespace).filter(|end| *end > limit / 2).unwrap_or(limit);
        pieces.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    pieces.push(rest);
    pieces
}

/// Gives every part a slug of its own.
fn name(parts: &mut [Part]) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for part in parts {
        let slug = slug_of(&part.heading);
        let count = counts.entry(slug.clone()).or_default();
        *count += 1;
        part.slug = if *count == 1 { slug.clone() } else { format!("{slug}-{count}") };
        // A heading may itself end with a number.
        while !taken.insert(part.slug.clone()) {
            *count += 1;
            part.slug = format!("{slug}-{count}");
        }
    }
}

/// `hot-cold` for `Hot & Cold!`.
fn slug_of(heading: &str) -> String {
    let words = heading.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-").to_lowercase();
    let slug: String = slug.chars().take(MAX_SLUG_CHARS).collect();
    if slug.is_empty() { "start".into() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wardsmith_documents::{Kind, Limits, read};

    fn text(markdown: &str) -> Text {
        read(markdown.as_bytes(), Kind::Markdown, &Limits::default()).unwrap().remove(0)
    }

    #[test]
    fn sentences_are_told_from_titles_and_links() {
        for line in ["The kettle is hot.", "- Do not touch it, ever", "Is this \"safe\"? No"] {
            assert!(is_sentence(line), "{line}");
        }
        for line in ["1. How to make tea", "4.1.1 Conduct Search Engine Discovery", "Hot.", "- How to make tea", ""] {
            assert!(!is_sentence(line), "{line}");
        }
    }

    #[test]
    fn code_is_no_prose() {
        let sentence = "This is a sentence of eight words, really.\n".repeat(4);
        assert!(is_worth_reading(&sentence));
        assert!(!is_worth_reading(&format!("```\n{sentence}```")));
    }

    #[test]
    fn short_sections_stand_together_and_long_ones_are_cut_between_paragraphs() {
        let paragraph = "word ".repeat(600);
        let short = "This is short, as you see. ".repeat(5);
        let long = format!("{paragraph}\n\n").repeat(7);
        let text = text(&format!("# A\n\n{short}\n\n## B\n\nshort\n\n## C\n\n{long}## D\n\nshort\n\n## E\n\n{long}"));
        let parts = parts(&text);
        let slugs: Vec<_> = parts.iter().map(|part| part.slug.as_str()).collect();
        assert_eq!(slugs, ["a", "c", "c-2", "c-3", "c-4", "e", "e-2", "e-3", "e-4"]);
        assert_eq!(parts[0].text, format!("A\n\n{}\n\nB\n\nshort", short.trim_end()));
        assert!(parts[1].text.starts_with("C\n\nword") && parts[2].text.starts_with("word"));
    }

    #[test]
    fn no_two_parts_share_a_slug() {
        let mut parts: Vec<Part> = ["Rim", "Rim", "Rim 2", "rim-2", "Rim", "!"]
            .map(|heading| Part { heading: heading.into(), ..Part::default() })
            .into();
        name(&mut parts);
        let slugs: Vec<_> = parts.iter().map(|part| part.slug.as_str()).collect();
        assert_eq!(slugs, ["rim", "rim-2", "rim-2-2", "rim-2-3", "rim-3", "start"]);
    }

    #[test]
    fn a_heading_without_end_is_cut_too() {
        let text = text(&format!("# {}\n\nEnd.", "very long ".repeat(2000)));
        assert!(parts(&text).iter().all(|part| part.text.chars().count() <= MAX_PART_CHARS));
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_no_part_is_too_long(lengths in proptest::collection::vec(0usize..12_000, 1..6)) {
            let markdown: String = lengths.iter().map(|len| format!("# é{len}\n\n{}\n\n", "wörd ".repeat(len / 5))).collect();
            let text = text(&markdown);
            let parts = parts(&text);
            prop_assert!(parts.iter().all(|part| part.text.chars().count() <= MAX_PART_CHARS));
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let joined: Vec<String> = parts.iter().flat_map(|part| words(&part.text)).collect();
            prop_assert_eq!(joined, words(&text.body));
            let mut slugs: Vec<_> = parts.iter().map(|part| &part.slug).collect();
            slugs.sort_unstable();
            slugs.dedup();
            prop_assert_eq!(slugs.len(), parts.len());
        }

        #[test]
        fn a_paragraph_without_blanks_is_cut_too(len in 1usize..30_000) {
            let long = "é".repeat(len);
            let pieces = cut(&long);
            prop_assert_eq!(pieces.concat(), long.as_str());
            prop_assert!(pieces.iter().all(|piece| piece.chars().count() <= MAX_PART_CHARS));
        }
    }
}
