//! A CVE or a weakness → what can be done about it, in the words of the CWE catalogue.
//!
//! **The answer** is grounded: the mitigations of the catalogue's entry for the CVE's weakness, each with its phase,
//! behind the name of the weakness. Nothing is said that the catalogue does not say.
//! **How many.** CVEs of one weakness have one and the same answer, so at most [`MOST_PER_WEAKNESS`] of them teach it.
//! **The grade.** The F1 of words shared with the grounded answer; its precision is told as `grounded`, its recall as
//! `covered`. It is strict only where the answer is the reference word by word.

use std::collections::HashMap;

use crate::clean::without_references;
use crate::conversation::{Conversation, Role};
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::overlap::overlap;
use crate::phrasing::{DECLINE, draw, question};
use crate::record::{CweId, Vulnerability, Weakness};
use crate::split::Placed;
use crate::task::{Grade, Made, Subject, Task};
use crate::tasks::cwe_classify::{hide_ids, tells_too_little};

/// How a CVE is asked about; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    "What can be done about the vulnerability described below? Name its weakness and the mitigations for it.",
    "How should developers and operators mitigate this vulnerability?",
    "Give mitigation advice for the following vulnerability, by phase.",
];
/// How a weakness is asked about.
const WEAKNESS_PHRASINGS: &[&str] = &[
    "How can the weakness below be prevented or mitigated?",
    "Give the mitigations for this weakness, by phase.",
    "What should be done against the following weakness?",
];
/// Training examples that one weakness may have.
pub const MOST_PER_WEAKNESS: usize = 200;
/// Mitigations in an answer; the catalogue lists the most specific ones first.
const MOST_MITIGATIONS: usize = 4;
/// Longer mitigations end with their last whole sentence within this many bytes.
const MOST_BYTES: usize = 400;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Mitigation;

impl Task for Mitigation {
    fn name(&self) -> &'static str {
        "mitigation"
    }

    fn about(&self) -> &'static str {
        "what can be done about a vulnerability or a weakness, grounded in the CWE catalogue"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        if corpus.knowledge.catalogue.is_empty() {
            let what = "the CWE catalogue".into();
            return Err(Error::Needs { task: self.name(), what, hint: "add the source `cwe`" });
        }
        let answers: HashMap<CweId, String> =
            corpus.weaknesses().filter_map(|one| Some((one.id, grounded(one)?))).collect();
        let mut examples: Vec<(Split, Example)> =
            corpus.weaknesses().filter_map(|one| self.of_weakness(one, answers.get(&one.id)?, corpus)).collect();
        let kept = self.limited(corpus, &answers);
        let lost = corpus.vulnerabilities().count() - kept.len();
        let kept = corpus.settings.caps.draw(kept, |(_, placed, _)| placed.split);
        examples.extend(kept.into_iter().map(|(one, placed, cwe)| self.of_cve(one, placed, &answers[&cwe], corpus)));
        examples.extend(self.declined(corpus));
        let mut made = Made::of(examples);
        made.counts.left_out.insert("no_mitigation_or_enough_of_its_weakness".into(), lost as u64);
        Ok(made)
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let reference = example.conversation.text_of(Role::Assistant)?;
        let answer = answer.trim();
        let shared = overlap(answer, reference);
        Some(Grade {
            parsed: (!answer.is_empty()).then(|| answer.to_owned()),
            strict: answer == reference,
            credit: shared.f1(),
            parts: [("grounded", shared.precision), ("covered", shared.recall)].into(),
        })
    }
}

impl Mitigation {
    /// CVEs with an answer, at most so many of each weakness in training.
    fn limited<'a>(
        self,
        corpus: &Corpus<'a>,
        answers: &HashMap<CweId, String>,
    ) -> Vec<(&'a Vulnerability, Placed, CweId)> {
        let mut counts: HashMap<CweId, usize> = HashMap::new();
        let mut with_answer = Vec::new();
        for (one, placed) in corpus.vulnerabilities() {
            let decided = corpus.settings.cwe.decide(&one.cwes, &corpus.knowledge.catalogue);
            let cwe = decided.into_iter().map(|one| one.cwe).find(|cwe| answers.contains_key(cwe));
            if let Some(cwe) = cwe {
                *counts.entry(cwe).or_default() += usize::from(placed.split == Split::Train);
                with_answer.push((one, placed, cwe));
            }
        }
        let seed = corpus.settings.seed;
        with_answer.retain(|(one, placed, cwe)| {
            let share = MOST_PER_WEAKNESS as f64 / counts[cwe].max(1) as f64;
            placed.split != Split::Train || draw(seed, self.name(), &one.id.to_string()) < share
        });
        with_answer
    }

    fn of_cve(self, one: &Vulnerability, placed: Placed, answer: &str, corpus: &Corpus<'_>) -> (Split, Example) {
        let subject = Subject::vulnerability(one, placed);
        let phrasing = corpus.phrase(PHRASINGS, placed.split, &subject.id);
        let asked = question(phrasing, &hide_ids(&one.description));
        subject.example(&self, Conversation::question(asked, answer), None)
    }

    fn of_weakness(self, one: &Weakness, answer: &str, corpus: &Corpus<'_>) -> Option<(Split, Example)> {
        let id = format!("{}/mitigations", one.id);
        let placed = corpus.aspect(&id);
        let phrasing = corpus.phrase(WEAKNESS_PHRASINGS, placed.split, &id);
        let asked = question(phrasing, &format!("{} ({})", one.name, one.id));
        Some(Subject::undated(id, placed, "cwe").example(&self, Conversation::question(asked, answer), None))
    }

    /// Training CVEs of which a source says that they tell too little.
    fn declined(self, corpus: &Corpus<'_>) -> Vec<(Split, Example)> {
        let settings = corpus.settings;
        let telling = corpus.vulnerabilities().filter(|(one, placed)| {
            placed.split == Split::Train
                && tells_too_little(one)
                && draw(settings.seed, "decline", &one.id.to_string()) < settings.decline_share
        });
        telling.map(|(one, placed)| self.of_cve(one, placed, DECLINE, corpus)).collect()
    }
}

/// The answer about a weakness; `None` where the catalogue has no mitigation for it.
#[must_use]
pub fn grounded(weakness: &Weakness) -> Option<String> {
    let said = weakness.mitigations.iter().filter_map(|one| {
        let text = shorten(&without_references(&one.description), MOST_BYTES);
        let phases = one.phases.join(", ");
        (!text.is_empty()).then(|| if phases.is_empty() { format!("- {text}") } else { format!("- {phases}: {text}") })
    });
    let lines: Vec<String> = said.take(MOST_MITIGATIONS).collect();
    (!lines.is_empty()).then(|| format!("{} ({})\n{}", weakness.name, weakness.id, lines.join("\n")))
}

/// `text`, or its first whole sentences within `most` bytes, or its first words where even one sentence is longer.
#[must_use]
pub fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(most)];
    let sentence = head.rfind(". ").map(|at| at + 1);
    let end = sentence.or_else(|| head.rfind(' ')).unwrap_or(head.len());
    let cut = head[..end].trim_end();
    if sentence.is_some() { cut.to_owned() } else { format!("{cut} …") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::catalogue::tests::weakness;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::merge::tests::vulnerability;
    use crate::record::{Label, Record};

    fn knowledge(cves: usize, label: &str) -> Knowledge {
        let mut entry = weakness(79, "cross-site scripting", &[]);
        entry.mitigations = vec![crate::record::Mitigation {
            phases: vec!["Implementation".into()],
            strategy: String::new(),
            description: "Encode\n the output.".into(),
        }];
        let labelled = |at: usize| {
            let label = Label { value: label.parse().unwrap(), source: "nvd".into(), primary: true, from_text: false };
            let id = format!("CVE-2020-{:04}", at + 1);
            Vulnerability { cwes: vec![label], ..vulnerability(&id, "A script (CWE-79) runs.") }
        };
        Knowledge {
            vulnerabilities: (0..cves).map(labelled).collect(),
            catalogue: Catalogue::from_records([Record::Weakness(Box::new(entry))]),
            ..Knowledge::default()
        }
    }

    fn make(knowledge: &Knowledge, split: Split, decline_share: f64) -> Made {
        let places = all_in(knowledge, split);
        let settings = Settings { decline_share, ..Settings::default() };
        Mitigation.make(&Corpus { knowledge, places: &places, settings: &settings }).unwrap()
    }

    const ANSWER: &str = "cross-site scripting (CWE-79)\n- Implementation: Encode the output.";

    #[test]
    fn the_answer_is_the_catalogues_and_the_question_names_no_weakness() {
        let made = make(&knowledge(1, "CWE-79"), Split::Test, 0.0);
        let cve = &made.examples[1].1;
        assert_eq!(cve.conversation.text_of(Role::Assistant), Some(ANSWER));
        assert_eq!(Mitigation.input(cve), "A script (CWE) runs.");
        assert!(cve.conversation.messages[0].content.starts_with(PHRASINGS[0]));
        let grade = |answer| Mitigation.grade(cve, answer, &Hierarchy::default()).unwrap();
        assert!(grade(ANSWER).strict && grade(ANSWER).credit == 1.0);
        let part = grade("Encode the output.");
        assert!(!part.strict && part.parts["grounded"] == 1.0 && part.parts["covered"] < 0.5);
        assert_eq!(grade("  ").parsed, None);
    }

    #[test]
    fn one_answer_is_taught_a_limited_number_of_times_and_tested_without_limit() {
        let many = knowledge(2000, "CWE-79");
        let taught = make(&many, Split::Train, 0.0).examples.len();
        assert!((150..260).contains(&taught), "{taught}");
        assert_eq!(make(&many, Split::Test, 0.0).examples.len(), 2001);
    }

    #[test]
    fn a_share_of_reports_that_say_too_little_teaches_to_decline() {
        let silent = knowledge(1000, "NVD-CWE-noinfo");
        let made = make(&silent, Split::Train, 0.2);
        let declined =
            made.examples.iter().filter(|(_, one)| one.conversation.text_of(Role::Assistant) == Some(DECLINE));
        let declined = declined.count();
        assert!((150..250).contains(&declined), "{declined}");
        assert_eq!(make(&silent, Split::Test, 0.2).examples.len(), 1, "the weakness itself");
    }

    #[test]
    fn texts_are_cut_at_the_end_of_a_sentence() {
        assert_eq!(shorten("One. Two two.", 20), "One. Two two.");
        assert_eq!(shorten("One one. Two two.", 12), "One one.");
        assert_eq!(shorten("Unending words here", 12), "Unending …");
        assert_eq!(shorten("ééééé", 3), "é …");
    }
}
