//! Questions with four choices, made from the catalogues: names, definitions, mitigations, relations.
//!
//! Each question is held out by itself, by its name (`CWE-79/parent`). Wrong choices are entries of the same catalogue,
//! drawn by seed and name, none of which is right too. The answer is a letter with its choice; gold is the letter.
//! **The grade.** The first letter A to D that stands alone in the answer.

use std::collections::BTreeMap;

use crate::clean::without_references;
use crate::conversation::Conversation;
use crate::corpus::Corpus;
use crate::dataset::{Example, LabelInfo, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::phrasing::{draw, question};
use crate::record::{CapecId, CweId};
use crate::task::{Grade, Made, Subject, Task};
use crate::tasks::mitigation::shorten;

/// How the questions are headed; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    "Answer the question with the letter of the right choice.",
    "Choose A, B, C or D.",
    "Which choice is right? Answer with its letter.",
];
/// The letters of the choices.
const LETTERS: [&str; 4] = ["A", "B", "C", "D"];
/// Longer choices are cut.
const MOST_BYTES: usize = 240;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Qa;

/// A question before its choices are drawn.
struct Question {
    /// `CWE-79/parent`.
    id: String,
    source: &'static str,
    text: String,
    right: String,
    /// What is wrong, in a fixed order.
    wrong: Vec<String>,
}

impl Task for Qa {
    fn name(&self) -> &'static str {
        "qa"
    }

    fn about(&self) -> &'static str {
        "multiple-choice questions about CWE, CAPEC and ATT&CK"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let questions = [weaknesses(corpus), patterns(corpus), techniques(corpus)].concat_all();
        let examples: Vec<_> = questions.into_iter().filter_map(|one| self.example(one, corpus)).collect();
        if examples.is_empty() {
            let what = "a catalogue to ask about".into();
            return Err(Error::Needs { task: self.name(), what, hint: "add the source `cwe`, `capec` or `attack`" });
        }
        let titles: BTreeMap<String, String> = LETTERS.iter().map(|one| ((*one).to_owned(), String::new())).collect();
        Ok(Made::of(examples).with_labels(titles))
    }

    fn answer(&self, label: &LabelInfo) -> String {
        label.name.clone()
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let gold = example.gold.as_deref()?;
        let Some(parsed) = letter(answer) else {
            return Some(Grade::default());
        };
        let strict = parsed == gold;
        Some(Grade { parsed: Some(parsed.to_owned()), strict, credit: f64::from(u8::from(strict)), ..Grade::default() })
    }
}

/// All of several lists in one.
trait ConcatAll<T> {
    fn concat_all(self) -> Vec<T>;
}

impl<T, const N: usize> ConcatAll<T> for [Vec<T>; N] {
    fn concat_all(self) -> Vec<T> {
        self.into_iter().flatten().collect()
    }
}

impl Qa {
    fn example(self, one: Question, corpus: &Corpus<'_>) -> Option<(Split, Example)> {
        let placed = corpus.aspect(&one.id);
        let seed = corpus.settings.seed;
        let mut wrong: Vec<String> = one.wrong.into_iter().filter(|choice| *choice != one.right).collect();
        wrong.sort_by_cached_key(|choice| {
            let drawn = draw(seed, &one.id, choice);
            (drawn * 1e15) as u64
        });
        wrong.dedup();
        wrong.truncate(LETTERS.len() - 1);
        if wrong.len() < LETTERS.len() - 1 || one.right.is_empty() {
            return None;
        }
        let at = (draw(seed, "letter", &one.id) * LETTERS.len() as f64) as usize;
        wrong.insert(at.min(wrong.len()), one.right);
        let gold = LETTERS[at.min(LETTERS.len() - 1)];
        let choices: Vec<String> =
            LETTERS.iter().zip(&wrong).map(|(letter, choice)| format!("{letter}) {choice}")).collect();
        let phrasing = corpus.phrase(PHRASINGS, placed.split, &one.id);
        let asked = question(phrasing, &format!("{}\n{}", one.text, choices.join("\n")));
        let subject = Subject::undated(one.id, placed, one.source);
        Some(subject.example(&self, Conversation::question(asked, gold), Some(gold.to_owned())))
    }
}

/// How many entries of a catalogue are offered as wrong choices; the nearest by number are the most alike.
const NEIGHBOURS: usize = 40;

/// The entries around place `at`, without it.
fn around<T>(all: &[T], at: usize) -> impl Iterator<Item = &T> {
    let from = at.saturating_sub(NEIGHBOURS / 2);
    let to = (from + NEIGHBOURS + 1).min(all.len());
    all[from..to].iter().enumerate().filter(move |(place, _)| from + place != at).map(|(_, one)| one)
}

fn short(text: &str) -> String {
    shorten(&without_references(text), MOST_BYTES)
}

fn weaknesses(corpus: &Corpus<'_>) -> Vec<Question> {
    let all: Vec<_> = corpus.weaknesses().collect();
    let catalogue = &corpus.knowledge.catalogue;
    let named = |id: CweId| catalogue.weakness(id).map_or(id.to_string(), |one| format!("{} ({id})", one.name));
    let mut questions = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let mut ask = |aspect: &str, text: String, right: String, wrong: Vec<String>| {
            questions.push(Question { id: format!("{}/{aspect}", one.id), source: "cwe", text, right, wrong });
        };
        let names = around(&all, at).map(|other| other.name.clone()).collect();
        ask("name", format!("What is {} called?", one.id), one.name.clone(), names);
        let descriptions = around(&all, at).map(|other| short(&other.description)).collect();
        ask("meaning", format!("What is {}?", named(one.id)), short(&one.description), descriptions);
        if let Some(mitigation) = one.mitigations.first() {
            let own: Vec<String> = one.mitigations.iter().map(|one| short(&one.description)).collect();
            let others = around(&all, at).filter_map(|other| other.mitigations.first());
            let others = others.map(|other| short(&other.description)).filter(|other| !own.contains(other)).collect();
            let text = format!("Which of these mitigates {}?", named(one.id));
            ask("first-mitigation", text, short(&mitigation.description), others);
        }
        let parents = catalogue.research().parents.get(&one.id).cloned().unwrap_or_default();
        if let Some(parent) = parents.first() {
            let above = catalogue.ancestors(one.id);
            let others = around(&all, at).map(|other| other.id).filter(|id| !above.contains(id)).map(named).collect();
            ask("parent", format!("Of what is {} a direct kind?", named(one.id)), named(*parent), others);
        }
    }
    questions
}

fn patterns(corpus: &Corpus<'_>) -> Vec<Question> {
    let all: Vec<_> = corpus.patterns().collect();
    let named = |id: CapecId, name: &str| format!("{name} ({id})");
    let mut questions = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let name = named(one.id, &one.name);
        let mut ask = |aspect: &str, text: String, right: String, wrong: Vec<String>| {
            questions.push(Question { id: format!("{}/{aspect}", one.id), source: "capec", text, right, wrong });
        };
        let descriptions = around(&all, at).map(|other| short(&other.description)).collect();
        ask("meaning", format!("What is {name}?"), short(&one.description), descriptions);
        let weakness = one.weaknesses.iter().find_map(|id| corpus.knowledge.catalogue.weakness(*id));
        if let Some(weakness) = weakness {
            let related = around(&all, at).flat_map(|other| &other.weaknesses);
            let related = related.filter(|id| !one.weaknesses.contains(id));
            let others = related.filter_map(|id| corpus.knowledge.catalogue.weakness(*id));
            let others = others.map(|other| format!("{} ({})", other.name, other.id)).collect();
            let right = format!("{} ({})", weakness.name, weakness.id);
            ask("weakness", format!("Which weakness does {name} exploit?"), right, others);
        }
        if let Some(mitigation) = one.mitigations.first() {
            let others = around(&all, at).filter_map(|other| other.mitigations.first()).map(|other| short(other));
            let own: Vec<String> = one.mitigations.iter().map(|one| short(one)).collect();
            let others = others.filter(|other| !own.contains(other)).collect();
            ask("first-mitigation", format!("Which of these mitigates {name}?"), short(mitigation), others);
        }
    }
    questions
}

fn techniques(corpus: &Corpus<'_>) -> Vec<Question> {
    let all: Vec<_> = corpus.techniques().collect();
    let mut tactics: Vec<&String> = all.iter().flat_map(|one| &one.tactics).collect();
    tactics.sort_unstable();
    tactics.dedup();
    let mut questions = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let name = format!("{} ({})", one.name, one.id);
        let mut ask = |aspect: &str, text: String, right: String, wrong: Vec<String>| {
            questions.push(Question { id: format!("{}/{aspect}", one.id), source: "attack", text, right, wrong });
        };
        let descriptions = around(&all, at).map(|other| short(&other.description)).collect();
        ask("meaning", format!("What is {name}?"), short(&one.description), descriptions);
        if let Some(tactic) = one.tactics.first() {
            let others = tactics.iter().filter(|other| !one.tactics.contains(other)).map(|other| (**other).clone());
            ask("tactic", format!("Which tactic does {name} serve?"), tactic.clone(), others.collect());
        }
        if let Some(mitigation) = one.mitigations.first() {
            let own: Vec<&String> = one.mitigations.iter().map(|one| &one.name).collect();
            let others = around(&all, at).filter_map(|other| other.mitigations.first()).map(|other| &other.name);
            let others = others.filter(|other| !own.contains(other)).cloned().collect();
            let text = format!("Which mitigation does ATT&CK name for {name}?");
            ask("first-mitigation", text, mitigation.name.clone(), others);
        }
    }
    questions
}

/// The first letter of a choice that stands alone, such as in `B`, `b)`, `The answer is B.`; not the `A` of a sentence.
fn letter(answer: &str) -> Option<&'static str> {
    let words = || answer.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let known = |word: &str| LETTERS.iter().copied().find(|letter| *letter == word);
    let alone = words().count() == 1;
    let first = words().next()?;
    if alone {
        return known(&first.to_ascii_uppercase());
    }
    let marked = answer.trim_start().chars().nth(1).is_some_and(|c| matches!(c, ')' | '.' | ':'));
    if marked && first.len() == 1 {
        return known(&first.to_ascii_uppercase());
    }
    // `A` may be an article, so it counts only at the end; the others are no words.
    let last = || answer.split(|c: char| !c.is_alphanumeric()).rfind(|word| !word.is_empty());
    words().find_map(|word| known(word).filter(|letter| *letter != "A")).or_else(|| last().and_then(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::small;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;

    fn make(seed: u64) -> Made {
        let knowledge = Knowledge { catalogue: small(), ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Train);
        let settings = Settings { seed, ..Settings::default() };
        Qa.make(&Corpus { knowledge: &knowledge, places: &places, settings: &settings }).unwrap()
    }

    #[test]
    fn the_right_choice_stands_under_the_gold_letter_once() {
        let made = make(1);
        let names: Vec<_> = made.examples.iter().filter(|(_, one)| one.id.ends_with("/name")).collect();
        assert!(names.len() > 3);
        for (_, example) in names {
            let gold = example.gold.as_deref().unwrap();
            let knowledge = small();
            let id: CweId = example.id.split('/').next().unwrap().parse().unwrap();
            let right = &knowledge.weakness(id).unwrap().name;
            let lines: Vec<&str> = Qa.input(example).lines().collect();
            assert_eq!(lines.len(), 5);
            let with: Vec<&&str> = lines.iter().filter(|line| line.ends_with(&format!(") {right}"))).collect();
            assert_eq!(with.len(), 1, "{lines:?}");
            assert!(with[0].starts_with(gold));
        }
    }

    #[test]
    fn every_letter_is_right_somewhere_and_the_seed_decides() {
        let golds = |seed| make(seed).examples.into_iter().map(|(_, one)| one.gold.unwrap()).collect::<Vec<_>>();
        assert_eq!(golds(1), golds(1));
        assert_ne!(golds(1), golds(2));
        assert!(LETTERS.iter().all(|letter| golds(1).iter().any(|gold| gold == letter)));
    }

    #[test]
    fn a_letter_is_found_where_people_write_it() {
        for (answer, want) in [
            ("B", Some("B")),
            ("b", Some("B")),
            ("a) A kettle", Some("A")),
            ("The answer is C.", Some("C")),
            ("A kettle boils, so D", Some("D")),
            ("I choose A", Some("A")),
            ("A kettle", None),
            ("", None),
            ("E", None),
        ] {
            assert_eq!(letter(answer), want, "{answer}");
        }
    }
}
