//! A CVE's description → its CWE, by name and ID.
//!
//! **Which CWE a CVE has.** Sources disagree, so the dataset's policy decides ([`crate::label`]). By default NVD is heard
//! first, then the CNA, then an ADP. The first that is in the label set is the gold label.
//! **The label set.** Weaknesses that may be labels ([`Catalogue::may_label`]: no categories, no `NVD-CWE-*`, nothing
//! deprecated or prohibited) and are the first such CWE of at least N training records.
//! **The question.** An instruction and the description. Some descriptions name their CWE; the number is taken out of
//! the question ([`hide_ids`]), in training and in use alike, so that nothing is learned or measured by copying it.
//! **The answer.** The weakness's name, then its ID: `Cross-site Scripting (CWE-79)`. Words come first because a language
//! model knows what they have to do with the description; of a bare number it knows nothing (LOG.md has the figures).
//! **The grade.** The first CWE ID in the answer; strictly, and by [`Hierarchy::credit`] in view 1000.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::catalogue::Catalogue;
use crate::conversation::Conversation;
use crate::corpus::Corpus;
use crate::dataset::{Example, LabelInfo, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::label::Decided;
use crate::manifest::TaskCounts;
use crate::phrasing::{self, DECLINE, draw};
use crate::record::{CweId, Vulnerability, WeaknessRef};
use crate::split::Placed;
use crate::task::{Grade, Made, Subject, Task};

/// What stands before the description in questions of the test and in use.
pub const INSTRUCTION: &str = "Which software weakness is the root cause of the vulnerability described below? \
     Answer with its name and CWE ID, for example: Cross-site Scripting (CWE-79).";

/// How the question is put; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    INSTRUCTION,
    "Name the weakness behind the following vulnerability, with its CWE ID.",
    "Classify this vulnerability by CWE. Answer with the weakness's name and its ID.",
];

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct CweClassify;

impl Task for CweClassify {
    fn name(&self) -> &'static str {
        "cwe_classify"
    }

    fn about(&self) -> &'static str {
        "the CWE ID of a vulnerability from its description"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let catalogue = &corpus.knowledge.catalogue;
        if catalogue.is_empty() {
            let what = "the CWE catalogue".into();
            return Err(Error::Needs { task: self.name(), what, hint: "add the source `cwe`" });
        }
        let mut counts = TaskCounts::default();
        let candidates = candidates(corpus, catalogue, &mut counts);
        let candidates = corpus.settings.caps.draw(candidates, |one| one.placed.split);
        let labels = label_set(&candidates, corpus.settings.min_train_examples);
        let mut made = Made { counts, ..Made::default() };
        let mut train_counts: BTreeMap<CweId, usize> = BTreeMap::new();
        for one in &candidates {
            let Some(gold) = one.decided.iter().find(|one| labels.contains_key(&one.cwe)) else {
                *made.counts.left_out.entry("rare_cwe_only".into()).or_default() += 1;
                continue;
            };
            if one.placed.split == Split::Train {
                *train_counts.entry(gold.cwe).or_default() += 1;
            }
            let hides = CweId::find_in(&one.vulnerability.description).is_some();
            made.counts.questions_with_hidden_id += u64::from(hides);
            let title = catalogue.weakness(gold.cwe).map_or("", |weakness| weakness.name.as_str());
            let answer = said(&gold.cwe.to_string(), title);
            made.examples.push(one.example(*self, *gold, &answer, corpus));
            *made.counts.examples.entry(one.placed.split).or_default() += 1;
        }
        made.examples.extend(self.declined(corpus));
        made.labels = describe(&train_counts, catalogue);
        made.counts.labels = made.labels.len() as u64;
        Ok(made)
    }

    fn answer(&self, label: &LabelInfo) -> String {
        said(&label.name, &label.title)
    }

    fn grade(&self, example: &Example, answer: &str, hierarchy: &Hierarchy) -> Option<Grade> {
        let gold: CweId = example.gold.as_deref()?.parse().ok()?;
        let Some(parsed) = CweId::find_in(answer) else {
            return Some(Grade::default());
        };
        Some(Grade {
            parsed: Some(parsed.to_string()),
            strict: parsed == gold,
            credit: hierarchy.credit(gold, parsed),
            ..Grade::default()
        })
    }
}

impl CweClassify {
    /// Training CVEs of which every source says that they tell too little; they have no label.
    fn declined(self, corpus: &Corpus<'_>) -> impl Iterator<Item = (Split, Example)> {
        let settings = corpus.settings;
        let silent = corpus.vulnerabilities().filter(move |(one, placed)| {
            placed.split == Split::Train
                && tells_too_little(one)
                && draw(settings.seed, "decline", &one.id.to_string()) < settings.decline_share
        });
        silent.map(move |(one, placed)| {
            let subject = Subject::vulnerability(one, placed);
            let asked = phrasing::question(corpus.phrase(PHRASINGS, placed.split, &subject.id), &one.description);
            subject.example(&self, Conversation::question(asked, DECLINE), None)
        })
    }
}

/// Whether every label of a CVE is the placeholder for a report that says too little.
#[must_use]
pub fn tells_too_little(one: &Vulnerability) -> bool {
    !one.cwes.is_empty() && one.cwes.iter().all(|label| label.value == WeaknessRef::NoInfo)
}

/// The question about `description`; also what is asked of a model in use.
#[must_use]
pub fn question(description: &str) -> String {
    phrasing::question(INSTRUCTION, &hide_ids(description))
}

/// A weakness in an answer: its ID behind its name, or behind the short name that many names have in brackets at their
/// end, as `… During Web Page Generation ('Cross-site Scripting')` does.
fn said(id: &str, title: &str) -> String {
    let short = title.strip_suffix("')").and_then(|rest| rest.rsplit_once("('")).map(|(_, short)| short);
    match short.unwrap_or(title).trim() {
        "" => id.to_owned(),
        name => format!("{name} ({id})"),
    }
}

/// `text` with every CWE ID in it cut down to the letters `CWE`.
#[must_use]
pub fn hide_ids(text: &str) -> Cow<'_, str> {
    let Some((mut span, _)) = CweId::find_span_in(text) else {
        return Cow::Borrowed(text);
    };
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        hidden.push_str(&rest[..span.start]);
        hidden.push_str("CWE");
        rest = &rest[span.end..];
        match CweId::find_span_in(rest) {
            Some((next, _)) => span = next,
            None => break,
        }
    }
    hidden.push_str(rest);
    Cow::Owned(hidden)
}

/// A record with at least one CWE that may be a label.
struct Candidate<'a> {
    vulnerability: &'a Vulnerability,
    placed: Placed,
    /// What may be a label, best source first.
    decided: Vec<Decided>,
}

impl Candidate<'_> {
    fn example(&self, task: CweClassify, gold: Decided, answer: &str, corpus: &Corpus<'_>) -> (Split, Example) {
        let subject = Subject::vulnerability(self.vulnerability, self.placed);
        let phrasing = corpus.phrase(PHRASINGS, self.placed.split, &subject.id);
        let asked = phrasing::question(phrasing, &hide_ids(&self.vulnerability.description));
        let made = subject.example(&task, Conversation::question(asked, answer), Some(gold.cwe.to_string()));
        (made.0, Example { weight: gold.weight, ..made.1 })
    }
}

fn candidates<'a>(corpus: &Corpus<'a>, catalogue: &Catalogue, counts: &mut TaskCounts) -> Vec<Candidate<'a>> {
    let mut found = Vec::new();
    for (vulnerability, placed) in corpus.vulnerabilities() {
        let mut decided = corpus.settings.cwe.decide(&vulnerability.cwes, catalogue);
        let named = !decided.is_empty();
        decided.retain(|one| catalogue.may_label(one.cwe));
        if decided.is_empty() {
            let reason = if named { "no_cwe_that_may_label" } else { "no_cwe" };
            *counts.left_out.entry(reason.into()).or_default() += 1;
        } else {
            found.push(Candidate { vulnerability, placed, decided });
        }
    }
    found
}

/// The first CWE of each training record, counted; those with at least `min` are the label set.
fn label_set(candidates: &[Candidate<'_>], min: usize) -> BTreeMap<CweId, usize> {
    let mut counts: BTreeMap<CweId, usize> = BTreeMap::new();
    for one in candidates.iter().filter(|one| one.placed.split == Split::Train) {
        *counts.entry(one.decided[0].cwe).or_default() += 1;
    }
    counts.retain(|_, count| *count >= min.max(1));
    counts
}

/// The label set in words, most frequent first, then by number.
fn describe(counts: &BTreeMap<CweId, usize>, catalogue: &Catalogue) -> Vec<LabelInfo> {
    let mut ordered: Vec<(CweId, usize)> = counts.iter().map(|(id, count)| (*id, *count)).collect();
    ordered.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
    let info = |(id, train_count): (CweId, usize)| LabelInfo {
        name: id.to_string(),
        title: catalogue.weakness(id).map(|one| one.name.clone()).unwrap_or_default(),
        train_count,
        ancestors: catalogue.ancestors(id).iter().map(CweId::to_string).collect(),
    };
    ordered.into_iter().map(info).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::small;
    use crate::corpus::tests::all_in;
    use crate::corpus::{Places, Settings};
    use crate::knowledge::Knowledge;
    use crate::merge::tests::vulnerability;
    use crate::record::Label;

    fn label(source: &str, primary: bool, value: &str) -> Label<WeaknessRef> {
        Label { value: value.parse().unwrap(), source: source.into(), primary, from_text: false }
    }

    fn with_labels(id: &str, labels: &[Label<WeaknessRef>]) -> Vulnerability {
        Vulnerability { cwes: labels.to_vec(), ..vulnerability(id, "A hole.") }
    }

    fn make(records: &[Vulnerability], splits: &[Split], min_train_examples: usize) -> Made {
        let knowledge = Knowledge { vulnerabilities: records.to_vec(), catalogue: small(), ..Knowledge::default() };
        let mut places = all_in(&knowledge, Split::Train);
        for (place, &split) in places.vulnerabilities.iter_mut().zip(splits) {
            place.as_mut().unwrap().split = split;
        }
        let settings = Settings { min_train_examples, ..Settings::default() };
        CweClassify.make(&Corpus { knowledge: &knowledge, places: &places, settings: &settings }).unwrap()
    }

    #[test]
    fn the_gold_label_is_the_first_cwe_that_is_in_the_label_set() {
        let nvd = |cwe| label("nvd", true, cwe);
        let cna = |cwe| label("cna:acme", true, cwe);
        let records = [
            with_labels("CVE-2020-0001", &[nvd("CWE-79")]),
            with_labels("CVE-2020-0002", &[nvd("CWE-79")]),
            with_labels("CVE-2020-0003", &[nvd("CWE-89"), cna("CWE-79")]),
            with_labels("CVE-2020-0004", &[nvd("CWE-264"), cna("CWE-79")]),
            with_labels("CVE-2020-0005", &[nvd("CWE-89")]),
            with_labels("CVE-2020-0006", &[nvd("CWE-500"), nvd("CWE-501"), nvd("CWE-4242")]),
            with_labels("CVE-2020-0007", &[nvd("NVD-CWE-noinfo")]),
        ];
        let mut splits = [Split::Train; 7];
        splits[4] = Split::Test;
        let made = make(&records, &splits, 2);
        let golds: Vec<_> =
            made.examples.iter().map(|(_, one)| (one.id.as_str(), one.gold.as_deref().unwrap())).collect();
        assert_eq!(
            golds,
            [
                ("CVE-2020-0001", "CWE-79"),
                ("CVE-2020-0002", "CWE-79"),
                ("CVE-2020-0003", "CWE-79"),
                ("CVE-2020-0004", "CWE-79")
            ]
        );
        assert_eq!(made.labels.len(), 1);
        assert_eq!((made.labels[0].name.as_str(), made.labels[0].train_count), ("CWE-79", 4));
        assert_eq!(made.labels[0].ancestors, ["CWE-74", "CWE-707"]);
        assert_eq!(made.counts.left_out["rare_cwe_only"], 1);
        assert_eq!(made.counts.left_out["no_cwe_that_may_label"], 1);
        assert_eq!(made.counts.left_out["no_cwe"], 1);
    }

    #[test]
    fn the_answer_is_taken_out_of_the_question() {
        assert_eq!(
            hide_ids("An XSS [CWE-79] and cwe 89, not CWE or MyCWE-1."),
            "An XSS [CWE] and CWE, not CWE or MyCWE-1."
        );
        assert!(matches!(hide_ids("é plain"), Cow::Borrowed(_)));
        let mut record = with_labels("CVE-2020-0001", &[label("nvd", true, "CWE-79")]);
        record.description = "A hole (CWE-79).".into();
        let made = make(&[record], &[Split::Train], 1);
        assert!(made.examples[0].1.conversation.messages[0].content.ends_with("\n\nA hole (CWE)."));
        assert_eq!(made.counts.questions_with_hidden_id, 1);
    }

    #[test]
    fn only_training_records_make_labels() {
        let records = [
            with_labels("CVE-2020-0001", &[label("nvd", true, "CWE-79")]),
            with_labels("CVE-2024-0002", &[label("nvd", true, "CWE-89")]),
        ];
        let made = make(&records, &[Split::Train, Split::Test], 1);
        assert_eq!(made.examples.len(), 1);
        assert_eq!(made.counts.labels, 1);
    }

    #[test]
    fn without_a_catalogue_there_are_no_labels_to_choose_from() {
        let knowledge = Knowledge::default();
        let corpus = Corpus { knowledge: &knowledge, places: &Places::default(), settings: &Settings::default() };
        let error = CweClassify.make(&corpus).unwrap_err().to_string();
        assert!(error.contains("`cwe_classify` needs the CWE catalogue"), "{error}");
    }

    #[test]
    fn answers_are_graded_strictly_and_by_hierarchy() {
        let made = make(&[with_labels("CVE-2020-0001", &[label("nvd", true, "CWE-79")])], &[Split::Train], 1);
        let example = &made.examples[0].1;
        let grade = |answer: &str| CweClassify.grade(example, answer, small().research()).unwrap();
        assert_eq!(
            grade("CWE-79"),
            Grade { parsed: Some("CWE-79".into()), strict: true, credit: 1.0, ..Grade::default() }
        );
        assert!(grade("It is cwe-79 (XSS), a kind of CWE-74.").strict);
        let sibling = grade("CWE-89");
        assert_eq!((sibling.strict, sibling.credit), (false, 4.0 / 6.0));
        assert_eq!(grade("CWE-200").credit, 0.0);
        assert_eq!(grade("no idea"), Grade::default());
    }

    #[test]
    fn the_question_is_the_instruction_and_the_description_and_the_answer_is_name_and_id() {
        let made = make(&[with_labels("CVE-2020-0001", &[label("nvd", true, "CWE-79")])], &[Split::Train], 1);
        let messages = &made.examples[0].1.conversation.messages;
        assert_eq!(messages[0].content, format!("{INSTRUCTION}\n\nA hole."));
        assert_eq!(CweClassify.input(&made.examples[0].1), "A hole.");
        assert_eq!(messages[1].content, "cross-site scripting (CWE-79)");
        assert_eq!(CweClassify.answer(&made.labels[0]), messages[1].content);
        assert!(CweClassify.grade(&made.examples[0].1, &messages[1].content, small().research()).unwrap().strict);
    }

    #[test]
    fn a_short_name_at_the_end_of_a_long_one_is_what_is_said() {
        let long = "Improper Neutralization of Input During Web Page Generation ('Cross-site Scripting')";
        assert_eq!(said("CWE-79", long), "Cross-site Scripting (CWE-79)");
        assert_eq!(said("CWE-352", "Cross-Site Request Forgery (CSRF)"), "Cross-Site Request Forgery (CSRF) (CWE-352)");
        assert_eq!(said("CWE-1", ""), "CWE-1");
        assert_eq!(said("CWE-1", "('')"), "CWE-1");
    }
}
