//! Plain texts to pretrain a base on: CVE descriptions, documents, and the catalogues' entries in prose, each in the
//! split where it stands. The CVEs that a weakness cites as observed examples are left out of its text.

use crate::conversation::{Conversation, Role};
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};
use crate::error::Result;
use crate::hierarchy::Hierarchy;
use crate::record::{Consequence, Mitigation, Vulnerability, Weakness};
use crate::split::Placed;
use crate::task::{Grade, Made, Task};

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
        let mut made = Made::default();
        let kept = corpus.settings.caps.draw(corpus.vulnerabilities().collect(), |(_, placed)| placed.split);
        let descriptions = kept.into_iter().map(|(one, placed)| (placed.split, description(one, placed)));
        let entries = corpus.weaknesses().map(|one| (Split::Train, entry(one)));
        made.examples = descriptions.chain(entries).collect();
        for (split, _) in &made.examples {
            *made.counts.examples.entry(*split).or_default() += 1;
        }
        Ok(made)
    }

    fn input<'a>(&self, example: &'a Example) -> &'a str {
        example.conversation.text_of(Role::Document).unwrap_or_default()
    }

    fn grade(&self, _: &Example, _: &str, _: &Hierarchy) -> Option<Grade> {
        None
    }
}

fn description(vulnerability: &Vulnerability, placed: Placed) -> Example {
    Example {
        id: vulnerability.id.to_string(),
        task: Document.name().into(),
        published: vulnerability.published.to_string(),
        group: placed.group,
        sources: vulnerability.sources.clone(),
        weight: 1.0,
        private: false,
        conversation: Conversation::document(vulnerability.description.as_str()),
        gold: None,
    }
}

fn entry(weakness: &Weakness) -> Example {
    Example {
        id: weakness.id.to_string(),
        task: Document.name().into(),
        published: weakness.edition.map(|edition| edition.to_string()).unwrap_or_default(),
        group: CATALOGUE_GROUPS + u64::from(weakness.id.0),
        sources: vec!["cwe".into()],
        weight: 1.0,
        private: false,
        conversation: Conversation::document(prose(weakness)),
        gold: None,
    }
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
    text
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
