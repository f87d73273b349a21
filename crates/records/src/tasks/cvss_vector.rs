//! A CVE's description → its CVSS vector, of version 3.1 or 4.0 as the question says.
//!
//! **Which vector a CVE has.** The first in the order of [`ranked`](crate::record::ranked), its base metrics alone.
//! A CVE with vectors of both versions gives two examples, `CVE-…#3.1` and `CVE-…#4.0`.
//! **The grade.** Metric by metric (`AV`, `AC`, …: 1 where right) and as a whole (strict); `score_error` is the distance
//! of the two base scores by the official formula, `band` whether they fall into the same severity. Partial credit is
//! the share of metrics that are right.

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

/// How a vector of version 3.1 is asked for; the first is what is asked in use.
pub const PHRASINGS_3_1: &[&str] = &[
    "What is the CVSS 3.1 vector of the vulnerability described below? Answer with the vector of its base metrics.",
    "Give the CVSS v3.1 base vector for this vulnerability.",
    "Score the following vulnerability: CVSS 3.1, base metrics only, as a vector.",
];
/// As [`PHRASINGS_3_1`], for version 4.0.
pub const PHRASINGS_4_0: &[&str] = &[
    "What is the CVSS 4.0 vector of the vulnerability described below? Answer with the vector of its base metrics.",
    "Give the CVSS v4.0 base vector for this vulnerability.",
    "Score the following vulnerability: CVSS 4.0, base metrics only, as a vector.",
];
/// The versions that are asked for, each with the end of its examples' IDs.
const VERSIONS: [(CvssVersion, &str, &[&str]); 2] =
    [(CvssVersion::V3_1, "3.1", PHRASINGS_3_1), (CvssVersion::V4_0, "4.0", PHRASINGS_4_0)];

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct CvssVectorTask;

impl Task for CvssVectorTask {
    fn name(&self) -> &'static str {
        "cvss_vector"
    }

    fn about(&self) -> &'static str {
        "the CVSS base vector (3.1 or 4.0) of a vulnerability from its description"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let mut made = Made::default();
        let mut examples = Vec::new();
        for (one, placed) in corpus.vulnerabilities() {
            let before = examples.len();
            examples.extend(VERSIONS.iter().filter_map(|version| self.example(one, placed, *version, corpus)));
            if examples.len() == before {
                made.leave_out("no_cvss_vector_of_version_3.1_or_4.0");
            }
        }
        let left_out = made.counts.left_out;
        let mut made = Made::of(corpus.settings.caps.draw(examples, |(split, _)| *split));
        made.counts.left_out = left_out;
        Ok(made)
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let gold: CvssVector = example.gold.as_deref()?.parse().ok()?;
        let Some(found) = vector_in(answer, gold.version()) else {
            return Some(Grade::default());
        };
        let mut parts: BTreeMap<&'static str, f64> = gold
            .base_metrics()
            .map(|(name, value)| (name, f64::from(u8::from(found.value(name) == Some(value)))))
            .collect();
        let credit = parts.values().sum::<f64>() / parts.len() as f64;
        let (right, said) = (gold.base_score(), found.base_score());
        let band = |score| Severity::of(score, gold.version());
        parts.insert("score_error", (right.to_f64() - said.to_f64()).abs());
        parts.insert("band", f64::from(u8::from(band(right) == band(said))));
        Some(Grade { parsed: Some(found.to_string()), strict: found == gold, credit, parts })
    }
}

impl CvssVectorTask {
    fn example(
        self,
        one: &Vulnerability,
        placed: Placed,
        (version, end, phrasings): (CvssVersion, &str, &[&'static str]),
        corpus: &Corpus<'_>,
    ) -> Option<(Split, Example)> {
        let gold = base_of(&one.cvss_of(version).first()?.value)?.to_string();
        let subject = Subject { id: format!("{}#{end}", one.id), ..Subject::vulnerability(one, placed) };
        let phrasing = corpus.phrase(phrasings, placed.split, &subject.id);
        let asked = question(phrasing, &hide_ids(&one.description));
        Some(subject.example(&self, Conversation::question(asked, gold.as_str()), Some(gold)))
    }
}

/// The base metrics alone, in the specification's order.
fn base_of(vector: &CvssVector) -> Option<CvssVector> {
    let metrics: Vec<(&str, &str)> = vector.base_metrics().collect();
    CvssVector::from_metrics(vector.version(), metrics).ok()
}

/// The first valid vector of `version` in an answer, which may lack the prefix; its base metrics.
fn vector_in(answer: &str, version: CvssVersion) -> Option<CvssVector> {
    let words =
        || answer.split(|c: char| c.is_whitespace() || "`\"'()[],;".contains(c)).map(|word| word.trim_end_matches('.'));
    let stated = words().filter_map(|word| word.parse::<CvssVector>().ok()).find(|vector| vector.version() == version);
    let prefix = if version == CvssVersion::V4_0 { "CVSS:4.0/" } else { "CVSS:3.1/" };
    let bare = || words().find_map(|word| format!("{prefix}{word}").parse::<CvssVector>().ok());
    base_of(&stated.or_else(bare)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::tasks::severity::tests::rated;

    const V3: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
    const V4: &str = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";

    fn examples() -> Vec<Example> {
        let vulnerabilities = vec![
            rated("CVE-2020-0001", &[("nvd", &format!("{V3}/E:P")), ("cna:acme", V4)]),
            rated("CVE-2020-0002", &[("nvd", "AV:N/AC:L/Au:N/C:P/I:P/A:P")]),
        ];
        let knowledge = Knowledge { vulnerabilities, ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Test);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let made = CvssVectorTask.make(&corpus).unwrap();
        assert_eq!(made.counts.left_out.values().sum::<u64>(), 1);
        made.examples.into_iter().map(|(_, one)| one).collect()
    }

    #[test]
    fn each_version_is_an_example_of_base_metrics() {
        let found = examples();
        let golds: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.gold.as_deref().unwrap())).collect();
        assert_eq!(golds, [("CVE-2020-0001#3.1", V3), ("CVE-2020-0001#4.0", V4)]);
        assert!(found[1].conversation.messages[0].content.contains("CVSS 4.0"));
    }

    #[test]
    fn answers_are_graded_metric_by_metric_and_by_the_official_score() {
        let examples = examples();
        let grade =
            |at: usize, answer: &str| CvssVectorTask.grade(&examples[at], answer, &Hierarchy::default()).unwrap();
        assert!(grade(0, V3).strict && grade(1, V4).strict);
        assert!(grade(0, "The vector is `AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H`.").strict);
        let near = grade(0, "CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H");
        assert_eq!((near.strict, near.credit, near.parts["PR"], near.parts["AV"]), (false, 7.0 / 8.0, 0.0, 1.0));
        assert!((near.parts["score_error"] - 1.0).abs() < 1e-9, "9.8 against 8.8: {near:?}");
        assert_eq!(near.parts["band"], 0.0);
        assert_eq!(grade(0, V4).parsed, None, "another version was asked for");
        assert_eq!(grade(0, "9.8").parsed, None);
    }
}
