//! A CVE's description → CISA's SSVC decision points: exploitation, automatable, technical impact.
//!
//! Specification: CISA's Stakeholder-Specific Vulnerability Categorization as in the CVE list's ADP container.
//! Exploitation is what was known when CISA looked; a description does not always tell it, so the three points are also
//! graded one by one.
//! **The grade.** Strictly all three; `exploitation`, `automatable` and `technical_impact` alone; credit is their mean.

use crate::conversation::Conversation;
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};
use crate::error::Result;
use crate::hierarchy::Hierarchy;
use crate::phrasing::question;
use crate::record::{Ssvc, Vulnerability, ranked};
use crate::split::Placed;
use crate::task::{Grade, Made, Subject, Task};
use crate::tasks::cwe_classify::hide_ids;

/// How the question is put; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    "Assess the vulnerability described below by CISA's SSVC: Exploitation (none, poc, active), Automatable (no, yes), \
     Technical Impact (partial, total).",
    "Give the SSVC decision points of this vulnerability: Exploitation, Automatable, Technical Impact.",
    "Which SSVC values (exploitation, automatable, technical impact) does the following vulnerability have?",
];

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct SsvcTask;

impl Task for SsvcTask {
    fn name(&self) -> &'static str {
        "ssvc"
    }

    fn about(&self) -> &'static str {
        "CISA's SSVC decision points of a vulnerability from its description"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let (assessed, other): (Vec<_>, Vec<_>) = corpus.vulnerabilities().partition(|(one, _)| !one.ssvc.is_empty());
        let kept = corpus.settings.caps.draw(assessed, |(_, placed)| placed.split);
        let examples = kept.into_iter().filter_map(|(one, placed)| self.example(one, placed, corpus)).collect();
        let mut made = Made::of(examples);
        other.iter().for_each(|_| made.leave_out("no_ssvc"));
        Ok(made)
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let gold: Ssvc = example.gold.as_deref()?.parse().ok()?;
        let Ok(found) = answer.trim().trim_end_matches('.').parse::<Ssvc>() else {
            return Some(Grade::default());
        };
        let right = |same: bool| f64::from(u8::from(same));
        let parts = [
            ("exploitation", right(found.exploitation == gold.exploitation)),
            ("automatable", right(found.automatable == gold.automatable)),
            ("technical_impact", right(found.technical_impact == gold.technical_impact)),
        ];
        let credit = parts.iter().map(|(_, value)| value).sum::<f64>() / parts.len() as f64;
        Some(Grade { parsed: Some(found.to_string()), strict: found == gold, credit, parts: parts.into() })
    }
}

impl SsvcTask {
    fn example(self, one: &Vulnerability, placed: Placed, corpus: &Corpus<'_>) -> Option<(Split, Example)> {
        let said = ranked(&one.ssvc).first()?.value.to_string();
        let subject = Subject::vulnerability(one, placed);
        let phrasing = corpus.phrase(PHRASINGS, placed.split, &subject.id);
        let asked = question(phrasing, &hide_ids(&one.description));
        Some(subject.example(&self, Conversation::question(asked, said.as_str()), Some(said)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::merge::tests::vulnerability;
    use crate::record::Label;

    #[test]
    fn points_are_asked_together_and_graded_one_by_one() {
        let value: Ssvc = "Exploitation: poc, Automatable: yes, Technical Impact: total".parse().unwrap();
        let label = Label { value, source: "adp:CISA-ADP".into(), primary: false, from_text: false };
        let one = Vulnerability { ssvc: vec![label], ..vulnerability("CVE-2024-0001", "A kettle boils over.") };
        let vulnerabilities = vec![one, vulnerability("CVE-2024-0002", "Another.")];
        let knowledge = Knowledge { vulnerabilities, ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Test);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let made = SsvcTask.make(&corpus).unwrap();
        assert_eq!((made.examples.len(), made.counts.left_out["no_ssvc"]), (1, 1));
        let example = &made.examples[0].1;
        let grade = |answer: &str| SsvcTask.grade(example, answer, &Hierarchy::default()).unwrap();
        assert!(grade(example.gold.as_deref().unwrap()).strict);
        let near = grade("exploitation: none, automatable: YES, technical impact: total.");
        assert_eq!((near.strict, near.parts["exploitation"], near.parts["automatable"]), (false, 0.0, 1.0));
        assert_eq!(grade("it is bad").parsed, None);
    }
}
