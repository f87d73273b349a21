//! What a task is: examples out of records, and a grade for an answer; one file in `tasks/` each.

use std::collections::BTreeMap;

use crate::conversation::{Conversation, Role};
use crate::corpus::Corpus;
use crate::dataset::{Example, LabelInfo, Split};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::manifest::TaskCounts;
use crate::record::Vulnerability;
use crate::split::Placed;
use crate::tasks::{
    attack_map::AttackMap, capec_map::CapecMap, cvss_vector::CvssVectorTask, cwe_classify::CweClassify,
    document::Document, explain::Explain, extract::Extract, mitigation::Mitigation, probe::Probe, qa::Qa,
    severity::SeverityTask, ssvc::SsvcTask, summarise::Summarise, vulnerable_code::VulnerableCode,
};

/// Every task.
pub static ALL: &[&dyn Task] = &[
    &CweClassify,
    &CvssVectorTask,
    &SeverityTask,
    &SsvcTask,
    &CapecMap,
    &AttackMap,
    &Mitigation,
    &Explain,
    &Qa,
    &Summarise,
    &VulnerableCode,
    &Extract,
    &Document,
    &Probe,
];

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

/// What an example is about: one thing with its place, before a question is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// ID of the example. What stands before a `#` names the thing, so that several examples of one thing can be told.
    pub id: String,
    /// Day or year of publication; empty where none is known.
    pub published: String,
    /// Where it stands.
    pub placed: Placed,
    /// The sources that it is made of.
    pub sources: Vec<String>,
}

impl Subject {
    /// A CVE.
    #[must_use]
    pub fn vulnerability(one: &Vulnerability, placed: Placed) -> Self {
        Self { id: one.id.to_string(), published: one.published.to_string(), placed, sources: one.sources.clone() }
    }

    /// Something that `source` says, of no date.
    #[must_use]
    pub fn undated(id: String, placed: Placed, source: &str) -> Self {
        Self { id, published: String::new(), placed, sources: vec![source.to_owned()] }
    }

    /// The example in which `task` asks about it.
    #[must_use]
    pub fn example(self, task: &dyn Task, conversation: Conversation, gold: Option<String>) -> (Split, Example) {
        let Self { id, published, placed, sources } = self;
        let example = Example {
            id,
            task: task.name().into(),
            published,
            group: placed.group,
            sources,
            weight: 1.0,
            private: false,
            conversation,
            gold,
        };
        (placed.split, example)
    }
}

impl Made {
    /// These examples with their count, and no labels.
    #[must_use]
    pub fn of(examples: Vec<(Split, Example)>) -> Self {
        let mut made = Self { examples, ..Self::default() };
        for (split, _) in &made.examples {
            *made.counts.examples.entry(*split).or_default() += 1;
        }
        made
    }

    /// Counts examples and labels anew, after some were left out or added.
    pub(crate) fn recount(&mut self) {
        self.counts.examples.clear();
        self.counts.private_examples = self.examples.iter().filter(|(_, one)| one.private).count() as u64;
        let mut trained: BTreeMap<&str, usize> = BTreeMap::new();
        for (split, example) in &self.examples {
            *self.counts.examples.entry(*split).or_default() += 1;
            if let (Split::Train, Some(gold)) = (split, &example.gold) {
                *trained.entry(gold).or_default() += 1;
            }
        }
        for label in &mut self.labels {
            label.train_count = trained.get(label.name.as_str()).copied().unwrap_or(0);
        }
    }

    /// With a label set of these names and titles, most frequent in training first, then by name.
    #[must_use]
    pub fn with_labels(mut self, mut titles: BTreeMap<String, String>) -> Self {
        let mut counts: BTreeMap<String, usize> = titles.keys().map(|name| (name.clone(), 0)).collect();
        for (split, example) in &self.examples {
            if let (Split::Train, Some(count)) = (split, example.gold.as_ref().and_then(|gold| counts.get_mut(gold))) {
                *count += 1;
            }
        }
        let mut ordered: Vec<(String, usize)> = counts.into_iter().collect();
        ordered.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
        let info = |(name, train_count): (String, usize)| LabelInfo {
            title: titles.remove(&name).unwrap_or_default(),
            name,
            train_count,
            ancestors: Vec::new(),
        };
        self.labels = ordered.into_iter().map(info).collect();
        self.counts.labels = self.labels.len() as u64;
        self
    }

    /// One more record that gave no example.
    pub fn leave_out(&mut self, reason: &str) {
        *self.counts.left_out.entry(reason.into()).or_default() += 1;
    }
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

    /// Whether several labels can be right at once; gold and parsed answers then list them with `, ` between.
    fn asks_for_several(&self) -> bool {
        false
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
