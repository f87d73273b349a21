//! A sentence of a report → the techniques of ATT&CK that it shows.
//!
//! **Where sentences are from.** Analysts' labels (TRAM) and ATT&CK's procedure examples; see the sources `tram` and
//! `attack`. A report's sentences stand in one split together, and so do near-duplicates of both sources.
//! **The answer.** Names and IDs in the order of IDs, `;` between them, or that there is no technique.
//! **The grade.** Strictly the same set; partial credit is the F1 of the two sets. For heads and classical baselines
//! the label set is that of sentences with exactly one technique or none.

use std::collections::{BTreeMap, BTreeSet};

use crate::conversation::Conversation;
use crate::corpus::Corpus;
use crate::dataset::{Example, LabelInfo, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::phrasing::question;
use crate::record::{LabelledSentence, TechniqueId};
use crate::split::Placed;
use crate::task::{Grade, Made, Subject, Task};

/// How the question is put; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    "Which techniques of MITRE ATT&CK does the sentence below show? Answer with names and IDs, or say that there is none.",
    "Map this sentence from a report to ATT&CK techniques (name and ID).",
    "List the ATT&CK techniques that the following behaviour corresponds to, with their IDs.",
];
/// The gold label of a sentence that shows no technique.
pub const NONE: &str = "none";
/// What is said of it.
const NONE_SAID: &str = "No technique.";

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct AttackMap;

impl Task for AttackMap {
    fn name(&self) -> &'static str {
        "attack_map"
    }

    fn about(&self) -> &'static str {
        "the ATT&CK techniques that a sentence of a report shows"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        if corpus.knowledge.sentences.is_empty() {
            let what = "sentences with techniques".into();
            return Err(Error::Needs { task: self.name(), what, hint: "add the source `tram` or `attack`" });
        }
        let kept = corpus.settings.caps.draw(corpus.sentences().collect(), |(_, placed)| placed.split);
        let examples: Vec<(Split, Example)> =
            kept.into_iter().map(|(sentence, placed)| self.example(sentence, placed, corpus)).collect();
        let titles = titles(&examples, corpus);
        Ok(Made::of(examples).with_labels(titles))
    }

    fn answer(&self, label: &LabelInfo) -> String {
        match label.name.as_str() {
            NONE => NONE_SAID.into(),
            id => said(&label.title, id),
        }
    }

    fn asks_for_several(&self) -> bool {
        true
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let gold = ids_in(example.gold.as_deref()?);
        let found = ids_in(answer);
        let says_none = answer.to_ascii_lowercase().contains("no technique") || answer.trim() == NONE;
        if found.is_empty() && !says_none {
            return Some(Grade::default());
        }
        let shared = gold.intersection(&found).count() as f64;
        let credit = match gold.len() + found.len() {
            0 => 1.0,
            both => 2.0 * shared / both as f64,
        };
        Some(Grade { parsed: Some(gold_of(&found)), strict: gold == found, credit, ..Grade::default() })
    }
}

impl AttackMap {
    fn example(&self, sentence: &LabelledSentence, placed: Placed, corpus: &Corpus<'_>) -> (Split, Example) {
        let id = format!("{}/{}", sentence.source, sentence.id);
        let phrasing = corpus.phrase(PHRASINGS, placed.split, &id);
        let asked = question(phrasing, &hide_ids(&sentence.text));
        let name = |id: &TechniqueId| corpus.knowledge.techniques.get(id).map_or("", |one| one.name.as_str());
        let answers: Vec<String> = sentence.techniques.iter().map(|id| said(name(id), id.as_str())).collect();
        let answer = if answers.is_empty() { NONE_SAID.into() } else { answers.join("; ") };
        let gold = gold_of(&sentence.techniques.iter().cloned().collect());
        let subject = Subject {
            published: sentence.published.map(|date| date.to_string()).unwrap_or_default(),
            ..Subject::undated(id, placed, sentence.source)
        };
        subject.example(self, Conversation::question(asked, answer), Some(gold))
    }
}

/// The label set: what single sentences were given.
fn titles(examples: &[(Split, Example)], corpus: &Corpus<'_>) -> BTreeMap<String, String> {
    let trained = examples.iter().filter(|(split, _)| *split == Split::Train);
    let single = trained.filter_map(|(_, example)| example.gold.clone()).filter(|gold| !gold.contains(','));
    let title = |gold: &String| {
        let technique = gold.parse::<TechniqueId>().ok().and_then(|id| corpus.knowledge.techniques.get(&id));
        technique.map(|one| one.name.clone()).unwrap_or_default()
    };
    single.map(|gold| (gold.clone(), title(&gold))).collect()
}

fn said(name: &str, id: &str) -> String {
    if name.is_empty() { id.to_owned() } else { format!("{name} ({id})") }
}

fn gold_of(techniques: &BTreeSet<TechniqueId>) -> String {
    if techniques.is_empty() {
        return NONE.into();
    }
    techniques.iter().map(TechniqueId::as_str).collect::<Vec<_>>().join(", ")
}

/// Every technique ID in `text`.
#[must_use]
pub fn ids_in(text: &str) -> BTreeSet<TechniqueId> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    words.filter_map(|word| word.trim_matches('.').to_ascii_uppercase().parse().ok()).collect()
}

/// `text` without technique IDs, so that the answer is not in the question.
fn hide_ids(text: &str) -> String {
    let mut shown = crate::clean::one_line(text);
    // Longest first, or `T1059` would leave the rest of `T1059.001`.
    for id in ids_in(&shown.clone()).into_iter().rev() {
        shown = shown.replace(id.as_str(), "T");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;

    fn sentence(id: &str, text: &str, techniques: &[&str]) -> LabelledSentence {
        LabelledSentence {
            id: id.into(),
            document: "Tea report".into(),
            text: text.into(),
            techniques: techniques.iter().map(|id| id.parse().unwrap()).collect(),
            published: None,
            source: "tram",
        }
    }

    #[test]
    fn a_sentence_asks_for_all_its_techniques_without_naming_them() {
        let sentences = vec![
            sentence("1", "The kettle ran a script (T1059.001, T1059).", &["T1059.001"]),
            sentence("2", "Tea was served.", &[]),
            sentence("3", "A script fetched sugar.", &["T1059.001", "T1105"]),
        ];
        let knowledge = Knowledge { sentences, ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Train);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let made = AttackMap.make(&corpus).unwrap();
        let examples: Vec<&Example> = made.examples.iter().map(|(_, one)| one).collect();
        assert_eq!(AttackMap.input(examples[0]), "The kettle ran a script (T, T).");
        assert_eq!(examples[2].gold.as_deref(), Some("T1059.001, T1105"));
        let labels: Vec<&str> = made.labels.iter().map(|label| label.name.as_str()).collect();
        assert_eq!(labels, ["T1059.001", NONE]);
        let grade = |at: usize, answer| AttackMap.grade(examples[at], answer, &Hierarchy::default()).unwrap();
        assert!(grade(2, "Ingress (T1105); T1059.001").strict);
        let half = grade(2, "t1105 and T1566");
        assert_eq!((half.strict, half.credit), (false, 0.5));
        assert!(grade(1, "No technique.").strict && grade(1, NONE).strict);
        assert_eq!(grade(0, "hard to say").parsed, None);
    }
}
