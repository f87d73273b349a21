//! A function → whether it is vulnerable, and to which weakness.
//!
//! Every pair gives two examples: the function before its fix, whose answer is the weakness, and after it, whose answer
//! is that no weakness is known. Both stand in one split, and so do all pairs of one commit.
//! **The grade.** The first CWE ID of the answer, or that there is none; credit by the hierarchy of view 1000.

use std::collections::BTreeMap;

use crate::conversation::Conversation;
use crate::corpus::Corpus;
use crate::dataset::{Example, LabelInfo, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::phrasing::question;
use crate::record::{CodePair, CweId};
use crate::split::Placed;
use crate::task::{Grade, Made, Subject, Task};

/// How the question is put; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    "Is the function below vulnerable? Answer with the weakness and its CWE ID, or say that none is known.",
    "Which weakness (CWE) does this code have, if any?",
    "Review the following function and name its weakness with the CWE ID, or say that you know of none.",
];
/// The gold label of code without a known weakness.
pub const NONE: &str = "none";
/// What is said of it.
const NONE_SAID: &str = "No known weakness.";
/// Longer functions are left out: half a function cannot be judged.
const MOST_BYTES: usize = 12_000;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct VulnerableCode;

impl Task for VulnerableCode {
    fn name(&self) -> &'static str {
        "vulnerable_code"
    }

    fn about(&self) -> &'static str {
        "whether a function is vulnerable, and to what"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        if corpus.knowledge.code.is_empty() {
            let what = "functions before and after a fix".into();
            return Err(Error::Needs { task: self.name(), what, hint: "add the source `sven`" });
        }
        let fits = |pair: &CodePair| pair.vulnerable.len().max(pair.fixed.len()) <= MOST_BYTES;
        let (kept, long): (Vec<_>, Vec<_>) = corpus.code().partition(|(pair, _)| fits(pair));
        let kept = corpus.settings.caps.draw(kept, |(_, placed)| placed.split);
        let examples = kept.into_iter().flat_map(|(pair, placed)| self.examples(pair, placed, corpus)).collect();
        let mut titles: BTreeMap<String, String> =
            corpus.knowledge.code.iter().map(|pair| (pair.cwe.to_string(), title(pair.cwe, corpus))).collect();
        titles.insert(NONE.into(), String::new());
        let mut made = Made::of(examples).with_labels(titles);
        long.iter().for_each(|_| made.leave_out("function_too_long"));
        Ok(made)
    }

    fn answer(&self, label: &LabelInfo) -> String {
        if label.name == NONE { NONE_SAID.into() } else { said(&label.name, &label.title) }
    }

    fn grade(&self, example: &Example, answer: &str, hierarchy: &Hierarchy) -> Option<Grade> {
        let gold = example.gold.as_deref()?;
        let lower = answer.to_ascii_lowercase();
        let parsed = match CweId::find_in(answer) {
            Some(id) => id.to_string(),
            None if lower.contains("no known") || lower.contains("not vulnerable") || lower.trim() == NONE => {
                NONE.into()
            }
            None => return Some(Grade::default()),
        };
        let strict = parsed == gold;
        let near = || Some(hierarchy.credit(gold.parse().ok()?, parsed.parse().ok()?));
        let credit = if strict { 1.0 } else { near().unwrap_or(0.0) };
        Some(Grade { parsed: Some(parsed), strict, credit, ..Grade::default() })
    }
}

impl VulnerableCode {
    fn examples(self, pair: &CodePair, placed: Placed, corpus: &Corpus<'_>) -> [(Split, Example); 2] {
        let vulnerable = said(&pair.cwe.to_string(), &title(pair.cwe, corpus));
        let sides = [
            ("before", &pair.vulnerable, vulnerable, pair.cwe.to_string()),
            ("after", &pair.fixed, NONE_SAID.to_owned(), NONE.to_owned()),
        ];
        sides.map(|(side, code, answer, gold)| {
            let id = format!("{}#{side}", pair.id);
            let phrasing = corpus.phrase(PHRASINGS, placed.split, &id);
            let asked = question(phrasing, &format!("```{}\n{code}\n```", pair.language));
            let subject = Subject::undated(id, placed, pair.source);
            subject.example(&self, Conversation::question(asked, answer), Some(gold))
        })
    }
}

fn title(cwe: CweId, corpus: &Corpus<'_>) -> String {
    corpus.knowledge.catalogue.weakness(cwe).map(|one| one.name.clone()).unwrap_or_default()
}

fn said(id: &str, title: &str) -> String {
    if title.is_empty() { id.to_owned() } else { format!("{title} ({id})") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::small;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;

    #[test]
    fn both_sides_of_a_fix_are_asked_about_in_one_split() {
        let pair = CodePair {
            id: "pour".into(),
            language: "c".into(),
            cwe: CweId(79),
            function: "pour".into(),
            origin: "acme/kettle@1".into(),
            vulnerable: "void pour() {}".into(),
            fixed: "void pour() { check(); }".into(),
            source: "sven",
        };
        let long = CodePair { id: "long".into(), fixed: "x".repeat(MOST_BYTES + 1), ..pair.clone() };
        let knowledge = Knowledge { code: vec![pair, long], catalogue: small(), ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Train);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let made = VulnerableCode.make(&corpus).unwrap();
        let ids: Vec<&str> = made.examples.iter().map(|(_, one)| one.id.as_str()).collect();
        assert_eq!((ids, made.counts.left_out["function_too_long"]), (vec!["pour#before", "pour#after"], 1));
        assert_eq!(VulnerableCode.input(&made.examples[0].1), "```c\nvoid pour() {}\n```");
        let labels: Vec<(&str, usize)> = made.labels.iter().map(|one| (one.name.as_str(), one.train_count)).collect();
        assert_eq!(labels, [("CWE-79", 1), (NONE, 1)]);
        let grade =
            |at: usize, answer: &str| VulnerableCode.grade(&made.examples[at].1, answer, small().research()).unwrap();
        assert!(grade(0, &VulnerableCode.answer(&made.labels[0])).strict);
        assert!(grade(1, NONE_SAID).strict && grade(1, "It is not vulnerable.").strict);
        assert_eq!(grade(0, NONE_SAID).credit, 0.0);
        assert!(grade(0, "CWE-89").credit > 0.0 && grade(0, "who knows").parsed.is_none());
    }
}
