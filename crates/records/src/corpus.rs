//! What tasks make examples of: everything that has a place in a split, and how examples are to be made.
//!
//! A task sees things only together with their places, so that it cannot put one into another split.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::dataset::Split;
use crate::knowledge::Knowledge;
use crate::label::CwePolicy;
use crate::manifest::{GroupCounts, SplitReport};
use crate::phrasing::choose;
use crate::record::{AttackPattern, CodePair, Document, LabelledSentence, Technique, Vulnerability, Weakness};
use crate::split::{Place, Placed, Rules, Thing, draw_split, name_hash, place_in_groups, tally};

/// Knowledge with its places.
#[derive(Debug, Clone, Copy)]
pub struct Corpus<'a> {
    /// Everything that was read, placed or not: for looking things up, never to make examples of directly.
    pub knowledge: &'a Knowledge,
    /// Where everything stands.
    pub places: &'a Places,
    /// How examples are made.
    pub settings: &'a Settings,
}

/// How examples are made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// A weakness is a label where so many training examples have it.
    pub min_train_examples: usize,
    /// How many records of each split a task may use.
    pub caps: Caps,
    /// How the weakness of a CVE is decided.
    pub cwe: CwePolicy,
    /// How many of a task's phrasings training uses, from the first on; at least 1.
    pub phrasings: usize,
    /// Fixes which phrasing each training example gets, and every other choice.
    pub seed: u64,
    /// The share of training examples, 0..=1, whose right answer is that the text says too little.
    pub decline_share: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_train_examples: 50,
            caps: Caps::default(),
            cwe: CwePolicy::default(),
            phrasings: usize::MAX,
            seed: 0,
            decline_share: 0.0,
        }
    }
}

impl<'a> Corpus<'a> {
    /// CVEs that have a place, by ID.
    pub fn vulnerabilities(&self) -> impl Iterator<Item = (&'a Vulnerability, Placed)> + use<'a> {
        with_places(self.knowledge.vulnerabilities.iter(), &self.places.vulnerabilities)
    }

    /// Documents that have a place, by source and ID.
    pub fn documents(&self) -> impl Iterator<Item = (&'a Document, Placed)> + use<'a> {
        with_places(self.knowledge.documents.iter(), &self.places.documents)
    }

    /// Sentences with techniques that have a place, by source and ID.
    pub fn sentences(&self) -> impl Iterator<Item = (&'a LabelledSentence, Placed)> + use<'a> {
        with_places(self.knowledge.sentences.iter(), &self.places.sentences)
    }

    /// Pairs of code that have a place, by source and ID.
    pub fn code(&self) -> impl Iterator<Item = (&'a CodePair, Placed)> + use<'a> {
        with_places(self.knowledge.code.iter(), &self.places.code)
    }

    /// Live weaknesses of the catalogue, by ID. A catalogue says what labels mean, so its entries always teach.
    pub fn weaknesses(&self) -> impl Iterator<Item = &'a Weakness> + use<'a> {
        self.knowledge.catalogue.weaknesses().filter(|one| !one.is_deprecated())
    }

    /// Live attack patterns, by ID; they always teach, as weaknesses do.
    pub fn patterns(&self) -> impl Iterator<Item = &'a AttackPattern> + use<'a> {
        self.knowledge.patterns.values().filter(|one| !one.is_deprecated())
    }

    /// Live techniques, by ID; they always teach, as weaknesses do.
    pub fn techniques(&self) -> impl Iterator<Item = &'a Technique> + use<'a> {
        self.knowledge.techniques.values().filter(|one| !one.is_retired)
    }

    /// How the example `id` is asked, of a task's `phrasings` (not empty).
    #[must_use]
    pub fn phrase(&self, phrasings: &[&'static str], split: Split, id: &str) -> &'static str {
        let used = self.settings.phrasings.clamp(1, phrasings.len());
        choose(&phrasings[..used], split, self.settings.seed, id)
    }

    /// The place of one thing that a catalogue says, such as `CWE-79/consequence-1`: drawn by its name, so that what is
    /// asked about a catalogue is held out question by question.
    #[must_use]
    pub fn aspect(&self, name: &str) -> Placed {
        self.places.aspect(name)
    }
}

fn with_places<'a, T: 'a>(
    things: impl Iterator<Item = &'a T>,
    places: &'a [Place],
) -> impl Iterator<Item = (&'a T, Placed)> {
    things.zip(places).filter_map(|(one, place)| Some((one, place.ok()?)))
}

/// Where everything stands: one place a thing, in the order of [`Knowledge`].
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Of the CVEs.
    pub vulnerabilities: Vec<Place>,
    /// Of the documents.
    pub documents: Vec<Place>,
    /// Of the sentences.
    pub sentences: Vec<Place>,
    /// Of the pairs of code.
    pub code: Vec<Place>,
    /// The group of every thing, placed or not: of the CVEs, then the documents, the sentences, the pairs of code.
    pub groups: Vec<u32>,
    /// The shares of what is drawn by its name: validation, then test.
    pub shares: (f64, f64),
}

/// Groups of what is drawn by its name begin here, far above those of records.
const ASPECT_GROUPS: u64 = 1 << 40;

impl Places {
    /// Places all of `knowledge` by one set of rules, so that no two things of any kind leak into one another.
    #[must_use]
    pub fn of(knowledge: &Knowledge, rules: &Rules) -> (Self, GroupCounts, SplitReport) {
        let names = Names::of(knowledge);
        let things = names.things(knowledge);
        let (placed, of_things, groups) = place_in_groups(&things, rules);
        let mut rest = placed.into_iter();
        let mut take = |count: usize| rest.by_ref().take(count).collect::<Vec<Place>>();
        let places = Self {
            vulnerabilities: take(knowledge.vulnerabilities.len()),
            documents: take(knowledge.documents.len()),
            sentences: take(knowledge.sentences.len()),
            code: take(knowledge.code.len()),
            groups: of_things,
            shares: (rules.validation_share, rules.test_share),
        };
        let report = places.report(rules);
        (places, groups, report)
    }

    fn aspect(&self, name: &str) -> Placed {
        let group = ASPECT_GROUPS | (name_hash(name) >> 24);
        Placed { split: draw_split(name, self.shares), group }
    }

    fn report(&self, rules: &Rules) -> SplitReport {
        let mut report = SplitReport {
            validation_from: Some(rules.borders.validation_from()),
            test_from: Some(rules.borders.test_from()),
            ..SplitReport::default()
        };
        let kinds = [
            ("vulnerabilities", &self.vulnerabilities),
            ("documents", &self.documents),
            ("sentences", &self.sentences),
            ("code_pairs", &self.code),
        ];
        for (kind, places) in kinds.into_iter().filter(|(_, places)| !places.is_empty()) {
            let (placed, left_out) = tally(places.iter());
            report.placed.insert(kind.into(), placed);
            report.left_out.insert(kind.into(), left_out);
        }
        report
    }
}

/// The IDs of things as text, which [`Thing`] borrows.
struct Names {
    vulnerabilities: Vec<String>,
    sentences: Vec<String>,
}

impl Names {
    fn of(knowledge: &Knowledge) -> Self {
        Self {
            vulnerabilities: knowledge.vulnerabilities.iter().map(|one| one.id.to_string()).collect(),
            // Sentences of one report share its words and its author's habits.
            sentences: knowledge.sentences.iter().map(|one| format!("{}/{}", one.source, one.document)).collect(),
        }
    }

    fn things<'a>(&'a self, knowledge: &'a Knowledge) -> Vec<Thing<'a>> {
        let undated =
            |id: &'a String, text: &'a str| Thing { id, text, published: None, origin: "", is_cve: None, cves: &[] };
        let mut things = Vec::new();
        things.extend(knowledge.vulnerabilities.iter().zip(&self.vulnerabilities).map(|(one, id)| Thing {
            published: Some(one.published),
            is_cve: Some(one.id),
            ..undated(id, &one.description)
        }));
        things.extend(knowledge.documents.iter().map(|one| Thing {
            published: one.published,
            cves: &one.cves,
            ..undated(&one.id, &one.text)
        }));
        things.extend(knowledge.sentences.iter().zip(&self.sentences).map(|(one, report)| Thing {
            published: one.published,
            origin: if one.source == "tram" && !one.document.is_empty() { report } else { "" },
            ..undated(&one.id, &one.text)
        }));
        things.extend(
            knowledge.code.iter().map(|one| Thing { origin: &one.origin, ..undated(&one.id, &one.vulnerable) }),
        );
        things
    }
}

/// Limits on what a task uses, by split; the records are drawn by `seed`, the same ones on every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// At most so many records of the training split.
    pub train: Option<usize>,
    /// At most so many records of the validation split.
    pub validation: Option<usize>,
    /// At most so many records of the test split.
    pub test: Option<usize>,
    /// Fixes which ones.
    pub seed: u64,
}

impl Caps {
    /// The limit for `split`.
    #[must_use]
    pub fn of(&self, split: Split) -> Option<usize> {
        match split {
            Split::Train => self.train,
            Split::Validation => self.validation,
            Split::Test => self.test,
        }
    }

    /// Keeps at most the allowed number of `items` of each split, drawn without replacement, in their order.
    #[must_use]
    pub fn draw<T>(&self, items: Vec<T>, split_of: impl Fn(&T) -> Split) -> Vec<T> {
        let mut keep = vec![true; items.len()];
        for split in Split::ALL {
            let mut places: Vec<usize> = (0..items.len()).filter(|&at| split_of(&items[at]) == split).collect();
            let limit = self.of(split).unwrap_or(places.len()).min(places.len());
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(split as u64);
            places.partial_shuffle(&mut rng, limit);
            // `partial_shuffle` leaves what it drew at the end.
            let left = places.len() - limit;
            for &at in &places[..left] {
                keep[at] = false;
            }
        }
        items.into_iter().zip(keep).filter_map(|(item, keep)| keep.then_some(item)).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Places that put everything into `split`, each thing a group of its own.
    pub(crate) fn all_in(knowledge: &Knowledge, split: Split) -> Places {
        let mut group = 0;
        let mut next = || {
            group += 1;
            Placed { split, group }
        };
        Places {
            vulnerabilities: knowledge.vulnerabilities.iter().map(|_| Ok(next())).collect(),
            documents: knowledge.documents.iter().map(|_| Ok(next())).collect(),
            sentences: knowledge.sentences.iter().map(|_| Ok(next())).collect(),
            code: knowledge.code.iter().map(|_| Ok(next())).collect(),
            groups: Vec::new(),
            shares: (0.0, 0.0),
        }
    }

    #[test]
    fn a_draw_is_fixed_by_its_seed_and_keeps_the_order() {
        let items: Vec<u32> = (0..100).collect();
        let split_of = |item: &u32| {
            if *item < 60 { Split::Train } else { Split::Test }
        };
        let caps = Caps { train: Some(10), seed: 7, ..Caps::default() };
        let drawn = caps.draw(items.clone(), split_of);
        assert_eq!(drawn.len(), 10 + 40, "only the training split is limited");
        assert!(drawn.is_sorted());
        assert_eq!(drawn, caps.draw(items.clone(), split_of));
        assert_ne!(drawn, Caps { seed: 8, ..caps }.draw(items, split_of));
    }
}
