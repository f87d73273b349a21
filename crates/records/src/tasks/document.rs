//! Plain texts to pretrain a base on: CVE descriptions, documents, and the catalogues' entries in prose, each in the
//! split where it stands. The CVEs that a weakness cites as observed examples are left out of its text.

use crate::conversation::{Conversation, Role};
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};
use crate::error::Result;
use crate::hierarchy::Hierarchy;
use crate::record::{AttackPattern, Consequence, Document as Text, Mitigation, Technique, Weakness};
use crate::split::{Placed, name_hash};
use crate::task::{Grade, Made, Subject, Task};

/// Groups of catalogue entries begin here, far above all others.
const CATALOGUE_GROUPS: u64 = 1 << 50;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Document;

impl Task for Document {
    fn name(&self) -> &'static str {
        "document"
    }

    fn about(&self) -> &'static str {
        "plain texts for pretraining: CVE descriptions and the CWE catalogue"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let kept = corpus.settings.caps.draw(corpus.vulnerabilities().collect(), |(_, placed)| placed.split);
        let descriptions = kept.into_iter().map(|(one, placed)| {
            let text = Conversation::document(one.description.as_str());
            Subject::vulnerability(one, placed).example(self, text, None)
        });
        let documents = corpus.settings.caps.draw(corpus.documents().collect(), |(_, placed)| placed.split);
        let documents = documents.into_iter().map(|(one, placed)| self.of_document(one, placed));
        let weaknesses = corpus.weaknesses().map(|one| self.entry(one.id.to_string(), "cwe", prose(one)));
        let patterns = corpus.patterns().map(|one| self.entry(one.id.to_string(), "capec", pattern_prose(one)));
        let techniques = corpus.techniques().map(|one| self.entry(one.id.to_string(), "attack", technique_prose(one)));
        let entries = weaknesses.chain(patterns).chain(techniques);
        Ok(Made::of(descriptions.chain(documents).chain(entries).collect()))
    }

    fn input<'a>(&self, example: &'a Example) -> &'a str {
        example.conversation.text_of(Role::Document).unwrap_or_default()
    }

    fn grade(&self, _: &Example, _: &str, _: &Hierarchy) -> Option<Grade> {
        None
    }
}

impl Document {
    fn of_document(self, one: &Text, placed: Placed) -> (Split, Example) {
        let subject = Subject {
            id: one.id.clone(),
            published: one.published.map(|date| date.to_string()).unwrap_or_default(),
            placed,
            sources: vec![one.source.to_owned()],
        };
        let title = one.title.trim();
        let told = title.is_empty() || one.text.starts_with(title);
        let text = if told { one.text.clone() } else { format!("{title}\n\n{}", one.text) };
        subject.example(&self, Conversation::document(text), None)
    }

    /// An entry of a catalogue; it teaches whatever the date of its edition.
    fn entry(self, id: String, source: &str, text: String) -> (Split, Example) {
        let placed = Placed { split: Split::Train, group: CATALOGUE_GROUPS | (name_hash(&id) >> 16) };
        Subject::undated(id, placed, source).example(&self, Conversation::document(text), None)
    }
}

/// An attack pattern as plain prose. Its example stories are left out: they are what `capec_map` tests.
fn pattern_prose(one: &AttackPattern) -> String {
    let mut text = format!("{}: {}\n\n{}", one.id, one.name, one.description);
    if !one.extended_description.is_empty() {
        text.push_str(&format!("\n\n{}", one.extended_description));
    }
    paragraph(&mut text, "Prerequisites.", one.prerequisites.iter().cloned());
    paragraph(&mut text, "Steps.", one.steps.iter().cloned());
    paragraph(&mut text, "Consequences.", one.consequences.iter().map(consequence));
    paragraph(&mut text, "Mitigations.", one.mitigations.iter().cloned());
    plain(&text)
}

/// A technique as plain prose. Procedure examples are left out: they are what `attack_map` tests.
fn technique_prose(one: &Technique) -> String {
    let mut text = format!("{}: {}\n\n{}", one.id, one.name, one.description);
    paragraph(&mut text, "Tactics.", one.tactics.iter().cloned());
    paragraph(&mut text, "Platforms.", one.platforms.iter().cloned());
    if !one.detection.is_empty() {
        text.push_str(&format!("\n\nDetection. {}", one.detection));
    }
    let told = |one: &crate::record::TechniqueMitigation| format!("{}: {}", one.name, one.description);
    paragraph(&mut text, "Mitigations.", one.mitigations.iter().map(told));
    text
}

/// A catalogue entry as plain prose, a paragraph a topic.
#[must_use]
pub fn prose(weakness: &Weakness) -> String {
    let mut text = format!("{}: {}\n\n{}", weakness.id, weakness.name, weakness.description);
    if !weakness.alternate_terms.is_empty() {
        let terms = weakness.alternate_terms.join(", ");
        text.push_str(&format!("\n\nIt is also known as {terms}."));
    }
    if !weakness.extended_description.is_empty() {
        text.push_str(&format!("\n\n{}", weakness.extended_description));
    }
    paragraph(&mut text, "Consequences.", weakness.consequences.iter().map(consequence));
    paragraph(&mut text, "Mitigations.", weakness.mitigations.iter().map(mitigation));
    plain(&text)
}

/// Paragraph by paragraph without marks of references.
fn plain(text: &str) -> String {
    let paragraphs = text.split('\n').map(crate::clean::without_references);
    paragraphs.collect::<Vec<_>>().join("\n")
}

/// Adds a headed paragraph of the parts that say something.
fn paragraph(text: &mut String, head: &str, parts: impl Iterator<Item = String>) {
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    if !parts.is_empty() {
        text.push_str(&format!("\n\n{head} {}", parts.join(" ")));
    }
}

fn consequence(one: &Consequence) -> String {
    let (scopes, impacts) = (one.scopes.join(", "), one.impacts.join(", "));
    let head = match (scopes.is_empty(), impacts.is_empty()) {
        (false, false) => format!("{scopes}: {impacts}."),
        (true, true) => String::new(),
        _ => format!("{scopes}{impacts}."),
    };
    [head, one.note.clone()].join(" ").trim().to_owned()
}

fn mitigation(one: &Mitigation) -> String {
    let phases = one.phases.join(", ");
    if phases.is_empty() {
        return one.description.clone();
    }
    format!("{phases}: {}", one.description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::{small, weakness};
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::merge::tests::vulnerability;
    use crate::split::Unplaced;

    #[test]
    fn descriptions_and_live_catalogue_entries_stand_in_their_splits() {
        let vulnerabilities = vec![vulnerability("CVE-2023-0001", "A hole."), vulnerability("CVE-2023-0002", "Two.")];
        let knowledge = Knowledge { vulnerabilities, catalogue: small(), ..Knowledge::default() };
        let mut places = all_in(&knowledge, Split::Train);
        places.vulnerabilities[1] = Err(Unplaced::DatedByYearOnly);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let made = Document.make(&corpus).unwrap();
        assert_eq!(made.examples.len(), 1 + 7, "all but the deprecated entry, and what has no place");
        assert!(made.examples.iter().all(|(split, one)| *split == Split::Train && one.gold.is_none()));
        let text = made.examples[1].1.conversation.text_of(Role::Document).unwrap();
        assert!(text.starts_with("CWE-74: injection\n\nThe product has injection."), "{text}");
    }

    #[test]
    fn an_entry_is_told_in_prose_without_its_observed_examples() {
        let mut one = weakness(79, "cross-site scripting", &[]);
        one.alternate_terms = vec!["XSS".into()];
        one.extended_description = "Scripts run elsewhere.".into();
        one.consequences = vec![Consequence {
            scopes: vec!["Confidentiality".into()],
            impacts: vec!["Read Cookies".into()],
            note: "Badly so.".into(),
        }];
        one.mitigations = vec![Mitigation {
            phases: vec!["Implementation".into()],
            strategy: String::new(),
            description: "Encode the output.".into(),
        }];
        one.observed_examples =
            vec![crate::record::ObservedExample { reference: "CVE-2024-1111".into(), description: "A hole.".into() }];
        assert_eq!(
            prose(&one),
            "CWE-79: cross-site scripting\n\nThe product has cross-site scripting.\n\nIt is also known as XSS.\n\n\
             Scripts run elsewhere.\n\nConsequences. Confidentiality: Read Cookies. Badly so.\n\n\
             Mitigations. Implementation: Encode the output."
        );
    }
}
