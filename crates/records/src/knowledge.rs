//! All that the sources say, joined and in order: what tasks make examples of.
//!
//! [`Gathering`] takes records one after the other, in a fixed order, and [`Gathering::finish`] sorts them out.
//! CVEs are joined by [`crate::merge`], and sentences of one ID to one with all techniques; of everything else the last
//! record of one ID counts.

use std::collections::BTreeMap;

use crate::catalogue::Catalogue;
use crate::manifest::MergeCounts;
use crate::merge::Merger;
use crate::record::{
    AttackPattern, CapecId, CodePair, CveId, Document, EpssScore, Exploited, LabelledSentence, Record, Technique,
    TechniqueId, Vulnerability,
};

/// Everything that was read.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    /// One record a CVE, sorted by ID.
    pub vulnerabilities: Vec<Vulnerability>,
    /// The CWE catalogue; empty where none was read.
    pub catalogue: Catalogue,
    /// What is known to be exploited.
    pub exploited: BTreeMap<CveId, Exploited>,
    /// Exploit prediction scores.
    pub epss: BTreeMap<CveId, EpssScore>,
    /// The attack patterns of CAPEC.
    pub patterns: BTreeMap<CapecId, AttackPattern>,
    /// The techniques of ATT&CK, retired ones too.
    pub techniques: BTreeMap<TechniqueId, Technique>,
    /// Sentences with techniques, sorted by source and ID.
    pub sentences: Vec<LabelledSentence>,
    /// Texts about security, sorted by source and ID.
    pub documents: Vec<Document>,
    /// Functions before and after a fix, sorted by source and ID.
    pub code: Vec<CodePair>,
}

impl Knowledge {
    /// The CVE of this ID.
    #[must_use]
    pub fn vulnerability(&self, id: CveId) -> Option<&Vulnerability> {
        let at = self.vulnerabilities.binary_search_by_key(&id, |one| one.id).ok()?;
        Some(&self.vulnerabilities[at])
    }
}

/// Takes records and joins them in the end.
#[derive(Debug, Default)]
pub struct Gathering {
    merger: Merger,
    catalogue: Vec<Record>,
    knowledge: Knowledge,
}

impl Gathering {
    /// A gathering to which the sources called `private` are private.
    #[must_use]
    pub fn new(private: &[String]) -> Self {
        Self { merger: Merger::new(private), ..Self::default() }
    }

    /// Takes one record.
    pub fn add(&mut self, record: Record) {
        let Some(record) = self.merger.add(record) else {
            return;
        };
        let known = &mut self.knowledge;
        match record {
            Record::Exploited(one) => drop(known.exploited.insert(one.id, *one)),
            Record::Epss(one) => drop(known.epss.insert(one.id, one)),
            Record::Pattern(one) => drop(known.patterns.insert(one.id, *one)),
            Record::Technique(one) => self.technique(*one),
            Record::Sentence(one) => known.sentences.push(*one),
            Record::Document(one) => known.documents.push(*one),
            Record::Code(one) => known.code.push(*one),
            other => self.catalogue.push(other),
        }
    }

    /// A technique that stands in several matrices is kept as the first live one tells it.
    fn technique(&mut self, new: Technique) {
        let known = self.knowledge.techniques.entry(new.id.clone());
        known
            .and_modify(|old| {
                if old.is_retired {
                    *old = new.clone()
                }
            })
            .or_insert(new);
    }

    /// All of it, in order.
    #[must_use]
    pub fn finish(self) -> (Knowledge, MergeCounts) {
        let mut knowledge = self.knowledge;
        let (vulnerabilities, counts) = self.merger.finish();
        knowledge.vulnerabilities = vulnerabilities;
        knowledge.catalogue = Catalogue::from_records(self.catalogue);
        join_sentences(&mut knowledge.sentences);
        last_of_each(&mut knowledge.documents, |one| (one.source, one.id.clone()));
        last_of_each(&mut knowledge.code, |one| (one.source, one.id.clone()));
        (knowledge, counts)
    }
}

/// Sorts by source and ID, and joins those that share both: one sentence, all its techniques, the last document named.
fn join_sentences(sentences: &mut Vec<LabelledSentence>) {
    sentences.sort_by(|left, right| (left.source, &left.id).cmp(&(right.source, &right.id)));
    sentences.dedup_by(|later, kept| {
        let same = (later.source, &later.id) == (kept.source, &kept.id);
        if same {
            kept.techniques.append(&mut later.techniques);
            kept.techniques.sort_unstable();
            kept.techniques.dedup();
            kept.published = later.published.or(kept.published);
            if !later.document.is_empty() {
                kept.document = std::mem::take(&mut later.document);
            }
        }
        same
    });
}

/// Sorts by `key` and keeps the last of those that share one.
fn last_of_each<T>(items: &mut Vec<T>, key: impl Fn(&T) -> (&'static str, String)) {
    items.reverse();
    items.sort_by_cached_key(&key);
    items.dedup_by(|later, kept| key(later) == key(kept));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DocumentKind, Domain};

    fn document(id: &str, text: &str) -> Record {
        Record::Document(Box::new(Document {
            id: id.into(),
            kind: DocumentKind::Report,
            title: String::new(),
            summary: String::new(),
            text: text.into(),
            remedy: String::new(),
            published: None,
            cves: Vec::new(),
            cwes: Vec::new(),
            techniques: Vec::new(),
            products: Vec::new(),
            source: "documents",
        }))
    }

    #[test]
    fn of_two_documents_with_one_id_the_last_counts_and_all_are_sorted() {
        let mut gathering = Gathering::default();
        [document("b", "1"), document("a", "2"), document("b", "3")].into_iter().for_each(|one| gathering.add(one));
        let (knowledge, _) = gathering.finish();
        let found: Vec<_> = knowledge.documents.iter().map(|one| (one.id.as_str(), one.text.as_str())).collect();
        assert_eq!(found, [("a", "2"), ("b", "3")]);
    }

    #[test]
    fn a_sentence_that_is_told_twice_has_the_techniques_of_both() {
        let sentence = |id: &str, document: &str, technique: &str| {
            Record::Sentence(Box::new(LabelledSentence {
                id: id.into(),
                document: document.into(),
                text: "It reads the registry.".into(),
                techniques: vec![technique.parse().unwrap()],
                published: None,
                source: "tram",
            }))
        };
        let mut gathering = Gathering::default();
        let told = [sentence("b", "", "T1012"), sentence("a", "One", "T1112"), sentence("a", "", "T1012")];
        told.into_iter().for_each(|one| gathering.add(one));
        let (knowledge, _) = gathering.finish();
        let found = &knowledge.sentences;
        assert_eq!((found.len(), found[0].document.as_str()), (2, "One"));
        assert_eq!(found[0].techniques.iter().map(TechniqueId::as_str).collect::<Vec<_>>(), ["T1012", "T1112"]);
    }

    #[test]
    fn a_live_technique_replaces_a_retired_one_and_no_other() {
        let technique = |name: &str, is_retired| {
            Record::Technique(Box::new(Technique {
                id: "T1001".parse().unwrap(),
                name: name.into(),
                domain: Domain::Enterprise,
                description: String::new(),
                tactics: Vec::new(),
                platforms: Vec::new(),
                detection: String::new(),
                mitigations: Vec::new(),
                is_retired,
                created: None,
            }))
        };
        let mut gathering = Gathering::default();
        [technique("old", true), technique("live", false), technique("other", false)]
            .into_iter()
            .for_each(|one| gathering.add(one));
        let (knowledge, _) = gathering.finish();
        assert_eq!(knowledge.techniques.values().next().unwrap().name, "live");
    }
}
