//! What became of one record, step by step: what each source said, what was joined, cleaned, placed, and which examples
//! were made. For whoever wonders why a CVE is not in a dataset, or why it has this label.
//!
//! The way is that of [`crate::prepare`], run in memory with nothing written; [`Explanation`] is what was seen on it, as
//! plain data and, by its `Display`, as text. What private sources say is never shown, only that it is there.

mod heard;
mod tell;

use serde::Serialize;

use self::heard::Labels;
use crate::benchmark::Benchmarks;
use crate::conversation::Conversation;
use crate::corpus::Corpus;
use crate::dataset::{Example, Split};
use crate::error::{Error, Result};
use crate::gate::Gate;
use crate::knowledge::Knowledge;
use crate::prepare::{Gathered, PrepareOptions, Progress, gather, make_one};
use crate::record::Vulnerability;
use crate::split::{Place, Unplaced};
use crate::task::{self, Made};
use crate::wanted::Wanted;

/// What stands where a private text would.
pub const PRIVATE: &str = "(private)";
/// How many other members of a group, and documents on a CVE, are named.
const MOST_NAMED: usize = 5;

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Its ID, as its source writes it.
    pub id: String,
    /// Whether it is private; its texts are not shown then.
    pub private: bool,
    /// What each source said of it, in the order in which they came.
    pub said: Vec<Heard>,
    /// What was joined of it; only of CVEs, and none where the CVE was left out.
    pub joined: Option<Joined>,
    /// What was done to it after that, such as cleaning and scrubbing.
    pub steps: Vec<Step>,
    /// Where it stands; none for entries of catalogues, which have no place of their own, and for what was left out.
    pub stands: Option<Stands>,
    /// Up to five documents that tell of it, where it is a CVE.
    pub told_of_by: Vec<String>,
    /// What each task of the recipe made of it.
    pub tasks: Vec<TaskMade>,
}

/// What one source said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// The source.
    pub source: String,
    /// What kind of record, such as `vulnerabilities`.
    pub kind: &'static str,
    /// What became of this word.
    pub outcome: String,
    /// Day or year of publication, where stated.
    pub published: Option<String>,
    /// Last modification as `YYYYMMDDhhmmss`, where stated.
    pub modified: Option<u64>,
    /// The description or text.
    pub text: String,
    /// Labels and other facts, a line each.
    pub labels: Vec<String>,
}

/// A CVE after all sources were joined.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Joined {
    /// The sources that were heard.
    pub sources: Vec<String>,
    /// The description.
    pub description: String,
    /// Day or year of publication.
    pub published: String,
    /// All labels, a line each.
    pub labels: Vec<String>,
    /// The weaknesses that the recipe's policy finds in them, best first, with their weights.
    pub decided: Vec<(String, f64)>,
}

/// Something that was done to a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was done, such as `scrubbed`.
    pub done: String,
    /// What came of it.
    pub outcome: String,
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stands {
    /// Its split; none where it has no place.
    pub split: Option<Split>,
    /// Why it has none.
    pub why_nowhere: Option<&'static str>,
    /// Its group.
    pub group: u32,
    /// Members of that group, itself too.
    pub group_size: usize,
    /// Up to five others of them.
    pub others: Vec<String>,
}

/// What one task made of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskMade {
    /// The task.
    pub task: String,
    /// Why the task could make nothing at all, where that is so.
    pub problem: Option<String>,
    /// The examples.
    pub examples: Vec<Shown>,
    /// How many examples of other things have it as their label.
    pub label_of: u64,
}

/// One example.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Its ID.
    pub id: String,
    /// Its split.
    pub split: Split,
    /// The right label, where it has one.
    pub gold: Option<String>,
    /// How often it counts in training.
    pub weight: f64,
    /// Whether it is private.
    pub private: bool,
    /// What is asked and answered; none where it is private.
    pub conversation: Option<Conversation>,
}

/// What becomes of the record `id` under `options`. Nothing is written.
///
/// # Errors
/// As [`crate::prepare::prepare`] tells them; where no source says anything of `id`.
pub fn explain(options: &PrepareOptions, id: &str, progress: &(dyn Fn(Progress<'_>) + Sync)) -> Result<Explanation> {
    if let Some(mistake) = options.mistakes().into_iter().next() {
        return Err(mistake);
    }
    let wanted = Wanted::new(id).ok_or_else(|| unknown(id))?;
    let gathered = gather(options, Some(&wanted), progress)?;
    if gathered.said.is_empty() {
        return Err(unknown(wanted.id()));
    }
    let private = |source: &str| options.private_sources.iter().any(|name| name == source);
    let Gathered { knowledge, places, said, steps, .. } = &gathered;
    let corpus = Corpus { knowledge, places, settings: &options.settings() };
    let one = wanted.cve().and_then(|id| knowledge.vulnerability(id));
    let is_private = match one {
        Some(one) => one.sources.iter().any(|source| private(source)),
        None => said.iter().all(|said| private(said.source)),
    };
    let joined = one.map(|one| joined(one, is_private, &corpus));
    let mut explanation = Explanation {
        id: wanted.id().into(),
        private: is_private,
        said: heard::all(said, &options.private_sources),
        joined,
        steps: steps
            .iter()
            .map(|one| Step { done: one.done.clone(), outcome: shown(is_private, &one.outcome) })
            .collect(),
        stands: stands(&wanted, &corpus, &options.private_sources),
        told_of_by: told_of_by(&wanted, knowledge, &options.private_sources),
        tasks: Vec::new(),
    };
    let texts = corpus.knowledge.texts();
    let mut benchmarks = Benchmarks::read(&options.decontaminate)?;
    benchmarks.ignore_common(&texts);
    let mut gate = Gate::new(&options.thresholds(), &benchmarks, &texts);
    for name in &options.tasks {
        progress(Progress::Making { task: name });
        let task = task::by_name(name)?;
        let made = make_one(options, task, &corpus).map(|mut made| {
            gate.pass(task, &mut made);
            made
        });
        explanation.tasks.push(made_by(name, &wanted, made));
    }
    Ok(explanation)
}

fn unknown(id: &str) -> Error {
    Error::Options {
        problem: format!("no source says anything of `{}`", id.chars().take(200).collect::<String>()),
        hint: "give the ID of a CVE, CWE, CAPEC entry or technique, or that of a document as its source calls it; \
               records that are rejected as broken have no ID"
            .into(),
    }
}

fn joined(one: &Vulnerability, is_private: bool, corpus: &Corpus<'_>) -> Joined {
    let decided = corpus.settings.cwe.decide(&one.cwes, &corpus.knowledge.catalogue);
    Joined {
        sources: one.sources.clone(),
        description: shown(is_private, &one.description),
        published: one.published.to_string(),
        labels: if is_private { Vec::new() } else { Labels::of(one).0 },
        decided: decided.iter().map(|one| (one.cwe.to_string(), one.weight)).collect(),
    }
}

/// `text`, unless it is private.
fn shown(is_private: bool, text: &str) -> String {
    if is_private { PRIVATE.into() } else { text.to_owned() }
}

/// Names of all things that have a place, in the order of the places, each with whether it is private.
fn names<'a>(knowledge: &'a Knowledge, private: &'a [String]) -> impl Iterator<Item = (String, bool)> + 'a {
    let is_private = |source: &str| private.iter().any(|name| name == source);
    let cves = knowledge.vulnerabilities.iter();
    let cves = cves.map(move |one| (one.id.to_string(), one.sources.iter().any(|source| is_private(source))));
    let documents = knowledge.documents.iter().map(move |one| (one.id.clone(), is_private(one.source)));
    let sentences = knowledge.sentences.iter();
    let sentences = sentences.map(move |one| (format!("{}/{}", one.source, one.id), is_private(one.source)));
    let code = knowledge.code.iter().map(move |one| (one.id.clone(), is_private(one.source)));
    cves.chain(documents).chain(sentences).chain(code)
}

/// The place of the wanted thing among all, and the place itself.
fn find(wanted: &Wanted, corpus: &Corpus<'_>) -> Option<(usize, Place)> {
    let (knowledge, places) = (corpus.knowledge, corpus.places);
    let cve = knowledge.vulnerabilities.iter().position(|one| wanted.cve() == Some(one.id));
    let document = || knowledge.documents.iter().position(|one| wanted.is_within(one.source, &one.id));
    let sentence = || knowledge.sentences.iter().position(|one| wanted.is_within(one.source, &one.id));
    let code = || knowledge.code.iter().position(|one| wanted.is_within(one.source, &one.id));
    let (cves, documents) = (knowledge.vulnerabilities.len(), knowledge.documents.len());
    let sentences = cves + documents;
    cve.map(|at| (at, places.vulnerabilities[at]))
        .or_else(|| document().map(|at| (cves + at, places.documents[at])))
        .or_else(|| sentence().map(|at| (sentences + at, places.sentences[at])))
        .or_else(|| code().map(|at| (sentences + knowledge.sentences.len() + at, places.code[at])))
}

fn stands(wanted: &Wanted, corpus: &Corpus<'_>, private: &[String]) -> Option<Stands> {
    let (at, place) = find(wanted, corpus)?;
    let groups = &corpus.places.groups;
    let group = *groups.get(at)?;
    let members = names(corpus.knowledge, private).zip(groups).enumerate();
    let others = members.filter(|(other, (_, of))| **of == group && *other != at);
    let others: Vec<(String, bool)> = others.map(|(_, (name, _))| name).collect();
    Some(Stands {
        split: place.ok().map(|placed| placed.split),
        why_nowhere: place.err().map(why),
        group,
        group_size: others.len() + 1,
        others: others.into_iter().take(MOST_NAMED).map(|(name, is_private)| shown(is_private, &name)).collect(),
    })
}

fn why(unplaced: Unplaced) -> &'static str {
    match unplaced {
        Unplaced::YoungerThanItsGroup => {
            "its group has an older member, and its own date belongs to a later split: it may neither teach nor test"
        }
        Unplaced::DatedByYearOnly => {
            "only the year of its publication is known: it may be younger than it looks, so it may not teach"
        }
        Unplaced::CvesElsewhere => "it tells of CVEs that stand in another split",
    }
}

fn told_of_by(wanted: &Wanted, knowledge: &Knowledge, private: &[String]) -> Vec<String> {
    let Some(id) = wanted.cve() else {
        return Vec::new();
    };
    let telling = knowledge.documents.iter().filter(|one| one.cves.binary_search(&id).is_ok());
    let named = |one: &crate::record::Document| shown(private.iter().any(|name| name == one.source), &one.id);
    telling.take(MOST_NAMED).map(named).collect()
}

fn made_by(name: &str, wanted: &Wanted, made: Result<Made>) -> TaskMade {
    let mut told = TaskMade { task: name.into(), problem: None, examples: Vec::new(), label_of: 0 };
    match made {
        Ok(made) => {
            let is_label = |one: &Example| one.gold.as_deref() == Some(wanted.id());
            for (split, example) in &made.examples {
                if wanted.made(&example.id) {
                    told.examples.push(Shown::of(*split, example));
                } else {
                    told.label_of += u64::from(is_label(example));
                }
            }
        }
        Err(error) => told.problem = Some(error.to_string()),
    }
    told
}

impl Shown {
    fn of(split: Split, example: &Example) -> Self {
        Self {
            id: example.id.clone(),
            split,
            gold: example.gold.as_deref().map(|gold| shown(example.private, gold)),
            weight: example.weight,
            private: example.private,
            conversation: (!example.private).then(|| example.conversation.clone()),
        }
    }
}
