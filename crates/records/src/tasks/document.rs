//! Plain texts to pretrain a base on: CVE descriptions, and the entries of the CWE catalogue in prose.
//!
//! Nothing that was published when the test had begun may be learned from, so this task is stricter with dates than
//! the split is. Left out are descriptions that their group moved into an earlier split than their own date names,
//! and, from training and validation, descriptions dated only by the year of their ID, which says when the ID was
//! reserved: the text may be years younger. Catalogue entries are always for training, whatever their
//! edition's date: they are what a label means. The CVEs that they cite as observed examples are left out of their text.

use crate::conversation::{Conversation, Role};
use crate::dataset::{Example, Split};
use crate::error::Result;
use crate::hierarchy::Hierarchy;
use crate::record::{Consequence, Mitigation, Vulnerability, Weakness};
use crate::split::Placed;
use crate::task::{Corpus, Grade, Made, Task};

/// Groups of catalogue entries begin here, far above the groups of CVEs.
const CATALOGUE_GROUPS: u64 = 1 << 40;

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
        let mut kept = Vec::new();
        for (vulnerability, &placed) in corpus.vulnerabilities.iter().zip(corpus.placed) {
            match too_young(vulnerability, placed) {
                Some(reason) => *made.counts.left_out.entry(reason.into()).or_default() += 1,
                None => kept.push((placed, vulnerability)),
            }
        }
        let kept = corpus.caps.draw(kept, |(placed, _)| placed.split);
        let descriptions = kept.into_iter().map(|(placed, one)| (placed.split, description(one, placed.group)));
        let live = |one: &&Weakness| !one.is_deprecated();
        let weaknesses = corpus.catalogue.into_iter().flat_map(|catalogue| catalogue.weaknesses().filter(live));
        let entries = weaknesses.map(|one| (Split::Train, entry(one)));
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

/// Why a description may be younger than its split.
fn too_young(vulnerability: &Vulnerability, placed: Placed) -> Option<&'static str> {
    if placed.is_moved() {
        return Some("published_after_its_split");
    }
    let undated = !vulnerability.published.is_day() && placed.split != Split::Test;
    undated.then_some("dated_by_year_only")
}

fn description(vulnerability: &Vulnerability, group: u64) -> Example {
    Example {
        id: vulnerability.id.to_string(),
        task: Document.name().into(),
        published: vulnerability.published.to_string(),
        group,
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
    use crate::merge::tests::vulnerability;
    use crate::task::Caps;

    fn placed(split: Split, by_date: Split) -> Placed {
        Placed { split, by_date, group: 0 }
    }

    #[test]
    fn what_may_be_younger_than_its_split_is_left_out() {
        let day = |id| Vulnerability { published: "2023-05-01".parse().unwrap(), ..vulnerability(id, "A hole.") };
        let year = |id| Vulnerability { published: "2023".parse().unwrap(), ..vulnerability(id, "A hole.") };
        let records = [day("CVE-2023-0001"), day("CVE-2023-0002"), year("CVE-2023-0003"), year("CVE-2023-0004")];
        let placed = [
            placed(Split::Train, Split::Train),
            placed(Split::Train, Split::Test),
            placed(Split::Train, Split::Train),
            placed(Split::Test, Split::Test),
        ];
        let corpus = Corpus {
            vulnerabilities: &records,
            placed: &placed,
            catalogue: None,
            min_train_examples: 1,
            caps: Caps::default(),
        };
        let made = Document.make(&corpus).unwrap();
        let kept: Vec<&str> = made.examples.iter().map(|(_, one)| one.id.as_str()).collect();
        assert_eq!(kept, ["CVE-2023-0001", "CVE-2023-0004"]);
        assert_eq!(made.counts.left_out["published_after_its_split"], 1);
        assert_eq!(made.counts.left_out["dated_by_year_only"], 1);
    }

    #[test]
    fn live_catalogue_entries_are_training_texts() {
        let catalogue = small();
        let corpus = Corpus {
            vulnerabilities: &[],
            placed: &[],
            catalogue: Some(&catalogue),
            min_train_examples: 1,
            caps: Caps::default(),
        };
        let made = Document.make(&corpus).unwrap();
        assert_eq!(made.examples.len(), 7, "all but the deprecated one");
        assert!(made.examples.iter().all(|(split, one)| *split == Split::Train && one.gold.is_none()));
        let text = made.examples[0].1.conversation.text_of(Role::Document).unwrap();
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
