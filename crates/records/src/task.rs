//! What a task is: examples out of records, and a grade for an answer; one file in `tasks/` each.

use std::collections::BTreeMap;

use crate::conversation::Role;
use crate::corpus::Corpus;
use crate::dataset::{Example, LabelInfo, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::manifest::TaskCounts;
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
    /// Partial credit, 0..=1; each task says what for.
    pub credit: f64,
    /// How its parts fared, by name, where the answer has parts (as the metrics of a CVSS vector have).
    pub parts: BTreeMap<&'static str, f64>,
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

    /// What `example` asks about, without the instruction: what classifier heads and classical baselines read. By
    /// default what follows the first blank line of the question (see [`crate::phrasing`]).
    fn input<'a>(&self, example: &'a Example) -> &'a str {
        let question = example.conversation.text_of(Role::User).unwrap_or_default();
        question.split_once("\n\n").map_or(question, |(_, input)| input)
    }

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
}
