//! From raw feeds to a dataset in one call: read and join, group what is alike, split, make examples, look for leaks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wardsmith_vault::Key;

use crate::augment::{MASKABLE, augment};
use crate::benchmark::Benchmarks;
use crate::bias::Observed;
use crate::corpus::{Caps, Corpus, Places, Settings};
use crate::dataset::{Dataset, DatasetWriter, Example};
use crate::dedup::{DEFAULT_THRESHOLD, Thresholds};
use crate::error::{Error, Result};
use crate::explain::{PRIVATE, Step};
use crate::gate::Gate;
use crate::ingest::{Hearing, Ingested, ingest_as};
use crate::knowledge::Knowledge;
use crate::label::CwePolicy;
use crate::leak::LeakCheck;
use crate::manifest::{InputSummary, Manifest, Report, SourceCounts};
use crate::record::Published;
use crate::refine::{RefinePolicy, refine};
use crate::sampling::{Sampling, sample};
use crate::split::{Borders, Rules};
use crate::task::{self, Made, Task};
use crate::template::DEFAULT_TEMPLATE_THRESHOLD;
use crate::wanted::{Said, Wanted};

/// Training examples that make a weakness a label, unless a recipe says otherwise.
pub const DEFAULT_MIN_TRAIN_EXAMPLES: usize = 50;
/// The share of broken records that is accepted, unless a recipe says otherwise.
pub const DEFAULT_MAX_REJECT_RATE: f64 = 0.01;

/// No more training examples may decline: a model that always declines is of no use.
pub const MAX_DECLINE_SHARE: f64 = 0.5;
/// The share of groups without a date that validates.
const UNDATED_VALIDATION_SHARE: f64 = 0.05;
/// The share of groups without a date that tests.
const UNDATED_TEST_SHARE: f64 = 0.1;

/// Sources that other examples are made with: what they say is told in examples of public things.
const NEVER_PRIVATE: &[&str] = &["cwe", "capec", "attack", "kev", "epss"];

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
    /// Jaccard similarity from which on the templates of two texts are one, within 0..=1; 0 lets templates not count.
    #[serde(default = "default_template_threshold")]
    pub template_threshold: f64,
    /// Pairs of a benchmark's name and a file or folder: what overlaps it neither teaches nor validates.
    #[serde(default)]
    pub decontaminate: Vec<(String, PathBuf)>,
    /// The share of broken records that is accepted of each source, 0..=1.
    #[serde(default = "default_max_reject_rate")]
    pub max_reject_rate: f64,
    /// What becomes of texts.
    #[serde(default)]
    pub texts: RefinePolicy,
    /// How the classes of training examples are evened out.
    #[serde(default)]
    pub sampling: Sampling,
    /// The share of training examples, 0..=1, of which there is a copy without names of vendors and products.
    #[serde(default)]
    pub mask_names_share: f64,
    /// How many of a task's phrasings training uses, from the first on; all where nothing is said.
    #[serde(default)]
    pub phrasings: Option<usize>,
    /// How the weakness of a CVE is decided.
    #[serde(default)]
    pub cwe_labels: CwePolicy,
    /// How many records of each split a task may use.
    #[serde(default)]
    pub caps: Caps,
    /// The share of training examples, 0..=1, whose right answer is that the text says too little.
    #[serde(default)]
    pub decline_share: f64,
    /// The sources whose records may teach, but are never exported or quoted. On a CVE that a public source has they
    /// are not heard. They count where a label set is made.
    #[serde(default, rename = "private")]
    pub private_sources: Vec<String>,
}

fn default_min_train_examples() -> usize {
    DEFAULT_MIN_TRAIN_EXAMPLES
}

fn default_threshold() -> f64 {
    DEFAULT_THRESHOLD
}

fn default_template_threshold() -> f64 {
    DEFAULT_TEMPLATE_THRESHOLD
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
            template_threshold: default_template_threshold(),
            decontaminate: Vec::new(),
            max_reject_rate: default_max_reject_rate(),
            texts: RefinePolicy::default(),
            sampling: Sampling::None,
            mask_names_share: 0.0,
            phrasings: None,
            cwe_labels: CwePolicy::default(),
            caps: Caps::default(),
            decline_share: 0.0,
            private_sources: Vec::new(),
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
        let template = self.template_threshold;
        if !(0.0..=1.0).contains(&template) {
            found.push(wrong(
                format!("a template threshold of `{template}` is no similarity"),
                "it lies within 0 and 1, and 0 lets templates not count",
            ));
        }
        let unnamed = self.decontaminate.iter().filter(|(name, _)| name.trim().is_empty());
        found.extend(unnamed.map(|(_, path)| {
            wrong(format!("the benchmark `{}` has no name", path.display()), "write it as `name=path`")
        }));
        let rate = self.max_reject_rate;
        if !(0.0..=1.0).contains(&rate) {
            found.push(wrong(format!("a reject rate of `{rate}` is no share"), "it lies within 0 and 1"));
        }
        found.extend(self.sampling.check().err());
        let share = self.mask_names_share;
        if !(0.0..=1.0).contains(&share) {
            found.push(wrong(format!("a share of `{share}` of masked names is no share"), "it lies within 0 and 1"));
        }
        let share = self.decline_share;
        if !(0.0..=MAX_DECLINE_SHARE).contains(&share) {
            found.push(wrong(format!("a decline share of `{share}` is out of range"), "it lies within 0 and 0.5"));
        }
        found.extend(self.private_mistakes());
        found
    }

    fn private_mistakes(&self) -> impl Iterator<Item = Error> {
        self.private_sources.iter().filter_map(|name| {
            let (problem, hint) = if NEVER_PRIVATE.contains(&name.as_str()) {
                (
                    format!("`{name}` cannot be private"),
                    "it is told in examples of public CVEs; leave it out of `private`",
                )
            } else if self.sources.iter().all(|(source, _)| source != name) {
                (format!("`{name}` is private, but no source"), "name one of the sources in `private`")
            } else {
                return None;
            };
            Some(Error::Options { problem, hint: hint.into() })
        })
    }

    /// How things are placed.
    fn rules(&self) -> Result<Rules> {
        Ok(Rules {
            borders: Borders::new(self.validation_from, self.test_from)?,
            thresholds: self.thresholds(),
            validation_share: UNDATED_VALIDATION_SHARE,
            test_share: UNDATED_TEST_SHARE,
        })
    }

    /// From which similarity on texts are alike.
    pub(crate) fn thresholds(&self) -> Thresholds {
        Thresholds {
            near_duplicate: self.near_duplicate_threshold,
            template: (self.template_threshold > 0.0).then_some(self.template_threshold),
        }
    }

    /// How examples are made.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            min_train_examples: self.min_train_examples,
            caps: self.caps,
            cwe: self.cwe_labels.clone(),
            phrasings: self.phrasings.unwrap_or(usize::MAX),
            seed: self.caps.seed,
            decline_share: self.decline_share,
        }
    }

    /// The options as the manifest keeps them: paths by their last part, as a dataset outlives the machine it was
    /// made on and must not depend on where its inputs lay.
    fn for_manifest(&self) -> serde_json::Value {
        let last = |path: &Path| PathBuf::from(path.file_name().unwrap_or_default());
        let is_private = |name: &String| self.private_sources.contains(name);
        let told = |name: &String, path: &Path| if is_private(name) { PRIVATE.into() } else { last(path) };
        let sources = self.sources.iter().map(|(name, path)| (name.clone(), told(name, path))).collect();
        let benchmarks = self.decontaminate.iter().map(|(name, path)| (name.clone(), last(path)));
        let decontaminate = benchmarks.collect();
        serde_json::to_value(Self { sources, decontaminate, ..self.clone() }).expect("plain data has a JSON form")
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
    /// Cleans and scrubs all texts.
    Refining,
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

/// Does all of it and leaves the dataset at `out`; `progress` is called from any thread.
///
/// # Errors
/// The first mistake in the options; what [`crate::ingest`] and the tasks tell; where `out` exists and may not be overwritten;
/// where anything that is tested stands in the training set too, which then leaves nothing at `out`.
pub fn prepare(
    options: &PrepareOptions,
    out: &Path,
    overwrite: bool,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Dataset> {
    prepare_sealed(options, out, overwrite, None, progress)
}

/// As [`prepare`]; with a key, every file with data is sealed.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_sealed(
    options: &PrepareOptions,
    out: &Path,
    overwrite: bool,
    key: Option<&Key>,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Dataset> {
    if let Some(mistake) = options.mistakes().into_iter().next() {
        return Err(mistake);
    }
    let mut writer = DatasetWriter::create(out, overwrite)?.sealed_with(key.cloned());
    let Gathered { knowledge, places, mut report, .. } = gather(options, None, progress)?;
    let corpus = Corpus { knowledge: &knowledge, places: &places, settings: &options.settings() };
    make_all(options, &corpus, &mut report, &mut writer, progress)?;
    let manifest = Manifest::new(options.tasks.clone(), options.for_manifest(), report);
    writer.finish(manifest, knowledge.catalogue.research())
}

/// Everything up to the examples.
pub(crate) struct Gathered {
    /// What the sources say, joined and clean.
    pub(crate) knowledge: Knowledge,
    /// Where it stands.
    pub(crate) places: Places,
    /// What was counted so far.
    pub(crate) report: Report,
    /// Each source's own word on what was wanted.
    pub(crate) said: Vec<Said>,
    /// What was done to what was wanted after it was joined, such as scrubbing; in order.
    pub(crate) steps: Vec<Step>,
}

/// Reads, joins and places.
pub(crate) fn gather(
    options: &PrepareOptions,
    wanted: Option<&Wanted>,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Gathered> {
    let reading = |done_bytes, total_bytes| progress(Progress::Reading { done_bytes, total_bytes });
    let hearing = Hearing { private: &options.private_sources, wanted };
    let Ingested { mut inputs, mut counts, merge, mut knowledge, said } =
        ingest_as(&options.sources, options.max_reject_rate, hearing, &reading)?;
    hide_private(&options.private_sources, &mut inputs, &mut counts);
    progress(Progress::Refining);
    let told = |knowledge: &Knowledge| wanted.and_then(|wanted| text_of(knowledge, wanted).map(str::to_owned));
    let before = told(&knowledge);
    let refine = refine(&mut knowledge, &options.texts);
    let steps = before.map(|before| refined(&before, told(&knowledge).as_deref())).into_iter().collect();
    progress(Progress::Grouping { texts: knowledge.vulnerabilities.len() });
    let (places, groups, split) = Places::of(&knowledge, &options.rules()?);
    let report = Report { inputs, sources: counts, merge, refine, groups, split, ..Report::default() };
    Ok(Gathered { knowledge, places, report, said, steps })
}

/// The text of a CVE or document that is looked for.
fn text_of<'a>(knowledge: &'a Knowledge, wanted: &Wanted) -> Option<&'a str> {
    let cve = wanted.cve().and_then(|id| knowledge.vulnerability(id));
    let document = || knowledge.documents.iter().find(|one| one.id == wanted.id());
    cve.map(|one| one.description.as_str()).or_else(|| document().map(|one| one.text.as_str()))
}

/// What cleaning and scrubbing made of a text; `after` is `None` where it was left out.
fn refined(before: &str, after: Option<&str>) -> Step {
    let outcome = match after {
        None => "left out: it is in another language".to_owned(),
        Some(after) if after == before => "nothing to change".to_owned(),
        Some(after) => format!("now: {after}"),
    };
    Step { done: "cleaned and scrubbed".into(), outcome }
}

/// Takes the names of private files out of what the manifest tells, and leaves digests and counts.
fn hide_private(private: &[String], inputs: &mut [InputSummary], counts: &mut BTreeMap<String, SourceCounts>) {
    for input in inputs.iter_mut().filter(|input| private.contains(&input.source)) {
        input.name = PRIVATE.into();
        input.members.clear();
        input.skipped.clear();
    }
    for (_, counts) in counts.iter_mut().filter(|(name, _)| private.contains(name)) {
        counts.first_rejects.iter_mut().for_each(|place| *place = PRIVATE.into());
    }
}

/// The examples of one task, those of private sources marked.
pub(crate) fn make_one(options: &PrepareOptions, task: &dyn Task, corpus: &Corpus<'_>) -> Result<Made> {
    let mut made = task.make(corpus)?;
    let seed = corpus.settings.seed;
    made.examples = sample(made.examples, options.sampling, seed);
    let names_of = |example: &Example| {
        let id = example.id.split('#').next().and_then(|id| id.parse().ok());
        let record = id.and_then(|id| corpus.knowledge.vulnerability(id));
        record.map(|one| one.products.clone()).unwrap_or_default()
    };
    if MASKABLE.contains(&task.name()) {
        made.examples = augment(made.examples, options.mask_names_share, seed, &names_of);
    }
    for (_, example) in &mut made.examples {
        example.private |= example.sources.iter().any(|source| options.private_sources.contains(source));
    }
    made.recount();
    Ok(made)
}

/// Makes the examples of one task after the other, keeps out what must not be in, writes the rest, and looks for leaks
/// in what was written.
fn make_all(
    options: &PrepareOptions,
    corpus: &Corpus<'_>,
    report: &mut Report,
    writer: &mut DatasetWriter,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<()> {
    let observed = Observed::of(corpus);
    let mut bias = observed.report();
    let texts = corpus.knowledge.texts();
    let mut benchmarks = Benchmarks::read(&options.decontaminate)?;
    benchmarks.ignore_common(&texts);
    let mut gate = Gate::new(&options.thresholds(), &benchmarks, &texts);
    let mut check = LeakCheck::new(options.thresholds()).with_benchmarks(&benchmarks);
    for name in &options.tasks {
        let task: &dyn Task = task::by_name(name)?;
        progress(Progress::Making { task: task.name() });
        let mut made = make_one(options, task, corpus)?;
        gate.pass(task, &mut made);
        made.recount();
        if made.examples.is_empty() {
            return Err(Error::Needs {
                task: task.name(),
                what: "records that it can make examples of, and found none".into(),
                hint: "check the dates of the split and min_train_examples, and that the sources hold labels",
            });
        }
        bias.tasks.insert(name.clone(), observed.task(&made.examples));
        check.add_all(task, &made.examples);
        writer.write_task(name, &made.examples, &made.labels)?;
        report.tasks.insert(name.clone(), made.counts);
    }
    for (name, bytes) in bias.files() {
        writer.write_file(&name, &bytes)?;
    }
    report.benchmarks = benchmarks.inputs().to_vec();
    report.benchmark_overlaps = gate.overlaps().clone();
    report.split.leak_report = check.finish().into_result()?;
    report.split.leaks = report.split.leak_report.total();
    Ok(())
}
