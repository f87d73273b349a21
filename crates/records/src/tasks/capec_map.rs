//! A story of an attack → the attack pattern of CAPEC that it shows.
//!
//! **What is asked about.** CAPEC's own texts: the example stories of a pattern, and its description. The description
//! says what a label means and always teaches; each story is held out by itself, by its name.
//! **What is not used.** The links CWE → CAPEC → ATT&CK: they cover about 3 % of what analysts choose, so they are
//! knowledge to be told (see `explain` and `qa`), never labels.
//! **The question.** The pattern's name and IDs are taken out of the text.
//! **The grade.** The first CAPEC ID of the answer.

use std::collections::BTreeMap;

use crate::conversation::Conversation;
use crate::corpus::Corpus;
use crate::dataset::{Example, LabelInfo, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::phrasing::question;
use crate::record::{AttackPattern, CapecId};
use crate::split::Placed;
use crate::task::{Grade, Made, Subject, Task};

/// How the question is put; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    "Which attack pattern of CAPEC does the text below describe? Answer with its name and CAPEC ID.",
    "Name the CAPEC attack pattern that this text shows, with its ID.",
    "Map the following attack to CAPEC. Give the pattern's name and ID.",
];
/// Shorter texts say too little to tell one pattern from 500 others.
const MIN_WORDS: usize = 8;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct CapecMap;

impl Task for CapecMap {
    fn name(&self) -> &'static str {
        "capec_map"
    }

    fn about(&self) -> &'static str {
        "the CAPEC attack pattern that a story of an attack shows"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        if corpus.knowledge.patterns.is_empty() {
            let what = "the attack patterns of CAPEC".into();
            return Err(Error::Needs { task: self.name(), what, hint: "add the source `capec`" });
        }
        let examples = corpus.patterns().flat_map(|pattern| self.examples_of(pattern, corpus)).collect();
        let titles: BTreeMap<String, String> =
            corpus.patterns().map(|one| (one.id.to_string(), one.name.clone())).collect();
        Ok(Made::of(examples).with_labels(titles))
    }

    fn answer(&self, label: &LabelInfo) -> String {
        format!("{} ({})", label.title, label.name)
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let gold = example.gold.as_deref()?;
        let Some(parsed) = find_id(answer).map(|id| id.to_string()) else {
            return Some(Grade::default());
        };
        let strict = parsed == gold;
        Some(Grade { parsed: Some(parsed), strict, credit: f64::from(u8::from(strict)), ..Grade::default() })
    }
}

impl CapecMap {
    fn examples_of(&self, pattern: &AttackPattern, corpus: &Corpus<'_>) -> Vec<(Split, Example)> {
        let teaches = Placed { split: Split::Train, ..corpus.aspect(&format!("{}/description", pattern.id)) };
        let description = (format!("{}/description", pattern.id), pattern.description.as_str(), teaches);
        let stories = pattern.examples.iter().enumerate().map(|(at, story)| {
            let id = format!("{}/example-{}", pattern.id, at + 1);
            let placed = corpus.aspect(&id);
            (id, story.as_str(), placed)
        });
        let texts = std::iter::once(description).chain(stories);
        let long = texts.filter(|(_, text, _)| text.split_whitespace().count() >= MIN_WORDS);
        long.map(|(id, text, placed)| {
            let phrasing = corpus.phrase(PHRASINGS, placed.split, &id);
            let asked = question(phrasing, &hide(text, &pattern.name));
            let answer = format!("{} ({})", pattern.name, pattern.id);
            let conversation = Conversation::question(asked, answer);
            Subject::undated(id, placed, "capec").example(self, conversation, Some(pattern.id.to_string()))
        })
        .collect()
    }
}

/// `text` without the pattern's name and without CAPEC IDs, on one line.
fn hide(text: &str, name: &str) -> String {
    let mut text = crate::clean::without_references(text);
    while let Some((at, end, _)) = find_span(&text) {
        text.replace_range(at..end, "CAPEC");
    }
    let (lower, name) = (text.to_ascii_lowercase(), name.to_ascii_lowercase());
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for (at, found) in lower.match_indices(&name).filter(|_| !name.is_empty()) {
        shown.push_str(&text[from..at]);
        shown.push_str("this attack");
        from = at + found.len();
    }
    shown.push_str(&text[from..]);
    shown
}

/// The first CAPEC ID in `text`.
#[must_use]
pub fn find_id(text: &str) -> Option<CapecId> {
    find_span(text).map(|(_, _, id)| id)
}

fn find_span(text: &str) -> Option<(usize, usize, CapecId)> {
    let upper = text.to_ascii_uppercase();
    upper.match_indices("CAPEC-").find_map(|(at, mark)| {
        let digits = upper[at + mark.len()..].bytes().take_while(u8::is_ascii_digit).count();
        let end = at + mark.len() + digits;
        Some((at, end, upper[at..end].parse().ok()?))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;

    /// An attack pattern with one story.
    pub(crate) fn pattern(number: u32, name: &str) -> AttackPattern {
        AttackPattern {
            id: CapecId(number),
            name: name.into(),
            abstraction: "Standard".into(),
            status: "Stable".into(),
            description: format!("An adversary pours far more tea into the cup than it holds, number {number}."),
            extended_description: String::new(),
            likelihood: "High".into(),
            severity: "Low".into(),
            prerequisites: Vec::new(),
            steps: Vec::new(),
            consequences: Vec::new(),
            mitigations: vec!["Use a larger cup.".into()],
            examples: vec![format!("Somebody tried {name} (capec-{number}) on a saucer, and the table got wet.")],
            weaknesses: Vec::new(),
            techniques: Vec::new(),
            parents: Vec::new(),
            created: None,
        }
    }

    #[test]
    fn stories_ask_for_the_pattern_without_naming_it_and_descriptions_always_teach() {
        let patterns = [(CapecId(66), pattern(66, "Over Pouring"))].into();
        let knowledge = Knowledge { patterns, ..Knowledge::default() };
        let places = crate::corpus::Places { shares: (0.0, 1.0), ..all_in(&knowledge, Split::Train) };
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let made = CapecMap.make(&corpus).unwrap();
        let splits: Vec<Split> = made.examples.iter().map(|(split, _)| *split).collect();
        assert_eq!(splits, [Split::Train, Split::Test]);
        let story = &made.examples[1].1;
        assert_eq!(story.id, "CAPEC-66/example-1");
        assert_eq!(CapecMap.input(story), "Somebody tried this attack (CAPEC) on a saucer, and the table got wet.");
        assert_eq!(made.labels[0].train_count, 1);
        let grade = |answer| CapecMap.grade(story, answer, &Hierarchy::default()).unwrap();
        let said = CapecMap.answer(&made.labels[0]);
        assert!(grade(&said).strict);
        assert!(!grade("CAPEC-67").strict && grade("no idea").parsed.is_none());
    }
}
