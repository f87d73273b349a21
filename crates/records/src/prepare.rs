//! From raw feeds to a dataset in one call: read and merge, group near-duplicates, split by date, make examples, check.
//!
//! [`prepare`] works in memory and touches no output; [`Prepared::write`] puts the result on the disk.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::dataset::{Dataset, DatasetWriter, Example, LabelInfo, Split};
use crate::dedup::{DEFAULT_THRESHOLD, fingerprint, near_duplicates};
use crate::error::{Error, Result};
use crate::hierarchy::Hierarchy;
use crate::ingest::{Ingested, ingest};
use crate::manifest::{Manifest, Report, SplitReport};
use crate::record::{Published, Vulnerability};
use crate::split::{Borders, Placed, across_borders, moved, place};
use crate::task::{self, Caps, Corpus, Task};

/// Training examples that make a weakness a label, unless a recipe says otherwise.
pub const DEFAULT_MIN_TRAIN_EXAMPLES: usize = 50;
/// The share of broken records that is accepted, unless a recipe says otherwise.
pub const DEFAULT_MAX_REJECT_RATE: f64 = 0.01;

/// What to do with CVEs that no source dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undated {
    /// Date them by the year of their ID, which is the earliest they can be (plain texts for pretraining leave them
    /// out of training all the same).
    #[default]
    ByYear,
    /// Leave them out of every task.
    LeaveOut,
}

/// What to prepare. `sources`, `tasks` and the two dates must be given; the rest has a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrepareOptions {
    /// Pairs of a source's name and a file, archive or folder.
    pub sources: Vec<(String, PathBuf)>,
    /// Names of tasks.
    pub tasks: Vec<String>,
    /// First day of validation.
    pub validation_from: Published,
    /// First day of test.
    pub test_from: Published,
    /// A weakness is a label where so many training records have it.
    #[serde(default = "default_min_train_examples")]
    pub min_train_examples: usize,
    /// Jaccard similarity from which on two descriptions are near-duplicates, within 0..=1 and not 0.
    #[serde(default = "default_threshold")]
    pub near_duplicate_threshold: f64,
    /// The share of broken records that is accepted of each source, 0..=1.
    #[serde(default = "default_max_reject_rate")]
    pub max_reject_rate: f64,
    /// What to do with CVEs that no source dates.
    #[serde(default)]
    pub undated: Undated,
    /// How many records of each split a task may use.
    #[serde(default)]
    pub caps: Caps,
}

fn default_min_train_examples() -> usize {
    DEFAULT_MIN_TRAIN_EXAMPLES
}

fn default_threshold() -> f64 {
    DEFAULT_THRESHOLD
}

fn default_max_reject_rate() -> f64 {
    DEFAULT_MAX_REJECT_RATE
}

impl PrepareOptions {
    /// These sources and tasks with two dates, and the default of everything else.
    #[must_use]
    pub fn new(
        sources: Vec<(String, PathBuf)>,
        tasks: Vec<String>,
        validation_from: Published,
        test_from: Published,
    ) -> Self {
        Self {
            sources,
            tasks,
            validation_from,
            test_from,
            min_train_examples: default_min_train_examples(),
            near_duplicate_threshold: default_threshold(),
            max_reject_rate: default_max_reject_rate(),
            undated: Undated::default(),
            caps: Caps::default(),
        }
    }

    /// Every mistake in these options, so that all can be told at once.
    #[must_use]
    pub fn mistakes(&self) -> Vec<Error> {
        let wrong = |problem: String, hint: &str| Error::Options { problem, hint: hint.into() };
        let mut found = Vec::new();
        if self.sources.is_empty() {
            found.push(wrong("no source is given".into(), "give at least one, such as `nvd` with a folder of feeds"));
        }
        if self.tasks.is_empty() {
            found.push(wrong("no task is given".into(), "give at least one, such as `cwe_classify`"));
        }
        found.extend(self.sources.iter().filter_map(|(name, _)| crate::source::by_name(name).err()));
        found.extend(self.tasks.iter().filter_map(|name| task::by_name(name).err()));
        found.extend(Borders::new(self.validation_from, self.test_from).err());
        let threshold = self.near_duplicate_threshold;
        if !(threshold > 0.0 && threshold <= 1.0) {
            found.push(wrong(
                format!("a near-duplicate threshold of `{threshold}` is no similarity"),
                "it lies above 0 and up to 1",
            ));
        }
        let rate = self.max_reject_rate;
        if !(0.0..=1.0).contains(&rate) {
            found.push(wrong(format!("a reject rate of `{rate}` is no share"), "it lies within 0 and 1"));
        }
        found
    }

    /// The options as the manifest keeps them: paths by their last part, as a dataset outlives the machine it was
    /// made on and must not depend on where its inputs lay.
    fn for_manifest(&self) -> serde_json::Value {
        let last = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
        let sources = self.sources.iter().map(|(name, path)| (name.clone(), last(path))).collect();
        serde_json::to_value(Self { sources, ..self.clone() }).expect("plain data has a JSON form")
    }
}

/// How far `prepare` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Reads inputs; stored bytes read so far, and all.
    Reading {
        /// Stored bytes that were read.
        done_bytes: u64,
        /// Stored bytes of all inputs.
        total_bytes: u64,
    },
    /// Looks for near-duplicates among so many descriptions.
    Grouping {
        /// Descriptions.
        texts: usize,
    },
    /// Makes a task's examples.
    Making {
        /// The task.
        task: &'a str,
    },
}

/// A dataset in memory.
#[derive(Debug)]
pub struct Prepared {
    /// All examples, those of one task together, each task in the order of CVE IDs.
    pub examples: Vec<(Split, Example)>,
    /// The label set, most frequent first.
    pub labels: Vec<LabelInfo>,
    /// View 1000.
    pub hierarchy: Hierarchy,
    /// The manifest, as yet without files; its `report` tells all that was counted.
    pub manifest: Manifest,
}

impl Prepared {
    /// Everything that was counted.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.manifest.report
    }

    /// Writes the dataset to `out` (see [`DatasetWriter`]). To refuse an output before the long work, call
    /// [`crate::dataset::check_target`] first.
    ///
    /// # Errors
    /// Where `out` exists and may not be overwritten, or the disk refuses.
    pub fn write(self, out: &Path, overwrite: bool) -> Result<Dataset> {
        let mut writer = DatasetWriter::create(out, overwrite)?;
        for (split, example) in &self.examples {
            writer.write(*split, example)?;
        }
        writer.finish(self.manifest, &self.labels, &self.hierarchy)
    }
}

/// Does all of it; `progress` is called from any thread.
///
/// # Errors
/// The first mistake in the options; what [`ingest`] and the tasks tell.
pub fn prepare(options: &PrepareOptions, progress: &(dyn Fn(Progress<'_>) + Sync)) -> Result<Prepared> {
    if let Some(mistake) = options.mistakes().into_iter().next() {
        return Err(mistake);
    }
    let reading = |done_bytes, total_bytes| progress(Progress::Reading { done_bytes, total_bytes });
    let mut read = ingest(&options.sources, options.max_reject_rate, &reading)?;
    if options.undated == Undated::LeaveOut {
        read.vulnerabilities.retain(|one| one.published.is_day());
    }
    let Ingested { inputs, counts, vulnerabilities, merge, catalogue } = read;
    let mut report = Report { inputs, sources: counts, merge, ..Report::default() };
    progress(Progress::Grouping { texts: vulnerabilities.len() });
    let placed = group_and_split(&vulnerabilities, options, &mut report)?;
    let corpus = Corpus {
        vulnerabilities: &vulnerabilities,
        placed: &placed,
        catalogue: (!catalogue.is_empty()).then_some(&catalogue),
        min_train_examples: options.min_train_examples,
        caps: options.caps,
    };
    let (examples, labels) = make_all(options, &corpus, &mut report, progress)?;
    check_borders(&examples, &mut report)?;
    let manifest = Manifest::new(options.tasks.clone(), options.for_manifest(), report);
    Ok(Prepared { examples, labels, hierarchy: hierarchy_of(&catalogue), manifest })
}

fn hierarchy_of(catalogue: &Catalogue) -> Hierarchy {
    catalogue.research().clone()
}

fn group_and_split(
    vulnerabilities: &[Vulnerability],
    options: &PrepareOptions,
    report: &mut Report,
) -> Result<Vec<Placed>> {
    let borders = Borders::new(options.validation_from, options.test_from)?;
    let texts: Vec<&str> = vulnerabilities.iter().map(|one| one.description.as_str()).collect();
    let grouping = near_duplicates(&texts, options.near_duplicate_threshold);
    let dates: Vec<Published> = vulnerabilities.iter().map(|one| one.published).collect();
    let placed = place(&dates, &grouping.groups, &borders);
    let mut split = SplitReport {
        validation_from: Some(options.validation_from),
        test_from: Some(options.test_from),
        moved: moved(&placed),
        groups_across_borders: across_borders(placed.iter().map(|one| (one.group, one.split))),
        ..SplitReport::default()
    };
    for (one, date) in placed.iter().zip(&dates) {
        *split.vulnerabilities.entry(one.split).or_default() += 1;
        if !date.is_day() {
            *split.dated_by_year_only.entry(one.split).or_default() += 1;
        }
    }
    // A second look that knows no groups: no two texts that differ in numbers alone may stand in two splits.
    let same: Vec<u64> = texts.par_iter().map(|text| fingerprint(text)).collect();
    let members = same.iter().zip(placed.iter().map(|one| one.split));
    split.groups_across_borders += across_borders(members);
    report.groups = grouping.counts;
    report.split = split;
    Ok(placed)
}

/// Examples of all tasks, and the label set of the one that has one.
type MadeByAll = (Vec<(Split, Example)>, Vec<LabelInfo>);

fn make_all(
    options: &PrepareOptions,
    corpus: &Corpus<'_>,
    report: &mut Report,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<MadeByAll> {
    let mut examples = Vec::new();
    let mut labels = Vec::new();
    for name in &options.tasks {
        let task: &dyn Task = task::by_name(name)?;
        progress(Progress::Making { task: task.name() });
        let made = task.make(corpus)?;
        if made.examples.is_empty() {
            return Err(Error::Needs {
                task: task.name(),
                what: "records that it can make examples of, and found none".into(),
                hint: "check the dates of the split and min_train_examples, and that the sources hold labels",
            });
        }
        report.tasks.insert(name.clone(), made.counts);
        examples.extend(made.examples);
        labels.extend(made.labels);
    }
    Ok((examples, labels))
}

/// Counts once more, over what will be written, whether any group crosses a border.
fn check_borders(examples: &[(Split, Example)], report: &mut Report) -> Result<()> {
    report.split.groups_across_borders += across_borders(examples.iter().map(|(split, one)| (one.group, *split)));
    match report.split.groups_across_borders {
        0 => Ok(()),
        count => Err(Error::Options {
            problem: format!("{count} groups of near-duplicates cross a border of the split"),
            hint: "this is a fault of this program; please report it with the options".into(),
        }),
    }
}
