//! An entry of CWE, CAPEC or ATT&CK, one aspect of it → what the catalogue says.
//!
//! Definitions, consequences, detection, and how the three catalogues hang together (CWE → CAPEC → ATT&CK, as
//! knowledge). Each aspect of an entry is held out by itself, by its name: `CWE-79/consequences`. The entries themselves
//! teach through `document`, so the test asks whether what was read can be told, not whether it can be guessed.
//! **The grade.** The F1 of words shared with the catalogue's answer.

use crate::clean::without_references;
use crate::conversation::{Conversation, Role};
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::overlap::overlap;
use crate::phrasing::question;
use crate::record::{AttackPattern, Consequence, Technique, Weakness};
use crate::task::{Grade, Made, Subject, Task};
use crate::tasks::mitigation::shorten;

/// Longer answers end with their last whole sentence within this many bytes.
const MOST_BYTES: usize = 900;

/// See the file's head.
#[derive(Debug, Clone, Copy)]
pub struct Explain;

/// What is asked about an entry.
struct Aspect {
    /// Its name, behind the entry's ID.
    name: &'static str,
    phrasings: &'static [&'static str],
    answer: String,
}

const DEFINITION: &[&str] =
    &["Explain the following entry.", "What is this?", "Define the following term as its catalogue does."];
const CONSEQUENCES: &[&str] =
    &["What can follow from the weakness below?", "Which consequences does this have?", "What is the impact of this?"];
const DETECTION: &[&str] =
    &["How can the technique below be detected?", "What should defenders look for?", "Describe how to detect this."];
const RELATIONS: &[&str] = &[
    "How does the entry below relate to other entries of CWE, CAPEC and ATT&CK?",
    "Name the entries that are related to this one.",
    "What is this connected with in CWE, CAPEC and ATT&CK?",
];

impl Task for Explain {
    fn name(&self) -> &'static str {
        "explain"
    }

    fn about(&self) -> &'static str {
        "what CWE, CAPEC and ATT&CK say about an entry: definition, consequences, detection, relations"
    }

    fn make(&self, corpus: &Corpus<'_>) -> Result<Made> {
        let weaknesses = corpus
            .weaknesses()
            .flat_map(|one| self.examples(corpus, ("cwe", one.id.to_string(), &one.name), of_weakness(one, corpus)));
        let patterns = corpus
            .patterns()
            .flat_map(|one| self.examples(corpus, ("capec", one.id.to_string(), &one.name), of_pattern(one, corpus)));
        let techniques = corpus
            .techniques()
            .flat_map(|one| self.examples(corpus, ("attack", one.id.to_string(), &one.name), of_technique(one)));
        let made = Made::of(weaknesses.chain(patterns).chain(techniques).collect());
        if made.examples.is_empty() {
            let what = "a catalogue to explain".into();
            return Err(Error::Needs { task: self.name(), what, hint: "add the source `cwe`, `capec` or `attack`" });
        }
        Ok(made)
    }

    fn grade(&self, example: &Example, answer: &str, _: &Hierarchy) -> Option<Grade> {
        let reference = example.conversation.text_of(Role::Assistant)?;
        let answer = answer.trim();
        let shared = overlap(answer, reference);
        Some(Grade {
            parsed: (!answer.is_empty()).then(|| answer.to_owned()),
            strict: answer == reference,
            credit: shared.f1(),
            parts: [("grounded", shared.precision), ("covered", shared.recall)].into(),
        })
    }
}

impl Explain {
    fn examples(
        self,
        corpus: &Corpus<'_>,
        (source, entry, name): (&str, String, &str),
        aspects: Vec<Aspect>,
    ) -> Vec<(Split, Example)> {
        let told = aspects.into_iter().filter(|aspect| !aspect.answer.is_empty());
        told.map(|aspect| {
            let id = format!("{entry}/{}", aspect.name);
            let placed = corpus.aspect(&id);
            let phrasing = corpus.phrase(aspect.phrasings, placed.split, &id);
            // With its aspect, because two questions about one entry may stand in two splits.
            let asked = question(phrasing, &format!("{name} ({entry}): {}", aspect.name));
            Subject::undated(id, placed, source).example(&self, Conversation::question(asked, aspect.answer), None)
        })
        .collect()
    }
}

fn of_weakness(one: &Weakness, corpus: &Corpus<'_>) -> Vec<Aspect> {
    let consequences: Vec<String> = one.consequences.iter().map(consequence).filter(|text| !text.is_empty()).collect();
    let parents = corpus.knowledge.catalogue.research().parents.get(&one.id).cloned().unwrap_or_default();
    let parents = parents.iter().map(|id| {
        let name = corpus.knowledge.catalogue.weakness(*id).map_or("", |one| one.name.as_str());
        format!("{name} ({id})")
    });
    let patterns = corpus.patterns().filter(|pattern| pattern.weaknesses.contains(&one.id));
    let patterns = patterns.map(|pattern| format!("{} ({})", pattern.name, pattern.id));
    let relations = [
        list("It is a kind of", parents.collect()),
        list("Attack patterns that exploit it:", patterns.take(MOST_RELATED).collect()),
    ];
    vec![
        Aspect {
            name: "definition",
            phrasings: DEFINITION,
            answer: definition(&one.description, &one.extended_description),
        },
        Aspect { name: "consequences", phrasings: CONSEQUENCES, answer: shorten(&consequences.join("\n"), MOST_BYTES) },
        Aspect { name: "relations", phrasings: RELATIONS, answer: join(&relations) },
    ]
}

/// Related entries that an answer names.
const MOST_RELATED: usize = 8;

fn of_pattern(one: &AttackPattern, corpus: &Corpus<'_>) -> Vec<Aspect> {
    let weaknesses = one.weaknesses.iter().filter_map(|id| corpus.knowledge.catalogue.weakness(*id));
    let weaknesses = weaknesses.map(|weakness| format!("{} ({})", weakness.name, weakness.id));
    let techniques = one.techniques.iter().filter_map(|id| corpus.knowledge.techniques.get(id));
    let techniques = techniques.map(|technique| format!("{} ({})", technique.name, technique.id));
    let consequences: Vec<String> = one.consequences.iter().map(consequence).filter(|text| !text.is_empty()).collect();
    let relations = [
        list("It exploits", weaknesses.take(MOST_RELATED).collect()),
        list("Techniques of ATT&CK that correspond to it:", techniques.take(MOST_RELATED).collect()),
    ];
    vec![
        Aspect {
            name: "definition",
            phrasings: DEFINITION,
            answer: definition(&one.description, &one.extended_description),
        },
        Aspect { name: "consequences", phrasings: CONSEQUENCES, answer: shorten(&consequences.join("\n"), MOST_BYTES) },
        Aspect { name: "relations", phrasings: RELATIONS, answer: join(&relations) },
    ]
}

fn of_technique(one: &Technique) -> Vec<Aspect> {
    vec![
        Aspect { name: "definition", phrasings: DEFINITION, answer: definition(&one.description, "") },
        Aspect {
            name: "detection",
            phrasings: DETECTION,
            answer: shorten(&without_references(&one.detection), MOST_BYTES),
        },
    ]
}

fn definition(description: &str, more: &str) -> String {
    let whole = format!("{} {}", without_references(description), without_references(more));
    shorten(whole.trim(), MOST_BYTES)
}

fn consequence(one: &Consequence) -> String {
    let (scopes, impacts) = (one.scopes.join(", "), one.impacts.join(", "));
    let head = [scopes, impacts].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    let note = without_references(&one.note);
    [head, note].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(". ")
}

fn list(head: &str, names: Vec<String>) -> String {
    if names.is_empty() { String::new() } else { format!("{head} {}.", names.join(", ")) }
}

fn join(parts: &[String]) -> String {
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::small;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::record::{CapecId, CweId};
    use crate::tasks::capec_map::tests::pattern;

    #[test]
    fn each_aspect_is_an_example_of_its_own_and_links_are_told() {
        let mut scripting = pattern(63, "Scripting the Kettle");
        scripting.weaknesses = vec![CweId(79)];
        let knowledge =
            Knowledge { catalogue: small(), patterns: [(CapecId(63), scripting)].into(), ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Train);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        let made = Explain.make(&corpus).unwrap();
        let answer = |id: &str| {
            let example = made.examples.iter().find(|(_, one)| one.id == id).unwrap_or_else(|| panic!("{id}"));
            example.1.conversation.text_of(Role::Assistant).unwrap().to_owned()
        };
        assert_eq!(answer("CWE-79/definition"), "The product has cross-site scripting.");
        let relations = answer("CWE-79/relations");
        assert!(relations.contains("(CWE-74)") && relations.contains("Scripting the Kettle (CAPEC-63)"), "{relations}");
        assert!(answer("CAPEC-63/relations").starts_with("It exploits cross-site scripting (CWE-79)"));
        assert!(!made.examples.iter().any(|(_, one)| one.id == "CWE-79/consequences"), "it has none");
    }

    #[test]
    fn an_empty_world_has_nothing_to_explain() {
        let knowledge = Knowledge::default();
        let places = all_in(&knowledge, Split::Train);
        let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &Settings::default() };
        assert!(Explain.make(&corpus).unwrap_err().to_string().contains("add the source `cwe`"));
    }
}
