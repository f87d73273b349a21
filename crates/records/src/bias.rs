//! What a dataset is lopsided in, counted: classes, years, vendors, products, who gave the labels, language, length and
//! severity. And what follows: a model is good at what is frequent, and may learn who instead of what.
//!
//! [`Observed`] looks at every record once; [`Observed::report`] tells of the records, [`Observed::task`] of a task's
//! examples, and [`BiasReport::files`] writes both: `bias/bias.json`, `bias/bias.md` and pictures beside them. Against
//! what is found: [`crate::sampling`], [`crate::augment`], and [`crate::probes`] to see whether it helped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod balance;
mod measure;
mod page;
mod pictures;
mod records;
mod shortcut;
mod svg;
mod traits;

pub use self::balance::{Balance, ByYear, CLASSES_BY_YEAR, ClassCount, Classes, Drift, SMALL_CLASSES, TOLD_CLASSES};
use self::measure::variance_explained;
pub use self::measure::{Association, Quantiles};
pub use self::records::{Agreement, Concentration, LabelSources, Language, RecordBias};
pub use self::shortcut::Shortcut;
use self::shortcut::{Seen, shortcuts};
use self::traits::Traits;
use crate::conversation::Role;
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};

/// The version of `bias.json`.
pub const BIAS_VERSION: u32 = 1;
/// Answers of more kinds are texts, not labels.
const MOST_LABELS: usize = 2000;
/// Classes of fewer training examples have no length of their own.
const FEWEST_FOR_LENGTH: usize = 50;

/// `bias.json`: everything that was counted.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BiasReport {
    /// [`BIAS_VERSION`].
    pub version: u32,
    /// The records, before any task.
    pub records: RecordBias,
    /// Each task's examples.
    pub tasks: BTreeMap<String, TaskBias>,
}

/// The examples of one task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TaskBias {
    /// Examples by split.
    pub examples: BTreeMap<Split, u64>,
    /// Words in what is asked about, by split.
    pub words: BTreeMap<Split, Quantiles>,
    /// What is told of labels, where the task has some.
    pub labels: Option<LabelBias>,
}

/// The labels of one task.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LabelBias {
    /// How even they are.
    pub classes: Classes,
    /// Test examples whose label has fewer than 50 training examples.
    pub test_examples_of_small_classes: u64,
    /// How length and label go together.
    pub length: LengthBias,
    /// What gives the label away; empty where the examples are of no CVEs.
    pub shortcuts: Vec<Shortcut>,
}

/// How length and label go together, in training.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LengthBias {
    /// Training examples of classes that are large enough: the denominator.
    pub examples: u64,
    /// The share of the variance of log words that lies between classes, 0..=1.
    pub variance_explained: f64,
    /// Words by class, in the order of the classes.
    pub by_class: Vec<(String, Quantiles)>,
}

/// A corpus with what each record is beside its text.
#[derive(Debug)]
pub struct Observed<'a> {
    corpus: Corpus<'a>,
    traits: Vec<Traits>,
    unknown: Traits,
}

impl<'a> Observed<'a> {
    /// Looks at every record of `corpus`.
    #[must_use]
    pub fn of(corpus: &Corpus<'a>) -> Self {
        Self { corpus: *corpus, traits: traits::all(corpus), unknown: Traits::default() }
    }

    /// What the records are like; the tasks are to be added.
    #[must_use]
    pub fn report(&self) -> BiasReport {
        let records = RecordBias::of(&self.corpus, &self.traits);
        BiasReport { version: BIAS_VERSION, records, tasks: BTreeMap::new() }
    }

    /// What a task's examples are like.
    #[must_use]
    pub fn task(&self, examples: &[(Split, Example)]) -> TaskBias {
        let mut words: BTreeMap<Split, Vec<u64>> = BTreeMap::new();
        for (split, example) in examples {
            words.entry(*split).or_default().push(input_words(example));
        }
        TaskBias {
            examples: words.iter().map(|(split, words)| (*split, words.len() as u64)).collect(),
            words: words.into_iter().map(|(split, words)| (split, Quantiles::of(words))).collect(),
            labels: has_labels(examples).then(|| self.labels(examples)),
        }
    }

    fn labels(&self, examples: &[(Split, Example)]) -> LabelBias {
        let classes = Classes::of(examples);
        let mut train: BTreeMap<&str, usize> = BTreeMap::new();
        let labelled = || examples.iter().filter_map(|(split, one)| Some((*split, one, one.gold.as_deref()?)));
        labelled()
            .filter(|(split, _, _)| *split == Split::Train)
            .for_each(|(_, _, gold)| *train.entry(gold).or_default() += 1);
        let is_small = |gold: &str| train.get(gold).is_none_or(|count| *count < FEWEST_FOR_LENGTH);
        let small = labelled().filter(|(split, _, gold)| *split == Split::Test && is_small(gold)).count() as u64;
        let seen: Vec<Seen<'_>> =
            labelled().map(|(split, one, gold)| Seen { split, gold, traits: self.traits_of(one) }).collect();
        let of_cves = examples.iter().any(|(_, one)| traits::record_of(&one.id).is_some());
        LabelBias {
            length: LengthBias::of(examples, &classes, &is_small),
            classes,
            test_examples_of_small_classes: small,
            shortcuts: if of_cves { shortcuts(&seen) } else { Vec::new() },
        }
    }

    fn traits_of(&self, example: &Example) -> &Traits {
        let records = &self.corpus.knowledge.vulnerabilities;
        let place = traits::record_of(&example.id).and_then(|id| records.binary_search_by_key(&id, |one| one.id).ok());
        place.and_then(|at| self.traits.get(at)).unwrap_or(&self.unknown)
    }
}

impl BiasReport {
    /// The files that tell it, by their names in a dataset.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut json = serde_json::to_vec_pretty(self).expect("plain data has a JSON form");
        json.push(b'\n');
        let pictures = pictures::all(self);
        let mut files = vec![("bias/bias.json".to_owned(), json)];
        files.push(("bias/bias.md".to_owned(), page::page(self, &pictures).into_bytes()));
        files.extend(pictures.into_iter().map(|one| (format!("bias/{}", one.name), one.svg.into_bytes())));
        files
    }
}

impl LengthBias {
    fn of(examples: &[(Split, Example)], classes: &Classes, is_small: &dyn Fn(&str) -> bool) -> Self {
        let mut logs: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut words: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (split, example) in examples {
            let Some(gold) = example.gold.as_deref().filter(|gold| *split == Split::Train && !is_small(gold)) else {
                continue;
            };
            let count = input_words(example);
            logs.entry(gold).or_default().push((count.max(1) as f64).ln());
            words.entry(gold).or_default().push(count);
        }
        let told = classes.told.iter().filter_map(|one| Some((one.label.clone(), words.remove(one.label.as_str())?)));
        Self {
            examples: logs.values().map(Vec::len).sum::<usize>() as u64,
            variance_explained: variance_explained(&logs),
            by_class: told.map(|(label, words)| (label, Quantiles::of(words))).collect(),
        }
    }
}

/// Whether gold answers are labels: a few, each the answer to several questions.
fn has_labels(examples: &[(Split, Example)]) -> bool {
    let mut labels: Vec<&str> = examples.iter().filter_map(|(_, one)| one.gold.as_deref()).collect();
    let labelled = labels.len();
    labels.sort_unstable();
    labels.dedup();
    (2..=MOST_LABELS).contains(&labels.len()) && labels.len() * 2 <= labelled
}

/// Words of what is asked about, without the instruction.
fn input_words(example: &Example) -> u64 {
    let asked = example.conversation.text_of(Role::User);
    let text = asked.map(|text| text.split_once("\n\n").map_or(text, |(_, input)| input));
    text.or_else(|| example.conversation.text_of(Role::Document)).unwrap_or_default().split_whitespace().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::tests::example;
    use crate::corpus::Settings;
    use crate::corpus::tests::all_in;
    use crate::knowledge::Knowledge;
    use crate::merge::tests::vulnerability;
    use crate::names::tests::product;
    use crate::record::Vulnerability;

    fn report() -> BiasReport {
        let record = |at: usize| Vulnerability {
            products: vec![product(if at.is_multiple_of(3) { "acme" } else { "teatime" }, "whisk")],
            ..vulnerability(&format!("CVE-2020-{at:04}"), "The whisk leaks.")
        };
        let vulnerabilities: Vec<_> = (1..=90).map(record).collect();
        let knowledge = Knowledge { vulnerabilities, ..Knowledge::default() };
        let places = all_in(&knowledge, Split::Train);
        let settings = Settings::default();
        let observed = Observed::of(&Corpus { knowledge: &knowledge, places: &places, settings: &settings });
        let mut report = observed.report();
        let one = |at: usize| {
            let gold = if at.is_multiple_of(3) { "CWE-1" } else { "CWE-2" };
            let split = if at <= 60 { Split::Train } else { Split::Test };
            (split, example(&format!("CVE-2020-{at:04}#masked"), "The product leaks.", gold))
        };
        let examples: Vec<_> = (1..=90).map(one).collect();
        report.tasks.insert("cwe_classify".into(), observed.task(&examples));
        report.tasks.insert("document".into(), observed.task(&[]));
        report
    }

    #[test]
    fn a_vendor_that_tells_the_label_is_found_out() {
        let report = report();
        assert_eq!((report.records.vendors.records, report.records.vendors.names), (90, 2));
        assert_eq!(report.records.named_in_text, 90);
        let task = &report.tasks["cwe_classify"];
        assert_eq!(task.examples, [(Split::Train, 60), (Split::Test, 30)].into());
        let labels = task.labels.as_ref().unwrap();
        let vendor = &labels.shortcuts[0];
        assert_eq!((vendor.asked, vendor.met, vendor.right, vendor.right_without), (30, 30, 30, 20));
        assert!((vendor.gain - 1.0 / 3.0).abs() < 1e-12 && vendor.association.explained > 0.99, "{vendor:?}");
        assert_eq!(labels.shortcuts[1].gain, 0.0, "all have one product");
        assert_eq!(labels.test_examples_of_small_classes, 30, "neither class has fifty");
        assert!(report.tasks["document"].labels.is_none());
    }

    #[test]
    fn the_files_have_safe_names_and_the_report_reads_back() {
        let report = report();
        let files = report.files();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "bias/bias.json",
                "bias/bias.md",
                "bias/names.svg",
                "bias/classes-cwe_classify.svg",
                "bias/years-cwe_classify.svg"
            ]
        );
        assert_eq!(serde_json::from_slice::<BiasReport>(&files[0].1).unwrap(), report);
        let page = std::str::from_utf8(&files[1].1).unwrap();
        assert!(page.contains("](classes-cwe_classify.svg)") && page.contains("+33.3 points"), "{page}");
        assert_eq!(report.files(), files, "twice the same");
        let folder = tempfile::tempdir().unwrap();
        let mut writer = crate::dataset::DatasetWriter::create(&folder.path().join("set"), false).unwrap();
        files.iter().for_each(|(name, bytes)| writer.write_file(name, bytes).unwrap());
    }
}
