//! A CVE's description → its CWE, by name and ID.
//!
//! **Which CWE a CVE has.** Sources disagree, so one order decides ([`ranked`]): NVD's primary labels, NVD's others, the
//! CNA's, an ADP's; within one of these as the source lists them. The first that is in the label set is the gold label.
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
use crate::manifest::TaskCounts;
use crate::record::{CweId, Label, Vulnerability, WeaknessRef, ranked};
use crate::split::Placed;
use crate::task::{Grade, Made, Task};

/// What stands before the description in every question.
pub const INSTRUCTION: &str = "Which software weakness is the root cause of the vulnerability described below? \
     Answer with its name and CWE ID, for example: Cross-site Scripting (CWE-79).";

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
            let Some(gold) = one.cwes.iter().find(|cwe| labels.contains_key(cwe)) else {
                *made.counts.left_out.entry("rare_cwe_only".into()).or_default() += 1;
                continue;
            };
            if one.placed.split == Split::Train {
                *train_counts.entry(*gold).or_default() += 1;
            }
            let hides = CweId::find_in(&one.vulnerability.description).is_some();
            made.counts.questions_with_hidden_id += u64::from(hides);
            let title = catalogue.weakness(*gold).map_or("", |weakness| weakness.name.as_str());
            let answer = said(&gold.to_string(), title);
            made.examples.push((one.placed.split, one.example(self.name(), *gold, answer)));
            *made.counts.examples.entry(one.placed.split).or_default() += 1;
        }
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

/// The question about `description`; also what is asked of a model in use.
#[must_use]
pub fn question(description: &str) -> String {
    format!("{INSTRUCTION}\n\n{}", hide_ids(description))
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
    cwes: Vec<CweId>,
}

impl Candidate<'_> {
    fn example(&self, task: &str, gold: CweId, answer: String) -> Example {
        Example {
            id: self.vulnerability.id.to_string(),
            task: task.into(),
            published: self.vulnerability.published.to_string(),
            group: self.placed.group,
            sources: self.vulnerability.sources.clone(),
            weight: 1.0,
            private: false,
            conversation: Conversation::question(question(&self.vulnerability.description), answer),
            gold: Some(gold.to_string()),
        }
    }
}

fn candidates<'a>(corpus: &Corpus<'a>, catalogue: &Catalogue, counts: &mut TaskCounts) -> Vec<Candidate<'a>> {
    let mut found = Vec::new();
    for (vulnerability, placed) in corpus.vulnerabilities() {
        let mut cwes = cwes_in_order(&vulnerability.cwes);
        let named = !cwes.is_empty();
        cwes.retain(|cwe| catalogue.may_label(*cwe));
        if cwes.is_empty() {
            let reason = if named { "no_cwe_that_may_label" } else { "no_cwe" };
            *counts.left_out.entry(reason.into()).or_default() += 1;
        } else {
            found.push(Candidate { vulnerability, placed, cwes });
        }
    }
    found
}

/// The CWE IDs of a CVE, best source first, each once; placeholders are left out.
#[must_use]
pub fn cwes_in_order(labels: &[Label<WeaknessRef>]) -> Vec<CweId> {
    let mut found = Vec::new();
    for cwe in ranked(labels).into_iter().filter_map(|label| label.value.cwe()) {
        if !found.contains(&cwe) {
            found.push(cwe);
        }
    }
    found
}

/// The first CWE of each training record, counted; those with at least `min` are the label set.
fn label_set(candidates: &[Candidate<'_>], min: usize) -> BTreeMap<CweId, usize> {
    let mut counts: BTreeMap<CweId, usize> = BTreeMap::new();
    for one in candidates.iter().filter(|one| one.placed.split == Split::Train) {
        *counts.entry(one.cwes[0]).or_default() += 1;
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
    fn nvds_primary_label_comes_before_the_cnas_and_an_adps() {
        let labels = [
            label("adp:CISA-ADP", false, "CWE-1"),
            label("cna:acme", true, "CWE-2"),
            label("nvd", false, "CWE-3"),
            label("nvd", true, "NVD-CWE-Other"),
            label("nvd", true, "CWE-4"),
            label("cna:acme", true, "CWE-4"),
        ];
        assert_eq!(cwes_in_order(&labels), [CweId(4), CweId(3), CweId(2), CweId(1)]);
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
