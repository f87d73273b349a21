//! An advisory → one paragraph and its key facts.
//!
//! **What is asked about.** Advisories whose authors wrote a summary of their own: that is the paragraph. The facts are
//! those of the advisory's fields: products, CVE IDs, weaknesses, what to do. The summary is taken out of the text.
//! **The grade.** The F1 of words shared with the reference; `facts` tells which share of the named CVE IDs is in the
//! answer, where there are any.

use crate::clean::one_line;
use crate::conversation::{Conversation, Role};
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::overlap::overlap;
use crate::phrasing::question;
use crate::record::{Document, DocumentKind};
use crate::split::Placed;
use crate::task::{Grade, Made, Subject, Task};
use crate::tasks::mitigation::shorten;

/// How the question is put; the first is what is asked in use.
pub const PHRASINGS: &[&str] = &[
    "Summarise the advisory below in one paragraph, then list the key facts: products, CVE IDs, weaknesses, remedy.",
    "Give a one-paragraph summary and the key facts of this advisory.",
    "What does the following advisory say? One paragraph, then products, CVE IDs, weaknesses and remedy.",
];
/// The text of an advisory is cut here: about 1,500 tokens, what small models read.
const MOST_TEXT_BYTES: usize = 6000;
/// Summaries shorter than this say nothing, longer ones are cut at a sentence.
const SUMMARY_BYTES: std::ops::Range<usize> = 60..1200;
/// Names that a fact lists at most.
const MOST_NAMES: usize = 8;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Summarise;

impl Task for Summarise {
    fn name(&self) -> &'static str {
        "summarise"
    }

    fn about(&self) -> &'static str {
        "one paragraph and the key facts of an advisory"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let advisories: Vec<_> = corpus.documents().filter(|(one, _)| one.kind == DocumentKind::Advisory).collect();
        if advisories.is_empty() {
            let what = "advisories".into();
            return Err(Error::Needs { task: self.name(), what, hint: "add the source `csaf`, `certcc` or `osv`" });
        }
        let (told, silent): (Vec<_>, Vec<_>) = advisories.into_iter().partition(|(one, _)| body(one).is_some());
        let kept = corpus.settings.caps.draw(told, |(_, placed)| placed.split);
        let examples = kept.into_iter().filter_map(|(one, placed)| self.example(one, placed, corpus)).collect();
        let mut made = Made::of(examples);
        silent.iter().for_each(|_| made.leave_out("no_summary_of_its_own"));
        Ok(made)
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let reference = example.conversation.text_of(Role::Assistant)?;
        let answer = answer.trim();
        let mut parts: std::collections::BTreeMap<&'static str, f64> = Default::default();
        let named: Vec<&str> = reference.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
        let cves: Vec<&&str> = named.iter().filter(|word| word.parse::<crate::record::CveId>().is_ok()).collect();
        if !cves.is_empty() {
            let found = cves.iter().filter(|id| answer.contains(***id)).count();
            parts.insert("facts", found as f64 / cves.len() as f64);
        }
        Some(Grade {
            parsed: (!answer.is_empty()).then(|| answer.to_owned()),
            strict: answer == reference,
            credit: overlap(answer, reference).f1(),
            parts,
        })
    }
}

impl Summarise {
    fn example(self, one: &Document, placed: Placed, corpus: &Corpus<'_>) -> Option<(Split, Example)> {
        let (summary, text) = body(one)?;
        let phrasing = corpus.phrase(PHRASINGS, placed.split, &one.id);
        let asked = question(phrasing, &format!("{}\n{text}", one_line(&one.title)));
        let subject = Subject {
            id: one.id.clone(),
            published: one.published.map(|date| date.to_string()).unwrap_or_default(),
            placed,
            sources: vec![one.source.to_owned()],
        };
        let answer = format!("{summary}\n{}", facts(one));
        Some(subject.example(&self, Conversation::question(asked, answer.trim_end()), None))
    }
}

/// The summary, and the text without it; `None` where there is no summary or nothing else.
fn body(one: &Document) -> Option<(String, String)> {
    let summary = one_line(&one.summary);
    if summary.len() < SUMMARY_BYTES.start {
        return None;
    }
    // Paragraph by paragraph, as line breaks may differ between the field and the text.
    let paragraphs = one.text.split("\n\n").map(one_line);
    let rest: Vec<String> =
        paragraphs.filter(|paragraph| !paragraph.is_empty() && !summary.contains(paragraph.as_str())).collect();
    let text = rest.join("\n").replace(&summary, "");
    let text = shorten(text.trim(), MOST_TEXT_BYTES);
    let enough = text.len() >= summary.len();
    enough.then(|| (shorten(&summary, SUMMARY_BYTES.end), text))
}

fn facts(one: &Document) -> String {
    let products = one.products.iter().map(|product| format!("{} {}", product.vendor, product.product));
    let products: Vec<String> = products.map(|name| name.trim().to_owned()).take(MOST_NAMES).collect();
    let cves: Vec<String> = one.cves.iter().map(ToString::to_string).take(MOST_NAMES).collect();
    let cwes: Vec<String> = one.cwes.iter().map(ToString::to_string).take(MOST_NAMES).collect();
    let remedy = shorten(&one_line(&one.remedy), 300);
    let facts = [
        ("Products", products.join(", ")),
        ("CVE", cves.join(", ")),
        ("Weaknesses", cwes.join(", ")),
        ("Remedy", remedy),
    ];
    let told = facts.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| format!("- {name}: {value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::record::Product;

    const SUMMARY: &str = "Kettles of Acme let anybody on the network pour boiling water over the whole table.";

    fn advisory(summary: &str) -> Document {
        Document {
            id: "ACME-1".into(),
            kind: DocumentKind::Advisory,
            title: "Kettle pours".into(),
            summary: summary.into(),
            text: format!(
                "{SUMMARY}\n\nThe lid is not checked before pouring, and the spout points anywhere it likes, which has wet many tables."
            ),
            remedy: "Update to 2.0.".into(),
            published: "2024-02-03".parse().ok(),
            cves: vec!["CVE-2024-0001".parse().unwrap()],
            cwes: Vec::new(),
            techniques: Vec::new(),
            products: vec![Product { vendor: "Acme".into(), product: "Kettle".into() }],
            source: "csaf",
        }
    }

    #[test]
    fn the_authors_summary_is_the_answer_and_not_in_the_question() {
        let knowledge = Knowledge { documents: vec![advisory(SUMMARY), advisory("")], ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Test);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let made = Summarise.make(&corpus).unwrap();
        assert_eq!((made.examples.len(), made.counts.left_out["no_summary_of_its_own"]), (1, 1));
        let example = &made.examples[0].1;
        assert!(!Summarise.input(example).contains("anybody on the network"), "{}", Summarise.input(example));
        let answer = example.conversation.text_of(Role::Assistant).unwrap();
        assert_eq!(
            answer,
            format!("{SUMMARY}\n- Products: Acme Kettle\n- CVE: CVE-2024-0001\n- Remedy: Update to 2.0.")
        );
        let grade = |answer| Summarise.grade(example, answer, &Hierarchy::default()).unwrap();
        assert!(grade(answer).strict && grade(answer).parts["facts"] == 1.0);
        assert_eq!(grade("It pours.").parts["facts"], 0.0);
    }
}
