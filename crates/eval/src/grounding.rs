//! Which sentences of an answer a text supports.
//!
//! A sentence is supported where at least [`SUPPORT`] of its content words stand in *one* sentence of the evidence: words of
//! four letters and more, in lower case, without their endings (the first six letters are compared, so that `validating`
//! and `validate` agree). It measures copying and close paraphrase, not truth: a negated copy counts as supported.

use std::collections::BTreeSet;

use crate::metric::Share;

/// The share of a sentence's content words that one sentence of the evidence must have.
pub const SUPPORT: f64 = 0.6;
/// A sentence of fewer content words says nothing that could be supported, as a heading.
const LEAST_WORDS: usize = 3;
/// Letters of a word that are compared.
const STEM: usize = 6;

/// Sentences of `answer` that say something, and how many of them `evidence` supports.
#[must_use]
pub fn grounded(answer: &str, evidence: &str) -> Share {
    let evidence: Vec<BTreeSet<String>> = sentences(evidence).map(content).collect();
    let said: Vec<BTreeSet<String>> =
        sentences(answer).map(content).filter(|words| words.len() >= LEAST_WORDS).collect();
    let supports = |words: &BTreeSet<String>| {
        let shared = |one: &BTreeSet<String>| words.intersection(one).count() as f64;
        evidence.iter().any(|one| shared(one) >= SUPPORT * words.len() as f64)
    };
    Share { of: said.iter().filter(|words| supports(words)).count(), all: said.len() }
}

/// The sentences of a text: what stands between full stops, question and exclamation marks before a blank, and line ends.
pub fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| matches!(c, '.' | '!' | '?' | ';');
    let lines = text.lines();
    let split = move |line| {
        let mut pieces = Vec::new();
        let (mut begin, mut after) = (0, false);
        for (place, c) in str::char_indices(line) {
            if after && c.is_whitespace() {
                pieces.push(&line[begin..place]);
                begin = place;
            }
            after = ends(c);
        }
        pieces.push(&line[begin..]);
        pieces
    };
    lines.flat_map(split).map(str::trim).filter(|piece| !piece.is_empty())
}

fn content(sentence: &str) -> BTreeSet<String> {
    let words = sentence.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() >= 4);
    words.map(|word| word.to_lowercase().chars().take(STEM).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paraphrase_is_supported_and_an_invention_is_not() {
        let evidence = "Validate all input with an allowlist. Encode output for the page that shows it.";
        let answer = "1. Validating input against an allowlist helps.\nBuy our magic firewall product today. Encode output \
                      for the page. Note:";
        assert_eq!(grounded(answer, evidence), Share { of: 2, all: 3 });
        assert_eq!(grounded("", evidence), Share::default());
    }

    #[test]
    fn words_must_stand_in_one_sentence() {
        let answer = "Validate output page allowlist";
        assert_eq!(
            grounded(answer, "Validate input. The output is text. A page. An allowlist."),
            Share { of: 0, all: 1 }
        );
    }

    #[test]
    fn versions_do_not_end_sentences() {
        let found: Vec<&str> = sentences("Update to 2.4.1. Then restart!  Done\nnext").collect();
        assert_eq!(found, ["Update to 2.4.1.", "Then restart!", "Done", "next"]);
    }
}
