//! What a task is: examples out of records, and a grade for an answer; one file in `tasks/` each.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::dataset::{Example, LabelInfo, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::manifest::TaskCounts;
use crate::record::Vulnerability;
use crate::split::Placed;
use crate::tasks::{cwe_classify::CweClassify, document::Document};

/// Every task.
pub static ALL: &[&dyn Task] = &[&CweClassify, &Document];

/// The task called `name`.
///
/// # Errors
/// Where there is none.
pub fn by_name(name: &str) -> Result<&'static dyn Task> {
    let found = ALL.iter().copied().find(|task| task.name() == name);
    found.ok_or_else(|| Error::UnknownTask {
        name: name.into(),
        known: ALL.iter().map(|task| format!("`{}`", task.name())).collect::<Vec<_>>().join(", "),
    })
}

/// What tasks make examples of: merged records, each with its place in the split.
#[derive(Debug, Clone, Copy)]
pub struct Corpus<'a> {
    /// One record a CVE, sorted by ID.
    pub vulnerabilities: &'a [Vulnerability],
    /// The split and group of each of them.
    pub placed: &'a [Placed],
    /// The CWE catalogue, where one was read.
    pub catalogue: Option<&'a Catalogue>,
    /// A weakness is a label where so many training examples have it.
    pub min_train_examples: usize,
    /// How many records of each split a task may use.
    pub caps: Caps,
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

/// What a task makes of a corpus.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Made {
    /// The examples of all splits.
    pub examples: Vec<(Split, Example)>,
    /// The label set, most frequent first; empty where answers are no labels.
    pub labels: Vec<LabelInfo>,
    /// What was made and what was left out.
    pub counts: TaskCounts,
}

/// What an answer is worth.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grade {
    /// The answer as a label; `None` where none could be read, which counts as wrong.
    pub parsed: Option<String>,
    /// Whether it is the gold label.
    pub strict: bool,
    /// Partial credit, 0..=1; see [`Hierarchy::credit`].
    pub hierarchical: f64,
}

/// One kind of question.
pub trait Task: Sync {
    /// Stable name, as recipes and datasets write it.
    fn name(&self) -> &'static str;

    /// One line on what is asked.
    fn about(&self) -> &'static str;

    /// The examples of every split, in the order of the corpus.
    ///
    /// # Errors
    /// Where the corpus lacks something that the task cannot do without.
    fn make(&self, corpus: &Corpus<'_>) -> Result<Made>;

    /// What `example` asks about, without the instruction: what classifier heads and classical baselines read.
    fn input<'a>(&self, example: &'a Example) -> &'a str;

    /// What a model says when it answers with `label`: the text that it learns, and that label scores are about.
    fn answer(&self, label: &LabelInfo) -> String {
        label.name.clone()
    }

    /// What `answer` is worth as an answer to `example`; `None` where the task has nothing to grade (plain texts).
    fn grade(&self, example: &Example, answer: &str, hierarchy: &Hierarchy) -> Option<Grade>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_name_of_its_own_and_is_found_by_it() {
        for task in ALL {
            assert_eq!(ALL.iter().filter(|other| other.name() == task.name()).count(), 1);
            assert_eq!(by_name(task.name()).unwrap().name(), task.name());
            assert!(!task.about().is_empty());
        }
        let error = by_name("poetry").err().unwrap().to_string();
        assert!(error.contains("`poetry`") && error.contains("`cwe_classify`"), "{error}");
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
