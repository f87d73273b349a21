//! A CVE's description → its severity: None, Low, Medium, High or Critical.
//!
//! **Which severity a CVE has.** That of its CVSS vector of version 3.1, else 3.0, else 4.0, by the base score and the
//! specification's bands; of several vectors the first in the order of [`ranked`](crate::record::ranked).
//! **The grade.** Strictly the same band; half credit for the next one.

use std::collections::BTreeMap;

use crate::conversation::Conversation;
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};
use crate::error::Result;
use crate::hierarchy::Hierarchy;
use crate::phrasing::question;
use crate::record::{CvssVector, CvssVersion, Severity, Vulnerability};
use crate::split::Placed;
use crate::task::{Grade, Made, Subject, Task};
use crate::tasks::cwe_classify::hide_ids;

/// How the question is put; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    "How severe is the vulnerability described below? Answer with None, Low, Medium, High or Critical.",
    "Rate the severity of this vulnerability (None, Low, Medium, High, Critical).",
    "Which CVSS severity does the following vulnerability have?",
];

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct SeverityTask;

impl Task for SeverityTask {
    fn name(&self) -> &'static str {
        "severity"
    }

    fn about(&self) -> &'static str {
        "the CVSS severity of a vulnerability from its description"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let (rated, unrated): (Vec<_>, Vec<_>) =
            corpus.vulnerabilities().partition(|(one, _)| preferred(one).is_some());
        let kept = corpus.settings.caps.draw(rated, |(_, placed)| placed.split);
        let examples = kept.into_iter().filter_map(|(one, placed)| self.example(one, placed, corpus)).collect();
        let titles: BTreeMap<String, String> =
            Severity::ALL.iter().map(|one| (one.as_str().to_owned(), String::new())).collect();
        let mut made = Made::of(examples).with_labels(titles);
        unrated.iter().for_each(|_| made.leave_out("no_cvss_vector_of_version_3_or_4"));
        Ok(made)
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let gold: Severity = example.gold.as_deref()?.parse().ok()?;
        let Some(parsed) = band_in(answer) else {
            return Some(Grade::default());
        };
        let place = |band| Severity::ALL.iter().position(|one| *one == band).unwrap_or(0);
        let credit = match place(gold).abs_diff(place(parsed)) {
            0 => 1.0,
            1 => 0.5,
            _ => 0.0,
        };
        Some(Grade { parsed: Some(parsed.as_str().into()), strict: parsed == gold, credit, ..Grade::default() })
    }
}

impl SeverityTask {
    fn example(self, one: &Vulnerability, placed: Placed, corpus: &Corpus<'_>) -> Option<(Split, Example)> {
        let vector = preferred(one)?;
        let band = Severity::of(vector.base_score(), vector.version()).as_str();
        let subject = Subject::vulnerability(one, placed);
        let phrasing = corpus.phrase(PHRASINGS, placed.split, &subject.id);
        let asked = question(phrasing, &hide_ids(&one.description));
        Some(subject.example(&self, Conversation::question(asked, band), Some(band.into())))
    }
}

/// The vector by which a CVE is rated.
#[must_use]
pub fn preferred(one: &Vulnerability) -> Option<&CvssVector> {
    let versions = [CvssVersion::V3_1, CvssVersion::V3_0, CvssVersion::V4_0];
    versions.into_iter().find_map(|version| one.cvss_of(version).first().map(|label| &label.value))
}

/// The first band that an answer names.
fn band_in(answer: &str) -> Option<Severity> {
    answer.split(|c: char| !c.is_alphabetic()).find_map(|word| word.parse().ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::merge::tests::vulnerability;
    use crate::record::Label;

    /// A CVE with these vectors, each said by its source.
    pub(crate) fn rated(id: &str, vectors: &[(&str, &str)]) -> Vulnerability {
        let label = |(source, vector): &(&str, &str)| Label {
            value: vector.parse().unwrap(),
            source: (*source).into(),
            primary: true,
            from_text: false,
        };
        Vulnerability { cvss: vectors.iter().map(label).collect(), ..vulnerability(id, "A kettle boils over.") }
    }

    #[test]
    fn nvds_vector_of_version_3_1_decides() {
        let vectors = [
            ("cna:acme", "CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:N/I:N/A:L"),
            ("nvd", "AV:N/AC:L/Au:N/C:P/I:P/A:P"),
            ("nvd", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"),
        ];
        let unrated = rated("CVE-2020-0002", &[("nvd", "AV:N/AC:L/Au:N/C:P/I:P/A:P")]);
        let vulnerabilities = vec![rated("CVE-2020-0001", &vectors), unrated];
        let knowledge = Knowledge { vulnerabilities, ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Test);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let made = SeverityTask.make(&corpus).unwrap();
        assert_eq!((made.examples.len(), made.labels.len()), (1, 5));
        assert_eq!(made.counts.left_out["no_cvss_vector_of_version_3_or_4"], 1);
        let example = &made.examples[0].1;
        assert_eq!(example.gold.as_deref(), Some("Critical"));
        let grade = |answer| SeverityTask.grade(example, answer, &Hierarchy::default()).unwrap();
        assert!(grade("It is critical.").strict);
        assert_eq!((grade("HIGH").credit, grade("low").credit), (0.5, 0.0));
        assert_eq!(grade("bad").parsed, None);
    }
}
